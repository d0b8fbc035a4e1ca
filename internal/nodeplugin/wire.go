package nodeplugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

// The words of kubelet's protocol, as k8s.io/kubelet/pkg/apis/credentialprovider/v1
// defines them. Its types are not linked: they would double the program and the
// time of a start.
const (
	apiVersion   = "credentialprovider.kubelet.k8s.io/v1"
	kindRequest  = "CredentialProviderRequest"
	kindResponse = "CredentialProviderResponse"
	// perRegistry has kubelet keep an answer for all images of the registry.
	perRegistry = "Registry"

	fieldKind       = "kind"
	fieldAPIVersion = "apiVersion"
	fieldImage      = "image"
	fieldToken      = "serviceAccountToken"
	fieldNotes      = "serviceAccountAnnotations"
)

// maxRequest is several times what a request can have: a token, and annotations
// of which an object has 256 KiB at most.
const maxRequest = 1 << 20

// request is what kubelet asks. Annotations are not read: whoever may write a
// ServiceAccount must not decide by that who it is at the cloud.
type request struct {
	host  string // as the image spells it
	token credential.Secret
}

// read reads a request, up to a bound.
func read(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxRequest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read standard input: %w", err)
	case len(data) > maxRequest:
		return nil, errors.New("read standard input: it is longer than 1 MiB")
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("read standard input: it is empty")
	}
	return data, nil
}

const requestHint = "kubelet runs this program; by hand, try: pullkey-credential-provider --help"

// parseRequest reads kubelet's request. A field that is spelled in another case
// is an error: for kubelet it would be another field.
func parseRequest(data []byte) (request, error) {
	fields, err := object(data, fieldKind, fieldAPIVersion, fieldImage, fieldToken, fieldNotes)
	if err != nil {
		return request{}, advise(requestHint, "read kubelet's request: %w", err)
	}
	text := map[string]string{}
	for _, name := range []string{fieldKind, fieldAPIVersion, fieldImage, fieldToken} {
		if raw, given := fields[name]; given {
			var s *string
			if json.Unmarshal(raw, &s) != nil || s == nil {
				return request{}, advise(requestHint, "read kubelet's request: the field %s is no text", name)
			}
			text[name] = *s
		}
	}
	switch {
	case text[fieldKind] != kindRequest:
		return request{}, advise(requestHint, "read kubelet's request: its kind is not %s", kindRequest)
	case text[fieldAPIVersion] != apiVersion:
		return request{}, advise("have kubelet's configuration of this provider say apiVersion: "+apiVersion, "read kubelet's request: its apiVersion is not %s", apiVersion)
	}
	host, _, slash := strings.Cut(text[fieldImage], "/")
	if _, err := hostname.Parse(host); err != nil || !slash {
		return request{}, advise(requestHint, "read kubelet's request: the image has no registry")
	}
	return request{host: host, token: credential.NewSecret(text[fieldToken])}, nil
}

// object reads one JSON object with nothing behind it. Of the names that it has,
// none may be there twice, and none be one of those that are known in another
// case. Errors quote nothing of it.
func object(data []byte, known ...string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		field, isText := name.(string)
		var content json.RawMessage
		if err != nil || !isText || d.Decode(&content) != nil {
			return nil, errors.New("it is not JSON")
		}
		if _, twice := fields[field]; twice {
			return nil, errors.New("a field is there twice")
		}
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, field) }); i >= 0 && known[i] != field {
			return nil, fmt.Errorf("the field %s is spelled in another case", known[i])
		}
		fields[field] = content
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it breaks off")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind it")
	}
	return fields, nil
}

// response is what kubelet is told.
type response struct {
	Kind          string          `json:"kind"`
	APIVersion    string          `json:"apiVersion"`
	CacheKeyType  string          `json:"cacheKeyType"`
	CacheDuration string          `json:"cacheDuration"`
	Auth          map[string]auth `json:"auth"`
}

type auth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// nothing tells kubelet that there is no login, and to ask again next time.
func nothing() response {
	return response{kindResponse, apiVersion, perRegistry, "0s", map[string]auth{}}
}

// answer tells kubelet a login for a host, and how long it may keep it.
func answer(host string, c credential.Credential, now time.Time) response {
	r := nothing()
	r.CacheDuration = keptFor(c.ExpiresAt.Sub(now)).String()
	r.Auth[host] = auth{c.Username, c.Password.Reveal()}
	return r
}

// lastPull is what a pull may take: kubelet never asks for another login in the
// middle of one.
const lastPull = 5 * time.Minute

// keptFor is how long kubelet may keep a login with so much life left. kubelet
// knows no end of a login, and a refusal does not make it forget one.
func keptFor(left time.Duration) time.Duration {
	return max(min(left/2, left-lastPull), 0).Truncate(time.Second)
}
