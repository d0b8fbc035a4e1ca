package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
)

const shipped = "../../examples"

// What a stranger sees first: no cluster, and a file from a ticket.
func TestTheExamplesAreExplained(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(shipped, "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v: %q", err, files)
	}
	for _, file := range files {
		name := "explain-" + strings.TrimSuffix(filepath.Base(file), ".yaml")
		out, _, code := runAt(t, "explain", "-f", file)
		golden(t, name, out)
		if code != exitFailed {
			t.Errorf("%s: exit code %d", file, code)
		}
		document, _, code := runAt(t, "explain", "-f", file, "-o", "json")
		if want := goldenText(t, name+"-json", document); document != want || code != exitFailed {
			t.Errorf("%s, exit code %d: got\n%s", file, code, document)
		}
		if strings.Contains(out+document, "not-a-password") || strings.Contains(document, "ZXhhb") {
			t.Errorf("%s: a password is shown", file)
		}
	}
}

// inCluster are the objects of an example, as an API server has them.
func inCluster(t *testing.T, file string, forbidden ...string) http.HandlerFunc {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shipped, file))
	if err != nil {
		t.Fatal(err)
	}
	o := &objectFile{}
	err = o.read(data)
	if err != nil {
		t.Fatal(err)
	}
	pod := o.pods[0]
	at := "/api/v1/namespaces/" + pod.Namespace
	lists := map[string]any{at + "/secrets": o.secrets, at + "/events": o.events, "/api/v1/pods": o.pods}
	kinds := map[string]string{at + "/secrets": "SecretList", at + "/events": "EventList", "/api/v1/pods": "PodList"}
	one := map[string]any{at + "/pods/" + pod.Name: pod}
	for _, a := range o.accounts {
		one[at+"/serviceaccounts/"+a.Name] = a
	}
	for _, s := range o.secrets {
		one[at+"/secrets/"+s.Name] = s
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("it asks for %s %s", r.Method, r.URL)
		}
		for _, f := range forbidden {
			if strings.Contains(r.URL.Path, "/"+f) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`))
				return
			}
		}
		switch {
		case kinds[r.URL.Path] != "":
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": kinds[r.URL.Path], "apiVersion": "v1", "items": lists[r.URL.Path]})
		case one[r.URL.Path] != nil:
			_ = json.NewEncoder(w).Encode(one[r.URL.Path])
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"none"}`))
		}
	}
}

// Several files are as one, in whatever order; a value that somebody wrote in clear is one.
func TestSeveralFilesAndValuesInClearAreRead(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "objects.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pod := file(`{"kind":"Pod","metadata":{"name":"a","namespace":"n"},"spec":{"imagePullSecrets":[{"name":"s"}],"containers":[{"name":"c","image":"reg.example.com:5000/a:1"}]},
		"status":{"containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ErrImagePull","message":"failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"}}}]}}`)
	secret := file(`{"kind":"Secret","metadata":{"name":"s","namespace":"n"},"type":"kubernetes.io/dockerconfigjson",
		"stringData":{".dockerconfigjson":"{\"auths\":{\"reg.example.com\":{\"username\":\"u\",\"password\":\"not-to-be-shown\"}}}"}}`)
	account := file(`{"kind":"ServiceAccount","metadata":{"name":"default","namespace":"n"}}`)
	for _, files := range [][]string{{pod, secret, account}, {account, secret, pod}} {
		args := []string{"explain"}
		for _, one := range files {
			args = append(args, "-f", one)
		}
		if _, all, code := runAt(t, args...); code != exitFailed || !strings.Contains(all, "PULL-KEY-PORT  [proven]") || strings.Contains(all, "not-to-be-shown") {
			t.Errorf("exit code %d\n%s", code, all)
		}
	}
}

func TestTheClusterIsExplainedAsTheFileIs(t *testing.T) {
	t.Parallel()
	for file, args := range map[string][]string{
		"vpc-vs-public.yaml": {"pod/cart-7c9d-x2lbv", "-n", "shop"}, "undecodable-secret.yaml": {"web-0", "-n", "web"},
	} {
		want, _, _ := runAt(t, "explain", "-f", filepath.Join(shipped, file))
		got, all, code := runAt(t, append([]string{"explain", "--kubeconfig", clusterOf(t, inCluster(t, file))}, args...)...)
		if got != want || code != exitFailed {
			t.Errorf("%s: got %s\nwant %s", file, all, want)
		}
	}
}

func TestWhatMayNotBeReadIsSaidWithTheRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		forbidden string
		code      int
		want      []string
	}{
		{"the Secrets", "secrets", exitForbidden, []string{"? inconclusive", "Secret acr, which the pod names, was not\n  read", `it takes this rule in a Role: {"apiGroups":[""],"resources":["secrets"],"verbs":["list"]}`, `"resources":["secrets"],"verbs":["get"]}`}},
		{"the Events", "events", exitFailed, []string{"PULL-KEY-VPC-VS-PUBLIC  [proven]", `"resources":["events"]`}},
		{"the pod", "pods/", exitForbidden, []string{`it takes this rule: {"apiGroups":[""],"resources":["pods"],"verbs":["get"]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, all, code := runAt(t, "explain", "pod/cart-7c9d-x2lbv", "-n", "shop", "--kubeconfig", clusterOf(t, inCluster(t, "vpc-vs-public.yaml", c.forbidden)))
			text := strings.Join(strings.Fields(all), " ")
			for _, want := range c.want {
				if !strings.Contains(text, strings.Join(strings.Fields(want), " ")) {
					t.Errorf("it lacks %q", want)
				}
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, all)
			}
		})
	}
}

