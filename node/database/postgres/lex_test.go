package postgres

import (
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	repeat := strings.Repeat
	for _, x := range []struct {
		sql   string
		words int
		deep  bool
	}{
		{"", 0, false},
		{"SELECT 1", 2, false},
		{"SELECT a.b, 'it''s' -- rest\n FROM \"T\"\"x\" /* a /* nested */ comment */ WHERE $1", 11, false},
		{`SELECT E'a\'b', U&'x', $$a ' b$$, $t$ $$ $t$, x'00'`, 12, false},
		{"SELECT 1.5e10+.5", 4, false},
		{"SELECT 'open", 2, false},
		{"SELECT $tag$open", 2, false},
		{"/* open", 0, false},
		{"SELECT 1 IN (" + repeat("1,", 10_000) + "1)", 20_006, false},
		{"SELECT true" + repeat(" AND true", 10_000), 20_002, false},
		{"SELECT 1" + repeat("+1", 900), 1_802, false},
		{"SELECT 1" + repeat("+1", 2_000), 0, true},
		{"SELECT " + repeat("(", 2_100) + "1" + repeat(")", 2_100), 0, true},
		{"SELECT " + repeat("(", 900) + "1" + repeat(")", 900), 1_802, false},
		{"SELECT " + repeat("- ", 2_000) + "1", 0, true},
		{"SELECT " + repeat("NOT ", 1_000) + "true", 0, true},
		{"SELECT a, b FROM t" + repeat(" UNION SELECT a, b FROM t", 1_000), 0, true},
		{"SELECT " + repeat("CASE WHEN a AND b THEN ", 700) + "1" + repeat(" END", 700), 0, true},
		{"SELECT 1 FROM t" + repeat(" JOIN t ON a AND b", 1_100), 0, true},
		{"SELECT f(1, " + repeat("f(1, ", 1_500) + "1" + repeat(")", 1_501), 0, true},
		{"SELECT " + repeat("[", 2_100) + repeat(")", 5_000), 0, true},
	} {
		words, err := measure(x.sql)
		if (err != nil) != x.deep || !x.deep && words != x.words {
			t.Errorf("%.60s: %d words, %v; want %d, deep %v", x.sql, words, err, x.words, x.deep)
		}
	}
	if _, err := measure("SELECT 'a\x00'"); err == nil || err.Code != "22021" {
		t.Error(err)
	}
}
