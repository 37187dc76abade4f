package double

import (
	"net"
	"sync"
)

// listener ends, when it is closed, the connections that have sent nothing: clients open some that they never use, and
// the server would take each for a call in progress.
type listener struct {
	net.Listener
	mu     sync.Mutex
	silent map[*conn]struct{} // nil once closed
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, silent: map[*conn]struct{}{}}
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent == nil {
		accepted.Close()
		return nil, net.ErrClosed
	}
	c := &conn{Conn: accepted, listener: l}
	l.silent[c] = struct{}{}
	return c, nil
}

func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.silent {
		c.Conn.Close()
	}
	l.silent = nil
	return l.Listener.Close()
}

// heard says whether a connection was silent until now.
func (l *listener) heard(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, silent := l.silent[c]
	delete(l.silent, c)
	return silent
}

type conn struct {
	net.Conn
	listener *listener
	spoke    bool // the reader's alone
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoke {
		if c.spoke = true; !c.listener.heard(c) {
			return 0, net.ErrClosed // just then
		}
	}
	return n, err
}

func (c *conn) Close() error {
	c.listener.heard(c)
	return c.Conn.Close()
}
