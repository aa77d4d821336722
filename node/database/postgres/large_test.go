package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// TestLarge moves what is large: values of other tiers, many rows and many statements in a program.
func TestLarge(t *testing.T) {
	us := open(t, engine.Options{})
	ok := func(o *wirepb.Outcome) *wirepb.Outcome {
		t.Helper()
		if o.Code != "" {
			t.Fatal(o.Code, o.Text)
		}
		return o
	}
	ok(us.exec(t, "CREATE TABLE t (id int PRIMARY KEY, n numeric, s text, CHECK (length(s) >= 0))"))
	var rows []string
	for i := range 4_000 {
		rows = append(rows, fmt.Sprintf("(%d, %d.5, 'row %d')", i, i, i))
	}
	if o := ok(us.exec(t, "INSERT INTO t VALUES "+strings.Join(rows, ", "))); o.Results[0].Tag != "INSERT 0 4000" {
		t.Error(o.Results[0].Tag)
	}
	long := strings.Repeat("x", 100_000)
	ok(us.exec(t, "INSERT INTO t VALUES (-1, 0, '"+long+"')"))
	huge := strings.Repeat("y", 3<<20)
	ok(us.run(t, &wirepb.Statement{Sql: "INSERT INTO t VALUES (-2, 0, $1)", Parameters: []*wirepb.Value{{Value: &wirepb.Value_Text{Text: huge}}}}))
	a := answerOf(ok(us.exec(t, "SELECT id, length(s), s = repeat('y', 3145728) FROM t WHERE id < 0 ORDER BY id")))
	if got := strings.Join(a.ordered(), " "); got != "-2\t3145728\tt -1\t100000\tf" {
		t.Error(got)
	}
	var list []*wirepb.Statement
	for i := range 500 {
		list = append(list, &wirepb.Statement{Sql: "UPDATE t SET n = n + $1 WHERE id = 7", Parameters: []*wirepb.Value{{Value: &wirepb.Value_Integer{Integer: int64(i)}}}})
	}
	list = append(list, &wirepb.Statement{Sql: "SELECT n FROM t WHERE id = 7"})
	if a := answerOf(ok(us.run(t, list...))); a.rows[0][0] != "124757.5" {
		t.Error(a)
	}
	// A program that fails leaves nothing, neither rows nor the schema that it made.
	o := us.run(t, &wirepb.Statement{Sql: "CREATE TABLE gone (x int)"}, &wirepb.Statement{Sql: "INSERT INTO gone VALUES (1)"}, &wirepb.Statement{Sql: "SELECT 1/0"})
	if o.Code != "22012" || o.Failed != 2 {
		t.Error(o)
	}
	if o := us.exec(t, "SELECT * FROM gone"); o.Code != "42P01" {
		t.Error(o)
	}
	// What a program made, it sees.
	ok(us.run(t, &wirepb.Statement{Sql: "CREATE TABLE made (x int NOT NULL)"}, &wirepb.Statement{Sql: "INSERT INTO made VALUES (1)"}, &wirepb.Statement{Sql: "ALTER TABLE made ADD COLUMN y int DEFAULT 5"},
		&wirepb.Statement{Sql: "INSERT INTO made (x) SELECT y FROM made"}))
	if a := answerOf(us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: "SELECT x, y FROM made ORDER BY x"}}, GasLimit: 1_000_000})); strings.Join(a.ordered(), " ") != "1\t5 5\t5" {
		t.Error(a)
	}
	for _, sql := range []string{"INSERT INTO made VALUES (1)", "CREATE TABLE other (x int)", "SELECT nextval('s')", "COMMENT ON TABLE made IS 'x'"} {
		if sql == "SELECT nextval('s')" {
			ok(us.exec(t, "CREATE SEQUENCE s"))
		}
		if o := us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: sql}}, GasLimit: 1_000_000}); o.Code != "25006" {
			t.Errorf("a question that writes: %s: %s %s", sql, o.Code, o.Text)
		}
	}
}

// TestSeries counts rows of generate_series, which costs by the row however many there are.
func TestSeries(t *testing.T) {
	us := open(t, engine.Options{})
	us.gas = 10_000_000
	for _, sql := range []string{"CREATE TABLE t (id int PRIMARY KEY, n int, s char(84))", "INSERT INTO t SELECT g, 1, '' FROM generate_series(1, 100000) g"} {
		if o := us.exec(t, sql); o.Code != "" {
			t.Fatal(sql, o.Code, o.Text)
		}
	}
	for sql, want := range map[string]string{
		"SELECT count(*), sum(id) FROM t":                                                                  "100000\t5000050000",
		"SELECT g FROM generate_series(1, 1000000000) g LIMIT 2":                                           "1 2",
		"SELECT g FROM generate_series(5, 1, -2) g":                                                        "5 3 1",
		"SELECT g FROM generate_series(1, 0) g":                                                            "",
		"SELECT g FROM generate_series(1, NULL::int) g":                                                    "",
		"SELECT g FROM generate_series(1, 2, 0) g":                                                         "22023",
		"SELECT g FROM generate_series(9223372036854775806, 9223372036854775807) g":                        "9223372036854775806 9223372036854775807",
		"SELECT g FROM generate_series(-9223372036854775808, 9223372036854775807, 9223372036854775807) g":  "-9223372036854775808 -1 9223372036854775806",
		"SELECT g FROM generate_series(9223372036854775807, -9223372036854775808, -9223372036854775808) g": "9223372036854775807 -1",
		"SELECT g, o FROM generate_series(7, 9) WITH ORDINALITY AS x(g, o)":                                "7\t1 8\t2 9\t3",
		"SELECT a.g, b.g FROM generate_series(1, 2) a(g), generate_series(a.g, 2) b(g)":                    "1\t1 1\t2 2\t2",
		"SELECT generate_series(1, 3), generate_series(1, 2)":                                              "1\t1 2\t2 3\t" + null,
		"SELECT x, (SELECT sum(g) FROM generate_series(1, x) g) FROM generate_series(1, 3) x":              "1\t1 2\t3 3\t6",
		"SELECT count(*) FROM generate_series(1, 300) a JOIN generate_series(1, 300) b ON a = b":           "300",
	} {
		a := answerOf(us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: sql}}, GasLimit: 2_000_000}))
		if got := strings.Join(a.ordered(), " ") + a.code; got != want {
			t.Errorf("%s: %q %s, want %q", sql, got, a.text, want)
		}
	}
}

// TestLargeCatalog shows that a table's description may be larger than what values of a statement are at first.
func TestLargeCatalog(t *testing.T) {
	o := open(t, engine.Options{})
	var columns []string
	for i := range 300 {
		columns = append(columns, fmt.Sprintf("column%d int", i))
	}
	for _, sql := range []string{"CREATE TABLE wide (" + strings.Join(columns, ", ") + ")", "INSERT INTO wide (column299) VALUES (7)", "ALTER TABLE wide ADD COLUMN more text"} {
		if a := answerOf(o.exec(t, sql)); a.code != "" {
			t.Fatal(a)
		}
	}
	if a := answerOf(o.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: "SELECT column299, more FROM wide"}}, GasLimit: o.gas})); len(a.rows) != 1 {
		t.Fatal(a)
	}
}
