package postgres_test

import (
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
)

var searchPath = filepath.Join("testdata", "search.jsonl")

// TestSearch runs the statements of testdata/search.sql and compares with PostgreSQL's recorded answers.
func TestSearch(t *testing.T) {
	us := open(t, engine.Options{})
	list := script(t, "search.sql")
	if *update {
		o := startOracle(t)
		var records []record
		for _, sql := range list {
			b := o.ask(t, sql)
			records = append(records, recordOf(sql, false, b, b))
		}
		writeRecords(t, searchPath, records)
	}
	recorded := map[string]record{}
	for _, r := range readRecords(t, searchPath, 50) {
		recorded[r.SQL] = r
	}
	refused := map[string]bool{ // with 0A000
		"SELECT to_tsvector('german', 'x')":                                                                          true,
		"SELECT ts_stat('SELECT v FROM d')":                                                                          true,
		"CREATE INDEX ON d USING gin (v text_ops)":                                                                   true,
		"SELECT id, x FROM l LEFT JOIN unnest(a) x ON true ORDER BY 1, 2":                                            true,
		"SELECT l.id, k.x FROM l LEFT JOIN (l m CROSS JOIN unnest(m.a) k(x)) ON m.id = l.id ORDER BY 1, 2":           true,
		"SELECT id, x FROM l RIGHT JOIN unnest(a) x ON true":                                                         true,
		"SELECT o.id, s.x FROM l o, (SELECT 1 AS one) i CROSS JOIN upper(o.v::text || i.one) AS s(x) WHERE o.id = 1": true,
		"SELECT ts_lexize('english_stem', 'stars')":                                                                  true,
		"CREATE TABLE bad (v tsvector CHECK (to_tsvector('x') @@ 'x'))":                                              true,
	}
	for _, sql := range list {
		r, ok := recorded[sql]
		if !ok {
			t.Errorf("not recorded: %s", sql)
			continue
		}
		a, b := answerOf(us.exec(t, sql)), r.answer()
		if refused[sql] {
			if a.code != "0A000" {
				t.Errorf("%s: %s, and was refused", sql, a)
			}
		} else if !agree(a, b, orderCounts(sql)) {
			t.Errorf("%s\n  ours:   %s\n  theirs: %s", sql, a, b)
		}
	}
}
