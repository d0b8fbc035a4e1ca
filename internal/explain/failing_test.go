package explain_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/explain"
)

const (
	ns       = "shop"
	host     = "reg.example.com"
	password = "not-to-be-printed"
)

var born = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// What containerd 2.4 says, behind what kubelet puts before it.
func backOff(tail string) string {
	return `Back-off pulling image "X": ErrImagePull: rpc error: code = Unknown desc = failed to pull and unpack image "X": failed to resolve image: ` + tail
}

var (
	anonymous = backOff("failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://auth.example.com/token: 401 Unauthorized")
	noBasic   = backOff("pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials")
	refused   = backOff("failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://auth.example.com/token: 401 Unauthorized")
	scope     = backOff("pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed")
	notFound  = `Back-off pulling image "X": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "reg.example.com/a:1": failed to resolve image: reg.example.com/a:1: not found`
	noHost    = backOff(`failed to do request: Head "https://reg.example.com/v2/a/manifests/1": dial tcp: lookup reg.example.com on 10.0.0.10:53: no such host`)
)

// backOffOf is what is said of an image that is pulled as nobody.
func backOffOf(image string) string { return strings.ReplaceAll(anonymous, `"X"`, `"`+image+`"`) }

type change func(*explain.Facts)

// failing is a pod of one container whose image cannot be had, and its ServiceAccount,
// which names the same Secrets.
func failing(image, said string, changes ...change) *explain.Facts {
	f := &explain.Facts{
		Pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app-0", CreationTimestamp: metav1.NewTime(born)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
		},
		ServiceAccount: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default", CreationTimestamp: metav1.NewTime(born.Add(-time.Hour))}},
		Secrets:        map[string]*corev1.Secret{}, Complete: true,
	}
	if said != "" {
		reason := "ImagePullBackOff"
		if !strings.HasPrefix(said, "Back-off") {
			reason, said = said, ""
		}
		f.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: said}}}}
	}
	for _, c := range changes {
		c(f)
	}
	return f
}

// has puts a Secret into the namespace; with named the pod names it too.
func has(name, kind, key, text string) change {
	return func(f *explain.Facts) {
		f.Secrets[name] = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(born.Add(-time.Hour))},
			Type:       corev1.SecretType(kind), Data: map[string][]byte{key: []byte(text)},
		}
	}
}

func document(key string) string {
	auth := base64.StdEncoding.EncodeToString([]byte("bob:" + password))
	text, _ := json.Marshal(map[string]any{"auths": map[string]any{key: map[string]string{"auth": auth}}})
	return string(text)
}

func login(name, key string) change {
	return has(name, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", document(key))
}

func holding(text string) change {
	return has("s", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", text)
}

func list(names []string) []corev1.LocalObjectReference {
	var all []corev1.LocalObjectReference
	for _, name := range names {
		all = append(all, corev1.LocalObjectReference{Name: name})
	}
	return all
}

func podNames(names ...string) change {
	return func(f *explain.Facts) { f.Pod.Spec.ImagePullSecrets = list(names) }
}

func accountNames(names ...string) change {
	return func(f *explain.Facts) { f.ServiceAccount.ImagePullSecrets = list(names) }
}

func named(key string) []change { return []change{login("s", key), podNames("s")} }

func join(a []change, b ...change) []change { return append(a, b...) }

// failedAt is an event of a try so long after the pod's birth.
func failedAt(after time.Duration) change {
	return func(f *explain.Facts) {
		f.Events = []corev1.Event{{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "app-0"}, Type: corev1.EventTypeWarning, Reason: "Failed",
			Message: "Error: ErrImagePull", EventTime: metav1.NewMicroTime(born.Add(after)),
		}}
	}
}
