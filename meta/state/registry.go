package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Status of a node, by the authorities' votes.
const (
	Offline   = 1
	Online    = 2
	Suspended = 3
)

// scoreFull is the score of a node that never failed, in parts of 1,000,000.
const scoreFull = 1_000_000

func (s *step) isReportKey(k mesh.PublicKey) bool { _, ok := s.authorityByKey(k); return ok }

// authorityByKey finds the authority whose present report key is k.
func (s *step) authorityByKey(k mesh.PublicKey) (id mesh.AuthorityID, ok bool) {
	s.scanPrefix(key(authorityKey), func(at, v []byte) bool {
		a := new(statepb.Authority)
		if !s.decode(at, v, a) {
			return false
		}
		if ok = mesh.PublicKey(a.ReportKey) == k; ok {
			copy(id[:], at[1:])
		}
		return !ok
	})
	return id, ok
}

func (s *step) authorityCount() (n int) {
	s.scanPrefix(key(authorityKey), func(_, _ []byte) bool { n++; return true })
	return n
}

func (s *step) nodeKey(id mesh.NodeID) (mesh.PublicKey, error) {
	n := new(statepb.Node)
	if !s.get(key(nodeKey, id[:]), n) {
		return mesh.PublicKey{}, mesh.Errorf(mesh.NotFound, "node %s is not registered", id)
	}
	return mesh.FromBytes[mesh.PublicKey](n.NodeKey)
}

// domains counts the failure domains of active storage nodes, online or not.
func (v *view) domains() int {
	seen := map[string]bool{}
	v.eachNode(func(_ mesh.NodeID, n *statepb.Node) {
		if n.Active && n.Kinds&placement.Storage != 0 {
			seen[n.Domain] = true
		}
	})
	return len(seen)
}

func (v *view) eachNode(f func(mesh.NodeID, *statepb.Node)) {
	v.scanPrefix(key(nodeKey), func(k, b []byte) bool {
		n := new(statepb.Node)
		if !v.decode(k, b, n) {
			return false
		}
		f(mesh.NodeID(k[1:]), n)
		return true
	})
}

// voteStatus counts one authority's view of a node. More than a third of the authorities with one view change the
// node's status to it, so that at least one honest authority saw it.
func (s *step) voteStatus(m *wirepb.NodeStatusVote, by mesh.PublicKey) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "a node's status is voted on by authorities only")
	}
	id, err := mesh.FromBytes[mesh.NodeID](m.Node)
	if err != nil {
		return err
	}
	n := new(statepb.Node)
	if !s.get(key(nodeKey, id[:]), n) {
		return mesh.Errorf(mesh.NotFound, "node %s is not registered", id)
	}
	if m.Status != Offline && m.Status != Online {
		return mesh.Errorf(mesh.Invalid, "a node's status is not voted to %d", m.Status)
	}
	if n.Status == Suspended {
		return mesh.Errorf(mesh.Conflict, "node %s is suspended, whoever hears it", id)
	}
	k := key(voteKey, id[:], authority[:])
	old := new(statepb.Vote)
	if s.get(k, old) && old.AtMs >= m.AtMs || m.AtMs > s.tip.TimeMs+ReplayWindowMs {
		return mesh.Errorf(mesh.Conflict, "an older vote than the one that counts, or one from the future")
	}
	vote := &statepb.Vote{Status: m.Status, FreeBytes: m.FreeBytes, UsedBytes: m.UsedBytes, AtMs: m.AtMs}
	s.put(k, vote)
	same := 1
	s.scanPrefix(key(voteKey, id[:]), func(at, b []byte) bool {
		v := new(statepb.Vote)
		if string(at) != string(k) && s.decode(at, b, v) && v.Status == m.Status && s.has(key(authorityKey, at[1+len(id):])) {
			same++
		}
		return true
	})
	if 3*same > s.authorityCount() {
		if n.Status != m.Status {
			n.Changes++
			if m.Status == Offline {
				n.Score -= n.Score / 10
			}
		} else if m.Status == Online {
			n.Score += (scoreFull - n.Score) / 20
		}
		n.Status, n.FreeBytes, n.UsedBytes = m.Status, m.FreeBytes, m.UsedBytes
		s.put(key(nodeKey, id[:]), n)
	}
	return nil
}

func (r *Reader) nodeAnswer(id mesh.NodeID, n *statepb.Node) *wirepb.NodeAnswer {
	a := &wirepb.NodeAnswer{Id: id[:], Operator: n.Operator, NodeKey: n.NodeKey, TlsKey: n.TlsKey, Kinds: n.Kinds, Address: n.Address, Domain: n.Domain,
		Status: n.Status, FreeBytes: n.FreeBytes, UsedBytes: n.UsedBytes, Score: n.Score, Active: n.Active}
	if !n.Active {
		a.Reasons = append(a.Reasons, "not active on the value layer")
	}
	if e := r.Evidence(id); e != nil {
		a.Evidence = e
		a.Reasons = append(a.Reasons, "suspended: its replica of a database signed what is false, and the evidence is on the log")
	} else if r.TaskEvidence(id) != nil {
		a.Reasons = append(a.Reasons, "suspended: it signed a false result of a job's task, and the evidence is on the log")
	} else if n.Status != Online {
		a.Reasons = append(a.Reasons, "not seen by more than a third of the authorities")
	}
	if n.Changes > 1 {
		a.Reasons = append(a.Reasons, "went away before")
	}
	return a
}
