package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is where a packer of tests writes: segments of 4 of 8 pieces, in memory.
type disk struct {
	mu      sync.Mutex
	stored  map[mesh.SegmentID][]byte
	refuse  func(mesh.Path) error
	blocked chan struct{} // when set, a write waits until it is closed
	began   chan struct{} // when set, told of each write
	took    time.Duration // for a write

	refuseEntries error
	entered       [][]*wirepb.Entry // by transaction
}

// enter takes entries as the log does.
func (d *disk) enter(_ context.Context, all []*wirepb.Signed) error {
	var entries []*wirepb.Entry
	for _, s := range all {
		e := new(wirepb.Entry)
		if err := wire.Decode(s.Body, 1<<20, e); err != nil {
			return err
		}
		entries = append(entries, e)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuseEntries == nil {
		d.entered = append(d.entered, entries)
	}
	return d.refuseEntries
}

// object i of n bytes, whose entry says where it lies.
func object(i, n int) *packed {
	return &packed{path: objectAt(i), content: content(i, n), entry: func(s *wirepb.Segment, x *wirepb.Extent, brings bool) *wirepb.Signed {
		e := &wirepb.Entry{Key: objectAt(i).Key, Extents: []*wirepb.Extent{x}}
		if brings {
			e.Segments = []*wirepb.Segment{s}
		}
		return &wirepb.Signed{Body: wire.Encode(e)}
	}}
}

func (d *disk) write(ctx context.Context, p mesh.Path, form former) (*wirepb.Segment, error) {
	if d.began != nil {
		d.began <- struct{}{}
	}
	if d.blocked != nil {
		select {
		case <-d.blocked:
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "%w", ctx.Err())
		}
	}
	time.Sleep(d.took)
	if d.refuse != nil {
		if err := d.refuse(p); err != nil {
			return nil, err
		}
	}
	stored, pieceBytes := form(4)
	s := &wirepb.Segment{Length: uint64(len(stored)), DataPieces: 4, PieceBytes: pieceBytes}
	for i := range 8 {
		slice, node := sha256.Sum256(append([]byte{byte(i)}, stored...)), sha256.Sum256([]byte{byte(i)})
		s.Pieces = append(s.Pieces, &wirepb.Piece{Slice: slice[:], Node: node[:len(mesh.NodeID{})], Ack: make([]byte, len(mesh.Signature{}))})
	}
	if err := index.CheckSegment(s); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stored[index.SegmentIDOf(s)] = stored
	return s, nil
}

func content(i, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(b)
	return b
}

func objectAt(i int) mesh.Path { return mesh.Path{Bucket: "bucket", Key: fmt.Sprint("object/", i)} }

// putAll puts objects of these sizes at once, each sealed by its own key but every third, and returns the errors. What was
// written is read back.
func putAll(t *testing.T, p *packer, d *disk, sizes []int) []error {
	errs := make([]error, len(sizes))
	for range sizes {
		p.begin()
	}
	var wg sync.WaitGroup
	for i, n := range sizes {
		wg.Go(func() {
			defer p.end()
			x := object(i, n)
			if i%3 != 0 {
				x.sealer = seal.NewSealer(seal.Key{byte(i), byte(i >> 8)})
			}
			r, err := p.put(t.Context(), x)
			if errs[i] = err; err != nil || r.segment == nil {
				return
			}
			if r.entered != (d.refuseEntries == nil) {
				t.Errorf("object %d was entered: %v", i, r.entered)
			}
			at := r.extent
			d.mu.Lock()
			stored := d.stored[mesh.SegmentID(at.Segment)][at.Offset : at.Offset+at.Length]
			d.mu.Unlock()
			var plain []byte
			if x.sealer == nil {
				plain = stored
			} else {
				for n := uint64(0); len(stored) > 0; n++ {
					size := min(len(stored), mesh.FrameBytes+index.TagBytes)
					if plain, err = x.sealer.OpenFrame(plain, stored[:size], n, size == len(stored)); err != nil {
						t.Errorf("object %d: %v", i, err)
						return
					}
					stored = stored[size:]
				}
			}
			if !bytes.Equal(plain, x.content) {
				t.Errorf("object %d came back otherwise", i)
			}
		})
	}
	wg.Wait()
	return errs
}

