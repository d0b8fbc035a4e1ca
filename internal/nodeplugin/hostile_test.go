package nodeplugin

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

func TestARequestThatIsNoneGetsOneLine(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	good := requestFor(enterpriseHost + "/shop/app")
	for name, c := range map[string]struct{ request, says string }{
		"nothing":                 {"", "it is empty"},
		"blanks":                  {" \n", "it is empty"},
		"10 MB of blanks":         {strings.Repeat(" ", 10<<20), "longer than 1 MiB"},
		"10 MB of one text":       {`{"kind":"` + strings.Repeat("k", 10<<20) + `"}`, "longer than 1 MiB"},
		"deep":                    {strings.Repeat(`{"a":`, 1e5), "it is not JSON"},
		"a list":                  {`[]`, "not a JSON object"},
		"another kind":            {strings.Replace(good, "CredentialProviderRequest", "CredentialProviderResponse", 1), "its kind is not CredentialProviderRequest"},
		"a kind in another case":  {strings.Replace(good, "CredentialProviderRequest", "credentialproviderrequest", 1), "its kind is not"},
		"an old version":          {strings.Replace(good, "/v1", "/v1beta1", 1), "its apiVersion is not credentialprovider.kubelet.k8s.io/v1"},
		"a field in another case": {strings.Replace(good, `"image"`, `"Image"`, 1), "the field image is spelled in another case"},
		"both cases":              {strings.Replace(good, `"image"`, `"IMAGE":"x.example.com/y","image"`, 1), "the field image is spelled in another case"},
		"twice":                   {strings.Replace(good, `"image"`, `"image":"x.example.com/y","image"`, 1), "a field is there twice"},
		"null":                    {strings.Replace(good, `"CredentialProviderRequest"`, `null`, 1), "the field kind is no text"},
		"a number for an image":   {`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":5}`, "the field image is no text"},
		"no image":                {`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1"}`, "the image has no registry"},
		"an image without host":   {requestFor("nginx"), "the image has no registry"},
		"a scheme":                {requestFor("https://" + enterpriseHost + "/x"), "the image has no registry"},
		"a second request":        {good + good, "something stands behind it"},
		"cut off":                 {good[:len(good)-3], "it is not JSON"},
		"a line break in a host":  {requestFor(`a\nb.example.com/x`), "the image has no registry"},
	} {
		got := o.provide(t, c.request)
		if got.code != exitFailed || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: got %d %q %q, want %q", name, got.code, got.stdout, got.stderr, c.says)
		}
	}
	for _, args := range [][]string{{"--what"}, {"what"}, {"--config"}, {"install"}, {"install", "--print", "--dir", "x"}, {"install", "--print", "x"}} {
		if got := o.run(t.Context(), Provider, good, nil, args...); got.code != exitMisused || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%q: got %+v", args, got)
		}
	}
	if got := o.run(t.Context(), Provider, "", nil, "--help"); got.code != exitDone || !strings.Contains(got.stdout, "usage:") {
		t.Errorf("--help: got %+v", got)
	}
	if len(o.calls) > 0 {
		t.Errorf("the cloud was asked: %v", o.calls)
	}
}

