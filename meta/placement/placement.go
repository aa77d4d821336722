// Package placement decides which nodes get what: Choose places the pieces of a segment, a weighted random choice of failure domains with
// one node in each, and Draw chooses nodes for cells and tasks, by filters and scores that Explain names. Both are pure functions of what
// they are given, randomness included; who is online and what is free is the caller's knowledge.
package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

// A Candidate is an active storage node.
type Candidate struct {
	Node      mesh.NodeID
	Domain    string
	Online    bool
	FreeBytes uint64
	Score     uint64 // parts of 1,000,000
}

// weight favours nodes that kept their word and have room. It is never 0 for a node that can hold the piece.
func (c Candidate) weight() uint64 { return 1 + c.Score/1000*(1+min(c.FreeBytes>>30, 1<<20)) }

// Choose picks a node for each piece of a segment, in coding order. The geometry follows from the number of failure
// domains among all candidates, online or not. Nodes that are offline or full come last, as the holders of pieces that
// repair will bring when they are back; there are never so many that a write could not be acknowledged.
// The error is Unavailable when too few nodes can take a piece now.
func Choose(candidates []Candidate, pieceBytes uint64, random *rand.Rand) (index.Geometry, []mesh.NodeID, error) {
	usable := func(c Candidate) bool { return c.Online && c.FreeBytes >= pieceBytes }
	best := map[string]Candidate{} // one node a domain, by lot
	slices.SortFunc(candidates, func(a, b Candidate) int { return cmp.Compare(string(a.Node[:]), string(b.Node[:])) })
	lots := map[mesh.NodeID]float64{}
	for _, c := range candidates {
		// The smallest of exponential lots with rate weight comes first (Efraimidis and Spirakis): sampling without replacement in
		// which each draw is proportional to weight.
		lots[c.Node] = random.ExpFloat64() / float64(c.weight())
		b, ok := best[c.Domain]
		if !ok || usable(c) && !usable(b) || usable(c) == usable(b) && lots[c.Node] < lots[b.Node] {
			best[c.Domain] = c
		}
	}
	g, err := index.GeometryFor(len(best))
	if err != nil {
		return g, nil, err
	}
	order := make([]Candidate, 0, len(best))
	ready := 0
	for _, c := range best {
		order = append(order, c)
		if usable(c) {
			ready++
		}
	}
	slices.SortFunc(order, func(a, b Candidate) int {
		if usable(a) != usable(b) {
			if usable(a) {
				return -1
			}
			return 1
		}
		return cmp.Compare(lots[a.Node], lots[b.Node])
	})
	if ready < g.Acknowledged {
		return g, nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d of %d failure domains are online with room for %d bytes, a write needs %d", ready, len(best), pieceBytes, g.Acknowledged),
			"look at 'stratos node status'")
	}
	nodes := make([]mesh.NodeID, g.Pieces)
	for i := range nodes {
		nodes[i] = order[i].Node
	}
	return g, nodes, nil
}
