package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pullkey/pullkey/internal/status"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// spy learns each secret that the metadata service and STS hand out or are
// shown. It stands before the servers of the local ACR.
type spy struct {
	mu    sync.Mutex
	known secrecy.Secrets
	// instead changes the answers of one server; nil changes none.
	instead func(r *http.Request, asked []byte, answer *httptest.ResponseRecorder)
	at      localacr.ServerKind
}

func (s *spy) wrap(server localacr.ServerKind, next http.Handler) http.Handler {
	if server != localacr.ServerAPI && server != localacr.ServerSTS && server != localacr.ServerMetadata {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			return // the connection is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(asked))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		s.mu.Lock()
		s.learn(server, r, asked, answer)
		if s.instead != nil && s.at == server {
			s.instead(r, asked, answer)
		}
		s.mu.Unlock()
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client is gone
	})
}

// learn notes what is secret of a request and its answer.
func (s *spy) learn(server localacr.ServerKind, r *http.Request, asked []byte, answer *httptest.ResponseRecorder) {
	what := string(server) + " " + r.URL.Query().Get("Action")
	add := func(name, value string) {
		if value != "" {
			s.known[fmt.Sprintf("%s: %s %d", strings.TrimSpace(what), name, len(s.known))] = value
		}
	}
	if form, err := url.ParseQuery(string(asked)); err == nil {
		add("OIDCToken", form.Get("OIDCToken"))
	}
	type key struct{ AccessKeySecret, SecurityToken string }
	var found struct {
		key

		Credentials key
	}
	if answer.Code != http.StatusOK {
		return
	}
	if r.Method == http.MethodPut && server == localacr.ServerMetadata {
		add("token", answer.Body.String())
	}
	if json.Unmarshal(answer.Body.Bytes(), &found) == nil {
		for _, k := range []key{found.key, found.Credentials} {
			add("AccessKeySecret", k.AccessKeySecret)
			add("SecurityToken", k.SecurityToken)
		}
	}
}

// learnt returns what is known now.
func (s *spy) learnt() secrecy.Secrets {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.known)
}

// answers has a server answer otherwise, from now on.
func (s *spy) answers(at localacr.ServerKind, instead func(r *http.Request, asked []byte, answer *httptest.ResponseRecorder)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.instead = at, instead
}

// repeat answers an error that quotes what is secret of the request, as the real
// ones quote what was signed. Of a long text the end would be left out. The same
// code is told once, whichever server says it.
func repeat(code string) func(*http.Request, []byte, *httptest.ResponseRecorder) {
	return func(r *http.Request, asked []byte, answer *httptest.ResponseRecorder) {
		form, _ := url.ParseQuery(string(asked)) // empty where there is none
		said := "StringToSign="
		for _, secret := range []string{r.URL.Query().Get("SecurityToken"), r.Header.Get("X-Acs-Security-Token"), form.Get("OIDCToken")} {
			if secret != "" {
				said += secret + "&" + url.QueryEscape(secret) + "&" + url.QueryEscape(url.QueryEscape(secret)) + "&"
			}
		}
		text, _ := json.Marshal(map[string]string{"Code": code, "Message": said + r.URL.RawQuery, "RequestId": "REPEATED"})
		answer.Code, answer.Body = http.StatusBadRequest, bytes.NewBuffer(text)
	}
}

// failed and cut answer with a key in what is no answer.
func failed(_ *http.Request, _ []byte, answer *httptest.ResponseRecorder) {
	answer.Body = bytes.NewBuffer(bytes.Replace(answer.Body.Bytes(), []byte(`"Code":"Success"`), []byte(`"Code":"NotToday"`), 1))
}

func cut(_ *http.Request, _ []byte, answer *httptest.ResponseRecorder) {
	if text := bytes.TrimSpace(answer.Body.Bytes()); bytes.HasPrefix(text, []byte("{")) {
		answer.Body = bytes.NewBuffer(text[:len(text)-1])
	}
}

// renewed is a configuration that has each chain ask anew: the life of a session
// is part of what it is.
func (c *chains) renewed(n int, namespace string) map[string]string {
	items := fmt.Sprintf(`- instanceId: cri-program
  regionId: cn-hangzhou
  rrsaRoleARN: %s
  rrsaOIDCProviderRoleARN: %s
  expireDuration: %[4]d
- instanceId: cri-other
  regionId: cn-hangzhou
  assumeRoleARN: %[3]s
  expireDuration: %[4]d
`, c.own, c.provider, c.elsewhere, 3600+n)
	return with(c.config, "acr-registry-info", items, "watch-namespace", namespace)
}

