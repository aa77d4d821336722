package replica

import (
	"bytes"
	"slices"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica/replicapb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// endedTimes is for how many times of a checkpoint's what a dropped database has cost is in checkpoints: one of them is settled.
	endedTimes = 12

	// hurryPart is how much sooner a checkpoint comes, at most, when a database has used half of its allowance.
	hurryPart = 20
)

// charge adds to what a database has cost, and lets the next checkpoint come sooner when half is used of what it was allowed since
// the last: who uses much must not be stopped by a settlement that comes late.
func (s *step) charge(d *replicapb.Database, noz uint64) {
	d.Noz = database.SumNoz(d.Noz, noz)
	if d.Allowance > d.Checked && d.Noz-d.Checked >= (d.Allowance-d.Checked+1)/2 {
		s.putBytes([]byte{hurryKey}, nil)
	}
}

// hold charges a database for its pages since it was last charged for them.
func (s *step) hold(d *replicapb.Database) {
	if ms := s.timeMs - d.HeldMs; d.Pages > 0 && ms > 0 && d.State != dropped {
		s.charge(d, database.HoldingPrice(d.Prices, d.Pages, ms))
	}
	d.HeldMs = s.timeMs
}

// bill charges all databases for what they hold, and lists them by id, as a checkpoint does.
func (s *step) bill() (all []*wirepb.CheckedDatabase) {
	var open []*replicapb.Database
	s.databases(func(id mesh.DatabaseID, d *replicapb.Database) {
		if d.State != dropped {
			open, all = append(open, d), append(all, &wirepb.CheckedDatabase{Database: id[:]})
		}
	})
	for i, m := range all {
		d := open[i]
		s.hold(d)
		d.Checked = d.Noz
		s.put(key(databaseKey, m.Database), d)
		rolling := rollingDigest(d)
		m.Height, m.Digest, m.Usage, m.Noz = d.Height, rolling[:], d.Usage, d.Noz
	}
	s.delete([]byte{hurryKey})
	return all
}

// ended is what databases have cost that were dropped not long ago, by id. Where there are too many, the meta layer does without.
func (s *step) ended() (all []*wirepb.EndedDatabase) {
	s.each(key(endedKey, be64(s.timeMs)), []byte{endedKey + 1}, func(k, _ []byte) bool {
		if d := s.database(k[9:]); d != nil {
			all = append(all, &wirepb.EndedDatabase{Database: bytes.Clone(k[9:]), Noz: d.Noz})
		}
		return len(all) < database.MaxEnded
	})
	slices.SortFunc(all, func(a, b *wirepb.EndedDatabase) int { return bytes.Compare(a.Database, b.Database) })
	return all
}

// sweepEnded forgets what has been in checkpoints for long enough.
func (s *step) sweepEnded() {
	var over [][]byte
	s.each(key(endedKey), key(endedKey, be64(s.timeMs)), func(k, _ []byte) bool {
		over = append(over, bytes.Clone(k))
		return len(over) < sweepLimit
	})
	for _, k := range over {
		s.delete(k)
	}
}

// exhausted tells whether a database has used up what it is allowed. spent is what its record does not know yet.
func exhausted(d *replicapb.Database, spent uint64) bool {
	return database.SumNoz(d.Noz, spent) >= d.Allowance
}

// noOzone is said of a database whose owner's account has not paid for more.
func noOzone(d *replicapb.Database) error {
	return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "database %q is read-only: it has used %s, which is all that its owner's ozone allows; the account has none left for it", d.Name, mesh.Noz(d.Noz)),
		"the owner buys ozone with: stratos prepay; what it has used and may use shows: stratos db stats %s", d.Name)
}