func TestWhatCannotBeExplainedIsSaid(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "objects.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const running = `{"kind":"Pod","metadata":{"name":"a","namespace":"n"},"spec":{"containers":[{"name":"c","image":"nginx"}]},"status":{"containerStatuses":[{"name":"c","state":{"running":{}}}]}}`
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing", nil, exitUsage, "name a pod, the code of a cause, or with -f a file of objects"},
		{"no pod", []string{"-f", file(`{"kind":"Secret"}`)}, exitInconclusive, "holds no pod"},
		{"no pod that fails", []string{"-f", file(running)}, exitDone, "✓ no pod in the file has an image that cannot be had"},
		{"a pod that runs", []string{"a", "-f", file(running)}, exitDone, "✓ ok"},
		{"another namespace", []string{"-n", "m", "-f", file(running)}, exitInconclusive, "holds no pod of namespace m"},
		{"a kind that pulls nothing", []string{"svc/web", "-f", file(running)}, exitUsage, "is of no kind that pulls images"},
		{"a pod without a name", []string{"pod/", "-f", file(running)}, exitUsage, "is no name of a pod"},
		{"another pod", []string{"b", "-f", file(running)}, exitInconclusive, "holds no pod b"},
		{"no YAML", []string{"-f", file("a: x\nb: {c: x\nd: not-to-be-shown\n")}, exitInconclusive, "document 1, line 2: it is no YAML"},
		{"another form", []string{"-f", file(`{"kind":"Secret","metadata":{"name":"s"},"data":{"a":"not-to-be-shown!"}}`)}, exitInconclusive, "Secret s is not of the form that it should be: a value of data is no base64"},
		{"another kind of value", []string{"-f", file(`{"kind":"Secret","metadata":{"name":"s"},"data":["not-to-be-shown!"]}`)}, exitInconclusive, "Secret s is not of the form that it should be: data is of the wrong kind, array"},
		{"no file", []string{"-f", "none.yaml"}, exitInconclusive, "read none.yaml: no such file or directory"},
		{"no such code", []string{"PULL-NONSENSE"}, exitUsage, "there is no cause of the code PULL-NONSENSE"},
		{"the begin of codes", []string{"pull-key"}, exitDone, "PULL-KEY-PORT           The key and the image"},
		{"a code as a page", []string{"PULL-KEY-PORT", "-o", "html"}, exitUsage, "no other flag than -o text or json goes with it"},
		{"a page of nothing", []string{"-f", file(running), "-o", "html"}, exitDone, "✓ no pod has an image that cannot be had</p>"},
		{"a page", []string{"-f", filepath.Join(shipped, "vpc-vs-public.yaml"), "-o", "html"}, exitFailed, "<title>PULL-KEY-VPC-VS-PUBLIC: shop/cart-7c9d-x2lbv</title>"},
		{"a code and a file", []string{"PULL-KEY-PORT", "-f", "none.yaml"}, exitUsage, "no other flag than -o text or json goes with it"},
		{"a pod that nobody has tried to start", []string{"-f", file(strings.Replace(running, `"running"`, `"waiting"`, 1)), "a"}, exitInconclusive, "whether pod n/a can pull nginx is not known"},
		{"no such container", []string{"a", "-c", "x", "-f", file(running)}, exitInconclusive, `it has no container "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, all, code := runAt(t, append([]string{"explain"}, c.args...)...)
			if code != c.code || !strings.Contains(all, c.want) || strings.Contains(all, "not-to-be-shown") {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.want, all)
			}
		})
	}
}

func TestFailingPodsArePutTogetherByCause(t *testing.T) {
	t.Parallel()
	out, all, code := runAt(t, "doctor", "-A", "--kubeconfig", clusterOf(t, inCluster(t, "vpc-vs-public.yaml")))
	golden(t, "doctor", out)
	if code != exitFailed || !strings.Contains(all, "pullkey: 1 pod cannot pull") {
		t.Errorf("exit code %d\n%s", code, all)
	}
	healthy := clusterOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"n"},"spec":{"containers":[{"name":"c","image":"nginx"}]}}]}`))
	})
	if out, _, code := runAt(t, "doctor", "-n", "n", "--kubeconfig", healthy); code != exitDone || out != "✓ no pod of 1 fails to pull\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, _, _ := runAt(t, "doctor", "-A", "--kubeconfig", clusterOf(t, inCluster(t, "vpc-vs-public.yaml", "secrets"))); !strings.Contains(out, "the Secrets of the namespace in shop: the API server forbids it") {
		t.Errorf("it does not say what it may not read: %s", out)
	}
	if _, all, code := runAt(t, "doctor", "-A", "--kubeconfig", clusterOf(t, inCluster(t, "vpc-vs-public.yaml", "pods"))); code != exitForbidden {
		t.Errorf("exit code %d: %s", code, all)
	}
}

