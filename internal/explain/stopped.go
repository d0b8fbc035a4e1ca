package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// obstacle is what an Obstacle means: the cause, how sure that is from here, and what
// kubelet hears of the same.
type obstacle struct {
	code  cause.Code
	sure  cause.Certainty
	heard []runtimeerror.Kind
	// sentence has the host that answered so.
	sentence string
}

// network are the obstacles that are of the way from here: the node's is another.
var network = map[Obstacle]obstacle{
	NoHost:           {cause.NetDNS, cause.Possible, kinds(runtimeerror.DNS), "the address of %s is not found"},
	NobodyListens:    {cause.NetRefused, cause.Possible, kinds(runtimeerror.Refused), "nobody listens at %s"},
	NoAnswer:         {cause.NetTimeout, cause.Possible, kinds(runtimeerror.Timeout), "no answer comes from %s in time"},
	CutOff:           {cause.NetReset, cause.Possible, kinds(runtimeerror.Reset), "the connection to %s is cut off"},
	ProxyFails:       {cause.NetProxy, cause.Possible, nil, "the proxy on the way to %s gives no connection"},
	UnknownCA:        {cause.TLSUnknownCA, cause.Possible, kinds(runtimeerror.TLSUnknownCA), "who signed the certificate of %s is not trusted"},
	WrongName:        {cause.TLSName, cause.Possible, kinds(runtimeerror.TLSName), "the certificate that %s shows is for another name"},
	NotValidNow:      {cause.TLSExpired, cause.Possible, kinds(runtimeerror.TLSExpired), "the certificate of %s has ended, or has not begun"},
	NoTLS:            {cause.TLSPlainHTTP, cause.Possible, kinds(runtimeerror.PlainHTTP), "%s does not speak TLS"},
	WantsCertificate: {cause.TLSClientCert, cause.Possible, kinds(runtimeerror.ClientCertificate), "%s asks for a certificate of the client"},
	TooMany:          {cause.RegRateLimit, cause.Possible, kinds(runtimeerror.RateLimited), "%s has had too many requests, of this address or user"},
}

// decided are the obstacles that the registry decides on, for whoever asks from wherever.
var decided = map[Obstacle]obstacle{
	NoRegistry:     {cause.RegNotRegistry, cause.Strong, kinds(runtimeerror.WebPage, runtimeerror.NotFound, runtimeerror.Forbidden, runtimeerror.ManifestTooBig), "what answers at %s is a page for browsers, and no registry"},
	BadChallenge:   {cause.AuthChallenge, cause.Proven, kinds(runtimeerror.Unauthorized, runtimeerror.ChallengeBroken), "%s asks for a login in no way that a runtime knows"},
	BadRealm:       {cause.AuthRealmBad, cause.Proven, kinds(runtimeerror.ChallengeBroken, runtimeerror.TokenNotJSON, runtimeerror.TokenUnreachable), "what the registry names as its token server is none: %s"},
	LoginRefused:   {cause.AuthInvalid, cause.Proven, nil, "%s does not take the login"},
	PostRefused:    {cause.AuthTokenShape, cause.Proven, kinds(runtimeerror.TokenPostRefused), "the token server %s gives a token to GET, and refuses the POST with which the runtime asks"},
	NoToken:        {cause.AuthTokenShape, cause.Proven, kinds(runtimeerror.NoTokenInAnswer), "the token server %s answers without a token where the runtime looks for it"},
	TokenNotTaken:  {cause.AuthService, cause.Strong, kinds(runtimeerror.InvalidToken, runtimeerror.Unauthorized), "the registry %s does not take the token that its own token server has just given"},
	NotGranted:     {cause.ScopeDenied, cause.Possible, kinds(runtimeerror.InsufficientScope, runtimeerror.RepositoryDenied), "the login is taken, and its token does not pull from the repository: %s gives no right to it, or there is none of that name"},
	Forbidden:      {cause.ScopeDenied, cause.Strong, kinds(runtimeerror.Forbidden, runtimeerror.RepositoryDenied, runtimeerror.InsufficientScope), "%s forbids it to pull from the repository"},
	NotThere:       {cause.TagMissing, cause.Strong, kinds(runtimeerror.NotFound), "%s has no such repository, or no such tag"},
	ServerFails:    {cause.Reg5XX, cause.Strong, kinds(runtimeerror.ServerError, runtimeerror.TokenPostRefused), "%s answers with an error of its own"},
	OldFormat:      {cause.MediatypeSchema1, cause.Proven, kinds(runtimeerror.Schema1), "%s has the image in the old form that runtimes take no more"},
	TooBig:         {cause.ManifestTooBig, cause.Proven, kinds(runtimeerror.ManifestTooBig), "%s gives a manifest that is larger than a runtime takes"},
	BadManifest:    {cause.ManifestCorrupt, cause.Strong, kinds(runtimeerror.DigestMismatch), "what %s gives for a manifest is none, or not what its digest says"},
	OtherPlatforms: {cause.PlatformMissing, cause.Proven, kinds(runtimeerror.NoPlatform), "%s has the image for other platforms than the node's"},
}

