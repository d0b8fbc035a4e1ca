package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// The tests of this file run the real program as an operator would: built from
// cmd/pullkey-controller, under its own identity.

// built is the program, made once for all tests.
var built struct {
	once sync.Once
	path string
	err  error
}

func controllerProgram(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		built.path = filepath.Join(cmp.Or(controlPlane.dir, olderPlane.dir), "pullkey-controller")
		build := exec.Command("go", "build", "-o", built.path, "./cmd/pullkey-controller") // for all tests, not this one
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the controller: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// site is a control plane and a local ACR with one instance, and no controller
// yet.
type site struct {
	*office
	ca  string
	spy *spy
}

// openSite opens one, with more instances in the same region where they are
// named.
func openSite(t *testing.T, more ...localacr.Instance) *site {
	t.Helper()
	return openSiteOn(t, onControlPlane(t), more...)
}

func openSiteOn(t *testing.T, p *plane, more ...localacr.Instance) *site {
	t.Helper()
	s := &site{office: &office{plane: p}, ca: filepath.Join(t.TempDir(), "ca.crt"), spy: &spy{known: secrecy.Secrets{}}}
	s.clear(t)
	err := s.admin.CoordinationV1().Leases(home).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.acr, err = localacr.Start(t.Context(), localacr.Options{
		Instances: append([]localacr.Instance{{ID: "cri-program", Name: "demo", Region: "cn-hangzhou"}}, more...),
		Wrap:      s.spy.wrap,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.acr.Close() })
	if err := os.WriteFile(s.ca, s.acr.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(s.acr.CA())
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}}
	s.setAccessKey(t, s.acr.AccessKey())
	return s
}

// watching is the configuration for the site's instance.
func (s *site) watching(namespaces ...string) map[string]string {
	return map[string]string{
		"acr-registry-info": "- instanceId: cri-program\n  regionId: cn-hangzhou\n",
		"watch-namespace":   strings.Join(namespaces, ","),
	}
}

// program is a running controller.
type program struct {
	process *os.Process
	log     *safeBuffer
	ended   chan struct{}
	state   *os.ProcessState // once ended
}

// safeBuffer is read while the program writes.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// run starts the program with more flags, and variables (NAME=value). It is
// killed, if need be, when the test ends.
func (s *site) run(t *testing.T, args ...string) *program {
	t.Helper()
	return s.runProgram(t, controllerProgram(t), args...)
}

// runProgram is run with a build of the test's own.
func (s *site) runProgram(t *testing.T, path string, args ...string) *program {
	t.Helper()
	kubeconfig, err := s.KubeconfigFor(identity, "system:serviceaccounts", "system:serviceaccounts:"+home, "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--kubeconfig", kubeconfig, "--region", "cn-hangzhou", "--address", "127.0.0.1:0",
		"--acr-endpoint", s.acr.Endpoint("cn-hangzhou"), "--sts-endpoint", s.acr.STS(), "--metadata-endpoint", s.acr.Metadata(),
	}
	variables := append(os.Environ(), "SSL_CERT_FILE="+s.ca)
	for _, one := range args {
		if name, _, is := strings.Cut(one, "="); is && strings.ToUpper(name) == name {
			variables = append(variables, one)
		} else {
			flags = append(flags, one)
		}
	}
	p := &program{log: &safeBuffer{}, ended: make(chan struct{})}
	cmd := exec.Command(path, flags...) // stopped below, by the signal that the test wants
	cmd.Stdout, cmd.Stderr, cmd.Env = p.log, p.log, variables
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.process = cmd.Process
	go func() {
		_ = cmd.Wait() // the state tells
		p.state = cmd.ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", p.process.Pid, p.log)
		}
	})
	return p
}

// signalled sends a signal and waits for the end.
func (p *program) signalled(t *testing.T, signal os.Signal) *os.ProcessState {
	t.Helper()
	if err := p.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.state
	case <-late.C:
		t.Fatalf("%v did not end it", signal)
		return nil
	}
}

var servingAt = regexp.MustCompile(`address"?[=:]"?(127\.0\.0\.1:\d+)`)

