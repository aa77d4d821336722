package postgres_test

import (
	"path/filepath"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// TestSearch runs the statements of testdata/search.sql and compares with PostgreSQL's recorded answers.
func TestSearch(t *testing.T) {
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
	compareRecorded(t, "search", refused)
}

// TestAlter does the same with those of testdata/alter.sql.
func TestAlter(t *testing.T) {
	compareRecorded(t, "alter", nil)
}

// compareRecorded runs the statements of a file in turn and compares with PostgreSQL's recorded answers, but of those that are refused.
func compareRecorded(t *testing.T, name string, refused map[string]bool) {
	us, path := open(t, engine.Options{}), filepath.Join("testdata", name+".jsonl")
	list := script(t, name+".sql")
	if *update {
		o := startOracle(t)
		var records []record
		for _, sql := range list {
			b := o.ask(t, sql)
			records = append(records, recordOf(sql, false, b, b))
		}
		writeRecords(t, path, records)
	}
	records := readRecords(t, path, 40)
	if len(records) != len(list) {
		t.Fatalf("%d statements, and %d recorded", len(list), len(records))
	}
	for i, sql := range list {
		r := records[i]
		if r.SQL != sql {
			t.Fatalf("recorded is %s, not %s", r.SQL, sql)
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
