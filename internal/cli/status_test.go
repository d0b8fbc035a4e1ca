package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
)

// clusterWith starts an API server with one ConfigMap, at a path such as
// kube-system/acr-configuration, and returns the kubeconfig. Without data there
// is none.
func clusterWith(t *testing.T, at string, data map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		namespace, name, _ := strings.Cut(at, "/")
		code, answer := http.StatusOK, any(corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: data})
		if data == nil || r.URL.Path != "/api/v1/namespaces/"+namespace+"/configmaps/"+name {
			code = http.StatusNotFound
			answer = metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404, Message: "not found"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runAt runs the command line at noon and returns all that it says.
func runAt(t *testing.T, args ...string) (out, all string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Environment{
		Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Version: "v0.5.0",
		Now: func() time.Time { return noon }, Getenv: func(string) string { return "" },
	})
	return stdout.String(), fmt.Sprintf("%s%sexit code %d\n", stdout.String(), stderr.String(), code), code
}

// healthy is a status in which all is well.
func healthy() status.Status {
	return status.Status{
		WrittenAt: noon.Add(-17 * time.Minute), Controller: "v0.5.0", Region: status.Region{Name: "cn-hangzhou", Source: "node label"},
		Configuration: status.Configuration{Valid: true, InForce: "configuration"}, Namespaces: 12,
		Accounts: []status.Account{{
			Key: "acr/auto/cn-hangzhou/cri-shop", Instance: "cri-shop", Region: "cn-hangzhou", State: status.Fresh,
			Identity: status.Identity{Kind: "ecs-role", Name: "ECS RAM role KubernetesWorkerRole", Why: "the metadata service has a role, and nothing else is configured"},
			Hosts:    []string{"shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "shop-registry.cn-hangzhou.cr.aliyuncs.com"},
			IssuedAt: noon.Add(-17 * time.Minute), ExpiresAt: noon.Add(43 * time.Minute), NextAttempt: noon.Add(25 * time.Minute), Verified: "accepted", Namespaces: 12,
		}},
	}
}

// changed returns the healthy status with a change to its account.
func changed(change func(*status.Account)) status.Status {
	s := healthy()
	change(&s.Accounts[0])
	return s
}

// everyIdentity has an account for each way to be someone.
func everyIdentity() status.Status {
	s := healthy()
	one := s.Accounts[0]
	s.Accounts = nil
	add := func(i status.Identity, change func(*status.Account)) {
		a := one
		a.Identity = i
		change(&a)
		s.Accounts = append(s.Accounts, a)
	}
	add(status.Identity{Kind: "access-key", Name: "access key kube-system/alibaba-addon-secret", Why: "the Secret is there"}, func(a *status.Account) {
		a.Instance, a.Hosts, a.Verified = "", []string{"registry.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com"}, "unreachable"
	})
	add(status.Identity{Kind: "custom-access-key", Name: "access key pullkey-system/partner", Why: "accessKeyFrom of the instance"}, func(a *status.Account) {
		a.Instance, a.Region, a.OnlyNamespaces, a.Namespaces = "cri-partner", "cn-beijing", []string{"partner", "partner-staging"}, 2
	})
	add(status.Identity{Kind: "ecs-role", Name: "ECS RAM role KubernetesWorkerRole", Why: "no access key is there", ClockSkew: -130}, func(*status.Account) {})
	add(status.Identity{Kind: "rrsa", Name: "role acs:ram::1234567890123456:role/pull by OIDC, then role acs:ram::6543210987654321:role/pull-for-others", Why: "rrsaRoleARN of the instance"}, func(a *status.Account) {
		a.Instance, a.Verified = "crpi-new", ""
	})
	add(status.Identity{Kind: "token-file", Name: "token file /var/addon/token-config", Why: "nothing else is there", Borrowed: true}, func(a *status.Account) {
		a.ExpiresAt = noon.Add(75 * time.Hour)
	})
	add(status.Identity{}, func(a *status.Account) {
		*a = status.Account{Key: a.Key, Region: "cn-hangzhou", State: status.Missing, Error: &status.Error{
			Since: noon.Add(-20 * time.Second), Message: "there is neither an access key nor a role", Hint: "see pullkey policy for what an identity needs",
		}}
	})
	add(status.Identity{Kind: "access-key", Name: "access key kube-system/alibaba-addon-secret"}, func(a *status.Account) {
		a.State, a.Hosts, a.Verified = status.Refused, nil, ""
	})
	return s
}

func TestTheStatusIsTold(t *testing.T) {
	t.Parallel()
	outage := &status.Error{
		Since: noon.Add(-9 * time.Minute), Code: "Throttling.User", Hint: "nothing to do: it is tried again later",
		Message: "GetAuthorizationToken for instance cri-shop in cn-hangzhou: Throttling.User: Request was denied due to user flow control. (HTTP status 400, request 0F\x1b[2J)",
	}
	invalid := healthy()
	invalid.Configuration = status.Configuration{
		InForce: "last good", Hint: "write the id, which begins with cri-, and not the name of the instance",
		Problem: "acr-registry-info, line 1, \"- instanceId: shop\": this is not an instance id\nwatch-namespace: Shop is no name of a namespace",
	}
	nothing := invalid
	nothing.Configuration.InForce, nothing.Accounts, nothing.Region = "nothing", nil, status.Region{}
	others := healthy()
	others.Leaving, others.Refused = 2, 1
	others.Others = status.Others{Helper: "kube-system/aliyun-acr-credential-helper", Writers: []string{"aliyun-acr-credential-helper", "kubectl\x1b[2J-create"}, Foreign: 3}
	back := healthy()
	back.HandedBack, back.Injection.State, back.Others = true, status.InjectionOff, status.Others{Writers: []string{"aliyun-acr-credential-helper"}}
	for _, c := range []struct {
		name string
		status.Status
		code int
	}{
		{"healthy", healthy(), exitDone},
		{"degraded", changed(func(a *status.Account) {
			a.State, a.Error, a.NextAttempt = status.Degraded, outage, noon.Add(40*time.Second)
		}), exitFailed},
		{"expired", changed(func(a *status.Account) {
			a.State, a.Error, a.Verified = status.Expired, outage, "unreachable"
			a.IssuedAt, a.ExpiresAt, a.NextAttempt = noon.Add(-2*time.Hour), noon.Add(-time.Hour), noon.Add(4*time.Minute)
		}), exitFailed},
		{"dropped", changed(func(a *status.Account) {
			a.State, a.Error, a.Hosts, a.Verified, a.Namespaces = status.Refused, outage, nil, "", 0
			a.IssuedAt, a.ExpiresAt, a.NextAttempt = noon.Add(-3*time.Hour), noon.Add(-2*time.Hour), noon.Add(time.Minute)
		}), exitFailed},
		{"silent", changed(func(a *status.Account) {
			a.ExpiresAt, a.NextAttempt = noon.Add(-time.Second), noon.Add(-18*time.Minute)
		}), exitFailed},
		{"identities", everyIdentity(), exitFailed},
		{"last-good", invalid, exitFailed},
		{"nothing", nothing, exitFailed},
		{"others", others, exitDone},
		{"handed-back", back, exitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			kubeconfig := clusterWith(t, "pullkey-system/pullkey-status", map[string]string{status.Key: text})
			_, all, code := runAt(t, "status", "--kubeconfig", kubeconfig)
			golden(t, "status-"+c.name, strings.ReplaceAll(all, kubeconfig, "kubeconfig"))
			if code != c.code {
				t.Errorf("got exit code %d, want %d", code, c.code)
			}
		})
	}
}

func TestWhatTheClockAloneHasChangedIsSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		account status.Account
		want    status.State
	}{
		{"it lives", status.Account{State: status.Fresh, ExpiresAt: noon.Add(1)}, status.Fresh},
		{"it has no end", status.Account{State: status.Fresh}, status.Fresh},
		{"its end is now", status.Account{State: status.Fresh, ExpiresAt: noon}, status.Expired},
		{"nobody could renew it, and it ended", status.Account{State: status.Degraded, ExpiresAt: noon.Add(-time.Hour)}, status.Expired},
		{"it ended, and the registry refuses it", status.Account{State: status.Refused, ExpiresAt: noon.Add(-time.Hour)}, status.Refused},
		{"its renewal is on its way", status.Account{State: status.Fresh, ExpiresAt: noon.Add(time.Hour), NextAttempt: noon.Add(-overdue)}, status.Fresh},
		{"nobody renews it", status.Account{State: status.Fresh, ExpiresAt: noon.Add(time.Hour), NextAttempt: noon.Add(-overdue - 1)}, status.Degraded},
		{"there never was one", status.Account{State: status.Missing, NextAttempt: noon.Add(-time.Hour)}, status.Missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := stateAt(c.account, noon); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTheDocumentOfTheStatusHasBothStates(t *testing.T) {
	t.Parallel()
	text, err := changed(func(a *status.Account) { a.ExpiresAt = noon }).Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, _, code := runAt(t, "status", "-o", "json", "--kubeconfig", clusterWith(t, "pullkey-system/pullkey-status", map[string]string{status.Key: text}))
	var got struct {
		status.Status
		Accounts []struct {
			State, StateNow status.State
		} `json:"accounts"`
		Now              time.Time
		Well             bool
		ControllerSilent bool
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	switch {
	case code != exitFailed, got.Well, !got.ControllerSilent, !got.Now.Equal(noon), got.Region.Source != "node label", len(got.Accounts) != 1:
		t.Errorf("exit code %d: %s", code, out)
	case got.Accounts[0].State != status.Fresh, got.Accounts[0].StateNow != status.Expired:
		t.Errorf("the account is %+v", got.Accounts[0])
	}
}

func TestStatesAreColouredOnATerminalAlone(t *testing.T) {
	t.Parallel()
	for _, out := range []bool{false, true} {
		p := &program{output: newOutput(Environment{Terminal: Terminal{Out: out}, Getenv: func(string) string { return "" }})}
		text := p.statusText(judge(everyIdentity(), noon))
		if got := strings.Contains(text, "\x1b["+green+"mFRESH\x1b[0m") && strings.Contains(text, "\x1b["+red+"mREFUSED\x1b[0m"); got != out {
			t.Errorf("on a terminal %v: coloured %v", out, got)
		}
		if !out && strings.Contains(text, "\x1b") {
			t.Error("there is an escape sequence where there is no terminal")
		}
	}
}
