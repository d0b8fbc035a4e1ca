package nodeplugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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

func joined(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
