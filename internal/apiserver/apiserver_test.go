package apiserver

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// heard is a request as it came.
type heard struct {
	Request string
	Header  http.Header
	Body    []byte
}

// listening notes what is asked and answers nothing that could be read.
func listening(t *testing.T) (*rest.Config, func() heard) {
	t.Helper()
	var last heard
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last = heard{r.Method + " " + r.URL.String(), r.Header, body}
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	const protobuf = "application/vnd.kubernetes.protobuf"
	return &rest.Config{
		Host: server.URL, QPS: -1, UserAgent: "pullkey-controller",
		ContentConfig: rest.ContentConfig{ContentType: protobuf, AcceptContentTypes: protobuf + ",application/json"},
	}, func() heard { return last }
}

// asked are all requests that pullkey makes, by the room's clients and by client-go's.
type asked struct{ ours, theirs func(context.Context) error }

func requests(a *API, all kubernetes.Interface) map[string]asked {
	core, uid, version := all.CoreV1(), types.UID("u"), "7"
	labels, data := map[string]string{"l": "1"}, map[string]string{"k": "<v>"}
	bytesOf, kind := map[string][]byte{"k": []byte("<v>")}, corev1.SecretTypeDockerConfigJson
	list := metav1.ListOptions{FieldSelector: "metadata.name=n", Limit: 20, ResourceVersion: version}
	deletion := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
	patch := []byte(`[{"op":"add"}]`)
	rehearsed := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "pullkey"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "n", ResourceVersion: version}}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "n"}, DeleteOptions: &deletion}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"a"}}}
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "n"}, Reason: "R"}
	sink := &typedcorev1.EventSinkImpl{Interface: core.Events("")}
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "n", Labels: labels}
	annotated := meta
	annotated.Annotations = data
	forced := metav1.ApplyOptions{FieldManager: "pullkey", Force: true}
	of := func(do func() error) func(context.Context) error { return func(context.Context) error { return do() } }
	return map[string]asked{
		"list namespaces": {
			func(ctx context.Context) error { _, err := a.Namespaces().List(ctx, list); return err },
			func(ctx context.Context) error { _, err := core.Namespaces().List(ctx, list); return err },
		},
		"watch Secrets of all": {
			func(ctx context.Context) error { _, err := a.Secrets("").Watch(ctx, list); return err },
			func(ctx context.Context) error { _, err := core.Secrets("").Watch(ctx, list); return err },
		},
		"list nodes": {
			func(ctx context.Context) error { _, err := a.Nodes().List(ctx, list); return err },
			func(ctx context.Context) error { _, err := core.Nodes().List(ctx, list); return err },
		},
		"get a ConfigMap": {
			func(ctx context.Context) error {
				_, err := a.ConfigMaps("ns").Get(ctx, "n", metav1.GetOptions{})
				return err
			},
			func(ctx context.Context) error {
				_, err := core.ConfigMaps("ns").Get(ctx, "n", metav1.GetOptions{})
				return err
			},
		},
		"patch a ServiceAccount": {
			func(ctx context.Context) error {
				_, err := a.ServiceAccounts("ns").Patch(ctx, "n", types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "pullkey"})
				return err
			},
			func(ctx context.Context) error {
				_, err := core.ServiceAccounts("ns").Patch(ctx, "n", types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "pullkey"})
				return err
			},
		},
		"delete the version of a Secret that was read": {
			func(ctx context.Context) error { return a.Secrets("ns").Delete(ctx, "n", deletion) },
			func(ctx context.Context) error { return core.Secrets("ns").Delete(ctx, "n", deletion) },
		},
		"ask for a pod that is not made": {
			func(ctx context.Context) error { _, err := a.Pods("ns").Create(ctx, pod, rehearsed); return err },
			func(ctx context.Context) error { _, err := core.Pods("ns").Create(ctx, pod, rehearsed); return err },
		},
		"evict": {
			func(ctx context.Context) error { return a.Evict(ctx, eviction) },
			func(ctx context.Context) error { return core.Pods("ns").EvictV1(ctx, eviction) },
		},
		"request a token": {
			func(ctx context.Context) error { _, err := a.RequestToken(ctx, "ns", "n", token); return err },
			func(ctx context.Context) error {
				_, err := core.ServiceAccounts("ns").CreateToken(ctx, "n", token, metav1.CreateOptions{})
				return err
			},
		},
		"apply a Secret": {
			func(ctx context.Context) error {
				_, err := ApplySecret(ctx, a, &corev1.Secret{ObjectMeta: annotated, Type: kind, Data: bytesOf}, metav1.ApplyOptions{FieldManager: "pullkey"})
				return err
			},
			func(ctx context.Context) error {
				_, err := core.Secrets("ns").Apply(ctx, applycorev1.Secret("n", "ns").WithLabels(labels).WithAnnotations(data).WithType(kind).WithData(bytesOf),
					metav1.ApplyOptions{FieldManager: "pullkey"})
				return err
			},
		},
		"apply a ConfigMap by force": {
			func(ctx context.Context) error {
				_, err := ApplyConfigMap(ctx, a, &corev1.ConfigMap{ObjectMeta: meta, Data: data}, forced)
				return err
			},
			func(ctx context.Context) error {
				_, err := core.ConfigMaps("ns").Apply(ctx, applycorev1.ConfigMap("n", "ns").WithLabels(labels).WithData(data), forced)
				return err
			},
		},
		"create a lease": {
			func(ctx context.Context) error {
				_, err := a.Leases("ns").Create(ctx, lease, metav1.CreateOptions{})
				return err
			},
			func(ctx context.Context) error {
				_, err := all.CoordinationV1().Leases("ns").Create(ctx, lease, metav1.CreateOptions{})
				return err
			},
		},
		"update a lease": {
			func(ctx context.Context) error {
				_, err := a.Leases("ns").Update(ctx, lease, metav1.UpdateOptions{})
				return err
			},
			func(ctx context.Context) error {
				_, err := all.CoordinationV1().Leases("ns").Update(ctx, lease, metav1.UpdateOptions{})
				return err
			},
		},
		"create an Event": {of(func() error { _, err := a.Events().Create(event); return err }), of(func() error { _, err := sink.Create(event); return err })},
		"update an Event": {of(func() error { _, err := a.Events().Update(event); return err }), of(func() error { _, err := sink.Update(event); return err })},
		"patch an Event":  {of(func() error { _, err := a.Events().Patch(event, patch); return err }), of(func() error { _, err := sink.Patch(event, patch); return err })},
	}
}

