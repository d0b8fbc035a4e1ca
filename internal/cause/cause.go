// Package cause is the registry of causes: why an image does not pull, each
// under a code that is a word and never changes its meaning.
//
// Its one rule: what is said of a cause stands here once. The pages of
// docs/reference/causes, `pullkey explain CODE` and the codes of the JSON are
// made from it.
package cause

import (
	"slices"
	"strings"
)

// Code names a cause for good: PULL-LINK-CAUSE.
type Code string

// Link is a link of the chain from the name of an image to a running container.
type Link string

// The links, in the order in which a pull goes through them.
const (
	Reference       Link = "reference"
	Admission       Link = "admission"
	ServiceAccount  Link = "serviceAccount"
	PodSecrets      Link = "podSecrets"
	SecretContent   Link = "secretContent"
	Keyring         Link = "keyring"
	NodeCredentials Link = "nodeCredentials"
	ImageCache      Link = "imageCache"
	Sandbox         Link = "sandbox"
	Network         Link = "network"
	TLS             Link = "tls"
	Challenge       Link = "challenge"
	Token           Link = "token"
	Scope           Link = "scope"
	Manifest        Link = "manifest"
	Platform        Link = "platform"
	Layers          Link = "layers"
	Disk            Link = "disk"
	Verification    Link = "verification"
)

// Links returns the links in the order of a pull.
func Links() []Link {
	return []Link{
		Reference, Admission, ServiceAccount, PodSecrets, SecretContent, Keyring, NodeCredentials, ImageCache, Sandbox,
		Network, TLS, Challenge, Token, Scope, Manifest, Platform, Layers, Disk, Verification,
	}
}

// Vantage is from where something is seen.
type Vantage string

// The vantages; each needs more than the one before.
const (
	API    Vantage = "api"    // objects of the API server, or a file of them
	Client Vantage = "client" // and requests to the registry from where pullkey runs
	Node   Vantage = "node"   // and requests or files of the node
)

// Certainty is how much a finding claims.
type Certainty string

// The certainties.
const (
	Proven   Certainty = "proven"
	Strong   Certainty = "strong"
	Possible Certainty = "possible"
)

// Cause is one reason why an image does not pull. In its texts stand paragraphs
// with an empty line between them, lists and fenced blocks of commands; capitals
// as NAMESPACE are for the reader to fill in.
type Cause struct {
	Code    Code      `json:"code"`
	Link    Link      `json:"link"`              // where the chain breaks
	Title   string    `json:"title"`             // one sentence without names of objects and without full stop
	Vantage Vantage   `json:"vantage"`           // the least from which it is decided
	Most    Certainty `json:"most"`              // the most that can be claimed from there
	See     []Said    `json:"see"`               // what a user sees
	Means   string    `json:"means"`             // what has happened
	Proof   string    `json:"proof"`             // how pullkey tells, and whose rule that is
	Fix     string    `json:"fix"`               // what mends it
	Check   string    `json:"check,omitempty"`   // how to see that it is mended
	Similar []Similar `json:"similar,omitempty"` // what looks alike
	Reads   []string  `json:"reads,omitempty"`   // the resources without which it cannot be decided
}

// Said is a text that a user sees, with placeholders as <HOST>, and who says
// it. Without Who it is a sentence on why there is no such text.
type Said struct {
	Who  string `json:"who,omitempty"`
	Text string `json:"text"`
}

// Similar is a cause that looks alike, and how it differs.
type Similar struct {
	Code Code   `json:"code"`
	How  string `json:"how"`
}

// All returns every cause in the order of the catalogue.
func All() []Cause {
	return slices.Concat(references(), accounts(), secrets(), keys(), nodes(), networks(), fronts(), authentication(), contents())
}

// Find returns the cause of a code, which may be written in small letters and
// without its "PULL-".
func Find(code string) (Cause, bool) {
	const prefix = "PULL-"
	want := Code(prefix + strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(code)), prefix))
	all := All()
	i := slices.IndexFunc(all, func(c Cause) bool { return c.Code == want })
	if i < 0 {
		return Cause{}, false
	}
	return all[i], true
}
