package dockerconfig

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// program installs a shell script as docker-credential-test, alone in PATH
// with the system's programs, and returns a Store that uses it.
func program(t *testing.T, script string) Store {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte("#!/bin/sh\ncd '"+dir+"'\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	s := Store{Path: filepath.Join(dir, "config.json")}
	if err := os.WriteFile(s.Path, []byte(`{"credsStore":"test"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAHelperIsAProgramThatIsToldOnStandardInputAlone(t *testing.T) {
	s := program(t, `
echo "$# $*" >> args
case $1 in
	store) cat > kept ;;
	get) cat > asked; echo '{"ServerURL":"h.io","Username":"alice","Secret":"pw"}' ;;
	erase) cat > erased ;;
esac`)
	dir := filepath.Dir(s.Path)
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "h.io")
	if err != nil || words(got.Login) != alices {
		t.Errorf("got %s, %v", words(got.Login), err)
	}
	if _, err := s.Erase(t.Context(), "h.io"); err != nil {
		t.Error(err)
	}
	for file, want := range map[string]string{
		"kept":   `{"ServerURL":"h.io","Username":"alice","Secret":"pw"}`,
		"asked":  "http://h.io", // the last one
		"erased": "http://h.io",
		"args":   "1 store\n1 get\n1 get\n1 erase\n1 get\n1 erase\n1 get\n1 erase\n",
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if diff := cmp.Diff(want, string(data)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", file, err, diff)
		}
	}
}

func TestAHelperThatDoesNotWorkIsNamedAndNotQuoted(t *testing.T) {
	for _, c := range []struct{ name, script, want, hint string }{
		{"it fails and prints the secret", "echo s3cret; echo s3cret >&2; exit 3", "exit status 3; what it printed may be secret and is not shown", "echo h.io | docker-credential-test get"},
		{"it says what helpers say", "echo no credentials server URL; exit 1", "no credentials server URL", ""},
		{"it prints no JSON", "echo s3cret", "its answer is not the JSON object of a login", ""},
		{"it prints a list", `echo '["s3cret"]'`, "its answer is not the JSON object of a login", ""},
		{"it prints nothing", "true", "its answer is not the JSON object of a login", ""},
		{"it prints without end", "while :; do echo s3crets3crets3crets3crets3crets3crets3cret; done", "it printed more than 262144 bytes", ""},
		{"a signal ends it", "kill -9 $$", "signal: killed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := program(t, c.script)
			stderr := captureStderr(t)
			_, err := s.Get(t.Context(), "h.io")
			if err == nil || !strings.HasPrefix(err.Error(), "docker-credential-test get for h.io: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want an error with %q", err, c.want)
			}
			if !strings.Contains(hintOf(err), c.hint) {
				t.Errorf("the hint is %q; want %q", hintOf(err), c.hint)
			}
			if shown := stderr() + hintOf(err) + err.Error(); strings.Contains(shown, "s3cret") {
				t.Errorf("the secret is shown: %s", shown)
			}
		})
	}
}

// captureStderr returns what is printed to standard error from now on.
func captureStderr(t *testing.T) func() string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stderr
	os.Stderr = w
	t.Cleanup(func() { os.Stderr = was })
	return func() string {
		os.Stderr = was
		_ = w.Close()
		data, _ := io.ReadAll(r)
		return string(data)
	}
}

func TestAHelperThatHasNoLoginSaysSo(t *testing.T) {
	s := program(t, "echo credentials not found in native keychain; exit 1")
	got, err := s.Get(t.Context(), "h.io")
	if err != nil || !got.Anonymous() || got.Source.Helper != "test" {
		t.Errorf("got %v from %v, %v", words(got.Login), got.Source, err)
	}
}

func TestAHelperThatIsNotInstalled(t *testing.T) {
	s := storeOf(t, `{"credHelpers":{"h.io":"missing"}}`)
	_, err := s.Get(t.Context(), "h.io")
	if err == nil || err.Error() != "docker-credential-missing get for h.io: there is no such program in PATH" {
		t.Errorf("got %v", err)
	}
	if want := `install it, or take its name out of credHelpers["h.io"] in ` + s.Path; hintOf(err) != want {
		t.Errorf("the hint is %q; want %q", hintOf(err), want)
	}
}

func TestAHelperThatHangsIsStoppedWithAllThatItStarted(t *testing.T) {
	// Both hold the pipe open as long as they live.
	s := program(t, "exec 9> alive; echo ready >&9; sleep 600 & sleep 600")
	alive, hold := pipeOf(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		buf := make([]byte, 6)
		if _, err := io.ReadFull(hold, buf); err != nil {
			t.Error(err)
		}
	}()
	_, err := s.Get(ctx, "h.io")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "docker-credential-test get for h.io") {
		t.Errorf("got %v", err)
	}
	wantEnd(t, alive, hold)
}

func TestAGrandchildThatHoldsTheOutputIsNotWaitedFor(t *testing.T) {
	s := program(t, `exec 9> alive
sleep 600 &
echo '{"Username":"alice","Secret":"pw"}'`)
	alive, hold := pipeOf(t, s)
	asked := time.Now()
	got, err := s.Get(t.Context(), "h.io")
	if err != nil || words(got.Login) != alices {
		t.Errorf("got %s, %v", words(got.Login), err)
	}
	if took := time.Since(asked); took > helperPatience {
		t.Errorf("it took %v", took)
	}
	wantEnd(t, alive, hold)
}

// pipeOf makes the named pipe "alive" beside the program. hold keeps it open
// until wantEnd.
func pipeOf(t *testing.T, s Store) (alive, hold *os.File) {
	t.Helper()
	name := filepath.Join(filepath.Dir(s.Path), "alive")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	// For reading and writing, so that it opens without the other end.
	hold, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	alive, err = os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = alive.Close(), hold.Close() })
	return alive, hold
}

// wantEnd waits until nobody else has the pipe open any more.
func wantEnd(t *testing.T, alive, hold *os.File) {
	t.Helper()
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, alive); err != nil {
		t.Errorf("somebody still holds the pipe: %v", err)
	}
}

func TestAHelperHasFifteenSeconds(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{"credsStore":"test"}`)
	asked := time.Now()
	s.Run = func(ctx context.Context, _, _ string, _ []byte) ([]byte, error) {
		deadline, has := ctx.Deadline()
		if left := deadline.Sub(asked); !has || left < 15*time.Second || left > 25*time.Second {
			t.Errorf("it has %v", left)
		}
		return []byte("{}"), nil
	}
	if _, err := s.Get(t.Context(), "h.io"); err != nil {
		t.Error(err)
	}
}