// The clientset is who knows how each request is to look.
func TestARequestIsTheClientsetsToTheByte(t *testing.T) {
	t.Parallel()
	config, last := listening(t)
	a, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	all, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	both := requests(a, all)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		ask := func(do func(context.Context) error) heard {
			if err := do(t.Context()); err == nil {
				t.Errorf("%s: no error, although nobody understands it", name)
			}
			return last()
		}
		theirs, ours := ask(both[name].theirs), ask(both[name].ours)
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%s (-clientset +ours):\n%s", name, diff)
		}
		if agent := ours.Header.Get("User-Agent"); agent != "pullkey-controller" {
			t.Errorf("%s: as %s", name, agent)
		}
		if ours.Header.Get("Content-Type") == config.ContentType && !bytes.HasPrefix(ours.Body, []byte("k8s\x00")) {
			t.Errorf("%s: the body is no protobuf: %q", name, ours.Body)
		}
	}
}

func TestTheReplicasOfADeploymentAreTheOneNumberThatIsRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   int32
		fails  func(error) bool
	}{
		{http.StatusOK, `{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":2,"paused":true}}`, 2, nil},
		{http.StatusOK, `{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":0}}`, 0, nil},
		{http.StatusOK, `{"kind":"Deployment","apiVersion":"apps/v1","spec":{}}`, 1, nil},
		{http.StatusOK, `<html>`, 0, func(err error) bool { return strings.Contains(err.Error(), "read Deployment kube-system/helper") }},
		{http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`, 0, apierrors.IsNotFound},
		{http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, 0, apierrors.IsForbidden},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/apis/apps/v1/namespaces/kube-system/deployments/helper" || r.Header.Get("Accept") != "application/json" {
				t.Errorf("asked for %s as %s", r.URL, r.Header.Get("Accept"))
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		a, err := New(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Replicas(t.Context(), "kube-system", "helper")
		if (err != nil) != (c.fails != nil) || err != nil && !c.fails(err) || got != c.want {
			t.Errorf("%d %s: got %d, %v", c.status, c.body, got, err)
		}
		server.Close()
	}
}
