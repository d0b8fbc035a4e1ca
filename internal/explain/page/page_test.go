package page_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/explain/page"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// nobody is what a registry says to somebody without a login.
const nobody = "it wants to know who asks (HTTP 401 Unauthorized), and no credential is given"

// refused is a pull that a registry refuses to one login, and gives to another.
func refused() explain.Diagnosis {
	const host = "registry-vpc.cn-hangzhou.aliyuncs.com"
	const realm = "dockerauth-vpc.cn-hangzhou.aliyuncs.com"
	const words = `failed to pull and unpack image "` + host + `/shop/cart:1.4": failed to resolve image: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://` + realm + `/auth?scope=repository%3Ashop%2Fcart%3Apull&service=registry.aliyuncs.com%3Acn-hangzhou%3A26842: 401 Unauthorized`
	ask := func(method, host, path string, status int) explain.Request {
		return explain.Request{Method: method, Host: host, Path: path, Status: status, TookMs: 12}
	}
	return explain.Diagnosis{
		APIVersion: explain.APIVersion, Kind: explain.Kind,
		Target:   explain.Target{Namespace: "shop", Pod: "cart-7c9d-x2lbv", Container: "cart", ContainerKind: "container", Image: host + "/shop/cart:1.4", Node: "node-3"},
		Observed: &explain.Observed{Reason: "ImagePullBackOff", Message: words, From: "status", Read: runtimeerror.Read(words)},
		Verdict: explain.Verdict{Status: explain.Broken, Finding: explain.Finding{
			Code: cause.KeyVPCVsPublic, Certainty: cause.Proven, Link: cause.Keyring, Sentence: "the key is for another endpoint of the same registry, so that kubelet has no login",
			Evidence: []string{`host: "registry" is not "registry-vpc"`},
			Compare:  &explain.Compare{ImageIs: host, KeyIs: "registry.cn-hangzhou.aliyuncs.com", Of: "Secret shop/acr"},
			Fixes: []explain.Fix{
				{Title: "add this registry with the same login", Command: "pullkey secret add-host acr " + host + " --like registry.cn-hangzhou.aliyuncs.com -n shop"},
				{Title: "have the pod made anew, which also skips the wait of up to 5 minutes", Command: "kubectl -n shop delete pod cart-7c9d-x2lbv"},
			},
		}},
		Steps: []explain.Step{
			{Link: cause.Reference, Status: explain.Pass, Vantage: cause.API, Summary: host + " / shop/cart : 1.4"},
			{Link: cause.Keyring, Status: explain.Fail, Vantage: cause.API, Summary: "0 of 1 keys match", Code: cause.KeyVPCVsPublic},
			{Link: cause.Token, Status: explain.Fail, Vantage: cause.Client, Summary: nobody},
			{Link: explain.Said, Status: explain.Fail, Vantage: cause.API, Summary: words},
		},
		Logins: []explain.Login{{Secret: "acr", Key: "registry.cn-hangzhou.aliyuncs.com", Username: "cr_temp_user", Mismatch: "host"}},
		Tried: []explain.Tried{
			{
				Who: explain.Nobody, Vantage: cause.Client, Host: host, Reach: explain.AtToken, Stopped: &explain.Stopped{Obstacle: explain.LoginNeeded, Status: 401, Host: realm, Text: nobody},
				Requests: []explain.Request{ask("HEAD", host, "/v2/shop/cart/manifests/1.4", 401), ask("GET", realm, "/auth?scope=repository%3Ashop%2Fcart%3Apull&service=registry.aliyuncs.com", 401)},
			},
			{
				Who: explain.BySecret, Secret: "acr", Username: "cr_temp_user", Vantage: cause.Client, Host: host, Reach: explain.Done, Digest: "sha256:00",
				Requests: []explain.Request{ask("POST", realm, "/auth", 200), ask("GET", host, "/v2/shop/cart/manifests/1.4", 200), ask("HEAD", host, "/v2/shop/cart/blobs/sha256:00", 200)},
			},
		},
		Timeline:   []explain.Moment{{At: at, What: "Pod shop/cart-7c9d-x2lbv was made", Who: "kube-controller-manager"}},
		NotChecked: []explain.NotChecked{{What: "the Secrets of the namespace", Why: "the API server forbids it", Rule: `{"apiGroups":[""],"resources":["secrets"],"verbs":["list"]}`}},
	}
}

