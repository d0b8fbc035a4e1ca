package cluster

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// snapshotterFor names containerd's way to stack layers in a folder: overlayfs
// does not stack on itself, which is what a container's own root is.
func snapshotterFor(dir string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("finding the file system of %s: %w", dir, err)
	}
	if fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}
