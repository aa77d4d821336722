package fuel_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// sum adds up prices.
func sum(classes ...fuel.Class) (n int64) {
	for _, c := range classes {
		n += c.Cost()
	}
	return n
}

// TestExactFuel holds programs whose fuel is counted by hand.
func TestExactFuel(t *testing.T) {
	const (
		enter, local, integer, jump = fuel.ClassEnter, fuel.ClassLocal, fuel.ClassInteger, fuel.ClassJump
	)
	tests := []struct {
		name  string
		funcs []code
		want  int64
	}{
		{"nothing", []code{{}}, sum(enter)},
		{"1+2", []code{{"", "i", "", []byte{0x41, 1, 0x41, 2, 0x6a}}}, sum(enter, local, local, integer)},
		{"a loop of ten rounds", []code{{"", "", "i", []byte{
			0x41, 10, 0x21, 0, // local.set 0 (10)
			0x03, 0x40, // loop
			0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, // br_if 0 (local.tee 0 (local 0 - 1))
			0x0b}}}, sum(enter, local, local) + 10*sum(fuel.ClassLoop, local, local, integer, local, jump)},
		{"the branch that is taken", []code{{"", "i", "", []byte{
			0x41, 1, 0x04, 0x7f, 0x41, 1, 0x05, 0x41, 1, 0x41, 2, 0x6d, 0x0b}}}, sum(enter, local, jump, local)},
		{"what follows a branch is not charged", []code{{"", "", "", []byte{
			0x02, 0x40, 0x0c, 0, 0x41, 1, 0x1a, 0x0b, 0x41, 1, 0x1a}}}, sum(enter, jump, local)},
		{"a call", []code{{"", "i", "", []byte{0x10, 1, 0x10, 1, 0x6a}}, {"", "i", "", []byte{0x41, 7}}},
			sum(enter, fuel.ClassCall, fuel.ClassCall, integer) + 2*sum(enter, local)},
		{"memory.fill of 1000 bytes", []code{{"", "", "", join(num(0), num(1), num(1000), []byte{0xfc, 11, 0})}},
			sum(enter, local, local, local, fuel.ClassBulk) + 1000/fuel.BytesPerFuel},
		{"memory.grow of 3 pages", []code{{"", "i", "", join(num(3), []byte{0x40, 0})}},
			sum(enter, local, fuel.ClassBulk) + 3*fuel.PageCost},
		{"table.grow by 5", []code{{"", "i", "", join([]byte{0xd0, 0x70}, num(5), []byte{0xfc, 15, 0})}},
			sum(enter, fuel.ClassTable, local, fuel.ClassBulk) + 5*fuel.ElementCost},
	}
	for _, tt := range tests {
		for _, e := range engines {
			r := wazero.NewRuntimeWithConfig(ctx, e.config())
			m := instantiate(t, r, handmade(nil, tt.funcs...), fuel.Options{}, plenty)
			if _, err := m.ExportedFunction("f0").Call(ctx); err != nil {
				t.Errorf("%s, %s: %v", tt.name, e.name, err)
			}
			if got := m.Used(plenty); got != tt.want {
				t.Errorf("%s, %s: %d fuel, want %d", tt.name, e.name, got, tt.want)
			}
			r.Close(ctx)
			// One fuel less, and it does not end within; all of it, and it does.
			for give, want := range map[int64]fuel.Outcome{tt.want: fuel.Within, tt.want - 1: fuel.OutOfFuel} {
				r := wazero.NewRuntimeWithConfig(ctx, e.config())
				m := instantiate(t, r, handmade(nil, tt.funcs...), fuel.Options{}, give)
				m.ExportedFunction("f0").Call(ctx)
				if got := m.Outcome(); got != want || m.Used(give) != give {
					t.Errorf("%s, %s, with %d fuel: outcome %d, want %d; %d used", tt.name, e.name, give, got, want, m.Used(give))
				}
				r.Close(ctx)
			}
		}
	}
}

