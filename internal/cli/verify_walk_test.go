package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// acrAPI answers as ACR's API does. An instance that is no-token gets no
// credential, one that is no-list no hosts.
func acrAPI(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, expires := r.URL.Query().Get("InstanceId"), noon.Add(time.Hour).UnixMilli()
		w.Header().Set("Content-Type", "application/json")
		switch what := r.Header.Get("X-Acs-Action") + r.URL.Query().Get("Action"); {
		case id == "":
			_, _ = fmt.Fprintf(w, `{"data":{"authorizationToken":"T0ken-of-an-hour","tempUserName":"cr_temp_user","expireDate":%d}}`, expires)
		case id == "cri-notoken" && what == "GetAuthorizationToken", id == "cri-nolist" && what == "ListInstanceEndpoint":
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"Code":"NoPermission","Message":"no"}`)
		case what == "GetAuthorizationToken":
			_, _ = fmt.Fprintf(w, `{"IsSuccess":true,"AuthorizationToken":"T0ken-of-an-hour","TempUsername":"cr_temp_user","ExpireTime":%d}`, expires)
		default:
			_, _ = fmt.Fprintf(w, `{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"%s-registry.cn-hangzhou.cr.aliyuncs.com"}]}]}`, id)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// runVerify runs verify with a key that the API takes.
func runVerify(t *testing.T, api string, args ...string) (stdout, stderr string) {
	t.Helper()
	env := map[string]string{envKeyID: "LTAI5tDemo", envKeySecret: "Secret-of-the-test"}
	_, out, errs := run(t.Context(), env, "", append([]string{"verify", "--region", "cn-hangzhou", "--endpoint", api}, args...)...)
	return out, errs
}

// walked are the steps of verify that come behind those of the identity, the
// tokens and the hosts.
func walked(t *testing.T, args ...string) []step {
	t.Helper()
	out, errs := runVerify(t, acrAPI(t), append(args, "-o", "json")...)
	var report verification
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Steps) < 4 {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	var rest []step
	for _, s := range report.Steps {
		if kind, _, _ := strings.Cut(s.Step, " "); kind == "registries" || kind == "manifest" {
			rest = append(rest, step{Step: s.Step, Outcome: s.Outcome, Error: s.Error})
		}
	}
	return rest
}

func TestAStepIsNotDoneForTheReasonThatThereIs(t *testing.T) {
	t.Parallel()
	const broken, domain = "not done, because a step before it went wrong", "-registry.cn-hangzhou.cr.aliyuncs.com"
	of := func(id, why string) step {
		return step{Step: "registries of instance cri-" + id + " in cn-hangzhou", Outcome: skipped, Error: why}
	}
	manifest := func(id string) string { return "manifest of " + id + domain + "/team/app:1" }
	unknown := func(id string) step { return step{Step: manifest(id), Outcome: skipped, Error: broken} }
	elsewhere := step{Step: manifest("other"), Outcome: bad, Error: "other" + domain + " is not among the hosts: no credential goes there"}
	for _, c := range []struct {
		name, config, host string
		want               []step
	}{
		{"patterns alone", "  acr-registry: registry.*.aliyuncs.com\n", "", []step{
			{Step: "registries of the Personal Edition in cn-hangzhou", Outcome: skipped, Error: "only patterns are configured, and a pattern is no host to ask"},
		}},
		{"no token", "notoken", "", []step{of("notoken", broken)}},
		{"no list", "nolist", "", []step{of("nolist", broken)}},
		{"the image is elsewhere", "demo", "other", []step{elsewhere}},
		{"the image is elsewhere, and one of two has no token", "notoken demo", "other", []step{of("notoken", broken), elsewhere}},
		{"the image may be in the one that has no list", "nolist demo", "other", []step{of("nolist", broken), unknown("other")}},
		{"the image is in the one that has no token", "notoken demo", "cri-notoken", []step{of("notoken", broken), unknown("cri-notoken")}},
		{"the image is in the one whose hosts take nothing", "notoken demo", "cri-demo", []step{
			of("notoken", broken),
			{Step: "registries of instance cri-demo in cn-hangzhou", Outcome: bad, Error: "no host took the credential"},
			unknown("cri-demo"),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(c.config, ":") {
				items := "  acr-registry-info: |\n"
				for id := range strings.FieldsSeq(c.config) {
					items += "    - instanceId: cri-" + id + "\n      regionId: cn-hangzhou\n"
				}
				c.config = items
			}
			args := []string{"--config", written(t, "acr.yaml", "kind: ConfigMap\ndata:\n"+c.config)}
			if c.host != "" {
				args = append(args, "--image", c.host+domain+"/team/app:1")
			}
			if diff := cmp.Diff(c.want, walked(t, args...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheReportGoesThroughAPipe(t *testing.T) {
	t.Parallel()
	pipe, api := filepath.Join(t.TempDir(), "report.md"), acrAPI(t)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go runVerify(t, api, "--report", pipe)
	report, err := os.ReadFile(pipe)
	if err != nil || !strings.HasPrefix(string(report), "# pullkey verify\n") {
		t.Errorf("read %q (%v)", report, err)
	}
}

func TestAReportTakesThePlaceOfALongerOne(t *testing.T) {
	t.Parallel()
	path := written(t, "report.json", strings.Repeat("of yesterday\n", 1000))
	out, _ := runVerify(t, acrAPI(t), "--report", path, "-o", "json")
	report, err := os.ReadFile(path)
	var said, kept verification
	if err := errors.Join(err, json.Unmarshal(report, &kept), json.Unmarshal([]byte(out), &said)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said, kept); diff != "" || len(kept.Steps) == 0 {
		t.Errorf("-said +in the report:\n%s", diff)
	}
}
