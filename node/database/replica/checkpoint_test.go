package replica

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// scanned reads through what the pending checkpoint pinned; nil when there is nothing to do.
func (r *rig) scanned() *wirepb.Checkpoint {
	r.w.t.Helper()
	select {
	case j := <-r.app.jobs:
		if err := r.app.scan(context.Background(), j, map[mesh.DatabaseID]known{}); err != nil {
			r.w.t.Fatal(err)
		}
		if err := r.app.unpin(j); err != nil {
			r.w.t.Fatal(err)
		}
		r.app.own = j.checkpoint
		return j.checkpoint
	default:
		return nil
	}
}

func (w *world) checkpoint(member int, c *wirepb.Checkpoint) []byte {
	return wire.Encode(&wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_CHECKPOINT, Messages: []*wirepb.Signed{signed.Seal(w.domain, w.answerKey(member), sign.Checkpoint, c)}})
}

func TestCheckpoints(t *testing.T) {
	w := newWorld(t, 4, 1)
	rules := Rules{CheckpointMs: 3000}
	var all []*rig
	for i := range 4 {
		all = append(all, newRig(w, i, rules))
	}
	each := func(txs ...[]byte) (res []*abci.ExecTxResult) {
		t.Helper()
		for _, r := range all {
			if got := r.run(txs...); res != nil && fmt.Sprint(res) != fmt.Sprint(got) {
				t.Fatalf("replicas differ: %v, %v", res, got)
			} else {
				res = got
			}
		}
		return res
	}
	refused := func(want mesh.Kind, why string, tx []byte) {
		t.Helper()
		if x := each(tx)[0]; x.Code != uint32(want)+1 {
			t.Errorf("%s: %v, want %s", why, x, want)
		}
	}
	u := w.user("anna")
	each(u.opened(), u.session(u.link()))
	each(u.send(u.envelope(timeOf(2), "CREATE TABLE t(v)")))
	if all[0].scanned() != nil {
		t.Fatal("a checkpoint before its time")
	}
	each(u.send(u.envelope(timeOf(3), "INSERT INTO t VALUES(1)"))) // 3 s after the genesis
	var signed []*wirepb.Checkpoint
	for i, r := range all {
		c := r.scanned()
		if c == nil || c.Height != 3 || len(c.Databases) != 1 || c.Databases[0].Usage.Gas == 0 || !proto.Equal(c, all[max(i-1, 0)].app.own) {
			t.Fatalf("replica %d checks %v", i, c)
		}
		signed = append(signed, c)
	}
	c := signed[0]
	change := func(f func(*wirepb.Checkpoint)) *wirepb.Checkpoint {
		m := proto.Clone(c).(*wirepb.Checkpoint)
		f(m)
		return m
	}
	other := change(func(m *wirepb.Checkpoint) { m.Databases[0].Content = make([]byte, 32) })
	refused(mesh.Conflict, "another height", w.checkpoint(0, change(func(m *wirepb.Checkpoint) { m.Height = 2; m.Databases[0].Height = 2 })))
	refused(mesh.Denied, "less usage", w.checkpoint(0, change(func(m *wirepb.Checkpoint) { m.Databases[0].Usage.Gas-- })))
	refused(mesh.Denied, "another state", w.checkpoint(0, change(func(m *wirepb.Checkpoint) { m.State = make([]byte, 32) })))
	refused(mesh.Denied, "without the database", w.checkpoint(0, change(func(m *wirepb.Checkpoint) { m.Databases = nil })))
	refused(mesh.Invalid, "without a content", w.checkpoint(0, change(func(m *wirepb.Checkpoint) { m.Databases[0].Content = nil })))
	stranger := w.checkpoint(9, c)
	refused(mesh.Denied, "no member's", stranger)
	each(w.checkpoint(0, c))
	refused(mesh.Conflict, "the member's again", w.checkpoint(0, other))
	each(w.checkpoint(3, other)) // a member whose database holds something else
	if all[0].app.view().certificate() != nil {
		t.Fatal("certified by one and one other")
	}
	each(w.checkpoint(1, c))
	// Past its time, and not certified: no other is asked for yet.
	if all[0].scanned() != nil {
		t.Fatal("a checkpoint while the one before waits for signatures")
	}
	all[3].app.own = other // which is what replica 3 computed
	for _, r := range all[:3] {
		r.must(w.checkpoint(2, c))
		m, err := database.CheckCertificate(w.domain, r.app.view().certificate(), r.app.cell.config.AnswerKeys())
		if err != nil || !proto.Equal(m, c) {
			t.Fatalf("the certificate: %v, %v", m, err)
		}
	}
	last := all[3]
	if _, err := last.finalize(last.height()+1, w.checkpoint(2, c)); err != nil {
		t.Fatal(err)
	}
	if _, err := last.app.Commit(context.Background(), nil); mesh.KindOf(err) != mesh.Corrupt || last.app.failure() == nil {
		t.Errorf("the replica that holds something else goes on: %v", err)
	}
	all = all[:3]
	each()
	if next := all[0].scanned(); next == nil || next.Height <= c.Height || string(next.Databases[0].Content) != string(c.Databases[0].Content) {
		t.Errorf("the next checkpoint: %v", next)
	}
}

