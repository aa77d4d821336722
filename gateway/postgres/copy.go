package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/lex"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// copyCommand is a COPY between a table and the client.
type copyCommand struct {
	table   string   // as it was written; empty: a query
	name    string   // of it, for messages
	columns []string // as they were written; none: all
	query   string
	from    bool
	layout  layout
}

func copies(r *reader) (*command, *sqlError) {
	r.i++
	c := &copyCommand{layout: layout{format: "text"}}
	old := r.word("binary")
	if r.sign("(") {
		from, _ := r.token()
		depth, to := 1, from
		for ; depth > 0; r.i++ {
			t, ok := r.token()
			if !ok {
				return nil, r.syntax()
			}
			switch t.Kind {
			case lex.Open:
				depth++
			case lex.Close:
				depth--
			}
			to = t
		}
		c.query = r.s.sql[from.Start:to.Start]
	} else {
		from, ok := r.token()
		if !ok {
			return nil, r.syntax()
		}
		for {
			if c.name, ok = r.name(); !ok {
				return nil, r.syntax()
			}
			if !r.sign(".") {
				break
			}
		}
		c.table = r.s.sql[from.Start:r.s.tokens[r.i-1].End]
		if r.sign("(") {
			for {
				from := r.i
				if _, ok := r.name(); !ok {
					return nil, r.syntax()
				}
				c.columns = append(c.columns, r.s.sql[r.s.tokens[from].Start:r.s.tokens[r.i-1].End])
				if !r.sign(",") {
					break
				}
			}
			if !r.sign(")") {
				return nil, r.syntax()
			}
		}
	}
	switch {
	case c.query == "" && r.words("from", "stdin"):
		c.from = true
	case r.words("to", "stdout"):
	case r.word("from", "to"):
		return nil, unsupported("COPY with a file or a program of the server is not supported").hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.")
	default:
		return nil, r.syntax()
	}
	if refused := c.layout.read(r, old); refused != nil {
		return nil, refused
	}
	if r.word("where") {
		return nil, unsupported("COPY FROM with WHERE is not supported")
	}
	if refused := r.done(); refused != nil {
		return nil, refused
	}
	if refused := c.layout.check(c.from); refused != nil {
		return nil, refused
	}
	return &command{run: func(x *session, _ []int16) *sqlError {
		if c.from {
			return x.copyIn(c)
		}
		return x.copyOut(c)
	}}, nil
}

// layout is how rows lie in what is copied.
type layout struct {
	format                   string // text, csv or binary
	delimiter, quote, escape byte
	null                     string
	nullGiven                bool
	header, match            bool
	forceQuote               map[string]bool // of these columns
	forceAll                 bool
}

// read reads options: in parentheses, or as they were before PostgreSQL 9.0.
func (l *layout) read(r *reader, binary bool) *sqlError {
	if binary {
		l.format = "binary"
	}
	r.word("with")
	if !r.sign("(") {
		return l.readOld(r)
	}
	for {
		name, ok := r.name()
		if !ok {
			return r.syntax()
		}
		if name == "force_quote" {
			if refused := l.readForced(r); refused != nil {
				return refused
			}
		} else {
			v, ok := "", true
			if t, more := r.token(); more && t.Kind != lex.Comma && t.Kind != lex.Close {
				if v, ok = r.literal(); !ok {
					return r.syntax()
				}
			}
			if refused := l.option(name, v); refused != nil {
				return refused
			}
		}
		if !r.sign(",") {
			break
		}
	}
	if !r.sign(")") {
		return r.syntax()
	}
	return nil
}

func (l *layout) readForced(r *reader) *sqlError {
	if r.sign("*") {
		l.forceAll = true
		return nil
	}
	if !r.sign("(") {
		return r.syntax()
	}
	l.forceQuote = map[string]bool{}
	for {
		name, ok := r.name()
		if !ok {
			return r.syntax()
		}
		if l.forceQuote[name] = true; !r.sign(",") {
			break
		}
	}
	if !r.sign(")") {
		return r.syntax()
	}
	return nil
}

func (l *layout) readOld(r *reader) *sqlError {
	for !r.end() {
		switch {
		case r.word("binary"):
			l.format = "binary"
		case r.word("csv"):
			l.format = "csv"
		case r.word("header"):
			l.header = true
		case r.word("freeze"):
		default:
			t, _ := r.token()
			name, ok := map[string]string{"delimiter": "delimiter", "delimiters": "delimiter", "null": "null", "quote": "quote", "escape": "escape", "encoding": "encoding"}[t.Word]
			if !ok || t.Kind != lex.Word {
				return nil // the caller says that it is not understood
			}
			r.i++
			r.word("as")
			v, ok := r.literal()
			if !ok {
				return r.syntax()
			}
			if refused := l.option(name, v); refused != nil {
				return refused
			}
		}
	}
	return nil
}

