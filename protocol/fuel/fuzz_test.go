package fuel_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// remains is everything that a run leaves behind.
type remains struct {
	results string
	trap    string
	globals string
	memory  []byte
}

// trapOf is the kind of a trap: the first line of wazero's error without its preamble.
func trapOf(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(line, "wasm error: "), " (recovered by wazero)")
}

func call(m api.Module, p *program, args []uint64) remains {
	got, err := m.ExportedFunction("f0").Call(ctx, args...)
	r := remains{results: fmt.Sprintf("%#x", got), trap: trapOf(err)}
	if p.funcs[0].result == 'i' || p.funcs[0].result == 'f' {
		for i := range got {
			got[i] = uint64(uint32(got[i]))
		}
		r.results = fmt.Sprintf("%#x", got)
	}
	for i := range allTypes {
		g := m.ExportedGlobal(fmt.Sprintf("g%d", i))
		if g.Type() != 0x7b {
			r.globals += fmt.Sprintf(" %#x", g.Get())
		}
	}
	r.memory, _ = m.Memory().Read(0, m.Memory().Size())
	r.memory = bytes.Clone(r.memory)
	return r
}

func (o *oracle) remains(w word, trap string) remains {
	r := remains{results: "[]", trap: trap, memory: o.memory}
	switch t := o.p.funcs[0].result; {
	case trap != "" || t == 0:
	case t == 'v':
		r.results = fmt.Sprintf("%#x", w[:])
	default:
		r.results = fmt.Sprintf("%#x", w[:1])
	}
	for i := range len(allTypes) - 1 {
		r.globals += fmt.Sprintf(" %#x", o.globals[i][0])
	}
	return r
}

func (r remains) differ(s remains) string {
	switch {
	case r.trap != s.trap:
		return fmt.Sprintf("trap %q, not %q", r.trap, s.trap)
	case r.results != s.results:
		return fmt.Sprintf("results %s, not %s", r.results, s.results)
	case r.globals != s.globals:
		return fmt.Sprintf("globals %s, not %s", r.globals, s.globals)
	case !bytes.Equal(r.memory, s.memory):
		for i := range r.memory {
			if i < len(s.memory) && r.memory[i] != s.memory[i] {
				return fmt.Sprintf("memory at %d: %x, not %x", i&^7, r.memory[i&^7:i&^7+8], s.memory[i&^7:i&^7+8])
			}
		}
		return fmt.Sprintf("%d bytes of memory, not %d", len(r.memory), len(s.memory))
	}
	return ""
}

// judge runs one program by the oracle, plain, and metered in both engines, and compares what they leave behind: the oracle
// and the metered ones in all, fuel too; the plain one in all but the bits of NaNs, that is, in all when no floats occur.
// It reports whether the program ended in time.
func judge(t testing.TB, p *program, args []word) (ended bool) {
	o := &oracle{p: p, memory: make([]byte, 1<<16)}
	var want remains
	func() {
		defer func() {
			if e := recover(); e != nil {
				if _, ok := e.(tooLong); !ok {
					panic(e)
				}
				return
			}
			ended = true
		}()
		w, trap := o.run(0, args)
		want = o.remains(w, trap)
	}()
	if !ended || o.spent > plenty {
		return false
	}
	var words []uint64
	for i, a := range args {
		words = append(words, a[0])
		if p.funcs[0].params[i] == 'v' {
			words = append(words, a[1])
		}
	}
	binary := p.encode()
	for _, e := range engines {
		r := wazero.NewRuntimeWithConfig(ctx, e.config().WithCoreFeatures(api.CoreFeaturesV2))
		m := instantiate(t, r, binary, fuel.Options{}, plenty)
		got := call(m, p, words)
		if d := got.differ(want); d != "" {
			t.Errorf("%s, metered: %s", e.name, d)
		}
		spent := m.Used(plenty)
		if m.Outcome() != fuel.Within || spent < o.spent || want.trap == "" && spent != o.spent {
			t.Errorf("%s: %d fuel spent, %d by the oracle, outcome %d, trap %q", e.name, spent, o.spent, m.Outcome(), want.trap)
		}
		plain, err := r.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatalf("a generated program does not compile: %v", err)
		}
		got = call(plain, p, words)
		if p.floats {
			got = remains{trap: got.trap, results: want.results, globals: want.globals, memory: want.memory}
			if hasTrapByNaN(p) {
				got.trap = want.trap
			}
		}
		if d := got.differ(want); d != "" {
			t.Errorf("%s, plain: %s", e.name, d)
		}
		r.Close(ctx)
	}
	if t.Failed() {
		t.Logf("%x", binary)
	}
	return true
}

// hasTrapByNaN reports whether the bits of a NaN may decide over a trap: they become integers by reinterpretation, through
// memory or out of a vector, so that a division or an address may depend on them.
func hasTrapByNaN(p *program) bool { return p.floats }

func arguments(d *dice, p *program) (args []word) {
	m := &maker{dice: d, p: p}
	for _, t := range []byte(p.funcs[0].params) {
		args = append(args, m.constant(t).bits)
	}
	return args
}

// FuzzMeter makes a program of any bytes and compares what it does by the oracle, plain and metered.
func FuzzMeter(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(randomBytes(seed, 300))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		head, tail := b[:min(len(b), 24)], b[min(len(b), 24):]
		p := generate(tail)
		judge(t, p, arguments(&dice{head}, p))
	})
}

func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestGenerated(t *testing.T) {
	n, ended := 300, 0
	if testing.Short() {
		n = 50
	}
	for seed := range uint64(n) {
		p := generate(randomBytes(1000+seed, 300+int(seed)*5))
		if judge(t, p, arguments(&dice{randomBytes(seed, 64)}, p)) {
			ended++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if ended*2 < n {
		t.Errorf("only %d of %d programs ended", ended, n)
	}
}

// FuzzBinary throws bytes at Meter. What it accepts, the engine must accept after it as before it.
func FuzzBinary(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(generate(randomBytes(seed, 300)).encode())
	}
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := fuel.Meter(b, fuel.Options{MemoryPages: 16, TableElements: 1000})
		if err != nil {
			return
		}
		again, err := fuel.Meter(b, fuel.Options{MemoryPages: 16, TableElements: 1000})
		if err != nil || !bytes.Equal(got.Module, again.Module) {
			t.Errorf("a second time gives another module: %v", err)
		}
		before, errBefore := runtime.CompileModule(ctx, b)
		after, errAfter := runtime.CompileModule(ctx, got.Module)
		if (errBefore == nil) != (errAfter == nil) {
			t.Errorf("the engine says of the module %v, and metered %v", errBefore, errAfter)
		}
		for _, c := range []wazero.CompiledModule{before, after} {
			if c != nil {
				c.Close(ctx)
			}
		}
		if _, err := fuel.Meter(got.Module, fuel.Options{}); err == nil {
			t.Error("a metered module is metered again")
		}
	})
}
