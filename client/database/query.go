package database

import (
	"context"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// query asks one member.
func (d *DB) query(q *wirepb.DatabaseQuery, question [32]byte) func(context.Context, int, int64) (*answer, error) {
	return func(ctx context.Context, i int, floor int64) (*answer, error) {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		m := &wirepb.DatabaseQuery{Database: q.Database, Statements: q.Statements, GasLimit: q.GasLimit, MinHeight: floor}
		r := new(wirepb.DatabaseReply)
		if err := d.admitted(ctx, i, wirepb.CellQueryPath, m, r); err != nil {
			return nil, err
		}
		return d.open(i, r, question, floor)
	}
}

// attemptTime bounds one attempt at one replica, which waits for a block, or answers, for at most 20 s.
const attemptTime = 25 * time.Second

// A Level is what of a cell must agree on the answer to a question.
type Level int

const (
	// Default wants the same answer, at one height, of so many replicas that one of them is honest. It sees what was acknowledged by
	// this DB before.
	Default Level = iota
	// Fast takes one replica's word, signed: if it lies, its signature contradicts what others answer; see Evidence.
	Fast
	// Ordered takes its turn on the log like a program: it sees everything that was acknowledged to anybody before. It needs the right
	// to write. Statements that change something do so.
	Ordered
)

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	for l, name := range [...]string{"default", "fast", "ordered"} {
		if s == name {
			return Level(l), nil
		}
	}
	return 0, mesh.Errorf(mesh.Invalid, "there is no level %.20q: fast, default or ordered", s)
}

// Query asks for what statements give that only read, at a level. All see the same height. An error of SQL is an *Error.
func (d *DB) Query(ctx context.Context, l Level, all ...Statement) (*Outcome, error) {
	if l == Ordered {
		return d.Exec(ctx, Program{Statements: all})
	}
	statements, err := encode(all)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.opts.QueryTime)
		defer cancel()
	}
	q := &wirepb.DatabaseQuery{Database: d.id[:], Statements: statements, GasLimit: d.opts.QueryGas}
	p := &poll{db: d, question: wiredatabase.QueryQuestion(q), need: d.cell.Faults() + 1}
	if l == Fast {
		p.need = 1
	}
	p.start, p.ask = p.need, d.query(q, p.question)
	agreed, err := p.run(ctx)
	if err != nil {
		return nil, err
	}
	return d.outcome(agreed, statements, p.need)
}
