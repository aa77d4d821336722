package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A job opens with what it may cost, and ends with what it did.
func TestJobReceipt(t *testing.T) {
	w, p, alice := newPlant(t, 4)
	bobPerson := w.person("bob", oz)
	bob := w.session(bobPerson, "bob")
	poor := w.chain(newPerson(t, "poor"), "poor", nil)
	start := w.balance(p)

	w.refused(mesh.Denied, poor.openJob("sum", compute.Receipt, 1000))
	w.refused(mesh.Invalid, alice.openJob("sum", 5, 1000))
	w.refused(mesh.Exhausted, alice.openJob("sum", compute.Receipt, 11*oz))
	reader := alice.extend("reader", func(l *wirepb.Link) { l.Operations = uint32(grant.Read) })
	w.ok(reader.open())
	w.refused(mesh.Denied, reader.openJob("sum", compute.Receipt, 1000))
	w.ok(alice.openJob("sum", compute.Receipt, 1000))
	w.refused(mesh.Conflict, alice.openJob("sum", compute.Receipt, 1000))
	if b := w.balance(p); b.Leased != start.Leased+1000 {
		t.Errorf("%d leased", b.Leased-start.Leased)
	}
	w.refused(mesh.Denied, bob.more("sum", 0, 1))
	w.refused(mesh.NotFound, alice.more("sun", 0, 1))
	w.refused(mesh.Conflict, alice.more("sum", 1, 1))
	w.refused(mesh.Invalid, alice.tasks("sum", 0))
	w.refused(mesh.Invalid, alice.tasks("sum", 0, &wirepb.TaskDemand{Task: make([]byte, 32)}))
	if r := w.block(alice.more("sum", 0, 10))[0]; mesh.Kind(r.Kind-1) != mesh.Exhausted || !strings.Contains(r.Hint, "needs 0.0000001 oz more") {
		t.Errorf("%s: %s", r.Text, r.Hint)
	}
	w.ok(alice.more("sum", 0, 4))
	w.ok(alice.more("sum", 4, 1))
	if j := w.jobOf(alice, "sum"); j.Tasks != 5 || j.Reserved != 5*mostNoz || j.Spent != 0 || j.Ended || j.Prices.GetFuel() == 0 || string(j.Session) != string(publicOf(alice.key)) {
		t.Errorf("%v", j)
	}
	if a := w.jobOf(bob, "sum"); a.Budget != 0 {
		t.Errorf("bob sees %v", a)
	}
	w.check()

	n := w.workers(alice, "sum", 0)[0]
	other := w.nodes[0]
	if other.id == n.id {
		other = w.nodes[1]
	}
	open := opening(n, "sum", 0, 0)
	w.refused(mesh.Conflict, commits(n, commitment(n, "sum", 0, 0)))
	w.refused(mesh.Conflict, opens(n, open)) // with a salt
	open.Salt = nil
	w.refused(mesh.Conflict, opens(other, open))
	w.refused(mesh.Denied, tx(wirepb.TxKind_TX_OPENINGS, other.key, &wirepb.Openings{Node: n.id[:], Openings: []*wirepb.Opening{open}}))
	greedy := opening(n, "sum", 0, 0)
	greedy.Salt, greedy.Result.Fuel = nil, 1_000_001
	w.refused(mesh.Invalid, opens(n, greedy))
	w.refused(mesh.Conflict, alice.accept("sum", 0))
	w.ok(opens(n, greedy, open)) // what is wrong is passed over
	w.refused(mesh.Conflict, opens(n, open))
	if a := w.tasksOf(alice, "sum")[0]; a.State != taskCommitted || a.Result.GetOutputBytes() != 50 || a.Noz != 0 {
		t.Errorf("%v", a)
	}
	w.finish("sum", compute.Receipt, truth)
	w.refused(mesh.Denied, bob.accept("sum", 0))
	w.ok(alice.accept("sum", 0, 1, 2, 77))
	w.refused(mesh.Conflict, alice.accept("sum", 0))
	w.check()
	if j := w.jobOf(alice, "sum"); j.Verified != 3 || j.Spent != 3*runNoz || j.Reserved != 2*mostNoz {
		t.Errorf("%v", j)
	}
	paid := uint64(0)
	for _, n := range w.nodes {
		paid += w.computed(n)
	}
	if paid != 3*runNoz {
		t.Errorf("nodes have earned %d", paid)
	}

	// What was not accepted is dropped a minute after the end, and an hour later nothing is left.
	w.refused(mesh.Denied, bob.endJob("sum"))
	w.refused(mesh.NotFound, alice.endJob("sun"))
	w.ok(alice.endJob("sum"))
	w.refused(mesh.Conflict, alice.endJob("sum"))
	w.refused(mesh.Conflict, alice.more("sum", 5, 1))
	if j := w.jobOf(alice, "sum"); !j.Ended || j.Closed {
		t.Errorf("%v", j)
	}
	w.ok(alice.accept("sum", 3))
	w.pass(61 * time.Second)
	w.block()
	if j := w.jobOf(alice, "sum"); !j.Closed || j.Verified != 4 || j.Dropped != 1 || j.Spent != 4*runNoz || j.Reserved != 0 {
		t.Errorf("%v", j)
	}
	if b := w.balance(p); b.Leased != start.Leased {
		t.Errorf("%d are still set aside", b.Leased-start.Leased)
	}
	w.check()
	w.pass(time.Hour)
	w.block()
	w.block()
	if j := w.jobOf(alice, "sum"); j.Budget != 0 || w.count(taskKey)+w.count(jobOwned)+w.count(tidyKey)+w.count(jobTime) > 1 { // its deadline's key
		t.Errorf("%v is still there", j)
	}
	w.epoch(1)
	h := decodeHeader(t, w.reportAt(0).Header)
	if noz := h.Tables[2*report.Compute].Noz; noz != 4*runNoz {
		t.Errorf("the report has %d for compute", noz)
	}
	w.check()
}

