package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// find looks for a relation in what the edit made so far.
func (c *compiler) findFor(e *edit, r *pg.RangeVar, missingOk bool) (*relation, error) {
	schema := r.Schemaname
	if schema == "" {
		schema = publicSchema
	}
	if rel := e.relations[relationKey(schema, r.Relname)]; rel != nil {
		return rel, nil
	}
	if missingOk {
		return nil, nil
	}
	full := r.Relname
	if r.Schemaname != "" {
		full = r.Schemaname + "." + full
	}
	return nil, fail("42P01", "relation \"%s\" does not exist", full) // told without a place
}

func (c *compiler) alterTable(e *edit, s *pg.AlterTableStmt) (string, error) {
	tag := "ALTER TABLE"
	switch s.Objtype {
	case pg.ObjectType_OBJECT_TABLE:
	default:
		return "", c.refuse(-1, "ALTER of this")
	}
	r, err := c.findFor(e, s.Relation, s.MissingOk)
	if err != nil || r == nil {
		return tag, err
	}
	if r.Kind != "r" {
		return "", fail("42809", "ALTER action cannot be performed on relation \"%s\"", r.Name)
	}
	r = e.change(r)
	reguard := false
	// PostgreSQL drops first, then changes types, then adds.
	order := func(t pg.AlterTableType) int {
		switch t {
		case pg.AlterTableType_AT_DropColumn, pg.AlterTableType_AT_DropConstraint, pg.AlterTableType_AT_DropNotNull:
			return 0
		case pg.AlterTableType_AT_AlterColumnType:
			return 1
		case pg.AlterTableType_AT_AddColumn:
			return 2
		case pg.AlterTableType_AT_AddConstraint:
			return 4
		}
		return 3
	}
	cmds := slices.Clone(s.Cmds)
	slices.SortStableFunc(cmds, func(a, b *pg.Node) int {
		return order(a.GetAlterTableCmd().Subtype) - order(b.GetAlterTableCmd().Subtype)
	})
	for _, n := range cmds {
		cmd := n.GetAlterTableCmd()
		var col *column
		switch cmd.Subtype {
		case pg.AlterTableType_AT_ColumnDefault, pg.AlterTableType_AT_DropNotNull, pg.AlterTableType_AT_SetNotNull, pg.AlterTableType_AT_DropColumn, pg.AlterTableType_AT_AlterColumnType,
			pg.AlterTableType_AT_AddIdentity, pg.AlterTableType_AT_DropIdentity:
			if col = r.columnNamed(cmd.Name); col == nil {
				if cmd.MissingOk && cmd.Subtype == pg.AlterTableType_AT_DropColumn {
					continue
				}
				return "", fail("42703", "column \"%s\" of relation \"%s\" does not exist", cmd.Name, r.Name)
			}
		}
		switch cmd.Subtype {
		case pg.AlterTableType_AT_AddColumn:
			err = c.keepViews(e, r, func() error { return c.alterAdd(e, r, cmd) }, nil, c.inView("adding a column to \""+r.Name+"\""))
			reguard = true
		case pg.AlterTableType_AT_ColumnDefault:
			if col.Identity != "" {
				return "", fail("42601", "column \"%s\" of relation \"%s\" is an identity column", col.Name, r.Name)
			}
			if col.Sequence != 0 {
				if q := e.byOID[col.Sequence]; q != nil {
					return "", c.refuse(-1, "another default for a serial column")
				}
			}
			col.Default = ""
			if cmd.Def != nil {
				err = c.setDefault(r, col, cmd.Def)
			}
		case pg.AlterTableType_AT_SetNotNull:
			if !col.NotNull {
				c.nullColumn(e, r, col)
			}
			reguard = true
		case pg.AlterTableType_AT_DropNotNull:
			if p := r.primary(); p != nil && slices.Contains(p.Columns, col.Number) {
				return "", fail("42P16", "column \"%s\" is in a primary key", col.Name)
			}
			if col.Identity != "" {
				return "", fail("42601", "column \"%s\" of relation \"%s\" is an identity column", col.Name, r.Name)
			}
			col.NotNull = false
			reguard = true
		case pg.AlterTableType_AT_DropColumn:
			what, cascade := "column "+col.Name+" of table "+r.Name, cmd.Behavior == pg.DropBehavior_DROP_CASCADE
			refused := func(*relation) error { return dependent(what) }
			if cascade {
				refused = c.inView("dropping " + what)
			}
			err = c.keepViews(e, r, func() error { return c.alterDrop(e, r, col, cascade) }, nil, refused)
			reguard = true
		case pg.AlterTableType_AT_AddConstraint:
			err = c.added(e, r, pending{k: cmd.Def.GetConstraint()})
			reguard = true
		case pg.AlterTableType_AT_DropConstraint:
			err = c.alterDropConstraint(e, r, cmd)
			reguard = true
		case pg.AlterTableType_AT_AlterColumnType:
			err = c.keepViews(e, r, func() error { return c.alterType(e, r, col, cmd.Def.GetColumnDef()) }, nil,
				func(*relation) error { return fail("0A000", "cannot alter type of a column used by a view or rule") })
			reguard = true
		case pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_DisableRowSecurity:
			r.RowSecurity = cmd.Subtype == pg.AlterTableType_AT_EnableRowSecurity
		case pg.AlterTableType_AT_ForceRowSecurity, pg.AlterTableType_AT_NoForceRowSecurity:
			r.ForceRows = cmd.Subtype == pg.AlterTableType_AT_ForceRowSecurity
		default:
			return "", c.refuse(-1, "ALTER TABLE %s", strings.ToUpper(words(strings.TrimPrefix(cmd.Subtype.String(), "AT_"))))
		}
		if err != nil {
			return "", err
		}
	}
	if reguard {
		c.unguard(e, r)
		err = c.guard(e, r)
	}
	return tag, err
}

