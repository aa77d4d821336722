// Package storage keeps a node's slices: append logs of about a gigabyte with an index beside them, one sync of the
// disk for all slices that arrive together, every byte checked against the slice's name before it leaves.
//
// A slice is written whole or is not there. It is acknowledged after its log is synced; the index may lag behind after a
// crash and is caught up from the log's tail. It knows nothing of tickets, receipts or who asks; package node does.
//
// # Format of a log, version 1
//
//	record = "stsl" | version u16 BE = 1 | kind u16 | slice id 32 | data length u64 | outboard length u32 | received ms u64 |
//	         CRC-32C of the header u32 | data | outboard
//
// Kind is 1. The outboard is the BLAKE3 tree in groups of 16 KiB, for range proofs. A record that is not whole, or whose
// header does not check, ends the log.
//
// Version history: 1, the first.
package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

const (
	headerBytes = 4 + 2 + 2 + 32 + 8 + 4 + 8 + 4
	version     = 1
	kindSlice   = 1
)

var magic = [4]byte{'s', 't', 's', 'l'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options of a Store. The zero value of a field means its default.
type Options struct {
	// FS holds the store. Default: the disk.
	FS vfs.FS
	// Capacity bounds the bytes of slices, proofs included. Default: none but the disk's.
	Capacity uint64
	// Reserve is how many bytes of the disk stay free: the index cannot go on without any. Default 128 MiB.
	Reserve uint64
	// LogBytes is where a log ends and the next begins. Default 1 GiB.
	LogBytes uint64
	// Now tells the time, for when slices were received and trashed. Default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Capacity == 0 {
		o.Capacity = 1 << 62
	}
	if o.Reserve == 0 {
		o.Reserve = 128 << 20
	}
	if o.LogBytes == 0 {
		o.LogBytes = 1 << 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// A Store holds slices. It may be used by many goroutines. Close it.
type Store struct {
	dir   string
	opts  Options
	index *pebble.DB
	own   *lifecycle.Group
	queue chan *put

	ranges sync.Pool // of *rangeBuffer

	mu     sync.RWMutex
	logs   map[uint32]vfs.File
	active uint32
	end    uint64 // of the active log: what lies behind is nobody's
	used   uint64
	count  uint64
	broken error // why nothing can be written any more
}

type put struct {
	id     mesh.SliceID
	record [3][]byte // header, data, outboard
	size   uint64    // of the record
	length uint64
	err    error
	done   chan struct{}
}

// Open opens the store in dir, or makes it. What a crash left half-written is dropped; what was acknowledged is there.
func Open(dir string, opts Options) (*Store, error) {
	o := opts.withDefaults()
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the slice store: %w", err)
	}
	if err := syncDir(o.FS, o.FS.PathDir(dir)); err != nil {
		return nil, fmt.Errorf("opening the slice store: %w", err)
	}
	db, err := pebbledb.Open(o.FS.PathJoin(dir, "index"), pebbledb.Options{FS: o.FS, Cache: 8 << 20, MemTable: 4 << 20})
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, opts: o, index: db, logs: map[uint32]vfs.File{}, queue: make(chan *put, 256)}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	s.own = lifecycle.New(context.Background())
	return s, s.own.Go(s.writeLoop)
}

// Close waits for writes under way and closes the store. It may be called more than once.
func (s *Store) Close() error {
	if s.own == nil {
		return nil
	}
	err := s.own.Close()
	s.own = nil
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() error {
	var errs []error
	for n, f := range s.logs {
		errs = append(errs, f.Close())
		delete(s.logs, n)
	}
	return errors.Join(append(errs, s.index.Close())...)
}

// Put stores a slice whose name is the BLAKE3 root of data, and returns when it is on the disk. Storing what is there is
// free; what lies in the trash comes back out. After an error, data may still be read. Errors: Corrupt when data is not what the name says, Exhausted when there
// is no room.
func (s *Store) Put(ctx context.Context, id mesh.SliceID, data []byte) error {
	if len(data) == 0 || len(data) > mesh.MaxSlice {
		return mesh.Errorf(mesh.Invalid, "a slice of %d bytes, want 1 to %d", len(data), mesh.MaxSlice)
	}
	outboard, root := transfer.Outboard(data)
	if root != id {
		return mesh.Errorf(mesh.Corrupt, "the bytes are those of slice %s, not %s", mesh.SliceID(root), id)
	}
	if restored, err := s.restore(id); restored || err != nil {
		return err
	}
	p := &put{id: id, record: encodeRecord(id, data, outboard, s.opts.Now()), size: headerBytes + uint64(len(data)+len(outboard)),
		length: uint64(len(data)), done: make(chan struct{})}
	select {
	case s.queue <- p:
	case <-s.own.Context().Done():
		return mesh.Errorf(mesh.Unavailable, "the slice store is closing")
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // once queued it is written or fails; nobody leaves it half done
	case <-p.done:
		return p.err
	case <-s.own.Context().Done():
		return mesh.Errorf(mesh.Unavailable, "the slice store is closing")
	}
}

// joinBelow is up to which size a slice is copied into one run with its header and tree: a write less.
const joinBelow = 128 << 10

// encodeRecord returns the parts of a record; a large slice is not copied.
func encodeRecord(id mesh.SliceID, data, outboard []byte, now time.Time) [3][]byte {
	b := make([]byte, 0, headerBytes)
	if len(data) <= joinBelow {
		b = make([]byte, 0, headerBytes+len(data)+len(outboard))
	}
	b = append(b, magic[:]...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, kindSlice)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(data)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(outboard)))
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if len(data) <= joinBelow {
		return [3][]byte{append(append(b, data...), outboard...)}
	}
	return [3][]byte{b, data, outboard}
}

