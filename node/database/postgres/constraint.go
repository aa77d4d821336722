package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// addConstraints adds constraints to a table: first the primary key, as PostgreSQL does, because it names nothing.
func (c *compiler) addConstraints(e *edit, r *relation, list []pending) error {
	taken := func(name string) bool { return r.constraint(name) != nil }
	rank := func(p pending) int {
		switch p.k.Contype {
		case pg.ConstrType_CONSTR_CHECK:
			return 0
		case pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_UNIQUE:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b pending) int { return rank(a) - rank(b) })
	for _, p := range list {
		k := p.k
		if k.Conname != "" && taken(k.Conname) {
			return fail("42710", "constraint \"%s\" for relation \"%s\" already exists", k.Conname, r.Name)
		}
		if k.SkipValidation {
			return c.refuse(k.Location, "NOT VALID")
		}
		switch k.Contype {
		case pg.ConstrType_CONSTR_CHECK:
			if err := c.addCheck(e, r, p, taken); err != nil {
				return err
			}
		case pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_UNIQUE:
			if err := c.addUnique(e, r, p); err != nil {
				return err
			}
		case pg.ConstrType_CONSTR_FOREIGN:
			if err := c.addForeign(e, r, p, taken); err != nil {
				return err
			}
		default:
			return c.refuse(k.Location, "this constraint")
		}
	}
	return nil
}

// tableScope is for expressions over a table's columns; prefix stands before the columns in SQLite.
func tableScope(r *relation, prefix string, what string) *scope {
	it := &item{name: r.Name, schema: r.Schema, bare: true, named: true}
	for _, col := range r.live() {
		it.columns = append(it.columns, &field{name: col.Name, sql: prefix + col.stored(), typ: col.Type, mod: col.Typmod, table: r.OID, number: col.Number})
	}
	return &scope{items: []*item{it}, forbids: what, noWin: what}
}

// keep compiles an expression that SQLite keeps.
func (c *compiler) keep(n *pg.Node, sc *scope) (e *expr, err error) {
	was := c.keeps
	c.keeps = true
	defer func() { c.keeps = was }()
	return c.expr(n, sc)
}

func (c *compiler) addCheck(e *edit, r *relation, p pending, taken func(string) bool) error {
	if err := c.noSubquery(p.k.RawExpr, "check constraint"); err != nil {
		return err
	}
	x, err := c.keep(p.k.RawExpr, tableScope(r, "NEW.", "check constraints"))
	if err != nil {
		return err
	}
	if x, err = c.toBool(x, "CHECK"); err != nil {
		return err
	}
	if x.volatile || x.stable {
		return c.refuse(p.k.Location, "a CHECK that depends on the time, the session or chance")
	}
	used := map[string]bool{}
	for _, u := range x.uses {
		used[u.key] = true
	}
	column := ""
	if len(used) == 1 {
		for _, col := range r.live() {
			if used["NEW."+col.stored()] {
				column = col.Name
			}
		}
	}
	text, err := deparseExpression(p.k.RawExpr)
	if err != nil {
		return err
	}
	k := &constraint{OID: e.oid(), Name: p.k.Conname, Kind: "c", Check: text}
	if k.Name == "" {
		k.Name = free(r.Name, column, "check", taken)
	}
	for _, col := range r.live() {
		if used["NEW."+col.stored()] {
			k.Columns = append(k.Columns, col.Number)
		}
	}
	r.Constraints = append(r.Constraints, k)
	return nil
}

func (c *compiler) noSubquery(n *pg.Node, where string) error {
	var found error
	walk(n.ProtoReflect(), func(v any) bool {
		if x, ok := v.(*pg.SubLink); ok {
			found = c.fail(x.Location, "0A000", "cannot use subquery in %s", where)
		}
		return found == nil
	})
	return found
}

