package postgres

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

func (c *compiler) rename(e *edit, s *pg.RenameStmt) (string, error) {
	switch s.RenameType {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_INDEX:
		word := map[pg.ObjectType]string{pg.ObjectType_OBJECT_TABLE: "TABLE", pg.ObjectType_OBJECT_VIEW: "VIEW", pg.ObjectType_OBJECT_INDEX: "INDEX"}[s.RenameType]
		tag := "ALTER " + word
		r, err := c.findFor(e, s.Relation, s.MissingOk)
		if err != nil || r == nil {
			return tag, err
		}
		if word == "INDEX" && r.Kind != "i" || word == "VIEW" && r.Kind != "v" || word == "TABLE" && r.Kind == "S" {
			return "", c.refuse(-1, "renaming \"%s\" so", r.Name)
		}
		if e.relations[relationKey(r.Schema, s.Newname)] != nil {
			return "", fail("42P07", "relation \"%s\" already exists", s.Newname)
		}
		if tables, _ := e.reading(r.OID); len(tables) > 0 {
			return "", c.refuse(-1, "renaming what a policy of \"%s\" reads", tables[0].Name)
		}
		for _, p := range r.Policies {
			if len(p.Uses) > 0 || strings.Contains(p.Using+p.Check, r.Name+".") {
				return "", c.refuse(-1, "renaming a table whose policies name it")
			}
		}
		if r.Kind == "r" {
			for _, k := range r.Constraints {
				if k.Kind == "c" && strings.Contains(k.Check, r.Name+".") {
					return "", c.refuse(-1, "renaming a table whose checks name it")
				}
			}
		}
		if r.Kind == "i" && r.Index.Owned {
			t := e.change(e.byOID[r.Index.Table])
			for _, k := range t.Constraints {
				if k.Index == r.OID {
					k.Name = s.Newname
				}
			}
		}
		return tag, c.keepViews(e, r, func() error { e.rename(r, s.Newname); return nil }, renameTable(r, s.Newname), c.inView("renaming \""+r.Name+"\""))
	case pg.ObjectType_OBJECT_COLUMN:
		r, err := c.findFor(e, s.Relation, s.MissingOk)
		if err != nil || r == nil {
			return "ALTER TABLE", err
		}
		if r.Kind != "r" {
			return "", c.refuse(-1, "renaming a column of this")
		}
		r = e.change(r)
		col := r.columnNamed(s.Subname)
		if col == nil {
			return "", fail("42703", "column \"%s\" does not exist", s.Subname)
		}
		if r.columnNamed(s.Newname) != nil {
			return "", fail("42701", "column \"%s\" of relation \"%s\" already exists", s.Newname, r.Name)
		}
		if err := c.renamedIn(e, r, s.Subname, s.Newname); err != nil {
			return "", err
		}
		for _, k := range r.Constraints {
			if k.Kind == "c" && slices.Contains(k.Columns, col.Number) {
				if k.Check, err = renamed(k.Check, s.Subname, s.Newname); err != nil {
					return "", err
				}
			}
		}
		for _, i := range e.indexes(r.OID) {
			i = e.change(i)
			for n := range i.Index.Keys {
				if x := &i.Index.Keys[n]; x.Expression != "" {
					if x.Expression, err = renamed(x.Expression, s.Subname, s.Newname); err != nil {
						return "", err
					}
				}
			}
			if i.Index.Where != "" {
				if i.Index.Where, err = renamed(i.Index.Where, s.Subname, s.Newname); err != nil {
					return "", err
				}
			}
		}
		return "ALTER TABLE", c.keepViews(e, r, func() error { col.Name = s.Newname; return nil }, c.renameColumn(place{r.OID, col.Number}, s.Subname, s.Newname),
			c.inView("renaming a column of \""+r.Name+"\""))
	case pg.ObjectType_OBJECT_POLICY:
		r, err := c.findFor(e, s.Relation, s.MissingOk)
		if err != nil || r == nil {
			return "ALTER POLICY", err
		}
		r = e.change(r)
		p := r.policy(s.Subname)
		if r.policy(s.Newname) != nil {
			return "", fail("42710", "policy \"%s\" for table \"%s\" already exists", s.Newname, r.Name)
		}
		if p == nil {
			return "", fail("42704", "policy \"%s\" for table \"%s\" does not exist", s.Subname, r.Name)
		}
		p.Name = s.Newname
		return "ALTER POLICY", nil
	case pg.ObjectType_OBJECT_ROLE:
		r, err := c.named(e, &pg.RoleSpec{Roletype: pg.RoleSpecType_ROLESPEC_CSTRING, Rolename: s.Subname, Location: -1})
		if err != nil {
			return "", err
		}
		if e.head.role(s.Newname) != nil || s.Newname == ownerName {
			return "", fail("42710", "role \"%s\" already exists", s.Newname)
		}
		if strings.HasPrefix(s.Newname, "pg_") {
			return "", fail("42939", "role name \"%s\" is reserved", s.Newname)
		}
		r.Name, e.headed = s.Newname, true
		return "ALTER ROLE", nil
	case pg.ObjectType_OBJECT_PUBLICATION:
		return "ALTER PUBLICATION", c.renamePublication(e, s.Object.GetString_().GetSval(), s.Newname)
	case pg.ObjectType_OBJECT_TABCONSTRAINT:
		r, err := c.findFor(e, s.Relation, s.MissingOk)
		if err != nil || r == nil {
			return "ALTER TABLE", err
		}
		r = e.change(r)
		k := r.constraint(s.Subname)
		if k == nil {
			return "", fail("42704", "constraint \"%s\" for table \"%s\" does not exist", s.Subname, r.Name)
		}
		if r.constraint(s.Newname) != nil {
			return "", fail("42710", "constraint \"%s\" for relation \"%s\" already exists", s.Newname, r.Name)
		}
		if k.Index != 0 {
			if e.relations[relationKey(r.Schema, s.Newname)] != nil {
				return "", fail("42P07", "relation \"%s\" already exists", s.Newname)
			}
			e.rename(e.byOID[k.Index], s.Newname)
		}
		k.Name = s.Newname
		return "ALTER TABLE", nil
	}
	return "", c.refuse(-1, "renaming this")
}

// renamed is an expression with another name of a column.
func renamed(text, from, to string) (string, error) {
	tree, err := pg.Parse("SELECT " + text)
	if err != nil || len(tree.Stmts) != 1 {
		return "", corrupt("an expression that is none")
	}
	walk(tree.Stmts[0].Stmt.ProtoReflect(), func(v any) bool {
		if r, ok := v.(*pg.ColumnRef); ok {
			if s := r.Fields[len(r.Fields)-1].GetString_(); s != nil && s.Sval == from {
				s.Sval = to
			}
		}
		return true
	})
	out, err := deparse(tree.Stmts[0].Stmt)
	return strings.TrimPrefix(out, "SELECT "), err
}
