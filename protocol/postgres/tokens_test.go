package postgres_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres/textsearch"
)

// testdata/tokens.txt of textsearch holds PostgreSQL's answers, which that package compares with its own: a text, a tab, its tokens.
// A text that is added gets its answer from
//
//	STRATOS_TOOLS=1 go test -run TestOracleTokens -oracle.record=textsearch/testdata/tokens.txt
const tokensFile = "textsearch/testdata/tokens.txt"

// parse asks for the tokens of texts, each as its type and quoted text.
func (o *oracle) parse(t *testing.T, texts []string) []string {
	t.Helper()
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for i, s := range texts {
		b.WriteString([]string{"{", ","}[min(i, 1)])
		b.WriteString(`"` + escape.Replace(s) + `"`)
	}
	b.WriteByte('}')
	r := o.conn.ExecParams(t.Context(), `select (select string_agg(tokid || ':' || token, chr(1)) from ts_parse('default', t))
		from unnest($1::text[]) with ordinality as u(t, n) order by n`, [][]byte{[]byte(b.String())}, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != len(texts) {
		t.Fatalf("%d answers to %d texts, %v", len(r.Rows), len(texts), r.Err)
	}
	answers := make([]string, len(texts))
	for i, row := range r.Rows {
		if row[0] == nil {
			continue // no tokens
		}
		var list []string
		for x := range strings.SplitSeq(string(row[0]), "\x01") {
			kind, text, _ := strings.Cut(x, ":")
			list = append(list, kind+strconv.Quote(text))
		}
		answers[i] = strings.Join(list, " ")
	}
	return answers
}

func tokens(t *testing.T, text string) string {
	t.Helper()
	list, err := textsearch.Tokens(nil, text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var b strings.Builder
	for i, x := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(int(x.Type)) + strconv.Quote(x.Text))
	}
	return b.String()
}

// tell is what tells kinds of tokens apart.
const tell = "aab1é.-_/:@&#;<>!?'\"=+~% \\eExX"

var tellWords = append(strings.Split(tell, ""), "http://", "https://www.example.com/", "example.com", "www.x-y.org", "a@b.cd", "john.doe@mail.example.co.uk", ":8080", "/index.html", "?a=b&c=d",
	"#part", "1.2.3", "1.5e10", "-3.14", "+1e-5", "2e+3", "1e5", "192.168.1.1", "<b>", "</b>", "<a href=\"x\">", "<a href='x>y'", "<!-- ", "-->", "<script>", "</script>", "<script ", "<STYLE>", "</style>",
	"</style ", "<br/>", "<?xml ", "<!DOCTYPE ", "&amp;", "&#38;", "&#x26;", "&lt", "/usr/local/bin", "../", "./", "..", "/.", "/~", "~/", "~user/", "C:\\dir", "well-known", "x-ray-1", "foo-1a-b", "été-à", "naïve",
	"1é", "é1@b.cd", "日本", "\u00a0", "\u200b", "😀", "\t", "\n", "\x02", ", ", ". ", "$1,000.00", "50%", "2026-11-23", "12:34:56", "a_b.c_d", "file.tar.gz", "://", "@1e5", ".com", ".c", ".co1", "a-", "-a", "1-", "\\'")

