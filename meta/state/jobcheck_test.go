package state

import (
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// checkJobs recounts jobs: what each has set aside, its tasks by their states, and what is kept of nodes by what they were drawn for.
func (w *world) checkJobs(v *view, leased map[string]uint64) {
	w.t.Helper()
	loads, works, open, running, checks, awaiting := map[string]uint64{}, map[string]bool{}, map[string]uint32{}, map[string]uint32{}, map[string]uint32{}, map[string]bool{}
	v.scanPrefix(key(jobKey), func(k, b []byte) bool {
		j, id := new(statepb.Job), k[1:]
		v.decode(k, b, j)
		if j.Spent+j.Reserved > j.Budget || j.State >= jobClosed && j.Reserved > 0 {
			w.t.Fatalf("job %x: %v", id, j)
		}
		if j.State < jobClosed {
			leased[string(j.Account)] += j.Budget - j.Spent
			open[string(j.Account)]++
		}
		if j.State == jobRemoving {
			return true
		}
		var tasks, verified, failed, dropped, ran uint32
		var reserved, paid uint64
		v.scanPrefix(key(taskKey, id), func(k, b []byte) bool {
			t := new(statepb.Task)
			v.decode(k, b, t)
			tasks++
			reserved += t.Reserved
			paid += t.Noz
			if t.Batch > 0 {
				awaiting[string(key(awaitKey, id, be32(t.Batch-1), be32(numberOf(k))))] = true
			}
			switch t.State {
			case taskVerified:
				verified++
			case taskFailed:
				failed++
			case taskDropped:
				dropped++
			}
			operators := map[string]bool{}
			for _, m := range t.Workers {
				if m.State == workerDrawn {
					loads[string(m.Node)]++
					if m.Role == roleWorker && j.Level == compute.Spot {
						ran++
					}
				}
				if m.State < workerDropped && t.State < taskVerified {
					works[string(key(workKey, m.Node, id, be32(numberOf(k))))] = true
					if t.Checked && m.Role == roleWorker {
						checks[string(id)+string(m.Node)]++
					}
				}
				if operators[string(m.Node)] {
					w.t.Fatalf("job %x: a node was drawn twice for a task: %v", id, t)
				}
				operators[string(m.Node)] = true
			}
			if t.State >= taskVerified && (t.Reserved > 0 || t.Batch > 0) || t.State == taskVerified && t.Result == nil {
				w.t.Fatalf("job %x: a task that has ended: %v", id, t)
			}
			return true
		})
		if tasks != j.Tasks || verified != j.Verified || failed != j.Failed || dropped != j.Dropped || reserved != j.Reserved || paid != j.Spent || ran != j.Running {
			w.t.Fatalf("job %x: %v; counted %d tasks, %d verified, %d failed, %d dropped, %d running, %d reserved, %d paid", id, j, tasks, verified, failed, dropped, ran, reserved, paid)
		}
		running[string(id)] = ran
		return true
	})
	v.scanPrefix(key(loadKey), func(k, b []byte) bool {
		c := new(statepb.Counter)
		if v.decode(k, b, c); c.Value != loads[string(k[1:])] || c.Value > compute.MaxNodeTasks {
			w.t.Fatalf("node %x has %d tasks, counted %d", k[1:], c.Value, loads[string(k[1:])])
		}
		delete(loads, string(k[1:]))
		return true
	})
	v.scanPrefix(key(workKey), func(k, _ []byte) bool {
		if !works[string(k)] {
			w.t.Fatalf("%x is nobody's work", k)
		}
		delete(works, string(k))
		return true
	})
	v.scanPrefix(key(awaitKey), func(k, _ []byte) bool {
		if !awaiting[string(k)] {
			w.t.Fatalf("%x waits for no draw", k)
		}
		delete(awaiting, string(k))
		return true
	})
	if len(loads)+len(works)+len(awaiting) > 0 {
		w.t.Fatalf("%d nodes have tasks that are not counted, %d that they are not told, %d tasks are never checked", len(loads), len(works), len(awaiting))
	}
	v.scanPrefix(key(jobWorkerKey), func(k, b []byte) bool {
		s, j := new(statepb.JobWorker), new(statepb.Job)
		if v.decode(k, b, s); v.get(key(jobKey, k[1:17]), j) && j.State < jobClearing && s.Checks != checks[string(k[1:])] {
			w.t.Fatalf("node %x in job %x has %d checks, counted %d", k[17:], k[1:17], s.Checks, checks[string(k[1:])])
		}
		return true
	})
	v.scanPrefix(key(accountKey), func(k, b []byte) bool {
		a := new(statepb.Account)
		if v.decode(k, b, a); a.Jobs != open[string(k[1:])] {
			w.t.Fatalf("account %x has %d open jobs, counted %d", k[1:], a.Jobs, open[string(k[1:])])
		}
		return true
	})
}
