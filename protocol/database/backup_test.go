package database

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

var updateBackups = flag.Bool("update.backups", false, "write testdata/backup again")

// backupParts are a backup's head, as a cell of four makes it, and an export, whose file is four bytes.
func backupParts() (h *wirepb.BackupHead, export []byte) {
	domain := sign.Domain{Network: mesh.NetworkID{1}, Group: 2}
	d := &wirepb.CheckedDatabase{Database: bytes.Repeat([]byte{7}, 16), Height: 3, Digest: bytes.Repeat([]byte{8}, 32), Content: bytes.Repeat([]byte{9}, 32)}
	c := &wirepb.Checkpoint{Cell: bytes.Repeat([]byte{4}, 16), Version: 1, Height: 5, TimeMs: 1_700_000_000_000, State: make([]byte, 32), Databases: []*wirepb.CheckedDatabase{d}}
	h = &wirepb.BackupHead{Network: domain.Network[:], Group: 2, Cell: c.Cell, Version: 1, Database: d.Database, Owner: bytes.Repeat([]byte{5}, 20), Name: "shop", Dialect: Postgres,
		Certificate: new(wirepb.Certificate)}
	for i := range 4 {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		key := mesh.PublicKeyOf(k)
		h.Members = append(h.Members, key[:])
		if i < 3 {
			h.Certificate.Checkpoints = append(h.Certificate.Checkpoints, signed.Seal(domain, k, sign.Checkpoint, c))
		}
	}
	b := binary.BigEndian.AppendUint16([]byte(exportMagic), exportVersion)
	b = append(append(binary.BigEndian.AppendUint64(b, 3), d.Digest...), d.Content...)
	b = append(binary.BigEndian.AppendUint32(b, 4), "file"...)
	return h, sum(append(b, 0, 0, 0, 0))
}

func sum(b []byte) []byte {
	s := blake3.Sum256(b)
	return append(slices.Clip(b), s[:]...)
}

func backupOf(t testing.TB, h *wirepb.BackupHead, export []byte) []byte {
	var b bytes.Buffer
	if err := WriteBackupHead(&b, h); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), export...)
}

// backupVectors are what testdata/backup holds: what begins with valid can be read.
func backupVectors(t testing.TB) map[string][]byte {
	h, export := backupParts()
	good := backupOf(t, h, export)
	changed := func(b []byte, at int, v ...byte) []byte {
		b = slices.Clone(b)
		copy(b[at:], v)
		return b
	}
	all := map[string][]byte{
		"valid":                     good,
		"valid-all-signed":          nil,
		"invalid-empty":             {},
		"invalid-magic":             changed(good, 3, 'x'),
		"invalid-version":           changed(good, 5, 2),
		"invalid-head-too-long":     changed(good, 6, 0xff),
		"invalid-head-cut":          good[:100],
		"invalid-head-damaged":      changed(good, 12, 0xee),
		"invalid-no-export":         good[:len(good)-len(export)],
		"invalid-export-magic":      backupOf(t, h, sum(changed(export[:len(export)-32], 0, 'x'))),
		"invalid-export-height":     backupOf(t, h, sum(changed(export[:len(export)-32], 13, 4))),
		"invalid-export-content":    backupOf(t, h, sum(changed(export[:len(export)-32], 46, 1))),
		"invalid-export-chunk":      backupOf(t, h, sum(changed(export[:len(export)-32], exportHead, 1))),
		"invalid-export-digest":     changed(good, len(good)-1, ^good[len(good)-1]),
		"invalid-export-cut":        good[:len(good)-33],
		"invalid-bytes-behind":      append(slices.Clone(good), 0),
		"invalid-too-few-signed":    nil,
		"invalid-signed-by-another": nil,
		"invalid-unknown-database":  nil,
	}
	for name, change := range map[string]func(*wirepb.BackupHead){
		"valid-all-signed": func(h *wirepb.BackupHead) {
			domain, c := sign.Domain{Network: mesh.NetworkID{1}, Group: 2}, new(wirepb.Checkpoint)
			if _, err := signed.Open(domain, h.Certificate.Checkpoints[0], sign.Checkpoint, c); err != nil {
				t.Fatal(err)
			}
			s := signed.Seal(domain, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32)), sign.Checkpoint, c)
			h.Certificate.Checkpoints = append(h.Certificate.Checkpoints, s)
		},
		"invalid-too-few-signed":    func(h *wirepb.BackupHead) { h.Certificate.Checkpoints = h.Certificate.Checkpoints[1:] },
		"invalid-signed-by-another": func(h *wirepb.BackupHead) { h.Members[2] = bytes.Repeat([]byte{3}, 32) },
		"invalid-unknown-database":  func(h *wirepb.BackupHead) { h.Database = make([]byte, 16) },
	} {
		h, export := backupParts()
		change(h)
		all[name] = backupOf(t, h, export)
	}
	return all
}

func readBackup(b []byte) (*Backup, []byte, error) {
	r := bytes.NewReader(b)
	h, err := ReadBackupHead(r)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	err = CopyExport(&out, r, h.Database)
	return h, out.Bytes(), err
}

func TestBackupVectors(t *testing.T) {
	dir := filepath.Join("testdata", "backup")
	made := backupVectors(t)
	if *updateBackups {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range made {
			if err := os.WriteFile(filepath.Join(dir, name+".bin"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(made) {
		t.Fatalf("%d vectors, want %d: %v", len(files), len(made), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".bin")
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || !bytes.Equal(b, made[name]) {
			t.Errorf("%s is not what this program makes (%v)", name, err)
		}
		h, export, err := readBackup(b)
		if valid := strings.HasPrefix(name, "valid"); valid != (err == nil) {
			t.Errorf("%s: %v", name, err)
		} else if valid && (h.Head.Name != "shop" || h.Database.Height != 3 || !bytes.HasSuffix(b, export)) {
			t.Errorf("%s is %v", name, h)
		} else if k := mesh.KindOf(err); !valid && k != mesh.Corrupt && k != mesh.Invalid {
			t.Errorf("%s: kind %v of %v", name, k, err)
		}
	}
}

// Only a backup that was written can be read, and to its end.
func FuzzBackup(f *testing.F) {
	for _, b := range backupVectors(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, export, err := readBackup(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteBackupHead(&again, h.Head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&again, bytes.NewReader(export)); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Errorf("read as other bytes: %v", err)
		}
	})
}
