package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// stepWithArgs is a step that uses the statement's arguments.
func (c *compiler) stepWithArgs(sql string) engine.Step { return engine.Step{SQL: sql, Args: c.args} }

func (c *compiler) createView(e *edit, s *pg.ViewStmt) error {
	schema, err := c.schemaFor(s.View)
	if err != nil {
		return err
	}
	if len(s.Options) > 0 || s.WithCheckOption > pg.ViewCheckOption_NO_CHECK_OPTION {
		return c.refuse(-1, "a view's options")
	}
	sel := s.Query.GetSelectStmt()
	if sel == nil {
		return c.refuse(-1, "such a view")
	}
	words := c.words
	q, err := c.query(sel, nil)
	if err != nil {
		return err
	}
	if len(c.params) > 0 {
		return fail("42P02", "there is no parameter $1")
	}
	if err := c.settleUnknown(q); err != nil {
		return err
	}
	r := &relation{Schema: schema, Name: s.View.Relname, Kind: "v"}
	walk(s.Query.ProtoReflect(), func(v any) bool {
		if x, ok := v.(*pg.RangeVar); ok {
			if rel := c.cat.find(x.Schemaname, x.Relname); rel != nil && !slices.Contains(r.Uses, rel.OID) {
				r.Uses = append(r.Uses, rel.OID)
			}
		}
		return true
	})
	aliases := names(s.Aliases)
	if len(aliases) > len(q.columns) {
		return fail("42601", "CREATE VIEW specifies more column names than columns")
	}
	for i, o := range q.columns {
		col := &column{Name: o.name, Number: i + 1, Type: o.e.typ, Typmod: o.e.mod}
		if i < len(aliases) {
			col.Name = aliases[i]
		}
		if r.columnNamed(col.Name) != nil {
			return fail("42701", "column \"%s\" specified more than once", col.Name)
		}
		r.Columns = append(r.Columns, col)
	}
	if len(r.Columns) == 0 {
		return c.refuse(-1, "a view without columns")
	}
	if r.Query, err = deparse(s.Query); err != nil {
		return err
	}
	spent := c.words
	was, err := c.meaning(c.cat, r.Query)
	if err != nil {
		return err
	}
	if len(was.stars) > 0 {
		unstar(was)
		if text, err := deparse(was.tree); err == nil {
			if is, err := c.meaning(c.cat, text); err == nil && is.compiled == was.compiled {
				r.Query = text
			}
		}
	}
	c.words = spent
	// Once more as what is stored, which may depend on less.
	if err := c.within(r.Query, func() error {
		n, err := c.parse(r.Query)
		if err == nil {
			_, err = c.query(n.GetSelectStmt(), nil)
		}
		return err
	}); err != nil {
		return err
	}
	if r.Words = c.words - words; r.Words > maxViewWords/4 {
		return fail("54001", "statement too complex: a view of %d words", r.Words)
	}
	if old := e.relations[relationKey(schema, r.Name)]; old != nil {
		if !s.Replace {
			return fail("42P07", "relation \"%s\" already exists", r.Name)
		}
		if old.Kind != "v" {
			return fail("42809", "\"%s\" is not a view", r.Name)
		}
		if slices.Contains(r.Uses, old.OID) {
			return c.refuse(-1, "a view of itself")
		}
		if len(r.Columns) < len(old.Columns) {
			return fail("42P16", "cannot drop columns from view")
		}
		for i, col := range old.Columns {
			n := r.Columns[i]
			if n.Name != col.Name {
				return fail("42P16", "cannot change name of view column \"%s\" to \"%s\"", col.Name, n.Name)
			}
			if n.Type != col.Type || n.Typmod != col.Typmod {
				return fail("42P16", "cannot change data type of view column \"%s\" from %s to %s", col.Name, postgres.FormatType(col.Type, col.Typmod), postgres.FormatType(n.Type, n.Typmod))
			}
		}
		if list := e.users(old.OID); len(list) > 0 {
			return c.inView("replacing \"" + old.Name + "\"")(list[0])
		}
		r.OID = old.OID
		e.drop(old)
		delete(e.gone, old.OID)
	} else {
		r.OID = e.oid()
	}
	e.add(r)
	return nil
}

