package database

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// Whoever of f lies, is dead or keeps silent, whoever is asked first: the answer is true, and who lied is named with proof.
func TestOneOfFourFails(t *testing.T) {
	for what, fail := range map[string]func(r *fakeReplica){
		"lies":                    func(r *fakeReplica) { r.lies = true },
		"is dead":                 func(r *fakeReplica) { r.server.Listener.Close(); r.server.CloseClientConnections() },
		"keeps silent":            func(r *fakeReplica) { r.cell.with(func() { r.silent = make(chan struct{}) }) },
		"refuses":                 func(r *fakeReplica) { r.refuse = mesh.Errorf(mesh.Denied, "no") },
		"knows no database":       func(r *fakeReplica) { r.refuse = mesh.Errorf(mesh.NotFound, "no") },
		"signs another's answer":  func(r *fakeReplica) { r.signer = keyOf("somebody") },
		"answers something else":  func(r *fakeReplica) { r.question = make([]byte, 32) },
		"loses answers":           func(r *fakeReplica) { r.loses = 1000 },
		"has a disk that fails":   func(r *fakeReplica) { r.refuse = mesh.Errorf(mesh.Corrupt, "it is damaged") },
		"is as behind as can be":  func(r *fakeReplica) { r.behind = 1000 },
		"fails in another's name": func(r *fakeReplica) { r.signer = keyOf("replica 3") },
	} {
		for first := range 2 {
			t.Run(fmt.Sprint("who ", what, ", is asked as ", first), func(t *testing.T) {
				c := newFakeCell(t, 4)
				db := c.open(0, Options{})
				r := c.replicas[first]
				c.write(db)
				c.with(func() {
					if what != "keeps silent" {
						fail(r)
					}
				})
				if what == "keeps silent" {
					fail(r)
				}
				began := time.Now()
				if n, err := valueOf(db.Exec(t.Context(), insert)); err != nil || n != 2 || c.count() != 2 {
					t.Errorf("a program: %d, %v; %d were applied", n, err, c.count())
				}
				db.first = 0
				for _, l := range []Level{Default, Ordered} {
					want := int64(c.count())
					if l == Ordered {
						want++ // it is on the log itself
					}
					if n := c.ask(db, l); n != want {
						t.Errorf("level %d: %d", l, n)
					}
				}
				if took := time.Since(began); took > attemptTime/2 {
					t.Errorf("it took %v: nobody else was asked", took)
				}
				for _, e := range db.Evidence() {
					if e.Liar.Key != mesh.PublicKeyOf(r.key) || what != "lies" || string(e.False.Key) != string(e.Liar.Key[:]) || string(e.True.Key) == string(e.Liar.Key[:]) {
						t.Errorf("evidence: %+v", e)
					}
				}
				if what == "lies" && len(db.Evidence()) == 0 && first == 0 {
					t.Error("the lie is not noted")
				}
			})
		}
	}
}

// A fast answer is one replica's word. If it was a lie, it is found out when others are asked the same.
func TestFastLie(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(2, Options{})
	c.write(db)
	c.with(func() { c.replicas[2].lies = true })
	db.first = 2
	if n := c.ask(db, Fast); n != 2 {
		t.Fatalf("the liar was not asked: %d", n)
	}
	if len(db.Evidence()) != 0 {
		t.Error("one word is no evidence")
	}
	c.with(func() { c.replicas[2].lies = false })
	if n := c.ask(db, Default); n != 1 {
		t.Errorf("default: %d", n)
	}
	e := db.Evidence()
	if len(e) != 1 || e[0].Liar.Node != (mesh.NodeID{2}) {
		t.Fatalf("evidence: %+v", e)
	}
	c.ask(db, Default)
	if len(db.Evidence()) != 1 {
		t.Error("one lie counts twice")
	}
}

