package mesh

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Bech32 prefixes of the network.
const (
	AccountPrefix = "st"     // an account
	NodePrefix    = "stsds"  // a resource node
	MemberPrefix  = "stmeta" // a member of the meta layer
)

// An Account is the 20-byte address of an eth_secp256k1 key: the last 20 bytes of the Keccak-256 of its public key.
type Account [20]byte

// A NodeID names a resource node for its whole life: the first 20 bytes of the SHA-256 of the ed25519 key with which
// it was first registered. The key itself can be rotated, the name stays.
type NodeID [20]byte

// An AuthorityID names a member of the meta layer, derived like a NodeID from its first report key.
type AuthorityID [20]byte

// A PublicKey is an ed25519 public key.
type PublicKey [ed25519.PublicKeySize]byte

// A Signature is an ed25519 signature.
type Signature [ed25519.SignatureSize]byte

// A NetworkID is the SHA-256 of the value layer's genesis document. Every signature covers it.
type NetworkID [32]byte

// A GroupID numbers a meta group. There is one group, 0, until accounts are homed on several.
type GroupID uint32

// A SliceID is the BLAKE3 root of a slice's bytes, so that any range of a slice can be proven against its name.
type SliceID [32]byte

// A LeaseID is chosen at random by the client and is used once.
type LeaseID [16]byte

// A JobID is chosen at random by a job's author and is used once.
type JobID [16]byte

// An UploadID is chosen at random by the client; it names the provisional pieces of one upload until they are committed.
type UploadID [16]byte

// A VersionID is chosen at random by the writer of an object; it names this version of the object for ever.
type VersionID [16]byte

// A DatabaseID is chosen at random by the owner.
type DatabaseID [16]byte

// A CellID names a group of replicas; it follows from the state in which the group was drawn.
type CellID [16]byte

// A SegmentID is the SHA-256 over a segment's geometry and its slice ids in order.
type SegmentID [32]byte

func (a Account) String() string     { return bech32Encode(AccountPrefix, a[:]) }
func (n NodeID) String() string      { return bech32Encode(NodePrefix, n[:]) }
func (a AuthorityID) String() string { return bech32Encode(MemberPrefix, a[:]) }
func (k PublicKey) String() string   { return hex.EncodeToString(k[:]) }
func (n NetworkID) String() string   { return hex.EncodeToString(n[:]) }
func (s SliceID) String() string     { return hex.EncodeToString(s[:]) }
func (l LeaseID) String() string     { return hex.EncodeToString(l[:]) }
func (j JobID) String() string       { return hex.EncodeToString(j[:]) }
func (u UploadID) String() string    { return hex.EncodeToString(u[:]) }
func (v VersionID) String() string   { return hex.EncodeToString(v[:]) }
func (s SegmentID) String() string   { return hex.EncodeToString(s[:]) }
func (d DatabaseID) String() string  { return hex.EncodeToString(d[:]) }
func (c CellID) String() string      { return hex.EncodeToString(c[:]) }

func (a Account) MarshalText() ([]byte, error)     { return []byte(a.String()), nil }
func (n NodeID) MarshalText() ([]byte, error)      { return []byte(n.String()), nil }
func (a AuthorityID) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
func (k PublicKey) MarshalText() ([]byte, error)   { return []byte(k.String()), nil }
func (n NetworkID) MarshalText() ([]byte, error)   { return []byte(n.String()), nil }
func (s SliceID) MarshalText() ([]byte, error)     { return []byte(s.String()), nil }
func (l LeaseID) MarshalText() ([]byte, error)     { return []byte(l.String()), nil }
func (j JobID) MarshalText() ([]byte, error)       { return []byte(j.String()), nil }
func (v VersionID) MarshalText() ([]byte, error)   { return []byte(v.String()), nil }
func (d DatabaseID) MarshalText() ([]byte, error)  { return []byte(d.String()), nil }
func (c CellID) MarshalText() ([]byte, error)      { return []byte(c.String()), nil }

