package explain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// What looks guilty and is not: it is never named as the cause, and where it is wrong
// all the same it is noticed besides.
func TestWhatLooksGuiltyIsInnocent(t *testing.T) {
	t.Parallel()
	const image = host + "/a:1"
	tooMany := backOff("unexpected status from GET request to https://reg.example.com/v2/a/manifests/1: 429 Too Many Requests: toomanyrequests")
	for _, c := range []struct {
		name     string
		facts    *explain.Facts
		want     cause.Code
		innocent cause.Code
	}{
		{"a Secret that could not be had, where another has the login and the tag is missing", failing(image, notFound, login("s", host), podNames("gone", "s"), withheld("gone")), cause.TagMissing, cause.SecretMissing},
		{"a Secret that could not be had, where the host has no address", failing(image, noHost, podNames("gone"), withheld("gone")), cause.NetDNS, cause.SecretMissing},
		{"a Secret of the ServiceAccount that is not there, where a public registry counts too many", failing(image, tooMany, podNames("gone"), withheld("gone")), cause.RegRateLimit, cause.SecretMissing},
		{"a right that is missing at a mirror", failing(image, viaMirror, named(host)...), cause.MirrorMasks, cause.ScopeDenied},
		{"the words of a refusal, of a login that was written since", failing(image, refused, join(named(host), later, failedAt(time.Minute))...), "", cause.AuthInvalid},
	} {
		d, err := explain.Pod(c.facts, "")
		if err != nil {
			t.Fatal(err)
		}
		if d.Verdict.Code != c.want || slices.ContainsFunc(d.Verdict.Alternatives, func(f explain.Finding) bool { return f.Code == c.innocent }) {
			t.Errorf("%s: got %s %s: %s", c.name, d.Verdict.Status, d.Verdict.Code, d.Verdict.Sentence)
		}
		noticed := slices.ContainsFunc(d.AlsoNoticed, func(f explain.Finding) bool { return f.Code == c.innocent })
		inChain := slices.ContainsFunc(d.Steps, func(s explain.Step) bool {
			return s.Status == explain.Warn && strings.Contains(s.Summary, "not there: gone")
		})
		if c.innocent == cause.SecretMissing && !noticed && !inChain {
			t.Errorf("%s: %s is not noticed", c.name, c.innocent)
		}
	}
}

// What was not read is neither good nor broken: nobody is told that there is no login, or
// to make one.
func TestWithoutTheSecretsThatAreNamedNothingIsKnown(t *testing.T) {
	t.Parallel()
	const image = host + "/a:1"
	forbidden := func(f *explain.Facts) { f.Complete = false }
	for name, f := range map[string]*explain.Facts{
		"a refusal that may be of a login":      failing(image, scope, podNames("s"), forbidden),
		"a pull as nobody":                      failing(image, anonymous, podNames("s"), forbidden),
		"one of two that was read, for others":  failing(image, anonymous, login("t", "quay.io"), podNames("t", "s"), func(f *explain.Facts) { f.Complete, f.Absent = false, nil }),
		"a file that holds nothing of a Secret": failing(image, scope, has("s", "kubernetes.io/dockerconfigjson", "", ""), podNames("s"), func(f *explain.Facts) { f.File, f.Secrets["s"].Data = true, nil }),
		"words that nobody knows":               failing(image, backOff("the moon is full"), podNames("s"), forbidden),
		"a pod that nobody has tried":           failing(image, "", podNames("s"), forbidden),
	} {
		d, err := explain.Pod(f, "")
		if err != nil {
			t.Fatal(err)
		}
		v := d.Verdict
		if v.Code != "" {
			if v.Certainty != cause.Possible || v.Code == cause.AuthNoCredential {
				t.Errorf("%s: got %+v", name, v)
			}
			continue
		}
		if name == "words that nobody knows" && strings.Contains(v.Sentence, "login") {
			t.Errorf("%s: a login is blamed: %s", name, v.Sentence)
		}
		known := func(s explain.Step) bool { return s.Link == cause.Keyring && s.Status != explain.Unknown }
		if v.Status != explain.Inconclusive || len(v.Fixes)+len(v.Alternatives) > 0 || slices.ContainsFunc(d.Steps, known) {
			t.Errorf("%s: got %+v\n%+v", name, v, d.Steps)
		}
	}
}
