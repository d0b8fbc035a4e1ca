package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
)

var ours = Birth{Namespace: "pullkey-system", SecretName: "pull"}

// facts are a cluster where these namespaces are.
type facts struct {
	data       map[string]string
	namespaces map[string]map[string]string
	err        error
}

func (f facts) Parameters() (*Parameters, error) {
	if f.data == nil {
		return nil, f.err
	}
	return Parse(f.data), nil
}

func (f facts) Namespace(_ context.Context, name string) (Namespace, error) {
	if labels, ok := f.namespaces[name]; ok {
		return Namespace{name, labels}, nil
	}
	return Namespace{}, errors.New("read namespace " + name + ": the API server does not answer")
}

func patched(t *testing.T, patch []Operation, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(patch) == 0 {
		return ""
	}
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	podOfOurs = `{"spec":{"containers":[{"image":"acr.example.com/a"}]}}`
	made      = `[{"op":"add","path":"/spec/imagePullSecrets","value":[{"name":"pull"}]}]`
	appended  = `[{"op":"add","path":"/spec/imagePullSecrets/-","value":{"name":"pull"}}]`
)

func TestPodsOfManagedRegistriesGetTheName(t *testing.T) {
	t.Parallel()
	all := map[string]string{"all-namespaces": "", "host.acr.example.com": "", "host.acr.example.com_65001": "", "hosts-matching": `^(registry\.[^.]*\.example\.com)$`}
	for _, c := range []struct{ name, pod, want string }{
		{"a container", podOfOurs, made},
		{"an init container", `{"spec":{"containers":[{"image":"busybox"}],"initContainers":[{"image":"acr.example.com/a"}]}}`, made},
		{"a volume", `{"spec":{"volumes":[{"name":"x"},{"image":{"reference":"ACR.example.com/a@sha256:0"}}]}}`, made},
		{"a port", `{"spec":{"containers":[{"image":"acr.example.com:65001/a"}]}}`, made},
		{"a glob", `{"spec":{"containers":[{"image":"registry.cn-x.example.com/a"}]}}`, made},
		{"a list of its own", `{"spec":{"imagePullSecrets":[{"name":"mine"}],"containers":[{"image":"acr.example.com/a"}]}}`, appended},
		{"an empty name in it", `{"spec":{"imagePullSecrets":[{}],"containers":[{"image":"acr.example.com/a"}]}}`, appended},
		{"an empty list", `{"spec":{"imagePullSecrets":[],"containers":[{"image":"acr.example.com/a"}]}}`, made},
		{"named already", `{"spec":{"imagePullSecrets":[{"name":"pull"}],"containers":[{"image":"acr.example.com/a"}]}}`, ""},
		{"another registry", `{"spec":{"containers":[{"image":"example.com/acr.example.com/a"}]}}`, ""},
		{"another port", `{"spec":{"containers":[{"image":"acr.example.com:1/a"}]}}`, ""},
		{"the Kelvin sign is no k", `{"spec":{"containers":[{"image":"registry.cn-x.example.com` + "\u212a" + `/a"}]}}`, ""},
		{"a mirror pod", `{"metadata":{"annotations":{"kubernetes.io/config.mirror":""}},"spec":{"containers":[{"image":"acr.example.com/a"}]}}`, ""},
		{"nothing", `{}`, ""},
	} {
		patch, err := ours.Pod(Parse(all), Namespace{Name: "team"}, []byte(c.pod))
		if got := patched(t, patch, err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheProbeAloneIsInjectedAtHomeAndSaysByWhom(t *testing.T) {
	t.Parallel()
	parameters := Parse(map[string]string{"all-namespaces": "", "namespaces-except": "^(.*)$", "host.acr.example.com": ""})
	probe := `{"metadata":{"labels":{"pullkey.dev/probe":""}},"spec":{"containers":[{"image":"acr.example.com/a"}]}}`
	want := strings.TrimSuffix(made, "]") + `,{"op":"replace","path":"/metadata/labels/pullkey.dev~1probe","value":"webhook"}]`
	for namespace, pods := range map[string]map[string]string{ours.Namespace: {podOfOurs: "", probe: want}, "team": {podOfOurs: "", probe: ""}} {
		for pod, want := range pods {
			patch, err := ours.Pod(parameters, Namespace{Name: namespace}, []byte(pod))
			if got := patched(t, patch, err); got != want {
				t.Errorf("in %s: got %s, want %s", namespace, got, want)
			}
		}
	}
}

// The last column is what a policy comes to: an expression that cannot be compiled
// fails only where nothing else decides.
func TestNamespacesAreChosenAsThePoliciesChoose(t *testing.T) {
	t.Parallel()
	team := map[string]string{"team": "a", "kubernetes.io/metadata.name": "n"}
	for _, c := range []struct {
		name   string
		data   map[string]string
		labels map[string]string
		want   truth
	}{
		{"nothing", nil, team, no},
		{"all", map[string]string{"all-namespaces": ""}, team, yes},
		{"by name", map[string]string{"ns.n": ""}, team, yes},
		{"by another name", map[string]string{"ns.m": ""}, team, no},
		{"by a glob", map[string]string{"namespaces-matching": "^(n.*)$"}, team, yes},
		{"excluded", map[string]string{"ns.n": "", "namespaces-except": "^(n)$"}, team, no},
		{"limited to others", map[string]string{"ns.n": "", "only-some": "", "only.m": ""}, team, no},
		{"limited to it", map[string]string{"ns.n": "", "only-some": "", "only.n": ""}, team, yes},
		{"by a label", map[string]string{"namespaces-labelled": "^team=(a|b)$"}, team, yes},
		{"by two labels, one of which is missing", map[string]string{"namespaces-labelled": "^team=(a)$\n^x=.*$"}, team, no},
		{"by a label that must not be", map[string]string{"namespaces-labelled": "^team=(a)$\n!^legacy=.*$"}, team, yes},
		{"by a label that is there and must not be", map[string]string{"namespaces-labelled": "!^team=.*$"}, team, no},
		{"an empty line fits every label", map[string]string{"namespaces-labelled": ""}, team, yes},
		{"and none where there is none", map[string]string{"namespaces-labelled": ""}, nil, no},
		{"a broken glob", map[string]string{"namespaces-matching": "("}, team, fails},
		{"a broken glob where the name is listed", map[string]string{"namespaces-matching": "(", "ns.n": ""}, team, yes},
		{"a broken exclusion", map[string]string{"namespaces-except": "(", "ns.n": ""}, team, fails},
		{"a broken exclusion of what is not chosen", map[string]string{"namespaces-except": "("}, team, no},
		{"a broken label", map[string]string{"namespaces-labelled": "("}, team, fails},
		{"a broken label beside one that is missing", map[string]string{"namespaces-labelled": "(\n^x=.*$"}, team, no},
		{"a broken label where there is none", map[string]string{"namespaces-labelled": "!("}, nil, yes},
	} {
		if got := Parse(c.data).chooses(Namespace{"n", c.labels}); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestServiceAccountsAreChosenByName(t *testing.T) {
	t.Parallel()
	const made, appended = `[{"op":"add","path":"/imagePullSecrets","value":[{"name":"pull"}]}]`, `[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"pull"}}]`
	in := func(key string) map[string]string {
		return map[string]string{"all-namespaces": "", key: "^(build-.*)$"}
	}
	for _, c := range []struct {
		name, object string
		data         map[string]string
		want         string
	}{
		{"all", `{"metadata":{"name":"a"}}`, in("all-serviceaccounts"), made},
		{"by name", `{"metadata":{"name":"a"},"imagePullSecrets":[{},{"name":"mine"}]}`, in("sa.a"), appended},
		{"by a glob", `{"metadata":{"name":"build-a"}}`, in("serviceaccounts-matching"), made},
		{"of no name yet", `{"metadata":{"generateName":"build-"}}`, in("serviceaccounts-matching"), ""},
		{"of no name yet where all are", `{}`, in("all-serviceaccounts"), made},
		{"of another", `{"metadata":{"name":"b"}}`, in("sa.a"), ""},
		{"named already", `{"metadata":{"name":"a"},"imagePullSecrets":[{"name":"pull"}]}`, in("sa.a"), ""},
		{"switched off", `{"metadata":{"name":"a"}}`, map[string]string{"all-namespaces": "", "sa.a": "", "no-serviceaccounts": ""}, ""},
	} {
		patch, err := ours.ServiceAccount(Parse(c.data), Namespace{Name: "team"}, []byte(c.object))
		if got := patched(t, patch, err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// ask posts a review and returns the status and what came.
func ask(t *testing.T, f facts, method, body string) (int, string) {
	t.Helper()
	server := httptest.NewServer(Handler(ours, f))
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/?timeout=5s", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// review is what an API server asks.
func review(resource, operation, namespace, object string) string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"7","kind":{"version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"` + resource + `"},"operation":"` + operation + `","namespace":"` + namespace + `","object":` + object + `}}`
}

func TestWhatIsAskedIsNeverRefused(t *testing.T) {
	t.Parallel()
	byLabel := map[string]string{"namespaces-labelled": "^team=(a)$", "host.acr.example.com": ""}
	here := facts{data: byLabel, namespaces: map[string]map[string]string{"new": {"team": "a"}}}
	for _, c := range []struct {
		name, body string
		facts      facts
		status     int
		want       string // what is patched, or said with an error
	}{
		{"a pod", review("pods", "CREATE", "new", podOfOurs), here, 200, made},
		{"a pod that cannot be read", review("pods", "CREATE", "new", `{"spec":{"containers":7}}`), here, 200, ""},
		{"no object", review("pods", "CREATE", "new", `null`), here, 200, ""},
		{"another operation", review("pods", "UPDATE", "new", podOfOurs), here, 200, ""},
		{"another kind", review("secrets", "CREATE", "new", podOfOurs), here, 200, ""},
		{"no parameters", review("pods", "CREATE", "new", podOfOurs), facts{}, 200, ""},
		{"the caches are not filled", review("pods", "CREATE", "new", podOfOurs), facts{err: errors.New("not filled yet")}, 503, "not filled yet"},
		{"a namespace that cannot be looked at", review("pods", "CREATE", "lost", podOfOurs), here, 503, "read namespace lost"},
		{"a namespace that need not be", review("pods", "CREATE", "lost", podOfOurs), facts{data: map[string]string{"ns.lost": "", "host.acr.example.com": ""}}, 200, made},
		{"no request", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, here, 400, "no AdmissionReview of admission.k8s.io/v1 with a request"},
		{"an older form", strings.Replace(review("pods", "CREATE", "new", podOfOurs), "k8s.io/v1", "k8s.io/v1beta1", 1), here, 400, "no AdmissionReview"},
		{"no JSON", `Password=secret`, here, 400, "no JSON"},
		{"nothing", ``, here, 400, "no JSON"},
		{"too much", `{"kind":"` + strings.Repeat("x", bodyMost) + `"}`, here, 400, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, text := ask(t, c.facts, http.MethodPost, c.body)
			if status != c.status {
				t.Fatalf("got %d %s, want %d", status, text, c.status)
			}
			if status != http.StatusOK {
				if !strings.Contains(text, c.want) || strings.Contains(text, "secret") {
					t.Errorf("got %q, want %q", text, c.want)
				}
				return
			}
			var got admissionv1.AdmissionReview
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			want := &admissionv1.AdmissionResponse{UID: "7", Allowed: true}
			if c.want != "" {
				kind := admissionv1.PatchTypeJSONPatch
				want.Patch, want.PatchType = []byte(c.want), &kind
			}
			if diff := cmp.Diff(want, got.Response); diff != "" || got.Kind != "AdmissionReview" || got.APIVersion != "admission.k8s.io/v1" {
				t.Errorf("(-want +got):\n%s\n%s", diff, text)
			}
		})
	}
	if status, _ := ask(t, here, http.MethodGet, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d", status)
	}
}

func FuzzNobodyIsRefusedAndNothingPanics(f *testing.F) {
	f.Add(review("pods", "CREATE", "new", podOfOurs), "namespaces-labelled", "^team=(a)$", "team", "a")
	f.Add(review("serviceaccounts", "CREATE", "new", `{"metadata":{"name":"a"}}`), "all-serviceaccounts", "(", "", "")
	f.Add(`{"request":{}}`, "hosts-matching", "!", "x", "y")
	f.Fuzz(func(t *testing.T, body, key, value, label, of string) {
		at := facts{data: map[string]string{key: value, "host.acr.example.com": "", "ns.new": ""}, namespaces: map[string]map[string]string{"new": {label: of}}}
		recorder := httptest.NewRecorder()
		Handler(ours, at).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)))
		if recorder.Code != http.StatusOK {
			return
		}
		var got admissionv1.AdmissionReview
		if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil || got.Response == nil || !got.Response.Allowed {
			t.Fatalf("%v: %s", err, recorder.Body)
		}
		for _, o := range operations(t, got.Response.Patch) {
			if o.Op != "add" && o.Path != "/metadata/labels/pullkey.dev~1probe" {
				t.Errorf("it does more than add: %+v", o)
			}
		}
	})
}

func operations(t *testing.T, patch []byte) []Operation {
	t.Helper()
	var all []Operation
	if len(patch) > 0 {
		if err := json.Unmarshal(patch, &all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// issue writes a certificate for a name into the folder.
func issue(t *testing.T, folder, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(folder, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACertificateThatChangesIsShownWithoutARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, err := Open(folder, os.ReadFile, nil); err == nil || !strings.Contains(err.Error(), "read the webhook's certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	issue(t, folder, "first")
	var troubles []error
	certificate, err := Open(folder, os.ReadFile, func(err error) { troubles = append(troubles, err) })
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		got, err := certificate.Get(nil)
		if err != nil || got.Leaf.Subject.CommonName != want {
			t.Errorf("got %v (%v), want %s", got.Leaf.Subject, err, want)
		}
	}
	shows("first")
	key, err := os.ReadFile(filepath.Join(folder, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	issue(t, folder, "second")
	shows("second")
	if err := os.WriteFile(filepath.Join(folder, "tls.key"), key, 0o600); err != nil { // of another
		t.Fatal(err)
	}
	shows("second")
	if len(troubles) != 1 {
		t.Errorf("told %v", troubles)
	}
	issue(t, folder, "third")
	shows("third")
}
