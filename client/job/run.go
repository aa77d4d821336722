package job

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Objects is what an agent needs of storage; client.Client is one.
type Objects interface {
	Opener
	Access() *client.Access
	Put(ctx context.Context, p mesh.Path, r io.Reader, o client.PutOptions) (*client.Object, error)
	Stat(ctx context.Context, p mesh.Path) (*client.Object, error)
	Look(ctx context.Context, p mesh.Path, version *mesh.VersionID) (*client.Bucket, *client.Object, error)
	Copy(ctx context.Context, from, to mesh.Path) (*client.Object, error)
	Delete(ctx context.Context, p mesh.Path) error
	List(ctx context.Context, p mesh.Path, delimiter string, f func(client.Listed) error) error
	Identity(ctx context.Context, o *client.Object) ([32]byte, error)
	Stretches(ctx context.Context, o *client.Object) ([]client.Stretch, error)
}

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
	client   Objects
	log      Log
	id       mesh.JobID
	order    uint64 // of the value layer, for which the job is; 0: none. Then what fails is an answer too
	claim    uint64
	parts    []*kept                  // that are read by the map's tasks, in order: one content may have several names
	stored   map[compute.Digest]*kept // contents that lie in the job's folder
	shared   []*kept                  // files of both stages
	maps     program
	reduces  program
	access   accesses
	logs     *logbook
	read     map[mesh.NodeID][2]uint64 // by each node, as it says: all, near
	added    uint32                    // tasks so far
	progress Progress
}

func newRun(c Objects, log Log, s Spec) *run {
	return &run{Spec: s, client: c, log: log, id: mesh.NewJobID(), stored: map[compute.Digest]*kept{},
		logs: newLogbook(s.Log), maps: program{name: "map"}, reduces: program{name: "reduce"}, access: accesses{all: map[accessName]*access{}}, read: map[mesh.NodeID][2]uint64{}}
}

// A task of a stage.
type task struct {
	text   *wirepb.TaskText
	inputs []*kept       // of text.Inputs
	near   []mesh.NodeID // that hold them, who holds most first

	attempts map[mesh.NodeID]*attempt
	result   *wirepb.TaskResult // once it is verified
	output   *kept              // of a worker that gave it; nil: see sound
	sound    bool               // the output was found to be what the result says
	accepted bool
	missed   time.Time // when it was seen to be verified without a result here
}