func (c *compiler) alterAdd(e *edit, r *relation, cmd *pg.AlterTableCmd) error {
	d := cmd.Def.GetColumnDef()
	if r.columnNamed(d.Colname) != nil {
		if cmd.MissingOk {
			return nil
		}
		return fail("42701", "column \"%s\" of relation \"%s\" already exists", d.Colname, r.Name)
	}
	list, err := c.addColumn(e, r, d)
	if err != nil {
		return err
	}
	col := r.Columns[len(r.Columns)-1]
	for _, o := range r.Columns {
		col.Stored = max(col.Stored, o.Stored+1)
	}
	if col.Stored > len(r.Columns) {
		col.Stored--
	}
	for _, o := range r.Columns[:len(r.Columns)-1] {
		if o.Stored == col.Stored {
			col.Stored++
		}
	}
	e.do("ALTER TABLE " + r.table() + " ADD COLUMN " + columnSQL(col))
	c.unguard(e, r)
	if col.Default != "" || col.Sequence != 0 {
		if col.Sequence != 0 {
			empty, err := c.empty(r)
			if err != nil {
				return err
			}
			if !empty {
				return c.refuse(-1, "adding a serial or identity column to a table that has rows")
			}
		} else {
			was := c.keeps
			x, err := c.defaultOf(r, col)
			c.keeps = was
			if err != nil {
				return err
			}
			if c.sequences {
				return c.refuse(-1, "adding a column whose default draws from a sequence")
			}
			e.steps = append(e.steps, c.stepWithArgs("UPDATE "+r.table()+" SET "+col.stored()+"="+x.sql))
		}
	}
	if col.NotNull {
		c.nullColumn(e, r, col)
	}
	for _, p := range list {
		if err := c.added(e, r, p); err != nil {
			return err
		}
	}
	return nil
}

// added adds a constraint to a table that is there, and looks whether its rows keep it.
func (c *compiler) added(e *edit, r *relation, p pending) error {
	before := len(r.Constraints)
	var nullable []*column // that a primary key does not let be NULL any more; PostgreSQL looks after the index is made
	if p.k.Contype == pg.ConstrType_CONSTR_PRIMARY && p.col == nil {
		for _, name := range names(p.k.Keys) {
			if col := r.columnNamed(name); col != nil && !col.NotNull {
				nullable = append(nullable, col)
			}
		}
	}
	if err := c.addConstraints(e, r, []pending{p}); err != nil {
		return err
	}
	k := r.Constraints[before]
	switch k.Kind {
	case "p", "u":
		if err := c.makeIndex(e, r, e.byOID[k.Index]); err != nil {
			return err
		}
		for _, col := range nullable {
			c.nullColumn(e, r, col)
		}
	case "c":
		return c.within(k.Check, func() error {
			n, err := c.parseExpression(k.Check)
			if err != nil {
				return err
			}
			x, err := c.keep(n, tableScope(r, "", "check constraints"))
			if err == nil {
				x, err = c.toBool(x, "CHECK")
			}
			if err == nil {
				e.do("SELECT \"violated\"(?,?) FROM "+r.table()+" WHERE "+x.sql+" IS 0 LIMIT 1", r.Name, k.Name)
			}
			return err
		})
	case "f":
		return c.rebuild(e, r)
	}
	return nil
}

// nullColumn looks whether a column that may not be NULL any more is.
func (c *compiler) nullColumn(e *edit, r *relation, col *column) {
	col.NotNull = true
	e.do("SELECT \"contains\"(?,?) FROM "+r.table()+" WHERE "+col.stored()+" IS NULL LIMIT 1", r.Name, col.Name)
}

