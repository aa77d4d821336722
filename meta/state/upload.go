package state

import (
	"encoding/binary"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// MultipartMs is how long a multipart upload stays open after its last part.
const MultipartMs = 7 * 24 * 3600 * 1000

// A multipart upload is begun, gets parts in any order from any session of its account, and is completed by an entry that names
// the parts it is made of, or aborted. Parts stay under the upload's id when it is completed, as pages do.

// openUpload returns a multipart upload that is open for an object, with its record's key.
func (s *step) openUpload(b *statepb.Bucket, bucket, name string, upload []byte) (*statepb.Upload, []byte, error) {
	k := key(uploadKey, upload)
	u := new(statepb.Upload)
	if !s.get(k, u) || u.Begun == nil || u.Bucket != bucket || u.Key != name || u.Height < b.CreatedHeight {
		return nil, nil, mesh.Errorf(mesh.NotFound, "there is no open upload %x of %s%s/%s", upload, mesh.Scheme, bucket, name)
	}
	return u, k, nil
}

func uploadListKey(u *statepb.Upload, id []byte) []byte {
	return key(uploadListed, []byte(u.Bucket), []byte{0}, []byte(u.Key), []byte{0}, be64(uint64(u.Height)), id)
}

func (s *step) changeUpload(m *wirepb.Upload, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckUpload(m); err != nil {
		return err
	}
	b, session, err := s.writable(by, grant.Write, m.Bucket, m.Key)
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	if m.Action == index.AbortUpload {
		u, k, err := s.openUpload(b, m.Bucket, m.Key, m.Upload)
		if err != nil {
			return err
		}
		s.closeUpload(b, u, m.Upload)
		u.Begun = nil
		s.expire(k, u, m.Upload, s.tip.TimeMs) // the sweep releases its parts
		s.put(key(bucketKey, []byte(m.Bucket)), b)
		return nil
	}
	if b.Public != (len(m.WrappedKey) == 0) {
		return mesh.Errorf(mesh.Invalid, "an object is sealed if and only if its bucket is not public")
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	k := key(uploadKey, m.Upload)
	if s.has(k) || s.uploadUsed(m.Upload) {
		return mesh.Errorf(mesh.Conflict, "there is an upload of this id already")
	}
	u := &statepb.Upload{Session: by[:], Account: session.Account, Bucket: m.Bucket, Key: m.Key, Begun: msg, Height: s.tip.Height}
	s.expire(k, u, m.Upload, s.tip.TimeMs+MultipartMs)
	s.putBytes(uploadListKey(u, m.Upload), nil)
	b.Uploads++
	s.put(key(bucketKey, []byte(m.Bucket)), b)
	return nil
}

// uploadUsed tells whether pages or parts of a completed upload lie under an id.
func (s *step) uploadUsed(upload []byte) (used bool) {
	for _, kind := range []byte{pageKey, partKey} {
		s.scanPrefix(key(kind, upload), func(_, _ []byte) bool { used = true; return false })
	}
	return used
}

// closeUpload takes an upload off the list of open ones.
func (s *step) closeUpload(b *statepb.Bucket, u *statepb.Upload, id []byte) {
	s.delete(uploadListKey(u, id))
	b.Uploads--
}

// expire writes an upload with a new deadline.
func (s *step) expire(k []byte, u *statepb.Upload, id []byte, ms int64) {
	if u.DeadlineMs != 0 {
		s.delete(key(uploadTime, msKey(u.DeadlineMs), id))
	}
	u.DeadlineMs = ms
	s.putBytes(key(uploadTime, msKey(ms), id), nil)
	s.put(k, u)
}

func (s *step) putPart(m *wirepb.Part, by mesh.PublicKey, msg *wirepb.Signed) error {
	if m.Entry == nil {
		return mesh.Errorf(mesh.Invalid, "a part without an entry")
	}
	e := m.Entry
	b, session, err := s.writable(by, grant.Write, e.Bucket, e.Key)
	if err != nil {
		return err
	}
	if err := index.CheckPart(m, b.Public); err != nil {
		return err
	}
	if err := s.fresh(e.ModifiedMs, e.NotAfterMs, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	u, uk, err := s.openUpload(b, e.Bucket, e.Key, m.Upload)
	if err != nil {
		return err
	}
	if err := s.takeContent(e, b, session, by); err != nil {
		return err
	}
	k := key(partKey, m.Upload, be32(m.Number))
	if err := s.releasePart(m.Upload, m.Number); err != nil {
		return err
	}
	s.put(k, &statepb.Part{Part: msg})
	s.expire(uk, u, m.Upload, s.tip.TimeMs+MultipartMs)
	return nil
}

// complete checks that the parts which an entry names are those of its upload, and closes that.
func (s *step) complete(m *wirepb.Entry, b *statepb.Bucket) error {
	u, uk, err := s.openUpload(b, m.Bucket, m.Key, m.Upload)
	if err != nil {
		return err
	}
	root := index.NewPartsRoot(m.Size)
	named := make(map[uint32]bool, len(m.Parts))
	for _, r := range m.Parts {
		p, err := s.part(m.Upload, r.Number)
		if err != nil {
			return err
		}
		if p == nil || string(p.Entry.Version) != string(r.Version) || p.Entry.Size != r.Size {
			return mesh.Errorf(mesh.Conflict, "part %d of the upload is not the one that the entry names", r.Number)
		}
		named[r.Number] = true
		root.Add(p.Entry.ContentRoot)
	}
	if string(root.Sum()) != string(m.ContentRoot) {
		return mesh.Errorf(mesh.Invalid, "an entry's content root is not that of its parts")
	}
	var rest []uint32
	s.scanPrefix(key(partKey, m.Upload), func(k, _ []byte) bool {
		if n := binary.BigEndian.Uint32(k[len(k)-4:]); !named[n] {
			rest = append(rest, n)
		}
		return true
	})
	for _, n := range rest {
		if err := s.releasePart(m.Upload, n); err != nil {
			return err
		}
	}
	s.closeUpload(b, u, m.Upload)
	s.delete(uk)
	s.delete(key(uploadTime, msKey(u.DeadlineMs), m.Upload))
	return nil
}

// part reads a part, nil when there is none.
func (s *step) part(upload []byte, n uint32) (*wirepb.Part, error) { return partAt(s, upload, n) }

func partAt(g getter, upload []byte, n uint32) (*wirepb.Part, error) {
	r := new(statepb.Part)
	if !g.get(key(partKey, upload, be32(n)), r) {
		return nil, nil
	}
	p := new(wirepb.Part)
	return p, wire.Decode(r.Part.Body, MaxTx, p)
}

// releasePart lets go of a part, if there is one.
func (s *step) releasePart(upload []byte, n uint32) error {
	p, err := s.part(upload, n)
	if err != nil || p == nil {
		return err
	}
	for i := range p.Entry.Pages {
		if err := s.releasePage(p.Entry.Upload, i); err != nil {
			return err
		}
	}
	s.release(p.Entry.Extents)
	s.delete(key(partKey, upload, be32(n)))
	return nil
}

// sweepUploads releases a bounded number of pages and parts of uploads that were never completed.
func (s *step) sweepUploads() {
	left := sweepLimit
	s.scan(key(uploadTime), key(uploadTime, msKey(s.tip.TimeMs)), func(k, _ []byte) bool {
		id := append([]byte(nil), k[len(k)-len(mesh.UploadID{}):]...)
		u := new(statepb.Upload)
		if !s.get(key(uploadKey, id), u) {
			s.delete(append([]byte(nil), k...))
			return true
		}
		for ; u.Pages > 0 && left > 0; left-- {
			u.Pages--
			if err := s.releasePage(id, u.Pages); err != nil {
				s.fault = err // what the machine stored itself cannot be malformed
				return false
			}
		}
		var parts []uint32
		s.scanPrefix(key(partKey, id), func(k, _ []byte) bool {
			parts = append(parts, binary.BigEndian.Uint32(k[len(k)-4:]))
			return len(parts) < left
		})
		for _, n := range parts {
			if err := s.releasePart(id, n); err != nil {
				s.fault = err
				return false
			}
		}
		left -= len(parts) + 1
		if left <= 0 {
			s.put(key(uploadKey, id), u)
			return false // the rest in the next block
		}
		if u.Begun != nil {
			s.delete(uploadListKey(u, id))
			b := new(statepb.Bucket)
			if bk := key(bucketKey, []byte(u.Bucket)); s.get(bk, b) && b.CreatedHeight <= u.Height {
				b.Uploads--
				s.put(bk, b)
			}
		}
		s.delete(key(uploadKey, id))
		s.delete(append([]byte(nil), k...))
		return true
	})
}
