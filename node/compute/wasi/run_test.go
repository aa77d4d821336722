package wasi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

func TestStrings(t *testing.T) {
	g := newGuest(t, Config{Args: []string{"prog", "", "b c"}, Env: []string{"B=2", "A=1"}})
	for _, s := range []struct {
		name  string
		n     uint64
		bytes string
	}{{"args", 3, "prog\x00\x00b c\x00"}, {"environ", 2, "B=2\x00A=1\x00"}} {
		g.want(Success, s.name+"_sizes_get", outAt, outAt+4)
		if g.u32(outAt) != s.n || g.u32(outAt+4) != uint64(len(s.bytes)) {
			t.Errorf("%s: %d of %d bytes", s.name, g.u32(outAt), g.u32(outAt+4))
		}
		g.want(Success, s.name+"_get", listAt, dataAt)
		if got := string(g.get(dataAt, uint64(len(s.bytes)))); got != s.bytes {
			t.Errorf("%s are %q", s.name, got)
		}
		last := strings.LastIndex(s.bytes[:len(s.bytes)-1], "\x00") + 1
		if got := g.u32(listAt + 4*(s.n-1)); got != dataAt+uint64(last) {
			t.Errorf("%s: the last is said to be at %d", s.name, got)
		}
	}
}

// subscribe writes a subscription: to a clock, or to a descriptor.
func (g *guest) subscribe(i int, user uint64, kind byte, id uint32, timeout uint64, flags uint16) {
	b := make([]byte, subscriptionBytes)
	le.PutUint64(b, user)
	b[8] = kind
	le.PutUint32(b[16:], id)
	le.PutUint64(b[24:], timeout)
	le.PutUint16(b[40:], flags)
	g.put(listAt+uint64(i*subscriptionBytes), b)
}

// poll polls so many subscriptions and gives the events: user data, errno and bytes of each.
func (g *guest) poll(n int) (events [][3]uint64) {
	g.tb.Helper()
	g.want(Success, "poll_oneoff", listAt, dataAt, uint64(n), outAt)
	for i := range g.u32(outAt) {
		b := g.get(dataAt+i*eventBytes, eventBytes)
		events = append(events, [3]uint64{le.Uint64(b), uint64(le.Uint16(b[8:])), le.Uint64(b[16:])})
	}
	return events
}

func (g *guest) clock(id uint64) uint64 {
	g.tb.Helper()
	g.want(Success, "clock_time_get", id, 1, outAt)
	return g.u64(outAt)
}

// within says whether a clock, read a little later, says what it should.
func within(got, want uint64) bool { return got >= want && got < want+5000 }

