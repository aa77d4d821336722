//go:build linux

package fuel_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// BenchmarkKernels runs each kernel as it is and metered, in wazero's compiler: medians of the processor's time. testdata/kernels/build.sh builds the same
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
		b.Run(name, func(b *testing.B) {
			var before, after []float64
			for b.Loop() { // in turn, so that what else the machine does meets both
				m.Fuel.Set(uint64(plenty))
				before = append(before, cpu(b, plain.ExportedFunction(name)))
				after = append(after, cpu(b, m.ExportedFunction(name)))
			}
			slices.Sort(before)
			slices.Sort(after)
			p, q := before[len(before)/2], after[len(after)/2]
			b.ReportMetric(p*1e3, "plain-ms")
			b.ReportMetric(q*1e3, "metered-ms")
			b.ReportMetric(q*1e9/float64(m.Used(plenty)), "ns/fuel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu calls f and gives the processor's seconds that this took.
func cpu(b *testing.B, f api.Function, args ...uint64) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var u [2]unix.Rusage
	for i := range u {
		if i == 1 {
			if _, err := f.Call(ctx, args...); err != nil {
				b.Fatal(err)
			}
		}
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u[i]); err != nil {
			b.Fatal(err)
		}
	}
	return float64(u[1].Utime.Nano()+u[1].Stime.Nano()-u[0].Utime.Nano()-u[0].Stime.Nano()) / 1e9
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
