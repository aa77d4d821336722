package client

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

// A Memory is a budget of bytes that any number of clients share: for what their Puts and readers hold of objects, what is
// computed of it included. Nobody waits for it. Who asks gets the largest step that fits, down to a smallest one, and who
// holds nothing gets that even beyond the budget. So those that are slow and sit on what they hold make others slower, and
// never stop them.
//
// In use are at most the budget and, for each Put and reader, one smallest step: 256 KiB to read; to write, these and their
// parity, 512 KiB where half of the pieces suffice and less than 1 MiB anywhere. What rebuilds lost pieces comes on top.
type Memory struct {
	budget int

	mu   sync.Mutex
	held int

	small  sync.Pool    // of *segmentBuffer
	steps  [4]sync.Pool // by step, the largest first
	writes [4]sync.Pool // the same, with parity
}

// NewMemory returns a budget of that many bytes.
func NewMemory(bytes int) *Memory { return &Memory{budget: bytes} }

// Held tells how many bytes are in use.
func (m *Memory) Held() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

const unlimited = math.MaxInt

// Steps: a segment, a quarter of it, a sixteenth, a sixty-fourth.
const (
	stepDown    = 4
	maxStored   = mesh.SegmentBytes / mesh.FrameBytes * (mesh.FrameBytes + index.TagBytes) // of the largest segment that a client writes, but for packs
	aheadStored = leastStored * stepDown                                                   // the smallest to read ahead
	leastStored = maxStored / (stepDown * stepDown * stepDown)
)

// A step fits when it takes no more than a third of what is free: the first to come leave something to the next. Half of
// the budget is free to those who write only, because small segments stay and small reads do not.
func (m *Memory) fits(n int, writes bool) bool {
	free := m.budget - m.held
	if !writes {
		free -= m.budget / 2
	}
	return n <= free/3
}

// Runs that are used up within quickRun become larger, those that take longer than slowRun smaller.
const (
	quickRun = time.Second
	slowRun  = 4 * time.Second
)

// firstRun returns the stored bytes of a reader's first run, nextRun those of the next after one was used up in some time. What
// is shared goes to those who use it, so every reader begins with the smallest step.
func (m *Memory) firstRun() int {
	if m.budget == unlimited {
		return maxStored
	}
	return leastStored
}

func (m *Memory) nextRun(run int, took time.Duration) int {
	switch {
	case m.budget == unlimited:
	case took < quickRun:
		run = min(run*stepDown, maxStored)
	case took > slowRun:
		run = max(run/stepDown, leastStored)
	}
	return run
}

// A want is what somebody asks of a Memory.
type want struct {
	writes bool
	most   int                  // stored bytes
	frame  int                  // stored bytes of a frame: a step is whole frames
	cost   func(stored int) int // bytes of memory
}

// try returns the largest step that fits, of at least a size unless less is wanted, and what it costs; 0 when none fits.
func (m *Memory) try(w want, least int) (stored, cost int) { return m.take(w, least, false) }

// take is try that grants the least step even beyond the budget, if it must.
func (m *Memory) take(w want, least int, must bool) (stored, cost int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for step := maxStored; step >= least; step /= stepDown {
		stored = w.most
		if stored > step {
			stored = step / w.frame * w.frame
		}
		if cost = w.cost(stored); m.fits(cost, w.writes) || must && step == least {
			m.held += cost
			return stored, cost
		}
	}
	return 0, 0
}

// more takes bytes to write if they fit; charge takes them anyway, and whoever comes next finds less.
func (m *Memory) more(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fits(n, true) {
		return false
	}
	m.held += n
	return true
}

func (m *Memory) charge(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
}

func (m *Memory) give(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held -= n; m.held < 0 {
		panic("client: memory was given back twice")
	}
}

// A segmentBuffer holds a segment and its parity while it is written, or a part of one while it is read. What is written
// is read to where its frames will lie, and sealed in place; what is read is opened in place.
type segmentBuffer struct {
	whole  []byte
	stored []byte // of whole, or a smaller form of it
	parity []byte
	cost   int
	pool   *sync.Pool // nil: it goes
}

