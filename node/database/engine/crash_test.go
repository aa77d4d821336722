package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
)

// childPath names the database that the test binary, run again as a child, writes to until it is killed.
const childPath = "STRATOS_ENGINE_CHILD"

const crashBlocks = 60

// crashPrograms are those of a height, the same each time: among them one that fails, one that makes its block run again,
// and one of the block before.
func crashPrograms(height uint64) []*Program {
	r := rig{ids: height * 100}
	if height == 1 {
		return []*Program{r.program("CREATE TABLE t(id INTEGER PRIMARY KEY, v, w DEFAULT (random()))", "CREATE INDEX i ON t(v)")}
	}
	var all []*Program
	for i := range 6 {
		all = append(all, r.program(fmt.Sprintf("INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT %d UNION ALL SELECT x+1 FROM c LIMIT 100) SELECT hex(randomblob(20)) FROM c", i)))
	}
	bad := r.program("INSERT INTO t(v) VALUES(1)", "SELECT nowhere")
	endless := r.program("INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
	endless.GasLimit = 20_000
	again := (&rig{ids: (height - 1) * 100}).program("SELECT 1")
	return append(all, bad, endless, again, r.program("DELETE FROM t WHERE id % 7 = 0", "UPDATE t SET v=datetime('now') WHERE id % 11 = 0"))
}

// child goes on with the database, and says what it does.
func child(path string) {
	db, err := Open(path, Options{CacheBytes: 64 << 10})
	if err != nil {
		panic(err)
	}
	for h := db.Height() + 1; h <= crashBlocks; h++ {
		b, err := db.Begin(header(h))
		if err != nil {
			panic(err)
		}
		for i, p := range crashPrograms(h) {
			if _, err := b.Run(p); err != nil {
				panic(err)
			}
			fmt.Println("ran", h, i)
		}
		if err := b.Commit(); err != nil {
			panic(err)
		}
		fmt.Println("committed", h)
	}
	if err := db.Close(); err != nil {
		panic(err)
	}
	fmt.Println("closed")
}

func TestKilled(t *testing.T) {
	chance := rand.New(rand.NewPCG(seedOf(t), 3))
	want := newRig(t, Options{})
	digests := map[uint64][32]byte{0: {}}
	for h := uint64(1); h <= crashBlocks; h++ {
		want.run(header(h), crashPrograms(h))
		digests[h] = want.db.Digest()
	}
	r := &rig{t: t, path: filepath.Join(folder(t), "a.db")}
	kills := 0
	for done := false; !done; {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), childPath+"="+r.path)
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		committed := uint64(0)
		lines := bufio.NewScanner(out)
		for n := 1 + chance.IntN(80); lines.Scan(); n-- {
			fmt.Sscanf(lines.Text(), "committed %d", &committed)
			if n == 0 {
				if err := c.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				kills++
			}
		}
		err = c.Wait()
		var exit *exec.ExitError
		if done = err == nil; !done && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
			t.Fatalf("the child: %v", err)
		}
		r.open()
		h := r.db.Height()
		if h < committed {
			t.Fatalf("height %d after a kill; %d was committed", h, committed)
		}
		if r.db.Digest() != digests[h] {
			t.Fatalf("another digest at height %d", h)
		}
		r.close()
	}
	t.Logf("%d kills", kills)
	r.open()
	defer r.close()
	if kills < 3 || r.content() != want.content() {
		t.Errorf("another content after %d kills", kills)
	}
}

// ask is what a reader would notice: by an index, and by the table.
func ask(s *Snapshot, ctx context.Context) (string, error) {
	answer := ""
	for _, q := range []string{"SELECT count(*), sum(id), max(v) FROM t NOT INDEXED", "SELECT v FROM t INDEXED BY i WHERE v > '5' ORDER BY v LIMIT 50", "SELECT count(*) FROM t WHERE v LIKE '%A%'"} {
		p := (&rig{}).program(q)
		p.GasLimit = 1 << 30
		o, err := s.Query(ctx, p)
		if err != nil || o.Code != "" {
			return "", fmt.Errorf("%v %w", o, err)
		}
		answer += show(o.Results[0])
	}
	return answer, nil
}

