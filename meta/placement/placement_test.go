package placement_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
)

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func candidate(i int, domain string) placement.Node {
	return placement.Node{ID: mesh.NodeID{byte(i >> 8), byte(i)}, Domain: domain, Kinds: placement.Storage, Active: true, Online: true, FreeBytes: 1 << 34, Score: 1_000_000}
}

// Whatever the candidates: one node a domain, as many as the geometry says, those that cannot take a piece last and
// never so many that the write could not be acknowledged.
func TestChoose(t *testing.T) {
	r := seeded(t)
	for range 500 {
		var all []placement.Node
		domains := 1 + r.IntN(90)
		for i := range domains + r.IntN(40) {
			c := candidate(i, fmt.Sprint(r.IntN(domains)))
			c.Online = r.IntN(8) > 0
			c.FreeBytes = uint64(r.IntN(10)) << 20
			c.Score = uint64(r.IntN(1_000_001))
			all = append(all, c)
		}
		const piece = 1 << 20
		byNode, usable, seen := map[mesh.NodeID]placement.Node{}, map[string]bool{}, map[string]bool{}
		for _, c := range all {
			byNode[c.ID] = c
			seen[c.Domain] = true
			if c.Online && c.FreeBytes >= piece {
				usable[c.Domain] = true
			}
		}
		g, nodes, err := placement.Choose(placement.ForSlice(piece), all, r)
		if len(seen) < 3 || len(usable) < g.Acknowledged {
			if err == nil || mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" {
				t.Fatalf("%d domains, %d usable: %v", len(seen), len(usable), err)
			}
			continue
		}
		if err != nil || len(nodes) != g.Pieces {
			t.Fatalf("%d domains, %d usable: %d nodes, %v", len(seen), len(usable), len(nodes), err)
		}
		taken, late := map[string]bool{}, false
		for i, n := range nodes {
			c := byNode[n]
			if taken[c.Domain] {
				t.Fatalf("domain %s has two pieces", c.Domain)
			}
			taken[c.Domain] = true
			ok := c.Online && c.FreeBytes >= piece
			if ok && late {
				t.Fatalf("piece %d is on a node that is there, after one that is not", i)
			}
			late = late || !ok
			if !ok && usable[c.Domain] {
				t.Fatalf("domain %s has a node that could take the piece", c.Domain)
			}
			if !ok && i < g.Acknowledged {
				t.Fatalf("piece %d of %d cannot be written", i, g.Acknowledged)
			}
		}
	}
}

// The same random numbers choose the same nodes, in whatever order the candidates come.
func TestChooseIsAFunction(t *testing.T) {
	r := seeded(t)
	var all []placement.Node
	for i := range 50 {
		all = append(all, candidate(i, fmt.Sprint(i%30)))
	}
	seed := r.Uint64()
	_, want, err := placement.Choose(placement.ForSlice(1), all, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if _, got, err := placement.Choose(placement.ForSlice(1), all, rand.New(rand.NewPCG(seed, 1))); err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
}

// Of nodes for the first piece, one with twice the weight is taken twice as often. The seed is fixed: the bounds are five
// standard deviations, and a test that fails once in a million runs is worse than one that never does.
func TestProportional(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []placement.Node
	for i := range 90 {
		c := candidate(i, fmt.Sprint(i))
		c.FreeBytes = 99 << 30
		if i%2 == 0 {
			c.FreeBytes = 199 << 30
		}
		all = append(all, c)
	}
	heavy, rounds := 0, 9000
	for range rounds {
		_, nodes, err := placement.Choose(placement.ForSlice(1), all, r)
		if err != nil {
			t.Fatal(err)
		}
		if nodes[0][1]%2 == 0 {
			heavy++
		}
	}
	if want := rounds * 2 / 3; heavy < want-224 || heavy > want+224 {
		t.Errorf("%d of %d, want about %d", heavy, rounds, want)
	}
}

func TestTooFew(t *testing.T) {
	r := seeded(t)
	away := func(i int, domain string) placement.Node { n := candidate(i, domain); n.Online = false; return n }
	full := func(i int, domain string) placement.Node { n := candidate(i, domain); n.FreeBytes = 9; return n }
	other := func(i int, domain string) placement.Node {
		n := candidate(i, domain)
		n.Kinds = placement.Compute
		return n
	}
	for name, all := range map[string][]placement.Node{
		"nobody":                   nil,
		"two":                      {candidate(1, "a"), candidate(2, "b")},
		"many of one operator":     {candidate(1, "a"), candidate(2, "a"), candidate(3, "a"), candidate(4, "b")},
		"three, of whom one is up": {candidate(1, "a"), away(2, "b"), away(3, "c")},
		"three, of another kind":   {candidate(1, "a"), candidate(2, "b"), other(3, "c")},
		"three full ones":          {full(1, "a"), full(2, "b"), full(3, "c")},
	} {
		if _, nodes, err := placement.Choose(placement.ForSlice(10), all, r); err == nil || nodes != nil || mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("%s: %v, %v", name, nodes, err)
		}
	}
}
