package postgres

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxViewWords bounds what views, defaults and checks stand for in a statement, together.
const maxViewWords = 20_000

// A compiler makes one statement.
type compiler struct {
	s    *session
	cat  *catalog
	file engine.File

	sql     string // that is compiled now: the statement, or what it names a view, a default or a check by
	stored  bool   // it is not the statement itself
	keeps   bool   // what is compiled will be kept in the file: it may not depend on the session, nor hold arguments
	words   int    // of what is stored
	aliases int
	ctes    []*cte

	params []oid // of the statement's parameters; 0: not known yet
	fixed  []bool
	places map[int]int // of parameters among args
	args   []any
	texts  map[string]int // places of constants

	roles    []uint32          // that the program has the rights of; nil: it runs as the owner
	owned    bool              // what is compiled is the owner's
	securing []uint32          // tables whose policies are being compiled
	denied   error             // what the role may not
	pushed   map[string]string // conditions of the statement that its tables may be searched by, by their aliases

	unidentified error // a change whose row who follows could not tell

	sequences bool   // it may use one
	notifies  bool   // it may notify
	upsert    bool   // it looks whether rows come twice
	folded    uint64 // gas of constants that were computed
	meant     *meant // what is compiled is a view's, of which this is to be known
	late      error  // what the statement fails with when all else is right
}

func compile(s *session, f engine.File, sql string, types []uint32) (t *engine.Translation, err error) {
	c := &compiler{s: s, cat: s.cat, file: f, sql: sql, places: map[int]int{}, texts: map[string]int{}}
	for _, t := range types {
		if t != 0 && typeOf(oid(t)).OID == 0 {
			return nil, fail("42704", "type with OID %d does not exist", t)
		}
		if oid(t) == postgres.Unknown {
			t = 0
		}
		c.params, c.fixed = append(c.params, oid(t)), append(c.fixed, t != 0)
	}
	if c.roles, err = s.as(s.cat); err != nil {
		return nil, err
	}
	n, err := c.parse(sql)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return c.translation(&engine.Translation{}), nil
	}
	if t, err = c.statement(n); err != nil {
		var e *engine.Error
		if !errors.As(err, &e) {
			err = toError(err)
		}
		return nil, err
	}
	if c.late != nil {
		return nil, c.late
	}
	if c.denied != nil {
		return nil, c.denied
	}
	if c.unidentified != nil {
		return nil, c.unidentified
	}
	for i := range t.Steps {
		t.Steps[i].SQL = c.searched(t.Steps[i].SQL)
	}
	for i, p := range c.params {
		if p == 0 {
			return nil, fail("42P18", "could not determine data type of parameter $%d", i+1)
		}
	}
	return c.translation(t), nil
}

// toError makes the engine's error of one of protocol/postgres.
func toError(err error) *engine.Error {
	var e *postgres.Error
	if errors.As(err, &e) {
		return &engine.Error{Code: e.Code, Text: e.Text, Detail: e.Detail, Hint: e.Hint}
	}
	var own *engine.Error
	if errors.As(err, &own) {
		return own
	}
	return fail("XX000", "%v", err)
}

// translation completes t.
func (c *compiler) translation(t *engine.Translation) *engine.Translation {
	for _, p := range c.params {
		t.Parameters = append(t.Parameters, uint32(p))
	}
	types := c.params
	t.Bind = func(values []*wirepb.Value) ([]any, *engine.Error) { return c.s.bind(types, values) }
	s := c.s
	if c.sequences || c.upsert {
		sequences := c.sequences
		t.Prepare = func(f engine.File) error {
			s.once = map[string]bool{}
			if !sequences {
				return nil
			}
			return s.readSequences(f)
		}
	}
	if sequences, notifies, cat := c.sequences, c.notifies, c.cat; sequences || notifies {
		t.Schema = t.Schema || notifies && !cat.head.Feeds
		t.After = func() (steps []engine.Step) {
			if sequences {
				steps = s.writeSequences()
			}
			if notifies {
				steps = append(steps, s.writeNotices(cat)...)
			}
			return steps
		}
	}
	return t
}

// parse returns the tree of one statement, nil if there is none.
func (c *compiler) parse(sql string) (*pg.Node, error) {
	if _, e := measure(sql); e != nil {
		return nil, e
	}
	tree, err := pg.Parse(sql)
	if err != nil {
		var e *parser.Error
		if !errors.As(err, &e) {
			return nil, fail("54001", "statement too complex")
		}
		code := "42601"
		switch {
		case strings.HasPrefix(e.Message, "memory exhausted"):
			code = "54001"
		case strings.Contains(e.Message, "not supported") || strings.Contains(e.Message, "not implemented"):
			code = "0A000"
		case strings.HasPrefix(e.Message, "invalid Unicode") || strings.HasPrefix(e.Message, "invalid byte"):
			code = "22021"
		}
		out := fail(code, "%s", e.Message)
		if e.Cursorpos > 0 {
			out.Position = e.Cursorpos
		}
		return nil, out
	}
	switch len(tree.Stmts) {
	case 0:
		return nil, nil
	case 1:
		return tree.Stmts[0].Stmt, nil
	}
	return nil, fail("42601", "cannot insert multiple commands into a prepared statement")
}

// position of a byte, in characters from 1; 0 for what is stored.
func (c *compiler) position(at int32) int {
	if c.stored || at < 0 || int(at) > len(c.sql) {
		return 0
	}
	return utf8.RuneCountInString(c.sql[:at]) + 1
}

// fail makes an error at a place.
func (c *compiler) fail(at int32, code, format string, args ...any) *engine.Error {
	e := fail(code, format, args...)
	e.Position = c.position(at)
	return e
}