func (c *compiler) createSequence(e *edit, s *pg.CreateSeqStmt) error {
	schema, err := c.schemaFor(s.Sequence)
	if err != nil {
		return err
	}
	name := s.Sequence.Relname
	if e.relations[relationKey(schema, name)] != nil {
		if s.IfNotExists {
			return nil
		}
		return fail("42P07", "relation \"%s\" already exists", name)
	}
	q := newSequence(postgres.Int8)
	if err := c.sequenceOptions(q, s.Options); err != nil {
		return err
	}
	r := &relation{OID: e.oid(), Schema: schema, Name: name, Kind: "S", Sequence: q}
	e.add(r)
	e.do("INSERT INTO pg_sequence VALUES(?,?,0)", int64(r.OID), q.Start)
	return nil
}

// alterSequence restarts a sequence, gives it an owner, or another step.
func (c *compiler) alterSequence(e *edit, s *pg.AlterSeqStmt) error {
	r, err := c.findFor(e, s.Sequence, s.MissingOk)
	if err != nil || r == nil {
		return err
	}
	if r.Kind != "S" {
		return fail("42809", "\"%s\" is not a sequence", r.Name)
	}
	r = e.change(r)
	q := r.Sequence
	for _, n := range s.Options {
		d := n.GetDefElem()
		switch d.Defname {
		case "restart":
			start := q.Start
			if d.Arg != nil {
				if start, err = wholeNumber(d.Arg); err != nil {
					return c.refuse(d.Location, "such a number of a sequence")
				}
			}
			if start < q.Min {
				return fail("22023", "RESTART value (%d) cannot be less than MINVALUE (%d)", start, q.Min)
			}
			if start > q.Max {
				return fail("22023", "RESTART value (%d) cannot be greater than MAXVALUE (%d)", start, q.Max)
			}
			e.do("UPDATE pg_sequence SET last=?, called=0 WHERE oid=?", start, int64(r.OID))
		case "increment":
			if q.Increment, err = wholeNumber(d.Arg); err != nil {
				return c.refuse(d.Location, "such a number of a sequence")
			}
			if q.Increment == 0 {
				return fail("22023", "INCREMENT must not be zero")
			}
		case "cycle":
			q.Cycle = d.Arg.GetBoolean().GetBoolval()
		case "owned_by":
			parts := names(d.Arg.GetList().GetItems())
			if q.OwnerTable != 0 && e.byOID[q.OwnerTable] != nil && e.byOID[q.OwnerTable].column(q.OwnerColumn).Identity != "" {
				return fail("0A000", "cannot change ownership of identity sequence")
			}
			if len(parts) == 1 && parts[0] == "none" {
				q.OwnerTable, q.OwnerColumn = 0, 0
				continue
			}
			if len(parts) < 2 {
				return fail("42601", "invalid OWNED BY option")
			}
			v := &pg.RangeVar{Relname: parts[len(parts)-2], Location: -1}
			if len(parts) > 2 {
				v.Schemaname = parts[len(parts)-3]
			}
			t, err := c.findFor(e, v, false)
			if err != nil {
				return err
			}
			if t.Kind != "r" {
				return fail("42809", "sequence cannot be owned by relation \"%s\"", t.Name)
			}
			if t.Schema != r.Schema {
				return fail("55000", "sequence must be in same schema as table it is linked to")
			}
			col := t.columnNamed(parts[len(parts)-1])
			if col == nil {
				return fail("42703", "column \"%s\" of relation \"%s\" does not exist", parts[len(parts)-1], t.Name)
			}
			q.OwnerTable, q.OwnerColumn = t.OID, col.Number
		default:
			return c.refuse(d.Location, "ALTER SEQUENCE %s", strings.ToUpper(d.Defname))
		}
	}
	return nil
}

func wholeNumber(n *pg.Node) (int64, error) {
	if i := n.GetInteger(); i != nil {
		return int64(i.Ival), nil
	}
	return strconv.ParseInt(n.GetFloat().GetFval(), 10, 64)
}

