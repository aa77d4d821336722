package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator makes statements over tables of its own. It knows types so that most of what it makes is right, and makes some that
// is wrong on purpose. What it makes has one answer: rows in an order where they are told to, sums of floats nowhere.
type generator struct {
	r       *rand.Rand
	tables  []*genTable
	n       int
	depth   int
	aliases int
}

type genTable struct {
	name    string
	columns []genColumn
	key     bool // the first column is a primary key
	extra   []string
}

type genColumn struct{ name, typ string }

// scopeColumn is a column that an expression may name.
type scopeColumn struct{ sql, typ string }

var genTypes = []string{"int4", "int4", "text", "text", "numeric(10,2)", "int8", "bool", "float8", "date", "timestamp", "varchar(8)", "int2", "uuid", "jsonb", "char(4)", "bytea", "int4[]", "interval", "timestamptz", "time"}

func (g *generator) pick(list ...string) string { return list[g.r.IntN(len(list))] }

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func base(typ string) string {
	n, rest, _ := strings.Cut(typ, "(")
	if strings.HasSuffix(rest, "[]") {
		return n + "[]"
	}
	return n
}

// literal of a type, sometimes NULL.
func (g *generator) literal(typ string) string {
	if g.chance(7) {
		return "NULL"
	}
	switch base(typ) {
	case "int4":
		return g.pick("0", "1", "2", "3", "5", "7", "10", "-1", "-3", "42", "100", "2147483647")
	case "int2":
		return g.pick("0", "1", "2", "3", "9", "32767", "-2")
	case "int8":
		return g.pick("0", "1", "2", "4", "50", "5000000000", "-7", "9223372036854775807")
	case "numeric":
		return g.pick("0.00", "1.50", "2.25", "-3.75", "10.00", "99.99", "1234.50")
	case "float8":
		return g.pick("0", "1.5", "-2.25", "1e10", "0.5", "3", "'NaN'", "'Infinity'", "100")
	case "text":
		return g.pick("''", "'a'", "'b'", "'ab'", "'B'", "'abc'", "'x y'", "'ä'", "'10'", "'%'")
	case "varchar":
		return g.pick("'a'", "'b'", "'cd'", "'Zz'", "'12345678'", "''")
	case "char":
		return g.pick("'a'", "'b '", "'abcd'", "''", "'Q'")
	case "bool":
		return g.pick("true", "false")
	case "date":
		return g.pick("'2020-01-01'", "'2021-06-15'", "'1999-12-31'", "'2020-02-29'") + "::date"
	case "timestamp":
		return g.pick("'2020-01-01 00:00:00'", "'2021-06-15 12:34:56.789'", "'1999-12-31 23:59:59'") + "::timestamp"
	case "timestamptz":
		return g.pick("'2020-01-01 00:00:00+00'", "'2021-06-15 12:34:56.789+02'", "'1999-12-31 23:59:59-05'") + "::timestamptz"
	case "time":
		return g.pick("'00:00'", "'12:34:56'", "'23:59:59.5'") + "::time"
	case "interval":
		return g.pick("'1 day'", "'2 hours'", "'1 mon'", "'10 days'", "'-1 day'") + "::interval"
	case "uuid":
		return g.pick("'00000000-0000-0000-0000-000000000001'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'") + "::uuid"
	case "jsonb":
		return g.pick(`'{"a": 1}'`, `'{"a": 2, "b": [1, 2]}'`, `'[1, "x", null]'`, `'3'`, `'"s"'`, `'null'`) + "::jsonb"
	case "bytea":
		return g.pick(`'\x00ff'`, `'\x'`, `'\x6162'`) + "::bytea"
	case "int4[]":
		return g.pick("'{1,2,3}'", "'{}'", "'{NULL,5}'", "'{7}'") + "::int4[]"
	}
	return "NULL"
}

// column of a type in scope, or a literal.
func (g *generator) column(typ string, sc []scopeColumn) string {
	var fits []string
	for _, c := range sc {
		if base(c.typ) == base(typ) {
			fits = append(fits, c.sql)
		}
	}
	if len(fits) == 0 || g.chance(15) {
		l := g.literal(typ)
		if l == "NULL" {
			return "NULL::" + base(typ)
		}
		return l
	}
	return g.pick(fits...)
}

