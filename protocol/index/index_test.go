package index_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestGeometry(t *testing.T) {
	for _, c := range []struct{ domains, k, n, acknowledged int }{
		{3, 1, 3, 2}, {4, 1, 3, 2}, {5, 1, 3, 2}, {6, 1, 3, 2},
		{7, 4, 7, 6}, {8, 4, 8, 6}, {12, 4, 12, 8}, {24, 8, 24, 16}, {30, 10, 30, 20}, {80, 29, 80, 55}, {153, 29, 80, 55}, {200, 29, 80, 55},
	} {
		g, err := index.GeometryFor(c.domains)
		if want := (index.Geometry{DataPieces: c.k, Pieces: c.n, Acknowledged: c.acknowledged}); err != nil || g != want {
			t.Errorf("%d domains: got %+v, %v; want %+v", c.domains, g, err, want)
		}
	}
	for n := range 3 {
		if _, err := index.GeometryFor(n); mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" {
			t.Errorf("%d domains: %v", n, err)
		}
	}
}

// Any third of the domains may vanish and the rest still suffices, up to 153 domains; so may any that are not acknowledged.
func TestAThirdMayVanish(t *testing.T) {
	for domains := 3; domains <= 400; domains++ {
		g, err := index.GeometryFor(domains)
		if err != nil {
			t.Fatal(err)
		}
		if !g.Valid() {
			t.Errorf("%d domains: %+v is not valid", domains, g)
		}
		if g.Pieces > domains || g.DataPieces < 1 || g.Acknowledged <= g.DataPieces || g.Acknowledged > g.Pieces {
			t.Errorf("%d domains: %+v", domains, g)
		}
		if lost := domains / 3; domains <= 153 && g.Pieces-lost < g.DataPieces {
			t.Errorf("%d domains: with %d gone %d pieces are left, %d are needed", domains, lost, g.Pieces-lost, g.DataPieces)
		}
	}
	for _, g := range []index.Geometry{{}, {1, 2, 2}, {1, 3, 3}, {2, 3, 3}, {1, 4, 3}, {3, 7, 5}, {5, 7, 6}, {29, 81, 55}, {30, 80, 55}, {29, 80, 54}, {-1, 7, 3}} {
		if g.Valid() {
			t.Errorf("%+v is valid", g)
		}
	}
}

// Every object's stored bytes fit its pieces with less than a frame each to spare, for sizes around the edges.
func TestCutting(t *testing.T) {
	for _, domains := range []int{3, 7, 12, 24, 80} {
		g, err := index.GeometryFor(domains)
		if err != nil {
			t.Fatal(err)
		}
		k := uint64(g.DataPieces)
		for _, plain := range []uint64{1, 2, k - 1, k, k + 1, 4097, mesh.FrameBytes - 1, mesh.FrameBytes, mesh.FrameBytes + 1, (k - 1) * mesh.FrameBytes,
			(k-1)*mesh.FrameBytes + 1, k * mesh.FrameBytes, k*mesh.FrameBytes + 1, mesh.SegmentBytes - 1, mesh.SegmentBytes} {
			if plain == 0 {
				continue
			}
			for _, overhead := range []uint64{0, index.TagBytes} {
				frame := index.FrameFor(plain, int(k))
				stored := index.Stored(plain, frame, overhead)
				piece := index.PieceBytes(stored, frame+overhead, int(k))
				s := segment(g, stored, piece)
				if err := index.CheckSegment(s); err != nil {
					t.Errorf("%d bytes in %d of %d pieces, frames of %d: %v", plain, k, g.Pieces, frame, err)
				}
				if piece%(frame+overhead) != 0 {
					t.Errorf("%d bytes: a piece of %d is no run of whole frames of %d", plain, piece, frame+overhead)
				}
			}
		}
	}
	if index.Stored(0, 10, 16) != 0 {
		t.Error("an empty object takes room")
	}
}

var (
	domain  = sign.Domain{Network: mesh.NetworkID{3}}
	session = mesh.PublicKeyOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
)

