package replica

import (
	"context"
	"slices"
	"sync"
)

// turns gives places to queries, so that none of those whose they are, databases or accounts, takes all of them, and of those that
// wait the one of which the fewest run comes next.
type turns[K comparable] struct {
	places int // for queries that run at once
	most   int // of them for one K
	queue  int // of queries that wait, of one K

	mu      sync.Mutex
	running int
	given   uint64
	lines   map[K]*line
}

// line are the queries of one.
type line struct {
	running int
	last    uint64          // when it was given a place last, counted in places
	waiting []chan struct{} // each closed when it has a place
}

func newTurns[K comparable](places int) *turns[K] {
	return &turns[K]{places: places, most: max(1, places-places/4), queue: 2 * places, lines: map[K]*line{}}
}

// take waits for a place for a query; give returns it.
func (t *turns[K]) take(ctx context.Context, id K) (give func(), err error) {
	t.mu.Lock()
	l := t.lines[id]
	if l == nil {
		l = new(line)
		t.lines[id] = l
	}
	if len(l.waiting) >= t.queue {
		t.mu.Unlock()
		return nil, busy("queries of this database or account")
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	t.next()
	t.mu.Unlock()
	select {
	case <-turn:
		return func() { t.leave(id, nil) }, nil
	case <-ctx.Done():
		t.leave(id, turn)
		return nil, ctx.Err()
	}
}

// leave gives up a place, or the wait for it.
func (t *turns[K]) leave(id K, waited chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[id]
	if i := slices.Index(l.waiting, waited); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else {
		l.running, t.running = l.running-1, t.running-1
	}
	t.next()
	if l.running == 0 && len(l.waiting) == 0 {
		delete(t.lines, id)
	}
}

// next gives places that are free to those whose turn it is.
func (t *turns[K]) next() {
	for t.running < t.places {
		var next *line
		for _, l := range t.lines {
			if len(l.waiting) > 0 && l.running < t.most && (next == nil || l.running < next.running || l.running == next.running && l.last < next.last) {
				next = l
			}
		}
		if next == nil {
			return
		}
		close(next.waiting[0])
		next.waiting = next.waiting[1:]
		t.given++
		next.running, next.last, t.running = next.running+1, t.given, t.running+1
	}
}
