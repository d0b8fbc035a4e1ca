package localacr

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const (
	loopback = "http://127.0.0.1:40123/callback"
	verifier = "a-verifier-of-the-length-that-is-asked-for_43.~"
	pullApp  = "repository:team/app:pull"
)

func challengeOf(verifier string) string {
	hash := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// issuer is the origin of the Enterprise instance's realm.
func (c *cloud) issuer() string { return strings.TrimSuffix(c.instance(enterpriseID).Realm, "/auth") }

// registry is the base URL of the registry of the Enterprise instance.
func (c *cloud) registry() string { return c.scheme() + "://" + c.instance(enterpriseID).Hosts[0] }

// alice may pull all of team/, and push to team/app.
func (c *cloud) alice() (password string) {
	return c.AddUser("alice",
		Grant{Instance: enterpriseID, Repository: "team/*", Actions: []string{"pull"}},
		Grant{Instance: enterpriseID, Repository: "team/app", Actions: []string{"push"}}).Reveal()
}

// question is a good request for consent, with changes; nil takes one away.
func (c *cloud) question(changes url.Values) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"pullkey"}, "redirect_uri": {loopback}, "state": {"st4te"},
		"scope": {pullApp}, "service": {c.instance(enterpriseID).Service},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	for name, values := range changes {
		if q[name] = values; values == nil {
			delete(q, name)
		}
	}
	return q
}

// redemption is a good redemption of a code, with changes.
func (c *cloud) redemption(code string, changes url.Values) url.Values {
	f := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {"pullkey"},
		"redirect_uri": {loopback}, "code_verifier": {verifier},
	}
	for name, values := range changes {
		if f[name] = values; values == nil {
			delete(f, name)
		}
	}
	return f
}

// browser is a person's browser with no script: cookies, forms, and redirects
// that are followed as long as they stay at the server.
type browser struct {
	*cloud
	http *http.Client
}

func (c *cloud) browser() *browser {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return &browser{c, &http.Client{Transport: c.http.Transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if c.issuer() != r.URL.Scheme+"://"+r.URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

func (b *browser) do(r *http.Request) reply {
	b.t.Helper()
	return (&cloud{b.ACR, b.t, b.clock, b.http}).do(r)
}

func (b *browser) open(path string, q url.Values) reply {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, b.issuer()+path+"?"+q.Encode()))
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// fill returns the form of a page as it is sent with these fields.
func (b *browser) fill(p reply, fields url.Values) *http.Request {
	b.t.Helper()
	action := formAction.FindSubmatch(p.body)
	if action == nil {
		b.t.Fatalf("the page (%d) has no form:\n%s", p.status, p.body)
	}
	form := url.Values{}
	for _, f := range hidden.FindAllSubmatch(p.body, -1) {
		form.Set(string(f[1]), html.UnescapeString(string(f[2])))
	}
	for name, values := range fields {
		form[name] = values
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.issuer()+string(action[1]), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (b *browser) send(p reply, fields url.Values) reply {
	b.t.Helper()
	return b.do(b.fill(p, fields))
}

// signIn opens the page for a question and signs in; it returns the page that
// asks for consent.
func (b *browser) signIn(q url.Values, user, password string) reply {
	b.t.Helper()
	return b.send(b.open("/authorize", q), url.Values{"user": {user}, "password": {password}})
}

// sentTo is where a page led the browser, with its answer.
func (r reply) sentTo(t *testing.T) (place string, answer url.Values) {
	t.Helper()
	at, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusSeeOther {
		t.Fatalf("the browser was sent nowhere: %d %s", r.status, r.body)
	}
	answer = at.Query()
	at.RawQuery = ""
	return at.String(), answer
}

// code goes through the pages as a person who approves, and returns the code.
func (c *cloud) code(q url.Values, user, password string) string {
	c.t.Helper()
	b := c.browser()
	_, answer := b.send(b.signIn(q, user, password), url.Values{"do": {"approve"}}).sentTo(c.t)
	if answer.Get("code") == "" {
		c.t.Fatalf("no code came: %v", answer)
	}
	return answer.Get("code")
}

// post posts a form to a path of the authorization server.
func (c *cloud) post(path string, fields url.Values) reply {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.issuer()+path, strings.NewReader(fields.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

// expect checks an answer in JSON: its status, and fields in pairs of name and
// text; the text "" means that there is no such field.
func (r reply) expect(t *testing.T, what string, status int, pairs ...string) {
	t.Helper()
	fields := r.object(t)
	ok := r.status == status
	for i := 0; i < len(pairs); i += 2 {
		got, _ := fields[pairs[i]].(string)
		ok = ok && got == pairs[i+1]
	}
	if !ok {
		t.Errorf("%s: answered %d %s; want %d %q", what, r.status, r.body, status, pairs)
	}
}

// reads and writes check what the registry answers to a read or to the
// beginning of a write with a token. A repository that is empty is not found.
func (c *cloud) reads(what, token, repository string, status int) {
	c.t.Helper()
	if got := c.get(c.registry()+"/v2/"+repository+"/tags/list", token); got.status != status {
		c.t.Errorf("%s: a read of %s was answered %d; want %d", what, repository, got.status, status)
	}
}

func (c *cloud) writes(what, token, repository string, status int) {
	c.t.Helper()
	r := c.request(http.MethodPost, c.registry()+"/v2/"+repository+"/blobs/uploads/")
	r.Header.Set("Authorization", "Bearer "+token)
	if got := c.do(r); got.status != status {
		c.t.Errorf("%s: a write to %s was answered %d; want %d", what, repository, got.status, status)
	}
}