// smallBuffer is the room for most objects that share segments.
const smallBuffer = 128 << 10

// room returns how large a buffer for n bytes is, and which step that is: 0 the largest, -1 the small buffer, -2 none. Those
// are kept, other sizes come and go.
func room(n int) (size, step int) {
	if n <= smallBuffer {
		return smallBuffer, -1
	}
	for i, s := 0, maxStored; s >= leastStored; i, s = i+1, s/stepDown {
		if n <= s && s-n <= s/64 { // frames without tags are a little smaller
			return s, i
		}
	}
	return n, -2
}

func roomFor(n int) int {
	size, _ := room(n)
	return size
}

// buffer returns one with room for n bytes, used before or new.
func (m *Memory) buffer(n int, writes bool) *segmentBuffer {
	size, step := room(n)
	var pool *sync.Pool
	switch {
	case step == -1:
		pool = &m.small
	case step >= 0 && writes:
		pool = &m.writes[step]
	case step >= 0:
		pool = &m.steps[step]
	}
	if pool != nil {
		if buf, _ := pool.Get().(*segmentBuffer); buf != nil {
			return buf
		}
	}
	return &segmentBuffer{whole: make([]byte, size), pool: pool}
}

// A window is what one Put or reader holds of a Memory: a bounded number of buffers. One goroutine takes, any give back.
type window struct {
	memory *Memory
	ahead  int           // the smallest step that is taken beside another
	least  int           // and that is granted when there is no other
	slots  chan struct{} // has one for each buffer
}

func (c *Client) window(ahead, least int) *window {
	return &window{memory: c.memory, ahead: ahead, least: least, slots: make(chan struct{}, c.opts.Segments)}
}

// take returns a buffer whose stored bytes are as many as were granted. It waits for the window's own buffers only: when
// there are as many as may be, and when there is no memory for another; never for others'.
func (w *window) take(ctx context.Context, x want) (*segmentBuffer, error) {
	slots := 0
	enter := func() error {
		select {
		case w.slots <- struct{}{}:
			slots++
			return nil
		case <-ctx.Done():
			w.leave(slots)
			return ctx.Err()
		}
	}
	if err := enter(); err != nil {
		return nil, err
	}
	n, cost := w.memory.try(x, w.ahead)
	if n == 0 {
		for slots < cap(w.slots) { // until it holds nothing else
			if err := enter(); err != nil {
				return nil, err
			}
		}
		n, cost = w.memory.take(x, w.least, true)
		w.leave(slots - 1)
	}
	buf := w.memory.buffer(n, x.writes)
	buf.stored, buf.cost = buf.whole[:n], cost
	return buf, nil
}

func (w *window) leave(slots int) {
	for range slots {
		<-w.slots
	}
}

// give gives a buffer back that nothing uses any more.
func (w *window) give(buf *segmentBuffer) {
	cost, pool := buf.cost, buf.pool
	buf.stored, buf.cost = nil, 0
	if len(buf.whole) == smallBuffer {
		buf.parity = nil
	}
	if pool != nil {
		pool.Put(buf)
	}
	w.memory.give(cost)
	w.leave(1)
}

// coded returns the memory that a segment of stored bytes takes while it is written: itself, its parity, and those data
// pieces that it does not fill.
func coded(stored, frame int, g index.Geometry) int {
	if g.DataPieces == 1 {
		return roomFor(stored)
	}
	p := pieceBytes(stored, frame, g.DataPieces, stored < g.DataPieces*frame)
	return roomFor(stored) + (g.Pieces-stored/p)*p
}

// pieceBytes returns the bytes of a segment's pieces: whole frames, or, dense, as few as hold it.
func pieceBytes(stored, frame, k int, dense bool) int {
	if dense {
		return (stored + k - 1) / k
	}
	return int(index.PieceBytes(uint64(stored), uint64(frame), k))
}
