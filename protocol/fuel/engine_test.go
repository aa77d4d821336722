package fuel_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// engines are the two ways in which wazero runs a module; what the pass promises holds for both.
var engines = []struct {
	name   string
	config func() wazero.RuntimeConfig
}{
	{"compiler", wazero.NewRuntimeConfigCompiler},
	{"interpreter", wazero.NewRuntimeConfigInterpreter},
}

// an instance is a metered module in an engine.
type instance struct {
	api.Module
	fuel.Globals
}

// plenty is fuel for whatever ends by itself.
const plenty = int64(1) << 50

// metered gives the globals of an instance of a metered module.
func metered(t testing.TB, m api.Module) instance {
	t.Helper()
	var g [3]fuel.Global
	for i, name := range []string{fuel.FuelExport, fuel.StackExport, fuel.StopExport} {
		var ok bool
		if g[i], ok = m.ExportedGlobal(name).(api.MutableGlobal); !ok {
			t.Fatalf("the instance exports no %s", name)
		}
	}
	return instance{m, fuel.Globals{Fuel: g[0], Stack: g[1], Stop: g[2]}}
}

// instantiate meters a binary and starts it with the fuel.
func instantiate(t testing.TB, r wazero.Runtime, binary []byte, o fuel.Options, give int64) instance {
	t.Helper()
	got, err := fuel.Meter(binary, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(context.Background(), got.Module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	i := metered(t, m)
	i.Fuel.Set(uint64(give))
	if got.Start {
		if _, err := m.ExportedFunction(fuel.StartExport).Call(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// wazeroSource is where the source of the wazero that we link lies, or "" where modules are vendored or pruned.
func wazeroSource(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return ""
	}
	return filepath.Clean(strings.TrimSpace(string(out)))
}

// kernels is testdata/kernels/kernels.c, compiled.
func kernels(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/kernels/kernels.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
