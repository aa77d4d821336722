package state

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Whoever asks for a draw gets nodes of other operators by his seed: the same for the same one, and in the long run all of them.
func TestAskedDraw(t *testing.T) {
	w, _, _ := newPlant(t, 7)
	draw := func(q *wirepb.DrawQuestion) (ids []mesh.NodeID, err error) {
		t.Helper()
		a := new(wirepb.NodesAnswer)
		err = w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Draw{Draw: q}}, a)
		for _, n := range a.Nodes {
			ids = append(ids, mesh.NodeID(n.Id))
		}
		return ids, err
	}
	seen := map[mesh.NodeID]bool{}
	for i := range 60 {
		q := &wirepb.DrawQuestion{Count: 2, Seed: bytesOf(string(rune(i)), 32)}
		ids, err := draw(q)
		again, errAgain := draw(q)
		if err != nil || errAgain != nil || len(ids) != 2 || ids[0] == ids[1] || !slices.Equal(ids, again) {
			t.Fatalf("%v, %v; %v, %v", ids, err, again, errAgain)
		}
		seen[ids[0]], seen[ids[1]] = true, true
		q.Beside = [][]byte{ids[0][:]}
		if other, err := draw(q); err != nil || slices.Contains(other, ids[0]) {
			t.Fatalf("beside %s: %v, %v", ids[0], other, err)
		}
		who := new(wirepb.NodeAnswer)
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Node{Node: ids[0][:]}}, who); err != nil {
			t.Fatal(err)
		}
		q.Beside, q.Not = nil, [][]byte{who.Operator}
		if other, err := draw(q); err != nil || slices.Contains(other, ids[0]) {
			t.Fatalf("without its operator: %v, %v", other, err)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d of 7 nodes were ever drawn", len(seen))
	}
	seed := make([]byte, 32)
	for name, c := range map[string]struct {
		q    *wirepb.DrawQuestion
		kind mesh.Kind
	}{
		"too many":   {&wirepb.DrawQuestion{Count: 8, Seed: seed}, mesh.Unavailable},
		"no node":    {&wirepb.DrawQuestion{Seed: seed}, mesh.Invalid},
		"nine":       {&wirepb.DrawQuestion{Count: 9, Seed: seed}, mesh.Invalid},
		"no seed":    {&wirepb.DrawQuestion{Count: 1}, mesh.Invalid},
		"much else":  {&wirepb.DrawQuestion{Count: 1, Seed: seed, Beside: make([][]byte, 65)}, mesh.Invalid},
		"an account": {&wirepb.DrawQuestion{Count: 1, Seed: seed, Not: [][]byte{{1}}}, mesh.Invalid},
	} {
		if ids, err := draw(c.q); mesh.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v, %v; want %s", name, ids, err, c.kind)
		}
	}
	w.online(w.nodes[1:]...)
	for what, want := range map[string]string{"slice": "[score]", "cell": "[score]", "task": "[score room]", "call": "[score]"} {
		a := new(wirepb.ExplainAnswer)
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Explain{Explain: &wirepb.ExplainQuestion{What: what, Bytes: 1}}}, a); err != nil || len(a.Verdicts) != 7 {
			t.Fatalf("%s: %v, %v", what, a, err)
		}
		for _, v := range a.Verdicts {
			product, parts := uint64(1), []string{}
			for _, p := range v.Parts {
				if product *= p.Factor; p.Factor > 1 {
					parts = append(parts, p.Name)
				}
			}
			if v.Refused != "" || product != v.Weight || fmt.Sprint(parts) != want {
				t.Errorf("%s: %v; want %s", what, v, want)
			}
		}
	}
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Explain{Explain: &wirepb.ExplainQuestion{What: "soul"}}}, nil); mesh.KindOf(err) != mesh.Invalid {
		t.Error(err)
	}
	p := new(wirepb.ComputePrices)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_ComputePrices{ComputePrices: true}}, p); err != nil || !proto.Equal(p, compute.DefaultPrices()) {
		t.Errorf("prices %v, %v", p, err)
	}
}

// What receipts of a lease of kind compute earn, is earned by computing.
func TestComputeLease(t *testing.T) {
	w := newWorld(t, 4, 3)
	u := w.session(w.person("ann", 10*oz), "ann")
	lease := func(label string, kind int) []byte {
		return tx(wirepb.TxKind_TX_LEASE, u.key, traffic.Lease{ID: leaseID(label), Amount: mesh.Noz(oz), Authority: w.authorities[0].id, ExpiresMs: w.now + time.Hour.Milliseconds(), Kind: kind}.Message())
	}
	w.refused(mesh.Invalid, lease("databases", report.Database))
	w.refused(mesh.Invalid, lease("none", 3))
	w.ok(lease("calls", report.Compute))
	w.ok(lease("traffic", report.Storage))
	w.ok(settlement(w.nodes[0], u.receipt("calls", w.nodes[0], 1000), u.receipt("traffic", w.nodes[0], 70)))
	if got, moved := w.earnedBy(report.Compute, w.nodes[0]), w.earnedBy(report.Storage, w.nodes[0]); got != 1000 || moved != 70 {
		t.Errorf("%d were earned by computing, %d by traffic", got, moved)
	}
	w.check()
}
