// Package engine runs SQL on one SQLite file so that every replica that is given the same blocks gets byte-equal results,
// digests and gas. It knows no network, no keys and no envelopes; package replica calls it, one DB for each database.
//
// A block is one transaction on the file, a program a savepoint in it. What fails of a program is an Outcome, the same
// everywhere; what fails of the file, the disk or the machine is an error, after which the DB has stopped: another
// replica may not have it. How it is that nothing else can differ stands in node/database/DESIGN.md.
//
// Programs must run on the same version of SQLite, which go.mod pins, compiled without fused operations: on arm64 with
// CGO_CFLAGS=-ffp-contract=off. While the engine is linked in, no SQLite in this process knows the local time zone.
//
// A third of the package is C, below Go because SQLite calls it for each row; types of C do not cross packages, so that
// it is one package of more than 3,000 lines.
package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// The file says in its header what it is: an application id, and the version of the engine's own tables.
// Version history: 1, the first.
const (
	applicationID = 0x53744442 // "StDB"
	version       = 1
	pageBytes     = 4096
)

// A DB is one database. Blocks and views take turns; snapshots may be had at any time. Close it.
type DB struct {
	path string
	opts Options

	views  chan struct{} // holds one token: at most one view waits for the turn, so that a block waits for no other
	turn   chan struct{} // holds one token: whose it is has the writer
	writer *conn

	mu     sync.Mutex
	yield  func() // ends the view that has the turn; nil: there is none
	at     state
	broken error
	idle   []*conn // readers; those that are pinned are so at the newest height
	open   int     // snapshots
	closed bool
	// committing: a block is about to be the newest height; no reader is kept where it is.
	committing bool
}

// state is what a height left.
type state struct {
	height uint64
	timeMs int64
	digest [32]byte
	kept   int64 // bytes of outcomes on record
}

// Open opens the database at path, or makes it. Errors: Corrupt, Invalid when it is of a later version.
func Open(path string, opts Options) (*DB, error) {
	o := opts.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	_, err := os.Stat(path)
	made := errors.Is(err, os.ErrNotExist)
	c, err := openConn(path, o, true)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path, opts: o, writer: c, turn: make(chan struct{}, 1), views: make(chan struct{}, 1)}
	if err := db.prepare(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if made {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	db.turn <- struct{}{}
	db.views <- struct{}{}
	return db, nil
}

// pragmas of every connection.
func (c *conn) pragmas(o Options) error {
	for _, p := range []string{"cell_size_check=ON", "synchronous=FULL", "cache_size=-" + strconv.Itoa(max(o.CacheBytes>>10, 1)),
		"mmap_size=" + strconv.Itoa(o.MapBytes), "journal_size_limit=" + strconv.Itoa(64<<20), "recursive_triggers=OFF"} {
		if err := c.exec("PRAGMA " + p); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) prepare() error {
	c := db.writer
	head, err := c.query("SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)")
	if err != nil {
		return err
	}
	app, ver, objects := head[0][0].(int64), head[0][1].(int64), head[0][2].(int64)
	switch {
	case app == 0 && ver == 0 && objects == 0:
		if err := create(c); err != nil {
			return err
		}
	case app != applicationID:
		return mesh.Errorf(mesh.Corrupt, "%s is not a database of Stratos", filepath.Base(db.path))
	case ver > version:
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s has format %d, this program knows up to %d", filepath.Base(db.path), ver, version), "run a newer release")
	case ver != version:
		return mesh.Errorf(mesh.Corrupt, "%s has format %d", filepath.Base(db.path), ver)
	}
	if err := c.pragmas(db.opts); err != nil {
		return err
	}
	db.at, err = readState(c)
	return err
}

func create(c *conn) error {
	for _, sql := range append([]string{"PRAGMA page_size=" + strconv.Itoa(pageBytes), "PRAGMA encoding='UTF-8'", "PRAGMA auto_vacuum=NONE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
		"BEGIN IMMEDIATE"}, ownTables...) {
		if err := c.exec(sql); err != nil {
			return err
		}
	}
	return c.exec("COMMIT")
}

// Close closes the database; snapshots must be closed and blocks ended before. It may be called more than once.
func (db *DB) Close() error {
	<-db.turn
	defer func() { db.turn <- struct{}{} }()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	if db.open > 0 {
		return mesh.Errorf(mesh.Internal, "a database is closed with %d open snapshots", db.open)
	}
	db.closed = true
	var errs []error
	for _, c := range db.idle {
		errs = append(errs, c.close())
	}
	db.idle = nil
	return errors.Join(append(errs, db.writer.close())...)
}

// Height is the height of the newest committed block, 0 before the first.
func (db *DB) Height() uint64 { return db.state().height }

// Digest is the rolling digest after the newest committed block; zeros before the first.
func (db *DB) Digest() [32]byte { return db.state().digest }

func (db *DB) state() state {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.at
}

// ready tells why the database cannot be used, nil when it can.
func (db *DB) ready() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return mesh.Errorf(mesh.Unavailable, "the database is closed")
	}
	if db.broken != nil {
		return stopped(db.broken)
	}
	return nil
}

// fail stops the database for good.
func (db *DB) fail(err error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.broken == nil {
		db.broken = err
	}
	return err
}

// Err is what stopped the database, nil while it works.
func (db *DB) Err() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.broken
}

// execute runs a program on c to its outcome, through as many tiers as it needs. The caller holds a transaction; lost is
// called when SQLite had to give it up, and makes another that is as it was before the program.
func execute(c *conn, pl *plan, cancelled func() bool, lost func() error) (o *wirepb.Outcome, last *attempt, err error) {
	if pl.code != "" {
		return pl.outcome(nil, 0), nil, nil
	}
	spent := uint64(0)
	for tier := pl.tier; ; tier++ {
		a := &attempt{conn: c, plan: pl, tier: tier, limit: pl.p.GasLimit - spent}
		if err := c.exec("SAVEPOINT program"); err != nil {
			return nil, nil, err
		}
		if err := a.run(cancelled, false); err != nil {
			return nil, nil, err
		}
		if err := settle(c, a, lost); err != nil {
			return nil, nil, err
		}
		if !a.tooBig || tier+1 == len(tiers) || c.outside() {
			return pl.outcome(a, spent), a, nil
		}
		spent += a.gas
	}
}

// settle keeps what a program did, or undoes it.
func settle(c *conn, a *attempt, lost func() error) error {
	defer func() {
		if a.code != "" && a.before != nil {
			c.flush()
		}
	}()
	if c.outside() {
		// SQLite undoes the whole transaction when it ends a statement that writes for want of gas or of pages.
		c.flush()
		if a.code == "" {
			return mesh.Errorf(mesh.Internal, "a program ended its block's transaction")
		}
		return lost()
	}
	if a.code != "" {
		if err := c.exec("ROLLBACK TO program"); err != nil {
			return err
		}
	}
	return c.exec("RELEASE program")
}

func never() bool { return false }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing a folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing a folder: %w", err)
	}
	return nil
}
