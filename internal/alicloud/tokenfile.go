package alicloud

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

// TokenFile is whoever ACK wrote the token file for: one of its managed
// add-ons, from which the key is borrowed. It ends with the add-on.
func TokenFile(path string, read func(path string) ([]byte, error), now func() time.Time) Identity {
	return &session{
		name: "token file " + path + " of a managed add-on (borrowed)", now: now,
		good: func(credential.AccessKey, time.Time, time.Time) bool { return false }, // a file is read at once
		fetch: func(context.Context) (credential.AccessKey, error) {
			data, err := read(path)
			if err != nil {
				return credential.AccessKey{}, fmt.Errorf("read the token file: %w", err)
			}
			key, err := parseTokenFile(data, now())
			if err != nil {
				return credential.AccessKey{}, &problem{"read the token file " + path, "ACK writes this file for its managed add-ons and renews it while they are installed: give pullkey an identity of its own", err}
			}
			return key, nil
		},
	}
}

// tokenFile is the document. The keyring stands in it: the encryption keeps
// the key from eyes alone.
type tokenFile struct {
	ID         string `json:"access.key.id"`
	Secret     string `json:"access.key.secret"`
	Token      string `json:"security.token"`
	Expiration string `json:"expiration"`
	Keyring    string `json:"keyring"`
	// Error is why ACK has no key.
	Error struct {
		RoleName string `json:"roleName"`
		Code     string `json:"code"`
		Message  string `json:"message"`
	} `json:"error"`
}

// parseTokenFile reads the key, or says why there is none, and nothing of what
// the file holds besides ACK's own error.
func parseTokenFile(data []byte, now time.Time) (credential.AccessKey, error) {
	var f tokenFile
	if json.Unmarshal(data, &f) != nil {
		return credential.AccessKey{}, errors.New("it is not the JSON that ACK writes")
	}
	key, err := f.key(now)
	if err != nil && (f.Error.Code != "" || f.Error.Message != "") {
		return credential.AccessKey{}, fmt.Errorf("ACK got no key of role %q: %s: %s",
			openapi.Printable(f.Error.RoleName), openapi.Printable(f.Error.Code), openapi.Printable(f.Error.Message))
	}
	return key, err
}

func (f *tokenFile) key(now time.Time) (credential.AccessKey, error) {
	var g grant
	for _, field := range []struct {
		name, text string
		value      *string
	}{
		{"access.key.id", f.ID, &g.AccessKeyID},
		{"access.key.secret", f.Secret, &g.AccessKeySecret},
		{"security.token", f.Token, &g.SecurityToken},
	} {
		value, err := decrypt(field.text, f.Keyring)
		if err != nil {
			return credential.AccessKey{}, fmt.Errorf("%s: %w", field.name, err)
		}
		*field.value = value
	}
	var err error
	if g.Expiration, err = time.Parse(time.RFC3339, f.Expiration); err != nil {
		return credential.AccessKey{}, errors.New("expiration: it is no time")
	}
	if _, problem := g.wrong(now, now); problem != "" {
		return credential.AccessKey{}, errors.New(problem)
	}
	return g.key(), nil
}

// decrypt reads base64 of an initialization vector and what AES-CBC made of
// the padded text.
func decrypt(text, keyring string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("it is no base64")
	}
	block, err := aes.NewCipher([]byte(keyring))
	if err != nil {
		return "", errors.New("the keyring is no key of AES")
	}
	size := block.BlockSize()
	if len(data) < 2*size || len(data)%size != 0 {
		return "", errors.New("it is not whole")
	}
	plain := make([]byte, len(data)-size)
	cipher.NewCBCDecrypter(block, data[:size]).CryptBlocks(plain, data[size:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > size {
		return "", errors.New("the keyring does not open it")
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return "", errors.New("the keyring does not open it")
		}
	}
	return string(plain[:len(plain)-padding]), nil
}
