package dockerconfig

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever config.json there is: a login that is put can be read back, and
// erasing takes its host and nothing else.
func FuzzStore(f *testing.F) {
	f.Add([]byte(`{"auths":{"a.io":{"auth":"dTpw","x":[1,{"y":null}]}},"x":1e400}`), "a.io", "alice", "pw", "it")
	f.Add([]byte(`{"auths":{"https://b.io/v1/":{},"B.io":null,"b.io/team":{}},"credsStore":"desktop"}`), "b.io", "alice", "p:w", "")
	f.Add([]byte(`{"credHelpers":{"c.io":"x"},"auths":{"https://index.docker.io/v1/access-token":{"email":"e"}}}`), "docker.io", "u", "<&>\u2028", "")
	f.Add([]byte(` `), "[::1]:5000", "u", "", "t")
	f.Fuzz(func(t *testing.T, data []byte, host, user, password, token string) {
		host, err := hostName(host)
		login := secretLogin(user, password, token, "")
		if err != nil || checkLogin(login) != nil {
			return
		}
		d, err := parseDocument(data)
		if err != nil {
			return
		}
		before := d.meanings(t)
		if err := d.put(host, login); err != nil {
			t.Fatalf("put: %v", err)
		}
		d = written(t, d)
		got, key, err := d.login(host)
		if err != nil || key != keyOf(host) || words(got) != words(login) {
			t.Fatalf("put %s and found %s at %q, %v", words(login), words(got), key, err)
		}
		wantSame(t, before, d.meanings(t), func(k string) bool { return k != keyOf(host) })

		changed, held, err := d.erase(host)
		if err != nil || !changed || !slices.Contains(held, keyOf(host)) {
			t.Fatalf("erase: %v, %q, %v", changed, held, err)
		}
		if d = written(t, d); len(d.keysFor(host)) != 0 {
			t.Fatalf("there still are %q", d.keysFor(host))
		}
		wantSame(t, before, d.meanings(t), func(k string) bool {
			return !names(k, host) && !slices.Contains(sessionKeys(host), k)
		})
	})
}

// meanings returns what the document holds, with numbers as they are written.
func (d document) meanings(t *testing.T) map[string]any {
	t.Helper()
	data, err := d.Marshal()
	if err != nil {
		t.Skip("larger than a file may be")
	}
	return meaning(t, data)
}

// wantSame checks that all fields are the same, that in auths the entries of
// other keys are, and that those of the host kept what is not its login.
func wantSame(t *testing.T, before, after map[string]any, others func(string) bool) {
	t.Helper()
	was, _ := before["auths"].(map[string]any)
	is, _ := after["auths"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if others(key) {
			if diff := cmp.Diff(was[key], is[key]); diff != "" {
				t.Errorf("the entry %q (-before +after):\n%s", key, diff)
			}
			continue
		}
		old, _ := was[key].(map[string]any)
		now, there := is[key].(map[string]any)
		for name, value := range old {
			if there && !slices.Contains(loginFields, name) && !cmp.Equal(value, now[name]) {
				t.Errorf("the field %q of the entry %q is lost", name, key)
			}
		}
	}
	for key := range is {
		if _, there := was[key]; !there && others(key) {
			t.Errorf("there is an entry %q now", key)
		}
	}
	before, after = maps.Clone(before), maps.Clone(after)
	delete(before, "auths")
	delete(after, "auths")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// written returns the document as it is read back from its file, and writes it
// the same a second time.
func written(t *testing.T, d document) document {
	t.Helper()
	data, err := d.indented()
	if err != nil {
		t.Skip("larger than a file may be")
	}
	again, err := parseDocument(data)
	if err != nil {
		t.Fatalf("cannot be read again: %v\n%s", err, data)
	}
	if twice, err := again.indented(); err != nil || !bytes.Equal(data, twice) {
		t.Fatalf("written otherwise the second time: %v\n%s\n%s", err, data, twice)
	}
	return again
}
