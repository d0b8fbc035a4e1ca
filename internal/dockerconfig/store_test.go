package dockerconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// storeOf returns a Store whose config.json holds content.
func storeOf(t *testing.T, content string) Store {
	t.Helper()
	s := Store{Path: filepath.Join(t.TempDir(), "config.json")}
	if err := os.WriteFile(s.Path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// keychain is a credential helper in memory, with the words of the protocol.
type keychain struct {
	logins map[string]string // "NAME URL": the answer to get
	asked  []string          // "NAME VERB stdin"
}

func (k *keychain) run(_ context.Context, helper, verb string, stdin []byte) ([]byte, error) {
	k.asked = append(k.asked, helper+" "+verb+" "+string(stdin))
	id := helper + " " + string(stdin)
	answer, found := k.logins[id]
	switch {
	case verb == "store":
		return nil, nil
	case !found:
		return []byte(nobody + "\n"), errors.New("exit status 1")
	case verb == "erase":
		delete(k.logins, id)
		return nil, nil
	}
	return []byte(answer), nil
}

// words shows a login with its secrets.
func words(l credential.Login) string {
	return fmt.Sprintf("user=%s password=%s identity=%s registry=%s", l.Username, l.Password.Reveal(), l.IdentityToken.Reveal(), l.RegistryToken.Reveal())
}

func secretLogin(user, password, identity, registry string) credential.Login {
	return credential.Login{
		Username: user, Password: credential.NewSecret(password),
		IdentityToken: credential.NewSecret(identity), RegistryToken: credential.NewSecret(registry),
	}
}

const (
	nobodys = "user= password= identity= registry="
	alices  = "user=alice password=pw identity= registry="
	bobs    = "user=bob password=hp identity= registry="
)

// What docker does was measured with docker 28.2.2: it sends the login that it
// finds with the request to its engine.
func TestGetFindsTheLoginThatDockerWouldUse(t *testing.T) {
	t.Parallel()
	const alice, bob = `{"auth":"YWxpY2U6cHc="}`, `{"auth":"Ym9iOmhw"}`
	for _, c := range []struct{ name, host, file, want, source string }{
		{"by its host", "h.io", `{"auths":{"h.io":` + alice + `}}`, alices, `auths["h.io"] of F`},
		{"by its host and port", "h.io:5000", `{"auths":{"h.io":` + bob + `,"h.io:5000":` + alice + `}}`, alices, `auths["h.io:5000"] of F`},
		{"not by another port", "h.io", `{"auths":{"h.io:443":` + alice + `}}`, nobodys, "F"},
		{"not by the end of another host", "h.io", `{"auths":{"x.h.io":` + alice + `,"xh.io":` + alice + `}}`, nobodys, "F"},
		{"by a key with scheme and version", "h.io", `{"auths":{"https://h.io/v1/":` + alice + `}}`, alices, `auths["https://h.io/v1/"] of F`},
		{"without the last slash", "h.io", `{"auths":{"https://h.io/v2":` + alice + `}}`, alices, `auths["https://h.io/v2"] of F`},
		{"by http", "h.io", `{"auths":{"http://h.io":` + alice + `}}`, alices, `auths["http://h.io"] of F`},
		{"by a slash", "h.io", `{"auths":{"h.io/":` + alice + `}}`, alices, `auths["h.io/"] of F`},
		{"whatever the capitals", "H.io", `{"auths":{"h.IO":` + alice + `}}`, alices, `auths["h.IO"] of F`},
		{"by the host before an old key", "h.io", `{"auths":{"https://h.io":` + bob + `,"h.io":` + alice + `}}`, alices, `auths["h.io"] of F`},
		{"not by the key of a part of the registry", "h.io", `{"auths":{"h.io/team":` + alice + `}}`, nobodys, "F"},
		{"Docker Hub by docker's key", "docker.io", `{"auths":{"docker.io":` + bob + `,"https://index.docker.io/v1/":` + alice + `}}`, alices, `auths["https://index.docker.io/v1/"] of F`},
		{"Docker Hub by skopeo's key", "docker.io", `{"auths":{"docker.io":` + alice + `}}`, alices, `auths["docker.io"] of F`},
		{"Docker Hub by its other name", "index.docker.io", `{"auths":{"https://index.docker.io/v1/":` + alice + `}}`, alices, `auths["https://index.docker.io/v1/"] of F`},
		{"not Docker Hub's browser session", "docker.io", `{"auths":{"https://index.docker.io/v1/access-token":` + alice + `}}`, nobodys, "F"},
		{"user name and password apart", "h.io", `{"auths":{"h.io":{"username":"alice","password":"pw"}}}`, alices, `auths["h.io"] of F`},
		{"auth before these", "h.io", `{"auths":{"h.io":{"username":"bob","password":"hp","auth":"YWxpY2U6cHc="}}}`, alices, `auths["h.io"] of F`},
		{"a password with colons", "h.io", `{"auths":{"h.io":{"auth":"YWxpY2U6cHc6OnB3"}}}`, "user=alice password=pw::pw identity= registry=", `auths["h.io"] of F`},
		{"auth without padding", "h.io", `{"auths":{"h.io":{"auth":"YWxpY2U6cHc"}}}`, alices, `auths["h.io"] of F`},
		{"auth padded with zeros", "h.io", `{"auths":{"h.io":{"auth":"YWxpY2U6cHcAAA=="}}}`, alices, `auths["h.io"] of F`},
		{"an identity token", "h.io", `{"auths":{"h.io":{"auth":"YWxpY2U6","identitytoken":"it"}}}`, "user=alice password= identity=it registry=", `auths["h.io"] of F`},
		{"a registry token", "h.io", `{"auths":{"h.io":{"registrytoken":"rt"}}}`, "user= password= identity= registry=rt", `auths["h.io"] of F`},
		{"nobody in an empty entry", "h.io", `{"auths":{"h.io":{}}}`, nobodys, `auths["h.io"] of F`},
		{"nobody in an entry that is null", "h.io", `{"auths":{"h.io":null}}`, nobodys, `auths["h.io"] of F`},
		{"nobody in an empty file", "h.io", " \n", nobodys, "F"},
		{"with the helper for all", "h.io", `{"credsStore":"all"}`, bobs, "docker-credential-all, named by credsStore of F"},
		{"with the helper of the host before that", "h.io", `{"credsStore":"none","credHelpers":{"h.io":"all"}}`, bobs, `docker-credential-all, named by credHelpers["h.io"] of F`},
		{"with a helper for another host not at all", "h.io", `{"credHelpers":{"x.h.io":"all","*.io":"all"}}`, nobodys, "F"},
		{"with the helper alone, though the file has an entry", "h.io", `{"credsStore":"none","auths":{"h.io":` + alice + `}}`, nobodys, "docker-credential-none, named by credsStore of F"},
		{"in the file, where the helper of the host is empty", "h.io", `{"credsStore":"all","credHelpers":{"h.io":""},"auths":{"h.io":` + alice + `}}`, alices, `auths["h.io"] of F`},
		{"an identity token with a helper", "t.io", `{"credsStore":"all"}`, "user= password= identity=it registry=", "docker-credential-all, named by credsStore of F"},
		{"a registry token beside a helper", "h.io", `{"credsStore":"none","auths":{"h.io":{"registrytoken":"rt"}}}`, "user= password= identity= registry=rt", `auths["h.io"] of F`},
		{"Docker Hub with a helper under docker's key", "docker.io", `{"credsStore":"all"}`, "user=hub password=hp identity= registry=", "docker-credential-all, named by credsStore of F"},
		{"Docker Hub with a helper under skopeo's key", "docker.io", `{"credHelpers":{"docker.io":"all"}}`, bobs, `docker-credential-all, named by credHelpers["docker.io"] of F`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := storeOf(t, c.file)
			s.Run = (&keychain{logins: map[string]string{
				"all h.io":                        `{"ServerURL":"h.io","Username":"bob","Secret":"hp"}` + "\n",
				"all docker.io":                   `{"Username":"bob","Secret":"hp"}`,
				"all t.io":                        `{"ServerURL":"t.io","Username":"\u003ctoken\u003e","Secret":"it"}`,
				"all https://index.docker.io/v1/": `{"Username":"hub","Secret":"hp"}`,
			}}).run
			got, err := s.Get(t.Context(), c.host)
			if err != nil {
				t.Fatal(err)
			}
			if words(got.Login) != c.want {
				t.Errorf("got %s; want %s", words(got.Login), c.want)
			}
			if source := strings.ReplaceAll(got.Source.String(), s.Path, "F"); source != c.source {
				t.Errorf("it comes from %q; want %q", source, c.source)
			}
		})
	}
}

func TestWithoutAConfigJSONNobodyIsLoggedIn(t *testing.T) {
	t.Parallel()
	s := Store{Path: filepath.Join(t.TempDir(), "none", "config.json")}
	got, err := s.Get(t.Context(), "h.io")
	if err != nil || !got.Anonymous() {
		t.Errorf("got %v, %v", got, err)
	}
	if removed, err := s.Erase(t.Context(), "h.io"); err != nil || removed != nil {
		t.Errorf("erased %v, %v", removed, err)
	}
	if _, err := os.Stat(filepath.Dir(s.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was made: %v", err)
	}
}

func TestDefaultPathIsDockers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"HOME": "/home/a"}, "/home/a/.docker/config.json"},
		{map[string]string{"HOME": "/home/a", "DOCKER_CONFIG": "/etc/d"}, "/etc/d/config.json"},
	} {
		if got, err := DefaultPath(func(k string) string { return c.env[k] }); err != nil || got != c.want {
			t.Errorf("%v: got %s, %v", c.env, got, err)
		}
	}
	_, err := DefaultPath(func(string) string { return "" })
	if hint := hintOf(err); !strings.Contains(hint, "DOCKER_CONFIG") {
		t.Errorf("got %v, hint %q", err, hint)
	}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestPutWritesTheBytesThatDockerAndSkopeoWrite(t *testing.T) {
	t.Parallel()
	password, token := secretLogin("alice", "pw", "", ""), secretLogin("alice", "", "idtok-<&>", "")
	for _, c := range []struct {
		golden, before, host string
		login                credential.Login
	}{
		{"docker-password.json", "", "127.0.0.1:5511", password},
		{"docker-identitytoken.json", "", "127.0.0.1:5512", token},
		{"docker-credsstore.json", `{"credsStore":"scratch"}`, "127.0.0.1:5511", password},
		{"docker-credhelpers.json", `{"credHelpers":{"127.0.0.1:5512":"scratch"}}`, "127.0.0.1:5512", token},
		{"skopeo-password.json", "", "127.0.0.1:5511", password},
		{"skopeo-namespace.json", `{"auths":{"127.0.0.1:5512/team":{"auth":"YWxpY2U6cHc="}}}`, "127.0.0.1:5512", password},
	} {
		t.Run(c.golden, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(filepath.Join("testdata", c.golden))
			if err != nil {
				t.Fatal(err)
			}
			s, k := storeOf(t, c.before), &keychain{}
			s.Run = k.run
			if _, err := s.Put(t.Context(), c.host, c.login); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), contentOf(t, s)); diff != "" {
				t.Errorf("(-them +us):\n%s", diff)
			}
			if strings.Contains(c.before, "credHelpers") {
				told := `scratch store {"ServerURL":"127.0.0.1:5512","Username":"\u003ctoken\u003e","Secret":"idtok-\u003c\u0026\u003e"}`
				if diff := cmp.Diff([]string{told}, k.asked); diff != "" {
					t.Errorf("the helper (-told by docker +told by us):\n%s", diff)
				}
			}
		})
	}
}

