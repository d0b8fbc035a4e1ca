package localacr

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// sessionName is the shape of a RoleSessionName.
var sessionName = regexp.MustCompile(`^[A-Za-z0-9.@_-]{2,64}$`)

// STS returns the base URL of STS: on loopback its only one, else the one that
// is no region's.
func (a *ACR) STS() string {
	for _, s := range a.sites {
		if s.name == stsHost {
			return a.scheme() + "://" + s.address
		}
	}
	return ""
}

// assumption is what is asked of STS.
type assumption struct {
	arn, session string
	role         Role
}

// readAssumption reads which role is to be assumed, and as whom.
func (p *openAPI) readAssumption(c *call) (assumption, *cloudError) {
	s := assumption{arn: c.parameters.Get("RoleArn"), session: c.parameters.Get("RoleSessionName")}
	c.record.Role = clip(s.arn)
	switch {
	case !roleARN.MatchString(s.arn):
		return s, errParameter("RoleArn", "it is not acs:ram::UID:role/NAME")
	case !sessionName.MatchString(s.session):
		return s, errParameter("RoleSessionName", "it is not 2 to 64 letters, digits and .@-_")
	}
	var ok bool
	if s.role, ok = p.acr.ram.role(s.arn); !ok {
		return s, errRoleUnknown
	}
	return s, nil
}

var roleARN = regexp.MustCompile(`^acs:ram::[0-9]+:role/[A-Za-z0-9.-]{1,64}$`)

// assumeRole answers AssumeRole of 2015-04-01.
func (p *openAPI) assumeRole(c *call) (any, *cloudError) {
	s, err := p.readAssumption(c)
	switch {
	case err != nil:
		return nil, err
	case !c.user.MayAssume || !s.role.trusts(c.user):
		return nil, errNoPermission
	}
	return p.session(c, s)
}

// assumeRoleWithOIDC answers AssumeRoleWithOIDC of 2015-04-01.
func (p *openAPI) assumeRoleWithOIDC(c *call) (any, *cloudError) {
	s, err := p.readAssumption(c)
	if err != nil {
		return nil, err
	}
	arn := c.parameters.Get("OIDCProviderArn")
	provider, ok := p.acr.ram.provider(arn)
	if !ok {
		return nil, errProvider
	}
	token, err := provider.verify(c.request.Context(), c.parameters.Get("OIDCToken"), p.acr.clock())
	if err != nil {
		return nil, err
	}
	c.record.Caller = clip(token.Subject)
	if !s.role.trustsToken(arn, token) {
		return nil, errNotTrusted
	}
	reply, err := p.session(c, s)
	if err != nil {
		return nil, err
	}
	reply["OIDCTokenInfo"] = map[string]any{"Issuer": token.Issuer, "Subject": token.Subject, "ClientIds": provider.ClientIDs}
	return reply, nil
}

// session opens the session that is asked for.
func (p *openAPI) session(c *call, s assumption) (map[string]any, *cloudError) {
	life := defaultSession
	if text := c.parameters.Get("DurationSeconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if life = time.Duration(seconds) * time.Second; err != nil || life < shortestSession || life > s.role.MaxSession {
			return nil, errParameter("DurationSeconds", fmt.Sprintf("it is not between %d and %d", int(shortestSession.Seconds()), int(s.role.MaxSession.Seconds())))
		}
	}
	if f, ok := p.acr.faults.take(c.action, "", Lifetime); ok {
		life = f.Lifetime
	}
	until := p.acr.clock().Add(life).Truncate(time.Second)
	key := p.acr.openSession(s.arn, s.role, until)
	c.record.Session = key.ID
	return map[string]any{
		"RequestId": c.id,
		"AssumedRoleUser": map[string]any{
			"Arn":           "acs:sts::" + s.role.Account + ":assumed-role/" + s.role.Name + "/" + s.session,
			"AssumedRoleId": "3" + randomText(17, "0123456789") + ":" + s.session,
		},
		"Credentials": map[string]any{
			"AccessKeyId": key.ID, "AccessKeySecret": key.Secret.Reveal(), "SecurityToken": key.SessionToken.Reveal(),
			"Expiration": until.UTC().Format(timestamp),
		},
	}, nil
}
