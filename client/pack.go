package client

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of packing.
const (
	maxPacked   = 1 << 20                // plaintext bytes of an object that shares a segment
	maxPack     = mesh.SegmentBytes      // stored bytes of a pack
	packWriters = 2                      // packs that are being written at once
	packGather  = 3 * time.Millisecond   // how long a pack waits for Puts that may join it, if the pack before took not long
	packShare   = 5                      // else this part of what that took
	packPause   = 100 * time.Millisecond // but no longer, and as long for a pack under way
	packTimeout = 2 * time.Minute        // for a pack to be written and entered
	packObjects = 256                    // objects of a pack: so many entries are committed at once
)

// A packer lets small objects that are put at the same time share a segment: eight slices and one ticket for all of
// them, in the place of eight slices and a ticket for each. It holds two packs being written and one that gathers; the
// content of an object is held by its Put. It enters the objects of a pack together; when that is refused, which may be
// for the sake of one, each Put enters its own, with the segment.
type packer struct {
	write func(context.Context, mesh.Path, former) (*wirepb.Segment, error)
	enter func(context.Context, []*wirepb.Signed) error // all or none
	own   *lifecycle.Group

	mu      sync.Mutex
	putting int           // small Puts under way
	waiting []*packed     // in no pack yet, in the order in which they came
	running bool          // run gathers what waits
	packing int           // packs being written
	last    int           // objects that waited or were in a pack when one ended last: as many may come back
	took    time.Duration // for the pack that ended last
	joined  chan struct{} // has room for one: somebody joined, a Put ended, or a pack
}

// A packed is a small object on its way into a pack.
type packed struct {
	ctx     context.Context
	path    mesh.Path
	sealer  *seal.Sealer // nil in a public bucket
	content []byte
	entry   func(s *wirepb.Segment, x *wirepb.Extent, brings bool) *wirepb.Signed // brings: with the segment
	done    chan packedResult                                                     // has room for one
}

type packedResult struct {
	segment *wirepb.Segment // nil when the object was alone
	extent  *wirepb.Extent
	entered bool // it is on the log
	err     error
}

func newPacker(write func(context.Context, mesh.Path, former) (*wirepb.Segment, error), enter func(context.Context, []*wirepb.Signed) error) *packer {
	return &packer{write: write, enter: enter, own: lifecycle.New(context.Background()), joined: make(chan struct{}, 1)}
}

// begin and end bracket a small Put, so that a pack knows whom it may wait for.
func (p *packer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.putting++
}

func (p *packer) end() {
	p.mu.Lock()
	p.putting--
	p.mu.Unlock()
	p.stir()
}

func (p *packer) stir() {
	select {
	case p.joined <- struct{}{}:
	default:
	}
}

// put writes an object as a part of a pack and returns the segment, where in it the object lies, and whether it was entered.
// The segment is nil when there was nobody to share with, and then nothing was sealed or written.
func (p *packer) put(ctx context.Context, x *packed) (packedResult, error) {
	x.ctx, x.done = ctx, make(chan packedResult, 1)
	p.mu.Lock()
	if p.putting == 1 && len(p.waiting) == 0 && p.last <= 1 {
		p.mu.Unlock()
		return packedResult{}, nil
	}
	p.waiting = append(p.waiting, x)
	if !p.running {
		if err := p.own.Go(p.run); err != nil {
			p.waiting = p.waiting[:len(p.waiting)-1]
			p.mu.Unlock()
			return packedResult{}, errClosed
		}
		p.running = true
	}
	p.mu.Unlock()
	p.stir()
	select {
	case r := <-x.done:
		return r, r.err
	case <-ctx.Done(): // the pack goes on for the others
		return packedResult{}, mesh.Errorf(mesh.Unavailable, "writing %s: %w", x.path, ctx.Err())
	}
}

// run begins packs until nobody waits.
func (p *packer) run(ctx context.Context) error {
	for {
		p.gather(ctx)
		p.mu.Lock()
		items := p.cut()
		if len(items) == 0 {
			p.running = false
			p.mu.Unlock()
			return nil
		}
		p.packing++
		p.mu.Unlock()
		err := p.own.Go(func(ctx context.Context) error {
			began := time.Now()
			p.pack(ctx, items)
			p.ended(len(items), time.Since(began))
			return nil
		})
		if err != nil {
			for _, x := range items {
				x.done <- packedResult{err: errClosed}
			}
			p.ended(0, 0)
		}
	}
}

func (p *packer) ended(objects int, took time.Duration) {
	p.mu.Lock()
	p.packing--
	p.last, p.took = objects+len(p.waiting), took
	p.mu.Unlock()
	p.stir()
}

// gather waits a moment for Puts that have begun and not joined yet. While a pack is under way it waits longer: whoever is
// in that one will soon come back, and one round of writing and entering for all is faster than two beside each other.
func (p *packer) gather(ctx context.Context) {
	limit := time.NewTimer(packPause)
	defer limit.Stop()
	alone, over := false, false
	for {
		p.mu.Lock()
		enough := over || len(p.waiting) == 0 || len(p.waiting) >= max(p.putting, p.last)
		busy, moment := p.packing, min(max(packGather, p.took/packShare), packPause)
		p.mu.Unlock()
		if enough && busy < packWriters {
			return
		}
		if busy == 0 && !alone {
			alone = true
			limit.Reset(moment)
		}
		select {
		case <-p.joined:
		case <-limit.C:
			over = true
		case <-ctx.Done():
			return
		}
	}
}

