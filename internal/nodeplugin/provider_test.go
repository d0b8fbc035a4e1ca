package nodeplugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (r run) answer(t *testing.T) response {
	t.Helper()
	var got response
	if r.code != exitDone || r.stderr != "" || json.Unmarshal([]byte(r.stdout), &got) != nil {
		t.Fatalf("got %+v, want an answer", r)
	}
	return got
}

func TestKubeletGetsALoginInTheNameOfTheMachine(t *testing.T) {
	t.Parallel()
	for _, host := range []string{enterpriseHost, personalHost} {
		o := openOffice(t)
		o.config(t, "")
		start := time.Now()
		o.now = func() time.Time { return start }
		want := response{kindResponse, apiVersion, "Registry", "29m59s", map[string]auth{host: {"cr_temp_user", o.password}}}
		got := o.provide(t, requestFor(host+"/shop/app")).answer(t)
		got.CacheDuration = strings.Replace(got.CacheDuration, "30m0s", "29m59s", 1) // the cloud's end has milliseconds
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
}

// Of a field in another case kubelet says nothing, and pulls as nobody. The lines are
// those that kubelet's own codec reads.
func TestKubeletIsAnsweredToTheByte(t *testing.T) {
	t.Parallel()
	start := time.Now().Truncate(time.Second)
	for image, want := range map[string]string{
		"registry.cn-hangzhou.aliyuncs.com/ns/app": `{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"10m0s","auth":{"registry.cn-hangzhou.aliyuncs.com":{"username":"cr_temp_user","password":"p"}}}`,
		"docker.io/library/nginx":                  `{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"0s","auth":{}}`,
	} {
		o := openOffice(t)
		o.config(t, "")
		o.now, o.life, o.password = func() time.Time { return start }, 20*time.Minute, "p"
		if diff := cmp.Diff(run{stdout: want + "\n"}, o.provide(t, requestFor(image)), cmp.AllowUnexported(run{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", image, diff)
		}
	}
}

func TestTheMetadataServiceIsAskedOnceForTheRegion(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	c, err := loadConfig(filepath.Join(o.dir, "config.yaml"))
	must(t, err)
	p, _ := o.process("", nil)
	for _, up := range []bool{true, false} {
		asked, want := newCloud(&p, c), "cn-hangzhou"
		if !up {
			asked.metadata.Base, want = asked.metadata.Base+"/nowhere", ""
		}
		var calls []int
		for range 3 {
			if got := asked.home(t.Context()); got != want {
				t.Errorf("got the region %q, want %q", got, want)
			}
			calls = append(calls, o.counted("region")+o.counted("metadata"))
		}
		if calls[0] == 0 || calls[2] != calls[0] {
			t.Errorf("it is up: %t: one after the other it was asked %d times", up, calls)
		}
	}
}

func TestAnAuthorityThatNobodyKnowsIsNamedInTheConfiguration(t *testing.T) {
	t.Parallel()
	other := openOffice(t)
	o := openOffice(t)
	for _, c := range []struct{ roles, request string }{{"", requestFor(enterpriseHost + "/shop/app")}, {roles, requestWith(tokenOf("shop", "app"), `{}`)}} {
		o.config(t, c.roles)
		o.replace(t, "config.yaml", filepath.Join(o.dir, "ca.crt"), filepath.Join(other.dir, "other.crt"))
		other.write(t, "other.crt", strangeAuthority(t))
		got := o.provide(t, c.request)
		if got.code != exitFailed || !strings.Contains(got.stderr, "caFile in the configuration, or with SSL_CERT_FILE") || strings.Contains(got.stderr, "--ca-file") {
			t.Errorf("got %+v", got)
		}
	}
}

func TestManyRunsMakeOneCall(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitDone || !strings.Contains(got.stdout, o.password) {
				t.Errorf("got %+v", got)
			}
		})
	}
	all.Wait()
	if got := o.counted("GetAuthorizationToken"); got != 1 {
		t.Errorf("30 runs made %d calls, want 1", got)
	}
}

