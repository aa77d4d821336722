package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// anchorMs is how long an anchor waits for signatures, and for its owner to take them to the value layer.
	anchorMs = 10 * 60 * 1000

	// anchorWrites is for how many log writes an anchor is charged: the request, and the signatures of a group of seven.
	anchorWrites = 8
)

// askAnchor has the authorities sign what the last settled certificate says of a database.
func (s *step) askAnchor(m *wirepb.Anchoring, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := mesh.CheckDatabase(m.Name); err != nil {
		return err
	}
	session, err := s.allow(by, grant.Databases, grant.Database(m.Name), "")
	if err != nil {
		return err
	}
	id, exists := s.bytes(key(databaseName, session.Account, []byte(m.Name)))
	d := new(statepb.Database)
	switch {
	case !exists || !s.get(key(databaseKey, id), d):
		return noDatabase(m.Name)
	case d.LogHeight == 0:
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "no certificate of the database's cell was settled yet"), "try again in some minutes")
	}
	a := &wirepb.Anchor{Database: id, Owner: d.Owner, Cell: d.Cell, LogHeight: d.LogHeight, TimeMs: d.CheckedMs, Height: d.Height, Digest: d.Digest, Content: d.Content}
	c := new(statepb.Cell)
	if s.get(key(cellKey, d.Cell), c) {
		a.Version = c.Version
	}
	body := wire.Encode(a)
	if old, ok := s.bytes(key(anchorKey, id)); ok && string(old) == string(body) {
		return mesh.Errorf(mesh.Conflict, "the anchor of database %q is being signed", m.Name)
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, anchorWrites*len(msg.Body)+(anchorWrites-1)*LogWriteNoz/LogByteNoz); err != nil {
		return err
	}
	s.forgetAnchor(id)
	s.putBytes(key(anchorKey, id), body)
	s.putBytes(key(anchorTime, msKey(s.tip.TimeMs+anchorMs), id), nil)
	return nil
}

// signAnchor keeps an authority's signature of an anchor.
func (s *step) signAnchor(m *wirepb.Anchor, by mesh.PublicKey, msg *wirepb.Signed) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "an anchor is signed by authorities only")
	}
	if body, ok := s.bytes(key(anchorKey, m.Database)); !ok || string(body) != string(msg.Body) {
		return mesh.Errorf(mesh.Conflict, "nobody wants this anchor of database %x signed", m.Database)
	}
	at := key(anchoredKey, m.Database, authority[:])
	if s.has(at) {
		return mesh.Errorf(mesh.Conflict, "authority %s has signed it already", authority)
	}
	s.putBytes(at, msg.Signature)
	return nil
}

func (s *step) forgetAnchor(id []byte) {
	s.delete(key(anchorKey, id))
	s.scanPrefix(key(anchoredKey, id), func(k, _ []byte) bool { s.delete(append([]byte(nil), k...)); return true })
}

// sweepAnchors forgets a bounded number of anchors whose time is over. One that was asked for again since goes with the first: it is
// asked for once more.
func (s *step) sweepAnchors() {
	s.take(key(anchorTime), key(anchorTime, msKey(s.tip.TimeMs)), func(k []byte) { s.forgetAnchor(k[9:]) })
}

// An Anchor is what authorities sign of a database, and the signatures so far.
type Anchor struct {
	Message    *wirepb.Anchor
	Signatures map[mesh.AuthorityID]mesh.Signature
}

// Anchors returns those that wait for signatures, at most limit.
func (r *Reader) Anchors(limit int) (all []Anchor) {
	r.scanPrefix(key(anchorKey), func(k, body []byte) bool {
		m := new(wirepb.Anchor)
		if r.decode(k, body, m) {
			all = append(all, Anchor{m, r.anchored(m.Database)})
		}
		return len(all) < limit
	})
	return all
}

// anchored are the signatures of a database's anchor.
func (r *Reader) anchored(id []byte) map[mesh.AuthorityID]mesh.Signature {
	all := map[mesh.AuthorityID]mesh.Signature{}
	prefix := key(anchoredKey, id)
	r.scanPrefix(prefix, func(k, b []byte) bool {
		all[mesh.AuthorityID(k[len(prefix):])] = mesh.Signature(b)
		return true
	})
	return all
}

// anchor answers an anchor of a database of the asker's account, and who has signed it.
func (r *Reader) anchor(q *wirepb.DatabaseName, asker mesh.PublicKey, nowMs int64) (*wirepb.AnchorAnswer, error) {
	d, err := r.database(q, asker, nowMs)
	if err != nil || d == nil {
		return nil, err
	}
	body, ok := r.bytes(key(anchorKey, d.Id))
	if !ok {
		return nil, nil
	}
	out, all := &wirepb.AnchorAnswer{Anchor: body}, r.anchored(d.Id)
	for _, id := range sortedAuthorities(all) {
		sig := all[id]
		out.Signers, out.Signatures = append(out.Signers, id[:]), append(out.Signatures, sig[:])
	}
	return out, nil
}
