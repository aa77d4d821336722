package postgres_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// TestHostile runs statements that are made to break something. Each ends with an SQLSTATE, and soon.
func TestHostile(t *testing.T) {
	us := open(t, engine.Options{})
	us.gas = 3_000_000
	for _, sql := range []string{"CREATE TABLE h (a int, b text)", "INSERT INTO h SELECT g, 'x' FROM generate_series(1, 300) g", "CREATE VIEW v0 AS SELECT a FROM h"} {
		if o := us.exec(t, sql); o.Code != "" {
			t.Fatal(sql, o.Code, o.Text)
		}
	}
	doubled := "1"
	for range 40 {
		doubled = "(" + doubled + " between 0 and 1)::int"
	}
	repeat := strings.Repeat
	for _, x := range []struct{ name, sql, want string }{
		{"chain of +", "SELECT 1" + repeat("+1", 100_000), "54001"},
		{"chain of + of columns", "SELECT a" + repeat("+a", 900) + " FROM h", "54001"},
		{"chain of NOT", "SELECT " + repeat("NOT ", 60_000) + "true", "54001"},
		{"chain of signs", "SELECT " + repeat("- ", 60_000) + "1", "54001"},
		{"parentheses", "SELECT " + repeat("(", 100_000) + "1" + repeat(")", 100_000), "54001"},
		{"unions", "SELECT 1" + repeat(" UNION SELECT 1", 15_000), "54001"},
		{"some unions", "SELECT 1" + repeat(" UNION SELECT 1", 150), ""},
		{"subqueries", repeat("SELECT (", 20_000) + "SELECT 1" + repeat(")", 20_000), "54001"},
		{"cases", "SELECT " + repeat("CASE WHEN ", 8_000) + "true" + repeat(" THEN 1 END", 8_000), "54001"},
		{"joins", "SELECT 1 FROM h" + repeat(" CROSS JOIN h", 5_000), "54001"},
		{"some joins", "SELECT 1 FROM h a0" + joins(150), "5"},
		{"nested FROM", repeat("SELECT * FROM (", 5_000) + "SELECT 1" + repeat(") x", 5_000), "54001"},
		{"long list", "SELECT 1 WHERE 5 IN (" + repeat("1,", 20_000) + "1)", ""},
		{"long list of a column", "SELECT a FROM h WHERE a IN (" + repeat("-1,", 10_000) + "-1)", ""},
		{"too many words", "SELECT 1 WHERE 5 IN (" + repeat("1,", 60_000) + "1)", "54001"},
		{"doubled operands", "SELECT " + doubled, ""},
		{"doubled operands of a column", "SELECT " + strings.Replace(doubled, "1", "a", 1) + " FROM h", "54001"},
		{"endless recursion", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT count(*) FROM r", "53400"},
		{"huge series", "SELECT count(*) FROM generate_series(1, 2000000000)", "5"},
		{"huge text", "SELECT repeat('x', 2000000000)", "54000"},
		{"huge power", "SELECT 10::numeric ^ 100000::numeric ^ 2", "22003"},
		{"large power", "SELECT 2::numeric ^ 400000::numeric", ""},
		{"product", "SELECT count(*) FROM h a, h b, h c, h d", "53400"},
		{"large pad", "SELECT length(lpad('', 100000000, 'ab'))", "54000"},
		{"regex", "SELECT repeat('a', 5000) ~ '" + repeat("(a?)", 200) + repeat("a", 200) + "'", ""},
		{"like", "SELECT repeat('a', 100000) LIKE '" + repeat("%a", 500) + "b'", ""},
		{"deep tsquery", "SELECT '" + repeat("(", 5_000) + "a" + repeat(")", 5_000) + "'::tsquery", "54001"},
		{"long tsquery", "SELECT '" + repeat("a&", 20_000) + "a'::tsquery", "54001"},
		{"a query of a text", "SELECT length(plainto_tsquery('simple', repeat('a b c ', 100000))::text)", "54001"},
		{"large tsvector", "SELECT length(to_tsvector('english', repeat('running ', 400000)))", ""},
		{"large words", "SELECT length(to_tsvector('english', (SELECT string_agg(a::text || 'words', ' ') FROM h, generate_series(1, 1000) n)))", ""},
		{"attempts", "SELECT length(to_tsvector('english', repeat('a-', 1000000)))", ""},
		{"addresses", "SELECT length(to_tsvector('english', repeat('a.bb@', 500000)))", ""},
		{"a prefix of all", "SELECT ts_rank((SELECT string_agg(a::text, ' ') FROM h)::tsvector, (" + quoted(repeat("1:*|", 2_000)) + " || '2:*')::tsquery)", ""},
		{"covers", "SELECT ts_rank_cd(to_tsvector('simple', repeat('a b ', 20000)), (" + quoted(repeat("a<->b|", 2_000)) + " || 'c')::tsquery)", ""},
		{"headline", "SELECT length(ts_headline('simple', repeat('a b ', 20000), (" + quoted(repeat("a<->b|", 2_000)) + " || 'c')::tsquery, 'MaxFragments=1000'))", ""},
		{"NUL", "SELECT 'a\x00b'", "22021"},
		{"not UTF-8", "SELECT '\xff'", "22021"},
		{"two statements", "SELECT 1; SELECT 2", "42601"},
		{"nothing", " -- nothing", ""},
		{"catalog", "SELECT * FROM pg_object", "42P01"},
		{"catalog in quotes", `DELETE FROM "pg_sequence"`, "42P01"},
		{"engine's tables", "SELECT * FROM _stratos_state", "42P01"},
		{"SQLite's schema", "SELECT * FROM sqlite_schema", "42P01"},
		{"a table by SQLite's name", "SELECT * FROM t16384", "42P01"},
		{"a function of SQLite's", "SELECT load_extension('x')", "42883"},
		{"COMMIT", "COMMIT", "0A000"},
		{"ROLLBACK as a name", `SELECT 1 AS "rollback"`, ""},
		{"quote", `CREATE TABLE "a""b; DROP TABLE h" ("c""d" int)`, ""},
		{"many columns", "CREATE TABLE wide (" + strings.TrimSuffix(repeat("c int,", 2_000), ",") + ")", "42701"},
		{"window over much", "SELECT sum(a::numeric) OVER (ORDER BY a ROWS BETWEEN 100 PRECEDING AND CURRENT ROW) FROM h", ""},
	} {
		begin := time.Now()
		o := us.exec(t, x.sql)
		if !strings.HasPrefix(o.Code, x.want) && o.Code != "53400" || x.want == "" && o.Code != "" && o.Code != "53400" || o.Code == "XX000" {
			t.Errorf("%s: %s %.200s, want %s", x.name, o.Code, o.Text, x.want)
		}
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%s took %v", x.name, d)
		}
	}
	// Views of views grow by themselves.
	for i := range 30 {
		n := string(rune('a' + i%26))
		sql := "CREATE VIEW w" + n + repeat("x", i/26) + " AS SELECT x.a FROM " + before(i) + " x, " + before(i) + " y"
		o := us.exec(t, sql)
		if o.Code == "54001" {
			return
		}
		if o.Code != "" {
			t.Fatal(sql, o.Code, o.Text)
		}
	}
	t.Error("views double thirty times")
}

func quoted(s string) string { return "'" + s + "'" }

func before(i int) string {
	if i == 0 {
		return "v0"
	}
	i--
	return "w" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
}

func joins(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" CROSS JOIN h a" + strconv.Itoa(i+1))
	}
	return b.String()
}

// FuzzStatement looks for statements that the compiler cannot bear.
func FuzzStatement(f *testing.F) {
	for _, sql := range script(f, "script.sql") {
		f.Add(sql)
	}
	us := open(f, engine.Options{})
	us.gas = 200_000
	for _, sql := range script(f, "script.sql")[:3] {
		us.exec(f, sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 4096 || strings.Contains(strings.ToUpper(sql), "DROP") {
			return
		}
		o := us.exec(t, sql)
		if o.Code == "XX000" || o.Code == "42000" {
			t.Fatalf("%q: %s %s", sql, o.Code, o.Text)
		}
	})
}
