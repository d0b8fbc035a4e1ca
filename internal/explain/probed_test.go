package explain_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

const realm = "https://auth.example.com/token"

// tried adds what was answered from here.
func tried(all ...explain.Tried) change {
	return func(f *explain.Facts) { f.Tried = append(f.Tried, all...) }
}

// asked is an attempt of somebody, with the login of a Secret.
func asked(who explain.Who, secret string) explain.Tried {
	t := explain.Tried{Who: who, Secret: secret, Vantage: cause.Client, Host: host, Reach: explain.Done, Scheme: "Bearer", Realm: realm, Service: "svc", Requests: []explain.Request{{Method: "HEAD", Host: host, Path: "/v2/a/manifests/1", Status: 401}}}
	if who != explain.Nobody {
		t.Key, t.Username = host, "bob"
	}
	return t
}

func gets(who explain.Who, secret string) explain.Tried {
	t := asked(who, secret)
	t.Digest, t.Blobs = "sha256:aa", 3
	t.Asked, t.Granted = []string{"repository:a:pull"}, []string{"repository:a:pull"}
	return t
}

// ends is an attempt that ended somewhere.
func ends(who explain.Who, secret string, at explain.Reach, by explain.Obstacle, status int) explain.Tried {
	t := asked(who, secret)
	t.Reach, t.Stopped = at, &explain.Stopped{Obstacle: by, Status: status, Host: host, Text: "it was " + string(by)}
	if !at.Before(explain.AtScope) {
		t.Asked, t.Granted = []string{"repository:a:pull"}, []string{}
	}
	return t
}

func with(t explain.Tried, changes ...func(*explain.Tried)) explain.Tried {
	for _, c := range changes {
		c(&t)
	}
	return t
}

func repository(there string, near ...string) func(*explain.Tried) {
	return func(t *explain.Tried) { t.Repository, t.Near = there, near }
}

func inStorage(t *explain.Tried) { t.Stopped.Host = "bucket.example.net" }

func manifested(t *explain.Tried) { t.Digest = "sha256:aa" }

func platforms(t *explain.Tried) { t.Platforms = []string{"linux/amd64", "linux/arm64"} }

// What containerd says of content, of a platform, and of a server that fails.
var (
	gone       = `Back-off pulling image "X": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "X": failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:aa (application/x) from remote: not found`
	blobDenied = `Back-off pulling image "X": ErrImagePull: rpc error: code = Unknown desc = failed to pull and unpack image "X": failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://reg.example.com/v2/a/blobs/sha256:aa: 403 Forbidden`
	noPlatform = backOff("no match for platform in manifest: not found")
	fails      = backOff("unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 502 Bad Gateway")
	forbidden  = backOff("unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 403 Forbidden")
	byPost     = backOff("failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://auth.example.com/token: 422 Unprocessable Entity")
	noToken    = backOff("failed to authorize: failed to fetch oauth token: authorization server did not include a token in the response")
	viaMirror  = backOff("unexpected status from HEAD request to https://mirror.example.com/v2/a/manifests/1?ns=reg.example.com: 403 Forbidden")
)

// probedRow is objects, what was answered from here, and what is to be said of them.
type probedRow struct {
	name    string
	facts   *explain.Facts
	status  explain.Status
	want    cause.Code
	sure    cause.Certainty
	noticed []cause.Code
}

const image1 = host + "/a:1"

