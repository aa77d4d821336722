package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A MemberStatus is what a replica says of itself and of the database; nobody has checked it.
type MemberStatus struct {
	Member
	Err        error // it did not answer; the rest is empty
	Height     int64 // of the cell's log
	Time       time.Time
	Checkpoint int64 // height of the newest one that is certified; 0: none yet

	Known          bool     // it has the database
	State          uint32   // open 1, read-only 2
	DatabaseHeight int64    // of the newest block that touched it
	Digest         []byte   // rolling, at that height
	Usage          Usage    // of all programs so far
	Noz, Allowance mesh.Noz // what all use so far has cost, and may cost
}

// statusTime bounds how long a replica may take to say how it stands.
const statusTime = 3 * time.Second

// Stats asks every replica how it and the database are. It tells of the database to sessions that the cell knows.
func (d *DB) Stats(ctx context.Context) []MemberStatus {
	all := make([]MemberStatus, len(d.cell.Members))
	d.each(ctx, statusTime, func(ctx context.Context, i int) error {
		all[i] = d.status(ctx, i)
		if all[i].Err == nil && !all[i].Known && d.show(ctx, i) == nil {
			all[i] = d.status(ctx, i)
		}
		return nil
	})
	return all
}

func (d *DB) status(ctx context.Context, i int) (m MemberStatus) {
	s := new(wirepb.CellStatus)
	m.Member = d.cell.Members[i]
	if m.Err = d.call(ctx, i, wirepb.CellStatusPath, new(wirepb.CellStatusRequest), s); m.Err != nil {
		return m
	}
	m.Height, m.Time, m.Checkpoint = s.Height, time.UnixMilli(s.TimeMs), s.Checkpoint
	for _, h := range s.Databases {
		if string(h.Database) == string(d.id[:]) {
			m.Known, m.State, m.DatabaseHeight, m.Digest, m.Usage = true, h.State, h.Height, h.Digest, usageOf(h.Usage)
			m.Noz, m.Allowance = mesh.Noz(h.Noz), mesh.Noz(h.AllowanceNoz)
		}
	}
	return m
}

// Agree tells whether replicas that are at one height of the database have the same digest.
func Agree(all []MemberStatus) bool {
	for _, a := range all {
		if slices.ContainsFunc(all, func(b MemberStatus) bool {
			return a.Known && b.Known && a.DatabaseHeight == b.DatabaseHeight && string(a.Digest) != string(b.Digest)
		}) {
			return false
		}
	}
	return true
}

// Ready waits until so many replicas have the database that those which have not can neither refuse nor answer for the cell. Say, if
// any, is told what it waits for.
func (d *DB) Ready(ctx context.Context, say func(string)) error {
	tick := time.NewTicker(d.opts.Retry)
	defer tick.Stop()
	state, why := "no replica was asked", error(nil)
	for {
		known := 0
		all := d.Stats(ctx)
		for _, s := range all {
			if s.Known {
				known++
			}
		}
		if wiredatabase.Certified(known, len(all)) {
			return nil
		}
		if ctx.Err() == nil { // else the answers were cut off
			state, why = fmt.Sprintf("%d of %d replicas have the database", known, len(all)), nil
			if i := slices.IndexFunc(all, func(s MemberStatus) bool { return s.Err != nil }); i >= 0 {
				why = all[i].Err
			}
			if say != nil {
				say(state)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s: %w", state, errors.Join(why, ctx.Err())), "look again in a moment: stratos db stats %s", d.name)
		}
	}
}

// revokeTime bounds how long a replica may take to apply a revocation.
const revokeTime = 15 * time.Second

// Revoke voids a grant of the account's in the database's cell. It needs a session with all of the account's rights, and returns
// when so many replicas have applied it that one of them is honest.
func (d *DB) Revoke(ctx context.Context, link grant.LinkID) error {
	m := d.sign(sign.Revocation, &wirepb.Revocation{Link: link[:], AtMs: time.Now().UnixMilli()})
	tx := &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_REVOCATION, Messages: []*wirepb.Signed{m}}
	errs := d.each(ctx, revokeTime, func(ctx context.Context, i int) error {
		return d.admitted(ctx, i, wirepb.CellSubmitPath, tx, new(wirepb.DatabaseReply))
	})
	took := 0
	for _, err := range errs {
		if err == nil {
			took++
		}
	}
	if !wiredatabase.Believed(took, len(errs)) {
		return errors.Join(errs...)
	}
	return nil
}

// each calls f for all members at once.
func (d *DB) each(ctx context.Context, limit time.Duration, f func(ctx context.Context, member int) error) []error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	errs := make([]error, len(d.cell.Members))
	var wg sync.WaitGroup
	for i := range d.cell.Members {
		wg.Go(func() { errs[i] = f(ctx, i) })
	}
	wg.Wait()
	return errs
}
