package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// users are views that need a relation.
func (e *edit) users(o uint32) (list []*relation) {
	for _, r := range e.all() {
		if r.Kind == "v" && slices.Contains(r.Uses, o) {
			list = append(list, r)
		}
	}
	return list
}

func (c *compiler) drop(e *edit, s *pg.DropStmt) (string, error) {
	kinds := map[pg.ObjectType][3]string{pg.ObjectType_OBJECT_TABLE: {"r", "TABLE", "table"}, pg.ObjectType_OBJECT_VIEW: {"v", "VIEW", "view"},
		pg.ObjectType_OBJECT_INDEX: {"i", "INDEX", "index"}, pg.ObjectType_OBJECT_SEQUENCE: {"S", "SEQUENCE", "sequence"}}
	switch s.RemoveType {
	case pg.ObjectType_OBJECT_SCHEMA:
		return "DROP SCHEMA", c.dropSchema(e, s)
	case pg.ObjectType_OBJECT_PUBLICATION:
		return "DROP PUBLICATION", c.dropPublication(e, s)
	}
	if s.RemoveType == pg.ObjectType_OBJECT_POLICY {
		return "DROP POLICY", c.dropPolicy(e, s)
	}
	kind, ok := kinds[s.RemoveType]
	if !ok {
		return "", c.refuse(-1, "DROP of this")
	}
	if s.Concurrent {
		return "", c.refuse(-1, "DROP INDEX CONCURRENTLY")
	}
	cascade := s.Behavior == pg.DropBehavior_DROP_CASCADE
	var all []*relation
	for _, n := range s.Objects {
		parts := names(n.GetList().GetItems())
		r := &pg.RangeVar{Relname: parts[len(parts)-1], Location: -1}
		if len(parts) > 1 {
			r.Schemaname = parts[len(parts)-2]
		}
		rel, err := c.findFor(e, r, true)
		if err != nil {
			return "", err
		}
		if rel == nil {
			if r.Schemaname != "" && e.schema(r.Schemaname) == nil && !s.MissingOk {
				return "", fail("3F000", "schema \"%s\" does not exist", r.Schemaname)
			}
			if s.MissingOk {
				continue
			}
			code := "42P01"
			if kind[0] == "i" {
				code = "42704"
			}
			return "", fail(code, "%s \"%s\" does not exist", kind[2], strings.Join(parts, "."))
		}
		if rel.Kind != kind[0] {
			return "", fail("42809", "\"%s\" is not a %s", rel.Name, kind[2])
		}
		if !slices.Contains(all, rel) {
			all = append(all, rel)
		}
	}
	for _, rel := range all {
		if e.byOID[rel.OID] == nil {
			continue
		}
		if err := c.dropRelation(e, rel, cascade, all); err != nil {
			return "", err
		}
	}
	return "DROP " + kind[1], nil
}

func dependent(what string) error {
	e := fail("2BP01", "cannot drop %s because other objects depend on it", what)
	e.Hint = "Use DROP ... CASCADE to drop the dependent objects too."
	return e
}