// compared are answers to several logins; each that proves stands beside its twin that
// looks like it and does not.
func compared() []probedRow {
	const broken = explain.Broken
	refusedNow := ends(explain.ByPod, "s", explain.AtToken, explain.LoginRefused, 401)
	noRight := ends(explain.ByPod, "s", explain.AtScope, explain.NotGranted, 401)
	nobody := ends(explain.Nobody, "", explain.AtToken, explain.LoginNeeded, 401)
	nothing := ends(explain.Nobody, "", explain.AtScope, explain.NotGranted, 401)
	own := func(said string, changes ...change) *explain.Facts {
		return failing(image1, said, join(named(host), changes...)...)
	}
	return []probedRow{
		{"everybody may pull, and the pod's login is refused", own(refused, tried(refusedNow, gets(explain.Nobody, ""))), broken, cause.CredOnPublic, cause.Proven, []cause.Code{cause.AuthInvalid}},
		{"nobody may pull, and the pod's login is refused", own(refused, tried(refusedNow, nobody)), broken, cause.AuthInvalid, cause.Proven, nil},
		{"everybody may pull, and the pod's login too", own(refused, tried(gets(explain.ByPod, "s"), gets(explain.Nobody, ""))), broken, cause.AuthInvalid, cause.Possible, []cause.Code{""}},
		{"everybody may pull, the pod's login is refused, and the node has no way", own(noHost, tried(refusedNow, gets(explain.Nobody, ""))), broken, cause.NetDNS, cause.Proven, []cause.Code{cause.CredOnPublic, cause.AuthInvalid}},
		{"a login that is refused, and the ServiceAccount has another since", own(refused, login("t", host), accountNames("s", "t"), accountWritten(10), tried(refusedNow, nobody, gets(explain.ByAccount, "t"))), broken, cause.SAPodPredates, cause.Strong, []cause.Code{cause.AuthInvalid}},
		{"a login that is refused, and that of the ServiceAccount too", own(refused, login("t", host), accountNames("s", "t"), accountWritten(10), tried(refusedNow, nobody, ends(explain.ByAccount, "t", explain.AtToken, explain.LoginRefused, 401))), broken, cause.AuthInvalid, cause.Proven, nil},
		{"a login that is refused, and another Secret would do", own(refused, login("t", host), tried(refusedNow, nobody, gets(explain.BySecret, "t"))), broken, cause.AuthInvalid, cause.Proven, nil},
		{"no login, and the ServiceAccount has one since", failing(image1, anonymous, login("s", host), accountNames("s"), accountWritten(10), tried(nobody, gets(explain.ByAccount, "s"))), broken, cause.SAPodPredates, cause.Proven, nil},
		{"no login, by words that do not tell, and the ServiceAccount has one since", failing(image1, scope, login("s", host), accountNames("s"), accountWritten(10), tried(nothing, gets(explain.ByAccount, "s"))), broken, cause.SAPodPredates, cause.Proven, nil},
		{"the same, and its login has no right", failing(image1, scope, login("s", host), accountNames("s"), accountWritten(10), tried(nothing, ends(explain.ByAccount, "s", explain.AtScope, explain.NotGranted, 401))), broken, cause.SAPodPredates, cause.Strong, nil},
		{"no login, and a Secret that nobody names would do", failing(image1, scope, login("s", host), tried(nothing, gets(explain.BySecret, "s"))), broken, cause.SANotReferenced, cause.Proven, nil},
		{"no login, and a Secret that nobody names would not do", failing(image1, scope, login("s", host), tried(nothing, ends(explain.BySecret, "s", explain.AtToken, explain.LoginRefused, 401))), broken, cause.SANotReferenced, cause.Strong, nil},
		{"a login without a right to what another one pulls", own(scope, login("t", host), tried(noRight, nobody, gets(explain.BySecret, "t"))), broken, cause.ScopeDenied, cause.Proven, nil},
		{"a login without a right, to what may not be there", own(scope, tried(noRight, nobody)), broken, cause.ScopeDenied, cause.Possible, nil},
		{"a login that is forbidden", own(forbidden, tried(ends(explain.ByPod, "s", explain.AtScope, explain.Forbidden, 403), nobody)), broken, cause.ScopeDenied, cause.Strong, nil},
		{"a mirror that forbids, and a login without a right", own(viaMirror, tried(ends(explain.ByPod, "s", explain.AtScope, explain.Forbidden, 403))), broken, cause.MirrorMasks, cause.Strong, []cause.Code{cause.ScopeDenied}},
		{"of two logins one is good", own(refused, login("t", host), podNames("s", "t"), tried(refusedNow, gets(explain.ByPod, "t"))), broken, cause.AuthInvalid, cause.Possible, []cause.Code{"", cause.AuthInvalid}},
		{"a Secret that cannot be decoded, and everybody may pull", failing(image1, "illegal base64 data at input byte 0", holding(`{"auths":{"reg.example.com":{"auth":"!!"}}}`), podNames("s"), tried(gets(explain.Nobody, ""))), broken, cause.SecretBadAuth, cause.Proven, nil},
	}
}

