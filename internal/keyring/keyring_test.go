package keyring_test

import (
	"encoding/base64"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/keyring"
)

const password = "not-to-be-printed"

func auth(user string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(user, ":", "_") + ":" + password))
}

// secret has an entry for each key, with the key as the name of the user.
func secret(name string, keys ...string) keyring.Content {
	var entries []string
	for _, key := range keys {
		entries = append(entries, `"`+strings.ReplaceAll(key, "\n", `\n`)+`":{"auth":"`+auth(name+"/"+key)+`"}`)
	}
	return typed(name, keyring.TypeDockerConfigJSON, keyring.KeyDockerConfigJSON, `{"auths":{`+strings.Join(entries, ",")+`}}`)
}

func typed(name, kind, key, text string) keyring.Content {
	return keyring.Read(keyring.Secret{Name: name, Type: kind, Data: map[string][]byte{key: []byte(text)}})
}

func users(entries []keyring.Entry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Username)
	}
	return names
}

// What was measured of kubelet 1.37, key by key.
func TestAKeyIsForAnImageOrNot(t *testing.T) {
	t.Parallel()
	const yes = keyring.Part("")
	for _, c := range []struct {
		key, image string
		want       keyring.Part
	}{
		{"reg.io", "reg.io/a/b", yes},
		{"https://reg.io", "reg.io/a/b", yes},
		{"http://reg.io", "reg.io/a/b", yes},
		{"https://reg.io/", "reg.io/a/b", yes},
		{"https://reg.io/v2/", "reg.io/a/b", yes},
		{"https://reg.io/v1/", "reg.io/a/b", yes},
		{"https://reg.io/v2", "reg.io/a/b", keyring.PartPath},
		{"https://reg.io/v1", "reg.io/a/b", keyring.PartPath},
		{"reg.io:443", "reg.io/a/b", keyring.PartPort},
		{"reg.io", "reg.io:443/a/b", keyring.PartPort},
		{"reg.io/a", "reg.io/a/b", yes},
		{"reg.io/a/", "reg.io/a/b", yes},
		{"reg.io/team", "reg.io/team-secret/b", yes},
		{"reg.io/a/b:1", "reg.io/a/b", keyring.PartPath},
		{"Reg.IO", "reg.io/a/b", keyring.PartCase},
		{"*.reg.io", "eu.reg.io/a", yes},
		{"*.reg.io", "a.eu.reg.io/a", keyring.PartLabels},
		{"*.reg.io", "reg.io/a", keyring.PartLabels},
		{"*.reg.io:*", "eu.reg.io:5000/a", keyring.PartUnreadable},
		{"reg.io/*/b", "reg.io/a/b", keyring.PartPath},
		{"*", "reg.io/a", keyring.PartLabels},
		{"acr-*.cn-hangzhou.cr.aliyuncs.com", "acr-x.cn-hangzhou.cr.aliyuncs.com/n/r", yes},
		{"e*.reg.io", "us.reg.io/a", keyring.PartGlob},
		{"[.reg.io", "us.reg.io/a", keyring.PartUnreadable},
		{"registry.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com/n/r", keyring.PartLabel},
		{" reg.io", "reg.io/a", keyring.PartUnreadable},
		{"reg.io\n", "reg.io/a", keyring.PartUnreadable},
		{"https://index.docker.io/v1/", "docker.io/myorg/app", yes},
		{"docker.io", "docker.io/myorg/app", yes},
		{"https://docker.io/v1/", "docker.io/myorg/app", yes},
		{"docker.io/myorg", "docker.io/myorg/app", yes},
		{"https://index.docker.io/v1", "docker.io/myorg/app", keyring.PartLabels},
		{"index.docker.io/myorg", "docker.io/myorg/app", keyring.PartLabels},
		{"*.docker.io", "docker.io/myorg/app", keyring.PartLabels},
		{"registry-1.docker.io", "docker.io/myorg/app", keyring.PartLabels},
		{"hub.docker.com", "docker.io/myorg/app", keyring.PartLabels},
		{"https://index.docker.io/v1/", "registry-1.docker.io/myorg/app", keyring.PartLabel},
		{"registry", "docker.io/registry/a", keyring.PartLabels},
		{"registry:5000", "registry:5000/a", yes},
		{"localhost", "localhost/a", yes},
		{"https://index.docker.io/v1/", "localhost/a", yes},
		{"https://index.docker.io/v1/", "localhost:5000/a", keyring.PartPort},
		{"[fd00::1]:5000", "[fd00::1]:5000/a", yes},
		{"https://user:word@reg.io?x=y#z", "reg.io/a", yes},
	} {
		found := keyring.Find([]keyring.Content{secret("s", c.key)}, c.image)
		if len(found.Comparisons) != 1 || found.Comparisons[0].Match() != (c.want == yes) || (len(found.Logins) == 1) != (c.want == yes) {
			t.Errorf("%q for %s: got %+v", c.key, c.image, found)
			continue
		}
		if c.want != yes && found.Comparisons[0].Differences[0].Part != c.want {
			t.Errorf("%q for %s: got %+v, want %s", c.key, c.image, found.Comparisons[0].Differences, c.want)
		}
	}
}

