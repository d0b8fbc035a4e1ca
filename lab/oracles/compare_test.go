package oracles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
)

// differences are the fields in which pullkey's request is not the library's,
// each with the reason. One that is named and does not differ fails as well.
type differences map[string]string

func join(all ...differences) differences {
	joined := differences{}
	for _, d := range all {
		maps.Copy(joined, d)
	}
	return joined
}

var (
	program = differences{"header.user-agent": "names the program"}
	// The newest libraries say in a signed header where their key came from.
	origin = differences{
		"header.x-acs-credentials-provider":               "says where the library's key came from",
		"authorization.signed.x-acs-credentials-provider": "that header is signed where it is sent",
		"authorization.Signature":                         "covers that header",
	}
	formStyle = differences{
		"header.accept-encoding": "the library wants no compression; Go's client undoes it",
		"header.accept":          "the library leaves it out; Format says the same",
	}
)

func TestPullkeySendsWhatTheVendorsLibrariesSend(t *testing.T) {
	p := newPlace(t)
	requests, compared := 0, 0
	for _, c := range exchanges {
		if c.pullkey == nil {
			continue
		}
		keys, found := p.keys(c), differences{}
		for _, kind := range slices.Sorted(maps.Keys(keys)) {
			theirs, ours := p.both(c.sdk, c.pullkey, keys[kind], c.answered)
			if len(theirs) != len(ours) {
				found[number] = fmt.Sprintf("the library sends %d, pullkey %d", len(theirs), len(ours))
			}
			theirs, ours = distinct(theirs), distinct(ours)
			if len(theirs) != len(ours) || len(theirs) == 0 {
				t.Errorf("%s, with %s: the library sends %d requests, pullkey %d", c.name, kind, len(theirs), len(ours))
				continue
			}
			requests += len(theirs)
			for n := range theirs {
				compared += compare(theirs[n], ours[n], found)
			}
			if err := c.pullkey(p, nil, keys[kind]); err != nil {
				t.Errorf("%s, with %s: pullkey was not accepted: %v", c.name, kind, err)
			}
			p.taken()
		}
		for name, what := range found {
			if c.differ[name] == "" {
				t.Errorf("%s: %s differs: %s", c.name, name, what)
			}
		}
		for name := range c.differ {
			if found[name] == "" {
				t.Errorf("%s: %s does not differ, and is named as if it did", c.name, name)
			}
		}
	}
	t.Logf("%d requests of pullkey were compared with the libraries', %d fields", requests, compared)
}

// number is the name of a difference that is no field's.
const number = "the number of requests"

// distinct leaves out what was asked before.
func distinct(requests []fields) []fields {
	var first []fields
	for _, f := range requests {
		if !slices.ContainsFunc(first, func(o fields) bool { return o["method"] == f["method"] && o["path"] == f["path"] }) {
			first = append(first, f)
		}
	}
	return first
}

// both asks as the library does, and then as pullkey does with the same date
// and nonce.
func (p *place) both(sdk question, ask pullkey, key credential.AccessKey, answered bool) (theirs, ours []fields) {
	p.t.Helper()
	if err := sdk(p, key); err != nil {
		p.t.Fatal(err)
	}
	theirs = p.taken()
	p.deaf.Store(!answered)
	defer p.deaf.Store(false)
	if err := ask(p, theirs[0], key); answered != (err == nil) {
		p.t.Errorf("pullkey's copy came to %v", err)
	}
	return theirs, p.taken()
}

// compare returns how many fields there are, and notes which differ.
func compare(theirs, ours fields, found differences) int {
	all := maps.Clone(theirs)
	maps.Copy(all, ours)
	for name := range all {
		a, sent := theirs[name]
		b, alsoSent := ours[name]
		if a != b || sent != alsoSent {
			found[name] = fmt.Sprintf("the library sends %q, pullkey %q", a, b)
		}
	}
	return len(all)
}

func TestADifferenceIsFound(t *testing.T) {
	found := differences{}
	n := compare(fields{"method": "GET", "path": "/", "query.a": "1"}, fields{"method": "GET", "path": "/x", "query.b": ""}, found)
	if got := strings.Join(slices.Sorted(maps.Keys(found)), " "); n != 4 || got != "path query.a query.b" {
		t.Errorf("of %d fields differ %s", n, got)
	}
}
