package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// serveObjects starts an API server that has the objects of a file and takes no writes,
// and names it in KUBECONFIG: objects FILE. ${NAME} in the file is what the story has under
// that name, and stringData of a Secret is encoded. In its context "developer" nobody may read
// Secrets.
func serveObjects(ts *testscript.TestScript, _ bool, args []string) {
	var list struct {
		Items []map[string]any `json:"items"`
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(yaml.Unmarshal([]byte(text), &list))
	for _, one := range list.Items {
		texts, _ := one["stringData"].(map[string]any)
		data := map[string]any{}
		for key, value := range texts {
			data[key] = base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(value)))
		}
		if texts != nil {
			one["data"] = data
		}
	}
	server := httptest.NewTLSServer(objects(list.Items))
	ts.Defer(server.Close)
	data, err := yaml.Marshal(clientcmdapi.Config{
		APIVersion: "v1", Kind: "Config", CurrentContext: "admin",
		Clusters:  []clientcmdapi.NamedCluster{{Name: "here", Cluster: clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: authority(server)}}},
		AuthInfos: []clientcmdapi.NamedAuthInfo{{Name: "admin", AuthInfo: clientcmdapi.AuthInfo{Token: "admin"}}, {Name: "developer", AuthInfo: clientcmdapi.AuthInfo{Token: "developer"}}},
		Contexts:  []clientcmdapi.NamedContext{{Name: "admin", Context: clientcmdapi.Context{Cluster: "here", AuthInfo: "admin"}}, {Name: "developer", Context: clientcmdapi.Context{Cluster: "here", AuthInfo: "developer"}}},
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("kubeconfig"), data, 0o600))
	ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig"))
}

// objects are those of an API server of the core group.
type objects []map[string]any

func (o objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
	namespace := ""
	if p[0] == "namespaces" && len(p) > 2 {
		namespace, p = p[1], p[2:]
	}
	switch {
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "nothing is written here", "")
	case p[0] == "secrets" && r.Header.Get("Authorization") == "Bearer developer":
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, `secrets is forbidden: User "developer" cannot read them`, "secrets")
	default:
		o.answer(w, namespace, p)
	}
}

// answer gives one object, or all of a kind; selectors are not looked at.
func (o objects) answer(w http.ResponseWriter, namespace string, path []string) {
	found := []map[string]any{}
	kind := ""
	for _, one := range o {
		text, _ := json.Marshal(one["metadata"])
		var meta metav1.ObjectMeta
		_ = json.Unmarshal(text, &meta)
		if k, _ := one["kind"].(string); strings.ToLower(k)+"s" != path[0] || namespace != "" && meta.Namespace != namespace {
			continue
		}
		if len(path) == 2 && meta.Name == path[1] {
			answer(w, http.StatusOK, one)
			return
		}
		kind, _ = one["kind"].(string)
		found = append(found, one)
	}
	if len(path) == 2 {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "there is none of that name", path[0])
		return
	}
	answer(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": kind + "List", "items": found})
}
