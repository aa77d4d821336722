package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

func (c *compiler) createIndex(e *edit, s *pg.IndexStmt) error {
	r, err := c.findFor(e, s.Relation, false)
	if err != nil {
		return err
	}
	switch {
	case r.Kind != "r":
		return fail("42809", "cannot create index on relation \"%s\"", r.Name)
	case s.AccessMethod != "btree" && s.AccessMethod != "" && s.AccessMethod != gin:
		if slices.Contains([]string{"hash", "gist", "brin", "spgist"}, s.AccessMethod) {
			return c.refuse(-1, "index method \"%s\"", s.AccessMethod)
		}
		return fail("42704", "access method \"%s\" does not exist", s.AccessMethod)
	case len(s.IndexIncludingParams) > 0, s.NullsNotDistinct, s.TableSpace != "", !ofStorage(s.Options):
		return c.refuse(-1, "INCLUDE, NULLS NOT DISTINCT and options")
	case s.Concurrent:
		return c.fail(-1, "25001", "CREATE INDEX CONCURRENTLY cannot run inside a transaction block")
	}
	i := &index{Table: r.OID, Unique: s.Unique}
	if s.AccessMethod == gin {
		i.Method = gin
	}
	var parts []string
	sc := tableScope(r, "", "index expressions")
	for _, n := range s.IndexParams {
		p := n.GetIndexElem()
		if l := names(p.Opclass); len(l) > 0 && !(i.inverted() && l[len(l)-1] == "tsvector_ops" && len(p.Opclassopts) == 0) {
			return c.refuse(-1, "an operator class")
		}
		if len(p.Collation) > 0 {
			l := names(p.Collation)
			if k := l[len(l)-1]; k != "C" && k != "POSIX" && k != "default" {
				return c.refuse(-1, "collation \"%s\"", k)
			}
		}
		k := indexKey{Descending: p.Ordering == pg.SortByDir_SORTBY_DESC}
		k.NullsFirst = k.Descending
		switch p.NullsOrdering {
		case pg.SortByNulls_SORTBY_NULLS_FIRST:
			k.NullsFirst = true
		case pg.SortByNulls_SORTBY_NULLS_LAST:
			k.NullsFirst = false
		}
		var typ oid
		if p.Expr == nil {
			col := r.columnNamed(p.Name)
			if col == nil {
				return fail("42703", "column \"%s\" does not exist", p.Name)
			}
			k.Column, typ = col.Number, col.Type
			parts = append(parts, col.Name)
		} else {
			if err := c.noSubquery(p.Expr, "index expression"); err != nil {
				return err
			}
			x, err := c.keep(p.Expr, sc)
			if err != nil {
				return err
			}
			if x, err = c.resolveUnknown(x); err != nil {
				return err
			}
			if x.volatile || x.stable {
				return fail("42P17", "functions in index expression must be marked IMMUTABLE")
			}
			if len(x.uses) == 0 {
				return c.refuse(-1, "an index by a constant")
			}
			typ = x.typ
			if k.Expression, err = deparseExpression(p.Expr); err != nil {
				return err
			}
			if name, strength := figure(p.Expr); strength > 0 {
				parts = append(parts, name)
			} else {
				parts = append(parts, "expr")
			}
		}
		if i.inverted() {
			if err := c.ginKey(s, p, typ); err != nil {
				return err
			}
		} else if !ordered(typ) {
			return fail("42704", "data type %s has no default operator class for access method \"btree\"", typeName(typ))
		}
		i.Keys = append(i.Keys, k)
	}
	if s.WhereClause != nil {
		if err := c.noSubquery(s.WhereClause, "index predicate"); err != nil {
			return err
		}
		x, err := c.keep(s.WhereClause, tableScope(r, "", "index predicates"))
		if err != nil {
			return err
		}
		if x, err = c.toBool(x, "WHERE"); err != nil {
			return err
		}
		if x.volatile || x.stable {
			return fail("42P17", "functions in index predicate must be marked IMMUTABLE")
		}
		if i.Where, err = deparseExpression(s.WhereClause); err != nil {
			return err
		}
	}
	name := s.Idxname
	if name == "" {
		var unique []string
		for _, p := range parts {
			base, n := p, p
			for j := 1; slices.Contains(unique, n); j++ {
				n = base + strconv.Itoa(j)
			}
			unique = append(unique, n)
		}
		name = free(r.Name, strings.Join(unique, "_"), "idx", e.taken(r.Schema))
	} else if e.taken(r.Schema)(name) {
		if s.IfNotExists {
			return nil
		}
		return fail("42P07", "relation \"%s\" already exists", name)
	}
	x := &relation{OID: e.oid(), Schema: r.Schema, Name: name, Kind: "i", Index: i}
	e.add(x)
	return c.makeIndex(e, r, x)
}
