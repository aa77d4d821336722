package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/backup"
	"github.com/stratosmesh/stratos/node/database/dump"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// What is restored with one program. Rows are fewer where they take more gas.
const (
	restoreStatements = 100
	restoreRows       = 5000
	restoreBytes      = 2 << 20
)

func newDatabaseRestoreCommand(e *env) *cobra.Command {
	var compare bool
	cmd := &cobra.Command{
		Use:   "restore NAME FILE|stratos://BUCKET/KEY",
		Short: "Make a database of a backup",
		Long: `Verifies a backup, and puts what it holds into database NAME, which is made if there is none, and must be empty: definitions, rows some
thousand at a time, and how far sequences are. Then that database is backed up, and the two are compared, every table by the number and
the digest of its rows, and the definitions.

What an interrupted restoration leaves is a part: drop the database, and restore again.`,
		Example: "  stratos db restore shop2 shop.stdk\n  stratos db restore shop stratos://backups/shop/2026-02-01",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				return e.openBackup(cmd.Context(), c, args[1], func(f *backup.File) error { return e.restore(cmd.Context(), c, args[0], f, compare) })
			})
		},
	}
	cmd.Flags().BoolVar(&compare, "compare", true, "back the new database up, and compare")
	return cmd
}

func (e *env) restore(ctx context.Context, c *client.Client, name string, f *backup.File, compare bool) error {
	db, err := e.emptyDatabase(ctx, c, name, f.Head.Dialect)
	if err != nil {
		return err
	}
	again := fmt.Sprintf("a part of it is there: drop it with stratos db drop %s, and restore again", name)
	e.interrupted = again
	notes, err := e.load(ctx, db, f)
	if err != nil {
		return mesh.WithHint(fmt.Errorf("restoring %s: %w", name, err), "%s", again)
	}
	e.interrupted = "the database is restored, and was not compared"
	for _, n := range notes {
		e.say("%s", n)
	}
	sums, err := f.Sums(ctx)
	if err != nil {
		return err
	}
	if compare {
		err = inFolder("", func(dir string) error {
			return e.fetchBackup(ctx, db, dir, func(b *backup.File, _ string) error {
				now, err := b.Sums(ctx)
				if err != nil {
					return err
				}
				if diff := sums.Differences(now); len(diff) > 0 {
					for i, n := range diff {
						if n == "" {
							diff[i] = "definitions"
						}
					}
					return mesh.WithHint(mesh.Errorf(mesh.Conflict, "database %s is not what the backup holds: %s", name, strings.Join(diff, ", ")), "was it written to meanwhile? else %s", again)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	v := map[string]any{"name": name, "rows": sums.Rows(), "tables": sums.Made, "compared": compare, "notes": append([]string{}, notes...)}
	return e.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "restored %s in %s to database %s", count(sums.Rows(), "row"), count(sums.Made, "table"), name)
		if compare {
			fmt.Fprint(w, ", which holds what the backup does")
		}
		fmt.Fprintln(w)
	})
}

// emptyDatabase opens a database that has nothing in it, or makes it.
func (e *env) emptyDatabase(ctx context.Context, c *client.Client, name, dialect string) (*database.DB, error) {
	d, err := c.Database(ctx, name)
	if mesh.KindOf(err) == mesh.NotFound && err != nil {
		e.interrupted = "the database may be made already; see: stratos db list"
		if err := c.CreateDatabase(ctx, name, client.DatabaseOptions{Dialect: dialect}); err != nil {
			return nil, err
		}
		if err := e.awaitDatabase(ctx, c, name); err != nil {
			return nil, err
		}
		e.revokeAgain(ctx, c)
		return c.OpenDatabase(ctx, name, database.Options{})
	}
	if err != nil {
		return nil, err
	}
	if d.Dialect != dialect {
		return nil, mesh.Errorf(mesh.Invalid, "database %s is of dialect %s, the backup of %s", name, d.Dialect, dialect)
	}
	db, err := c.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return nil, err
	}
	sql := "SELECT count(*) FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*' AND name NOT GLOB '_stratos_*'"
	if dialect == wiredatabase.Postgres {
		sql = `SELECT (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema'))
			+ (SELECT count(*) FROM pg_catalog.pg_namespace n WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'public'))
			+ (SELECT count(*) FROM pg_catalog.pg_roles r WHERE r.oid >= 16384)`
	}
	o, err := db.Query(ctx, database.Default, database.SQL(sql))
	if err != nil {
		return nil, err
	}
	if n, _ := o.Results[0].Rows[0][0].(int64); n != 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "database %s is not empty", name), "restore under another name, or drop it first")
	}
	return db, nil
}