func node(i int) ed25519.PrivateKey {
	h := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
	return ed25519.NewKeyFromSeed(h[:])
}

func segment(g index.Geometry, length, piece uint64) *wirepb.Segment {
	s := &wirepb.Segment{Length: length, DataPieces: uint32(g.DataPieces), PieceBytes: piece}
	for i := range g.Pieces {
		slice := sha256.Sum256([]byte{byte(i)})
		id := mesh.NodeIDOf(mesh.PublicKeyOf(node(i)))
		s.Pieces = append(s.Pieces, &wirepb.Piece{Slice: slice[:], Node: id[:], Ack: make([]byte, 64)})
	}
	return s
}

func seven() *wirepb.Segment {
	return segment(index.Geometry{DataPieces: 4, Pieces: 7, Acknowledged: 6}, 1000, 250)
}

func TestCheckSegment(t *testing.T) {
	for _, c := range []struct {
		name string
		kind mesh.Kind
		ok   bool
		f    func(s *wirepb.Segment)
	}{
		{"valid", 0, true, func(s *wirepb.Segment) {}},
		{"one missing", 0, true, func(s *wirepb.Segment) { s.Pieces[3].Ack = nil }},
		{"two missing", mesh.Unavailable, false, func(s *wirepb.Segment) { s.Pieces[3].Ack, s.Pieces[4].Ack = nil, nil }},
		{"spare bytes", 0, true, func(s *wirepb.Segment) { s.PieceBytes = 250 + mesh.FrameBytes }},
		{"a frame too many each", mesh.Invalid, false, func(s *wirepb.Segment) { s.PieceBytes = 250 + mesh.FrameBytes + index.TagBytes }},
		{"too small", mesh.Invalid, false, func(s *wirepb.Segment) { s.PieceBytes = 249 }},
		{"no bytes", mesh.Invalid, false, func(s *wirepb.Segment) { s.Length = 0 }},
		{"too long", mesh.Invalid, false, func(s *wirepb.Segment) { s.Length, s.PieceBytes = 1<<40, 1<<38 }},
		{"huge pieces", mesh.Invalid, false, func(s *wirepb.Segment) { s.PieceBytes = 1<<64 - 1 }},
		{"empty pieces", mesh.Invalid, false, func(s *wirepb.Segment) { s.PieceBytes = 0 }},
		{"no pieces", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces = nil }},
		{"another k", mesh.Invalid, false, func(s *wirepb.Segment) { s.DataPieces = 5 }},
		{"a huge k", mesh.Invalid, false, func(s *wirepb.Segment) { s.DataPieces = 1<<32 - 1 }},
		{"six pieces", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces = s.Pieces[:6] }},
		{"81 pieces", mesh.Invalid, false, func(s *wirepb.Segment) {
			*s = *segment(index.Geometry{DataPieces: 29, Pieces: 81}, 1000, 250)
		}},
		{"one node twice", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1].Node = s.Pieces[0].Node }},
		{"short node", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1].Node = s.Pieces[1].Node[1:] }},
		{"short slice", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1].Slice = s.Pieces[1].Slice[1:] }},
		{"short acknowledgement", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1].Ack = s.Pieces[1].Ack[1:] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := seven()
			c.f(s)
			if err := index.CheckSegment(s); (err == nil) != c.ok || !c.ok && mesh.KindOf(err) != c.kind {
				t.Errorf("got %v, want ok=%v %s", err, c.ok, c.kind)
			}
		})
	}
}

