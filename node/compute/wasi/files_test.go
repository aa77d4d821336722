package wasi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stratosmesh/stratos/mesh"
)

// list reads a directory in portions of so many bytes and gives names and types as "name/" or "name".
func (g *guest) list(fd, room uint64) (names []string) {
	g.tb.Helper()
	for cookie := uint64(0); ; {
		g.want(Success, "fd_readdir", fd, dataAt, room, cookie, outAt)
		used := g.u32(outAt)
		b := g.get(dataAt, used)
		for len(b) >= 24 {
			n := int(le.Uint32(b[16:]))
			if len(b) < 24+n {
				break
			}
			name := string(b[24 : 24+n])
			if b[20] == typeDir {
				name += "/"
			}
			names, cookie, b = append(names, name), le.Uint64(b), b[24+n:]
		}
		if used < room {
			return names
		}
	}
}

func TestReadOnly(t *testing.T) {
	g := newGuest(t, Config{Files: map[string]File{"b/c/d": file("deep"), "a": file("hello, world"), "b/empty": file(""), "b/Z": file("z")}})
	fd := g.open("a", 0, false)
	if got := g.read(fd, 5, 0, 2); got != "hello, " {
		t.Errorf("%q is read first", got)
	}
	if got := g.read(fd, 3, 30); got != "world" {
		t.Errorf("%q is read then", got)
	}
	if got := g.read(fd, 5); got != "" {
		t.Errorf("%q is read at the end", got)
	}
	for _, s := range []struct {
		off    int64
		whence uint64
		want   Errno
		at     uint64
	}{{7, 0, Success, 7}, {-2, 1, Success, 5}, {-1, 2, Success, 11}, {-12, 1, Inval, 11}, {1<<63 - 1, 2, Inval, 11}, {1<<63 - 1, 0, Success, 1<<63 - 1}, {1, 1, Inval, 1<<63 - 1}, {0, 3, Inval, 1<<63 - 1}} {
		g.want(s.want, "fd_seek", fd, uint64(s.off), s.whence, outAt)
		g.want(Success, "fd_tell", fd, outAt)
		if got := g.u64(outAt); got != s.at {
			t.Errorf("at %d after seek %+v", got, s)
		}
	}
	if got := g.read(fd, 5); got != "" {
		t.Errorf("%q is read far behind the end", got)
	}
	at, n := g.iovecs(4)
	g.want(Success, "fd_pread", fd, at, n, 7, outAt)
	if got := string(g.get(dataAt, 4)); got != "worl" || g.u32(outAt) != 4 {
		t.Errorf("%q is read at 7", got)
	}
	g.want(Inval, "fd_pread", fd, at, n, 1<<63, outAt)
	g.want(BadF, "fd_write", fd, at, n, outAt)
	g.want(BadF, "fd_filestat_set_size", fd, 0)
	g.want(BadF, "fd_allocate", fd, 0, 10)
	g.want(RoFS, "fd_filestat_set_times", fd, 0, 0, 1)

	for path, want := range map[string]Errno{
		"a": RoFS, "new": RoFS, "b/new": RoFS, "b": IsDir, ".": IsDir, "nowhere/new": NoEnt, "a/b": NotDir, "a/": NotDir, "": NoEnt, "/a": Perm, "a\x00b": Inval,
		strings.Repeat("x", MaxName+1): NameTooLong, strings.Repeat("x/", MaxPath/2) + "y": NameTooLong,
	} {
		p, n := g.path(path)
		g.want(want, "path_open", rootFD, 0, p, n, openCreate, rightWrite, 0, 0, outAt)
	}
	for path, want := range map[string]Errno{
		"../a": Success, "b/../../../a": Success, "./././/a": Success, "b//Z": Success, "b/c/.././Z": Success, "b/": Success, "x": NoEnt, "b/x/..": NoEnt, "a/..": NotDir,
	} {
		p, n := g.path(path)
		g.want(want, "path_open", rootFD, 0, p, n, 0, rightRead, 0, 0, outAt)
	}
	p, n := g.path("a")
	g.want(RoFS, "path_unlink_file", rootFD, p, n)
	g.want(NotDir, "path_remove_directory", rootFD, p, n)
	g.want(Exist, "path_create_directory", rootFD, p, n)
	g.want(NotDir, "path_open", rootFD, 0, p, n, openDirectory, rightRead, 0, 0, outAt)
	g.want(Inval, "path_open", rootFD, 0, p, n, openDirectory|openCreate, rightRead, 0, 0, outAt)
	g.want(Inval, "path_open", rootFD, 0, p, n, 16, rightRead, 0, 0, outAt)
	g.want(Exist, "path_open", rootFD, 0, p, n, openCreate|openExclusive, rightRead, 0, 0, outAt)
	g.want(RoFS, "path_open", rootFD, 0, p, n, openTruncate, rightRead, 0, 0, outAt)
	g.want(Inval, "path_readlink", rootFD, p, n, dataAt, 100, outAt)
	g.want(NotSup, "path_link", rootFD, 0, p, n, rootFD, p, n)
	g.want(NotSup, "path_symlink", p, n, rootFD, p, n)
	g.want(RoFS, "path_filestat_set_times", rootFD, 0, p, n, 0, 0, 1)
	g.want(NotDir, "path_filestat_get", fd, 0, p, n, dataAt)
	g.want(BadF, "path_filestat_get", 99, 0, p, n, dataAt)

	dir := g.open("b", openDirectory, false)
	for _, room := range []uint64{29, 30, 31, 53, 60, 4096} {
		if got := strings.Join(g.list(dir, room), " "); got != "./ ../ Z c/ empty" {
			t.Errorf("by %d bytes the directory holds %q", room, got)
		}
	}
	if got := strings.Join(g.list(rootFD, 4096), " "); got != "./ ../ a b/ tmp/" {
		t.Errorf("/ holds %q", got)
	}
	p, n = g.path("c/d")
	g.want(Success, "path_filestat_get", dir, 0, p, n, dataAt)
	if st := g.get(dataAt, 64); st[16] != typeFile || le.Uint64(st[32:]) != 4 || le.Uint64(st[8:]) == 0 {
		t.Errorf("the stat of a file is %x", st)
	}
	g.want(IsDir, "fd_read", dir, at, 0, outAt)
	g.want(IsDir, "fd_seek", dir, 0, 0, outAt)
	g.want(NotDir, "fd_readdir", fd, dataAt, 100, 0, outAt)
	g.want(Success, "fd_readdir", dir, dataAt, 100, 1<<64-1, outAt)
	if g.u32(outAt) != 0 {
		t.Error("a cookie past the end gives entries")
	}
}