func (c *compiler) refuse(at int32, format string, args ...any) *engine.Error {
	e := refuse(format, args...)
	e.Position = c.position(at)
	return e
}

// within compiles SQL that is stored: of a view, a default, a check.
func (c *compiler) within(sql string, f func() error) error {
	n, e := measure(sql)
	if e != nil {
		return e
	}
	if c.words += n; c.words > maxViewWords {
		return fail("54001", "statement too complex: views, defaults and checks of more than %d words", maxViewWords)
	}
	was, stored := c.sql, c.stored
	c.sql, c.stored = sql, true
	defer func() { c.sql, c.stored = was, stored }()
	return f()
}

// expression parses an expression by itself.
func (c *compiler) parseExpression(sql string) (*pg.Node, error) {
	n, err := c.parse("SELECT " + sql)
	if err != nil {
		return nil, err
	}
	s := n.GetSelectStmt()
	if s == nil || len(s.TargetList) != 1 {
		return nil, corrupt("an expression that is none")
	}
	return s.TargetList[0].GetResTarget().Val, nil
}

func (c *compiler) alias() string {
	c.aliases++
	return "r" + strconv.Itoa(c.aliases)
}

// place of an argument.
func (c *compiler) place(v any) string {
	c.args = append(c.args, v)
	return "?" + strconv.Itoa(len(c.args))
}

// cell writes a cell as SQL.
func (c *compiler) cell(v any) string {
	switch v := v.(type) {
	case int64:
		if v < 0 {
			return "(" + strconv.FormatInt(v, 10) + ")"
		}
		return strconv.FormatInt(v, 10)
	case float64:
		return `"float"('` + strconv.FormatFloat(v, 'g', -1, 64) + `')`
	case string:
		if len(v) <= 64 || c.keeps {
			return quoteText(v)
		}
		if n, ok := c.texts[v]; ok {
			return "?" + strconv.Itoa(n)
		}
		p := c.place(v)
		c.texts[v] = len(c.args)
		return p
	case databaseName:
		return `"database"()`
	case []byte:
		if len(v) <= 64 || c.keeps {
			return "x'" + string(hexOf(v)) + "'"
		}
		return c.place(v)
	}
	return "NULL"
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func names(list []*pg.Node) (out []string) {
	for _, n := range list {
		out = append(out, n.GetString_().GetSval())
	}
	return out
}

// bind makes cells of parameters: a text is read as PostgreSQL's text format, all else must be a cell of the type.
func (s *session) bind(types []oid, values []*wirepb.Value) ([]any, *engine.Error) {
	if len(values) != len(types) {
		return nil, fail("08P01", "%d parameters for a statement of %d", len(values), len(types))
	}
	out := make([]any, len(values))
	call := &postgres.Call{Env: s.env}
	for i, v := range values {
		t := types[i]
		bad := func() *engine.Error { return fail("22P03", "parameter $%d is no value of type %s", i+1, typeName(t)) }
		switch x := v.GetValue().(type) {
		case *wirepb.Value_Text:
			cell, err := s.input(call, t, x.Text)
			if err != nil {
				return nil, toError(err)
			}
			out[i] = cell
		case *wirepb.Value_Integer:
			switch {
			case t == postgres.Numeric:
				out[i] = strconv.FormatInt(x.Integer, 10)
			case t == postgres.Float8:
				out[i] = float64(x.Integer)
			case t == postgres.Float4:
				out[i] = float64(float32(x.Integer))
			case t == postgres.Bool && (x.Integer == 0 || x.Integer == 1):
				out[i] = x.Integer
			case t == postgres.Bool || typeOf(t).Storage != postgres.Integer:
				return nil, bad()
			default:
				if !validInteger(call, t, x.Integer) {
					return nil, fail("22003", "parameter $%d is out of range for type %s", i+1, typeName(t))
				}
				out[i] = x.Integer
			}
		case *wirepb.Value_Real:
			switch t {
			case postgres.Float8:
				out[i] = x.Real
			case postgres.Float4:
				out[i] = float64(float32(x.Real))
			default:
				return nil, bad()
			}
		case *wirepb.Value_Blob:
			switch {
			case t == postgres.Bytea, t == postgres.UUID && len(x.Blob) == 16, t == postgres.TimeTZ && validTimeTZ(call, x.Blob):
				out[i] = append([]byte{}, x.Blob...)
			default:
				return nil, bad()
			}
		}
	}
	return out, nil
}

// validTimeTZ goes through the binary format, too.
func validTimeTZ(call *postgres.Call, cell []byte) bool {
	if len(cell) != 12 {
		return false
	}
	b, err := postgres.Encode(postgres.TimeTZ, cell)
	if err != nil {
		return false
	}
	v, err := postgres.Decode(call, postgres.TimeTZ, -1, b)
	again, ok := v.([]byte)
	return err == nil && ok && string(again) == string(cell)
}

// validInteger goes through the binary format, which says what a type may hold.
func validInteger(call *postgres.Call, t oid, n int64) bool {
	switch t {
	case postgres.Int2, postgres.Int4, postgres.Int8:
		low, high := integerRange(t)
		return n >= low && n <= high
	case postgres.Date:
		if n != int64(int32(n)) {
			return false
		}
	case postgres.OIDType, postgres.Regclass, postgres.Regtype, postgres.Regproc, postgres.Regnamespace, postgres.Regconfig:
		return n >= 0 && n < 1<<32
	}
	b, err := postgres.Encode(t, n)
	if err != nil {
		return false
	}
	v, err := postgres.Decode(call, t, -1, b)
	return err == nil && v == any(n)
}
