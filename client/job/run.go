package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Log is what an agent needs of the meta layer, and of nodes; client.Client is one.
type Log interface {
	OpenJob(ctx context.Context, j *wirepb.Job) error
	AddTasks(ctx context.Context, t *wirepb.Tasks) error
	ReissueTask(ctx context.Context, r *wirepb.Reissue) error
	AcceptTasks(ctx context.Context, a *wirepb.Acceptance) error
	EndJob(ctx context.Context, id mesh.JobID) error
	// JobTasks gives the tasks of a job from a number on, all of them.
	JobTasks(ctx context.Context, id mesh.JobID, from uint32) ([]*wirepb.TaskAnswer, error)
	// CallNode posts a request to a node's port for transfers.
	CallNode(ctx context.Context, node mesh.NodeID, path string, limit int, req, answer proto.Message) error
}

const (
	pollEvery   = 200 * time.Millisecond
	grace       = compute.PatienceMs * time.Millisecond // before a worker that fails is replaced
	toldGrace   = 2 * grace                             // before one is that has its result, and does not tell the log
	retryEvery  = time.Second
	leastStrag  = 15 * time.Second // what a task may take at least before it counts as straggling
	findTime    = 30 * time.Second // for which the output of a verified task is looked for
	slowFuel    = 7_500_000_000    // a second, of a worker that is slow
	slowBytes   = 1 << 20          // the same of its input
	stragFactor = 4                // times the median of those that are done
)

// A run is a job on its way. It is used by one goroutine, but for attempts.
type run struct {
	Spec
	client    *client.Client
	log       Log
	id        mesh.JobID
	order     uint64 // of the value layer, for which the job is; 0: none. Then what fails is an answer too
	claim     uint64
	stretches map[compute.Digest][]client.Stretch
	objects   map[compute.Digest]*client.Object
	access    accesses
	read      map[mesh.NodeID][2]uint64 // by each node, as it says: all, near
	added     uint32                    // tasks so far
	progress  Progress

	mapModule, reduceModule *wirepb.StoredObject
}

// accesses are the grants that were made out, one for a node and a prefix: another would end the session under the first.
type accesses struct {
	mu  sync.Mutex
	all map[accessName]*access
}
type accessName struct {
	node   mesh.NodeID
	prefix string
}
type access struct {
	mu    sync.Mutex // held while it is made
	grant *wirepb.Delegation
}

func (a *accesses) of(n accessName) *access {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all[n] == nil {
		a.all[n] = new(access)
	}
	return a.all[n]
}

func newRun(c *client.Client, log Log, s Spec) *run {
	return &run{Spec: s, client: c, log: log, id: mesh.NewJobID(), stretches: map[compute.Digest][]client.Stretch{}, objects: map[compute.Digest]*client.Object{},
		access: accesses{all: map[accessName]*access{}}, read: map[mesh.NodeID][2]uint64{}}
}

// A task of a stage.
type task struct {
	text   *wirepb.TaskText
	prefix string                 // of its inputs: bucket and key
	inputs []*wirepb.StoredObject // of text.Inputs
	near   []mesh.NodeID          // that hold them, who holds most first

	attempts map[mesh.NodeID]*attempt
	result   *wirepb.TaskResult   // once it is verified
	output   *wirepb.StoredObject // of the worker that gave it
	spill    *wirepb.ComputeInput // the output as an input
	accepted bool
	missed   time.Time // when it was seen to be verified without that
}

// An attempt is a task at a worker.
type attempt struct {
	began   time.Time
	running bool
	tried   time.Time // when it failed last
	err     error
	digest  compute.Digest // of the result, when it is there
	output  *wirepb.StoredObject
	spill   *wirepb.ComputeInput
	log     []byte
	openMs  int64     // block time since which it may open its result
	mayOpen time.Time // when that was seen
	asked   time.Time // when the log was asked last to take it away
	reissue bool      // it has
}

// attempt is the one at a worker.
func (t *task) attempt(node mesh.NodeID) *attempt {
	x := t.attempts[node]
	if x == nil {
		x = &attempt{began: time.Now()}
		t.attempts[node] = x
	}
	return x
}

