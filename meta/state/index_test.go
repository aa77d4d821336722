package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// newShop is a world with one account that has a bucket and a session.
func newShop(t testing.TB, nodes int) (*world, person, user) {
	w := newWorld(t, 4, nodes)
	ann := w.person("ann", 100*oz)
	u := w.session(ann, "ann")
	w.ok(u.bucket("photos", index.CreateBucket, false))
	return w, ann, u
}

// object returns what the index holds of an object, nil when nothing.
func (w *world) object(asker mesh.PublicKey, bucket, name string) *wirepb.ObjectAnswer {
	w.t.Helper()
	a := new(wirepb.ObjectAnswer)
	if err := w.ask(asker, &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: bucket, Key: name}}}, a); err != nil {
		w.t.Fatal(err)
	}
	if a.Entry == nil {
		return nil
	}
	return a
}

func (w *world) version(asker mesh.PublicKey, bucket, name string) []byte {
	w.t.Helper()
	a, e := w.object(asker, bucket, name), new(wirepb.Entry)
	if a == nil {
		return nil
	}
	if err := wire.Decode(a.Entry.Body, MaxTx, e); err != nil {
		w.t.Fatal(err)
	}
	return e.Version
}

func TestBuckets(t *testing.T) {
	w, ann, u := newShop(t, 3)
	b := w.session(w.person("bob", oz), "bob")
	w.refused(mesh.Conflict, u.bucket("photos", index.CreateBucket, false))
	w.refused(mesh.Conflict, b.bucket("photos", index.CreateBucket, false))
	w.refused(mesh.Denied, b.bucket("photos", index.DeleteBucket, false))
	w.refused(mesh.NotFound, u.bucket("nothing", index.DeleteBucket, false))
	w.refused(mesh.Invalid, u.bucket("Photos", index.CreateBucket, false))
	w.refused(mesh.Invalid, u.bucket("music", 4, false))
	w.refused(mesh.NotFound, u.bucket("music", index.ChangeBucket, false))
	reader := w.chain(ann, "reader", func(l *wirepb.Link) { l.Operations = uint32(grant.All &^ grant.Buckets) })
	w.ok(reader.open())
	w.refused(mesh.Denied, reader.bucket("music", index.CreateBucket, false))
	w.refused(mesh.Exhausted, w.sessionOfThePoor().bucket("music", index.CreateBucket, false))

	w.ok(u.put(u.inline("photos", "a", "hello")))
	w.refused(mesh.Conflict, u.bucket("photos", index.DeleteBucket, false))
	w.ok(u.delete("photos", "a"))
	w.ok(u.bucket("photos", index.DeleteBucket, false))
	w.check()
	w.ok(b.bucket("photos", index.CreateBucket, true))
	w.refused(mesh.Denied, u.put(u.inline("photos", "a", "hello")))

	names := new(wirepb.BucketsAnswer)
	if err := w.ask(b.pub(), &wirepb.Question{Question: &wirepb.Question_Buckets{Buckets: true}}, names); err != nil || len(names.Buckets) != 1 || names.Buckets[0].Name != "photos" || !names.Buckets[0].Public {
		t.Errorf("bob's buckets: %v, %v", names, err)
	}
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Buckets{Buckets: true}}, names); err != nil || len(names.Buckets) != 0 {
		t.Errorf("ann's buckets: %v, %v", names, err)
	}
	w.check()
}

// sessionOfThePoor has enough to register and not much more.
func (w *world) sessionOfThePoor() user {
	u := w.chain(newPerson(w.t, "poor"), "poor", nil)
	body := len(wire.Encode(&wirepb.Session{Chain: u.chain}))
	w.person("poor", feeOf(body)+10)
	w.ok(u.open())
	return u
}

