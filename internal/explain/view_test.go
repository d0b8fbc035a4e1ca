package explain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// seen adds what node n1 sees: of its hosts, each as it was asked.
func seen(hosts ...explain.ViewHost) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.NodeName = "n1"
		f.View = &explain.View{Node: "n1", File: "/etc/containerd/certs.d/reg.example.com/hosts.toml", Hosts: hosts, Trust: []string{"/etc/ssl/certs/ca-certificates.crt"}}
	}
}

func viewed(url string, t explain.Tried) explain.ViewHost {
	t.Vantage = cause.Node
	return explain.ViewHost{URL: url, Tried: &t}
}

// stoppedAt is how nobody's asking ended at the registry, seen from the node, after a
// while that tells something.
func stoppedAt(at explain.Reach, by explain.Obstacle) explain.ViewHost {
	t := ends(explain.Nobody, "", at, by, 0)
	t.TookMs = 9000
	return viewed("https://"+host, t)
}

func proxied(f *explain.Facts) { f.View.Proxied = true }

// aheadBy is the node's clock beside the registry's, where the API server may not be asked.
func aheadBy(ms int64) change {
	return func(f *explain.Facts) { f.View.AheadMs, f.NoClock = &ms, true }
}

func leaseRead(f *explain.Facts) { f.NoClock = false }

func quick(h explain.ViewHost) explain.ViewHost {
	h.Tried.TookMs = 900
	return h
}

var unknownCA = backOff(`failed to do request: Head "https://reg.example.com/v2/a/manifests/1": tls: failed to verify certificate: x509: certificate signed by unknown authority`)

// TestWhatTheNodeSeesDecidesOfItsWay: each row beside its twin that looks like it.
func TestWhatTheNodeSeesDecidesOfItsWay(t *testing.T) {
	t.Parallel()
	const broken, fine, open = explain.Broken, explain.OK, explain.Inconclusive
	quiet := func(changes ...change) *explain.Facts { return failing(image1, "", join(named(host), changes...)...) }
	own := func(said string, changes ...change) *explain.Facts {
		return failing(image1, said, join(named(host), changes...)...)
	}
	wants := stoppedAt(explain.AtToken, explain.LoginNeeded)
	silent := ends(explain.ByPod, "s", explain.AtTCP, explain.NoAnswer, 0)
	mirror := viewed("https://mirror.example.com", ends(explain.Nobody, "", explain.AtScope, explain.Forbidden, 403))
	for _, c := range []probedRow{
		{"before a pull, the node has no address of the registry", quiet(seen(stoppedAt(explain.AtDNS, explain.NoHost))), broken, cause.NetDNS, cause.Proven, nil},
		{"before a pull, the node comes as far as a login", quiet(seen(wants)), fine, "", "", nil},
		{"from here nobody answers, and the node comes as far as a login", quiet(tried(silent), seen(wants)), open, "", "", nil},
		{"the node does not reach the token server", quiet(seen(stoppedAt(explain.AtToken, explain.NoHost))), broken, cause.AuthRealmUnreachable, cause.Proven, nil},
		{"a certificate of another name", quiet(seen(stoppedAt(explain.AtTLS, explain.WrongName))), broken, cause.TLSName, cause.Proven, nil},
		{"a certificate of somebody whom the runtime may know", quiet(seen(stoppedAt(explain.AtTLS, explain.UnknownCA))), fine, "", "", []cause.Code{cause.TLSUnknownCA}},
		{"a certificate that kubelet has refused, and the same is seen", own(unknownCA, seen(stoppedAt(explain.AtTLS, explain.UnknownCA))), broken, cause.TLSUnknownCA, cause.Proven, nil},
		{"no address, and the runtime has a proxy", quiet(seen(stoppedAt(explain.AtDNS, explain.NoHost)), proxied), fine, "", "", []cause.Code{cause.NetDNS}},
		{"kubelet's proxy finds no address, and the direct way is open", own(noHost, seen(wants), proxied), broken, cause.NetDNS, cause.Proven, nil},
		{"pullkey does not ask that address", quiet(seen(stoppedAt(explain.AtChallenge, explain.NotSent))), fine, "", "", nil},
		{"kubelet had no address, and pullkey does not ask the one that is there", own(noHost, seen(stoppedAt(explain.AtChallenge, explain.NotSent))), broken, cause.NetDNS, cause.Proven, nil},
		{"the storage of a public image is not found", quiet(seen(stoppedAt(explain.AtLayers, explain.NoHost))), broken, cause.BlobStorageUnreachable, cause.Proven, nil},
		{"a conversation that is slow to its end", quiet(seen(stoppedAt(explain.AtLayers, explain.NoAnswer))), fine, "", "", []cause.Code{cause.BlobStorageUnreachable}},
		{"no answer for nine seconds", quiet(seen(stoppedAt(explain.AtTCP, explain.NoAnswer))), broken, cause.NetTimeout, cause.Proven, nil},
		{"no answer for one second", quiet(seen(quick(stoppedAt(explain.AtTCP, explain.NoAnswer)))), fine, "", "", []cause.Code{cause.NetTimeout}},
		{"the node had no address, and has none", own(noHost, seen(stoppedAt(explain.AtDNS, explain.NoHost))), broken, cause.NetDNS, cause.Proven, nil},
		{"the node had no address, and has one now", own(noHost, seen(wants)), broken, cause.NetDNS, cause.Proven, []cause.Code{""}},
		{"a login that was refused, and the way is gone since", own(refused, seen(stoppedAt(explain.AtDNS, explain.NoHost))), broken, cause.AuthInvalid, cause.Strong, []cause.Code{cause.NetDNS}},
		{"a mirror that refuses goes before the registry", own(viaMirror, seen(mirror, wants)), broken, cause.MirrorMasks, cause.Strong, nil},
		{"a certificate that has not begun, and the clock is an hour behind", own(expired, seen(wants), aheadBy(-3600_000)), broken, cause.ClockSkew, cause.Strong, []cause.Code{""}},
		{"the same, and the API server knows the node's clock to be right", own(expired, seen(wants), aheadBy(-3600_000), leaseRead), broken, cause.TLSExpired, cause.Proven, []cause.Code{""}},
		{"a certificate that has not begun, no date from the registry, and the pod is not made yet by the runtime's clock", own(expired, seen(stoppedAt(explain.AtTLS, explain.NotValidNow)), noClock), broken, cause.ClockSkew, cause.Strong, []cause.Code{cause.TLSExpired}},
		{"a certificate that ended, by a clock that nobody knows", own(ended, seen(stoppedAt(explain.AtTLS, explain.NotValidNow)), noClock), broken, cause.TLSExpired, cause.Possible, nil},
		{"a certificate that ended, and the clock is right", own(expired, seen(stoppedAt(explain.AtTLS, explain.NotValidNow)), aheadBy(900)), broken, cause.TLSExpired, cause.Proven, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := explain.Pod(c.facts, "")
			if err != nil {
				t.Fatal(err)
			}
			var noticed []cause.Code
			for _, f := range d.AlsoNoticed {
				noticed = append(noticed, f.Code)
			}
			v := d.Verdict
			if diff := cmp.Diff(c.noticed, noticed); v.Status != c.status || v.Code != c.want || v.Certainty != c.sure || diff != "" {
				t.Errorf("got %s %s %s: %s\nwant %s %s %s; noticed %s", v.Status, v.Code, v.Certainty, v.Sentence, c.status, c.want, c.sure, diff)
			}
		})
	}
}