// One that too few sign is given up after a while, and one that a replica had not signed when it ended is taken up again.
func TestCheckpointGivenUp(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{CheckpointMs: 2000})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	r.close()
	r.open()
	c := r.scanned()
	if c == nil || c.Height != 2 {
		t.Fatalf("after a restart: %v", c)
	}
	for range 11 {
		r.must()
	}
	if c := r.scanned(); c != nil {
		t.Fatalf("given up too early, at height %d", c.Height)
	}
	r.must()
	if c := r.scanned(); c.GetHeight() != 14 {
		t.Fatalf("asked for %v, want height 14", c)
	}
	r.must(w.checkpoint(0, r.app.own))
	r.close()
	r.open()
	if c := r.scanned(); c != nil {
		t.Errorf("signed already, and read again: %v", c)
	}
	// What was written to since can not be read any more.
	for range 10 {
		r.must()
	}
	r.must(u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1)")))
	r.close()
	r.open()
	if c := r.scanned(); c.GetHeight() != 26 {
		t.Errorf("asked for %v, want height 26", c)
	}
	r.must(u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1)")))
	r.close()
	r.open()
	if c := r.scanned(); c != nil {
		t.Errorf("read at another height than asked for: %v", c)
	}
}

// The mempool keeps room for each database, and proposes nothing with a time that is long past.
func TestMempool(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u, other := w.user("anna"), w.user("bert")
	r.must(u.opened(), other.opened(), u.session(u.link()), other.session(other.link()))
	now := time.UnixMilli(r.next())
	r.app.now = func() time.Time { return now }
	r.app.queue.most = 3
	check := func(raw []byte, typ abci.CheckTxType) (mesh.Kind, bool) {
		t.Helper()
		x, err := r.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw, Type: typ})
		if err != nil {
			t.Fatal(err)
		}
		return mesh.Kind(x.Code - 1), x.Code == 0
	}
	var sent [][]byte
	for range 3 {
		raw := u.send(u.envelope(now.UnixMilli(), "SELECT 1"))
		if k, ok := check(raw, abci.CheckTxType_New); !ok {
			t.Fatalf("refused: %s", k)
		}
		sent = append(sent, raw)
	}
	if k, ok := check(u.send(u.envelope(now.UnixMilli(), "SELECT 1")), abci.CheckTxType_New); ok || k != mesh.Unavailable {
		t.Errorf("one too many: %s", k)
	}
	late := other.send(other.envelope(now.UnixMilli(), "SELECT 1"))
	if _, ok := check(late, abci.CheckTxType_New); !ok {
		t.Error("another database has no room")
	}
	propose := func(at time.Time) [][]byte {
		t.Helper()
		p, err := r.app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Height: r.height() + 1, Time: at, Txs: append(append([][]byte{}, sent...), late)})
		if err != nil {
			t.Fatal(err)
		}
		return p.Txs
	}
	txs := propose(now.Add(-time.Second))
	if len(txs) != 4 || !slices.ContainsFunc(txs[:2], func(b []byte) bool { return string(b) == string(late) }) {
		t.Errorf("proposed %d, the other database's not among the first", len(txs))
	}
	if p, err := r.app.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: r.height() + 1, Txs: txs}); err != nil || p.Status != abci.ResponseProcessProposal_ACCEPT {
		t.Errorf("an own proposal: %v, %v", p, err)
	}
	slices.Reverse(txs)
	if p, err := r.app.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: r.height() + 1, Txs: append(txs, txs[0])}); err != nil || p.Status != abci.ResponseProcessProposal_REJECT {
		t.Errorf("out of turn: %v, %v", p, err)
	}
	if stale := propose(now.Add(-time.Minute)); len(stale) > 0 {
		t.Errorf("%d proposed with a time long past", len(stale))
	}
	r.must(sent[0])
	if _, ok := check(u.send(u.envelope(now.UnixMilli(), "SELECT 1")), abci.CheckTxType_New); !ok {
		t.Error("no room again after a block")
	}
	now = now.Add(2 * time.Minute)
	for _, raw := range append(sent[1:], late) { // whose time is over leaves
		if _, ok := check(raw, abci.CheckTxType_Recheck); ok {
			t.Error("too old, and stays")
		}
	}
	if n := len(r.app.queue.waiting); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
}

// Sessions and revocations are free, so that an account has only so much room for them.
func TestMempoolOfAccounts(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u, other := w.user("anna"), w.user("bert")
	r.must(u.opened(), other.opened(), u.session(u.link()))
	r.app.queue.most = 3
	check := func(raw []byte) uint32 {
		t.Helper()
		x, err := r.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw})
		if err != nil {
			t.Fatal(err)
		}
		return x.Code
	}
	const taken = 0
	var sent [][]byte
	show := func(of *user, i int) []byte {
		mate := *of
		mate.key = keyOf(fmt.Sprint("mate ", i))
		return mate.session(mate.link())
	}
	for i := range 2 {
		sent = append(sent, show(u, i))
	}
	sent = append(sent, u.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, &wirepb.Revocation{Link: make([]byte, 16)}))
	for _, raw := range sent {
		if k := check(raw); k != taken {
			t.Fatalf("refused: %d", k)
		}
	}
	revoke := u.tx(wirepb.CellTxKind_CELL_TX_REVOCATION, &wirepb.Revocation{Link: []byte("another grant's.")})
	for _, raw := range [][]byte{show(u, 9), revoke} {
		if k := check(raw); k != uint32(mesh.Unavailable)+1 {
			t.Errorf("one too many: %d", k)
		}
	}
	theirs := show(other, 0)
	if k := check(theirs); k != taken {
		t.Errorf("another account has no room: %d", k)
	}
	p, err := r.app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Height: r.height() + 1, Time: time.Now(), Txs: append(sent, theirs)})
	if err != nil || len(p.Txs) != 3 || !slices.ContainsFunc(p.Txs, func(b []byte) bool { return string(b) == string(theirs) }) {
		t.Fatalf("proposed %d of %d, want a session of each account and a revocation: %v", len(p.Txs), len(sent)+1, err)
	}
	r.must(p.Txs...)
	if k := check(revoke); k != taken {
		t.Errorf("no room again after a block: %d", k)
	}
}
