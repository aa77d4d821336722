package compute_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/worker"
)

var command []string // a worker; see the tests of package worker

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "worker")
	if err == nil {
		command = []string{filepath.Join(dir, "worker")}
		var out []byte
		if out, err = exec.Command("go", "build", "-o", command[0], "./worker/testdata/worker").CombinedOutput(); err != nil {
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

// A pool that runs, and the test program as its module.
type fixture struct {
	*compute.Pool
	binary  []byte
	fetched int
	mu      sync.Mutex
}

func newPool(t *testing.T, o compute.Options) *fixture {
	t.Helper()
	binary, err := os.ReadFile("worker/testdata/program.wasm")
	if err != nil {
		t.Fatal(err)
	}
	o.Command = command
	if o.Home == "" {
		o.Home = t.TempDir()
	}
	p, err := compute.New(o, slog.New(slog.DiscardHandler))
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
	return &fixture{Pool: p, binary: binary}
}

func (f *fixture) fetch(context.Context) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetched++
	return io.NopCloser(bytes.NewReader(f.binary)), nil
}

// do runs testdata/program.c for a tenant.
func (f *fixture) do(ctx context.Context, tenant string, edit func(*worker.Task), args ...string) (string, worker.Result, error) {
	var out bytes.Buffer
	k := worker.Task{Args: append([]string{"program"}, args...), Fuel: 1 << 32, Most: 1 << 20, Output: &out}
	if edit != nil {
		edit(&k)
	}
	r, err := f.Do(ctx, compute.Program{Tenant: tenant, Module: sha256.Sum256(f.binary), Pages: 256}, f.fetch, k)
	return out.String(), r, err
}

func TestPool(t *testing.T) {
	f := newPool(t, compute.Options{Slots: 2, Idle: 1})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			want := fmt.Sprint("task ", i)
			out, r, err := f.do(t.Context(), fmt.Sprint("tenant ", i%3), func(k *worker.Task) { k.Input = strings.NewReader(want) }, "cat")
			if err != nil || r.Err() != nil || out != want {
				t.Errorf("task %d: %q, %+v, %v", i, out, r, err)
			}
		})
	}
	wg.Wait()
}

// TestModuleIsFetchedOnce, and once more when it has been damaged on disk.
func TestModuleIsFetchedOnce(t *testing.T) {
	home := t.TempDir()
	f := newPool(t, compute.Options{Home: home})
	for range 3 {
		if _, _, err := f.do(t.Context(), "ann", nil, "exit", "0"); err != nil {
			t.Fatal(err)
		}
	}
	if f.fetched != 1 {
		t.Fatalf("fetched %d times", f.fetched)
	}
	path := filepath.Join(home, "binaries", compute.ModuleID(sha256.Sum256(f.binary)).String()+".wasm")
	if err := os.WriteFile(path, f.binary[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.do(t.Context(), "bob", nil, "exit", "0"); mesh.KindOf(err) != mesh.Corrupt {
		t.Fatalf("a damaged module: %v", err)
	}
	if _, _, err := f.do(t.Context(), "bob", nil, "exit", "0"); err != nil || f.fetched != 2 {
		t.Fatalf("after that: fetched %d times, %v", f.fetched, err)
	}
	f.binary = append(f.binary, 0)
	wrong := compute.Program{Tenant: "ann", Module: compute.ModuleID{1}, Pages: 256}
	if _, err := f.Do(t.Context(), wrong, f.fetch, worker.Task{Fuel: 1, Most: 1}); mesh.KindOf(err) != mesh.Corrupt {
		t.Fatalf("a module that is not what it is called: %v", err)
	}
}

// TestAbuse has one tenant do what it can while another works: the other's results and fuel are what they are alone.
func TestAbuse(t *testing.T) {
	f := newPool(t, compute.Options{Slots: 2})
	_, alone, err := f.do(t.Context(), "good", nil, "env", "A")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var abusers sync.WaitGroup
	for _, what := range []string{"spin", "deep", "memory", "log", "output", "calls", "trap"} {
		for range 2 {
			abusers.Go(func() {
				_, r, err := f.do(ctx, "bad", func(k *worker.Task) { k.Fuel = 1 << 34 }, what)
				if err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", what, err)
				}
				if err == nil && what != "trap" && what != "memory" && mesh.KindOf(r.Err()) != mesh.Exhausted {
					t.Errorf("%s ended as %+v", what, r)
				}
			})
		}
	}
	for range 20 {
		if _, r, err := f.do(t.Context(), "good", nil, "env", "A"); err != nil || r != alone {
			t.Fatalf("beside an abuser %+v, %v; alone %+v", r, err, alone)
		}
	}
	cancel()
	abusers.Wait()
}

// TestWorkersEnd sees that no worker outlives its use.
func TestWorkersEnd(t *testing.T) {
	f := newPool(t, compute.Options{Idle: 2, IdleTime: 200 * time.Millisecond})
	for i := range 4 {
		if _, _, err := f.do(t.Context(), fmt.Sprint(i), nil, "exit", "0"); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if n := workers(t); n == 0 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d workers are there", n)
		}
	}
}

// workers counts the workers of this process.
func workers(t *testing.T) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		n += len(strings.Fields(string(b)))
	}
	return n
}

func TestPruned(t *testing.T) {
	home := t.TempDir()
	f := newPool(t, compute.Options{Home: home, Disk: 40_000})
	for i := range 3 {
		// A custom section makes another module of it.
		f.binary = append(f.binary, 0, 2, 1, byte('a'+i))
		if _, _, err := f.do(t.Context(), "ann", nil, "exit", "0"); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadDir(filepath.Join(home, "binaries"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d modules are kept, %v", len(kept), err)
	}
}
