package engine

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// One row a program, 100 programs a block.
func BenchmarkInsertRow(b *testing.B) { benchmarkInsert(b, 1) }

// A thousand rows a program, 100 programs a block.
func BenchmarkInsertThousandRows(b *testing.B) { benchmarkInsert(b, 1000) }

func benchmarkInsert(b *testing.B, rows int) {
	r := &rig{t: b, path: filepath.Join(b.TempDir(), "a.db")}
	r.open()
	defer r.close()
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INT)")
	n := 0
	for b.Loop() {
		var programs []*Program
		for range 100 {
			p := r.program()
			p.GasLimit = 10_000_000
			for range rows {
				n++
				p.Statements = append(p.Statements, statement1("INSERT INTO t(v,n) VALUES(?,?)", text("some text of a usual length"), integer(int64(n))))
			}
			programs = append(programs, p)
		}
		if o := r.block(programs...); o[99].Code != "" {
			b.Fatal(o[99])
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkPointSelect(b *testing.B) {
	r := newRig(b, Options{})
	p := r.program("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 100000) SELECT 'value ' || x FROM c")
	p.GasLimit = 1 << 30
	r.block(p)
	s := r.snapshot()
	defer s.Close()
	n := int64(0)
	for b.Loop() {
		n++
		o, err := s.Query(context.Background(), &Program{GasLimit: 100_000, Statements: []*wirepb.Statement{statement1("SELECT v FROM t WHERE id=?", integer(n*7919%100000+1))}})
		if err != nil || len(o.Results[0].Rows) != 1 {
			b.Fatal(o, err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "selects/s")
}

const (
	millionRows = "INSERT INTO t(g,v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 1000000) SELECT x*7919%1000, x FROM c"
	grouped     = "SELECT g, count(*), sum(v), avg(v) FROM t GROUP BY g ORDER BY g LIMIT 10"
)

func BenchmarkGroupMillion(b *testing.B) {
	r := newRig(b, Options{})
	p := r.program("CREATE TABLE t(id INTEGER PRIMARY KEY, g INT, v INT)", millionRows)
	p.GasLimit = 1 << 30
	r.block(p)
	var gas uint64
	for b.Loop() {
		s := r.snapshot()
		o, err := s.Query(context.Background(), &Program{GasLimit: 1 << 30, Statements: []*wirepb.Statement{statement1(grouped)}})
		s.Close()
		if err != nil || o.Code != "" {
			b.Fatal(o, err)
		}
		gas = o.Usage.Gas
	}
	b.ReportMetric(float64(gas), "gas")
}

func BenchmarkGroupMillionPlain(b *testing.B) {
	db, err := sql.Open("sqlite3", filepath.Join(folder(b), "p.db")+"?_journal_mode=WAL&_cache_size=-16384")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE t(id INTEGER PRIMARY KEY, g INT, v INT)", millionRows} {
		if _, err := db.Exec(q); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		rows, err := db.Query(grouped)
		if err != nil {
			b.Fatal(err)
		}
		for rows.Next() {
		}
		if err := rows.Close(); err != nil {
			b.Fatal(fmt.Errorf("reading: %w", err))
		}
	}
}