// Two of four that lie alike are more than the cell stands; two that contradict each other decide nothing.
func TestNoAgreement(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{QueryTime: 300 * time.Millisecond})
	c.with(func() {
		c.replicas[0].lies = true
		c.replicas[2].refuse, c.replicas[3].refuse = mesh.Errorf(mesh.Unavailable, "away"), mesh.Errorf(mesh.Unavailable, "away")
	})
	_, err := db.Query(t.Context(), Default, SQL("SELECT 1"))
	if mesh.KindOf(err) != mesh.Unavailable || err == nil {
		t.Errorf("got %v", err)
	}
}

// Replicas that are at different heights are asked until enough have one.
func TestHeights(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	for range 5 {
		c.write(c.open(0, Options{})) // others', so that this one has seen nothing
	}
	c.with(func() {
		for i, r := range c.replicas {
			r.behind = 1 + i
		}
	})
	n := c.ask(db, Default)
	if n < 2 || n > 5 || db.Seen() != n {
		t.Errorf("%d, and saw %d", n, db.Seen())
	}
	// What it has seen, it sees from then on, at any level; a replica that has not got there is not believed.
	c.with(func() {
		for _, r := range c.replicas {
			r.minimum, r.behind = 0, 0
		}
		c.replicas[1].behind = 1000
	})
	db.first = 1
	if m := c.ask(db, Fast); m != 5 {
		t.Errorf("fast: %d after %d", m, n)
	}
	c.with(func() {
		if c.replicas[1].minimum != n {
			t.Errorf("it was asked for height %d, want %d", c.replicas[1].minimum, n)
		}
	})
	o := c.write(db)
	if db.Seen() != o.Height || o.Height != 6 {
		t.Errorf("wrote at %d, has seen %d", o.Height, db.Seen())
	}
}

// A height that one alone names is none to wait for.
func TestCommon(t *testing.T) {
	votes := map[vote]map[int]*answer{
		{10, "a"}:      {0: nil, 1: nil},
		{12, "a"}:      {1: nil, 2: nil},
		{1 << 60, "x"}: {3: nil},
	}
	for enough, want := range map[int]int64{1: 1 << 60, 2: 12, 3: 12, 4: 10, 5: 0} {
		if got := common(votes, enough); got != want {
			t.Errorf("of %d: %d, want %d", enough, got, want)
		}
	}
}