// decodeHeader reads what begins a record; ok is false when it is none.
func decodeHeader(b []byte) (e entry, id mesh.SliceID, ok bool) {
	if len(b) < headerBytes || [4]byte(b) != magic || binary.BigEndian.Uint32(b[headerBytes-4:]) != crc32.Checksum(b[:headerBytes-4], castagnoli) {
		return e, id, false
	}
	if binary.BigEndian.Uint16(b[4:]) != version || binary.BigEndian.Uint16(b[6:]) != kindSlice {
		return e, id, false
	}
	copy(id[:], b[8:])
	e.length = binary.BigEndian.Uint64(b[40:])
	e.outboard = binary.BigEndian.Uint32(b[48:])
	e.receivedMs = binary.BigEndian.Uint64(b[52:])
	return e, id, e.length > 0 && e.length <= mesh.MaxSlice && uint64(e.outboard) <= e.length+64
}

// writeLoop is the only writer of the logs: it takes what has gathered, writes it, syncs once, and lets everybody go.
func (s *Store) writeLoop(ctx context.Context) error {
	for {
		var first *put
		select {
		case <-ctx.Done():
			for { // nobody waits longer than for the answer
				select {
				case p := <-s.queue:
					p.err = mesh.Errorf(mesh.Unavailable, "the slice store is closing")
					close(p.done)
				default:
					return nil
				}
			}
		case first = <-s.queue:
		}
		batch := []*put{first}
		size := first.size
	gather:
		for len(batch) < 256 && size < 64<<20 {
			select {
			case p := <-s.queue:
				batch = append(batch, p)
				size += p.size
			default:
				break gather
			}
		}
		err := s.write(batch)
		for _, p := range batch {
			if p.err == nil {
				p.err = err
			}
			close(p.done)
		}
	}
}

// write appends a batch to the active log, syncs it, and then enters it into the index.
func (s *Store) write(batch []*put) error {
	s.mu.RLock()
	broken, used, f, at := s.broken, s.used, s.logs[s.active], s.end
	s.mu.RUnlock()
	if broken != nil {
		return broken
	}
	if at >= s.opts.LogBytes {
		if err := s.nextLog(); err != nil {
			return s.diskError(err)
		}
		s.mu.RLock()
		f, at = s.logs[s.active], s.end
		s.mu.RUnlock()
	}
	room := uint64(1 << 62)
	if u, err := s.opts.FS.GetDiskUsage(s.dir); err == nil {
		room = u.AvailBytes - min(s.opts.Reserve, u.AvailBytes)
	}
	start := at
	b := s.index.NewBatch()
	defer b.Close()
	seen := map[mesh.SliceID]bool{}
	var count uint64
	for _, p := range batch {
		size := p.size
		if seen[p.id] {
			continue
		}
		if used+size > s.opts.Capacity {
			p.err = mesh.Errorf(mesh.Exhausted, "the node is full: %d of %d bytes are taken", used, s.opts.Capacity)
			continue
		}
		if size > room {
			p.err = mesh.Errorf(mesh.Exhausted, "the node's disk is full but for the %d bytes that stay free", s.opts.Reserve)
			continue
		}
		end := at
		for _, part := range p.record {
			if len(part) == 0 {
				continue
			}
			if _, err := f.WriteAt(part, int64(end)); err != nil {
				return s.undo(f, start, err)
			}
			end += uint64(len(part))
		}
		e, _, _ := decodeHeader(p.record[0])
		e.log, e.offset = s.active, at
		if err := b.Set(sliceKey(p.id), e.encode(), nil); err != nil {
			return s.undo(f, start, err)
		}
		seen[p.id] = true
		at, used, room, count = at+size, used+size, room-size, count+1
	}
	if at == start {
		return nil
	}
	if err := f.SyncData(); err != nil {
		// After a failed sync nobody knows what the disk holds; only a restart reads it anew.
		s.mu.Lock()
		s.broken = mesh.WithHint(mesh.Errorf(mesh.Unavailable, "syncing a log failed: %w", err), "look at the disk, then start the node again")
		broken := s.broken
		s.mu.Unlock()
		return broken
	}
	if err := b.Set([]byte(tailKey), tail{s.active, at}.encode(), nil); err != nil {
		return s.undo(f, start, err)
	}
	// The log is synced; the index may lose its end in a crash and is caught up from the log.
	if err := b.Commit(pebble.NoSync); err != nil {
		return s.undo(f, start, err)
	}
	s.mu.Lock()
	s.end, s.used, s.count = at, used, s.count+count
	s.mu.Unlock()
	return nil
}