func kinds(all ...runtimeerror.Kind) []runtimeerror.Kind { return all }

// elsewhere tells whether it was not the registry that answered.
func elsewhere(e runtimeerror.Error) bool { return e.Mirror != "" || e.Proxy }

// heardAs tells whether kubelet's words are what it hears of that which ended an attempt.
func heardAs(t *Tried, e runtimeerror.Error) bool {
	switch o := t.Stopped.Obstacle; {
	case elsewhere(e):
		return false
	case t.Reach == AtLayers:
		return e.Kind == runtimeerror.BlobFailed && (e.Status == t.Stopped.Status || e.Status == 0 && o == NotThere)
	case e.Stage == runtimeerror.Blob:
		return false
	case o == LoginRefused:
		return badLogin(e)
	case o == Forbidden && t.Reach == AtToken:
		return e.Kind == runtimeerror.TokenPostRefused && e.Status == 403
	case e.Kind == runtimeerror.TokenPostRefused && o == ServerFails:
		return e.Status >= 500
	default:
		return slices.Contains(decided[o].heard, e.Kind)
	}
}

// stopped is what ended the pod's own attempt, as a cause, and what it accounts for.
func (w *walk) stopped(t *Tried) (Finding, cause.Link, func(runtimeerror.Error) bool, bool) {
	nothing := func(runtimeerror.Error) bool { return false }
	if t.Stopped == nil || t.Who == Nobody && t.Refused() {
		return Finding{}, "", nil, false // why there is no login, the keyring tells
	}
	if known, ok := network[t.Stopped.Obstacle]; ok {
		f := w.answered(t, known.code, cause.Possible, "from here "+fmt.Sprintf(known.sentence, t.Stopped.Host)+"; the node goes another way, and it proves nothing of it")
		c, _ := cause.Find(string(f.Code))
		return f, c.Link, nothing, true
	}
	known, ok := decided[t.Stopped.Obstacle]
	if !ok {
		return Finding{}, "", nil, false
	}
	f := w.answered(t, known.code, known.sure, fmt.Sprintf(known.sentence, t.Stopped.Host))
	w.precise(t, &f)
	w.bounded(t, &f)
	c, _ := cause.Find(string(f.Code))
	if len(f.Fixes) == 0 {
		f.Fixes = w.ofPage(&c, t.Stopped.Host)
	}
	return f, c.Link, func(e runtimeerror.Error) bool { return heardAs(t, e) }, true
}

