package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	// fetchTimeout bounds one Fetch: a cloud that accepts the connection and
	// never answers is an outage like any other.
	fetchTimeout = 30 * time.Second
	// verifyTimeout bounds one Verify: a registry that has not answered by then
	// could not be asked.
	verifyTimeout = 10 * time.Second
)

// trial is one attempt: who is asked, and what there was when it began.
type trial struct {
	source Source
	asked  time.Time
	used   State
	ends   time.Time // of the credential in use, by our clock
	anew   bool      // what the source is asked for is another than that of the one in use
}

// obtain fetches a credential that may take the place of the one in use: it is
// no worse, and the registry does not refuse it. A registry that can't be asked
// from here refuses nothing.
func (t trial) obtain(ctx context.Context) (credential.Credential, Verdict, error) {
	limited, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err := t.source.Fetch(limited, t.used.Credential)
	if err == nil {
		err = t.worse(got)
	}
	if err != nil {
		return credential.Credential{}, Unasked, err
	}
	verdict, err := t.ask(ctx, got)
	if verdict == Refused {
		return credential.Credential{}, verdict, fmt.Errorf("take the new credential: %w", err)
	}
	return got, verdict, nil
}

// worse is the error of an answer that is worse than what is in use. Asked for
// the same as before, a source may not take life away: it may not hand out
// something that ends before the credential in use, while that lives.
func (t trial) worse(got credential.Credential) error {
	used := t.used.Credential
	switch {
	case got.Username == "":
		return errors.New("take the new credential: it has no user name")
	case t.anew, used.Username == "", over(t.ends, time.Now()), got.ExpiresAt.IsZero(),
		!used.ExpiresAt.IsZero() && !got.ExpiresAt.Before(used.ExpiresAt):
		return nil
	}
	return fmt.Errorf("take the new credential: it ends at %s, before the one in use, which is kept",
		got.ExpiresAt.UTC().Format(time.RFC3339))
}

// judge says what the registry thinks of the credential in use. It is asked
// only about one that has ended: the clock may be wrong, and alone it kills
// nothing. Once refused, it stays so.
func (t trial) judge(ctx context.Context) Verdict {
	if t.used.Usable() && over(t.ends, time.Now()) {
		verdict, _ := t.ask(ctx, t.used.Credential)
		return verdict
	}
	return t.used.Verified
}

func (t trial) ask(ctx context.Context, c credential.Credential) (Verdict, error) {
	limited, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	err := t.source.Verify(limited, c)
	switch {
	case err == nil:
		return Accepted, nil
	case errors.Is(err, ErrRefused):
		return Refused, err
	}
	return Unreachable, err
}
