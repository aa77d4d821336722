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

var sortable = []string{"int4", "text", "numeric", "int8", "bool", "date", "timestamp", "varchar", "int2", "uuid", "char", "bytea", "int4[]", "interval", "float8", "jsonb"}

// aggregate makes one whose result depends on no order.
func (g *generator) aggregate(sc []scopeColumn) string {
	e := func(t string) string { return g.expr(t, sc, 1) }
	sql := ""
	switch g.r.IntN(14) {
	case 0:
		sql = "count(*)"
	case 1:
		sql = "count(" + e(g.pick(sortable...)) + ")"
	case 2:
		sql = "count(DISTINCT " + e(g.pick(sortable...)) + ")"
	case 3:
		sql = "sum(" + e(g.pick("int4", "int8", "int2", "numeric")) + ")"
	case 4:
		sql = "avg(" + e(g.pick("int4", "int8", "numeric")) + ")"
	case 5, 6:
		sql = g.pick("min", "max") + "(" + e(g.pick("int4", "text", "int8", "date", "timestamp", "varchar", "float8", "int2", "time")) + ")"
	case 7:
		sql = g.pick("bool_and", "bool_or", "every") + "(" + e("bool") + ")"
	case 8:
		x := e("text")
		sql = "string_agg(" + x + ", ',' ORDER BY " + x + ")"
	case 9:
		x := e("int4")
		sql = "array_agg(" + x + " ORDER BY " + x + g.pick("", " DESC", " NULLS FIRST") + ")"
	case 10:
		sql = g.pick("sum", "count", "array_agg", "avg") + "(DISTINCT " + e("int4") + ")"
	case 11:
		sql = g.pick("stddev", "variance", "var_pop") + "(" + e("int4") + ")"
	case 12:
		x := e("int4")
		sql = "jsonb_agg(" + x + " ORDER BY " + x + ")"
	default:
		sql = g.pick("bit_and", "bit_or") + "(" + e("int4") + ")"
	}
	if g.chance(20) {
		sql += " FILTER (WHERE " + g.condition(sc, 1) + ")"
	}
	return sql
}

