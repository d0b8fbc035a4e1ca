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

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/selection"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/internal/status"
)

// errMissing says that there is no configuration, where an invalid one is an
// error of the parser.
var errMissing = errors.New("is missing")

// configure reads the configuration and puts it into force when it is valid
// and new. Missing or invalid, it is reported, and what was in force stays so;
// after a start that is what was valid last.
func (c *Controller) configure(ctx context.Context) {
	const about = "configuration"
	settings, warnings, err := c.readConfiguration()
	if err != nil {
		if c.settings == nil && c.fallback != nil {
			c.enforce(ctx, *c.fallback)
		}
		reason := reasonInvalidConfiguration
		if errors.Is(err, errMissing) {
			reason = reasonNoConfiguration
		}
		c.configured = status.Configuration{Problem: withHints(err), InForce: inForceLastGood}
		if c.settings == nil {
			c.configured.InForce = inForceNothing
		}
		if reason != reasonNoConfiguration || !c.quiet {
			c.say(about, c.configurationReference(), reason, c.configured.Problem+": "+c.stays())
		}
		return
	}
	c.unsay(about)
	c.configured = status.Configuration{Valid: true, InForce: inForceConfiguration}
	for _, w := range warnings {
		c.say("configuration "+w.String(), c.configurationReference(), reasonConfigurationWarning, w.String())
	}
	c.reportWebhook(settings.Webhook)
	if c.settings == nil || !reflect.DeepEqual(*c.settings, settings) || c.enforcedAt != c.home().Name {
		c.enforce(ctx, settings)
		c.lastGoodKept = false
	}
}

// readConfiguration reads the ConfigMap. One without any value is no better
// than none: taken at its word it would be the vendor's defaults, and whoever
// emptied it would take the Secret from every other namespace.
func (c *Controller) readConfiguration() (acrconfig.Settings, []acrconfig.Warning, error) {
	found, err := c.caches.configuration.ConfigMaps(c.Configuration.Namespace).Get(c.Configuration.Name)
	if err != nil {
		return acrconfig.Settings{}, nil, fmt.Errorf("ConfigMap %s %w", c.Configuration, errMissing)
	}
	empty := true
	for _, value := range found.Data {
		empty = empty && strings.TrimSpace(value) == ""
	}
	if empty {
		return acrconfig.Settings{}, nil, fmt.Errorf("ConfigMap %s has no value, so the configuration %w", c.Configuration, errMissing)
	}
	return acrconfig.Parse(found.Data, acrconfig.Defaults{Region: c.home().Name})
}

// choose reads pullkey's own configuration and puts it into force when it is valid.
// Missing or invalid, what was in force stays so: to go back to choosing nothing
// there is an empty ConfigMap. It tells whether anything is in force: what was
// never valid may exclude what acr-configuration names, so that nothing is done.
func (c *Controller) choose() bool {
	const about = "selection"
	object := &corev1.ObjectReference{Kind: "ConfigMap", APIVersion: "v1", Namespace: c.Namespace, Name: selection.Name}
	found, err := c.caches.own.ConfigMaps(c.Namespace).Get(selection.Name)
	if err != nil && c.choiceLost {
		c.mistaken(about, object, "is missing, and what was in force before cannot be read", inForceNothing, "make an empty one to choose nothing beyond acr-configuration")
		return false
	}
	if err != nil {
		if len(c.chosen) > 0 {
			c.mistaken(about, object, "is missing", inForceLastGood, "make an empty one to choose nothing beyond acr-configuration")
		}
		return true
	}
	s, err := selection.Parse(found.Data)
	if err != nil {
		began := c.plan.Load() != nil || c.fallback != nil
		inForce := inForceLastGood
		if !began {
			inForce = inForceNothing
		}
		c.mistaken(about, object, err.Error(), inForce, hint(err))
		return began
	}
	c.unsay(about)
	c.selection, c.choiceLost = s, false
	if !maps.Equal(c.chosen, found.Data) {
		c.chosen, c.lastGoodKept = found.Data, false
	}
	return true
}

// mistaken tells that pullkey's own configuration is not as it should be.
func (c *Controller) mistaken(about string, object *corev1.ObjectReference, what, inForce, remedy string) {
	problem := fmt.Sprintf("ConfigMap %s/%s: %s", object.Namespace, object.Name, what)
	if c.configured.Valid {
		c.configured = status.Configuration{Problem: problem, Hint: remedy, InForce: inForce}
	} else {
		c.configured.Problem += "; " + problem + " (hint: " + remedy + ")"
	}
	stays := "its last valid values stay in force"
	if inForce == inForceNothing {
		stays = "nothing is done until it can be read"
	}
	c.say(about, object, reasonInvalidConfiguration, problem+": "+stays+"; hint: "+remedy)
}

