package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"path"
	"sync"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// PutOptions say how an object is written.
type PutOptions struct {
	ContentType string // default: by the key's ending
	Mode        uint32 // permission bits of the file it comes from

	// OnlyIfAbsent refuses, with Conflict, to replace anything; OnlyIf to replace anything but this version.
	OnlyIfAbsent bool
	OnlyIf       *mesh.VersionID

	// Journal is a local file in which the upload notes what it has done, so that a Put of the same unchanged source with
	// the same Journal and Source goes on where a killed one stopped. It is removed when the object is committed.
	Journal string
	// Source says which bytes these are, for instance by path, size and change time of a file. Needed with Journal.
	Source string

	// Progress, if set, is called with the bytes of content that each finished step added. Calls may come from many
	// goroutines.
	Progress func(n int)
}

// maxBody is how many bytes of segments one message carries at most, under what the log takes.
const maxBody = 700 << 10

// Put writes an object from r until its end. When it returns without error, the object survives any losses that its
// geometry allows and is seen by every strong read. On an error nothing of it can be seen.
func (c *Client) Put(ctx context.Context, p mesh.Path, r io.Reader, o PutOptions) (*Object, error) {
	if err := errors.Join(mesh.CheckBucket(p.Bucket), mesh.CheckKey(p.Key)); err != nil {
		return nil, err
	}
	public, err := c.isPublic(ctx, p.Bucket)
	if err != nil {
		return nil, err
	}
	u, err := c.newUpload(p, public, o)
	if err != nil {
		return nil, err
	}
	defer u.journal.close() // what it noted stays for another try, or was removed
	src := bufio.NewReaderSize(r, mesh.InlineMax+1)
	head, err := src.Peek(mesh.InlineMax + 1)
	switch {
	case errors.Is(err, io.EOF):
		err = u.inline(head)
	case err != nil:
		return nil, mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err)
	default:
		err = u.stream(ctx, src)
	}
	if err != nil {
		return nil, err
	}
	return u.commit(ctx)
}

// An upload is one Put under way.
type upload struct {
	client   *Client
	path     mesh.Path
	opts     PutOptions
	key      seal.Key
	sealer   *seal.Sealer // nil in a public bucket
	entry    *wirepb.Entry
	hash     *blake3.Hasher
	journal  *journal
	geometry index.Geometry
	segments []*wirepb.Segment // by number
}

func (c *Client) newUpload(p mesh.Path, public bool, o PutOptions) (*upload, error) {
	if o.ContentType == "" {
		o.ContentType = mime.TypeByExtension(path.Ext(p.Key))
	}
	j, err := openJournal(o.Journal, journalHead{Format: 1, Source: o.Source, Path: p, Session: c.access.rights.Holder, Key: seal.NewKey(), Version: mesh.NewVersionID()})
	if err != nil {
		return nil, err
	}
	v := j.head.Version
	u := &upload{client: c, path: p, opts: o, key: j.head.Key, journal: j, hash: blake3.New(),
		entry: &wirepb.Entry{Bucket: p.Bucket, Key: p.Key, Version: v[:]}}
	switch {
	case o.OnlyIf != nil:
		u.entry.Condition, u.entry.ExpectedVersion = index.Equal, o.OnlyIf[:]
	case o.OnlyIfAbsent:
		u.entry.Condition = index.Absent
	}
	if !public {
		u.sealer = seal.NewSealer(u.key)
		folder, err := c.access.folder(seal.FolderOf(p.Bucket, p.Key))
		if err != nil {
			return nil, err
		}
		u.entry.WrappedKey = seal.Wrap(folder, u.key, v)
	}
	return u, nil
}

func (u *upload) overhead() uint64 {
	if u.sealer == nil {
		return 0
	}
	return index.TagBytes
}

func (u *upload) progress(n int) {
	if u.opts.Progress != nil {
		u.opts.Progress(n)
	}
}

// inline puts a small object into its entry.
func (u *upload) inline(content []byte) error {
	u.hash.Write(content)
	u.entry.Size, u.entry.Inline = uint64(len(content)), content
	if u.sealer != nil {
		u.entry.Inline = u.sealer.Frame(nil, content, 0, true)
	}
	u.progress(len(content))
	return nil
}

