package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// begin begins a transaction.
func (x *session) begin(implicit bool) {
	x.tx = newTransaction(implicit)
	x.settings.begin()
	for _, name := range []string{"isolation", "read_only", "deferrable"} {
		x.settings.values["transaction_"+name] = x.settings.get("default_transaction_" + name)
	}
	x.modes()
}

// modes makes the transaction what its settings say.
func (x *session) modes() {
	x.tx.steady = !strings.HasPrefix(x.settings.get("transaction_isolation"), "read")
	x.tx.readOnly = x.settings.get("transaction_read_only") == "on"
}

// commit puts the transaction on the log. It is over, however that ends.
func (x *session) commit() *sqlError {
	refused := x.within(func(ctx context.Context) *sqlError { return x.tx.commit(ctx, x.db, x.settings.wire()) })
	x.end(refused == nil)
	return refused
}

func (x *session) end(committed bool) {
	if committed {
		x.apply(x.tx.listens)
	} else {
		x.forget(x.tx.listens)
	}
	x.tx, x.failed = nil, false
	x.settings.end(committed)
	x.forgetPortals()
}

func begins(r *reader) (*command, *sqlError) {
	tag := "BEGIN"
	if r.word("start") {
		if !r.word("transaction") {
			return nil, r.syntax()
		}
		tag = "START TRANSACTION"
	} else if r.word("begin") {
		r.word("work", "transaction")
	}
	modes, refused := transactionModes(r)
	if refused != nil {
		return nil, refused
	}
	return &command{tag: tag, run: func(x *session, _ []int16) *sqlError {
		switch {
		case x.tx == nil:
			x.begin(false)
		case x.tx.implicit:
			x.tx.implicit = false
		default:
			x.notice("25001", "there is already a transaction in progress")
		}
		return x.setModes(modes)
	}}, nil
}

// transactionModes reads isolation level, access mode and whether deferrable, as variables.
func transactionModes(r *reader) (map[string]string, *sqlError) {
	m := map[string]string{}
	for !r.end() {
		switch {
		case r.words("isolation", "level", "serializable"):
			m["isolation"] = "serializable"
		case r.words("isolation", "level", "repeatable", "read"):
			m["isolation"] = "repeatable read"
		case r.words("isolation", "level", "read", "committed"):
			m["isolation"] = "read committed"
		case r.words("isolation", "level", "read", "uncommitted"):
			m["isolation"] = "read uncommitted"
		case r.words("read", "only"):
			m["read_only"] = "on"
		case r.words("read", "write"):
			m["read_only"] = "off"
		case r.words("not", "deferrable"):
			m["deferrable"] = "off"
		case r.word("deferrable"):
			m["deferrable"] = "on"
		default:
			return nil, r.syntax()
		}
		r.sign(",")
	}
	return m, nil
}

func (x *session) setModes(m map[string]string) *sqlError {
	if _, ok := m["isolation"]; ok && len(x.tx.statements) > 0 {
		return newError("25001", "SET TRANSACTION ISOLATION LEVEL must be called before any query")
	}
	if m["read_only"] == "off" && x.tx.readOnly && len(x.tx.statements) > 0 {
		return newError("25001", "cannot set transaction read-write mode inside a read-only transaction")
	}
	for name, v := range m {
		x.settings.values["transaction_"+name] = v
	}
	x.modes()
	return nil
}

// chained reads AND [NO] CHAIN at the end.
func chained(r *reader) (bool, *sqlError) {
	r.word("work", "transaction")
	chain := r.words("and", "chain")
	if !chain {
		r.words("and", "no", "chain")
	}
	return chain, r.done()
}

// anew begins the next transaction with the modes of the last.
func (x *session) anew(modes map[string]string) {
	x.begin(false)
	maps.Copy(x.settings.values, modes)
	x.modes()
}

func (x *session) currentModes() map[string]string {
	m := map[string]string{}
	for _, name := range []string{"transaction_isolation", "transaction_read_only", "transaction_deferrable"} {
		m[name] = x.settings.get(name)
	}
	return m
}

func commits(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("prepared") {
		return nil, unsupported("COMMIT PREPARED is not supported")
	}
	chain, refused := chained(r)
	if refused != nil {
		return nil, refused
	}
	return &command{ends: true, run: func(x *session, _ []int16) *sqlError {
		if x.tx == nil || x.tx.implicit {
			if chain {
				return newError("25P01", "COMMIT AND CHAIN can only be used in transaction blocks")
			}
			x.notice("25P01", "there is no transaction in progress")
		}
		tag, modes := "COMMIT", x.currentModes()
		switch {
		case x.tx == nil:
		case x.failed:
			x.end(false)
			tag = "ROLLBACK"
		default:
			if refused := x.commit(); refused != nil {
				return refused
			}
		}
		if chain {
			x.anew(modes)
		}
		x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
		return nil
	}}, nil
}

func rollsBack(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("prepared") {
		return nil, unsupported("ROLLBACK PREPARED is not supported")
	}
	from := r.i
	r.word("work", "transaction")
	if r.word("to") {
		r.word("savepoint")
		name, ok := r.name()
		if !ok {
			return nil, r.syntax()
		}
		return &command{tag: "ROLLBACK", ends: true, run: func(x *session, _ []int16) *sqlError {
			if x.tx == nil || x.tx.implicit {
				return newError("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks")
			}
			s, refused := x.tx.back(name)
			if refused != nil {
				return refused
			}
			x.failed = false
			x.forget(x.tx.listens[s.listens:])
			x.tx.listens = x.tx.listens[:s.listens]
			x.settings.values, x.settings.local = maps.Clone(s.values), maps.Clone(s.local)
			x.modes()
			for name, o := range x.portals {
				if !slices.Contains(s.portals, o) {
					x.drop(name)
				}
			}
			return nil
		}}, r.done()
	}
	r.i = from
	chain, refused := chained(r)
	if refused != nil {
		return nil, refused
	}
	return &command{tag: "ROLLBACK", ends: true, run: func(x *session, _ []int16) *sqlError {
		if x.tx == nil || x.tx.implicit {
			if chain {
				return newError("25P01", "ROLLBACK AND CHAIN can only be used in transaction blocks")
			}
			x.notice("25P01", "there is no transaction in progress")
		}
		if x.tx != nil {
			modes := x.currentModes()
			x.end(false)
			if chain {
				x.anew(modes)
			}
		}
		return nil
	}}, nil
}

func savepoints(r *reader) (*command, *sqlError) {
	r.i++
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	return &command{tag: "SAVEPOINT", run: func(x *session, _ []int16) *sqlError {
		if x.tx == nil || x.tx.implicit {
			return newError("25P01", "SAVEPOINT can only be used in transaction blocks")
		}
		if len(x.tx.savepoints) >= maxBatch {
			return newError("54000", "more than %d savepoints", maxBatch)
		}
		x.tx.save(savepoint{name: name, values: maps.Clone(x.settings.values), local: maps.Clone(x.settings.local), portals: slices.Collect(maps.Values(x.portals))})
		return nil
	}}, r.done()
}

func releases(r *reader) (*command, *sqlError) {
	r.i++
	r.word("savepoint")
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	return &command{tag: "RELEASE", run: func(x *session, _ []int16) *sqlError {
		if x.tx == nil || x.tx.implicit {
			return newError("25P01", "RELEASE SAVEPOINT can only be used in transaction blocks")
		}
		return x.tx.release(name)
	}}, r.done()
}
