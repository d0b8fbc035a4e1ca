//go:build !linux

package sandbox

import (
	"errors"
	"os"
)

var errNotLinux = errors.New("a sandbox needs Linux: it is made of namespaces")

func supportedSystem() error { return errNotLinux }

func joinNetwork(*os.File) error { return errNotLinux }
