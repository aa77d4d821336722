package client

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Multipart is a multipart upload that is open: parts of it are written in any order, by anybody who may write the object.
type Multipart struct {
	Path        mesh.Path
	ID          mesh.UploadID
	Begun       time.Time
	ContentType string
	Attributes  map[string]string

	keys *Object // the object's key, or none in a public bucket
}

// A Part is a part of a multipart upload.
type Part struct {
	Number   int
	Size     uint64
	Modified time.Time
	Version  mesh.VersionID // of this attempt; a part that was written again has another
	Summary  []byte

	root []byte
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// BeginMultipart opens a multipart upload. Of the options, content type, attributes and mode count.
func (c *Client) BeginMultipart(ctx context.Context, p mesh.Path, o PutOptions) (*Multipart, error) {
	if err := firstError(mesh.CheckBucket(p.Bucket), mesh.CheckKey(p.Key)); err != nil {
		return nil, err
	}
	public, err := c.isPublic(ctx, p.Bucket)
	if err != nil {
		return nil, err
	}
	m := &Multipart{Path: p, ID: mesh.NewUploadID(), Begun: time.Now(), ContentType: o.ContentType, Attributes: o.Attributes, keys: new(Object)}
	msg := &wirepb.Upload{Upload: m.ID[:], Action: index.BeginUpload, Bucket: p.Bucket, Key: p.Key, AtMs: m.Begun.UnixMilli(), Id: randomID()}
	if !public {
		folder, err := c.access.folder(seal.FolderOf(p.Bucket, p.Key))
		if err != nil {
			return nil, err
		}
		m.keys.key = seal.NewKey()
		m.keys.sealer = seal.NewSealer(m.keys.key)
		msg.WrappedKey = seal.Wrap(folder, m.keys.key, mesh.VersionID(m.ID))
	}
	e := &wirepb.Entry{Version: m.ID[:]} // the upload's id is the salt
	o.Summary = nil
	o.describe(e, m.keys, [32]byte{})
	msg.SealedMetadata = e.SealedMetadata
	_, err = c.commit(ctx, wirepb.TxKind_TX_UPLOAD, sign.Upload, msg)
	return m, err
}

// openMultipart opens the message that began an upload.
func (c *Client) openMultipart(p mesh.Path, s *wirepb.Signed) (*Multipart, error) {
	msg := new(wirepb.Upload)
	if err := c.openSigned(s, sign.Upload, msg); err != nil {
		return nil, err
	}
	id, err := mesh.FromBytes[mesh.UploadID](msg.Upload)
	if err != nil {
		return nil, err
	}
	if p.Key != "" && (msg.Bucket != p.Bucket || msg.Key != p.Key) {
		return nil, mesh.Errorf(mesh.Corrupt, "the index answers with an upload of %s for %s", mesh.Path{Bucket: msg.Bucket, Key: msg.Key}, p)
	}
	m := &Multipart{Path: mesh.Path{Bucket: msg.Bucket, Key: msg.Key}, ID: id, Begun: time.UnixMilli(msg.AtMs), keys: new(Object)}
	if len(msg.WrappedKey) > 0 {
		folder, err := c.access.folder(seal.FolderOf(msg.Bucket, msg.Key))
		if err != nil {
			return m, nil // it may be listed where it may not be read
		}
		if m.keys.key, err = seal.Unwrap(folder, msg.WrappedKey, mesh.VersionID(id)); err != nil {
			return nil, err
		}
		m.keys.sealer = seal.NewSealer(m.keys.key)
	}
	o := &Object{Path: m.Path, entry: &wirepb.Entry{Version: msg.Upload, SealedMetadata: msg.SealedMetadata}, key: m.keys.key, sealer: m.keys.sealer}
	if err := o.describe(); err != nil {
		return nil, err
	}
	m.ContentType, m.Attributes = o.ContentType, o.Attributes
	return m, nil
}

// noMultipart says that an upload is not open.
func noMultipart(p mesh.Path, id mesh.UploadID) error {
	return mesh.Errorf(mesh.NotFound, "there is no open upload %x of %s", id, p)
}

// Multipart returns an open upload and a page of its parts, those behind a number. NotFound when it is not open.
func (c *Client) Multipart(ctx context.Context, p mesh.Path, id mesh.UploadID, after, limit int) (m *Multipart, parts []Part, more bool, err error) {
	q := &wirepb.PartsPage{Bucket: p.Bucket, Key: p.Key, Upload: id[:], After: uint32(after), Limit: uint32(limit)}
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Parts{Parts: q}})
	if err != nil {
		return nil, nil, false, err
	}
	a := new(wirepb.PartsAnswer)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return nil, nil, false, orElse(err, noMultipart(p, id))
	}
	if m, err = c.openMultipart(p, a.Begun); err != nil {
		return nil, nil, false, err
	}
	for _, l := range a.Parts {
		o, err := c.openPart(p, m.keys, l)
		if err != nil {
			return nil, nil, false, err
		}
		parts = append(parts, o.asPart())
	}
	return m, parts, a.Truncated, nil
}

