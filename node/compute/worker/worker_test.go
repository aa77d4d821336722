package worker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/worker"
)

// command is a worker as a program of its own, without the race detector, whose shadow of the memory no limit would allow.
var command []string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "worker")
	if err == nil {
		command = []string{filepath.Join(dir, "worker")}
		var out []byte
		if out, err = exec.Command("go", "build", "-o", command[0], "./testdata/worker").CombinedOutput(); err != nil {
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

const program = "testdata/program.wasm"

// module describes a file as a module with 16 MiB.
func module(t testing.TB, path string) worker.Module {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return worker.Module{Path: path, Hash: sha256.Sum256(b), Pages: 256, Cache: filepath.Join(os.TempDir(), "stratos-test-compiled")}
}

// start starts a worker with the module.
func start(t testing.TB, m worker.Module) *worker.Process {
	t.Helper()
	p, err := worker.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return p
}

// task is a run of testdata/program.c with these arguments, with plenty of fuel.
func task(out io.Writer, args ...string) worker.Task {
	return worker.Task{Args: append([]string{"program"}, args...), Fuel: 1 << 33, Most: 64 << 20, Output: out}
}

func TestTask(t *testing.T) {
	p := start(t, module(t, program))
	for _, c := range []struct {
		name string
		edit func(*worker.Task)
		args []string
		want string
		end  worker.End
		code uint32
	}{
		{name: "arguments and environment", args: []string{"env", "A", "B"}, edit: func(k *worker.Task) { k.Env, k.Nanos = []string{"A=1", "C=3"}, 1_700_000_000e9 },
			want: "A=1\nB=(none)\ntime 1700000000\n"},
		{name: "exit code", args: []string{"exit", "7"}, code: 7},
		{name: "input", args: []string{"cat"}, edit: func(k *worker.Task) { k.Input = strings.NewReader("one\ntwo") }, want: "one\ntwo"},
		{name: "no input", args: []string{"cat"}},
		{name: "file", args: []string{"file", "/in/a"}, edit: func(k *worker.Task) {
			k.Files = []worker.File{{"other", 3, strings.NewReader("???")}, {"in/a", 5, strings.NewReader("hello")}}
		}, want: "hello"},
		{name: "a file that is not there", args: []string{"file", "/etc/passwd"}, code: 3},
		{name: "trap", args: []string{"trap"}, end: worker.Trapped},
		{name: "endless loop", args: []string{"spin"}, end: worker.OutOfFuel},
		{name: "endless recursion", args: []string{"deep"}, end: worker.OutOfStack},
		{name: "memory", args: []string{"memory"}, want: "15 MiB\n"},
		{name: "flood of the log", args: []string{"log"}, end: worker.OutOfFuel},
		{name: "flood of the output", args: []string{"output"}, end: worker.OutOfOutput},
		{name: "flood of calls", args: []string{"calls"}, end: worker.OutOfFuel},
		{name: "less fuel than an instance costs", args: []string{"exit", "0"}, edit: func(k *worker.Task) { k.Fuel = 5 }, end: worker.OutOfFuel},
		{name: "still well", args: []string{"exit", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var results [2]worker.Result
			for i := range results {
				var out, log bytes.Buffer
				k := task(&out, c.args...)
				k.Log = &log
				if c.edit != nil {
					c.edit(&k)
				}
				r, err := p.Run(t.Context(), k)
				if err != nil {
					t.Fatal(err)
				}
				if r.End != c.end || r.Code != c.code {
					t.Fatalf("%s with code %d (%s), want %s with %d; log: %s", r.End, r.Code, r.Reason, c.end, c.code, log.String())
				}
				if c.end == worker.Exited && out.String() != c.want {
					t.Fatalf("output %q, want %q", out.String(), c.want)
				}
				if c.end == worker.OutOfFuel && r.Fuel != k.Fuel {
					t.Fatalf("%d fuel of %d were spent", r.Fuel, k.Fuel)
				}
				if log.Len() > worker.MaxLog {
					t.Fatalf("%d bytes of log", log.Len())
				}
				r.Reason = ""
				results[i] = r
			}
			if results[0] != results[1] {
				t.Fatalf("twice the same task: %+v, then %+v", results[0], results[1])
			}
		})
	}
}

// TestPortions gives the same input in other portions: nothing of the task may show it.
func TestPortions(t *testing.T) {
	p := start(t, module(t, program))
	input := make([]byte, 3<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range input {
		input[i] = byte(rng.Uint32())
	}
	var first worker.Result
	for i, r := range []io.Reader{bytes.NewReader(input), iotest.HalfReader(bytes.NewReader(input)), iotest.DataErrReader(bytes.NewReader(input))} {
		var out bytes.Buffer
		k := task(&out, "cat")
		k.Input = r
		got, err := p.Run(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), input) {
			t.Fatalf("%d bytes came back of %d", out.Len(), len(input))
		}
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatalf("in other portions %+v, before %+v", got, first)
		}
	}
}

// TestNodeFails sees that what is the node's fault is no result.
func TestNodeFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, edit := range map[string]func(*worker.Task){
		"input":  func(k *worker.Task) { k.Args[1], k.Input = "cat", iotest.ErrReader(broken) },
		"output": func(k *worker.Task) { k.Args[1], k.Output = "output", failing{broken} },
		"file": func(k *worker.Task) {
			k.Args[1], k.Args[2], k.Files = "file", "/f", []worker.File{{"f", 10, strings.NewReader("short")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, module(t, program))
			k := task(nil, "", "")
			edit(&k)
			if r, err := p.Run(t.Context(), k); err == nil {
				t.Fatalf("the task has a result: %+v", r)
			}
			if _, err := p.Run(t.Context(), task(nil, "exit", "0")); err == nil {
				t.Fatal("the worker takes another task")
			}
		})
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

func TestDeadline(t *testing.T) {
	p := start(t, module(t, program))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	k := task(nil, "spin")
	k.Fuel = 1 << 60
	if _, err := p.Run(ctx, k); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("a task without end: %v", err)
	}
}

func TestDeath(t *testing.T) {
	p := start(t, module(t, program))
	r, w := io.Pipe()
	time.AfterFunc(100*time.Millisecond, func() { p.Close(); w.Close() })
	k := task(nil, "cat")
	k.Input = r
	if _, err := p.Run(t.Context(), k); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("a worker that dies: %v", err)
	}
}

