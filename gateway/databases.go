package gateway

import (
	"context"
	"log/slog"
	"strings"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/gateway/databases"
	"github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/gateway/s3"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
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

// openDatabase opens a database under the client that an access key has at work, which leave gives back.
func openDatabase(ctx context.Context, b *s3.Backend, log *slog.Logger, key, name string) (_ *database.DB, leave func(), err error) {
	if err := mesh.CheckDatabase(name); err != nil {
		return nil, nil, mesh.Errorf(mesh.NotFound, "there is no database of that name")
	}
	c, leave, err := b.Client(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	db, err := c.OpenDatabase(ctx, name, database.Options{Lied: func(e database.Evidence) {
		log.Warn("a replica lied", "database", name, "node", e.Liar.Node, "handed_in", e.Handed, "err", e.Failed)
	}})
	if err != nil {
		leave()
		return nil, nil, err
	}
	return db, leave, nil
}

// wireDatabases are databases as PostgreSQL's protocol uses them.
type wireDatabases struct {
	backend *s3.Backend
	log     *slog.Logger
}

func (d wireDatabases) Open(ctx context.Context, key *postgres.Key, name string) (postgres.Database, error) {
	db, leave, err := openDatabase(ctx, d.backend, d.log, key.Name, name)
	if err != nil {
		return nil, err
	}
	if db.Dialect() != wiredatabase.Postgres {
		leave()
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is of dialect %s", name, db.Dialect()), "use stratos db shell, or make one with --dialect %s", wiredatabase.Postgres)
	}
	return postgres.Over(db, leave), nil
}

// httpDatabases are keys and databases as they are used over HTTP.
type httpDatabases struct {
	ring    *client.Keyring
	backend *s3.Backend
	log     *slog.Logger
}

func (d httpDatabases) Key(ctx context.Context, name string) (*databases.Key, error) {
	a, err := keys{d.ring}.Key(ctx, name)
	if err != nil {
		return nil, err
	}
	k := &databases.Key{Name: a.ID, Secret: a.Secret}
	if scope, _, ok := strings.Cut(a.Access.Rights().Prefix, "/"); ok {
		k.Database = strings.TrimPrefix(scope, grant.Database(""))
	}
	return k, nil
}

func (d httpDatabases) Open(ctx context.Context, key *databases.Key, name string) (*database.DB, func(), error) {
	return openDatabase(ctx, d.backend, d.log, key.Name, name)
}

// appKeys are keys as applications use them.
type appKeys struct {
	ring    *client.Keyring
	backend *s3.Backend
	log     *slog.Logger
}

func (k appKeys) Database(ctx context.Context, key, name string) (*database.DB, func(), error) {
	return openDatabase(ctx, k.backend, k.log, key, name)
}

func (k appKeys) Client(ctx context.Context, key string) (*client.Client, func(), error) {
	return k.backend.Client(ctx, key)
}

func (k appKeys) Served(ctx context.Context) ([]client.ServedBucket, error) {
	return k.ring.Served(ctx)
}
