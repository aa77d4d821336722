package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// ---- Common table expressions

type cte struct {
	name    string
	sql     string
	columns []output
	state   int // 0 done, 1 its first part is compiled, 2 its recursive part
	used    int
}

func (c *compiler) cte(name string) *cte {
	for i := len(c.ctes) - 1; i >= 0; i-- {
		if c.ctes[i].name == name {
			return c.ctes[i]
		}
	}
	return nil
}

func (c *compiler) useCTE(w *cte, it *item, at int32) (string, error) {
	if w.state == 1 {
		return "", c.fail(at, "42P19", "recursive reference to query \"%s\" must not appear within its non-recursive term", w.name)
	}
	w.used++
	for i, o := range w.columns {
		it.columns = append(it.columns, &field{name: o.name, sql: it.alias + "." + outputName(i), typ: o.e.typ, mod: o.e.mod})
	}
	return w.sql + " AS " + it.alias, nil
}

func (c *compiler) with(w *pg.WithClause, outer *scope) (string, error) {
	var parts []string
	first := len(c.ctes)
	for _, n := range w.Ctes {
		x := n.GetCommonTableExpr()
		s := x.Ctequery.GetSelectStmt()
		if s == nil {
			return "", c.refuse(x.Location, "a statement in WITH that writes")
		}
		if x.SearchClause != nil || x.CycleClause != nil {
			return "", c.refuse(x.Location, "SEARCH and CYCLE")
		}
		for _, o := range c.ctes[first:] {
			if o.name == x.Ctename {
				return "", c.fail(x.Location, "42712", "WITH query name \"%s\" specified more than once", x.Ctename)
			}
		}
		c.aliases++
		t := &cte{name: x.Ctename, sql: "w" + strconv.Itoa(c.aliases)}
		body, volatile, err := "", false, error(nil)
		if w.Recursive && mentions(s, x.Ctename) {
			body, err = c.recursive(t, x, s, outer)
		} else {
			var q *query
			if q, err = c.query(s, outer); err == nil {
				if err = c.settleUnknown(q); err == nil {
					body, volatile = q.render(), q.volatile
					t.columns = q.columns
					if len(q.uses) > 0 && outer != nil && usesOuter(q.uses, outer) {
						err = c.refuse(x.Location, "WITH that uses columns of an outer query")
					}
					c.ctes = append(c.ctes, t)
				}
			}
		}
		if err != nil {
			return "", err
		}
		if t.columns, err = c.cteColumns(t, x); err != nil {
			return "", err
		}
		var columns []string
		for i := range t.columns {
			columns = append(columns, outputName(i))
		}
		head := t.sql + "(" + strings.Join(columns, ",") + ") AS "
		if len(columns) == 0 {
			return "", c.refuse(x.Location, "WITH without columns")
		}
		if volatile {
			head += "MATERIALIZED "
		}
		parts = append(parts, head+"("+body+")")
	}
	return "WITH RECURSIVE " + strings.Join(parts, ", ") + " ", nil
}

func usesOuter(uses []use, outer *scope) bool {
	for s := outer; s != nil; s = s.outer {
		if slices.ContainsFunc(uses, func(u use) bool { return u.level == s }) {
			return true
		}
	}
	return false
}

func (c *compiler) cteColumns(t *cte, x *pg.CommonTableExpr) ([]output, error) {
	list := names(x.Aliascolnames)
	if len(list) > len(t.columns) {
		return nil, c.fail(x.Location, "42P10", "WITH query \"%s\" has %d columns available but %d columns specified", t.name, len(t.columns), len(list))
	}
	out := slices.Clone(t.columns)
	for i, n := range list {
		out[i].name = n
	}
	return out, nil
}