func TestWhatDockerNeverSendsGetsOneLine(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	for name, c := range map[string]struct {
		verb, stdin, says string
	}{
		"10 MB of blanks":             {"get", strings.Repeat(" ", 10<<20), "longer than 1 MiB"},
		"10 MB of a host":             {"get", strings.Repeat("a", 10<<20), "longer than 1 MiB"},
		"10 MB to erase":              {"erase", strings.Repeat("a", 10<<20), "longer than 1 MiB"},
		"10 MB to store":              {"store", `{"Secret":"` + strings.Repeat("s", 10<<20) + `"}`, "longer than 1 MiB"},
		"a host that is too long":     {"get", strings.Repeat("a", 1<<20), notFound},
		"two hosts":                   {"get", enterpriseHost + "\n" + enterpriseHost, notFound},
		"a host behind a user":        {"get", "https://" + enterpriseHost + "@evil.example", notFound},
		"our host as a user":          {"get", enterpriseHost + ":x@evil.example/v2/", notFound},
		"our host with another port":  {"get", enterpriseHost + ":8443", notFound},
		"our host below another":      {"get", enterpriseHost + ".evil.example", notFound},
		"what a terminal obeys":       {"get", "\x1b]0;x\a\u202e", notFound},
		"a deep login":                {"store", strings.Repeat(`{"ServerURL":`, 5e4), "it is not JSON"},
		"a login in another case":     {"store", `{"serverurl":"` + enterpriseHost + `","Secret":"s3cret"}`, "spelled in another case"},
		"a login with two servers":    {"store", `{"ServerURL":"a","ServerURL":"` + enterpriseHost + `"}`, "a field is there twice"},
		"a login of which a part is":  {"store", `{"ServerURL":"` + enterpriseHost + `","Secret":"s3cr`, "it is not JSON"},
		"a server that is no text":    {"store", `{"ServerURL":["s3cret"]}`, "it has no ServerURL"},
		"an action with a line break": {"get\nx\x1b\u202e", enterpriseHost, `the action "get\nx\x1b\u202e" is not known`},
	} {
		got := o.docker(t, c.verb, c.stdin, asKey)
		if got.code == exitDone || strings.Count(got.stdout, "\n") != 1 || got.stderr != "" || !strings.Contains(got.stdout, c.says) || strings.Contains(got.stdout, "s3cr") {
			t.Errorf("%s: got %d %q %q, want %q", name, got.code, got.stdout, got.stderr, c.says)
		}
	}
	if len(o.calls) > 0 {
		t.Errorf("the cloud was asked: %v", o.calls)
	}
}

func TestALineIsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\r\n\tb":                   "a b",
		"\x1b]0;x\a red \u009b31m":   "]0;x red 31m",
		"cri-\u202egnp\u2066x\u200b": "cri- gnp x",
		"a\u2028b\u0085c":            "a b c",
		"镜像 é":                       "镜像 é",
		"\xff":                       "?",
	} {
		if got := line(errors.New(text)); got != want {
			t.Errorf("%q is told as %q, want %q", text, got, want)
		}
	}
	if got := line(errors.New(strings.Repeat("é", longestLine))); len(got) > longestLine+len("...") || !utf8.ValidString(got) {
		t.Errorf("a long text is told in %d bytes", len(got))
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(requestFor(enterpriseHost + "/shop/app")))
	f.Add([]byte(requestWith(tokenOf("shop", "app"), `{"a":"b"}`)))
	f.Add([]byte(`{"kind":"CredentialProviderRequest","Kind":""}`))
	f.Add([]byte(strings.Replace(requestFor(enterpriseHost+"/shop/app"), `"Cred`, `"\u0043red`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		asked, err := parseRequest(data)
		if err != nil {
			if text := line(err); strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("the error is not one line of text: %q", text)
			}
			return
		}
		var fields map[string]any // as kubelet wrote them
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatalf("%q is read as a request and is no JSON: %v", data, err)
		}
		image, _ := fields[fieldImage].(string)
		if fields[fieldKind] != kindRequest || fields[fieldAPIVersion] != apiVersion || asked.host == "" || !strings.HasPrefix(image, asked.host+"/") {
			t.Errorf("%q is read as a request for %q", data, asked.host)
		}
		_, _ = accountOf(asked.token)
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("instances:\n- instanceId: cri-a\n  regionId: cn-hangzhou\n  domains: [a.example.com, b.example.com]\n" + roles))
	f.Add([]byte("instances: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err != nil {
			return
		}
		if len(c.instances) == 0 || len(c.hosts()) == 0 {
			t.Errorf("%q is a configuration that serves nobody", data)
		}
		var told struct {
			Providers []struct {
				Name            string   `yaml:"name"`
				MatchImages     []string `yaml:"matchImages"`
				TokenAttributes any      `yaml:"tokenAttributes"`
			} `yaml:"providers"`
		}
		document := kubeletConfig(c, DefaultConfig)
		hosts := c.hosts()
		slices.Sort(hosts)
		if err := yaml.Unmarshal(document, &told); err != nil || len(told.Providers) != 1 || told.Providers[0].Name != providerName ||
			!slices.Equal(told.Providers[0].MatchImages, hosts) || (told.Providers[0].TokenAttributes != nil) != c.byAccounts() {
			t.Errorf("of %q kubelet is told (%v)\n%s", data, err, document)
		}
	})
}
