package state

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func seedFlag() string { return os.Getenv("STATE_SEED") }

func (w *world) expect(p person, credited, debited, leased uint64) {
	w.t.Helper()
	w.check()
	a := w.balance(p)
	if a.Credited != credited || a.Debited != debited || a.Leased != leased || a.Available != credited-debited-leased {
		w.t.Fatalf("credited %d, debited %d, leased %d, available %d; want %d, %d, %d", a.Credited, a.Debited, a.Leased, a.Available, credited, debited, leased)
	}
}

func feeOf(body int) uint64 { return uint64(LogWriteNoz + LogByteNoz*body) }

// From prepay to payment: what is leased is neither spent nor free, what is claimed is spent, what nobody claims in two
// epochs after the lease's end comes back.
func TestFromPrepayToPayment(t *testing.T) {
	w := newWorld(t, 4, 7)
	ann := w.person("ann", 10*oz)
	w.expect(ann, 10*oz, 0, 0)
	u := w.session(ann, "ann")
	fees := w.balance(ann).Debited
	if fees == 0 {
		t.Fatal("a session's registration is free")
	}
	w.ok(u.lease("first", 4*oz, time.Hour))
	w.expect(ann, 10*oz, fees, 4*oz)
	w.refused(mesh.Exhausted, u.lease("second", 6*oz, time.Hour)) // the fees are missing
	w.ok(u.lease("second", 5*oz, time.Hour))
	w.expect(ann, 10*oz, fees, 9*oz)

	w.ok(settlement(w.nodes[0], u.receipt("first", w.nodes[0], oz)))
	w.expect(ann, 10*oz, fees+oz, 8*oz)
	w.ok(settlement(w.nodes[0], u.receipt("first", w.nodes[0], 3*oz), u.receipt("second", w.nodes[0], 2*oz)))
	w.expect(ann, 10*oz, fees+5*oz, 4*oz)
	w.refused(mesh.Exhausted, settlement(w.nodes[1], u.receipt("first", w.nodes[1], oz+1))) // 1 oz is left of it
	w.ok(settlement(w.nodes[1], u.receipt("first", w.nodes[1], oz)))
	w.expect(ann, 10*oz, fees+6*oz, 3*oz)

	w.ok(u.closeLease("second"))
	w.expect(ann, 10*oz, fees+6*oz, 3*oz) // nodes may still claim
	w.epoch(1)
	w.ok(settlement(w.nodes[1], u.receipt("second", w.nodes[1], oz)))
	w.epoch(2)
	w.block()
	w.expect(ann, 10*oz, fees+7*oz, 2*oz)
	w.epoch(3)
	w.block()
	w.expect(ann, 10*oz, fees+7*oz, 0)
	w.refused(mesh.NotFound, settlement(w.nodes[1], u.receipt("second", w.nodes[1], 2*oz)))
	w.expect(ann, 10*oz, fees+7*oz, 0)
}

