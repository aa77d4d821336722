package state

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func answerKey(n member) ed25519.PrivateKey { return newKey("answers of " + n.name) }

// A testCell is a founded cell with its members in order.
type testCell struct {
	w       *world
	id      []byte
	members []member
	height  int64
}

// found has the members of a user's database tell their keys.
func (w *world) found(u user, name string) *testCell {
	w.t.Helper()
	a := w.cellOf(u, name)
	c := &testCell{w: w, id: a.Id}
	for _, m := range a.Members {
		for _, n := range w.nodes {
			if string(n.id[:]) == string(m.Node) {
				c.members = append(c.members, n)
				w.ok(w.cellKey(n, a, func(k *wirepb.CellKey) { k.AnswerKey = publicOf(answerKey(n)) }))
			}
		}
	}
	return c
}

func publicOf(k ed25519.PrivateKey) []byte { p := mesh.PublicKeyOf(k); return p[:] }

func databaseID(name string) string { return string(bytesOf("database "+name, 16)) }

// checkpoint says at the next height what databases have cost.
func (c *testCell) checkpoint(noz map[string]uint64, ended ...string) *wirepb.Checkpoint {
	c.height++
	m := &wirepb.Checkpoint{Cell: c.id, Version: 1, Height: c.height, State: make([]byte, 32)}
	for _, id := range sortedKeys(noz) {
		over := false
		for _, e := range ended {
			over = over || databaseID(e) == id
		}
		if over {
			m.Ended = append(m.Ended, &wirepb.EndedDatabase{Database: []byte(id), Noz: noz[id]})
		} else {
			m.Databases = append(m.Databases, &wirepb.CheckedDatabase{Database: []byte(id), Digest: make([]byte, 32), Content: make([]byte, 32), Noz: noz[id]})
		}
	}
	return m
}

// settled hands a checkpoint in that members of these places have signed, by the node of the first.
func (c *testCell) settled(p *wirepb.Checkpoint, by ...int) []byte {
	return c.settledBy(c.members[by[0]], p, by...)
}

func (c *testCell) settledBy(n member, p *wirepb.Checkpoint, by ...int) []byte {
	cert := new(wirepb.Certificate)
	for _, i := range by {
		cert.Checkpoints = append(cert.Checkpoints, signed.Seal(domain, answerKey(c.members[i]), sign.Checkpoint, p))
	}
	return tx(wirepb.TxKind_TX_CELL_SETTLEMENT, n.key, database.NewSettlement(n.id, cert, c.w.now))
}

func (w *world) notice(name string) *wirepb.Notice {
	r := w.m.Reader()
	defer r.Close()
	return r.Notice([]byte(databaseID(name)))
}

func (w *world) earned(n member) uint64 { return w.earnedBy(report.Database, n) }

// earnedBy is what the epoch's ledger says that a node has earned by a kind of service.
func (w *world) earnedBy(kind byte, n member) (sum uint64) {
	v := &view{db: w.db}
	v.scanPrefix(key(ledgerKey, be64(w.m.tip.Epoch), []byte{kind}), func(k, b []byte) bool {
		c := new(statepb.Counter)
		if v.decode(k, b, c) && string(k[30:]) == string(n.id[:]) {
			sum += c.Value
		}
		return true
	})
	return sum
}

