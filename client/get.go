package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// extents calls f with the extents of an object in order, fetching its pages as it goes, until f says no or fails.
// Before an extent of a page is given, the page's segments are in o.
func (c *Client) extents(ctx context.Context, o *Object, f func(*wirepb.Extent) (bool, error)) error {
	each := func(extents []*wirepb.Extent) (bool, error) {
		for _, x := range extents {
			if more, err := f(x); !more || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	for n := range o.entry.Pages {
		q := &wirepb.PageName{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.entry.Version, Number: n}
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
		if more, err := each(p.Extents); !more || err != nil {
			return err
		}
	}
	_, err := each(o.entry.Extents)
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
// out is the byte that went in, or there is an error.
func (c *Client) Open(ctx context.Context, o *Object, offset, length uint64) (io.ReadCloser, error) {
	if offset > o.Size {
		return nil, mesh.Errorf(mesh.Invalid, "%s has %d bytes; there is none at %d", o.Path, o.Size, offset)
	}
	length = min(length, o.Size-offset)
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	r := &reader{PipeReader: pr, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		pw.CloseWithError(c.copyTo(ctx, pw, o, offset, length))
	}()
	return r, nil
}

type reader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close ends the reading and waits until nothing of it runs any more.
func (r *reader) Close() error {
	r.cancel()
	err := r.PipeReader.Close()
	<-r.done
	return err
}

// A run is a part of an object that lies in one extent: whole frames.
type run struct {
	segment    *wirepb.Segment
	id         []byte
	from, to   uint64 // stored bytes of the segment
	firstFrame uint64
	frames     uint64
}

// copyTo writes a range of the object, fetching a bounded number of runs ahead.
func (c *Client) copyTo(ctx context.Context, w io.Writer, o *Object, offset, length uint64) error {
	if length == 0 {
		return nil
	}
	if o.entry.FrameBytes == 0 {
		content := o.entry.Inline
		if o.sealer != nil {
			var err error
			if content, err = o.sealer.OpenFrame(nil, content, 0, true); err != nil {
				return err
			}
		}
		_, err := w.Write(content[offset : offset+length])
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type fetched struct {
		run  run
		data []byte
		err  error
	}
	queue := make(chan chan fetched, c.opts.Segments-1) // and one is being written
	var planErr error
	go func() {
		defer close(queue)
		planErr = c.plan(ctx, o, offset, length, func(r run) error {
			out := make(chan fetched, 1)
			select {
			case queue <- out:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() {
				data, err := c.fetch(ctx, o, r)
				out <- fetched{r, data, err}
			}()
			return nil
		})
	}()
	var err error
	for out := range queue {
		f := <-out
		if err == nil {
			if err = f.err; err == nil {
				err = o.write(w, f.run, f.data, offset, length)
			}
			if err != nil {
				cancel()
			}
		}
	}
	return orElse(err, planErr)
}

// plan calls f with the runs that hold a range of the object's content, in order.
func (c *Client) plan(ctx context.Context, o *Object, offset, length uint64, f func(run) error) error {
	frame := uint64(o.entry.FrameBytes)
	stored := frame + o.overhead()
	first, last := offset/frame, (offset+length-1)/frame
	from, to := first*stored, min((last+1)*stored, index.Stored(o.Size, frame, o.overhead()))
	at := uint64(0)
	return c.extents(ctx, o, func(x *wirepb.Extent) (bool, error) {
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
		r := run{segment: s, id: x.Segment, from: x.Offset + a - begin, to: x.Offset + b - begin, firstFrame: a / stored, frames: (b - a + stored - 1) / stored}
		return b < to, f(r)
	})
}

// write opens a run's frames and writes what of them lies in the range.
func (o *Object) write(w io.Writer, r run, data []byte, offset, length uint64) error {
	frame := uint64(o.entry.FrameBytes)
	if o.sealer == nil {
		begin := r.firstFrame * frame
		_, err := w.Write(data[max(offset, begin)-begin : min(offset+length, begin+uint64(len(data)))-begin])
		return err
	}
	lastFrame := (o.Size - 1) / frame
	plain := make([]byte, 0, frame)
	out := make([]byte, 0, min(uint64(len(data)), 1<<20)+frame)
	for n := r.firstFrame; n < r.firstFrame+r.frames; n++ {
		size := min(frame+index.TagBytes, uint64(len(data)))
		var err error
		if plain, err = o.sealer.OpenFrame(plain[:0], data[:size], n, n == lastFrame); err != nil {
			return err
		}
		data = data[size:]
		begin := n * frame
		from, to := max(offset, begin)-begin, min(offset+length, begin+uint64(len(plain)))-begin
		out = append(out, plain[from:to]...)
		if len(out) >= 1<<20 || n+1 == r.firstFrame+r.frames {
			if _, err := w.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return nil
}

// A part is a range of one piece of a run's segment.
type part struct {
	piece    int
	from, to uint64
}

// fetch reads the stored bytes of a run: from the nodes that hold them as they are, and where one of these fails or
// lags, computed from others.
func (c *Client) fetch(ctx context.Context, o *Object, r run) ([]byte, error) {
	p := r.segment.PieceBytes
	out := make([]byte, r.to-r.from)
	var parts []part
	for at := r.from; at < r.to; {
		i := at / p
		end := min(r.to, (i+1)*p)
		parts = append(parts, part{int(i), at - i*p, end - i*p})
		at = end
	}
	into := func(x part) []byte {
		begin := uint64(x.piece)*p + x.from - r.from
		return out[begin : begin+x.to-x.from]
	}
	type outcome struct {
		part part
		data []byte
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lease, ticket, err := c.readTicket(ctx, o, r, parts)
	if err != nil {
		return nil, err
	}
	direct, repaired := make(chan outcome, len(parts)), make(chan outcome, len(parts))
	missing := map[int]part{}
	for _, x := range parts {
		missing[x.piece] = x
		go func() {
			data, err := c.readPart(ctx, r.segment, x, lease, ticket)
			direct <- outcome{x, data, err}
		}()
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
		go func() {
			found, err := c.rebuild(ctx, o, r, lost, avoid)
			for i, x := range lost {
				f := outcome{part: x, err: err}
				if err == nil {
					f.data = found[i]
				}
				repaired <- f
			}
		}()
	}
	under := len(parts)
	for len(missing) > 0 {
		var f outcome
		select {
		case f = <-direct:
			under--
			if f.err != nil {
				errs = append(errs, f.err)
				bad[f.part.piece] = true
				rebuild(false)
			}
		case f = <-repaired:
			if f.err != nil {
				errs = append(errs, f.err)
				if bad[f.part.piece] || under == 0 {
					return nil, mesh.Errorf(mesh.KindOf(f.err), "a part of %s cannot be read: %w", o.Path, errors.Join(errs...))
				}
				recovering[f.part.piece] = false
			}
		case <-hedge.C:
			rebuild(true)
			continue
		case <-ctx.Done():
			return nil, mesh.Errorf(mesh.Unavailable, "reading %s: %w", o.Path, ctx.Err())
		}
		if _, miss := missing[f.part.piece]; f.err == nil && miss {
			copy(into(f.part), f.data)
			delete(missing, f.part.piece)
		}
	}
	return out, nil
}

func (c *Client) readTicket(ctx context.Context, o *Object, r run, parts []part) (*lease, *wirepb.Signed, error) {
	plan := &wirepb.ReadPlan{Bucket: o.Path.Bucket, Key: o.Path.Key, Segment: r.id}
	need := uint64(0)
	for _, x := range parts {
		plan.Pieces = append(plan.Pieces, &wirepb.PieceRead{Index: uint32(x.piece), Length: x.to - x.from})
		need += x.to - x.from
	}
	l, a, err := c.leases.ticket(ctx, &wirepb.TicketRequest{Reads: []*wirepb.ReadPlan{plan}}, need)
	if err != nil {
		return nil, nil, err
	}
	return l, a.TicketRead, nil
}

// readPart reads a range of a piece from its node, step by step.
func (c *Client) readPart(ctx context.Context, s *wirepb.Segment, x part, l *lease, ticket *wirepb.Signed) ([]byte, error) {
	p := s.Pieces[x.piece]
	id := mesh.NodeID(p.Node)
	if len(p.Ack) == 0 {
		return nil, mesh.Errorf(mesh.NotFound, "piece %d of a segment is not on node %s yet", x.piece, id)
	}
	nodes, _, err := c.registry(ctx)
	if err != nil && nodes == nil {
		return nil, err
	}
	node, ok := nodes[id]
	if !ok {
		return nil, mesh.Errorf(mesh.NotFound, "node %s is not registered any more", id)
	}
	data := make([]byte, x.to-x.from)
	g, ctx := errgroup.WithContext(ctx)
	for at := uint64(0); at < uint64(len(data)); at += mesh.StepBytes {
		n := min(mesh.StepBytes, uint64(len(data))-at)
		g.Go(func() error {
			if err := c.dialer.ReadInto(ctx, node, ticket, mesh.SliceID(p.Slice), x.from+at, data[at:at+n], l); err != nil {
				return mesh.Errorf(mesh.KindOf(err), "node %s: %w", id, err)
			}
			return nil
		})
	}
	return data, g.Wait()
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
		l, ticket, err := c.readTicket(ctx, o, r, batch)
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		for _, x := range batch {
			wg.Go(func() {
				data, err := c.readPart(ctx, s, x, l, ticket)
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
		found[i] = pieces[x.piece][x.from-from : x.to-from]
	}
	return found, nil
}
