package database

import (
	"context"
	"crypto/sha256"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Program is statements that are run in order, all or none. With their parameters they have at most 24 MiB as they are sent; what is
// large goes to the cell in parts.
type Program struct {
	Statements []Statement
	// ID names it: it is applied once, however often it is sent under one session within ten minutes, after which the cell forgets it.
	// Another program with the ID is refused as a Conflict.
	// Zero: one is drawn.
	ID ID
	// Gas is the most that it may take, which it takes of its block whether it needs it or not. Default: a little, and ten times as
	// much again, up to Options.ExecGas, when that did not suffice: then nothing of it has happened.
	Gas uint64
}

// A small program's limit: many of them go into a block, which has room for 20,000,000 of a database. What is written costs by its
// length, too.
const (
	smallGas = 100_000
	byteGas  = 4
	moreGas  = 10
)

// limits are what a program is tried with, one after the other, unless gas says it.
func limits(gas uint64, bytes int, most uint64) (all []uint64) {
	if gas > 0 {
		return []uint64{gas}
	}
	for g := smallGas + byteGas*uint64(bytes); g < most; g *= moreGas {
		all = append(all, g)
	}
	return append(all, most)
}

// attempt is the id under which a program is tried for the nth time with another limit. It follows from its own, so that who sends it
// again goes the same way.
func (id ID) attempt(n int) ID {
	if n == 0 {
		return id
	}
	sum := sha256.Sum256(append([]byte("stratos program attempt/1\x00"), append(id[:], byte(n))...))
	return ID(sum[:16])
}

// lastWait is for a cell to make a block behind a program's end, which an idle one does every 10 s, and to tell.
const lastWait = 30 * time.Second

// Exec runs a program on the log, and returns when so many replicas have signed its outcome that one of them is honest. It asks one
// replica, others when that keeps silent, and all again until the program's time is over: sending it often does no harm. An error of
// SQL is an *Error: nothing of the program happened. When nobody could tell in time what became of it, or ctx ended, the error is an
// *UnknownError. With any other error nothing of it happened.
func (d *DB) Exec(ctx context.Context, p Program) (*Outcome, error) {
	statements, err := d.prepare(ctx, p.Statements)
	if err != nil {
		return nil, err
	}
	o, height, err := d.Run(ctx, p.ID, p.Gas, Request{Statements: statements})
	if err != nil {
		return nil, err
	}
	return outcomeOf(o, statements, height)
}

// An execution is a program on its way.
type execution struct {
	db      *DB
	tx      *wirepb.CellTx
	end     time.Time
	reached atomic.Bool // some replica may have it
}

// ask sends the program to a member. Whoever has applied it answers from its record.
func (x *execution) ask(ctx context.Context, i int, question [32]byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	a, err := x.send(ctx, i, question)
	if mesh.KindOf(err) != mesh.Conflict || err == nil || !time.Now().After(x.end) {
		return a, err
	}
	// It says that the time is over, by its clock maybe. Only when a block is past it, a replica that has no record of the program
	// never will.
	s := new(wirepb.CellStatus)
	if err := x.db.call(ctx, i, wirepb.CellStatusPath, new(wirepb.CellStatusRequest), s); err != nil {
		return nil, err
	}
	if s.TimeMs <= x.end.UnixMilli() {
		return nil, mesh.Errorf(mesh.Unavailable, "replica %s has no block yet that is past the program's end", x.db.cell.Members[i].Node)
	}
	return x.send(ctx, i, question)
}

func (x *execution) send(ctx context.Context, i int, question [32]byte) (*answer, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.reached.Store(true) }})
	r := new(wirepb.DatabaseReply)
	if err := x.db.admitted(ctx, i, wirepb.CellSubmitPath, x.tx, r); err != nil {
		return nil, err
	}
	return x.db.open(i, r, question, 0)
}
