package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// The stories in testdata/secret and testdata/cluster: commands that write
// Secrets or read ConfigMaps, against an API server that knows nothing else.
func TestStoriesOfClusters(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"secret", "cluster"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir: "testdata/" + dir,
				Setup: func(env *testscript.Env) error {
					env.Setenv("HOME", env.WorkDir+"/home")
					env.Values[clusterKey{}] = &apiServer{secrets: map[string]*corev1.Secret{}, configMaps: map[string]*corev1.ConfigMap{}}
					return os.Mkdir(env.WorkDir+"/home", 0o700)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "registry": startRegistry, "cluster": startCluster, "seed": seed, "stored": stored, "asked": asked,
					"configmap": keepConfigMap, "objects": serveObjects,
				},
			})
		})
	}
}

// keepConfigMap puts a ConfigMap into the cluster: configmap NAMESPACE NAME
// KEY=FILE...
func keepConfigMap(ts *testscript.TestScript, _ bool, args []string) {
	data := map[string]string{}
	for _, arg := range args[2:] {
		key, file, _ := strings.Cut(arg, "=")
		data[key] = ts.ReadFile(file)
	}
	c := clusterOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.configMaps[args[0]+"/"+args[1]] = &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: data}
}

// clusterKey is that of a story's API server.
type clusterKey struct{}

func clusterOf(ts *testscript.TestScript) *apiServer { return ts.Value(clusterKey{}).(*apiServer) }

// startCluster starts an API server for the rest of the story and names it in
// KUBECONFIG. Each option race=N has somebody else change a Secret right after
// it was read, N times.
func startCluster(ts *testscript.TestScript, _ bool, args []string) {
	c := clusterOf(ts)
	for _, option := range args {
		races, err := strconv.Atoi(strings.TrimPrefix(option, "race="))
		ts.Check(err)
		c.races = races
	}
	server := httptest.NewTLSServer(c)
	ts.Defer(server.Close)
	config := clientcmdapi.Config{
		APIVersion: "v1", Kind: "Config", CurrentContext: "right",
		Clusters: []clientcmdapi.NamedCluster{
			{Name: "here", Cluster: clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: authority(server)}},
			{Name: "nowhere", Cluster: clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}},
		},
		AuthInfos: []clientcmdapi.NamedAuthInfo{
			{Name: "admin", AuthInfo: clientcmdapi.AuthInfo{Token: "admins-token"}},
			{Name: "stranger", AuthInfo: clientcmdapi.AuthInfo{Token: "strangers-token"}},
		},
		Contexts: []clientcmdapi.NamedContext{
			{Name: "right", Context: clientcmdapi.Context{Cluster: "here", AuthInfo: "admin"}},
			{Name: "shop", Context: clientcmdapi.Context{Cluster: "here", AuthInfo: "admin", Namespace: "shop"}},
			{Name: "stranger", Context: clientcmdapi.Context{Cluster: "here", AuthInfo: "stranger"}},
			{Name: "unreachable", Context: clientcmdapi.Context{Cluster: "nowhere", AuthInfo: "admin"}},
		},
	}
	data, err := yaml.Marshal(config)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("kubeconfig"), data, 0o600))
	ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig"))
}

// authority returns the certificate of a server in PEM.
func authority(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// seed puts the Secret of a manifest into the cluster: seed FILE.
func seed(ts *testscript.TestScript, _ bool, args []string) {
	secret := &corev1.Secret{}
	ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(args[0])), secret))
	for key, value := range secret.StringData {
		secret.Data = map[string][]byte{key: []byte(value)}
	}
	secret.StringData, secret.UID = nil, "1"
	c := clusterOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(secret)
}

// stored writes what the cluster has in .dockerconfigjson, indented:
// stored NAMESPACE NAME FILE.
func stored(ts *testscript.TestScript, _ bool, args []string) {
	c := clusterOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	secret, found := c.secrets[args[0]+"/"+args[1]]
	if !found {
		ts.Fatalf("there is no secret %s in %s", args[1], args[0])
	}
	var b bytes.Buffer
	ts.Check(json.Indent(&b, secret.Data[corev1.DockerConfigJsonKey], "", "  "))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), append(b.Bytes(), '\n'), 0o600))
}

// asked checks what the API server was asked since it was last checked:
// asked [METHOD PATH]...
func asked(ts *testscript.TestScript, _ bool, args []string) {
	c := clusterOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	var want []string
	for i := 0; i+1 < len(args); i += 2 {
		want = append(want, args[i]+" /api/v1/namespaces/"+args[i+1])
	}
	if diff := cmp.Diff(want, c.log); diff != "" {
		ts.Fatalf("the API server was asked (-want +got):\n%s", diff)
	}
	c.log = nil
}

