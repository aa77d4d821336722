// Package report is the epoch report with which authorities settle traffic on the value layer: a signed header that
// commits to bounded pages under Merkle roots. It builds, signs and checks; it computes no report and applies none.
//
// The meta layer builds reports with Build, the chain checks headers with VerifySigned and pages with OpenPage.
package report

import (
	"crypto/ed25519"
	"crypto/sha256"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Kinds of resource in the order in which a header lists them.
const (
	Storage = iota
	Database
	Compute
	Kinds
)

// A Table numbers a list of pages: 2*kind for the volumes of a kind, 2*kind+1 for its debits. Pages are applied in
// the order of tables, because debits refer to volumes by position.
type Table uint32

// Tables is their number.
const Tables Table = 2 * Kinds

// Kind of resource that the table is about.
func (t Table) Kind() int { return int(t / 2) }

// IsDebits tells debit tables from volume tables.
func (t Table) IsDebits() bool { return t%2 == 1 }

// Limits of a report. The largest page stays below 64 KiB, so that it fits a transaction with its path.
const (
	MaxHeader      = 1 << 10 // bytes
	MaxPages       = 1 << 16 // of a table
	MaxLeaves      = 512     // of a page
	MaxShares      = 2048    // of a debit page, over all leaves
	MaxPage        = 64 << 10
	maxPath        = 16 // levels above 2^16 pages
	MaxEnvelope    = MaxPage + 34*maxPath + 16
	MaxAuthorities = 100
)

// A Header is what authorities sign.
type Header struct {
	FromEpoch  mesh.Epoch // epochs FromEpoch to Epoch-1 had nothing to report
	Epoch      mesh.Epoch
	MetaHeight mesh.Height
	MetaRoot   [32]byte
	Tables     [Tables]TableRoot
	Fees       mesh.Noz // log-write fees over all debit tables
}

// A TableRoot commits to the pages of a table.
type TableRoot struct {
	Pages uint32
	Root  [32]byte // zero when there is no page
	Noz   mesh.Noz // sum of the leaves; of a debit leaf what receipts say, not its fees
}

// Encode writes the header in the bytes that are signed and hashed.
func (h *Header) Encode() []byte {
	m := &wirepb.ReportHeader{FromEpoch: uint64(h.FromEpoch), Epoch: uint64(h.Epoch), MetaHeight: uint64(h.MetaHeight),
		MetaRoot: h.MetaRoot[:], FeesNoz: uint64(h.Fees)}
	for kind := range Kinds {
		v, d := h.Tables[2*kind], h.Tables[2*kind+1]
		m.Kinds = append(m.Kinds, &wirepb.ReportTables{
			VolumePages: v.Pages, VolumeRoot: v.root(), VolumeNoz: uint64(v.Noz),
			DebitPages: d.Pages, DebitRoot: d.root(), DebitNoz: uint64(d.Noz),
		})
	}
	return wire.Encode(m)
}

func (t TableRoot) root() []byte {
	if t.Pages == 0 {
		return nil
	}
	return t.Root[:]
}

// DecodeHeader reads a header and checks all that can be checked without the chain's state.
func DecodeHeader(b []byte) (*Header, error) {
	var m wirepb.ReportHeader
	if err := wire.Decode(b, MaxHeader, &m); err != nil {
		return nil, err
	}
	h := &Header{FromEpoch: mesh.Epoch(m.FromEpoch), Epoch: mesh.Epoch(m.Epoch), MetaHeight: mesh.Height(m.MetaHeight), Fees: mesh.Noz(m.FeesNoz)}
	switch {
	case m.FromEpoch > m.Epoch || m.Epoch > 1<<53:
		return nil, mesh.Errorf(mesh.Invalid, "a report of the epochs %d to %d", m.FromEpoch, m.Epoch)
	case m.MetaHeight > 1<<62:
		return nil, mesh.Errorf(mesh.Invalid, "meta height %d is out of range", m.MetaHeight)
	case len(m.MetaRoot) != len(h.MetaRoot):
		return nil, mesh.Errorf(mesh.Invalid, "the meta root has %d bytes, want 32", len(m.MetaRoot))
	case len(m.Kinds) != Kinds:
		return nil, mesh.Errorf(mesh.Invalid, "%d kinds, want %d", len(m.Kinds), Kinds)
	}
	copy(h.MetaRoot[:], m.MetaRoot)
	var volumes, debits uint64
	for kind, k := range m.Kinds {
		for i, t := range []struct {
			pages uint32
			root  []byte
			noz   uint64
		}{{k.VolumePages, k.VolumeRoot, k.VolumeNoz}, {k.DebitPages, k.DebitRoot, k.DebitNoz}} {
			switch {
			case t.pages > MaxPages:
				return nil, mesh.Errorf(mesh.Invalid, "%d pages, at most %d", t.pages, MaxPages)
			case t.pages == 0 && (len(t.root) != 0 || t.noz != 0), t.pages > 0 && len(t.root) != 32:
				return nil, mesh.Errorf(mesh.Invalid, "%d pages with a root of %d bytes and %d noz", t.pages, len(t.root), t.noz)
			case t.noz > uint64(mesh.MaxNoz):
				return nil, mesh.Errorf(mesh.Invalid, "%d noz are out of range", t.noz)
			}
			root := TableRoot{Pages: t.pages, Noz: mesh.Noz(t.noz)}
			copy(root.Root[:], t.root)
			h.Tables[2*kind+i] = root
		}
		if k.VolumeNoz != k.DebitNoz {
			return nil, mesh.Errorf(mesh.Invalid, "kind %d: %d noz were delivered but %d debited", kind, k.VolumeNoz, k.DebitNoz)
		}
		volumes, debits = volumes+k.VolumeNoz, debits+k.DebitNoz // each below 2^63, three of them: checked below
		if volumes > uint64(mesh.MaxNoz) || debits > uint64(mesh.MaxNoz) {
			return nil, mesh.Errorf(mesh.Invalid, "the report's volumes are out of range")
		}
	}
	if m.FeesNoz > uint64(mesh.MaxNoz)-debits {
		return nil, mesh.Errorf(mesh.Invalid, "%d noz of fees are out of range", m.FeesNoz)
	}
	return h, nil
}

// Hash names a header.
func Hash(header []byte) [32]byte { return sha256.Sum256(header) }

// Sign signs a header's bytes as an authority.
func Sign(network mesh.NetworkID, key ed25519.PrivateKey, header []byte) mesh.Signature {
	return sign.Domain{Network: network}.Sign(key, sign.Report, header)
}

// A Signed is an authority's signature of a header.
type Signed struct {
	Authority mesh.AuthorityID
	Signature mesh.Signature
}

// Enough tells whether so many signatures of so many registered authorities carry a report: more than two thirds.
func Enough(signed, registered int) bool { return 3*signed > 2*registered }

// Pair pairs signers, by their ids, with what they signed.
func Pair(ids, signatures [][]byte) ([]Signed, error) {
	if len(ids) != len(signatures) || len(ids) > MaxAuthorities {
		return nil, mesh.Errorf(mesh.Invalid, "%d signers with %d signatures, at most %d", len(ids), len(signatures), MaxAuthorities)
	}
	signed := make([]Signed, len(ids))
	for i := range ids {
		id, err := mesh.FromBytes[mesh.AuthorityID](ids[i])
		if err != nil {
			return nil, err
		}
		sig, err := mesh.FromBytes[mesh.Signature](signatures[i])
		if err != nil {
			return nil, err
		}
		signed[i] = Signed{Authority: id, Signature: sig}
	}
	return signed, nil
}

// VerifySigned tells whether enough of the registered authorities signed a header, or another statement, for a purpose on this network.
// Each signer must be registered and stand once in the list; one bad signature refuses the whole.
func VerifySigned(network mesh.NetworkID, p sign.Purpose, registered map[mesh.AuthorityID]mesh.PublicKey, content []byte, signed []Signed) error {
	if len(signed) > MaxAuthorities {
		return mesh.Errorf(mesh.Invalid, "%d signatures, at most %d", len(signed), MaxAuthorities)
	}
	if !Enough(len(signed), len(registered)) {
		return mesh.Errorf(mesh.Denied, "%d of %d authorities signed, more than two thirds must", len(signed), len(registered))
	}
	seen := make(map[mesh.AuthorityID]bool, len(signed))
	for _, s := range signed {
		key, ok := registered[s.Authority]
		switch {
		case !ok:
			return mesh.Errorf(mesh.Denied, "%s is not an authority", s.Authority)
		case seen[s.Authority]:
			return mesh.Errorf(mesh.Denied, "%s signed twice", s.Authority)
		}
		seen[s.Authority] = true
		if err := (sign.Domain{Network: network}).Verify(key, p, content, s.Signature); err != nil {
			return err
		}
	}
	return nil
}
