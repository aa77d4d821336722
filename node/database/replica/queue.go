package replica

import (
	"sync"

	"github.com/stratosmesh/stratos/mesh"
)

// A queue knows which envelopes wait in the mempool, so that one database's leave room for the others', and what a proposer must
// know of each.
type queue struct {
	most, mostBytes int

	mu      sync.Mutex
	waiting map[[32]byte]waiting
	of      map[mesh.DatabaseID]*room
}

type waiting struct {
	candidate  candidate
	size       int
	notAfterMs int64
}

// room is what a database's envelopes take.
type room struct{ count, bytes int }

func newQueue(o Options) *queue {
	return &queue{most: o.Pending, mostBytes: o.PendingBytes, waiting: map[[32]byte]waiting{}, of: map[mesh.DatabaseID]*room{}}
}

// enter takes a place for an envelope, if its database has one left.
func (q *queue) enter(hash [32]byte, c candidate, size int, notAfterMs, nowMs int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.waiting[hash]; ok {
		return nil
	}
	r := q.of[c.database]
	if r == nil {
		r = new(room)
		q.of[c.database] = r
	}
	if r.count >= q.most || r.bytes+size > q.mostBytes {
		for h, w := range q.waiting { // which the mempool may have refused after all
			if w.candidate.database == c.database && w.notAfterMs < nowMs {
				q.drop(h)
			}
		}
		if r.count >= q.most || r.bytes+size > q.mostBytes {
			return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d envelopes of this database wait already", r.count), "try again, and put more statements into an envelope")
		}
		q.of[c.database] = r
	}
	q.waiting[hash] = waiting{c, size, notAfterMs}
	r.count, r.bytes = r.count+1, r.bytes+size
	return nil
}

// leave gives an envelope's place back.
func (q *queue) leave(hash [32]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(hash)
}

func (q *queue) drop(hash [32]byte) {
	w, ok := q.waiting[hash]
	if !ok {
		return
	}
	delete(q.waiting, hash)
	r := q.of[w.candidate.database]
	r.count, r.bytes = r.count-1, r.bytes-w.size
	if r.count == 0 {
		delete(q.of, w.candidate.database)
	}
}

// find returns what is known of an envelope that waits.
func (q *queue) find(hash [32]byte) (candidate, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, ok := q.waiting[hash]
	return w.candidate, ok
}
