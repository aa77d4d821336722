package state

import (
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Of level spot each task has one worker, and some are checked: one in 16, and of who has four at least one. Checks are drawn by a block of
// the value layer that nobody knew when the last commitment came.
func TestJobSpot(t *testing.T) {
	w, _, alice := newPlant(t, 6)
	const tasks = 200
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	w.ok(alice.more("sum", 0, tasks))
	first := w.workers(alice, "sum", 0)[0]
	w.ok(commits(first, commitment(first, "sum", 0, 0)))
	w.facts() // nothing is drawn before all have committed
	w.refused(mesh.Conflict, opens(first, opening(first, "sum", 0, 0)))
	w.round("sum", compute.Spot, truth)
	w.block()
	r := w.m.Reader()
	if !r.AwaitsChecks() {
		t.Error("the job does not wait for the value layer")
	}
	r.Close()
	w.refused(mesh.Conflict, opens(first, opening(first, "sum", 0, 0)))
	w.facts()
	checked := map[string]int{}
	had := map[string]int{}
	all := 0
	for _, k := range w.tasksOf(alice, "sum") {
		node := string(k.Workers[0].Node)
		had[node]++
		if len(k.Workers) > 1 {
			checked[node]++
			all++
		}
	}
	for node, n := range had {
		if n >= 4 && checked[node] == 0 {
			t.Errorf("none of %d tasks of a worker is checked", n)
		}
	}
	if all < 6 || all > 45 {
		t.Errorf("%d of %d are checked", all, tasks)
	}
	w.check()
	w.finish("sum", compute.Spot, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != tasks || j.Spent != uint64(tasks+all)*runNoz || j.Reserved != 0 {
		t.Errorf("%v, %d checks", j, all)
	}
	if n := w.count(awaitKey) + w.count(batchKey) + w.count(drawKey) + w.count(workKey) + w.count(loadKey) + w.count(releaseKey); n != 0 {
		t.Errorf("%d records are left over", n)
	}
	// The next batch of the same job, of one task, is checked too.
	w.ok(alice.more("sum", tasks, 1))
	w.finish("sum", compute.Spot, truth)
	if a := w.tasksOf(alice, "sum")[tasks]; a.State != taskVerified || len(a.Workers) != 2 || a.Noz != 2*runNoz {
		t.Errorf("%v", a)
	}
	w.check()
}

// A worker that lies in all its tasks is caught by the first that is checked: none of them is paid, and all are given to others.
func TestLiarAtSpot(t *testing.T) {
	w, p, alice := newPlant(t, 6)
	const tasks = 100
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	w.ok(alice.more("sum", 0, tasks))
	liar := w.workers(alice, "sum", 0)[0]
	w.finish("sum", compute.Spot, func(n member, _ uint32) byte {
		if n.id == liar.id {
			return 1
		}
		return 0
	})
	truthful := compute.ResultDigest(result("sum", 0, 0))
	if a := w.tasksOf(alice, "sum"); a[0].State != taskVerified || compute.ResultDigest(a[0].Result) != truthful {
		t.Errorf("%v", a[0])
	}
	for n, k := range w.tasksOf(alice, "sum") {
		if k.State != taskVerified || compute.ResultDigest(k.Result) != compute.ResultDigest(result("sum", uint32(n), 0)) {
			t.Fatalf("task %d: %v", n, k)
		}
	}
	r := w.m.Reader()
	e := r.TaskEvidence(liar.id)
	r.Close()
	if e == nil || CheckTaskEvidence(domain, e) != nil || w.computed(liar) != 0 {
		t.Errorf("the liar has %d; %v", w.computed(liar), CheckTaskEvidence(domain, e))
	}
	w.ok(alice.endJob("sum"))
	if j := w.jobOf(alice, "sum"); !j.Closed || w.balance(p).Leased != 0 {
		t.Errorf("%v", j)
	}
	w.check()
}

// What is drawn and decided of very many tasks goes on from block to block.
func TestManyTasks(t *testing.T) {
	for _, lies := range []bool{false, true} {
		w, _, alice := newPlant(t, 14)
		most := w.nodes[0]
		says := func(n member, _ uint32) byte {
			if lies && n.id == most.id {
				return 1
			}
			return 0
		}
		w.ok(alice.openJob("sum", compute.Spot, 1_000_000))
		const tasks = 10 * compute.MaxNodeTasks
		for first := uint32(0); first < tasks; first += compute.MaxNodeTasks {
			var all []*wirepb.TaskDemand
			for n := range uint32(compute.MaxNodeTasks) {
				all = append(all, demand("sum", first+n, most))
			}
			w.ok(alice.tasks("sum", first, all...))
			w.round("sum", compute.Spot, says)
		}
		had, passed := 0, func() (n int) {
			for _, k := range w.tasksOf(alice, "sum") {
				if k.Workers[0].OpenMs > 0 || len(k.Workers) > 1 {
					n++
				}
			}
			return n
		}
		for _, k := range w.tasksOf(alice, "sum") {
			if w.member(k.Workers[0].Node).id == most.id {
				had++
			}
		}
		if had <= 2*drawLimit {
			t.Fatalf("one node has only %d tasks", had)
		}
		w.facts()
		for _, want := range []int{drawLimit, 2 * drawLimit, tasks} {
			if n := passed(); n != want {
				t.Errorf("the draw has passed %d tasks, want %d", n, want)
			}
			w.check()
			w.block()
		}
		more := false
		for range 8 {
			w.finish("sum", compute.Spot, says)
			more = more || w.count(releaseKey) > 0
			w.block()
			w.facts()
		}
		j, paid := w.jobOf(alice, "sum"), w.computed(most)
		if j.Verified != tasks || w.count(releaseKey) != 0 || !more && !lies || lies != (paid == 0) {
			t.Errorf("%v: one has %d", j, paid)
		}
		for n, k := range w.tasksOf(alice, "sum") {
			if k.State == taskVerified && compute.ResultDigest(k.Result) != compute.ResultDigest(result("sum", uint32(n), 0)) {
				t.Fatalf("task %d: %v", n, k)
			}
		}
		w.check()
	}
}

// Who would rather not open what is checked loses all the same, but is not convicted.
func TestLiarWhoDoesNotOpen(t *testing.T) {
	w, _, alice := newPlant(t, 6)
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	w.ok(alice.tasks("sum", 0, demand("sum", 0, w.nodes[0]), demand("sum", 1, w.nodes[0]), demand("sum", 2, w.nodes[0]), demand("sum", 3, w.nodes[0]), demand("sum", 4, w.nodes[0])))
	liar := w.nodes[0]
	var lies []*wirepb.Commitment
	var shown []*wirepb.Opening
	for n := range uint32(5) {
		if w.workers(alice, "sum", n)[0].id != liar.id {
			t.Fatal("the liar has too little")
		}
		lies, shown = append(lies, commitment(liar, "sum", n, 1)), append(shown, opening(liar, "sum", n, 1))
	}
	w.ok(commits(liar, lies...))
	w.facts()
	checked := -1
	for n, k := range w.tasksOf(alice, "sum") {
		if len(k.Workers) > 1 {
			checked = n
			checker := w.workers(alice, "sum", uint32(n))[1]
			w.ok(commits(checker, commitment(checker, "sum", uint32(n), 0)))
		}
	}
	if checked < 0 {
		t.Fatal("nothing is checked")
	}
	var rest []*wirepb.Opening
	for n, o := range shown {
		if len(w.tasksOf(alice, "sum")[n].Workers) == 1 {
			rest = append(rest, o)
		}
	}
	if len(rest) > 0 {
		w.ok(opens(liar, rest...))
	}
	if j := w.jobOf(alice, "sum"); j.Verified != 0 {
		t.Errorf("%d are verified before the check has ended", j.Verified)
	}
	w.pass(6 * time.Second)
	w.ok(alice.reissue("sum", uint32(checked), liar.id[:]))
	w.finish("sum", compute.Spot, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != 5 || w.computed(liar) != 0 {
		t.Errorf("%v: the liar has %d", j, w.computed(liar))
	}
	// What it does well after that is paid.
	var again []*wirepb.TaskDemand
	for n := range uint32(5) {
		again = append(again, demand("sum", 5+n, liar))
	}
	w.ok(alice.tasks("sum", 5, again...))
	w.finish("sum", compute.Spot, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != 10 || w.computed(liar) < runNoz {
		t.Errorf("%v: it has %d", j, w.computed(liar))
	}
	for n, k := range w.tasksOf(alice, "sum")[5:] {
		if k.Workers[0].State != workerOpened {
			t.Errorf("task %d was taken from its worker", 5+n)
		}
	}
	w.check()
}

// A check that its author does not bring to an end is over after a minute: he has accepted what the worker gave.
func TestCheckNobodyServes(t *testing.T) {
	w, _, alice := newPlant(t, 4)
	w.ok(alice.openJob("sum", compute.Spot, 10_000))
	w.ok(alice.more("sum", 0, 1))
	worker := w.workers(alice, "sum", 0)[0]
	w.ok(commits(worker, commitment(worker, "sum", 0, 0)))
	w.facts()
	if len(w.workers(alice, "sum", 0)) != 2 {
		t.Fatal("nobody checks")
	}
	checker := w.workers(alice, "sum", 0)[1]
	w.refused(mesh.Conflict, opens(worker, opening(worker, "sum", 0, 0)))
	w.pass(55 * time.Second)
	w.refused(mesh.Conflict, opens(worker, opening(worker, "sum", 0, 0)))
	w.pass(3 * time.Second)
	w.refused(mesh.Conflict, commits(checker, commitment(checker, "sum", 0, 0)))
	w.ok(opens(worker, opening(worker, "sum", 0, 0)))
	if j := w.jobOf(alice, "sum"); j.Verified != 1 || j.Spent != runNoz || j.Reserved != 0 {
		t.Errorf("%v", j)
	}
	w.check()
}

// The tasks of many workers whose checks end at once are decided of block by block: those of four, and then of the next.
func TestManyReleases(t *testing.T) {
	const workers, each = 9, checkFrom
	w, _, alice := newPlant(t, workers+3)
	w.ok(alice.openJob("sum", compute.Spot, 100_000))
	for i, n := range w.nodes[:workers] {
		var all []*wirepb.TaskDemand
		for k := range uint32(each) {
			all = append(all, demand("sum", uint32(i)*each+k, n))
		}
		w.ok(alice.tasks("sum", uint32(i)*each, all...))
	}
	own := map[string]int{}
	for number, k := range w.tasksOf(alice, "sum") {
		n := w.member(k.Workers[0].Node)
		own[n.name]++
		w.ok(commits(n, commitment(n, "sum", uint32(number), 0)))
	}
	w.facts()
	checked := map[string]bool{}
	for number, k := range w.tasksOf(alice, "sum") {
		if n := w.member(k.Workers[0].Node); len(k.Workers) > 1 {
			checked[n.name] = true
		} else {
			w.ok(opens(n, opening(n, "sum", uint32(number), 0)))
		}
	}
	if len(checked) <= 2*releaseLimit/drawLimit {
		t.Fatalf("only %d workers are checked", len(checked))
	}
	done := func() uint32 { return w.jobOf(alice, "sum").Verified }
	before := done()
	w.pass(61 * time.Second) // nobody serves the checks
	for blocks, last := 0, before; ; blocks++ {
		now := done()
		if now-last > releaseLimit/drawLimit*each {
			t.Errorf("block %d decides of %d tasks", blocks, now-last)
		}
		if w.check(); w.count(releaseKey) == 0 {
			if blocks < 2 {
				t.Errorf("all was decided in %d blocks", blocks+1)
			}
			break
		}
		if now == last {
			t.Fatal("nothing goes on")
		}
		last = now
		w.block()
	}
	w.finish("sum", compute.Spot, truth)
	if j := w.jobOf(alice, "sum"); j.Verified != workers*each {
		t.Errorf("%v", j)
	}
	w.check()
}
