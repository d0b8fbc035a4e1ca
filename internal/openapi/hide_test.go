package openapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
)

// What a session and a cluster have, in kind and, shortened, in length.
var (
	realKey = credential.AccessKey{
		ID: "STS.NUgYrLnoC37mZZCNnAbez", Secret: credential.NewSecret("CVwjCkNzTMupZ8NbTCxCBRq3K16jtc"),
		SessionToken: credential.NewSecret("CAISiAJ1q6Ft5B2yfSjIr5D/L+7XgLlg5a+FbhL8qWEYdPp7i4jEpD+z2HhMf3Nq/BoAAv+XlZ0lR3gYmQ=="),
	}
	oidcToken = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjFhIn0.eyJpc3MiOiJodHRwczovL29pZGMifQ.q-Zt_3Vb9xKJm2Wc8sRd5Yh7Lp0Tn4Ge6Ua1"
)

func secretsOf(key credential.AccessKey, more ...credential.Secret) []credential.Secret {
	return append([]credential.Secret{key.Secret, key.SessionToken}, more...)
}

// writings are the ways in which somebody may write s.
func writings(s string) []string {
	quoted, _ := json.Marshal(s)
	slashed := strings.Trim(string(quoted), `"`)
	all := []string{
		s, url.QueryEscape(s), url.QueryEscape(url.QueryEscape(s)),
		strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%3D", "%3d").Replace(url.QueryEscape(s)),
		slashed, strings.ReplaceAll(slashed, "/", `\/`), strings.NewReplacer("=", `\u003d`, "+", `\u002B`, "/", `\u002f`).Replace(s),
		html.EscapeString(s), strings.NewReplacer("=", "&#61;", "+", "&#x2B;", "/", "&sol;").Replace(s),
	}
	for shift := range 3 {
		for _, plain := range []string{s, url.QueryEscape(s)} {
			behind := append([]byte("x:y"[:shift]), plain...)
			all = append(all, base64.StdEncoding.EncodeToString(behind), base64.URLEncoding.EncodeToString(behind))
		}
	}
	return all
}

// leak returns a part of a secret, in any writing, that text shows; telling is
// how long a part must be to tell something.
func leak(text string, telling int, secrets ...string) string {
	for _, s := range secrets {
		for _, w := range writings(s) {
			for i := 0; i+telling <= len(w); i++ {
				if strings.Contains(text, w[i:i+telling]) {
					return w[i : i+telling]
				}
			}
		}
	}
	return ""
}

// echoes are answers that quote what was sent, in the words given.
func echoes(words string) map[string]http.HandlerFunc {
	quoted, _ := json.Marshal(words)
	raw := func(bytes string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, bytes)
			_ = conn.Close()
		}
	}
	return map[string]http.HandlerFunc{
		"message":    writes(400, `{"Code":"SignatureDoesNotMatch","Message":`+string(quoted)+`}`),
		"code":       writes(403, `{"Code":`+string(quoted)+`}`),
		"request id": writes(400, `{"Code":"X","RequestId":`+string(quoted)+`}`),
		"header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Acs-Request-Id", words)
			w.WriteHeader(500)
		},
		"page":          writes(502, "<html><p>You sent "+words+".</p></html>"),
		"page, 200":     writes(200, "<html><p>You sent "+words+".</p></html>"),
		"cut page":      writes(502, "<html>"+words[:len(words)*2/3]),
		"late in a cut": writes(502, strings.Repeat("y ", 80)+words),
		"cut JSON":      writes(200, `{"Message":`+string(quoted[:len(quoted)*2/3])),
		"plain, lines":  writes(502, strings.Join(lines(words, 20), "\n")),
		"no HTTP":       raw(words + "\r\n\r\n"),
		"status line":   raw("HTTP/1.1 " + words + "\r\n\r\n"),
		"header line":   raw("HTTP/1.1 200 OK\r\n" + words + "\r\n\r\n"),
		"length":        raw("HTTP/1.1 200 OK\r\nContent-Length: " + words + "\r\n\r\n"),
		"encoding":      raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + words + "\r\n\r\n"),
		"breaks off":    raw("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + words),
		"chunk":         raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + words + "\r\n"),
		"location":      raw("HTTP/1.1 302 Found\r\nLocation: https://example.com/?" + words + "\r\nContent-Length: 0\r\n\r\n"),
		"nothing":       raw(""),
	}
}

func lines(s string, width int) []string {
	var all []string
	for ; len(s) > width; s = s[width:] {
		all = append(all, s[:width])
	}
	return append(all, s)
}

