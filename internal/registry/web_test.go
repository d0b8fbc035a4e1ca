package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestALoginInTheBrowserGetsAnIdentityTokenAndNeverAPassword(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	k := b.talk(Options{})
	in, err := k.LoginWeb(t.Context(), WebOptions{Open: b.come(nil), Scopes: []Scope{PullScope("team/app")}})
	if err != nil {
		t.Fatal(err)
	}
	if in.Login.IdentityToken.Reveal() != refreshToken || !in.Login.Password.Empty() || !in.Checked || FormatScopes(in.Token.Granted) != "repository:team/*:pull" || in.Token.Anonymous {
		t.Errorf("it came to %+v, %+v", in, in.Token)
	}
	want := []string{
		"ping: protected resource request without a token", "server: authorization server metadata request", "server: authorization request",
		"server: authorization response", "token: access token request", "ping: accessing a protected resource",
	}
	if diff := cmp.Diff(want, k.names()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if why := k.steps[1].Why[0]; why != "the realm is the registry's own host" {
		t.Errorf("asked the authorization server because %q", why)
	}
	question := k.steps[2].Request.URL
	for _, part := range []string{b.URL + "/authorize?", "client_id=pullkey", "code_challenge=[redacted]", "code_challenge_method=S256", "response_type=code", "scope=repository:team/app:pull", "service=svc", "state=[redacted]", "redirect_uri=http://127.0.0.1:"} {
		if !strings.Contains(question, part) {
			t.Errorf("the authorization request does not say %q: %s", part, question)
		}
	}
	k.quiet(t, in)
}

func TestWhatIsStoredIsWhatTheRegistryHasTaken(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	give := func(token string) func() (int, any) {
		return func() (int, any) {
			return http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 300, "refresh_token": refreshToken}
		}
	}
	b.answers = []func() (int, any){give("a-token-that-is-not-taken"), give(accessToken)}
	k := b.talk(Options{})
	if _, err := k.LoginWeb(t.Context(), WebOptions{Open: b.come(nil)}); err != nil {
		t.Fatal(err)
	}
	// The second token must come of the identity token, and not be anybody's.
	at := slices.IndexFunc(k.steps, func(s Step) bool { return slices.Contains(s.Request.Form, Field{"grant_type", "refresh_token"}) })
	if at < 0 {
		t.Errorf("the identity token was not tried: %q", k.names())
	}
}

func TestWhatTheBrowserBringsIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(url.Values)
		cause  Cause
		want   string
	}{
		{"denied", func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, CauseDenied, "it was denied"},
		{"an error that steers terminals", func(q url.Values) { q.Set("error", "x\x1b[31m"); q.Set("error_description", "y\x1b]0;z\x07") }, CauseServer, "answers the error x[31m; it says: y]0;z"},
		{"a scope that there is not", func(q url.Values) { q.Set("error", "invalid_scope") }, CauseScope, "does not know such a scope"},
		{"not registered", func(q url.Values) { q.Set("error", "unauthorized_client") }, CauseServer, "does not know pullkey"},
		{"from another authorization server", func(q url.Values) { q.Set("iss", "https://evil.example") }, CausePolicy, "another authorization server: https://evil.example"},
		{"from two", func(q url.Values) { q.Add("iss", "https://evil.example") }, CausePolicy, "another authorization server"},
		{"from one that is not named", func(q url.Values) { q.Del("iss") }, CausePolicy, "does not say which authorization server"},
		{"an error that is not this one's", func(q url.Values) { q.Set("error", "access_denied"); q.Set("iss", "https://evil.example") }, CausePolicy, "another authorization server"},
		{"no code", func(q url.Values) { q.Del("code") }, CauseServer, "without a code"},
		{"two codes", func(q url.Values) { q.Add("code", "x") }, CauseServer, "without a code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := openBureau(t)
			k := b.talk(Options{})
			_, err := k.LoginWeb(t.Context(), WebOptions{Open: b.come(c.change)})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %s: %q", err, c.cause, c.want)
			}
			if slices.Contains(b.log, "POST /token") {
				t.Error("a code was shown all the same")
			}
			k.quiet(t, err)
		})
	}
}

func TestAnswersToTheCodeThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		code  int
		body  any
		cause Cause
		want  string
	}{
		{"refused, with what was sent", 400, map[string]any{"error": "invalid_grant", "error_description": "not " + theCode + "\x1b"}, CauseCredential, "is not taken; it says: not [redacted]"},
		{"a failure", 500, "x", CauseServer, "answers HTTP 500 Internal Server Error"},
		{"a redirect", 307, "x", CauseServer, "answers HTTP 307 Temporary Redirect"},
		{"no token", 200, map[string]any{}, CauseServer, "holds no token"},
		{"no JSON", 200, "x", CauseServer, "cannot be read as JSON"},
		{"nothing to keep", 200, map[string]any{"access_token": accessToken}, CauseServer, "holds no refresh token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := openBureau(t)
			b.answers = []func() (int, any){func() (int, any) { return c.code, c.body }}
			k := b.talk(Options{})
			_, err := k.LoginWeb(t.Context(), WebOptions{Open: b.come(nil)})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %s: %q", err, c.cause, c.want)
			}
			if n := strings.Count(strings.Join(b.log, "\n"), "POST /token"); n != 1 {
				t.Errorf("the code was shown %d times", n)
			}
			k.quiet(t, err)
		})
	}
}

func TestTheRedirectTakesOneAnswerAndNoOther(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	k := b.talk(Options{})
	open := func(ctx context.Context, page string) error {
		u, err := url.Parse(page)
		if err != nil {
			return err
		}
		back := u.Query().Get("redirect_uri")
		good := url.Values{"state": {u.Query().Get("state")}, "code": {theCode}, "iss": {b.URL}}.Encode()
		for _, c := range []struct {
			name, method, address, host string
			status                      int
		}{
			{"another state", "GET", back + "?state=x&code=evil", "", 400},
			{"no state", "GET", back + "?code=evil", "", 400},
			{"the state twice", "GET", back + "?" + good + "&state=x", "", 400},
			{"another host's name for 127.0.0.1", "GET", back + "?" + good, "evil.example", 404},
			{"another path", "GET", strings.TrimSuffix(back, redirectPath) + "/?" + good, "", 404},
			{"another method", "POST", back + "?" + good, "", 404},
		} {
			if status, body, err := visit(ctx, c.method, c.address, c.host); err != nil || status != c.status || strings.Contains(body, "evil") {
				t.Errorf("%s: answered %d %s, %v", c.name, status, body, err)
			}
		}
		return b.come(nil)(ctx, page)
	}
	if _, err := k.LoginWeb(t.Context(), WebOptions{Open: open}); err != nil {
		t.Error(err)
	}
}

// patience is a context whose time is over when the test says so.
type patience struct {
	context.Context //nolint:containedctx // it is one
	over            chan struct{}
}

func (p patience) Done() <-chan struct{} { return p.over }

func (p patience) Err() error {
	select {
	case <-p.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestALoginInTheBrowserEndsWhenNobodyComes(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	address := ""
	remember := func(_ context.Context, page string) error {
		u, err := url.Parse(page)
		address = u.Query().Get("redirect_uri")
		return err
	}
	late := patience{t.Context(), make(chan struct{})}
	wait := func(ctx context.Context, page string) error {
		close(late.over)
		return remember(ctx, page)
	}
	if _, err := b.talk(Options{}).LoginWeb(late, WebOptions{Open: wait}); err == nil || !strings.Contains(err.Error(), "nobody allowed it in time") {
		t.Errorf("got %v", err)
	}
	if _, _, err := visit(t.Context(), http.MethodGet, address, ""); err == nil {
		t.Error("the listener is still open")
	}
	gone, leave := context.WithCancel(t.Context())
	_, err := b.talk(Options{}).LoginWeb(gone, WebOptions{Open: func(context.Context, string) error { leave(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, err = b.talk(Options{}).LoginWeb(t.Context(), WebOptions{Open: func(context.Context, string) error { return errors.New("no display") }})
	if err == nil || !strings.Contains(err.Error(), "could not be opened: no display") {
		t.Errorf("got %v", err)
	}
}