func TestTmp(t *testing.T) {
	g := newGuest(t, Config{Files: map[string]File{"a": file("x")}, TmpBytes: 5 * chunkBytes, TmpEntries: 5})
	mkdir := func(want Errno, p string) {
		t.Helper()
		at, n := g.path(p)
		g.want(want, "path_create_directory", rootFD, at, n)
	}
	rename := func(want Errno, from, to string) {
		t.Helper()
		at, n := g.path(from)
		m := g.put(otherAt, []byte(to))
		g.want(want, "path_rename", rootFD, at, n, rootFD, otherAt, m)
	}
	unlink := func(want Errno, p string) {
		t.Helper()
		at, n := g.path(p)
		g.want(want, "path_unlink_file", rootFD, at, n)
	}
	rmdir := func(want Errno, p string) {
		t.Helper()
		at, n := g.path(p)
		g.want(want, "path_remove_directory", rootFD, at, n)
	}
	mkdir(Success, "tmp/d/")
	mkdir(Exist, "tmp/d")
	mkdir(RoFS, "e")
	fd := g.open("tmp/f", openCreate, true)
	if e := g.write(fd, "hello"); e != Success || g.u32(outAt) != 5 {
		t.Errorf("writing gives %d", e)
	}
	// A hole, then more than there is room for, which writes nothing.
	at, n := g.iovecs(3)
	g.put(dataAt, []byte("end"))
	g.want(Success, "fd_pwrite", fd, at, n, 3*chunkBytes-1, outAt)
	g.want(NoSpc, "fd_pwrite", fd, at, n, 5*chunkBytes-1, outAt)
	g.want(FBig, "fd_pwrite", fd, at, n, 1<<62, outAt)
	g.want(FBig, "fd_filestat_set_size", fd, 1<<62)
	g.want(Inval, "fd_filestat_set_size", fd, 1<<63)
	g.want(FBig, "fd_allocate", fd, 1<<62, 1<<62)
	g.want(Inval, "fd_allocate", fd, 1, 1<<63)
	g.want(Success, "fd_seek", fd, 0, 0, outAt)
	if got, want := g.read(fd, chunkBytes, 3*chunkBytes), "hello"+strings.Repeat("\x00", 3*chunkBytes-6)+"end"; got != want {
		t.Errorf("the file holds %d bytes, not as written", len(got))
	}
	// Cut and grown again, it reads as zeros.
	g.want(Success, "fd_filestat_set_size", fd, 2)
	g.want(Success, "fd_allocate", fd, 0, 8)
	g.want(Success, "fd_seek", fd, 0, 0, outAt)
	if got := g.read(fd, 100); got != "he\x00\x00\x00\x00\x00\x00" {
		t.Errorf("cut and grown it holds %q", got)
	}
	g.want(Success, "fd_fdstat_set_flags", fd, flagAppend)
	g.want(Success, "fd_seek", fd, 0, 0, outAt)
	g.write(fd, "!")
	g.want(Success, "fd_tell", fd, outAt)
	if g.u64(outAt) != 9 {
		t.Errorf("after appending it is at %d", g.u64(outAt))
	}

	rename(Success, "tmp/f", "tmp/d/g")
	rename(Inval, "tmp/d", "tmp/d/h")
	rename(NotDir, "tmp/d", "tmp/d/g")
	rename(Busy, "tmp", "tmp/d/h")
	rename(Busy, ".", "tmp/h")
	rename(RoFS, "a", "tmp/h")
	rename(RoFS, "tmp/d", "h")
	rename(RoFS, "tmp/d/g", "a")
	rename(NoEnt, "tmp/no", "tmp/h")
	rename(Inval, "tmp/d/.", "tmp/h")
	rename(IsDir, "tmp/d/g", "tmp/d")
	rename(NotDir, "tmp/d/g", "tmp/h/")
	rename(Success, "tmp/d/g", "tmp/d/g")
	mkdir(Success, "tmp/k")
	rename(NotEmpty, "tmp/k", "tmp/d")
	rename(Success, "tmp/d", "tmp/k")
	rename(Success, "tmp/k", "tmp/m/")
	unlink(IsDir, "tmp/m")
	rmdir(NotEmpty, "tmp/m")
	rmdir(Busy, "tmp")
	rmdir(Inval, "tmp/m/.")
	unlink(NoEnt, "tmp/no")

	// A file without a name lives on, and its room comes back when it is closed.
	unlink(Success, "tmp/m/g")
	g.want(Success, "fd_filestat_set_size", fd, 5*chunkBytes)
	other := g.open("tmp/o", openCreate, true)
	g.want(NoSpc, "fd_filestat_set_size", other, 1)
	g.want(Success, "fd_close", fd)
	g.want(BadF, "fd_close", fd)
	g.want(Success, "fd_filestat_set_size", other, 5*chunkBytes)

	// What one file held is not seen in the holes of another, and the room of one whose descriptor is taken comes back.
	g.write(other, strings.Repeat("secret", 1000))
	unlink(Success, "tmp/o")
	third := g.open("tmp/p", openCreate, true)
	spare := g.open("a", 0, false)
	g.want(Success, "fd_renumber", spare, other)
	g.want(Success, "fd_seek", third, 2*chunkBytes-3, 0, outAt)
	g.write(third, "end")
	g.want(Success, "fd_seek", third, 0, 0, outAt)
	if got := g.read(third, 3*chunkBytes); got != strings.Repeat("\x00", 2*chunkBytes-3)+"end" {
		t.Errorf("a hole holds %.20q", got[chunkBytes:])
	}
	other = third
	unlink(NoEnt, "tmp/o")
	rename(Success, "tmp/p", "tmp/o")

	for _, p := range []string{"tmp/1", "tmp/2", "tmp/3"} {
		mkdir(Success, p)
	}
	mkdir(NoSpc, "tmp/4")
	at, n = g.path("tmp/4")
	g.want(NoSpc, "path_open", rootFD, 0, at, n, openCreate, rightWrite, 0, 0, outAt)

	// A directory that was removed while it was open holds nothing and takes nothing.
	dir := g.open("tmp/3", openDirectory, false)
	rmdir(Success, "tmp/3")
	at, n = g.path("x")
	g.want(NoEnt, "path_create_directory", dir, at, n)
	at, n = g.path("..")
	g.want(NoEnt, "path_filestat_get", dir, 0, at, n, dataAt)
	if got := strings.Join(g.list(dir, 4096), " "); got != "./ ../" {
		t.Errorf("the removed directory holds %q", got)
	}

	g.want(Success, "fd_filestat_set_times", other, 7, 9, 1|4)
	g.want(Success, "fd_filestat_get", other, dataAt)
	if a, m := g.u64(dataAt+40), g.u64(dataAt+48); a != 7 || m != 9 {
		t.Errorf("times %d and %d", a, m)
	}
	at, n = g.path("tmp/o")
	g.want(Inval, "path_filestat_set_times", rootFD, 0, at, n, 0, 0, 3)
	g.want(Success, "path_filestat_set_times", rootFD, 0, at, n, 1, 1, 8)
	g.want(Success, "fd_filestat_get", other, dataAt)
	if a, m := g.u64(dataAt+40), g.u64(dataAt+48); a != 7 || m != g.u64(dataAt+56) || m == 9 {
		t.Errorf("times %d and %d after the second setting", a, m)
	}
}

