package layout

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// errBusy: somebody else has the lock.
var errBusy = errors.New("in use")

// tryLock takes the lock of an open file, which ends when it is closed. Where
// the file system has no locks there is none.
func tryLock(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errBusy
		case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EBADF):
			return nil // as NFS answers for a folder
		default:
			return err
		}
	}
}

// lock waits for the lock as long as the caller does.
func lock(ctx context.Context, f *os.File) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if err := tryLock(f); !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notBusy passes on what is more than somebody else's lock.
func notBusy(err error) error {
	if errors.Is(err, errBusy) {
		return nil
	}
	return err
}
