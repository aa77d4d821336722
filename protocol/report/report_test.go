package report

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func node(i int) (n mesh.NodeID)     { binary.BigEndian.PutUint32(n[:], uint32(i)+1); return n }
func account(i int) (a mesh.Account) { binary.BigEndian.PutUint32(a[:], uint32(i)+1); return a }
func seed(i int) (k ed25519.PrivateKey) {
	s := make([]byte, 32)
	s[0] = byte(i)
	return ed25519.NewKeyFromSeed(s)
}

func build(t interface{ Fatal(...any) }, l *Ledger) *Report {
	r, err := Build(l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// open reads all pages of a report in order and returns its charges and fees again.
func open(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, r *Report) (charges [Kinds]map[Charge]bool, fees map[mesh.Account]mesh.Noz) {
	h, err := DecodeHeader(r.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	fees = map[mesh.Account]mesh.Noz{}
	for kind := range Kinds {
		charges[kind] = map[Charge]bool{}
		var nodes []Volume
		var last Place
		for i := range h.Tables[2*kind].Pages {
			p, err := OpenPage(h, Table(2*kind), i, r.Pages[2*kind][i])
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range p.Volumes {
				if !v.Follows(last) {
					t.Fatal("volumes out of order")
				}
				last = v.Place()
			}
			nodes = append(nodes, p.Volumes...)
		}
		last = Place{}
		for i := range h.Tables[2*kind+1].Pages {
			p, err := OpenPage(h, Table(2*kind+1), i, r.Pages[2*kind+1][i])
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range p.Debits {
				if !d.Follows(last) {
					t.Fatalf("debits out of order: %v after %v", d, last)
				}
				last = d.Place()
				fees[d.Account] += d.Fees
				for _, s := range d.Shares {
					charges[kind][Charge{d.Account, nodes[s.Node].Node, s.Noz}] = true
				}
			}
		}
	}
	return charges, fees
}

// A report tells exactly what its ledger held, in whatever order that came, and pages stay within their limits.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Ledger{Epoch: 7, MetaHeight: 9, Fees: map[mesh.Account]mesh.Noz{}}
		want := [Kinds]map[[2]int]mesh.Noz{}
		for kind := range Kinds {
			want[kind] = map[[2]int]mesh.Noz{}
			for range rapid.IntRange(0, 40).Draw(t, "charges") {
				a, n := rapid.IntRange(0, 8).Draw(t, "account"), rapid.IntRange(0, 8).Draw(t, "node")
				noz := mesh.Noz(rapid.Uint64Range(0, 1<<40).Draw(t, "noz"))
				l.Charges[kind] = append(l.Charges[kind], Charge{account(a), node(n), noz})
				if noz > 0 {
					want[kind][[2]int{a, n}] += noz
				}
			}
		}
		for range rapid.IntRange(0, 5).Draw(t, "fees") {
			l.Fees[account(rapid.IntRange(0, 12).Draw(t, "who"))] = mesh.Noz(rapid.Uint64Range(0, 99).Draw(t, "fee"))
		}
		r := build(t, &l)
		charges, fees := open(t, r)
		for kind := range Kinds {
			if len(charges[kind]) != len(want[kind]) {
				t.Fatalf("kind %d: %d charges, want %d", kind, len(charges[kind]), len(want[kind]))
			}
			for k, noz := range want[kind] {
				if !charges[kind][Charge{account(k[0]), node(k[1]), noz}] {
					t.Fatalf("kind %d: charge %v of %d is missing", kind, k, noz)
				}
			}
		}
		for a, fee := range l.Fees {
			if fees[a] != fee {
				t.Fatalf("fee %d, want %d", fees[a], fee)
			}
		}
		again := build(t, &l)
		if !bytes.Equal(again.Bytes, r.Bytes) {
			t.Fatal("one ledger led to two headers")
		}
	})
}