func TestCertificatesArePaid(t *testing.T) {
	w := newWorld(t, 4, 5)
	w.online(w.nodes...)
	alicePerson, bobPerson := w.person("alice", 10*oz), w.person("bob", 10*oz)
	alice, bob := w.session(alicePerson, "alice"), w.session(bobPerson, "bob")
	w.ok(alice.createDatabase("shop", 1))
	w.ok(bob.createDatabase("blog", 1))
	start := w.balance(alicePerson)
	if n := w.notice("shop"); start.Leased != oz || n.AllowanceNoz != oz || n.Sequence != 1 || n.Prices.GetGas() == 0 {
		t.Fatalf("%d set aside, the notice says %v", start.Leased, n)
	}
	early := &testCell{w: w, id: w.cellOf(alice, "shop").Id, members: w.nodes[:4]}
	w.refused(mesh.NotFound, early.settled(early.checkpoint(map[string]uint64{databaseID("shop"): 9}), 0, 1, 2))
	c := w.found(alice, "shop")
	if a := w.cellOf(alice, "shop"); a.CheckpointMs != 5000 {
		t.Errorf("a checkpoint every %d ms", a.CheckpointMs)
	}
	p := c.checkpoint(map[string]uint64{databaseID("shop"): 1_000_003, databaseID("blog"): 40})
	var stranger member
	for _, n := range w.nodes {
		if w.cellsOf(n) == nil {
			stranger = n
		}
	}
	w.refused(mesh.Denied, c.settledBy(stranger, p, 0, 1, 2))
	w.refused(mesh.NotFound, c.settledBy(newMember("nobody"), p, 0, 1, 2))
	w.refused(mesh.Denied, c.settled(p, 0, 1))
	w.refused(mesh.Denied, c.settled(p, 0, 1, 1))
	forged := c.members[0]
	forged.key = stranger.key
	w.refused(mesh.Denied, c.settledBy(forged, p, 0, 1, 2))
	later := c.checkpoint(nil)
	later.Version = 2
	w.refused(mesh.NotFound, c.settled(later, 0, 1, 2))
	c.height = p.Height

	w.ok(c.settled(p, 0, 1, 2))
	b := w.balance(alicePerson)
	if b.Debited-start.Debited != 3*250_000 || b.Leased != oz-3-750_000 {
		t.Errorf("alice: %v, before %v", b, start)
	}
	for i, n := range c.members {
		if want := []uint64{250_010, 250_010, 250_010, 0}[i]; w.earned(n) != want {
			t.Errorf("member %d has earned %d, want %d", i, w.earned(n), want)
		}
	}
	w.refused(mesh.Conflict, c.settled(p, 1, 0, 2))
	w.ok(c.settled(p, 3, 1, 2)) // the fourth was late
	w.refused(mesh.Conflict, c.settled(p, 0, 1, 2, 3))
	if b := w.balance(alicePerson); w.earned(c.members[3]) != 250_010 || b.Debited-start.Debited != 1_000_000 {
		t.Errorf("the fourth has earned %d; alice: %v", w.earned(c.members[3]), b)
	}
	w.check()

	// What nobody claimed goes back with the next, and who was unregistered earns nothing.
	w.facts(nodeRecord(c.members[1], c.members[1].name, "", wirepb.NodeStatus_NODE_STATUS_REMOVED))
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 1_000_003 + 400_000, databaseID("blog"): 40}), 0, 1, 2))
	if b := w.balance(alicePerson); b.Debited-start.Debited != 1_200_000 || w.earned(c.members[1]) != 250_010 || w.earned(c.members[0]) != 350_010 {
		t.Errorf("the second certificate: %v", b)
	}
	aside := w.balance(alicePerson).Leased
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 1_000_003 + 400_000}), 0, 2, 3))
	if back := aside - w.balance(alicePerson).Leased; back != 200_000 {
		t.Errorf("%d went back, want 200000", back)
	}
	if d := w.databaseOf(alice, "shop"); d.UsedNoz != 1_400_003 || d.SettledNoz != 1_200_000 || d.AllowanceNoz != oz || d.Waits {
		t.Errorf("the database: %v", d)
	}
	w.check()

	w.epoch(1)
	r := w.m.Reader()
	defer r.Close()
	rep := r.Report(0)
	h, err := report.DecodeHeader(rep.Header)
	if err != nil {
		t.Fatal(err)
	}
	if v, d := h.Tables[2*report.Database], h.Tables[2*report.Database+1]; v.Noz != 1_200_040 || d.Noz != v.Noz || h.Tables[2*report.Storage].Noz != 0 || h.Fees == 0 {
		t.Errorf("the report: volumes of %d noz, debits of %d, of storage %d", v.Noz, d.Noz, h.Tables[2*report.Storage].Noz)
	}
	w.check()
}

// A certificate of 2f+1 that takes back what they have certified pays nobody, and everybody can see it.
func TestCertificateTakesBack(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.online(w.nodes...)
	p := w.person("alice", 10*oz)
	alice := w.session(p, "alice")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	first := c.checkpoint(map[string]uint64{databaseID("shop"): 1000})
	w.ok(c.settled(first, 0, 1, 2))
	before := w.balance(p)
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 999}), 0, 1, 2, 3))
	if a, b := w.cellOf(alice, "shop"), w.balance(p); a.ContradictedHeight != 2 || a.SettledHeight != 1 || b.Debited != before.Debited || b.Leased != before.Leased {
		t.Errorf("%v; %v, before %v", a, b, before)
	}
	c.height--
	w.refused(mesh.Conflict, c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 999}), 0, 1, 2, 3))
	c.height = 0
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 2000}), 1, 2, 3)) // of the height that is settled
	if a, b := w.cellOf(alice, "shop"), w.balance(p); a.ContradictedHeight != 1 || b.Debited != before.Debited {
		t.Errorf("two certificates of one height: %v", a)
	}
	w.ok(c.settled(first, 3, 1, 2)) // what was true stays so
	c.height = 5
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 3000}), 1, 2, 3))
	if d := w.databaseOf(alice, "shop"); d.UsedNoz != 3000 || d.SettledNoz != 1000+1500 {
		t.Errorf("%v", d)
	}
	c.height = 3
	w.refused(mesh.Conflict, c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 3000}), 1, 2, 3))
	w.check()
}

