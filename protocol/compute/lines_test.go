package compute_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// A text is a source in memory, which counts what is open and what was asked for.
type text struct {
	string
	open  int
	asked uint64
}

func (s *text) Size() uint64 { return uint64(len(s.string)) }

func (s *text) Open(offset, length uint64) (io.ReadCloser, error) {
	if offset+length > s.Size() {
		return nil, errors.New("past the end")
	}
	s.open++
	s.asked += length
	return &opened{iotest.HalfReader(strings.NewReader(s.string[offset : offset+length])), s}, nil
}

type opened struct {
	io.Reader
	of *text
}

func (o *opened) Close() error { o.of.open--; return nil }

func read(t *testing.T, s *text, from, to uint64) string {
	t.Helper()
	r := compute.Lines(s, from, to)
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		text string
		cuts []uint64
		want []string
	}{
		{"one\ntwo\nthree\n", []uint64{0, 14}, []string{"one\ntwo\nthree\n"}},
		{"one\ntwo\nthree", []uint64{0, 4, 13}, []string{"one\n", "two\nthree\n"}}, // cut at a record's end; the last gets its newline
		{"one\ntwo\nthree", []uint64{0, 3, 5, 6, 13}, []string{"one\n", "two\n", "", "three\n"}},
		{"one\ntwo\nthree", []uint64{0, 12, 13}, []string{"one\ntwo\nthree\n", ""}},
		{"\n\n\n", []uint64{0, 1, 2, 3}, []string{"\n", "\n", "\n"}},
		{"", []uint64{0, 0}, []string{""}},
		{"x", []uint64{0, 1}, []string{"x\n"}},
		{"x", []uint64{0, 100}, []string{"x\n"}},
	} {
		for i, want := range c.want {
			if got := read(t, &text{string: c.text}, c.cuts[i], c.cuts[i+1]); got != want {
				t.Errorf("%q from %d to %d: %q, want %q", c.text, c.cuts[i], c.cuts[i+1], got, want)
			}
		}
	}
}

// Whatever the text and wherever it is cut, the ranges give each line once, in order, and leave nothing open.
func TestLinesOfAllRanges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		b := make([]byte, rng.IntN(400))
		for i := range b {
			b[i] = "ab\n"[rng.IntN(3)]
			if rng.IntN(4) > 0 {
				b[i] = 'x'
			}
		}
		s := &text{string: string(b)}
		var got strings.Builder
		for from := uint64(0); from < s.Size(); {
			to := from + 1 + rng.Uint64N(100)
			part := read(t, s, from, to)
			if part != "" && !strings.HasSuffix(part, "\n") {
				t.Fatalf("%q from %d to %d: %q", b, from, to, part)
			}
			got.WriteString(part)
			from = to
		}
		want := string(b)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got.String() != want {
			t.Fatalf("%q came as %q", want, got.String())
		}
		if s.open != 0 {
			t.Fatalf("%d parts are left open", s.open)
		}
	}
}

func TestLongLines(t *testing.T) {
	just := strings.Repeat("x", compute.MaxRecord-1)
	s := &text{string: just + "\n" + just + "\nshort\n"}
	if got := read(t, s, 1, 2<<20+1); got != just+"\nshort\n" {
		t.Fatalf("%d bytes", len(got))
	}
	for _, long := range []*text{{string: just + "x\n"}, {string: just + "xx"}, {string: "a\n" + just + just}} {
		_, err := io.ReadAll(compute.Lines(long, 0, 10))
		if mesh.KindOf(err) != mesh.Invalid {
			t.Fatalf("a line that is too long: %v", err)
		}
		if long.asked > 2*compute.MaxRecord {
			t.Fatalf("%d bytes were read for it", long.asked)
		}
	}
}

func TestLinesPassErrorsOn(t *testing.T) {
	s := &text{string: "one\ntwo"}
	r := compute.Lines(broken{s}, 0, 7)
	if _, err := io.ReadAll(r); !errors.Is(err, errBroken) {
		t.Fatalf("an input that cannot be read: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{ *text }

func (b broken) Open(offset, length uint64) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader([]byte("one\n")), iotest.ErrReader(errBroken))), nil
}
