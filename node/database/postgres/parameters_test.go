package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var parameterCases = []struct {
	sql  string
	args []string
}{
	{"SELECT $1", []string{"a"}},
	{"SELECT $1 + 1", []string{"41"}},
	{"SELECT $1::int8 * 2", []string{"21"}},
	{"SELECT id FROM p WHERE id = $1", []string{"1"}},
	{"SELECT id FROM p WHERE n > $1 AND s LIKE $2 ORDER BY id", []string{"1.0", "%"}},
	{"SELECT id FROM p WHERE id IN ($1, $2) ORDER BY 1", []string{"1", "2"}},
	{"SELECT id FROM p WHERE id = ANY($1) ORDER BY 1", []string{"{1,2}"}},
	{"INSERT INTO p (id, n, s, d) VALUES ($1, $2, $3, $4) RETURNING *", []string{"3", "2.50", "z", "2020-01-01"}},
	{"UPDATE p SET n = n + $1 WHERE id = $2 RETURNING n", []string{"1", "3"}},
	{"SELECT coalesce($1, 'x'), $2 || 'y'", []string{"a", "b"}},
	{"SELECT CASE WHEN $1 THEN 1 ELSE 2 END", []string{"true"}},
	{"SELECT * FROM p ORDER BY id LIMIT $1 OFFSET $2", []string{"1", "1"}},
	{"SELECT $1 = $1", []string{"1"}},
	{"SELECT $1::date + $2::int", []string{"2020-01-01", "3"}},
	{"SELECT $2::text", []string{"1", "2"}},
	{"SELECT $1 IS NULL", []string{"1"}},
	{"SELECT d + $1 FROM p WHERE id = 3", []string{"1 day"}},
	{"SELECT count(*) FROM p WHERE d BETWEEN $1 AND $2", []string{"2019-01-01", "2021-01-01"}},
	{"SELECT $1 UNION SELECT 2 ORDER BY 1", []string{"1"}},
	{"SELECT jsonb_build_object('a', $1::int)", []string{"5"}},
	{"SELECT length($1)", []string{"abc"}},
	{"SELECT $1::int, $1::text", []string{"1"}},
	{"DELETE FROM p WHERE id = $1", []string{"nonsense"}},
	{"SELECT $1 + $2", []string{"1", "2"}},
}

// TestParameters compares the types that are inferred, and what statements give with parameters as texts.
func TestParameters(t *testing.T) {
	o := startOracle(t)
	us := open(t, engine.Options{})
	for _, sql := range []string{"CREATE TABLE p (id int PRIMARY KEY, n numeric(10,2), s text, d timestamp)", "INSERT INTO p VALUES (1, 1.5, 'a', NULL), (2, 2.5, 'b', '2020-02-02')"} {
		o.ask(t, sql)
		if out := us.exec(t, sql); out.Code != "" {
			t.Fatal(out.Code, out.Text)
		}
	}
	for _, x := range parameterCases {
		d, err := o.conn.Prepare(t.Context(), "", x.sql, nil)
		described := us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: x.sql}}, GasLimit: 1_000_000, Describe: true})
		if err != nil || described.Code != "" {
			if (err != nil) != (described.Code != "") {
				t.Errorf("%s: ours %s %s, theirs %v", x.sql, described.Code, described.Text, err)
			}
			continue
		}
		r := described.Results[0]
		var ours, theirs []string
		for _, c := range r.Columns {
			ours = append(ours, fmt.Sprintf("%s:%d:%d", c.Name, c.TypeOid, c.Typmod))
		}
		for _, f := range d.Fields {
			theirs = append(theirs, fmt.Sprintf("%s:%d:%d", f.Name, f.DataTypeOID, f.TypeModifier))
		}
		if !slices.Equal(r.ParameterTypes, d.ParamOIDs) || !slices.Equal(ours, theirs) {
			t.Errorf("%s: ours %v %v, theirs %v %v", x.sql, r.ParameterTypes, ours, d.ParamOIDs, theirs)
			continue
		}
		s := &wirepb.Statement{Sql: x.sql}
		var values [][]byte
		for i := range d.ParamOIDs {
			s.Parameters = append(s.Parameters, &wirepb.Value{Value: &wirepb.Value_Text{Text: x.args[i]}})
			values = append(values, []byte(x.args[i]))
		}
		if a, b := answerOf(us.run(t, s)), o.askWith(t, x.sql, values); !agree(a, b, true) {
			t.Errorf("%s %v\n  ours:   %s\n  theirs: %s", x.sql, x.args, a, b)
		}
	}
}

