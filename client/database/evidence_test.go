package database

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Who lies at level fast is found by a sample of what was answered so, and handed in once, with what the meta layer believes.
func TestFastLieIsHandedIn(t *testing.T) {
	c := newFakeCell(t, 4)
	own := lifecycle.New(context.Background())
	defer func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	}()
	told, failure := make(chan Evidence, 9), error(nil)
	open := func(o Options) *DB {
		o.Lied = func(e Evidence) { told <- e }
		db := c.open(2, o)
		db.session.Background = own.Go
		db.session.Report = func(context.Context, Evidence) error { return failure }
		return db
	}
	db := open(Options{Sample: 1})
	c.write(db)
	c.with(func() { c.replicas[2].lies = true })
	db.first = 2
	if n := c.ask(db, Fast); n != 2 {
		t.Fatalf("the liar was not asked: %d", n)
	}
	e := <-told
	var keys []mesh.PublicKey
	for _, m := range db.cell.Members {
		keys = append(keys, m.Key)
	}
	if liar, _, err := wiredatabase.CheckEvidence(domain, &wirepb.Evidence{Answer: e.False, Against: e.Against}, keys); err != nil || liar != 2 || !e.Handed || e.Liar.Node != (mesh.NodeID{2}) {
		t.Errorf("%+v: %d, %v", e, liar, err)
	}
	if err := db.Reported(t.Context()); err != nil {
		t.Error(err)
	}
	if all := db.Evidence(); len(all) != 1 || !all[0].Handed {
		t.Errorf("%+v", all)
	}
	for range 3 {
		c.ask(db, Default)
	}
	if err := db.Reported(t.Context()); err != nil || len(told) > 0 {
		t.Errorf("one lie is handed in twice: %v", err)
	}

	// What the meta layer does not take is said.
	failure = errors.New("no ozone")
	db = open(Options{})
	db.first = 2
	c.ask(db, Default)
	if e := <-told; e.Handed || e.Failed == nil {
		t.Errorf("%+v", e)
	}
}

// What is asked again later is the question as it was, whatever becomes of what it was made of.
func TestSampleIsOfItsOwn(t *testing.T) {
	c := newFakeCell(t, 4)
	var later func(context.Context) error
	db := c.open(2, Options{Sample: 1})
	db.session.Background = func(f func(context.Context) error) error { later = f; return nil }
	c.write(db)
	c.with(func() { c.replicas[2].lies = true })
	db.first = 2
	r := Request{Statements: []*wirepb.Statement{{Sql: "SELECT count(*)"}}, View: NewView()}
	if _, _, err := db.Ask(t.Context(), Fast, r); err != nil {
		t.Fatal(err)
	}
	r.View.Results, r.Statements[0].Sql = append(r.View.Results, make([]byte, 32)), "SELECT 2"
	if err := later(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := db.Evidence(); len(all) != 1 {
		t.Errorf("the lie is not found: %+v", all)
	}
}

// A report that hangs is waited for as long as the caller says, and ends with its owner.
func TestReported(t *testing.T) {
	c := newFakeCell(t, 4)
	own := lifecycle.New(context.Background())
	db := c.open(2, Options{})
	db.session.Background = own.Go
	db.session.Report = func(ctx context.Context, _ Evidence) error { <-ctx.Done(); return ctx.Err() }
	c.write(db)
	c.with(func() { c.replicas[2].lies = true })
	db.first = 2
	c.ask(db, Default)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := db.Reported(ctx); mesh.KindOf(err) != mesh.Unavailable || err == nil {
		t.Errorf("got %v", err)
	}
	if err := own.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Reported(t.Context()); err != nil {
		t.Error(err)
	}
	if e := db.Evidence(); len(e) != 1 || e[0].Handed || e[0].Failed == nil {
		t.Errorf("%+v", e)
	}
}
