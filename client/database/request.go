package database

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Request is statements as a cell is sent them, for who translates another protocol. See wirepb.DatabaseQuery and wirepb.Envelope.
type Request struct {
	Statements []*wirepb.Statement
	Settings   *wirepb.Settings
	View       *wirepb.View
	Describe   bool // the last statement
	Tentative  bool // it may write, and all is undone
}

// NewView begins a view: with the time that it is, and a seed of its own.
func NewView() *wirepb.View {
	v := &wirepb.View{TimeMs: time.Now().UnixMilli(), Seed: make([]byte, 32)}
	rand.Read(v.Seed)
	return v
}

// Ask asks for what a request gives of which nothing stays, at a level, and of which height that is. An error of SQL is an outcome with
// a code. Ordered is Default here.
func (d *DB) Ask(ctx context.Context, l Level, r Request) (*wirepb.Outcome, int64, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.opts.QueryTime)
		defer cancel()
	}
	q := &wirepb.DatabaseQuery{Database: d.id[:], Statements: r.Statements, GasLimit: d.opts.QueryGas, Settings: r.Settings, View: r.View, Describe: r.Describe, Tentative: r.Tentative}
	size := sizeOf(r.Statements)
	if size > wiredatabase.MaxProgram {
		return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the program has %d bytes, at most %d", size, wiredatabase.MaxProgram), "divide it")
	}
	p := &poll{db: d, question: wiredatabase.QueryQuestion(q, d.session.Role), need: d.cell.Faults() + 1, patience: sized(d.opts.Patience, size)}
	if l == Fast {
		p.need = 1
	}
	p.start, p.ask = p.need, d.query(q, p.question, sized(attemptTime, size))
	agreed, err := p.run(ctx)
	if err != nil {
		return nil, 0, err
	}
	if l == Fast {
		d.sample(q, p.question)
	}
	return said(agreed, p.need), agreed[0].body.Height, nil
}

// Run runs a request on the log, and tells in which block; see Exec. An error of SQL is an outcome with a code.
func (d *DB) Run(ctx context.Context, id ID, gas uint64, r Request) (*wirepb.Outcome, int64, error) {
	drawn := id == (ID{})
	if drawn {
		rand.Read(id[:])
	}
	size := sizeOf(r.Statements)
	if size > wiredatabase.MaxProgram {
		return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the program has %d bytes, at most %d", size, wiredatabase.MaxProgram), "divide it")
	}
	p := &parts{db: d}
	if size > wiredatabase.PartBytes {
		p.data = wiredatabase.Divide(r.Statements, &p.envelope)
		r.Statements = nil
	}
	all := limits(gas, size, d.opts.ExecGas)
	for n := 0; ; n++ {
		if drawn || n > 0 { // else it may have been applied, and needs no parts
			if err := p.deliver(ctx); err != nil {
				return nil, 0, err
			}
		}
		o, height, err := d.attempt(ctx, id, id.attempt(n), all[n], r, p)
		if n == len(all)-1 || err != nil || o.Code != wiredatabase.CodeNoGas {
			return o, height, err
		}
	}
}

// sizeOf is how many bytes statements have as a wirepb.Program.
func sizeOf(all []*wirepb.Statement) int { return proto.Size(&wirepb.Program{Statements: all}) }

// sized is how long a program may take that has a size, where one of few bytes has t.
func sized(t time.Duration, size int) time.Duration { return t + t*time.Duration(size)/(4<<20) }

// attempt runs a request under an id of its own, which follows from the one that the caller knows.
func (d *DB) attempt(ctx context.Context, known, id ID, gas uint64, r Request, p *parts) (*wirepb.Outcome, int64, error) {
	end := time.Now().Add(d.opts.ExecTime)
	e := &wirepb.Envelope{Database: d.id[:], Id: id[:], NotAfterMs: end.UnixMilli(), GasLimit: gas, Statements: r.Statements, Settings: r.Settings, View: r.View, Parts: p.envelope.Parts, ProgramBytes: p.envelope.ProgramBytes}
	s := d.sign(sign.Envelope, e)
	tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{s}}
	if n := len(wire.Encode(tx)); len(s.Body) > signed.MaxBody || n > wiredatabase.MaxTx {
		return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the program has %d bytes beside its statements, at most %d", len(s.Body), signed.MaxBody), "divide it")
	}
	ctx, cancel := context.WithDeadline(ctx, end.Add(lastWait))
	defer cancel()
	x := &execution{db: d, tx: tx, end: end}
	need, question := d.cell.Faults()+1, wiredatabase.Question(s)
	var agreed []*answer
	var err error
	for round := 0; ; round++ {
		poll := &poll{db: d, question: question, start: 1, need: need}
		poll.ask = func(ctx context.Context, i int, _ int64) (*answer, error) { return x.ask(ctx, i, question) }
		agreed, err = poll.run(ctx)
		// Parts are missing when an equal program took them, or when who was given them did not pass them on: then others are.
		if mesh.KindOf(err) != mesh.NotFound || err == nil || p.data == nil || round > need {
			break
		}
		if err = p.deliver(ctx); err != nil {
			break
		}
	}
	switch {
	case err == nil:
		return said(agreed, need), agreed[0].body.Height, nil
	case mesh.KindOf(err) == mesh.Conflict && time.Now().After(end):
		return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the cell did not take the program before its time was over; nothing of it happened"), "run it again")
	case decided(err):
		return nil, 0, err
	case !x.reached.Load():
		return nil, 0, mesh.Errorf(mesh.Unavailable, "no replica was reached, and nothing happened: %w", err)
	}
	return nil, 0, &UnknownError{ID: known, NotAfter: end, Err: err}
}

// said is the outcome that answers agree on. Texts are not signed with it, so that what one says alone may be a lie: there are those
// that enough of them say.
func said(agreed []*answer, need int) *wirepb.Outcome {
	o := agreed[0].outcome
	if o.Code == "" {
		return o
	}
	texts := func(o *wirepb.Outcome) *wirepb.Outcome {
		return &wirepb.Outcome{Text: o.Text, Hint: o.Hint, Position: o.Position, Detail: o.Detail, Table: o.Table, Column: o.Column, Constraint: o.Constraint}
	}
	out := &wirepb.Outcome{Code: o.Code, Failed: o.Failed, Usage: o.Usage}
	for _, a := range agreed {
		own, same := texts(a.outcome), 0
		for _, b := range agreed {
			if proto.Equal(own, texts(b.outcome)) {
				same++
			}
		}
		if same >= need {
			proto.Merge(out, own)
			break
		}
	}
	return out
}

// Unknown tells whether err leaves open what became of a program.
func Unknown(err error) bool {
	var e *UnknownError
	return errors.As(err, &e)
}
