package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// collect adds the passwords that stand in the namespace's pull Secret now.
func (s *site) collect(t *testing.T, known secrecy.Secrets, namespace string) {
	t.Helper()
	_, entries, err := s.pullSecret(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	for host, e := range entries {
		known[fmt.Sprintf("temporary password %d, for %s", len(known), host)] = e.Password
	}
}

// trouble is a failure to cause, and what the log says of it and of none before
// it, whose last words may come late.
type trouble struct {
	name  string
	cause func(t *testing.T)
	says  string
}

func (s *site) troubles(known secrecy.Secrets, namespace, foreign string) []trouble {
	good := s.acr.AccessKey()
	key := func(name string, k credential.AccessKey) func(*testing.T) {
		known["the access key secret: "+name] = k.Secret.Reveal()
		return func(t *testing.T) { s.setAccessKey(t, k) }
	}
	fault := func(name string, kind localacr.FaultKind) func(*testing.T) {
		// A new key makes it ask at once.
		renew := key(name, s.acr.AddAccessKey(everything))
		return func(t *testing.T) {
			s.acr.Faults().Clear()
			if err := s.acr.Faults().Set(localacr.Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			renew(t)
		}
	}
	const pasted = "Pasted-Passw0rd-of-the-user"
	known["a password in the configuration"] = pasted
	known["a password in somebody's Secret"] = "Foreign-Passw0rd-of-the-user"
	return []trouble{
		{"a key that does not exist", key("unknown", credential.AccessKey{ID: "LTAI5tWrong", Secret: credential.NewSecret("Wrong-Secret-of-nobody-1")}), "InvalidAccessKeyId"},
		{"a secret of another key", key("wrong", credential.AccessKey{ID: good.ID, Secret: credential.NewSecret("Wrong-Secret-of-nobody-2")}), "SignatureDoesNotMatch"},
		{"a secret that no header carries", key("line break", credential.AccessKey{ID: good.ID, Secret: credential.NewSecret("Wrong-Secret\r\nof-nobody-3")}), "the access key secret holds a blank"},
		{"an id that no header carries", key("odd id", credential.AccessKey{ID: "LTAI5t\r\nX: y", Secret: credential.NewSecret("Wrong-Secret-of-nobody-4")}), "the access key id holds a blank"},
		{"throttling", fault("throttled", localacr.Throttle), "Throttling"},
		{"a page", fault("page", localacr.HTML), "HTTP status 502"},
		{"a refusal with status 200", fault("refusal", localacr.NotSuccess), "INTERNAL_ERROR"},
		{"a malformed configuration", func(t *testing.T) {
			s.configure(t, map[string]string{"acr-registry-info": "- instanceId: cri-program\n  accessKeySecret: [" + pasted + "\n   password: " + pasted + "\n"})
		}, "InvalidConfiguration"},
		{"somebody's Secret", func(t *testing.T) {
			s.configure(t, s.watching(namespace, foreign))
		}, "ForeignSecret"},
	}
}

func TestASecretStandsNowhereButWhereItBelongs(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			s := openSite(t)
			namespace, foreign := s.namespace(t, "watched"), s.namespace(t, "foreign")
			known := secrecy.Secrets{"the access key secret": s.acr.AccessKey().Secret.Reveal()}
			troubles := s.troubles(known, namespace, foreign)
			theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName}, StringData: map[string]string{"password": known["a password in somebody's Secret"]}}
			if _, err := s.admin.CoreV1().Secrets(foreign).Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			p := s.run(t, "--leader-elect=false", "--verbose", "--log-format", format)
			s.configure(t, s.watching(namespace))
			s.served(t, namespace)
			s.collect(t, known, namespace)
			s.tellsOf(t, p, troubles)
			s.acr.Faults().Clear()
			last := s.acr.AddAccessKey(everything)
			known["the last access key secret"] = last.Secret.Reveal()
			before := s.served(t, namespace)
			s.setAccessKey(t, last)
			s.eventually(t, "a new credential arrives", func(ctx context.Context) error {
				now, _, err := s.pullSecret(ctx, namespace)
				if err != nil || now.ResourceVersion == before.ResourceVersion {
					return fmt.Errorf("not yet (%w)", err)
				}
				return nil
			})
			s.collect(t, known, namespace)
			s.search(t, p, known, []string{"CredentialFetchFailed", "InvalidConfiguration", "ForeignSecret"}, namespace, foreign)
			s.searchFinds(t, known, map[string]string{
				namespace + "/" + secretName:       "temporary password",
				home + "/pullkey-credentials":      "temporary password",
				"kube-system/alibaba-addon-secret": "the last access key secret",
			})
		})
	}
}

// tellsOf causes one trouble after the other, and waits until the log tells of
// it.
func (s *site) tellsOf(t *testing.T, p *program, troubles []trouble) {
	t.Helper()
	for _, trouble := range troubles {
		seen := len(p.log.String())
		trouble.cause(t)
		s.eventually(t, "the log tells of "+trouble.name, func(context.Context) error {
			if news := p.log.String()[seen:]; !strings.Contains(news, trouble.says) {
				return fmt.Errorf("it has no %q: %s", trouble.says, news)
			}
			return nil
		})
	}
}

