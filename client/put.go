package client

import (
	"bufio"
	"bytes"
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
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// PutOptions say how an object is written.
type PutOptions struct {
	ContentType string // default: by the key's ending
	Mode        uint32 // permission bits of the file it comes from
	Attributes  map[string]string
	Summary     []byte // at most 400 bytes that listings show too
	Lock        Lock   // in a bucket with locking

	// Finish, if set, is called once all bytes were read and before anything can be seen. It may refuse, and may fill in what
	// is said of the object.
	Finish func(*PutOptions) error

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
	var under *seal.Key
	if !public {
		folder, err := c.access.folder(seal.FolderOf(p.Bucket, p.Key))
		if err != nil {
			return nil, err
		}
		under = &folder
	}
	u, err := c.newUpload(p, under, o)
	if err != nil {
		return nil, err
	}
	return u.put(ctx, r)
}

// put writes what r gives and commits it.
func (u *upload) put(ctx context.Context, r io.Reader) (*Object, error) {
	defer u.journal.close() // what it noted stays for another try, or was removed
	src := bufio.NewReaderSize(r, mesh.InlineMax+1)
	head, err := src.Peek(mesh.InlineMax + 1)
	switch {
	case errors.Is(err, io.EOF):
		err = u.inline(head)
	case err != nil:
		return nil, mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err)
	case u.opts.Journal != "" || u.part != nil:
		err = u.stream(ctx, src, mesh.SegmentBytes)
	default:
		err = u.small(ctx, src)
	}
	if err != nil {
		return nil, err
	}
	return u.commit(ctx)
}

// finish lets the writer have his last word, once.
func (u *upload) finish() error {
	if u.opts.Finish == nil {
		return nil
	}
	f := u.opts.Finish
	u.opts.Finish = nil
	if err := f(&u.opts); err != nil {
		return err
	}
	u.opts.apply(u.entry)
	return nil
}

// An upload is one Put under way.
type upload struct {
	client   *Client
	path     mesh.Path
	opts     PutOptions
	key      seal.Key
	sealer   *seal.Sealer // nil in a public bucket
	entry    *wirepb.Entry
	plain    [32]byte // hash of the content, when all of it was read
	journal  *journal
	geometry index.Geometry
	segments []*wirepb.Segment // by number
	packed   *wirepb.Extent    // where in the only segment the object lies, when it shares that; else each is filled
	entered  bool              // the entry is on the log
	part     *partUpload       // when it is a part of a multipart upload
}

// newUpload prepares an upload whose key is wrapped under another, nil in a public bucket.
func (c *Client) newUpload(p mesh.Path, under *seal.Key, o PutOptions) (*upload, error) {
	if o.ContentType == "" {
		o.ContentType = mime.TypeByExtension(path.Ext(p.Key))
	}
	j, err := openJournal(o.Journal, journalHead{Format: 1, Source: o.Source, Path: p, Session: c.access.rights.Holder, Key: seal.NewKey(), Version: mesh.NewVersionID()})
	if err != nil {
		return nil, err
	}
	v := j.head.Version
	u := &upload{client: c, path: p, opts: o, key: j.head.Key, journal: j,
		entry: &wirepb.Entry{Bucket: p.Bucket, Key: p.Key, Version: v[:]}}
	u.opts.apply(u.entry)
	if under != nil {
		u.sealer = seal.NewSealer(u.key)
		u.entry.WrappedKey = seal.Wrap(*under, u.key, v)
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
	u.plain = blake3.Sum256(content)
	u.entry.Size, u.entry.Inline = uint64(len(content)), content
	if u.sealer != nil {
		u.entry.Inline = u.sealer.Frame(nil, content, 0, true)
	}
	u.progress(len(content))
	return nil
}

// What Puts hold of objects that share segments: an object's own bytes, and its part of a pack and of that pack's parity.
const (
	packedCost  = 4        // bytes for each
	packedBegin = 32 << 10 // bytes of an object for which there is memory always
)

// small writes an object together with others that are put now, if it is small enough, there are any, and there is memory.
func (u *upload) small(ctx context.Context, src *bufio.Reader) error {
	u.client.packer.begin()
	defer u.client.packer.end()
	memory, held := u.client.memory, packedCost*packedBegin
	memory.charge(held)
	give := sync.OnceFunc(func() { memory.give(held) })
	defer func() { give() }()
	content, whole := make([]byte, 0, packedBegin), false
	for !whole && len(content) <= maxPacked {
		if len(content) == cap(content) {
			larger := min(2*cap(content), maxPacked+1)
			grow := packedCost * (larger - cap(content))
			if !memory.more(grow) {
				break
			}
			held += grow
			content = append(make([]byte, 0, larger), content...)
		}
		n, err := src.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if whole = errors.Is(err, io.EOF); err != nil && !whole {
			return mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err)
		}
	}
	whole = whole && len(content) <= maxPacked
	if !whole {
		head := io.MultiReader(bytes.NewReader(content), atEnd(give), src)
		return u.stream(ctx, bufio.NewReaderSize(head, mesh.InlineMax+1), mesh.SegmentBytes)
	}
	u.plain = blake3.Sum256(content)
	u.entry.Size, u.entry.FrameBytes = uint64(len(content)), mesh.FrameBytes
	if err := u.finish(); err != nil {
		return err
	}
	r, err := u.client.packer.put(ctx, &packed{path: u.path, sealer: u.sealer, content: content, entry: u.packedEntry})
	if err != nil {
		return err
	}
	if r.segment != nil {
		u.segments, u.packed, u.entered = []*wirepb.Segment{r.segment}, r.extent, r.entered
		u.progress(len(content))
		return nil
	}
	u.entry.Size = 0 // the stream counts
	return u.stream(ctx, bufio.NewReader(bytes.NewReader(content)), len(content))
}