// A log write costs what it says, and a refused one nothing.
func TestFees(t *testing.T) {
	w, ann, u := newShop(t, 3)
	before := w.balance(ann).Debited
	e := u.inline("photos", "a", "hello")
	w.ok(u.put(e))
	want := before + feeOf(len(wire.Encode(e)))
	if got := w.balance(ann).Debited; got != want {
		t.Errorf("debited %d, want %d", got, want)
	}
	again := u.inline("photos", "a", "hello")
	again.Condition = index.Absent
	w.refused(mesh.Conflict, u.put(again))
	if got := w.balance(ann).Debited; got != want {
		t.Errorf("a refused write cost %d", got-want)
	}
	w.refused(mesh.Exhausted, w.sessionOfThePoor().bucket("poorbucket", 1, false))
	w.check()
}

func TestConditions(t *testing.T) {
	w, _, u := newShop(t, 3)
	entry := func(condition uint32, expected []byte) *wirepb.Entry {
		e := u.inline("photos", "a", "hello")
		e.Condition, e.ExpectedVersion = condition, expected
		return e
	}
	w.refused(mesh.Conflict, u.put(entry(index.Equal, make([]byte, 16))))
	w.ok(u.put(entry(index.Absent, nil)))
	w.refused(mesh.Conflict, u.put(entry(index.Absent, nil)))
	first := w.version(u.pub(), "photos", "a")
	w.ok(u.put(entry(index.Equal, first)))
	second := w.version(u.pub(), "photos", "a")
	w.refused(mesh.Conflict, u.put(entry(index.Equal, first)))
	if string(w.version(u.pub(), "photos", "a")) != string(second) {
		t.Error("a refused write changed the object")
	}
	// Two writers in one block: the log's order decides.
	a, b := entry(index.Equal, second), entry(index.Equal, second)
	b.Version = bytesOf("another", 16)
	rs := w.block(u.put(a), u.put(b))
	if rs[0].Kind != 0 || rs[1].Kind != uint32(mesh.Conflict)+1 {
		t.Errorf("got %v", rs)
	}
	stale := tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: "photos", Key: "a", Version: first, AtMs: w.now})
	w.refused(mesh.Conflict, stale)
	w.ok(tx(wirepb.TxKind_TX_DELETION, u.key, &wirepb.Deletion{Bucket: "photos", Key: "a", Version: a.Version, AtMs: w.now}))
	w.refused(mesh.NotFound, u.delete("photos", "a"))
	w.ok(u.put(entry(index.Absent, nil)))
	w.check()
}

// An old message never comes again: within the window it is remembered, after it it is too old.
func TestReplay(t *testing.T) {
	w, _, u := newShop(t, 3)
	put, del := u.put(u.inline("photos", "a", "hello")), u.delete("photos", "a")
	w.ok(put)
	w.refused(mesh.Conflict, put)
	w.ok(del)
	w.refused(mesh.Conflict, put)
	w.refused(mesh.Conflict, del)
	for range 25 {
		w.pass(time.Minute)
		if r := w.block(put, del); r[0].Kind == 0 || r[1].Kind == 0 {
			t.Fatalf("applied again after %d s", (w.now-dawn)/1000)
		}
	}
	if n := w.count(seenKey); n != 0 {
		t.Errorf("%d messages are remembered for ever", n)
	}
	edge := func(d int64) []byte {
		e := u.inline("photos", "b", "x")
		e.ModifiedMs = w.now + 1000 + d
		return u.put(e)
	}
	w.refused(mesh.Invalid, edge(ReplayWindowMs+1))
	w.refused(mesh.Invalid, edge(-ReplayWindowMs-1))
	w.ok(edge(ReplayWindowMs))
	w.ok(edge(-ReplayWindowMs))
	w.check()
}

