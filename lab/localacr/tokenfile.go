package localacr

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// tokenFile is the file that ACK keeps for its own add-ons (facts, section 1.8).
type tokenFile struct {
	AccessKeyID     string          `json:"access.key.id,omitempty"`
	AccessKeySecret string          `json:"access.key.secret,omitempty"`
	SecurityToken   string          `json:"security.token,omitempty"`
	Expiration      string          `json:"expiration,omitempty"`
	Keyring         string          `json:"keyring,omitempty"`
	Error           *tokenFileError `json:"error,omitempty"`
}

type tokenFileError struct {
	RoleName string `json:"roleName,omitempty"`
	Code     string `json:"code,omitempty"`
	Message  string `json:"message,omitempty"`
}

// WriteTokenFile writes a session of a role as ACK does for managed add-ons:
// encrypted, with the key beside it. The file is replaced in one step.
func (a *ACR) WriteTokenFile(path, roleARN string, lifetime time.Duration) error {
	key, err := a.Session(roleARN, lifetime)
	if err != nil {
		return err
	}
	keyring := randomText(32, hexadecimal)
	f := tokenFile{Expiration: key.ExpiresAt.UTC().Format(timestamp), Keyring: keyring}
	for to, text := range map[*string]string{
		&f.AccessKeyID: key.ID, &f.AccessKeySecret: key.Secret.Reveal(), &f.SecurityToken: key.SessionToken.Reveal(),
	} {
		if *to, err = encrypt(text, []byte(keyring)); err != nil {
			return err
		}
	}
	return f.write(path)
}

// WriteTokenFileError writes what ACK writes when the role could not be assumed.
func (a *ACR) WriteTokenFileError(path, roleName, code, message string) error {
	return tokenFile{Error: &tokenFileError{roleName, code, message}}.write(path)
}

// encrypt is AES-CBC with the padding of PKCS #5, the initialization vector
// before it, in base64.
func encrypt(text string, key []byte) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", fmt.Errorf("encrypt the token file: %w", err)
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize
	plain := append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	sealed := make([]byte, aes.BlockSize+len(plain))
	_, _ = rand.Read(sealed[:aes.BlockSize]) // never fails: it ends the program instead
	//nolint:gosec // the vector is random: it was drawn just above
	cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], plain)
	return base64.StdEncoding.EncodeToString(sealed), nil
}

func (f tokenFile) write(path string) error {
	encoded, err := json.Marshal(f) //nolint:gosec // to hold the secret, encrypted, is what the file is for
	if err != nil {
		return fmt.Errorf("encode the token file: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".token-*") // 0600
	if err != nil {
		return fmt.Errorf("write the token file: %w", err)
	}
	_, err = temporary.Write(encoded)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the token file: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