// stream writes segments, a bounded number at a time.
func (u *upload) stream(ctx context.Context, src *bufio.Reader) error {
	var err error
	if _, u.geometry, err = u.client.registry(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, u.client.opts.Segments)
	var mu sync.Mutex
	firstFrame := uint64(0)
	for n := 0; ; n++ {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return errors.Join(g.Wait(), ctx.Err())
		}
		plain := make([]byte, mesh.SegmentBytes)
		got, err := io.ReadFull(src, plain)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.Join(mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err), g.Wait())
		}
		plain = plain[:got]
		_, err = src.Peek(1)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return errors.Join(mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err), g.Wait())
		}
		u.hash.Write(plain)
		if n == 0 {
			u.entry.FrameBytes = mesh.FrameBytes
			if last {
				u.entry.FrameBytes = uint32(index.FrameFor(uint64(got), u.geometry.DataPieces))
			}
		}
		u.entry.Size += uint64(got)
		at := firstFrame
		firstFrame += (uint64(got) + uint64(u.entry.FrameBytes) - 1) / uint64(u.entry.FrameBytes)
		mu.Lock()
		u.segments = append(u.segments, nil)
		mu.Unlock()
		g.Go(func() error {
			defer func() { <-slots }()
			s, err := u.segment(ctx, n, plain, at, last)
			if err != nil {
				return err
			}
			mu.Lock()
			u.segments[n] = s
			mu.Unlock()
			u.progress(got)
			return nil
		})
		if last {
			return g.Wait()
		}
	}
}

// segment returns the written segment number n: from the journal when it is done already, else after sealing, coding
// and sending it.
func (u *upload) segment(ctx context.Context, n int, plain []byte, firstFrame uint64, last bool) (*wirepb.Segment, error) {
	sum := blake3.Sum256(plain)
	if s, err := u.journal.done(n, sum); s != nil || err != nil {
		return s, err
	}
	stored := u.seal(plain, firstFrame, last)
	s, err := u.client.writeSegment(ctx, u.path, stored, uint64(u.entry.FrameBytes)+u.overhead())
	if err != nil {
		return nil, err
	}
	return s, u.journal.add(n, sum, s)
}

// seal returns the stored form of a segment's plaintext: its frames, one after the other.
func (u *upload) seal(plain []byte, firstFrame uint64, last bool) []byte {
	if u.sealer == nil {
		return plain
	}
	frame := int(u.entry.FrameBytes)
	stored := make([]byte, 0, index.Stored(uint64(len(plain)), uint64(frame), index.TagBytes))
	for at, n := 0, firstFrame; at < len(plain); at, n = at+frame, n+1 {
		end := min(at+frame, len(plain))
		stored = u.sealer.Frame(stored, plain[at:end], n, last && end == len(plain))
	}
	return stored
}

// writeSegment codes stored bytes and writes their pieces until enough are acknowledged.
func (c *Client) writeSegment(ctx context.Context, p mesh.Path, stored []byte, storedFrame uint64) (*wirepb.Segment, error) {
	_, g, err := c.registry(ctx)
	if err != nil {
		return nil, err
	}
	var exclude [][]byte
	var errs []error
	for range 4 {
		pieceBytes := index.PieceBytes(uint64(len(stored)), storedFrame, g.DataPieces)
		plan := &wirepb.WritePlan{PieceBytes: pieceBytes, Exclude: exclude, Bucket: p.Bucket, Key: p.Key}
		l, a, err := c.leases.ticket(ctx, &wirepb.TicketRequest{Writes: []*wirepb.WritePlan{plan}}, pieceBytes*uint64(g.Pieces))
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		if len(a.Placements) != 1 || a.TicketWrite == nil {
			return nil, mesh.Errorf(mesh.Corrupt, "authority %s answered without a placement", l.Authority)
		}
		pl := a.Placements[0]
		got := index.Geometry{DataPieces: int(pl.DataPieces), Pieces: int(pl.Pieces), Acknowledged: int(pl.Acknowledged)}
		if !got.Valid() || len(pl.Nodes) != got.Pieces {
			return nil, mesh.Errorf(mesh.Corrupt, "authority %s placed %d pieces of %d", l.Authority, len(pl.Nodes), got.Pieces)
		}
		if got.DataPieces != g.DataPieces { // the network has grown or shrunk meanwhile
			g = got
			continue
		}
		s, failed, err := c.writePieces(ctx, l, a.TicketWrite, got, pl.Nodes, stored, pieceBytes)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
		for _, id := range failed {
			exclude = append(exclude, append([]byte(nil), id[:]...))
		}
	}
	return nil, mesh.Errorf(mesh.KindOf(errors.Join(errs...)), "a segment of %s could not be written: %w", p, errors.Join(errs...))
}

// straggle is how much longer than the acknowledged pieces took, and at least, the others may take.
const straggle = 500 * time.Millisecond

