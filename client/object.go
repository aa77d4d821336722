package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An Object is a version of an object as the index has it.
type Object struct {
	Path        mesh.Path
	Size        uint64
	Modified    time.Time
	Version     mesh.VersionID
	ContentType string
	PlainHash   [32]byte // BLAKE3 of the content, as its writer saw it
	Mode        uint32   // permission bits of the file that it came from; 0 when none

	entry    *wirepb.Entry
	sealer   *seal.Sealer // nil in a public bucket
	segments map[mesh.SegmentID]*wirepb.Segment
}

// overhead is what sealing adds to each frame.
func (o *Object) overhead() uint64 {
	if o.sealer == nil {
		return 0
	}
	return index.TagBytes
}

func objectQuestion(p mesh.Path) *wirepb.Question {
	return &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: p.Bucket, Key: p.Key}}}
}

func bucketQuestion(name string) *wirepb.Question {
	return &wirepb.Question{Question: &wirepb.Question_Bucket{Bucket: name}}
}

// Stat returns an object as every write that was acknowledged before has left it.
func (c *Client) Stat(ctx context.Context, p mesh.Path) (*Object, error) {
	if err := mesh.CheckKey(p.Key); err != nil {
		return nil, err
	}
	b := c.knownBucket(p.Bucket)
	known := b != nil
	questions := []*wirepb.Question{objectQuestion(p)}
	if !known {
		questions = append(questions, bucketQuestion(p.Bucket))
	}
	answers, err := c.ask(ctx, questions...)
	if err != nil {
		return nil, err
	}
	if !known {
		if b, err = c.learnBucket(p.Bucket, answers[1]); err != nil {
			return nil, err
		}
	}
	a := new(wirepb.ObjectAnswer)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return nil, orElse(err, mesh.Errorf(mesh.NotFound, "no object %s", p))
	}
	o, err := c.openObject(p, b.Public, a)
	if err != nil && known { // the bucket may have been removed and made anew, public or not any more
		c.forgetBucket(p.Bucket)
		return c.Stat(ctx, p)
	}
	return o, err
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func noBucket(name string) error {
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no bucket %q", name), "create it: stratos mb %s%s", mesh.Scheme, name)
}

// openObject checks what the index says of an object against itself and opens its key.
func (c *Client) openObject(p mesh.Path, public bool, a *wirepb.ObjectAnswer) (*Object, error) {
	e := new(wirepb.Entry)
	if a.Entry == nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the index has no entry for %s", p)
	}
	key, err := mesh.FromBytes[mesh.PublicKey](a.Entry.Key)
	if err != nil {
		return nil, err
	}
	sig, err := mesh.FromBytes[mesh.Signature](a.Entry.Signature)
	if err != nil {
		return nil, err
	}
	if err := c.access.domain.Verify(key, sign.Entry, a.Entry.Body, sig); err != nil {
		return nil, err
	}
	if err := wire.Decode(a.Entry.Body, 1<<20, e); err != nil {
		return nil, err
	}
	if err := index.CheckEntry(e, public); err != nil {
		return nil, err
	}
	if e.Bucket != p.Bucket || e.Key != p.Key {
		return nil, mesh.Errorf(mesh.Corrupt, "the index answers with the entry of %s for %s", mesh.Path{Bucket: e.Bucket, Key: e.Key}, p)
	}
	o := &Object{Path: p, Size: e.Size, Modified: time.UnixMilli(e.ModifiedMs), Version: mesh.VersionID(e.Version), entry: e, segments: map[mesh.SegmentID]*wirepb.Segment{}}
	if e.Pages == 0 {
		root := index.NewContentRoot(e.Size, e.FrameBytes, e.Inline)
		root.Add(e.Extents...)
		var stored uint64
		for _, x := range e.Extents {
			stored += x.Length
		}
		if err := index.CheckTotal(e, public, stored, root); err != nil {
			return nil, err
		}
	}
	o.add(a.Segments)
	meta := e.SealedMetadata
	if !public {
		folder, err := c.access.folder(seal.FolderOf(p.Bucket, p.Key))
		if err != nil {
			return nil, err
		}
		k, err := seal.Unwrap(folder, e.WrappedKey, o.Version)
		if err != nil {
			return nil, err
		}
		o.sealer = seal.NewSealer(k)
		if meta, err = o.sealer.OpenMetadata(meta); err != nil {
			return nil, err
		}
	}
	m := new(wirepb.Metadata)
	if err := proto.Unmarshal(meta, m); err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the metadata of %s: %w", p, err)
	}
	o.ContentType, o.Mode = m.ContentType, m.Mode
	copy(o.PlainHash[:], m.PlainHash)
	return o, nil
}