// query makes any query.
func (g *generator) query() string {
	g.aliases = 0
	switch g.r.IntN(10) {
	case 0:
		return g.grouped()
	case 1:
		return g.grouped()
	case 2:
		return g.setOperation()
	case 3:
		return g.windowed()
	case 4:
		return g.with()
	case 5:
		return g.wrong()
	case 6:
		return "SELECT " + g.expr(g.pick(genTypes...), nil, 3) + ", " + g.expr(g.pick(genTypes...), nil, 3)
	case 7:
		return g.special()
	}
	from, sc := g.from()
	var list []string
	for range 1 + g.r.IntN(4) {
		list = append(list, g.expr(g.pick(genTypes...), sc, 2))
	}
	if g.chance(10) {
		list = []string{"*"}
	}
	distinct := ""
	if g.chance(15) && list[0] != "*" {
		distinct = "DISTINCT "
	}
	sql := "SELECT " + distinct + strings.Join(list, ", ") + " FROM " + from
	if g.chance(60) {
		sql += " WHERE " + g.condition(sc, 2)
	}
	if list[0] != "*" && g.chance(50) {
		var keys []string
		for i := range list {
			keys = append(keys, fmt.Sprint(i+1)+g.pick("", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
		}
		sql += " ORDER BY " + strings.Join(keys, ", ")
		if g.chance(40) {
			sql += g.pick(" LIMIT 3", " LIMIT 5 OFFSET 1", " OFFSET 2", " LIMIT 0", " FETCH FIRST 2 ROWS ONLY")
		}
	}
	return sql
}

func (g *generator) grouped() string {
	from, sc := g.from()
	if g.chance(25) {
		var list []string
		for range 1 + g.r.IntN(3) {
			list = append(list, g.aggregate(sc))
		}
		sql := "SELECT " + strings.Join(list, ", ") + " FROM " + from
		if g.chance(50) {
			sql += " WHERE " + g.condition(sc, 2)
		}
		return sql
	}
	var keys, list []string
	for range 1 + g.r.IntN(2) {
		k := g.expr(g.pick("int4", "text", "bool", "date", "int8", "varchar", "int2", "uuid"), sc, g.r.IntN(2))
		keys = append(keys, k)
		list = append(list, k)
	}
	for range 1 + g.r.IntN(2) {
		list = append(list, g.aggregate(sc))
	}
	by := keys
	if g.chance(30) {
		by = nil
		for i := range keys {
			by = append(by, fmt.Sprint(i+1))
		}
	}
	for _, k := range keys {
		if !strings.ContainsAny(k, ".") { // a constant
			by = nil
			for i := range keys {
				by = append(by, fmt.Sprint(i+1))
			}
		}
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + from
	if g.chance(40) {
		sql += " WHERE " + g.condition(sc, 2)
	}
	sql += " GROUP BY " + strings.Join(by, ", ")
	if g.chance(30) {
		sql += " HAVING " + g.pick("count(*) > 1", "count(*) >= 1", "sum(1) < 10", "max(1) = 1")
	}
	if g.chance(50) {
		var order []string
		for i := range list {
			order = append(order, fmt.Sprint(i+1))
		}
		sql += " ORDER BY " + strings.Join(order, ", ")
	}
	return sql
}

func (g *generator) setOperation() string {
	types := []string{g.pick("int4", "text", "date", "int8", "uuid"), g.pick("int4", "varchar", "bool", "int2")}
	leg := func() string {
		t := g.table()
		a := g.alias()
		sc := t.scope(a)
		sql := "SELECT " + g.expr(types[0], sc, 1) + ", " + g.expr(types[1], sc, 1)
		if g.chance(85) {
			sql += " FROM " + t.name + " " + a
			if g.chance(40) {
				sql += " WHERE " + g.condition(sc, 1)
			}
		} else {
			sql = "SELECT " + g.literal(types[0]) + ", " + g.literal(types[1])
		}
		return sql
	}
	sql := leg()
	for range 1 + g.r.IntN(3) {
		sql += g.pick(" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ", " UNION ALL ", " INTERSECT ALL ", " EXCEPT ALL ") + leg()
	}
	if g.chance(60) {
		sql += " ORDER BY 1, 2"
	}
	return sql
}

func (g *generator) windowed() string {
	var t *genTable
	for _, x := range g.tables {
		if x.key {
			t = x
		}
	}
	if t == nil {
		return "SELECT 1"
	}
	sc := t.scope("t")
	key := "t." + t.columns[0].name
	frame := g.pick("", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", " ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING", " RANGE UNBOUNDED PRECEDING", " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
		" ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING")
	over := func(f string) string {
		p := ""
		if g.chance(40) {
			p = "PARTITION BY " + g.expr(g.pick("bool", "int4", "text"), sc, 1) + " "
		}
		return " OVER (" + p + "ORDER BY " + key + g.pick("", " DESC") + f + ")"
	}
	f := g.pick("row_number()", "rank()", "dense_rank()", "percent_rank()", "cume_dist()", "ntile(3)")
	list := []string{key, f + over("")}
	x := g.expr("int4", sc, 1)
	list = append(list, g.pick("sum", "avg", "min", "max", "count", "bit_or", "array_agg")+"("+x+")"+over(frame))
	list = append(list, g.pick("lag("+x+")", "lead("+x+", 2)", "lag("+x+", 1, 0)", "first_value("+x+")", "last_value("+x+")", "nth_value("+x+", 2)")+over(frame))
	return "SELECT " + strings.Join(list, ", ") + " FROM " + t.name + " t ORDER BY 1"
}

func (g *generator) with() string {
	sub, columns := g.selectColumns(2)
	var sc []scopeColumn
	for _, c := range columns {
		sc = append(sc, scopeColumn{"w." + c.name, c.typ})
	}
	if g.chance(20) {
		return "WITH RECURSIVE r(n, s) AS (SELECT 1, 'a'::text UNION ALL SELECT n + 1, s || 'b' FROM r WHERE n < " + fmt.Sprint(1+g.r.IntN(8)) + ") SELECT n, s FROM r ORDER BY n"
	}
	return "WITH w AS (" + sub + ") SELECT " + g.expr(g.pick(genTypes...), sc, 1) + ", count(*) OVER () FROM w WHERE " + g.condition(sc, 1)
}

// special makes what is used less: USING, DISTINCT ON, subqueries as values, rows of functions, rows compared.
func (g *generator) special() string {
	t, u := g.table(), g.table()
	sc := t.scope("a")
	e := func(typ string) string { return g.expr(typ, sc, 1) }
	switch g.r.IntN(16) {
	case 0:
		return "SELECT c0, a.c1, b.c1 FROM " + t.name + " a " + g.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN") + " " + u.name + " b USING (c0)"
	case 1:
		return "SELECT * FROM (SELECT c0, c1 FROM " + t.name + ") a NATURAL " + g.pick("JOIN", "LEFT JOIN", "FULL JOIN") + " (SELECT c0, c1 AS z FROM " + u.name + ") b"
	case 2:
		return "SELECT DISTINCT ON (c0) c0 FROM " + t.name + " a ORDER BY 1"
	case 3:
		x := e(g.pick("int4", "text", "bool"))
		return "SELECT DISTINCT ON (" + x + ") " + x + ", c0 FROM " + t.name + " a ORDER BY " + x + ", c0" + g.pick("", " DESC")
	case 4:
		return "SELECT c0, (SELECT " + g.pick("max(b.c0)", "count(*)", "min(b.c1)", "string_agg(b.c0::text, '-' ORDER BY b.c0)") + " FROM " + u.name + " b WHERE " + g.condition(append(u.scope("b"), sc...), 1) + ") FROM " + t.name + " a"
	case 5:
		return "SELECT c0, ARRAY(SELECT b.c0 FROM " + u.name + " b WHERE b.c0 " + g.pick("<", ">", "=") + " a.c0 ORDER BY b.c0) FROM " + t.name + " a"
	case 6:
		return "SELECT (SELECT c0 FROM " + t.name + g.pick("", " WHERE false", " ORDER BY c0 LIMIT 1") + ") IS NULL"
	case 7:
		return "SELECT a.c0, g FROM " + t.name + " a, generate_series(" + g.pick("1", "a.c0 % 20", "0") + ", " + g.pick("3", "2", "a.c0 % 3") + g.pick("", ", 2", ", -1") + ") g"
	case 8:
		return "SELECT generate_series(1, " + g.pick("3", "a.c0 % 4") + "), c0 FROM " + t.name + " a ORDER BY 1, 2" + g.pick("", " LIMIT 4")
	case 9:
		return "SELECT u, n FROM " + t.name + " a, unnest(" + e("int4[]") + ") WITH ORDINALITY x(u, n)"
	case 10:
		return "SELECT * FROM " + t.name + " a WHERE (c0, c1) " + g.pick("=", "<>", "<", ">=") + " (" + e("int4") + ", " + e(t.columns[1].typ) + ")"
	case 11:
		return "SELECT c0 FROM " + t.name + " a WHERE (c0, c1) " + g.pick("IN", "NOT IN") + " (SELECT b.c0, b.c1 FROM " + u.name + " b)"
	case 12:
		if t.key {
			return "SELECT a.*, count(*) FROM " + t.name + " a GROUP BY a.c0 ORDER BY 1" // the rest follows from the key
		}
		return "SELECT a.*, count(*) FROM " + t.name + " a GROUP BY a.c0"
	case 13:
		return "SELECT x.key, x.value FROM " + t.name + " a, jsonb_each" + g.pick("", "_text") + "(jsonb_build_object('p', " + e("int4") + ", 'q', " + e("text") + ")) x"
	case 14:
		return "SELECT CASE " + e("int4") + " WHEN 1 THEN 'one' WHEN " + e("int2") + " THEN 'two' END, c0 FROM " + t.name + " a"
	}
	return "SELECT count(*), x FROM (SELECT " + e("int4") + " AS x FROM " + t.name + " a) q GROUP BY x HAVING x " + g.pick("IS NOT NULL", "> 1", "< 5") + " ORDER BY x"
}

// wrong makes what mostly is not right: types that do not fit, names that are not there, groups that are none.
func (g *generator) wrong() string {
	from, sc := g.from()
	a, b := g.pick(comparedTypes...), g.pick(comparedTypes...)
	switch g.r.IntN(8) {
	case 0:
		return "SELECT " + g.expr(a, sc, 1) + g.pick(" + ", " - ", " * ", " / ", " || ", " < ", " = ", " % ") + g.expr(b, sc, 1) + " FROM " + from
	case 1:
		return "SELECT " + g.expr(a, sc, 1) + "::" + b + " FROM " + from
	case 2:
		return "SELECT " + g.pick("abs", "length", "upper", "sum", "avg", "max", "round", "lower", "substr", "count") + "(" + g.expr(a, sc, 1) + ") FROM " + from
	case 3:
		return "SELECT " + g.expr(a, sc, 1) + ", count(*) FROM " + from
	case 4:
		return "SELECT CASE WHEN true THEN " + g.expr(a, sc, 1) + " ELSE " + g.expr(b, sc, 1) + " END FROM " + from
	case 5:
		return "SELECT nosuch FROM " + from
	case 6:
		if a == "numeric" || b == "numeric" { // of 10 and 10.00 either may be shown
			a = "int4"
		}
		return "SELECT " + g.literal(a) + " UNION SELECT " + g.literal(b)
	}
	return "SELECT 1 FROM " + from + " WHERE " + g.expr(a, sc, 1) + " IN (" + g.expr(b, sc, 1) + ", " + g.literal(a) + ")"
}

// create makes a table.
func (g *generator) create() []string {
	g.n++
	t := &genTable{name: fmt.Sprintf("t%d", g.n), key: g.chance(70)}
	var parts []string
	for i := range 3 + g.r.IntN(4) {
		typ := g.pick(genTypes...)
		if i == 0 {
			typ = "int4"
		}
		if i == 1 {
			typ = g.pick("text", "int4")
		}
		c := genColumn{fmt.Sprintf("c%d", i), typ}
		part := c.name + " " + typ
		switch {
		case i == 0 && t.key:
			part += " PRIMARY KEY"
		case g.chance(10):
			part += " NOT NULL"
		case g.chance(10):
			part += " DEFAULT " + g.literal(typ)
		case g.chance(6) && typ != "jsonb":
			part += " UNIQUE"
		case g.chance(8) && (typ == "int4" || typ == "int2" || typ == "numeric(10,2)"):
			part += " CHECK (" + c.name + " < 1000)"
		}
		t.columns = append(t.columns, c)
		parts = append(parts, part)
	}
	if g.chance(20) && len(g.tables) > 0 {
		if p := g.table(); p.key {
			parts = append(parts, "c9 int4 REFERENCES "+p.name+g.pick("", " ON DELETE CASCADE", " ON DELETE SET NULL"))
			t.columns = append(t.columns, genColumn{"c9", "int4"})
		}
	}
	g.tables = append(g.tables, t)
	list := []string{"CREATE TABLE " + t.name + " (" + strings.Join(parts, ", ") + ")"}
	if g.chance(30) {
		list = append(list, "CREATE INDEX ON "+t.name+" ("+t.columns[1].name+")")
	}
	for i := range 4 {
		list = append(list, g.insert(t, 1+i%3, i))
	}
	return list
}

func (g *generator) insert(t *genTable, rows, seed int) string {
	var values []string
	for r := range rows {
		var row []string
		for i, c := range t.columns {
			v := g.literal(c.typ)
			if i == 0 && t.key && g.chance(85) {
				v = fmt.Sprint(g.r.IntN(40))
			}
			if g.chance(4) {
				v = "DEFAULT"
			}
			row = append(row, v)
		}
		_ = r
		values = append(values, "("+strings.Join(row, ", ")+")")
	}
	sql := "INSERT INTO " + t.name + " VALUES " + strings.Join(values, ", ")
	switch {
	case g.chance(20):
		sql += " ON CONFLICT DO NOTHING"
	case g.chance(20) && t.key:
		c := t.columns[len(t.columns)-1]
		sql += " ON CONFLICT (c0) DO UPDATE SET " + c.name + " = excluded." + c.name
		if g.chance(40) {
			sql += " WHERE " + g.condition(t.scope(t.name), 1)
		}
	}
	if g.chance(25) {
		sql += " RETURNING " + g.pick("*", "c0", "c1, c0")
	}
	return sql
}

// write makes a statement that changes rows.
func (g *generator) write() string {
	g.aliases = 0
	t := g.table()
	sc := t.scope(t.name)
	switch g.r.IntN(8) {
	case 6:
		u := g.table()
		return "DELETE FROM " + t.name + " USING " + u.name + " u WHERE " + t.name + ".c0 = u.c0 AND " + g.condition(append(sc, u.scope("u")...), 1) + " AND u.c0 % 4 = 1"
	case 7:
		u := g.table()
		return "UPDATE " + t.name + " SET c1 = (SELECT " + g.pick("max", "min") + "(u.c1) FROM " + u.name + " u WHERE u.c0 " + g.pick("<", "=", ">") + " " + t.name + ".c0) WHERE c0 % 3 = 0"
	case 0, 1:
		return g.insert(t, 1+g.r.IntN(3), 0)
	case 2:
		// Of keys, because a change of many rows of a unique column depends on their order.
		c := t.columns[1+g.r.IntN(len(t.columns)-1)]
		sql := "UPDATE " + t.name + " SET " + c.name + " = " + g.expr(c.typ, sc, 2) + " WHERE "
		if t.key {
			sql += t.name + ".c0 = " + fmt.Sprint(g.r.IntN(40))
		} else {
			sql += g.condition(sc, 2)
		}
		if g.chance(30) {
			sql += " RETURNING *"
		}
		return sql
	case 3:
		sql := "DELETE FROM " + t.name + " WHERE " + g.condition(sc, 2)
		if g.chance(60) && t.key {
			sql += " AND c0 % 3 = 0"
		}
		if g.chance(30) {
			sql += " RETURNING c0"
		}
		return sql
	case 4:
		u := g.table()
		return "UPDATE " + t.name + " SET c1 = " + g.expr(t.columns[1].typ, append(sc, u.scope("u")...), 1) + " FROM (SELECT * FROM " + u.name + " ORDER BY 1, 2, 3 LIMIT 1) u WHERE " + g.condition(append(sc, u.scope("u")...), 1)
	}
	return "INSERT INTO " + t.name + " (c0, c1) SELECT " + g.expr("int4", sc, 1) + ", " + g.expr(t.columns[1].typ, sc, 1) + " FROM " + t.name + " WHERE " + g.condition(sc, 1)
}

// define makes a statement that changes a table.
func (g *generator) define() []string {
	t := g.table()
	switch g.r.IntN(9) {
	case 0:
		c := genColumn{fmt.Sprintf("d%d", len(t.columns)), g.pick(genTypes...)}
		for _, o := range t.columns {
			if o.name == c.name {
				return nil
			}
		}
		t.columns = append(t.columns, c)
		def := ""
		if g.chance(60) {
			def = " DEFAULT " + g.literal(c.typ)
		}
		return []string{"ALTER TABLE " + t.name + " ADD COLUMN " + c.name + " " + c.typ + def}
	case 1:
		if len(t.columns) < 4 {
			return nil
		}
		c := t.columns[len(t.columns)-1]
		t.columns = t.columns[:len(t.columns)-1]
		return []string{"ALTER TABLE " + t.name + " DROP COLUMN " + c.name}
	case 2:
		c := t.columns[1+g.r.IntN(len(t.columns)-1)]
		return []string{"ALTER TABLE " + t.name + " ALTER COLUMN " + c.name + g.pick(" SET NOT NULL", " DROP NOT NULL", " DROP DEFAULT", " SET DEFAULT "+g.literal(c.typ))}
	case 3:
		i := 1 + g.r.IntN(len(t.columns)-1)
		return []string{"ALTER TABLE " + t.name + " RENAME COLUMN " + t.columns[i].name + " TO tmp", "ALTER TABLE " + t.name + " RENAME COLUMN tmp TO " + t.columns[i].name}
	case 4:
		return []string{"CREATE " + g.pick("", "UNIQUE ") + "INDEX ON " + t.name + " (" + t.columns[g.r.IntN(len(t.columns))].name + g.pick("", " DESC", ", c0") + ")"}
	case 5:
		return []string{"ALTER TABLE " + t.name + " ADD CONSTRAINT k" + fmt.Sprint(g.r.IntN(1000)) + g.pick(" CHECK (c0 <> 77)", " CHECK (c0 > 100)", " UNIQUE (c0, c1)", " UNIQUE (c1)")}
	case 6:
		return []string{"CREATE INDEX ON " + t.name + " (" + g.pick("(c0 + 1)", "c0", "c1") + ") WHERE c0 > 3"}
	case 7:
		return []string{"TRUNCATE " + t.name, g.insert(t, 3, 1)}
	}
	return []string{"ALTER TABLE " + t.name + " DROP CONSTRAINT IF EXISTS k" + fmt.Sprint(g.r.IntN(1000))}
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
