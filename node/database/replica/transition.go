package replica

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxDatabases bounds the databases whose sequence a cell remembers, dropped ones too. Each was paid for on the meta log.
const maxDatabases = 1 << 16

// sweepLimit bounds how many sessions that have ended one block forgets.
const sweepLimit = 64

// cell is what all transitions know: it never changes.
type cell struct {
	config Config
	domain sign.Domain
	rules  Rules
}

// member returns the place of an answer key among the members.
func (c *cell) member(k mesh.PublicKey) (int, bool) {
	i := slices.IndexFunc(c.config.Members, func(m Member) bool { return m.AnswerKey == k })
	return i, i >= 0
}

// notice believes f+1 authorities. What they say is whole, so that a newer notice stands for all before it.
func (s *step) notice(t *transaction) error {
	n := t.body.(*wirepb.Notice)
	if mesh.CellID(n.Cell) != s.cell.config.Cell {
		return mesh.Errorf(mesh.Denied, "the notice is for another cell")
	}
	seen := map[mesh.PublicKey]bool{}
	for _, m := range t.messages {
		by, err := signed.Verify(s.cell.domain, m, sign.Notice)
		if err != nil {
			return err
		}
		if !slices.Contains(s.cell.config.Authorities, by) || seen[by] {
			return mesh.Errorf(mesh.Denied, "the notice is not signed by different authorities of the cell's genesis")
		}
		seen[by] = true
	}
	if !database.Believed(len(seen), len(s.cell.config.Authorities)) {
		return mesh.Errorf(mesh.Denied, "the notice has %d signatures of %d authorities: too few", len(seen), len(s.cell.config.Authorities))
	}
	d := s.database(n.Database)
	switch {
	case d != nil && n.Sequence <= d.Sequence:
		return mesh.Errorf(mesh.Conflict, "notice %d of the database is known, as is all up to %d", n.Sequence, d.Sequence)
	case d != nil && d.State == database.Dropped:
		return mesh.Errorf(mesh.Conflict, "the database was dropped")
	case d != nil && (d.Dialect != n.Dialect || string(d.Owner) != string(n.Owner)):
		return mesh.Errorf(mesh.Conflict, "the database has another owner or dialect")
	case d == nil && s.count([]byte{databaseKey}, maxDatabases) >= maxDatabases:
		return mesh.Errorf(mesh.Exhausted, "the cell has had %d databases", maxDatabases)
	case d == nil && n.State != database.Dropped && s.open() >= database.MaxCellDatabases:
		return mesh.Errorf(mesh.Exhausted, "the cell has %d databases", database.MaxCellDatabases)
	}
	if d == nil {
		d = &replicapb.Database{Owner: n.Owner, Dialect: n.Dialect, Usage: new(wirepb.Usage), HeldMs: s.timeMs}
	}
	s.hold(d) // at the prices that held until now
	d.Name, d.State, d.Sequence, d.Allowance, d.Prices = n.Name, n.State, n.Sequence, n.AllowanceNoz, n.Prices
	s.put(key(databaseKey, n.Database), d)
	if n.State == database.Dropped {
		s.delete(key(ownerKey, n.Owner, n.Database))
		s.putBytes(key(endedKey, be64(s.timeMs+endedTimes*s.cell.rules.CheckpointMs), n.Database), nil)
	} else {
		s.putBytes(key(ownerKey, n.Owner, n.Database), nil)
	}
	return nil
}

// open counts the databases that are not dropped.
func (s *step) open() int { return s.count([]byte{ownerKey}, database.MaxCellDatabases+1) }

