package state

import (
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/traffic"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func (s *step) account(a []byte) *statepb.Account {
	r := new(statepb.Account)
	s.get(key(accountKey, a), r)
	return r
}

func available(a *statepb.Account) uint64 {
	used := a.Debited + a.Leased // each at most MaxNoz
	if used >= a.Credited {
		return 0
	}
	return a.Credited - used
}

func (s *step) counter(k []byte) uint64 {
	c := new(statepb.Counter)
	s.get(k, c)
	return c.Value
}

func (s *step) add(k []byte, n uint64) { s.put(k, &statepb.Counter{Value: s.counter(k) + n}) }

// charge takes the price of a log write of that many bytes from an account, or refuses.
func (s *step) charge(account []byte, bytes int) error {
	a := s.account(account)
	fee := uint64(LogWriteNoz + LogByteNoz*bytes)
	if available(a) < fee {
		return noOzone(account, fee, available(a))
	}
	a.Debited += fee
	s.put(key(accountKey, account), a)
	s.add(key(feeKey, be64(s.tip.Epoch), account), fee)
	return nil
}

func noOzone(account []byte, want, have uint64) error {
	return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "account %s has %s of ozone free and this needs %s", mesh.Account(account), mesh.Noz(have), mesh.Noz(want)),
		"buy more with 'stratos prepay', or wait until open leases end")
}

// openSession registers the key that signed the message as the last holder of its chain. Registering a chain again is
// free and changes nothing; a longer-lived chain for the same key replaces the first.
func (s *step) openSession(m *wirepb.Session, by mesh.PublicKey, size int) error {
	r, err := grant.Verify(s.domain, m.Chain)
	if err != nil {
		return err
	}
	if r.Holder != by {
		return mesh.Errorf(mesh.Denied, "the grant is held by %s, the session is signed by %s", r.Holder, by)
	}
	if err := r.Alive(s.tip.TimeMs); err != nil {
		return err
	}
	record := &statepb.Session{Account: r.Account[:], Holder: by[:], Prefix: r.Prefix, Operations: uint32(r.Operations), NotBeforeMs: r.NotBeforeMs, ExpiresMs: r.ExpiresMs}
	for i := range r.Links {
		record.Links = append(record.Links, r.Links[i][:])
		record.Holders = append(record.Holders, r.Holders[i][:])
	}
	for i := range r.Budgets {
		record.Budgets = append(record.Budgets, &statepb.Budget{Link: r.Budgets[i].Link[:], Noz: uint64(r.Budgets[i].Noz)})
	}
	if err := unrevoked(record, s.has); err != nil {
		return err
	}
	old := new(statepb.Session)
	if s.get(key(sessionKey, by[:]), old) && slices.EqualFunc(old.Links, record.Links, slices.Equal) {
		return nil
	}
	if err := s.charge(record.Account, size); err != nil {
		return err
	}
	s.put(key(sessionKey, by[:]), record)
	return nil
}

// unrevoked refuses a session one of whose links its account has revoked. Link ids are chosen by who signs them, so a
// revocation counts only for the account that made it.
func unrevoked(r *statepb.Session, revoked func(k []byte) bool) error {
	for _, l := range r.Links {
		if revoked(key(revokedKey, r.Account, l)) {
			return mesh.Errorf(mesh.Denied, "the grant was revoked")
		}
	}
	return nil
}

// session returns a session that is alive at the block's time.
func (s *step) session(by mesh.PublicKey) (*statepb.Session, error) {
	r := new(statepb.Session)
	if !s.get(key(sessionKey, by[:]), r) {
		return nil, mesh.Errorf(mesh.Denied, "the session %s is not known here", by)
	}
	if err := rightsOf(r).Alive(s.tip.TimeMs); err != nil {
		return nil, err
	}
	return r, unrevoked(r, s.has)
}

// allow returns the session if it may do op on bucket/name.
func (s *step) allow(by mesh.PublicKey, op grant.Operations, bucket, name string) (*statepb.Session, error) {
	r, err := s.session(by)
	if err != nil {
		return nil, err
	}
	return r, rightsOf(r).Allow(op, bucket, name, s.tip.TimeMs)
}

