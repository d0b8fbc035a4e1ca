package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync"
)

// Certificate is what stands in a folder as tls.crt and tls.key, as it stands there
// when somebody connects: a Secret that is mounted changes under way.
type Certificate struct {
	folder string
	read   func(string) ([]byte, error)

	mu        sync.Mutex
	chain     []byte
	key       []byte
	last      *tls.Certificate
	onTrouble func(error)
}

// Open reads the certificate for the first time. What goes wrong later is told to
// onTrouble, and the last good one goes on.
func Open(folder string, read func(string) ([]byte, error), onTrouble func(error)) (*Certificate, error) {
	c := &Certificate{folder: folder, read: read, onTrouble: onTrouble}
	return c, c.refresh()
}

// Get is for tls.Config.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		c.onTrouble(err)
	}
	return c.last, nil
}

func (c *Certificate) refresh() error {
	chain, err := c.read(filepath.Join(c.folder, "tls.crt"))
	if err != nil {
		return fmt.Errorf("read the webhook's certificate: %w", err)
	}
	key, err := c.read(filepath.Join(c.folder, "tls.key"))
	if err != nil {
		return fmt.Errorf("read the webhook's key: %w", err)
	}
	if bytes.Equal(chain, c.chain) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return fmt.Errorf("read the webhook's certificate and key in %s: %w", c.folder, err)
	}
	c.chain, c.key, c.last = chain, key, &pair
	return nil
}
