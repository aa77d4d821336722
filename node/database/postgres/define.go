package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// define compiles statements that change the schema.
func (c *compiler) define(n *pg.Node) (*engine.Translation, error) {
	e := c.cat.edit()
	var tag string
	var err error
	switch x := n.GetNode().(type) {
	case *pg.Node_CreateStmt:
		tag, err = "CREATE TABLE", c.createTable(e, x.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		err = c.refuse(-1, "CREATE TABLE AS")
	case *pg.Node_DropStmt:
		tag, err = c.drop(e, x.DropStmt)
	case *pg.Node_AlterTableStmt:
		tag, err = c.alterTable(e, x.AlterTableStmt)
	case *pg.Node_RenameStmt:
		tag, err = c.rename(e, x.RenameStmt)
	case *pg.Node_IndexStmt:
		tag, err = "CREATE INDEX", c.createIndex(e, x.IndexStmt)
	case *pg.Node_ViewStmt:
		tag, err = "CREATE VIEW", c.createView(e, x.ViewStmt)
	case *pg.Node_CreateSeqStmt:
		tag, err = "CREATE SEQUENCE", c.createSequence(e, x.CreateSeqStmt)
	case *pg.Node_TruncateStmt:
		tag, err = "TRUNCATE TABLE", c.truncate(e, x.TruncateStmt)
	case *pg.Node_CommentStmt:
		tag, err = "COMMENT", c.comment(e, x.CommentStmt)
	case *pg.Node_CreateSchemaStmt:
		tag, err = "CREATE SCHEMA", c.createSchema(e, x.CreateSchemaStmt)
	default:
		err = refuse("%s", kindOf(n))
	}
	if err != nil {
		return nil, err
	}
	if len(c.params) > 0 {
		return nil, fail("42P02", "there is no parameter $1")
	}
	c.sequences = false
	if len(e.changed) == 0 && len(e.gone) == 0 && len(e.head.Schemas) == len(c.cat.head.Schemas) {
		if len(e.steps) == 0 || tag != "TRUNCATE TABLE" {
			return &engine.Translation{Tag: tag}, nil // it was there, or is not
		}
		return &engine.Translation{Steps: e.steps, Tag: tag, Explain: (&explainer{cat: e.catalog, makes: true}).explain}, nil
	}
	return &engine.Translation{Steps: e.finish(), Tag: tag, Schema: true, Explain: e.explainer().explain}, nil
}

// explainer is for what a change of the schema finds in the rows that are there.
func (e *edit) explainer() *explainer {
	x := &explainer{cat: e.catalog, makes: true}
	for _, r := range e.all() {
		for _, k := range r.Constraints {
			if k.Kind == "f" && e.changed[r.OID] {
				x.foreign = append(x.foreign, foreign{table: r, k: k})
			}
		}
	}
	return x
}

// ---- Names and texts

// objectName makes a name of parts that is short enough, as PostgreSQL does.
func objectName(first, second, label string) string {
	over := len(label) + 1
	if second != "" {
		over++
	}
	a, b := len(first), len(second)
	for a+b+over > 63 {
		if a > b {
			a--
		} else {
			b--
		}
	}
	cut := func(s string, n int) string {
		for n < len(s) && n > 0 && s[n]&0xc0 == 0x80 {
			n--
		}
		return s[:n]
	}
	out := cut(first, a)
	if second != "" {
		out += "_" + cut(second, b)
	}
	return out + "_" + label
}

// free makes a name that is not taken.
func free(first, second, label string, taken func(string) bool) string {
	name := objectName(first, second, label)
	for i := 1; taken(name); i++ {
		name = objectName(first, second, label+strconv.Itoa(i))
	}
	return name
}

func (e *edit) taken(schema string) func(string) bool {
	return func(name string) bool { return e.relations[relationKey(schema, name)] != nil }
}

// deparse writes an expression or a query as text that reads back as the same.
func deparse(n *pg.Node) (string, error) {
	text, err := pg.Deparse(&pg.ParseResult{Version: 170007, Stmts: []*pg.RawStmt{{Stmt: n}}})
	if err != nil {
		return "", refuse("keeping this expression")
	}
	back, err := pg.Parse(text)
	if err != nil || len(back.Stmts) != 1 || !proto.Equal(unplaced(back.Stmts[0].Stmt), unplaced(n)) {
		return "", refuse("keeping this expression")
	}
	return text, nil
}

// unplaced is a copy of a tree without places in a text.
func unplaced(n *pg.Node) *pg.Node {
	out := proto.Clone(n).(*pg.Node)
	walk(out.ProtoReflect(), func(v any) bool {
		m := v.(proto.Message).ProtoReflect()
		for _, name := range []string{"location", "arg_location", "name_location", "stmt_location", "stmt_len"} {
			if f := m.Descriptor().Fields().ByName(protoreflect.Name(name)); f != nil {
				m.Clear(f)
			}
		}
		return true
	})
	return out
}

func deparseExpression(n *pg.Node) (string, error) {
	s := &pg.SelectStmt{TargetList: []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: n}}}}, LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE}
	text, err := deparse(&pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: s}})
	return strings.TrimPrefix(text, "SELECT "), err
}

