package state

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// maxDatabases bounds an account's databases.
	maxDatabases = 1000

	// droppedMs is how long a cell has time to learn that a database was dropped.
	droppedMs = 30 * 24 * 3600 * 1000
)

// changeDatabase creates a database in a cell with room, or drops one.
func (s *step) changeDatabase(m *wirepb.Database, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := database.Check(m); err != nil {
		return err
	}
	session, err := s.allow(by, grant.Databases, grant.Database(m.Name), "")
	if err != nil {
		return err
	}
	if err := s.fresh(m.AtMs, m.NotAfterMs, msg); err != nil {
		return err
	}
	named := key(databaseName, session.Account, []byte(m.Name))
	id, exists := s.bytes(named)
	if m.Action == database.Drop {
		if !exists || string(id) != string(m.Dropped) {
			return noDatabase(m.Name)
		}
		s.dropDatabase(id)
		s.delete(named)
		return nil
	}
	if exists {
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "database %q exists already and is yours", m.Name), "choose another name, or drop it: stratos db drop %s", m.Name)
	}
	if s.has(key(databaseKey, m.Id)) {
		return mesh.Errorf(mesh.Conflict, "there is a database with this id already")
	}
	count := 0
	s.scanPrefix(key(databaseName, session.Account), func(_, _ []byte) bool { count++; return count < maxDatabases })
	if count >= maxDatabases {
		return mesh.Errorf(mesh.Exhausted, "the account has %d databases, and may have no more", count)
	}
	if err := s.charge(session.Account, len(msg.Body)); err != nil {
		return err
	}
	cell, err := s.room(m.Faults, m.Id)
	if err != nil {
		return err
	}
	s.putBytes(named, m.Id)
	s.putBytes(key(hostedKey, cell, m.Id), nil)
	d := &statepb.Database{Name: m.Name, Owner: session.Account, Dialect: m.Dialect, Faults: m.Faults, Cell: cell, CreatedMs: s.tip.TimeMs, Sequence: 1, State: database.Open, Prices: s.prices()}
	s.topUp(m.Id, d)
	s.put(key(databaseKey, m.Id), d)
	return nil
}

func noDatabase(name string) error {
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no database %q", name), "see: stratos db list")
}

func (s *step) dropDatabase(id []byte) {
	d, c := new(statepb.Database), new(statepb.Cell)
	if !s.get(key(databaseKey, id), d) || !s.get(key(cellKey, d.Cell), c) {
		return
	}
	d.State, d.Sequence = database.Dropped, d.Sequence+1
	s.delete(key(dryKey, d.Owner, id))
	if c.FoundedMs == 0 { // it was never used
		s.endAllowance(d)
	}
	s.put(key(databaseKey, id), d)
	s.putBytes(key(droppedTime, msKey(s.tip.TimeMs+droppedMs), id), nil)
	c.Databases--
	s.put(key(cellKey, d.Cell), c)
	s.putBytes(key(roomKey, be32(c.Faults), d.Cell), nil)
}

// sweepDatabases forgets a bounded number of databases that were dropped long ago.
func (s *step) sweepDatabases() {
	s.take(key(droppedTime), key(droppedTime, msKey(s.tip.TimeMs)), func(k []byte) {
		id, d := k[9:], new(statepb.Database)
		if s.get(key(databaseKey, id), d) {
			s.returnDue(d)
			s.endAllowance(d)
			s.delete(key(hostedKey, d.Cell, id))
			s.delete(key(databaseKey, id))
		}
	})
}

// maxPrices bounds the bytes of prices.
const maxPrices = 64

// Notice returns what the meta layer tells a database's cell of it, nil where there is none.
func (r *Reader) Notice(id []byte) *wirepb.Notice {
	d := new(statepb.Database)
	if !r.get(key(databaseKey, id), d) {
		return nil
	}
	prices := new(wirepb.Prices)
	if err := wire.Decode(d.Prices, maxPrices, prices); err != nil {
		return nil // it was encoded here
	}
	return &wirepb.Notice{Database: id, Cell: d.Cell, Sequence: d.Sequence, State: d.State, Name: d.Name, Owner: d.Owner, Dialect: d.Dialect,
		AllowanceNoz: d.Allowance, Prices: prices}
}

// room returns a cell that takes one more database, and counts it there. There may be none; then one is drawn.
func (s *step) room(faults uint32, id []byte) (cell []byte, err error) {
	rooms := key(roomKey, be32(faults))
	s.scanPrefix(rooms, func(k, _ []byte) bool { cell = append(cell, k[len(rooms):]...); return false })
	c := new(statepb.Cell)
	if cell == nil {
		if cell, c, err = s.draw(faults, id); err != nil {
			return nil, err
		}
	} else if !s.get(key(cellKey, cell), c) {
		return nil, mesh.Errorf(mesh.Internal, "cell %x has room and does not exist", cell)
	}
	c.Databases++
	s.put(key(cellKey, cell), c)
	if at := key(roomKey, be32(faults), cell); c.Databases < database.MaxCellDatabases {
		s.putBytes(at, nil)
	} else {
		s.delete(at)
	}
	return cell, nil
}

