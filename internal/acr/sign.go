package acr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

const algorithm = "ACS3-HMAC-SHA256"

// emptyHash is the SHA-256 of an empty body; none of our calls has one.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// message is what the signature covers. Header names are in lower case.
type message struct {
	method, path string
	query        map[string]string
	header       map[string]string
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

// rawQuery is the query as it is signed; it must be sent in the same bytes.
func (m message) rawQuery() string {
	pairs := make([]string, 0, len(m.query))
	for _, name := range slices.Sorted(maps.Keys(m.query)) {
		pairs = append(pairs, escape(name)+"="+escape(m.query[name]))
	}
	return strings.Join(pairs, "&")
}

// escape leaves only the unreserved characters of RFC 3986 as they are;
// url.QueryEscape differs from that in the blank alone.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
