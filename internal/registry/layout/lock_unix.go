//go:build unix && !solaris && !aix

package layout

import (
	"errors"
	"os"
	"syscall"
)

// errBusy: somebody else has the lock.
var errBusy = errors.New("in use")

// lock takes the lock of an open file, which ends when it is closed. Where the
// file system has no locks there is none.
func lock(f *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), how); {
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

// notBusy passes on what is more than somebody else's lock.
func notBusy(err error) error {
	if errors.Is(err, errBusy) {
		return nil
	}
	return err
}
