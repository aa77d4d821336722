package compute

import (
	"context"
	"slices"
	"sync"

	"github.com/stratosmesh/stratos/mesh"
)

// A gate lets tasks in while there are slots and memory for them, by tenants in turn: next comes the tenant that has the fewest inside,
// of equals the one whose turn was longest ago, and of its tasks the one that waits longest. Nobody overtakes one who waits for more memory than there is, so that large tasks come in as well.
type gate struct {
	waiters int // most that may wait of one tenant

	mu      sync.Mutex
	slots   int
	memory  int64
	tenants map[string]*tenant // that have tasks inside or waiting
	turn    uint64             // how many tasks were let in
	waiting []*waiter          // in the order in which they came
}

type tenant struct {
	inside, waiting int
	turn            uint64 // when its last task was let in; 0: never
}

func (t *tenant) before(o *tenant) bool {
	return t.inside < o.inside || t.inside == o.inside && t.turn < o.turn
}

type waiter struct {
	tenant *tenant
	memory int64
	in     chan struct{} // closed when it is let in
}

func newGate(slots int, memory int64, waiters int) *gate {
	return &gate{waiters: waiters, slots: slots, memory: memory, tenants: map[string]*tenant{}}
}

// enter waits until a task of so much memory may begin; leave it afterwards. It is refused as Exhausted when too many of its tenant wait.
func (g *gate) enter(ctx context.Context, name string, memory int64) error {
	g.mu.Lock()
	t := g.tenant(name)
	if t.waiting >= g.waiters {
		g.mu.Unlock()
		return mesh.Errorf(mesh.Exhausted, "%d tasks of this account wait on this node already", t.waiting)
	}
	w := &waiter{t, memory, make(chan struct{})}
	t.waiting++
	g.waiting = append(g.waiting, w)
	g.admit()
	g.mu.Unlock()
	select {
	case <-w.in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return nil // it was let in just now
	}
	g.remove(i)
	g.forget(name)
	g.admit() // it may have stood before others
	return mesh.Errorf(mesh.Unavailable, "waiting for a worker: %w", ctx.Err())
}

// tenant gives what is known of a tenant.
func (g *gate) tenant(name string) *tenant {
	t := g.tenants[name]
	if t == nil {
		t = new(tenant)
		g.tenants[name] = t
	}
	return t
}

// rest gives a slot back that a task will want again, and keeps its memory; resume takes one at once, if need be one more than there are.
func (g *gate) rest(name string) { g.leave(name, 0) }

func (g *gate) resume(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots--
	g.tenant(name).inside++
}

// leave gives back what enter took.
func (g *gate) leave(name string, memory int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots++
	g.memory += memory
	g.tenants[name].inside--
	g.forget(name)
	g.admit()
}

// admit lets in whoever may come.
func (g *gate) admit() {
	for g.slots > 0 && len(g.waiting) > 0 {
		next := 0
		for i, w := range g.waiting {
			if w.tenant.before(g.waiting[next].tenant) {
				next = i
			}
		}
		w := g.waiting[next]
		if w.memory > g.memory {
			return
		}
		g.remove(next)
		g.slots--
		g.memory -= w.memory
		g.turn++
		w.tenant.turn = g.turn
		w.tenant.inside++
		close(w.in)
	}
}

// remove takes a waiter out of the queue.
func (g *gate) remove(i int) {
	g.waiting[i].tenant.waiting--
	g.waiting = slices.Delete(g.waiting, i, i+1)
}

// forget drops what is known of a tenant that has nothing here any more.
func (g *gate) forget(name string) {
	if t := g.tenants[name]; t.inside == 0 && t.waiting == 0 {
		delete(g.tenants, name)
	}
}
