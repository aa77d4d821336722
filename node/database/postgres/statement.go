package postgres

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// statement compiles any statement.
func (c *compiler) statement(n *pg.Node) (*engine.Translation, error) {
	switch x := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		q, err := c.query(x.SelectStmt, nil)
		if err != nil {
			return nil, err
		}
		if err := c.settleUnknown(q); err != nil {
			return nil, err
		}
		for i := range q.columns {
			if shownAsText(q.columns[i].e.typ) {
				if err := c.coerceColumn(q, i, postgres.Text, -1); err != nil {
					return nil, err
				}
			}
		}
		if err := c.sendable(q.columns); err != nil {
			return nil, err
		}
		return &engine.Translation{Steps: []engine.Step{{SQL: q.render(), Args: c.args, Result: true}}, Columns: columnsOf(q.columns), Tag: "SELECT %d"}, nil
	case *pg.Node_InsertStmt:
		return c.insert(x.InsertStmt)
	case *pg.Node_UpdateStmt:
		return c.update(x.UpdateStmt)
	case *pg.Node_DeleteStmt:
		return c.delete(x.DeleteStmt)
	case *pg.Node_NotifyStmt:
		return c.notify(x.NotifyStmt)
	case *pg.Node_TransactionStmt:
		return nil, refuse("a transaction's control within a program")
	case *pg.Node_VacuumStmt:
		if !x.VacuumStmt.IsVacuumcmd {
			return &engine.Translation{Tag: "ANALYZE"}, nil
		}
		return &engine.Translation{Tag: "VACUUM"}, nil
	case *pg.Node_VariableSetStmt, *pg.Node_VariableShowStmt, *pg.Node_DiscardStmt:
		return nil, refuse("a setting within a program")
	}
	return c.define(n)
}

// shownAsText tells types whose values a SELECT sends as texts, because only the catalog knows their names, or no client their form.
func shownAsText(t oid) bool {
	return t == postgres.Regclass || t == postgres.Regnamespace || t == postgres.Int2Vector
}

// sendable refuses results whose text only the catalog knows.
func (c *compiler) sendable(list []output) error {
	for _, o := range list {
		t := o.e.typ
		if e := typeOf(t).Elem; e != 0 {
			t = e
		}
		if t == postgres.Regproc || shownAsText(t) {
			return c.refuse(o.e.at, "a result of type %s, unless it is cast to text,", typeName(t))
		}
	}
	return nil
}

// columnsOf describes the columns of a result.
func columnsOf(list []output) (out []*wirepb.Column) {
	for _, o := range list {
		out = append(out, &wirepb.Column{Name: o.name, Type: typeName(o.e.typ), TypeOid: uint32(o.e.typ), Typmod: o.e.mod, Table: o.e.table, Attribute: uint32(o.e.number)})
	}
	return out
}

// ---- What writes

// A target is the table that a statement writes to.
type target struct {
	rel  *relation
	it   *item
	sc   *scope
	read bool // the statement reads its columns, and so needs the right to
}

// target finds the table that a statement writes to, with a right.
func (c *compiler) target(r *pg.RangeVar, right string) (*target, error) {
	rel, err := c.relation(r)
	if err != nil {
		return nil, err
	}
	switch rel.Kind {
	case "v":
		return nil, c.refuse(r.Location, "writing to a view")
	case "S":
		return nil, c.fail(r.Location, "42809", "cannot change sequence \"%s\"", rel.Name)
	case "i":
		return nil, c.fail(r.Location, "42809", "\"%s\" is an index", rel.Name)
	}
	c.need(rel, right)
	t := &target{rel: rel, it: &item{name: rel.Name, schema: rel.Schema, alias: c.alias(), bare: true, named: true, rel: rel}}
	if r.Alias != nil {
		t.it.name, t.it.schema = r.Alias.Aliasname, ""
	}
	for _, col := range rel.live() {
		t.it.columns = append(t.it.columns, &field{name: col.Name, sql: t.it.alias + "." + col.stored(), typ: col.Type, mod: col.Typmod, table: rel.OID, number: col.Number, of: t})
	}
	t.sc = &scope{items: []*item{t.it}}
	return t, nil
}

// returning compiles RETURNING; the columns of the table have no qualifier there.
func (c *compiler) returning(list []*pg.Node, t *target) (string, []output, error) {
	if len(list) == 0 {
		return "", nil, nil
	}
	it := *t.it
	it.columns = nil
	for _, f := range t.it.columns {
		g := *f
		g.sql = t.rel.column(f.number).stored()
		it.columns = append(it.columns, &g)
	}
	sc := &scope{items: []*item{&it}, forbids: "RETURNING", noWin: "RETURNING"}
	out, err := c.targets(list, sc)
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	for i, o := range out {
		if out[i].e, err = c.resolveUnknown(o.e); err != nil {
			return "", nil, err
		}
		if o.e.sub {
			return "", nil, c.refuse(o.e.at, "a subquery in RETURNING")
		}
		if o.e.row != nil {
			return "", nil, c.refuse(o.e.at, "a row as a value")
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(out[i].e.sql + " AS " + outputName(i))
	}
	return " RETURNING " + b.String(), out, c.sendable(out)
}

// write makes the translation of a statement that writes.
func (c *compiler) write(sql, tag string, returning []output, x *explainer) *engine.Translation {
	return &engine.Translation{Explain: x.explain, Steps: []engine.Step{{SQL: sql, Args: c.args, Result: true}}, Columns: columnsOf(returning), Tag: tag}
}
