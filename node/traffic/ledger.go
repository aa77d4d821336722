// Package traffic is a node's book of what sessions agreed to pay and what it delivered: one running total for each
// lease, never behind the bytes that move, written down in groups off the path of the bytes.
//
// It moves no bytes and asks no authority; package node does. After a crash it may have forgotten the last steps, never a
// total that it handed in.
package traffic

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/traffic/trafficpb"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of a Ledger.
const (
	maxLeases = 100_000 // open in memory
	maxRanges = 4096    // unexpired tickets of one lease
)

// A Ledger keeps the leases that a node serves. It may be used by many goroutines.
type Ledger struct {
	domain sign.Domain
	node   mesh.NodeID
	db     *pebble.DB
	now    func() time.Time

	mu     sync.Mutex
	leases map[mesh.LeaseID]*account
	dirty  map[mesh.LeaseID]bool
}

type account struct {
	record    *trafficpb.Lease
	agreed    uint64
	delivered uint64 // includes what is being delivered
}

// Open reads the book in db.
func Open(db *pebble.DB, d sign.Domain, node mesh.NodeID, now func() time.Time) (*Ledger, error) {
	l := &Ledger{domain: d, node: node, db: db, now: now, leases: map[mesh.LeaseID]*account{}, dirty: map[mesh.LeaseID]bool{}}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'l'}, UpperBound: []byte{'m'}})
	if err != nil {
		return nil, fmt.Errorf("reading the book of receipts: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		r := new(trafficpb.Lease)
		if err := proto.Unmarshal(it.Value(), r); err != nil || len(it.Key()) != 17 {
			return nil, errors.Join(mesh.Errorf(mesh.Corrupt, "the book of receipts holds a damaged record"), it.Close())
		}
		a := &account{record: r, delivered: r.Delivered}
		if r.Receipt != nil {
			receipt, err := traffic.OpenReceipt(d, r.Receipt)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("the book of receipts: %w", err), it.Close())
			}
			a.agreed = uint64(receipt.Total)
		}
		l.leases[mesh.LeaseID(it.Key()[1:])] = a
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("reading the book of receipts: %w", err)
	}
	return l, nil
}

func leaseKey(id mesh.LeaseID) []byte { return append([]byte{'l'}, id[:]...) }

