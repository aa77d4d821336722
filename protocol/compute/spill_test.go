package compute_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// part reads a part of a spill.
func part(t *testing.T, spill []byte, parts, i uint32) []byte {
	t.Helper()
	from, to, err := compute.SpillPart(spill[:compute.SpillHead(parts)], parts, i, uint64(len(spill)))
	if err != nil {
		t.Fatal(err)
	}
	return spill[from:to]
}

// Maps' outputs, spilled and merged, are the same lines: sorted by key, equal keys in the order of outputs and of lines, each key in one part.
func TestSpillAndMerge(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		parts := 1 + rng.Uint32N(5)
		var spills [][]byte
		var want []string
		for m := range rng.IntN(6) {
			var out strings.Builder
			for i := range rng.IntN(50) {
				line := []string{"", "\t", "\tx", "a", "a\tb\tc", "b\t1", "a b\t\x00", "aa\t", "\xff\tz"}[rng.IntN(9)]
				if rng.IntN(2) == 0 {
					line = fmt.Sprintf("key %d\tmap %d line %d", rng.IntN(9), m, i)
				}
				if rng.IntN(100) == 0 {
					line = strings.Repeat("long", 10_000) + "\tx"
				}
				out.WriteString(line + "\n")
				want = append(want, line+"\n")
			}
			text := out.String()
			if rng.IntN(2) == 0 {
				text = strings.TrimSuffix(text, "\n")
				if last := out.String(); last == "\n" || strings.HasSuffix(last, "\n\n") {
					want = want[:len(want)-1] // an empty line without its end is none
				}
			}
			spill, err := compute.Spill([]byte(text), parts)
			if err != nil {
				t.Fatal(err)
			}
			spills = append(spills, spill)
		}
		key := func(line string) string { return strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 2)[0] }
		slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(key(a), key(b)) })
		seen := map[string]uint32{}
		total := 0
		for p := range parts {
			var runs []io.Reader
			for _, s := range spills {
				runs = append(runs, iotest.HalfReader(bytes.NewReader(part(t, s, parts, p))))
			}
			b, err := io.ReadAll(compute.Merge(runs))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.SplitAfter(string(b), "\n")
			got = got[:len(got)-1]
			total += len(got)
			for _, line := range got {
				if in, ok := seen[key(line)]; ok && in != p {
					t.Fatalf("key %q is in parts %d and %d", key(line), in, p)
				}
				seen[key(line)] = p
			}
			var here []string
			for _, line := range want {
				if in, ok := seen[key(line)]; ok && in == p {
					here = append(here, line)
				}
			}
			if !slices.Equal(got, here) {
				t.Fatalf("part %d is %q, want %q", p, got, here)
			}
		}
		if total != len(want) {
			t.Fatalf("%d lines of %d", total, len(want))
		}
	}
}

func TestParts(t *testing.T) {
	var out strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&out, "user-%d\t1\n", i)
	}
	spill, err := compute.Spill([]byte(out.String()), 16)
	if err != nil {
		t.Fatal(err)
	}
	for p := range uint32(16) {
		if n := bytes.Count(part(t, spill, 16, p), []byte{'\n'}); n < 400 || n > 900 {
			t.Errorf("part %d has %d of 10,000 keys", p, n)
		}
	}
}

func TestSpillRefuses(t *testing.T) {
	for _, c := range []struct {
		out   string
		parts uint32
		kind  mesh.Kind
	}{
		{"a\n", 0, mesh.Invalid}, {"a\n", compute.MaxParts + 1, mesh.Invalid}, {strings.Repeat("x", compute.MaxRecord) + "\n", 1, mesh.Invalid},
	} {
		if _, err := compute.Spill([]byte(c.out), c.parts); mesh.KindOf(err) != c.kind || err == nil {
			t.Errorf("%d bytes in %d parts: %v", len(c.out), c.parts, err)
		}
	}
	good, err := compute.Spill([]byte("b\t1\na\t2\n"), 2)
	if err != nil {
		t.Fatal(err)
	}
	for at := range compute.SpillHead(2) {
		bad := bytes.Clone(good)
		bad[at] ^= 0x80
		if _, _, err := compute.SpillPart(bad, 2, 1, uint64(len(bad))); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("byte %d of the head flipped: %v", at, err)
		}
	}
	for _, size := range []uint64{0, 5, uint64(len(good)) - 1, uint64(len(good)) + 1} {
		if _, _, err := compute.SpillPart(good[:min(size, uint64(len(good)))], 2, 1, size); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("of %d bytes: %v", size, err)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	for name, run := range map[string]string{
		"unsorted": "b\t1\na\t1\n", "cut off": "a\t1\nb", "too long": strings.Repeat("x", compute.MaxRecord) + "\n",
	} {
		if _, err := io.ReadAll(compute.Merge([]io.Reader{strings.NewReader("a\n"), strings.NewReader(run)})); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := io.ReadAll(compute.Merge([]io.Reader{iotest.ErrReader(errBroken)})); !errors.Is(err, errBroken) {
		t.Errorf("a run that cannot be read: %v", err)
	}
}

// BenchmarkSpill shows what a unit of ShuffleFuel takes: about 0.03 ns, as elsewhere.
func BenchmarkSpill(b *testing.B) {
	for _, c := range []struct {
		name string
		line func(int) string
	}{
		{"words", func(i int) string { return fmt.Sprintf("word%d\t1\n", i*7919%5000) }},
		{"short", func(i int) string { return fmt.Sprintf("%d\n", i*7919%100_000) }},
		{"rows", func(i int) string {
			return fmt.Sprintf("customer-%d\t%s\n", i*7919%100_000, strings.Repeat("value,", 20))
		}},
	} {
		var out strings.Builder
		for i := 0; out.Len() < 8<<20; i++ {
			out.WriteString(c.line(i))
		}
		text := []byte(out.String())
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := compute.Spill(text, 8); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(compute.ShuffleFuel(text)), "ns/fuel")
		})
	}
}
