package textsearch

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/softmath"
)

// Ranks are floats of C, in the order of its operations; each is rounded by itself, so that no machine fuses two.

// Weights are what a word of weight D to A counts.
type Weights [4]float32

// DefaultWeights are PostgreSQL's.
var DefaultWeights = Weights{0.1, 0.2, 0.4, 1.0}

// MakeWeights takes those that a user gives; one below zero is the default.
func MakeWeights(given []float32) (Weights, error) {
	w := DefaultWeights
	if len(given) < len(w) {
		return w, sqlstate.New(sqlstate.ArraySubscript, "array of weight is too short")
	}
	for i := range w {
		if given[i] >= 0 {
			w[i] = given[i]
		}
		if w[i] > 1 {
			return w, sqlstate.New(sqlstate.BadParameter, "weight out of range")
		}
	}
	return w, nil
}

// How a rank is divided, as bits of a method.
const (
	byLogLength = 1 << iota
	byLength
	byDistance
	byWords
	byLogWords
	byItself
)

// length is how many words a text had.
func (v Vector) length() (n int) {
	for i := range v {
		n += max(1, len(v[i].Positions))
	}
	return n
}

// operands are the words of a query, each once, in order. Of several with other prefixes the one that C's sort leaves first counts.
func (q Query) operands() (list []*Item) {
	for i := range q {
		if q[i].Operator == 0 {
			list = append(list, &q[i])
		}
	}
	sortAsC(list, func(a, b *Item) int { return strings.Compare(a.Word, b.Word) })
	return slices.CompactFunc(list, func(a, b *Item) bool { return a.Word == b.Word })
}

// matching are the lexemes that an operand stands for.
func (v Vector) matching(i *Item) Vector {
	at, ok := v.find(i.Word)
	end := at
	if i.Prefix {
		for end < len(v) && strings.HasPrefix(v[end].Word, i.Word) {
			end++
		}
	} else if ok {
		end++
	}
	return v[at:end]
}

// Rank is ts_rank.
func (v Vector) Rank(work Work, w Weights, q Query, method int32) (float32, error) {
	if len(v) == 0 || len(q) == 0 {
		return 0, nil
	}
	k := &worker{work: work}
	if err := k.do(sortWork(len(q))); err != nil {
		return 0, err
	}
	var res float32
	var err error
	operands := q.operands()
	if (q[0].Operator == And || q[0].Operator == Phrase) && len(operands) > 1 {
		res, err = v.rankAll(k, &w, operands)
	} else {
		res, err = v.rankAny(k, &w, operands)
	}
	if err != nil {
		return 0, err
	}
	if err := k.settle(); err != nil {
		return 0, err
	}
	if res < 0 {
		res = 1e-20
	}
	ln2 := softmath.Log(2)
	if method&byLogLength != 0 {
		res = float32(float64(res) / (softmath.Log(float64(v.length()+1)) / ln2))
	}
	if method&byLength != 0 {
		res /= float32(v.length())
	}
	if method&byWords != 0 {
		res /= float32(len(v))
	}
	if method&byLogWords != 0 {
		res = float32(float64(res) / (softmath.Log(float64(len(v)+1)) / ln2))
	}
	if method&byItself != 0 {
		res /= res + 1
	}
	return res, nil
}

// distanceWeights are what two words count that stand so far from each other.
var distanceWeights = sync.OnceValue(func() (w [101]float32) {
	for d := range w {
		w[d] = float32(1 / (1.005 + float64(0.05*softmath.Exp(float64(float64(float32(d))/1.5)-2))))
	}
	return w
})

func distanceWeight(d int) float32 {
	if d > 100 {
		return 1e-30
	}
	return distanceWeights()[d]
}

// Positions that stand for those of a word that has none.
var (
	nowhereLast  = []Position{maxPosition}
	nowhereFirst = []Position{0}
)