func (c *compiler) alterDropConstraint(e *edit, r *relation, cmd *pg.AlterTableCmd) error {
	k := r.constraint(cmd.Name)
	if k == nil {
		if cmd.MissingOk {
			return nil
		}
		return fail("42704", "constraint \"%s\" of relation \"%s\" does not exist", cmd.Name, r.Name)
	}
	return c.dropConstraint(e, r, k, cmd.Behavior == pg.DropBehavior_DROP_CASCADE)
}

func (c *compiler) dropConstraint(e *edit, r *relation, k *constraint, cascade bool) error {
	if k.Kind == "p" || k.Kind == "u" {
		for _, t := range e.all() {
			for _, f := range t.Constraints {
				if f.References != r.OID || !sameSet(f.ReferencedColumns, k.Columns) {
					continue
				}
				if !cascade {
					return dependent("constraint " + k.Name + " on table " + r.Name)
				}
				return c.refuse(-1, "dropping a key that is referenced")
			}
		}
		e.dropIndex(e.byOID[k.Index])
	}
	r.Constraints = slices.DeleteFunc(r.Constraints, func(x *constraint) bool { return x == k })
	if k.Kind == "f" {
		return c.rebuild(e, r)
	}
	return nil
}

func sameSet(a, b []int) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func (c *compiler) alterDrop(e *edit, r *relation, col *column, cascade bool) error {
	if len(r.live()) == 1 {
		return c.refuse(-1, "a table without columns")
	}
	if tables, _ := e.reading(r.OID); len(tables) > 0 {
		return c.refuse(-1, "dropping a column of \"%s\", which a policy of \"%s\" reads,", r.Name, tables[0].Name)
	}
	for p := r.policyOn(col.Number); p != nil; p = r.policyOn(col.Number) {
		if !cascade {
			return dependent("column " + col.Name + " of table " + r.Name)
		}
		r.Policies = slices.DeleteFunc(r.Policies, func(x *policy) bool { return x == p })
	}
	for _, t := range e.all() {
		for _, f := range t.Constraints {
			if f.References == r.OID && slices.Contains(f.ReferencedColumns, col.Number) && t.OID != r.OID {
				if !cascade {
					return dependent("column " + col.Name + " of table " + r.Name)
				}
				return c.refuse(-1, "dropping a column that is referenced")
			}
		}
	}
	for _, k := range slices.Clone(r.Constraints) {
		if slices.Contains(k.Columns, col.Number) || k.References == r.OID && slices.Contains(k.ReferencedColumns, col.Number) {
			if err := c.dropConstraint(e, r, k, true); err != nil {
				return err
			}
		}
	}
	for _, i := range e.indexes(r.OID) {
		uses := false
		for _, k := range i.Index.Keys {
			uses = uses || k.Column == col.Number || k.Expression != "" && mentionsColumn(k.Expression, col.Name)
		}
		if uses || i.Index.Where != "" && mentionsColumn(i.Index.Where, col.Name) {
			e.dropIndex(i)
		}
	}
	if q := e.byOID[col.Sequence]; q != nil {
		e.do("DELETE FROM pg_sequence WHERE oid=?", int64(q.OID))
		e.drop(q)
	}
	c.unguard(e, r)
	e.do("ALTER TABLE " + r.table() + " DROP COLUMN " + col.stored())
	*col = column{Name: "........pg.dropped." + strconv.Itoa(col.Number) + "........", Number: col.Number, Type: col.Type, Typmod: -1, Stored: col.Stored, Dropped: true}
	return nil
}

// mentionsColumn tells whether an expression may name a column.
func mentionsColumn(text, name string) bool {
	tree, err := pg.Parse("SELECT " + text)
	if err != nil || len(tree.Stmts) != 1 {
		return true
	}
	found := false
	walk(tree.Stmts[0].Stmt.ProtoReflect(), func(v any) bool {
		if r, ok := v.(*pg.ColumnRef); ok {
			if l := r.Fields; l[len(l)-1].GetString_().GetSval() == name {
				found = true
			}
		}
		return !found
	})
	return found
}

// sequenceType lets a serial or identity column have another type. The sequence of an identity column has it, too.
func (c *compiler) sequenceType(e *edit, col *column, typ oid) error {
	q := e.byOID[col.Sequence]
	if typ != postgres.Int2 && typ != postgres.Int4 && typ != postgres.Int8 || q == nil {
		return c.refuse(-1, "such a type for a serial or identity column")
	}
	if col.Identity == "" {
		return nil
	}
	q = e.change(q)
	least, most := integerRange(q.Sequence.Type)
	newLeast, newMost := integerRange(typ)
	if newMost < most {
		return c.refuse(-1, "a smaller type for an identity column")
	}
	if q.Sequence.Max == most {
		q.Sequence.Max = newMost
	}
	if q.Sequence.Min == least {
		q.Sequence.Min = newLeast
	}
	q.Sequence.Type = typ
	return nil
}