// atEnd is an empty reader that tells when it is reached.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// stream writes segments, a bounded number at a time. A segment has at most that many bytes of content, and as many as there
// is memory for: small ones stay for good and cost more to find and to pay, so where there is none for a whole one, the segment
// waits until those of this upload before it are written.
func (u *upload) stream(ctx context.Context, src *bufio.Reader, most int) error {
	var err error
	if _, u.geometry, err = u.client.registry(ctx); err != nil {
		return err
	}
	least := leastStored
	if u.opts.Journal != "" {
		least = maxStored // what is written again must be cut in the same way
	}
	window := u.client.window(maxStored, least)
	frame := mesh.FrameBytes + int(u.overhead())
	room := want{writes: true, most: (most + mesh.FrameBytes - 1) / mesh.FrameBytes * frame, frame: frame,
		cost: func(n int) int { return coded(n, frame, u.geometry) }}
	hash := blake3.New()
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	firstFrame := uint64(0)
	for n := 0; ; n++ {
		buf, err := window.take(ctx, room)
		if err != nil {
			return errors.Join(g.Wait(), err)
		}
		got, last, err := u.read(src, buf, hash)
		if err != nil {
			window.give(buf)
			return errors.Join(mesh.Errorf(mesh.Invalid, "reading what is to be written: %w", err), g.Wait())
		}
		if n == 0 {
			u.entry.FrameBytes = mesh.FrameBytes
			if last {
				if u.entry.FrameBytes = uint32(index.FrameFor(uint64(got), u.geometry.DataPieces)); u.entry.FrameBytes != mesh.FrameBytes {
					u.respread(buf, got)
				}
			}
		}
		u.entry.Size += uint64(got)
		at := firstFrame
		firstFrame += (uint64(got) + uint64(u.entry.FrameBytes) - 1) / uint64(u.entry.FrameBytes)
		mu.Lock()
		u.segments = append(u.segments, nil)
		mu.Unlock()
		g.Go(func() error {
			defer window.give(buf)
			s, err := u.segment(ctx, n, buf, at, last)
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
			hash.Sum(u.plain[:0])
			return g.Wait()
		}
	}
}

// read fills a buffer with frames, each followed by room for its tag, and tells how many bytes these have and whether they
// are the last.
func (u *upload) read(src *bufio.Reader, buf *segmentBuffer, hash *blake3.Hasher) (got int, last bool, err error) {
	overhead := int(u.overhead())
	end := 0
	for at := 0; at < len(buf.stored) && !last; at += mesh.FrameBytes + overhead {
		n, err := io.ReadFull(src, buf.stored[at:at+mesh.FrameBytes])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, false, err
		}
		hash.Write(buf.stored[at : at+n])
		got, end = got+n, at+n+overhead
		_, err = src.Peek(1)
		if last = errors.Is(err, io.EOF); err != nil && !last {
			return 0, false, err
		}
	}
	buf.stored = buf.stored[:end]
	return got, last, nil
}

