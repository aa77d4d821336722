package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/erasure"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Options of a Client. The zero value of a field means its default.
type Options struct {
	// Segments is how many segments (16 MiB each, and their parity) are in memory at once, by one Put or reader. Default 2:
	// 64 MiB, and about as much again until the garbage collector runs.
	Segments int
	// Memory bounds what all Puts and readers of all clients that share it hold together, in smaller steps where it must.
	// Default none: each is bounded by itself. What is written in smaller steps stays in smaller segments.
	Memory *Memory
	// Lease is how much ozone a lease sets aside, if the account has it. Default 256 MB.
	Lease mesh.Noz
	// LeaseLife is how long a lease is good for. Default 10 minutes.
	LeaseLife time.Duration
	// Hedge is how long a node may take for a step before others are asked as well. Default 2 s.
	Hedge time.Duration
	// Exact has pieces that are computed from others checked against their names, for which whole pieces are read. A writer can store
	// parity that is none: then readers who get a piece from its node, and those who compute it, read different bytes, each of them
	// sealed by the writer. Who must read what others read sets it.
	Exact bool
}

func (o Options) withDefaults() Options {
	if o.Segments == 0 {
		o.Segments = 2
	}
	if o.Memory == nil {
		o.Memory = NewMemory(unlimited)
	}
	if o.Lease == 0 {
		o.Lease = 256_000_000
	}
	if o.LeaseLife == 0 {
		o.LeaseLife = 10 * time.Minute
	}
	if o.Hedge == 0 {
		o.Hedge = 2 * time.Second
	}
	return o
}

// A Client moves objects. It may be used by many goroutines. Close it: that gives back the ozone that it set aside.
type Client struct {
	access *Access
	opts   Options
	dialer *transfer.Dialer
	group  *group.Group
	leases *leases
	runs   *runs
	packer *packer
	own    *lifecycle.Group
	asks   *batcher[[]*wirepb.Question, [][]byte]
	reads  *batcher[*wirepb.ReadPlan, readTicket]
	memory *Memory

	mu       sync.Mutex
	opened   bool // the session is on the log
	nodes    map[mesh.NodeID]transfer.Node
	nodesAt  time.Time
	geometry index.Geometry
	ahead    time.Duration // of the group's time
	codes    map[[2]int]*erasure.Code
	buckets  map[string]*wirepb.BucketAnswer
}

// New returns a client that acts under an access, through the authorities that the caller knows. Nothing is sent yet.
func New(a *Access, authorities []group.Member, o Options) (*Client, error) {
	d := transfer.NewDialer(a.key, 5*time.Second)
	g, err := group.New(authorities, d, group.Options{})
	if err != nil {
		return nil, err
	}
	c := &Client{access: a, opts: o.withDefaults(), dialer: d, group: g, codes: map[[2]int]*erasure.Code{}, buckets: map[string]*wirepb.BucketAnswer{}}
	c.memory = c.opts.Memory
	c.leases = &leases{client: c, kind: report.Storage}
	c.runs = &runs{leases: &leases{client: c, kind: report.Compute}, tickets: map[mesh.NodeID]*runTicket{}}
	c.own = lifecycle.New(context.Background())
	c.asks = &batcher[[]*wirepb.Question, [][]byte]{own: c.own, rounds: askRounds, most: maxQuestions, ask: c.askAll,
		weight: func(q []*wirepb.Question) int { return len(q) }}
	c.reads = &batcher[*wirepb.ReadPlan, readTicket]{own: c.own, rounds: askRounds, most: maxPlans, ask: c.readTickets}
	c.packer = newPacker(func(ctx context.Context, p mesh.Path, form former) (*wirepb.Segment, error) {
		return c.writeSegment(ctx, p, form, nil)
	}, c.enter)
	return c, nil
}

// Close gives leases back and closes connections. It may be called more than once.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := errors.Join(c.packer.own.Close(), c.own.Close(), c.leases.close(ctx), c.runs.leases.close(ctx), c.group.Close())
	c.dialer.Close()
	return err
}

// Access returns what the client acts under.
func (c *Client) Access() *Access { return c.access }

// commit signs a message with the session's key, puts it on the log, and waits until it cannot be lost.
func (c *Client) commit(ctx context.Context, k wirepb.TxKind, p sign.Purpose, m proto.Message) (mesh.Height, error) {
	if err := c.open(ctx); err != nil {
		return 0, err
	}
	return c.group.Commit(ctx, c.tx(k, p, m))
}

// enter puts signed entries on the log, all or none, and waits until they cannot be lost.
func (c *Client) enter(ctx context.Context, entries []*wirepb.Signed) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	_, err := c.group.Commit(ctx, wire.Encode(&wirepb.Tx{Kind: wirepb.TxKind_TX_ENTRY, Message: entries[0], More: entries[1:]}))
	return err
}