// An attempt is a task at a worker.
type attempt struct {
	began   time.Time
	running bool
	tried   time.Time // when it failed last
	err     error
	done    bool
	digest  compute.Digest // of the result, when it is done
	output  *kept          // nil: it is not what the result says, or there is none
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
	output *kept
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

// stage runs tasks of a program until all are verified. spills are the tasks whose outputs they read.
func (r *run) stage(ctx context.Context, p *program, tasks, spills []*task) error {
	first := r.added
	for at := 0; at < len(tasks); at += compute.MaxBatch {
		m := &wirepb.Tasks{Job: r.id[:], First: first + uint32(at)}
		for _, t := range tasks[at:min(at+compute.MaxBatch, len(tasks))] {
			t.attempts, t.missed = map[mesh.NodeID]*attempt{}, time.Time{}
			m.Tasks = append(m.Tasks, compute.DemandOf(t.text, t.near))
		}
		if err := r.log.AddTasks(ctx, m); err != nil {
			return err
		}
		r.added += uint32(len(m.Tasks))
	}
	r.progress.Stage, r.progress.Done, r.progress.Tasks = p.name, 0, len(tasks)
	r.tell()
	own := lifecycle.New(ctx)
	reports := make(chan report, len(tasks))
	s := &stage{run: r, program: p, first: first, tasks: tasks, spills: spills, own: own, reports: reports}
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
	program *program
	first   uint32
	tasks   []*task
	spills  []*task // whose outputs they read
	doubted bool    // a worker says that one of these is not what it should be
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
		if s.doubted {
			if err := s.renew(ctx); err != nil {
				return err
			}
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
		if a.Number < s.first || a.Number >= s.added {
			return false, mesh.Errorf(mesh.Corrupt, "the log answers for task %d, which the job does not have", a.Number)
		}
		if a.Number-s.first >= uint32(len(s.tasks)) {
			continue // it is of one that was run again
		}
		t := s.tasks[a.Number-s.first]
		if t.result != nil {
			verified++
			continue
		}
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
			return false, mesh.Errorf(mesh.Corrupt, "%s %d has no result on which two workers agree", s.program.name, t.text.Number)
		case compute.TaskDropped:
			return false, mesh.Errorf(mesh.Unavailable, "%s %d was dropped: the job has ended", s.program.name, t.text.Number)
		}
		if s.Level == Receipt && a.Result != nil && !t.accepted {
			switch w := t.agreed(compute.ResultDigest(a.Result)); {
			case w == nil:
			case w.output == nil && compute.Succeeded(a.Result): // it is not accepted: it is run again
				if err := s.verified(t, a); err != nil {
					return false, err
				}
				verified++
				continue
			case len(accept.Numbers) < compute.MaxBatch:
				accept.Numbers, t.accepted = append(accept.Numbers, a.Number), true
			}
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

// renew looks whether what the tasks read is what it should be, and has run again what is not. Workers whose tasks failed over that begin anew.
func (s *stage) renew(ctx context.Context) error {
	s.doubted = false
	if err := s.sound(ctx, &s.maps, s.spills); err != nil {
		return err
	}
	s.progress.Stage, s.progress.Done, s.progress.Tasks = s.program.name, 0, len(s.tasks) // what was run again has said its own
	for _, t := range s.tasks {
		t.inputs = outputs(s.spills)
		for _, a := range t.attempts {
			if a.err != nil {
				a.began, a.err = time.Now(), nil
			}
		}
	}
	return nil
}

// agreed is an attempt that gave the result, if possible one with its output.
func (t *task) agreed(result compute.Digest) (best *attempt) {
	for _, a := range t.attempts {
		if a.done && a.digest == result && (best == nil || best.output == nil) {
			best = a
		}
	}
	return best
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
		return mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%s %d failed: %w%s", s.program.name, t.text.Number, err, said), "%s", mesh.HintOf(err))
	}
	t.result, t.output = a.Result, w.output
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
	case x.reissue, x.done && time.Since(x.tried) < toldGrace:
		return nil
	case time.Since(x.asked) > retryEvery && (x.done || x.err != nil && since > grace || x.running && since > s.patience(t)):
		return s.reissue(ctx, a, x, w)
	case x.running, x.done, time.Since(x.tried) < retryEvery:
		return nil
	}
	inputs := t.inputs
	return s.try(t, node, func(ctx context.Context, x *report) error {
		running, over := context.WithCancel(ctx)
		defer over()
		if err := s.own.Go(func(context.Context) error { s.followLog(running, node, a.Number, t.text.Number); return nil }); err != nil {
			return err
		}
		return s.ask(ctx, x, a.Number, inputs)
	})
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
			return s.look(ctx, x, s.place(t, a.Number, node))
		})
	}
	if why == nil {
		return nil
	}
	return mesh.Errorf(mesh.KindOf(why), "%s %d was verified, and its output is not to be had: %w", s.program.name, t.text.Number, why)
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

// ask has a worker run a task.
func (s *stage) ask(ctx context.Context, x *report, number uint32, inputs []*kept) error {
	q, err := s.request(ctx, x.node, number, x.task, inputs)
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

// look examines whether a worker has stored something that may be what its result says.
func (s *stage) look(ctx context.Context, x *report, output *wirepb.StoredObject) error {
	r := x.reply.Result
	if err := compute.CheckResult(x.task.text, r); err != nil || !compute.Succeeded(r) {
		return err
	}
	o, err := s.client.Stat(ctx, mesh.Path{Bucket: output.Bucket, Key: output.Key})
	if mesh.KindOf(err) == mesh.NotFound && err != nil {
		return nil // what became of it is seen when it is needed
	}
	if err != nil {
		return err
	}
	x.output = keptOutput(x.task, compute.Digest(r.Output), r.OutputBytes, o)
	if s.Level == Receipt && x.task.text.Parts == 0 && string(o.PlainHash[:]) != string(r.Output) {
		x.output = nil // by the worker's own word
	}
	return nil
}

// take notes what an attempt came to.
func (s *stage) take(x report) error {
	a := x.task.attempts[x.node]
	a.running, a.err, a.tried = false, x.err, time.Now()
	if x.err != nil {
		if k := mesh.KindOf(x.err); len(s.spills) > 0 && (k == mesh.Corrupt || k == mesh.NotFound) {
			s.doubted = true
		}
		s.progress.Trouble = x.err.Error()
		s.tell()
		return nil
	}
	a.done, a.digest, a.output, a.log = true, compute.ResultDigest(x.reply.Result), x.output, x.reply.Log
	s.took = append(s.took, x.took)
	s.read[x.node] = [2]uint64{max(s.read[x.node][0], x.reply.ReadBytes), max(s.read[x.node][1], x.reply.NearBytes)}
	s.progress.Read, s.progress.ReadNear, s.progress.Nodes = 0, 0, len(s.read)
	for _, n := range s.read {
		s.progress.Read += mesh.Noz(n[0])
		s.progress.ReadNear += mesh.Noz(n[1])
	}
	s.logs.add(s.program.name, x.task.text.Number, x.node, a.log, x.reply.LogBytes, true)
	s.tell()
	return nil
}
