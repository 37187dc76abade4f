package problem

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a connection as it is served, and its other end.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(ln)
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(ln.Close(), client.Close(), c.Close()) })
	return c.(*conn), client
}

// A deadline ends a read once a sweep finds it over, one that was moved does not, and one that is set anew after it
// was over lets the connection go on.
func TestConn_Deadlines(t *testing.T) {
	t.Parallel()
	c, client := pair(t)
	now := time.Now()
	if err := c.SetReadDeadline(now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.expire(now.Add(time.Second))
	if _, err := client.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil || b[0] != 'a' {
		t.Fatalf("a deadline that is not over ended a read: %q, %v", b, err)
	}
	c.expire(now.Add(2 * time.Minute))
	if _, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a deadline that is over did not end a read: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("b")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b[:]); err != nil || b[0] != 'b' {
		t.Errorf("the connection does not go on: %q, %v", b, err)
	}
}

// A client that reads nothing does not hold a write for ever.
func TestConn_WriteDeadline(t *testing.T) {
	t.Parallel()
	c, _ := pair(t)
	now := time.Now()
	if err := c.SetWriteDeadline(now); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 64<<20))
		ended <- err
	}()
	c.expire(now.Add(time.Second))
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write ended with %v", err)
	}
}
