package erasure_test

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/erasure"
)

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func encode(t *testing.T, k, n, pieceBytes int, stored []byte) (*erasure.Code, [][]byte) {
	t.Helper()
	c, err := erasure.New(k, n)
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := c.Encode(stored, pieceBytes)
	if err != nil {
		t.Fatal(err)
	}
	return c, pieces
}

// keep returns the pieces at which has is true, the others missing.
func keep(pieces [][]byte, has func(i int) bool) [][]byte {
	left := make([][]byte, len(pieces))
	for i := range pieces {
		if has(i) {
			left[i] = pieces[i]
		}
	}
	return left
}

func same(t *testing.T, what any, got, want [][]byte) {
	t.Helper()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%v: piece %d is wrong", what, i)
		}
	}
}

// Every set of at least k pieces gives all back; every smaller one is refused.
func TestEverySubset(t *testing.T) {
	r := seeded(t)
	for _, g := range [][2]int{{1, 1}, {1, 3}, {2, 2}, {2, 3}, {3, 5}, {4, 7}, {4, 8}, {5, 9}} {
		k, n := g[0], g[1]
		const piece = 37
		c, pieces := encode(t, k, n, piece, random(r, k*piece-5))
		for set := range 1 << n {
			left := keep(pieces, func(i int) bool { return set>>i&1 == 1 })
			err := c.Reconstruct(left, false)
			if bits.OnesCount(uint(set)) < k {
				if mesh.KindOf(err) != mesh.Unavailable || err == nil {
					t.Fatalf("%d of %d, set %b: %v", k, n, set, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%d of %d, set %b: %v", k, n, set, err)
			}
			same(t, set, left, pieces)
		}
	}
}

func TestRandomSubsetsOfTheLargest(t *testing.T) {
	r := seeded(t)
	const k, n, piece = 29, 80, 64
	stored := random(r, k*piece)
	c, pieces := encode(t, k, n, piece, stored)
	for round := range 50 {
		order := r.Perm(n)[:k]
		chosen := map[int]bool{}
		for _, i := range order {
			chosen[i] = true
		}
		left := keep(pieces, func(i int) bool { return chosen[i] })
		if err := c.Reconstruct(left, round%2 == 0); err != nil {
			t.Fatal(err)
		}
		if round%2 == 1 {
			same(t, order, left, pieces)
		}
		if got := bytes.Join(left[:k], nil); !bytes.Equal(got, stored) {
			t.Fatalf("pieces %v give other bytes", order)
		}
	}
}

// The same range of k pieces gives that range of the others, so that a range read costs a range.
func TestSubRange(t *testing.T) {
	r := seeded(t)
	const k, n, piece = 4, 8, 1000
	c, pieces := encode(t, k, n, piece, random(r, k*piece))
	for range 100 {
		from := r.IntN(piece)
		to := from + 1 + r.IntN(piece-from)
		chosen := map[int]bool{}
		for _, i := range r.Perm(n)[:k] {
			chosen[i] = true
		}
		left := make([][]byte, n)
		for i := range chosen {
			left[i] = bytes.Clone(pieces[i][from:to])
		}
		if err := c.Reconstruct(left, true); err != nil {
			t.Fatal(err)
		}
		for i := range k {
			if !bytes.Equal(left[i], pieces[i][from:to]) {
				t.Fatalf("[%d, %d) of piece %d is wrong", from, to, i)
			}
		}
	}
}

// Data pieces are runs of the bytes themselves, filled up with zeros.
func TestSystematic(t *testing.T) {
	r := seeded(t)
	for _, length := range []int{0, 1, 9, 10, 11, 39, 40} {
		stored := random(r, length)
		_, pieces := encode(t, 4, 7, 10, stored)
		want := append(bytes.Clone(stored), make([]byte, 40-length)...)
		if got := bytes.Join(pieces[:4], nil); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the data pieces are not the bytes", length)
		}
		for i, p := range pieces {
			if len(p) != 10 {
				t.Errorf("%d bytes: piece %d has %d", length, i, len(p))
			}
		}
	}
	_, replicas := encode(t, 1, 3, 10, []byte("0123456789"))
	same(t, "replicas", replicas, [][]byte{[]byte("0123456789"), []byte("0123456789"), []byte("0123456789")})
}

func TestRefusals(t *testing.T) {
	for _, g := range [][2]int{{0, 3}, {-1, 3}, {4, 3}, {1, 257}} {
		if _, err := erasure.New(g[0], g[1]); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%d of %d: %v", g[0], g[1], err)
		}
	}
	c, pieces := encode(t, 4, 7, 10, make([]byte, 40))
	for _, p := range []int{-1, 0, 9} {
		if _, err := c.Encode(make([]byte, 40), p); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("pieces of %d bytes: %v", p, err)
		}
	}
	if err := c.Reconstruct(pieces[:6], false); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("six pieces: %v", err)
	}
	uneven := keep(pieces, func(i int) bool { return i > 1 })
	uneven[3] = uneven[3][:5]
	if err := c.Reconstruct(uneven, false); mesh.KindOf(err) != mesh.Corrupt || err == nil {
		t.Errorf("pieces of two lengths: %v", err)
	}
}
