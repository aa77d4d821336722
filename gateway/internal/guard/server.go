package guard

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// A Server serves HTTP on a Listener, whose pace it tells where a request's body begins.
type Server struct {
	name     string
	listener *Listener
	http     *http.Server
	grace    time.Duration
	turn     lifecycle.Turn
}

type connKey struct{}

// NewServer makes a server called name in errors. Headers have at most headerBytes; requests under way have grace when the server
// stops.
func NewServer(name string, l *Listener, h http.Handler, limits Limits, headerBytes int, grace time.Duration, log *slog.Logger) *Server {
	s := &Server{name: name, listener: l, grace: grace}
	s.http = &http.Server{ReadHeaderTimeout: limits.HeaderTime, IdleTimeout: limits.IdleTime, MaxHeaderBytes: headerBytes,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
				Enter(c, InBody)
			}
			h.ServeHTTP(w, r)
		}),
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				Enter(c, Idle)
			}
		}}
	return s
}

// From is the address of a request's client.
func From(r *http.Request) net.Addr {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		return c.RemoteAddr()
	}
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return a
}

// Secure tells whether a request came over TLS, which may be spoken below the listener.
func Secure(r *http.Request) bool {
	_, below := r.Context().Value(connKey{}).(handshaker)
	return below || r.TLS != nil
}

// Run serves until ctx ends or Close is called. Requests under way then have their grace; what is not done by then is cut off.
// It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, over, err := s.turn.Begin(ctx)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "%s: the server was run or closed before", s.name)
	}
	defer over()

	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		s.listener.Cut()
		return mesh.Errorf(mesh.Internal, "%s: serving: %w", s.name, err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	if s.http.Shutdown(last) != nil {
		s.listener.Cut()
		s.http.Close()
	}
	<-served
	return nil
}

// Close stops Run and waits for it. It may be called more than once, and without Run.
func (s *Server) Close() error {
	if !s.turn.Close() {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return mesh.Errorf(mesh.Internal, "%s: closing: %w", s.name, err)
		}
	}
	return nil
}
