// Package index holds the rules of the index: how segments are cut, and what a bucket, an entry and a page must be by
// themselves before any state is asked. Writer, authority and reader call the same checks.
//
// It is not the index; package meta keeps that.
package index

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of one message. An object with more is committed in pages first.
const (
	MaxSegments = 512
	MaxExtents  = 1024
	MaxPages    = 1 << 16
	MaxMetadata = 16 << 10 // sealed bytes
	MaxSize     = 1 << 50  // plaintext bytes of an object: 1 PiB
	wrappedKey  = 12 + 32 + TagBytes
)

// Conditions of an entry.
const (
	Always = 0 // replace whatever is there
	Absent = 1 // only if there is none
	Equal  = 2 // only if the version is the expected one
)

// Bucket actions.
const (
	CreateBucket = 1
	DeleteBucket = 2
	ChangeBucket = 3
)

// SegmentIDOf names a segment: SHA-256 over its geometry and the slice ids in coding order. Holders and
// acknowledgements are no part of the name, since repair changes them.
func SegmentIDOf(s *wirepb.Segment) (id mesh.SegmentID) {
	h := sha256.New()
	h.Write([]byte("stratos-segment-v1\x00"))
	putUint64(h, s.Length)
	putUint64(h, uint64(s.DataPieces))
	putUint64(h, s.PieceBytes)
	putUint64(h, uint64(len(s.Pieces)))
	for _, p := range s.Pieces {
		h.Write(p.Slice)
	}
	h.Sum(id[:0])
	return id
}

// A ContentRoot accumulates what an entry's content_root must be: SHA-256 over size, frame, inline bytes and every
// extent in order, those of the pages first.
type ContentRoot struct{ h hash.Hash }

// NewContentRoot begins a root for an object of that many plaintext bytes in frames of that many.
func NewContentRoot(size uint64, frame uint32, inline []byte) *ContentRoot {
	h := sha256.New()
	h.Write([]byte("stratos-content-v1\x00"))
	putUint64(h, size)
	putUint64(h, uint64(frame))
	putUint64(h, uint64(len(inline)))
	h.Write(inline)
	return &ContentRoot{h}
}

// Add appends extents, in order.
func (r *ContentRoot) Add(extents ...*wirepb.Extent) {
	for _, x := range extents {
		r.h.Write(x.Segment)
		putUint64(r.h, x.Offset)
		putUint64(r.h, x.Length)
	}
}

// Sum returns the root of what was added.
func (r *ContentRoot) Sum() []byte { return r.h.Sum(nil) }

func putUint64(h hash.Hash, v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	h.Write(b[:])
}

// CheckBucket checks a bucket's message by itself.
func CheckBucket(b *wirepb.Bucket) error {
	switch {
	case b.Action < CreateBucket || b.Action > ChangeBucket:
		return mesh.Errorf(mesh.Invalid, "the bucket action %d does not exist", b.Action)
	case b.Versioning > Suspended || b.Locking && b.Versioning == Suspended:
		return mesh.Errorf(mesh.Invalid, "a bucket's versioning is malformed")
	case b.Action == DeleteBucket && (b.Versioning != 0 || b.Locking || len(b.Sections) != 0 || b.Serving != ""):
		return mesh.Errorf(mesh.Invalid, "a bucket is deleted and configured in one message")
	case b.Serving == "" && b.UnlessServed:
		return mesh.Errorf(mesh.Invalid, "no key would serve the bucket")
	case b.Serving != "" && checkKeyName(b.Serving) != nil:
		return checkKeyName(b.Serving)
	case len(b.Sections) > MaxSections:
		return mesh.Errorf(mesh.Invalid, "%d sections of a bucket, at most %d", len(b.Sections), MaxSections)
	}
	for i, c := range b.Sections {
		if c.Kind == 0 || c.Kind > MaxSections || len(c.Body) > MaxSection || i > 0 && c.Kind <= b.Sections[i-1].Kind {
			return mesh.Errorf(mesh.Invalid, "section %d of a bucket, of %d bytes, is malformed or out of order", c.Kind, len(c.Body))
		}
	}
	return firstError(checkID(b.Id, "a bucket"), mesh.CheckBucket(b.Name))
}

