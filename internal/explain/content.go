package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// encoded tells whether a Secret holds a document of docker's in an encoding: base64 once
// more than it should be, or behind a byte order mark.
func encoded(s *corev1.Secret) bool {
	for _, key := range []string{corev1.DockerConfigJsonKey, corev1.DockerConfigKey} {
		if _, _, ok := decoded(s.Data[key]); ok {
			return true
		}
	}
	return false
}

// decoded is the document in an encoding, and how to encode it again.
func decoded(text []byte) (document []byte, encode func([]byte) []byte, ok bool) {
	if rest, marked := bytes.CutPrefix(text, byteOrderMark); marked && isObject(rest) {
		return rest, func(inner []byte) []byte { return slices.Concat(byteOrderMark, inner) }, true
	}
	inner, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !isObject(inner) {
		return nil, nil, false
	}
	return inner, func(inner []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(inner)) }, true
}

func isObject(text []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(text, &object) == nil && object != nil
}

// ephemeral finds that a debug container's image is of a registry for which the pod has
// no login.
func (w *walk) ephemeral() (cause.Link, cause.Code, Finding, bool) {
	if w.kind != "ephemeral" {
		return "", "", Finding{}, false
	}
	return cause.Keyring, cause.PodEphemeral, Finding{
		Sentence: fmt.Sprintf("the debug container pulls with the Secrets of its pod, and none of them is for %s; the list of a pod cannot be changed", w.parsed.Host()),
		Evidence: []string{w.at("image") + ": " + w.of, w.names()},
		Fixes: []Fix{{
			Title: "debug with an image that is public, or of a registry for which the pod has a login", Command: fmt.Sprintf("kubectl -n %s debug %s -it --image=busybox", quote(w.Pod.Namespace), quote(w.Pod.Name)),
		}},
	}, true
}

// volume finds that the image of a volume is of a registry for which the pod has no login.
func (w *walk) volume() (cause.Link, cause.Code, Finding, bool) {
	if w.kind != "imageVolume" {
		return "", "", Finding{}, false
	}
	var sure cause.Certainty
	if !w.Complete {
		sure = cause.Possible // there may be a Secret for it, which nobody names
	}
	return cause.Keyring, cause.VolImage, Finding{
		Certainty: sure,
		Sentence:  fmt.Sprintf("volume %s is an image of %s, which is pulled with the pod's Secrets, and none of them is for it", w.name, w.parsed.Host()),
		Evidence:  []string{w.at("reference") + ": " + w.of, w.names()},
		Fixes:     []Fix{{"make a Secret for this registry, and name it in the ServiceAccount, or in the pod's template", w.newSecret("pull-secret", w.parsed.Host())}, w.anew()},
	}, true
}

// names is the pod's list, as evidence.
func (w *walk) names() string {
	return fmt.Sprintf("Pod %s/%s names [%s]", w.Pod.Namespace, w.Pod.Name, strings.Join(references(w.Pod.Spec.ImagePullSecrets), ", "))
}

// shadowed finds the one case in which kubelet does not try a login that is for the
// image: of Docker Hub, once a key "docker.io" matches, that of index.docker.io. In all
// others it goes on to the next login when one is refused.
func (w *walk) shadowed() {
	if w.parsed.Host() != hub || w.found.ByIndex || w.Observed == nil {
		return
	}
	for _, c := range w.found.Comparisons {
		e, first := c.Entry, w.found.Logins[0]
		if c.Match() || e.Index != "index.docker.io" || e.Empty() || slices.ContainsFunc(w.found.Logins, func(l keyring.Entry) bool { return l.Username == e.Username && l.Password.Equal(e.Password) }) {
			continue
		}
		sure := cause.Possible
		if badLogin(w.heard()) {
			sure = cause.Strong
		}
		w.finds(cause.Keyring, cause.KeyShadowed, func(err runtimeerror.Error) bool {
			return badLogin(err) || err.Kind == runtimeerror.InsufficientScope || err.Kind == runtimeerror.RepositoryDenied
		}, Finding{
			Certainty: sure,
			Sentence:  fmt.Sprintf("kubelet tries the login of %q alone, and not the other one of %q: where a key docker.io matches, index.docker.io does not count", shown(first.Key), shown(e.Key)),
			Evidence: []string{
				fmt.Sprintf("Secret %s/%s, entry %q, user %s: tried", w.Pod.Namespace, first.Secret, shown(first.Key), first.Username),
				fmt.Sprintf("Secret %s/%s, entry %q, user %s: not tried", w.Pod.Namespace, e.Secret, shown(e.Key), e.Username),
			},
			Fixes: []Fix{w.secretAnew(first.Secret, hub), w.anew()},
		})
		return
	}
}

// outlived tells whether a login is of a registry whose passwords end by themselves, and
// was written longer ago than they live.
func (w *walk) outlived(e keyring.Entry, f *Finding) bool {
	const life = 12 * time.Hour // of what "aws ecr get-login-password" gives
	since := written(w.Secrets[e.Secret])
	tried, known := w.seen()
	if !known {
		tried = w.Now
	}
	if host := w.parsed.Host(); e.Username != "AWS" || !strings.Contains(host, ".dkr.ecr.") || !strings.Contains(host, ".amazonaws.com") || since.IsZero() || tried.Sub(since) < life {
		return false
	}
	f.Sentence = fmt.Sprintf("a password of ECR lives for 12 hours, and Secret %s/%s was written at %s", w.Pod.Namespace, e.Secret, stamp(since))
	f.Fixes = []Fix{
		{"write a new one now", fmt.Sprintf("aws ecr get-login-password | pullkey login %s --username AWS --password-stdin --keep-password && pullkey secret create %s --from-login %[1]s -n %[3]s", quote(w.parsed.Host()), quote(e.Secret+"-new"), quote(w.Pod.Namespace))},
		{Title: "have it renewed by something: the node's credential provider for ECR, or a job that runs more often than every 12 hours"},
	}
	return true
}
