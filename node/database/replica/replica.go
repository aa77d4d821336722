package replica

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	cmted "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
	"golang.org/x/net/netutil"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/tlsid"
)

// A Replica is one running member of a cell. One process runs one: CometBFT can take its process down.
type Replica struct {
	config Config
	opts   Options
	cell   *cell
	own    int // place among the members
	log    *slog.Logger

	answerKey ed25519.PrivateKey
	db        *pebble.DB
	files     *files
	exports   *exports
	app       *app
	stores    *consensus.Stores
	engine    *node.Node
	listener  net.Listener
	submits   chan struct{} // a place for each transaction that is waited for
	turns     *turns[mesh.DatabaseID]
	large     *turns[mesh.Account] // for queries whose requests are large
	waits     *waits
}

// storeOptions of the cell's own state.
var storeOptions = pebbledb.Options{Cache: 8 << 20, MemTable: 2 << 20}

// New opens the replica in home, which Init and WriteConfig have made. Close it, whether Run was called or not.
func New(home string, opts Options, log *slog.Logger) (r *Replica, err error) {
	c, err := ReadConfig(home)
	if err != nil {
		return nil, err
	}
	opts = opts.of(c)
	if err := opts.validate(); err != nil {
		return nil, err
	}
	r = &Replica{config: c, opts: opts, cell: &cell{config: c, domain: c.Domain(), rules: opts.Rules}, log: log,
		submits: make(chan struct{}, opts.Submits), turns: newTurns[mesh.DatabaseID](opts.Queries), large: newTurns[mesh.Account](opts.LargeQueries), waits: newWaits(opts.Waits)}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if interrupted(home) {
		return r, mesh.Errorf(mesh.Conflict, "%s holds a part of a checkpoint: join again", home)
	}
	id, err := Init(home)
	if err != nil {
		return r, err
	}
	place, ok := r.cell.member(id.AnswerKey)
	if !ok || c.Members[place].ConsensusKey != id.ConsensusKey {
		return r, mesh.Errorf(mesh.Denied, "the keys in %s are of no member of cell %s", home, c.Cell)
	}
	r.own = place
	if r.answerKey, err = keyfile.Read(filepath.Join(home, answerFile)); err != nil {
		return r, err
	}
	if r.listener, err = httpserve.Listen(c.Service); err != nil {
		return r, err
	}
	r.listener = netutil.LimitListener(r.listener, opts.Connections)
	if r.db, err = pebbledb.Open(filepath.Join(home, stateDir), storeOptions); err != nil {
		return r, err
	}
	return r, r.assemble(home)
}

func (r *Replica) assemble(home string) error {
	genesis, err := r.config.Genesis(r.opts.Rules)
	if err != nil {
		return err
	}
	r.files = newFiles(filepath.Join(home, filesDir), r.opts.Engine)
	if r.exports, err = newExports(filepath.Join(home, exportsDir), r.opts.ExportKeep, r.log); err != nil {
		return err
	}
	b, err := newBackups(filepath.Join(home, backupsDir), r.exports, r.opts, r.log)
	if err != nil {
		return err
	}
	if r.app, err = newApp(r.cell, genesis.AppState, genesis.AppHash, r.db, r.files, r.exports, b, r.opts, r.log); err != nil {
		return err
	}
	cfg := consensus.Config(filepath.Join(home, consensusDir))
	cfg.Moniker = r.config.Members[r.own].Node.String()
	cfg.P2P.ListenAddress = "tcp://" + r.config.Peer
	cfg.P2P.ExternalAddress = r.config.Members[r.own].Peer
	cfg.P2P.PersistentPeers = r.config.peers(r.config.Members[r.own].AnswerKey)
	cfg.P2P.MaxNumInboundPeers, cfg.P2P.MaxNumOutboundPeers = len(r.config.Members), len(r.config.Members)
	cfg.Consensus.CreateEmptyBlocks = true
	cfg.Consensus.CreateEmptyBlocksInterval = r.opts.IdleBlock
	cfg.Mempool.MaxTxBytes = database.MaxTx
	cfg.Mempool.Size = 2*database.MaxCellDatabases*r.opts.Pending + 1024 // of as many accounts as databases
	cfg.Mempool.MaxTxsBytes = int64(2*database.MaxCellDatabases*r.opts.PendingBytes + 16<<20)
	cfg.Mempool.CacheSize = 16 << 10 // of what came not long ago; it is made at once
	cfg.Mempool.Recheck = true       // what is too old leaves
	signer, err := consensus.Key(cfg)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(home, joinedFile)); err == nil {
		if err := joined(cfg); err != nil {
			return err
		}
	}
	r.stores = new(consensus.Stores)
	r.engine, err = node.NewNode(cfg, signer, &p2p.NodeKey{PrivKey: cmted.PrivKey(r.answerKey)},
		proxy.NewConnSyncLocalClientCreator(r.app), func() (*types.GenesisDoc, error) { return genesis, nil },
		r.stores.Open, node.DefaultMetricsProvider(cfg.Instrumentation), consensus.Log(r.log.With("part", "consensus")))
	if err != nil {
		return errors.Join(fmt.Errorf("starting consensus: %w", err), r.app.failure())
	}
	return r.app.resume(r.own)
}