// TestRemoveWhileListing removes each entry when it is read, and misses none.
func TestRemoveWhileListing(t *testing.T) {
	g := newGuest(t, Config{})
	for i := range 100 {
		g.want(Success, "fd_close", g.open(fmt.Sprintf("tmp/%02d", i), openCreate, true))
	}
	dir := g.open("tmp", openDirectory, false)
	removed := 0
	for cookie := uint64(0); ; {
		g.want(Success, "fd_readdir", dir, dataAt, 60, cookie, outAt)
		used := g.u32(outAt)
		b := g.get(dataAt, used)
		for len(b) >= 24 && len(b) >= 24+int(le.Uint32(b[16:])) {
			name := string(b[24 : 24+le.Uint32(b[16:])])
			cookie, b = le.Uint64(b), b[24+len(name):]
			if name[0] != '.' {
				at, n := g.path(name)
				g.want(Success, "path_unlink_file", dir, at, n)
				removed++
			}
		}
		if used < 60 {
			break
		}
	}
	// What goes ahead of the reader is left out, what comes waits for the next listing.
	for _, p := range []string{"tmp/1", "tmp/2", "tmp/3"} {
		g.want(Success, "fd_close", g.open(p, openCreate, true))
	}
	g.want(Success, "fd_readdir", dir, dataAt, 25+26, 0, outAt) // the two directories
	at, n := g.path("2")
	g.want(Success, "path_unlink_file", dir, at, n)
	g.want(Success, "fd_close", g.open("tmp/0", openCreate, true))
	g.want(Success, "fd_readdir", dir, dataAt, 4096, 2, outAt)
	if got := g.get(dataAt, g.u32(outAt)); len(got) != 50 || got[24] != '1' || got[49] != '3' {
		t.Errorf("the rest of the listing is %q", got)
	}
	for _, p := range []string{"0", "1", "3"} {
		at, n := g.path(p)
		g.want(Success, "path_unlink_file", dir, at, n)
	}
	if got := g.list(dir, 4096); removed != 100 || len(got) != 2 {
		t.Errorf("%d were removed, there are %q", removed, got)
	}
}