// A draw gives numbers that nobody knew before the block was decided: SHA-256 over the block's hash, what is drawn for and a
// count. Who proposed the block could have tried others.
type draw struct {
	seed [32]byte
	n    uint64
}

// below returns a number less than limit; limit is not 0.
func (d *draw) below(limit uint64) uint64 {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(d.seed[:len(d.seed):len(d.seed)], d.n))
	d.n++
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(h[:8]), limit) // uneven by less than limit/2^64
	return hi
}

// draw founds a cell of online nodes for databases, each of another operator, by lot: a node's weight is its deposit times its
// score. The cell's keys follow from its members.
func (s *step) draw(faults uint32, id []byte) ([]byte, *statepb.Cell, error) {
	type candidate struct {
		id       mesh.NodeID
		operator string
		weight   uint64
	}
	var all []candidate
	seen := map[string]bool{}
	s.eachNode(func(id mesh.NodeID, n *statepb.Node) { // by rising id
		if n.Active && n.Status == Online && n.Kinds&databaseKind != 0 && s.cellsOf(id) < database.MaxNodeCells {
			all = append(all, candidate{id, string(n.Operator), 1 + min(n.DepositStos, 1<<32)*n.Score/scoreFull})
			seen[string(n.Operator)] = true
		}
	})
	want := database.Replicas(faults)
	if len(seen) < want {
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "%d operators have a node for databases online with room for a cell, %d are needed to stand %d faults", len(seen), want, faults),
			"look at 'stratos node status'")
	}
	lots := &draw{seed: sha256.Sum256(append(append([]byte("stratos-cell-draw-v1\x00"), s.hash...), id...))}
	c := &statepb.Cell{Version: 1, Faults: faults}
	cell := sha256.Sum256(append([]byte("stratos-cell-v1\x00"), lots.seed[:]...))
	for len(c.Members) < want {
		total := uint64(0)
		for _, n := range all {
			total += n.weight
		}
		at, chosen := lots.below(total), 0
		for at >= all[chosen].weight {
			at -= all[chosen].weight
			chosen++
		}
		n := all[chosen]
		c.Members = append(c.Members, &statepb.CellMember{Node: n.id[:]})
		s.putBytes(key(hostKey, n.id[:], cell[:16]), nil)
		rest := all[:0]
		for _, o := range all {
			if o.operator != n.operator {
				rest = append(rest, o)
			}
		}
		all = rest
	}
	return cell[:16], c, nil
}

// cellsOf counts the cells of which a node has a replica, before this transaction.
func (s *step) cellsOf(id mesh.NodeID) (n int) {
	s.scanPrefix(key(hostKey, id[:]), func(_, _ []byte) bool { n++; return true })
	return n
}

// setCellKey notes with what keys a member runs its replica. When the last has told, the cell is founded.
func (s *step) setCellKey(m *wirepb.CellKey, by mesh.PublicKey, msg *wirepb.Signed) error {
	if err := database.CheckCellKey(m); err != nil {
		return err
	}
	c := new(statepb.Cell)
	if !s.get(key(cellKey, m.Cell), c) || c.Version != m.Version {
		return mesh.Errorf(mesh.NotFound, "there is no cell %x with members of version %d", m.Cell, m.Version)
	}
	told, found := 0, false
	for _, r := range c.Members {
		k, err := s.nodeKey(mesh.NodeID(r.Node))
		switch {
		case err == nil && k == by && len(r.ConsensusKey) > 0:
			return mesh.Errorf(mesh.Conflict, "this replica's keys are known already")
		case err == nil && k == by:
			r.ConsensusKey, r.AnswerKey, r.Peer, r.Address, found = m.ConsensusKey, m.AnswerKey, m.Peer, m.Address, true
		case string(r.ConsensusKey) == string(m.ConsensusKey):
			return mesh.Errorf(mesh.Invalid, "another replica has this consensus key")
		}
		if len(r.ConsensusKey) > 0 {
			told++
		}
	}
	if !found {
		return mesh.Errorf(mesh.Denied, "the node has no replica of cell %x", m.Cell)
	}
	if err := s.fresh(m.AtMs, 0, msg); err != nil {
		return err
	}
	if told == len(c.Members) {
		c.FoundedMs, c.CheckpointMs = s.tip.TimeMs, s.tip.CheckpointMs
		s.scanPrefix(key(authorityKey), func(k, b []byte) bool {
			a := new(statepb.Authority)
			if s.decode(k, b, a) {
				c.Authorities = append(c.Authorities, a.ReportKey)
			}
			return true
		})
	}
	s.put(key(cellKey, m.Cell), c)
	return nil
}

