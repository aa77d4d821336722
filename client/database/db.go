package database

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Session is who asks: a key, and the grants under which it acts. Dialer shows the key.
type Session struct {
	Domain sign.Domain
	Key    ed25519.PrivateKey
	Chain  *wirepb.Chain
	Dialer *transfer.Dialer
	// Role is as whom the chain uses the database.
	Role grant.Role

	// Background runs what outlives a call, until the session's owner ends. Without it fast answers are not asked again, and evidence
	// is handed to nobody.
	Background func(func(ctx context.Context) error) error
	// Report hands evidence to the meta layer.
	Report func(ctx context.Context, e Evidence) error
}

// A Cell is who answers for a database: 3f+1 replicas.
type Cell struct {
	ID      mesh.CellID
	Version uint32 // of its members
	Members []Member
}

// A Member is a replica of a cell.
type Member struct {
	Node    mesh.NodeID
	Key     mesh.PublicKey // it signs answers with it, and shows it
	Address string         // host:port
}

// Faults is how many of the members may lie or fail.
func (c Cell) Faults() int { return (len(c.Members) - 1) / 3 }

// Options of a DB. The zero value of a field means its default.
type Options struct {
	// Patience is how long a replica may take before another is asked as well. Default 1.5 s.
	Patience time.Duration
	// QueryTime bounds a question whose context has no end. Default 30 s.
	QueryTime time.Duration
	// ExecTime is how long a program may wait for its block, at most 5 minutes. Default 1 minute.
	ExecTime time.Duration
	// QueryGas and ExecGas bound what a question and a program may take. Defaults 100,000,000 and 20,000,000, which is the most that
	// replicas allow.
	QueryGas, ExecGas uint64

	// Dialect of the database's SQL, which Client.OpenDatabase knows. Default SQLite's.
	Dialect string

	// Sample is of how many fast answers one is asked again, of so many replicas that one of them is honest. Default 64.
	Sample int
	// Lied, if any, is told of each lie that was found, when it was handed to the meta layer, or could not be. It does not wait.
	Lied func(e Evidence)

	// Retry is the pause before a replica that failed is asked again; it doubles up to eight times as much. Default 250 ms.
	Retry time.Duration
}

func (o Options) withDefaults() Options {
	o.Patience = cmp.Or(o.Patience, 1500*time.Millisecond)
	o.QueryTime = cmp.Or(o.QueryTime, 30*time.Second)
	o.ExecTime = min(cmp.Or(o.ExecTime, time.Minute), wiredatabase.MaxAheadMs/2*time.Millisecond) // clocks differ
	o.QueryGas, o.ExecGas = cmp.Or(o.QueryGas, wiredatabase.MaxQueryGas), cmp.Or(o.ExecGas, wiredatabase.MaxGas)
	o.Retry = cmp.Or(o.Retry, 250*time.Millisecond)
	o.Sample = max(cmp.Or(o.Sample, 64), 1)
	return o
}

// A DB is an open database. It may be used by many goroutines, and reads what it has written, and what it has read. It holds nothing
// that must be closed. Its cell does not change: who sees only errors of kind Unavailable opens the database again.
type DB struct {
	id      mesh.DatabaseID
	name    string
	cell    Cell
	session Session
	opts    Options

	mu       sync.Mutex
	first    int         // member that answered last
	seen     int64       // height that so many have named in answers that one is honest
	shown    []time.Time // when each member was shown the session
	heard    map[asked][]heard
	evidence []Evidence
	sampling bool          // a fast answer is being asked again
	handing  int           // lies that are on their way to the meta layer
	handed   chan struct{} // closed when one has come there, then replaced
}

// Open returns a database of a cell. It asks nobody.
func Open(id mesh.DatabaseID, name string, c Cell, s Session, o Options) (*DB, error) {
	if n := len(c.Members); n%3 != 1 || n < wiredatabase.Replicas(1) || n > wiredatabase.Replicas(wiredatabase.MaxFaults) {
		return nil, mesh.Errorf(mesh.Invalid, "a cell of %d members, want 3f+1 for f from 1 to %d", n, wiredatabase.MaxFaults)
	}
	keys := map[mesh.PublicKey]bool{}
	for _, m := range c.Members {
		if keys[m.Key] {
			return nil, mesh.Errorf(mesh.Invalid, "a cell in which two have the key %s", m.Key)
		}
		keys[m.Key] = true
	}
	return &DB{id: id, name: name, cell: c, session: s, opts: o.withDefaults(), shown: make([]time.Time, len(c.Members)), heard: map[asked][]heard{}, handed: make(chan struct{}),
		first: int(mesh.PublicKeyOf(s.Key)[0]) % len(c.Members)}, nil // who asks first, differs
}

// ID names the database.
func (d *DB) ID() mesh.DatabaseID { return d.id }

// Name is what its owner calls it.
func (d *DB) Name() string { return d.name }

