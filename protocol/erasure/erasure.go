// Package erasure cuts the stored bytes of a segment into pieces and joins them again: systematic Reed-Solomon, in
// which the first k pieces are the bytes themselves, each a run, or plain replicas where k is 1.
//
// It is a thin skin over klauspost/reedsolomon that fixes the layout; package index decides k and n.
package erasure

import (
	"fmt"

	"github.com/klauspost/reedsolomon"

	"github.com/stratosmesh/stratos/mesh"
)

// A Code makes n pieces of which any k suffice. It may be used by many goroutines.
type Code struct {
	k, n int
	rs   reedsolomon.Encoder // nil when k is 1
}

// New returns the code of k of n; the error is of kind Invalid. Making one inverts matrices: keep it.
func New(k, n int) (*Code, error) {
	if k < 1 || n < k || n > 256 {
		return nil, mesh.Errorf(mesh.Invalid, "no code of %d of %d pieces", k, n)
	}
	c := &Code{k: k, n: n}
	if k > 1 && n > k {
		rs, err := reedsolomon.New(k, n-k)
		if err != nil {
			return nil, mesh.Errorf(mesh.Invalid, "a code of %d of %d pieces: %w", k, n, err)
		}
		c.rs = rs
	}
	return c, nil
}

// Encode returns the n pieces of stored, each of pieceBytes; what stored lacks is zero. The first pieces alias stored
// where they are full.
func (c *Code) Encode(stored []byte, pieceBytes int) ([][]byte, error) {
	return c.EncodeInto(nil, stored, pieceBytes)
}

// EncodeInto is Encode that makes the other pieces in scratch, if that is large enough: n-k of pieceBytes.
func (c *Code) EncodeInto(scratch, stored []byte, pieceBytes int) ([][]byte, error) {
	if pieceBytes < 1 || c.k*pieceBytes < len(stored) {
		return nil, mesh.Errorf(mesh.Invalid, "%d pieces of %d bytes do not hold %d", c.k, pieceBytes, len(stored))
	}
	pieces := make([][]byte, c.n)
	for i := range c.k {
		from := min(i*pieceBytes, len(stored))
		run := stored[from:min(from+pieceBytes, len(stored))]
		if len(run) == pieceBytes {
			pieces[i] = run[:pieceBytes:pieceBytes]
			continue
		}
		pieces[i] = make([]byte, pieceBytes)
		copy(pieces[i], run)
	}
	for i := c.k; i < c.n; i++ {
		switch {
		case c.k == 1:
			pieces[i] = pieces[0]
		case len(scratch) >= pieceBytes:
			pieces[i], scratch = scratch[:pieceBytes:pieceBytes], scratch[pieceBytes:]
		default:
			pieces[i] = make([]byte, pieceBytes)
		}
	}
	if c.rs != nil {
		if err := c.rs.Encode(pieces); err != nil {
			return nil, fmt.Errorf("coding a segment: %w", err)
		}
	}
	return pieces, nil
}

// Reconstruct fills in the missing (nil) pieces: all of them, or the data pieces only. At least k must be there, all of
// one length, else the error is Unavailable. They are trusted: whoever read them has checked them.
func (c *Code) Reconstruct(pieces [][]byte, dataOnly bool) error {
	if len(pieces) != c.n {
		return mesh.Errorf(mesh.Invalid, "%d pieces given to a code of %d", len(pieces), c.n)
	}
	have := 0
	var any []byte
	for _, p := range pieces {
		if p != nil {
			have++
			any = p
		}
	}
	if have < c.k {
		return mesh.Errorf(mesh.Unavailable, "%d of %d pieces are there, %d are needed", have, c.n, c.k)
	}
	if c.rs == nil {
		for i := range pieces {
			if pieces[i] == nil && c.k == 1 {
				pieces[i] = any
			}
		}
		return nil
	}
	var err error
	if dataOnly {
		err = c.rs.ReconstructData(pieces)
	} else {
		err = c.rs.Reconstruct(pieces)
	}
	if err != nil {
		return mesh.Errorf(mesh.Corrupt, "joining pieces: %w", err)
	}
	return nil
}