// session keeps who may send envelopes. A cell keeps only sessions of its databases' owners.
func (s *step) session(t *transaction) error {
	by, err := t.signer(s.cell.domain)
	if err != nil {
		return err
	}
	r, err := grant.Verify(s.cell.domain, t.body.(*wirepb.Session).Chain)
	if err != nil {
		return err
	}
	if r.Holder != by {
		return mesh.Errorf(mesh.Denied, "the grant is held by %s, the session is signed by %s", r.Holder, by)
	}
	if err := r.Alive(s.timeMs); err != nil {
		return err
	}
	record := &replicapb.Session{Account: r.Account[:], Holder: by[:], Prefix: r.Prefix, Operations: uint32(r.Operations), NotBeforeMs: r.NotBeforeMs, ExpiresMs: r.ExpiresMs}
	for i := range r.Links {
		record.Links = append(record.Links, r.Links[i][:])
	}
	if err := s.unrevoked(record); err != nil {
		return err
	}
	covered := false
	owned := key(ownerKey, r.Account[:])
	var ids [][]byte
	s.below(owned, func(k, _ []byte) bool { ids = append(ids, append([]byte{}, k[len(owned):]...)); return true })
	for _, id := range ids {
		if d := s.database(id); d != nil {
			_, err := r.Role(d.Name)
			covered = covered || err == nil
		}
	}
	if !covered {
		return mesh.Errorf(mesh.Denied, "the grant covers no database that account %s has in this cell", r.Account)
	}
	old := new(replicapb.Session)
	exists := s.get(key(sessionKey, by[:]), old)
	if exists && proto.Equal(old, record) {
		return mesh.Errorf(mesh.Conflict, "the session %s is known in this cell", by)
	}
	of := key(sessionOf, r.Account[:])
	if (!exists || string(old.Account) != string(record.Account)) && s.count(of, s.cell.rules.Sessions) >= s.cell.rules.Sessions {
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "account %s has %d sessions in this cell, and may have no more", r.Account, s.cell.rules.Sessions), "wait until one has expired")
	}
	if exists {
		s.forget(old)
	}
	s.put(key(sessionKey, by[:]), record)
	s.putBytes(key(sessionOf, r.Account[:], by[:]), nil)
	s.putBytes(key(sessionEnd, be64(r.ExpiresMs), by[:]), nil)
	return nil
}

func (s *step) forget(r *replicapb.Session) {
	s.delete(key(sessionKey, r.Holder))
	s.delete(key(sessionOf, r.Account, r.Holder))
	s.delete(key(sessionEnd, be64(r.ExpiresMs), r.Holder))
}

// sweep forgets sessions that have ended.
func (s *step) sweep() {
	var ended [][]byte
	s.each(key(sessionEnd), key(sessionEnd, be64(s.timeMs)), func(k, _ []byte) bool {
		ended = append(ended, append([]byte{}, k[9:]...))
		return len(ended) < sweepLimit
	})
	for _, holder := range ended {
		r := new(replicapb.Session)
		if s.get(key(sessionKey, holder), r) {
			s.forget(r)
		}
	}
}

func (v *view) unrevoked(r *replicapb.Session) error {
	for _, l := range r.Links {
		if v.has(key(revokedKey, r.Account, l)) {
			return mesh.Errorf(mesh.Denied, "the grant was revoked")
		}
	}
	return nil
}

// rights returns what the session of a key may do, if it is alive.
func (v *view) rights(by mesh.PublicKey, nowMs int64) (grant.Rights, error) {
	r := new(replicapb.Session)
	if !v.get(key(sessionKey, by[:]), r) {
		return grant.Rights{}, mesh.WithHint(mesh.Errorf(mesh.Denied, "the session %s is not known in this cell", by), "show it with its grants first")
	}
	if err := v.unrevoked(r); err != nil {
		return grant.Rights{}, err
	}
	g := grant.Rights{Account: mesh.Account(r.Account), Holder: by, Prefix: r.Prefix, Operations: grant.Operations(r.Operations), NotBeforeMs: r.NotBeforeMs, ExpiresMs: r.ExpiresMs}
	return g, g.Alive(nowMs)
}

