package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/oauth"
)

// TestTheGuideShowsWhatHappens runs every command of docs/guides/oauth.md and
// compares what it prints with what stands there; with -update it is written
// there.
func TestTheGuideShowsWhatHappens(t *testing.T) {
	guide, err := filepath.Abs(filepath.Join(root, "docs", "guides", "oauth.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scene := range []struct {
		name  string
		acr   func(*localacr.Options)
		play  func(*desk)
		later []int // steps that the guide has shown before
	}{
		{"password", nil, (*desk).password, nil},
		{"client credentials", nil, (*desk).clientCredentials, nil},
		{"web", nil, (*desk).web, []int{1, 6}},
		{"denied", nil, (*desk).denied, nil},
		{"device", nil, (*desk).device, []int{1, 2, 6}},
		{"scope", nil, (*desk).scope, []int{1}},
		{"stopped", nil, (*desk).stopped, []int{1}},
		{"implicit", func(o *localacr.Options) { o.Implicit = true }, (*desk).leak, nil},
	} {
		t.Run(scene.name, func(t *testing.T) {
			d := sit(t, scene.acr)
			scene.play(d)
			got := "```\n" + without(d.shown(), scene.later) + "```\n"
			for _, secret := range []string{d.p.password, d.p.secret} {
				if strings.Contains(got, secret) {
					t.Error("a secret is shown")
				}
			}
			if *update {
				if err := document.SetPart(guide, scene.name, got); err != nil {
					t.Fatal(err)
				}
			}
			want, err := document.Part(guide, scene.name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the guide shows something else; write it anew with -update, and read the difference (-guide +seen):\n%s", diff)
			}
		})
	}
}

var stepTitle = regexp.MustCompile(`(?m)^(\d+)\. `)

// without leaves out steps of a trace, and says so.
func without(text string, steps []int) string {
	var b strings.Builder
	var left []string
	leave := func() {
		if len(left) > 0 {
			b.WriteString("… " + strings.Join(left, ", ") + " as above\n\n")
		}
		left = nil
	}
	at := stepTitle.FindAllStringSubmatchIndex(text, -1)
	starts := []int{0}
	for _, m := range at {
		starts = append(starts, m[0])
	}
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		part := text[start:end]
		if !slices.Contains(steps, i) {
			leave()
			b.WriteString(part)
			continue
		}
		left = append(left, "step "+fmt.Sprint(i))
		// What follows a step on the screen is not part of it.
		if _, after, found := strings.Cut(part, "\n\n"); found && strings.TrimSpace(after) != "" {
			leave()
			b.WriteString(after)
		}
	}
	leave()
	return strings.TrimSpace(b.String()) + "\n"
}

func (d *desk) password() {
	d.pullkey(0, d.p.password, "login", d.p.host, "--username", "alice", "--password-stdin", "--client", "containerd", "--trace")
}

func (d *desk) web() {
	d.person = oauth.Approve
	d.pullkey(0, "", "login", d.p.host, "--web", "--trace")
}

func (d *desk) denied() {
	d.person = oauth.Deny
	d.pullkey(1, "", "login", d.p.host, "--web")
}

func (d *desk) device() {
	d.patience = 2 // the person is slower than the first question
	d.person = oauth.Approve
	d.pullkey(0, "", "login", d.p.host, "--device", "--trace")
}

// loggedIn is a desk at which somebody has logged in before.
func (d *desk) loggedIn() {
	d.t.Helper()
	d.web()
	d.forget()
}

func (d *desk) scope() {
	d.loggedIn()
	d.pullkey(0, "", "token", d.p.host+"/demo/hello")
	d.print("\n")
	d.pullkey(1, "", "token", d.p.host+"/shop/web", "--trace")
}

func (d *desk) stopped() {
	d.loggedIn()
	if err := d.p.StopAuthorization(); err != nil {
		d.t.Fatal(err)
	}
	d.pullkey(1, "", "pull", d.p.host+"/demo/hello:1", "--output", "app", "--trace")
}

