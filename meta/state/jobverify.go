package state

import (
	"bytes"
	"crypto/sha256"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A byJob gathers the jobs of one message, in the order in which they come.
type byJob struct {
	*step
	all []*running
}

func (b *byJob) job(id []byte) *running {
	for _, r := range b.all {
		if string(r.id) == string(id) {
			return r
		}
	}
	r := b.running(id)
	if r != nil {
		b.all = append(b.all, r)
	}
	return r
}

func (b *byJob) save() {
	for _, r := range b.all {
		r.save()
	}
}

// byNode checks that a message is signed by the node that it names, and brings as many items as it may.
func (s *step) byNode(what string, id []byte, by mesh.PublicKey, items int) (mesh.NodeID, error) {
	node, err := mesh.FromBytes[mesh.NodeID](id)
	if err != nil {
		return node, err
	}
	switch k, err := s.nodeKey(node); {
	case err != nil:
		return node, err
	case k != by:
		return node, mesh.Errorf(mesh.Denied, "the %s of node %s are signed by another key", what, node)
	case items == 0 || items > compute.MaxBatch:
		return node, mesh.Errorf(mesh.Invalid, "%d %s at once, want 1 to %d", items, what, compute.MaxBatch)
	}
	return node, nil
}

// mine returns a task that has not ended, and its live worker that is this node.
func (b *byJob) mine(job []byte, n uint32, node mesh.NodeID) (*running, *statepb.Task, *statepb.TaskWorker, error) {
	r := b.job(job)
	if r == nil {
		return nil, nil, nil, noJob(job)
	}
	t, err := r.task(n)
	if err != nil {
		return nil, nil, nil, err
	}
	if t.State >= taskVerified || r.job.State >= jobClearing || r.job.State == jobEnded && t.State == taskDrawn {
		return nil, nil, nil, mesh.Errorf(mesh.Conflict, "task %d of job %x is over", n, job)
	}
	for _, w := range live(t) {
		if string(w.Node) == string(node[:]) {
			return r, t, w, nil
		}
	}
	return nil, nil, nil, mesh.Errorf(mesh.Conflict, "task %d of job %x is not node %s's, or not any more", n, job, node)
}

// commit binds a node to results that it has. What it cannot commit is passed over: it must not lose the others by it.
func (s *step) commit(m *wirepb.Commitments, by mesh.PublicKey) error {
	node, err := s.byNode("commitments", m.Node, by, len(m.Commitments))
	if err != nil {
		return err
	}
	jobs, done := &byJob{step: s}, 0
	var first error
	for _, c := range m.Commitments {
		if err := jobs.commit(node, c); err == nil {
			done++
		} else if first == nil {
			first = err
		}
	}
	if done == 0 {
		return first
	}
	jobs.save()
	return nil
}

func (b *byJob) commit(node mesh.NodeID, c *wirepb.Commitment) error {
	r, t, w, err := b.mine(c.Job, c.Number, node)
	switch {
	case err != nil:
		return err
	case len(c.Commitment) != len(compute.Digest{}):
		return mesh.Errorf(mesh.Invalid, "a commitment has %d bytes, want %d", len(c.Commitment), len(compute.Digest{}))
	case r.job.Level == compute.Receipt:
		return mesh.Errorf(mesh.Conflict, "results of level receipt are opened at once")
	case w.State != workerDrawn:
		return mesh.Errorf(mesh.Conflict, "node %s has committed to task %d of job %x", node, c.Number, c.Job)
	}
	w.Commitment = c.Commitment
	r.move(c.Number, w, workerCommitted)
	r.advance(c.Number, t)
	r.putTask(c.Number, t)
	return nil
}

// advance brings a task on where all of its workers have committed: it waits for the draw of checks, or they may open. The caller writes it,
// but for one that ends here.
func (r *running) advance(n uint32, t *statepb.Task) {
	all := live(t)
	opened := 0
	for _, w := range all {
		switch w.State {
		case workerDrawn:
			return
		case workerOpened:
			opened++
		}
	}
	if t.State = taskCommitted; len(all) > compute.Workers(r.job.Level) {
		t.State = taskChecked
	}
	if r.job.Level == compute.Spot && !t.Passed {
		if t.Batch == 0 {
			r.batch(n, t, all[0])
		}
		return
	}
	for _, w := range all {
		if w.State == workerCommitted && w.OpenMs == 0 {
			w.OpenMs = r.tip.TimeMs
		}
	}
	if opened == len(all) {
		r.verdict(n, t)
	}
}

// open shows results. What cannot be opened is passed over.
func (s *step) open(m *wirepb.Openings, by mesh.PublicKey, msg *wirepb.Signed) error {
	node, err := s.byNode("openings", m.Node, by, len(m.Openings))
	if err != nil {
		return err
	}
	jobs, done := &byJob{step: s}, 0
	var first error
	for _, o := range m.Openings {
		if err := jobs.open(node, o, msg); err == nil {
			done++
		} else if first == nil {
			first = err
		}
	}
	if done == 0 {
		return first
	}
	jobs.save()
	return nil
}

func (b *byJob) open(node mesh.NodeID, o *wirepb.Opening, msg *wirepb.Signed) error {
	r, t, w, err := b.mine(o.Job, o.Number, node)
	if err != nil {
		return err
	}
	if err := compute.CheckClaim(&wirepb.TaskDemand{Task: t.Task, Fuel: t.Fuel, OutputBytes: t.OutputBytes}, o.Result); err != nil {
		return err
	}
	digest := compute.ResultDigest(o.Result)
	if r.job.Level == compute.Receipt {
		if w.State != workerDrawn || len(o.Salt) != 0 {
			return mesh.Errorf(mesh.Conflict, "task %d of job %x has a result, or this one has a salt", o.Number, o.Job)
		}
	} else {
		if w.State != workerCommitted || w.OpenMs == 0 {
			return mesh.Errorf(mesh.Conflict, "task %d of job %x is not to be opened now by node %s", o.Number, o.Job, node)
		}
		if c := compute.Commitment(digest, node, o.Salt); len(o.Salt) != compute.SaltBytes || !bytes.Equal(c[:], w.Commitment) {
			return mesh.Errorf(mesh.Denied, "the opening of task %d of job %x is not what node %s has committed to", o.Number, o.Job, node)
		}
	}
	w.Digest, w.Result, w.OpenMs = digest[:], o.Result, r.tip.TimeMs
	if len(live(t)) > 1 { // it may convict
		sum := sha256.Sum256(msg.Body)
		w.Opening = sum[:]
		r.put(key(openingKey, r.id, w.Opening), msg)
	}
	r.move(o.Number, w, workerOpened)
	if r.job.Level == compute.Receipt {
		t.State, t.Result = taskCommitted, o.Result
	} else {
		r.advance(o.Number, t)
	}
	if t.State < taskVerified {
		r.putTask(o.Number, t)
	}
	return nil
}

// winner is the digest that most of a task's openings have, more than any other, and two at least; false where there is none.
func winner(all []*statepb.TaskWorker) (digest []byte, ok bool) {
	most := 1
	for _, w := range all {
		same := 0
		for _, o := range all {
			if bytes.Equal(o.Digest, w.Digest) {
				same++
			}
		}
		switch {
		case same > most:
			digest, most, ok = w.Digest, same, true
		case same == most && !bytes.Equal(digest, w.Digest):
			ok = false
		}
	}
	return digest, ok
}

// verdict compares what all live workers of a task have opened.
func (r *running) verdict(n uint32, t *statepb.Task) {
	all := live(t)
	worker := workerOf(t, roleWorker)
	if len(all) == 1 { // level spot, and not checked
		if r.standing(worker.Node).Checks == 0 {
			r.verify(n, t, worker.Digest)
		} else {
			t.Result = worker.Result
		}
		return
	}
	checked := t.Checked
	digest, agree := winner(all)
	if !agree && r.decide(n, t, len(all)) {
		return
	}
	t.Checked = false
	if agree {
		for _, w := range all {
			if !bytes.Equal(w.Digest, digest) {
				r.convictWorker(n, t, w, digest)
			}
		}
		r.verify(n, t, digest)
	} else {
		r.endTask(n, t, taskFailed)
	}
	if checked {
		r.ended(worker, agree && bytes.Equal(worker.Digest, digest))
	}
}

// decide draws who decides between results that are not alike: one at first, then two more. It tells whether somebody does.
func (r *running) decide(n uint32, t *statepb.Task, opened int) bool {
	count := 1
	switch opened {
	case 2:
	case 3:
		count = 2
		if p := r.price(t.Fuel, t.OutputBytes); p <= r.free() { // three may agree in the end
			t.Reserved += p
			r.job.Reserved += p
		}
	default:
		return false
	}
	if r.draw(n, t, roleDecider, count) != nil {
		return false
	}
	t.State = taskChecked
	if t.Checked {
		r.until(n, t)
	}
	return true
}

// verify ends a task with a result, and pays those who gave it, in the order in which they were drawn, as far as the task's reserve reaches.
// Who is no node any more, or was proven to lie, is not paid.
func (r *running) verify(n uint32, t *statepb.Task, digest []byte) {
	a := r.account(r.job.Account)
	for _, w := range live(t) {
		if w.State != workerOpened || !bytes.Equal(w.Digest, digest) {
			continue
		}
		t.Result = w.Result
		p := min(r.price(w.Result.Fuel, w.Result.OutputBytes), t.Reserved-t.Noz)
		if p == 0 || !r.has(key(nodeKey, w.Node)) || r.has(key(evidenceKey, w.Node)) {
			continue
		}
		t.Noz += p
		r.job.Spent += p
		a.Leased -= p
		a.Debited += p
		r.earn(report.Compute, r.job.Account, w.Node, p)
	}
	r.put(key(accountKey, r.job.Account), a)
	r.endTask(n, t, taskVerified)
}

// convictWorker keeps proof that a node gave a false result: what it opened, and what two others did who agree.
func (r *running) convictWorker(n uint32, t *statepb.Task, liar *statepb.TaskWorker, digest []byte) {
	e := &wirepb.TaskEvidence{Job: r.id, Number: n, Task: t.Task, Node: liar.Node}
	show := func(w *statepb.TaskWorker) {
		m := new(wirepb.Signed)
		if r.get(key(openingKey, r.id, w.Opening), m) {
			e.Openings = append(e.Openings, m)
		}
	}
	show(liar)
	for _, w := range live(t) {
		if bytes.Equal(w.Digest, digest) && len(e.Openings) < 3 {
			show(w)
		}
	}
	r.move(n, liar, workerConvicted)
	if !r.has(key(evidenceKey, liar.Node)) {
		r.keepEvidence(liar.Node, &statepb.Evidence{Task: e, Value: r.job.Spent + r.job.Reserved})
	}
	if s := r.standing(liar.Node); r.job.Level == compute.Spot && liar.Role != roleWorker { // its own tasks here are not believed either
		s.Out = true
		r.put(key(jobWorkerKey, r.id, liar.Node), s)
		r.released = append(r.released, liar.Node)
	}
}

// CheckTaskEvidence tells whether evidence shows what it says: that a node opened one result of a task, and two others another.
func CheckTaskEvidence(d sign.Domain, e *wirepb.TaskEvidence) error {
	if len(e.Openings) != 3 {
		return mesh.Errorf(mesh.Invalid, "evidence of %d openings, want the node's and those of two others", len(e.Openings))
	}
	var digests [3]compute.Digest
	var nodes [3]string
	for i, s := range e.Openings {
		m := new(wirepb.Openings)
		if _, err := signed.Open(d, s, sign.Opening, m); err != nil {
			return err
		}
		found := false
		for _, o := range m.Openings {
			if string(o.Job) == string(e.Job) && o.Number == e.Number && string(o.Result.GetTask()) == string(e.Task) {
				digests[i], nodes[i], found = compute.ResultDigest(o.Result), string(m.Node), true
			}
		}
		if !found {
			return mesh.Errorf(mesh.Invalid, "an opening of evidence is of another task")
		}
	}
	if nodes[0] != string(e.Node) || nodes[1] == nodes[2] || nodes[0] == nodes[1] || nodes[0] == nodes[2] || digests[1] != digests[2] || digests[0] == digests[1] {
		return mesh.Errorf(mesh.Denied, "the evidence does not show two others who agree against the node")
	}
	return nil
}
