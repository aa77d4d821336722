package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	dialect "github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var ginWords = strings.Fields("cat dog fox rat bird fish the quick lazy running runs runner database relational strangers hyper-text x-ray 1.5 a@b.org über mat sat on")

func ginText(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most) {
		// The first words come most often.
		b.WriteString(ginWords[min(r.IntN(len(ginWords)), r.IntN(len(ginWords)))] + " ")
	}
	return b.String()
}

func ginQuery(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(3) == 0 {
		return "'" + ginWords[r.IntN(len(ginWords))] + "'" + []string{"", "", "", ":*", ":A", ":B*"}[r.IntN(6)]
	}
	switch r.IntN(6) {
	case 0:
		return "!(" + ginQuery(r, depth-1) + ")"
	case 1:
		return "(" + ginQuery(r, depth-1) + " | " + ginQuery(r, depth-1) + ")"
	case 2:
		return "(" + ginQuery(r, depth-1) + " <-> " + ginQuery(r, depth-1) + ")"
	}
	return "(" + ginQuery(r, depth-1) + " & " + ginQuery(r, depth-1) + ")"
}

// good runs a statement that does not fail.
func (o *ours) good(t *testing.T, sql string) answer {
	t.Helper()
	a := answerOf(o.exec(t, sql))
	if a.code != "" {
		t.Fatalf("%s: %s", sql, a)
	}
	return a
}

