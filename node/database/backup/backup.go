// Package backup opens a backup of a database on its owner's machine, so that nothing in it need be believed: 2f+1 members of its cell
// have signed what the database holds, and the engine computes whether it does. It is not what a cell's replicas copy for each other, and
// knows no network. The format stands in protocol/database; the command line calls this package.
package backup

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/dump"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/node/database/postgres"
	"github.com/stratosmesh/stratos/protocol/database"
)

// A File is a backup that was verified. Close it.
type File struct {
	*database.Backup
	db       *engine.DB
	snapshot *engine.Snapshot
	close    func() error
}

// fileName is how the database is called in the folder that Open is given.
const fileName = "backup.db"

// Open reads a backup to its end, and verifies all of it. The database lies in dir meanwhile, in which there is nothing else, and takes
// there what it takes in the cell. Errors: Invalid when it is no backup; Corrupt when it is damaged, or not what its cell has certified;
// errors of r.
func Open(ctx context.Context, dir string, r io.Reader) (f *File, err error) {
	b, err := database.ReadBackupHead(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	opts := engine.Options{Dialect: postgres.New} // what its indexes need harms no other file
	d := b.Database
	want := engine.Mark{Height: uint64(d.Height), Digest: [32]byte(d.Digest), Content: [32]byte(d.Content)}
	if err := engine.Import(ctx, path, r, want, opts); mesh.KindOf(err) == mesh.Invalid && err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the backup's database: %w", err)
	} else if err != nil {
		return nil, err
	}
	db, err := engine.Open(path, opts)
	if err != nil {
		return nil, err
	}
	s, err := db.Snapshot()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	f = &File{Backup: b, db: db, snapshot: s}
	f.close = sync.OnceValue(func() error { return errors.Join(s.Close(), db.Close()) })
	if err := f.checkDialect(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkDialect looks whether the head can be right: the certificate does not have the dialect.
func (f *File) checkDialect(ctx context.Context) error {
	if f.Head.Dialect != database.Postgres {
		return nil
	}
	tables, catalog := 0, false
	err := f.snapshot.Read(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT GLOB '_stratos_*'", func(row []any) error {
		tables++
		catalog = catalog || row[0] == "pg_object"
		return nil
	})
	if err == nil && tables > 0 && !catalog {
		err = mesh.Errorf(mesh.Corrupt, "the backup's head says dialect %s, which its database is not of", f.Head.Dialect)
	}
	return err
}

// Dump gives all that the database holds to a sink. Notes say what a form cannot tell.
func (f *File) Dump(ctx context.Context, form dump.Form, to dump.Sink) (notes []string, err error) {
	if f.Head.Dialect == database.Postgres {
		return nil, postgres.Dump(ctx, f.snapshot, form, to)
	}
	return dump.SQLite(ctx, f.snapshot, form, to)
}

// Sums tell what it holds, to be compared.
func (f *File) Sums(ctx context.Context) (*dump.Sums, error) {
	s := dump.NewSums()
	_, err := f.Dump(ctx, dump.Text, dump.Schema{Sink: s})
	return s, err
}

// Script writes it as a text, for PostgreSQL or SQLite.
func (f *File) Script(ctx context.Context, w io.Writer, comments ...string) error {
	s := dump.NewScript(w, f.Head.Dialect == database.Postgres)
	for _, c := range comments {
		s.Comment(c)
	}
	if f.Head.Dialect == database.Postgres {
		if err := s.Statement(ctx, "SET client_encoding = 'UTF8'"); err != nil {
			return err
		}
	}
	_, err := f.Dump(ctx, dump.Text, s)
	return errors.Join(err, s.Close())
}

// Close closes the database, and leaves it where it lies. It may be called more than once.
func (f *File) Close() error { return f.close() }