func (a *Account) UnmarshalText(b []byte) (err error) { *a, err = ParseAccount(string(b)); return err }
func (n *NodeID) UnmarshalText(b []byte) (err error)  { *n, err = ParseNodeID(string(b)); return err }
func (a *AuthorityID) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAuthorityID(string(b))
	return err
}
func (k *PublicKey) UnmarshalText(b []byte) error { return parseHex("public key", k[:], string(b)) }
func (n *NetworkID) UnmarshalText(b []byte) error { return parseHex("network id", n[:], string(b)) }
func (s *SliceID) UnmarshalText(b []byte) error   { return parseHex("slice id", s[:], string(b)) }
func (l *LeaseID) UnmarshalText(b []byte) error   { return parseHex("lease id", l[:], string(b)) }
func (j *JobID) UnmarshalText(b []byte) error     { return parseHex("job id", j[:], string(b)) }
func (v *VersionID) UnmarshalText(b []byte) error { return parseHex("version id", v[:], string(b)) }
func (d *DatabaseID) UnmarshalText(b []byte) error {
	return parseHex("database id", d[:], string(b))
}
func (c *CellID) UnmarshalText(b []byte) error { return parseHex("cell id", c[:], string(b)) }

// ParseAccount reads an account in its bech32 form, st1..., or its Ethereum form, 0x and 40 hexadecimal digits.
// The capitals of the Ethereum form carry a checksum that is not examined here; package client/wallet does.
func ParseAccount(s string) (a Account, err error) {
	if len(s) == 42 && s[:2] == "0x" {
		return a, parseHex("account", a[:], s[2:])
	}
	return a, parseBech32("account", AccountPrefix, a[:], s)
}

// ParseNodeID reads a node's name, stsds1....
func ParseNodeID(s string) (n NodeID, err error) { return n, parseBech32("node", NodePrefix, n[:], s) }

// ParseAuthorityID reads an authority's name, stmeta1....
func ParseAuthorityID(s string) (a AuthorityID, err error) {
	return a, parseBech32("authority", MemberPrefix, a[:], s)
}

// ParseSliceID reads 64 hexadecimal digits, and nothing else: a slice's name never becomes part of a path.
func ParseSliceID(s string) (id SliceID, err error) { return id, parseHex("slice id", id[:], s) }

// NodeIDOf derives the name of a node from the key with which it is first registered.
func NodeIDOf(k PublicKey) (n NodeID) { h := sha256.Sum256(k[:]); copy(n[:], h[:]); return n }

// AuthorityIDOf derives the name of an authority from the report key with which it is first registered.
func AuthorityIDOf(k PublicKey) (a AuthorityID) { h := sha256.Sum256(k[:]); copy(a[:], h[:]); return a }

// PublicKeyOf returns the public half of an ed25519 private key.
func PublicKeyOf(k ed25519.PrivateKey) (p PublicKey) {
	copy(p[:], k.Public().(ed25519.PublicKey))
	return p
}

// NewLeaseID, NewJobID, NewUploadID and NewVersionID draw a random name. They panic when the system has no randomness.
func NewLeaseID() (l LeaseID)       { mustRandom(l[:]); return l }
func NewJobID() (j JobID)           { mustRandom(j[:]); return j }
func NewUploadID() (u UploadID)     { mustRandom(u[:]); return u }
func NewVersionID() (v VersionID)   { mustRandom(v[:]); return v }
func NewDatabaseID() (d DatabaseID) { mustRandom(d[:]); return d }

func mustRandom(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("mesh: no randomness: " + err.Error())
	}
}

// FromBytes copies b into an identifier of exactly its length; any other length is an error of kind invalid.
func FromBytes[T ~[16]byte | ~[20]byte | ~[32]byte | ~[64]byte](b []byte) (T, error) {
	var id T
	n := len(id)
	if len(b) != n {
		return id, Errorf(Invalid, "%T has %d bytes, want %d", id, len(b), n)
	}
	for i := range n {
		id[i] = b[i]
	}
	return id, nil
}

func parseHex(what string, dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return Errorf(Invalid, "%s %q has %d characters, want %d hexadecimal digits", what, clip(s), len(s), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		clear(dst)
		return Errorf(Invalid, "%s %q is not hexadecimal", what, clip(s))
	}
	return nil
}

func parseBech32(what, prefix string, dst []byte, s string) error {
	hrp, b, err := bech32Decode(s)
	if err != nil {
		return Errorf(Invalid, "%s %q: %v; it looks like %s1...", what, clip(s), err, prefix)
	}
	if hrp != prefix {
		return Errorf(Invalid, "%s %q begins with %q, want %q", what, clip(s), hrp, prefix)
	}
	if len(b) != len(dst) {
		return Errorf(Invalid, "%s %q holds %d bytes, want %d", what, clip(s), len(b), len(dst))
	}
	copy(dst, b)
	return nil
}

// clip shortens a text from outside for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%s... (%d characters)", s[:60], len(s))
	}
	return s
}
