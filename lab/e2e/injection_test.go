package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/localacr"
)

// The tests need no node: a pod's specification, as the API server answers it,
// tells what it was born with.

const (
	parameters = "pullkey-injection"
	withPort   = "demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001"
)

// injecting is a configuration whose hosts are one that the cloud lists, one
// with a port, and those of the Personal Edition.
func (o *office) injecting(namespaces string) map[string]string {
	i := o.acr.Instances()[0]
	return map[string]string{
		"watch-namespace": namespaces,
		"service-account": "builder",
		"acr-registry-info": fmt.Sprintf("- instanceId: %q\n  regionId: cn-hangzhou\n  domains: %s,%s\n"+
			"- instanceId: \"\"\n  regionId: cn-shanghai\n", i.ID, i.Hosts[0], withPort),
	}
}

func podOf(images ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	for i, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	return pod
}

// names adds entries of the pod's own.
func names(pod *corev1.Pod, entries ...string) *corev1.Pod {
	for _, name := range entries {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return pod
}

// born tells what a pod would be born with; nothing is stored.
func (p *plane) born(ctx context.Context, namespace string, pod *corev1.Pod) ([]string, error) {
	got, err := p.admin.CoreV1().Pods(namespace).Create(ctx, pod.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return nil, err
	}
	var list []string
	for _, s := range got.Spec.ImagePullSecrets {
		list = append(list, s.Name)
	}
	return list, nil
}

// soonBorn waits until such a pod is born with exactly these.
func (p *plane) soonBorn(t *testing.T, namespace string, pod *corev1.Pod, want ...string) {
	t.Helper()
	p.eventually(t, "pods in "+namespace+" are born as they should be", func(ctx context.Context) error {
		got, err := p.born(ctx, namespace, pod)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("born with %q, want %q", got, want)
		}
		return nil
	})
}

// account makes a ServiceAccount and returns the list that it is born with.
func (p *plane) account(t *testing.T, namespace, name string, own ...string) []string {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, entry := range own {
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: entry})
	}
	made, err := p.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), sa, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return listed(made)
}

func TestPodsWithManagedImagesAreBornWithTheSecret(t *testing.T) {
	eachWay(t, podsWithManagedImagesAreBornWithTheSecret)
}

func podsWithManagedImagesAreBornWithTheSecret(t *testing.T, o *office) {
	t.Helper()
	watched, other := o.namespace(t, "watched"), o.namespace(t, "other")
	o.configure(t, o.injecting(watched))
	host := o.acr.Instances()[0].Hosts[0]
	ours := host + "/team/app:1"
	o.soonBorn(t, watched, podOf(ours), secretName)
	o.account(t, watched, "theirs", "of-the-account")

	inInit := podOf("docker.io/library/busybox")
	inInit.Spec.InitContainers = []corev1.Container{{Name: "init", Image: ours}}
	inVolume := podOf("docker.io/library/busybox")
	inVolume.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: ours}}}}
	ofAccount := podOf(ours)
	ofAccount.Spec.ServiceAccountName = "theirs"
	mirror := podOf(ours)
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "of-a-static-pod"}
	mirror.Spec.NodeName = "node"

	for _, c := range []struct {
		name      string
		namespace string
		pod       *corev1.Pod
		want      []string
	}{
		{"its own list is kept, in its order", watched, names(podOf(ours), "z", "a"), []string{"z", "a", secretName}},
		{"an empty name in its list is kept", watched, names(podOf(ours), "", "mine"), []string{"", "mine", secretName}},
		{"a list that names the Secret stays as it is", watched, names(podOf(ours), secretName, "mine"), []string{secretName, "mine"}},
		{"the list of its ServiceAccount is kept", watched, ofAccount, []string{"of-the-account", secretName}},
		{"the image of an init container alone", watched, inInit, []string{secretName}},
		{"the image of a volume alone", watched, inVolume, []string{secretName}},
		{"one managed image among others", watched, podOf("busybox", ours), []string{secretName}},
		{"a digest", watched, podOf(host + "/team/app@sha256:" + strings.Repeat("0", 64)), []string{secretName}},
		{"a host with a port", watched, podOf(withPort + "/team/app"), []string{secretName}},
		{"a host of the Personal Edition", watched, podOf("registry-vpc.cn-shanghai.aliyuncs.com/team/app"), []string{secretName}},
		{"a host in capital letters", watched, podOf(strings.ToUpper(host) + "/team/app"), []string{secretName}},
		{"no managed image", watched, names(podOf("busybox", "docker.io/library/busybox"), "mine"), []string{"mine"}},
		{"a managed host with another port", watched, podOf(host + ":8443/team/app"), nil},
		{"a host with a port, without it", watched, podOf(strings.TrimSuffix(withPort, ":65001") + "/team/app"), nil},
		{"a managed host as the beginning of another", watched, podOf(host + ".example.com/team/app"), nil},
		{"a managed host as the end of another", watched, podOf("evil-" + host + "/team/app"), nil},
		{"a managed host in the path", watched, podOf("example.com/" + ours), nil},
		{"a mirror pod", watched, mirror, nil},
		{"a namespace that is not watched", other, podOf(ours), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := o.born(t.Context(), c.namespace, c.pod)
			if err != nil {
				t.Fatalf("got %v, want the pod", err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("born with %q, want %q", got, c.want)
			}
		})
	}
}