// report is what an attempt came to.
type report struct {
	task   *task
	node   mesh.NodeID
	reply  *wirepb.TaskReply
	output *wirepb.StoredObject
	spill  *wirepb.ComputeInput
	err    error
	took   time.Duration
}

// mostOf sorts nodes by what they hold, and gives the first.
func mostOf(held map[mesh.NodeID]uint64) []mesh.NodeID {
	all := slices.SortedFunc(maps.Keys(held), func(a, b mesh.NodeID) int {
		return cmp.Or(cmp.Compare(held[b], held[a]), slices.Compare(a[:], b[:]))
	})
	return all[:min(len(all), compute.MaxNear)]
}

// stage runs tasks until all are verified.
func (r *run) stage(ctx context.Context, name string, module *wirepb.StoredObject, tasks []*task) error {
	first := r.added
	for at := 0; at < len(tasks); at += compute.MaxBatch {
		m := &wirepb.Tasks{Job: r.id[:], First: first + uint32(at)}
		for _, t := range tasks[at:min(at+compute.MaxBatch, len(tasks))] {
			t.attempts = map[mesh.NodeID]*attempt{}
			m.Tasks = append(m.Tasks, compute.DemandOf(t.text, t.near))
		}
		if err := r.log.AddTasks(ctx, m); err != nil {
			return err
		}
		r.added += uint32(len(m.Tasks))
	}
	r.progress.Stage, r.progress.Done, r.progress.Tasks = name, 0, len(tasks)
	r.tell()
	own := lifecycle.New(ctx)
	reports := make(chan report, len(tasks))
	s := &stage{run: r, name: name, module: module, first: first, tasks: tasks, own: own, reports: reports}
	err := s.follow(own.Context())
	if closeErr := own.Close(); err == nil {
		err = closeErr
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *run) tell() {
	if r.Progress != nil {
		r.Progress(r.progress)
	}
}

// A stage under way.
type stage struct {
	*run
	name    string
	module  *wirepb.StoredObject
	first   uint32
	tasks   []*task
	own     *lifecycle.Group
	reports chan report
	took    []time.Duration // by attempts that are done
}

// follow asks the log, and lets it and the workers go on, until all tasks are verified.
func (s *stage) follow(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		answers, err := s.log.JobTasks(ctx, s.id, s.first)
		if err != nil && mesh.KindOf(err) != mesh.Unavailable { // else it is asked again
			return err
		}
		if done, err := s.step(ctx, answers); done || err != nil {
			return err
		}
		for waiting := true; waiting; {
			select {
			case x := <-s.reports:
				if err := s.take(x); err != nil {
					return err
				}
			case <-tick.C:
				waiting = false
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// step does what the log's answers ask for.
func (s *stage) step(ctx context.Context, answers []*wirepb.TaskAnswer) (done bool, err error) {
	accept := &wirepb.Acceptance{Job: s.id[:]}
	verified := 0
	for _, a := range answers {
		if a.Number < s.first || a.Number-s.first >= uint32(len(s.tasks)) {
			return false, mesh.Errorf(mesh.Corrupt, "the log answers for task %d, which the job does not have", a.Number)
		}
		t := s.tasks[a.Number-s.first]
		switch a.State {
		case compute.TaskVerified:
			if err := s.verified(t, a); err != nil {
				return false, err
			}
			if t.result != nil {
				verified++
			} else if err := s.find(ctx, a, t); err != nil {
				return false, err
			}
			continue
		case compute.TaskFailed:
			return false, mesh.Errorf(mesh.Corrupt, "%s %d has no result on which two workers agree", s.name, t.text.Number)
		case compute.TaskDropped:
			return false, mesh.Errorf(mesh.Unavailable, "%s %d was dropped: the job has ended", s.name, t.text.Number)
		}
		if s.Level == Receipt && a.Result != nil && !t.accepted && t.agreed(compute.ResultDigest(a.Result)) != nil && len(accept.Numbers) < compute.MaxBatch {
			accept.Numbers, t.accepted = append(accept.Numbers, a.Number), true
		}
		for _, w := range a.Workers {
			var err error
			switch {
			case w.State == compute.WorkerDrawn:
				err = s.work(ctx, a, t, w)
			case w.State == compute.WorkerCommitted && w.OpenMs > 0:
				err = s.awaitOpening(ctx, a, t, w)
			}
			if err != nil {
				return false, err
			}
		}
	}
	if verified != s.progress.Done {
		s.progress.Done = verified
		s.tell()
	}
	if len(accept.Numbers) > 0 {
		if err := s.log.AcceptTasks(ctx, accept); err != nil {
			return false, err
		}
	}
	return verified == len(s.tasks), nil
}

// agreed is an attempt that gave the result.
func (t *task) agreed(result compute.Digest) *attempt {
	for _, a := range t.attempts {
		if a.output != nil && a.digest == result {
			return a
		}
	}
	return nil
}

// verified takes a result that the log has verified, once the worker's reply with it is there as well.
func (s *stage) verified(t *task, a *wirepb.TaskAnswer) error {
	if t.result != nil {
		return nil
	}
	w := t.agreed(compute.ResultDigest(a.Result))
	if w == nil {
		return nil
	}
	if err := compute.Failed(a.Result); err != nil && s.order == 0 {
		said := ""
		if len(w.log) > 0 {
			said = "; it wrote last:\n" + string(w.log)
		}
		return mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%s %d failed: %w%s", s.name, t.text.Number, err, said), "%s", mesh.HintOf(err))
	}
	t.result, t.output, t.spill = a.Result, w.output, w.spill
	s.progress.Fuel += a.Result.Fuel
	s.progress.Cost += mesh.Noz(a.Noz)
	return nil
}

// work gives a task to a worker that has not got it, or has it taken away from one that does not deliver.
func (s *stage) work(ctx context.Context, a *wirepb.TaskAnswer, t *task, w *wirepb.TaskWorker) error {
	node, err := mesh.FromBytes[mesh.NodeID](w.Node)
	if err != nil {
		return err
	}
	x := t.attempt(node)
	since := time.Since(x.began)
	switch {
	case x.reissue, x.output != nil && time.Since(x.tried) < toldGrace:
		return nil
	case time.Since(x.asked) > retryEvery && (x.output != nil || x.err != nil && since > grace || x.running && since > s.patience(t)):
		return s.reissue(ctx, a, x, w)
	case x.running, x.output != nil, time.Since(x.tried) < retryEvery:
		return nil
	}
	return s.try(t, node, func(ctx context.Context, x *report) error { return s.ask(ctx, x, a.Number) })
}

// try has f make a report of an attempt.
func (s *stage) try(t *task, node mesh.NodeID, f func(context.Context, *report) error) error {
	t.attempt(node).running = true
	return s.own.Go(func(ctx context.Context) error {
		x := report{task: t, node: node, reply: new(wirepb.TaskReply)}
		began := time.Now()
		x.err = f(ctx, &x)
		x.took = time.Since(began)
		select {
		case s.reports <- x:
		case <-ctx.Done():
		}
		return nil
	})
}

// find looks for the output of a task that was verified by workers whose replies never came.
func (s *stage) find(ctx context.Context, a *wirepb.TaskAnswer, t *task) error {
	want := compute.ResultDigest(a.Result)
	if t.missed.IsZero() {
		t.missed = time.Now()
	}
	var why error
	for _, w := range a.Workers {
		node, err := mesh.FromBytes[mesh.NodeID](w.Node)
		if err != nil {
			return err
		}
		x := t.attempt(node)
		if x.running {
			return nil
		}
		if string(w.Digest) != string(want[:]) || time.Since(x.tried) < retryEvery {
			continue
		}
		if why = x.err; why != nil && time.Since(t.missed) > findTime {
			break
		}
		return s.try(t, node, func(ctx context.Context, x *report) error {
			x.reply.Result = a.Result
			return s.look(ctx, x, s.outputOf(t, node))
		})
	}
	if why == nil {
		return nil
	}
	return mesh.Errorf(mesh.KindOf(why), "%s %d was verified, and its output is not to be had: %w", s.name, t.text.Number, why)
}

// awaitOpening has a task taken away from a worker that does not open what it has committed to: it has forgotten it, or never had it.
func (s *stage) awaitOpening(ctx context.Context, a *wirepb.TaskAnswer, t *task, w *wirepb.TaskWorker) error {
	node, err := mesh.FromBytes[mesh.NodeID](w.Node)
	if err != nil {
		return err
	}
	x := t.attempt(node)
	if x.openMs != w.OpenMs {
		x.openMs, x.mayOpen = w.OpenMs, time.Now()
	}
	if x.reissue || time.Since(x.mayOpen) < toldGrace || time.Since(x.asked) < retryEvery {
		return nil
	}
	return s.reissue(ctx, a, x, w)
}

// reissue has the log take a task from a worker. It is left as it is where that is too soon or too late, by the log's clock, or nobody else is there.
func (s *stage) reissue(ctx context.Context, a *wirepb.TaskAnswer, x *attempt, w *wirepb.TaskWorker) error {
	x.asked = time.Now()
	err := s.log.ReissueTask(ctx, &wirepb.Reissue{Job: s.id[:], Number: a.Number, Node: w.Node})
	if k := mesh.KindOf(err); err != nil && (k == mesh.Conflict || k == mesh.Unavailable) {
		return nil
	}
	x.reissue = true
	s.progress.Reissued++
	s.tell()
	return err
}

// patience is how long a worker may take: where too few tasks are done to tell by those, as long as a slow one has something to do.
func (s *stage) patience(t *task) time.Duration {
	if len(s.took) < (len(s.tasks)+1)/2 {
		bytes := uint64(0)
		for _, in := range t.text.Inputs {
			bytes += in.To - in.From
		}
		return min(s.Timeout, leastStrag+time.Duration(t.text.Stage.Fuel/slowFuel+min(bytes/slowBytes, 1<<20))*time.Second)
	}
	slices.Sort(s.took)
	return max(leastStrag, stragFactor*s.took[len(s.took)/2])
}

// request is a task for a worker, with grants that only that one can use.
func (s *stage) request(ctx context.Context, node mesh.NodeID, number uint32, t *task) (*wirepb.TaskRequest, error) {
	q := &wirepb.TaskRequest{Job: s.id[:], Number: number, Text: t.text}
	prefixes := []string{s.folder()}
	if t.prefix != prefixes[0] {
		prefixes = append(prefixes, t.prefix)
	}
	under := uint32(len(prefixes) - 1)
	for _, f := range s.Files {
		prefixes = append(prefixes, f.Object.Path.Bucket+"/"+f.Object.Path.Key)
		o := storedOf(f.Object)
		o.Access = uint32(len(prefixes) - 1)
		q.Files = append(q.Files, o)
	}
	for i, p := range prefixes {
		chain, err := s.delegate(ctx, node, p, i == 0)
		if err != nil {
			return nil, err
		}
		q.Access = append(q.Access, chain)
	}
	q.Module = s.module
	for _, in := range t.inputs {
		o := proto.CloneOf(in)
		o.Access = under
		q.Inputs = append(q.Inputs, o)
	}
	q.Output = s.outputOf(t, node)
	return q, nil
}

// outputOf says where a worker stores a task's output.
func (s *stage) outputOf(t *task, node mesh.NodeID) *wirepb.StoredObject {
	p := s.object(fmt.Sprintf("%s-%05d-%s", s.name, t.text.Number, node.String()))
	return &wirepb.StoredObject{Bucket: p.Bucket, Key: p.Key}
}

// delegate makes a grant out to a node, once for all its tasks.
func (s *stage) delegate(ctx context.Context, node mesh.NodeID, prefix string, write bool) (*wirepb.Delegation, error) {
	at := s.access.of(accessName{node, prefix})
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.grant != nil {
		return at.grant, nil
	}
	a := new(wirepb.TaskKeysAnswer)
	if err := s.log.CallNode(ctx, node, compute.TaskKeysPath, 4<<10, &wirepb.TaskKeysRequest{Job: s.id[:], Prefixes: []string{prefix}}, a); err != nil {
		return nil, err
	}
	if len(a.Keys) != 1 {
		return nil, mesh.Errorf(mesh.Corrupt, "node %s gave %d keys for one prefix", node, len(a.Keys))
	}
	key, err := mesh.FromBytes[mesh.PublicKey](a.Keys[0])
	if err != nil {
		return nil, err
	}
	terms := client.Terms{Prefix: prefix, Operations: grant.Read, Expires: time.Now().Add(s.Timeout), Label: "task"}
	if write {
		terms.Operations |= grant.Write
	}
	at.grant, err = s.client.Access().Delegate(key, terms)
	return at.grant, err
}

// ask has a worker run a task, and looks whether the output is what the result says: the log verifies results, but nobody else would look at what
// was stored. At level receipt the worker is believed.
func (s *stage) ask(ctx context.Context, x *report, number uint32) error {
	q, err := s.request(ctx, x.node, number, x.task)
	if err != nil {
		return err
	}
	if err := s.log.CallNode(ctx, x.node, compute.TaskPath, compute.MaxTaskReply, q, x.reply); err != nil {
		return err
	}
	if x.reply.Result == nil {
		return mesh.Errorf(mesh.Corrupt, "node %s gave no result", x.node)
	}
	return s.look(ctx, x, q.Output)
}

// look examines what a worker has stored.
func (s *stage) look(ctx context.Context, x *report, output *wirepb.StoredObject) error {
	r := x.reply.Result
	x.output = output
	if err := compute.CheckResult(x.task.text, r); err != nil || !compute.Succeeded(r) {
		return err
	}
	o, err := s.client.Stat(ctx, mesh.Path{Bucket: output.Bucket, Key: output.Key})
	if err != nil {
		return err
	}
	id, err := s.client.Identity(ctx, o)
	if err != nil {
		return err
	}
	x.output, x.spill = storedOf(o), &wirepb.ComputeInput{Root: id[:], Size: o.Size}
	root := compute.Digest(o.PlainHash)
	if s.Level != Receipt {
		if root, err = s.hash(ctx, o); err != nil {
			return err
		}
	}
	if o.Size != r.OutputBytes || string(root[:]) != string(r.Output) {
		return mesh.Errorf(mesh.Corrupt, "node %s stored another output than it says", x.node)
	}
	return nil
}

// hash reads an object for its BLAKE3.
func (s *stage) hash(ctx context.Context, o *client.Object) (compute.Digest, error) {
	h := blake3.New(32, nil)
	if o.Size > 0 {
		r, err := s.client.Open(ctx, o, 0, o.Size)
		if err != nil {
			return compute.Digest{}, err
		}
		_, err = io.Copy(h, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return compute.Digest{}, err
		}
	}
	return compute.Digest(h.Sum(nil)), nil
}

// take notes what an attempt came to.
func (s *stage) take(x report) error {
	a := x.task.attempts[x.node]
	a.running, a.err, a.tried = false, x.err, time.Now()
	if x.err != nil {
		s.progress.Trouble = x.err.Error()
		s.tell()
		return nil
	}
	a.digest, a.output, a.spill, a.log = compute.ResultDigest(x.reply.Result), x.output, x.spill, x.reply.Log
	s.took = append(s.took, x.took)
	s.read[x.node] = [2]uint64{max(s.read[x.node][0], x.reply.ReadBytes), max(s.read[x.node][1], x.reply.NearBytes)}
	s.progress.Read, s.progress.ReadNear, s.progress.Nodes = 0, 0, len(s.read)
	for _, n := range s.read {
		s.progress.Read += mesh.Noz(n[0])
		s.progress.ReadNear += mesh.Noz(n[1])
	}
	if s.Log != nil && len(a.log) > 0 {
		s.Log(s.name, x.task.text.Number, x.node, a.log)
	}
	s.tell()
	return nil
}