// schemaFor is where something new goes.
func (c *compiler) schemaFor(r *pg.RangeVar) (string, error) {
	if r.Catalogname != "" {
		return "", c.refuse(r.Location, "a name with a database")
	}
	if r.Relpersistence == "t" {
		return "", c.refuse(r.Location, "a temporary relation")
	}
	switch r.Schemaname {
	case "":
		return publicSchema, nil
	case catalogSchema, "information_schema", "pg_toast":
		return "", c.fail(r.Location, "42501", "permission denied for schema %s", r.Schemaname)
	case "pg_temp":
		return "", c.refuse(r.Location, "a temporary relation")
	}
	if c.cat.schema(r.Schemaname) == nil {
		return "", c.fail(r.Location, "3F000", "schema \"%s\" does not exist", r.Schemaname)
	}
	return r.Schemaname, nil
}

// ---- Tables

type pending struct {
	k    *pg.Constraint
	col  *column // whose constraint it is, or nil
	name string
}

func (c *compiler) createTable(e *edit, s *pg.CreateStmt) error {
	schema, err := c.schemaFor(s.Relation)
	if err != nil {
		return err
	}
	switch {
	case len(s.InhRelations) > 0 || s.Partspec != nil || s.Partbound != nil:
		return c.refuse(-1, "inheritance and partitions")
	case s.OfTypename != nil, s.AccessMethod != "", s.Tablespacename != "", len(s.Options) > 0:
		return c.refuse(-1, "a table's options, types and methods")
	}
	name := s.Relation.Relname
	if e.relations[relationKey(schema, name)] != nil {
		if s.IfNotExists {
			return nil
		}
		return fail("42P07", "relation \"%s\" already exists", name)
	}
	r := &relation{OID: e.oid(), Schema: schema, Name: name, Kind: "r"}
	var list []pending
	for _, n := range s.TableElts {
		switch x := n.GetNode().(type) {
		case *pg.Node_ColumnDef:
			more, err := c.addColumn(e, r, x.ColumnDef)
			if err != nil {
				return err
			}
			list = append(list, more...)
		case *pg.Node_Constraint:
			list = append(list, pending{k: x.Constraint})
		default:
			return c.refuse(-1, "%s in CREATE TABLE", kindOf(n))
		}
	}
	if len(r.Columns) == 0 {
		return c.refuse(-1, "a table without columns")
	}
	e.add(r)
	if err := c.addConstraints(e, r, list); err != nil {
		return err
	}
	if err := c.checkColumns(r); err != nil {
		return err
	}
	c.makeTable(e, r, r.table())
	return c.guard(e, r, false)
}

