package database

import (
	"slices"
	"testing"

	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
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
		if got := Split(wiredatabase.SQLite, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q", c.text, got)
		}
	}
}

func TestCutPostgres(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		rest string
	}{
		{"", nil, ""},
		{" ;; -- no;thing\n/* nor /* here; */; */ ;", nil, ""},
		{"select 1", nil, "select 1"},
		{"select 1 ; select 2;\n", []string{"select 1", "select 2"}, ""},
		{`select ';', ";", E'\';', $$;$$, $a$;$$;$a$, 'it''s;'; select 2`, []string{`select ';', ";", E'\';', $$;$$, $a$;$$;$a$, 'it''s;'`}, "select 2"},
		{"select 'open; select 2", nil, "select 'open; select 2"},
		{"create trigger a; end", []string{"create trigger a"}, "end"},
	} {
		if got, rest := Cut(wiredatabase.Postgres, c.text); !slices.Equal(got, c.want) || rest != c.rest {
			t.Errorf("%q: %q, %q", c.text, got, rest)
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

func TestParameters(t *testing.T) {
	for text, want := range map[string][]string{
		"select 1": nil,
		"select ?, ?2, :a, @b_1, $c, '?', \"?\", [?], -- ?\n x?3y, a$b, ?": {"?", "?2", ":a", "@b_1", "$c", "?3", "?"},
		"select ': :a', :a/*?*/+:a, x::b":                                  {":a", ":a", ":b"},
		"select :":                                                         nil,
	} {
		if got := slices.Collect(Parameters(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("select ';'; create trigger a begin select 1; end; --")
	f.Fuzz(func(t *testing.T, text string) {
		for _, dialect := range []string{wiredatabase.SQLite, wiredatabase.Postgres} {
			for _, s := range Split(dialect, text) {
				if s == "" {
					t.Errorf("%q has an empty statement", text)
				}
				if again := Split(dialect, s); len(again) > 1 {
					t.Errorf("%q is cut again: %q", s, again)
				}
			}
		}
	})
}
