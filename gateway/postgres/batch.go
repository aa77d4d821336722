package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A batch is statements of one text, or of one pipeline, that are one program: all of them happen or none does. What is to be
// answered between them waits, too.
type batch struct {
	items []item
}

// An item is a message, or a statement whose result is yet to come.
type item struct {
	message   pgproto3.BackendMessage
	statement *wirepb.Statement
	reads     bool
	offset    int                            // of the statement in what the client sent, in characters
	answer    func(*wirepb.Result) *sqlError // what is done with the result
}

// maxBatch bounds the statements of a batch.
const maxBatch = 10_000

// later has a statement run with those around it.
func (x *session) later(st *wirepb.Statement, reads bool, offset int, answer func(*wirepb.Result) *sqlError) *sqlError {
	if x.batch == nil {
		x.batch = new(batch)
	}
	if len(x.batch.items) >= 4*maxBatch {
		return newError("54000", "more than %d statements at once", maxBatch)
	}
	if refused := x.reserve(proto.Size(st)); refused != nil {
		return refused
	}
	x.batch.items = append(x.batch.items, item{statement: st, reads: reads, offset: offset, answer: answer})
	return nil
}

// finish runs what waits, and answers it.
func (x *session) finish() *sqlError {
	b := x.batch
	if b == nil {
		return nil
	}
	x.batch = nil
	var all []*wirepb.Statement
	var of []item
	reads := true
	for _, i := range b.items {
		if i.statement != nil {
			all, of, reads = append(all, i.statement), append(of, i), reads && i.reads
		}
	}
	var results []*wirepb.Result
	refused := x.within(func(ctx context.Context) (e *sqlError) {
		results, e = x.program(ctx, all, reads)
		return e
	})
	if refused != nil {
		n := min(refused.statement, len(of)-1)
		if refused.position > 0 {
			refused.position += int32(of[n].offset)
		}
		// What came before the statement that failed is answered, as PostgreSQL does, although nothing of it happened.
		until := 0
		for seen := -1; until < len(b.items); until++ {
			if b.items[until].statement != nil {
				if seen++; seen == n {
					break
				}
			}
		}
		if n > 0 {
			if before := x.rehearse(b, until); before != nil {
				return before
			}
		} else {
			x.messages(b, until)
		}
		return refused
	}
	n := 0
	for _, i := range b.items {
		if i.statement == nil {
			x.be.Send(i.message)
			continue
		}
		if e := i.answer(results[n]); e != nil {
			return e
		}
		n++
	}
	return nil
}

func (x *session) messages(b *batch, until int) {
	for _, i := range b.items[:until] {
		if i.statement == nil {
			x.be.Send(i.message)
		}
	}
}

// rehearse answers the first items of a batch of which nothing happens.
func (x *session) rehearse(b *batch, until int) *sqlError {
	tx := newTransaction(true)
	for _, i := range b.items[:until] {
		if i.statement == nil {
			x.be.Send(i.message)
			continue
		}
		var r []*wirepb.Result
		refused := x.within(func(ctx context.Context) (e *sqlError) {
			r, e = tx.run(ctx, x.db, Fast, x.settings.wire(), []*wirepb.Statement{i.statement}, i.reads)
			return e
		})
		if refused == nil {
			refused = i.answer(r[0])
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}

// enterBatch makes a transaction of what waits, because something comes that is none of SQL's statements, or the client wants answers.
func (x *session) enterBatch() *sqlError {
	b := x.batch
	if b == nil {
		return nil
	}
	x.batch = nil
	x.begin(true)
	for _, i := range b.items {
		if i.statement == nil {
			x.be.Send(i.message)
			continue
		}
		r, refused := x.several([]*wirepb.Statement{i.statement}, i.reads) // its bytes are counted
		if refused == nil {
			refused = i.answer(r[0])
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}
