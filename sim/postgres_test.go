package sim_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratosmesh/stratos/mesh"
)

// A database as PostgreSQL's clients have it: types both ways, transactions, pipelines, COPY, and a replica that is killed under it.
func TestPostgres(t *testing.T) {
	const name = "sim-pg"
	mustCLI(t, "db", "create", name)
	url := strings.TrimSpace(mustCLI(t, "keys", "create", "pg-app", "--database", name, "--format", "url"))
	reader := strings.TrimSpace(mustCLI(t, "keys", "create", "pg-reader", "--database", name, "--format", "url", "--read-only"))
	c := connect(t, url)
	t.Run("types", func(t *testing.T) { postgresTypes(t, c) })
	t.Run("transactions", func(t *testing.T) { postgresTransactions(t, c, connect(t, url)) })
	t.Run("bulk", func(t *testing.T) { postgresBulk(t, c) })
	t.Run("levels", func(t *testing.T) {
		for _, level := range []string{"fast", "default", "ordered"} {
			var n int
			execute(t, c, "SET stratos.level = "+level)
			if err := c.QueryRow(t.Context(), "SELECT count(*) FROM counters").Scan(&n); err != nil || n != 2 {
				t.Errorf("%s: %d, %v", level, n, err)
			}
		}
		execute(t, c, "RESET stratos.level")
	})
	t.Run("rights", func(t *testing.T) {
		r := connect(t, reader)
		var n int
		if err := r.QueryRow(t.Context(), "SELECT count(*) FROM counters").Scan(&n); err != nil || n != 2 {
			t.Errorf("who may read: %d, %v", n, err)
		}
		if _, err := r.Exec(t.Context(), "DELETE FROM counters"); sqlState(err) != "42501" {
			t.Errorf("who may only read writes: %v", err)
		}
		other := strings.Replace(url, "/"+name, "/sim-other", 1)
		if _, err := pgx.Connect(t.Context(), other); sqlState(err) != "3D000" {
			t.Errorf("a database that there is not: %v", err)
		}
		mustCLI(t, "keys", "revoke", "pg-reader")
		if err := r.QueryRow(t.Context(), "SELECT count(*) FROM counters").Scan(&n); sqlState(err) != "42501" {
			t.Errorf("a key that was revoked: %v", err)
		}
	})
	t.Run("command line", func(t *testing.T) {
		if out := mustCLI(t, "db", "sql", name, "SELECT id, n, n > $1 AS more, date '2026-02-03' + 1 AS d, 1.50 AS x FROM counters ORDER BY id", "--param", "1"); !strings.Contains(out, " a  | ") || !strings.Contains(out, "2026-02-04 | 1.50") {
			t.Errorf("got\n%s", out)
		}
		if out := mustCLI(t, "db", "sql", name, "INSERT INTO counters VALUES ('z', 0); DELETE FROM counters WHERE id = 'z'"); out != "INSERT 0 1\n\nDELETE 1\n" {
			t.Errorf("got %q", out)
		}
		if _, errOut, code := runCLI(t, "db", "sql", name, "SELECT 1/0"); code != mesh.Invalid.ExitCode() || !strings.Contains(errOut, "22012") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	mustCLI(t, "db", "drop", name, "--yes")
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func execute(t *testing.T, c *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	tag, err := c.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag.String()
}

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// postgresTypes sends values in pgx's formats, binary where it has one, and reads them in both.
func postgresTypes(t *testing.T, c *pgx.Conn) {
	execute(t, c, `CREATE TABLE kinds (i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric(30,5), b bool, t text, v varchar(5), c char(3), y bytea,
		d date, ti time, ts timestamp, tz timestamptz, iv interval, u uuid, j jsonb, a int4[], ta text[])`)
	at := time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)
	number := pgtype.Numeric{Int: big.NewInt(123456789), Exp: -5, Valid: true}
	sent := []any{int16(-3), int32(1 << 30), int64(-1 << 60), float32(0.5), 1e300, number, true, "Zeile\n☃", "five5", "ab", []byte{0, 255},
		pgtype.Date{Time: time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC), Valid: true}, pgtype.Time{Microseconds: 3_600_000_001, Valid: true}, pgtype.Timestamp{Time: at, Valid: true}, at,
		pgtype.Interval{Months: 14, Days: -3, Microseconds: 1, Valid: true}, [16]byte{1, 2, 3}, map[string]any{"k": []any{1.5, nil, "x"}}, []int32{1, -2}, []string{"a", `b,"c"`, ""}}
	insert := "INSERT INTO kinds VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20)"
	execute(t, c, insert, sent...)
	execute(t, c, insert, make([]any, len(sent))...)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		rows, err := c.Query(t.Context(), "SELECT * FROM kinds ORDER BY i2", mode)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
		if err != nil || len(all) != 2 {
			t.Fatalf("%v: %v, %v", mode, all, err)
		}
		want := append([]any{}, sent...)
		want[9] = "ab " // char(3) is padded
		for i, v := range all[0] {
			if w := plain(want[i]); !reflect.DeepEqual(plain(v), w) {
				t.Errorf("%v, column %d: %#v, want %#v", mode, i+1, plain(v), w)
			}
		}
		for i, v := range all[1] {
			if v != nil {
				t.Errorf("%v, column %d: %#v, want NULL", mode, i+1, v)
			}
		}
	}
	for sql, want := range map[string]string{"SELECT 32767::int2 + 1::int2": "22003", "SELECT 1 / 0": "22012", "INSERT INTO kinds (v) VALUES ('sixsix')": "22001",
		"SELECT 'x'::int": "22P02", "SELECT nothing FROM kinds": "42703", "SELEC 1": "42601", "SELECT * FROM nowhere": "42P01"} {
		if _, err := c.Exec(t.Context(), sql); sqlState(err) != want {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
}

// plain makes values comparable that pgx gives in different Go types.
func plain(v any) any {
	switch v := v.(type) {
	case pgtype.Numeric:
		f, _ := v.Value()
		return f
	case pgtype.Date:
		return v.Time.Unix()
	case pgtype.Timestamp:
		return v.Time.UnixMicro()
	case time.Time:
		if v.Hour() == 0 && v.Minute() == 0 && v.Second() == 0 && v.Nanosecond() == 0 {
			return v.Unix()
		}
		return v.UnixMicro()
	case []int32:
		return fmt.Sprint(v)
	case []string:
		return fmt.Sprintf("%q", v)
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(string); ok {
				return fmt.Sprintf("%q", v)
			}
		}
		return fmt.Sprint(v)
	case map[string]any:
		return fmt.Sprint(v)
	}
	return v
}

// postgresTransactions has two clients count up the same row, with the retries that 40001 asks for.
func postgresTransactions(t *testing.T, c, other *pgx.Conn) {
	execute(t, c, "CREATE TABLE counters (id text PRIMARY KEY, n int NOT NULL CHECK (n >= 0))")
	execute(t, c, "INSERT INTO counters VALUES ('a', 0), ('b', 10)")
	const each = 5
	var both sync.WaitGroup
	retried := make([]int, 2)
	for i, c := range []*pgx.Conn{c, other} {
		both.Go(func() {
			for range each {
				for {
					err := pgx.BeginFunc(t.Context(), c, func(tx pgx.Tx) error {
						var n int
						if err := tx.QueryRow(t.Context(), "SELECT n FROM counters WHERE id = 'a'").Scan(&n); err != nil {
							return err
						}
						_, err := tx.Exec(t.Context(), "UPDATE counters SET n = $1 WHERE id = 'a'", n+1)
						return err
					})
					if err == nil {
						break
					}
					if sqlState(err) != "40001" {
						t.Errorf("counting up: %v", err)
						return
					}
					retried[i]++
				}
			}
		})
	}
	both.Wait()
	var n int
	if err := c.QueryRow(t.Context(), "SELECT n FROM counters WHERE id = 'a'").Scan(&n); err != nil || n != 2*each {
		t.Errorf("counted to %d, want %d: %v", n, 2*each, err)
	}
	t.Logf("retried %v", retried)
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, tx.Conn(), "CREATE TABLE within (x int)") // changes of the schema are a part of it
	execute(t, tx.Conn(), "INSERT INTO within VALUES (1)")
	if _, err := tx.Exec(t.Context(), "UPDATE counters SET n = -1 WHERE id = 'b'"); sqlState(err) != "23514" {
		t.Errorf("a check: %v", err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1"); sqlState(err) != "25P02" {
		t.Errorf("in a transaction that has failed: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Exec(t.Context(), "SELECT * FROM within"); sqlState(err) != "42P01" {
		t.Errorf("after the rollback: %v", err)
	}
	// A connection that is lost in a transaction leaves nothing behind.
	lost := connect(t, c.Config().ConnString())
	execute(t, lost, "BEGIN")
	execute(t, lost, "DELETE FROM counters")
	lost.PgConn().Conn().Close()
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM counters").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d counters are left: %v", n, err)
	}
}

