//go:build linux

package wasi

import (
	"bytes"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// BenchmarkPrices gives the nanoseconds of the processor that one fuel buys by each function, and those of a call. Ordinary code has
// 0.02 to 0.04, the worst that protocol/fuel knows 0.1 to 0.2.
func BenchmarkPrices(b *testing.B) {
	wide := strings.Repeat("x", 200)
	files := map[string]File{"a": {64 << 10, bytes.NewReader(make([]byte, 64<<10))}}
	for i := range 1000 {
		files[fmt.Sprintf("many/%s%04d", wide, i)] = file("")
	}
	long := strings.Repeat("many/../", 500) + "a"
	for _, p := range []struct {
		name    string
		prepare func(g *guest)
		call    string
		args    []uint64
	}{
		{"sched_yield", nil, "sched_yield", nil},
		{"args_get", nil, "args_get", []uint64{listAt, dataAt}},
		{"clock_time_get", nil, "clock_time_get", []uint64{1, 0, outAt}},
		{"fd_fdstat_get", nil, "fd_fdstat_get", []uint64{3, outAt}},
		{"fd_filestat_get", nil, "fd_filestat_get", []uint64{3, outAt}},
		{"a bad descriptor", nil, "fd_close", []uint64{77}},
		{"fd_write of nothing", nil, "fd_write", []uint64{1, listAt, 0, outAt}},
		{"fd_write of 1 byte", func(g *guest) { g.iovecs(1) }, "fd_write", []uint64{1, listAt, 1, outAt}},
		{"fd_write of 64 KiB", func(g *guest) { g.iovecs(64 << 10) }, "fd_write", []uint64{1, listAt, 1, outAt}},
		{"fd_write by 1024 buffers", func(g *guest) {
			for i := range uint64(1024) {
				g.put(listAt+8*i, le.AppendUint32(le.AppendUint32(nil, dataAt), 1))
			}
		}, "fd_write", []uint64{1, listAt, 1024, outAt}},
		{"fd_read of 64 KiB of input", func(g *guest) { g.iovecs(64 << 10) }, "fd_read", []uint64{0, listAt, 1, outAt}},
		{"fd_pread of 64 KiB", func(g *guest) { g.open("a", 0, false); g.iovecs(64 << 10) }, "fd_pread", []uint64{4, listAt, 1, 0, outAt}},
		{"fd_pread of 1 byte", func(g *guest) { g.open("a", 0, false); g.iovecs(1) }, "fd_pread", []uint64{4, listAt, 1, 5, outAt}},
		{"fd_pwrite of 64 KiB to tmp", func(g *guest) { g.open("tmp/a", openCreate, true); g.iovecs(64 << 10) }, "fd_pwrite", []uint64{4, listAt, 1, 0, outAt}},
		{"fd_write of 1 byte to tmp", func(g *guest) { g.open("tmp/a", openCreate, true); g.iovecs(1) }, "fd_write", []uint64{4, listAt, 1, outAt}},
		{"fd_write of 4 KiB that append", func(g *guest) { g.open("tmp/a", openCreate, true); g.iovecs(4096) }, "fd_write", []uint64{4, listAt, 1, outAt}},
		{"path_open and fail", func(g *guest) { g.path("nowhere") }, "path_open", []uint64{3, 0, pathAt, 7, 0, 0, 0, 0, outAt}},
		{"path_filestat_get", func(g *guest) { g.path("a") }, "path_filestat_get", []uint64{3, 0, pathAt, 1, dataAt}},
		{"path_filestat_get of a long path", func(g *guest) { g.path(long) }, "path_filestat_get", []uint64{3, 0, pathAt, uint64(len(long)), dataAt}},
		{"path_filestat_get of a long name", func(g *guest) { g.path("many/" + wide + "0500") }, "path_filestat_get", []uint64{3, 0, pathAt, 209, dataAt}},
		{"path_create_directory", func(g *guest) { g.path("tmp/a") }, "path_create_directory", []uint64{3, pathAt, 5}},
		{"path_rename to itself", func(g *guest) { g.open("tmp/a", openCreate, true); g.path("tmp/a") }, "path_rename", []uint64{3, pathAt, 5, 3, pathAt, 5}},
		{"fd_readdir", nil, "fd_readdir", []uint64{3, dataAt, 4096, 0, outAt}},
		{"fd_readdir of 200 entries", func(g *guest) { g.open("many", openDirectory, false) }, "fd_readdir", []uint64{4, dataAt, 48 << 10, 0, outAt}},
		{"poll_oneoff of 1", func(g *guest) { g.subscribe(0, 0, eventRead, 0, 0, 0) }, "poll_oneoff", []uint64{listAt, dataAt, 1, outAt}},
		{"poll_oneoff of 100", func(g *guest) {
			for i := range 100 {
				g.subscribe(i, 0, eventClock, 0, 0, 0)
			}
		}, "poll_oneoff", []uint64{listAt, dataAt, 100, outAt}},
		{"random_get of 8 bytes", nil, "random_get", []uint64{dataAt, 8}},
		{"random_get of 64 KiB", nil, "random_get", []uint64{dataAt, 64 << 10}},
	} {
		b.Run(p.name, func(b *testing.B) {
			r, h := newRuntime(b)
			var spent, took, calls float64
			var g *guest
			var m = instantiate(b, r, h, forwarder(memoryPages), fuel.MaxFuel, Config{}).Module
			count := uint64(100)
			for b.Loop() {
				g = begin(b, h, m, fuel.MaxFuel, Config{Args: []string{"a", "b"}, Stdin: zeros{}, Stdout: nowhere{}, Files: files, TmpEntries: 1000})
				if p.prepare != nil {
					p.prepare(g)
				}
				before := g.Used(fuel.MaxFuel)
				took += cpu(b, func() {
					if _, err := h.Call(ctx, g.task, m, p.call+"*", append(p.args, count)...); err != nil {
						b.Fatal(err)
					}
				})
				spent += float64(g.Used(fuel.MaxFuel) - before)
				calls += float64(count)
			}
			b.ReportMetric(took/spent, "ns/fuel")
			b.ReportMetric(took/calls, "ns/call")
			b.ReportMetric(0, "ns/op")
		})
	}
	// What changes the tree each time cannot be repeated by one loop in the guest; crossing from here adds some 0.1 us to a call.
	for _, p := range []struct {
		name string
		call func(call func(name string, args ...uint64), i int)
	}{
		{"make and unlink a file", func(call func(string, ...uint64), _ int) {
			call("path_open", 3, 0, pathAt, 5, openCreate, rightWrite, 0, 0, outAt)
			call("fd_close", 4)
			call("path_unlink_file", 3, pathAt, 5)
		}},
		{"grow and cut by 1 MiB", func(call func(string, ...uint64), i int) {
			call("fd_filestat_set_size", 4, uint64(i&1)<<20)
		}},
		{"move a directory of 1000", func(call func(string, ...uint64), i int) {
			call("path_rename", 3, pathAt, 5, 3, otherAt, 5)
			call("path_rename", 3, otherAt, 5, 3, pathAt, 5)
		}},
		{"list 1000 after a change", func(call func(string, ...uint64), i int) {
			call("path_rename", 3, pathAt, 5, 3, otherAt, 5)
			call("fd_readdir", 4, dataAt, 10, 0, outAt)
			call("path_rename", 3, otherAt, 5, 3, pathAt, 5)
		}},
	} {
		b.Run(p.name, func(b *testing.B) {
			r, h := newRuntime(b)
			g := instantiate(b, r, h, forwarder(memoryPages), fuel.MaxFuel, Config{})
			if strings.Contains(p.name, "grow") {
				g.open("tmp/f", openCreate, true)
			}
			if strings.Contains(p.name, "1000") {
				at, n := g.path("tmp/a")
				g.call("path_create_directory", 3, at, n)
				for i := range 999 {
					dir := "tmp/"
					if strings.Contains(p.name, "move") {
						dir = "tmp/a/"
					}
					g.call("fd_close", g.open(fmt.Sprintf("%s%s%d", dir, wide, i*7919%1000), openCreate, true))
				}
				g.open("tmp", openDirectory, false)
			}
			g.path("tmp/a")
			g.put(otherAt, []byte("tmp/b"))
			exports := map[string]api.Function{}
			for _, f := range functions {
				exports[f.name] = g.ExportedFunction(f.name)
			}
			h.task, g.task.memory = g.task, g.ExportedMemory("memory")
			before, i := g.Used(fuel.MaxFuel), 0
			took := cpu(b, func() {
				for b.Loop() {
					p.call(func(name string, args ...uint64) {
						if e, err := exports[name].Call(ctx, args...); err != nil || e[0] != 0 {
							b.Fatal(name, e, err)
						}
					}, i)
					i++
				}
			})
			b.ReportMetric(took/float64(g.Used(fuel.MaxFuel)-before), "ns/fuel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu is how many nanoseconds of this thread's processor f takes.
func cpu(b *testing.B, f func()) float64 {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	var from, to unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &from); err != nil {
		b.Fatal(err)
	}
	f()
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &to); err != nil {
		b.Fatal(err)
	}
	return float64(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
