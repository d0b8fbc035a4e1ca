// Package credential holds what pullkey knows about credentials without
// talking to anyone: the secret that cannot print itself, the credential for
// a set of registry hosts, the access key of a cloud, and when to renew.
//
// Its one rule: a secret leaves a Secret only through Reveal.
package credential

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is the secret part of a credential. No formatting verb, logger or
// encoder prints it: the value stands behind a pointer, since fmt and slog
// walk past the methods of a value that sits in an unexported field.
// The zero Secret is empty. Secrets are compared with Equal; == would compare
// pointers and does not compile.
type Secret struct {
	_     [0]func()
	value *string
}

// NewSecret returns the secret whose value is s.
func NewSecret(s string) Secret { return Secret{value: &s} }

// Reveal returns the value. Call it only where the value goes to the party it
// is meant for.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty tells whether there is no value.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal compares two secrets in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Format prints a fixed text for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns a fixed text.
func (s Secret) String() string { return redacted }

// LogValue logs a fixed text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText encodes a fixed text, for JSON, YAML and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
