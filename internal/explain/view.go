package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// View is what a node tells from its own place: its settings for a registry, its clock,
// and how far somebody without a login comes from there.
type View struct {
	Node string `json:"node"`
	// File is where containerd's settings for the registry stand; empty where there are
	// none, or where they could not be read.
	File string `json:"file,omitempty"`
	// Hosts are whom containerd asks, in its order; the registry is the last.
	Hosts []ViewHost `json:"hosts,omitempty"`
	// Proxies are the variables of the services of the node, without what logs in. Proxied
	// tells that one may be set: the runtime then goes another way than was gone here.
	Proxies []string `json:"proxies,omitempty"`
	Proxied bool     `json:"proxied,omitempty"`
	// Trust are the files of certificate authorities that were trusted. Whether they are
	// all whom the runtime trusts is not known.
	Trust []string `json:"trust,omitempty"`
	// AheadMs is how far the node's clock is before the registry's, which tells whole
	// seconds; left out where none answered.
	AheadMs *int64 `json:"aheadMs,omitempty"`
	// Unread is what could not be read, and why.
	Unread []string `json:"unread,omitempty"`
}

// ViewHost is one that containerd asks.
type ViewHost struct {
	URL string `json:"url"`
	// Capabilities are pull, resolve and push; empty for all.
	Capabilities []string `json:"capabilities,omitempty"`
	SkipVerify   bool     `json:"skipVerify,omitempty"`
	// Headers are the names of those that are sent along.
	Headers []string `json:"headers,omitempty"`
	// NotAsked is why it was not asked; else Tried is what became of it.
	NotAsked string `json:"notAsked,omitempty"`
	Tried    *Tried `json:"tried,omitempty"`
}

// Summary is what became of one of the hosts.
func (v *View) Summary(h ViewHost) (StepStatus, string) {
	t := h.Tried
	switch {
	case t == nil:
		return Skip, "not asked: " + h.NotAsked
	case !t.went():
		return Skip, "not asked: " + t.Stopped.Text
	case t.Stopped == nil:
		return Pass, "all of the image would come"
	case t.Refused():
		return Pass, "it answers, and gives nobody the image without a login"
	}
	return v.status(t), t.Stopped.Text
}

// status is what is known of a link at which the node's asking ended: nothing of one that
// the runtime may pass by a proxy, or since it trusts others.
func (v *View) status(t *Tried) StepStatus {
	if v.Proxied || t.Stopped.Obstacle == UnknownCA {
		return Unknown
	}
	return t.Stopped.status()
}

// went tells whether anybody was asked: pullkey does not ask everywhere.
func (t *Tried) went() bool { return obstacleOf(t) != NotSent }

// ClockText tells how the node's clock stands, as far as whole seconds tell; empty where
// that is not known.
func (v *View) ClockText() string {
	const near = 2 * time.Second
	switch ahead := v.ahead(); {
	case v.AheadMs == nil:
		return ""
	case ahead.Abs() <= near:
		return "as the registry's"
	case ahead > 0:
		return ahead.Round(time.Second).String() + " ahead of the registry's"
	default:
		return ahead.Abs().Round(time.Second).String() + " behind the registry's"
	}
}

// Registry is the last of the hosts, if it was asked.
func (v *View) Registry() *Tried {
	if len(v.Hosts) == 0 {
		return nil
	}
	return v.Hosts[len(v.Hosts)-1].Tried
}

// ahead is how far the node's clock is before the registry's, if that is known.
func (v *View) ahead() time.Duration {
	if v.AheadMs == nil {
		return 0
	}
	return time.Duration(*v.AheadMs) * time.Millisecond
}

// fromNode looks at what the node sees: of the way to the registry it proves what nobody
// else can, and what is seen from here of that way counts no more.
func (w *walk) fromNode() {
	v := w.Facts.View
	if v == nil {
		return
	}
	w.Diagnosis.View = v
	t := v.Registry()
	if t == nil || !t.went() {
		return
	}
	w.findings = slices.DeleteFunc(w.findings, func(f accounted) bool { return f.seen == cause.Client && f.ofWay })
	w.way(t)
	known, ok := network[obstacleOf(t)]
	if !ok || known.code == cause.RegRateLimit {
		return
	}
	code, accounts := known.code, func(e runtimeerror.Error) bool {
		return !elsewhere(e) && e.Stage != runtimeerror.Blob && slices.Contains(known.heard, e.Kind)
	}
	switch t.Reach {
	case AtToken:
		code, accounts = cause.AuthRealmUnreachable, func(e runtimeerror.Error) bool { return e.Kind == runtimeerror.TokenUnreachable }
	case AtLayers:
		code, accounts = cause.BlobStorageUnreachable, func(e runtimeerror.Error) bool {
			return e.Stage == runtimeerror.Blob && slices.Contains(known.heard, e.Kind)
		}
	default:
	}
	sure := w.proves(t)
	if sure == cause.Possible { // what kubelet has said is worth more
		accounts = func(runtimeerror.Error) bool { return false }
	}
	c, _ := cause.Find(string(code))
	w.findings = append(w.findings, accounted{
		Finding: Finding{
			Code: code, Certainty: sure, Link: c.Link, Sentence: "from node " + v.Node + " " + fmt.Sprintf(known.sentence, t.Stopped.Host),
			Evidence: []string{t.answer(w.Pod.Namespace)}, Fixes: w.ofPage(&c, t.Stopped.Host),
		},
		accounts: accounts, seen: cause.Node,
	})
}

