package dockerconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestABrokenConfigJSONIsRefusedByNameAndStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, want string }{
		{"no JSON", `s3cret`, "byte 0: a JSON object is needed"},
		{"cut off", `{"auths":{"h.io":{"auth":"s3cret`, "the value is not JSON"},
		{"auths twice", `{"auths":{},"auths":{"h.io":{"auth":"s3cret"}}}`, "byte 19: a field is given twice"},
		{"a registry twice", `{"auths":{"h.io":{"auth":"s3cret"},"h.io":{}}}`, "auths, byte 32: a field is given twice"},
		{"a field of an entry twice", `{"auths":{"h.io":{"auth":"s3cret","auth":null}}}`, `auths["h.io"], byte 23: a field is given twice`},
		{"an entry that is a text", `{"auths":{"h.io":"s3cret"}}`, `auths["h.io"], byte 8: a JSON object is needed`},
		{"an entry of another registry", `{"auths":{"x.io":["s3cret"]}}`, `auths["x.io"], byte 1: a JSON object is needed`},
		{"a number for a text", `{"auths":{"h.io":{"identitytoken":53}}}`, `auths["h.io"].identitytoken: a text is needed`},
		{"an entry with a password in its key", `{"auths":{"https://u:s3cret@h.io":5}}`, "an entry of auths whose key is no registry"},
		{"a field in other capitals", `{"auths":{"h.io":{"Auth":"s3cret"}}}`, `auths["h.io"]: a field is "auth" in other capitals`},
		{"credsStore in other capitals", `{"credsstore":"s3cret"}`, `"credsStore" in other capitals`},
		{"credsStore that is a list", `{"credsStore":["s3cret"]}`, "credsStore: a text is needed"},
		{"credHelpers that is a text", `{"credHelpers":"s3cret"}`, "credHelpers, byte"},
		{"a helper that is a number", `{"credHelpers":{"s3cret":1}}`, "a value of credHelpers: a text is needed"},
		{"a helper for the host twice", `{"credHelpers":{"h.io":"a","h.io":"b"}}`, "credHelpers, byte 18: a field is given twice"},
		{"a helper with a path", `{"credHelpers":{"h.io":"../../bin/s3cret"}}`, `credHelpers["h.io"] is no name of a credential helper`},
		{"a store with a path", `{"credsStore":"a/s3cret"}`, "credsStore is no name of a credential helper"},
		{"a store with a blank", `{"credsStore":"a s3cret"}`, "credsStore is no name"},
		{"a store that is an option", `{"credsStore":"-s3cret"}`, "credsStore is no name"},
		{"a store that is a parent", `{"credsStore":".."}`, "credsStore is no name"},
		{"too large", `{"x":"` + strings.Repeat("s3cret", MaxSize/6) + `"}`, "larger than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := storeOf(t, c.file)
			s.Run = func(context.Context, string, string, []byte) ([]byte, error) {
				t.Error("a helper was run")
				return nil, nil
			}
			_, errGet := s.Get(t.Context(), "h.io")
			_, errPut := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", ""))
			_, errErase := s.Erase(t.Context(), "h.io")
			for verb, err := range map[string]error{"get": errGet, "put": errPut, "erase": errErase} {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Path) {
					t.Errorf("%s: got %v; want an error with the file and %q", verb, err, c.want)
				} else if strings.Contains(err.Error()+hintOf(err), "s3cret") {
					t.Errorf("%s: the error repeats what the file holds: %v", verb, err)
				}
			}
			if contentOf(t, s) != c.file {
				t.Error("the file has changed")
			}
		})
	}
}

func TestAuthThatIsNoLoginIsRefusedForItsOwnHostAlone(t *testing.T) {
	t.Parallel()
	for auth, want := range map[string]string{
		"czNjcmV0!":    `auths["h.io"].auth: it is not base64`,
		"czNjcmV0":     `auths["h.io"].auth: what it holds is not of the form user:password`, // s3cret
		"OnMzY3JldA==": `auths["h.io"].auth: what it holds is not of the form user:password`, // :s3cret
	} {
		s := storeOf(t, `{"auths":{"h.io":{"auth":"`+auth+`"},"x.io":{"auth":"YWxpY2U6cHc="}}}`)
		if _, err := s.Get(t.Context(), "h.io"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), auth) {
			t.Errorf("%s: got %v; want an error with %q", auth, err, want)
		}
		if got, err := s.Get(t.Context(), "x.io"); err != nil || words(got.Login) != alices {
			t.Errorf("%s: got %v, %v", auth, words(got.Login), err)
		}
		// A new login mends it.
		if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
			t.Error(err)
		}
		if got, err := s.Get(t.Context(), "h.io"); err != nil || words(got.Login) != alices {
			t.Errorf("%s: got %v, %v", auth, words(got.Login), err)
		}
	}
}

func TestWhatIsNoFileIsRefusedAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]func(string) error{
		"a folder":     func(p string) error { return os.Mkdir(p, 0o700) },
		"a named pipe": func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a device":     func(p string) error { return os.Symlink("/dev/zero", p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Store{Path: filepath.Join(t.TempDir(), "config.json")}
			if err := create(s.Path); err != nil {
				t.Fatal(err)
			}
			_, errGet := s.Get(t.Context(), "h.io")
			_, errPut := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", ""))
			for _, err := range []error{errGet, errPut} {
				if err == nil || !strings.Contains(err.Error(), "it is not a regular file") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestTheFileAndItsFolderAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "home", ".docker")
	s := Store{Path: filepath.Join(dir, "config.json")}
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Fatal(err)
	}
	wantMode(t, dir, 0o700)
	wantMode(t, s.Path, 0o600)
	if err := os.Chmod(s.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), "h.io"); err != nil {
		t.Fatal(err)
	}
	wantMode(t, s.Path, 0o600)
	wantAlone(t, s.Path)
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o; want %o", filepath.Base(path), got, want)
	}
}

// wantAlone checks that neither a lock nor a half of a file stays behind.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Name() != filepath.Base(path) {
		t.Errorf("beside the file there are %v", files)
	}
}

func TestASymbolicLinkStaysOneAndItsTargetIsWritten(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"to a file": `{"foo":1}`, "to nothing yet": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home, dotfiles := t.TempDir(), t.TempDir()
			target := filepath.Join(dotfiles, "docker.json")
			if before != "" {
				if err := os.WriteFile(target, []byte(before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// One link leads to the next, which is relative.
			between := filepath.Join(dotfiles, "link")
			s := Store{Path: filepath.Join(home, "config.json")}
			if err := errors.Join(os.Symlink("docker.json", between), os.Symlink(between, s.Path)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
				t.Fatal(err)
			}
			for _, link := range []string{s.Path, between} {
				if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
					t.Errorf("%s is no link any more: %v, %v", link, info, err)
				}
			}
			data, err := os.ReadFile(target)
			if err != nil || !strings.Contains(string(data), "YWxpY2U6cHc=") || strings.Contains(before, "foo") != strings.Contains(string(data), "foo") {
				t.Errorf("the target is %s, %v", data, err)
			}
		})
	}
}

func TestSymbolicLinksInACircleAreRefused(t *testing.T) {
	t.Parallel()
	s := Store{Path: filepath.Join(t.TempDir(), "config.json")}
	if err := os.Symlink("config.json", s.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err == nil {
		t.Error("it was written")
	}
	if _, err := follow(s.Path); err == nil || !strings.Contains(err.Error(), "in a circle") {
		t.Errorf("got %v", err)
	}
}

// The lock belongs to an open file, so two goroutines stand for two processes.
func TestWritersAtTheSameTimeLoseNothingAndReadersNeverSeeAHalf(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{"foo":1,"auths":{"first.io":{"auth":"YWxpY2U6cHc="}}}`)
	const writers, rounds = 4, 5
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	reading.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if got, err := s.Get(context.Background(), "first.io"); err != nil || words(got.Login) != alices {
				t.Errorf("in between: %v, %v", words(got.Login), err)
				return
			}
		}
	})
	for w := range writers {
		writing.Go(func() {
			for r := range rounds {
				if _, err := s.Put(t.Context(), fmt.Sprintf("h%d-%d.io", w, r), secretLogin("alice", "pw", "", "")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	hosts, err := Hosts([]byte(contentOf(t, s)))
	if err != nil || len(hosts) != writers*rounds+1 {
		t.Errorf("there are %d entries of %d: %v, %v", len(hosts), writers*rounds+1, hosts, err)
	}
	wantAlone(t, s.Path)
}

func TestAWriterWaitsForTheLockAndGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{}`)
	unlock, err := lock(t.Context(), s.Path+".lock")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Put(short, "h.io", secretLogin("alice", "pw", "", "")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got := contentOf(t, s); got != "{}" {
		t.Errorf("it was written without the lock: %s", got)
	}
	unlock()
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Error(err)
	}
}

func TestALockThatADeadProcessLeftBehindLocksNothing(t *testing.T) {
	t.Parallel()
	s := storeOf(t, `{}`)
	if err := os.WriteFile(s.Path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Error(err)
	}
	wantAlone(t, s.Path)
}

func TestRootLeavesTheFileToItsOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := storeOf(t, `{}`)
	if err := os.Chown(s.Path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 65534 || stat.Gid != 65534 {
		t.Errorf("it belongs to %+v now", info.Sys())
	}
}

func TestWhatWouldBeTooLargeIsNotWritten(t *testing.T) {
	t.Parallel()
	before := `{"x":[` + strings.Repeat("1,", MaxSize/3) + `1]}`
	s := storeOf(t, before)
	// Each number gets a line of its own.
	if _, err := s.Put(t.Context(), "h.io", secretLogin("alice", "pw", "", "")); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
	if contentOf(t, s) != before {
		t.Error("the file has changed")
	}
}

func TestAWriteThatDoesNotComeToItsEndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	// A folder cannot be replaced by a file.
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, []byte("{}"), nil); err == nil {
		t.Error("it says that it went well")
	}
	wantAlone(t, path)
}
