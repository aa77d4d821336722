package state

import (
	"fmt"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (s *step) changeBucket(m *wirepb.Bucket, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckBucket(m); err != nil {
		return err
	}
	session, err := s.allow(by, grant.Buckets, m.Name, "")
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	k, owned := key(bucketKey, []byte(m.Name)), key(ownedKey, session.Account, []byte(m.Name))
	b := new(statepb.Bucket)
	exists := s.get(k, b)
	if m.Action != index.CreateBucket {
		switch {
		case !exists:
			return noBucket(m.Name)
		case string(b.Owner) != string(session.Account):
			return mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", m.Name)
		}
	}
	switch m.Action {
	case index.DeleteBucket:
		switch {
		case b.Objects > 0:
			return mesh.WithHint(mesh.Errorf(mesh.Conflict, "bucket %q still holds %s", m.Name, objects(b.Objects)), "remove them first: stratos rm --recursive %s%s/", mesh.Scheme, m.Name)
		case b.Versions > 0:
			return mesh.WithHint(mesh.Errorf(mesh.Conflict, "bucket %q still holds older versions and markers, %d in all", m.Name, b.Versions), "remove them first: stratos rm --recursive --versions %s%s/", mesh.Scheme, m.Name)
		}
		for _, c := range b.Sections {
			s.delete(sectionKeyOf(m.Name, c.Kind))
		}
		s.delete(k)
		s.delete(owned)
		return s.serve(m.Name, b, "")
	case index.ChangeBucket:
		return s.configureBucket(b, m, session, msg)
	}
	if exists {
		if string(b.Owner) == string(session.Account) {
			return mesh.Errorf(mesh.Conflict, "bucket %q exists already and is yours", m.Name)
		}
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "bucket %q exists already and belongs to another account", m.Name), "choose another name")
	}
	s.putBytes(owned, nil)
	return s.configureBucket(&statepb.Bucket{Owner: session.Account, Public: m.Public, CreatedMs: s.tip.TimeMs, CreatedHeight: s.tip.Height}, m, session, msg)
}

func objects(n uint64) string {
	if n == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", n)
}

// configureBucket writes a bucket with what a message says of its versioning, locking, sections and serving.
func (s *step) configureBucket(b *statepb.Bucket, m *wirepb.Bucket, session *statepb.Session, msg *wirepb.Signed) error {
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	if err := configure(b, m); err != nil {
		return err
	}
	if m.Serving != "" && !(m.UnlessServed && s.isServed(b)) {
		if err := s.serve(m.Name, b, m.Serving); err != nil {
			return err
		}
	}
	for _, c := range m.Sections {
		if k := sectionKeyOf(m.Name, c.Kind); len(c.Body) > 0 {
			s.putBytes(k, c.Body)
		} else {
			s.delete(k)
		}
	}
	s.put(key(bucketKey, []byte(m.Name)), b)
	return nil
}

func sectionKeyOf(bucket string, kind uint32) []byte {
	return key(sectionKey, []byte(bucket), []byte{0}, be32(kind))
}

func noBucket(name string) error {
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no bucket %q", name), "create it: stratos mb %s%s", mesh.Scheme, name)
}

// writable returns a bucket and the session if the session may do op on bucket/name and belongs to the bucket's owner.
func (s *step) writable(by mesh.PublicKey, op grant.Operations, bucket, name string) (*statepb.Bucket, *statepb.Session, error) {
	session, err := s.allow(by, op, bucket, name)
	if err != nil {
		return nil, nil, err
	}
	b := new(statepb.Bucket)
	if !s.get(key(bucketKey, []byte(bucket)), b) {
		return nil, nil, noBucket(bucket)
	}
	if string(b.Owner) != string(session.Account) {
		return nil, nil, mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", bucket)
	}
	return b, session, nil
}

// putPage stores part of a large object's extents under its upload, and the segments that it brings.
func (s *step) putPage(m *wirepb.Page, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckPage(m); err != nil {
		return err
	}
	_, session, err := s.writable(by, grant.Write, m.Bucket, m.Key)
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	uk := key(uploadKey, m.Upload)
	u := new(statepb.Upload)
	if !s.get(uk, u) {
		u = &statepb.Upload{Session: by[:], Bucket: m.Bucket, Key: m.Key, DeadlineMs: s.tip.TimeMs + UploadMs}
		s.putBytes(key(uploadTime, msKey(u.DeadlineMs), m.Upload), nil)
	}
	if mesh.PublicKey(u.Session) != by || u.Begun != nil || u.Bucket != m.Bucket || u.Key != m.Key {
		return mesh.Errorf(mesh.Conflict, "the upload belongs to another session or object")
	}
	if m.Number != u.Pages {
		return mesh.Errorf(mesh.Conflict, "page %d of an upload that has %d; they come in order", m.Number, u.Pages)
	}
	if s.has(key(pageKey, m.Upload, be32(m.Number))) {
		return mesh.Errorf(mesh.Conflict, "the upload is committed already: its pages belong to an object")
	}
	if err := s.addParts(session, m.Segments, m.Extents); err != nil {
		return err
	}
	u.Pages++
	s.put(uk, u)
	s.put(key(pageKey, m.Upload, be32(m.Number)), &statepb.Page{Page: msg})
	return nil
}

