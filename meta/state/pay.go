package state

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What is set aside for a database is allowance - counted + due, and is in its owner's Leased. Of what was counted, paid went to
// nodes, due may still go to them, and the rest was given back.

// refillLimit bounds the accounts whose databases one block tops up, and the databases of each.
const refillLimit = 64

// topUp sets ozone of its owner's aside for a database, so that it may use AllowanceNoz more than it has used, as far as the account
// has it. It tells whether the allowance has changed; of less than a quarter no notice is worth it. The caller writes d.
func (s *step) topUp(id []byte, d *statepb.Database) bool {
	dry := key(dryKey, d.Owner, id)
	goal := d.Used + database.AllowanceNoz
	if d.State != database.Open || goal <= d.Allowance+database.AllowanceNoz/4 {
		s.delete(dry)
		return false
	}
	a := s.account(d.Owner)
	free := available(a)
	more := min(goal-d.Allowance, free-min(free, database.LeastTopUpNoz))
	if more < goal-d.Allowance {
		s.putBytes(dry, nil)
	} else {
		s.delete(dry)
	}
	if more < database.LeastTopUpNoz {
		return false
	}
	a.Leased += more
	s.put(key(accountKey, d.Owner), a)
	d.Allowance += more
	return true
}

// renew has a database's cell noticed when its allowance or the prices have changed, and tells whether they have. The caller writes d.
func (s *step) renew(id []byte, d *statepb.Database) bool {
	changed := s.topUp(id, d)
	if now := s.prices(); d.State == database.Open && !bytes.Equal(d.Prices, now) {
		d.Prices, changed = now, true
	}
	if changed {
		d.Sequence++
	}
	return changed
}

// prices are those that the value layer has told last.
func (s *step) prices() []byte {
	if len(s.tip.DatabasePrices) == 0 {
		return wire.Encode(database.DefaultPrices())
	}
	return s.tip.DatabasePrices
}

// refill has the databases of an account topped up that wait for ozone, since it has some more.
func (s *step) refill(account []byte) { s.putBytes(key(refillKey, account), nil) }

// sweepRefills tops up what waits for ozone of accounts that have more since.
func (s *step) sweepRefills() {
	var accounts [][]byte
	s.scanPrefix(key(refillKey), func(k, _ []byte) bool {
		accounts = append(accounts, bytes.Clone(k[1:]))
		return len(accounts) < refillLimit
	})
	for _, a := range accounts {
		var ids [][]byte
		dry := key(dryKey, a)
		s.scanPrefix(dry, func(k, _ []byte) bool {
			ids = append(ids, bytes.Clone(k[len(dry):]))
			return len(ids) < refillLimit
		})
		all := true
		for _, id := range ids {
			d := new(statepb.Database)
			if !s.get(key(databaseKey, id), d) {
				s.delete(key(dryKey, a, id))
				continue
			}
			if s.renew(id, d) {
				s.put(key(databaseKey, id), d)
			}
			if all = !s.has(key(dryKey, a, id)); !all { // who had not enough for one has nothing for the others
				break
			}
		}
		if !all || len(ids) < refillLimit {
			s.delete(key(refillKey, a))
		}
	}
}

// giveBack returns to a database's owner what was set aside, and is not any more.
func (s *step) giveBack(d *statepb.Database, noz uint64) {
	if noz == 0 {
		return
	}
	a := s.account(d.Owner)
	a.Leased -= noz
	s.put(key(accountKey, d.Owner), a)
	s.refill(d.Owner)
}

// endAllowance ends the allowance of a database that uses nothing any more.
func (s *step) endAllowance(d *statepb.Database) {
	s.giveBack(d, d.Allowance-d.Counted)
	d.Counted = d.Allowance
}

// returnDue gives back what no member has claimed of the last certificate.
func (s *step) returnDue(d *statepb.Database) {
	s.giveBack(d, d.Due)
	d.Due, d.Share = 0, 0
}

