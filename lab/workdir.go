package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// inUse is the file in a working folder that its owner holds locked. A folder
// that has it and is not locked was left by an owner that crashed.
const inUse = "in-use"

// Workdir makes a new working folder for a lab of the kind, and clears what
// crashed ones of the same kind left: processes, cgroups, folders with keys.
// The function that it returns ends the use; the folder then stays, for its
// logs, if keep is true.
func Workdir(kind string) (dir string, done func(keep bool) error, err error) {
	earlier, err := filepath.Glob(filepath.Join(os.TempDir(), "pullkey-"+kind+"-*"))
	if err != nil {
		return "", nil, fmt.Errorf("look for what earlier labs left: %w", err)
	}
	for _, dir := range earlier {
		if err := clearCrashed(dir); err != nil {
			return "", nil, err
		}
	}
	if dir, err = os.MkdirTemp("", "pullkey-"+kind+"-"); err != nil {
		return "", nil, fmt.Errorf("make a folder for the lab: %w", err)
	}
	unlock, err := filelock.Try(filepath.Join(dir, inUse))
	if err != nil {
		return "", nil, err
	}
	return dir, func(keep bool) error {
		defer unlock()
		if keep {
			return os.Remove(filepath.Join(dir, inUse))
		}
		return os.RemoveAll(dir)
	}, nil
}

// clearCrashed removes the folder of an owner that crashed.
func clearCrashed(dir string) error {
	mark := filepath.Join(dir, inUse)
	if _, err := os.Stat(mark); err != nil {
		return nil // it ended in order, and what stays is its logs
	}
	unlock, err := filelock.Try(mark)
	if errors.Is(err, filelock.ErrHeld) {
		return nil // somebody works there
	}
	if err != nil {
		return err
	}
	defer unlock()
	if err := sandbox.Clear(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove what a crashed lab left: %w", err)
	}
	return nil
}
