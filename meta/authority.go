package meta

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/pebbledb"
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
	genesis           []byte // of the group, as a newcomer needs it

	stateDB, ticketsDB *pebble.DB
	app                *app
	engine             *node.Node
	tickets            *ticketOffice
	presence           *presence
	poster             Poster // nil: others post
	apiListener        net.Listener
	statusListener     net.Listener
}

// storeOptions of the state and of reserved ranges.
var storeOptions = pebbledb.Options{Cache: 16 << 20, MemTable: 4 << 20} // two tables are taken from the cache

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
	if a.apiListener, err = httpserve.Listen(c.API); err != nil {
		return a, err
	}
	if a.statusListener, err = httpserve.Listen(c.Status); err != nil {
		return a, err
	}
	if a.stateDB, err = pebbledb.Open(filepath.Join(home, stateDir), storeOptions); err != nil {
		return a, err
	}
	if a.ticketsDB, err = pebbledb.Open(filepath.Join(home, ticketsDir), storeOptions); err != nil {
		return a, err
	}
	return a, a.assemble(home)
}

func (a *Authority) assemble(home string) error {
	var err error
	if a.genesis, err = os.ReadFile(filepath.Join(home, genesisFile)); err != nil {
		return mesh.Errorf(mesh.Corrupt, "the group's genesis: %w", err)
	}
	genesis, f, err := readGenesis(a.genesis)
	if err != nil {
		return err
	}
	machine, err := state.Open(a.stateDB, a.domain, valueVerifier{}, state.Founding{TrustedBlock: f.TrustedBlock, EpochBlocks: f.EpochBlocks, CheckpointMs: f.CheckpointMs})
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
	signer, err := consensus.Key(cfg)
	if err != nil {
		return err
	}
	a.engine, err = node.NewNode(cfg, signer, nodeKey,
		proxy.NewLocalClientCreator(a.app), func() (*types.GenesisDoc, error) { return genesis, nil },
		cmtcfg.DefaultDBProvider, node.DefaultMetricsProvider(cfg.Instrumentation), consensus.Log(a.log.With("part", "consensus")))
	if err != nil {
		return fmt.Errorf("starting consensus: %w", err)
	}
	return nil
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
	api := httpserve.Server(a.api(), tlsid.Server(cert), a.log)
	status := httpserve.Pages(a.statusPages(), a.log)
	err = errors.Join(
		g.Go(func(ctx context.Context) error { return httpserve.Run(ctx, api, a.apiListener) }),
		g.Go(func(ctx context.Context) error { return httpserve.Run(ctx, status, a.statusListener) }),
		g.Go(func(ctx context.Context) error { return a.presence.run(ctx, a.app, a.enqueue) }),
		g.Go(a.watchValueLayer),
		g.Go(a.reports),
		g.Go(a.repairs),
		g.Go(a.tidy),
		g.Go(a.tellAllotments),
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
