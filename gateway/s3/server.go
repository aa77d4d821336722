// Package s3 is the S3 gateway: versitygw's protocol code, with a backend of ours behind it and everything around it that
// a server on the open network needs: our own listener with deadlines and limits, who is who by the mesh's grants, refusal
// of what versitygw would believe, metrics and the access log.
//
// It decides nothing that the mesh does not decide again: whoever passes here by mistake is refused by the log. It holds
// no object and no key beyond a request and a short memory of access keys. cmd/stratos and devnet call it.
package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"time"
	"unsafe"

	"github.com/gofiber/fiber/v3"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// A Server serves S3 on one listener.
type Server struct {
	opts     Options
	log      *slog.Logger
	listener *guard.Listener
	http     *fasthttp.Server
	clients  *guard.Clients
	meter    *meter
	access   *guard.AccessLog
	front    *guarded        // the backend
	ctx      context.Context // of questions for keys
	cancel   context.CancelFunc
	turn     lifecycle.Turn
}

// New makes a server of the gateway's front on l, which may speak TLS already, with be behind it. l is the server's, also when
// New fails; the backend stays its maker's to close. versitygw keeps two settings for the whole process, which nobody changes.
func New(l net.Listener, be backend.Backend, keys Keys, log *slog.Logger, opts Options) (_ *Server, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
			err = errors.Join(err, l.Close())
		}
	}()
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: log, listener: guard.NewListener(l, opts.Limits), access: guard.NewAccessLog(opts.AccessLog), ctx: ctx, cancel: cancel}
	if s.clients, err = guard.NewClients(opts.Limits); err != nil {
		return nil, err
	}
	if s.meter, err = newMeter(opts.Registry, s.listener); err != nil {
		return nil, err
	}
	g := &guarded{Backend: be, log: log}
	s.front = g
	if g.owners, err = lru.New[string, mesh.Account](maxOwners); err != nil {
		return nil, err
	}
	if g.iam, err = newIAM(s.ctx, keys, g.owner, log, opts); err != nil {
		return nil, err
	}
	with := []s3api.Option{s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithMiddleware("/", s.handle),
		s3api.WithConcurrencyLimiter(2*opts.Connections, opts.Requests)} // of connections, ours counts; see listener
	if opts.Domain != "" {
		with = append(with, s3api.WithHostStyle(opts.Domain))
	}
	front, err := s3api.New(g, newRoot(), opts.Region, g.iam, nil, nil, nil, s.meter, with...)
	if err != nil {
		return nil, fmt.Errorf("s3: making the front: %w", err)
	}
	app, err := appOf(front)
	if err != nil {
		return nil, err
	}
	app.Handler() // completes the routes
	s.http = app.Server()
	s.http.Name, s.http.NoDefaultServerHeader = "", true
	s.http.ReadBufferSize = opts.HeaderBytes
	s.http.WriteBufferSize = 64 << 10
	s.http.DisablePreParseMultipartForm = true // else any form goes to memory and temporary files before anybody asks whose it is
	s.http.ConnState = entered
	s.http.ErrorHandler = s.failed
	s.http.Logger = quiet{log}
	return s, nil
}

// newRoot names versitygw's user who may do everything. Without a name it would be whoever signs with empty keys; these
// nobody learns.
func newRoot() middlewares.RootUserConfig {
	return middlewares.RootUserConfig{Access: rand.Text() + rand.Text(), Secret: rand.Text() + rand.Text()}
}

// appOf takes the application out of versitygw's server, which would serve it only on listeners of its own making,
// without a time limit anywhere. The version is pinned in go.mod, and a test looks for the field.
func appOf(front *s3api.S3ApiServer) (*fiber.App, error) {
	f := reflect.ValueOf(front).Elem().FieldByName("app")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*fiber.App]() {
		return nil, mesh.Errorf(mesh.Internal, "s3: versitygw's server has no field app of type *fiber.App any more")
	}
	return *(**fiber.App)(unsafe.Pointer(f.UnsafeAddr())), nil
}

// Run serves until ctx ends or Close is called. Requests under way then have Grace; what is not done by then is cut off.
// It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, over, err := s.turn.Begin(ctx)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "s3: the server was run or closed before")
	}
	defer over()
	defer s.cancel()

	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		s.listener.Cut()
		return fmt.Errorf("s3: serving: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Grace)
	defer cancel()
	if s.http.ShutdownWithContext(last) != nil {
		s.log.Warn("requests were cut off", "connections", s.listener.Open(), "after", s.opts.Grace)
		s.listener.Cut()
		s.drained(s.opts.Grace)
	}
	<-served
	return nil
}

// entered is fasthttp's ConnState hook. The state of a new connection is set already.
func entered(nc net.Conn, s fasthttp.ConnState) {
	switch s {
	case fasthttp.StateActive:
		guard.Enter(nc, guard.InHeader)
	case fasthttp.StateIdle:
		guard.Enter(nc, guard.Idle)
	}
}

// drained waits until the last handler is back; one that hangs in its backend is left to it.
func (s *Server) drained(atMost time.Duration) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(atMost); s.listener.Open() > 0 && time.Now().Before(end); <-tick.C {
	}
}

// Close stops Run and waits for it. It may be called more than once, and without Run.
func (s *Server) Close() error {
	s.cancel()
	if !s.turn.Close() {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("s3: closing: %w", err)
		}
	}
	return nil
}

// ready tells whether the server answers and the gateway behind it can.
func (s *Server) ready() error {
	if !s.turn.Running() {
		return mesh.Errorf(mesh.Unavailable, "the gateway does not run")
	}
	return s.opts.Ready()
}

// quiet is fasthttp's log: clients that break off, and what they sent.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) { q.log.Debug(fmt.Sprintf(format, args...)) }
