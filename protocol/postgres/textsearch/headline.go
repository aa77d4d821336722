package textsearch

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// headlineOptions are how a headline is made.
type headlineOptions struct {
	minWords, maxWords, shortWord, maxFragments int32
	all                                         bool
	start, stop, delimiter                      string
}

// A headlineWord is a token of the text, or one more operand of the query that the token before it is.
type headlineWord struct {
	Token
	at       int // position, if it has one
	item     int // of the query, from 1; 0 for none
	repeated bool

	in, selected, replaced, skipped bool
}

type headline struct {
	o        headlineOptions
	q        Query
	words    []headlineWord
	work     *worker
	maxCover int
	first    int // of the words that are looked at
	last     int
	m        *matcher
}

// Headline shows a text with the words of a query marked, or the parts of it that match: ts_headline.
func (c Config) Headline(work Work, text string, q Query, options string) (string, error) {
	h := &headline{q: q, work: &worker{work: work}}
	if err := h.parse(c, text); err != nil {
		return "", err
	}
	if err := h.options(options); err != nil {
		return "", err
	}
	h.m = &matcher{q: q, work: h.work, lookup: h.has}
	h.choose()
	if h.m.failed != nil {
		return "", h.m.failed
	}
	out, err := h.text()
	if err != nil {
		return "", err
	}
	return out, h.work.settle()
}

// parse finds the words, and those of them that are in the query.
func (h *headline) parse(c Config, text string) error {
	s := newScanner(text, h.work)
	at := 0
	for {
		t, ok, err := s.next()
		if err != nil || !ok {
			return err
		}
		if len(t.Text) > MaxWord {
			continue
		}
		h.words = append(h.words, headlineWord{Token: t})
		lexeme, counts, err := c.lexeme(t, h.work)
		if err != nil {
			return err
		}
		if !counts {
			continue
		}
		if at++; lexeme == "" {
			continue
		}
		if err := h.work.do(uint64(len(h.q) * 4)); err != nil {
			return err
		}
		n := len(h.words) - 1
		h.words[n].at = min(at, maxPosition)
		for i := range h.q {
			o := &h.q[i]
			if o.Operator != 0 || o.Word != lexeme && !(o.Prefix && strings.HasPrefix(lexeme, o.Word)) {
				continue
			}
			if h.words[n].item == 0 {
				h.words[n].item = i + 1
				continue
			}
			more := h.words[n]
			more.item, more.repeated = i+1, true
			h.words = append(h.words, more)
		}
	}
}

func (h *headline) options(s string) error {
	h.o = headlineOptions{minWords: 15, maxWords: 35, shortWord: 3, start: "<b>", stop: "</b>", delimiter: " ... "}
	list, err := readOptions(s)
	if err != nil {
		return err
	}
	o := &h.o
	for _, k := range list {
		name := lower(k.name)
		number := map[string]*int32{"maxwords": &o.maxWords, "minwords": &o.minWords, "shortword": &o.shortWord, "maxfragments": &o.maxFragments}[name]
		text := map[string]*string{"startsel": &o.start, "stopsel": &o.stop, "fragmentdelimiter": &o.delimiter}[name]
		switch {
		case number != nil:
			if *number, err = readInt(k.value); err != nil {
				return err
			}
		case text != nil:
			*text = k.value
		case name == "highlightall":
			switch lower(k.value) {
			case "1", "on", "true", "t", "y", "yes":
				o.all = true
			default:
				o.all = false
			}
		default:
			return sqlstate.New(sqlstate.BadParameter, "unrecognized headline parameter: \"%s\"", k.name)
		}
	}
	limit := max(o.maxWords*10, 100) // as C's int does
	if o.maxFragments > 0 {
		limit *= o.maxFragments
	}
	h.maxCover = int(limit)
	bad := ""
	switch {
	case o.all:
	case o.minWords >= o.maxWords:
		bad = "MinWords should be less than MaxWords"
	case o.minWords <= 0:
		bad = "MinWords should be positive"
	case o.shortWord < 0:
		bad = "ShortWord should be >= 0"
	case o.maxFragments < 0:
		bad = "MaxFragments should be >= 0"
	}
	switch {
	case bad != "":
	case len(o.start) > math.MaxInt16:
		bad = "value for \"StartSel\" is too long"
	case len(o.stop) > math.MaxInt16:
		bad = "value for \"StopSel\" is too long"
	case len(o.delimiter) > math.MaxInt16:
		bad = "value for \"FragmentDelimiter\" is too long"
	}
	if bad != "" {
		return sqlstate.New(sqlstate.BadParameter, "%s", bad)
	}
	return nil
}

