// Package status is what the controller last knew of its accounts, as a value:
// the controller writes it into a ConfigMap, the command line reads it.
//
// Its one rule: it holds no secret, and nothing that only the clock changes, so
// that it is written on change alone.
package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The ConfigMap that holds the status, in pullkey's own namespace.
const (
	Name = "pullkey-status"
	Key  = "status.json"
)

// Version is that of the form of the document. A new field does not change it.
const Version = "v1"

// Status is the whole.
type Status struct {
	Version   string    `json:"version"`
	WrittenAt time.Time `json:"writtenAt"`
	// Controller is the version of the program that wrote it.
	Controller    string        `json:"controller"`
	Region        Region        `json:"region"`
	Configuration Configuration `json:"configuration"`
	Injection     Injection     `json:"injection,omitzero"`
	// Namespaces are how many are watched.
	Namespaces int `json:"namespaces"`
	// Leaving are how many are not watched any more and keep the pull Secret until
	// no pod names it; Refused, in how many the API server refuses what is written.
	Leaving int `json:"leaving,omitempty"`
	Refused int `json:"refused,omitempty"`
	// HandedBack tells that all pull Secrets are left to others.
	HandedBack bool      `json:"handedBack,omitempty"`
	Others     Others    `json:"others,omitzero"`
	Accounts   []Account `json:"accounts"`
}

// Others are who else writes Secrets of the pull Secret's name; zero for nobody.
type Others struct {
	// Helper names the Deployment of the vendor's helper, where it runs.
	Helper string `json:"helper,omitempty"`
	// Writers are the field managers of such Secrets that are not the controller's.
	Writers []string `json:"writers,omitempty"`
	// Foreign are in how many watched namespaces such a Secret is left alone.
	Foreign int `json:"foreign,omitempty"`
}

// IsZero tells that there is nobody.
func (o Others) IsZero() bool { return o.Helper == "" && len(o.Writers) == 0 && o.Foreign == 0 }

// Region is that of the cluster, and how it is known: "setting", "node label",
// "metadata", or empty while it is not known.
type Region struct {
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"`
}

// Configuration tells whether what stands in acr-configuration is in force.
type Configuration struct {
	Valid bool `json:"valid"`
	// Problem says why not, with the remedy, and InForce what is in its place.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// InForce is "configuration", "last good" or "nothing".
	InForce string `json:"inForce"`
}

// Injection tells whether pods are born with the name of the pull Secret.
type Injection struct {
	State InjectionState `json:"state,omitempty"`
	// By is who injects, "policy" or "webhook"; empty while nobody does.
	By string `json:"by,omitempty"`
	// Problem says what was found instead, with the remedy in Hint.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// InjectionState is what was found, in a word; empty while nobody has looked.
type InjectionState string

// What can be found.
const (
	InjectionActive   InjectionState = "active"
	InjectionInactive InjectionState = "inactive"
	InjectionUnknown  InjectionState = "unknown"
	InjectionOff      InjectionState = "off"
)

// Who injects.
const (
	ByPolicy  = "policy"
	ByWebhook = "webhook"
)

// State is how an account is, in a word.
type State string

// The states of an account, from good to bad.
const (
	// Fresh: the last attempt brought the credential in use.
	Fresh State = "fresh"
	// Degraded: the credential in use lives, and could not be renewed.
	Degraded State = "degraded"
	// Expired: its end is past; the registry has not refused it so far.
	Expired State = "expired"
	// Refused: the registry's token server refuses it.
	Refused State = "refused"
	// Missing: there never was one.
	Missing State = "missing"
)

// Account is one registry account.
type Account struct {
	// Key names it among the others.
	Key      string   `json:"key"`
	Identity Identity `json:"identity"`
	// Instance is empty for the Personal Edition.
	Instance string `json:"instance,omitempty"`
	Region   string `json:"region"`
	State    State  `json:"state"`
	// Hosts are those that the credential in use is for.
	Hosts     []string  `json:"hosts,omitempty"`
	IssuedAt  time.Time `json:"issuedAt,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// NextAttempt is when the next credential is asked for.
	NextAttempt time.Time `json:"nextAttempt,omitzero"`
	// Verified is what the registry's token server said of the credential in use:
	// "accepted", "unreachable" (from here), or empty when it was not asked.
	Verified string `json:"verified,omitempty"`
	Error    *Error `json:"error,omitempty"`
	// Unlisted is why the cloud does not list the instance's domains; empty when
	// it does, or need not. The hosts that were known go on.
	Unlisted string `json:"unlisted,omitempty"`
	// OnlyNamespaces limit who gets the credential; none means every watched one.
	OnlyNamespaces []string `json:"onlyNamespaces,omitempty"`
	// Namespaces are how many get it.
	Namespaces int `json:"namespaces"`
}

// Identity is in whose name the cloud is asked.
type Identity struct {
	// Kind is access-key, custom-access-key, ecs-role, rrsa or token-file; empty
	// while none is known.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Why says why it was picked.
	Why string `json:"why,omitempty"`
	// Borrowed tells that it belongs to somebody else and may end with them.
	Borrowed bool `json:"borrowed,omitempty"`
	// ClockSkew is how far our clock is ahead of the cloud's, in seconds, where it
	// is far enough to matter.
	ClockSkew int `json:"clockSkewSeconds,omitempty"`
}

// Error is why the last attempt brought nothing.
type Error struct {
	// Since is when the first of the attempts in a row went wrong.
	Since   time.Time `json:"since"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// Encode writes the status as it stands in the ConfigMap.
func (s Status) Encode() (string, error) {
	s.Version = Version
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the status: %w", err)
	}
	return string(text), nil
}

// Decode reads what Encode wrote, now or in another version of the program.
func Decode(text string) (Status, error) {
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Status{}, fmt.Errorf("read the status: %w", err)
	}
	if s.Version != Version {
		return Status{}, errors.New("read the status: its form is " + s.Version + ", and this program knows " + Version)
	}
	return s, nil
}
