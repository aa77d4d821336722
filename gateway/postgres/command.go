package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/lex"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A command is a statement that the gateway carries out itself: what is about the connection, and not about data.
type command struct {
	tag     string
	ends    bool                              // it ends a transaction that has failed, or goes back in it
	columns func(x *session) []*wirepb.Column // of its result; nil: none
	// run does it and answers, but for the tag unless that is empty. A nil run does nothing.
	run func(x *session, formats []int16) *sqlError
}

// commandOf reads a command; nil: the statement is none.
func commandOf(s *statement) (*command, *sqlError) {
	r := &reader{s: s}
	t, ok := r.token()
	if !ok || t.Kind != lex.Word {
		return nil, nil
	}
	read := map[string]func(*reader) (*command, *sqlError){
		"begin": begins, "start": begins, "commit": commits, "end": commits, "rollback": rollsBack, "abort": rollsBack, "prepare": prepares,
		"savepoint": savepoints, "release": releases, "set": sets, "reset": resets, "show": shows, "discard": discards, "deallocate": deallocates,
		"execute": executes, "declare": declares, "fetch": fetches, "move": fetches, "close": closes, "copy": copies,
		"listen": refuses("LISTEN"), "notify": refuses("NOTIFY"), "unlisten": unlistens,
	}[t.Word]
	if read == nil {
		return nil, nil
	}
	return read(r)
}

func refuses(what string) func(*reader) (*command, *sqlError) {
	return func(*reader) (*command, *sqlError) { return nil, unsupported("%s is not supported", what) }
}

// carryOut does a command. In a text of several statements, or in a pipeline, what came before it becomes a transaction.
func (x *session) carryOut(c *command, formats []int16) *sqlError {
	if refused := x.enterBatch(); refused != nil {
		return refused
	}
	if c.run != nil {
		if refused := c.run(x, formats); refused != nil {
			return refused
		}
	}
	if c.tag != "" {
		x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(c.tag)})
	}
	return nil
}

// ---- Transactions

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

// ---- Settings

func sets(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("constraints") {
		return nil, nil // data's
	}
	if r.word("transaction") {
		modes, refused := transactionModes(r)
		return &command{tag: "SET", run: func(x *session, _ []int16) *sqlError {
			if x.tx == nil {
				x.notice("25P01", "SET TRANSACTION can only be used in transaction blocks")
				return nil
			}
			return x.setModes(modes)
		}}, refused
	}
	if r.words("session", "characteristics", "as", "transaction") {
		modes, refused := transactionModes(r)
		return &command{tag: "SET", run: func(x *session, _ []int16) *sqlError {
			for name, v := range modes {
				if refused := x.settings.set("default_transaction_"+name, &v, false); refused != nil {
					return refused
				}
			}
			return nil
		}}, refused
	}
	local := r.word("local")
	if !local {
		r.word("session")
	}
	name, value, refused := assignment(r)
	if refused != nil {
		return nil, refused
	}
	if name == "" {
		return &command{tag: "SET"}, nil
	}
	return &command{tag: "SET", run: func(x *session, _ []int16) *sqlError {
		if local && x.tx == nil {
			x.notice("25P01", "SET LOCAL can only be used in transaction blocks")
		}
		return x.set(name, value, local)
	}}, nil
}

// assignment reads what SET sets: a variable and its value, nil for the default. No name: there is nothing to set.
func assignment(r *reader) (name string, value *string, refused *sqlError) {
	switch {
	case r.words("time", "zone"):
		name = "timezone"
		if r.word("local", "default") {
			return name, nil, r.done()
		}
	case r.word("names"):
		name = "client_encoding"
		if r.end() || r.word("default") {
			return name, nil, r.done()
		}
	case r.word("role", "authorization"):
		_ = r.sign("=") || r.word("to")
		if r.word("none", "default") {
			return "", nil, r.done() // there is one role
		}
		return "", nil, unsupported("SET ROLE and SET SESSION AUTHORIZATION are not supported").hint("connect with another access key")
	default:
		var ok bool
		if name, ok = r.name(); !ok {
			return "", nil, r.syntax()
		}
		for r.sign(".") {
			more, ok := r.name()
			if !ok {
				return "", nil, r.syntax()
			}
			name += "." + more
		}
		if !r.sign("=") && !r.word("to") {
			return "", nil, r.syntax()
		}
		if r.word("default") {
			return name, nil, r.done()
		}
	}
	var parts []string
	for {
		v, ok := r.literal()
		if !ok {
			return "", nil, r.syntax()
		}
		if parts = append(parts, v); !r.sign(",") {
			break
		}
	}
	all := strings.Join(parts, ", ")
	return name, &all, r.done()
}

