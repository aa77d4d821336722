package replica

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// app is the CometBFT application of a cell. Its hash never changes: what the replicas agree on are the results of transactions,
// which are in the next header, and checkpoints.
type app struct {
	abci.BaseApplication
	cell     *cell
	opts     Options
	appState []byte // of the genesis
	appHash  []byte
	log      *slog.Logger
	now      func() time.Time

	db      *pebble.DB
	sync    *pebble.WriteOptions
	files   *files
	exports *exports
	backups *backups

	// consensus calls these in order, one at a time
	block  *block
	hashes [][32]byte

	results *consensus.Results[*told]
	queue   *queue // what waits in the mempool
	signed  verifications

	jobs chan *job // checkpoints to be scanned; holds one

	gate sync.RWMutex // held for reading while consensus asks
	shut bool

	mu      sync.Mutex
	tip     *replicapb.Tip
	applied chan struct{} // closed at each commit, then replaced
	own     *wirepb.Checkpoint
	broken  error
	failed  chan struct{} // closed when broken is set
}

func newApp(c *cell, appState, appHash []byte, db *pebble.DB, f *files, e *exports, b *backups, opts Options, log *slog.Logger) (*app, error) {
	a := &app{cell: c, opts: opts, appState: appState, appHash: appHash, log: log, now: time.Now, db: db, sync: pebble.Sync, files: f, exports: e, backups: b,
		results: consensus.NewResults(func(t *told) bool { return t.kind == 0 }), queue: newQueue(opts), jobs: make(chan *job, 1),
		applied: make(chan struct{}), failed: make(chan struct{})}
	v := a.view()
	a.tip = v.tip()
	v.databases(func(id mesh.DatabaseID, d *replicapb.Database) {
		if d.State != dropped {
			f.add(id, d.Dialect)
		}
	})
	if v.fault != nil {
		return nil, v.fault
	}
	return a, errors.Join(f.tidy(), a.whole())
}

// whole looks whether each file is what the state says: of its height, or of the block whose state this process did not commit.
func (a *app) whole() error {
	var errs []error
	v := a.view()
	v.databases(func(id mesh.DatabaseID, d *replicapb.Database) {
		if d.State == dropped {
			return
		}
		f, err := a.files.use(id)
		if err != nil {
			errs = append(errs, err)
			return
		}
		if h, sum := f.Height(), f.Digest(); h != uint64(a.tip.Height+1) && (h != uint64(d.Height) || sum != rollingDigest(d)) {
			errs = append(errs, mesh.Errorf(mesh.Corrupt, "database %s is at height %d, and should be at %d", id, h, d.Height))
		}
		errs = append(errs, a.files.done(id))
	})
	return errors.Join(append(errs, v.fault)...)
}

// view reads what is committed.
func (a *app) view() *view { return &view{r: a.db} }

// fail ends the replica: it may not go on after its disk failed it, or when it holds another state than the others.
func (a *app) fail(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken == nil {
		a.broken = err
		close(a.failed)
	}
	return err
}

func (a *app) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken
}

// at returns the newest committed block, and a channel that is closed when there is a newer one.
func (a *app) at() (*replicapb.Tip, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tip, a.applied
}

// Info tells CometBFT where the state stands, so that it replays what is missing.
func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	tip, _ := a.at()
	r := &abci.ResponseInfo{Data: "stratos-cell", AppVersion: 1, LastBlockHeight: tip.Height}
	if tip.Height > 0 {
		r.LastBlockAppHash = a.appHash
	}
	return r, nil
}

// InitChain checks that the log begins with this cell's genesis.
func (a *app) InitChain(_ context.Context, r *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	if !bytes.Equal(r.AppStateBytes, a.appState) {
		return nil, mesh.Errorf(mesh.Denied, "the log's genesis is not that of cell %s", a.cell.config.Cell)
	}
	return &abci.ResponseInitChain{AppHash: a.appHash}, nil
}

