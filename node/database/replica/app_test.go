package replica

import (
	"fmt"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What an envelope wants of the cell, one thing wrong at a time.
func TestRefused(t *testing.T) {
	w := newWorld(t, 4, 4)
	r := newRig(w, 0, Rules{})
	u, other := w.user("anna"), w.user("bert")
	// Before anything is known.
	if x := r.run(u.session(u.link()), u.send(u.envelope(r.next(), "SELECT 1")))[0]; x.Code != uint32(mesh.Denied)+1 {
		t.Errorf("a session of no owner: %v", x)
	}
	r.must(u.opened(), other.opened(), u.session(u.link()), other.session(other.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))

	foreign := w.domain
	foreign.Network[0] ^= 1
	stranger := w.user("anna")
	stranger.key = keyOf("a session that nobody knows")
	reader := w.user("anna")
	reader.key = keyOf("a reader")
	l := reader.link()
	l.Operations, l.Prefix = uint32(grant.Read), grant.Database("anna")+"/"
	role := w.user("anna")
	role.key = keyOf("a role's")
	short := w.user("anna")
	short.key = keyOf("a short session")
	ls := short.link()
	ls.ExpiresMs = r.next() + 500
	lt := role.link()
	lt.Prefix = grant.Role{Name: "t"}.Prefix("anna")
	r.must(reader.session(l), short.session(ls), role.session(lt))
	for _, c := range []struct {
		why  string
		want mesh.Kind
		tx   func(now int64) []byte
	}{
		{"another's database", mesh.NotFound, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.Database = other.database[:]
			return u.send(e)
		}},
		{"no database", mesh.NotFound, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.Database = make([]byte, 16)
			return u.send(e)
		}},
		{"an unknown session", mesh.Denied, func(now int64) []byte { return stranger.send(stranger.envelope(now, "SELECT 1")) }},
		{"a role's, of which there are none", mesh.Denied, func(now int64) []byte { return role.send(role.envelope(now, "SELECT 1")) }},
		{"a reader's", mesh.Denied, func(now int64) []byte { return reader.send(reader.envelope(now, "SELECT 1")) }},
		{"a session that has expired", mesh.Denied, func(now int64) []byte { return short.send(short.envelope(now, "SELECT 1")) }},
		{"expired", mesh.Conflict, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.NotAfterMs = now - 1
			return u.send(e)
		}},
		{"too far ahead", mesh.Invalid, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.NotAfterMs = now + database.MaxAheadMs + 1
			return u.send(e)
		}},
		{"too much gas", mesh.Invalid, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.GasLimit = database.MaxGas + 1
			return u.send(e)
		}},
		{"a view of the future", mesh.Conflict, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.View = &wirepb.View{TimeMs: now + database.MaxViewAheadMs + 1, Seed: make([]byte, 32)}
			return u.send(e)
		}},
		{"a view of long ago", mesh.Conflict, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.View = &wirepb.View{TimeMs: now - database.MaxAheadMs - 1, Seed: make([]byte, 32)}
			return u.send(e)
		}},
		{"no statements", mesh.Invalid, func(now int64) []byte { return u.send(u.envelope(now)) }},
		{"a short id", mesh.Invalid, func(now int64) []byte {
			e := u.envelope(now, "SELECT 1")
			e.Id = e.Id[1:]
			return u.send(e)
		}},
		{"of another network", mesh.Denied, func(now int64) []byte {
			return wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{signed.Seal(foreign, u.key, sign.Envelope, u.envelope(now, "SELECT 1"))}})
		}},
		{"signed for another purpose", mesh.Denied, func(now int64) []byte {
			return wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{signed.Seal(w.domain, u.key, sign.Entry, u.envelope(now, "SELECT 1"))}})
		}},
		{"altered", mesh.Denied, func(now int64) []byte {
			s := signed.Seal(w.domain, u.key, sign.Envelope, u.envelope(now, "SELECT 1"))
			s.Body = wire.Encode(u.envelope(now, "SELECT 2"))
			return wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{s}})
		}},
		{"two messages", mesh.Invalid, func(now int64) []byte {
			s := signed.Seal(w.domain, u.key, sign.Envelope, u.envelope(now, "SELECT 1"))
			return wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_ENVELOPE, Messages: []*wirepb.Signed{s, s}})
		}},
		{"bytes behind its end", mesh.Invalid, func(now int64) []byte { return append(u.send(u.envelope(now, "SELECT 1")), 0) }},
		{"no kind", mesh.Invalid, func(int64) []byte { return wire.Encode(&wirepb.CellTx{Kind: 77}) }},
		{"nothing", mesh.Invalid, func(int64) []byte { return nil }},
	} {
		before := r.digests()
		tx := c.tx(r.next())
		if x := r.run(tx)[0]; x.Code != uint32(c.want)+1 || len(x.Data) > 0 || x.GasUsed != 0 {
			t.Errorf("%s: %v (%s), want %s", c.why, x, mesh.Kind(x.Code-1), c.want)
		}
		if fmt.Sprint(before) != fmt.Sprint(r.digests()) {
			t.Errorf("%s: the databases have changed", c.why)
		}
	}
}

