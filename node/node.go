// Package node is a resource node: it keeps slices, serves them against tickets, collects receipts one step ahead of the
// bytes, hands them in for pay, tells the authorities that it is alive, and drops what nobody needs any more.
//
// The slices lie in node/storage, the book of receipts in node/traffic; replicas of databases are processes of their own, which
// node/database looks after. What crosses the wire is in protocol.
// cmd/stratos runs it (stratos node run).
package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/net/netutil"

	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/database"
	"github.com/stratosmesh/stratos/node/storage"
	"github.com/stratosmesh/stratos/node/traffic"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

// Version is what a node says of its program.
const Version = "0.1"

// A Node is one running resource node. One process runs one.
type Node struct {
	config   Config
	identity Identity
	domain   sign.Domain
	log      *slog.Logger
	now      func() time.Time

	nodeKey, tlsKey ed25519.PrivateKey

	store            *storage.Store
	book             *pebble.DB
	ledger           *traffic.Ledger
	dialer           *transfer.Dialer
	directory        *directory
	transferListener net.Listener
	statusListener   net.Listener
	databases        *database.Host // nil: it runs none
	tasks            *compute.Host  // nil: it runs none
}

// Options of a node.
type Options struct {
	// Replica is a command line that calls database.RunReplica with the home that comes behind it. A node that runs databases needs it.
	Replica []string
	// Worker is a command line that calls worker.Serve, and Tasks opens what tasks of jobs may use; nil: the node runs none.
	Worker []string
	Tasks  compute.Storage
}

// New opens the node in home. Close it, whether Run was called or not.
func New(home string, o Options, log *slog.Logger) (n *Node, err error) {
	c, err := ReadConfig(home)
	if err != nil {
		return nil, err
	}
	n = &Node{config: c, log: log, domain: sign.Domain{Network: c.Network, Group: c.Group}, now: time.Now}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if n.identity, err = Init(home); err != nil {
		return n, err
	}
	if n.nodeKey, err = keyfile.Read(filepath.Join(home, nodeKeyFile)); err != nil {
		return n, err
	}
	if n.tlsKey, err = keyfile.Read(filepath.Join(home, tlsKeyFile)); err != nil {
		return n, err
	}
	if n.transferListener, err = httpserve.Listen(c.Transfer); err != nil {
		return n, err
	}
	if n.statusListener, err = httpserve.Listen(c.Status); err != nil {
		return n, err
	}
	if n.store, err = storage.Open(filepath.Join(home, slicesDir), storage.Options{Capacity: c.Capacity}); err != nil {
		return n, err
	}
	if n.book, err = pebbledb.Open(filepath.Join(home, bookDir), pebbledb.Options{Cache: 4 << 20, MemTable: 2 << 20}); err != nil {
		return n, err
	}
	if n.ledger, err = traffic.Open(n.book, n.domain, n.identity.ID, n.now); err != nil {
		return n, err
	}
	n.dialer = transfer.NewDialer(n.tlsKey, 5*time.Second)
	if n.directory, err = newDirectory(c.Authorities, n.dialer); err != nil {
		return n, err
	}
	if o.Tasks != nil {
		if err := n.host(filepath.Join(home, computeDir), o); err != nil {
			return n, err
		}
	}
	if c.Database == "" {
		return n, nil
	}
	if len(o.Replica) == 0 {
		return n, mesh.Errorf(mesh.Internal, "a node that runs databases has no command for their replicas")
	}
	listen, public, port := c.databaseAt()
	n.databases = database.New(database.Options{Home: filepath.Join(home, cellsDir), Domain: n.domain, Node: n.identity.ID, Key: n.nodeKey,
		Listen: listen, Public: public, Port: port, Command: o.Replica}, cells{n}, log)
	return n, nil
}

// host makes what runs tasks of jobs.
func (n *Node) host(dir string, o Options) error {
	pool, err := compute.New(compute.Options{Home: dir, Command: o.Worker, Slots: n.config.Tasks, Memory: n.config.TaskMemory}, n.log)
	if err != nil {
		return err
	}
	n.tasks, err = compute.NewHost(compute.HostOptions{Domain: n.domain, Node: n.identity.ID, Key: n.nodeKey, Scratch: filepath.Join(dir, "scratch")}, pool, work{n}, o.Tasks, n.log)
	return err
}

// Run serves until ctx ends or something fails. It may be called once.
func (n *Node) Run(ctx context.Context) error {
	cert, err := tlsid.Certificate(n.tlsKey)
	if err != nil {
		return err
	}
	slices := httpserve.Server(n.transferPages(), tlsid.Server(cert), n.log)
	status := httpserve.Pages(n.statusPages(), n.log)
	g := lifecycle.New(ctx)
	err = errors.Join(
		g.Go(func(ctx context.Context) error {
			return httpserve.Run(ctx, slices, netutil.LimitListener(n.transferListener, maxConns))
		}),
		g.Go(func(ctx context.Context) error { return httpserve.Run(ctx, status, n.statusListener) }),
		g.Go(n.heartbeats),
		g.Go(n.flushes),
		g.Go(n.settlements),
		g.Go(n.refreshes),
		g.Go(n.tidies),
	)
	if n.tasks != nil {
		err = errors.Join(err, g.Go(n.tasks.Run))
	}
	if n.databases != nil {
		err = errors.Join(err, g.Go(n.databases.Run))
	}
	return errors.Join(err, g.Wait())
}

// Close closes the stores. It may be called more than once.
func (n *Node) Close() error {
	var errs []error
	if n.directory != nil {
		errs = append(errs, n.directory.close())
		n.directory = nil
	}
	if n.dialer != nil {
		n.dialer.Close()
	}
	for _, l := range []net.Listener{n.transferListener, n.statusListener} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if n.ledger != nil {
		errs = append(errs, n.ledger.Flush())
		n.ledger = nil
	}
	if n.book != nil {
		errs = append(errs, n.book.Close())
		n.book = nil
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// Status is what a node says of itself.
type Status struct {
	Name      string      `json:"name"`
	ID        mesh.NodeID `json:"id"`
	Ready     bool        `json:"ready"`
	Why       string      `json:"why,omitempty"` // not ready
	Slices    uint64      `json:"slices"`
	UsedBytes uint64      `json:"used_bytes"`
	FreeBytes uint64      `json:"free_bytes"`

	Replicas    []database.Status `json:"replicas,omitempty"`     // of databases
	ReplicasWhy string            `json:"replicas_why,omitempty"` // they are not in step with the meta layer
}

func (n *Node) status(ctx context.Context) Status {
	st := n.store.Stats()
	s := Status{Name: n.config.Name, ID: n.identity.ID, Slices: st.Slices, UsedBytes: st.UsedBytes, FreeBytes: st.FreeBytes}
	s.Why = n.directory.trouble()
	s.Ready = s.Why == ""
	if n.databases != nil {
		s.Replicas, s.ReplicasWhy = n.databases.Status(ctx)
	}
	return s
}