// Many leaves make many pages; an account with more shares than a page holds goes on in the next.
func TestManyPages(t *testing.T) {
	l := Ledger{Fees: map[mesh.Account]mesh.Noz{account(0): 3}}
	for i := range 2*MaxShares + 10 {
		l.Charges[Compute] = append(l.Charges[Compute], Charge{account(0), node(i), 5})
	}
	for i := range 3 * MaxLeaves {
		l.Charges[Compute] = append(l.Charges[Compute], Charge{account(i + 1), node(i), 7})
	}
	r := build(t, &l)
	if got := len(r.Pages[5]); got < 5 {
		t.Errorf("%d debit pages", got)
	}
	for _, table := range r.Pages {
		for _, p := range table {
			if len(p) > MaxEnvelope {
				t.Errorf("an envelope of %d bytes", len(p))
			}
		}
	}
	charges, fees := open(t, r)
	if len(charges[Compute]) != len(l.Charges[Compute]) || fees[account(0)] != 3 {
		t.Errorf("%d charges, want %d", len(charges[Compute]), len(l.Charges[Compute]))
	}
	// Each page only proves its own place.
	h := r.Header
	for i := range r.Pages[5] {
		for j := range r.Pages[5] {
			if _, err := OpenPage(h, 5, uint32(i), r.Pages[5][j]); (err == nil) != (i == j) {
				t.Errorf("page %d as page %d: %v", j, i, err)
			}
		}
	}
}

// The largest possible pages fit.
func TestLargestPage(t *testing.T) {
	var l Ledger
	for a := range MaxLeaves {
		for n := range MaxShares / MaxLeaves {
			l.Charges[Storage] = append(l.Charges[Storage], Charge{account(a), node(1000 * n), 1 << 50})
		}
	}
	r := build(t, &l)
	if len(r.Pages[1]) != 1 {
		t.Fatalf("%d pages", len(r.Pages[1]))
	}
	open(t, r)
}

func TestVerifySigned(t *testing.T) {
	header := build(t, &Ledger{}).Bytes
	network := mesh.NetworkID{7}
	for n := 1; n <= 7; n++ {
		registered := map[mesh.AuthorityID]mesh.PublicKey{}
		var all []Signed
		for i := range n {
			key := seed(i)
			id := mesh.AuthorityIDOf(mesh.PublicKeyOf(key))
			registered[id] = mesh.PublicKeyOf(key)
			all = append(all, Signed{id, Sign(network, key, header)})
		}
		for k := range n + 1 {
			enough := 3*k > 2*n
			if err := VerifySigned(network, sign.Report, registered, header, all[:k]); (err == nil) != enough {
				t.Errorf("%d of %d: %v", k, n, err)
			}
		}
		if err := VerifySigned(mesh.NetworkID{8}, sign.Report, registered, header, all); mesh.KindOf(err) != mesh.Denied {
			t.Errorf("another network: %v", err)
		}
	}
	if err := VerifySigned(network, sign.Report, nil, header, nil); err == nil {
		t.Error("nobody of nobody was enough")
	}
}

