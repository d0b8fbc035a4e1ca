package openapi

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what STS takes
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

const algorithm = "ACS3-HMAC-SHA256"

// message is what the signature covers. Header names are in lower case.
type message struct {
	method, path string
	query, form  map[string]string
	header       map[string]string
	body         string // the form as it is sent
}

// authorization returns the Authorization header that Alibaba Cloud's OpenAPI
// asks for, signature version 3 ("V3 request body & signature mechanism").
func (m message) authorization(key credential.AccessKey) string {
	names := slices.Sorted(maps.Keys(m.header))
	signed := strings.Join(names, ";")
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + strings.TrimSpace(m.header[name]) + "\n")
	}
	canonical := strings.Join([]string{m.method, m.path, m.rawQuery(), headers.String(), signed, m.header["x-acs-content-sha256"]}, "\n")
	hash := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(key.Secret.Reveal()))
	mac.Write([]byte(algorithm + "\n" + hex.EncodeToString(hash[:])))
	return algorithm + " Credential=" + key.ID + ",SignedHeaders=" + signed + ",Signature=" + hex.EncodeToString(mac.Sum(nil))
}

// rpcSignature returns the parameter Signature of the older way, in which the
// query and the form are signed together (HMAC-SHA1, version 1.0).
func (m message) rpcSignature(key credential.AccessKey) string {
	text := m.method + "&%2F&" + escape(encode(merged(m.query, m.form)))
	mac := hmac.New(sha1.New, []byte(key.Secret.Reveal()+"&"))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// rawQuery is the query as it is signed; it must be sent in the same bytes.
func (m message) rawQuery() string { return encode(m.query) }

// encode writes parameters in the order and the letters in which they are
// signed.
func encode(parameters map[string]string) string {
	pairs := make([]string, 0, len(parameters))
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		pairs = append(pairs, escape(name)+"="+escape(parameters[name]))
	}
	return strings.Join(pairs, "&")
}

// merged returns the parameters of both.
func merged(a, b map[string]string) map[string]string {
	all := make(map[string]string, len(a)+len(b))
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// escape leaves only the unreserved characters of RFC 3986 as they are;
// url.QueryEscape differs from that in the blank alone.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