func TestGetReadsWhatDockerAndSkopeoWrote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ golden, host, want string }{
		{"docker-password.json", "127.0.0.1:5511", alices},
		{"docker-identitytoken.json", "127.0.0.1:5512", "user=alice password= identity=idtok-<&> registry="},
		{"docker-credsstore.json", "127.0.0.1:5511", bobs},
		{"docker-credhelpers.json", "127.0.0.1:5512", "user= password= identity=it registry="},
		{"skopeo-password.json", "127.0.0.1:5511", alices},
		{"skopeo-namespace.json", "127.0.0.1:5512", alices},
	} {
		k := &keychain{logins: map[string]string{
			"scratch 127.0.0.1:5511": `{"Username":"bob","Secret":"hp"}`,
			"scratch 127.0.0.1:5512": `{"Username":"<token>","Secret":"it"}`,
		}}
		got, err := Store{Path: filepath.Join("testdata", c.golden), Run: k.run}.Get(t.Context(), c.host)
		if err != nil || words(got.Login) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.golden, words(got.Login), err, c.want)
		}
	}
}

func contentOf(t *testing.T, s Store) string {
	t.Helper()
	data, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPutKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{"foo":{"n":1e400},"HttpHeaders":{"X":"<y>"},"auths":{
		"h.io":{"x":[1,2.50],"email":"e@h.io","username":"old","password":"old","auth":"b2xkOm9sZA==","identitytoken":"old"},
		"https://h.io/v1/":{"auth":"b2xkOm9sZA=="},"other.io":{"auth":"YTpi","y":null}}}`)
	source, err := s.Put(t.Context(), "H.io", secretLogin("alice", "pw", "", ""))
	if want := (Source{File: s.Path, Key: "h.io"}); err != nil || source != want {
		t.Errorf("stored at %v, %v", source, err)
	}
	want := `{"foo":{"n":1e400},"HttpHeaders":{"X":"<y>"},"auths":{
		"h.io":{"x":[1,2.50],"email":"e@h.io","auth":"YWxpY2U6cHc="},
		"https://h.io/v1/":{"auth":"b2xkOm9sZA=="},"other.io":{"auth":"YTpi","y":null}}}`
	if diff := cmp.Diff(meaning(t, []byte(want)), meaning(t, []byte(contentOf(t, s)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPutWithAHelperLeavesNoSecretInTheFile(t *testing.T) {
	t.Parallel()
	s, k := storeOf(t, `{"credsStore":"all","auths":{"h.io":{"auth":"b2xkOm9sZA==","identitytoken":"old","x":1}}}`), &keychain{}
	s.Run = k.run
	source, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "rt"))
	if want := (Source{File: s.Path, Helper: "all"}); err != nil || source != want {
		t.Errorf("stored at %v, %v", source, err)
	}
	want := `{"credsStore":"all","auths":{"h.io":{"x":1,"registrytoken":"rt"}}}`
	if diff := cmp.Diff(meaning(t, []byte(want)), meaning(t, []byte(contentOf(t, s)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`all store {"ServerURL":"h.io","Username":"alice","Secret":"pw"}`}, k.asked); diff != "" {
		t.Errorf("the helper (-want +got):\n%s", diff)
	}
}

func TestPutUsesDockersKeyForDockerHub(t *testing.T) {
	t.Parallel()
	s := storeOf(t, "")
	if _, err := s.Put(t.Context(), "docker.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Fatal(err)
	}
	want := `{"auths":{"https://index.docker.io/v1/":{"auth":"YWxpY2U6cHc="}}}`
	if diff := cmp.Diff(meaning(t, []byte(want)), meaning(t, []byte(contentOf(t, s)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPutRefusesALoginThatCouldNotBeReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		login credential.Login
		want  string
	}{
		{"nobody", credential.Login{}, "neither a password nor a token"},
		{"a user name alone", secretLogin("alice", "", "", ""), "neither a password nor a token"},
		{"a password alone", secretLogin("", "s3cret", "", ""), "no user name"},
		{"a user name that would be split", secretLogin("a:b", "s3cret", "", ""), `has a ":"`},
		{"the word of helpers for identity tokens", secretLogin("<token>", "s3cret", "", ""), "identity token"},
		{"a zero", secretLogin("alice", "s3cret\x00", "", ""), "a zero"},
		{"what is not UTF-8", secretLogin("alice", "", "s3cret\xff", ""), "not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := storeOf(t, `{}`)
			_, err := s.Put(t.Context(), "h.io", c.login)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v; want an error with %q", err, c.want)
			}
			if got := contentOf(t, s); got != "{}" {
				t.Errorf("the file is now %s", got)
			}
		})
	}
}

func TestEraseRemovesEverySpellingAndNothingElse(t *testing.T) {
	t.Parallel()
	const login = `{"auth":"YWxpY2U6cHc="}`
	s := storeOf(t, `{"foo":1,"credHelpers":{"h.io":"all"},"auths":{"h.io":{},"H.IO":`+login+`,"https://h.io/v1/":`+login+`,"http://h.io":`+login+
		`,"h.io/team":`+login+`,"h.io:443":`+login+`,"x.h.io":`+login+`}}`)
	k := &keychain{logins: map[string]string{
		"all h.io":         `{"Username":"bob","Secret":"hp"}`,
		"all https://h.io": `{"Username":"bob","Secret":"hp"}`,
		"all x.h.io":       `{"Username":"bob","Secret":"hp"}`,
	}}
	s.Run = k.run
	removed, err := s.Erase(t.Context(), "h.io")
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{{s.Path, "H.IO", ""}, {s.Path, "http://h.io", ""}, {s.Path, "https://h.io/v1/", ""}, {s.Path, "h.io", "all"}}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	left := `{"foo":1,"credHelpers":{"h.io":"all"},"auths":{"h.io/team":` + login + `,"h.io:443":` + login + `,"x.h.io":` + login + `}}`
	if diff := cmp.Diff(meaning(t, []byte(left)), meaning(t, []byte(contentOf(t, s)))); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if len(k.logins) != 1 || k.logins["all x.h.io"] == "" {
		t.Errorf("the helper still has %v", k.logins)
	}
	if again, err := s.Erase(t.Context(), "h.io"); err != nil || again != nil {
		t.Errorf("the second time it removed %v, %v", again, err)
	}
}

func TestEraseEndsTheBrowserSessionAtDockerHub(t *testing.T) {
	t.Parallel()
	const session = "https://index.docker.io/v1/refresh-token"
	s := storeOf(t, `{"auths":{"docker.io":{"auth":"YWxpY2U6cHc="},"`+session+`":{"auth":"YWxpY2U6cHc="},"https://index.docker.io/v1/":{}}}`)
	removed, err := s.Erase(t.Context(), "docker.io")
	if diff := cmp.Diff([]Source{{s.Path, "docker.io", ""}, {s.Path, session, ""}}, removed); err != nil || diff != "" {
		t.Errorf("%v; removed (-want +got):\n%s", err, diff)
	}
	s = storeOf(t, `{"credsStore":"all"}`)
	k := &keychain{logins: map[string]string{"all " + session: `{"Username":"bob","Secret":"hp"}`}}
	s.Run = k.run
	if removed, err := s.Erase(t.Context(), "docker.io"); err != nil || len(removed) != 1 || len(k.logins) != 0 {
		t.Errorf("removed %v, %v; the helper still has %v", removed, err, k.logins)
	}
}

func TestEraseClearsTheFileEvenWhenTheHelperDoesNotWork(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{"credsStore":"all","auths":{"h.io":{"auth":"YWxpY2U6cHc="}}}`)
	s.Run = func(context.Context, string, string, []byte) ([]byte, error) {
		return []byte("s3cret"), errors.New("exit status 3")
	}
	removed, err := s.Erase(t.Context(), "h.io")
	if err == nil || len(removed) != 1 || strings.Contains(contentOf(t, s), "YWxpY2U6cHc=") {
		t.Errorf("removed %v, %v; left %s", removed, err, contentOf(t, s))
	}
	if err != nil && (strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "docker-credential-all get for h.io: exit status 3")) {
		t.Errorf("got %v", err)
	}
}