func (w *world) reportAt(e mesh.Epoch) *Report {
	r := w.m.Reader()
	defer r.Close()
	return r.Report(e)
}

// A job's budget is counted under the budget of the grant by which it was opened.
func TestJobUnderBudget(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	guest := alice.extend("guest", func(l *wirepb.Link) { n := uint64(1000); l.Budget = &n })
	w.ok(guest.open())
	w.refused(mesh.Exhausted, guest.openJob("sum", compute.Receipt, 1001))
	w.ok(guest.openJob("sum", compute.Receipt, 1000))
	w.refused(mesh.Exhausted, guest.openJob("more", compute.Receipt, 1))
	w.ok(guest.more("sum", 0, 1))
	w.finish("sum", compute.Receipt, truth)
	w.ok(guest.accept("sum", 0))
	w.ok(alice.endJob("sum")) // who writes for the account may
	if j := w.jobOf(alice, "sum"); !j.Closed {
		t.Errorf("%v", j)
	}
	w.refused(mesh.Exhausted, guest.openJob("more", compute.Receipt, 1000-runNoz+1))
	w.ok(guest.openJob("more", compute.Receipt, 1000-runNoz))
	w.check()
}

func TestJobsOfAnAccount(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	for i := range compute.MaxJobs {
		w.ok(alice.openJob(fmt.Sprint(i), compute.Spot, 10))
	}
	w.refused(mesh.Exhausted, alice.openJob("one more", compute.Spot, 10))
	w.ok(alice.endJob("7"))
	w.ok(alice.openJob("one more", compute.Spot, 10))
	var seen []string
	q := &wirepb.JobsPage{Limit: 10}
	for {
		a := new(wirepb.JobsAnswer)
		if err := w.ask(alice.pub(), &wirepb.Question{Question: &wirepb.Question_Jobs{Jobs: q}}, a); err != nil {
			t.Fatal(err)
		}
		for _, j := range a.Jobs {
			seen, q.After = append(seen, string(j.Id)), j.Id
		}
		if !a.Truncated {
			break
		}
	}
	if len(seen) != 65 || seen[0] != string(jobID("one more")) || seen[64] != string(jobID("0")) {
		t.Errorf("%d jobs", len(seen))
	}
	w.check()
}

