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