func TestWhoMayWrite(t *testing.T) {
	w, ann, u := newShop(t, 3)
	bob := w.person("bob", 10*oz)
	b := w.session(bob, "bob")
	w.refused(mesh.Denied, b.put(b.inline("photos", "a", "x")))
	w.refused(mesh.NotFound, u.put(u.inline("nothing", "a", "x")))
	w.refused(mesh.Denied, w.chain(ann, "unheard", nil).put(u.inline("photos", "a", "x")))
	in := w.chain(ann, "in", func(l *wirepb.Link) { l.Prefix, l.Operations = "photos/in/", uint32(grant.Write) })
	w.ok(in.open())
	w.ok(in.put(in.inline("photos", "in/a", "x")))
	w.refused(mesh.Denied, in.put(in.inline("photos", "out/a", "x")))
	w.refused(mesh.Denied, in.put(in.inline("photos", "in", "x")))
	w.refused(mesh.Denied, in.delete("photos", "in/a"))
	w.refused(mesh.Denied, b.delete("photos", "in/a"))
	w.ok(u.delete("photos", "in/a"))
	// A sealed object in a public bucket, and the other way round.
	w.ok(u.bucket("public", index.CreateBucket, true))
	w.refused(mesh.Invalid, u.put(u.inline("public", "a", "x")))
	open := u.inline("photos", "a", "x")
	open.WrappedKey = nil
	w.refused(mesh.Invalid, u.put(open))
	w.check()
}