func (c *compiler) addUnique(e *edit, r *relation, p pending) error {
	k := p.k
	primary := k.Contype == pg.ConstrType_CONSTR_PRIMARY
	switch {
	case k.Deferrable || k.Initdeferred:
		return c.refuse(k.Location, "a deferrable unique constraint")
	case k.NullsNotDistinct:
		return c.refuse(k.Location, "NULLS NOT DISTINCT")
	case len(k.Including) > 0 || k.Indexname != "" || !ofStorage(k.Options) || k.Indexspace != "":
		return c.refuse(k.Location, "INCLUDE, USING INDEX and options")
	case primary && r.primary() != nil:
		return c.fail(k.Location, "42P16", "multiple primary keys for table \"%s\" are not allowed", r.Name)
	}
	columns := []*column{p.col}
	if p.col == nil {
		columns = nil
		for _, name := range names(k.Keys) {
			col := r.columnNamed(name)
			if col == nil {
				return c.fail(k.Location, "42703", "column \"%s\" named in key does not exist", name)
			}
			if slices.Contains(columns, col) {
				what := "unique constraint"
				if primary {
					what = "primary key constraint"
				}
				return c.fail(k.Location, "42701", "column \"%s\" appears twice in %s", name, what)
			}
			columns = append(columns, col)
		}
	}
	i := &index{Table: r.OID, Unique: true, Primary: primary, Owned: true}
	n := &constraint{OID: e.oid(), Kind: "u", Name: k.Conname}
	var joined []string
	for _, col := range columns {
		if !ordered(col.Type) {
			return fail("42704", "data type %s has no default operator class for access method \"btree\"", typeName(col.Type))
		}
		i.Keys = append(i.Keys, indexKey{Column: col.Number})
		n.Columns = append(n.Columns, col.Number)
		joined = append(joined, col.Name)
		if primary {
			col.NotNull = true
		}
	}
	if primary {
		n.Kind = "p"
		joined = nil
	}
	label := "key"
	if primary {
		label = "pkey"
	}
	if n.Name == "" {
		n.Name = free(r.Name, strings.Join(joined, "_"), label, func(s string) bool { return e.taken(r.Schema)(s) || r.constraint(s) != nil })
	} else if e.taken(r.Schema)(n.Name) {
		return fail("42P07", "relation \"%s\" already exists", n.Name)
	}
	x := &relation{OID: e.oid(), Schema: r.Schema, Name: n.Name, Kind: "i", Index: i}
	n.Index = x.OID
	e.add(x)
	r.Constraints = append(r.Constraints, n)
	return nil
}

func (c *compiler) addForeign(e *edit, r *relation, p pending, taken func(string) bool) error {
	k := p.k
	if k.FkMatchtype != "s" && k.FkMatchtype != "" {
		return c.refuse(k.Location, "MATCH FULL")
	}
	if len(k.FkDelSetCols) > 0 {
		return c.refuse(k.Location, "ON DELETE SET with columns")
	}
	for _, a := range []string{k.FkDelAction, k.FkUpdAction} {
		if a == "d" {
			return c.refuse(k.Location, "SET DEFAULT")
		}
	}
	if k.FkUpdAction == "r" {
		return c.refuse(k.Location, "ON UPDATE RESTRICT")
	}
	parent := r
	if k.Pktable.Relname != r.Name || k.Pktable.Schemaname != "" && k.Pktable.Schemaname != r.Schema {
		schema := k.Pktable.Schemaname
		if schema == "" {
			schema = publicSchema
		}
		if parent = e.relations[relationKey(schema, k.Pktable.Relname)]; parent == nil {
			return fail("42P01", "relation \"%s\" does not exist", k.Pktable.Relname)
		}
		if parent.Kind != "r" {
			return fail("42809", "referenced relation \"%s\" is not a table", parent.Name)
		}
	}
	columns := []*column{p.col}
	if p.col == nil {
		columns = nil
		for _, name := range names(k.FkAttrs) {
			col := r.columnNamed(name)
			if col == nil {
				return fail("42703", "column \"%s\" referenced in foreign key constraint does not exist", name)
			}
			columns = append(columns, col)
		}
	}
	var theirs []int
	if len(k.PkAttrs) == 0 {
		pk := parent.primary()
		if pk == nil {
			return fail("42704", "there is no primary key for referenced table \"%s\"", parent.Name)
		}
		theirs = pk.Columns
	}
	for _, name := range names(k.PkAttrs) {
		col := parent.columnNamed(name)
		if col == nil {
			return fail("42703", "column \"%s\" referenced in foreign key constraint does not exist", name)
		}
		theirs = append(theirs, col.Number)
	}
	if len(theirs) != len(columns) {
		return fail("42830", "number of referencing and referenced columns for foreign key disagree")
	}
	unique := false
	for _, q := range parent.Constraints {
		if q.Kind == "p" || q.Kind == "u" {
			a, b := slices.Clone(q.Columns), slices.Clone(theirs)
			slices.Sort(a)
			slices.Sort(b)
			unique = unique || slices.Equal(a, b)
		}
	}
	if !unique {
		return fail("42830", "there is no unique constraint matching given keys for referenced table \"%s\"", parent.Name)
	}
	n := &constraint{OID: e.oid(), Name: k.Conname, Kind: "f", References: parent.OID, ReferencedColumns: theirs, OnDelete: k.FkDelAction, OnUpdate: k.FkUpdAction, Deferrable: k.Deferrable || k.Initdeferred, Deferred: k.Initdeferred}
	if n.OnDelete == "" {
		n.OnDelete = "a"
	}
	if n.OnUpdate == "" {
		n.OnUpdate = "a"
	}
	var joined []string
	for i, col := range columns {
		their := parent.column(theirs[i])
		// SQLite compares cells by the parent's collation.
		same := col.Type == their.Type || typeOf(col.Type).Storage == typeOf(their.Type).Storage && typeOf(col.Type).Collation == typeOf(their.Type).Collation && category(col.Type) == category(their.Type)
		if !same {
			if k, _ := chooseOperator("=", []oid{their.Type, col.Type}); k == nil {
				if n.Name == "" {
					n.Name = free(r.Name, col.Name, "fkey", taken)
				}
				out := fail("42804", "foreign key constraint \"%s\" cannot be implemented", n.Name)
				out.Detail = "Key columns \"" + col.Name + "\" and \"" + their.Name + "\" are of incompatible types: " + typeName(col.Type) + " and " + typeName(their.Type) + "."
				return out
			}
			return c.refuse(k.Location, "a foreign key from %s to %s", typeName(col.Type), typeName(their.Type))
		}
		n.Columns = append(n.Columns, col.Number)
		joined = append(joined, col.Name)
	}
	if n.Name == "" {
		n.Name = free(r.Name, strings.Join(joined, "_"), "fkey", taken)
	}
	r.Constraints = append(r.Constraints, n)
	return nil
}

