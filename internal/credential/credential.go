package credential

import "time"

// Credential is what a registry account hands out: a user name and password
// for some registry hosts, good until a moment in time.
type Credential struct {
	Username string
	Password Secret
	// Hosts are the registry hosts it is for, each as host or host:port.
	Hosts []string
	// For is what was asked for and in whose name, in a source's own words.
	For string
	// IssuedAt is when it was asked for, by the clock that ExpiresAt is read
	// from where that is known: what lies between the two is its life.
	IssuedAt time.Time
	// ExpiresAt is the moment the issuer named. The zero time means that it
	// does not expire.
	ExpiresAt time.Time
	// Refused tells that it had ended and that the registry then refused it.
	Refused bool
}

// Expired tells whether the credential is no longer good at the time now.
func (c Credential) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}

// AccessKey says who we are to a cloud: an access key pair, with a session
// token when it is temporary.
type AccessKey struct {
	ID           string
	Secret       Secret
	SessionToken Secret
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time
}
