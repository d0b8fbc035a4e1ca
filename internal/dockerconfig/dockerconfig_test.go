package dockerconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

func cred(user, password string, hosts ...string) credential.Credential {
	return credential.Credential{Username: user, Password: credential.NewSecret(password), Hosts: hosts}
}

func TestPullSecretHasTheVendorsShape(t *testing.T) {
	t.Parallel()
	got, err := PullSecret([]credential.Credential{
		cred("cr_temp_user", "eyJ:abc", "registry.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com"),
		cred("other", "pw", "Acme-registry.cn-shanghai.cr.aliyuncs.com"),
	}, "cs@example.com")
	if err != nil {
		t.Fatal(err)
	}
	// The fields in the vendor's order, hosts sorted and in lower case.
	want := `{"auths":{` +
		`"acme-registry.cn-shanghai.cr.aliyuncs.com":{"username":"other","password":"pw","email":"cs@example.com","auth":"b3RoZXI6cHc="},` +
		`"registry-vpc.cn-hangzhou.aliyuncs.com":{"username":"cr_temp_user","password":"eyJ:abc","email":"cs@example.com","auth":"Y3JfdGVtcF91c2VyOmV5SjphYmM="},` +
		`"registry.cn-hangzhou.aliyuncs.com":{"username":"cr_temp_user","password":"eyJ:abc","email":"cs@example.com","auth":"Y3JfdGVtcF91c2VyOmV5SjphYmM="}}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPullSecretIsTheSameWhateverTheOrder(t *testing.T) {
	t.Parallel()
	a, b := cred("u", "1", "a.io", "b.io"), cred("v", "2", "c.io", "registry.*.aliyuncs.com")
	turned := cred("v", "2", "registry.*.aliyuncs.com", "c.io")
	one, err := PullSecret([]credential.Credential{a, b}, "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := PullSecret([]credential.Credential{turned, a}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Errorf("%s\nand\n%s", one, two)
	}
	if strings.Contains(string(one), "email") {
		t.Errorf("an empty email is written: %s", one)
	}
	hosts, err := Hosts(one)
	if diff := cmp.Diff([]string{"a.io", "b.io", "c.io", "registry.*.aliyuncs.com"}, hosts); err != nil || diff != "" {
		t.Errorf("hosts: %v\n%s", err, diff)
	}
}

func TestPullSecretOfNobodyIsAnEmptyList(t *testing.T) {
	t.Parallel()
	got, err := PullSecret(nil, "")
	if err != nil || string(got) != `{"auths":{}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestPullSecretRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		creds []credential.Credential
		want  string
	}{
		{"two credentials for one registry", []credential.Credential{cred("u", "p4ssw0rd", "a.io"), cred("v", "p4ssw0rd", "A.io")}, "two credentials for the registry a.io"},
		{"a registry twice in one credential", []credential.Credential{cred("u", "p4ssw0rd", "a.io", "a.io")}, "two credentials"},
		{"what is no host", []credential.Credential{cred("u", "p4ssw0rd", "https://a.io")}, "scheme"},
		{"a credential without host", []credential.Credential{cred("u", "p4ssw0rd")}, "names no registry"},
		{"a user name that would be split", []credential.Credential{cred("u:v", "p4ssw0rd", "a.io")}, `has a ":"`},
		{"an empty user name", []credential.Credential{cred("", "p4ssw0rd", "a.io")}, "no user name"},
		{"an empty password", []credential.Credential{cred("u", "", "a.io")}, "no password"},
		{"more than a Secret holds", []credential.Credential{cred("u", strings.Repeat("p4ssw0rd", MaxSize/16), "a.io", "b.io")}, "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := PullSecret(c.creds, "")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "p4ssw0rd") {
				t.Errorf("got %.200s, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestMergeKeepsWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	old := `{"credsStore":"desktop","HttpHeaders":{"X":1e400},"auths":{
		"a.io":{"auth":"b2xkOm9sZA=="},
		"https://b.io/v2/":{"auth":"b2xkOm9sZA==","identitytoken":"<&>","x":[1,2]},
		"c.io/team":{"username":"u","password":"p"}}}`
	var asked []string
	keep := func(host, user string) bool {
		asked = append(asked, user+"@"+host)
		return host != "a.io" && host != "b.io"
	}
	got, err := Merge([]byte(old), keep, []credential.Credential{cred("new", "pw", "b.io", "c.io")}, "")
	if err != nil {
		t.Fatal(err)
	}
	fresh := `{"username":"new","password":"pw","auth":"bmV3OnB3"}`
	want := `{"HttpHeaders":{"X":1e400},"auths":{"b.io":` + fresh + `,"c.io":` + fresh + `,"c.io/team":{"username":"u","password":"p"}},"credsStore":"desktop"}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(asked) != 3 {
		t.Errorf("keep was asked for %q; want the three entries", asked)
	}
}

func TestMergeKeepsEntriesByteForByte(t *testing.T) {
	t.Parallel()
	entry := `{ "identitytoken":"<&>\u00e9", "x" :[1,  2.50],"auth":null}`
	got, err := Merge([]byte(`{"auths": {"b.io": `+entry+`, "q":7}}`), func(string, string) bool { return true }, nil, "")
	if want := `{"auths":{"b.io":` + entry + `,"q":7}}`; err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestEntriesAreThoseAskedForAndNothingElse(t *testing.T) {
	t.Parallel()
	creds := []credential.Credential{cred("u", "<p>", "a.io", "b.io:5000")}
	ours, err := PullSecret(creds, "")
	if err != nil {
		t.Fatal(err)
	}
	theirs := `{"HttpHeaders":{"X":"y"},"auths":{"c.io":{"auth": "eA=="},"https://d.io/v1/":{}}}`
	both, err := Merge([]byte(theirs), func(string, string) bool { return true }, creds, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Entries(both, func(host string) bool { return host != "c.io" && host != "d.io" })
	if err != nil || !bytes.Equal(got, ours) {
		t.Errorf("got %s, %v; want %s", got, err, ours)
	}
	if got, err := Entries([]byte(`{"auths":`), func(string) bool { return true }); err == nil {
		t.Errorf("half a document is taken for %s", got)
	}
}

func TestMergeRefusesAnEntryThatIsBothKeptAndOurs(t *testing.T) {
	t.Parallel()
	_, err := Merge([]byte(`{"auths":{"https://a.io/":{}}}`), func(string, string) bool { return true }, []credential.Credential{cred("u", "p", "a.io")}, "")
	if err == nil || !strings.Contains(err.Error(), "two credentials for the registry a.io") {
		t.Errorf("got %v", err)
	}
}

func TestMergeIntoNothingIsAPullSecret(t *testing.T) {
	t.Parallel()
	creds := []credential.Credential{cred("u", "p", "a.io")}
	want, err := PullSecret(creds, "e@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"", "{}", `{"auths":{}}`, `{"auths":null}`} {
		got, err := Merge([]byte(old), func(string, string) bool { return true }, creds, "e@example.com")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Merge(%q) = %s, %v; want %s", old, got, err, want)
		}
	}
}

func TestParseNamesThePlaceAndNeverTheContent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "byte 0: a JSON object is needed"},
		{"a list", `["s3cret"]`, "a JSON object is needed"},
		{"a text", `"s3cret"`, "a JSON object is needed"},
		{"no JSON", `s3cret`, "byte 0: a JSON object is needed"},
		{"an open end", `{"auths":{"a.io":{"auth":"s3cret"`, "byte"},
		{"an open object", `{"a":"s3cret"`, "the object does not end"},
		{"a bad value", `{"auths":{"a.io":s3cret}}`, "the value is not JSON"},
		{"a bad name", `{s3cret:1}`, "the name of a field is needed"},
		{"more than one document", `{"x":"s3cret"}{}`, "something follows the object"},
		{"a list of auths", `{"auths":["s3cret"]}`, "auths, byte 1: a JSON object is needed"},
		{"a registry twice", `{"auths":{"s3cret.io":{},"s3cret.io":{}}}`, "auths, byte 27: a field is given twice"},
		{"auths twice", `{"auths":{"s3cret.io":{}},"auths":{}}`, "the document, byte 33: a field is given twice"},
		{"auths in other letters", `{"Auths":{"s3cret.io":{}}}`, `is "auths" in other capitals`},
		{"too much", `{"a":"` + strings.Repeat("s3cret", MaxSize/6) + `"}`, "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v; want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error repeats the document: %v", err)
			}
			if _, err := Hosts([]byte(c.in)); err == nil {
				t.Error("Hosts reads it")
			}
			if _, err := Merge([]byte(c.in), func(string, string) bool { return true }, nil, ""); err == nil && c.in != "" {
				t.Error("Merge reads it")
			}
		})
	}
}

