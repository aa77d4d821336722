package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// extents calls f with the extents of an object in order, fetching its pages as it goes, until f says no or fails: with 0
// for those of the entry itself, else 1 + the number of the page. Before an extent of a page is given, the page's
// segments are in o.
func (c *Client) extents(ctx context.Context, o *Object, f func(x *wirepb.Extent, page uint32) (bool, error)) error {
	each := func(extents []*wirepb.Extent, page uint32) (bool, error) {
		for _, x := range extents {
			if more, err := f(x, page); !more || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	for n := range o.entry.Pages {
		q := &wirepb.PageName{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:], Part: o.part, Number: n}
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Page{Page: q}})
		if err != nil {
			return err
		}
		a, p := new(wirepb.PageAnswer), new(wirepb.Page)
		if found, err := group.Decode(answers[0], a); err != nil || !found || a.Page == nil {
			return orElse(err, mesh.Errorf(mesh.Conflict, "%s has changed meanwhile", o.Path))
		}
		if err := wire.Decode(a.Page.Body, 1<<20, p); err != nil {
			return err
		}
		if err := index.CheckPage(p); err != nil {
			return err
		}
		o.add(a.Segments)
		if more, err := each(p.Extents, n+1); !more || err != nil {
			return err
		}
	}
	_, err := each(o.entry.Extents, 0)
	return err
}

// Get opens an object for reading from offset on, length bytes of it or less where it ends. Close the reader.
func (c *Client) Get(ctx context.Context, p mesh.Path, offset, length uint64) (io.ReadCloser, *Object, error) {
	o, err := c.Stat(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	r, err := c.Open(ctx, o, offset, length)
	return r, o, err
}

// Open is Get for an object that Stat returned: that very version, or Conflict where it is gone. Every byte that comes
// out is the byte that went in, or there is an error. A Read of no bytes waits until the first ones are there, or says why they are not.
func (c *Client) Open(ctx context.Context, o *Object, offset, length uint64) (io.ReadCloser, error) {
	if offset > o.Size {
		return nil, mesh.Errorf(mesh.Invalid, "%s has %d bytes; there is none at %d", o.Path, o.Size, offset)
	}
	length = min(length, o.Size-offset)
	if length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if len(o.entry.Parts) > 0 {
		return c.openParts(ctx, o, offset, length), nil
	}
	if o.entry.FrameBytes == 0 {
		content := o.entry.Inline
		if o.sealer != nil {
			var err error
			if content, err = o.sealer.OpenFrame(nil, content, 0, true); err != nil {
				return nil, err
			}
		}
		return io.NopCloser(bytes.NewReader(content[offset : offset+length])), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{client: c, object: o, offset: offset, end: offset + length, cancel: cancel,
		window: c.window(aheadStored, leastStored), queue: make(chan chan fetched, c.opts.Segments)}
	r.most.Store(int64(c.memory.firstRun()))
	go r.prefetch(ctx)
	return r, nil
}

// A run is a part of an object that lies in one extent: whole frames.
type run struct {
	segment    *wirepb.Segment
	id         []byte
	page       uint32 // where the segment is named; see Client.extents
	from, to   uint64 // stored bytes of the segment
	firstFrame uint64
}

type fetched struct {
	run  run
	data *segmentBuffer
	err  error
}

// A reader gives a range of an object, and fetches a bounded number of runs ahead. Frames are opened in the memory to
// which they were read.
type reader struct {
	client      *Client
	object      *Object
	offset, end uint64
	cancel      context.CancelFunc
	window      *window
	queue       chan chan fetched // closed when all is planned; has room for all that the window lets be
	planErr     error             // set before that
	most        atomic.Int64      // stored bytes of the next run

	mu    sync.Mutex // held while it is read, and for good by Close
	run   *segmentBuffer
	began time.Time // of its use
	rest  []byte    // of the run, still sealed
	frame uint64    // the next
	plain []byte    // opened and not given out
	err   error
}

// prefetch owns the goroutines that fetch: each answers on the channel that it queued, and Close takes all of these. It cuts
// runs into what there is memory for, and takes that in their order: the next run to be read never waits for a later one.
func (r *reader) prefetch(ctx context.Context) {
	defer close(r.queue)
	frame := int(r.object.entry.FrameBytes) + int(r.object.overhead())
	r.planErr = r.client.plan(ctx, r.object, r.offset, r.end-r.offset, func(x run) error {
		for x.from < x.to {
			most := int(x.to - x.from)
			if upTo := int(r.most.Load()); most > upTo {
				most = upTo / frame * frame
			}
			buf, err := r.window.take(ctx, want{most: most, frame: frame, cost: roomFor})
			if err != nil {
				return err
			}
			now := x
			now.to = x.from + uint64(len(buf.stored))
			x.from = now.to
			x.firstFrame += uint64(len(buf.stored) / frame)
			out := make(chan fetched, 1)
			r.queue <- out
			go func() {
				err := r.client.fetch(ctx, r.object, now, buf)
				if err != nil {
					r.window.give(buf)
					buf = nil
				}
				out <- fetched{now, buf, err}
			}()
		}
		return nil
	})
}

// next opens the next frame that has bytes of the range.
func (r *reader) next() error {
	for len(r.plain) == 0 && r.err == nil {
		if len(r.rest) == 0 {
			r.release()
			out, ok := <-r.queue
			if !ok {
				r.err = orElse(r.planErr, io.EOF)
				break
			}
			f := <-out
			if r.err = f.err; r.err == nil {
				r.run, r.rest, r.frame, r.began = f.data, f.data.stored, f.run.firstFrame, time.Now()
			}
			continue
		}
		r.plain, r.err = r.open()
	}
	return r.err
}

func (r *reader) open() ([]byte, error) {
	o, frame := r.object, uint64(r.object.entry.FrameBytes)
	size := min(frame+o.overhead(), uint64(len(r.rest)))
	plain := r.rest[:size]
	r.rest = r.rest[size:]
	if o.sealer != nil {
		var err error
		if plain, err = o.sealer.OpenFrame(plain[:0], plain, r.frame, r.frame == (o.Size-1)/frame); err != nil {
			return nil, err
		}
	}
	begin := r.frame * frame
	r.frame++
	from, to := max(r.offset, begin)-begin, min(r.end-min(r.end, begin), uint64(len(plain)))
	if from > to {
		return nil, mesh.Errorf(mesh.Corrupt, "frame %d of %s is shorter than its entry says", r.frame-1, o.Path)
	}
	return plain[from:to], nil
}

func (r *reader) release() {
	if r.run != nil {
		r.most.Store(int64(r.client.memory.nextRun(int(r.most.Load()), time.Since(r.began))))
		r.window.give(r.run)
		r.run, r.rest = nil, nil
	}
}

func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// WriteTo spares io.Copy its buffer.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := r.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(r.plain)
		total += int64(n)
		r.plain = r.plain[n:]
		if err != nil {
			return total, err
		}
	}
}