func TestRefusedModules(t *testing.T) {
	real, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	header := []byte("\x00asm\x01\x00\x00\x00")
	for _, c := range []struct {
		name   string
		binary []byte
		edit   func(*worker.Module)
		kind   mesh.Kind
	}{
		{"empty", nil, nil, mesh.Invalid},
		{"cut off", real[:len(real)/2], nil, mesh.Invalid},
		{"another", real, func(m *worker.Module) { m.Hash[0]++ }, mesh.Corrupt},
		{"without a start", header, nil, mesh.Invalid},
		{"too little memory", real, func(m *worker.Module) { m.Pages = 1 }, mesh.Exhausted},
		// (import "env" "f" (func)) (export "_start" (func 0))
		{"of functions that there are not", append(header[:8:8], "\x01\x04\x01\x60\x00\x00\x02\x09\x01\x03env\x01f\x00\x00\x07\x0a\x01\x06_start\x00\x00"...), nil, mesh.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.wasm")
			if err := os.WriteFile(path, c.binary, 0o600); err != nil {
				t.Fatal(err)
			}
			m := module(t, path)
			if c.edit != nil {
				c.edit(&m)
			}
			p, err := worker.Start(command)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = p.Load(t.Context(), m)
			if err == nil || mesh.KindOf(err) != c.kind {
				t.Fatalf("Load = %v, want kind %s", err, c.kind)
			}
			t.Log(err)
		})
	}
}

// TestCompiledIsKept loads a module twice: the second time from the folder of compiled ones; damaged, it is compiled again.
func TestCompiledIsKept(t *testing.T) {
	m := module(t, program)
	m.Cache = filepath.Join(t.TempDir(), "compiled")
	start(t, m)
	var files []string
	err := filepath.WalkDir(m.Cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("kept: %q, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, m)
	if _, err := p.Run(t.Context(), task(nil, "exit", "0")); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		p, err := worker.Start(command)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Load(b.Context(), module(b, program)); err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}

func BenchmarkWarm(b *testing.B) {
	p := start(b, module(b, program))
	for b.Loop() {
		if _, err := p.Run(b.Context(), task(io.Discard, "env", "A")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCat(b *testing.B) {
	p := start(b, module(b, program))
	input := make([]byte, 64<<20)
	b.SetBytes(int64(len(input)))
	for b.Loop() {
		k := task(io.Discard, "cat")
		k.Input = bytes.NewReader(input)
		if _, err := p.Run(b.Context(), k); err != nil {
			b.Fatal(err)
		}
	}
}

// TestConfined asks the kernel what a worker with a module may still do.
func TestConfined(t *testing.T) {
	p := start(t, module(t, program))
	for file, want := range map[string][]string{
		"status": {"NoNewPrivs:\t1\n", "Seccomp:\t2\n"},
		"limits": {"Max data size             1090519040 ", "Max core file size        0 ", "Max open files            64 "},
	} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), file))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s has no %q:\n%s", file, w, b)
			}
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID()))
	if err != nil || bytes.Contains(environ, []byte("HOME")) {
		t.Errorf("the worker knows the node's environment: %q, %v", environ, err)
	}
}
