package gateway

import (
	"context"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// accessKeys is a keyring as the Postgres front asks it.
type accessKeys struct{ ring *client.Keyring }

func (k accessKeys) Key(ctx context.Context, name string) (*postgres.Key, error) {
	a, err := keys(k).Key(ctx, name)
	if err != nil {
		return nil, err
	}
	return &postgres.Key{Name: a.ID, Secret: a.Secret}, nil
}

// databases opens databases under the clients that access keys have at work.
type databases struct{ backend *s3.Backend }

func (d databases) Open(ctx context.Context, key *postgres.Key, name string) (_ postgres.Database, err error) {
	if err := mesh.CheckDatabase(name); err != nil {
		return nil, mesh.Errorf(mesh.NotFound, "there is no database of that name")
	}
	c, leave, err := d.backend.Client(ctx, key.Name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	known, err := c.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	if known.Dialect != wiredatabase.Postgres {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is of dialect %s", name, known.Dialect), "use stratos db sql, or make one with --dialect %s", wiredatabase.Postgres)
	}
	db, err := c.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return nil, err
	}
	return &opened{db, leave}, nil
}

// opened is a database as a connection uses it.
type opened struct {
	db    *database.DB
	leave func()
}

func request(p postgres.Program) database.Request {
	return database.Request{Statements: p.Statements, Settings: p.Settings, View: p.View}
}

func levelOf(l postgres.Level) database.Level {
	switch l {
	case postgres.Fast:
		return database.Fast
	case postgres.Ordered:
		return database.Ordered
	}
	return database.Default
}

func (o *opened) Describe(ctx context.Context, p postgres.Program) (*wirepb.Outcome, error) {
	r := request(p)
	r.Describe, r.Tentative = true, p.View != nil
	out, _, err := o.db.Ask(ctx, database.Fast, r) // replicas hold what runs against it
	return out, err
}

func (o *opened) Query(ctx context.Context, l postgres.Level, p postgres.Program) (*wirepb.Outcome, error) {
	if l == postgres.Ordered {
		return o.Exec(ctx, p)
	}
	out, _, err := o.db.Ask(ctx, levelOf(l), request(p))
	return out, err
}

func (o *opened) Try(ctx context.Context, l postgres.Level, p postgres.Program) (*wirepb.Outcome, error) {
	r := request(p)
	r.Tentative = true
	out, _, err := o.db.Ask(ctx, levelOf(l), r)
	return out, err
}

func (o *opened) Exec(ctx context.Context, p postgres.Program) (*wirepb.Outcome, error) {
	out, _, err := o.db.Run(ctx, database.ID{}, 0, request(p))
	return out, err
}

func (o *opened) Close() error {
	if o.leave != nil {
		o.leave()
		o.leave = nil
	}
	return nil
}
