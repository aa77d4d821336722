package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// A backup holds what was acknowledged, proves it, and makes another database that holds the same; in a file and in an object, in either
// dialect. What is damaged is refused, as is who has no right.
func TestDatabaseBackup(t *testing.T) {
	dir := t.TempDir()
	mustCLI(t, "mb", "sim-backups")
	fill := map[string]string{
		"postgres": `CREATE SCHEMA side; CREATE SEQUENCE side.steps INCREMENT BY 3;
			CREATE TABLE people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, boss int REFERENCES people ON DELETE SET NULL, CHECK (length(name) > 0));
			CREATE TABLE types (id serial PRIMARY KEY, who int REFERENCES people, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric(20, 4), v varchar(9), by bytea, u uuid, d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, jb jsonb, a text[]);
			INSERT INTO people(name, boss) SELECT 'person ' || i, CASE WHEN i > 1 THEN i / 2 END FROM generate_series(1, 3000) AS i;
			UPDATE people SET boss = 2999 WHERE id = 7;
			INSERT INTO types(who, b, i2, i8, f4, f8, n, v, by, u, d, ti, tz, ts, tstz, iv, jb, a) SELECT i, i % 2 = 0, i, i::bigint * 1000000007, 3.4028235e38, i / 7.0, i / 3.0, E'a\tb\\', '\x00ff'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', date '2024-01-01' + i, '23:59:59.5', '01:02:03-03:30', '2024-02-29', '2024-02-29 12:00+02', '1 mon -2 days', '{"a": [1, null]}', ARRAY['x', NULL, 'a,b'] FROM generate_series(1, 3000) AS i;
			INSERT INTO types DEFAULT VALUES;
			CREATE INDEX by_name ON people (lower(name)) WHERE boss IS NOT NULL;
			CREATE VIEW side.bosses AS SELECT p.name, count(*) AS n FROM people p JOIN people q ON q.boss = p.id GROUP BY p.name;
			COMMENT ON TABLE people IS 'who is who'; SELECT nextval('side.steps')`,
		"sqlite": `CREATE TABLE people(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, boss INT REFERENCES people);
			CREATE TABLE types(v, w REAL, b BLOB);
			INSERT INTO people(name, boss) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) SELECT 'person ' || i, CASE WHEN i > 1 THEN i / 2 END FROM n;
			UPDATE people SET boss = 2999 WHERE id = 7; DELETE FROM people WHERE id = 6000;
			INSERT INTO types VALUES(1, 1e300, x'00ff'), (NULL, 9e999, 'text'), ('it''s', -0.5, '');
			CREATE INDEX i ON people(boss); CREATE VIEW bosses AS SELECT name FROM people WHERE id IN (SELECT boss FROM people)`,
	}
	insert := "INSERT INTO people(name) VALUES ('%s') RETURNING id"
	for _, dialect := range []string{"postgres", "sqlite"} {
		t.Run(dialect, func(t *testing.T) {
			name, file := "sim-backup-"+dialect, filepath.Join(dir, dialect+".stdk")
			refused := func(kind mesh.Kind, want string, args ...string) {
				t.Helper()
				if _, errs, code := runCLI(t, args...); code != kind.ExitCode() || !strings.Contains(errs, want) {
					t.Errorf("%v: exit code %d: %s", args, code, errs)
				}
			}
			sql := filepath.Join(dir, dialect+".sql")
			if err := os.WriteFile(sql, []byte(fill[dialect]), 0o600); err != nil {
				t.Fatal(err)
			}
			mustCLI(t, "db", "create", name, "--dialect", dialect)
			mustCLI(t, "db", "sql", name, "--file", sql)
			began := time.Now()
			refused(mesh.Invalid, "no such file or directory", "db", "backup", name, filepath.Join(dir, "nowhere", "x"))
			refused(mesh.Invalid, "is a directory", "db", "backup", name, dir)
			refused(mesh.NotFound, "sim-no-bucket", "db", "backup", name, "stratos://sim-no-bucket/x")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("what cannot be written to was found after %v", took)
			}
			kept := filepath.Join(dir, dialect+".kept")
			if err := errors.Join(os.WriteFile(kept, nil, 0o640), os.Symlink(kept, file)); err != nil {
				t.Fatal(err)
			}
			if out := mustCLI(t, "db", "backup", name, file); !strings.Contains(out, "backed up "+name) {
				t.Errorf("backup: %s", out)
			}
			if info, err := os.Lstat(kept); err != nil || info.Size() == 0 || info.Mode() != 0o640 {
				t.Errorf("the link led to a file that is now %v: %v", info, err)
			}
			var v struct {
				Name, Dialect   string
				Rows            int
				Signed, Members int
				Online          bool
			}
			if err := json.Unmarshal([]byte(mustCLI(t, "db", "verify", file, "--online", "--json")), &v); err != nil || v.Name != name || v.Dialect != dialect || v.Rows < 6001 || v.Signed < 3 || v.Members != 4 || !v.Online {
				t.Errorf("verify: %+v, %v", v, err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{20, len(b) / 3, len(b) - 1} {
				b[at] ^= 1
				bad := filepath.Join(dir, "bad.stdk")
				if err := os.WriteFile(bad, b, 0o600); err != nil {
					t.Fatal(err)
				}
				b[at] ^= 1
				refused(mesh.Corrupt, "", "db", "verify", bad)
				refused(mesh.Corrupt, "", "db", "restore", name+"-bad", bad)
			}
			refused(mesh.NotFound, "", "db", "stats", name+"-bad") // nothing was made
			refused(mesh.Conflict, "not empty", "db", "restore", name, file)

			if out := mustCLI(t, "db", "restore", name+"-2", file); !strings.Contains(out, "which holds what the backup does") {
				t.Errorf("restore: %s", out)
			}
			mustCLI(t, "db", "sql", name, fmt.Sprintf(insert, "later"))
			object := "stratos://sim-backups/" + dialect + "/later"
			mustCLI(t, "db", "backup", name, object)
			if out := mustCLI(t, "db", "verify", object); !strings.Contains(out, "It is whole") {
				t.Errorf("verify of an object: %s", out)
			}
			mustCLI(t, "db", "restore", name+"-3", object)
			for _, q := range []string{"SELECT count(*), max(id) FROM people", fmt.Sprintf(insert, "last")} {
				third := mustCLI(t, "db", "sql", name+"-3", q, "--json")
				if first := mustCLI(t, "db", "sql", name, q, "--json"); rowsOf(t, first) != rowsOf(t, third) {
					t.Errorf("%s: %s, and was %s", q, third, first)
				}
			}
			script := mustCLI(t, "db", "backup", name+"-2", "-", "--sql")
			for _, want := range map[string][]string{"postgres": {"COPY public.people (id, name, boss) FROM stdin;\n", "\n3000\tperson 3000\t1500\n\\.\n", "CREATE VIEW side.bosses"},
				"sqlite": {"BEGIN TRANSACTION;\n", `INSERT INTO "types"("v","w","b") VALUES('it''s',-0.5,'');`, "INSERT INTO sqlite_sequence VALUES('people',6000);", "CREATE INDEX i ON people(boss);\n"}}[dialect] {
				if !strings.Contains(script, want) {
					t.Errorf("the script lacks %q", want)
				}
			}
			for _, n := range []string{name, name + "-2", name + "-3"} {
				mustCLI(t, "db", "drop", n, "--yes")
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".stratos-backup-*")); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	if _, errs, code := runCLI(t, "db", "verify", filepath.Join(dir, "postgres.sql")); code != mesh.Invalid.ExitCode() || !strings.Contains(errs, "no backup") {
		t.Errorf("a text: exit code %d: %s", code, errs)
	}
}

// rowsOf are the rows of a command's JSON.
func rowsOf(t *testing.T, text string) string {
	t.Helper()
	var v struct{ Results []struct{ Rows any } }
	if err := json.Unmarshal([]byte(text), &v); err != nil || len(v.Results) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := json.Marshal(v.Results[0].Rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
