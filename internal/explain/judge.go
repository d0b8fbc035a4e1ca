package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// judge names the first finding in the order of the chain that accounts for what was
// seen, and else what the runtime's own words say.
func (w *walk) judge() {
	defer w.rest()
	if w.there && w.Observed == nil {
		w.Verdict = Verdict{Status: OK, Finding: Finding{Sentence: "the image is on the node, and the container was started"}}
		return
	}
	if w.Observed == nil {
		w.judgeUnseen()
		return
	}
	err := w.heard()
	if w.accountedFor(err) {
		return
	}
	if f, ok := w.mended(err); ok {
		w.Verdict = Verdict{Status: Waiting, Finding: f}
		return
	}
	if f, ok := w.raced(err); ok {
		w.Verdict = Verdict{Status: Broken, Finding: f}
		return
	}
	if len(w.unread) > 0 && noLogin(err) && err.Kind != runtimeerror.Unknown {
		w.Verdict = Verdict{Status: Inconclusive, Finding: Finding{
			Sentence: fmt.Sprintf("it fails for want of a login for %s, or of a right, and Secret %s, which the pod names, was not read: why is not known", w.parsed.Host(), strings.Join(w.unread, ", ")),
			Evidence: []string{w.Observed.From + ", reason " + w.Observed.Reason + ": " + err.Text},
		}}
		return
	}
	if f, ok := w.said(err); ok {
		w.Verdict = Verdict{Status: Broken, Finding: f}
		return
	}
	w.Verdict = Verdict{Status: Inconclusive, Finding: Finding{Sentence: "the pull fails, and nothing that was read accounts for it: " + err.Text}}
}

// accountedFor judges by the first finding that accounts for an error.
func (w *walk) accountedFor(err runtimeerror.Error) bool {
	at := slices.IndexFunc(w.findings, func(f accounted) bool { return f.accounts(err) })
	if at < 0 {
		return false
	}
	w.Verdict = w.doubted(w.findings[at].Finding, err)
	w.findings = slices.Delete(w.findings, at, at+1)
	return true
}

// undecided are the causes why there is no login that tell nothing of whether one was meant:
// no key is even near.
var undecided = []cause.Code{cause.AuthNoCredential, cause.KeyHostMismatch, cause.KeyDefaultServer, cause.RefImplicitHub}

// judgeUnseen is for a pod of which kubelet has said nothing.
func (w *walk) judgeUnseen() {
	if w.works() {
		w.Verdict = Verdict{Status: OK, Finding: Finding{Sentence: "the registry gives the image to the pod, from here: " + w.best.name() + " is let in, and all of it would come", Evidence: []string{w.best.answer(w.Pod.Namespace)}}}
		return
	}
	for i, f := range w.findings {
		if slices.Contains(undecided, f.Code) && w.best == nil {
			f.Certainty = cause.Possible
			f.Sentence = fmt.Sprintf("kubelet has no login for %s: it pulls if everybody may have the image, and else not; kubelet has said nothing of it", w.parsed.Host())
			w.Verdict = Verdict{Status: Inconclusive, Finding: f.Finding}
			w.findings = slices.Delete(w.findings, i, i+1)
			return
		}
		if f.Certainty == cause.Proven || f.Certainty == cause.Strong {
			w.Verdict = Verdict{Status: Broken, Finding: f.Finding}
			w.findings = slices.Delete(w.findings, i, i+1)
			return
		}
	}
	if w.best != nil && w.best.Stopped != nil {
		w.Verdict = Verdict{Status: Inconclusive, Finding: Finding{Sentence: "kubelet has said nothing of this image, and from here the registry does not tell: " + w.best.Stopped.Text}}
		return
	}
	if len(w.unread) > 0 {
		w.Verdict = Verdict{Status: Inconclusive, Finding: Finding{Sentence: "kubelet has said nothing of this image, and not all of the pod's Secrets were read"}}
		return
	}
	w.Verdict = Verdict{Status: OK, Finding: Finding{Sentence: "kubelet has a login for the image, and has said nothing against it"}}
}

