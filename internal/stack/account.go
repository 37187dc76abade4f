package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that a server runs as when this process is root's. Postgres refuses to be root, and
// an open Redis of root's would be a way to become root.
type account struct {
	name     string
	uid, gid uint32
}

// credential is nil where the child keeps the user of this process.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// ownFolder makes dir for the first of names that is an account here, and checks that it can get there. A
// folder that already belongs to someone stays that one's. It returns nil when this process is not root's:
// then everything is its own.
func ownFolder(dir, server string, names ...string) (*account, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make %s folder: %w", server, err)
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	as, err := ownerOf(dir)
	if err != nil {
		return nil, err
	}
	if as == nil {
		if as, err = firstAccount(names); err != nil {
			return nil, fmt.Errorf("start %s: %w", server, err)
		}
		if err := os.Lchown(dir, int(as.uid), int(as.gid)); err != nil {
			return nil, fmt.Errorf("give %s folder to %s: %w", server, as.name, err)
		}
	}
	return as, as.reach(dir, server)
}

// ownerOf returns the owner of dir, or nil when that is root.
func ownerOf(dir string) (*account, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return nil, fmt.Errorf("look at %s: not a folder", dir)
	}
	if stat.Uid == 0 {
		return nil, nil
	}
	return &account{name: "user " + strconv.Itoa(int(stat.Uid)), uid: stat.Uid, gid: stat.Gid}, nil
}

func firstAccount(names []string) (*account, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("it does not run as root, and there is no account for it here (looked for %q): "+
		"start Onsale as a normal user", names)
}

// reach has the system itself say whether the account gets to dir: modes, lists and mounts all count.
func (a *account) reach(dir, server string) error {
	cmd := exec.Command("/bin/sh", "-c", `cd "$1"`, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential()}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return fmt.Errorf("start %s as %s: %w", server, a.name, err)
	}
	return fmt.Errorf("%s does not run as root but as %s, which can't reach %s: choose a folder that it can reach, "+
		"for example --data /var/lib/onsale, or start Onsale as a normal user", server, a.name, filepath.Dir(dir))
}