// defaultCast keeps a default for a column whose type was another. What it is written as is assigned to the new one; a quoted text was
// a value of the old one.
func (c *compiler) defaultCast(r *relation, col *column, was oid) error {
	return c.within(col.Default, func() error {
		n, err := c.parseExpression(col.Default)
		if err == nil && n.GetAConst().GetSval() != nil {
			n, err = c.parseExpression("CAST(" + col.Default + " AS " + typeName(was) + ")")
		}
		if err != nil {
			return err
		}
		if err = c.setDefault(r, col, n); err != nil {
			if e := toError(err); e.Code == "42804" {
				return fail(e.Code, "default for column \"%s\" cannot be cast automatically to type %s", col.Name, typeName(col.Type))
			}
		}
		return err
	})
}

// alterType makes another column of SQLite's where the order of values changes.
func (c *compiler) alterType(e *edit, r *relation, col *column, d *pg.ColumnDef) error {
	if tables, _ := e.reading(r.OID); len(tables) > 0 || r.policyOn(col.Number) != nil {
		return fail("0A000", "cannot alter type of a column used in a policy definition")
	}
	for _, k := range r.Constraints {
		if k.Kind != "p" && k.Kind != "u" && slices.Contains(k.Columns, col.Number) {
			return c.refuse(-1, "another type for a column of a check or a foreign key")
		}
	}
	for _, t := range e.all() {
		for _, k := range t.Constraints {
			if k.References == r.OID && slices.Contains(k.ReferencedColumns, col.Number) {
				return c.refuse(-1, "another type for a column that is referenced")
			}
		}
	}
	typ, mod, err := c.typeName(d.TypeName)
	if err != nil {
		return err
	}
	if col.Sequence != 0 {
		if err := c.sequenceType(e, col, typ); err != nil {
			return err
		}
	}
	was := col.Type
	sc := tableScope(r, "", "transform expressions")
	var x *expr
	if d.RawDefault != nil {
		if x, err = c.expr(d.RawDefault, sc); err != nil {
			return err
		}
		if x.sub {
			return c.fail(x.at, "0A000", "cannot use subquery in transform expression")
		}
		if x.typ != postgres.Unknown && !canCast(x.typ, typ, postgres.Assignment) {
			return fail("42804", "result of USING clause for column \"%s\" cannot be cast automatically to type %s", col.Name, typeName(typ))
		}
	} else {
		x = &expr{c: c, at: -1, sql: col.stored(), typ: col.Type, mod: col.Typmod}
		if !canCast(x.typ, typ, postgres.Assignment) {
			out := fail("42804", "column \"%s\" cannot be cast automatically to type %s", col.Name, typeName(typ))
			out.Hint = "You might need to specify \"USING " + quoteIdent(col.Name) + "::" + typeName(typ) + "\"."
			return out
		}
	}
	if x, err = c.coerce(x, typ, mod, postgres.Assignment); err != nil {
		return err
	}
	var again []*relation
	for _, i := range e.indexes(r.OID) {
		uses := false
		for _, k := range i.Index.Keys {
			if k.Expression != "" && mentionsColumn(k.Expression, col.Name) {
				return c.refuse(-1, "another type for a column of an index by expressions")
			}
			uses = uses || k.Column == col.Number
		}
		if i.Index.Where != "" && mentionsColumn(i.Index.Where, col.Name) {
			return c.refuse(-1, "another type for a column of a partial index")
		}
		if uses && i.Index.inverted() {
			return c.refuse(-1, "another type for a column of a GIN index")
		}
		if uses {
			e.do("DROP INDEX " + i.index())
			again = append(again, i)
		}
	}
	c.unguard(e, r)
	if typeOf(typ).Collation != typeOf(col.Type).Collation {
		was := col.stored()
		for _, o := range r.Columns {
			col.Stored = max(col.Stored, o.Stored)
		}
		col.Stored++
		col.Type, col.Typmod = typ, mod
		e.do("ALTER TABLE " + r.table() + " ADD COLUMN " + columnSQL(col))
		e.steps = append(e.steps, c.stepWithArgs("UPDATE "+r.table()+" SET "+col.stored()+"="+x.sql))
		e.do("ALTER TABLE " + r.table() + " DROP COLUMN " + was)
	} else {
		col.Type, col.Typmod = typ, mod
		e.steps = append(e.steps, c.stepWithArgs("UPDATE "+r.table()+" SET "+col.stored()+"="+x.sql))
	}
	if col.Default != "" {
		if err := c.defaultCast(r, col, was); err != nil {
			return err
		}
	}
	for _, i := range again {
		if err := c.makeIndex(e, r, i); err != nil {
			return err
		}
	}
	return nil
}
