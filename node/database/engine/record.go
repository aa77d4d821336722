package engine

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// The engine's own tables. _stratos_state has one row; _stratos_block a row for each height of the last ten minutes of
// block time, and the newest; _stratos_outcome a row for each program of those. Its id is the program's, 16 bytes, and the
// digest of what was sent under it, 32 bytes; the digest is missing in files of old, and anything is taken for that program then.
// A program that came again has of_height and of_idx of its first coming, and no outcome of its own.
var ownTables = []string{
	"CREATE TABLE _stratos_state(id INTEGER PRIMARY KEY CHECK(id=1), height INTEGER NOT NULL, time_ms INTEGER NOT NULL, digest BLOB NOT NULL, kept INTEGER NOT NULL)",
	"INSERT INTO _stratos_state VALUES(1, 0, 0, zeroblob(32), 0)",
	"CREATE TABLE _stratos_block(height INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, digest BLOB NOT NULL)",
	"CREATE TABLE _stratos_outcome(height INTEGER, idx INTEGER, id BLOB NOT NULL, digest BLOB NOT NULL, of_height INTEGER, of_idx INTEGER, outcome BLOB, PRIMARY KEY(height, idx)) WITHOUT ROWID",
	"CREATE INDEX _stratos_outcome_id ON _stratos_outcome(id) WHERE of_height IS NULL",
	"CREATE INDEX _stratos_outcome_kept ON _stratos_outcome(height, idx) WHERE outcome IS NOT NULL",
	"PRAGMA application_id=1400128578",
	"PRAGMA user_version=1",
}

// keepFor is for how long, in block time, who sends a program again gets its outcome.
const keepFor = 10 * time.Minute

// A Record is what a block did.
type Record struct {
	Height   uint64
	TimeMs   int64
	Digest   [32]byte // the rolling digest after it
	Outcomes []Recorded
}

// A Recorded is one program of a block on record.
type Recorded struct {
	ID      [16]byte
	Sent    [32]byte        // Program.Sent
	Digest  [32]byte        // OutcomeDigest
	Outcome *wirepb.Outcome // nil when there was no room to keep it; in the newest block only of what came again
	Again   bool            // it came before; this is what became of it then
}

func corrupt(what string) error {
	return mesh.Errorf(mesh.Corrupt, "the database's own record: %s", what)
}

func readState(c *conn) (s state, err error) {
	rows, err := c.query("SELECT height, time_ms, digest, kept FROM main._stratos_state WHERE id=1")
	if err != nil {
		return s, err
	}
	if len(rows) != 1 {
		return s, corrupt("no state")
	}
	height, ok0 := rows[0][0].(int64)
	timeMs, ok1 := rows[0][1].(int64)
	digest, ok2 := rows[0][2].([]byte)
	kept, ok3 := rows[0][3].(int64)
	if !ok0 || !ok1 || !ok2 || !ok3 || height < 0 || timeMs < 0 || timeMs > maxTimeMs || len(digest) != 32 || kept < 0 {
		return s, corrupt("a state that cannot be")
	}
	return state{uint64(height), timeMs, [32]byte(digest), kept}, nil
}

func decodeOutcome(b []byte, digest [32]byte) (*wirepb.Outcome, error) {
	o := new(wirepb.Outcome)
	if err := wire.Decode(b, len(b), o); err != nil {
		return nil, corrupt("an outcome that cannot be decoded")
	}
	if OutcomeDigest(o) != digest {
		return nil, corrupt("an outcome with another digest")
	}
	return o, nil
}

// A first is the first coming of a program.
type first struct {
	outcome       *wirepb.Outcome
	height, index uint64
	sent          []byte // empty: not on record
}

// is tells whether this is what was sent.
func (f *first) is(sent [32]byte) bool { return len(f.sent) == 0 || string(f.sent) == string(sent[:]) }

// splitID divides what is on record of a program's id.
func splitID(v any) (id [16]byte, sent []byte, ok bool) {
	b, ok := v.([]byte)
	if !ok || len(b) != len(id) && len(b) != len(id)+32 {
		return id, nil, false
	}
	return [16]byte(b), b[len(id):], true
}

