package textsearch

import (
	"cmp"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// An Operator of a query, by PostgreSQL's number.
type Operator uint8

// The operators. A word has none.
const (
	Not    Operator = 1
	And    Operator = 2
	Or     Operator = 3
	Phrase Operator = 4

	stopped Operator = 5 // a stop word, until it is taken out
)

// binds is how strongly an operator does.
func (o Operator) binds() int { return [...]int{0, 4, 2, 1, 3}[o] }

// An Item is an operator or a word of a query.
type Item struct {
	Operator Operator
	Distance int16 // of a phrase
	Left     int   // how far behind the item its left operand is; the right one, or the only one, is the next item
	Word     string
	Weights  uint8 // a bit for each weight that the word may have there, 0 for any
	Prefix   bool  // what begins with the word does too
}

// A Query is a value of tsquery: an operator before its right operand before its left one. None matches nothing.
type Query []Item

// Bounds of a query. PostgreSQL has as many as its stack and memory allow.
const (
	MaxItems  = 16384
	maxNested = 1000 // parentheses
	maxStack  = 32   // operators that wait for their operand, as in PostgreSQL
)

func tooComplex(what string, n int) error {
	return sqlstate.New(sqlstate.TooComplex, "tsquery too complex: more than %d %s", n, what)
}

// A builder takes operators and words in postfix notation.
type builder struct {
	items  []Item // the last one first
	whole  string
	length int // of all words, as PostgreSQL counts
	w      *worker
}

func (b *builder) operator(o Operator, distance int16) error {
	if o != Phrase {
		distance = 0
	}
	return b.add(Item{Operator: o, Distance: distance})
}

func (b *builder) add(i Item) error {
	if len(b.items) >= MaxItems {
		return tooComplex("words and operators", MaxItems)
	}
	b.items = append(b.items, i)
	return nil
}

func (b *builder) word(word string, weights uint8, prefix bool) error {
	switch {
	case len(word) > MaxWord:
		return sqlstate.New(sqlstate.LimitExceeded, "word is too long in tsquery: \"%s\"", b.whole)
	case b.length >= maxWords:
		return sqlstate.New(sqlstate.LimitExceeded, "value is too big in tsquery: \"%s\"", b.whole)
	}
	b.length += len(word) + 1
	return b.add(Item{Word: word, Weights: weights, Prefix: prefix})
}

// linked says where left operands are. It returns nil when operators and words do not make one query.
func (q Query) linked() Query {
	// From the end, each operator takes the operands that follow it: their lengths lie on a stack, the next one on top.
	sizes := make([]int, 0, len(q))
	for i := len(q) - 1; i >= 0; i-- {
		need := 2
		switch q[i].Operator {
		case 0, stopped:
			need = 0
		case Not:
			need = 1
		}
		if len(sizes) < need {
			return nil
		}
		size := 1
		for range need {
			q[i].Left = size
			size += sizes[len(sizes)-1]
			sizes = sizes[:len(sizes)-1]
		}
		sizes = append(sizes, size)
	}
	if len(sizes) != 1 {
		return nil
	}
	return q
}

func (b *builder) query() (Query, error) {
	q := Query(b.items)
	slices.Reverse(q)
	if len(q) == 0 {
		return nil, nil // with a notice, in PostgreSQL
	}
	if q = q.linked(); q == nil {
		return nil, sqlstate.New(sqlstate.Internal, "malformed tsquery: operand not found")
	}
	return q.withoutStops()
}

// A queryReader reads what tsquery writes, or what people write for a search engine.
type queryReader struct {
	words   wordReader
	build   *builder
	value   func(b *builder, word string, weights uint8, prefix bool) error
	web     bool
	own     bool // it is what Exact wrote, which may be larger and deeper
	opened  int
	operand bool // one is next
	first   bool
	pending []waiting
}

type waiting struct {
	operator Operator
	distance int16
}

func (r *queryReader) syntax() error {
	return sqlstate.New(sqlstate.SyntaxError, "syntax error in tsquery: \"%s\"", r.words.whole)
}

func (r *queryReader) skip(n int) { r.words.rest = r.words.rest[n:] }

// reduce hands over operators that wait and bind as strongly as o does. base is where those of this parenthesis begin.
func (r *queryReader) reduce(base int, o Operator) error {
	for n := len(r.pending); n > base; n = len(r.pending) {
		last := r.pending[n-1]
		if o != Not && o.binds() > last.operator.binds() || o == Not && o.binds() >= last.operator.binds() {
			break
		}
		r.pending = r.pending[:n-1]
		if err := r.build.operator(last.operator, last.distance); err != nil {
			return err
		}
	}
	return nil
}

func (r *queryReader) push(base int, o Operator, distance int16) error {
	if err := r.reduce(base, o); err != nil {
		return err
	}
	if len(r.pending)-base >= maxStack && !r.own {
		return sqlstate.New(sqlstate.Internal, "tsquery stack too small")
	}
	r.pending = append(r.pending, waiting{o, distance})
	return nil
}

// read takes a query up to the end, or a closing parenthesis.
func (r *queryReader) read() error {
	base := len(r.pending)
	step := r.standard
	if r.web {
		step = r.websearch
	}
	for {
		if err := r.build.w.do(48); err != nil {
			return err
		}
		done, err := step(base)
		if err != nil {
			return err
		}
		if done {
			return r.reduce(base, Or)
		}
	}
}

// standard takes one operator, word or parenthesis.
func (r *queryReader) standard(base int) (done bool, err error) {
	for r.words.rest != "" && isSpace(r.words.rest[0]) {
		r.skip(1)
	}
	c := byte(0)
	if r.words.rest != "" {
		c = r.words.rest[0]
	}
	if r.operand {
		switch c {
		case '!':
			r.skip(1)
			r.first = false
			return false, r.push(base, Not, 0)
		case '(':
			r.skip(1)
			r.first = false
			if r.opened++; r.opened > maxNested && !r.own {
				return false, tooComplex("parentheses within each other", maxNested)
			}
			return false, r.read()
		case ':':
			return false, r.syntax()
		}
		word, _, ok, err := r.words.word()
		if err != nil {
			return false, err
		}
		if !ok {
			if r.first {
				return true, nil
			}
			return false, sqlstate.New(sqlstate.SyntaxError, "no operand in tsquery: \"%s\"", r.words.whole)
		}
		weights, prefix := r.modifiers()
		r.operand, r.first = false, false
		return false, r.value(r.build, word, weights, prefix)
	}
	switch {
	case c == 0:
		if r.opened > 0 {
			return false, r.syntax()
		}
		return true, nil
	case c == ')':
		if r.opened--; r.opened < 0 {
			return false, r.syntax()
		}
		r.skip(1)
		return true, nil
	case c == '&', c == '|':
		r.skip(1)
		r.operand = true
		return false, r.push(base, map[byte]Operator{'&': And, '|': Or}[c], 0)
	}
	distance, ok, err := r.phrase()
	if err != nil {
		return false, err
	}
	if !ok {
		return false, r.syntax()
	}
	r.operand = true
	return false, r.push(base, Phrase, distance)
}

// modifiers reads :AB*.
func (r *queryReader) modifiers() (weights uint8, prefix bool) {
	if !strings.HasPrefix(r.words.rest, ":") {
		return 0, false
	}
	for r.skip(1); r.words.rest != ""; r.skip(1) {
		c := r.words.rest[0]
		switch {
		case c == '*':
			prefix = true
		case isLetter(c) && c|0x20 <= 'd':
			weights |= 8 >> (c | 0x20 - 'a')
		default:
			return weights, prefix
		}
	}
	return weights, prefix
}

// phrase reads <-> or <2>. What ends the text is none.
func (r *queryReader) phrase() (distance int16, ok bool, err error) {
	s, ok := strings.CutPrefix(r.words.rest, "<")
	if !ok || s == "" {
		return 0, false, nil
	}
	n := int64(1)
	if s[0] == '-' {
		s = s[1:]
	} else {
		digits := 0
		for digits < len(s) && isDigit(s[digits]) {
			digits++
		}
		if digits == 0 {
			return 0, false, nil
		}
		most := int64(maxPosition + 1)
		if r.own {
			most = 1<<15 - 1
		}
		if n, err = strconv.ParseInt(s[:digits], 10, 64); err != nil || n > most {
			return 0, false, badDistance()
		}
		s = s[digits:]
	}
	if s, ok = strings.CutPrefix(s, ">"); !ok || s == "" {
		return 0, false, nil
	}
	r.words.rest = s
	return int16(n), true, nil
}

func badDistance() error {
	return sqlstate.New(sqlstate.BadParameter, "distance in phrase operator must be an integer value between zero and %d inclusive", maxPosition+1)
}

// websearch takes one word, quoted text or operator.
func (r *queryReader) websearch(base int) (done bool, err error) {
	for r.words.rest != "" && isSpace(r.words.rest[0]) {
		r.skip(1)
	}
	if r.words.rest == "" {
		switch {
		case r.operand && !r.first:
			return true, r.build.add(Item{Operator: stopped}) // an operand there has to be
		}
		return true, nil
	}
	c := r.words.rest[0]
	if !r.operand {
		switch {
		case r.or():
			r.operand = true
			return false, r.push(base, Or, 0)
		case isOperator(c):
			r.skip(1)
			return false, nil
		}
		r.operand = true
		return false, r.push(base, And, 0)
	}
	first := r.first
	r.first = false
	switch {
	case c == '-':
		r.skip(1)
		return false, r.push(base, Not, 0)
	case c == '"':
		text, rest, _ := strings.Cut(r.words.rest[1:], `"`)
		r.words.rest, r.operand = rest, false
		return false, r.value(r.build, text, 0, false)
	case isOperator(c):
		r.skip(1)
		return false, nil
	}
	r.first = first
	word, _, ok, err := r.words.word()
	if err != nil || !ok {
		return true, err
	}
	r.operand, r.first = false, false
	return false, r.value(r.build, word, 0, false)
}

// or takes the word OR, where it can be an operator.
func (r *queryReader) or() bool {
	s := r.words.rest
	if len(s) < 3 || lower(s[:2]) != "or" || s[2] == '-' || s[2] == '_' || isLetter(s[2]) || isDigit(s[2]) {
		return false
	}
	_, n := utf8.DecodeRuneInString(s[2:])
	for s = s[2+n:]; s != ""; s = s[1:] {
		if !isSpace(s[0]) {
			r.skip(2)
			return true
		}
	}
	return false
}

// ParseQuery reads the text of a tsquery.
func ParseQuery(work Work, s string) (Query, error) { return parseQuery(work, s, asItIs, false) }

func asItIs(b *builder, word string, weights uint8, prefix bool) error {
	return b.word(word, weights, prefix)
}

func parseQuery(work Work, s string, value func(b *builder, word string, weights uint8, prefix bool) error, web bool) (Query, error) {
	w := &worker{work: work}
	r := &queryReader{words: wordReader{whole: s, rest: s, query: true, web: web}, build: &builder{whole: s, w: w}, value: value, web: web, operand: true, first: true}
	if err := r.read(); err != nil {
		return nil, err
	}
	q, err := r.build.query()
	if err != nil {
		return nil, err
	}
	return q, w.settle()
}

// crc is PostgreSQL's old checksum of a word, by which it orders.
func crc(word string) int32 {
	c := ^uint32(0)
	for i := 0; i < len(word); i++ {
		c = crc32.IEEETable[byte(c>>24)^word[i]] ^ c<<8
	}
	return int32(^c)
}

// bytes is what PostgreSQL's words take.
func (q Query) bytes() (n int) {
	for i := range q {
		if q[i].Operator == 0 {
			n += len(q[i].Word) + 1
		}
	}
	return n
}

// Compare is PostgreSQL's order: sizes first, then words by their checksums. Weights and prefixes do not matter to it.
func (q Query) Compare(o Query) int {
	if c := cmp.Or(len(q)-len(o), q.bytes()-o.bytes()); c != 0 {
		return c
	}
	return compareItems(q, o)
}

// compareItems compares two queries of as many items: right operands, then left ones, then distances.
func compareItems(a, b Query) int {
	type pair struct{ a, b int }
	if len(a) == 0 {
		return 0
	}
	// A negative number on the stack stands for the distances of the operators at that place.
	stack := []pair{{0, 0}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p.a < 0 {
			if c := int(b[^p.b].Distance) - int(a[^p.a].Distance); c != 0 {
				return c
			}
			continue
		}
		x, y := &a[p.a], &b[p.b]
		switch {
		case (x.Operator == 0) != (y.Operator == 0):
			if x.Operator != 0 {
				return -1
			}
			return 1
		case x.Operator != y.Operator:
			return int(y.Operator) - int(x.Operator)
		case x.Operator == 0:
			if c := cmp.Or(cmp.Compare(crc(y.Word), crc(x.Word)), strings.Compare(x.Word, y.Word)); c != 0 {
				return c
			}
			continue
		}
		if x.Operator == Phrase {
			stack = append(stack, pair{^p.a, ^p.b})
		}
		if x.Operator != Not {
			stack = append(stack, pair{p.a + x.Left, p.b + y.Left})
		}
		stack = append(stack, pair{p.a + 1, p.b + 1})
	}
	return 0
}