// A ServiceAccount can bind its pods to the Secrets that it lists. The API
// server then judges the name that the policy added as if the user had written
// it, and the policy cannot see the ServiceAccount.
func TestAPodOfAServiceAccountThatEnforcesItsListIsRefusedWhenTheListLacksTheSecret(t *testing.T) {
	eachWay(t, aPodOfAServiceAccountThatEnforcesItsListIsRefusedWhenTheListLacksTheSecret)
}

func aPodOfAServiceAccountThatEnforcesItsListIsRefusedWhenTheListLacksTheSecret(t *testing.T, o *office) {
	t.Helper()
	watched := o.namespace(t, "watched")
	o.configure(t, o.injecting(watched))
	ours := o.acr.Instances()[0].Hosts[0] + "/team/app:1"
	o.soonBorn(t, watched, podOf(ours), secretName)
	for _, account := range []string{"builder", "unselected"} {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Name: account, Annotations: map[string]string{"kubernetes.io/enforce-mountable-secrets": "true"},
		}}
		if _, err := o.admin.CoreV1().ServiceAccounts(watched).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod := podOf(ours)
	pod.Spec.ServiceAccountName = "unselected"
	if got, err := o.born(t.Context(), watched, pod); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), secretName) {
		t.Errorf("not selected: born with %q (%v), want it to be forbidden for the Secret's name", got, err)
	}
	pod.Spec.Containers[0].Image = "busybox"
	if got, err := o.born(t.Context(), watched, pod); err != nil || len(got) > 0 {
		t.Errorf("not selected, with another image: born with %q (%v)", got, err)
	}
	pod.Spec.ServiceAccountName, pod.Spec.Containers[0].Image = "builder", ours
	if got, err := o.born(t.Context(), watched, pod); err != nil || !slices.Equal(got, []string{secretName}) {
		t.Errorf("selected: born with %q (%v), want the Secret", got, err)
	}
}

func TestAGlobOfHostsIsReadAsKubeletReadsIt(t *testing.T) {
	eachWay(t, aGlobOfHostsIsReadAsKubeletReadsIt)
}

func aGlobOfHostsIsReadAsKubeletReadsIt(t *testing.T, o *office) {
	t.Helper()
	watched := o.namespace(t, "watched")
	o.configure(t, map[string]string{
		"watch-namespace": watched, "service-account": "builder", "acr-registry": "registry.*.aliyuncs.com,registry-vpc.cn-sh*.aliyuncs.com",
	})
	o.soonBorn(t, watched, podOf("registry.cn-beijing.aliyuncs.com/team/app"), secretName)
	for host, want := range map[string][]string{
		"registry.cn-shanghai.aliyuncs.com":            {secretName},
		"REGISTRY.cn-shanghai.aliyuncs.com":            {secretName},
		"registry-vpc.cn-shenzhen.aliyuncs.com":        {secretName},
		"registry.oss-cn-hangzhou.aliyuncs.com":        {secretName}, // no registry: SECURITY.md
		"registry-vpc.cn-beijing.aliyuncs.com":         nil,          // outside the second glob
		"registry.cn-beijing.evil.aliyuncs.com":        nil,          // a star is no dot
		"registry.cn-beijing-aliyuncs.com":             nil,          // a dot is a dot
		"registry.cn-beijing.aliyuncs.com.example.com": nil,          // both ends are anchored
		"my-registry.cn-beijing.aliyuncs.com":          nil,
		"registry.cn-beijing.aliyuncs.com:8443":        nil,
	} {
		if got, err := o.born(t.Context(), watched, podOf(host+"/team/app")); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: born with %q (%v), want %q", host, got, err, want)
		}
	}
}