// add keeps segments by what they are, so that a wrong one is simply never asked for.
func (o *Object) add(segments []*wirepb.Segment) {
	for _, s := range segments {
		o.segments[index.SegmentIDOf(s)] = s
	}
}

// A Piece is where a piece of an object lies.
type Piece struct {
	Segment mesh.SegmentID
	Index   int // in coding order; the first DataPieces are the bytes themselves
	Slice   mesh.SliceID
	Node    mesh.NodeID
	Stored  bool // acknowledged by its node; if not, repair will bring it
}

// A Placement is how an object is kept.
type Placement struct {
	Segments   int
	DataPieces int // of each segment, that suffice
	Pieces     []Piece
}

// Placement tells where an object's pieces lie. An inline object has none: it lies in the index.
func (c *Client) Placement(ctx context.Context, o *Object) (*Placement, error) {
	pl := new(Placement)
	err := c.extents(ctx, o, func(x *wirepb.Extent) (bool, error) {
		id := mesh.SegmentID(x.Segment)
		s := o.segments[id]
		if s == nil {
			return false, mesh.Errorf(mesh.Corrupt, "the index does not hold the segment %s", id)
		}
		pl.Segments++
		pl.DataPieces = int(s.DataPieces)
		for i, p := range s.Pieces {
			pl.Pieces = append(pl.Pieces, Piece{Segment: id, Index: i, Slice: mesh.SliceID(p.Slice), Node: mesh.NodeID(p.Node), Stored: len(p.Ack) > 0})
		}
		return true, nil
	})
	return pl, err
}

// MakeBucket creates a bucket. Objects of a public one are not encrypted and anybody may read them.
func (c *Client) MakeBucket(ctx context.Context, name string, public bool) error {
	if err := mesh.CheckBucket(name); err != nil {
		return err
	}
	_, err := c.commit(ctx, wirepb.TxKind_TX_BUCKET, sign.Bucket, &wirepb.Bucket{Name: name, Action: index.CreateBucket, Public: public, AtMs: time.Now().UnixMilli()})
	return err
}

// RemoveBucket deletes an empty bucket.
func (c *Client) RemoveBucket(ctx context.Context, name string) error {
	if err := mesh.CheckBucket(name); err != nil {
		return err
	}
	c.forgetBucket(name)
	_, err := c.commit(ctx, wirepb.TxKind_TX_BUCKET, sign.Bucket, &wirepb.Bucket{Name: name, Action: index.DeleteBucket, AtMs: time.Now().UnixMilli()})
	return err
}

// A Bucket is a bucket of the access's account.
type Bucket struct {
	Name    string
	Public  bool
	Created time.Time
	Objects uint64
	Bytes   uint64 // of content
}

// Buckets lists the account's buckets that the access covers, by name.
func (c *Client) Buckets(ctx context.Context) ([]Bucket, error) {
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Buckets{Buckets: true}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.BucketsAnswer)
	if _, err := group.Decode(answers[0], a); err != nil {
		return nil, err
	}
	var all []Bucket
	for _, b := range a.Buckets {
		all = append(all, Bucket{b.Name, b.Public, time.UnixMilli(b.CreatedMs), b.Objects, b.Bytes})
	}
	return all, nil
}

// A Listed is a name in a listing: an object, or a folder when Folder is set.
type Listed struct {
	Key      string // of the object, or the common prefix of a folder
	Folder   bool
	Size     uint64
	Modified time.Time
}

// List calls f with the objects whose keys begin with p.Key, by key. With the delimiter "/", what lies below a further
// slash is told as one folder. It stops when f returns an error, and returns that.
func (c *Client) List(ctx context.Context, p mesh.Path, delimiter string, f func(Listed) error) error {
	after := ""
	for {
		q := &wirepb.Listing{Bucket: p.Bucket, Prefix: p.Key, After: after, Delimiter: delimiter, Limit: 1000}
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Listing{Listing: q}})
		if err != nil {
			return err
		}
		a := new(wirepb.ListingAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return err
		}
		objects, folders := a.Objects, a.Prefixes
		before := after
		for len(objects)+len(folders) > 0 { // merge, both are sorted
			var l Listed
			if len(folders) == 0 || len(objects) > 0 && objects[0].Key < folders[0] {
				l = Listed{Key: objects[0].Key, Size: objects[0].Size, Modified: time.UnixMilli(objects[0].ModifiedMs)}
				objects = objects[1:]
			} else {
				l = Listed{Key: folders[0], Folder: true}
				folders = folders[1:]
			}
			if l.Key <= before {
				return mesh.Errorf(mesh.Corrupt, "a listing of %s goes backwards", p)
			}
			after = l.Key
			if err := f(l); err != nil {
				return err
			}
		}
		if !a.Truncated || after == before {
			return nil
		}
	}
}