// crowd runs the provider 30 times at once while the cloud is held, and lets it
// answer when all of them have begun.
func (o *office) crowd(t *testing.T) []run {
	t.Helper()
	o.waitingForCall = make(chan struct{})
	var all, begun sync.WaitGroup
	got := make([]run, 30)
	for i := range got {
		begun.Add(1)
		first := sync.OnceFunc(begun.Done)
		p, told := o.process(requestFor(enterpriseHost+"/shop/app"), nil, o.flags()...)
		p.Now = func() time.Time { // the first thing that obtain does is to look at the clock
			now := o.now()
			first()
			return now
		}
		all.Go(func() { got[i] = told(Provider(t.Context(), p)) })
	}
	begun.Wait()
	close(o.waitingForCall)
	all.Wait()
	return got
}

func TestWhoWaitsWhileACallFailsSharesTheFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		denied bool
		says   string
	}{"an outage": {false, "down for a while"}, "a refusal": {true, "no right"}} {
		o := openOffice(t)
		o.config(t, "")
		o.down, o.denied = true, c.denied
		for _, got := range o.crowd(t) {
			if got.code != exitFailed || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, c.says) || !strings.Contains(got.stderr, "to do: ") {
				t.Errorf("%s: got %+v", name, got)
			}
		}
		if got := o.counted("GetAuthorizationToken"); got != 1 {
			t.Errorf("%s: 30 runs made %d calls, want 1", name, got)
		}
	}
}

func TestWhoHasACredentialThatLivesWaitsForNobody(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	start := time.Now()
	at := start
	o.now = func() time.Time { return at }
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	at = start.Add(50 * time.Minute)
	files, err := filepath.Glob(filepath.Join(o.dir, "cache", "*.lock"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("got the locks %q", files)
	}
	other, err := os.Open(files[0])
	must(t, err)
	must(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX)) // another run that waits for the cloud
	began := time.Now()
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	took := time.Since(began)
	must(t, other.Close())
	if got := o.counted("GetAuthorizationToken"); got != 1 || took > providerPatience/2 {
		t.Errorf("got %d calls in %s, want 1 and no waiting", got, took)
	}
}

func TestAnOutageIsNotAskedAboutAtEveryPod(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	at := time.Now()
	o.now, o.down = func() time.Time { return at }, true
	for after, calls := range []int{1, 1, 1, 1, 1, 2} { // a second apart
		o.provide(t, requestFor(enterpriseHost+"/shop/app"))
		if got := o.counted("GetAuthorizationToken"); got != calls {
			t.Errorf("after %d seconds got %d calls, want %d", after, got, calls)
		}
		at = at.Add(time.Second)
	}
}

func TestACredentialIsKeptUntilItIsDueAndNoLonger(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for name, c := range map[string]struct {
		life, later time.Duration
		calls       int
		kept        string
	}{
		"at once":                                   {time.Hour, time.Second, 1, "29m59s"},
		"with half an hour left":                    {time.Hour, 30 * time.Minute, 1, "15m0s"},
		"a quarter of an hour before its end":       {time.Hour, 46 * time.Minute, 2, "30m0s"},
		"a short one with a third left":             {9 * time.Minute, 3 * time.Minute, 1, "1m0s"},
		"a short one when two thirds are over":      {9 * time.Minute, 7 * time.Minute, 2, "4m0s"},
		"one that ends soon is not kept by kubelet": {4 * time.Minute, time.Minute, 1, "0s"},
		"after its end":                             {time.Hour, 2 * time.Hour, 2, "30m0s"},
		"one of twelve hours":                       {12 * time.Hour, 2 * time.Hour, 1, "5h0m0s"},
		"when the clock was set back":               {time.Hour, -24 * time.Hour, 2, "30m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t)
			o.config(t, "")
			at := start
			o.now, o.life = func() time.Time { return at }, c.life
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
			at = start.Add(c.later)
			got := o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
			kept, err := time.ParseDuration(got.CacheDuration)
			want, _ := time.ParseDuration(c.kept)
			if err != nil || (kept-want).Abs() > time.Second {
				t.Errorf("kubelet keeps it for %s, want %s", got.CacheDuration, c.kept)
			}
			if calls := o.counted("GetAuthorizationToken"); calls != c.calls {
				t.Errorf("got %d calls, want %d", calls, c.calls)
			}
		})
	}
}

