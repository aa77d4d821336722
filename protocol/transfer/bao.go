package transfer

import (
	"encoding/binary"
	"math/bits"

	"lukechampine.com/blake3/guts"

	"github.com/stratosmesh/stratos/mesh"
)

// The BLAKE3 tree of a slice in groups of 16 KiB, as lukechampine.com/blake3/bao encodes it, over bytes that are in
// memory already: nothing is copied but into an answer.
//
//	outboard = slice length u64 LE | parents in pre-order, 64 bytes each (left, right)
//	proof    = slice length u64 LE | in pre-order, of what the range touches: parents, and groups of bytes

const (
	baoGroup  = guts.ChunkSize << BaoGroup
	baoParent = 64
)

func groupCV(p []byte, pos uint64, flags uint32) [8]uint32 {
	var n guts.Node
	if len(p) == baoGroup {
		n = guts.CompressBuffer((*[baoGroup]byte)(p), baoGroup, &guts.IV, pos/guts.ChunkSize, 0)
	} else {
		var last [baoGroup]byte
		copy(last[:], p)
		n = guts.CompressBuffer(&last, len(p), &guts.IV, pos/guts.ChunkSize, 0)
	}
	n.Flags |= flags
	return guts.ChainingValue(n)
}

func parentCV(p []byte, flags uint32) [8]uint32 {
	return guts.ChainingValue(guts.ParentNode(cvOf(p), cvOf(p[32:]), &guts.IV, flags))
}

func cvOf(b []byte) (cv [8]uint32) {
	_ = b[31]
	for i := range cv {
		cv[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return cv
}

func putCV(b []byte, cv [8]uint32) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
}

// split returns where the right subtree of n bytes begins, and the bytes of the parents in the left one.
func split(n uint64) (mid, left uint64) {
	mid = 1 << (bits.Len64(n-1) - 1)
	return mid, (mid/baoGroup - 1) * baoParent
}

// OutboardBytes is how many bytes the outboard of a slice has.
func OutboardBytes(length uint64) uint64 {
	return 8 + (max(1, (length+baoGroup-1)/baoGroup)-1)*baoParent
}

// Outboard returns the tree of a slice and its root: the slice's id.
func Outboard(data []byte) ([]byte, mesh.SliceID) {
	out := make([]byte, OutboardBytes(uint64(len(data))))
	binary.LittleEndian.PutUint64(out, uint64(len(data)))
	root := subtree(data, 0, guts.FlagRoot, out[8:])
	var id mesh.SliceID
	putCV(id[:], root)
	return out, id
}

func subtree(data []byte, pos uint64, flags uint32, out []byte) [8]uint32 {
	if len(data) <= baoGroup {
		return groupCV(data, pos, flags)
	}
	mid, left := split(uint64(len(data)))
	putCV(out, subtree(data[:mid], pos, 0, out[baoParent:baoParent+left]))
	putCV(out[32:], subtree(data[mid:], pos+mid, 0, out[baoParent+left:]))
	return parentCV(out[:baoParent], flags)
}

// SliceIDOf returns the root of a slice's tree.
func SliceIDOf(data []byte) (id mesh.SliceID) {
	putCV(id[:], root(data, 0, guts.FlagRoot))
	return id
}

func root(data []byte, pos uint64, flags uint32) [8]uint32 {
	if len(data) <= baoGroup {
		return groupCV(data, pos, flags)
	}
	mid, _ := split(uint64(len(data)))
	l, r := root(data[:mid], pos, 0), root(data[mid:], pos+mid, 0)
	return guts.ChainingValue(guts.ParentNode(l, r, &guts.IV, flags))
}

// Groups returns the range of whole groups that holds a range of a slice of that many bytes.
func Groups(length, offset, n uint64) (from, to uint64) {
	return offset / baoGroup * baoGroup, min((offset+n+baoGroup-1)/baoGroup*baoGroup, length)
}

// AppendProof appends the proof of a range of the slice id to dst; groups holds the bytes that Groups names. Each byte is
// checked on its way: false means that outboard and groups are not those of the slice.
func AppendProof(dst, outboard, groups []byte, id mesh.SliceID, offset, n uint64) ([]byte, bool) {
	if len(outboard) < 8 {
		return dst, false
	}
	length := binary.LittleEndian.Uint64(outboard)
	if length == 0 || n == 0 || n > length || offset > length-n || uint64(len(outboard)) != OutboardBytes(length) {
		return dst, false
	}
	from, to := Groups(length, offset, n)
	if uint64(len(groups)) != to-from {
		return dst, false
	}
	p := prover{dst: append(dst, outboard[:8]...), groups: groups, from: from, to: to}
	ok := p.walk(cvOf(id[:]), 0, length, guts.FlagRoot, outboard[8:])
	return p.dst, ok
}

type prover struct {
	dst      []byte
	groups   []byte
	from, to uint64
}

func (p *prover) walk(cv [8]uint32, pos, n uint64, flags uint32, parents []byte) bool {
	if pos >= p.to || p.from >= pos+n {
		return true
	}
	if n <= baoGroup {
		g := p.groups[pos-p.from : pos-p.from+n]
		p.dst = append(p.dst, g...)
		return groupCV(g, pos, flags) == cv
	}
	if parentCV(parents, flags) != cv {
		return false
	}
	p.dst = append(p.dst, parents[:baoParent]...)
	mid, left := split(n)
	return p.walk(cvOf(parents), pos, mid, 0, parents[baoParent:baoParent+left]) &&
		p.walk(cvOf(parents[32:]), pos+mid, n-mid, 0, parents[baoParent+left:])
}

// VerifyProof checks the proof of the range of the slice id that begins at offset and is as long as dst, and copies its
// bytes there. On false, dst holds nothing to be believed.
func VerifyProof(dst, proof []byte, id mesh.SliceID, offset uint64) bool {
	if len(proof) < 8 {
		return false
	}
	length := binary.LittleEndian.Uint64(proof)
	if n := uint64(len(dst)); n == 0 || n > length || offset > length-n {
		return false
	}
	v := verifier{dst: dst, proof: proof[8:], offset: offset}
	return v.walk(cvOf(id[:]), 0, length, guts.FlagRoot) && len(v.proof) == 0
}

type verifier struct {
	dst, proof []byte
	offset     uint64
}

func (v *verifier) take(n uint64) []byte {
	if n > uint64(len(v.proof)) {
		return nil
	}
	b := v.proof[:n]
	v.proof = v.proof[n:]
	return b
}

func (v *verifier) walk(cv [8]uint32, pos, n uint64, flags uint32) bool {
	end := v.offset + uint64(len(v.dst))
	if pos >= end || v.offset-min(v.offset, pos) >= n {
		return true
	}
	if n <= baoGroup {
		g := v.take(n)
		if g == nil || groupCV(g, pos, flags) != cv {
			return false
		}
		if pos < v.offset {
			copy(v.dst, g[v.offset-pos:])
		} else {
			copy(v.dst[pos-v.offset:], g)
		}
		return true
	}
	parent := v.take(baoParent)
	if parent == nil || parentCV(parent, flags) != cv {
		return false
	}
	mid, _ := split(n)
	return v.walk(cvOf(parent), pos, mid, 0) && v.walk(cvOf(parent[32:]), pos+mid, n-mid, 0)
}
