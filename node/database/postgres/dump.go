package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/node/database/dump"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// Dump writes a database of dialect postgres as PostgreSQL's statements: in form Text as pg_dump has them, rows before what looks
// through them; in form Load all definitions before the rows.
func Dump(ctx context.Context, s *engine.Snapshot, f dump.Form, to dump.Sink) error {
	cat, err := loadCatalog(&reading{ctx, s})
	if err != nil {
		return err
	}
	d := &dumping{ctx: ctx, from: s, to: to, form: f, cat: cat, owned: map[uint32]bool{}}
	return d.run()
}

// reading is a snapshot as the catalog is read of it.
type reading struct {
	ctx context.Context
	s   *engine.Snapshot
}

func (r *reading) Query(sql string, args ...any) (all [][]any, err error) {
	err = r.s.Read(r.ctx, sql, func(row []any) error { all = append(all, row); return nil })
	return all, err
}

type dumping struct {
	ctx  context.Context
	from *engine.Snapshot
	to   dump.Sink
	form dump.Form
	cat  *catalog

	tables  []*relation // behind those that they reference
	sources map[uint32]*dump.Source
	late    map[*constraint]bool // closes a circle, or is to the table itself
	owned   map[uint32]bool      // sequences that come with their columns
}

func qualified(r *relation) string { return quoteIdent(r.Schema) + "." + quoteIdent(r.Name) }

// of lists the relations of a kind by name, so that the order does not tell how they came to be.
func (d *dumping) of(kind string) (list []*relation) {
	for _, r := range d.cat.all() {
		if r.Kind == kind {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *relation) int {
		return strings.Compare(relationKey(a.Schema, a.Name), relationKey(b.Schema, b.Name))
	})
	return list
}

func (d *dumping) say(format string, args ...any) error {
	return d.to.Statement(d.ctx, fmt.Sprintf(format, args...))
}