// bounded takes back what an answer to one client proves of nobody else: a proxy on the
// way, a storage that knows this address, a registry that hides what one may not see.
func (w *walk) bounded(t *Tried, f *Finding) {
	others := slices.ContainsFunc(w.Facts.Tried, func(o Tried) bool { return o.Had() })
	holds := map[Obstacle]bool{
		NotGranted:     others, // the repository is there, and the token says what it grants
		OtherPlatforms: true,
		OldFormat:      true,
		NotThere:       f.Code == cause.TagMissing && t.Repository == "there" && !others,
		LoginRefused:   w.Observed != nil && w.whole(), // the node heard the same of the same login
	}
	said := w.Observed != nil && words[w.heard().Kind].code == f.Code && words[w.heard().Kind].sure == cause.Proven
	if f.Certainty == cause.Proven && !said && !holds[t.Stopped.Obstacle] {
		f.Certainty = cause.Strong
	}
	if t.Stopped.Obstacle == ServerFails && w.Observed != nil { // the node heard the same
		f.Certainty = cause.Proven
	}
	if t.Stopped.Obstacle == Forbidden && w.Observed == nil {
		f.Certainty = cause.Possible // an allow-list may keep out this address alone
	}
}

// whole tells whether every login that kubelet has from the pod's Secrets was read and
// tried.
func (w *walk) whole() bool {
	pod := 0
	for _, t := range w.Facts.Tried {
		if t.Who == ByPod && (t.Stopped == nil || t.Stopped.Obstacle != NotSent) {
			pod++
		}
	}
	return len(w.unread) == 0 && pod == len(w.found.Logins)
}

func (w *walk) answered(t *Tried, code cause.Code, sure cause.Certainty, sentence string) Finding {
	return Finding{Code: code, Certainty: sure, Sentence: sentence, Evidence: []string{t.answer(w.Pod.Namespace)}}
}

// precise tells apart what an obstacle is by where it stood, and by what else was answered.
func (w *walk) precise(t *Tried, f *Finding) {
	switch o := t.Stopped.Obstacle; {
	case t.Reach == AtLayers:
		w.ofLayer(t, f)
	case o == LoginRefused:
		f.Sentence = fmt.Sprintf("%s does not take the login of user %s in Secret %s/%s", t.Stopped.Host, t.Username, w.Pod.Namespace, t.Secret)
		f.Fixes = []Fix{w.secretAnew(t.Secret, w.parsed.Host()), w.anew()}
	case o == NotGranted || o == Forbidden:
		w.ofScope(t, f)
	case o == NotThere && w.parsed.Digest != "":
		f.Code, f.Sentence = cause.DigestMissing, fmt.Sprintf("%s has no such content under this repository: the digest was deleted, or never there", t.Stopped.Host)
		w.ofRepository(t, f)
	case o == NotThere:
		w.ofRepository(t, f)
	case o == OtherPlatforms:
		f.Sentence = fmt.Sprintf("the image is there for %s, and not for the platform of node %s", strings.Join(t.Platforms, ", "), w.Target.Node)
		if w.Node != nil {
			i := w.Node.Status.NodeInfo
			f.Sentence += fmt.Sprintf(", %s/%s", i.OperatingSystem, i.Architecture)
		}
	}
}

// ofScope tells whether it is the right that is missing: a repository that another login
// pulls from is there.
func (w *walk) ofScope(t *Tried, f *Finding) {
	f.Fixes = []Fix{{Title: fmt.Sprintf("have whoever runs %s give user %s the right to pull from %s", w.parsed.Host(), t.Username, w.parsed.Repository())}}
	if t.Scheme == "Bearer" && len(t.Asked) > 0 {
		f.Evidence = append(f.Evidence, t.scopeText())
	}
	at := slices.IndexFunc(w.Facts.Tried, func(o Tried) bool { return o.Had() })
	if at < 0 {
		return
	}
	if f.Certainty = cause.Strong; t.Stopped.Obstacle == NotGranted {
		f.Certainty = cause.Proven
	}
	f.Sentence = fmt.Sprintf("user %s of Secret %s/%s logs in to %s and may not pull %s, which is there", t.Username, w.Pod.Namespace, t.Secret, w.parsed.Host(), w.parsed.Repository())
	f.Evidence = append(f.Evidence, w.Facts.Tried[at].answer(w.Pod.Namespace))
}

