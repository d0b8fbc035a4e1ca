package localacr

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// decrypt is how the facts say that the file is read (section 1.8).
func decrypt(t *testing.T, text, keyring string) string {
	t.Helper()
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher([]byte(keyring))
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, len(sealed)-16)
	cipher.NewCBCDecrypter(block, sealed[:16]).CryptBlocks(plain, sealed[16:])
	return string(plain[:len(plain)-int(plain[len(plain)-1])])
}

func TestTheTokenFileHoldsASessionEncrypted(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	path := filepath.Join(t.TempDir(), "token-config")
	arn := c.AddRole(Role{Name: "addon", Grants: pulls()})
	if err := c.WriteTokenFile(path, arn, time.Hour); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]string
	if err := json.Unmarshal(data, &f); err != nil || len(f) != 5 {
		t.Fatalf("the file is %s, %v", data, err)
	}
	until, err := time.Parse("2006-01-02T15:04:05Z", f["expiration"])
	if err != nil || !until.Equal(c.clock.Now().Add(time.Hour)) {
		t.Errorf("it expires at %v, %v", until, err)
	}
	c.temporary(credential.AccessKey{
		ID: decrypt(t, f["access.key.id"], f["keyring"]), Secret: credential.NewSecret(decrypt(t, f["access.key.secret"], f["keyring"])),
		SessionToken: credential.NewSecret(decrypt(t, f["security.token"], f["keyring"])),
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info, err)
	}
	if err := c.WriteTokenFile(path, arn+"x", time.Hour); err == nil {
		t.Error("a role that there is not has a session")
	}
	if err := c.WriteTokenFile(filepath.Join(path, "x"), arn, time.Hour); err == nil {
		t.Error("it was written where nothing can be written")
	}
}

func TestTheTokenFileSaysWhyThereIsNoSession(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "token-config")
	if err := c.WriteTokenFileError(path, "addon", "EntityNotExist.Role", "The role not exists."); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	want := `{"error":{"roleName":"addon","code":"EntityNotExist.Role","message":"The role not exists."}}`
	if err != nil || string(data) != want {
		t.Errorf("the file is %s, %v", data, err)
	}
	entries, err := os.ReadDir(dir)
	if diff := cmp.Diff(1, len(entries)); diff != "" || err != nil {
		t.Errorf("in the folder are %v, %v", entries, err)
	}
}
