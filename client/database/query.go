package database

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// query asks one member.
func (d *DB) query(q *wirepb.DatabaseQuery, question [32]byte) func(context.Context, int, int64) (*answer, error) {
	return func(ctx context.Context, i int, floor int64) (*answer, error) {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		m := proto.Clone(q).(*wirepb.DatabaseQuery)
		m.MinHeight = floor
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

// Query asks for what statements give that only read, at a level. All see the same height, and the time that it is here. An error of
// SQL is an *Error.
func (d *DB) Query(ctx context.Context, l Level, all ...Statement) (*Outcome, error) {
	if l == Ordered {
		return d.Exec(ctx, Program{Statements: all})
	}
	statements, err := d.prepare(ctx, all)
	if err != nil {
		return nil, err
	}
	o, height, err := d.Ask(ctx, l, Request{Statements: statements, View: NewView()})
	if err != nil {
		return nil, err
	}
	return outcomeOf(o, statements, height)
}
