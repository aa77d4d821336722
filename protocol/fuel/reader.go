package fuel

import (
	"fmt"
	"unicode/utf8"
)

// A reader is a cursor over bytes that nobody has checked. Its first failure sticks: later reads give zero, so that a
// caller may read a whole construct and look at err once. No read leaves the bytes.
type reader struct {
	b   []byte
	pos int
	err error
}

func (r *reader) fail(format string, a ...any) {
	if r.err == nil {
		r.err = invalid("byte %d: %s", r.pos, fmt.Sprintf(format, a...))
	}
	r.pos = len(r.b)
}

// refuse is fail with an error of another kind.
func (r *reader) refuse(err error) {
	if r.err == nil {
		r.err = err
	}
	r.pos = len(r.b)
}

func (r *reader) left() int { return len(r.b) - r.pos }

func (r *reader) byte() byte {
	if r.pos >= len(r.b) {
		r.fail("unexpected end")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail("%d bytes wanted, %d left", n, r.left())
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos]
}

// u32 reads an unsigned LEB128 of at most five bytes and 32 bits.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			if v>>32 != 0 || r.err != nil {
				break
			}
			return uint32(v)
		}
	}
	r.fail("an integer of more than 32 bits")
	return 0
}

// signed reads a signed LEB128 of the given number of bits: 32, 33 or 64. The bits of the last byte that lie above must
// repeat the sign.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c&0x80 != 0 {
			continue
		}
		if used := bits - shift; used < 7 {
			if above := int8(c<<1) >> used; above != 0 && above != -1 { // the sign bit and all that lies above it
				break
			}
		}
		if r.err != nil {
			return 0
		}
		if shift+7 < 64 {
			v = v << (64 - shift - 7) >> (64 - shift - 7)
		}
		return v
	}
	r.fail("an integer of more than %d bits", bits)
	return 0
}

// count reads the length of a list whose elements take at least one byte each.
func (r *reader) count(limit int, what string) int {
	n := r.u32()
	if uint64(n) > uint64(limit) {
		r.refuse(exhausted("%d %s, at most %d are taken", n, what, limit))
		return 0
	}
	if uint64(n) > uint64(r.left()) {
		r.fail("%d %s in %d bytes", n, what, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if !utf8.Valid(b) {
		r.fail("a name that is not UTF-8")
	}
	return string(b)
}

// end fails unless all was read.
func (r *reader) end(what string) {
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes after %s", r.left(), what)
	}
}