// openPart checks what the index says of a part and opens its key with the object's.
func (c *Client) openPart(p mesh.Path, keys *Object, l *wirepb.ListedPart) (*Object, error) {
	msg := new(wirepb.Part)
	if err := c.openSigned(l.Part, sign.Part, msg); err != nil {
		return nil, err
	}
	if err := index.CheckPart(msg, keys.sealer == nil); err != nil {
		return nil, err
	}
	o, err := c.openEntry(p, keys.sealer == nil, msg.Entry, l.Segments)
	if err != nil {
		return nil, err
	}
	o.part = msg.Number
	if keys.sealer != nil {
		if o.key, err = seal.Unwrap(keys.key, msg.Entry.WrappedKey, o.Version); err != nil {
			return nil, err
		}
		o.sealer = seal.NewSealer(o.key)
	}
	return o, o.describe()
}

func (o *Object) asPart() Part {
	return Part{Number: int(o.part), Size: o.Size, Modified: o.Modified, Version: o.Version, Summary: o.Summary, root: o.entry.ContentRoot}
}

// A partUpload is what a Put of a part has besides that of an object.
type partUpload struct {
	id     mesh.UploadID
	number int
}

func (p *partUpload) enter(ctx context.Context, u *upload) error {
	now := time.Now()
	u.entry.ModifiedMs, u.entry.Id = now.UnixMilli(), randomID()
	u.entry.NotAfterMs = now.Add(u.client.groupAhead(ctx) + outcomeAfter).UnixMilli()
	_, err := u.client.commit(ctx, wirepb.TxKind_TX_PART, sign.Part, &wirepb.Part{Upload: p.id[:], Number: uint32(p.number), Entry: u.entry})
	return err
}

// PutPart writes a part of an open upload from r until its end; it takes the place of the part of that number, if there is
// one. Of the options, summary, finish and progress count.
func (c *Client) PutPart(ctx context.Context, m *Multipart, number int, r io.Reader, o PutOptions) (*Part, error) {
	if number < 1 || number > index.MaxParts {
		return nil, mesh.Errorf(mesh.Invalid, "a part numbered %d, want 1 to %d", number, index.MaxParts)
	}
	o.Journal, o.OnlyIf, o.OnlyIfAbsent, o.Lock = "", nil, false, Lock{}
	var under *seal.Key
	if m.keys.sealer != nil {
		under = &m.keys.key
	}
	u, err := c.newUpload(m.Path, under, o)
	if err != nil {
		return nil, err
	}
	u.part = &partUpload{m.ID, number}
	made, err := u.put(ctx, r)
	if err != nil {
		return nil, err
	}
	made.part = uint32(number)
	part := made.asPart()
	return &part, nil
}

