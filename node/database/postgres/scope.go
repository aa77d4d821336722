package postgres

import (
	"cmp"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// A scope is what names mean in one level of a query.
type scope struct {
	outer   *scope
	items   []*item
	forbids string // a clause without aggregates, as errors tell it
	noWin   string // a clause without window functions
	inAgg   bool
	grouped bool
	keys    []groupKey
	windows map[string]*window
	srf     bool // functions that give rows are allowed
}

// An item is a table, a subquery or a join in FROM.
type item struct {
	name    string // by which its columns are qualified
	schema  string
	columns []*field
	bare    bool // columns are known without a qualifier
	named   bool // and with it
	rel     *relation
	alias   string // SQLite's
	source  *source
	partial bool // a relation of the system's, of whose columns some are not here
}

// A field is a column of an item.
type field struct {
	name   string
	sql    string
	typ    oid
	mod    int32
	table  uint32
	number int
	uses   []use // of a merged column, what it is made of
	of     *target
}

type groupKey struct {
	sql string
	e   *expr
}

// matchKey says of an expression that is grouped by that it uses no column which is not.
func (s *scope) matchKey(e *expr) {
	for _, k := range s.keys {
		if k.sql == e.sql {
			e.uses = slices.DeleteFunc(slices.Clone(e.uses), func(u use) bool { return u.level == s })
			return
		}
	}
}

// ungrouped finds a column that is neither grouped by nor in an aggregate.
func (s *scope) ungrouped(e *expr) *use {
	for i := range e.uses {
		u := &e.uses[i]
		if u.level != s {
			continue
		}
		if slices.ContainsFunc(s.keys, func(k groupKey) bool { return k.sql == u.key }) || s.determined(u.key) {
			continue
		}
		return u
	}
	return nil
}

// determined tells whether a column follows from the primary key of its table, which is grouped by.
func (s *scope) determined(key string) bool {
	for _, it := range s.items {
		if it.rel == nil || it.alias == "" || !strings.HasPrefix(key, it.alias+".") {
			continue
		}
		p := it.rel.primary()
		if p == nil {
			return false
		}
		for _, n := range p.Columns {
			sql := it.alias + "." + it.rel.column(n).stored()
			if !slices.ContainsFunc(s.keys, func(k groupKey) bool { return k.sql == sql }) {
				return false
			}
		}
		return true
	}
	return false
}

// columnRef finds what a name means.
func (c *compiler) columnRef(r *pg.ColumnRef, s *scope) (*expr, error) {
	for _, f := range r.Fields {
		if f.GetAStar() != nil {
			return nil, c.refuse(r.Location, "a row as a value")
		}
	}
	parts := names(r.Fields)
	var e *expr
	var err error
	switch len(parts) {
	case 1:
		e, err = c.bareColumn(parts[0], r.Location, s)
	case 2, 3:
		e, err = c.qualified(parts, r.Location, s)
	default:
		err = c.refuse(r.Location, "a name of %d parts", len(parts))
	}
	if err == nil && c.meant != nil {
		c.meant.columns[r] = place{e.table, e.number}
	}
	return e, err
}

func (c *compiler) use(f *field, s *scope, at int32, name string) *expr {
	if f.of != nil {
		f.of.read = true
	}
	e := &expr{c: c, at: at, sql: f.sql, typ: f.typ, mod: f.mod, table: f.table, number: f.number}
	if f.uses != nil {
		e.uses = f.uses
	} else {
		e.uses = []use{{level: s, name: name, at: at, key: f.sql}}
	}
	return e
}

func (c *compiler) bareColumn(name string, at int32, s *scope) (*expr, error) {
	for level := s; level != nil; level = level.outer {
		var found *field
		var of *item
		for _, it := range level.items {
			if !it.bare {
				continue
			}
			for _, f := range it.columns {
				if f.name == name {
					if found != nil {
						return nil, c.fail(at, "42702", "column reference \"%s\" is ambiguous", name)
					}
					found, of = f, it
				}
			}
		}
		if found != nil {
			full := name
			if of.name != "" {
				full = of.name + "." + name
			}
			return c.use(found, level, at, full), nil
		}
	}
	for level := s; level != nil; level = level.outer {
		for _, it := range level.items {
			if it.partial {
				return nil, c.refuse(at, "column %s, unless it is one of the tables,", name)
			}
			if it.named && it.name == name {
				return nil, c.refuse(at, "a row as a value")
			}
		}
	}
	switch name {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		if s != nil && len(s.items) > 0 {
			return nil, c.refuse(at, "the system column %s", name)
		}
	}
	return nil, c.fail(at, "42703", "column \"%s\" does not exist", name)
}

func (c *compiler) qualified(parts []string, at int32, s *scope) (*expr, error) {
	name := parts[len(parts)-1]
	table := parts[len(parts)-2]
	it, level, err := c.item(parts[:len(parts)-1], at, s)
	if err != nil {
		return nil, err
	}
	var found *field
	for _, f := range it.columns {
		if f.name == name {
			if found != nil {
				return nil, c.fail(at, "42702", "column reference \"%s\" is ambiguous", name)
			}
			found = f
		}
	}
	if found == nil {
		if it.partial {
			return nil, c.refuse(at, "column %s.%s", table, name)
		}
		switch name {
		case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
			return nil, c.refuse(at, "the system column %s", name)
		}
		return nil, c.fail(at, "42703", "column %s.%s does not exist", table, name)
	}
	return c.use(found, level, at, table+"."+name), nil
}

// item finds a table of FROM by its name.
func (c *compiler) item(parts []string, at int32, s *scope) (*item, *scope, error) {
	name, schema := parts[len(parts)-1], ""
	if len(parts) == 2 {
		schema = parts[0]
	}
	for level := s; level != nil; level = level.outer {
		var found *item
		for _, it := range level.items {
			if it.named && it.name == name && (schema == "" || it.schema == schema) {
				if found != nil {
					return nil, nil, c.fail(at, "42P09", "table reference \"%s\" is ambiguous", name)
				}
				found = it
			}
		}
		if found != nil {
			return found, level, nil
		}
	}
	return nil, nil, c.fail(at, "42P01", "missing FROM-clause entry for table \"%s\"", name)
}

// star are the columns that * stands for, or table.*.
func (c *compiler) star(r *pg.ColumnRef, s *scope) (out []output, err error) {
	var columns [][]string
	defer func() {
		if c.meant != nil {
			c.meant.stars[r] = columns
		}
	}()
	add := func(it *item) {
		if it.partial {
			err = c.refuse(r.Location, "all columns of %s", it.name)
		}
		for _, f := range it.columns {
			name := f.name
			full := name
			if it.name != "" {
				full = it.name + "." + name
			}
			out = append(out, output{name: name, e: c.use(f, s, r.Location, full)})
			columns = append(columns, s.qualified(f))
		}
	}
	if len(r.Fields) > 1 {
		it, level, err := c.item(names(r.Fields[:len(r.Fields)-1]), r.Location, s)
		if err != nil {
			return nil, err
		}
		if level != s {
			return nil, c.refuse(r.Location, "all columns of an outer query's table")
		}
		add(it)
		return out, err
	}
	for _, it := range s.items {
		if it.bare {
			add(it)
		}
	}
	if len(s.items) == 0 {
		return nil, c.fail(r.Location, "42601", "SELECT * with no tables specified is not valid")
	}
	return out, err
}

// qualified is a column's name with that of its table, if the table has it by itself: merged columns have none.
func (s *scope) qualified(f *field) []string {
	for _, it := range s.items {
		if it.named && it.name != "" && slices.ContainsFunc(it.columns, func(o *field) bool { return o.name == f.name && o.sql == f.sql }) {
			return []string{it.name, f.name}
		}
	}
	return []string{f.name}
}

// from adds what a node of FROM names to a scope, and returns SQLite's text of it.
func (c *compiler) from(n *pg.Node, s *scope) (string, []*item, error) {
	switch x := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return c.rangeVar(x.RangeVar)
	case *pg.Node_RangeSubselect:
		return c.rangeSubselect(x.RangeSubselect, s)
	case *pg.Node_RangeFunction:
		return c.rangeFunction(x.RangeFunction, s)
	case *pg.Node_JoinExpr:
		return c.join(x.JoinExpr, s)
	}
	return "", nil, c.refuse(-1, "%s in FROM", kindOf(n))
}

