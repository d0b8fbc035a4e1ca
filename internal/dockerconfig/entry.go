package dockerconfig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

const (
	// hub is the host of Docker Hub in the name of an image, hubKey what docker
	// calls it in config.json and before helpers.
	hub    = "docker.io"
	hubKey = "https://index.docker.io/v1/"

	fieldAuth          = "auth"
	fieldUsername      = "username"
	fieldPassword      = "password"
	fieldIdentityToken = "identitytoken"
	fieldRegistryToken = "registrytoken"
)

// loginFields are those of an entry that make up a login.
var loginFields = []string{fieldAuth, fieldUsername, fieldPassword, fieldIdentityToken, fieldRegistryToken}

// hostName returns host in the spelling that the functions here compare.
func hostName(host string) (string, error) {
	h, err := hostname.Parse(host)
	return oneName(h), err
}

// oneName makes one of the two names of Docker Hub, as the names of images do.
func oneName(host string) string {
	if host == "index."+hub {
		return hub
	}
	return host
}

// keyOf returns the key under which docker keeps the login for host.
func keyOf(host string) string {
	if host == hub {
		return hubKey
	}
	return host
}

// names tells whether key is a spelling of host, with or without the scheme
// and the path of an API version, as docker wrote them before 2015. A key with
// another path is for a part of the registry, as skopeo writes it. (docker
// takes that for the whole registry, and one of several at random.)
func names(key, host string) bool {
	h := strings.ToLower(key)
	if rest, found := strings.CutPrefix(h, "https://"); found {
		h = rest
	} else {
		h = strings.TrimPrefix(h, "http://")
	}
	h, path, _ := strings.Cut(strings.TrimSuffix(h, "/"), "/")
	return (path == "" || path == "v1" || path == "v2") && oneName(h) == host
}

// keysFor returns the keys of the entries that name host: docker's own first,
// the others sorted.
func (c Config) keysFor(host string) []string {
	var keys []string
	for _, key := range c.Hosts() {
		switch {
		case !names(key, host):
		case key == keyOf(host):
			keys = slices.Insert(keys, 0, key)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// sessionKeys returns where "docker login" keeps what a browser session at
// Docker Hub gave it besides the login.
func sessionKeys(host string) []string {
	if host != hub {
		return nil
	}
	return []string{hubKey + "access-token", hubKey + "refresh-token"}
}

// login returns the login for host, and the key of its entry; the key is
// empty when there is none.
func (c Config) login(host string) (credential.Login, string, error) {
	keys := c.keysFor(host)
	if len(keys) == 0 {
		return credential.Login{}, "", nil
	}
	l, err := readLogin(c.auths[keys[0]], place(keys[0]))
	return l, keys[0], err
}

// readEntry reads the entry of a registry: its fields, and of those that make
// up a login the texts. No entry is an empty one.
func readEntry(raw json.RawMessage, where string) (fields map[string]json.RawMessage, texts map[string]string, err error) {
	if raw == nil || string(raw) == "null" {
		return map[string]json.RawMessage{}, map[string]string{}, nil
	}
	if fields, err = object(raw, where); err != nil {
		return nil, nil, err
	}
	if err := checkSpelling(fields, where, loginFields...); err != nil {
		return nil, nil, err
	}
	texts = map[string]string{}
	for _, name := range loginFields {
		if texts[name], err = text(fields[name], where+"."+name); err != nil {
			return nil, nil, err
		}
	}
	return fields, texts, nil
}

// readLogin reads a login as docker does: auth counts more than user name and
// password beside it.
func readLogin(raw json.RawMessage, where string) (credential.Login, error) {
	_, texts, err := readEntry(raw, where)
	if err != nil {
		return credential.Login{}, err
	}
	user, password := texts[fieldUsername], texts[fieldPassword]
	if auth := texts[fieldAuth]; auth != "" {
		if user, password, err = decodeAuth(auth); err != nil {
			return credential.Login{}, fmt.Errorf("docker configuration: %s.auth: %w", where, err)
		}
	}
	return credential.Login{
		Username:      user,
		Password:      credential.NewSecret(password),
		IdentityToken: credential.NewSecret(texts[fieldIdentityToken]),
		RegistryToken: credential.NewSecret(texts[fieldRegistryToken]),
	}, nil
}

// decodeAuth takes base64 with and without padding, as kubelet does; docker
// refuses the second.
func decodeAuth(auth string) (user, password string, err error) {
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(auth, "="))
	if err != nil {
		return "", "", errors.New("it is not base64")
	}
	user, password, found := strings.Cut(string(data), ":")
	if !found || user == "" {
		return "", "", errors.New("what it holds is not of the form user:password")
	}
	// Old files are padded with zeros inside the base64.
	return user, strings.Trim(password, "\x00"), nil
}

// checkLogin refuses what could not be read back as it was written.
func checkLogin(l credential.Login) error {
	for _, s := range []string{l.Username, l.Password.Reveal(), l.IdentityToken.Reveal(), l.RegistryToken.Reveal()} {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return errors.New("the login holds a zero or what is not UTF-8")
		}
	}
	switch {
	case strings.Contains(l.Username, ":"):
		return errors.New(`the user name has a ":", and readers split user:password at the first one`)
	case l.Username == tokenUser:
		return fmt.Errorf("the user name %s is how helpers say that a secret is an identity token", tokenUser)
	case l.Username == "" && !l.Password.Empty():
		return errors.New("there is a password and no user name")
	case l.Password.Empty() && l.IdentityToken.Empty() && l.RegistryToken.Empty():
		return errors.New("there is neither a password nor a token to store")
	}
	return nil
}

// withLogin returns the entry with l instead of the login that it held; all
// else in it stays.
func withLogin(raw json.RawMessage, l credential.Login, where string) (json.RawMessage, error) {
	fields, _, err := readEntry(raw, where)
	if err != nil {
		return nil, err
	}
	for _, name := range loginFields {
		delete(fields, name)
	}
	texts := map[string]string{
		fieldIdentityToken: l.IdentityToken.Reveal(),
		fieldRegistryToken: l.RegistryToken.Reveal(),
	}
	if l.Username != "" {
		texts[fieldAuth] = base64.StdEncoding.EncodeToString([]byte(l.Username + ":" + l.Password.Reveal()))
	}
	for name, s := range texts {
		if s == "" {
			continue
		}
		if fields[name], err = json.Marshal(s); err != nil {
			return nil, fmt.Errorf("docker configuration: %s.%s cannot be written as JSON", where, name)
		}
	}
	entry, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("docker configuration: %s cannot be written as JSON", where)
	}
	return entry, nil
}

// text reads a JSON string; nothing and null are the empty one.
func text(raw json.RawMessage, where string) (string, error) {
	var s *string
	if raw == nil {
		return "", nil
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("docker configuration: %s: a text is needed", where)
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

// place names the entry of key. Somebody may have put a password into the URL
// of a registry, so only what looks like a registry is repeated.
func place(key string) string {
	if !looksLikeRegistry(key) {
		return "an entry of auths whose key is no registry"
	}
	return fmt.Sprintf("%s[%q]", authsField, key)
}

func looksLikeRegistry(key string) bool {
	return key != "" && len(key) <= 300 && hasOnly(key, ".:/_*[]-")
}

// hasOnly tells whether s is made of letters and digits of ASCII and of signs.
// (A regular expression would cost each start of the program half a
// millisecond.)
func hasOnly(s, signs string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !letter && !strings.ContainsRune(signs, c)
	})
}
