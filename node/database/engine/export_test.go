package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
)

func exported(t testing.TB, r *rig) ([]byte, Mark) {
	t.Helper()
	s := r.snapshot()
	defer s.Close()
	sum, err := s.Content(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(r.path + ".export*"); err != nil || len(names) > 0 {
		t.Errorf("an export left %v", names)
	}
	return b.Bytes(), Mark{s.Height(), s.Digest(), sum}
}

// sealed puts a right digest at the end of what was changed.
func sealed(b []byte) []byte {
	sum := blake3.Sum256(b[:len(b)-32])
	return append(slices.Clone(b[:len(b)-32]), sum[:]...)
}

func TestImport(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE)", "INSERT INTO t(v) VALUES('a'),('b'),('c')", "DELETE FROM t WHERE id=3")
	good, mark := exported(t, r)
	change := func(at int, v ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], v)
		return b
	}
	// The last byte of the page of the table t is in its first row.
	row := bytes.LastIndex(good, []byte("a"))
	other := mark
	other.Content[0]++
	for _, c := range []struct {
		name string
		b    []byte
		want Mark
		kind mesh.Kind
		ok   bool
	}{
		{"as exported", good, mark, 0, true},
		{"empty", nil, mark, mesh.Corrupt, false},
		{"other magic", change(0, 'x'), mark, mesh.Invalid, false},
		{"later version", change(4, 0, 2), mark, mesh.Invalid, false},
		{"other height wanted", good, Mark{mark.Height + 1, mark.Digest, mark.Content}, mesh.Corrupt, false},
		{"other content wanted", good, other, mesh.Corrupt, false},
		{"other content said", sealed(change(46, other.Content[:]...)), other, mesh.Corrupt, false},
		{"cut", good[:len(good)-1], mark, mesh.Corrupt, false},
		{"cut in the middle", good[:len(good)/2], mark, mesh.Corrupt, false},
		{"byte behind", append(slices.Clone(good), 0), mark, mesh.Corrupt, false},
		{"chunk too long", sealed(change(exportHead, 0xff)), mark, mesh.Corrupt, false},
		{"row changed", change(row, 'z'), mark, mesh.Corrupt, false},
		{"row changed, sealed", sealed(change(row, 'z')), mark, mesh.Corrupt, false},
		{"no database in it", sealed(change(exportHead+4, make([]byte, 100)...)), mark, mesh.Corrupt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(folder(t), "b.db")
			if err := os.WriteFile(path+"-wal", []byte("of a file that was dropped"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Import(t.Context(), path, bytes.NewReader(c.b), c.want, Options{})
			if c.ok != (err == nil) || err != nil && mesh.KindOf(err) != c.kind {
				t.Fatalf("got %v", err)
			}
			if names, err := filepath.Glob(path + "*"); err != nil || !c.ok && len(names) > 0 || c.ok && len(names) != 1 {
				t.Errorf("there is %v", names)
			}
			if !c.ok {
				return
			}
			if err := Import(t.Context(), path, bytes.NewReader(c.b), c.want, Options{}); mesh.KindOf(err) != mesh.Conflict {
				t.Errorf("over a file: %v", err)
			}
			n := &rig{t: t, path: path, ids: r.ids}
			n.open()
			defer n.close()
			o := n.must("INSERT INTO t(v) VALUES('d') RETURNING id")
			if got := show(o.Results[0]); got != "4" {
				t.Errorf("the next row has id %s: the sequence was lost", got)
			}
			if again, err := n.db.Recorded(mark.Height); err != nil || again.Digest != mark.Digest {
				t.Errorf("the record: %v, %v", again, err)
			}
		})
	}
}

