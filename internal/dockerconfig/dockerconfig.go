// Package dockerconfig reads and writes docker's config.json, which is also
// the content of a Secret's .dockerconfigjson, and talks to the credential
// helpers that it names.
//
// Its one rule: what it does not understand it keeps, and no error repeats
// what the document or a helper holds, beyond the names of registries.
package dockerconfig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

// MaxSize is the most bytes that a Kubernetes Secret holds.
const MaxSize = 1 << 20

const (
	wholeDocument = "the document"
	authsField    = "auths"
)

// Config is a config.json: an entry for each registry, and the fields that
// pullkey leaves as they are. Parse makes one; the zero Config is empty.
type Config struct {
	fields map[string]json.RawMessage
	auths  map[string]json.RawMessage
}

// entry is what kubelet and docker read for one registry.
type entry struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Email    string `json:"email,omitempty"`
	Auth     string `json:"auth"`
}

// Parse reads a config.json. A field that is given twice is an error: which
// of the two counts depends on the reader, and one would be lost.
func Parse(data []byte) (Config, error) {
	if len(data) > MaxSize {
		return Config{}, errTooLarge(len(data))
	}
	fields, err := object(data, wholeDocument)
	if err != nil {
		return Config{}, err
	}
	c := Config{fields: fields}
	raw, ok := fields[authsField]
	if !ok || string(raw) == "null" {
		delete(fields, authsField)
		return c, checkSpelling(fields, wholeDocument, authsField)
	}
	if c.auths, err = object(raw, authsField); err != nil {
		return Config{}, err
	}
	delete(fields, authsField)
	return c, checkSpelling(fields, wholeDocument, authsField)
}

// checkSpelling refuses "Auths": Go programs, kubelet and docker among them,
// read it as auths, so its entries would be lost beside a field of the right
// spelling.
func checkSpelling(fields map[string]json.RawMessage, what string, known ...string) error {
	for name := range fields {
		for _, right := range known {
			if name != right && strings.EqualFold(name, right) {
				return fmt.Errorf("docker configuration: %s: a field is %q in other capitals, which programs take for the same", what, right)
			}
		}
	}
	return nil
}

// Marshal writes the configuration: the same bytes for the same content, with
// hosts and fields sorted. What was read stands there byte for byte.
func (c Config) Marshal() ([]byte, error) {
	doc := maps.Clone(c.fields)
	if doc == nil {
		doc = map[string]json.RawMessage{}
	}
	var err error
	if doc[authsField], err = raw(c.auths); err != nil {
		return nil, errors.New("docker configuration: an entry cannot be written as JSON")
	}
	data, err := raw(doc)
	if err != nil {
		return nil, errors.New("docker configuration: a field cannot be written as JSON")
	}
	if len(data) > MaxSize {
		return nil, errTooLarge(len(data))
	}
	return data, nil
}

// raw writes an object whose values stay as they stand; encoding/json would write
// them anew.
func raw(fields map[string]json.RawMessage) ([]byte, error) {
	data := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		quoted, err := json.Marshal(name)
		if err != nil || !json.Valid(fields[name]) {
			return nil, errors.New("it is no JSON")
		}
		if i > 0 {
			data = append(data, ',')
		}
		data = append(append(append(data, quoted...), ':'), fields[name]...)
	}
	return append(data, '}'), nil
}

// Hosts returns the keys of the entries as they are written, sorted.
func (c Config) Hosts() []string { return slices.Sorted(maps.Keys(c.auths)) }

// Hosts returns the keys of the entries of a config.json, and nothing secret.
func Hosts(data []byte) ([]string, error) {
	c, err := Parse(data)
	if err != nil {
		return nil, err
	}
	return c.Hosts(), nil
}

// PullSecret returns the content of .dockerconfigjson for creds. Hosts may be
// patterns as kubelet reads them. email may be empty.
func PullSecret(creds []credential.Credential, email string) ([]byte, error) {
	return Config{}.with(creds, email)
}

// Merge returns the document data with creds instead of the entries for which
// keep is false. keep is asked with the key of the entry less its scheme and
// version path, as kubelet compares it, and with its user name, which is empty
// where it cannot be read. All else stays as it is. Empty data is an empty document.
func Merge(data []byte, keep func(host, username string) bool, creds []credential.Credential, email string) ([]byte, error) {
	if len(data) == 0 {
		return PullSecret(creds, email)
	}
	c, err := Parse(data)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(c.auths, func(key string, entry json.RawMessage) bool {
		login, _ := readLogin(entry, place(key)) // an unreadable one is nobody's we know
		return !keep(hostOf(key), login.Username)
	})
	return c.with(creds, email)
}

// Entries returns the document with those entries of data for which keep is true,
// as Merge asks it, and nothing else.
func Entries(data []byte, keep func(host string) bool) ([]byte, error) {
	c, err := Parse(data)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(c.auths, func(key string, _ json.RawMessage) bool { return !keep(hostOf(key)) })
	return Config{auths: c.auths}.Marshal()
}

// with adds an entry for each host of creds.
func (c Config) with(creds []credential.Credential, email string) ([]byte, error) {
	auths := maps.Clone(c.auths)
	if auths == nil {
		auths = map[string]json.RawMessage{}
	}
	taken := map[string]bool{}
	for key := range auths {
		taken[hostOf(key)] = true
	}
	for _, cred := range creds {
		raw, err := encode(cred, email)
		if err != nil {
			return nil, err
		}
		for _, h := range cred.Hosts {
			host, err := hostname.ParsePattern(h)
			if err != nil {
				return nil, fmt.Errorf("pull secret: %w", err)
			}
			if taken[host.String()] {
				return nil, fmt.Errorf("pull secret: two credentials for the registry %s", host)
			}
			taken[host.String()] = true
			auths[host.String()] = raw
		}
	}
	return Config{fields: c.fields, auths: auths}.Marshal()
}

func encode(c credential.Credential, email string) (json.RawMessage, error) {
	switch {
	case len(c.Hosts) == 0:
		return nil, errors.New("pull secret: a credential names no registry")
	case c.Username == "" || c.Password.Empty():
		return nil, fmt.Errorf("pull secret: the credential for %s has no user name or no password", strings.Join(c.Hosts, ", "))
	case strings.Contains(c.Username, ":"):
		// Readers split auth at the first colon.
		return nil, fmt.Errorf(`pull secret: the user name for %s has a ":"`, strings.Join(c.Hosts, ", "))
	}
	password := c.Password.Reveal()
	return json.Marshal(entry{ //nolint:gosec // a pull secret is made to hold the password
		Username: c.Username,
		Password: password,
		Email:    email,
		Auth:     base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + password)),
	})
}

// hostOf returns the key of an entry as kubelet compares it: without scheme,
// without the path /v1/ or /v2/ of an API version, without a slash at the end.
func hostOf(key string) string {
	if rest, found := strings.CutPrefix(key, "https://"); found {
		key = rest
	} else {
		key = strings.TrimPrefix(key, "http://")
	}
	host, path, _ := strings.Cut(key, "/")
	if rest, found := strings.CutPrefix(path, "v1/"); found {
		path = rest
	} else {
		path = strings.TrimPrefix(path, "v2/")
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

func errTooLarge(size int) error {
	return fmt.Errorf("docker configuration: %d bytes are more than the %d that a Secret holds", size, MaxSize)
}
