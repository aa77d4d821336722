package postgres_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// TestDifferential runs the same blocks on databases that differ in everything that must not matter.
func TestDifferential(t *testing.T) {
	list := readRecords(t, recordsPath, 1_000)
	blocks := [][]string{{"CREATE PUBLICATION p FOR ALL TABLES", "NOTIFY a, 'b'"}} // so that changes are recorded too
	for i, r := range list {
		if r.Fresh && i > 0 {
			break
		}
		if i%5 == 0 || len(blocks) == 1 {
			blocks = append(blocks, nil)
		}
		blocks[len(blocks)-1] = append(blocks[len(blocks)-1], r.SQL)
	}
	blocks = append(blocks, []string{"CREATE TABLE r (id serial, a float8 DEFAULT random(), u uuid DEFAULT gen_random_uuid(), at timestamptz DEFAULT now())", "INSERT INTO r DEFAULT VALUES RETURNING *", "INSERT INTO r (a) SELECT random() FROM generate_series(1, 20) RETURNING *"})
	blocks = slices.AppendSeq(blocks, slices.Chunk(script(t, "search.sql"), 5))
	run := func(opts engine.Options, procs int, reopen bool) (trace []string) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		us := open(t, opts)
		for h, block := range blocks {
			b, err := us.db.Begin(engine.Header{Height: uint64(h + 1), TimeMs: timeMs + int64(h), Seed: [32]byte{byte(h)}})
			if err != nil {
				t.Fatal(err)
			}
			for i, sql := range block {
				p := &engine.Program{Statements: []*wirepb.Statement{{Sql: sql}, {Sql: "SELECT count(*) FROM (VALUES (1), (2)) v"}}, GasLimit: 5_000_000}
				copy(p.ID[:], fmt.Sprint(h, " ", i))
				if i%2 == 1 { // together with what comes next
					p.Statements = append(p.Statements, &wirepb.Statement{Sql: block[(i+1)%len(block)]})
				}
				o, err := b.Run(p)
				if err != nil {
					t.Fatal(err)
				}
				trace = append(trace, fmt.Sprintf("%d/%d %s %d %x", h, i, o.Code, o.Usage.Gas, engine.OutcomeDigest(o)))
			}
			if err := b.Commit(); err != nil {
				t.Fatal(err)
			}
			if reopen && h%7 == 0 { // a question between, which compiles by the newest schema
				us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: "SELECT * FROM t1"}}, GasLimit: 1_000_000})
			}
		}
		s, err := us.db.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sum, err := s.Content(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		digest := us.db.Digest()
		return append(trace, fmt.Sprintf("content %x digest %x", sum, digest))
	}
	want := run(engine.Options{}, 2, false)
	for name, opts := range map[string]engine.Options{"nothing kept": {CacheBytes: 64 << 10, Statements: -1}, "much kept": {CacheBytes: 64 << 20, Statements: 4096, Readers: 1}} {
		got := run(opts, 1, true)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %s, want %s", name, got[i], want[i])
				break
			}
		}
	}
}
