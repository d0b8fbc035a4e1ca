package lease

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// server keeps the lease as an API server does, with versions.
type server struct {
	mu      sync.Mutex
	lease   *coordinationv1.Lease // nil for none
	version int
	writes  int
	hurry   func() // is done before the first look that finds no lease has its answer
}

// put writes a lease that somebody else has changed.
func (s *server) put(change func(*coordinationv1.Lease)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "work"}}
	if s.lease != nil {
		l = s.lease.DeepCopy()
	}
	change(l)
	s.keep(l)
}

func (s *server) keep(l *coordinationv1.Lease) {
	s.version++
	l.ResourceVersion = strconv.Itoa(s.version)
	s.lease = l
}

func (s *server) get() *coordinationv1.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease.DeepCopy()
}

func (s *server) delete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = nil
}

// link is how one replica reaches the server.
type link struct {
	*server
	cut  error         // why no request arrives; nil where they do
	deaf bool          // what is asked is done, and no answer comes back
	slow time.Duration // how late answers come
}

var errCut = errors.New("connection refused")

// arrive does it at the server, if the request comes there.
func (l *link) arrive(ctx context.Context, do func() error) error {
	l.mu.Lock()
	err := errors.Join(ctx.Err(), l.cut)
	if err == nil {
		err = do()
	}
	slow, deaf := l.slow, l.deaf
	l.mu.Unlock()
	if deaf || !pause(ctx, slow) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

var leases = coordinationv1.Resource("leases")

func (l *link) Get(ctx context.Context, name string, _ metav1.GetOptions) (found *coordinationv1.Lease, err error) {
	err = l.arrive(ctx, func() error {
		if l.lease == nil {
			return apierrors.NewNotFound(leases, name)
		}
		found = l.lease.DeepCopy()
		return nil
	})
	if l.hurry != nil && apierrors.IsNotFound(err) {
		l.hurry()
	}
	return found, err
}

func (l *link) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return l.write(ctx, lease, func() error {
		if l.lease != nil {
			return apierrors.NewAlreadyExists(leases, lease.Name)
		}
		return nil
	})
}

func (l *link) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return l.write(ctx, lease, func() error {
		switch {
		case l.lease == nil:
			return apierrors.NewNotFound(leases, lease.Name)
		case l.lease.ResourceVersion != lease.ResourceVersion:
			return apierrors.NewConflict(leases, lease.Name, errors.New("it is another version"))
		}
		return nil
	})
}

func (l *link) write(ctx context.Context, lease *coordinationv1.Lease, may func() error) (made *coordinationv1.Lease, err error) {
	err = l.arrive(ctx, func() error {
		if err := may(); err != nil {
			return err
		}
		l.writes++
		l.keep(lease.DeepCopy())
		made = l.lease.DeepCopy()
		return nil
	})
	return made, err
}
