package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pullkey/pullkey/internal/cli"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// cloud answers as ACR's API does, for one registry. It checks no signature:
// that the cloud would take it, the lab shows.
type cloud struct {
	host, user, password string
	// faults are "token" and "hosts", for calls that are forbidden, "password"
	// for one that no registry takes, and "echo" for errors that quote the
	// request.
	faults []string
}

func (c cloud) has(fault string) bool { return slices.Contains(c.faults, fault) }

func (c cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	switch end := time.Now().Add(time.Hour).UnixMilli(); r.URL.Path {
	case "/latest/api/token":
		_, _ = io.WriteString(w, "metadata-token")
	case rolePath:
		_, _ = io.WriteString(w, "KubernetesWorkerRole")
	case rolePath + "KubernetesWorkerRole":
		_ = json.NewEncoder(w).Encode(session(end))
	default:
		c.serveAPI(w, r, end)
	}
}

// rolePath is where the metadata service has the role of the machine.
const rolePath = "/latest/meta-data/ram/security-credentials/"

func (c cloud) serveAPI(w http.ResponseWriter, r *http.Request, end int64) {
	action := r.Header.Get("X-Acs-Action") + r.URL.Query().Get("Action")
	password := c.password
	if c.has("password") {
		password = "cr-" + password
	}
	answer := map[string]any{"RequestId": "5C9A4E7B", "IsSuccess": true, "Code": "success"}
	switch {
	case c.has("token") && action == "GetAuthorizationToken", c.has("hosts") && action == "ListInstanceEndpoint":
		c.refuse(w, r)
		return
	case action == "GetAuthorizationToken" && r.URL.Path == "/tokens":
		answer["data"] = map[string]any{"authorizationToken": password, "tempUserName": c.user, "expireDate": end}
	case action == "GetAuthorizationToken":
		answer["AuthorizationToken"], answer["TempUsername"], answer["ExpireTime"] = password, c.user, end
	case action == "ListInstanceEndpoint":
		answer["Endpoints"] = []any{map[string]any{"Enable": true, "Domains": []any{map[string]any{"Domain": c.host}, map[string]any{"Domain": "localhost:1"}}}}
	case strings.HasPrefix(action, "AssumeRole"):
		answer["Credentials"] = session(end)
	default:
		c.refuse(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (c cloud) refuse(w http.ResponseWriter, r *http.Request) {
	why := "User not authorized to operate on the specified resource, or this API doesn't support RAM."
	if dump, err := httputil.DumpRequest(r, true); err == nil && c.has("echo") {
		why += " " + string(dump)
	}
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(map[string]any{"Code": "Forbidden.RAM", "Message": why, "RequestId": "5C9A4E7B"})
}

// session is a temporary access key, as STS and the metadata service write it.
func session(end int64) map[string]any {
	return map[string]any{
		"Code": "Success", "AccessKeyId": "STS.of-the-role", "AccessKeySecret": stsSecret, "SecurityToken": stsToken,
		"Expiration": time.UnixMilli(end).UTC().Format("2006-01-02T15:04:05Z"),
	}
}

// What an identity holds that must not be shown, with signs that each encoding
// writes otherwise.
const (
	keySecret = "key+Secret/of?nobody&%="
	oidcToken = "header.claims+of/a?pod.signature"
	stsSecret = "sts+Secret/of?a-role&%="
	stsToken  = "CAIS/sts+token?of-a-role&%=="
)

// startCloud starts ACR's API for a registry of the story:
//
//	cloud NAME REGISTRY [fault]...
//
// Its URL is in $NAME.
func startCloud(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: cloud NAME REGISTRY [FAULT]...")
	}
	server := httptest.NewServer(cloud{ts.Getenv(args[1]), "alice", "open sesame", args[2:]})
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// names are what --anonymous hides.
var names = regexp.MustCompile(`cri-abc|1234567890123456|6543210987654321|role/pull|localhost:|team/app`)

func TestVerifyShowsNoSecret(t *testing.T) {
	t.Parallel()
	key := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI5tNobody", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keySecret, "ALIBABA_CLOUD_SECURITY_TOKEN": stsToken}
	pod := map[string]string{
		"ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1234567890123456:role/pull", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1",
	}
	for _, c := range []struct {
		name   string
		env    map[string]string
		faults []string
		registrytest.Options
	}{
		{"all is well", key, nil, registrytest.Options{}},
		{"a pod's role", pod, nil, registrytest.Options{}},
		{"an ECS instance", nil, nil, registrytest.Options{}},
		{"the token is refused", key, []string{"token", "echo"}, registrytest.Options{}},
		{"the role's token is refused", pod, []string{"token", "echo"}, registrytest.Options{}},
		{"the list is refused", key, []string{"hosts", "echo"}, registrytest.Options{}},
		{"the registry refuses", key, []string{"password"}, registrytest.Options{}},
		{"a realm at another's", key, nil, registrytest.Options{Quirks: []string{"realm-elsewhere"}}},
		{"errors with escapes", key, nil, registrytest.Options{Quirks: []string{"error-escapes"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.Username, c.Password, c.Plain = "cr_temp_user", password, true
			r, err := registrytest.Start(c.Options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			if _, err := r.Push("team/app", "1.0", registrytest.Image{}); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(cloud{r.Host(), c.Username, password, c.faults})
			t.Cleanup(server.Close)
			files := map[string]string{"token": oidcToken, "acr.yaml": fmt.Sprintf(assumes, keySecret)}
			d := sitAt(t, files, password, "cr-"+password, keySecret, oidcToken, stsSecret, stsToken)
			d.run = verifyAs(server.URL, c.env)
			for i, way := range [][]string{nil, {"-o", "json"}, {"--anonymous"}} {
				report := d.at(fmt.Sprintf("report%d.%s", i, []string{"md", "json", "md"}[i]))
				with := func(args ...string) []string {
					return append(append([]string{"verify", "--endpoint", server.URL, "--sts-endpoint", server.URL, "--report", report, "--image", r.Host() + "/team/app:1.0"}, args...), way...)
				}
				d.pullkey("", with("--instance", "cri-abc", "--region", "cn-hangzhou")...)
				d.pullkey("", with("--config", d.at("acr.yaml"))...)
			}
			d.lookAround("token", "acr.yaml")
			report, err := os.ReadFile(d.at("report2.md"))
			if found := names.FindString(string(report)); err != nil || found != "" {
				t.Errorf("%v: the anonymous report has %q:\n%s", err, found, report)
			}
			if c.faults == nil && c.Quirks == nil && !strings.Contains(string(report), "## ✓ `manifest of [host]/[repository]:1.0`") {
				t.Errorf("it did not come to the manifest:\n%s", report)
			}
		})
	}
}

// verifyAs runs pullkey in this process with an environment, and a metadata
// service.
func verifyAs(metadata string, env map[string]string) func(desk, io.Reader, io.Writer, io.Writer, []string) {
	return func(d desk, stdin io.Reader, stdout, stderr io.Writer, args []string) {
		cli.Run(d.Context(), cli.Environment{
			Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Now: time.Now, Metadata: metadata,
			Getenv: func(name string) string {
				if name == "ALIBABA_CLOUD_OIDC_TOKEN_FILE" && env["ALIBABA_CLOUD_ROLE_ARN"] != "" {
					return d.at("token")
				}
				return env[name]
			},
		})
	}
}

const assumes = `kind: ConfigMap
data:
  acr-registry-info: |
    - instanceId: cri-abc
      regionId: cn-hangzhou
      assumeRoleARN: acs:ram::6543210987654321:role/pull
      customAccessKey: LTAI5tOther
      customAccessKeySecret: %q
`

func TestWhatReadsAConfigurationShowsNoSecretOfIt(t *testing.T) {
	t.Parallel()
	const other = "0ther+Secret/of?nobody&%="
	for name, text := range map[string]string{
		"valid":                   fmt.Sprintf(assumes, keySecret),
		"no quotation mark":       "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - instanceId: cri-abc\n      customAccessKeySecret: \"" + keySecret + "\n",
		"another field":           "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - instanceId: cri-abc\n      customAccessKeySecert: " + keySecret + "\n",
		"another key":             "kind: ConfigMap\ndata:\n  customAccessKeySecret: " + keySecret + "\n",
		"in the id":               "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - instanceId: " + keySecret + "\n      customAccessKeySecret: " + other + "\n",
		"a Secret, and no kind":   "data:\n  access-key-secret: " + keySecret + "\n",
		"the managed add-on":      fmt.Sprintf(`{"AcrInstanceInfo":[{"instanceId":"cri-abc","customAccessKeySecret":%q,"customAccessKey":7}]}`, keySecret),
		"no YAML from the secret": "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - customAccessKeySecret: [" + keySecret + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sitAt(t, map[string]string{"acr.yaml": text}, keySecret, other)
			for _, way := range [][]string{nil, {"-o", "json"}} {
				d.pullkey("", append([]string{"config", "check", d.at("acr.yaml"), "--region", "cn-hangzhou"}, way...)...)
				d.pullkey(text, append([]string{"config", "check", "-"}, way...)...)
				d.pullkey("", append([]string{"policy", d.at("acr.yaml"), "--region", "cn-hangzhou"}, way...)...)
			}
		})
	}
}