func TestCheckAcks(t *testing.T) {
	keys := func(n mesh.NodeID) (mesh.PublicKey, error) {
		for i := range 7 {
			if k := mesh.PublicKeyOf(node(i)); mesh.NodeIDOf(k) == n {
				return k, nil
			}
		}
		return mesh.PublicKey{}, mesh.Errorf(mesh.NotFound, "no node")
	}
	acked := func() *wirepb.Segment {
		s := seven()
		for i, p := range s.Pieces {
			sig := traffic.Ack{Slice: mesh.SliceID(p.Slice), Length: s.PieceBytes, Session: session}.Sign(domain, node(i))
			p.Ack = sig[:]
		}
		s.Pieces[6].Ack = nil
		return s
	}
	if err := index.CheckAcks(domain, acked(), session, keys); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(s *wirepb.Segment){
		"another slice":  func(s *wirepb.Segment) { s.Pieces[0].Slice = bytes.Repeat([]byte{1}, 32) },
		"another length": func(s *wirepb.Segment) { s.PieceBytes++ },
		"another node's": func(s *wirepb.Segment) { s.Pieces[0].Ack = s.Pieces[1].Ack },
		"another session's": func(s *wirepb.Segment) {
			sig := traffic.Ack{Slice: mesh.SliceID(s.Pieces[0].Slice), Length: s.PieceBytes}.Sign(domain, node(0))
			s.Pieces[0].Ack = sig[:]
		},
		"another network's": func(s *wirepb.Segment) {
			sig := traffic.Ack{Slice: mesh.SliceID(s.Pieces[0].Slice), Length: s.PieceBytes, Session: session}.Sign(sign.Domain{}, node(0))
			s.Pieces[0].Ack = sig[:]
		},
	} {
		s := acked()
		f(s)
		if err := index.CheckAcks(domain, s, session, keys); mesh.KindOf(err) != mesh.Denied || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := acked()
	s.Pieces[0].Node = make([]byte, 20)
	if err := index.CheckAcks(domain, s, session, keys); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("an unknown node: %v", err)
	}
}

// The name of a segment covers geometry, slices and their order, and not holders: repair keeps it.
func TestSegmentID(t *testing.T) {
	id := index.SegmentIDOf(seven())
	same := seven()
	same.Pieces[0].Node, same.Pieces[0].Ack = make([]byte, 20), nil
	if index.SegmentIDOf(same) != id {
		t.Error("the name changes with the holder")
	}
	for name, f := range map[string]func(s *wirepb.Segment){
		"length": func(s *wirepb.Segment) { s.Length-- },
		"k":      func(s *wirepb.Segment) { s.DataPieces++ },
		"piece":  func(s *wirepb.Segment) { s.PieceBytes++ },
		"count":  func(s *wirepb.Segment) { s.Pieces = s.Pieces[:6] },
		"order":  func(s *wirepb.Segment) { s.Pieces[0], s.Pieces[1] = s.Pieces[1], s.Pieces[0] },
	} {
		s := seven()
		f(s)
		if index.SegmentIDOf(s) == id {
			t.Errorf("another %s and the same name", name)
		}
	}
}

func entry() *wirepb.Entry {
	id := index.SegmentIDOf(seven())
	e := &wirepb.Entry{Bucket: "photos", Key: "a", Version: bytes.Repeat([]byte{1}, 16), Size: 936, FrameBytes: 234, WrappedKey: make([]byte, 60),
		Extents: []*wirepb.Extent{{Segment: id[:], Length: 1000}}, Segments: []*wirepb.Segment{seven()}}
	root := index.NewContentRoot(e.Size, e.FrameBytes, nil)
	root.Add(e.Extents...)
	e.ContentRoot = root.Sum()
	return e
}

func inline(n int) func(e *wirepb.Entry) {
	return func(e *wirepb.Entry) {
		e.Size, e.FrameBytes, e.Extents, e.Segments = uint64(n), 0, nil, nil
		e.Inline = make([]byte, n+index.TagBytes)
	}
}

