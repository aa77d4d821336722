package database

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// # Format of a backup, version 1
//
//	backup = "stdk" | version u16 BE = 1 | length u32 BE, at most 1 MiB | BackupHead | BLAKE3 of all before | export
//	export = "stde" | version u16 BE = 1 | height u64 BE | rolling digest 32 | content 32 | chunk... | u32 BE = 0 | BLAKE3 of the export before
//	chunk  = length u32 BE, 1 to 1 MiB | bytes of the file
//
// Nothing follows. The export is the engine's (node/database/engine), of the height and the digests that the certificate in the head has
// for the database. That the file holds this content, only who computes it knows: the engine.
//
// Version history: 1, the first.
const (
	backupMagic   = "stdk"
	backupVersion = 1
	maxBackupHead = 1 << 20

	exportMagic   = "stde"
	exportVersion = 1
	exportHead    = 4 + 2 + 8 + 32 + 32
	exportChunk   = 1 << 20
)

// A Backup is what a backup's head says, checked by itself.
type Backup struct {
	Head       *wirepb.BackupHead
	Checkpoint *wirepb.Checkpoint      // that so many members have signed
	Database   *wirepb.CheckedDatabase // in it
}

// Domain is what the signatures are bound to.
func (b *Backup) Domain() sign.Domain {
	return sign.Domain{Network: mesh.NetworkID(b.Head.Network), Group: mesh.GroupID(b.Head.Group)}
}

// Members are the answer keys of the cell.
func (b *Backup) Members() (keys []mesh.PublicKey) {
	for _, k := range b.Head.Members {
		keys = append(keys, mesh.PublicKey(k))
	}
	return keys
}

// CheckBackup checks a backup's head by itself: that the members it names have certified a state of the database. Errors are Corrupt.
func CheckBackup(h *wirepb.BackupHead) (*Backup, error) {
	bad := func(format string, args ...any) error {
		return mesh.Errorf(mesh.Corrupt, "the backup's head: "+format, args...)
	}
	if len(h.Network) != len(mesh.NetworkID{}) || len(h.Cell) != len(mesh.CellID{}) || len(h.Database) != len(mesh.DatabaseID{}) || len(h.Owner) != len(mesh.Account{}) || h.Version == 0 {
		return nil, bad("it names a network, a cell and its version, a database and its owner")
	}
	if n := len(h.Members); n%3 != 1 || n < Replicas(1) || n > Replicas(MaxFaults) {
		return nil, bad("a cell of %d members", n)
	}
	for i, k := range h.Members {
		if len(k) != len(mesh.PublicKey{}) || slices.ContainsFunc(h.Members[:i], func(o []byte) bool { return string(o) == string(k) }) {
			return nil, bad("members have keys of %d bytes, each another", len(mesh.PublicKey{}))
		}
	}
	if h.Dialect != Postgres && h.Dialect != SQLite {
		return nil, bad("there is no dialect %.20q", h.Dialect)
	}
	if err := mesh.CheckDatabase(h.Name); err != nil {
		return nil, bad("%w", err)
	}
	b := &Backup{Head: h}
	var err error
	if b.Checkpoint, err = CheckCertificate(b.Domain(), h.Certificate, b.Members()); err != nil {
		return nil, bad("%w", err)
	}
	if string(b.Checkpoint.Cell) != string(h.Cell) || b.Checkpoint.Version != h.Version {
		return nil, bad("its certificate is of another cell")
	}
	i := slices.IndexFunc(b.Checkpoint.Databases, func(d *wirepb.CheckedDatabase) bool { return string(d.Database) == string(h.Database) })
	if i < 0 {
		return nil, bad("its certificate does not have the database")
	}
	b.Database = b.Checkpoint.Databases[i]
	return b, nil
}

// WriteBackupHead writes what stands before the export.
func WriteBackupHead(w io.Writer, h *wirepb.BackupHead) error {
	body := wire.Encode(h)
	if len(body) > maxBackupHead {
		return mesh.Errorf(mesh.Exhausted, "a backup's head of %d bytes, at most %d", len(body), maxBackupHead)
	}
	b := binary.BigEndian.AppendUint16([]byte(backupMagic), backupVersion)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
	sum := blake3.Sum256(b)
	_, err := w.Write(append(b, sum[:]...))
	return err
}

