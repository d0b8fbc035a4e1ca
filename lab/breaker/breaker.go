// Package breaker breaks image pulls on purpose in a real cluster, each beside its
// nearest innocent twin, for a test that asks what is wrong.
//
// Its one rule: no name in the cluster tells what is wrong. Namespaces, pods, Secrets,
// ServiceAccounts and hosts have random ones.
package breaker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/lab/authority"
)

// Options say where to break.
type Options struct {
	Cluster kubernetes.Interface
	// Image is a private one that runs, at Host. VPC is another name of the same
	// registry, where packets vanish, and Other another registry.
	Image, Host, VPC, Other string
	// User and Password may pull it.
	User, Password string
	// Program is what the images hold that registries of the breaker's own serve.
	Program []byte
	// Listen opens sockets in the nodes' network, where SetNames makes names. The
	// registries have the address First and those after it.
	Listen   func(network, address string) (net.Listener, error)
	SetNames func(map[string]netip.Addr) error
	First    netip.Addr
	// Registries is the folder of containerd's settings for registries, StaticPods that
	// of kubelet's pods, Verifiers that of the programs that containerd asks before it pulls.
	Registries, StaticPods, Verifiers string
	Second                            Second
}

// Second is a node that is not as it should be. Pods are on it that say so, and no others.
type Second struct {
	Node, Registries string
	// Ahead is how far its clock is before everybody else's.
	Ahead time.Duration
	// Proxy is the host, at port 443, by which its containerd asks registries whose name
	// ends in Behind, and no others.
	Proxy, Behind string
}

// Case is one thing to ask for.
type Case struct {
	About  string // for the log
	Target string // "pod/NAME" or "rs/NAME"
	// Namespace and Container are where; the container is empty for the first that fails.
	Namespace, Container string
	Want                 cause.Code // empty where all is well
	// Alike is another code that the same objects and words fit; it may be told as possible.
	Alike cause.Code
	Sure  cause.Certainty // how sure at least; empty where that does not matter
	// Waits tells that what was wrong is mended already, and kubelet tries again.
	Waits bool
	// Mend mends the first of two faults; nil where there is one. Then it is the second,
	// of the pod that Mend has made.
	Mend   func(context.Context) (Case, error)
	Second bool // it is the second
	// Well is nil once all is as it should be, for an innocent twin.
	Well func(context.Context) error
	// Done removes the whole.
	Done func(context.Context) error
}

// Breaker has broken pulls, until Close.
type Breaker struct {
	Options

	ca     *authority.Authority
	mu     sync.Mutex
	fronts []*front
}

// New returns a breaker that has broken nothing yet.
func New(o Options) (*Breaker, error) {
	ca, err := authority.New()
	return &Breaker{Options: o, ca: ca}, err
}

// Authority is the certificate authority of the registries here, in PEM.
func (b *Breaker) Authority() []byte { return b.ca.PEM }

// Close ends the registries.
func (b *Breaker) Close() {
	for _, f := range b.fronts {
		f.close()
	}
}

// fault is a pull that fails for one reason, and its twin that does not.
type fault struct {
	code  cause.Code // the first that is wrong
	about string
	sure  cause.Certainty
	alike cause.Code // what it cannot be told from, without asking the registry
	play  func(*scene)
	twin  func(*scene) // the same scene mended; nil where there is none
	then  cause.Code   // after mending: the second that is wrong
	waits bool         // after mending kubelet only has to try again
}

// Break plays all scenes at once, and returns what to ask for.
func (b *Breaker) Break(ctx context.Context) ([]Case, error) {
	var scenes []*scene
	var cases []Case
	add := func(f fault, play func(*scene)) {
		s := b.scene()
		play(s)
		scenes, cases = append(scenes, s), append(cases, s.asks(f))
	}
	for _, f := range b.faults() {
		add(f, f.play)
		if f.twin != nil {
			add(fault{about: f.about + ": the twin"}, f.twin)
		}
	}
	if err := b.openAll(); err != nil {
		return nil, err
	}
	return cases, b.playAll(ctx, scenes)
}

// playAll plays several scenes at a time.
func (b *Breaker) playAll(ctx context.Context, scenes []*scene) error {
	const atOnce = 4 // kubelet pulls five images a second, and refuses more
	errs := make([]error, len(scenes))
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i, s := range scenes {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.play(ctx, 0)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// asks is what to ask of a scene.
func (s *scene) asks(f fault) Case {
	c := Case{
		About: f.about, Namespace: s.namespace, Target: s.acts[0].target,
		Want: f.code, Alike: f.alike, Sure: f.sure, Well: s.well, Done: s.remove,
	}
	if len(s.acts) > 1 {
		c.Mend = func(ctx context.Context) (Case, error) {
			next := c
			next.Second = !f.waits
			next.About, next.Want, next.Alike, next.Sure, next.Waits, next.Mend = f.about+", the first mended", f.then, "", "", f.waits, nil
			if last := s.acts[1]; last.target != "" {
				next.Target = last.target
			}
			return next, s.play(ctx, 1)
		}
	}
	return c
}

// random is a name that tells nothing.
func random() string { return "x" + strings.ToLower(rand.Text()[:9]) }

// remove deletes all of a scene.
func (s *scene) remove(ctx context.Context) error {
	var errs []error
	for _, namespace := range slices.Concat([]string{s.namespace}, s.namespaces) {
		if err := s.Cluster.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete namespace %s: %w", namespace, err))
		}
	}
	for _, undo := range s.undo {
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}
