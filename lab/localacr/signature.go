package localacr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const algorithm = "ACS3-HMAC-SHA256"

// clockTolerance is how far a request's date may be from the server's clock,
// and how long a nonce is remembered on either side (facts, section 2.8).
const clockTolerance = 15 * time.Minute

// authorization is the Authorization header of a signed request.
type authorization struct {
	credential, signature string
	headers               []string
}

// parseAuthorization reads `ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…`.
func parseAuthorization(value string) (authorization, error) {
	parameters, ok := strings.CutPrefix(value, algorithm+" ")
	if !ok {
		return authorization{}, errors.New("the Authorization header does not begin with " + algorithm)
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(parameters, ",") {
		name, text, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || text == "" {
			return authorization{}, fmt.Errorf("%q in the Authorization header is not name=value", part)
		}
		if _, twice := found[name]; twice {
			return authorization{}, fmt.Errorf("the Authorization header names %s twice", name)
		}
		found[name] = text
	}
	a := authorization{credential: found["Credential"], signature: found["Signature"]}
	if a.credential == "" || a.signature == "" || found["SignedHeaders"] == "" || len(found) != 3 {
		return authorization{}, errors.New("the Authorization header must hold exactly Credential, SignedHeaders and Signature")
	}
	a.headers = strings.Split(found["SignedHeaders"], ";")
	return a, nil
}

// requiredHeaders must be signed in every request; content-type and further
// x-acs headers too if they are sent.
func requiredHeaders(h http.Header) []string {
	required := []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
	for name := range h {
		name = strings.ToLower(name)
		if (name == "content-type" || strings.HasPrefix(name, "x-acs-")) && !slices.Contains(required, name) {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return required
}

// checkHeaders tells what is wrong with the list of signed headers.
func checkHeaders(signed []string, r *http.Request) error {
	if !slices.IsSorted(signed) || len(slices.Compact(slices.Clone(signed))) != len(signed) {
		return errors.New("SignedHeaders is not a sorted list of different names")
	}
	for _, name := range signed {
		if name != strings.ToLower(name) {
			return fmt.Errorf("SignedHeaders names %s, which is not in lower case", name)
		}
		if values := r.Header.Values(name); name != "host" && len(values) != 1 {
			return fmt.Errorf("header %s is signed and was received %d times", name, len(values))
		}
	}
	for _, name := range requiredHeaders(r.Header) {
		if !slices.Contains(signed, name) {
			return fmt.Errorf("header %s is not signed", name)
		}
	}
	return nil
}

// stringToSign computes from the request as it was received what its
// signature must be of (facts, section 2.5).
func stringToSign(r *http.Request, headers []string, body []byte) (string, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, name := range headers {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		lines.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	canonical := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), query, lines.String(), strings.Join(headers, ";"), hexHash(body),
	}, "\n")
	return algorithm + "\n" + hexHash([]byte(canonical)), nil
}

func canonicalQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", fmt.Errorf("read the query: %w", err)
	}
	var parts []string
	for name, list := range values {
		for _, value := range list {
			parts = append(parts, percentEncode(name)+"="+percentEncode(value))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&"), nil
}

// percentEncode escapes all but RFC 3986's unreserved characters.
func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func signatureOf(text, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// nonces are those that were used, until their requests would be too old anyway.
type nonces struct {
	mu   sync.Mutex
	used map[string]time.Time
}

// take tells whether the nonce is new, and notes it.
func (n *nonces) take(nonce string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for old, until := range n.used {
		if now.After(until) {
			delete(n.used, old)
		}
	}
	if _, used := n.used[nonce]; used {
		return false
	}
	if n.used == nil {
		n.used = map[string]time.Time{}
	}
	n.used[nonce] = now.Add(2 * clockTolerance)
	return true
}