// rest is what was found besides, and what does not matter any more.
func (w *walk) rest() {
	if w.Observed != nil {
		w.besideNode(w.heard())
		w.besideView(w.heard())
	}
	if w.there && w.Observed == nil { // it needed no login, or the node had one
		w.findings = slices.DeleteFunc(w.findings, func(f accounted) bool { return slices.Contains(undecided, f.Code) })
	}
	for _, f := range w.findings {
		if f.seen != "" {
			if f.Code == w.Verdict.Code {
				continue
			}
			f.Certainty = cause.Possible // the node has said something else
		}
		w.AlsoNoticed = append(w.AlsoNoticed, f.Finding)
	}
	for i, s := range w.Steps {
		if s.Link == w.Verdict.Link && s.Status != Pass && w.Verdict.Status == Broken {
			w.Steps[i].Status, w.Steps[i].Code = Fail, w.Verdict.Code
		}
	}
	if w.Observed != nil {
		w.step(Said, Fail, "%s", w.heard().Text)
	}
}

// words are the causes that the runtime's words alone name, and how sure they are:
// what was heard is proven, and why it is so is not.
var words = map[runtimeerror.Kind]struct {
	code     cause.Code
	sure     cause.Certainty
	sentence string // %s is the host
}{
	runtimeerror.DNS:                   {cause.NetDNS, cause.Proven, "the node cannot find the address of %s"},
	runtimeerror.Refused:               {cause.NetRefused, cause.Proven, "nobody listens where the node reaches for %s"},
	runtimeerror.Timeout:               {cause.NetTimeout, cause.Proven, "the node gets no answer from %s"},
	runtimeerror.Reset:                 {cause.NetReset, cause.Proven, "the connection of the node to %s is cut off"},
	runtimeerror.TLSUnknownCA:          {cause.TLSUnknownCA, cause.Proven, "the node does not know who signed the certificate of %s"},
	runtimeerror.TLSName:               {cause.TLSName, cause.Proven, "the certificate that %s shows is for another name"},
	runtimeerror.TLSExpired:            {cause.TLSExpired, cause.Proven, "the certificate of %s has ended, or has not begun, by the node's clock"},
	runtimeerror.PlainHTTP:             {cause.TLSPlainHTTP, cause.Proven, "%s speaks plain HTTP, and the node asks by HTTPS"},
	runtimeerror.TLSToHTTP:             {cause.TLSHTTPToTLS, cause.Proven, "%s speaks HTTPS, and the node asks by plain HTTP"},
	runtimeerror.ClientCertificate:     {cause.TLSClientCert, cause.Proven, "%s asks the node for a certificate of its own"},
	runtimeerror.TokenUnreachable:      {cause.AuthRealmUnreachable, cause.Proven, "the node reaches the registry and not its token server %s"},
	runtimeerror.ChallengeBroken:       {cause.AuthRealmBad, cause.Strong, "the registry names a token server that cannot be asked: %s"},
	runtimeerror.TokenNotJSON:          {cause.AuthRealmBad, cause.Strong, "what the registry names as its token server, %s, is none"},
	runtimeerror.NoTokenInAnswer:       {cause.AuthTokenShape, cause.Proven, "the token server %s answers without a token"},
	runtimeerror.TokenPostRefused:      {cause.AuthTokenShape, cause.Possible, "the token server %s refuses the way in which the runtime asks"},
	runtimeerror.InvalidToken:          {cause.AuthService, cause.Strong, "the registry does not take the token that it was given: service, key or clock; %s"},
	runtimeerror.AnonymousTokenRefused: {cause.AuthNoCredential, cause.Possible, "the runtime was given no login for %s, although the pod's Secrets have one"},
	runtimeerror.NoBasicLogin:          {cause.AuthNoCredential, cause.Possible, "the runtime was given no login for %s, although the pod's Secrets have one"},
	runtimeerror.LoginRefused:          {cause.AuthInvalid, cause.Strong, "the token server %s does not take the login"},
	runtimeerror.InsufficientScope:     {cause.ScopeDenied, cause.Possible, "the registry %s gives no right to pull this repository, or there is none of that name"},
	runtimeerror.RepositoryDenied:      {cause.ScopeDenied, cause.Possible, "the registry %s gives no right to pull this repository, or there is none of that name"},
	runtimeerror.Forbidden:             {cause.ScopeDenied, cause.Possible, "the registry %s forbids it: a right that is missing, or an address that it does not serve"},
	runtimeerror.Unauthorized:          {cause.AuthInvalid, cause.Possible, "the registry %s does not take who asks"},
	runtimeerror.NotFound:              {cause.TagMissing, cause.Possible, "%s has no such repository, or no such tag"},
	runtimeerror.NoPlatform:            {cause.PlatformMissing, cause.Proven, "the image is not there for the node's platform%.0s"},
	runtimeerror.ManifestTooBig:        {cause.ManifestTooBig, cause.Possible, "%s gives a manifest that is larger than the runtime takes, or something else that is none"},
	runtimeerror.WebPage:               {cause.RegNotRegistry, cause.Possible, "what answers for %s is a page for browsers: there is no registry, or a mirror or proxy has sent it"},
	runtimeerror.NotImage:              {cause.MediatypeArtifact, cause.Possible, "what stands under the tag at %s is no image for a container: its manifest, its configuration or its layers are called something else"},
	runtimeerror.Schema1:               {cause.MediatypeSchema1, cause.Proven, "the image is of the old form that runtimes take no more%.0s"},
	runtimeerror.RateLimited:           {cause.RegRateLimit, cause.Proven, "%s has had too many requests"},
	runtimeerror.ServerError:           {cause.Reg5XX, cause.Proven, "%s answers with an error of its own"},
	runtimeerror.PullQPS:               {cause.KubeletQPS, cause.Proven, "kubelet itself holds pulls back (registryPullQPS)%.0s"},
	runtimeerror.DiskFull:              {cause.NodeDisk, cause.Proven, "the node's disk is full%.0s"},
	runtimeerror.Verifier:              {cause.VerifySignature, cause.Proven, "a policy of signatures does not let the image in%.0s"},
	runtimeerror.Cancelled:             {cause.NodeTimeout, cause.Strong, "the pull was given up: nothing came for too long%.0s"},
	runtimeerror.ShortName:             {cause.RefShortname, cause.Proven, "the node's runtime does not know the registry of a name without one%.0s"},
	runtimeerror.NoRegistryKnown:       {cause.RefShortname, cause.Proven, "the node's runtime has no registry to ask for this name%.0s"},
	runtimeerror.DigestMismatch:        {cause.BlobDigest, cause.Proven, "what %s gives is not what its digest says"},
	runtimeerror.Truncated:             {cause.BlobTruncated, cause.Proven, "the content from %s ends too early"},
	runtimeerror.BlobFailed:            {cause.BlobForbidden, cause.Possible, "the manifest was had, and its content is refused by %s"},
	runtimeerror.InvalidName:           {cause.RefInvalid, cause.Proven, "the image's name is none%.0s"},
	runtimeerror.NeverPull:             {cause.PolicyNever, cause.Proven, "the image is not on the node, and the pod forbids to pull it (imagePullPolicy: Never)%.0s"},
	runtimeerror.Undecodable:           {cause.SecretBadShape, cause.Strong, "one of the pod's pull Secrets cannot be decoded: kubelet stops before any pull%.0s"},
}

