// Package probe asks a registry for an image as a node's runtime would, with each of
// some logins in turn, and fetches nothing of the image: what is answered to one and
// not to another proves what a message alone cannot.
//
// Its one rule: a login goes to a host that its own key matches by kubelet's rules, and
// to the realm that this host may name, and nowhere else.
package probe

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/registry"
)

// Options say how to ask.
type Options struct {
	// Registry is how to talk to the registry. What is of one login is set here.
	Registry registry.Options
	// Timeout bounds all attempts together.
	Timeout time.Duration
	// Platform is the node's, as os/arch; "" where it is not known.
	Platform string
	// Vantage is where this is; empty for the client's.
	Vantage cause.Vantage
	// Before is told of each login before it is used; nil: nobody is.
	Before func(explain.Attempt)
}

// Ask tries the logins one after the other. It ends early where there is no registry to
// talk to, which no login changes. The first that gets the manifest goes on to platform
// and layers: they are the same for all.
func Ask(ctx context.Context, ref image.Reference, attempts []explain.Attempt, o Options) []explain.Tried {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	o.Registry.Profile, o.Registry.Hurry = registry.Containerd, true
	var all []explain.Tried
	shallow := false
	for _, a := range attempts {
		if ctx.Err() != nil && len(all) > 0 {
			break
		}
		if a.Who != explain.Nobody && o.Before != nil && isFor(a, ref) {
			o.Before(a)
		}
		c := &call{ref: ref, attempt: a, options: o, shallow: shallow}
		t := c.try(ctx)
		all = append(all, t)
		if slices.Contains([]explain.Reach{explain.AtDNS, explain.AtTCP, explain.AtTLS}, t.Reach) {
			break
		}
		shallow = shallow || t.Digest != ""
	}
	return all
}

// isFor tells whether a login's own key matches the image, as kubelet sees it.
func isFor(a explain.Attempt, ref image.Reference) bool {
	alone := []keyring.Content{{Secret: a.Secret, Entries: []keyring.Entry{a.Entry}}}
	return !a.Entry.Empty() && len(keyring.Find(alone, ref.Host()+"/"+ref.Repository()).Logins) > 0
}

// call is one attempt.
type call struct {
	ref     image.Reference
	attempt explain.Attempt
	options Options
	shallow bool

	steps []registry.Step
	tried explain.Tried
}

func (c *call) try(ctx context.Context) explain.Tried {
	a := c.attempt
	c.tried = explain.Tried{
		Who: a.Who, Secret: a.Secret, Key: a.Entry.Index, Username: a.Entry.Username, Vantage: cmp.Or(c.options.Vantage, cause.Client), Host: c.ref.Host(), Reach: explain.Done,
	}
	if a.Who != explain.Nobody && !isFor(a, c.ref) {
		c.tried.Reach, c.tried.Stopped = explain.AtChallenge, &explain.Stopped{Obstacle: explain.NotSent, Text: "its key is not for this host"}
		return c.tried
	}
	o := c.options.Registry
	told := o.Trace
	o.Trace = func(s registry.Step) {
		c.steps = append(c.steps, s)
		if told != nil {
			told(s)
		}
	}
	if a.Who != explain.Nobody {
		o.Login = credential.Login{Username: a.Entry.Username, Password: a.Entry.Password}
		o.LoginSource = "Secret " + a.Namespace + "/" + a.Secret
	}
	began := o.Now()
	c.ask(ctx, o)
	c.tried.TookMs = int(o.Now().Sub(began).Milliseconds())
	for _, s := range c.steps {
		c.tried.Requests = append(c.tried.Requests, inShort(s))
	}
	return c.tried
}

// ask holds the conversation.
func (c *call) ask(ctx context.Context, o registry.Options) {
	client, err := registry.New(c.ref.Host(), o)
	if err != nil {
		c.stop(registry.Examined{}, err)
		return
	}
	e, err := client.Examine(ctx, c.ref, registry.ExamineOptions{Platform: c.options.Platform, Shallow: c.shallow})
	c.keep(e)
	c.challenge()
	if err == nil && e.Token != nil && e.Token.Bare {
		err = errBare
	}
	if err == nil && c.shallow {
		c.tried.Reach = explain.AtManifest
	}
	if err == nil {
		return
	}
	c.stop(e, err)
	c.further(ctx, client, o)
}

// further asks what tells more of that which ended it.
func (c *call) further(ctx context.Context, client *registry.Client, o registry.Options) {
	switch {
	case c.tried.Reach == explain.AtManifest && c.tried.Stopped.Obstacle == explain.NotThere && !c.named():
		c.repository(ctx, client)
	case c.tried.Reach == explain.AtToken && c.posted() && refusesPost(c.tried.Stopped.Status):
		c.byGet(ctx, o)
	}
}

