package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/footprint"
)

// pageSize is how many objects are asked for at a time.
const pageSize = "500"

// list is a list of objects, as the API server pages them.
type list interface {
	runtime.Object
	GetContinue() string
}

// all reads every object of a kind in all namespaces, and has each page taken as it
// comes.
func all(ctx context.Context, api *rest.RESTClient, resource string, options metav1.ListOptions, into func() list, take func(list)) error {
	for next := ""; ; {
		request := api.Get().Resource(resource).Param("limit", pageSize)
		for key, value := range map[string]string{"fieldSelector": options.FieldSelector, "labelSelector": options.LabelSelector, "continue": next} {
			if value != "" {
				request = request.Param(key, value)
			}
		}
		found := into()
		if err := request.Do(ctx).Into(found); err != nil {
			return notListed(resource, "", options, err)
		}
		take(found)
		if next = found.GetContinue(); next == "" {
			return nil
		}
	}
}

// notListed says what could not be read in a namespace, or in all, and which right it
// takes.
func notListed(resource, namespace string, options metav1.ListOptions, err error) error {
	what, where := "list "+resource+" in all namespaces", "--all-namespaces"
	if namespace != "" {
		what, where = "list "+resource+" in namespace "+namespace, "--namespace "+quote(namespace)
	}
	if apierrors.IsForbidden(err) {
		named := ""
		if name, ok := strings.CutPrefix(options.FieldSelector, metav1.ObjectNameField+"="); ok {
			named = "; of this one name is enough: resourceNames: [" + name + "]"
		}
		return permissionError{advise(fmt.Errorf("%s: the API server says: %w", what, err),
			"it takes the right to do so: kubectl auth can-i list %s %s%s", resource, where, named)}
	}
	return notAnswered(what, err)
}

// object reads an object of any group by its path. It tells whether there is one.
func object(ctx context.Context, api *rest.RESTClient, path string, into any) (bool, error) {
	what := "read " + strings.TrimPrefix(path, "/apis/")
	body, err := api.Get().AbsPath(path).Do(ctx).Raw()
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return false, permissionError{advise(fmt.Errorf("%s: the API server says: %w", what, err), "it takes the right to get it")}
	case err != nil:
		return false, notAnswered(what, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("%s: the answer is no such object", what)
	}
	return true, nil
}

// deployment is as much of one as counts here.
type deployment struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int32                 `json:"replicas"`
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func (d *deployment) replicas() int32 {
	if d.Spec.Replicas == nil {
		return 1 // Kubernetes' own default
	}
	return *d.Spec.Replicas
}

func deploymentPath(namespace, name string) string {
	return "/apis/apps/v1/namespaces/" + namespace + "/deployments/" + name
}

// flag returns what a container is told by --name=value.
func (d *deployment) flag(name, otherwise string) string {
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
				return value
			}
		}
	}
	return otherwise
}

// controllers reads pullkey's own Deployment, nil where there is none.
func controllers(ctx context.Context, api *rest.RESTClient, namespace string) (*deployment, error) {
	d := &deployment{}
	found, err := object(ctx, api, deploymentPath(namespace, footprint.Controller), d)
	if err != nil || !found {
		return nil, err
	}
	return d, nil
}

// standing reads what stands in every namespace. Of a Secret nothing is kept but
// what decides: no value of it outlives the page that it came in.
func standing(ctx context.Context, api *rest.RESTClient, secretName string, withAccounts bool) ([]footprint.Found, error) {
	secrets := map[string]*corev1.Secret{}
	named := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, secretName).String()}
	errs := []error{all(ctx, api, "secrets", named, func() list { return &corev1.SecretList{} }, func(l list) {
		for _, s := range l.(*corev1.SecretList).Items {
			secrets[s.Namespace] = &corev1.Secret{ObjectMeta: s.ObjectMeta, Type: s.Type, Immutable: s.Immutable}
		}
	})}
	accounts := map[string][]footprint.Account{}
	if withAccounts {
		errs = append(errs, all(ctx, api, "serviceaccounts", metav1.ListOptions{}, func() list { return &corev1.ServiceAccountList{} }, func(l list) {
			for _, a := range l.(*corev1.ServiceAccountList).Items {
				accounts[a.Namespace] = append(accounts[a.Namespace], footprint.Account{Name: a.Name, Named: footprint.Named(a.ImagePullSecrets, secretName)})
			}
		}))
	}
	var found []footprint.Found
	errs = append(errs, all(ctx, api, "namespaces", metav1.ListOptions{}, func() list { return &corev1.NamespaceList{} }, func(l list) {
		for _, n := range l.(*corev1.NamespaceList).Items {
			found = append(found, footprint.Found{
				Namespace: n.Name, Labels: n.Labels, Terminating: n.DeletionTimestamp != nil,
				Secret: secrets[n.Name], Accounts: accounts[n.Name],
			})
		}
	}))
	return found, errors.Join(errs...)
}
