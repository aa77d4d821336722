package replica

import (
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestWaits(t *testing.T) {
	w := newWaits(8)
	var leave []func()
	enter := func(id byte, ok bool) {
		t.Helper()
		l, err := w.enter(mesh.DatabaseID{id})
		if (err == nil) != ok || err != nil && mesh.KindOf(err) != mesh.Unavailable {
			t.Fatalf("database %d: %v", id, err)
		}
		if err == nil {
			leave = append(leave, l)
		}
	}
	for id := range byte(4) {
		enter(id, true)
		enter(id, true)
		enter(id, false) // a quarter is for one
	}
	enter(9, false) // all are taken
	leave[0]()
	enter(9, true)
	for _, l := range leave[1:] {
		l()
	}
	if w.all != 0 || len(w.of) != 0 {
		t.Errorf("%d wait for %d databases in the end", w.all, len(w.of))
	}
}

// TestGrowth shows that who waits is told of the next block that touches his database, and of no other, and who may not wait.
func TestGrowth(t *testing.T) {
	g := newGroup(t, 4, Options{IdleBlock: 300 * time.Millisecond, Waits: 4})
	g.start(0, 1, 2, 3)
	u, other := g.user("anna"), g.user("bert")
	for _, u := range []*user{u, other} {
		g.mustSubmit(u, 0, u.opened())
		g.equal(g.mustSubmit(u, 0, u.session(u.link())).Height)
	}
	wait := func(u *user, id mesh.DatabaseID, above int64, time time.Duration) (int64, error) {
		m := new(wirepb.Growth)
		err := g.call(u, 2, wirepb.CellGrowthPath, &wirepb.GrowthRequest{Database: id[:], Above: above, WaitMs: uint32(time.Milliseconds())}, m)
		return m.Height, err
	}
	h := g.write(u, 0, "CREATE TABLE t(v)").Height
	if got, err := wait(u, u.database, h-1, time.Minute/6); err != nil || got != h {
		t.Errorf("above %d: %d, %v", h-1, got, err)
	}
	began := time.Now()
	g.write(other, 0, "CREATE TABLE t(v)")
	if got, err := wait(u, u.database, h, 500*time.Millisecond); err != nil || got != h || time.Since(began) < 500*time.Millisecond {
		t.Errorf("nothing came: %d, %v after %v", got, err, time.Since(began))
	}
	type told struct {
		height int64
		err    error
	}
	first := make(chan told, 1)
	go func() {
		got, err := wait(u, u.database, h, 20*time.Second)
		first <- told{got, err}
	}()
	g.eventually("one waits", func() error {
		w := g.members[2].replica.waits
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.of[u.database] != 1 {
			return mesh.Errorf(mesh.Unavailable, "nobody waits")
		}
		return nil
	})
	if _, err := wait(u, u.database, h, time.Second); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a second one waits: %v", err)
	}
	next := g.write(u, 0, "INSERT INTO t VALUES(1)").Height
	if got := <-first; got.err != nil || got.height != next {
		t.Errorf("the next block is %d: %d, %v", next, got.height, got.err)
	}
	for what, err := range map[string]error{
		"another's database": func() error { _, err := wait(other, u.database, 0, 0); return err }(),
		"no database":        func() error { _, err := wait(u, mesh.DatabaseID{9}, 0, 0); return err }(),
	} {
		if mesh.KindOf(err) != mesh.NotFound || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := wait(g.user("nobody"), u.database, 0, 0); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("who shows no session: %v", err)
	}
	if _, err := wait(u, u.database, 0, time.Minute); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a minute: %v", err)
	}
}