func readInt(s string) (int32, error) {
	t := strings.Trim(s, " \t\n\v\f\r")
	n, err := strconv.ParseInt(t, 10, 32)
	if err == nil && !strings.Contains(t, "_") {
		return int32(n), nil
	}
	if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
		return 0, sqlstate.New(sqlstate.OutOfRange, "value \"%s\" is out of range for type %s", s, "integer")
	}
	return 0, sqlstate.BadInput("integer", s)
}

type option struct{ name, value string }

// readOptions reads name = value, name = 'value' and the like, with commas or blanks between them.
func readOptions(s string) (list []option, err error) {
	bad := sqlstate.New(sqlstate.SyntaxError, "invalid parameter list format: \"%s\"", s)
	// quoted takes what ends with a quote; two of them are one, and two backslashes too where slash says so.
	quoted := func(quote byte, slash bool) (string, bool) {
		var b strings.Builder
		for s != "" {
			c := s[0]
			double := len(s) > 1 && s[1] == c
			s = s[1:]
			switch {
			case c == quote && !double:
				return b.String(), true
			case c == quote || c == '\\' && slash && double:
				s = s[1:]
			}
			b.WriteByte(c)
		}
		return "", false
	}
	blanks := func() {
		for s != "" && isSpace(s[0]) {
			s = s[1:]
		}
	}
	for {
		for s != "" && (isSpace(s[0]) || s[0] == ',') {
			s = s[1:]
		}
		if s == "" {
			return list, nil
		}
		var o option
		ok := true
		if s[0] == '"' {
			s = s[1:]
			if o.name, ok = quoted('"', false); !ok {
				return nil, bad
			}
		} else {
			n := 1
			for n < len(s) && !isSpace(s[n]) && s[n] != '=' {
				n++
			}
			o.name, s = s[:n], s[n:]
		}
		if blanks(); s == "" || s[0] != '=' {
			return nil, bad
		}
		s = s[1:]
		if blanks(); s == "" {
			return nil, bad
		}
		switch {
		case s[0] == '\'', strings.HasPrefix(s, "E'"):
			s = s[strings.IndexByte(s, '\'')+1:]
			o.value, ok = quoted('\'', true)
		case s[0] == '"':
			s = s[1:]
			o.value, ok = quoted('"', false)
		default:
			n := 1
			for n < len(s) && !isSpace(s[n]) && s[n] != ',' {
				n++
			}
			o.value, s = s[:n], s[n:]
			if i, err := strconv.ParseInt(o.value, 10, 32); err == nil && !strings.Contains(o.value, "_") {
				o.value = strconv.FormatInt(i, 10)
			}
		}
		if !ok {
			return nil, bad
		}
		list = append(list, o)
	}
}

// has looks for an operand among the words that are looked at.
func (h *headline) has(at int, p *places) truth {
	h.m.pay(4 + 2*(h.last-h.first))
	for i := h.first; i <= h.last; i++ {
		if h.words[i].item != at+1 {
			continue
		}
		if p == nil {
			return yes
		}
		if n := len(p.at); n == 0 || p.at[n-1] < h.words[i].at {
			p.at = append(p.at, h.words[i].at)
		}
	}
	if p != nil && len(p.at) > 0 {
		return yes
	}
	return no
}

// inQuery is the first word from a place on that the query has, or -1.
func (h *headline) inQuery(from int) int {
	for i := from; i < len(h.words); i++ {
		if h.words[i].item != 0 {
			h.m.pay(i - from)
			return i
		}
	}
	h.m.pay(len(h.words) - from)
	return -1
}

// cover finds the next part of the text that the query matches.
func (h *headline) cover(from int) (first, last int, ok bool) {
	if len(h.q) == 0 {
		return 0, 0, false
	}
	for first = h.inQuery(from); first >= 0 && h.m.failed == nil; {
		next := -1
		for last = first; last >= 0 && (last == first || last-first < h.maxCover); {
			h.first, h.last = first, last
			if h.m.run(0) != no {
				return first, last, true
			}
			if h.m.failed != nil {
				return 0, 0, false
			}
			was := last
			last = h.inQuery(last + 1)
			if was == first {
				next = last
			}
		}
		first = next
	}
	return 0, 0, false
}

