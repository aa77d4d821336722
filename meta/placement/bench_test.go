package placement_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
)

// BenchmarkDraw draws three nodes of many, as a task of level quorum does.
func BenchmarkDraw(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		var all []placement.Node
		for i := range n {
			all = append(all, node(i))
		}
		r := lots{rand.New(rand.NewPCG(1, 2))}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := placement.Draw(placement.Demand{Kind: 1, Count: 3, MaxLoad: 64, ByRoom: true, Near: []mesh.NodeID{all[3].ID}, Not: []mesh.Account{{0xff}}}, all, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
