package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/controller"
	"github.com/pullkey/pullkey/internal/lease"
)

// serve connects to the cluster and works until ctx ends.
func serve(ctx context.Context, f *flags, stderr io.Writer) error {
	log := logger(f, stderr)
	klog.SetSlogLogger(log)
	config, err := connect(f)
	if err != nil {
		return err
	}
	if f.dryRun {
		rehearse(config, log)
	}
	client, err := apiserver.New(config)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	events := record.NewBroadcaster(record.WithContext(ctx))
	defer events.Shutdown()
	if !f.dryRun { // the log says the same
		events.StartRecordingToSink(client.Events())
	}

	cloud, err := cloudOf(f, client)
	if err != nil {
		return err
	}
	c := controller.New(controller.Options{
		Client: client, Cloud: cloud, Log: log, Now: time.Now, Version: version(), KeepExpired: f.afterExpiry == "keep",
		Events:     events.NewRecorder(client.Scheme(), corev1.EventSource{Component: "pullkey"}),
		SecretName: f.secretName, Namespace: f.namespace, Configuration: f.configurationObject,
		AccessKey: f.accessKeyName, Region: f.region, Workers: f.workers, Pace: f.pace, DryRun: f.dryRun, Webhook: f.webhook.installed(),
	})
	hooked, stop, err := f.webhook.serve(ctx, client, f, log)
	if err != nil {
		return err
	}
	defer stop()
	if f.address != "" {
		ready := func() error { return errors.Join(c.Ready(), hooked()) }
		stop, err := health(ctx, f.address, ready, c.Metrics(), log)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := greet(ctx, client, f, config.Host); err != nil {
		return err
	}
	log.Info("started", "server", config.Host, "identity", f.identity, "dryRun", f.dryRun)
	if !f.leaderElect || f.dryRun {
		return c.Run(ctx)
	}
	return lead(ctx, client, f.namespace, log, c.Run)
}

// greetTimeout bounds the first request. An API server that is starting is
// found by the next try, which is that of whoever restarts the program.
const greetTimeout = 10 * time.Second

// greet reads the lease, which has to be read anyhow: one request less than a
// question for the version. Without it a wrong address or a certificate that is
// not trusted would show as silence.
func greet(ctx context.Context, client *apiserver.API, f *flags, host string) error {
	limited, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	_, err := client.Leases(f.namespace).Get(limited, leaseName, metav1.GetOptions{})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("reach the API server at %s: %w", host, err)
}

func logger(f *flags, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.verbose {
		options.Level = slog.LevelDebug
	}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// connect reads the kubeconfig, or the pod's ServiceAccount. The API server
// does its own fair queuing, so there is no limit on this side.
func connect(f *flags) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if f.kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	}
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, errors.New("connect to the API server: this is not a pod of a cluster, and no --kubeconfig is given")
	case err != nil && f.kubeconfig != "":
		return nil, fmt.Errorf("connect to the API server with the kubeconfig %s: %w", f.kubeconfig, err)
	case err != nil:
		return nil, fmt.Errorf("connect to the API server with the pod's ServiceAccount: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "pullkey-controller"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return config, nil
}

// health serves /healthz, /readyz and /metrics until the returned function is
// called.
func health(ctx context.Context, address string, ready func() error, metrics http.Handler, log *slog.Logger) (func(), error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve health and metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", metrics)
	log.Info("serving health and metrics", "address", listener.Addr().String())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serve health and metrics", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}

// leaseName is that of the lease which the replica holds that works: two that work
// at a time would undo each other's master copy.
const leaseName = "pullkey-controller"

func lead(ctx context.Context, client *apiserver.API, namespace string, log *slog.Logger, work func(context.Context) error) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name this replica: %w", err)
	}
	l := lease.Lease{
		Leases: client.Leases(namespace), Namespace: namespace, Name: leaseName, Holder: fmt.Sprintf("%s_%d", host, os.Getpid()),
		Log: log, Now: time.Now, Random: rand.Float64,
	}
	return l.Hold(ctx, work)
}
