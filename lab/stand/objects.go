package stand

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/credential"
)

// Configure writes the vendor's ConfigMap: pullkey's own instance, and what else
// the keys say.
func (s *Stand) Configure(ctx context.Context, keysAndValues ...string) error {
	data := map[string]string{"acr-registry-info": "- instanceId: " + Instance + "\n  regionId: cn-hangzhou\n"}
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		data[keysAndValues[i]] = keysAndValues[i+1]
	}
	return s.setConfigMap(ctx, "kube-system", "acr-configuration", data)
}

// Choose writes pullkey's own ConfigMap.
func (s *Stand) Choose(ctx context.Context, data map[string]string) error {
	return s.setConfigMap(ctx, Home, "pullkey", data)
}

func (s *Stand) setConfigMap(ctx context.Context, namespace, name string, data map[string]string) error {
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	_, err := s.Admin.CoreV1().ConfigMaps(namespace).Update(ctx, wanted, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = s.Admin.CoreV1().ConfigMaps(namespace).Create(ctx, wanted, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", namespace, name, err)
	}
	return nil
}

// SetAccessKey writes the access key where pullkey looks for it.
func (s *Stand) SetAccessKey(ctx context.Context, key credential.AccessKey) error {
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "alibaba-addon-secret"},
		StringData: map[string]string{"access-key-id": key.ID, "access-key-secret": key.Secret.Reveal()},
	}
	secrets := s.Admin.CoreV1().Secrets("kube-system")
	_, err := secrets.Update(ctx, wanted, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(ctx, wanted, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write the access key: %w", err)
	}
	return nil
}

// Forget removes what a controller keeps for itself, so that the next one starts
// as the first.
func (s *Stand) Forget(ctx context.Context) error {
	for _, err := range []error{
		s.Admin.CoreV1().Secrets(Home).Delete(ctx, "pullkey-credentials", metav1.DeleteOptions{}),
		s.Admin.CoreV1().ConfigMaps(Home).Delete(ctx, "pullkey-last-good", metav1.DeleteOptions{}),
		s.Admin.CoreV1().ConfigMaps(Home).Delete(ctx, "pullkey-injection", metav1.DeleteOptions{}),
		s.Admin.CoreV1().ConfigMaps(Home).Delete(ctx, "pullkey-status", metav1.DeleteOptions{}),
		s.Admin.CoordinationV1().Leases(Home).Delete(ctx, "pullkey-controller", metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove what a controller keeps for itself: %w", err)
		}
	}
	return nil
}

// Each does it for each of n, many at a time, until the first error.
func Each(ctx context.Context, n, many int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// Within looks again until check returns nil, or the limit is over.
func Within(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("it was not looked at")
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return fmt.Errorf("%s: %w: %w", what, cause, last)
			}
			return fmt.Errorf("%s: not within %s: %w", what, limit, last)
		case <-tick.C:
		}
	}
}
