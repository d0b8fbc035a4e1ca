package dockerconfig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// lockPatience is how long another writer may take.
	lockPatience = 10 * time.Second
	// maxLinks is how many symbolic links Linux follows for one name.
	maxLinks = 40
)

// readFile returns the content of a regular file, and nothing where there is
// no file. It does not wait for the writer of a named pipe.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: it is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > MaxSize {
		return nil, nil, fmt.Errorf("read %s: it is larger than %d bytes", path, MaxSize)
	}
	return data, info, nil
}

// follow returns the file that path leads to over symbolic links; it need not
// exist.
func follow(path string) (string, error) {
	for range maxLinks {
		target, err := os.Readlink(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL): // no link
			return path, nil
		case err != nil:
			return "", err
		case !filepath.IsAbs(target):
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", fmt.Errorf("read %s: its symbolic links go in a circle", path)
}

// change lets edit change the file under its lock: it reads the content and
// returns the new one, or nil to leave all as it is.
func change(ctx context.Context, path string, edit func(old []byte) ([]byte, error)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	path, err := follow(path)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	old, info, err := readFile(path)
	if err != nil {
		return err
	}
	data, err := edit(old)
	if err != nil || data == nil {
		return err
	}
	return replace(path, data, info)
}

// lock takes the lock that the file name stands for. The kernel gives it up
// when its holder dies, so what a dead process left behind locks nothing.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	bounded, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && stillNamed(f, name) {
			return func() { _, _ = os.Remove(name), f.Close() }, nil
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-again.C:
		case <-bounded.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, hinted{
				fmt.Errorf("lock %s: another process held it for %v", name, lockPatience),
				"wait for the other pullkey to end, and try again",
			}
		}
	}
}

// stillNamed tells whether name is f: the holder before us removed the file,
// and what was locked may be one that nobody else finds any more.
func stillNamed(f *os.File, name string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(ours, named)
}

// replace puts data in the place of the file at once: who reads it sees the
// old content or the new, also after a crash. Only its owner can read it, and
// the owner stays.
func replace(path string, data []byte, old fs.FileInfo) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	err = errors.Join(keepOwner(f, old), fill(f, data), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	syncFolder(dir)
	return nil
}

func fill(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// keepOwner gives the new file to the owner of the old one, for those who call
// as root. Who may not do so would take the file from its owner.
func keepOwner(f *os.File, old fs.FileInfo) error {
	if old == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	was, known := old.Sys().(*syscall.Stat_t)
	is, knownToo := info.Sys().(*syscall.Stat_t)
	if !known || !knownToo || was.Uid == is.Uid {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}

// syncFolder makes the new name last. Not every file system can do that to a
// folder, and the file is in its place already.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_, _ = d.Sync(), d.Close()
	}
}
