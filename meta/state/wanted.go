package state

import (
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// wantedMs is how long what somebody wants signed waits for signatures, and for him to take them to the value layer.
	wantedMs = 10 * 60 * 1000
	// wantedWrites is for how many log writes it is charged: the request, and the signatures of a group of seven.
	wantedWrites = 8
	// maxWanted bounds the bytes of what is signed.
	maxWanted = 512
)

// A wanted is a table of messages that authorities sign, each by an id, because somebody has asked for it: what follows from the state, for the
// value layer.
type wanted struct {
	kind               wirepb.TxKind // of the message
	body, signed, time byte          // keys
	ids                int           // bytes of an id
}

var (
	wantedAnchors      = wanted{wirepb.TxKind_TX_ANCHOR, anchorKey, anchoredKey, anchorTime, len(mesh.DatabaseID{})}
	wantedAttestations = wanted{wirepb.TxKind_TX_ATTESTATION, attestKey, attestedKey, attestTime, len(mesh.JobID{}) + 4}
)

// want has the authorities sign a message, and charges an account for a request of this size.
func (s *step) want(t wanted, id []byte, m proto.Message, account []byte, size int) error {
	body := wire.Encode(m)
	if old, ok := s.bytes(key(t.body, id)); ok && string(old) == string(body) {
		return mesh.Errorf(mesh.Conflict, "this is being signed")
	}
	if err := s.charge(account, wantedWrites*size+(wantedWrites-1)*LogWriteNoz/LogByteNoz); err != nil {
		return err
	}
	s.forgetWanted(t, id)
	s.putBytes(key(t.body, id), body)
	s.putBytes(key(t.time, msKey(s.tip.TimeMs+wantedMs), id), nil)
	return nil
}

// signWanted keeps an authority's signature.
func (s *step) signWanted(t wanted, id []byte, by mesh.PublicKey, msg *wirepb.Signed) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "this is signed by authorities only")
	}
	if body, ok := s.bytes(key(t.body, id)); len(id) != t.ids || !ok || string(body) != string(msg.Body) {
		return mesh.Errorf(mesh.Conflict, "nobody wants this signed")
	}
	at := key(t.signed, id, authority[:])
	if s.has(at) {
		return mesh.Errorf(mesh.Conflict, "authority %s has signed it already", authority)
	}
	s.putBytes(at, msg.Signature)
	return nil
}

func (s *step) forgetWanted(t wanted, id []byte) {
	s.delete(key(t.body, id))
	s.scanPrefix(key(t.signed, id), func(k, _ []byte) bool { s.delete(append([]byte(nil), k...)); return true })
}

// sweepWanted forgets a bounded number of those whose time is over. One that was asked for again since goes with the first: it is asked for
// once more.
func (s *step) sweepWanted() {
	for _, t := range []wanted{wantedAnchors, wantedAttestations} {
		s.take(key(t.time), key(t.time, msKey(s.tip.TimeMs)), func(k []byte) { s.forgetWanted(t, k[9:]) })
	}
}

// A Wanted is what authorities are to sign, and the signatures so far.
type Wanted struct {
	Kind       wirepb.TxKind
	Purpose    sign.Purpose
	Message    proto.Message
	Signatures map[mesh.AuthorityID]mesh.Signature
}

// Wanted returns what waits for signatures, at most limit of each kind.
func (r *Reader) Wanted(limit int) (all []Wanted) {
	for _, t := range []wanted{wantedAnchors, wantedAttestations} {
		n := 0
		r.scanPrefix(key(t.body), func(k, body []byte) bool {
			k = append([]byte(nil), k...)
			if w := (Wanted{t.kind, PurposeOf(t.kind), kinds[t.kind].body(), nil}); wire.Decode(body, maxWanted, w.Message) == nil {
				w.Signatures = r.signaturesOf(t, k[1:])
				all = append(all, w)
			}
			n++
			return n < limit
		})
	}
	return all
}

func (r *Reader) signaturesOf(t wanted, id []byte) map[mesh.AuthorityID]mesh.Signature {
	all := map[mesh.AuthorityID]mesh.Signature{}
	prefix := key(t.signed, id)
	r.scanPrefix(prefix, func(k, b []byte) bool {
		all[mesh.AuthorityID(k[len(prefix):])] = mesh.Signature(b)
		return true
	})
	return all
}

// wantedAnswer answers what waits for signatures under an id, and who has signed it; nil where nothing does.
func (r *Reader) wantedAnswer(t wanted, id []byte) *wirepb.SignedAnswer {
	body, ok := r.bytes(key(t.body, id))
	if !ok {
		return nil
	}
	out, all := &wirepb.SignedAnswer{Body: body}, r.signaturesOf(t, id)
	for _, a := range sortedAuthorities(all) {
		sig := all[a]
		out.Signers, out.Signatures = append(out.Signers, a[:]), append(out.Signatures, sig[:])
	}
	return out
}
