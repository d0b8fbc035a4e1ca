package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/dockerconfig"
)

// plan is what every namespace should look like. It is a value: a new one
// replaces it whole.
type plan struct {
	settings acrconfig.Settings
	// document is the pull Secret's content; nil while there is no credential.
	document    []byte
	digest      []byte
	annotations map[string]string
	hosts       []string
	expiresAt   time.Time // the earliest of all credentials; zero for never
}

func (p *plan) watches(namespace string) bool { return includes(p.settings.Namespaces, namespace) }
func (p *plan) attaches(account string) bool  { return includes(p.settings.ServiceAccounts, account) }

func includes(n acrconfig.Names, name string) bool {
	if n.All {
		return true
	}
	_, found := slices.BinarySearch(n.List, name)
	return found
}

// newPlan puts the settings and the credentials at hand together. A credential
// that can't be used is left out and told as a problem: it takes nothing away
// from the other accounts.
func newPlan(s acrconfig.Settings, states []broker.State) (*plan, []error) {
	p := &plan{settings: s}
	all, problems := usable(states)
	if len(all) == 0 {
		return p, problems
	}
	document, err := dockerconfig.PullSecret(all, s.NotifyEmail)
	if err != nil {
		return p, append(problems, err)
	}
	var issuedAt time.Time
	for _, c := range all {
		p.hosts = append(p.hosts, c.Hosts...)
		if c.IssuedAt.After(issuedAt) {
			issuedAt = c.IssuedAt
		}
		if !c.ExpiresAt.IsZero() && (p.expiresAt.IsZero() || c.ExpiresAt.Before(p.expiresAt)) {
			p.expiresAt = c.ExpiresAt
		}
	}
	slices.Sort(p.hosts)
	p.document = document
	p.digest = digest(map[string][]byte{corev1.DockerConfigJsonKey: document})
	p.annotations = map[string]string{
		annotationIssuedAt:   stamp(issuedAt),
		annotationExpiresAt:  stamp(p.expiresAt),
		annotationRegistries: strings.Join(p.hosts, ","),
	}
	return p, problems
}

// usable returns the credentials that can stand beside each other. A host of
// two accounts stays with the first by key, so that it does not change hands
// from one renewal to the next.
func usable(states []broker.State) ([]credential.Credential, []error) {
	var all []credential.Credential
	var problems []error
	owner := map[string]string{}
	for _, state := range states {
		c := state.Credential
		if c.Username == "" {
			continue
		}
		if _, err := dockerconfig.PullSecret([]credential.Credential{c}, ""); err != nil {
			problems = append(problems, fmt.Errorf("account %s: %w", state.Key, err))
			continue
		}
		var hosts []string
		for _, host := range c.Hosts {
			if other, taken := owner[host]; taken {
				problems = append(problems, fmt.Errorf("account %s: %s is served by account %s already", state.Key, host, other))
				continue
			}
			owner[host] = state.Key
			hosts = append(hosts, host)
		}
		if c.Hosts = hosts; len(hosts) > 0 {
			all = append(all, c)
		}
	}
	return all, problems
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// same tells whether q would make every namespace look as p does.
func (p *plan) same(q *plan) bool {
	return q != nil && bytes.Equal(p.document, q.document) && maps.Equal(p.annotations, q.annotations) && p.selects(q)
}

// selects tells whether p and q select the same namespaces and ServiceAccounts.
func (p *plan) selects(q *plan) bool {
	return sameNames(p.settings.Namespaces, q.settings.Namespaces) &&
		sameNames(p.settings.ServiceAccounts, q.settings.ServiceAccounts)
}

func sameNames(a, b acrconfig.Names) bool { return a.All == b.All && slices.Equal(a.List, b.List) }

const (
	// firstPatience is how long the first plan waits, from the first valid
	// configuration, for accounts that have not answered yet: so each
	// namespace is written once at first, and a hanging account holds the
	// others up only this long.
	firstPatience = 5 * time.Second
	// planAgain is when the planner tries again what it could not write.
	planAgain = 2 * time.Second
)

// planAll makes a new plan whenever something has changed, until ctx ends.
func (c *Controller) planAll(ctx context.Context) {
	var patience <-chan time.Time // from the first valid configuration
	again := time.NewTimer(planAgain)
	defer again.Stop()
	waiting := true
	for {
		c.unfinished = false
		c.Plan(ctx, waiting)
		if patience == nil && c.settings != nil {
			timer := time.NewTimer(firstPatience)
			defer timer.Stop() // made once
			patience = timer.C
		}
		if c.unfinished {
			c.metrics.retries.Inc()
			again.Reset(planAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.dirty:
		case <-again.C:
		case <-patience:
			waiting = false
		}
	}
}

// Plan looks at the configuration, the access key and the credentials, and
// puts a new plan into force where one of them has changed. While waiting is
// true it makes no first plan before every account has been tried.
func (c *Controller) Plan(ctx context.Context, waiting bool) {
	if c.followAccessKey() {
		c.broker.Refresh()
	}
	c.configure(ctx)
	settings := c.settings
	if settings == nil {
		return
	}
	states := c.broker.States()
	c.report(states)
	old := c.plan.Load()
	if old == nil && waiting && !c.broker.Settled() {
		return
	}
	next, problems := newPlan(*settings, states)
	if err := errors.Join(problems...); err != nil {
		c.say("plan", c.configurationReference(), reasonInvalidConfiguration, err.Error())
	} else {
		c.unsay("plan")
	}
	if next.document == nil && old != nil {
		// Accounts that have nothing yet take nothing away from anyone.
		next.document, next.digest, next.annotations, next.hosts = old.document, old.digest, old.annotations, old.hosts
		next.expiresAt = old.expiresAt
	}
	c.inject(ctx, next)
	if next.same(old) {
		return
	}
	c.plan.Store(next)
	c.Log.Info("new plan", "registries", strings.Join(next.hosts, ","), "expires", stamp(next.expiresAt))
	c.enqueueAll(old, next)
}

// pace is how many namespaces a second a planned renewal writes. The API
// server takes ten times as many; it also has others to serve.
const pace = 50

// enqueueAll looks at every namespace again. A planned renewal has time: it is
// spread over at most a quarter of what the old credential still lives.
func (c *Controller) enqueueAll(old, next *plan) {
	all, err := c.caches.namespaces.List(labels.Everything())
	if err != nil {
		c.Log.Error("list the namespaces", "error", err)
		return
	}
	var spread time.Duration
	if old != nil && old.document != nil && old.selects(next) && slices.Equal(old.hosts, next.hosts) {
		left := max(old.expiresAt.Sub(c.Now()), 0)
		spread = min(time.Duration(len(all))*time.Second/pace, left/4)
	}
	for i, namespace := range all {
		c.queue.AddAfter(namespace.Name, spread/time.Duration(len(all))*time.Duration(i))
	}
}
