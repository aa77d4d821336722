package placement

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/database"
)

// A Node is a registered node as Draw and Explain see it.
type Node struct {
	ID        mesh.NodeID
	Operator  mesh.Account
	Domain    string // what fails together
	Kinds     uint32 // bits: compute 1, database 2, storage 4
	Active    bool   // registered and not leaving
	Online    bool
	Suspended bool   // proven to lie
	Score     uint64 // parts of 1,000,000
	Deposit   uint64 // whole STOS
	FreeBytes uint64
	Load      int // of what is demanded, on this node: cells, tasks
}

// The bits of a node's kinds.
const (
	Compute  = 1
	Database = 2
	Storage  = 4
)

// ForSlice is what the pieces of a segment want, of so many bytes each. How many there are follows from the nodes: see Choose.
func ForSlice(bytes uint64) Demand {
	return Demand{Kind: Storage, MaxLoad: 1, Bytes: bytes, ByFree: true}
}

// ForCell is what a cell of so many replicas wants.
func ForCell(replicas int) Demand {
	return Demand{Kind: Database, Count: replicas, MaxLoad: database.MaxNodeCells, ByDeposit: true}
}

// ForTask is what a task of a job wants that this account pays.
func ForTask(workers int, payer mesh.Account) Demand {
	return Demand{Kind: Compute, Count: workers, MaxLoad: compute.MaxNodeTasks, Not: []mesh.Account{payer}, ByRoom: true}
}

// ForCall is what calls of a function want. How many a node runs, only it knows.
func ForCall(workers int) Demand { return Demand{Kind: Compute, Count: workers, MaxLoad: 1} }

// A Demand says what slices, a cell, a task or calls want of nodes.
type Demand struct {
	Kind      uint32         // bit of Node.Kinds
	Count     int            // nodes, each of another operator and domain
	MaxLoad   int            // a node with this load takes no more
	Bytes     uint64         // that must be free
	Not       []mesh.Account // operators that may not have it
	Beside    []Node         // nodes that have it: no other of their operators and domains is drawn
	Near      []mesh.NodeID  // strongly preferred, the first most; at most 8
	ByDeposit bool           // who has more at stake is drawn more often
	ByRoom    bool           // and who has less load
	ByFree    bool           // and who has more bytes free
}

// A filter tells whether a node may be drawn for a demand.
type filter struct {
	name string // as a user reads it after "this node is refused: "
	pass func(*Demand, *Node) bool
}

// filters, in the order in which a node is examined. The first that refuses it is the reason.
var filters = []filter{
	{"it is of another kind", func(d *Demand, n *Node) bool { return n.Kinds&d.Kind != 0 }},
	{"it is not active on the value layer", func(d *Demand, n *Node) bool { return n.Active }},
	{"it is suspended", func(d *Demand, n *Node) bool { return !n.Suspended }},
	{"it is offline", func(d *Demand, n *Node) bool { return n.Online }},
	{"it has as much as it may", func(d *Demand, n *Node) bool { return n.Load < d.MaxLoad }},
	{"it has no room for it", func(d *Demand, n *Node) bool { return n.FreeBytes >= d.Bytes }},
	{"its operator may not have it", func(d *Demand, n *Node) bool { return !slices.Contains(d.Not, n.Operator) }},
	{"its operator has a node with it", func(d *Demand, n *Node) bool {
		return !slices.ContainsFunc(d.Beside, func(o Node) bool { return o.Operator == n.Operator })
	}},
	{"its failure domain has a node with it", func(d *Demand, n *Node) bool {
		return !slices.ContainsFunc(d.Beside, func(o Node) bool { return o.Domain == n.Domain })
	}},
}

// A score is a factor of a node's weight, at least 1.
type score struct {
	name string
	of   func(*Demand, *Node) uint64
}

// scores multiply to a weight below 2^34, and of the few that are near below 2^52: no sum of those of all nodes comes near 2^64. Who has bytes
// free counts for slices only, which know no nearness, deposit or load.
var scores = []score{
	{"score", func(_ *Demand, n *Node) uint64 { return 1 + min(n.Score, 1_000_000)/1000 }}, // below 2^10
	{"deposit", func(d *Demand, n *Node) uint64 { // below 2^16 + 1
		if !d.ByDeposit {
			return 1
		}
		return 1 + min(n.Deposit, 1<<16)
	}},
	{"room", func(d *Demand, n *Node) uint64 { // at most 2^7
		if !d.ByRoom {
			return 1
		}
		return uint64(min(max(d.MaxLoad-n.Load, 1), 1<<7))
	}},
	{"free", func(d *Demand, n *Node) uint64 { // at most 2^20 + 1
		if !d.ByFree {
			return 1
		}
		return 1 + min(n.FreeBytes>>30, 1<<20)
	}},
	{"nearness", func(d *Demand, n *Node) uint64 { // at most 2^18; each place counts four times the next
		i := slices.Index(d.Near, n.ID)
		if i < 0 || i > 7 {
			return 1
		}
		return 1 << (18 - 2*i)
	}},
}

