package placement_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
)

type lots struct{ *rand.Rand }

func (l lots) Below(n uint64) uint64 { return l.Uint64N(n) }

func node(i int) placement.Node {
	return placement.Node{ID: mesh.NodeID{byte(i >> 8), byte(i)}, Operator: mesh.Account{byte(i >> 8), byte(i)}, Domain: fmt.Sprint(i), Kinds: 1, Active: true, Online: true, FreeBytes: 10, Score: 1_000_000}
}

// Whatever the nodes: as many as wanted, none that a filter refuses, each of another operator and domain; or none, and why.
func TestDraw(t *testing.T) {
	r := seeded(t)
	for range 500 {
		var all []placement.Node
		for i := range 1 + r.IntN(30) {
			n := node(i)
			n.Operator, n.Domain = mesh.Account{byte(r.IntN(12))}, fmt.Sprint(r.IntN(12))
			n.Kinds, n.Active, n.Online, n.Suspended = uint32(r.IntN(8)), r.IntN(8) > 0, r.IntN(8) > 0, r.IntN(8) == 0
			n.Load, n.Score, n.Deposit = r.IntN(6), uint64(r.IntN(1_000_001)), uint64(r.IntN(1<<20))
			all = append(all, n)
		}
		d := placement.Demand{Kind: 1, Count: 1 + r.IntN(4), MaxLoad: 5, ByRoom: r.IntN(2) == 0, ByDeposit: r.IntN(2) == 0,
			Not: []mesh.Account{{byte(r.IntN(12))}}, Beside: []placement.Node{all[r.IntN(len(all))]}, Near: []mesh.NodeID{all[0].ID, {0xff}}}
		drawn, err := placement.Draw(d, all, lots{r})
		if err != nil {
			if drawn != nil || mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" || !strings.Contains(err.Error(), fmt.Sprint(d.Count, " are needed")) {
				t.Fatalf("%v, %v", drawn, err)
			}
			continue
		}
		operators, domains := map[mesh.Account]bool{d.Beside[0].Operator: true}, map[string]bool{d.Beside[0].Domain: true}
		for _, id := range drawn {
			n := all[slices.IndexFunc(all, func(n placement.Node) bool { return n.ID == id })]
			if v := placement.Explain(&d, &n); v.Refused != "" || operators[n.Operator] || domains[n.Domain] {
				t.Fatalf("%+v was drawn: %+v", n, v)
			}
			operators[n.Operator], domains[n.Domain] = true, true
		}
		if len(drawn) != d.Count {
			t.Fatalf("%d drawn, %d wanted", len(drawn), d.Count)
		}
	}
}

// Each filter names itself, and each score what it is.
func TestExplain(t *testing.T) {
	d := &placement.Demand{Kind: 1, Count: 1, MaxLoad: 4, Bytes: 10, Not: []mesh.Account{{0, 9}}, Beside: []placement.Node{{Operator: mesh.Account{0, 8}, Domain: "8"}}, Near: []mesh.NodeID{{0, 6}, {0, 7}}, ByRoom: true}
	for want, edit := range map[string]func(*placement.Node){
		"another kind":     func(n *placement.Node) { n.Kinds = 6 },
		"not active":       func(n *placement.Node) { n.Active = false },
		"suspended":        func(n *placement.Node) { n.Suspended = true },
		"offline":          func(n *placement.Node) { n.Online = false },
		"as much as it":    func(n *placement.Node) { n.Load = 4 },
		"no room":          func(n *placement.Node) { n.FreeBytes = 9 },
		"may not have it":  func(n *placement.Node) { n.Operator = mesh.Account{0, 9} },
		"its operator has": func(n *placement.Node) { n.Operator = mesh.Account{0, 8} },
		"failure domain":   func(n *placement.Node) { n.Domain = "8" },
	} {
		n := node(1)
		if edit(&n); !strings.Contains(placement.Explain(d, &n).Refused, want) {
			t.Errorf("%s: %+v", want, placement.Explain(d, &n))
		}
	}
	n := node(7)
	n.Score, n.Load = 500_000, 1
	if v := placement.Explain(d, &n); fmt.Sprint(v.Refused, v.Parts) != "[{score 501} {deposit 1} {room 3} {free 1} {nearness 65536}]" || v.Weight != 501*3*65536 {
		t.Errorf("%+v", v)
	}
}

// Who is near is drawn nearly always, who has room more often than who has none, and of very many nodes some.
func TestDrawPrefers(t *testing.T) {
	r := lots{rand.New(rand.NewPCG(1, 2))}
	var all []placement.Node
	for i := range 6000 {
		all = append(all, node(i))
	}
	all[1].Load = 48
	count := func(d placement.Demand, nodes []placement.Node, of int) (n int) {
		for range 300 {
			drawn, err := placement.Draw(d, nodes, r)
			if err != nil {
				t.Fatal(err)
			}
			if drawn[0] == all[of].ID {
				n++
			}
		}
		return n
	}
	if n := count(placement.Demand{Kind: 1, Count: 1, MaxLoad: 64, Near: []mesh.NodeID{all[5000].ID}}, all, 5000); n < 280 {
		t.Errorf("the near one was drawn %d times of 300", n)
	}
	if n := count(placement.Demand{Kind: 1, Count: 1, MaxLoad: 64, ByRoom: true}, all[:2], 0); n < 210 || n > 270 { // 4 of 5
		t.Errorf("the idle one was drawn %d times of 300", n)
	}
}

// Of very many nodes that one operator has, the few others are found.
func TestDrawFindsTheFew(t *testing.T) {
	r := lots{seeded(t)}
	var all []placement.Node
	for i := range 3000 {
		n := node(i)
		if i != 77 && i != 2500 {
			n.Operator = mesh.Account{0xff}
		}
		all = append(all, n)
	}
	drawn, err := placement.Draw(placement.Demand{Kind: 1, Count: 3, MaxLoad: 64}, all, r)
	if err != nil || !slices.Contains(drawn, all[77].ID) || !slices.Contains(drawn, all[2500].ID) {
		t.Errorf("%v: %v", drawn, err)
	}
	if _, err := placement.Draw(placement.Demand{Kind: 1, Count: 4, MaxLoad: 64}, all, r); mesh.KindOf(err) != mesh.Unavailable || err == nil {
		t.Errorf("four of three operators: %v", err)
	}
}
