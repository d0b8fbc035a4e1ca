package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/pullkey/pullkey/lab/sandbox"
)

// askKubelet asks for the node's pods without saying who asks; the kubelet's
// certificate must be the cluster's.
func askKubelet(t *testing.T, c *Cluster, s *sandbox.Sandbox) int {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(c.ca.cert)
	client := http.Client{Transport: &http.Transport{
		DialContext:     s.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	t.Cleanup(client.CloseIdleConnections)
	answer, err := client.Get("https://10.0.1.1:10250/pods")
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}