func TestCheckEntry(t *testing.T) {
	for _, c := range []struct {
		name   string
		public bool
		ok     bool
		f      func(e *wirepb.Entry)
	}{
		{"valid", false, true, func(e *wirepb.Entry) {}},
		{"public", true, true, func(e *wirepb.Entry) { e.WrappedKey = nil }},
		{"public with a key", true, false, func(e *wirepb.Entry) {}},
		{"sealed without a key", false, false, func(e *wirepb.Entry) { e.WrappedKey = nil }},
		{"short key", false, false, func(e *wirepb.Entry) { e.WrappedKey = e.WrappedKey[1:] }},
		{"no bucket", false, false, func(e *wirepb.Entry) { e.Bucket = "" }},
		{"bad bucket", false, false, func(e *wirepb.Entry) { e.Bucket = "Photos" }},
		{"no name", false, false, func(e *wirepb.Entry) { e.Key = "" }},
		{"NUL", false, false, func(e *wirepb.Entry) { e.Key = "a\x00b" }},
		{"no version", false, false, func(e *wirepb.Entry) { e.Version = nil }},
		{"an exabyte", false, false, func(e *wirepb.Entry) { e.Size = 1 << 60 }},
		{"metadata too long", false, false, func(e *wirepb.Entry) { e.SealedMetadata = make([]byte, index.MaxMetadata+1) }},
		{"too many pages", false, false, func(e *wirepb.Entry) { e.Pages, e.Upload = index.MaxPages+1, make([]byte, 16) }},
		{"pages", false, true, func(e *wirepb.Entry) { e.Pages, e.Upload = 2, make([]byte, 16) }},
		{"pages of no upload", false, false, func(e *wirepb.Entry) { e.Pages = 2 }},
		{"short upload", false, false, func(e *wirepb.Entry) { e.Upload = make([]byte, 15) }},
		{"absent", false, true, func(e *wirepb.Entry) { e.Condition = index.Absent }},
		{"equal", false, true, func(e *wirepb.Entry) { e.Condition, e.ExpectedVersion = index.Equal, make([]byte, 16) }},
		{"equal to nothing", false, false, func(e *wirepb.Entry) { e.Condition = index.Equal }},
		{"expected without condition", false, false, func(e *wirepb.Entry) { e.ExpectedVersion = make([]byte, 16) }},
		{"an unknown condition", false, false, func(e *wirepb.Entry) { e.Condition = 3 }},
		{"inline", false, true, inline(mesh.InlineMax)},
		{"inline of nothing", false, true, inline(0)},
		{"inline too long", false, false, inline(mesh.InlineMax + 1)},
		{"inline of another size", false, false, func(e *wirepb.Entry) { inline(10)(e); e.Size = 11 }},
		{"inline with extents", false, false, func(e *wirepb.Entry) { x := e.Extents; inline(10)(e); e.Extents = x }},
		{"inline with pages", false, false, func(e *wirepb.Entry) { inline(10)(e); e.Pages, e.Upload = 1, make([]byte, 16) }},
		{"frames and inline", false, false, func(e *wirepb.Entry) { e.Inline = []byte{1} }},
		{"frames too long", false, false, func(e *wirepb.Entry) { e.FrameBytes = mesh.FrameBytes + 1 }},
		{"frames of nothing", false, false, func(e *wirepb.Entry) { e.Size = 0 }},
		{"no extents", false, false, func(e *wirepb.Entry) { e.Extents = nil }},
		{"an empty extent", false, false, func(e *wirepb.Entry) { e.Extents[0].Length = 0 }},
		{"a far extent", false, false, func(e *wirepb.Entry) { e.Extents[0].Offset = 1<<64 - 500 }},
		{"an extent in no segment", false, false, func(e *wirepb.Entry) { e.Extents[0].Segment = nil }},
		{"a bad segment", false, false, func(e *wirepb.Entry) { e.Segments[0].DataPieces = 3 }},
		{"too many extents", false, false, func(e *wirepb.Entry) {
			for range index.MaxExtents {
				e.Extents = append(e.Extents, e.Extents[0])
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := entry()
			c.f(e)
			if err := index.CheckEntry(e, c.public); (err == nil) != c.ok || !c.ok && mesh.KindOf(err) != mesh.Invalid {
				t.Errorf("got %v, want ok=%v", err, c.ok)
			}
		})
	}
}

func TestContentRoot(t *testing.T) {
	total := func(e *wirepb.Entry, stored uint64) error {
		root := index.NewContentRoot(e.Size, e.FrameBytes, e.Inline)
		for _, x := range e.Extents { // one by one, as pages bring them
			root.Add(x)
		}
		return index.CheckTotal(e, false, stored, root)
	}
	if err := total(entry(), 1000); err != nil {
		t.Fatal(err)
	}
	for _, stored := range []uint64{0, 999, 1001} {
		if err := total(entry(), stored); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%d stored bytes: %v", stored, err)
		}
	}
	for name, f := range map[string]func(e *wirepb.Entry){
		"segment": func(e *wirepb.Entry) { e.Extents[0].Segment[0] ^= 1 },
		"offset":  func(e *wirepb.Entry) { e.Extents[0].Offset++ },
		"length":  func(e *wirepb.Entry) { e.Extents[0].Length++ },
		"root":    func(e *wirepb.Entry) { e.ContentRoot = nil },
		"another": func(e *wirepb.Entry) { e.Extents = append(e.Extents, e.Extents[0]) },
	} {
		e := entry()
		f(e)
		if err := total(e, 1000); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestCheckPageAndBucket(t *testing.T) {
	good := &wirepb.Page{Upload: make([]byte, 16), Bucket: "photos", Key: "a", Extents: entry().Extents, Segments: entry().Segments}
	if err := index.CheckPage(good); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(p *wirepb.Page){
		"upload": func(p *wirepb.Page) { p.Upload = nil }, "number": func(p *wirepb.Page) { p.Number = index.MaxPages },
		"extents": func(p *wirepb.Page) { p.Extents = nil }, "name": func(p *wirepb.Page) { p.Key = "" },
		"segment": func(p *wirepb.Page) { p.Segments[0].Length = 0 },
	} {
		p := proto.Clone(good).(*wirepb.Page)
		f(p)
		if err := index.CheckPage(p); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for action, ok := range map[uint32]bool{0: false, index.CreateBucket: true, index.DeleteBucket: true, index.ChangeBucket: true, 4: false} {
		if err := index.CheckBucket(&wirepb.Bucket{Name: "photos", Action: action}); (err == nil) != ok {
			t.Errorf("action %d: %v", action, err)
		}
	}
}

// Whatever arrives is judged without a panic, and what passes has bounded parts.
func FuzzCheckEntry(f *testing.F) {
	f.Add(wire.Encode(entry()), false)
	e := entry()
	inline(100)(e)
	f.Add(wire.Encode(e), true)
	f.Fuzz(func(t *testing.T, b []byte, public bool) {
		e := new(wirepb.Entry)
		if wire.Decode(b, 1<<20, e) != nil || index.CheckEntry(e, public) != nil {
			return
		}
		root, stored := index.NewContentRoot(e.Size, e.FrameBytes, e.Inline), uint64(0)
		root.Add(e.Extents...)
		for _, x := range e.Extents {
			if x.Offset+x.Length < x.Offset || x.Length > mesh.MaxSlice {
				t.Fatalf("an extent of %d at %d passed", x.Length, x.Offset)
			}
			stored += x.Length
		}
		for _, s := range e.Segments {
			index.SegmentIDOf(s)
		}
		if err := index.CheckTotal(e, public, stored, root); err != nil && mesh.KindOf(err) != mesh.Invalid {
			t.Fatal(err)
		}
	})
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Stored and PieceBytes against a count frame by frame.
func TestCuttingAgainstCounting(t *testing.T) {
	r := seeded(t)
	for range 500 {
		size, frame, overhead, k := 1+r.Uint64N(5000), 1+r.Uint64N(300), r.Uint64N(20), 1+r.IntN(12)
		frames, stored := uint64(0), uint64(0)
		for left := size; left > 0; frames++ {
			n := min(left, frame)
			stored += n + overhead
			left -= n
		}
		if got := index.Stored(size, frame, overhead); got != stored {
			t.Fatalf("size %d, frame %d, overhead %d: %d stored, counted %d", size, frame, overhead, got, stored)
		}
		piece := uint64(0)
		for piece*uint64(k) < frames*(frame+overhead) {
			piece += frame + overhead
		}
		if got := index.PieceBytes(stored, frame+overhead, k); got != piece {
			t.Fatalf("stored %d, frame %d, k %d: piece %d, counted %d", stored, frame+overhead, k, got, piece)
		}
	}
}
