package state

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func repair(by user, s *wirepb.Segment, pieces ...*wirepb.RepairedPiece) []byte {
	id := index.SegmentIDOf(s)
	return tx(wirepb.TxKind_TX_REPAIR, by.key, &wirepb.Repair{Segment: id[:], Pieces: pieces})
}

func TestRepair(t *testing.T) {
	w, ann, u := newShop(t, 8)
	spare := newMember("spare")
	w.facts(nodeRecord(spare, "spare", "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	twin := newMember("twin")
	w.facts(nodeRecord(twin, w.nodes[0].name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	full := u.segment("a", 4000)
	s := proto.Clone(full).(*wirepb.Segment)
	s.Pieces[6].Ack, s.Pieces[7].Ack = nil, nil
	w.ok(u.put(u.object("photos", "a", s)))
	w.check()
	if w.group().Reduced != 1 {
		t.Fatal("a segment that lacks pieces is not marked")
	}
	authority := user{w: w, key: w.authorities[1].key}
	stranger := w.session(w.person("bob", oz), "bob")
	piece := func(by user, i uint32, n member) *wirepb.RepairedPiece {
		return &wirepb.RepairedPiece{Index: i, Piece: by.piece(full.Pieces[i].Slice, n, full.PieceBytes)}
	}
	bad := func(f func(p *wirepb.RepairedPiece)) *wirepb.RepairedPiece {
		p := piece(u, 6, w.nodes[6])
		f(p)
		return p
	}
	for _, c := range []struct {
		name string
		kind mesh.Kind
		tx   []byte
	}{
		{"by a stranger", mesh.Denied, repair(stranger, s, piece(stranger, 6, w.nodes[6]))},
		{"by another session of the account", mesh.Denied, repair(w.session(ann, "ann's other"), s, piece(u, 6, w.nodes[6]))},
		{"of nothing", mesh.Invalid, repair(u, s)},
		{"of an unknown segment", mesh.NotFound, repair(u, u.segment("b", 4000), piece(u, 6, w.nodes[6]))},
		{"of a piece too many", mesh.Invalid, repair(u, s, bad(func(p *wirepb.RepairedPiece) { p.Index = 8 }))},
		{"without a piece", mesh.Invalid, repair(u, s, &wirepb.RepairedPiece{Index: 6})},
		{"with another slice", mesh.Invalid, repair(u, s, &wirepb.RepairedPiece{Index: 6, Piece: full.Pieces[5]})},
		{"without acknowledgement", mesh.Invalid, repair(u, s, bad(func(p *wirepb.RepairedPiece) { p.Piece.Ack = nil }))},
		{"with another's acknowledgement", mesh.Denied, repair(authority, s, piece(u, 6, w.nodes[6]))},
		{"by an unknown node", mesh.NotFound, repair(u, s, piece(u, 6, newMember("nobody")))},
		{"by no node", mesh.Invalid, repair(u, s, bad(func(p *wirepb.RepairedPiece) { p.Piece.Node = nil }))},
		{"by half a node", mesh.Invalid, repair(u, s, bad(func(p *wirepb.RepairedPiece) { p.Piece.Node = p.Piece.Node[:10] }))},
		{"by a node and a bit", mesh.Invalid, repair(u, s, bad(func(p *wirepb.RepairedPiece) { p.Piece.Node = append(p.Piece.Node[:20:20], 1) }))},
		{"into a domain that has one", mesh.Invalid, repair(u, s, piece(u, 6, twin))},
		{"onto a node that has one", mesh.Invalid, repair(u, s, piece(u, 6, w.nodes[1]))},
	} {
		t.Run(c.name, func(t *testing.T) { w.refused(c.kind, c.tx); w.check() })
	}
	w.ok(repair(u, s, piece(u, 6, w.nodes[6]))) // the writer goes on
	w.check()
	w.ok(repair(authority, s, piece(authority, 7, w.nodes[7])))
	w.check()
	if w.group().Reduced != 0 {
		t.Error("a whole segment is marked as reduced")
	}
	w.ok(repair(authority, s, piece(authority, 0, spare))) // node 0 is lost
	w.check()
	if len(w.keeps(w.nodes[0])) != 0 || len(w.keeps(spare)) != 1 {
		t.Error("the keep-lists did not follow the piece")
	}
	a := w.object(u.pub(), "photos", "a")
	if string(a.Segments[0].Pieces[0].Node) != string(spare.id[:]) {
		t.Error("readers are sent to the lost node")
	}
	w.ok(u.revoke("ann"))
	w.refused(mesh.Denied, repair(u, s, piece(u, 0, w.nodes[0])))
	w.check()
}

// Replicas have one slice; two of them changing places both stay on the keep-lists.
func TestReplicasChangePlaces(t *testing.T) {
	w, _, u := newShop(t, 3)
	s := u.segment("a", 4000)
	w.ok(u.put(u.object("photos", "a", s)))
	w.ok(repair(u, s, &wirepb.RepairedPiece{Index: 0, Piece: s.Pieces[1]}, &wirepb.RepairedPiece{Index: 1, Piece: s.Pieces[0]}))
	w.check()
	w.ok(u.delete("photos", "a"))
	w.check()
}

func vote(a, n member, status uint32, at int64) []byte {
	return tx(wirepb.TxKind_TX_STATUS, a.key, &wirepb.NodeStatusVote{Node: n.id[:], Status: status, AtMs: at, FreeBytes: 100})
}

// More than a third of the authorities change a node's status: at least one honest one among them.
func TestStatusVotes(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3, 7: 3} {
		w := newWorld(t, n, 3)
		status := func() uint32 {
			a := new(wirepb.NodeAnswer)
			if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Node{Node: w.nodes[0].id[:]}}, a); err != nil {
				t.Fatal(err)
			}
			return a.Status
		}
		for i := range want {
			if status() != Offline {
				t.Errorf("%d authorities: %d votes bring a node online, want %d", n, i, want)
			}
			w.ok(vote(w.authorities[i], w.nodes[0], Online, w.now))
			w.ok(vote(w.authorities[i], w.nodes[0], Online, w.now)) // the same voter counts once
		}
		if status() != Online {
			t.Errorf("%d authorities: %d votes do not bring a node online", n, want)
		}
	}
	w := newWorld(t, 4, 3)
	w.ok(vote(w.authorities[0], w.nodes[0], Online, w.now))
	w.refused(mesh.Conflict, vote(w.authorities[0], w.nodes[0], Offline, w.now-1000)) // older than the one that counts
	w.refused(mesh.Conflict, vote(w.authorities[1], w.nodes[0], Online, w.now+2*ReplayWindowMs))
	w.refused(mesh.Invalid, vote(w.authorities[1], w.nodes[0], Suspended, w.now))
	w.refused(mesh.Invalid, vote(w.authorities[1], w.nodes[0], 0, w.now))
	w.refused(mesh.NotFound, vote(w.authorities[1], newMember("nobody"), Online, w.now))
	w.refused(mesh.Denied, vote(newMember("stranger"), w.nodes[0], Online, w.now))
	w.refused(mesh.Denied, vote(w.nodes[0], w.nodes[0], Online, w.now))
	// Who is an authority no longer counts no longer.
	w.facts(authoritySet(w.authorities[1:]...))
	w.ok(vote(w.authorities[1], w.nodes[0], Online, w.now))
	r := w.m.Reader()
	defer r.Close()
	if r.Node(w.nodes[0].id).Status != Offline {
		t.Error("the vote of a former authority counts")
	}
}

// Two sets of authorities in one transaction or one block leave the last one, and consensus hears of it once.
func TestAuthoritiesChangeTwice(t *testing.T) {
	for name, apply := range map[string]func(w *world, a, b *wirepb.OutboxRecord){
		"in one transaction": func(w *world, a, b *wirepb.OutboxRecord) { w.facts(a, b) },
		"in one block": func(w *world, a, b *wirepb.OutboxRecord) {
			by := w.authorities[0].key
			first := w.factsAt(by, w.valueHeight+1, a)
			w.nextFact++
			second := w.factsAt(by, w.valueHeight+2, b)
			w.nextFact++
			w.valueHeight += 2
			for _, r := range w.block(first, second) {
				if r.Kind != 0 {
					w.t.Fatal(r.Text)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, 3)
			stays := w.authorities[0]
			apply(w, authoritySet(stays, newMember("brief")), authoritySet(stays, newMember("new")))
			r := w.m.Reader()
			defer r.Close()
			var ids []mesh.AuthorityID
			for id := range r.Authorities() {
				ids = append(ids, id)
			}
			if len(ids) != 2 || slices.Contains(ids, newMember("brief").id) {
				t.Errorf("authorities %v", ids)
			}
			if len(w.outcome.Authorities) != 2 {
				t.Errorf("consensus hears of %d", len(w.outcome.Authorities))
			}
			was := map[mesh.PublicKey]bool{}
			for _, a := range w.authorities {
				was[mesh.PublicKeyOf(newKey("consensus of "+a.name))] = true
			}
			for _, k := range w.outcome.Former {
				if !was[k] {
					t.Error("consensus is told to drop one who never was a validator")
				}
				delete(was, k)
			}
			if len(was) != 0 {
				t.Errorf("consensus is not told of %d of the former validators", len(was))
			}
		})
	}
}

// A report is what the epoch's ledger says, is signed by authorities only, and an epoch without traffic has none.
func TestEpochs(t *testing.T) {
	w, ann, u := newShop(t, 3)
	w.ok(u.lease("a", 4*oz, time.Hour))
	w.ok(settlement(w.nodes[0], u.receipt("a", w.nodes[0], oz)))
	w.ok(settlement(w.nodes[1], u.receipt("a", w.nodes[1], 2*oz)))
	fees := w.balance(ann).Debited - 3*oz
	w.epoch(1)
	w.check()
	w.epoch(4) // two epochs of nothing
	w.ok(settlement(w.nodes[0], u.receipt("a", w.nodes[0], oz+7)))
	w.epoch(5)
	w.check()
	r := w.m.Reader()
	defer r.Close()
	if got := r.ReportsFrom(0, 10); !slices.Equal(got, []mesh.Epoch{0, 4}) {
		t.Fatalf("reports of the epochs %v", got)
	}
	first, second := r.Report(0), r.Report(4)
	if first.FromEpoch != 0 || second.FromEpoch != 1 {
		t.Errorf("they begin at %d and %d", first.FromEpoch, second.FromEpoch)
	}
	h := decodeHeader(t, first.Header)
	if uint64(h.Fees) != fees || uint64(h.Tables[0].Noz) != 3*oz || uint64(h.Tables[1].Noz) != 3*oz {
		t.Errorf("%+v", h)
	}
	if h := decodeHeader(t, second.Header); h.Fees != 0 || h.Tables[0].Noz != 7 {
		t.Errorf("%+v", h)
	}
	sig := func(a member, epoch uint64, header []byte, f func(*wirepb.ReportSignature)) []byte {
		s, hash := domain.Sign(a.key, sign.Report, header), hashOf(header)
		m := &wirepb.ReportSignature{Epoch: epoch, HeaderHash: hash, Signature: s[:]}
		if f != nil {
			f(m)
		}
		return tx(wirepb.TxKind_TX_REPORT_SIGNATURE, a.key, m)
	}
	w.ok(sig(w.authorities[0], 0, first.Header, nil))
	w.refused(mesh.Denied, sig(newMember("stranger"), 0, first.Header, nil))
	w.refused(mesh.NotFound, sig(w.authorities[1], 3, first.Header, nil))
	w.refused(mesh.Conflict, sig(w.authorities[1], 0, second.Header, nil))
	w.refused(mesh.Denied, sig(w.authorities[1], 0, first.Header, func(m *wirepb.ReportSignature) { m.Signature[0] ^= 1 }))
	w.refused(mesh.Invalid, sig(w.authorities[1], 0, first.Header, func(m *wirepb.ReportSignature) { m.Signature = nil }))
	after := w.m.Reader()
	defer after.Close()
	if got := after.Report(0).Signatures; len(got) != 1 {
		t.Errorf("%d signatures", len(got))
	}
	if after.Report(2) != nil {
		t.Error("a report of nothing")
	}
}

func TestFacts(t *testing.T) {
	w := newWorld(t, 2, 3)
	a := w.authorities[0].key
	credited := newPerson(t, "ann")
	w.refused(mesh.Denied, w.factsAt(newKey("anybody"), w.valueHeight+1, credit(credited.id, 5)))
	w.refused(mesh.Conflict, w.factsAt(a, w.valueHeight))   // nothing new
	w.refused(mesh.Conflict, w.factsAt(a, w.valueHeight-1)) // back in time
	w.nextFact++
	w.refused(mesh.Conflict, w.factsAt(a, w.valueHeight+1, credit(credited.id, 5))) // a gap
	w.nextFact--
	w.facts(credit(credited.id, 5))
	w.facts(credit(credited.id, 3)) // cumulative: never less
	if got := w.balance(credited).Credited; got != 5 {
		t.Errorf("credited %d", got)
	}
	broken := &wirepb.Facts{Head: be64(uint64(w.valueHeight + 1)), Facts: []*wirepb.Fact{{Sequence: w.nextFact, Record: []byte{1, 2}}}}
	w.refused(mesh.Invalid, tx(wirepb.TxKind_TX_FACTS, a, broken))
	w.check()
	n := w.nodes[0]
	w.facts(nodeRecord(n, n.name, "", wirepb.NodeStatus_NODE_STATUS_REMOVED))
	w.refused(mesh.NotFound, settlement(n, signed.Seal(domain, a, sign.Receipt, new(wirepb.Receipt))))
}