// CheckSegment checks a segment by itself: a geometry that exists, pieces that hold its bytes with less than one
// stored frame a piece to spare, distinct nodes, and enough pieces acknowledged (by form; see CheckAcks).
func CheckSegment(s *wirepb.Segment) error {
	k, n := int(s.DataPieces), len(s.Pieces)
	if n > MaxPieces || s.DataPieces > MaxPieces {
		return mesh.Errorf(mesh.Invalid, "a segment of %d pieces, at most %d", n, MaxPieces)
	}
	g := geometry(k, n)
	if !g.Valid() {
		return mesh.Errorf(mesh.Invalid, "a segment of %d of %d pieces is no geometry of this network", k, n)
	}
	const maxStored = mesh.SegmentBytes + mesh.SegmentBytes/mesh.FrameBytes*TagBytes + mesh.SegmentBytes/8
	switch p := s.PieceBytes; {
	case s.Length == 0 || s.Length > maxStored:
		return mesh.Errorf(mesh.Invalid, "a segment of %d stored bytes, want 1 to %d", s.Length, maxStored)
	case p == 0 || p > mesh.MaxSlice || p*uint64(k) < s.Length:
		return mesh.Errorf(mesh.Invalid, "%d pieces of %d bytes do not hold a segment of %d", k, p, s.Length)
	case p*uint64(k) >= s.Length+uint64(k)*(mesh.FrameBytes+TagBytes):
		return mesh.Errorf(mesh.Invalid, "pieces of %d bytes waste more than a frame each on a segment of %d", p, s.Length)
	}
	nodes := make(map[string]bool, n)
	acked := 0
	for i, p := range s.Pieces {
		if len(p.Slice) != len(mesh.SliceID{}) || len(p.Node) != len(mesh.NodeID{}) || len(p.Ack) != 0 && len(p.Ack) != len(mesh.Signature{}) {
			return mesh.Errorf(mesh.Invalid, "piece %d of a segment is malformed", i)
		}
		if nodes[string(p.Node)] {
			return mesh.Errorf(mesh.Invalid, "two pieces of a segment on one node")
		}
		nodes[string(p.Node)] = true
		if len(p.Ack) != 0 {
			acked++
		}
	}
	if acked < g.Acknowledged {
		return mesh.Errorf(mesh.Unavailable, "%d of %d pieces are acknowledged, %d are needed", acked, n, g.Acknowledged)
	}
	return nil
}

// CheckAcks verifies the acknowledgements of a segment that CheckSegment passed. The session is the writer's; nodeKey
// returns a node's present key.
func CheckAcks(d sign.Domain, s *wirepb.Segment, session mesh.PublicKey, nodeKey func(mesh.NodeID) (mesh.PublicKey, error)) error {
	for _, p := range s.Pieces {
		if len(p.Ack) == 0 {
			continue
		}
		node := mesh.NodeID(p.Node)
		key, err := nodeKey(node)
		if err != nil {
			return err
		}
		if err := (traffic.Ack{Slice: mesh.SliceID(p.Slice), Length: s.PieceBytes, Session: session}).Verify(d, key, p.Ack); err != nil {
			return mesh.Errorf(mesh.Denied, "node %s: %w", node, err)
		}
	}
	return nil
}

// CheckPage checks a page by itself.
func CheckPage(p *wirepb.Page) error {
	if err := checkName(p.Bucket, p.Key); err != nil {
		return err
	}
	if len(p.Upload) != len(mesh.UploadID{}) || p.Number >= MaxPages || len(p.Extents) == 0 {
		return mesh.Errorf(mesh.Invalid, "a page of an entry is malformed")
	}
	return checkParts(p.Extents, p.Segments)
}