// Close ends the reading and waits until nothing of it runs any more.
func (r *reader) Close() error {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	for out := range r.queue {
		if f := <-out; f.data != nil {
			r.window.give(f.data)
		}
	}
	r.release()
	r.plain, r.err = nil, orElse(r.err, os.ErrClosed)
	return nil
}

// plan calls f with the runs that hold a range of the object's content, in order.
func (c *Client) plan(ctx context.Context, o *Object, offset, length uint64, f func(run) error) error {
	frame := uint64(o.entry.FrameBytes)
	stored := frame + o.overhead()
	first, last := offset/frame, (offset+length-1)/frame
	from, to := first*stored, min((last+1)*stored, index.Stored(o.Size, frame, o.overhead()))
	at := uint64(0)
	return c.extents(ctx, o, func(x *wirepb.Extent, page uint32) (bool, error) {
		begin, end := at, at+x.Length
		at = end
		if begin%stored != 0 {
			return false, mesh.Errorf(mesh.Corrupt, "%s has a frame across two extents", o.Path)
		}
		if end <= from {
			return true, nil
		}
		if begin >= to {
			return false, nil
		}
		a, b := max(from, begin), min(to, end)
		s := o.segments[mesh.SegmentID(x.Segment)]
		if s == nil || x.Offset+x.Length > s.Length {
			return false, mesh.Errorf(mesh.Corrupt, "the index does not hold the segment %x of %s as its entry says", x.Segment, o.Path)
		}
		r := run{segment: s, id: x.Segment, page: page, from: x.Offset + a - begin, to: x.Offset + b - begin, firstFrame: a / stored}
		return b < to, f(r)
	})
}

// A part is a range of one piece of a run's segment.
type part struct {
	piece    int
	from, to uint64
}