// proves is how sure an end is from the node. Nobody may know its clock; the runtime may
// have a proxy, and trust authorities that were not read; a silence proves something where
// nobody ever answered, and after a while.
func (w *walk) proves(t *Tried) cause.Certainty {
	v := w.Facts.View
	timeless := t.Stopped.Obstacle == NotValidNow && w.NoClock && v.AheadMs == nil
	const long = 5 * time.Second
	late := time.Duration(t.TookMs)*time.Millisecond >= long && t.Reach.Before(AtTLS)
	if timeless || v.Proxied || t.Stopped.Obstacle == UnknownCA || t.Stopped.Obstacle == NoAnswer && !late {
		return cause.Possible
	}
	return cause.Proven
}

// obstacleOf is what ended an attempt; empty where nothing did.
func obstacleOf(t *Tried) Obstacle {
	if t.Stopped == nil {
		return ""
	}
	return t.Stopped.Obstacle
}

// way puts the links that are the node's own in the place of those that are seen from
// here.
func (w *walk) way(t *Tried) {
	before := len(w.Steps)
	w.along(t)
	mine := slices.Clone(w.Steps[before:])
	w.Steps = w.Steps[:before]
	for _, s := range mine {
		ofWay := slices.Contains([]cause.Link{cause.Network, cause.TLS, cause.Challenge}, s.Link)
		if !ofWay && (!t.ofWay() || !w.failsAt(t, Reach(s.Link))) {
			continue
		}
		if s.Status == Fail {
			s.Status = w.Facts.View.status(t)
		}
		at := slices.IndexFunc(w.Steps, func(o Step) bool { return o.Link == s.Link })
		if at < 0 {
			w.Steps = append(w.Steps, s)
			continue
		}
		w.Steps[at] = s
	}
}

// besideView puts what the node sees beside what it has said.
func (w *walk) besideView(err runtimeerror.Error) {
	v := w.Facts.View
	if v == nil {
		return
	}
	verdict := &w.Verdict
	if err.Mirror != "" || slices.Contains([]cause.Code{cause.MirrorMasks, cause.MirrorCreds, cause.MirrorConfig}, verdict.Code) {
		verdict.Evidence = append(verdict.Evidence, v.settings())
		for _, h := range v.Hosts {
			if h.Tried != nil {
				verdict.Evidence = append(verdict.Evidence, h.Tried.answer(w.Pod.Namespace))
			}
		}
		return
	}
	t := v.Registry()
	if t == nil || !t.went() || v.Proxied || !slices.Contains(ofTheNode, err.Kind) {
		return
	}
	if !t.ofWay() {
		w.AlsoNoticed = append(w.AlsoNoticed, Finding{
			Certainty: cause.Possible, Sentence: fmt.Sprintf("from node %s %s answers now: it was mended since kubelet's last try, or it comes and goes", v.Node, t.Host),
			Evidence: []string{t.answer(w.Pod.Namespace)},
		})
	}
}

// settings are whom containerd asks, in a line.
func (v *View) settings() string {
	if v.File == "" {
		return "node " + v.Node + " has no settings for this registry that could be read"
	}
	return fmt.Sprintf("node %s, %s: %s", v.Node, v.File, v.Order())
}

// Order is whom containerd asks, first to last.
func (v *View) Order() string {
	var all []string
	for i := range v.Hosts {
		all = append(all, v.Hosts[i].URL+v.Hosts[i].Terms())
	}
	return cmp.Or(strings.Join(all, ", then "), "nobody")
}

// Terms are for what and how it is asked; empty for everything in the usual way.
func (h *ViewHost) Terms() string {
	text := ""
	if len(h.Capabilities) > 0 {
		text += " (" + strings.Join(h.Capabilities, ", ") + ")"
	}
	if h.SkipVerify {
		text += ", whatever its certificate"
	}
	if len(h.Headers) > 0 {
		text += ", with header " + strings.Join(h.Headers, " and ")
	}
	return text
}
