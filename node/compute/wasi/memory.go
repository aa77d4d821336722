package wasi

import "encoding/binary"

var le = binary.LittleEndian

// bytes is a piece of the guest's memory, or nil and false if it lies outside. It is valid until the function returns.
func (t *Task) bytes(at, n uint64) ([]byte, bool) {
	if t.memory == nil {
		return nil, false
	}
	return t.memory.Read(uint32(at), uint32(n))
}

// path is a path that the guest names. It charges for it; its bytes are checked by walk.
func (t *Task) path(at, n uint64) ([]byte, Errno) {
	n = uint64(uint32(n))
	t.charge(PricePath, 1)
	t.charge(PricePathByte, min(n, MaxPath))
	if n > MaxPath {
		return nil, NameTooLong
	}
	b, ok := t.bytes(at, n)
	if !ok {
		return nil, Fault
	}
	return b, Success
}

// vectors are the buffers that a guest reads into or writes from, without the empty ones, and their length together. The
// list is copied, so that what is read may overwrite it.
func (t *Task) vectors(at, n uint64) (list [][]byte, total uint64, e Errno) {
	n = uint64(uint32(n))
	if n > MaxIovecs {
		return nil, 0, Inval
	}
	t.charge(PriceTransfer, n)
	b, ok := t.bytes(at, 8*n)
	if !ok {
		return nil, 0, Fault
	}
	list = t.scratch[:0]
	for ; len(b) > 0; b = b[8:] {
		v, ok := t.bytes(uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])))
		if !ok {
			return nil, 0, Fault
		}
		if len(v) > 0 {
			list = append(list, v)
			total += uint64(len(v))
		}
	}
	t.scratch = list
	if total > 1<<32-1 { // the guest could not be told how much it was
		return nil, 0, Inval
	}
	return list, total, Success
}