// The cloud quotes the request, headers and query included, when a signature
// does not match; proxies and their pages quote it in ways of their own.
func TestAnErrorDoesNotRepeatWhatWasSent(t *testing.T) {
	t.Parallel()
	token, secret := realKey.SessionToken.Reveal(), realKey.Secret.Reveal()
	requests := map[string]Request{
		"ACS3":     question,
		"RPC":      {Style: RPC, Action: "AssumeRole", Version: "1", Method: http.MethodPost, Path: "/", Form: map[string]string{"A": "b"}, About: "a"},
		"Unsigned": {Style: Unsigned, Action: "AssumeRoleWithOIDC", Version: "1", Method: http.MethodPost, Path: "/", Form: map[string]string{"OIDCToken": oidcToken}, About: "a"},
	}
	var answer atomic.Pointer[http.HandlerFunc]
	srv := newCloud(t, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	for style, r := range requests {
		r.Secrets = []credential.Secret{credential.NewSecret(oidcToken)}
		for _, planted := range []string{token, secret, oidcToken} {
			for i, words := range writings(planted) {
				for where, echo := range echoes(words) {
					if style != "ACS3" && i > 0 {
						continue // the ways of writing are the same for all styles
					}
					answer.Store(&echo)
					err := ask(t, realKey, srv.URL, r)
					e := asError(t, err)
					said := fmt.Sprintf("%v %+v %q %q %v", err, *e, e.Hint(), e.RequestID, e.Unwrap())
					if part := leak(said, 16, token, secret, oidcToken); part != "" {
						t.Errorf("%s, %s, writing %d: shows %q: %s", style, where, i, part, said)
					}
				}
			}
		}
	}
}

func TestAnErrorOfTheConnectionShowsNoQuery(t *testing.T) {
	t.Parallel()
	r := Request{Style: RPC, Action: "AssumeRole", Version: "1", Method: http.MethodPost, Path: "/", About: "a"}
	for _, endpoint := range []string{refuses, "https://127.0.0.1:1", newCloud(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).URL} {
		err := ask(t, realKey, endpoint, r)
		if asError(t, err).Status != 0 || strings.ContainsAny(err.Error(), "?&") || strings.Contains(err.Error(), "Signature") {
			t.Errorf("got %v", err)
		}
	}
}

func TestWhatIsNoSecretIsShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Specified access key is not found.",
		"INSTANCE_ACCESS_VPC_LIMIT_EXCEED",
		"0C6A4B1E-2F3D-5A6B-8C7D-9E0F1A2B3C4D",
		"You are not authorized to do this action. Resource: acs:ram::1234567890123456:role/puller Action: sts:AssumeRole",
		"tls: failed to verify certificate: x509: certificate is valid for cr.cn-hangzhou.aliyuncs.com, not cr-vpc.cn-hangzhou.aliyuncs.com",
		"https://cr-vpc.cn-hangzhou.aliyuncs.com: dial tcp: lookup cr-vpc.cn-hangzhou.aliyuncs.com on 10.0.0.10:53: no such host",
		"",
	} {
		if got := hide(text, secretsOf(realKey, credential.NewSecret(oidcToken), credential.Secret{})); got != text {
			t.Errorf("got  %q\nwant %q", got, text)
		}
	}
}

// Who tries a key of one letter must be able to read what comes of it.
func TestAKeyThatIsTooShortIsNotHiddenInOtherWords(t *testing.T) {
	t.Parallel()
	const text = "https://cr.cn-hangzhou.aliyuncs.com: no such host"
	short := credential.AccessKey{ID: "cr", Secret: credential.NewSecret("e")}
	if got := hide(text, append(secretsOf(short), credential.NewSecret(short.ID))); got != text {
		t.Errorf("got %q; want %q", got, text)
	}
	if got, want := hide("you sent longer-than-eight", secretsOf(short, credential.NewSecret("longer-than-eight"))), "you sent [redacted]"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// Whatever stands around a secret, and wherever it is cut, hide finds it.
func FuzzHide(f *testing.F) {
	f.Add("x-acs-security-token:", " end", uint8(0), uint16(0), uint16(999))
	f.Add("%2", "%", uint8(2), uint16(7), uint16(40))
	f.Add(`{"a":"\u00`, `"}`, uint8(9), uint16(3), uint16(60))
	// One is the beginning of the other, whose rest is too short to be found alone.
	const rest = "IJK-q7"
	pair := []credential.Secret{credential.NewSecret("abcdefgh"), credential.NewSecret("abcdefgh" + rest)}
	// What stands before a cut may look like the start of an escape and take
	// some letters with it, so that a part with few letters is not found.
	const telling = 32
	f.Fuzz(func(t *testing.T, before, after string, writing uint8, from, to uint16) {
		token := realKey.SessionToken.Reveal()
		if leak(before+after, telling, token) != "" {
			t.Skip("planted twice")
		}
		all := writings(token)
		words := all[int(writing)%len(all)]
		start := int(from) % len(words)
		end := start + int(to)%(len(words)-start+1)
		text := hide(before+words[start:end]+after, secretsOf(realKey))
		if part := leak(text, telling, token); part != "" {
			t.Errorf("shows %q: %q", part, text)
		}
		if text := hide(before+pair[1].Reveal()+after, pair); !strings.Contains(before+after, rest) && strings.Contains(text, rest) {
			t.Errorf("shows the rest of the longer one: %q", text)
		}
	})
}

// A signature of the RPC style is as short as a request id.
func TestASignatureThatIsQuotedIsNotShown(t *testing.T) {
	t.Parallel()
	var signature string
	srv := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		signature = r.URL.Query().Get("Signature")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"Code":"SignatureDoesNotMatch","Message":%q}`, "you sent "+signature)
	})
	q := question
	q.Style = RPC
	err := asError(t, ask(t, staticKey, srv.URL, q))
	if said := fmt.Sprintf("%v %+v", err, *err); len(signature) < 20 || leak(said, 12, signature) != "" {
		t.Errorf("the signature %q is shown: %s", signature, said)
	}
}
