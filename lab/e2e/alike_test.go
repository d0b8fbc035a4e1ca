package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/webhook"
)

// The policies of the API server and the webhook's function get the same random
// parameters, namespaces and objects, broken expressions among them. The seed is
// fixed, so that what fails fails again.
func TestPolicyAndWebhookGiveTheSame(t *testing.T) {
	o := openOffice(t)
	o.stop()
	o.clear(t)
	random := rand.New(rand.NewPCG(5, 1937))
	namespaces := []webhook.Namespace{
		o.known(t, "plain", nil), o.known(t, "team-a", map[string]string{"team": "a"}), o.known(t, "team-b", map[string]string{"team": "b", "legacy": ""}),
		o.known(t, "empty", map[string]string{"team": ""}),
		{Name: home, Labels: o.labelsOf(t, home)},
	}
	birth := webhook.Birth{Namespace: home, SecretName: secretName}
	injected := 0
	var last string
	off := true // pods, in the parameters before
	for round := range 40 {
		marker := fmt.Sprintf("marker-%d.example.com", round)
		data := someParameters(random, namespaces, !off)
		data["host."+marker] = ""
		_, off = data["no-pods"]
		o.parametersAre(t, data, marker, last)
		last = marker
		with := webhook.Parse(data)
		for _, namespace := range namespaces {
			for range 3 {
				pod := somePod(random, marker)
				own := pod.Spec.ImagePullSecrets
				patch, err := birth.Pod(with, namespace, encoded(t, pod))
				got, refused := o.born(t.Context(), namespace.Name, pod)
				injected += o.alike(t, "pod", data, namespace, pod, own, patch, got, errors.Join(err, refused))
			}
			if namespace.Name == home {
				continue // the binding and the webhook's selector leave it out
			}
			sa := someAccount(random)
			own := sa.ImagePullSecrets
			patch, err := birth.ServiceAccount(with, namespace, encoded(t, sa))
			made, refused := o.admin.CoreV1().ServiceAccounts(namespace.Name).Create(t.Context(), sa, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			injected += o.alike(t, "ServiceAccount", data, namespace, sa, own, patch, listed(made), errors.Join(err, refused))
		}
	}
	if injected < 100 || injected > 600 {
		t.Errorf("%d of 760 were injected: that proves little", injected)
	}
}

// alike compares what the policy made of an object with what the webhook would; it
// counts what the policy injected.
func (o *office) alike(t *testing.T, kind string, data map[string]string, in webhook.Namespace, object any, own []corev1.LocalObjectReference, patch []webhook.Operation, got []string, err error) int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, entry := range own {
		want = append(want, entry.Name)
	}
	if len(patch) > 0 {
		want = append(want, secretName)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s in %v with the parameters %q:\n%s\nthe policy makes it %q, the webhook %q", kind, in, data, encoded(t, object), got, want)
	}
	if len(got) > len(own) {
		return 1
	}
	return 0
}

// known makes a namespace whose name begins so, with a ServiceAccount.
func (o *office) known(t *testing.T, prefix string, labels map[string]string) webhook.Namespace {
	t.Helper()
	made, err := o.admin.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-", Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{})
	})
	o.account(t, made.Name, "of-pods")
	return webhook.Namespace{Name: made.Name, Labels: made.Labels}
}

func (o *office) labelsOf(t *testing.T, namespace string) map[string]string {
	t.Helper()
	found, err := o.admin.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "of-pods"}}
	if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.admin.CoreV1().ServiceAccounts(namespace).Delete(context.WithoutCancel(t.Context()), sa.Name, metav1.DeleteOptions{})
	})
	return found.Labels
}

