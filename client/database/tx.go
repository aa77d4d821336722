package database

import (
	"context"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Tx is a transaction that goes statement by statement. Nothing is locked: each statement is tried at a replica, after those before
// it, and undone; Commit puts all of them on the log, with digests of what they gave. A Tx is used by one goroutine, for at most ten
// minutes, and need not be ended.
type Tx struct {
	db         *DB
	view       *wirepb.View // its results are those of statements
	statements []*wirepb.Statement
	wrote      bool
	over       bool
}

// Begin begins a transaction, with the time that it is.
func (d *DB) Begin() *Tx { return &Tx{db: d, view: NewView()} }

// Exec runs a statement. One that only reads is asked at the level before anything is written; later ones are answered by one replica,
// which Commit holds to it. After an error of SQL, an *Error, the transaction is what it was before the statement.
func (t *Tx) Exec(ctx context.Context, l Level, s Statement) (*Result, error) {
	if t.over {
		return nil, mesh.Errorf(mesh.Invalid, "the transaction is over")
	}
	st, err := t.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	wrote := t.wrote || l == Ordered // which commits what it read
	var o *wirepb.Outcome
	if !wrote {
		// With those before it, so that the transaction sees one state as long as nobody writes.
		if o, _, err = t.db.Ask(ctx, l, t.alone(st)); err != nil {
			return nil, err
		}
		wrote = o.Code == wiredatabase.CodeReadOnly
	}
	if wrote {
		if o, _, err = t.db.Ask(ctx, Fast, t.request(st)); err != nil {
			return nil, err
		}
	}
	if o.Code != "" {
		o.Failed = 0
		return nil, errorOf(o, []*wirepb.Statement{st})
	}
	if len(o.Results) != 1 {
		return nil, mesh.Errorf(mesh.Corrupt, "a replica gave %d results for a statement", len(o.Results))
	}
	out, err := outcomeOf(o, nil, 0)
	if err != nil {
		return nil, err
	}
	sum := wiredatabase.ResultDigest(o.Results[0])
	t.statements, t.view.Results, t.wrote = append(t.statements, st), append(t.view.Results, sum[:]), wrote
	return &out.Results[0], nil
}

// prepare is DB.prepare for a statement behind those of the transaction.
func (t *Tx) prepare(ctx context.Context, s Statement) (*wirepb.Statement, error) {
	if t.db.opts.Dialect != wiredatabase.Postgres || len(s.Parameters) == 0 {
		all, err := encode([]Statement{s})
		if err != nil {
			return nil, err
		}
		return all[0], nil
	}
	st := &wirepb.Statement{Sql: s.SQL}
	r := t.request(st)
	r.Describe = true
	var err error
	if st.ParameterTypes, err = t.db.described(ctx, r); err != nil {
		return nil, err
	}
	return st, bind(st, s.Parameters)
}

// alone asks for a statement by itself.
func (t *Tx) alone(st *wirepb.Statement) Request {
	return Request{Statements: []*wirepb.Statement{st}, View: &wirepb.View{TimeMs: t.view.TimeMs, Seed: t.view.Seed, First: uint32(len(t.statements))}}
}

// request tries a statement behind the others.
func (t *Tx) request(st ...*wirepb.Statement) Request {
	return Request{Statements: append(slices.Clip(t.statements), st...), View: t.view, Tentative: true}
}

// Commit puts the transaction on the log, unless it only read, and ends it. An *Error of code 40001 says that somebody has written
// meanwhile what a statement here depends on: nothing has happened, and the transaction may be tried anew. For other errors see
// DB.Exec.
func (t *Tx) Commit(ctx context.Context) error {
	if t.over {
		return mesh.Errorf(mesh.Invalid, "the transaction is over")
	}
	t.over = true
	if !t.wrote {
		return nil
	}
	r := t.request()
	r.Tentative = false
	o, _, err := t.db.Run(ctx, ID{}, 0, r)
	if err == nil && o.Code != "" {
		err = errorOf(o, t.statements)
	}
	return err
}

// Rollback ends the transaction. It may be called after Commit.
func (t *Tx) Rollback() { t.over = true }

// A Savepoint is how far a transaction was.
type Savepoint struct {
	statements int
	wrote      bool
}

// Save returns how far the transaction is.
func (t *Tx) Save() Savepoint { return Savepoint{len(t.statements), t.wrote} }

// Back forgets what came after a savepoint of this transaction.
func (t *Tx) Back(s Savepoint) {
	t.statements, t.view.Results, t.wrote = t.statements[:s.statements], t.view.Results[:s.statements], s.wrote
}