// addColumn adds a column to a relation. It returns its constraints.
func (c *compiler) addColumn(e *edit, r *relation, d *pg.ColumnDef) (list []pending, err error) {
	if len(r.Columns) >= 900 {
		return nil, fail("54011", "tables can have at most 900 columns here")
	}
	if r.columnNamed(d.Colname) != nil {
		return nil, fail("42701", "column \"%s\" specified more than once", d.Colname)
	}
	switch d.Colname {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		return nil, fail("42701", "column name \"%s\" conflicts with a system column name", d.Colname)
	}
	if d.TypeName == nil {
		return nil, c.refuse(d.Location, "a column without a type")
	}
	col := &column{Name: d.Colname, Number: len(r.Columns) + 1, Typmod: -1}
	col.Stored = col.Number
	serial := oid(0)
	if l := names(d.TypeName.Names); len(l) == 1 && len(d.TypeName.ArrayBounds) == 0 {
		serial = map[string]oid{"serial": postgres.Int4, "serial4": postgres.Int4, "bigserial": postgres.Int8, "serial8": postgres.Int8, "smallserial": postgres.Int2, "serial2": postgres.Int2}[l[0]]
	}
	if serial != 0 {
		col.Type, col.NotNull = serial, true
		c.ownSequence(e, r, col, newSequence(serial))
	} else if col.Type, col.Typmod, err = c.typeName(d.TypeName); err != nil {
		return nil, err
	}
	if d.CollClause != nil {
		l := names(d.CollClause.Collname)
		if k := l[len(l)-1]; k != "C" && k != "POSIX" && k != "default" {
			return nil, c.refuse(d.Location, "collation \"%s\"", k)
		}
		if !isString(col.Type) {
			return nil, c.fail(d.Location, "42804", "collations are not supported by type %s", typeName(col.Type))
		}
	}
	r.Columns = append(r.Columns, col)
	defaults, nulls := 0, 0
	for _, n := range d.Constraints {
		k := n.GetConstraint()
		switch k.Contype {
		case pg.ConstrType_CONSTR_NULL:
			if nulls == 1 || serial != 0 {
				return nil, c.fail(k.Location, "42601", "conflicting NULL/NOT NULL declarations for column \"%s\" of table \"%s\"", col.Name, r.Name)
			}
			nulls = 2
		case pg.ConstrType_CONSTR_NOTNULL:
			if nulls == 2 {
				return nil, c.fail(k.Location, "42601", "conflicting NULL/NOT NULL declarations for column \"%s\" of table \"%s\"", col.Name, r.Name)
			}
			col.NotNull, nulls = true, 1
		case pg.ConstrType_CONSTR_DEFAULT:
			if defaults++; defaults > 1 || serial != 0 {
				return nil, c.fail(k.Location, "42601", "multiple default values specified for column \"%s\" of table \"%s\"", col.Name, r.Name)
			}
			if err := c.setDefault(r, col, k.RawExpr); err != nil {
				return nil, err
			}
		case pg.ConstrType_CONSTR_IDENTITY:
			if err := c.setIdentity(e, r, col, k, defaults > 0 || serial != 0); err != nil {
				return nil, err
			}
		case pg.ConstrType_CONSTR_GENERATED:
			return nil, c.refuse(k.Location, "a generated column")
		case pg.ConstrType_CONSTR_ATTR_DEFERRABLE, pg.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE, pg.ConstrType_CONSTR_ATTR_DEFERRED, pg.ConstrType_CONSTR_ATTR_IMMEDIATE:
			if len(list) == 0 || list[len(list)-1].k.Contype != pg.ConstrType_CONSTR_FOREIGN {
				return nil, c.refuse(k.Location, "such a constraint as deferrable")
			}
			last := proto.Clone(list[len(list)-1].k).(*pg.Constraint)
			last.Deferrable = last.Deferrable || k.Contype == pg.ConstrType_CONSTR_ATTR_DEFERRABLE || k.Contype == pg.ConstrType_CONSTR_ATTR_DEFERRED
			last.Initdeferred = last.Initdeferred || k.Contype == pg.ConstrType_CONSTR_ATTR_DEFERRED
			list[len(list)-1].k = last
		default:
			list = append(list, pending{k: k, col: col})
		}
	}
	return list, nil
}

