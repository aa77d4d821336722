package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stratosmesh/stratos/mesh"
)

// The index: 's' | slice id -> entry; 'm' | slice id -> since when it is missing from keep-lists, ms u64; "tail" -> how
// far the logs are entered.
const tailKey = "tail"

func sliceKey(id mesh.SliceID) []byte { return append([]byte{'s'}, id[:]...) }

// An entry says where a slice lies: log u32 | offset u64 | length u64 | outboard u32 | received ms u64 | trashed ms u64,
// the last 0 while the slice is kept.
type entry struct {
	log        uint32
	offset     uint64
	length     uint64
	outboard   uint32
	receivedMs uint64
	trashedMs  uint64
}

const entryBytes = 4 + 8 + 8 + 4 + 8 + 8

func (e entry) size() uint64 { return headerBytes + e.length + uint64(e.outboard) }

func (e entry) encode() []byte {
	b := make([]byte, 0, entryBytes)
	b = binary.BigEndian.AppendUint32(b, e.log)
	b = binary.BigEndian.AppendUint64(b, e.offset)
	b = binary.BigEndian.AppendUint64(b, e.length)
	b = binary.BigEndian.AppendUint32(b, e.outboard)
	b = binary.BigEndian.AppendUint64(b, e.receivedMs)
	return binary.BigEndian.AppendUint64(b, e.trashedMs)
}

func decodeEntry(b []byte) (e entry, err error) {
	if len(b) != entryBytes {
		return e, mesh.Errorf(mesh.Corrupt, "an entry of the slice index has %d bytes", len(b))
	}
	return entry{log: binary.BigEndian.Uint32(b), offset: binary.BigEndian.Uint64(b[4:]), length: binary.BigEndian.Uint64(b[12:]),
		outboard: binary.BigEndian.Uint32(b[20:]), receivedMs: binary.BigEndian.Uint64(b[24:]), trashedMs: binary.BigEndian.Uint64(b[32:])}, nil
}

type tail struct {
	log uint32
	end uint64
}

func (t tail) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, t.log), t.end)
}

func decodeTail(b []byte) (tail, error) {
	if len(b) != 12 {
		return tail{}, mesh.Errorf(mesh.Corrupt, "the slice index has a tail of %d bytes", len(b))
	}
	return tail{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])}, nil
}

func (s *Store) entry(id mesh.SliceID) (e entry, ok bool, err error) {
	b, closer, err := s.index.Get(sliceKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("reading the slice index: %w", err)
	}
	e, err = decodeEntry(b)
	return e, err == nil, errors.Join(err, closer.Close())
}

// each calls f with every slice, those in the trash too, by ascending id.
func (s *Store) each(f func(mesh.SliceID, entry) error) (err error) {
	it, err := s.index.NewIter(&pebble.IterOptions{LowerBound: []byte{'s'}, UpperBound: []byte{'s' + 1}})
	if err != nil {
		return fmt.Errorf("reading the slice index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		e, err := decodeEntry(it.Value())
		if err != nil {
			return err
		}
		if len(it.Key()) != 1+len(mesh.SliceID{}) {
			return mesh.Errorf(mesh.Corrupt, "the slice index has a key of %d bytes", len(it.Key()))
		}
		if err := f(mesh.SliceID(it.Key()[1:]), e); err != nil {
			return err
		}
	}
	return nil
}

// Slices calls f with every slice that is kept and when it was received, by ascending id.
func (s *Store) Slices(f func(id mesh.SliceID, received time.Time) error) error {
	return s.each(func(id mesh.SliceID, e entry) error {
		if e.trashedMs != 0 {
			return nil
		}
		return f(id, time.UnixMilli(int64(e.receivedMs)))
	})
}

// Missing compares what is held with what must be kept. It returns the slices that were missing at a call at least
// apart ago and are again, and remembers those that are missing for the first time. What was received within apart is
// provisional and never missing.
func (s *Store) Missing(keep map[mesh.SliceID]bool, now time.Time, apart time.Duration) (gone []mesh.SliceID, err error) {
	b := s.index.NewBatch()
	defer b.Close()
	err = s.Slices(func(id mesh.SliceID, received time.Time) error {
		k := append([]byte{'m'}, id[:]...)
		first, closer, err := s.index.Get(k)
		known := err == nil
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return fmt.Errorf("reading the slice index: %w", err)
		}
		var since time.Time
		if known {
			if len(first) == 8 {
				since = time.UnixMilli(int64(binary.BigEndian.Uint64(first)))
			}
			if err := closer.Close(); err != nil {
				return fmt.Errorf("reading the slice index: %w", err)
			}
		}
		switch {
		case keep[id] || now.Sub(received) < apart:
			if known {
				return b.Delete(k, nil)
			}
		case !known:
			return b.Set(k, binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), nil)
		case now.Sub(since) >= apart:
			gone = append(gone, id)
			return b.Delete(k, nil)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return nil, fmt.Errorf("writing the slice index: %w", err)
	}
	return gone, nil
}

// Trash puts slices aside: they are no longer served, and a Put or Purge decides what becomes of them.
func (s *Store) Trash(ids ...mesh.SliceID) error {
	now := uint64(s.opts.Now().UnixMilli())
	return s.change(ids, func(e *entry) bool {
		was := e.trashedMs
		e.trashedMs = max(now, 1)
		return was == 0
	})
}

// restore takes a slice out of the trash and tells whether the store has it now.
func (s *Store) restore(id mesh.SliceID) (bool, error) {
	e, ok, err := s.entry(id)
	if err != nil || !ok {
		return false, err
	}
	if e.trashedMs == 0 {
		return true, nil
	}
	return true, s.change([]mesh.SliceID{id}, func(e *entry) bool { e.trashedMs = 0; return true })
}

func (s *Store) change(ids []mesh.SliceID, f func(*entry) bool) error {
	b := s.index.NewBatch()
	defer b.Close()
	for _, id := range ids {
		e, ok, err := s.entry(id)
		if err != nil {
			return err
		}
		if ok && f(&e) {
			if err := b.Set(sliceKey(id), e.encode(), nil); err != nil {
				return fmt.Errorf("writing the slice index: %w", err)
			}
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("writing the slice index: %w", err)
	}
	return nil
}

// Purge gives back the room of what was trashed before a time, and returns how many slices that were.
func (s *Store) Purge(before time.Time) (int, error) {
	var gone []entry
	var ids []mesh.SliceID
	err := s.each(func(id mesh.SliceID, e entry) error {
		if e.trashedMs != 0 && e.trashedMs < uint64(max(before.UnixMilli(), 0)) {
			gone, ids = append(gone, e), append(ids, id)
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	b := s.index.NewBatch()
	defer b.Close()
	for _, id := range ids {
		if err := b.Delete(sliceKey(id), nil); err != nil {
			return 0, fmt.Errorf("writing the slice index: %w", err)
		}
	}
	// The index forgets first: a hole that it still names would look like damage.
	if err := b.Commit(pebble.Sync); err != nil {
		return 0, fmt.Errorf("writing the slice index: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range gone {
		s.used -= min(e.size(), s.used)
		s.count--
		if f := s.logs[e.log]; f != nil {
			if err := punchHole(f, e.offset+headerBytes, e.length+uint64(e.outboard)); err != nil {
				return len(gone), fmt.Errorf("giving back room: %w", err)
			}
		}
	}
	return len(gone), nil
}