// fetch reads the stored bytes of a run into a buffer: from the nodes that hold them as they are, and where one of these fails or
// lags, computed from others. When it returns, nothing writes to them any more.
func (c *Client) fetch(ctx context.Context, o *Object, r run, buf *segmentBuffer) error {
	p := r.segment.PieceBytes
	var parts []part
	for at := r.from; at < r.to; {
		i := at / p
		end := min(r.to, (i+1)*p)
		parts = append(parts, part{int(i), at - i*p, end - i*p})
		at = end
	}
	ctx, cancel := context.WithCancel(ctx)
	ticket, err := c.readTicket(ctx, o, r, parts)
	if err != nil {
		cancel()
		return err
	}
	into := func(x part) []byte {
		begin := uint64(x.piece)*p + x.from - r.from
		return buf.stored[begin : begin+x.to-x.from]
	}
	type outcome struct {
		part part
		data []byte // only of a repaired one; a direct one is in its place
		err  error
	}
	direct, repaired := make(chan outcome, len(parts)), make(chan outcome, len(parts))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	// A direct read under way writes to its place in the run: done tells when it does no longer.
	type under struct {
		cancel context.CancelFunc
		done   chan struct{}
	}
	missing := map[int]under{}
	for _, x := range parts {
		pctx, cancel := context.WithCancel(ctx)
		u := under{cancel, make(chan struct{})}
		missing[x.piece] = u
		running.Go(func() {
			defer cancel()
			err := c.readPart(pctx, r.segment, x, into(x), ticket)
			close(u.done)
			direct <- outcome{part: x, err: err}
		})
	}
	hedge := time.NewTimer(c.opts.Hedge)
	defer hedge.Stop()
	bad := map[int]bool{}
	recovering := map[int]bool{}
	var errs []error
	rebuild := func(lag bool) {
		var lost []part
		for _, x := range parts {
			if _, miss := missing[x.piece]; miss && !recovering[x.piece] && (bad[x.piece] || lag) {
				lost = append(lost, x)
				recovering[x.piece] = true
			}
		}
		if len(lost) == 0 {
			return
		}
		avoid := map[int]bool{}
		for i := range recovering {
			avoid[i] = true
		}
		running.Go(func() {
			found, err := c.rebuild(ctx, o, r, lost, avoid)
			for i, x := range lost {
				f := outcome{part: x, err: err}
				if err == nil {
					f.data = found[i]
				}
				repaired <- f
			}
		})
	}
	left := len(parts)
	for len(missing) > 0 {
		select {
		case f := <-direct:
			left--
			if f.err == nil {
				delete(missing, f.part.piece)
				continue
			}
			errs = append(errs, f.err)
			bad[f.part.piece] = true
			rebuild(false)
		case f := <-repaired:
			u, miss := missing[f.part.piece]
			switch {
			case f.err == nil && miss:
				u.cancel()
				<-u.done
				copy(into(f.part), f.data)
				delete(missing, f.part.piece)
			case f.err != nil:
				errs = append(errs, f.err)
				if miss && (bad[f.part.piece] || left == 0) {
					return mesh.Errorf(mesh.KindOf(f.err), "a part of %s cannot be read: %w", o.Path, errors.Join(errs...))
				}
				recovering[f.part.piece] = false
			}
		case <-hedge.C:
			rebuild(true)
		case <-ctx.Done():
			return mesh.Errorf(mesh.Unavailable, "reading %s: %w", o.Path, ctx.Err())
		}
	}
	return nil
}

// A readTicket lets pieces be read, with receipts of its lease.
type readTicket struct {
	lease  *lease
	signed *wirepb.Signed
}

// readTicket returns a ticket for parts of a run's segment; it may name what others read as well.
func (c *Client) readTicket(ctx context.Context, o *Object, r run, parts []part) (readTicket, error) {
	plan := &wirepb.ReadPlan{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:], Part: o.part, Page: r.page, Segment: r.id}
	for _, x := range parts {
		plan.Pieces = append(plan.Pieces, &wirepb.PieceRead{Index: uint32(x.piece), Length: x.to - x.from})
	}
	return c.reads.do(ctx, plan)
}

// readTickets asks for one ticket for several plans.
func (c *Client) readTickets(ctx context.Context, plans []*wirepb.ReadPlan) ([]readTicket, error) {
	need := uint64(0)
	for _, p := range plans {
		for _, x := range p.Pieces {
			need += x.Length
		}
	}
	l, a, err := c.leases.ticket(ctx, &wirepb.TicketRequest{Reads: plans}, need)
	if err != nil {
		return nil, err
	}
	return slices.Repeat([]readTicket{{l, a.TicketRead}}, len(plans)), nil
}

