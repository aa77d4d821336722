package state

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// says is what a member answers to a question.
func (c *testCell) says(place int, outcome byte) *wirepb.Signed {
	return signed.Seal(domain, answerKey(c.members[place]), sign.Answer, &wirepb.Answer{Cell: c.id, Version: 1, Database: make([]byte, 16), Height: 7,
		Question: make([]byte, 32), Outcome: append(make([]byte, 31), outcome)})
}

func (u user) evidence(answer *wirepb.Signed, against ...*wirepb.Signed) []byte {
	return tx(wirepb.TxKind_TX_EVIDENCE, u.key, &wirepb.Evidence{Answer: answer, Against: against, AtMs: u.w.now})
}

// A node whose replica lied is out of service at once, and shows why.
func TestEvidence(t *testing.T) {
	w := newWorld(t, 4, 5)
	w.online(w.nodes...)
	p := w.person("alice", 10*oz)
	alice := w.session(p, "alice")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	liar := c.members[2]
	node := func() *wirepb.NodeAnswer {
		t.Helper()
		a := new(wirepb.NodeAnswer)
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Node{Node: liar.id[:]}}, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := node(); a.Status != Online || a.Evidence != nil {
		t.Fatalf("%v", a)
	}
	stranger := w.chain(newPerson(t, "stranger"), "stranger", nil)
	w.refused(mesh.Denied, stranger.evidence(c.says(2, 1), c.says(2, 2)))
	w.refused(mesh.Denied, alice.evidence(c.says(2, 1), c.says(2, 1)))
	w.refused(mesh.Denied, alice.evidence(c.says(2, 1), c.says(1, 2)))
	w.refused(mesh.Invalid, alice.evidence(c.says(2, 1)))
	elsewhere := &testCell{w: w, id: make([]byte, 16), members: c.members}
	w.refused(mesh.NotFound, alice.evidence(elsewhere.says(2, 1), elsewhere.says(2, 2)))
	w.refused(mesh.Exhausted, w.sessionOfThePoor().evidence(c.says(2, 1), c.says(2, 2)))

	before := w.balance(p).Debited
	w.ok(alice.evidence(c.says(2, 1), c.says(0, 2), c.says(3, 2)))
	a, kept := node(), new(wirepb.Evidence)
	if by, err := signed.Open(domain, a.Evidence, sign.Evidence, kept); err != nil || by != alice.pub() || len(kept.Against) != 2 || a.Status != Suspended || len(a.Reasons) != 1 {
		t.Errorf("%v: %v", a, err)
	}
	if w.balance(p).Debited <= before {
		t.Error("it was free")
	}
	w.refused(mesh.Conflict, alice.evidence(c.says(2, 1), c.says(2, 2)))
	for _, by := range w.authorities {
		w.refused(mesh.Conflict, vote(by, liar, Online, w.now))
	}
	w.facts(nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_REMOVED), nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	if a := node(); a.Status != Suspended {
		t.Errorf("registered again: %v", a)
	}
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 4000}), 0, 1, 2, 3))
	if w.earned(liar) != 0 || w.earned(c.members[0]) != 1000 {
		t.Errorf("the liar earns %d", w.earned(liar))
	}
	w.check()
	// It is drawn no more: the next cell is of the others.
	for i := range 64 {
		w.ok(alice.createDatabase(string(rune('a'+i/26))+string(rune('a'+i%26)), 1))
	}
	for i := range 64 {
		cell := w.cellOf(alice, string(rune('a'+i/26))+string(rune('a'+i%26)))
		in := slices.ContainsFunc(cell.Members, func(m *wirepb.CellMember) bool { return string(m.Node) == string(liar.id[:]) })
		if in != (string(cell.Id) == string(c.id)) {
			t.Fatalf("database %d lies with the liar: %v", i, in)
		}
	}
}

// What the value layer must know of a node that lied is signed by each authority, until it knows, and gone when it pardons.
func TestConvictions(t *testing.T) {
	w := newWorld(t, 4, 5)
	w.online(w.nodes...)
	alice := w.session(w.person("alice", 10*oz), "alice")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	liar := c.members[1]
	pending := func() []Conviction {
		t.Helper()
		r := w.m.Reader()
		defer r.Close()
		return r.Convictions(16)
	}
	if len(pending()) != 0 {
		t.Fatal("somebody is convicted of nothing")
	}
	w.ok(alice.evidence(c.says(1, 1), c.says(1, 2)))
	all := pending()
	if len(all) != 1 || mesh.NodeID(all[0].Message.Node) != liar.id || len(all[0].Signatures) != 0 {
		t.Fatalf("%+v", all)
	}
	convict := func(k ed25519.PrivateKey, m *wirepb.Conviction) []byte { return tx(wirepb.TxKind_TX_CONVICTION, k, m) }
	other := proto.Clone(all[0].Message).(*wirepb.Conviction)
	other.Evidence[0] ^= 1
	w.refused(mesh.Conflict, convict(w.authorities[0].key, other))
	w.refused(mesh.Denied, convict(alice.key, all[0].Message))
	honest := proto.Clone(all[0].Message).(*wirepb.Conviction)
	honest.Node = c.members[0].id[:]
	w.refused(mesh.NotFound, convict(w.authorities[0].key, honest))
	for i, a := range w.authorities {
		w.ok(convict(a.key, all[0].Message))
		w.refused(mesh.Conflict, convict(a.key, all[0].Message))
		if n := len(pending()[0].Signatures); n != i+1 {
			t.Errorf("%d have signed, %d signatures", i+1, n)
		}
	}
	for _, a := range w.authorities {
		if err := domain.Verify(mesh.PublicKeyOf(a.key), sign.Conviction, wire.Encode(all[0].Message), pending()[0].Signatures[mesh.AuthorityID(a.id)]); err != nil {
			t.Errorf("authority %s: %v", a.name, err)
		}
	}
	w.facts(nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_SUSPENDED))
	if len(pending()) != 0 {
		t.Error("the value layer knows, and is told again")
	}
	w.refused(mesh.NotFound, convict(w.authorities[0].key, all[0].Message))

	pardoned := nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE)
	pardoned.GetNode().Pardons = 1
	w.facts(pardoned)
	w.online(liar)
	w.ok(alice.evidence(c.says(1, 3), c.says(1, 4)))
	if all = pending(); len(all) != 1 || all[0].Message.Pardons != 1 {
		t.Errorf("after a pardon: %+v", all)
	}
	w.facts(nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_REMOVED), nodeRecord(liar, liar.name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE))
	if all = pending(); len(all) != 1 || all[0].Message.Pardons != 0 {
		t.Errorf("after it came again: %+v", all)
	}
	w.check()
}
