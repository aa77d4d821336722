package state

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Versions of an object. The current one lies under objectKey, unless it is a marker; older ones and markers lie under
// historyKey, newest first, and versionKey finds them. What is replaced or removed leaves: it can be read by its version
// until the epoch after the next has begun, so that who is reading it comes to the end, and then its bytes are released.
//
// At most one version of an object is null: written while there was no versioning. The next null one takes its place.

// LeaveEpochs is how many epochs besides the current one a replaced version can still be read.
const LeaveEpochs = 1

// A dated is an object's record with its message.
type dated struct {
	*statepb.Object
	entry    *wirepb.Entry    // nil for a marker
	deletion *wirepb.Deletion // nil for an entry
}

// version is how questions and deletions name it, besides NullVersion.
func (d *dated) version() []byte {
	if d.Marker {
		return d.deletion.Id
	}
	return d.entry.Version
}

func openObject(o *statepb.Object) (*dated, error) {
	d := &dated{Object: o}
	if o.Marker {
		d.deletion = new(wirepb.Deletion)
		return d, wire.Decode(o.Entry.Body, MaxTx, d.deletion)
	}
	d.entry = new(wirepb.Entry)
	return d, wire.Decode(o.Entry.Body, MaxTx, d.entry)
}

// A getter reads records: the state, or a transaction over it.
type getter interface {
	bytes(k []byte) ([]byte, bool)
	get(k []byte, m proto.Message) bool
}

// objectAt reads the record under a key, nil when there is none.
func objectAt(g getter, k []byte) (*dated, error) {
	o := new(statepb.Object)
	if !g.get(k, o) {
		return nil, nil
	}
	return openObject(o)
}

// findVersion returns a version or marker and the key under which it lies, nil when there is none. An empty version is the
// current one, NullVersion the null one.
func findVersion(g getter, bucket, name string, version []byte) (*dated, []byte, error) {
	k := objectKeyOf(bucket, name)
	cur, err := objectAt(g, k)
	if err != nil {
		return nil, nil, err
	}
	if cur != nil && (len(version) == 0 || string(cur.version()) == string(version) || cur.Null && string(version) == string(index.NullVersion[:])) {
		return cur, k, nil
	}
	if len(version) == 0 {
		return nil, nil, nil
	}
	at, ok := g.bytes(versionKeyOf(bucket, name, version))
	if !ok {
		return nil, nil, nil
	}
	k = append(historyPrefix(bucket, name), at...)
	d, err := objectAt(g, k)
	return d, k, err
}

func historyKeyOf(bucket, name string, o *statepb.Object) []byte {
	k := binary.BigEndian.AppendUint64(historyPrefix(bucket, name), ^uint64(o.Height))
	return binary.BigEndian.AppendUint32(k, ^o.Position)
}

// bury makes a version an older one, or puts a marker on top.
func (s *step) bury(b *statepb.Bucket, bucket, name string, d *dated) {
	k := historyKeyOf(bucket, name, d.Object)
	at := k[len(k)-historyPlace:]
	s.put(k, d.Object)
	s.putBytes(versionKeyOf(bucket, name, d.version()), at)
	if d.Null {
		s.putBytes(versionKeyOf(bucket, name, index.NullVersion[:]), at)
	}
	b.Versions++
}

// unearth takes an older version or a marker out of the history.
func (s *step) unearth(b *statepb.Bucket, bucket, name string, d *dated) {
	s.delete(historyKeyOf(bucket, name, d.Object))
	s.delete(versionKeyOf(bucket, name, d.version()))
	if d.Null {
		s.delete(versionKeyOf(bucket, name, index.NullVersion[:]))
	}
	b.Versions--
}

// setCurrent and dropCurrent keep the counts with the current version.
func (s *step) setCurrent(b *statepb.Bucket, bucket, name string, d *dated) {
	s.put(objectKeyOf(bucket, name), d.Object)
	b.Objects, b.Bytes, s.tip.Objects = b.Objects+1, b.Bytes+d.entry.Size, s.tip.Objects+1
}

func (s *step) dropCurrent(b *statepb.Bucket, bucket, name string, d *dated) {
	s.delete(objectKeyOf(bucket, name))
	b.Objects, b.Bytes, s.tip.Objects = b.Objects-1, b.Bytes-d.entry.Size, s.tip.Objects-1
}

// leave lets go of a version that no list names any more.
func (s *step) leave(bucket, name string, d *dated) {
	if d.Marker {
		return
	}
	k := leavingKeyOf(bucket, name, d.version())
	s.put(k, d.Object)
	s.putBytes(key(leaveTimeKey, be64(s.tip.Epoch+LeaveEpochs+1), k[1:]), nil)
}