func TestAllNamespacesAreInjectedButThoseThatTheClusterNeeds(t *testing.T) {
	eachWay(t, allNamespacesAreInjectedButThoseThatTheClusterNeeds)
}

func allNamespacesAreInjectedButThoseThatTheClusterNeeds(t *testing.T, o *office) {
	t.Helper()
	first := o.namespace(t, "first")
	o.configure(t, o.injecting("all"))
	pod := podOf(o.acr.Instances()[0].Hosts[0] + "/team/app")
	pod.Spec.ServiceAccountName = "default"
	o.soonBorn(t, first, pod, secretName)
	// It is a rule, not a list: a namespace that is new is injected at once.
	// The account's own list does not show that; it has none so early.
	late := o.namespace(t, "late")
	o.eventually(t, "the namespace has its ServiceAccount", func(ctx context.Context) error {
		_, err := o.admin.CoreV1().ServiceAccounts(late).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if got, err := o.born(t.Context(), late, pod); err != nil || !slices.Equal(got, []string{secretName}) {
		t.Errorf("in a new namespace: born with %q (%v)", got, err)
	}
	o.stop() // ServiceAccounts of kube-system are its business
	for _, namespace := range []string{"kube-system", home} {
		t.Run(namespace, func(t *testing.T) {
			name := "late-" + late // of no list, so that what the pod has is the policy's
			if got := o.account(t, namespace, name); len(got) > 0 {
				t.Errorf("a ServiceAccount is born with %q", got)
			}
			t.Cleanup(func() {
				_ = o.admin.CoreV1().ServiceAccounts(namespace).Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
			})
			pod := pod.DeepCopy()
			pod.Spec.ServiceAccountName = name
			if got, err := o.born(t.Context(), namespace, pod); err != nil || len(got) > 0 {
				t.Errorf("a pod is born with %q (%v)", got, err)
			}
		})
	}
}

func TestServiceAccountsAreBornWithTheSecretAndTheirOwnEntries(t *testing.T) {
	eachWay(t, serviceAccountsAreBornWithTheSecretAndTheirOwnEntries)
}

func serviceAccountsAreBornWithTheSecretAndTheirOwnEntries(t *testing.T, o *office) {
	t.Helper()
	watched, other := o.namespace(t, "watched"), o.namespace(t, "other")
	o.configure(t, o.injecting(watched))
	o.soonBorn(t, watched, podOf(o.acr.Instances()[0].Hosts[0]+"/team/app"), secretName)
	o.stop() // what they have is the policy's work alone

	for _, c := range []struct {
		name, namespace, account string
		own, want                []string
	}{
		{"of a name that is not configured", watched, "app", []string{"mine"}, []string{"mine"}},
		{"with entries of its own", watched, "builder", []string{"z", "", "a"}, []string{"z", "", "a", secretName}},
		{"in a namespace that is not watched", other, "builder", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := o.account(t, c.namespace, c.account, c.own...); !slices.Equal(got, c.want) {
				t.Errorf("born with %q, want %q", got, c.want)
			}
		})
	}
	accounts := o.admin.CoreV1().ServiceAccounts(watched)
	for _, own := range [][]string{nil, {secretName, "mine"}} {
		if err := accounts.Delete(t.Context(), "builder", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		want := own
		if own == nil {
			want = []string{secretName}
		}
		if got := o.account(t, watched, "builder", own...); !slices.Equal(got, want) {
			t.Errorf("with %q of its own: born with %q, want %q", own, got, want)
		}
	}
}

// Another policy or webhook, later in the order, adds a sidecar with the only
// managed image.
func TestASidecarThatOtherAdmissionAddsIsSeen(t *testing.T) {
	eachWay(t, aSidecarThatOtherAdmissionAddsIsSeen)
}

func aSidecarThatOtherAdmissionAddsIsSeen(t *testing.T, o *office) {
	t.Helper()
	watched := o.namespace(t, "watched")
	o.configure(t, o.injecting(watched))
	ours := o.acr.Instances()[0].Hosts[0] + "/team/sidecar"
	o.soonBorn(t, watched, podOf(ours), secretName)
	if o.hook == nil {
		o.addSidecarPolicy(t, watched, ours)
	} else {
		o.addSidecarWebhook(t, watched, ours)
	}
	o.eventually(t, "the other admission adds its sidecar", func(ctx context.Context) error {
		got, err := o.admin.CoreV1().Pods(watched).Create(ctx, names(podOf("busybox"), "mine"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if len(got.Spec.Containers) != 2 {
			return fmt.Errorf("%d containers", len(got.Spec.Containers))
		}
		want := []corev1.LocalObjectReference{{Name: "mine"}, {Name: secretName}}
		if !slices.Equal(got.Spec.ImagePullSecrets, want) {
			t.Fatalf("with the sidecar it is born with %v, want %v", got.Spec.ImagePullSecrets, want)
		}
		return nil
	})
}

func (o *office) addSidecarPolicy(t *testing.T, namespace, image string) {
	t.Helper()
	name := "zz-sidecar-" + namespace
	fail, ifNeeded := admissionv1.Fail, admissionv1.IfNeededReinvocationPolicy
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: ifNeeded,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: `object.spec.containers.exists(c, c.name == 'sidecar') ? [] :
					[JSONPatch{op: 'add', path: '/spec/containers/-', value: Object.spec.containers{name: 'sidecar', image: '` + image + `'}}]`},
			}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name, MatchResources: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		}},
	}
	api := o.admin.AdmissionregistrationV1()
	if _, err := api.MutatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.MutatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = api.MutatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{})
		_ = api.MutatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
	})
}

