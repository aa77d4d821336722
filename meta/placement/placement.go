// Package placement decides which nodes get what: a Demand says what is wanted, filters refuse nodes, scores weigh them, and Explain tells both. Choose places
// the pieces of a segment, a weighted random choice of failure domains with one node in each; Draw chooses nodes for cells, tasks and calls. They are pure functions of what
// they are given, randomness included; who is online and what is free is the caller's knowledge.
package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

// Choose picks a node for each piece of a segment, in coding order. The geometry follows from the number of failure
// domains among all active nodes of the kind, online or not. Nodes that are offline or full come last, as the holders of pieces that
// repair will bring when they are back; there are never so many that a write could not be acknowledged.
// The error is Unavailable when too few nodes can take a piece now.
func Choose(d Demand, nodes []Node, random *rand.Rand) (index.Geometry, []mesh.NodeID, error) {
	usable := func(n Node) bool { return refuse(&d, &n) == "" }
	candidates := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Kinds&d.Kind == 0 || !n.Active })
	best := map[string]Node{} // one node a domain, by lot
	slices.SortFunc(candidates, func(a, b Node) int { return cmp.Compare(string(a.ID[:]), string(b.ID[:])) })
	lots := map[mesh.NodeID]float64{}
	for _, c := range candidates {
		// The smallest of exponential lots with rate weight comes first (Efraimidis and Spirakis): sampling without replacement in
		// which each draw is proportional to weight.
		lots[c.ID] = random.ExpFloat64() / float64(weigh(&d, &c))
		b, ok := best[c.Domain]
		if !ok || usable(c) && !usable(b) || usable(c) == usable(b) && lots[c.ID] < lots[b.ID] {
			best[c.Domain] = c
		}
	}
	g, err := index.GeometryFor(len(best))
	if err != nil {
		return g, nil, err
	}
	order := make([]Node, 0, len(best))
	ready := 0
	for _, c := range best {
		order = append(order, c)
		if usable(c) {
			ready++
		}
	}
	slices.SortFunc(order, func(a, b Node) int {
		if usable(a) != usable(b) {
			if usable(a) {
				return -1
			}
			return 1
		}
		return cmp.Compare(lots[a.ID], lots[b.ID])
	})
	if ready < g.Acknowledged {
		return g, nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d of %d failure domains are online with room for %d bytes, a write needs %d", ready, len(best), d.Bytes, g.Acknowledged),
			"look at 'stratos node status'")
	}
	chosen := make([]mesh.NodeID, g.Pieces)
	for i := range chosen {
		chosen[i] = order[i].ID
	}
	return g, chosen, nil
}
