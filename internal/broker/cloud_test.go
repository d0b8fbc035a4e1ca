package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// The tests run in synctest bubbles: time is fake and moves only when every
// goroutine waits, so that an hour takes no time and no order is left to luck.

// cloud is a source whose answers the test sets.
type cloud struct {
	key      string
	asks     string
	life     time.Duration
	mu       sync.Mutex
	skew     time.Duration // how far its clock is ahead of ours
	err      error
	calls    []time.Time
	hang     bool
	registry answer // nil accepts
	verified []time.Time
	ended    []error
}

// answer is what a registry says of every credential.
type answer func(context.Context) error

var errUnreachable = errors.New("connect to the registry: no route to host")

func accepts(context.Context) error { return nil }
func refuses(context.Context) error {
	return fmt.Errorf("log in to r.example.com: HTTP 401: %w", ErrRefused)
}
func unreachable(context.Context) error { return errUnreachable }
func silent(ctx context.Context) error  { <-ctx.Done(); return ctx.Err() }

func (c *cloud) Key() string              { return c.key }
func (c *cloud) Asks() string             { return c.asks }
func (c *cloud) Equal(other Source) bool  { return c.asks == other.(*cloud).asks }
func (c *cloud) set(err error, hang bool) { c.mu.Lock(); c.err, c.hang = err, hang; c.mu.Unlock() }

func (c *cloud) lives(life time.Duration) { c.mu.Lock(); c.life = life; c.mu.Unlock() }

func (c *cloud) says(a answer) { c.mu.Lock(); c.registry = a; c.mu.Unlock() }

func (c *cloud) setBack(by time.Duration) { c.mu.Lock(); c.skew -= by; c.mu.Unlock() }

// asked is how often the registry was asked.
func (c *cloud) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.verified)
}

func (c *cloud) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

func (c *cloud) Fetch(ctx context.Context, _ credential.Credential) (credential.Credential, error) {
	c.mu.Lock()
	c.calls = append(c.calls, time.Now())
	err, hang, life, skew := c.err, c.hang, c.life, c.skew
	c.mu.Unlock()
	if hang {
		<-ctx.Done()
		return credential.Credential{}, ctx.Err()
	}
	if err != nil {
		return credential.Credential{}, err
	}
	return credential.Credential{
		Username: "cr_temp_user", Password: credential.NewSecret(time.Now().String()),
		IssuedAt: time.Now().Add(skew), ExpiresAt: time.Now().Add(skew + life),
	}, nil
}

func (c *cloud) Verify(ctx context.Context, _ credential.Credential) error {
	c.mu.Lock()
	c.verified = append(c.verified, time.Now())
	says := c.registry
	c.mu.Unlock()
	if says == nil {
		return nil
	}
	return says(ctx)
}

func (c *cloud) Ended(err error) { c.mu.Lock(); c.ended = append(c.ended, err); c.mu.Unlock() }

// memory is a store that a test can look into.
type memory struct {
	mu    sync.Mutex
	all   map[string]credential.Credential
	fail  error
	slow  time.Duration // what a Save takes
	saves int
}

func (m *memory) Load(context.Context) (map[string]credential.Credential, error) {
	return m.all, m.fail
}

func (m *memory) Save(ctx context.Context, all map[string]credential.Credential) error {
	m.mu.Lock()
	m.saves++
	fail, slow := m.fail, m.slow
	m.mu.Unlock()
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if fail == nil {
		m.all = all
	}
	return fail
}

func (m *memory) set(fail error, slow time.Duration) {
	m.mu.Lock()
	m.fail, m.slow = fail, slow
	m.mu.Unlock()
}

// inBubble runs the story with a broker of one store; its goroutines end with it.
func inBubble(t *testing.T, story func(t *testing.T, ctx context.Context, b *Broker, store *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &memory{}
		story(t, ctx, New(store, slog.New(slog.DiscardHandler), func() {}), store)
		cancel()
		synctest.Wait()
	})
}

// pass lets d go by.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

const threshold = 15 * time.Minute

// gaps are the times between one call and the next.
func (c *cloud) gaps() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var gaps []time.Duration
	for i := 1; i < len(c.calls); i++ {
		gaps = append(gaps, c.calls[i].Sub(c.calls[i-1]))
	}
	return gaps
}

// forget begins the notes anew.
func (c *cloud) forget() { c.mu.Lock(); c.calls, c.verified = nil, nil; c.mu.Unlock() }

// stored is a credential as a store gives it back: of a life of an hour, of
// which left is left.
func stored(left time.Duration) credential.Credential {
	return credential.Credential{
		Username: "cr_temp_user", Password: credential.NewSecret("stored"),
		IssuedAt: time.Now().Add(left - time.Hour).Round(0), ExpiresAt: time.Now().Add(left).Round(0),
	}
}

// restart has b begin with a stored credential of account a.
func restart(ctx context.Context, t *testing.T, b *Broker, store *memory, c credential.Credential) {
	t.Helper()
	store.all = map[string]credential.Credential{"a": c}
	if err := b.Load(ctx); err != nil {
		t.Fatal(err)
	}
}