// expr makes an expression of a type.
func (g *generator) expr(typ string, sc []scopeColumn, depth int) string {
	if depth <= 0 || g.chance(30) {
		return g.column(typ, sc)
	}
	e := func(t string) string { return g.expr(t, sc, depth-1) }
	if g.chance(8) {
		return "CASE WHEN " + g.condition(sc, depth-1) + " THEN " + e(typ) + " ELSE " + e(typ) + " END"
	}
	if g.chance(6) {
		return "coalesce(" + e(typ) + ", " + e(typ) + ")"
	}
	if g.chance(3) {
		return "nullif(" + e(typ) + ", " + e(typ) + ")"
	}
	if g.chance(3) && base(typ) != "jsonb" && base(typ) != "bytea" {
		return g.pick("greatest", "least") + "(" + e(typ) + ", " + e(typ) + ")"
	}
	switch base(typ) {
	case "int4":
		switch g.r.IntN(14) {
		case 0, 1, 2:
			return "(" + e("int4") + " " + g.pick("+", "-", "*") + " " + e("int4") + ")"
		case 3:
			return "(" + e("int4") + " " + g.pick("/", "%") + " " + e("int4") + ")"
		case 4:
			return "length(" + e("text") + ")"
		case 5:
			return "(" + e("int4") + " + " + e("int2") + ")"
		case 6:
			return "(-" + e("int4") + ")"
		case 7:
			return "abs(" + e("int4") + ")"
		case 8:
			return e("numeric") + "::int4"
		case 9:
			return "strpos(" + e("text") + ", " + e("text") + ")"
		case 10:
			return "(" + e("date") + " - " + e("date") + ")"
		case 11:
			return "cardinality(" + e("int4[]") + ")"
		case 12:
			return "(" + e("int4[]") + ")[" + e("int4") + "]"
		}
		return "ascii(" + e("text") + ")"
	case "int8":
		switch g.r.IntN(4) {
		case 0:
			return "(" + e("int8") + " " + g.pick("+", "-", "*", "/", "%") + " " + e(g.pick("int4", "int8")) + ")"
		case 1:
			return e("int4") + "::int8"
		case 2:
			return "abs(" + e("int8") + ")"
		}
		return "(" + e("int8") + " & " + e("int8") + ")"
	case "int2":
		return e("int4") + "::int2"
	case "numeric":
		switch g.r.IntN(6) {
		case 0, 1:
			return "(" + e("numeric") + " " + g.pick("+", "-", "*") + " " + e(g.pick("numeric", "int4")) + ")"
		case 2:
			return "(" + e("numeric") + " / " + e("numeric") + ")"
		case 3:
			return "round(" + e("numeric") + ", 1)"
		case 4:
			return g.pick("abs", "floor", "ceil", "sign") + "(" + e("numeric") + ")"
		}
		return e("int4") + "::numeric"
	case "float8":
		switch g.r.IntN(4) {
		case 0:
			return "(" + e("float8") + " " + g.pick("+", "-", "*", "/") + " " + e(g.pick("float8", "int4")) + ")"
		case 1:
			return g.pick("abs", "floor", "ceil", "sign") + "(" + e("float8") + ")"
		case 2:
			return e("int4") + "::float8"
		}
		return e("numeric") + "::float8"
	case "text":
		switch g.r.IntN(11) {
		case 0, 1:
			return "(" + e("text") + " || " + e(g.pick("text", "varchar", "int4", "char", "bool")) + ")"
		case 2:
			return g.pick("upper", "lower", "trim", "reverse", "initcap") + "(" + e("text") + ")"
		case 3:
			return "substr(" + e("text") + ", " + e("int4") + ")"
		case 4:
			return "left(" + e("text") + ", " + e("int4") + ")"
		case 5:
			return "replace(" + e("text") + ", " + e("text") + ", " + e("text") + ")"
		case 6:
			return e(g.pick("int4", "numeric", "bool", "date", "uuid", "varchar", "char", "jsonb", "float8")) + "::text"
		case 7:
			return "concat(" + e("text") + ", " + e("int4") + ")"
		case 8:
			return "(" + e("jsonb") + " ->> 'a')"
		case 9:
			return "lpad(" + e("text") + ", 5, '*')"
		}
		return "split_part(" + e("text") + ", ' ', 1)"
	case "varchar":
		return e("text") + "::varchar(" + fmt.Sprint(1+g.r.IntN(8)) + ")"
	case "char":
		return e("text") + "::char(4)"
	case "bool":
		return "(" + g.condition(sc, depth-1) + ")"
	case "date":
		switch g.r.IntN(3) {
		case 0:
			return "(" + e("date") + " + " + e("int2") + ")"
		case 1:
			return e("timestamp") + "::date"
		}
		return "(" + e("date") + " - 3)"
	case "timestamp":
		switch g.r.IntN(4) {
		case 0:
			return "(" + e("timestamp") + " " + g.pick("+", "-") + " " + e("interval") + ")"
		case 1:
			return e("date") + "::timestamp"
		case 2:
			return "date_trunc('" + g.pick("day", "month", "hour") + "', " + e("timestamp") + ")"
		}
		return "(" + e("timestamptz") + " at time zone 'UTC')"
	case "timestamptz":
		return "(" + e("timestamptz") + " + " + e("interval") + ")"
	case "interval":
		switch g.r.IntN(3) {
		case 0:
			return "(" + e("timestamp") + " - " + e("timestamp") + ")"
		case 1:
			return "(" + e("interval") + " * 2)"
		}
		return "(" + e("interval") + " + " + e("interval") + ")"
	case "jsonb":
		return g.pick("("+e("jsonb")+" -> 'a')", "to_jsonb("+e("int4")+")", "jsonb_build_object('k', "+e("int4")+")")
	case "int4[]":
		return g.pick("array_append("+e("int4[]")+", "+e("int4")+")", "("+e("int4[]")+" || "+e("int4")+")", "ARRAY["+e("int4")+", "+e("int4")+"]")
	}
	return g.column(typ, sc)
}

