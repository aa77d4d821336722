package guard

import (
	"net"

	"golang.org/x/sys/unix"
)

// boundUnsent bounds what the kernel takes of a socket before it sends it. It wakes a writer only after a good part of its
// buffer has drained, which may be megabytes: a client that reads slowly, but steadily, would look like one that stands
// still. What is on its way does not count, so that a long fast line is not slowed down.
func boundUnsent(c *net.TCPConn, bytes int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // closed already
	}
	// An error leaves the kernel's own bound.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}
