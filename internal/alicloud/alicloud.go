// Package alicloud knows the ways to be somebody at Alibaba Cloud: an access
// key, the RAM role of an ECS instance, a role that is assumed with a
// ServiceAccount's token or on top of another identity, and the token file of
// ACK's managed add-ons.
//
// Its one rule: nothing sticks. Each key is asked for anew when it is due, from
// what is there at that moment, and a key that still lives is never given up
// for an error.
package alicloud

import (
	"context"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Audience is that of the tokens which STS takes.
const Audience = "sts.aliyuncs.com"

// Identity is somebody at Alibaba Cloud. It is safe for many at once.
type Identity interface {
	// Name says who, without secrets, and is the same for the same
	// configuration.
	Name() string
	// Key returns an access key for the next request. Callers at the same time
	// share one request; one whose context ends leaves the others to it. While
	// no new key is to be had, one that still lives is returned.
	Key(ctx context.Context) (credential.AccessKey, error)
}

// AccessKey is whoever the access key is of that read reads, each time anew.
// The name says where it stands.
func AccessKey(name string, read func(context.Context) (credential.AccessKey, error)) Identity {
	return &accessKey{name, read}
}

type accessKey struct {
	name string
	read func(context.Context) (credential.AccessKey, error)
}

func (a *accessKey) Name() string   { return "access key " + a.name }
func (a *accessKey) String() string { return a.Name() }

func (a *accessKey) Key(ctx context.Context) (credential.AccessKey, error) { return a.read(ctx) }

// problem is an error of ours with a remedy.
type problem struct {
	text, hint string
	cause      error
}

func (p *problem) Error() string {
	if p.cause == nil {
		return p.text
	}
	return p.text + ": " + p.cause.Error()
}
func (p *problem) Unwrap() error { return p.cause }

// Hint returns what to do about it.
func (p *problem) Hint() string { return p.hint }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
