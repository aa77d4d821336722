package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// onConflict returns the clause, and a condition that sees to it that no row is proposed twice.
func (c *compiler) onConflict(o *pg.OnConflictClause, t *target, many bool) (clause, once string, changed []int, err error) {
	var keys []int
	if o.Infer != nil {
		if keys, err = c.arbiter(o.Infer, t.rel); err != nil {
			return "", "", nil, err
		}
		t.read = true // as PostgreSQL has it
	}
	on := " ON CONFLICT"
	if keys != nil {
		var list []string
		for _, n := range keys {
			list = append(list, t.rel.column(n).stored())
		}
		on += "(" + strings.Join(list, ",") + ")"
	}
	if o.Action == pg.OnConflictAction_ONCONFLICT_NOTHING {
		return on + " DO NOTHING", "", nil, nil
	}
	if keys == nil {
		return "", "", nil, c.fail(o.Location, "42601", "ON CONFLICT DO UPDATE requires inference specification or constraint name")
	}
	c.need(t.rel, "w")
	excluded := &item{name: "excluded", alias: "excluded", bare: true, named: true}
	for _, f := range t.it.columns {
		g := *f
		g.of = nil
		g.sql = "excluded." + t.rel.column(f.number).stored()
		excluded.columns = append(excluded.columns, &g)
	}
	sc := &scope{items: []*item{t.it, excluded}}
	if err := c.distinctNames(sc.items); err != nil {
		return "", "", nil, err
	}
	set, changed, of, err := c.assignments(o.TargetList, t, sc)
	if err != nil {
		return "", "", nil, err
	}
	for _, e := range of {
		if e.sub && many { // it would see what the rows before it did
			return "", "", nil, c.refuse(e.at, "a subquery in ON CONFLICT for several rows")
		}
	}
	clause = on + " DO UPDATE SET " + strings.Join(set, ",")
	where := ""
	if o.WhereClause != nil {
		sc.forbids, sc.noWin = "WHERE", "WHERE"
		e, err := c.expr(o.WhereClause, sc)
		if err != nil {
			return "", "", nil, err
		}
		if e, err = c.toBool(e, "WHERE"); err != nil {
			return "", "", nil, err
		}
		if e.sub && many {
			return "", "", nil, c.refuse(e.at, "a subquery in ON CONFLICT for several rows")
		}
		where = e.sql
	}
	if c.secured(t.rel) {
		if where, err = c.securedConflict(o, t, changed, of, where, many); err != nil {
			return "", "", nil, err
		}
	}
	if where != "" {
		clause += " WHERE " + where
	}
	if !many {
		return clause, "", changed, nil
	}
	var list []string
	live := t.rel.live()
	for _, n := range keys {
		col := t.rel.column(n)
		if slices.Contains(changed, n) {
			return "", "", nil, c.refuse(o.Location, "ON CONFLICT DO UPDATE of several rows that sets what they are found by")
		}
		sql := "o." + outputName(slices.Index(live, col))
		switch {
		case col.Type == postgres.Numeric:
			sql = signature("trim_scale", []oid{postgres.Numeric}) + "(" + sql + ")"
		case col.Type == postgres.Float4 || col.Type == postgres.Float8:
			sql = "(" + sql + "+0.0)"
		case typeOf(col.Type).Collation != "":
			return "", "", nil, c.refuse(o.Location, "ON CONFLICT DO UPDATE of several rows by a column of type %s", typeName(col.Type))
		}
		list = append(list, sql)
	}
	c.upsert = true
	return clause, `"once"(` + strconv.FormatInt(boolean(o.WhereClause == nil).(int64), 10) + "," + strings.Join(list, ",") + ")", changed, nil
}

// securedConflict is the condition of DO UPDATE with what policies want of the row that is there and of the one that it becomes.
func (c *compiler) securedConflict(o *pg.OnConflictClause, t *target, changed []int, of []*expr, where string, many bool) (string, error) {
	for _, e := range of {
		if e.volatile {
			return "", c.refuse(e.at, "what is not the same each time in ON CONFLICT on a table with row security")
		}
	}
	old, sub, err := c.inTheWay(t)
	if err != nil {
		return "", err
	}
	check, more, err := c.written(t, over(t.rel, t.it.alias, func(col *column) string {
		if i := slices.Index(changed, col.Number); i >= 0 {
			return "(" + of[i].sql + ")"
		}
		return t.it.alias + "." + col.stored()
	}), "w")
	if err != nil {
		return "", err
	}
	if (sub || more) && many {
		return "", c.refuse(o.Location, "a policy with a subquery in ON CONFLICT for several rows")
	}
	if where == "" {
		return old + " AND " + check, nil
	}
	return old + " AND CASE WHEN " + where + " THEN " + check + " ELSE 0 END", nil
}

// arbiter finds the unique index that ON CONFLICT means.
func (c *compiler) arbiter(f *pg.InferClause, rel *relation) ([]int, error) {
	none := c.fail(-1, "42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
	if f.Conname != "" {
		k := rel.constraint(f.Conname)
		if k == nil {
			return nil, fail("42704", "constraint \"%s\" for table \"%s\" does not exist", f.Conname, rel.Name)
		}
		if k.Kind != "p" && k.Kind != "u" {
			return nil, fail("42809", "constraint in ON CONFLICT clause has no associated index")
		}
		return k.Columns, nil
	}
	var want []int
	for _, n := range f.IndexElems {
		i := n.GetIndexElem()
		if i.Expr != nil || len(i.Opclass) > 0 || len(i.Collation) > 0 {
			return nil, c.refuse(-1, "an expression, class or collation in ON CONFLICT")
		}
		col := rel.columnNamed(i.Name)
		if col == nil {
			return nil, c.fail(-1, "42703", "column \"%s\" does not exist", i.Name)
		}
		if !slices.Contains(want, col.Number) {
			want = append(want, col.Number)
		}
	}
	for _, i := range c.cat.indexes(rel.OID) {
		if !i.Index.Unique || len(i.Index.Keys) != len(want) {
			continue
		}
		var have []int
		fits := true
		for _, k := range i.Index.Keys {
			fits = fits && slices.Contains(want, k.Column)
			have = append(have, k.Column)
		}
		if !fits {
			continue
		}
		if i.Index.Where != "" {
			if f.WhereClause != nil {
				return nil, c.refuse(-1, "ON CONFLICT by a partial index")
			}
			continue
		}
		return have, nil
	}
	return nil, none
}
