package postgres

import (
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// A view is kept as its text, which is compiled whenever it is used. PostgreSQL keeps what the text meant when the view was made; so what
// a view names may change only when the view, with its text changed accordingly, means afterwards what it meant before: then it
// compiles to the same.

// meant is what a text means.
type meant struct {
	compiled string
	tree     *pg.Node
	columns  map[*pg.ColumnRef]place      // that names in the tree mean
	stars    map[*pg.ColumnRef][][]string // names for the columns that each * stands for
}

// A place is a column of a relation.
type place struct {
	table  uint32
	number int
}

func (c *compiler) meaning(cat *catalog, text string) (*meant, error) {
	m := &meant{columns: map[*pg.ColumnRef]place{}, stars: map[*pg.ColumnRef][][]string{}}
	k := &compiler{s: c.s, cat: cat, file: c.file, words: c.words, owned: true, places: map[int]int{}, texts: map[string]int{}, meant: m}
	err := k.within(text, func() (err error) {
		if m.tree, err = k.parse(text); err != nil {
			return err
		}
		q, err := k.query(m.tree.GetSelectStmt(), nil)
		if err == nil {
			err = k.settleUnknown(q)
		}
		if err != nil {
			return err
		}
		var b strings.Builder
		b.WriteString(q.render())
		for _, o := range q.columns {
			fmt.Fprintf(&b, "\x00%s %d %d", o.name, o.e.typ, o.e.mod)
		}
		fmt.Fprintf(&b, "\x00%q", k.args)
		m.compiled = b.String()
		return nil
	})
	c.words = k.words
	return m, err
}

// keepViews makes a change of a relation that views use. other, if any, changes the tree of a view's text where that names what
// changes. refused says what is wrong when a view would mean something else.
func (c *compiler) keepViews(e *edit, r *relation, change func() error, other func(*meant), refused func(v *relation) error) error {
	views := e.users(r.OID)
	was := make([]*meant, len(views))
	for i, v := range views {
		var err error
		if was[i], err = c.meaning(e.catalog, v.Query); err != nil {
			return err
		}
	}
	if err := change(); err != nil {
		return err
	}
	for i, v := range views {
		if is, err := c.meaning(e.catalog, v.Query); err == nil && is.compiled == was[i].compiled {
			continue
		}
		if other == nil {
			return refused(v)
		}
		other(was[i])
		text, err := deparse(was[i].tree)
		if err != nil {
			return err
		}
		if is, err := c.meaning(e.catalog, text); err != nil || is.compiled != was[i].compiled {
			return refused(v)
		}
		e.change(v).Query = text
	}
	return nil
}

// inView refuses a change that a view's text does not follow.
func (c *compiler) inView(what string) func(v *relation) error {
	return func(v *relation) error {
		e := c.refuse(-1, "%s, which view \"%s\" uses,", what, v.Name)
		e.Hint = "Drop the view, and create it again afterwards."
		return e
	}
}

// renameTable lets a tree name a relation by another name, and its columns still by the old one.
func renameTable(r *relation, name string) func(*meant) {
	was := r.Name
	return func(m *meant) {
		walk(m.tree.ProtoReflect(), func(v any) bool {
			if x, ok := v.(*pg.RangeVar); ok && x.Relname == was && (x.Schemaname == r.Schema || x.Schemaname == "") {
				if x.Relname = name; x.Alias == nil {
					x.Alias = &pg.Alias{Aliasname: was}
				}
			}
			return true
		})
	}
}

// renameColumn lets a tree name a column by another name, and what it gives still by the old one.
func (c *compiler) renameColumn(col place, from, to string) func(*meant) {
	return func(m *meant) {
		given := map[*pg.ResTarget]string{}
		walk(m.tree.ProtoReflect(), func(v any) bool {
			if s, ok := v.(*pg.SelectStmt); ok {
				for _, n := range s.TargetList {
					if t := n.GetResTarget(); t.GetName() == "" {
						given[t] = c.figureName(t.GetVal())
					}
				}
			}
			return true
		})
		for r, p := range m.columns {
			if s := r.Fields[len(r.Fields)-1].GetString_(); p == col && s.Sval == from {
				s.Sval = to
			}
		}
		for t, name := range given {
			if c.figureName(t.GetVal()) != name {
				t.Name = name
			}
		}
	}
}

// unstar puts the columns in the place of each *, which so does not gain those that its tables will.
func unstar(m *meant) {
	walk(m.tree.ProtoReflect(), func(v any) bool {
		s, ok := v.(*pg.SelectStmt)
		if !ok {
			return true
		}
		var list []*pg.Node
		for _, n := range s.TargetList {
			names := m.stars[n.GetResTarget().GetVal().GetColumnRef()]
			if names == nil {
				list = append(list, n)
			}
			for _, name := range names {
				ref := new(pg.ColumnRef)
				for _, part := range name {
					ref.Fields = append(ref.Fields, pg.MakeStrNode(part))
				}
				list = append(list, pg.MakeResTargetNodeWithVal(&pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: ref}}, -1))
			}
		}
		s.TargetList = list
		return true
	})
}
