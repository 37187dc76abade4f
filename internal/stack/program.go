package stack

import (
	"syscall"
	"time"
)

// Program is a program of ours to run as a child: a service as a process of its own.
type Program struct {
	Name string   // as people call it, and as its log file is called
	Path string   // of the executable
	Args []string // without the name
	Env  []string // "key=value", on top of this process's; the last of a key counts
}

// programGrace is how long a program has to end when it is asked to: longer than a service's own limit.
const programGrace = 20 * time.Second

// Process is a program that runs. It ends with this process, however that ends.
type Process struct{ child *child }

// StartProgram starts a program. Its log is kept in the folder dir, which has to be there.
func StartProgram(dir string, p Program) (*Process, error) {
	c, err := startChild(dir, command{name: p.Name, server: p.Name, path: p.Path, args: p.Args, env: p.Env, orphaned: syscall.SIGKILL})
	if err != nil {
		return nil, err
	}
	return &Process{c}, nil
}

// PID is the process's id, its own until Ended is closed.
func (p *Process) PID() int { return p.child.process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.child.ended }

// Why describes an end that nobody asked for, with the last lines of the log. It may be called once Ended is closed.
func (p *Process) Why() error { return p.child.why() }

// Kill ends the program at once, as a crash does, and waits until it has ended.
func (p *Process) Kill() error { return p.child.stop() }

// Close asks the program to end, and kills it where it takes too long.
func (p *Process) Close() error { return p.child.stop(step{syscall.SIGTERM, programGrace}) }
