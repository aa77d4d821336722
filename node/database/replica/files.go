package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/database"
)

// files are the engine files of a cell's databases, in one folder, each opened when it is first needed.
type files struct {
	dir  string
	opts engine.Options

	mu    sync.Mutex
	there map[mesh.DatabaseID]string // and was not dropped: its dialect
	open  map[mesh.DatabaseID]*file
}

func newFiles(dir string, opts engine.Options) *files {
	return &files{dir: dir, opts: opts, there: map[mesh.DatabaseID]string{}, open: map[mesh.DatabaseID]*file{}}
}

// add says that there is a database.
func (f *files) add(id mesh.DatabaseID, dialect string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there[id] = dialect
}

// dialectOptions are o for a database's dialect.
func dialectOptions(o engine.Options, dialect string) engine.Options {
	if dialect == database.Postgres {
		o.Dialect = postgres.New
	}
	return o
}

// A file counts who uses it, so that it is closed and removed after the last.
type file struct {
	*engine.DB
	users   int
	dropped bool
}

func (f *files) path(id mesh.DatabaseID) string { return filepath.Join(f.dir, id.String()+".db") }

// use returns the file of a database that is there, which it makes the first time. Give it back with done. NotFound: it was dropped.
func (f *files) use(id mesh.DatabaseID) (*file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dialect, there := f.there[id]
	if !there {
		return nil, mesh.Errorf(mesh.NotFound, "there is no such database in this cell")
	}
	db := f.open[id]
	if db == nil {
		e, err := engine.Open(f.path(id), dialectOptions(f.opts, dialect))
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", id, err)
		}
		db = &file{DB: e}
		f.open[id] = db
	}
	db.users++
	return db, nil
}

func (f *files) done(id mesh.DatabaseID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	db := f.open[id]
	db.users--
	if db.dropped && db.users == 0 {
		return f.remove(id, db)
	}
	return nil
}

// closeUnused closes readers that nobody used for a time; see engine.DB.CloseUnused.
func (f *files) closeUnused() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for id, db := range f.open {
		if err := db.CloseUnused(); err != nil {
			errs = append(errs, fmt.Errorf("database %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// drop removes a database's file, as soon as nobody uses it.
func (f *files) drop(id mesh.DatabaseID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.there, id)
	db := f.open[id]
	if db != nil {
		if db.dropped = true; db.users > 0 {
			return nil
		}
	}
	return f.remove(id, db)
}

func (f *files) remove(id mesh.DatabaseID, db *file) error {
	var errs []error
	if db != nil {
		errs = append(errs, db.Close())
		delete(f.open, id)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(f.path(id) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing database %s: %w", id, err))
		}
	}
	return errors.Join(append(errs, atomicfile.SyncDir(f.dir))...)
}

// tidy removes what a process that was killed left, and files of databases that are not there any more.
func (f *files) tidy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("reading the cell's databases: %w", err)
	}
	for _, n := range names {
		text, rest, _ := strings.Cut(n.Name(), ".")
		var id mesh.DatabaseID
		if err := id.UnmarshalText([]byte(text)); err == nil && f.there[id] != "" && (rest == "db" || rest == "db-wal" || rest == "db-shm" || rest == "db-journal") {
			continue
		}
		if err := os.Remove(filepath.Join(f.dir, n.Name())); err != nil {
			return fmt.Errorf("tidying the cell's databases: %w", err)
		}
	}
	return nil
}

// close closes all files; nobody uses them any more.
func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for id, db := range f.open {
		if err := db.Close(); err != nil {
			errs = append(errs, fmt.Errorf("database %s: %w", id, err))
		}
	}
	clear(f.open)
	return errors.Join(errs...)
}
