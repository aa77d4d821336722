package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/local"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxJobInputs is how many objects a job reads at most: each is looked at before it begins.
const maxJobInputs = 20_000

// runOnNodes runs the job where its inputs lie.
func (c *jobCommand) runOnNodes(ctx context.Context, inputs []string) error {
	s, err := c.spec()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "stratos-run-")
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "a folder for rows: %w", err)
	}
	defer os.RemoveAll(work) // what does not vanish is scratch
	return c.withClient(ctx, func(cl *client.Client) error {
		t := &jobTables{env: c.env, client: cl, folder: work, format: c.rows}
		load, err := t.open(ctx, c.into)
		if err != nil {
			return err
		}
		for _, text := range inputs {
			if isTable(text) {
				path, err := t.file(ctx, text, c.rows)
				if err != nil {
					return err
				}
				in, err := local.Open(path)
				if err != nil {
					return err
				}
				s.Inputs = append(s.Inputs, job.Input{Content: in.Source})
				continue
			}
			p, err := mesh.ParsePath(text)
			if err != nil {
				return &usageError{err}
			}
			objects, err := jobInputs(ctx, cl, p)
			if err != nil {
				return err
			}
			for _, o := range objects {
				s.Inputs = append(s.Inputs, job.Input{Object: o})
			}
			if len(s.Inputs) > maxJobInputs {
				return mesh.Errorf(mesh.Exhausted, "the job reads more than %d objects", maxJobInputs)
			}
		}
		if s.Files, err = c.jobFiles(ctx, cl, t); err != nil {
			return err
		}
		if err := c.free(ctx, cl, s.Output); err != nil {
			return err
		}
		p := newJobProgress(c.env)
		s.Progress = p.tell
		if c.logs {
			s.Log = p.log
		}
		o, err := job.Run(ctx, cl, cl, s)
		if p.close(); err != nil {
			return err
		}
		for i, path := range o.Objects {
			if load == nil {
				break
			}
			r, _, err := cl.Get(ctx, path, 0, math.MaxUint64)
			if err != nil {
				return err
			}
			err = load.result(ctx, c.env, i, r)
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
		}
		return c.tellJob(o, s.Output, t, load)
	})
}

// spec is what the flags say of a job on nodes.
func (c *jobCommand) spec() (s job.Spec, err error) {
	j, err := c.job()
	if err != nil {
		return s, err
	}
	bad := func(format string, a ...any) (job.Spec, error) {
		return s, &usageError{mesh.Errorf(mesh.Invalid, format, a...)}
	}
	s = job.Spec{Parts: j.Parts, Rules: compute.Rules(), Nanos: j.Nanos, Whole: j.Whole, Timeout: c.timeout}
	if s.Budget, err = parseBudget(c.budget); err != nil {
		return s, &usageError{err}
	}
	if s.Level, err = job.ParseLevel(c.level); err != nil {
		return s, &usageError{err}
	}
	if s.Output, err = mesh.ParsePath(c.output); err != nil || !mesh.IsPath(c.output) {
		return bad("results of a job on the network go there, too: --output stratos://BUCKET/FOLDER")
	}
	if s.Output.Key != "" && !strings.HasSuffix(s.Output.Key, "/") {
		s.Output.Key += "/"
	}
	if s.Map, err = jobProgram(j.Map, j.MapProgram); err != nil {
		return s, err
	}
	if j.Reduce != nil {
		reduce, err := jobProgram(j.Reduce, j.ReduceProgram)
		if err != nil {
			return s, err
		}
		s.Reduce = &reduce
	}
	return s, nil
}

// jobProgram is a program as a job on nodes takes it.
func jobProgram(stage *wirepb.Stage, p local.Program) (job.Program, error) {
	r, err := p.Open()
	if err != nil {
		return job.Program{}, mesh.Errorf(mesh.NotFound, "the module: %w", err)
	}
	module, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return job.Program{}, mesh.Errorf(mesh.Invalid, "the module: %w", err)
	}
	j := job.Program{Stage: stage, Module: module}
	for _, f := range p.Files {
		j.Files = append(j.Files, job.File{Name: f.Name, Input: job.Input{Content: f.Source}})
	}
	return j, nil
}

