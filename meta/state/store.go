package state

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/wire"
)

// A view reads records. The first fault of the disk sticks: every read after it finds nothing, and whoever uses the
// view asks for the fault before he believes what he found.
type view struct {
	db    pebble.Reader
	read  map[string][]byte // of a db that does not change: records that were read, nil for those that are not there
	fault error
}

func (v *view) bytes(k []byte) ([]byte, bool) {
	if v.fault != nil {
		return nil, false
	}
	if b, ok := v.read[string(k)]; ok {
		return b, b != nil
	}
	b, ok := v.load(k)
	if v.read != nil && v.fault == nil {
		v.read[string(k)] = b
	}
	return b, ok
}

func (v *view) load(k []byte) ([]byte, bool) {
	b, closer, err := v.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		v.fault = fmt.Errorf("reading the state: %w", err)
		return nil, false
	}
	b = append([]byte{}, b...) // not nil: it is there
	if err := closer.Close(); err != nil {
		v.fault = fmt.Errorf("reading the state: %w", err)
	}
	return b, true
}

func (v *view) get(k []byte, m proto.Message) bool {
	b, ok := v.bytes(k)
	return ok && v.decode(k, b, m)
}

func (v *view) decode(k, b []byte, m proto.Message) bool {
	if err := proto.Unmarshal(b, m); err != nil {
		v.fault = fmt.Errorf("the state's record %x is damaged: %w", k, err)
		return false
	}
	return true
}

// scan calls f with each key and value of [from, to) in order until it returns false. Both are valid during the call only.
func (v *view) scan(from, to []byte, f func(k, value []byte) bool) {
	if v.fault != nil {
		return
	}
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		v.fault = fmt.Errorf("reading the state: %w", err)
		return
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	if err := it.Close(); err != nil && v.fault == nil {
		v.fault = fmt.Errorf("reading the state: %w", err)
	}
}

// scanPrefix is scan over everything that begins with prefix.
func (v *view) scanPrefix(prefix []byte, f func(k, value []byte) bool) {
	v.scan(prefix, after(prefix), f)
}

// A change is what one transaction writes, before it is known whether it stands. Reads see its own writes; scans see
// the state before it.
type change struct {
	view
	writes map[string][]byte // nil: deleted
}

func newChange(db pebble.Reader) *change {
	return &change{view: view{db: db}, writes: map[string][]byte{}}
}

func (c *change) bytes(k []byte) ([]byte, bool) {
	if b, ok := c.writes[string(k)]; ok {
		return b, b != nil
	}
	return c.view.bytes(k)
}

func (c *change) get(k []byte, m proto.Message) bool {
	b, ok := c.bytes(k)
	return ok && c.decode(k, b, m)
}

func (c *change) has(k []byte) bool { _, ok := c.bytes(k); return ok }

func (c *change) put(k []byte, m proto.Message) { c.putBytes(k, wire.Encode(m)) }

func (c *change) putBytes(k, v []byte) {
	if v == nil {
		v = []byte{}
	}
	c.writes[string(k)] = v
}

func (c *change) delete(k []byte) { c.writes[string(k)] = nil }

// apply writes the change into the block's batch and returns the digest of its effects: SHA-256 over
// op u8 | key length u32 | key | value length u32 | value, by ascending key.
func (c *change) apply(b *pebble.Batch) ([]byte, error) {
	keys := make([]string, 0, len(c.writes))
	for k := range c.writes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	h := sha256.New()
	var buf []byte
	for _, k := range keys {
		v := c.writes[k]
		buf = append(buf[:0], 1)
		if v == nil {
			buf[0] = 0
		}
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(k)))
		buf = append(buf, k...)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(v)))
		h.Write(buf)
		h.Write(v)
		var err error
		if v == nil {
			err = b.Delete([]byte(k), nil)
		} else {
			err = b.Set([]byte(k), v, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("writing the state: %w", err)
		}
	}
	return h.Sum(nil), nil
}
