// Package broker keeps one current credential per registry account: fetched
// once however many ask for it, renewed early, and never given up for a worse
// one.
//
// Its one rule: what stands in the broker changes only when a source has
// handed out something better, which the registry does not refuse. A source
// that fails leaves the last good credential where it is, and after its end the
// registry alone can say that it is dead.
package broker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Source hands out credentials for one registry account.
type Source interface {
	// Key names the account: who asks whom, no secret.
	Key() string
	// Asks tells what is asked for and in whose name, without secrets. A stored
	// credential that was asked for otherwise is renewed at once.
	Asks() string
	// Equal tells whether other, of the same key, asks for the same.
	Equal(other Source) bool
	// Fetch asks for a new credential, once. The broker sets the deadline and
	// repeats. last is the one in use, its Username empty before the first.
	// An error with Temporary() true may pass with nobody changing anything.
	Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error)
	// Verify asks the registry whether it takes c, once: nil if it does, an
	// error that wraps ErrRefused if it does not, any other if it could not be
	// asked from here.
	Verify(ctx context.Context, c credential.Credential) error
	// Ended is told how each attempt ended: nil when its credential was taken
	// into use. It must not block.
	Ended(err error)
}

// ErrRefused is in the error of a credential that the registry does not take.
var ErrRefused = errors.New("refused by the registry")

// Verdict is what came of asking the registry about a credential.
type Verdict int

const (
	Unasked     Verdict = iota // also after a restart, unless it was refused before
	Accepted                   // the registry takes it
	Refused                    // it does not; of the one in use: it had ended, and is dead
	Unreachable                // the registry could not be asked, which says nothing
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Refused:
		return "refused"
	case Unreachable:
		return "unreachable"
	default:
		return "unasked"
	}
}

// Store keeps the master copy across restarts.
type Store interface {
	Load(ctx context.Context) (map[string]credential.Credential, error)
	Save(ctx context.Context, all map[string]credential.Credential) error
}

// State is what the broker knows of one account.
type State struct {
	Key string
	// Credential is the last good one; its Username is empty before the first.
	Credential credential.Credential
	// Verified is what the registry last said of Credential.
	Verified Verdict
	// Err is why the last attempt did not bring one; nil when it did.
	Err error
	// FailingSince is when the first attempt of an unbroken row of failed ones
	// ended; zero when the last one went well.
	FailingSince time.Time
	// Tried tells that at least one attempt has ended, well or not, or that a
	// stored credential made it needless.
	Tried bool
	// Next is when the next attempt is due; zero when none is planned.
	Next time.Time
}

// Usable tells whether the credential may stand where pods find it: there is
// one, and it is not dead. Dead is what has ended and was then refused by the
// registry; the clock alone kills nothing.
func (s State) Usable() bool { return s.Credential.Username != "" && s.Verified != Refused }

// Broker holds the accounts. Make one with New.
type Broker struct {
	store   Store
	log     *slog.Logger
	changed func()

	mu       sync.Mutex
	accounts map[string]*account
	stored   map[string]credential.Credential

	saving  sync.Mutex // serialises Save, so that the newest copy is the one kept
	failing bool       // the last Save went wrong, and that was said; saving guards it
	kept    int64      // of changes, how many the master copy holds; saving guards it

	changes atomic.Int64 // of what the master copy is to hold

	unsaved chan struct{} // holds something while the master copy is to be written again
	keeping sync.Once
}

const (
	// saveAgain is the wait before the master copy is written again. Until
	// then a restart would begin with an older one.
	saveAgain = 5 * time.Second
	// saveTimeout bounds one Save, for which the accounts wait.
	saveTimeout = 10 * time.Second
	// gatherFor is how long a credential that came waits to be kept together with
	// those of accounts that ask for the first time, too.
	gatherFor = 250 * time.Millisecond
)

// New returns a broker without accounts. changed is called after each change
// of any account's state; it must not block.
func New(store Store, log *slog.Logger, changed func()) *Broker {
	return &Broker{store: store, log: log, changed: changed, accounts: map[string]*account{}, unsaved: make(chan struct{}, 1)}
}