// said is the cause that the runtime's words name.
func (w *walk) said(err runtimeerror.Error) (Finding, bool) {
	known, ok := words[err.Kind]
	if !ok && !err.Proxy {
		return Finding{}, false
	}
	code, sure := w.precisely(err, known.code, known.sure)
	f := Finding{
		Code: code, Certainty: sure, Sentence: fmt.Sprintf(known.sentence, cmp.Or(err.Host, w.parsed.Host(), "the registry")),
		Evidence: []string{w.Observed.From + ", reason " + w.Observed.Reason + ": " + err.Text},
	}
	host := cmp.Or(err.Host, w.parsed.Host())
	switch code {
	case cause.NetProxy:
		host = cmp.Or(err.Behind, w.parsed.Host())
		f.Sentence = "the proxy on the node's way to " + cmp.Or(host, "the registry") + " gives no connection"
	case cause.MirrorMasks:
		f.Sentence = fmt.Sprintf("the mirror %s, which the node asks before %s, does not give the image, and hides what the registry itself says", host, w.parsed.Host())
	default:
	}
	f.Sentence += w.farRealm(code, err.Host)
	if c, found := cause.Find(string(code)); found {
		f.Link = c.Link
		f.Fixes = w.ofPage(&c, host)
	}
	return f, true
}

