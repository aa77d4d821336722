package script_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/node/compute/script"
	"github.com/stratosmesh/stratos/node/compute/wasi"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// An engine is the module, metered and compiled as workers do.
type engine struct {
	runtime  wazero.Runtime
	wasi     *wasi.Host
	compiled wazero.CompiledModule
	metered  fuel.Metered
}

// testPages is the memory of a test's script: 64 MiB.
const testPages = 1024

func newEngine(tb testing.TB, pages uint32) *engine {
	tb.Helper()
	var err error
	e := &engine{runtime: wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))}
	tb.Cleanup(func() { e.runtime.Close(context.Background()) })
	if e.metered, err = fuel.Meter([]byte(script.Module()), fuel.Options{MemoryPages: pages}); err != nil {
		tb.Fatal(err)
	}
	if e.wasi, err = wasi.Instantiate(context.Background(), e.runtime); err != nil {
		tb.Fatal(err)
	}
	if e.compiled, err = e.runtime.CompileModule(context.Background(), e.metered.Module); err != nil {
		tb.Fatal(err)
	}
	return e
}

// A task is what a script is given.
type task struct {
	script string
	args   []string // behind the name
	env    []string
	input  io.Reader
	files  map[string]string
	budget int64
	seed   byte
	ask    func([]byte) ([]byte, error)
}

// A result is all that it leaves.
type result struct {
	out, log string
	code     uint32
	outcome  fuel.Outcome
	used     int64
	trap     string
}

const plenty = 1 << 40

func (e *engine) run(tb testing.TB, c task) (r result) {
	tb.Helper()
	ctx := context.Background()
	i, err := e.runtime.InstantiateModule(ctx, e.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		tb.Fatal(err)
	}
	defer i.Close(ctx)
	global := func(name string) fuel.Global { return i.ExportedGlobal(name).(api.MutableGlobal) }
	g := fuel.Globals{Fuel: global(fuel.FuelExport), Stack: global(fuel.StackExport), Stop: global(fuel.StopExport)}
	if c.budget == 0 {
		c.budget = plenty
	}
	given := c.budget - e.metered.Fuel
	g.Fuel.Set(uint64(given))
	files := map[string]wasi.File{}
	if c.files == nil {
		c.files = map[string]string{}
	}
	c.files = maps.Clone(c.files)
	c.files[script.File] = c.script
	for name, content := range c.files {
		files[name] = wasi.File{Size: int64(len(content)), Content: strings.NewReader(content)}
	}
	var out, log bytes.Buffer
	t, err := wasi.New(wasi.Config{Args: append([]string{"test.js"}, c.args...), Env: c.env, Stdin: c.input, Stdout: &out, Stderr: &log, Files: files,
		Begin: 1_700_000_000_000_000_000, Seed: [32]byte{c.seed}, Globals: g, Ask: c.ask})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = e.wasi.Call(ctx, t, i, "_start")
	var code wasi.Exit
	if failed := new(wasi.NodeError); errors.As(err, &failed) {
		tb.Fatalf("the node failed: %v", err)
	}
	if !errors.As(err, &code) && err != nil {
		r.trap, _, _ = strings.Cut(err.Error(), "\n")
	}
	r.out, r.log, r.code, r.outcome, r.used = out.String(), log.String(), uint32(code), g.Outcome(), e.metered.Fuel+g.Used(given)
	return r
}
