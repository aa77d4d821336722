package postgres

import (
	"cmp"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
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
	switch len(parts) {
	case 1:
		return c.bareColumn(parts[0], r.Location, s)
	case 2, 3:
		return c.qualified(parts, r.Location, s)
	}
	return nil, c.refuse(r.Location, "a name of %d parts", len(parts))
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

func (c *compiler) join(j *pg.JoinExpr, s *scope) (string, []*item, error) {
	l, li, err := c.from(j.Larg, s)
	if err != nil {
		return "", nil, err
	}
	rs := s
	if j.Rarg.GetRangeFunction() != nil { // which may use columns of what stands before it
		rs = &scope{items: slices.Clone(li)}
		if s != nil {
			rs.outer, rs.items = s.outer, append(slices.Clone(s.items), li...)
		}
	}
	r, ri, err := c.from(j.Rarg, rs)
	if err != nil {
		return "", nil, err
	}
	if s != nil && rs != s && slices.ContainsFunc(s.items, func(it *item) bool { return it.alias != "" && strings.Contains(r, it.alias+".") }) {
		return "", nil, c.refuse(-1, "a function in a join, of columns from outside of it,")
	}
	items := append(slices.Clone(li), ri...)
	if err := c.distinctNames(items); err != nil {
		return "", nil, err
	}
	word := map[pg.JoinType]string{pg.JoinType_JOIN_INNER: "JOIN", pg.JoinType_JOIN_LEFT: "LEFT JOIN", pg.JoinType_JOIN_RIGHT: "RIGHT JOIN", pg.JoinType_JOIN_FULL: "FULL JOIN"}[j.Jointype]
	if word == "" {
		return "", nil, c.refuse(-1, "this join")
	}
	if word != "JOIN" {
		for _, it := range ri {
			if it.source != nil && it.source.lateral {
				return "", nil, c.refuse(-1, "an outer join with a function of other columns")
			}
		}
	}
	using := names(j.UsingClause)
	var left, right []*field
	for _, it := range li {
		if it.bare {
			left = append(left, it.columns...)
		}
	}
	for _, it := range ri {
		if it.bare {
			right = append(right, it.columns...)
		}
	}
	if j.IsNatural {
		for _, f := range left {
			if slices.ContainsFunc(right, func(g *field) bool { return g.name == f.name }) && !slices.Contains(using, f.name) {
				using = append(using, f.name)
			}
		}
	}
	on := ""
	var merged []*field
	inner := &scope{outer: outerOf(s), items: items, forbids: "JOIN conditions", noWin: "JOIN conditions"}
	switch {
	case len(using) > 0:
		var conditions []*expr
		for _, name := range using {
			f, err := c.oneField(left, name, "left")
			if err != nil {
				return "", nil, err
			}
			g, err := c.oneField(right, name, "right")
			if err != nil {
				return "", nil, err
			}
			x, y := c.use(f, s, -1, name), c.use(g, s, -1, name)
			e, err := c.binary(-1, "=", x, y)
			if err != nil {
				return "", nil, err
			}
			conditions = append(conditions, e)
			typ, err := commonType("JOIN/USING", []*expr{x, y})
			if err != nil {
				return "", nil, err
			}
			mod := int32(-1)
			if x.mod == y.mod && x.typ == y.typ {
				mod = x.mod
			}
			m := &field{name: name, typ: typ, mod: mod}
			xt, err := c.coerce(x, typ, -1, postgres.Implicit)
			if err != nil {
				return "", nil, err
			}
			yt, err := c.coerce(y, typ, -1, postgres.Implicit)
			if err != nil {
				return "", nil, err
			}
			switch word {
			case "JOIN", "LEFT JOIN":
				if m.sql, m.uses = xt.sql, x.uses; xt.sql == x.sql {
					m.table, m.number = f.table, f.number
				}
			case "RIGHT JOIN":
				if m.sql, m.uses = yt.sql, y.uses; yt.sql == y.sql {
					m.table, m.number = g.table, g.number
				}
			default:
				m.sql, m.uses = "coalesce("+xt.sql+","+yt.sql+")", append(slices.Clone(x.uses), y.uses...)
			}
			merged = append(merged, m)
		}
		on = c.joined(-1, "AND", conditions).sql
	case j.IsNatural || j.Quals == nil:
		on = "1"
		if word == "FULL JOIN" && !j.IsNatural {
			return "", nil, c.refuse(-1, "a FULL JOIN without a condition")
		}
	default:
		e, err := c.expr(j.Quals, inner)
		if err != nil {
			return "", nil, err
		}
		if e, err = c.toBool(e, "JOIN/ON"); err != nil {
			return "", nil, err
		}
		for i := range e.uses {
			if e.uses[i].level == inner {
				e.uses[i].level = s
			}
		}
		on = e.sql
		if word == "FULL JOIN" && (e.con || e.sub) {
			return "", nil, c.refuse(-1, "a FULL JOIN with such a condition")
		}
		if word == "JOIN" || word == "LEFT JOIN" {
			found, err := c.byWords(j.Quals, inner, false)
			if err != nil {
				return "", nil, err
			}
			on = narrowed(on, found)
		}
		if e.volatile {
			return "", nil, c.refuse(e.at, "a join by what is not the same each time")
		}
	}
	sql := "(" + l + " " + word + " " + r + " ON " + on + ")"
	// The join's own columns: what is merged, then the rest of both.
	it := &item{bare: true, columns: merged}
	for _, list := range [][]*field{left, right} {
		for _, i := range items {
			it.partial = it.partial || i.partial
		}
		for _, f := range list {
			if slices.Contains(using, f.name) {
				continue
			}
			g := *f
			it.columns = append(it.columns, &g)
		}
	}
	c.ownUses(it, items, s)
	for _, i := range items {
		i.bare = false
	}
	if j.JoinUsingAlias != nil {
		return "", nil, c.refuse(-1, "an alias of USING")
	}
	if j.Alias != nil {
		it.named = true
		return sql, []*item{it}, c.aliased(it, j.Alias)
	}
	return sql, append(items, it), nil
}

// ownUses keeps by which name a column of a join is told in errors.
func (c *compiler) ownUses(it *item, items []*item, s *scope) {
	for _, f := range it.columns {
		if f.uses != nil {
			for i := range f.uses {
				f.uses[i].level = s
			}
			continue
		}
		for _, i := range items {
			for _, g := range i.columns {
				if g.sql == f.sql && i.name != "" && f.uses == nil {
					f.uses = []use{{level: s, name: i.name + "." + g.name, at: -1, key: g.sql}}
				}
			}
		}
	}
}

func outerOf(s *scope) *scope {
	if s == nil {
		return nil
	}
	return s.outer
}

func (c *compiler) oneField(list []*field, name, side string) (*field, error) {
	var found *field
	for _, f := range list {
		if f.name == name {
			if found != nil {
				return nil, fail("42702", "common column name \"%s\" appears more than once in %s table", name, side)
			}
			found = f
		}
	}
	if found == nil {
		return nil, fail("42703", "column \"%s\" specified in USING clause does not exist in %s table", name, side)
	}
	return found, nil
}

// distinctNames refuses two tables of one name.
func (c *compiler) distinctNames(items []*item) error {
	seen := map[string]*item{}
	for _, it := range items {
		if !it.named {
			continue
		}
		if o := seen[it.name]; o != nil && (o.schema == it.schema || o.schema == "" || it.schema == "") {
			return fail("42712", "table name \"%s\" specified more than once", it.name)
		}
		seen[it.name] = it
	}
	return nil
}
