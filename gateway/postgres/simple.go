package postgres

import (
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// simple carries out a text of statements. Several of them without a BEGIN are one transaction.
func (x *session) simple(text string) {
	if refused := x.finish(); refused != nil { // what a pipeline left without its Sync
		x.fail(refused)
		return
	}
	all := split(text)
	if len(all) == 0 {
		x.be.Send(&pgproto3.EmptyQueryResponse{})
		return
	}
	refused := x.texts(all)
	if refused == nil {
		refused = x.finish()
	}
	if refused == nil && x.tx != nil && x.tx.implicit {
		refused = x.commit()
	}
	if refused != nil {
		x.fail(refused)
	}
	if x.tx != nil && x.tx.implicit {
		x.end(false)
	}
	if x.tx == nil {
		x.forgetPortals()
	}
}

func (x *session) texts(all []*statement) *sqlError {
	for _, s := range all {
		c, refused := commandOf(s)
		if refused == nil && x.failed && (c == nil || !c.ends) {
			refused = aborted
		}
		switch {
		case refused != nil:
		case c != nil:
			refused = x.carryOut(c, nil)
		case x.tx != nil || len(all) == 1:
			var r *wirepb.Result
			if r, refused = x.one(&wirepb.Statement{Sql: s.sql}, s.reads()); refused == nil {
				refused = x.all(r)
			}
		default:
			refused = x.later(&wirepb.Statement{Sql: s.sql}, s.reads(), s.offset, x.all)
			if refused == nil {
				continue
			}
		}
		if refused != nil {
			if refused.position > 0 {
				refused.position += int32(s.offset)
			}
			return refused
		}
	}
	return nil
}
