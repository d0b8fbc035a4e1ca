package scale

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab/stand"
)

// many is how many requests are under way at a time where something is made or
// removed that is not measured.
const many = 16

func tenant(i int) string { return fmt.Sprintf("tenant-%05d", i) }

// tenants sees to it that there are n namespaces, each with its ServiceAccount
// default, the first builders of them with one more.
func (b *bench) tenants(ctx context.Context, n, builders int) error {
	core := b.Admin.CoreV1()
	err := stand.Each(ctx, n-b.made, many, func(ctx context.Context, i int) error {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant(b.made + i)}}
		_, err := core.Namespaces().Create(ctx, ns, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	b.made = max(b.made, n)
	err = stand.Each(ctx, builders, many, func(ctx context.Context, i int) error {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}
		_, err := core.ServiceAccounts(tenant(i)).Create(ctx, sa, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make ServiceAccounts: %w", err)
	}
	return stand.Within(ctx, limit, "every namespace has its ServiceAccount", func(ctx context.Context) error {
		namespaces, err := core.Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		all, err := core.ServiceAccounts("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "default").String()})
		if err == nil && len(all.Items) < len(namespaces.Items) {
			err = fmt.Errorf("%d of %d", len(all.Items), len(namespaces.Items))
		}
		return err
	})
}

// others makes Secrets of others, spread over the namespaces.
func (b *bench) others(ctx context.Context, prefix string, n, size int) error {
	data := bytes.Repeat([]byte("x"), size)
	return stand.Each(ctx, n, many, func(ctx context.Context, i int) error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%05d", prefix, i)}, Data: map[string][]byte{"data": data}}
		_, err := b.Admin.CoreV1().Secrets(tenant(i%b.made)).Create(ctx, secret, metav1.CreateOptions{})
		return err
	})
}

// pods makes pods that no scheduler looks at, spread over the namespaces.
func (b *bench) pods(ctx context.Context, n int) error {
	return stand.Each(ctx, n, many, func(ctx context.Context, i int) error {
		pod := podOf("registry.example.com/team/app:1")
		pod.Name = fmt.Sprintf("app-%05d", i)
		pod.Labels = map[string]string{"app": "app", "pod-template-hash": "5d4f8c7b9"}
		pod.Spec.SchedulerName = "nobody"
		_, err := b.Admin.CoreV1().Pods(tenant(i%b.made)).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

func podOf(images ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
	for i, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	return pod
}

// clear takes all that pullkey wrote out of the namespaces, and what it keeps for
// itself.
func (b *bench) clear(ctx context.Context) error {
	secrets, err := b.Admin.CoreV1().Secrets("").List(ctx, pullSecrets())
	if err != nil {
		return fmt.Errorf("list the pull Secrets: %w", err)
	}
	err = stand.Each(ctx, len(secrets.Items), many, func(ctx context.Context, i int) error {
		return b.Admin.CoreV1().Secrets(secrets.Items[i].Namespace).Delete(ctx, secretName, metav1.DeleteOptions{})
	})
	if err != nil {
		return fmt.Errorf("delete the pull Secrets: %w", err)
	}
	accounts, err := b.Admin.CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the ServiceAccounts: %w", err)
	}
	err = stand.Each(ctx, len(accounts.Items), many, func(ctx context.Context, i int) error {
		sa := accounts.Items[i]
		if len(sa.ImagePullSecrets) == 0 {
			return nil
		}
		_, err := b.Admin.CoreV1().ServiceAccounts(sa.Namespace).Patch(ctx, sa.Name, types.MergePatchType, []byte(`{"imagePullSecrets":null}`), metav1.PatchOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("take the entries out of the ServiceAccounts: %w", err)
	}
	return b.Forget(ctx)
}

func pullSecrets() metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", secretName).String()}
}

// unwatched is not served: its ServiceAccounts come when Kubernetes needs them, so
// that they could not be counted.
const unwatched = metav1.NamespaceSystem

// choose has pullkey serve every namespace but one, and counts what it is to
// serve: namespaces, and the ServiceAccounts that are named, or all.
func (b *bench) choose(ctx context.Context, accounts ...string) (namespaces, chosen int, err error) {
	if err := b.Choose(ctx, map[string]string{"namespaces.exclude": unwatched}); err != nil {
		return 0, 0, err
	}
	if err := b.Configure(ctx, "watch-namespace", "all", "service-account", cmp.Or(strings.Join(accounts, ","), "*")); err != nil {
		return 0, 0, err
	}
	all, err := b.Admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, fmt.Errorf("count the namespaces: %w", err)
	}
	of, err := b.Admin.CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, fmt.Errorf("count the ServiceAccounts: %w", err)
	}
	for _, sa := range of.Items {
		if sa.Namespace != unwatched && (len(accounts) == 0 || slices.Contains(accounts, sa.Name)) {
			chosen++
		}
	}
	return len(all.Items) - 1, chosen, nil
}
