package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// found is who the controller must be when nobody tells it, by what is there. It
// finds the metadata service by itself, at the address that it has on ECS.
func (n *node) found(worker, own, addon string, variables []string, borrowed string) []somebody {
	return []somebody{
		{
			name: "found a role of the machine", leave: n.forgetsKeys, start: []string{"--token-file=" + borrowed}, caller: worker,
			shows: []string{"RAM role worker of the ECS instance (ecs-role)", "the metadata service names a RAM role"},
		},
		{
			name: "found rrsa", leave: n.forgetsKeys, start: append([]string{"--token-file=" + borrowed}, variables...), caller: own,
			shows: []string{"role " + own + " by OIDC (rrsa)", "the pod was given a role and a token for it"},
		},
		{
			name: "found a token file alone", leave: func(t *testing.T) { n.forgetsKeys(t); n.ACR.DetachRole() }, start: []string{"--token-file=" + borrowed}, caller: addon,
			shows: []string{"token file " + borrowed + " of a managed add-on", "BORROWED", "nothing else is there"},
		},
	}
}

// forgetsKeys takes the access key away, and the master copy: whoever it is now
// would go on with what another has obtained.
func (n *node) forgetsKeys(t *testing.T) {
	t.Helper()
	for in, name := range map[string]string{home: "pullkey-credentials", "kube-system": "alibaba-addon-secret"} {
		err := n.plane.admin.CoreV1().Secrets(in).Delete(t.Context(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
}

// says waits until pullkey status says all the words.
func (n *node) says(t *testing.T, words ...string) {
	t.Helper()
	var before []byte
	n.plane.eventually(t, "pullkey status says who it is", func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, n.program(t), "status", "--kubeconfig", n.Cluster.Kubeconfig())
		out, err := cmd.CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed || ctx.Err() != nil {
			return fmt.Errorf("%w; before it printed\n%s", err, before)
		}
		before = out
		said := strings.Join(strings.Fields(string(out)), " ") // lines are broken anywhere
		for _, word := range words {
			if !strings.Contains(said, word) {
				return fmt.Errorf("it does not say %q:\n%s", word, out)
			}
		}
		return nil
	})
}

// isNobodyAtFirst starts the controller where it finds nobody to be, and no
// earlier credential. It says what it looked for, and goes on by itself once an
// access key is there.
func (n *node) isNobodyAtFirst(t *testing.T, images map[string]string) {
	namespace := "id-" + n.tag + "-nobody"
	before := len(n.ACR.AccessLog().Entries())
	n.StopController()
	n.ACR.DetachRole()
	n.forgetsKeys(t)
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	o.configure(t, with(o.config("default", namespace), "service-account", "*"))
	n.start(t)
	n.says(t, "MISSING", "find an identity for Alibaba Cloud", "access key", "RRSA", "RAM role of an ECS instance", "token file", "a Secret with an access key is the quickest")
	var born []*corev1.Pod
	pod := func(id, host string) {
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.Injecting(limited, namespace, host); err != nil {
			t.Error(err)
		}
		born = append(born, n.applyPodIn(t, namespace, "edition-"+orPersonal(id), images[id]))
	}
	n.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	// The hosts of the Personal Edition are known without any answer.
	for _, i := range n.ACR.Instances() {
		if i.ID == "" {
			pod(i.ID, i.Hosts[0])
		}
	}
	o.setAccessKey(t, n.ACR.AccessKey())
	n.asked(t, before, "acs:ram::"+n.ACR.Account()+":user/default")
	for _, i := range n.ACR.Instances() {
		if i.ID != "" {
			pod(i.ID, i.Hosts[0])
		}
	}
	for _, name := range born {
		n.runs(t, name)
	}
	n.says(t, "access key kube-system/alibaba-addon-secret (access-key)", "its Secret is there", "FRESH")
}