// A thousand pods of one cause are one line, and of nothing are more than these kept.
func TestManyPodsOfOneCauseAreOneLine(t *testing.T) {
	t.Parallel()
	w := &ward{}
	for i := range 1000 {
		w.add(&explain.Diagnosis{
			Target:  explain.Target{Namespace: "n", Pod: fmt.Sprintf("p-%d", i)},
			Verdict: explain.Verdict{Status: explain.Broken, Finding: explain.Finding{Code: "PULL-KEY-PORT", Certainty: "proven", Sentence: "s"}},
		})
	}
	if text := (&program{}).wardText(w); strings.Count(text, "\n") > 8 || !strings.Contains(text, "1,000 pods") && !strings.Contains(text, "1000 pods") {
		t.Errorf("got %s", text)
	}
}

func TestAnImageIsCheckedBeforeThereIsAPod(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"another endpoint than the Secret's", []string{"registry-vpc.cn-hangzhou.aliyuncs.com/shop/cart:1.4"}, exitFailed, "PULL-KEY-VPC-VS-PUBLIC  [strong]"},
		{"that of the Secret", []string{"registry.cn-hangzhou.aliyuncs.com/shop/cart:1.4"}, exitDone, "✓ ok"},
		{"no such ServiceAccount", []string{"nginx", "--service-account", "none"}, exitFailed, "PULL-SA-MISSING  [proven]"},
		{"no login, for an image that may be everybody's", []string{"quay.io/team/nginx"}, exitInconclusive, "it pulls if everybody may have the image"},
		{"no name of an image", []string{"Nginx"}, exitUsage, "image name"},
		{"no image", nil, exitUsage, "the argument IMAGE is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kubeconfig := clusterOf(t, inCluster(t, "vpc-vs-public.yaml"))
			_, all, code := runAt(t, append([]string{"check", "-n", "shop", "--kubeconfig", kubeconfig}, c.args...)...)
			if code != c.code || !strings.Contains(all, c.want) || strings.Contains(all, "anew") {
				t.Errorf("exit code %d, want %d and %q, and no pod to be made anew\n%s", code, c.code, c.want, all)
			}
		})
	}
}

// A fix that the command line refuses is none.
func TestTheCommandsOfAFixAreCommands(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"vpc-vs-public.yaml", "undecodable-secret.yaml"} {
		document, _, _ := runAt(t, "explain", "-f", filepath.Join(shipped, file), "-o", "json")
		var all []explain.Diagnosis
		if err := json.Unmarshal([]byte(document), &all); err != nil || len(all) != 1 {
			t.Fatalf("%d, %v", len(all), err)
		}
		for _, fix := range all[0].Verdict.Fixes {
			for command := range strings.SplitSeq(fix.Command, " && ") {
				args, ours := strings.CutPrefix(command, "pullkey ")
				if !ours {
					continue
				}
				if _, all, code := runAt(t, append(strings.Fields(args), "--help")...); code != exitDone {
					t.Errorf("%s: exit code %d\n%s", command, code, all)
				}
				cmd, rest, err := (&program{}).root().Find(strings.Fields(args))
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: %v", command, err)
				}
			}
		}
	}
}

// The diagnosis of a capture is that of the cluster, and no secret is in it.
func TestACaptureIsExplainedAsTheClusterIs(t *testing.T) {
	t.Parallel()
	for file, pod := range map[string][2]string{"vpc-vs-public.yaml": {"cart-7c9d-x2lbv", "shop"}, "undecodable-secret.yaml": {"web-0", "web"}} {
		kubeconfig := clusterOf(t, inCluster(t, file))
		want, _, _ := runAt(t, "explain", pod[0], "-n", pod[1], "--kubeconfig", kubeconfig)
		captured, all, code := runAt(t, "capture", "pod/"+pod[0], "-n", pod[1], "--kubeconfig", kubeconfig)
		if code != exitDone {
			t.Fatalf("exit code %d\n%s", code, all)
		}
		path := filepath.Join(t.TempDir(), "ticket.yaml")
		if err := os.WriteFile(path, []byte(captured), 0o600); err != nil {
			t.Fatal(err)
		}
		got, all, _ := runAt(t, "explain", "-f", path)
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, all, want)
		}
		if strings.Contains(captured, "not-a-password") || strings.Contains(captured, "bm90LWEtcGFzc3dvcmQ") || strings.Contains(captured, "ZXhhbXBsZTpub3") {
			t.Errorf("%s: a password is in the capture", file)
		}
	}
}