// undo takes a failed batch back from the log, so that the next one begins where it did.
func (s *Store) undo(f vfs.File, end uint64, cause error) error {
	cause = s.diskError(cause)
	// What lies behind end is overwritten by the next batch, and its headers must not be believed after a crash.
	if _, err := f.WriteAt(make([]byte, headerBytes), int64(end)); err != nil && !errors.Is(err, syscall.ENOSPC) {
		s.mu.Lock()
		s.broken = mesh.WithHint(mesh.Errorf(mesh.Unavailable, "a log cannot be written: %w", errors.Join(cause, err)), "look at the disk, then start the node again")
		s.mu.Unlock()
	}
	return cause
}

func (s *Store) diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return mesh.Errorf(mesh.Exhausted, "the node's disk is full: %w", err)
	}
	return mesh.Errorf(mesh.Unavailable, "writing a slice: %w", err)
}

func (s *Store) nextLog() error {
	n := s.active + 1
	f, err := s.createLog(n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.logs[n], s.active, s.end = f, n, 0
	s.mu.Unlock()
	return nil
}

func (s *Store) createLog(n uint32) (vfs.File, error) {
	path := s.logPath(n)
	f, err := s.opts.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := syncDir(s.opts.FS, s.dir); err != nil {
		return nil, err
	}
	return s.opts.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
}

// syncDir makes the names in a folder survive a power cut.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) logPath(n uint32) string {
	return s.opts.FS.PathJoin(s.dir, fmt.Sprintf("%08d.log", n))
}