// precisely is the cause, in view of where the words were said, and of what was not read.
func (w *walk) precisely(err runtimeerror.Error, code cause.Code, sure cause.Certainty) (cause.Code, cause.Certainty) {
	switch {
	case err.Stage == runtimeerror.Sandbox:
		return cause.SandboxImage, sure
	case err.Proxy:
		return cause.NetProxy, ofProxy(err)
	case err.Mirror != "":
		return cause.MirrorMasks, cause.Strong
	case err.Kind == runtimeerror.TokenPostRefused || err.Kind == runtimeerror.LoginRefused:
		return w.ofTokenServer(err.Status, code, sure)
	case err.Kind == runtimeerror.BlobFailed:
		return w.ofBlob(err)
	case err.Kind == runtimeerror.NoRegistryKnown && w.Observed.Read.Runtime != runtimeerror.CRIO:
		return cause.MirrorConfig, cause.Proven // the node's settings for the registry leave nobody to ask
	case err.Kind == runtimeerror.Undecodable && !strings.HasPrefix(err.Text, "json:"):
		return cause.SecretBadAuth, sure
	case err.Kind == runtimeerror.NeverPull:
		return code, w.absent()
	case w.nodeWouldTell(err):
		return code, cause.Possible
	}
	return w.where(err, code, sure)
}

// ofProxy is how sure it is that a proxy does not let through: less where the pull was given
// up before it had answered.
func ofProxy(err runtimeerror.Error) cause.Certainty {
	if err.Kind == runtimeerror.Cancelled {
		return cause.Possible
	}
	return cause.Proven
}

// nodeWouldTell tells whether another cause fits as well, which the node would tell if it
// had been read.
func (w *walk) nodeWouldTell(err runtimeerror.Error) bool {
	return err.Kind == runtimeerror.Cancelled && w.Node == nil || ofClock(err) && w.NoClock
}

// where is the cause in view of where the pull ended.
func (w *walk) where(err runtimeerror.Error, code cause.Code, sure cause.Certainty) (cause.Code, cause.Certainty) {
	unreachable := []runtimeerror.Kind{runtimeerror.DNS, runtimeerror.Refused, runtimeerror.Timeout, runtimeerror.Reset}
	switch {
	case err.Stage == runtimeerror.Blob && slices.Contains(unreachable, err.Kind):
		return cause.BlobStorageUnreachable, sure
	case err.Kind == runtimeerror.NotFound && w.parsed.Digest != "":
		return cause.DigestMissing, sure
	}
	return code, sure
}

// ofBlob is the cause of content that was refused, by the registry or by the storage behind it.
func (w *walk) ofBlob(err runtimeerror.Error) (cause.Code, cause.Certainty) {
	elsewhere := err.Host != "" && err.Host != w.parsed.Host() && w.parsed.Host() != hub
	switch {
	case err.Status == 404 || err.Status == 0:
		return cause.BlobMissing, cause.Strong
	case elsewhere && err.Status == 403 && w.NoClock:
		return cause.BlobStorage403, cause.Possible
	case elsewhere && err.Status == 403:
		return cause.BlobStorage403, cause.Strong
	}
	return cause.BlobForbidden, cause.Possible
}

// ofTokenServer is the cause of a refusal by the token server.
func (w *walk) ofTokenServer(status int, code cause.Code, sure cause.Certainty) (cause.Code, cause.Certainty) {
	switch {
	case status >= 500:
		return cause.Reg5XX, cause.Proven
	case status == 429:
		return cause.RegRateLimit, cause.Proven
	case status == 403:
		return cause.ScopeDenied, cause.Possible
	case len(w.unread) > 0:
		return code, cause.Possible // what is wrong with the login stands in a Secret that was not read
	}
	return code, sure
}