// Whoever exports could let an index say otherwise than its table, which no digest of rows shows.
// What is charged for what a file holds: an imported file has the pages of the one that was exported, and gets the same with each block.
func TestImportHasThePages(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE INDEX i ON t(v)")
	r.must("INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) SELECT hex(zeroblob(i)) FROM n")
	r.must("DELETE FROM t WHERE id % 3") // so that some are free
	b, mark := exported(t, r)
	n := &rig{t: t, path: filepath.Join(folder(t), "b.db"), ids: r.ids}
	if err := Import(t.Context(), n.path, bytes.NewReader(b), mark, Options{}); err != nil {
		t.Fatal(err)
	}
	n.open()
	defer n.close()
	pages := func(r *rig) uint64 {
		s, err := r.db.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n, err := s.Pages()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := pages(r)
	for i := range 8 {
		if a, b := pages(r), pages(n); a == 0 || a != b {
			t.Fatalf("after %d blocks the file has %d pages, the imported one %d", i, a, b)
		}
		for _, r := range []*rig{r, n} {
			r.must("INSERT INTO t(v) SELECT hex(zeroblob(300 + id % 7)) FROM t WHERE id < 400", "DELETE FROM t WHERE id % 5 = 0")
		}
	}
	if pages(r) == first {
		t.Error("it never grows")
	}
}

func TestImportOfALyingIndex(t *testing.T) {
	r := newRig(t, Options{})
	r.must("CREATE TABLE t(v)", "CREATE INDEX i ON t(v)", "INSERT INTO t VALUES('needle'),('straw')")
	b, mark := exported(t, r)
	last := bytes.LastIndex(b, []byte("needle")) // the index lies behind its table
	if first := bytes.Index(b, []byte("needle")); first == last {
		t.Fatal("the row is there once")
	}
	b[last] = 'N'
	if err := Import(t.Context(), filepath.Join(folder(t), "b.db"), bytes.NewReader(sealed(b)), mark, Options{}); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("got %v", err)
	}
}

func TestImportStops(t *testing.T) {
	r := newRig(t, Options{})
	r.must(ground...)
	b, mark := exported(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(folder(t), "b.db")
	if err := Import(ctx, path, bytes.NewReader(b), mark, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s := r.snapshot()
	defer s.Close()
	if err := s.Export(ctx, new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Content(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Content says what is there, not where: two ways to the same rows.
func TestContent(t *testing.T) {
	a, b := newRig(t, Options{}), newRig(t, Options{CacheBytes: 64 << 10})
	for _, r := range []*rig{a, b} {
		r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID", "CREATE INDEX i ON w(v, k)")
	}
	a.must("INSERT INTO t VALUES(1,'a'),(2,x'00'),(3,1.5)", "INSERT INTO w VALUES('x',2),('y',1)")
	b.must("INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 2000) SELECT x, hex(randomblob(50)) FROM c", "DELETE FROM t", "INSERT INTO t VALUES(3,1.5),(2,x'00'),(1,'a')", "INSERT INTO w VALUES('y',1),('x',2)")
	if a.tables() != b.tables() {
		t.Error("the same rows have two digests")
	}
	for _, sql := range []string{"UPDATE t SET v=1 WHERE id=3", "UPDATE t SET v='1.5' WHERE id=3", "UPDATE t SET id=4 WHERE id=3", "UPDATE w SET v=NULL WHERE k='x'", "DELETE FROM t WHERE id=1", "CREATE TABLE z(y)", "DROP INDEX i", "ALTER TABLE t RENAME COLUMN v TO u"} {
		before := b.tables()
		b.must(sql)
		if b.tables() == before {
			t.Errorf("%s does not show in the content", sql)
		}
	}
}

func FuzzImport(f *testing.F) {
	r := newRig(f, Options{})
	r.must("CREATE TABLE t(v)", "INSERT INTO t VALUES(1)")
	b, mark := exported(f, r)
	f.Add(b[exportHead:])
	f.Add(b[exportHead : len(b)/2])
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		head := slices.Clone(b[:exportHead])
		all := append(head, body...)
		if len(all) >= exportHead+36 {
			all = sealed(all)
		}
		path := filepath.Join(folder(t), "b.db")
		if err := Import(t.Context(), path, bytes.NewReader(all), mark, Options{}); err == nil && !bytes.Equal(all[:len(all)-32], b[:len(b)-32]) {
			// Bytes that nothing reads may differ; what is read may not.
			n := &rig{t: t, path: path}
			n.open()
			defer n.close()
			if n.content() != mark.Content {
				t.Error("another content was taken")
			}
		}
	})
}

func FuzzRun(f *testing.F) {
	for _, c := range hostile[40:60] {
		f.Add(c.sql[0], uint64(1))
	}
	f.Add("INSERT INTO t(v) VALUES(random()) RETURNING *", uint64(7))
	f.Fuzz(func(t *testing.T, sql string, seed uint64) {
		var sums [2][32]byte
		for i := range sums {
			r := newRig(t, Options{Statements: 2*i - 1, CacheBytes: 1 << 20})
			r.must(ground[:2]...)
			p := r.program(sql, sql)
			binary.BigEndian.PutUint64(p.ID[8:], seed)
			p.GasLimit = 100_000
			r.block(r.program("INSERT INTO t(v) VALUES(1)"), p, r.program("INSERT INTO t(v) VALUES(2)"))
			sums[i] = r.db.Digest()
			if c := r.content(); i == 1 && sums[0] != sums[1] {
				t.Errorf("two digests of %q (content %x)", sql, c)
			}
		}
	})
}
