package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/controller"
	"github.com/pullkey/pullkey/internal/webhook"
	"github.com/pullkey/pullkey/internal/webhook/caches"
)

// webhookFlags are those of the webhook, and what the chart has told the API server
// of it, which the program cannot see.
type webhookFlags struct {
	address, certificate, failurePolicy string
	timeout                             time.Duration
}

func (f *webhookFlags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.address, "webhook-address", "", "where the webhook is served that injects where the policies do not run, with TLS; empty for nowhere")
	s.StringVar(&f.certificate, "webhook-certificate", "/etc/pullkey/webhook", "folder with tls.crt and tls.key of the webhook, read anew when they change")
	s.StringVar(&f.failurePolicy, "webhook-failure-policy", "Ignore", "what the API server was told to do while the webhook does not answer: Ignore or Fail")
	s.DurationVar(&f.timeout, "webhook-timeout", 5*time.Second, "how long the API server was told to wait for the webhook")
}

func (f *webhookFlags) check() error {
	if f.failurePolicy != "Ignore" && f.failurePolicy != "Fail" {
		return fmt.Errorf("--webhook-failure-policy %q: must be Ignore or Fail", f.failurePolicy)
	}
	return nil
}

// installed is what the controller compares the configuration with.
func (f *webhookFlags) installed() controller.Webhook {
	return controller.Webhook{Served: f.address != "", Fail: f.failurePolicy == "Fail", Timeout: f.timeout}
}

// linger is how long the webhook is still served when the program is told to stop:
// so long the API server may not know that this replica is going, and may have
// connections to it that no question has come by (webhook.Leaving).
const linger = 10 * time.Second

// serve serves the webhook until the returned function is called, and tells by the
// other one whether it is ready. It serves whoever leads.
func (f *webhookFlags) serve(ctx context.Context, client *apiserver.API, of *flags, log *slog.Logger) (func() error, func(), error) {
	if f.address == "" {
		return func() error { return nil }, func() {}, nil
	}
	certificate, err := webhook.Open(f.certificate, os.ReadFile, func(err error) { log.Error("the webhook shows its last certificate", "error", err) })
	if err != nil {
		return nil, nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.address)
	if err != nil {
		return nil, nil, fmt.Errorf("serve the webhook: %w", err)
	}
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	known := caches.New(client, of.namespace, controller.InjectionName)
	known.Start(living)
	server := &http.Server{
		Handler: webhook.Leaving(
			webhook.Handler(webhook.Birth{Namespace: of.namespace, SecretName: of.secretName}, known),
			func() bool { return ctx.Err() != nil },
		),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("serving the webhook", "at", listener.Addr().String())
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serve the webhook", "error", err)
		}
	}()
	return known.Ready, func() {
		defer end()
		if ctx.Err() != nil {
			lingering, over := context.WithTimeout(living, linger)
			<-lingering.Done()
			over()
		}
		limited, cancel := context.WithTimeout(living, linger)
		defer cancel()
		_ = server.Shutdown(limited)
	}, nil
}