func TestClocks(t *testing.T) {
	const begin = 1_700_000_000_000_000_000
	g := newGuest(t, Config{Begin: begin, Stdin: strings.NewReader("x"), Files: map[string]File{"a": file("hello")}})
	g.want(Inval, "clock_time_get", clocks, 0, outAt)
	g.want(Inval, "clock_res_get", clocks, outAt)
	g.want(Success, "clock_res_get", 1, outAt)
	if g.u64(outAt) != 1 {
		t.Errorf("the resolution is %d", g.u64(outAt))
	}
	if got, spent := g.clock(0), g.Used(plenty); got != begin+uint64(spent)/FuelPerNanosecond {
		t.Errorf("after %d fuel it is %d", spent, got-begin)
	}
	const second = 1_000_000_000
	// Two timers, of which one is due: it took no more than that.
	g.subscribe(0, 7, eventClock, 1, 3*second, 0)
	g.subscribe(1, 8, eventClock, 1, second, 0)
	if got := g.poll(2); len(got) != 1 || got[0] != [3]uint64{8, 0, 0} {
		t.Errorf("events %v", got)
	}
	if got := g.clock(1); !within(got, second) {
		t.Errorf("after a second it is %d", got)
	}
	// At a time, of either clock; one that is past is due.
	g.subscribe(0, 1, eventClock, 0, begin+5*second, 1)
	g.subscribe(1, 2, eventClock, 1, 5*second, 1)
	if got := g.poll(2); len(got) < 1 || got[0][0] != 1 {
		t.Errorf("events %v", got)
	}
	if got := g.clock(0); !within(got, begin+5*second) {
		t.Errorf("after five seconds it is %d", got-begin)
	}
	// Descriptors are ready at once, bad ones too; a timer that is not due says nothing then.
	fd := g.open("a", 0, false)
	g.read(fd, 1)
	g.subscribe(0, 1, eventClock, 1, second, 0)
	g.subscribe(1, 2, eventRead, 0, 0, 0)
	g.subscribe(2, 3, eventRead, uint32(fd), 0, 0)
	g.subscribe(3, 4, eventWrite, 99, 0, 0)
	g.subscribe(4, 5, eventClock, 9, second, 0)
	if got := g.poll(5); len(got) != 4 || got[0] != [3]uint64{2, 0, 1} || got[1] != [3]uint64{3, 0, 4} || got[2] != [3]uint64{4, uint64(BadF), 0} || got[3] != [3]uint64{5, uint64(Inval), 0} {
		t.Errorf("events %v", got)
	}
	if got := g.clock(1); !within(got, 5*second) {
		t.Errorf("polling descriptors took until %d", got)
	}
	g.subscribe(0, 1, 3, 0, 0, 0)
	g.want(Inval, "poll_oneoff", listAt, dataAt, 1, outAt)
	if got := g.clock(0); got > begin+6*second {
		t.Errorf("it is %d already", got-begin)
	}
	// Endless sleep ends, and the clocks do not wrap; afterwards every timer is due at once.
	for range 3 {
		g.subscribe(0, 1, eventClock, 1, 1<<64-1, 0)
		if got := g.poll(1); len(got) != 1 {
			t.Errorf("events %v", got)
		}
	}
	if got := int64(g.clock(0)); got < begin+maxSleep {
		t.Errorf("at the end it is %d", got)
	}
}

// TestLatest begins as late as a task may and sleeps for ever, again and again: its time does not wrap.
func TestLatest(t *testing.T) {
	g := newGuest(t, Config{Begin: MaxTime})
	for range 10 {
		g.subscribe(0, 1, eventClock, 1, 1<<63, 0)
		g.poll(1)
	}
	if got := g.clock(0); got < MaxTime+maxSleep || got > MaxTime+maxSleep+5000 {
		t.Errorf("at the end it is %d", got)
	}
}

func TestRandom(t *testing.T) {
	seed := [32]byte{1, 2, 3}
	g := newGuest(t, Config{Seed: seed})
	want := make([]byte, 150)
	rand.NewChaCha8(seed).Read(want)
	g.want(Success, "random_get", dataAt, 50)
	g.want(Success, "random_get", dataAt+50, 100)
	if got := g.get(dataAt, 150); !bytes.Equal(got, want) {
		t.Errorf("the first bytes are %x", got)
	}
}

func TestExit(t *testing.T) {
	for _, code := range []uint64{0, 7, 1<<32 - 1} {
		g := newGuest(t, Config{})
		_, err := g.try("proc_exit", code)
		if exit := Exit(0); !errors.As(err, &exit) || uint64(exit) != code || g.Outcome() != fuel.Within {
			t.Errorf("%v for code %d", err, code)
		}
	}
	g := newGuest(t, Config{})
	g.want(NotSup, "proc_raise", 6)
	g.want(Success, "sched_yield")
}

// TestStdin reads buffers full whatever portions the input comes in, and never again after its end.
func TestStdin(t *testing.T) {
	text := strings.Repeat("0123456789", 200)
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)), "halves": iotest.HalfReader(strings.NewReader(text)),
		"end with data": iotest.DataErrReader(strings.NewReader(text)), "portions": &portions{strings.NewReader(text), 5},
		"more after the end": io.MultiReader(strings.NewReader(text), &ends{}),
		"scribbles":          scribbles{strings.NewReader(text)},
	} {
		g := newGuest(t, Config{Stdin: r})
		g.put(dataAt, bytes.Repeat([]byte("#"), 4000))
		if got := g.read(0, 1, 0, 998, 1); got != text[:1000] {
			t.Errorf("%s: first comes %q", name, got)
		}
		if got := g.read(0, 600, 600); got != text[1000:] || g.get(dataAt+1000, 1)[0] != '#' {
			t.Errorf("%s: then comes %q, and %q behind", name, got, g.get(dataAt+1000, 10))
		}
		if got := g.read(0, 10); got != "" {
			t.Errorf("%s: after the end comes %q", name, got)
		}
	}
}

