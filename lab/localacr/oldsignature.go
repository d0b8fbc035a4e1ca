package localacr

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what the older signatures are made with
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

// The older signatures, which the vendor's libraries make on request, and for
// STS always (facts, section 2.4).

const roaPrefix = "acs "

// readRPC reads a signature that stands in the query, as the parameters of the
// RPC style do.
func readRPC(r *http.Request, parameters url.Values) (signed, *cloudError) {
	s := signed{
		key: parameters.Get("AccessKeyId"), token: parameters.Get("SecurityToken"), nonce: parameters.Get("SignatureNonce"),
	}
	for name, values := range parameters {
		if len(values) != 1 {
			return s, errIncompleteSignature(fmt.Errorf("parameter %s came %d times", name, len(values)))
		}
	}
	if parameters.Get("SignatureMethod") != "HMAC-SHA1" || parameters.Get("SignatureVersion") != "1.0" {
		return s, errIncompleteSignature(errors.New("SignatureMethod must be HMAC-SHA1, and SignatureVersion 1.0"))
	}
	if s.key == "" || parameters.Get("Signature") == "" {
		return s, errIncompleteSignature(errors.New("AccessKeyId or Signature is missing"))
	}
	if r.URL.Path != "/" {
		return s, errIncompleteSignature(errors.New("in the RPC style the path is /"))
	}
	var err *cloudError
	if s.date, err = readDate(timestamp, parameters.Get("Timestamp")); err != nil {
		return s, err
	}
	s.verify = func(secret credential.Secret) *cloudError {
		return matchSHA1(rpcText(r.Method, parameters), secret.Reveal()+"&", parameters.Get("Signature"))
	}
	return s, nil
}

// rpcText is what a signature of the RPC style must be of: query and form as one.
func rpcText(method string, parameters url.Values) string {
	var parts []string
	for name, values := range parameters {
		if name != "Signature" {
			parts = append(parts, percentEncode(name)+"="+percentEncode(values[0]))
		}
	}
	slices.Sort(parts)
	return method + "&%2F&" + percentEncode(strings.Join(parts, "&"))
}

// readROA reads the signature of the ROA style from the Authorization header.
func readROA(r *http.Request) (signed, *cloudError) {
	key, signature, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), roaPrefix), ":")
	s := signed{key: key, token: r.Header.Get("x-acs-security-token"), nonce: r.Header.Get("x-acs-signature-nonce")}
	if !ok || key == "" || signature == "" {
		return s, errIncompleteSignature(errors.New("the Authorization header is not: acs ID:SIGNATURE"))
	}
	if r.Header.Get("x-acs-signature-method") != "HMAC-SHA1" || r.Header.Get("x-acs-signature-version") != "1.0" {
		return s, errIncompleteSignature(errors.New("x-acs-signature-method must be HMAC-SHA1, and x-acs-signature-version 1.0"))
	}
	var err *cloudError
	if s.date, err = readDate(http.TimeFormat, r.Header.Get("Date")); err != nil {
		return s, err
	}
	s.verify = func(secret credential.Secret) *cloudError { return matchSHA1(roaText(r), secret.Reveal(), signature) }
	return s, nil
}

// roaText is what a signature of the ROA style must be of.
func roaText(r *http.Request) string {
	lines := []string{r.Method}
	for _, name := range []string{"Accept", "Content-MD5", "Content-Type", "Date"} {
		lines = append(lines, r.Header.Get(name))
	}
	var headers []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-acs-") {
			headers = append(headers, name+":"+strings.TrimSpace(strings.Join(values, ",")))
		}
	}
	slices.Sort(headers)
	resource := r.URL.EscapedPath()
	var query []string
	for name, values := range r.URL.Query() {
		query = append(query, strings.TrimSuffix(name+"="+values[0], "="))
	}
	if slices.Sort(query); len(query) > 0 {
		resource += "?" + strings.Join(query, "&")
	}
	return strings.Join(slices.Concat(lines, headers, []string{resource}), "\n")
}

func matchSHA1(text, key, signature string) *cloudError {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(text))
	expected := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !credential.NewSecret(expected).Equal(credential.NewSecret(signature)) {
		return errSignature(text) // as the cloud does, though a session token may stand in it
	}
	return nil
}