func TestLeaseRefusals(t *testing.T) {
	w := newWorld(t, 2, 3)
	ann := w.person("ann", 10*oz)
	u := w.session(ann, "ann")
	lease := func(f func(*traffic.Lease)) []byte {
		l := traffic.Lease{ID: leaseID("x"), Amount: mesh.Noz(oz), Authority: w.authorities[1].id, ExpiresMs: w.now + 3600_000}
		f(&l)
		return tx(wirepb.TxKind_TX_LEASE, u.key, l.Message())
	}
	for _, c := range []struct {
		name string
		kind mesh.Kind
		f    func(*traffic.Lease)
	}{
		{"too small", mesh.Invalid, func(l *traffic.Lease) { l.Amount = traffic.MinLease - 1 }},
		{"more than there is", mesh.Invalid, func(l *traffic.Lease) { l.Amount = mesh.MaxNoz + 1 }},
		{"more than the account has", mesh.Exhausted, func(l *traffic.Lease) { l.Amount = mesh.MaxNoz }},
		{"unknown authority", mesh.NotFound, func(l *traffic.Lease) { l.Authority[0]++ }},
		{"over already", mesh.Invalid, func(l *traffic.Lease) { l.ExpiresMs = w.now }},
		{"over in this very block", mesh.Invalid, func(l *traffic.Lease) { l.ExpiresMs = w.now + 1000 }},
		{"over a day ahead", mesh.Invalid, func(l *traffic.Lease) { l.ExpiresMs = w.now + 1001 + traffic.MaxLeaseMs }},
	} {
		w.refused(c.kind, lease(c.f))
		w.check()
		if w.balance(ann).Leased != 0 {
			t.Errorf("%s: something is leased", c.name)
		}
	}
	w.ok(lease(func(*traffic.Lease) {}))
	w.refused(mesh.Conflict, lease(func(l *traffic.Lease) { l.Amount++ }))
	stranger := w.chain(ann, "nobody", nil)
	w.refused(mesh.Denied, stranger.lease("y", oz, time.Hour))

	brief := w.chain(ann, "brief", func(l *wirepb.Link) { l.ExpiresMs = w.now + 60_000 })
	w.ok(brief.open())
	w.refused(mesh.Invalid, brief.lease("y", oz, time.Hour)) // longer than its session
	w.ok(brief.lease("y", oz, 30*time.Second))
	w.pass(time.Minute)
	w.refused(mesh.Denied, brief.lease("z", oz, time.Second))
	w.check()
}

// A lease that was closed early and swept must not be opened again by whoever kept its message: its receipts would be
// paid a second time.
func TestLeaseIDIsUsedOnce(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann := w.person("ann", 10*oz)
	u := w.session(ann, "ann")
	opening, receipt := u.lease("once", 4*oz, 20*time.Hour), u.receipt("once", w.nodes[0], 3*oz)
	w.ok(opening)
	w.refused(mesh.Conflict, opening)
	w.ok(settlement(w.nodes[0], receipt))
	w.ok(u.closeLease("once"))
	before := w.balance(ann).Debited
	w.refused(mesh.Conflict, opening)
	for e := uint64(1); e <= 4; e++ {
		w.epoch(e)
		w.block()
		if r := w.block(opening)[0]; r.Kind == 0 {
			t.Fatalf("epoch %d: the lease is open again", e)
		}
		if r := w.block(settlement(w.nodes[0], receipt))[0]; r.Kind == 0 {
			t.Fatalf("epoch %d: the receipt is paid again", e)
		}
	}
	w.expect(ann, 10*oz, before, 0)
	w.pass(21 * time.Hour)
	w.pass(time.Hour)
	w.refused(mesh.Invalid, opening) // expired
	if n := w.count(leaseKey) + w.count(leaseTimeKey) + w.count(leaseEndKey) + w.count(claimKey); n != 0 {
		t.Errorf("%d records are left of a lease that is long over", n)
	}
	w.check()
}

func (w *world) count(kind byte) (n int) {
	v := &view{db: w.db}
	v.scanPrefix(key(kind), func(_, _ []byte) bool { n++; return true })
	return n
}

func TestExpiryAndGrace(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann := w.person("ann", 10*oz)
	u := w.session(ann, "ann")
	fees := w.balance(ann).Debited
	w.ok(u.lease("short", 2*oz, time.Minute))
	w.refused(mesh.Denied, w.session(w.person("bob", oz), "bob").closeLease("short"))
	w.refused(mesh.NotFound, u.closeLease("other"))
	w.pass(time.Hour)
	l := new(wirepb.LeaseAnswer)
	id := leaseID("short")
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Lease{Lease: id[:]}}, l); err != nil || !l.Closed {
		t.Fatalf("the lease did not end with its time: %v, %v", l, err)
	}
	w.ok(u.closeLease("short")) // nothing more to end
	w.ok(settlement(w.nodes[0], u.receipt("short", w.nodes[0], oz)))
	w.expect(ann, 10*oz, fees+oz, oz)
	w.epoch(2)
	w.ok(settlement(w.nodes[0], u.receipt("short", w.nodes[0], oz+5))) // the last epoch of the grace
	// The block in which the third epoch begins ends the grace, though the sweep comes with the next.
	w.valueHeight = int64(3*w.m.tip.EpochBlocks) + 1
	rs := w.block(w.factsAt(w.authorities[0].key, w.valueHeight), settlement(w.nodes[0], u.receipt("short", w.nodes[0], oz+9)))
	if rs[0].Kind != 0 || rs[1].Kind == 0 {
		t.Errorf("past its grace: %v", rs)
	}
	w.block()
	w.expect(ann, 10*oz, fees+oz+5, 0)
}

