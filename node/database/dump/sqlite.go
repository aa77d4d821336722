package dump

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
)

// ofSequence begins the statements of a text that say how far AUTOINCREMENT is.
const ofSequence = "INSERT INTO sqlite_sequence"

// SQLite dumps a database of dialect sqlite. In form Load it says what cannot be told to a cell.
func SQLite(ctx context.Context, s *engine.Snapshot, f Form, to Sink) (notes []string, err error) {
	d := &sqlite{ctx: ctx, from: s, to: to}
	if err := d.read(); err != nil {
		return nil, err
	}
	if f == Text {
		return nil, d.text()
	}
	return d.load()
}

type sqlite struct {
	ctx  context.Context
	from *engine.Snapshot
	to   Sink

	objects   []object // but tables
	tables    []*sqliteTable
	sequences map[string]int64
}

type object struct{ kind, name, sql string }

type sqliteTable struct {
	object
	source Source
	rowID  string
	refs   []sqliteRef
}

type sqliteRef struct {
	table    string
	from, to []string
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// rows reads all rows of a small query.
func (d *sqlite) rows(sql string) (all [][]any, err error) {
	err = d.from.Read(d.ctx, sql, func(row []any) error { all = append(all, row); return nil })
	return all, err
}

func (d *sqlite) read() error {
	all, err := d.rows("SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND lower(name) NOT GLOB '_stratos_*' AND name NOT GLOB 'sqlite_*' ORDER BY rowid")
	if err != nil {
		return err
	}
	for _, r := range all {
		var o object
		for i, p := range []*string{&o.kind, &o.name, &o.sql} {
			*p, _ = r[i].(string)
		}
		if o.kind != "table" {
			d.objects = append(d.objects, o)
			continue
		}
		t := &sqliteTable{object: o}
		if err := d.describe(t); err != nil {
			return err
		}
		d.tables = append(d.tables, t)
	}
	d.sequences = map[string]int64{}
	if all, err = d.rows("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'"); err != nil || len(all) == 0 {
		return err
	}
	if all, err = d.rows("SELECT name, seq FROM main.sqlite_sequence"); err != nil {
		return err
	}
	for _, r := range all {
		name, _ := r[0].(string)
		d.sequences[name], _ = r[1].(int64)
	}
	return nil
}

func (d *sqlite) describe(t *sqliteTable) error {
	wr, err := d.rows("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = " + text(t.name))
	if err != nil {
		return err
	}
	columns, err := d.rows(`SELECT name, "notnull", pk, hidden FROM pragma_table_xinfo(` + text(t.name) + ")")
	if err != nil {
		return err
	}
	s := &t.source
	s.Table.Name, s.From, s.Literal = quote(t.name), "main."+quote(t.name), func(_ int, v any) (string, error) { return SQLiteLiteral(v), nil }
	names := map[string]bool{}
	places := map[int]int64{} // in the primary key
	for _, c := range columns {
		name, _ := c[0].(string)
		names[strings.ToLower(name)] = true
		if c[3] != int64(0) { // generated
			continue
		}
		if n, _ := c[2].(int64); n > 0 {
			s.Key = append(s.Key, len(s.Cells))
			places[len(s.Cells)] = n
		}
		s.Cells, s.Table.Columns = append(s.Cells, quote(name)), append(s.Table.Columns, quote(name))
		s.NotNull = append(s.NotNull, c[1] != int64(0))
	}
	if len(s.Cells) == 0 {
		return mesh.Errorf(mesh.Invalid, "table %s has only columns that are generated", t.name)
	}
	slices.SortFunc(s.Key, func(a, b int) int { return cmp.Compare(places[a], places[b]) })
	if len(wr) == 1 && wr[0][0] == int64(0) {
		for _, name := range []string{"rowid", "oid", "_rowid_"} {
			if !names[name] {
				t.rowID = name
				s.Order = " ORDER BY r." + name
				break
			}
		}
	}
	foreign, err := d.rows(`SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(` + text(t.name) + ") ORDER BY id DESC, seq")
	if err != nil {
		return err
	}
	last := any(nil)
	for _, r := range foreign {
		if last != r[0] {
			parent, _ := r[1].(string)
			t.refs = append(t.refs, sqliteRef{table: strings.ToLower(parent)})
			last = r[0]
		}
		ref := &t.refs[len(t.refs)-1]
		from, _ := r[2].(string)
		ref.from = append(ref.from, quote(from))
		if to, ok := r[3].(string); ok {
			ref.to = append(ref.to, quote(to))
		}
	}
	return nil
}

// text writes as sqlite3's .dump does.
func (d *sqlite) text() error {
	for _, sql := range []string{"PRAGMA foreign_keys=OFF", "BEGIN TRANSACTION"} {
		if err := d.to.Statement(d.ctx, sql); err != nil {
			return err
		}
	}
	for _, t := range d.tables {
		if err := d.to.Statement(d.ctx, t.sql); err != nil {
			return err
		}
		if err := t.source.Rows(d.ctx, d.from, Text, d.to); err != nil {
			return err
		}
	}
	for _, t := range d.tables {
		if n, ok := d.sequences[t.name]; ok {
			// SQLite has made an entry of its own, if there were rows.
			for _, sql := range []string{"DELETE FROM sqlite_sequence WHERE name=" + text(t.name), ofSequence + " VALUES(" + text(t.name) + "," + SQLiteLiteral(n) + ")"} {
				if err := d.to.Statement(d.ctx, sql); err != nil {
					return err
				}
			}
		}
	}
	for _, kind := range []string{"index", "view", "trigger"} {
		if err := d.make(kind); err != nil {
			return err
		}
	}
	return d.to.Statement(d.ctx, "COMMIT")
}

func (d *sqlite) make(kind string) error {
	for _, o := range d.objects {
		if o.kind == kind {
			if err := d.to.Statement(d.ctx, o.sql); err != nil {
				return err
			}
		}
	}
	return nil
}

// Schema leaves out of the text's statements what is no definition.
type Schema struct{ Sink }

// Statement passes definitions on.
func (s Schema) Statement(ctx context.Context, sql string) error {
	if strings.HasPrefix(sql, ofSequence) || strings.HasPrefix(sql, "DELETE FROM sqlite_sequence") {
		return nil
	}
	return s.Sink.Statement(ctx, sql)
}

func (d *sqlite) load() (notes []string, err error) {
	byName := map[string]int{}
	for i, t := range d.tables {
		byName[strings.ToLower(t.name)] = i
	}
	refs := make([][]Ref, len(d.tables))
	kept := make([][]Late, len(d.tables))
	for i, t := range d.tables {
		for _, r := range t.refs {
			if to, ok := byName[r.table]; ok {
				l := t.late(r, d.tables[to])
				refs[i], kept[i] = append(refs[i], Ref{to, t.source.Soft(l.Columns)}), append(kept[i], l)
			}
		}
	}
	order, late := Order(refs)
	for i, t := range d.tables {
		for j, l := range kept[i] {
			if late[i][j] && !slices.Contains(l.Columns, -1) { // a generated column cannot be left out
				t.source.Late = append(t.source.Late, l)
			}
		}
	}
	for _, t := range d.tables {
		if err := d.to.Statement(d.ctx, t.sql); err != nil {
			return nil, err
		}
	}
	if err := d.make("index"); err != nil {
		return nil, err
	}
	for _, i := range order {
		note, err := d.loadRows(d.tables[i])
		if err != nil {
			return nil, err
		}
		notes = append(notes, note...)
	}
	for _, i := range order {
		if err := d.tables[i].source.Later(d.ctx, d.from, d.to); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"view", "trigger"} {
		if err := d.make(kind); err != nil {
			return nil, err
		}
	}
	return notes, nil
}

// late is a reference as one whose rows come later.
func (t *sqliteTable) late(r sqliteRef, parent *sqliteTable) Late {
	l := Late{}
	for _, c := range r.from {
		l.Columns = append(l.Columns, slices.IndexFunc(t.source.Cells, func(o string) bool { return strings.EqualFold(o, c) }))
	}
	if parent == t && t.rowID != "" {
		if l.Parents, l.Position = r.to, t.rowID; len(l.Parents) == 0 {
			for _, k := range t.source.Key {
				l.Parents = append(l.Parents, t.source.Cells[k])
			}
		}
		if len(l.Parents) != len(l.Columns) {
			l.Parents = nil
		}
	}
	return l
}

// renumbered is the row of a table with the highest number, under another.
type renumbered struct {
	Sink
	cell     int
	from, to int64
}

func (r *renumbered) Row(ctx context.Context, t *Table, row []any) error {
	if row[r.cell] == r.from {
		row[r.cell] = r.to
	}
	return r.Sink.Row(ctx, t, row)
}

// loadRows gives the rows of a table. AUTOINCREMENT shall go on where it is, which no statement may tell a cell: the last row comes with that
// number, which SQLite remembers, and then gets its own.
func (d *sqlite) loadRows(t *sqliteTable) (notes []string, err error) {
	n, ok := d.sequences[t.name]
	if !ok || t.rowID == "" || len(t.source.Key) != 1 {
		return nil, t.source.Rows(d.ctx, d.from, Load, d.to)
	}
	last, err := d.rows("SELECT max(" + t.rowID + ") FROM " + t.source.From)
	if err != nil {
		return nil, err
	}
	row, some := last[0][0].(int64)
	switch {
	case !some && n > 0:
		return []string{"table " + t.name + " is empty: its AUTOINCREMENT begins anew, and not behind " + SQLiteLiteral(n)}, nil
	case row >= n:
		return nil, t.source.Rows(d.ctx, d.from, Load, d.to)
	}
	key := t.source.Key[0]
	if err := t.source.Rows(d.ctx, d.from, Load, &renumbered{d.to, key, row, n}); err != nil {
		return nil, err
	}
	c := t.source.Table.Columns[key]
	return nil, d.to.Statement(d.ctx, "UPDATE "+t.source.Table.Name+" SET "+c+" = "+SQLiteLiteral(row)+" WHERE "+c+" = "+SQLiteLiteral(n))
}