// respread moves the plaintext of an object that is smaller than its frames to where its smaller frames will lie.
func (u *upload) respread(buf *segmentBuffer, got int) {
	frame, overhead := int(u.entry.FrameBytes), int(u.overhead())
	plain := make([]byte, 0, got)
	eachFrame(buf.stored, mesh.FrameBytes, overhead, func(f []byte) { plain = append(plain, f...) })
	if need := int(index.Stored(uint64(got), uint64(frame), uint64(overhead))); need <= len(buf.whole) {
		buf.stored = buf.whole[:need]
	} else {
		buf.stored = make([]byte, need)
	}
	eachFrame(buf.stored, frame, overhead, func(f []byte) { plain = plain[copy(f, plain):] })
}

// eachFrame calls f with the plaintext of each frame of a segment, or with the room for it; the tags follow.
func eachFrame(stored []byte, frame, overhead int, f func(plain []byte)) {
	for at := 0; at < len(stored); at += frame + overhead {
		f(stored[at:min(at+frame, len(stored)-overhead)])
	}
}

// segment returns the written segment number n: from the journal when it is done already, else after sealing, coding
// and sending it.
func (u *upload) segment(ctx context.Context, n int, buf *segmentBuffer, firstFrame uint64, last bool) (*wirepb.Segment, error) {
	var sum [32]byte
	if u.opts.Journal != "" {
		h := blake3.New()
		eachFrame(buf.stored, int(u.entry.FrameBytes), int(u.overhead()), func(f []byte) { h.Write(f) })
		h.Sum(sum[:0])
		if s, err := u.journal.done(n, sum); s != nil || err != nil {
			return s, err
		}
	}
	if frame := int(u.entry.FrameBytes); u.sealer != nil {
		for at, n := 0, firstFrame; at < len(buf.stored); at, n = at+frame+index.TagBytes, n+1 {
			end := min(at+frame+index.TagBytes, len(buf.stored))
			u.sealer.Frame(buf.stored[at:at], buf.stored[at:end-index.TagBytes], n, last && end == len(buf.stored))
		}
	}
	form := func(k int) ([]byte, uint64) {
		stored, frame := len(buf.stored), int(u.entry.FrameBytes)+int(u.overhead())
		// In fewer frames than data pieces, a frame for each piece may be more than there is memory for.
		dense := u.entry.FrameBytes == mesh.FrameBytes && stored < k*frame && u.geometry.Pieces*frame > buf.cost
		return buf.stored, uint64(pieceBytes(stored, frame, k, dense))
	}
	s, err := u.client.writeSegment(ctx, u.path, form, buf)
	if err != nil {
		return nil, err
	}
	return s, u.journal.add(n, sum, s)
}

// A former gives the stored bytes of a segment of k data pieces, and the bytes of a piece.
type former func(k int) (stored []byte, pieceBytes uint64)