// answered are answers to the pod's own login, beside what the node has heard.
func answered() []probedRow {
	const broken = explain.Broken
	at := func(r explain.Reach, o explain.Obstacle, status int, changes ...func(*explain.Tried)) change {
		return tried(with(ends(explain.ByPod, "s", r, o, status), changes...))
	}
	own := func(said string, changes ...change) *explain.Facts {
		return failing(image1, said, join(named(host), changes...)...)
	}
	none := at(explain.AtManifest, explain.NotThere, 404)
	digest := failing(host+"/a@sha256:"+strings.Repeat("a", 64), notFound, join(named(host), at(explain.AtManifest, explain.NotThere, 404, repository("there")))...)
	return []probedRow{
		{"no such tag", own(notFound, at(explain.AtManifest, explain.NotThere, 404, repository("there", "1.0"))), broken, cause.TagMissing, cause.Proven, nil},
		{"no such repository", own(notFound, at(explain.AtManifest, explain.NotThere, 404, repository("missing"))), broken, cause.RepoMissing, cause.Strong, nil},
		{"no such tag, or no such repository", own(notFound, none), broken, cause.TagMissing, cause.Strong, nil},
		{"no such digest", digest, broken, cause.DigestMissing, cause.Strong, nil},
		{"not found at the node, and here it is", own(notFound, tried(gets(explain.ByPod, "s"))), broken, cause.TagMissing, cause.Possible, []cause.Code{""}},
		{"no image for the node's platform", own(noPlatform, onNode("v1.37.2"), at(explain.AtPlatform, explain.OtherPlatforms, 0, manifested, platforms)), broken, cause.PlatformMissing, cause.Proven, nil},
		{"no such tag, where the node has no way", own(noHost, none), broken, cause.NetDNS, cause.Proven, []cause.Code{cause.TagMissing}},
		{"a part of the image is gone", own(gone, at(explain.AtLayers, explain.NotThere, 404, manifested)), broken, cause.BlobMissing, cause.Strong, nil},
		{"a part of the image is gone at the node, and here it is", own(gone, tried(gets(explain.ByPod, "s"))), broken, cause.BlobMissing, cause.Possible, []cause.Code{""}},
		{"a part of the image is forbidden", own(blobDenied, at(explain.AtLayers, explain.Forbidden, 403, manifested)), broken, cause.BlobForbidden, cause.Strong, nil},
		{"the storage forbids a part of the image", own(blobDenied, at(explain.AtLayers, explain.Forbidden, 403, manifested, inStorage)), broken, cause.BlobStorage403, cause.Strong, nil},
		{"a registry that fails for both", own(fails, at(explain.AtManifest, explain.ServerFails, 502)), broken, cause.Reg5XX, cause.Proven, nil},
		{"a registry that failed for the node", own(fails, tried(gets(explain.ByPod, "s"))), broken, cause.Reg5XX, cause.Proven, []cause.Code{""}},
		{"a token server that takes no POST", own(byPost, at(explain.AtToken, explain.PostRefused, 422)), broken, cause.AuthTokenShape, cause.Strong, nil},
		{"a token that the runtime does not find", own(noToken, at(explain.AtToken, explain.NoToken, 0)), broken, cause.AuthTokenShape, cause.Proven, nil},
		{"no way from the node, and one from here", own(noHost, tried(gets(explain.ByPod, "s"))), broken, cause.NetDNS, cause.Proven, nil},
		{"no way from either", own(noHost, at(explain.AtDNS, explain.NoHost, 0)), broken, cause.NetDNS, cause.Proven, nil},
		{"no way from here, and the node's login is refused", own(refused, at(explain.AtTCP, explain.NoAnswer, 0)), broken, cause.AuthInvalid, cause.Strong, []cause.Code{cause.NetTimeout}},
		{"a certificate that is not trusted here, and a tag that is missing", own(notFound, at(explain.AtTLS, explain.UnknownCA, 0)), broken, cause.TagMissing, cause.Possible, []cause.Code{cause.TLSUnknownCA}},
	}
}