// seen is what a node sees: a mirror that refuses, one that was not asked, and the
// registry.
func seen() *explain.View {
	const host = "registry.example.com"
	return &explain.View{
		Node: "node-3", File: "/etc/containerd/certs.d/" + host + "/hosts.toml",
		Trust: []string{"/etc/ssl/certs/ca-certificates.crt"}, AheadMs: new(int64(90_000)),
		Hosts: []explain.ViewHost{
			{URL: "https://mirror.example.com", Capabilities: []string{"pull", "resolve"}, Tried: &explain.Tried{Who: explain.Nobody, Vantage: cause.Node, Reach: explain.AtScope, Stopped: &explain.Stopped{Obstacle: explain.Forbidden, Status: 403, Text: "the registry forbids it (HTTP 403)"}}},
			{URL: "https://old-mirror.internal.example.com:5000", SkipVerify: true, Headers: []string{"X-Key"}, NotAsked: "containerd asks it whatever its certificate, and pullkey does not"},
			{URL: "https://" + host, Tried: &explain.Tried{Who: explain.Nobody, Vantage: cause.Node, Reach: explain.AtToken, Stopped: &explain.Stopped{Obstacle: explain.LoginNeeded, Status: 401, Text: nobody}}},
		},
	}
}

// proxied is the same of a node whose runtime goes by a proxy: then nothing is known of
// how far it comes.
func proxied() *explain.View {
	v := seen()
	v.Proxied, v.Proxies = true, []string{"HTTPS_PROXY=http://proxy.internal.example.com:3128", "NO_PROXY=localhost,127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,.svc,.cluster.local"}
	v.Trust, v.Unread = append(v.Trust, "/etc/containerd/certs.d/registry.example.com/ca.crt"), []string{"read /etc/systemd/system/docker.service.d/proxy.conf: permission denied"}
	return v
}

// unseen is a pull that fails on the way, with what the node sees of it.
func unseen() explain.Diagnosis {
	d := refused()
	const host = "registry.example.com"
	const words = `failed to pull and unpack image "` + host + `/shop/cart:1.4": failed to resolve image: unexpected status from HEAD request to https://mirror.example.com/v2/shop/cart/manifests/1.4?ns=` + host + `: 403 Forbidden`
	d.Target.Image = host + "/shop/cart:1.4"
	d.Observed.Message, d.Observed.Read = words, runtimeerror.Read(words)
	v := seen()
	d.Verdict.Finding = explain.Finding{
		Code: cause.MirrorMasks, Certainty: cause.Strong, Link: cause.Manifest, Sentence: "the mirror mirror.example.com, which the node asks before registry.example.com, does not give the image, and hides what the registry itself says",
		Evidence: []string{
			"status, reason ImagePullBackOff: " + words,
			"node node-3, " + v.File + ": " + v.Order(),
			"asked from the node as nobody: " + v.Hosts[0].Tried.Stopped.Text,
			"asked from the node as nobody: " + v.Hosts[2].Tried.Stopped.Text,
		},
		Fixes: []explain.Fix{{Title: "on the node, ask the mirror so, then the registry, and mend the one that should have it", Command: "curl -sSi https://mirror.example.com/v2/"}},
	}
	d.Logins = []explain.Login{{Order: 1, Secret: "acr", Key: host, Username: "shop-reader", Matched: true}}
	d.Steps = []explain.Step{
		{Link: cause.Reference, Status: explain.Pass, Vantage: cause.API, Summary: host + " / shop/cart : 1.4"},
		{Link: cause.Keyring, Status: explain.Pass, Vantage: cause.API, Summary: host + ` matches "` + host + `" of Secret acr (user shop-reader)`},
		{Link: cause.Network, Status: explain.Pass, Vantage: cause.Node, Summary: host + " answers"},
		{Link: cause.Challenge, Status: explain.Pass, Vantage: cause.Node, Summary: "Bearer realm=https://auth.example.com/token service=registry.example.com"},
		{Link: explain.Said, Status: explain.Fail, Vantage: cause.API, Summary: words},
	}
	d.Tried, d.View, d.NotChecked = nil, v, nil
	return d
}