// search looks everywhere, once Events have all the words.
func (s *site) search(t *testing.T, p *program, known secrecy.Secrets, words []string, namespaces ...string) {
	t.Helper()
	places := map[string]string{
		"its log": p.log.String(), "the audit log": fileText(t, filepath.Join(controlPlane.dir, "cluster", "audit.log")),
		"its arguments":   fileText(t, fmt.Sprintf("/proc/%d/cmdline", p.process.Pid)),
		"its environment": fileText(t, fmt.Sprintf("/proc/%d/environ", p.process.Pid)),
	}
	status, metrics, err := p.get(t.Context(), "/metrics")
	if err != nil || status != 200 {
		t.Fatalf("metrics: got status %d (%v)", status, err)
	}
	places["its metrics"] = metrics
	core := s.admin.CoreV1()
	events, err := core.Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	places["the Events"] = jsonText(t, events, err)
	maps, err := core.ConfigMaps(home).List(t.Context(), metav1.ListOptions{})
	places["its ConfigMaps"] = jsonText(t, maps, err)
	leases, err := s.admin.CoordinationV1().Leases(home).List(t.Context(), metav1.ListOptions{})
	places["its leases"] = jsonText(t, leases, err)
	accounts, err := core.ServiceAccounts(namespaces[0]).List(t.Context(), metav1.ListOptions{})
	places["the ServiceAccounts"] = jsonText(t, accounts, err)
	for _, in := range append([]string{home}, namespaces...) {
		all, err := core.Secrets(in).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range all.Items {
			places["what stands beside the data of Secret "+in+"/"+secret.Name] = jsonText(t, secret.ObjectMeta, nil)
		}
	}
	for where, text := range places {
		if text == "" && where != "its leases" {
			t.Errorf("%s: nothing to search in", where)
		}
		if found := known.In(text); len(found) > 0 {
			t.Errorf("%s holds %q", where, found)
		}
	}
	for _, word := range words {
		if !strings.Contains(places["the Events"], word) {
			t.Errorf("no Event %s: the search was too early", word)
		}
	}
}

// searchFinds is the other half of the proof: where the secrets belong, the
// same search finds them.
func (s *site) searchFinds(t *testing.T, known secrecy.Secrets, belongs map[string]string) {
	t.Helper()
	for where, want := range belongs {
		in, name, _ := strings.Cut(where, "/")
		secret, err := s.admin.CoreV1().Secrets(in).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content := bytes.Join([][]byte{secret.Data[corev1.DockerConfigJsonKey], secret.Data["credentials.json"], secret.Data["access-key-secret"]}, nil)
		if found := fmt.Sprint(known.In(string(content))); !strings.Contains(found, want) {
			t.Errorf("the search finds %s in %s, want %s", found, where, want)
		}
	}
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jsonText(t *testing.T, object any, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A search that finds nothing proves nothing: this build leaks on purpose, and
// each way of it is found.
func TestABuildThatLeaksOnPurposeIsFoundOut(t *testing.T) {
	s, c := chained(t)
	clean := filepath.Join(root, "internal", "acr", "acr.go")
	text, err := os.ReadFile(clean)
	if err != nil {
		t.Fatal(err)
	}
	const here = "	expires := time.UnixMilli(t.expires).UTC()\n"
	leak := here + `	for name, value := range map[string]string{"plain": t.password.Reveal(), "key": key.Secret.Reveal(), "token": key.SessionToken.Reveal()} {
		println("leak", name, value)
		println("leak", name, "in base64", base64.StdEncoding.EncodeToString([]byte("x"+value+"y")))
		println("leak", name, "in a URL", url.QueryEscape(value))
	}
`
	if strings.Count(string(text), here) != 1 {
		t.Fatal("the place to leak at is not there any more")
	}
	dirty := strings.Replace(string(text), here, leak, 1)
	dirty = strings.Replace(dirty, "import (\n", "import (\n\t\"encoding/base64\"\n\t\"net/url\"\n", 1)
	dir := t.TempDir()
	replaced, err := filepath.Abs(clean)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {replaced: filepath.Join(dir, "acr.go")}})
	for name, content := range map[string][]byte{"acr.go": []byte(dirty), "overlay.json": overlay} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "leaking"), "./cmd/pullkey-controller")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	namespace := s.namespace(t, "watched")
	s.configure(t, with(c.config, "watch-namespace", namespace))
	p := s.runProgram(t, filepath.Join(dir, "leaking"), c.arguments...)
	s.served(t, namespace)
	known := s.spy.learnt()
	s.collect(t, known, namespace)
	for line := range strings.Lines(p.log.String()) {
		if strings.HasPrefix(line, "leak ") && len(known.In(line)) == 0 {
			t.Errorf("not found: a %d bytes long %q", len(line), strings.Join(strings.Fields(line)[:3], " "))
		}
	}
	if n := strings.Count(p.log.String(), "leak "); n < 18 {
		t.Errorf("it leaks %d times, want 18 at least", n)
	}
}
