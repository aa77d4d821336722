package database

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Program is statements that are run in order, all or none.
type Program struct {
	Statements []Statement
	// ID names it: it is applied once, however often it is sent under one session within ten minutes, after which the cell forgets it.
	// Zero: one is drawn.
	ID ID
	// Gas is the most that it may take, which it takes of its block whether it needs it or not. Default: a little, and ten times as
	// much again, up to Options.ExecGas, when that did not suffice: then nothing of it has happened.
	Gas uint64
}

// A small program's limit: many of them go into a block, which has room for 10,000,000 of a database. What is written costs by its
// length, too.
const (
	smallGas = 100_000
	byteGas  = 4
	moreGas  = 10
)

// limits are what a program is tried with, one after the other.
func (p Program) limits(bytes int, most uint64) (all []uint64) {
	if p.Gas > 0 {
		return []uint64{p.Gas}
	}
	for g := smallGas + byteGas*uint64(bytes); g < most; g *= moreGas {
		all = append(all, g)
	}
	return append(all, most)
}

// attempt is the id under which a program is tried for the nth time with another limit. It follows from its own, so that who sends it
// again goes the same way.
func (id ID) attempt(n int) ID {
	if n == 0 {
		return id
	}
	sum := sha256.Sum256(append([]byte("stratos program attempt/1\x00"), append(id[:], byte(n))...))
	return ID(sum[:16])
}

// lastWait is for a cell to make a block behind a program's end, which an idle one does every 10 s, and to tell.
const lastWait = 30 * time.Second

// Exec runs a program on the log, and returns when so many replicas have signed its outcome that one of them is honest. It asks one
// replica, others when that keeps silent, and all again until the program's time is over: sending it often does no harm. An error of
// SQL is an *Error: nothing of the program happened. When nobody could tell in time what became of it, or ctx ended, the error is an
// *UnknownError. With any other error nothing of it happened.
func (d *DB) Exec(ctx context.Context, p Program) (*Outcome, error) {
	statements, err := encode(p.Statements)
	if err != nil {
		return nil, err
	}
	if p.ID == (ID{}) {
		rand.Read(p.ID[:])
	}
	bytes := 0
	for _, s := range statements {
		bytes += proto.Size(s)
	}
	limits := p.limits(bytes, d.opts.ExecGas)
	for n := 0; ; n++ {
		o, err := d.attempt(ctx, p.ID, p.ID.attempt(n), limits[n], statements)
		var failed *Error
		if n == len(limits)-1 || !errors.As(err, &failed) || failed.Code != wiredatabase.CodeNoGas {
			return o, err
		}
	}
}

// attempt runs a program under an id of its own, which follows from the one that the caller knows.
func (d *DB) attempt(ctx context.Context, known, id ID, gas uint64, statements []*wirepb.Statement) (*Outcome, error) {
	end := time.Now().Add(d.opts.ExecTime)
	e := &wirepb.Envelope{Database: d.id[:], Id: id[:], NotAfterMs: end.UnixMilli(), GasLimit: gas, Statements: statements}
	s := d.sign(sign.Envelope, e)
	tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{s}}
	if n := len(wire.Encode(tx)); len(s.Body) > signed.MaxBody || n > wiredatabase.MaxTx {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the program has %d bytes, at most %d", len(s.Body), signed.MaxBody), "divide it")
	}
	ctx, cancel := context.WithDeadline(ctx, end.Add(lastWait))
	defer cancel()
	x := &execution{db: d, tx: tx, end: end}
	need := d.cell.Faults() + 1
	poll := &poll{db: d, question: wiredatabase.Question(s.Body), start: 1, need: need}
	poll.ask = func(ctx context.Context, i int, _ int64) (*answer, error) { return x.ask(ctx, i, poll.question) }
	agreed, err := poll.run(ctx)
	switch {
	case err == nil:
		return d.outcome(agreed, statements, need)
	case mesh.KindOf(err) == mesh.Conflict && time.Now().After(end):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the cell did not take the program before its time was over; nothing of it happened"), "run it again")
	case decided(err):
		return nil, err
	case !x.reached.Load():
		return nil, mesh.Errorf(mesh.Unavailable, "no replica was reached, and nothing happened: %w", err)
	}
	return nil, &UnknownError{ID: known, NotAfter: end, Err: err}
}

// An execution is a program on its way.
type execution struct {
	db      *DB
	tx      *wirepb.CellTx
	end     time.Time
	reached atomic.Bool // some replica may have it
}

// ask sends the program to a member. Whoever has applied it answers from its record.
func (x *execution) ask(ctx context.Context, i int, question [32]byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	a, err := x.send(ctx, i, question)
	if mesh.KindOf(err) != mesh.Conflict || err == nil || !time.Now().After(x.end) {
		return a, err
	}
	// It says that the time is over, by its clock maybe. Only when a block is past it, a replica that has no record of the program
	// never will.
	s := new(wirepb.CellStatus)
	if err := x.db.call(ctx, i, wirepb.CellStatusPath, new(wirepb.CellStatusRequest), s); err != nil {
		return nil, err
	}
	if s.TimeMs <= x.end.UnixMilli() {
		return nil, mesh.Errorf(mesh.Unavailable, "replica %s has no block yet that is past the program's end", x.db.cell.Members[i].Node)
	}
	return x.send(ctx, i, question)
}

func (x *execution) send(ctx context.Context, i int, question [32]byte) (*answer, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.reached.Store(true) }})
	r := new(wirepb.DatabaseReply)
	if err := x.db.admitted(ctx, i, wirepb.CellSubmitPath, x.tx, r); err != nil {
		return nil, err
	}
	return x.db.open(i, r, question, 0)
}