// recover opens the logs and reads what the index does not know yet.
func (s *Store) recover() error {
	names, err := s.opts.FS.List(s.dir)
	if err != nil {
		return fmt.Errorf("opening the slice store: %w", err)
	}
	var numbers []uint32
	for _, name := range names {
		var n uint32
		if c, _ := fmt.Sscanf(name, "%08d.log", &n); c == 1 && name == fmt.Sprintf("%08d.log", n) {
			numbers = append(numbers, n)
		}
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	for _, n := range numbers {
		f, err := s.opts.FS.OpenReadWrite(s.logPath(n), vfs.WriteCategoryUnspecified)
		if err != nil {
			return fmt.Errorf("opening a log: %w", err)
		}
		s.logs[n] = f
		s.active = n
	}
	if len(numbers) == 0 {
		f, err := s.createLog(1)
		if err != nil {
			return fmt.Errorf("making the first log: %w", err)
		}
		s.logs[1], s.active = f, 1
	}
	var from tail
	if b, closer, err := s.index.Get([]byte(tailKey)); err == nil {
		from, err = decodeTail(b)
		if err := errors.Join(err, closer.Close()); err != nil {
			return fmt.Errorf("reading the slice index: %w", err)
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("reading the slice index: %w", err)
	}
	for _, n := range numbers {
		if n >= from.log {
			at := uint64(0)
			if n == from.log {
				at = from.end
			}
			if s.end, err = s.catchUp(n, at); err != nil {
				return err
			}
		}
	}
	return s.each(func(_ mesh.SliceID, e entry) error {
		s.used += e.size()
		s.count++
		return nil
	})
}

// catchUp enters the records of a log from an offset on into the index, each after its bytes were checked, and returns
// where they end.
func (s *Store) catchUp(n uint32, at uint64) (uint64, error) {
	f := s.logs[n]
	b := s.index.NewBatch()
	defer b.Close()
	header := make([]byte, headerBytes)
	for {
		if _, err := f.ReadAt(header, int64(at)); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return at, fmt.Errorf("reading log %d: %w", n, err)
		}
		e, id, ok := decodeHeader(header)
		if !ok {
			break
		}
		data := make([]byte, e.length)
		if _, err := f.ReadAt(data, int64(at)+headerBytes); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return at, fmt.Errorf("reading log %d: %w", n, err)
		}
		outboard := make([]byte, e.outboard)
		if _, err := f.ReadAt(outboard, int64(at)+headerBytes+int64(e.length)); err != nil {
			break
		}
		want, root := transfer.Outboard(data)
		if root != id || !bytes.Equal(want, outboard) {
			break
		}
		e.log, e.offset = n, at
		if err := b.Set(sliceKey(id), e.encode(), nil); err != nil {
			return at, fmt.Errorf("catching up the slice index: %w", err)
		}
		at += e.size()
	}
	if err := b.Set([]byte(tailKey), tail{n, at}.encode(), nil); err != nil {
		return at, fmt.Errorf("catching up the slice index: %w", err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return at, fmt.Errorf("catching up the slice index: %w", err)
	}
	return at, nil
}

// Range writes a range of a slice with its proof, in one call of w.Write that keeps nothing; transfer.ReadProof reads it.
// The range is checked before anything is written: what the disk holds wrongly is Corrupt and never leaves.
func (s *Store) Range(w io.Writer, id mesh.SliceID, offset, length uint64) error {
	e, err := s.lookup(id)
	if err != nil {
		return err
	}
	if length == 0 || length > mesh.StepBytes || offset > e.length || length > e.length-offset {
		return mesh.Errorf(mesh.Invalid, "a range of %d bytes at %d of a slice of %d, at most %d at once", length, offset, e.length, mesh.StepBytes)
	}
	s.mu.RLock()
	f := s.logs[e.log]
	s.mu.RUnlock()
	if f == nil {
		return mesh.Errorf(mesh.Corrupt, "the log of slice %s is gone", id)
	}
	from, to := transfer.Groups(e.length, offset, length)
	base := int64(e.offset) + headerBytes
	buf, _ := s.ranges.Get().(*rangeBuffer)
	if buf == nil {
		buf = new(rangeBuffer)
	}
	defer s.ranges.Put(buf)
	outboard, groups := grow(&buf.outboard, uint64(e.outboard)), grow(&buf.groups, to-from)
	if _, err := f.ReadAt(outboard, base+int64(e.length)); err != nil {
		return mesh.Errorf(mesh.Corrupt, "reading slice %s: %w", id, err)
	}
	if _, err := f.ReadAt(groups, base+int64(from)); err != nil {
		return mesh.Errorf(mesh.Corrupt, "reading slice %s: %w", id, err)
	}
	proof, ok := transfer.AppendProof(grow(&buf.proof, to-from+transfer.MaxProof)[:0], outboard, groups, id, offset, length)
	if !ok {
		return mesh.Errorf(mesh.Corrupt, "the disk holds other bytes than slice %s had", id)
	}
	_, err = w.Write(proof)
	return err
}

// A rangeBuffer is the memory of one Range, used again.
type rangeBuffer struct{ outboard, groups, proof []byte }

// grow returns n bytes of *b, which it makes larger first if need be. They hold anything.
func grow(b *[]byte, n uint64) []byte {
	if uint64(len(*b)) < n {
		*b = make([]byte, n)
	}
	return (*b)[:n]
}

// Len returns the bytes of a slice; NotFound when it is not here or in the trash.
func (s *Store) Len(id mesh.SliceID) (uint64, error) {
	e, err := s.lookup(id)
	return e.length, err
}

func (s *Store) lookup(id mesh.SliceID) (entry, error) {
	e, ok, err := s.entry(id)
	if err == nil && (!ok || e.trashedMs != 0) {
		err = mesh.Errorf(mesh.NotFound, "slice %s is not here", id)
	}
	return e, err
}

// Stats is what a store holds.
type Stats struct {
	Slices    uint64
	UsedBytes uint64
	FreeBytes uint64
}

// Stats counts what is held; free is the lesser of the capacity and the disk.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	st := Stats{Slices: s.count, UsedBytes: s.used, FreeBytes: s.opts.Capacity - min(s.used, s.opts.Capacity)}
	s.mu.RUnlock()
	if u, err := s.opts.FS.GetDiskUsage(s.dir); err == nil {
		st.FreeBytes = min(st.FreeBytes, u.AvailBytes-min(s.opts.Reserve, u.AvailBytes))
	}
	return st
}
