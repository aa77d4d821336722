package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// leases opens and gives back the ozone that transfers need: one lease at a time, a new one when it is used up, about to
// expire, or its authority does not answer.
type leases struct {
	client *Client
	kind   int // of the report, under which nodes earn

	mu      sync.Mutex // held while one is opened, so that others wait for it
	current *lease
	next    int // authority to try first
	all     []*lease
}

// A lease is one open lease and what was signed on it. It is the transfer.Payer of the transfers under its tickets.
type lease struct {
	traffic.Lease
	client *Client
	asked  uint64 // for tickets so far, at most; guarded by leases

	mu    sync.Mutex
	nodes map[mesh.NodeID]*tab
}

// A tab is the running total with one node. Total is what was signed; moved what is known or must be feared to have
// moved; under what is moving now.
type tab struct{ total, moved, under uint64 }

// ask notes that somebody asks for a ticket, and tells whether the lease lasts and has room for it beside the others.
func (l *lease) ask(need uint64, now time.Time) bool {
	if now.Add(time.Minute).UnixMilli() >= l.ExpiresMs || l.asked+need > uint64(l.Amount) {
		return false
	}
	l.asked += need
	return true
}

// Pay signs the next receipt: it covers all that moved and is moving, and n more.
func (l *lease) Pay(node mesh.NodeID, n uint64) *wirepb.Signed {
	l.mu.Lock()
	t := l.tab(node)
	t.under += n
	t.total = max(t.total, t.moved+t.under)
	r := traffic.Receipt{Lease: l.ID, Session: l.Session, Node: node, Total: mesh.Noz(t.total)}
	l.mu.Unlock()
	return r.Seal(l.client.access.domain, l.client.access.key)
}

// Moved ends what Pay began: n bytes moved, or certainly did not.
func (l *lease) Moved(node mesh.NodeID, n uint64, moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.nodes[node]; t != nil {
		t.under -= min(n, t.under)
		if moved {
			t.moved += n
		}
	}
}

// owe adds to what is due to a node for calls; the next receipt covers it.
func (l *lease) owe(node mesh.NodeID, noz uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tab(node)
	t.moved += noz
	t.total = max(t.total, t.moved+t.under)
}

// tab is the running total with a node; l.mu is held.
func (l *lease) tab(node mesh.NodeID) *tab {
	t := l.nodes[node]
	if t == nil {
		t = new(tab)
		l.nodes[node] = t
	}
	return t
}

// receipt is the newest receipt for a node, nil where nothing is due.
func (l *lease) receipt(node mesh.NodeID) *wirepb.Signed {
	l.mu.Lock()
	total := uint64(0)
	if t := l.nodes[node]; t != nil {
		total = t.total
	}
	l.mu.Unlock()
	if total == 0 {
		return nil
	}
	return traffic.Receipt{Lease: l.ID, Session: l.Session, Node: node, Total: mesh.Noz(total)}.Seal(l.client.access.domain, l.client.access.key)
}

// Moved tells for how many noz the client signed so far, over all leases: what its account owes for traffic and calls.
func (c *Client) Moved() mesh.Noz { return c.moved(func(mesh.NodeID) bool { return true }) }

// MovedWith is Moved of what went to one node, or came from it.
func (c *Client) MovedWith(node mesh.NodeID) mesh.Noz {
	return c.moved(func(n mesh.NodeID) bool { return n == node })
}

func (c *Client) moved(with func(mesh.NodeID) bool) (n mesh.Noz) {
	for _, ls := range []*leases{c.leases, c.runs.leases} {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		for _, l := range ls.all {
			l.mu.Lock()
			for node, t := range l.nodes {
				if with(node) {
					n += mesh.Noz(t.total)
				}
			}
			l.mu.Unlock()
		}
	}
	return n
}

// ticket asks for tickets with the current lease, or a new one where the current one will not do.
func (ls *leases) ticket(ctx context.Context, req *wirepb.TicketRequest, need uint64) (*lease, *wirepb.TicketAnswer, error) {
	var errs []error
	for range len(ls.client.group.Members()) + 2 {
		l, err := ls.get(ctx, need)
		if err != nil {
			return nil, nil, errors.Join(append(errs, err)...)
		}
		req.Lease = l.ID[:]
		tctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		a, err := ls.client.group.Ticket(tctx, l.Authority, req)
		cancel()
		if err == nil {
			return l, a, nil
		}
		switch mesh.KindOf(err) {
		case mesh.Exhausted:
			ls.drop(l, false)
		case mesh.NotFound: // its authority lags
			ls.drop(l, true)
		case mesh.Unavailable, mesh.Internal:
			if ctx.Err() != nil {
				return nil, nil, err
			}
			ls.drop(l, true)
		default:
			return nil, nil, err
		}
		errs = append(errs, err)
	}
	return nil, nil, mesh.Errorf(mesh.KindOf(errs[len(errs)-1]), "no ticket: %w", errors.Join(errs...))
}

// get returns the current lease if there is need left on it beside what others ask for, or opens one of at least need. Were it given
// to as many as come, all but the first would be refused, and again on the next lease.
func (ls *leases) get(ctx context.Context, need uint64) (*lease, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.current; l != nil && l.ask(need, time.Now()) {
		return l, nil
	}
	if err := ls.client.open(ctx); err != nil {
		return nil, err
	}
	amount := max(ls.client.opts.Lease, mesh.Noz(need)*2, traffic.MinLease)
	for {
		l, err := ls.openOne(ctx, amount)
		if err == nil {
			l.ask(need, time.Now())
			return l, nil
		}
		if mesh.KindOf(err) != mesh.Exhausted {
			return nil, err
		}
		if amount <= max(mesh.Noz(need), traffic.MinLease) {
			return nil, err
		}
		amount = max(amount/4, mesh.Noz(need), traffic.MinLease) // the account may have less, but enough
	}
}

func (ls *leases) openOne(ctx context.Context, amount mesh.Noz) (*lease, error) {
	c := ls.client
	members := c.group.Members()
	m := members[ls.next%len(members)]
	expires := min(time.Now().Add(c.opts.LeaseLife).UnixMilli(), c.access.rights.ExpiresMs)
	l := &lease{client: c, nodes: map[mesh.NodeID]*tab{}, Lease: traffic.Lease{ID: mesh.NewLeaseID(), Session: c.access.rights.Holder,
		Amount: amount, Authority: m.ID, ExpiresMs: expires, Kind: ls.kind}}
	h, err := c.group.Submit(ctx, c.tx(wirepb.TxKind_TX_LEASE, sign.Lease, l.Message()))
	if err != nil {
		return nil, err
	}
	c.group.AwaitMember(ctx, m.ID, h) // the authority that signs tickets must have seen the lease; if not, it says so
	ls.current = l
	ls.all = append(ls.all, l)
	return l, nil
}

// drop stops using a lease; its authority may be the reason.
func (ls *leases) drop(l *lease, authority bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.current == l {
		ls.current = nil
		if authority {
			ls.next++
		}
	}
}

// close gives every lease back.
func (ls *leases) close(ctx context.Context) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var errs []error
	for _, l := range ls.all {
		if time.Now().UnixMilli() < l.ExpiresMs {
			_, err := ls.client.group.Submit(ctx, ls.client.tx(wirepb.TxKind_TX_LEASE_CLOSE, sign.LeaseClose, &wirepb.LeaseClose{Lease: l.ID[:]}))
			if k := mesh.KindOf(err); err != nil && k != mesh.NotFound {
				errs = append(errs, err)
			}
		}
	}
	ls.all, ls.current = nil, nil
	return errors.Join(errs...)
}
