package textsearch

import (
	"strconv"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A node is an item with its operands.
type node struct {
	Item
	left, right *node
}

func (q Query) node(at int) *node {
	n := &node{Item: q[at]}
	if n.Operator == 0 || n.Operator == stopped {
		return n
	}
	n.right = q.node(at + 1)
	if n.Operator != Not {
		n.left = q.node(at + n.Left)
	}
	return n
}

func (n *node) flat(q Query) Query {
	if n == nil {
		return q
	}
	at := len(q)
	q = append(q, n.Item)
	if n.right != nil {
		q = n.right.flat(q)
		q[at].Left = 1
	}
	if n.left != nil {
		q[at].Left = len(q) - at
		q = n.left.flat(q)
	}
	return q
}

// withoutStops takes stop words out, and the operators that lose an operand. Distances of phrases grow by what is gone: before
// and after are what a phrase to the left and to the right of a node has to add.
func (q Query) withoutStops() (Query, error) {
	any := false
	for i := range q {
		any = any || q[i].Operator == stopped
	}
	if !any {
		return q, nil
	}
	n, _, _, err := q.node(0).withoutStops()
	return n.flat(nil), err
}

func (n *node) withoutStops() (_ *node, before, after int, err error) {
	switch n.Operator {
	case 0:
		return n, 0, 0, nil
	case stopped:
		return nil, 0, 0, nil
	case Not:
		if n.right, before, after, err = n.right.withoutStops(); n.right == nil {
			return nil, before, after, err
		}
		return n, before, after, err
	}
	left, beforeLeft, afterLeft, err := n.left.withoutStops()
	if err != nil {
		return nil, 0, 0, err
	}
	right, beforeRight, afterRight, err := n.right.withoutStops()
	if err != nil {
		return nil, 0, 0, err
	}
	n.left, n.right = left, right
	phrase, distance := n.Operator == Phrase, int(n.Distance)
	switch {
	case left == nil && right == nil && phrase:
		distance += beforeLeft + beforeRight
		return nil, distance, distance, nil
	case left == nil && right == nil:
		distance = max(beforeLeft, beforeRight)
		return nil, distance, distance, nil
	case left == nil && phrase:
		return right, beforeLeft + distance + beforeRight, afterRight, nil
	case left == nil:
		return right, beforeRight, afterRight, nil
	case right == nil && phrase:
		return left, beforeLeft, afterLeft + distance + afterRight, nil
	case right == nil:
		return left, beforeLeft, afterLeft, nil
	case !phrase:
		return n, 0, 0, nil
	}
	if distance += afterLeft + beforeRight; distance > 1<<15-1 {
		return nil, 0, 0, sqlstate.New(sqlstate.Unsupported, "a phrase of %d words is not supported", distance)
	}
	n.Distance = int16(distance)
	return n, beforeLeft, afterRight, nil
}

// Indexable is what of a query an index can look for, as querytree tells: without what is negated. all is true when that is
// not all that can match.
func (q Query) Indexable() (_ Query, all bool) {
	if len(q) == 0 {
		return nil, false
	}
	n := q.node(0).withoutNot()
	return n.flat(nil), n == nil
}

func (n *node) withoutNot() *node {
	switch n.Operator {
	case 0:
		return n
	case Not:
		return nil
	}
	n.left, n.right = n.left.withoutNot(), n.right.withoutNot()
	switch {
	case n.left != nil && n.right != nil:
		return n
	case n.Operator == Or:
		return nil
	case n.left == nil:
		return n.right
	}
	return n.left
}

// String is PostgreSQL's text. It tells how operands are grouped only as far as that matters to what the query matches.
func (q Query) String() string {
	if len(q) == 0 {
		return ""
	}
	b := writer{q: q}
	b.write(0, -1, false)
	return string(b.out)
}

// Exact is a text that ReadExact makes the same query of: String with more parentheses.
func (q Query) Exact() string {
	if len(q) == 0 {
		return ""
	}
	b := writer{q: q, exact: true}
	b.write(0, -1, false)
	return string(b.out)
}

type writer struct {
	q     Query
	exact bool
	out   []byte
}

// write writes the item at a place, which is an operand of one that binds so strongly.
func (b *writer) write(at, outer int, rightOfSame bool) {
	i := &b.q[at]
	if i.Operator == 0 {
		b.word(i)
		return
	}
	binds := i.Operator.binds()
	parentheses := binds < outer || rightOfSame && (i.Operator == Phrase || b.exact && binds == outer)
	if parentheses {
		b.out = append(b.out, "( "...)
	}
	if i.Operator == Not {
		b.out = append(b.out, '!')
		b.write(at+1, binds, false)
	} else {
		b.write(at+i.Left, binds, false)
		switch {
		case i.Operator == Or:
			b.out = append(b.out, " | "...)
		case i.Operator == And:
			b.out = append(b.out, " & "...)
		case i.Distance == 1:
			b.out = append(b.out, " <-> "...)
		default:
			b.out = append(strconv.AppendInt(append(b.out, " <"...), int64(i.Distance), 10), "> "...)
		}
		b.write(at+1, binds, i.Operator == Phrase || b.exact)
	}
	if parentheses {
		b.out = append(b.out, " )"...)
	}
}

func (b *writer) word(i *Item) {
	b.out = appendQuoted(b.out, i.Word)
	if i.Weights == 0 && !i.Prefix {
		return
	}
	if b.out = append(b.out, ':'); i.Prefix {
		b.out = append(b.out, '*')
	}
	for w := range 4 {
		if i.Weights&(8>>w) != 0 {
			b.out = append(b.out, "ABCD"[w])
		}
	}
}

// ReadExact reads what Exact wrote.
func ReadExact(work Work, s string) (Query, error) {
	if s == "" {
		return nil, nil
	}
	w := &worker{work: work}
	r := &queryReader{words: wordReader{whole: s, rest: s, query: true}, build: &builder{whole: s, w: w}, value: asItIs, own: true, operand: true, first: true}
	if err := r.read(); err != nil {
		return nil, err
	}
	q, err := r.build.query()
	if err != nil {
		return nil, err
	}
	return q, w.settle()
}

// Query makes a query of what to_tsquery reads: each word of it is a text, of which words that stand side by side are a phrase.
func (c Config) Query(work Work, s string) (Query, error) {
	return parseQuery(work, s, c.phrase(Phrase), false)
}

// Web makes a query of what people write for search engines.
func (c Config) Web(work Work, s string) (Query, error) {
	return parseQuery(work, s, c.phrase(Phrase), true)
}

// Plain makes a query that wants all words of a text: And, or one after the other: Phrase.
func (c Config) Plain(work Work, s string, join Operator) (Query, error) {
	b := &builder{whole: s, w: &worker{work: work}}
	if s != "" {
		if err := c.phrase(join)(b, s, 0, false); err != nil {
			return nil, err
		}
	}
	q, err := b.query()
	if err != nil {
		return nil, err
	}
	return q, b.w.settle()
}

// phrase returns what hands over the words of a text. Stop words between them are handed over as such.
func (c Config) phrase(join Operator) func(b *builder, text string, weights uint8, prefix bool) error {
	return func(b *builder, text string, weights uint8, prefix bool) error {
		list, _, err := c.words(text, 0, b.w)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return b.add(Item{Operator: stopped})
		}
		some := false
		joined := func(err error) error {
			if err == nil && some {
				err = b.operator(join, 1)
			}
			some = true
			return err
		}
		at := 0
		for i := 0; i < len(list); {
			if at > 0 {
				for ; at+1 < list[i].at; at++ {
					if err := joined(b.add(Item{Operator: stopped})); err != nil {
						return err
					}
				}
			}
			at = list[i].at
			for first := true; i < len(list) && list[i].at == at; first = false {
				if err := b.word(list[i].lexeme, weights, prefix); err != nil {
					return err
				}
				if !first { // only beyond the last position
					if err := b.operator(And, 0); err != nil {
						return err
					}
				}
				i++
			}
			if err := joined(nil); err != nil {
				return err
			}
		}
		return nil
	}
}

