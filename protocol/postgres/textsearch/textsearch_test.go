package textsearch

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStates sees to it that in every state there is a rule for every character, and that the end of a text ends the search.
func TestStates(t *testing.T) {
	for s := base; s < states; s++ {
		rules := machine[s]
		if len(rules) == 0 {
			t.Errorf("state %d has no rules", s)
			continue
		}
		last := rules[len(rules)-1]
		if last.is != always || last.char != 0 {
			t.Errorf("state %d has no last rule", s)
		}
		for i, r := range rules {
			if i < len(rules)-1 && r.is == always && r.char == 0 {
				t.Errorf("state %d: what follows rule %d never counts", s, i)
			}
			if r.do&found != 0 && r.token == 0 {
				t.Errorf("state %d, rule %d finds nothing", s, i)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"The quick fox", "1:The 12:  1:quick 12:  1:fox"},
		{"foo-bar-3x é", "15:foo-bar-3x 11:foo 12:- 11:bar 12:- 9:3x 12:  2:é"},
		{"see http://x.org/a?b=1 now", "1:see 12:  14:http:// 5:x.org/a?b=1 6:x.org 18:/a?b=1 12:  1:now"},
		{"a@b.org <b>-1.5e3&amp;/usr/bin 1.2.3", "4:a@b.org 12:  13:<b> 7:-1.5e3 23:&amp; 19:/usr/bin 12:  8:1.2.3"},
	} {
		list, err := Tokens(nil, c.text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range list {
			got = append(got, strings.TrimLeft(string([]byte{'0' + byte(x.Type)/10, '0' + byte(x.Type)%10}), "0")+":"+x.Text)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %s, want %s", c.text, s, c.want)
		}
	}
}

var errTooMuch = errors.New("too much")

// limited is work up to a bound.
func limited(most uint64) Work {
	return func(n uint64) error {
		if n > most {
			return errTooMuch
		}
		most -= n
		return nil
	}
}

// TestHostile tries texts and queries that are made to take long, or to nest deep: they end, with an error or without.
func TestHostile(t *testing.T) {
	const most = 20_000_000
	for name, text := range map[string]string{
		"hyphens": strings.Repeat("a-", 1<<18), "addresses": strings.Repeat("a.bb@", 1<<16), "paths": strings.Repeat("/a", 1<<18), "dots": strings.Repeat("a.b.cc.", 1<<18), "tags": "<a " + strings.Repeat("b ", 1<<18),
		"comments": strings.Repeat("<!-- ", 1<<18), "quotes": strings.Repeat("<a '\\", 1<<18), "ports": strings.Repeat("a.bb:1/", 1<<16), "underscores": strings.Repeat("a_1", 1<<18), "numbers": strings.Repeat("1.", 1<<18), "signs": strings.Repeat("-1.", 1<<18),
	} {
		v, err := English.Vector(limited(most), text)
		if err == nil {
			if again, err := ParseVector(v.String()); err != nil || again.Compare(v) != 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, s := range map[string]string{
		"parentheses": strings.Repeat("(", 1<<18), "nots": strings.Repeat("!", 1<<18) + "a", "ands": strings.Repeat("a&", 1<<18) + "a", "phrases": strings.Repeat("a<9>", 1<<18) + "a", "right": strings.Repeat("a&(", 2000) + "a",
	} {
		if _, err := ParseQuery(limited(most), s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	deep, err := ParseQuery(nil, strings.Repeat("!(a & ", 900)+"b"+strings.Repeat(")", 900))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadExact(nil, deep.Exact())
	if err != nil || again.Compare(deep) != 0 {
		t.Errorf("a deep query: %v", err)
	}
	wide, err := ParseQuery(nil, strings.Repeat("a <-> b:* | ", 4000)+"c")
	if err != nil {
		t.Fatal(err)
	}
	v, err := Simple.Vector(nil, strings.Repeat("a b ", 4000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.RankCover(limited(1_000_000), DefaultWeights, wide, 0); err != errTooMuch {
		t.Errorf("ranking with too little: %v", err)
	}
	if _, err := Simple.Headline(limited(1_000_000), strings.Repeat("a b ", 4000), wide, "MaxFragments=1000"); err != errTooMuch {
		t.Errorf("a headline with too little: %v", err)
	}
}

// FuzzSearch puts texts and queries through all there is: nothing panics, and what is written reads back as the same value.
func FuzzSearch(f *testing.F) {
	f.Add("The quick <b>foxes</b> of x-ray 1.5 a@b.org http://x.org/a?b", "fox & !cat <-> (x:*AB | 'a b':c)", "MaxWords=5, MinWords=2, MaxFragments=2")
	f.Add("", "", "")
	f.Add("'a':1,2A 'b' c:16383,16383A", "!!a & ((b))", "StartSel='x', HighlightAll=1")
	f.Add("a-b-c &#x1; ../x /a~ -1.2.3 <!-- - -->", "a <16384> b", `"StopSel" = E'\\'''`)
	f.Fuzz(func(t *testing.T, text, query, options string) {
		if !utf8.ValidString(text) || !utf8.ValidString(query) || strings.Contains(text+query, "\x00") || len(text) > 1<<12 || len(query) > 1<<10 {
			return
		}
		work := func() Work { return limited(1 << 26) }
		tokens, err := Tokens(work(), text)
		if err == nil {
			for _, x := range tokens {
				if x.Text == "" || !utf8.ValidString(x.Text) {
					t.Fatalf("%q has a token %q", text, x.Text)
				}
			}
		}
		vectors := []Vector{}
		if v, err := English.Vector(work(), text); err == nil {
			vectors = append(vectors, v)
		}
		if v, err := ParseVector(text); err == nil {
			vectors = append(vectors, v)
		}
		queries := []Query{}
		if q, err := ParseQuery(work(), query); err == nil {
			queries = append(queries, q)
		}
		for _, make := range []func(Work, string) (Query, error){English.Query, English.Web, func(w Work, s string) (Query, error) { return Simple.Plain(w, s, Phrase) }} {
			if q, err := make(work(), query); err == nil {
				queries = append(queries, q)
			}
		}
		for _, v := range vectors {
			again, err := ParseVector(v.String())
			if err != nil || again.Compare(v) != 0 {
				t.Fatalf("%s reads back as %s, %v", v, again, err)
			}
			if again, err = DecodeVector(v.Binary()); err != nil || again.Compare(v) != 0 {
				t.Fatalf("%s comes back as %s, %v", v, again, err)
			}
			both, err := v.Concat(v)
			if err != nil || len(both) != len(v) {
				t.Fatalf("%s twice is %s, %v", v, both, err)
			}
			for _, q := range queries {
				ok, err := v.Match(work(), q)
				if err != nil {
					continue
				}
				not, err := q.Negated()
				if err != nil {
					continue
				}
				if other, err := v.Match(work(), not); err == nil && len(q) > 0 && other == ok {
					t.Fatalf("%s matches neither %s nor its opposite, or both", v, q)
				}
				if _, all := q.Indexable(); ok && !all && len(v) == 0 {
					t.Fatalf("nothing matches %s", q)
				}
				v.Rank(work(), DefaultWeights, q, 63)
				v.RankCover(work(), DefaultWeights, q, 63)
			}
		}
		for _, q := range queries {
			again, err := ReadExact(work(), q.Exact())
			if err != nil || !bytes.Equal(again.Binary(), q.Binary()) {
				t.Fatalf("%s reads back as %s, %v", q.Exact(), again.Exact(), err)
			}
			if len(q) > 0 {
				if again, err = DecodeQuery(q.Binary()); err != nil || again.Exact() != q.Exact() {
					t.Fatalf("%s comes back as %s, %v", q, again, err)
				}
			}
			English.Headline(work(), text, q, options)
		}
		DecodeVector([]byte(text))
		DecodeQuery([]byte(query))
	})
}

// BenchmarkGas shows what a gas of each kind of work takes: 32 simple operations.
func BenchmarkGas(b *testing.B) {
	text := strings.Repeat("The relational databases of strangers are running generously; see http://example.com/a/b?c=d and well-known x-rays. ", 40)
	v, _ := English.Vector(nil, text)
	large, _ := Simple.Vector(nil, strings.Repeat("a b ", 8000))
	q, _ := English.Query(nil, "(relat <-> databas & run:*) | !x-ray & strang:* | (w:* & e:*)")
	pairs, _ := ParseQuery(nil, "a & b")
	wide, _ := ParseQuery(nil, strings.Repeat("a <-> b | ", 500)+"c")
	some, _ := ParseQuery(nil, strings.Repeat("a <-> b | ", 10)+"a <2> b")
	prefixes, _ := ParseQuery(nil, strings.Repeat("a:* | ", 500)+"c:*")
	for _, x := range []struct {
		name string
		do   func(Work) error
	}{
		{"text", func(w Work) error { _, err := English.Vector(w, text); return err }},
		{"hyphens", func(w Work) error { _, err := English.Vector(w, strings.Repeat("ab-", 10000)); return err }},
		{"addresses", func(w Work) error { _, err := English.Vector(w, strings.Repeat("a.bb@", 500)); return err }},
		{"query", func(w Work) error { _, err := ParseQuery(w, strings.Repeat("a <-> b:* | ", 2000)+"c"); return err }},
		{"plain query", func(w Work) error { _, err := English.Plain(w, text, And); return err }},
		{"match", func(w Work) error { _, err := v.Match(w, q); return err }},
		{"match phrases", func(w Work) error { _, err := large.Match(w, wide); return err }},
		{"match prefixes", func(w Work) error { _, err := large.Match(w, prefixes); return err }},
		{"rank pairs", func(w Work) error { _, err := large.Rank(w, DefaultWeights, pairs, 0); return err }},
		{"rank any", func(w Work) error { _, err := v.Rank(w, DefaultWeights, q, 0); return err }},
		{"rank covers", func(w Work) error { _, err := large.RankCover(w, DefaultWeights, pairs, 0); return err }},
		{"rank phrases", func(w Work) error { _, err := large.RankCover(w, DefaultWeights, wide, 0); return err }},
		{"headline", func(w Work) error { _, err := English.Headline(w, text, q, "MaxFragments=3"); return err }},
		{"headline of phrases", func(w Work) error {
			_, err := Simple.Headline(w, strings.Repeat("a c b d ", 200), some, "")
			return err
		}},
	} {
		b.Run(x.name, func(b *testing.B) {
			var operations uint64
			for b.Loop() {
				operations = 0
				if err := x.do(func(n uint64) error { operations += n; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(float64(operations)/32), "ns/gas")
		})
	}
	s := v.String()
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			ParseVector(s)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s)*4/32), "ns/gas")
	})
}
