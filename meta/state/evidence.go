package state

import (
	"crypto/sha256"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// convict keeps proof that a node's replica lied, the first of each node, and takes the node out of service: it is drawn for no cell,
// and earns nothing by certificates from now on.
func (s *step) convict(m *wirepb.Evidence, by mesh.PublicKey, msg *wirepb.Signed) error {
	session, err := s.session(by)
	if err != nil {
		return err
	}
	claimed, c := new(wirepb.Answer), new(statepb.Cell)
	if err := wire.Decode(m.Answer.GetBody(), signed.MaxBody, claimed); err != nil {
		return err
	}
	if !s.get(key(cellKey, claimed.Cell), c) || c.Version != claimed.Version || c.FoundedMs == 0 {
		return mesh.Errorf(mesh.NotFound, "there is no cell %x with members of version %d", claimed.Cell, claimed.Version)
	}
	liar, _, err := database.CheckEvidence(s.domain, m, answerKeys(c))
	if err != nil {
		return err
	}
	node := c.Members[liar].Node
	if s.has(key(evidenceKey, node)) {
		return mesh.Errorf(mesh.Conflict, "that node %s lies is known", mesh.NodeID(node))
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	s.keepEvidence(node, &statepb.Evidence{Evidence: msg, Cell: claimed.Cell})
	return nil
}

// keepEvidence takes a node out of service that was proven to lie, and has authorities tell the value layer.
func (s *step) keepEvidence(node []byte, e *statepb.Evidence) {
	n := new(statepb.Node)
	exists := s.get(key(nodeKey, node), n)
	e.AtMs, e.Pardons = s.tip.TimeMs, n.Pardons
	s.put(key(evidenceKey, node), e)
	s.workers = nil
	if exists {
		s.putBytes(key(convictKey, node), nil)
		n.Status = Suspended
		s.put(key(nodeKey, node), n)
	}
}

// signConviction keeps what an authority signed of a node that lied, until the value layer knows.
func (s *step) signConviction(m *wirepb.Conviction, by mesh.PublicKey, msg *wirepb.Signed) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "a conviction is signed by authorities only")
	}
	e := new(statepb.Evidence)
	if !s.has(key(convictKey, m.Node)) || !s.get(key(evidenceKey, m.Node), e) {
		return mesh.Errorf(mesh.NotFound, "there is no evidence against node %x that the value layer lacks", m.Node)
	}
	if string(msg.Body) != string(wire.Encode(conviction(m.Node, e))) {
		return mesh.Errorf(mesh.Conflict, "the conviction of node %x reads otherwise here", m.Node)
	}
	at := key(convictedKey, m.Node, authority[:])
	if s.has(at) {
		return mesh.Errorf(mesh.Conflict, "authority %s has signed it already", authority)
	}
	s.putBytes(at, msg.Signature)
	return nil
}

// conviction is what authorities sign.
func conviction(node []byte, e *statepb.Evidence) *wirepb.Conviction {
	if t := e.Task; t != nil {
		sum := sha256.Sum256(wire.Encode(t))
		return &wirepb.Conviction{Node: node, Cell: t.Job, Evidence: sum[:], Pardons: e.Pardons, Value: e.Value}
	}
	sum := sha256.Sum256(e.Evidence.Body)
	return &wirepb.Conviction{Node: node, Cell: e.Cell, Evidence: sum[:], Pardons: e.Pardons}
}

// settleConviction follows what the value layer does with a node: it knows of the conviction, has pardoned the node, or has it no more.
func (s *step) settleConviction(node []byte, n *statepb.Node, f *wirepb.NodeRecord) {
	if f.Pardons > n.Pardons && s.has(key(evidenceKey, node)) {
		s.delete(key(evidenceKey, node))
		if n.Status == Suspended {
			n.Status = Offline
		}
	}
	n.Pardons = f.Pardons
	e := new(statepb.Evidence)
	if f.Status == wirepb.NodeStatus_NODE_STATUS_ACTIVE && !s.has(key(convictKey, node)) && s.get(key(evidenceKey, node), e) { // it has left, and come again
		e.Pardons = f.Pardons
		s.put(key(evidenceKey, node), e)
		s.putBytes(key(convictKey, node), nil)
	}
	if (f.Status == wirepb.NodeStatus_NODE_STATUS_SUSPENDED || f.Status == wirepb.NodeStatus_NODE_STATUS_REMOVED) && s.has(key(convictKey, node)) {
		s.delete(key(convictKey, node))
		s.scanPrefix(key(convictedKey, node), func(k, _ []byte) bool { s.delete(append([]byte(nil), k...)); return true })
	}
}

// A Conviction is what authorities tell the value layer of a node that lied.
type Conviction struct {
	Message    *wirepb.Conviction
	Signatures map[mesh.AuthorityID]mesh.Signature
}

// Convictions returns those that the value layer does not know, at most limit.
func (r *Reader) Convictions(limit int) (all []Conviction) {
	r.scanPrefix(key(convictKey), func(k, _ []byte) bool {
		node, e := append([]byte(nil), k[1:]...), new(statepb.Evidence)
		if r.get(key(evidenceKey, node), e) {
			c := Conviction{conviction(node, e), map[mesh.AuthorityID]mesh.Signature{}}
			r.scanPrefix(key(convictedKey, node), func(k, b []byte) bool {
				c.Signatures[mesh.AuthorityID(k[1+len(node):])] = mesh.Signature(b)
				return true
			})
			all = append(all, c)
		}
		return len(all) < limit
	})
	return all
}

// TaskEvidence returns the false result for which a node is suspended, nil where there is none.
func (r *Reader) TaskEvidence(id mesh.NodeID) *wirepb.TaskEvidence {
	e := new(statepb.Evidence)
	r.get(key(evidenceKey, id[:]), e)
	return e.Task
}

// Evidence returns the Evidence for which a node is suspended, as it was handed in; nil where there is none.
func (r *Reader) Evidence(id mesh.NodeID) *wirepb.Signed {
	e := new(statepb.Evidence)
	if !r.get(key(evidenceKey, id[:]), e) {
		return nil
	}
	return e.Evidence
}