func TestNesting(t *testing.T) {
	g := newGuest(t, Config{})
	deep := func(n int, name string) string { return "tmp" + strings.Repeat("/"+name, n) }
	mkdir := func(p string) Errno { at, n := g.path(p); return g.call("path_create_directory", rootFD, at, n) }
	for i := 1; i < MaxNesting; i++ {
		if e := mkdir(deep(i, "d")); e != Success {
			t.Fatalf("%d deep: errno %d", i, e)
		}
	}
	if e := mkdir(deep(MaxNesting, "d")); e != NameTooLong {
		t.Errorf("one too deep gives errno %d", e)
	}
	for i := 1; i < 10; i++ {
		mkdir(deep(i, "e"))
	}
	rename := func(from, to string) Errno {
		at, n := g.path(from)
		return g.call("path_rename", rootFD, at, n, rootFD, otherAt, g.put(otherAt, []byte(to)))
	}
	if e := rename("tmp/e", deep(MaxNesting-9, "d")+"/e"); e != NameTooLong {
		t.Errorf("moving nine levels to where eight fit gives errno %d", e)
	}
	if e := rename("tmp/e", deep(MaxNesting-10, "d")+"/e"); e != Success {
		t.Errorf("moving nine levels to where they fit gives errno %d", e)
	}
	if e := mkdir(deep(MaxNesting-10, "d") + strings.Repeat("/e", 9) + "/e"); e != NameTooLong {
		t.Errorf("what was moved may grow too deep: errno %d", e)
	}
}

