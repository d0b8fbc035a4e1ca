package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/pullkey/pullkey/internal/explain"
)

// objectFile are the objects of a file that count.
type objectFile struct {
	pods     []corev1.Pod
	accounts []corev1.ServiceAccount
	secrets  []corev1.Secret
	events   []corev1.Event
	makers   []maker
	nodes    []corev1.Node
	leases   []lease
	shown    string   // what the file is called
	whole    []string // the namespaces of which all Secrets are there
}

// read reads YAML documents, each an object or a list of them.
func (o *objectFile) read(data []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("document %d: it cannot be read", n)
		}
		text, err := yaml.YAMLToJSON(document)
		if err != nil {
			return fmt.Errorf("document %d%s: it is no YAML", n, lineOf(err))
		}
		if err := o.add(text); err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (line \d+)`)

// lineOf is the line that a parser of YAML gives up at. Nothing else is taken from its
// error, which could quote a Secret.
func lineOf(err error) string {
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		return ", " + found[1]
	}
	return ""
}

// fieldOf is the field that is not as it should be, without what it holds.
func fieldOf(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return fmt.Sprintf(": %s is of the wrong kind, %s", wrong.Field, strings.Fields(wrong.Value)[0])
	}
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return ": a value of data is no base64"
	}
	return ""
}

// add takes an object, or those of a list.
func (o *objectFile) add(text []byte) error {
	var head struct {
		Kind     string            `json:"kind"`
		Items    []json.RawMessage `json:"items"`
		Metadata struct {
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return errors.New("it is no object of Kubernetes")
	}
	if namespace := head.Metadata.Annotations[allSecretsOf]; head.Kind == "List" && namespace != "" {
		o.whole = append(o.whole, namespace)
	}
	for _, item := range head.Items {
		if err := o.add(item); err != nil {
			return err
		}
	}
	if err := o.take(head.Kind, text); err != nil {
		return fmt.Errorf("%s %s is not of the form that it should be%s", head.Kind, head.Metadata.Name, fieldOf(err))
	}
	return nil
}

// take takes an object of a kind that counts.
func (o *objectFile) take(kind string, text []byte) error {
	var err error
	switch kind {
	case "Pod":
		o.pods, err = taken(o.pods, text)
	case "ServiceAccount":
		o.accounts, err = taken(o.accounts, text)
	case "Secret":
		if o.secrets, err = taken(o.secrets, text); err == nil {
			inClear(&o.secrets[len(o.secrets)-1])
		}
	case "Event":
		o.events, err = taken(o.events, text)
	case "ReplicaSet", "StatefulSet", "DaemonSet", "Deployment", "Job":
		o.makers, err = taken(o.makers, text)
	case "Node":
		o.nodes, err = taken(o.nodes, text)
	case "Lease":
		o.leases, err = taken(o.leases, text)
	}
	return err
}

// inClear takes what somebody wrote in clear for what the API server would make of it.
func inClear(s *corev1.Secret) {
	for key, value := range s.StringData {
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

func taken[T any](list []T, text []byte) ([]T, error) {
	var one T
	err := json.Unmarshal(text, &one)
	return append(list, one), err
}

// factsIn reads the objects around a pod from the API server. What may not be read is
// noted, with the rule that would allow it; the pod itself must be there.
func factsIn(ctx context.Context, api *rest.RESTClient, namespace, name string) (*explain.Facts, error) {
	r := &reader{api, &explain.Facts{Pod: &corev1.Pod{}, Secrets: map[string]*corev1.Secret{}}}
	err := api.Get().Namespace(namespace).Resource("pods").Name(name).Do(ctx).Into(r.Pod)
	switch {
	case apierrors.IsNotFound(err):
		return nil, advise(fmt.Errorf("read pod %s in namespace %s: there is none of that name", name, namespace), "see what there is: kubectl get pods -n %s", namespace)
	case apierrors.IsForbidden(err):
		return nil, permissionError{advise(fmt.Errorf("read pod %s in namespace %s: the API server says: %w", name, namespace, err), "it takes this rule: %s", rule("pods", "get"))}
	case err != nil:
		return nil, notAnswered("read pod "+name+" in namespace "+namespace, err)
	}
	return r.Facts, r.around(ctx)
}

// reader reads what belongs to a pod.
type reader struct {
	api *rest.RESTClient
	*explain.Facts
}

func rule(resource, verb string) string {
	return fmt.Sprintf(`{"apiGroups":[""],"resources":[%q],"verbs":[%q]}`, resource, verb)
}

// into reads one object or list; false if it is not there or may not be read.
func (r *reader) into(ctx context.Context, what, resource, verb string, request *rest.Request, object runtime.Object) (there bool, err error) {
	switch err := request.Do(ctx).Into(object); {
	case err == nil:
		return true, nil
	case apierrors.IsForbidden(err):
		r.Unread = append(r.Unread, explain.NotChecked{What: what, Why: "the API server forbids it", Rule: rule(resource, verb)})
		return false, nil
	case apierrors.IsNotFound(err):
		return false, nil
	default:
		return false, notAnswered("read "+what, err)
	}
}

func (r *reader) around(ctx context.Context) error {
	if err := r.account(ctx); err != nil {
		return err
	}
	events := &corev1.EventList{}
	of := "involvedObject.kind=Pod,involvedObject.name=" + r.Pod.Name
	if _, err := r.into(ctx, "Events", "events", "list", r.api.Get().Namespace(r.Pod.Namespace).Resource("events").Param("fieldSelector", of), events); err != nil {
		return err
	}
	r.Events = events.Items
	if err := r.secrets(ctx); err != nil {
		return err
	}
	return r.beyond(ctx)
}

// account reads the pod's ServiceAccount.
func (r *reader) account(ctx context.Context) error {
	name, unread, sa := cmp.Or(r.Pod.Spec.ServiceAccountName, "default"), len(r.Unread), &corev1.ServiceAccount{}
	there, err := r.into(ctx, "ServiceAccount "+name, "serviceaccounts", "get", r.api.Get().Namespace(r.Pod.Namespace).Resource("serviceaccounts").Name(name), sa)
	if there {
		r.ServiceAccount = sa
	} else {
		r.NoAccount = err == nil && len(r.Unread) == unread
	}
	return err
}

// secrets reads the pull Secrets of the namespace, or those that are named where a
// list is forbidden.
func (r *reader) secrets(ctx context.Context) error {
	namespace := r.Pod.Namespace
	found := &corev1.SecretList{}
	there, err := r.into(ctx, "the Secrets of the namespace", "secrets", "list", r.api.Get().Namespace(namespace).Resource("secrets"), found)
	if err != nil {
		return err
	}
	if there {
		r.Complete = true
		for i := range found.Items {
			r.Secrets[found.Items[i].Name] = &found.Items[i]
		}
		return nil
	}
	names := r.Pod.Spec.ImagePullSecrets
	if r.ServiceAccount != nil {
		names = append(names[:len(names):len(names)], r.ServiceAccount.ImagePullSecrets...)
	}
	for i, one := range names {
		if one.Name == "" || slices.Contains(names[:i], one) {
			continue
		}
		secret, before := &corev1.Secret{}, len(r.Unread)
		there, err := r.into(ctx, "Secret "+one.Name, "secrets", "get", r.api.Get().Namespace(namespace).Resource("secrets").Name(one.Name), secret)
		switch {
		case err != nil:
			return err
		case there:
			r.Secrets[one.Name] = secret
		case len(r.Unread) == before:
			r.Absent = append(r.Absent, one.Name)
		}
	}
	return nil
}
