package postgres_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pgoracle "github.com/stratosmesh/stratos/internal/oracle"
	"github.com/stratosmesh/stratos/node/database/dump"
	"github.com/stratosmesh/stratos/node/database/engine"
	dialect "github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var updateDump = flag.Bool("update.dump", false, "write testdata/dump.expected.sql again")

// dumped is a database of testdata/dump.sql.
func dumped(t *testing.T) *ours {
	t.Helper()
	o := open(t, engine.Options{})
	for _, sql := range script(t, "dump.sql") {
		if out := o.exec(t, sql); out.Code != "" {
			t.Fatalf("%s: %s %s", sql, out.Code, out.Text)
		}
	}
	return o
}

func (o *ours) dump(t *testing.T, f dump.Form, to dump.Sink) {
	t.Helper()
	s, err := o.db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := dialect.Dump(t.Context(), s, f, to); err != nil {
		t.Fatal(err)
	}
}

func (o *ours) script(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	s := dump.NewScript(&b, true)
	o.dump(t, dump.Text, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// loading puts a dump into a database, each statement and each row a program of its own.
type loading struct {
	t  *testing.T
	to *ours
}

func (l loading) Statement(_ context.Context, sql string) error {
	l.t.Helper()
	if out := l.to.exec(l.t, sql); out.Code != "" {
		l.t.Fatalf("%s: %s %s", sql, out.Code, out.Text)
	}
	return nil
}

func (l loading) Row(_ context.Context, to *dump.Table, row []any) error {
	var values []string
	for _, v := range row {
		if s, ok := v.(string); ok {
			values = append(values, "'"+strings.ReplaceAll(s, "'", "''")+"'")
		} else {
			values = append(values, "NULL")
		}
	}
	return l.Statement(nil, "INSERT INTO "+to.Name+" ("+strings.Join(to.Columns, ", ")+") OVERRIDING SYSTEM VALUE VALUES ("+strings.Join(values, ", ")+")")
}

// What is loaded of a dump holds the same, and is dumped as the same text, as often as one likes.
func TestDump(t *testing.T) {
	from := dumped(t)
	text := from.script(t)
	name := filepath.Join("testdata", "dump.expected.sql")
	if *updateDump {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(name); err != nil || string(want) != text {
		t.Errorf("the dump is not that of %s (%v); -update.dump writes it again\n%.6000s", name, err, text)
	}
	to := open(t, engine.Options{})
	from.dump(t, dump.Load, loading{t, to})
	a, b := dump.NewSums(), dump.NewSums()
	from.dump(t, dump.Text, a)
	to.dump(t, dump.Text, b)
	if diff := a.Differences(b); len(diff) > 0 || a.Rows() == 0 {
		t.Errorf("another database of %d rows, in %q", b.Rows(), diff)
	}
	again := to.script(t)
	if x, y := strings.Split(text, "\n"), strings.Split(again, "\n"); text != again {
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				t.Errorf("line %d is %q, and was %q", i+1, y[i], x[i])
				break
			}
		}
	}
	// The next numbers are those that would have come.
	for _, sql := range []string{"INSERT INTO t(name) VALUES ('next') RETURNING id", "SELECT nextval('steps')", "INSERT INTO old(v) VALUES (1) RETURNING id"} {
		x, y := answerOf(from.exec(t, sql)), answerOf(to.exec(t, sql))
		if x.code != "" || !agree(x, y, true) {
			t.Errorf("%s: %v, and was %v", sql, y, x)
		}
	}
	to.exec(t, "UPDATE t SET name = 'x' WHERE id = 1")
	c := dump.NewSums()
	to.dump(t, dump.Text, c)
	if diff := b.Differences(c); !slices.Contains(diff, "public.t") {
		t.Errorf("a change shows in %q", diff)
	}
}

// PostgreSQL reads the text, and has the same tables with the same rows.
func TestDumpInPostgreSQL(t *testing.T) {
	oracle := startOracle(t)
	from := dumped(t)
	file := filepath.Join(t.TempDir(), "dump.sql")
	if err := os.WriteFile(file, []byte(from.script(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	psql := exec.Command(filepath.Join(pgoracle.Binaries, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", filepath.Dir(oracle.conn.Conn().RemoteAddr().String()), "-U", "postgres", "-d", "postgres", "-f", file)
	psql.Env = []string{"PGCLIENTENCODING=UTF8", "LC_ALL=C.UTF-8"}
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	queries := []string{
		`SELECT table_schema, table_name, column_name, data_type, is_nullable, is_identity, identity_generation, character_maximum_length, numeric_precision, numeric_scale FROM information_schema.columns
			WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, ordinal_position`,
		`SELECT c.conname, c.contype, r.relname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid WHERE c.contype IN ('p', 'u', 'f', 'c') AND r.oid >= 16384 ORDER BY 1, 3`,
		`SELECT c.relname, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2`,
		`SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE c.relname NOT LIKE 'pg_toast%' AND i.indexrelid >= 16384 AND i.indexprs IS NULL AND i.indpred IS NULL ORDER BY 1`,
		`SELECT objsubid, description FROM pg_catalog.pg_description WHERE objoid >= 16384 ORDER BY 2`,
		`SELECT rolname, rolcanlogin FROM pg_catalog.pg_roles WHERE oid >= 16384 ORDER BY 1`,
		`SELECT tablename, policyname, permissive, cmd, roles FROM pg_catalog.pg_policies ORDER BY 1, 2`,
		`SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_catalog.pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1`,
		`SELECT sequence_name, start_value, minimum_value, maximum_value, increment, cycle_option FROM information_schema.sequences ORDER BY 1`,
	}
	s := dump.NewSums()
	from.dump(t, dump.Text, s)
	for name := range s.Tables {
		queries = append(queries, "SELECT * FROM "+name)
	}
	queries = append(queries, "SELECT * FROM named ORDER BY 1", "SELECT * FROM of_named ORDER BY 1", "INSERT INTO t(name) VALUES ('next') RETURNING id", "SELECT nextval('steps')", "INSERT INTO old(v) VALUES (1) RETURNING id")
	for _, sql := range queries {
		x := answerOf(from.run(t, &wirepb.Statement{Sql: sql}))
		y := oracle.ask(t, sql)
		if x.code != "" || y.code != "" || !slices.Equal(x.sorted(), y.sorted()) {
			t.Errorf("%s:\nours %v\nPostgreSQL %v", sql, x, y)
		}
	}
}