// settleCell pays the members of a cell for what a certificate of theirs says that its databases have used: each that signed it an
// equal part of what came since the last one, rounded down. Who signed it, and is not in the first that is handed in, is paid when
// another brings his signature, until the next certificate is settled; then what nobody claimed goes back to its owner.
func (s *step) settleCell(m *wirepb.CellSettlement, by mesh.PublicKey) error {
	node, err := mesh.FromBytes[mesh.NodeID](m.Node)
	if err != nil {
		return err
	}
	switch k, err := s.nodeKey(node); {
	case err != nil:
		return err
	case k != by:
		return mesh.Errorf(mesh.Denied, "the settlement by node %s is signed by another key", node)
	}
	p, c := new(wirepb.Checkpoint), new(statepb.Cell)
	if err := wire.Decode(m.Checkpoint, signed.MaxBody, p); err != nil {
		return err
	}
	if !s.get(key(cellKey, p.Cell), c) || c.Version != p.Version || c.FoundedMs == 0 {
		return mesh.Errorf(mesh.NotFound, "there is no cell %x with members of version %d", p.Cell, p.Version)
	}
	if !slices.ContainsFunc(c.Members, func(r *statepb.CellMember) bool { return bytes.Equal(r.Node, node[:]) }) {
		return mesh.Errorf(mesh.Denied, "node %s has no replica of cell %x", node, p.Cell)
	}
	if p.Height < c.SettledHeight {
		return mesh.Errorf(mesh.Conflict, "the cell is settled up to height %d", c.SettledHeight)
	}
	sum := sha256.Sum256(m.Checkpoint)
	again := p.Height == c.SettledHeight && bytes.Equal(sum[:], c.Settled)
	p, signers, err := database.CheckSettlement(s.domain, m, answerKeys(c))
	switch {
	case err != nil:
		return err
	case again && signers&^c.Paid == 0:
		return mesh.Errorf(mesh.Conflict, "the certificate of height %d is settled, with these signatures", p.Height)
	case !again && (p.Height == c.SettledHeight || s.takesBack(c, p)):
		if c.Contradicted == p.Height {
			return mesh.Errorf(mesh.Conflict, "that the certificate of height %d is false is known", p.Height)
		}
		c.Contradicted = p.Height // more than f of the members lie: nothing of it is settled, and everybody can see it
		s.put(key(cellKey, p.Cell), c)
		return nil
	case again:
		signers &^= c.Paid
	default:
		c.SettledHeight, c.Settled, c.Paid = p.Height, sum[:], 0
	}
	c.Paid |= signers
	s.put(key(cellKey, p.Cell), c)
	use := func(id []byte, noz uint64, ended bool, checked *wirepb.CheckedDatabase) {
		d := new(statepb.Database)
		if !s.get(key(databaseKey, id), d) || !bytes.Equal(d.Cell, p.Cell) {
			return // forgotten since
		}
		if checked != nil {
			d.LogHeight, d.CheckedMs, d.Height, d.Digest, d.Content = p.Height, p.TimeMs, checked.Height, checked.Digest, checked.Content
		}
		if !again {
			s.count(d, noz, uint64(len(c.Members)))
		}
		s.pay(c, d, signers)
		if ended && d.State == database.Dropped {
			s.endAllowance(d)
		}
		if !again {
			s.renew(id, d)
		}
		s.put(key(databaseKey, id), d)
	}
	for _, d := range p.Databases {
		use(d.Database, d.Noz, false, d)
	}
	for _, d := range p.Ended {
		use(d.Database, d.Noz, true, nil)
	}
	return nil
}

// answerKeys are those of a founded cell's members, by their places.
func answerKeys(c *statepb.Cell) (all []mesh.PublicKey) {
	for _, r := range c.Members {
		all = append(all, mesh.PublicKey(r.AnswerKey))
	}
	return all
}

// takesBack tells whether a checkpoint says of a database that it has used less than it had before.
func (s *step) takesBack(c *statepb.Cell, p *wirepb.Checkpoint) bool {
	less := func(id []byte, noz uint64) bool {
		d := new(statepb.Database)
		return s.get(key(databaseKey, id), d) && bytes.Equal(d.Cell, p.Cell) && noz < d.Used
	}
	for _, d := range p.Databases {
		if less(d.Database, d.Noz) {
			return true
		}
	}
	for _, d := range p.Ended {
		if less(d.Database, d.Noz) {
			return true
		}
	}
	return false
}

// count takes from a database's allowance what it has used since the last certificate, and divides it among the members. What goes
// beyond the allowance is counted when there is more.
func (s *step) count(d *statepb.Database, noz, members uint64) {
	s.returnDue(d)
	d.Used = noz
	covered := min(noz, d.Allowance)
	more := covered - min(covered, d.Counted)
	d.Counted += more
	d.Share = more / members
	d.Due = d.Share * members
	s.giveBack(d, more-d.Due)
}

// pay pays members their share, by their places. Who is no node any more, or was proven to lie, is not paid.
func (s *step) pay(c *statepb.Cell, d *statepb.Database, members uint32) {
	if d.Share == 0 {
		return
	}
	a := s.account(d.Owner)
	for i, r := range c.Members {
		if members>>i&1 == 0 || !s.has(key(nodeKey, r.Node)) || s.has(key(evidenceKey, r.Node)) {
			continue
		}
		d.Due -= d.Share
		d.Paid += d.Share
		a.Leased -= d.Share
		a.Debited += d.Share
		s.earn(report.Database, d.Owner, r.Node, d.Share)
	}
	s.put(key(accountKey, d.Owner), a)
}
