package chaintest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

// Key derives an ed25519 key from a name.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("key of " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Public is the public half of Key.
func Public(name string) mesh.PublicKey { return mesh.PublicKeyOf(Key(name)) }

// NodeName and AuthorityName name the i-th member that WithMembers adds. Its wallet has the same name; its keys have
// the name with "/node", "/report", "/consensus" or "/tls" behind it.
func NodeName(i int) string      { return fmt.Sprintf("node-%d", i) }
func AuthorityName(i int) string { return fmt.Sprintf("authority-%d", i) }

// NodeID is the id of the i-th node.
func NodeID(i int) mesh.NodeID { return mesh.NodeIDOf(Public(NodeName(i) + "/node")) }

// AuthorityID is the id of the i-th authority.
func AuthorityID(i int) mesh.AuthorityID {
	return mesh.AuthorityIDOf(Public(AuthorityName(i) + "/report"))
}

// WithMembers adds authorities that deposited 1000 STOS each and storage nodes that deposited 800.
func WithMembers(spec *devspec.Spec, authorities, nodes int) {
	for i := range authorities {
		name := AuthorityName(i)
		spec.Authorities = append(spec.Authorities, devspec.Authority{Name: name, Operator: NewWallet(name).Account(),
			ReportKey: Public(name + "/report"), ConsensusKey: Public(name + "/consensus"), TLSKey: Public(name + "/tls"),
			Address: fmt.Sprintf("127.0.0.1:%d", 1000+i), Deposit: mesh.Stos(1000)})
	}
	for i := range nodes {
		name := NodeName(i)
		spec.Nodes = append(spec.Nodes, devspec.Node{Name: name, Operator: NewWallet(name).Account(), NodeKey: Public(name + "/node"),
			TLSKey: Public(name + "/tls"), Kinds: devspec.Storage, Tier: 1, Address: fmt.Sprintf("127.0.0.1:%d", 2000+i),
			Domain: name, Deposit: mesh.Stos(800)})
	}
}
