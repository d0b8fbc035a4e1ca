// Package runtimeerror reads what a container runtime says of a failed pull: who speaks, how far
// the pull came, what is meant, and what that proves.
//
// Its one rule: words count where the runtime puts them. A registry can have its own words printed
// after them, so nothing is looked for in the middle of a text: what is known is taken off from the
// left, layer by layer, and what is left is judged by how it begins.
package runtimeerror

import "strings"

// Unknown stands for what the text does not tell: a Runtime, a Stage, a Kind or a Known.
const Unknown = "unknown"

// Report is one text, read.
type Report struct {
	Runtime Runtime `json:"runtime"`
	// Image is the name as the runtime writes it, or kubelet where kubelet alone speaks; or empty.
	Image string `json:"image,omitempty"`
	// Errors holds one error per login that kubelet tried, in order; at least one. kubelet says
	// equal errors once, so one error does not mean one login.
	Errors []Error `json:"errors"`
}

// Error is one attempt to pull.
type Error struct {
	// Text is this error alone, without kubelet's and gRPC's words before it.
	Text  string `json:"text"`
	Stage Stage  `json:"stage"`
	Kind  Kind   `json:"kind"`
	// LoginSent tells whether a password that is not empty reached the runtime.
	LoginSent Known `json:"loginSent"`
	// Host is who answered, or did not, where the text names one.
	Host string `json:"host,omitempty"`
	// Mirror is the registry that Host stands in for, where it does.
	Mirror string `json:"mirror,omitempty"`
	// Status is that of HTTP, 0 for none.
	Status int `json:"status,omitempty"`
	// Realm tells that Host is the token server rather than the registry.
	Realm bool `json:"realm,omitempty"`
	// Proxy tells that it is a proxy on the way that did not answer, or refused.
	Proxy bool `json:"proxy,omitempty"`
	// Behind is the host that was to be reached through the proxy, where the text names it.
	Behind string `json:"behind,omitempty"`
	// Because is what stands in the way where Kind is TokenUnreachable: DNS, Refused, TLSUnknownCA, …
	Because Kind `json:"because,omitempty"`
}

// Runtime is who speaks.
type Runtime string

// The runtimes that can be told apart by their words.
const (
	// ContainerdTransfer is containerd from 2.1 on, by its transfer service.
	ContainerdTransfer Runtime = "containerdTransfer"
	// Containerd is containerd 1.x, or 2.x where old settings make it pull in the old way.
	Containerd Runtime = "containerd"
	CRIO       Runtime = "crio"
	Docker     Runtime = "docker"
	// Kubelet speaks itself: the runtime was not asked.
	Kubelet Runtime = "kubelet"
)

// Stage is how far the pull came.
type Stage string

// The stages, in the order of a pull.
const (
	// Select is kubelet's, before any pull: the name, the policy, the Secrets.
	Select Stage = "select"
	// Resolve is the first request: what the name stands for.
	Resolve Stage = "resolve"
	// Authorize is the answer to the registry's challenge.
	Authorize Stage = "authorize"
	// Manifest is reading what the name stands for, and choosing from it.
	Manifest Stage = "manifest"
	// Verify is a judgement on signatures, before any content.
	Verify Stage = "verify"
	// Blob is the content; the manifest was had.
	Blob Stage = "blob"
	// Unpack is writing the content into a file system.
	Unpack Stage = "unpack"
	// Sandbox is the runtime's own image, for which no Secret of a pod is used.
	Sandbox Stage = "sandbox"
)

// Known is yes, no, or Unknown.
type Known string

// What can be known.
const (
	Yes Known = "yes"
	No  Known = "no"
)

// Bounds for texts that nobody means: containerd keeps 64,000 bytes of a registry's answer.
const (
	maxText   = 1 << 16
	maxErrors = 32
)

// Read reads the message of a waiting container, of an Event or of a CRI error, with or without what
// kubelet and gRPC put before it, or a reason alone.
func Read(text string) Report {
	if len(text) > maxText {
		text = text[:maxText]
	}
	named, texts := separate(text)
	report := Report{Runtime: Unknown}
	for _, text := range texts {
		r := read(text)
		report.Errors = append(report.Errors, r.err)
		if report.Runtime == Unknown {
			report.Runtime = r.runtime
		}
		if report.Image == "" {
			report.Image = r.image
		}
	}
	if report.Image == "" && report.Runtime == Kubelet {
		report.Image = named
	}
	return report
}

// reading is an error of which a part is read.
type reading struct {
	rest    string
	runtime Runtime
	image   string
	scheme  string // of the URL that was asked last
	looked  int    // from the right, how often
	sandbox bool
	atBest  Kind // what the layers prove where the rest says nothing
	err     Error
}

func read(text string) *reading {
	r := &reading{rest: text, runtime: Unknown, atBest: Unknown, err: Error{Text: text, Stage: Unknown, LoginSent: Unknown}}
	for table := layers(); r.layer(table); {
		_, r.rest = unwrap(r.rest)
	}
	// Whatever follows on other lines is a registry's.
	r.rest, _, _ = strings.Cut(r.rest, "\n")
	r.judge()
	if r.err.Kind == "" {
		r.err.Kind = r.atBest
	}
	if r.sandbox {
		r.err.Stage = Sandbox
	}
	return r
}