func (c *compiler) sequenceOptions(q *sequence, list []*pg.Node) error {
	var start, low, high *int64
	for _, n := range list {
		d := n.GetDefElem()
		number := func() (*int64, error) {
			if d.Arg == nil {
				return nil, nil
			}
			v, err := wholeNumber(d.Arg)
			if err != nil {
				return nil, c.refuse(d.Location, "such a number of a sequence")
			}
			return &v, nil
		}
		v, err := number()
		switch d.Defname {
		case "as":
			typ, _, e := c.typeName(d.Arg.GetTypeName())
			if e != nil {
				return e
			}
			if typ != postgres.Int2 && typ != postgres.Int4 && typ != postgres.Int8 {
				return fail("22023", "sequence type must be smallint, integer, or bigint")
			}
			q.Type, err = typ, nil
		case "start":
			start = v
		case "increment":
			if v != nil {
				if q.Increment = *v; *v == 0 {
					return fail("22023", "INCREMENT must not be zero")
				}
			}
		case "minvalue":
			low = v
		case "maxvalue":
			high = v
		case "cache":
			if v != nil {
				if q.Cache = *v; *v <= 0 {
					return fail("22023", "CACHE (%d) must be greater than zero", *v)
				}
			}
		case "cycle":
			q.Cycle, err = d.Arg.GetBoolean().GetBoolval(), nil
		default:
			return c.refuse(d.Location, "%s of a sequence", strings.ToUpper(d.Defname))
		}
		if err != nil {
			return err
		}
	}
	least, most := integerRange(q.Type)
	if q.Increment > 0 {
		q.Min, q.Max = 1, most
	} else {
		q.Min, q.Max = least, -1
	}
	if low != nil {
		q.Min = *low
	}
	if high != nil {
		q.Max = *high
	}
	switch {
	case q.Max < least || q.Max > most:
		return fail("22023", "MAXVALUE (%d) is out of range for sequence data type %s", q.Max, typeName(q.Type))
	case q.Min < least || q.Min > most:
		return fail("22023", "MINVALUE (%d) is out of range for sequence data type %s", q.Min, typeName(q.Type))
	case q.Min >= q.Max:
		return fail("22023", "MINVALUE (%d) must be less than MAXVALUE (%d)", q.Min, q.Max)
	}
	if q.Start = q.Min; q.Increment < 0 {
		q.Start = q.Max
	}
	if start != nil {
		q.Start = *start
	}
	if q.Start < q.Min {
		return fail("22023", "START value (%d) cannot be less than MINVALUE (%d)", q.Start, q.Min)
	}
	if q.Start > q.Max {
		return fail("22023", "START value (%d) cannot be greater than MAXVALUE (%d)", q.Start, q.Max)
	}
	return nil
}