func TestDamaged(t *testing.T) {
	chance := rand.New(rand.NewPCG(seedOf(t), 4))
	r := newRig(t, Options{})
	for h := uint64(1); h <= 8; h++ {
		r.run(header(h), crashPrograms(h))
	}
	s := r.snapshot()
	wantAnswer, err := ask(s, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	want := r.content()
	r.close()
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 120 {
		b := append([]byte(nil), whole...)
		at := chance.IntN(len(b))
		if chance.IntN(3) == 0 { // where a page begins is what SQLite must not believe
			at = at/pageBytes*pageBytes + chance.IntN(12)
		}
		for i := range 1 + chance.IntN(4) {
			b[min(at+i, len(b)-1)] ^= byte(1 + chance.IntN(255))
		}
		seen[damaged(t, b, want, wantAnswer)]++
	}
	t.Logf("what damage did: %v", seen)
	for _, b := range [][]byte{whole[:len(whole)/2], whole[:100], []byte("no database at all, but long enough to be read as the head of one, a hundred bytes and some more of them, or so")} {
		if got := damaged(t, b, want, wantAnswer); got != "seen" {
			t.Errorf("a cut file was %s", got)
		}
	}
}

func damaged(t *testing.T, b []byte, want [32]byte, wantAnswer string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	path := filepath.Join(folder(t), "b.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, Options{})
	if err != nil {
		return "seen"
	}
	defer db.Close()
	s, err := db.Snapshot()
	if err != nil {
		return "seen"
	}
	defer s.Close()
	check := s.Check(ctx)
	sum, err := s.Content(ctx)
	answer, asked := ask(s, ctx)
	if check == nil && err == nil && sum == want && (asked != nil || answer != wantAnswer) {
		t.Errorf("neither the check nor the content shows damage, but the answer is %.200s, %v", answer, asked)
	}
	if block, err := db.Begin(header(9)); err == nil { // must not panic; what comes of it the digest tells
		for _, p := range crashPrograms(9) {
			if _, err := block.Run(p); err != nil {
				break
			}
		}
		block.Commit()
		block.Discard()
	}
	switch {
	case check != nil || err != nil:
		return "seen"
	case sum != want:
		return "another content"
	}
	return "harmless"
}

// Who has used up the pages gets an outcome, and the block goes on; the record has room still.
func TestFullFile(t *testing.T) {
	r := newRig(t, Options{Limits: Limits{Pages: 100}})
	r.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	fill := "INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 400) SELECT hex(randomblob(500)) FROM c"
	o := r.block(r.program("INSERT INTO t(v) VALUES('before')"), r.program(fill), r.program("INSERT INTO t(v) VALUES('after')"))
	if o[0].Code != "" || o[1].Code != codeFull || o[2].Code != "" {
		t.Fatalf("got %v", o)
	}
	if got := show(r.query("SELECT v FROM t")); got != "before; after" {
		t.Errorf("the table holds %q", got)
	}
	for range 20 {
		r.block(r.program(fill), r.program("SELECT hex(zeroblob(50000))"))
	}
	if o := r.must("DELETE FROM t", "INSERT INTO t(v) VALUES('again')"); len(o.Results) != 2 {
		t.Errorf("got %v", o)
	}
}

// A full disk is not an outcome: it stops the database, and what was committed is there when there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no file system of a few MiB can be mounted: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	r := &rig{t: t, path: filepath.Join(dir, "a.db"), opts: Options{CacheBytes: 64 << 10}} // so that programs write, not only Commit
	r.open()
	want := newRig(t, Options{})
	programs := func(h uint64) []*Program {
		n := rig{ids: h * 10}
		if h == 1 {
			return []*Program{n.program("CREATE TABLE t(v)")}
		}
		return []*Program{n.program("INSERT INTO t(v) VALUES(1)"), n.program("INSERT INTO t(v) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 300) SELECT hex(randomblob(1500)) FROM c")}
	}
	var failed error
	last := uint64(0)
	for h := uint64(1); failed == nil && h < 100; h++ {
		b, err := r.db.Begin(header(h))
		if err != nil {
			failed = err
			break
		}
		for _, p := range programs(h) {
			if o, err := b.Run(p); err != nil {
				failed = err
				break
			} else if o.Code != "" {
				t.Fatalf("a full disk became an outcome: %v", o)
			}
		}
		if failed == nil {
			failed = b.Commit()
		}
		if err := b.Discard(); failed == nil && err != nil {
			t.Fatal(err)
		}
		if failed == nil {
			last = h
			want.run(header(h), programs(h))
		}
	}
	if k := mesh.KindOf(failed); failed == nil || k != mesh.Exhausted && k != mesh.Unavailable {
		t.Fatalf("got %v after height %d", failed, last)
	}
	t.Logf("after height %d: %v", last, failed)
	if _, err := r.db.Begin(header(last + 1)); err == nil || r.db.Err() == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("the database goes on: %v", err)
	}
	r.close()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	r.open()
	defer r.close()
	for h := r.db.Height() + 1; h <= last+3; h++ {
		r.run(header(h), programs(h))
	}
	for h := last + 1; h <= last+3; h++ {
		want.run(header(h), programs(h))
	}
	if r.db.Digest() != want.db.Digest() || r.content() != want.content() {
		t.Errorf("another state after the disk was full")
	}
}