// writeSegment codes stored bytes and writes their pieces until enough are acknowledged. The parity is made in buf, if
// there is one. When it returns, nothing reads either any more.
func (c *Client) writeSegment(ctx context.Context, p mesh.Path, form former, buf *segmentBuffer) (*wirepb.Segment, error) {
	_, g, err := c.registry(ctx)
	if err != nil {
		return nil, err
	}
	var exclude [][]byte
	var errs []error
	for range 4 {
		stored, pieceBytes := form(g.DataPieces)
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
		s, failed, err := c.writePieces(ctx, l, a.TicketWrite, got, pl.Nodes, stored, pieceBytes, buf)
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
func (c *Client) writePieces(ctx context.Context, l *lease, ticket *wirepb.Signed, g index.Geometry, to []*wirepb.NodeAddress, stored []byte, pieceBytes uint64, buf *segmentBuffer) (*wirepb.Segment, []mesh.NodeID, error) {
	code, err := c.code(g.DataPieces, g.Pieces)
	if err != nil {
		return nil, nil, err
	}
	var scratch []byte
	if buf != nil && g.DataPieces > 1 {
		if need := (g.Pieces - g.DataPieces) * int(pieceBytes); len(buf.parity) < need {
			buf.parity = make([]byte, need)
		}
		scratch = buf.parity
	}
	pieces, err := code.EncodeInto(scratch, stored, int(pieceBytes))
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
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	done := make(chan outcome, g.Pieces)
	upload := mesh.NewUploadID()
	var id mesh.SliceID
	for i, data := range pieces {
		node, err := nodeOf(to[i].Node, to[i].Address, to[i].TlsKey, to[i].NodeKey)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 || &data[0] != &pieces[i-1][0] { // replicas are the same bytes
			id = transfer.SliceIDOf(data)
		}
		id := id
		s.Pieces = append(s.Pieces, &wirepb.Piece{Slice: id[:], Node: node.ID[:]})
		writing.Go(func() {
			req := &wirepb.WriteRequest{Ticket: ticket, Slice: id[:], Length: pieceBytes, Upload: upload[:]}
			ack, err := c.dialer.Write(ctx, c.access.domain, node, req, data, l)
			done <- outcome{i, ack, err}
		})
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

// describe fills in what the entry says of the content, and returns the root to which its extents are to be added.
func (u *upload) describe() *index.ContentRoot {
	e := u.entry
	u.opts.describe(e, &Object{key: u.key, sealer: u.sealer}, u.plain)
	return index.NewContentRoot(e.Size, e.FrameBytes, e.Inline)
}

// packedEntry returns the signed entry of an object that lies in a shared segment. Of the entries that are committed
// together, the first brings the segment.
func (u *upload) packedEntry(s *wirepb.Segment, x *wirepb.Extent, brings bool) *wirepb.Signed {
	e, root := u.entry, u.describe()
	root.Add(x)
	e.Extents, e.Segments = []*wirepb.Extent{x}, nil
	if brings {
		e.Segments = []*wirepb.Segment{s}
	}
	e.ContentRoot, e.ModifiedMs = root.Sum(), time.Now().UnixMilli()
	return signed.Seal(u.client.access.domain, u.client.access.key, sign.Entry, e)
}

// commit puts the entry, and the pages before it, on the log, if they are not there.
func (u *upload) commit(ctx context.Context) (*Object, error) {
	if !u.entered {
		if err := u.finish(); err != nil {
			return nil, err
		}
		if err := u.enter(ctx); err != nil {
			return nil, err
		}
	}
	e := u.entry
	o := &Object{Path: u.path, Size: e.Size, Modified: time.UnixMilli(e.ModifiedMs), Version: mesh.VersionID(e.Version), ContentType: u.opts.ContentType,
		PlainHash: u.plain, Mode: u.opts.Mode, Attributes: u.opts.Attributes, Summary: u.opts.Summary, Lock: u.opts.Lock, Latest: true,
		entry: e, key: u.key, sealer: u.sealer, segments: map[mesh.SegmentID]*wirepb.Segment{}}
	o.add(u.segments)
	return o, u.journal.remove()
}

func (u *upload) enter(ctx context.Context) error {
	e := u.entry
	if e.Size <= mesh.InlineMax && len(u.segments) == 0 {
		e.FrameBytes = 0
	}
	root := u.describe()
	upload := mesh.NewUploadID()
	pages := paginate(u.segments)
	for n, segments := range pages {
		extents := extentsOf(segments)
		if u.packed != nil {
			extents = []*wirepb.Extent{u.packed}
		}
		root.Add(extents...)
		if n == len(pages)-1 {
			e.Extents, e.Segments = extents, segments
			break
		}
		page := &wirepb.Page{Upload: upload[:], Number: uint32(n), Bucket: e.Bucket, Key: e.Key, Extents: extents, Segments: segments, AtMs: time.Now().UnixMilli()}
		if _, err := u.client.commit(ctx, wirepb.TxKind_TX_PAGE, sign.Page, page); err != nil {
			return err
		}
		e.Upload, e.Pages = upload[:], uint32(n+1)
	}
	e.ContentRoot = root.Sum()
	if u.part != nil {
		return u.part.enter(ctx, u)
	}
	return u.client.enterEntry(ctx, e)
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
