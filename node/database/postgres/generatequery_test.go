package postgres_test

import (
	"fmt"
	"strings"
)

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