// unheard are answers before kubelet has said anything.
func unheard() []probedRow {
	own := func(changes ...change) *explain.Facts { return failing(image1, "", join(named(host), changes...)...) }
	return []probedRow{
		{"all would come", own(tried(gets(explain.ByPod, "s"))), explain.OK, "", "", nil},
		{"all would come, for nobody", failing(image1, "", tried(gets(explain.Nobody, ""))), explain.OK, "", "", []cause.Code{cause.AuthNoCredential}},
		{"nobody gets it, and there is no login", failing(image1, "", tried(ends(explain.Nobody, "", explain.AtToken, explain.LoginNeeded, 401))), explain.Broken, cause.AuthNoCredential, cause.Strong, nil},
		{"the login would be refused", own(tried(ends(explain.ByPod, "s", explain.AtToken, explain.LoginRefused, 401))), explain.Broken, cause.AuthInvalid, cause.Strong, nil},
		{"the login would be refused, and everybody may pull", own(tried(ends(explain.ByPod, "s", explain.AtToken, explain.LoginRefused, 401), gets(explain.Nobody, ""))), explain.Broken, cause.CredOnPublic, cause.Strong, []cause.Code{cause.AuthInvalid}},
		{"there is no login, and a Secret that nobody names would do", failing(image1, "", login("s", host), tried(ends(explain.Nobody, "", explain.AtToken, explain.LoginNeeded, 401), gets(explain.BySecret, "s"))), explain.Broken, cause.SANotReferenced, cause.Strong, nil},
		{"the tag is not there", own(tried(with(ends(explain.ByPod, "s", explain.AtManifest, explain.NotThere, 404), repository("there")))), explain.Broken, cause.TagMissing, cause.Proven, nil},
		{"the registry is not reached from here", own(tried(ends(explain.ByPod, "s", explain.AtTCP, explain.NoAnswer, 0))), explain.Inconclusive, "", "", []cause.Code{cause.NetTimeout}},
		{"pullkey does not send the login there", own(tried(ends(explain.ByPod, "s", explain.AtChallenge, explain.NotSent, 0))), explain.Inconclusive, "", "", nil},
	}
}

func TestWhatTheRegistryAnswersIsJudgedBesideWhatTheNodeSaid(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(compared(), answered(), unheard()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := explain.Pod(c.facts, "")
			if err != nil {
				t.Fatal(err)
			}
			var noticed []cause.Code
			for _, f := range d.AlsoNoticed {
				noticed = append(noticed, f.Code)
				if f.Certainty == cause.Proven && d.Observed.Read.Errors[0].Kind != runtimeerror.LoginRefused {
					t.Errorf("what was noticed besides is told as proven: %+v", f)
				}
			}
			v := d.Verdict
			if diff := cmp.Diff(c.noticed, noticed); v.Status != c.status || v.Code != c.want || v.Certainty != c.sure || diff != "" {
				t.Errorf("got %s %s %s: %s\nwant %s %s %s; noticed %s", v.Status, v.Code, v.Certainty, v.Sentence, c.status, c.want, c.sure, diff)
			}
			text, err := json.Marshal(d)
			if err != nil || strings.Contains(string(text), password) {
				t.Errorf("%v: it shows a password: %s", err, text)
			}
		})
	}
}