func TestSegmentChecks(t *testing.T) {
	w, _, u := newShop(t, 8)
	if w.group().Domains != 8 {
		t.Fatalf("%d domains", w.group().Domains)
	}
	other := w.session(w.person("bob", 10*oz), "bob")
	w.ok(other.bucket("bobs", 1, false))
	twin := newMember("twin") // in one domain with node 0
	w.facts(nodeRecord(twin, w.nodes[0].name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	apart := newMember("apart") // of the same operator, declared to fail alone
	w.facts(nodeRecord(apart, w.nodes[0].name, "cellar", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	leaving := newMember("leaving")
	w.facts(nodeRecord(leaving, "leaving", "", wirepb.NodeStatus_NODE_STATUS_UNBONDING))
	cut := func(s *wirepb.Segment, n int) {
		g, err := index.GeometryFor(n)
		if err != nil {
			t.Fatal(err)
		}
		s.Pieces, s.DataPieces = s.Pieces[:n], uint32(g.DataPieces)
	}
	for i, c := range []struct {
		name string
		kind mesh.Kind
		ok   bool
		f    func(s *wirepb.Segment)
	}{
		{"all acknowledged", 0, true, func(s *wirepb.Segment) {}},
		{"as many as needed", 0, true, func(s *wirepb.Segment) { s.Pieces[0].Ack, s.Pieces[7].Ack = nil, nil }},
		{"one too few", mesh.Unavailable, false, func(s *wirepb.Segment) { s.Pieces[0].Ack, s.Pieces[6].Ack, s.Pieces[7].Ack = nil, nil, nil }},
		{"acknowledged by another node's key", mesh.Denied, false, func(s *wirepb.Segment) {
			wrong := u.piece(s.Pieces[0].Slice, w.nodes[1], s.PieceBytes)
			s.Pieces[0].Ack = wrong.Ack
		}},
		{"acknowledged to another session", mesh.Denied, false, func(s *wirepb.Segment) { s.Pieces[0] = other.piece(s.Pieces[0].Slice, w.nodes[0], s.PieceBytes) }},
		{"acknowledged over another length", mesh.Denied, false, func(s *wirepb.Segment) { s.Pieces[0] = u.piece(s.Pieces[0].Slice, w.nodes[0], s.PieceBytes+1) }},
		{"acknowledged in another network", mesh.Denied, false, func(s *wirepb.Segment) {
			sig := traffic.Ack{Slice: mesh.SliceID(s.Pieces[0].Slice), Length: s.PieceBytes, Session: u.pub()}.Sign(sign.Domain{}, w.nodes[0].key)
			s.Pieces[0].Ack = sig[:]
		}},
		{"unknown node", mesh.NotFound, false, func(s *wirepb.Segment) { s.Pieces[0] = u.piece(s.Pieces[0].Slice, newMember("nobody"), s.PieceBytes) }},
		{"a node that leaves", mesh.NotFound, false, func(s *wirepb.Segment) { s.Pieces[0] = u.piece(s.Pieces[0].Slice, leaving, s.PieceBytes) }},
		{"two pieces in one domain", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1] = u.piece(s.Pieces[1].Slice, twin, s.PieceBytes) }},
		{"one operator, another label", 0, true, func(s *wirepb.Segment) { s.Pieces[1] = u.piece(s.Pieces[1].Slice, apart, s.PieceBytes) }},
		{"two pieces on one node", mesh.Invalid, false, func(s *wirepb.Segment) { s.Pieces[1] = u.piece(s.Pieces[1].Slice, w.nodes[0], s.PieceBytes) }},
		{"replicas where the network codes", mesh.Conflict, false, func(s *wirepb.Segment) {
			s.Pieces, s.DataPieces, s.PieceBytes = s.Pieces[:3], 1, s.Length
			for i := range s.Pieces {
				s.Pieces[i] = u.piece(s.Pieces[0].Slice, w.nodes[i], s.PieceBytes)
			}
		}},
		{"two pieces fewer than the network has domains", mesh.Conflict, false, func(s *wirepb.Segment) { cut(s, 7) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := u.segment(fmt.Sprint("case ", i), 4000)
			c.f(s)
			e := u.put(u.object("photos", fmt.Sprint("case ", i), s))
			if c.ok {
				w.ok(e)
			} else {
				w.refused(c.kind, e)
			}
			w.check()
		})
	}
	// Nine domains by now (apart counts): one piece fewer than the network would make is still taken.
	if got := w.group().Domains; got != 9 {
		t.Errorf("%d domains, want 9", got)
	}
}

func TestExtents(t *testing.T) {
	w, _, u := newShop(t, 3)
	s := u.segment("a", 10_000)
	put := func(name string, segments []*wirepb.Segment, extents ...*wirepb.Extent) []byte {
		return u.put(u.entry("photos", name, segments, extents))
	}
	w.refused(mesh.NotFound, put("a", nil, extentOf(s, 0, 100))) // nobody brought it
	w.refused(mesh.Invalid, put("a", []*wirepb.Segment{s}, extentOf(s, 9000, 1001)))
	w.refused(mesh.Invalid, put("a", []*wirepb.Segment{s, u.segment("b", 500)}, extentOf(s, 0, 100))) // one that nothing refers to would stay for ever
	w.ok(put("a", []*wirepb.Segment{s}, extentOf(s, 9000, 1000)))
	b := w.session(w.person("bob", 10*oz), "bob")
	w.ok(b.bucket("bobs", 1, false))
	w.refused(mesh.Denied, b.put(b.entry("bobs", "a", nil, []*wirepb.Extent{extentOf(s, 0, 100)}))) // another account's bytes
	w.check()
}

// Small objects share a segment; it lives until the last of them goes.
func TestPackedSegments(t *testing.T) {
	w, _, u := newShop(t, 7)
	s := u.segment("packed", 3000)
	for i := range 3 {
		e := u.entry("photos", fmt.Sprint(i), []*wirepb.Segment{s}, []*wirepb.Extent{extentOf(s, uint64(i)*1000, 1000)})
		w.ok(u.put(e))
	}
	w.ok(u.put(u.entry("photos", "copy", nil, []*wirepb.Extent{extentOf(s, 0, 1000), extentOf(s, 2000, 1000)})))
	w.check()
	if g := w.group(); g.Segments != 1 || g.Objects != 4 {
		t.Fatalf("%d segments, %d objects", g.Segments, g.Objects)
	}
	if got := w.keeps(w.nodes[3]); len(got) != 1 || got[0] != string(s.Pieces[3].Slice) {
		t.Fatalf("node 3 keeps %x", got)
	}
	for _, name := range []string{"0", "1", "2"} {
		w.ok(u.delete("photos", name))
		w.check()
		if w.group().Segments != 1 {
			t.Fatalf("the segment is gone after %s", name)
		}
	}
	w.ok(u.put(u.inline("photos", "copy", "now small"))) // replaced, not deleted
	w.leave()
	if g := w.group(); g.Segments != 0 || len(w.keeps(w.nodes[3])) != 0 {
		t.Errorf("%d segments are left", g.Segments)
	}
}

// together makes one transaction of entries.
func (u user) together(entries ...*wirepb.Entry) []byte {
	m := new(wirepb.Tx)
	for _, e := range entries {
		m.More = append(m.More, signed.Seal(domain, u.key, sign.Entry, e))
	}
	m.Kind, m.Message, m.More = wirepb.TxKind_TX_ENTRY, m.More[0], m.More[1:]
	return wire.Encode(m)
}

// Objects of one pack are entered in one transaction: all of them, or none.
func TestEntriesTogether(t *testing.T) {
	w, ann, u := newShop(t, 7)
	s := u.segment("packed", 3000)
	pack := func(names ...string) (entries []*wirepb.Entry) {
		for i, name := range names {
			e := u.entry("photos", name, nil, []*wirepb.Extent{extentOf(s, uint64(i)*1000, 1000)})
			if i == 0 {
				e.Segments = []*wirepb.Segment{s}
			}
			entries = append(entries, e)
		}
		return entries
	}
	before := w.balance(ann).Debited

	// The last is refused: nothing of the others is seen or paid, and they may come again.
	entries := pack("a", "b", "c")
	entries[2].Condition, entries[2].ExpectedVersion = index.Equal, bytesOf("another", 16)
	w.refused(mesh.Conflict, u.together(entries...))
	if w.object(u.pub(), "photos", "a") != nil || w.group().Segments != 0 || w.balance(ann).Debited != before {
		t.Fatal("a refused transaction left something")
	}
	// The segment comes with the first, so the second alone refers to nothing.
	w.refused(mesh.NotFound, u.put(entries[1]))

	entries[2].Condition, entries[2].ExpectedVersion = index.Always, nil
	w.ok(u.together(entries...))
	w.check()
	if g := w.group(); g.Segments != 1 || g.Objects != 3 {
		t.Fatalf("%d segments, %d objects", g.Segments, g.Objects)
	}
	fee := uint64(0)
	for _, e := range entries {
		if got := w.version(u.pub(), "photos", e.Key); string(got) != string(e.Version) {
			t.Fatalf("%s has the version %x", e.Key, got)
		}
		fee += LogWriteNoz + LogByteNoz*uint64(len(wire.Encode(e)))
	}
	if paid := w.balance(ann).Debited - before; paid != fee {
		t.Fatalf("%d noz were paid, want %d: together costs what each alone costs", paid, fee)
	}
	w.refused(mesh.Conflict, u.together(entries...)) // a replay

	// Two for one name: in order.
	twice := pack("d", "d")
	w.ok(u.together(twice...))
	w.check()
	if g := w.group(); g.Objects != 4 {
		t.Fatalf("%d objects", g.Objects)
	}

	// Form.
	other := w.session(ann, "other")
	mixed := new(wirepb.Tx)
	if err := wire.Decode(u.together(pack("e")...), MaxTx, mixed); err != nil {
		t.Fatal(err)
	}
	foreign := signed.Seal(domain, other.key, sign.Entry, u.inline("photos", "f", "x"))
	mixed.More = []*wirepb.Signed{foreign}
	w.refused(mesh.Denied, wire.Encode(mixed))
	foreign.Body = append([]byte(nil), foreign.Body...)
	foreign.Body[len(foreign.Body)-1] ^= 1
	w.refused(mesh.Denied, wire.Encode(mixed))
	mixed.Kind, mixed.Message, mixed.More = wirepb.TxKind_TX_DELETION, signed.Seal(domain, u.key, sign.Deletion, &wirepb.Deletion{Bucket: "photos", Key: "a", AtMs: w.now}), mixed.More[:1]
	w.refused(mesh.Invalid, wire.Encode(mixed))
	var many []*wirepb.Entry
	for i := range maxMore + 2 {
		many = append(many, u.inline("photos", fmt.Sprint("many", i), "x"))
	}
	w.refused(mesh.Invalid, u.together(many...))
	w.ok(u.together(many[1:]...))
	w.check()
}

// The same bytes in a public bucket are the same segment for whoever uploads them.
func TestSameBytesOfTwoAccounts(t *testing.T) {
	w, _, u := newShop(t, 7)
	b := w.session(w.person("bob", 10*oz), "bob")
	for who, bucket := range map[*user]string{&u: "anns", &b: "bobs"} {
		w.ok(who.bucket(bucket, index.CreateBucket, true))
	}
	public := func(u user, bucket string, s *wirepb.Segment) *wirepb.Entry {
		e := &wirepb.Entry{Bucket: bucket, Key: "logo", Version: bytesOf("logo", 16), ModifiedMs: w.now, Size: s.Length, FrameBytes: mesh.FrameBytes,
			Segments: []*wirepb.Segment{s}, Extents: []*wirepb.Extent{extentOf(s, 0, s.Length)}}
		root := index.NewContentRoot(e.Size, e.FrameBytes, nil)
		root.Add(e.Extents...)
		e.ContentRoot = root.Sum()
		return e
	}
	w.ok(u.put(public(u, "anns", u.segment("logo", 8000))))
	w.refused(mesh.Denied, b.put(public(b, "bobs", u.segment("logo", 8000)))) // with ann's acknowledgements
	w.ok(b.put(public(b, "bobs", b.segment("logo", 8000))))
	w.check()
	w.ok(u.delete("anns", "logo"))
	if a := w.object(b.pub(), "bobs", "logo"); a == nil || len(a.Segments) != 1 {
		t.Error("bob's object went with ann's")
	}
	w.ok(b.delete("bobs", "logo"))
	w.leave()
	if w.group().Segments != 0 {
		t.Error("the segment stays")
	}
}

func (u user) page(upload string, number uint32, bucket, name string, segments ...*wirepb.Segment) *wirepb.Page {
	p := &wirepb.Page{Upload: bytesOf(upload, 16), Number: number, Bucket: bucket, Key: name, Segments: segments, AtMs: u.w.now}
	for _, s := range segments {
		p.Extents = append(p.Extents, extentOf(s, 0, s.Length))
	}
	return p
}

func (u user) putPage(p *wirepb.Page) []byte { return tx(wirepb.TxKind_TX_PAGE, u.key, p) }

func TestPages(t *testing.T) {
	w, ann, u := newShop(t, 3)
	other := w.session(ann, "ann's other")
	const stored = mesh.FrameBytes + index.TagBytes
	a, b, c := u.segment("a", stored), u.segment("b", stored), u.segment("c", 500)
	p0, p1 := u.page("up", 0, "photos", "big", a), u.page("up", 1, "photos", "big", b)
	w.refused(mesh.Conflict, u.putPage(p1)) // in order
	w.ok(u.putPage(p0))
	w.refused(mesh.Conflict, u.putPage(p0))
	w.refused(mesh.Conflict, u.putPage(u.page("up", 1, "photos", "another", b)))
	w.refused(mesh.Conflict, other.putPage(other.page("up", 1, "photos", "big", other.segment("x", 100))))
	entry := func(pages uint32, upload string, before ...*wirepb.Extent) *wirepb.Entry {
		e := u.entry("photos", "big", []*wirepb.Segment{c}, []*wirepb.Extent{extentOf(c, 0, 500)}, before...)
		e.Pages, e.Upload = pages, bytesOf(upload, 16)
		return e
	}
	w.refused(mesh.NotFound, u.put(entry(2, "up", p0.Extents[0], p1.Extents[0])))
	w.ok(u.putPage(u.page("up", 1, "photos", "big", b)))
	w.check()
	pages := new(wirepb.UploadAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Upload{Upload: bytesOf("up", 16)}}, pages); err != nil || len(pages.Pages) != 2 {
		t.Errorf("pages of the upload: %v, %v", pages, err)
	}
	w.refused(mesh.Conflict, u.put(entry(1, "up", p0.Extents[0]))) // it has two
	w.refused(mesh.Invalid, u.put(entry(2, "up", p1.Extents[0], p0.Extents[0])))
	w.refused(mesh.NotFound, u.put(entry(2, "other upload", p0.Extents[0], p1.Extents[0])))
	w.ok(u.put(entry(2, "up", p0.Extents[0], p1.Extents[0])))
	w.check()
	w.refused(mesh.Conflict, u.put(entry(2, "up", p0.Extents[0], p1.Extents[0]))) // committed once
	v := w.version(u.pub(), "photos", "big")
	for n := range uint32(3) {
		p := new(wirepb.PageAnswer)
		q := &wirepb.PageName{Bucket: "photos", Key: "big", Version: v, Number: n}
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Page{Page: q}}, p); err != nil || (p.Page != nil) != (n < 2) || n < 2 && len(p.Segments) != 1 {
			t.Errorf("page %d: %v, %v", n, p, err)
		}
	}
	w.pass(25 * time.Hour) // a committed upload has no deadline
	w.check()
	if g := w.group(); g.Segments != 3 {
		t.Errorf("%d segments", g.Segments)
	}
	w.ok(u.delete("photos", "big"))
	w.leave()
	if g := w.group(); g.Segments != 0 || w.count(pageKey) != 0 {
		t.Errorf("%d segments and %d pages are left", g.Segments, w.count(pageKey))
	}
}

