package replica

import (
	"sync"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A queue knows what waits in the mempool, so that one lane's transactions leave room for the others', and what a proposer must
// know of each.
type queue struct {
	most, mostBytes int

	mu      sync.Mutex
	waiting map[[32]byte]waiting
	of      map[lane]*room
}

type waiting struct {
	candidate  candidate
	lane       lane // by which it takes room
	size       int
	notAfterMs int64

	// Of an envelope, who signed it, and it without statements.
	by       mesh.PublicKey
	envelope *wirepb.Envelope
}

// room is what a lane's transactions take.
type room struct{ count, bytes int }

func newQueue(o Options) *queue {
	return &queue{most: o.Pending, mostBytes: o.PendingBytes, waiting: map[[32]byte]waiting{}, of: map[lane]*room{}}
}

// enter takes a place for a transaction, if the lane has one left. After notAfterMs nobody waits for it.
func (q *queue) enter(hash [32]byte, w waiting, nowMs int64) error {
	l, size := w.lane, w.size
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.waiting[hash]; ok {
		return nil
	}
	r := q.of[l]
	if r == nil {
		r = new(room)
		q.of[l] = r
	}
	if r.count >= q.most || r.bytes+size > q.mostBytes {
		for h, w := range q.waiting { // which the mempool may have refused after all
			if w.lane == l && w.notAfterMs < nowMs {
				q.drop(h)
			}
		}
		if r.count >= q.most || r.bytes+size > q.mostBytes {
			return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%d transactions of this database or account wait already", r.count), "try again; an envelope takes many statements")
		}
		q.of[l] = r
	}
	q.waiting[hash] = w
	r.count, r.bytes = r.count+1, r.bytes+size
	return nil
}

// leave gives a transaction's place back.
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
	r := q.of[w.lane]
	r.count, r.bytes = r.count-1, r.bytes-w.size
	if r.count == 0 {
		delete(q.of, w.lane)
	}
}

// waits returns what is known of a transaction besides.
func (q *queue) waits(hash [32]byte) (waiting, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, ok := q.waiting[hash]
	return w, ok
}

// find returns what is known of a transaction that waits.
func (q *queue) find(hash [32]byte) (candidate, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, ok := q.waiting[hash]
	return w.candidate, ok
}
