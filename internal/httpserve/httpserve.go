// Package httpserve is how a daemon listens and serves HTTP until it is told to stop: bounded headers and times, an error
// that says what to do about a taken port, and a moment for requests under way at the end.
//
// It knows no routes. Authorities and nodes call it.
package httpserve

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	grace         = 2 * time.Second // for requests under way when the server stops
)

// Listen is net.Listen on TCP with an error that says what to do.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "cannot listen on %s: %w", addr, err), "stop what holds the port, or choose another")
	}
	return l, nil
}

// Server returns a server for handlers that set deadlines of their own where bodies are long. With secure, it speaks TLS.
func Server(h http.Handler, secure *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, TLSConfig: secure, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// Pages returns a server for short pages: every request is read and answered within bounds.
func Pages(h http.Handler, log *slog.Logger) *http.Server {
	s := Server(h, nil, log)
	s.ReadTimeout, s.WriteTimeout = headerTimeout, 3*headerTimeout
	return s
}

// Run serves on l until ctx ends, then gives requests under way a moment, and returns when the last handler has.
func Run(ctx context.Context, s *http.Server, l net.Listener) error {
	var handlers sync.RWMutex // each reads; a server that is closed does not wait for them by itself
	h := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handlers.TryRLock() {
			panic(http.ErrAbortHandler) // it is over
		}
		defer handlers.RUnlock()
		h.ServeHTTP(w, r)
	})
	defer handlers.Lock()
	done := make(chan error, 1)
	go func() {
		if s.TLSConfig != nil {
			done <- s.ServeTLS(l, "", "")
		} else {
			done <- s.Serve(l)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if s.Shutdown(last) != nil {
		s.Close() // it was asked nicely
	}
	<-done
	return nil
}
