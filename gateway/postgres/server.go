package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// A Key is an access key as a connection shows it.
type Key struct {
	Name   string
	Secret string
}

// Keys opens access keys by name. NotFound or Denied when there is none of a name for this gateway.
type Keys interface {
	Key(ctx context.Context, name string) (*Key, error)
}

// Databases opens the database of a name under an access key. NotFound when the key's account has none.
type Databases interface {
	Open(ctx context.Context, key *Key, name string) (Database, error)
}

// A Server serves one listener. Close it, whether Run was called or not.
type Server struct {
	opts      Options
	log       *slog.Logger
	listener  net.Listener
	keys      Keys
	databases Databases
	salts     [32]byte // of keys that there are and of those that there are not
	figures   figures
	turn      lifecycle.Turn
	following sync.WaitGroup // hubs

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	perKey map[string]int
	last   uint32              // process id that was given last
	live   map[uint32]*session // by process id, for who cancels
	held   int                 // bytes of statements that sessions hold
	hubs   map[hubKey]*hub
}

type figures struct {
	connections *prometheus.GaugeVec
	refused     prometheus.Counter
	statements  *prometheus.CounterVec // by level and SQLSTATE class
	seconds     prometheus.Histogram
}

// New returns a server on a listener that speaks no TLS itself.
func New(l net.Listener, keys Keys, databases Databases, log *slog.Logger, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{opts: o, log: log, listener: l, keys: keys, databases: databases, conns: map[net.Conn]struct{}{}, perKey: map[string]int{}, live: map[uint32]*session{}, hubs: map[hubKey]*hub{},
		figures: figures{
			connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stratos_postgres_connections", Help: "Connections by state."}, []string{"state"}),
			refused:     prometheus.NewCounter(prometheus.CounterOpts{Name: "stratos_postgres_refused_total", Help: "Connections that were refused, for too many or a wrong key."}),
			statements:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_postgres_statements_total", Help: "Statements by the class of their SQLSTATE."}, []string{"class"}),
			seconds:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stratos_postgres_statement_seconds", Help: "How long statements took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		}}
	rand.Read(s.salts[:])
	o.Registry.MustRegister(s.figures.connections, s.figures.refused, s.figures.statements, s.figures.seconds)
	return s, nil
}

// Run serves until ctx ends or the listener fails. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, over, err := s.turn.Begin(ctx)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "postgres: the server was run or closed before")
	}
	defer over()
	var all sync.WaitGroup
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed := make(chan error, 1)
	all.Go(func() { failed <- s.accept(ctx, work, &all) })
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	closing := s.listener.Close()
	s.hush()
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(s.opts.Grace):
		cut()
		s.cut()
		<-done
	}
	s.following.Wait() // they end with the last of their connections
	if err != nil {
		return mesh.Errorf(mesh.Internal, "postgres: serving: %w", err)
	}
	if closing != nil && !errors.Is(closing, net.ErrClosed) {
		return mesh.Errorf(mesh.Internal, "postgres: closing: %w", closing)
	}
	return nil
}

// acceptPause is how long the server waits after an error that passes, such as no file descriptor left.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept(ctx, work context.Context, all *sync.WaitGroup) error {
	for {
		nc, err := s.listener.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.As(err, &passing) && passing.Temporary():
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return err
		}
		all.Go(func() {
			if s.admit(nc) {
				s.serve(ctx, work, nc)
			}
			nc.Close() // what could not be sent is lost to the client alone
			s.forget(nc)
		})
	}
}

func (s *Server) admit(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opts.Connections {
		s.figures.refused.Inc()
		return false
	}
	s.conns[nc] = struct{}{}
	return true
}

func (s *Server) forget(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
}

// hush wakes connections that wait for their clients, so that they see that the server stops.
func (s *Server) hush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Close ends Run, and closes the listener. It may be called more than once.
func (s *Server) Close() error {
	if !s.turn.Close() {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return mesh.Errorf(mesh.Internal, "postgres: closing: %w", err)
		}
	}
	return nil
}

// Codes of the requests that come before the protocol's version.
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104

	maxStartup = 10_000 // bytes, as in PostgreSQL
	tlsHello   = 0x16   // the first byte of TLS that nobody asked for
)

// serve talks to one client. stop ends when the server stops taking work, work when its grace is over.
func (s *Server) serve(stop, work context.Context, nc net.Conn) {
	if err := nc.SetDeadline(time.Now().Add(s.opts.StartupTime)); err != nil {
		return
	}
	c, startup, binding, err := s.negotiate(nc)
	if err != nil || startup == nil {
		return // it never was a client, or asked to cancel
	}
	be := pgproto3.NewBackend(c, c)
	be.SetMaxBodyLen(maxStartup) // until it has shown a key: what a message says of its length is made room for
	refuse := func(err *sqlError) {
		s.figures.refused.Inc()
		be.Send(err.message("FATAL"))
		be.Flush()
	}
	set, refused := newSettings(startup.Parameters)
	if refused != nil {
		refuse(refused)
		return
	}
	key, refused := s.authenticate(work, be, startup.Parameters["user"], binding)
	if refused != nil {
		refuse(refused)
		return
	}
	if !s.enter(key.Name) {
		refuse(newError("53300", "too many connections of access key %s", key.Name))
		return
	}
	defer s.leave(key.Name)
	name := startup.Parameters["database"]
	if name == "" {
		name = startup.Parameters["user"]
	}
	opening, cancel := context.WithTimeout(work, s.opts.StartupTime)
	db, err := s.databases.Open(opening, key, name)
	cancel()
	if err != nil {
		if mesh.KindOf(err) == mesh.NotFound {
			refuse(newError("3D000", "database \"%s\" does not exist", name))
		} else {
			refuse(errorOf(err))
		}
		return
	}
	defer func() {
		if err := db.Close(); err != nil {
			s.log.Warn("a database was not closed", "err", err)
		}
	}()
	x := &session{server: s, conn: c, be: be, db: db, key: key.Name, access: key, name: name, settings: set, stop: stop, work: work}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return
	}
	be.SetMaxBodyLen(s.opts.MessageBytes)
	s.register(x)
	defer s.unregister(x)
	defer x.release()
	defer x.unlistens()
	x.run()
}