func TestReceipts(t *testing.T) {
	w := newWorld(t, 1, 4)
	ann := w.person("ann", 10*oz)
	u, other := w.session(ann, "ann"), w.session(ann, "ann's other")
	w.ok(u.lease("a", 4*oz, time.Hour))
	node, another := w.nodes[0], w.nodes[1]
	w.ok(settlement(node, u.receipt("a", node, oz)))
	base := w.balance(ann).Debited
	bad := u.receipt("a", node, 2*oz)
	bad.Signature[3] ^= 1
	foreign := traffic.Receipt{Lease: leaseID("a"), Node: node.id, Total: mesh.Noz(2 * oz)}.Seal(sign.Domain{}, u.key)
	huge := traffic.Receipt{Lease: leaseID("a"), Node: node.id, Total: 1<<64 - 1}.Seal(domain, u.key)
	for _, c := range []struct {
		name string
		kind mesh.Kind
		tx   []byte
	}{
		{"the same again", mesh.Conflict, settlement(node, u.receipt("a", node, oz))},
		{"less than before", mesh.Conflict, settlement(node, u.receipt("a", node, oz-1))},
		{"another node's", mesh.Denied, settlement(another, u.receipt("a", node, 2*oz))},
		{"by another session of the account", mesh.Denied, settlement(node, other.receipt("a", node, 2*oz))},
		{"by nobody", mesh.Denied, settlement(node, w.chain(ann, "unheard", nil).receipt("a", node, 2*oz))},
		{"of an unknown lease", mesh.NotFound, settlement(node, u.receipt("b", node, oz))},
		{"beyond the lease", mesh.Exhausted, settlement(node, u.receipt("a", node, 4*oz+1))},
		{"beyond everything", mesh.Invalid, settlement(node, huge)},
		{"of another network", mesh.Denied, settlement(node, foreign)},
		{"with a wrong signature", mesh.Denied, settlement(node, bad)},
		{"handed in by another key", mesh.Denied, tx(wirepb.TxKind_TX_SETTLEMENT, another.key, &wirepb.Settlement{Node: node.id[:], Receipts: []*wirepb.Signed{u.receipt("a", node, 2*oz)}})},
		{"of an unknown node", mesh.NotFound, settlement(newMember("unknown"), u.receipt("a", newMember("unknown"), oz))},
		{"none", mesh.Invalid, settlement(node)},
	} {
		t.Run(c.name, func(t *testing.T) { w.refused(c.kind, c.tx) })
	}
	w.expect(ann, 10*oz, base, 3*oz)
	// One bad receipt does not cost the node the good ones.
	w.ok(settlement(node, bad, u.receipt("b", node, 1), u.receipt("a", node, 2*oz), u.receipt("a", node, 2*oz), foreign))
	w.expect(ann, 10*oz, base+oz, 2*oz)
}

