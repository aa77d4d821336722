package wasi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// fuzzCalls is how many calls one input makes at most.
const fuzzCalls = 400

// A dice gives numbers out of bytes, and zeros when they are spent.
type dice struct{ b []byte }

func (d *dice) number(n uint64) uint64 {
	var x uint64
	for range 2 {
		if len(d.b) > 0 {
			x, d.b = x<<8|uint64(d.b[0]), d.b[1:]
		}
	}
	return x % n
}

// fuzzPaths are what most paths are made of, so that many lead somewhere.
var fuzzPaths = []string{"a", "b/c", "b", "tmp", "tmp/x", "tmp/x/y", "tmp/x/y/z", "tmp/v", "tmp/w/", "..", "tmp/../a", "tmp/x/..", ".", "/", "", "tmp/x/../../tmp/v", "x", "y"}

// argument is one for a function: a descriptor, a place in memory, a length, a flag, or anything.
func (d *dice) argument(wide bool) uint64 {
	var x uint64
	switch d.number(8) {
	case 0:
		x = d.number(8)
	case 1, 2:
		x = 256 * d.number(16) // where paths and lists lie
	case 3:
		x = d.number(40)
	case 4:
		x = memoryBytes - d.number(70)
	case 5:
		x = d.number(memoryBytes)
	case 6:
		x = 1<<32 - d.number(20)
	default:
		x = uint64(1) << d.number(64)
	}
	if !wide {
		x = uint64(uint32(x))
	}
	return x
}

// play makes calls out of bytes and gives what is left of them: each result, the output, the fuel, the memory.
func play(t *testing.T, b []byte, stdin io.Reader) (story string) {
	r, h := newRuntime(t)
	defer r.Close(ctx)
	var out, log bytes.Buffer
	g := instantiate(t, r, h, forwarder(memoryPages), 1<<33, Config{
		Args: []string{"a", "b"}, Env: []string{"A=b"}, Stdin: stdin, Stdout: &out, Stderr: &log, StdoutBytes: 1 << 20, StderrBytes: 1000, TmpBytes: 1 << 20, TmpEntries: 20,
		Files: map[string]File{"a": file(strings.Repeat("content", 1000)), "b/c": file("c"), "b/d/e": file("")}, Begin: 5, Seed: [32]byte{1},
	})
	d := &dice{b}
	var s strings.Builder
	for i := range 16 { // paths, and lists of buffers behind them
		g.put(uint64(256*i), []byte(fuzzPaths[int(d.number(uint64(len(fuzzPaths))))]))
		for k := range 8 {
			g.put(uint64(256*i+64+8*k), le.AppendUint32(le.AppendUint32(nil, uint32(d.argument(false))), uint32(d.number(300))))
		}
	}
	for i := 0; i < fuzzCalls && len(d.b) > 0; i++ {
		f := functions[d.number(uint64(len(functions)))]
		if f.name == "proc_exit" && d.number(4) > 0 { // which would end most plays
			continue
		}
		args := make([]uint64, len(f.params))
		for k, p := range f.params {
			args[k] = d.argument(p == 'I')
		}
		if p := d.number(4); p > 0 && strings.HasPrefix(f.name, "path_") { // a good path, three times out of four
			path := fuzzPaths[d.number(uint64(len(fuzzPaths)))]
			for k := 0; k+2 < len(args); k++ {
				if f.params[k:k+3] == "iii" {
					args[k], args[k+1], args[k+2] = rootFD, pathAt, g.put(pathAt, []byte(path))
					break
				}
			}
			if f.name == "path_open" || f.name == "path_filestat_get" {
				args[0], args[1], args[2], args[3] = rootFD, 0, pathAt, uint64(len(path))
			}
			if f.name == "path_open" {
				args[4], args[5], args[7], args[8] = d.number(16), d.number(256), d.number(4), outAt
			}
		}
		before := int64(g.Fuel.Get())
		if before < 0 {
			t.Fatalf("fuel is %d before a call", before)
		}
		e, err := g.try(f.name, args...)
		after := int64(g.Fuel.Get())
		fmt.Fprintln(&s, f.name, args, e, err != nil, after)
		if after >= before || after < -maxCharge {
			t.Errorf("%s%v: the fuel was %d and is %d", f.name, args, before, after)
		}
		if err != nil {
			exit := Exit(0)
			if !errors.As(err, &exit) && !errors.Is(err, ErrFuel) && !errors.Is(err, ErrOutput) {
				t.Errorf("%s%v: %v", f.name, args, err)
			}
			if (after < 0) != (g.Outcome() == fuel.OutOfFuel) || errors.Is(err, ErrFuel) != (after < 0) {
				t.Errorf("%s%v: %v with fuel %d", f.name, args, err, after)
			}
			break
		}
		g.account(t)
	}
	s.WriteString(out.String() + "|" + log.String() + "|")
	s.Write(g.get(0, memoryBytes))
	return s.String()
}

// account counts what /tmp holds, and compares it with the books.
func (g *guest) account(t *testing.T) {
	seen := map[*node]bool{}
	var entries, chunks int64
	var visit func(n *node)
	visit = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		chunks += int64(len(n.chunks))
		for _, c := range n.children {
			if c.parent != n || c.depth != n.depth+1 || !c.linked || c.writable != (n.writable || c == g.task.tmp) {
				t.Fatalf("a node is not where it seems: %+v in %+v", c, n)
			}
			if n.writable {
				entries++
			}
			visit(c)
		}
	}
	visit(g.task.root)
	open := map[*node]int{}
	for _, d := range g.task.descriptors {
		if d.node != nil {
			visit(d.node)
			open[d.node]++
		}
	}
	for n := range seen {
		if n.open != open[n] {
			t.Fatalf("a node is said to be open %d times, not %d", n.open, open[n])
		}
	}
	if int64(g.task.entries) != entries || g.task.bytesLeft != 1<<20-chunks*chunkBytes || entries > 20 || g.task.bytesLeft < 0 {
		t.Fatalf("/tmp has %d entries and %d chunks; the books say %d and %d bytes left", entries, chunks, g.task.entries, g.task.bytesLeft)
	}
}

// FuzzCalls calls random functions with random arguments, twice: no call panics, charges nothing or less, or gives another
// result when the input comes in other portions.
func FuzzCalls(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(randomBytes(seed, 3000))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		text := strings.Repeat("input", 500)
		first := play(t, b, strings.NewReader(text))
		if again := play(t, b, &portions{strings.NewReader(text), 3}); again != first {
			t.Errorf("twice is not the same:\n%.3000s\nand\n%.3000s", first, again)
		}
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