// CheckEntry checks an entry by itself; what its pages hold is counted by the caller, who then calls CheckTotal.
func CheckEntry(e *wirepb.Entry, public bool) error {
	if err := checkName(e.Bucket, e.Key); err != nil {
		return err
	}
	overhead := uint64(TagBytes)
	if public {
		overhead = 0
	}
	switch {
	case len(e.Version) != len(mesh.VersionID{}):
		return mesh.Errorf(mesh.Invalid, "an entry's version has %d bytes", len(e.Version))
	case e.Size > MaxSize:
		return mesh.Errorf(mesh.Invalid, "an object of %d bytes, at most %d", e.Size, uint64(MaxSize))
	case e.Pages > MaxPages:
		return mesh.Errorf(mesh.Invalid, "an entry of %d pages, at most %d", e.Pages, MaxPages)
	case len(e.SealedMetadata) > MaxMetadata:
		return mesh.Errorf(mesh.Invalid, "an entry's metadata has %d bytes, at most %d", len(e.SealedMetadata), MaxMetadata)
	case public != (len(e.WrappedKey) == 0):
		return mesh.Errorf(mesh.Invalid, "an object is sealed if and only if its bucket is not public")
	case !public && len(e.WrappedKey) != wrappedKey:
		return mesh.Errorf(mesh.Invalid, "an entry's wrapped key has %d bytes, want %d", len(e.WrappedKey), wrappedKey)
	case e.Condition > Equal || (e.Condition == Equal) != (len(e.ExpectedVersion) == len(mesh.VersionID{})):
		return mesh.Errorf(mesh.Invalid, "an entry's condition is malformed")
	case (len(e.Upload) != 0 || e.Pages != 0) && len(e.Upload) != len(mesh.UploadID{}):
		return mesh.Errorf(mesh.Invalid, "an entry's upload has %d bytes", len(e.Upload))
	case len(e.SealedSummary) > MaxSummary:
		return mesh.Errorf(mesh.Invalid, "an entry's summary has %d bytes, at most %d", len(e.SealedSummary), MaxSummary)
	case string(e.Version) == string(NullVersion[:]):
		return mesh.Errorf(mesh.Invalid, "an entry's version is all zero")
	}
	if err := firstError(checkID(e.Id, "an entry"), CheckLock(e.Lock)); err != nil {
		return err
	}
	if len(e.Parts) > 0 {
		return checkCompletion(e)
	}
	if e.FrameBytes == 0 { // inline
		if e.Size > mesh.InlineMax || uint64(len(e.Inline)) != e.Size+overhead || len(e.Extents)+len(e.Segments)+int(e.Pages) != 0 {
			return mesh.Errorf(mesh.Invalid, "an inline object of %d bytes is malformed", e.Size)
		}
		return nil
	}
	if len(e.Inline) != 0 || e.FrameBytes > mesh.FrameBytes || e.Size == 0 || len(e.Extents) == 0 {
		return mesh.Errorf(mesh.Invalid, "an entry's frames of %d bytes are malformed", e.FrameBytes)
	}
	return checkParts(e.Extents, e.Segments)
}

// CheckTotal checks, once all pages are known, that the extents hold exactly the object's stored bytes and that the
// content root is theirs.
func CheckTotal(e *wirepb.Entry, public bool, stored uint64, root *ContentRoot) error {
	overhead := uint64(TagBytes)
	if public {
		overhead = 0
	}
	if e.FrameBytes != 0 {
		if want := Stored(e.Size, uint64(e.FrameBytes), overhead); stored != want {
			return mesh.Errorf(mesh.Invalid, "an entry's extents hold %d bytes, its size needs %d", stored, want)
		}
	}
	if string(root.Sum()) != string(e.ContentRoot) {
		return mesh.Errorf(mesh.Invalid, "an entry's content root is not that of its content")
	}
	return nil
}

func checkName(bucket, key string) error {
	if err := mesh.CheckBucket(bucket); err != nil {
		return err
	}
	return mesh.CheckKey(key)
}

func checkParts(extents []*wirepb.Extent, segments []*wirepb.Segment) error {
	if len(extents) > MaxExtents || len(segments) > MaxSegments {
		return mesh.Errorf(mesh.Invalid, "%d extents and %d segments in one message, at most %d and %d", len(extents), len(segments), MaxExtents, MaxSegments)
	}
	for _, x := range extents {
		if len(x.Segment) != len(mesh.SegmentID{}) || x.Length == 0 || x.Length > mesh.MaxSlice || x.Offset > mesh.MaxSlice {
			return mesh.Errorf(mesh.Invalid, "an extent is malformed")
		}
	}
	for _, s := range segments {
		if err := CheckSegment(s); err != nil {
			return err
		}
	}
	return nil
}
