package state

import (
	"crypto/ed25519"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What a cell has certified of a database is signed by each authority when its owner asks, and forgotten after a while.
func TestAnchors(t *testing.T) {
	w := newWorld(t, 4, 5)
	w.online(w.nodes...)
	p := w.person("alice", 10*oz)
	alice, bob := w.session(p, "alice"), w.session(w.person("bob", 10*oz), "bob")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	c.height = 6
	ask := func(u user, name string) []byte {
		return tx(wirepb.TxKind_TX_ANCHORING, u.key, &wirepb.Anchoring{Name: name, AtMs: w.now})
	}
	type anchor struct {
		Message    *wirepb.Anchor
		Signatures map[mesh.AuthorityID]mesh.Signature
	}
	pending := func() (all []anchor) {
		r := w.m.Reader()
		defer r.Close()
		for _, x := range r.Wanted(16) {
			if x.Kind != wirepb.TxKind_TX_ANCHOR || x.Purpose != sign.Anchor {
				t.Errorf("%+v", x)
			}
			all = append(all, anchor{x.Message.(*wirepb.Anchor), x.Signatures})
		}
		return all
	}
	answer := func(u user) *wirepb.SignedAnswer {
		t.Helper()
		a := new(wirepb.SignedAnswer)
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Anchor{Anchor: &wirepb.DatabaseName{Name: "shop"}}}, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	w.refused(mesh.Unavailable, ask(alice, "shop")) // nothing is certified
	certify := func(content byte) {
		t.Helper()
		m := c.checkpoint(map[string]uint64{databaseID("shop"): 4000})
		m.TimeMs, m.Databases[0].Height, m.Databases[0].Content[0] = w.now, 5, content
		w.ok(c.settled(m, 0, 1, 2, 3))
	}
	certify(1)
	w.refused(mesh.NotFound, ask(bob, "shop"))
	w.refused(mesh.NotFound, ask(alice, "other"))
	before := w.balance(p).Debited
	w.ok(ask(alice, "shop"))
	if w.balance(p).Debited-before < wantedWrites*LogWriteNoz {
		t.Error("it was cheaper than what it has written")
	}
	w.refused(mesh.Conflict, ask(alice, "shop"))
	all := pending()
	if len(all) != 1 || all[0].Message.LogHeight != 7 || all[0].Message.Height != 5 || all[0].Message.Content[0] != 1 || string(all[0].Message.Owner) != string(p.id[:]) || all[0].Message.Version != 1 {
		t.Fatalf("%+v", all)
	}
	signed := func(k ed25519.PrivateKey, m *wirepb.Anchor) []byte { return tx(wirepb.TxKind_TX_ANCHOR, k, m) }
	other := proto.Clone(all[0].Message).(*wirepb.Anchor)
	other.Content[0] = 9
	w.refused(mesh.Conflict, signed(w.authorities[0].key, other))
	w.refused(mesh.Denied, signed(alice.key, all[0].Message))
	for i, a := range w.authorities {
		w.ok(signed(a.key, all[0].Message))
		w.refused(mesh.Conflict, signed(a.key, all[0].Message))
		if n := len(answer(alice).Signers); n != i+1 {
			t.Errorf("%d have signed, %d are told", i+1, n)
		}
	}
	got := answer(alice)
	for i, id := range got.Signers {
		for _, a := range w.authorities {
			if string(a.id[:]) == string(id) {
				if err := domain.Verify(mesh.PublicKeyOf(a.key), sign.Anchor, got.Body, mesh.Signature(got.Signatures[i])); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if string(got.Body) != string(wire.Encode(all[0].Message)) || len(answer(bob).Body) != 0 {
		t.Errorf("alice is told %x, bob %x", got.Body, answer(bob).Body)
	}
	certify(2) // what was signed is of the certificate before, until it is asked for again
	if a := pending()[0]; a.Message.Content[0] != 1 || len(a.Signatures) != 4 {
		t.Errorf("%+v", a)
	}
	w.ok(ask(alice, "shop"))
	if a := pending()[0]; a.Message.Content[0] != 2 || len(a.Signatures) != 0 {
		t.Errorf("%+v", a)
	}
	w.pass(wantedMs*time.Millisecond + time.Second)
	w.block()
	if all := pending(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	w.refused(mesh.Conflict, signed(w.authorities[0].key, all[0].Message))
	w.check()
}
