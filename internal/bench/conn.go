package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// conn is an HTTP/1.1 connection that does no more than a load needs, because what the load costs is missing from
// the servers beside it: requests are bytes, one at a time, and answers have a Content-Length.
type conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte // of the last answer
	out  []byte // room for the request of who writes it anew each time
}

// dial connects, for use until end.
func dial(address string, end time.Time) (*conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(end.Add(requestLimit)); err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 2<<10)}, nil
}

// call sends a request and checks the status of its answer. The body is valid until the next call.
func (c *conn) call(request []byte, want int) ([]byte, error) {
	status, err := c.send(request)
	if err == nil && status != want {
		method, _, _ := bytes.Cut(request, []byte(" HTTP/"))
		err = fmt.Errorf("%s answered %d: %s", method, status, c.body)
	}
	return c.body, err
}

// send sends a request and reads the answer: its status, and its body into c.body.
func (c *conn) send(request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	status, length := 0, -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if status == 0 {
			status, err = strconv.Atoi(string(line[min(len(line), len("HTTP/1.1 ")):min(len(line), len("HTTP/1.1 200"))]))
		} else if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(value))
		}
		if err != nil {
			return 0, fmt.Errorf("an answer with the line %q", line)
		}
	}
	if status == http.StatusNotModified {
		length = 0 // it has no body, whatever it says of its length
	}
	if length < 0 {
		return 0, fmt.Errorf("an answer of status %d without a length", status)
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return 0, err
	}
	return status, nil
}

// appendGet appends a request without a body; header is empty or ends a line.
func appendGet(buf []byte, path, header string) []byte {
	buf = append(append(buf, "GET "...), path...)
	return append(append(append(buf, " HTTP/1.1\r\nHost: bench\r\n"...), header...), "\r\n"...)
}

// appendPost appends a request with a JSON body.
func appendPost(buf []byte, path, header string, body []byte) []byte {
	buf = append(append(buf, "POST "...), path...)
	buf = append(append(buf, " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "...), strconv.Itoa(len(body))...)
	return append(append(append(append(buf, "\r\n"...), header...), "\r\n"...), body...)
}
