package consensus

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"

	"github.com/stratosmesh/stratos/mesh"
)

// keepResults is how many results of transactions are remembered for those who ask twice.
const keepResults = 8192

// Results tells what became of transactions to those who wait for them, and for a while to those who ask again.
type Results[T any] struct {
	applied func(T) bool // a transaction with this result is not applied again, so that the result stays

	mu      sync.Mutex
	waiters map[[32]byte][]chan result[T]
	known   map[[32]byte]result[T]
	order   [][32]byte // of known, oldest first
}

type result[T any] struct {
	height int64
	value  T
}

// NewResults returns results of which applied tells whether they stand for good; another is replaced when its transaction
// comes again.
func NewResults[T any](applied func(T) bool) *Results[T] {
	return &Results[T]{applied: applied, waiters: map[[32]byte][]chan result[T]{}, known: map[[32]byte]result[T]{}}
}

// await returns a result that stands, or a channel that gets the next one.
func (r *Results[T]) await(hash [32]byte) (result[T], <-chan result[T], bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[hash]; ok && r.applied(k.value) {
		return k, nil, true
	}
	c := make(chan result[T], 1)
	r.waiters[hash] = append(r.waiters[hash], c)
	return result[T]{}, c, false
}

func (r *Results[T]) unawait(hash [32]byte, c <-chan result[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.waiters[hash] {
		if w == c {
			r.waiters[hash] = append(r.waiters[hash][:i], r.waiters[hash][i+1:]...)
			break
		}
	}
	if len(r.waiters[hash]) == 0 {
		delete(r.waiters, hash)
	}
}

// Tell says what became of a committed block's transactions, named by their SHA-256.
func (r *Results[T]) Tell(height int64, hashes [][32]byte, values []T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, h := range hashes {
		now := result[T]{height, values[i]}
		before, known := r.known[h]
		if !known {
			r.order = append(r.order, h)
		}
		if known && r.applied(before.value) {
			now = before // applied once; what came again was refused as a replay
		}
		r.known[h] = now
		for _, w := range r.waiters[h] {
			w <- now // buffered for its one result
		}
		delete(r.waiters, h)
	}
	for len(r.order) > keepResults {
		delete(r.known, r.order[0])
		r.order = r.order[1:]
	}
}

// Submit gives a transaction to a log's mempool and waits until it is applied here. The application's CheckTx refuses with a
// mesh.Kind + 1 as its code. Kind Unavailable means that it is not known whether it will be applied, and that the same bytes may
// be submitted again.
func (r *Results[T]) Submit(ctx context.Context, pool mempool.Mempool, raw []byte) (height int64, value T, err error) {
	hash := sha256.Sum256(raw)
	known, wait, ok := r.await(hash)
	if ok {
		return known.height, known.value, nil
	}
	defer r.unawait(hash, wait)
	checked := make(chan *abci.ResponseCheckTx, 1)
	switch err := pool.CheckTx(raw, func(c *abci.ResponseCheckTx) { checked <- c }, mempool.TxInfo{}); {
	case errors.Is(err, mempool.ErrTxInCache): // on its way already
	case err != nil:
		return 0, value, mesh.Errorf(mesh.Unavailable, "the log takes no transaction now: %w", err)
	default:
		if c := <-checked; c.Code != 0 {
			return 0, value, &mesh.Error{Kind: mesh.Kind(c.Code - 1), Text: c.Log, Hint: c.Info}
		}
	}
	select {
	case known = <-wait:
		return known.height, known.value, nil
	case <-ctx.Done():
		return 0, value, mesh.Errorf(mesh.Unavailable, "the log did not apply the transaction in time; it still may")
	}
}
