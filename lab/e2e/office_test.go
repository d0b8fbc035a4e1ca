package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/controller"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/lab/localacr"
)

// office is a controller at work between a real API server and a local ACR
// under ACR's real host names. What it would say as Events stands in events.
type office struct {
	*plane
	acr    *localacr.ACR
	client *http.Client // trusts the local ACR and finds every host there
	ask    func(ctx context.Context, host string, login credential.Login) error
	stop   func()
	mu     sync.Mutex
	events []string
	// reached are the hosts whose registries or token servers were asked.
	reached []string
	region  string
	shadow  string // another name of the pull Secret than the usual one
}

// openOffice starts a local ACR, writes the access key, and starts the
// controller under its own identity. There is no configuration yet.
func openOffice(t *testing.T) *office {
	t.Helper()
	return openOfficeOn(t, onControlPlane(t))
}

func openOfficeOn(t *testing.T, p *plane) *office {
	t.Helper()
	o := &office{plane: p, region: "cn-shanghai"}
	o.clear(t)
	var listener net.Listener
	var err error
	o.acr, err = localacr.Start(t.Context(), localacr.Options{
		Address: "127.0.0.1",
		Listen: func(network, _ string) (net.Listener, error) {
			listener, err = net.Listen(network, "127.0.0.1:0")
			return listener, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.acr.Close() })
	o.client = clientOf(o.acr, listener.Addr().String())
	o.ask = source.Asking(registry.Options{RootCAs: authorityOf(o.acr), Proxy: o.proxyTo(t, listener.Addr().String())})
	o.setAccessKey(t, o.acr.AccessKey())
	if o.hook != nil {
		o.hook.answer(t, o.asProgram(t))
	}
	o.start(t, o.asProgram(t))
	t.Cleanup(func() { o.stop() })
	return o
}

// clear removes what an earlier test's controller left.
func (o *office) clear(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, err := range []error{
		o.admin.CoreV1().Secrets(home).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		o.admin.CoreV1().ConfigMaps(home).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		o.admin.CoreV1().ConfigMaps("kube-system").Delete(ctx, "acr-configuration", metav1.DeleteOptions{}),
		o.admin.CoreV1().Secrets("kube-system").Delete(ctx, "alibaba-addon-secret", metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
}

// clientOf returns a client that trusts the ACR and finds every host at the
// address.
func clientOf(a *localacr.ACR, address string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: authorityOf(a), MinVersion: tls.VersionTLS12},
	}}
}

func authorityOf(a *localacr.ACR) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CA())
	return pool
}

// proxyTo is a proxy that finds every host at the address, and notes them.
func (o *office) proxyTo(t *testing.T, address string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
		if r.Method != http.MethodConnect || err != nil {
			http.Error(w, "this is a proxy for TLS", http.StatusBadGateway)
			return
		}
		o.mu.Lock()
		o.reached = append(o.reached, r.Host)
		o.mu.Unlock()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		go func() { _, _ = io.Copy(here, there); _ = here.Close() }()
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return http.ProxyURL(at)
}

func (o *office) start(t *testing.T, client apiserver.Client) {
	t.Helper()
	recorder := record.NewFakeRecorder(10000)
	c := controller.New(controller.Options{
		Client: client, Cloud: &source.Cloud{API: &openapi.Client{HTTP: o.client, UserAgent: "pullkey"}, Now: time.Now, Ask: o.ask},
		Log: slog.New(slog.DiscardHandler), Events: recorder, Now: time.Now,
		SecretName: cmp.Or(o.shadow, secretName), Namespace: home,
		Configuration: cache.NewObjectName("kube-system", "acr-configuration"),
		AccessKey:     cache.NewObjectName("kube-system", "alibaba-addon-secret"),
		Region:        o.region, Workers: 8, Pace: 50,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := c.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	ended.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-recorder.Events:
				o.mu.Lock()
				o.events = append(o.events, e)
				o.mu.Unlock()
			}
		}
	})
	o.stop = sync.OnceFunc(func() { cancel(); ended.Wait() })
}

// said counts the Events so far that hold all the words.
func (o *office) said(words ...string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, e := range o.events {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(e, w) }) {
			n++
		}
	}
	return n
}

