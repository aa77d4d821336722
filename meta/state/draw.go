package state

import (
	"crypto/sha256"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Bounds of a question for a draw.
const (
	maxDrawn  = 8
	maxBeside = 64
)

// drawn answers a question for a draw. It is the same at every authority whose state is the same.
func (r *Reader) drawn(q *wirepb.DrawQuestion) (*wirepb.NodesAnswer, error) {
	seed, err := mesh.FromBytes[[32]byte](q.Seed)
	if err != nil {
		return nil, err
	}
	if q.Count < 1 || q.Count > maxDrawn || len(q.Not) > maxBeside || len(q.Beside) > maxBeside {
		return nil, mesh.Errorf(mesh.Invalid, "a draw of %d nodes, 1 to %d are possible, beside %d and without %d operators, at most %d", q.Count, maxDrawn, len(q.Beside), len(q.Not), maxBeside)
	}
	d := placement.ForCall(int(q.Count))
	for _, b := range q.Not {
		a, err := mesh.FromBytes[mesh.Account](b)
		if err != nil {
			return nil, err
		}
		d.Not = append(d.Not, a)
	}
	var nodes []placement.Node
	r.eachNode(func(id mesh.NodeID, n *statepb.Node) {
		at := Placed(id, n, 0)
		nodes = append(nodes, at)
		if slices.ContainsFunc(q.Beside, func(b []byte) bool { return string(b) == string(id[:]) }) {
			d.Beside = append(d.Beside, at)
		}
	})
	ids, err := placement.Draw(d, nodes, &draw{seed: sha256.Sum256(append([]byte("stratos-asked-draw-v1\x00"), seed[:]...))})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.NodesAnswer)
	for _, id := range ids {
		a.Nodes = append(a.Nodes, r.nodeAnswer(id, r.Node(id)))
	}
	return a, nil
}

// explained answers what placement makes of each node. Of slices it tells what the log knows; authorities place them by what they hear themselves.
func (r *Reader) explained(q *wirepb.ExplainQuestion) (*wirepb.ExplainAnswer, error) {
	var d placement.Demand
	load := func(mesh.NodeID) int { return 0 }
	switch q.What {
	case "slice":
		d = placement.ForSlice(q.Bytes)
	case "cell":
		d, load = placement.ForCell(1), r.cellsOf
	case "task":
		d, load = placement.ForTask(1, mesh.Account{}), func(id mesh.NodeID) int {
			c := new(statepb.Counter)
			r.get(key(loadKey, id[:]), c)
			return int(c.Value)
		}
	case "call":
		d = placement.ForCall(1)
	default:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "nothing is placed that is called %q", q.What), "ask for slice, cell, task or call")
	}
	a := new(wirepb.ExplainAnswer)
	r.eachNode(func(id mesh.NodeID, n *statepb.Node) {
		at := Placed(id, n, load(id))
		v := placement.Explain(&d, &at)
		out := &wirepb.NodeVerdict{Node: id[:], Refused: v.Refused, Weight: v.Weight}
		for _, p := range v.Parts {
			out.Parts = append(out.Parts, &wirepb.WeightPart{Name: p.Name, Factor: p.Factor})
		}
		a.Verdicts = append(a.Verdicts, out)
	})
	return a, nil
}
