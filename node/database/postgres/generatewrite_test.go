package postgres_test

import (
	"fmt"
	"strings"
)

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