func TestDescriptors(t *testing.T) {
	var out strings.Builder
	g := newGuest(t, Config{Files: map[string]File{"a": file("x")}, Stdin: strings.NewReader("in"), Stdout: &out})
	for _, fd := range []uint64{4, MaxOpen, 1 << 31, 1<<32 - 1} {
		for _, f := range functions {
			if !strings.HasPrefix(f.name, "fd_") && !strings.HasPrefix(f.name, "sock_") {
				continue
			}
			args := make([]uint64, len(f.params))
			args[0] = fd
			g.want(BadF, f.name, args...)
		}
	}
	for fd := range uint64(3) {
		g.want(SPipe, "fd_seek", fd, 0, 0, outAt)
		g.want(SPipe, "fd_tell", fd, outAt)
		g.want(SPipe, "fd_pread", fd, listAt, 0, 0, outAt)
		g.want(SPipe, "fd_pwrite", fd, listAt, 0, 0, outAt)
		g.want(NotSup, "sock_shutdown", fd, 0)
		g.want(Success, "fd_fdstat_get", fd, dataAt)
		if rights := g.u64(dataAt + 8); g.get(dataAt, 1)[0] != typeStream || rights&(rightRead|rightWrite) != []uint64{rightRead, rightWrite, rightWrite}[fd] {
			t.Errorf("stream %d has type %d and rights %x", fd, g.get(dataAt, 1)[0], rights)
		}
	}
	g.want(BadF, "fd_read", 1, listAt, 0, outAt)
	g.want(BadF, "fd_write", 0, listAt, 0, outAt)
	g.want(NotSup, "fd_close", rootFD)
	g.want(NotSup, "fd_renumber", rootFD, 1)
	g.want(NotSup, "fd_renumber", 1, rootFD)
	g.want(BadF, "fd_renumber", 1, 7)
	g.want(Inval, "fd_fdstat_set_flags", 1, 32)
	g.want(NotSup, "fd_fdstat_set_rights", 1, 0, 0)

	// A file takes the place of the standard output, and that of another descriptor.
	f := g.open("tmp/f", openCreate, true)
	spare := g.open("a", 0, false)
	g.write(1, "to the stream ")
	g.want(Success, "fd_renumber", 1, spare)
	g.want(BadF, "fd_renumber", f, 1) // it has been moved away
	if got := g.open("a", 0, false); got != 1 {
		t.Errorf("the lowest free descriptor is said to be %d", got)
	}
	g.want(Success, "fd_renumber", f, 1)
	g.write(1, "to the file")
	g.write(spare, "again")
	g.want(Success, "fd_seek", 1, 0, 0, outAt)
	if got := g.read(1, 100); got != "to the file" || out.String() != "to the stream again" {
		t.Errorf("the file holds %q, the stream %q", got, &out)
	}

	for i := 0; ; i++ {
		at, n := g.path("a")
		if e := g.call("path_open", rootFD, 0, at, n, 0, 0, 0, 0, outAt); e != Success {
			if e != MFile || i != MaxOpen-5 {
				t.Errorf("after %d more descriptors comes errno %d", i, e)
			}
			break
		}
	}
}

