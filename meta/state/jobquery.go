package state

import (
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ownJob returns a job of the asker's account, nil where it has none of this id.
func (r *Reader) ownJob(id []byte, asker mesh.PublicKey, nowMs int64) (*statepb.Job, error) {
	session, err := r.Session(asker, nowMs)
	if err != nil {
		return nil, err
	}
	if len(id) != len(mesh.JobID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a job's id has %d bytes, want %d", len(id), len(mesh.JobID{}))
	}
	j := new(statepb.Job)
	if !r.get(key(jobKey, id), j) || string(j.Account) != string(session.Account) {
		return nil, nil
	}
	return j, nil
}

func jobAnswer(id []byte, j *statepb.Job) *wirepb.JobAnswer {
	a := &wirepb.JobAnswer{Id: id, Account: j.Account, Session: j.Session, Level: j.Level, Budget: j.Budget, Spent: j.Spent, Reserved: j.Reserved, DeadlineMs: j.DeadlineMs,
		Tasks: j.Tasks, Verified: j.Verified, Failed: j.Failed, Dropped: j.Dropped, Ended: j.State != jobOpen, Closed: j.State >= jobClosed, OpenedMs: j.OpenedMs, Prices: new(wirepb.ComputePrices)}
	if err := wire.Decode(j.Prices, maxPrices, a.Prices); err != nil {
		a.Prices = nil // it was encoded here
	}
	return a
}

func (r *Reader) jobOf(id []byte, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	j, err := r.ownJob(id, asker, nowMs)
	if j == nil || err != nil {
		return nil, err
	}
	return jobAnswer(id, j), nil
}

// jobs answers those of the asker's account, the newest first.
func (r *Reader) jobs(q *wirepb.JobsPage, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	session, err := r.Session(asker, nowMs)
	if err != nil {
		return nil, err
	}
	if q.Limit == 0 || q.Limit > MaxListing {
		return nil, mesh.Errorf(mesh.Invalid, "a page of %d jobs, want 1 to %d", q.Limit, MaxListing)
	}
	prefix := key(jobOwned, session.Account)
	from := prefix
	if len(q.After) > 0 {
		last, err := r.ownJob(q.After, asker, nowMs)
		if err != nil {
			return nil, err
		}
		if last == nil {
			return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no job %.32x, after which others are asked for", q.After), "ask from the first on")
		}
		from = append(jobOwnedKey(session.Account, last.OpenedMs, q.After), 0)
	}
	out := new(wirepb.JobsAnswer)
	r.scan(from, after(prefix), func(k, _ []byte) bool {
		if out.Truncated = len(out.Jobs) == int(q.Limit); out.Truncated {
			return false
		}
		id, j := append([]byte(nil), k[len(k)-len(mesh.JobID{}):]...), new(statepb.Job)
		if r.get(key(jobKey, id), j) {
			out.Jobs = append(out.Jobs, jobAnswer(id, j))
		}
		return true
	})
	return out, nil
}

func taskAnswer(id []byte, n uint32, j *statepb.Job, t *statepb.Task) *wirepb.TaskAnswer {
	return &wirepb.TaskAnswer{Job: id, Number: n, Task: t.Task, State: t.State, Result: t.Result, Noz: t.Noz, Agent: j.Session, DeadlineMs: j.DeadlineMs,
		Fuel: t.Fuel, OutputBytes: t.OutputBytes, Pages: t.Pages, Level: j.Level}
}

func workerAnswer(w *statepb.TaskWorker) *wirepb.TaskWorker {
	return &wirepb.TaskWorker{Node: w.Node, State: w.State, Role: w.Role, DrawnMs: w.DrawnMs, Digest: w.Digest, OpenMs: w.OpenMs}
}

// tasks answers tasks of a job of the asker's account.
func (r *Reader) tasks(q *wirepb.TasksPage, asker mesh.PublicKey, nowMs int64) (proto.Message, error) {
	if q.Limit == 0 || q.Limit > compute.MaxBatch {
		return nil, mesh.Errorf(mesh.Invalid, "a page of %d tasks, want 1 to %d", q.Limit, compute.MaxBatch)
	}
	j, err := r.ownJob(q.Job, asker, nowMs)
	if j == nil || err != nil {
		return nil, err
	}
	out, prefix := new(wirepb.TasksAnswer), key(taskKey, q.Job)
	r.scan(key(taskKey, q.Job, be32(q.From)), after(prefix), func(k, b []byte) bool {
		if out.Truncated = len(out.Tasks) == int(q.Limit); out.Truncated {
			return false
		}
		t := new(statepb.Task)
		if !r.decode(k, b, t) {
			return false
		}
		a := taskAnswer(q.Job, numberOf(k), j, t)
		for _, w := range t.Workers {
			a.Workers = append(a.Workers, workerAnswer(w))
		}
		out.Tasks = append(out.Tasks, a)
		return true
	})
	return out, nil
}

// work answers a node which tasks it has to run, or to open. Who else has them, and what they opened, is not its business: it could copy that.
func (r *Reader) work(q *wirepb.WorkPage, asker mesh.PublicKey) (proto.Message, error) {
	if len(q.Node) != len(mesh.NodeID{}) || q.Limit == 0 || q.Limit > compute.MaxBatch || len(q.Job) != 0 && len(q.Job) != len(mesh.JobID{}) {
		return nil, mesh.Errorf(mesh.Invalid, "a question for a node's tasks is malformed")
	}
	if n := r.Node(mesh.NodeID(q.Node)); n == nil || string(n.TlsKey) != string(asker[:]) {
		return nil, mesh.Errorf(mesh.Denied, "a node's tasks are told to the node")
	}
	out, prefix := new(wirepb.TasksAnswer), key(workKey, q.Node)
	from := prefix
	if len(q.Job) > 0 {
		from = append(key(workKey, q.Node, q.Job, be32(q.Number)), 0)
	}
	r.scan(from, after(prefix), func(k, _ []byte) bool {
		id, n := append([]byte(nil), k[len(prefix):len(k)-4]...), numberOf(k)
		j, t := new(statepb.Job), new(statepb.Task)
		if !r.get(key(jobKey, id), j) || !r.get(key(taskKey, id, be32(n)), t) || j.State >= jobClearing || j.State == jobEnded && t.State == taskDrawn {
			return true
		}
		for _, w := range live(t) {
			if string(w.Node) != string(q.Node) || w.State == workerOpened {
				continue
			}
			if out.Truncated = len(out.Tasks) == int(q.Limit); out.Truncated {
				return false
			}
			a := taskAnswer(id, n, j, t)
			a.Result, a.Workers = nil, []*wirepb.TaskWorker{workerAnswer(w)}
			out.Tasks = append(out.Tasks, a)
		}
		return true
	})
	return out, nil
}
