package postgres

import (
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
		"listen": listenCommand, "unlisten": unlistenCommand, "select": channelsCommand,
	}[t.Word]
	if read == nil {
		return nil, nil
	}
	return read(r)
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
			x.unlistens()
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