func TestWithoutParametersPodsAndServiceAccountsAreBornUntouched(t *testing.T) {
	eachWay(t, withoutParametersPodsAndServiceAccountsAreBornUntouched)
}

func withoutParametersPodsAndServiceAccountsAreBornUntouched(t *testing.T, o *office) {
	t.Helper()
	watched := o.namespace(t, "watched")
	o.configure(t, o.injecting(watched))
	pod := names(podOf(o.acr.Instances()[0].Hosts[0]+"/team/app"), "mine")
	o.soonBorn(t, watched, pod, "mine", secretName)
	o.stop()
	maps := o.admin.CoreV1().ConfigMaps(home)
	whole, err := maps.Get(t.Context(), parameters, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	untouched := func(t *testing.T) {
		t.Helper()
		o.soonBorn(t, watched, pod, "mine")
		if got := o.account(t, watched, "builder", "mine"); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("a ServiceAccount is born with %q", got)
		}
		if err := o.admin.CoreV1().ServiceAccounts(watched).Delete(t.Context(), "builder", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	empty := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: parameters}}
	if _, err := maps.Update(t.Context(), empty, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("a ConfigMap without data", untouched)

	again := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: parameters}, Data: whole.Data}
	if _, err := maps.Update(t.Context(), again, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.soonBorn(t, watched, pod, "mine", secretName)
	if err := maps.Delete(t.Context(), parameters, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("no ConfigMap", untouched)
}

func TestPodsAreBornWithTheSecretDuringAnOutage(t *testing.T) {
	eachWay(t, podsAreBornWithTheSecretDuringAnOutage)
}

func podsAreBornWithTheSecretDuringAnOutage(t *testing.T, o *office) {
	t.Helper()
	first := o.namespace(t, "first")
	o.configure(t, o.injecting(first))
	pod := podOf(o.acr.Instances()[0].Hosts[0] + "/team/app")
	o.soonBorn(t, first, pod, secretName)
	if err := o.acr.Faults().Set(localacr.Fault{Kind: localacr.ServerError}); err != nil {
		t.Fatal(err)
	}
	second := o.namespace(t, "second")
	o.configure(t, o.injecting(first+","+second))
	o.soonBorn(t, second, pod, secretName)
	o.soonBorn(t, first, pod, secretName)
}
