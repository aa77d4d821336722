package postgres

import (
	"context"
	"iter"

	client "github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Over is a client's database as connections use it. leave, if any, is called once, by Close.
func Over(db *client.DB, leave func()) Database { return &opened{db, leave} }

type opened struct {
	db    *client.DB
	leave func()
}

func request(p Program) client.Request {
	return client.Request{Statements: p.Statements, Settings: p.Settings, View: p.View}
}

func levelOf(l Level) client.Level {
	switch l {
	case Fast:
		return client.Fast
	case Ordered:
		return client.Ordered
	}
	return client.Default
}

func (o *opened) Describe(ctx context.Context, p Program) (*wirepb.Outcome, error) {
	r := request(p)
	r.Describe, r.Tentative = true, p.View != nil
	out, _, err := o.db.Ask(ctx, client.Fast, r) // replicas hold what runs against it
	return out, err
}

func (o *opened) Query(ctx context.Context, l Level, p Program) (*wirepb.Outcome, error) {
	if l == Ordered {
		return o.Exec(ctx, p)
	}
	out, _, err := o.db.Ask(ctx, levelOf(l), request(p))
	return out, err
}

func (o *opened) Try(ctx context.Context, l Level, p Program) (*wirepb.Outcome, error) {
	r := request(p)
	r.Tentative = true
	out, _, err := o.db.Ask(ctx, levelOf(l), r)
	return out, err
}

func (o *opened) Exec(ctx context.Context, p Program) (*wirepb.Outcome, error) {
	out, _, err := o.db.Run(ctx, client.ID{}, 0, request(p))
	return out, err
}

func (o *opened) Newest(ctx context.Context) (client.Position, error) { return o.db.Newest(ctx) }

func (o *opened) Follow(ctx context.Context, from client.Position) iter.Seq2[client.Batch, error] {
	return o.db.Follow(ctx, client.Feed{}, from)
}

func (o *opened) Close() error {
	if o.leave != nil {
		o.leave()
		o.leave = nil
	}
	return nil
}
