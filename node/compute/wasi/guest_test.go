package wasi

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

var ctx = context.Background()

// plenty is fuel for whatever ends by itself.
const plenty = int64(1) << 50

// section is a section of a module.
func section(id byte, content []byte) []byte {
	return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
}

func named(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }

// forwarder is a module with so many pages of memory that imports every function and exports two for each: one of its name that
// calls it, and one with a * behind that takes a count as well and calls it so often.
func forwarder(pages byte) []byte {
	n := len(functions)
	count := func() []byte { return binary.AppendUvarint(nil, uint64(n)) }
	twice := func() []byte { return binary.AppendUvarint(nil, uint64(2*n)) }
	types, imports, funcs, exports, code := twice(), count(), twice(), binary.AppendUvarint(nil, uint64(2*n+1)), twice()
	var kinds [2][]byte // the functions, and behind them those that loop
	for i, f := range functions {
		var params, get []byte
		for k, p := range f.params {
			params = append(params, map[rune]byte{'i': 0x7f, 'I': 0x7e}[p])
			get = append(get, 0x20, byte(k))
		}
		results := []byte{1, 0x7f}
		drop := []byte{0x1a}
		if f.name == "proc_exit" {
			results, drop = []byte{0}, nil
		}
		types = append(append(append(types, 0x60, byte(len(params))), params...), results...)
		kinds[1] = append(append(append(kinds[1], 0x60, byte(len(params)+1)), params...), 0x7f, 0)
		imports = append(append(append(imports, named(Module)...), named(f.name)...), 0)
		imports = binary.AppendUvarint(imports, uint64(i))
		for k, name := range []string{f.name, f.name + "*"} {
			exports = append(append(exports, named(name)...), 0)
			exports = binary.AppendUvarint(exports, uint64(n*(k+1)+i))
		}
		call := binary.AppendUvarint(append(bytes.Clone(get), 0x10), uint64(i))
		once := append(append([]byte{0}, call...), 0x0b)
		code = append(binary.AppendUvarint(code, uint64(len(once))), once...)
		c := byte(len(params))
		loop := append(append(append([]byte{0, 0x03, 0x40}, call...), drop...), 0x20, c, 0x41, 1, 0x6b, 0x22, c, 0x0d, 0, 0x0b, 0x0b)
		kinds[0] = append(binary.AppendUvarint(kinds[0], uint64(len(loop))), loop...)
	}
	types, code = append(types, kinds[1]...), append(code, kinds[0]...)
	for i := range 2 * n {
		funcs = binary.AppendUvarint(funcs, uint64(i))
	}
	exports = append(append(exports, named("memory")...), 2, 0)
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id byte
		b  []byte
	}{{1, types}, {2, imports}, {3, funcs}, {5, []byte{1, 1, pages, pages}}, {7, exports}, {10, code}} {
		b = append(b, section(s.id, s.b)...)
	}
	return b
}

// The memory of most forwarders.
const (
	memoryPages = 2
	memoryBytes = memoryPages << 16
)

// A guest is an instance with its task.
type guest struct {
	tb   testing.TB
	host *Host
	api.Module
	task *Task
	fuel.Globals
}

// instantiate meters a module and makes an instance with fuel of it, and its task.
func instantiate(tb testing.TB, r wazero.Runtime, h *Host, binary []byte, give int64, c Config) *guest {
	tb.Helper()
	got, err := fuel.Meter(binary, fuel.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, got.Module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		tb.Fatal(err)
	}
	return begin(tb, h, m, give, c)
}

// begin makes a task of an instance.
func begin(tb testing.TB, h *Host, m api.Module, give int64, c Config) *guest {
	tb.Helper()
	var g [3]fuel.Global
	for i, name := range []string{fuel.FuelExport, fuel.StackExport, fuel.StopExport} {
		var ok bool
		if g[i], ok = m.ExportedGlobal(name).(api.MutableGlobal); !ok {
			tb.Fatalf("the instance exports no %s", name)
		}
	}
	c.Globals = fuel.Globals{Fuel: g[0], Stack: g[1], Stop: g[2]}
	c.Globals.Fuel.Set(uint64(give))
	task, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return &guest{tb, h, m, task, c.Globals}
}

// newRuntime is a wazero with the functions.
func newRuntime(tb testing.TB) (wazero.Runtime, *Host) {
	tb.Helper()
	return runtimeOf(tb, wazero.NewRuntimeConfigCompiler())
}

