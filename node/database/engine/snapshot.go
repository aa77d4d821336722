package engine

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Snapshot is the database at one height, whatever is committed later. It keeps the file from being tidied up: close it soon. Its
// connection stays at that height for the next snapshot, until a block is committed. It may be used by many goroutines, one after the
// other.
type Snapshot struct {
	db *DB
	at state

	mu   sync.Mutex
	conn *conn // nil after Close
}

// Snapshot takes the newest committed height.
func (db *DB) Snapshot() (*Snapshot, error) {
	if err := db.ready(); err != nil {
		return nil, err
	}
	c, err := db.reader()
	if err != nil {
		return nil, err
	}
	s := &Snapshot{db: db, conn: c}
	if c.pinned == nil {
		at, err := pin(c)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.pinned = &at
	}
	s.at = *c.pinned
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errors.Join(mesh.Errorf(mesh.Unavailable, "the database is closed"), c.close())
	}
	db.open++
	return s, nil
}

// pin begins a transaction that reads, and so sees one height.
func pin(c *conn) (state, error) {
	if err := c.exec("BEGIN"); err != nil {
		return state{}, err
	}
	at, err := readState(c)
	if err != nil {
		return at, err
	}
	v, err := c.query("SELECT schema_version FROM pragma_schema_version")
	if err != nil {
		return at, err
	}
	if now := v[0][0].(int64); now != c.version {
		c.flush()
		c.version = now
	}
	if c.dialect != nil {
		if same, err := c.dialect.Current(c); err != nil {
			return at, err
		} else if !same {
			c.flush()
		}
	}
	return at, nil
}

// reader returns a connection for one snapshot; it may be pinned at the newest height.
func (db *DB) reader() (*conn, error) {
	db.mu.Lock()
	if n := len(db.idle); n > 0 {
		c := db.idle[n-1]
		db.idle = db.idle[:n-1]
		db.mu.Unlock()
		return c, nil
	}
	db.mu.Unlock()
	c, err := openConn(db.path, db.opts, false)
	if err != nil {
		return nil, err
	}
	c.version = -1
	if err = c.pragmas(db.opts); err == nil {
		err = c.exec("PRAGMA query_only=ON")
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// CloseUnused closes the readers that no snapshot had since it was called before: each has a cache of its own.
func (db *DB) CloseUnused() error {
	var unused []*conn
	db.mu.Lock()
	db.idle = slices.DeleteFunc(db.idle, func(c *conn) bool {
		was := c.used
		if c.used = false; !was {
			unused = append(unused, c)
		}
		return !was
	})
	db.mu.Unlock()
	var errs []error
	for _, c := range unused {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// unpin ends the transactions of readers that wait, and keeps them from being kept from now on, so that a commit can tidy up the log
// of the file.
func (db *DB) unpin() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.committing = true
	var errs []error
	for _, c := range db.idle {
		errs = append(errs, c.unpin())
	}
	return errors.Join(errs...)
}

func (c *conn) unpin() error {
	if c.pinned == nil {
		return nil
	}
	c.pinned = nil
	return c.exec("ROLLBACK")
}

// Height is that of the snapshot.
func (s *Snapshot) Height() uint64 { return s.at.height }

// Digest is the rolling digest at the height.
func (s *Snapshot) Digest() [32]byte { return s.at.digest }

// TimeMs is the time of the block at the height.
func (s *Snapshot) TimeMs() int64 { return s.at.timeMs }

// Pages is how many pages of 4 KiB the file has at the height. It never falls, and is the same in an export.
func (s *Snapshot) Pages() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	n, err := s.conn.pages()
	if err != nil {
		return 0, s.db.fail(err)
	}
	return n, nil
}

func (c *conn) pages() (uint64, error) {
	rows, err := c.query("PRAGMA page_count")
	if err != nil {
		return 0, err
	}
	n, _ := rows[0][0].(int64)
	return uint64(n), nil
}

func (s *Snapshot) usable() error {
	if s.conn == nil {
		return mesh.Errorf(mesh.Internal, "the snapshot is closed")
	}
	return nil
}

// Query runs a program that only reads. It ends with code 57014 when ctx does. Time and seed, if the program brings none,
// follow from the height and the program, so that every replica answers the same.
func (s *Snapshot) Query(ctx context.Context, p *Program) (*wirepb.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	pl := planned(p, &s.db.opts.Limits, s.at.timeMs, deriveSeed(s.at.digest[:], s.at.height, 0, p.Digest()))
	pl.height = s.at.height
	if pl.code != "" {
		return pl.outcome(nil, 0), nil
	}
	stop := watch(ctx, s.conn)
	defer stop()
	spent := uint64(0)
	for tier := pl.tier; ; tier++ {
		a := &attempt{conn: s.conn, plan: pl, tier: tier, limit: p.GasLimit - spent}
		if err := a.run(func() bool { return ctx.Err() != nil }, true); err != nil {
			return nil, s.db.fail(err)
		}
		if !a.tooBig || tier+1 == len(tiers) {
			return pl.outcome(a, spent), nil
		}
		spent += a.gas
	}
}

// Close gives the snapshot back. It may be called more than once.
func (s *Snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil {
		return nil
	}
	s.conn = nil
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.db.open--
	var err error
	if s.db.committing || s.at.height != s.db.at.height || c.outside() { // else the next snapshot is the same
		err = c.unpin()
	}
	if err == nil && !s.db.closed && len(s.db.idle) < s.db.opts.Readers {
		c.used = true
		s.db.idle = append(s.db.idle, c)
		return nil
	}
	return errors.Join(err, c.close())
}