// set changes a variable. What changes the meaning of statements stays as it is while they are one program.
func (x *session) set(name string, value *string, local bool) *sqlError {
	was := ""
	if v := variables[strings.ToLower(name)]; v != nil {
		was = x.settings.get(name)
	}
	if x.tx != nil && strings.EqualFold(name, "timezone") && len(x.tx.statements) > 0 {
		before := maps.Clone(x.settings.values)
		if refused := x.settings.set(name, value, local); refused != nil {
			return refused
		}
		if x.settings.get(name) != was {
			x.settings.values = before
			return unsupported("the time zone of a transaction is that of its first statement").hint("SET TIME ZONE before BEGIN")
		}
		return nil
	}
	return x.settings.set(name, value, local)
}

func resets(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("all") {
		return &command{tag: "RESET", run: func(x *session, _ []int16) *sqlError { return x.resetAll() }}, r.done()
	}
	name, _, refused := assignment(&reader{s: &statement{sql: r.s.sql + "=0", tokens: append(slices.Clip(r.s.tokens), lex.Token{Kind: lex.Sign, Start: len(r.s.sql), End: len(r.s.sql) + 1},
		lex.Token{Kind: lex.Number, Start: len(r.s.sql) + 1, End: len(r.s.sql) + 2})}, i: r.i})
	if name == "" { // RESET ROLE
		return &command{tag: "RESET"}, refused
	}
	return &command{tag: "RESET", run: func(x *session, _ []int16) *sqlError { return x.set(name, nil, false) }}, refused
}

func (x *session) resetAll() *sqlError {
	for name, v := range variables {
		if _, ok := x.settings.values[name]; ok && !v.fixed && !strings.HasPrefix(name, "transaction_") {
			if refused := x.set(name, nil, false); refused != nil {
				return refused
			}
		}
	}
	return nil
}

// oneText is the column of what SHOW answers.
func oneText(names ...string) []*wirepb.Column {
	var all []*wirepb.Column
	for _, n := range names {
		all = append(all, &wirepb.Column{Name: n, TypeOid: uint32(postgres.Text), Typmod: -1})
	}
	return all
}

func shows(r *reader) (*command, *sqlError) {
	r.i++
	name := ""
	switch {
	case r.word("all"):
	case r.words("time", "zone"):
		name = "TimeZone"
	case r.words("transaction", "isolation", "level"):
		name = "transaction_isolation"
	default:
		var ok bool
		if name, ok = r.name(); !ok {
			return nil, r.syntax()
		}
		for r.sign(".") {
			more, _ := r.name()
			name += "." + more
		}
	}
	columns := func(*session) []*wirepb.Column {
		if name == "" {
			return oneText("name", "setting", "description")
		}
		if v := variables[strings.ToLower(name)]; v != nil {
			return oneText(v.name)
		}
		return oneText(name)
	}
	return &command{columns: columns, run: func(x *session, formats []int16) *sqlError {
		res := &wirepb.Result{Tag: "SHOW", Columns: columns(x)}
		add := func(all ...string) {
			r := new(wirepb.Row)
			for _, s := range all {
				r.Values = append(r.Values, value(s))
			}
			res.Rows = append(res.Rows, r)
		}
		if name != "" {
			v, refused := lookup(name)
			if refused != nil {
				return refused
			}
			add(x.shown(v))
		} else {
			for _, n := range slices.Sorted(maps.Keys(variables)) {
				add(variables[n].name, x.shown(variables[n]), "")
			}
		}
		return x.answerRows(res, formats)
	}}, r.done()
}

func (x *session) shown(v *variable) string {
	if v.name == "session_authorization" {
		return x.key
	}
	return x.settings.get(v.name)
}

// answerRows sends the rows of what a command gives, and in a text their columns first.
func (x *session) answerRows(r *wirepb.Result, formats []int16) *sqlError {
	if x.inText {
		x.be.Send(describeRows(r.Columns, formats))
	}
	if _, refused := x.rows(r, formats, 0, 0); refused != nil {
		return refused
	}
	x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(r.Tag)})
	return nil
}

func discards(r *reader) (*command, *sqlError) {
	r.i++
	switch {
	case r.word("all"):
		return &command{tag: "DISCARD ALL", run: func(x *session, _ []int16) *sqlError {
			if x.tx != nil {
				return newError("25001", "DISCARD ALL cannot run inside a transaction block")
			}
			clear(x.prepared)
			for name := range x.portals {
				x.drop(name)
			}
			return x.resetAll()
		}}, r.done()
	case r.word("plans"):
		return &command{tag: "DISCARD PLANS"}, r.done()
	case r.word("temp", "temporary"):
		return &command{tag: "DISCARD TEMP"}, r.done()
	case r.word("sequences"):
		return nil, unsupported("DISCARD SEQUENCES is not supported")
	}
	return nil, r.syntax()
}