var comparedTypes = []string{"int4", "int4", "text", "numeric", "int8", "bool", "float8", "date", "timestamp", "varchar", "int2", "uuid", "jsonb", "char", "bytea", "int4[]", "interval", "timestamptz", "time"}

// condition makes a condition.
func (g *generator) condition(sc []scopeColumn, depth int) string {
	t := g.pick(comparedTypes...)
	e := func(t string) string { return g.expr(t, sc, depth-1) }
	op := g.pick("=", "<>", "<", "<=", ">", ">=")
	switch g.r.IntN(16) {
	case 0, 1, 2, 3:
		return e(t) + " " + op + " " + e(t)
	case 4:
		return e(g.pick("int4", "int2", "int8", "numeric", "float8")) + " " + op + " " + e(g.pick("int4", "int2", "int8", "numeric", "float8"))
	case 5:
		return e(t) + g.pick(" IS NULL", " IS NOT NULL")
	case 6:
		if depth > 0 {
			return "(" + g.condition(sc, depth-1) + " " + g.pick("AND", "OR") + " " + g.condition(sc, depth-1) + ")"
		}
		return "true"
	case 7:
		if depth > 0 {
			return "NOT (" + g.condition(sc, depth-1) + ")"
		}
		return "false"
	case 8:
		return e("text") + g.pick(" LIKE ", " NOT LIKE ", " ILIKE ") + g.pick("'a%'", "'%b'", "'_'", "'%'", "'A_'")
	case 9:
		return e(t) + g.pick(" IN (", " NOT IN (") + g.literal(t) + ", " + g.literal(t) + ", " + e(t) + ")"
	case 10:
		return e(t) + g.pick(" BETWEEN ", " NOT BETWEEN ") + e(t) + " AND " + e(t)
	case 11:
		return e(t) + g.pick(" IS DISTINCT FROM ", " IS NOT DISTINCT FROM ") + e(t)
	case 12:
		if len(g.tables) > 0 && depth > 0 && g.depth < 2 {
			return g.subCondition(sc, depth-1)
		}
		return e("bool")
	case 13:
		return e("int4") + " = ANY(" + e("int4[]") + ")"
	case 14:
		return g.pick(e("date")+" "+op+" "+e("timestamp"), e("varchar")+" "+op+" "+e("text"), e("char")+" "+op+" "+e("char"), e("jsonb")+" @> "+e("jsonb"))
	}
	return e("bool") + g.pick(" IS TRUE", " IS NOT FALSE", " IS UNKNOWN")
}

func (g *generator) alias() string {
	g.aliases++
	return fmt.Sprintf("a%d", g.aliases)
}

