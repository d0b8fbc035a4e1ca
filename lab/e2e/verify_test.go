package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab"
	programs "github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// A user verifies with the program as it is, where ACR has its real names and
// the machine its metadata service. The cloud is local; nothing of pullkey is.
func TestAUserVerifiesTheWayToAnImage(t *testing.T) {
	v := openVerified(t)
	enterprise, personal := v.ACR.Instances()[0], v.ACR.Instances()[1]
	hosts := func(i localacr.RunningInstance) []string {
		return []string{"--region", i.Region, "--instance", i.ID}
	}
	image := func(i localacr.RunningInstance, more ...string) []string {
		name, err := v.Push(t.Context(), i.Hosts[0], "team/app")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(hosts(i), []string{"--image", name}, more)
	}
	key := v.ACR.AccessKey()
	wrong := key
	wrong.Secret = credential.NewSecret("wrong+secret/of-nobody==")
	everything := []localacr.Grant{{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{localacr.Everything}}}
	noList := v.ACR.AddAccessKey(localacr.RAMUser{Name: "no-list", Grants: everything, API: []string{localacr.ActionGetAuthorizationToken}})
	role := v.ACR.AddRole(localacr.Role{Name: "nodes", Grants: everything})
	if err := v.ACR.AttachRole(role); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		key  credential.AccessKey // none is the role of the machine
		code int
		want []string // in this order
	}{
		{"Enterprise, with an access key", image(enterprise), key, 0, []string{"✓ `identity`", "ALIBABA_CLOUD_ACCESS_KEY_ID is set", "✓ `token of", "✓ `hosts of", "✓ `registry demo-registry.", "✓ `manifest of"}},
		{"Personal, with an access key", image(personal), key, 0, []string{"✓ `identity`", "✓ `token of the Personal", "its names by rule", "✓ `registry registry.cn-shanghai", "✓ `manifest of"}},
		{"Enterprise, all hosts, as the machine's role", hosts(enterprise), credential.AccessKey{}, 0, []string{"✓ `identity`", "temporary, until", "✓ `registry demo-registry-vpc.", "✓ `registry demo-registry."}},
		{"Personal, as the machine's role", image(personal), credential.AccessKey{}, 0, []string{"✓ `identity`", "temporary, until", "✓ `manifest of"}},
		{"Enterprise, without names", image(enterprise, "--anonymous"), key, 0, []string{"✓ `token of instance cri-[id] in", "✓ `registry [name]-registry.cn-hangzhou", "✓ `manifest of [name]-registry.cn-hangzhou.cr.aliyuncs.com/[repository]:1`"}},
		{"Personal, with a wrong secret", image(personal), wrong, 1, []string{"✓ `identity`", "✗ `token of", "SignatureDoesNotMatch", "· `registries of", "not done", "· `manifest of"}},
		{"Enterprise, with a wrong secret", image(enterprise), wrong, 1, []string{"✗ `token of", "SignatureDoesNotMatch", "✗ `hosts of", "· `registries of", "· `manifest of"}},
		{"Enterprise, where the list is refused", hosts(enterprise), noList, 1, []string{"✓ `token of", "✗ `hosts of", "cr:ListInstanceEndpoint", "· `registries of"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, code := v.verify(t, c.key, c.args...)
			rest := report
			for _, want := range c.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("%q is not there, or not in its place", want)
				}
				rest = after
			}
			if code != c.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, report)
			}
		})
	}
}

// verified is a place with a local ACR and pullkey, and all secrets that came by.
type verified struct {
	*lab.Lab
	pullkey string
	given   secrecy.Given
}

func openVerified(t *testing.T) *verified {
	t.Helper()
	if err := sandbox.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, done, err := lab.Workdir("e2e-verify")
	if err != nil {
		t.Fatal(err)
	}
	v := &verified{}
	if v.pullkey, err = programs.BuildPullkey(t.Context(), root, dir, os.Stderr); err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	v.Lab, err = lab.Open(t.Context(), lab.Options{Root: root, Dir: dir, Progress: os.Stderr, Wrap: v.given.Wrap})
	if err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	t.Cleanup(func() {
		if err := errors.Join(v.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	return v
}

// verify runs pullkey verify in the sandbox, and returns the report and the
// exit code. Nothing that it says may hold a secret that it had or was given.
func (v *verified) verify(t *testing.T, key credential.AccessKey, args ...string) (report string, code int) {
	t.Helper()
	v.given.Forget()
	path := filepath.Join(v.Dir, "report.md")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := v.Inside(ctx, v.pullkey, append([]string{"verify", "--ca-file", v.CAFile(), "--report", path}, args...)...)
	if key.ID != "" {
		cmd.Env = append(cmd.Env, "ALIBABA_CLOUD_ACCESS_KEY_ID="+key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+key.Secret.Reveal())
	}
	out, err := cmd.CombinedOutput()
	if _, left := errors.AsType[*exec.ExitError](err); err != nil && !left {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the report can be read by others: %v, %v", info.Mode(), err)
	}
	if !key.Secret.Empty() {
		v.given.Add("the access key's secret", key.Secret.Reveal())
	}
	given := v.given.Known()
	found := given.In(string(out) + string(text))
	if code = cmd.ProcessState.ExitCode(); len(found) > 0 || code == 0 && len(given) < 3 { // key, password, token at least
		t.Errorf("of %d secrets are shown: %v\n%s\n%s", len(given), found, out, text)
	}
	return string(text), code
}
