// Package kubelet compares pullkey's keyring with kubelet's own, and has kubelet's
// codec read what the credential provider writes.
package kubelet

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"

	"github.com/pullkey/pullkey/internal/keyring"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // kubelet logs each key that it drops
	m.Run()
}

// kubelets is what kubelet has for an image: the logins in its order, or why it
// cannot read the Secrets.
func kubelets(pulls []v1.Secret, image string) ([]string, string) {
	ring, err := secrets.MakeDockerKeyring(pulls, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return nil, err.Error()
	}
	found, _ := ring.Lookup(image)
	var logins []string
	for _, login := range found {
		logins = append(logins, login.Username+"\x00"+login.Password)
	}
	return logins, ""
}

// ours is what pullkey says of the same.
func ours(pulls []v1.Secret, image string) ([]string, string, keyring.Lookup) {
	var contents []keyring.Content
	for _, s := range pulls {
		c := keyring.Read(keyring.Secret{Name: s.Name, Type: string(s.Type), Data: s.Data})
		if c.Problem != "" {
			return nil, c.Problem, keyring.Lookup{}
		}
		contents = append(contents, c)
	}
	found := keyring.Find(contents, image)
	var logins []string
	for _, e := range found.Logins {
		logins = append(logins, e.Username+"\x00"+e.Password.Reveal())
	}
	return logins, "", found
}

// alike compares the two. What kubelet takes from one Secret for one key by two
// spellings has no order: there it is compared as a set.
func alike(t *testing.T, pulls []v1.Secret, image string) keyring.Lookup {
	t.Helper()
	want, wantProblem := kubelets(pulls, image)
	got, problem, found := ours(pulls, image)
	if problem != wantProblem {
		t.Fatalf("%s for %q: pullkey says %q, kubelet %q", describe(pulls), image, problem, wantProblem)
	}
	if disorder(found) {
		slices.Sort(want)
		slices.Sort(got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s for %q (-kubelet +pullkey):\n%s", describe(pulls), image, diff)
	}
	return found
}

func disorder(found keyring.Lookup) bool {
	for i, a := range found.Logins {
		for _, b := range found.Logins[i+1:] {
			if a.Secret == b.Secret && a.Index == b.Index {
				return true
			}
		}
	}
	return false
}

func describe(pulls []v1.Secret) string {
	var texts []string
	for _, s := range pulls {
		texts = append(texts, fmt.Sprintf("%s %q", s.Type, s.Data))
	}
	return strings.Join(texts, ", ")
}

// The words of which keys and images are made, so that many of them match.
var (
	hosts   = []string{"reg.io", "eu.reg.io", "docker.io", "index.docker.io", "registry-1.docker.io", "localhost", "registry", "10.0.0.7", "[fd00::1]", "acr-x.cn-a.cr.example.com", "a.b.c"}
	changes = []func(*rand.Rand, string) string{
		func(_ *rand.Rand, s string) string { return s },
		func(_ *rand.Rand, s string) string { return strings.ToUpper(s[:1]) + s[1:] },
		func(_ *rand.Rand, s string) string { _, rest, _ := strings.Cut(s, "."); return "*." + rest },
		func(_ *rand.Rand, s string) string { return s[:1] + "*" + s[min(len(s), 3):] },
		func(_ *rand.Rand, s string) string { return "?" + s[1:] },
		func(_ *rand.Rand, s string) string { return "[a-z]" + s[1:] },
		func(r *rand.Rand, s string) string {
			at := r.IntN(len(s))
			return s[:at] + string(rune(r.IntN(128))) + s[at:]
		},
		func(r *rand.Rand, s string) string { at := r.IntN(len(s)); return s[:at] + s[at+1:] },
	}
	schemes = []string{"", "", "", "https://", "http://", "HTTPS://", "ftp://", "//"}
	ports   = []string{"", "", "", "", ":443", ":5000", ":", ":x"}
	users   = []string{"", "", "", "", "", "u@", "u:p@"}
	paths   = []string{"", "", "", "/", "/v1/", "/v2/", "/v1", "/v2/a", "/v1/a/b", "/a", "/a/", "/a/b", "/a/b:1", "/%61", "/a%2Fb", "/%zz", "/a?x=y", "/a#b", "//a", "/v1/v2/a"}
	images  = []string{"/a", "/a/b", "/ab", "/a-b/c", "/v1/a", "/library/nginx"}
	// Those that no host and no path is: a pattern that is none once it was read as
	// a URL twice, and images that are not written in full.
	strange = []string{"[fe80::1%2525a-]", "reg.io/%2561%25"}
	odd     = []string{"", "nginx", "/a", "reg.io%/a"}
)

var pairs = flag.Int("pairs", 1_000_000, "how many Secrets and images are compared")

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// key is one for the host, more or less.
func key(r *rand.Rand, host string) string {
	switch r.IntN(200) {
	case 0:
		return pick(r, strange)
	case 1:
		return "index.docker.io"
	}
	if r.IntN(4) == 0 {
		host = pick(r, hosts)
	}
	if r.IntN(5) == 0 {
		host = pick(r, changes)(r, host)
	}
	return pick(r, schemes) + pick(r, users) + host + pick(r, ports) + pick(r, paths)
}

func entry(r *rand.Rand, number int) map[string]any {
	user := fmt.Sprintf("u%d", number)
	if r.IntN(4) == 0 {
		return map[string]any{"username": user, "password": "p", "email": "e"}
	}
	return map[string]any{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":p:q")), "username": "overruled"}
}

