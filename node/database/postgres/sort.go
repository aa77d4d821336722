package postgres

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// ordered puts ORDER BY and LIMIT around a query, by names and numbers of its columns.
func (c *compiler) ordered(q *query, s *pg.SelectStmt, outer *scope) (*query, error) {
	it := &item{alias: c.alias()}
	out := &query{c: c, tables: c.subquery(q, it), uses: q.uses, volatile: q.volatile, one: q.one}
	for i, o := range q.columns {
		out.columns = append(out.columns, output{name: o.name, e: &expr{c: c, at: -1, sql: it.alias + "." + outputName(i), typ: o.e.typ, mod: o.e.mod, uses: []use{{}}}})
	}
	for _, n := range s.SortClause {
		b := n.GetSortBy()
		i, err := c.ordinal(b.Node, out.columns, "ORDER BY")
		if err != nil {
			return nil, err
		}
		if i < 0 {
			if r := b.Node.GetColumnRef(); r != nil && len(r.Fields) == 1 {
				name := names(r.Fields)[0]
				return nil, c.fail(r.Location, "42703", "column \"%s\" does not exist", name)
			}
			if s.Op == pg.SetOperation_SETOP_NONE {
				return nil, c.refuse(-1, "ORDER BY an expression of VALUES")
			}
			e := fail("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
			e.Detail = "Only result column names can be used, not expressions or functions."
			return nil, e
		}
		o, err := c.sortKey(b, out.columns[i].e)
		if err != nil {
			return nil, err
		}
		out.orders = append(out.orders, o)
	}
	return out, c.limits(out, s, outer)
}

// ordinal finds the column that ORDER BY or GROUP BY means by a number or a name; -1: none.
func (c *compiler) ordinal(n *pg.Node, columns []output, clause string) (int, error) {
	if a := n.GetAConst(); a != nil {
		i, ok := a.Val.(*pg.A_Const_Ival)
		if !ok {
			return -1, c.fail(a.Location, "42601", "non-integer constant in %s", clause)
		}
		k := int(i.Ival.GetIval())
		if k < 1 || k > len(columns) {
			return -1, c.fail(a.Location, "42P10", "%s position %d is not in select list", clause, k)
		}
		return k - 1, nil
	}
	r := n.GetColumnRef()
	if r == nil || len(r.Fields) != 1 || r.Fields[0].GetString_() == nil {
		return -1, nil
	}
	name, found := names(r.Fields)[0], -1
	for i, o := range columns {
		if o.name == name {
			if found >= 0 && !columns[found].same(o) {
				return -1, c.fail(r.Location, "42702", "%s \"%s\" is ambiguous", clause, name)
			}
			if found < 0 {
				found = i
			}
		}
	}
	return found, nil
}

// sortKey is one key of ORDER BY.
func (c *compiler) sortKey(b *pg.SortBy, e *expr) (string, error) {
	down := b.SortbyDir == pg.SortByDir_SORTBY_DESC
	switch b.SortbyDir {
	case pg.SortByDir_SORTBY_USING:
		switch operatorName(b.UseOp) {
		case "<":
		case ">":
			down = true
		default:
			return "", c.fail(b.Location, "42809", "operator %s is not a valid ordering operator", operatorName(b.UseOp))
		}
	}
	if !ordered(e.typ) {
		return "", e.fail("42883", "could not identify an ordering operator for type %s", typeName(e.typ))
	}
	first := down
	switch b.SortbyNulls {
	case pg.SortByNulls_SORTBY_NULLS_FIRST:
		first = true
	case pg.SortByNulls_SORTBY_NULLS_LAST:
		first = false
	}
	sql := e.collated()
	if e.fixed() {
		sql = "(" + sql + "||'')" // a number would be a column's
	}
	if down {
		sql += " DESC"
	} else {
		sql += " ASC"
	}
	if first {
		return sql + " NULLS FIRST", nil
	}
	return sql + " NULLS LAST", nil
}

// limits adds LIMIT and OFFSET.
func (c *compiler) limits(q *query, s *pg.SelectStmt, outer *scope) error {
	if s.LimitOption == pg.LimitOption_LIMIT_OPTION_WITH_TIES {
		return c.refuse(-1, "WITH TIES")
	}
	part := func(n *pg.Node, what, function string) (string, *expr, error) {
		e, err := c.expr(n, &scope{forbids: what, noWin: what, outer: nil})
		if err != nil {
			return "", nil, err
		}
		if e, err = c.coerce(e, postgres.Int8, -1, postgres.Assignment); err != nil {
			return "", nil, err
		}
		return `"` + function + `"(` + e.sql + ")", e, nil
	}
	if s.LimitCount == nil && s.LimitOffset == nil {
		return nil
	}
	limit := "-1"
	if s.LimitCount != nil && !s.LimitCount.GetAConst().GetIsnull() {
		l, e, err := part(s.LimitCount, "LIMIT", "limit")
		if err != nil {
			return err
		}
		limit = l
		if e.con && (e.val == int64(1) || e.val == int64(0)) {
			q.one = true
		}
		q.volatile = q.volatile || e.volatile
	}
	q.limit = " LIMIT " + limit
	if s.LimitOffset != nil {
		o, e, err := part(s.LimitOffset, "OFFSET", "offset")
		if err != nil {
			return err
		}
		q.limit += " OFFSET " + o
		q.volatile = q.volatile || e.volatile
	}
	return nil
}
