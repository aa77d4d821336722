package postgres_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// BenchmarkStatement measures statements with what their blocks cost; the first also compiles.
func BenchmarkStatement(b *testing.B) {
	us := open(b, engine.Options{})
	us.gas = 500_000_000
	for _, sql := range []string{"CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2) UNIQUE, s text, at timestamptz DEFAULT now())",
		"INSERT INTO t (id, n, s) SELECT g, g, 'row ' || g FROM generate_series(1, 20000) g", "CREATE INDEX ON t (lower(s))"} {
		if o := us.exec(b, sql); o.Code != "" {
			b.Fatal(o.Code, o.Text)
		}
	}
	value := func(n int) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: int64(n)}} }
	next := 20_000
	for _, x := range []struct {
		name, sql string
		args      int
	}{
		{"SELECT by int", "SELECT * FROM t WHERE id = $1", 1},
		{"SELECT by numeric", "SELECT * FROM t WHERE n = $1", 1},
		{"SELECT by expression", "SELECT id FROM t WHERE lower(s) = 'row 500'", 0},
		{"sum", "SELECT count(*), sum(n), avg(id) FROM t", 0},
		{"UPDATE", "UPDATE t SET s = s || 'x' WHERE id = $1", 1},
		{"INSERT", "INSERT INTO t (id, n, s) VALUES ($1, $2, 'new')", 2},
	} {
		b.Run(x.name, func(b *testing.B) {
			gas := uint64(0)
			for b.Loop() {
				next++
				s := &wirepb.Statement{Sql: x.sql}
				for range x.args {
					if x.args == 2 {
						s.Parameters = append(s.Parameters, value(next))
					} else {
						s.Parameters = append(s.Parameters, value(next%20_000+1))
					}
				}
				o := us.run(b, s)
				if o.Code != "" {
					b.Fatal(o.Code, o.Text)
				}
				gas = o.Usage.Gas
			}
			b.ReportMetric(float64(gas), "gas")
		})
	}
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			next++
			sql := fmt.Sprintf("SELECT a.id, b.n + %d FROM t a JOIN t b ON a.id = b.id WHERE a.id = %d AND b.s LIKE 'row%%' ORDER BY 1", next, next%20_000)
			o := us.query(b, &engine.Program{Statements: []*wirepb.Statement{{Sql: sql}}, GasLimit: 1_000_000})
			if o.Code != "" {
				b.Fatal(o.Code, o.Text)
			}
		}
	})
}

// BenchmarkLoad measures what a row takes, of a table like pgbench's: copied as a gateway does, made by SELECT, given a key and changed.
func BenchmarkLoad(b *testing.B) {
	const rows, each = 20_000, 500
	value := func(v any) *wirepb.Value {
		if s, ok := v.(string); ok {
			return &wirepb.Value{Value: &wirepb.Value_Text{Text: s}}
		}
		return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: int64(v.(int))}}
	}
	var copied []*wirepb.Statement
	filler := strings.Repeat(" ", 84)
	for i := range rows {
		if i%each == 0 {
			copied = append(copied, &wirepb.Statement{Sql: "INSERT INTO t VALUES "})
		}
		s := copied[i/each]
		n := i % each * 4
		if n > 0 {
			s.Sql += ", "
		}
		s.Sql += fmt.Sprintf("($%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4)
		s.Parameters = append(s.Parameters, value(i), value(1), value(0), value(filler))
		s.ParameterTypes = append(s.ParameterTypes, 23, 23, 23, 1042)
	}
	for _, x := range []struct {
		name   string
		before string
		run    []*wirepb.Statement
	}{
		{"COPY", "", copied},
		{"SELECT", "", []*wirepb.Statement{{Sql: "INSERT INTO t SELECT g, 1, 0, '' FROM generate_series(1, 20000) g"}}},
		{"UPDATE", "INSERT INTO t SELECT g, 1, 0, '' FROM generate_series(1, 20000) g", []*wirepb.Statement{{Sql: "UPDATE t SET n = n + 1"}}},
		{"PRIMARY KEY", "INSERT INTO t SELECT g, 1, 0, '' FROM generate_series(1, 20000) g", []*wirepb.Statement{{Sql: "ALTER TABLE t ADD PRIMARY KEY (id)"}}},
	} {
		b.Run(x.name, func(b *testing.B) {
			us := open(b, engine.Options{})
			gas, n := uint64(0), 0
			for b.Loop() {
				b.StopTimer()
				for _, sql := range []string{"DROP TABLE IF EXISTS t", "CREATE TABLE t (id int NOT NULL, b int, n int, filler char(84))", x.before} {
					if o := us.exec(b, cmp.Or(sql, "SELECT 1")); o.Code != "" {
						b.Fatal(o.Code, o.Text)
					}
				}
				b.StartTimer()
				o := us.run(b, x.run...)
				if o.Code != "" {
					b.Fatal(o.Code, o.Text)
				}
				gas, n = o.Usage.Gas, n+rows
			}
			b.ReportMetric(float64(gas)/rows, "gas/row")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
