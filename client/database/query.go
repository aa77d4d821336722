package database

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// query asks one member.
func (d *DB) query(q *wirepb.DatabaseQuery, question [32]byte, limit time.Duration) func(context.Context, int, int64) (*answer, error) {
	return func(ctx context.Context, i int, floor int64) (*answer, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		r := new(wirepb.DatabaseReply)
		if err := d.admitted(ctx, i, wirepb.CellQueryPath, wiredatabase.AtHeight(q, floor), r); err != nil {
			return nil, err
		}
		return d.open(i, r, question, floor)
	}
}

// attemptTime bounds one attempt at one replica, which waits for a block, or answers, for at most 20 s. A large query has longer.
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

var levelNames = [...]string{Default: "default", Fast: "fast", Ordered: "ordered"}

func (l Level) String() string { return levelNames[l] }

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	for l, name := range levelNames {
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

// Do runs statements at a level: as a question if they only read, else as a program. What they are, the client does not guess: it asks,
// unless their first words say that they write, or an order or an id was asked for.
func (d *DB) Do(ctx context.Context, l Level, p Program) (*Outcome, error) {
	writes := slices.ContainsFunc(p.Statements, func(s Statement) bool { return !slices.Contains(reading, Keyword(s.SQL)) })
	if l == Fast && slices.ContainsFunc(p.Statements, func(s Statement) bool { k := Keyword(s.SQL); return k != "SELECT" && k != "VALUES" }) {
		l = Default // whether it only reads is not for one replica to say: it could feign to have written
	}
	if !writes && l != Ordered && p.ID == (ID{}) {
		o, err := d.Query(ctx, l, p.Statements...)
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != wiredatabase.CodeReadOnly {
			return o, err
		}
	}
	return d.Exec(ctx, p)
}

// reading are first words of statements that may only read.
var reading = []string{"SELECT", "VALUES", "WITH", "TABLE", "EXPLAIN", "SHOW", ""}

// Describe tells the columns of what a statement gives, and whether it only reads, by the word of one replica. It is not run.
func (d *DB) Describe(ctx context.Context, sql string) (columns []Column, readOnly bool, err error) {
	r := Request{Statements: []*wirepb.Statement{{Sql: sql}}, Describe: true}
	o, _, err := d.Ask(ctx, Fast, r)
	if err != nil {
		return nil, false, err
	}
	readOnly = o.Code != wiredatabase.CodeReadOnly
	if !readOnly {
		r.View, r.Tentative = NewView(), true
		if o, _, err = d.Ask(ctx, Fast, r); err != nil {
			return nil, false, err
		}
	}
	out, err := outcomeOf(o, r.Statements, 0)
	if err != nil {
		return nil, false, err
	}
	if len(out.Results) != 1 {
		return nil, false, mesh.Errorf(mesh.Corrupt, "a replica described %d statements, and was asked for one", len(out.Results))
	}
	return out.Results[0].Columns, readOnly, nil
}
