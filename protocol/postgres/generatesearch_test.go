package postgres_test

import (
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

var searchWords = []string{"cat", "cats", "dog", "running", "quick", "the", "a", "of", "fox", "Foxes", "happily", "relational", "generously", "dying", "skies", "news", "it's", "don't",
	"über", "naïve", "日本語", "x", "abc123", "123abc", "foo_bar", "well-known", "state-of-the-art", "x-ray", "Ö-b", "é-12-a", "a-1b", "12-34", "utf-8", "1-a-2", "foo-", "--x", "user@example.com", "a.b@c.d.org",
	"http://example.com/a/b?c=d#e", "example.com", "www.foo-bar.co.uk:8080/index.html", "ftp://x.y/z", "https://", "/usr/local/bin", "./a/b.c", "../x", "~/file", "C:\\dir", "a/b/c", "/", "index.html", "1.5", "-3", "+7", "1e10", "-2.5E-3", "3.14.15",
	"1.2.3.4", "192.168.0.1", "10,000", "<b>", "</b>", "<script>", "</script>", "<a href=\"x\">", "<br/>", "<!-- c -->", "<?xml x?>", "<x y='\\'z'>", "&amp;", "&#123;", "&#xFf;", "&nbsp", "(", ")", "!", "&", "|", ":", "*", "\"", "'", "\\",
	"@", "#", "%", "..", "-", "_", "\u00a0", "e\u0301", "😀", "İ", "or", "OR", "and", "abcdefghijklmnopqrstuvwxyz", "é", "1a", "a1", "a.1", "1.a", "a@1", "a_1.b", "x.y.z", "a-b.c", "ab.cd/ef", "a.b.cc:80/x", "mailto:a@b.cc", "\t", "\n"}

// prose is a text to search.
func (o *oracle) prose(most int) string {
	var b strings.Builder
	for range o.rand.IntN(most) {
		if o.rand.IntN(12) == 0 {
			for range 1 + o.rand.IntN(10) {
				b.WriteByte("abzAZ019 -_.:/@<>&;#?!\"'\\=+~%,()x\n"[o.rand.IntN(34)])
			}
		} else {
			b.WriteString(o.pick(searchWords...))
		}
		b.WriteString(o.pick(" ", " ", " ", " ", "", ", ", ". ", "-", "/", ":"))
	}
	return b.String()
}

func (o *oracle) lexeme() string {
	if o.rand.IntN(8) == 0 {
		return "'" + strings.ReplaceAll(strings.ReplaceAll(o.pick(searchWords...), `\`, `\\`), "'", "''") + "'"
	}
	return o.pick("cat", "dog", "fox", "a", "b", "c", "ab", "abc", "quick", "x", "über", "Cat", "'the cat'", `a\ b`, `b\:c`)
}

func (o *oracle) vectorText() string {
	var b strings.Builder
	for range o.rand.IntN(9) {
		b.WriteString(o.lexeme())
		if o.rand.IntN(4) > 0 {
			for i := range 1 + o.rand.IntN(4) {
				b.WriteString([]string{":", ","}[min(i, 1)])
				b.WriteString(strconv.Itoa(1 + o.rand.IntN(12)))
				b.WriteString(o.pick("", "", "", "A", "b", "C", "D", "*"))
			}
		}
		if o.rand.IntN(30) == 0 {
			b.WriteString(o.pick(":0", ":16383", ":99999", ":4294967297", ":1,", ":", ":x", ":1AA", ":1A2", ":16383,16383A"))
		}
		b.WriteString(o.pick(" ", " ", "  "))
	}
	return b.String()
}

func (o *oracle) queryText(depth int) string {
	if depth == 0 || o.rand.IntN(4) == 0 {
		return o.lexeme() + o.pick("", "", "", "", ":*", ":A", ":ab", ":*D", ":bC*")
	}
	switch o.rand.IntN(9) {
	case 0:
		return "!" + o.queryText(depth-1)
	case 1, 2:
		return "(" + o.queryText(depth-1) + ")"
	case 3:
		return o.queryText(depth-1) + " | " + o.queryText(depth-1)
	case 4:
		return o.queryText(depth-1) + o.pick(" <-> ", "<2>", " <0> ", "<3>") + o.queryText(depth-1)
	}
	return o.queryText(depth-1) + o.pick(" & ", "&", " & !") + o.queryText(depth-1)
}

func (o *oracle) webText() string {
	var b strings.Builder
	for range o.rand.IntN(8) {
		b.WriteString(o.pick("", "", "", "-", "\"", "or ", "OR ", "- ", "!", "(", ")", "|", "&", "<->"))
		b.WriteString(o.pick(searchWords...))
		b.WriteString(o.pick(" ", " ", "\" ", " or ", ":", ""))
	}
	return b.String()
}

// searching is an argument of a function of text search; false for others.
func (o *oracle) searching(r *postgres.Routine, i int, oid postgres.OID) (string, bool) {
	text := 0                                        // which text it is
	for _, a := range r.Args[:min(i, len(r.Args))] { // a variadic one has more
		if a == postgres.Text {
			text++
		}
	}
	switch r.Name {
	case "to_tsvector":
		if oid == postgres.Text {
			return o.prose(30), true
		}
	case "plainto_tsquery", "phraseto_tsquery":
		if oid == postgres.Text {
			return o.prose(8), true
		}
	case "websearch_to_tsquery":
		if oid == postgres.Text {
			return o.webText(), true
		}
	case "to_tsquery":
		if oid == postgres.Text {
			if o.rand.IntN(5) == 0 {
				return o.prose(4), true
			}
			return o.queryText(3), true
		}
	case "@@":
		if oid == postgres.Text {
			return o.prose(10), true
		}
	case "ts_headline":
		if oid == postgres.Text && text == 0 {
			return o.prose(150), true
		}
		if oid == postgres.Text {
			return o.headlineOptions(), true
		}
		if oid == postgres.TSQuery {
			return o.queryText(2), true
		}
	case "ts_rank", "ts_rank_cd":
		if oid == postgres.ArrayOf(postgres.Float4) {
			return o.pick("{0.1,0.2,0.4,1}", "{1,1,1,1}", "{0.5,-1,0.25,0.75}", "{0,0,0,1}", "{1,2,3}", "{1,1,1,2}", "{}", "{1,NULL,1,1}", "{{1,1},{1,1}}", "{0.3,0.3,0.3,0.3,7}"), true
		}
		if oid == postgres.Int4 {
			return strconv.Itoa(o.rand.IntN(64)), true
		}
	case "ts_delete":
		if oid == postgres.Text {
			return o.pick("cat", "dog", "a", "b", ""), true
		}
	case "tsquery_phrase":
		if oid == postgres.Int4 {
			return o.pick("0", "1", "2", "5", "16384", "16385", "-1"), true
		}
	}
	if oid == postgres.ArrayOf(postgres.Text) && (r.Name == "ts_delete" || r.Name == "setweight" || r.Name == "array_to_tsvector") {
		return o.pick("{cat,dog}", "{a,b,a}", "{}", "{cat,NULL}", `{""}`, "{{a,b},{c,x}}", "{über,abc}"), true
	}
	return "", false
}

func (o *oracle) headlineOptions() string {
	var list []string
	for range o.rand.IntN(4) {
		list = append(list, o.pick("MaxWords=10, MinWords=3", "MaxWords=5, MinWords=2", "MinWords = 40, maxwords=60", "ShortWord=0", "ShortWord=5", "MaxFragments=1", "MaxFragments=2", "MaxFragments=5", "HighlightAll=true", "HighlightAll=off",
			"StartSel=<i>, StopSel=</i>", "StartSel='*', StopSel=\"#\"", "FragmentDelimiter=|", "FragmentDelimiter=\" || \"", "StartSel=007", "MaxWords=1", "MinWords=0", "ShortWord=-1", "Bad=1", "MaxWords", "MaxWords=x", "\"MaxWords\"=20", "StartSel=E'a''b\\\\'", "StartSel='x"))
	}
	return strings.Join(list, o.pick(", ", " ", ","))
}