func postgresBulk(t *testing.T, c *pgx.Conn) {
	execute(t, c, "CREATE TABLE lines (id bigint PRIMARY KEY, word text)")
	n, err := c.CopyFrom(t.Context(), pgx.Identifier{"lines"}, []string{"id", "word"}, pgx.CopyFromSlice(2000, func(i int) ([]any, error) { return []any{int64(i), fmt.Sprint("word ", i)}, nil }))
	if err != nil || n != 2000 {
		t.Fatalf("COPY: %d, %v", n, err)
	}
	if _, err := c.CopyFrom(t.Context(), pgx.Identifier{"lines"}, []string{"id", "word"}, pgx.CopyFromRows([][]any{{int64(5000), "new"}, {int64(1), "there already"}})); sqlState(err) != "23505" {
		t.Errorf("COPY of what is there: %v", err)
	}
	b := &pgx.Batch{}
	b.Queue("INSERT INTO lines VALUES ($1, $2)", int64(6000), "batch")
	b.Queue("SELECT count(*), min(word), max(id) FROM lines")
	r := c.SendBatch(t.Context(), b)
	if _, err := r.Exec(); err != nil {
		t.Error(err)
	}
	var count, most int
	var least string
	if err := errors.Join(r.QueryRow().Scan(&count, &least, &most), r.Close()); err != nil || count != 2001 || least != "batch" || most != 6000 {
		t.Errorf("a batch: %d, %s, %d, %v", count, least, most, err)
	}
	var text strings.Builder
	if tag, err := c.PgConn().CopyTo(t.Context(), &text, "COPY (SELECT id, word FROM lines WHERE id < 2 ORDER BY id) TO STDOUT"); err != nil || tag.RowsAffected() != 2 || text.String() != "0\tword 0\n1\tword 1\n" {
		t.Errorf("COPY TO: %q, %v", text.String(), err)
	}
	// More than a message of the cell's log holds, in a transaction that goes on behind it.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err = tx.CopyFrom(t.Context(), pgx.Identifier{"lines"}, []string{"id", "word"}, pgx.CopyFromSlice(50_000, func(i int) ([]any, error) {
		return []any{int64(10_000 + i), fmt.Sprint("a word that makes the row longer ", i)}, nil
	}))
	if err != nil || n != 50_000 {
		t.Errorf("a large COPY: %d, %v", n, err)
	}
	if _, err := tx.Exec(t.Context(), "DELETE FROM lines WHERE id < 10000"); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.QueryRow(t.Context(), "SELECT count(*), max(id) FROM lines").Scan(&count, &most); err != nil || count != 50_000 || most != 59_999 {
		t.Errorf("after it: %d rows to %d, %v", count, most, err)
	}
}