// dropRelation drops one; others are dropped by the same statement.
func (c *compiler) dropRelation(e *edit, r *relation, cascade bool, others []*relation) error {
	with := func(o uint32) bool {
		return slices.ContainsFunc(others, func(x *relation) bool { return x.OID == o })
	}
	for _, v := range e.users(r.OID) {
		if !cascade && !with(v.OID) {
			return dependent(kindName(r) + " " + r.Name)
		}
		if e.byOID[v.OID] != nil {
			if err := c.dropRelation(e, v, true, others); err != nil {
				return err
			}
		}
	}
	if err := c.dropPolicies(e, r, cascade, with); err != nil {
		return err
	}
	switch r.Kind {
	case "v":
		e.drop(r)
	case "i":
		if r.Index.Owned {
			t := e.byOID[r.Index.Table]
			out := fail("2BP01", "cannot drop index %s because constraint %s on table %s requires it", r.Name, r.Name, t.Name)
			out.Hint = "You can drop constraint " + r.Name + " on table " + t.Name + " instead."
			return out
		}
		e.dropIndex(r)
	case "S":
		if r.Sequence.OwnerTable != 0 {
			t := e.byOID[r.Sequence.OwnerTable]
			if t != nil && t.column(r.Sequence.OwnerColumn).Sequence == r.OID {
				if t.column(r.Sequence.OwnerColumn).Identity != "" {
					return fail("2BP01", "cannot drop sequence %s because column %s of table %s requires it", r.Name, t.column(r.Sequence.OwnerColumn).Name, t.Name)
				}
				if !cascade {
					return dependent("sequence " + r.Name)
				}
				t = e.change(t)
				t.column(r.Sequence.OwnerColumn).Sequence = 0
			}
		}
		for _, t := range e.all() {
			if t.Kind == "r" && slices.Contains(t.Uses, r.OID) {
				return c.refuse(-1, "dropping a sequence that a default may name")
			}
		}
		e.do("DELETE FROM pg_sequence WHERE oid=?", int64(r.OID))
		e.drop(r)
	case "r":
		for _, t := range e.all() {
			if t.OID == r.OID || t.Kind != "r" {
				continue
			}
			if !slices.ContainsFunc(t.Constraints, func(k *constraint) bool { return k.References == r.OID }) {
				continue
			}
			if with(t.OID) {
				if err := c.dropRelation(e, t, cascade, others); err != nil {
					return err
				}
				continue
			}
			if !cascade {
				return dependent("table " + r.Name)
			}
			t = e.change(t)
			t.Constraints = slices.DeleteFunc(t.Constraints, func(k *constraint) bool { return k.References == r.OID })
			if err := c.rebuild(e, t); err != nil {
				return err
			}
		}
		for _, i := range e.indexes(r.OID) {
			if i.Index.inverted() {
				e.dropIndex(i)
			} else {
				e.drop(i)
			}
		}
		for _, q := range e.all() {
			if q.Sequence != nil && q.Sequence.OwnerTable == r.OID {
				e.do("DELETE FROM pg_sequence WHERE oid=?", int64(q.OID))
				e.drop(q)
			}
		}
		e.do("DROP TABLE " + r.table())
		e.drop(r)
	}
	return nil
}

func kindName(r *relation) string {
	return map[string]string{"r": "table", "v": "view", "i": "index", "S": "sequence"}[r.Kind]
}

// rebuild makes a table again, for a change of foreign keys: SQLite has them in the table's text.
func (c *compiler) rebuild(e *edit, r *relation) error {
	for _, t := range e.all() {
		if slices.ContainsFunc(t.Constraints, func(k *constraint) bool { return k.References == r.OID && t.OID != r.OID }) {
			empty, err := c.empty(r)
			if err != nil {
				return err
			}
			if !empty {
				return c.refuse(-1, "changing the foreign keys of table \"%s\", which has rows and is referenced itself,", r.Name)
			}
		}
	}
	if slices.ContainsFunc(r.Constraints, func(k *constraint) bool { return k.References == r.OID }) {
		if empty, err := c.empty(r); err != nil || !empty {
			if err == nil {
				err = c.refuse(-1, "changing the foreign keys of table \"%s\", which has rows and references itself,", r.Name)
			}
			return err
		}
	}
	name := "n" + strconv.FormatUint(uint64(r.OID), 10)
	if err := c.makeTable(e, r, name); err != nil {
		return err
	}
	var list []string
	for _, col := range r.live() {
		list = append(list, col.stored())
	}
	columns := strings.Join(list, ",")
	e.do("INSERT INTO " + name + "(rowid," + columns + ") SELECT rowid," + columns + " FROM " + r.table())
	e.do("DROP TABLE " + r.table())
	e.do("ALTER TABLE " + name + " RENAME TO " + r.table())
	if err := c.makeIndexes(e, r); err != nil {
		return err
	}
	return c.guard(e, r)
}

// empty tells whether a table has no rows now.
func (c *compiler) empty(r *relation) (bool, error) {
	if c.cat.byOID[r.OID] == nil {
		return true, nil
	}
	rows, err := c.file.Query("SELECT EXISTS(SELECT 1 FROM main." + r.table() + ")")
	if err != nil {
		return false, err
	}
	return rows[0][0] == int64(0), nil
}
