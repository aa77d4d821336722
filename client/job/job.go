package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Level says how results are verified before they are paid.
type Level uint32

const (
	// Receipt believes the worker.
	Receipt = Level(compute.Receipt)
	// Spot has some tasks run once more by others, who are drawn when all have given their word.
	Spot = Level(compute.Spot)
	// Pair has two run each task.
	Pair = Level(compute.Pair)
	// Quorum has three run each task.
	Quorum = Level(compute.Quorum)
)

var levels = [...]string{Receipt: "receipt", Spot: "spot", Pair: "pair", Quorum: "quorum"}

func (l Level) String() string {
	if int(l) < len(levels) && l > 0 {
		return levels[l]
	}
	return fmt.Sprintf("level %d", uint32(l))
}

// ParseLevel reads what String writes.
func ParseLevel(s string) (Level, error) {
	if i := slices.Index(levels[:], s); i > 0 {
		return Level(i), nil
	}
	return 0, mesh.Errorf(mesh.Invalid, "%q is no level of verification, want receipt, spot, pair or quorum", s)
}

// A Program is a module and what each of its tasks gets.
type Program struct {
	Module []byte        // the WebAssembly binary
	Stage  *wirepb.Stage // all but its files
	Files  []File        // that its tasks can read behind the job's
}

// An Input is an object, or a content that lies elsewhere: that is stored for the job, and named by its BLAKE3.
type Input struct {
	Object  *client.Object
	Content compute.Source // if there is no Object
}

// A File is what all tasks can read beside their input.
type File struct {
	Name string // below the root
	Input
}

// A Spec is what is to be run.
type Spec struct {
	Map     Program
	Reduce  *Program // nil: what the maps give is the result
	Parts   uint32
	Rules   compute.Digest // by which tasks run; nodes with others refuse them
	Nanos   int64          // Unix time at which the tasks' clocks begin
	Inputs  []Input
	Whole   bool // each input is one record
	Files   []File
	Output  mesh.Path // the prefix of the results
	Level   Level
	Budget  mesh.Noz // that the tasks may cost; what they read and write is paid as traffic besides
	Timeout time.Duration
	// Progress is told when something changes, one call at a time; may be nil.
	Progress func(Progress)
	// Log is told what tasks write to their standard error, while they do, one call at a time; may be nil. It is kept as an object besides: see ReadLog.
	Log func(LogLine)
}

// Progress is how far a job is.
type Progress struct {
	Stage           string // map or reduce
	Done, Tasks     int    // verified, of all
	Fuel            uint64 // that verified tasks have spent, in all
	Cost            mesh.Noz
	Read, ReadNear  mesh.Noz // bytes that workers have read of objects, and of these from the node itself
	Reissued, Nodes int
	Trouble         string // what went wrong last at a node; empty: nothing
}

// An Outcome is what a job gave.
type Outcome struct {
	Job     mesh.JobID
	Digest  compute.Digest
	Objects []mesh.Path // the results, in order
	Bytes   uint64
	Progress
	Maps, Reduces int
}

// hidden begins the folder of what lies between the stages, beside the results.
const hidden = ".job-"

// Run runs a job to its end. A task that fails ends it with that task's kind of failure. Whatever happens, what lies between the stages is removed, and
// the budget that was not used goes back.
func Run(ctx context.Context, c Objects, log Log, s Spec) (_ *Outcome, err error) {
	r := newRun(c, log, s)
	if err := r.check(); err != nil {
		return nil, err
	}
	logs := lifecycle.New(ctx)
	defer func() { err = errors.Join(err, logs.Close(), r.tidy(context.WithoutCancel(ctx))) }()
	if err := logs.Go(r.keepLog); err != nil {
		return nil, err
	}
	files, err := r.files(ctx, s.Files)
	if err != nil {
		return nil, err
	}
	plan := compute.Job{Rules: s.Rules, Parts: s.Parts, Nanos: s.Nanos}
	if plan.Map, err = r.program(ctx, &r.maps, s.Map, files); err != nil {
		return nil, err
	}
	if s.Reduce != nil {
		if plan.Reduce, err = r.program(ctx, &r.reduces, *s.Reduce, files); err != nil {
			return nil, err
		}
	}
	inputs, err := r.cut(ctx)
	if err != nil {
		return nil, err
	}
	maps, err := plan.Maps(inputs)
	if err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	tasks := make([]*task, len(maps))
	for i, t := range maps {
		tasks[i] = r.mapTask(t)
	}
	last, o := &r.maps, &Outcome{Job: r.id, Maps: len(maps)}
	if err := r.stage(ctx, last, tasks, nil); err != nil {
		return nil, err
	}
	if s.Reduce != nil {
		spills := tasks
		if err := r.present(ctx, last, spills); err != nil {
			return nil, err
		}
		reduces, err := plan.Reduces(compute.Outputs(results(spills)))
		if err != nil {
			return nil, err
		}
		tasks = make([]*task, len(reduces))
		for i, t := range reduces {
			tasks[i] = &task{text: t, inputs: outputs(spills)}
		}
		last, o.Reduces = &r.reduces, len(tasks)
		if err := r.stage(ctx, last, tasks, spills); err != nil {
			return nil, err
		}
	}
	if o.Objects, err = r.deliver(ctx, last, tasks); err != nil {
		return nil, err
	}
	o.Digest, o.Progress = compute.Outcome(results(tasks)), r.progress
	_, o.Bytes = compute.Total(results(tasks))
	return o, nil
}

