package credential

import (
	"testing"
	"time"
)

var issued = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func living(d time.Duration) Credential {
	return Credential{IssuedAt: issued, ExpiresAt: issued.Add(d)}
}

func TestRenewAt(t *testing.T) {
	t.Parallel()
	const threshold = 15 * time.Minute
	for _, c := range []struct {
		name      string
		life      time.Duration
		threshold time.Duration
		spread    float64
		want      time.Duration // after IssuedAt
	}{
		{"an hour's credential is renewed when the threshold is left", time.Hour, threshold, 0, 45 * time.Minute},
		{"twelve hours' too", 12 * time.Hour, threshold, 0, 12*time.Hour - threshold},
		{"at three thresholds both rules agree", 45 * time.Minute, threshold, 0, 30 * time.Minute},
		{"a shorter one after two thirds of its life", 30 * time.Minute, threshold, 0, 20 * time.Minute},
		{"also where less than the threshold was left when it was issued", 12 * time.Minute, threshold, 0, 8 * time.Minute},
		{"the spread brings it forward by up to a tenth", time.Hour, threshold, 0.5, 45*time.Minute - 135*time.Second},
		{"of short lives too", 30 * time.Minute, threshold, 0.5, 19 * time.Minute},
		{"the floor stands against a hot loop", 9 * time.Second, threshold, 0, RenewalFloor},
		{"and against the spread", 15 * time.Second, threshold, 0.99, RenewalFloor},
		{"and where it was issued at its very end", 0, threshold, 0, RenewalFloor},
		{"and where it had expired before", -time.Hour, threshold, 0.5, RenewalFloor},
		{"without a threshold it is renewed at its end", time.Hour, 0, 0, time.Hour},
		{"a threshold above the whole life does not renew at once", time.Hour, 11 * time.Hour, 0, 40 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := RenewAt(living(c.life), c.threshold, c.spread).Sub(issued); got != c.want {
				t.Errorf("renewed after %v; want %v", got, c.want)
			}
		})
	}
}

func TestACredentialWithoutExpiryIsNeverRenewed(t *testing.T) {
	t.Parallel()
	c := Credential{IssuedAt: issued}
	if at := RenewAt(c, time.Minute, 0.5); !at.IsZero() {
		t.Errorf("renewed at %v", at)
	}
	if c.Expired(issued.Add(1000 * time.Hour)) {
		t.Error("it expired")
	}
}

func TestExpiredFromTheMomentThatWasNamed(t *testing.T) {
	t.Parallel()
	c := living(time.Hour)
	for after, want := range map[time.Duration]bool{time.Hour - 1: false, time.Hour: true, time.Hour + 1: true} {
		if got := c.Expired(issued.Add(after)); got != want {
			t.Errorf("expired %v after its issue: %v; want %v", after, got, want)
		}
	}
}

// A cloud that hands out credentials with the same short rest of life again
// and again must not make us ask without a pause.
func TestNearlyExpiredCredentialsMakeNoHotLoop(t *testing.T) {
	t.Parallel()
	now, calls := issued, 0
	end := issued.Add(10 * time.Minute)
	for now.Before(end) {
		calls++
		next := RenewAt(Credential{IssuedAt: now, ExpiresAt: now.Add(3 * time.Second)}, 15*time.Minute, 0.9)
		if next.Before(now.Add(RenewalFloor)) {
			t.Fatalf("renewed %v after the last time", next.Sub(now))
		}
		now = next
	}
	if calls > 60 {
		t.Errorf("%d calls in ten minutes", calls)
	}
}

// Longer life never means earlier renewal, and renewal comes before expiry
// whenever the floor allows.
func FuzzRenewAt(f *testing.F) {
	f.Add(int64(time.Hour), int64(15*time.Minute), uint16(100))
	f.Add(int64(-time.Hour), int64(0), uint16(0))
	f.Fuzz(func(t *testing.T, life, threshold int64, part uint16) {
		const most = int64(1000 * time.Hour)
		l, th, spread := time.Duration(life%most), max(0, time.Duration(threshold%most)), float64(part)/(1<<16)
		at := RenewAt(living(l), th, spread).Sub(issued)
		if at < RenewalFloor || at > max(l, RenewalFloor) {
			t.Errorf("life %v, threshold %v: renewed after %v", l, th, at)
		}
		if late := RenewAt(living(l), th, 0).Sub(issued); at > late || at < late-late/10-1 && at != RenewalFloor {
			t.Errorf("the spread %v moves %v to %v", spread, late, at)
		}
		if longer := RenewAt(living(l+time.Minute), th, spread).Sub(issued); longer < at-1 {
			t.Errorf("life %v is renewed after %v, a minute more after %v", l, at, longer)
		}
	})
}