func unlistens(r *reader) (*command, *sqlError) {
	r.i++
	if r.sign("*") {
		return &command{tag: "UNLISTEN"}, r.done()
	}
	return nil, unsupported("LISTEN is not supported")
}

// ---- Prepared statements

func prepares(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("transaction") {
		return nil, unsupported("PREPARE TRANSACTION is not supported")
	}
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	p := new(prepared)
	if r.sign("(") {
		for {
			from, ok := r.token()
			if !ok {
				return nil, r.syntax()
			}
			to := from
			for depth := 0; ; r.i++ {
				t, ok := r.token()
				if !ok {
					return nil, r.syntax()
				}
				if depth == 0 && (t.Kind == lex.Comma || t.Kind == lex.Close && r.text(t) == ")") {
					break
				}
				switch t.Kind {
				case lex.Open:
					depth++
				case lex.Close:
					depth--
				}
				to = t
			}
			typ, ok := postgres.TypeNamed(strings.ToLower(r.s.sql[from.Start:to.End]))
			if !ok {
				return nil, newError(sqlstate.UndefinedObject, "type \"%s\" does not exist", r.s.sql[from.Start:to.End])
			}
			if p.declared = append(p.declared, uint32(typ.OID)); !r.sign(",") {
				break
			}
		}
		if !r.sign(")") {
			return nil, r.syntax()
		}
	}
	if !r.word("as") {
		return nil, r.syntax()
	}
	t, ok := r.token()
	if !ok {
		return nil, r.syntax()
	}
	p.statement = split(r.s.sql[t.Start:])[0]
	p.statement.offset = r.s.offset + len([]rune(r.s.sql[:t.Start]))
	return &command{tag: "PREPARE", run: func(x *session, _ []int16) *sqlError {
		if x.prepared[name] != nil {
			return newError("42P05", "prepared statement \"%s\" already exists", name)
		}
		if refused := x.keep(); refused != nil {
			return refused
		}
		if refused := x.know(p); refused != nil {
			return refused
		}
		x.prepared[name] = p
		return nil
	}}, nil
}

func executes(r *reader) (*command, *sqlError) {
	r.i++
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	var values []*string
	if r.sign("(") {
		for {
			if r.word("null") {
				values = append(values, nil)
			} else {
				v, ok := r.literal()
				if !ok {
					return nil, unsupported("EXECUTE takes constants here")
				}
				values = append(values, &v)
			}
			if !r.sign(",") {
				break
			}
		}
		if !r.sign(")") {
			return nil, unsupported("EXECUTE takes constants here")
		}
	}
	columns := func(x *session) []*wirepb.Column {
		if p := x.prepared[name]; p != nil && p.described != nil {
			return p.described.Columns
		}
		return nil
	}
	return &command{columns: columns, run: func(x *session, formats []int16) *sqlError {
		p, refused := x.statementNamed(name)
		if refused != nil {
			return refused
		}
		if refused := x.know(p); refused != nil {
			return refused
		}
		types := p.types()
		if p.command != nil || len(values) != len(types) {
			return newError(sqlstate.SyntaxError, "wrong number of parameters for prepared statement \"%s\"", name)
		}
		st := &wirepb.Statement{Sql: p.statement.sql, ParameterTypes: types}
		c := x.call()
		for i, s := range values {
			var b []byte
			if s != nil {
				b = []byte(*s)
			}
			v, refused := decode(c, types[i], textFormat, b)
			if refused != nil {
				return refused
			}
			st.Parameters = append(st.Parameters, v)
		}
		res, refused := x.one(st, p.reads())
		if refused != nil {
			return refused
		}
		if len(res.Columns) == 0 {
			x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(res.Tag)})
			return nil
		}
		return x.answerRows(res, formats)
	}}, r.done()
}

func deallocates(r *reader) (*command, *sqlError) {
	r.i++
	r.word("prepare")
	if r.word("all") {
		return &command{tag: "DEALLOCATE ALL", run: func(x *session, _ []int16) *sqlError { clear(x.prepared); return nil }}, r.done()
	}
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	return &command{tag: "DEALLOCATE", run: func(x *session, _ []int16) *sqlError {
		if _, refused := x.statementNamed(name); refused != nil {
			return refused
		}
		delete(x.prepared, name)
		return nil
	}}, r.done()
}
