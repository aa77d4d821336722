package state

import (
	"encoding/binary"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// States of a job.
const (
	jobOpen     = 1
	jobEnded    = 2 // what has no commitment is dropped, what has some is verified
	jobClearing = 3 // what is not verified is dropped
	jobClosed   = 4 // what was not spent is given back
	jobRemoving = 5
)

// States of a task.
const (
	taskDrawn     = 1
	taskCommitted = 2
	taskChecked   = 3
	taskVerified  = 4
	taskFailed    = 5
	taskDropped   = 6
)

const (
	// jobKeptMs is how long a job is remembered after it was closed. It is longer than its message can be replayed.
	jobKeptMs = 3600 * 1000

	// maxTaskNoz bounds what a run of a task may cost, so that no sum overflows.
	maxTaskNoz = uint64(mesh.MaxNoz) / compute.MaxBatch / 4

	// tidyLimit bounds the tasks that one block sees to without being asked; jobLimit the jobs to which they belong.
	tidyLimit = 512
	jobLimit  = 64
)

// A running is a job on its way through a step. save ends what is done with it.
type running struct {
	*step
	id       []byte
	job      *statepb.Job
	released [][]byte // nodes of whose tasks others of theirs decide
}

// running returns a job, nil where there is none.
func (s *step) running(id []byte) *running {
	r := &running{step: s, id: id, job: new(statepb.Job)}
	if len(id) != len(mesh.JobID{}) || !s.get(key(jobKey, id), r.job) {
		return nil
	}
	return r
}

// save follows up what was done with a job, and writes it.
func (r *running) save() {
	for i := 0; i < len(r.released); i++ {
		r.release(r.released[i], 0)
	}
	r.released = nil
	j := r.job
	if (j.State == jobEnded || j.State == jobClearing) && j.Verified+j.Failed+j.Dropped == j.Tasks {
		r.close()
	}
	if drawable(j) {
		r.putBytes(key(drawKey, r.id), nil)
	}
	r.put(key(jobKey, r.id), j)
}

func (r *running) task(n uint32) (*statepb.Task, error) {
	t := new(statepb.Task)
	if n >= r.job.Tasks || !r.get(key(taskKey, r.id, be32(n)), t) {
		return nil, mesh.Errorf(mesh.NotFound, "job %x has no task %d", r.id, n)
	}
	return t, nil
}

func (r *running) putTask(n uint32, t *statepb.Task) { r.put(key(taskKey, r.id, be32(n)), t) }

// free is what a job may still reserve.
func (r *running) free() uint64 { return r.job.Budget - r.job.Spent - r.job.Reserved }

// price is what a run of this use costs in a job.
func (r *running) price(fuel, output uint64) uint64 {
	p := new(wirepb.ComputePrices)
	if err := wire.Decode(r.job.Prices, maxPrices, p); err != nil {
		return uint64(mesh.MaxNoz) // it was encoded here
	}
	return compute.Price(p, fuel, output)
}

// computePricesOf are the prices that count at a tip.
func computePricesOf(t *statepb.Tip) *wirepb.ComputePrices {
	p := new(wirepb.ComputePrices)
	if len(t.ComputePrices) == 0 || wire.Decode(t.ComputePrices, maxPrices, p) != nil { // it was encoded here
		return compute.DefaultPrices()
	}
	return p
}

// computePrices are those that the value layer has told last.
func (s *step) computePrices() []byte {
	if len(s.tip.ComputePrices) == 0 {
		return wire.Encode(compute.DefaultPrices())
	}
	return s.tip.ComputePrices
}

// writer returns the session of a key if it may write for its account.
func (s *step) writer(by mesh.PublicKey) (*statepb.Session, error) {
	session, err := s.session(by)
	if err == nil && grant.Operations(session.Operations)&grant.Write == 0 {
		err = mesh.Errorf(mesh.Denied, "the grant does not allow %s, which jobs need", grant.Write)
	}
	return session, err
}

// openJob sets a budget aside for the tasks of a job.
func (s *step) openJob(m *wirepb.Job, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := compute.CheckJob(m, s.tip.TimeMs); err != nil {
		return err
	}
	session, err := s.writer(by)
	if err != nil {
		return err
	}
	if err := compute.CheckJobID(m, mesh.Account(session.Account)); err != nil {
		return err
	}
	if s.has(key(jobKey, m.Id)) {
		return mesh.Errorf(mesh.Conflict, "there is a job with this id already")
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	a := s.account(session.Account)
	if a.Jobs >= compute.MaxJobs {
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the account has %d open jobs, and may have no more", a.Jobs), "wait for one to end, or cancel one: stratos ps, stratos cancel")
	}
	if available(a) < m.Budget {
		return noOzone(session.Account, m.Budget, available(a))
	}
	if err := s.underBudgets(session, m.Budget); err != nil {
		return err
	}
	a.Leased += m.Budget
	a.Jobs++
	s.put(key(accountKey, session.Account), a)
	r := &running{step: s, id: m.Id, job: &statepb.Job{Account: session.Account, Session: by[:], Level: m.Level, Budget: m.Budget, DeadlineMs: m.DeadlineMs,
		OpenedMs: s.tip.TimeMs, State: jobOpen, SinceMs: s.tip.TimeMs, Budgets: session.Budgets, Prices: s.computePrices()}}
	s.putBytes(jobOwnedKey(session.Account, r.job.OpenedMs, m.Id), nil)
	s.putBytes(key(jobTime, msKey(m.DeadlineMs), m.Id), nil)
	r.save()
	return nil
}

// jobOwnedKey orders an account's jobs, the newest first.
func jobOwnedKey(account []byte, openedMs int64, id []byte) []byte {
	return key(jobOwned, account, be64(^uint64(openedMs)), id)
}

// authored returns a job for the session that opened it.
func (s *step) authored(id []byte, by mesh.PublicKey) (*running, error) {
	if _, err := s.session(by); err != nil {
		return nil, err
	}
	r := s.running(id)
	switch {
	case r == nil:
		return nil, noJob(id)
	case mesh.PublicKey(r.job.Session) != by:
		return nil, mesh.Errorf(mesh.Denied, "job %x was opened by another session", id)
	}
	return r, nil
}

func noJob(id []byte) error {
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no job %.32x", id), "it may have ended more than an hour ago; see: stratos ps")
}

// addTasks reserves what tasks may cost, and draws their workers.
func (s *step) addTasks(m *wirepb.Tasks, by mesh.PublicKey, msg *wirepb.Signed) error {
	r, err := s.authored(m.Job, by)
	if err != nil {
		return err
	}
	j := r.job
	switch {
	case j.State != jobOpen:
		return mesh.Errorf(mesh.Conflict, "job %x has ended", m.Job)
	case m.First != j.Tasks:
		return mesh.Errorf(mesh.Conflict, "job %x has %d tasks, the message brings those from %d on", m.Job, j.Tasks, m.First)
	case len(m.Tasks) == 0 || len(m.Tasks) > compute.MaxBatch:
		return mesh.Errorf(mesh.Invalid, "%d tasks at once, want 1 to %d", len(m.Tasks), compute.MaxBatch)
	case len(m.Tasks) > compute.MaxTasks-int(j.Tasks):
		return mesh.Errorf(mesh.Exhausted, "a job has at most %d tasks", compute.MaxTasks)
	}
	runs, total, dearest := uint64(compute.Workers(j.Level)), uint64(0), uint64(0)
	prices := make([]uint64, len(m.Tasks))
	for i, d := range m.Tasks {
		if err := compute.CheckDemand(d); err != nil {
			return err
		}
		p := r.price(d.Fuel, d.OutputBytes)
		if p > maxTaskNoz {
			return mesh.Errorf(mesh.Exhausted, "a task may cost %s, at most %s", mesh.Noz(p), mesh.Noz(maxTaskNoz))
		}
		prices[i] = p * runs
		total += prices[i]
		dearest = max(dearest, p)
	}
	with := ""
	if j.Level == compute.Spot {
		total += dearest * min(r.expectedChecks(len(m.Tasks)), uint64(mesh.MaxNoz)/dearest)
		with = " with their checks"
	}
	if total > r.free() {
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the tasks%s may cost %s, and the job's budget has %s left", with, mesh.Noz(total), mesh.Noz(r.free())),
			"it needs %s more; give each task less fuel and output, or the job a greater budget", mesh.Noz(total-r.free()))
	}
	if err := s.charge(j.Account, len(msg.Body)); err != nil {
		return err
	}
	for i, d := range m.Tasks {
		n := j.Tasks
		j.Tasks++
		t := &statepb.Task{Task: d.Task, State: taskDrawn, Fuel: d.Fuel, OutputBytes: d.OutputBytes, Pages: d.Pages, Near: d.Near, Chosen: len(d.Near) > 0, Reserved: prices[i]}
		j.Reserved += prices[i]
		if err := r.draw(n, t, roleWorker, int(runs)); err != nil {
			return err
		}
		r.putTask(n, t)
	}
	r.save()
	return nil
}

// acceptTasks pays tasks of level receipt. What cannot be paid is passed over.
func (s *step) acceptTasks(m *wirepb.Acceptance, by mesh.PublicKey) error {
	r, err := s.authored(m.Job, by)
	if err != nil {
		return err
	}
	if len(m.Numbers) == 0 || len(m.Numbers) > compute.MaxBatch || !slices.IsSorted(m.Numbers) {
		return mesh.Errorf(mesh.Invalid, "%d tasks to accept, want 1 to %d in order", len(m.Numbers), compute.MaxBatch)
	}
	if r.job.Level != compute.Receipt || r.job.State > jobEnded {
		return mesh.Errorf(mesh.Conflict, "job %x is of another level than receipt, or over", m.Job)
	}
	accepted := 0
	for _, n := range m.Numbers {
		if t, err := r.task(n); err == nil && t.State == taskCommitted {
			r.verify(n, t, live(t)[0].Digest)
			accepted++
		}
	}
	if accepted == 0 {
		return mesh.Errorf(mesh.Conflict, "none of these tasks of job %x has a result that waits to be accepted", m.Job)
	}
	r.save()
	return nil
}

// endJob ends a job before its deadline.
func (s *step) endJob(m *wirepb.JobEnd, by mesh.PublicKey, msg *wirepb.Signed) error {
	session, err := s.writer(by)
	if err != nil {
		return err
	}
	r := s.running(m.Job)
	switch {
	case r == nil:
		return noJob(m.Job)
	case string(r.job.Account) != string(session.Account):
		return mesh.Errorf(mesh.Denied, "job %x is another account's", m.Job)
	case r.job.State != jobOpen:
		return mesh.Errorf(mesh.Conflict, "job %x has ended", m.Job)
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	r.enter(jobEnded)
	r.walk(tidyLimit)
	r.save()
	return nil
}

// enter brings a job into a state whose tasks are then seen to.
func (r *running) enter(state uint32) {
	r.job.State, r.job.SinceMs, r.job.Walked = state, r.tip.TimeMs, 0
	r.putBytes(key(tidyKey, r.id), nil)
	if state == jobEnded {
		r.putBytes(key(jobTime, msKey(r.tip.TimeMs+compute.VerifyMs), r.id), nil)
	}
}

// close gives back what a job has not spent. None of its tasks is open.
func (r *running) close() {
	j := r.job
	a, rest := r.account(j.Account), j.Budget-j.Spent
	a.Leased -= rest
	a.Jobs--
	r.put(key(accountKey, j.Account), a)
	r.refill(j.Account)
	r.backUnderBudgets(j.Account, j.Budgets, rest)
	j.State, j.SinceMs = jobClosed, r.tip.TimeMs
	r.delete(key(tidyKey, r.id))
	r.putBytes(key(jobTime, msKey(r.tip.TimeMs+jobKeptMs), r.id), nil)
}

// walk sees to at most limit tasks of a job that is over, and returns how many it saw to.
func (r *running) walk(limit int) (seen int) {
	j := r.job
	if j.State == jobRemoving {
		return r.remove(limit)
	}
	for ; j.Walked < j.Tasks && seen < limit; seen++ {
		n := j.Walked
		j.Walked++
		if t, err := r.task(n); err == nil && (t.State == taskDrawn || j.State == jobClearing && t.State < taskVerified) {
			r.endTask(n, t, taskDropped)
		}
	}
	if j.Walked == j.Tasks {
		r.delete(key(tidyKey, r.id))
	}
	return seen
}

// remove forgets at most limit records of a job.
func (r *running) remove(limit int) (seen int) {
	for ; r.job.Walked < r.job.Tasks && seen < limit; seen++ {
		r.delete(key(taskKey, r.id, be32(r.job.Walked)))
		r.job.Walked++
	}
	for _, kind := range []byte{openingKey, jobWorkerKey, releaseKey, batchKey, awaitKey} {
		r.scanPrefix(key(kind, r.id), func(k, _ []byte) bool {
			if seen++; seen > limit {
				return false
			}
			r.delete(append([]byte(nil), k...))
			return true
		})
	}
	return seen
}

// sweepJobs ends what is over, sees to tasks of jobs that are, and draws checks.
func (s *step) sweepJobs() {
	s.take(key(jobTime), key(jobTime, msKey(s.tip.TimeMs+1)), func(k []byte) { s.due(k[9:]) })
	left := tidyLimit
	for _, id := range s.jobsIn(tidyKey) {
		r := s.running(id)
		if r == nil || left <= 0 {
			continue
		}
		removing := r.job.State == jobRemoving
		seen := r.walk(left)
		if removing && seen < left {
			s.delete(jobOwnedKey(r.job.Account, r.job.OpenedMs, id))
			s.delete(key(tidyKey, id))
			s.delete(key(drawKey, id))
			s.delete(key(jobKey, id))
		} else {
			r.save()
		}
		left -= seen
	}
	s.sweepReleases()
	s.sweepChecks()
	s.drawChecks()
	s.take(key(blameKey), key(blameKey, be64(s.tip.Epoch)), func([]byte) {})
}

// jobsIn returns the first jobs of a table whose keys are theirs.
func (s *step) jobsIn(kind byte) (all [][]byte) {
	s.scanPrefix(key(kind), func(k, _ []byte) bool {
		all = append(all, append([]byte(nil), k[1:1+len(mesh.JobID{})]...))
		return len(all) < jobLimit
	})
	return all
}

// due brings a job into the state whose time has come, if it has: other keys of the job may lie here.
func (s *step) due(id []byte) {
	r := s.running(id)
	if r == nil {
		return
	}
	now := s.tip.TimeMs
	switch j := r.job; {
	case j.State == jobOpen && now >= j.DeadlineMs:
		r.enter(jobEnded)
	case j.State == jobEnded && now >= j.SinceMs+compute.VerifyMs:
		r.enter(jobClearing)
	case j.State == jobClosed && now >= j.SinceMs+jobKeptMs:
		r.enter(jobRemoving)
	default:
		return
	}
	r.save()
}

// numberOf reads the number at the end of a key.
func numberOf(k []byte) uint32 { return binary.BigEndian.Uint32(k[len(k)-4:]) }
