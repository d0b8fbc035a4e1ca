package dockerconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	storeField   = "credsStore"
	helpersField = "credHelpers"
)

// document is a config.json as docker reads it: as a whole, so that whatever
// is wrong with it is found before anything is changed.
type document struct {
	Config
	store   string
	helpers map[string]string
}

// parseDocument reads a config.json. An empty file is an empty document, as it
// is for docker.
func parseDocument(data []byte) (document, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	c, err := Parse(data)
	if err != nil {
		return document{}, err
	}
	d := document{Config: c, helpers: map[string]string{}}
	if err := checkSpelling(c.fields, wholeDocument, storeField, helpersField); err != nil {
		return document{}, err
	}
	for _, key := range c.Hosts() {
		if _, _, err := readEntry(c.auths[key], place(key)); err != nil {
			return document{}, err
		}
	}
	if d.store, err = text(c.fields[storeField], storeField); err != nil {
		return document{}, err
	}
	raw, found := c.fields[helpersField]
	if !found || string(raw) == "null" {
		return d, nil
	}
	helpers, err := object(raw, helpersField)
	if err != nil {
		return document{}, err
	}
	for host, name := range helpers {
		if d.helpers[host], err = text(name, "a value of "+helpersField); err != nil {
			return document{}, err
		}
	}
	return d, nil
}

// indented writes the document as docker does.
func (d document) indented() ([]byte, error) {
	data, err := d.Marshal()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "\t"); err != nil {
		return nil, errors.New("docker configuration: it cannot be written as JSON")
	}
	if b.Len() > MaxSize {
		return nil, errTooLarge(b.Len())
	}
	return b.Bytes(), nil
}

// helper is the program that keeps the login for a host.
type helper struct {
	name   string // empty: config.json itself keeps it
	url    string // what the helper calls the host
	source Source
}

// isHelperName bounds what becomes part of a program's name: it is looked up in
// PATH, and must not lead anywhere else.
func isHelperName(s string) bool {
	return s != "" && len(s) <= 64 && hasOnly(s[:1], "") && hasOnly(s, "._-")
}

// helper returns who keeps the login for host: credHelpers names it for this
// host alone (nobody, if the name is empty), or else credsStore for all. Docker
// Hub is found by docker's key and by the name that skopeo gives it.
func (d document) helper(host string) (helper, error) {
	h := helper{name: d.store, url: keyOf(host), source: Source{Helper: d.store}}
	field := storeField
	for _, key := range []string{keyOf(host), host} {
		if name, found := d.helpers[key]; found {
			h = helper{name: name, url: key, source: Source{Key: key, Helper: name}}
			field = fmt.Sprintf("%s[%q]", helpersField, key)
			break
		}
	}
	if h.name != "" && !isHelperName(h.name) {
		return helper{}, hinted{
			fmt.Errorf("docker configuration: %s is no name of a credential helper", field),
			"write the name of the program without docker-credential-, such as pass: letters, digits, dots, - and _, no path",
		}
	}
	return h, nil
}

// put sets the login for host in the document, and all else in its entry
// stays. The zero Login leaves an entry that says that a helper has it.
func (d *document) put(host string, l credential.Login) error {
	key := keyOf(host)
	raw, err := withLogin(d.auths[key], l, place(key))
	if err != nil {
		return err
	}
	if d.auths == nil {
		d.auths = map[string]json.RawMessage{}
	}
	d.auths[key] = raw
	return nil
}

// erase removes every entry that names host. It returns whether there were
// any, and the keys of those that held a login.
func (d *document) erase(host string) (changed bool, held []string, err error) {
	keys := d.keysFor(host)
	for _, key := range sessionKeys(host) {
		if _, found := d.auths[key]; found {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		_, texts, err := readEntry(d.auths[key], place(key))
		if err != nil {
			return false, nil, err
		}
		for _, text := range texts {
			if text != "" {
				held = append(held, key)
				break
			}
		}
		delete(d.auths, key)
		changed = true
	}
	return changed, held, nil
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Hint returns what to do about the error.
func (h hinted) Hint() string { return h.hint }

// Unwrap returns the error without the hint.
func (h hinted) Unwrap() error { return h.error }
