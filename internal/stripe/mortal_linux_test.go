package stripe

import "syscall"

// mortal has the kernel end a child when the thread that started it ends.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