func (d *dumping) run() error {
	d.sort()
	steps := []func() error{d.roles, d.schemas, d.sequences, d.makeTables}
	if d.form == dump.Load {
		steps = append(steps, d.circles, d.indexes, d.rows)
	} else {
		steps = append(steps, d.rows, d.indexes, d.foreignKeys)
	}
	for _, step := range append(steps, d.positions, d.views, d.comments, d.access, d.publications) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sort orders the tables, and says how their rows are read.
func (d *dumping) sort() {
	all := d.of("r")
	refs := make([][]dump.Ref, len(all))
	keys := make([][]*constraint, len(all))
	d.sources, d.late = map[uint32]*dump.Source{}, map[*constraint]bool{}
	for i, r := range all {
		d.sources[r.OID] = d.source(r)
		for _, k := range sortedConstraints(r) {
			if to := slices.IndexFunc(all, func(o *relation) bool { return k.Kind == "f" && o.OID == k.References }); to >= 0 {
				refs[i], keys[i] = append(refs[i], dump.Ref{To: to, Soft: d.sources[r.OID].Soft(places(r, k.Columns))}), append(keys[i], k)
			}
		}
	}
	order, late := dump.Order(refs)
	for _, i := range order {
		d.tables = append(d.tables, all[i])
	}
	for i, r := range all {
		for j, k := range keys[i] {
			if !late[i][j] {
				continue
			}
			d.late[k] = true
			l := dump.Late{Columns: places(r, k.Columns)}
			if k.References == r.OID {
				l.Position = "rowid"
				for _, n := range k.ReferencedColumns {
					l.Parents = append(l.Parents, r.column(n).stored())
				}
			}
			d.sources[r.OID].Late = append(d.sources[r.OID].Late, l)
		}
	}
}

// sortedConstraints are a table's, in the order in which they can be made.
func sortedConstraints(r *relation) []*constraint {
	list := slices.Clone(r.Constraints)
	slices.SortFunc(list, func(a, b *constraint) int {
		return strings.Compare(fmt.Sprint(strings.Index("pucf", a.Kind), a.Name), fmt.Sprint(strings.Index("pucf", b.Kind), b.Name))
	})
	return list
}

// places are where columns stand among those that were not dropped.
func places(r *relation, numbers []int) (list []int) {
	for _, n := range numbers {
		list = append(list, slices.IndexFunc(r.live(), func(c *column) bool { return c.Number == n }))
	}
	return list
}

func (d *dumping) source(r *relation) *dump.Source {
	s := &dump.Source{Table: dump.Table{Name: qualified(r)}, From: "main." + r.table(), Order: " ORDER BY r.rowid"}
	live := r.live()
	for _, c := range live {
		s.Table.Columns = append(s.Table.Columns, quoteIdent(c.Name))
		s.Cells, s.NotNull = append(s.Cells, c.stored()), append(s.NotNull, c.NotNull)
	}
	for _, k := range sortedConstraints(r) {
		names := !slices.ContainsFunc(k.Columns, func(n int) bool { return !r.column(n).NotNull })
		if s.Key == nil && (k.Kind == "p" || k.Kind == "u" && names) {
			s.Key = places(r, k.Columns)
		}
	}
	s.Value = func(i int, v any) (out any, err error) {
		defer func() {
			if p := recover(); p != nil { // a cell of another type than the column's
				err = corrupt(fmt.Sprintf("a value in column %s of table %s that cannot be", live[i].Name, r.Name))
			}
		}()
		if t := live[i].Type; v != nil && (t == postgres.TSQuery || typeOf(t).Elem == postgres.TSQuery) {
			return v.(string), nil // with all parentheses, so that it is the same when it is read
		}
		return postgres.Output(&postgres.Call{}, live[i].Type, v)
	}
	s.Literal = func(_ int, v any) (string, error) {
		if t, ok := v.(string); ok {
			return quoteText(t), nil
		}
		return "NULL", nil
	}
	return s
}

func (d *dumping) schemas() error {
	var names []string
	for _, n := range d.cat.head.Schemas {
		if n.Name != publicSchema {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		if err := d.say("CREATE SCHEMA %s", quoteIdent(n)); err != nil {
			return err
		}
	}
	return nil
}

func (q *sequence) options() string {
	s := fmt.Sprintf("START WITH %d INCREMENT BY %d MINVALUE %d MAXVALUE %d CACHE %d", q.Start, q.Increment, q.Min, q.Max, q.Cache)
	if q.Cycle {
		s += " CYCLE"
	}
	return s
}

// sequences makes those that do not come with a column: a column is written as serial where that makes the same sequence.
func (d *dumping) sequences() error {
	all := d.of("S")
	for _, r := range d.tables {
		for _, c := range r.live() {
			if c.Identity != "" && d.cat.byOID[c.Sequence] != nil {
				d.owned[c.Sequence] = true
			}
		}
	}
	for _, r := range d.tables {
		for _, c := range r.live() {
			q := d.cat.byOID[c.Sequence]
			if q == nil || c.Identity != "" || c.Default != "" || !c.NotNull || q.Schema != r.Schema || *q.Sequence != asSerial(r, c) {
				continue
			}
			// No other may have the name, or that of another sequence becomes another.
			if q.Name == objectName(r.Name, c.Name, "seq") {
				d.owned[q.OID] = true
			}
		}
	}
	for _, q := range all {
		if !d.owned[q.OID] {
			if err := d.say("CREATE SEQUENCE %s AS %s %s", qualified(q), typeName(q.Sequence.Type), q.Sequence.options()); err != nil {
				return err
			}
		}
	}
	return nil
}

// asSerial is the sequence that a serial column gets.
func asSerial(r *relation, c *column) sequence {
	q := *newSequence(c.Type)
	q.OwnerTable, q.OwnerColumn = r.OID, c.Number
	return q
}

func (d *dumping) makeTables() error {
	for _, r := range d.tables {
		var parts []string
		for _, c := range r.live() {
			parts = append(parts, d.column(c))
		}
		for _, k := range sortedConstraints(r) {
			if k.Kind != "f" || d.form == dump.Load && (!d.late[k] || k.References == r.OID) {
				parts = append(parts, "CONSTRAINT "+quoteIdent(k.Name)+" "+d.cat.constraintText(r, k, false))
			}
		}
		if err := d.say("CREATE TABLE %s (\n    %s\n)", qualified(r), strings.Join(parts, ",\n    ")); err != nil {
			return err
		}
	}
	for _, q := range d.of("S") {
		t := d.cat.byOID[q.Sequence.OwnerTable]
		if d.owned[q.OID] || t == nil {
			continue
		}
		if err := d.say("ALTER SEQUENCE %s OWNED BY %s.%s", qualified(q), qualified(t), quoteIdent(t.column(q.Sequence.OwnerColumn).Name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumping) column(c *column) string {
	q := d.cat.byOID[c.Sequence]
	name, typ := quoteIdent(c.Name)+" ", postgres.FormatType(c.Type, c.Typmod)
	if q != nil && c.Identity == "" && d.owned[q.OID] {
		return name + map[oid]string{postgres.Int2: "smallserial", postgres.Int4: "serial", postgres.Int8: "bigserial"}[c.Type] + " NOT NULL"
	}
	s := name + typ
	switch {
	case q != nil && c.Identity != "":
		s += " GENERATED " + map[string]string{"a": "ALWAYS", "d": "BY DEFAULT"}[c.Identity] + " AS IDENTITY (SEQUENCE NAME " + qualified(q) + " " + q.Sequence.options() + ")"
	case c.Default != "":
		s += " DEFAULT " + wrapped(c.Default)
	case q != nil:
		s += " DEFAULT nextval(" + quoteText(shownName(q)) + "::regclass)"
	}
	if c.NotNull {
		s += " NOT NULL"
	}
	return s
}

// circles declares the references of tables that reference each other, while they are empty.
func (d *dumping) circles() error {
	return d.declare(func(r *relation, k *constraint) bool { return d.late[k] && k.References != r.OID })
}

// foreignKeys declares all references behind the rows.
func (d *dumping) foreignKeys() error {
	return d.declare(func(*relation, *constraint) bool { return true })
}

func (d *dumping) declare(which func(*relation, *constraint) bool) error {
	for _, r := range d.tables {
		for _, k := range sortedConstraints(r) {
			if k.Kind != "f" || !which(r, k) {
				continue
			}
			if err := d.say("ALTER TABLE %s ADD CONSTRAINT %s %s", qualified(r), quoteIdent(k.Name), d.cat.constraintText(r, k, false)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dumping) indexes() error {
	for _, r := range d.of("i") {
		if r.Index.Owned {
			continue
		}
		if err := d.say("%s", d.cat.indexText(r, false)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumping) rows() error {
	for _, r := range d.tables {
		if err := d.sources[r.OID].Rows(d.ctx, d.from, d.form, d.to); err != nil {
			return err
		}
	}
	if d.form != dump.Load {
		return nil
	}
	for _, r := range d.tables {
		if err := d.sources[r.OID].Later(d.ctx, d.from, d.to); err != nil {
			return err
		}
	}
	return nil
}

// positions say how far sequences are.
func (d *dumping) positions() error {
	s := &session{cat: d.cat}
	if err := s.readSequences(&reading{d.ctx, d.from}); err != nil {
		return err
	}
	for _, q := range d.of("S") {
		if p := s.sequences[q.OID]; p != nil {
			if err := d.say("SELECT setval(%s, %d, %t)", quoteText(qualified(q)), p.last, p.called); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dumping) views() error {
	all := d.of("v")
	refs := make([][]dump.Ref, len(all))
	for i, r := range all {
		for _, u := range r.Uses {
			if to := slices.IndexFunc(all, func(o *relation) bool { return o.OID == u }); to >= 0 {
				refs[i] = append(refs[i], dump.Ref{To: to})
			}
		}
	}
	order, _ := dump.Order(refs) // views are no circle
	for _, i := range order {
		r := all[i]
		var names []string
		for _, c := range r.Columns {
			names = append(names, quoteIdent(c.Name))
		}
		if err := d.say("CREATE VIEW %s (%s) AS\n%s", qualified(r), strings.Join(names, ", "), r.Query); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumping) comments() error {
	for _, kind := range []struct{ letter, word string }{{"r", "TABLE"}, {"v", "VIEW"}, {"i", "INDEX"}, {"S", "SEQUENCE"}} {
		for _, r := range d.of(kind.letter) {
			if r.Comment != "" {
				if err := d.say("COMMENT ON %s %s IS %s", kind.word, qualified(r), quoteText(r.Comment)); err != nil {
					return err
				}
			}
			for _, c := range r.Columns {
				if c.Comment == "" || c.Dropped {
					continue
				}
				if err := d.say("COMMENT ON COLUMN %s.%s IS %s", qualified(r), quoteIdent(c.Name), quoteText(c.Comment)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
