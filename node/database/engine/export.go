package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
)

// # Format of an export, version 1
//
//	export = "stde" | version u16 BE = 1 | height u64 BE | rolling digest 32 | content 32 | chunk... | u32 BE = 0 | BLAKE3 of all before
//	chunk  = length u32 BE, 1 to 1 MiB | bytes of the file
//
// The file is the one that SQLite keeps, page by page: also where its pages lie decides when it is full. So what a reader
// is given it does not believe: it has it checked for damage, and its content computed.
//
// Version history: 1, the first.
const (
	exportMagic   = "stde"
	exportVersion = 1
	exportChunk   = 1 << 20
	exportHead    = 4 + 2 + 8 + 32 + 32
)

// A Mark names a state of a database: what a checkpoint certifies.
type Mark struct {
	Height  uint64
	Digest  [32]byte // rolling
	Content [32]byte
}

// Export writes the database at the snapshot's height. It puts a copy beside the file first, and removes it.
func (s *Snapshot) Export(ctx context.Context, w io.Writer) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	stop := watch(ctx, s.conn)
	defer stop()
	sum, err := content(ctx, s.conn)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.db.path), filepath.Base(s.db.path)+".export-*")
	if err != nil {
		return fmt.Errorf("exporting a database: %w", err)
	}
	defer func() {
		for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
			if e := os.Remove(f.Name() + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, fmt.Errorf("exporting a database: %w", e))
			}
		}
	}()
	defer f.Close()
	if err := s.conn.backup(f.Name(), 256); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return writeExport(ctx, w, f, Mark{s.at.height, s.at.digest, sum})
}

func writeExport(ctx context.Context, w io.Writer, f io.Reader, m Mark) error {
	h := blake3.New(32, nil)
	to := io.MultiWriter(w, h)
	head := binary.BigEndian.AppendUint16([]byte(exportMagic), exportVersion)
	head = binary.BigEndian.AppendUint64(head, m.Height)
	head = append(append(head, m.Digest[:]...), m.Content[:]...)
	if _, err := to.Write(head); err != nil {
		return fmt.Errorf("exporting a database: %w", err)
	}
	b := make([]byte, 4+exportChunk)
	for {
		n, err := io.ReadFull(f, b[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("exporting a database: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		binary.BigEndian.PutUint32(b, uint32(n))
		if _, err := to.Write(b[:4+n]); err != nil {
			return fmt.Errorf("exporting a database: %w", err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := w.Write(h.Sum(nil)); err != nil {
		return fmt.Errorf("exporting a database: %w", err)
	}
	return nil
}

// Import makes the database at path, where none is, of what Export wrote, if it is what want says. After an error, or when
// the process is killed, there is none. Errors: Conflict when there is a file, Corrupt when it is not what want says.
func Import(ctx context.Context, path string, r io.Reader, want Mark, opts Options) (err error) {
	o := opts.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(mesh.Errorf(mesh.Conflict, "there is a file %s", filepath.Base(path)), err)
	}
	beside := path + ".import" // of the same name each time: what a kill left is written over
	defer func() {
		err = errors.Join(err, removeFiles(beside))
	}()
	// Beside the name there may be the log of a file that was dropped; it must not be taken for one of the new file's.
	if err := errors.Join(removeFiles(beside), removeFiles(path)); err != nil {
		return err
	}
	if err := receive(ctx, beside, r, want, o.Limits.Pages); err != nil {
		return err
	}
	if err := verify(ctx, beside, want, opts); err != nil {
		return err
	}
	if err := syncFile(beside); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return fmt.Errorf("importing a database: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func removeFiles(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("importing a database: %w", err))
		}
	}
	return errors.Join(errs...)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("importing a database: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// receive writes the file out of an export, and refuses what is no whole export of the state that want names.
func receive(ctx context.Context, path string, r io.Reader, want Mark, pages int) (err error) {
	h := blake3.New(32, nil)
	in := bufio.NewReader(r)
	head := make([]byte, exportHead)
	if err := readHashed(in, h, head); err != nil {
		return err
	}
	if string(head[:4]) != exportMagic || binary.BigEndian.Uint16(head[4:]) != exportVersion {
		return mesh.Errorf(mesh.Invalid, "not an export of a database that this program knows")
	}
	got := Mark{binary.BigEndian.Uint64(head[6:]), [32]byte(head[14:]), [32]byte(head[46:])}
	if got != want {
		return mesh.Errorf(mesh.Corrupt, "the export is of height %d, or of another content, than the one wanted of height %d", got.Height, want.Height)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("importing a database: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, exportChunk)
	// The record lies beyond the pages that programs may take.
	for left := int64(pages)*pageBytes + 1<<30; ; {
		var length [4]byte
		if err := readHashed(in, h, length[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 {
			break
		}
		if left -= int64(n); n > exportChunk || left < 0 {
			return mesh.Errorf(mesh.Corrupt, "an export that is larger than the database may be")
		}
		if err := readHashed(in, h, b[:n]); err != nil {
			return err
		}
		if _, err := f.Write(b[:n]); err != nil {
			return fmt.Errorf("importing a database: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	sum := [32]byte(h.Sum(nil))
	var end [32]byte
	if _, err := io.ReadFull(in, end[:]); err != nil || end != sum {
		return mesh.Errorf(mesh.Corrupt, "an export with another digest at its end, or none")
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return mesh.Errorf(mesh.Corrupt, "an export with bytes behind its end")
	}
	return nil
}

func readHashed(r io.Reader, h hash.Hash, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return mesh.Errorf(mesh.Corrupt, "an export that ends too early")
		}
		return fmt.Errorf("importing a database: %w", err)
	}
	h.Write(b)
	return nil
}

// verify opens what came, and computes what it holds.
func verify(ctx context.Context, path string, want Mark, opts Options) (err error) {
	db, err := Open(path, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c := db.writer
	stop := watch(ctx, c)
	defer stop()
	if err := integrity(ctx, c); err != nil {
		return err
	}
	if err := recordIsWhole(c); err != nil {
		return err
	}
	sum, err := content(ctx, c)
	if err != nil {
		return err
	}
	if got := (Mark{db.Height(), db.Digest(), sum}); got != want {
		return mesh.Errorf(mesh.Corrupt, "the export holds another content than it says")
	}
	return nil
}
