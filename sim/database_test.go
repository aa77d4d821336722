package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node"
	nodedatabase "github.com/stratosmesh/stratos/node/database"
)

// A database from its creation to its end: SQL from the command line and from Go, who may do what, a replica that is killed, a node
// that is, and one whose disk rots meanwhile.
func TestDatabase(t *testing.T) {
	const name = "sim-shop"
	refused := func(code mesh.Kind, say string, args ...string) {
		t.Helper()
		if out, errOut, got := runCLI(t, args...); got != code.ExitCode() || !strings.Contains(errOut, say) {
			t.Errorf("stratos %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code.ExitCode(), say, out, errOut)
		}
	}
	refused(mesh.Invalid, "mysql", "db", "create", name, "--dialect", "mysql")
	refused(mesh.Invalid, "faults", "db", "create", name, "--faults", "5")
	refused(mesh.Invalid, "small letters", "db", "create", "Shop")
	refused(mesh.Exhausted, "8 operators have a node that can take it, 13 are needed", "db", "create", name, "--faults", "4")
	refused(mesh.NotFound, "stratos db create "+name, "db", "sql", name, "SELECT 1")
	early := strings.TrimSpace(mustCLI(t, "keys", "create", "db-early")) // revoked before there is a cell
	mustCLI(t, "keys", "revoke", "db-early")
	mustCLI(t, "db", "create", name, "--dialect", "sqlite")
	refused(mesh.Conflict, "exists already", "db", "create", name)
	if out := mustCLI(t, "db", "list"); !strings.Contains(out, name+"  ") {
		t.Errorf("db list shows\n%s", out)
	}
	sql := func(args ...string) string {
		t.Helper()
		return mustCLI(t, append([]string{"db", "sql", name}, args...)...)
	}
	if out := sql("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t(name) VALUES('ink'),('pen')"); out != "done\n\n2 rows changed\n" {
		t.Errorf("a program: %q", out)
	}
	for _, level := range []string{"fast", "default", "ordered"} {
		want := " id | name\n----+------\n  1 | ink\n  2 | pen\n(2 rows)\n"
		if out := sql("SELECT * FROM t ORDER BY id", "--level", level); out != want {
			t.Errorf("%s:\n%s", level, out)
		}
	}
	if out := sql("SELECT id FROM t WHERE name = ?1", "--param", "pen"); !strings.Contains(out, "  2\n(1 row)") {
		t.Errorf("with a parameter:\n%s", out)
	}
	piped := stratos(t.Context(), "db", "sql", name)
	piped.Stdin = strings.NewReader("INSERT INTO t(name) VALUES('cup'); -- a comment;\nSELECT count(*) AS n FROM t;")
	if out, errOut, code := runCommand(t, piped); code != 0 || !strings.Contains(out, "1 row changed\n\n n\n---\n 3\n(1 row)") {
		t.Errorf("on standard input: exit %d\n%s%s", code, out, errOut)
	}
	refused(mesh.Conflict, "statement 3, INSERT INTO t VALUES(1, 'x'): UNIQUE constraint failed", "db", "sql", name, "DELETE FROM t; INSERT INTO t VALUES(1, 'x'); INSERT INTO t VALUES(1, 'x')")
	refused(mesh.Invalid, "SQLSTATE 42P01", "db", "sql", name, "SELECT * FROM nowhere")
	refused(mesh.Invalid, "SQLSTATE 0A000", "db", "sql", name, "ATTACH 'x' AS x")
	refused(mesh.Exhausted, "SQLSTATE 53400", "db", "sql", name, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n", "--level", "ordered")
	if out := sql("SELECT count(*) FROM t"); !strings.Contains(out, " 3\n") {
		t.Errorf("a program that failed did something:\n%s", out)
	}
	t.Run("Go", func(t *testing.T) { databaseFromGo(t, name) })
	t.Run("rights", func(t *testing.T) { databaseRights(t, name, early) })
	t.Run("faults", func(t *testing.T) { databaseFaults(t, name) })
	refused(mesh.Invalid, "--yes", "db", "drop", name)
	mustCLI(t, "db", "drop", name, "--yes")
	refused(mesh.NotFound, "no database", "db", "sql", name, "SELECT 1")
	mustCLI(t, "db", "create", name, "--dialect", "sqlite")
	refused(mesh.Invalid, "no such table", "db", "sql", name, "SELECT * FROM t")
	mustCLI(t, "db", "drop", name, "--yes")
}

func openDatabase(t *testing.T, c *client.Client, name string) *database.DB {
	t.Helper()
	db, err := c.OpenDatabase(t.Context(), name, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// databaseFromGo uses a database from other sessions than the one that made it.
func databaseFromGo(t *testing.T, name string) {
	ctx := t.Context()
	db, other := openDatabase(t, shared.client(t, "alice", 1, client.Options{}), name), openDatabase(t, shared.client(t, "alice", 2, client.Options{}), name)
	all := []any{nil, int64(math.MinInt64), int64(math.MaxInt64), math.Inf(1), -0.5, "", "Zeile\n☃", []byte{}, []byte{0, 255}}
	p := database.Program{ID: database.ID{7}, Statements: []database.Statement{database.SQL("CREATE TABLE v(a,b,c,d,e,f,g,h,i)"), database.SQL("INSERT INTO v VALUES(?,?,?,?,?,?,?,?,?)", all...)}}
	first, err := db.Exec(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := db.Exec(ctx, p)
	if err != nil || again.Height != first.Height || !reflect.DeepEqual(again, first) {
		t.Errorf("the same id again: %+v, %v; first %+v", again, err, first)
	}
	for _, l := range []database.Level{database.Default, database.Fast, database.Ordered} {
		for who, db := range map[string]*database.DB{"the writer": db, "another session": other} {
			o, err := db.Query(ctx, l, database.SQL("SELECT * FROM v"), database.SQL("SELECT count(*) FROM v WHERE b < ?", int64(0)))
			if err != nil || len(o.Results) != 2 || len(o.Results[0].Rows) != 1 || !reflect.DeepEqual(o.Results[0].Rows[0], all) || o.Results[1].Rows[0][0] != int64(1) {
				t.Errorf("%s at level %d: %+v, %v", who, l, o, err)
			}
		}
	}
	var failed *database.Error
	if _, err := db.Query(ctx, database.Default, database.SQL("DELETE FROM v")); !errors.As(err, &failed) || failed.Code != "25006" {
		t.Errorf("a question that writes: %v", err)
	}
	// What does not fit a message of the cell's log.
	large := database.Program{ID: database.ID{8}}
	for i := range 4000 {
		large.Statements = append(large.Statements, database.SQL("INSERT INTO v(a,b) VALUES(?,?)", int64(i), strings.Repeat(strconv.Itoa(i), 400)))
	}
	if first, err = db.Exec(ctx, large); err != nil || len(first.Results) != 4000 {
		t.Errorf("a large program: %v", err)
	}
	if again, err := db.Exec(ctx, large); err != nil || again.Height != first.Height {
		t.Errorf("the same id again: %+v, %v", again, err)
	}
	if o, err := other.Query(ctx, database.Default, database.SQL("SELECT count(*), sum(length(b)) FROM v WHERE a >= 0")); err != nil || o.Results[0].Rows[0][0] != int64(4000) {
		t.Errorf("after a large program: %v, %v", o, err)
	}
	if len(db.Evidence())+len(other.Evidence()) > 0 {
		t.Errorf("lies: %v %v", db.Evidence(), other.Evidence())
	}
	// Another account, which knows where the replicas are. It asks no authority: what it pays for is another test's.
	if err := writePast(t, shared.client(t, "bob", 0, client.Options{}).Access(), name); mesh.KindOf(err) != mesh.Denied || err == nil {
		t.Errorf("a stranger: %v", err)
	}
}

// databaseRights uses a database under keys that may not do everything, and one that is revoked.
func databaseRights(t *testing.T, name, early string) {
	key := func(args ...string) string {
		return strings.TrimSpace(mustCLI(t, append([]string{"keys", "create"}, args...)...))
	}
	under := func(grant string, args ...string) (string, int) {
		out, errOut, code := runCLI(t, append(args, "--grant", grant)...)
		return out + errOut, code
	}
	const count, insert = "SELECT count(*) FROM t", "INSERT INTO t(name) VALUES('by key')"
	denied := mesh.Denied.ExitCode()
	for _, c := range []struct {
		why   string
		grant string
		args  []string
		code  int
	}{
		{"a reader reads", key("db-reader", "--read-only"), []string{"db", "sql", name, count}, 0},
		{"a reader writes", key("db-reader-2", "--read-only"), []string{"db", "sql", name, insert}, denied},
		{"a writer writes", key("db-writer"), []string{"db", "sql", name, insert}, 0},
		{"a writer creates", key("db-writer-2"), []string{"db", "create", "sim-by-key"}, denied},
		{"a key for the database writes", key("db-own", "--database", name), []string{"db", "sql", name, insert}, 0},
		{"a key for the database reads files", key("db-own-2", "--database", name), []string{"ls", "stratos://anything"}, denied},
		{"a key for another database reads", key("db-other", "--database", name+"s"), []string{"db", "sql", name, count}, mesh.NotFound.ExitCode()},
		{"a writer drops", key("db-writer-3"), []string{"db", "drop", name, "--yes"}, denied},
	} {
		if out, code := under(c.grant, c.args...); code != c.code {
			t.Errorf("%s: exit %d, want %d\n%s", c.why, code, c.code, out)
		}
	}
	grant := key("db-revoked")
	if out, code := under(grant, "db", "sql", name, insert); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if _, said, code := runCLI(t, "keys", "revoke", "db-revoked"); code != 0 || strings.Contains(said, "note: ") {
		t.Errorf("revoke: exit %d\n%s", code, said)
	}
	for _, s := range []string{count, insert} {
		if out, code := under(grant, "db", "sql", name, s); code != denied {
			t.Errorf("%s under a revoked key: exit %d\n%s", s, code, out)
		}
	}
	// Nor for whoever knows already where the replicas are: the cell itself was told.
	for why, text := range map[string]string{"now": grant, "before there was a cell": early} {
		a, err := client.ParseAccess(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := writePast(t, a, name); mesh.KindOf(err) != mesh.Denied || err == nil {
			t.Errorf("past the meta layer, a key that was revoked %s: %v", why, err)
		}
	}
}

// writePast writes under an access without asking the meta layer: another's client has found the cell.
func writePast(t *testing.T, a *client.Access, name string) error {
	t.Helper()
	owner := openDatabase(t, shared.client(t, "alice", 0, client.Options{}), name)
	db, err := shared.clientOf(t, a, 0, client.Options{}).DatabaseAt(owner.ID(), name, owner.Cell(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(t.Context(), database.Program{Statements: []database.Statement{database.SQL("INSERT INTO t(name) VALUES('past it')")}})
	return err
}

// hosts returns the replicas of the network's nodes by the node's name; each of these tests has one cell.
func hosts(t *testing.T) map[string]nodedatabase.Status {
	t.Helper()
	all := map[string]nodedatabase.Status{}
	homes, err := filepath.Glob(filepath.Join(shared.dir, "node-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range homes {
		c, err := node.ReadConfig(h)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get("http://" + c.Status + "/status")
		if err != nil {
			continue // it is down
		}
		var s node.Status
		err = json.NewDecoder(resp.Body).Decode(&s)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if len(s.Replicas) > 0 {
			all[filepath.Base(h)] = s.Replicas[0]
		}
	}
	return all
}

// agreed waits until all replicas are at one height of the database, and say the same.
func agreed(t *testing.T, db *database.DB) {
	t.Helper()
	until(t, "replicas that agree", func() (bool, error) {
		all := db.Stats(t.Context())
		for _, s := range all {
			if s.Err != nil || !s.Known || s.DatabaseHeight != all[0].DatabaseHeight {
				return false, fmt.Errorf("%+v", all)
			}
		}
		return database.Agree(all), fmt.Errorf("%+v", all)
	})
}

// signalReplica sends a signal to a replica that runs: to process 0 would be to this one and all that it started.
func signalReplica(t *testing.T, s nodedatabase.Status, sig syscall.Signal) {
	t.Helper()
	if s.PID <= 0 {
		t.Fatalf("the replica does not run: %+v", s)
	}
	if err := syscall.Kill(s.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) { // one that is damaged may have ended by itself
		t.Fatal(err)
	}
}

// killSome kills some replica.
func killSome(t *testing.T) {
	t.Helper()
	for _, s := range hosts(t) {
		if s.PID > 0 {
			signalReplica(t, s, syscall.SIGKILL)
			return
		}
	}
	t.Fatal("no replica runs")
}

// alive tells whether a process is there.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func databaseFaults(t *testing.T, name string) {
	db := openDatabase(t, shared.client(t, "alice", 0, client.Options{}), name)
	rows := int64(0)
	use := func() {
		t.Helper()
		o, err := db.Exec(t.Context(), database.Program{Statements: []database.Statement{
			database.SQL("INSERT INTO t(name) VALUES(hex(randomblob(2000)))"), database.SQL("SELECT count(*) FROM t")}})
		if err != nil {
			t.Fatal(err)
		}
		rows = o.Results[1].Rows[0][0].(int64)
		for _, l := range []database.Level{database.Fast, database.Default, database.Ordered} {
			if o, err := db.Query(t.Context(), l, database.SQL("SELECT count(*) FROM t")); err != nil || o.Results[0].Rows[0][0] != rows {
				t.Errorf("level %d: %+v, %v; want %d", l, o, err, rows)
			}
		}
	}
	use()
	all := hosts(t)
	if len(all) != 4 {
		t.Fatalf("%d nodes have a replica: %+v", len(all), all)
	}
	var names []string
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)

	// A replica's process is killed: the others go on, and it comes back by itself.
	victim := all[names[0]]
	signalReplica(t, victim, syscall.SIGKILL)
	use()
	until(t, "the replica that was killed", func() (bool, error) {
		s := hosts(t)[names[0]]
		return s.PID != 0 && s.PID != victim.PID && s.Restarts > victim.Restarts, fmt.Errorf("%+v", s)
	})
	agreed(t, db)

	// A node is killed, and its replica ends with it. Its disk rots meanwhile: it takes everything from the others.
	victim = hosts(t)[names[1]]
	up := shared.down(t, names[1])
	until(t, "the replica of a node that was killed to end", func() (bool, error) { return !alive(victim.PID), nil })
	use()
	rot, err := filepath.Glob(filepath.Join(filepath.Dir(victim.Log), "databases", "*.db*"))
	if err != nil || len(rot) == 0 {
		t.Fatalf("no files below %s: %v", victim.Log, err)
	}
	for _, f := range rot {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for at := 100; at < len(b); at += 512 {
			b[at] ^= 0x40
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up()
	use()
	until(t, "the replica to notice the damage", func() (bool, error) {
		b, err := os.ReadFile(victim.Log)
		return strings.Contains(string(b), "the replica is emptied"), err
	})
	agreed(t, db)
	use()
	agreed(t, db)
	if lies := db.Evidence(); len(lies) > 0 {
		t.Errorf("evidence of lies: %+v", lies)
	}
}
