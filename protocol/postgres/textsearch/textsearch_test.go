package textsearch

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTokens compares with PostgreSQL's answers. A line of testdata/tokens.txt is a text, a tab, and its tokens: the type and the
// quoted text of each.
func TestTokens(t *testing.T) {
	lines, err := os.ReadFile("testdata/tokens.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(lines)) {
		quoted, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		text, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", quoted, err)
		}
		list, err := Tokens(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range list {
			got = append(got, strconv.Itoa(int(x.Type))+strconv.Quote(x.Text))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", quoted, s, want)
		}
		n++
	}
	if n < 800 {
		t.Errorf("only %d texts", n)
	}
}

// TestStopWords sees to the order of the list, and that it is used.
func TestStopWords(t *testing.T) {
	list := strings.Fields(englishStopWords)
	if len(list) != 127 || !slices.IsSorted(list) || len(slices.Compact(list)) != 127 {
		t.Errorf("%d words, or not in order", len(list))
	}
	v, err := English.Vector(nil, englishStopWords+"word "+strings.ToUpper(englishStopWords))
	if err != nil || v.String() != "'word':128" {
		t.Errorf("%s, %v", v, err)
	}
}

// TestParserIsLinear tries texts that make a parser read on in vain, again and again: what is paid does not grow faster than they do.
func TestParserIsLinear(t *testing.T) {
	for _, s := range []string{"a.b@c.d@", "a.bb@", "a_b@c_d_", "a_", "a-1-", "a.1.", "<", "<a ", "<a '", "<a \"<b '", "<a '\\", "<!-- ", "<script ", "a-a-a-a-", "é-1-", "1.1.1.1.", "-1.1.1", "1e", "1.1e+", "&", "&a", "&#1", "&#xa",
		"/./././", "/~/./", "a/./", "~/~/", "../", "a://", "a.bb:1", "a.bb/", "é1@b_", "1@", "-a@b"} {
		for _, text := range []string{strings.Repeat(s, 1<<10), strings.Repeat(s, 1<<15)} {
			var paid uint64
			if _, err := Tokens(func(n uint64) error { paid += n; return nil }, text); err != nil {
				t.Fatal(err)
			}
			if most := uint64(9 * perByte * len(text)); paid < uint64(perByte*len(text)) || paid > most {
				t.Errorf("%q, %d bytes: %d operations, not up to %d", s, len(text), paid, most)
			}
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
			rest := text
			for _, x := range tokens {
				if x.Text == "" || !utf8.ValidString(x.Text) || !strings.HasPrefix(rest, x.Text) {
					t.Fatalf("%q has a token %q at %q", text, x.Text, rest)
				}
				switch x.Type {
				case URL, HyphenWord, HyphenASCIIWord, HyphenNumWord: // what they are made of comes next
				default:
					rest = rest[len(x.Text):]
				}
			}
			if rest != "" && rest[0] != '<' {
				t.Fatalf("%q has no tokens from %q", text, rest)
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
