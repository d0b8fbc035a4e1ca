package dockerconfig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/pullkey/pullkey/internal/credential"
)

// Store is where docker keeps logins: a config.json and the credential
// helpers that it names. Hosts are given as hostname.Parse takes them; Docker
// Hub is docker.io.
type Store struct {
	// Path of the config.json; it need not exist.
	Path string
	// Run has the credential helper do what verb says (get, store, erase). It
	// returns what the helper printed, also with an error. nil runs the program
	// docker-credential-HELPER.
	Run func(ctx context.Context, helper, verb string, stdin []byte) (stdout []byte, err error)
}

// DefaultPath returns where docker's config.json is by default.
func DefaultPath(getenv func(string) string) (string, error) {
	const name = "config.json"
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", hinted{
			errors.New("find docker's config.json: neither DOCKER_CONFIG nor HOME is set"),
			"set DOCKER_CONFIG to the folder of config.json",
		}
	}
	return filepath.Join(home, ".docker", name), nil
}

// Source says where a login is kept.
type Source struct {
	// File is the config.json.
	File string
	// Key is that of the entry in auths, or in credHelpers if there is a Helper.
	Key string
	// Helper is the name of the credential helper, without docker-credential-;
	// without a Key it is credsStore that names it.
	Helper string
}

// String describes the source; it is empty for the zero Source.
func (s Source) String() string {
	switch {
	case s.Helper != "":
		return fmt.Sprintf("%s%s, named by %s of %s", programPrefix, s.Helper, s.field(), s.File)
	case s.Key != "":
		return s.field() + " of " + s.File
	}
	return s.File
}

func (s Source) field() string {
	switch {
	case s.Helper != "" && s.Key == "":
		return storeField
	case s.Helper != "":
		return fmt.Sprintf("%s[%q]", helpersField, s.Key)
	}
	return fmt.Sprintf("%s[%q]", authsField, s.Key)
}

// Found is a login, with where it came from. It is Anonymous when there is
// none: Source then says who was asked.
type Found struct {
	credential.Login
	Source Source
}

// Get returns the login for host, from where docker would take it. A helper
// that is named for host counts alone, also when it has no login.
func (s Store) Get(ctx context.Context, host string) (Found, error) {
	host, err := hostName(host)
	if err != nil {
		return Found{}, err
	}
	d, h, err := s.read(host)
	if err != nil {
		return Found{}, err
	}
	l, key, err := d.login(host)
	if err != nil {
		return Found{}, s.problem(err)
	}
	found := Found{Login: l, Source: Source{File: s.Path, Key: key}}
	if h.name == "" {
		return found, nil
	}
	asked, err := s.ask(ctx, h)
	if err != nil {
		return Found{}, err
	}
	// Helpers cannot hold a registry token, so docker has it in the entry.
	registryToken := found.RegistryToken
	if !asked.Anonymous() || registryToken.Empty() {
		found.Source = h.source
	}
	found.Login = asked
	found.RegistryToken = registryToken
	return found, nil
}

// Put stores the login for host where docker would, and says where: with the
// helper that is named for host, or else in config.json.
func (s Store) Put(ctx context.Context, host string, l credential.Login) (Source, error) {
	host, err := hostName(host)
	if err != nil {
		return Source{}, err
	}
	if err := checkLogin(l); err != nil {
		return Source{}, fmt.Errorf("store the login for %s: %w", host, err)
	}
	_, h, err := s.read(host)
	if err != nil {
		return Source{}, err
	}
	source := Source{File: s.Path, Key: keyOf(host)}
	if h.name != "" && (!l.Password.Empty() || !l.IdentityToken.Empty()) {
		if err := s.give(ctx, h, l); err != nil {
			return Source{}, err
		}
		source = h.source
		l = credential.Login{RegistryToken: l.RegistryToken}
	}
	return source, s.edit(ctx, func(d *document) (bool, error) { return true, d.put(host, l) })
}

// Erase removes the login for host under every spelling of host, here and
// with the helper that is named for it, and says where there was one.
func (s Store) Erase(ctx context.Context, host string) ([]Source, error) {
	host, err := hostName(host)
	if err != nil {
		return nil, err
	}
	d, h, err := s.read(host)
	if err != nil {
		return nil, err
	}
	var removed []Source
	if changed, _, _ := d.erase(host); changed {
		var held []string
		err := s.edit(ctx, func(d *document) (changed bool, err error) {
			changed, held, err = d.erase(host)
			return changed, err
		})
		if err != nil {
			return nil, err
		}
		for _, key := range held {
			removed = append(removed, Source{File: s.Path, Key: key})
		}
	}
	if h.name == "" {
		return removed, nil
	}
	had, err := s.eraseWith(ctx, h, host)
	if had {
		removed = append(removed, h.source)
	}
	return removed, err
}

// eraseWith has a helper erase the spellings of host under which it has a
// login. Helpers differ in what they say to erase without one, so each is
// asked first.
func (s Store) eraseWith(ctx context.Context, h helper, host string) (had bool, err error) {
	urls := []string{h.url, "https://" + host, "http://" + host}
	if host == hub {
		urls = append([]string{h.url, hubKey}, sessionKeys(host)...)
	}
	for _, url := range slices.Compact(urls) {
		h.url = url
		l, err := s.ask(ctx, h)
		if err != nil {
			return had, err
		}
		if l.Anonymous() {
			continue
		}
		if _, err := s.call(ctx, h, verbErase, []byte(url)); err != nil {
			return had, err
		}
		had = true
	}
	return had, nil
}

// read reads the file, and tells who keeps the login for host.
func (s Store) read(host string) (document, helper, error) {
	data, _, err := readFile(s.Path)
	if err != nil {
		return document{}, helper{}, err
	}
	d, err := parseDocument(data)
	if err != nil {
		return document{}, helper{}, s.problem(err)
	}
	h, err := d.helper(host)
	if err != nil {
		return document{}, helper{}, s.problem(err)
	}
	h.source.File = s.Path
	return d, h, nil
}

// edit changes the file; f tells whether there is anything to write.
func (s Store) edit(ctx context.Context, f func(*document) (bool, error)) error {
	err := change(ctx, s.Path, func(old []byte) ([]byte, error) {
		d, err := parseDocument(old)
		if err != nil {
			return nil, s.problem(err)
		}
		changed, err := f(&d)
		if err != nil {
			return nil, s.problem(err)
		}
		if !changed {
			return nil, nil
		}
		return d.indented()
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", s.Path, err)
	}
	return nil
}

func (s Store) problem(err error) error { return fmt.Errorf("read %s: %w", s.Path, err) }
