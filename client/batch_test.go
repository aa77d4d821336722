package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// asker answers each number with its double and refuses a round that holds a negative one.
type asker struct {
	mu     sync.Mutex
	rounds [][]int
	gate   chan struct{} // when set, a round waits until it is closed
}

func (a *asker) ask(ctx context.Context, numbers []int) ([]int, error) {
	a.mu.Lock()
	a.rounds = append(a.rounds, numbers)
	a.mu.Unlock()
	if a.gate != nil {
		select {
		case <-a.gate:
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "%w", ctx.Err())
		}
	}
	doubles := make([]int, len(numbers))
	for i, n := range numbers {
		if n < 0 {
			return nil, mesh.Errorf(mesh.Denied, "not %d", n)
		}
		doubles[i] = 2 * n
	}
	return doubles, nil
}

func newTestBatcher(a *asker, rounds, most int) *batcher[int, int] {
	return &batcher[int, int]{own: lifecycle.New(context.Background()), rounds: rounds, most: most, ask: a.ask}
}

// doAll asks 1 to n at once and checks the answers.
func doAll(t *testing.T, b *batcher[int, int], n int) (wait func()) {
	var wg sync.WaitGroup
	for i := 1; i <= n; i++ {
		wg.Go(func() {
			if got, err := b.do(t.Context(), i); got != 2*i || err != nil {
				t.Errorf("%d is answered with %d, %v", i, got, err)
			}
		})
	}
	return wg.Wait
}

// What comes while rounds are under way goes into the next ones together, as much as one takes.
func TestBatcherJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{gate: make(chan struct{})}
		b := newTestBatcher(a, 2, 10)
		defer b.own.Close()
		wait := doAll(t, b, 2)
		synctest.Wait()
		others := doAll(t, b, 25)
		synctest.Wait()
		if n := len(a.rounds); n < 1 || n > 2 {
			t.Errorf("%d rounds are under way, at most 2", n)
		}
		close(a.gate)
		wait()
		others()
		if n := len(a.rounds); n > 5 {
			t.Errorf("27 questions took %d rounds", n)
		}
		for _, r := range a.rounds {
			if len(r) > 10 {
				t.Errorf("a round of %d, at most 10", len(r))
			}
		}
	})
}

// A question is never answered by a round that began before it was asked: what was true then is seen.
func TestBatcherAnswersAreNotOld(t *testing.T) {
	var truth atomic.Int64
	b := &batcher[int, int64]{own: lifecycle.New(context.Background()), rounds: 2, most: 100, ask: func(_ context.Context, q []int) ([]int64, error) {
		all := make([]int64, len(q))
		for now, i := truth.Load(), 0; i < len(all); i++ {
			all[i] = now
		}
		return all, nil
	}}
	defer b.own.Close()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				wrote := truth.Add(1)
				if got, err := b.do(t.Context(), 0); err != nil || got < wrote {
					t.Errorf("%d was written before, %d is read, %v", wrote, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// One question that is refused spoils no other.
func TestBatcherRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{gate: make(chan struct{})}
		b := newTestBatcher(a, 1, 100)
		defer b.own.Close()
		first := doAll(t, b, 1)
		synctest.Wait()
		var refused error
		var wg sync.WaitGroup
		wg.Go(func() { _, refused = b.do(t.Context(), -1) })
		others := doAll(t, b, 5)
		synctest.Wait()
		close(a.gate)
		first()
		others()
		if wg.Wait(); mesh.KindOf(refused) != mesh.Denied {
			t.Errorf("the refused one: %v", refused)
		}
		if len(a.rounds[1]) != 6 {
			t.Errorf("the six that waited were not one round: %v", a.rounds)
		}
	})
}

// Who no longer waits is not asked for, and leaves the round to the others.
func TestBatcherCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{gate: make(chan struct{})}
		b := newTestBatcher(a, 1, 100)
		ctx, cancel := context.WithCancel(t.Context())
		first := doAll(t, b, 1)
		synctest.Wait()
		gone := make(chan error, 1)
		go func() { _, err := b.do(ctx, 77); gone <- err }()
		others := doAll(t, b, 3)
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) || mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("the cancelled one: %v", err)
		}
		close(a.gate)
		first()
		others()
		for _, r := range a.rounds {
			for _, n := range r {
				if n == 77 {
					t.Error("the cancelled one was asked")
				}
			}
		}
		b.own.Close()
		if _, err := b.do(t.Context(), 1); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Close ends a round under way, and nobody waits for ever.
func TestBatcherClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBatcher(&asker{gate: make(chan struct{})}, 1, 100)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := b.do(t.Context(), i); mesh.KindOf(err) != mesh.Unavailable {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		b.own.Close()
		wg.Wait()
	})
}
