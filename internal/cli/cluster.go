package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiPatience is how long the API server may take for one answer.
const apiPatience = 30 * time.Second

// clusterFlags say which cluster and namespace, as kubectl's do.
type clusterFlags struct{ kubeconfig, context, namespace string }

func (f *clusterFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the Secret; else that of the context, or default")
	f.defineCluster(cmd)
}

func (f *clusterFlags) defineCluster(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` that says where the cluster is; else KUBECONFIG, or ~/.kube/config")
	s.StringVar(&f.context, "context", "", "`name` of the context in that file")
}

// config reads the kubeconfig by the rules of kubectl. What is said of it from
// then on repeats the flags.
func (p *program) config(f *clusterFlags) clientcmd.ClientConfig {
	p.cluster = f.again()
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: f.kubeconfig}
	if files := p.Getenv(clientcmd.RecommendedConfigPathEnvVar); files != "" {
		rules.Precedence = filepath.SplitList(files)
	} else if home := p.Getenv("HOME"); home != "" {
		rules.Precedence = []string{filepath.Join(home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)}
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

// in returns the namespace that is asked for, or that of the context.
func (p *program) in(cmd *cobra.Command, f *clusterFlags) (string, error) {
	if cmd.Flags().Changed("namespace") {
		if !isNamespace(f.namespace) {
			return "", usageError{fmt.Errorf("--namespace: %q is no name of a namespace", f.namespace), cmd.CommandPath()}
		}
		return f.namespace, nil
	}
	namespace, _, err := p.config(f).Namespace()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return metav1.NamespaceDefault, nil // whoever needs a cluster will find that there is none
	case err != nil:
		return "", f.problem(err)
	case !isNamespace(namespace):
		return "", advise(fmt.Errorf("read the kubeconfig: %q, the namespace of the context, is no name of a namespace", namespace), "name another with -n")
	}
	return namespace, nil
}

func isNamespace(s string) bool { return len(validation.IsDNS1123Label(s)) == 0 }

func isObject(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }

func (f *clusterFlags) problem(err error) error {
	switch {
	case clientcmd.IsEmptyConfig(err):
		return advise(errors.New("find the cluster: there is no kubeconfig"), "name it with --kubeconfig FILE or in KUBECONFIG")
	case f.context != "" && clientcmd.IsContextNotFound(err):
		return advise(fmt.Errorf("find the cluster: the kubeconfig has no context %q", f.context), "see what there is: kubectl config get-contexts%s", f.fileAgain())
	}
	return advise(fmt.Errorf("read the kubeconfig: %w", err), "see what kubectl makes of it: kubectl config get-contexts%s", f.fileAgain())
}

// secrets are those of one namespace of a cluster.
type secrets struct {
	api       *rest.RESTClient
	namespace string
	again     string // the flags that lead here
}

func (p *program) secrets(cmd *cobra.Command, f *clusterFlags) (secrets, error) {
	namespace, err := p.in(cmd, f)
	if err != nil {
		return secrets{}, err
	}
	again := f.again()
	if cmd.Flags().Changed("namespace") {
		again = " -n " + namespace + again
	}
	api, err := p.api(f)
	return secrets{api, namespace, again}, err
}

// api returns who asks the API server.
func (p *program) api(f *clusterFlags) (*rest.RESTClient, error) {
	config, err := p.config(f).ClientConfig()
	if err != nil {
		return nil, f.problem(err)
	}
	// A scheme of one group: the whole clientset would cost each start of the
	// program some milliseconds.
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("prepare to ask the API server: %w", err)
	}
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent, config.Timeout = "pullkey/"+p.Version, apiPatience
	config.QPS = -1 // the API server does its own fair queuing
	config.WarningHandler = warnings{&p.output}
	api, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, f.problem(err)
	}
	return api, nil
}

// get reads a Secret.
func (s secrets) get(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.api.Get().Namespace(s.namespace).Resource("secrets").Name(name).Do(ctx).Into(secret)
	return secret, s.problem("read", name, err)
}

// create makes a Secret; it is an error if there is one.
func (s secrets) create(ctx context.Context, secret *corev1.Secret) error {
	err := s.api.Post().Namespace(s.namespace).Resource("secrets").Param("fieldManager", fieldManager).Body(secret).Do(ctx).Error()
	return s.problem("create", secret.Name, err)
}

// patch changes a Secret by a JSON merge patch.
func (s secrets) patch(ctx context.Context, name string, patch []byte, dryRun bool) error {
	request := s.api.Patch(types.MergePatchType).Namespace(s.namespace).Resource("secrets").Name(name).
		Param("fieldManager", fieldManager).Body(patch)
	if dryRun {
		request = request.Param("dryRun", metav1.DryRunAll)
	}
	err := request.Do(ctx).Error()
	return s.problem("change", name, err)
}

// fieldManager is the name under which the command line writes.
const fieldManager = "pullkey-cli"

// problem says what was not possible with which Secret, and what to do.
func (s secrets) problem(act, name string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s secret %s in namespace %s", act, name, s.namespace)
	said := fmt.Errorf("%s: the API server says: %w", what, err)
	switch {
	case apierrors.IsAlreadyExists(err):
		return advise(fmt.Errorf("%s: there is one already", what),
			"give another name, add a registry to it with: pullkey secret add-host %s HOST --like HOST%s, or delete it first", name, s.again)
	case apierrors.IsNotFound(err) && notFoundKind(err) == "namespaces":
		return advise(fmt.Errorf("%s: there is no such namespace", what), "name another with -n, or make it: kubectl create namespace %s", s.namespace)
	case apierrors.IsNotFound(err):
		return advise(fmt.Errorf("%s: there is none of that name", what), "see what there is: kubectl get secrets -n %s", s.namespace)
	case apierrors.IsConflict(err):
		return advise(said, "somebody else changes it all the time: try again")
	case apierrors.IsForbidden(err):
		return permissionError{advise(said, "it takes the right to %s secrets in this namespace: kubectl auth can-i %[1]s secrets -n %[2]s", verbs[act], s.namespace)}
	}
	return notAnswered(what, err)
}

// notAnswered says that the API server did not do something, for the reasons
// that are the same whatever it was.
func notAnswered(what string, err error) error {
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		return advise(fmt.Errorf("%s: ask the API server: %w", what, unreachable.Err), "check that the cluster answers: kubectl cluster-info")
	}
	said := fmt.Errorf("%s: the API server says: %w", what, err)
	if apierrors.IsUnauthorized(err) {
		return advise(said, "the credential in the kubeconfig is not accepted or has ended: log in to the cluster again")
	}
	return said
}

// permissionError is an error for which the user's rights in the cluster are the
// reason.
type permissionError struct{ error }

// Unwrap returns the error itself, with its remedy.
func (e permissionError) Unwrap() error { return e.error }

// configMap reads a ConfigMap. What it means that there is none, missing says.
func configMap(ctx context.Context, api *rest.RESTClient, namespace, name, missing string) (*corev1.ConfigMap, error) {
	found := &corev1.ConfigMap{}
	err := api.Get().Namespace(namespace).Resource("configmaps").Name(name).Do(ctx).Into(found)
	if err == nil {
		return found, nil
	}
	what := fmt.Sprintf("read ConfigMap %s in namespace %s", name, namespace)
	switch {
	case apierrors.IsNotFound(err):
		return nil, advise(fmt.Errorf("%s: there is none", what), "%s", missing)
	case apierrors.IsForbidden(err):
		return nil, permissionError{advise(fmt.Errorf("%s: the API server says: %w", what, err),
			`it takes this rule in a Role of namespace %s: {"apiGroups":[""],"resources":["configmaps"],"resourceNames":["%s"],"verbs":["get"]}`, namespace, name)}
	}
	return nil, notAnswered(what, err)
}

// verbs are the API server's words for what is done to a Secret.
var verbs = map[string]string{"read": "get", "create": "create", "change": "patch"}

// notFoundKind returns what it is that was not found.
func notFoundKind(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		return ""
	}
	return status.ErrStatus.Details.Kind
}

// warnings shows what the API server warns of.
type warnings struct{ *output }

// HandleWarningHeader shows a warning; 299 is the code that the API server uses.
func (w warnings) HandleWarningHeader(code int, _, text string) {
	if code == 299 && text != "" {
		w.note("the API server warns: %s", text)
	}
}

// pullSecret returns an image pull Secret with the document data.
func (s secrets) pullSecret(name string, data []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: data},
	}
}