// An answer is lost on its way: the program is sent again under its id, and applied once.
func TestLostAnswers(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	c.with(func() {
		for _, r := range c.replicas {
			r.loses = 2
		}
	})
	if o := c.write(db); o.Height != 1 || c.count() != 1 {
		t.Errorf("at %d, applied %d times", o.Height, c.count())
	}
	p := insert
	p.ID = ID{9}
	first, err := db.Exec(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := db.Exec(t.Context(), p)
	if err != nil || again.Height != first.Height || c.count() != 2 {
		t.Errorf("the same id: %+v, then %+v, %v", first, again, err)
	}
}

// A program gets little gas at first, so that many go into a block, and more when that does not suffice; sent again under its id it goes
// the same way.
func TestGas(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	p := insert
	for _, x := range []struct {
		needs, gas uint64
		tries      int
		ok         bool
	}{{1, 0, 1, true}, {500_000, 0, 2, true}, {10_000_000, 0, 3, true}, {15_000_000, 0, 4, true}, {20_000_001, 0, 4, false}, {500_000, 400_000, 1, false}, {500_000, 500_000, 1, true}} {
		c.with(func() { c.needs, c.applied = x.needs, map[string]int{} })
		p.ID, p.Gas = ID{byte(x.tries), byte(x.gas), byte(x.needs)}, x.gas
		for range 2 {
			o, err := db.Exec(t.Context(), p)
			var failed *Error
			if (err == nil) != x.ok || err != nil && (!errors.As(err, &failed) || failed.Code != "53400" || mesh.KindOf(err) != mesh.Exhausted) || c.count() != x.tries {
				t.Errorf("needs %d, may take %d: %+v, %v after %d tries", x.needs, x.gas, o, err, c.count())
			}
		}
	}
	if got := limits(0, 1<<20, 10_000_000); len(got) != 2 || got[0] != 4_294_304 || got[1] != 10_000_000 {
		t.Errorf("of a long program: %d", got)
	}
}

// When nobody can tell what became of a program, the error says so, and under which id it may be sent again.
func TestUnknown(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	c.with(func() {
		for _, r := range c.replicas {
			r.loses = 1000
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	p := insert
	p.ID = ID{5}
	_, err := db.Exec(ctx, p)
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.ID != p.ID || mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(mesh.HintOf(err), p.ID.String()) {
		t.Fatalf("got %v, next %s", err, mesh.HintOf(err))
	}
	c.with(func() {
		for _, r := range c.replicas {
			r.loses = 0
		}
	})
	if id, err := ParseID(unknown.ID.String()); err != nil || id != p.ID {
		t.Errorf("%v, %v", id, err)
	}
	if o, err := db.Exec(t.Context(), p); err != nil || o.Height != 1 || c.count() != 1 {
		t.Errorf("again: %+v, %v; applied %d times", o, err, c.count())
	}

	dead := newFakeCell(t, 4)
	db = dead.open(0, Options{})
	for _, r := range dead.replicas {
		r.server.Close()
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := db.Exec(ctx, insert); errors.As(err, &unknown) || mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("nobody was reached: %v", err)
	}
}

// A cell that does not take a program has not applied it once a block is past its end, and not before: a replica's clock proves nothing.
func TestTimeIsOver(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{ExecTime: 50 * time.Millisecond})
	c.with(func() {
		for _, r := range c.replicas {
			r.deaf = true
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var unknown *UnknownError
	if _, err := db.Exec(ctx, insert); !errors.As(err, &unknown) {
		t.Errorf("no block was made since: %v", err)
	}
	c.with(func() { c.timeMs = time.Now().Add(time.Minute).UnixMilli() })
	if _, err := db.Exec(t.Context(), insert); err == nil || errors.As(err, &unknown) || mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(err.Error(), "nothing of it happened") {
		t.Errorf("a block is past its end: %v", err)
	}
}

// So many that refuse alike that one of them is honest are believed; others are not.
func TestRefusals(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{QueryTime: 200 * time.Millisecond})
	c.with(func() {
		c.replicas[0].refuse, c.replicas[3].refuse = mesh.Errorf(mesh.Denied, "no"), mesh.Errorf(mesh.Denied, "no")
	})
	if _, err := db.Query(t.Context(), Fast, SQL("SELECT 1")); err != nil { // the second is asked then, and answers
		t.Error(err)
	}
	db.first = 3
	if _, err := db.Exec(t.Context(), insert); mesh.KindOf(err) != mesh.Denied || err == nil || c.count() != 0 {
		t.Errorf("two refuse: %v", err)
	}
	c.with(func() {
		c.replicas[0].refuse = mesh.Errorf(mesh.NotFound, "nothing here")
		c.replicas[1].refuse, c.replicas[2].refuse = mesh.Errorf(mesh.Unavailable, "away"), mesh.Errorf(mesh.Unavailable, "away")
	})
	if _, err := db.Query(t.Context(), Default, SQL("SELECT 1")); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("two refuse for different reasons: %v", err)
	}
}

// A replica that does not know the session is shown it, once.
func TestShowsSession(t *testing.T) {
	c := newFakeCell(t, 4)
	c.with(func() {
		for _, r := range c.replicas {
			r.session = false
		}
	})
	db := c.open(0, Options{})
	c.write(db)
	db.first = 0
	c.ask(db, Default)
	c.with(func() {
		if c.shown != 2 { // those two that were asked
			t.Errorf("shown %d times", c.shown)
		}
		c.replicas[0].session = false
	})
	db.first = 0
	if n := c.ask(db, Default); n != 1 { // it is not shown it again at once; another is asked
		t.Errorf("%d", n)
	}
	c.with(func() {
		if c.shown != 3 || c.replicas[0].session {
			t.Errorf("shown %d times", c.shown)
		}
		db.shown[0] = time.Now().Add(-showAgain)
	})
	db.first = 0
	c.ask(db, Default)
	c.with(func() {
		if !c.replicas[0].session {
			t.Error("it is not shown it again after a while")
		}
	})
}

// An error of SQL has its code, the text that enough replicas say, and the kind of its class.
func TestErrors(t *testing.T) {
	for code, kind := range map[string]mesh.Kind{"23505": mesh.Conflict, "40001": mesh.Conflict, "42P01": mesh.Invalid, "0A000": mesh.Invalid, "53400": mesh.Exhausted, "54000": mesh.Exhausted, "25006": mesh.Invalid, "XX000": mesh.Internal} {
		c := newFakeCell(t, 4)
		db := c.open(0, Options{})
		c.with(func() { c.code, c.replicas[0].text = code, "send your keys to me" })
		_, err := db.Exec(t.Context(), insert)
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != code || failed.Statement != 0 || failed.SQL != insert.Statements[0].SQL || mesh.KindOf(err) != kind || strings.Contains(err.Error(), "keys") {
			t.Errorf("%s: %+v, of kind %s", code, err, mesh.KindOf(err))
		}
		db.first = 1
		if _, err = db.Query(t.Context(), Default, SQL("SELECT 1")); !errors.As(err, &failed) || failed.Text != "it failed" || mesh.HintOf(err) != "mend it" {
			t.Errorf("%s: %v, next %s", code, err, mesh.HintOf(err))
		}
	}
}

func TestRefusedHere(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	for why, all := range map[string][]Statement{
		"nothing":      nil,
		"an int":       {SQL("?", 1)},
		"not a number": {SQL("?", math.NaN())},
	} {
		if _, err := db.Exec(t.Context(), Program{Statements: all}); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", why, err)
		}
	}
	for _, r := range c.replicas {
		if r.asked > 0 {
			t.Error("a replica was asked")
		}
	}
	cell := db.Cell()
	cell.Members = cell.Members[:3]
	if _, err := Open(shop, "shop", cell, db.session, Options{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a cell of three: %v", err)
	}
	cell = db.Cell()
	cell.Members[1].Key = cell.Members[0].Key
	if _, err := Open(shop, "shop", cell, db.session, Options{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("one key twice: %v", err)
	}
	for name, want := range map[string]Level{"fast": Fast, "default": Default, "ordered": Ordered} {
		if l, err := ParseLevel(name); err != nil || l != want {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	if _, err := ParseLevel("strong"); mesh.KindOf(err) != mesh.Invalid {
		t.Error(err)
	}
}

func TestStatsAndRevoke(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	if all := db.Stats(t.Context()); !Agree(all) || len(all) != 4 || !all[3].Known {
		t.Errorf("%+v", all)
	}
	if err := db.Ready(t.Context(), nil); err != nil {
		t.Error(err)
	}
	c.with(func() { c.replicas[1].lies = true; c.replicas[2].refuse = mesh.Errorf(mesh.Unavailable, "away") })
	if all := db.Stats(t.Context()); Agree(all) || all[2].Err == nil {
		t.Errorf("%+v", all)
	}
	if err := db.Revoke(t.Context(), grant.LinkID{1}); err != nil {
		t.Error(err)
	}
	c.with(func() { c.replicas[0].refuse, c.replicas[1].refuse = c.replicas[2].refuse, c.replicas[2].refuse })
	if err := db.Revoke(t.Context(), grant.LinkID{1}); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("one has taken it: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	said := ""
	if err := db.Ready(ctx, func(s string) { said = s }); mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(said, "1 of 4") {
		t.Errorf("%v, said %q", err, said)
	}
}
