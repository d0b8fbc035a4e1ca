package credential

import "time"

const (
	// renewFraction of the real lifetime is the latest point of renewal, so
	// that a lifetime shorter than the threshold still leaves time to retry.
	renewFraction = 2.0 / 3
	// RenewalFloor is the shortest time between two renewals that go well. It
	// keeps a credential that is issued nearly expired from making a hot loop.
	RenewalFloor = 10 * time.Second
)

// RenewAt returns when to renew c: when its remaining life falls below
// threshold, but while it lives shorter than three thresholds, when two
// thirds of its life are over. spread, in [0,1), moves the moment earlier by
// up to a tenth of the life that comes before it, so that many credentials do
// not renew in step. It is never less than RenewalFloor after IssuedAt; the
// zero time means never.
func RenewAt(c Credential, threshold time.Duration, spread float64) time.Time {
	if c.ExpiresAt.IsZero() {
		return time.Time{}
	}
	life := c.ExpiresAt.Sub(c.IssuedAt)
	wait := max(life-threshold, 0)
	if life < 3*threshold {
		wait = time.Duration(float64(life) * renewFraction)
	}
	wait -= time.Duration(float64(wait) / 10 * spread)
	return c.IssuedAt.Add(max(wait, RenewalFloor))
}
