package openapi

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// The vectors were made with Alibaba Cloud's own signing code; the first is
// the sample of its documentation.
func TestTheSignatureIsTheVendors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/acs3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Method, Path           string
		Query, Headers               map[string]string
		AccessKeyID, AccessKeySecret string
		Authorization                string
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 5 {
		t.Fatalf("%d vectors; want 5", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m := message{method: v.Method, path: v.Path, query: v.Query, header: v.Headers}
			key := credential.AccessKey{ID: v.AccessKeyID, Secret: credential.NewSecret(v.AccessKeySecret)}
			if got := m.authorization(key); got != v.Authorization {
				t.Errorf("got\n%s\nwant\n%s", got, v.Authorization)
			}
		})
	}
}

// resign signs what arrived on the wire: the host as it was named and every
// header that the cloud takes into account.
func resign(r arrival, key credential.AccessKey) string {
	m := message{method: r.Method, path: r.URL.EscapedPath(), query: map[string]string{}, header: map[string]string{"host": r.Host}}
	for name, values := range r.URL.Query() {
		m.query[name] = values[0]
	}
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-acs-") || name == "content-type" {
			m.header[name] = values[0]
		}
	}
	hash := sha256.Sum256([]byte(r.body))
	m.header["x-acs-content-sha256"] = hex.EncodeToString(hash[:])
	return m.authorization(key)
}

