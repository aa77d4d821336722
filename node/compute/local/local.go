// Package local runs a whole job on the author's own machine, by the same workers, rules and digests as nodes do: to try a module before it costs
// anything, and to see what it will cost. It pays nobody and asks no network; cmd/stratos calls it.
package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	node "github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/script"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// CutBytes is where inputs are cut: about as large as pieces of segments are in a small network.
const CutBytes = 4 << 20

// An Input is an object of a job, wherever it lies.
type Input struct {
	compute.Source
	Root compute.Digest // BLAKE3 of its content
}

// A File is what all tasks can read beside their input.
type File struct {
	Name string // below the root
	Input
}

// A Program is what a stage runs.
type Program struct {
	Module node.ModuleID // for the stage's text
	Open   func() (io.ReadCloser, error)
	Files  []File // which the stage's tasks have behind the job's
}

// Load reads a program: a script, which the system module runs, where the name says so; else a WebAssembly binary.
func Load(path string) (Program, error) {
	is, err := script.Is(path)
	if err != nil {
		return Program{}, err
	}
	if is {
		in, err := Open(path)
		return Program{script.Hash(), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(script.Module())), nil }, []File{{script.File, in}}}, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Program{}, mesh.Errorf(mesh.NotFound, "%w", err)
	}
	if err != nil {
		return Program{}, mesh.Errorf(mesh.Invalid, "%w", err)
	}
	return Program{sha256.Sum256(b), func() (io.ReadCloser, error) { return os.Open(path) }, nil}, nil
}

// A Job is what is to be run.
type Job struct {
	Map, Reduce      *wirepb.Stage // without files; no Reduce: what the maps give is the result
	MapProgram       Program
	ReduceProgram    Program
	Files            []File
	Parts            uint32
	Nanos            int64
	Inputs           []Input
	Whole            bool   // each input is one record
	Scratch, Outputs string // folders that are there: for what lies between the stages, and for the results
	Parallel         int
	Progress         func(Progress)                              // is told when something changes, one call at a time; may be nil
	Log              func(stage string, number uint32) io.Writer // for a task's log; may be nil
}

// Progress is how far a job is.
type Progress struct {
	Stage       string // map or reduce
	Done, Tasks int
	Fuel        uint64 // spent so far, in all
}

// An Outcome is what a job gave.
type Outcome struct {
	Digest  compute.Digest
	Files   []string // the results, in order
	Bytes   uint64
	Fuel    uint64
	Maps    int
	Reduces int
}

// Run runs a job to its end. A task that fails ends it, with that task's kind of failure.
func Run(ctx context.Context, p *node.Pool, j Job) (*Outcome, error) {
	r := &run{Job: j, pool: p, sources: map[[32]byte]compute.Source{}}
	plan := compute.Job{Rules: node.Rules(), Map: j.with(j.Map, j.MapProgram), Reduce: j.with(j.Reduce, j.ReduceProgram), Parts: j.Parts, Nanos: j.Nanos}
	inputs := make([]compute.Input, len(j.Inputs))
	for i, f := range j.Inputs {
		r.sources[f.Root] = f.Source
		inputs[i] = compute.Input{Root: f.Root, Size: f.Size(), Whole: j.Whole}
		for at := uint64(CutBytes); at < f.Size() && !j.Whole; at += CutBytes {
			inputs[i].Cuts = append(inputs[i].Cuts, at)
		}
	}
	maps, err := plan.Maps(inputs)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Maps: len(maps)}
	results, files, err := r.stage(ctx, "map", maps, j.MapProgram)
	if err != nil {
		return nil, err
	}
	o.Fuel, _ = compute.Total(results)
	if j.Reduce != nil {
		reduces, err := plan.Reduces(compute.Outputs(results))
		if err != nil {
			return nil, err
		}
		for i, f := range files {
			r.sources[[32]byte(results[i].Output)] = disk{f, results[i].OutputBytes}
		}
		o.Reduces = len(reduces)
		if results, files, err = r.stage(ctx, "reduce", reduces, j.ReduceProgram); err != nil {
			return nil, err
		}
		fuel, _ := compute.Total(results)
		o.Fuel += fuel
	}
	_, o.Bytes = compute.Total(results)
	o.Digest, o.Files = compute.Outcome(results), files
	return o, nil
}

// with is a stage with the job's files and its program's.
func (j *Job) with(s *wirepb.Stage, p Program) *wirepb.Stage {
	if s == nil {
		return nil
	}
	s = proto.CloneOf(s)
	for _, f := range slices.Concat(j.Files, p.Files) {
		s.Files = append(s.Files, &wirepb.ComputeFile{Name: f.Name, Size: f.Size(), Root: f.Root[:]})
	}
	return s
}