// jobFiles are the files that --file names: objects, or files of this machine, which the job stores.
func (c *jobCommand) jobFiles(ctx context.Context, cl *client.Client, t *jobTables) (all []job.File, err error) {
	for _, f := range c.files {
		name, text, err := c.fileFlag(f)
		if err != nil {
			return nil, err
		}
		var in job.Input
		if mesh.IsPath(text) {
			p, err := mesh.ParsePath(text)
			if err != nil {
				return nil, &usageError{err}
			}
			in.Object, err = cl.Stat(ctx, p)
			if err != nil {
				return nil, err
			}
		} else {
			if isTable(text) {
				if text, err = t.file(ctx, text, formatOf(name)); err != nil {
					return nil, err
				}
			}
			here, err := local.Open(text)
			if err != nil {
				return nil, fmt.Errorf("--file %s: %w", name, err)
			}
			in.Content = here.Source
		}
		all = append(all, job.File{Name: name, Input: in})
	}
	return all, nil
}

// jobInputs are the objects that a path names: one, or all that begin with it when it ends in a slash, or names no key.
func jobInputs(ctx context.Context, cl *client.Client, p mesh.Path) (all []*client.Object, err error) {
	if p.Key != "" && !strings.HasSuffix(p.Key, "/") {
		o, err := cl.Stat(ctx, p)
		return []*client.Object{o}, err
	}
	var names []mesh.Path
	err = cl.List(ctx, p, "", func(l client.Listed) error {
		if !l.Folder && len(names) <= maxJobInputs && !job.IsLog(l.Key) {
			names = append(names, mesh.Path{Bucket: p.Bucket, Key: l.Key})
		}
		return nil
	})
	for _, n := range names {
		o, err := cl.Stat(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if err == nil && len(all) == 0 {
		err = mesh.Errorf(mesh.NotFound, "there is nothing under %s", p)
	}
	return all, err
}

// free refuses a place for results where something lies.
func (c *jobCommand) free(ctx context.Context, cl *client.Client, p mesh.Path) error {
	some := errors.New("there is something")
	err := cl.List(ctx, p, "", func(l client.Listed) error {
		if job.IsLog(l.Key) {
			return nil
		}
		return some
	})
	if errors.Is(err, some) {
		err = mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is something under %s", p), "name a new folder for the results")
	}
	return err
}

// tellJob says what the job gave.
func (c *jobCommand) tellJob(o *job.Outcome, to mesh.Path, t *jobTables, load *tableLoad) error {
	paths := make([]string, len(o.Objects))
	for i, p := range o.Objects {
		paths[i] = p.String()
	}
	v := struct {
		Job     mesh.JobID `json:"job"`
		Maps    int        `json:"maps"`
		Reduces int        `json:"reduces"`
		Nodes   int        `json:"nodes"`
		Fuel    uint64     `json:"fuel"`
		Bytes   uint64     `json:"bytes"`
		Cost    mesh.Noz   `json:"cost_noz"`
		Read    mesh.Noz   `json:"read_bytes"`
		Near    mesh.Noz   `json:"read_near_bytes"`
		Results string     `json:"results"` // digest
		Objects []string   `json:"objects"`
		tablesView
	}{o.Job, o.Maps, o.Reduces, o.Nodes, o.Fuel, o.Bytes, o.Cost, o.Read, o.ReadNear, fmt.Sprintf("%x", o.Digest), paths, t.view(load)}
	return c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s and %s on %s gave %s\n", count(uint64(o.Maps), "map"), count(uint64(o.Reduces), "reduce"), count(uint64(o.Nodes), "node"), bytesText(o.Bytes))
		fmt.Fprintf(w, "fuel    %d\ncost    %s\nread    %s, %s of it on the nodes that hold it\nresults %x\nin      %s\n", o.Fuel, o.Cost, bytesText(uint64(o.Read)), percent(uint64(o.ReadNear), uint64(o.Read)), o.Digest, to)
		t.tell(w, load)
	})
}

func percent(part, all uint64) string {
	if all == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", 100*part/all)
}

// A jobProgress shows how far a job on nodes is.
type jobProgress struct {
	*taskProgress
	job job.Progress
}

func newJobProgress(e *env) *jobProgress {
	p := &jobProgress{taskProgress: new(taskProgress)}
	p.progressLine = newProgressLine(e, p.text)
	return p
}

func (p *jobProgress) tell(now job.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Trouble != p.job.Trouble && !p.env.json {
		p.clear()
		fmt.Fprintln(p.env.stderr, visible(now.Trouble))
	}
	p.job = now
}

func (p *jobProgress) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.job
	return fmt.Sprintf("%s: %d of %s verified on %s, %d given to others, fuel %d, cost %s", n.Stage, n.Done, count(uint32(n.Tasks), "task"), count(uint32(n.Nodes), "node"), n.Reissued, n.Fuel, n.Cost)
}

func (p *jobProgress) log(l job.LogLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.env.stderr, "%s\n", logText(l))
}

// defaultJobTime is how long a job may take.
const defaultJobTime = time.Hour
