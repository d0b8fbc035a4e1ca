package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/footprint"
)

// find reads which pull Secrets are pullkey's: those of the installation's name, and
// those that pullkey has written, whatever their name, which may have been another
// before.
func (c *cleaner) find(ctx context.Context) error {
	c.pulls = nil
	ours := metav1.ListOptions{LabelSelector: footprint.LabelManagedBy + "=" + footprint.ManagedBy}
	return all(ctx, c.api, "secrets", ours, func() list { return &corev1.SecretList{} }, func(l list) {
		for _, s := range l.(*corev1.SecretList).Items {
			ours := footprint.Made(&s) || c.own != nil && footprint.Ours(&s) && s.Name == c.secretNameOf()
			if ours && s.DeletionTimestamp == nil {
				c.pulls = append(c.pulls, pullSecret{
					s.Namespace, s.Name, string(s.UID), s.ResourceVersion, s.Annotations[footprint.AnnotationExpiresAt], shared(&s),
				})
			}
		}
	})
}

func (c *cleaner) injectors(ctx context.Context) error {
	return c.remove(ctx, []kind{
		{"MutatingAdmissionPolicyBinding", admission, "mutatingadmissionpolicybindings"},
		{"MutatingAdmissionPolicy", admission, "mutatingadmissionpolicies"},
		{"MutatingWebhookConfiguration", admission, "mutatingwebhookconfigurations"},
	})
}

// inTheRightPlace refuses to work beside a controller of another namespace, which
// would make all of it anew.
func (c *cleaner) inTheRightPlace(ctx context.Context) error {
	var at, what string
	if c.own == nil {
		found, err := c.metadata(ctx, kind{"Deployment", "/apis/apps/v1", "deployments"}, "", controllerLabels)
		if err != nil {
			return err
		}
		for _, d := range found {
			if d.Name == footprint.Controller && d.Namespace != c.namespace {
				at, what = d.Namespace, "Deployment "+d.Namespace+"/"+d.Name
			}
		}
	}
	err := c.pods(ctx, func(pod *corev1.Pod) {
		if pod.Namespace != c.namespace {
			at, what = pod.Namespace, "pod "+pod.Namespace+"/"+pod.Name
		}
	})
	if err != nil || at == "" {
		return err
	}
	return advise(fmt.Errorf("nothing is removed: pullkey stands in another namespace than %s: %s", c.namespace, what), "say so: -n %s", at)
}

// staysStopped looks once more whether nobody works: who sets the Deployment's
// replicas again has all of it made anew.
func (c *cleaner) staysStopped(ctx context.Context) error {
	if c.dryRun {
		return nil
	}
	who, err := c.working(ctx)
	if err != nil {
		return err
	}
	if own, err := controllers(ctx, c.api, c.namespace); who == "" && own != nil && own.replicas() > 0 {
		who = fmt.Sprintf("Deployment %s/%s, with %s,", c.namespace, footprint.Controller, many(int(own.replicas()), "replica"))
	} else if err != nil {
		return err
	}
	if who == "" {
		return nil
	}
	return advise(fmt.Errorf("%s is there again, and makes anew what was removed", who), "have whoever starts it leave it stopped, Argo CD's self-heal for example")
}

// pods has each pod of the controller that has not ended looked at, in whatever
// namespace.
func (c *cleaner) pods(ctx context.Context, look func(*corev1.Pod)) error {
	return all(ctx, c.api, "pods", metav1.ListOptions{LabelSelector: controllerLabels}, func() list { return &corev1.PodList{} }, func(l list) {
		for _, pod := range l.(*corev1.PodList).Items {
			if !ended(&pod) {
				look(&pod)
			}
		}
	})
}

// stopPatience is how long the controller's pods may take to end, and its lease
// to be free: their grace is half a minute, a lease that nobody gave back lasts 15
// seconds.
const stopPatience = 2 * time.Minute

