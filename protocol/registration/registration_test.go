package registration

import (
	"crypto/ed25519"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// A proof holds for exactly one network, operator, role and list of keys.
func TestProof(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	pub, tls := mesh.PublicKeyOf(key), mesh.PublicKey{9}
	network, operator := mesh.NetworkID{1}, mesh.Account{2}
	claim := NodeClaim(operator, pub, tls)
	proof := claim.Prove(network, key)
	if err := claim.Verify(network, pub, proof); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"network":  claim.Verify(mesh.NetworkID{3}, pub, proof),
		"operator": NodeClaim(mesh.Account{4}, pub, tls).Verify(network, pub, proof),
		"TLS key":  NodeClaim(operator, pub, mesh.PublicKey{8}).Verify(network, pub, proof),
		"role":     Claim{operator, AuthorityClaim(operator, pub, pub, tls).Role, claim.Keys}.Verify(network, pub, proof),
		"key":      claim.Verify(network, tls, proof),
		"purpose":  claim.Verify(network, pub, sign.Domain{Network: network}.Sign(key, sign.Report, claim.content())),
	} {
		if mesh.KindOf(err) != mesh.Denied {
			t.Errorf("another %s: %v", name, err)
		}
	}
}
