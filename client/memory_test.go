package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

const sealedFrame = mesh.FrameBytes + index.TagBytes

// segments wants whole segments to read.
var segments = want{most: maxStored, frame: sealedFrame, cost: roomFor}

// The first to come get whole segments, the next ones smaller steps, and whoever holds nothing the smallest, always.
func TestMemoryStepsDown(t *testing.T) {
	m := NewMemory(24 * maxStored) // half of it for writing
	count := map[int]int{}
	held := 0
	for range 100 {
		n, cost := m.take(segments, leastStored, true)
		count[n]++
		if held += cost; cost != n || m.Held() != held {
			t.Fatalf("a step of %d bytes cost %d; %d are held, want %d", n, cost, m.Held(), held)
		}
	}
	counts := map[int]int{256 * sealedFrame: 10, 64 * sealedFrame: 6, 16 * sealedFrame: 6, 4 * sealedFrame: 78}
	for n, c := range counts {
		if count[n] != c {
			t.Errorf("%d steps of %d frames, want %d", count[n], n/sealedFrame, c)
		}
	}
	if n, _ := m.try(segments, aheadStored); n != 0 || m.Held() != held {
		t.Errorf("%d bytes were granted beyond the budget to somebody who may wait", n)
	}
	if n, _ := m.try(want{writes: true, most: maxStored, frame: sealedFrame, cost: roomFor}, maxStored); n != maxStored {
		t.Errorf("readers left %d bytes of a segment to a writer", n)
	}
	m.charge(m.budget)
	if m.more(1) {
		t.Error("a byte was granted beyond the budget")
	}
	m.give(m.Held())
	if n, _ := m.try(segments, maxStored); n != maxStored {
		t.Errorf("a whole budget grants %d bytes, want a segment", n)
	}
}

// Runs grow while they are used up fast, and shrink when not; without a budget they are whole.
func TestRunsFollowTheReader(t *testing.T) {
	m := NewMemory(1 << 30)
	run := m.firstRun()
	for _, x := range []struct {
		took time.Duration
		want int
	}{{0, 16}, {time.Millisecond, 64}, {0, 256}, {0, 256}, {2 * time.Second, 256}, {5 * time.Second, 64}, {time.Hour, 16}, {time.Hour, 4}, {time.Hour, 4}} {
		if run = m.nextRun(run, x.took); run != x.want*sealedFrame {
			t.Fatalf("after %s a run has %d frames, want %d", x.took, run/sealedFrame, x.want)
		}
	}
	m = NewMemory(unlimited)
	if run := m.nextRun(m.firstRun(), time.Hour); run != maxStored {
		t.Errorf("without a budget a run has %d bytes", run)
	}
}

// A grant is whole frames and no more than what was asked; its cost is what is allocated.
func TestMemoryGrantsFrames(t *testing.T) {
	for _, frame := range []int{1, 17, 1041, mesh.FrameBytes, sealedFrame} {
		for _, budget := range []int{0, 1 << 20, 5 << 20, 50 << 20, unlimited} {
			for range 5 {
				m := NewMemory(budget)
				most := 1 + rand.IntN(maxStored)
				n, cost := m.take(want{most: most, frame: frame, cost: roomFor}, leastStored, true)
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

func testWindow(m *Memory) *window {
	return (&Client{memory: m, opts: Options{Segments: 2}}).window(aheadStored, leastStored)
}

// Beside a buffer of its own, a window takes another only where there is memory; else it waits for its own.
func TestWindowWaitsForItsOwn(t *testing.T) {
	m := NewMemory(0)
	w := testWindow(m)
	first, err := w.take(t.Context(), segments)
	if err != nil || len(first.stored) != leastStored {
		t.Fatalf("the first buffer has %d bytes, %v", len(first.stored), err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.take(cancelled, segments); !errors.Is(err, context.Canceled) {
		t.Fatalf("a window without memory took a second buffer: %v", err)
	}
	other := testWindow(m) // who holds nothing does not wait
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
	w := testWindow(m)
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
			w := testWindow(m)
			var giving sync.WaitGroup
			for range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if r.IntN(4) == 0 {
					cancel()
				}
				if r.IntN(8) == 0 && m.more(1000) {
					m.give(1000)
				}
				buf, err := w.take(ctx, want{most: 1 + r.IntN(maxStored), frame: sealedFrame, cost: roomFor})
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
