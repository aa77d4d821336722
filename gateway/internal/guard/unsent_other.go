//go:build !linux

package guard

import "net"

// boundUnsent is only known for Linux. Elsewhere a slow reader is told from a stopped one less finely.
func boundUnsent(*net.TCPConn, int) {}