// Whatever else is heard, the words of a mirror, of the way, or of another link never
// become what the client has proven of the registry.
func TestNothingIsProvenThatTheNodesWordsContradict(t *testing.T) {
	t.Parallel()
	client := []cause.Code{cause.CredOnPublic, cause.ScopeDenied, cause.RepoMissing, cause.TagMissing, cause.BlobMissing, cause.BlobForbidden, cause.AuthTokenShape, cause.PlatformMissing}
	for _, said := range ofWords() {
		alone, err := explain.Pod(said.facts, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, seen := range slices.Concat(compared(), answered()) {
			f := *said.facts
			f.Tried = seen.facts.Tried
			got, err := explain.Pod(&f, "")
			if err != nil {
				t.Fatal(err)
			}
			v := got.Verdict
			if v.Certainty == cause.Proven && slices.Contains(client, v.Code) && v.Code != alone.Verdict.Code && v.Link != alone.Verdict.Link && !related(alone.Verdict.Code, v.Code) {
				t.Errorf("%s, and from here %q: it is %s, and becomes %s", said.name, seen.name, alone.Verdict.Code, v.Code)
			}
		}
	}
}

// related tells whether a cause is a more exact one of the same words.
func related(words, exact cause.Code) bool {
	return slices.Contains(map[cause.Code][]cause.Code{
		cause.AuthInvalid: {cause.CredOnPublic}, cause.ScopeDenied: {cause.CredOnPublic, cause.RepoMissing}, cause.TagMissing: {cause.RepoMissing},
		cause.BlobMissing: {cause.BlobForbidden}, cause.AuthChallenge: {cause.CredOnPublic},
	}[words], exact)
}

func TestTheChainIsTheClientsFromTheNetworkOn(t *testing.T) {
	t.Parallel()
	d, err := explain.Pod(failing(image1, scope, join(named(host), tried(ends(explain.ByPod, "s", explain.AtScope, explain.NotGranted, 401)))...), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range d.Steps {
		if s.Vantage == cause.Client {
			got = append(got, string(s.Link)+" "+string(s.Status))
		}
	}
	want := []string{"network pass", "tls pass", "challenge pass", "token pass", "scope fail", "manifest skip", "platform skip", "layers skip"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhichLoginsAreTried(t *testing.T) {
	t.Parallel()
	static := func(f *explain.Facts) { f.Pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }
	capture := func(f *explain.Facts) { f.Secrets["s"] = explain.Redact(f.Secrets["s"], []byte("k")) }
	for _, c := range []struct {
		name    string
		facts   *explain.Facts
		besides []string
		want    []string
	}{
		{"the pod's, and nobody", failing(image1, refused, named(host)...), nil, []string{"pod s", "nobody "}},
		{"the ServiceAccount's that the pod has not", failing(image1, refused, join(named(host), login("t", host), accountNames("s", "t"))...), nil, []string{"pod s", "nobody ", "serviceAccount t"}},
		{"of Secrets that nobody names none", failing(image1, refused, join(named(host), login("t", host))...), nil, []string{"pod s", "nobody "}},
		{"of Secrets that nobody names those that are asked for", failing(image1, refused, join(named(host), login("t", host))...), []string{"t", "s", "none"}, []string{"pod s", "nobody ", "secret t"}},
		{"of another registry none", failing(image1, refused, join(named("quay.io"), login("t", host+":5000"))...), []string{"t"}, []string{"nobody "}},
		{"of a static pod none", failing(image1, refused, join(named(host), static)...), nil, []string{"nobody "}},
		{"what stands for a password in a ticket is none", failing(image1, refused, join(named(host), capture)...), nil, []string{"nobody "}},
		{"of a name that is none nothing", failing("A b", refused, named(host)...), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range c.facts.Attempts(c.facts.Pod.Spec.Containers[0].Image, c.besides) {
				got = append(got, string(a.Who)+" "+a.Secret)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
