package scale

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		took, _, err := b.ask(ctx, program, "explain", "pod/"+pulling(0), "--namespace", tenant(0))
		if err != nil {
			return err
		}
		one = append(one, took)
	}
	beside := fmt.Sprintf("%d pods and %d Secrets of %d KB", b.Sizes.Explained, b.Sizes.Foreign, b.Sizes.ForeignBytes/1000)
	b.row("`explain pod/NAME` beside "+beside, "at most 0.3 s, from the start of the process", median(one) <= 300*time.Millisecond,
		"%s, fastest %s, of %d", short(median(one)), short(slices.Min(one)), len(one))
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
		took, peak, err := b.ask(ctx, program, "doctor", "-A")
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

// ask runs the program, which shall find a cause, and tells how long it took and the
// most memory that it had.
func (b *bench) ask(ctx context.Context, program string, args ...string) (time.Duration, int64, error) {
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", b.Cluster.Kubeconfig())...) //nolint:gosec // our own program
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "PULL-SECRET-MISSING") {
		return 0, 0, fmt.Errorf("%s finds no cause (%s): %s", strings.Join(args, " "), cmd.ProcessState, out)
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
