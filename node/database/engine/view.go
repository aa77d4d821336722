package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// viewGrace is how long a block waits for a view that is under way.
const viewGrace = 20 * time.Millisecond

// View runs a program on the newest state, undoes it, and returns of which height that was. A block that comes waits for a moment
// only: then the view is given up, Unavailable, and may be asked for again.
func (db *DB) View(ctx context.Context, p *Program) (o *wirepb.Outcome, height uint64, err error) {
	for _, token := range []chan struct{}{db.views, db.turn} {
		select {
		case <-token:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		defer func() { token <- struct{}{} }() // the turn first, so that a block has it before the next view
	}
	if err := db.ready(); err != nil {
		return nil, 0, err
	}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	db.yields(cancel)
	defer db.yields(nil)
	c, at := db.writer, db.state()
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, 0, db.fail(err)
	}
	o, changed, err := viewed(own, c, at, db.opts.Limits, p)
	if !c.outside() {
		err = errors.Join(err, c.exec("ROLLBACK"))
	}
	if changed || c.outside() && err != nil {
		c.flush()
	}
	if err != nil {
		return nil, 0, db.fail(err)
	}
	if o.Code == codeCancelled && ctx.Err() == nil {
		return nil, 0, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "a block came before the view's end"), "ask again")
	}
	return o, at.height, nil
}

func (db *DB) yields(cancel func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.yield = cancel
}

// takeTurn waits for the writer, and not long for a view that has it.
func (db *DB) takeTurn() {
	grace := time.NewTimer(viewGrace)
	defer grace.Stop()
	select {
	case <-db.turn:
		return
	case <-grace.C:
	}
	db.mu.Lock()
	if db.yield != nil {
		db.yield()
	}
	db.mu.Unlock()
	<-db.turn
}

func viewed(ctx context.Context, c *conn, at state, l Limits, p *Program) (o *wirepb.Outcome, changed bool, err error) {
	stop := watch(ctx, c)
	defer stop()
	pl := planned(p, &l, at.timeMs, deriveSeed(at.digest[:], at.height, 0, p.Digest()))
	pl.height, pl.tentative = at.height+1, true
	o, a, err := execute(c, pl, func() bool { return ctx.Err() != nil }, func() error { return nil })
	return o, a != nil && a.before != nil, err
}

// watch interrupts what runs on c when ctx ends, until stop is called. SQLite forgets an interrupt that comes between two
// statements, so that it comes again and again.
func watch(ctx context.Context, c *conn) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for {
			c.interrupt()
			select {
			case <-done:
				return
			case <-again.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
