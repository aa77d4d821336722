package guard

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both directions at the default limits, exactly: without the kernel's buffers, by a clock that only the test moves.
func TestPace(t *testing.T) {
	o, err := Limits{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	for _, c := range []struct {
		name  string
		rate  int           // bytes a second
		pause time.Duration // once, in the middle
		ok    bool
	}{
		{"at the rate", o.BodyRate, 0, true}, {"a fifth below", o.BodyRate * 8 / 10, 0, false}, {"far below", 1, 0, false},
		{"fast, with a stall", 100 * o.BodyRate, o.BodyStall - time.Second, true}, {"fast, with a longer one", 100 * o.BodyRate, o.BodyStall + time.Second, false},
	} {
		for _, reads := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				done := make(chan struct{})
				defer func() { ours.Close(); <-done }()
				s := &conn{Conn: ours, l: NewListener(nil, o)}
				s.enter(InBody)
				go func() {
					defer close(done)
					defer theirs.Close()
					b := make([]byte, max(c.rate/10, 1))
					paused := false
					for moved := 0; moved < size; {
						if moved >= size/2 && !paused {
							paused = true
							time.Sleep(c.pause)
						}
						n, err := len(b), error(nil)
						if reads {
							n, err = theirs.Read(b)
						} else {
							_, err = theirs.Write(b)
						}
						if err != nil {
							return
						}
						moved += n
						time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
					}
				}()
				var err error
				if reads {
					_, err = s.Write(make([]byte, size))
				} else {
					_, err = io.CopyN(io.Discard, struct{ io.Reader }{s}, size)
				}
				if (err == nil) != c.ok {
					t.Errorf("%s, the client reads %v: %v", c.name, reads, err)
				}
			})
		}
	}
}

// What a server sets, say while it drains a refused body, holds beside our own limits, in a read that waits already too.
func TestOuterDeadline(t *testing.T) {
	o, err := Limits{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		c := &conn{Conn: ours, l: NewListener(nil, o)}
		for name, during := range map[string]bool{"before": false, "during": true} {
			c.enter(InBody)
			begin := time.Now()
			set := func() { _ = c.SetReadDeadline(begin.Add(2 * time.Second)) }
			if during {
				time.AfterFunc(time.Second, set)
			} else {
				set()
			}
			if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) != 2*time.Second {
				t.Errorf("set %s: ended after %v, %v", name, time.Since(begin), err)
			}
			_ = c.SetReadDeadline(time.Time{})
		}
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) < o.BodyStall-5*time.Second {
			t.Errorf("cleared: ended after %v, %v", time.Since(begin), err)
		}
	})
}

func TestClientOf(t *testing.T) {
	for in, want := range map[string]string{"1.2.3.4:5": "1.2.3.4", "[::ffff:1.2.3.4]:5": "1.2.3.4", "[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::", "[fe80::1%eth0]:7": "fe80::"} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := ClientOf(a).String(); got != want {
			t.Errorf("%s counts for %s, want %s", in, got, want)
		}
	}
	if got := ClientOf(&net.UnixAddr{Name: "@x"}); got.IsValid() {
		t.Error(got)
	}
}

func TestClients(t *testing.T) {
	l, err := NewClients(Limits{ClientRate: 10, ClientBurst: 5, Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	l.now = func() time.Time { return now }
	a, b, c := netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2.2.2.2"), netip.MustParseAddr("3.3.3.3")
	admitted := func(who netip.Addr, n int) (count int) {
		for range n {
			if l.Admit(who) {
				count++
			}
		}
		return count
	}
	if n := admitted(a, 9); n != 5 {
		t.Errorf("a burst of 5: %d", n)
	}
	if n := admitted(b, 9); n != 5 {
		t.Errorf("another client: %d", n)
	}
	now = now.Add(250 * time.Millisecond)
	if n := admitted(a, 9); n != 2 {
		t.Errorf("10 a second for 250 ms: %d", n)
	}
	now = now.Add(time.Hour)
	if n := admitted(a, 9); n != 5 {
		t.Errorf("after an hour: %d", n)
	}
	admitted(c, 1) // b is forgotten, the table holds two
	if l.buckets.Len() != 2 {
		t.Errorf("%d clients are remembered", l.buckets.Len())
	}
	if n := admitted(a, 9); n != 0 {
		t.Errorf("a, who is remembered: %d", n)
	}
}
