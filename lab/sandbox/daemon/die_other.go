//go:build !linux

package daemon

import "syscall"

// dieWithUs has nothing to offer here: no lab runs on this system.
func dieWithUs() *syscall.SysProcAttr { return nil }
