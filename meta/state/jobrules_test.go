package state

import (
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A header that was there when the last commitment came draws no checks, whenever the log hears of it.
func TestOldHeadersDrawNothing(t *testing.T) {
	w, p, alice := newPlant(t, 4)
	w.ok(alice.openJob("sum", compute.Spot, 10_000))
	w.ok(alice.more("sum", 0, 1))
	n := w.workers(alice, "sum", 0)[0]
	w.ok(commits(n, commitment(n, "sum", 0, 0)))
	committed := w.now
	drawn := func() bool { return len(w.tasksOf(alice, "sum")[0].Workers) > 1 }
	at := func(height, ms int64, records ...*wirepb.OutboxRecord) {
		f := &wirepb.Facts{Head: append(be64(uint64(height)), be64(uint64(ms))...)}
		w.ok(tx(wirepb.TxKind_TX_FACTS, w.authorities[0].key, f))
	}
	w.ok(w.factsAt(w.authorities[0].key, w.valueHeight, credit(p.id, 11*oz))) // of the height that was known
	w.nextFact++
	if drawn() {
		t.Error("a header of a height that was known has drawn checks")
	}
	at(w.valueHeight+1, committed)
	if drawn() {
		t.Error("a header that was there before the commitment has drawn checks")
	}
	at(w.valueHeight+2, committed+1)
	if !drawn() {
		t.Error("nothing is checked")
	}
}

// A decider has a minute of his own.
func TestDeciderHasTime(t *testing.T) {
	w, _, alice := newPlant(t, 5)
	w.ok(alice.openJob("sum", compute.Spot, 10_000))
	w.ok(alice.more("sum", 0, 1))
	worker := w.workers(alice, "sum", 0)[0]
	w.ok(commits(worker, commitment(worker, "sum", 0, 1)))
	w.facts()
	w.pass(50 * time.Second)
	checker := w.workers(alice, "sum", 0)[1]
	w.ok(commits(checker, commitment(checker, "sum", 0, 0)))
	w.ok(opens(worker, opening(worker, "sum", 0, 1)))
	w.ok(opens(checker, opening(checker, "sum", 0, 0)))
	decider := w.workers(alice, "sum", 0)[2]
	w.pass(20 * time.Second)
	w.ok(commits(decider, commitment(decider, "sum", 0, 0)))
	w.ok(opens(decider, opening(decider, "sum", 0, 0)))
	if j := w.jobOf(alice, "sum"); j.Verified != 1 || w.computed(worker) != 0 || w.computed(checker) != runNoz || w.computed(decider) != runNoz {
		t.Errorf("%v", j)
	}
	w.check()
}

// Who left, or was convicted elsewhere, is not paid for what it gave; the others are.
func TestWhoIsGoneIsNotPaid(t *testing.T) {
	for _, convicted := range []bool{false, true} {
		w, _, alice := newPlant(t, 6)
		w.ok(alice.openJob("sum", compute.Pair, 10_000))
		w.ok(alice.more("sum", 0, 1))
		both := w.workers(alice, "sum", 0)
		for _, n := range both {
			w.ok(commits(n, commitment(n, "sum", 0, 0)))
		}
		w.ok(opens(both[0], opening(both[0], "sum", 0, 0)))
		if convicted {
			w.ok(alice.openJob("other", compute.Quorum, 10_000))
			w.ok(alice.tasks("other", 0, demand("other", 0, both[0])))
			w.finish("other", compute.Quorum, func(n member, _ uint32) byte {
				if n.id == both[0].id {
					return 1
				}
				return 0
			})
		} else {
			w.facts(nodeRecord(both[0], both[0].name, "", wirepb.NodeStatus_NODE_STATUS_REMOVED))
		}
		before := w.computed(both[1])
		w.ok(opens(both[1], opening(both[1], "sum", 0, 0)))
		if j := w.jobOf(alice, "sum"); j.Verified != 1 || j.Spent != runNoz || w.computed(both[0]) != 0 || w.computed(both[1]) != before+runNoz {
			t.Errorf("%v", j)
		}
		w.check()
	}
}

// What the budget has no room for is not checked, and not held up by that.
func TestNoRoomForChecks(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	w.ok(alice.openJob("less", compute.Spot, 2*mostNoz-1))
	w.refused(mesh.Exhausted, alice.more("less", 0, 1)) // tasks are taken with room for their checks
	crowd(w, alice, "sum")
	w.finish("sum", compute.Spot, truth)
	if a := w.tasksOf(alice, "sum")[0]; a.State != taskVerified || len(a.Workers) != 1 || a.Noz != runNoz {
		t.Errorf("%v", a)
	}
	w.check()
}

// A task pays no more than it has reserved: of three who agree the last goes empty.
func TestReserveBoundsPay(t *testing.T) {
	w, _, alice := newPlant(t, 6)
	w.ok(alice.openJob("sum", compute.Pair, 2*runNoz))
	d := demand("sum", 0)
	d.Fuel, d.OutputBytes = 500_000, 50
	w.ok(alice.tasks("sum", 0, d))
	w.finish("sum", compute.Pair, func(n member, _ uint32) byte {
		for i, k := range w.tasksOf(alice, "sum")[0].Workers {
			if string(k.Node) == string(n.id[:]) {
				return min(byte(i), 2)
			}
		}
		return 0
	})
	a := w.tasksOf(alice, "sum")[0]
	if j := w.jobOf(alice, "sum"); j.Verified != 1 || j.Spent != 2*runNoz || len(a.Workers) != 5 || w.computed(w.member(a.Workers[4].Node)) != 0 {
		t.Errorf("%v", j)
	}
	w.check()
}

// A checker that lies loses its own tasks of the job too.
func TestCheckerWhoLies(t *testing.T) {
	w, _, alice := newPlant(t, 3)
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	w.ok(alice.tasks("sum", 0, demand("sum", 0, w.nodes[0])))
	var others []*wirepb.TaskDemand
	for n := range uint32(8) {
		others = append(others, demand("sum", 1+n, w.nodes[1]), demand("sum", 2+n, w.nodes[2]))
		others[len(others)-1].Task, others[len(others)-2].Task = taskName("sum", 2+2*n), taskName("sum", 1+2*n)
	}
	w.ok(alice.tasks("sum", 1, others...))
	lied := map[string]bool{} // who lies as a checker or decider, and only so
	w.finish("sum", compute.Spot, func(n member, number uint32) byte {
		first := w.tasksOf(alice, "sum")[number].Workers[0]
		if string(first.Node) != string(n.id[:]) && len(lied) == 0 || lied[n.name] {
			lied[n.name] = true
			return 1
		}
		return 0
	})
	for _, n := range w.nodes {
		r := w.m.Reader()
		guilty := r.TaskEvidence(n.id) != nil
		r.Close()
		if guilty != lied[n.name] {
			t.Errorf("%s: guilty %v, lied %v", n.name, guilty, lied[n.name])
		}
	}
	for n, k := range w.tasksOf(alice, "sum") {
		if k.State == taskVerified && compute.ResultDigest(k.Result) != compute.ResultDigest(result("sum", uint32(n), 0)) {
			t.Errorf("task %d is verified with a lie", n)
		}
		if k.State == taskVerified && k.Noz == 0 {
			t.Errorf("task %d is verified by the word of a liar alone", n)
		}
	}
	w.check()
}

// Nobody commits in the block that has the deadline, or after it.
func TestTooLate(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	w.ok(alice.openJob("sum", compute.Pair, 10_000))
	w.ok(alice.more("sum", 0, 1))
	n := w.workers(alice, "sum", 0)[0]
	w.now += time.Hour.Milliseconds()
	w.refused(mesh.Conflict, commits(n, commitment(n, "sum", 0, 0)))
	w.refused(mesh.Conflict, commits(n, commitment(n, "sum", 0, 0)))
	w.check()
}

// crowd opens a job of level spot, and brings it two tasks, after which it has room for a check of the second only, which costs half.
func crowd(w *world, u user, job string) {
	w.ok(u.openJob(job, compute.Spot, 2*mostNoz))
	w.ok(u.more(job, 0, 1))
	half := demand(job, 1)
	half.Fuel, half.OutputBytes = 500_000, 50
	w.ok(u.tasks(job, 1, half))
}

// Who comes in the place of one that did not open is waited for, and at level spot waits for a draw of his own.
func TestReplacedBeforeOpening(t *testing.T) {
	w, _, alice := newPlant(t, 5)
	w.ok(alice.openJob("sum", compute.Pair, 10_000))
	w.ok(alice.more("sum", 0, 1))
	both := w.workers(alice, "sum", 0)
	for _, n := range both {
		w.ok(commits(n, commitment(n, "sum", 0, 0)))
	}
	w.pass(6 * time.Second)
	w.ok(alice.reissue("sum", 0, both[1].id[:]))
	w.refused(mesh.Conflict, opens(both[0], opening(both[0], "sum", 0, 0)))
	w.finish("sum", compute.Pair, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != 1 || w.computed(both[0]) != runNoz {
		t.Errorf("%v", j)
	}

	crowd(w, alice, "spot")
	late, other := w.workers(alice, "spot", 0)[0], w.workers(alice, "spot", 1)[0]
	w.ok(commits(late, commitment(late, "spot", 0, 0)))
	w.ok(commits(other, commitment(other, "spot", 1, 0)))
	w.facts()
	w.pass(6 * time.Second)
	w.ok(alice.reissue("spot", 0, late.id[:]))
	next := w.workers(alice, "spot", 0)[0]
	w.ok(commits(next, commitment(next, "spot", 0, 0)))
	w.refused(mesh.Conflict, opens(next, opening(next, "spot", 0, 0)))
	w.facts()
	w.finish("spot", compute.Spot, truth)
	for _, k := range w.tasksOf(alice, "spot")[0].Workers {
		if w.member(k.Node).id == late.id && k.State != workerDropped {
			t.Errorf("who was late is %v", k)
		}
	}
	if j := w.jobOf(alice, "spot"); j.Verified != 2 || w.tasksOf(alice, "spot")[0].Noz != runNoz {
		t.Errorf("%v", j)
	}
	w.check()
}

// A checker that lies is convicted, and what it has in the job itself is not believed any more, whether it is checked or not: others do it.
func TestLyingCheckerLosesItsTasks(t *testing.T) {
	const workers, each = 3, 2 * checkFrom
	w, _, alice := newPlant(t, workers+3)
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	for i, n := range w.nodes[:workers] {
		var all []*wirepb.TaskDemand
		for k := range uint32(each) {
			all = append(all, demand("sum", uint32(i)*each+k, n))
		}
		w.ok(alice.tasks("sum", uint32(i)*each, all...))
	}
	own := map[mesh.NodeID][]uint32{}
	for number, k := range w.tasksOf(alice, "sum") {
		n := w.member(k.Workers[0].Node)
		own[n.id] = append(own[n.id], uint32(number))
		w.ok(commits(n, commitment(n, "sum", uint32(number), 0)))
	}
	w.facts()
	for number, k := range w.tasksOf(alice, "sum") {
		if len(k.Workers) < 2 || len(own[mesh.NodeID(k.Workers[1].Node)]) < checkFrom {
			continue
		}
		n, worker, liar := uint32(number), w.member(k.Workers[0].Node), w.member(k.Workers[1].Node)
		for _, m := range own[liar.id] { // it gives what is not checked, which waits for the check of what is
			if len(w.tasksOf(alice, "sum")[m].Workers) == 1 {
				w.ok(opens(liar, opening(liar, "sum", m, 0)))
			}
		}
		if j := w.jobOf(alice, "sum"); j.Verified != 0 {
			t.Fatalf("%v", j)
		}
		w.ok(commits(liar, commitment(liar, "sum", n, 1)))
		w.ok(opens(worker, opening(worker, "sum", n, 0)))
		w.ok(opens(liar, opening(liar, "sum", n, 1)))
		decider := w.workers(alice, "sum", n)[2]
		w.ok(commits(decider, commitment(decider, "sum", n, 0)))
		w.ok(opens(decider, opening(decider, "sum", n, 0)))
		for _, m := range own[liar.id] {
			if k := w.tasksOf(alice, "sum")[m]; k.Workers[0].State != workerDropped || k.State >= taskVerified {
				t.Errorf("task %d of the liar: %v", m, k)
			}
		}
		w.finish("sum", compute.Spot, truth)
		if j := w.jobOf(alice, "sum"); j.Verified != workers*each || w.computed(liar) != 0 {
			t.Errorf("%v, the liar has %d", j, w.computed(liar))
		}
		w.check()
		return
	}
	t.Fatal("no worker checks another")
}
