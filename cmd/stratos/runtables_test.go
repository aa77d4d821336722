package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

func TestParseTable(t *testing.T) {
	for s, want := range map[string]tableName{
		"db://shop/items":         {database: "shop", table: "items"},
		"db://shop/other.items":   {database: "shop", table: "other.items"},
		`db://shop/"a/b"`:         {database: "shop", table: `"a/b"`},
		"db://shop?query=TABLE t": {database: "shop", query: "TABLE t"},
		"db://shop?query= SELECT '%20' AS a, b FROM t WHERE c = '?query=' ": {database: "shop", query: "SELECT '%20' AS a, b FROM t WHERE c = '?query='"},
	} {
		if got, err := parseTable(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"db://", "db://shop", "db://shop/", "db:///items", "db://shop?query=", "db://shop?query= ", "db://shop?sql=SELECT 1", "shop/items"} {
		if got, err := parseTable(s); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
}

// What is exported as text is read as it was; what no COPY writes is refused with its line.
func TestText(t *testing.T) {
	var b strings.Builder
	x := &exporter{w: bufio.NewWriter(&b), format: "text", postgres: true}
	rows := [][]any{{"a\tb", nil, true}, {`c:\new` + "\r\n", int64(7), false}, {"", 1.5, nil}, {`\N`, []byte{1, 255}, true}}
	if err := x.add(database.Result{Columns: []database.Column{{Name: "a"}, {Name: "b"}, {Name: "c"}}, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	const want = "a\\tb\t\\N\tt\n" + `c:\\new\r\n` + "\t7\tf\n" + "\t1.5\t\\N\n" + `\\N` + "\t" + `\\x01ff` + "\tt\n"
	if b.String() != want {
		t.Fatalf("%q, want %q", b.String(), want)
	}
	r := newTextReader(bufio.NewReaderSize(strings.NewReader(strings.TrimSuffix(want, "\n")), 16), []string{"a", "b", "c"})
	for n, row := range rows {
		got, err := r.next()
		if err != nil || r.line() != n+1 {
			t.Fatalf("row %d at line %d: %v", n, r.line(), err)
		}
		for i, v := range row {
			if (v == nil) != (got[i] == nil) || v != nil && cellText(v) != *got[i] {
				t.Errorf("row %d: field %d is not %q", n, i, cellText(v))
			}
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
	for _, s := range []string{"a\n", "a\tb\tc\n", `a\` + "\tb\n", "a\t\\q\n", "a\xff\tb\n", strings.Repeat("x", maxRecord+1) + "\tb\n"} {
		r := newTextReader(bufio.NewReader(strings.NewReader(s)), []string{"a", "b"})
		if row, err := r.next(); mesh.KindOf(err) != mesh.Invalid || err == nil || r.line() != 1 {
			t.Errorf("%.20q: %v, %v", s, row, err)
		}
	}
}

func TestUpsertable(t *testing.T) {
	s := &tableShape{columns: []string{"id", "day", "n"}, types: []string{"int", "date", "int"}, key: []string{"id", "day"}}
	for _, c := range []struct {
		columns []string
		say     string
	}{
		{[]string{"day", "id"}, ""},
		{[]string{"id", "day", "n"}, ""},
		{[]string{"id", "day", "m"}, `no column "m"`},
		{[]string{"id", "n"}, `lack column "day"`},
		{[]string{"id", "day", "id"}, `"id" is named twice`},
	} {
		err := s.upsertable("t", c.columns)
		if (err == nil) != (c.say == "") || err != nil && (!strings.Contains(err.Error(), c.say) || mesh.KindOf(err) != mesh.Invalid) {
			t.Errorf("%v: %v", c.columns, err)
		}
	}
	s.key = nil
	if err := s.upsertable("t", s.columns); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("without a key: %v", err)
	}
}