func (v Vector) rankAll(k *worker, w *Weights, operands []*Item) (float32, error) {
	type where struct {
		at      []Position
		nowhere bool
	}
	pos := make([]where, len(operands))
	res := float32(-1)
	for i, o := range operands {
		found := v.matching(o)
		if err := k.do(uint64(searchWork(len(v)) + 8*len(found))); err != nil {
			return 0, err
		}
		for _, l := range found {
			pos[i] = where{l.Positions, false}
			if len(l.Positions) == 0 {
				pos[i] = where{nowhereLast, true}
			}
			for _, other := range pos[:i] {
				if err := k.do(uint64(1 + 32*len(pos[i].at)*len(other.at))); err != nil {
					return 0, err
				}
				for _, x := range pos[i].at {
					for _, y := range other.at {
						d := max(x.At()-y.At(), y.At()-x.At())
						if d == 0 {
							if !pos[i].nowhere && !other.nowhere {
								continue
							}
							d = maxPosition + 1
						}
						product := float32(float32(w[x.Weight()]*w[y.Weight()]) * distanceWeight(d))
						c := float32(softmath.Sqrt(float64(product)))
						if res < 0 {
							res = c
						} else {
							res = float32(1 - float64((1-float64(res))*(1-float64(c))))
						}
					}
				}
			}
		}
	}
	return res, nil
}

func (v Vector) rankAny(k *worker, w *Weights, operands []*Item) (float32, error) {
	res := float32(0)
	for _, o := range operands {
		found := v.matching(o)
		if err := k.do(uint64(searchWork(len(v)) + 8*len(found))); err != nil {
			return 0, err
		}
		for _, l := range found {
			at := l.Positions
			if len(at) == 0 {
				at = nowhereFirst
			}
			if err := k.do(uint64(4 * len(at))); err != nil {
				return 0, err
			}
			sum, best, bestAt := float32(0), float32(-1), 0
			for j, p := range at {
				x := w[p.Weight()]
				sum = float32(sum + float32(x/float32((j+1)*(j+1))))
				if x > best {
					best, bestAt = x, j
				}
			}
			most := float32(float32(best+sum) - float32(best/float32((bestAt+1)*(bestAt+1))))
			res = float32(float64(res) + float64(float64(most)/1.64493406685))
		}
	}
	if len(operands) > 0 {
		res /= float32(len(operands))
	}
	return res, nil
}

// A spot is a place of a text where words of a query stand.
type spot struct {
	at    Position
	entry int
	items []int // places in the query
}