// Address is where the service listens.
func (r *Replica) Address() string { return r.listener.Addr().String() }

// Run serves until ctx ends, the parent's end is seen, or something fails. It may be called once.
func (r *Replica) Run(ctx context.Context) error {
	cert, err := tlsid.Certificate(r.answerKey)
	if err != nil {
		return err
	}
	ended, err := consensus.Ended(r.engine)
	if err != nil {
		return err
	}
	if err := r.engine.Start(); err != nil {
		return fmt.Errorf("starting consensus: %w", err)
	}
	g := lifecycle.New(ctx)
	service := httpserve.Server(r.service(), tlsid.Server(cert), r.log)
	// A request whose handler takes longer than it may take to be read is cut off.
	service.ReadTimeout, service.WriteTimeout = max(r.opts.SubmitWait, database.MaxGrowthWait+5*time.Second), 2*(r.opts.SubmitWait+r.opts.HeightWait+r.opts.QueryTime)
	err = errors.Join(
		g.Go(func(ctx context.Context) error { return httpserve.Run(ctx, service, r.listener) }),
		g.Go(func(ctx context.Context) error { return r.app.checkpoints(ctx, r.seal, r.submitOwn) }),
		g.Go(func(ctx context.Context) error { return r.follow(ctx, ended) }),
		g.Go(r.overtaken),
		g.Go(r.closeUnused),
		g.Go(r.stop),
		g.Go(r.parent),
	)
	if err = errors.Join(err, g.Wait()); errors.Is(err, errParent) {
		return nil
	}
	return err
}

// every calls f so often until ctx ends or f fails.
func every(ctx context.Context, d time.Duration, f func() error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// closeUnused closes what nobody needs for a while.
func (r *Replica) closeUnused(ctx context.Context) error {
	return every(ctx, r.opts.Unused, func() error {
		if err := r.files.closeUnused(); err != nil {
			r.log.Warn("readers were not closed", "err", err)
		}
		return nil
	})
}

// errParent ends Run and is no failure.
var errParent = errors.New("the parent has ended")

// parent fails when whoever started this process has gone.
func (r *Replica) parent(ctx context.Context) error {
	if r.opts.Parent == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { r.opts.Parent.Close() }) // so that the read ends
	defer stop()
	if _, err := io.Copy(io.Discard, r.opts.Parent); ctx.Err() == nil {
		r.log.Info("the parent has ended", "err", err)
		return errParent
	}
	return nil
}

// stop stops consensus in the end, or when the application has failed.
func (r *Replica) stop(ctx context.Context) error {
	var failed error
	select {
	case <-ctx.Done():
	case <-r.engine.Quit():
		return mesh.Errorf(mesh.Internal, "consensus stopped by itself")
	case <-r.app.failed:
		failed = r.app.failure()
	}
	return errors.Join(failed, r.stopEngine())
}

// stopEngine stops consensus, and then its connections to the application, which CometBFT leaves open.
func (r *Replica) stopEngine() error {
	err := r.engine.Stop()
	r.engine.Wait()
	return errors.Join(err, r.engine.ProxyApp().Stop())
}

// follow fails when the log is not followed any more.
func (r *Replica) follow(ctx context.Context, ended func()) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for r.engine.ConsensusReactor().WaitSync() { // it catches up first
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	ended()
	if err := r.app.failure(); err != nil {
		return err
	}
	if ctx.Err() == nil {
		return mesh.Errorf(mesh.Internal, "consensus failed; the messages before this tell why")
	}
	return nil
}

// Close stops consensus and closes the stores. It may be called more than once.
func (r *Replica) Close() error {
	var errs []error
	if r.engine != nil {
		if r.engine.IsRunning() {
			errs = append(errs, r.stopEngine())
		} else if p := r.engine.ProxyApp(); p.IsRunning() { // it was never started, but for these
			errs = append(errs, p.Stop(), r.engine.EventBus().Stop())
		}
		r.engine = nil
	}
	if r.stores != nil {
		errs = append(errs, r.stores.Close())
	}
	if r.app != nil {
		errs = append(errs, r.app.close())
		r.app = nil
	}
	if r.files != nil {
		errs = append(errs, r.files.close())
		r.files = nil
	}
	if r.listener != nil {
		if err := r.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
		r.db = nil
	}
	return errors.Join(errs...)
}