// A Verdict is what a draw makes of a node.
type Verdict struct {
	Node    mesh.NodeID
	Refused string // why it cannot be drawn; empty: it can
	Weight  uint64 // of all parts
	Parts   []Part // of the weight, which is their product
}

// A Part is a named factor of a weight.
type Part struct {
	Name   string
	Factor uint64
}

// Explain tells for a node which filter refuses it, or what its weight is made of.
func Explain(d *Demand, n *Node) Verdict {
	v := Verdict{Node: n.ID, Refused: refuse(d, n)}
	if v.Refused != "" {
		return v
	}
	v.Weight = weigh(d, n)
	for _, s := range scores {
		v.Parts = append(v.Parts, Part{s.name, s.of(d, n)})
	}
	return v
}

// refuse tells which filter refuses a node; "" none.
func refuse(d *Demand, n *Node) string {
	for _, f := range filters {
		if !f.pass(d, n) {
			return f.name
		}
	}
	return ""
}

// weigh returns a node's weight, whether or not it is refused.
func weigh(d *Demand, n *Node) uint64 {
	weight := uint64(1)
	for _, s := range scores {
		weight *= s.of(d, n)
	}
	return weight
}

// Lots are the random numbers of a draw: below returns one less than limit, which is not 0.
type Lots interface{ Below(limit uint64) uint64 }

// Draw chooses nodes for a demand, by weight. nodes are all that there are, by rising id. It is a pure function without floats: the state
// machine calls it. Of more than 256 that can be drawn it looks at those that are near and, from a place by lot on, at 256 others. The error
// is Unavailable, and says what is missing, when too few can be drawn.
func Draw(d Demand, nodes []Node, lots Lots) ([]mesh.NodeID, error) {
	start := 0
	if len(nodes) > sample {
		start = int(lots.Below(uint64(len(nodes))))
	}
	if drawn, _ := drawFrom(&d, nodes, start, sample, lots); drawn != nil {
		return drawn, nil
	}
	return drawFrom(&d, nodes, start, len(nodes), lots)
}

// sample is how many nodes that can be drawn are enough to draw from.
const sample = 256

// drawFrom draws from at most limit nodes, those from start on and those that are near.
func drawFrom(d *Demand, nodes []Node, start, limit int, lots Lots) ([]mesh.NodeID, error) {
	type candidate struct {
		*Node
		weight uint64
	}
	all := make([]candidate, 0, min(limit, len(nodes))+len(d.Near))
	refusals, operators := map[string]int{}, map[mesh.Account]bool{}
	look := func(n *Node) {
		if refused := refuse(d, n); refused != "" {
			refusals[refused]++
			return
		}
		all = append(all, candidate{n, weigh(d, n)})
		operators[n.Operator] = true
	}
	for i, id := range d.Near {
		at, ok := slices.BinarySearchFunc(nodes, id, func(n Node, id mesh.NodeID) int { return bytes.Compare(n.ID[:], id[:]) })
		if ok && !slices.Contains(d.Near[:i], id) {
			look(&nodes[at])
		}
	}
	for i := 0; i < len(nodes) && len(all) < limit; i++ {
		if n := &nodes[(start+i)%len(nodes)]; !slices.Contains(d.Near, n.ID) {
			look(n)
		}
	}
	var drawn []mesh.NodeID
	for len(drawn) < d.Count {
		total := uint64(0)
		for _, n := range all {
			total += n.weight
		}
		if total == 0 {
			return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d operators have a node that can take it, %d are needed%s", len(operators), d.Count, why(refusals)),
				"look at 'stratos node status'")
		}
		at, chosen := lots.Below(total), 0
		for at >= all[chosen].weight {
			at -= all[chosen].weight
			chosen++
		}
		n := all[chosen]
		drawn = append(drawn, n.ID)
		all = slices.DeleteFunc(all, func(o candidate) bool { return o.Operator == n.Operator || o.Domain == n.Domain })
	}
	return drawn, nil
}

// why tells of how many nodes are refused for what.
func why(refusals map[string]int) string {
	var all []string
	for _, f := range filters {
		if n := refusals[f.name]; n > 0 {
			all = append(all, fmt.Sprintf("%d nodes: %s", n, f.name))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}
