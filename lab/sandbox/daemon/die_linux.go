package daemon

import "syscall"

// dieWithUs makes the kernel kill the child when we die, and gives the child a
// process group of its own: Ctrl-C at the terminal is for us alone.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