// TestFault gives each function pointers that lie out of memory, or that reach out of it.
func TestFault(t *testing.T) {
	g := newGuest(t, Config{Args: []string{"a", "b"}, Env: []string{"A=b"}, Stdin: strings.NewReader("input"), Files: map[string]File{"a": file("x")}})
	at, n := g.path("a")
	for _, bad := range []uint64{beyond, memoryBytes, 1<<32 - 1, 1<<32 - 8} {
		g.want(Fault, "args_get", bad, dataAt)
		g.want(Fault, "args_get", dataAt, bad)
		g.want(Fault, "args_sizes_get", bad, dataAt)
		g.want(Fault, "args_sizes_get", dataAt, bad)
		g.want(Fault, "environ_get", bad, dataAt)
		g.want(Fault, "environ_sizes_get", dataAt, bad)
		g.want(Fault, "clock_res_get", 0, bad)
		g.want(Fault, "clock_time_get", 0, 0, bad)
		g.want(Fault, "fd_fdstat_get", 0, bad)
		g.want(Fault, "fd_filestat_get", 0, bad)
		g.want(Fault, "fd_prestat_get", 3, bad)
		g.want(Fault, "fd_read", 0, bad, 1, outAt)
		g.want(Fault, "fd_read", 0, listAt, 0, bad)
		g.want(Fault, "fd_write", 1, bad, 1, outAt)
		g.want(Fault, "fd_readdir", 3, bad, 100, 0, outAt)
		g.want(Fault, "fd_readdir", 3, dataAt, 1<<32-1, 0, outAt)
		g.want(Fault, "fd_readdir", 3, dataAt, 100, 0, bad)
		g.want(Fault, "path_open", 3, 0, at, n, 0, 0, 0, 0, bad)
		g.want(Fault, "path_open", 3, 0, bad, 4, 0, 0, 0, 0, outAt)
		g.want(Fault, "path_filestat_get", 3, 0, at, n, bad)
		g.want(Fault, "path_create_directory", 3, bad, 4)
		g.want(Fault, "poll_oneoff", bad, dataAt, 1, outAt)
		g.want(Fault, "poll_oneoff", dataAt, bad, 1, outAt)
		g.want(Fault, "poll_oneoff", dataAt, dataAt, 1, bad)
		g.want(Fault, "random_get", bad, 4)
		g.want(Fault, "random_get", dataAt, 1<<32-1)
		g.put(listAt, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(bad)), 9))
		g.want(Fault, "fd_read", 0, listAt, 1, outAt)
	}
	g.want(Fault, "fd_prestat_dir_name", 3, memoryBytes, 1)
	g.want(NameTooLong, "path_create_directory", 3, dataAt, 1<<32-1)
	g.want(Inval, "fd_read", 0, listAt, 1<<32-1, outAt)
	g.want(Inval, "fd_read", 0, listAt, 1<<29, outAt) // 8 times as much is 0 in 32 bits
	g.want(Inval, "poll_oneoff", dataAt, dataAt, 1<<32-1, outAt)
	g.want(Inval, "poll_oneoff", dataAt, dataAt, 0, outAt)
	if got := g.read(0, 10); got != "input" {
		t.Errorf("a fault has taken of the input: %q is left", got)
	}
}

// TestOverlap reads over the list of buffers itself, which was copied before.
func TestOverlap(t *testing.T) {
	g := newGuest(t, Config{Stdin: strings.NewReader("0123456789abcdefABCDEF")})
	g.put(listAt, slices.Concat(le.AppendUint64(nil, listAt|16<<32), le.AppendUint64(nil, dataAt|4<<32)))
	g.want(Success, "fd_read", 0, listAt, 2, listAt+4)
	if got := string(g.get(listAt, 16)); got != "0123\x14\x00\x00\x0089abcdef" {
		t.Errorf("the list was overwritten by %q", got)
	}
	if got := string(g.get(dataAt, 4)); got != "ABCD" {
		t.Errorf("%q was read behind", got)
	}
}

// TestNodeFails: what fails on the machine ends the task as the node's failure, and nothing that the task can see.
func TestNodeFails(t *testing.T) {
	bad := errors.New("the disk is gone")
	fails := func(name string, c Config, args func(g *guest) []uint64) {
		g := newGuest(t, c)
		a := args(g)
		_, err := g.try(name, a...)
		var node *NodeError
		if !errors.As(err, &node) || node.Op != name || g.Outcome() != 0 {
			t.Errorf("%s gives %v, outcome %d", name, err, g.Outcome())
		}
		if _, again := g.try("sched_yield"); again != err {
			t.Errorf("%s: then %v", name, again)
		}
	}
	stream := func(fd uint64) func(*guest) []uint64 {
		return func(g *guest) []uint64 { at, n := g.iovecs(100); return []uint64{fd, at, n, outAt} }
	}
	fails("fd_read", Config{Stdin: iotest.ErrReader(bad)}, stream(0))
	fails("fd_read", Config{Stdin: io.MultiReader(strings.NewReader("some"), iotest.ErrReader(bad))}, stream(0))
	fails("fd_read", Config{Stdin: endless{}}, stream(0))
	fails("fd_read", Config{Stdin: greedy{}}, stream(0))
	fails("fd_write", Config{Stdout: broken{bad, 0}}, stream(1))
	fails("fd_write", Config{Stdout: broken{nil, 7}}, stream(1))
	fails("fd_write", Config{Stderr: broken{bad, 0}}, stream(2))
	fails("fd_read", Config{Files: map[string]File{"a": {10, strings.NewReader("short")}}}, func(g *guest) []uint64 {
		fd := g.open("a", 0, false)
		at, n := g.iovecs(100)
		return []uint64{fd, at, n, outAt}
	})
}

