package postgres

import (
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stratosmesh/stratos/protocol/postgres/lex"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Cursors are results that the gateway keeps: the query runs when the cursor is declared.

func declares(r *reader) (*command, *sqlError) {
	r.i++
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	o := &portal{cursor: true, scroll: true}
	for done := false; !done; {
		switch {
		case r.word("binary"):
			o.formats = []int16{binaryFormat}
		case r.word("insensitive", "asensitive"):
		case r.words("no", "scroll"):
			o.scroll = false
		case r.word("scroll"):
		default:
			done = true
		}
	}
	if !r.word("cursor") {
		return nil, r.syntax()
	}
	switch {
	case r.words("with", "hold"):
		o.hold = true
	case r.words("without", "hold"):
	}
	if !r.word("for") {
		return nil, r.syntax()
	}
	t, ok := r.token()
	if !ok {
		return nil, r.syntax()
	}
	query := r.s.sql[t.Start:]
	return &command{tag: "DECLARE CURSOR", run: func(x *session, _ []int16) *sqlError {
		if !o.hold && (x.tx == nil || x.tx.implicit) {
			return newError("25P01", "DECLARE CURSOR can only be used in transaction blocks")
		}
		if x.portals[name] != nil {
			return newError("42P03", "cursor \"%s\" already exists", name)
		}
		if refused := x.keep(); refused != nil {
			return refused
		}
		if x.tx != nil && x.tx.written && o.hold {
			return unsupported("a cursor WITH HOLD of a transaction that has written is not supported")
		}
		res, refused := x.one(&wirepb.Statement{Sql: query}, true)
		if refused != nil {
			return refused
		}
		opened := *o // a prepared DECLARE opens one each time
		opened.result, opened.next = res, -1
		if refused := x.hold(&opened); refused != nil {
			x.kept -= opened.kept
			return refused
		}
		x.portals[name] = &opened
		return nil
	}}, nil
}

// A motion is which rows of a cursor come next.
type motion struct {
	kind  byte // 'r' relative, 'a' absolute: one row; 'f' forward, 'b' backward: so many
	count int
	all   bool
}

func fetches(r *reader) (*command, *sqlError) {
	verb := "FETCH"
	if r.word("move") {
		verb = "MOVE"
	} else {
		r.i++
	}
	m, refused := motionOf(r)
	if refused != nil {
		return nil, refused
	}
	r.word("from", "in")
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	find := func(x *session) (*portal, *sqlError) {
		o := x.portals[name]
		if o == nil || !o.cursor {
			return nil, newError("34000", "cursor \"%s\" does not exist", name)
		}
		return o, nil
	}
	c := &command{run: func(x *session, formats []int16) *sqlError {
		o, refused := find(x)
		if refused != nil {
			return refused
		}
		rows, refused := o.move(m)
		if refused != nil {
			return refused
		}
		tag := verb + " " + strconv.Itoa(len(rows))
		if verb == "MOVE" {
			x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
			return nil
		}
		if len(o.formats) > 0 {
			formats = o.formats
		}
		return x.answerRows(&wirepb.Result{Columns: o.result.Columns, Rows: rows, Tag: tag}, formats)
	}}
	if verb == "FETCH" {
		c.columns = func(x *session) []*wirepb.Column {
			if o, refused := find(x); refused == nil {
				return o.result.Columns
			}
			return nil
		}
	}
	return c, r.done()
}

func motionOf(r *reader) (m motion, refused *sqlError) {
	number := func() (int, bool) {
		t, ok := r.token()
		if !ok || t.Kind != lex.Number && t.Kind != lex.Sign {
			return 0, false
		}
		s, ok := r.literal()
		n, err := strconv.Atoi(s)
		return n, ok && err == nil
	}
	m = motion{kind: 'r', count: 1}
	switch {
	case r.word("next"):
	case r.word("prior"):
		m.count = -1
	case r.word("first"):
		m = motion{kind: 'a', count: 1}
	case r.word("last"):
		m = motion{kind: 'a', count: -1}
	case r.word("absolute"):
		n, ok := number()
		if !ok {
			return m, r.syntax()
		}
		m = motion{kind: 'a', count: n}
	case r.word("relative"):
		n, ok := number()
		if !ok {
			return m, r.syntax()
		}
		m = motion{kind: 'r', count: n}
	case r.word("all"):
		m = motion{kind: 'f', all: true}
	case r.word("forward"), r.word("backward"):
		m = motion{kind: 'f', count: 1}
		if r.text(r.s.tokens[r.i-1])[0]|0x20 == 'b' {
			m.kind = 'b'
		}
		if r.word("all") {
			m.all = true
		} else if n, ok := number(); ok {
			m.count = n
		}
	default:
		if n, ok := number(); ok {
			m = motion{kind: 'f', count: n}
		}
	}
	return m, nil
}

// move goes to rows and returns those that are passed in its direction. next is the row it stands on, -1 before the first.
func (o *portal) move(m motion) ([]*wirepb.Row, *sqlError) {
	n := len(o.result.Rows)
	at := func(i int) []*wirepb.Row {
		o.next = max(-1, min(i, n))
		if i < 0 || i >= n {
			return nil
		}
		return o.result.Rows[i : i+1]
	}
	from := o.next
	if m.kind == 'b' {
		m.kind, m.count = 'f', -m.count
		if m.all {
			m.count = -n - 1
		}
	} else if m.kind == 'f' && m.all {
		m.count = n + 1
	}
	var rows []*wirepb.Row
	switch {
	case m.kind == 'a' && m.count >= 0:
		rows = at(m.count - 1)
	case m.kind == 'a':
		rows = at(max(n+m.count, -1))
	case m.kind == 'r':
		rows = at(from + m.count)
	case m.count == 0:
		rows = at(from)
	case m.count > 0:
		to := min(from+1+m.count, n)
		if from+1 < to {
			rows = o.result.Rows[from+1 : to]
		}
		o.next = min(from+m.count, n)
	default:
		for i := from - 1; i >= 0 && len(rows) < -m.count; i-- {
			if i < n {
				rows = append(rows, o.result.Rows[i])
			}
		}
		o.next = max(from+m.count, -1)
	}
	if o.next < from && !o.scroll {
		o.next = from
		e := newError("55000", "cursor can only scan forward")
		return nil, e.hint("Declare it with SCROLL option to enable backward scan.")
	}
	return rows, nil
}

func closes(r *reader) (*command, *sqlError) {
	r.i++
	if r.word("all") {
		return &command{tag: "CLOSE CURSOR ALL", run: func(x *session, _ []int16) *sqlError {
			for name, o := range x.portals {
				if o.cursor {
					x.drop(name)
				}
			}
			return nil
		}}, r.done()
	}
	name, ok := r.name()
	if !ok {
		return nil, r.syntax()
	}
	return &command{tag: "CLOSE CURSOR", run: func(x *session, _ []int16) *sqlError {
		if o := x.portals[name]; o == nil || !o.cursor {
			return newError("34000", "cursor \"%s\" does not exist", name)
		}
		x.drop(name)
		return nil
	}}, r.done()
}
