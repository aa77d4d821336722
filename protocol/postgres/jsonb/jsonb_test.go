package jsonb_test

import (
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
)

func TestOrder(t *testing.T) {
	// As PostgreSQL 15 sorts them; an empty list comes before all else, as it always has.
	sorted := []string{`[]`, `null`, `""`, `"a"`, `"b"`, `-1`, `1`, `2`, `false`, `true`, `[1]`, `[1, 2]`, `{}`, `{"a": 1}`, `{"a": 2}`, `{"b": 1}`, `{"a": 1, "b": 1}`}
	for i, a := range sorted {
		for j, b := range sorted {
			if c := jsonb.CompareText(a, b); (c < 0) != (i < j) || (c > 0) != (i > j) {
				t.Errorf("%s and %s compare %d", a, b, c)
			}
		}
	}
	if jsonb.CompareText("1.0", "1.00") != 0 {
		t.Error("1.0 is not 1.00")
	}
}

func TestDepth(t *testing.T) {
	if _, err := jsonb.Parse(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)); err != nil {
		t.Error(err)
	}
	if _, err := jsonb.Parse(strings.Repeat("[", 1e6)); err == nil {
		t.Error("a million lists in each other were accepted")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.50, null, true], "b": "\u00e9\n"}`, `"\ud83d\ude00"`, `[[],{}]`, `-0.0e-5`, ` [ 1 ] `, `{"a":1,"a":2}`, `"\u0000"`} {
		f.Add(s, "[1]")
	}
	f.Fuzz(func(t *testing.T, s, u string) {
		if len(s)+len(u) > 5000 {
			return
		}
		v, err := jsonb.Parse(s)
		if err != nil {
			return
		}
		if jsonb.Valid(s) != nil {
			t.Fatalf("%q is jsonb but not json", s)
		}
		text := v.String()
		w, err := jsonb.Parse(text)
		if err != nil || w.String() != text || jsonb.Compare(v, w) != 0 {
			t.Fatalf("%q is %q, which is %q (%v)", s, text, w, err)
		}
		if x, err := jsonb.Parse(u); err == nil {
			if a, b := jsonb.Compare(v, x), jsonb.Compare(x, v); (a < 0) != (b > 0) || (a > 0) != (b < 0) {
				t.Fatalf("%s and %s have no order", v, x)
			}
		}
	})
}
