package alicloud

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// longestFlight bounds how long a key is waited for, whoever waits: less than
// the caller's own patience, so that time is left to go on with the old one.
const longestFlight = 20 * time.Second

// session is an identity whose keys end. It keeps the last one.
type session struct {
	name  string
	fetch func(context.Context) (credential.AccessKey, error)
	// good tells whether a key that was asked for at a time may be handed out
	// without asking again.
	good func(key credential.AccessKey, asked, now time.Time) bool
	now  func() time.Time

	mu     sync.Mutex
	key    credential.AccessKey
	asked  time.Time // when key was asked for; zero for no key yet
	flight *flight   // the request under way
	failed error     // why the last request brought no key
}

// flight is a request that several callers may wait for.
type flight struct {
	landed chan struct{}
	err    error // once it has landed
}

func (s *session) Name() string   { return s.name }
func (s *session) String() string { return s.name }

func (s *session) Key(ctx context.Context) (credential.AccessKey, error) {
	if key, ok := s.at(s.good); ok {
		return key, nil
	}
	f := s.board(ctx)
	select {
	case <-f.landed:
	case <-ctx.Done():
		return credential.AccessKey{}, fmt.Errorf("wait for a key as %s: %w", s.name, context.Cause(ctx))
	}
	if key, ok := s.at(living); ok {
		return key, nil
	}
	if f.err == nil {
		return credential.AccessKey{}, fmt.Errorf("the key as %s has ended already", s.name)
	}
	return credential.AccessKey{}, f.err
}

// at returns the key at hand if it is good.
func (s *session) at(good func(key credential.AccessKey, asked, now time.Time) bool) (credential.AccessKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, !s.asked.IsZero() && good(s.key, s.asked, s.now())
}

func living(key credential.AccessKey, _, now time.Time) bool { return now.Before(key.ExpiresAt) }

// board returns the request under way, or begins one. It does not end with
// the context of who began it: others may wait for it by then.
func (s *session) board(ctx context.Context) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		s.flight = &flight{landed: make(chan struct{})}
		go s.fly(context.WithoutCancel(ctx), s.flight)
	}
	return s.flight
}

func (s *session) fly(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, longestFlight)
	defer cancel()
	asked := s.now()
	key, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.key, s.asked = key, asked
	}
	f.err, s.failed = err, err
	s.flight = nil
	close(f.landed)
}

// Trouble is why the last session of an identity could not be renewed, while the
// one before may live on; nil where all is well, or there are no sessions.
func Trouble(i Identity) error {
	s, ok := i.(*session)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Lives tells whether an identity has a session that has not ended.
func Lives(i Identity) bool {
	s, ok := i.(*session)
	if !ok {
		return false
	}
	_, lives := s.at(living)
	return lives
}

// Forget drops the session of an identity, which the cloud refuses.
func Forget(i Identity) {
	if s, ok := i.(*session); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = time.Time{}
	}
}
