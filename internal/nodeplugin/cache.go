package nodeplugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// cache is a folder with a file for each identity and instance. Folder and files
// are their owner's alone; what is not is never read.
type cache struct {
	dir string
	now func() time.Time
}

// openCache makes the folder, or refuses one that others could have prepared.
func openCache(dir string, now func() time.Time) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, advise("let this program make it, or name another with --cache", "open the cache: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if !info.IsDir() || !private(info) {
		return nil, advise("remove it, and look who made it: this program makes it anew, for its owner alone",
			"open the cache: %s is not a folder of the caller's alone (mode 0700, no symbolic link)", dir)
	}
	return &cache{dir, now}, nil
}

// private tells whether a thing is the caller's and nobody else has a right to it.
func private(info fs.FileInfo) bool {
	owner, known := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm()&0o077 == 0 && known && int(owner.Uid) == os.Geteuid()
}

// kept is the content of a file: a credential, and how the last attempt to get
// one failed.
type kept struct {
	// For is whose the credential is: the file's name is a digest of it.
	For                 string
	Username, Password  string
	IssuedAt, ExpiresAt time.Time // by the cloud's clock
	Ahead               time.Duration
	FailedAt, Until     time.Time
	Failure, Hint       string
}

// credential returns what is kept, by our own clock; none where there is none.
func (k kept) credential() (credential.Credential, bool) {
	c := credential.Credential{
		Username: k.Username, Password: credential.NewSecret(k.Password), For: k.For, IssuedAt: k.IssuedAt.Add(k.Ahead), ExpiresAt: k.ExpiresAt.Add(k.Ahead),
	}
	return c, k.Username != "" && k.Password != ""
}

func (c *cache) file(of string) string {
	sum := sha256.Sum256([]byte(of))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:16]))
}

// maxKept is many times what is kept.
const maxKept = 64 << 10

// read returns what is kept. What cannot be right counts as nothing, until write
// replaces it: a link, a file of somebody else's or one that others may read, and
// what is not whole. It stays until then: too many open files are an error too.
func (c *cache) read(of string) kept {
	data, err := readPrivate(c.file(of))
	if err != nil {
		return kept{}
	}
	var k kept
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&k) != nil || k.For != of {
		return kept{}
	}
	return k
}

func readPrivate(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !private(info) || info.Size() > maxKept {
		return nil, errors.New("it is not a file of the caller's alone")
	}
	return io.ReadAll(io.LimitReader(f, maxKept))
}

// write puts k in the place of what was kept, at once.
func (c *cache) write(of string, k kept) error {
	k.For = of
	data, err := json.Marshal(k) //nolint:gosec // the file is there to hold the password
	if err == nil {
		err = c.replace(c.file(of), data)
	}
	if err != nil {
		return fmt.Errorf("keep it for the next run: %w", err)
	}
	c.sweep()
	return nil
}

// longestKept is twice as long as any login of ACR lives.
const longestKept = 24 * time.Hour

// sweep removes what nobody has written for so long that it is of no use: logins of
// who asks no more, and what a run left that was killed. Locks stay, as ever.
func (c *cache) sweep() {
	entries, _ := os.ReadDir(c.dir) // the next run sweeps again
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && filepath.Ext(e.Name()) != lockExt && c.now().Sub(info.ModTime()) > longestKept {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}

// forget removes what is kept.
func (c *cache) forget(of string) error {
	if err := os.Remove(c.file(of)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what is kept: %w", err)
	}
	return nil
}

func (c *cache) replace(name string, data []byte) error {
	f, err := os.CreateTemp(c.dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it did not come to be, or stays beside its cause
	}
	return err
}

const lockExt = ".lock"

// again is how often a lock is looked at that somebody holds: a cloud call takes
// some ten times as long.
const again = 5 * time.Millisecond

// lock waits for its turn, or does not and fails. The kernel gives the lock up when
// its holder dies. The file stays: who removes it could leave two of them at work.
func (c *cache) lock(ctx context.Context, of string, wait bool) (unlock func(), err error) {
	f, err := os.OpenFile(c.file(of)+lockExt, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			_ = f.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		case !wait:
			_ = f.Close()
			return nil, errors.New("lock the cache: another run of this program holds it")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, errors.New("lock the cache: another run of this program has held it all the time, waiting for the cloud")
		}
	}
}