func (c *Client) tx(k wirepb.TxKind, p sign.Purpose, m proto.Message) []byte {
	return wire.Encode(&wirepb.Tx{Kind: k, Message: signed.Seal(c.access.domain, c.access.key, p, m)})
}

// open registers the session with the log, once.
func (c *Client) open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened {
		return nil
	}
	h, err := c.group.Submit(ctx, c.tx(wirepb.TxKind_TX_SESSION, sign.Session, &wirepb.Session{Chain: c.access.chain}))
	if err != nil {
		return err
	}
	if err := c.group.AwaitQuorum(ctx, h); err != nil {
		return err
	}
	c.opened = true
	return nil
}

// What goes into one round: of questions, and of plans for a ticket. Authorities take 256 and 64.
const (
	askRounds    = 2
	maxQuestions = 128
	maxPlans     = 32
)

// ask asks strong questions under the session, together with others that are asked now.
func (c *Client) ask(ctx context.Context, questions ...*wirepb.Question) ([][]byte, error) {
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c.asks.do(ctx, questions)
}

// askAll asks several lists of questions at once.
func (c *Client) askAll(ctx context.Context, lists [][]*wirepb.Question) ([][][]byte, error) {
	answers, _, err := c.group.Ask(ctx, group.Strong, slices.Concat(lists...)...)
	if err != nil {
		return nil, err
	}
	all := make([][][]byte, len(lists))
	for i, l := range lists {
		all[i], answers = answers[:len(l)], answers[len(l):]
	}
	return all, nil
}

// storageKind is the bit of a node's kinds for storing slices.
const storageKind = 4

// registryAge is how old the client's picture of nodes and geometry may be.
const registryAge = 30 * time.Second

// registry returns the nodes and the geometry that writes have now.
func (c *Client) registry(ctx context.Context) (map[mesh.NodeID]transfer.Node, index.Geometry, error) {
	c.mu.Lock()
	nodes, g, at := c.nodes, c.geometry, c.nodesAt
	c.mu.Unlock()
	if nodes != nil && time.Since(at) < registryAge {
		return nodes, g, nil
	}
	answers, _, err := c.group.Ask(ctx, group.Honest, &wirepb.Question{Question: &wirepb.Question_Nodes{Nodes: true}})
	if err != nil {
		return nil, g, err
	}
	ahead, err := c.askTime(ctx)
	if err != nil {
		return nil, g, err
	}
	all := new(wirepb.NodesAnswer)
	if _, err := group.Decode(answers[0], all); err != nil {
		return nil, g, err
	}
	nodes = make(map[mesh.NodeID]transfer.Node, len(all.Nodes))
	domains := map[string]bool{}
	for _, n := range all.Nodes {
		node, err := nodeOf(n.Id, n.Address, n.TlsKey, n.NodeKey)
		if err != nil {
			return nil, g, err
		}
		nodes[node.ID] = node
		if n.Active && n.Kinds&storageKind != 0 {
			domains[n.Domain] = true
		}
	}
	g, err = index.GeometryFor(len(domains))
	if err != nil {
		return nil, g, err
	}
	c.mu.Lock()
	c.nodes, c.geometry, c.nodesAt, c.ahead = nodes, g, time.Now(), ahead
	c.mu.Unlock()
	return nodes, g, nil
}

// askTime asks how far the group's time is ahead of this machine's clock.
func (c *Client) askTime(ctx context.Context) (time.Duration, error) {
	answers, _, err := c.group.Ask(ctx, group.Any, &wirepb.Question{Question: &wirepb.Question_Group{Group: true}})
	if err != nil {
		return 0, err
	}
	a := new(wirepb.GroupAnswer)
	_, err = group.Decode(answers[0], a)
	return time.Until(time.UnixMilli(a.TimeMs)), err
}

func nodeOf(id []byte, address string, tlsKey, nodeKey []byte) (n transfer.Node, err error) {
	var errs [3]error
	n.ID, errs[0] = mesh.FromBytes[mesh.NodeID](id)
	n.TLSKey, errs[1] = mesh.FromBytes[mesh.PublicKey](tlsKey)
	n.NodeKey, errs[2] = mesh.FromBytes[mesh.PublicKey](nodeKey)
	n.Address = address
	return n, errors.Join(errs[:]...)
}

func (c *Client) code(k, n int) (*erasure.Code, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := c.codes[[2]int{k, n}]; code != nil {
		return code, nil
	}
	code, err := erasure.New(k, n)
	if err == nil {
		c.codes[[2]int{k, n}] = code
	}
	return code, err
}