func TestBudgets(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann := w.person("ann", 100*oz)
	budget := func(n uint64) func(*wirepb.Link) { return func(l *wirepb.Link) { l.Budget = &n } }
	team := w.chain(ann, "team", budget(10*oz))
	w.ok(team.open())
	x, y := team.extend("x", budget(6*oz)), team.extend("y", nil)
	w.ok(x.open())
	w.ok(y.open())
	w.refused(mesh.Exhausted, x.lease("x1", 6*oz+1, time.Hour)) // its own bound
	w.ok(x.lease("x1", 6*oz, time.Hour))
	w.refused(mesh.Exhausted, x.lease("x2", 1<<20, time.Hour))
	w.refused(mesh.Exhausted, y.lease("y1", 4*oz+1, time.Hour)) // the team's
	w.ok(y.lease("y1", 4*oz, time.Hour))
	w.refused(mesh.Exhausted, team.lease("t1", 1<<20, time.Hour))
	w.check()
	// What nobody claimed comes back to the budgets too.
	w.ok(settlement(w.nodes[0], x.receipt("x1", w.nodes[0], oz)))
	w.ok(x.closeLease("x1"))
	w.epoch(3)
	w.block()
	spent := func(links ...string) *wirepb.SpentOf {
		q := &wirepb.SpentOf{Account: ann.id[:]}
		for _, label := range links {
			q.Links = append(q.Links, bytesOf("link "+label, 16))
		}
		return q
	}
	answer := new(wirepb.SpentAnswer)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Spent{Spent: spent("team", "x", "y")}}, answer); err != nil || !slices.Equal(answer.Noz, []uint64{5 * oz, oz, 0}) {
		t.Errorf("spent %d, %v", answer.Noz, err)
	}
	for _, q := range []*wirepb.SpentOf{spent(), {Account: ann.id[:], Links: [][]byte{{1}}}, {Links: spent("x").Links}} {
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Spent{Spent: q}}, answer); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%v: %v", q.Links, err)
		}
	}
	w.refused(mesh.Exhausted, x.lease("x3", 5*oz+1, time.Hour))
	w.ok(x.lease("x3", 5*oz, time.Hour))
	w.check()
}

// A key that moves from one chain to another takes nothing of the first's spending to the second's budget.
func TestBudgetsOfAKeyThatMoves(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann := w.person("ann", 100*oz)
	small := w.chain(ann, "small", func(l *wirepb.Link) { n := 2 * oz; l.Budget = &n })
	w.ok(small.open())
	k := w.chain(ann, "k", nil)
	w.ok(k.open())
	w.ok(k.lease("big", 50*oz, time.Hour))
	moved := small.extend("k", func(l *wirepb.Link) { l.Id = bytesOf("link moved", 16) })
	w.ok(moved.open())
	w.ok(moved.lease("under budget", 2*oz, time.Hour))
	w.ok(moved.closeLease("big"))
	w.epoch(3)
	w.block()
	w.refused(mesh.Exhausted, small.lease("over", 1<<20, 30*time.Minute))
	w.check()
}

func TestSessions(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann := w.person("ann", 10*oz)
	u := w.session(ann, "ann")
	debited := w.balance(ann).Debited
	w.ok(u.open()) // free, and changes nothing
	if w.balance(ann).Debited != debited {
		t.Error("a session is charged for twice")
	}
	other := newKey("another")
	w.refused(mesh.Denied, tx(wirepb.TxKind_TX_SESSION, other, &wirepb.Session{Chain: u.chain})) // not the holder
	w.refused(mesh.Invalid, tx(wirepb.TxKind_TX_SESSION, other, &wirepb.Session{}))
	late := w.chain(ann, "late", func(l *wirepb.Link) { l.NotBeforeMs = w.now + 60_000 })
	w.refused(mesh.Denied, late.open())
	gone := w.chain(ann, "gone", func(l *wirepb.Link) { l.ExpiresMs = w.now })
	w.refused(mesh.Denied, gone.open())
	poor := newPerson(t, "poor")
	w.refused(mesh.Exhausted, w.chain(poor, "poor", nil).open())
	w.check()
}