func (c *compiler) truncate(e *edit, s *pg.TruncateStmt) error {
	var all []*relation
	for _, n := range s.Relations {
		r, err := c.findFor(e, n.GetRangeVar(), false)
		if err != nil {
			return err
		}
		if r.Kind != "r" {
			return fail("42809", "\"%s\" is not a table", r.Name)
		}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	for i := 0; i < len(all); i++ {
		for _, t := range e.all() {
			if slices.Contains(all, t) || !slices.ContainsFunc(t.Constraints, func(k *constraint) bool { return k.References == all[i].OID }) {
				continue
			}
			if s.Behavior != pg.DropBehavior_DROP_CASCADE {
				return fail("0A000", "cannot truncate a table referenced in a foreign key constraint")
			}
			all = append(all, t)
		}
	}
	for _, r := range all {
		c.need(r, "D")
		for _, col := range r.live() {
			if q := e.byOID[col.Sequence]; q != nil && s.RestartSeqs && c.limited() {
				return fail("42501", "must be owner of sequence %s", q.Name)
			}
		}
	}
	// Who references before who is referenced, as far as that can be.
	slices.Reverse(all)
	for _, r := range all {
		e.do("DELETE FROM " + r.table())
		if !s.RestartSeqs {
			continue
		}
		for _, col := range r.live() {
			if q := e.byOID[col.Sequence]; q != nil {
				e.do("UPDATE pg_sequence SET last=?, called=0 WHERE oid=?", q.Sequence.Start, int64(q.OID))
			}
		}
	}
	if len(all) > 1 {
		for _, r := range all {
			if slices.ContainsFunc(r.Constraints, func(k *constraint) bool { return k.Kind == "f" }) && len(e.steps) > 0 {
				if err := c.truncateOrder(e, all, s.RestartSeqs); err != nil {
					return err
				}
				break
			}
		}
	}
	e.truncated(all)
	return nil
}

// truncateOrder empties tables that reference each other: first who is not referenced by another.
func (c *compiler) truncateOrder(e *edit, all []*relation, restart bool) error {
	e.steps = slices.DeleteFunc(e.steps, func(s engine.Step) bool { return strings.HasPrefix(s.SQL, "DELETE FROM t") })
	left := slices.Clone(all)
	for len(left) > 0 {
		n := slices.IndexFunc(left, func(r *relation) bool {
			return !slices.ContainsFunc(left, func(t *relation) bool {
				return t != r && slices.ContainsFunc(t.Constraints, func(k *constraint) bool { return k.References == r.OID })
			})
		})
		if n < 0 {
			return c.refuse(-1, "TRUNCATE of tables that reference each other in a circle")
		}
		e.do("DELETE FROM " + left[n].table())
		left = slices.Delete(left, n, n+1)
	}
	return nil
}

func (c *compiler) comment(e *edit, s *pg.CommentStmt) error {
	parts := names(s.Object.GetList().GetItems())
	find := func(parts []string) (*relation, error) {
		r := &pg.RangeVar{Relname: parts[len(parts)-1], Location: -1}
		if len(parts) > 1 {
			r.Schemaname = parts[len(parts)-2]
		}
		return c.findFor(e, r, false)
	}
	switch s.Objtype {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_INDEX, pg.ObjectType_OBJECT_SEQUENCE:
		r, err := find(parts)
		if err != nil {
			return err
		}
		want := map[pg.ObjectType]string{pg.ObjectType_OBJECT_TABLE: "r", pg.ObjectType_OBJECT_VIEW: "v", pg.ObjectType_OBJECT_INDEX: "i", pg.ObjectType_OBJECT_SEQUENCE: "S"}[s.Objtype]
		if r.Kind != want {
			return fail("42809", "\"%s\" is not a %s", r.Name, kindName(&relation{Kind: want}))
		}
		e.change(r).Comment = s.Comment
	case pg.ObjectType_OBJECT_COLUMN:
		if len(parts) < 2 {
			return fail("42601", "column name must be qualified")
		}
		r, err := find(parts[:len(parts)-1])
		if err != nil {
			return err
		}
		col := e.change(r).columnNamed(parts[len(parts)-1])
		if col == nil {
			return fail("42703", "column \"%s\" of relation \"%s\" does not exist", parts[len(parts)-1], r.Name)
		}
		col.Comment = s.Comment
	case pg.ObjectType_OBJECT_PUBLICATION:
		return e.commentPublication(s.Object.GetString_().GetSval(), s.Comment)
	default:
		return c.refuse(-1, "COMMENT ON this")
	}
	return nil
}

func (c *compiler) createSchema(e *edit, s *pg.CreateSchemaStmt) error {
	if len(s.SchemaElts) > 0 || s.Authrole != nil {
		return c.refuse(-1, "AUTHORIZATION and elements of CREATE SCHEMA")
	}
	if strings.HasPrefix(s.Schemaname, "pg_") {
		return fail("42939", "unacceptable schema name \"%s\"", s.Schemaname)
	}
	if s.Schemaname == feedsSchema {
		return c.refuse(-1, "a schema of the name %s, which is the database's own,", feedsSchema)
	}
	if e.schema(s.Schemaname) != nil || s.Schemaname == "information_schema" {
		if s.IfNotExists {
			return nil
		}
		return fail("42P06", "schema \"%s\" already exists", s.Schemaname)
	}
	e.head.Schemas = append(e.head.Schemas, namespace{OID: e.oid(), Name: s.Schemaname})
	return nil
}

func (c *compiler) dropSchema(e *edit, s *pg.DropStmt) error {
	for _, n := range s.Objects {
		name := n.GetString_().GetSval()
		if e.schema(name) == nil {
			if s.MissingOk {
				continue
			}
			return fail("3F000", "schema \"%s\" does not exist", name)
		}
		if name == publicSchema {
			return c.refuse(-1, "dropping schema public")
		}
		for _, r := range e.all() {
			if r.Schema != name || e.byOID[r.OID] == nil {
				continue
			}
			if s.Behavior != pg.DropBehavior_DROP_CASCADE {
				return dependent("schema " + name)
			}
			if r.Kind == "i" || r.Kind == "S" && r.Sequence.OwnerTable != 0 {
				continue
			}
			if err := c.dropRelation(e, r, true, nil); err != nil {
				return err
			}
		}
		e.head.Schemas = slices.DeleteFunc(e.head.Schemas, func(x namespace) bool { return x.Name == name })
	}
	return nil
}