// recorded looks for the first coming of a program; nil: there is none.
func recorded(c *conn, id [16]byte) (*first, error) {
	most := append(id[:len(id):len(id)], bytes.Repeat([]byte{0xff}, 33)...) // is above all that begin with the id
	rows, err := c.query("SELECT height, idx, digest, outcome, id FROM main._stratos_outcome WHERE id>=? AND id<=? AND of_height IS NULL", id[:], most)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	h, ok0 := rows[0][0].(int64)
	i, ok1 := rows[0][1].(int64)
	d, ok2 := rows[0][2].([]byte)
	_, sent, ok3 := splitID(rows[0][4])
	if !ok0 || !ok1 || !ok2 || !ok3 || len(d) != 32 {
		return nil, corrupt("a program that cannot be")
	}
	f := &first{height: uint64(h), index: uint64(i), sent: sent}
	if b, kept := rows[0][3].([]byte); kept {
		f.outcome, err = decodeOutcome(b, [32]byte(d))
	} else {
		f.outcome = database.NotKept()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Recorded returns what a block of the last ten minutes did, or the newest block. NotFound: it is not on record.
func (s *Snapshot) Recorded(height uint64) (*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	rows, err := s.conn.query("SELECT time_ms, digest FROM main._stratos_block WHERE height=?", int64(height))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, mesh.Errorf(mesh.NotFound, "height %d is not on record", height)
	}
	r := &Record{Height: height}
	var ok0, ok1 bool
	r.TimeMs, ok0 = rows[0][0].(int64)
	d, ok1 := rows[0][1].([]byte)
	if !ok0 || !ok1 || len(d) != 32 {
		return nil, corrupt("a block that cannot be")
	}
	r.Digest = [32]byte(d)
	rows, err = s.conn.query(`SELECT o.id, o.digest, coalesce(f.outcome, o.outcome), o.of_height IS NOT NULL FROM main._stratos_outcome o
		LEFT JOIN main._stratos_outcome f ON f.height=o.of_height AND f.idx=o.of_idx WHERE o.height=? ORDER BY o.idx`, int64(height))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		id, sent, ok0 := splitID(row[0])
		d, ok1 := row[1].([]byte)
		if !ok0 || !ok1 || len(d) != 32 {
			return nil, corrupt("a program that cannot be")
		}
		e := Recorded{ID: id, Digest: [32]byte(d), Again: row[3] == int64(1)}
		copy(e.Sent[:], sent)
		if b, kept := row[2].([]byte); kept {
			if e.Outcome, err = decodeOutcome(b, e.Digest); err != nil {
				return nil, err
			}
		} else if n := database.NotKept(); OutcomeDigest(n) == e.Digest {
			e.Outcome = n
		}
		r.Outcomes = append(r.Outcomes, e)
	}
	return r, nil
}

// Program returns what became of the first coming of a program of the last ten minutes, and the height of its block. NotFound: it
// is not on record. ErrTaken: under its id another one is. Where there was no room to keep the outcome, it is one of code 55000.
func (s *Snapshot) Program(id [16]byte, sent [32]byte) (*wirepb.Outcome, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, 0, err
	}
	f, err := recorded(s.conn, id)
	switch {
	case err != nil:
		return nil, 0, err
	case f == nil:
		return nil, 0, mesh.Errorf(mesh.NotFound, "the program is not on record")
	case !f.is(sent):
		return nil, 0, ErrTaken
	}
	return f.outcome, f.height, nil
}

// Recorded is what Snapshot.Recorded says of the newest state.
func (db *DB) Recorded(height uint64) (*Record, error) {
	s, err := db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Recorded(height)
}