// CheckTx keeps out of the mempool what would be refused anyway, and of each database what is too much at once. It decides nothing
// that the log relies on.
func (a *app) CheckTx(_ context.Context, r *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	a.gate.RLock() // a mempool goes on for a moment when its node has stopped
	defer a.gate.RUnlock()
	if a.shut {
		return &abci.ResponseCheckTx{Code: uint32(mesh.Unavailable) + 1, Log: "the replica has stopped"}, nil
	}
	hash := hashOf(r.Tx)
	again := r.Type == abci.CheckTxType_Recheck
	if err := a.precheck(r.Tx, hash, again); err != nil {
		if again {
			a.queue.leave(hash)
		}
		return &abci.ResponseCheckTx{Code: uint32(mesh.KindOf(err)) + 1, Log: err.Error(), Info: mesh.HintOf(err)}, nil
	}
	return &abci.ResponseCheckTx{GasWanted: 1}, nil
}

func (a *app) precheck(raw []byte, hash [32]byte, again bool) error {
	tip, _ := a.at()
	now := max(tip.TimeMs, a.now().UnixMilli()) // an idle cell's clock goes on with its next block
	v := a.view()
	if again {
		if w, ok := a.queue.waits(hash); ok {
			return errors.Join(v.fault, a.recheck(v, w, now))
		}
	}
	t, err := parse(raw)
	if err != nil {
		return err
	}
	c := candidateOf(nil, t)
	if again && (c.rank == rankAccount || c.rank == rankPart) {
		return nil // what has become of it a block tells; signatures are too dear to be verified for each
	}
	if t.envelope == nil {
		if err := a.try(t, now); err != nil || c.rank == rankCell {
			return err
		}
		l, until := c.lane, now+database.MaxAheadMs
		switch t.kind {
		case wirepb.CellTxKind_CELL_TX_PART:
			l[len(l)-1] = 1 // room beside that of the database's envelopes
			until = t.body.(*wirepb.ProgramPart).NotAfterMs
		case wirepb.CellTxKind_CELL_TX_REVOCATION:
			r, err := v.rights(mesh.PublicKey(t.messages[0].Key), now)
			if err := errors.Join(v.fault, err); err != nil {
				return err
			}
			l = lane(r.Account)
		}
		return a.queue.enter(hash, waiting{candidate: c, lane: l, size: t.size, notAfterMs: until}, now)
	}
	if !again {
		_, err = a.signed.signerOf(t, hash, a.cell.domain)
	}
	if err != nil {
		return err
	}
	if again {
		_, err = v.envelopeBy(a.cell, t.envelope, mesh.PublicKey(t.messages[0].Key), 0, now)
	} else {
		_, _, err = v.envelope(a.cell, t, 0, now)
	}
	if err := errors.Join(v.fault, err); err != nil || again {
		return err
	}
	e := t.envelope
	return a.queue.enter(hash, waiting{candidate: c, lane: c.lane, size: t.size, notAfterMs: e.NotAfterMs, by: mesh.PublicKey(t.messages[0].Key),
		envelope: &wirepb.Envelope{Database: e.Database, NotAfterMs: e.NotAfterMs, GasLimit: e.GasLimit, View: viewTime(e.View)}}, now)
}

// recheck looks at what waits when the state has changed, without reading all of it again.
func (a *app) recheck(v *view, w waiting, nowMs int64) error {
	if w.envelope == nil {
		return nil // what has become of it a block tells
	}
	_, err := v.envelopeBy(a.cell, w.envelope, w.by, 0, nowMs)
	return err
}

// try applies a transaction that is no envelope, and forgets what it did.
func (a *app) try(t *transaction, nowMs int64) (err error) {
	batch := a.db.NewIndexedBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	s := &step{view: view{r: batch}, batch: batch, cell: a.cell, timeMs: nowMs}
	switch t.kind {
	case wirepb.CellTxKind_CELL_TX_NOTICE:
		err = s.notice(t)
	case wirepb.CellTxKind_CELL_TX_SESSION:
		err = s.session(t)
	case wirepb.CellTxKind_CELL_TX_REVOCATION:
		err = s.revoke(t)
	case wirepb.CellTxKind_CELL_TX_CHECKPOINT:
		err = s.checkpoint(t)
	case wirepb.CellTxKind_CELL_TX_PART:
		err = s.part(t)
	case wirepb.CellTxKind_CELL_TX_BACKUP:
		err = s.backup(t)
	}
	return errors.Join(s.fault, err)
}

