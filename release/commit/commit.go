// Package commit tells what a checkout holds. Its one rule: the date of
// everything in a release is that of its commit, so that no clock is asked.
package commit

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Commit is what a checkout stands at.
type Commit struct {
	Hash  string
	Date  time.Time
	Dirty bool // files differ from the commit, or are in none
}

// At asks git.
func At(ctx context.Context, root string) (Commit, error) {
	line, err := git(ctx, root, "log", "-1", "--format=%H %ct")
	if err != nil {
		return Commit{}, err
	}
	hash, date, _ := strings.Cut(strings.TrimSpace(line), " ")
	seconds, err := strconv.ParseInt(date, 10, 64)
	if err != nil {
		return Commit{}, fmt.Errorf("read the date of commit %s: %w", hash, err)
	}
	changed, err := git(ctx, root, "status", "--porcelain")
	if err != nil {
		return Commit{}, err
	}
	return Commit{Hash: hash, Date: time.Unix(seconds, 0).UTC(), Dirty: changed != ""}, nil
}

// Files are those of the commit below a folder, by their paths from the root.
func Files(ctx context.Context, root, folder string) ([]string, error) {
	out, err := git(ctx, root, "ls-files", "-z", "--", folder)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...) //nolint:gosec // which checkout is up to the caller
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// Revision is the commit as a label says it.
func (c Commit) Revision() string { return c.Hash + c.dirty() }

// Version is that of a checkout that is no release, in the form that Go gives
// it: it sorts before every release and by its date.
func (c Commit) Version() string {
	return "v0.0.0-" + c.Date.Format("20060102150405") + "-" + c.Hash[:12] + c.dirty()
}

func (c Commit) dirty() string {
	if c.Dirty {
		return "-dirty"
	}
	return ""
}

// version is a semantic version without build metadata: its plus sign cannot
// stand in the tag of an image.
var version = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// CheckVersion tells whether something may have the version.
func CheckVersion(v string) error {
	if !version.MatchString(v) {
		return fmt.Errorf("the version %q: must be like v1.2.3 or v1.2.3-rc.1", v)
	}
	return nil
}

// Releasable tells whether a release may have the version and be made of this.
func (c Commit) Releasable(v string) error {
	if err := CheckVersion(v); err != nil {
		return err
	}
	if c.Dirty {
		return &dirtyError{c.Hash}
	}
	return nil
}

// dirtyError tells that a release would not be what its commit says.
type dirtyError struct{ hash string }

func (e *dirtyError) Error() string {
	return "the files here are not those of commit " + e.hash
}

// Hint says what to do.
func (*dirtyError) Hint() string { return "git status shows which; commit them, or put them away" }