// writePieces sends every piece to its node and returns when enough are acknowledged and the others had their chance.
// On an error it names the nodes that failed.
func (c *Client) writePieces(ctx context.Context, l *lease, ticket *wirepb.Signed, g index.Geometry, to []*wirepb.NodeAddress, stored []byte, pieceBytes uint64) (*wirepb.Segment, []mesh.NodeID, error) {
	code, err := c.code(g.DataPieces, g.Pieces)
	if err != nil {
		return nil, nil, err
	}
	pieces, err := code.Encode(stored, int(pieceBytes))
	if err != nil {
		return nil, nil, err
	}
	s := &wirepb.Segment{Length: uint64(len(stored)), DataPieces: uint32(g.DataPieces), PieceBytes: pieceBytes}
	type outcome struct {
		i   int
		ack mesh.Signature
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, g.Pieces)
	upload := mesh.NewUploadID()
	for i, data := range pieces {
		node, err := nodeOf(to[i].Node, to[i].Address, to[i].TlsKey, to[i].NodeKey)
		if err != nil {
			return nil, nil, err
		}
		id := mesh.SliceID(blake3.Sum256(data))
		s.Pieces = append(s.Pieces, &wirepb.Piece{Slice: id[:], Node: node.ID[:]})
		go func() {
			req := &wirepb.WriteRequest{Ticket: ticket, Slice: id[:], Length: pieceBytes, Upload: upload[:]}
			ack, err := c.dialer.Write(ctx, c.access.domain, node, req, data, l)
			done <- outcome{i, ack, err}
		}()
	}
	began := time.Now()
	acked := 0
	var failed []mesh.NodeID
	var errs []error
	var late <-chan time.Time
	for left := g.Pieces; left > 0; left-- {
		select {
		case o := <-done:
			if o.err != nil {
				failed = append(failed, mesh.NodeID(s.Pieces[o.i].Node))
				errs = append(errs, mesh.Errorf(mesh.KindOf(o.err), "node %s: %w", mesh.NodeID(s.Pieces[o.i].Node), o.err))
				if g.Pieces-len(failed) < g.Acknowledged {
					return nil, failed, mesh.Errorf(mesh.KindOf(errs[0]), "%d of %d pieces were not taken: %w", len(failed), g.Pieces, errors.Join(errs...))
				}
				continue
			}
			s.Pieces[o.i].Ack = append([]byte(nil), o.ack[:]...)
			if acked++; acked == g.Acknowledged {
				late = time.After(max(straggle, time.Since(began)))
			}
		case <-late:
			return s, nil, nil
		case <-ctx.Done():
			return nil, nil, mesh.Errorf(mesh.Unavailable, "writing pieces: %w", ctx.Err())
		}
	}
	return s, nil, nil
}

// commit puts the entry, and the pages before it, on the log.
func (u *upload) commit(ctx context.Context) (*Object, error) {
	e := u.entry
	meta := &wirepb.Metadata{ContentType: u.opts.ContentType, PlainHash: u.hash.Sum(nil), Mode: u.opts.Mode}
	e.SealedMetadata = wire.Encode(meta)
	if u.sealer != nil {
		e.SealedMetadata = u.sealer.Metadata(e.SealedMetadata)
	}
	if e.Size <= mesh.InlineMax && len(u.segments) == 0 {
		e.FrameBytes = 0
	}
	root := index.NewContentRoot(e.Size, e.FrameBytes, e.Inline)
	upload := mesh.NewUploadID()
	pages := paginate(u.segments)
	for n, segments := range pages {
		extents := extentsOf(segments)
		root.Add(extents...)
		if n == len(pages)-1 {
			e.Extents, e.Segments = extents, segments
			break
		}
		page := &wirepb.Page{Upload: upload[:], Number: uint32(n), Bucket: e.Bucket, Key: e.Key, Extents: extents, Segments: segments, AtMs: time.Now().UnixMilli()}
		if _, err := u.client.commit(ctx, wirepb.TxKind_TX_PAGE, sign.Page, page); err != nil {
			return nil, err
		}
		e.Upload, e.Pages = upload[:], uint32(n+1)
	}
	e.ContentRoot, e.ModifiedMs = root.Sum(), time.Now().UnixMilli()
	if _, err := u.client.commit(ctx, wirepb.TxKind_TX_ENTRY, sign.Entry, e); err != nil {
		return nil, err
	}
	o := &Object{Path: u.path, Size: e.Size, Modified: time.UnixMilli(e.ModifiedMs), Version: mesh.VersionID(e.Version), ContentType: meta.ContentType,
		Mode: meta.Mode, entry: e, sealer: u.sealer, segments: map[mesh.SegmentID]*wirepb.Segment{}}
	copy(o.PlainHash[:], meta.PlainHash)
	o.add(u.segments)
	return o, u.journal.remove()
}

func extentsOf(segments []*wirepb.Segment) (extents []*wirepb.Extent) {
	for _, s := range segments {
		id := index.SegmentIDOf(s)
		extents = append(extents, &wirepb.Extent{Segment: id[:], Length: s.Length})
	}
	return extents
}

// paginate cuts a list of segments into what one message carries each; the last may be empty.
func paginate(segments []*wirepb.Segment) (pages [][]*wirepb.Segment) {
	size := 0
	pages = [][]*wirepb.Segment{nil}
	for _, s := range segments {
		n := len(wire.Encode(s)) + 64
		last := len(pages) - 1
		if size+n > maxBody || len(pages[last]) == index.MaxSegments {
			pages, size, last = append(pages, nil), 0, last+1
		}
		pages[last] = append(pages[last], s)
		size += n
	}
	return pages
}

var _ transfer.Payer = (*lease)(nil)
