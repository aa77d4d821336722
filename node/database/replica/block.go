package replica

import (
	"errors"

	abci "github.com/cometbft/cometbft/abci/types"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A block is one that is being applied: a transaction on each file that it touches, and a batch of the cell's own state.
type block struct {
	app     *app
	step    *step
	seed    [32]byte
	touched []*touched // in the order of their first envelopes
	byID    map[mesh.DatabaseID]*touched
	results []*told
	made    []mesh.DatabaseID // or noticed again
	dropped []mesh.DatabaseID
	asked   bool // it is a checkpoint
}

// A touched database has the block's transaction under way, or had it before this process last ended.
type touched struct {
	id     mesh.DatabaseID
	file   *file
	block  *engine.Block  // nil: the file has the block
	record *engine.Record // what the block did, where the file has it
	n      int            // programs so far
	state  *replicapb.Database
	noz    uint64 // what the block's programs cost so far
}

// digest is the database's rolling digest after the block.
func (t *touched) digest() [32]byte {
	if t.block != nil {
		return t.block.Digest()
	}
	return t.record.Digest
}

// pages is how many the file has with the block, after the block's last program.
func (t *touched) pages() (n uint64, err error) {
	if t.block != nil {
		return t.block.Seal()
	}
	s, err := t.file.Snapshot()
	if err != nil {
		return 0, err
	}
	n, err = s.Pages()
	return n, errors.Join(err, s.Close())
}

// told is what became of a transaction: what consensus agrees on, and what it is told besides.
type told struct {
	kind   uint32 // mesh.Kind + 1 of a refusal; 0 when it was applied
	text   string
	hint   string
	digest [32]byte // of an envelope's outcome
	gas    uint64   // that an envelope took; 0 when it had come before

	// An envelope's outcome, for who waits for it, unless it is large: then it is looked up. Of which height of the database it is.
	outcome *wirepb.Outcome
	height  int64
}

// keepOutcome is the size of outcomes that are kept for who waits for them.
const keepOutcome = 512

func (t *told) result(envelope bool) *abci.ExecTxResult {
	// Code, data and gas are in the results' hash, on which all replicas must agree. Texts are not: builds may word them differently.
	r := &abci.ExecTxResult{Code: t.kind, Log: t.text, Info: t.hint, GasUsed: int64(t.gas)}
	if t.kind == 0 && envelope {
		r.Data = t.digest[:]
	}
	return r
}

// apply runs a transaction. An error is of the disk or of this replica, after which it must not go on.
func (b *block) apply(raw []byte, hash [32]byte) (*abci.ExecTxResult, error) {
	t, refused := parse(raw)
	r := new(told)
	if refused == nil {
		switch t.kind {
		case wirepb.CellTxKind_CELL_TX_NOTICE:
			if refused = b.step.notice(t); refused == nil {
				b.noticed(t.body.(*wirepb.Notice))
			}
		case wirepb.CellTxKind_CELL_TX_SESSION:
			refused = b.step.session(t)
		case wirepb.CellTxKind_CELL_TX_REVOCATION:
			refused = b.step.revoke(t)
		case wirepb.CellTxKind_CELL_TX_CHECKPOINT:
			refused = b.step.checkpoint(t)
		case wirepb.CellTxKind_CELL_TX_ENVELOPE:
			t.verified = b.app.signed.has(hash)
			var by mesh.PublicKey
			var role grant.Role
			if by, role, refused = b.step.envelope(b.app.cell, t, b.spent(t.envelope.Database), b.step.timeMs); refused == nil && b.step.fault == nil {
				var err error
				if refused, err = b.run(t.envelope, by, role, r); err != nil {
					return nil, err
				}
			}
		case wirepb.CellTxKind_CELL_TX_PART:
			refused = b.step.part(t)
		case wirepb.CellTxKind_CELL_TX_BACKUP:
			refused = b.step.backup(t)
		}
	}
	if b.step.fault != nil {
		return nil, b.step.fault
	}
	if refused != nil {
		r.kind, r.text, r.hint = uint32(mesh.KindOf(refused))+1, refused.Error(), mesh.HintOf(refused)
	}
	b.results = append(b.results, r)
	return r.result(refused == nil && t.envelope != nil), nil
}

func (b *block) noticed(n *wirepb.Notice) {
	if id := mesh.DatabaseID(n.Database); n.State == database.Dropped {
		b.dropped = append(b.dropped, id)
	} else {
		b.made = append(b.made, id)
	}
}

// spent is what the block's programs of a database cost so far, which its record does not know yet.
func (b *block) spent(id []byte) uint64 {
	if t := b.byID[mesh.DatabaseID(id)]; t != nil {
		return t.noz
	}
	return 0
}

// run runs an envelope that may, or looks up what it did. It is refused when parts of it are missing, or when another program was
// applied under its id; err is of the disk.
func (b *block) run(e *wirepb.Envelope, by mesh.PublicKey, role grant.Role, r *told) (refused, err error) {
	t, err := b.touch(mesh.DatabaseID(e.Database))
	if err != nil {
		return nil, err
	}
	id, sent := programID(by, e.Id), database.SentDigest(e)
	statements := e.Statements
	pay := func(read uint64) { // of parts that were read for nothing
		t.state.Usage.BytesIn += read
		t.noz = database.SumNoz(t.noz, database.Price(t.state.Prices, &wirepb.Usage{BytesIn: read}))
	}
	if len(e.Parts) > 0 {
		if statements, refused = b.step.statements(e); refused != nil {
			known, err := t.known(id, sent)
			if err != nil || b.step.fault != nil {
				return refused, err
			}
			if !known { // else it took its parts when it came before, and has its outcome
				if mesh.KindOf(refused) != mesh.NotFound {
					pay(b.step.forgetParts(t.state.Owner, e))
				}
				return refused, nil
			}
		}
	}
	read := b.step.forgetParts(t.state.Owner, e)
	index := t.n
	var o *wirepb.Outcome
	again := false
	if t.block != nil {
		o, err = t.block.Run(&engine.Program{ID: id, Sent: sent, Statements: statements, GasLimit: e.GasLimit, View: e.View, Settings: e.Settings, Role: role, Database: t.state.Name})
		if errors.Is(err, engine.ErrTaken) {
			pay(read)
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		r.digest, again = engine.OutcomeDigest(o), t.block.Again(index)
	} else {
		// What is not the next program on record was refused; at its end the block must have had all of them.
		if index >= len(t.record.Outcomes) || t.record.Outcomes[index].ID != id || t.record.Outcomes[index].Sent != sent {
			pay(read)
			return engine.ErrTaken, nil
		}
		was := t.record.Outcomes[index]
		if o, again, r.digest = was.Outcome, was.Again, was.Digest; o == nil && !again {
			return nil, mesh.Errorf(mesh.Corrupt, "database %s does not know what envelope %d of block %d did", t.id, index, b.step.height)
		}
	}
	t.n++
	if !again && proto.Size(o) <= keepOutcome {
		r.outcome, r.height = o, b.step.height
	}
	if u, more := t.state.Usage, o.GetUsage(); !again {
		r.gas = more.GetGas()
		u.Gas += more.GetGas()
		u.Rows += more.GetRows()
		u.BytesIn += more.GetBytesIn()
		u.BytesOut += more.GetBytesOut()
		t.noz = database.SumNoz(t.noz, database.Price(t.state.Prices, more))
	}
	return nil, nil
}

// known tells whether a program came before.
func (t *touched) known(id [16]byte, sent [32]byte) (bool, error) {
	if t.block != nil {
		return t.block.Known(id, sent)
	}
	if t.n >= len(t.record.Outcomes) {
		return false, nil
	}
	next := &t.record.Outcomes[t.n]
	return next.ID == id && next.Sent == sent && next.Again, nil
}

// touch begins the block on a database's file, if the file does not have it.
func (b *block) touch(id mesh.DatabaseID) (*touched, error) {
	if t := b.byID[id]; t != nil {
		return t, nil
	}
	state := b.step.database(id[:])
	if state != nil {
		b.app.files.add(id, state.Dialect) // a notice of this same block may have made it
	}
	f, err := b.app.files.use(id)
	if err != nil {
		return nil, err
	}
	t := &touched{id: id, file: f, state: state}
	b.touched, b.byID[id] = append(b.touched, t), t
	if b.step.fault != nil {
		return nil, b.step.fault
	}
	height := uint64(b.step.height)
	switch at := f.Height(); {
	case at > height:
		return nil, mesh.Errorf(mesh.Corrupt, "database %s is at height %d, ahead of the log's %d", id, at, height)
	case at == height:
		t.record, err = f.Recorded(height)
	case at != uint64(t.state.Height):
		return nil, mesh.Errorf(mesh.Corrupt, "database %s is at height %d, and should be at %d", id, at, t.state.Height)
	default:
		t.block, err = f.Begin(engine.Header{Height: height, TimeMs: b.step.timeMs, Seed: b.seed})
	}
	return t, err
}

// end completes the block's batch, after all of its transactions.
func (b *block) end() error {
	for _, t := range b.touched {
		if t.block == nil && t.n != len(t.record.Outcomes) {
			return mesh.Errorf(mesh.Corrupt, "database %s has block %d, and another than the log", t.id, b.step.height)
		}
		// A notice of this same block may have changed it.
		d := b.step.database(t.id[:])
		if b.step.fault != nil {
			return b.step.fault
		}
		sum := t.digest()
		d.Usage, d.Height, d.Digest = t.state.Usage, b.step.height, sum[:]
		pages, err := t.pages()
		if err != nil {
			return err
		}
		b.step.charge(d, t.noz)
		b.step.hold(d) // as many pages as there were until now
		d.Pages = pages
		b.step.put(key(databaseKey, t.id[:]), d)
	}
	b.step.sweep()
	b.step.sweepEnded()
	b.step.sweepParts()
	b.step.put([]byte{tipKey}, &replicapb.Tip{Height: b.step.height, TimeMs: b.step.timeMs})
	if b.step.due() {
		b.asked = true
		b.step.ask()
	}
	return b.step.fault
}

// commit puts the block on the disk: first each file, then the state, whose height is that of the replica. What is killed in
// between finds files that have the block already.
func (b *block) commit() error {
	for _, t := range b.touched {
		if t.block != nil {
			if err := t.block.Commit(); err != nil {
				return err
			}
			b.app.opts.reached("file")
		}
	}
	b.app.opts.reached("files")
	if err := b.step.batch.Commit(b.app.sync); err != nil {
		return err
	}
	b.app.opts.reached("state")
	return nil
}

// release gives back what the block holds, and undoes it where it was not committed.
func (b *block) release() error {
	var errs []error
	for _, t := range b.touched {
		if t.block != nil {
			errs = append(errs, t.block.Discard())
		}
		errs = append(errs, b.app.files.done(t.id))
	}
	b.touched, b.byID = nil, nil
	return errors.Join(append(errs, b.step.batch.Close())...)
}