// TestOracleTokens parses here and there: texts of a few characters, all of them; random ones of characters, of fragments, of prose;
// short ones, repeated; and those of testdata, whose answers it writes if told to.
func TestOracleTokens(t *testing.T) {
	o := startOracle(t)
	total, bad := 0, 0
	var batch []string
	compare := func() {
		for i, theirs := range o.parse(t, batch) {
			total++
			if ours := tokens(t, batch[i]); ours != theirs {
				if bad++; bad <= 10 {
					t.Errorf("%q\n   ours %s\n theirs %s", batch[i], cutLong(ours), cutLong(theirs))
				}
			}
		}
		batch = batch[:0]
	}
	try := func(text string) {
		if batch = append(batch, text); len(batch) == 4000 {
			compare()
		}
	}
	var all func(prefix, alphabet string, most int)
	all = func(prefix, alphabet string, most int) {
		for _, c := range alphabet {
			try(prefix + string(c))
			if most > 1 {
				all(prefix+string(c), alphabet, most-1)
			}
		}
	}
	all("", tell, 3)
	for _, alphabet := range []string{"a1é.-", "ab._@", "a./~ ", "1e-+.", "<a'\\>", "<!->a", "&#x1;"} {
		all("", alphabet, 5)
	}
	several := func(of []string, most int) string {
		var b strings.Builder
		for range 1 + o.rand.IntN(most) {
			b.WriteString(o.pick(of...))
		}
		return b.String()
	}
	characters := strings.Split(tell, "")
	for range 100_000 {
		try(several(characters, 12))
		try(several(tellWords, 7))
	}
	for range 2000 {
		try(several(tellWords, 60))
		try(several(tellWords, 2) + strings.Repeat(several(tellWords, 4), 1+o.rand.IntN(60)) + several(tellWords, 2))
		try(o.prose(200))
	}
	compare()
	lines, err := os.ReadFile(tokensFile)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{}
	for line := range strings.Lines(string(lines)) {
		text, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		s, err := strconv.Unquote(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		batch, recorded[s] = append(batch, s), answer
	}
	var b strings.Builder
	for i, theirs := range o.parse(t, batch) {
		fmt.Fprintf(&b, "%q\t%s\n", batch[i], theirs)
		if *oracleRecord != tokensFile && recorded[batch[i]] != theirs {
			t.Errorf("%s has for %q\n        %s\n theirs %s", tokensFile, batch[i], recorded[batch[i]], theirs)
		}
	}
	if *oracleRecord == tokensFile {
		if err := os.WriteFile(tokensFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d texts, %d differ", total, bad)
}

// TestOracleStopWords looks for words that are stop words here and not there, or the other way round: all of up to four letters, and
// those longer ones that PostgreSQL describes itself with, and that a grammar lists.
func TestOracleStopWords(t *testing.T) {
	const longer = `about above across after again against almost alone along already although always among another anybody anyone anything are around aren because before being
		behind below beneath beside besides between beyond both cannot could couldn didn doesn doing down during each either enough every everyone everything except few
		from further hadn hasn haven having hence here hers herself himself how however inside instead into itself isn just least less like many might mightn more most much
		must mustn myself needn neither never nobody none nor nothing nowhere off often once only other others otherwise our ours ourselves out outside over own perhaps rather same
		shall shan should shouldn since some somebody someone something still such than that the their theirs them themselves then there therefore these they this those though through
		throughout thus till together too toward towards under underneath unless until upon very wasn were weren what whatever when whenever where wherever whether which
		whichever while who whoever whole whom whose why will with within without won would wouldn yet you your yours yourself yourselves`
	o := startOracle(t)
	r := o.conn.ExecParams(t.Context(), `with letters as (select chr(i) as c from generate_series(97, 122) as i union select ''), words as (
			select distinct a.c || b.c || c.c || d.c as w from letters a, letters b, letters c, letters d
			union select lower(m[1]) from (select description as d from pg_description union all select short_desc || ' ' || coalesce(extra_desc, '') from pg_settings) s, regexp_matches(d, '[A-Za-z]+', 'g') as m
			union select unnest(regexp_split_to_array($1, '\s+')))
		select w, ts_lexize('english_stem', w) = '{}' from words where w <> ''`, [][]byte{[]byte(longer)}, nil, nil, nil).Read()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	n := 0
	for _, row := range r.Rows {
		v, err := textsearch.English.Vector(nil, string(row[0]))
		if err != nil {
			t.Fatal(err)
		}
		theirs := string(row[1]) == "t"
		if theirs {
			n++
		}
		if (len(v) == 0) != theirs {
			t.Errorf("%s: a stop word there: %t", row[0], theirs)
		}
	}
	t.Logf("%d words, %d stop words", len(r.Rows), n)
}
