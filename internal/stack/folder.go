package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// markerFile is what makes a folder a stack's: without it nothing in the folder is ever removed.
	markerFile = "ONSALE-DATA"
	lockFile   = "lock"

	markerText = "This folder holds the data of `onsale up`. `onsale up --fresh` empties it.\n"

	natsFolder     = "nats"
	postgresFolder = "postgres"
	redisFolder    = "redis"
	logFolder      = "log"
)

// DefaultDir is where the data goes when nobody says otherwise. For root it is a folder that the
// account Postgres runs as can reach, which /root is not.
func DefaultDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/onsale"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "onsale")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("onsale-%d", os.Getuid()))
	}
	return filepath.Join(home, ".local", "share", "onsale")
}

// folder is a data folder that this process alone may use.
type folder struct {
	path   string // absolute, without symbolic links
	unlock func() error
}

// openFolder makes, checks and locks cfg.Dir, and empties it when cfg asks for that.
func openFolder(ctx context.Context, cfg Config) (*folder, error) {
	path, err := makeFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	marked, err := isMarked(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if f.unlock, err = Lock(path); err != nil {
		return nil, err
	}
	if !marked {
		// After the lock, so that of two that start at once only the owner writes.
		if err := os.WriteFile(filepath.Join(path, markerFile), []byte(markerText), 0o644); err != nil {
			return nil, errors.Join(fmt.Errorf("mark data folder: %w", err), f.close())
		}
		return f, nil
	}
	if cfg.Fresh {
		cfg.Dir = path
		if err := f.empty(ctx, cfg); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// makeFolder makes dir if it is missing and returns its real path.
func makeFolder(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("open data folder: no folder was named")
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("open data folder: %w", err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return "", fmt.Errorf("make data folder: %w", err)
		}
		mode := fs.FileMode(0o700)
		if os.Geteuid() == 0 {
			mode = 0o711 // the accounts that the servers run as pass through it
		}
		if err := os.Chmod(path, mode); err != nil {
			return "", fmt.Errorf("make data folder: %w", err)
		}
	}
	// The servers are recognized by their working folder, which the system reports without links.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("open data folder: %w", err)
	}
	return path, nil
}

// isMarked tells whether path is a stack's folder; a folder that is neither that nor empty is an error.
func isMarked(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, fmt.Errorf("open data folder: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		switch e.Name() {
		case markerFile:
			return true, nil
		case lockFile, "lost+found": // a start that was cut short; a volume of its own
		default:
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("%s is not a data folder of Onsale (it holds %q and no %s): "+
			"choose an empty or a new one with --data", path, foreign, markerFile)
	}
	return false, nil
}

// Lock takes dir for this process, until unlock is called or the process ends. The error names the process
// that has it.
func Lock(dir string) (unlock func() error, err error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data folder: %w", err)
		}
		holder := make([]byte, 32)
		n, _ := file.ReadAt(holder, 0)
		pid := strings.TrimSpace(string(holder[:n]))
		if pid == "" {
			pid = "unknown"
		}
		return nil, fmt.Errorf("data folder %s is in use by another Onsale (process id %s): "+
			"stop that one, or choose another folder with --data", dir, pid)
	}
	err = errors.Join(file.Truncate(0), func() error {
		_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		return err
	}())
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", errors.Join(err, free(file)))
	}
	return func() error {
		if err := errors.Join(file.Truncate(0), free(file)); err != nil {
			return fmt.Errorf("free data folder: %w", err)
		}
		return nil
	}, nil
}

// free gives the lock on file back and closes it. To close it isn't enough: a child that is being started
// at this moment has a copy of the descriptor, and with it the lock, until it runs its program.
func free(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

// empty removes what a stack makes, by name, and nothing else.
func (f *folder) empty(ctx context.Context, cfg Config) error {
	cfg.Progress("removing the former data in " + f.path)
	for _, dir := range []string{postgresData(f.path), filepath.Join(f.path, redisFolder)} {
		if err := awaitLeftovers(ctx, cfg, dir); err != nil {
			return err
		}
	}
	for _, name := range []string{
		natsFolder, postgresFolder, redisFolder, logFolder,
		portFile(natsFolder), portFile(postgresFolder), portFile(redisFolder),
	} {
		if err := os.RemoveAll(filepath.Join(f.path, name)); err != nil {
			return fmt.Errorf("remove former data: %w", err)
		}
	}
	return nil
}

// close frees the folder. The lock file stays: a lock on a file that was unlinked would keep no one out.
func (f *folder) close() error {
	if f == nil {
		return nil
	}
	return f.unlock()
}