// Join makes one query of two. One that is empty gives way.
func (q Query) Join(o Operator, other Query, distance int) (Query, error) {
	switch {
	case o == Phrase && (distance < 0 || distance > maxPosition+1):
		return nil, badDistance()
	case len(q) == 0:
		return other, nil
	case len(other) == 0:
		return q, nil
	case len(q)+len(other) >= MaxItems:
		return nil, tooComplex("words and operators", MaxItems)
	}
	n := Item{Operator: o, Left: 1 + len(other)}
	if o == Phrase {
		n.Distance = int16(distance)
	}
	out := append(make(Query, 0, 1+len(q)+len(other)), n)
	return append(append(out, other...), q...), nil
}

// Negated is what the query does not match.
func (q Query) Negated() (Query, error) {
	switch {
	case len(q) == 0:
		return q, nil
	case len(q) >= MaxItems:
		return nil, tooComplex("words and operators", MaxItems)
	}
	return append(Query{{Operator: Not, Left: 1}}, q...), nil
}

// Contains tells whether a query has all words of another, wherever.
func (q Query) Contains(other Query) bool {
	words := map[string]bool{}
	for i := range q {
		if q[i].Operator == 0 {
			words[q[i].Word] = true
		}
	}
	for i := range other {
		if other[i].Operator == 0 && !words[other[i].Word] {
			return false
		}
	}
	return true
}