// Two who agree are paid. Who says something else than two others is convicted, and not paid.
func TestJobPair(t *testing.T) {
	for _, level := range []uint32{compute.Pair, compute.Quorum} {
		w, p, alice := newPlant(t, 6)
		runs := uint64(compute.Workers(level))
		w.ok(alice.openJob("sum", level, 10_000))
		w.ok(alice.more("sum", 0, 3))
		if j := w.jobOf(alice, "sum"); j.Reserved != 3*runs*mostNoz {
			t.Errorf("%d are reserved", j.Reserved)
		}
		liar := w.workers(alice, "sum", 1)[1]
		one := w.workers(alice, "sum", 0)[0]
		w.ok(commits(one, commitment(one, "sum", 0, 0)))
		w.refused(mesh.Conflict, commits(one, commitment(one, "sum", 0, 1)))
		w.refused(mesh.Conflict, opens(one, opening(one, "sum", 0, 0))) // before the others have committed
		w.finish("sum", level, func(n member, number uint32) byte {
			if n.id == liar.id && number == 1 {
				return 1
			}
			return 0
		})
		j := w.jobOf(alice, "sum")
		want := (3*runs - 1) * runNoz // of level pair, who decided is paid in the liar's place
		if level == compute.Pair {
			want = 3 * runs * runNoz
		}
		if lost := w.computed(liar); j.Verified != 3 || j.Reserved != 0 || j.Spent > want || j.Spent < want-2*runNoz || lost > 2*runNoz {
			t.Errorf("level %d: %v, the liar has %d", level, j, lost)
		}
		paid := uint64(0)
		for _, n := range w.nodes {
			paid += w.computed(n)
		}
		if paid != j.Spent {
			t.Errorf("%d were paid, %d spent", paid, j.Spent)
		}
		a := new(wirepb.NodeAnswer)
		if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Node{Node: liar.id[:]}}, a); err != nil {
			t.Fatal(err)
		}
		if a.Status != Suspended || len(a.Reasons) != 1 || CheckTaskEvidence(domain, a.TaskEvidence) != nil || a.TaskEvidence.Number != 1 {
			t.Errorf("the liar is %v", a)
		}
		r := w.m.Reader()
		all := r.Convictions(9)
		r.Close()
		if len(all) != 1 || string(all[0].Message.Node) != string(liar.id[:]) || string(all[0].Message.Cell) != string(jobID("sum")) ||
			all[0].Message.Value < runs*mostNoz || all[0].Message.Value > 10_000 {
			t.Fatalf("%v", all)
		}
		w.ok(tx(wirepb.TxKind_TX_CONVICTION, w.authorities[0].key, all[0].Message))
		w.ok(alice.endJob("sum"))
		if j := w.jobOf(alice, "sum"); !j.Closed || w.balance(p).Leased != 0 {
			t.Errorf("%v", j)
		}
		w.check()
	}
}