// ReadBackupHead reads and checks what WriteBackupHead wrote. Behind it comes the export. Invalid: it is no backup, or of a later version;
// Corrupt: it is damaged, or false.
func ReadBackupHead(r io.Reader) (*Backup, error) {
	head := make([]byte, len(backupMagic)+2+4)
	if _, err := io.ReadFull(r, head); err != nil && !ended(err) {
		return nil, err
	} else if err != nil || string(head[:4]) != backupMagic {
		return nil, mesh.Errorf(mesh.Invalid, "this is no backup of a database")
	}
	if v := binary.BigEndian.Uint16(head[4:]); v != backupVersion {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the backup has format %d, this program knows %d", v, backupVersion), "use a newer release")
	}
	n := binary.BigEndian.Uint32(head[6:])
	if n > maxBackupHead {
		return nil, mesh.Errorf(mesh.Corrupt, "the backup's head has %d bytes, at most %d", n, maxBackupHead)
	}
	rest := make([]byte, n+32)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, cut(err)
	}
	h := blake3.New(32, nil)
	h.Write(head)
	h.Write(rest[:n])
	if string(h.Sum(nil)) != string(rest[n:]) {
		return nil, mesh.Errorf(mesh.Corrupt, "the backup's head is damaged")
	}
	m := new(wirepb.BackupHead)
	if err := wire.Decode(rest[:n], maxBackupHead, m); err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the backup's head: %w", err)
	}
	return CheckBackup(m)
}

// CopyExport copies what stands behind a backup's head, if it is a whole export of the state that was certified, to its end. What the
// file holds it does not look at. Errors of w are returned as they are; Corrupt: the export is damaged, cut or false.
func CopyExport(w io.Writer, r io.Reader, of *wirepb.CheckedDatabase) error {
	h := blake3.New(32, nil)
	to := io.MultiWriter(h, w)
	head := make([]byte, exportHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return cut(err)
	}
	want := binary.BigEndian.AppendUint16([]byte(exportMagic), exportVersion)
	want = binary.BigEndian.AppendUint64(want, uint64(of.Height))
	if want = append(append(want, of.Digest...), of.Content...); string(head) != string(want) {
		return mesh.Errorf(mesh.Corrupt, "the backup's database is not of the state that was certified")
	}
	if _, err := to.Write(head); err != nil {
		return err
	}
	b := make([]byte, 4+exportChunk)
	for {
		if _, err := io.ReadFull(r, b[:4]); err != nil {
			return cut(err)
		}
		n := binary.BigEndian.Uint32(b)
		if n > exportChunk {
			return mesh.Errorf(mesh.Corrupt, "the backup's database comes in a chunk of %d bytes, at most %d", n, exportChunk)
		}
		if _, err := io.ReadFull(r, b[4:4+n]); err != nil {
			return cut(err)
		}
		if _, err := to.Write(b[:4+n]); err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	sum := make([]byte, 32)
	if _, err := io.ReadFull(r, sum); err != nil {
		return cut(err)
	}
	if string(sum) != string(h.Sum(nil)) {
		return mesh.Errorf(mesh.Corrupt, "the backup's database is damaged")
	}
	if _, err := w.Write(sum); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, b[:1]); err == nil {
		return mesh.Errorf(mesh.Corrupt, "the backup has bytes behind its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func cut(err error) error {
	if ended(err) {
		return mesh.Errorf(mesh.Corrupt, "the backup ends too early")
	}
	return err
}

// CheckBackupRequest checks a request by itself.
func CheckBackupRequest(r *wirepb.BackupRequest) error {
	if len(r.Database) != len(mesh.DatabaseID{}) || r.AtMs <= 0 {
		return mesh.Errorf(mesh.Invalid, "a request for a backup names a database and a time")
	}
	return nil
}

// BackupUsage is what a backup of a file with so many pages is charged as: reading and writing it on each replica, as gas, and sending it
// from one of them, of which each pays a part.
func BackupUsage(pages uint64, members int) *wirepb.Usage {
	return &wirepb.Usage{Gas: pages * backupPageGas, BytesOut: pages * PageBytes / uint64(members)}
}

// backupPageGas is the gas of a page that is read through and copied: some 100 ns a KB.
const backupPageGas = 100
