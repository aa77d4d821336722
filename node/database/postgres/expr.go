package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// An expr is an expression of SQLite's that has PostgreSQL's value, and what is known of it.
type expr struct {
	c     *compiler
	at    int32
	sql   string
	typ   oid
	mod   int32
	con   bool // a constant: val
	val   any
	param int // a parameter whose type is not known yet, from 1

	uses     []use // columns outside of aggregates
	aggs     bool  // holds an aggregate of this level
	windows  bool
	sub      bool // holds a subquery
	volatile bool
	stable   bool    // depends on the transaction or the session
	err      error   // what it fails with when PostgreSQL plans it
	row      []*expr // a row of several
	srf      *source // rows of a function: sql is one's value
	table    uint32  // the column that it is
	number   int
}

// A use is a column of a query level.
type use struct {
	level *scope
	name  string
	at    int32
	key   string
}

func (e *expr) fail(code, format string, args ...any) *engine.Error {
	if e.c == nil {
		return fail(code, format, args...)
	}
	return e.c.fail(e.at, code, format, args...)
}

// constant makes an expression of a cell.
func (c *compiler) constant(at int32, t oid, mod int32, v any) *expr {
	return &expr{c: c, at: at, sql: c.cell(v), typ: t, mod: mod, con: true, val: v}
}

func (c *compiler) null(at int32) *expr { return c.constant(at, postgres.Unknown, -1, nil) }

// combine makes an expression of others.
func (c *compiler) combine(at int32, t oid, sql string, of ...*expr) *expr {
	e := &expr{c: c, at: at, sql: sql, typ: t, mod: -1}
	for _, o := range of {
		e.inherit(o)
	}
	return e
}

// withUses adds columns, each once: operands that are said twice would double them.
func withUses(uses, more []use) []use {
	own := false
	for _, u := range more {
		if slices.ContainsFunc(uses, func(o use) bool { return o.level == u.level && o.key == u.key }) {
			continue
		}
		if !own {
			uses, own = slices.Clip(uses), true // not to write into another's
		}
		uses = append(uses, u)
	}
	return uses
}

func (e *expr) inherit(o *expr) {
	e.uses = withUses(e.uses, o.uses)
	e.aggs = e.aggs || o.aggs
	e.windows = e.windows || o.windows
	e.sub = e.sub || o.sub
	e.volatile = e.volatile || o.volatile
	e.stable = e.stable || o.stable
	if e.err == nil {
		e.err = o.err
	}
	if o.srf != nil {
		e.srf = o.srf
	}
}

// without keeps of expressions that a constant made needless what decides whether the statement is right: columns and aggregates.
func (e *expr) without(list ...*expr) *expr {
	out := *e
	for _, o := range list {
		out.uses = withUses(out.uses, o.uses)
		out.aggs = out.aggs || o.aggs
	}
	return &out
}

// after is an expression that follows from others once they are computed: what fails there fails here.
func (e *expr) after(list ...*expr) *expr {
	out := e.without(list...)
	for _, o := range list {
		if out.err == nil {
			out.err = o.err
		}
	}
	return out
}

// fixed tells whether an expression is the same for all rows, so that it neither groups nor orders.
func (e *expr) fixed() bool {
	return e.con || len(e.uses) == 0 && !e.sub && !e.aggs && !e.windows && e.srf == nil && !e.volatile
}

// failing is a constant that cannot be computed. PostgreSQL finds that when it plans a statement, after it has understood all of it.
func (e *expr) failing(err error) *expr {
	out := *e
	out.err = toError(err)
	return &out
}

func constants(list []*expr) bool {
	for _, e := range list {
		if !e.con || e.typ == postgres.Unknown && e.val != nil {
			return false
		}
	}
	return true
}

// collated is the expression where it is compared, sorted or grouped by.
func (e *expr) collated() string { return e.sql + collate(e.typ) }

// collate names a type's collation. It is said wherever texts are compared, also for those that bytes order: SQLite takes a COLLATE
// from anywhere within an operand, through columns of subqueries too, where nothing is said.
func collate(t oid) string {
	x := typeOf(t)
	switch {
	case x.Collation != "":
		return " COLLATE " + x.Collation
	case x.Storage == postgres.Texts:
		return " COLLATE BINARY"
	}
	return ""
}

// special are the words that a time means by when it is read.
var special = []string{"now", "today", "tomorrow", "yesterday"}

// clocked tells whether what a text means as a type depends on when, or in which zone, it is read.
func clocked(t oid, s string) bool {
	if e := typeOf(t).Elem; e != 0 {
		t = e
	}
	switch t {
	case postgres.Date, postgres.Time, postgres.Timestamp, postgres.TimestampTZ, postgres.TimeTZ:
		l := strings.ToLower(s)
		for _, w := range special {
			if strings.Contains(l, w) {
				return true
			}
		}
		return t == postgres.TimeTZ
	}
	return false
}

