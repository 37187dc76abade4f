package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ports are chosen below the range from which systems take the ports of outgoing connections (32768 on
// Linux, 49152 on macOS): a crowd of clients on this machine must not take a server's port while it restarts.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// portTries bounds the search for a free port, and the starts on ports that turned out to be taken.
const (
	portProbes = 64
	portTries  = 5
)

func portFile(server string) string { return server + ".port" }

// choosePort returns the port that server had last time if it is free, else another free one.
func choosePort(dir, server string) (int, error) {
	if text, err := os.ReadFile(filepath.Join(dir, portFile(server))); err == nil {
		port, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && port > 1023 && port < 65536 && portIsFree(port) {
			return port, nil
		}
	}
	for range portProbes {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if portIsFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("find free port: none in many tries")
}

func portIsFree(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func rememberPort(dir, server string, port int) error {
	err := os.WriteFile(filepath.Join(dir, portFile(server)), []byte(strconv.Itoa(port)+"\n"), 0o644)
	if err != nil {
		return fmt.Errorf("remember port: %w", err)
	}
	return nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
