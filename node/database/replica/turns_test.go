package replica

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stratosmesh/stratos/mesh"
)

// One database that asks for everything leaves room for another, whose queries then come first.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns[mesh.DatabaseID](4) // of which one database has three
		type place struct {
			id   byte
			give func()
		}
		places := make(chan place, 100)
		ctx, cancel := context.WithCancel(t.Context())
		refused := 0
		ask := func(id byte, n int) {
			for range n {
				go func() {
					give, err := turns.take(ctx, mesh.DatabaseID{id})
					switch {
					case err == nil:
						places <- place{id, give}
					case mesh.KindOf(err) == mesh.Unavailable:
						refused++
					}
				}()
				synctest.Wait()
			}
		}
		held := map[byte][]func(){}
		got := func() string {
			synctest.Wait()
			n := map[byte]int{}
			for len(places) > 0 {
				p := <-places
				n[p.id]++
				held[p.id] = append(held[p.id], p.give)
			}
			return fmt.Sprintf("a%d b%d c%d", n['a'], n['b'], n['c'])
		}
		give := func(id byte) {
			held[id][0]()
			held[id] = held[id][1:]
		}
		ask('a', 20)
		if g := got(); g != "a3 b0 c0" || refused != 20-3-8 {
			t.Errorf("alone: %s, %d refused", g, refused)
		}
		ask('b', 3)
		if g := got(); g != "a0 b1 c0" {
			t.Errorf("another: %s", g)
		}
		ask('c', 1)
		for _, step := range []struct {
			of   byte
			want string
		}{{'a', "a0 b0 c1"}, {'a', "a1 b0 c0"}, {'c', "a0 b1 c0"}, {'b', "a0 b1 c0"}, {'b', "a1 b0 c0"}} {
			give(step.of)
			if g := got(); g != step.want {
				t.Errorf("after one of %c: %s, want %s", step.of, g, step.want)
			}
		}
		cancel() // whoever waits goes, and takes no place along
		synctest.Wait()
		for id := range held {
			for len(held[id]) > 0 {
				give(id)
			}
		}
		if g := got(); g != "a0 b0 c0" || turns.running != 0 || len(turns.lines) != 0 {
			t.Errorf("in the end: %s, %d run, %d lines", g, turns.running, len(turns.lines))
		}
	})
}
