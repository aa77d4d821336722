package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/local"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A jobCommand is what stratos run was told.
type jobCommand struct {
	*env
	mapPath, reducePath, output string
	parts, memory               uint32
	fuel, outputBytes           uint64
	args, vars, files           []string
	at, level, budget           string
	whole, logs                 bool
	parallel                    int
	timeout                     time.Duration
}

// defaultTime is where the clocks of tasks begin, so that the same job gives the same on any day.
const defaultTime = "2000-01-01T00:00:00Z"

func newRunCommand(e *env) *cobra.Command {
	c := jobCommand{env: e}
	cmd := &cobra.Command{
		Use:   "run --map PROGRAM INPUT...",
		Short: "Run a WebAssembly program over files here, or over objects on the nodes that hold them; or a script over files here",
		Long: `Runs a job: over files on this machine, over objects (stratos://...) on the nodes that hold them, metered, confined, and with the same results
wherever it runs. A program is a WebAssembly module of WASI preview 1, in whatever language (clang --target=wasm32-wasi, or GOOS=wasip1 GOARCH=wasm
go build), or, over files on this machine, a script in JavaScript, whose name ends in .js.

The map reads lines of the input on its standard input; the files are cut into tasks of about 4 MiB, each line going to one. With --reduce
it writes lines KEY TAB VALUE. The reduce reads those of its part of all keys, sorted by key, equal keys in the order of the input, and writes a
result. Without, what the maps write is the result, in order. What a program writes to standard error is its log.

A program has its arguments, its input and --file, a clock that goes by what it spends, random numbers that are the same each time, and
an empty /tmp. It has no network, and nothing else of the machine.

A script has lines(), which gives the lines of the input in a for loop, readLine() (null at the end), readAll(), readFile(PATH), print(...),
write(TEXT), console, args, env and exit(CODE). It has no ES modules and no packages: bundle them to one script.

On the network the meta layer draws the nodes, whoever holds an input first. A node can read what its task reads: its grant is made out to it, for the
objects of that task, as long as the job may take. Results count when they are verified: at level receipt the node is believed; at spot some tasks
are run once more by others; at pair two run each, at quorum three. What a node was proven to have lied about costs it its deposit. The budget is
set aside until the job ends; reading and writing is paid as traffic besides.`,
		Example: `  stratos run --map words.wasm --reduce sum.wasm *.txt -o counts
  stratos run --map words.js --reduce sum.js *.txt
  stratos run --map words.wasm --reduce sum.wasm --parts 4 stratos://texts/2026/ -o stratos://texts/counts/
  stratos run --map join.wasm --file in/customers.csv=customers.csv sales.csv > joined.csv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&c.mapPath, "map", "", "program that reads the input: a module, or a script that ends in .js")
	f.StringVar(&c.reducePath, "reduce", "", "program that reads what the maps give, sorted by key")
	f.Uint32Var(&c.parts, "parts", 1, "into how many parts the keys are divided, each a reduce and a result")
	f.StringVarP(&c.output, "output", "o", "", "new folder for the results; default: they go to standard output, one after the other")
	f.StringArrayVar(&c.args, "arg", nil, "argument of the programs; may be repeated")
	f.StringArrayVar(&c.vars, "env", nil, "NAME=VALUE in the programs' environment; may be repeated")
	f.StringArrayVar(&c.files, "file", nil, "NAME=PATH: a file that every task can read as /NAME; may be repeated")
	f.BoolVar(&c.whole, "whole", false, "each file is one task, and is read as it is")
	f.Uint32Var(&c.memory, "memory", 128, "MiB of memory of a task, at most 2048")
	f.Uint64Var(&c.fuel, "fuel", 1_000_000_000_000, "that a task may spend; a second of one core is about 30,000,000,000")
	f.Uint64Var(&c.outputBytes, "output-bytes", 64<<20, "that a task may write")
	f.StringVar(&c.at, "time", defaultTime, "at which the programs' clocks begin, as "+defaultTime)
	f.IntVarP(&c.parallel, "jobs", "j", runtime.NumCPU(), "tasks at once")
	f.StringVar(&c.level, "level", "spot", "on the network: how results are verified: receipt, spot, pair or quorum")
	f.StringVar(&c.budget, "budget", "10oz", "on the network: what the tasks may cost; what is not used returns")
	f.DurationVar(&c.timeout, "timeout", defaultJobTime, "on the network: how long the job may take")
	f.BoolVar(&c.logs, "logs", false, "show what the programs write to standard error")
	return cmd
}

func (c *jobCommand) run(ctx context.Context, inputs []string) error {
	far := 0
	for _, path := range inputs {
		if mesh.IsPath(path) {
			far++
		}
	}
	if far == len(inputs) {
		return c.runOnNodes(ctx, inputs)
	}
	if far > 0 {
		return &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "some inputs lie on the network, and some here"), "copy them to one side: stratos cp")}
	}
	job, err := c.job(true)
	if err != nil {
		return err
	}
	for _, path := range inputs {
		in, err := local.Open(path)
		if err != nil {
			return err
		}
		job.Inputs = append(job.Inputs, in)
	}
	work, results, err := c.folders()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) // what does not vanish is scratch
	job.Scratch, job.Outputs = work, results
	o, err := c.in(ctx, job)
	if err != nil {
		return err
	}
	return c.deliver(o, results)
}

// job is what the flags say; files are opened when they lie here.
func (c *jobCommand) job(here bool) (j local.Job, err error) {
	bad := func(format string, a ...any) (local.Job, error) {
		return j, &usageError{mesh.Errorf(mesh.Invalid, format, a...)}
	}
	begin, err := time.Parse(time.RFC3339, c.at)
	switch {
	case c.mapPath == "":
		return bad("--map names no program")
	case c.json && c.output == "":
		return bad("with --json the results need a folder: --output DIR")
	case err != nil || begin.Unix() < 0:
		return bad("--time is %q, not like %s", c.at, defaultTime)
	case c.parts < 1 || c.parts > wirecompute.MaxParts:
		return bad("--parts is %d, not of 1 to %d", c.parts, wirecompute.MaxParts)
	case c.parts > 1 && c.reducePath == "":
		return bad("--parts is for a --reduce")
	case c.memory < 1 || c.memory > wirecompute.MaxPages>>4:
		return bad("--memory is %d MiB, not of 1 to %d", c.memory, wirecompute.MaxPages>>4)
	case c.parallel < 1 || c.parallel > 1024:
		return bad("--jobs is %d, not of 1 to 1024", c.parallel)
	}
	j = local.Job{Parts: c.parts, Nanos: begin.UnixNano(), Whole: c.whole, Parallel: c.parallel}
	if j.Map, j.MapProgram, err = c.stage(c.mapPath); err != nil {
		return j, err
	}
	if c.reducePath != "" {
		if j.Reduce, j.ReduceProgram, err = c.stage(c.reducePath); err != nil {
			return j, err
		}
	}
	for _, f := range c.files {
		if !here {
			break
		}
		name, path, err := c.fileFlag(f)
		if err != nil {
			return j, err
		}
		in, err := local.Open(path)
		if err != nil {
			return j, err
		}
		j.Files = append(j.Files, local.File{Name: name, Input: in})
	}
	return j, nil
}

// fileFlag is a name and where its content lies.
func (c *jobCommand) fileFlag(f string) (name, path string, err error) {
	name, path, ok := strings.Cut(f, "=")
	if name = strings.TrimPrefix(name, "/"); !ok || name == "" || path == "" {
		return "", "", &usageError{mesh.Errorf(mesh.Invalid, "--file is %q, not NAME=PATH", f)}
	}
	return name, path, nil
}

// stage is a program with what the flags give each of its tasks.
func (c *jobCommand) stage(path string) (*wirepb.Stage, local.Program, error) {
	p, err := local.Load(path)
	if err != nil {
		return nil, p, fmt.Errorf("the program: %w", err)
	}
	s := &wirepb.Stage{Module: p.Module[:], Pages: c.memory << 4, Fuel: c.fuel, OutputBytes: c.outputBytes, Env: c.vars,
		Args: append([]string{filepath.Base(path)}, c.args...)}
	if err := wirecompute.CheckStage(s); err != nil {
		return nil, p, &usageError{err}
	}
	return s, p, nil
}

// folders makes one for scratch, and in it one for the results, beside where they go, so that they come there whole or not at all.
func (c *jobCommand) folders() (work, results string, err error) {
	parent := os.TempDir()
	if c.output != "" {
		if there, err := os.ReadDir(c.output); err == nil && len(there) > 0 {
			return "", "", mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s is not empty", c.output), "name a new folder for the results")
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", "", mesh.Errorf(mesh.Invalid, "the folder for the results: %w", err)
		}
		parent = filepath.Dir(filepath.Clean(c.output))
	}
	if work, err = os.MkdirTemp(parent, ".stratos-run-"); err != nil {
		return "", "", mesh.Errorf(mesh.Invalid, "a folder for what the tasks give: %w", err)
	}
	results = filepath.Join(work, "results")
	return work, results, os.Mkdir(results, 0o755)
}

// in runs the job in a pool of its own.
func (c *jobCommand) in(ctx context.Context, job local.Job) (*local.Outcome, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "find the running program: %w", err)
	}
	home := c.cfg.Get(config.Home)
	pool, err := compute.New(compute.Options{Home: filepath.Join(home, "compute"), Command: []string{program, "worker", "--home", home},
		Slots: c.parallel, Memory: max(2<<30, int64(c.parallel)*int64(c.memory)<<20)}, c.logger())
	if err != nil {
		return nil, err
	}
	p := newTaskProgress(c.env)
	job.Progress = p.tell
	if c.logs {
		job.Log = p.log
	}
	own := lifecycle.New(ctx)
	if err := own.Go(pool.Run); err != nil {
		return nil, err
	}
	o, err := local.Run(ctx, pool, job)
	p.close()
	return o, errors.Join(err, own.Close())
}

// deliver puts the results where they belong.
func (c *jobCommand) deliver(o *local.Outcome, results string) error {
	summary := func(w io.Writer) {
		fmt.Fprintf(w, "%s", count(uint64(o.Maps), "map"))
		if o.Reduces > 0 {
			fmt.Fprintf(w, " and %s", count(uint64(o.Reduces), "reduce"))
		}
		fmt.Fprintf(w, " gave %s\nfuel    %d\nresults %x\n", bytesText(o.Bytes), o.Fuel, o.Digest)
	}
	if c.output == "" {
		for _, path := range o.Files {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(c.stdout, f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
		summary(c.stderr)
		return nil
	}
	if err := os.Rename(results, c.output); err != nil {
		return mesh.Errorf(mesh.Conflict, "the folder for the results: %w", err)
	}
	files := make([]string, len(o.Files))
	for i, path := range o.Files {
		files[i] = filepath.Join(c.output, filepath.Base(path))
	}
	v := struct {
		Maps    int      `json:"maps"`
		Reduces int      `json:"reduces"`
		Fuel    uint64   `json:"fuel"`
		Bytes   uint64   `json:"bytes"`
		Results string   `json:"results"` // digest
		Files   []string `json:"files"`
	}{o.Maps, o.Reduces, o.Fuel, o.Bytes, fmt.Sprintf("%x", o.Digest), files}
	return c.print(v, func(w io.Writer) {
		summary(w)
		fmt.Fprintf(w, "in      %s\n", c.output)
	})
}
