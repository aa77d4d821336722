package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Volume is what a node delivered.
type Volume struct {
	Node mesh.NodeID
	Noz  mesh.Noz
}

// A Debit is what an account owes: Noz by receipts, which its shares sum to, and Fees for log writes.
type Debit struct {
	Account mesh.Account
	Noz     mesh.Noz
	Fees    mesh.Noz
	Shares  []Share
}

// A Place orders the leaves of a table. Volume leaves are ordered by node. Debit leaves are ordered by account; one whose
// shares do not fit a page goes on in another leaf, with nodes behind those of the first.
type Place [24]byte

// Place of a volume leaf.
func (v Volume) Place() (p Place) { copy(p[:], v.Node[:]); return p }

// Place of a debit leaf: its account and the position behind its last share.
func (d Debit) Place() (p Place) {
	copy(p[:], d.Account[:])
	if n := len(d.Shares); n > 0 {
		binary.BigEndian.PutUint32(p[20:], d.Shares[n-1].Node+1)
	}
	return p
}

// Follows tells whether a volume leaf may follow what stands at p.
func (v Volume) Follows(p Place) bool { return bytes.Compare(p[:20], v.Node[:]) < 0 }

// Follows tells whether a debit leaf may follow what stands at p.
func (d Debit) Follows(p Place) bool {
	switch c := bytes.Compare(p[:20], d.Account[:]); {
	case c != 0:
		return c < 0
	default:
		return len(d.Shares) > 0 && d.Shares[0].Node >= binary.BigEndian.Uint32(p[20:]) && binary.BigEndian.Uint32(p[20:]) > 0
	}
}

// A Share is the part of a debit that pays a node, which it names by its position in the volume table of the kind.
type Share struct {
	Node uint32
	Noz  mesh.Noz
}

// A Page is one page of a table: either volumes or debits are filled.
type Page struct {
	Volumes []Volume
	Debits  []Debit
}

// Merkle trees over pages follow RFC 6962: a leaf is SHA-256(0x00 | page), a node SHA-256(0x01 | left | right), and
// the left subtree is the largest full one.

func leafHash(page []byte) [32]byte {
	return sha256.Sum256(append([]byte{0}, page...))
}

