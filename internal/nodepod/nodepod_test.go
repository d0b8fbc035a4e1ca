package nodepod

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const ownImage = "registry.example.com/pullkey/pullkey-controller:v1"

// running is a pod of an image on node n1, with a pull Secret.
func running(image string, changes ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "sidecar", Image: "mesh:1"}, {Name: "c", Image: image}}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, c := range changes {
		c(&pod)
	}
	return pod
}

func TestTheImageIsThatOfAPodOfPullkeysOnTheNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pod  corev1.Pod
		ours bool
	}{
		"a pod of pullkey's":                {running(ownImage), true},
		"by digest":                         {running("registry.example.com/pullkey/pullkey-controller@sha256:" + strings.Repeat("a", 64)), true},
		"of another image":                  {running("registry.example.com/pullkey/pullkey-controller-of-others:v1"), false},
		"on another node":                   {running(ownImage, func(p *corev1.Pod) { p.Spec.NodeName = "n2" }), false},
		"that does not run":                 {running(ownImage, func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }), false},
		"that looks, and is no pod to copy": {running(ownImage, func(p *corev1.Pod) { p.Labels = map[string]string{label: "true"} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"evil.example/x/pullkey-controller:1"}}}}}
			image, secrets := (&place{Options{Node: node}}).ours([]corev1.Pod{c.pod})
			if (image == c.pod.Spec.Containers[1].Image) != c.ours || (len(secrets) == 1) != c.ours {
				t.Errorf("got %q with %v", image, secrets)
			}
		})
	}
}

// TestThePodHoldsNothing: no credential, no right, no end of its life left open.
func TestThePodHoldsNothing(t *testing.T) {
	t.Parallel()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.7"}, {Type: corev1.NodeHostName, Address: "n1"}}}}
	p := &place{Options{Node: node, Namespace: "looks", Reference: "reg.example.com/a:1", Folders: Folders(), Timeout: 30 * time.Second}}
	pod := p.pod(ownImage, nil)
	c := pod.Spec.Containers[0]
	want := &corev1.SecurityContext{
		RunAsUser: new(int64(0)), RunAsNonRoot: new(false), ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if diff := cmp.Diff(want, c.SecurityContext); diff != "" {
		t.Errorf("what it may (-want +got):\n%s", diff)
	}
	volumes := pod.Spec.Volumes
	pod.Spec.Containers, pod.Spec.Volumes = nil, nil
	bare := corev1.PodSpec{
		NodeName: "n1", HostNetwork: true, DNSPolicy: corev1.DNSDefault, RestartPolicy: corev1.RestartPolicyNever, ActiveDeadlineSeconds: new(int64(30)), TerminationGracePeriodSeconds: new(int64(0)),
		AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	}
	if diff := cmp.Diff(bare, pod.Spec); diff != "" {
		t.Errorf("the pod besides (-want +got):\n%s", diff)
	}
	if len(c.Env)+len(c.EnvFrom) > 0 || c.ImagePullPolicy != corev1.PullNever {
		t.Errorf("got %+v", c)
	}
	for i, m := range c.VolumeMounts {
		at := volumes[i].HostPath
		if !m.ReadOnly || m.MountPath != "/host"+at.Path || *at.Type != corev1.HostPathDirectory {
			t.Errorf("got %+v of %+v", m, at)
		}
	}
	args := strings.Join(c.Args, " ")
	if !strings.Contains(args, "--refuse=10.0.0.7") || strings.Contains(args, "--refuse=n1") || !strings.Contains(args, "--timeout=25s") {
		t.Errorf("got %s", args)
	}
}

func TestOnlyWhatIsOverIsSweptAway(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	left := func(life int64, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(made), Labels: labels}, Spec: corev1.PodSpec{ActiveDeadlineSeconds: &life}}
	}
	ours := map[string]string{label: "true"}
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		when time.Duration
		want bool
	}{
		"one that a run left":           {left(30, ours), 2 * time.Minute, true},
		"one that somebody waits for":   {left(30, ours), 80 * time.Second, false},
		"one of a run with much time":   {left(1800, ours), 20 * time.Minute, false},
		"somebody's, of the same shape": {left(30, nil), time.Hour, false},
	} {
		if got := over(c.pod, made.Add(c.when)); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestWhatThePodHasLeftIsReadOfItsOwnContainerAlone(t *testing.T) {
	t.Parallel()
	ended := func(name, message string, code int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message, ExitCode: code}}}
	}
	for name, c := range map[string]struct {
		statuses []corev1.ContainerStatus
		node     string
	}{
		"a view":                      {[]corev1.ContainerStatus{ended("mesh", `{"node":"n2"}`, 0), ended(container, `{"node":"n1"}`, 0)}, "n1"},
		"the view of a sidecar":       {[]corev1.ContainerStatus{ended("mesh", `{"node":"n2"}`, 0)}, ""},
		"half of one":                 {[]corev1.ContainerStatus{ended(container, `{"node":"n1"`, 0)}, ""},
		"one of a program that fails": {[]corev1.ContainerStatus{ended(container, `{"node":"n1"}`, 2)}, ""},
		"nothing":                     {nil, ""},
	} {
		view, err := told(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: c.statuses}})
		if view.Node != c.node || (err == nil) != (c.node != "") {
			t.Errorf("%s: got %+v, %v", name, view, err)
		}
	}
}