// spots are those of a text, in its order.
func (v Vector) spots(k *worker, q Query) ([]spot, error) {
	var all []spot
	for i := range q {
		if q[i].Operator != 0 {
			continue
		}
		found := v.matching(&q[i])
		if err := k.do(uint64(searchWork(len(v)) + 8*len(found))); err != nil {
			return nil, err
		}
		for _, l := range found {
			entry, _ := v.find(l.Word)
			if err := k.do(sortWork(len(l.Positions)) + uint64(searchWork(len(v)))); err != nil {
				return nil, err
			}
			for _, p := range l.Positions {
				if q[i].Weights == 0 || q[i].Weights>>p.Weight()&1 != 0 {
					all = append(all, spot{p, entry, []int{i}})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b spot) int {
		return cmp.Or(a.at.At()-b.at.At(), a.at.Weight()-b.at.Weight(), a.entry-b.entry)
	})
	out := all[:0]
	for _, s := range all {
		if n := len(out) - 1; n >= 0 && out[n].at == s.at && out[n].entry == s.entry {
			out[n].items = append(out[n].items, s.items...)
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// A cover is a part of a text that has what a query wants, and no shorter part of it has.
type cover struct {
	first, last int // spots
	p, q        int // places
}

// coverFinder looks for covers. Its operands' places grow while spots are taken in.
type coverFinder struct {
	spots []spot
	m     *matcher
	at    [][]int // of each item of the query
	there []bool
	down  bool
}

func (f *coverFinder) reset(down bool) {
	clear(f.there)
	for i := range f.at {
		f.at[i] = f.at[i][:0]
	}
	f.down = down
}

// take takes a spot in and tells whether the query matches now.
func (f *coverFinder) take(s *spot) bool {
	for _, i := range s.items {
		f.there[i] = true
		if n := len(f.at[i]); n == 0 || f.at[i][n-1] != s.at.At() {
			f.at[i] = append(f.at[i], s.at.At())
		}
	}
	return f.m.run(0) != no
}

func (f *coverFinder) has(at int, p *places) truth {
	f.m.pay(8)
	if !f.there[at] {
		return no
	}
	if p != nil {
		f.m.pay(len(f.at[at]))
		p.at = slices.Clone(f.at[at])
		if f.down {
			slices.Reverse(p.at)
		}
	}
	return yes
}

// next finds the next cover from a spot on, and where to go on.
func (f *coverFinder) next(from int) (c cover, then int, ok bool) {
	for ; ; from++ {
		f.m.pay(len(f.m.q) * 2)
		f.reset(false)
		c = cover{p: 1 << 30, last: -1}
		for i := from; i < len(f.spots) && f.m.failed == nil; i++ {
			if f.take(&f.spots[i]) {
				if at := f.spots[i].at.At(); at > 0 {
					c.q, c.last = at, i
				}
				break
			}
		}
		if c.last < 0 || f.m.failed != nil {
			return c, 0, false
		}
		f.reset(true)
		i := c.last
		for ; i >= from && f.m.failed == nil; i-- {
			if f.take(&f.spots[i]) {
				c.first, c.p = i, f.spots[i].at.At()
				break
			}
		}
		if c.p <= c.q {
			return c, i + 1, true
		}
	}
}

// RankCover is ts_rank_cd.
func (v Vector) RankCover(work Work, w Weights, q Query, method int32) (float32, error) {
	k := &worker{work: work}
	spots, err := v.spots(k, q)
	if err != nil || len(spots) == 0 {
		return 0, err
	}
	var inverse [4]float64
	for i := range w {
		inverse[i] = 1 / float64(w[i])
	}
	f := &coverFinder{spots: spots, at: make([][]int, len(q)), there: make([]bool, len(q))}
	f.m = &matcher{q: q, work: k, lookup: f.has}
	var sum, distances, before float64
	covers := 0
	for from := 0; ; covers++ {
		c, then, ok := f.next(from)
		if f.m.failed != nil {
			return 0, f.m.failed
		}
		if !ok {
			break
		}
		from = then
		k.owed += uint64(c.last - c.first)
		weights := 0.0
		for i := c.first; i <= c.last; i++ {
			weights += inverse[spots[i].at.Weight()]
		}
		noise := c.q - c.p - (c.last - c.first)
		if noise < 0 {
			noise = (c.last - c.first) / 2
		}
		sum += float64(float64(float64(c.last-c.first+1)/weights) / float64(1+noise))
		middle := float64(float64(c.q+c.p) / 2)
		if covers > 0 && middle > before {
			distances += float64(1 / (middle - before))
		}
		before = middle
	}
	if err := k.settle(); err != nil {
		return 0, err
	}
	if method&byLogLength != 0 {
		sum /= softmath.Log(float64(v.length() + 1))
	}
	if method&byLength != 0 {
		sum /= float64(v.length())
	}
	if method&byDistance != 0 && covers > 0 && distances > 0 {
		sum /= float64(covers) / distances
	}
	if method&byWords != 0 {
		sum /= float64(len(v))
	}
	if method&byLogWords != 0 {
		sum /= softmath.Log(float64(len(v)+1)) / softmath.Log(2)
	}
	if method&byItself != 0 {
		sum /= sum + 1
	}
	return float32(sum), nil
}