// says waits for an Event that holds all the words.
func (o *office) says(t *testing.T, words ...string) {
	t.Helper()
	o.eventually(t, fmt.Sprintf("an Event says %q", words), func(context.Context) error {
		if o.said(words...) == 0 {
			o.mu.Lock()
			defer o.mu.Unlock()
			return fmt.Errorf("so far: %q", o.events)
		}
		return nil
	})
}

func (o *office) configure(t *testing.T, data map[string]string) {
	t.Helper()
	maps := o.admin.CoreV1().ConfigMaps("kube-system")
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "acr-configuration"}, Data: data}
	_, err := maps.Update(t.Context(), wanted, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(t.Context(), wanted, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) setAccessKey(t *testing.T, key credential.AccessKey) {
	t.Helper()
	secrets := o.admin.CoreV1().Secrets("kube-system")
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "alibaba-addon-secret"},
		StringData: map[string]string{"access-key-id": key.ID, "access-key-secret": key.Secret.Reveal()},
	}
	_, err := secrets.Update(t.Context(), wanted, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(t.Context(), wanted, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// enterprise is the item of acr-registry-info for the local Enterprise
// instance; the Personal Edition is named by "".
const bothInstances = `- instanceId: "ENTERPRISE"
  regionId: cn-hangzhou
- instanceId: ""
  regionId: cn-shanghai
`

// config is a configuration for both local instances in the namespaces named.
func (o *office) config(namespaces ...string) map[string]string {
	id := o.acr.Instances()[0].ID
	return map[string]string{
		"acr-registry-info": strings.Replace(bothInstances, "ENTERPRISE", id, 1),
		"watch-namespace":   strings.Join(namespaces, ","),
	}
}

// with is config with some keys set otherwise.
func with(config map[string]string, keysAndValues ...string) map[string]string {
	out := maps.Clone(config)
	for pair := range slices.Chunk(keysAndValues, 2) {
		out[pair[0]] = pair[1]
	}
	return out
}

// entry is what the pull Secret holds for a host.
type entry struct{ Username, Password, Auth string }

// pullSecret returns the pull Secret of a namespace and its entries.
func (o *office) pullSecret(ctx context.Context, namespace string) (*corev1.Secret, map[string]entry, error) {
	found, err := o.admin.CoreV1().Secrets(namespace).Get(ctx, cmp.Or(o.shadow, secretName), metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	entries, err := entriesOf(found)
	return found, entries, err
}

func entriesOf(s *corev1.Secret) (map[string]entry, error) {
	var document struct{ Auths map[string]entry }
	err := json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &document)
	return document.Auths, err
}

// served waits until the namespace's pull Secret opens the registries of both
// instances, and returns it.
func (o *office) served(t *testing.T, namespace string) *corev1.Secret {
	t.Helper()
	var secret *corev1.Secret
	o.eventually(t, "namespace "+namespace+" has a pull Secret that works", func(ctx context.Context) error {
		found, entries, err := o.pullSecret(ctx, namespace)
		if err != nil {
			return err
		}
		for _, instance := range o.acr.Instances() {
			for _, host := range instance.Hosts {
				if err := o.opens(ctx, instance, host, entries[host]); err != nil {
					return err
				}
			}
		}
		secret = found
		return nil
	})
	return secret
}

// opens asks the authorization server whether it takes the credential.
func (o *office) opens(ctx context.Context, i localacr.RunningInstance, host string, e entry) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.Realm+"?service="+i.Service, nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(e.Username, e.Password)
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the credential for %s: got status %d", host, response.StatusCode)
	}
	return nil
}

// attached waits until the ServiceAccount's list is exactly the names.
func (o *office) attached(t *testing.T, namespace, account string, want ...string) {
	t.Helper()
	o.eventually(t, "ServiceAccount "+namespace+"/"+account, func(ctx context.Context) error {
		sa, err := o.admin.CoreV1().ServiceAccounts(namespace).Get(ctx, account, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := listed(sa); !slices.Equal(got, want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func listed(sa *corev1.ServiceAccount) []string {
	var names []string
	for _, s := range sa.ImagePullSecrets {
		names = append(names, s.Name)
	}
	return names
}

// calls counts how often the API was asked for a credential.
func (o *office) calls() int {
	n := 0
	for _, e := range o.acr.AccessLog().Entries() {
		if e.Action == localacr.ActionGetAuthorizationToken {
			n++
		}
	}
	return n
}
