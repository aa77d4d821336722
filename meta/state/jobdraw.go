package state

import (
	"crypto/sha256"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Roles of those that were drawn for a task.
const (
	roleWorker  = 1
	roleChecker = 2
	roleDecider = 3
)

// States of those that were drawn for a task.
const (
	workerDrawn     = 1
	workerCommitted = 2
	workerOpened    = 3
	workerDropped   = 4
	workerConvicted = 5
)

const (
	// checkOneIn is how many tasks of level spot there are to one that is checked.
	checkOneIn = 16
	// checkFrom is how many tasks a worker has in a batch of which one is checked in any case.
	checkFrom = 4
	// drawLimit bounds the tasks that one draw of checks passes.
	drawLimit = 256
	// releaseLimit bounds the tasks that one step decides of because of others.
	releaseLimit = 4 * drawLimit
)

// live are those of a task's workers that were not dropped or convicted, in the order in which they were drawn.
func live(t *statepb.Task) (all []*statepb.TaskWorker) {
	for _, w := range t.Workers {
		if w.State < workerDropped {
			all = append(all, w)
		}
	}
	return all
}

// workerOf returns the live one of a task that has a role; nil where none has.
func workerOf(t *statepb.Task, role uint32) *statepb.TaskWorker {
	for _, w := range live(t) {
		if w.Role == role {
			return w
		}
	}
	return nil
}

// draw draws nodes for a task, of other operators and domains than all that it had. Workers are drawn near what they read; who checks
// and decides is not, so that the author has no say in it.
func (r *running) draw(n uint32, t *statepb.Task, role uint32, count int) error {
	r.placeWorkers()
	d := placement.ForTask(count, mesh.Account(r.job.Account))
	for _, w := range t.Workers {
		if at := r.workerAt(w.Node); at != nil {
			d.Beside = append(d.Beside, *at)
		}
	}
	if role == roleWorker {
		for _, id := range t.Near {
			d.Near = append(d.Near, mesh.NodeID(id))
		}
	}
	drawn, err := placement.Draw(d, r.workers, r.lots("stratos-task-draw-v1", r.id, be32(n), be32(uint32(len(t.Workers)))))
	if err != nil {
		return err
	}
	for _, id := range drawn {
		t.Workers = append(t.Workers, &statepb.TaskWorker{Node: append([]byte(nil), id[:]...), State: workerDrawn, Role: role, DrawnMs: r.tip.TimeMs})
		r.load(id[:], 1)
		r.putBytes(key(workKey, id[:], r.id, be32(n)), nil)
		if r.job.Level == compute.Spot && role == roleWorker {
			r.job.Running++
		}
	}
	return nil
}

// placeWorkers sees to it that there is what draws are made from.
func (s *step) placeWorkers() {
	if s.workers == nil {
		s.workers = s.placed(func(id mesh.NodeID, _ *statepb.Node) int { return int(s.counter(key(loadKey, id[:]))) })
	}
}

// workerAt finds a node among those that draws are made from, nil where it is not registered.
func (s *step) workerAt(id []byte) *placement.Node {
	i, ok := slices.BinarySearchFunc(s.workers, string(id), func(n placement.Node, id string) int { return slices.Compare(n.ID[:], []byte(id)) })
	if !ok {
		return nil
	}
	return &s.workers[i]
}

// load adds to the tasks that a node has no result of.
func (s *step) load(node []byte, by int) {
	k := key(loadKey, node)
	if n := int(s.counter(k)) + by; n > 0 {
		s.put(k, &statepb.Counter{Value: uint64(n)})
	} else {
		s.delete(k)
	}
	if at := s.workerAt(node); at != nil {
		at.Load += by
	}
}

// move brings a worker into a state.
func (r *running) move(n uint32, w *statepb.TaskWorker, state uint32) {
	if w.State == workerDrawn {
		r.load(w.Node, -1)
		if r.job.Level == compute.Spot && w.Role == roleWorker {
			r.job.Running--
		}
	}
	if w.State = state; state >= workerDropped {
		r.delete(key(workKey, w.Node, r.id, be32(n)))
	}
}

// endTask ends a task, and gives back what it had reserved.
func (r *running) endTask(n uint32, t *statepb.Task, state uint32) {
	r.unbatch(n, t)
	for _, w := range t.Workers {
		if w.State == workerDrawn || state != taskVerified && w.State < workerDropped {
			r.move(n, w, workerDropped)
		}
		r.delete(key(workKey, w.Node, r.id, be32(n)))
		w.Commitment, w.Result, w.Opening = nil, nil, nil
	}
	r.job.Reserved -= t.Reserved
	t.Reserved, t.State, t.Near, t.UntilMs = 0, state, nil, 0
	switch state {
	case taskVerified:
		r.job.Verified++
	case taskFailed:
		r.job.Failed++
	default:
		r.job.Dropped++
	}
	r.putTask(n, t)
}

// reissue takes a task from a worker who had time enough, and has another drawn.
func (s *step) reissue(m *wirepb.Reissue, by mesh.PublicKey, msg *wirepb.Signed) error {
	r, err := s.authored(m.Job, by)
	if err != nil {
		return err
	}
	t, err := r.task(m.Number)
	if err != nil {
		return err
	}
	var w *statepb.TaskWorker
	for _, l := range live(t) {
		if string(l.Node) == string(m.Node) {
			w = l
		}
	}
	if w == nil || t.State >= taskVerified || w.State == workerOpened || r.job.State != jobOpen {
		return mesh.Errorf(mesh.Conflict, "task %d of job %x does not wait for node %x", m.Number, m.Job, m.Node)
	}
	since := w.DrawnMs
	if w.State == workerCommitted {
		if since = w.OpenMs; since == 0 {
			return mesh.Errorf(mesh.Conflict, "node %x has committed, and waits for others", m.Node)
		}
	}
	if s.tip.TimeMs-since < compute.PatienceMs {
		return mesh.Errorf(mesh.Conflict, "node %x has had %d ms of block time, and has %d", m.Node, s.tip.TimeMs-since, compute.PatienceMs)
	}
	if err := s.charge(r.job.Account, len(msg.Body)); err != nil {
		return err
	}
	if err := r.replace(m.Number, t, w, workerDropped); err != nil {
		return err
	}
	if t.Checked && w.Role == roleWorker { // who lied would rather not open what is checked
		r.ended(w, false)
		r.began(workerOf(t, roleWorker))
	}
	s.blame(r.job.Account, w.Node)
	r.putTask(m.Number, t)
	r.save()
	return nil
}

// replace gives what a worker has to another.
func (r *running) replace(n uint32, t *statepb.Task, w *statepb.TaskWorker, state uint32) error {
	r.unbatch(n, t)
	r.move(n, w, state)
	if err := r.draw(n, t, w.Role, 1); err != nil {
		return err
	}
	for _, o := range live(t) { // they wait for the new one
		o.OpenMs = 0
	}
	if t.State = taskDrawn; t.Checked || workerOf(t, roleDecider) != nil {
		t.State = taskChecked
	}
	t.Passed = t.Checked
	return nil
}

// blame lowers a node's score by 1 %, once an epoch for each account.
func (s *step) blame(account, node []byte) {
	k, n := key(blameKey, be64(s.tip.Epoch), account, node), new(statepb.Node)
	if s.has(k) || !s.get(key(nodeKey, node), n) {
		return
	}
	s.putBytes(k, nil)
	n.Score -= n.Score / 100
	s.put(key(nodeKey, node), n)
	s.workers = nil
}

// batch lets a committed task of level spot wait for the draw of checks.
func (r *running) batch(n uint32, t *statepb.Task, w *statepb.TaskWorker) {
	j := r.job
	t.Batch = j.Batch + 1
	j.Batched++
	j.CommittedHeight, j.CommittedMs = r.tip.ValueHeight, r.tip.TimeMs
	r.putBytes(key(awaitKey, r.id, be32(j.Batch), be32(n)), nil)
	k, b := key(batchKey, r.id, be32(j.Batch), w.Node), new(statepb.Batched)
	r.get(k, b)
	b.Tasks++
	r.put(k, b)
}

// unbatch takes a task out of the batch in which it waits, if it does.
func (r *running) unbatch(n uint32, t *statepb.Task) {
	if t.Batch == 0 {
		return
	}
	r.delete(key(awaitKey, r.id, be32(t.Batch-1), be32(n)))
	if t.Batch == r.job.Batch+1 {
		r.job.Batched--
	}
	t.Batch = 0
}

// drawable tells whether a job has a batch in which nobody can change a result any more, or one whose checks are being drawn.
func drawable(j *statepb.Job) bool {
	return (j.State == jobOpen || j.State == jobEnded) && (j.Drawing || j.Batched > 0 && (j.Running == 0 || j.State == jobEnded))
}

// drawChecks draws a bounded number of checks, where a block of the value layer is known that is newer than every commitment in the
// batch: it was not when they were made, so that nobody knew what would be checked.
func (s *step) drawChecks() {
	left := drawLimit
	for _, id := range s.jobsIn(drawKey) {
		r := s.running(id)
		if r == nil || left <= 0 {
			continue
		}
		j := r.job
		if !drawable(j) {
			s.delete(key(drawKey, id))
			continue
		}
		if !j.Drawing {
			if s.tip.ValueHeight <= j.CommittedHeight || s.tip.ValueMs <= j.CommittedMs {
				continue
			}
			r.beginDraw()
		}
		left -= r.passBatch(left)
		r.save()
	}
}

// expectedChecks is for how many checks a job needs room when it gets more tasks: of all that are open then one in 16, rounded up, and for
// each node that can have four of them one.
func (r *running) expectedChecks(more int) uint64 {
	r.placeWorkers()
	j, able := r.job, 0
	for i := range r.workers {
		if n := &r.workers[i]; n.Kinds&placement.Compute != 0 && n.Online {
			able++
		}
	}
	open := int(j.Tasks-j.Verified-j.Failed-j.Dropped) + more
	return uint64((open+checkOneIn-1)/checkOneIn + min(open/checkFrom, able))
}

// beginDraw closes a job's batch.
func (r *running) beginDraw() {
	j := r.job
	seed := sha256.New()
	seed.Write([]byte("stratos-check-draw-v1\x00"))
	seed.Write(r.tip.ValueHash)
	seed.Write(r.id)
	seed.Write(be32(j.Batch))
	j.Seed, j.Drawing, j.Seen, j.Pick = seed.Sum(nil), true, 0, 1
	lots := &draw{seed: [32]byte(j.Seed)}
	j.Pick += uint32(lots.Below(uint64(j.Batched)))
	r.scanPrefix(key(batchKey, r.id, be32(j.Batch)), func(k, b []byte) bool {
		w := new(statepb.Batched)
		if r.decode(k, b, w) && w.Tasks >= checkFrom { // then one of its tasks is checked anyhow
			j.Pick = 0
		}
		return j.Pick > 0
	})
	j.Batch++
	j.Batched = 0
}

// passBatch passes at most limit tasks of the batch whose checks are drawn, and returns how many. Each is chosen by the draw's seed: of 16
// one, of each worker that has four one, and if none has so many, one of all.
func (r *running) passBatch(limit int) int {
	j := r.job
	var numbers []uint32
	r.scanPrefix(key(awaitKey, r.id, be32(j.Batch-1)), func(k, _ []byte) bool {
		numbers = append(numbers, numberOf(k))
		return len(numbers) < limit
	})
	for _, n := range numbers {
		r.delete(key(awaitKey, r.id, be32(j.Batch-1), be32(n)))
		t, err := r.task(n)
		if err != nil || t.Batch != j.Batch {
			continue // it was taken out in this step
		}
		w := workerOf(t, roleWorker)
		k, b := key(batchKey, r.id, be32(j.Batch-1), w.Node), new(statepb.Batched)
		r.get(k, b)
		lots := &draw{seed: sha256.Sum256(append(append([]byte(nil), j.Seed...), w.Node...))}
		due := b.Tasks >= checkFrom && b.Seen == uint32(lots.Below(uint64(b.Tasks)))
		lots = &draw{seed: sha256.Sum256(append(append([]byte(nil), j.Seed...), be32(n)...))}
		b.Seen++
		j.Seen++
		r.put(k, b)
		t.Batch, t.Passed = 0, true
		if due || j.Seen == j.Pick || lots.Below(checkOneIn) == 0 {
			r.check(n, t, w)
		}
		r.advance(n, t)
		r.putTask(n, t)
	}
	if len(numbers) < limit {
		j.Drawing = false
		r.scanPrefix(key(batchKey, r.id, be32(j.Batch-1)), func(k, _ []byte) bool { r.delete(append([]byte(nil), k...)); return true })
	}
	return len(numbers)
}

// check has a task checked by another operator, if there is one, and the budget has room for his pay.
func (r *running) check(n uint32, t *statepb.Task, w *statepb.TaskWorker) {
	p := r.price(t.Fuel, t.OutputBytes)
	if p > r.free() || r.draw(n, t, roleChecker, 1) != nil {
		return
	}
	t.Reserved += p
	r.job.Reserved += p
	t.Checked, t.State = true, taskChecked
	r.began(w)
	r.until(n, t)
}

// until gives the author time from now on to bring a check to its end.
func (r *running) until(n uint32, t *statepb.Task) {
	t.UntilMs = r.tip.TimeMs + compute.VerifyMs
	r.putBytes(key(checkTime, msKey(t.UntilMs), r.id, be32(n)), nil)
}

// standing is how a node stands in a job of level spot.
func (r *running) standing(node []byte) *statepb.JobWorker {
	w := new(statepb.JobWorker)
	r.get(key(jobWorkerKey, r.id, node), w)
	return w
}

// began notes that a result of a worker is checked.
func (r *running) began(w *statepb.TaskWorker) {
	s := r.standing(w.Node)
	s.Checks++
	r.put(key(jobWorkerKey, r.id, w.Node), s)
}

// ended notes that a check of a worker's result has ended. What else it has in the job is decided by that.
func (r *running) ended(w *statepb.TaskWorker, well bool) {
	s := r.standing(w.Node)
	s.Checks--
	s.Out = s.Out || !well
	r.put(key(jobWorkerKey, r.id, w.Node), s)
	if s.Out || s.Checks == 0 {
		r.released = append(r.released, w.Node)
	}
}

// release decides of at most drawLimit tasks of a worker of level spot, from a number on: they are verified, or given to another. The rest
// comes in the next block.
func (r *running) release(node []byte, from uint32) {
	stands := r.standing(node)
	at := key(releaseKey, r.id, node)
	r.delete(at)
	if !stands.Out && stands.Checks > 0 {
		return // another check has begun since
	}
	if r.passed += drawLimit; r.passed > releaseLimit {
		r.put(at, &statepb.Counter{Value: uint64(from)})
		return
	}
	var numbers []uint32
	prefix := key(workKey, node, r.id)
	r.scan(key(workKey, node, r.id, be32(from)), after(prefix), func(k, _ []byte) bool {
		numbers = append(numbers, numberOf(k))
		return len(numbers) <= drawLimit
	})
	if len(numbers) > drawLimit {
		r.put(at, &statepb.Counter{Value: uint64(numbers[drawLimit])})
		numbers = numbers[:drawLimit]
	}
	for _, n := range numbers {
		t, err := r.task(n)
		if err != nil || t.State >= taskVerified {
			continue
		}
		w := workerOf(t, roleWorker)
		if w == nil || string(w.Node) != string(node) {
			continue
		}
		if !stands.Out {
			if w.State == workerOpened { // none of its is checked
				r.verify(n, t, w.Digest)
			}
			continue
		}
		if t.Checked {
			stands.Checks--
		}
		if r.job.State != jobOpen || r.replace(n, t, w, workerDropped) != nil {
			r.endTask(n, t, taskDropped)
			continue
		}
		if t.Checked {
			r.began(workerOf(t, roleWorker))
		}
		r.putTask(n, t)
	}
	if stands.Out {
		stands.Out = r.has(at)
		r.put(key(jobWorkerKey, r.id, node), stands)
	}
}

// sweepReleases goes on with what release has left.
func (s *step) sweepReleases() {
	type left struct {
		job, node []byte
		from      uint32
	}
	var all []left
	s.scanPrefix(key(releaseKey), func(k, b []byte) bool {
		c := new(statepb.Counter)
		if s.decode(k, b, c) {
			all = append(all, left{append([]byte(nil), k[1:17]...), append([]byte(nil), k[17:]...), uint32(c.Value)})
		}
		return len(all) < releaseLimit/drawLimit
	})
	for _, l := range all {
		if r := s.running(l.job); r != nil {
			r.release(l.node, l.from)
			r.save()
		}
	}
}

// sweepChecks ends checks that their author did not bring to an end: he has accepted what the worker gave.
func (s *step) sweepChecks() {
	s.take(key(checkTime), key(checkTime, msKey(s.tip.TimeMs+1)), func(k []byte) {
		r := s.running(k[9:25])
		if r == nil {
			return
		}
		n := numberOf(k)
		t, err := r.task(n)
		if err != nil || !t.Checked || t.State >= taskVerified || t.UntilMs > s.tip.TimeMs {
			return
		}
		for _, w := range live(t) {
			if w.Role != roleWorker {
				r.move(n, w, workerDropped)
			}
		}
		t.Checked, t.UntilMs = false, 0
		if w := workerOf(t, roleWorker); w != nil {
			r.ended(w, true)
			if r.advance(n, t); t.State < taskVerified {
				r.putTask(n, t)
			}
		}
		r.save()
	})
}

// AwaitsChecks tells whether a job waits for a newer block of the value layer, by which its checks are drawn.
func (r *Reader) AwaitsChecks() (waits bool) {
	r.scanPrefix(key(drawKey), func(_, _ []byte) bool { waits = true; return false })
	return waits
}