// The pages of a committed object are nobody's to write, though everybody who may read it knows the upload's name.
func TestPagesOfACommittedObject(t *testing.T) {
	w, _, u := newShop(t, 3)
	b := w.session(w.person("bob", 10*oz), "bob")
	w.ok(b.bucket("bobs", 1, false))
	const stored = mesh.FrameBytes + index.TagBytes
	a, c := u.segment("a", stored), u.segment("c", 500)
	w.ok(u.putPage(u.page("up", 0, "photos", "big", a)))
	e := u.entry("photos", "big", []*wirepb.Segment{c}, []*wirepb.Extent{extentOf(c, 0, 500)}, extentOf(a, 0, stored))
	e.Pages, e.Upload = 1, bytesOf("up", 16)
	w.ok(u.put(e))
	w.refused(mesh.Conflict, b.putPage(b.page("up", 0, "bobs", "x", b.segment("b", 100))))
	w.refused(mesh.Conflict, u.putPage(u.page("up", 0, "photos", "big", u.segment("d", 100))))
	w.check()
	w.pass(25 * time.Hour)
	w.check()
	if n := w.count(pageKey); n != 1 {
		t.Errorf("%d pages", n)
	}
}

func TestUploadsEnd(t *testing.T) {
	w, _, u := newShop(t, 3)
	s := u.segment("a", 100)
	w.ok(u.putPage(u.page("up", 0, "photos", "big", s)))
	w.ok(u.putPage(u.page("up", 1, "photos", "big", s, u.segment("b", 100))))
	w.ok(u.put(u.entry("photos", "shares", nil, []*wirepb.Extent{extentOf(s, 0, 100)})))
	w.pass(UploadMs*time.Millisecond - 10*time.Second)
	if w.count(pageKey) != 2 {
		t.Error("the pages went early")
	}
	w.pass(time.Minute)
	w.check()
	if g := w.group(); w.count(pageKey) != 0 || w.count(uploadKey) != 0 || w.count(uploadTime) != 0 || g.Segments != 1 {
		t.Errorf("%d pages, %d segments are left", w.count(pageKey), g.Segments)
	}
	w.ok(u.putPage(u.page("up", 0, "photos", "big", u.segment("b", 100)))) // the name is free again
	w.check()
}
