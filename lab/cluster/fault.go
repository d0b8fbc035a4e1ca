package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// RestartAPIServer kills the API server as a crash would (asked politely it
// keeps its watches for a minute) and starts it anew at the same address.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	c.StopAPIServer()
	return c.StartAPIServer(ctx)
}

// StopAPIServer kills the API server: an outage begins.
func (c *Cluster) StopAPIServer() { c.kill(apiServer) }

// StartAPIServer ends an outage. It returns when the API server is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error { return c.startAPIServer(ctx) }

// RestartEtcd kills etcd and starts it anew on what it wrote. It returns when
// the API server is ready again.
func (c *Cluster) RestartEtcd(ctx context.Context) error {
	c.kill("etcd")
	if err := c.runEtcd(ctx); err != nil {
		return err
	}
	return c.waitFor(ctx, apiServer, "/readyz", anyBody)
}

// Compact has etcd forget all that was before now: who asks to go on from there
// is told that it is too old.
func (c *Cluster) Compact(ctx context.Context) error {
	client, err := c.etcdClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	var now struct {
		Header struct{ Revision string }
	}
	// etcd's own gateway from JSON; a whole number is a text there.
	answer, err := c.askEtcd(ctx, client, "/v3/kv/range", map[string]string{"key": "Lw=="})
	if err == nil {
		err = json.Unmarshal(answer, &now)
	}
	if err == nil {
		_, err = c.askEtcd(ctx, client, "/v3/kv/compaction", map[string]string{"revision": now.Header.Revision})
	}
	if err != nil {
		return fmt.Errorf("compacting etcd: %w", err)
	}
	return nil
}

func (c *Cluster) askEtcd(ctx context.Context, client *http.Client, path string, question map[string]string) ([]byte, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.etcd+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %s: %.300s", path, response.Status, answer)
	}
	return answer, err
}

// etcdClient speaks to etcd as the API server does.
func (c *Cluster) etcdClient() (*http.Client, error) {
	cert, err := tls.LoadX509KeyPair(c.pki("etcd-client.crt"), c.pki("etcd-client.key"))
	if err != nil {
		return nil, fmt.Errorf("reading etcd's client certificate: %w", err)
	}
	text, err := os.ReadFile(c.pki("etcd-ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading etcd's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
	}}, nil
}
