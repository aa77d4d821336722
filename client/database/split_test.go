package database

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	const trigger = "create trigger r after insert on t begin insert into u values(';'); select case when 1 then 2 end; end"
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ;; \n-- nothing; here\n/* nor; here */ ;", nil},
		{"select 1", []string{"select 1"}},
		{"select 1;select 2;", []string{"select 1", "select 2"}},
		{"select ';', \";\", `;`, [;] -- ;\n, 1 /* ; */; select 2", []string{"select ';', \";\", `;`, [;] -- ;\n, 1 /* ; */", "select 2"}},
		{"select 'it''s;'; select 2", []string{"select 'it''s;'", "select 2"}},
		{trigger + "; select 1", []string{trigger, "select 1"}},
		{"CREATE TEMP TRIGGER r BEGIN SELECT 1; END; SELECT 2", []string{"CREATE TEMP TRIGGER r BEGIN SELECT 1; END", "SELECT 2"}},
		{"create table trigger(a); select 1", []string{"create table trigger(a)", "select 1"}},
		{"select 'open; select 2", []string{"select 'open; select 2"}},
		{"select 1 /* open; select 2", []string{"select 1 /* open; select 2"}},
		{"sélect 1; sélect 2", []string{"sélect 1", "sélect 2"}},
		{"begin; end; select 1", []string{"begin", "end", "select 1"}},
	} {
		if got := Split(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q", c.text, got)
		}
	}
}

func TestKeyword(t *testing.T) {
	for text, want := range map[string]string{"select 1": "SELECT", " -- a comment\n/* another */ Values(1)": "VALUES", "": "", "(select 1)": "", "'select'": "", "; select": "SELECT"} {
		if got := Keyword(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("select ';'; create trigger a begin select 1; end; --")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range Split(text) {
			if s == "" {
				t.Errorf("%q has an empty statement", text)
			}
			if again := Split(s); len(again) > 1 {
				t.Errorf("%q is cut again: %q", s, again)
			}
		}
	})
}