// PrepareProposal chooses among all that waits. A block has the time of the votes for the block before, which in an idle cell is
// long ago: then an empty block comes first, and the envelopes in the next, with the time that it is.
func (a *app) PrepareProposal(_ context.Context, r *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	if a.now().Sub(r.Time) > a.opts.Stale {
		return &abci.ResponsePrepareProposal{}, nil
	}
	var all []candidate
	for _, raw := range r.Txs {
		c, ok := a.queue.find(hashOf(raw))
		if !ok {
			t, err := parse(raw)
			if err != nil {
				continue
			}
			c = candidateOf(raw, t)
		}
		c.raw = raw
		all = append(all, c)
	}
	v := a.view()
	v.since(all)
	if v.fault != nil {
		return nil, a.fail(v.fault)
	}
	resp := new(abci.ResponsePrepareProposal)
	for _, c := range arrange(r.Height, a.cell.rules, all) {
		resp.Txs = append(resp.Txs, c.raw)
	}
	return resp, nil
}

// ProcessProposal refuses blocks that take more than the rules allow, or not in turn. It asks no clock: a block that some are bound
// to already must not become wrong for the others.
func (a *app) ProcessProposal(_ context.Context, r *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	v := a.view()
	ok := fair(r.Height, a.cell.rules, v, r.Txs, a.queue.find)
	if v.fault != nil {
		return nil, a.fail(v.fault)
	}
	if !ok {
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock applies a decided block.
func (a *app) FinalizeBlock(_ context.Context, r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	resp, err := a.finalize(r)
	if err != nil {
		return nil, a.fail(err)
	}
	return resp, nil
}

func (a *app) finalize(r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	if err := a.discard(); err != nil {
		return nil, err
	}
	tip, _ := a.at()
	if r.Height != tip.Height+1 {
		return nil, mesh.Errorf(mesh.Internal, "block %d does not follow height %d", r.Height, tip.Height)
	}
	batch := a.db.NewIndexedBatch()
	a.block = &block{app: a, seed: seedOf(r.Height, r.Hash), byID: map[mesh.DatabaseID]*touched{},
		step: &step{view: view{r: batch}, batch: batch, cell: a.cell, height: r.Height, timeMs: max(r.Time.UnixMilli(), tip.TimeMs)}}
	resp := &abci.ResponseFinalizeBlock{AppHash: a.appHash}
	a.hashes = a.hashes[:0]
	for _, raw := range r.Txs {
		hash := hashOf(raw)
		a.hashes = append(a.hashes, hash)
		res, err := a.block.apply(raw, hash)
		if err != nil {
			return nil, err
		}
		resp.TxResults = append(resp.TxResults, res)
	}
	return resp, a.block.end()
}

// discard undoes a block that was not committed.
func (a *app) discard() error {
	b := a.block
	if b == nil {
		return nil
	}
	a.block = nil
	return b.release()
}

// Commit makes the applied block the state, and wakes who waited for it.
func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	if err := a.commit(); err != nil {
		return nil, a.fail(err)
	}
	return &abci.ResponseCommit{RetainHeight: a.exports.retain(a.opts.JoinBlocks)}, nil
}

func (a *app) commit() error {
	b := a.block
	if err := b.commit(); err != nil {
		return err // whether the block is on the disk, the next start finds out
	}
	if err := a.discard(); err != nil {
		return err
	}
	v := a.view()
	for _, id := range b.made {
		if d := v.database(id[:]); d != nil {
			a.files.add(id, d.Dialect)
		}
	}
	if v.fault != nil {
		return v.fault
	}
	for _, id := range b.dropped {
		if err := a.files.drop(id); err != nil {
			return err
		}
	}
	if b.asked {
		if err := a.checkpoint(); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.tip = &replicapb.Tip{Height: b.step.height, TimeMs: b.step.timeMs}
	close(a.applied)
	a.applied = make(chan struct{})
	a.mu.Unlock()
	for _, h := range a.hashes {
		a.queue.leave(h)
	}
	a.results.Tell(b.step.height, a.hashes, b.results)
	if b.step.certified {
		return errors.Join(a.compare(), a.noteCertificate())
	}
	return nil
}

// close undoes the block under way, and gives back what waits to be read; consensus has stopped.
func (a *app) close() error {
	a.gate.Lock()
	defer a.gate.Unlock()
	a.shut = true
	err := a.discard()
	select {
	case j := <-a.jobs:
		err = errors.Join(err, a.unpin(j))
	default:
	}
	return err
}

// viewTime is a view's time alone.
func viewTime(v *wirepb.View) *wirepb.View {
	if v == nil {
		return nil
	}
	return &wirepb.View{TimeMs: v.TimeMs}
}
