// Package sqlproxy lets programs on this machine use a database by PostgreSQL's protocol. What replicas answer is checked and what is
// written is signed in this process, so that no gateway need be trusted.
package sqlproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"syscall"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/mesh"
)

// user is who a client says that it is.
const user = "stratos"

// A Proxy serves one database on a listener, to whoever knows its password.
type Proxy struct {
	db       *database.DB
	password string
	address  string
	server   *postgres.Server
	ended    sync.WaitGroup
	err      error // of the server, once it has ended
}

// Start serves a database at an address, host:port, of this machine only. It does not own the database. Close it.
func Start(db *database.DB, address string, log *slog.Logger, o postgres.Options) (*Proxy, error) {
	l, err := net.Listen("tcp", address)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "listening at %s: %w", address, err), "write an address of this machine, like 127.0.0.1:5432; port 0 takes one that is free")
	}
	if err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "listening at %s: %w", address, err), "choose another address; port 0 takes one that is free")
	}
	if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
		return nil, errors.Join(mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s can be reached from other machines, and there is no TLS here", address),
			"listen at 127.0.0.1, or let others use a gateway"), l.Close())
	}
	p := &Proxy{db: db, password: rand.Text(), address: l.Addr().String()}
	if p.server, err = postgres.New(l, p, p, log, o); err != nil {
		return nil, err
	}
	p.ended.Go(func() { p.err = p.server.Run(context.Background()) })
	return p, nil
}

// URL is what clients connect to. It holds the password.
func (p *Proxy) URL() string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(user, p.password), Host: p.address, Path: "/" + p.db.Name(), RawQuery: "sslmode=disable"}
	return u.String()
}

// Close ends the connections, and waits for statements under way.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.ended.Wait()
	return errors.Join(err, p.err)
}

// Key is the proxy's one access key.
func (p *Proxy) Key(_ context.Context, name string) (*postgres.Key, error) {
	if name != user {
		return nil, mesh.Errorf(mesh.NotFound, "there is no user %q here", name)
	}
	return &postgres.Key{Name: user, Secret: p.password}, nil
}

// Open gives a connection the proxy's one database.
func (p *Proxy) Open(_ context.Context, _ *postgres.Key, name string) (postgres.Database, error) {
	if name != p.db.Name() {
		return nil, mesh.Errorf(mesh.NotFound, "there is no database %q here", name)
	}
	return postgres.Over(p.db, nil), nil
}
