package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// An orderKey is one key of ORDER BY.
type orderKey struct {
	e      *expr
	column int // of the output; -1: none
	text   string
}

// selectQuery compiles a plain SELECT.
func (c *compiler) selectQuery(s *pg.SelectStmt, outer *scope) (*query, error) {
	q := &query{c: c}
	sc := &scope{outer: outer, noWin: ""}
	var tables []string
	for _, n := range s.FromClause {
		sql, items, err := c.from(n, sc)
		if err != nil {
			return nil, err
		}
		sc.items = append(sc.items, items...)
		if err := c.distinctNames(sc.items); err != nil {
			return nil, err
		}
		tables = append(tables, sql)
	}
	if err := c.namedWindows(s, sc); err != nil {
		return nil, err
	}
	grouped := len(s.GroupClause) > 0
	if grouped {
		if err := c.groupKeys(s, sc); err != nil {
			return nil, err
		}
	}
	var err error
	sc.srf = true
	if q.columns, err = c.targets(s.TargetList, sc); err != nil {
		return nil, err
	}
	sc.srf = false
	where := s.WhereClause
	if where != nil {
		keys := sc.keys
		sc.keys, sc.grouped = nil, false
		sc.forbids, sc.noWin = "WHERE", "WHERE"
		e, err := c.expr(where, sc)
		if err != nil {
			return nil, err
		}
		if e, err = c.toBool(e, "WHERE"); err != nil {
			return nil, err
		}
		c.pushDown(where, sc)
		found, err := c.byWords(where, sc, true)
		if err != nil {
			return nil, err
		}
		sc.forbids, sc.noWin = "", ""
		sc.keys, sc.grouped = keys, grouped
		q.use(e)
		q.where = narrowed(e.sql, found)
	}
	aggregated := grouped
	var having *expr
	if s.HavingClause != nil {
		aggregated = true
		sc.noWin = "HAVING"
		if having, err = c.expr(s.HavingClause, sc); err != nil {
			return nil, err
		}
		if having, err = c.toBool(having, "HAVING"); err != nil {
			return nil, err
		}
		sc.noWin = ""
		q.use(having)
	}
	orders, err := c.orderKeys(s, sc, q.columns, len(s.DistinctClause) > 0)
	if err != nil {
		return nil, err
	}
	all := make([]*expr, 0, len(q.columns)+len(orders)+1)
	for _, o := range q.columns {
		all = append(all, o.e)
	}
	for _, o := range orders {
		all = append(all, o.e)
	}
	if having != nil {
		all = append(all, having)
	}
	var rows *source
	for _, e := range all {
		q.use(e)
		aggregated = aggregated || e.aggs
		if e.srf != nil {
			switch {
			case rows == nil || rows == e.srf:
				rows = e.srf
			case rows.second == e.srf || rows.first == e.srf:
			case rows.second != nil:
				return nil, c.refuse(e.at, "more than two functions in a select list that give rows")
			default:
				rows = beside(rows, e.srf)
			}
		}
	}
	if aggregated {
		for _, e := range all {
			for _, part := range append([]*expr{e}, e.row...) {
				if u := sc.ungrouped(part); u != nil {
					return nil, c.fail(u.at, "42803", "column \"%s\" must appear in the GROUP BY clause or be used in an aggregate function", u.name)
				}
			}
		}
	}
	if rows != nil {
		for _, e := range all {
			if aggregated || e.windows {
				return nil, c.refuse(e.at, "a function that gives rows beside aggregates")
			}
		}
		tables = append(tables, rows.sql)
	}
	q.tables = strings.Join(tables, ", ")
	if len(tables) == 0 && !aggregated {
		q.one = true
	}
	if grouped {
		var keys []string
		for _, k := range sc.keys {
			if !k.e.fixed() {
				keys = append(keys, k.e.collated())
			}
		}
		if q.group = strings.Join(keys, ","); q.group == "" {
			q.group = "NULL"
		}
	} else if aggregated {
		q.one = true
	}
	if having != nil {
		q.having = having.sql
		if q.group == "" {
			q.having = "count(*) >= 0 AND " + q.having
		}
	}
	if aggregated && !grouped && having == nil {
		none := true
		for _, e := range all {
			none = none && !e.aggs
		}
		if none {
			q.having = "count(*) >= 0"
		}
	}
	switch {
	case len(s.DistinctClause) == 0:
	case s.DistinctClause[0].GetNode() == nil:
		q.distinct = true
		for i := range q.columns {
			e, err := c.resolveUnknown(q.columns[i].e)
			if err != nil {
				return nil, err
			}
			if q.columns[i].e = e; !ordered(e.typ) && e.row == nil {
				return nil, e.fail("42883", "could not identify an equality operator for type %s", typeName(e.typ))
			}
		}
		for _, o := range orders {
			if o.column < 0 {
				return nil, c.fail(o.e.at, "42P10", "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
			}
		}
	default:
		return c.distinctOn(q, s, sc, orders, outer, aggregated)
	}
	for i, o := range orders {
		if o.column >= 0 && q.columns[o.column].e.typ == o.e.typ {
			// By number, so that it is not computed twice.
			text := strconv.Itoa(o.column+1) + collate(o.e.typ)
			orders[i].text = text + o.text[strings.LastIndex(o.text, suffixOf(o.text)):]
		}
		q.orders = append(q.orders, orders[i].text)
	}
	return q, c.limits(q, s, outer)
}

// suffixOf is the direction of a key.
func suffixOf(text string) string {
	for _, s := range []string{" ASC NULLS LAST", " ASC NULLS FIRST", " DESC NULLS LAST", " DESC NULLS FIRST"} {
		if strings.HasSuffix(text, s) {
			return s
		}
	}
	return ""
}

// plan says that an expression will be computed.
func (c *compiler) plan(e *expr) {
	if e.err != nil && c.late == nil && !c.stored {
		c.late = e.err
	}
}

func (q *query) use(e *expr) {
	q.uses = withUses(q.uses, e.uses)
	for _, r := range e.row {
		q.uses = withUses(q.uses, r.uses)
	}
	q.c.plan(e)
	q.volatile = q.volatile || e.volatile
}

// targets compiles a select list.
func (c *compiler) targets(list []*pg.Node, sc *scope) (out []output, err error) {
	for _, n := range list {
		t := n.GetResTarget()
		if len(t.Indirection) > 0 {
			return nil, c.refuse(t.Location, "this in a select list")
		}
		if r := t.Val.GetColumnRef(); r != nil && r.Fields[len(r.Fields)-1].GetAStar() != nil {
			columns, err := c.star(r, sc)
			if err != nil {
				return nil, err
			}
			for i := range columns {
				if sc.grouped {
					sc.matchKey(columns[i].e)
				}
			}
			out = append(out, columns...)
			continue
		}
		e, err := c.expr(t.Val, sc)
		if err != nil {
			return nil, err
		}
		name := t.Name
		if name == "" {
			name = c.figureName(t.Val)
		}
		out = append(out, output{name, e, t.Val})
	}
	if len(out) > 1600 {
		return nil, fail("54011", "target lists can have at most 1664 entries")
	}
	return out, nil
}

// groupKeys finds what the query is grouped by.
func (c *compiler) groupKeys(s *pg.SelectStmt, sc *scope) error {
	sc.forbids, sc.noWin = "GROUP BY", "GROUP BY"
	var keys []groupKey
	for _, n := range s.GroupClause {
		if n.GetGroupingSet() != nil {
			return c.refuse(n.GetGroupingSet().Location, "GROUPING SETS, CUBE and ROLLUP")
		}
		node := n
		// A name is first a column of the tables; then one of the output. A number is one of the output.
		if a := n.GetAConst(); a != nil {
			i, ok := a.Val.(*pg.A_Const_Ival)
			if !ok {
				return c.fail(a.Location, "42601", "non-integer constant in GROUP BY")
			}
			k := int(i.Ival.GetIval())
			for _, t := range s.TargetList {
				if r := t.GetResTarget().Val.GetColumnRef(); r != nil && r.Fields[len(r.Fields)-1].GetAStar() != nil {
					return c.refuse(a.Location, "GROUP BY a position beside *")
				}
			}
			if k < 1 || k > len(s.TargetList) {
				return c.fail(a.Location, "42P10", "GROUP BY position %d is not in select list", k)
			}
			node = s.TargetList[k-1].GetResTarget().Val
		} else if r := n.GetColumnRef(); r != nil && len(r.Fields) == 1 && r.Fields[0].GetString_() != nil {
			name := names(r.Fields)[0]
			if !sc.has(name) {
				found := 0
				for _, t := range s.TargetList {
					t := t.GetResTarget()
					if t.Name == name || t.Name == "" && c.figureName(t.Val) == name {
						if found++; found > 1 {
							return c.fail(r.Location, "42702", "GROUP BY \"%s\" is ambiguous", name)
						}
						node = t.Val
					}
				}
			}
		}
		e, err := c.expr(node, sc)
		if err != nil {
			return err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return err
		}
		if e.row != nil {
			return c.refuse(e.at, "GROUP BY a row")
		}
		if !ordered(e.typ) {
			return e.fail("42883", "could not identify an equality operator for type %s", typeName(e.typ))
		}
		if e.volatile || e.srf != nil {
			return c.refuse(e.at, "GROUP BY what is not the same each time")
		}
		keys = append(keys, groupKey{e.sql, e})
	}
	sc.forbids, sc.noWin = "", ""
	sc.keys, sc.grouped = keys, true
	return nil
}

// has tells whether the tables of this level have a column.
func (s *scope) has(name string) bool {
	for _, it := range s.items {
		if it.bare && slices.ContainsFunc(it.columns, func(f *field) bool { return f.name == name }) {
			return true
		}
	}
	return false
}

func (c *compiler) orderKeys(s *pg.SelectStmt, sc *scope, columns []output, distinct bool) (out []orderKey, err error) {
	for _, n := range s.SortClause {
		b := n.GetSortBy()
		i, err := c.ordinal(b.Node, columns, "ORDER BY")
		if err != nil {
			return nil, err
		}
		var e *expr
		if i >= 0 {
			e = columns[i].e
		} else {
			if e, err = c.expr(b.Node, sc); err != nil {
				return nil, err
			}
			for j, o := range columns {
				if o.e.sql == e.sql && o.e.typ == e.typ && !e.volatile {
					i = j
					break
				}
			}
		}
		if e.typ == postgres.Unknown {
			if e, err = c.resolveUnknown(e); err != nil {
				return nil, err
			}
			if i >= 0 {
				columns[i].e = e
			}
		}
		if e.row != nil {
			return nil, c.refuse(e.at, "ORDER BY a row")
		}
		text, err := c.sortKey(b, e)
		if err != nil {
			return nil, err
		}
		out = append(out, orderKey{e, i, text})
	}
	return out, nil
}

// distinctOn keeps the first row of each group, by row_number().
func (c *compiler) distinctOn(q *query, s *pg.SelectStmt, sc *scope, orders []orderKey, outer *scope, aggregated bool) (*query, error) {
	var on []*expr
	for _, n := range s.DistinctClause {
		i, err := c.ordinal(n, q.columns, "SELECT DISTINCT ON")
		if err != nil {
			return nil, err
		}
		var e *expr
		if i >= 0 {
			e = q.columns[i].e
		} else if e, err = c.expr(n, sc); err != nil {
			return nil, err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if e.row != nil || e.volatile || e.windows {
			return nil, c.refuse(e.at, "such a DISTINCT ON")
		}
		if aggregated {
			if u := sc.ungrouped(e); u != nil {
				return nil, c.fail(u.at, "42803", "column \"%s\" must appear in the GROUP BY clause or be used in an aggregate function", u.name)
			}
		}
		if !ordered(e.typ) {
			return nil, e.fail("42883", "could not identify an equality operator for type %s", typeName(e.typ))
		}
		q.use(e)
		on = append(on, e)
	}
	for i, o := range orders {
		if i >= len(on) {
			break
		}
		if !slices.ContainsFunc(on, func(e *expr) bool { return e.sql == o.e.sql }) {
			return nil, c.fail(on[0].at, "42P10", "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
		}
	}
	for _, o := range q.columns {
		if o.e.srf != nil {
			return nil, c.refuse(o.e.at, "DISTINCT ON beside a function that gives rows")
		}
	}
	var partition, texts []string
	for _, e := range on {
		partition = append(partition, e.collated())
	}
	for _, o := range orders {
		texts = append(texts, o.text)
	}
	over := "PARTITION BY " + strings.Join(partition, ",")
	if len(texts) > 0 {
		over += " ORDER BY " + strings.Join(texts, ",")
	}
	inner := *q
	n := len(q.columns)
	inner.columns = slices.Clone(q.columns)
	for i := range inner.columns {
		e, err := c.resolveUnknown(inner.columns[i].e)
		if err != nil {
			return nil, err
		}
		inner.columns[i].e = e
	}
	for _, o := range orders {
		inner.columns = append(inner.columns, output{e: o.e})
	}
	inner.columns = append(inner.columns, output{e: &expr{c: c, sql: "row_number() OVER (" + over + ")", typ: postgres.Int8, mod: -1}})
	alias := c.alias()
	out := &query{c: c, tables: "(" + inner.render() + ") AS " + alias, where: alias + "." + outputName(len(inner.columns)-1) + " = 1", uses: q.uses, volatile: q.volatile}
	for i, o := range inner.columns[:n] {
		e := *o.e
		e.sql, e.con, e.val, e.aggs, e.windows = alias+"."+outputName(i), false, nil, false, false
		out.columns = append(out.columns, output{name: o.name, e: &e})
	}
	for i, o := range orders {
		out.orders = append(out.orders, alias+"."+outputName(n+i)+collate(o.e.typ)+suffixOf(o.text))
	}
	return out, c.limits(out, s, outer)
}