// kubelet counts by the clock of the machine, and the cloud by its own.
func TestAClockThatIsWrongDoesNotMakeKubeletKeepALoginTooLong(t *testing.T) {
	t.Parallel()
	for _, behind := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		o := openOffice(t)
		o.config(t, "")
		o.behind = behind
		for range 2 { // from the cloud, and from what is kept
			kept, err := time.ParseDuration(o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t).CacheDuration)
			if err != nil || (kept-30*time.Minute).Abs() > 5*time.Second {
				t.Errorf("with the cloud %s behind, kubelet keeps it for %s, want 30m", behind, kept)
			}
		}
	}
}

func TestAnOutageTakesNoCredentialAwayThatLives(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	start := time.Now()
	at := start
	o.now = func() time.Time { return at }
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	o.down = true
	at = start.Add(50 * time.Minute)
	if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t); len(got.Auth) != 1 {
		t.Errorf("got %+v", got)
	}
	at = start.Add(61 * time.Minute)
	if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed || got.stdout != "" {
		t.Errorf("after its end, got %+v", got)
	}
	o.down = false
	at = start.Add(62 * time.Minute)
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
}

// Clocks of machines that start are hours ahead, until somebody sets them.
func TestAClockThatIsSetBackLocksNobodyOut(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for name, c := range map[string]struct{ throttled string }{"after an outage": {}, "after an outage with a delay": {"30"}} {
		o := openOffice(t)
		o.config(t, "")
		at := start.Add(8 * time.Hour)
		o.now, o.down, o.throttled = func() time.Time { return at }, true, c.throttled
		if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed {
			t.Errorf("%s: got %+v", name, got)
		}
		at, o.down = start, false
		if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitDone {
			t.Errorf("%s, with the clock set back: got %+v", name, got)
		}
	}
}

func TestAClockThatIsSetBackMakesNoLoginLiveLonger(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	start := time.Now()
	at := start
	o.now = func() time.Time { return at }
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	at, o.down = start.Add(-8*time.Hour), true
	if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}

func TestTheCloudsDelayIsHonoured(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	at := time.Now()
	o.now, o.down, o.throttled = func() time.Time { return at }, true, "30"
	for range 3 {
		if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed {
			t.Errorf("got %+v", got)
		}
		at = at.Add(9 * time.Second)
	}
	if calls := o.counted("GetAuthorizationToken"); calls != 1 {
		t.Errorf("got %d calls within the time that the cloud asked for, want 1", calls)
	}
}

// What is kept may have been damaged, or made by somebody else.
func TestAKeptFileThatCannotBeRightIsReplaced(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, file string){
		"half of it":         func(t *testing.T, file string) { must(t, os.Truncate(file, 40)) },
		"nothing":            func(t *testing.T, file string) { must(t, os.Truncate(file, 0)) },
		"something else":     func(t *testing.T, file string) { must(t, os.WriteFile(file, []byte(`{"evil":"yes"}`), 0o600)) },
		"others may read it": func(t *testing.T, file string) { must(t, os.Chmod(file, 0o604)) },
		"much too much":      func(t *testing.T, file string) { must(t, os.Truncate(file, 10<<20)) },
		"a link to somewhere": func(t *testing.T, file string) {
			other := file + "x"
			must(t, os.Rename(file, other))
			must(t, os.Symlink(other, file))
		},
		"that of another identity": func(t *testing.T, file string) {
			data, err := os.ReadFile(file)
			must(t, err)
			must(t, os.WriteFile(file, []byte(strings.Replace(string(data), "the RAM role", "somebody else", 1)), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t)
			o.config(t, "")
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
			files, err := filepath.Glob(filepath.Join(o.dir, "cache", "*[0-9a-f]"))
			must(t, err)
			if len(files) != 1 {
				t.Fatalf("got the files %q", files)
			}
			c, err := openCache(filepath.Join(o.dir, "cache"), o.now)
			must(t, err)
			whose := (&Process{Boot: o.booted}).machine(&config{metadataEndpoint: o.metadata.URL}).of(o.shop(t))
			if c.read(whose) == (kept{}) {
				t.Fatal("what is kept is not read")
			}
			spoil(t, files[0])
			if got := c.read(whose); got != (kept{}) {
				t.Errorf("got %+v", got)
			}
			if _, err := os.Lstat(files[0]); err != nil {
				t.Errorf("a run that could not read it took it away: %v", err)
			}
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
			if got := o.counted("GetAuthorizationToken"); got != 2 {
				t.Errorf("got %d calls, want a second one and no third", got)
			}
		})
	}
}

