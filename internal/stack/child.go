package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// command is a program to run as a child.
type command struct {
	name   string // as people call it
	server string // as its log file is called
	path   string
	args   []string
	env    []string // on top of childEnv
	dir    string   // its working folder, by which it is found again if it outlives us
	as     *account
	// orphaned is what the child gets when this process dies without stopping it.
	orphaned syscall.Signal
}

// child is a program that runs, or has run, under this process.
type child struct {
	name    string
	process *os.Process
	log     serverLog
	ended   chan struct{}
	result  error // how it ended, once ended is closed
}

// startChild starts c. The child has a process group of its own: a terminal's Ctrl-C goes to the whole
// foreground group, and the stores must not go before the services that still drain into them.
func startChild(dir string, c command) (*child, error) {
	log, file, err := openLog(dir, c.server)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, append(childEnv(), c.env...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = childAttributes(c)

	ch := &child{name: c.name, log: log, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the THREAD that forked ends, not the process. This
		// goroutine keeps its thread for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		ch.process = cmd.Process
		stopGuard, err := guard(cmd.Process.Pid, c.orphaned)
		if err != nil {
			err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
			started <- err
			return
		}
		started <- nil
		ch.result = cmd.Wait()
		stopGuard()
		close(ch.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return ch, nil
}

// childEnv is this process's environment without what would change how a server behaves or speaks.
func childEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return append(env, "LC_ALL=C")
}

// why describes an end that nobody asked for.
func (c *child) why() error {
	how := "exit status 0"
	if c.result != nil {
		how = c.result.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); %s", c.name, how, c.log.tail())
}

// step is one way to ask a child to end, and how long it then has.
type step struct {
	signal syscall.Signal
	wait   time.Duration
}

// stop goes through steps until the child has ended, and kills it at last.
func (c *child) stop(steps ...step) error {
	for _, s := range append(steps, step{syscall.SIGKILL, 5 * time.Second}) {
		if err := c.process.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", c.name, err)
		}
		limit := time.NewTimer(s.wait)
		select {
		case <-c.ended:
			limit.Stop()
			return nil
		case <-limit.C:
		}
	}
	return fmt.Errorf("stop %s: process %d does not end", c.name, c.process.Pid)
}

// wait returns how the child ended, or kills it when ctx is done first.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.ended:
		return c.result
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), c.stop())
	}
}

// listener is a child that serves on a port.
type listener struct {
	*child
	port int
}

// startListener starts a child on a free port and waits until ready returns nil. A port can be taken
// between the probe and the bind, so a child that ended over that is started again on another one; and for
// the same reason ready has to make sure that it is this child that answers.
func startListener(ctx context.Context, dir string, on func(port int) command, ready func(context.Context, listener) error) (listener, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	for try := 1; ; try++ {
		port, err := choosePort(dir, on(0).server)
		if err != nil {
			return listener{}, err
		}
		c := on(port)
		ch, err := startChild(dir, c)
		if err != nil {
			return listener{}, err
		}
		l := listener{ch, port}
		err = l.awaitReady(ctx, ready)
		if err == nil {
			if err := rememberPort(dir, c.server, port); err != nil {
				return listener{}, errors.Join(err, l.stop())
			}
			return l, nil
		}
		if err := l.stop(step{syscall.SIGINT, 5 * time.Second}); err != nil {
			return listener{}, err
		}
		tail := l.log.tail()
		if try < portTries && strings.Contains(tail, "ddress already in use") {
			continue
		}
		return listener{}, fmt.Errorf("start %s: %w; %s", c.name, err, tail)
	}
}

func (l listener) awaitReady(ctx context.Context, ready func(context.Context, listener) error) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	var last error
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		last = ready(attempt, l)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-l.ended:
			return fmt.Errorf("it ended at once (%v)", l.result)
		case <-ctx.Done():
			return fmt.Errorf("%w (%v)", context.Cause(ctx), last)
		case <-poll.C:
		}
	}
}
