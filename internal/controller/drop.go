package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/selection"
)

// lastGoodBefore is the key of pullkey-last-good with the choices that were in
// force before and whose entries may still stand.
const lastGoodBefore = "before.json"

// choice is what was chosen, as far as entries of ServiceAccounts go.
type choice struct {
	Namespaces, ServiceAccounts acrconfig.Names
	// Own is pullkey's own ConfigMap, as it was written.
	Own map[string]string
	// own is Own as it was understood.
	own selection.Selection
}

// same tells whether both choose the same ServiceAccounts.
func (a choice) same(b choice) bool {
	return sameNames(a.ServiceAccounts, b.ServiceAccounts) && a.own.NoServiceAccounts == b.own.NoServiceAccounts &&
		slices.Equal(a.own.ServiceAccounts.Names, b.own.ServiceAccounts.Names)
}

// chooser evaluates it.
func (a choice) chooser() *footprint.Choice {
	return &footprint.Choice{Settings: acrconfig.Settings{Namespaces: a.Namespaces, ServiceAccounts: a.ServiceAccounts}, Selection: a.own}
}

// attached tells whether pullkey put its entry into the ServiceAccount. Where it
// has no right on ServiceAccounts, it did not.
func (a choice) attached(account string) bool {
	return !a.own.NoServiceAccounts && a.chooser().Attaches(account)
}

// choiceOf is that of the settings in force.
func (c *Controller) choiceOf() choice {
	return choice{c.settings.Namespaces, c.settings.ServiceAccounts, c.chosen, c.selection}
}

// keepEntries names our Secret in the ServiceAccounts that are chosen, and takes
// the name from those that were and are not any more, once. All others are left
// alone: nothing on a ServiceAccount tells who put an entry there.
func (c *Controller) keepEntries(ctx context.Context, namespace string, plan *plan) error {
	before := c.dropped.in(namespace)
	err := c.eachServiceAccount(namespace, plan, func(sa *corev1.ServiceAccount) error {
		switch {
		case plan.attaches(sa.Name):
			return c.keepEntry(ctx, sa, true)
		case slices.ContainsFunc(before, func(b choice) bool { return b.attached(sa.Name) }):
			return c.keepEntry(ctx, sa, false)
		}
		return nil
	})
	// A plan that is not in force any more looked for its own choice.
	if err == nil && len(before) > 0 && !plan.selection.NoServiceAccounts && c.plan.Load() == plan {
		c.dropDone(namespace, len(before))
	}
	return err
}

// dropDone notes that the first so many choices were looked at in the namespace.
func (c *Controller) dropDone(namespace string, first int) {
	if c.dropped.done(namespace, first) {
		c.replan() // what is remembered in the cluster can go
	}
}

// allOf is the number of choices that a namespace has at most.
const allOf = math.MaxInt

// drops are the choices that were in force before, by the namespaces whose
// ServiceAccounts are still to be looked at for them.
type drops struct {
	mu sync.Mutex
	of map[string][]choice
}

func (d *drops) add(namespace string, before choice) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[string][]choice{}
	}
	d.of[namespace] = append(d.of[namespace], before)
}

func (d *drops) in(namespace string) []choice {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.of[namespace])
}

// done drops the first so many choices of the namespace. It tells whether those
// were the last of all namespaces.
func (d *drops) done(namespace string, first int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	left, known := d.of[namespace]
	if left = left[min(first, len(left)):]; len(left) > 0 {
		d.of[namespace] = left
		return false
	}
	delete(d.of, namespace)
	return known && len(d.of) == 0
}

func (d *drops) none() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.of) == 0
}

// noteChoice remembers the choice that was in force where another takes its place,
// and forgets those whose entries are gone. What is remembered is kept with the
// settings, by the same write, so that a crash in between loses nothing.
func (c *Controller) noteChoice() {
	now := c.choiceOf()
	if c.taken == len(c.before) && c.taken > 0 && c.dropped.none() {
		c.before, c.taken, c.lastGoodKept = nil, 0, false
	}
	was := c.choice
	c.choice = &now
	if was == nil || was.same(now) {
		return
	}
	if !slices.ContainsFunc(c.before[c.taken:], was.same) {
		c.before = append(c.before, *was)
	}
	c.lastGoodKept = false
}

// dropEntries has the ServiceAccounts looked at that were chosen before.
func (c *Controller) dropEntries() {
	for ; c.taken < len(c.before); c.taken++ {
		before := c.before[c.taken].chooser()
		for namespace := range c.caches.namespaces.all() {
			if before.Watches(namespace.Name, namespace.Labels) {
				c.dropped.add(namespace.Name, c.before[c.taken])
			}
		}
	}
	if len(c.before) > 0 && c.dropped.none() {
		c.replan() // there is nothing to look at, and so nothing to remember
	}
}

func encodeChoices(before []choice) (string, error) {
	body, err := json.Marshal(before)
	if err != nil {
		return "", fmt.Errorf("encode what was chosen before: %w", err)
	}
	return string(body), nil
}

// decodeChoices reads what encodeChoices wrote; without it there are none.
func decodeChoices(data map[string]string) ([]choice, error) {
	text, kept := data[lastGoodBefore]
	if !kept {
		return nil, nil
	}
	var before []choice
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		return nil, errors.New(lastGoodBefore + " is no such JSON")
	}
	for i, b := range before {
		if !sound(b.Namespaces) || !sound(b.ServiceAccounts) {
			return nil, errors.New(lastGoodBefore + ": the names are not sorted, or there are none")
		}
		var err error
		if before[i].own, err = selection.Parse(b.Own); err != nil {
			return nil, fmt.Errorf("%s: %w", lastGoodBefore, err)
		}
	}
	return before, nil
}
