package devnet

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/stratosmesh/stratos/mesh"
)

const loopback = "127.0.0.1"

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
}

// reserve takes the guard port of the network's block, having chosen a free block when the base port is 0, and makes
// sure that every other port is free. Who holds the listener holds the block.
func (n *Network) reserve(hint string) (net.Listener, error) {
	if n.BasePort != 0 {
		return n.reserveBlock(hint)
	}
	// Whole thousands below the range from which systems draw ports for outgoing connections, and not the one that a
	// plain `stratos up` wants.
	const first, blocks = 10_000, 22
	var err error
	for _, i := range rand.Perm(blocks) {
		n.BasePort = first + i*blockPorts
		if n.BasePort == Default().BasePort {
			continue
		}
		var guard net.Listener
		if guard, err = n.reserveBlock(hint); err == nil {
			return guard, nil
		}
	}
	n.BasePort = 0
	return nil, mesh.Errorf(mesh.Exhausted, "no free block of ports: %w", err)
}

func (n *Network) reserveBlock(hint string) (net.Listener, error) {
	guard, err := listen(n.BasePort + guardPort)
	if err != nil {
		return nil, portError(n.BasePort+guardPort, err, hint)
	}
	for _, p := range n.allPorts() {
		if p == n.BasePort+guardPort {
			continue
		}
		l, err := listen(p)
		if err != nil {
			guard.Close()
			return nil, portError(p, err, hint)
		}
		l.Close()
	}
	return guard, nil
}

func portError(port int, err error, hint string) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return mesh.Errorf(mesh.Unavailable, "port %d: %w", port, err)
	}
	by := ""
	if holder := portHolder(port); holder != "" {
		by = " by " + holder
	}
	return mesh.WithHint(mesh.Errorf(mesh.Conflict, "port %d is taken%s", port, by), "%s", hint)
}

// portHolder names the process that listens on a TCP port, or returns "" when that cannot be seen.
func portHolder(port int) string {
	inode := listeningInode("/proc/net/tcp", port)
	if inode == "" {
		inode = listeningInode("/proc/net/tcp6", port)
	}
	if inode == "" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // what we may not see is left out
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// listeningInode finds the socket that listens on a port in a table of the kernel.
func listeningInode(table string, port int) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	const listening = "0A"
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == listening {
			return fields[9]
		}
	}
	return ""
}