// counted tells whether a token counts as a word of a headline.
func (h *headline) counted(i int) int {
	switch h.words[i].Type {
	case Blank, Tag, URL, HyphenNumWord, HyphenASCIIWord, HyphenWord:
		return 0
	}
	return 1
}

func (h *headline) interesting(i int) bool { return h.words[i].item != 0 && !h.words[i].repeated }

func (h *headline) interest(i int) int {
	if h.interesting(i) {
		return 1
	}
	return 0
}

// badEnd tells whether a headline had better not end, or begin, with a token.
func (h *headline) badEnd(i int) bool {
	bad := h.counted(i) == 0
	switch h.words[i].Type {
	case Scientific, Version, Decimal, SignedInt, UnsignedInt, Protocol, Entity:
		bad = true
	}
	return (bad || len(h.words[i].Text) <= int(h.o.shortWord)) && !h.interesting(i)
}

func (h *headline) mark(first, last int) {
	for i := first; i <= last; i++ {
		w := &h.words[i]
		if w.item != 0 {
			w.selected = true
		}
		switch w.Type {
		case Tag:
			w.replaced = w.replaced || !h.o.all
		case URL, HyphenNumWord, HyphenASCIIWord, HyphenWord:
			w.skipped = true
		}
		w.in = !w.repeated
	}
}

// beginning marks as many words as there have to be.
func (h *headline) beginning() {
	last := -1
	for i, n := 0, 0; i < len(h.words) && n < int(h.o.minWords); i++ {
		n += h.counted(i)
		last = i
	}
	h.mark(0, last)
}

func (h *headline) choose() {
	switch {
	case h.o.maxFragments != 0:
		h.fragments()
	case h.o.all:
		h.mark(0, len(h.words)-1)
	default:
		h.best()
	}
}

// best marks the best part of the text that has a cover.
func (h *headline) best() {
	bestFirst, bestLast, bestCount, bestWhole := -1, -1, -1, false
	least, most := int(h.o.minWords), int(h.o.maxWords)
	for p := 0; ; {
		from, to, ok := h.cover(p)
		if !ok {
			break
		}
		length, count := 0, 0
		first, last := from, from
		i := from
		for ; i <= to && length < most; i++ {
			length += h.counted(i)
			count += h.interest(i)
			last = i
		}
		if length < most {
			for i--; i < len(h.words) && length < most; i++ {
				if i > to {
					length += h.counted(i)
					count += h.interest(i)
				}
				last = i
				if !h.badEnd(i) && length >= least {
					break
				}
			}
			if length < least {
				for i = from - 1; i >= 0; i-- {
					length += h.counted(i)
					count += h.interest(i)
					if length >= most || !h.badEnd(i) && length >= least {
						break
					}
				}
				first = max(i, 0)
			}
		} else {
			for i = min(i, to); length > least && h.badEnd(i); i-- {
				length -= h.counted(i)
				count -= h.interest(i)
				last = i - 1
			}
		}
		h.m.pay(8 * (last - first + 1))
		whole := first <= from && last >= to
		if whole && !bestWhole || whole == bestWhole && (count > bestCount || count == bestCount && !h.badEnd(last) && h.badEnd(bestLast)) {
			bestFirst, bestLast, bestCount, bestWhole = first, last, count, whole
		}
		p = from + 1
	}
	if bestCount < 0 {
		h.beginning()
		return
	}
	h.mark(bestFirst, bestLast)
}

// text is the headline.
func (h *headline) text() (string, error) {
	var b strings.Builder
	fragments, in := 0, false
	for i := range h.words {
		w := &h.words[i]
		switch {
		case w.repeated:
		case !w.in:
			in = false
		default:
			if !in {
				if fragments++; fragments > 1 {
					b.WriteString(h.o.delimiter)
				}
				in = true
			}
			switch {
			case w.replaced:
				b.WriteByte(' ')
			case w.skipped:
			case w.selected:
				b.WriteString(h.o.start)
				b.WriteString(w.Text)
				b.WriteString(h.o.stop)
			default:
				b.WriteString(w.Text)
			}
		}
		if b.Len() > maxHeadline {
			return "", sqlstate.New(sqlstate.LimitExceeded, "headline too large: at most %d bytes", maxHeadline)
		}
	}
	return b.String(), h.work.do(uint64(b.Len()))
}

// maxHeadline bounds a headline, in bytes.
const maxHeadline = 4 << 20