// Allowances are filled up as far as the account reaches, and again when it has more; what was used beyond is a debt.
func TestAllowances(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.online(w.nodes...)
	p := w.person("alice", 3*oz)
	alice := w.session(p, "alice")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	use := func(noz uint64) {
		t.Helper()
		w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): noz}), 0, 1, 2, 3))
		w.check()
	}
	want := func(why string, allowance, sequence uint64, waits bool) {
		t.Helper()
		n, d := w.notice("shop"), w.databaseOf(alice, "shop")
		if n.AllowanceNoz != allowance || n.Sequence != sequence || d.Waits != waits {
			t.Fatalf("%s: allowance %d, notice %d, waits: %v; want %d, %d, %v", why, n.AllowanceNoz, n.Sequence, d.Waits, allowance, sequence, waits)
		}
	}
	use(oz / 4)
	want("a quarter used", oz, 1, false)
	use(oz/4 + 4)
	want("more than a quarter", oz/4+4+oz, 2, false)
	use(oz)
	want("an ozone", 2*oz, 3, false)
	use(2*oz + 800) // beyond what is allowed
	b := w.balance(p)
	if b.Debited < 2*oz || b.Available != database.LeastTopUpNoz {
		t.Fatalf("%v", b)
	}
	rest := w.notice("shop").AllowanceNoz
	if rest < 2*oz+9*oz/10 {
		t.Fatalf("the rest is %d", rest)
	}
	want("the account's rest", rest, 4, true)
	fees := b.Debited - 2*oz
	use(5 * oz)                                                                                                                                     // far beyond; all that is there is debited
	if b, paid := w.balance(p), w.databaseOf(alice, "shop").SettledNoz; b.Debited != paid+fees || b.Leased != 0 || paid > rest || paid+2*3 < rest { // shares are rounded down
		t.Errorf("%v; %d of fees, %d paid of %d", b, fees, paid, rest)
	}
	want("nothing left", rest, 4, true)
	w.block()
	want("still nothing left", rest, 4, true)
	w.facts(credit(p.id, 4*oz)) // one more than before, which the debt takes
	w.block()
	if got := w.notice("shop"); got.AllowanceNoz >= 5*oz || got.Sequence != 5 {
		t.Fatalf("an ozone more: %v", got)
	}
	w.facts(credit(p.id, 8*oz))
	w.block()
	want("more than the debt", 6*oz, 6, false)
	if n := w.count(refillKey) + w.count(dryKey); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	use(5*oz + 4)
	if d := w.databaseOf(alice, "shop"); d.SettledNoz > 5*oz+4 || d.SettledNoz+4*3 < 5*oz {
		t.Errorf("the debt is not paid: %v", d)
	}
	w.check()
}

// Many databases of one account wait; each block fills up some.
func TestRefillsAreBounded(t *testing.T) {
	w := newWorld(t, 1, 4)
	w.online(w.nodes...)
	p := w.person("alice", 20_000_000)
	alice := w.session(p, "alice")
	const n = 2*refillLimit + 7
	for i := range n {
		w.ok(alice.createDatabase(fmt.Sprint("db-", i), 1))
	}
	if got := w.count(dryKey); got != n {
		t.Fatalf("%d wait", got)
	}
	w.facts(credit(p.id, 1000*oz))
	for want := n; ; want -= refillLimit {
		if got := w.count(dryKey); got != max(want, 0) {
			t.Fatalf("%d wait, want %d", got, want)
		}
		w.check()
		if want <= 0 {
			break
		}
		w.block()
	}
	if w.count(refillKey) != 0 {
		t.Error("the account is looked at for ever")
	}
}

