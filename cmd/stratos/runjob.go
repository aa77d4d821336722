package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
)

// maxJobInputs is how many objects a job reads at most: each is looked at before it begins.
const maxJobInputs = 20_000

// runOnNodes runs the job where its inputs lie.
func (c *jobCommand) runOnNodes(ctx context.Context, inputs []string) error {
	s, err := c.spec()
	if err != nil {
		return err
	}
	return c.withClient(ctx, func(cl *client.Client) error {
		for _, text := range inputs {
			p, err := mesh.ParsePath(text)
			if err != nil {
				return &usageError{err}
			}
			objects, err := jobInputs(ctx, cl, p)
			if err != nil {
				return err
			}
			if s.Inputs = append(s.Inputs, objects...); len(s.Inputs) > maxJobInputs {
				return mesh.Errorf(mesh.Exhausted, "the job reads more than %d objects", maxJobInputs)
			}
		}
		for i, f := range s.Files {
			o, err := cl.Stat(ctx, f.Object.Path)
			if err != nil {
				return err
			}
			s.Files[i].Object = o
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
		return c.tellJob(o, s.Output)
	})
}

// spec is what the flags say of a job on nodes.
func (c *jobCommand) spec() (s job.Spec, err error) {
	j, err := c.job(false)
	if err != nil {
		return s, err
	}
	bad := func(format string, a ...any) (job.Spec, error) {
		return s, &usageError{mesh.Errorf(mesh.Invalid, format, a...)}
	}
	if len(j.MapProgram.Files)+len(j.ReduceProgram.Files) > 0 {
		return s, &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "a script runs over files on this machine, and the inputs are on the network"), "copy them here first (stratos cp), or make the program a WebAssembly module")}
	}
	s = job.Spec{Map: job.Program{Stage: j.Map}, Parts: j.Parts, Rules: compute.Rules(), Nanos: j.Nanos, Whole: j.Whole, Timeout: c.timeout}
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
	if s.Map.Module, err = os.ReadFile(c.mapPath); err != nil {
		return s, mesh.Errorf(mesh.NotFound, "the module: %w", err)
	}
	if j.Reduce != nil {
		s.Reduce = &job.Program{Stage: j.Reduce}
		if s.Reduce.Module, err = os.ReadFile(c.reducePath); err != nil {
			return s, mesh.Errorf(mesh.NotFound, "the module: %w", err)
		}
	}
	for _, f := range c.files {
		name, text, err := c.fileFlag(f)
		if err != nil {
			return s, err
		}
		p, err := mesh.ParsePath(text)
		if err != nil || !mesh.IsPath(text) {
			return bad("--file %s: files of a job on the network lie there, too: NAME=stratos://BUCKET/KEY", f)
		}
		s.Files = append(s.Files, job.File{Name: name, Object: &client.Object{Path: p}})
	}
	return s, nil
}

// jobInputs are the objects that a path names: one, or all that begin with it when it ends in a slash, or names no key.
func jobInputs(ctx context.Context, cl *client.Client, p mesh.Path) (all []*client.Object, err error) {
	if p.Key != "" && !strings.HasSuffix(p.Key, "/") {
		o, err := cl.Stat(ctx, p)
		return []*client.Object{o}, err
	}
	var names []mesh.Path
	err = cl.List(ctx, p, "", func(l client.Listed) error {
		if !l.Folder && len(names) <= maxJobInputs {
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
	page, err := cl.ListPage(ctx, client.ListQuery{Bucket: p.Bucket, Prefix: p.Key, Limit: 1})
	if err == nil && len(page.Names) > 0 {
		err = mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is something under %s", p), "name a new folder for the results")
	}
	return err
}

// tellJob says what the job gave.
func (c *jobCommand) tellJob(o *job.Outcome, to mesh.Path) error {
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
	}{o.Job, o.Maps, o.Reduces, o.Nodes, o.Fuel, o.Bytes, o.Cost, o.Read, o.ReadNear, fmt.Sprintf("%x", o.Digest), paths}
	return c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s and %s on %s gave %s\n", count(uint64(o.Maps), "map"), count(uint64(o.Reduces), "reduce"), count(uint64(o.Nodes), "node"), bytesText(o.Bytes))
		fmt.Fprintf(w, "fuel    %d\ncost    %s\nread    %s, %s of it on the nodes that hold it\nresults %x\nin      %s\n", o.Fuel, o.Cost, bytesText(uint64(o.Read)), percent(uint64(o.ReadNear), uint64(o.Read)), o.Digest, to)
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

func (p *jobProgress) log(stage string, number uint32, node mesh.NodeID, text []byte) {
	l := p.taskProgress.log(stage, number)
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text, '\n')
	}
	_, _ = l.Write(text) // it never fails
}

// defaultJobTime is how long a job may take.
const defaultJobTime = time.Hour