// Dialect is that of its SQL.
func (d *DB) Dialect() string { return d.opts.Dialect }

// Cell is who answers for it.
func (d *DB) Cell() Cell {
	c := d.cell
	c.Members = slices.Clone(c.Members)
	return c
}

// Seen is the height of the log that the DB has seen: what it asks from now on is answered at it or above.
func (d *DB) Seen() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// See makes the DB read what was written up to a height, by whomever.
func (d *DB) See(height int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = max(d.seen, height)
}

// call sends one request to a member.
func (d *DB) call(ctx context.Context, i int, path string, req, resp proto.Message) error {
	m := d.cell.Members[i]
	hc, err := d.session.Dialer.Client(m.Key)
	if err != nil {
		return err
	}
	if err := rpc.Call(ctx, hc, "https://"+m.Address+path, wiredatabase.MaxReply, req, resp); err != nil {
		return &ofMember{m.Node, err}
	}
	return nil
}

// ofMember is what one member says is wrong.
type ofMember struct {
	node mesh.NodeID
	err  error
}

func (e *ofMember) Error() string { return fmt.Sprintf("replica %s: %v", e.node, e.err) }
func (e *ofMember) Unwrap() error { return e.err }

// showAgain is after which time a replica that refuses is shown the session once more: it may have lost it, or never had it.
const showAgain = time.Minute

// admitted is call, for what only sessions may that the cell knows: a member that refuses is shown the session first.
func (d *DB) admitted(ctx context.Context, i int, path string, req, resp proto.Message) error {
	err := d.call(ctx, i, path, req, resp)
	if err == nil || mesh.KindOf(err) != mesh.Denied {
		return err
	}
	d.mu.Lock()
	recent := time.Since(d.shown[i]) < showAgain
	d.mu.Unlock()
	if recent {
		return err
	}
	if err := d.show(ctx, i); err != nil {
		return err
	}
	proto.Reset(resp)
	return d.call(ctx, i, path, req, resp)
}

// show shows the session to a member.
func (d *DB) show(ctx context.Context, i int) error {
	m := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_SESSION, Messages: []*wirepb.Signed{d.sign(sign.Session, &wirepb.Session{Chain: d.session.Chain})}}
	if err := d.call(ctx, i, wirepb.CellSubmitPath, m, new(wirepb.DatabaseReply)); err != nil {
		return err
	}
	d.mu.Lock()
	d.shown[i] = time.Now()
	d.mu.Unlock()
	return nil
}

func (d *DB) sign(p sign.Purpose, m proto.Message) *wirepb.Signed {
	return signed.Seal(d.session.Domain, d.session.Key, p, m)
}

// An answer is what a member signed, checked as far as one can alone.
type answer struct {
	member  int
	signed  *wirepb.Signed
	body    *wirepb.Answer
	outcome *wirepb.Outcome
}

// open checks a reply: signed by this member, for this question, of a height that was asked for.
func (d *DB) open(i int, r *wirepb.DatabaseReply, question [32]byte, floor int64) (*answer, error) {
	m := d.cell.Members[i]
	a, by, err := wiredatabase.OpenReply(d.session.Domain, r)
	switch {
	case err != nil:
		return nil, mesh.Errorf(mesh.Corrupt, "replica %s: %w", m.Node, err)
	case by != m.Key || !bytes.Equal(a.Cell, d.cell.ID[:]) || a.Version != d.cell.Version || !bytes.Equal(a.Database, d.id[:]) || !bytes.Equal(a.Question, question[:]):
		return nil, mesh.Errorf(mesh.Corrupt, "replica %s signed the answer to another question", m.Node)
	case a.Height < floor:
		return nil, mesh.Errorf(mesh.Corrupt, "replica %s answers at height %d, below %d", m.Node, a.Height, floor)
	case r.Outcome == nil:
		return nil, mesh.Errorf(mesh.Corrupt, "replica %s answers nothing", m.Node)
	}
	x := &answer{i, r.Answer, a, r.Outcome}
	d.hear(question, x)
	return x, nil
}

// An asked is a question at a height, to which there is one true outcome.
type asked struct {
	question [32]byte
	height   int64
}

// A heard answer is kept to be compared with what others answer.
type heard struct {
	member  int
	signed  *wirepb.Signed
	outcome string // its digest
}

// maxHeard bounds what is kept of answers, maxEvidence how many proofs.
const (
	maxHeard    = 256
	maxEvidence = 64
)

// hear keeps an answer.
func (d *DB) hear(question [32]byte, a *answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.heard) >= maxHeard {
		clear(d.heard)
	}
	k := asked{question, a.body.Height}
	h := heard{a.member, a.signed, string(a.body.Outcome)}
	for _, o := range d.heard[k] {
		if o.member == h.member && o.outcome == h.outcome {
			return
		}
	}
	d.heard[k] = append(d.heard[k], h)
}

// Evidence returns the lies that were found so far.
func (d *DB) Evidence() []Evidence {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.evidence)
}
