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
		s.dropAccessKey(m.Name)
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
	for _, to := range m.Sealed {
		s.putBytes(key(sealedKey, to.Gateway, []byte(m.Name)), nil)
	}
	return nil
}

// dropAccessKey forgets an access key, all but its place in accessTime.
func (s *step) dropAccessKey(name string) {
	k, old, m := key(accessKey, []byte(name)), new(statepb.AccessKey), new(wirepb.AccessKey)
	if !s.get(k, old) || !s.decode(k, old.Key.GetBody(), m) {
		return
	}
	for _, to := range m.Sealed {
		s.delete(key(sealedKey, to.Gateway, []byte(name)))
	}
	s.delete(k)
}

// serve notes under which access key of its owner's a bucket is served; none when name is empty.
func (s *step) serve(bucket string, b *statepb.Bucket, name string) error {
	if name != "" {
		k := new(statepb.AccessKey)
		if !s.get(key(accessKey, []byte(name)), k) || string(k.Account) != string(b.Owner) {
			return mesh.Errorf(mesh.NotFound, "the account has no access key %s", name)
		}
		s.putBytes(servedKeyOf(name, bucket), nil)
	}
	if b.Serving != "" && b.Serving != name {
		s.delete(servedKeyOf(b.Serving, bucket))
	}
	b.Serving = name
	return nil
}

// isServed tells whether the log has the access key that serves a bucket.
func (s *step) isServed(b *statepb.Bucket) bool {
	return b.Serving != "" && s.get(key(accessKey, []byte(b.Serving)), new(statepb.AccessKey))
}

func servedKeyOf(name, bucket string) []byte {
	return key(servedKey, []byte(name), []byte{0}, []byte(bucket))
}

// served answers which buckets are served under access keys that are sealed to a gateway.
func (r *Reader) served(q *wirepb.ServedPage, gateway mesh.PublicKey) (*wirepb.ServedAnswer, error) {
	if q.Limit == 0 || q.Limit > MaxListing {
		return nil, mesh.Errorf(mesh.Invalid, "a page of %d buckets, want 1 to %d", q.Limit, MaxListing)
	}
	out, walked := new(wirepb.ServedAnswer), 0
	keys := key(sealedKey, gateway[:])
	r.scan(append(keys[:len(keys):len(keys)], q.AfterKey...), after(keys), func(k, _ []byte) bool {
		name := string(k[len(keys):])
		buckets := servedKeyOf(name, "")
		from := buckets
		if name == q.AfterKey {
			from = append(servedKeyOf(name, q.AfterBucket), 0)
		}
		full := false
		r.scan(from, after(buckets), func(k, _ []byte) bool {
			b, bucket := new(statepb.Bucket), string(k[len(buckets):])
			if r.get(key(bucketKey, []byte(bucket)), b) {
				served := &wirepb.ServedBucket{AccessKey: name, Bucket: bucket}
				for _, c := range b.Sections {
					served.Sections = append(served.Sections, c.Kind)
				}
				out.Buckets = append(out.Buckets, served)
				out.NextBucket = bucket
			}
			full = len(out.Buckets) == int(q.Limit)
			return !full
		})
		out.NextKey = name
		walked++
		return !full && walked < maxListed
	})
	if len(out.Buckets) < int(q.Limit) && walked < maxListed {
		out.NextKey, out.NextBucket = "", ""
	}
	return out, nil
}

// sweepAccessKeys forgets a bounded number of access keys that have expired.
func (s *step) sweepAccessKeys() {
	s.take(key(accessTime), key(accessTime, msKey(s.tip.TimeMs)), func(k []byte) { s.dropAccessKey(string(k[9:])) })
}
