package problem

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// pair is a connection as it is served, its listener, and its other end.
func pair(t *testing.T, limits Limits) (*conn, *listener, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(ln, limits)
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(ln.Close(), client.Close(), c.Close()) })
	return c.(*conn), l, client
}

// pass lets time pass, as the sweeps count it.
func (l *listener) pass(d time.Duration) {
	for range d / sweepEvery {
		l.expire()
	}
}

// reading reads n bytes elsewhere and says how that ended.
func (c *conn) reading(n int) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(c, make([]byte, n))
		ended <- err
	}()
	for c.doing.Load()%kinds == nothing && len(ended) == 0 {
		time.Sleep(time.Microsecond)
	}
	return ended
}

func send(t *testing.T, client net.Conn, s string) {
	t.Helper()
	if _, err := client.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

const second = time.Second

// A request may take so long from its first byte on, the first from the connection, and a connection may be idle so
// long; what a handler does meanwhile counts for neither.
func TestConn_Reads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		requests int           // before the one that is slow
		sent     string        // of the one that is slow, of two bytes
		in, late time.Duration // it is let be, and ended
	}{
		"nothing sent":       {0, "", 5 * second, second},
		"half a request":     {0, "a", 5 * second, second},
		"idle":               {1, "", 75 * second, second},
		"half a second one":  {1, "a", 5 * second, second},
		"half of a fourth":   {3, "a", 5 * second, second},
		"idle after a third": {3, "", 75 * second, second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served, l, client := pair(t, Limits{Read: 5 * second, Idle: 75 * second, Write: second})
			for range c.requests {
				send(t, client, "ab")
				if err := <-served.reading(2); err != nil {
					t.Fatal(err)
				}
				served.state(fasthttp.StateActive)
				l.pass(time.Hour) // in the handler
				if _, err := served.Write([]byte("answer")); err != nil {
					t.Fatal(err)
				}
				served.state(fasthttp.StateIdle)
			}
			if c.sent != "" {
				send(t, client, c.sent)
				if err := <-served.reading(len(c.sent)); err != nil {
					t.Fatal(err)
				}
				served.state(fasthttp.StateActive)
			}
			ended := served.reading(1)
			l.pass(c.in)
			select {
			case err := <-ended:
				t.Fatalf("ended too early: %v", err)
			default:
			}
			l.pass(c.late)
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// filling writes for as long as it can, elsewhere, and says how that ended. It returns once a write waits.
func (c *conn) filling() <-chan error {
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	}()
	for waits := 0; waits < 100; waits++ { // until a write waits
		if c.doing.Load()%kinds != answerRead {
			waits = 0
		}
		time.Sleep(time.Millisecond)
	}
	return ended
}

// A client that reads nothing does not hold an answer for ever, whether it is one write or many.
func TestConn_Writes(t *testing.T) {
	t.Parallel()
	c, l, _ := pair(t, Limits{Write: 30 * second})
	ended := c.filling()
	l.pass(30 * second)
	select {
	case err := <-ended:
		t.Fatalf("ended too early: %v", err)
	default:
	}
	l.pass(second)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write ended with %v", err)
	}
}

// A stream lasts for as long as its client reads: each of its writes is limited, and all together are not. The next
// answer on the connection is limited as a whole again.
func TestConn_Streams(t *testing.T) {
	t.Parallel()
	c, l, client := pair(t, Limits{Write: 30 * second})
	send(t, client, "a")
	if err := <-c.reading(1); err != nil {
		t.Fatal(err)
	}
	c.streaming = true
	for range 10 {
		if _, err := c.Write([]byte("frame")); err != nil {
			t.Fatal(err)
		}
		l.pass(20 * second)
	}
	ended := c.filling()
	l.pass(31 * second)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that reads nothing ends with %v", err)
	}
}

func TestConn_IsNoStreamAfterOne(t *testing.T) {
	t.Parallel()
	c, _, client := pair(t, Limits{Write: 30 * second})
	c.streaming = true
	if _, err := c.Write([]byte("frame")); err != nil {
		t.Fatal(err)
	}
	c.state(fasthttp.StateIdle)
	send(t, client, "a")
	if err := <-c.reading(1); err != nil || c.streaming {
		t.Errorf("after a stream the next answer is one too (%v)", err)
	}
}

// Without limits nothing is ended.
func TestConn_NoLimits(t *testing.T) {
	t.Parallel()
	c, l, client := pair(t, Limits{})
	ended := c.reading(1)
	l.pass(time.Hour)
	send(t, client, "a")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