// displace makes room for a version or marker on top of the others, by the bucket's versioning. It tells whether the new
// one is null.
func (s *step) displace(b *statepb.Bucket, bucket, name string, cur *dated) (null bool, err error) {
	if cur != nil {
		s.dropCurrent(b, bucket, name, cur)
	}
	switch b.Versioning {
	case index.NeverVersioned:
		if cur != nil {
			s.leave(bucket, name, cur)
		}
		return true, nil
	case index.Versioned:
		if cur != nil {
			s.bury(b, bucket, name, cur)
		}
		return false, nil
	}
	if cur != nil && cur.Null {
		s.leave(bucket, name, cur)
		return true, nil
	}
	if cur != nil {
		s.bury(b, bucket, name, cur)
	}
	old, _, err := findVersion(s, bucket, name, index.NullVersion[:])
	if err != nil || old == nil {
		return true, err
	}
	s.unearth(b, bucket, name, old)
	s.leave(bucket, name, old)
	return true, nil
}

// newestOlder returns the newest of the older versions and markers, nil when there is none.
func (s *step) newestOlder(bucket, name string) (d *dated, err error) {
	s.scanPrefix(historyPrefix(bucket, name), func(k, _ []byte) bool {
		d, err = objectAt(s, k) // nil for what this transaction took away
		return d == nil && err == nil
	})
	return d, err
}

func (s *step) deleteObject(m *wirepb.Deletion, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckDeletion(m); err != nil {
		return err
	}
	b, session, err := s.writable(by, grant.Delete, m.Bucket, m.Key)
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	if m.Purge {
		err = s.purge(b, m, session)
	} else {
		err = s.deleteCurrent(b, m, session, msg)
	}
	if err != nil {
		return err
	}
	s.put(key(bucketKey, []byte(m.Bucket)), b)
	return nil
}

func noObject(bucket, name string) error {
	return mesh.Errorf(mesh.NotFound, "no object %s%s/%s", mesh.Scheme, bucket, name)
}

