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
	Attributes  map[string]string
	Summary     []byte // what listings show of it besides; see PutOptions
	Null        bool   // written while its bucket had no versioning
	Latest      bool   // nothing is newer
	Marker      bool   // says that the object was deleted; then only path, version and time count
	Lock        Lock
	Tags        []byte // of the last SetTags; nil when there was none
	Parts       int    // in which it was uploaded; 0: at once

	entry    *wirepb.Entry
	key      seal.Key
	sealer   *seal.Sealer // nil in a public bucket
	segments map[mesh.SegmentID]*wirepb.Segment
	part     uint32 // when this is a part of an object: its number; Version is the object's then
}

// Upload returns the multipart upload that an object was completed from; zero when it has no parts.
func (o *Object) Upload() (id mesh.UploadID) {
	if len(o.entry.Parts) > 0 {
		copy(id[:], o.entry.Upload)
	}
	return id
}

// overhead is what sealing adds to each frame.
func (o *Object) overhead() uint64 {
	if o.sealer == nil {
		return 0
	}
	return index.TagBytes
}

func objectQuestion(p mesh.Path, version []byte) *wirepb.Question {
	return &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: p.Bucket, Key: p.Key, Version: version}}}
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
	questions := []*wirepb.Question{objectQuestion(p, nil)}
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
	if found, err := group.Decode(answers[0], a); err != nil || !found || a.Marker {
		return nil, orElse(err, noObject(p))
	}
	o, err := c.openObject(p, b.Public, a)
	if err != nil && known { // the bucket may have been removed and made anew, public or not any more
		c.forgetBucket(p.Bucket)
		return c.Stat(ctx, p)
	}
	return o, err
}

func noObject(p mesh.Path) error { return mesh.Errorf(mesh.NotFound, "no object %s", p) }

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func noBucket(name string) error {
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no bucket %q", name), "create it: stratos mb %s%s", mesh.Scheme, name)
}

// openSigned checks the signature of a message of the index and decodes it.
func (c *Client) openSigned(s *wirepb.Signed, p sign.Purpose, into proto.Message) error {
	if s == nil {
		return mesh.Errorf(mesh.Corrupt, "the index has no message")
	}
	key, err := mesh.FromBytes[mesh.PublicKey](s.Key)
	if err != nil {
		return err
	}
	sig, err := mesh.FromBytes[mesh.Signature](s.Signature)
	if err != nil {
		return err
	}
	if err := c.access.domain.Verify(key, p, s.Body, sig); err != nil {
		return err
	}
	return wire.Decode(s.Body, 1<<20, into)
}

// openObject checks what the index says of an object against itself and opens its key.
func (c *Client) openObject(p mesh.Path, public bool, a *wirepb.ObjectAnswer) (*Object, error) {
	if a.Marker {
		d := new(wirepb.Deletion)
		if err := c.openSigned(a.Entry, sign.Deletion, d); err != nil {
			return nil, err
		}
		v, err := mesh.FromBytes[mesh.VersionID](d.Id)
		if err == nil && (d.Bucket != p.Bucket || d.Key != p.Key) {
			err = mesh.Errorf(mesh.Corrupt, "the index answers with the deletion of %s for %s", mesh.Path{Bucket: d.Bucket, Key: d.Key}, p)
		}
		return &Object{Path: p, Modified: time.UnixMilli(d.AtMs), Version: v, Marker: true, Null: a.Null, Latest: a.Latest}, err
	}
	e := new(wirepb.Entry)
	if err := c.openSigned(a.Entry, sign.Entry, e); err != nil {
		return nil, err
	}
	o, err := c.openEntry(p, public, e, a.Segments)
	if err != nil {
		return nil, err
	}
	o.Null, o.Latest, o.Parts = a.Null, a.Latest, len(e.Parts)
	o.Lock = lockOf(a.Lock)
	if !public {
		folder, err := c.access.folder(seal.FolderOf(p.Bucket, p.Key))
		if err != nil {
			return nil, err
		}
		if o.key, err = seal.Unwrap(folder, e.WrappedKey, o.Version); err != nil {
			return nil, err
		}
		o.sealer = seal.NewSealer(o.key)
	}
	if o.Tags, err = c.openTags(o, a.SealedTags); err != nil {
		return nil, err
	}
	return o, o.describe()
}

// openEntry checks an entry, or that of a part, against itself.
func (c *Client) openEntry(p mesh.Path, public bool, e *wirepb.Entry, segments []*wirepb.Segment) (*Object, error) {
	if err := index.CheckEntry(e, public); err != nil {
		return nil, err
	}
	if e.Bucket != p.Bucket || e.Key != p.Key {
		return nil, mesh.Errorf(mesh.Corrupt, "the index answers with the entry of %s for %s", mesh.Path{Bucket: e.Bucket, Key: e.Key}, p)
	}
	o := &Object{Path: p, Size: e.Size, Modified: time.UnixMilli(e.ModifiedMs), Version: mesh.VersionID(e.Version), entry: e, segments: map[mesh.SegmentID]*wirepb.Segment{}}
	if e.Pages == 0 && len(e.Parts) == 0 {
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
	o.add(segments)
	return o, nil
}

// describe opens what the entry says of the object.
func (o *Object) describe() error {
	meta, err := o.unbox(seal.Metadata, [16]byte(o.entry.Version), o.entry.SealedMetadata)
	if err != nil {
		return err
	}
	m := new(wirepb.Metadata)
	if err := proto.Unmarshal(meta, m); err != nil {
		return mesh.Errorf(mesh.Corrupt, "the metadata of %s: %w", o.Path, err)
	}
	o.ContentType, o.Mode, o.Attributes = m.ContentType, m.Mode, attributesOf(m)
	copy(o.PlainHash[:], m.PlainHash)
	if len(o.entry.SealedSummary) > 0 {
		o.Summary, err = o.unbox(seal.Summary, [16]byte(o.entry.Version), o.entry.SealedSummary)
	}
	return err
}

// box seals what is said of an object; in a public bucket it is in the clear. unbox opens it.
func (o *Object) box(use seal.Use, salt [16]byte, plain []byte) []byte {
	if o.sealer == nil {
		return plain
	}
	return seal.Box(o.key, use, salt, plain)
}

func (o *Object) unbox(use seal.Use, salt [16]byte, sealed []byte) ([]byte, error) {
	if o.sealer == nil {
		return sealed, nil
	}
	return seal.OpenBox(o.key, use, salt, sealed)
}

func attributesOf(m *wirepb.Metadata) map[string]string {
	if len(m.Attributes) == 0 {
		return nil
	}
	all := make(map[string]string, len(m.Attributes))
	for _, a := range m.Attributes {
		all[a.Name] = a.Value
	}
	return all
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
	err := c.eachExtent(ctx, o, func(o *Object, x *wirepb.Extent) (bool, error) {
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