// withHints is the text of the parser's errors, each with its remedy.
func withHints(err error) string {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	texts := make([]string, len(all))
	for i, e := range all {
		texts[i] = e.Error()
		if problem, ok := errors.AsType[*acrconfig.Error](e); ok && problem.Hint != "" {
			texts[i] += " (hint: " + problem.Hint + ")"
		}
	}
	return strings.Join(texts, "; ")
}

func (c *Controller) stays() string {
	if c.settings == nil {
		return "nothing is done"
	}
	return "the last valid configuration stays in force"
}

func (c *Controller) enforce(ctx context.Context, s acrconfig.Settings) {
	c.settings, c.enforcedAt = &s, c.home().Name
	old := map[string]*source.Account{}
	for _, a := range c.accounts {
		old[a.Key()] = a
	}
	c.accounts = c.Cloud.Accounts(s, c.home().Name)
	c.bequeath(old)
	var sources []broker.Source
	for i, a := range c.accounts {
		// The broker keeps the one that asks for the same, and so do we: it knows
		// who it is.
		if known := old[a.Key()]; known != nil && known.Equal(a) {
			known.Namespaces = a.Namespaces
			c.accounts[i] = known
		}
		sources = append(sources, c.accounts[i])
	}
	for key := range old {
		if !slices.ContainsFunc(c.accounts, func(a *source.Account) bool { return a.Key() == key }) {
			c.forgetAccount(key)
		}
	}
	c.broker.Set(ctx, sources, s.ExpiringThreshold)
	go c.look(ctx, slices.Clone(c.accounts))
}

// bequeath notes what accounts had whose identity is another now, and with it their
// key, for those that take their place: a key that is renamed or mistyped must not
// take a working credential out of Secrets.
func (c *Controller) bequeath(old map[string]*source.Account) {
	had := map[string]credential.Credential{}
	maps.Copy(had, c.bequeathed)
	for _, s := range c.states() {
		if s.Usable() {
			had[s.Key] = s.Credential
		}
	}
	heirs := map[string]credential.Credential{}
	for _, a := range c.accounts {
		if what, waits := c.bequeathed[a.Key()]; waits && old[a.Key()] != nil {
			heirs[a.Key()] = what
		}
		for _, key := range slices.Sorted(maps.Keys(old)) {
			if what, ok := had[key]; ok && old[a.Key()] == nil && a.Succeeds(old[key]) {
				heirs[a.Key()] = what
			}
		}
	}
	c.bequeathed = heirs
}

// inherited are the states, in which those that have never had a credential have
// what was bequeathed to them.
func (c *Controller) inherited(states []broker.State) []broker.State {
	for i, s := range states {
		if what, ok := c.bequeathed[s.Key]; ok && s.Credential.Username == "" {
			states[i].Credential = what
		} else {
			delete(c.bequeathed, s.Key)
		}
	}
	return states
}

func (c *Controller) configurationReference() *corev1.ObjectReference {
	ref := &corev1.ObjectReference{
		Kind: "ConfigMap", APIVersion: "v1", Namespace: c.Configuration.Namespace, Name: c.Configuration.Name,
	}
	if found, err := c.caches.configuration.ConfigMaps(ref.Namespace).Get(ref.Name); err == nil {
		ref.UID, ref.ResourceVersion = found.UID, found.ResourceVersion
	}
	return ref
}

// forgetAccount forgets what was said about an account that is gone, so that it
// is said again should it come back.
func (c *Controller) forgetAccount(key string) {
	for _, about := range []string{"account ", "dropped ", "borrowed ", "unlisted "} {
		c.unsay(about + key)
	}
	delete(c.who, key)
	delete(c.trouble, key)
}

// lookTimeout bounds how long the metadata service is waited for.
const lookTimeout = 10 * time.Second

// look finds out who the accounts are that begin with a stored credential.
func (c *Controller) look(ctx context.Context, accounts []*source.Account) {
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, a := range accounts {
		a.Look(limited)
	}
	c.replan()
}

// limits returns the namespaces of the accounts that are limited to some.
func (c *Controller) limits() map[string][]string {
	only := map[string][]string{}
	for _, a := range c.accounts {
		if len(a.Namespaces) > 0 {
			only[a.Key()] = a.Namespaces
		}
	}
	return only
}
