package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A task of these tests may cost 110 noz and costs 55.
const (
	mostNoz = 110
	runNoz  = 55
)

func jobID(name string) []byte { return bytesOf("job "+name, 16) }

func (u user) openJob(name string, level uint32, budget uint64) []byte {
	return tx(wirepb.TxKind_TX_JOB, u.key, &wirepb.Job{Id: jobID(name), Level: level, Budget: budget, DeadlineMs: u.w.now + 3600_000, AtMs: u.w.now})
}

func taskName(job string, n uint32) []byte { return bytesOf(fmt.Sprint("task ", job, n), 32) }

func demand(job string, n uint32, near ...member) *wirepb.TaskDemand {
	d := &wirepb.TaskDemand{Task: taskName(job, n), Fuel: 1_000_000, OutputBytes: 100, Pages: 16}
	for _, m := range near {
		d.Near = append(d.Near, m.id[:])
	}
	return d
}

func (u user) tasks(job string, first uint32, demands ...*wirepb.TaskDemand) []byte {
	return tx(wirepb.TxKind_TX_TASKS, u.key, &wirepb.Tasks{Job: jobID(job), First: first, Tasks: demands})
}

// more adds count tasks.
func (u user) more(job string, first, count uint32) []byte {
	var all []*wirepb.TaskDemand
	for n := range count {
		all = append(all, demand(job, first+n))
	}
	return u.tasks(job, first, all...)
}

func (u user) reissue(job string, n uint32, node []byte) []byte {
	return tx(wirepb.TxKind_TX_REISSUE, u.key, &wirepb.Reissue{Job: jobID(job), Number: n, Node: node})
}

func (u user) accept(job string, numbers ...uint32) []byte {
	return tx(wirepb.TxKind_TX_ACCEPTANCE, u.key, &wirepb.Acceptance{Job: jobID(job), Numbers: numbers})
}

func (u user) endJob(job string) []byte {
	return tx(wirepb.TxKind_TX_JOB_END, u.key, &wirepb.JobEnd{Job: jobID(job), AtMs: u.w.now})
}

// result is what a task gave; variant 0 is the truth.
func result(job string, n uint32, variant byte) *wirepb.TaskResult {
	return &wirepb.TaskResult{Task: taskName(job, n), Fuel: 500_000, OutputBytes: 50, Output: bytesOf(fmt.Sprint("output ", variant), 32)}
}

func saltOf(n member) []byte { return bytesOf("salt of "+n.name, 32) }

func commitment(n member, job string, number uint32, variant byte) *wirepb.Commitment {
	c := compute.Commitment(compute.ResultDigest(result(job, number, variant)), n.id, saltOf(n))
	return &wirepb.Commitment{Job: jobID(job), Number: number, Commitment: c[:]}
}

func commits(n member, all ...*wirepb.Commitment) []byte {
	return tx(wirepb.TxKind_TX_COMMITMENTS, n.key, &wirepb.Commitments{Node: n.id[:], Commitments: all})
}

func opening(n member, job string, number uint32, variant byte) *wirepb.Opening {
	return &wirepb.Opening{Job: jobID(job), Number: number, Result: result(job, number, variant), Salt: saltOf(n)}
}

func opens(n member, all ...*wirepb.Opening) []byte {
	return tx(wirepb.TxKind_TX_OPENINGS, n.key, &wirepb.Openings{Node: n.id[:], Openings: all})
}

// work is what a node has to do, asked for in small pages.
func (w *world) work(n member) (all []*wirepb.TaskAnswer) {
	w.t.Helper()
	q := &wirepb.WorkPage{Node: n.id[:], Limit: 3}
	for {
		a := new(wirepb.TasksAnswer)
		if err := w.ask(mesh.PublicKeyOf(n.key), &wirepb.Question{Question: &wirepb.Question_Work{Work: q}}, a); err != nil {
			w.t.Fatal(err)
		}
		if all = append(all, a.Tasks...); !a.Truncated {
			return all
		}
		last := a.Tasks[len(a.Tasks)-1]
		q.Job, q.Number = last.Job, last.Number
	}
}

func (w *world) jobOf(u user, job string) *wirepb.JobAnswer {
	w.t.Helper()
	a := new(wirepb.JobAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Job{Job: jobID(job)}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) tasksOf(u user, job string) (all []*wirepb.TaskAnswer) {
	w.t.Helper()
	for {
		a := new(wirepb.TasksAnswer)
		if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Tasks{Tasks: &wirepb.TasksPage{Job: jobID(job), From: uint32(len(all)), Limit: 100}}}, a); err != nil {
			w.t.Fatal(err)
		}
		if all = append(all, a.Tasks...); !a.Truncated {
			return all
		}
	}
}

func (w *world) member(id []byte) member {
	return w.nodes[slices.IndexFunc(w.nodes, func(n member) bool { return string(n.id[:]) == string(id) })]
}

// workers are the nodes of a task that were not dropped or convicted.
func (w *world) workers(u user, job string, n uint32) (all []member) {
	for _, k := range w.tasksOf(u, job)[n].Workers {
		if k.State < workerDropped {
			all = append(all, w.member(k.Node))
		}
	}
	return all
}

// A lie tells which result a node gives of a task; 0 is the truth.
type lie func(n member, number uint32) byte

func truth(member, uint32) byte { return 0 }

// round lets every node do all that it has to do for a job, and tells whether there was something.
func (w *world) round(job string, level uint32, says lie) (busy bool) {
	w.t.Helper()
	for _, n := range w.nodes {
		var c []*wirepb.Commitment
		var o []*wirepb.Opening
		for _, t := range w.work(n) {
			if string(t.Job) != string(jobID(job)) {
				continue
			}
			switch me := t.Workers[0]; {
			case me.State == workerDrawn && level == compute.Receipt:
				o = append(o, opening(n, job, t.Number, says(n, t.Number)))
				o[len(o)-1].Salt = nil
			case me.State == workerDrawn:
				c = append(c, commitment(n, job, t.Number, says(n, t.Number)))
			case me.OpenMs > 0:
				o = append(o, opening(n, job, t.Number, says(n, t.Number)))
			}
		}
		for _, part := range slices.Collect(slices.Chunk(c, compute.MaxBatch)) {
			busy = w.done(commits(n, part...)) || busy
		}
		for _, part := range slices.Collect(slices.Chunk(o, compute.MaxBatch)) {
			busy = w.done(opens(n, part...)) || busy
		}
	}
	return busy
}

// done applies what a node says of its tasks, which may have been taken from it meanwhile.
func (w *world) done(tx []byte) bool {
	w.t.Helper()
	r := w.block(tx)[0]
	if r.Kind != 0 && mesh.Kind(r.Kind-1) != mesh.Conflict {
		w.t.Fatalf("refused: %s", r.Text)
	}
	return r.Kind == 0
}

// finish runs a job until nobody has anything to do, with blocks of the value layer between.
func (w *world) finish(job string, level uint32, says lie) {
	w.t.Helper()
	for w.round(job, level, says) {
		w.facts()
		w.check()
	}
}

func (w *world) computed(n member) uint64 { return w.earnedBy(report.Compute, n) }

// newPlant is a world with nodes that are online and somebody who has jobs.
func newPlant(t testing.TB, nodes int) (*world, person, user) {
	w := newWorld(t, 4, nodes)
	w.online(w.nodes...)
	w.facts(&wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Params{Params: &wirepb.NetworkParams{EpochBlocks: 1000}}})
	p := w.person("alice", 10*oz)
	return w, p, w.session(p, "alice")
}
