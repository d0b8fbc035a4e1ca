package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/selection"
)

// plan is what every namespace should look like. It is a value: a new one
// replaces it whole.
type plan struct {
	settings  acrconfig.Settings
	selection selection.Selection
	// general is for the namespaces that no account is limited to, special for
	// each of those that one is. Nil where no account may serve them.
	general *content
	special map[string]*content
	hosts   []string  // of all accounts
	users   []string  // the user names of all accounts
	managed []string  // with those of accounts without a credential that works: pods are born for the next one
	ends    time.Time // the earliest end of all credentials; zero for never
}

// content returns what the pull Secret of a namespace holds, nil if no account
// may serve it.
func (p *plan) content(namespace string) *content {
	if c, ok := p.special[namespace]; ok {
		return c
	}
	return p.general
}

// watches tells whether a namespace is chosen: by the vendor's list, or by
// pullkey's own rules, unless it is excluded.
func (p *plan) watches(namespace *corev1.Namespace) bool {
	return p.choice().Watches(namespace.Name, namespace.Labels)
}

// attaches tells whether a ServiceAccount of a watched namespace is chosen.
func (p *plan) attaches(account string) bool {
	return p.choice().Attaches(account)
}

// newPlan puts the settings and the credentials at hand together. only holds
// the namespaces of the accounts that are limited to some.
func newPlan(s acrconfig.Settings, states []broker.State, only map[string][]string) (*plan, []error) {
	p := &plan{settings: s, special: map[string]*content{}}
	limited := map[string][]string{} // the accounts that are limited to it, by namespace
	for _, key := range slices.Sorted(maps.Keys(only)) {
		for _, name := range only[key] {
			limited[name] = append(limited[name], key)
		}
	}
	var problems []error
	of := map[string]*content{} // by the limited accounts: most namespaces have the same
	contentOf := func(keys []string) *content {
		id := strings.Join(keys, "\n")
		if _, done := of[id]; !done {
			may := slices.DeleteFunc(slices.Clone(states), func(s broker.State) bool {
				return len(only[s.Key]) > 0 && !slices.Contains(keys, s.Key)
			})
			var more []error
			of[id], more = newContent(may, s.NotifyEmail)
			problems = append(problems, more...)
		}
		return of[id]
	}
	p.general = contentOf(nil)
	if len(p.general.accounts) == 0 {
		p.general = nil
	}
	for name, keys := range limited {
		p.special[name] = contentOf(keys)
	}
	for _, state := range states {
		p.managed = append(p.managed, state.Credential.Hosts...)
		if user := state.Credential.Username; user != "" {
			p.users = append(p.users, user)
		}
	}
	p.sum()
	return p, distinct(problems)
}

