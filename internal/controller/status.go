package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/internal/status"
)

// What is in force.
const (
	inForceConfiguration = "configuration"
	inForceLastGood      = "last good"
	inForceNothing       = "nothing"
)

// skewStep is how exactly the skew is told: it is known to a second or two, and
// would be news at each attempt.
const skewStep = 30 * time.Second

// countAgain is how often the numbers of namespaces are looked at, so that
// namespaces that come and go cost no write each.
const countAgain = time.Minute

// status is what the controller knows now.
func (c *Controller) status() status.Status {
	s := status.Status{Version: status.Version, Controller: c.Version, Region: c.home(), Configuration: c.configured, Injection: c.injectionStatus()}
	plan := c.plan.Load()
	states := map[string]broker.State{}
	for _, state := range c.states() {
		states[state.Key] = state
	}
	for _, a := range c.accounts {
		state := states[a.Key()]
		cred := state.Credential
		one := status.Account{
			Key: a.Key(), Identity: a.Identity(), Instance: a.Instance.ID, Region: a.Instance.Region, State: c.stateOf(state),
			Hosts: cred.Hosts, IssuedAt: cred.IssuedAt, ExpiresAt: cred.ExpiresAt, Verified: verdict(state.Verified),
			Error: c.errorOf(state), OnlyNamespaces: a.Namespaces, Unlisted: c.unlistedOf(state),
		}
		if skew := c.Cloud.API.Skew(); skew.Abs() > source.SkewThatMatters {
			one.Identity.ClockSkew = int(skew.Round(skewStep).Seconds())
		}
		if state.Err == nil {
			one.NextAttempt = state.Next // while it fails it is another time at each attempt
		}
		s.Accounts = append(s.Accounts, one)
	}
	c.count(&s, plan)
	s.Others, s.HandedBack = c.others(), plan != nil && plan.selection.HandBack
	s.Leaving, s.Refused = c.leaving.many(), c.metrics.refused.many()
	return s
}

// verdict is what the registry said, in a word; nothing where it was not asked.
func verdict(v broker.Verdict) string {
	if v == broker.Unasked {
		return ""
	}
	return v.String()
}

// stateOf is how an account is, in a word. The clock alone makes nothing worse
// here: whoever reads it sees the end beside it.
func (c *Controller) stateOf(s broker.State) status.State {
	switch {
	case s.Credential.Username == "":
		return status.Missing
	case !s.Usable():
		return status.Refused
	case s.Err == nil:
		return status.Fresh
	case s.Credential.Expired(c.Now()):
		return status.Expired
	}
	return status.Degraded
}

// errorOf tells why the last attempt brought nothing, in the words in which it
// was first said: what differs from try to try is no news.
func (c *Controller) errorOf(s broker.State) *status.Error {
	if s.Err == nil {
		delete(c.trouble, s.Key)
		return nil
	}
	means := meaning(s.Err)
	if known, ok := c.trouble[s.Key]; ok && known.means == means && known.Since.Equal(s.FailingSince) {
		return &known.Error
	}
	e := status.Error{Since: s.FailingSince, Message: s.Err.Error(), Hint: hint(s.Err)}
	if refused, ok := errors.AsType[*openapi.Error](s.Err); ok {
		e.Code = refused.Code
	}
	if c.trouble == nil {
		c.trouble = map[string]accountTrouble{}
	}
	c.trouble[s.Key] = accountTrouble{e, means}
	return &e
}

// unlistedOf tells why the cloud does not list the account's domains, in a word
// that is the same from try to try.
func (c *Controller) unlistedOf(s broker.State) string {
	err := c.unlisted(s)
	if err == nil {
		return ""
	}
	return meaning(err)
}

// accountTrouble is an error as it was said, with what it means.
type accountTrouble struct {
	status.Error

	means string
}

// hint is the remedy that an error knows.
func hint(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

// count fills in how many namespaces are watched, and get which credential.
func (c *Controller) count(s *status.Status, p *plan) {
	if p == nil {
		return
	}
	for namespace := range c.caches.namespaces.all() {
		if namespace.DeletionTimestamp != nil || !p.watches(namespace) {
			continue
		}
		s.Namespaces++
		for i := range s.Accounts {
			if only := s.Accounts[i].OnlyNamespaces; len(only) == 0 || slices.Contains(only, namespace.Name) {
				s.Accounts[i].Namespaces++
			}
		}
	}
}

// tell keeps the status in its ConfigMap where that differs.
func (c *Controller) tell(ctx context.Context) {
	s := c.status()
	if c.told != nil {
		s.WrittenAt = c.told.WrittenAt
		if reflect.DeepEqual(s, *c.told) {
			c.hinders("status", nil)
			return
		}
	}
	s.WrittenAt = c.Now().UTC().Truncate(time.Second)
	if !c.hinders("status", c.writeStatus(ctx, s)) {
		c.told = &s
	}
}

// writeStatus writes the status whatever stands there: it is nobody's but ours,
// and one request is enough.
func (c *Controller) writeStatus(ctx context.Context, s status.Status) error {
	text, err := s.Encode()
	if err != nil {
		return err
	}
	_, err = apiserver.ApplyConfigMap(ctx, c.Client, c.ownConfigMap(status.Name, map[string]string{status.Key: text}),
		metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", c.Namespace, status.Name, err)
	}
	return nil
}
