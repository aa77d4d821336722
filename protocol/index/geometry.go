package index

import (
	"github.com/stratosmesh/stratos/mesh"
)

// A Geometry is how a segment is cut: DataPieces (k) of Pieces (n) suffice, and a write is acknowledged when
// Acknowledged of them are fsynced.
type Geometry struct {
	DataPieces   int
	Pieces       int
	Acknowledged int
}

// MinDomains is the least number of failure domains that can hold anything.
const MinDomains = 3

// MaxPieces is the largest number of pieces of a segment.
const MaxPieces = 80

// GeometryFor returns the geometry for N active failure domains.
//
//	N >= 7:      n = min(N, 80), k = max(4, floor(29 n / 80)): any third of the domains may vanish up to N = 153
//	N = 3 to 6:  3 replicas (k = 1)
//	N < 3:       refused, kind Unavailable
//
// Acknowledged is k + ceil((n-k)/2).
func GeometryFor(domains int) (Geometry, error) {
	switch {
	case domains < MinDomains:
		return Geometry{}, mesh.WithHint(
			mesh.Errorf(mesh.Unavailable, "%d failure domains are active and %d are needed to keep anything safely", domains, MinDomains),
			"start more nodes with operators of their own")
	case domains < 7:
		return geometry(1, 3), nil
	}
	n := min(domains, MaxPieces)
	return geometry(max(4, 29*n/80), n), nil
}

func geometry(k, n int) Geometry { return Geometry{k, n, k + (n-k+1)/2} }

// Valid tells whether g is one of the geometries that GeometryFor gives for some number of domains.
func (g Geometry) Valid() bool {
	if g.Pieces == 3 {
		return g == geometry(1, 3)
	}
	if g.Pieces < 7 || g.Pieces > MaxPieces {
		return false
	}
	want, err := GeometryFor(g.Pieces)
	return err == nil && g == want
}

// TagBytes is what sealing adds to a frame or to an inline object: the tag of AES-256-GCM.
const TagBytes = 16

// FrameFor returns the plaintext bytes of a frame for a segment of that many plaintext bytes: mesh.FrameBytes, or
// ceil(plain/k) when that would be fewer than k frames, so that each data piece gets one.
func FrameFor(plain uint64, k int) uint64 {
	if plain > uint64(k-1)*mesh.FrameBytes {
		return mesh.FrameBytes
	}
	return max(1, ceilDiv(plain, uint64(k)))
}

// Stored returns how many bytes an object of size plaintext bytes takes in frames; overhead is TagBytes when sealed,
// 0 in a public bucket.
func Stored(size, frame, overhead uint64) uint64 {
	if size == 0 {
		return 0
	}
	return size + ceilDiv(size, frame)*overhead
}

// PieceBytes returns the bytes of each piece of a segment of stored bytes, so that a data piece is a run of whole
// stored frames (frame plus overhead): ceil(frames/k) frames.
func PieceBytes(stored, storedFrame uint64, k int) uint64 {
	return ceilDiv(ceilDiv(stored, storedFrame), uint64(k)) * storedFrame
}

func ceilDiv(a, b uint64) uint64 { return (a + b - 1) / b }
