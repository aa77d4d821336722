package dump_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // reads the text

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/dump"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestOrder(t *testing.T) {
	hard, soft := func(to int) dump.Ref { return dump.Ref{To: to} }, func(to int) dump.Ref { return dump.Ref{To: to, Soft: true} }
	for _, c := range []struct {
		refs  [][]dump.Ref
		order []int
		late  string
	}{
		{nil, nil, "[]"},
		{[][]dump.Ref{{hard(1)}, {hard(2)}, {}}, []int{2, 1, 0}, "[[false] [false] []]"},
		{[][]dump.Ref{{hard(0), soft(1)}, {}}, []int{1, 0}, "[[true false] []]"},
		{[][]dump.Ref{{hard(1)}, {soft(0)}}, []int{1, 0}, "[[false] [true]]"},
		{[][]dump.Ref{{soft(1)}, {hard(0)}}, []int{0, 1}, "[[true] [false]]"},
		{[][]dump.Ref{{hard(1)}, {hard(2)}, {hard(0)}}, []int{2, 1, 0}, "[[false] [false] [true]]"},
		{[][]dump.Ref{{soft(1)}, {soft(2), hard(3)}, {}, {}}, []int{2, 3, 1, 0}, "[[false] [false false] [] []]"},
	} {
		order, late := dump.Order(c.refs)
		if !slices.Equal(order, c.order) || fmt.Sprint(late) != c.late {
			t.Errorf("%v: %v %v, want %v %v", c.refs, order, late, c.order, c.late)
		}
	}
}

// A file is a database of dialect sqlite.
type file struct {
	t      *testing.T
	db     *engine.DB
	height uint64
}

