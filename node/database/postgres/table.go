package postgres

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// ---- Tables

type pending struct {
	k    *pg.Constraint
	col  *column // whose constraint it is, or nil
	name string
}

// ofStorage tells whether options say only how PostgreSQL would lay rows out and tidy up, which means nothing for what statements give.
func ofStorage(options []*pg.Node) bool {
	for _, n := range options {
		d := n.GetDefElem()
		if name := d.GetDefname(); name != "fillfactor" && name != "parallel_workers" && name != "deduplicate_items" && !strings.HasPrefix(name, "autovacuum_") {
			return false
		}
	}
	return true
}

func (c *compiler) createTable(e *edit, s *pg.CreateStmt) error {
	schema, err := c.schemaFor(s.Relation)
	if err != nil {
		return err
	}
	switch {
	case len(s.InhRelations) > 0 || s.Partspec != nil || s.Partbound != nil:
		return c.refuse(-1, "inheritance and partitions")
	case s.OfTypename != nil, s.AccessMethod != "", s.Tablespacename != "", !ofStorage(s.Options):
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
	if err := c.makeTable(e, r, r.table()); err != nil {
		return err
	}
	return c.guard(e, r)
}

// createAs makes a table of a query's rows.
func (c *compiler) createAs(e *edit, s *pg.CreateTableAsStmt) error {
	into := s.Into
	switch {
	case s.Objtype != pg.ObjectType_OBJECT_TABLE:
		return c.refuse(-1, "a materialized view")
	case s.IsSelectInto:
		e := c.refuse(-1, "SELECT INTO")
		e.Hint = "Write CREATE TABLE ... AS SELECT."
		return e
	case into.AccessMethod != "" || len(into.Options) > 0 || into.TableSpaceName != "":
		return c.refuse(-1, "CREATE TABLE AS with options")
	}
	schema, err := c.schemaFor(into.Rel)
	if err != nil {
		return err
	}
	name := into.Rel.Relname
	if e.relations[relationKey(schema, name)] != nil {
		if s.IfNotExists {
			return nil
		}
		return fail("42P07", "relation \"%s\" already exists", name)
	}
	q, err := c.query(s.Query.GetSelectStmt(), nil)
	if err != nil {
		return err
	}
	if err := c.settleUnknown(q); err != nil {
		return err
	}
	if c.sequences {
		return c.refuse(-1, "CREATE TABLE AS that draws from a sequence")
	}
	r := &relation{OID: e.oid(), Schema: schema, Name: name, Kind: "r"}
	aliases := names(into.ColNames)
	if len(aliases) > len(q.columns) {
		return fail("42601", "too many column names were specified")
	}
	var columns, values []string
	for i, o := range q.columns {
		col := &column{Name: o.name, Number: i + 1, Stored: i + 1, Type: o.e.typ, Typmod: o.e.mod}
		if i < len(aliases) {
			col.Name = aliases[i]
		}
		if r.columnNamed(col.Name) != nil {
			return fail("42701", "column \"%s\" specified more than once", col.Name)
		}
		r.Columns = append(r.Columns, col)
		columns, values = append(columns, col.stored()), append(values, "q."+outputName(i))
	}
	if len(r.Columns) == 0 {
		return c.refuse(-1, "a table without columns")
	}
	e.add(r)
	if err := c.makeTable(e, r, r.table()); err != nil {
		return err
	}
	if into.SkipData {
		return c.refuse(-1, "WITH NO DATA")
	}
	if len(e.publishing(r.OID, "i")) > 0 {
		return c.refuse(-1, "CREATE TABLE AS while a publication has all tables")
	}
	step := c.stepWithArgs("INSERT INTO " + r.table() + "(" + strings.Join(columns, ",") + ") SELECT " + strings.Join(values, ",") + " FROM (" + q.render() + ") AS q")
	step.Result = true
	e.steps = append(e.steps, step)
	return nil
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
		c.ownSequence(e, r, col, newSequence(serial), "")
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

// ownSequence makes a column's sequence, by a name or by the next that is free.
func (c *compiler) ownSequence(e *edit, r *relation, col *column, q *sequence, name string) {
	if name == "" {
		name = free(r.Name, col.Name, "seq", e.taken(r.Schema))
	}
	s := &relation{OID: e.oid(), Schema: r.Schema, Name: name, Kind: "S", Sequence: q}
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
	name := ""
	options := slices.DeleteFunc(slices.Clone(k.Options), func(n *pg.Node) bool {
		d := n.GetDefElem()
		if d.Defname != "sequence_name" {
			return false
		}
		parts := names(d.Arg.GetList().GetItems())
		name = parts[len(parts)-1]
		return len(parts) == 1 || len(parts) == 2 && parts[0] == r.Schema
	})
	if err := c.sequenceOptions(q, options); err != nil {
		return err
	}
	if name != "" && e.taken(r.Schema)(name) {
		return fail("42P07", "relation \"%s\" already exists", name)
	}
	c.ownSequence(e, r, col, q, name)
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

// makeTable makes SQLite's table and its indexes.
func (c *compiler) makeTable(e *edit, r *relation, name string) error {
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
	if name != r.table() {
		return nil
	}
	return c.makeIndexes(e, r)
}

func columnSQL(col *column) string {
	s := col.stored() + " ANY"
	if k := typeOf(col.Type).Collation; k != "" {
		s += " COLLATE " + k
	}
	return s
}

func (c *compiler) makeIndexes(e *edit, r *relation) error {
	for _, i := range e.indexes(r.OID) {
		if i.Index.inverted() { // which has a table of its own that stays, as rowids do
			continue
		}
		if err := c.makeIndex(e, r, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) makeIndex(e *edit, r *relation, i *relation) error {
	if i.Index.inverted() {
		return c.makeWords(e, r, i)
	}
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
