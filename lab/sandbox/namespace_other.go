//go:build !linux

package sandbox

import "os"

func supportedSystem() error { return errNotLinux }

func joinNetwork(*os.File) error { return errNotLinux }