// A run is a job on its way.
type run struct {
	Job
	pool    *node.Pool
	sources map[[32]byte]compute.Source // of inputs and spills, by root

	mu   sync.Mutex
	fuel uint64
}

// Open reads a file for its root, and gives it as an input.
func Open(path string) (Input, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Input{}, mesh.Errorf(mesh.NotFound, "%w", err)
	}
	if err != nil {
		return Input{}, mesh.Errorf(mesh.Invalid, "%w", err)
	}
	h := blake3.New(32, nil)
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return Input{}, mesh.Errorf(mesh.Invalid, "reading %s: %w", path, err)
	}
	return Input{disk{path, uint64(n)}, compute.Digest(h.Sum(nil))}, nil
}

// stage runs its tasks, and gives their results and where their outputs lie, in order.
func (r *run) stage(ctx context.Context, name string, tasks []*wirepb.TaskText, program Program) ([]*wirepb.TaskResult, []string, error) {
	results, files := make([]*wirepb.TaskResult, len(tasks)), make([]string, len(tasks))
	folder, pattern := r.Scratch, name+"-%05d"
	if name == "reduce" || r.Reduce == nil {
		folder, pattern = r.Outputs, "part-%05d"
	}
	own := lifecycle.New(ctx)
	next, done := make(chan int), atomic.Int64{}
	r.report(Progress{Stage: name, Tasks: len(tasks)}, 0)
	for range min(r.Parallel, len(tasks)) {
		_ = own.Go(func(ctx context.Context) error {
			for i := range next {
				files[i] = filepath.Join(folder, fmt.Sprintf(pattern, i))
				res, err := r.task(ctx, name, tasks[i], program, files[i])
				if err != nil {
					return err
				}
				results[i] = res
				r.report(Progress{Stage: name, Done: int(done.Add(1)), Tasks: len(tasks)}, res.Fuel)
			}
			return nil
		})
	}
	_ = own.Go(func(ctx context.Context) error {
		defer close(next)
		for i := range tasks {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	err := own.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return results, files, err
}

// report says how far the job is, after a task that took so much fuel.
func (r *run) report(p Progress, fuel uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fuel += fuel
	if p.Fuel = r.fuel; r.Progress != nil {
		r.Progress(p)
	}
}

// task runs one task; its output becomes a file.
func (r *run) task(ctx context.Context, stage string, t *wirepb.TaskText, program Program, path string) (_ *wirepb.TaskResult, err error) {
	out, err := os.Create(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "%w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	var end bytes.Buffer // of the log, for the error
	log := io.Writer(&last{&end})
	if r.Log != nil {
		log = io.MultiWriter(log, r.Log(stage, t.Number))
	}
	res, err := r.pool.Execute(ctx, "", t, sources{r, t, program}, out, log)
	if err != nil {
		return nil, fmt.Errorf("%s %d: %w", stage, t.Number, err)
	}
	if err := compute.Failed(res); err != nil {
		said := ""
		if end.Len() > 0 {
			said = "; it wrote last:\n" + strings.TrimRight(end.String(), "\n")
		}
		return nil, mesh.WithHint(mesh.Errorf(mesh.KindOf(err), "%s %d failed: %w%s", stage, t.Number, err, said), "%s", mesh.HintOf(err))
	}
	return res, nil
}

// A last keeps the end of what is written.
type last struct{ b *bytes.Buffer }

const lastBytes = 2 << 10

func (l *last) Write(b []byte) (int, error) {
	l.b.Write(b)
	l.b.Next(max(0, l.b.Len()-lastBytes))
	return len(b), nil
}

// sources are the files of a task.
type sources struct {
	run     *run
	task    *wirepb.TaskText
	program Program
}

func (s sources) Module(context.Context) (io.ReadCloser, error) { return s.program.Open() }

func (s sources) Input(_ context.Context, n int) (compute.Source, error) {
	return s.run.sources[[32]byte(s.task.Inputs[n].Root)], nil
}

func (s sources) File(_ context.Context, n int) (io.ReaderAt, error) {
	return compute.ReaderAt{Source: slices.Concat(s.run.Files, s.program.Files)[n].Source}, nil
}

// A disk is a file as a source.
type disk struct {
	path string
	size uint64
}

func (d disk) Size() uint64 { return d.size }

func (d disk) Open(offset, length uint64) (io.ReadCloser, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	return &section{io.NewSectionReader(f, int64(offset), int64(length)), f}, nil
}

type section struct {
	*io.SectionReader
	f *os.File
}

func (s *section) Close() error { return s.f.Close() }
