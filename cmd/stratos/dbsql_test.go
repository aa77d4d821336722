package main

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

func TestParameter(t *testing.T) {
	for text, want := range map[string]any{
		"42": int64(42), "-7": int64(-7), "9223372036854775808": 9223372036854775808.0, "4.2": 4.2, "1e3": 1000.0, "null": nil, "NULL": nil, "x'0aFF'": []byte{10, 255},
		"x''": []byte{}, "ink": "ink", "'42'": "42", "'it''s'": "it's", "": "", "nan": "nan", "inf": "inf", "0x10": "0x10", "1_000": "1_000", "x'": "x'",
	} {
		if got, err := parameter(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v", text, got, err)
		}
	}
	if _, err := parameter("x'0'"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("half a byte: %v", err)
	}
}

func TestWriteOutcome(t *testing.T) {
	o := &database.Outcome{Results: []database.Result{
		{Columns: []database.Column{{Name: "id"}, {Name: "what it is"}, {Name: "é"}}, Rows: [][]any{
			{int64(1), "plain", nil}, {int64(-20), "two\nlines\x1b[31m", 1.5}, {nil, "é", math.Inf(-1)}}},
		{Columns: []database.Column{{Name: "none"}}},
		{Columns: []database.Column{{Name: "blob"}}, Rows: [][]any{{[]byte{0xca, 0xfe}}}},
		{Changed: 1}, {Changed: 12}, {},
	}}
	var b strings.Builder
	writeOutcome(&b, o)
	want := ` id  |     what it is     |     é
-----+--------------------+-----------
   1 | plain              |
 -20 | two\nlines\x1b[31m |       1.5
     | é                  | -Infinity
(3 rows)

 none
------
(0 rows)

  blob
--------
 \xcafe
(1 row)

1 row changed

12 rows changed

done
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplained(t *testing.T) {
	err := &database.Error{Code: "23505", Text: "twice", Statement: 1, SQL: "INSERT\n  INTO t VALUES(" + strings.Repeat("1,", 100) + "1)"}
	got := explained(err, 3)
	var failed *database.Error
	if !strings.HasPrefix(got.Error(), "statement 2, INSERT INTO t VALUES(1,1,") || !strings.Contains(got.Error(), "...: twice (SQLSTATE 23505)") || mesh.KindOf(got) != mesh.Conflict || !errors.As(got, &failed) {
		t.Errorf("%v", got)
	}
	got = explained(&database.UnknownError{ID: database.ID{0xab}, Err: errors.New("all are away")}, 1)
	if mesh.KindOf(got) != mesh.Unavailable || !strings.Contains(mesh.HintOf(got), "--id ab00") {
		t.Errorf("%v, next %s", got, mesh.HintOf(got))
	}
	if got := explained(err, 1); got != error(err) {
		t.Errorf("of one statement: %v", got)
	}
}

func TestDatabasePorts(t *testing.T) {
	for _, c := range []struct{ given, transfer, want string }{
		{"", "203.0.113.7:26300", "203.0.113.7:26302"}, {"", "[::1]:26300", "[::1]:26302"}, {"none", "203.0.113.7:26300", ""}, {"10.0.0.1:5", "203.0.113.7:26300", "10.0.0.1:5"},
	} {
		if got, err := databasePorts(c.given, c.transfer); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	if _, err := databasePorts("", "nowhere"); mesh.KindOf(err) != mesh.Invalid {
		t.Error(err)
	}
}