// ends is at its end first and goes on then.
type ends struct{ n int }

func (e *ends) Read(b []byte) (int, error) {
	if e.n++; e.n == 1 {
		return 0, io.EOF
	}
	return copy(b, "more"), nil
}

// scribbles uses all of what it is given, as a reader may.
type scribbles struct{ r io.Reader }

func (s scribbles) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'X'
	}
	return s.r.Read(b)
}

func TestOutput(t *testing.T) {
	var out, log bytes.Buffer
	g := newGuest(t, Config{Stdout: &out, Stderr: &log, StdoutBytes: 10, StderrBytes: 10})
	g.write(1, "12345")
	g.put(dataAt, []byte("abcdefghijkl"))
	at, n := g.iovecs(6, 3, 3)
	g.want(Success, "fd_write", 2, at, n, outAt)
	if g.u32(outAt) != 12 || log.String() != "abcdefghij"+Dropped {
		t.Errorf("%d bytes are said to be written, the log is %q", g.u32(outAt), &log)
	}
	g.want(Success, "fd_write", 2, at, n, outAt)
	if log.Len() != 10+len(Dropped) {
		t.Errorf("the log goes on: %q", &log)
	}
	g.write(1, "67890")
	at, n = g.iovecs(0, 1)
	if _, err := g.try("fd_write", 1, at, n, outAt); !errors.Is(err, ErrOutput) || out.String() != "1234567890" {
		t.Errorf("too much output gives %v and %q", err, &out)
	}
}

// TestUnpaid gives each function less than it costs: it does nothing, and the fuel left is the same negative number each time.
func TestUnpaid(t *testing.T) {
	for _, s := range []struct {
		give int64
		name string
		args []uint64
		left int64
	}{
		{100 + PriceCall.Cost(), "fd_write", []uint64{1, listAt, 1, outAt}, -PriceTransfer.Cost()},
		{100 + PriceCall.Cost() + PriceTransfer.Cost(), "fd_write", []uint64{1, listAt, 1, outAt}, -100 * PriceByte.Cost()},
		{100, "proc_exit", []uint64{3}, -PriceCall.Cost()},
		{100 + PriceCall.Cost(), "random_get", []uint64{0, memoryBytes}, -memoryBytes * PriceRandom.Cost()},
		{100 + PriceCall.Cost(), "path_create_directory", []uint64{3, 0, 1<<32 - 1}, -PricePath.Cost()},
	} {
		var out bytes.Buffer
		g := newGuest(t, Config{Stdout: &out})
		g.iovecs(100)
		g.Fuel.Set(uint64(s.give))
		_, err := g.try(s.name, s.args...)
		left := int64(g.Fuel.Get())
		if !errors.Is(err, ErrFuel) || g.Outcome() != fuel.OutOfFuel || out.Len() > 0 || left < s.left || left > s.left+100 {
			t.Errorf("%s with %d: %v, %d left, %d bytes written", s.name, s.give, err, left, out.Len())
		}
	}
}

