package dockerconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestForKubeletWritesWhatKubeletReads(t *testing.T) {
	t.Parallel()
	found := map[string]Found{
		"h.io":      {Login: secretLogin("alice", "pw", "", "")},
		"docker.io": {Login: secretLogin("bob", "p:w", "an identity token beside it", "")},
		"x.io:5000": {Login: secretLogin("alice", "pw", "", "")},
	}
	got, err := ForKubelet(found)
	want := `{"auths":{` +
		`"h.io":{"username":"alice","password":"pw","auth":"YWxpY2U6cHc="},` +
		`"https://index.docker.io/v1/":{"username":"bob","password":"p:w","auth":"Ym9iOnA6dw=="},` +
		`"x.io:5000":{"username":"alice","password":"pw","auth":"YWxpY2U6cHc="}}}`
	if err != nil || string(got) != want {
		t.Errorf("got\n%s, %v; want\n%s", got, err, want)
	}
}

func TestForKubeletRefusesWhatKubeletWouldTakeForNobody(t *testing.T) {
	t.Parallel()
	file := Source{File: "/c/config.json", Key: "h.io"}
	for _, c := range []struct {
		name       string
		found      map[string]Found
		want, hint string
	}{
		{"no registry", nil, "no registry is named", ""},
		{"no login", map[string]Found{"h.io": {Source: Source{File: "/c/config.json", Helper: "pass"}}}, "there is no login for h.io (docker-credential-pass, named by credsStore of /c/config.json)", "log in first: pullkey login h.io"},
		{"an identity token", map[string]Found{"h.io": {Login: secretLogin("alice", "", "s3cret", ""), Source: file}}, `the login for h.io (auths["h.io"] of /c/config.json) is an identity token, and kubelet reads user name and password alone`, "pullkey login h.io --keep-password"},
		{"a registry token", map[string]Found{"h.io": {Login: secretLogin("", "", "", "s3cret"), Source: file}}, "is a registry token", "pullkey login h.io"},
		{"a user name alone", map[string]Found{"h.io": {Login: secretLogin("alice", "", "", ""), Source: file}}, "lacks a user name or a password", "pullkey login h.io"},
		{"a user name that would be split", map[string]Found{"h.io": {Login: secretLogin("a:b", "s3cret", "", "")}}, `has a ":"`, ""},
		{"what is no host", map[string]Found{"https://h.io": {Login: secretLogin("a", "s3cret", "", "")}}, "scheme", ""},
		{"a registry by both its names", map[string]Found{"docker.io": {Login: secretLogin("a", "s3cret", "", "")}, "index.docker.io": {Login: secretLogin("a", "s3cret", "", "")}}, "two logins for the registry docker.io", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ForKubelet(c.found)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v; want an error with %q", err, c.want)
			}
			if !strings.Contains(hintOf(err), c.hint) || (hintOf(err) == "") != (c.hint == "") {
				t.Errorf("the hint is %q; want %q", hintOf(err), c.hint)
			}
			if strings.Contains(err.Error()+hintOf(err), "s3cret") {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

func TestAddHostCopiesTheEntryAndKeepsAllElse(t *testing.T) {
	t.Parallel()
	const alice = `{"username":"alice","password":"pw","x":[1,2.50]}`
	for _, c := range []struct{ name, before, like, host, after string }{
		{
			"another host", `{"foo":1e400,"auths":{"h.io":` + alice + `,"other.io":{"auth":"!"}}}`, "h.io", "vpc.h.io",
			`{"foo":1e400,"auths":{"h.io":` + alice + `,"vpc.h.io":` + alice + `,"other.io":{"auth":"!"}}}`,
		},
		{
			"like an old key", `{"auths":{"https://h.io/v1/":` + alice + `}}`, "h.io", "H.io:5000",
			`{"auths":{"https://h.io/v1/":` + alice + `,"h.io:5000":` + alice + `}}`,
		},
		{
			"like a key as it is written", `{"auths":{"h.io/team":` + alice + `}}`, "h.io/team", "h.io",
			`{"auths":{"h.io/team":` + alice + `,"h.io":` + alice + `}}`,
		},
		{
			"Docker Hub", `{"auths":{"h.io":` + alice + `}}`, "h.io", "docker.io",
			`{"auths":{"h.io":` + alice + `,"https://index.docker.io/v1/":` + alice + `}}`,
		},
		{
			"like Docker Hub", `{"auths":{"https://index.docker.io/v1/":` + alice + `}}`, "docker.io", "mirror.io",
			`{"auths":{"https://index.docker.io/v1/":` + alice + `,"mirror.io":` + alice + `}}`,
		},
		{
			"a pattern", `{"auths":{"h.io":` + alice + `}}`, "h.io", "*.h.io",
			`{"auths":{"h.io":` + alice + `,"*.h.io":` + alice + `}}`,
		},
		{
			"like a pattern", `{"auths":{"*.h.io":` + alice + `}}`, "*.h.io", "h.io",
			`{"auths":{"h.io":` + alice + `,"*.h.io":` + alice + `}}`,
		},
		{
			"like two spellings of one login", `{"auths":{"h.io":{"auth":"YWxpY2U6cHc="},"https://h.io":` + alice + `}}`, "h.io", "x.io",
			`{"auths":{"h.io":{"auth":"YWxpY2U6cHc="},"https://h.io":` + alice + `,"x.io":{"auth":"YWxpY2U6cHc="}}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := AddHost([]byte(c.before), c.like, c.host)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(meaning(t, []byte(c.after)), meaning(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := AddHost(got, c.like, c.host)
			if err != nil || string(again) != string(got) {
				t.Errorf("the second time: %s, %v", again, err)
			}
		})
	}
}

func TestAddHostRefuses(t *testing.T) {
	t.Parallel()
	const alice, bob = `{"auth":"YWxpY2U6cHc="}`, `{"username":"bob","password":"s3cret"}`
	for _, c := range []struct{ name, doc, like, host, want, hint string }{
		{"what is no JSON", `s3cret`, "h.io", "x.io", "a JSON object is needed", ""},
		{"an unknown entry", `{"auths":{"h.io":` + alice + `,"u:s3cret@x":{},"*.a.io":{}}}`, "g.io", "x.io", `there is no entry for "g.io"`, "there are entries for *.a.io, h.io"},
		{"any entry of none", `{}`, "g.io", "x.io", `there is no entry for "g.io"`, "there is none for any registry"},
		{"what is no host", `{"auths":{"h.io":` + alice + `}}`, "h.io", "https://x.io", "scheme", ""},
		{"a host with another login", `{"auths":{"h.io":` + alice + `,"https://x.io/v2/":` + bob + `}}`, "h.io", "x.io", `auths["https://x.io/v2/"] is there already, with another login`, "remove that entry first"},
		{"a host with an entry that cannot be read", `{"auths":{"h.io":` + alice + `,"x.io":{"auth":"!"}}}`, "h.io", "x.io", `auths["x.io"] is there already`, "remove that entry first"},
		{"like an entry that cannot be read", `{"auths":{"h.io":{"auth":"s3cret!"}}}`, "h.io", "x.io", `auths["h.io"].auth: it is not base64`, ""},
		{"like an identity token", `{"auths":{"h.io":{"auth":"YWxpY2U6","identitytoken":"s3cret"}}}`, "h.io", "x.io", `the login for h.io (auths["h.io"]) is an identity token`, "pullkey login h.io"},
		{"like nobody", `{"auths":{"h.io":{}}}`, "h.io", "x.io", "there is no login for h.io", "pullkey login h.io"},
		{"like two logins of one registry", `{"auths":{"h.io":` + alice + `,"https://h.io":` + bob + `}}`, "h.io", "x.io", `auths["h.io"] and auths["https://h.io"] have two logins for one registry`, "remove one of them first"},
		{"what a Secret cannot hold", `{"x":"` + strings.Repeat("s3cret", MaxSize/6-8) + `","auths":{"h.io":` + alice + `}}`, "h.io", strings.Repeat("x", 40) + ".io", "more than", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := AddHost([]byte(c.doc), c.like, c.host)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v; want an error with %q", err, c.want)
			}
			if !strings.Contains(hintOf(err), c.hint) || (hintOf(err) == "") != (c.hint == "") {
				t.Errorf("the hint is %q; want %q", hintOf(err), c.hint)
			}
			if strings.Contains(err.Error()+hintOf(err), "s3cret") {
				t.Errorf("the secret is shown: %v, %s", err, hintOf(err))
			}
		})
	}
}

// What a Store found, kubelet gets, and what kubelet has, a Store finds.
func TestAPullSecretIsAConfigJSON(t *testing.T) {
	t.Parallel()
	data, err := PullSecret([]credential.Credential{cred("alice", "pw", "h.io")}, "e@h.io")
	if err != nil {
		t.Fatal(err)
	}
	found, err := storeOf(t, string(data)).Get(t.Context(), "h.io")
	if err != nil || words(found.Login) != alices {
		t.Errorf("got %s, %v", words(found.Login), err)
	}
}
