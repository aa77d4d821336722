package postgres

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

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