// parametersAre writes them and waits until the API server evaluates them: the
// probe is born with the name for this marker, where pods are injected at all, and
// not for the one before.
func (o *office) parametersAre(t *testing.T, data map[string]string, marker, last string) {
	t.Helper()
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: parameters}, Data: data}
	api := o.admin.CoreV1().ConfigMaps(home)
	_, err := api.Update(t.Context(), wanted, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(t.Context(), wanted, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	probe := func(host string) *corev1.Pod {
		pod := withoutToken(podOf(host + "/probe"))
		pod.Labels = map[string]string{"pullkey.dev/probe": ""}
		return pod
	}
	if _, off := data["no-pods"]; !off {
		o.soonBorn(t, home, probe(marker), secretName)
	}
	if text, matches := data["hosts-matching"]; last != "" && (text != "" || !matches) {
		o.soonBorn(t, home, probe(last))
	}
}

// someParameters are some of what the controller writes, and of what somebody could
// make of it.
func someParameters(random *rand.Rand, namespaces []webhook.Namespace, mayBeOff bool) map[string]string {
	const broken = "^("
	all := map[string][]string{
		"all-namespaces": {""}, "all-serviceaccounts": {""}, "sa.build-x": {""}, "only-some": {""}, "no-serviceaccounts": {""},
		"host.": {""}, "host.acr.example.com": {""}, "host.acr.example.com_65001": {""},
		"hosts-matching":           {`^(registry\.[^.]*\.example\.com)$`, broken, ""},
		"namespaces-matching":      {"^(team-.*|x)$", "^(plain.*)$", broken},
		"namespaces-except":        {"^(.*-b.*)$", "^(team-a.*)$", broken},
		"namespaces-labelled":      {"^team=(a|b)$", "^team=.*$\n!^legacy=.*$", "!^team=(b)$", broken, "!" + broken, "^team=(a)$\n" + broken, "^nothing=.*$\n" + broken, "", "!"},
		"serviceaccounts-matching": {"^(build-.*)$", broken},
	}
	for _, n := range namespaces {
		all["ns."+n.Name], all["only."+n.Name] = []string{""}, []string{""}
	}
	data := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		odds := 2
		if slices.Contains([]string{"only-some", "no-serviceaccounts", "namespaces-except"}, key) {
			odds = 6 // they take away
		}
		if random.IntN(odds) == 0 {
			data[key] = all[key][random.IntN(len(all[key]))]
		}
	}
	if mayBeOff && random.IntN(6) == 0 {
		data["no-pods"] = ""
	}
	return data
}

// withoutToken is the pod as it is when it is judged: the API server adds a volume
// for the token before.
func withoutToken(pod *corev1.Pod) *corev1.Pod {
	no := false
	pod.Spec.ServiceAccountName, pod.Spec.AutomountServiceAccountToken = "of-pods", &no
	return pod
}

func somePod(random *rand.Rand, marker string) *corev1.Pod {
	images := []string{
		"busybox", "acr.example.com/a", "ACR.example.com/a", "acr.example.com:65001/a", "acr.example.com:1/a", "registry.cn-x.example.com/a",
		"registry.cn.x.example.com/a", "registry.cn-x.example.com/a@sha256:" + strings.Repeat("0", 64), "docker.io/acr.example.com/a", "/a", marker + "/a",
	}
	image := func() string { return images[random.IntN(len(images))] }
	pod := withoutToken(podOf(image()))
	if random.IntN(3) == 0 {
		pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: image()}}
	}
	if random.IntN(3) == 0 {
		pod.Spec.Volumes = []corev1.Volume{
			{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "image", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image()}}},
		}
	}
	if random.IntN(4) == 0 {
		pod.Labels = map[string]string{"pullkey.dev/probe": ""}
	}
	if random.IntN(6) == 0 {
		pod.Spec.NodeName, pod.Spec.ServiceAccountName, pod.Spec.AutomountServiceAccountToken = "node", "", nil
		pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "static"}
		pod.Spec.Volumes = nil
		return pod
	}
	return names(pod, somebodysList(random)...)
}

func someAccount(random *rand.Rand) *corev1.ServiceAccount {
	name := []string{"build-x", "build-y", "other"}[random.IntN(3)]
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if random.IntN(5) == 0 {
		sa.Name, sa.GenerateName = "", "build-"
	}
	for _, entry := range somebodysList(random) {
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: entry})
	}
	return sa
}

func somebodysList(random *rand.Rand) []string {
	return [][]string{nil, nil, nil, {"mine"}, {"", "mine"}, {secretName}, {"mine", secretName, "other"}}[random.IntN(7)]
}

func encoded(t *testing.T, object any) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
