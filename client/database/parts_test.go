package database

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// large is a program of so many parts: what it brings cannot be compressed.
func large(parts int) (p Program) {
	chance := rand.NewChaCha8([32]byte{byte(parts)})
	for range parts*5 - 1 {
		b := make([]byte, wiredatabase.PartBytes/5)
		chance.Read(b)
		p.Statements = append(p.Statements, SQL("INSERT INTO t VALUES(?)", b))
	}
	return p
}

// A large program goes in parts, whoever fails, and is applied once.
func TestLargeProgram(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	check := func(why string, p Program, parts int) {
		t.Helper()
		c.with(func() { c.brought, c.ran = 0, 0 })
		before := c.count()
		o, err := db.Exec(t.Context(), p)
		if err != nil || c.count() != before+1 || c.ran != len(p.Statements) || c.brought != parts {
			t.Errorf("%s: %+v, %v; %d statements ran, %d parts came, want %d", why, o, err, c.ran, c.brought, parts)
		}
	}
	c.with(func() { c.replicas[0].session = false })
	check("a session that one must be shown", large(9), 9)
	c.with(func() { c.replicas[0].loses, db.first = 2, 0 })
	check("answers that are lost", large(8), 10)
	db.first = 1
	c.with(func() { c.replicas[1].drops = true })
	check("a replica that drops them", large(3), 6)
	c.with(func() { c.replicas[1].drops = false })
	c.with(func() { c.needs, c.brought = 10_000_000, 0 })
	before := c.count()
	if _, err := db.Exec(t.Context(), large(2)); err != nil || c.count() != before+2 || c.brought != 4 {
		t.Errorf("with more gas the second time: %v, %d programs, %d parts", err, c.count()-before, c.brought)
	}

	// Sent again under its id, it has its outcome without parts; and with them when it never came.
	c.with(func() { c.needs, c.brought = 0, 0 })
	p := large(2)
	p.ID = ID{7}
	first, err := db.Exec(t.Context(), p)
	if err != nil || c.brought != 2 {
		t.Errorf("%v, %d parts", err, c.brought)
	}
	again, err := db.Exec(t.Context(), p)
	if err != nil || again.Height != first.Height || c.brought != 2 {
		t.Errorf("again: %v, %v, %d parts", again, err, c.brought)
	}
	o, _, err := db.Ask(t.Context(), Default, Request{Statements: []*wirepb.Statement{{Sql: strings.Repeat(" ", 3<<20)}}})
	if err != nil || o.Code != "" {
		t.Errorf("a large question: %v, %v", o, err)
	}
}

func TestLargeProgramRefused(t *testing.T) {
	c := newFakeCell(t, 4)
	db := c.open(0, Options{})
	if _, err := db.Exec(t.Context(), large(wiredatabase.MaxParts+1)); mesh.KindOf(err) != mesh.Exhausted || mesh.HintOf(err) == "" || c.count() != 0 {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := db.Ask(t.Context(), Default, Request{Statements: []*wirepb.Statement{{Sql: strings.Repeat(" ", wiredatabase.MaxProgram)}}}); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("a question that is too large: %v", err)
	}
	c.with(func() { c.most = 3 })
	if _, err := db.Exec(t.Context(), large(8)); mesh.KindOf(err) != mesh.Exhausted || c.count() != 0 {
		t.Errorf("too many parts: %v", err)
	}
	c.with(func() {
		c.most = 0
		for _, r := range c.replicas {
			r.drops = true
		}
	})
	if _, err := db.Exec(t.Context(), large(2)); mesh.KindOf(err) != mesh.NotFound || c.count() != 0 {
		t.Errorf("nobody takes parts: %v", err)
	}
	silent := make(chan struct{})
	c.with(func() {
		for _, r := range c.replicas {
			r.silent = silent
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var unknown *UnknownError
	if _, err := db.Exec(ctx, large(2)); mesh.KindOf(err) != mesh.Unavailable || errors.As(err, &unknown) {
		t.Errorf("nobody answers: %v", err)
	}
	close(silent)
}
