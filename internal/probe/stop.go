package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/registry"
)

// stop notes what has ended the conversation, and where.
func (c *call) stop(e registry.Examined, err error) {
	s := &explain.Stopped{Obstacle: explain.Unclear, Host: c.ref.Host(), Text: err.Error()}
	c.tried.Stopped = s
	at := c.place(e)
	var refused *registry.Error
	if errors.Is(err, errBare) {
		c.tried.Reach, s.Obstacle, s.Host = explain.AtToken, explain.NoToken, c.tokenHost()
		return
	}
	if !errors.As(err, &refused) {
		c.late(err, at)
		return
	}
	s.Status, s.Text = refused.Status, refused.Problem
	if host := c.lastHost(); host != "" {
		s.Host = host
	}
	s.Obstacle, c.tried.Reach = obstacle(refused, at)
	if s.Obstacle == explain.LoginRefused && at == explain.AtManifest && e.Token != nil {
		s.Obstacle = explain.TokenNotTaken
	}
	if at == explain.AtToken || at == explain.AtLayers || !c.silent() && c.tried.Reach.Before(explain.AtChallenge) {
		c.tried.Reach = at // another server than the registry may be out of reach there
	}
}

// late notes that the time is up, or that it is not known what ended it.
func (c *call) late(err error, at explain.Reach) {
	c.tried.Reach = at
	if c.silent() {
		c.tried.Reach = explain.AtTCP
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		c.tried.Stopped.Obstacle, c.tried.Stopped.Text = explain.NoAnswer, "no answer came in time"
	}
}

// place is where the last request was, as far as requests tell.
func (c *call) place(e registry.Examined) explain.Reach {
	for i := len(c.steps) - 1; i >= 0; i-- {
		switch c.steps[i].Kind {
		case registry.KindToken:
			return explain.AtToken
		case registry.KindBlob:
			return explain.AtLayers
		case registry.KindManifest:
			return explain.AtManifest
		default: // a redirect is of the request before it
		}
	}
	if e.At == registry.KindBlob {
		return explain.AtLayers
	}
	return explain.AtManifest
}

// silent tells whether nobody has answered anything.
func (c *call) silent() bool {
	for _, s := range c.steps {
		if s.Answer != nil {
			return false
		}
	}
	return true
}

func (c *call) lastHost() string {
	if len(c.steps) == 0 {
		return ""
	}
	return inShort(c.steps[len(c.steps)-1]).Host
}

func (c *call) tokenHost() string {
	u, err := url.Parse(c.tried.Realm)
	if err != nil {
		return ""
	}
	return u.Host
}

// obstacle names what an error of the conversation is, and where it stands in a way.
func obstacle(e *registry.Error, at explain.Reach) (explain.Obstacle, explain.Reach) {
	switch e.Cause {
	case registry.CauseRegistryUnreachable, registry.CauseRealmUnreachable, registry.CauseCertificate, registry.CausePlainHTTP:
		return unreachable(e)
	case registry.CauseServer:
		return unusable(e, at)
	case registry.CauseChallenge:
		if strings.HasPrefix(e.Act, "follow the challenge") {
			return explain.BadRealm, explain.AtChallenge
		}
		return explain.BadChallenge, explain.AtChallenge
	default:
	}
	known, ok := map[registry.Cause]struct {
		explain.Obstacle
		explain.Reach
	}{
		registry.CausePolicy:     {explain.NotSent, explain.AtChallenge},
		registry.CauseNobody:     {explain.LoginNeeded, explain.AtToken},
		registry.CauseCredential: {explain.LoginRefused, explain.AtToken},
		registry.CauseScope:      {explain.NotGranted, explain.AtScope},
		registry.CauseDenied:     {explain.Forbidden, explain.AtScope},
		registry.CauseNotFound:   {explain.NotThere, at},
		registry.CauseRateLimit:  {explain.TooMany, at},
		registry.CausePlatform:   {explain.OtherPlatforms, explain.AtPlatform},
		registry.CauseContent:    {explain.BadManifest, at},
	}[e.Cause]
	if !ok {
		return explain.Unclear, at
	}
	return known.Obstacle, known.Reach
}

// unusable tells apart the answers that no client can use.
func unusable(e *registry.Error, at explain.Reach) (explain.Obstacle, explain.Reach) {
	none := []int{http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed}
	switch {
	case errors.Is(e, registry.ErrNoToken):
		return explain.NoToken, at
	case e.Status >= http.StatusInternalServerError:
		return explain.ServerFails, at
	case at == explain.AtToken && (slices.Contains(none, e.Status) || errors.Is(e, registry.ErrPage)):
		return explain.BadRealm, at
	case errors.Is(e, registry.ErrPage):
		return explain.NoRegistry, explain.AtChallenge
	case errors.Is(e, registry.ErrSchema1):
		return explain.OldFormat, at
	case errors.Is(e, registry.ErrTooBig):
		return explain.TooBig, at
	case at == explain.AtManifest && e.Status == 0:
		return explain.BadManifest, at
	}
	return explain.Unclear, at
}

// unreachable tells why no answer came.
func unreachable(e *registry.Error) (explain.Obstacle, explain.Reach) {
	var (
		dns       *net.DNSError
		op        *net.OpError
		timeout   net.Error
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(e, &op) && op.Op == "proxyconnect":
		return explain.ProxyFails, explain.AtTCP
	case errors.As(e, &authority):
		return explain.UnknownCA, explain.AtTLS
	case errors.As(e, &name):
		return explain.WrongName, explain.AtTLS
	case errors.As(e, &invalid) && invalid.Reason == x509.Expired:
		return explain.NotValidNow, explain.AtTLS
	case strings.Contains(e.Problem, "certificate required"):
		return explain.WantsCertificate, explain.AtTLS
	case errors.As(e, &dns):
		return explain.NoHost, explain.AtDNS
	case errors.Is(e, syscall.ECONNREFUSED):
		return explain.NobodyListens, explain.AtTCP
	case errors.As(e, &timeout) && timeout.Timeout():
		return explain.NoAnswer, explain.AtTCP
	}
	return other(e)
}

func other(e *registry.Error) (explain.Obstacle, explain.Reach) {
	switch e.Cause {
	case registry.CausePlainHTTP:
		return explain.NoTLS, explain.AtTLS
	case registry.CauseCertificate:
		return explain.Unclear, explain.AtTLS
	default:
	}
	return explain.CutOff, explain.AtTCP
}
