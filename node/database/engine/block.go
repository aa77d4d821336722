package engine

import (
	"errors"
	"strconv"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Header is what a block brings to its programs.
type Header struct {
	Height uint64
	TimeMs int64    // never before that of the block before
	Seed   [32]byte // that no author of a program could choose
}

// A Block is one transaction on the file. End it with Commit or Discard. It belongs to one goroutine.
type Block struct {
	db      *DB
	header  Header
	at      state // after the programs so far
	entries []*entry
	byID    map[[16]byte]int
	sealed  bool // its record is written
	ended   bool
}

// An entry is a program of the block and what became of it.
type entry struct {
	plan              *plan
	outcome           *wirepb.Outcome
	digest            [32]byte
	again             bool // came before, at
	ofHeight, ofIndex uint64
	last              *attempt // that went well and wrote; else nil
}

// Begin begins a block, after the block that is under way. Conflict: the file has this height; ask Recorded.
func (db *DB) Begin(h Header) (*Block, error) {
	db.takeTurn()
	b, err := db.begin(h)
	if err != nil {
		db.turn <- struct{}{}
	}
	return b, err
}

func (db *DB) begin(h Header) (*Block, error) {
	if err := db.ready(); err != nil {
		return nil, err
	}
	at := db.state()
	if h.Height <= at.height {
		return nil, mesh.Errorf(mesh.Conflict, "block %d was applied: the database is at %d", h.Height, at.height)
	}
	if h.Height > 1<<62 || h.TimeMs < at.timeMs || h.TimeMs > maxTimeMs {
		return nil, mesh.Errorf(mesh.Invalid, "block %d at %d ms: the block before is of %d ms", h.Height, h.TimeMs, at.timeMs)
	}
	at.height, at.timeMs = h.Height, h.TimeMs
	b := &Block{db: db, header: h, at: at, byID: map[[16]byte]int{}}
	if err := b.open(); err != nil {
		return nil, db.fail(err)
	}
	return b, nil
}

func (b *Block) open() error {
	c := b.db.writer
	if err := c.exec("PRAGMA max_page_count=" + strconv.Itoa(b.db.opts.Limits.Pages)); err != nil {
		return err
	}
	return c.exec("BEGIN IMMEDIATE")
}

// Run runs a program, and returns what became of it. A program that ran before has the outcome that it had then. ErrTaken: another
// program has its id, and nothing has happened. Any other error is of the file: the database has stopped, and the block is to be
// discarded. The outcome is not to be changed.
func (b *Block) Run(p *Program) (*wirepb.Outcome, error) {
	if err := b.usable(); err != nil {
		return nil, err
	}
	if b.sealed {
		return nil, mesh.Errorf(mesh.Internal, "the block is sealed")
	}
	e, err := b.run(p)
	if errors.Is(err, ErrTaken) {
		return nil, err
	}
	if err != nil {
		return nil, b.db.fail(err)
	}
	e.digest = OutcomeDigest(e.outcome)
	b.at.digest = fold(b.at.digest, b.header.Height, uint64(len(b.entries)), e.plan.digest, e.outcome)
	if !e.again {
		b.byID[p.ID] = len(b.entries)
	}
	b.entries = append(b.entries, e)
	return clone(e.outcome), nil
}

func (b *Block) run(p *Program) (*entry, error) {
	digest := p.Digest()
	index := uint64(len(b.entries))
	pl := planned(p, &b.db.opts.Limits, b.header.TimeMs, deriveSeed(b.header.Seed[:], b.header.Height, index, digest))
	pl.digest, pl.height = digest, b.header.Height
	e := &entry{plan: pl}
	if i, ok := b.byID[p.ID]; ok {
		if b.entries[i].plan.p.Sent != p.Sent {
			return nil, ErrTaken
		}
		e.outcome, e.again, e.ofHeight, e.ofIndex = b.entries[i].outcome, true, b.header.Height, uint64(i)
		return e, nil
	}
	first, err := recorded(b.db.writer, p.ID)
	if err != nil {
		return nil, err
	}
	if first != nil {
		if !first.is(p.Sent) {
			return nil, ErrTaken
		}
		e.outcome, e.again, e.ofHeight, e.ofIndex = first.outcome, true, first.height, first.index
		return e, nil
	}
	var last *attempt
	if e.outcome, last, err = execute(b.db.writer, pl, never, b.redo); err != nil {
		return nil, err
	}
	if last != nil && last.code == "" && last.wrote {
		last.result = nil // its digests are enough
		e.last = last
	}
	return e, nil
}

// ErrTaken is of an id under which another program is on record.
var ErrTaken = mesh.WithHint(mesh.Errorf(mesh.Conflict, "another program was applied under this id"), "give each program an id of its own, or none")

// Known tells whether a program came before, in this block or as long ago as there is a record. An error is of the file, as Run's.
func (b *Block) Known(id [16]byte, sent [32]byte) (bool, error) {
	if err := b.usable(); err != nil {
		return false, err
	}
	if i, ok := b.byID[id]; ok {
		return b.entries[i].plan.p.Sent == sent, nil
	}
	first, err := recorded(b.db.writer, id)
	if err != nil {
		return false, b.db.fail(err)
	}
	return first != nil && first.is(sent), nil
}

// redo makes the block's transaction again as it was, after SQLite gave it up.
func (b *Block) redo() error {
	c := b.db.writer
	if err := b.open(); err != nil {
		return err
	}
	for _, e := range b.entries {
		if e.last == nil {
			continue
		}
		a := &attempt{conn: c, plan: e.plan, tier: e.last.tier, limit: e.last.limit}
		if err := c.exec("SAVEPOINT program"); err != nil {
			return err
		}
		if err := a.run(never, false); err != nil {
			return err
		}
		if c.outside() || a.code != "" || a.gas != e.last.gas || !equal(a.sums, e.last.sums) {
			return mesh.Errorf(mesh.Internal, "a program ended otherwise when it ran again")
		}
		if a.before != nil {
			c.flush()
		}
		if err := c.exec("RELEASE program"); err != nil {
			return err
		}
	}
	return nil
}

func equal(a, b [][32]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (b *Block) usable() error {
	if b.ended {
		return mesh.Errorf(mesh.Internal, "the block has ended")
	}
	return b.db.ready()
}

// Seal writes the block's record, after its last program, and returns how many pages the file has with it. An error is of the file.
func (b *Block) Seal() (pages uint64, err error) {
	if err := b.usable(); err != nil {
		return 0, err
	}
	if err := b.seal(); err != nil {
		return 0, b.db.fail(err)
	}
	if pages, err = b.db.writer.pages(); err != nil {
		return 0, b.db.fail(err)
	}
	return pages, nil
}

func (b *Block) seal() error {
	if b.sealed {
		return nil
	}
	b.sealed = true
	// The record has room where programs have none any more.
	if err := b.db.writer.exec("PRAGMA max_page_count=4294967294"); err != nil {
		return err
	}
	if d := b.db.writer.dialect; d != nil {
		if err := d.Seal(b.db.writer, b.header.Height, b.header.TimeMs); err != nil {
			return err
		}
	}
	return b.write()
}

// Again tells whether a program of the block, by its place, had come before.
func (b *Block) Again(index int) bool { return b.entries[index].again }

// Digest is the rolling digest after the programs so far.
func (b *Block) Digest() [32]byte { return b.at.digest }

// Commit puts the block and its record on the disk, sealed or not. After an error the database has stopped, and the block may be on the
// disk or not: the next Open tells.
func (b *Block) Commit() error {
	if err := b.usable(); err != nil {
		return errors.Join(err, b.Discard())
	}
	b.ended = true
	defer func() { b.db.turn <- struct{}{} }()
	c := b.db.writer
	for _, f := range []func() error{b.seal, b.db.unpin, func() error { return c.exec("COMMIT") }} {
		if err := f(); err != nil {
			c.flush()
			return b.db.fail(err)
		}
	}
	b.db.mu.Lock()
	b.db.at, b.db.committing = b.at, false
	b.db.mu.Unlock()
	return nil
}

// Discard undoes the block. It does nothing after the block's end.
func (b *Block) Discard() error {
	if b.ended {
		return nil
	}
	b.ended = true
	defer func() { b.db.turn <- struct{}{} }()
	c := b.db.writer
	c.flush()
	if c.outside() {
		return nil
	}
	if err := c.exec("ROLLBACK"); err != nil {
		return b.db.fail(err)
	}
	return nil
}
