package s3

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
)

// brisk are limits of which a test sees the end.
func brisk() Options {
	return Options{Limits: guard.Limits{HeaderTime: 300 * time.Millisecond, BodyRate: 64 << 10, BodyStall: 300 * time.Millisecond, IdleTime: 300 * time.Millisecond}}
}

// endsWithin reads from c until the server ends it, and tells what came and how long it took.
func endsWithin(t *testing.T, c net.Conn, least, most time.Duration) string {
	t.Helper()
	begin := time.Now()
	b, err := io.ReadAll(c)
	if took := time.Since(begin); took < least || took > most {
		t.Errorf("the connection ended after %v (%v), want %v to %v", took, err, least, most)
	}
	return string(b)
}

func TestSlowHeader(t *testing.T) {
	o := brisk()
	o.BodyStall, o.IdleTime = time.Minute, time.Minute
	w := newWorld(t, o)
	for name, text := range map[string]string{"nothing": "", "half": "GET /photos/k HTTP/1.1\r\nHost:"} {
		t.Run(name, func(t *testing.T) {
			c := w.dial()
			_, _ = io.WriteString(c, text)
			endsWithin(t, c, 150*time.Millisecond, 3*time.Second)
		})
	}
	t.Run("a byte now and then", func(t *testing.T) {
		c := w.dial()
		go func() {
			for _, b := range []byte(strings.Repeat("GET /photos/k HTTP/1.1\r\n", 10)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(30 * time.Millisecond)
			}
		}()
		endsWithin(t, c, 150*time.Millisecond, 3*time.Second)
	})
	t.Run("the second request's", func(t *testing.T) {
		c := w.dial()
		_, _ = io.WriteString(c, request{path: "/photos/k", key: "ALICE"}.String())
		r := bufio.NewReader(c)
		w.expect("the first", readAnswer(r, "GET"), 404, "NoSuchKey")
		_, _ = io.WriteString(c, "GET ")
		endsWithin(t, c, 150*time.Millisecond, 3*time.Second)
	})
}

func TestIdleConnection(t *testing.T) {
	o := brisk()
	o.BodyStall, o.HeaderTime = time.Minute, time.Minute
	w := newWorld(t, o)
	c := w.dial()
	r := bufio.NewReader(c)
	for range 3 { // shorter pauses are none
		_, _ = io.WriteString(c, request{path: "/photos/k", key: "ALICE"}.String())
		w.expect("kept alive", readAnswer(r, "GET"), 404, "NoSuchKey")
		time.Sleep(100 * time.Millisecond)
	}
	if got := endsWithin(t, c, 100*time.Millisecond, 3*time.Second); got != "" {
		t.Errorf("an idle connection was told %q", got)
	}
}

// put sends a body of n bytes in pieces, one a pause, and returns the answer.
func (w *world) put(n, piece int, pause time.Duration) answered {
	c := w.dial()
	text := request{method: "PUT", path: "/photos/slow", key: "ALICE", length: n}.String()
	go func() {
		_, _ = io.WriteString(c, text)
		for sent := 0; sent < n; sent += piece {
			if _, err := c.Write(bytes.Repeat([]byte("x"), min(piece, n-sent))); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	return readAnswer(bufio.NewReader(c), "PUT")
}

func TestSlowBody(t *testing.T) {
	w := newWorld(t, brisk())
	begin := time.Now()
	w.expect("at twice the rate, longer than any stall", w.put(128<<10, 6400, 50*time.Millisecond), 200, "")
	if time.Since(begin) < 2*brisk().BodyStall {
		t.Error("the body was not slow enough to tell")
	}
	w.expect("at a quarter of the rate", w.put(128<<10, 800, 50*time.Millisecond), 400, "RequestTimeout")
	if s, _ := w.be.object("photos/slow"); len(s) != 128<<10 {
		t.Errorf("%d bytes are stored", len(s))
	}
	w.expect("a body that stops", w.put(1<<20, 512<<10, time.Second), 400, "RequestTimeout")
}

func TestSlowReader(t *testing.T) {
	for _, c := range []struct {
		rate   int // bytes a second that the client takes, where 64 KiB are wanted
		served bool
	}{{50, false}, {4 << 20, true}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			t.Parallel()
			o := brisk()
			o.BodyStall = time.Second
			w := newWorld(t, o)
			w.be.objects["photos/big"] = bytes.Repeat([]byte("x"), 64<<20)
			nc := w.dial()
			_ = nc.(*net.TCPConn).SetReadBuffer(256 << 10)
			_, _ = io.WriteString(nc, request{path: "/photos/big", key: "ALICE"}.String())
			if _, err := io.ReadFull(nc, make([]byte, 12)); err != nil {
				t.Fatal(err)
			}
			begin, b := time.Now(), make([]byte, c.rate/50)
			for time.Since(begin) < 3*time.Second && w.s.listener.Open() > 0 {
				if _, err := io.ReadFull(nc, b); err != nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if served := w.s.listener.Open() > 0; served != c.served {
				t.Errorf("after %v: served %v", time.Since(begin), served)
			}
		})
	}
}

func TestSlowHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := brisk()
	o.Connections = 1
	w := newWorldOn(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), o)
	silent, second := w.dial(), w.dial()
	// The one too many is closed at once: nobody waits for its handshake.
	endsWithin(t, second, 0, 200*time.Millisecond)
	endsWithin(t, silent, 0, 3*time.Second)
}

func TestConnections(t *testing.T) {
	for name, o := range map[string]guard.Limits{"in all": {Connections: 3}, "of one client": {ClientConnections: 3}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{Limits: o})
			var open []net.Conn
			for range 3 {
				c := w.dial()
				_, _ = io.WriteString(c, request{path: "/photos/k", key: "ALICE"}.String())
				w.expect("within the limit", readAnswer(bufio.NewReader(c), "GET"), 404, "NoSuchKey")
				open = append(open, c)
			}
			if a := w.do(request{path: "/photos/k", key: "ALICE"}); a.status != 0 {
				t.Errorf("one too many: answered %v", a)
			}
			open[0].Close()
			for begin := time.Now(); w.s.listener.Open() == 3 && time.Since(begin) < 5*time.Second; {
				time.Sleep(time.Millisecond)
			}
			w.expect("after one has gone", w.do(request{path: "/photos/k", key: "ALICE"}), 404, "NoSuchKey")
		})
	}
}

func TestHalfOpenFlood(t *testing.T) {
	o := brisk()
	o.Connections = 64
	w := newWorld(t, o)
	for range 200 {
		w.dial()
	}
	for begin := time.Now(); w.s.listener.Open() > 0 && time.Since(begin) < 5*time.Second; {
		time.Sleep(5 * time.Millisecond)
	}
	w.expect("after the flood", w.do(request{path: "/photos/k", key: "ALICE"}), 404, "NoSuchKey")
}

// What came in one packet with a refused request is not taken for the next one.
func TestARefusedBodyIsNotARequest(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/secret"] = []byte("x")
	inner := request{path: "/photos/secret", key: "ALICE"}.String()
	c := w.dial()
	_, _ = io.WriteString(c, fmt.Sprintf("PUT /photos/%%zz HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner))
	r := bufio.NewReader(c)
	w.expect("the refused one", readAnswer(r, "PUT"), 400, "InvalidURI")
	_ = c.(*net.TCPConn).CloseWrite()
	if a := readAnswer(r, "GET"); a.status != 0 {
		t.Errorf("its body was served: %v", a)
	}
}