// Delete removes an object.
func (c *Client) Delete(ctx context.Context, p mesh.Path) error {
	if err := mesh.CheckKey(p.Key); err != nil {
		return err
	}
	_, err := c.commit(ctx, wirepb.TxKind_TX_DELETION, sign.Deletion, &wirepb.Deletion{Bucket: p.Bucket, Key: p.Key, AtMs: time.Now().UnixMilli()})
	return err
}

// Copy gives an object a second name in a bucket of the same account. Bytes move only where the buckets differ in being
// public, or the object is so large that its entry has pages.
func (c *Client) Copy(ctx context.Context, from, to mesh.Path) (*Object, error) {
	o, err := c.Stat(ctx, from)
	if err != nil {
		return nil, err
	}
	public, err := c.isPublic(ctx, to.Bucket)
	if err != nil {
		return nil, err
	}
	if public != (o.sealer == nil) || o.entry.Pages > 0 {
		return c.copyBytes(ctx, o, to)
	}
	e := proto.Clone(o.entry).(*wirepb.Entry)
	e.Bucket, e.Key, e.ModifiedMs, e.Segments, e.Upload = to.Bucket, to.Key, time.Now().UnixMilli(), nil, nil
	e.Condition, e.ExpectedVersion = index.Always, nil
	if !public {
		// The object's key stays, and so does the version that its wrapping is bound to.
		at, err := c.access.folder(seal.FolderOf(from.Bucket, from.Key))
		if err != nil {
			return nil, err
		}
		k, err := seal.Unwrap(at, e.WrappedKey, o.Version)
		if err != nil {
			return nil, err
		}
		folder, err := c.access.folder(seal.FolderOf(to.Bucket, to.Key))
		if err != nil {
			return nil, err
		}
		v := mesh.NewVersionID()
		e.Version, e.WrappedKey = v[:], seal.Wrap(folder, k, v)
	}
	if _, err := c.commit(ctx, wirepb.TxKind_TX_ENTRY, sign.Entry, e); err != nil {
		return nil, err
	}
	return c.Stat(ctx, to)
}

func (c *Client) copyBytes(ctx context.Context, o *Object, to mesh.Path) (*Object, error) {
	r, err := c.Open(ctx, o, 0, o.Size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return c.Put(ctx, to, r, PutOptions{ContentType: o.ContentType, Mode: o.Mode})
}

// knownBucket returns what was learnt of a bucket, nil when that is nothing. Its counts are old.
func (c *Client) knownBucket(name string) *wirepb.BucketAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buckets[name]
}

// learnBucket reads the answer to a question for a bucket, and keeps it.
func (c *Client) learnBucket(name string, answer []byte) (*wirepb.BucketAnswer, error) {
	b := new(wirepb.BucketAnswer)
	if found, err := group.Decode(answer, b); err != nil || !found {
		return nil, orElse(err, noBucket(name))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buckets[name] = b
	return b, nil
}

func (c *Client) forgetBucket(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.buckets, name)
}

// isPublic tells whether a bucket of this account is public; buckets do not change that.
func (c *Client) isPublic(ctx context.Context, name string) (bool, error) {
	b := c.knownBucket(name)
	if b == nil {
		answers, err := c.ask(ctx, bucketQuestion(name))
		if err != nil {
			return false, err
		}
		if b, err = c.learnBucket(name, answers[0]); err != nil {
			return false, err
		}
	}
	if mesh.Account(b.Owner) != c.access.Account() {
		return false, mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", name)
	}
	return b.Public, nil
}

// Balance is what an account has for traffic.
type Balance struct {
	Credited  mesh.Noz // bought, ever
	Debited   mesh.Noz // used, ever
	Leased    mesh.Noz // set aside now
	Available mesh.Noz
}

// Balance tells what an account has for traffic, as the meta layer counts.
func (c *Client) Balance(ctx context.Context, a mesh.Account) (b Balance, err error) {
	answers, _, err := c.group.Ask(ctx, group.Strong, &wirepb.Question{Question: &wirepb.Question_Account{Account: a[:]}})
	if err != nil {
		return b, err
	}
	m := new(wirepb.AccountAnswer)
	_, err = group.Decode(answers[0], m)
	return Balance{mesh.Noz(m.Credited), mesh.Noz(m.Debited), mesh.Noz(m.Leased), mesh.Noz(m.Available)}, err
}

// Revoke voids a grant that this account made, and everything below it. Sessions under it end with the next block,
// tickets that were signed before within a minute.
func (c *Client) Revoke(ctx context.Context, id grant.LinkID) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_REVOCATION, sign.Revocation, &wirepb.Revocation{Link: id[:], AtMs: time.Now().UnixMilli()})
	return err
}
