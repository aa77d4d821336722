// Package lifecycle gives every goroutine an owner: a Group starts goroutines, cancels all of them when one fails or
// when it is closed, and waits for each.
//
// It is not a scheduler and limits nothing. Every long-lived type that starts a goroutine owns a Group.
package lifecycle

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is returned by Go when the group no longer takes goroutines.
var ErrClosed = errors.New("the group is closed")

// A Group owns goroutines. The zero value is not usable; call New.
type Group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	err    error
}

// New returns a Group whose goroutines end when ctx does.
func New(ctx context.Context) *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// Context is done when the group's parent is, when a goroutine has failed, and when the group is closed.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine of its own. The first error that any f returns cancels the group's context; an error that
// only reports this cancellation does not count. After Close it runs nothing and returns ErrClosed.
func (g *Group) Go(f func(ctx context.Context) error) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	g.wg.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.wg.Done()
		if err := f(g.ctx); err != nil {
			g.fail(err)
		}
	}()
	return nil
}

func (g *Group) fail(err error) {
	if g.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.cancel()
}

// Wait blocks until every goroutine has returned and tells the first error. The group takes no more goroutines then.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait() // for what came in before closed was set
	g.cancel()
	return g.err
}

// Close cancels the group, waits for every goroutine and tells the first error. It may be called more than once.
func (g *Group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	return g.Wait()
}
