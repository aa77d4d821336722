package main

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

func texts(rows ...[]any) (all [][]*string) {
	for _, row := range rows {
		var out []*string
		for _, v := range row {
			if s, ok := v.(string); ok {
				out = append(out, &s)
			} else {
				out = append(out, nil)
			}
		}
		all = append(all, out)
	}
	return all
}

func readRows(r rowReader) (all [][]*string, err error) {
	for {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			_, err = r.next() // it stays at its end
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return all, err
		}
		if err != nil {
			return all, err
		}
		all = append(all, row)
	}
}

func TestRowsHaveLines(t *testing.T) {
	csv, err := newCSVReader(bufio.NewReader(strings.NewReader("a,b\n1,2\n\"x\ny\",3\n4,5\n6\n")), ',', "", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := newJSONReader(bufio.NewReader(strings.NewReader("\n[{\"a\":1},\n\n{\n\"a\":2},{\"a\":\n3},\n{\"b\":1}]")), nil)
	if err != nil {
		t.Fatal(err)
	}
	for r, want := range map[rowReader][]int{csv: {2, 3, 5, 6}, objects: {2, 4, 5, 7}} {
		for i, line := range want {
			if _, err := r.next(); r.line() != line || (err != nil) != (i == 3) {
				t.Errorf("%T, row %d: line %d, want %d; %v", r, i+1, r.line(), line, err)
			}
		}
	}
}

func TestCSVReader(t *testing.T) {
	long := strings.Repeat("long ", 5000) // more than the buffer of the reader
	for _, c := range []struct {
		name, text string
		want       [][]*string
		err        string
	}{
		{"plain", "a,b\n1,2\n3,4\n", texts([]any{"1", "2"}, []any{"3", "4"}), ""},
		{"no line end", "a,b\n1,2", texts([]any{"1", "2"}), ""},
		{"windows, marked", "\xef\xbb\xbfa,b\r\n1,2\r\n", texts([]any{"1", "2"}), ""},
		{"null and empty", "a,b\n,\"\"\n", texts([]any{nil, ""}), ""},
		{"quotes", "a,b\n\"x, \"\"y\"\"\",\"two\nlines\"\nx\"y,z\"w,1\n", texts([]any{`x, "y"`, "two\nlines"}, []any{"xy,zw", "1"}), ""},
		{"long", "a,b\n" + long + ",\"" + long + "\n" + long + "\"\n", texts([]any{long, long + "\n" + long}), ""},
		{"more fields", "a,b\n1,2,3\n", nil, "3 fields, and there are 2 columns: a, b"},
		{"fewer fields", "a,b\n1,2\n\n", texts([]any{"1", "2"}), "1 fields"},
		{"open", "a,b\n1,\"2\n", nil, "left open"},
		{"too large", "a,b\n" + strings.Repeat("x", maxRecord+1) + ",1\n", nil, "a row of more than"},
		{"other text", "a,b\n\xff,1\n", nil, "UTF-8"},
		{"empty", "", nil, "the file is empty"},
		{"no name", "a,\n", nil, "without a name"},
	} {
		r, err := newCSVReader(bufio.NewReaderSize(strings.NewReader(c.text), 4096), ',', "", nil, true)
		var got [][]*string
		if err == nil {
			if !reflect.DeepEqual(r.columns(), []string{"a", "b"}) {
				t.Errorf("%s: columns %q", c.name, r.columns())
			}
			got, err = readRows(r)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	r, err := newCSVReader(bufio.NewReader(strings.NewReader("1;\\N\n")), ';', `\N`, []string{"x", "y"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readRows(r); err != nil || !reflect.DeepEqual(got, texts([]any{"1", nil})) {
		t.Errorf("without a header: %v, %v", got, err)
	}
}

func TestJSONReader(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       [][]*string
		err        string
	}{
		{"lines", `{"a":1,"b":"x"}` + "\n" + `{"b":null,"a":1.50}`, texts([]any{"1", "x"}, []any{"1.50", nil}), ""},
		{"array", ` [{"a":true,"b":{"c": [1, 2]}}, {"a":"é\n"}]`, texts([]any{"true", `{"c": [1, 2]}`}, []any{"é\n", nil}), ""},
		{"other key", `{"a":1,"b":2}{"c":1}`, texts([]any{"1", "2"}), `a key "c", which is no column of the import: a, b`},
		{"twice", `{"a":1,"b":2}{"a":1,"a":2}`, texts([]any{"1", "2"}), "twice"},
		{"no object", `{"a":1,"b":2} 3`, texts([]any{"1", "2"}), "where an object should be"},
		{"behind the array", `[{"a":1,"b":2}] {}`, texts([]any{"1", "2"}), "behind its array"},
		{"broken off", `[{"a":1,"b":2}`, texts([]any{"1", "2"}), "ends within its array"},
		{"half an object", `{"a":1,"b":2}{"a":1,`, texts([]any{"1", "2"}), "the JSON, behind byte 13"},
		{"broken", `{"a":1,"b":2}{"a":}`, texts([]any{"1", "2"}), "the JSON, behind byte 13"},
		{"empty", ` []`, nil, "no object"},
		{"nothing", ``, nil, "no object"},
	} {
		r, err := newJSONReader(bufio.NewReader(strings.NewReader(c.text)), nil)
		var got [][]*string
		if err == nil {
			got, err = readRows(r)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add("a,b\n\"x\n\",y\n", true)
	f.Add(`[{"a":[{}]}]`, false)
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		var r rowReader
		var err error
		if in := bufio.NewReader(strings.NewReader(text)); csv {
			r, err = newCSVReader(in, ',', "", nil, true)
		} else {
			r, err = newJSONReader(in, nil)
		}
		if err == nil {
			var all [][]*string
			all, err = readRows(r)
			for _, row := range all {
				if len(row) != len(r.columns()) {
					t.Errorf("%d fields of %d columns", len(row), len(r.columns()))
				}
			}
		}
		if err != nil && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%v", err)
		}
	})
}

func TestTypeOf(t *testing.T) {
	for _, c := range []struct {
		values           []any
		postgres, sqlite string
	}{
		{[]any{"1", nil, "-20"}, "bigint", "INTEGER"},
		{[]any{"1", "2.50"}, "numeric", "REAL"},
		{[]any{"9223372036854775808"}, "numeric", "REAL"},
		{[]any{"007"}, "text", "text"},
		{[]any{"true", "false"}, "boolean", "TEXT"},
		{[]any{"2024-02-29"}, "date", "TEXT"},
		{[]any{"2024-02-29T10:00:00.5Z", "2024-02-29 10:00+01"}, "timestamptz", "TEXT"},
		{[]any{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, "uuid", "TEXT"},
		{[]any{"1", "x"}, "text", "text"},
		{[]any{nil}, "text", "text"},
		{nil, "text", "text"},
	} {
		var sample []record
		for _, v := range c.values {
			sample = append(sample, record{fields: texts([]any{v})[0]})
		}
		if p, s := typeOf(wiredatabase.Postgres, sample, 0), typeOf(wiredatabase.SQLite, sample, 0); p != c.postgres || s != c.sqlite {
			t.Errorf("%q: %s, %s", c.values, p, s)
		}
	}
}

func TestRelation(t *testing.T) {
	for name, want := range map[string]string{"items": "items", "shop.items": "shop.items", "Items": `"Items"`, "a b.c": `"a b".c`, `"x.y"`: `"x.y"`, "x; DROP": `"x; DROP"`} {
		if got := relation(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
