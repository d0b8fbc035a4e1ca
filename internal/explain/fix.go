package explain

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// quote writes a text for a POSIX shell: names in a cluster are an attacker's text.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoted are keys, in quotes.
func quoted(list []string) []string {
	var all []string
	for _, s := range list {
		all = append(all, strconv.Quote(shown(s)))
	}
	return all
}

func sortedKeys(data map[string][]byte) []string { return slices.Sorted(maps.Keys(data)) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return "a time that nobody tells"
	}
	return t.UTC().Format(time.RFC3339)
}

// newSecret makes a pull Secret from a login that is there.
func (w *walk) newSecret(name, host string) string {
	return fmt.Sprintf("pullkey login %[1]s --keep-password && pullkey secret create %[2]s --from-login %[1]s -n %[3]s", quote(host), quote(name), quote(w.Pod.Namespace))
}

// secretAnew makes another in the place of one that is of no use. The old one is left
// to whoever owns it: it may hold more than this.
func (w *walk) secretAnew(name, host string) Fix {
	title := fmt.Sprintf("make another with the right login, and name it in the place of %s in the ServiceAccount, or in the pod's template", name)
	if s := w.Secrets[name]; s != nil {
		title += managed(s.Labels, s.Annotations)
		for _, o := range s.OwnerReferences {
			title += fmt.Sprintf("; %s %s owns %s: mend it there", o.Kind, o.Name, name)
		}
	}
	return Fix{title, w.newSecret(name+"-new", host)}
}

// shown is a key without the login that may stand before its host.
func shown(key string) string {
	scheme, rest, found := strings.Cut(key, "://")
	if !found {
		scheme, rest = "", key
	}
	host, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		return key
	}
	rest = "…@" + rest[at+1:]
	if !found {
		return rest
	}
	return scheme + "://" + rest
}

// hostOf is the registry of a key.
func hostOf(key string) string {
	if _, rest, found := strings.Cut(key, "://"); found {
		key = rest
	}
	host, _, _ := strings.Cut(key, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// signed are the parameters of a URL that open what it names, without the colon that a
// runtime puts after one.
var signed = regexp.MustCompile(`(?i)([?&](?:x-[a-z]+-[a-z0-9-]*|[a-z0-9_-]*(?:signature|token|credential|accesskeyid)|sig|expires)=)[^&\s"']*[^&\s"':]`)

// WithoutSecrets takes out of a runtime's words what opens a signed URL.
func WithoutSecrets(text string) string { return signed.ReplaceAllString(text, "${1}…") }

// NoPod is the name of a pod that is not made yet.
const NoPod = "(none yet)"

// fixable takes the steps out that say nothing: there is no pod yet to be made anew.
func (w *walk) fixable() {
	empty := func(f Fix) bool { return f.Title == "" }
	w.Verdict.Fixes = slices.DeleteFunc(w.Verdict.Fixes, empty)
	for i := range w.AlsoNoticed {
		w.AlsoNoticed[i].Fixes = slices.DeleteFunc(w.AlsoNoticed[i].Fixes, empty)
	}
}

// anew has the pod made anew, by whoever made it.
func (w *walk) anew() Fix {
	if w.Pod.Name == NoPod {
		return Fix{}
	}
	for _, o := range w.Pod.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return Fix{"have the pod made anew, which also skips the wait of up to 5 minutes", fmt.Sprintf("kubectl -n %s delete pod %s", quote(w.Pod.Namespace), quote(w.Pod.Name))}
		}
	}
	return Fix{Title: "make the pod anew: nobody else does, since it has no owner"}
}

// again has kubelet try again, where a Secret that the pod names was mended: it reads
// Secrets anew before each attempt, and the pod can stay.
func (w *walk) again() Fix {
	if f := w.anew(); f.Title == "" || f.Command != "" {
		return f
	}
	return Fix{Title: "wait: kubelet tries again within 5 minutes, and the pod can stay as it is"}
}

// attach names a Secret in the pod's ServiceAccount. Its list has no keys: it is
// replaced where it is empty, and added to where it is not.
func (w *walk) attach(secret string) Fix { return attach(w.ServiceAccount, secret) }