// TestFuelRepeats runs the kernels on both processors and on one: the fuel is the same each time.
func TestFuelRepeats(t *testing.T) {
	first := map[string]string{}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 2} {
		runtime.GOMAXPROCS(procs)
		for _, e := range engines {
			names := []string{"sha256", "sieve", "matmul", "mix", "fib", "saxpy"}
			if e.name == "interpreter" { // it takes seconds for the others
				names = names[4:5]
				if testing.Short() {
					continue
				}
			}
			r := wazero.NewRuntimeWithConfig(ctx, e.config())
			m := instantiate(t, r, kernels(t), fuel.Options{}, plenty)
			for _, name := range names {
				m.Fuel.Set(uint64(plenty))
				got, err := m.ExportedFunction(name).Call(ctx)
				is := fmt.Sprint(got, err, m.Used(plenty))
				if first[name] == "" {
					first[name] = is
				}
				if is != first[name] {
					t.Errorf("%s, %s, %d processors: result and fuel %s, before %s", name, e.name, procs, is, first[name])
				}
			}
			r.Close(ctx)
		}
	}
}

// endless are programs that never end by themselves.
var endless = []struct {
	name  string
	funcs []code
	ends  fuel.Outcome // with much fuel
}{
	{"loop", []code{{"", "", "", []byte{0x03, 0x40, 0x0c, 0, 0x0b}}}, fuel.OutOfFuel},
	{"loop by br_if", []code{{"", "", "", []byte{0x03, 0x40, 0x41, 1, 0x0d, 0, 0x0b}}}, fuel.OutOfFuel},
	{"loop by br_table", []code{{"", "", "", []byte{0x03, 0x40, 0x02, 0x40, 0x41, 5, 0x0e, 1, 0, 1, 0x0b, 0x0b}}}, fuel.OutOfFuel},
	{"loop with a parameter", []code{{"", "", "", []byte{0x41, 1, 0x03, 1, 0x0c, 0, 0x0b, 0x1a}}, {"i", "i", "", []byte{0x20, 0}}}, fuel.OutOfFuel},
	{"recursion", []code{{"", "", "", []byte{0x10, 0}}}, fuel.OutOfStack},
	{"mutual recursion through the table", []code{{"", "", "", join(num(1), []byte{0x11, 0, 0})}, {"", "", "", join(num(0), []byte{0x11, 0, 0})}}, fuel.OutOfStack},
	{"recursion that branches", []code{{"i", "", "", []byte{0x20, 0, 0x45, 0x0d, 0, 0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x20, 0, 0x41, 1, 0x6b, 0x10, 0}}}, fuel.OutOfFuel},
	{"memory.fill of 4 GiB", []code{{"", "", "", join([]byte{0x03, 0x40}, num(0), num(0), num(-1), []byte{0xfc, 11, 0, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"memory.copy of all", []code{{"", "", "", join([]byte{0x03, 0x40}, num(0), num(0), num(65536), []byte{0xfc, 10, 0, 0, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"memory.grow by 1", []code{{"", "", "", join([]byte{0x03, 0x40}, num(1), []byte{0x40, 0, 0x1a, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"memory.grow by 4 billion", []code{{"", "", "", join([]byte{0x03, 0x40}, num(-1), []byte{0x40, 0, 0x1a, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"table.grow", []code{{"", "", "", join([]byte{0x03, 0x40, 0xd0, 0x70}, num(100), []byte{0xfc, 15, 0, 0x1a, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"table.fill", []code{{"", "", "", join([]byte{0x03, 0x40}, num(0), []byte{0xd0, 0x70}, num(1), []byte{0xfc, 17, 0, 0x0c, 0, 0x0b})}}, fuel.OutOfFuel},
	{"table.grow by 4 billion without a loop", []code{{"", "", "", bytes.Repeat(join([]byte{0xd0, 0x70}, num(-1), []byte{0xfc, 15, 0, 0x1a}), 1000)}}, fuel.OutOfFuel},
}

func TestEndless(t *testing.T) {
	for _, tt := range endless {
		t.Run(tt.name, func(t *testing.T) {
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			m := instantiate(t, r, handmade(nil, tt.funcs...), fuel.Options{MemoryPages: 100}, 200_000_000)
			args := make([]uint64, len(tt.funcs[0].params))
			for i := range args {
				args[i] = 1000
			}
			begin := time.Now()
			_, err := m.ExportedFunction("f0").Call(ctx, args...)
			if trapOf(err) != "unreachable" || m.Outcome() != tt.ends {
				t.Errorf("outcome %d, want %d: %v", m.Outcome(), tt.ends, err)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("200,000,000 fuel lasted for %v", d)
			}
		})
	}
}

// tenSeconds is about how long so much fuel lasts.
const tenSeconds = 500_000_000_000

// TestStop runs endless programs with much fuel, until the host stops them.
func TestStop(t *testing.T) {
	if raceEnabled {
		t.Skip("the host writes a word that the running code reads, on purpose: the race detector takes offence")
	}
	// wazero's code cannot be interrupted by Go's scheduler: a collection of garbage would wait for it to end, and hold up the
	// goroutine that is about to end it. A worker that stops tasks so must do it from outside of the Go process, or give fuel
	// in portions; see DESIGN.md.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC() // one that is under way ends before
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.NumCPU())))
	for _, tt := range endless {
		if tt.ends != fuel.OutOfFuel || strings.Contains(tt.name, "4 ") {
			continue // it ends by itself
		}
		t.Run(tt.name, func(t *testing.T) {
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			defer r.Close(ctx)
			m := instantiate(t, r, handmade(nil, tt.funcs...), fuel.Options{MemoryPages: 100}, tenSeconds)
			args := make([]uint64, len(tt.funcs[0].params))
			for i := range args {
				args[i] = 1 << 30
			}
			done := make(chan error, 1)
			go func() {
				_, err := m.ExportedFunction("f0").Call(ctx, args...)
				done <- err
			}()
			for m.Fuel.Get() == tenSeconds { // until it has begun
				runtime.Gosched()
			}
			begin := time.Now()
			m.Stop.Set(fuel.Stop)
			err := <-done
			if d := time.Since(begin); d > time.Second {
				t.Errorf("it ran on for %v", d)
			}
			if m.Outcome() != fuel.Stopped || trapOf(err) != "unreachable" {
				t.Errorf("outcome %d, %v", m.Outcome(), err)
			}
		})
	}
}

// TestNothingRunsUnpaid instantiates a module with a start function and calls an export: without fuel, neither runs.
func TestNothingRunsUnpaid(t *testing.T) {
	store := join(num(0), num(42), []byte{0x36, 2, 0})
	binary := handmade(func(id byte, e *encoder) {
		if id == 9 {
			e.op(8, 1, 0) // start: f0
		}
	}, code{body: store})
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	got, err := fuel.Meter(binary, fuel.Options{})
	if err != nil || !got.Start {
		t.Fatalf("start %v, %v", got.Start, err)
	}
	m, err := r.Instantiate(ctx, got.Module)
	if err != nil {
		t.Fatal(err)
	}
	i := metered(t, m)
	for _, f := range []string{fuel.StartExport, "f0"} {
		if _, err := m.ExportedFunction(f).Call(ctx); err == nil || i.Outcome() != fuel.OutOfFuel {
			t.Errorf("%s without fuel: %v, outcome %d", f, err, i.Outcome())
		}
	}
	if v, _ := m.Memory().ReadUint32Le(0); v != 0 {
		t.Errorf("it wrote %d without fuel", v)
	}
	i.Fuel.Set(1000)
	if _, err := m.ExportedFunction(fuel.StartExport).Call(ctx); err != nil {
		t.Fatal(err)
	}
	if v, _ := m.Memory().ReadUint32Le(0); v != 42 {
		t.Errorf("the start function wrote %d", v)
	}
}

// TestHostSeesFuel calls the host with the last fuel: a function of the host must not run once it is spent.
func TestHostSeesFuel(t *testing.T) {
	called := 0
	binary := handmade(func(id byte, e *encoder) {
		if id == 3 {
			e.section(2, func(c *encoder) {
				c.op(1)
				c.name("host")
				c.name("f")
				c.op(0, 0)
			})
		}
	}, code{body: []byte{0x10, 0}}) // by the import, what is f0 below is function 0, and the function itself is 1
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	if _, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
		called++
		if left := int64(m.ExportedGlobal(fuel.FuelExport).Get()); left < 0 {
			t.Errorf("the host runs with %d fuel", left)
		}
	}), nil, nil).Export("f").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	binary = bytes.Replace(binary, []byte("\x02f0\x00\x00"), []byte("\x02f0\x00\x01"), 1)
	need := sum(fuel.ClassEnter, fuel.ClassCall)
	for _, give := range []int64{need - 1, need} {
		m := instantiate(t, r, binary, fuel.Options{}, give)
		m.ExportedFunction("f0").Call(ctx)
	}
	if called != 1 {
		t.Errorf("the host was called %d times, want once", called)
	}
}

// TestRefused holds modules that are turned away, with the kind of error.
func TestRefused(t *testing.T) {
	exporting := func(name string) []byte {
		e := &encoder{b: []byte(magic)}
		e.section(5, func(c *encoder) { c.op(1, 0, 1) })
		e.section(7, func(c *encoder) {
			c.op(1)
			c.name(name)
			c.op(2, 0)
		})
		return e.b
	}
	if _, err := fuel.Meter(exporting("stratos"), fuel.Options{}); err != nil {
		t.Error(err)
	}
	body := func(b ...byte) []byte { return handmade(nil, code{body: b}) }
	tests := []struct {
		name   string
		binary []byte
		kind   mesh.Kind
	}{
		{"nothing", nil, mesh.Invalid},
		{"text", []byte("(module)"), mesh.Invalid},
		{"trailing bytes", append(handmade(nil, code{}), 0x99), mesh.Invalid},
		{"a section twice", handmade(func(id byte, e *encoder) {
			if id == 3 {
				e.op(1, 1, 0)
			}
		}, code{}), mesh.Invalid},
		{"an export of ours", exporting(fuel.Prefix + "x"), mesh.Invalid},
		{"threads", body(0xfe, 0x03, 0), mesh.Invalid},
		{"relaxed SIMD", body(0xfd, 0x80, 0x02), mesh.Invalid},
		{"a tail call", body(0x12, 0), mesh.Invalid},
		{"an exception", body(0x08, 0), mesh.Invalid},
		{"the fuel by its index", body(0x42, 0, 0x24, 0), mesh.Invalid},
		{"the stack by its index", body(0x41, 0, 0x24, 1), mesh.Invalid},
		{"an added local by its index", body(0x20, 0, 0x1a), mesh.Invalid},
		{"memory 1", body(join(num(0), num(0), num(0), []byte{0xfc, 11, 1})...), mesh.Invalid},
		{"a code past the end", body(0x0b, 0x01), mesh.Invalid},
		{"deep blocks", body(join(bytes.Repeat([]byte{0x02, 0x40}, fuel.MaxNesting), bytes.Repeat([]byte{0x0b}, fuel.MaxNesting))...), mesh.Exhausted},
		{"many operands", body(join(bytes.Repeat(num(1), fuel.MaxHeight+1), bytes.Repeat([]byte{0x1a}, fuel.MaxHeight+1))...), mesh.Exhausted},
		{"a long function", body(bytes.Repeat([]byte{1}, fuel.MaxBody)...), mesh.Exhausted},
		{"a large module", make([]byte, fuel.MaxModule+1), mesh.Exhausted},
		{"a 64-bit memory", bytes.Replace(handmade(nil, code{}), []byte{5, 3, 1, 0, 1}, []byte{5, 3, 1, 4, 1}, 1), mesh.Invalid},
		{"a shared memory", bytes.Replace(handmade(nil, code{}), []byte{5, 3, 1, 0, 1}, []byte{5, 3, 1, 2, 1}, 1), mesh.Invalid},
	}
	for _, tt := range tests {
		_, err := fuel.Meter(tt.binary, fuel.Options{})
		if err == nil || mesh.KindOf(err) != tt.kind {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.kind)
		}
	}
	if _, err := fuel.Meter(handmade(nil, code{}), fuel.Options{TableElements: 1, MemoryPages: 1}); err != nil {
		t.Error(err)
	}
	if _, err := fuel.Meter(handmade(nil, code{}, code{}), fuel.Options{TableElements: 1}); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("a table of 2, 1 is given: %v", err)
	}
}
