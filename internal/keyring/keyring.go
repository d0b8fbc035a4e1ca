// Package keyring is what kubelet makes of a pod's image pull Secrets: which
// logins it has for an image, in which order it tries them, and why not the others.
//
// Its one rule: it answers as kubelet 1.37 does (pkg/credentialprovider and its
// folder secrets), which the lab compares it with, and says of every registry that
// is named in a Secret how the comparison came out.
package keyring

import (
	"cmp"
	"slices"
	"strings"
)

// hubIndex is the one key that is for another host: where no key matches an image of
// docker.io, this one's logins are taken.
const hubIndex = "index.docker.io"

// ofHub tells whether kubelet takes an image for one of Docker Hub: a host without
// dot and port is none to it, localhost too.
func ofHub(repository string) bool {
	host, _, more := strings.Cut(repository, "/")
	switch {
	case host == "":
		return false
	case !more || host == "docker.io" || host == hubIndex:
		return true
	}
	return !strings.ContainsAny(host, ".:")
}

// Lookup is what kubelet has for one image.
type Lookup struct {
	// Logins are those that it tries, in its order; none means that it pulls
	// without a login. It never does so after a login was refused.
	Logins []Entry
	// ByIndex tells that they are Docker Hub's, by the key index.docker.io.
	ByIndex bool
	// Comparisons are those of all entries, in the order in which kubelet makes
	// them; what it has dropped stands last.
	Comparisons []Comparison
}

// Comparison is one registry that a Secret names, and the image.
type Comparison struct {
	Entry Entry
	// Differences are all that keeps them apart; none means that they match.
	Differences []Difference
}

// Match tells whether the entry is for the image.
func (c Comparison) Match() bool { return len(c.Differences) == 0 }

// Find compares all entries with an image, given as host/repository without tag and
// digest, in full: docker.io/library/nginx.
//
// Kubelet sorts the keys backwards, so that of two paths the longer comes first and
// a "*" last; the logins of one key stand in the order of the pod's list. Two
// spellings of one key in one Secret stand in no order at all in kubelet, and by
// their spelling here (Ambiguous).
func Find(secrets []Content, repository string) Lookup {
	var l Lookup
	image, known := parse(repository)
	for _, s := range secrets {
		for _, e := range s.Entries {
			c := Comparison{Entry: e, Differences: []Difference{{Part: PartUnreadable, Key: e.Key, Image: repository}}}
			if known && e.Dropped == "" {
				c.Differences = differences(e, image)
			}
			l.Comparisons = append(l.Comparisons, c)
		}
	}
	slices.SortStableFunc(l.Comparisons, func(a, b Comparison) int { return cmp.Compare(b.Entry.Index, a.Entry.Index) })
	for _, c := range l.Comparisons {
		if c.Match() {
			l.Logins = append(l.Logins, c.Entry)
		}
	}
	if len(l.Logins) > 0 || !ofHub(repository) {
		return l
	}
	for i, c := range l.Comparisons {
		if c.Entry.Index == hubIndex && c.Entry.Dropped == "" {
			l.Logins, l.ByIndex = append(l.Logins, c.Entry), true
			l.Comparisons[i].Differences = nil
		}
	}
	return l
}

// Ambiguous returns the entries of which kubelet takes either first: two spellings
// of one key in one Secret, with logins that differ.
func (l Lookup) Ambiguous() []Entry {
	var twice []Entry
	for i, a := range l.Logins {
		if slices.ContainsFunc(l.Logins, func(b Entry) bool {
			return a.Secret == b.Secret && a.Index == b.Index && a.Key != b.Key && !a.sameLogin(b)
		}) {
			twice = append(twice, l.Logins[i])
		}
	}
	return twice
}
