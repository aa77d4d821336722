package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// block runs programs in one block, at a time after timeMs.
func (o *ours) block(t testing.TB, afterMs int64, programs ...[]string) (out []*wirepb.Outcome) {
	t.Helper()
	o.height++
	b, err := o.db.Begin(engine.Header{Height: o.height, TimeMs: timeMs + afterMs})
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range programs {
		p := &engine.Program{GasLimit: o.gas}
		for _, sql := range list {
			p.Statements = append(p.Statements, &wirepb.Statement{Sql: sql})
		}
		copy(p.ID[:], fmt.Sprint(o.height, ".", i))
		r, err := b.Run(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (o *ours) must(t testing.TB, statements ...string) {
	t.Helper()
	for _, out := range o.block(t, 0, statements) {
		if out.Code != "" {
			t.Fatalf("statement %d of %q: %s %s", out.Failed, statements, out.Code, out.Text)
		}
	}
}

func (o *ours) rows(t testing.TB, sql string) []string {
	t.Helper()
	a := answerOf(o.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: sql}}, GasLimit: o.gas}))
	if a.code != "" {
		t.Fatalf("%s: %s", sql, a)
	}
	var list []string
	for _, r := range a.rows {
		list = append(list, strings.ReplaceAll(strings.Join(r, " "), null, "-"))
	}
	return list
}