type endless struct{}

func (endless) Read([]byte) (int, error) { return 0, nil }

// greedy says that it read more than there was room for.
type greedy struct{}

func (greedy) Read(b []byte) (int, error) { return len(b) + 1, nil }

type broken struct {
	err error
	n   int
}

func (b broken) Write([]byte) (int, error) { return b.n, b.err }

// TestOneAtATime: while a task runs, its runtime takes no other.
func TestOneAtATime(t *testing.T) {
	var g, other *guest
	var err error
	g = newGuest(t, Config{Stdout: writer(func(b []byte) { _, err = g.host.Call(ctx, other.task, other.Module, "sched_yield") })})
	other = begin(t, g.host, g.Module, plenty, Config{})
	g.write(1, "x")
	if mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("a call within a call gives %v", err)
	}
	if _, err := other.try("nowhere"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a call of what is not exported gives %v", err)
	}
	other.want(Success, "sched_yield")
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestConfig(t *testing.T) {
	good := newGuest(t, Config{}).Globals
	deep, many := map[string]File{}, map[string]File{}
	for i := range MaxFiles {
		many[fmt.Sprint(i)] = file("")
		if i <= MaxFiles/50 {
			deep[fmt.Sprint(i)+strings.Repeat("/d", 49)] = file("")
		}
	}
	if _, err := New(Config{Files: many, Globals: good}); err != nil {
		t.Errorf("%d files: %v", len(many), err)
	}
	many["more"] = file("")
	for _, c := range []struct {
		kind mesh.Kind
		c    Config
	}{
		{mesh.Invalid, Config{Args: []string{"a\x00"}}},
		{mesh.Exhausted, Config{Args: make([]string, MaxStrings+1)}},
		{mesh.Exhausted, Config{Args: []string{strings.Repeat("a", MaxStringBytes)}}},
		{mesh.Exhausted, Config{Files: many}},
		{mesh.Exhausted, Config{Files: deep}},
		{mesh.Invalid, Config{Env: []string{"A"}}},
		{mesh.Invalid, Config{Env: []string{"=A"}}},
		{mesh.Invalid, Config{Begin: -1}},
		{mesh.Invalid, Config{Begin: MaxTime + 1}},
		{mesh.Invalid, Config{StdoutBytes: MaxStdout + 1}},
		{mesh.Invalid, Config{StderrBytes: -1}},
		{mesh.Invalid, Config{TmpBytes: MaxTmpBytes + 1}},
		{mesh.Invalid, Config{TmpEntries: MaxTmpEntries + 1}},
		{mesh.Invalid, Config{Files: map[string]File{"/a": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a/../b": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a//b": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a\x00": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"tmp/a": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a": file(""), "a/b": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a/b/c": file(""), "a/b": file("")}}},
		{mesh.Invalid, Config{Files: map[string]File{"a": {Size: 1}}}},
		{mesh.Invalid, Config{Files: map[string]File{"a": {-1, strings.NewReader("")}}}},
		{mesh.Invalid, Config{Files: map[string]File{strings.Repeat("x", MaxName+1): file("")}}},
		{mesh.Exhausted, Config{Files: map[string]File{strings.Repeat("x/", MaxNesting) + "x": file("")}}},
	} {
		c.c.Globals = good
		if _, err := New(c.c); mesh.KindOf(err) != c.kind || err == nil {
			t.Errorf("%.100v: %v", c.c, err)
		}
	}
}
