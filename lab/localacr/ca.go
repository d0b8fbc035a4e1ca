package localacr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the servers' certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// The certificates' validity is fixed: clients check it against their own
// clocks, and the cloud's clock here may be a fake one.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

// openAuthority loads the authority of a folder, or makes one and saves it
// there; dir "" keeps it in memory.
func openAuthority(dir string) (*authority, error) {
	if dir == "" {
		return newAuthority()
	}
	certificate, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	a, err := loadAuthority(certificate, key)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if a, err = newAuthority(); err != nil {
		return nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of the certificate authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the certificate authority: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	if err := os.WriteFile(key, block, 0o600); err != nil {
		return nil, fmt.Errorf("save the key of the certificate authority: %w", err)
	}
	//nolint:gosec // a certificate is public
	if err := os.WriteFile(certificate, a.pem, 0o644); err != nil {
		return nil, fmt.Errorf("save the certificate authority: %w", err)
	}
	return a, nil
}

func loadAuthority(certificate, key string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate authority %s: %w", certificate, err)
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not a certificate authority with an ECDSA key", certificate)
	}
	return &authority{pair.Leaf, private, encodeCertificate(pair.Leaf.Raw)}, nil
}

func newAuthority() (*authority, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localacr CA " + randomText(8, lowerAlphanumeric)},
		NotBefore:    validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the certificate authority: %w", err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority just made: %w", err)
	}
	return &authority{certificate, key, encodeCertificate(raw)}, nil
}

// settings returns the TLS settings of servers that answer under the names,
// under localhost and 127.0.0.1, and under ip unless that is empty.
func (a *authority) settings(names []string, ip string) (*tls.Config, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw a certificate's serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localacr"},
		NotBefore:    validFrom, NotAfter: validUntil,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    append([]string{"localhost"}, names...),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if address := net.ParseIP(ip); address != nil {
		template.IPAddresses = append(template.IPAddresses, address)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the servers' key: %w", err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the servers' certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw, a.certificate.Raw}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}

func encodeCertificate(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