func TestAnEntryIsReadBackByItsFirstColon(t *testing.T) {
	t.Parallel()
	data, err := PullSecret([]credential.Credential{cred("cr_temp_user", "eyJ:with:colons", "a.io")}, "")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	auth, err := base64.StdEncoding.DecodeString(doc.Auths["a.io"].Auth)
	user, password, _ := strings.Cut(string(auth), ":")
	if err != nil || user != "cr_temp_user" || password != "eyJ:with:colons" {
		t.Errorf("got %q and %q, %v", user, password, err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(`{"auths":{"a.io":{"auth":"dTpw"}},"x":[1,{"y":null}]}`))
	f.Add([]byte(`{"auths":{"https://b.io/v1/":{}},"credsStore":"desktop"}`))
	f.Add([]byte(`{"auths":null}`))
	f.Add([]byte(`{"\ud800":1e400}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		once, err := c.Marshal()
		if err != nil {
			t.Skip("larger than a Secret when written out")
		}
		kept, err := Merge(data, func(string, string) bool { return true }, nil, "")
		if err != nil && len(data) > 0 || !bytes.Equal(once, kept) {
			t.Fatalf("Merge of nothing changes the document: %v\n%s\n%s", err, once, kept)
		}
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("cannot be read again: %v\n%s", err, once)
		}
		twice, err := again.Marshal()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("written otherwise the second time: %v\n%s\n%s", err, once, twice)
		}
		want := meaning(t, data)
		if want["auths"] == nil {
			want["auths"] = map[string]any{}
		}
		if diff := cmp.Diff(want, meaning(t, once)); diff != "" {
			t.Errorf("(-read +written):\n%s", diff)
		}
	})
}

// meaning decodes a document with its numbers as they are written.
func meaning(t *testing.T, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}
