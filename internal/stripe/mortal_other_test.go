//go:build !linux

package stripe

import "syscall"

// mortal is for Linux alone: elsewhere a child outlives a test binary that is killed.
func mortal() *syscall.SysProcAttr { return nil }
