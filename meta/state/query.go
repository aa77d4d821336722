package state

import (
	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of questions.
const (
	MaxQuestions   = 256
	MaxListing     = 1000
	MaxKeepList    = 4096
	maxListed      = 20_000 // keys that one listing walks over
	maxPartsAnswer = 4 << 20
	maxReducedList = 256
)

// A Reader answers questions about one committed height. It may be used by many goroutines, but each call of Answer and
// of the other methods takes a Reader of its own from Machine.Reader; Close gives its snapshot back.
type Reader struct {
	view
	snapshot *pebble.Snapshot
	tip      *statepb.Tip
	domain   sign.Domain
}

// Reader returns a view of the last committed height. It is called by whoever calls Commit, or while nobody does.
func (m *Machine) Reader() *Reader {
	s := m.db.NewSnapshot()
	return &Reader{view: view{db: s}, snapshot: s, tip: m.tip, domain: m.domain}
}

// Fork returns a reader of the same snapshot for another goroutine; only the first is closed. It remembers what it read, so
// that many questions about one bucket under one session look these up once.
func (r *Reader) Fork() *Reader {
	return &Reader{view: view{db: r.snapshot, read: map[string][]byte{}}, snapshot: r.snapshot, tip: r.tip, domain: r.domain}
}

// Close gives the snapshot back.
func (r *Reader) Close() error { return r.snapshot.Close() }

// Tip returns where the state stands.
func (r *Reader) Tip() *statepb.Tip { return r.tip }

// Fault returns what went wrong with the disk, if anything did; then no answer of this reader counts.
func (r *Reader) Fault() error { return r.fault }

// Session returns the session of a key if it is alive at nowMs and not revoked.
func (r *Reader) Session(k mesh.PublicKey, nowMs int64) (*statepb.Session, error) {
	s := new(statepb.Session)
	if !r.get(key(sessionKey, k[:]), s) {
		return nil, mesh.Errorf(mesh.Denied, "the session %s is not known here", k)
	}
	if err := rightsOf(s).Alive(nowMs); err != nil {
		return nil, err
	}
	return s, unrevoked(s, func(k []byte) bool { _, ok := r.bytes(k); return ok })
}

// Allow returns the bucket if the session of a key may do op there, on name or on what begins with it. Everybody may
// read and list a public bucket, and authorities may read all: they repair.
func (r *Reader) Allow(k mesh.PublicKey, op grant.Operations, bucket, name string, nowMs int64) (*statepb.Bucket, error) {
	b := new(statepb.Bucket)
	if err := mesh.CheckBucket(bucket); err != nil {
		return nil, err
	}
	exists := r.get(key(bucketKey, []byte(bucket)), b)
	if exists && b.Public && op&^(grant.Read|grant.List) == 0 {
		return b, nil
	}
	s, err := r.Session(k, nowMs)
	if err != nil {
		return nil, err
	}
	if err := rightsOf(s).Allow(op, bucket, name, nowMs); err != nil {
		return nil, err
	}
	if !exists {
		return nil, noBucket(bucket)
	}
	if string(b.Owner) != string(s.Account) {
		return nil, mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", bucket)
	}
	return b, nil
}

// Answer answers one question on behalf of the key that the asker's connection shows. "No such thing" is an empty
// answer, not an error, so that absence compares like everything else.
func (r *Reader) Answer(q *wirepb.Question, asker mesh.PublicKey, nowMs int64) ([]byte, error) {
	m, err := r.answer(q, asker, nowMs)
	if r.fault != nil {
		return nil, r.fault
	}
	if err != nil || m == nil {
		return nil, err
	}
	return wire.Encode(m), nil
}

// answered makes of a missing message none at all.
func answered[M any, P interface {
	*M
	proto.Message
}](m P, err error) (proto.Message, error) {
	if m == nil || err != nil {
		return nil, err
	}
	return m, nil
}

func (r *Reader) answer(q *wirepb.Question, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	switch q := q.Question.(type) {
	case *wirepb.Question_Bucket:
		return r.bucket(q.Bucket, asker, nowMs)
	case *wirepb.Question_Object:
		if _, err := r.Allow(asker, grant.Read, q.Object.GetBucket(), q.Object.GetKey(), nowMs); err != nil {
			return nil, err
		}
		return r.object(q.Object)
	case *wirepb.Question_Listing:
		if _, err := r.Allow(asker, grant.List, q.Listing.GetBucket(), q.Listing.GetPrefix(), nowMs); err != nil {
			return nil, err
		}
		return r.listing(q.Listing)
	case *wirepb.Question_Database:
		return answered(r.database(q.Database, asker, nowMs))
	case *wirepb.Question_Anchor:
		return answered(r.anchor(q.Anchor, asker, nowMs))
	case *wirepb.Question_Attestation:
		return answered(r.attestation(q.Attestation, asker, nowMs))
	case *wirepb.Question_Databases:
		return r.databases(q.Databases, asker, nowMs)
	case *wirepb.Question_Cell:
		return answered(r.cell(q.Cell), nil)
	case *wirepb.Question_Replicas:
		if len(q.Replicas) != len(mesh.NodeID{}) {
			return nil, mesh.Errorf(mesh.Invalid, "a node's id has %d bytes, want %d", len(q.Replicas), len(mesh.NodeID{}))
		}
		return r.cells(q.Replicas), nil
	case *wirepb.Question_Page:
		if _, err := r.Allow(asker, grant.Read, q.Page.GetBucket(), q.Page.GetKey(), nowMs); err != nil {
			return nil, err
		}
		return r.pageOf(q.Page)
	case *wirepb.Question_Account:
		a := new(statepb.Account)
		r.get(key(accountKey, q.Account), a)
		return &wirepb.AccountAnswer{Credited: a.Credited, Debited: a.Debited, Leased: a.Leased, Available: available(a)}, nil
	case *wirepb.Question_Spent:
		return r.spent(q.Spent)
	case *wirepb.Question_Lease:
		l := new(statepb.Lease)
		if !r.get(key(leaseKey, q.Lease), l) {
			return nil, nil
		}
		return &wirepb.LeaseAnswer{Account: l.Account, Session: l.Session, Amount: l.Amount, Claimed: l.Claimed, Authority: l.Authority, ExpiresMs: l.ExpiresMs, Closed: l.Closed}, nil
	case *wirepb.Question_Claim:
		if r.Lease(q.Claim.GetLease()) == nil {
			return nil, nil
		}
		c := new(statepb.Counter)
		r.get(key(claimKey, q.Claim.GetLease(), q.Claim.GetNode()), c)
		return &wirepb.ClaimAnswer{Total: c.Value, Lease: true}, nil
	case *wirepb.Question_Node:
		n := new(statepb.Node)
		if !r.get(key(nodeKey, q.Node), n) {
			return nil, nil
		}
		a := r.nodeAnswer(mesh.NodeID(q.Node), n)
		a.TaskEvidence = r.TaskEvidence(mesh.NodeID(q.Node))
		return a, nil
	case *wirepb.Question_Nodes:
		all := new(wirepb.NodesAnswer)
		r.eachNode(func(id mesh.NodeID, n *statepb.Node) { all.Nodes = append(all.Nodes, r.nodeAnswer(id, n)) })
		return all, nil
	case *wirepb.Question_Authorities:
		all := new(wirepb.AuthoritiesAnswer)
		for id, a := range r.Authorities() {
			all.Authorities = append(all.Authorities, &wirepb.AuthorityAnswer{Id: id[:], Operator: a.Operator, ReportKey: a.ReportKey, ConsensusKey: a.ConsensusKey, TlsKey: a.TlsKey, Address: a.Address})
		}
		return all, nil
	case *wirepb.Question_Segment:
		s, err := r.Segment(q.Segment)
		if s == nil || err != nil {
			return nil, err
		}
		return s.Segment, nil
	case *wirepb.Question_Epoch:
		return r.reportAnswer(mesh.Epoch(q.Epoch)), nil
	case *wirepb.Question_Buckets:
		return r.buckets(asker, nowMs)
	case *wirepb.Question_Upload:
		u := new(statepb.Upload)
		if !r.get(key(uploadKey, q.Upload), u) || mesh.PublicKey(u.Session) != asker {
			return nil, nil
		}
		a := new(wirepb.UploadAnswer)
		for n := range u.Pages {
			a.Pages = append(a.Pages, n)
		}
		return a, nil
	case *wirepb.Question_Parts:
		return r.parts(q.Parts, asker, nowMs)
	case *wirepb.Question_Uploads:
		if _, err := r.Allow(asker, grant.List, q.Uploads.GetBucket(), q.Uploads.GetPrefix(), nowMs); err != nil {
			return nil, err
		}
		return r.uploads(q.Uploads)
	case *wirepb.Question_Section:
		return r.section(q.Section, asker, nowMs)
	case *wirepb.Question_AccessKey:
		k := new(statepb.AccessKey)
		if !r.get(key(accessKey, []byte(q.AccessKey)), k) {
			return nil, nil
		}
		return &wirepb.AccessKeyAnswer{Key: k.Key, Account: k.Account}, nil
	case *wirepb.Question_Served:
		return r.served(q.Served, asker)
	case *wirepb.Question_KeepList:
		return r.keepList(q.KeepList)
	case *wirepb.Question_Group:
		t := r.tip
		return &wirepb.GroupAnswer{Epoch: t.Epoch, ValueHeight: t.ValueHeight, OutboxNext: t.OutboxNext, EpochBlocks: t.EpochBlocks, Domains: uint32(r.domains()),
			TimeMs: t.TimeMs, Objects: t.Objects, Segments: t.Segments, Reduced: t.Reduced}, nil
	case *wirepb.Question_ComputePrices:
		return computePricesOf(r.tip), nil
	case *wirepb.Question_Draw:
		return answered(r.drawn(q.Draw))
	case *wirepb.Question_Explain:
		return answered(r.explained(q.Explain))
	case *wirepb.Question_Job:
		return r.jobOf(q.Job, asker, nowMs)
	case *wirepb.Question_Jobs:
		return r.jobs(q.Jobs, asker, nowMs)
	case *wirepb.Question_Tasks:
		return r.tasks(q.Tasks, asker, nowMs)
	case *wirepb.Question_Work:
		return r.work(q.Work, asker)
	case *wirepb.Question_Reduced:
		a := new(wirepb.ReducedAnswer)
		for _, id := range r.Reduced() {
			a.Segments = append(a.Segments, id[:])
		}
		return a, nil
	}
	return nil, mesh.Errorf(mesh.Invalid, "a question of a kind that does not exist")
}

// Authorities yields the present authorities by ascending id.
func (r *Reader) Authorities() func(yield func(mesh.AuthorityID, *statepb.Authority) bool) {
	return func(yield func(mesh.AuthorityID, *statepb.Authority) bool) {
		r.scanPrefix(key(authorityKey), func(k, b []byte) bool {
			a := new(statepb.Authority)
			return r.decode(k, b, a) && yield(mesh.AuthorityID(k[1:]), a)
		})
	}
}

// Nodes yields every registered node by ascending id.
func (r *Reader) Nodes(f func(mesh.NodeID, *statepb.Node)) { r.eachNode(f) }

// Reduced returns segments that lack pieces, at most maxReducedList.
func (r *Reader) Reduced() (all []mesh.SegmentID) {
	r.scanPrefix(key(reducedKey), func(k, _ []byte) bool {
		all = append(all, mesh.SegmentID(k[1:]))
		return len(all) < maxReducedList
	})
	return all
}

// Node returns a node's record, nil when it is not registered.
func (r *Reader) Node(id mesh.NodeID) *statepb.Node {
	n := new(statepb.Node)
	if !r.get(key(nodeKey, id[:]), n) {
		return nil
	}
	return n
}

// Lease returns a lease, nil when there is none.
func (r *Reader) Lease(id []byte) *statepb.Lease {
	l := new(statepb.Lease)
	if !r.get(key(leaseKey, id), l) {
		return nil
	}
	return l
}

// Segment returns a segment, nil when there is none.
func (r *Reader) Segment(id []byte) (*statepb.Segment, error) {
	s := new(statepb.Segment)
	if len(id) != len(mesh.SegmentID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a segment's id has %d bytes", len(id))
	}
	if !r.get(key(segmentKey, id), s) {
		return nil, nil
	}
	return s, nil
}

// Refers tells whether the segment that a plan names is part of its object: of the current version or of the one named,
// which may be leaving, in the entry, the part or the page named.
func (r *Reader) Refers(p *wirepb.ReadPlan) (bool, error) {
	d, err := r.versionOf(p.Bucket, p.Key, p.Version)
	if err != nil {
		return false, err
	}
	if d == nil || d.Marker {
		return false, noObject(p.Bucket, p.Key)
	}
	e := d.entry
	if p.Part != 0 {
		if len(e.Parts) == 0 {
			return false, nil
		}
		part, err := partAt(r, e.Upload, p.Part)
		if err != nil || part == nil {
			return false, err
		}
		e = part.Entry
	}
	extents := e.Extents
	if p.Page != 0 {
		if p.Page > e.Pages {
			return false, nil
		}
		page, err := r.page(e.Upload, p.Page-1)
		if err != nil || page == nil {
			return false, err
		}
		extents = page.Extents
	}
	for _, x := range extents {
		if string(x.Segment) == string(p.Segment) {
			return true, nil
		}
	}
	return false, nil
}

// versionOf is findVersion, and finds what is leaving too.
func (r *Reader) versionOf(bucket, name string, version []byte) (*dated, error) {
	if n := len(version); n != 0 && n != len(mesh.VersionID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a version's id has %d bytes", n)
	}
	d, _, err := findVersion(r, bucket, name, version)
	if d != nil || err != nil || len(version) == 0 {
		return d, err
	}
	return objectAt(r, leavingKeyOf(bucket, name, version))
}

func (r *Reader) page(upload []byte, n uint32) (*wirepb.Page, error) {
	rec, p := new(statepb.Page), new(wirepb.Page)
	if !r.get(key(pageKey, upload, be32(n)), rec) {
		return nil, nil
	}
	return p, wire.Decode(rec.Page.Body, MaxTx, p)
}

func (r *Reader) bucket(name string, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	b := new(statepb.Bucket)
	if !r.get(key(bucketKey, []byte(name)), b) {
		return nil, nil
	}
	if _, err := r.Allow(asker, grant.List, name, "", nowMs); err != nil {
		// A session with narrower rights must know whether what it may touch is public, and a gateway whose it is.
		return &wirepb.BucketAnswer{Name: name, Owner: b.Owner, Public: b.Public, Serving: b.Serving}, nil
	}
	return bucketAnswer(name, b), nil
}

func bucketAnswer(name string, b *statepb.Bucket) *wirepb.BucketAnswer {
	return &wirepb.BucketAnswer{Name: name, Owner: b.Owner, Public: b.Public, CreatedMs: b.CreatedMs, Objects: b.Objects, Bytes: b.Bytes,
		Versioning: b.Versioning, Locking: b.Locking, Versions: b.Versions, Sections: b.Sections, Serving: b.Serving}
}

func (r *Reader) buckets(asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	s, err := r.Session(asker, nowMs)
	if err != nil {
		return nil, err
	}
	all := new(wirepb.BucketsAnswer)
	prefix := key(ownedKey, s.Account)
	r.scanPrefix(prefix, func(k, _ []byte) bool {
		name := string(k[len(prefix):])
		b := new(statepb.Bucket)
		if rightsOf(s).Allow(grant.List, name, "", nowMs) == nil && r.get(key(bucketKey, []byte(name)), b) {
			all.Buckets = append(all.Buckets, bucketAnswer(name, b))
		}
		return len(all.Buckets) < MaxListing
	})
	return all, nil
}

// section answers a part of a bucket's configuration: to sessions of the owner, and of a public bucket to everybody.
func (r *Reader) section(q *wirepb.SectionName, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	b := new(statepb.Bucket)
	if !r.get(key(bucketKey, []byte(q.Bucket)), b) {
		return nil, nil
	}
	if !b.Public {
		s, err := r.Session(asker, nowMs)
		if err != nil {
			return nil, err
		}
		if string(s.Account) != string(b.Owner) {
			return nil, mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", q.Bucket)
		}
	}
	body, _ := r.bytes(sectionKeyOf(q.Bucket, q.Kind))
	if len(body) == 0 {
		return nil, nil
	}
	return &wirepb.Section{Kind: q.Kind, Body: body}, nil
}

func (r *Reader) object(q *wirepb.ObjectName) (proto.Message, error) {
	d, err := r.versionOf(q.Bucket, q.Key, q.Version)
	if err != nil {
		return nil, err
	}
	if d == nil && len(q.Version) == 0 { // a marker may be on top
		r.scanPrefix(historyPrefix(q.Bucket, q.Key), func(k, _ []byte) bool { d, err = objectAt(r, k); return false })
	}
	if d == nil || err != nil {
		return nil, err
	}
	a := &wirepb.ObjectAnswer{Entry: d.Entry, Height: d.Height, Position: d.Position, Account: d.Account, Null: d.Null, Marker: d.Marker, Lock: d.Lock, SealedTags: d.SealedTags}
	a.Latest = len(q.Version) == 0 || r.isLatest(q.Bucket, q.Key, d)
	if !d.Marker {
		a.Segments, err = r.segmentsOf(d.entry.Extents)
	}
	return a, err
}

// isLatest tells whether a version or marker is the newest of its object.
func (r *Reader) isLatest(bucket, name string, d *dated) bool {
	o := new(statepb.Object)
	if r.get(objectKeyOf(bucket, name), o) {
		return o.Height == d.Height && o.Position == d.Position
	}
	latest := false
	r.scanPrefix(historyPrefix(bucket, name), func(k, _ []byte) bool {
		latest = string(k) == string(historyKeyOf(bucket, name, d.Object))
		return false
	})
	return latest
}

func (r *Reader) pageOf(q *wirepb.PageName) (proto.Message, error) {
	d, err := r.versionOf(q.Bucket, q.Key, q.Version)
	if d == nil || err != nil || d.Marker {
		return nil, err
	}
	e := d.entry
	if q.Part != 0 {
		part, err := partAt(r, e.Upload, q.Part)
		if part == nil || err != nil || len(e.Parts) == 0 {
			return nil, err
		}
		e = part.Entry
	}
	rec, p := new(statepb.Page), new(wirepb.Page)
	if q.Number >= e.Pages || !r.get(key(pageKey, e.Upload, be32(q.Number)), rec) {
		return nil, nil
	}
	if err := wire.Decode(rec.Page.Body, MaxTx, p); err != nil {
		return nil, err
	}
	segments, err := r.segmentsOf(p.Extents)
	return &wirepb.PageAnswer{Page: rec.Page, Segments: segments}, err
}

// parts lists the parts of a version, to who may read it, or those of an open upload, to who may write it.
func (r *Reader) parts(q *wirepb.PartsPage, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	if q.Limit == 0 || q.Limit > MaxListing {
		return nil, mesh.Errorf(mesh.Invalid, "a list of %d parts, at most %d", q.Limit, MaxListing)
	}
	op := grant.Write
	if len(q.Upload) == 0 {
		op = grant.Read
	}
	b, err := r.Allow(asker, op, q.Bucket, q.Key, nowMs)
	if err != nil {
		return nil, err
	}
	upload, a := q.Upload, new(wirepb.PartsAnswer)
	if len(upload) == 0 {
		d, err := r.versionOf(q.Bucket, q.Key, q.Version)
		if d == nil || err != nil || d.Marker || len(d.entry.Parts) == 0 {
			return nil, err
		}
		upload = d.entry.Upload
	} else {
		u := new(statepb.Upload)
		if !r.get(key(uploadKey, upload), u) || u.Begun == nil || u.Bucket != q.Bucket || u.Key != q.Key || u.Height < b.CreatedHeight {
			return nil, nil
		}
		a.Begun = u.Begun
	}
	size := 0
	r.scan(key(partKey, upload, be32(q.After+1)), after(key(partKey, upload)), func(k, v []byte) bool {
		if a.Truncated = len(a.Parts) == int(q.Limit) || size > maxPartsAnswer; a.Truncated {
			return false
		}
		rec, p := new(statepb.Part), new(wirepb.Part)
		if !r.decode(k, v, rec) {
			return false
		}
		if err = wire.Decode(rec.Part.Body, MaxTx, p); err != nil {
			return false
		}
		l := &wirepb.ListedPart{Number: p.Number, Part: rec.Part}
		if l.Segments, err = r.segmentsOf(p.Entry.Extents); err != nil {
			return false
		}
		size += len(v) + proto.Size(l)
		a.Parts = append(a.Parts, l)
		return true
	})
	return a, err
}

// uploads lists the open multipart uploads of a bucket.
func (r *Reader) uploads(q *wirepb.UploadsPage) (proto.Message, error) {
	if q.Limit == 0 || q.Limit > MaxListing || len(q.Prefix) > mesh.MaxKeyLen || len(q.After) > mesh.MaxKeyLen || len(q.AfterUpload) != 0 && len(q.AfterUpload) != len(mesh.UploadID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a list of %d uploads, at most %d", q.Limit, MaxListing)
	}
	b := new(statepb.Bucket)
	if !r.get(key(bucketKey, []byte(q.Bucket)), b) {
		return nil, nil
	}
	base := key(uploadListed, []byte(q.Bucket), []byte{0})
	from, end := append(base[:len(base):len(base)], q.Prefix...), after(append(base[:len(base):len(base)], q.Prefix...))
	if q.After != "" {
		past := append(named(uploadListed, q.Bucket, q.After), 0xff) // behind every upload of that key
		if len(q.AfterUpload) != 0 {
			u := new(statepb.Upload)
			if r.get(key(uploadKey, q.AfterUpload), u) {
				past = append(uploadListKey(u, q.AfterUpload), 0)
			}
		}
		if string(past) > string(from) {
			from = past
		}
	}
	a := new(wirepb.UploadsAnswer)
	r.scan(from, end, func(k, _ []byte) bool {
		if a.Truncated = len(a.Uploads) == int(q.Limit); a.Truncated {
			return false
		}
		u := new(statepb.Upload)
		if r.get(key(uploadKey, k[len(k)-len(mesh.UploadID{}):]), u) && u.Begun != nil && u.Height >= b.CreatedHeight {
			a.Uploads = append(a.Uploads, &wirepb.ListedUpload{Upload: u.Begun, Height: u.Height})
		}
		return true
	})
	return a, nil
}

// segmentsOf returns the segments of the extents as they stand now, one for each run of extents in the same segment.
func (r *Reader) segmentsOf(extents []*wirepb.Extent) ([]*wirepb.Segment, error) {
	var all []*wirepb.Segment
	last := ""
	for _, x := range extents {
		if string(x.Segment) == last {
			continue
		}
		last = string(x.Segment)
		s, err := r.Segment(x.Segment)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, mesh.Errorf(mesh.Corrupt, "the index names the segment %x and does not hold it", x.Segment)
		}
		all = append(all, s.Segment)
	}
	return all, nil
}
