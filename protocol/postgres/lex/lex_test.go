package lex_test

import (
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres/lex"
)

func TestScan(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1":           "w:SELECT n:1",
		"a;b":                "w:a ;:; w:b",
		"'it''s; ' x":        "s:'it''s; ' w:x",
		`e'\';' x`:           `s:e'\';' w:x`,
		`'\' x`:              `s:'\' w:x`,
		`"a;""b"";" x`:       `q:"a;" q:"b" q:";" w:x`,
		"-- no; \n y":        "w:y",
		"/* /* ; */ ; */ y":  "w:y",
		"$$ ; $$ y":          "s:$$ ; $$ w:y",
		"$a$ $$ ; $a$ y":     "s:$a$ $$ ; $a$ w:y",
		"$1 + $12":           "p:$1 o:+ p:$12",
		"f(a[1], 2.5e3)":     "w:f (:( w:a (:[ n:1 ):] ,:, n:2.5e3 ):)",
		"$a 1":               "o:$ w:a n:1",
		"'without an end; ":  "s:'without an end; ",
		"/* nor this ; ":     "",
		"a$b$c ;":            "w:a$b$c ;:;",
		"U&'x' n'y' x'1f' ü": "w:U o:& s:'x' s:n'y' s:x'1f' w:ü",
		"":                   "",
	} {
		var got []string
		lex.Scan(sql, func(k lex.Token) bool {
			got = append(got, string(k.Kind)+":"+sql[k.Start:k.End])
			return true
		})
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", sql, s, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add("SELECT 'a', $1 /* b */ -- c")
	f.Fuzz(func(t *testing.T, sql string) {
		end := 0
		lex.Scan(sql, func(k lex.Token) bool {
			if k.Start < end || k.End <= k.Start || k.End > len(sql) {
				t.Fatalf("a token from %d to %d, after %d", k.Start, k.End, end)
			}
			end = k.End
			return true
		})
	})
}