// TestGIN changes rows and shape of a table in all ways, and looks each time whether queries find by its indexes what they find
// without, and whether the indexes hold the words of the rows that are there.
func TestGIN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	opened := func(o engine.Options) *engine.DB {
		db, err := engine.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	us := &ours{db: opened(engine.Options{Dialect: dialect.New}), gas: 50_000_000}
	r := rand.New(rand.NewPCG(1, 2))
	us.good(t, "CREATE TABLE p (id int PRIMARY KEY)")
	us.good(t, "INSERT INTO p SELECT generate_series(1, 400)")
	us.good(t, "CREATE TABLE d (id int PRIMARY KEY REFERENCES p ON DELETE CASCADE, n int, title text, body text, v tsvector)")
	next := 0
	insert := func(n int) {
		var rows []string
		for range n {
			next++
			title, body := ginText(r, 4), ginText(r, 30)
			v := "setweight(to_tsvector('english','" + title + "'),'A')||setweight(to_tsvector('simple','" + body + "'),'B')"
			if r.IntN(8) == 0 {
				v = "NULL"
			} else if r.IntN(8) == 0 {
				v = "strip(" + v + ")"
			}
			rows = append(rows, fmt.Sprintf("(%d,%d,'%s','%s',%s)", next, r.IntN(5), title, body, v))
		}
		us.good(t, "INSERT INTO d (id, n, title, body, v) VALUES "+strings.Join(rows, ","))
	}
	const expression = "to_tsvector('english', coalesce(title, '') || ' ' || body)"
	check := func(after string) {
		t.Helper()
		for range 12 {
			q := ginQuery(r, 3)
			for _, pair := range [][2]string{{"v", "(v||'')"}, {expression, "(" + expression + "||'')"}} {
				where := func(vector string) string { return vector + " @@ '" + strings.ReplaceAll(q, "'", "''") + "'" }
				by, without := us.good(t, "SELECT id FROM d WHERE "+where(pair[0])+" ORDER BY id"), us.good(t, "SELECT id FROM d WHERE "+where(pair[1])+" ORDER BY id")
				if !agree(by, without, true) {
					t.Fatalf("after %s: %s\n with the index %s\n without %s", after, where(pair[0]), by, without)
				}
			}
		}
		a, b := us.good(t, "SELECT a.id, b.n FROM d a, d b, to_tsquery('simple', 'cat & fox') q WHERE q @@ a.v AND b.id = a.id AND a.n < 3 ORDER BY 1"), us.good(t, "SELECT a.id, a.n FROM d a WHERE (a.v||'') @@ 'cat & fox' AND n < 3 ORDER BY 1")
		if !agree(a, b, true) {
			t.Fatalf("after %s, a join: %s, want %s", after, a, b)
		}
	}
	insert(120)
	us.good(t, "CREATE INDEX d_v ON d USING gin (v)")
	us.good(t, "CREATE INDEX ON d USING gin ("+expression+")")
	check("CREATE INDEX")
	insert(120)
	check("INSERT")
	for range 5 {
		us.good(t, fmt.Sprintf("UPDATE d SET body = '%s', v = to_tsvector('simple', '%s') WHERE id %% 7 = %d", ginText(r, 20), ginText(r, 20), r.IntN(7)))
		us.good(t, fmt.Sprintf("UPDATE d SET n = n + 1, title = NULL WHERE id %% 11 = %d", r.IntN(11)))
		us.good(t, fmt.Sprintf("UPDATE d SET v = NULL WHERE id %% 13 = %d", r.IntN(13)))
	}
	check("UPDATE")
	us.good(t, "UPDATE d SET title = 'found fox' WHERE v @@ 'cat & !dog'")
	us.good(t, "UPDATE d SET v = d.v || to_tsvector('simple', 'joined') FROM p WHERE p.id = d.id AND d.v @@ 'fox' AND p.id < 50")
	check("UPDATE by an index")
	us.good(t, "DELETE FROM d WHERE id % 10 = 3")
	us.good(t, "DELETE FROM d WHERE v @@ 'fish' AND id < 60")
	us.good(t, "DELETE FROM p WHERE id % 10 = 4 AND id <= 240")
	check("DELETE and ON DELETE CASCADE")
	us.good(t, "INSERT INTO d (id, body) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET body = 'upserted cat', v = 'upserted:1A'")
	us.good(t, "INSERT INTO d (id, body) VALUES (1, 'x'), (2, 'y') ON CONFLICT DO NOTHING")
	check("ON CONFLICT")
	us.good(t, "ALTER TABLE d ADD COLUMN extra text DEFAULT 'z' NOT NULL, ALTER n TYPE bigint, ADD CHECK (n > -1)")
	insert(5)
	check("ALTER TABLE")
	us.good(t, "ALTER TABLE d DROP CONSTRAINT d_id_fkey")
	insert(5)
	check("a table that was made again")
	us.good(t, "ALTER TABLE d RENAME body TO text; ") // the expression follows
	us.good(t, "ALTER TABLE d RENAME text TO body")
	us.good(t, "ALTER TABLE d RENAME TO e")
	us.good(t, "ALTER TABLE e RENAME TO d")
	insert(5)
	check("RENAME")
	us.good(t, "CREATE PUBLICATION all_changes FOR ALL TABLES")
	us.good(t, "DELETE FROM d WHERE id % 10 = 5")
	check("a publication")
	if a := answerOf(us.exec(t, "INSERT INTO d (id, body, v) SELECT 1000+g, 'cat', 'cat'::tsvector FROM generate_series(1, 3) g UNION ALL SELECT 1, '', NULL")); a.code != "23505" {
		t.Fatal(a)
	}
	check("a statement that failed")

	// What the indexes hold, of the rows that are there.
	held := func() (v, all int) {
		a := us.good(t, "SELECT coalesce(sum(length(v)), 0), coalesce(sum(length("+expression+")), 0) FROM d")
		fmt.Sscan(a.rows[0][0], &v)
		fmt.Sscan(a.rows[0][1], &all)
		return v, all
	}
	raw := func() (list []int64) {
		if err := us.db.Close(); err != nil {
			t.Fatal(err)
		}
		plain := &ours{db: opened(engine.Options{}), gas: 50_000_000}
		names := plain.query(t, &engine.Program{GasLimit: plain.gas, Statements: []*wirepb.Statement{{Sql: "SELECT name FROM sqlite_schema WHERE type='table' AND name GLOB 's[1-9]*' ORDER BY length(name), name"}}})
		for _, row := range names.Results[0].Rows {
			out := plain.query(t, &engine.Program{GasLimit: plain.gas, Statements: []*wirepb.Statement{{Sql: "SELECT count(*) FROM " + row.Values[0].GetText()}}})
			list = append(list, out.Results[0].Rows[0].Values[0].GetInteger())
		}
		if err := plain.db.Close(); err != nil {
			t.Fatal(err)
		}
		us.db = opened(engine.Options{Dialect: dialect.New})
		return list
	}
	v, all := held()
	if list := raw(); len(list) != 2 || list[0] != int64(v) || list[1] != int64(all) || v == 0 {
		t.Errorf("the indexes hold %v words, want %d and %d", list, v, all)
	}
	us.good(t, "TRUNCATE d")
	if list := raw(); len(list) != 2 || list[0] != 0 || list[1] != 0 {
		t.Errorf("after TRUNCATE the indexes hold %v words", list)
	}
	insert(20)
	check("TRUNCATE")
	us.good(t, "ALTER TABLE d DROP COLUMN title") // and the second index
	if list := raw(); len(list) != 1 {
		t.Errorf("after DROP COLUMN there are %d indexes", len(list))
	}
	us.good(t, "DROP INDEX d_v")
	us.good(t, "CREATE INDEX d_v ON d USING gin (v tsvector_ops)")
	us.good(t, "DROP TABLE d CASCADE")
	if list := raw(); len(list) != 0 {
		t.Errorf("after DROP TABLE there are %d indexes", len(list))
	}
	if err := us.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestGINIsUsed measures by gas.
func TestGINIsUsed(t *testing.T) {
	us := open(t, engine.Options{})
	us.good(t, "CREATE TABLE d (id int PRIMARY KEY, body text, who text)")
	us.good(t, "INSERT INTO d SELECT g, 'common words and number' || g || CASE WHEN g % 500 = 0 THEN ' rare' ELSE '' END, CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 2000) g")
	us.good(t, "CREATE ROLE reader")
	us.good(t, "GRANT ALL ON d TO reader")
	us.good(t, "CREATE POLICY own ON d USING (who = current_setting('stratos.caller'))")
	us.good(t, "ALTER TABLE d ENABLE ROW LEVEL SECURITY")
	queries := map[string]string{
		"a rare word":         "SELECT id FROM d WHERE to_tsvector('english', body) @@ to_tsquery('english', 'rare')",
		"and a common one":    "SELECT id FROM d WHERE to_tsvector('english', body) @@ to_tsquery('english', 'common & rare & !never')",
		"a prefix":            "SELECT id FROM d WHERE to_tsvector('english', body) @@ 'rar:*'",
		"either":              "SELECT id FROM d WHERE to_tsvector('english', body) @@ 'rare | number77' AND id > 0",
		"a query in FROM":     "SELECT d.id FROM websearch_to_tsquery('english', 'common rare') q, d WHERE q @@ to_tsvector('english', d.body)",
		"two common words":    "SELECT id FROM d WHERE to_tsvector('english', body) @@ 'number1000 & common'",
		"an outer query's":    "SELECT x FROM (VALUES ('rare'), ('never')) w(x) WHERE EXISTS (SELECT 1 FROM d WHERE to_tsvector('english', body) @@ to_tsquery('english', w.x))",
		"what is not there":   "SELECT id FROM d WHERE to_tsvector('english', body) @@ 'common & never'",
		"an update":           "UPDATE d SET who = who WHERE to_tsvector('english', body) @@ 'rare'",
		"a query in a phrase": "SELECT id FROM d WHERE to_tsvector('english', body) @@ phraseto_tsquery('english', 'number500 rare')",
		"a join":              "SELECT d.id FROM (VALUES ('rare')) w(x) JOIN d ON to_tsvector('english', d.body) @@ to_tsquery('english', w.x)",
		"an outer join":       "SELECT w.x, d.id FROM (VALUES ('rare'), ('never')) w(x) LEFT JOIN d ON to_tsvector('english', d.body) @@ to_tsquery('english', w.x) AND d.id > 600",
	}
	cost := func(sql string, as grant.Role) (uint64, answer) {
		out := us.runAs(t, as, &wirepb.Statement{Sql: sql})
		return out.Usage.GetGas(), answerOf(out)
	}
	before := map[string]uint64{}
	owner, reader := grant.Role{}, grant.Role{Name: "reader", Caller: "a"}
	results := map[string]answer{}
	for name, sql := range queries {
		for _, as := range []grant.Role{owner, reader} {
			before[name+as.Name], results[name+as.Name] = cost(sql, as)
		}
	}
	us.good(t, "CREATE INDEX ON d USING gin (to_tsvector('english', body))")
	for name, sql := range queries {
		for _, as := range []grant.Role{owner, reader} {
			if as.Name != "" && (name == "a query in FROM" || name == "an outer query's" || strings.HasSuffix(name, "join")) {
				continue // whose queries are not the same for all rows
			}
			gas, a := cost(sql, as)
			if was := results[name+as.Name]; !agree(a, was, false) {
				t.Errorf("%s %s: %s, was %s", name, as.Name, a, was)
			}
			t.Logf("%s %s: %d gas, was %d", name, as.Name, gas, before[name+as.Name])
			if gas*4 > before[name+as.Name] {
				t.Errorf("%s %s: %d gas, was %d", name, as.Name, gas, before[name+as.Name])
			}
		}
	}
	gas, a := cost("DELETE FROM d WHERE to_tsvector('english', body) @@ 'number3 | number4'", owner)
	if a.tag != "DELETE 2" || gas*4 > before["a rare word"] {
		t.Errorf("a deletion: %s, %d gas", a, gas)
	}
	if gas, a = cost("DELETE FROM d WHERE to_tsvector('english', body) @@ 'number6 | number7'", reader); a.tag != "DELETE 1" || gas*4 > before["a rare word"] {
		t.Errorf("a reader's deletion: %s, %d gas", a, gas)
	}
}