// input reads a text as a type; relations and types are the catalog's to know.
func (s *session) input(call *postgres.Call, t oid, text string) (any, error) {
	switch t {
	case postgres.Regclass:
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			return int64(n), nil
		}
		parts, err := splitIdentifier(text)
		if err != nil {
			return nil, err
		}
		if o, ok := systemRelations[parts[len(parts)-1]]; ok && (len(parts) == 1 || len(parts) == 2 && parts[0] == catalogSchema) {
			return o, nil
		}
		r, err := s.relationNamed(parts)
		if err != nil {
			return nil, err
		}
		return int64(r.OID), nil
	case postgres.Regnamespace:
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			return int64(n), nil
		}
		parts, err := splitIdentifier(text)
		if err != nil {
			return nil, err
		}
		n, ok := s.cat.namespaceOID(parts[0])
		if len(parts) > 1 || !ok {
			return nil, fail("3F000", "schema \"%s\" does not exist", text)
		}
		return n, nil
	case postgres.Regtype:
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			return int64(n), nil
		}
		x, ok := postgres.TypeNamed(strings.ToLower(strings.TrimSpace(text)))
		if !ok {
			return nil, fail("42704", "type \"%s\" does not exist", text)
		}
		return int64(x.OID), nil
	case postgres.Regproc:
		return nil, refuse("reading a value of type %s", typeName(t))
	}
	return postgres.Input(call, t, -1, text)
}

