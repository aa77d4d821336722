// Package gateway runs a gateway: it translates between the protocols that people's tools speak and the mesh, under grants
// that are sealed to it, and keeps nothing but its own key. Anybody may run one.
//
// What it is trusted with is what these grants allow. cmd/stratos and devnet call it.
package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	nethttp "net/http"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/function"
	"github.com/stratosmesh/stratos/gateway/app"
	"github.com/stratosmesh/stratos/gateway/databases"
	"github.com/stratosmesh/stratos/gateway/http"
	"github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// A Gateway is one running gateway. One process runs one.
type Gateway struct {
	config  Config
	log     *slog.Logger
	key     ed25519.PrivateKey
	keyring *client.Keyring
	backend *s3.Backend
	s3      *s3.Server
	http    *http.Server      // nil: none
	sql     *postgres.Server  // nil: none
	rows    *databases.Server // nil: none
	sweeper *s3.Sweeper
	runner  *function.Runner // nil: none
	apps    *app.Apps        // nil: none
	status  net.Listener
	access  *accessLog    // nil: none
	began   chan struct{} // closed when it is ready for the first time

	mu  sync.Mutex
	why string // not ready
}

// Options of a gateway.
type Options struct {
	Rules compute.Digest // by which calls of functions run
}

// New opens the gateway in a home. Close it, whether Run was called or not.
func New(home string, o Options, log *slog.Logger) (g *Gateway, err error) {
	c, err := ReadConfig(home)
	if err != nil {
		return nil, err
	}
	g = &Gateway{config: c, log: log, why: "no authority has answered yet", began: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if g.key, err = ReadKey(home); err != nil {
		return g, err
	}
	if g.keyring, err = client.NewKeyring(sign.Domain{Network: c.Network, Group: c.Group}, g.key, c.Authorities); err != nil {
		return g, err
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	debug.SetMemoryLimit(int64(c.Memory + otherMemory))
	memory := client.NewMemory(c.Memory)
	if g.backend, err = s3.NewBackend(keys{g.keyring}, log, s3.BackendOptions{Authorities: c.Authorities, Memory: memory}); err != nil {
		return g, err
	}
	listen := listener{filepath.Join(home, configFile)}
	if g.status, err = listen.open(address{"status", "status", c.Status}, nil); err != nil {
		return g, err
	}
	registry := prometheus.NewRegistry()
	if g.sweeper, err = s3.NewSweeper(g.backend, log, s3.SweepOptions{Every: time.Duration(c.LifecycleEvery), Registry: registry}); err != nil {
		return g, err
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stratos_gateway_object_bytes", Help: "Memory that holds objects on the move."},
		func() float64 { return float64(memory.Held()) }))
	opts := s3.Options{Domain: c.Domain, Ready: g.ready, Registry: registry}
	if c.AccessLog != "" {
		if g.access, err = newAccessLog(logPath(home, c), log, registry); err != nil {
			return g, err
		}
		opts.AccessLog = g.access
	}
	var secure *tls.Config
	switch {
	case c.ACME != nil:
		if secure, err = g.byACME(filepath.Join(home, acmeDir)); err != nil {
			return g, err
		}
	case c.Cert != "":
		if secure, err = certificate(c.Cert, c.CertKey, log); err != nil {
			return g, err
		}
	}
	l, err := listen.open(address{"s3", "S3", c.S3}, secure)
	if err != nil {
		return g, err
	}
	if g.s3, err = s3.New(l, g.backend, keys{g.keyring}, log, opts); err != nil {
		return g, err
	}
	if c.Postgres != "" {
		if l, err = listen.open(address{"postgres", "Postgres", c.Postgres}, nil); err != nil {
			return g, err
		}
		if g.sql, err = postgres.New(l, accessKeys{g.keyring}, wireDatabases{g.backend, log}, log, postgres.Options{TLS: secure, Registry: registry}); err != nil {
			return g, err
		}
	}
	if c.Databases != "" {
		if l, err = listen.open(address{"databases", "databases", c.Databases}, secure); err != nil {
			return g, err
		}
		if g.rows, err = databases.New(l, httpDatabases{g.keyring, g.backend, log}, log, databases.Options{Registry: registry, AccessLog: opts.AccessLog}); err != nil {
			return g, err
		}
	}
	if c.HTTP == "" {
		return g, nil
	}
	if l, err = listen.open(address{"http", "HTTP", c.HTTP}, secure); err != nil {
		return g, err
	}
	g.runner = function.New(function.Options{Rules: o.Rules}, log)
	if g.apps, err = app.New(g.runner, appKeys{g.keyring, g.backend, log}, log, app.Options{Gateway: c.Name, Registry: registry}); err != nil {
		return g, errors.Join(err, l.Close())
	}
	g.http, err = http.New(l, g.backend, g.keyring, log, http.Options{Domain: c.Domain, Registry: registry, AccessLog: opts.AccessLog, Apps: g.apps})
	return g, err
}

// A listener takes the addresses that the settings in a file name.
type listener struct{ settings string }

// open takes an address, and speaks TLS on it unless secure is nil.
func (x listener) open(a address, secure *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", a.at)
	change := fmt.Sprintf("choose another as %q in %s", a.name, x.settings)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "the %s address %s is taken: another program listens there", a.what, a.at), "stop that program, or %s", change)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %s is none of this machine's", a.what, a.at), "%s; 0.0.0.0 stands for every address of the machine", change)
	case errors.Is(err, fs.ErrPermission):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Denied, "this user may not listen on the %s address %s", a.what, a.at), "ports below 1024 need the right to (CAP_NET_BIND_SERVICE); or %s", change)
	case err != nil:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "cannot listen on the %s address %s: %w", a.what, a.at, err), "%s", change)
	case secure != nil:
		l = tls.NewListener(l, secure)
	}
	return l, nil
}