func results(tasks []*task) (all []*wirepb.TaskResult) {
	for _, t := range tasks {
		all = append(all, t.result)
	}
	return all
}

// check refuses what cannot be run.
func (r *run) check() error {
	s := &r.Spec
	if s.Level < Receipt || s.Level > Quorum {
		return mesh.Errorf(mesh.Invalid, "%s is no level of verification", s.Level)
	}
	if len(s.Inputs) == 0 {
		return mesh.Errorf(mesh.NotFound, "the job has no input")
	}
	if s.Output.Key != "" && !strings.HasSuffix(s.Output.Key, "/") {
		return mesh.Errorf(mesh.Invalid, "the results' place %s does not end in a slash", s.Output)
	}
	return nil
}

// mapTask is the next task of the map with what it reads, and which nodes hold that.
func (r *run) mapTask(text *wirepb.TaskText) *task {
	t := &task{text: text}
	held := map[mesh.NodeID]uint64{}
	for _, in := range text.Inputs {
		k := r.parts[0]
		r.parts = r.parts[1:]
		t.inputs = append(t.inputs, k)
		for _, x := range k.stretches {
			if from, to := max(x.From, in.From), min(x.To, in.To); from < to && x.Node != (mesh.NodeID{}) {
				held[x.Node] += to - from
			}
		}
	}
	t.near = mostOf(held)
	return t
}

// open puts the job on the log.
func (r *run) open(ctx context.Context) error {
	now := time.Now()
	return r.log.OpenJob(ctx, &wirepb.Job{Id: r.id[:], Level: uint32(r.Level), Budget: uint64(r.Budget), DeadlineMs: now.Add(r.Timeout).UnixMilli(), AtMs: now.UnixMilli(),
		Order: r.order, Claim: r.claim})
}

// folder is the prefix of what lies between the stages.
func (r *run) folder() string {
	return r.Output.Bucket + "/" + r.Output.Key + hidden + r.id.String() + "/"
}

// object is one in that folder.
func (r *run) object(name string) mesh.Path {
	return mesh.Path{Bucket: r.Output.Bucket, Key: r.Output.Key + hidden + r.id.String() + "/" + name}
}

// deliver gives the results their names, once they are what the log says.
func (r *run) deliver(ctx context.Context, p *program, tasks []*task) (all []mesh.Path, err error) {
	if err := r.sound(ctx, p, tasks); err != nil {
		return nil, err
	}
	for i, t := range tasks {
		from := mesh.Path{Bucket: t.output.object.Bucket, Key: t.output.object.Key}
		to := mesh.Path{Bucket: r.Output.Bucket, Key: r.Output.Key + fmt.Sprintf("part-%05d", i)}
		if _, err := r.client.Copy(ctx, from, to); err != nil {
			return nil, fmt.Errorf("naming a result: %w", err)
		}
		all = append(all, to)
	}
	return all, nil
}

// tidyTime is how long removing what lies between the stages may take.
const tidyTime = 30 * time.Second

// tidy ends the job and removes what lies between the stages.
func (r *run) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	err := r.log.EndJob(ctx, r.id)
	if mesh.KindOf(err) == mesh.NotFound { // it was not opened
		err = nil
	}
	var left []mesh.Path
	err = errors.Join(err, r.client.List(ctx, r.object(""), "", func(l client.Listed) error {
		left = append(left, mesh.Path{Bucket: r.Output.Bucket, Key: l.Key})
		return nil
	}))
	for _, p := range left {
		err = errors.Join(err, r.client.Delete(ctx, p))
	}
	if logErr := errors.Join(r.storeLog(ctx), r.removeLogs(ctx)); logErr != nil { // the results are there all the same
		r.progress.Trouble = fmt.Sprintf("the job's log is not kept: %v", logErr)
		r.tell()
	}
	return err
}