// Who copies the commitment of another cannot open it.
func TestCopier(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	w.ok(alice.openJob("sum", compute.Pair, 10_000))
	w.ok(alice.more("sum", 0, 1))
	both := w.workers(alice, "sum", 0)
	honest, copier := both[0], both[1]
	c := commitment(honest, "sum", 0, 0)
	w.ok(commits(honest, c))
	w.ok(commits(copier, c))
	w.ok(opens(honest, opening(honest, "sum", 0, 0)))
	copied := opening(honest, "sum", 0, 0)
	w.refused(mesh.Denied, opens(copier, copied))
	copied.Salt = saltOf(copier)
	w.refused(mesh.Denied, opens(copier, copied))
	w.refused(mesh.Conflict, alice.reissue("sum", 0, honest.id[:]))
	w.pass(6 * time.Second)
	w.ok(alice.reissue("sum", 0, copier.id[:]))
	w.refused(mesh.Conflict, commits(copier, c))
	w.finish("sum", compute.Pair, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != 1 || j.Spent != 2*runNoz || w.computed(copier) != 0 || w.computed(honest) != runNoz {
		t.Errorf("%v", j)
	}
	w.check()
}

// Who dawdles is replaced after its time, unpaid, and loses score: once an epoch by one account.
func TestDawdler(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	w.ok(alice.openJob("sum", compute.Spot, 10_000))
	w.ok(alice.tasks("sum", 0, demand("sum", 0, w.nodes[2]), demand("sum", 1, w.nodes[2])))
	late := w.workers(alice, "sum", 0)[0]
	if late.id != w.nodes[2].id || w.workers(alice, "sum", 1)[0].id != late.id {
		t.Fatalf("%s works, not who is near", late.name)
	}
	w.refused(mesh.Conflict, alice.reissue("sum", 0, late.id[:]))
	w.pass(5 * time.Second)
	score := func() uint64 {
		r := w.m.Reader()
		defer r.Close()
		return r.Node(late.id).Score
	}
	before := score()
	w.ok(alice.reissue("sum", 0, late.id[:]))
	w.ok(alice.reissue("sum", 1, late.id[:]))
	if now := score(); now != before-before/100 {
		t.Errorf("a score of %d after %d", now, before)
	}
	w.refused(mesh.Conflict, commits(late, commitment(late, "sum", 0, 0)))
	w.refused(mesh.Conflict, alice.reissue("sum", 0, late.id[:]))
	w.finish("sum", compute.Spot, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != 2 {
		t.Errorf("%v", j)
	}
	w.epoch(1)
	w.block()
	if n := w.count(blameKey); n != 0 {
		t.Errorf("%d are blamed for ever", n)
	}
	w.check()
}

// Where no two of three agree two more decide; where no two of five do, the task has failed and nobody is paid. Where two pairs
// contradict each other it has, too.
func TestNobodyAgrees(t *testing.T) {
	for _, c := range []struct {
		says     string // results, in the order in which they were drawn
		verified uint32
		paid     uint64
		guilty   int
	}{{"01234", 0, 0, 0}, {"01201", 0, 0, 0}, {"01223", 1, 2, 3}, {"0120x", 1, 2, 3}, {"01000", 1, 2, 1}, {"01222", 1, 3, 2}} {
		w, p, alice := newPlant(t, 6)
		w.ok(alice.openJob("sum", compute.Pair, 10_000))
		w.ok(alice.more("sum", 0, 1))
		w.finish("sum", compute.Pair, func(n member, _ uint32) byte {
			for i, k := range w.tasksOf(alice, "sum")[0].Workers {
				if string(k.Node) == string(n.id[:]) {
					return c.says[i] - '0'
				}
			}
			t.Fatal("it does not work here")
			return 0
		})
		guilty := 0
		for _, n := range w.nodes {
			r := w.m.Reader()
			if r.TaskEvidence(n.id) != nil {
				guilty++
			}
			r.Close()
		}
		j := w.jobOf(alice, "sum")
		if j.Verified != c.verified || j.Failed != 1-c.verified || j.Spent != c.paid*runNoz || guilty != c.guilty {
			t.Errorf("%s: %v, %d guilty", c.says, j, guilty)
		}
		w.ok(alice.endJob("sum"))
		if w.balance(p).Leased != 0 {
			t.Errorf("%s: %d are still set aside", c.says, w.balance(p).Leased)
		}
		w.check()
	}
}

// A job's end drops what nobody has committed to, at once, and leaves a minute for what somebody has.
func TestDeadline(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		w, p, alice := newPlant(t, 4)
		w.ok(alice.openJob("sum", compute.Spot, 10_000))
		w.ok(alice.more("sum", 0, 20))
		w.ok(alice.openJob("lost", compute.Pair, 1000))
		n := w.workers(alice, "sum", 3)[0]
		w.ok(commits(n, commitment(n, "sum", 3, 0)))
		if cancelled {
			w.ok(alice.endJob("sum"))
			w.ok(alice.endJob("lost"))
		} else {
			w.pass(time.Hour)
			w.block()
		}
		if j := w.jobOf(alice, "sum"); !j.Ended || j.Closed || j.Dropped != 19 {
			t.Errorf("%v", j)
		}
		if w.count(loadKey) != 0 {
			t.Error("nodes have work of a job that has ended")
		}
		w.facts()
		w.finish("sum", compute.Spot, truth)
		if j := w.jobOf(alice, "sum"); !j.Closed || j.Verified != 1 || w.balance(p).Leased != 0 {
			t.Errorf("%v", j)
		}
		w.check()
	}
}

// Tasks that cannot be drawn are refused, with what is missing.
func TestTooFewNodes(t *testing.T) {
	w := newWorld(t, 4, 3)
	w.online(w.nodes[:2]...)
	alice := w.session(w.person("alice", oz), "alice")
	w.ok(alice.openJob("sum", compute.Quorum, 10_000_000))
	if r := w.block(alice.more("sum", 0, 1))[0]; mesh.Kind(r.Kind-1) != mesh.Unavailable || !strings.Contains(r.Text, "2 operators have a node that can take it, 3 are needed (1 nodes: it is offline)") {
		t.Errorf("%s", r.Text)
	}
	w.ok(alice.openJob("pair", compute.Pair, 10_000_000))
	w.ok(alice.more("pair", 0, compute.MaxNodeTasks))
	w.refused(mesh.Unavailable, alice.more("pair", compute.MaxNodeTasks, 1))
	// Who disagree have nobody to decide: the task has failed.
	n := w.workers(alice, "pair", 0)
	w.ok(commits(n[0], commitment(n[0], "pair", 0, 0)))
	w.ok(commits(n[1], commitment(n[1], "pair", 0, 1)))
	w.ok(opens(n[0], opening(n[0], "pair", 0, 0)))
	w.ok(opens(n[1], opening(n[1], "pair", 0, 1)))
	if j := w.jobOf(alice, "pair"); j.Failed != 1 {
		t.Errorf("%v", j)
	}
	w.check()
}

// An operator has no tasks of its own jobs, and a node's tasks are told to nobody else.
func TestWhoWorks(t *testing.T) {
	w := newWorld(t, 4, 2)
	w.online(w.nodes...)
	p := newPerson(t, "alice")
	own := nodeRecord(w.nodes[0], w.nodes[0].name, "", wirepb.NodeStatus_NODE_STATUS_ACTIVE)
	own.GetNode().Operator = p.id[:]
	w.facts(credit(p.id, oz), own)
	alice := w.session(p, "alice")
	w.ok(alice.openJob("sum", compute.Receipt, 10_000))
	w.ok(alice.more("sum", 0, 20))
	if len(w.work(w.nodes[0])) != 0 || len(w.work(w.nodes[1])) != 20 {
		t.Errorf("%d and %d tasks", len(w.work(w.nodes[0])), len(w.work(w.nodes[1])))
	}
	q := &wirepb.Question{Question: &wirepb.Question_Work{Work: &wirepb.WorkPage{Node: w.nodes[1].id[:], Limit: 3}}}
	if err := w.ask(alice.pub(), q, nil); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("alice reads a node's work: %v", err)
	}
	if a := w.work(w.nodes[1])[19]; a.Number != 19 || string(a.Agent) != string(publicOf(alice.key)) || a.Fuel != 1_000_000 || len(a.Workers) != 1 {
		t.Errorf("%v", a)
	}
}

// Prices are those that the value layer told before the job was opened.
func TestJobPrices(t *testing.T) {
	w, _, alice := newPlant(t, 3)
	w.ok(alice.openJob("old", compute.Receipt, 10_000))
	w.facts(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Params{Params: &wirepb.NetworkParams{EpochBlocks: 10, ComputePrices: &wirepb.ComputePrices{Fuel: 1_000_000, OutputByte: 2_000_000}}}})
	w.ok(alice.openJob("new", compute.Receipt, 10_000))
	w.ok(alice.more("old", 0, 1))
	w.ok(alice.more("new", 0, 1))
	if a, b := w.jobOf(alice, "old").Reserved, w.jobOf(alice, "new").Reserved; a != mostNoz || b != 201 {
		t.Errorf("%d and %d are reserved", a, b)
	}
	w.check()
}