func TestAllThatKeepsAKeyFromAnImageIsTold(t *testing.T) {
	t.Parallel()
	found := keyring.Find([]keyring.Content{secret("s", "Registry.eu-*.example.com:5000/team")}, "registry.us-1.example.net/app")
	want := []keyring.Difference{
		{Part: keyring.PartPort, Key: "5000"},
		{Part: keyring.PartPath, Key: "/team", Image: "/app"},
		{Part: keyring.PartCase, Key: "Registry", Image: "registry"},
		{Part: keyring.PartGlob, Label: 1, Key: "eu-*", Image: "us-1"},
		{Part: keyring.PartLabel, Label: 3, Key: "com", Image: "net"},
	}
	if diff := cmp.Diff(want, found.Comparisons[0].Differences); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheOrderIsKubelets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		secrets []keyring.Content
		image   string
		want    []string
	}{
		{"a longer path before the host, whichever Secret is first", []keyring.Content{secret("one", "reg.io"), secret("two", "reg.io/a")}, "reg.io/a/b", []string{"two/reg.io/a", "one/reg.io"}},
		{"a glob last", []keyring.Content{secret("one", "*.reg.io"), secret("two", "eu.reg.io")}, "eu.reg.io/a", []string{"two/eu.reg.io", "one/*.reg.io"}},
		{"the same key in the order of the list", []keyring.Content{secret("b", "reg.io"), secret("a", "https://reg.io/v2/")}, "reg.io/a", []string{"b/reg.io", "a/https_//reg.io/v2/"}},
		{"docker.io hides Docker Hub's older key", []keyring.Content{secret("one", "https://index.docker.io/v1/"), secret("two", "docker.io")}, "docker.io/a/b", []string{"two/docker.io"}},
		{"which is taken where there is no other, from all Secrets", []keyring.Content{secret("one", "index.docker.io"), secret("two", "https://index.docker.io/v1/"), secret("three", "reg.io")}, "docker.io/a/b", []string{"one/index.docker.io", "two/https_//index.docker.io/v1/"}},
		{"and for no other registry", []keyring.Content{secret("one", "index.docker.io")}, "reg.io/a", nil},
	} {
		found := keyring.Find(c.secrets, c.image)
		if diff := cmp.Diff(c.want, users(found.Logins)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if want := len(c.want) > 0 && c.want[0] != "two/docker.io" && strings.HasPrefix(c.image, "docker.io"); found.ByIndex != want {
			t.Errorf("%s: by the index is %v", c.name, found.ByIndex)
		}
	}
}

func TestTwoSpellingsOfAKeyInOneSecretAreAmbiguousWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	differ := keyring.Find([]keyring.Content{secret("s", "reg.io", "https://reg.io")}, "reg.io/a")
	if got := users(differ.Ambiguous()); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	same := typed("s", keyring.TypeDockerConfigJSON, keyring.KeyDockerConfigJSON, `{"auths":{"reg.io":{"auth":"`+auth("u")+`"},"https://reg.io":{"auth":"`+auth("u")+`"}}}`)
	if got := keyring.Find([]keyring.Content{same, secret("other", "reg.io")}, "reg.io/a").Ambiguous(); len(got) > 0 {
		t.Errorf("the same login twice: got %q", users(got))
	}
}

