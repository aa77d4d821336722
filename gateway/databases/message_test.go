package databases

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
)

func TestValue(t *testing.T) {
	for _, v := range []any{nil, int64(math.MinInt64), 0.1, "é\"", []byte{0, 255}, []byte{}, ""} {
		b, err := json.Marshal(value{v})
		if err != nil {
			t.Fatal(err)
		}
		var got value
		if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got.v, v) {
			t.Errorf("%#v became %s, and %#v: %v", v, b, got.v, err)
		}
	}
	for _, bad := range []string{`{}`, `{"type":"integer","value":1}`, `{"type":"integer","value":"9223372036854775808"}`, `{"type":"float","value":"1"}`, `{"type":"text"}`,
		`{"type":"blob","base64":"*"}`, `{"type":"date","value":"x"}`, `[]`} {
		var got value
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is taken for %#v", bad, got.v)
		}
	}
	if b, err := json.Marshal(value{math.Inf(-1)}); err != nil || string(b) != `{"type":"float","value":-1e999}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestParameters(t *testing.T) {
	for sql, want := range map[string][]string{
		"SELECT 1":             nil,
		"SELECT ?, ?":          {"", ""},
		"SELECT ?3, ?":         {"", "", "?3", ""},
		"SELECT :a, ?, :a, @b": {":a", "", "@b"},
	} {
		if got, err := parameters(sql); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", sql, got, err)
		}
	}
	for _, bad := range []string{"SELECT ?0", "SELECT ?32767", "SELECT ?99999999999999999999"} {
		if got, err := parameters(bad); err == nil {
			t.Errorf("%s: %d", bad, len(got))
		}
	}
}

func text(s string) *string { return &s }

func TestProgram(t *testing.T) {
	ok := func(n int) *condition { return &condition{Type: "ok", Step: n} }
	open := func(n int) *condition {
		return &condition{Type: "and", Conds: []*condition{ok(n), {Type: "not", Cond: &condition{Type: "is_autocommit"}}}}
	}
	st := func(s string, c *condition) step { return step{Condition: c, Stmt: statement{SQL: text(s)}} }
	rollback := st("ROLLBACK", &condition{Type: "not", Cond: ok(2)})
	for _, c := range []struct {
		name  string
		steps []step
		want  int
	}{
		{"a program", []step{st("BEGIN", nil), st("INSERT", ok(0)), st("commit", ok(1)), rollback}, 3},
		{"of version 3", []step{st("BEGIN IMMEDIATE", nil), st("INSERT", open(0)), st("COMMIT", open(1)), rollback}, 3},
		{"nothing in it", []step{st("BEGIN", nil), st("COMMIT", ok(0)), rollback}, 0},
		{"no commit", []step{st("BEGIN", nil), st("INSERT", ok(0)), st("INSERT", ok(1))}, 0},
		{"reads only", []step{st("BEGIN TRANSACTION READONLY", nil), st("SELECT", ok(0)), st("COMMIT", ok(1))}, 0},
		{"other conditions", []step{st("BEGIN", nil), st("INSERT", ok(0)), st("COMMIT", ok(0))}, 0},
		{"none", []step{st("BEGIN", nil), st("INSERT", nil), st("COMMIT", ok(1))}, 0},
		{"a savepoint", []step{st("BEGIN", nil), st("SAVEPOINT a", ok(0)), st("COMMIT", ok(1))}, 0},
	} {
		if got := program(c.steps); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestHolds(t *testing.T) {
	s := &stream{}
	out := &batchResult{StepResults: []*statementResult{{}, nil, nil}, StepErrors: []*protocolError{nil, {}, nil}}
	deep := &condition{Type: "is_autocommit"}
	for range maxCondition + 1 {
		deep = &condition{Type: "not", Cond: deep}
	}
	for _, c := range []struct {
		json string
		want bool
	}{
		{`null`, true}, {`{"type":"ok","step":0}`, true}, {`{"type":"ok","step":1}`, false}, {`{"type":"error","step":1}`, true}, {`{"type":"error","step":0}`, false},
		{`{"type":"not","cond":{"type":"ok","step":1}}`, true}, {`{"type":"and","conds":[{"type":"ok","step":0},{"type":"ok","step":1}]}`, false},
		{`{"type":"or","conds":[{"type":"ok","step":1},{"type":"ok","step":0}]}`, true}, {`{"type":"and","conds":[]}`, true}, {`{"type":"or"}`, false}, {`{"type":"is_autocommit"}`, true},
	} {
		var m *condition
		if err := json.Unmarshal([]byte(c.json), &m); err != nil {
			t.Fatal(err)
		}
		if got, err := s.holds(m, 2, out, 0); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.json, got, err)
		}
	}
	for _, m := range []*condition{{Type: "ok", Step: 2}, {Type: "error", Step: -1}, {Type: "not"}, {Type: "and", Conds: []*condition{{Type: "perhaps"}}}, deep} {
		if _, err := s.holds(m, 2, out, 0); err == nil {
			t.Errorf("%+v holds or not", m)
		}
	}
}
