package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

const sealedFrame = mesh.FrameBytes + index.TagBytes

// segments wants whole segments to read.
var segments = want{maxStored, sealedFrame, roomFor}

// The first to come get whole segments, the next ones smaller steps, and whoever holds nothing the smallest, always.
func TestMemoryStepsDown(t *testing.T) {
	m := NewMemory(12 * maxStored)
	count := map[int]int{}
	held := 0
	for range 100 {
		n, cost := m.take(segments, leastStored, true)
		count[n]++
		if held += cost; cost != n || m.Held() != held {
			t.Fatalf("a step of %d bytes cost %d; %d are held, want %d", n, cost, m.Held(), held)
		}
	}
	want := map[int]int{256 * sealedFrame: 9, 64 * sealedFrame: 9, 16 * sealedFrame: 9, 4 * sealedFrame: 73}
	for n, c := range want {
		if count[n] != c {
			t.Errorf("%d steps of %d frames, want %d", count[n], n/sealedFrame, c)
		}
	}
	if n, _ := m.try(segments, aheadStored); n != 0 || m.Held() != held {
		t.Errorf("%d bytes were granted beyond the budget to somebody who may wait", n)
	}
	if m.more(1) {
		t.Error("a byte was granted beyond the budget")
	}
	m.give(held)
	if n, _ := m.try(segments, maxStored); n != maxStored {
		t.Errorf("a whole budget grants %d bytes, want a segment", n)
	}
}

// A grant is whole frames and no more than what was asked; its cost is what is allocated.
func TestMemoryGrantsFrames(t *testing.T) {
	for _, frame := range []int{1, 17, 1041, mesh.FrameBytes, sealedFrame} {
		for _, budget := range []int{0, 1 << 20, 5 << 20, 50 << 20, unlimited} {
			for range 5 {
				m := NewMemory(budget)
				most := 1 + rand.IntN(maxStored)
				n, cost := m.take(want{most, frame, roomFor}, leastStored, true)
				if n < min(most, leastStored-frame) || n > most || n != most && n%frame != 0 {
					t.Fatalf("of %d bytes in frames of %d, %d were granted", most, frame, n)
				}
				if buf := m.buffer(n, false); len(buf.whole) != cost || cost < n {
					t.Fatalf("%d bytes cost %d and took %d", n, cost, len(buf.whole))
				}
			}
		}
	}
}

// The smallest step of a write is small in every geometry, and no step costs less than its pieces take.
func TestMemoryCountsPieces(t *testing.T) {
	for domains := index.MinDomains; domains <= index.MaxPieces; domains++ {
		g, err := index.GeometryFor(domains)
		if err != nil {
			t.Fatal(err)
		}
		for n := sealedFrame; n <= maxStored; n += 3 * sealedFrame {
			cost := coded(n, sealedFrame, g)
			if n == leastStored && cost >= 1<<20 {
				t.Errorf("the smallest step of %d of %d pieces costs %d bytes", g.DataPieces, g.Pieces, cost)
			}
			if g.DataPieces == 1 {
				continue
			}
			p := pieceBytes(n, sealedFrame, g.DataPieces, n < g.DataPieces*sealedFrame)
			if cost < g.Pieces*p {
				t.Fatalf("%d bytes in %d of %d pieces of %d cost %d", n, g.DataPieces, g.Pieces, p, cost)
			}
		}
	}
}

func testWindow(m *Memory, least int) *window {
	return (&Client{memory: m, opts: Options{Segments: 2}}).window(false, aheadStored, least)
}

// Beside a buffer of its own, a window takes another only where there is memory; else it waits for its own.
func TestWindowWaitsForItsOwn(t *testing.T) {
	m := NewMemory(0)
	w := testWindow(m, leastStored)
	first, err := w.take(t.Context(), segments)
	if err != nil || len(first.stored) != leastStored {
		t.Fatalf("the first buffer has %d bytes, %v", len(first.stored), err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.take(cancelled, segments); !errors.Is(err, context.Canceled) {
		t.Fatalf("a window without memory took a second buffer: %v", err)
	}
	other := testWindow(m, leastStored) // who holds nothing does not wait
	theirs, err := other.take(t.Context(), segments)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *segmentBuffer)
	go func() {
		buf, _ := w.take(t.Context(), segments)
		got <- buf
	}()
	w.give(first)
	second := <-got
	w.give(second)
	other.give(theirs)
	if m.Held() != 0 || len(w.slots) != 0 || len(other.slots) != 0 {
		t.Errorf("%d bytes are held, by %d and %d buffers", m.Held(), len(w.slots), len(other.slots))
	}
}

// Where there is memory, a window holds as many buffers as it may.
func TestWindowTakesAhead(t *testing.T) {
	m := NewMemory(unlimited)
	w := testWindow(m, leastStored)
	for range 2 {
		if buf, err := w.take(t.Context(), segments); err != nil || len(buf.stored) != maxStored {
			t.Fatalf("a buffer of %d bytes, %v", len(buf.stored), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.take(ctx, segments); err == nil {
		t.Error("a window took three buffers of two")
	}
	if m.Held() != 2*maxStored {
		t.Errorf("two buffers hold %d bytes", m.Held())
	}
}

// Many windows, some of which give up: nothing is lost, and never more in use than the budget and a step for each.
func TestMemoryComesBack(t *testing.T) {
	const windows = 16
	m := NewMemory(2 << 20)
	var wg sync.WaitGroup
	for i := range windows {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			w := testWindow(m, leastStored)
			var giving sync.WaitGroup
			for range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if r.IntN(4) == 0 {
					cancel()
				}
				if r.IntN(8) == 0 && m.more(1000) {
					m.give(1000)
				}
				buf, err := w.take(ctx, want{1 + r.IntN(maxStored), sealedFrame, roomFor})
				cancel()
				if err != nil {
					continue
				}
				if held := m.Held(); held > 2<<20+windows*leastStored {
					t.Errorf("%d bytes are held", held)
				}
				giving.Go(func() { w.give(buf) })
			}
			giving.Wait()
		})
	}
	wg.Wait()
	if m.Held() != 0 {
		t.Errorf("%d bytes were not given back", m.Held())
	}
}