// may returns a database if the session of a key may do op in it, and as whom.
func (v *view) may(by mesh.PublicKey, op grant.Operations, id []byte, nowMs int64) (*replicapb.Database, grant.Role, error) {
	r, err := v.rights(by, nowMs)
	if err != nil {
		return nil, grant.Role{}, err
	}
	d := v.database(id)
	if d == nil || d.State == database.Dropped || string(d.Owner) != string(r.Account[:]) { // whose it is, is nobody else's business
		return nil, grant.Role{}, mesh.Errorf(mesh.NotFound, "there is no such database in this cell")
	}
	role, err := r.Role(d.Name)
	switch {
	case err != nil:
		return nil, role, err
	case r.Operations&op != op:
		return nil, role, mesh.Errorf(mesh.Denied, "the grant does not allow %s", op)
	case role.Name != "" && d.Dialect != database.Postgres:
		return nil, role, mesh.Errorf(mesh.Denied, "a database of dialect %s has no roles", d.Dialect)
	}
	return d, role, nil
}

// revoke voids a link of the signer's account, shown here yet or not.
func (s *step) revoke(t *transaction) error {
	by, err := t.signer(s.cell.domain)
	if err != nil {
		return err
	}
	r, err := s.rights(by, s.timeMs)
	if err != nil {
		return err
	}
	if r.Prefix != "" || r.Operations != grant.All {
		return mesh.Errorf(mesh.Denied, "only a session with all of the account's rights revokes grants")
	}
	k := key(revokedKey, r.Account[:], t.body.(*wirepb.Revocation).Link)
	if s.has(k) {
		return mesh.Errorf(mesh.Conflict, "the grant is revoked already")
	}
	if s.count(key(revokedKey, r.Account[:]), s.cell.rules.Revocations) >= s.cell.rules.Revocations {
		return mesh.Errorf(mesh.Exhausted, "account %s has revoked %d grants in this cell, and may revoke no more", r.Account, s.cell.rules.Revocations)
	}
	s.putBytes(k, nil)
	return nil
}

// envelope tells whether an envelope may run, at the time of its block, and whose it is.
// spent is what the database's record does not know yet of what it has used.
func (v *view) envelope(c *cell, t *transaction, spent uint64, nowMs int64) (by mesh.PublicKey, role grant.Role, err error) {
	if by, err = t.signer(c.domain); err != nil {
		return by, role, err
	}
	role, err = v.envelopeBy(c, t.envelope, by, spent, nowMs)
	return by, role, err
}

func (v *view) envelopeBy(c *cell, e *wirepb.Envelope, by mesh.PublicKey, spent uint64, nowMs int64) (grant.Role, error) {
	d, role, err := v.may(by, grant.Read|grant.Write, e.Database, nowMs)
	if err != nil {
		return role, err
	}
	return role, timely(c, d, e, spent, nowMs)
}

// timely tells whether a database takes an envelope now.
func timely(c *cell, d *replicapb.Database, e *wirepb.Envelope, spent uint64, nowMs int64) error {
	switch {
	case d.State == database.ReadOnly:
		return readOnly(d.Name)
	case exhausted(d, spent):
		return noOzone(d)
	case nowMs > e.NotAfterMs:
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the envelope's time is over by %d ms", nowMs-e.NotAfterMs), "sign it again")
	case e.NotAfterMs-nowMs > database.MaxAheadMs:
		return mesh.Errorf(mesh.Invalid, "the envelope may wait for %d ms, at most %d", e.NotAfterMs-nowMs, database.MaxAheadMs)
	case e.GasLimit > c.rules.EnvelopeGas:
		return mesh.Errorf(mesh.Invalid, "the envelope may take %d gas, at most %d", e.GasLimit, c.rules.EnvelopeGas)
	case e.View != nil && (e.View.TimeMs-nowMs > database.MaxViewAheadMs || nowMs-e.View.TimeMs > database.MaxAheadMs):
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the transaction began at %d ms, which is too far from %d", e.View.TimeMs, nowMs), "begin it again, or set the clock")
	}
	return nil
}