func testPacker(t *testing.T, d *disk) *packer {
	d.stored = map[mesh.SegmentID][]byte{}
	p := newPacker(d.write, d.enter)
	t.Cleanup(func() { p.own.Close() })
	return p
}

func TestPackHoldsWhatWasPut(t *testing.T) {
	d := new(disk)
	p := testPacker(t, d)
	r := rand.New(rand.NewPCG(7, 7))
	var sizes []int
	for range 200 {
		sizes = append(sizes, mesh.InlineMax+1+r.IntN(maxPacked-mesh.InlineMax))
	}
	if err := errors.Join(putAll(t, p, d, sizes)...); err != nil {
		t.Fatal(err)
	}
	if n := len(d.stored); n < 6 || n > 30 { // one may have come alone, and is in none
		t.Errorf("about 100 MiB in objects that came together took %d segments", n)
	}
}

func TestLoneObjectIsNotPacked(t *testing.T) {
	d := new(disk)
	p := testPacker(t, d)
	for i := range 3 {
		p.begin()
		r, err := p.put(t.Context(), object(i, 100<<10))
		if r.segment != nil || r.entered || err != nil || len(d.stored) != 0 {
			t.Fatalf("put = %v, %v", r, err)
		}
		p.end()
	}
}

// One object that may not be written spoils no other.
func TestRefusedObjectFailsAlone(t *testing.T) {
	d := &disk{refuse: func(p mesh.Path) error {
		if p == objectAt(0) || p == objectAt(5) {
			return mesh.Errorf(mesh.Denied, "not %s", p)
		}
		return nil
	}}
	p := testPacker(t, d)
	sizes := make([]int, 12)
	for i := range sizes {
		sizes[i] = 100 << 10
	}
	// The pack is written under the path of whoever came first, so each denied object may be carried by another, or be
	// refused; an object that may be written never is.
	for i, err := range putAll(t, p, d, sizes) {
		if err != nil && (mesh.KindOf(err) != mesh.Denied || i != 0 && i != 5) {
			t.Errorf("object %d: %v", i, err)
		}
	}
}

func TestUnavailableFailsAll(t *testing.T) {
	d := &disk{refuse: func(p mesh.Path) error { return mesh.Errorf(mesh.Unavailable, "no node answers") }}
	for i, err := range putAll(t, testPacker(t, d), d, []int{5000, 6000, 7000}) {
		if mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("object %d: %v", i, err)
		}
	}
}

