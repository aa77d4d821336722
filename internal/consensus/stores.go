package consensus

import (
	"errors"
	"sync"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/node"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/stratosmesh/stratos/mesh"
)

// Stores opens CometBFT's stores, and outlives the node that uses them: goroutines of a node that has stopped still read for a
// moment, and a store that is closed by then ends the process. What a closed one is asked for, it does not have.
type Stores struct {
	mu  sync.Mutex
	all []*guarded
}

// Of a log's three stores each keeps what was written last in a buffer that is there from the beginning, of 4 MiB unless told
// otherwise. Many logs share a machine, most of them idle.
const (
	storeBuffer = 1 << 20
	storeCache  = 2 << 20
)

// Open is a config.DBProvider.
func (s *Stores) Open(ctx *config.DBContext) (dbm.DB, error) {
	db, err := dbm.NewGoLevelDBWithOpts(ctx.ID, ctx.Config.DBDir(), &opt.Options{WriteBuffer: storeBuffer, BlockCacheCapacity: storeCache})
	if err != nil {
		return nil, err
	}
	g := &guarded{db: db}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, g)
	return g, nil
}

// Damaged tells whether an error of a store, or what CometBFT panics with after one, says that the bytes on the disk are not those
// that were written.
func Damaged(err error) bool {
	var table *lerrors.ErrCorrupted
	var file *storage.ErrCorrupted
	return errors.As(err, &table) || errors.As(err, &file)
}

// Close closes the stores; the node has stopped. It may be called more than once.
func (s *Stores) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, g := range s.all {
		errs = append(errs, g.close())
	}
	s.all = nil
	return errors.Join(errs...)
}

// guarded is a store whose users do not close it.
type guarded struct {
	mu sync.RWMutex // held for reading while the store is used
	db dbm.DB       // nil when it is closed
}

func errClosed() error { return mesh.Errorf(mesh.Unavailable, "a store of consensus is closed") }

// use calls f with the store unless it is closed.
func (g *guarded) use(f func(dbm.DB) error) (open bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.db == nil {
		return false, nil
	}
	return true, f(g.db)
}

func (g *guarded) write(f func(dbm.DB) error) error {
	open, err := g.use(f)
	if !open {
		return errClosed()
	}
	return err
}

func (g *guarded) Get(k []byte) (b []byte, err error) {
	_, err = g.use(func(db dbm.DB) (err error) { b, err = db.Get(k); return err })
	return b, err
}

func (g *guarded) Has(k []byte) (has bool, err error) {
	_, err = g.use(func(db dbm.DB) (err error) { has, err = db.Has(k); return err })
	return has, err
}

func (g *guarded) Iterator(from, to []byte) (dbm.Iterator, error) {
	return g.iterator(func(db dbm.DB) (dbm.Iterator, error) { return db.Iterator(from, to) })
}

func (g *guarded) ReverseIterator(from, to []byte) (dbm.Iterator, error) {
	return g.iterator(func(db dbm.DB) (dbm.Iterator, error) { return db.ReverseIterator(from, to) })
}

func (g *guarded) iterator(f func(dbm.DB) (dbm.Iterator, error)) (it dbm.Iterator, err error) {
	open, err := g.use(func(db dbm.DB) (err error) { it, err = f(db); return err })
	if !open {
		return f(dbm.NewMemDB())
	}
	return it, err
}

func (g *guarded) Set(k, b []byte) error {
	return g.write(func(db dbm.DB) error { return db.Set(k, b) })
}
func (g *guarded) SetSync(k, b []byte) error {
	return g.write(func(db dbm.DB) error { return db.SetSync(k, b) })
}
func (g *guarded) Delete(k []byte) error {
	return g.write(func(db dbm.DB) error { return db.Delete(k) })
}
func (g *guarded) DeleteSync(k []byte) error {
	return g.write(func(db dbm.DB) error { return db.DeleteSync(k) })
}
func (g *guarded) Compact(from, to []byte) error {
	return g.write(func(db dbm.DB) error { return db.Compact(from, to) })
}

// NewBatch is a batch whose writes are guarded, too.
func (g *guarded) NewBatch() dbm.Batch {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.db == nil {
		return dbm.NewMemDB().NewBatch()
	}
	return &batch{g.db.NewBatch(), g}
}

func (g *guarded) Print() error { return nil }

func (g *guarded) Stats() map[string]string { return nil }

// Close does nothing: Stores closes.
func (g *guarded) Close() error { return nil }

func (g *guarded) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.db == nil {
		return nil
	}
	err := g.db.Close()
	g.db = nil
	return err
}

type batch struct {
	dbm.Batch
	g *guarded
}

func (b *batch) Write() error { return b.g.write(func(dbm.DB) error { return b.Batch.Write() }) }
func (b *batch) WriteSync() error {
	return b.g.write(func(dbm.DB) error { return b.Batch.WriteSync() })
}

// Ended returns what blocks until a node that follows its log has ceased to, which it does at the end and when it has failed: then
// CometBFT only says so in its messages, and the node goes on without. Call what it returns once the node follows.
func Ended(n *node.Node) (wait func(), err error) {
	env, err := n.ConfigureRPC()
	if err != nil {
		return nil, err
	}
	w, ok := env.ConsensusState.(interface{ Wait() })
	if !ok {
		return nil, mesh.Errorf(mesh.Internal, "this version of CometBFT does not tell when consensus ends")
	}
	return w.Wait, nil
}
