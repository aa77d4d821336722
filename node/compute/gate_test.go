package compute

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stratosmesh/stratos/mesh"
)

// queue enters one after the other, and tells who is let in. Each stays until it is told to leave.
type queue struct {
	t    *testing.T
	gate *gate

	mu sync.Mutex
	in []string
}

func (q *queue) enter(ctx context.Context, tenant string, memory int64) {
	go func() {
		if err := q.gate.enter(ctx, tenant, memory); err != nil {
			tenant += " " + mesh.KindOf(err).String()
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.in = append(q.in, tenant)
	}()
	synctest.Wait()
}

func (q *queue) leave(tenant string, memory int64) {
	q.gate.leave(tenant, memory)
	synctest.Wait()
}

// expect checks who was let in since the last time, in any order.
func (q *queue) expect(want ...string) {
	q.t.Helper()
	slices.Sort(q.in)
	slices.Sort(want)
	if !slices.Equal(q.in, want) {
		q.t.Fatalf("let in: %q, want %q", q.in, want)
	}
	q.in = nil
}

func TestTenantsComeInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{t: t, gate: newGate(2, 100, 10)}
		for range 5 {
			q.enter(t.Context(), "ann", 10)
		}
		q.enter(t.Context(), "bob", 10)
		q.enter(t.Context(), "bob", 10)
		q.expect("ann", "ann")
		q.leave("ann", 10)
		q.expect("bob") // who has fewer inside, though three of ann's came before
		q.leave("bob", 10)
		q.expect("bob")
		q.leave("ann", 10)
		q.expect("ann") // bob has one inside
		q.leave("bob", 10)
		q.leave("ann", 10)
		q.expect("ann", "ann")
		q.leave("ann", 10)
		q.leave("ann", 10)
		q.expect()
		if len(q.gate.tenants) != 0 || q.gate.slots != 2 || q.gate.memory != 100 {
			t.Fatalf("left over: %+v", q.gate)
		}
	})
}

func TestNobodyOvertakesALargeTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{t: t, gate: newGate(4, 100, 10)}
		q.enter(t.Context(), "ann", 60)
		ctx, cancel := context.WithCancel(t.Context())
		q.enter(ctx, "bob", 80)
		q.enter(t.Context(), "cat", 10)
		q.expect("ann")
		cancel() // whoever stood behind comes in
		synctest.Wait()
		q.expect("cat", "bob unavailable")
		q.enter(t.Context(), "bob", 80)
		q.leave("ann", 60)
		q.expect("bob")
	})
}

func TestNotTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{t: t, gate: newGate(1, 100, 2)}
		for range 4 {
			q.enter(t.Context(), "ann", 1)
		}
		q.enter(t.Context(), "bob", 1)
		q.expect("ann", "ann exhausted")
		q.leave("ann", 1)
		q.expect("bob")
		q.leave("bob", 1)
		q.leave("ann", 1)
		q.expect("ann", "ann")
	})
}