// CompleteMultipart makes an object of parts of an open upload, in ascending order. The options say what is said of it; what
// was said when the upload began is not repeated by itself.
func (c *Client) CompleteMultipart(ctx context.Context, m *Multipart, parts []Part, o PutOptions) (*Object, error) {
	v := mesh.NewVersionID()
	e := &wirepb.Entry{Bucket: m.Path.Bucket, Key: m.Path.Key, Version: v[:], Upload: m.ID[:]}
	for _, p := range parts {
		e.Parts = append(e.Parts, &wirepb.PartRef{Number: uint32(p.Number), Version: p.Version[:], Size: p.Size})
		e.Size += p.Size
	}
	root := index.NewPartsRoot(e.Size)
	for _, p := range parts {
		root.Add(p.root)
	}
	e.ContentRoot = root.Sum()
	if m.keys.sealer != nil {
		folder, err := c.access.folder(seal.FolderOf(m.Path.Bucket, m.Path.Key))
		if err != nil {
			return nil, err
		}
		e.WrappedKey = seal.Wrap(folder, m.keys.key, v)
	}
	o.apply(e)
	o.describe(e, m.keys, [32]byte{})
	if err := c.enterEntry(ctx, e); err != nil {
		return nil, err
	}
	return &Object{Path: m.Path, Size: e.Size, Modified: time.UnixMilli(e.ModifiedMs), Version: v, ContentType: o.ContentType, Mode: o.Mode, Attributes: o.Attributes,
		Summary: o.Summary, Lock: o.Lock, Latest: true, Parts: len(parts), entry: e, key: m.keys.key, sealer: m.keys.sealer, segments: map[mesh.SegmentID]*wirepb.Segment{}}, nil
}

// AbortMultipart drops an open upload with its parts.
func (c *Client) AbortMultipart(ctx context.Context, p mesh.Path, id mesh.UploadID) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_UPLOAD, sign.Upload, &wirepb.Upload{Upload: id[:], Action: index.AbortUpload, Bucket: p.Bucket, Key: p.Key, AtMs: time.Now().UnixMilli(), Id: randomID()})
	return err
}

// Multiparts lists a page (none where there is no bucket) of the open uploads of objects whose keys begin with p.Key, by key and then by age: those behind a
// key, and behind an upload of it if one is named.
func (c *Client) Multiparts(ctx context.Context, p mesh.Path, after string, afterUpload *mesh.UploadID, limit int) (all []*Multipart, more bool, err error) {
	q := &wirepb.UploadsPage{Bucket: p.Bucket, Prefix: p.Key, After: after, Limit: uint32(limit)}
	if afterUpload != nil {
		q.AfterUpload = afterUpload[:]
	}
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Uploads{Uploads: q}})
	if err != nil {
		return nil, false, err
	}
	a := new(wirepb.UploadsAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, false, err
	}
	for _, l := range a.Uploads {
		m, err := c.openMultipart(mesh.Path{}, l.Upload)
		if err != nil {
			return nil, false, err
		}
		all = append(all, m)
	}
	return all, a.Truncated, nil
}

// partsPage is how many parts of an object are asked for at once.
const partsPage = 64

// parts calls f with the parts of an object, from a number on, until f says no or fails.
func (c *Client) parts(ctx context.Context, o *Object, from int, f func(*Object) (bool, error)) error {
	for after := from - 1; ; {
		q := &wirepb.PartsPage{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:], After: uint32(after), Limit: partsPage}
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Parts{Parts: q}})
		if err != nil {
			return err
		}
		a := new(wirepb.PartsAnswer)
		if found, err := group.Decode(answers[0], a); err != nil || !found || len(a.Parts) == 0 {
			return orElse(err, mesh.Errorf(mesh.Conflict, "%s has changed meanwhile", o.Path))
		}
		for _, l := range a.Parts {
			p, err := c.openPart(o.Path, o, l)
			if err != nil {
				return err
			}
			if !o.hasPart(p) {
				return mesh.Errorf(mesh.Corrupt, "part %d of %s is not the one that its entry names", p.part, o.Path)
			}
			p.Version = o.Version
			if more, err := f(p); !more || err != nil {
				return err
			}
			after = int(p.part)
		}
		if !a.Truncated {
			return nil
		}
	}
}

func (o *Object) hasPart(p *Object) bool {
	i, ok := slices.BinarySearchFunc(o.entry.Parts, p.part, func(r *wirepb.PartRef, n uint32) int { return int(r.Number) - int(n) })
	return ok && string(o.entry.Parts[i].Version) == string(p.entry.Version) && o.entry.Parts[i].Size == p.Size
}

// PartSizes returns the numbers and sizes of an object's parts, in order.
func (o *Object) PartSizes() (all []Part) {
	for _, r := range o.entry.Parts {
		all = append(all, Part{Number: int(r.Number), Size: r.Size, Version: mesh.VersionID(r.Version)})
	}
	return all
}

