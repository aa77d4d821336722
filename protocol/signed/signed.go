// Package signed seals messages into wirepb.Signed and opens them again: deterministic bytes, one ed25519 signature,
// a registered purpose. It does not know what a message means, nor whether its signer was entitled to say it.
package signed

import (
	"crypto/ed25519"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// MaxBody bounds the body of any signed message: the largest is a page of an index entry.
const MaxBody = 1 << 20

// Seal encodes m and signs it for purpose p.
func Seal(d sign.Domain, key ed25519.PrivateKey, p sign.Purpose, m proto.Message) *wirepb.Signed {
	body := wire.Encode(m)
	sig := d.Sign(key, p, body)
	pub := mesh.PublicKeyOf(key)
	return &wirepb.Signed{Body: body, Key: pub[:], Signature: sig[:]}
}

// Open verifies s for purpose p, decodes its body into m, and returns the key that signed it. The caller decides
// whether that key may say so. Errors are of kind Invalid (malformed) or Denied (the signature does not fit).
func Open(d sign.Domain, s *wirepb.Signed, p sign.Purpose, m proto.Message) (mesh.PublicKey, error) {
	key, err := Verify(d, s, p)
	if err != nil {
		return key, err
	}
	return key, wire.Decode(s.Body, MaxBody, m)
}

// Verify is Open for a body that the caller has decoded already.
func Verify(d sign.Domain, s *wirepb.Signed, p sign.Purpose) (mesh.PublicKey, error) {
	if s == nil {
		return mesh.PublicKey{}, mesh.Errorf(mesh.Invalid, "a signed message (%s) is missing", p)
	}
	key, err := mesh.FromBytes[mesh.PublicKey](s.Key)
	if err != nil {
		return key, err
	}
	sig, err := mesh.FromBytes[mesh.Signature](s.Signature)
	if err != nil {
		return key, err
	}
	return key, d.Verify(key, p, s.Body, sig)
}