// told are changes from a height on.
func (o *ours) told(t testing.TB, from uint64) []string {
	t.Helper()
	return o.rows(t, fmt.Sprintf("SELECT place, schemaname || '.' || tablename, kind, old, new FROM stratos.changes WHERE height >= %d ORDER BY position", from))
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestChanges(t *testing.T) {
	o := open(t, engine.Options{})
	same(t, o.rows(t, "SELECT position FROM stratos.changes"))
	same(t, o.rows(t, "SELECT position FROM stratos.notifications"))
	same(t, o.rows(t, "SELECT * FROM stratos.feeds ORDER BY name"), "changes 0 0", "notifications 0 0")
	o.must(t, "CREATE TABLE a (id int PRIMARY KEY, name text UNIQUE, d jsonb, at timestamptz, n numeric(6,2), b bytea, l int[])",
		"CREATE TABLE c (a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, k int, PRIMARY KEY (a, k))", "CREATE TABLE quiet (id int PRIMARY KEY)", "INSERT INTO a VALUES (0)")
	o.must(t, "CREATE PUBLICATION p FOR TABLE a, c")
	from := o.height + 1
	o.must(t, "INSERT INTO a VALUES (1, 'x', '{\"b\": 1, \"a\": [null]}', '2024-01-02 03:04:05+02', 1.5, '\\x01', '{1,NULL}')", "INSERT INTO a (id, name) VALUES (2, 'y')", "INSERT INTO quiet VALUES (1)", "UPDATE a SET name = 'z' WHERE id = 2",
		"INSERT INTO c VALUES (1, 1), (1, 2), (2, 1)")
	same(t, o.told(t, from),
		`1 public.a insert - {"b": "\\x01", "d": {"a": [null], "b": 1}, "l": [1, null], "n": 1.50, "at": "2024-01-02T01:04:05+00:00", "id": 1, "name": "x"}`,
		`2 public.a insert - {"b": null, "d": null, "l": null, "n": null, "at": null, "id": 2, "name": "y"}`,
		`3 public.a update {"id": 2} {"b": null, "d": null, "l": null, "n": null, "at": null, "id": 2, "name": "z"}`,
		`4 public.c insert - {"a": 1, "k": 1}`, `5 public.c insert - {"a": 1, "k": 2}`, `6 public.c insert - {"a": 2, "k": 1}`)

	// What fails tells nothing; what follows in the block goes on where it was.
	from = o.height + 1
	o.block(t, 0, []string{"DELETE FROM c WHERE k = 2", "SELECT 1/0"}, []string{"DELETE FROM c WHERE k = 2"}, []string{"UPDATE c SET k = 5 WHERE a = 2"})
	same(t, o.told(t, from), `1 public.c delete {"a": 1, "k": 2} -`, `2 public.c update {"a": 2, "k": 1} {"a": 2, "k": 5}`)

	// Rows that an upsert and foreign keys change.
	from = o.height + 1
	o.must(t, "INSERT INTO a (id, name) VALUES (2, 'w'), (3, 'v') ON CONFLICT (id) DO UPDATE SET name = excluded.name")
	o.must(t, "UPDATE a SET id = 20 WHERE id = 2", "DELETE FROM a WHERE id = 1")
	list := o.told(t, from)
	for i, l := range list {
		list[i], _, _ = strings.Cut(l, ` {"b": null`)
	}
	same(t, list, `1 public.a update {"id": 2}`, `2 public.a insert -`, `1 public.c update {"a": 2, "k": 5} {"a": 20, "k": 5}`, `2 public.a update {"id": 2}`, `3 public.c delete {"a": 1, "k": 1} -`, `4 public.a delete {"id": 1} -`)

	// TRUNCATE is one change of each table, and the rows of later statements are told again.
	from = o.height + 1
	o.must(t, "TRUNCATE a CASCADE", "INSERT INTO a (id) VALUES (9)", "DELETE FROM a")
	list = o.told(t, from)
	same(t, []string{list[0], list[1], list[3]}, "1 public.a truncate - -", "2 public.c truncate - -", `4 public.a delete {"id": 9} -`)

	// Another shape, another name: nothing is told of it, and what comes later is told by it.
	o.must(t, "ALTER TABLE c DROP CONSTRAINT c_a_fkey", "INSERT INTO a (id, name) VALUES (1, 'one')")
	from = o.height + 1
	o.must(t, "ALTER TABLE a DROP COLUMN b", "ALTER TABLE a DROP COLUMN l", "ALTER TABLE a DROP COLUMN at", "ALTER TABLE a ADD COLUMN e text DEFAULT 'e' NOT NULL", "ALTER TABLE a RENAME COLUMN name TO title", "ALTER TABLE a ALTER n TYPE text",
		"ALTER TABLE a RENAME TO z")
	same(t, o.told(t, from))
	o.must(t, "UPDATE z SET n = 'n'")
	same(t, o.told(t, from), `1 public.z update {"id": 1} {"d": null, "e": "e", "n": "n", "id": 1, "title": "one"}`)

	// Kinds that are not published, and tables that leave.
	from = o.height + 1
	o.must(t, "ALTER PUBLICATION p SET (publish = 'update')", "DELETE FROM z", "TRUNCATE c", "INSERT INTO z (id) VALUES (4)", "UPDATE z SET title = 't'")
	o.must(t, "ALTER PUBLICATION p DROP TABLE z", "UPDATE z SET title = 'u'")
	o.must(t, "DROP TABLE z", "DROP PUBLICATION p", "INSERT INTO c VALUES (7, 7)")
	same(t, o.told(t, from), `1 public.z update {"id": 4} {"d": null, "e": "e", "n": null, "id": 4, "title": "t"}`)

	// Several publications are told by one row; those of all tables have tables that come later.
	o.must(t, "CREATE PUBLICATION one FOR TABLE c", "CREATE PUBLICATION every FOR ALL TABLES WITH (publish = 'insert, delete')", "CREATE TABLE late (id int PRIMARY KEY, j json)")
	from = o.height + 1
	o.must(t, "INSERT INTO c VALUES (8, 8)", "UPDATE c SET k = 9", "INSERT INTO late VALUES (1, '\"\\u0000\"'), (2, '[1, 2.0]')")
	same(t, o.told(t, from), `1 public.c insert - {"a": 8, "k": 8}`, `2 public.c update {"a": 7, "k": 7} {"a": 7, "k": 9}`, `3 public.c update {"a": 8, "k": 8} {"a": 8, "k": 9}`,
		`4 public.late insert - {"j": "\"\\u0000\"", "id": 1}`, `5 public.late insert - {"j": [1, 2.0], "id": 2}`)
	same(t, o.rows(t, fmt.Sprintf("SELECT count(*), max(cardinality(publications)) FROM stratos.changes c, pg_publication p WHERE p.oid = ANY (c.publications) AND pubname = 'every' AND height >= %d", from)), "3 2")
	if a := answerOf(o.exec(t, "CREATE TABLE t2 AS SELECT 1 AS x")); a.code != "0A000" {
		t.Error(a)
	}
	for _, sql := range []string{"INSERT INTO stratos.changes VALUES (1)", "DELETE FROM stratos.changes", "SELECT * FROM pg_change", "CREATE SCHEMA stratos", "DROP TABLE stratos.changes", "SELECT \"row\"(1)", "SELECT quiet(1)", "SELECT position(1)"} {
		if a := answerOf(o.exec(t, sql)); a.code == "" {
			t.Errorf("%s is done", sql)
		}
	}
	if err := o.db.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestWideChanges shows tables of more columns than a function takes arguments, and rows of more than a tier's bytes.
func TestWideChanges(t *testing.T) {
	o := open(t, engine.Options{})
	var columns, values []string
	for i := range 150 {
		columns, values = append(columns, fmt.Sprintf("c%d int", i)), append(values, fmt.Sprint(i))
	}
	o.must(t, "CREATE TABLE w (id int PRIMARY KEY, t text, "+strings.Join(columns, ", ")+")", "CREATE PUBLICATION p FOR ALL TABLES")
	from := o.height + 1
	o.must(t, "INSERT INTO w VALUES (1, repeat('x', 100000), "+strings.Join(values, ", ")+")")
	same(t, o.rows(t, fmt.Sprintf("SELECT length(new->>'t'), new->>'c0', new->>'c149', (SELECT count(*) FROM jsonb_each(new)) FROM stratos.changes WHERE height = %d AND new = new::text::jsonb", from)), "100000 0 149 152")
}

func TestNotifications(t *testing.T) {
	o := open(t, engine.Options{})
	o.must(t, "NOTIFY first") // makes the catalog
	o.must(t, "NOTIFY a, 'x'", "SELECT pg_notify('a', 'x'), pg_notify('b', NULL)", "NOTIFY a, 'x'", "NOTIFY a")
	o.block(t, 0, []string{"NOTIFY lost", "SELECT 1/0"}, []string{"NOTIFY kept"}, []string{"NOTIFY kept"})
	same(t, o.rows(t, "SELECT height, place, channel, payload FROM stratos.notifications ORDER BY position"), "1 1 first ", "2 1 a x", "2 2 b ", "2 3 a ", "3 1 kept ", "3 2 kept ")
	o.must(t, "CREATE TABLE t (id serial PRIMARY KEY, v text)", "INSERT INTO t (v) SELECT pg_notify('row', n::text)::text FROM generate_series(1, 2) n")
	same(t, o.rows(t, "SELECT channel, payload FROM stratos.notifications WHERE height = 4 ORDER BY position"), "row 1", "row 2")
	o.must(t, "CREATE TABLE d (id int PRIMARY KEY, v text DEFAULT pg_notify('d', 'by default')::text)", "INSERT INTO d VALUES (1)")
	same(t, o.rows(t, "SELECT channel, payload FROM stratos.notifications WHERE height = 5"), "d by default")
	if a := answerOf(o.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: "SELECT pg_notify('a', 'b')"}}, GasLimit: o.gas})); a.code != "25006" {
		t.Error(a)
	}
	for _, sql := range []string{"LISTEN a", "UNLISTEN *"} {
		if a := answerOf(o.exec(t, sql)); a.code != "0A000" {
			t.Errorf("%s: %s", sql, a)
		}
	}
}