// load puts what a backup holds into a database.
func (e *env) load(ctx context.Context, db *database.DB, f *backup.File) (notes []string, err error) {
	p := newTransferProgress(e, []transferFile{{}})
	defer p.close()
	l := &restorer{}
	if db.Dialect() == wiredatabase.Postgres {
		s, err := openPostgres(ctx, db)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		l.run = func(ctx context.Context, all []string) error {
			return sqlError(s.conn.Exec(ctx, strings.Join(all, ";\n")).Close())
		}
		l.rows = func(ctx context.Context, t *dump.Table, rows [][]any) error {
			var b bytes.Buffer
			for _, r := range rows {
				b.Write(dump.AppendCopy(nil, r))
			}
			p.add(b.Len())
			_, err := s.conn.CopyFrom(ctx, &b, t.CopyStatement())
			return sqlError(err)
		}
	} else {
		l.run = func(ctx context.Context, all []string) error {
			var program database.Program
			for _, sql := range all {
				program.Statements = append(program.Statements, database.SQL(sql))
			}
			_, err := db.Exec(ctx, program)
			return err
		}
		l.rows = func(ctx context.Context, t *dump.Table, rows [][]any) error {
			_, err := db.Exec(ctx, insertion(t, rows))
			p.add(sizeOfRows(rows))
			return err
		}
	}
	if notes, err = f.Dump(ctx, dump.Load, l); err != nil {
		return nil, err
	}
	return notes, l.flush(ctx)
}

// insertion inserts rows, as many with a statement as it may have parameters.
func insertion(t *dump.Table, rows [][]any) (p database.Program) {
	width := len(t.Columns)
	for len(rows) > 0 {
		n := min(len(rows), max(1, maxParameters/width))
		row := "(?" + strings.Repeat(", ?", width-1) + ")"
		s := database.SQL("INSERT INTO " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") VALUES " + row + strings.Repeat(", "+row, n-1))
		for _, r := range rows[:n] {
			s.Parameters = append(s.Parameters, r...)
		}
		p.Statements, rows = append(p.Statements, s), rows[n:]
	}
	return p
}

func sizeOfRows(rows [][]any) (n int) {
	for _, r := range rows {
		n += sizeOfRow(r)
	}
	return n
}

func sizeOfRow(row []any) (n int) {
	for _, v := range row {
		n += 8
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

// A restorer is a sink that makes programs of what it gets.
type restorer struct {
	run  func(ctx context.Context, statements []string) error         // all or none
	rows func(ctx context.Context, t *dump.Table, rows [][]any) error // too

	statements []string
	table      *dump.Table
	waiting    [][]any
	size       int // of what waits
}

// Statement runs with those beside it.
func (l *restorer) Statement(ctx context.Context, sql string) error {
	if len(l.waiting) > 0 || len(l.statements) == restoreStatements || l.size+len(sql) > restoreBytes/8 {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.statements, l.size = append(l.statements, sql), l.size+len(sql)
	return nil
}

// Row goes with those of its table beside it.
func (l *restorer) Row(ctx context.Context, t *dump.Table, row []any) error {
	size := sizeOfRow(row)
	if len(l.statements) > 0 || t != l.table || len(l.waiting) == restoreRows || l.size+size > restoreBytes {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.table, l.waiting, l.size = t, append(l.waiting, row), l.size+size
	return nil
}

func (l *restorer) flush(ctx context.Context) error {
	statements, rows := l.statements, l.waiting
	l.statements, l.waiting, l.size = nil, nil, 0
	if len(statements) > 0 {
		return l.run(ctx, statements)
	}
	return l.insert(ctx, rows)
}

// insert divides rows that take too much gas together.
func (l *restorer) insert(ctx context.Context, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	err := l.rows(ctx, l.table, rows)
	var failed *database.Error
	if errors.As(err, &failed) && failed.Code == wiredatabase.CodeNoGas && len(rows) > 1 {
		if err := l.insert(ctx, rows[:len(rows)/2]); err != nil {
			return err
		}
		return l.insert(ctx, rows[len(rows)/2:])
	}
	if err != nil {
		return fmt.Errorf("rows of table %s: %w", l.table.Name, err)
	}
	return nil
}
