// Package roots has the certificate authorities that an image without an
// operating system brings along: Mozilla's, as the Go project publishes them in
// a module. Its one rule: what stands in the list is what go.sum says.
package roots

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"runtime/debug"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Module is where the list comes from.
const Module = "golang.org/x/crypto/x509roots/fallback"

// File is where Go, OpenSSL and curl look for the list.
const File = "etc/ssl/certs/ca-certificates.crt"

// PEM returns the list, each authority under its name. An authority that is
// trusted with a condition is left out: a file cannot say the condition.
func PEM() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authorities of %s: %w", Module, err)
		}
		fmt.Fprintf(&out, "# %s\n", certificate.Subject)
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("write the certificate authorities: %w", err)
		}
	}
	return out.Bytes(), nil
}

// Source is the module in the version that this program links.
func Source() (*debug.Module, error) {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == Module {
				return m, nil
			}
		}
	}
	return nil, fmt.Errorf("this program does not say which version of %s it links", Module)
}
