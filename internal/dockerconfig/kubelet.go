package dockerconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

// ForKubelet returns the content of .dockerconfigjson with the logins found,
// by host. kubelet reads user name and password alone and takes an entry
// without them for a login with neither, which breaks public images too: a
// login in another form is refused.
func ForKubelet(found map[string]Found) ([]byte, error) {
	if len(found) == 0 {
		return nil, errors.New("pull secret: no registry is named")
	}
	auths := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		f := found[name]
		host, err := hostName(name)
		if err != nil {
			return nil, fmt.Errorf("pull secret: %w", err)
		}
		if err := readable(f.Login, host, f.Source.String()); err != nil {
			return nil, fmt.Errorf("pull secret: %w", err)
		}
		if _, twice := auths[keyOf(host)]; twice {
			return nil, fmt.Errorf("pull secret: two logins for the registry %s", host)
		}
		c := credential.Credential{Username: f.Username, Password: f.Password, Hosts: []string{host}}
		if auths[keyOf(host)], err = encode(c, ""); err != nil {
			return nil, err
		}
	}
	return Config{auths: auths}.Marshal()
}

// readable tells why kubelet could not use a login, if so.
func readable(l credential.Login, host, source string) error {
	if source != "" {
		source = " (" + source + ")"
	}
	again := "log in with a user name and a password: pullkey login " + host
	switch {
	case l.Username != "" && !l.Password.Empty():
		return nil
	case l.Anonymous():
		return hinted{fmt.Errorf("there is no login for %s%s", host, source), "log in first: pullkey login " + host}
	case !l.IdentityToken.Empty():
		return hinted{fmt.Errorf("the login for %s%s is an identity token, and kubelet reads user name and password alone", host, source), "log in again and have the password itself kept: pullkey login " + host + " --keep-password"}
	case !l.RegistryToken.Empty():
		return hinted{fmt.Errorf("the login for %s%s is a registry token, and kubelet reads user name and password alone", host, source), again}
	}
	return hinted{fmt.Errorf("the login for %s%s lacks a user name or a password", host, source), again}
}

// AddHost returns the .dockerconfigjson data with an entry for host that is
// the same as the one for the registry like; all else stays. host may have
// "*" as kubelet reads it. Where host has that login already, data is returned
// as it is.
func AddHost(data []byte, like, host string) ([]byte, error) {
	c, err := Parse(data)
	if err != nil {
		return nil, err
	}
	model, login, err := c.model(like)
	if err != nil {
		return nil, err
	}
	pattern, err := patternName(host)
	if err != nil {
		return nil, err
	}
	keys := c.keysLike(pattern)
	for _, key := range keys {
		if there, err := readLogin(c.auths[key], place(key)); err != nil || !same(there, login) {
			return nil, hinted{
				fmt.Errorf("%s is there already, with another login", place(key)),
				"remove that entry first, or make another Secret",
			}
		}
	}
	if len(keys) > 0 {
		return data, nil
	}
	auths := maps.Clone(c.auths)
	auths[keyOf(pattern)] = bytes.Clone(model)
	return Config{fields: c.fields, auths: auths}.Marshal()
}

// patternName returns host, which may have "*", in the spelling that the
// functions here compare.
func patternName(host string) (string, error) {
	p, err := hostname.ParsePattern(host)
	return oneName(p.String()), err
}

// keysLike returns the keys of the entries that name host, which may have "*",
// or that are host word for word.
func (c Config) keysLike(host string) []string {
	if name, err := patternName(host); err == nil {
		return c.keysFor(name)
	}
	if _, found := c.auths[host]; found {
		return []string{host}
	}
	return nil
}

// model returns the entry for the registry like. It is one that kubelet can
// use; of entries that differ it does not choose.
func (c Config) model(like string) (json.RawMessage, credential.Login, error) {
	keys := c.keysLike(like)
	if len(keys) == 0 {
		return nil, credential.Login{}, hinted{fmt.Errorf("there is no entry for %q", like), c.entries()}
	}
	var login credential.Login
	for i, key := range keys {
		l, err := readLogin(c.auths[key], place(key))
		if err == nil {
			err = readable(l, like, place(key))
		}
		if err != nil {
			return nil, credential.Login{}, err
		}
		if i > 0 && !same(l, login) {
			return nil, credential.Login{}, hinted{
				fmt.Errorf("%s and %s have two logins for one registry, and kubelet takes either", place(keys[0]), place(key)),
				"remove one of them first",
			}
		}
		login = l
	}
	return c.auths[keys[0]], login, nil
}

// entries says which registries there are, for who asked for another.
func (c Config) entries() string {
	var hosts []string
	for _, key := range c.Hosts() {
		if looksLikeRegistry(key) {
			hosts = append(hosts, key)
		}
	}
	if len(hosts) == 0 {
		return "there is none for any registry"
	}
	return "there are entries for " + strings.Join(hosts, ", ")
}

// same tells whether kubelet would do the same with both.
func same(a, b credential.Login) bool {
	return a.Username == b.Username && a.Password.Equal(b.Password)
}
