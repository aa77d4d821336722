package sim_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// Two owners share a cell. One runs what would take everything; what the other's programs give, and what they cost, is what it is
// without him. Neither sees the other's database.
func TestDatabaseNeighbours(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	mustCLI(t, "wallet", "send", "bob", "2stos")
	mustCLI(t, "prepay", "--for", "bob", "1stos")
	for _, name := range []string{"sim-loud", "sim-loud-lite"} {
		mustCLI(t, "db", "create", name, "--dialect", map[bool]string{true: "sqlite", false: "postgres"}[strings.HasSuffix(name, "-lite")])
	}
	mustCLI(t, "db", "create", "sim-alone", "--account", "bob")
	mustCLI(t, "db", "create", "sim-beside", "--account", "bob")
	alice, bob := shared.client(t, "alice", 0, client.Options{}), shared.client(t, "bob", 0, client.Options{})
	loud, lite := openDatabase(t, alice, "sim-loud"), openDatabase(t, alice, "sim-loud-lite")
	alone, beside := openDatabase(t, bob, "sim-alone"), openDatabase(t, bob, "sim-beside")
	if loud.Cell().ID != beside.Cell().ID || lite.Cell().ID != beside.Cell().ID {
		t.Fatalf("they are on cells %s and %s", loud.Cell().ID, beside.Cell().ID)
	}

	want := neighbour(t, alone)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { noise(ctx, t, loud, postgresNoise) })
	all.Go(func() { noise(ctx, t, lite, sqliteNoise) })
	got := neighbour(t, beside)
	stop()
	all.Wait()
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("beside a loud neighbour, program %d gives %+v; alone %+v", i, got[i], want[i])
		}
	}
	agreed(t, loud)
	agreed(t, lite)
	agreed(t, beside)

	if _, err := bob.OpenDatabase(t.Context(), "sim-loud", database.Options{}); mesh.KindOf(err) != mesh.NotFound || err == nil {
		t.Errorf("a neighbour's database: %v", err)
	}
	past, err := bob.DatabaseAt(loud.ID(), "sim-loud", loud.Cell(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []database.Level{database.Fast, database.Default, database.Ordered} {
		if o, err := past.Query(t.Context(), l, database.SQL("SELECT 1")); mesh.KindOf(err) != mesh.NotFound || err == nil {
			t.Errorf("a neighbour's database, past the meta layer, at level %s: %+v, %v", l, o, err)
		}
	}
	for _, s := range past.Stats(t.Context()) {
		if s.Known {
			t.Errorf("a replica tells a stranger how a database is: %+v", s)
		}
	}
	for _, name := range []string{"sim-loud", "sim-loud-lite"} {
		mustCLI(t, "db", "drop", name, "--yes")
	}
	mustCLI(t, "db", "drop", "sim-alone", "--yes", "--account", "bob")
	mustCLI(t, "db", "drop", "sim-beside", "--yes", "--account", "bob")
}

// neighbour runs programs that do not depend on time or chance, and returns what they gave and took.
func neighbour(t *testing.T, db *database.DB) (all []*database.Outcome) {
	t.Helper()
	program := []string{"CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE, n int CHECK (n >= 0))"}
	for i := range 4 {
		program = append(program, fmt.Sprintf("INSERT INTO t (name, n) SELECT 'row ' || g, g FROM generate_series(%d, %d) g RETURNING id", 20*i, 20*i+19),
			fmt.Sprintf("UPDATE t SET n = n + 1 WHERE id %% 3 = %d", i%3), "SELECT n % 7, count(*), sum(n) FROM t GROUP BY 1 ORDER BY 1")
	}
	for i, sql := range program {
		o, err := db.Query(t.Context(), []database.Level{database.Default, database.Ordered}[i%2], database.SQL(sql))
		var failed *database.Error
		if errors.As(err, &failed) && failed.Code == "25006" {
			o, err = db.Exec(t.Context(), database.Program{Statements: []database.Statement{database.SQL(sql)}})
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		o.Height = 0
		all = append(all, o)
	}
	return all
}

var sqliteNoise = []string{
	"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
	"WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x||x FROM c) SELECT max(length(x)) FROM c",
	"WITH RECURSIVE b(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM b LIMIT 1000) SELECT count(*) FROM b a, b b, b c, b d",
	"SELECT length(zeroblob(1000000000))",
	"SELECT hex(zeroblob(1000000)) LIKE '%' || hex(zeroblob(400)) || '1'",
	"SELECT printf('%*d', 1000000000, 1)",
	"ATTACH ':memory:' AS x",
	"PRAGMA writable_schema=ON",
	"UPDATE sqlite_master SET sql=''",
	"SELECT load_extension('x')",
	"SELECT datetime('now', 'localtime')",
	"INSERT OR ROLLBACK INTO t VALUES(1)",
	"SELECT " + strings.Repeat("NOT ", 2000) + "1",
	"CREATE TABLE m AS WITH RECURSIVE c(x) AS (SELECT zeroblob(100000) UNION ALL SELECT zeroblob(100000) FROM c) SELECT x FROM c",
	"SELECT 1; SELECT 2",
}

var postgresNoise = []string{
	"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
	"SELECT count(*) FROM generate_series(1, 10000) a, generate_series(1, 10000) b, generate_series(1, 10000) c",
	"SELECT repeat('x', 1000000000)",
	"SELECT string_agg(repeat('x', 100000), '') FROM generate_series(1, 100000)",
	"SELECT 10::numeric ^ 100000",
	"CREATE TABLE m AS SELECT repeat('x', 100000) FROM generate_series(1, 100000)",
	"COPY t TO '/tmp/x'",
	"SELECT pg_sleep(1000)",
	"SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000),
	"SELECT count(*) FROM generate_series(1, 1000) a, generate_series(1, 1000) b, pg_type c, pg_type d, pg_type e",
	"INSERT INTO pg_catalog.pg_class VALUES (1)",
	"SELECT 1; SELECT 2",
}

// noise runs statements, on the log and beside it, until ctx ends. Each is refused, or ends because it has taken its share.
func noise(ctx context.Context, t *testing.T, db *database.DB, all []string) {
	for n := 0; ctx.Err() == nil; n++ {
		sql := all[n%len(all)]
		p := database.Program{Statements: []database.Statement{database.SQL(sql)}, Gas: 10_000_000}
		var err error
		if n%2 == 0 {
			_, err = db.Exec(ctx, p)
		} else {
			_, err = db.Query(ctx, database.Default, p.Statements...)
		}
		var failed *database.Error
		switch {
		case ctx.Err() != nil, mesh.KindOf(err) == mesh.Unavailable && err != nil: // there was no room for it now
		case err == nil:
			t.Errorf("%.80s: nothing is wrong with it", sql)
		case mesh.KindOf(err) == mesh.Exhausted: // it took too long
		case !errors.As(err, &failed) || failed.Code == "XX000" || failed.Code == "XX001":
			t.Errorf("%.80s: %v", sql, err)
		}
	}
}