// named tells whether what was asked for is there: then it is what it names that is not.
func (c *call) named() bool {
	return slices.ContainsFunc(c.steps, func(s registry.Step) bool {
		return s.Kind == registry.KindManifest && s.Answer != nil && s.Answer.Status == http.StatusOK
	})
}

// errBare is a token that the runtime does not find.
var errBare = errors.New("the token server answers a POST with \"token\" alone, and the runtime looks for \"access_token\"")

// keep takes what was found.
func (c *call) keep(e registry.Examined) {
	t := &c.tried
	t.Digest, t.Platforms, t.Platform, t.Blobs = e.Digest, e.Platforms, e.Platform, e.Blobs
	if e.Token == nil {
		return
	}
	t.Asked = texts(e.Token.Asked)
	if e.Token.GrantedKnown {
		t.Granted = texts(e.Token.Granted)
	}
}

// challenge takes from the requests how the registry wants to be asked, and whether it
// spoke without TLS.
func (c *call) challenge() {
	for _, s := range c.steps {
		if s.Answer == nil || s.Kind == registry.KindToken || s.Kind == registry.KindRedirect {
			continue
		}
		c.tried.Plain = c.tried.Plain || strings.HasPrefix(s.Request.URL, "http://")
		for _, one := range challenges(s.Answer.Headers) {
			switch {
			case c.tried.Scheme == "Bearer":
			case one.Is("Bearer") && one.Params["realm"] != "":
				c.tried.Scheme, c.tried.Realm, c.tried.Service = "Bearer", one.Params["realm"], one.Params["service"]
			case one.Is("Basic"):
				c.tried.Scheme = "Basic"
			}
		}
	}
}

// challenges are those of an answer that can be read.
func challenges(headers []registry.Field) []registry.Challenge {
	var values []string
	for _, f := range headers {
		if strings.EqualFold(f.Name, "WWW-Authenticate") {
			values = append(values, f.Value)
		}
	}
	all, err := registry.ParseChallenges(values)
	if err != nil {
		return nil
	}
	return all
}

func texts(scopes []registry.Scope) []string {
	all := make([]string, 0, len(scopes))
	for _, s := range scopes {
		all = append(all, s.String())
	}
	return all
}

// repository asks whether it is the repository or the tag that is missing.
func (c *call) repository(ctx context.Context, client *registry.Client) {
	tags, err := client.Tags(ctx, c.ref.Repository())
	var refused *registry.Error
	switch {
	case err == nil:
		c.tried.Repository, c.tried.Near = "there", near(c.ref.Tag, tags)
	case errors.As(err, &refused) && slices.Contains(refused.Codes, "NAME_UNKNOWN"):
		c.tried.Repository = "missing"
	}
}

// near are the tags that are most like one, three at most.
func near(tag string, all []string) []string {
	const most = 3
	if tag == "" {
		return nil
	}
	alike := slices.DeleteFunc(slices.Clone(all), func(other string) bool { return common(tag, other)*2 < len(tag) })
	slices.SortStableFunc(alike, func(a, b string) int { return common(tag, b) - common(tag, a) })
	return alike[:min(most, len(alike))]
}

// common is how many letters two texts have alike at their ends.
func common(a, b string) int {
	from := 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		from++
	}
	to := 0
	for to < len(a)-from && to < len(b)-from && a[len(a)-1-to] == b[len(b)-1-to] {
		to++
	}
	return from + to
}

// byGet asks for a token as docker does, where the runtime's way is refused: if it is
// given, it is not the login that is wrong.
func (c *call) byGet(ctx context.Context, o registry.Options) {
	o.Profile = registry.Docker
	client, err := registry.New(c.ref.Host(), o)
	if err != nil {
		return
	}
	if t, err := client.Token(ctx, registry.PullScope(c.ref.Repository())); err == nil && t != nil && t.GrantedKnown && len(t.Missing()) == 0 {
		c.tried.Stopped.Obstacle = explain.PostRefused
	}
}

// refusesPost tells whether a status may be of the way of asking: a refusal of the login,
// too many requests and a server's own trouble are not.
func refusesPost(status int) bool {
	return status > http.StatusUnauthorized && status < http.StatusInternalServerError && status != http.StatusTooManyRequests || status == http.StatusNotImplemented
}

// posted tells whether the last request for a token was a POST.
func (c *call) posted() bool {
	for _, s := range slices.Backward(c.steps) {
		if s.Kind == registry.KindToken {
			return s.Request.Method == "POST"
		}
	}
	return false
}

// inShort is a request without its query, which may hold a signature.
func inShort(s registry.Step) explain.Request {
	r := explain.Request{Method: s.Request.Method}
	if u, err := url.Parse(s.Request.URL); err == nil {
		r.Host, r.Path = u.Host, u.EscapedPath()
	}
	if s.Answer != nil {
		r.Status, r.TookMs = s.Answer.Status, int(s.Answer.Took.Milliseconds())
	}
	return r
}
