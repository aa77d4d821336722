package replica

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A plan is the same blocks each time: three databases, of which each block touches some, with envelopes that come again, that fail,
// and that are refused; a database is dropped, and checkpoints are asked for.
func planOf(w *world) (blocks [][][]byte) {
	users := []*user{w.user("anna"), w.user("bert"), w.user("cora")}
	var first [][]byte
	for _, u := range users {
		first = append(first, u.opened(), u.session(u.link()))
	}
	blocks = append(blocks, first)
	var before [][]byte
	var taken *wirepb.Envelope
	for h := int64(2); h <= 9; h++ {
		var txs [][]byte
		for i, u := range users {
			switch {
			case h == 2:
				txs = append(txs, u.send(u.envelope(timeOf(h), "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")))
			case int(h)%3 != i:
				txs = append(txs, u.send(u.envelope(timeOf(h), "INSERT INTO t(v) VALUES(random()), (datetime('now'))", "SELECT sum(id) FROM t")),
					u.send(u.envelope(timeOf(h), "INSERT INTO t(v) VALUES(1)", "SELECT nowhere")))
			}
		}
		if h == 7 {
			txs = append(txs, w.notice(users[2].notice(2, 3), 0))
		}
		if h > 3 { // a program in parts, of which one came in the block before
			e, parts := users[0].divided(timeOf(h), append(large(1), "INSERT INTO t(v) VALUES(2)")...)
			txs = append(txs, users[0].part(timeOf(h), parts[h%2]), users[0].send(e), users[0].part(timeOf(h), parts[1-h%2]))
			if h%2 == 0 {
				txs = append(txs, users[0].send(e), users[0].send(e), users[0].part(timeOf(h), []byte{byte(h)}))
			}
		}
		if h > 3 { // other programs under an id that is taken, in this block or before, with parts and without
			if h%2 == 0 {
				taken = users[0].envelope(timeOf(h), "INSERT INTO t(v) VALUES(3)")
				txs = append(txs, users[0].send(taken))
			}
			other := users[0].envelope(timeOf(h), "INSERT INTO t(v) VALUES(4)")
			divided, parts := users[0].divided(timeOf(h), append(large(1), "INSERT INTO t(v) VALUES(5)")...)
			other.Id, divided.Id = taken.Id, taken.Id
			txs = append(txs, users[0].send(other), users[0].send(divided), users[0].send(taken))
			if h%3 == 0 {
				for _, p := range parts {
					txs = append(txs, users[0].part(timeOf(h), p))
				}
				txs = append(txs, users[0].send(divided))
			}
		}
		txs = append(txs, before...)
		before = [][]byte{txs[0]}
		blocks = append(blocks, txs)
	}
	return blocks
}

// image is what a power failure leaves: the store's synced writes, and the files as they are.
type image struct {
	point string
	fs    *vfs.MemFS
	dir   string
}

func imageOf(t *testing.T, r *rig, fs *vfs.MemFS, point string) image {
	t.Helper()
	i := image{point, fs.CrashClone(vfs.CrashCloneCfg{}), folder(t)}
	names, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n.Name(), "-shm") {
			continue // it is no file of the disk: whoever opens makes it again
		}
		b, err := os.ReadFile(filepath.Join(r.dir, n.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(i.dir, n.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// A replica is killed at each point of each commit; what it left takes up the log where it stood, gives the same results, and ends
// where the others are. Unless STRATOS_LONG is set, 16 of the points are drawn.
func TestKilledInACommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 1)
	blocks := planOf(w)
	rules := Rules{CheckpointMs: 3000}
	mem := vfs.NewCrashableMem()
	var images []image
	r := &rig{w: w, rules: rules, fs: mem, dir: folder(t)}
	height := 0
	r.at = func(point string) {
		images = append(images, imageOf(t, r, mem, fmt.Sprintf("%s of block %d", point, height)))
	}
	r.open()
	var want []string // results of each block
	for i, txs := range blocks {
		height = i + 1
		want = append(want, fmt.Sprint(r.run(txs...)))
		images = append(images, imageOf(t, r, mem, fmt.Sprintf("after block %d", height)))
	}
	digests, state := r.digests(), r.app.view().digest()
	r.close()
	if len(images) < 40 {
		t.Fatalf("only %d points", len(images))
	}
	if n := 16; os.Getenv("STRATOS_LONG") == "" { // a part of them
		chance := rand.New(rand.NewPCG(seedOfTest(t), 3))
		chance.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
		images = images[:n]
	}
	for _, i := range images {
		again := &rig{w: w, rules: rules, fs: i.fs, dir: i.dir}
		again.open()
		from := again.height()
		for h := from; h < int64(len(blocks)); h++ {
			if got := fmt.Sprint(again.run(blocks[h]...)); got != want[h] {
				t.Errorf("%s: block %d gives\n%s, not\n%s", i.point, h+1, got, want[h])
			}
		}
		if !maps.Equal(again.digests(), digests) || again.app.view().digest() != state {
			t.Errorf("%s: another state in the end", i.point)
		}
		again.close()
	}
	t.Logf("%d points", len(images))
}

// Files that are not where the state says they are end the replica, and do not make a state of its own.
func TestFilesThatAreNotTheLogs(t *testing.T) {
	for why, harm := range map[string]func(r, ahead *rig, u *user) error{
		"lost": func(r, _ *rig, u *user) error { return os.Remove(r.app.files.path(u.database)) },
		"ahead": func(r, ahead *rig, u *user) error {
			return os.Rename(ahead.app.files.path(u.database), r.app.files.path(u.database))
		},
	} {
		w := newWorld(t, 4, 1)
		u := w.user("anna")
		r, ahead := newRig(w, 0, Rules{}), newRig(w, 1, Rules{})
		open, session, make := u.opened(), u.session(u.link()), u.send(u.envelope(timeOf(2), "CREATE TABLE t(v)"))
		for _, x := range []*rig{r, ahead} {
			x.must(open, session)
			x.must(make)
		}
		for range 3 {
			ahead.must(u.send(u.envelope(ahead.next(), "INSERT INTO t VALUES(1)")))
		}
		for _, x := range []*rig{r, ahead} { // so that the files are whole by themselves
			if err := x.app.files.close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := harm(r, ahead, u); err != nil {
			t.Fatal(err)
		}
		if _, err := r.finalize(3, u.send(u.envelope(timeOf(3), "SELECT 1"))); err == nil || r.app.failure() == nil {
			t.Errorf("%s: the replica goes on", why)
		}
	}
}