func (l *layout) option(name, v string) *sqlError {
	one := func(to *byte) *sqlError {
		if len(v) != 1 {
			return newError(sqlstate.Unsupported, "COPY %s must be a single one-byte character", name)
		}
		*to = v[0]
		return nil
	}
	switch name {
	case "format":
		if v != "text" && v != "csv" && v != "binary" {
			return newError(sqlstate.BadParameter, "COPY format \"%s\" not recognized", v)
		}
		l.format = v
	case "delimiter":
		return one(&l.delimiter)
	case "quote":
		return one(&l.quote)
	case "escape":
		return one(&l.escape)
	case "null":
		l.null, l.nullGiven = v, true
	case "header":
		if strings.EqualFold(v, "match") {
			l.header, l.match = true, true
			return nil
		}
		b, ok := boolean(v)
		if v != "" && !ok {
			return newError(sqlstate.BadParameter, "header requires a Boolean value or \"match\"")
		}
		l.header = v == "" || b == "on"
	case "freeze": // rows are visible as others are
	case "encoding":
		if _, ok := variables["client_encoding"].check(v); !ok {
			return unsupported("COPY in another encoding than UTF-8 is not supported")
		}
	case "force_not_null", "force_null":
		return unsupported("COPY with %s is not supported", strings.ToUpper(name))
	default:
		return newError(sqlstate.SyntaxError, "option \"%s\" not recognized", name)
	}
	return nil
}

// check completes the layout.
func (l *layout) check(from bool) *sqlError {
	csv := l.format == "csv"
	switch {
	case l.format == "binary" && (l.delimiter != 0 || l.nullGiven || l.header):
		return newError(sqlstate.SyntaxError, "cannot specify DELIMITER, NULL or HEADER in BINARY mode")
	case !csv && (l.quote != 0 || l.escape != 0 || l.forceAll || l.forceQuote != nil):
		return unsupported("COPY quote, escape and force quote available only in CSV mode")
	case from && (l.forceAll || l.forceQuote != nil):
		return unsupported("COPY force quote only available using COPY TO")
	case l.match && !from:
		return newError(sqlstate.SyntaxError, "cannot use \"match\" with HEADER in COPY TO")
	}
	if l.delimiter == 0 {
		l.delimiter = '\t'
		if csv {
			l.delimiter = ','
		}
	}
	if csv && l.quote == 0 {
		l.quote = '"'
	}
	if csv && l.escape == 0 {
		l.escape = l.quote
	}
	if !l.nullGiven && !csv {
		l.null = `\N`
	}
	switch {
	case l.delimiter == '\n' || l.delimiter == '\r' || l.delimiter == '\\' && !csv:
		return newError(sqlstate.BadParameter, "COPY delimiter cannot be newline, carriage return or backslash")
	case strings.ContainsAny(l.null, "\r\n"):
		return newError(sqlstate.BadParameter, "COPY null representation cannot use newline or carriage return")
	case csv && (l.quote == l.delimiter || strings.IndexByte(l.null, l.quote) >= 0):
		return newError(sqlstate.BadParameter, "COPY delimiter, quote and null must be different")
	case strings.IndexByte(l.null, l.delimiter) >= 0:
		return newError(sqlstate.BadParameter, "COPY delimiter must not appear in the NULL specification")
	}
	return nil
}

// ---- To the client

func (x *session) copyOut(c *copyCommand) *sqlError {
	sql := c.query
	if c.table != "" {
		what := "*"
		if len(c.columns) > 0 {
			what = strings.Join(c.columns, ", ")
		}
		sql = "SELECT " + what + " FROM " + c.table
	}
	res, refused := x.one(&wirepb.Statement{Sql: sql}, true)
	if refused != nil {
		refused.position = 0
		return refused
	}
	if len(res.Columns) == 0 && c.query != "" {
		return unsupported("COPY query must have a RETURNING clause")
	}
	format := byte(textFormat)
	codes := make([]uint16, len(res.Columns))
	if c.layout.format == "binary" {
		format = binaryFormat
		for i := range codes {
			codes[i] = binaryFormat
		}
	}
	x.be.Send(&pgproto3.CopyOutResponse{OverallFormat: format, ColumnFormatCodes: codes})
	w := &copyWriter{layout: &c.layout, columns: res.Columns, call: x.call()}
	var data []byte
	emit := func(atLeast int) {
		if len(data) > atLeast {
			x.be.Send(&pgproto3.CopyData{Data: data})
			data = nil
			x.flush()
		}
	}
	data = w.begin()
	for _, r := range res.Rows {
		if data, refused = w.row(data, r); refused != nil {
			return refused
		}
		if c.layout.format != "binary" {
			x.be.Send(&pgproto3.CopyData{Data: data}) // a line each, as PostgreSQL does
			data = nil
			continue
		}
		emit(64 << 10)
	}
	if c.layout.format == "binary" {
		data = append(data, 0xff, 0xff)
	}
	emit(0)
	x.be.Send(&pgproto3.CopyDone{})
	x.be.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", len(res.Rows))})
	return nil
}

// ---- From the client

// copyRows is how many rows one INSERT takes, copyParameters how many values, copyBytes from how many bytes on it takes no more.
const (
	copyRows       = 500
	copyParameters = 10_000
	copyBytes      = 1 << 20

	valueFrame = 8 // bytes that a parameter has in a statement besides its own: its frame, and its type
)