// ofRepository tells whether the repository is missing, or what is asked for in it.
func (w *walk) ofRepository(t *Tried, f *Finding) {
	switch t.Repository {
	case "missing":
		f.Code, f.Certainty, f.Sentence = cause.RepoMissing, cause.Proven, fmt.Sprintf("%s has no repository %s: it lists no tags of it", t.Stopped.Host, w.parsed.Repository())
	case "there":
		f.Certainty = cause.Proven
		if f.Code == cause.TagMissing {
			f.Sentence = fmt.Sprintf("%s has the repository %s, and no tag %s in it", t.Stopped.Host, w.parsed.Repository(), w.parsed.Tag)
		}
		if len(t.Near) > 0 {
			f.Fixes = []Fix{{Title: "write the tag that is meant; there is " + strings.Join(t.Near, ", ")}}
		}
	}
}

// ofLayer is the cause of content that does not come, from the registry or from the
// storage behind it.
func (w *walk) ofLayer(t *Tried, f *Finding) {
	host := t.Stopped.Host
	elsewhere := len(t.Requests) > 0 && host != t.Requests[0].Host
	switch {
	case t.Stopped.Obstacle == NotThere:
		f.Code, f.Certainty, f.Sentence = cause.BlobMissing, cause.Proven, fmt.Sprintf("the manifest is there, and %s has lost a part of the image that it names", host)
	case t.Stopped.Obstacle == Forbidden && elsewhere:
		f.Code, f.Certainty, f.Sentence = cause.BlobStorage403, cause.Strong, fmt.Sprintf("the registry sends to its storage %s for the content, which refuses it", host)
	case t.Stopped.Obstacle == Forbidden:
		f.Code, f.Certainty, f.Sentence = cause.BlobForbidden, cause.Proven, fmt.Sprintf("%s gives the manifest, and refuses the content that it names", host)
	default:
		f.Certainty = cause.Possible
	}
}

// ofTheNode are the causes that a pull from elsewhere shows to be the node's own.
var ofTheNode = []runtimeerror.Kind{
	runtimeerror.DNS, runtimeerror.Refused, runtimeerror.Timeout, runtimeerror.Reset, runtimeerror.TLSUnknownCA, runtimeerror.TLSName, runtimeerror.TLSExpired,
	runtimeerror.PlainHTTP, runtimeerror.TLSToHTTP, runtimeerror.TokenUnreachable, runtimeerror.NoRegistryKnown,
}

// beside puts what was seen from here beside what the node has said.
func (w *walk) besideNode(err runtimeerror.Error) {
	if w.best == nil {
		return
	}
	v := &w.Verdict
	switch {
	case w.works() && slices.Contains(ofTheNode, err.Kind):
		v.Sentence += "; from here the registry answers and gives the image, so that it is the node's side, or another server answers the node"
		v.Evidence = append(v.Evidence, w.best.answer(w.Pod.Namespace))
	case w.works():
		contradicted := []cause.Code{cause.AuthInvalid, cause.ScopeDenied, cause.TagMissing, cause.DigestMissing, cause.RepoMissing, cause.AuthService, cause.BlobMissing, cause.BlobForbidden, cause.AuthTokenShape, cause.AuthRealmBad}
		if slices.Contains(contradicted, v.Code) {
			v.Certainty = cause.Possible
		}
		w.AlsoNoticed = append(w.AlsoNoticed, Finding{
			Certainty: cause.Possible, Sentence: "from here the registry gives the image now, as it would to the pod: it was mended since kubelet's last try, or another server answers the node (a mirror, a proxy)",
			Evidence: []string{w.best.answer(w.Pod.Namespace)},
		})
	case w.best.Stopped != nil && slices.Contains(network[w.best.Stopped.Obstacle].heard, err.Kind):
		v.Evidence = append(v.Evidence, "the same from here: "+w.best.Stopped.Text)
		w.findings = slices.DeleteFunc(w.findings, func(f accounted) bool { return f.seen == cause.Client })
	}
}