// splitIdentifier divides a name as it is written in SQL.
func splitIdentifier(s string) (parts []string, err error) {
	bad := fail("42602", "invalid name syntax")
	for s = strings.TrimSpace(s); ; {
		var part string
		if strings.HasPrefix(s, `"`) {
			n := strings.IndexByte(s[1:], '"')
			if n < 1 || strings.HasPrefix(s[n+2:], `"`) {
				return nil, bad
			}
			part, s = s[1:n+1], s[n+2:]
		} else {
			n := strings.IndexByte(s, '.')
			if n < 0 {
				n = len(s)
			}
			part, s = lowerASCII(strings.TrimSpace(s[:n])), s[n:]
			if part == "" || strings.ContainsAny(part, " \"()") {
				return nil, bad
			}
		}
		parts = append(parts, part)
		if s = strings.TrimSpace(s); s == "" {
			return parts, nil
		}
		if s[0] != '.' {
			return nil, bad
		}
		s = strings.TrimSpace(s[1:])
	}
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

func (s *session) relationNamed(parts []string) (*relation, error) {
	var r *relation
	switch len(parts) {
	case 1:
		r = s.cat.find("", parts[0])
	case 2:
		r = s.cat.find(parts[0], parts[1])
	}
	if r == nil {
		return nil, fail("42P01", "relation \"%s\" does not exist", strings.Join(parts, "."))
	}
	return r, nil
}

// sameCells tells whether values of a type are cells of another as they are.
func sameCells(from, to oid) bool {
	if from == to {
		return true
	}
	switch to {
	case postgres.Int4:
		return from == postgres.Int2
	case postgres.Int8:
		return from == postgres.Int2 || from == postgres.Int4 || from == postgres.OIDType || isReg(from) || from == postgres.Regconfig
	case postgres.Text:
		return from == postgres.Varchar || from == postgres.Name
	case postgres.Varchar:
		return from == postgres.Text || from == postgres.Name
	case postgres.Float8:
		return from == postgres.Float4
	case postgres.OIDType, postgres.Regclass, postgres.Regtype, postgres.Regnamespace, postgres.Regconfig:
		return from == postgres.OIDType || isReg(from) || from == postgres.Regconfig
	case postgres.JSON:
		return from == postgres.JSONB
	}
	f, t := typeOf(from).Elem, typeOf(to).Elem
	return f != 0 && t != 0 && (f == postgres.Varchar && t == postgres.Text || f == postgres.Text && t == postgres.Varchar || f == postgres.Int2 && t != postgres.Text && sameCells(f, t) || f == postgres.Int4 && t == postgres.Int8)
}

// isReg tells types whose values are OIDs and whose texts are names of the catalog.
func isReg(t oid) bool {
	return t == postgres.Regclass || t == postgres.Regtype || t == postgres.Regnamespace
}

func zoned(t oid) bool {
	if e := typeOf(t).Elem; e != 0 {
		t = e
	}
	return t == postgres.TimestampTZ || t == postgres.TimeTZ
}

// coerce makes a value of a type, where a context allows it, and fits it to a typmod.
func (c *compiler) coerce(e *expr, to oid, mod int32, context postgres.Context) (*expr, error) {
	explicit := context == postgres.Explicit
	if e.row != nil {
		return nil, c.refuse(e.at, "a row as a value")
	}
	switch {
	case e.param > 0 && e.typ == postgres.Unknown:
		n := e.param
		if c.params[n-1] == 0 {
			c.params[n-1] = to
		} else if c.params[n-1] != to {
			return nil, c.fail(e.at, "42P08", "inconsistent types deduced for parameter $%d", n)
		}
		out := *e
		out.typ, out.param = to, 0
		e = &out
	case e.typ == postgres.Unknown && e.con:
		if e.val == nil {
			return c.constant(e.at, to, mod, nil), nil
		}
		text := e.val.(string)
		if clocked(to, text) {
			if c.stored || c.keeps {
				return nil, c.refuse(e.at, "\"%s\" as a time that is stored", text)
			}
			e = c.combine(e.at, to, c.castSQL(postgres.Unknown, to, mod, explicit, e.sql))
			e.mod, e.stable = mod, true
			return e, nil
		}
		inputMod := int32(-1)
		if to == postgres.Interval {
			inputMod = mod
		}
		var v any
		var err error
		if inputMod != -1 {
			v, err = postgres.Input(&postgres.Call{Env: c.s.env}, to, inputMod, text)
		} else {
			v, err = c.s.input(&postgres.Call{Env: c.s.env}, to, text)
		}
		if err != nil {
			out := toError(err)
			if out.Position == 0 {
				out.Position = c.position(e.at)
			}
			return nil, out
		}
		typed := c.constant(e.at, to, -1, v)
		typed.stable = zoned(to)
		e = typed
	case e.typ == postgres.Unknown:
		text := *e // an expression of unknown type that is no literal is a text
		text.typ = postgres.Text
		return c.coerce(&text, to, mod, context)
	case e.typ != to:
		if !canCast(e.typ, to, context) {
			return nil, c.fail(e.at, "42846", "cannot cast type %s to %s", typeName(e.typ), typeName(to))
		}
		return c.convert(e, to, mod, explicit)
	}
	if mod == e.mod || mod < 0 || e.con && e.val == nil {
		if mod >= 0 {
			e.mod = mod
		}
		return e, nil
	}
	return c.convert(e, to, mod, explicit)
}

func (c *compiler) castSQL(from, to oid, mod int32, explicit bool, sql string) string {
	return `"cast"(` + strconv.Itoa(int(from)) + "," + strconv.Itoa(int(to)) + "," + strconv.Itoa(int(mod)) + "," + strconv.FormatInt(boolean(explicit).(int64), 10) + "," + sql + ")"
}

// convert casts; it may be done.
func (c *compiler) convert(e *expr, to oid, mod int32, explicit bool) (*expr, error) {
	if e.typ == postgres.Record || to == postgres.Regproc || e.typ == postgres.Regproc {
		return nil, c.refuse(e.at, "a cast from %s to %s", typeName(e.typ), typeName(to))
	}
	if e.typ == to && typeOf(to).Elem != 0 && mod < 0 || sameCells(e.typ, to) && mod < 0 {
		out := *e
		out.typ, out.mod, out.table, out.number = to, mod, 0, 0
		if e.con {
			out.sql = c.cell(e.val)
		}
		return &out, nil
	}
	if isReg(e.typ) && isString(to) {
		if e.con {
			v, err := postgres.Convert(&postgres.Call{Env: c.s.env}, postgres.Text, to, mod, explicit, c.s.regText(e.typ, e.val))
			if err != nil {
				return nil, err
			}
			return c.constant(e.at, to, mod, v), nil
		}
		named := c.combine(e.at, postgres.Text, `"reg"(`+strconv.Itoa(int(e.typ))+","+e.sql+")", e)
		named.stable = true
		return c.coerce(named, to, mod, postgres.Explicit)
	}
	if isString(e.typ) && isReg(to) {
		if e.con && e.val != nil {
			v, err := c.s.input(&postgres.Call{Env: c.s.env}, to, e.val.(string))
			if err != nil {
				return nil, err
			}
			return c.constant(e.at, to, -1, v), nil
		}
		out := c.combine(e.at, to, `"named"(`+strconv.Itoa(int(to))+","+e.sql+")", e)
		out.stable = true
		return out, nil
	}
	stable := zoned(e.typ) && !zoned(to) || zoned(to) && !zoned(e.typ) || zoned(e.typ) && isString(to) || isString(e.typ) && category(to) == 'D' || e.typ == postgres.Regconfig && isString(to) || isString(e.typ) && to == postgres.Regconfig
	if e.con && !stable {
		v, err := postgres.Convert(&postgres.Call{Env: c.s.env}, e.typ, to, mod, explicit, e.val)
		if err == nil {
			return c.constant(e.at, to, mod, v), nil
		}
		e = e.failing(err)
	}
	out := c.combine(e.at, to, c.castSQL(e.typ, to, mod, explicit, e.sql), e)
	out.mod, out.stable = mod, out.stable || stable
	return out, nil
}

// toBool is for conditions.
func (c *compiler) toBool(e *expr, what string) (*expr, error) {
	if e.typ != postgres.Bool && e.typ != postgres.Unknown {
		return nil, e.fail("42804", "argument of %s must be type boolean, not type %s", what, typeName(e.typ))
	}
	return c.coerce(e, postgres.Bool, -1, postgres.Assignment)
}

// resolveUnknown makes text of what has no type yet.
func (c *compiler) resolveUnknown(e *expr) (*expr, error) {
	if e.typ == postgres.Unknown && e.row == nil {
		return c.coerce(e, postgres.Text, -1, postgres.Implicit)
	}
	return e, nil
}

func quoteIdent(s string) string { return postgres.QuoteIdent(s) }