// A role follows what its owner shows it, and notifies.
func TestFeedRoles(t *testing.T) {
	o := open(t, engine.Options{})
	o.must(t, "CREATE TABLE t (id int PRIMARY KEY, secret text)", "CREATE TABLE bare (id int)", "CREATE ROLE r", "GRANT INSERT, SELECT ON t TO r", "GRANT INSERT, UPDATE, SELECT ON bare TO r", "CREATE PUBLICATION p FOR ALL TABLES",
		"CREATE VIEW told AS SELECT position, new->'id' AS id FROM stratos.changes WHERE tablename = 't'", "GRANT SELECT ON told TO r")
	for _, c := range []struct{ sql, code string }{{"INSERT INTO t VALUES (1, 's')", ""}, {"SELECT id FROM told", ""}, {"SELECT * FROM stratos.changes", "42501"}, {"SELECT (SELECT max(position) FROM stratos.changes)", "42501"},
		{"NOTIFY a", ""}, {"SELECT channel FROM stratos.notifications", ""}, {"CREATE PUBLICATION q", "42501"}, {"DROP PUBLICATION p", "42501"}, {"DELETE FROM bare", "42501"}, {"UPDATE bare SET id = 1", "55000"}} {
		if a := answerOf(o.runAs(t, grant.Role{Name: "r"}, &wirepb.Statement{Sql: c.sql})); a.code != c.code {
			t.Errorf("%s: %s", c.sql, a)
		}
	}
	same(t, o.rows(t, "SELECT id FROM told"), "1")
}

