package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
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
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	return s.want(wantedAnchors, id, a, session.Account, len(msg.Body))
}

// signAnchor keeps an authority's signature of an anchor.
func (s *step) signAnchor(m *wirepb.Anchor, by mesh.PublicKey, msg *wirepb.Signed) error {
	return s.signWanted(wantedAnchors, m.Database, by, msg)
}

// anchor answers an anchor of a database of the asker's account, and who has signed it.
func (r *Reader) anchor(q *wirepb.DatabaseName, asker mesh.PublicKey, nowMs int64) (*wirepb.SignedAnswer, error) {
	d, err := r.database(q, asker, nowMs)
	if err != nil || d == nil {
		return nil, err
	}
	return r.wantedAnswer(wantedAnchors, d.Id), nil
}