// negotiate answers what comes before the protocol: TLS, encryption by GSSAPI, and requests to cancel. binding is what channel
// binding binds to, nil without TLS.
func (s *Server) negotiate(nc net.Conn) (c net.Conn, startup *pgproto3.StartupMessage, binding []byte, err error) {
	c = nc
	for range 4 { // each request once
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head[:1]); err != nil {
			return nil, nil, nil, err
		}
		if head[0] == tlsHello && c == nc && s.opts.TLS != nil {
			if c, binding, err = s.secure(&unread{Conn: nc, first: head[:1]}); err != nil {
				return nil, nil, nil, err
			}
			continue
		}
		if _, err := io.ReadFull(c, head[1:]); err != nil {
			return nil, nil, nil, err
		}
		n, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if n < 8 || n > maxStartup {
			return nil, nil, nil, mesh.Errorf(mesh.Invalid, "a startup message of %d bytes", n)
		}
		rest := make([]byte, n-8)
		if _, err := io.ReadFull(c, rest); err != nil {
			return nil, nil, nil, err
		}
		switch {
		case code == sslCode && c == nc && s.opts.TLS != nil:
			if _, err := c.Write([]byte{'S'}); err != nil {
				return nil, nil, nil, err
			}
			if c, binding, err = s.secure(nc); err != nil {
				return nil, nil, nil, err
			}
		case code == sslCode || code == gssCode:
			if _, err := c.Write([]byte{'N'}); err != nil {
				return nil, nil, nil, err
			}
		case code == cancelCode:
			if len(rest) == 8 {
				s.cancel(binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:]))
			}
			return nil, nil, nil, nil
		default:
			m, err := pgproto3.NewBackend(bytes.NewReader(append(head, rest...)), nil).ReceiveStartupMessage()
			if err != nil {
				return nil, nil, nil, err
			}
			startup, _ := m.(*pgproto3.StartupMessage)
			return c, startup, binding, nil
		}
	}
	return nil, nil, nil, mesh.Errorf(mesh.Invalid, "no startup message")
}

// unread is a connection of which a byte was read.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(b []byte) (int, error) {
	if len(u.first) > 0 && len(b) > 0 {
		n := copy(b, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// secure speaks TLS on a connection. Nothing was read of it that came before, which somebody in between could have put there.
func (s *Server) secure(nc net.Conn) (net.Conn, []byte, error) {
	config := s.opts.TLS.Clone()
	config.NextProtos = []string{"postgresql"}
	var shown *tls.Certificate
	given := config.GetCertificate
	config.GetCertificate = func(h *tls.ClientHelloInfo) (c *tls.Certificate, err error) {
		switch {
		case given != nil:
			c, err = given(h)
		case len(s.opts.TLS.Certificates) > 0:
			c = &s.opts.TLS.Certificates[0]
		}
		if c == nil && err == nil {
			err = mesh.Errorf(mesh.Unavailable, "there is no certificate")
		}
		shown = c
		return c, err
	}
	config.Certificates = nil
	t := tls.Server(nc, config)
	if err := t.Handshake(); err != nil {
		return nil, nil, err
	}
	return t, endpoint(shown), nil
}

// enter takes a place among an access key's connections.
func (s *Server) enter(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perKey[key] >= s.opts.PerKey {
		return false
	}
	s.perKey[key]++
	return true
}

func (s *Server) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perKey[key]--; s.perKey[key] == 0 {
		delete(s.perKey, key)
	}
}

// reserve counts bytes that a session keeps, if there is room for them. It gives room back for less than none.
func (s *Server) reserve(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size > 0 && s.held+size > s.opts.ProgramBytes {
		return false
	}
	s.held += size
	return true
}

// register gives a session a process id and a secret, by which its statement is cancelled.
func (s *Server) register(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.last++; s.last == 0 || s.last > 1<<31-1 || s.live[s.last] != nil; s.last++ {
		if s.last >= 1<<31-1 {
			s.last = 0
		}
	}
	x.id = s.last
	var secret [4]byte
	rand.Read(secret[:])
	x.secret = binary.BigEndian.Uint32(secret[:])
	s.live[x.id] = x
	s.figures.connections.WithLabelValues("open").Inc()
}

func (s *Server) unregister(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, x.id)
	s.figures.connections.WithLabelValues("open").Dec()
}

func (s *Server) cancel(id, secret uint32) {
	s.mu.Lock()
	x := s.live[id]
	s.mu.Unlock()
	if x != nil && x.secret == secret {
		x.cancel()
	}
}
