package sim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

// What the command line does with databases besides single statements: in either dialect a shell, files in and out, and PostgreSQL's
// protocol on this machine.
func TestDatabaseCommands(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	dir := t.TempDir()
	csv := filepath.Join(dir, "items.csv")
	var text strings.Builder
	text.WriteString("id,name,price,made\n")
	for i := 1; i <= 5000; i++ {
		fmt.Fprintf(&text, "%d,\"item, number %d\",%d.50,2024-02-%02d\n", i, i, i%100, 1+i%28)
	}
	text.WriteString("5001,\"\",,\n")
	if err := os.WriteFile(csv, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dialect := range []string{"postgres", "sqlite"} {
		t.Run(dialect, func(t *testing.T) {
			name := "sim-cli-" + dialect
			if made := mustCLI(t, "db", "create", name, "--dialect", dialect); !strings.Contains(made, map[string]string{"postgres": "id serial PRIMARY", "sqlite": "id INTEGER PRIMARY"}[dialect]) {
				t.Errorf("create: %s", made)
			}
			refused := func(kind mesh.Kind, want string, args ...string) {
				t.Helper()
				if _, errs, code := runCLI(t, args...); code != kind.ExitCode() || !strings.Contains(errs, want) {
					t.Errorf("%v: exit code %d: %s", args, code, errs)
				}
			}
			if out := mustCLI(t, "db", "import", name, "items", csv, "--create"); !strings.Contains(out, "imported 5001 rows") {
				t.Errorf("import: %s", out)
			}
			mustCLI(t, "db", "sql", name, "CREATE TABLE upserted(id "+map[string]string{"postgres": "int", "sqlite": "INTEGER"}[dialect]+" PRIMARY KEY, name text, price "+map[string]string{"postgres": "numeric", "sqlite": "REAL"}[dialect]+")")
			upsert := func(rows string) []string {
				path := filepath.Join(dir, dialect+".txt")
				if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
					t.Fatal(err)
				}
				return []string{"db", "import", name, "upserted", path, "--upsert", "--format", "text", "--columns", "id,name,price"}
			}
			for _, rows := range []string{"1\ta\\tb\t1.5\n2\t\\N\t2\n2\tx\t3\n", "1\ta\\tb\t1.5\n", "3\t\t\\N\n1\tc\\\\d\t7\n"} {
				mustCLI(t, upsert(rows)...)
			}
			if got := mustCLI(t, "db", "export", name, "--query", "SELECT * FROM upserted ORDER BY id", "--format", "text"); got != "1\tc\\\\d\t7\n2\tx\t3\n3\t\t\\N\n" {
				t.Errorf("after three imports: %q", got)
			}
			refused(mesh.Invalid, "row 2, line 2: ", upsert("4\ta\t1\nx\tb\t2\n")...)
			refused(mesh.Invalid, "has no primary key", "db", "import", name, "items", csv, "--upsert")
			out := filepath.Join(dir, dialect+".csv")
			mustCLI(t, "db", "export", name, "--query", "SELECT * FROM items ORDER BY id", "-o", out)
			if b, err := os.ReadFile(out); err != nil || dialect == "postgres" && string(b) != text.String() || strings.Count(string(b), "\n") != 5002 {
				t.Errorf("export: %d bytes, %v: %.200s", len(b), err, b)
			}
			lines := mustCLI(t, "db", "export", name, "--query", "SELECT id, name, price FROM items WHERE id IN (1, 5001) ORDER BY id", "--format", "json")
			var rows []map[string]any
			if err := json.Unmarshal([]byte(lines), &rows); err != nil || len(rows) != 2 || rows[0]["price"] != 1.5 || rows[1]["price"] != nil || rows[1]["name"] != "" {
				t.Errorf("export as JSON: %v: %s", err, lines)
			}
			objects := filepath.Join(dir, dialect+".jsonl")
			if err := os.WriteFile(objects, []byte(`{"id":6001,"name":"a\tb\\c"}`+"\n"+`{"name":null,"id":6002}`+"\n"+`{"id":"x"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(mesh.Invalid, "", "db", "import", name, "items", objects, "--columns", "id,name") // x is no number: the batch is refused whole
			if err := os.WriteFile(objects, []byte(`{"id":6001,"name":"a\tb\\c"}`+"\n"+`{"name":null,"id":6002}`), 0o600); err != nil {
				t.Fatal(err)
			}
			mustCLI(t, "db", "import", name, "items", objects, "--skip", "1")
			mustCLI(t, "db", "import", name, "items", objects)
			if got := mustCLI(t, "db", "export", name, "--query", "SELECT id, name FROM items WHERE id > 6000 ORDER BY id, name"); got != "id,name\n6001,a\tb\\c\n6002,\n6002,\n" {
				t.Errorf("imported JSON: %q", got)
			}
			id := strings.Repeat("5a", 16)
			for range 2 { // it is run once
				mustCLI(t, "db", "sql", name, "CREATE TABLE once(a int)", "--id", id)
			}
			refused(mesh.Conflict, "another program was applied under this id", "db", "sql", name, "DROP TABLE once", "--id", id)
			if got := mustCLI(t, "db", "export", name, "once"); got != "a\n" {
				t.Errorf("the table: %q", got)
			}
			largeTable(t, name, dialect)
			refused(mesh.Invalid, "nothing was done", "db", "export", name, "--query", "DELETE FROM items RETURNING id")
			refused(mesh.Invalid, "nothing was done", "db", "export", name, "--query", "DELETE FROM items RETURNING id", "--level", "ordered")
			array := filepath.Join(dir, dialect+".json")
			if err := os.WriteFile(array, []byte("[{\"id\": 1},\n{\"id\": 2}]"), 0o600); err != nil {
				t.Fatal(err)
			}
			mustCLI(t, "db", "import", name, "made", array, "--create")
			if got := mustCLI(t, "db", "export", name, "--query", "SELECT id FROM made ORDER BY id"); got != "id\n1\n2\n" {
				t.Errorf("a table made of an array: %q", got)
			}
			wrong := filepath.Join(dir, dialect+"-wrong.csv")
			if err := os.WriteFile(wrong, []byte("n\n"+strings.Repeat("1\n", 1100)+"x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first leaves nothing behind
				refused(mesh.Invalid, map[string]string{"postgres": "row 1101, line 1102: invalid input syntax", "sqlite": "rows 1 to 1101, lines 2 to 1102"}[dialect], "db", "import", name, "unmade", wrong, "--create")
			}
			writesTo(t, "name\n\"item, number 1\"\n", "db", "export", name, "--query", "SELECT name FROM items WHERE id = 1", "-o")
			refused(mesh.NotFound, "no such file", "db", "import", name, "items", filepath.Join(dir, "nothing"))
			refused(mesh.Invalid, "has fewer than 9 rows", "db", "import", name, "items", objects, "--skip", "9")
			for want, args := range map[string][]string{"either a table or --query": {"db", "export", name}, "--format": {"db", "export", name, "items", "--format", "xml"}, "no level": {"db", "sql", name, "SELECT 1", "--level", "foo"},
				`{"error":`: {"db", "sql", name, "--bad", "--json"}} {
				if _, errs, code := runCLI(t, args...); code != 2 || !strings.Contains(errs, want) {
					t.Errorf("%v: exit code %d: %s", args, code, errs)
				}
			}
			refused(mesh.Invalid, "is a folder", "db", "verify", dir)
			keys := []string{"keys", "create", name + "-role", "--database", name, "--role", "nobody-yet"}
			if dialect == "sqlite" {
				refused(mesh.Invalid, "has no roles", keys...)
			} else {
				if _, errs, code := runCLI(t, keys...); code != 0 || !strings.Contains(errs, "has no role nobody-yet yet") {
					t.Errorf("a key for a role: exit code %d: %s", code, errs)
				}
				if _, errs, code := runCLI(t, "db", "grant", name+"-no", name+"-none"); code != 0 || !strings.Contains(errs, "there is no database "+name+"-no yet") {
					t.Errorf("a key for no database: exit code %d: %s", code, errs)
				}
				refused(mesh.Invalid, "listening at", "db", "proxy", name, "--listen", "127.0.0.1:99999")
			}

			shell := stratos(t.Context(), "db", "shell", name)
			shell.Stdin = strings.NewReader("CREATE TABLE s(a int, b text);\nINSERT INTO s VALUES (1, 'x;y'),\n(2, NULL);\n\\d s\n\\dt s\n\\x\nSELECT * FROM s WHERE a = 1;\n\\d nothing\n")
			b, err := shell.CombinedOutput()
			for _, want := range []string{"Column", " b ", "table", "b | x;y"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("the shell does not say %q", want)
				}
			}
			if err == nil || !strings.Contains(string(b), "nothing") {
				t.Errorf("the shell: %v: %s", err, b)
			}
			if dialect == "postgres" {
				sqlShellTransaction(t, name)
				sqlProxy(t, name)
			} else {
				refused(mesh.Invalid, "dialect sqlite", "db", "proxy", name)
			}
			mustCLI(t, "db", "drop", name, "--yes")
		})
	}
}

// largeTable exports tables with more rows than a result may have: with a key, without one, and with one of several columns.
func largeTable(t *testing.T, name, dialect string) {
	t.Helper()
	const rows = 101_000
	series := fmt.Sprintf("SELECT i FROM generate_series(1, %d) AS i", rows)
	if dialect == "sqlite" {
		series = fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n", rows)
	}
	mustCLI(t, "db", "sql", name, "CREATE TABLE large(i int)")
	mustCLI(t, "db", "sql", name, "INSERT INTO large "+series)
	without := map[string]string{"sqlite": " WITHOUT ROWID"}[dialect]
	mustCLI(t, "db", "sql", name, "CREATE TABLE keyed(a int, b int, PRIMARY KEY(b, a))"+without)
	mustCLI(t, "db", "sql", name, "INSERT INTO keyed SELECT i, i / 70000 FROM large")
	var one, two strings.Builder
	one.WriteString("i\n")
	two.WriteString("a,b\n")
	for i := 1; i <= rows; i++ {
		fmt.Fprintln(&one, i)
		fmt.Fprintf(&two, "%d,%d\n", i, i/70000)
	}
	for table, want := range map[string]string{"large": one.String(), "keyed": two.String()} {
		if got := mustCLI(t, "db", "export", name, table); got != want {
			t.Errorf("table %s: %d bytes, want %d", table, len(got), len(want))
		}
	}
}

func sqlShellTransaction(t *testing.T, name string) {
	shell := stratos(t.Context(), "db", "shell", name, "--level", "fast")
	shell.Stdin = strings.NewReader("BEGIN;INSERT INTO s VALUES (3, 'no');ROLLBACK;BEGIN;INSERT INTO s VALUES (4, 'yes');SAVEPOINT p;DELETE FROM s;ROLLBACK TO p;COMMIT;\nCOPY (SELECT a FROM s ORDER BY a) TO STDOUT;")
	if b, err := shell.Output(); err != nil || !strings.HasSuffix(string(b), "COMMIT\n1\n2\n4\nCOPY 3\n") {
		t.Errorf("transactions: %v: %s", err, b)
	}
}

func sqlProxy(t *testing.T, name string) {
	proxy := stratos(t.Context(), "db", "proxy", name)
	out, err := proxy.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, strings.TrimSpace(url))
	var n int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM s WHERE a < $1", 3).Scan(&n); err != nil || n != 2 {
		t.Errorf("through the proxy: %d, %v", n, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := proxy.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Wait(); err != nil {
		t.Errorf("the proxy ended: %v", err)
	}
}
