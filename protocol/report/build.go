package report

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Charge says that an account owes a node for what it delivered.
type Charge struct {
	Account mesh.Account
	Node    mesh.NodeID
	Noz     mesh.Noz
}

// A Ledger is an epoch's traffic as the meta layer counted it, in any order; charges of the same account and node add
// up.
type Ledger struct {
	FromEpoch, Epoch mesh.Epoch
	MetaHeight       mesh.Height
	MetaRoot         [32]byte
	Charges          [Kinds][]Charge
	Fees             map[mesh.Account]mesh.Noz // for log writes; they stand in the storage table
}

// A Report is a header and the envelopes of its pages, as they are handed to the chain.
type Report struct {
	Header *Header
	Bytes  []byte           // of the header: what authorities sign
	Pages  [Tables][][]byte // envelopes
}

// Build lays an epoch's ledger out in its one canonical report, so that every authority that counted the same signs
// the same bytes.
func Build(l *Ledger) (*Report, error) {
	r := &Report{Header: &Header{FromEpoch: l.FromEpoch, Epoch: l.Epoch, MetaHeight: l.MetaHeight, MetaRoot: l.MetaRoot}}
	for kind := range Kinds {
		var fees map[mesh.Account]mesh.Noz
		if kind == Storage {
			fees = l.Fees
		}
		volumes, debits := tables(l.Charges[kind], fees)
		for i, pages := range [][]*Page{volumePages(volumes), debitPages(debits)} {
			t := 2*kind + i
			r.Pages[t] = r.Header.Tables[t].seal(pages)
		}
		for _, v := range volumes {
			r.Header.Tables[2*kind].Noz += v.Noz
		}
		for _, d := range debits {
			r.Header.Tables[2*kind+1].Noz += d.Noz
			r.Header.Fees += d.Fees
		}
	}
	r.Bytes = r.Header.Encode()
	// The chain will read the header so; what it would refuse must not be signed.
	_, err := DecodeHeader(r.Bytes)
	return r, err
}

// tables adds charges up by node and by account.
func tables(charges []Charge, fees map[mesh.Account]mesh.Noz) ([]Volume, []Debit) {
	byNode := map[mesh.NodeID]mesh.Noz{}
	byAccount := map[mesh.Account]map[mesh.NodeID]mesh.Noz{}
	for _, c := range charges {
		if c.Noz == 0 {
			continue
		}
		byNode[c.Node] += c.Noz
		if byAccount[c.Account] == nil {
			byAccount[c.Account] = map[mesh.NodeID]mesh.Noz{}
		}
		byAccount[c.Account][c.Node] += c.Noz
	}
	for a, fee := range fees {
		if fee > 0 && byAccount[a] == nil {
			byAccount[a] = nil
		}
	}
	volumes := make([]Volume, 0, len(byNode))
	for n, noz := range byNode {
		volumes = append(volumes, Volume{n, noz})
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return bytes.Compare(a.Node[:], b.Node[:]) })
	position := make(map[mesh.NodeID]uint32, len(volumes))
	for i, v := range volumes {
		position[v.Node] = uint32(i)
	}
	debits := make([]Debit, 0, len(byAccount))
	for a, nodes := range byAccount {
		d := Debit{Account: a, Fees: fees[a]}
		for n, noz := range nodes {
			d.Noz += noz
			d.Shares = append(d.Shares, Share{position[n], noz})
		}
		slices.SortFunc(d.Shares, func(a, b Share) int { return cmp.Compare(a.Node, b.Node) })
		debits = append(debits, d)
	}
	slices.SortFunc(debits, func(a, b Debit) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	return volumes, debits
}

func volumePages(volumes []Volume) (pages []*Page) {
	for chunk := range slices.Chunk(volumes, MaxLeaves) {
		pages = append(pages, &Page{Volumes: chunk})
	}
	return pages
}

// debitPages fills pages up to the limits of leaves and shares.
func debitPages(debits []Debit) (pages []*Page) {
	shares := 0
	for _, whole := range debits {
		for _, d := range whole.parts() {
			last := len(pages) - 1
			if last < 0 || len(pages[last].Debits) == MaxLeaves || shares+len(d.Shares) > MaxShares {
				pages = append(pages, new(Page))
				last, shares = last+1, 0
			}
			pages[last].Debits = append(pages[last].Debits, d)
			shares += len(d.Shares)
		}
	}
	return pages
}

// parts cuts a debit with more shares than a page holds. The fees stay with the first part.
func (d Debit) parts() (parts []Debit) {
	if len(d.Shares) <= MaxShares {
		return []Debit{d}
	}
	for shares := range slices.Chunk(d.Shares, MaxShares) {
		part := Debit{Account: d.Account, Shares: shares}
		for _, s := range shares {
			part.Noz += s.Noz
		}
		if parts == nil {
			part.Fees = d.Fees
		}
		parts = append(parts, part)
	}
	return parts
}

// seal sets the root over pages and returns their envelopes.
func (t *TableRoot) seal(pages []*Page) (envelopes [][]byte) {
	t.Pages = uint32(len(pages))
	encoded := make([][]byte, len(pages))
	leaves := make([][32]byte, len(pages))
	for i, p := range pages {
		encoded[i] = encodePage(p)
		leaves[i] = leafHash(encoded[i])
	}
	for i := range pages {
		r, path := root(leaves, i)
		t.Root = r
		e := &wirepb.PageEnvelope{Page: encoded[i]}
		for _, h := range path {
			e.Path = append(e.Path, h[:])
		}
		envelopes = append(envelopes, wire.Encode(e))
	}
	return envelopes
}