func TestWhatKubeletReadsOfASecret(t *testing.T) {
	t.Parallel()
	const json, cfg = keyring.TypeDockerConfigJSON, keyring.TypeDockercfg
	const jsonKey, cfgKey = keyring.KeyDockerConfigJSON, keyring.KeyDockercfg
	good := `{"auths":{"reg.io":{"auth":"` + auth("u") + `"}}}`
	for _, c := range []struct {
		name, kind, key, text string
		skipped               bool
		problem               string
		broken                []string
		keys                  []string
	}{
		{name: "the newer form", kind: json, key: jsonKey, text: good, keys: []string{"reg.io"}},
		{name: "the older form", kind: cfg, key: cfgKey, text: `{"reg.io":{"username":"u","password":"p"}}`, keys: []string{"reg.io"}},
		{name: "of another type", kind: "Opaque", key: jsonKey, text: good, skipped: true},
		{name: "the key of the other type", kind: json, key: cfgKey, text: good, skipped: true},
		{name: "empty", kind: json, key: jsonKey, text: "", skipped: true},
		{name: "the older form under the newer type", kind: json, key: jsonKey, text: `{"reg.io":{"auth":"` + auth("u") + `"}}`},
		{name: "the newer form under the older type", kind: cfg, key: cfgKey, text: good, keys: []string{"auths"}},
		{name: "keys are read in any case", kind: json, key: jsonKey, text: strings.ReplaceAll(good, "auth", "Auth"), keys: []string{"reg.io"}},
		{name: "null", kind: json, key: jsonKey, text: `{"auths":null}`},
		{name: "an entry of null", kind: json, key: jsonKey, text: `{"auths":{"reg.io":null}}`, keys: []string{"reg.io"}},
		{name: "no base64", kind: json, key: jsonKey, text: `{"auths":{"reg.io":{"auth":"!!"},"b.io":{"auth":"` + auth("u") + `"}}}`, problem: "illegal base64 data at input byte 0", broken: []string{"reg.io"}},
		{name: "the base64 of URLs", kind: json, key: jsonKey, text: `{"auths":{"reg.io":{"auth":"dTpw_3A="}}}`, problem: "illegal base64 data at input byte 4", broken: []string{"reg.io"}},
		{name: "no colon", kind: json, key: jsonKey, text: `{"auths":{"reg.io":{"auth":"dXNlcg=="}}}`, problem: "unable to parse auth field, must be formatted as base64(username:password)", broken: []string{"reg.io"}},
		{name: "padding that is not there", kind: json, key: jsonKey, text: `{"auths":{"reg.io":{"auth":"dTpwdw"}}}`, keys: []string{"reg.io"}},
		{name: "no JSON", kind: json, key: jsonKey, text: `eyJh`, problem: "invalid character 'e' looking for beginning of value"},
		{name: "auths is a list", kind: json, key: jsonKey, text: `{"auths":[]}`, problem: "json: cannot unmarshal array into Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig"},
		{name: "a number for a name", kind: json, key: jsonKey, text: `{"auths":{"reg.io":{"username":7}}}`, problem: "json: cannot unmarshal number into Go struct field DockerConfigJSON.auths.username of type string", broken: []string{"reg.io"}},
	} {
		got := typed("s", c.kind, c.key, c.text)
		var keys []string
		for _, e := range got.Entries {
			keys = append(keys, e.Key)
		}
		if got.Skipped != c.skipped || got.Problem != c.problem || !cmp.Equal(c.broken, got.Broken) || !cmp.Equal(c.keys, keys) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

func TestWhatKubeletDoesNotReadIsNoticed(t *testing.T) {
	t.Parallel()
	got := typed("s", keyring.TypeDockerConfigJSON, keyring.KeyDockerConfigJSON,
		`{"auths":{"a.io":{},"b.io":{"identitytoken":"t"},"c.io":{"auth":"`+base64.StdEncoding.EncodeToString([]byte("u:p\n"))+`"},"d.io":{"auth":"`+auth("u")+`"}},"credsStore":"desktop"}`)
	if !got.Helpers {
		t.Error("the helper was not noticed")
	}
	for i, want := range []struct{ empty, token, stray bool }{{true, false, false}, {true, true, false}, {false, false, true}, {false, false, false}} {
		if e := got.Entries[i]; e.Empty() != want.empty || e.Token != want.token || e.Stray() != want.stray {
			t.Errorf("%s: got %v %v %v", e.Key, e.Empty(), e.Token, e.Stray())
		}
	}
}

func TestADroppedKeyDoesNotShowThePasswordInIt(t *testing.T) {
	t.Parallel()
	got := secret("s", "https://user:"+password+"@reg.io:port")
	if e := got.Entries[0]; e.Dropped == "" || strings.Contains(e.Dropped, password) {
		t.Errorf("got %q", e.Dropped)
	}
}

func FuzzAKeyIsCutAsTheNetPackageCutsIt(f *testing.F) {
	for _, host := range []string{"reg.io", "reg.io:5000", "[fd00::1]:5000", "[fd00::1]", "a:b:1", "reg.io:", "[a]b:1", "a]:1", "[[a]:1", ":"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		u, err := url.Parse("https://" + host + "/a")
		if err != nil || u.Host == "" {
			return
		}
		name, port, err := net.SplitHostPort(u.Host)
		if err != nil {
			name, port = u.Host, ""
		}
		found := keyring.Find([]keyring.Content{secret("s", "x.io")}, host+"/a")
		for _, d := range found.Comparisons[0].Differences {
			if d.Part == keyring.PartPort && d.Image != port || d.Part == keyring.PartLabels && d.Image != name {
				t.Errorf("%q: got %+v, want %q and %q", host, d, name, port)
			}
		}
	})
}