// Admit enters a ticket that is known to be signed by an authority and to be shown by its session. Showing it again is
// free. The error is Denied when its range overlaps another ticket's (the authority signed one range twice), when it
// has expired, or names another session than the lease has.
func (l *Ledger) Admit(t traffic.Ticket, signed *wirepb.Signed) error {
	a, ok := t.For(l.node)
	if !ok {
		return mesh.Errorf(mesh.Denied, "the ticket has no part for this node")
	}
	now := l.now().UnixMilli()
	if t.ExpiresMs <= now {
		return mesh.WithHint(mesh.Errorf(mesh.Denied, "the ticket has expired"), "ask for a new one")
	}
	hash := sha256.Sum256(signed.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	acc := l.leases[t.Lease]
	if acc == nil {
		if len(l.leases) >= maxLeases {
			return mesh.Errorf(mesh.Unavailable, "this node serves %d leases and takes no more now", maxLeases)
		}
		acc = &account{record: &trafficpb.Lease{Session: t.Session[:]}}
		l.leases[t.Lease] = acc
	}
	r := acc.record
	if mesh.PublicKey(r.Session) != t.Session {
		return mesh.Errorf(mesh.Denied, "the lease %s belongs to another session", t.Lease)
	}
	kept := r.Ranges[:0]
	for _, x := range r.Ranges {
		if x.ExpiresMs <= now {
			r.Past += x.To - x.From
		} else {
			kept = append(kept, x)
		}
	}
	r.Ranges = kept
	for _, x := range r.Ranges {
		if string(x.Ticket) == string(hash[:]) {
			return nil
		}
		if uint64(a.From) < x.To && x.From < uint64(a.To) {
			return mesh.Errorf(mesh.Denied, "two tickets of lease %s have overlapping ranges", t.Lease)
		}
	}
	if len(r.Ranges) >= maxRanges {
		return mesh.Errorf(mesh.Exhausted, "the lease %s has %d tickets at once on this node", t.Lease, maxRanges)
	}
	r.Ranges = append(r.Ranges, &trafficpb.Range{From: uint64(a.From), To: uint64(a.To), Ticket: hash[:], ExpiresMs: t.ExpiresMs})
	r.LastMs = max(r.LastMs, t.ExpiresMs)
	l.dirty[t.Lease] = true
	return nil
}

// Agree enters a receipt. One that is not above the newest adds nothing and is no error. It may run ahead of the tickets
// that were shown so far: transfers side by side share one total. What counts is the lesser of the two; see Deliver.
func (l *Ledger) Agree(lease mesh.LeaseID, m *wirepb.Signed) error {
	r, err := traffic.OpenReceipt(l.domain, m)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	acc := l.leases[lease]
	if acc == nil {
		return mesh.Errorf(mesh.Denied, "no ticket of lease %s was shown", lease)
	}
	if r.Lease != lease || r.Node != l.node || r.Session != mesh.PublicKey(acc.record.Session) {
		return mesh.Errorf(mesh.Denied, "the receipt is for another lease or node, or by another session")
	}
	if uint64(r.Total) > acc.agreed {
		acc.agreed, acc.record.Receipt = uint64(r.Total), m
		l.dirty[lease] = true
	}
	return nil
}

// allowed is what the tickets of a lease let this node deliver.
func (a *account) allowed() uint64 {
	n := a.record.Past
	for _, x := range a.record.Ranges {
		n += x.To - x.From
	}
	return n
}

// Deliver counts n bytes as delivered, before they move; the error is Denied when no receipt covers them, Exhausted when
// no ticket does.
func (l *Ledger) Deliver(lease mesh.LeaseID, n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	acc := l.leases[lease]
	if acc == nil || n > acc.agreed-min(acc.delivered, acc.agreed) {
		return mesh.Errorf(mesh.Denied, "no receipt covers the next %d bytes", n)
	}
	return acc.deliver(l, lease, n)
}

// deliver counts n as delivered, if tickets allow it.
func (a *account) deliver(l *Ledger, lease mesh.LeaseID, n uint64) error {
	if a.delivered+n > a.allowed() {
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the tickets of lease %s allow %d bytes here, %d are delivered", lease, a.allowed(), a.delivered), "ask for a new ticket")
	}
	a.delivered += n
	a.record.Delivered = a.delivered
	l.dirty[lease] = true
	return nil
}

// Owe counts n as delivered before a receipt covers it, as long as no more than credit is uncovered in all; the error is Denied beyond that, and
// Exhausted when no ticket covers it.
func (l *Ledger) Owe(lease mesh.LeaseID, n, credit uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	acc := l.leases[lease]
	if acc == nil || acc.delivered+n > acc.agreed+credit {
		return mesh.WithHint(mesh.Errorf(mesh.Denied, "receipts of this lease lag behind by too much"), "sign what is due, or open another lease")
	}
	return acc.deliver(l, lease, n)
}

// Return takes back a Deliver whose bytes did not move by this node's fault.
func (l *Ledger) Return(lease mesh.LeaseID, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if acc := l.leases[lease]; acc != nil {
		acc.delivered -= min(n, acc.delivered)
		acc.record.Delivered = acc.delivered
		l.dirty[lease] = true
	}
}

// Total tells a session what it signed and what was delivered.
func (l *Ledger) Total(lease mesh.LeaseID, session mesh.PublicKey) *wirepb.TotalAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	acc := l.leases[lease]
	if acc == nil || mesh.PublicKey(acc.record.Session) != session {
		return &wirepb.TotalAnswer{}
	}
	return &wirepb.TotalAnswer{Receipt: acc.record.Receipt, Delivered: acc.delivered}
}

// Flush writes what changed to the disk.
func (l *Ledger) Flush() error {
	l.mu.Lock()
	b := l.db.NewBatch()
	defer b.Close()
	var err error
	for id := range l.dirty {
		if acc := l.leases[id]; acc != nil {
			err = errors.Join(err, b.Set(leaseKey(id), wire.Encode(acc.record), nil))
		}
	}
	written := l.dirty
	l.dirty = map[mesh.LeaseID]bool{}
	l.mu.Unlock()
	if err == nil && b.Count() > 0 {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		l.mu.Lock()
		maps.Copy(l.dirty, written) // another time
		l.mu.Unlock()
		return fmt.Errorf("writing the book of receipts: %w", err)
	}
	return nil
}

// A Claim is a receipt that the log has not credited in full.
type Claim struct {
	Lease   mesh.LeaseID
	Receipt *wirepb.Signed
	Total   uint64
}

// Claims returns receipts over the log's credit, at most limit. They are on the disk: what is handed in is never lost.
func (l *Ledger) Claims(limit int) ([]Claim, error) {
	if err := l.Flush(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Claim
	for id, acc := range l.leases {
		if len(all) == limit {
			break
		}
		if acc.agreed > acc.record.Settled {
			all = append(all, Claim{id, acc.record.Receipt, acc.agreed})
		}
	}
	return all, nil
}

// Settled notes up to which totals the log has credited these claims, or that it never will credit more.
func (l *Ledger) Settled(claims []Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range claims {
		if acc := l.leases[c.Lease]; acc != nil {
			acc.record.Settled = max(acc.record.Settled, c.Total)
			l.dirty[c.Lease] = true
		}
	}
}

// Forget drops leases whose last ticket expired before a time and whose receipts are all settled.
func (l *Ledger) Forget(before time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.db.NewBatch()
	defer b.Close()
	for id, acc := range l.leases {
		if acc.record.LastMs < before.UnixMilli() && acc.agreed <= acc.record.Settled {
			delete(l.leases, id)
			delete(l.dirty, id)
			if err := b.Delete(leaseKey(id), nil); err != nil {
				return fmt.Errorf("writing the book of receipts: %w", err)
			}
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("writing the book of receipts: %w", err)
	}
	return nil
}
