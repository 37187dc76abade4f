package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	maxPayloadBytes = 8 << 20 // the most that nats-server serves well
	// Every stream of Onsale is on files; memory is for what clients keep for a moment.
	maxMemoryBytes = 256 << 20
)

// StartNATS starts a nats-server with JetStream inside this process, with its files in cfg.Dir, which the
// caller has to itself.
func StartNATS(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	since := time.Now()
	top, err := makeFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	store := filepath.Join(top, natsFolder)
	cfg.Progress("starting nats-server " + server.VERSION + " in " + store)
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, fmt.Errorf("start nats-server: %w", err)
	}
	maxStore, err := storeLimit(store)
	if err != nil {
		return nil, err
	}
	port, err := choosePort(top, natsFolder)
	if err != nil {
		return nil, err
	}
	ns, log, err := runNATS(ctx, cfg, store, port, maxStore)
	if errors.Is(err, errListen) { // the port was taken since: the server picks one itself
		ns, log, err = runNATS(ctx, cfg, store, server.RANDOM_PORT, maxStore)
	}
	if err != nil {
		return nil, fmt.Errorf("start nats-server: %w", err)
	}

	ended := make(chan struct{})
	go func() {
		ns.WaitForShutdown()
		close(ended)
	}()
	why := func() error { return fmt.Errorf("nats-server ended by itself (%w)", log.lastError()) }
	s := newServer(ns.ClientURL(), ended, why, func() error { return stopNATS(ns, ended) })
	if addr, ok := ns.Addr().(*net.TCPAddr); ok {
		if err := rememberPort(top, natsFolder, addr.Port); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	cfg.Progress("nats-server is ready at " + s.URL + " (" + took(since) + ")")
	return s, nil
}

var errListen = errors.New("port is taken")

func runNATS(ctx context.Context, cfg Config, store string, port int, maxStore int64) (*server.Server, *natsLog, error) {
	ns, err := server.NewServer(natsOptions(cfg, store, port, maxStore))
	if err != nil {
		return nil, nil, err
	}
	log := &natsLog{log: cfg.Log.With("server", "nats"), fatal: make(chan struct{}, 1)}
	ns.SetLoggerV2(log, false, false, false)
	go ns.Start()

	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	ready := make(chan bool, 1)
	go func() { ready <- ns.ReadyForConnections(startLimit) }()
	select {
	case ok := <-ready:
		if ok && ns.JetStreamEnabled() {
			return ns, log, nil
		}
		err = fmt.Errorf("it is not ready: %w", log.lastError())
	case <-log.fatal:
		err = log.lastError()
		if ns.Addr() == nil && ns.JetStreamEnabled() {
			err = errors.Join(errListen, err)
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	return nil, nil, err
}

func natsOptions(cfg Config, store string, port int, maxStore int64) *server.Options {
	return &server.Options{
		ServerName:         "onsale",
		Host:               "127.0.0.1",
		Port:               port,
		NoSigs:             true, // this process decides when it ends
		MaxPayload:         maxPayloadBytes,
		JetStream:          true,
		StoreDir:           store,
		SyncAlways:         cfg.Durable,
		JetStreamMaxStore:  maxStore,
		JetStreamMaxMemory: maxMemoryBytes,
	}
}

func stopNATS(ns *server.Server, ended <-chan struct{}) error {
	go ns.Shutdown()
	limit := time.NewTimer(15 * time.Second)
	defer limit.Stop()
	select {
	case <-ended:
		return nil
	case <-limit.C:
		return errors.New("stop nats-server: it does not end")
	}
}

// storeLimit is what the streams may take: three quarters of what is free, and of what they have already.
func storeLimit(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("look for free disk space: %w", err)
	}
	bytes := int64(disk.Bavail) * int64(disk.Bsize)
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure streams: %w", err)
	}
	return bytes / 4 * 3, nil
}

// natsLog passes the server's lines on. People see its warnings; the rest is for those who look for it.
type natsLog struct {
	log   *slog.Logger
	fatal chan struct{} // a fatal line ends a nats-server of its own, which one inside a process can't do
	last  atomic.Pointer[string]
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLog) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLog) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }

func (l *natsLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.last.Store(&line)
	l.log.Warn(line)
}

func (l *natsLog) Fatalf(format string, v ...any) {
	l.Errorf(format, v...)
	select {
	case l.fatal <- struct{}{}:
	default:
	}
}

func (l *natsLog) lastError() error {
	if line := l.last.Load(); line != nil {
		return errors.New(*line)
	}
	return errors.New("it logged no error")
}