func TestWhatCouldNotBeKeptIsTold(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	c, err := openCache(filepath.Join(o.dir, "cache"), o.now)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(c.file((&Process{Boot: o.booted}).machine(&config{metadataEndpoint: o.metadata.URL}).of(o.shop(t))), "in the way"), 0o700))
	const lost = "keep it for the next run: rename "
	got := o.provide(t, requestFor(enterpriseHost+"/shop/app"))
	if got.code != exitDone || !strings.Contains(got.stdout, o.password) || !strings.HasPrefix(got.stderr, "pullkey: "+lost) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("got %+v", got)
	}
	o.down = true
	got = o.provide(t, requestFor(enterpriseHost+"/shop/app"))
	if got.code != exitFailed || !strings.Contains(got.stderr, "down for a while") || !strings.Contains(got.stderr, "; and "+lost) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("with the cloud down, got %+v", got)
	}
}

func TestWhatNobodyAsksForAnyMoreIsSwept(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	dir := filepath.Join(o.dir, "cache")
	must(t, os.Mkdir(dir, 0o700))
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, ".new-killed": 25 * time.Hour, "old.lock": 25 * time.Hour, "young": 11 * time.Hour} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-age)))
	}
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	left, err := filepath.Glob(filepath.Join(dir, "*[a-z]"))
	must(t, err)
	hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
	must(t, err)
	var names []string
	for _, path := range append(left, hidden...) {
		if name := filepath.Base(path); len(name) < 32 {
			names = append(names, name)
		}
	}
	if diff := cmp.Diff([]string{"old.lock", "young"}, names); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestWhatIsKeptIsTheCallersAlone(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	must(t, filepath.Walk(filepath.Join(o.dir, "cache"), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	}))
	for name, spoil := range map[string]func(dir string) error{
		"others may enter": func(dir string) error { return os.Chmod(dir, 0o711) },
		"a link": func(dir string) error {
			other := dir + "x"
			return joined(os.Rename(dir, other), os.Symlink(other, dir))
		},
	} {
		must(t, spoil(filepath.Join(o.dir, "cache")))
		if got := o.provide(t, requestFor(enterpriseHost+"/shop/app")); got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "not a folder of the caller's alone") {
			t.Errorf("%s: got %+v", name, got)
		}
		must(t, os.RemoveAll(filepath.Join(o.dir, "cache")))
		o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
	}
}

func TestAServiceAccountIsWhoTheConfigurationSays(t *testing.T) {
	t.Parallel()
	const refused, image = "acs:ram::1:role/bakery", enterpriseHost + "/shop/app"
	for name, c := range map[string]struct {
		config, request, says string
		sts, calls            int
	}{
		"its role asks":                    {roles, requestWith(tokenOf("shop", "app"), `{}`), "", 1, 1},
		"its role is refused by the cloud": {roles, requestWith(tokenOf("bakery", "app"), `{}`), "AuthenticationFail.NoPermission", 1, 0},
		"nobody knows it":                  {roles, requestWith(tokenOf("shop", "other"), `{}`), "shop/other has no role in the configuration", 0, 0},
		"an annotation makes it nobody else": {
			roles, requestWith(tokenOf("shop", "other"), `{"pullkey.dev/role-arn":"acs:ram::1:role/shop","pullkey.dev/endpoint":"https://evil.example"}`),
			"shop/other has no role in the configuration", 0, 0,
		},
		"no token, and the machine does not step in":       {roles, requestFor(image), "no token of a ServiceAccount", 0, 0},
		"an empty token, and the machine does not step in": {roles, requestWith("", `{}`), "no token of a ServiceAccount", 0, 0},
		"a token where no roles are":                       {"", requestWith(tokenOf("shop", "app"), `{}`), "has no roles", 0, 0},
		"a token of a node":                                {roles, requestWith(tokenFor("system:node:worker-1"), `{}`), "not that of a ServiceAccount", 0, 0},
		"a token that cannot be read":                      {roles, requestWith(strings.Replace(tokenOf("shop", "app"), ".", ".AAAA", 1), `{}`), "not that of a ServiceAccount", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t)
			o.config(t, c.config)
			o.refused[refused] = true
			got := o.provide(t, c.request)
			if c.says == "" {
				got.answer(t)
			} else if got.code != exitFailed || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, c.says) || !strings.Contains(got.stderr, "to do: ") && !strings.Contains(got.stderr, "not that of") {
				t.Errorf("got %+v, want %q", got, c.says)
			}
			if o.counted("AssumeRoleWithOIDC") != c.sts || o.counted("GetAuthorizationToken") != c.calls || o.counted("metadata") != 0 {
				t.Errorf("got the calls %v", o.calls)
			}
		})
	}
}

