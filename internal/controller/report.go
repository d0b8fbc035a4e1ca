package controller

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
)

// Reasons of the Events. They are part of the interface: never renamed.
const (
	reasonNoConfiguration      = "NoConfiguration"
	reasonInvalidConfiguration = "InvalidConfiguration"
	reasonConfigurationWarning = "ConfigurationWarning"
	reasonFetchFailed          = "CredentialFetchFailed"
	reasonDropped              = "CredentialDropped"
	reasonNotListed            = "DomainsNotListed"
	reasonNotInjected          = "NotInjected"
	reasonBorrowed             = "BorrowedIdentity"
	reasonClockSkew            = "ClockSkew"
	reasonForeignSecret        = "ForeignSecret"
	reasonEntryRemoved         = "EntryRemoved"
	reasonContested            = "Contested"
	reasonExplained            = "PullExplained"
	reasonEvicted              = "StuckPodEvicted"
	reasonStuck                = "StuckPodLeft"
	reasonSyncFailed           = "SyncFailed"
	reasonRefused              = "WriteRefused"
	reasonVendorsHelper        = "VendorsHelper"
)

// say emits a Warning and logs it, when it is not what was last said about it.
func (c *Controller) say(about string, object runtime.Object, reason, message string) {
	c.mu.Lock()
	known := c.reported[about].now == message
	c.reported[about] = said{now: message}
	c.mu.Unlock()
	if !known {
		c.emit(object, reason, message)
	}
}

// said is what was told of one thing and is not over.
type said struct {
	now  string
	told map[string]time.Time // when each of those that take turns was told
}

// turns is how long two troubles of the same thing that take turns are told once
// each. Later it is news which of them there is.
const turns = time.Hour

// sayOnce is say for a message that differs each time, by a request id for
// instance, although it means the same, and for troubles that may take turns. It
// tells whether it was news.
func (c *Controller) sayOnce(about, meaning string, object runtime.Object, reason, message string) bool {
	at := c.Now()
	c.mu.Lock()
	s := c.reported[about]
	maps.DeleteFunc(s.told, func(_ string, told time.Time) bool { return at.Sub(told) >= turns })
	_, lately := s.told[meaning]
	known := lately || s.now == meaning
	if s.now = meaning; !known {
		if s.told == nil {
			s.told = map[string]time.Time{}
		}
		s.told[meaning] = at
	}
	c.reported[about] = s
	c.mu.Unlock()
	if !known {
		c.emit(object, reason, message)
	}
	return !known
}

func (c *Controller) emit(object runtime.Object, reason, message string) {
	c.Log.Warn(message, "reason", reason)
	c.Events.Event(object, corev1.EventTypeWarning, reason, message)
}

// unsay forgets what was said, so that it is said again should it come back.
func (c *Controller) unsay(about string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.reported, about)
}

// report tells how the accounts are.
func (c *Controller) report(states []broker.State) {
	c.expires(states)
	c.reportStates(states)
	c.reportSkew()
	c.reportIdentities()
	for _, s := range states {
		about := "account " + s.Key
		c.reportDropped(s)
		c.reportUnlisted(s)
		if s.Err == nil {
			c.unsay(about)
			continue
		}
		message := s.Err.Error()
		if !dead(s) {
			message += "; the pull Secrets stay as they are"
		}
		if remedy := hint(s.Err); remedy != "" {
			message += "; hint: " + remedy
		}
		c.sayOnce(about, meaning(s.Err), c.configurationReference(), reasonFetchFailed, message)
	}
}

// reportDropped tells that the credential of an account is taken out of the pull
// Secrets.
func (c *Controller) reportDropped(s broker.State) {
	about := "dropped " + s.Key
	if !dead(s) {
		c.unsay(about)
		return
	}
	c.say(about, c.configurationReference(), reasonDropped, fmt.Sprintf("account %s: its credential ended at %s and the registry refuses it: "+
		"its hosts are taken out of the pull Secrets until there is another, so that their public images can be pulled; private ones can't",
		s.Key, stamp(s.Credential.ExpiresAt)))
}