func TestHeaderBounds(t *testing.T) {
	good := build(t, &Ledger{Charges: [Kinds][]Charge{{{account(1), node(1), 5}}}})
	for name, change := range map[string]func(*wirepb.ReportHeader){
		"epochs backwards":    func(m *wirepb.ReportHeader) { m.FromEpoch = 5 },
		"huge epoch":          func(m *wirepb.ReportHeader) { m.Epoch = 1 << 60 },
		"short root":          func(m *wirepb.ReportHeader) { m.MetaRoot = m.MetaRoot[1:] },
		"a kind missing":      func(m *wirepb.ReportHeader) { m.Kinds = m.Kinds[1:] },
		"too many pages":      func(m *wirepb.ReportHeader) { m.Kinds[0].DebitPages = MaxPages + 1 },
		"root without page":   func(m *wirepb.ReportHeader) { m.Kinds[0].DebitPages = 0 },
		"page without root":   func(m *wirepb.ReportHeader) { m.Kinds[1].DebitPages = 1 },
		"volume without page": func(m *wirepb.ReportHeader) { m.Kinds[1].VolumeNoz, m.Kinds[1].DebitNoz = 1, 1 },
		"unbalanced":          func(m *wirepb.ReportHeader) { m.Kinds[0].DebitNoz++ },
		"overflow":            func(m *wirepb.ReportHeader) { m.Kinds[0].VolumeNoz, m.Kinds[0].DebitNoz = 1<<63, 1<<63 },
		"overflowing fees":    func(m *wirepb.ReportHeader) { m.FeesNoz = 1<<63 - 3 },
	} {
		var m wirepb.ReportHeader
		if err := wire.Decode(good.Bytes, MaxHeader, &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		if _, err := DecodeHeader(wire.Encode(&m)); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPageBounds(t *testing.T) {
	leaf := func(change func(*wirepb.DebitPage)) []byte {
		a, b := account(1), account(2)
		m := &wirepb.DebitPage{Leaves: []*wirepb.DebitLeaf{
			{Account: a[:], Noz: 5, Shares: []*wirepb.DebitShare{{NodeIndex: 0, Noz: 2}, {NodeIndex: 1, Noz: 3}}},
			{Account: b[:], FeesNoz: 1}}}
		change(m)
		return wire.Encode(m)
	}
	if _, err := decodePage(1, leaf(func(*wirepb.DebitPage) {})); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*wirepb.DebitPage){
		"empty":             func(m *wirepb.DebitPage) { m.Leaves = nil },
		"backwards":         func(m *wirepb.DebitPage) { m.Leaves[0], m.Leaves[1] = m.Leaves[1], m.Leaves[0] },
		"twice":             func(m *wirepb.DebitPage) { m.Leaves[1] = m.Leaves[0] },
		"fees twice":        func(m *wirepb.DebitPage) { m.Leaves[0] = m.Leaves[1] },
		"short account":     func(m *wirepb.DebitPage) { m.Leaves[0].Account = m.Leaves[0].Account[1:] },
		"shares do not sum": func(m *wirepb.DebitPage) { m.Leaves[0].Noz++ },
		"shares overflow":   func(m *wirepb.DebitPage) { m.Leaves[0].Shares[0].Noz = 1<<64 - 1 },
		"share of nothing":  func(m *wirepb.DebitPage) { m.Leaves[0].Shares[0].Noz, m.Leaves[0].Noz = 0, 3 },
		"shares backwards":  func(m *wirepb.DebitPage) { m.Leaves[0].Shares[0].NodeIndex = 2 },
		"node out of range": func(m *wirepb.DebitPage) { m.Leaves[0].Shares[1].NodeIndex = 1 << 31 },
		"nothing owed":      func(m *wirepb.DebitPage) { m.Leaves[1].FeesNoz = 0 },
		"too much":          func(m *wirepb.DebitPage) { m.Leaves[1].FeesNoz = 1 << 63 },
		"too many shares": func(m *wirepb.DebitPage) {
			m.Leaves[0].Shares, m.Leaves[0].Noz = nil, 0
			for i := range MaxShares + 1 {
				m.Leaves[0].Shares = append(m.Leaves[0].Shares, &wirepb.DebitShare{NodeIndex: uint32(i), Noz: 1})
				m.Leaves[0].Noz++
			}
		},
	} {
		if _, err := decodePage(1, leaf(change)); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPage(f *testing.F) {
	r, err := Build(&Ledger{Charges: [Kinds][]Charge{{{account(1), node(1), 5}, {account(2), node(1), 6}}}})
	if err != nil {
		f.Fatal(err)
	}
	for t, pages := range r.Pages {
		for _, p := range pages {
			f.Add(uint8(t), p)
		}
	}
	f.Fuzz(func(t *testing.T, table uint8, b []byte) {
		if p, err := decodePage(Table(table), b); err == nil && !bytes.Equal(encodePage(p), b) {
			t.Fatal("a page has two encodings")
		}
		_, _ = OpenPage(r.Header, Table(table), 0, b)
	})
}

func FuzzHeader(f *testing.F) {
	r, err := Build(&Ledger{Charges: [Kinds][]Charge{{{account(1), node(1), 5}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHeader(b); err == nil && !bytes.Equal(h.Encode(), b) {
			t.Fatal("a header has two encodings")
		}
	})
}
