package nodeplugin

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// docker runs the helper as docker does.
func (o *office) docker(t *testing.T, verb, stdin string, environment map[string]string, flags ...string) run {
	t.Helper()
	args := append([]string{"--config", filepath.Join(o.dir, "config.yaml"), "--cache", filepath.Join(o.dir, "cache")}, flags...)
	return o.run(t.Context(), DockerHelper, stdin, environment, append(args, verb)...)
}

var asKey = map[string]string{envKeyID: "LTAIsomebody", envKeySecret: "secretsecretsecret"}

func TestDockerGetsALoginInTheNameOfItsCaller(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte(tokenOf("ci", "builder")), 0o600))
	for name, c := range map[string]struct {
		environment map[string]string
		want        map[string]int
	}{
		"with an access key":   {asKey, map[string]int{"GetAuthorizationToken": 1}},
		"with a token":         {map[string]string{envRole: "acs:ram::1:role/ci", envProvider: "acs:ram::1:oidc-provider/ci", envTokenFile: token}, map[string]int{"GetAuthorizationToken": 1, "AssumeRoleWithOIDC": 1}},
		"on an ECS instance":   {nil, map[string]int{"GetAuthorizationToken": 1, "metadata": 1}},
		"with roles for nodes": {asKey, map[string]int{"GetAuthorizationToken": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t)
			o.config(t, "")
			if name == "with roles for nodes" {
				o.config(t, roles)
			}
			for _, server := range []string{enterpriseHost, "https://" + enterpriseHost, "https://" + enterpriseHost + "/v2/\n"} {
				want := run{stdout: `{"ServerURL":"` + strings.TrimSpace(server) + `","Username":"cr_temp_user","Secret":"` + o.password + `"}` + "\n"}
				if got := o.docker(t, "get", server, c.environment); got != want {
					t.Errorf("%q: got %+v, want %+v", server, got, want)
				}
			}
			if diff := cmp.Diff(c.want, o.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDockerIsToldInItsOwnWords(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	stored := func(server string) string { return `{"ServerURL":"` + server + `","Username":"u","Secret":"s"}` }
	for name, c := range map[string]struct {
		verb, stdin string
		want        run
	}{
		"another registry has no login":      {"get", "docker.io", run{1, notFound + "\n", ""}},
		"nor has what is no host":            {"get", "what?", run{1, notFound + "\n", ""}},
		"nor Docker Hub":                     {"get", "https://index.docker.io/v1/", run{1, notFound + "\n", ""}},
		"a login is stored, and it is not":   {"store", stored(enterpriseHost), run{}},
		"a login is erased that is not kept": {"erase", enterpriseHost, run{}},
		"another's is erased, and it is not": {"erase", "docker.io", run{}},
		"another's cannot be stored": {"store", stored("docker.io"), run{
			1,
			"this helper keeps no logins; to do: name another helper for other registries: fallback in the configuration, or credHelpers in docker's config.json\n", "",
		}},
		"nothing is listed yet":  {"list", "unused", run{0, "{}\n", ""}},
		"the version":            {"version", "", run{0, "docker-credential-pullkey test\n", ""}},
		"something else":         {"give", "x", run{2, "the action \"give\" is not known\n", ""}},
		"nothing":                {"get", "", run{1, "read standard input: it is empty\n", ""}},
		"a login that is none":   {"store", `["s3cret"]`, run{1, "read the login that is to be stored: it is not a JSON object\n", ""}},
		"a login without server": {"store", `{"Secret":"s3cret"}`, run{1, "read the login that is to be stored: it has no ServerURL\n", ""}},
	} {
		if diff := cmp.Diff(c.want, o.docker(t, c.verb, c.stdin, asKey), cmp.AllowUnexported(run{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if len(o.calls) > 0 {
		t.Errorf("the cloud was asked: %v", o.calls)
	}
}

// Jobs that run one after the other find their tokens at the same place.
func TestAnotherTokenAtTheSamePlaceIsSomebodyElse(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	file := filepath.Join(o.dir, "token")
	environment := map[string]string{envRole: "acs:ram::1:role/ci", envProvider: "acs:ram::1:oidc-provider/ci", envTokenFile: file}
	o.refused[tokenOf("ci", "stranger")] = true
	for job, code := range map[string]int{"builder": exitDone, "stranger": exitFailed} {
		must(t, os.WriteFile(file, []byte(tokenOf("ci", job)), 0o600))
		for range 2 {
			if got := o.docker(t, "get", enterpriseHost, environment); got.code != code {
				t.Errorf("%s: got %+v", job, got)
			}
		}
	}
	must(t, os.Remove(file))
	if got := o.docker(t, "get", enterpriseHost, environment); got.code != exitFailed || !strings.Contains(got.stdout, "read the token of "+envTokenFile) {
		t.Errorf("without a token, got %+v", got)
	}
}

func TestAnErasedLoginIsAskedForAnew(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	o.docker(t, "get", enterpriseHost, asKey)
	for _, environment := range []map[string]string{{envKeyID: "LTAIsomebodyelse", envKeySecret: "secretsecretsecret"}, {envNoMetadata: "true"}} {
		if got := o.docker(t, "erase", enterpriseHost, environment); got != (run{}) {
			t.Errorf("erased by another: got %+v", got)
		}
	}
	o.docker(t, "get", enterpriseHost, asKey)
	if got := o.counted("GetAuthorizationToken"); got != 1 {
		t.Errorf("got %d calls before it was erased, want 1", got)
	}
	if got := o.docker(t, "erase", "https://"+enterpriseHost, asKey); got != (run{}) {
		t.Errorf("got %+v", got)
	}
	o.docker(t, "get", enterpriseHost, asKey)
	if got := o.counted("GetAuthorizationToken"); got != 2 {
		t.Errorf("got %d calls after it was erased, want 2", got)
	}
}

// docker gets all that is listed, and builds nothing when one of them fails.
func TestOnlyWhatDockerGetsIsListed(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	start := time.Now()
	at := start
	o.now = func() time.Time { return at }
	listed := func(environment map[string]string) []string {
		var names map[string]string
		if got := o.docker(t, "list", "unused", environment); got.code != exitDone || json.Unmarshal([]byte(got.stdout), &names) != nil {
			t.Fatalf("got %+v", got)
		}
		for name := range names {
			if got := o.docker(t, "get", name, environment); got.code != exitDone || names[name] != tempUser {
				t.Errorf("%s is listed for %q, and get says %+v", name, names[name], got)
			}
		}
		return slices.Sorted(maps.Keys(names))
	}
	personal := []string{"registry-internal.cn-hangzhou.aliyuncs.com", "registry-intl-vpc.cn-hangzhou.aliyuncs.com", "registry-intl.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com", personalHost}
	for _, step := range []struct {
		name        string
		do          func()
		environment map[string]string
		want        []string
	}{
		{"before anything was got", func() {}, asKey, nil},
		{"when one was got", func() { o.docker(t, "get", enterpriseHost, asKey) }, asKey, []string{enterpriseHost}},
		{"when both were", func() { o.docker(t, "get", personalHost, asKey) }, asKey, append(slices.Clone(personal), enterpriseHost)},
		{"for somebody else", func() {}, map[string]string{envKeyID: "LTAIelse", envKeySecret: "secretsecretsecret"}, nil},
		{"for nobody", func() {}, map[string]string{envNoMetadata: "true"}, nil},
		{"in an outage, while they live", func() { o.down, at = true, start.Add(50*time.Minute) }, asKey, append(slices.Clone(personal), enterpriseHost)},
		{"in an outage, when they have ended", func() { at = start.Add(61 * time.Minute) }, asKey, nil},
	} {
		step.do()
		if diff := cmp.Diff(step.want, listed(step.environment)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestAPartOfAnIdentityIsNotTakenForNone(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	for name, environment := range map[string]map[string]string{
		"an id":        {envKeyID: "LTAIsomebody"},
		"a secret":     {envKeySecret: "secretsecretsecret"},
		"a role":       {envRole: "acs:ram::1:role/ci"},
		"no metadata":  {envNoMetadata: "true"},
		"a token file": {envTokenFile: "/nonexistent"},
	} {
		got := o.docker(t, "get", enterpriseHost, environment)
		if got.code != exitFailed || !strings.Contains(got.stdout, "; to do: set") || strings.Contains(got.stdout, "secretsecret") {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if len(o.calls) > 0 {
		t.Errorf("the cloud was asked: %v", o.calls)
	}
}

// other puts another helper into PATH, and returns its folder.
func (o *office) other(t *testing.T) string {
	t.Helper()
	o.config(t, "fallback: other\n")
	bin := t.TempDir()
	script := `#!/bin/sh
in=$(cat)
case $1 in
get) case $in in known*) echo "{\"ServerURL\":\"$in\",\"Username\":\"u\",\"Secret\":\"p\"}";; *) echo "credentials not found in native keychain"; exit 1;; esac;;
list) echo '{"known.example.com":"u","https://` + enterpriseHost + `/v2/":"old"}';;
store) echo "$in" > ` + bin + `/stored;;
esac
`
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-other"), []byte(script), 0o700))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return bin
}

func TestOtherHostsArePassedOn(t *testing.T) {
	o := openOffice(t)
	bin := o.other(t)
	for name, c := range map[string]struct {
		verb, stdin string
		want        run
	}{
		"what it has":     {"get", "known.example.com", run{0, `{"ServerURL":"known.example.com","Username":"u","Secret":"p"}` + "\n", ""}},
		"what it has not": {"get", "docker.io", run{1, notFound + "\n", ""}},
		"what is stored":  {"store", `{"ServerURL":"known.example.com","Username":"u","Secret":"p"}`, run{}},
	} {
		if got := o.docker(t, c.verb, c.stdin, asKey); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if stored, err := os.ReadFile(filepath.Join(bin, "stored")); err != nil || !strings.Contains(string(stored), `"Secret":"p"`) {
		t.Errorf("the other helper was given %q (%v)", stored, err)
	}
	var listed map[string]string
	if got := o.docker(t, "list", "", asKey); json.Unmarshal([]byte(got.stdout), &listed) != nil || len(listed) != 1 || listed["known.example.com"] != "u" {
		t.Errorf("got the list %+v", got)
	}
	if got := o.docker(t, "get", "known.example.com", asKey, "--fallback", "absent"); got.code != exitFailed || !strings.Contains(got.stdout, "no such program in PATH") {
		t.Errorf("a helper that is not there: got %+v", got)
	}
	for _, name := range []string{"pullkey", "../x", ""} {
		if got := o.docker(t, "get", "known.example.com", asKey, "--fallback="+name); name != "" && got.code != exitMisused {
			t.Errorf("--fallback=%s: got %+v", name, got)
		}
	}
}

// It may ask a person.
func TestAHelperThatIsPassedOnToTakesItsTime(t *testing.T) {
	o := openOffice(t)
	o.other(t)
	for host, want := range map[string]error{"known.example.com": nil, enterpriseHost: context.DeadlineExceeded} {
		p, _ := o.process(host, asKey, append(o.flags(), "get")...)
		if err := p.help(t.Context(), time.Nanosecond); !errors.Is(err, want) {
			t.Errorf("%s, where the cloud has no time: got %v, want %v", host, err, want)
		}
	}
}

func TestALinkToThisProgramIsNotPassedOnToForEver(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the helper")
	}
	o := openOffice(t)
	o.config(t, "fallback: other\n")
	bin := t.TempDir()
	helper := filepath.Join(bin, "docker-credential-pullkey")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", helper, "../../cmd/docker-credential-pullkey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, os.Symlink(helper, filepath.Join(bin, "docker-credential-other")))
	t.Setenv("PATH", bin)
	t.Setenv("PULLKEY_CONFIG", filepath.Join(o.dir, "config.yaml"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, helper, "get")
	cmd.Stdin = strings.NewReader("docker.io")
	out, err := cmd.Output()
	if err == nil || !strings.HasPrefix(string(out), "pass on to docker-credential-other: it is this program under another name") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("got %v, %q", err, out)
	}
}

func TestTheHelperFindsItsConfigurationAndItsCache(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for name, c := range map[string]struct {
		at, cache   string
		environment func(dir string) map[string]string
	}{
		"by its variable": {"x.yaml", "run/pullkey", func(dir string) map[string]string {
			return map[string]string{"PULLKEY_CONFIG": dir + "/x.yaml", "XDG_RUNTIME_DIR": dir + "/run"}
		}},
		"in the home folder": {"home/.config/pullkey/credential-provider.yaml", "home/.cache/pullkey", func(dir string) map[string]string { return map[string]string{"HOME": dir + "/home"} }},
		"where the user keeps such": {"conf/pullkey/credential-provider.yaml", "keep/pullkey", func(dir string) map[string]string {
			return map[string]string{"HOME": "/", "XDG_CONFIG_HOME": dir + "/conf", "XDG_CACHE_HOME": dir + "/keep"}
		}},
	} {
		o := openOffice(t)
		o.now = func() time.Time { return start }
		o.config(t, "")
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(o.dir, c.at)), 0o700))
		must(t, os.Rename(filepath.Join(o.dir, "config.yaml"), filepath.Join(o.dir, c.at)))
		environment := c.environment(o.dir)
		environment[envKeyID], environment[envKeySecret] = "LTAIsomebody", "secretsecretsecret"
		if got := o.run(t.Context(), DockerHelper, enterpriseHost, environment, "get"); got.code != exitDone {
			t.Errorf("%s: got %+v", name, got)
		}
		if files, _ := filepath.Glob(filepath.Join(o.dir, c.cache, "*")); len(files) != 2 {
			t.Errorf("%s: in the cache are %q, want a credential and its lock", name, files)
		}
	}
}