func rightsOf(r *statepb.Session) grant.Rights {
	return grant.Rights{Account: mesh.Account(r.Account), Holder: mesh.PublicKey(r.Holder), Prefix: r.Prefix,
		Operations: grant.Operations(r.Operations), NotBeforeMs: r.NotBeforeMs, ExpiresMs: r.ExpiresMs}
}

// revoke voids a link of the signer's account; the link need not have been shown here yet.
func (s *step) revoke(m *wirepb.Revocation, by mesh.PublicKey, msg *wirepb.Signed) error {
	link, err := mesh.FromBytes[grant.LinkID](m.Link)
	if err != nil {
		return err
	}
	r, err := s.session(by)
	if err != nil {
		return err
	}
	if r.Prefix != "" || grant.Operations(r.Operations) != grant.All {
		return mesh.Errorf(mesh.Denied, "only a session with all of the account's rights revokes grants")
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	s.putBytes(key(revokedKey, r.Account, link[:]), nil)
	return nil
}

// openLease sets ozone aside for the session that signed it.
func (s *step) openLease(m *wirepb.Lease, by mesh.PublicKey) error {
	l, err := traffic.ParseLease(m, by)
	if err != nil {
		return err
	}
	r, err := s.session(by)
	if err != nil {
		return err
	}
	now := s.tip.TimeMs
	switch {
	case s.has(key(leaseKey, l.ID[:])):
		return mesh.Errorf(mesh.Conflict, "the lease %s exists already", l.ID)
	case !s.has(key(authorityKey, l.Authority[:])):
		return mesh.Errorf(mesh.NotFound, "no authority %s", l.Authority)
	case l.ExpiresMs <= now || l.ExpiresMs > now+traffic.MaxLeaseMs || l.ExpiresMs > r.ExpiresMs:
		return mesh.Errorf(mesh.Invalid, "a lease expires after now, within %d hours and with its session", traffic.MaxLeaseMs/3600_000)
	}
	if len(r.Budgets) > 0 {
		s.put(key(countedKey, l.ID[:]), &statepb.Session{Account: r.Account, Budgets: r.Budgets})
	}
	if err := s.underBudgets(r, uint64(l.Amount)); err != nil {
		return err
	}
	a := s.account(r.Account)
	if available(a) < uint64(l.Amount) {
		return noOzone(r.Account, uint64(l.Amount), available(a))
	}
	a.Leased += uint64(l.Amount)
	s.put(key(accountKey, r.Account), a)
	s.put(key(leaseKey, l.ID[:]), &statepb.Lease{Account: r.Account, Session: by[:], Amount: uint64(l.Amount), Authority: l.Authority[:], ExpiresMs: l.ExpiresMs, Kind: uint32(l.Kind)})
	s.putBytes(key(leaseTimeKey, msKey(l.ExpiresMs), l.ID[:]), nil)
	return nil
}

// underBudgets counts what is set aside under the budgets of a session's grant, or refuses.
func (s *step) underBudgets(r *statepb.Session, noz uint64) error {
	for _, b := range r.Budgets {
		k := key(spentKey, r.Account, b.Link)
		if spent := s.counter(k); spent > b.Noz || noz > b.Noz-spent {
			return mesh.Errorf(mesh.Exhausted, "the grant's budget of %s has %s left, and %s are needed", mesh.Noz(b.Noz), mesh.Noz(b.Noz-min(spent, b.Noz)), mesh.Noz(noz))
		}
		s.add(k, noz)
	}
	return nil
}

// backUnderBudgets takes back what was counted and not used.
func (s *step) backUnderBudgets(account []byte, budgets []*statepb.Budget, noz uint64) {
	for _, b := range budgets {
		k := key(spentKey, account, b.Link)
		s.put(k, &statepb.Counter{Value: s.counter(k) - min(noz, s.counter(k))})
	}
}

// closeLease ends a lease before it expires. Nodes may claim from it for GraceEpochs more.
func (s *step) closeLease(m *wirepb.LeaseClose, by mesh.PublicKey) error {
	id, err := mesh.FromBytes[mesh.LeaseID](m.Lease)
	if err != nil {
		return err
	}
	l := new(statepb.Lease)
	if !s.get(key(leaseKey, id[:]), l) {
		return mesh.Errorf(mesh.NotFound, "no lease %s", id)
	}
	if mesh.PublicKey(l.Session) != by {
		return mesh.Errorf(mesh.Denied, "the lease %s belongs to another session", id)
	}
	if !l.Closed {
		s.delete(key(leaseTimeKey, msKey(l.ExpiresMs), id[:]))
		s.endLease(id, l)
	}
	return nil
}

func (s *step) endLease(id mesh.LeaseID, l *statepb.Lease) {
	l.Closed, l.LastEpoch = true, s.tip.Epoch+GraceEpochs
	s.put(key(leaseKey, id[:]), l)
	s.putBytes(key(leaseEndKey, be64(l.LastEpoch), id[:]), nil)
}

// sweepLeases closes what has expired and returns to its account what nobody claimed in the grace. The record of a lease
// that was closed early stays, with nothing in it, until its message could open no lease any more: else that message
// would open it again, and its receipts would be paid twice.
func (s *step) sweepLeases() {
	s.take(key(leaseTimeKey), key(leaseTimeKey, msKey(s.tip.TimeMs+1)), func(k []byte) {
		l := new(statepb.Lease)
		switch id := leaseIDOf(k); {
		case !s.get(key(leaseKey, id[:]), l):
		case l.Closed: // and swept: its time has come
			s.delete(key(leaseKey, id[:]))
		default:
			s.endLease(id, l)
		}
	})
	s.take(key(leaseEndKey), key(leaseEndKey, be64(s.tip.Epoch)), func(k []byte) {
		id := leaseIDOf(k)
		l := new(statepb.Lease)
		if !s.get(key(leaseKey, id[:]), l) {
			return
		}
		unused := l.Amount - l.Claimed
		a := s.account(l.Account)
		a.Leased -= unused
		s.put(key(accountKey, l.Account), a)
		s.refill(l.Account)
		// The session may hold another chain by now; what was counted then is taken back from where it was counted.
		r, ck := new(statepb.Session), key(countedKey, id[:])
		if s.get(ck, r) {
			s.backUnderBudgets(r.Account, r.Budgets, unused)
			s.delete(ck)
		}
		if l.ExpiresMs > s.tip.TimeMs {
			l.Amount = l.Claimed
			s.put(key(leaseKey, id[:]), l)
			s.putBytes(key(leaseTimeKey, msKey(l.ExpiresMs), id[:]), nil)
		} else {
			s.delete(key(leaseKey, id[:]))
		}
		for _, kind := range []byte{claimKey, allottedKey} {
			s.scanPrefix(key(kind, id[:]), func(k, _ []byte) bool { s.delete(append([]byte(nil), k...)); return true })
		}
	})
}

// settle credits a node with what the receipts that it hands in exceed those it handed in before. A receipt that cannot
// be credited is skipped: the node must not lose the others by it.
func (s *step) settle(m *wirepb.Settlement, by mesh.PublicKey) error {
	id, err := mesh.FromBytes[mesh.NodeID](m.Node)
	if err != nil {
		return err
	}
	n := new(statepb.Node)
	if !s.get(key(nodeKey, id[:]), n) {
		return mesh.Errorf(mesh.NotFound, "node %s is not registered", id)
	}
	if mesh.PublicKey(n.NodeKey) != by {
		return mesh.Errorf(mesh.Denied, "the settlement of node %s is signed by another key", id)
	}
	if len(m.Receipts) == 0 || len(m.Receipts) > traffic.MaxSettledReceipts {
		return mesh.Errorf(mesh.Invalid, "a settlement of %d receipts, want 1 to %d", len(m.Receipts), traffic.MaxSettledReceipts)
	}
	credited := 0
	var first error
	for _, r := range m.Receipts {
		if err := s.settleReceipt(id, r); err == nil {
			credited++
		} else if first == nil {
			first = err
		}
	}
	if credited == 0 {
		return first
	}
	return nil
}

func (s *step) settleReceipt(node mesh.NodeID, m *wirepb.Signed) error {
	r, err := traffic.OpenReceipt(s.domain, m)
	if err != nil {
		return err
	}
	l := new(statepb.Lease)
	if !s.get(key(leaseKey, r.Lease[:]), l) || l.Closed && s.tip.Epoch > l.LastEpoch {
		return mesh.Errorf(mesh.NotFound, "no lease %s, or its grace has ended", r.Lease)
	}
	if r.Node != node || mesh.PublicKey(l.Session) != r.Session {
		return mesh.Errorf(mesh.Denied, "a receipt for another node or by another session than the lease's")
	}
	ck := key(claimKey, r.Lease[:], node[:])
	before := s.counter(ck)
	if uint64(r.Total) <= before {
		return mesh.Errorf(mesh.Conflict, "the receipt was settled before")
	}
	total := min(uint64(r.Total), s.creditable(r.Lease, node, l))
	if total <= before {
		return mesh.Errorf(mesh.Unavailable, "the tickets of lease %s for this node are not on the log yet", r.Lease)
	}
	more := total - before
	if more > l.Amount-l.Claimed {
		return mesh.Errorf(mesh.Exhausted, "the receipts of lease %s exceed its %s", r.Lease, mesh.Noz(l.Amount))
	}
	l.Claimed += more
	s.put(key(leaseKey, r.Lease[:]), l)
	s.put(ck, &statepb.Counter{Value: total})
	a := s.account(l.Account)
	a.Leased -= more
	a.Debited += more
	s.put(key(accountKey, l.Account), a)
	s.earn(int(l.Kind), l.Account, node[:], more)
	return nil
}

// earn notes in the epoch's ledger what an account was debited for a node's sake.
func (s *step) earn(kind int, account, node []byte, noz uint64) {
	s.add(key(ledgerKey, be64(s.tip.Epoch), []byte{byte(kind)}, account, node), noz)
}

// creditable is how much a node may be credited from a lease: what tickets gave it, by the word of the lease's authority.
// Where that authority lost count, or has said nothing until the last epoch of the grace, receipts count as they come.
func (s *step) creditable(id mesh.LeaseID, node mesh.NodeID, l *statepb.Lease) uint64 {
	if l.Open || l.Closed && s.tip.Epoch >= l.LastEpoch {
		return uint64(mesh.MaxNoz)
	}
	return s.counter(key(allottedKey, id[:], node[:]))
}

// maxAllotted is how many leases one message tells of.
const maxAllotted = 256

// allot notes what an authority's tickets gave to nodes. Totals only grow, and together never exceed the lease: what
// would is not noted, and the nodes hold tickets that convict the authority.
func (s *step) allot(m *wirepb.Allotments, by mesh.PublicKey) error {
	authority, ok := s.authorityByKey(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "allotments are told by authorities only")
	}
	if len(m.Leases) == 0 || len(m.Leases) > maxAllotted {
		return mesh.Errorf(mesh.Invalid, "allotments of %d leases, want 1 to %d", len(m.Leases), maxAllotted)
	}
	for _, a := range m.Leases {
		id, err := mesh.FromBytes[mesh.LeaseID](a.Lease)
		if err != nil {
			return err
		}
		l := new(statepb.Lease)
		if !s.get(key(leaseKey, id[:]), l) || mesh.AuthorityID(l.Authority) != authority {
			continue // gone meanwhile, or not its own
		}
		l.Open = l.Open || a.Open
		for _, n := range a.Nodes {
			node, err := mesh.FromBytes[mesh.NodeID](n.Node)
			if err != nil {
				return err
			}
			k := key(allottedKey, id[:], node[:])
			if before := s.counter(k); n.Total > before && n.Total-before <= l.Amount-l.Allotted {
				l.Allotted += n.Total - before
				s.put(k, &statepb.Counter{Value: n.Total})
			}
		}
		s.put(key(leaseKey, id[:]), l)
	}
	return nil
}

// spent answers what was leased under budgets. Who knows a link's id may know that.
func (r *Reader) spent(q *wirepb.SpentOf) (*wirepb.SpentAnswer, error) {
	if len(q.Links) == 0 || len(q.Links) > MaxListing {
		return nil, mesh.Errorf(mesh.Invalid, "%d links, want 1 to %d", len(q.Links), MaxListing)
	}
	account, err := mesh.FromBytes[mesh.Account](q.Account)
	if err != nil {
		return nil, err
	}
	out := new(wirepb.SpentAnswer)
	for _, b := range q.Links {
		id, err := mesh.FromBytes[grant.LinkID](b)
		if err != nil {
			return nil, err
		}
		c := new(statepb.Counter)
		r.get(key(spentKey, account[:], id[:]), c)
		out.Noz = append(out.Noz, c.Value)
	}
	return out, nil
}