// A database that waits for ozone and needs none any more keeps none of the others from theirs.
func TestRefillPassesOver(t *testing.T) {
	w := newWorld(t, 4, 5)
	w.online(w.nodes...)
	p := w.person("alice", oz*9/10)
	alice := w.session(p, "alice")
	first, second := "a", "b" // as they are passed
	if databaseID(first) > databaseID(second) {
		first, second = second, first
	}
	w.ok(alice.createDatabase(first, 1))  // has nearly enough
	w.ok(alice.createDatabase(second, 1)) // has nothing
	if n := w.count(dryKey); n != 2 {
		t.Fatalf("%d databases wait", n)
	}
	w.facts(credit(p.id, 10*oz))
	w.pass(time.Second)
	if d := w.databaseOf(alice, second); d.Waits || d.AllowanceNoz != oz {
		t.Errorf("it waits: %v, and has %d", d.Waits, d.AllowanceNoz)
	}
	w.check()
}

func TestDroppedDatabasesGiveBack(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.online(w.nodes...)
	p := w.person("alice", 10*oz)
	alice := w.session(p, "alice")
	w.ok(alice.createDatabase("unused", 1))
	w.ok(alice.dropDatabase("unused"))
	if b := w.balance(p); b.Leased != 0 {
		t.Fatalf("of a cell that never was: %v", b)
	}
	for _, name := range []string{"shop", "blog", "wiki"} {
		w.ok(alice.createDatabase(name, 1))
	}
	c := w.found(alice, "shop")
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 1000, databaseID("blog"): 1000}), 0, 1, 2))
	for _, name := range []string{"shop", "blog"} {
		w.ok(alice.dropDatabase(name))
	}
	// The cell has not heard of it yet.
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 2000, databaseID("blog"): 1000}), 0, 1, 2))
	if b := w.balance(p); b.Leased != 3*oz-2*750-2*250-750 {
		t.Fatalf("%v", b)
	}
	ended := c.checkpoint(map[string]uint64{databaseID("shop"): 2400, databaseID("wiki"): 0}, "shop")
	w.ok(c.settled(ended, 0, 1, 2))
	b := w.balance(p)
	if b.Leased != 2*oz-4*250+100 { // the rest of one, what the other has left, and the share that is open still
		t.Errorf("%v", b)
	}
	w.ok(c.settled(ended, 3, 1, 2))
	if after := w.balance(p); after.Leased != b.Leased-100 || after.Debited != b.Debited+100 {
		t.Errorf("a late signature for what has ended: %v, before %v", after, b)
	}
	w.check()
	w.pass(31 * 24 * time.Hour)
	if b := w.balance(p); b.Leased != oz {
		t.Errorf("a month later: %v", b)
	}
	w.check()
}

// What governance sets databases cost from their next notice on: one that is made afterwards at once, another when its allowance is
// looked at.
func TestPrices(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.online(w.nodes...)
	alice := w.session(w.person("alice", 9*oz), "alice")
	w.ok(alice.createDatabase("shop", 1))
	c := w.found(alice, "shop")
	before := w.notice("shop")
	if p := database.DefaultPrices(); before.Prices.GetRow() != p.Row || before.Prices.GetByteHour() != p.ByteHour {
		t.Errorf("without a word of the value layer: %v", before.Prices)
	}
	set := &wirepb.Prices{Gas: 7, Row: 8, ByteIn: 9, ByteOut: 10, ByteHour: 11}
	w.facts(&wirepb.OutboxRecord{Height: uint64(w.valueHeight), Fact: &wirepb.OutboxRecord_Params{Params: &wirepb.NetworkParams{EpochBlocks: w.m.tip.EpochBlocks, MaturityEpochs: 1, DatabasePrices: set}}})
	if n := w.notice("shop"); n.Sequence != before.Sequence || n.Prices.GetRow() != before.Prices.GetRow() {
		t.Errorf("a notice of one sequence says something else: %v", n)
	}
	w.ok(alice.createDatabase("late", 1))
	if n := w.notice("late"); n.Prices.GetGas() != 7 || n.Prices.GetByteHour() != 11 {
		t.Errorf("a database that was made afterwards: %v", n.Prices)
	}
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 5}), 0, 1, 2, 3))
	if n := w.notice("shop"); n.Sequence != before.Sequence+1 || n.Prices.GetGas() != 7 || n.Prices.GetRow() != 8 {
		t.Errorf("after a certificate: %v", n)
	}
	w.ok(c.settled(c.checkpoint(map[string]uint64{databaseID("shop"): 6}), 0, 1, 2, 3))
	if n := w.notice("shop"); n.Sequence != before.Sequence+1 {
		t.Errorf("after another, notice %d", n.Sequence)
	}
	w.check()
}
