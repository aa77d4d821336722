package client

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
)

// A batcher joins what many goroutines ask at the same time into few rounds: while a bounded number of rounds is under
// way, what comes waits and goes into the next one together. A round begins after everything in it was asked.
type batcher[Q, A any] struct {
	rounds int
	most   int         // weight of a round, but for one heavy question alone
	weight func(Q) int // nil: 1 each
	ask    func(context.Context, []Q) ([]A, error)
	own    *lifecycle.Group

	mu      sync.Mutex
	waiting []*asked[Q, A]
	running int
}

type asked[Q, A any] struct {
	ctx      context.Context
	question Q
	done     chan answered[A] // has room for one
}

type answered[A any] struct {
	answer A
	err    error
}

var errClosed = mesh.Errorf(mesh.Unavailable, "the client is closed")

// do asks one question and returns its answer.
func (b *batcher[Q, A]) do(ctx context.Context, q Q) (A, error) {
	x := &asked[Q, A]{ctx, q, make(chan answered[A], 1)}
	var none A
	b.mu.Lock()
	if b.running < b.rounds {
		if b.own.Go(b.run) != nil {
			b.mu.Unlock()
			return none, errClosed
		}
		b.running++
	}
	b.waiting = append(b.waiting, x)
	b.mu.Unlock()
	select {
	case r := <-x.done:
		return r.answer, r.err
	case <-ctx.Done(): // the round goes on for the others
		return none, mesh.Errorf(mesh.Unavailable, "waiting for an answer: %w", ctx.Err())
	}
}

// run asks rounds until nobody waits.
func (b *batcher[Q, A]) run(ctx context.Context) error {
	for {
		b.mu.Lock()
		items := b.cut()
		if len(items) == 0 {
			b.running--
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		b.round(ctx, items)
	}
}

// cut takes the questions of the next round off the queue. Called with mu held.
func (b *batcher[Q, A]) cut() (items []*asked[Q, A]) {
	total := 0
	for len(b.waiting) > 0 {
		x := b.waiting[0]
		if x.ctx.Err() == nil {
			w := 1
			if b.weight != nil {
				w = b.weight(x.question)
			}
			if total += w; total > b.most && len(items) > 0 {
				break
			}
			items = append(items, x)
		}
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
	return items
}

// round asks once for all. When that is refused, which may be for the sake of one of them, each is asked by itself.
func (b *batcher[Q, A]) round(ctx context.Context, items []*asked[Q, A]) {
	if len(items) == 1 {
		b.alone(ctx, items[0])
		return
	}
	questions := make([]Q, len(items))
	for i, x := range items {
		questions[i] = x.question
	}
	answers, err := b.ask(ctx, questions)
	if err == nil {
		for i, x := range items {
			x.done <- answered[A]{answer: answers[i]}
		}
		return
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, x := range items {
		g.Go(func() error { b.alone(ctx, x); return nil })
	}
	_ = g.Wait() // each error went to who asked
}

// alone asks one question, for as long as who asked it waits.
func (b *batcher[Q, A]) alone(ctx context.Context, x *asked[Q, A]) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.ctx, cancel)()
	answers, err := b.ask(ctx, []Q{x.question})
	if err != nil {
		x.done <- answered[A]{err: err}
		return
	}
	x.done <- answered[A]{answer: answers[0]}
}
