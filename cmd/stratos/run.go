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

	"github.com/stratosmesh/stratos/client"
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
	rows                        string
	into                        intoTable
	parallel                    int
	timeout                     time.Duration
}

// defaultTime is where the clocks of tasks begin, so that the same job gives the same on any day.
const defaultTime = "2000-01-01T00:00:00Z"

func newRunCommand(e *env) *cobra.Command {
	c := jobCommand{env: e}
	cmd := &cobra.Command{
		Use:   "run --map PROGRAM INPUT...",
		Short: "Run a WebAssembly program or a script over files here, or over objects on the nodes that hold them",
		Long: `Runs a job: over files on this machine, over objects (stratos://...) on the nodes that hold them, metered, confined, and with the same results
wherever it runs. A program is a WebAssembly module of WASI preview 1, in whatever language (clang --target=wasm32-wasi, or GOOS=wasip1 GOARCH=wasm
go build), or a script in JavaScript, whose name ends in .js.

The map reads lines of the input on its standard input; the files are cut into tasks of about 4 MiB, each line going to one. With --reduce
it writes lines KEY TAB VALUE. The reduce reads those of its part of all keys, sorted by key, equal keys in the order of the input, and writes a
result. Without, what the maps write is the result, in order. What a program writes to standard error is its log.

A program has its arguments, its input and --file, a clock that goes by what it spends, random numbers that are the same each time, and
an empty /tmp. It has no network, and nothing else of the machine.

An input may be a table, db://DATABASE/TABLE, or what a query gives, 'db://DATABASE?query=SELECT ...': all that stands behind "query=" is SQL. So may be
a --file, which joins the input with a table: NAME.csv is CSV with a line of names, NAME.json and NAME.jsonl are objects, any other NAME is text.
Text is what PostgreSQL's COPY writes: a row a line, fields parted by tabs, \N for NULL, a backslash before a tab, newline or backslash in a field.
All of a table is read at one height of its database, which is told with the results; the rows are stored for the job, so that every task reads the
same, and the job gives the same as long as the rows are the same.

With --into the results are loaded into a table, besides being written to --output: each line as a row, in the place of the one that has its primary
key. So the same job can be run and loaded again, and leaves the same rows. Rows that the results lack stay.

A script has lines(), which gives the lines of the input in a for loop, readLine() (null at the end), readAll(), readFile(PATH), print(...),
write(TEXT), console, args, env and exit(CODE). It has no ES modules and no packages: bundle them to one script.

On the network the meta layer draws the nodes, whoever holds an input first. A node can read what its task reads: its grant is made out to it, for the
objects of that task, as long as the job may take. Results count when they are verified: at level receipt the node is believed; at spot some tasks
are run once more by others; at pair two run each, at quorum three. What a node was proven to have lied about costs it its deposit. The budget is
set aside until the job ends; reading and writing is paid as traffic besides.`,
		Example: `  stratos run --map words.wasm --reduce sum.wasm *.txt -o counts
  stratos run --map words.js --reduce sum.js *.txt
  stratos run --map words.wasm --reduce sum.wasm --parts 4 stratos://texts/2026/ -o stratos://texts/counts/
  stratos run --map words.js --reduce sum.js stratos://texts/2026/ -o stratos://texts/counts/
  stratos run --map join.wasm --file in/customers.csv=customers.csv sales.csv > joined.csv
  stratos run --map join.js --reduce sum.js --file customers.csv=db://shop/customers stratos://sales/2026/ -o stratos://sales/by-country/
  stratos run --map m.js 'db://shop?query=SELECT id, price FROM orders' -o stratos://sales/orders/ --into db://shop/totals`,
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
	f.StringArrayVar(&c.files, "file", nil, "NAME=PATH: a file, or an object, that every task can read as /NAME; may be repeated")
	f.StringVar(&c.rows, "rows", "text", "how the rows of inputs db://... are written: text or jsonl")
	f.StringVar(&c.into.table, "into", "", "db://DATABASE/TABLE: load the results into a table; a row replaces the one with its primary key")
	f.StringSliceVar(&c.into.columns, "into-columns", nil, "columns of the table that the fields of a result go into, in order; default: all of the table")
	f.StringVar(&c.into.format, "into-format", "text", "what the results are: text (KEY TAB VALUE ...) or csv, whose first line names the columns")
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
	if err := c.checkTables(inputs); err != nil {
		return err
	}
	far, here := mesh.IsPath(c.output), false
	for _, path := range inputs {
		far = far || mesh.IsPath(path)
		here = here || !mesh.IsPath(path) && !isTable(path)
	}
	switch {
	case far && here:
		return &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "some of the job lies on the network, and some here"), "bring its inputs and results to one side: stratos cp")}
	case far:
		return c.runOnNodes(ctx, inputs)
	case !c.usesTables(inputs):
		return c.runHere(ctx, nil, inputs)
	}
	return c.withClient(ctx, func(cl *client.Client) error { return c.runHere(ctx, cl, inputs) })
}

