// Package traffic holds the rules of what is paid: leases, tickets, receipts and acknowledgements, each checked by
// itself. What depends on state (balances, totals so far, sessions) is decided by who calls it: the authority, the
// node, the client. The story that the messages tell stands in DESIGN.md in the folder above.
package traffic

import (
	"crypto/ed25519"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits and terms.
const (
	MaxAllowances      = 1024             // nodes in a ticket
	MaxSlices          = 4096             // slices of one allowance
	MaxSettledReceipts = 1024             // receipts in a settlement
	MaxLeaseMs         = 24 * 3600 * 1000 // how far ahead a lease may expire
	MinLease           = mesh.Noz(1 << 20)
)

// An Action is what a ticket allows.
type Action uint32

const (
	Read  Action = 1
	Write Action = 2
	Run   Action = 3 // calls
)

// A Lease is part of an account's ozone, set aside for one session and one authority.
type Lease struct {
	ID        mesh.LeaseID
	Session   mesh.PublicKey
	Amount    mesh.Noz
	Authority mesh.AuthorityID
	ExpiresMs int64
	Kind      int // of the report: Storage or Compute
}

// ParseLease checks a lease's message by itself; session is the key that signed it.
func ParseLease(m *wirepb.Lease, session mesh.PublicKey) (l Lease, err error) {
	if l.ID, err = mesh.FromBytes[mesh.LeaseID](m.Id); err != nil {
		return l, err
	}
	if l.Authority, err = mesh.FromBytes[mesh.AuthorityID](m.Authority); err != nil {
		return l, err
	}
	l.Session, l.Amount, l.ExpiresMs, l.Kind = session, mesh.Noz(m.Amount), m.ExpiresMs, int(m.Kind)
	if m.Kind != report.Storage && m.Kind != report.Compute {
		return l, mesh.Errorf(mesh.Invalid, "a lease of kind %d; there are %d for storage and %d for computing", m.Kind, report.Storage, report.Compute)
	}
	if l.Amount < MinLease || l.Amount > mesh.MaxNoz {
		return l, mesh.Errorf(mesh.Invalid, "a lease of %s; at least %s and at most %s", l.Amount, MinLease, mesh.MaxNoz)
	}
	return l, nil
}

// Message is the lease as its session signs it.
func (l Lease) Message() *wirepb.Lease {
	return &wirepb.Lease{Id: l.ID[:], Amount: uint64(l.Amount), Authority: l.Authority[:], ExpiresMs: l.ExpiresMs, Kind: uint32(l.Kind)}
}

// An Allowance is one node's part of a ticket.
type Allowance struct {
	Node     mesh.NodeID
	From, To mesh.Noz // a sub-range of the lease
	Slices   []mesh.SliceID
}

// A Ticket lets a session move bytes with named nodes.
type Ticket struct {
	Authority  mesh.AuthorityID
	Lease      mesh.LeaseID
	Session    mesh.PublicKey
	Action     Action
	ExpiresMs  int64
	Allowances []Allowance
}

// Seal signs the ticket with its authority's report key.
func (t Ticket) Seal(d sign.Domain, key ed25519.PrivateKey) *wirepb.Signed {
	m := &wirepb.Ticket{Authority: t.Authority[:], Lease: t.Lease[:], Session: t.Session[:], Action: uint32(t.Action), ExpiresMs: t.ExpiresMs}
	for _, a := range t.Allowances {
		p := &wirepb.Allowance{Node: a.Node[:], From: uint64(a.From), To: uint64(a.To)}
		for i := range a.Slices {
			p.Slices = append(p.Slices, a.Slices[i][:])
		}
		m.Allowances = append(m.Allowances, p)
	}
	return signed.Seal(d, key, sign.Ticket, m)
}

// OpenTicket verifies a ticket's signature and form and returns it with the key that signed it; the caller checks that
// the key is the report key of the authority named, and the rest with Check.
func OpenTicket(d sign.Domain, s *wirepb.Signed) (t Ticket, by mesh.PublicKey, err error) {
	m := new(wirepb.Ticket)
	if by, err = signed.Open(d, s, sign.Ticket, m); err != nil {
		return t, by, err
	}
	if t.Authority, err = mesh.FromBytes[mesh.AuthorityID](m.Authority); err != nil {
		return t, by, err
	}
	if t.Lease, err = mesh.FromBytes[mesh.LeaseID](m.Lease); err != nil {
		return t, by, err
	}
	if t.Session, err = mesh.FromBytes[mesh.PublicKey](m.Session); err != nil {
		return t, by, err
	}
	t.Action, t.ExpiresMs = Action(m.Action), m.ExpiresMs
	if t.Action < Read || t.Action > Run {
		return t, by, mesh.Errorf(mesh.Invalid, "a ticket for the unknown action %d", m.Action)
	}
	if len(m.Allowances) == 0 || len(m.Allowances) > MaxAllowances {
		return t, by, mesh.Errorf(mesh.Invalid, "a ticket for %d nodes, want 1 to %d", len(m.Allowances), MaxAllowances)
	}
	seen := make(map[mesh.NodeID]bool, len(m.Allowances))
	for _, p := range m.Allowances {
		a := Allowance{From: mesh.Noz(p.From), To: mesh.Noz(p.To)}
		if a.Node, err = mesh.FromBytes[mesh.NodeID](p.Node); err != nil {
			return t, by, err
		}
		if seen[a.Node] || a.From > a.To || a.To > mesh.MaxNoz || len(p.Slices) > MaxSlices {
			return t, by, mesh.Errorf(mesh.Invalid, "a ticket's allowance for node %s is malformed", a.Node)
		}
		seen[a.Node] = true
		for _, b := range p.Slices {
			id, err := mesh.FromBytes[mesh.SliceID](b)
			if err != nil {
				return t, by, err
			}
			a.Slices = append(a.Slices, id)
		}
		t.Allowances = append(t.Allowances, a)
	}
	return t, by, nil
}

// For returns a node's allowance, if the ticket has one.
func (t Ticket) For(n mesh.NodeID) (Allowance, bool) {
	for _, a := range t.Allowances {
		if a.Node == n {
			return a, true
		}
	}
	return Allowance{}, false
}

// A Receipt is the running total of one node in one lease, as its session signed it.
type Receipt struct {
	Lease   mesh.LeaseID
	Session mesh.PublicKey
	Node    mesh.NodeID
	Total   mesh.Noz
}

// Seal signs the receipt with the session's key.
func (r Receipt) Seal(d sign.Domain, session ed25519.PrivateKey) *wirepb.Signed {
	return signed.Seal(d, session, sign.Receipt, &wirepb.Receipt{Lease: r.Lease[:], Node: r.Node[:], Total: uint64(r.Total)})
}

// OpenReceipt verifies a receipt's signature and form. Session is the key that signed it.
func OpenReceipt(d sign.Domain, s *wirepb.Signed) (r Receipt, err error) {
	m := new(wirepb.Receipt)
	if r.Session, err = signed.Open(d, s, sign.Receipt, m); err != nil {
		return r, err
	}
	if r.Lease, err = mesh.FromBytes[mesh.LeaseID](m.Lease); err != nil {
		return r, err
	}
	if r.Node, err = mesh.FromBytes[mesh.NodeID](m.Node); err != nil {
		return r, err
	}
	r.Total = mesh.Noz(m.Total)
	if r.Total > mesh.MaxNoz {
		return r, mesh.Errorf(mesh.Invalid, "a receipt over more than any account can hold")
	}
	return r, nil
}

// An Ack is a node's word that a slice is on its disk, given to the session that sent it.
type Ack struct {
	Slice   mesh.SliceID
	Length  uint64
	Session mesh.PublicKey
}

// Sign signs the acknowledgement with the node's key.
func (a Ack) Sign(d sign.Domain, node ed25519.PrivateKey) mesh.Signature {
	s := signed.Seal(d, node, sign.Ack, a.message())
	return mesh.Signature(s.Signature)
}

// Verify tells whether the node with this key gave the acknowledgement.
func (a Ack) Verify(d sign.Domain, node mesh.PublicKey, sig []byte) error {
	b := wire.Encode(a.message())
	_, err := signed.Verify(d, &wirepb.Signed{Body: b, Key: node[:], Signature: sig}, sign.Ack)
	return err
}

func (a Ack) message() *wirepb.Ack {
	return &wirepb.Ack{Slice: a.Slice[:], Length: a.Length, Session: a.Session[:]}
}