// write puts a block on record, and forgets what is older than keepFor or beyond the bytes to keep.
func (b *Block) write() error {
	c, s := b.db.writer, b.at
	for i, e := range b.entries {
		var ofHeight, ofIndex, outcome any
		if e.again {
			ofHeight, ofIndex = int64(e.ofHeight), int64(e.ofIndex)
		} else {
			w := wire.Encode(e.outcome)
			s.kept += int64(len(w))
			outcome = w
		}
		if _, err := c.query("INSERT INTO main._stratos_outcome VALUES(?,?,?,?,?,?,?)", int64(s.height), int64(i), append(e.plan.p.ID[:len(e.plan.p.ID):len(e.plan.p.ID)], e.plan.p.Sent[:]...), e.digest[:], ofHeight, ofIndex, outcome); err != nil {
			return err
		}
	}
	if _, err := c.query("INSERT INTO main._stratos_block VALUES(?,?,?)", int64(s.height), s.timeMs, s.digest[:]); err != nil {
		return err
	}
	old, err := c.query("SELECT max(height) FROM main._stratos_block WHERE height<? AND time_ms<?", int64(s.height), s.timeMs-keepFor.Milliseconds())
	if err != nil {
		return err
	}
	if last, ok := old[0][0].(int64); ok {
		gone, err := c.query("SELECT total(length(outcome)) FROM main._stratos_outcome WHERE height<=?", last)
		if err != nil {
			return err
		}
		n, _ := gone[0][0].(float64)
		s.kept -= int64(n)
		for _, sql := range []string{"DELETE FROM main._stratos_outcome WHERE height<=?", "DELETE FROM main._stratos_block WHERE height<=?"} {
			if _, err := c.query(sql, last); err != nil {
				return err
			}
		}
	}
	for s.kept > int64(b.db.opts.Limits.RecordBytes) {
		rows, err := c.query("SELECT height, idx, length(outcome) FROM main._stratos_outcome WHERE outcome IS NOT NULL AND height<? ORDER BY height, idx LIMIT 1", int64(s.height))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		if _, err := c.query("UPDATE main._stratos_outcome SET outcome=NULL WHERE height=? AND idx=?", rows[0][0], rows[0][1]); err != nil {
			return err
		}
		n, _ := rows[0][2].(int64)
		s.kept -= n
	}
	_, err = c.query("UPDATE main._stratos_state SET height=?, time_ms=?, digest=?, kept=? WHERE id=1", int64(s.height), s.timeMs, s.digest[:], s.kept)
	b.at.kept = s.kept
	return err
}

func clone(o *wirepb.Outcome) *wirepb.Outcome { return proto.Clone(o).(*wirepb.Outcome) }

// recordIsWhole checks outcomes against their digests, and what the state says of them.
func recordIsWhole(c *conn) error {
	if rows, err := c.query("SELECT name, sql FROM main.sqlite_schema WHERE name GLOB '_stratos_*' ORDER BY rowid"); err != nil {
		return err
	} else if len(rows) != len(ownTables)-3 {
		return corrupt("other tables than its own")
	} else {
		i := 0
		for _, sql := range ownTables {
			if sql[:6] == "CREATE" {
				if rows[i][1] != sql {
					return corrupt("a table that is not as it should be")
				}
				i++
			}
		}
	}
	kept := int64(0)
	var last [2]any
	for {
		sql, args := "SELECT height, idx, digest, outcome FROM main._stratos_outcome WHERE outcome IS NOT NULL ORDER BY height, idx LIMIT 1", []any(nil)
		if last[0] != nil {
			sql, args = "SELECT height, idx, digest, outcome FROM main._stratos_outcome WHERE outcome IS NOT NULL AND (height, idx) > (?, ?) ORDER BY height, idx LIMIT 1", last[:]
		}
		rows, err := c.query(sql, args...)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		d, ok0 := rows[0][2].([]byte)
		b, ok1 := rows[0][3].([]byte)
		if !ok0 || !ok1 || len(d) != 32 {
			return corrupt("a program that cannot be")
		}
		if _, err := decodeOutcome(b, [32]byte(d)); err != nil {
			return err
		}
		kept += int64(len(b))
		last = [2]any{rows[0][0], rows[0][1]}
	}
	s, err := readState(c)
	if err == nil && s.kept != kept {
		err = corrupt("another size than the state says")
	}
	return err
}