func TestThePageHasAllOfADiagnosis(t *testing.T) {
	t.Parallel()
	two := refused()
	two.Verdict = explain.Verdict{
		Status: explain.Broken, Finding: explain.Finding{Code: cause.RepoMissing, Certainty: cause.Possible, Sentence: "there is no such repository"},
		Alternatives: []explain.Finding{{Code: cause.ScopeDenied, Sentence: "the login may not pull it", Fixes: []explain.Fix{{Title: "give it the right"}}}},
	}
	two.Tried = []explain.Tried{{
		Who: explain.Nobody, Vantage: cause.Client, Host: "registry.example.com", Reach: explain.AtTCP, Stopped: &explain.Stopped{Obstacle: explain.NoAnswer, Text: "no answer came in time"},
		Requests: []explain.Request{{Method: "HEAD", Host: "registry.example.com", Path: "/v2/shop/cart/manifests/1.4", TookMs: 10_000}},
	}}
	two.Target.Workload, two.View = "replicaset/web", proxied()
	two.AlsoNoticed = []explain.Finding{{Code: cause.PolicyAlways, Certainty: cause.Possible, Sentence: "the image is on the node, and the pod wants it asked for each time"}}
	for name, all := range map[string][]explain.Diagnosis{"one": {refused()}, "two": {refused(), two}, "node": {unseen()}, "none": nil} {
		got := page.Of(all, page.Options{At: at, Names: map[cause.Link]string{cause.Reference: "image name", cause.Keyring: "kubelet's match", explain.Said: "runtime said"}})
		if name != "one" && name != "node" { // which a browser is shown (lab/chromium)
			before, rest, _ := strings.Cut(got, "<style>\n")
			_, after, _ := strings.Cut(rest, "</style>")
			got = before + "<style></style>" + after
		}
		path := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if diff := cmp.Diff(string(want), got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// Whatever a field holds, it is text: no element, attribute or address comes of it, and
// no sign that is not to be seen.
func TestNothingOfAClusterOrARegistryIsHTML(t *testing.T) {
	t.Parallel()
	d := refused()
	d.View = proxied()
	const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)><a href=javascript:x>&lt;` + "\u202e\x1b[31m\x00" + `</style></title>{{.}} %s`
	n := spoil(reflect.ValueOf(&d).Elem(), hostile)
	if n < 60 {
		t.Fatalf("got %d fields", n)
	}
	text := page.Of([]explain.Diagnosis{d}, page.Options{At: at})
	if i := strings.IndexAny(text, "\u202e\x1b\x00"); i >= 0 {
		t.Errorf("a sign that is not to be seen: %q", text[max(0, i-40):i+10])
	}
	elements := strings.Fields("html head meta title style body article h1 h2 p span dl dt dd mark pre ol li b wbr div svg text line path g details summary table tr td code")
	attributes := strings.Fields("d lang charset http-equiv content name class data-sign width height viewbox role aria-label x y dy x1 y1 x2 y2 text-anchor")
	z, shown := html.NewTokenizer(strings.NewReader(text)), 0
	for z.Next() != html.ErrorToken {
		one := z.Token()
		if one.Type == html.TextToken {
			shown += strings.Count(one.Data, "<script>alert(1)")
			continue
		}
		if one.Data != "html" && !slices.Contains(elements, one.Data) {
			t.Errorf("an element %q", one.Data)
		}
		for _, a := range one.Attr {
			if !slices.Contains(attributes, strings.ToLower(a.Key)) {
				t.Errorf("an attribute %s of %s", a.Key, one.Data)
			}
		}
	}
	if shown < 30 {
		t.Errorf("it stands in %d places only", shown)
	}
}

// spoil puts a text into every string below a value.
func spoil(v reflect.Value, text string) int {
	n := 0
	switch v.Kind() { //nolint:exhaustive // no other kinds hold strings there
	case reflect.String:
		v.SetString(text)
		return 1
	case reflect.Pointer:
		if !v.IsNil() {
			n += spoil(v.Elem(), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 0
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				n += spoil(v.Field(i), text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += spoil(v.Index(i), text)
		}
	}
	return n
}

// What a runtime says holds names that have no room in a line, above all on a phone.
func TestALongWordIsBrokenBehindItsSigns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ words, want string }{
		"words that have room":            {"failed to resolve reg.io/a:1", "failed to resolve reg.io/a:1"},
		"a name that has none":            {`image "registry.example.com/team/app:1": no`, `image <span class="long">&#34;registry.example.com/<wbr>team/<wbr>app:<wbr>1&#34;:</span> no`},
		"a digest has one sign":           {"sha256:0123456789abcdef0123456789abcdef", `<span class="long">sha256:<wbr>0123456789abcdef0123456789abcdef</span>`},
		"a scheme stays with its host":    {"https://registry.internal.example.com/v2/", `<span class="long">https://registry.internal.example.com/<wbr>v2/</span>`},
		"and what it holds is no element": {"<b>0123456789/0123456789/0123456789</b>", `<span class="long">&lt;b&gt;0123456789/<wbr>0123456789/<wbr>0123456789&lt;/<wbr>b&gt;</span>`},
	} {
		d := explain.Diagnosis{Steps: []explain.Step{{Status: explain.Fail, Summary: c.words}}}
		if got := page.Of([]explain.Diagnosis{d}, page.Options{At: at}); !strings.Contains(got, "<span>"+c.want+"</span></li>") {
			t.Errorf("%s: %s is not in %s", name, c.want, got)
		}
	}
}