func nodeHash(left, right [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// split is the size of the left subtree over n > 1 leaves.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// root returns the root over leaves, and the path of leaf i from below.
func root(leaves [][32]byte, i int) (r [32]byte, path [][32]byte) {
	if len(leaves) == 1 {
		return leaves[0], nil
	}
	k := split(len(leaves))
	if i < k {
		left, path := root(leaves[:k], i)
		right, _ := root(leaves[k:], 0)
		return nodeHash(left, right), append(path, right)
	}
	left, _ := root(leaves[:k], 0)
	right, path := root(leaves[k:], i-k)
	return nodeHash(left, right), append(path, left)
}

// climb recomputes the root over n leaves from leaf i and its path. It fails when the path has another length.
func climb(leaf [32]byte, i, n int, path [][32]byte) ([32]byte, bool) {
	if n == 1 {
		return leaf, len(path) == 0
	}
	if len(path) == 0 {
		return leaf, false
	}
	top, below := path[len(path)-1], path[:len(path)-1]
	k := split(n)
	if i < k {
		left, ok := climb(leaf, i, k, below)
		return nodeHash(left, top), ok
	}
	right, ok := climb(leaf, i-k, n-k, below)
	return nodeHash(top, right), ok
}

// OpenPage checks that an envelope holds page index of a table under its root, and reads the page: every leaf well
// formed, in strictly rising order, and its shares summing to its debit. What spans pages is the caller's to check.
func OpenPage(h *Header, table Table, index uint32, envelope []byte) (*Page, error) {
	if table >= Tables || index >= h.Tables[table].Pages {
		return nil, mesh.Errorf(mesh.Invalid, "the report has no page %d in table %d", index, table)
	}
	var e wirepb.PageEnvelope
	if err := wire.Decode(envelope, MaxEnvelope, &e); err != nil {
		return nil, err
	}
	if len(e.Path) > maxPath {
		return nil, mesh.Errorf(mesh.Invalid, "a path of %d levels, at most %d", len(e.Path), maxPath)
	}
	path := make([][32]byte, len(e.Path))
	for i, p := range e.Path {
		if len(p) != len(path[i]) {
			return nil, mesh.Errorf(mesh.Invalid, "a hash of %d bytes in the path, want 32", len(p))
		}
		copy(path[i][:], p)
	}
	want := h.Tables[table]
	if got, ok := climb(leafHash(e.Page), int(index), int(want.Pages), path); !ok || got != want.Root {
		return nil, mesh.Errorf(mesh.Corrupt, "page %d of table %d is not under the report's root", index, table)
	}
	return decodePage(table, e.Page)
}

func decodePage(table Table, b []byte) (*Page, error) {
	if table.IsDebits() {
		return decodeDebits(b)
	}
	var m wirepb.VolumePage
	if err := wire.Decode(b, MaxPage, &m); err != nil {
		return nil, err
	}
	if err := leafCount(len(m.Leaves)); err != nil {
		return nil, err
	}
	p := &Page{Volumes: make([]Volume, len(m.Leaves))}
	for i, l := range m.Leaves {
		id, err := mesh.FromBytes[mesh.NodeID](l.GetNode())
		if err != nil {
			return nil, err
		}
		if i > 0 && bytes.Compare(m.Leaves[i-1].Node, l.Node) >= 0 {
			return nil, mesh.Errorf(mesh.Invalid, "nodes are not in rising order")
		}
		if l.Noz == 0 || l.Noz > uint64(mesh.MaxNoz) {
			return nil, mesh.Errorf(mesh.Invalid, "a volume of %d noz", l.Noz)
		}
		p.Volumes[i] = Volume{id, mesh.Noz(l.Noz)}
	}
	return p, nil
}

func decodeDebits(b []byte) (*Page, error) {
	var m wirepb.DebitPage
	if err := wire.Decode(b, MaxPage, &m); err != nil {
		return nil, err
	}
	if err := leafCount(len(m.Leaves)); err != nil {
		return nil, err
	}
	p := &Page{Debits: make([]Debit, len(m.Leaves))}
	shares := 0
	for i, l := range m.Leaves {
		account, err := mesh.FromBytes[mesh.Account](l.GetAccount())
		if err != nil {
			return nil, err
		}
		if shares += len(l.Shares); shares > MaxShares {
			return nil, mesh.Errorf(mesh.Invalid, "more than %d shares on a page", MaxShares)
		}
		d := Debit{Account: account, Noz: mesh.Noz(l.Noz), Fees: mesh.Noz(l.FeesNoz), Shares: make([]Share, len(l.Shares))}
		if d.Noz > mesh.MaxNoz || d.Fees > mesh.MaxNoz-d.Noz || d.Noz+d.Fees == 0 {
			return nil, mesh.Errorf(mesh.Invalid, "a debit of %d and %d noz", d.Noz, d.Fees)
		}
		var sum mesh.Noz
		for j, s := range l.Shares {
			if j > 0 && l.Shares[j-1].NodeIndex >= s.NodeIndex || s.NodeIndex > MaxPages*MaxLeaves {
				return nil, mesh.Errorf(mesh.Invalid, "shares are not in rising order")
			}
			if s.Noz == 0 || mesh.Noz(s.Noz) > d.Noz-sum {
				return nil, mesh.Errorf(mesh.Invalid, "the shares of %s do not sum to its debit", account)
			}
			sum += mesh.Noz(s.Noz)
			d.Shares[j] = Share{s.NodeIndex, mesh.Noz(s.Noz)}
		}
		if sum != d.Noz {
			return nil, mesh.Errorf(mesh.Invalid, "the shares of %s sum to %d noz, its debit is %d", account, sum, d.Noz)
		}
		if i > 0 && !d.Follows(p.Debits[i-1].Place()) {
			return nil, mesh.Errorf(mesh.Invalid, "accounts are not in rising order")
		}
		p.Debits[i] = d
	}
	return p, nil
}

func leafCount(n int) error {
	if n == 0 || n > MaxLeaves {
		return mesh.Errorf(mesh.Invalid, "a page of %d leaves, want 1 to %d", n, MaxLeaves)
	}
	return nil
}

func encodePage(p *Page) []byte {
	var m proto.Message
	if p.Debits != nil {
		page := new(wirepb.DebitPage)
		for _, d := range p.Debits {
			leaf := &wirepb.DebitLeaf{Account: d.Account[:], Noz: uint64(d.Noz), FeesNoz: uint64(d.Fees)}
			for _, s := range d.Shares {
				leaf.Shares = append(leaf.Shares, &wirepb.DebitShare{NodeIndex: s.Node, Noz: uint64(s.Noz)})
			}
			page.Leaves = append(page.Leaves, leaf)
		}
		m = page
	} else {
		page := new(wirepb.VolumePage)
		for _, v := range p.Volumes {
			page.Leaves = append(page.Leaves, &wirepb.VolumeLeaf{Node: v.Node[:], Noz: uint64(v.Noz)})
		}
		m = page
	}
	return wire.Encode(m)
}