// apiServer answers as Kubernetes does, for Secrets and for reading
// ConfigMaps. It has the namespaces default, shop and locked; in the last one
// nobody may do anything.
type apiServer struct {
	mu         sync.Mutex
	secrets    map[string]*corev1.Secret    // by namespace/name
	configMaps map[string]*corev1.ConfigMap // as above
	version    int
	races      int
	log        []string
}

// keep stores a new version of a Secret.
func (a *apiServer) keep(s *corev1.Secret) {
	a.version++
	s.ResourceVersion = strconv.Itoa(a.version)
	a.secrets[s.Namespace+"/"+s.Name] = s
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log = append(a.log, r.Method+" "+r.URL.Path)
	namespace, kind, name := parts(r.URL.Path)
	if kind == "" {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource", "")
		return
	}
	verb := map[string]string{"GET": "get", "POST": "create", "PATCH": "patch"}[r.Method]
	switch {
	case r.Header.Get("Authorization") != "Bearer admins-token":
		refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized", "")
	case namespace == "locked":
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf(`%s %q is forbidden: User "admin" cannot %s resource %[1]q in API group "" in the namespace "locked"`, kind, name, verb), kind)
	case kind == "configmaps":
		a.getConfigMap(w, namespace, name)
	case verb == "create" && namespace != "default" && namespace != "shop":
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("namespaces %q not found", namespace), "namespaces")
	case verb == "create":
		a.create(w, r, namespace)
	case a.secrets[namespace+"/"+name] == nil:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("secrets %q not found", name), "secrets")
	case verb == "get":
		a.get(w, a.secrets[namespace+"/"+name])
	case verb == "patch":
		a.patch(w, r, a.secrets[namespace+"/"+name])
	}
}

// parts splits /api/v1/namespaces/NAMESPACE/secrets[/NAME], or configmaps.
func parts(path string) (namespace, kind, name string) {
	p := strings.Split(path, "/")
	if len(p) < 6 || p[1] != "api" || p[2] != "v1" || p[3] != "namespaces" || p[5] != "secrets" && p[5] != "configmaps" {
		return "", "", ""
	}
	return p[4], p[5], strings.Join(p[6:], "/")
}

func (a *apiServer) create(w http.ResponseWriter, r *http.Request, namespace string) {
	s := &corev1.Secret{}
	if err := json.NewDecoder(r.Body).Decode(s); err != nil || s.Kind != "Secret" || s.Name == "" || s.Namespace != namespace {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf("no Secret: %v", err), "")
		return
	}
	if a.secrets[namespace+"/"+s.Name] != nil {
		refuse(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, fmt.Sprintf("secrets %q already exists", s.Name), "secrets")
		return
	}
	if namespace == "shop" {
		w.Header().Set("Warning", `299 - "the shop closes soon"`)
	}
	s.UID = "1"
	a.keep(s)
	answer(w, http.StatusCreated, s)
}

func (a *apiServer) getConfigMap(w http.ResponseWriter, namespace, name string) {
	if found := a.configMaps[namespace+"/"+name]; found != nil {
		answer(w, http.StatusOK, found)
		return
	}
	refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("configmaps %q not found", name), "configmaps")
}

// get answers, and then somebody else may add an entry.
func (a *apiServer) get(w http.ResponseWriter, s *corev1.Secret) {
	answer(w, http.StatusOK, s)
	if a.races == 0 {
		return
	}
	a.races--
	entry := fmt.Sprintf(`{"auths":{"elsewhere-%d.io":{"auth":"Ym9iOmhw"}}}`, a.races)
	if merged, err := jsonpatch.MergePatch(s.Data[corev1.DockerConfigJsonKey], []byte(entry)); err == nil {
		s.Data[corev1.DockerConfigJsonKey] = merged
		a.keep(s)
	}
}

func (a *apiServer) patch(w http.ResponseWriter, r *http.Request, s *corev1.Secret) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
		refuse(w, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "no merge patch", "")
		return
	}
	before, _ := json.Marshal(s)
	after, err := jsonpatch.MergePatch(before, body)
	changed := &corev1.Secret{}
	if err != nil || json.Unmarshal(after, changed) != nil {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "no merge patch", "")
		return
	}
	if changed.ResourceVersion != s.ResourceVersion {
		refuse(w, http.StatusConflict, metav1.StatusReasonConflict,
			fmt.Sprintf("Operation cannot be fulfilled on secrets %q: the object has been modified; please apply your changes to the latest version and try again", s.Name), "secrets")
		return
	}
	if r.URL.Query().Get("dryRun") != metav1.DryRunAll {
		a.keep(changed)
	}
	answer(w, http.StatusOK, changed)
}

func answer(w http.ResponseWriter, code int, object any) {
	if s, ok := object.(*corev1.Secret); ok {
		s = s.DeepCopy()
		s.APIVersion, s.Kind = "v1", "Secret"
		object = s
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Message: message, Reason: reason, Code: int32(code), Details: &metav1.StatusDetails{Kind: kind},
	})
}
