package replica

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Parts bring statements that are too large for one transaction. Each is known by the digest of its bytes, so that nobody can put
// another in its place, and it makes no difference who sends it, how often, and in which order. An envelope names the digests; it takes
// the parts out of the state when it is applied. Parts for which no envelope came are forgotten when their time is over.

// partName is how the state names a part, behind the byte of its kind.
func partName(owner, id []byte, digest []byte) [][]byte { return [][]byte{owner, id, digest} }

// maxSweptParts bounds how many parts whose time is over one block forgets.
const maxSweptParts = 256

// part keeps a part.
func (s *step) part(t *transaction) error {
	by, err := t.signer(s.cell.domain)
	if err != nil {
		return err
	}
	p := t.body.(*wirepb.ProgramPart)
	d, _, err := s.may(by, grant.Read|grant.Write, p.Database, s.timeMs)
	switch {
	case err != nil:
		return err
	case d.State == database.ReadOnly:
		return readOnly(d.Name)
	case s.timeMs > p.NotAfterMs:
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the part's time is over by %d ms", s.timeMs-p.NotAfterMs), "sign it again")
	case p.NotAfterMs-s.timeMs > database.MaxAheadMs:
		return mesh.Errorf(mesh.Invalid, "the part may wait for %d ms, at most %d", p.NotAfterMs-s.timeMs, database.MaxAheadMs)
	}
	sum := database.PartDigest(p.Data)
	name := partName(d.Owner, p.Database, sum[:])
	old := new(replicapb.Part)
	known := s.get(key(partKey, name...), old)
	switch {
	case known && old.NotAfterMs >= p.NotAfterMs:
		return mesh.Errorf(mesh.Conflict, "the part is known in this cell")
	case !known && s.count(key(partKey, d.Owner), s.cell.rules.Parts) >= s.cell.rules.Parts:
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "account %s has %d parts of programs in this cell, and may have no more", mesh.Account(d.Owner), s.cell.rules.Parts),
			"run one large program after the other; parts that are not used are forgotten after ten minutes at most")
	}
	if known {
		s.delete(key(partEnd, append([][]byte{be64(old.NotAfterMs)}, name...)...))
	} else {
		s.putBytes(key(contentKey, name...), p.Data)
	}
	s.put(key(partKey, name...), &replicapb.Part{Size: uint32(len(p.Data)), NotAfterMs: p.NotAfterMs})
	s.putBytes(key(partEnd, append([][]byte{be64(p.NotAfterMs)}, name...)...), nil)
	return nil
}

// statements puts an envelope's statements together. NotFound: parts of it are missing, and can be sent. With another error there is
// no program in them.
func (v *view) statements(e *wirepb.Envelope) ([]*wirepb.Statement, error) {
	d := v.database(e.Database)
	if d == nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no such database in this cell")
	}
	var parts [][]byte
	for i, digest := range e.Parts {
		b, ok := v.bytes(key(contentKey, partName(d.Owner, e.Database, digest)...))
		if !ok {
			return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "part %d of %d of the program is not known in this cell", i+1, len(e.Parts)), "send the parts again, then the envelope")
		}
		parts = append(parts, b)
	}
	return database.Join(e, parts)
}

// forgetParts takes an envelope's parts out of the state, and returns how many bytes they had.
func (s *step) forgetParts(owner []byte, e *wirepb.Envelope) (bytes uint64) {
	for _, digest := range e.Parts {
		bytes += uint64(s.forgetPart(partName(owner, e.Database, digest)))
	}
	return bytes
}

func (s *step) forgetPart(name [][]byte) (size uint32) {
	p := new(replicapb.Part)
	if !s.get(key(partKey, name...), p) {
		return 0
	}
	s.delete(key(partKey, name...))
	s.delete(key(contentKey, name...))
	s.delete(key(partEnd, append([][]byte{be64(p.NotAfterMs)}, name...)...))
	return p.Size
}

// sweepParts forgets parts whose time is over. What they took of the cell is paid like bytes that ran.
func (s *step) sweepParts() {
	var ended [][]byte
	s.each(key(partEnd), key(partEnd, be64(s.timeMs)), func(k, _ []byte) bool {
		ended = append(ended, append([]byte{}, k[9:]...))
		return len(ended) < maxSweptParts
	})
	for _, name := range ended {
		owner, id, digest := name[:len(mesh.Account{})], name[len(mesh.Account{}):len(name)-32], name[len(name)-32:]
		size := s.forgetPart(partName(owner, id, digest))
		if d := s.database(id); d != nil {
			d.Usage.BytesIn += uint64(size)
			s.charge(d, database.Price(d.Prices, &wirepb.Usage{BytesIn: uint64(size)}))
			s.put(key(databaseKey, id), d)
		}
	}
}