// TestFeedKeeps shows what is removed: what is an hour old, and the oldest of what is too much, a block at a time.
func TestFeedKeeps(t *testing.T) {
	o := open(t, engine.Options{})
	o.must(t, "CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE PUBLICATION p FOR TABLE t")
	kept := func() string {
		return o.rows(t, "SELECT count(*), coalesce(min(height), 0), coalesce(max(height), 0) FROM stratos.changes")[0] + " " + o.rows(t, "SELECT lost >> 24, lost & 16777215 FROM stratos.feeds WHERE name = 'changes'")[0]
	}
	const minute = 60_000
	for i := range 3 {
		o.block(t, int64(i)*20*minute, []string{fmt.Sprintf("INSERT INTO t VALUES (%d), (%d)", 2*i, 2*i+1), "NOTIFY c"})
	}
	if got := kept(); got != "6 2 4 0 0" {
		t.Error(got)
	}
	o.block(t, 60*minute, []string{"SELECT 1"})
	if got := kept(); got != "6 2 4 0 0" {
		t.Error(got)
	}
	o.block(t, 60*minute+1, []string{"SELECT 1"})
	if got := kept(); got != "4 3 4 2 16777215" {
		t.Error(got)
	}
	same(t, o.rows(t, "SELECT height FROM stratos.notifications ORDER BY 1"), "3", "4")
	o.block(t, 200*minute, []string{"INSERT INTO t VALUES (100)"})
	if got := kept(); got != "1 7 7 4 16777215" {
		t.Error(got)
	}
	// 20 MiB a block: three have room.
	o.gas = 1 << 30
	for i := range 5 {
		for n := range 5 {
			if out := o.block(t, 200*minute, []string{fmt.Sprintf("INSERT INTO t VALUES (%d, repeat('x', 4000000))", 1000+10*i+n)})[0]; out.Code != "" {
				t.Fatalf("%s %s", out.Code, out.Text)
			}
		}
	}
	same(t, o.rows(t, "SELECT bytes <= 67108864, bytes > 60000000 FROM stratos.feeds WHERE name = 'changes'"), "t t")
	if got := kept(); !strings.HasPrefix(got, "16 17 32 16 ") {
		t.Error(got)
	}
}

// TestOracleChanges runs random statements on both, where triggers write down there what happens to each row.
func TestOracleChanges(t *testing.T) {
	o := startOracle(t)
	seed := *oracleSeed
	t.Logf("seed %d: go test -run TestOracleChanges -oracle.seed=%d", seed, seed)
	random := rand.New(rand.NewPCG(seed, 3))
	var us *ours
	var g *generator
	done, compared, changes := 0, 0, 0
	for done < *oracleCount && !t.Failed() {
		if g == nil || len(g.tables) > 5 {
			us, g = open(t, engine.Options{}), &generator{r: random}
			for _, sql := range []string{"DROP PUBLICATION IF EXISTS p", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "DROP SCHEMA IF EXISTS log CASCADE", "CREATE SCHEMA log", "CREATE TABLE log.change (id serial, kind text, name text, new jsonb)",
				`CREATE FUNCTION log.write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log.change (kind, name, new) VALUES (lower(TG_OP), TG_TABLE_NAME, CASE TG_OP WHEN 'DELETE' THEN NULL ELSE to_jsonb(NEW) END); RETURN NULL; END $$`,
				"CREATE PUBLICATION p"} {
				if a := o.ask(t, sql); a.code != "" {
					t.Fatalf("%s: %s", sql, a)
				}
			}
			us.must(t, "CREATE PUBLICATION p")
		}
		list := g.next()
		for i, sql := range list {
			done++
			b, a := o.ask(t, sql), answerOf(us.exec(t, sql))
			if !agree(a, b, false) {
				g = nil // which is TestOracle's
				break
			}
			if name := strings.Fields(sql); b.code == "" && len(name) > 2 && strings.HasPrefix(sql, "CREATE TABLE ") && !strings.Contains(sql, " AS ") {
				o.ask(t, "CREATE TRIGGER w AFTER INSERT OR UPDATE OR DELETE ON "+name[2]+" FOR EACH ROW EXECUTE FUNCTION log.write()")
				add := "ALTER PUBLICATION p ADD TABLE " + name[2]
				if a, b := answerOf(us.exec(t, add)), o.ask(t, add); a.code != b.code {
					t.Fatalf("%s: %s, there %s", add, a, b)
				}
				o.ask(t, "TRUNCATE log.change")
				continue
			}
			theirs := o.ask(t, "SELECT kind, name, new FROM log.change").sorted()
			o.ask(t, "DELETE FROM log.change")
			mine := answerOf(us.query(t, &engine.Program{GasLimit: us.gas, Statements: []*wirepb.Statement{{Sql: fmt.Sprintf("SELECT kind, tablename, new FROM stratos.changes WHERE height = %d AND kind <> 'truncate'", us.height)}}})).sorted()
			compared, changes = compared+1, changes+len(mine)
			if !slices.Equal(mine, theirs) {
				t.Errorf("%s (%d of %d)\n  ours:   %.2000s\n  theirs: %.2000s", sql, i, len(list), mine, theirs)
			}
		}
	}
	t.Logf("%d statements, of which %d were compared, with %d changes", done, compared, changes)
	if changes < 100 {
		t.Errorf("%d changes are too few to tell", changes)
	}
}