// putEntries commits the versions of objects that come in one transaction.
func (s *step) putEntries(first *wirepb.Entry, by mesh.PublicKey, tx *wirepb.Tx) error {
	if err := s.putEntry(first, by, tx.Message); err != nil {
		return err
	}
	for _, msg := range tx.More {
		s.position++
		m := new(wirepb.Entry)
		if err := wire.Decode(msg.Body, signed.MaxBody, m); err != nil {
			return err
		}
		if err := s.putEntry(m, by, msg); err != nil {
			return err
		}
	}
	return nil
}

// putEntry commits a version of an object.
func (s *step) putEntry(m *wirepb.Entry, by mesh.PublicKey, msg *wirepb.Signed) error {
	b, session, err := s.writable(by, grant.Write, m.Bucket, m.Key)
	if err != nil {
		return err
	}
	if err := index.CheckEntry(m, b.Public); err != nil {
		return err
	}
	if err := s.fresh(m.ModifiedMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	cur, err := objectAt(s, objectKeyOf(m.Bucket, m.Key))
	if err != nil {
		return err
	}
	if err := condition(m, cur); err != nil {
		return err
	}
	if m.Lock != nil && !b.Locking {
		return mesh.Errorf(mesh.Conflict, "bucket %q has no locking", m.Bucket)
	}
	if s.has(versionKeyOf(m.Bucket, m.Key, m.Version)) || cur != nil && string(cur.version()) == string(m.Version) || s.has(leavingKeyOf(m.Bucket, m.Key, m.Version)) {
		return mesh.Errorf(mesh.Conflict, "%s%s/%s has a version of this id already", mesh.Scheme, m.Bucket, m.Key)
	}
	if len(m.Parts) > 0 {
		err = s.complete(m, b)
	} else {
		err = s.takeContent(m, b, session, by)
	}
	if err != nil {
		return err
	}
	null, err := s.displace(b, m.Bucket, m.Key, cur)
	if err != nil {
		return err
	}
	s.setCurrent(b, m.Bucket, m.Key, &dated{&statepb.Object{Entry: msg, Account: session.Account, Height: s.tip.Height, Position: s.position, Null: null, Lock: m.Lock}, m, nil})
	s.put(key(bucketKey, []byte(m.Bucket)), b)
	return nil
}

// takeContent checks the content of an entry, with that of its pages, and counts the references of its own extents.
func (s *step) takeContent(m *wirepb.Entry, b *statepb.Bucket, session *statepb.Session, by mesh.PublicKey) error {
	root := index.NewContentRoot(m.Size, m.FrameBytes, m.Inline)
	var stored uint64
	for n := range m.Pages {
		p, err := s.page(m.Upload, n)
		if err != nil {
			return err
		}
		if p == nil || p.Bucket != m.Bucket || p.Key != m.Key {
			return mesh.Errorf(mesh.NotFound, "page %d of the upload is not there, or its time has passed", n)
		}
		root.Add(p.Extents...)
		stored += sum(p.Extents)
	}
	if m.Pages > 0 {
		u := new(statepb.Upload)
		if !s.get(key(uploadKey, m.Upload), u) || u.Begun != nil || mesh.PublicKey(u.Session) != by || u.Pages != m.Pages {
			return mesh.Errorf(mesh.Conflict, "the upload is committed already, or has other pages than the entry says")
		}
		s.delete(key(uploadKey, m.Upload))
		s.delete(key(uploadTime, msKey(u.DeadlineMs), m.Upload))
	}
	root.Add(m.Extents...)
	stored += sum(m.Extents)
	if err := index.CheckTotal(m, b.Public, stored, root); err != nil {
		return err
	}
	return s.addParts(session, m.Segments, m.Extents)
}

// condition tells whether an entry may take the place of the current version.
func condition(m *wirepb.Entry, cur *dated) error {
	switch {
	case m.Condition == index.Absent && cur != nil:
		return mesh.Errorf(mesh.Conflict, "%s%s/%s exists already", mesh.Scheme, m.Bucket, m.Key)
	case m.Condition == index.Equal && (cur == nil || string(cur.version()) != string(m.ExpectedVersion)):
		return mesh.Errorf(mesh.Conflict, "%s%s/%s has changed meanwhile", mesh.Scheme, m.Bucket, m.Key)
	}
	return nil
}

func sum(extents []*wirepb.Extent) (n uint64) {
	for _, x := range extents {
		n += x.Length
	}
	return n
}

// addParts stores the segments that are new and counts the references of the extents.
func (s *step) addParts(session *statepb.Session, segments []*wirepb.Segment, extents []*wirepb.Extent) error {
	domains := 0
	brought := make(map[string]bool, len(segments)) // whether an extent refers to it
	shared := map[string]bool{}
	for _, g := range segments {
		id := index.SegmentIDOf(g)
		brought[string(id[:])] = false
		r := new(statepb.Segment)
		exists := s.get(key(segmentKey, id[:]), r)
		if exists && string(r.Account) == string(session.Account) {
			continue // small objects of one packed segment each bring it
		}
		if domains == 0 {
			domains = s.domains()
		}
		if err := s.checkHolders(g, session, domains); err != nil {
			return err
		}
		if exists {
			// The same public bytes: whoever shows that nodes took them from him may refer to the segment that is there.
			shared[string(id[:])] = true
			continue
		}
		s.addSegment(id, g, session)
	}
	for _, x := range extents {
		k := key(segmentKey, x.Segment)
		r := new(statepb.Segment)
		if !s.get(k, r) {
			return mesh.Errorf(mesh.NotFound, "the segment %x is not in the index", x.Segment)
		}
		if string(r.Account) != string(session.Account) && !shared[string(x.Segment)] {
			return mesh.Errorf(mesh.Denied, "the segment %x belongs to another account", x.Segment)
		}
		if x.Offset+x.Length > r.Segment.Length {
			return mesh.Errorf(mesh.Invalid, "an extent ends at %d of a segment of %d bytes", x.Offset+x.Length, r.Segment.Length)
		}
		r.References++
		s.put(k, r)
		if _, ok := brought[string(x.Segment)]; ok {
			brought[string(x.Segment)] = true
		}
	}
	for _, referred := range brought {
		if !referred {
			return mesh.Errorf(mesh.Invalid, "a segment that no extent of its message refers to")
		}
	}
	return nil
}

// checkHolders checks a segment against the registry: its code, its nodes and what they acknowledged to the session.
func (s *step) checkHolders(g *wirepb.Segment, session *statepb.Session, domains int) error {
	want, err := index.GeometryFor(domains)
	if err != nil {
		return err
	}
	// A node may have come or gone since the ticket was signed; only a weaker code than today's by more than one piece is refused.
	if len(g.Pieces) < want.Pieces-1 {
		return mesh.Errorf(mesh.Conflict, "a segment of %d pieces where the network makes %d", len(g.Pieces), want.Pieces)
	}
	seen := make(map[string]mesh.NodeID, len(g.Pieces))
	keys := make(map[mesh.NodeID]mesh.PublicKey, len(g.Pieces))
	for _, p := range g.Pieces {
		n := new(statepb.Node)
		node := mesh.NodeID(p.Node)
		if !s.get(key(nodeKey, p.Node), n) || !n.Active || n.Kinds&placement.Storage == 0 {
			return mesh.Errorf(mesh.NotFound, "node %s is no active storage node", node)
		}
		if other, ok := seen[n.Domain]; ok {
			return mesh.Errorf(mesh.Invalid, "nodes %s and %s are in one failure domain", other, node)
		}
		seen[n.Domain] = node
		keys[node] = mesh.PublicKey(n.NodeKey)
	}
	return index.CheckAcks(s.domain, g, mesh.PublicKey(session.Holder), func(n mesh.NodeID) (mesh.PublicKey, error) { return keys[n], nil })
}

// addSegment stores a new segment that checkHolders passed.
func (s *step) addSegment(id mesh.SegmentID, g *wirepb.Segment, session *statepb.Session) {
	s.putSegment(id, &statepb.Segment{Segment: g, Account: session.Account, Session: session.Holder})
	s.tip.Segments++
	for _, p := range g.Pieces {
		s.putBytes(key(keepKey, p.Node, p.Slice, id[:]), nil)
	}
}

// putSegment stores a segment and whether it lacks pieces.
func (s *step) putSegment(id mesh.SegmentID, r *statepb.Segment) {
	s.put(key(segmentKey, id[:]), r)
	rk := key(reducedKey, id[:])
	was, is := s.has(rk), lacksPieces(r.Segment)
	switch {
	case is && !was:
		s.putBytes(rk, nil)
		s.tip.Reduced++
	case !is && was:
		s.delete(rk)
		s.tip.Reduced--
	}
}

func lacksPieces(g *wirepb.Segment) bool {
	for _, p := range g.Pieces {
		if len(p.Ack) == 0 {
			return true
		}
	}
	return false
}

// repairSegment puts acknowledged pieces in the place of missing or lost ones. It is signed by an authority, or by the
// session that wrote the segment and goes on with what its upload left.
func (s *step) repairSegment(m *wirepb.Repair, by mesh.PublicKey) error {
	id, err := mesh.FromBytes[mesh.SegmentID](m.Segment)
	if err != nil {
		return err
	}
	r := new(statepb.Segment)
	if !s.get(key(segmentKey, id[:]), r) {
		return mesh.Errorf(mesh.NotFound, "no segment %s", id)
	}
	taker := by // to whom nodes gave their acknowledgements
	if mesh.PublicKey(r.Session) == by {
		if _, err := s.session(by); err != nil {
			return err
		}
	} else {
		authority, ok := s.authorityByKey(by)
		if !ok {
			return mesh.Errorf(mesh.Denied, "a repair is signed by an authority or by the segment's writer")
		}
		a := new(statepb.Authority)
		s.get(key(authorityKey, authority[:]), a)
		taker = mesh.PublicKey(a.TlsKey)
	}
	if len(m.Pieces) == 0 || len(m.Pieces) > index.MaxPieces {
		return mesh.Errorf(mesh.Invalid, "a repair of %d pieces", len(m.Pieces))
	}
	for _, rp := range m.Pieces {
		if rp.Piece == nil || int(rp.Index) >= len(r.Segment.Pieces) {
			return mesh.Errorf(mesh.Invalid, "a repair of piece %d of %d", rp.Index, len(r.Segment.Pieces))
		}
		old := r.Segment.Pieces[rp.Index]
		if string(old.Slice) != string(rp.Piece.Slice) || len(rp.Piece.Node) != len(mesh.NodeID{}) || len(rp.Piece.Ack) == 0 {
			return mesh.Errorf(mesh.Invalid, "a repair brings another slice than piece %d, no node or no acknowledgement", rp.Index)
		}
		s.delete(key(keepKey, old.Node, old.Slice, id[:]))
		r.Segment.Pieces[rp.Index] = rp.Piece
		only := &wirepb.Segment{PieceBytes: r.Segment.PieceBytes, Pieces: []*wirepb.Piece{rp.Piece}}
		if err := index.CheckAcks(s.domain, only, taker, s.nodeKey); err != nil {
			return err
		}
	}
	if err := s.distinctDomains(r.Segment); err != nil {
		return err
	}
	for _, rp := range m.Pieces { // after all deletions: replicas share a slice, and two may change places
		p := r.Segment.Pieces[rp.Index]
		s.putBytes(key(keepKey, p.Node, p.Slice, id[:]), nil)
	}
	s.putSegment(id, r)
	return nil
}

func (s *step) distinctDomains(g *wirepb.Segment) error {
	seen := make(map[string]bool, len(g.Pieces))
	for _, p := range g.Pieces {
		n := new(statepb.Node)
		if !s.get(key(nodeKey, p.Node), n) {
			continue // gone from the registry: its piece counts for nothing
		}
		if seen[n.Domain] {
			return mesh.Errorf(mesh.Invalid, "two pieces of a segment in the failure domain %q", n.Domain)
		}
		seen[n.Domain] = true
	}
	return nil
}

// releasePage drops a page and the references of its extents.
func (s *step) releasePage(upload []byte, n uint32) error {
	p, err := s.page(upload, n)
	if err != nil || p == nil {
		return err
	}
	s.release(p.Extents)
	s.delete(key(pageKey, upload, be32(n)))
	return nil
}

func (s *step) release(extents []*wirepb.Extent) {
	for _, x := range extents {
		k := key(segmentKey, x.Segment)
		r := new(statepb.Segment)
		if !s.get(k, r) {
			continue
		}
		if r.References--; r.References > 0 {
			s.put(k, r)
			continue
		}
		s.delete(k)
		s.tip.Segments--
		if rk := key(reducedKey, x.Segment); s.has(rk) {
			s.delete(rk)
			s.tip.Reduced--
		}
		for _, p := range r.Segment.Pieces {
			s.delete(key(keepKey, p.Node, p.Slice, x.Segment))
		}
	}
}

// page returns a stored page, nil when there is none.
func (s *step) page(upload []byte, n uint32) (*wirepb.Page, error) {
	r := new(statepb.Page)
	if !s.get(key(pageKey, upload, be32(n)), r) {
		return nil, nil
	}
	p := new(wirepb.Page)
	return p, wire.Decode(r.Page.Body, MaxTx, p)
}
