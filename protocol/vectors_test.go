// Package protocol_test holds the shared vectors of the signed messages: testdata/vectors.json. Whoever writes another
// implementation checks it against that file.
package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorFile = "testdata/vectors.json"

// A vector is one message as it crosses the wire and what a receiver of its network must think of it.
type vector struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Message string `json:"message"`           // hex: a wirepb.Signed, of a grant a wirepb.Chain
	Refused string `json:"refused,omitempty"` // the mesh.Kind; absent: valid
	Why     string `json:"why,omitempty"`
}

type vectors struct {
	Network string   `json:"network"` // hex
	Group   uint32   `json:"group"`
	Vectors []vector `json:"vectors"`
}

var home = sign.Domain{Network: sha256.Sum256([]byte("vectors")), Group: 7}

func keyOf(label string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte("key of " + label))
	return ed25519.NewKeyFromSeed(h[:])
}

func fill(label string, n int) []byte {
	h := sha256.Sum256([]byte(label))
	return h[:n]
}

// checks is how each kind is received, as far as it can be judged by itself.
var checks = map[string]func(sign.Domain, []byte) error{
	"lease": func(d sign.Domain, b []byte) error {
		m := new(wirepb.Lease)
		by, err := open(d, b, sign.Lease, m)
		if err == nil {
			_, err = traffic.ParseLease(m, by)
		}
		return err
	},
	"ticket": func(d sign.Domain, b []byte) error {
		s, err := unwrap(b)
		if err == nil {
			_, _, err = traffic.OpenTicket(d, s)
		}
		return err
	},
	"receipt": func(d sign.Domain, b []byte) error {
		s, err := unwrap(b)
		if err == nil {
			_, err = traffic.OpenReceipt(d, s)
		}
		return err
	},
	"acknowledgement": func(d sign.Domain, b []byte) error {
		m := new(wirepb.Ack)
		by, err := open(d, b, sign.Ack, m)
		if err != nil {
			return err
		}
		slice, err := mesh.FromBytes[mesh.SliceID](m.Slice)
		if err != nil {
			return err
		}
		session, err := mesh.FromBytes[mesh.PublicKey](m.Session)
		if err != nil {
			return err
		}
		s, err := unwrap(b)
		if err != nil {
			return err
		}
		return traffic.Ack{Slice: slice, Length: m.Length, Session: session}.Verify(d, by, s.Signature)
	},
	"entry": func(d sign.Domain, b []byte) error {
		m := new(wirepb.Entry)
		if _, err := open(d, b, sign.Entry, m); err != nil {
			return err
		}
		if err := index.CheckEntry(m, false); err != nil {
			return err
		}
		root, stored := index.NewContentRoot(m.Size, m.FrameBytes, m.Inline), uint64(0)
		root.Add(m.Extents...)
		for _, x := range m.Extents {
			stored += x.Length
		}
		return index.CheckTotal(m, false, stored, root)
	},
	"page": func(d sign.Domain, b []byte) error {
		m := new(wirepb.Page)
		if _, err := open(d, b, sign.Page, m); err != nil {
			return err
		}
		return index.CheckPage(m)
	},
	"grant": func(d sign.Domain, b []byte) error {
		c := new(wirepb.Chain)
		if err := wire.Decode(b, 1<<20, c); err != nil {
			return err
		}
		_, err := grant.Verify(d, c)
		return err
	},
	"deletion": func(d sign.Domain, b []byte) error {
		_, err := open(d, b, sign.Deletion, new(wirepb.Deletion))
		return err
	},
	"settlement": func(d sign.Domain, b []byte) error {
		m := new(wirepb.Settlement)
		if _, err := open(d, b, sign.Settlement, m); err != nil {
			return err
		}
		for _, r := range m.Receipts {
			if _, err := traffic.OpenReceipt(d, r); err != nil {
				return err
			}
		}
		return nil
	},
}

func unwrap(b []byte) (*wirepb.Signed, error) {
	s := new(wirepb.Signed)
	return s, wire.Decode(b, signed.MaxBody+1024, s)
}

func open(d sign.Domain, b []byte, p sign.Purpose, m proto.Message) (mesh.PublicKey, error) {
	s, err := unwrap(b)
	if err != nil {
		return mesh.PublicKey{}, err
	}
	return signed.Open(d, s, p, m)
}