// deleteCurrent takes the current version away; where there is versioning, a marker covers what was there.
func (s *step) deleteCurrent(b *statepb.Bucket, m *wirepb.Deletion, session *statepb.Session, msg *wirepb.Signed) error {
	cur, err := objectAt(s, objectKeyOf(m.Bucket, m.Key))
	if err != nil {
		return err
	}
	if cur == nil {
		older, err := s.newestOlder(m.Bucket, m.Key)
		if err != nil {
			return err
		}
		if older == nil {
			return noObject(m.Bucket, m.Key)
		}
	}
	if len(m.Version) != 0 {
		found, k, err := findVersion(s, m.Bucket, m.Key, m.Version)
		if err != nil {
			return err
		}
		if found == nil || k[0] != objectKey {
			return mesh.Errorf(mesh.Conflict, "%s%s/%s has changed meanwhile", mesh.Scheme, m.Bucket, m.Key)
		}
	}
	null, err := s.displace(b, m.Bucket, m.Key, cur)
	if err != nil || b.Versioning == index.NeverVersioned {
		return err
	}
	if len(m.Id) == 0 {
		return mesh.Errorf(mesh.Invalid, "a deletion in a bucket with versioning has no id")
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	s.bury(b, m.Bucket, m.Key, &dated{&statepb.Object{Entry: msg, Account: session.Account, Height: s.tip.Height, Position: s.position, Null: null, Marker: true}, nil, m})
	return nil
}

// purge removes one version or marker and no other. What is the newest then becomes current, unless it is a marker.
func (s *step) purge(b *statepb.Bucket, m *wirepb.Deletion, session *statepb.Session) error {
	d, k, err := findVersion(s, m.Bucket, m.Key, m.Version)
	if err != nil {
		return err
	}
	if d == nil {
		return mesh.Errorf(mesh.NotFound, "%s%s/%s has no such version", mesh.Scheme, m.Bucket, m.Key)
	}
	if err := s.unlocked(d, m.Bypass, session); err != nil {
		return err
	}
	wasCurrent := k[0] == objectKey
	if wasCurrent && m.Older {
		return mesh.Errorf(mesh.Conflict, "that version of %s%s/%s is the current one", mesh.Scheme, m.Bucket, m.Key)
	}
	if wasCurrent {
		s.dropCurrent(b, m.Bucket, m.Key, d)
	} else {
		s.unearth(b, m.Bucket, m.Key, d)
	}
	s.leave(m.Bucket, m.Key, d)
	if !wasCurrent && s.has(objectKeyOf(m.Bucket, m.Key)) {
		return nil
	}
	top, err := s.newestOlder(m.Bucket, m.Key)
	if err != nil || top == nil || top.Marker {
		return err
	}
	s.unearth(b, m.Bucket, m.Key, top)
	s.setCurrent(b, m.Bucket, m.Key, top)
	return nil
}

// unlocked tells whether a version may be removed, or its lock be weakened.
func (s *step) unlocked(d *dated, bypass bool, session *statepb.Session) error {
	l := d.Lock
	switch {
	case l.GetHold():
		return mesh.Errorf(mesh.Denied, "the version is on hold")
	case l.GetMode() == index.NoLock || l.UntilMs <= s.tip.TimeMs:
		return nil
	case l.Mode == index.Governance && bypass && grant.Operations(session.Operations)&grant.Bypass != 0:
		return nil
	}
	return mesh.Errorf(mesh.Denied, "the version is locked until %d ms", l.UntilMs)
}

// amend changes the tags or the lock of a version.
func (s *step) amend(m *wirepb.Amendment, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckAmendment(m); err != nil {
		return err
	}
	b, session, err := s.writable(by, grant.Write, m.Bucket, m.Key)
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	d, k, err := findVersion(s, m.Bucket, m.Key, m.Version)
	if err != nil {
		return err
	}
	if d == nil || d.Marker {
		return mesh.Errorf(mesh.NotFound, "%s%s/%s has no such version", mesh.Scheme, m.Bucket, m.Key)
	}
	if m.SetTags {
		d.SealedTags = m.SealedTags
	}
	if m.SetRetention || m.SetHold {
		if !b.Locking {
			return mesh.Errorf(mesh.Conflict, "bucket %q has no locking", m.Bucket)
		}
		l := &wirepb.Lock{Mode: d.Lock.GetMode(), UntilMs: d.Lock.GetUntilMs(), Hold: d.Lock.GetHold()}
		if m.SetRetention {
			if weaker := m.Lock.GetMode() < l.Mode || m.Lock.GetUntilMs() < l.UntilMs; weaker {
				held := &dated{Object: &statepb.Object{Lock: &wirepb.Lock{Mode: l.Mode, UntilMs: l.UntilMs}}}
				if err := s.unlocked(held, m.Bypass, session); err != nil {
					return err
				}
			}
			l.Mode, l.UntilMs = m.Lock.GetMode(), m.Lock.GetUntilMs()
		}
		if m.SetHold {
			l.Hold = m.Lock.GetHold()
		}
		d.Lock = l
	}
	s.put(k, d.Object)
	return nil
}

// sweepLeaving releases a bounded number of pages and parts of versions whose time has come.
func (s *step) sweepLeaving() {
	left := uint32(sweepLimit)
	s.scan(key(leaveTimeKey), key(leaveTimeKey, be64(s.tip.Epoch+1)), func(k, _ []byte) bool {
		zk := append([]byte{leavingKey}, k[9:]...)
		d, err := objectAt(s, zk)
		if d == nil || err != nil {
			s.fault = err // nil when the record is gone, which leaves nothing to do
			s.delete(append([]byte(nil), k...))
			return err == nil
		}
		used, done, err := s.releaseSome(d.entry, d.Released, left)
		if err != nil {
			s.fault = err // what the machine stored itself cannot be malformed
			return false
		}
		left -= used
		if !done {
			d.Released += used
			s.put(zk, d.Object)
			return false
		}
		s.delete(zk)
		s.delete(append([]byte(nil), k...))
		return left > 0
	})
}

// releaseSome releases at most limit pages and parts of a version, from the number given on, and at the end what it holds
// itself.
func (s *step) releaseSome(e *wirepb.Entry, from, limit uint32) (used uint32, done bool, err error) {
	for ; from < e.Pages && used < limit; from, used = from+1, used+1 {
		if err := s.releasePage(e.Upload, from); err != nil {
			return used, false, err
		}
	}
	for from >= e.Pages && int(from-e.Pages) < len(e.Parts) && used < limit {
		if err := s.releasePart(e.Upload, e.Parts[from-e.Pages].Number); err != nil {
			return used, false, err
		}
		from, used = from+1, used+1
	}
	if int(from) < int(e.Pages)+len(e.Parts) {
		return used, false, nil
	}
	s.release(e.Extents)
	return used + 1, true, nil
}

// configure applies what a message says of a bucket's versioning, locking and sections.
func configure(b *statepb.Bucket, m *wirepb.Bucket) error {
	if m.Versioning != index.NeverVersioned {
		b.Versioning = m.Versioning
	}
	b.Locking = b.Locking || m.Locking
	if b.Locking && b.Versioning != index.Versioned {
		return mesh.Errorf(mesh.Conflict, "a bucket with locking has versioning, and keeps it")
	}
	for _, c := range m.Sections {
		kept := b.Sections[:0]
		for _, old := range b.Sections {
			if old.Kind != c.Kind {
				kept = append(kept, old)
			}
		}
		b.Sections = kept
		if len(c.Body) > 0 {
			h := sha256.Sum256(c.Body)
			at := 0
			for at < len(b.Sections) && b.Sections[at].Kind < c.Kind {
				at++
			}
			b.Sections = append(b.Sections[:at:at], append([]*wirepb.Section{{Kind: c.Kind, Body: h[:]}}, b.Sections[at:]...)...)
		}
	}
	return nil
}
