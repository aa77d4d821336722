package meta

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// ticketLife is how long a ticket is good for. A revoked grant lives on in tickets no longer than this.
	ticketLife = time.Minute

	// reserveStride is how much of a lease is reserved at a time: one sync of the disk for this many bytes of tickets.
	reserveStride = 256 << 20

	maxPlans = 64 // segments in one request for tickets

	tellEvery = time.Second // at most this long the log lags behind what tickets gave
	maxTold   = 128         // leases in one message
)

// ticketOffice signs tickets on the leases that name this authority. The ranges of a lease are reserved on disk before any
// is signed away, so that no crash lets one range be signed twice.
type ticketOffice struct {
	domain sign.Domain
	self   mesh.AuthorityID
	key    ed25519.PrivateKey
	db     *pebble.DB // lease -> reserved u64

	mu     sync.Mutex
	ranges map[mesh.LeaseID]*leaseRange
	untold map[mesh.LeaseID]bool // of which the log does not know the newest allotments
	random *rand.Rand
}

type leaseRange struct {
	next, reserved uint64
	expiresMs      int64
	nodes          map[mesh.NodeID]uint64 // what tickets gave each, since this process began
	open           bool                   // tickets were signed before: what they gave is not known any more
}

func newTicketOffice(d sign.Domain, self mesh.AuthorityID, key ed25519.PrivateKey, db *pebble.DB) *ticketOffice {
	return &ticketOffice{domain: d, self: self, key: key, db: db, ranges: map[mesh.LeaseID]*leaseRange{}, untold: map[mesh.LeaseID]bool{},
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// take reserves the parts of a lease that nodes get, and returns where the first begins.
func (o *ticketOffice) take(id mesh.LeaseID, l *statepb.Lease, parts map[mesh.NodeID]uint64) (uint64, error) {
	n := uint64(0)
	for _, part := range parts {
		n += part
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.ranges[id]
	if r == nil {
		r = &leaseRange{expiresMs: l.ExpiresMs, nodes: map[mesh.NodeID]uint64{}}
		b, closer, err := o.db.Get(id[:])
		switch {
		case err == nil:
			r.next, r.open = binary.BigEndian.Uint64(b), true
			if err := closer.Close(); err != nil {
				return 0, fmt.Errorf("reading reserved ranges: %w", err)
			}
		case !errors.Is(err, pebble.ErrNotFound):
			return 0, fmt.Errorf("reading reserved ranges: %w", err)
		}
		r.reserved = r.next
		o.ranges[id] = r
	}
	if n > l.Amount-min(r.next, l.Amount) {
		return 0, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the lease of %s has %s left, the ticket needs %s", mesh.Noz(l.Amount), mesh.Noz(l.Amount-min(r.next, l.Amount)), mesh.Noz(n)),
			"open another lease")
	}
	if r.next+n > r.reserved {
		reserved := min(l.Amount, r.next+max(n, reserveStride))
		if err := o.db.Set(id[:], binary.BigEndian.AppendUint64(nil, reserved), pebble.Sync); err != nil {
			return 0, fmt.Errorf("reserving a range: %w", err)
		}
		r.reserved = reserved
	}
	from := r.next
	r.next += n
	for node, part := range parts {
		r.nodes[node] += part
	}
	o.untold[id] = true
	return from, nil
}

// tell returns what the log should know of allotments, at most of limit leases, and counts it as told. What could not be
// told is given back to retell.
func (o *ticketOffice) tell(limit int) (m *wirepb.Allotments, told []mesh.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m = new(wirepb.Allotments)
	for id := range o.untold {
		if len(told) == limit {
			break
		}
		delete(o.untold, id)
		r := o.ranges[id]
		if r == nil {
			continue
		}
		a := &wirepb.LeaseAllotment{Lease: id[:], Open: r.open}
		for _, node := range slices.SortedFunc(maps.Keys(r.nodes), func(a, b mesh.NodeID) int { return bytes.Compare(a[:], b[:]) }) {
			a.Nodes = append(a.Nodes, &wirepb.NodeAllotment{Node: node[:], Total: r.nodes[node]})
		}
		m.Leases, told = append(m.Leases, a), append(told, id)
	}
	return m, told
}

func (o *ticketOffice) retell(ids []mesh.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.untold[id] = true
	}
}

// tellAllotments puts allotments on the log while there are any.
func (a *Authority) tellAllotments(ctx context.Context) error {
	t := time.NewTicker(tellEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		m, told := a.tickets.tell(maxTold)
		if len(told) == 0 {
			continue
		}
		if _, err := a.Submit(ctx, state.NewTx(wirepb.TxKind_TX_ALLOTMENTS, signed.Seal(a.domain, a.reportKey, sign.Allotment, m))); err != nil && ctx.Err() == nil {
			a.tickets.retell(told)
			a.log.Warn("allotments were not taken", "err", err)
		}
	}
}

// forget drops the ranges of leases that expired before nowMs; no ticket is signed on them any more.
func (o *ticketOffice) forget(nowMs int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, r := range o.ranges {
		if r.expiresMs < nowMs {
			if err := o.db.Delete(id[:], pebble.NoSync); err != nil {
				return fmt.Errorf("forgetting a lease: %w", err)
			}
			delete(o.ranges, id)
		}
	}
	return nil
}

// issue answers a request for tickets by the session whose key the connection shows.
func (o *ticketOffice) issue(r *state.Reader, q *wirepb.TicketRequest, session mesh.PublicKey, look lookFunc, now time.Time) (*wirepb.TicketAnswer, error) {
	id, err := mesh.FromBytes[mesh.LeaseID](q.Lease)
	if err != nil {
		return nil, err
	}
	if n := len(q.Writes) + len(q.Reads) + len(q.Runs); n == 0 || n > maxPlans {
		return nil, mesh.Errorf(mesh.Invalid, "a request for %d tickets, want 1 to %d", n, maxPlans)
	}
	nowMs := now.UnixMilli()
	l := r.Lease(id[:])
	switch {
	case l == nil:
		return nil, mesh.Errorf(mesh.NotFound, "no lease %s", id)
	case mesh.PublicKey(l.Session) != session:
		return nil, mesh.Errorf(mesh.Denied, "the lease %s belongs to another session", id)
	case mesh.AuthorityID(l.Authority) != o.self:
		return nil, mesh.Errorf(mesh.Denied, "the lease %s names another authority", id)
	case l.Closed || nowMs >= l.ExpiresMs:
		return nil, mesh.Errorf(mesh.Exhausted, "the lease %s has ended", id)
	}
	if _, err := r.Session(session, nowMs); err != nil {
		return nil, err
	}
	if runs := len(q.Runs) > 0; runs != (l.Kind == report.Compute) || runs && len(q.Writes)+len(q.Reads) > 0 {
		return nil, mesh.Errorf(mesh.Invalid, "the lease %s pays for another kind of service", id)
	}
	t := &issuing{office: o, reader: r, id: id, lease: l, session: session, nowMs: nowMs, answer: new(wirepb.TicketAnswer)}
	if len(q.Writes) > 0 {
		t.nodes(look)
	}
	if t.answer.TicketWrite, err = t.writes(q.Writes); err != nil {
		return nil, err
	}
	if t.answer.TicketRead, err = t.reads(q.Reads); err != nil {
		return nil, err
	}
	if t.answer.TicketRun, err = t.runs(q.Runs); err != nil {
		return nil, err
	}
	return t.answer, nil
}

// lookFunc is presence.look.
type lookFunc = func(mesh.NodeID, *statepb.Node) (heard bool, free uint64)

// issuing is one request on its way to its tickets.
type issuing struct {
	office     *ticketOffice
	reader     *state.Reader
	id         mesh.LeaseID
	lease      *statepb.Lease
	session    mesh.PublicKey
	nowMs      int64
	registry   map[mesh.NodeID]*statepb.Node
	candidates []placement.Node
	answer     *wirepb.TicketAnswer
}

func (t *issuing) nodes(look lookFunc) {
	t.registry = map[mesh.NodeID]*statepb.Node{}
	t.reader.Nodes(func(id mesh.NodeID, n *statepb.Node) {
		t.registry[id] = n
		heard, free := look(id, n)
		at := state.Placed(id, n, 0)
		at.Online, at.FreeBytes = heard, free // as this authority hears it
		t.candidates = append(t.candidates, at)
	})
}

// writes places every planned segment and signs one ticket over all.
func (t *issuing) writes(plans []*wirepb.WritePlan) (*wirepb.Signed, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	wanted := map[mesh.NodeID]uint64{}
	for _, p := range plans {
		if _, err := t.reader.Allow(t.session, grant.Write, p.Bucket, p.Key, t.nowMs); err != nil {
			return nil, err
		}
		if p.PieceBytes == 0 || p.PieceBytes > mesh.MaxSlice || len(p.Exclude) > index.MaxPieces {
			return nil, mesh.Errorf(mesh.Invalid, "a plan for pieces of %d bytes, at most %d", p.PieceBytes, mesh.MaxSlice)
		}
		g, nodes, err := t.place(p)
		if err != nil {
			return nil, err
		}
		pl := &wirepb.Placement{DataPieces: uint32(g.DataPieces), Pieces: uint32(g.Pieces), Acknowledged: uint32(g.Acknowledged)}
		for _, id := range nodes {
			wanted[id] += p.PieceBytes
			pl.Nodes = append(pl.Nodes, t.address(id))
		}
		t.answer.Placements = append(t.answer.Placements, pl)
	}
	return t.sign(traffic.Write, wanted, nil)
}

func (t *issuing) place(p *wirepb.WritePlan) (index.Geometry, []mesh.NodeID, error) {
	candidates := slices.Clone(t.candidates)
	for _, x := range p.Exclude {
		for i := range candidates {
			if string(candidates[i].ID[:]) == string(x) {
				candidates[i].Online = false
			}
		}
	}
	t.office.mu.Lock()
	defer t.office.mu.Unlock()
	return placement.Choose(placement.ForSlice(p.PieceBytes), candidates, t.office.random)
}

// reads checks that each planned segment belongs to an object that the session may read, and signs one ticket over all.
func (t *issuing) reads(plans []*wirepb.ReadPlan) (*wirepb.Signed, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	wanted, slices := map[mesh.NodeID]uint64{}, map[mesh.NodeID][]mesh.SliceID{}
	for _, p := range plans {
		if _, err := t.reader.Allow(t.session, grant.Read, p.Bucket, p.Key, t.nowMs); err != nil {
			return nil, err
		}
		refers, err := t.reader.Refers(p)
		if err != nil {
			return nil, err
		}
		if !refers {
			return nil, mesh.Errorf(mesh.Conflict, "%s%s/%s has changed meanwhile: it no longer has the segment %x", mesh.Scheme, p.Bucket, p.Key, p.Segment)
		}
		s, err := t.reader.Segment(p.Segment)
		if err != nil {
			return nil, err
		}
		if s == nil || len(p.Pieces) == 0 || len(p.Pieces) > len(s.Segment.Pieces) {
			return nil, mesh.Errorf(mesh.Invalid, "a plan to read %d pieces of the segment %x", len(p.Pieces), p.Segment)
		}
		for _, pr := range p.Pieces {
			if int(pr.Index) >= len(s.Segment.Pieces) || pr.Length > 2*s.Segment.PieceBytes {
				return nil, mesh.Errorf(mesh.Invalid, "a plan to read %d bytes of piece %d", pr.Length, pr.Index)
			}
			piece := s.Segment.Pieces[pr.Index]
			id := mesh.NodeID(piece.Node)
			wanted[id] += pr.Length
			slices[id] = append(slices[id], mesh.SliceID(piece.Slice))
		}
	}
	return t.sign(traffic.Read, wanted, slices)
}

// runs signs one ticket over all nodes that are to run calls. Who calls chooses them: it knows best which it trusts with what it waits for.
func (t *issuing) runs(plans []*wirepb.RunPlan) (*wirepb.Signed, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	wanted := map[mesh.NodeID]uint64{}
	for _, p := range plans {
		id, err := mesh.FromBytes[mesh.NodeID](p.Node)
		if err != nil {
			return nil, err
		}
		if p.Noz == 0 || p.Noz > t.lease.Amount || wanted[id] > 0 {
			return nil, mesh.Errorf(mesh.Invalid, "a plan to have node %s run calls for %d noz", id, p.Noz)
		}
		n := t.reader.Node(id)
		if n == nil || !n.Active || n.Kinds&placement.Compute == 0 || n.Status == state.Suspended {
			return nil, mesh.Errorf(mesh.NotFound, "node %s runs no calls", id)
		}
		wanted[id] = p.Noz
	}
	return t.sign(traffic.Run, wanted, nil)
}

func (t *issuing) address(id mesh.NodeID) *wirepb.NodeAddress {
	n := t.registry[id]
	return &wirepb.NodeAddress{Node: id[:], Address: n.Address, TlsKey: n.TlsKey, NodeKey: n.NodeKey}
}

func (t *issuing) sign(action traffic.Action, wanted map[mesh.NodeID]uint64, slices map[mesh.NodeID][]mesh.SliceID) (*wirepb.Signed, error) {
	at, err := t.office.take(t.id, t.lease, wanted)
	if err != nil {
		return nil, err
	}
	ticket := traffic.Ticket{Authority: t.office.self, Lease: t.id, Session: t.session, Action: action,
		ExpiresMs: min(t.nowMs+ticketLife.Milliseconds(), t.lease.ExpiresMs)}
	for id, n := range wanted {
		ticket.Allowances = append(ticket.Allowances, traffic.Allowance{Node: id, From: mesh.Noz(at), To: mesh.Noz(at + n), Slices: slices[id]})
		at += n
	}
	return ticket.Seal(t.office.domain, t.office.key), nil
}