func sampleSegment(session mesh.PublicKey, length, pieceBytes uint64) *wirepb.Segment {
	s := &wirepb.Segment{Length: length, DataPieces: 4, PieceBytes: pieceBytes}
	for i := range 7 {
		node := keyOf("node " + string(rune('a'+i)))
		id := mesh.NodeIDOf(mesh.PublicKeyOf(node))
		slice := mesh.SliceID(fill("slice "+string(rune('a'+i)), 32))
		p := &wirepb.Piece{Slice: slice[:], Node: id[:]}
		if i != 6 { // the last one is missing yet
			sig := traffic.Ack{Slice: slice, Length: pieceBytes, Session: session}.Sign(home, node)
			p.Ack = sig[:]
		}
		s.Pieces = append(s.Pieces, p)
	}
	return s
}

// samples returns one message of each kind but the grant, with the key and the purpose that sign it.
func samples() []struct {
	kind string
	p    sign.Purpose
	key  ed25519.PrivateKey
	m    proto.Message
} {
	session, node := keyOf("session"), keyOf("node a")
	sessionKey := mesh.PublicKeyOf(session)
	nodeID := mesh.NodeIDOf(mesh.PublicKeyOf(node))
	lease := mesh.LeaseID(fill("lease", 16))
	authority := mesh.AuthorityIDOf(mesh.PublicKeyOf(keyOf("authority")))
	const frame, size = 25_000, 100_000
	stored := index.Stored(size, frame, index.TagBytes)
	segment := sampleSegment(sessionKey, stored, index.PieceBytes(stored, frame+index.TagBytes, 4))
	id := index.SegmentIDOf(segment)
	extents := []*wirepb.Extent{{Segment: id[:], Length: stored}}
	root := index.NewContentRoot(size, frame, nil)
	root.Add(extents...)
	return []struct {
		kind string
		p    sign.Purpose
		key  ed25519.PrivateKey
		m    proto.Message
	}{
		{"lease", sign.Lease, session, traffic.Lease{ID: lease, Amount: 1 << 30, Authority: authority, ExpiresMs: 1_800_000_000_000}.Message()},
		{"ticket", sign.Ticket, keyOf("authority"), &wirepb.Ticket{Authority: authority[:], Lease: lease[:], Session: sessionKey[:], Action: 1, ExpiresMs: 1_800_000_000_000,
			Allowances: []*wirepb.Allowance{{Node: nodeID[:], From: 10, To: 1 << 20, Slices: [][]byte{fill("slice a", 32)}}}}},
		{"receipt", sign.Receipt, session, &wirepb.Receipt{Lease: lease[:], Node: nodeID[:], Total: 123_456}},
		{"acknowledgement", sign.Ack, node, &wirepb.Ack{Slice: fill("slice a", 32), Length: segment.PieceBytes, Session: sessionKey[:]}},
		{"entry", sign.Entry, session, &wirepb.Entry{Bucket: "photos", Key: "2026/sun.jpg", Version: fill("version", 16), ModifiedMs: 1_799_999_000_000, Size: size,
			ContentRoot: root.Sum(), FrameBytes: frame, Extents: extents, Segments: []*wirepb.Segment{segment}, Upload: fill("upload", 16),
			WrappedKey: bytes.Repeat([]byte{5}, 60), SealedMetadata: fill("metadata", 20), Condition: index.Equal, ExpectedVersion: fill("before", 16)}},
		{"page", sign.Page, session, &wirepb.Page{Upload: fill("upload", 16), Number: 3, Bucket: "photos", Key: "2026/sun.jpg", Extents: extents,
			Segments: []*wirepb.Segment{segment}, AtMs: 1_799_999_000_000}},
		{"deletion", sign.Deletion, session, &wirepb.Deletion{Bucket: "photos", Key: "2026/sun.jpg", Version: fill("version", 16), AtMs: 1_799_999_000_000}},
		{"settlement", sign.Settlement, node, &wirepb.Settlement{Node: nodeID[:], Receipts: []*wirepb.Signed{
			traffic.Receipt{Lease: lease, Node: nodeID, Total: 99}.Seal(home, session)}}},
	}
}

