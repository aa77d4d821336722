package compute

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
)

// A spill is what a map's output becomes for reduces: its lines sorted by key and parted by a hash of it.
//
//	magic "stsp" | version 1, uint16 | parts, uint32 | where each part begins, and where the last ends: uint64 from the spill's beginning | lines
//
// All numbers are little endian. A line's key is what stands before its first tab, or all of it. Lines of a part are sorted by key, bytewise, and of
// equal keys as they were written. Each ends with a newline.
const (
	spillMagic   = "stsp"
	spillVersion = 1
	spillHead    = 4 + 2 + 4
)

const (
	// MaxParts is how many parts, and so reduces, a job may have.
	MaxParts = 4096
	// MaxSpill is how much a map may give, if there is a reduce: it is sorted in memory.
	MaxSpill = 256 << 20
)

// keyOf is the key of a line, whether it has its newline or not.
func keyOf(line []byte) []byte {
	if i := bytes.IndexAny(line, "\t\n"); i >= 0 {
		return line[:i]
	}
	return line
}

// partOf is the part of a key: FNV-1a modulo the parts.
func partOf(key []byte, parts uint32) uint32 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return uint32(h % uint64(parts))
}

// prefixOf is a key's first eight bytes as a number that compares as they do; what a shorter key lacks is zero.
func prefixOf(key []byte) uint64 {
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// ShuffleFuel is what sorting and parting an output costs: by bytes, and by lines times the logarithm of their number.
func ShuffleFuel(output []byte) int64 {
	lines := int64(bytes.Count(output, []byte{'\n'})) + 1
	return shuffleByte*int64(len(output)) + shuffleLine*lines*int64(bits.Len64(uint64(lines)))
}

// Prices of ShuffleFuel, by BenchmarkSpill.
const (
	shuffleByte = 64
	shuffleLine = 512
)

// Spill makes the spill of a map's output, of 1 to MaxParts parts. A line that is too long is Invalid, an output that is too long Exhausted.
func Spill(output []byte, parts uint32) ([]byte, error) {
	if parts < 1 || parts > MaxParts {
		return nil, mesh.Errorf(mesh.Invalid, "%d parts, 1 to %d are possible", parts, MaxParts)
	}
	if len(output) > MaxSpill {
		return nil, mesh.Errorf(mesh.Exhausted, "a map gave %d bytes, %d are the most if there is a reduce", len(output), MaxSpill)
	}
	type line struct {
		prefix        uint64 // the key's first eight bytes, which tell most keys apart
		from, key, to uint32 // key is where it ends
	}
	all := make([][]line, parts)
	for from := 0; from < len(output); {
		to := len(output)
		if i := bytes.IndexByte(output[from:], '\n'); i >= 0 {
			to = from + i + 1
		}
		if to-from > MaxRecord {
			return nil, mesh.Errorf(mesh.Invalid, "the map gave a line of %d bytes, %d are the most", to-from, MaxRecord)
		}
		key := keyOf(output[from:to])
		p := partOf(key, parts)
		all[p] = append(all[p], line{prefixOf(key), uint32(from), uint32(from + len(key)), uint32(to)})
		from = to
	}
	spill := make([]byte, 0, spillHead+8*(int(parts)+1)+len(output)+1)
	spill = append(spill, spillMagic...)
	spill = binary.LittleEndian.AppendUint16(spill, spillVersion)
	spill = binary.LittleEndian.AppendUint32(spill, parts)
	head := len(spill)
	spill = append(spill, make([]byte, 8*(int(parts)+1))...)
	for p, lines := range all {
		binary.LittleEndian.PutUint64(spill[head+8*p:], uint64(len(spill)))
		slices.SortFunc(lines, func(a, b line) int {
			if a.prefix != b.prefix {
				return cmp.Compare(a.prefix, b.prefix)
			}
			return cmp.Or(bytes.Compare(output[a.from:a.key], output[b.from:b.key]), cmp.Compare(a.from, b.from))
		})
		for _, l := range lines {
			spill = append(spill, output[l.from:l.to]...)
			if output[l.to-1] != '\n' {
				spill = append(spill, '\n')
			}
		}
	}
	binary.LittleEndian.PutUint64(spill[head+8*int(parts):], uint64(len(spill)))
	return spill, nil
}

// SpillPart tells where a part of a spill of so many bytes lies. head is the spill's beginning, SpillHead bytes of it; what is not one is Corrupt.
func SpillPart(head []byte, parts, part uint32, size uint64) (from, to uint64, err error) {
	bad := func(what string) (uint64, uint64, error) {
		return 0, 0, mesh.Errorf(mesh.Corrupt, "the output of a map is no spill of %d parts: %s", parts, what)
	}
	if part >= parts || len(head) < SpillHead(parts) || size < uint64(SpillHead(parts)) {
		return bad("it is too short")
	}
	if string(head[:4]) != spillMagic || binary.LittleEndian.Uint16(head[4:]) != spillVersion || binary.LittleEndian.Uint32(head[6:]) != parts {
		return bad("it begins otherwise")
	}
	last := uint64(SpillHead(parts))
	for i := range parts + 1 {
		at := binary.LittleEndian.Uint64(head[spillHead+8*i:])
		if at < last || i == 0 && at != last || at > size {
			return bad("its parts do not follow each other")
		}
		if i == part {
			from = at
		}
		if i == part+1 {
			to = at
		}
		last = at
	}
	if last != size {
		return bad("it goes on behind its parts")
	}
	return from, to, nil
}

// SpillHead is how long the beginning of a spill is that tells where its parts lie.
func SpillHead(parts uint32) int { return spillHead + 8*(int(parts)+1) }
