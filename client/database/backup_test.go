package database

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// copy sends a backup of checkpoint 7, whose file is a few bytes, as it was changed.
func (r *fakeReplica) copy(w http.ResponseWriter, q *http.Request) {
	c := r.cell
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := r.admit(); err != nil {
		rpc.WriteError(w, err)
		return
	}
	if r.backup == nil {
		rpc.WriteError(w, mesh.Errorf(mesh.Unavailable, "there is no copy"))
		return
	}
	d := &wirepb.CheckedDatabase{Database: shop[:], Height: 3, Digest: make([]byte, 32), Content: make([]byte, 32)}
	h := &wirepb.BackupHead{Network: domain.Network[:], Group: uint32(domain.Group), Cell: cellID[:], Version: 1, Database: shop[:], Owner: make([]byte, 20), Name: "shop", Dialect: wiredatabase.SQLite,
		Certificate: new(wirepb.Certificate)}
	p := &wirepb.Checkpoint{Cell: cellID[:], Version: 1, Height: 7, TimeMs: time.Now().UnixMilli(), State: make([]byte, 32), Databases: []*wirepb.CheckedDatabase{d}}
	export := binary.BigEndian.AppendUint16([]byte("stde"), 1)
	export = append(binary.BigEndian.AppendUint64(export, 3), make([]byte, 64)...)
	export = append(append(binary.BigEndian.AppendUint32(export, 5), "pages"...), 0, 0, 0, 0)
	sum := blake3.Sum256(export)
	export = append(export, sum[:]...)
	for _, m := range c.replicas {
		k := mesh.PublicKeyOf(m.key)
		h.Members = append(h.Members, k[:])
	}
	old := p.TimeMs
	r.backup(h, &export)
	if h.Certificate != nil { // nil: an old one
		p.TimeMs = old
	} else {
		h.Certificate, p.TimeMs = new(wirepb.Certificate), old-3_600_000
	}
	for _, m := range c.replicas[:wiredatabase.Replicas(1)-1] {
		h.Certificate.Checkpoints = append(h.Certificate.Checkpoints, signed.Seal(domain, m.key, sign.Checkpoint, p))
	}
	_ = wiredatabase.WriteBackupHead(w, h) // what a client does not read is lost
	_, _ = w.Write(export)
}

// One that lies, breaks off or has none is passed over, and named when it lied.
func TestBackup(t *testing.T) {
	honest := func(*wirepb.BackupHead, *[]byte) {}
	for name, c := range map[string]struct {
		first func(*wirepb.BackupHead, *[]byte)
		says  string // of the first
	}{
		"all have it":           {honest, ""},
		"none yet":              {nil, ""},
		"of an old checkpoint":  {func(h *wirepb.BackupHead, _ *[]byte) { h.Certificate = nil }, "an old one"},
		"another name":          {func(h *wirepb.BackupHead, _ *[]byte) { h.Name = "other" }, "another database"},
		"another owner":         {func(h *wirepb.BackupHead, _ *[]byte) { h.Owner[0] = 1 }, "another database"},
		"another dialect":       {func(h *wirepb.BackupHead, _ *[]byte) { h.Dialect = wiredatabase.Postgres }, "another database"},
		"other members":         {func(h *wirepb.BackupHead, _ *[]byte) { h.Members[3] = make([]byte, 32) }, "another cell"},
		"members of his own":    {func(h *wirepb.BackupHead, _ *[]byte) { h.Members[0] = make([]byte, 32) }, "same checkpoint by different members"},
		"an export of another":  {func(_ *wirepb.BackupHead, e *[]byte) { (*e)[20] ^= 1 }, "not of the state"},
		"an export that is cut": {func(_ *wirepb.BackupHead, e *[]byte) { *e = (*e)[:90] }, "too early"},
		"a damaged export":      {func(_ *wirepb.BackupHead, e *[]byte) { (*e)[84] ^= 1 }, "damaged"},
		"bytes behind":          {func(_ *wirepb.BackupHead, e *[]byte) { *e = append(*e, 0) }, "behind its end"},
	} {
		t.Run(name, func(t *testing.T) {
			cell := newFakeCell(t, 4)
			for i, r := range cell.replicas {
				if r.backup = honest; i == 0 {
					r.backup = c.first
				}
			}
			db := cell.open(0, Options{})
			var said []string
			var got []byte
			b, err := db.Backup(t.Context(), func(r io.Reader) (err error) {
				got, err = io.ReadAll(r)
				return err
			}, BackupOptions{Say: func(s string) { said = append(said, s) }})
			if err != nil || b.Checkpoint.Height != 7 {
				t.Fatal(b, err)
			}
			r := bytes.NewReader(got)
			if h, err := wiredatabase.ReadBackupHead(r); err != nil || wiredatabase.CopyExport(io.Discard, r, h.Database) != nil {
				t.Errorf("what was given is no backup: %v", err)
			}
			all := strings.Join(said, "\n")
			if lied := strings.Contains(all, "another copy"); lied != (c.says != "") || !strings.Contains(all, c.says) || lied && !strings.Contains(all, "replica "+cell.node(0)) {
				t.Errorf("told %q, want %q", all, c.says)
			}
		})
	}
}

func (c *fakeCell) node(i int) string { return mesh.NodeID{byte(i)}.String() }

// What take says counts: corrupt is the replica's fault, all else ends it.
func TestBackupTaken(t *testing.T) {
	cell := newFakeCell(t, 4)
	for _, r := range cell.replicas {
		r.backup = func(*wirepb.BackupHead, *[]byte) {}
	}
	db := cell.open(0, Options{})
	calls := 0
	_, err := db.Backup(t.Context(), func(r io.Reader) error {
		calls++
		_, err := io.CopyN(io.Discard, r, 10)
		return errors.Join(mesh.Errorf(mesh.Corrupt, "the content is another"), err)
	}, BackupOptions{})
	if mesh.KindOf(err) != mesh.Corrupt || calls != 4 || strings.Count(err.Error(), "the content is another") != 4 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	full := errors.New("the disk is full")
	if _, err := db.Backup(t.Context(), func(io.Reader) error { return full }, BackupOptions{}); !errors.Is(err, full) {
		t.Errorf("another error: %v", err)
	}
	cell.with(func() {
		for _, r := range cell.replicas {
			r.refuse = mesh.Errorf(mesh.Denied, "read-only grants are not enough")
		}
	})
	if _, err := db.Backup(t.Context(), nil, BackupOptions{}); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("refused by all: %v", err)
	}
}