// From the block of a revocation on, the link and all below it do nothing, and come back under no other message.
func TestRevocation(t *testing.T) {
	w := newWorld(t, 1, 3)
	ann, bob := w.person("ann", 10*oz), w.person("bob", 10*oz)
	u, b := w.session(ann, "ann"), w.session(bob, "bob")
	w.ok(u.bucket("photos", 1, false))
	mate := u.extend("mate", nil)
	w.ok(mate.open())
	guest := mate.extend("guest", nil)
	w.ok(guest.open())
	w.ok(guest.lease("g", oz, time.Hour))
	w.ok(guest.put(guest.inline("photos", "before", "x")))

	narrow := u.extend("narrow", func(l *wirepb.Link) { l.Prefix = "photos/" })
	w.ok(narrow.open())
	w.refused(mesh.Denied, narrow.revoke("mate")) // not all of the account's rights
	reader := u.extend("reader", func(l *wirepb.Link) { l.Operations = uint32(grant.Read | grant.Delegate) })
	w.ok(reader.open())
	w.refused(mesh.Denied, reader.revoke("mate"))
	w.ok(b.revoke("mate")) // another account's revocation is its own affair
	w.ok(guest.put(guest.inline("photos", "still", "x")))

	// In one block: revoked first, then used.
	write := guest.put(guest.inline("photos", "after", "x"))
	rs := w.block(u.revoke("mate"), write)
	if rs[0].Kind != 0 || rs[1].Kind != uint32(mesh.Denied)+1 {
		t.Fatalf("got %v", rs)
	}
	for name, tx := range map[string][]byte{
		"lease": guest.lease("g2", oz, time.Hour), "entry": write, "deletion": guest.delete("photos", "before"), "bucket": mate.bucket("more", 1, false),
		"session": mate.open(), "below": guest.open(), "anew": mate.extend("fresh", nil).open(),
	} {
		t.Run(name, func(t *testing.T) { w.refused(mesh.Denied, tx) })
	}
	if err := w.ask(guest.pub(), &wirepb.Question{Question: &wirepb.Question_Object{Object: &wirepb.ObjectName{Bucket: "photos", Key: "before"}}}, nil); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a revoked session reads: %v", err)
	}
	// What it signed before is still paid, and its lease may be given back.
	w.ok(settlement(w.nodes[0], guest.receipt("g", w.nodes[0], 1000)))
	w.ok(guest.closeLease("g"))
	w.ok(u.put(u.inline("photos", "mine", "x")))
	w.check()
}

// Every transaction has a purpose of its own kind of statement, and none is believed under another kind.
func TestKindsAreSeparate(t *testing.T) {
	w := newWorld(t, 1, 3)
	u := w.session(w.person("ann", 10*oz), "ann")
	lease := traffic.Lease{ID: leaseID("x"), Amount: mesh.Noz(oz), Authority: w.authorities[0].id, ExpiresMs: w.now + 3600_000}.Message()
	for kind := range wirepb.TxKind_name {
		k := wirepb.TxKind(kind)
		if k == wirepb.TxKind_TX_LEASE || k == wirepb.TxKind_TX_UNSPECIFIED {
			continue
		}
		s := signed.Seal(domain, u.key, sign.Lease, lease)
		if r := w.block(NewTx(k, s))[0]; r.Kind != uint32(mesh.Denied)+1 {
			t.Errorf("a lease's message as %s: %q", k, r.Text)
		}
	}
	for _, raw := range [][]byte{nil, {1}, {0x08, 0x63}, NewTx(wirepb.TxKind_TX_UNSPECIFIED, signed.Seal(domain, u.key, sign.Lease, lease)), NewTx(99, nil), NewTx(wirepb.TxKind_TX_LEASE, nil)} {
		w.refused(mesh.Invalid, raw)
	}
	w.ok(NewTx(wirepb.TxKind_TX_LEASE, signed.Seal(domain, u.key, sign.Lease, lease)))
	w.check()
}

