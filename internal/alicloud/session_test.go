package alicloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestManyAtOnceMakeOneRequest(t *testing.T) {
	t.Parallel()
	c, token := newCloud(t), jwt("good")
	who := AssumeRole(c.sts(), AssumeRoleWithOIDC(c.sts(), c.pod(&token)), roleB, 0)
	for round := 1; round <= 2; round++ {
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if key, err := who.Key(t.Context()); err != nil || key.ID != fmt.Sprintf("STS.%d", 2*round) {
					t.Errorf("got %v, %v", key, err)
				}
			})
		}
		wg.Wait()
		if asked := c.asked(); len(asked) != 2*round {
			t.Errorf("asked %d times: %q", len(asked), asked)
		}
		c.clock.move(time.Hour)
	}
}

// slow is a session whose key comes when it is let.
func slow() (*session, chan<- error, *int) {
	let, asked := make(chan error), new(int)
	return &session{
		name: "slow", good: fresh, now: time.Now,
		fetch: func(ctx context.Context) (credential.AccessKey, error) {
			*asked++
			select {
			case err := <-let:
				return credential.AccessKey{ID: "id", Secret: credential.NewSecret("s"), ExpiresAt: time.Now().Add(time.Hour)}, err
			case <-ctx.Done():
				return credential.AccessKey{}, ctx.Err()
			}
		},
	}, let, asked
}

func TestWhoeverGivesUpLeavesAtOnceAndTheOthersGetTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, let, asked := slow()
		first, leave := context.WithCancel(t.Context())
		left, got := make(chan error, 1), make(chan error, 8)
		go func() { // the one who begins the request
			_, err := s.Key(first)
			left <- err
		}()
		synctest.Wait()
		for range 8 {
			go func() {
				_, err := s.Key(t.Context())
				got <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) || time.Since(start) != 0 || !strings.Contains(err.Error(), "as slow") {
			t.Errorf("left after %v: %v", time.Since(start), err)
		}
		let <- nil
		for range 8 {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		if *asked != 1 {
			t.Errorf("asked %d times", *asked)
		}
	})
}

func TestAnErrorIsForThoseWhoWaitedForItAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, let, asked := slow()
		got := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := s.Key(t.Context())
				got <- err
			}()
		}
		synctest.Wait()
		let <- errors.New("no luck")
		for range 2 {
			if err := <-got; err == nil || err.Error() != "no luck" {
				t.Errorf("got %v", err)
			}
		}
		go func() { let <- nil }()
		if _, err := s.Key(t.Context()); err != nil || *asked != 2 {
			t.Errorf("%v after %d requests", err, *asked)
		}
	})
}

func TestARequestThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, let, _ := slow()
		go func() { let <- nil }()
		first, err := s.Key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // while the old key lives, it is returned in the end
			<-time.NewTimer(10 * time.Minute).C
			start := time.Now()
			if key, err := s.Key(t.Context()); err != nil || key.ID != first.ID || time.Since(start) != longestFlight {
				t.Errorf("got %v, %v after %v", key, err, time.Since(start))
			}
		}
		<-time.NewTimer(time.Hour).C
		if _, err := s.Key(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever is done with an identity, what it knows is not printed.
func TestNoIdentityAndNoErrorShowsASecret(t *testing.T) {
	t.Parallel()
	c, token := newCloud(t), jwt("good")
	keys := map[string]string{}
	oidc := AssumeRoleWithOIDC(c.sts(), c.pod(&token))
	host := newHost(t, &clock{t: noon})
	file := TokenFile("/f", func(string) ([]byte, error) { return fileOf(t, noon.Add(time.Hour)), nil }, c.clock.now)
	all := []Identity{c.user(), oidc, AssumeRole(c.sts(), c.user(), roleA, 0), AssumeRole(c.sts(), oidc, roleB, 0), ECSRole(host.metadata()), file}
	check := func(said string) {
		t.Helper()
		for what, secret := range keys {
			if strings.Contains(said, secret) {
				t.Errorf("shows %s: %s", what, said)
			}
		}
	}
	keys["the OIDC token"] = token
	for _, who := range all {
		key, err := who.Key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keys["secret of "+who.Name()] = key.Secret.Reveal()
		if !key.SessionToken.Empty() {
			keys["token of "+who.Name()] = key.SessionToken.Reveal()
		}
	}
	for _, who := range all {
		check(fmt.Sprintf("%v %+v %#v %s %q %s", who, who, who, who, who, who.Name()))
	}
	// An answer that quotes the request.
	c.clock.move(2 * time.Hour)
	c.answers(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"Code":"SignatureDoesNotMatch","Message":"%s %s"}`, r.URL.RawQuery, r.URL.Query().Get("Signature"))
	})
	for _, who := range all[1:4] {
		_, err := who.Key(t.Context())
		if err == nil {
			t.Fatalf("%v has a key", who)
		}
		check(fmt.Sprintf("%v %+v", err, err))
	}
}
