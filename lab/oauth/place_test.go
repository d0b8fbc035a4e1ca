package oauth_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/lab/localacr"
)

const root = "../.."

var update = flag.Bool("update", false, "write the guide's traces and its picture anew")

const (
	instanceID = "cri-guide"
	pullApp    = "repository:demo/hello:pull"
)

// place is a local ACR with an image in it, and who may have it.
type place struct {
	*localacr.ACR
	t        *testing.T
	host     string
	roots    *x509.CertPool
	password string // alice's, who may pull demo/* and push demo/hello
	secret   string // the robot's, which may pull demo/hello
}

func open(t *testing.T, change func(*localacr.Options)) *place {
	t.Helper()
	o := localacr.Options{Instances: []localacr.Instance{{ID: instanceID, Name: "guide", Region: "cn-hangzhou"}}}
	if change != nil {
		change(&o)
	}
	a, err := localacr.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &place{ACR: a, t: t, host: a.Instances()[0].Hosts[0], roots: x509.NewCertPool()}
	p.roots.AppendCertsFromPEM(a.CA())
	grant := func(repository, action string) localacr.Grant {
		return localacr.Grant{Instance: instanceID, Repository: repository, Actions: []string{action}}
	}
	p.password = a.AddUser("alice", grant("demo/*", "pull"), grant("demo/hello", "push")).Reveal()
	p.secret = a.AddRobot("robot", grant("demo/hello", "pull")).Reveal()
	if _, err := a.Push(t.Context(), p.host, "demo/hello", "1", localacr.Image{Layers: [][]byte{make([]byte, 1024)}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// talk begins a conversation with the registry.
func (p *place) talk(o registry.Options) *registry.Client {
	p.t.Helper()
	o.RootCAs = p.roots
	c, err := registry.New(p.host, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *place) reference(text string) image.Reference {
	p.t.Helper()
	r, err := image.Parse(p.host + "/" + text)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// issuer is the origin of the authorization server.
func (p *place) issuer() string { return strings.TrimSuffix(p.Instances()[0].Realm, "/auth") }

func (p *place) service() string { return p.Instances()[0].Service }

func (p *place) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}}}
}

// fingerprint is that of the servers' key, by which a browser is told to trust
// them.
func (p *place) fingerprint() string {
	p.t.Helper()
	c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: p.roots}}).DialContext(p.t.Context(), "tcp", p.host)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	hash := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}

// read asks the registry for the tags of a repository with a bearer token.
func (p *place) read(token, repository string) int {
	p.t.Helper()
	return p.ask(http.MethodGet, "https://"+p.host+"/v2/"+repository+"/tags/list", token, nil).status
}

// write begins to push to a repository with a bearer token.
func (p *place) write(token, repository string) int {
	p.t.Helper()
	return p.ask(http.MethodPost, "https://"+p.host+"/v2/"+repository+"/blobs/uploads/", token, nil).status
}

type reply struct {
	status int
	body   string
}

func (p *place) ask(method, address, token string, form url.Values) reply {
	p.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, address, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := p.client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	answered, err := text(resp, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{resp.StatusCode, answered}
}

// text reads an answer to its end.
func text(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), errors.Join(err, resp.Body.Close())
}

// need skips the test for the reason, but not in CI.
func need(t *testing.T, reason error) {
	t.Helper()
	switch {
	case reason == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}

// within bounds what a person or a program may take.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
