package meta

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/tlsid"
)

// An Authority is one running member of a group. One process runs one.
type Authority struct {
	config   Config
	identity Identity
	log      *slog.Logger
	domain   sign.Domain

	reportKey, tlsKey ed25519.PrivateKey

	stateDB, ticketsDB *pebble.DB
	app                *app
	engine             *node.Node
	tickets            *ticketOffice
	presence           *presence
	poster             Poster // nil: others post
	apiListener        net.Listener
	statusListener     net.Listener
}

// New opens the authority in home. Without a poster it signs reports and leaves posting them to others. Close it, whether
// Run was called or not.
func New(home string, poster Poster, log *slog.Logger) (a *Authority, err error) {
	c, err := ReadConfig(home)
	if err != nil {
		return nil, err
	}
	a = &Authority{config: c, log: log, poster: poster, domain: sign.Domain{Network: c.Network, Group: c.Group}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.identity, err = Init(home); err != nil {
		return a, err
	}
	if a.reportKey, err = keyfile.Read(filepath.Join(home, reportKeyFile)); err != nil {
		return a, err
	}
	if a.tlsKey, err = keyfile.Read(filepath.Join(home, tlsKeyFile)); err != nil {
		return a, err
	}
	if a.apiListener, err = listen(c.API); err != nil {
		return a, err
	}
	if a.statusListener, err = listen(c.Status); err != nil {
		return a, err
	}
	if a.stateDB, err = openStore(filepath.Join(home, stateDir)); err != nil {
		return a, err
	}
	if a.ticketsDB, err = openStore(filepath.Join(home, ticketsDir)); err != nil {
		return a, err
	}
	return a, a.assemble(home)
}

func (a *Authority) assemble(home string) error {
	genesis, err := types.GenesisDocFromFile(filepath.Join(home, genesisFile))
	if err != nil {
		return mesh.Errorf(mesh.Corrupt, "the group's genesis: %w", err)
	}
	f, err := readFounding(genesis)
	if err != nil {
		return err
	}
	machine, err := state.Open(a.stateDB, a.domain, valueVerifier{}, state.Founding{TrustedBlock: f.TrustedBlock, EpochBlocks: f.EpochBlocks})
	if err != nil {
		return err
	}
	a.app = newApp(a.domain, machine, a.log)
	a.tickets = newTicketOffice(a.domain, a.identity.ID, a.reportKey, a.ticketsDB)
	a.presence = newPresence(a.domain, a.reportKey, time.Now)
	cfg := consensusConfig(home)
	cfg.Moniker = a.config.Name
	cfg.P2P.ListenAddress = "tcp://" + a.config.P2P
	for i, p := range a.config.Peers {
		if i > 0 {
			cfg.P2P.PersistentPeers += ","
		}
		cfg.P2P.PersistentPeers += p
	}
	nodeKey, err := p2p.LoadNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return fmt.Errorf("reading the consensus peer key: %w", err)
	}
	signer, err := consensusKey(cfg)
	if err != nil {
		return err
	}
	a.engine, err = node.NewNode(cfg, signer, nodeKey,
		proxy.NewLocalClientCreator(a.app), func() (*types.GenesisDoc, error) { return genesis, nil },
		cmtcfg.DefaultDBProvider, node.DefaultMetricsProvider(cfg.Instrumentation), cometLog{a.log.With("part", "consensus")})
	if err != nil {
		return fmt.Errorf("starting consensus: %w", err)
	}
	return nil
}

// listen is net.Listen with an error that says what to do.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "cannot listen on %s: %w", addr, err), "stop what holds the port, or choose another")
	}
	return l, nil
}

// openStore opens one of the authority's stores, small: most of what it holds is read from the system's cache.
func openStore(dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(16 << 20)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{Cache: cache, MemTableSize: 8 << 20, Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return db, nil
}

// Run serves until ctx ends or something fails. It may be called once.
func (a *Authority) Run(ctx context.Context) error {
	if err := a.engine.Start(); err != nil {
		return fmt.Errorf("starting consensus: %w", err)
	}
	cert, err := tlsid.Certificate(a.tlsKey)
	if err != nil {
		return err
	}
	g := lifecycle.New(ctx)
	api := &http.Server{Handler: a.api(), TLSConfig: tlsid.Server(cert), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	status := &http.Server{Handler: a.statusPages(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	err = errors.Join(
		g.Go(func(ctx context.Context) error {
			return serve(ctx, api, func() error { return api.ServeTLS(a.apiListener, "", "") })
		}),
		g.Go(func(ctx context.Context) error {
			return serve(ctx, status, func() error { return status.Serve(a.statusListener) })
		}),
		g.Go(func(ctx context.Context) error { return a.presence.run(ctx, a.app, a.enqueue) }),
		g.Go(a.watchValueLayer),
		g.Go(a.reports),
		g.Go(a.repairs),
		g.Go(a.tidy),
		g.Go(func(ctx context.Context) error {
			select {
			case <-a.engine.Quit():
				return mesh.Errorf(mesh.Internal, "consensus stopped by itself")
			case <-ctx.Done():
				return nil
			}
		}),
	)
	return errors.Join(err, g.Wait())
}

// serve runs a server until ctx ends, then gives requests under way a moment.
func serve(ctx context.Context, s *http.Server, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	<-done
	return nil
}

// enqueue submits a transaction of this authority and does not wait for it.
func (a *Authority) enqueue(raw []byte) error {
	return a.engine.Mempool().CheckTx(raw, nil, mempool.TxInfo{})
}

// isCached tells whether the mempool refused a transaction because it has it already.
func isCached(err error) bool { return errors.Is(err, mempool.ErrTxInCache) }

// tidy drops what has ended from the ticket office.
func (a *Authority) tidy(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			if err := a.tickets.forget(now.Add(-time.Hour).UnixMilli()); err != nil {
				return err
			}
		}
	}
}

// Close stops consensus and closes the stores. It may be called more than once.
func (a *Authority) Close() error {
	var errs []error
	if a.engine != nil && a.engine.IsRunning() {
		errs = append(errs, a.engine.Stop())
		a.engine.Wait()
	}
	if a.app != nil {
		a.app.close()
		a.app = nil
	}
	for _, l := range []net.Listener{a.apiListener, a.statusListener} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	for _, db := range []**pebble.DB{&a.stateDB, &a.ticketsDB} {
		if *db != nil {
			errs = append(errs, (*db).Close())
			*db = nil
		}
	}
	return errors.Join(errs...)
}

// quiet drops Pebble's messages about its own housekeeping; what goes wrong comes back as an error.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...)) // the store cannot go on; the supervisor starts the process again
}

// cometLog passes CometBFT's warnings and errors on; its other messages are too many to be read.
type cometLog struct{ log *slog.Logger }

func (l cometLog) Debug(string, ...any)         {}
func (l cometLog) Info(string, ...any)          {}
func (l cometLog) Warn(msg string, kv ...any)   { l.log.Warn(msg, kv...) }
func (l cometLog) Error(msg string, kv ...any)  { l.log.Error(msg, kv...) }
func (l cometLog) With(kv ...any) cmtlog.Logger { return cometLog{l.log.With(kv...)} }