// pull is a pull Secret with entries that have to do with the host.
func pull(t *testing.T, r *rand.Rand, host string, number int) v1.Secret {
	t.Helper()
	auths := map[string]any{}
	for i := range 1 + r.IntN(3) {
		auths[key(r, host)] = entry(r, 10*number+i)
	}
	s := v1.Secret{Type: v1.SecretTypeDockerConfigJson}
	s.Name = fmt.Sprintf("s%d", number)
	var document any = map[string]any{"auths": auths}
	name := v1.DockerConfigJsonKey
	if r.IntN(4) == 0 {
		s.Type, name, document = v1.SecretTypeDockercfg, v1.DockerConfigKey, auths
	}
	if r.IntN(50) == 0 {
		s.Type = v1.SecretTypeOpaque
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	s.Data = map[string][]byte{name: text}
	return s
}

// A million pairs of Secrets and an image, made of what keys are made of: at least
// a fifth of them must match, or the comparison would say little.
func TestPullkeyFindsWhatKubeletFinds(t *testing.T) {
	t.Parallel()
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprintf("part %d", part+1), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(37, uint64(part)))
			seen, matched, alone := map[keyring.Part]int{}, 0, 0
			for range *pairs / parts {
				host := pick(r, hosts)
				var pulls []v1.Secret
				for i := range 1 + r.IntN(2) {
					pulls = append(pulls, pull(t, r, host, i))
				}
				image := host + pick(r, ports[:6]) + pick(r, images)
				if r.IntN(200) == 0 {
					image = pick(r, odd)
				}
				found := alike(t, pulls, image)
				if len(found.Logins) > 0 {
					matched++
				}
				if len(found.Logins) > 1 {
					alone++
				}
				for _, c := range found.Comparisons {
					for _, d := range c.Differences {
						seen[d.Part]++
					}
				}
			}
			t.Logf("%d of %d matched, %d of them by several logins; differences: %v", matched, *pairs/parts, alone, seen)
			if matched*5 < *pairs/parts {
				t.Errorf("only %d of %d matched", matched, *pairs/parts)
			}
			for _, p := range []keyring.Part{keyring.PartUnreadable, keyring.PartPort, keyring.PartLabels, keyring.PartPath, keyring.PartLabel, keyring.PartCase, keyring.PartGlob} {
				if seen[p] == 0 {
					t.Errorf("no key differed by its %s", p)
				}
			}
		})
	}
}

// What stands in a Secret may be any text.
func FuzzPullkeyReadsWhatKubeletReads(f *testing.F) {
	auth := base64.StdEncoding.EncodeToString([]byte("u:p"))
	for _, text := range []string{
		`{"auths":{"reg.io":{"auth":"` + auth + `"}}}`, `{"reg.io":{"auth":"` + auth + `"}}`, `{"auths":[]}`, `{"auths":{"reg.io":7}}`, `{"auths":{"reg.io":{"auth":"!!"}}}`,
		`{"auths":{"reg.io":{"username":7}},"HttpHeaders":[]}`, `{"auths":{"reg.io":{"auth":"dXNlcg=="},"b.io":{"auth":7}}}`, `[]`, `7`, `null`, ``, `{"auths":null}`, `{"auths":{"a":null}}`,
		`{"auths":{"a":{"email":{}}}}`, `{"HttpHeaders":{"a":7}}`, `{"Auths":{"reg.io":{"AUTH":"` + auth + `"}}}`, `{"auths":{"reg.io":{"auth":" ` + auth + `"}}}`, `{"auths":{"reg.io":{"auth":"dTpw\n"}}}`,
		`{"auths":{"reg.io":"x"}}`, `{"reg.io":[]}`, `{"reg.io":{"password":[]}}`, `{"auths":{"reg.io":{"auth":"dTpw"},"reg.io":{"password":"x"}}}`,
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, flat bool) {
		s := v1.Secret{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(text)}}
		if flat {
			s = v1.Secret{Type: v1.SecretTypeDockercfg, Data: map[string][]byte{v1.DockerConfigKey: []byte(text)}}
		}
		alike(t, []v1.Secret{s}, "reg.io/a")
	})
}

// And a registry's name too.
func FuzzPullkeyMatchesWhatKubeletMatches(f *testing.F) {
	for _, key := range []string{"reg.io", "https://reg.io/v1/", "*.reg.io", "[a", "reg.io:5000/a", `r\eg.io`, "reg.io%41", "docker.io"} {
		f.Add(key, "reg.io/a")
		f.Add(key, "docker.io/library/nginx")
	}
	f.Fuzz(func(t *testing.T, key, image string) {
		text, err := json.Marshal(map[string]any{"auths": map[string]any{key: map[string]string{"username": "u", "password": "p"}}})
		if err != nil {
			return
		}
		alike(t, []v1.Secret{{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: text}}}, image)
	})
}
