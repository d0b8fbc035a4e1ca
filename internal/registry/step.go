package registry

import "time"

// Kind names a step of the conversation.
type Kind string

// The kinds of steps.
const (
	KindPing     Kind = "ping"     // GET /v2/
	KindToken    Kind = "token"    // a request to the realm
	KindManifest Kind = "manifest" // of an image or an index
	KindBlob     Kind = "blob"     // a configuration or a layer
	KindTags     Kind = "tags"     // the tags of a repository
	KindRedirect Kind = "redirect" // the same request at another place
	KindServer   Kind = "server"   // an authorization server's metadata and grants
)

// Step is one request of the conversation, with what was decided before and
// after it. Nothing in a Step is secret, and what the registry said is
// stripped of control characters.
type Step struct {
	// Number counts from 1.
	Number int  `json:"number"`
	Kind   Kind `json:"kind"`
	// OAuth names the step as OAuth 2.0 does, with the section that defines it;
	// empty where it is none of OAuth's.
	OAuth string `json:"oauth,omitempty"`
	// Why holds what was decided before the request, in sentences.
	Why     []string `json:"why,omitempty"`
	Request Request  `json:"request"`
	// Answer is nil when none came.
	Answer *Answer `json:"answer,omitempty"`
	// Problem says why no answer came.
	Problem string `json:"problem,omitempty"`
	// Then holds what follows from the answer, in sentences.
	Then []string `json:"then,omitempty"`
}

// Request is what was sent, less what is secret.
type Request struct {
	Method string `json:"method"`
	// URL has its query, with values redacted unless they are known to be
	// harmless.
	URL string `json:"url"`
	// Headers are those that matter; Authorization shows its scheme and whom it
	// names.
	Headers []Field `json:"headers,omitempty"`
	// Form is the form that was posted, secrets redacted.
	Form []Field `json:"form,omitempty"`
}

// Answer is what came back, less what is secret.
type Answer struct {
	Status  int           `json:"status"`
	Took    time.Duration `json:"tookNanoseconds"`
	Headers []Field       `json:"headers,omitempty"`
	// Date is the server's time, zero where it does not tell; At is when it came.
	Date, At time.Time `json:"-"`
	// Body is the beginning of an error's body.
	Body string `json:"body,omitempty"`
}

// Field is a name and its value.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