func TestTheWayIsTheNodesWhereItWasAsked(t *testing.T) {
	t.Parallel()
	d, err := explain.Pod(failing(image1, "", join(named(host), tried(gets(explain.ByPod, "s")), seen(stoppedAt(explain.AtToken, explain.LoginNeeded)))...), "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[cause.Link]cause.Vantage{}
	for _, s := range d.Steps {
		if _, twice := got[s.Link]; twice {
			t.Errorf("%s stands twice", s.Link)
		}
		got[s.Link] = s.Vantage
	}
	for link, want := range map[cause.Link]cause.Vantage{cause.Network: cause.Node, cause.TLS: cause.Node, cause.Challenge: cause.Node, cause.Token: cause.Client, cause.Manifest: cause.Client} {
		if got[link] != want {
			t.Errorf("%s is seen from %q, want %q", link, got[link], want)
		}
	}
}

func TestALinkThatNobodyWentIsNotTold(t *testing.T) {
	t.Parallel()
	for name, facts := range map[string]*explain.Facts{
		"an address that pullkey does not ask": failing(image1, "", join(named(host), seen(stoppedAt(explain.AtChallenge, explain.NotSent)))...),
		"a node whose runtime has a proxy":     failing(image1, "", join(named(host), seen(stoppedAt(explain.AtDNS, explain.NoHost)), proxied)...),
	} {
		d, err := explain.Pod(facts, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range d.Steps {
			if s.Vantage == cause.Node && (s.Status == explain.Pass || s.Status == explain.Fail) {
				t.Errorf("%s: %s is told as %s: %s", name, s.Link, s.Status, s.Summary)
			}
		}
	}
}

func TestSettingsOfTheNodeAreEvidenceOfAMirror(t *testing.T) {
	t.Parallel()
	mirror := viewed("https://mirror.example.com", ends(explain.Nobody, "", explain.AtScope, explain.Forbidden, 403))
	mirror.Capabilities, mirror.SkipVerify, mirror.Headers = []string{"pull", "resolve"}, true, []string{"X-Key"}
	d, err := explain.Pod(failing(image1, viaMirror, join(named(host), seen(mirror, stoppedAt(explain.AtToken, explain.LoginNeeded)))...), "")
	if err != nil {
		t.Fatal(err)
	}
	want := "node n1, /etc/containerd/certs.d/reg.example.com/hosts.toml: https://mirror.example.com (pull, resolve), whatever its certificate, with header X-Key, then https://reg.example.com"
	if !slices.Contains(d.Verdict.Evidence, want) || !strings.Contains(strings.Join(d.Verdict.Evidence, "\n"), "asked from the node as nobody") {
		t.Errorf("got %q, want %q, and what the mirror answered", d.Verdict.Evidence, want)
	}
}
