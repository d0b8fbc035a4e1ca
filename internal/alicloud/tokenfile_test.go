package alicloud

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

const keyring = "0123456789abcdef0123456789abcdef"

// encrypt writes a text as ACK does.
func encrypt(t testing.TB, text string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(keyring))
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize
	data := append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	iv := []byte("an initial vecto")
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(append(iv, data...))
}

func fields(t testing.TB, expires time.Time) map[string]any {
	t.Helper()
	return map[string]any{
		"access.key.id": encrypt(t, "STS.addon"), "access.key.secret": encrypt(t, "add0n-s3cr3t"), "security.token": encrypt(t, "add0n/t0k3n=="),
		"expiration": expires.Format("2006-01-02T15:04:05Z"), "keyring": keyring,
	}
}

func fileOf(t testing.TB, expires time.Time) []byte {
	t.Helper()
	data, err := json.Marshal(fields(t, expires))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheTokenFileOfAManagedAddOn(t *testing.T) {
	t.Parallel()
	now := &clock{t: noon}
	file, failure := fileOf(t, noon.Add(time.Hour)), error(nil)
	who := TokenFile("/var/addon/token-config", func(path string) ([]byte, error) {
		if path != "/var/addon/token-config" {
			t.Errorf("read %s", path)
		}
		return file, failure
	}, now.now)
	if want := "token file /var/addon/token-config of a managed add-on (borrowed)"; who.Name() != want {
		t.Errorf("called %q", who.Name())
	}
	key, err := who.Key(t.Context())
	if err != nil || key.ID != "STS.addon" || key.Secret.Reveal() != "add0n-s3cr3t" || key.SessionToken.Reveal() != "add0n/t0k3n==" || !key.ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %v, %v", key, err)
	}
	now.move(30 * time.Minute)
	file = fileOf(t, noon.Add(90*time.Minute))
	if key, err := who.Key(t.Context()); err != nil || !key.ExpiresAt.Equal(noon.Add(90*time.Minute)) {
		t.Errorf("the file was renewed: got %v, %v", key, err)
	}
	failure = &fs.PathError{Op: "open", Path: "/var/addon/token-config", Err: fs.ErrNotExist} // the add-on is gone
	if key, err := who.Key(t.Context()); err != nil || !key.ExpiresAt.Equal(noon.Add(90*time.Minute)) {
		t.Errorf("while the key lives: got %v, %v", key, err)
	}
	now.move(time.Hour)
	if _, err := who.Key(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its end: got %v", err)
	}
}

func TestTokenFilesThatHaveNoKey(t *testing.T) {
	t.Parallel()
	ill := map[string]string{"roleName": "AliyunCSManagedAcrRole", "code": "EntityNotExist.Role", "message": "The role not exists.\x1b[31m"}
	sawn := func(s string) string {
		data, _ := base64.StdEncoding.DecodeString(s)
		return base64.StdEncoding.EncodeToString(data[:len(data)-1])
	}
	for _, c := range []struct {
		name   string
		change func(f map[string]any)
		want   string
	}{
		{"an error of ACK's", func(f map[string]any) { clear(f); f["error"] = ill }, `ACK got no key of role "AliyunCSManagedAcrRole": EntityNotExist.Role: The role not exists. [31m`},
		{"an error beside a key that has ended", func(f map[string]any) { f["expiration"] = "2026-11-23T11:00:00Z"; f["error"] = ill }, "ACK got no key of role"},
		{"a key that has ended", func(f map[string]any) { f["expiration"] = "2026-11-23T11:00:00Z" }, "the key expired at 2026-11-23T11:00:00Z"},
		{"no expiration", func(f map[string]any) { delete(f, "expiration") }, "expiration: it is no time"},
		{"another keyring", func(f map[string]any) { f["keyring"] = strings.Repeat("x", 32) }, "the keyring does not open it"},
		{"a keyring of another length", func(f map[string]any) { f["keyring"] = "short" }, "no key of AES"},
		{"no keyring", func(f map[string]any) { delete(f, "keyring") }, "no key of AES"},
		{"no id", func(f map[string]any) { delete(f, "access.key.id") }, "access.key.id: it is not whole"},
		{"an empty id", func(f map[string]any) { f["access.key.id"] = encrypt(t, "") }, "no id or no secret"},
		{"no base64", func(f map[string]any) { f["security.token"] = "%%%" }, "security.token: it is no base64"},
		{"half a block", func(f map[string]any) { f["access.key.secret"] = sawn(encrypt(t, "add0n-s3cr3t")) }, "access.key.secret: it is not whole"},
		{"only the vector", func(f map[string]any) { f["access.key.secret"] = base64.StdEncoding.EncodeToString(make([]byte, 16)) }, "access.key.secret: it is not whole"},
		{"other types", func(f map[string]any) { f["keyring"] = 5 }, "not the JSON that ACK writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := fields(t, noon.Add(time.Hour))
			c.change(f)
			data, _ := json.Marshal(f)
			_, err := TokenFile("/f", func(string) ([]byte, error) { return data, nil }, func() time.Time { return noon }).Key(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "read the token file /f: ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v; want %q", err, c.want)
			}
			var remedy interface{ Hint() string }
			if !errors.As(err, &remedy) || remedy.Hint() == "" {
				t.Error("no hint")
			}
			if said := fmt.Sprintf("%v %+v", err, err); strings.Contains(said, "add0n") || strings.Contains(said, keyring) || strings.Contains(said, "\x1b") {
				t.Errorf("shows the file: %s", said)
			}
		})
	}
	t.Run("an error beside a key that lives", func(t *testing.T) {
		t.Parallel()
		f := fields(t, noon.Add(time.Hour))
		f["error"] = ill
		data, _ := json.Marshal(f)
		if key, err := parseTokenFile(data, noon); err != nil || key.ID != "STS.addon" {
			t.Errorf("got %v, %v", key, err)
		}
	})
}

func FuzzTokenFile(f *testing.F) {
	f.Add(fileOf(f, noon.Add(time.Hour)))
	f.Add([]byte(`{"error":{"roleName":"r","code":"c","message":"m"}}`))
	f.Add([]byte(`{"keyring":"0123456789abcdef","access.key.id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parseTokenFile(data, noon)
		if err == nil && (key.ID == "" || key.Secret.Empty() || key.SessionToken.Empty() || !key.ExpiresAt.After(noon)) {
			t.Errorf("%q is taken for a key", data)
		}
		if err != nil {
			if diff := cmp.Diff(credential.AccessKey{}, key); diff != "" || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	})
}