func runtimeOf(tb testing.TB, c wazero.RuntimeConfig) (wazero.Runtime, *Host) {
	tb.Helper()
	r := wazero.NewRuntimeWithConfig(ctx, c.WithCoreFeatures(api.CoreFeaturesV2))
	tb.Cleanup(func() { r.Close(ctx) })
	h, err := Instantiate(ctx, r)
	if err != nil {
		tb.Fatal(err)
	}
	return r, h
}

// newGuest is a forwarder with a task.
func newGuest(tb testing.TB, c Config) *guest {
	tb.Helper()
	r, h := newRuntime(tb)
	return instantiate(tb, r, h, forwarder(memoryPages), plenty, c)
}

// call calls a function, which must return.
func (g *guest) call(name string, args ...uint64) Errno {
	g.tb.Helper()
	e, err := g.try(name, args...)
	if err != nil {
		g.tb.Fatalf("%s: %v", name, err)
	}
	return e
}

// try calls a function.
func (g *guest) try(name string, args ...uint64) (Errno, error) {
	got, err := g.host.Call(ctx, g.task, g.Module, name, args...)
	if err != nil || len(got) == 0 {
		return 0, err
	}
	return Errno(got[0]), nil
}

// want calls a function and compares what it returns.
func (g *guest) want(e Errno, name string, args ...uint64) {
	g.tb.Helper()
	if got := g.call(name, args...); got != e {
		g.tb.Errorf("%s%v gives errno %d, not %d", name, args, got, e)
	}
}

func (g *guest) put(at uint64, b []byte) uint64 {
	g.tb.Helper()
	if !g.Memory().Write(uint32(at), b) {
		g.tb.Fatalf("no memory at %d", at)
	}
	return uint64(len(b))
}

func (g *guest) get(at, n uint64) []byte {
	g.tb.Helper()
	b, ok := g.Memory().Read(uint32(at), uint32(n))
	if !ok {
		g.tb.Fatalf("no memory at %d", at)
	}
	return bytes.Clone(b)
}

func (g *guest) u32(at uint64) uint64 { return uint64(le.Uint32(g.get(at, 4))) }
func (g *guest) u64(at uint64) uint64 { return le.Uint64(g.get(at, 8)) }

// Where the tests keep things in the guest's memory.
const (
	outAt   = 16
	pathAt  = 0x100
	otherAt = 0x1200
	listAt  = 0x2400
	dataAt  = 0x8000
	beyond  = memoryBytes - 3
)

// path puts a path where the guest can name it.
func (g *guest) path(p string) (at, n uint64) { return pathAt, g.put(pathAt, []byte(p)) }

// open opens a path, to read and, if write, to write.
func (g *guest) open(p string, flags uint64, write bool) uint64 {
	g.tb.Helper()
	rights := uint64(rightRead)
	if write {
		rights |= rightWrite
	}
	at, n := g.path(p)
	if e := g.call("path_open", rootFD, 0, at, n, flags, rights, 0, 0, outAt); e != Success {
		g.tb.Fatalf("open %q: errno %d", p, e)
	}
	return g.u32(outAt)
}

// iovecs writes a list of buffers, one behind the other from dataAt, and gives where it lies.
func (g *guest) iovecs(lens ...int) (at, n uint64) {
	where := uint64(dataAt)
	for i, l := range lens {
		g.put(listAt+8*uint64(i), le.AppendUint32(le.AppendUint32(nil, uint32(where)), uint32(l)))
		where += uint64(l)
	}
	return listAt, uint64(len(lens))
}

// write writes a string.
func (g *guest) write(fd uint64, s string) Errno {
	g.tb.Helper()
	g.put(dataAt, []byte(s))
	at, n := g.iovecs(len(s))
	return g.call("fd_write", fd, at, n, outAt)
}

// read reads at most so much.
func (g *guest) read(fd uint64, lens ...int) string {
	g.tb.Helper()
	at, n := g.iovecs(lens...)
	g.want(Success, "fd_read", fd, at, n, outAt)
	return string(g.get(dataAt, g.u32(outAt)))
}

// file is a read-only file.
func file(s string) File { return File{int64(len(s)), strings.NewReader(s)} }

// portions gives a reader's bytes in portions that change with the seed.
type portions struct {
	r io.Reader
	n uint64
}

func (p *portions) Read(b []byte) (int, error) {
	p.n = p.n*6364136223846793005 + 1442695040888963407
	if p.n>>60 == 0 {
		return 0, nil
	}
	return p.r.Read(b[:min(uint64(len(b)), 1+p.n>>33%700)])
}
