package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
)

const (
	// labelProbe marks the pod that is never made. The policies look at it in
	// pullkey's own namespace, where they leave all else alone.
	labelProbe = "pullkey.dev/probe"
	probeName  = "pullkey-probe"

	// The API server sees new parameters a moment after they were written. Each
	// wait is twice the one before.
	probeAgain   = time.Second
	probeTimeout = 15 * time.Second
	// probeSeldom is when pods are looked at again that were born without the
	// name, and probeActive when they were born with it: whoever mends or breaks
	// that tells nobody.
	probeSeldom = 10 * time.Minute
	probeActive = 20 * time.Minute
)

// proof is what was found of the pods that are born.
type proof struct {
	goal string // of the parameters and credentials for which it was looked
	at   time.Time
	is   status.Injection
}

// prove looks whether pods are born with the Secret's name, once for each set of
// parameters and credentials: that the policies are there says nothing, since an
// API server may know their kind and not run them. It waits for nothing.
func (c *Controller) prove(ctx context.Context, p *plan, goal string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.proof
	switch {
	case p.selection.NoPods:
		c.proof = proof{goal: goal, is: status.Injection{State: status.InjectionOff}}
		return
	case len(p.managed) == 0 || c.proving:
		return // there is nothing to inject for; or it is being looked at
	case known.goal == goal && c.Now().Sub(known.at) < until(known.is.State):
		return
	}
	c.proving = true
	go func() {
		found := c.probe(ctx, p.managed)
		c.mu.Lock()
		c.proof, c.proving = proof{goal, c.Now(), found}, false
		c.mu.Unlock()
		c.replan()
	}()
}

func until(state status.InjectionState) time.Duration {
	if state == status.InjectionActive {
		return probeActive
	}
	return probeSeldom
}

// probe asks the API server for a pod that is not made, until it is born with the
// Secret's name or the time is over.
func (c *Controller) probe(ctx context.Context, hosts []string) status.Injection {
	pod := probePod(hosts)
	timer := time.NewTimer(probeTimeout)
	defer timer.Stop()
	for wait := probeAgain; ; wait *= 2 {
		born, err := c.Client.Pods(c.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager})
		if err == nil && slices.Contains(born.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: c.SecretName}) {
			return status.Injection{State: status.InjectionActive, By: injectedBy(born)}
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
			continue
		case <-ctx.Done():
		case <-timer.C:
		}
		again.Stop()
		if err != nil {
			i := status.Injection{State: status.InjectionUnknown, Problem: fmt.Sprintf("ask for a pod that is not made: %v", err)}
			if apierrors.IsForbidden(err) {
				i.Hint = "apply deploy/install.yaml of this version, or upgrade the release"
			}
			return i
		}
		return status.Injection{
			State: status.InjectionInactive, Problem: "pods are born without the name of the pull Secret",
			Hint: "install the policies that inject (inject.policies of the chart), which run by default since Kubernetes 1.36; before, the webhook (inject.webhook)",
		}
	}
}

// injectedBy tells who has injected: the webhook writes so into the label.
func injectedBy(born *corev1.Pod) string {
	if born.Labels[labelProbe] == status.ByWebhook {
		return status.ByWebhook
	}
	return status.ByPolicy
}

// probePod is a pod that any namespace takes, with an image of a managed host.
func probePod(hosts []string) *corev1.Pod {
	host := strings.ReplaceAll(hosts[0], "*", "x")
	no, yes := false, true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: probeName, Labels: map[string]string{labelManagedBy: managedBy, labelProbe: ""}},
		Spec: corev1.PodSpec{
			// With a list of its own it gets none of the ServiceAccount's.
			ImagePullSecrets:             []corev1.LocalObjectReference{{Name: probeName}},
			AutomountServiceAccountToken: &no, RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: host + "/pullkey/probe",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

func (c *Controller) beingProven() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proving
}

// injectionStatus is what was found last. A new plan may be looked at still.
func (c *Controller) injectionStatus() status.Injection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proof.is
}

// reportInjection tells that pods are born without the Secret's name.
func (c *Controller) reportInjection() {
	is := c.injectionStatus()
	c.metrics.injects(is.State)
	if is.Problem == "" {
		c.unsay("injection proof")
		return
	}
	message := is.Problem
	if is.Hint != "" {
		message += "; hint: " + is.Hint
	}
	c.sayOnce("injection proof", string(is.State), c.configurationReference(), reasonNotInjected, message)
}
