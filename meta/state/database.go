package state

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
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

// lots returns the draw of a block for what is named by a word and ids.
func (s *step) lots(word string, ids ...[]byte) *draw {
	b := append([]byte(word), 0)
	b = append(b, s.hash...)
	for _, id := range ids {
		b = append(b, id...)
	}
	return &draw{seed: sha256.Sum256(b)}
}

// Below returns a number less than limit; limit is not 0.
func (d *draw) Below(limit uint64) uint64 {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(d.seed[:len(d.seed):len(d.seed)], d.n))
	d.n++
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(h[:8]), limit) // uneven by less than limit/2^64
	return hi
}

// draw founds a cell of online nodes for databases, each of another operator, by lot: a node's weight is its deposit times its
// score. The cell's keys follow from its members.
func (s *step) draw(faults uint32, id []byte) ([]byte, *statepb.Cell, error) {
	lots := s.lots("stratos-cell-draw-v1", id)
	cell := sha256.Sum256(append([]byte("stratos-cell-v1\x00"), lots.seed[:]...))
	nodes := s.placed(func(id mesh.NodeID, n *statepb.Node) int {
		if n.Kinds&placement.Database == 0 { // it is refused anyhow
			return 0
		}
		return s.cellsOf(id)
	})
	drawn, err := placement.Draw(placement.ForCell(database.Replicas(faults)), nodes, lots)
	if err != nil {
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "no cell can be drawn that stands %d faults: %w", faults, err), "%s", mesh.HintOf(err))
	}
	c := &statepb.Cell{Version: 1, Faults: faults}
	for _, n := range drawn {
		c.Members = append(c.Members, &statepb.CellMember{Node: n[:]})
		s.putBytes(key(hostKey, n[:], cell[:16]), nil)
	}
	return cell[:16], c, nil
}

// placed returns every node as placement sees it, by rising id.
func (s *step) placed(load func(mesh.NodeID, *statepb.Node) int) (all []placement.Node) {
	s.eachNode(func(id mesh.NodeID, n *statepb.Node) {
		s.get(key(nodeKey, id[:]), n) // as this transaction has left it
		all = append(all, Placed(id, n, load(id, n)))
	})
	return all
}

// Placed is a node as placement sees it.
func Placed(id mesh.NodeID, n *statepb.Node, load int) placement.Node {
	return placement.Node{ID: id, Operator: mesh.Account(n.Operator), Domain: n.Domain, Kinds: n.Kinds, Active: n.Active,
		Online: n.Status == Online, Suspended: n.Status == Suspended, Score: n.Score, Deposit: n.DepositStos, FreeBytes: n.FreeBytes, Load: load}
}

// cellsOf counts the cells of which a node has a replica, before this transaction.
func (v *view) cellsOf(id mesh.NodeID) (n int) {
	v.scanPrefix(key(hostKey, id[:]), func(_, _ []byte) bool { n++; return true })
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