func (c *compiler) recursive(t *cte, x *pg.CommonTableExpr, s *pg.SelectStmt, outer *scope) (string, error) {
	bad := c.fail(x.Location, "42P19", "recursive query \"%s\" does not have the form non-recursive-term UNION [ALL] recursive-term", t.name)
	if s.Op != pg.SetOperation_SETOP_UNION {
		return "", bad
	}
	if len(s.SortClause) > 0 || s.LimitCount != nil || s.LimitOffset != nil || s.WithClause != nil || len(s.LockingClause) > 0 {
		return "", c.refuse(x.Location, "ORDER BY, LIMIT or WITH in a recursive query")
	}
	r := s.Rarg
	if r.Op != pg.SetOperation_SETOP_NONE || len(r.ValuesLists) > 0 || len(r.SortClause) > 0 || r.LimitCount != nil || r.LimitOffset != nil || r.WithClause != nil ||
		len(r.GroupClause) > 0 || r.HavingClause != nil || len(r.DistinctClause) > 0 || len(r.WindowClause) > 0 {
		return "", c.refuse(x.Location, "a recursive term that is not a plain SELECT")
	}
	if !reaches(r.FromClause, t.name) {
		return "", c.refuse(x.Location, "a recursive term that does not name itself in FROM")
	}
	c.ctes = append(c.ctes, t)
	t.state = 1
	left, err := c.query(s.Larg, outer)
	if err != nil {
		return "", err
	}
	if err := c.settleUnknown(left); err != nil {
		return "", err
	}
	t.columns, t.state = left.columns, 2
	if t.columns, err = c.cteColumns(t, x); err != nil {
		return "", err
	}
	right, err := c.query(r, outer)
	if err != nil {
		return "", err
	}
	if t.used != 1 {
		return "", c.fail(x.Location, "42P19", "recursive reference to query \"%s\" must not appear more than once", t.name)
	}
	t.state = 0
	for _, o := range right.columns {
		if o.e.aggs || o.e.windows || o.e.srf != nil {
			return "", c.refuse(o.e.at, "aggregates, windows and rows of functions in a recursive term")
		}
	}
	if usesOuter(append(left.uses, right.uses...), outer) {
		return "", c.refuse(x.Location, "WITH that uses columns of an outer query")
	}
	if len(left.columns) != len(right.columns) {
		return "", c.fail(-1, "42601", "each UNION query must have the same number of columns")
	}
	for i := range left.columns {
		l := left.columns[i].e
		typ, err := commonType("UNION", []*expr{l, right.columns[i].e})
		if err != nil {
			return "", err
		}
		if typ != l.typ || right.columns[i].e.mod != l.mod && l.mod >= 0 {
			return "", c.fail(l.at, "42804", "recursive query \"%s\" column %d has type %s in non-recursive term but type %s overall", t.name, i+1, postgres.FormatType(l.typ, l.mod), typeName(typ))
		}
		if err := c.coerceColumn(right, i, typ, -1); err != nil {
			return "", err
		}
		if !s.All && !ordered(typ) {
			return "", c.fail(-1, "42883", "could not identify an equality operator for type %s", typeName(typ))
		}
	}
	word := " UNION "
	if s.All {
		word = " UNION ALL "
	}
	return left.leg(left, true) + word + right.render(), nil
}

// mentions tells whether a query may name a relation: by any table of this name within it.
func mentions(s *pg.SelectStmt, name string) bool {
	found := false
	walk(s.ProtoReflect(), func(v any) bool {
		if r, ok := v.(*pg.RangeVar); ok && r.Relname == name && r.Schemaname == "" {
			found = true
		}
		return !found
	})
	return found
}

// reaches tells whether FROM names a relation directly, or in joins where its rows are not made up.
func reaches(from []*pg.Node, name string) bool {
	for _, n := range from {
		switch x := n.GetNode().(type) {
		case *pg.Node_RangeVar:
			if x.RangeVar.Relname == name && x.RangeVar.Schemaname == "" {
				return true
			}
		case *pg.Node_JoinExpr:
			j := x.JoinExpr
			l, r := reaches([]*pg.Node{j.Larg}, name), reaches([]*pg.Node{j.Rarg}, name)
			if l && (j.Jointype == pg.JoinType_JOIN_INNER || j.Jointype == pg.JoinType_JOIN_LEFT) || r && j.Jointype == pg.JoinType_JOIN_INNER {
				return true
			}
		}
	}
	return false
}