// A session that signs all of a lease to one node takes nothing from another: each is credited up to what tickets gave it.
func TestAllotments(t *testing.T) {
	w := newWorld(t, 4, 8)
	w.allotting = true
	a := w.person("alice", 1_000_000_000)
	u := w.session(a, "s")
	w.ok(u.lease("l", 100<<20, time.Hour))
	friend, honest, office := w.nodes[0], w.nodes[1], w.authorities[0]
	allot := func(by member, open bool, parts ...uint64) []byte {
		id := leaseID("l")
		l := &wirepb.LeaseAllotment{Lease: id[:], Open: open}
		for i, n := range parts {
			l.Nodes = append(l.Nodes, &wirepb.NodeAllotment{Node: w.nodes[i].id[:], Total: n})
		}
		return tx(wirepb.TxKind_TX_ALLOTMENTS, by.key, &wirepb.Allotments{Leases: []*wirepb.LeaseAllotment{l}})
	}
	claimed := func(n member) uint64 {
		c := new(wirepb.ClaimAnswer)
		id := leaseID("l")
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Claim{Claim: &wirepb.Claim{Lease: id[:], Node: n.id[:]}}}, c); err != nil {
			t.Fatal(err)
		}
		return c.Total
	}
	w.refused(mesh.Unavailable, settlement(friend, u.receipt("l", friend, 100<<20))) // nothing is known yet
	w.refused(mesh.Denied, allot(friend, true))
	w.ok(allot(w.authorities[1], true, 100<<20)) // not its lease: nothing happens
	w.ok(allot(office, false, 10<<20, 20<<20))
	w.ok(settlement(friend, u.receipt("l", friend, 100<<20)))
	w.ok(settlement(honest, u.receipt("l", honest, 20<<20)))
	if f, h := claimed(friend), claimed(honest); f != 10<<20 || h != 20<<20 {
		t.Fatalf("credited %d and %d", f, h)
	}
	w.ok(allot(office, false, 5<<20, 200<<20)) // totals neither shrink nor exceed the lease
	w.refused(mesh.Unavailable, settlement(honest, u.receipt("l", honest, 21<<20)))
	w.ok(allot(office, false, 10<<20, 90<<20))
	w.ok(settlement(honest, u.receipt("l", honest, 30<<20)))
	w.ok(allot(office, true))
	w.ok(settlement(friend, u.receipt("l", friend, 60<<20)))
	if f, h := claimed(friend), claimed(honest); f != 60<<20 || h != 30<<20 {
		t.Fatalf("credited %d and %d in an open lease", f, h)
	}
	w.check()
}

// An authority that falls silent costs nobody his pay: in the last epoch of the grace receipts count as they come.
func TestSilentAuthority(t *testing.T) {
	w := newWorld(t, 4, 8)
	w.allotting = true
	u := w.session(w.person("alice", 1_000_000_000), "s")
	w.ok(u.lease("l", 10<<20, time.Hour))
	w.ok(u.closeLease("l"))
	n := w.nodes[0]
	w.refused(mesh.Unavailable, settlement(n, u.receipt("l", n, 1<<20)))
	w.epoch(w.m.tip.Epoch + GraceEpochs)
	w.ok(settlement(n, u.receipt("l", n, 1<<20)))
	w.check()
}

// A node that was credited nothing yet must not take that for a lease which is gone: it would never claim again.
func TestNothingCreditedIsAnAnswer(t *testing.T) {
	w, _, u := newShop(t, 3)
	w.ok(u.lease("a", oz, time.Hour))
	claim := func(label string) []byte {
		id := leaseID(label)
		r := w.m.Reader()
		defer r.Close()
		b, err := r.Answer(&wirepb.Question{Question: &wirepb.Question_Claim{Claim: &wirepb.Claim{Lease: id[:], Node: w.nodes[0].id[:]}}}, u.pub(), w.now)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if len(claim("a")) == 0 {
		t.Error("nothing credited of an open lease is answered as no lease")
	}
	if len(claim("none")) != 0 {
		t.Error("a lease that is not there has an answer")
	}
}
