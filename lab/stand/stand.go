// Package stand puts up what the controller is measured and tried on: a control
// plane without a node, a local ACR, and the controller as a process with the
// rights and the policies of the chart. No part of it needs root.
//
// Its one rule: what happened is told by others than the controller: the audit log
// of the API server, the local ACR, the kernel.
package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/progress"
)

const (
	// Home is pullkey's own namespace, and Identity who its controller is.
	Home     = lab.Namespace
	Identity = "system:serviceaccount:pullkey-system:pullkey-controller"
	// Instance is the one of the local ACR.
	Instance = "cri-stand"
)

// Options say what to put up.
type Options struct {
	Root     string    // the repository's root
	Dir      string    // state and logs; ours alone
	Progress io.Writer // what is built, a line each; nil for nowhere
	Results  bool      // the audit log holds what Secrets and ServiceAccounts are after each write
}

// Stand is what was put up.
type Stand struct {
	Options
	Cluster *cluster.Cluster
	ACR     *localacr.ACR
	Admin   kubernetes.Interface // without a limit on its side, over protobuf
	// kubeconfig holds the controller's own token.
	kubeconfig string
	started    int
	running    []*Process
}

// startLimit is many times what a start takes (seconds), for slow machines.
const startLimit = 4 * time.Minute

// Open puts it up. The controller does not run yet, and has no configuration.
func Open(ctx context.Context, o Options) (*Stand, error) {
	s := &Stand{Options: o}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stand) open(ctx context.Context) error {
	bin, err := cluster.Build(ctx, cluster.BuildOptions{Root: s.Root, Progress: s.Progress})
	if err != nil {
		return err
	}
	if err := s.build(ctx); err != nil {
		return err
	}
	s.ACR, err = localacr.Start(ctx, localacr.Options{
		Instances: []localacr.Instance{{ID: Instance, Name: "stand", Region: lab.Region}}, Dir: s.path("acr-content"),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("acr-ca.crt"), s.ACR.CA(), 0o600); err != nil {
		return fmt.Errorf("write the local ACR's authority: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if s.Cluster, err = cluster.Start(limited, cluster.Options{Dir: s.Dir, Binaries: bin, Audit: true, AuditResults: s.Results}); err != nil {
		return err
	}
	if s.Admin, err = clientOf(s.Cluster.Kubeconfig(), "stand"); err != nil {
		return err
	}
	return s.install(ctx)
}

// install applies deploy/install.yaml as a user would. There is no node, so that
// the Deployment gets no pods to wait for.
func (s *Stand) install(ctx context.Context) error {
	manifests, err := os.ReadFile(filepath.Join(s.Root, "deploy", "install.yaml"))
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	if err := s.Apply(ctx, strings.Replace(string(manifests), "replicas: 2", "replicas: 0", 1)); err != nil {
		return err
	}
	if err := s.SetAccessKey(ctx, s.ACR.AccessKey()); err != nil {
		return err
	}
	s.kubeconfig, err = s.Cluster.KubeconfigOf(ctx, Home, "pullkey-controller")
	return err
}

// Apply has kubectl apply manifests.
func (s *Stand) Apply(ctx context.Context, manifests string) error {
	cmd := s.Cluster.Kubectl(ctx, "apply", "--filename", "-")
	cmd.Stdin = strings.NewReader(manifests)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

func (s *Stand) build(ctx context.Context) error {
	return s.Build(ctx, "pullkey-controller", s.path("pullkey-controller"))
}

// Build builds a program of ours as it is released, with further arguments for the
// compiler.
func (s *Stand) Build(ctx context.Context, program, path string, more ...string) error {
	args := append([]string{"-C", s.Root, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path}, more...)
	build := exec.CommandContext(ctx, "go", append(args, "./cmd/"+program)...) //nolint:gosec // our own program
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := progress.Run(s.Progress, "building "+program, build); err != nil {
		return fmt.Errorf("build %s: %w", program, err)
	}
	return nil
}

func (s *Stand) path(name string) string {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		dir = s.Dir // there is no current folder; then nothing else is found either
	}
	return filepath.Join(dir, name)
}

// Pullkey is a client with the controller's own identity and rights, under
// another name in the audit log.
func (s *Stand) Pullkey(agent string) (kubernetes.Interface, error) {
	return clientOf(s.kubeconfig, agent)
}

// clientOf is a client that speaks as the controller does: protobuf, and no limit
// on this side.
func clientOf(kubeconfig, agent string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read a kubeconfig: %w", err)
	}
	config.UserAgent, config.QPS = agent, -1
	config.ContentConfig = rest.ContentConfig{
		ContentType: "application/vnd.kubernetes.protobuf", AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return client, nil
}

// Close ends everything. It names what it could not end.
func (s *Stand) Close() error {
	var errs []error
	for _, p := range s.running {
		p.Kill()
	}
	if s.Cluster != nil {
		errs = append(errs, s.Cluster.Stop())
	}
	if s.ACR != nil {
		errs = append(errs, s.ACR.Close())
	}
	return errors.Join(errs...)
}