// Load reads the master copy. Accounts that Set names later begin with what
// it holds for them.
func (b *Broker) Load(ctx context.Context) error {
	stored, err := b.store.Load(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored = stored
	return nil
}

// Set declares the accounts: new ones are fetched at once, those no longer
// named are dropped, and the others keep what they have. Accounts, and the
// writing of the master copy, live until ctx ends.
func (b *Broker) Set(ctx context.Context, sources []Source, threshold time.Duration) {
	b.keeping.Do(func() { go b.keep(ctx) })
	b.mu.Lock()
	named := map[string]bool{}
	for _, s := range sources {
		named[s.Key()] = true
		a, exists := b.accounts[s.Key()]
		if exists {
			a.reconfigure(s, threshold)
			continue
		}
		run, cancel := context.WithCancel(ctx)
		a = &account{
			source: s, threshold: threshold, cancel: cancel, wake: make(chan struct{}, 1),
			spread: rand.Float64(), //nolint:gosec // spreads renewals, protects nothing
			state:  State{Key: s.Key()}, tried: make(chan struct{}),
		}
		a.resume(b.stored[s.Key()])
		b.accounts[s.Key()] = a
		go b.run(ctx, run, a)
	}
	for key, a := range b.accounts {
		if !named[key] {
			a.cancel()
			b.remember(key, a.snapshot().Credential)
			delete(b.accounts, key)
		}
	}
	b.mu.Unlock()
	b.changed()
}

// remember keeps the last credential of an account that is dropped, so that one
// that comes back does not begin with an older one. b.mu is held.
func (b *Broker) remember(key string, c credential.Credential) {
	if b.stored == nil {
		b.stored = map[string]credential.Credential{}
	}
	if c.Username != "" {
		b.stored[key] = c
	}
}

// Refresh makes the accounts with these keys try again now, because in whose
// name they ask has changed.
func (b *Broker) Refresh(keys ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		if a, ok := b.accounts[key]; ok {
			a.poke()
		}
	}
}

// Lost has the master copy written again after a while: it is not there any more as
// it was kept.
func (b *Broker) Lost() {
	b.changes.Add(1)
	b.saveLater()
}

func (b *Broker) saveLater() {
	select {
	case b.unsaved <- struct{}{}:
	default:
	}
}

// States returns the accounts, ordered by key.
func (b *Broker) States() []State {
	b.mu.Lock()
	accounts := slices.Collect(maps.Values(b.accounts))
	b.mu.Unlock()
	states := make([]State, 0, len(accounts))
	for _, a := range accounts {
		states = append(states, a.snapshot())
	}
	slices.SortFunc(states, func(x, y State) int { return cmp.Compare(x.Key, y.Key) })
	return states
}

// Settled tells whether every account has been tried at least once. Before
// that, what States holds is not yet worth writing anywhere.
func (b *Broker) Settled() bool {
	return !slices.ContainsFunc(b.States(), func(s State) bool { return !s.Tried })
}

// gather waits until every account has been tried, though not for long.
func (b *Broker) gather(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, gatherFor)
	defer cancel()
	b.mu.Lock()
	accounts := slices.Collect(maps.Values(b.accounts))
	b.mu.Unlock()
	for _, a := range accounts {
		select {
		case <-a.tried:
		case <-limited.Done():
			return
		}
	}
}

// save writes the master copy, unless it was kept already: credentials that come
// together are kept by one write. A copy that can't be kept is no reason to hold
// a good credential back: it is logged once, and written again after a while.
// ctx is the broker's: a new configuration, which ends accounts, ends no Save.
func (b *Broker) save(ctx context.Context) {
	b.gather(ctx)
	b.saving.Lock()
	defer b.saving.Unlock()
	changes := b.changes.Load()
	if changes == b.kept {
		return
	}
	all := map[string]credential.Credential{}
	for _, s := range b.States() {
		if s.Credential.Username != "" {
			all[s.Key] = s.Credential
		}
	}
	if len(all) == 0 {
		return // nothing is no better than whatever stands there
	}
	limited, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := b.store.Save(limited, all)
	if err == nil || ctx.Err() != nil {
		b.failing, b.kept = false, changes
		return
	}
	if !b.failing {
		b.failing = true
		b.log.Warn("keep the master copy of the credentials; trying on", "error", err)
	}
	b.saveLater()
}

// keep writes the master copy again where that went wrong, or where it was lost,
// until ctx ends.
func (b *Broker) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.unsaved:
		}
		timer.Reset(saveAgain)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		b.save(ctx)
	}
}