// An envelope is applied once, whatever comes under its id, and nobody takes another's id.
func TestOnce(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u, mate := w.user("anna"), w.user("anna")
	mate.key = keyOf("another session")
	r.must(u.opened(), u.session(u.link()), mate.session(mate.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	e := u.envelope(r.next(), "INSERT INTO t VALUES(random()) RETURNING v")
	first := r.must(u.send(e), u.send(e))
	if first[0].GasUsed == 0 || first[1].GasUsed != 0 || string(first[0].Data) != string(first[1].Data) {
		t.Errorf("the same twice in a block: %v", first)
	}
	r.close()
	r.open()
	if again := r.must(u.send(e))[0]; string(again.Data) != string(first[0].Data) || again.GasUsed != 0 {
		t.Errorf("again after a restart: %v", again)
	}
	if theirs := r.must(mate.send(e))[0]; string(theirs.Data) == string(first[0].Data) || theirs.GasUsed == 0 {
		t.Errorf("another session's of the same id: %v", theirs)
	}
	// Another program under an id that is taken is refused, in the block of the first and in later ones; more gas makes no other one.
	other, fresh := u.envelope(r.next(), "DELETE FROM t"), u.envelope(r.next(), "SELECT 1")
	other.Id = e.Id
	rival := u.envelope(r.next(), "DELETE FROM t")
	rival.Id = fresh.Id
	refused := r.run(u.send(other), u.send(fresh), u.send(rival))
	for _, i := range []int{0, 2} {
		if x := refused[i]; x.Code != uint32(mesh.Conflict)+1 || x.GasUsed != 0 || len(x.Data) > 0 {
			t.Errorf("another program under the same id: %v", x)
		}
	}
	more := u.envelope(r.next(), "INSERT INTO t VALUES(random()) RETURNING v")
	more.Id, more.GasLimit = e.Id, 2*e.GasLimit
	if x := r.must(u.send(more))[0]; string(x.Data) != string(first[0].Data) || x.GasUsed != 0 {
		t.Errorf("with more gas: %v", x)
	}
	count := u.envelope(r.next(), "SELECT count(*) FROM t")
	r.must(u.send(count))
	if got := r.outcome(u, count).Results[0].Rows[0].Values[0].GetInteger(); got != 2 {
		t.Errorf("%d rows, want one for each session", got)
	}
	d := r.app.view().database(u.database[:])
	if d.Usage.Gas == 0 || d.Height != r.height() {
		t.Errorf("the database's record: %v", d)
	}
}

func TestNotices(t *testing.T) {
	w := newWorld(t, 4, 4) // two of four are believed
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	refused := func(want mesh.Kind, why string, tx []byte) {
		t.Helper()
		if x := r.run(tx)[0]; x.Code != uint32(want)+1 {
			t.Errorf("%s: %v, want %s", why, x, want)
		}
	}
	n := u.notice(1, database.Open)
	refused(mesh.Denied, "one authority", w.notice(n, 0))
	refused(mesh.Denied, "one authority twice", w.notice(n, 0, 0))
	own := w.authorities[1]
	w.authorities[1] = keyOf("no authority")
	refused(mesh.Denied, "one who is none", w.notice(n, 0, 1))
	w.authorities[1] = own
	elsewhere := u.notice(1, database.Open)
	elsewhere.Cell = make([]byte, 16)
	refused(mesh.Denied, "another cell's", w.notice(elsewhere, 0, 1))
	bad := u.notice(1, 4)
	refused(mesh.Invalid, "no state", w.notice(bad, 0, 1))
	refused(mesh.Invalid, "no signature", w.notice(n))
	r.must(w.notice(n, 2, 3))
	refused(mesh.Conflict, "the same again", w.notice(n, 0, 1))
	r.must(u.session(u.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	r.must(w.notice(u.notice(3, database.ReadOnly), 0, 3)) // the second was missed, and is in the third
	refused(mesh.Conflict, "the one before", w.notice(u.notice(2, database.Open), 0, 1))
	refused(mesh.Denied, "an envelope for what is read-only", u.send(u.envelope(r.next(), "SELECT 1")))
	r.must(w.notice(u.notice(4, database.Open), 0, 1))
	// Dropped in the block that still writes to it.
	res := r.run(u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1)")), w.notice(u.notice(5, database.Dropped), 0, 1), u.send(u.envelope(r.next(), "INSERT INTO t VALUES(2)")))
	if res[0].Code != 0 || res[1].Code != 0 || res[2].Code != uint32(mesh.NotFound)+1 {
		t.Errorf("a block that drops: %v", res)
	}
	if len(r.digests()) != 0 {
		t.Errorf("a dropped database has still its file")
	}
	refused(mesh.Conflict, "back to life", w.notice(u.notice(6, database.Open), 0, 1))
	refused(mesh.NotFound, "an envelope for what was dropped", u.send(u.envelope(r.next(), "SELECT 1")))
}

func TestRevocation(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{Sessions: 2, Revocations: 2})
	u, mate := w.user("anna"), w.user("anna")
	mate.key = keyOf("a mate")
	l := mate.link()
	l.Prefix, l.Operations = grant.Database("anna")+"/", uint32(grant.Read|grant.Write)
	whole := u.link()
	r.must(u.opened(), u.session(whole), mate.session(l))
	r.must(mate.send(mate.envelope(r.next(), "CREATE TABLE t(v)")))
	third := w.user("anna")
	third.key = keyOf("a third")
	if x := r.run(third.session(third.link()))[0]; x.Code != uint32(mesh.Exhausted)+1 {
		t.Errorf("a third session: %v", x)
	}
	if x := r.run(u.session(whole))[0]; x.Code != uint32(mesh.Conflict)+1 {
		t.Errorf("a session that is known: %v", x)
	}
	revoke := &wirepb.Revocation{Link: l.Id, AtMs: r.next()}
	if x := r.run(mate.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, revoke))[0]; x.Code != uint32(mesh.Denied)+1 {
		t.Errorf("a revocation by a narrow session: %v", x)
	}
	r.must(u.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, revoke))
	if x := r.run(u.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, revoke))[0]; x.Code != uint32(mesh.Conflict)+1 {
		t.Errorf("the revocation again: %v", x)
	}
	for _, tx := range [][]byte{mate.send(mate.envelope(r.next(), "SELECT 1")), mate.session(l)} {
		if x := r.run(tx)[0]; x.Code != uint32(mesh.Denied)+1 {
			t.Errorf("after the revocation: %v", x)
		}
	}
	r.must(u.send(u.envelope(r.next(), "SELECT 1")))
}

// A question that finds a damaged file ends the replica; nothing else that a question meets does.
func TestIntact(t *testing.T) {
	r := newRig(newWorld(t, 4, 1), 0, Rules{})
	s := &Replica{app: r.app}
	for _, kind := range []mesh.Kind{mesh.NotFound, mesh.Exhausted, mesh.Unavailable, mesh.Internal} {
		if err := s.intact(mesh.Errorf(kind, "no")); mesh.KindOf(err) != kind || r.app.failure() != nil {
			t.Errorf("%s: %v ends it", kind, err)
		}
	}
	if err := s.intact(nil); err != nil || r.app.failure() != nil {
		t.Errorf("nothing: %v ends it", err)
	}
	if err := s.intact(mesh.Errorf(mesh.Corrupt, "damaged")); mesh.KindOf(err) != mesh.Corrupt || r.app.failure() == nil {
		t.Errorf("damage: %v does not", err)
	}
}