// TestCharges holds what each kind of call is charged, but for the instructions of the module that makes it.
func TestCharges(t *testing.T) {
	g := newGuest(t, Config{Args: []string{"prog", "x"}, Files: map[string]File{"a": file("hello")}, Stdin: strings.NewReader("some input")})
	at, n := g.path("tmp/d")
	g.want(Success, "path_create_directory", rootFD, at, n)
	for _, p := range []string{"tmp/d/1", "tmp/d/2", "tmp/3"} {
		g.want(Success, "fd_close", g.open(p, openCreate, true))
	}
	fd, dir := g.open("tmp/3", 0, true), g.open("tmp/d", openDirectory, false)
	a := g.open("a", 0, false)
	type units map[Price]int64
	charged := func(want units, name string, args ...uint64) {
		t.Helper()
		before := g.Used(plenty)
		g.want(Success, name, args...)
		cost := PriceCall.Cost()
		for p, n := range want {
			cost += n * p.Cost()
		}
		if got := g.Used(plenty) - before; got < cost || got > cost+300 {
			t.Errorf("%s%v is charged %d, not %d", name, args, got, cost)
		}
	}
	charged(units{}, "sched_yield")
	charged(units{PriceString: 2, PriceByte: 7}, "args_get", listAt, dataAt)
	list, count := g.iovecs(100, 0, 50)
	charged(units{PriceTransfer: 3, PriceByte: 150}, "fd_write", 1, list, count, outAt)
	charged(units{PriceTransfer: 3, PriceByte: 150}, "fd_read", 0, list, count, outAt)
	charged(units{PriceTransfer: 3, PriceByte: 5}, "fd_read", a, list, count, outAt)
	charged(units{PriceTransfer: 3, PriceByte: 150, PriceChunk: 1}, "fd_write", fd, list, count, outAt)
	charged(units{PriceTransfer: 3, PriceByte: 150}, "fd_write", fd, list, count, outAt)
	charged(units{PriceChunk: 9}, "fd_filestat_set_size", fd, 10*chunkBytes)
	charged(units{}, "fd_filestat_set_size", fd, 0)
	charged(units{PriceSorted: 2, PriceListed: 4, PriceByte: 4*24 + 5}, "fd_readdir", dir, dataAt, 4096, 0, outAt)
	charged(units{PriceListed: 4, PriceByte: 4*24 + 5}, "fd_readdir", dir, dataAt, 4096, 0, outAt)
	at, n = g.path("a")
	charged(units{PricePath: 1, PricePathByte: 1}, "path_filestat_get", rootFD, 0, at, n, dataAt)
	charged(units{PricePath: 1, PricePathByte: 1, PriceEntry: 1}, "path_open", rootFD, 0, at, n, 0, 0, 0, 0, outAt)
	at, n = g.path("tmp/d")
	m := g.put(otherAt, []byte("tmp/e"))
	charged(units{PricePath: 2, PricePathByte: 10, PriceEntry: 1, PriceMoved: 4}, "path_rename", rootFD, at, n, rootFD, otherAt, m)
	at, n = g.path("tmp/3")
	charged(units{PricePath: 1, PricePathByte: 5, PriceEntry: 1}, "path_unlink_file", rootFD, at, n)
	g.subscribe(0, 0, eventRead, 0, 0, 0)
	g.subscribe(1, 0, eventRead, 1, 0, 0)
	charged(units{PriceSubscription: 2}, "poll_oneoff", listAt, dataAt, 2, outAt)
	charged(units{PriceRandom: 1000}, "random_get", dataAt, 1000)
}

// TestTooMuchAtOnce names more bytes than a result can count, by buffers that overlap.
func TestTooMuchAtOnce(t *testing.T) {
	r, h := newRuntime(t)
	const pages = 65
	g := instantiate(t, r, h, forwarder(pages), plenty, Config{Stdin: strings.NewReader("x")})
	for i := range uint64(MaxIovecs) {
		g.put(listAt+8*i, le.AppendUint32(le.AppendUint32(nil, 0), pages<<16))
	}
	g.want(Inval, "fd_write", 1, listAt, MaxIovecs, outAt)
	g.want(Inval, "fd_read", 0, listAt, MaxIovecs, outAt)
	g.want(Success, "fd_write", 2, listAt, MaxIovecs-64, outAt)
	if got := g.u32(outAt); got != (MaxIovecs-64)*pages<<16 {
		t.Errorf("%d bytes are said to be written", got)
	}
}

func TestCost(t *testing.T) {
	for p := range prices {
		if p.Cost() <= 0 {
			t.Errorf("price %d is %d", p, p.Cost())
		}
		if c := p.cost(1<<64 - 1); c <= 0 || c > maxCharge {
			t.Errorf("price %d of the greatest number is %d", p, c)
		}
		if c := p.cost(1 << 32); c != p.Cost()<<32 {
			t.Errorf("price %d of 4 GiB is %d", p, c)
		}
	}
}

// TestDigest holds what tasks are bound by. If it changes, raise Version and write the new one down.
func TestDigest(t *testing.T) {
	const want = "2a0bc0ee6eb46d8ca7e9cd3b14a118ebf39cffada13bf592534b8cbc78ea39ec"
	if got := fmt.Sprintf("%x", Digest()); Version != 2 || got != want {
		t.Errorf("version %d has the digest %s", Version, got)
	}
}