// aliased renames columns of an item.
func (c *compiler) aliased(it *item, a *pg.Alias) error {
	if a == nil {
		return nil
	}
	it.name, it.schema = a.Aliasname, ""
	list := names(a.Colnames)
	if len(list) > len(it.columns) {
		return fail("42P10", "table \"%s\" has %d columns available but %d columns specified", it.name, len(it.columns), len(list))
	}
	for i, n := range list {
		it.columns[i].name = n
	}
	return nil
}

func (c *compiler) rangeVar(r *pg.RangeVar) (string, []*item, error) {
	it := &item{name: r.Relname, alias: c.alias(), bare: true, named: true}
	if r.Schemaname == "" {
		if w := c.cte(r.Relname); w != nil {
			sql, err := c.useCTE(w, it, r.Location)
			if err != nil {
				return "", nil, err
			}
			return sql, []*item{it}, c.aliased(it, r.Alias)
		}
	}
	if sql, ok, err := c.systemRelation(r, it); ok { // they come before a program's own
		if err != nil {
			return "", nil, err
		}
		return sql, []*item{it}, c.aliased(it, r.Alias)
	}
	rel, err := c.relation(r)
	if err != nil {
		return "", nil, err
	}
	it.schema = rel.Schema
	switch rel.Kind {
	case "r":
		it.rel = rel
		for _, col := range rel.live() {
			it.columns = append(it.columns, &field{name: col.Name, sql: it.alias + "." + col.stored(), typ: col.Type, mod: col.Typmod, table: rel.OID, number: col.Number})
		}
		c.need(rel, "r")
		sql, err := c.visible(rel, it.alias, "r")
		if err != nil {
			return "", nil, err
		}
		return sql, []*item{it}, c.aliased(it, r.Alias)
	case "v":
		c.need(rel, "r")
		var q *query
		err := c.within(rel.Query, func() error {
			n, err := c.parse(rel.Query)
			if err != nil {
				return err
			}
			ctes := c.ctes
			c.ctes = nil
			defer func() { c.ctes = ctes }()
			return c.asOwner(func() (err error) {
				q, err = c.query(n.GetSelectStmt(), nil)
				return err
			})
		})
		if err != nil {
			return "", nil, err
		}
		sql := c.subquery(q, it)
		for i, f := range it.columns {
			f.table, f.number = rel.OID, i+1
			f.name = rel.Columns[i].Name
		}
		return sql, []*item{it}, c.aliased(it, r.Alias)
	case "S":
		return "", nil, c.refuse(r.Location, "reading a sequence as a table")
	}
	return "", nil, c.fail(r.Location, "42809", "\"%s\" is an index", rel.Name)
}

