package explain_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/explain"
)

const (
	models = "reg.example.com/models:7"
	ecr    = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
)

// volume is one that is an image.
func volume(f *explain.Facts) {
	f.Pod.Spec.Volumes = []corev1.Volume{{Name: "models", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: models}}}}
}

// debug adds a debug container whose image cannot be had.
func debug(image, said string) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger", Image: image}}}
		f.Pod.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debugger", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: said}}}}
	}
}

// event is one of the pod's.
func event(reason, message string) change {
	return func(f *explain.Facts) {
		f.Events = append(f.Events, corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "app-0"}, Type: corev1.EventTypeWarning, Reason: reason, Message: message, EventTime: metav1.NewMicroTime(born),
		})
	}
}

func sandbox(tail string) change {
	return event("FailedCreatePodSandBox", "Failed to create pod sandbox: rpc error: code = Unknown desc = "+tail)
}

func withheld(name string) change {
	return event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets ("+name+"); attempting to pull the image may not succeed.")
}

// other is a Secret t with another password.
func other(key, password string) change {
	return has("t", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", `{"auths":{"`+key+`":{"username":"eve","password":"`+password+`"}}}`)
}

// user has the login of Secret s be of another user.
func user(name string) change {
	return func(f *explain.Facts) {
		text := f.Secrets["s"].Data[corev1.DockerConfigJsonKey]
		auth := base64.StdEncoding.EncodeToString([]byte(name + ":" + password))
		f.Secrets["s"].Data[corev1.DockerConfigJsonKey] = []byte(strings.Replace(string(text), base64.StdEncoding.EncodeToString([]byte("bob:"+password)), auth, 1))
	}
}

// expired is said of a certificate that has not begun by a clock an hour behind, and ended
// of one that has ended long ago, by a clock that may be right.
var expired = backOff(`failed to do request: Head "https://reg.example.com/v2/a/manifests/1": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T09:00:00Z is before 2026-11-23T09:30:00Z`)

var ended = backOff(`failed to do request: Head "https://reg.example.com/v2/a/manifests/1": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T11:00:00Z is after 2026-11-20T00:00:00Z`)

func never(f *explain.Facts) {
	f.Pod.Spec.Containers[0].ImagePullPolicy = corev1.PullNever
	f.Pod.Status.ContainerStatuses[0].State.Waiting.Message = `Container image "reg.example.com/a:1" is not present with pull policy of Never`
}

// onNode is a node with these images.
func onNode(kubelet string, images ...string) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.NodeName = "n1"
		f.Node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		f.Node.Status.NodeInfo.KubeletVersion = kubelet
		for _, name := range images {
			f.Node.Status.Images = append(f.Node.Status.Images, corev1.ContainerImage{Names: []string{name}})
		}
	}
}

func manyImages() []string {
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprintf("other.example.net/a:%d", i))
	}
	return all
}

func pressed(f *explain.Facts) {
	f.Node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}}
}

func clock(ahead time.Duration) change { return func(f *explain.Facts) { f.Clock = ahead } }

func noClock(f *explain.Facts) { f.NoClock = true }

func account(name string) change {
	return func(f *explain.Facts) { f.Pod.Spec.ServiceAccountName, f.ServiceAccount.Name = name, name }
}

func byDefault(names ...string) change {
	return func(f *explain.Facts) {
		f.Default = &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}, ImagePullSecrets: list(names)}
	}
}

func by(owner string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{Kind: "ReplicaSet", Name: owner, UID: types.UID(owner), Controller: &yes}}
}

func owned(owner string) change {
	return func(f *explain.Facts) { f.Pod.OwnerReferences = by(owner) }
}

// sibling is another pod on the node, which runs, and names these Secrets.
func sibling(owner string, after time.Duration, names ...string) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.NodeName = "n1"
		f.Pods = []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app-1", CreationTimestamp: metav1.NewTime(born.Add(after)), OwnerReferences: by(owner)},
			Spec:       corev1.PodSpec{NodeName: "n1", ImagePullSecrets: list(names)}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}}
	}
}

// template is what the pod was made from.
func template(policy corev1.PullPolicy, names ...string) change {
	return func(f *explain.Facts) {
		f.Owner = "ReplicaSet web"
		f.Template = &corev1.PodTemplateSpec{Spec: corev1.PodSpec{ImagePullSecrets: list(names), Containers: []corev1.Container{{Name: "app", Image: host + "/a:1", ImagePullPolicy: policy}}}}
	}
}

// beside is another container of the pod.
func beside(image string) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.Containers = append(f.Pod.Spec.Containers, corev1.Container{Name: "main", Image: image})
	}
}

func rename(name string) change {
	return func(f *explain.Facts) {
		f.Pod.Spec.Containers[0].Name, f.Pod.Status.ContainerStatuses[0].Name = name, name
	}
}

// elsewhere is a Secret s of another namespace, made so long after the pod.
func elsewhere(key, password string, after time.Duration) change {
	return func(f *explain.Facts) {
		f.Elsewhere = []corev1.Secret{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "source", Name: "s", CreationTimestamp: metav1.NewTime(born.Add(after))}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"` + key + `":{"username":"bob","password":"` + password + `"}}}`)},
		}}
	}
}

func immutable(f *explain.Facts) {
	yes := true
	f.Secrets["s"].Immutable = &yes
}

// accountWritten tells when the ServiceAccount's list was written, so long after the
// pod's birth, by whoever wrote these fields.
func accountWritten(after time.Duration, fields ...string) change {
	return func(f *explain.Facts) {
		at := metav1.NewTime(born.Add(after))
		f.ServiceAccount.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl", Time: &at, FieldsV1: metav1.NewFieldsV1(append(fields, `{"f:imagePullSecrets":{}}`)[0])}}
	}
}

// revisions are those of the ServiceAccount, and of the pod when it was given a node.
func revisions(account, pod string) change {
	return func(f *explain.Facts) {
		f.ServiceAccount.ResourceVersion = account
		f.Events = append(f.Events, corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "app-0", ResourceVersion: pod},
			Reason:         "Scheduled", EventTime: metav1.NewMicroTime(born),
		})
	}
}

func scheduledAt(after time.Duration) change {
	return func(f *explain.Facts) { f.Events[0].EventTime = metav1.NewMicroTime(born.Add(after)) }
}

// later has a Secret that was made an hour after the pod.
func later(f *explain.Facts) { f.Secrets["s"].CreationTimestamp = metav1.NewTime(born.Add(time.Hour)) }
