package textsearch

import "slices"

// A Term is a word, or what words begin with.
type Term struct {
	Word   string
	Prefix bool
}

// Bounds of what an index is asked.
const (
	maxGroups = 16
	maxGroup  = 256 // terms
)

// Terms are groups of terms: what matches the query has a term of each group, so that an index of words finds it. all is true when
// the query may match what has none of its words.
func (q Query) Terms() (groups [][]Term, all bool) {
	if len(q) == 0 {
		return nil, false
	}
	n := q.node(0).withoutNot()
	if n == nil {
		return nil, true
	}
	groups = n.terms()
	return groups, len(groups) == 0
}

// terms are none where they would be too many.
func (n *node) terms() [][]Term {
	switch n.Operator {
	case 0:
		return [][]Term{{{n.Word, n.Prefix}}}
	case Or:
		left, right := best(n.left.terms()), best(n.right.terms())
		if left == nil || right == nil || len(left)+len(right) > maxGroup {
			return nil
		}
		group := slices.Clone(left)
		for _, t := range right {
			if !slices.Contains(group, t) {
				group = append(group, t)
			}
		}
		return [][]Term{group}
	}
	groups := n.left.terms()
	for _, g := range n.right.terms() {
		if len(groups) < maxGroups && !slices.ContainsFunc(groups, func(o []Term) bool { return slices.Equal(o, g) }) {
			groups = append(groups, g)
		}
	}
	return groups
}

// best is the group that most likely finds least: of few terms, whole words, long ones.
func best(groups [][]Term) []Term {
	var out []Term
	least := 0
	for _, g := range groups {
		size := 0
		for _, t := range g {
			if size += 1000; t.Prefix {
				size += 500
			}
			size -= min(len(t.Word), 100)
		}
		if out == nil || size < least {
			out, least = g, size
		}
	}
	return out
}