func attach(sa *corev1.ServiceAccount, secret string) Fix {
	patch := fmt.Sprintf(`[{"op":"add","path":"/imagePullSecrets/-","value":{"name":%q}}]`, secret)
	if len(sa.ImagePullSecrets) == 0 {
		patch = fmt.Sprintf(`[{"op":"add","path":"/imagePullSecrets","value":[{"name":%q}]}]`, secret)
	}
	return Fix{
		"name it in the ServiceAccount" + managed(sa.Labels, sa.Annotations),
		fmt.Sprintf("kubectl -n %s patch serviceaccount %s --type=json -p %s", quote(sa.Namespace), quote(sa.Name), quote(patch)),
	}
}

// managed warns of whoever would undo an edit.
func managed(labels, annotations map[string]string) string {
	for _, m := range []struct{ who, label, annotation string }{
		{"Helm", "", "meta.helm.sh/release-name"},
		{"Argo CD", "argocd.argoproj.io/instance", "argocd.argoproj.io/tracking-id"},
		{"Flux", "kustomize.toolkit.fluxcd.io/name", ""},
		{"Flux", "helm.toolkit.fluxcd.io/name", ""},
	} {
		if annotations[m.annotation] != "" || labels[m.label] != "" {
			return "; " + m.who + " manages it and may undo that: change it there"
		}
	}
	return ""
}

// blanks are what the pages leave to the reader to fill in.
var blanks = regexp.MustCompile(`\b[A-Z][A-Z]{2,}\b`)

// ofPage is what to do about a cause of which words alone tell: what its page says, with
// its first command where all that it leaves open is known, and else what shows more.
func (w *walk) ofPage(c *cause.Cause, host string) []Fix {
	if c.Code == cause.AuthRealmUnreachable {
		host = w.parsed.Host() // it is the registry that names its token server
	}
	title, _, _ := strings.Cut(c.Fix, "\n")
	first := Fix{Title: strings.TrimRight(title, ":.")}
	if r := []rune(first.Title); len(r) > 1 && unicode.IsLower(r[1]) {
		first.Title = string(unicode.ToLower(r[0])) + string(r[1:])
	}
	if wantsFile(c.Fix) { // no command mends anything before it is written
		first.Command = "pullkey explain " + string(c.Code)
		return []Fix{first}
	}
	if command, full := w.filled(c, host); full {
		first.Command = command
		return []Fix{first}
	}
	return []Fix{first, w.asked(c, host)}
}

// asked is what tells more, where a page has no command that could be pasted.
func (w *walk) asked(c *cause.Cause, host string) Fix {
	switch {
	case slices.Contains([]cause.Link{cause.Network, cause.TLS, cause.Challenge, cause.Token}, c.Link) && host != "":
		return Fix{"see what the host says to you", "curl -sSi " + quote("https://"+host+"/v2/")}
	case slices.Contains([]cause.Link{cause.Scope, cause.Manifest, cause.Platform, cause.Layers}, c.Link) && w.repository != "":
		return Fix{"see every step from here", "pullkey pull " + quote(w.parsed.String()) + " --output image --trace"}
	}
	return Fix{"see what has happened to the pod", fmt.Sprintf("kubectl -n %s events --for %s", quote(w.Pod.Namespace), quote("pod/"+w.Pod.Name))}
}

// wantsFile tells whether a page's fix has somebody write a file.
func wantsFile(fix string) bool {
	blocks := strings.Split(fix, "```")
	for i := 1; i < len(blocks); i += 2 {
		if !strings.HasPrefix(blocks[i], "sh\n") {
			return true
		}
	}
	return false
}

// filled is the first command of a page's fix, and whether nothing in it is left open.
func (w *walk) filled(c *cause.Cause, host string) (string, bool) {
	known := map[string]string{"NAMESPACE": w.Pod.Namespace, "POD": w.Pod.Name, "NODE": w.Pod.Spec.NodeName, "HOST": host, "IMAGE": w.parsed.String(), "DIR": "image"}
	_, block, _ := strings.Cut(c.Fix, "```sh\n")
	first, _, _ := strings.Cut(block, "\n")
	_, open := strings.CutSuffix(strings.TrimSpace(first), "\\")
	full := first != "" && !open && !strings.HasPrefix(first, "#")
	filled := blanks.ReplaceAllStringFunc(first, func(blank string) string {
		full = full && known[blank] != ""
		return quote(known[blank])
	})
	return filled, full && strings.Count(filled, "'") == strings.Count(first, "'")
}