// distinct drops what is told already: an account serves many namespaces.
func distinct(problems []error) []error {
	told := map[string]bool{}
	kept := slices.DeleteFunc(problems, func(err error) bool {
		known := told[err.Error()]
		told[err.Error()] = true
		return known
	})
	slices.SortFunc(kept, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return kept
}

// sum collects what all namespaces together have.
func (p *plan) sum() {
	p.hosts, p.ends = nil, time.Time{}
	for _, c := range append(slices.Collect(maps.Values(p.special)), p.general) {
		if c == nil {
			continue
		}
		p.hosts = append(p.hosts, c.hosts...)
		if !c.expiresAt.IsZero() && (p.ends.IsZero() || c.expiresAt.Before(p.ends)) {
			p.ends = c.expiresAt
		}
	}
	slices.Sort(p.hosts)
	p.hosts = slices.Compact(p.hosts)
	p.managed = append(p.managed, p.hosts...)
	slices.Sort(p.managed)
	p.managed = slices.Compact(p.managed)
}

// manage adds hosts that pods are born for, although there is no credential yet.
func (p *plan) manage(hosts []string) {
	p.managed = append(p.managed, hosts...)
	p.sum()
}

// inherit keeps what the old plan gave where there is nothing yet: accounts
// that have nothing so far take nothing away from anyone. What a namespace may
// have no longer, it does not keep.
func (p *plan) inherit(old *plan) {
	keep := func(c, was *content) *content {
		switch {
		case c == nil || c.document != nil || was == nil || was.document == nil:
			return c
		case slices.ContainsFunc(was.from, func(key string) bool { return !slices.Contains(c.accounts, key) }):
			return c.emptied()
		}
		return was
	}
	p.general = keep(p.general, old.general)
	for name, c := range p.special {
		p.special[name] = keep(c, old.content(name))
	}
	p.sum()
}

// digest tells one set of credentials from another.
func (p *plan) digest() string {
	all := map[string][]byte{}
	for name, c := range p.special {
		all[name] = c.digest
	}
	if p.general != nil {
		all[""] = p.general.digest
	}
	return fmt.Sprintf("%x", digest(all))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// same tells whether q would make every namespace look as p does.
func (p *plan) same(q *plan) bool {
	return q != nil && p.general.same(q.general) && maps.EqualFunc(p.special, q.special, (*content).same) && p.selects(q)
}

// selects tells whether p and q select the same namespaces and ServiceAccounts.
func (p *plan) selects(q *plan) bool {
	return p.selection.Equal(q.selection) && sameNames(p.settings.Namespaces, q.settings.Namespaces) &&
		sameNames(p.settings.ServiceAccounts, q.settings.ServiceAccounts)
}

func sameNames(a, b acrconfig.Names) bool { return a.All == b.All && slices.Equal(a.List, b.List) }

const (
	// firstPatience is how long the first plan waits, from the first valid
	// configuration, for accounts that have not answered yet: so each
	// namespace is written once at first, and a hanging account holds the
	// others up only this long.
	firstPatience = 5 * time.Second
	// planAgain is when the planner tries again what it could not write, and
	// planSeldom once that has gone on for hinderedLong. After hinderedFor it is
	// told.
	planAgain    = 2 * time.Second
	planSeldom   = 30 * time.Second
	hinderedFor  = 10 * time.Second
	hinderedLong = time.Minute
)

// planAll makes a new plan whenever something has changed, until ctx ends.
func (c *Controller) planAll(ctx context.Context) {
	var patience <-chan time.Time // from the first valid configuration
	again := time.NewTimer(planAgain)
	defer again.Stop()
	count := time.NewTicker(countAgain)
	defer count.Stop()
	nothing := time.NewTimer(firstPatience) // that nothing is in force is told after a while
	defer nothing.Stop()
	waiting := true
	c.quiet = true
	for {
		c.unfinished = false
		c.Plan(ctx, waiting)
		if c.worthTelling(waiting) {
			c.tell(ctx)
		}
		if patience == nil && c.settings != nil {
			timer := time.NewTimer(firstPatience)
			defer timer.Stop() // made once
			patience = timer.C
		}
		if c.unfinished {
			c.metrics.retries.Inc()
			again.Reset(c.untilAgain())
		}
		select {
		case <-ctx.Done():
			return
		case <-c.dirty:
		case <-again.C:
		case <-count.C:
		case <-nothing.C:
			c.quiet = false
		case <-patience:
			waiting = false
		}
	}
}

// hinders tells that a write of the planner's went wrong, has it tried again, and
// says so once where it goes on: a conflict is ordinary, and an API server that
// has just started refuses what it will allow in a moment.
func (c *Controller) hinders(what string, err error) bool {
	about := "write " + what
	if err == nil {
		delete(c.hindrances, what)
		c.unsay(about)
		return false
	}
	c.unfinished = true
	c.Log.Debug(about, "error", err)
	since, known := c.hindrances[what]
	if !known {
		since = c.Now()
		c.hindrances[what] = since
	}
	if c.Now().Sub(since) < hinderedFor {
		return true
	}
	message := err.Error()
	if apierrors.IsForbidden(err) {
		message += "; hint: apply deploy/install.yaml of this version, or upgrade the release"
	}
	c.sayOnce(about, meaning(err), c.configurationReference(), reasonSyncFailed, message)
	return true
}

// untilAgain is when what could not be written is tried again, unless something
// changes before.
func (c *Controller) untilAgain() time.Duration {
	for _, since := range c.hindrances {
		if c.Now().Sub(since) < hinderedLong {
			return planAgain
		}
	}
	return planSeldom
}

// worthTelling is false while a moment more will tell: a configuration may come
// right after the start, accounts answer soon, and so does the API server about
// the injection.
func (c *Controller) worthTelling(waiting bool) bool {
	switch {
	case c.settings == nil:
		return !c.quiet
	case c.told == nil && c.beingProven():
		return false
	}
	return !waiting || c.broker.Settled()
}

// Plan looks at the configuration, the access key and the credentials, and
// puts a new plan into force where one of them has changed. While waiting is
// true it makes no first plan before every account has been tried.
func (c *Controller) Plan(ctx context.Context, waiting bool) {
	if c.followAccessKey() {
		c.broker.Refresh(c.followers()...)
	}
	c.configure(ctx)
	chosen := c.choose()
	c.metrics.valid(c.configured.Valid)
	settings := c.settings
	if settings == nil || !chosen {
		return // and nothing is kept either: kept, the next start would take it for what was in force
	}
	c.noteChoice()
	c.keepLastGood(ctx)
	states := c.states()
	c.report(states)
	old := c.plan.Load()
	if old == nil && waiting && !c.broker.Settled() {
		return
	}
	next, problems := newPlan(*settings, c.inherited(states), c.limits())
	if err := errors.Join(problems...); err != nil {
		c.say("plan", c.configurationReference(), reasonInvalidConfiguration, err.Error())
	} else {
		c.unsay("plan")
	}
	next.selection = c.selection
	next.manage(c.knownHosts())
	if old != nil {
		next.inherit(old)
	}
	if !next.selection.NoServiceAccounts {
		c.caches.followServiceAccounts(ctx)
	}
	data := injection(next)
	goal := goalOf(next, data)
	c.inject(ctx, next, data, goal)
	c.prove(ctx, next, goal)
	c.reportInjection()
	if !next.same(old) {
		c.enforcePlan(ctx, old, next)
	}
	c.reportVendor()
}

// enforcePlan has every namespace looked at for another plan.
func (c *Controller) enforcePlan(ctx context.Context, old, next *plan) {
	c.plan.Store(next)
	c.dropEntries()
	c.Log.Info("new plan", "registries", strings.Join(next.hosts, ","), "expires", stamp(next.ends))
	c.enqueueAll(old, next)
	c.lookForVendor(ctx)
}

// knownHosts are those of the accounts that are known without the cloud.
func (c *Controller) knownHosts() []string {
	var hosts []string
	for _, a := range c.accounts {
		hosts = append(hosts, a.Known()...)
	}
	return hosts
}

// states are those of the accounts; what the registry says kills nothing where
// the installation wants to keep what has ended.
func (c *Controller) states() []broker.State {
	states := c.broker.States()
	for i := range states {
		if c.KeepExpired && states[i].Verified == broker.Refused {
			states[i].Verified = broker.Unasked
		}
	}
	return states
}

// enqueueAll looks at every namespace again. A planned renewal has time: it is
// spread over at most a quarter of what the old credential still lives.
func (c *Controller) enqueueAll(old, next *plan) {
	all := c.caches.namespaces.ListKeys() // which are their names
	spread := c.spread(old, next, len(all))
	for i, name := range all {
		c.queue.AddAfter(name, spread/time.Duration(len(all))*time.Duration(i))
	}
}

// spread is the time over which so many namespaces are looked at.
func (c *Controller) spread(old, next *plan, namespaces int) time.Duration {
	planned := old != nil && len(old.hosts) > 0 && reflect.DeepEqual(old.settings, next.settings) &&
		old.selection.Equal(next.selection) && slices.Equal(old.hosts, next.hosts)
	if !planned || c.Pace == 0 {
		return 0
	}
	left := max(old.ends.Sub(c.Now()), 0)
	return min(time.Duration(namespaces)*time.Second/time.Duration(c.Pace), left/4)
}