func sealRaw(d sign.Domain, key ed25519.PrivateKey, p sign.Purpose, body []byte) *wirepb.Signed {
	sig, pub := d.Sign(key, p, body), mesh.PublicKeyOf(key)
	return &wirepb.Signed{Body: body, Key: pub[:], Signature: sig[:]}
}

func makeVectors(t *testing.T) vectors {
	all := vectors{Network: hex.EncodeToString(home.Network[:]), Group: uint32(home.Group)}
	add := func(kind, name string, m proto.Message, refused mesh.Kind, why string) {
		v := vector{Name: kind + ": " + name, Kind: kind, Message: hex.EncodeToString(wire.Encode(m)), Why: why}
		if why != "" {
			v.Refused = refused.String()
		}
		all.Vectors = append(all.Vectors, v)
	}
	for _, s := range samples() {
		body := wire.Encode(s.m)
		good := sealRaw(home, s.key, s.p, body)
		add(s.kind, "valid", good, 0, "")
		for _, bad := range []struct {
			name, why string
			kind      mesh.Kind
			s         *wirepb.Signed
		}{
			{"body changed", "the signature covers another body", mesh.Denied, &wirepb.Signed{Body: flip(body), Key: good.Key, Signature: good.Signature}},
			{"signature changed", "one bit of the signature is wrong", mesh.Denied, &wirepb.Signed{Body: body, Key: good.Key, Signature: flip(good.Signature)}},
			{"another's key", "the key is not the signer's", mesh.Denied, &wirepb.Signed{Body: body, Key: pub("stranger"), Signature: good.Signature}},
			{"short key", "a key has 32 bytes", mesh.Invalid, &wirepb.Signed{Body: body, Key: good.Key[:31], Signature: good.Signature}},
			{"no signature", "a signature has 64 bytes", mesh.Invalid, &wirepb.Signed{Body: body, Key: good.Key}},
			{"another purpose", "signed for registration/1", mesh.Denied, sealRaw(home, s.key, sign.Registration, body)},
			{"another group", "signed for group 8", mesh.Denied, sealRaw(sign.Domain{Network: home.Network, Group: 8}, s.key, s.p, body)},
			{"unknown field", "field 127 does not exist", mesh.Invalid, sealRaw(home, s.key, s.p, append(bytes.Clone(body), 0xf8, 0x07, 0x01))},
			{"written twice", "not the one deterministic encoding", mesh.Invalid, sealRaw(home, s.key, s.p, append(bytes.Clone(body), body...))},
			{"cut", "the body ends inside a field", mesh.Invalid, sealRaw(home, s.key, s.p, body[:len(body)-1])},
		} {
			add(s.kind, bad.name, bad.s, bad.kind, bad.why)
		}
	}
	addGrants(t, add)
	return all
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

func pub(label string) []byte { p := mesh.PublicKeyOf(keyOf(label)); return p[:] }

func addGrants(t *testing.T, add func(kind, name string, m proto.Message, refused mesh.Kind, why string)) {
	ek, err := crypto.ToECDSA(fill("account", 32))
	if err != nil {
		t.Fatal(err)
	}
	budget := uint64(5_000_000)
	link := func(i int) *wirepb.Link {
		return &wirepb.Link{Id: fill("link "+string(rune('0'+i)), 16), Holder: pub("holder " + string(rune('0'+i))), Prefix: "photos/", Operations: uint32(grant.All),
			NotBeforeMs: 1000, ExpiresMs: 9_000_000_000_000, Budget: &budget, Label: "link"}
	}
	chain := func(n int, change func(i int, l *wirepb.Link)) *wirepb.Chain {
		var c *wirepb.Chain
		for i := range n {
			l := link(i)
			if change != nil {
				change(i, l)
			}
			var err error
			if i == 0 {
				c, err = grant.Root(home, account.NewKey(ek), l)
			} else {
				c, err = grant.Extend(home, c, keyOf("holder "+string(rune('0'+i-1))), l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	for _, n := range []int{1, 2, 8} {
		add("grant", string(rune('0'+n))+" links", chain(n, nil), 0, "")
	}
	add("grant", "9 links", chain(9, nil), mesh.Invalid, "a chain has at most 8 links")
	second := func(f func(l *wirepb.Link)) *wirepb.Chain {
		return chain(2, func(i int, l *wirepb.Link) {
			if i == 0 {
				l.Operations &^= uint32(grant.Buckets)
			} else {
				l.Operations &^= uint32(grant.Buckets)
				f(l)
			}
		})
	}
	add("grant", "wider prefix", second(func(l *wirepb.Link) { l.Prefix = "" }), mesh.Denied, "the second link covers more than the first")
	add("grant", "another bucket", second(func(l *wirepb.Link) { l.Prefix = "photos2/" }), mesh.Denied, "photos/ does not cover photos2/")
	add("grant", "more operations", second(func(l *wirepb.Link) { l.Operations = uint32(grant.All) }), mesh.Denied, "the second link adds buckets")
	add("grant", "earlier", second(func(l *wirepb.Link) { l.NotBeforeMs = 999 }), mesh.Denied, "the second link begins before the first")
	add("grant", "later", second(func(l *wirepb.Link) { l.ExpiresMs++ }), mesh.Denied, "the second link ends after the first")
	add("grant", "not to be passed on", chain(2, func(i int, l *wirepb.Link) { l.Operations = uint32(grant.Read) }), mesh.Denied, "the first link may not be passed on")

	good := chain(1, nil)
	root := func(sig []byte) *wirepb.Chain {
		return &wirepb.Chain{Root: &wirepb.RootLink{Body: good.Root.Body, Signature: sig}}
	}
	sig := good.Root.Signature
	order := crypto.S256().Params().N
	s := new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:64]))
	high := bytes.Clone(sig)
	s.FillBytes(high[32:64])
	high[64] = 27 + (1 - (sig[64] - 27))
	add("grant", "high s", root(high), mesh.Denied, "the same signature with s replaced by n-s")
	for _, v := range []byte{0, 1, 29} {
		other := bytes.Clone(sig)
		other[64] = v
		add("grant", fmt.Sprintf("v %d", v), root(other), mesh.Invalid, "v is 27 or 28")
	}
	other := bytes.Clone(sig)
	other[64] = 27 + (1 - (sig[64] - 27))
	add("grant", "the other v", root(other), mesh.Denied, "recovers another account")
	add("grant", "no root", &wirepb.Chain{}, mesh.Invalid, "the first link is missing")
	stranger := chain(2, nil)
	stranger.Links[0] = sealRaw(home, keyOf("stranger"), sign.Grant, stranger.Links[0].Body)
	add("grant", "signed by a stranger", stranger, mesh.Denied, "a link is signed by the holder before it")
}

func TestVectors(t *testing.T) {
	made := makeVectors(t)
	b, err := json.MarshalIndent(made, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk, b) {
		t.Errorf("%s is not what this code writes; a change of the format needs a new version (and -update)", vectorFile)
	}
	var all vectors
	if err := json.Unmarshal(disk, &all); err != nil {
		t.Fatal(err)
	}
	network, err := hex.DecodeString(all.Network)
	if err != nil {
		t.Fatal(err)
	}
	d := sign.Domain{Network: mesh.NetworkID(network), Group: mesh.GroupID(all.Group)}
	elsewhere := d
	elsewhere.Network[0] ^= 1
	valid := map[string]int{}
	for _, v := range all.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			m, err := hex.DecodeString(v.Message)
			if err != nil {
				t.Fatal(err)
			}
			err = checks[v.Kind](d, m)
			if v.Refused == "" {
				valid[v.Kind]++
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			} else if err == nil || mesh.KindOf(err).String() != v.Refused {
				t.Errorf("%s: got %v (%s), want %s", v.Why, err, mesh.KindOf(err), v.Refused)
			}
			if err := checks[v.Kind](elsewhere, m); err == nil {
				t.Error("it is believed in another network")
			}
			elsegroup := d
			elsegroup.Group += 100
			if err := checks[v.Kind](elsegroup, m); err == nil {
				t.Error("it is believed in another group")
			}
		})
	}
	for kind := range checks {
		if valid[kind] == 0 {
			t.Errorf("no valid vector for %s", kind)
		}
	}
}
