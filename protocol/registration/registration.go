// Package registration is the proof with which a node or an authority shows, when it registers or rotates its keys,
// that it holds them: nobody can register the key of another, or under another's name.
//
// It stores nothing: package chain/x/register does.
package registration

import (
	"crypto/ed25519"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Claim is what a key signs: who operates it, and all keys that the registration names. For a node these are its
// node key and TLS key; for an authority its report, consensus and TLS key.
type Claim struct {
	Operator mesh.Account
	Role     wirepb.Role
	Keys     []mesh.PublicKey
}

// NodeClaim is the claim of a resource node. Its node key proves it.
func NodeClaim(operator mesh.Account, node, tls mesh.PublicKey) Claim {
	return Claim{operator, wirepb.Role_ROLE_NODE, []mesh.PublicKey{node, tls}}
}

// AuthorityClaim is the claim of an authority. Its report key and its consensus key both prove it.
func AuthorityClaim(operator mesh.Account, report, consensus, tls mesh.PublicKey) Claim {
	return Claim{operator, wirepb.Role_ROLE_AUTHORITY, []mesh.PublicKey{report, consensus, tls}}
}

func (c Claim) content() []byte {
	m := &wirepb.Registration{Operator: c.Operator[:], Role: c.Role}
	for _, k := range c.Keys {
		m.Keys = append(m.Keys, k[:])
	}
	return wire.Encode(m)
}

// Prove signs the claim with one of its keys.
func (c Claim) Prove(network mesh.NetworkID, key ed25519.PrivateKey) mesh.Signature {
	return sign.Domain{Network: network}.Sign(key, sign.Registration, c.content())
}

// Verify tells whether key proved the claim on this network; if not, the error is of kind Denied.
func (c Claim) Verify(network mesh.NetworkID, key mesh.PublicKey, proof mesh.Signature) error {
	return sign.Domain{Network: network}.Verify(key, sign.Registration, c.content(), proof)
}