// reportIdentities tells who we are where that has changed, and who is not ours.
func (c *Controller) reportIdentities() {
	for _, a := range c.accounts {
		who, about := a.Identity(), "borrowed "+a.Key()
		if who.Kind != "" && c.who[a.Key()] != who.Name {
			if c.who == nil {
				c.who = map[string]string{}
			}
			c.who[a.Key()] = who.Name
			c.Log.Info("identity", "account", a.Key(), "kind", who.Kind, "name", who.Name, "why", who.Why)
		}
		if !who.Borrowed {
			c.unsay(about)
			continue
		}
		c.say(about, c.configurationReference(), reasonBorrowed, fmt.Sprintf("account %s: %s belongs to an add-on of the cluster and ends with it; "+
			"hint: give pullkey an identity of its own: RRSA, or an access key", a.Key(), who.Name))
	}
}

// reportUnlisted tells that the cloud does not list the instance's domains, so
// that one that is added will be missing.
func (c *Controller) reportUnlisted(s broker.State) {
	if s.Err != nil {
		return // whatever is wrong is told; it may be all there is
	}
	about, err := "unlisted "+s.Key, c.unlisted(s)
	if err == nil {
		c.unsay(about)
		return
	}
	message := fmt.Sprintf("account %s: its domains are not listed, and the hosts known so far go on: %v", s.Key, err)
	if remedy := hint(err); remedy != "" {
		message += "; hint: " + remedy
	}
	c.sayOnce(about, meaning(err), c.configurationReference(), reasonNotListed, message)
}

// unlisted is why the cloud does not list the domains of an account that is well
// otherwise.
func (c *Controller) unlisted(s broker.State) error {
	i := slices.IndexFunc(c.accounts, func(a *source.Account) bool { return a.Key() == s.Key })
	if well := s.Err == nil; well && i >= 0 {
		return c.accounts[i].Unlisted()
	}
	return nil
}

// skewOver is how far below the skew that matters the clocks must come before it
// is over: it is known to a second or two.
const skewOver = 10 * time.Second

// reportSkew tells that our clock and the cloud's are too far apart.
func (c *Controller) reportSkew() { c.tellSkew(c.Cloud.API.Skew()) }

func (c *Controller) tellSkew(skew time.Duration) {
	if skew.Abs() < source.SkewThatMatters-skewOver {
		c.unsay("clock")
	}
	if skew.Abs() <= source.SkewThatMatters {
		return
	}
	which := "ahead of"
	if skew < 0 {
		which = "behind"
	}
	c.sayOnce("clock", which, c.configurationReference(), reasonClockSkew, fmt.Sprintf("the clock of the controller's machine is %s %s the cloud's; "+
		"at 15 minutes the cloud refuses; hint: set the clock (NTP)", skew.Abs().Round(time.Second), which))
}

// reportStates sets the gauge of each account's state, and takes away those that
// it is not in any more.
func (c *Controller) reportStates(states []broker.State) {
	now := map[[2]string]bool{}
	for _, s := range states {
		is := [2]string{s.Key, string(c.stateOf(s))}
		now[is] = true
		c.metrics.states.WithLabelValues(is[:]...).Set(1)
	}
	for was := range c.stated {
		if !now[was] {
			c.metrics.states.DeleteLabelValues(was[:]...)
		}
	}
	c.stated = now
}

// expires sets the gauge of each account that has a credential and takes away
// those of the others. Never all: whoever reads the metrics meanwhile would
// take every account for gone.
func (c *Controller) expires(states []broker.State) {
	now := map[string]bool{}
	for _, s := range states {
		if s.Credential.Username != "" && !s.Credential.ExpiresAt.IsZero() {
			now[s.Key] = true
			c.metrics.expiry.WithLabelValues(s.Key).Set(float64(s.Credential.ExpiresAt.Unix()))
		}
	}
	for account := range c.expiring {
		if !now[account] {
			c.metrics.expiry.DeleteLabelValues(account)
		}
	}
	c.expiring = now
}

// numbers differ from try to try where the trouble is the same: the port of
// this side of a connection, for instance.
var numbers = regexp.MustCompile(`[0-9]+`)

// meaning is what two errors have in common that need not both be told. The
// cloud's code for what was asked says it; the request's id does not belong to it.
func meaning(err error) string {
	text := err.Error()
	if refused, ok := errors.AsType[*openapi.Error](err); ok {
		if refused.Code != "" {
			return refused.Action + " " + refused.Kind().String() + " " + refused.Code
		}
		text = fmt.Sprint(refused.Action, " ", refused.Kind(), " ", http.StatusText(refused.Status), " ", refused.Message, " ", refused.Unwrap())
	}
	return numbers.ReplaceAllString(text, "")
}