// database answers a database of an account.
func (r *Reader) database(q *wirepb.DatabaseName, asker mesh.PublicKey, nowMs int64) (*wirepb.DatabaseAnswer, error) {
	session, err := r.Session(asker, nowMs)
	if err != nil {
		return nil, err
	}
	id := q.Id
	if len(id) == 0 {
		if err := mesh.CheckDatabase(q.Name); err != nil {
			return nil, err
		}
		id, _ = r.bytes(key(databaseName, session.Account, []byte(q.Name)))
	}
	a := r.databaseAnswer(id)
	if a == nil || string(a.Owner) != string(session.Account) {
		return nil, nil
	}
	if _, err := rightsOf(session).Role(a.Name); err != nil {
		return nil, nil
	}
	return a, nil
}

func (r *Reader) databaseAnswer(id []byte) *wirepb.DatabaseAnswer {
	d := new(statepb.Database)
	if len(id) == 0 || !r.get(key(databaseKey, id), d) || d.State == database.Dropped {
		return nil
	}
	_, waits := r.bytes(key(dryKey, d.Owner, id))
	return &wirepb.DatabaseAnswer{Id: id, Name: d.Name, Owner: d.Owner, Dialect: d.Dialect, Faults: d.Faults, Cell: d.Cell, CreatedMs: d.CreatedMs,
		AllowanceNoz: d.Allowance, UsedNoz: d.Used, SettledNoz: d.Paid, Waits: waits}
}

func (r *Reader) databases(q *wirepb.DatabasesPage, asker mesh.PublicKey, nowMs int64) (*wirepb.DatabasesAnswer, error) {
	session, err := r.Session(asker, nowMs)
	if err != nil {
		return nil, err
	}
	if q.Limit == 0 || q.Limit > MaxListing {
		return nil, mesh.Errorf(mesh.Invalid, "a page of %d databases, want 1 to %d", q.Limit, MaxListing)
	}
	out, names := new(wirepb.DatabasesAnswer), key(databaseName, session.Account)
	from := append(names[:len(names):len(names)], q.After...)
	if q.After != "" {
		from = append(from, 0)
	}
	r.scan(from, after(names), func(k, id []byte) bool {
		name := string(k[len(names):])
		if _, err := rightsOf(session).Role(name); err != nil {
			return true
		}
		if out.Truncated = len(out.Databases) == int(q.Limit); out.Truncated {
			return false
		}
		if a := r.databaseAnswer(append([]byte(nil), id...)); a != nil {
			out.Databases = append(out.Databases, a)
		}
		return true
	})
	return out, nil
}

// cell answers a cell, nil where there is none.
func (r *Reader) cell(id []byte) *wirepb.CellAnswer {
	c := new(statepb.Cell)
	if !r.get(key(cellKey, id), c) {
		return nil
	}
	a := &wirepb.CellAnswer{Id: id, Version: c.Version, FoundedMs: c.FoundedMs, Authorities: c.Authorities, CheckpointMs: c.CheckpointMs,
		SettledHeight: c.SettledHeight, SettledMembers: c.Paid, ContradictedHeight: c.Contradicted}
	hosted := key(hostedKey, id)
	r.scanPrefix(hosted, func(k, _ []byte) bool {
		d := new(statepb.Database)
		if id := append([]byte(nil), k[len(hosted):]...); r.get(key(databaseKey, id), d) {
			a.Databases = append(a.Databases, &wirepb.HostedDatabase{Id: id, Sequence: d.Sequence})
		}
		return true
	})
	for _, m := range c.Members {
		n := new(statepb.Node)
		r.get(key(nodeKey, m.Node), n)
		a.Members = append(a.Members, &wirepb.CellMember{Node: m.Node, Operator: n.Operator, ConsensusKey: m.ConsensusKey, AnswerKey: m.AnswerKey, Peer: m.Peer, Address: m.Address})
	}
	return a
}

// cells answers of which cells a node has replicas.
func (r *Reader) cells(node []byte) *wirepb.CellsAnswer {
	out, prefix := new(wirepb.CellsAnswer), key(hostKey, node)
	r.scanPrefix(prefix, func(k, _ []byte) bool {
		if len(k) == len(prefix)+len(mesh.CellID{}) {
			if c := r.cell(append([]byte(nil), k[len(prefix):]...)); c != nil {
				out.Cells = append(out.Cells, c)
			}
		}
		return true
	})
	return out
}