// readPart reads a range of a piece from its node into data, step by step.
func (c *Client) readPart(ctx context.Context, s *wirepb.Segment, x part, data []byte, t readTicket) error {
	p := s.Pieces[x.piece]
	id := mesh.NodeID(p.Node)
	if len(p.Ack) == 0 {
		return mesh.Errorf(mesh.NotFound, "piece %d of a segment is not on node %s yet", x.piece, id)
	}
	nodes, _, err := c.registry(ctx)
	if err != nil && nodes == nil {
		return err
	}
	node, ok := nodes[id]
	if !ok {
		return mesh.Errorf(mesh.NotFound, "node %s is not registered any more", id)
	}
	g, ctx := errgroup.WithContext(ctx)
	for at := uint64(0); at < uint64(len(data)); at += mesh.StepBytes {
		n := min(mesh.StepBytes, uint64(len(data))-at)
		g.Go(func() error {
			if err := c.dialer.ReadInto(ctx, node, t.signed, mesh.SliceID(p.Slice), x.from+at, data[at:at+n], t.lease); err != nil {
				return mesh.Errorf(mesh.KindOf(err), "node %s: %w", id, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// rebuild computes parts of lost pieces from the same range of others.
func (c *Client) rebuild(ctx context.Context, o *Object, r run, lost []part, avoid map[int]bool) ([][]byte, error) {
	s := r.segment
	code, err := c.code(int(s.DataPieces), len(s.Pieces))
	if err != nil {
		return nil, err
	}
	from, to := lost[0].from, lost[0].to
	for _, x := range lost {
		from, to = min(from, x.from), max(to, x.to)
	}
	if c.opts.Exact {
		from, to = 0, s.PieceBytes
	}
	held := int(s.DataPieces) * int(to-from)
	c.memory.charge(held)
	defer c.memory.give(held)
	var sources []part
	for i, p := range s.Pieces {
		if !avoid[i] && len(p.Ack) > 0 {
			sources = append(sources, part{i, from, to})
		}
	}
	pieces := make([][]byte, len(s.Pieces))
	have := 0
	var mu sync.Mutex
	var errs []error
	for have < int(s.DataPieces) {
		want := int(s.DataPieces) - have
		if len(sources) < want {
			return nil, mesh.Errorf(mesh.Unavailable, "%d of %d pieces of a segment can be read, %d are needed: %w", have, len(s.Pieces), s.DataPieces, errors.Join(errs...))
		}
		batch := sources[:want]
		sources = sources[want:]
		ticket, err := c.readTicket(ctx, o, r, batch)
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		for _, x := range batch {
			wg.Go(func() {
				data := make([]byte, x.to-x.from)
				err := c.readPart(ctx, s, x, data, ticket)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
					return
				}
				pieces[x.piece] = data
				have++
			})
		}
		wg.Wait()
	}
	if err := code.Reconstruct(pieces, true); err != nil {
		return nil, err
	}
	found := make([][]byte, len(lost))
	for i, x := range lost {
		if pieces[x.piece] == nil {
			return nil, mesh.Errorf(mesh.Internal, "piece %d was not rebuilt", x.piece)
		}
		if c.opts.Exact && !isPiece(s.Pieces[x.piece], pieces[x.piece]) {
			return nil, mesh.Errorf(mesh.Corrupt, "the pieces of a segment of %s are not those of one content: its writer has stored something else", o.Path)
		}
		found[i] = pieces[x.piece][x.from-from : x.to-from]
	}
	return found, nil
}

// isPiece tells whether data are what a piece is named for.
func isPiece(p *wirepb.Piece, data []byte) bool {
	id := transfer.SliceIDOf(data)
	return bytes.Equal(id[:], p.Slice)
}

// ReadAll reads an object from an offset on; Exhausted where that is more than most bytes.
func (c *Client) ReadAll(ctx context.Context, p mesh.Path, offset, most uint64) ([]byte, *Object, error) {
	_, o, err := c.Look(ctx, p, nil)
	if err != nil {
		return nil, nil, err
	}
	if o == nil || o.Marker {
		return nil, nil, mesh.Errorf(mesh.NotFound, "there is no %s", p)
	}
	if offset > o.Size || o.Size-offset > most {
		return nil, nil, mesh.Errorf(mesh.Exhausted, "%s has %d bytes, %d can be read at once", p, o.Size, most)
	}
	if o.Size == offset {
		return nil, o, nil
	}
	r, err := c.Open(ctx, o, offset, o.Size-offset)
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(r)
	return b, o, errors.Join(err, r.Close())
}
