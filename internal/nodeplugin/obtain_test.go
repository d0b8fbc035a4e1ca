package nodeplugin

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

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
