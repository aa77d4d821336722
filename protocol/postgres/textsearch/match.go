package textsearch

import (
	"slices"
	"strings"
)

// A truth is whether something matches. It may be unknown where words have no positions.
type truth uint8

const (
	no truth = iota
	yes
	maybe
)

// places are where a part of a query matches: at the last word of it. all tells that it does everywhere but there.
type places struct {
	at    []int
	all   bool
	width int // of a match, in words, less one
}

// An operand of a query, looked up: whether it is there, and where if p is not nil. at is its place in the query.
type lookup func(at int, p *places) truth

// A matcher runs a query.
type matcher struct {
	q      Query
	lookup lookup
	work   *worker
	failed error
}

// Match tells whether a vector matches a query.
func (v Vector) Match(work Work, q Query) (bool, error) {
	if len(q) == 0 {
		return false, nil
	}
	m := &matcher{q: q, work: &worker{work: work}}
	m.lookup = func(at int, p *places) truth { return v.has(&q[at], p, m) }
	r := m.run(0)
	if m.failed != nil {
		return false, m.failed
	}
	return r != no, m.work.settle()
}

// stepWork is the work of an operator or a word of a query.
const stepWork = 16

func (m *matcher) pay(operations int) {
	if err := m.work.do(uint64(operations)); err != nil && m.failed == nil {
		m.failed = err
	}
}

// searchWork is the work of looking for a word among so many.
func searchWork(n int) int {
	work := 8
	for ; n > 0; n >>= 1 {
		work += 8
	}
	return work
}

// has looks for an operand.
func (v Vector) has(i *Item, p *places, m *matcher) truth {
	m.pay(searchWork(len(v)))
	at, ok := v.find(i.Word)
	r := no
	if ok {
		r = v[at].has(i, p, m)
	}
	if !i.Prefix || r == yes && p == nil {
		return r
	}
	r = no
	if p != nil {
		p.at = nil
	}
	var all []int
	for ; at < len(v) && (r != yes || p != nil) && strings.HasPrefix(v[at].Word, i.Word) && m.failed == nil; at++ {
		m.pay(8)
		s := v[at].has(i, p, m)
		switch {
		case s == no:
		case p == nil:
			if s == yes || r == no {
				r = s
			}
		case s == maybe:
			p.at = nil
			return maybe
		default:
			all = append(all, p.at...)
			p.at = nil
		}
	}
	if len(all) > 0 {
		m.pay(len(all) * 16)
		slices.Sort(all)
		p.at = slices.Compact(all)
		return yes
	}
	return r
}

// has looks whether a word is there with a weight that is asked for, and where. A word without positions has all weights.
func (l *Lexeme) has(i *Item, p *places, m *matcher) truth {
	switch {
	case len(l.Positions) == 0 && p != nil:
		return maybe
	case len(l.Positions) == 0, i.Weights == 0 && p == nil:
		return yes
	}
	m.pay(len(l.Positions))
	r := no
	for _, at := range l.Positions {
		if i.Weights == 0 || i.Weights>>at.Weight()&1 != 0 {
			if r = yes; p == nil {
				break
			}
			p.at = append(p.at, at.At())
		}
	}
	return r
}

// run runs the item at a place where positions do not matter.
func (m *matcher) run(at int) truth {
	i := &m.q[at]
	m.pay(stepWork)
	if m.failed != nil {
		return no
	}
	switch i.Operator {
	case Not:
		return [...]truth{no: yes, yes: no, maybe: maybe}[m.run(at+1)]
	case And:
		left := m.run(at + i.Left)
		if left == no {
			return no
		}
		if right := m.run(at + 1); right != yes {
			return right
		}
		return left
	case Or:
		left := m.run(at + i.Left)
		if left == yes {
			return yes
		}
		if right := m.run(at + 1); right != no {
			return right
		}
		return left
	case Phrase:
		if m.runPhrase(at, &places{}) == yes {
			return yes
		}
		return no // without positions there is no phrase
	}
	return m.lookup(at, nil)
}

// runPhrase runs the item at a place below a phrase, and says where it matches.
func (m *matcher) runPhrase(at int, p *places) truth {
	i := &m.q[at]
	m.pay(stepWork)
	if m.failed != nil {
		return no
	}
	switch i.Operator {
	case 0:
		return m.lookup(at, p)
	case Not:
		switch m.runPhrase(at+1, p) {
		case no:
			*p = places{all: true, width: p.width}
			return yes
		case yes:
			if len(p.at) > 0 {
				p.all = !p.all
				return yes
			}
			p.all = false
			return no
		}
		return maybe
	}
	var l, r places
	left := m.runPhrase(at+i.Left, &l)
	if left == no && i.Operator != Or {
		return no
	}
	right := m.runPhrase(at+1, &r)
	switch {
	case right == no && i.Operator != Or, left == no && right == no:
		return no
	case left == maybe || right == maybe:
		return maybe
	}
	if left == no {
		l = places{}
	}
	if right == no {
		r = places{}
	}
	var byLeft, byRight int
	if i.Operator == Phrase {
		byLeft = int(i.Distance) + r.width
		p.width = byLeft + l.width
	} else {
		p.width = max(l.width, r.width)
		byLeft, byRight = p.width-l.width, p.width-r.width
	}
	const (
		onlyLeft  = 1
		onlyRight = 2
		both      = 4
	)
	which := 0
	or := i.Operator == Or
	switch {
	case l.all && r.all && or:
		which, p.all = both, true
	case l.all && r.all:
		which, p.all = onlyLeft|onlyRight|both, true
	case l.all && or:
		which, p.all = onlyLeft, true
	case l.all:
		which = onlyRight
	case r.all && or:
		which, p.all = onlyRight, true
	case r.all:
		which = onlyLeft
	case or:
		which = onlyLeft | onlyRight | both
	default:
		which = both
	}
	m.pay(2 * (len(l.at) + len(r.at)))
	for len(l.at) > 0 || len(r.at) > 0 {
		const none = 1 << 30
		x, y := none, none
		if len(l.at) > 0 {
			x = l.at[0] + byLeft
		}
		if len(r.at) > 0 {
			y = r.at[0] + byRight
		}
		is := both
		if x < y {
			is = onlyLeft
		} else if x > y {
			is = onlyRight
		}
		if x <= y {
			l.at = l.at[1:]
		}
		if y <= x {
			r.at = r.at[1:]
		}
		if which&is != 0 && min(x, y) > 0 {
			p.at = append(p.at, min(x, y)&maxPosition) // as much as PostgreSQL keeps of it
		}
	}
	if p.all || len(p.at) > 0 {
		return yes
	}
	return no
}