func newFile(t *testing.T, statements ...string) *file {
	t.Helper()
	db, err := engine.Open(filepath.Join(t.TempDir(), "db"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &file{t: t, db: db}
	for _, s := range statements {
		f.must(s)
	}
	return f
}

func (f *file) run(sql string, args ...*wirepb.Value) *wirepb.Outcome {
	f.t.Helper()
	f.height++
	b, err := f.db.Begin(engine.Header{Height: f.height, TimeMs: int64(f.height)})
	if err != nil {
		f.t.Fatal(err)
	}
	p := &engine.Program{Statements: []*wirepb.Statement{{Sql: sql, Parameters: args}}, GasLimit: 10_000_000}
	copy(p.ID[:], fmt.Sprint(f.height))
	o, err := b.Run(p)
	if err = errors.Join(err, b.Commit()); err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *file) must(sql string, args ...*wirepb.Value) *wirepb.Outcome {
	f.t.Helper()
	o := f.run(sql, args...)
	if o.Code != "" {
		f.t.Fatalf("%s: %s %s", sql, o.Code, o.Text)
	}
	return o
}

func (f *file) dump(form dump.Form, to dump.Sink) ([]string, error) {
	f.t.Helper()
	s, err := f.db.Snapshot()
	if err != nil {
		f.t.Fatal(err)
	}
	defer s.Close()
	return dump.SQLite(f.t.Context(), s, form, to)
}

func (f *file) text() string {
	f.t.Helper()
	var b bytes.Buffer
	s := dump.NewScript(&b, false)
	if _, err := f.dump(dump.Text, s); err != nil {
		f.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.t.Fatal(err)
	}
	return b.String()
}

func (f *file) sums() *dump.Sums {
	f.t.Helper()
	s := dump.NewSums()
	if _, err := f.dump(dump.Text, dump.Schema{Sink: s}); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *file) Statement(_ context.Context, sql string) error {
	f.must(sql)
	return nil
}

func (f *file) Row(_ context.Context, t *dump.Table, row []any) error {
	var args []*wirepb.Value
	for _, v := range row {
		a := &wirepb.Value{Value: &wirepb.Value_Null{Null: true}}
		switch v := v.(type) {
		case int64:
			a.Value = &wirepb.Value_Integer{Integer: v}
		case float64:
			a.Value = &wirepb.Value_Real{Real: v}
		case string:
			a.Value = &wirepb.Value_Text{Text: v}
		case []byte:
			a.Value = &wirepb.Value_Blob{Blob: v}
		}
		args = append(args, a)
	}
	f.must("INSERT INTO "+t.Name+" ("+strings.Join(t.Columns, ",")+") VALUES (?"+strings.Repeat(",?", len(row)-1)+")", args...)
	return nil
}

var statements = []string{
	`CREATE TABLE "a child"(id INTEGER PRIMARY KEY, p TEXT NOT NULL REFERENCES parent(name), doubled AS (id * 2), "it's" BLOB)`,
	"CREATE TABLE parent(name TEXT, best REFERENCES \"a child\", PRIMARY KEY(name)) WITHOUT ROWID",
	"CREATE TABLE tree(id INTEGER PRIMARY KEY AUTOINCREMENT, up INT REFERENCES tree, name UNIQUE, CHECK(id > 0))",
	"CREATE TABLE empty(id INTEGER PRIMARY KEY AUTOINCREMENT, v NOT NULL)",
	"CREATE TABLE any_of(v, w REAL, rowid TEXT)",
	"CREATE TABLE logged(n)",
	"INSERT INTO parent VALUES('p', NULL), ('q', NULL)",
	`INSERT INTO "a child"(id, p, "it's") VALUES(1, 'p', x'00ff'), (7, 'q', 'te''xt')`,
	"UPDATE parent SET best = 7 WHERE name = 'p'",
	"INSERT INTO tree(up, name) VALUES(NULL, 'root'), (1, 'x'), (1, 'y'), (NULL, 'gone')",
	"UPDATE tree SET up = 3 WHERE id = 2",
	"DELETE FROM tree WHERE id = 4",
	"INSERT INTO any_of VALUES(9223372036854775807, 1e300, 'r'), (-9223372036854775808, 9e999, NULL), (1.0, -9e999, ''), ('nul' || char(0) || 'nul', 0.1, 'ü'), (x'', -0.0, '--;')",
	"CREATE INDEX i ON any_of(v DESC) WHERE v IS NOT NULL",
	"CREATE VIEW seen AS SELECT name FROM tree WHERE id IN (SELECT up FROM tree)",
	"CREATE TRIGGER log AFTER INSERT ON tree BEGIN INSERT INTO logged VALUES(NEW.id); INSERT INTO logged SELECT count(*) FROM seen; END",
}

func TestSQLite(t *testing.T) {
	from := newFile(t, statements...)
	to := newFile(t)
	if notes, err := from.dump(dump.Load, to); err != nil || len(notes) != 0 {
		t.Fatal(notes, err)
	}
	a, b := from.sums(), to.sums()
	if diff := a.Differences(b); len(diff) > 0 || a.Rows() != 12 {
		t.Errorf("another database of %d rows, in %q:\n%s", b.Rows(), diff, to.text())
	}
	for _, f := range []*file{from, to} {
		if o := f.must("INSERT INTO tree(name) VALUES('next') RETURNING id"); o.Results[0].Rows[0].Values[0].GetInteger() != 5 {
			t.Errorf("the next row is %v", o.Results[0].Rows)
		}
		if o := f.must("SELECT * FROM logged"); len(o.Results[0].Rows) != 2 {
			t.Errorf("the trigger did %v", o.Results[0].Rows)
		}
	}
	if diff := from.sums().Differences(b); !reflect.DeepEqual(diff, []string{`"logged"`, `"tree"`}) {
		t.Errorf("rows that were added show in %q", diff)
	}
}

// What SQLite reads of the text is the same database.
func TestSQLiteScript(t *testing.T) {
	from := newFile(t, statements...)
	text := from.text()
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "read.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	for _, table := range []string{`"a child"`, "parent", "tree", "empty", "any_of", "logged", "sqlite_sequence", "seen"} {
		q := "SELECT count(*), coalesce(group_concat(x, '|'), '') FROM (SELECT "
		columns := map[string]string{`"a child"`: `id || quote(p) || quote("it's") || doubled`, "parent": "name || quote(best)", "tree": "id || quote(up) || name", "empty": "id", "logged": "n",
			"any_of": "quote(v) || quote(w) || quote(rowid)", "sqlite_sequence": "name || seq", "seen": "name"}
		q += columns[table] + " AS x FROM " + table + " ORDER BY 1)"
		var n int64
		var rows string
		if err := db.QueryRow(q).Scan(&n, &rows); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		o := from.must(q)
		if v := o.Results[0].Rows[0].Values; v[0].GetInteger() != n || v[1].GetText() != rows {
			t.Errorf("%s: SQLite has %q, and there was %q", table, rows, v[1].GetText())
		}
	}
}

func TestWhatCannotBeLoaded(t *testing.T) {
	f := newFile(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, up NOT NULL REFERENCES t)", "INSERT INTO t VALUES(1, 2), (2, 1)")
	if _, err := f.dump(dump.Load, newFile(t)); mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), "NOT NULL") {
		t.Errorf("rows that reference each other: %v", err)
	}
	f = newFile(t, "CREATE TABLE e(id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO e VALUES(5)", "DELETE FROM e")
	if notes, err := f.dump(dump.Load, newFile(t)); err != nil || len(notes) != 1 || !strings.Contains(notes[0], "behind 5") {
		t.Errorf("%v, %v", notes, err)
	}
}

// Tables without rows count, too.
func TestSumsCountTables(t *testing.T) {
	s := dump.NewSums()
	for _, sql := range []string{"CREATE TABLE public.a (\n    v integer\n)", `CREATE TABLE "b"(v)`, "CREATE VIEW v AS SELECT 1", "CREATE INDEX i ON a (v)"} {
		if err := s.Statement(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Row(t.Context(), &dump.Table{Name: "public.a"}, []any{int64(1)}); err != nil || s.Made != 2 || len(s.Tables) != 1 {
		t.Errorf("%d tables, %d with rows: %v", s.Made, len(s.Tables), err)
	}
}
