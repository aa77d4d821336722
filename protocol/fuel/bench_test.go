package fuel_test

import (
	"os"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

func kernels(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/kernels/kernels.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// BenchmarkKernels runs each kernel as it is and metered, in wazero's compiler. testdata/kernels/build.sh builds the same
// source for the machine itself. DESIGN.md has figures.
func BenchmarkKernels(b *testing.B) {
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	plain, err := r.InstantiateWithConfig(ctx, kernels(b), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		b.Fatal(err)
	}
	m := instantiate(b, r, kernels(b), fuel.Options{}, plenty)
	for _, name := range []string{"sha256", "sieve", "matmul", "fib", "mix", "saxpy"} {
		b.Run(name+"/plain", func(b *testing.B) {
			f := plain.ExportedFunction(name)
			for b.Loop() {
				if _, err := f.Call(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/metered", func(b *testing.B) {
			f := m.ExportedFunction(name)
			for b.Loop() {
				m.Fuel.Set(uint64(plenty))
				if _, err := f.Call(ctx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(m.Used(plenty)), "ns/fuel")
		})
	}
}

// BenchmarkMeter is the pass itself.
func BenchmarkMeter(b *testing.B) {
	binary := kernels(b)
	b.SetBytes(int64(len(binary)))
	for b.Loop() {
		if _, err := fuel.Meter(binary, fuel.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