// TestBind tells what a parameter may be besides a text.
func TestBind(t *testing.T) {
	us := open(t, engine.Options{})
	integer := func(n int64) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: n}} }
	blob := func(b string) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Blob{Blob: []byte(b)}} }
	text := func(s string) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Text{Text: s}} }
	float := func(f float64) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Real{Real: f}} }
	for _, x := range []struct {
		typ   uint32
		value *wirepb.Value
		want  string // the text, or a code after !
	}{
		{23, integer(5), "5"}, {23, integer(1 << 40), "!22003"}, {21, integer(-40000), "!22003"}, {20, integer(1 << 40), "1099511627776"},
		{1700, integer(7), "7"}, {1700, text("abc"), "!22P02"}, {1700, text("1.50"), "1.50"}, {1700, float(1.5), "!22P03"}, {701, float(1.5), "1.5"}, {701, integer(2), "2"},
		{16, integer(1), "t"}, {16, integer(2), "!22P03"}, {25, integer(1), "!22P03"}, {17, blob("\x01"), "\\x01"}, {25, blob("a"), "!22P03"},
		{2950, blob("0123456789abcdef"), "30313233-3435-3637-3839-616263646566"}, {2950, blob("short"), "!22P03"}, {1082, integer(0), "2000-01-01"}, {1082, integer(1 << 40), "!22003"},
		{1083, integer(-5), "!22003"}, {1114, integer(0), "2000-01-01 00:00:00"}, {1114, integer(-1 << 62), "!22003"}, {3802, text(`{"b":1,"a":2}`), `{"a": 2, "b": 1}`}, {3802, text("{"), "!22P02"},
		{1007, text("{1,2}"), "{1,2}"}, {1266, blob("123456789012"), "!22P03"}, {99999, integer(1), "!42704"}, {25, text("a\x00b"), "!22021"},
	} {
		a := answerOf(us.run(t, &wirepb.Statement{Sql: "SELECT $1", Parameters: []*wirepb.Value{x.value}, ParameterTypes: []uint32{x.typ}}))
		got := "!" + a.code
		if a.code == "" {
			got = a.rows[0][0]
		}
		if got != x.want {
			t.Errorf("%d %v: %s %s, want %s", x.typ, x.value, got, a.text, x.want)
		}
	}
	if a := answerOf(us.run(t, &wirepb.Statement{Sql: "SELECT $1::int"})); a.code != "08P01" {
		t.Errorf("without its parameter: %s", a)
	}
}

// TestZone shows that the session's zone decides what texts mean, and that it is part of the program.
func TestZone(t *testing.T) {
	us := open(t, engine.Options{})
	run := func(zone string) *wirepb.Outcome {
		return us.query(t, &engine.Program{Statements: []*wirepb.Statement{{Sql: "SELECT '2020-01-01 00:00'::timestamptz = '2020-01-01 00:00+01'::timestamptz"}}, GasLimit: 1_000_000, Settings: &wirepb.Settings{TimeZone: zone}})
	}
	for zone, want := range map[string]string{"": "f", "Europe/Berlin": "t", "UTC": "f"} {
		if a := answerOf(run(zone)); a.code != "" || a.rows[0][0] != want {
			t.Errorf("%q: %s", zone, a)
		}
	}
	if a := answerOf(run("Nowhere/City")); a.code != "22023" {
		t.Errorf("%s", a)
	}
}
