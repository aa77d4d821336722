package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
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
}

// A File is an object that all tasks can read beside their input.
type File struct {
	Name   string // below the root
	Object *client.Object
}

// A Spec is what is to be run.
type Spec struct {
	Map     Program
	Reduce  *Program // nil: what the maps give is the result
	Parts   uint32
	Rules   compute.Digest // by which tasks run; nodes with others refuse them
	Nanos   int64          // Unix time at which the tasks' clocks begin
	Inputs  []*client.Object
	Whole   bool // each input is one record
	Files   []File
	Output  mesh.Path // the prefix of the results
	Level   Level
	Budget  mesh.Noz // that the tasks may cost; what they read and write is paid as traffic besides
	Timeout time.Duration
	// Progress is told when something changes, one call at a time; may be nil.
	Progress func(Progress)
	// Log is told the end of what a task wrote to its standard error; may be nil.
	Log func(stage string, number uint32, node mesh.NodeID, text []byte)
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
func Run(ctx context.Context, c *client.Client, log Log, s Spec) (_ *Outcome, err error) {
	r := newRun(c, log, s)
	if err := r.check(); err != nil {
		return nil, err
	}
	files, err := r.files(ctx)
	if err != nil {
		return nil, err
	}
	plan := compute.Job{Rules: s.Rules, Map: with(s.Map.Stage, files), Parts: s.Parts, Nanos: s.Nanos}
	if s.Reduce != nil {
		plan.Reduce = with(s.Reduce.Stage, files)
	}
	inputs, err := r.cut(ctx)
	if err != nil {
		return nil, err
	}
	maps, err := plan.Maps(inputs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.tidy(context.WithoutCancel(ctx))) }()
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	tasks := make([]*task, len(maps))
	for i, t := range maps {
		tasks[i] = r.mapTask(t)
	}
	o := &Outcome{Job: r.id, Maps: len(maps)}
	if err := r.stage(ctx, "map", r.mapModule, tasks); err != nil {
		return nil, err
	}
	if s.Reduce != nil {
		spills := tasks
		var inputs []*wirepb.ComputeInput
		for _, m := range spills {
			inputs = append(inputs, m.spill)
		}
		reduces, err := plan.Reduces(inputs)
		if err != nil {
			return nil, err
		}
		tasks = make([]*task, len(reduces))
		for i, t := range reduces {
			tasks[i] = &task{text: t, prefix: r.folder()}
			for _, m := range spills {
				tasks[i].inputs = append(tasks[i].inputs, m.output)
			}
		}
		o.Reduces = len(tasks)
		if err := r.stage(ctx, "reduce", r.reduceModule, tasks); err != nil {
			return nil, err
		}
	}
	if o.Objects, err = r.deliver(ctx, tasks); err != nil {
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

// files names the files that all tasks can read.
func (r *run) files(ctx context.Context) (all []*wirepb.ComputeFile, err error) {
	for _, f := range r.Files {
		id, err := r.client.Identity(ctx, f.Object)
		if err != nil {
			return nil, err
		}
		all = append(all, &wirepb.ComputeFile{Name: f.Name, Size: f.Object.Size, Root: id[:]})
	}
	return all, nil
}

func with(s *wirepb.Stage, files []*wirepb.ComputeFile) *wirepb.Stage {
	s = proto.CloneOf(s)
	s.Files = append(s.Files, files...)
	return s
}

// cut cuts the inputs where the nodes change that hold them.
func (r *run) cut(ctx context.Context) ([]compute.Input, error) {
	inputs := make([]compute.Input, len(r.Inputs))
	for i, o := range r.Inputs {
		stretches, err := r.client.Stretches(ctx, o)
		if err != nil {
			return nil, err
		}
		id, err := r.client.Identity(ctx, o)
		if err != nil {
			return nil, err
		}
		inputs[i] = compute.Input{Root: id, Size: o.Size, Whole: r.Whole}
		for n, x := range stretches {
			if n > 0 && !r.Whole && o.Size > compute.Small {
				inputs[i].Cuts = append(inputs[i].Cuts, x.From)
			}
		}
		r.stretches[inputs[i].Root] = stretches
		r.objects[inputs[i].Root] = o
	}
	return inputs, nil
}

// mapTask is a task of the map with what it reads, and which nodes hold that.
func (r *run) mapTask(text *wirepb.TaskText) *task {
	t := &task{text: text}
	held := map[mesh.NodeID]uint64{}
	for i, in := range text.Inputs {
		root := compute.Digest(in.Root)
		o := r.objects[root]
		name := o.Path.Bucket + "/" + o.Path.Key
		if i == 0 {
			t.prefix = name
		}
		for !strings.HasPrefix(name, t.prefix) {
			t.prefix = t.prefix[:len(t.prefix)-1]
		}
		t.inputs = append(t.inputs, &wirepb.StoredObject{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:]})
		for _, x := range r.stretches[root] {
			if from, to := max(x.From, in.From), min(x.To, in.To); from < to && x.Node != (mesh.NodeID{}) {
				held[x.Node] += to - from
			}
		}
	}
	t.near = mostOf(held)
	return t
}

// begin puts the modules where workers find them, and opens the job.
func (r *run) begin(ctx context.Context) (err error) {
	if r.mapModule, err = r.put(ctx, "map.wasm", r.Map.Module); err != nil {
		return err
	}
	if r.Reduce != nil {
		if r.reduceModule, err = r.put(ctx, "reduce.wasm", r.Reduce.Module); err != nil {
			return err
		}
	}
	return r.open(ctx)
}

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

func (r *run) put(ctx context.Context, name string, b []byte) (*wirepb.StoredObject, error) {
	o, err := r.client.Put(ctx, r.object(name), strings.NewReader(string(b)), client.PutOptions{})
	if err != nil {
		return nil, err
	}
	return storedOf(o), nil
}

func storedOf(o *client.Object) *wirepb.StoredObject {
	return &wirepb.StoredObject{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:]}
}

// deliver gives the results their names.
func (r *run) deliver(ctx context.Context, tasks []*task) (all []mesh.Path, err error) {
	for i, t := range tasks {
		from := mesh.Path{Bucket: t.output.Bucket, Key: t.output.Key}
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
	return err
}