// Only STS knows whether a token is good, and its trust policy may name accounts.
func TestNobodyGetsALoginThatStsGaveAnotherAccount(t *testing.T) {
	t.Parallel()
	const both = `roles:
- {serviceAccount: shop/app, roleARN: "acs:ram::1:role/pull", oidcProviderARN: "acs:ram::1:oidc-provider/cluster"}
- {serviceAccount: bakery/app, roleARN: "acs:ram::1:role/pull", oidcProviderARN: "acs:ram::1:oidc-provider/cluster"}
`
	good, bad := requestWith(tokenOf("shop", "app"), `{}`), requestWith(tokenOf("bakery", "app"), `{}`)
	for name, order := range map[string][]string{"the good one first": {good, bad, good, bad}, "the bad one first": {bad, good, bad, good}} {
		o := openOffice(t)
		o.config(t, both)
		o.refused[tokenOf("bakery", "app")] = true
		for _, request := range order {
			want := exitDone
			if request == bad {
				want = exitFailed
			}
			if got := o.provide(t, request); got.code != want || want == exitFailed && got.stdout != "" {
				t.Errorf("%s: got %+v", name, got)
			}
		}
	}
}

// A home folder may be on a file server, and a folder in the image of a machine.
func TestAnotherMachineOrAnotherMetadataServiceIsSomebodyElse(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	for i, change := range []func(){
		func() {},
		func() { o.boot = "another machine" },
		func() {
			o.config(t, "")
			o.replace(t, "config.yaml", "metadataEndpoint: http://127.0.0.1", "metadataEndpoint: http://localhost")
		},
	} {
		change()
		for range 2 {
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
		}
		if got := o.counted("GetAuthorizationToken"); got != i+1 {
			t.Errorf("after %d changes got %d calls", i, got)
		}
	}
}

// The token is the pod's, and is worth as much as the role.
func TestTheTokenOfAServiceAccountIsNeitherKeptNorTold(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, roles)
	o.refused["acs:ram::1:role/bakery"] = true
	for _, namespace := range []string{"shop", "bakery"} {
		token := tokenOf(namespace, "app")
		got := o.provide(t, requestWith(token, `{}`))
		if o.tokens["acs:ram::1:role/"+namespace] != token {
			t.Errorf("STS was not shown the token")
		}
		signature := token[strings.LastIndexByte(token, '.')+1:]
		places := map[string]string{"standard output": got.stdout, "standard error": got.stderr}
		must(t, filepath.Walk(filepath.Join(o.dir, "cache"), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				must(t, err)
				places[path] = string(data)
			}
			return err
		}))
		for where, text := range places {
			if strings.Contains(text, signature) || where == "standard error" && strings.Contains(text, o.password) {
				t.Errorf("%s holds a secret: %s", where, text)
			}
		}
	}
}

func TestAnImageOfAnotherRegistryGetsAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	if diff := cmp.Diff(nothing(), o.provide(t, requestFor("docker.io/library/nginx")).answer(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func joined(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