// clientCredentials is a robot that is no pullkey: golang.org/x/oauth2 asks,
// and what goes over the wire is printed.
func (d *desk) clientCredentials() {
	config := clientcredentials.Config{
		ClientID: "robot", ClientSecret: d.p.secret, TokenURL: d.p.issuer() + "/auth", Scopes: []string{pullApp},
		EndpointParams: url.Values{"service": {d.p.service()}}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	client := d.p.client()
	client.Transport = wiretap{d, client.Transport}
	token, err := config.Token(contextWith(d.t.Context(), client))
	if err != nil {
		d.t.Fatal(err)
	}
	if got := d.p.read(token.AccessToken, "demo/hello"); got != http.StatusOK {
		d.t.Errorf("the robot's read was answered %d", got)
	}
}

// wiretap prints requests for a token and their answers, less their secrets.
type wiretap struct {
	d    *desk
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(sent)))
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	came, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(string(came)))
	id, _, _ := r.BasicAuth()
	w.d.print("%s %s\nAuthorization: Basic %s:[redacted]\nContent-Type: %s\n\n", r.Method, r.URL, id, r.Header.Get("Content-Type"))
	w.d.print("%s\n\n", strings.ReplaceAll(string(sent), "&", "\n&"))
	shown := regexp.MustCompile(`"(access_token|token)":"[^"]+"`).ReplaceAllString(string(came), `"$1":"[redacted]"`)
	w.d.print("%s\n%s", resp.Status, strings.ReplaceAll(shown, `,"`, ",\n \""))
	return resp, nil
}

// leak is the implicit grant: what the browser's address bar shows after it,
// and what whoever reads it there can do.
func (d *desk) leak() {
	question := url.Values{
		"response_type": {"token"}, "client_id": {"pullkey"}, "redirect_uri": {"http://127.0.0.1:50003/callback"},
		"scope": {pullApp}, "service": {d.p.service()},
	}
	last, err := d.p.decide(d.t.Context(), d.p.issuer()+"/authorize?"+question.Encode(), oauth.Approve)
	if err != nil {
		d.t.Fatal(err)
	}
	place, fragment, _ := strings.Cut(last, "#")
	answer, err := url.ParseQuery(fragment)
	if err != nil {
		d.t.Fatal(err)
	}
	token := answer.Get("access_token")
	if !strings.HasPrefix(fragment, "access_token="+token) {
		d.t.Fatalf("the address is %s", last)
	}
	shown := strings.Replace(fragment, token, token[:20]+"…[the whole token]", 1)
	d.print("# what the address bar and the history show\n%s#%s\n\n", place, strings.ReplaceAll(shown, "&", "\n  &"))
	d.print("# with what was copied from there\n$ curl --cacert ca.crt -H \"Authorization: Bearer $COPIED\" https://%s/v2/demo/hello/tags/list\n", d.p.host)
	d.print("%s", d.p.ask(http.MethodGet, "https://"+d.p.host+"/v2/demo/hello/tags/list", token, nil).body)
}

func TestStepsThatTheGuideHasShownAreLeftOutInWords(t *testing.T) {
	t.Parallel()
	trace := "$ x\n1. one\n   a\n\n2. two\n   b\n\nwords\n\n3. three\n   c\n\nend\n"
	for _, c := range []struct {
		steps []int
		want  string
	}{
		{nil, trace},
		{[]int{1, 2}, "$ x\n… step 1, step 2 as above\n\nwords\n\n3. three\n   c\n\nend\n"},
		{[]int{3}, "$ x\n1. one\n   a\n\n2. two\n   b\n\nwords\n\n… step 3 as above\n\nend\n"},
	} {
		if diff := cmp.Diff(c.want, without(trace, c.steps)); diff != "" {
			t.Errorf("without %v (-want +got):\n%s", c.steps, diff)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "docs", "guides", "consent.png")); err != nil {
		t.Error(err)
	}
}
