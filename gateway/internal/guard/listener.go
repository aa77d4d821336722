package guard

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Listener hands out connections that hold their client to Limits: a request's header within a time, bodies at a rate in
// both directions, a pause between requests. A server's own deadlines are points in time, which a body of hours cannot have.
// Connections beyond the limits are closed unanswered.
type Listener struct {
	net.Listener
	limits         Limits
	Received, Sent atomic.Int64 // bytes of plaintext
	Refused        atomic.Int64 // connections

	mu      sync.Mutex
	conns   map[*conn]struct{}
	clients map[netip.Addr]int
}

// NewListener puts limits, complete ones, before a listener, which may speak TLS.
func NewListener(l net.Listener, limits Limits) *Listener {
	return &Listener{Listener: l, limits: limits, conns: map[*conn]struct{}{}, clients: map[netip.Addr]int{}}
}

// acceptPause is how long Accept waits after an error that passes, such as no file descriptor left.
const acceptPause = 50 * time.Millisecond

func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case errors.As(err, &passing) && passing.Temporary():
			time.Sleep(acceptPause)
			continue
		case err != nil:
			return nil, err
		}
		c := &conn{Conn: nc, l: l, client: ClientOf(nc.RemoteAddr()), phase: InHeader, until: time.Now().Add(l.limits.HeaderTime)}
		c.read.credit, c.write.credit = l.limits.BodyStall, l.limits.BodyStall
		if !l.admit(c) {
			l.Refused.Add(1)
			c.cut()
			continue
		}
		if t, ok := socketOf(nc).(*net.TCPConn); ok {
			boundUnsent(t, max(16<<10, l.limits.moves()/2))
		}
		if _, ok := nc.(handshaker); ok {
			return secureConn{c}, nil
		}
		return c, nil
	}
}

func (l *Listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.limits.Connections || l.clients[c.client] >= l.limits.ClientConnections {
		return false
	}
	l.conns[c] = struct{}{}
	l.clients[c.client]++
	return true
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

// Open is how many connections there are.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Cut ends every connection, whatever goes on there.
func (l *Listener) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.cut()
	}
}

// ClientOf is who a connection counts for: an IPv4 address, or the /64 that one customer has of IPv6.
func ClientOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{} // a Unix socket: all its clients are one
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// A Phase is what a connection is waited for in.
type Phase uint8

// A connection begins InHeader.
const (
	InHeader Phase = iota // from the first byte, or from accepting, until the header is complete
	InBody                // the request is being served
	Idle                  // between requests
)

// A side is one direction of a connection.
type side struct {
	credit time.Duration // how long the client may keep us waiting now; grows by what it moves, at most to BodyStall
	outer  time.Time     // what the server set as a deadline
}

// A conn is used by one goroutine at a time, but for deadlines and Close.
type conn struct {
	net.Conn
	l      *Listener
	client netip.Addr
	closed sync.Once

	mu          sync.Mutex
	phase       Phase
	until       time.Time // end of InHeader and Idle
	read, write side
}

// Enter tells a connection that a Listener handed out what comes next.
func Enter(nc net.Conn, p Phase) {
	if c, ok := nc.(interface{ enter(Phase) }); ok {
		c.enter(p)
	}
}

func (c *conn) enter(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
	switch p {
	case InHeader:
		c.until = time.Now().Add(c.l.limits.HeaderTime)
	case Idle:
		c.until = time.Now().Add(c.l.limits.IdleTime)
	case InBody:
		c.read.credit, c.write.credit = c.l.limits.BodyStall, c.l.limits.BodyStall
	}
}

func (c *conn) readDeadline() time.Time {
	d := c.until
	if c.phase == InBody {
		d = time.Now().Add(c.read.credit)
	}
	return earlier(d, c.read.outer)
}

func (c *conn) writeDeadline() time.Time {
	return earlier(time.Now().Add(c.write.credit), c.write.outer)
}

func earlier(own, outer time.Time) time.Time {
	if !outer.IsZero() && outer.Before(own) {
		return outer
	}
	return own
}

// spent books what a call on the socket took and moved.
func (c *conn) spent(s *side, begin time.Time, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	earned := time.Duration(float64(n) / float64(c.l.limits.BodyRate) * float64(time.Second))
	s.credit = min(s.credit-time.Since(begin)+earned, c.l.limits.BodyStall)
}

func (c *conn) Read(p []byte) (int, error) {
	begin := time.Now()
	c.mu.Lock()
	err := c.Conn.SetDeadline(c.readDeadline()) // of both directions: TLS may answer while it reads
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.spent(&c.read, begin, n)
	c.l.Received.Add(int64(n))
	return n, err
}

// Write goes in pieces of which a client at BodyRate takes several within BodyStall.
func (c *conn) Write(p []byte) (written int, err error) {
	piece := max(4<<10, c.l.limits.moves()/8)
	for {
		begin := time.Now()
		c.mu.Lock()
		err := c.Conn.SetWriteDeadline(c.writeDeadline())
		c.mu.Unlock()
		if err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[:min(piece, len(p))])
		c.spent(&c.write, begin, n)
		c.l.Sent.Add(int64(n))
		written, p = written+n, p[n:]
		if err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// SetDeadline and its sisters set bounds beside our own; the earlier counts.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.outer = t
	return c.Conn.SetReadDeadline(c.readDeadline())
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write.outer = t
	return c.Conn.SetWriteDeadline(c.writeDeadline())
}

func (c *conn) Close() error {
	c.closed.Do(func() { c.l.forget(c) })
	return c.Conn.Close()
}

// cut closes without TLS's farewell, which waits for a client that does not read.
func (c *conn) cut() {
	_ = socketOf(c.Conn).Close()
}

func socketOf(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// A handshaker is what a server takes for TLS.
type handshaker interface {
	Handshake() error
	ConnectionState() tls.ConnectionState
}

type secureConn struct{ *conn }

func (c secureConn) Handshake() error {
	c.mu.Lock()
	err := c.Conn.SetDeadline(c.until)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.Conn.(handshaker).Handshake()
}

func (c secureConn) ConnectionState() tls.ConnectionState {
	return c.Conn.(handshaker).ConnectionState()
}
