// Package explain walks the chain of a pull, from the name of the image to the
// runtime's words, and names the first broken link that accounts for what was seen.
//
// Its one rule: a diagnosis is a value made of objects alone. It asks nobody, and
// what was not read is unknown: neither good nor broken.
package explain

import (
	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// The form of a diagnosis, as its documents name it.
const (
	APIVersion = "diagnosis/v1"
	Kind       = "PullDiagnosis"
)

// Diagnosis is what is to be said of one image of a pod.
type Diagnosis struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Target     Target    `json:"target"`
	Observed   *Observed `json:"observed,omitempty"` // nil where nothing is wrong, or nothing was seen
	Verdict    Verdict   `json:"verdict"`
	Steps      []Step    `json:"steps"`
	// Logins are the entries of the pod's Secrets, in kubelet's order.
	Logins []Login `json:"logins,omitempty"`
	// Tried is what the registry answered to logins, where it was asked.
	Tried []Tried `json:"tried,omitempty"`
	// View is what the node sees, where it was asked.
	View        *View     `json:"view,omitempty"`
	AlsoNoticed []Finding `json:"alsoNoticed,omitempty"`
	// Timeline is who wrote what of the chain, and when, oldest first, where the pull fails.
	Timeline   []Moment     `json:"timeline,omitempty"`
	NotChecked []NotChecked `json:"notChecked,omitempty"`
}

// Target is whose image it is.
type Target struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Workload is what makes the pods ("replicaset/web-7c9d"), where none is made.
	Workload  string `json:"workload,omitempty"`
	Container string `json:"container,omitempty"`
	// ContainerKind is container, init, ephemeral or imageVolume.
	ContainerKind  string `json:"containerKind,omitempty"`
	Image          string `json:"image"`
	Resolved       string `json:"resolved,omitempty"` // the name in full
	ServiceAccount string `json:"serviceAccount,omitempty"`
	Node           string `json:"node,omitempty"`
}

// Observed is what kubelet says of the pull.
type Observed struct {
	Reason  string              `json:"reason"`
	Message string              `json:"message,omitempty"`
	From    string              `json:"from"` // status or event
	Read    runtimeerror.Report `json:"read"`
}

// Status is how a pull stands, in a word.
type Status string

// What there is.
const (
	// OK: the image is there, or nothing speaks against a pull.
	OK Status = "ok"
	// Broken: a cause was found.
	Broken Status = "broken"
	// Inconclusive: it fails, and nothing that was read accounts for it.
	Inconclusive Status = "inconclusive"
	// Waiting: what was wrong is mended, and kubelet tries again later.
	Waiting Status = "waiting"
)

// Verdict is the answer.
type Verdict struct {
	Status  Status `json:"status"`
	Finding        // the cause; without a code where there is none
	// Alternatives are the causes that fit as well: what was seen does not tell them apart.
	Alternatives []Finding `json:"alternatives,omitempty"`
}

// Finding is a cause in these objects.
type Finding struct {
	Code      cause.Code      `json:"code,omitempty"`
	Certainty cause.Certainty `json:"certainty,omitempty"`
	Link      cause.Link      `json:"link,omitempty"`
	// Sentence says it with the names of the objects.
	Sentence string `json:"sentence"`
	// Evidence are the objects and values that show it.
	Evidence []string `json:"evidence,omitempty"`
	// Compare are two texts that should be alike.
	Compare *Compare `json:"compare,omitempty"`
	Fixes   []Fix    `json:"fixes,omitempty"`
}

// Compare holds two texts one above the other.
type Compare struct {
	ImageIs string `json:"image"`
	KeyIs   string `json:"key"`
	Of      string `json:"of"` // where the key stands
}

// Differing cuts two texts into what both begin with, what differs, and what both end with.
func Differing(a, b string) (x, y [3]string) {
	one, other := []rune(a), []rune(b)
	from := 0
	for from < len(one) && from < len(other) && one[from] == other[from] {
		from++
	}
	same := 0
	for same < len(one)-from && same < len(other)-from && one[len(one)-1-same] == other[len(other)-1-same] {
		same++
	}
	cut := func(line []rune) [3]string {
		return [3]string{string(line[:from]), string(line[from : len(line)-same]), string(line[len(line)-same:])}
	}
	return cut(one), cut(other)
}

// Fix is a way to mend it.
type Fix struct {
	Title string `json:"title"`
	// Command is for a shell, with every name from the cluster quoted; empty where
	// no command can do it.
	Command string `json:"command,omitempty"`
}

// StepStatus is what became of a link.
type StepStatus string

// What there is.
const (
	Pass    StepStatus = "pass"
	Fail    StepStatus = "fail"
	Warn    StepStatus = "warn"
	Skip    StepStatus = "skip"    // not looked at, since the chain is broken before
	Unknown StepStatus = "unknown" // could not be looked at
)

// Said is the last link: what the runtime said, or kubelet for it.
const Said cause.Link = "runtime"

// Step is one link, looked at.
type Step struct {
	Link    cause.Link    `json:"link"`
	Status  StepStatus    `json:"status"`
	Vantage cause.Vantage `json:"vantage"`
	Summary string        `json:"summary"`
	Code    cause.Code    `json:"code,omitempty"`
}

// Login is an entry of a pull Secret beside the image.
type Login struct {
	Order    int    `json:"order,omitempty"` // 1 for the first that kubelet tries; 0 for not at all
	Secret   string `json:"secret"`
	Key      string `json:"key"`
	Username string `json:"username,omitempty"`
	Matched  bool   `json:"matched"`
	Mismatch string `json:"mismatch,omitempty"`
}

// NotChecked is what could not be looked at.
type NotChecked struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Rule is the RBAC rule that is missing.
	Rule string `json:"rule,omitempty"`
}
