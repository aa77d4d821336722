package transfer

import (
	"encoding/binary"
	"errors"
	"io"
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

// GroupHashes returns what each of the groups that hold a range of the slice id hashes to: see GroupIs. Every parent on the way is checked: false means that
// outboard is not that of the slice.
func GroupHashes(outboard []byte, id mesh.SliceID, offset, n uint64) ([][32]byte, bool) {
	if len(outboard) < 8 {
		return nil, false
	}
	length := binary.LittleEndian.Uint64(outboard)
	if length == 0 || n == 0 || n > length || offset > length-n || uint64(len(outboard)) != OutboardBytes(length) {
		return nil, false
	}
	h := hashes{}
	h.from, h.to = Groups(length, offset, n)
	ok := h.walk(cvOf(id[:]), 0, length, guts.FlagRoot, outboard[8:])
	return h.all, ok
}

type hashes struct {
	from, to uint64
	all      [][32]byte
}

func (h *hashes) walk(cv [8]uint32, pos, n uint64, flags uint32, parents []byte) bool {
	if pos >= h.to || h.from >= pos+n {
		return true
	}
	if n <= baoGroup {
		h.all = append(h.all, [32]byte{})
		putCV(h.all[len(h.all)-1][:], cv)
		return true
	}
	if parentCV(parents, flags) != cv {
		return false
	}
	mid, left := split(n)
	return h.walk(cvOf(parents), pos, mid, 0, parents[baoParent:baoParent+left]) &&
		h.walk(cvOf(parents[32:]), pos+mid, n-mid, 0, parents[baoParent+left:])
}

// GroupIs tells whether g is the group that begins at pos of a slice of length bytes, by what GroupHashes gave for it.
func GroupIs(g []byte, pos, length uint64, hash [32]byte) bool {
	if from, to := Groups(length, pos, 1); pos >= length || from != pos || uint64(len(g)) != to-from {
		return false
	}
	flags := uint32(0)
	if length <= baoGroup {
		flags = guts.FlagRoot
	}
	return groupCV(g, pos, flags) == cvOf(hash[:])
}

// ReadProof reads from r the proof of the range of the slice id that begins at offset and is as long as dst, and the range's
// bytes into dst, each group checked as it comes. The error is Corrupt when the proof is wrong, too short or too long, and
// else what r said; then dst holds nothing to be believed.
func ReadProof(r io.Reader, dst []byte, id mesh.SliceID, offset uint64) error {
	v := verifier{r: r, dst: dst, offset: offset}
	if err := v.fill(v.parent[:8]); err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(v.parent[:8])
	if n := uint64(len(dst)); n == 0 || n > length || offset > length-n {
		return errProof
	}
	if err := v.walk(cvOf(id[:]), 0, length, guts.FlagRoot); err != nil {
		return err
	}
	if err := v.fill(v.parent[:1]); err == nil || !errors.Is(err, errProof) {
		return orElse(err, errProof)
	}
	return nil
}

var errProof = mesh.Errorf(mesh.Corrupt, "the proof of a range is wrong")

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

type verifier struct {
	r      io.Reader
	dst    []byte
	offset uint64
	parent [baoParent]byte
	edge   []byte // a group that is only in part in dst
}

// fill reads all of b; the end of the input is a wrong proof.
func (v *verifier) fill(b []byte) error {
	for len(b) > 0 {
		n, err := v.r.Read(b)
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if err != nil {
			if err == io.EOF {
				return errProof
			}
			return err
		}
	}
	return nil
}

func (v *verifier) walk(cv [8]uint32, pos, n uint64, flags uint32) error {
	end := v.offset + uint64(len(v.dst))
	if pos >= end || v.offset-min(v.offset, pos) >= n {
		return nil
	}
	if n <= baoGroup {
		whole := pos >= v.offset && n <= end-pos
		var g []byte
		if whole {
			g = v.dst[pos-v.offset:][:n]
		} else {
			if v.edge == nil {
				v.edge = make([]byte, baoGroup)
			}
			g = v.edge[:n]
		}
		if err := v.fill(g); err != nil {
			return err
		}
		if groupCV(g, pos, flags) != cv {
			return errProof
		}
		switch {
		case whole:
		case pos < v.offset:
			copy(v.dst, g[v.offset-pos:])
		default:
			copy(v.dst[pos-v.offset:], g)
		}
		return nil
	}
	if err := v.fill(v.parent[:]); err != nil {
		return err
	}
	if parentCV(v.parent[:], flags) != cv {
		return errProof
	}
	l, r := cvOf(v.parent[:]), cvOf(v.parent[32:])
	mid, _ := split(n)
	if err := v.walk(l, pos, mid, 0); err != nil {
		return err
	}
	return v.walk(r, pos+mid, n-mid, 0)
}
