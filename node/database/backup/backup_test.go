package backup_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/backup"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backedUp is the backup of a database of a dialect, as a cell of four makes it. change may spoil its head.
func backedUp(t *testing.T, dialect string, change func(*wirepb.BackupHead), sql ...string) []byte {
	t.Helper()
	opts := engine.Options{}
	if dialect == database.Postgres {
		opts.Dialect = postgres.New
	}
	db, err := engine.Open(filepath.Join(t.TempDir(), "db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.Begin(engine.Header{Height: 3, TimeMs: 1_700_000_000_000})
	if err != nil {
		t.Fatal(err)
	}
	p := &engine.Program{ID: [16]byte{1}, GasLimit: 10_000_000}
	for _, s := range sql {
		p.Statements = append(p.Statements, &wirepb.Statement{Sql: s})
	}
	o, err := b.Run(p)
	if err = errors.Join(err, b.Commit()); err != nil || o.Code != "" {
		t.Fatal(o, err)
	}
	s, err := db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	content, err := s.Content(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rolling := s.Digest()
	domain := sign.Domain{Network: mesh.NetworkID{1}, Group: 2}
	c := &wirepb.Checkpoint{Cell: make([]byte, 16), Version: 1, Height: 5, TimeMs: 1_700_000_000_000, State: make([]byte, 32),
		Databases: []*wirepb.CheckedDatabase{{Database: bytes.Repeat([]byte{7}, 16), Height: 3, Digest: rolling[:], Content: content[:]}}}
	h := &wirepb.BackupHead{Network: domain.Network[:], Group: 2, Cell: c.Cell, Version: 1, Database: c.Databases[0].Database, Owner: make([]byte, 20), Name: "shop", Dialect: dialect, Certificate: &wirepb.Certificate{}}
	for i := range 4 {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		key := mesh.PublicKeyOf(k)
		h.Members = append(h.Members, key[:])
		if i < 3 {
			h.Certificate.Checkpoints = append(h.Certificate.Checkpoints, signed.Seal(domain, k, sign.Checkpoint, c))
		}
	}
	if change != nil {
		change(h)
	}
	var out bytes.Buffer
	if err := errors.Join(database.WriteBackupHead(&out, h), s.Export(t.Context(), &out), s.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOpen(t *testing.T) {
	for _, c := range []struct{ dialect, want string }{
		{database.Postgres, "-- one line\nSET client_encoding = 'UTF8';\nCREATE TABLE public.t (\n    id serial NOT NULL,\n    v text,\n    CONSTRAINT t_pkey PRIMARY KEY (id)\n);\n\n" +
			"COPY public.t (id, v) FROM stdin;\n1\ta\n2\t\\N\n\\.\n\nSELECT setval('public.t_id_seq', 2, true);\n"},
		{database.SQLite, "-- one line\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(id serial PRIMARY KEY, v text);\n" +
			`INSERT INTO "t"("id","v") VALUES(NULL,'a');` + "\n" + `INSERT INTO "t"("id","v") VALUES(NULL,NULL);` + "\nCOMMIT;\n"},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			b := backedUp(t, c.dialect, nil, "CREATE TABLE t(id serial PRIMARY KEY, v text)", "INSERT INTO t(v) VALUES ('a'), (NULL)")
			dir := t.TempDir()
			f, err := backup.Open(t.Context(), dir, iotest.HalfReader(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Head.Name != "shop" || f.Checkpoint.Height != 5 || f.Database.Height != 3 {
				t.Errorf("it is %v", f.Head)
			}
			var out bytes.Buffer
			if err := f.Script(t.Context(), &out, "one\nline"); err != nil || out.String() != c.want {
				t.Errorf("%v:\n%s", err, out.String())
			}
			if s, err := f.Sums(t.Context()); err != nil || s.Rows() != 2 {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

// Whatever byte is another, it shows, and nothing is left.
func TestDamage(t *testing.T) {
	b := backedUp(t, database.Postgres, nil, "CREATE TABLE t(id serial PRIMARY KEY, v text)", "INSERT INTO t(v) VALUES ('a')")
	open := func(r io.Reader) error {
		dir := t.TempDir()
		f, err := backup.Open(t.Context(), dir, r)
		if err == nil {
			return f.Close()
		}
		if names, e := os.ReadDir(dir); e != nil || len(names) > 0 {
			t.Errorf("left %v, %v", names, e)
		}
		return err
	}
	for at := 0; at < len(b); at += 1 + at/40 {
		x := slices.Clone(b)
		x[at] ^= 0x10
		if err := open(bytes.NewReader(x)); mesh.KindOf(err) != mesh.Corrupt && !(at < 6 && mesh.KindOf(err) == mesh.Invalid) || err == nil {
			t.Errorf("byte %d: %v", at, err)
		}
		if err := open(bytes.NewReader(b[:at])); mesh.KindOf(err) != mesh.Corrupt && !(at < 10 && mesh.KindOf(err) == mesh.Invalid) || err == nil {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	if err := open(bytes.NewReader(append(slices.Clone(b), 0))); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("a byte behind the end: %v", err)
	}
	broken := errors.New("the line is broken")
	if err := open(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a line that breaks: %v", err)
	}
}

func TestFalse(t *testing.T) {
	for name, change := range map[string]func(*wirepb.BackupHead){
		"too few have signed":   func(h *wirepb.BackupHead) { h.Certificate.Checkpoints = h.Certificate.Checkpoints[:2] },
		"twice the same":        func(h *wirepb.BackupHead) { h.Certificate.Checkpoints[2] = h.Certificate.Checkpoints[1] },
		"another cell":          func(h *wirepb.BackupHead) { h.Cell = bytes.Repeat([]byte{1}, 16) },
		"another version":       func(h *wirepb.BackupHead) { h.Version = 2 },
		"another network":       func(h *wirepb.BackupHead) { h.Network = make([]byte, 32) },
		"another group":         func(h *wirepb.BackupHead) { h.Group = 3 },
		"another database":      func(h *wirepb.BackupHead) { h.Database = make([]byte, 16) },
		"members are others":    func(h *wirepb.BackupHead) { h.Members[0] = bytes.Repeat([]byte{9}, 32) },
		"members twice":         func(h *wirepb.BackupHead) { h.Members[0] = h.Members[1] },
		"too few members":       func(h *wirepb.BackupHead) { h.Members = h.Members[:3] },
		"one member":            func(h *wirepb.BackupHead) { h.Members = h.Members[:1] },
		"no name":               func(h *wirepb.BackupHead) { h.Name = "" },
		"no certificate":        func(h *wirepb.BackupHead) { h.Certificate = nil },
		"no such dialect":       func(h *wirepb.BackupHead) { h.Dialect = "mysql" },
		"the dialect is not it": func(h *wirepb.BackupHead) { h.Dialect = database.Postgres },
	} {
		b := backedUp(t, database.SQLite, change, "CREATE TABLE t(v)")
		if f, err := backup.Open(t.Context(), t.TempDir(), bytes.NewReader(b)); mesh.KindOf(err) != mesh.Corrupt || err == nil {
			t.Errorf("%s: %v", name, err)
			if f != nil {
				f.Close()
			}
		} else if strings.Contains(err.Error(), "  ") {
			t.Error(err)
		}
	}
}
