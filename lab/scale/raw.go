package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pullkey/pullkey/lab/stand"
)

// Raw writes are those of the controller, made by somebody who decides nothing:
// the same bytes, the same requests, the same identity with the same rights and
// policies, as many at a time, while the same watches are open.

// workers is how many namespaces the controller has under way (--workers).
const workers = 8

// remember reads what the controller wrote: the Secrets.
func (b *bench) remember(ctx context.Context) ([]corev1.Secret, error) {
	all, err := b.Admin.CoreV1().Secrets("").List(ctx, pullSecrets())
	if err != nil {
		return nil, fmt.Errorf("read the pull Secrets: %w", err)
	}
	if len(all.Items) == 0 {
		return nil, errors.New("there is no pull Secret to write in the same way")
	}
	return all.Items, nil
}

// raw is a client with its watches open. The function that is returned closes
// them.
func (b *bench) raw(ctx context.Context) (kubernetes.Interface, func(), error) {
	client, err := b.Pullkey(rawAgent)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, open := range []func() (watch.Interface, error){
		func() (watch.Interface, error) { return client.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{}) },
		func() (watch.Interface, error) {
			return client.CoreV1().ServiceAccounts("").Watch(ctx, metav1.ListOptions{})
		},
		func() (watch.Interface, error) { return client.CoreV1().Secrets("").Watch(ctx, pullSecrets()) },
	} {
		w, err := open()
		if err != nil {
			stop()
			return nil, nil, fmt.Errorf("open a watch: %w", err)
		}
		all.Go(func() {
			for range w.ResultChan() {
			}
		})
	}
	return client, func() { stop(); all.Wait() }, nil
}

// rawStart makes the Secrets and names them in the ServiceAccounts, and returns
// the time from the first to the last write.
func (b *bench) rawStart(ctx context.Context, secrets []corev1.Secret) (time.Duration, error) {
	client, stop, err := b.raw(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()
	accounts, err := b.versions(ctx)
	if err != nil {
		return 0, err
	}
	w, err := b.watch(rawAgent)
	if err != nil {
		return 0, err
	}
	err = stand.Each(ctx, len(secrets), workers, func(ctx context.Context, i int) error {
		s := secrets[i]
		apply := applycorev1.Secret(s.Name, s.Namespace).WithLabels(s.Labels).WithAnnotations(s.Annotations).WithType(s.Type).WithData(s.Data)
		if _, err := client.CoreV1().Secrets(s.Namespace).Apply(ctx, apply, metav1.ApplyOptions{FieldManager: "pullkey"}); err != nil {
			return err
		}
		body, err := json.Marshal([]operation{
			{"replace", "/metadata/resourceVersion", accounts[s.Namespace]},
			{"add", "/imagePullSecrets", []map[string]string{{"name": s.Name}}},
		})
		if err != nil {
			return err
		}
		_, err = client.CoreV1().ServiceAccounts(s.Namespace).Patch(ctx, "default", types.JSONPatchType, body, metav1.PatchOptions{FieldManager: "pullkey"})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("raw writes: %w", err)
	}
	return b.spent(ctx, w, len(secrets), len(secrets))
}

// operation is one of a JSON Patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (b *bench) spent(ctx context.Context, w *watcher, secrets, accounts int) (time.Duration, error) {
	if err := w.written(ctx, secrets, accounts); err != nil {
		return 0, err
	}
	if w.further() > 0 {
		return 0, fmt.Errorf("raw writes: these were more: %v", w.others)
	}
	return w.span(), nil
}

// versions are those of the ServiceAccounts default, by namespace.
func (b *bench) versions(ctx context.Context) (map[string]string, error) {
	all, err := b.Admin.CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=default"})
	if err != nil {
		return nil, fmt.Errorf("read the ServiceAccounts: %w", err)
	}
	versions := map[string]string{}
	for _, sa := range all.Items {
		versions[sa.Namespace] = sa.ResourceVersion
	}
	return versions, nil
}

// rawRotation patches each Secret once, as a renewal does. What it writes is what
// stands there, and a mark of the round, that the controller leaves where it is.
func (b *bench) rawRotation(ctx context.Context, round int) (time.Duration, error) {
	secrets, err := b.remember(ctx)
	if err != nil {
		return 0, err
	}
	client, stop, err := b.raw(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()
	w, err := b.watch(rawAgent)
	if err != nil {
		return 0, err
	}
	err = stand.Each(ctx, len(secrets), workers, func(ctx context.Context, i int) error {
		s := secrets[i]
		s.Annotations["pullkey.dev/bench"] = fmt.Sprint(round)
		body, err := json.Marshal([]operation{
			{"replace", "/metadata/resourceVersion", s.ResourceVersion},
			{"add", "/data", s.Data},
			{"add", "/metadata/annotations", s.Annotations},
		})
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: "pullkey"})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("raw writes: %w", err)
	}
	return b.spent(ctx, w, len(secrets), 0)
}
