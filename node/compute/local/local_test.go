package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	node "github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/local"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var command []string // a worker; see the tests of package worker

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "worker")
	if err == nil {
		command = []string{filepath.Join(dir, "worker")}
		var out []byte
		if out, err = exec.Command("go", "build", "-o", command[0], "../worker/testdata/worker").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(os.RemoveAll(dir), goleak.Find()); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func newPool(t *testing.T) *node.Pool {
	t.Helper()
	p, err := node.New(node.Options{Home: t.TempDir(), Command: command}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// load reads a program.
func load(t *testing.T, path string) local.Program {
	t.Helper()
	p, err := local.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func stage(t *testing.T, path string, args ...string) *wirepb.Stage {
	t.Helper()
	module := load(t, path).Module
	return &wirepb.Stage{Module: module[:], Pages: 256, Fuel: 1 << 36, OutputBytes: 64 << 20, Args: append([]string{"task"}, args...)}
}

const (
	words   = "testdata/words.wasm"
	sum     = "testdata/sum.wasm"
	program = "../worker/testdata/program.wasm"
)

// input is a file as an input.
func input(t *testing.T, path string) local.Input {
	t.Helper()
	in, err := local.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// text writes a file of random words, and counts them.
func text(t *testing.T, path string, size int, counts map[string]int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(size), 7))
	var b strings.Builder
	for b.Len() < size {
		w := fmt.Sprintf("word%d", int(rng.ExpFloat64()*100))
		counts[w]++
		b.WriteString(w + []string{" ", ", ", "\n"}[rng.IntN(3)])
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWordCount gives what a plain Go program gives, and the same digest and fuel with one worker and with more.
func TestWordCount(t *testing.T) {
	p := newPool(t)
	dir, counts := t.TempDir(), map[string]int{}
	var inputs []local.Input
	for i, size := range []int{9 << 20, 100, 3000, 0} { // two cuts, and small ones that share a task
		path := filepath.Join(dir, fmt.Sprint(i))
		text(t, path, size, counts)
		inputs = append(inputs, input(t, path))
	}
	var first *local.Outcome
	for _, parallel := range []int{1, 3} {
		stages := []string{}
		out := t.TempDir()
		o, err := local.Run(t.Context(), p, local.Job{
			Map: stage(t, words), Reduce: stage(t, sum), MapProgram: load(t, words), ReduceProgram: load(t, sum), Parts: 3, Inputs: inputs, Scratch: t.TempDir(), Outputs: out, Parallel: parallel,
			Progress: func(p local.Progress) { stages = append(stages, fmt.Sprintf("%s %d of %d", p.Stage, p.Done, p.Tasks)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range o.Files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(b), "\n")
			if lines = lines[:len(lines)-1]; !slices.IsSorted(lines) || len(lines) == 0 {
				t.Fatalf("%s has %d lines, which are not sorted", f, len(lines))
			}
			got = append(got, lines...)
		}
		var want []string
		for w, n := range counts {
			want = append(want, fmt.Sprintf("%s\t%d\n", w, n))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%d words, want %d", len(got), len(want))
		}
		if parallel == 1 {
			first = o
			if want := []string{"map 0 of 4", "map 1 of 4", "map 2 of 4", "map 3 of 4", "map 4 of 4", "reduce 0 of 3", "reduce 1 of 3", "reduce 2 of 3", "reduce 3 of 3"}; !slices.Equal(stages, want) {
				t.Fatalf("progress: %q, want %q", stages, want)
			}
		} else if o.Digest != first.Digest || o.Fuel != first.Fuel || o.Bytes != first.Bytes {
			t.Fatalf("with %d workers %+v, with one %+v", parallel, o, first)
		}
	}
}

// TestMapOnly, with a file beside the input.
func TestMapOnly(t *testing.T) {
	p := newPool(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte("no newline"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		whole bool
		want  string
	}{
		{[]string{"cat"}, false, "no newline\n"},
		{[]string{"cat"}, true, "no newline"},
		{[]string{"file", "/in/side"}, true, "no newline"},
		{[]string{"env", "STRATOS_TASK", "HOME"}, false, "STRATOS_TASK=0\nHOME=(none)\ntime 5\n"},
	} {
		m := stage(t, program, c.args...)
		o, err := local.Run(t.Context(), p, local.Job{Map: m, MapProgram: load(t, program), Files: []local.File{{Name: "in/side", Input: input(t, in)}}, Inputs: []local.Input{input(t, in)}, Whole: c.whole, Nanos: 5e9,
			Scratch: t.TempDir(), Outputs: t.TempDir(), Parallel: 2})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(o.Files[0]); err != nil || string(b) != c.want {
			t.Errorf("%q gave %q, %v; want %q", c.args, b, err, c.want)
		}
	}
}

func TestNoFile(t *testing.T) {
	if _, err := local.Open("/nowhere"); mesh.KindOf(err) != mesh.NotFound {
		t.Fatalf("a file that is not there: %v", err)
	}
	if _, err := local.Open(t.TempDir()); mesh.KindOf(err) != mesh.Invalid {
		t.Fatalf("a folder: %v", err)
	}
}

func TestFailures(t *testing.T) {
	p := newPool(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, bytes.Repeat([]byte("x"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*local.Job)
		kind mesh.Kind
		say  string
	}{
		{"exit", func(j *local.Job) { j.Map.Args[1] = "what" }, mesh.Invalid, "nothing is called what"},
		{"fuel", func(j *local.Job) { j.Map.Args[1], j.Map.Fuel = "spin", 1<<30 }, mesh.Exhausted, "out of fuel"},
		{"output", func(j *local.Job) { j.Map.Args[1] = "output" }, mesh.Exhausted, "out of output"},
		{"long lines of the input", func(j *local.Job) { j.Whole = false }, mesh.Invalid, "longer than"},
		{"long lines of the map", func(j *local.Job) { j.Reduce, j.Parts = proto.CloneOf(j.Map), 1 }, mesh.Invalid, "cannot be sorted"},
		{"fuel to sort", func(j *local.Job) { j.Reduce, j.Parts, j.Map.Fuel = proto.CloneOf(j.Map), 1, 100<<20 }, mesh.Exhausted, "out of fuel"},
		{"too little memory", func(j *local.Job) { j.Map.Pages = 1 }, mesh.Exhausted, "at most 1"},
		{"another module", func(j *local.Job) { j.Map.Module = make([]byte, 32) }, mesh.Corrupt, "the module is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outputs := t.TempDir()
			j := local.Job{Map: stage(t, program, "cat"), MapProgram: load(t, program), ReduceProgram: load(t, program), Inputs: []local.Input{input(t, in)}, Whole: true, Scratch: t.TempDir(), Outputs: outputs, Parallel: 2}
			c.edit(&j)
			_, err := local.Run(t.Context(), p, j)
			if mesh.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.say) {
				t.Fatalf("%v (%s), want %s with %q", err, mesh.KindOf(err), c.kind, c.say)
			}
			if left, err := os.ReadDir(outputs); err != nil || len(left) > 0 {
				t.Fatalf("%d files are left, %v", len(left), err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	p := newPool(t)
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := stage(t, program, "log")
	m.Fuel = 1 << 60
	_, err := local.Run(ctx, p, local.Job{Map: m, MapProgram: load(t, program), Inputs: []local.Input{input(t, in)}, Scratch: t.TempDir(), Outputs: t.TempDir(), Parallel: 1,
		Log: func(string, uint32) io.Writer { return writer(func() { cancel() }) }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a job that was cancelled: %v", err)
	}
}

type writer func()

func (w writer) Write(b []byte) (int, error) { w(); return len(b), nil }