// troublesOfRoles are failures with secrets in them that come from the metadata
// service and from STS.
func (s *site) troublesOfRoles(c *chains, namespace string) []trouble {
	n := 0
	fault := func(f localacr.Fault) func(*testing.T) {
		n++
		config := c.renewed(n, namespace)
		return func(t *testing.T) {
			s.spy.answers("", nil)
			s.acr.Faults().Clear()
			if f.Kind != "" {
				if err := s.acr.Faults().Set(f); err != nil {
					t.Fatal(err)
				}
			}
			s.configure(t, config)
		}
	}
	answer := func(at localacr.ServerKind, instead func(*http.Request, []byte, *httptest.ResponseRecorder)) func(*testing.T) {
		n++
		config := c.renewed(n, namespace)
		return func(t *testing.T) {
			s.acr.Faults().Clear()
			s.spy.answers(at, instead)
			s.configure(t, config)
		}
	}
	return []trouble{
		{"a key that is no success", answer(localacr.ServerMetadata, failed), "NotToday"},
		{"a key that is cut off", answer(localacr.ServerMetadata, cut), "not what is documented"},
		{"STS that repeats the request", answer(localacr.ServerSTS, repeat("SignatureDoesNotMatch")), "SignatureDoesNotMatch: StringToSign="},
		{"STS that answers half", answer(localacr.ServerSTS, cut), "not what the API documents"},
		{"ACR that repeats the request", answer(localacr.ServerAPI, repeat("IncompleteSignature")), "IncompleteSignature: StringToSign="},
		{"a page from STS", fault(localacr.Fault{Kind: localacr.HTML, Action: localacr.ActionAssumeRole}), "HTTP status 502"},
		{"a role that may not be assumed", fault(localacr.Fault{Kind: localacr.ErrorCode, Action: localacr.ActionAssumeRole, Code: "NoPermission", Status: http.StatusForbidden}), "NoPermission"},
		{"a token for somebody else", func(t *testing.T) {
			s.writeToken(t, c.token, "somebody.else")
			fault(localacr.Fault{})(t)
		}, "AuthenticationFail.OIDCToken"},
	}
}

// well ends all troubles, and waits until new credentials are in the Secret.
func (s *site) well(t *testing.T, c *chains, n int, namespace string) {
	t.Helper()
	s.spy.answers("", nil)
	s.acr.Faults().Clear()
	s.configure(t, c.renewed(n, namespace))
	s.tells(t, "that all is well", areAll(status.Fresh))
	s.served(t, namespace)
}

func TestTheSecretsOfRolesStandNowhereEither(t *testing.T) {
	s, c := chained(t)
	namespace := s.namespace(t, "watched")
	p := s.run(t, append(c.arguments, "--verbose")...)
	troubles := s.troublesOfRoles(&c, namespace)
	s.tellsOf(t, p, troubles[:2]) // before there is a key to go on with
	s.well(t, &c, 100, namespace)
	s.tellsOf(t, p, troubles[2:])
	s.writeToken(t, c.token, stsAudience)
	s.well(t, &c, 200, namespace)

	known := s.spy.learnt()
	for _, kind := range []string{
		"metadata: token", "metadata: AccessKeySecret", "metadata: SecurityToken", "sts AssumeRole: AccessKeySecret", "sts AssumeRole: SecurityToken",
		"sts AssumeRoleWithOIDC: AccessKeySecret", "sts AssumeRoleWithOIDC: SecurityToken", "sts AssumeRoleWithOIDC: OIDCToken",
	} {
		n := 0
		for what := range known {
			if strings.HasPrefix(what, kind) {
				n++
			}
		}
		if t.Logf("%s: %d", kind, n); n == 0 {
			t.Errorf("no %s was planted", kind)
		}
	}
	s.collect(t, known, namespace)
	s.search(t, p, known, []string{"CredentialFetchFailed"}, namespace)
	s.searchFinds(t, known, map[string]string{namespace + "/" + secretName: "temporary password", home + "/pullkey-credentials": "temporary password"})
}