// get asks the program over HTTP, wherever its log says that it serves.
func (p *program) get(ctx context.Context, path string) (int, string, error) {
	at := servingAt.FindStringSubmatch(p.log.String())
	if at == nil {
		return 0, "", errors.New("its log does not say where it serves")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at[1]+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// answers waits for an answer of the status that holds all the words.
func (s *site) answers(t *testing.T, p *program, path string, status int, words ...string) {
	t.Helper()
	s.eventually(t, "GET "+path, func(ctx context.Context) error {
		got, body, err := p.get(ctx, path)
		if err != nil || got != status {
			return fmt.Errorf("got status %d: %q (%w)", got, body, err)
		}
		for _, word := range words {
			if !strings.Contains(body, word) {
				return fmt.Errorf("it holds no %q: %s", word, body)
			}
		}
		return nil
	})
}

func TestTheProgramTellsHowItIs(t *testing.T) {
	s := openSite(t)
	namespace, foreign := s.namespace(t, "watched"), s.namespace(t, "foreign")
	if _, err := s.admin.CoreV1().Secrets(foreign).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := s.run(t, "--leader-elect=false")
	s.answers(t, p, "/healthz", http.StatusOK, "ok")
	s.answers(t, p, "/readyz", http.StatusOK, "ok")
	s.answers(t, p, "/metrics", http.StatusOK, "pullkey_config_valid 0")
	s.answers(t, p, "/nothing", http.StatusNotFound)

	s.configure(t, s.watching(namespace, foreign))
	s.served(t, namespace)
	s.answers(t, p, "/metrics", http.StatusOK,
		"pullkey_config_valid 1",
		"pullkey_foreign_secrets 1",
		`pullkey_renewals_total{instance="cri-program",region="cn-hangzhou",result="ok"} 1`,
		`pullkey_writes_total{kind="Secret",verb="create"} 1`,
		`pullkey_credential_expiry_timestamp_seconds{account="acr/cn-hangzhou/cri-program"}`)
	// Nobody's Secret of our name counts in a namespace that is not watched.
	s.configure(t, s.watching(namespace))
	s.answers(t, p, "/metrics", http.StatusOK, "pullkey_foreign_secrets 0")

	if state := p.signalled(t, syscall.SIGTERM); state.ExitCode() != 0 {
		t.Errorf("SIGTERM: got %v, want exit code 0", state)
	}
}

func (s *site) leader(ctx context.Context) (string, error) {
	lease, err := s.admin.CoordinationV1().Leases(home).Get(ctx, "pullkey-controller", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}

// leading waits until one of the programs holds the lease and returns it.
func (s *site) leading(t *testing.T, programs ...*program) *program {
	t.Helper()
	var leader *program
	s.eventually(t, "one of them holds the lease", func(ctx context.Context) error {
		holder, err := s.leader(ctx)
		for _, p := range programs {
			if strings.HasSuffix(holder, fmt.Sprintf("_%d", p.process.Pid)) {
				leader = p
				return nil
			}
		}
		return fmt.Errorf("it is held by %q (%w)", holder, err)
	})
	return leader
}

func TestOneReplicaWorksAndAnotherTakesOver(t *testing.T) {
	s := openSite(t)
	first := s.namespace(t, "first")
	s.configure(t, with(s.watching(first), "watch-namespace", "all"))
	one, other := s.run(t), s.run(t)
	s.served(t, first)
	// The one that waits is as ready as the one that works: a rollout waits
	// for the new replica before it ends the old one, which holds the lease.
	s.answers(t, one, "/readyz", http.StatusOK)
	s.answers(t, other, "/readyz", http.StatusOK)
	worker := s.leading(t, one, other)
	waiting := one
	if worker == one {
		waiting = other
	}
	s.answers(t, worker, "/metrics", http.StatusOK, "pullkey_writes_total")
	if _, body, err := waiting.get(t.Context(), "/metrics"); err != nil || strings.Contains(body, "pullkey_writes_total") || strings.Contains(body, "pullkey_renewals_total") {
		t.Errorf("the replica without the lease works (%v):\n%s", err, body)
	}

	calls := s.calls()
	worker.signalled(t, syscall.SIGKILL)
	second := s.namespace(t, "second")
	s.served(t, second)
	s.leading(t, waiting)
	if got := s.calls(); got != calls {
		t.Errorf("got %d calls of GetAuthorizationToken by the new leader, want none: the master copy has the credential", got-calls)
	}

	if state := waiting.signalled(t, syscall.SIGTERM); state.ExitCode() != 0 {
		t.Errorf("SIGTERM: got %v, want exit code 0", state)
	}
	if holder, err := s.leader(t.Context()); err != nil || holder != "" {
		t.Errorf("the lease is held by %q after the end (%v), want nobody", holder, err)
	}
	// A replica that only waits ends as well. The lease is somebody's who
	// will not come back so soon.
	blocked := s.run(t)
	s.leading(t, blocked)
	second2 := s.run(t)
	s.answers(t, second2, "/readyz", http.StatusOK)
	if state := second2.signalled(t, syscall.SIGTERM); state.ExitCode() != 0 {
		t.Errorf("SIGTERM to the one that waits: got %v, want exit code 0", state)
	}
	if holder, err := s.leader(t.Context()); err != nil || !strings.HasSuffix(holder, fmt.Sprintf("_%d", blocked.process.Pid)) {
		t.Errorf("the lease is held by %q (%v), want the one that still works", holder, err)
	}
}