func (c *compiler) ownSequence(e *edit, r *relation, col *column, q *sequence) {
	s := &relation{OID: e.oid(), Schema: r.Schema, Name: free(r.Name, col.Name, "seq", e.taken(r.Schema)), Kind: "S", Sequence: q}
	q.OwnerTable, q.OwnerColumn = r.OID, col.Number
	col.Sequence = s.OID
	e.add(s)
	e.do("INSERT INTO pg_sequence VALUES(?,?,0)", int64(s.OID), q.Start)
}

func (c *compiler) setIdentity(e *edit, r *relation, col *column, k *pg.Constraint, taken bool) error {
	if taken || col.Default != "" || col.Sequence != 0 {
		return c.fail(k.Location, "42601", "both default and identity specified for column \"%s\" of table \"%s\"", col.Name, r.Name)
	}
	if col.Type != postgres.Int2 && col.Type != postgres.Int4 && col.Type != postgres.Int8 {
		return c.fail(k.Location, "22023", "identity column type must be smallint, integer, or bigint")
	}
	q := newSequence(col.Type)
	if err := c.sequenceOptions(q, k.Options); err != nil {
		return err
	}
	c.ownSequence(e, r, col, q)
	col.Identity, col.NotNull = k.GeneratedWhen, true
	return nil
}

// setDefault keeps the text of a default that fits.
func (c *compiler) setDefault(r *relation, col *column, n *pg.Node) error {
	found := error(nil)
	walk(n.ProtoReflect(), func(v any) bool {
		if x, ok := v.(*pg.ColumnRef); ok {
			found = c.fail(x.Location, "0A000", "cannot use column reference in DEFAULT expression")
		}
		if x, ok := v.(*pg.SubLink); ok {
			found = c.fail(x.Location, "0A000", "cannot use subquery in DEFAULT expression")
		}
		return found == nil
	})
	if found != nil {
		return found
	}
	stored := c.stored
	was := c.args
	e, err := c.expr(n, &scope{forbids: "DEFAULT expressions", noWin: "DEFAULT expressions"})
	if err == nil {
		if e.srf != nil {
			return c.fail(e.at, "0A000", "set-returning functions are not allowed in DEFAULT expressions")
		}
		if e.typ != postgres.Unknown && !canCast(e.typ, col.Type, postgres.Assignment) {
			out := fail("42804", "column \"%s\" is of type %s but default expression is of type %s", col.Name, typeName(col.Type), typeName(e.typ))
			out.Hint = "You will need to rewrite or cast the expression."
			return out
		}
		if e.con && e.typ == postgres.Unknown && e.val != nil && clocked(col.Type, e.val.(string)) {
			return c.refuse(e.at, "such a time as a default")
		}
		// Only its type counts now: what does not fit fails when it is used.
		if e.con && e.typ == postgres.Unknown {
			_, err = c.coerce(e, col.Type, -1, postgres.Assignment)
		}
	}
	c.stored, c.args = stored, was
	if err != nil {
		return err
	}
	if e.con && e.val == nil {
		col.Default = ""
		return nil
	}
	text, err := deparseExpression(n)
	if err != nil {
		return err
	}
	// A name of a sequence in a default keeps it from being dropped.
	for _, rel := range c.cat.all() {
		if rel.Kind == "S" && strings.Contains(text, rel.Name) && !slices.Contains(r.Uses, rel.OID) {
			r.Uses = append(r.Uses, rel.OID)
		}
	}
	was2 := c.stored
	c.stored = true
	_, err = c.expr(n, &scope{forbids: "DEFAULT expressions", noWin: "DEFAULT expressions"}) // once more as what is stored
	c.stored, c.args = was2, was
	if err != nil {
		return err
	}
	col.Default = text
	return nil
}

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
	case len(k.Including) > 0 || k.Indexname != "" || len(k.Options) > 0 || k.Indexspace != "":
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
			return c.fail(k.Pktable.Location, "42P01", "relation \"%s\" does not exist", k.Pktable.Relname)
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

