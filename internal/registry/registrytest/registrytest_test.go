package registrytest

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func start(t *testing.T, o Options) (*Registry, *http.Client) {
	t.Helper()
	r, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	return r, &http.Client{Transport: transport}
}

func send(t *testing.T, c *http.Client, req *http.Request, authorization string) (*http.Response, string) {
	t.Helper()
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func get(t *testing.T, c *http.Client, url, authorization string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, c, req, authorization)
}

// ask asks the token server by POST and returns the token.
func ask(t *testing.T, r *Registry, c *http.Client, form url.Values) (status int, token string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.Realm(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, body := send(t, c, req, "")
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer.Token
}

func TestATokenIsGoodForItsScopeUntilItExpires(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r, c := start(t, Options{Now: func() time.Time { return now }, TokenLife: time.Minute, Hidden: []string{"team/hidden"}})
	for _, repository := range []string{"team/app", "team/other", "team/hidden"} {
		if _, err := r.Push(repository, "1", Image{}); err != nil {
			t.Fatal(err)
		}
	}
	password := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"open sesame"}, "service": {Service}}
	manifest := func(repository string) string { return r.URL() + "/v2/" + repository + "/manifests/1" }

	res, _ := get(t, c, manifest("team/app"), "")
	want := `Bearer realm="` + r.URL() + `/token",service="registry.test",scope="repository:team/app:pull"`
	if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || got != want {
		t.Errorf("without a token: %d, challenge %s; want %s", res.StatusCode, got, want)
	}
	password.Set("scope", "repository:team/app:pull,push repository:team/hidden:pull")
	status, token := ask(t, r, c, password)
	if status != 200 {
		t.Fatalf("a token for the right password: status %d", status)
	}
	for _, step := range []struct {
		name, repository string
		after            time.Duration
		status           int
		problem          string
	}{
		{"its own repository", "team/app", 0, 200, ""},
		{"a repository that was not asked for", "team/other", 0, 401, `error="insufficient_scope"`},
		{"a repository that was asked for and not granted", "team/hidden", 0, 401, `error="insufficient_scope"`},
		{"the last second", "team/app", 59 * time.Second, 200, ""},
		{"after it expired", "team/app", time.Second, 401, `error="invalid_token"`},
	} {
		now = now.Add(step.after)
		res, _ := get(t, c, manifest(step.repository), "Bearer "+token)
		if res.StatusCode != step.status || !strings.Contains(res.Header.Get("WWW-Authenticate"), step.problem) {
			t.Errorf("%s: %d, challenge %q; want %d with %q", step.name, res.StatusCode, res.Header.Get("WWW-Authenticate"), step.status, step.problem)
		}
	}
	for name, form := range map[string]url.Values{
		"a wrong password":      {"grant_type": {"password"}, "username": {"alice"}, "password": {"guess"}},
		"a wrong refresh token": {"grant_type": {"refresh_token"}, "refresh_token": {"guess"}},
	} {
		if status, _ := ask(t, r, c, form); status != 401 {
			t.Errorf("%s: status %d; want 401", name, status)
		}
	}
	if status, token := ask(t, r, c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.RefreshToken()}}); status != 200 || token == "" {
		t.Errorf("the refresh token: status %d", status)
	}
}

func TestTheRecordsNameTheSecretsThatCame(t *testing.T) {
	t.Parallel()
	r, c := start(t, Options{})
	if _, err := r.Push("team/app", "1", Image{}); err != nil {
		t.Fatal(err)
	}
	_, token := ask(t, r, c, url.Values{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"open sesame"}, "scope": {"repository:team/app:pull"},
	})
	get(t, c, r.Elsewhere()+"/token?hidden=x"+token+"x", "")
	get(t, c, r.Elsewhere()+"/token", "Basic YWxpY2U6b3BlbiBzZXNhbWU=")
	get(t, c, r.elsewherePlain.at("localhost")+"/token", "Bearer "+r.RefreshToken())
	get(t, c, r.URL()+"/v2/team/app/manifests/1", "Bearer "+token)
	type seen struct{ Server, Authorization, Carries string }
	var got []seen
	for _, q := range r.Requests() {
		got = append(got, seen{q.Server, q.Authorization, strings.Join(q.Carries, ", ")})
		if text := q.String(); strings.Contains(text, "sesame") {
			t.Errorf("the record shows a password: %s", text)
		}
	}
	want := []seen{
		{"registry", "", "password"},
		{"elsewhere", "", "bearer token"},
		{"elsewhere", "Basic", "password"},
		{"elsewhere-plain", "Bearer", "refresh token"},
		{"registry", "Bearer", "bearer token"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	last := r.Requests()[4].String()
	if want := "registry: GET /v2/team/app/manifests/1 as Bearer -> 200"; last != want {
		t.Errorf("the last request is shown as %q; want %q", last, want)
	}
}

func TestAnImageIsWholeAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	r, c := start(t, Options{Auth: None})
	i := Image{Platforms: []string{"linux/amd64", "linux/arm/v7"}, Layers: []int64{10, 2000}, Docker: true}
	one, err := r.Push("a", "1", i)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := r.Push("a", "1", i); err != nil || two.Digest != one.Digest {
		t.Errorf("pushed again it is %v, %v; want %v", two, err, one)
	}
	res, body := get(t, c, r.URL()+"/v2/a/manifests/1", "")
	if res.Header.Get("Docker-Content-Digest") != one.Digest || Digest([]byte(body)) != one.Digest {
		t.Errorf("the index is %s, its header says %s; want %s", Digest([]byte(body)), res.Header.Get("Docker-Content-Digest"), one.Digest)
	}
	var index, m manifest
	if err := json.Unmarshal([]byte(body), &index); err != nil {
		t.Fatal(err)
	}
	if got := *index.Manifests[1].Platform; got != (Platform{OS: "linux", Architecture: "arm", Variant: "v7"}) {
		t.Errorf("the second platform is %v", got)
	}
	_, body = get(t, c, r.URL()+"/v2/a/manifests/"+index.Manifests[1].Digest, "")
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for _, d := range append(m.Layers, *m.Config) {
		_, body := get(t, c, r.URL()+"/v2/a/blobs/"+d.Digest, "")
		if Digest([]byte(body)) != d.Digest || int64(len(body)) != d.Size {
			t.Errorf("the blob %s of %d bytes is %s of %d", d.Digest, d.Size, Digest([]byte(body)), len(body))
		}
	}
}

func TestEveryQuirkHasANameOfItsOwnAndAnUnknownOneIsRefused(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, q := range Quirks() {
		if seen[q.Name] || q.About == "" || q.wrap == nil {
			t.Errorf("the quirk %q is there twice or incomplete", q.Name)
		}
		seen[q.Name] = true
	}
	if r, err := Start(Options{Quirks: []string{"none such"}}); err == nil {
		r.Close()
		t.Error("a registry with an unknown quirk started")
	}
}