func (x *session) copyIn(c *copyCommand) *sqlError {
	columns, refused := x.copyColumns(c)
	if refused != nil {
		return refused
	}
	if x.tx != nil && x.tx.readOnly {
		return newError(readOnlyCode, "cannot execute COPY FROM in a read-only transaction")
	}
	format := byte(textFormat)
	codes := make([]uint16, len(columns))
	if c.layout.format == "binary" {
		format = binaryFormat
		for i := range codes {
			codes[i] = binaryFormat
		}
	}
	x.be.Send(&pgproto3.CopyInResponse{OverallFormat: format, ColumnFormatCodes: codes})
	x.flush()
	in := &insertion{x: x, table: c.table, columns: columns}
	r := newCopyReader(&c.layout, columns, c.name, x.call(), in.add)
	for !x.over {
		m, err := x.receive()
		if err != nil {
			x.over = true
			return newError("08006", "the connection was lost")
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			if refused := r.write(m.Data); refused != nil {
				return refused
			}
			continue
		case *pgproto3.CopyDone:
			if refused := r.close(); refused != nil {
				return refused
			}
			if refused := in.finish(); refused != nil {
				return refused
			}
			x.be.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", in.total)})
			return nil
		case *pgproto3.CopyFail:
			return newError("57014", "COPY from stdin failed: %s", m.Message)
		case *pgproto3.Flush, *pgproto3.Sync: // PostgreSQL passes over them
			continue
		case *pgproto3.Terminate:
			x.over = true
			return newError("08006", "the connection was lost")
		case nil:
			return newError("25P03", "terminating connection due to idle-in-transaction timeout")
		}
		return newError("08P01", "unexpected message %T during COPY from stdin", m)
	}
	return newError("08006", "the connection was lost")
}

// copyColumns asks which columns a COPY writes to.
func (x *session) copyColumns(c *copyCommand) ([]*wirepb.Column, *sqlError) {
	what := "*"
	if len(c.columns) > 0 {
		what = strings.Join(c.columns, ", ")
	}
	p := &prepared{statement: &statement{sql: "SELECT " + what + " FROM " + c.table}}
	if refused := x.know(p); refused != nil {
		refused.position = 0
		return nil, refused
	}
	if len(p.described.Columns) == 0 {
		return nil, unsupported("COPY into a table without columns is not supported")
	}
	return p.described.Columns, nil
}

// insertion makes INSERTs of rows.
type insertion struct {
	x       *session
	table   string
	columns []*wirepb.Column
	rows    [][]*wirepb.Value
	size    int // of these rows
	total   int
	all     []*wirepb.Statement
}

// reserve counts what is kept until all rows have come.
func (in *insertion) reserve(size int) *sqlError {
	refused := in.x.reserve(size)
	if refused != nil && refused.code == sqlstate.LimitExceeded {
		return newError(refused.code, "COPY of more than %d bytes in a transaction", database.MaxProgram).hint("divide the rows over several COPYs, each in a transaction of its own")
	}
	return refused
}

func (in *insertion) add(row []*wirepb.Value) *sqlError {
	size := 0
	for _, v := range row {
		size += valueFrame + proto.Size(v)
	}
	if refused := in.reserve(size); refused != nil {
		return refused
	}
	in.rows = append(in.rows, row)
	in.total++
	if in.size += size; len(in.rows) < min(copyRows, max(1, copyParameters/len(in.columns))) && in.size < copyBytes {
		return nil
	}
	return in.cut()
}

// cut makes a statement of the rows that wait.
func (in *insertion) cut() *sqlError {
	if len(in.rows) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("INSERT INTO " + in.table + " (")
	for i, c := range in.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`)
	}
	b.WriteString(") OVERRIDING SYSTEM VALUE VALUES ") // COPY writes into columns that are always generated, too
	st := new(wirepb.Statement)
	for i, r := range in.rows {
		if i > 0 {
			b.WriteString(", ")
		}
		for j := range r {
			if j == 0 {
				b.WriteByte('(')
			} else {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "$%d", len(st.Parameters)+j+1)
		}
		b.WriteByte(')')
		st.Parameters = append(st.Parameters, r...)
		for _, c := range in.columns {
			st.ParameterTypes = append(st.ParameterTypes, c.TypeOid)
		}
	}
	st.Sql = b.String()
	in.rows, in.size = nil, 0
	in.all = append(in.all, st)
	return in.reserve(len(st.Sql))
}

// finish inserts all rows, or none.
func (in *insertion) finish() *sqlError {
	if refused := in.cut(); refused != nil || len(in.all) == 0 {
		return refused
	}
	_, refused := in.x.several(in.all, false)
	if refused != nil {
		refused.position = 0 // of a text that the client does not know
		if refused.code == database.CodeNoGas && refused.note == "" {
			refused.note = "divide the rows over several COPYs, each in a transaction of its own"
		}
	}
	return refused
}