// checkColumns refuses combinations that could not be kept: a foreign key that sets NULL where none may be.
func (c *compiler) checkColumns(r *relation) error {
	for _, k := range r.Constraints {
		if k.Kind != "f" || k.OnDelete != "n" && k.OnUpdate != "n" {
			continue
		}
	}
	return nil
}

// makeTable makes SQLite's table and its indexes.
func (c *compiler) makeTable(e *edit, r *relation, name string) {
	var parts []string
	for _, col := range r.live() {
		parts = append(parts, columnSQL(col))
	}
	for _, k := range r.Constraints {
		if k.Kind == "f" {
			parts = append(parts, foreignSQL(e, r, k))
		}
	}
	e.do("CREATE TABLE " + name + "(" + strings.Join(parts, ", ") + ") STRICT")
	if name == r.table() {
		c.makeIndexes(e, r)
	}
}

func columnSQL(col *column) string {
	s := col.stored() + " ANY"
	if k := typeOf(col.Type).Collation; k != "" {
		s += " COLLATE " + k
	}
	return s
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

func (c *compiler) makeIndexes(e *edit, r *relation) {
	for _, i := range e.indexes(r.OID) {
		c.makeIndex(e, r, i)
	}
}

func (c *compiler) makeIndex(e *edit, r *relation, i *relation) error {
	var keys []string
	sc := tableScope(r, "", "index expressions")
	for _, k := range i.Index.Keys {
		s := ""
		if k.Column > 0 {
			s = r.column(k.Column).stored()
		} else {
			err := c.within(k.Expression, func() error {
				n, err := c.parseExpression(k.Expression)
				if err != nil {
					return err
				}
				x, err := c.keep(n, sc)
				if err == nil {
					x, err = c.resolveUnknown(x)
				}
				if err == nil {
					s = x.collated()
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		if k.Descending {
			s += " DESC"
		}
		keys = append(keys, s)
	}
	sql := "CREATE "
	if i.Index.Unique {
		sql += "UNIQUE "
	}
	sql += "INDEX " + i.index() + " ON " + r.table() + "(" + strings.Join(keys, ",") + ")"
	if i.Index.Where != "" {
		err := c.within(i.Index.Where, func() error {
			n, err := c.parseExpression(i.Index.Where)
			if err != nil {
				return err
			}
			x, err := c.keep(n, sc)
			if err == nil {
				x, err = c.toBool(x, "WHERE")
			}
			if err == nil {
				sql += " WHERE " + x.sql
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	e.do(sql)
	return nil
}

// guard makes the triggers that see to NOT NULL and CHECK. PostgreSQL looks at NULLs first, then at checks by their names.
func (c *compiler) guard(e *edit, r *relation, again bool) error {
	if again {
		for _, event := range []string{"i", "u"} {
			e.do("DROP TRIGGER IF EXISTS g" + strconv.FormatUint(uint64(r.OID), 10) + event)
		}
	}
	whens, err := c.guards(r, "NEW.")
	if err != nil || whens == "" {
		return err
	}
	for _, event := range []struct{ letter, word string }{{"i", "INSERT"}, {"u", "UPDATE"}} {
		e.do("CREATE TRIGGER g" + strconv.FormatUint(uint64(r.OID), 10) + event.letter + " BEFORE " + event.word + " ON " + r.table() + " BEGIN SELECT CASE" + whens + " END; END")
	}
	return nil
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
