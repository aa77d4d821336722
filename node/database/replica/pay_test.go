package replica

import (
	"bytes"
	"fmt"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// allowed is a notice of an allowance.
func (u *user) allowed(sequence, noz uint64) []byte {
	n := u.notice(sequence, database.Open)
	n.AllowanceNoz = noz
	return u.w.notice(n, 0)
}

func (r *rig) record(u *user) *replicapb.Database {
	r.w.t.Helper()
	d := r.app.view().database(u.database[:])
	if d == nil {
		r.w.t.Fatal("there is no such database")
	}
	return d
}

// Without an allowance nothing is written; the one envelope that goes beyond it is applied, what comes behind it is not, and what it
// took too much is taken from the next allowance.
func TestAllowance(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u, neighbour := w.user("anna"), w.user("bert")
	r.must(u.allowed(1, 0), neighbour.opened(), u.session(u.link()), neighbour.session(neighbour.link()))
	exhausted := func(why string, x *abci.ExecTxResult) {
		t.Helper()
		if x.Code != uint32(mesh.Exhausted)+1 || x.GasUsed != 0 || len(x.Data) > 0 {
			t.Errorf("%s: %v", why, x)
		}
	}
	create := func() []byte { return u.send(u.envelope(r.next(), "CREATE TABLE IF NOT EXISTS t(v)")) }
	exhausted("without an allowance", r.run(create())[0])
	if err := r.app.precheck(create(), [32]byte{1}, false); mesh.KindOf(err) != mesh.Exhausted || err == nil || mesh.HintOf(err) == "" {
		t.Errorf("the mempool takes it: %v", err)
	}
	r.must(u.allowed(2, 1))
	res := r.run(create(), u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1)")), neighbour.send(neighbour.envelope(r.next(), "CREATE TABLE t(v)")))
	if res[0].Code != 0 || res[2].Code != 0 {
		t.Fatalf("a noz is left, and the neighbour has his own: %v", res)
	}
	exhausted("behind what went beyond, in its block", res[1])
	exhausted("in the next block", r.run(create())[0])
	exhausted("to remove something", r.run(u.send(u.envelope(r.next(), "DROP TABLE t")))[0])
	debt := r.record(u).Noz
	if debt < 1000 {
		t.Fatalf("it costs %d noz", debt)
	}
	r.must(u.allowed(3, debt))
	exhausted("an allowance that pays the debt", r.run(create())[0])
	r.must(u.allowed(4, debt+100))
	insert := u.envelope(r.next(), "INSERT INTO t VALUES(1)")
	r.must(u.send(insert))
	want := database.Price(database.DefaultPrices(), r.outcome(u, insert).Usage)
	if got := r.record(u).Noz - debt; got < want || got > want+100 { // and what the file's pages cost for some seconds
		t.Errorf("an INSERT costs %d noz, want %d", got, want)
	}
	// A program that was applied before costs nothing.
	before := r.record(u).Noz
	r.must(u.allowed(5, before+1_000_000), u.send(insert))
	if got := r.record(u).Noz; got > before+100 {
		t.Errorf("the same program again costs %d noz", got-before)
	}
}

// Prices hold from the block of their notice on, also for what is held.
func TestPricesChange(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{})
	u := w.user("anna")
	priced := func(sequence uint64, p *wirepb.Prices) []byte {
		n := u.notice(sequence, database.Open)
		n.Prices = p
		return w.notice(n, 0)
	}
	const hour = 3600
	held := &wirepb.Prices{ByteHour: hour * database.PriceUnit} // a noz a byte and second
	r.must(priced(1, nil), u.session(u.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	for range 5 {
		r.must()
	}
	r.must(priced(2, held))
	d := r.record(u)
	if d.Noz != 0 || d.Pages < 2 {
		t.Fatalf("for nothing: %d noz, %d pages", d.Noz, d.Pages)
	}
	for range 3 {
		r.must()
	}
	r.must(priced(3, &wirepb.Prices{Row: 7 * database.PriceUnit})) // four seconds later
	want := 4 * d.Pages * database.PageBytes
	if d := r.record(u); d.Noz != want {
		t.Errorf("held for four seconds: %d noz, want %d", d.Noz, want)
	}
	r.must(u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1),(2),(3)")))
	if d := r.record(u); d.Noz != want+21 {
		t.Errorf("three rows: %d noz, want 21", d.Noz-want)
	}
}

// Four replicas, of which one is restarted wherever it can be, and one has other caches, charge the same and check the same.
func TestEqualCharges(t *testing.T) {
	w := newWorld(t, 4, 1)
	var all []*rig
	for i := range 4 {
		all = append(all, newRig(w, i, Rules{CheckpointMs: 4000}))
	}
	u := w.user("anna")
	each := func(txs ...[]byte) {
		t.Helper()
		for _, r := range all {
			r.must(txs...)
		}
	}
	each(u.opened(), u.session(u.link()))
	each(u.send(u.envelope(timeOf(2), "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")))
	last := uint64(0)
	for h := int64(3); h < 15; h++ {
		sql := "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) SELECT hex(randomblob(300)) FROM n"
		if h%3 == 0 {
			sql = "DELETE FROM t WHERE id % 2"
		}
		each(u.send(u.envelope(timeOf(h), sql)))
		all[1].close()
		all[1].open()
		first := all[0].record(u)
		for i, r := range all {
			if d := r.record(u); d.Noz != first.Noz || d.Pages != first.Pages || fmt.Sprint(d) != fmt.Sprint(first) {
				t.Fatalf("replica %d at block %d: %v, want %v", i, h, d, first)
			}
			sum, want := r.app.view().digest(), all[0].app.view().digest()
			if sum != want {
				t.Fatalf("replica %d has another state at block %d", i, h)
			}
		}
		if first.Noz <= last || first.Pages == 0 {
			t.Fatalf("block %d costs nothing: %v", h, first)
		}
		last = first.Noz
		var c *wirepb.Checkpoint
		for i, r := range all {
			m := r.scanned()
			if i == 0 {
				c = m
			}
			if fmt.Sprint(m) != fmt.Sprint(c) {
				t.Fatalf("replica %d checks %v, want %v", i, m, c)
			}
		}
		if c != nil {
			if c.Databases[0].Noz != first.Noz || first.Checked != first.Noz || first.HeldMs != timeOf(h) {
				t.Fatalf("the checkpoint says %d noz, the record %v", c.Databases[0].Noz, first)
			}
			each(w.checkpoint(0, c), w.checkpoint(1, c), w.checkpoint(3, c))
			h++
			each(w.checkpoint(2, c)) // it comes late
			h++
			if n := len(all[2].app.view().certificate().Checkpoints); n != 4 {
				t.Errorf("the certificate has %d signatures", n)
			}
		}
	}
}

// A file that was killed behind its commit, and before the state's, is charged once.
func TestChargedOnce(t *testing.T) {
	w := newWorld(t, 4, 1)
	r, sound := newRig(w, 0, Rules{}), newRig(w, 1, Rules{})
	u := w.user("anna")
	for _, r := range []*rig{r, sound} {
		r.must(u.opened(), u.session(u.link()))
	}
	e := u.envelope(r.next(), "CREATE TABLE t(v)")
	if _, err := r.finalize(2, u.send(e)); err != nil {
		t.Fatal(err)
	}
	if err := r.app.block.touched[0].block.Commit(); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
	r.must(u.send(e))
	sound.must(u.send(e))
	if a, b := r.record(u), sound.record(u); a.Noz == 0 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v, want %v", a, b)
	}
}

// Who has used half of what he was allowed since the last checkpoint gets the next sooner.
func TestHurry(t *testing.T) {
	w := newWorld(t, 4, 1)
	const every = 100_000 // and a twentieth of it, 5 s
	r := newRig(w, 0, Rules{CheckpointMs: every})
	u := w.user("anna")
	r.must(u.opened(), u.session(u.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	used := r.record(u).Noz
	r.must(u.allowed(2, used+30_000))
	insert := func() { t.Helper(); r.must(u.send(u.envelope(r.next(), "INSERT INTO t VALUES(1)"))) }
	until := int64(0)
	for r.record(u).Noz < (used+30_000)/2 { // nothing was checked yet
		insert()
		until = r.height()
	}
	for r.height() < 30 && len(r.app.jobs) == 0 {
		r.must()
	}
	c := r.scanned()
	if c == nil || c.Height < until || c.Height < 5 || c.Height > max(until, 5) {
		t.Fatalf("half was used at %d, and checked at %v", until, c)
	}
	r.must(w.checkpoint(0, c), w.checkpoint(1, c), w.checkpoint(2, c))
	// What was not used since does not make one sooner, and what is used up makes one more.
	for range 10 {
		r.must()
	}
	if c := r.scanned(); c != nil {
		t.Fatalf("checked again at %d", c.Height)
	}
	for !exhausted(r.record(u), 0) {
		insert()
		if m := r.scanned(); m != nil {
			r.must(w.checkpoint(0, m), w.checkpoint(1, m), w.checkpoint(2, m))
		}
		if r.height() > 60 {
			t.Fatalf("never used up: %v", r.record(u))
		}
	}
	for range 10 {
		r.must()
	}
	if m := r.scanned(); m != nil {
		if m.Databases[0].Noz < r.record(u).Allowance {
			t.Errorf("the last checkpoint says %d noz", m.Databases[0].Noz)
		}
		r.must(w.checkpoint(0, m), w.checkpoint(1, m), w.checkpoint(2, m))
	}
	for range 20 {
		r.must()
	}
	if m := r.scanned(); m != nil {
		t.Errorf("what is used up is checked again and again, at %d", m.Height)
	}
}

// What a dropped database has cost stays in checkpoints for a while.
func TestEnded(t *testing.T) {
	w := newWorld(t, 4, 1)
	r := newRig(w, 0, Rules{CheckpointMs: 2000})
	u, never := w.user("anna"), w.user("bert")
	r.must(u.opened(), u.session(u.link()))
	r.must(u.send(u.envelope(r.next(), "CREATE TABLE t(v)")))
	r.must(w.notice(u.notice(2, database.Dropped), 0), w.notice(never.notice(2, database.Dropped), 0))
	end := r.height()
	listed := int64(0)
	for r.height() < end+40 {
		if m := r.scanned(); m != nil {
			if len(m.Ended) > 0 {
				listed = m.Height
				if len(m.Databases) != 0 || len(m.Ended) != 2 || bytes.Compare(m.Ended[0].Database, m.Ended[1].Database) >= 0 {
					t.Fatalf("%v", m)
				}
				for _, d := range m.Ended {
					if paid := bytes.Equal(d.Database, u.database[:]); paid != (d.Noz > 1000) || paid && d.Noz != r.record(u).Noz {
						t.Fatalf("%v", d)
					}
				}
			}
			r.must(w.checkpoint(0, m), w.checkpoint(1, m), w.checkpoint(2, m))
			continue
		}
		r.must()
	}
	if at := listed - end; at < 20 || at > 24 { // twelve times two seconds
		t.Errorf("dropped at %d, and listed until %d", end, listed)
	}
	if n := r.app.view().count([]byte{endedKey}, 9); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}