// keys is a keyring as the S3 front asks it.
type keys struct{ ring *client.Keyring }

func (k keys) Key(ctx context.Context, id string) (*s3.Key, error) {
	a, err := k.ring.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.Share {
		return nil, mesh.Errorf(mesh.Denied, "%s is for a link, not for programs", id)
	}
	return &s3.Key{ID: a.Name, Secret: a.Secret, Access: a.Access}, nil
}

func (k keys) Bucket(ctx context.Context, name string) (*client.Bucket, error) {
	return k.ring.Bucket(ctx, name)
}

func (k keys) Served(ctx context.Context) ([]client.ServedBucket, error) { return k.ring.Served(ctx) }

// lookEvery is how often a gateway asks whether the authorities answer.
const lookEvery = 2 * time.Second

// Run serves until ctx ends or something fails. It may be called once.
func (g *Gateway) Run(ctx context.Context) error {
	own := lifecycle.New(ctx)
	pages := httpserve.Pages(g.statusPages(g.s3.Status()), g.log)
	err := errors.Join(
		own.Go(g.s3.Run),
		own.Go(func(ctx context.Context) error { return httpserve.Run(ctx, pages, g.status) }),
		own.Go(g.look),
		own.Go(g.sweeper.Run),
	)
	if g.http != nil {
		err = errors.Join(err, own.Go(g.http.Run))
	}
	if g.apps != nil {
		err = errors.Join(err, own.Go(g.apps.Run))
	}
	if g.sql != nil {
		err = errors.Join(err, own.Go(g.sql.Run))
	}
	if g.rows != nil {
		err = errors.Join(err, own.Go(g.rows.Run))
	}
	return errors.Join(err, own.Wait())
}

// look finds out whether the gateway can serve: a key that nobody has must be known not to exist.
func (g *Gateway) look(ctx context.Context) error {
	var ready sync.Once
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for first := true; ; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
		why := ""
		if _, err := g.keyring.Open(ctx, strings.Repeat("0", 20)); mesh.KindOf(err) != mesh.NotFound {
			why = fmt.Sprint("the authorities do not answer: ", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		g.mu.Lock()
		was := g.why
		g.why = why
		g.mu.Unlock()
		switch {
		case why == "" && was != "":
			g.log.Info("ready")
			ready.Do(func() { close(g.began) })
		case why != "" && (first || was == ""):
			g.log.Warn("not ready", "why", why)
		}
	}
}

// Ready is closed once the gateway serves and the authorities have answered.
func (g *Gateway) Ready() <-chan struct{} { return g.began }

// Config is what the gateway is set up with.
func (g *Gateway) Config() Config { return g.config }

// ReopenLog opens the access log again under its name: whoever moved the file away calls for that. It does nothing when there is none.
func (g *Gateway) ReopenLog() {
	if g.access == nil {
		return
	}
	if err := g.access.reopen(); err != nil {
		g.log.Warn("the access log could not be opened again; lines go where they went", "err", err)
		return
	}
	g.log.Info("the access log was opened again", "path", g.access.path)
}

// statusPages are the pages of the status address; the first says which there are.
func (g *Gateway) statusPages(rest nethttp.Handler) nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.Handle("/", rest)
	mux.HandleFunc("GET /{$}", func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		state := "ready"
		if err := g.ready(); err != nil {
			state = "not ready: " + err.Error()
		}
		fmt.Fprintf(w, "%s, a gateway of Stratos, is %s\n\n/healthz  200 while the process runs\n/readyz   200 while it can serve, else 503 and why\n/metrics  figures for Prometheus\n", g.config.Name, state)
	})
	return mux
}

func (g *Gateway) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why != "" {
		return mesh.Errorf(mesh.Unavailable, "%s", g.why)
	}
	return nil
}

// Close ends everything. It may be called more than once.
func (g *Gateway) Close() error {
	var errs []error
	if g.s3 != nil {
		errs = append(errs, g.s3.Close())
	}
	if g.http != nil {
		errs = append(errs, g.http.Close())
	}
	if g.sql != nil {
		errs = append(errs, g.sql.Close())
	}
	if g.runner != nil {
		errs = append(errs, g.runner.Close())
	}
	if g.apps != nil { // which still writes its logs
		errs = append(errs, g.apps.Close())
	}
	if g.backend != nil {
		errs = append(errs, g.backend.Close())
		g.backend = nil
	}
	if g.keyring != nil {
		errs = append(errs, g.keyring.Close())
		g.keyring = nil
	}
	if g.status != nil {
		if err := g.status.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if g.access != nil {
		errs = append(errs, g.access.close())
		g.access = nil
	}
	return errors.Join(errs...)
}