func TestCancelLeavesThePackToOthers(t *testing.T) {
	d := &disk{blocked: make(chan struct{}), began: make(chan struct{}, 10)}
	p := testPacker(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := [2]chan error{make(chan error, 1), make(chan error, 1)}
	p.begin()
	p.begin()
	for i, ctx := range []context.Context{ctx, t.Context()} {
		go func() {
			defer p.end()
			_, err := p.put(ctx, object(i, 9000))
			errs[i] <- err
		}()
	}
	select {
	case <-d.began:
	case <-time.After(10 * time.Second):
		t.Fatal("no pack was begun")
	}
	cancel()
	if err := <-errs[0]; !errors.Is(err, context.Canceled) {
		t.Fatalf("the cancelled Put: %v", err)
	}
	close(d.blocked)
	if err := <-errs[1]; err != nil {
		t.Fatalf("the other Put: %v", err)
	}
	// The cancelled Put has failed, so nothing of it may be seen; the other brings the segment in its place.
	if len(d.entered) != 1 || len(d.entered[0]) != 1 || d.entered[0][0].Key != objectAt(1).Key || len(d.entered[0][0].Segments) != 1 {
		t.Fatalf("entered: %v", d.entered)
	}
}

// The objects of a pack are entered together, and the first brings the segment.
func TestPackIsEnteredTogether(t *testing.T) {
	d := new(disk)
	p := testPacker(t, d)
	if err := errors.Join(putAll(t, p, d, slices.Repeat([]int{100 << 10}, 40))...); err != nil {
		t.Fatal(err)
	}
	objects := 0
	for _, entries := range d.entered {
		objects += len(entries)
		for i, e := range entries {
			if (len(e.Segments) == 1) != (i == 0) {
				t.Errorf("entry %d of %d brings %d segments", i, len(entries), len(e.Segments))
			}
		}
	}
	if objects < 35 || len(d.entered) > len(d.stored) { // who came late may have been alone
		t.Errorf("%d objects in %d segments were entered in %d transactions", objects, len(d.stored), len(d.entered))
	}
}

// When the log refuses the entries of a pack, each Put is told to enter its own.
func TestRefusedEntriesGoAlone(t *testing.T) {
	d := &disk{refuseEntries: mesh.Errorf(mesh.Conflict, "one of them")}
	if err := errors.Join(putAll(t, testPacker(t, d), d, []int{5000, 6000, 7000, 8000})...); err != nil {
		t.Fatal(err)
	}
	d = &disk{refuseEntries: mesh.Errorf(mesh.Unavailable, "nobody knows")}
	for i, err := range putAll(t, testPacker(t, d), d, []int{5000, 6000, 7000, 8000}) {
		if mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("object %d: %v", i, err)
		}
	}
}

// Writers who come back a while after their pack has ended end up in one pack, although they began apart.
func TestWritersMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, rounds, think, round = 8, 20, 5 * time.Millisecond, 50 * time.Millisecond
		d := &disk{took: round}
		p := testPacker(t, d)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				time.Sleep(time.Duration(i/4) * round / 2)
				for n := range rounds {
					p.begin()
					r, err := p.put(t.Context(), object(i*rounds+n, 1000))
					if err != nil {
						t.Error(err)
					}
					if r.segment == nil {
						time.Sleep(round) // and writes by itself
					}
					p.end()
					time.Sleep(think)
				}
			})
		}
		wg.Wait()
		whole := 0
		for _, entries := range d.entered {
			if len(entries) == writers {
				whole++
			}
		}
		if whole < rounds/2 {
			t.Errorf("%d of %d packs hold all writers' objects", whole, len(d.entered))
		}
	})
}

func TestLayout(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	within := 0
	for range 2000 {
		k := []int{1, 4, 29}[r.IntN(3)]
		var sizes []uint64
		var total uint64
		for n := 1 + r.IntN(64); n > 0 && total < maxPack-maxPacked; n-- {
			sizes = append(sizes, mesh.InlineMax+1+r.Uint64N(maxPacked/(1<<r.IntN(8))))
			total += sizes[len(sizes)-1]
		}
		offsets, length, p := layout(sizes, k)
		if p*uint64(k) < length || p*uint64(k) >= length+uint64(k)*mesh.FrameBytes || length > total+total/16 {
			t.Fatalf("%v in %d pieces: %d bytes in pieces of %d", sizes, k, length, p)
		}
		taken := make(map[uint64]uint64)
		for i, n := range sizes {
			if offsets[i]+n > length {
				t.Fatalf("object %d ends at %d of %d", i, offsets[i]+n, length)
			}
			for at, size := range taken {
				if offsets[i] < at+size && at < offsets[i]+n {
					t.Fatalf("%v in %d pieces: two objects overlap at %d", sizes, k, at)
				}
			}
			taken[offsets[i]] = n
			if offsets[i]/p == (offsets[i]+n-1)/p {
				within++
			}
		}
	}
	if within == 0 {
		t.Error("no object lies within one piece")
	}
}