// relation finds one that a statement names.
func (c *compiler) relation(r *pg.RangeVar) (*relation, error) {
	if r.Catalogname != "" {
		return nil, c.refuse(r.Location, "a name with a database")
	}
	full := r.Relname
	if r.Schemaname != "" {
		full = r.Schemaname + "." + full
		if c.cat.schema(r.Schemaname) == nil && r.Schemaname != catalogSchema && r.Schemaname != informationSchema {
			return nil, c.fail(r.Location, "42P01", "relation \"%s\" does not exist", full)
		}
	}
	if err := c.needSchema(cmp.Or(r.Schemaname, publicSchema)); err != nil {
		return nil, err
	}
	if rel := c.cat.find(r.Schemaname, r.Relname); rel != nil {
		return rel, nil
	}
	return nil, c.fail(r.Location, "42P01", "relation \"%s\" does not exist", full)
}

// subquery is a query in FROM; its columns are the item's.
func (c *compiler) subquery(q *query, it *item) string {
	for i, o := range q.columns {
		it.columns = append(it.columns, &field{name: o.name, sql: it.alias + "." + outputName(i), typ: o.e.typ, mod: o.e.mod, table: 0})
	}
	return "(" + q.render() + ") AS " + it.alias
}

func (c *compiler) rangeSubselect(r *pg.RangeSubselect, s *scope) (string, []*item, error) {
	var outer *scope
	if s != nil {
		outer = s.outer
	}
	if r.Lateral {
		return "", nil, c.refuse(-1, "LATERAL")
	}
	q, err := c.query(r.Subquery.GetSelectStmt(), outer)
	if err != nil {
		return "", nil, err
	}
	if err := c.settleUnknown(q); err != nil {
		return "", nil, err
	}
	it := &item{alias: c.alias(), bare: true, named: r.Alias != nil}
	return c.subquery(q, it), []*item{it}, c.aliased(it, r.Alias)
}
