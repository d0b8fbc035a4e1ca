package footprint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Act is what becomes of the Secret of our name in a namespace, in a word.
type Act string

// What there is.
const (
	// Nothing: the namespace is not watched, and nothing of pullkey's stands there.
	Nothing Act = "nothing"
	// Create: there is none, and pullkey makes it.
	Create Act = "create"
	// Keep: it is pullkey's own, and is kept up to date.
	Keep Act = "keep"
	// Adopt: it is somebody else's, and is taken over.
	Adopt Act = "adopt"
	// LeaveAlone: pullkey must not or cannot write it, and writes nothing else in
	// that namespace either.
	LeaveAlone Act = "leave"
	// Remove: it is pullkey's own, and the namespace is not served any more.
	Remove Act = "remove"
	// HandBack: it is pullkey's own, and is left to others as it is.
	HandBack Act = "handBack"
)

// Found is what stands in a namespace. Nothing of a Secret counts but its
// metadata, its type, and whether it is immutable.
type Found struct {
	Namespace   string
	Labels      map[string]string
	Terminating bool
	Secret      *corev1.Secret // of our name; nil for none
	Accounts    []Account
}

// Account is a ServiceAccount.
type Account struct {
	Name string
	// Named tells that its list names the Secret.
	Named bool
}

// Decision is what pullkey does in a namespace.
type Decision struct {
	Namespace string `json:"namespace"`
	Act       Act    `json:"act"`
	// Why the Secret is left alone, or, where it is not ours, what is taken over.
	Why string `json:"why,omitempty"`
	// Writers are the field managers that have written a Secret that is not ours.
	Writers []string `json:"writers,omitempty"`
	// Adoptable tells that what is left alone would be taken over with adopt.
	Adoptable bool `json:"adoptable,omitempty"`
	// Attach are the ServiceAccounts that get the Secret's name, Detach those that
	// lose it.
	Attach []string `json:"attach,omitempty"`
	Detach []string `json:"detach,omitempty"`
	// Terminating tells that the namespace is going away: nothing is done there.
	Terminating bool `json:"terminating,omitempty"`
	// Watched tells that the namespace is chosen, served or not.
	Watched bool `json:"watched"`
}

// Takes tells what becomes of a Secret of our name in a namespace that is
// served, and why where it is not ours; nil for no Secret.
func Takes(secret *corev1.Secret, adopt bool) (Act, string) {
	if secret == nil {
		return Create, ""
	}
	strange, unfit := Strange(secret), Unfit(secret)
	switch {
	case strange != "" && !adopt:
		return LeaveAlone, strange
	case unfit != "":
		return LeaveAlone, unfit
	case strange != "":
		return Adopt, strange
	}
	return Keep, ""
}

// Decide tells what pullkey does in a namespace, once it has a credential for it.
func (c *Choice) Decide(f Found) Decision {
	d := Decision{Namespace: f.Namespace, Act: Nothing, Watched: c.Watches(f.Namespace, f.Labels), Terminating: f.Terminating}
	standing := f.Secret != nil && Ours(f.Secret) && f.Secret.DeletionTimestamp == nil
	switch {
	case f.Terminating:
		return d
	case c.Selection.HandBack:
		if standing {
			d.Act = HandBack
		}
		return d
	}
	if d.Watched && c.Serves(f.Namespace) {
		d.Act, d.Why = Takes(f.Secret, c.Selection.Adopt)
	} else if standing {
		d.Act = Remove
	}
	if d.Why != "" {
		with, _ := Takes(f.Secret, true)
		d.Writers, d.Adoptable = writers(f.Secret), d.Act != with && with == Adopt
	}
	return c.decideAccounts(f, d)
}

// decideAccounts tells whose lists change.
func (c *Choice) decideAccounts(f Found, d Decision) Decision {
	if c.Selection.NoServiceAccounts {
		return d
	}
	for _, account := range f.Accounts {
		switch {
		case d.serves() && c.Attaches(account.Name) && !account.Named:
			d.Attach = append(d.Attach, account.Name)
		case account.Named && c.takes(&f, &d, account):
			d.Detach = append(d.Detach, account.Name)
		}
	}
	return d
}

// serves tells whether the namespace has pullkey's Secret, or gets it.
func (d *Decision) serves() bool { return d.Act == Create || d.Act == Keep || d.Act == Adopt }

// takes tells whether one that names the Secret loses the name.
func (c *Choice) takes(f *Found, d *Decision, account Account) bool {
	if d.serves() {
		return !c.Attaches(account.Name) && c.Before.attached(f, account.Name)
	}
	return d.Act == Remove && f.Secret.Annotations[AnnotationKept] == ""
}

// attached tells whether pullkey has put the name into a ServiceAccount, as far as the
// choice goes: nothing on a ServiceAccount tells who did.
func (c *Choice) attached(f *Found, account string) bool {
	return c != nil && !c.Selection.NoServiceAccounts && c.Watches(f.Namespace, f.Labels) && c.Attaches(account)
}

// writers are the field managers of an object, each once.
func writers(s *corev1.Secret) []string {
	var names []string
	for _, m := range s.ManagedFields {
		names = append(names, m.Manager)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
