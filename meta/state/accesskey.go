package state

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// changeAccessKey publishes or withdraws an access key of the session's account. What it lets gateways do is bounded by the
// grant that is sealed in it, of which the log knows nothing.
func (s *step) changeAccessKey(m *wirepb.AccessKey, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := index.CheckAccessKey(m); err != nil {
		return err
	}
	session, err := s.session(by)
	if err != nil {
		return err
	}
	if grant.Operations(session.Operations)&grant.Delegate == 0 {
		return mesh.Errorf(mesh.Denied, "the session may not pass rights on")
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	k, old := key(accessKey, []byte(m.Name)), new(statepb.AccessKey)
	exists := s.get(k, old)
	if m.Action == index.WithdrawKey {
		if !exists || string(old.Account) != string(session.Account) {
			return mesh.Errorf(mesh.NotFound, "the account has no access key %s", m.Name)
		}
		s.delete(k)
		s.delete(key(accessTime, msKey(old.ExpiresMs), []byte(m.Name)))
		return nil
	}
	if exists {
		return mesh.Errorf(mesh.Conflict, "there is an access key %s already", m.Name)
	}
	if m.ExpiresMs <= s.tip.TimeMs {
		return mesh.Errorf(mesh.Invalid, "an access key that has expired is of no use")
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	s.put(k, &statepb.AccessKey{Key: msg, Account: session.Account, ExpiresMs: m.ExpiresMs})
	s.putBytes(key(accessTime, msKey(m.ExpiresMs), []byte(m.Name)), nil)
	return nil
}

// sweepAccessKeys forgets a bounded number of access keys that have expired.
func (s *step) sweepAccessKeys() {
	s.take(key(accessTime), key(accessTime, msKey(s.tip.TimeMs)), func(k []byte) { s.delete(key(accessKey, k[9:])) })
}