func foreignSQL(e *edit, r *relation, k *constraint) string {
	parent := e.byOID[k.References]
	var ours, theirs []string
	for i, n := range k.Columns {
		ours = append(ours, r.column(n).stored())
		theirs = append(theirs, parent.column(k.ReferencedColumns[i]).stored())
	}
	s := "FOREIGN KEY(" + strings.Join(ours, ",") + ") REFERENCES " + parent.table() + "(" + strings.Join(theirs, ",") + ")"
	// RESTRICT on DELETE differs from NO ACTION only where it may be deferred.
	s += map[string]string{"c": " ON DELETE CASCADE", "n": " ON DELETE SET NULL"}[k.OnDelete]
	s += map[string]string{"c": " ON UPDATE CASCADE", "n": " ON UPDATE SET NULL"}[k.OnUpdate]
	if k.Deferred {
		s += " DEFERRABLE INITIALLY DEFERRED"
	}
	return s
}

// guard makes the triggers that see to NOT NULL and CHECK. PostgreSQL looks at NULLs first, then at checks by their names.
func (c *compiler) guard(e *edit, r *relation) error {
	whens, err := c.guards(r, "NEW.")
	if err != nil || whens == "" {
		return err
	}
	for i, name := range r.guardNames() {
		e.do("CREATE TRIGGER " + name + " BEFORE " + []string{"INSERT", "UPDATE"}[i] + " ON " + r.table() + " BEGIN SELECT CASE" + whens + " END; END")
	}
	return nil
}

// unguard drops them.
func (c *compiler) unguard(e *edit, r *relation) {
	for _, name := range r.guardNames() {
		e.do("DROP TRIGGER IF EXISTS " + name)
	}
}

func (r *relation) guardNames() [2]string {
	name := "g" + strconv.FormatUint(uint64(r.OID), 10)
	return [2]string{name + "i", name + "u"}
}

// guards are the cases that end in an error.
func (c *compiler) guards(r *relation, prefix string) (string, error) {
	var b strings.Builder
	id := strconv.FormatUint(uint64(r.OID), 10)
	for _, col := range r.live() {
		if col.NotNull {
			b.WriteString(" WHEN " + prefix + col.stored() + ` IS NULL THEN "null"(` + id + "," + strconv.Itoa(col.Number) + ")")
		}
	}
	checks := slices.Clone(r.Constraints)
	slices.SortFunc(checks, func(a, b *constraint) int { return strings.Compare(a.Name, b.Name) })
	for _, k := range checks {
		if k.Kind != "c" {
			continue
		}
		err := c.within(k.Check, func() error {
			n, err := c.parseExpression(k.Check)
			if err != nil {
				return err
			}
			x, err := c.keep(n, tableScope(r, prefix, "check constraints"))
			if err == nil {
				x, err = c.toBool(x, "CHECK")
			}
			if err == nil {
				b.WriteString(" WHEN " + x.sql + ` IS 0 THEN "check"(` + id + "," + strconv.FormatUint(uint64(k.OID), 10) + ")")
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