// rpcResign signs what arrived on the wire the older way, from the words of the
// documentation alone.
func rpcResign(t *testing.T, r arrival, key credential.AccessKey) string {
	t.Helper()
	form, err := url.ParseQuery(r.body)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, values := range []url.Values{r.URL.Query(), form} {
		for name, value := range values {
			if len(value) != 1 {
				t.Errorf("%s is there %d times", name, len(value))
			}
			if name != "Signature" {
				pairs = append(pairs, percent(name)+"="+percent(value[0]))
			}
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha1.New, []byte(key.Secret.Reveal()+"&"))
	_, _ = io.WriteString(mac, r.Method+"&%2F&"+percent(strings.Join(pairs, "&")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// checkSignature checks a request that stsKey signed.
func checkSignature(t *testing.T, r arrival, style Style) {
	t.Helper()
	got, want := r.Header.Get("Authorization"), resign(r, stsKey)
	if style == RPC {
		got, want = r.URL.Query().Get("Signature"), rpcResign(t, r, stsKey)
	}
	if got != want {
		t.Errorf("signed with\n%s\nwant\n%s", got, want)
	}
}

func TestTheSignatureCoversWhatArrives(t *testing.T) {
	t.Parallel()
	const always, session = "x-acs-action;x-acs-content-sha256;x-acs-date;", "x-acs-security-token;"
	for _, c := range []struct {
		name   string
		key    credential.AccessKey
		r      Request
		signed string
	}{
		{"a query", staticKey, question, "host;" + always + "x-acs-signature-nonce;x-acs-version"},
		{"a path", staticKey, Request{Method: http.MethodGet, Path: "/tokens"}, "host;" + always + "x-acs-signature-nonce;x-acs-version"},
		{"a temporary key", stsKey, question, "host;x-acs-accesskey-id;" + always + session + "x-acs-signature-nonce;x-acs-version"},
		{"a form", stsKey, Request{Method: http.MethodPost, Path: "/", Form: map[string]string{"A": "b c+d&e=é", "B": ""}}, "content-type;host;x-acs-accesskey-id;" + always + session + "x-acs-signature-nonce;x-acs-version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newCloud(t, writes(200, "{}"))
			if err := ask(t, c.key, srv.URL, c.r); err != nil {
				t.Fatal(err)
			}
			r := srv.asked()[0]
			got := r.Header.Get("Authorization")
			if want := resign(r, c.key); got != want {
				t.Errorf("signed with\n%s\nwant\n%s", got, want)
			}
			if want := "ACS3-HMAC-SHA256 Credential=" + c.key.ID + ",SignedHeaders=" + c.signed + ",Signature="; !strings.HasPrefix(got, want) {
				t.Errorf("signed with\n%s\nwant\n%s", got, want)
			}
			form, err := url.ParseQuery(r.body)
			if err != nil || len(form) != len(c.r.Form) {
				t.Errorf("the form %q: %v", r.body, err)
			}
			for name, value := range c.r.Form {
				if form.Get(name) != value {
					t.Errorf("%s is %q; want %q", name, form.Get(name), value)
				}
			}
		})
	}
}

func TestTheRPCStyleSignsQueryAndFormTogether(t *testing.T) {
	t.Parallel()
	for _, key := range []credential.AccessKey{staticKey, stsKey} {
		srv := newCloud(t, writes(200, "{}"))
		err := ask(t, key, srv.URL, Request{
			Style: RPC, Action: "AssumeRole", Version: "2015-04-01", Method: http.MethodPost, Path: "/",
			Query: map[string]string{"Zone": "a*b ~é"},
			Form:  map[string]string{"RoleArn": "acs:ram::1:role/b+c d", "DurationSeconds": "3600", "RoleSessionName": "pullkey"},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := srv.asked()[0]
		query := r.URL.Query()
		if got, want := query.Get("Signature"), rpcResign(t, r, key); got != want {
			t.Errorf("signed with %s; want %s", got, want)
		}
		if len(query.Get("SignatureNonce")) != 32 {
			t.Errorf("the nonce is %q", query.Get("SignatureNonce"))
		}
		query.Del("Signature")
		query.Del("SignatureNonce")
		want := url.Values{
			"AccessKeyId": {key.ID}, "Action": {"AssumeRole"}, "Format": {"JSON"}, "SignatureMethod": {"HMAC-SHA1"}, "SignatureVersion": {"1.0"},
			"Timestamp": {"2026-11-23T12:00:00Z"}, "Version": {"2015-04-01"}, "Zone": {"a*b ~é"},
		}
		if !key.SessionToken.Empty() {
			want.Set("SecurityToken", key.SessionToken.Reveal())
		}
		if diff := cmp.Diff(want, query); diff != "" {
			t.Errorf("the query (-want +got):\n%s", diff)
		}
		if want := "DurationSeconds=3600&RoleArn=acs%3Aram%3A%3A1%3Arole%2Fb%2Bc%20d&RoleSessionName=pullkey"; r.body != want || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("the form is %q (%s)", r.body, r.Header.Get("Content-Type"))
		}
		noACS3(t, r)
	}
}

// The signature was computed with openssl from the words of the documentation.
func TestTheRPCSignatureOfAFixedRequest(t *testing.T) {
	t.Parallel()
	m := message{
		method: http.MethodPost,
		query:  map[string]string{"AccessKeyId": "testid", "Action": "AssumeRole", "Format": "JSON", "SignatureNonce": "1", "Timestamp": "2026-11-23T12:00:00Z"},
		form:   map[string]string{"RoleArn": "acs:ram::1:role/a b"},
	}
	if got := m.rpcSignature(credential.AccessKey{Secret: credential.NewSecret("testsecret")}); got != "j6PcICnfukxsl+2ik+AEvvRkfNo=" {
		t.Errorf("got %s", got)
	}
}

func TestTheUnsignedStyleNeedsNoKey(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, "{}"))
	err := ask(t, credential.AccessKey{}, srv.URL, Request{
		Style: Unsigned, Action: "AssumeRoleWithOIDC", Version: "2015-04-01", Method: http.MethodPost, Path: "/",
		Form: map[string]string{"OIDCToken": "eyJh.eyJi.c-_", "RoleArn": "acs:ram::1:role/a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := srv.asked()[0]
	if want := "/?Action=AssumeRoleWithOIDC&Format=JSON&Timestamp=2026-11-23T12%3A00%3A00Z&Version=2015-04-01"; r.RequestURI != want {
		t.Errorf("asked %s; want %s", r.RequestURI, want)
	}
	if want := "OIDCToken=eyJh.eyJi.c-_&RoleArn=acs%3Aram%3A%3A1%3Arole%2Fa"; r.body != want || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("the form is %q (%s)", r.body, r.Header.Get("Content-Type"))
	}
	noACS3(t, r)
}

func noACS3(t *testing.T, r arrival) {
	t.Helper()
	for name := range r.Header {
		if lower := strings.ToLower(name); lower == "authorization" || strings.HasPrefix(lower, "x-acs-") {
			t.Errorf("a header %s", name)
		}
	}
}
