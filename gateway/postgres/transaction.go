package postgres

import (
	"context"
	"slices"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A transaction goes statement by statement. Each is tried at a replica, after those before it; COMMIT puts all of them on the log,
// with digests of what the client saw. What only reads, before anything is written, is asked for by itself, as in PostgreSQL's READ
// COMMITTED: whether it is still so matters only when something is written that may follow from it.
type transaction struct {
	view       *wirepb.View // its results are those of statements
	statements []*wirepb.Statement
	written    bool
	steady     bool // REPEATABLE READ or more: reads are asked for with those before them
	readOnly   bool
	implicit   bool // of a text or a pipeline of several statements, without BEGIN
	savepoints []savepoint
	listens    []listen // that COMMIT does
}

// A savepoint is how things stood.
type savepoint struct {
	name          string
	statements    int
	listens       int
	written       bool
	values, local map[string]string // settings
	portals       []*portal
}

func newTransaction(implicit bool) *transaction {
	return &transaction{view: client.NewView(), implicit: implicit}
}

// program is the transaction's statements and one more, if any, as a program.
func (t *transaction) program(set *wirepb.Settings, more ...*wirepb.Statement) Program {
	return Program{Statements: append(slices.Clip(t.statements), more...), Settings: set, View: t.view}
}

// run tries statements and notes what came of them. reads tells that they may only read.
func (t *transaction) run(ctx context.Context, db Database, level Level, set *wirepb.Settings, all []*wirepb.Statement, reads bool) ([]*wirepb.Result, *sqlError) {
	var o *wirepb.Outcome
	var err error
	wrote := !reads || level == Ordered // what is on the log when the transaction is
	if !wrote && !t.written {
		p := Program{Statements: all, Settings: set, View: &wirepb.View{TimeMs: t.view.TimeMs, Seed: t.view.Seed, First: uint32(len(t.statements))}}
		if t.steady {
			p = t.program(set, all...)
			o, err = db.Try(ctx, level, p)
		} else {
			o, err = db.Query(ctx, level, p)
		}
		wrote = err == nil && o.Code == readOnlyCode
		reads = !wrote
	}
	if wrote || t.written {
		if t.readOnly && !reads {
			return nil, newError(readOnlyCode, "cannot execute %s in a read-only transaction", verb(all[0].Sql))
		}
		o, err = db.Try(ctx, Fast, t.program(set, all...)) // the log looks at what it says
	}
	if err != nil {
		return nil, errorOf(err)
	}
	if e := failure(o); e != nil {
		return nil, e
	}
	if len(o.Results) != len(all) {
		return nil, newError("XX000", "a replica gave %d results for %d statements", len(o.Results), len(all))
	}
	for i, r := range o.Results {
		sum := database.ResultDigest(r)
		t.statements, t.view.Results = append(t.statements, all[i]), append(t.view.Results, sum[:])
	}
	t.written = t.written || wrote
	return o.Results, nil
}

// readOnlyCode is what replicas answer to a query that writes.
const readOnlyCode = "25006"

// commit puts the transaction on the log, unless it only read.
func (t *transaction) commit(ctx context.Context, db Database, set *wirepb.Settings) *sqlError {
	if !t.written {
		return nil
	}
	o, err := db.Exec(ctx, t.program(set))
	if err != nil {
		return errorOf(err)
	}
	return failure(o)
}

// save notes a savepoint.
func (t *transaction) save(s savepoint) {
	s.statements, s.listens, s.written = len(t.statements), len(t.listens), t.written
	t.savepoints = append(t.savepoints, s)
}

// find returns the place of the newest savepoint of a name.
func (t *transaction) find(name string) (int, *sqlError) {
	for i, s := range slices.Backward(t.savepoints) {
		if s.name == name {
			return i, nil
		}
	}
	return 0, newError("3B001", "savepoint \"%s\" does not exist", name)
}

// back forgets what came after a savepoint, which stays.
func (t *transaction) back(name string) (savepoint, *sqlError) {
	i, refused := t.find(name)
	if refused != nil {
		return savepoint{}, refused
	}
	s := t.savepoints[i]
	t.savepoints = t.savepoints[:i+1]
	t.statements, t.view.Results, t.written = t.statements[:s.statements], t.view.Results[:s.statements], s.written
	return s, nil
}

// release forgets a savepoint and those after it.
func (t *transaction) release(name string) *sqlError {
	i, refused := t.find(name)
	if refused == nil {
		t.savepoints = t.savepoints[:i]
	}
	return refused
}
