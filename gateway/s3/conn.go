package s3

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A listener hands out connections that hold their client to Options: a request's header within a time, bodies at a
// rate in both directions, a pause between requests. fasthttp's own deadlines are points in time, which a body of hours
// cannot have, and its answer to a connection too many is written, with a TLS handshake before it, by the goroutine
// that accepts all others.
type listener struct {
	net.Listener
	opts           Options
	received, sent atomic.Int64 // bytes of plaintext
	refused        atomic.Int64 // connections

	mu      sync.Mutex
	conns   map[*conn]struct{}
	clients map[netip.Addr]int
}

func newListener(l net.Listener, o Options) *listener {
	return &listener{Listener: l, opts: o, conns: map[*conn]struct{}{}, clients: map[netip.Addr]int{}}
}

// acceptPause is how long Accept waits after an error that passes, such as no file descriptor left.
const acceptPause = 50 * time.Millisecond

func (l *listener) Accept() (net.Conn, error) {
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
		c := &conn{Conn: nc, l: l, client: clientOf(nc.RemoteAddr()), phase: inHeader, until: time.Now().Add(l.opts.HeaderTime)}
		c.read.credit, c.write.credit = l.opts.BodyStall, l.opts.BodyStall
		if !l.admit(c) {
			l.refused.Add(1)
			c.cut()
			continue
		}
		if t, ok := socketOf(nc).(*net.TCPConn); ok {
			boundUnsent(t, max(16<<10, l.opts.moves()/2))
		}
		if _, ok := nc.(handshaker); ok {
			return secureConn{c}, nil
		}
		return c, nil
	}
}

func (l *listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.opts.Connections || l.clients[c.client] >= l.opts.ClientConnections {
		return false
	}
	l.conns[c] = struct{}{}
	l.clients[c.client]++
	return true
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

func (l *listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// cut ends every connection, whatever goes on there.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.cut()
	}
}

// clientOf is who a connection counts for: an IPv4 address, or the /64 that one customer has of IPv6.
func clientOf(a net.Addr) netip.Addr {
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

type phase uint8

const (
	inHeader phase = iota // from the first byte, or from accepting, until the header is complete
	inBody                // the request is being served
	idle                  // between requests
)

// A side is one direction of a connection.
type side struct {
	credit time.Duration // how long the client may keep us waiting now; grows by what it moves, at most to BodyStall
	outer  time.Time     // what fasthttp or versitygw set as a deadline
}

// A conn is used by one goroutine at a time, but for deadlines and Close.
type conn struct {
	net.Conn
	l      *listener
	client netip.Addr
	closed sync.Once

	mu          sync.Mutex
	phase       phase
	until       time.Time // end of inHeader and idle
	read, write side
}

// enter is told by fasthttp, and for inBody by the first of our handlers, what comes next.
func (c *conn) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
	switch p {
	case inHeader:
		c.until = time.Now().Add(c.l.opts.HeaderTime)
	case idle:
		c.until = time.Now().Add(c.l.opts.IdleTime)
	case inBody:
		c.read.credit, c.write.credit = c.l.opts.BodyStall, c.l.opts.BodyStall
	}
}

// entered is fasthttp's ConnState hook. The state of a new connection is set already.
func entered(nc net.Conn, s fasthttp.ConnState) {
	if c, ok := nc.(interface{ enter(phase) }); ok {
		switch s {
		case fasthttp.StateActive:
			c.enter(inHeader)
		case fasthttp.StateIdle:
			c.enter(idle)
		}
	}
}

func (c *conn) readDeadline() time.Time {
	d := c.until
	if c.phase == inBody {
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
	earned := time.Duration(float64(n) / float64(c.l.opts.BodyRate) * float64(time.Second))
	s.credit = min(s.credit-time.Since(begin)+earned, c.l.opts.BodyStall)
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
	c.l.received.Add(int64(n))
	return n, err
}

// Write goes in pieces of which a client at BodyRate takes several within BodyStall.
func (c *conn) Write(p []byte) (written int, err error) {
	piece := max(4<<10, c.l.opts.moves()/8)
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
		c.l.sent.Add(int64(n))
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

// A handshaker is what fasthttp takes for TLS.
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