// runHere runs the job on this machine; cl is nil when it has nothing to do with databases.
func (c *jobCommand) runHere(ctx context.Context, cl *client.Client, inputs []string) error {
	job, err := c.job()
	if err != nil {
		return err
	}
	work, results, err := c.folders()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) // what does not vanish is scratch
	t := &jobTables{env: c.env, client: cl, folder: work, format: c.rows}
	load, err := t.open(ctx, c.into)
	if err != nil {
		return err
	}
	open := func(path, format string) (in local.Input, err error) {
		if isTable(path) {
			if path, err = t.file(ctx, path, format); err != nil {
				return in, err
			}
		}
		return local.Open(path)
	}
	for _, f := range c.files {
		name, path, err := c.fileFlag(f)
		if err != nil {
			return err
		}
		in, err := open(path, formatOf(name))
		if err != nil {
			return err
		}
		job.Files = append(job.Files, local.File{Name: name, Input: in})
	}
	for _, path := range inputs {
		in, err := open(path, c.rows)
		if err != nil {
			return err
		}
		job.Inputs = append(job.Inputs, in)
	}
	job.Scratch, job.Outputs = work, results
	o, err := c.in(ctx, job)
	if err != nil {
		return err
	}
	for i, path := range o.Files {
		if load == nil {
			break
		}
		f, err := os.Open(path)
		if err != nil {
			return mesh.Errorf(mesh.Internal, "the results: %w", err)
		}
		err = load.result(ctx, c.env, i, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return c.deliver(o, results, t, load)
}

// job is what the flags say, but for files.
func (c *jobCommand) job() (j local.Job, err error) {
	bad := func(format string, a ...any) (local.Job, error) {
		return j, &usageError{mesh.Errorf(mesh.Invalid, format, a...)}
	}
	begin, err := time.Parse(time.RFC3339, c.at)
	switch {
	case c.mapPath == "":
		return bad("--map names no program")
	case c.json && c.output == "" && c.into.table == "":
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
func (c *jobCommand) deliver(o *local.Outcome, results string, t *jobTables, load *tableLoad) error {
	summary := func(w io.Writer) {
		fmt.Fprintf(w, "%s", count(uint64(o.Maps), "map"))
		if o.Reduces > 0 {
			fmt.Fprintf(w, " and %s", count(uint64(o.Reduces), "reduce"))
		}
		fmt.Fprintf(w, " gave %s\nfuel    %d\nresults %x\n", bytesText(o.Bytes), o.Fuel, o.Digest)
		t.tell(w, load)
	}
	if c.output == "" && load == nil {
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
	files := make([]string, len(o.Files))
	if c.output == "" { // they are in a table
		files = nil
	} else if err := os.Rename(results, c.output); err != nil {
		return mesh.Errorf(mesh.Conflict, "the folder for the results: %w", err)
	}
	for i := range files {
		files[i] = filepath.Join(c.output, filepath.Base(o.Files[i]))
	}
	v := struct {
		Maps    int      `json:"maps"`
		Reduces int      `json:"reduces"`
		Fuel    uint64   `json:"fuel"`
		Bytes   uint64   `json:"bytes"`
		Results string   `json:"results"` // digest
		Files   []string `json:"files"`
		tablesView
	}{o.Maps, o.Reduces, o.Fuel, o.Bytes, fmt.Sprintf("%x", o.Digest), files, t.view(load)}
	return c.print(v, func(w io.Writer) {
		summary(w)
		if c.output != "" {
			fmt.Fprintf(w, "in      %s\n", c.output)
		}
	})
}
