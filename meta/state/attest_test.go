package state

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What the log has verified of a task is signed by each authority when its author asks: with how many workers he had replaced, and whether he
// named nodes for it.
func TestAttestations(t *testing.T) {
	w, p, alice := newPlant(t, 6)
	bob := w.session(w.person("bob", oz), "bob")
	ask := func(u user, job string, n uint32) []byte {
		return tx(wirepb.TxKind_TX_ATTESTING, u.key, &wirepb.Attesting{Job: jobID(job), Number: n, AtMs: w.now})
	}
	answer := func(u user, n uint32) *wirepb.SignedAnswer {
		t.Helper()
		a := new(wirepb.SignedAnswer)
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Attestation{Attestation: &wirepb.TaskName{Job: jobID("sum"), Number: n}}}, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	w.ok(alice.openJob("sum", compute.Pair, 10_000))
	w.ok(alice.tasks("sum", 0, demand("sum", 0), demand("sum", 1, w.nodes[0])))
	w.refused(mesh.Unavailable, ask(alice, "sum", 0))
	w.refused(mesh.NotFound, ask(alice, "sum", 2))
	w.refused(mesh.NotFound, ask(alice, "other", 0))
	w.refused(mesh.Denied, ask(bob, "sum", 0))
	w.pass(6 * time.Second)
	w.ok(alice.reissue("sum", 0, w.workers(alice, "sum", 0)[0].id[:]))
	w.finish("sum", compute.Pair, truth)
	w.ok(alice.endJob("sum"))
	w.ok(alice.openJob("spot", compute.Spot, 10_000))
	w.ok(alice.more("spot", 0, 1))
	w.finish("spot", compute.Spot, truth)
	w.refused(mesh.Invalid, ask(alice, "spot", 0))

	w.ok(ask(alice, "sum", 0))
	w.pass(time.Second)
	w.refused(mesh.Conflict, ask(alice, "sum", 0))
	w.ok(ask(alice, "sum", 1))
	r := w.m.Reader()
	all := r.Wanted(9)
	r.Close()
	if len(all) != 2 || all[0].Kind != wirepb.TxKind_TX_ATTESTATION || all[0].Purpose != sign.Attestation {
		t.Fatalf("%+v", all)
	}
	for n, x := range all {
		a, err := compute.DecodeAttestation(wire.Encode(x.Message))
		if err != nil {
			t.Fatal(err)
		}
		if string(a.Account) != string(p.id[:]) || string(a.Job) != string(jobID("sum")) || a.Number != uint32(n) || a.Level != compute.Pair || a.Dropped != uint32(1-n) || a.Chosen != (n == 1) ||
			compute.ResultDigest(a.Result) != compute.ResultDigest(result("sum", uint32(n), 0)) {
			t.Errorf("%v", a)
		}
	}
	other := proto.CloneOf(all[0].Message.(*wirepb.Attestation))
	other.Dropped = 0
	signed := func(by member, m proto.Message) []byte { return tx(wirepb.TxKind_TX_ATTESTATION, by.key, m) }
	w.refused(mesh.Conflict, signed(w.authorities[0], other))
	w.refused(mesh.Denied, signed(w.nodes[0], all[0].Message))
	for i, a := range w.authorities {
		w.ok(signed(a, all[0].Message))
		w.refused(mesh.Conflict, signed(a, all[0].Message))
		if n := len(answer(alice, 0).Signers); n != i+1 {
			t.Errorf("%d have signed, %d are told", i+1, n)
		}
	}
	if len(answer(alice, 1).Signers) != 0 || len(answer(bob, 0).Body) != 0 {
		t.Error("one is told what is another's")
	}
	got := answer(alice, 0)
	for i, id := range got.Signers {
		for _, a := range w.authorities {
			if string(a.id[:]) == string(id) {
				if err := domain.Verify(mesh.PublicKeyOf(a.key), sign.Attestation, got.Body, mesh.Signature(got.Signatures[i])); err != nil {
					t.Error(err)
				}
			}
		}
	}
	w.check()
	w.pass(wantedMs*time.Millisecond + time.Second)
	w.block()
	if n := w.count(attestKey) + w.count(attestedKey) + w.count(attestTime); n != 0 {
		t.Errorf("%d records are left over", n)
	}
}