func readOnly(name string) error { return mesh.Errorf(mesh.Denied, "database %q is read-only", name) }

// checkpoint counts a member's signature of what is pending. Of its contents nothing is known here; the rest must be as it was.
func (s *step) checkpoint(t *transaction) error {
	by, err := t.signer(s.cell.domain)
	if err != nil {
		return err
	}
	i, ok := s.cell.member(by)
	if !ok {
		return mesh.Errorf(mesh.Denied, "%s is no member of the cell", by)
	}
	m, p := t.body.(*wirepb.Checkpoint), s.pending()
	if p == nil || m.Height != p.Checkpoint.Height {
		return mesh.Errorf(mesh.Conflict, "the checkpoint is not the one that waits for signatures")
	}
	vote := key(voteKey, []byte{byte(i)})
	if s.has(vote) {
		return mesh.Errorf(mesh.Conflict, "the member has signed this checkpoint")
	}
	if !sameButContents(m, p.Checkpoint) {
		return mesh.Errorf(mesh.Denied, "the checkpoint is not of this cell's log")
	}
	s.put(vote, t.messages[0])
	var same []*wirepb.Signed
	for j := range s.cell.config.Members {
		v := new(wirepb.Signed)
		if s.get(key(voteKey, []byte{byte(j)}), v) && string(v.Body) == string(t.messages[0].Body) {
			same = append(same, v)
		}
	}
	if database.Certified(len(same), len(s.cell.config.Members)) { // who comes late is paid, too
		s.put([]byte{certificateKey}, &wirepb.Certificate{Checkpoints: same})
		s.certified = s.certified || !p.Certified
		if !p.Certified {
			s.copied(p.Checkpoint)
		}
		p.Certified = true
		s.put([]byte{pendingKey}, p)
	}
	return nil
}

// due tells whether the block is a checkpoint: the time has come, or a database may be stopped before its next allowance, and what
// was asked for before is done, or was given up.
func (s *step) due() bool {
	every, since := s.cell.rules.CheckpointMs, s.timeMs-s.cell.config.FoundedMs
	p := s.pending()
	if p != nil {
		since = s.timeMs - p.Checkpoint.TimeMs
	}
	if s.has([]byte{hurryKey}) {
		every /= hurryPart
	}
	return since >= every && (p == nil || p.Certified || since >= 6*s.cell.rules.CheckpointMs)
}

// ask makes a checkpoint pending.
func (s *step) ask() {
	c := s.cell.config
	m := &wirepb.Checkpoint{Cell: c.Cell[:], Version: c.Version, Height: s.height, TimeMs: s.timeMs, Databases: s.bill(), Ended: s.ended()}
	sum := s.digest() // of the state as this block leaves it
	m.State = sum[:]
	for i := range c.Members {
		s.delete(key(voteKey, []byte{byte(i)}))
	}
	s.put([]byte{pendingKey}, &replicapb.Pending{Checkpoint: m})
}

// rollingDigest is a database's, zeros before the first block that touched it.
func rollingDigest(d *replicapb.Database) (sum [32]byte) {
	copy(sum[:], d.Digest)
	return sum
}

// sameButContents compares a signed checkpoint with one that knows no contents.
func sameButContents(m, asked *wirepb.Checkpoint) bool {
	return string(wire.Encode(withoutContents(m))) == string(wire.Encode(asked))
}

func withoutContents(m *wirepb.Checkpoint) *wirepb.Checkpoint {
	m = proto.Clone(m).(*wirepb.Checkpoint)
	for _, d := range m.Databases {
		d.Content = nil
	}
	return m
}

// seedOf is what programs of a block draw from: BLAKE3 over "stratos cell block/1", a zero, the height and the block's hash.
func seedOf(height int64, hash []byte) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("stratos cell block/1\x00"), uint64(height))
	return blake3.Sum256(append(b, hash...))
}