// PartsOf returns what is known of an object's parts, a page behind a number.
func (c *Client) PartsOf(ctx context.Context, o *Object, after, limit int) (all []Part, more bool, err error) {
	if len(o.entry.Parts) == 0 {
		return nil, false, nil
	}
	err = c.parts(ctx, o, after+1, func(p *Object) (bool, error) {
		if more = len(all) == limit; more {
			return false, nil
		}
		all = append(all, p.asPart())
		return true, nil
	})
	return all, more, err
}

// eachExtent calls f with the extents of an object and its parts, each with what it belongs to.
func (c *Client) eachExtent(ctx context.Context, o *Object, f func(*Object, *wirepb.Extent) (bool, error)) error {
	in := func(o *Object) error {
		return c.extents(ctx, o, func(x *wirepb.Extent, _ uint32) (bool, error) { return f(o, x) })
	}
	if len(o.entry.Parts) == 0 {
		return in(o)
	}
	return c.parts(ctx, o, 1, func(p *Object) (bool, error) { return true, in(p) })
}

// A partsReader gives a range of an object in parts, one after the other.
type partsReader struct {
	client *Client
	ctx    context.Context
	cancel context.CancelFunc
	queue  chan partRange // closed when all is planned
	err    error          // set before that
	ended  chan struct{}  // closed when nothing plans any more

	now io.ReadCloser
}

type partRange struct {
	part         *Object
	offset, size uint64
}

// openParts gives a range of an object in parts.
func (c *Client) openParts(ctx context.Context, o *Object, offset, length uint64) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r := &partsReader{client: c, ctx: ctx, cancel: cancel, queue: make(chan partRange, 1), ended: make(chan struct{})}
	go r.plan(o, offset, length)
	return r
}

func (r *partsReader) plan(o *Object, offset, length uint64) {
	defer close(r.ended)
	defer close(r.queue)
	at, end, first := uint64(0), offset+length, 0
	for i, p := range o.entry.Parts {
		if at+p.Size > offset {
			first = i
			break
		}
		at += p.Size
	}
	want := first
	r.err = r.client.parts(r.ctx, o, int(o.entry.Parts[first].Number), func(p *Object) (bool, error) {
		if p.part != o.entry.Parts[want].Number {
			return false, mesh.Errorf(mesh.Corrupt, "the index gives part %d of %s in the place of %d", p.part, o.Path, o.entry.Parts[want].Number)
		}
		want++
		from, to := max(offset, at)-at, min(end-at, p.Size)
		at += p.Size
		if to > from {
			select {
			case r.queue <- partRange{p, from, to - from}:
			case <-r.ctx.Done():
				return false, r.ctx.Err()
			}
		}
		return at < end, nil
	})
	if r.err == nil && at < end {
		r.err = mesh.Errorf(mesh.Corrupt, "the index lacks parts of %s", o.Path)
	}
}

// advance opens the next part when the one before has ended.
func (r *partsReader) advance() error {
	if r.now != nil {
		return nil
	}
	x, ok := <-r.queue
	if !ok {
		return orElse(r.err, io.EOF)
	}
	var err error
	r.now, err = r.client.Open(r.ctx, x.part, x.offset, x.size)
	return err
}

func (r *partsReader) endPart() error {
	err := r.now.Close()
	r.now = nil
	return err
}

func (r *partsReader) Read(p []byte) (int, error) {
	for {
		if err := r.advance(); err != nil {
			return 0, err
		}
		n, err := r.now.Read(p)
		if err == io.EOF {
			if err := r.endPart(); err != nil {
				return n, err
			}
			err = nil
		}
		if n > 0 || err != nil || len(p) == 0 && r.now != nil {
			return n, err
		}
	}
}

// WriteTo spares io.Copy its buffer.
func (r *partsReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := r.advance(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
		n, err := io.Copy(w, r.now)
		total += n
		if err != nil {
			return total, err
		}
		if err := r.endPart(); err != nil {
			return total, err
		}
	}
}

// Close ends the reading and waits until nothing of it runs any more.
func (r *partsReader) Close() error {
	r.cancel()
	<-r.ended
	if r.now != nil {
		return r.endPart()
	}
	return nil
}
