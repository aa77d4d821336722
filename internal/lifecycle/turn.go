package lifecycle

import (
	"context"
	"sync"
)

// A Turn is the one time that a long-lived type runs: its Run begins the turn, its Close ends it and waits. The zero value is
// ready.
type Turn struct {
	mu     sync.Mutex
	stop   context.CancelFunc // nil before Begin
	over   chan struct{}      // closed by what Begin returns
	closed bool
}

// Begin returns a context that ends with ctx or by Close, and what to call when the turn is over. ErrClosed when there was a
// turn before, or a Close.
func (t *Turn) Begin(ctx context.Context) (turn context.Context, over func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.stop != nil {
		return nil, nil, ErrClosed
	}
	turn, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	t.stop, t.over = stop, ended
	return turn, func() { stop(); close(ended) }, nil
}

// Close ends the turn, or sees to it that none begins, and tells whether there was one. It returns when the turn is over, and
// may be called more than once.
func (t *Turn) Close() (ran bool) {
	t.mu.Lock()
	t.closed = true
	stop, over := t.stop, t.over
	t.mu.Unlock()
	if stop == nil {
		return false
	}
	stop()
	<-over
	return true
}

// Running tells whether a turn has begun and is not being closed.
func (t *Turn) Running() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stop != nil && !t.closed
}
