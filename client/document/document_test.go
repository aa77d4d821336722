package document

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

func TestPath(t *testing.T) {
	for s, want := range map[string]string{"a": `'{"a"}'`, "a.b.0": `'{"a","b","0"}'`, `a\.b`: `'{"a.b"}'`, `it's "x"\\`: `'{"it''s \"x\"\\"}'`} {
		keys, err := path(s)
		if err != nil || array(keys) != want {
			t.Errorf("%s: %q, %v", s, keys, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", "a..b", "a\x00", strings.Repeat("a.", maxNested) + "a"} {
		if _, err := path(bad); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestEqualities(t *testing.T) {
	into := map[string]json.RawMessage{}
	filter := `{"a":1,"b.c":{"$eq":"x","$gt":0},"b.d":{"e":2},"f":{"$gt":1},"$and":[{"g":null}],"$or":[{"h":1}]}`
	if err := equalities(json.RawMessage(filter), into, 0); err != nil {
		t.Fatal(err)
	}
	got, err := nested(into)
	if want := `{"a":1,"b":{"c":"x","d":{"e":2}},"g":null}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{`{"a":1,"a.b":2}`, `{"a.b":2,"a":1}`} {
		into := map[string]json.RawMessage{}
		if err := equalities(json.RawMessage(bad), into, 0); err != nil {
			t.Fatal(err)
		}
		if got, err := nested(into); err == nil {
			t.Errorf("%s makes %s", bad, got)
		}
	}
}

// Whatever a filter or a change is, it is refused as invalid, or becomes SQL with as many parameters as it has places for them.
func FuzzSQL(f *testing.F) {
	f.Add(`{"a.b":{"$gt":1,"$not":{"$in":[1,null]}},"$or":[{"_id":"x"},{"t":{"$contains":"it's"}}]}`)
	f.Add(`{"$set":{"a.b":1},"$inc":{"n":2},"$push":{"l":{}},"$rename":{"x":"y"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		check := func(sql string, b *builder, err error) {
			if err != nil {
				if k := mesh.KindOf(err); k != mesh.Invalid && k != mesh.Exhausted {
					t.Errorf("%v", err)
				}
				return
			}
			for i := range b.parameters {
				if !strings.Contains(sql, "$"+string(rune('1'+i%9))) && i < 9 {
					t.Errorf("%s lacks parameter %d", sql, i+1)
				}
			}
		}
		b := new(builder)
		where, err := b.filter(json.RawMessage(text))
		check(where, b, err)
		all, _, err := changes(json.RawMessage(text))
		if err == nil {
			b = new(builder)
			var doc string
			doc, err = b.chain("doc", all, true)
			check(doc, b, err)
		}
	})
}

func TestSearch(t *testing.T) {
	for filter, want := range map[string]string{
		`{"a.b":{"$text":"cat -dog"}}`:                                      `((to_tsvector('english', (doc #> '{"a","b"}')) @@ websearch_to_tsquery('english', $1::text)))`,
		`{"a":{"$text":{"search":"x","language":"simple"}}}`:                `((to_tsvector('simple', (doc #> '{"a"}')) @@ websearch_to_tsquery('simple', $1::text)))`,
		`{"a":{"$not":{"$text":{"search":"x"}}},"b":1}`:                     `((NOT coalesce((to_tsvector('english', (doc #> '{"a"}')) @@ websearch_to_tsquery('english', $1::text)), false)) AND (doc #> '{"b"}') = $2::jsonb)`,
		`{"a":{"$text":1}}`:                                                 "",
		`{"a":{"$text":null}}`:                                              "",
		`{"a":{"$text":{"search":"x","language":"english'); DROP TABLE"}}}`: "",
		`{"a":{"$text":{"find":"x"}}}`:                                      "",
		`{"$text":"x"}`:                                                     "",
	} {
		b := new(builder)
		got, err := b.filter(json.RawMessage(filter))
		if got != want || (want == "") != (mesh.KindOf(err) == mesh.Invalid && err != nil) {
			t.Errorf("%s: %s, %v", filter, got, err)
		}
	}
	c := &Collection{name: "c"}
	if a, b := c.indexName(Index{Path: "a", Text: "english"}), c.indexName(Index{Path: "a"}); a == b {
		t.Errorf("two indexes have the name %s", a)
	}
	if f, err := (Index{Path: "a", Text: "simple"}).field(); err != nil || f != `to_tsvector('simple', (doc #> '{"a"}'))` {
		t.Errorf("%s, %v", f, err)
	}
	for _, bad := range []Index{{Path: "a", Text: "german"}, {Path: "a", Text: "simple", Unique: true}} {
		if _, err := bad.field(); err == nil {
			t.Errorf("%v", bad)
		}
	}
}
