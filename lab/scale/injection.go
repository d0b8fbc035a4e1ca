package scale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/stand"
)

// untouched is a namespace that the bindings of the policies leave out: there the
// API server evaluates nothing of them.
const untouched = "kube-system"

// injection measures what the policies cost, as the difference between what is
// born where they look and where they do not, in turns. The parameters are those
// that the controller makes of a configuration with every kind of rule.
func (b *bench) injection(ctx context.Context) error {
	p, err := b.manyRules(ctx)
	if err != nil {
		return err
	}
	if err := p.Stop(); err != nil {
		return err
	}
	parameters, err := b.Admin.CoreV1().ConfigMaps(stand.Home).Get(ctx, "pullkey-injection", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the parameters: %w", err)
	}
	bytes := 0
	for key, value := range parameters.Data {
		bytes += len(key) + len(value)
	}
	size := fmt.Sprintf("%d namespaces × %d hosts and every kind of rule, %d KB of parameters", b.Sizes.Names, b.Sizes.Hosts, bytes/1000)
	foreign := make([]string, 10)
	for i := range foreign {
		foreign[i] = fmt.Sprintf("registry-%d.example.com/team/app:1", i)
	}
	for _, kind := range []struct {
		name, namespace string
		images          []string
		injected        bool
	}{
		{"a pod with one image of a managed host, its namespace chosen by name", "named-00007", []string{host(b.Sizes.Hosts-1) + "/team/app:1"}, true},
		{"a pod with 11 images, the last of a managed host, its namespace chosen by labels alone", "labelled", append(slices.Clone(foreign), host(0)+"/team/app:1"), true},
		{"a pod with 10 images of nobody's, in a namespace that no rule chooses", "nobodys", foreign, false},
	} {
		pod := podOf(kind.images...)
		with, without, err := b.born(ctx, kind.namespace, kind.injected, func(ctx context.Context, namespace string) ([]corev1.LocalObjectReference, error) {
			made, err := b.Admin.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				return nil, err
			}
			return made.Spec.ImagePullSecrets, nil
		})
		if err != nil {
			return err
		}
		b.tellCost(size, kind.name, "at most 3 ms a pod", with, without)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app-7"}}
	with, without, err := b.born(ctx, "labelled", true, func(ctx context.Context, namespace string) ([]corev1.LocalObjectReference, error) {
		made, err := b.Admin.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return nil, err
		}
		return made.ImagePullSecrets, nil
	})
	if err != nil {
		return err
	}
	b.tellCost(size, "a ServiceAccount chosen by a glob, its namespace by labels alone", "at most 3 ms", with, without)
	return nil
}

func (b *bench) tellCost(size, kind, must string, with, without []time.Duration) {
	cost := median(with) - median(without)
	b.row("injection with "+size+": "+kind, must, cost <= 3*time.Millisecond,
		"%s: %s with the policy, %s without, medians of %d", short(cost), short(median(with)), short(median(without)), len(with))
}

// born measures what is asked for and not made, in the namespace and in one that
// the policies leave out.
func (b *bench) born(ctx context.Context, namespace string, injected bool, ask func(context.Context, string) ([]corev1.LocalObjectReference, error)) (with, without []time.Duration, err error) {
	one := func(of *[]time.Duration, namespace string, want bool) func(int) error {
		return func(round int) error {
			began := time.Now()
			names, err := ask(ctx, namespace)
			took := time.Since(began)
			if got := slices.Contains(names, corev1.LocalObjectReference{Name: secretName}); err == nil && got != want {
				err = fmt.Errorf("what is born in %s has the names %v", namespace, names)
			}
			if round > 0 {
				*of = append(*of, took)
			}
			return err
		}
	}
	err = inTurns(b.Sizes.Probes, one(&with, namespace, injected), one(&without, untouched, false))
	return with, without, err
}

func host(i int) string { return fmt.Sprintf("registry-%03d.bench.example.com", i) }

// manyRules configures every kind of rule, and returns a controller once the API
// server has its parameters.
func (b *bench) manyRules(ctx context.Context) (*stand.Process, error) {
	if err := b.clear(ctx); err != nil {
		return nil, err
	}
	if err := b.ruled(ctx); err != nil {
		return nil, err
	}
	var names, hosts []string
	for i := range b.Sizes.Names {
		names = append(names, fmt.Sprintf("named-%05d", i))
	}
	for i := range b.Sizes.Hosts {
		hosts = append(hosts, host(i))
	}
	// One that is no key of a ConfigMap becomes part of an expression.
	hosts = append(hosts, strings.Repeat(strings.Repeat("x", 59)+".", 4)+"example.com")
	err := b.Choose(ctx, map[string]string{
		"namespaces.include":      "team-*, ??-prod-*, *-preview",
		"namespaces.exclude":      "team-secret-*, *-scratch",
		"namespaces.selector":     "tier in (backend,data), env=prod, !legacy",
		"serviceAccounts.include": "app-*, *-runner",
	})
	if err != nil {
		return nil, err
	}
	err = b.Configure(ctx, "watch-namespace", strings.Join(names, ","), "service-account", "builder", // pods have the name of the policy on pods alone
		"acr-registry-info", fmt.Sprintf("- instanceId: %s\n  regionId: cn-hangzhou\n  domains: %s\n", stand.Instance, strings.Join(hosts, ",")))
	if err != nil {
		return nil, err
	}
	p, err := b.Start(ctx, "--allow-host="+strings.Join(hosts, ","))
	if err != nil {
		return nil, err
	}
	pod := podOf(host(0) + "/team/app:1")
	ctx, stop := p.While(ctx)
	defer stop()
	err = stand.Within(ctx, limit, "pods are born with the Secret's name by the new rules", func(ctx context.Context) error {
		made, err := b.Admin.CoreV1().Pods("labelled").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && len(made.Spec.ImagePullSecrets) == 0 {
			err = fmt.Errorf("born without")
		}
		return err
	})
	return p, err
}

// ruled makes the namespaces in which is asked, while there are no parameters:
// their ServiceAccounts are born without the name.
func (b *bench) ruled(ctx context.Context) error {
	labels := map[string]string{"tier": "backend", "env": "prod"}
	for i := range 20 {
		labels[fmt.Sprintf("bench.example.com/label-%d", i)] = fmt.Sprintf("value-%d", i)
	}
	for name, of := range map[string]map[string]string{"named-00007": nil, "labelled": labels, "nobodys": {"tier": "frontend"}} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: of}}
		if _, err := b.Admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make a namespace: %w", err)
		}
		err := stand.Within(ctx, limit, "the namespace has its ServiceAccount", func(ctx context.Context) error {
			_, err := b.Admin.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
