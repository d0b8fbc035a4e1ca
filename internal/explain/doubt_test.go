package explain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

func TestASecretThatWasMadeSinceNeedsNothing(t *testing.T) {
	t.Parallel()
	d, err := explain.Pod(failing(host+"/a:1", anonymous, join(named(host), later, failedAt(time.Minute))...), "")
	if err != nil || d.Verdict.Status != explain.Waiting || d.Verdict.Code != cause.SecretRace {
		t.Errorf("%v: got %+v", err, d.Verdict)
	}
}

// What makes a start need the registry is noticed beside what is wrong with the registry.
func TestAPolicyThatBecameAlwaysIsNoticed(t *testing.T) {
	t.Parallel()
	const image = host + "/a:1"
	always := func(f *explain.Facts) { f.Pod.Spec.Containers[0].ImagePullPolicy = corev1.PullAlways }
	for name, c := range map[string]struct {
		facts *explain.Facts
		want  bool
	}{
		"set by something":          {failing(image, noHost, always, onNode("v1.37.2", image), template(corev1.PullIfNotPresent)), true},
		"as the template has it":    {failing(image, noHost, always, onNode("v1.37.2", image), template(corev1.PullAlways)), false},
		"and the image is not here": {failing(image, noHost, always, onNode("v1.37.2"), template(corev1.PullIfNotPresent)), false},
	} {
		d, err := explain.Pod(c.facts, "")
		got := slices.ContainsFunc(d.AlsoNoticed, func(f explain.Finding) bool { return f.Code == cause.PolicyAlways })
		if err != nil || d.Verdict.Code != cause.NetDNS || got != c.want {
			t.Errorf("%s: %v: got %s, noticed %t", name, err, d.Verdict.Code, got)
		}
	}
}

// A private image and one that is not there get the same answer.
func TestWhatFitsAsWellIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		facts *explain.Facts
		want  []cause.Code
	}{
		{"a public image, misspelt", failing("ngnix", scope), []cause.Code{cause.AuthNoCredential, cause.RepoMissing}},
		{"a private image without its host", failing("team/a", scope, named(host)...), []cause.Code{cause.RefImplicitHub, cause.RepoMissing}},
		{"a Secret of Docker Hub that nobody names", failing("team/a", scope, login("s", "docker.io")), []cause.Code{cause.SANotReferenced, cause.RepoMissing}},
		{"a Secret that is not there", failing("team/a", scope, podNames("s")), []cause.Code{cause.SecretMissing}},
		{"a registry that gives nobody a token", failing("team/a", anonymous), []cause.Code{cause.AuthNoCredential}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := explain.Pod(c.facts, "")
			got := []cause.Code{d.Verdict.Code}
			for _, other := range d.Verdict.Alternatives {
				got = append(got, other.Code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil || len(got) > 1 && d.Verdict.Certainty != cause.Possible {
				t.Errorf("%v: %s is %s", err, diff, d.Verdict.Certainty)
			}
		})
	}
}

// A verdict of words alone tells what to do, or at least what shows more.
func TestEveryFixOfWordsNamesACommand(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{
		"R: not found", "no match for platform in manifest: not found", `failed to do request: Head "https://reg.example.com/v2/a": dial tcp 10.0.0.1:443: i/o timeout`,
		`failed to do request: Head "https://x'$(id).example.com/v2/a": dial tcp 10.0.0.1:443: i/o timeout`, "failed to do request: x509: certificate signed by unknown authority", "failed to extract layer sha256:aa: write: no space left on device",
	} {
		d, err := explain.Pod(failing(host+"/a:1", backOff(tail), named(host)...), "")
		if err != nil || d.Verdict.Status != explain.Broken || len(d.Verdict.Fixes) == 0 {
			t.Errorf("%s: %v: %+v", tail, err, d.Verdict)
			continue
		}
		if c := d.Verdict.Fixes[len(d.Verdict.Fixes)-1].Command; c == "" || strings.Contains(c, "HOST") || strings.Contains(c, "x'$(") {
			t.Errorf("%s: the command is %q", tail, c)
		}
	}
}
