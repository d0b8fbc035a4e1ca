package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// adminClient speaks to the API server as admin. It keeps no connection, so
// that a restarted server is asked anew.
func (c *Cluster) adminClient() (*http.Client, error) {
	p, err := c.ca.issue(admin)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("reading back the admin's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.ca.cert)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
		},
	}, nil
}

// get returns the body of an answer 200.
func (c *Cluster) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s is answered %s: %.300s", path, response.Status, body)
	}
	return body, nil
}

func anyBody([]byte) error { return nil }

// waitFor asks until the answer satisfies enough. It gives up when the
// component that must bring it about has ended, or with the context.
func (c *Cluster) waitFor(ctx context.Context, component, path string, enough func([]byte) error) error {
	return c.until(ctx, component, func() error {
		body, err := c.get(ctx, path)
		if err != nil {
			return err
		}
		return enough(body)
	})
}

// until tries again, ten times a second, until there is no error.
func (c *Cluster) until(ctx context.Context, component string, try func() error) error {
	d := c.daemon(component)
	if d == nil {
		return errors.New(component + " is not running")
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return d.Failure(fmt.Errorf("%w (%w)", context.Cause(ctx), err))
		case <-d.Ended():
			return d.Failure(err)
		case <-ticker.C:
		}
	}
}

func (c *Cluster) daemon(name string) *daemon.Daemon {
	for _, d := range c.running {
		if d.Name() == name {
			return d
		}
	}
	return nil
}