// stopController scales it to nothing and waits until nobody works any more.
func (c *cleaner) stopController(ctx context.Context) error {
	if c.own != nil && c.own.replicas() > 0 {
		err := c.patch(ctx, types.MergePatchType, deploymentPath(c.namespace, footprint.Controller), []byte(`{"spec":{"replicas":0}}`))
		if err := c.said("scale Deployment "+c.namespace+"/"+footprint.Controller+" to 0", "patch", "deployments", err); err != nil {
			return err
		}
		c.report.Done = append(c.report.Done, trace{actStopped, "Deployment", c.namespace, footprint.Controller})
	}
	if c.dryRun {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for {
		who, err := c.working(limited)
		if err != nil || who == "" {
			return err
		}
		if c.pause(limited, time.Second) != nil {
			if ctx.Err() != nil {
				return errInterrupted
			}
			return advise(fmt.Errorf("%s still works after %s", who, span(stopPatience)), "stop it: nothing is removed while it would come back")
		}
		if c.Now().Sub(c.told) >= repeatEvery/5 {
			c.progressed("waiting for %s to end", who)
		}
	}
}

// working tells who of pullkey's still works: a pod, or who holds the lease.
func (c *cleaner) working(ctx context.Context) (string, error) {
	var who string
	err := c.pods(ctx, func(pod *corev1.Pod) { who = "pod " + pod.Namespace + "/" + pod.Name })
	if err != nil || who != "" {
		return who, err
	}
	var lease struct {
		Spec struct {
			HolderIdentity       string           `json:"holderIdentity"`
			LeaseDurationSeconds int              `json:"leaseDurationSeconds"`
			RenewTime            metav1.MicroTime `json:"renewTime"`
		} `json:"spec"`
	}
	_, err = object(ctx, c.api, leases+"/namespaces/"+c.namespace+"/leases/"+footprint.Controller, &lease)
	l := lease.Spec
	if err == nil && l.HolderIdentity != "" && c.Now().Before(l.RenewTime.Add(time.Duration(l.LeaseDurationSeconds)*time.Second)) {
		who = "the holder of the lease, " + l.HolderIdentity + ","
	}
	return who, err
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (c *cleaner) parameters(ctx context.Context) error {
	return c.delete(ctx, coreV1, "configmaps", trace{actDeleted, "ConfigMap", c.namespace, footprint.Injection}, nil)
}

// rounds is how often ServiceAccounts are looked at again: one may have been born
// with the name a moment before what injects was off everywhere, and others edit
// the lists too.
const rounds = 10

// detach takes the names of pullkey's Secrets out of the ServiceAccounts beside
// them, until a look at all of them finds none.
func (c *cleaner) detach(ctx context.Context) error {
	if err := c.find(ctx); err != nil { // again: nothing is made any more
		return err
	}
	r, err := c.removable(ctx)
	if err != nil {
		return err
	}
	var conflict error
	for range rounds {
		naming, err := c.naming(ctx, r)
		if err != nil || len(naming) == 0 {
			return err
		}
		conflict = nil
		for i, sa := range naming {
			switch err := c.detachOne(ctx, &sa, r.names(sa.Namespace)); {
			case apierrors.IsConflict(err):
				conflict = err
			case err != nil:
				return err
			}
			c.counted(i+1, len(naming), "ServiceAccount")
		}
		if c.dryRun {
			return nil
		}
	}
	if conflict == nil {
		conflict = errors.New("somebody keeps adding the name")
	}
	return fmt.Errorf("ServiceAccounts still name the Secret after %d rounds: %w", rounds, conflict)
}

// removable are the names that ServiceAccounts lose.
type removable struct {
	ours     map[string][]string // by the namespace, of pullkey's Secrets
	name     string              // the installation's
	standing map[string]bool     // the namespaces with a Secret of that name, whosever
	dangling bool                // the name goes where there is no Secret of it too
}

func (c *cleaner) removable(ctx context.Context) (*removable, error) {
	r := &removable{map[string][]string{}, c.secretNameOf(), map[string]bool{}, c.force}
	for _, s := range c.pulls {
		if !s.shared { // else it stays, and so does its name
			r.ours[s.namespace] = append(r.ours[s.namespace], s.name)
		}
	}
	named := metav1.ListOptions{FieldSelector: "metadata.name=" + r.name}
	return r, all(ctx, c.api, "secrets", named, func() list { return &corev1.SecretList{} }, func(l list) {
		for _, s := range l.(*corev1.SecretList).Items {
			r.standing[s.Namespace] = true
		}
	})
}

func (r *removable) names(namespace string) []string {
	if r.dangling && !r.standing[namespace] {
		return append(slices.Clone(r.ours[namespace]), r.name)
	}
	return r.ours[namespace]
}

// naming returns the ServiceAccounts that lose a name, and notes those that keep
// the installation's: the Secret is somebody else's, or there is none.
func (c *cleaner) naming(ctx context.Context, r *removable) ([]corev1.ServiceAccount, error) {
	var naming []corev1.ServiceAccount
	c.report.Left = nil
	err := all(ctx, c.api, "serviceaccounts", metav1.ListOptions{}, func() list { return &corev1.ServiceAccountList{} }, func(l list) {
		for _, sa := range l.(*corev1.ServiceAccountList).Items {
			switch {
			case slices.ContainsFunc(r.names(sa.Namespace), func(name string) bool { return footprint.Named(sa.ImagePullSecrets, name) }):
				naming = append(naming, sa)
			case footprint.Named(sa.ImagePullSecrets, r.name):
				act := actLeft
				if !r.standing[sa.Namespace] {
					act = actDangling
				}
				c.report.Left = append(c.report.Left, trace{act, "ServiceAccount", sa.Namespace, sa.Name})
			}
		}
	})
	return naming, err
}

// detachOne takes names out of the list of the very version that was read.
// Nothing else moves.
func (c *cleaner) detachOne(ctx context.Context, sa *corev1.ServiceAccount, names []string) error {
	edit := []jsonPatch{{Op: "replace", Path: "/metadata/resourceVersion", Value: sa.ResourceVersion}}
	for at, entry := range slices.Backward(sa.ImagePullSecrets) { // from behind: what is removed moves what follows
		if slices.Contains(names, entry.Name) {
			edit = append(edit, jsonPatch{Op: "remove", Path: fmt.Sprintf("/imagePullSecrets/%d", at)})
		}
	}
	body, err := json.Marshal(edit)
	if err != nil {
		return fmt.Errorf("write a patch as JSON: %w", err)
	}
	t := trace{actDetached, "ServiceAccount", sa.Namespace, sa.Name}
	err = c.patch(ctx, types.JSONPatchType, coreV1+"/namespaces/"+sa.Namespace+"/serviceaccounts/"+sa.Name, body)
	switch {
	case err == nil:
		c.report.Done = append(c.report.Done, t)
	case apierrors.IsConflict(err):
		return err // looked at again
	}
	return c.said("edit the imagePullSecrets of ServiceAccount "+t.object(), "patch", "serviceaccounts", ignoreNotFound(err))
}

// pullSecrets deletes the Secrets that no pod names: the very version that was
// read, of an object that was found to be pullkey's.
func (c *cleaner) pullSecrets(ctx context.Context) error {
	pods, err := c.podsNaming(ctx)
	if err != nil {
		return err
	}
	for i, s := range c.pulls {
		if names := pods[s.namespace+"/"+s.name]; len(names) > 0 && !c.force {
			c.report.Kept = append(c.report.Kept, keptSecret{Namespace: s.namespace, Name: s.name, Ends: s.ends, Pods: names})
			continue
		}
		if s.shared {
			if err := c.handBack(ctx, s); err != nil {
				return err
			}
			continue
		}
		uid := types.UID(s.uid)
		err := c.delete(ctx, coreV1, "secrets", trace{actDeleted, "Secret", s.namespace, s.name}, &metav1.Preconditions{UID: &uid, ResourceVersion: &s.resourceVersion})
		if err != nil {
			return err
		}
		c.counted(i+1, len(c.pulls), "pull Secret")
	}
	return nil
}

// podsNaming returns the pods that have not ended and name a Secret of
// pullkey's, by the Secret.
func (c *cleaner) podsNaming(ctx context.Context) (map[string][]string, error) {
	pods := map[string][]string{}
	for _, s := range c.pulls {
		pods[s.namespace+"/"+s.name] = nil
	}
	if len(pods) == 0 || c.force {
		return pods, nil
	}
	return pods, all(ctx, c.api, "pods", metav1.ListOptions{}, func() list { return &corev1.PodList{} }, func(l list) {
		for _, pod := range l.(*corev1.PodList).Items {
			for _, entry := range pod.Spec.ImagePullSecrets {
				at := pod.Namespace + "/" + entry.Name
				if names, ours := pods[at]; ours && !ended(&pod) && !slices.Contains(names, pod.Name) {
					pods[at] = append(names, pod.Name)
				}
			}
		}
	})
}
