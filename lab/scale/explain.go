package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
	"github.com/pullkey/pullkey/lab/stand"
)

const (
	unlucky = 20  // of so many pods one cannot pull
	paged   = 500 // pods in a page, as kubectl and pullkey have it
)

// explain measures the command line beside many pods and Secrets: one pod, and all
// of them at a fifth of their number and at the whole of it.
func (b *bench) explain(ctx context.Context) error {
	program := b.Dir + "/pullkey"
	if err := b.Build(ctx, "pullkey", program); err != nil {
		return err
	}
	few, err := b.doctor(ctx, program, b.Sizes.Explained/5)
	if err != nil {
		return err
	}
	all, err := b.doctor(ctx, program, b.Sizes.Explained)
	if err != nil {
		return err
	}
	var one []time.Duration
	for range b.Sizes.Rounds {
		took, _, err := b.ask(ctx, cause.SecretMissing, program, "explain", "pod/"+pulling(0), "--namespace", tenant(0))
		if err != nil {
			return err
		}
		one = append(one, took)
	}
	beside := fmt.Sprintf("%d pods and %d Secrets of %d KB", b.Sizes.Explained, b.Sizes.Foreign, b.Sizes.ForeignBytes/1000)
	b.row("`explain pod/NAME` beside "+beside, "at most 0.3 s, from the start of the process", median(one) <= 300*time.Millisecond,
		"%s, fastest %s, of %d", short(median(one)), short(slices.Min(one)), len(one))
	if err := b.probed(ctx, program); err != nil {
		return err
	}
	b.row("`doctor -A` over "+beside, "at most 2 s, from the start of the process", median(all.ours) <= 2*time.Second,
		"%s, fastest %s, of %d; to list the pods alone: %s", short(median(all.ours)), short(slices.Min(all.ours)), len(all.ours), short(median(all.raw)))
	b.row("`doctor -A`, resident memory, peak", "flat in the number of pods", float64(all.peak) <= 1.25*float64(few.peak),
		"%.1f MB at %d pods, %.1f MB at %d", float64(few.peak)/1e6, b.Sizes.Explained/5, float64(all.peak)/1e6, b.Sizes.Explained)
	return nil
}

// visits are what was measured of doctor over so many pods.
type visits struct {
	ours, raw []time.Duration
	peak      int64 // bytes
}

func (b *bench) doctor(ctx context.Context, program string, pods int) (visits, error) {
	var v visits
	if err := b.pulling(ctx, pods); err != nil {
		return v, err
	}
	err := inTurns(b.Sizes.Rounds, func(round int) error {
		took, peak, err := b.ask(ctx, cause.SecretMissing, program, "doctor", "-A")
		if round > 0 {
			v.ours, v.peak = append(v.ours, took), max(v.peak, peak)
		}
		return err
	}, func(round int) error {
		began := time.Now()
		err := b.list(ctx)
		if round > 0 {
			v.raw = append(v.raw, time.Since(began))
		}
		return err
	})
	return v, err
}

// list reads all pods page by page and looks at none.
func (b *bench) list(ctx context.Context) error {
	for next := ""; ; {
		page, err := b.Admin.CoreV1().Pods("").List(ctx, metav1.ListOptions{Limit: paged, Continue: next})
		if err != nil {
			return fmt.Errorf("list the pods: %w", err)
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

// probed measures explain with the registry asked besides, on loopback: as the pod, whose
// login gets all of an image, and as nobody.
func (b *bench) probed(ctx context.Context, program string) error {
	r, err := registrytest.Start(registrytest.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	const layers = 8
	if _, err := r.Push("team/app", "1", registrytest.Image{Layers: slices.Repeat([]int64{1000}, layers)}); err != nil {
		return err
	}
	trusted := filepath.Join(b.Dir, "registry.crt")
	if err := os.WriteFile(trusted, r.CA(), 0o600); err != nil {
		return fmt.Errorf("keep the registry's authority: %w", err)
	}
	if err := b.refused(ctx, r); err != nil {
		return err
	}
	var took []time.Duration
	for range b.Sizes.Rounds {
		one, _, err := b.ask(ctx, cause.NetRefused, program, "explain", "pod/probed", "--namespace", tenant(0), "--probe", "--ca-file", trusted)
		if err != nil {
			return err
		}
		took = append(took, one)
	}
	b.row(fmt.Sprintf("`explain --probe`, an image of %d layers as the pod and as nobody", layers), "at most 2 s, from the start of the process", median(took) <= 2*time.Second,
		"%s, fastest %s, of %d", short(median(took)), short(slices.Min(took)), len(took))
	return nil
}

// refused makes a pod with a login for the registry that nobody has answered.
func (b *bench) refused(ctx context.Context, r *registrytest.Registry) error {
	user, password := r.Login()
	login := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, r.Host(), user, password)
	_, err := b.Admin.CoreV1().Secrets(tenant(0)).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "probed"}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(login)},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a pod that cannot pull: %w", err)
	}
	image := r.Host() + "/team/app:1"
	pod := podOf(image)
	pod.Name, pod.Spec.NodeName, pod.Spec.ImagePullSecrets = "probed", "nowhere", []corev1.LocalObjectReference{{Name: "probed"}}
	if pod, err = b.Admin.CoreV1().Pods(tenant(0)).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make a pod that cannot pull: %w", err)
	}
	pod.Status.Phase = corev1.PodPending
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Image: image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ImagePullBackOff", Message: fmt.Sprintf(`Back-off pulling image %q: ErrImagePull: failed to pull and unpack image %[1]q: failed to resolve reference %[1]q: `+
				`failed to do request: Head "https://%s/v2/team/app/manifests/1": dial tcp 10.0.0.9:443: connect: connection refused`, image, r.Host()),
		}},
	}}
	if _, err = b.Admin.CoreV1().Pods(tenant(0)).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("make a pod that cannot pull: %w", err)
	}
	return nil
}

// ask runs the program, which shall find a cause, and tells how long it took and the
// most memory that it had.
func (b *bench) ask(ctx context.Context, want cause.Code, program string, args ...string) (time.Duration, int64, error) {
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", b.Cluster.Kubeconfig())...) //nolint:gosec // our own program
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), string(want)) {
		return 0, 0, fmt.Errorf("%s does not find %s (%s): %s", strings.Join(args, " "), want, cmd.ProcessState, out)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("the kernel does not tell the memory of a process that has ended")
	}
	return took, usage.Maxrss << 10, nil
}

func pulling(i int) string { return fmt.Sprintf("pulling-%05d", i) }

// pulling sees to it that there are n pods on a node, of which some wait for an
// image: their Secret is not there.
func (b *bench) pulling(ctx context.Context, n int) error {
	have := b.started
	b.started = max(have, n)
	return stand.Each(ctx, n-have, many, func(ctx context.Context, i int) error {
		i += have
		pods := b.Admin.CoreV1().Pods(tenant(i % b.made))
		pod := podOf("registry.example.com/team/app:1")
		pod.Name, pod.Spec.NodeName = pulling(i), "nowhere"
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry-login"}}
		pod, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		pod.Status.Phase = corev1.PodRunning
		if i%unlucky == 0 {
			pod.Status.Phase = corev1.PodPending
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
					Reason: "ImagePullBackOff",
					Message: `Back-off pulling image "registry.example.com/team/app:1": ErrImagePull: failed to pull and unpack image "registry.example.com/team/app:1": ` +
						`failed to resolve reference "registry.example.com/team/app:1": pull access denied, repository does not exist or may require authorization: ` +
						`authorization failed: no basic auth credentials`,
				}},
			}}
		}
		_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
}