func (t *genTable) scope(alias string) (sc []scopeColumn) {
	for _, c := range t.columns {
		sc = append(sc, scopeColumn{alias + "." + c.name, c.typ})
	}
	return sc
}

func (g *generator) table() *genTable { return g.tables[g.r.IntN(len(g.tables))] }

func (g *generator) subCondition(outer []scopeColumn, depth int) string {
	g.depth++
	defer func() { g.depth-- }()
	t := g.table()
	a := g.alias()
	sc := append(t.scope(a), outer...)
	c := t.columns[g.r.IntN(len(t.columns))]
	switch g.r.IntN(3) {
	case 0:
		return g.pick("EXISTS", "NOT EXISTS") + " (SELECT 1 FROM " + t.name + " " + a + " WHERE " + g.condition(sc, depth) + ")"
	case 1:
		return g.expr(base(c.typ), outer, depth) + g.pick(" IN ", " NOT IN ") + "(SELECT " + a + "." + c.name + " FROM " + t.name + " " + a + " WHERE " + g.condition(sc, depth) + ")"
	}
	return g.expr("int4", outer, depth) + " " + g.pick("=", "<", ">") + " (SELECT " + g.pick("max", "min", "count") + "(" + g.expr("int4", t.scope(a), depth) + ") FROM " + t.name + " " + a + " WHERE " + g.condition(sc, depth) + ")"
}

// from makes FROM and what it brings into scope.
func (g *generator) from() (string, []scopeColumn) {
	t := g.table()
	a := g.alias()
	sql, sc := t.name+" "+a, t.scope(a)
	for g.chance(40) && len(sc) < 20 {
		b := g.alias()
		var right string
		var rsc []scopeColumn
		switch g.r.IntN(4) {
		case 0:
			sub, columns := g.selectColumns(2)
			right = "(" + sub + ") " + b
			for _, c := range columns {
				rsc = append(rsc, scopeColumn{b + "." + c.name, c.typ})
			}
		case 1:
			right = "(VALUES (1, 'one'), (2, 'two'), (NULL, 'none')) " + b + "(n, s)"
			rsc = []scopeColumn{{b + ".n", "int4"}, {b + ".s", "text"}}
		default:
			u := g.table()
			right, rsc = u.name+" "+b, u.scope(b)
		}
		both := append(append([]scopeColumn{}, sc...), rsc...)
		switch kind := g.pick("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ","); kind {
		case ",", "CROSS JOIN":
			if kind == "," {
				sql = sql + " CROSS JOIN " + right
			} else {
				sql = sql + " " + kind + " " + right
			}
		case "FULL JOIN":
			l, r := g.sameType(sc, rsc)
			if l == "" {
				continue
			}
			sql = sql + " FULL JOIN " + right + " ON " + l + " = " + r
		default:
			l, r := g.sameType(sc, rsc)
			on := g.condition(both, 1)
			if l != "" && g.chance(70) {
				on = l + " = " + r
			}
			sql = sql + " " + kind + " " + right + " ON " + on
		}
		sc = both
	}
	return sql, sc
}

func (g *generator) sameType(a, b []scopeColumn) (string, string) {
	for range 10 {
		x, y := a[g.r.IntN(len(a))], b[g.r.IntN(len(b))]
		if base(x.typ) == base(y.typ) {
			return x.sql, y.sql
		}
	}
	return "", ""
}

// selectColumns makes a plain query, and tells its columns.
func (g *generator) selectColumns(depth int) (string, []genColumn) {
	g.depth++
	defer func() { g.depth-- }()
	t := g.table()
	a := g.alias()
	sc := t.scope(a)
	var list []string
	var columns []genColumn
	for i := range 1 + g.r.IntN(3) {
		typ := g.pick(genTypes...)
		list = append(list, g.expr(typ, sc, depth)+fmt.Sprintf(" AS x%d", i))
		columns = append(columns, genColumn{fmt.Sprintf("x%d", i), base(typ)})
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + t.name + " " + a
	if g.chance(50) {
		sql += " WHERE " + g.condition(sc, depth)
	}
	return sql, columns
}

// next makes some statements.
func (g *generator) next() []string {
	switch {
	case len(g.tables) < 3 || len(g.tables) < 8 && g.chance(3):
		return g.create()
	case g.chance(3):
		return g.define()
	case g.chance(25):
		return []string{g.write()}
	}
	return []string{g.query()}
}