// cut takes the objects of the next pack off the queue. Called with mu held.
func (p *packer) cut() (items []*packed) {
	size := uint64(0)
	for len(p.waiting) > 0 && len(items) < packObjects {
		x := p.waiting[0]
		if x.ctx.Err() == nil {
			if size += x.stored(); size > maxPack {
				break
			}
			items = append(items, x)
		}
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
	}
	return items
}

// pack writes a pack and tells each of its Puts. When it fails for a reason that may be one object's, such as what its
// session may write, every object is tried by itself: with the same frames, since a key seals a frame number once.
func (p *packer) pack(ctx context.Context, items []*packed) {
	if len(items) == 1 {
		items[0].done <- packedResult{}
		return
	}
	err := p.writePack(ctx, items)
	if k := mesh.KindOf(err); err == nil || ctx.Err() != nil || k == mesh.Unavailable || k == mesh.Internal {
		for _, x := range items {
			if err != nil {
				x.done <- packedResult{err: err}
			}
		}
		return
	}
	var g errgroup.Group
	g.SetLimit(4)
	for _, x := range items {
		g.Go(func() error {
			if err := p.writePack(ctx, []*packed{x}); err != nil {
				x.done <- packedResult{err: err}
			}
			return nil
		})
	}
	_ = g.Wait() // each error went to its Put
}

// writePack writes objects as one segment and, if that went well, enters them and tells their Puts.
func (p *packer) writePack(ctx context.Context, items []*packed) error {
	ctx, cancel := context.WithTimeout(ctx, packTimeout)
	defer cancel()
	sizes := make([]uint64, len(items))
	for i, x := range items {
		sizes[i] = x.stored()
	}
	var offsets []uint64
	s, err := p.write(ctx, items[0].path, func(k int) ([]byte, uint64) {
		var length, pieceBytes uint64
		offsets, length, pieceBytes = layout(sizes, k)
		stored := make([]byte, length)
		for i, x := range items {
			x.seal(stored[offsets[i] : offsets[i] : offsets[i]+sizes[i]])
		}
		return stored, pieceBytes
	})
	if err != nil {
		return err
	}
	id := index.SegmentIDOf(s)
	extents := make([]*wirepb.Extent, len(items))
	for i := range items {
		extents[i] = &wirepb.Extent{Segment: id[:], Offset: offsets[i], Length: sizes[i]}
	}
	entered, err := p.enterPack(ctx, items, s, extents)
	for i, x := range items {
		r := packedResult{segment: s, extent: extents[i], entered: entered[i]}
		if entered[i] {
			r.err = err
		}
		x.done <- r
	}
	return nil
}

// enterPack commits the entries of a written pack, and tells which. An error counts for these; when they were refused they
// are none.
func (p *packer) enterPack(ctx context.Context, items []*packed, s *wirepb.Segment, extents []*wirepb.Extent) ([]bool, error) {
	entered := make([]bool, len(items))
	var entries []*wirepb.Signed
	size := 0
	for i, x := range items {
		if x.ctx.Err() != nil { // its Put has failed: nothing of it may be seen
			continue
		}
		e := x.entry(s, extents[i], len(entries) == 0)
		if size += len(e.Body) + 128; size > maxBody {
			break
		}
		entries, entered[i] = append(entries, e), true
	}
	if len(entries) == 0 {
		return entered, nil
	}
	err := p.enter(ctx, entries)
	if k := mesh.KindOf(err); err != nil && k != mesh.Unavailable && k != mesh.Internal {
		return make([]bool, len(items)), nil
	}
	return entered, err
}

// stored is how many bytes the object takes in a pack.
func (x *packed) stored() uint64 {
	overhead := uint64(0)
	if x.sealer != nil {
		overhead = index.TagBytes
	}
	return index.Stored(uint64(len(x.content)), mesh.FrameBytes, overhead)
}

// seal appends the object's frames to dst.
func (x *packed) seal(dst []byte) []byte {
	if x.sealer == nil {
		return append(dst, x.content...)
	}
	for at, n := 0, uint64(0); at < len(x.content); at, n = at+mesh.FrameBytes, n+1 {
		end := min(at+mesh.FrameBytes, len(x.content))
		dst = x.sealer.Frame(dst, x.content[at:end], n, end == len(x.content))
	}
	return dst
}

// layout places objects in a segment of k data pieces: where each begins, the bytes of the segment, and those of
// a piece. Each object lies within one piece where that pads the segment by no more than a sixteenth; else they follow
// each other without a gap.
func layout(sizes []uint64, k int) (offsets []uint64, length, pieceBytes uint64) {
	fill := make([]uint64, k)
	bins := make([]int, len(sizes))
	var total uint64
	for i, n := range sizes { // each to the emptiest piece
		least := 0
		for b := range fill {
			if fill[b] < fill[least] {
				least = b
			}
		}
		bins[i] = least
		fill[least] += n
		total += n
	}
	for _, n := range fill {
		pieceBytes = max(pieceBytes, n)
	}
	offsets = make([]uint64, len(sizes))
	if pieceBytes*uint64(k) > total+total/16 {
		for i, n := range sizes {
			offsets[i] = length
			length += n
		}
		return offsets, length, (length + uint64(k) - 1) / uint64(k)
	}
	clear(fill)
	for i, n := range sizes {
		offsets[i] = uint64(bins[i])*pieceBytes + fill[bins[i]]
		fill[bins[i]] += n
	}
	return offsets, pieceBytes * uint64(k), pieceBytes
}
