package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/backup"
)

func newDatabaseBackupCommand(e *env) *cobra.Command {
	var script bool
	cmd := &cobra.Command{
		Use:   "backup NAME FILE|stratos://BUCKET/KEY",
		Short: "Back a database up, with the proof of what it held",
		Long: `Has the database's cell copy it at its next checkpoint, which takes up to a minute, and writes the copy to a file or an object. 2f+1
replicas have signed what it holds; that it holds this is computed here before the file is there, with as much room beside it as the
database takes. A replica that sends anything else is named, and another is asked. The database pays for it, about what its bytes cost as traffic.

With --sql a text is written instead, as pg_dump or sqlite3's .dump write it, for PostgreSQL or SQLite; "-" is standard output.`,
		Example: `  stratos db backup shop shop.stdk
  stratos db backup shop stratos://backups/shop/2026-02-01
  stratos db backup shop - --sql | psql`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error { return e.backup(cmd.Context(), c, args[0], args[1], script) })
		},
	}
	cmd.Flags().BoolVar(&script, "sql", false, "write SQL, without the proof")
	return cmd
}

// A backupView is a backup as commands show it.
type backupView struct {
	Name      string          `json:"name"`
	Database  mesh.DatabaseID `json:"database"`
	Owner     mesh.Account    `json:"owner"`
	Dialect   string          `json:"dialect"`
	Cell      mesh.CellID     `json:"cell"`
	Version   uint32          `json:"version"` // of its members
	Signed    int             `json:"signed"`  // members that have
	Members   int             `json:"members"`
	LogHeight int64           `json:"log_height"` // of the checkpoint
	Time      string          `json:"time"`
	Height    int64           `json:"height"` // of the newest block that touched the database
	Tables    int             `json:"tables"`
	Rows      uint64          `json:"rows"`
	Online    bool            `json:"online,omitempty"` // the network's log was asked, too
	To        string          `json:"to,omitempty"`
}

func viewBackup(ctx context.Context, f *backup.File) (v backupView, err error) {
	s, err := f.Sums(ctx)
	if err != nil {
		return v, err
	}
	return backupView{Name: f.Head.Name, Database: mesh.DatabaseID(f.Head.Database), Owner: mesh.Account(f.Head.Owner), Dialect: f.Head.Dialect, Cell: mesh.CellID(f.Head.Cell), Version: f.Head.Version,
		Signed: len(f.Head.Certificate.Checkpoints), Members: len(f.Head.Members), LogHeight: f.Checkpoint.Height, Time: time.UnixMilli(f.Checkpoint.TimeMs).UTC().Format(time.RFC3339),
		Height: f.Database.Height, Tables: s.Made, Rows: s.Rows()}, nil
}

func (v backupView) write(w io.Writer) {
	fmt.Fprintf(w, "database  %s, %s, dialect %s\nowner     %s\ncell      %s, version %d: %d of %d members have signed\n", v.Name, v.Database, v.Dialect, v.Owner, v.Cell, v.Version, v.Signed, v.Members)
	fmt.Fprintf(w, "as of     %s, height %d of the log, %d of the database\nholds     %s in %s\n", v.Time, v.LogHeight, v.Height, count(v.Rows, "row"), count(uint64(v.Tables), "table"))
}

// workFolder is where a file is made that is to be at a path; "" for one that is to go elsewhere: to standard output, which is "-" or
// nothing, into an object or a device.
func workFolder(to string) (string, error) {
	if to == "" || to == "-" || mesh.IsPath(to) {
		return "", nil
	}
	file, err := atomicfile.Resolve(to)
	if err != nil || file.Streams() {
		return "", writing(to, err)
	}
	return filepath.Dir(file.Path()), nil
}

// inFolder calls f with a folder of its own in another, because it takes as much room as what lies there; "" is one for what passes.
func inFolder(parent string, f func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(parent, ".stratos-backup-*")
	if err != nil {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "there can be no folder to work in: %w", err), "name a file in a folder that is there and may be written to")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return f(dir)
}

// fetchBackup takes a backup into a folder, verifies it, and calls f with it and its file's name.
func (e *env) fetchBackup(ctx context.Context, db *database.DB, dir string, f func(b *backup.File, path string) error) (err error) {
	path := filepath.Join(dir, "copy")
	var opened *backup.File
	defer func() {
		if opened != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	p := newTransferProgress(e, []transferFile{{}})
	defer p.close()
	_, err = db.Backup(ctx, func(r io.Reader) (err error) {
		if opened != nil { // a copy that was whole, and came with more than that
			if err := opened.Close(); err != nil {
				return err
			}
			opened = nil
		}
		files := filepath.Join(dir, "files")
		if err := errors.Join(os.RemoveAll(files), os.Mkdir(files, 0o700)); err != nil {
			return mesh.Errorf(mesh.Internal, "a folder to work in: %w", err)
		}
		out, err := os.Create(path)
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "writing the backup: %w", err)
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		if opened, err = backup.Open(ctx, files, io.TeeReader(r, io.MultiWriter(out, counting(p.add)))); err != nil {
			return err
		}
		return out.Sync()
	}, database.BackupOptions{Say: func(what string) { e.say("waiting: %s", what) }})
	p.close()
	if err != nil {
		return err
	}
	return f(opened, path)
}

// backup looks at what can be known of the target before it has the cell copy the database, which is paid for.
func (e *env) backup(ctx context.Context, c *client.Client, name, to string, script bool) error {
	if to == "-" && !script {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a backup goes into a file or an object"), "SQL goes to standard output: --sql")
	}
	parent, err := workFolder(to)
	if err != nil {
		return err
	}
	if mesh.IsPath(to) {
		p, err := objectPath(to)
		if err != nil {
			return err
		}
		if _, err := c.Bucket(ctx, p.Bucket); err != nil && mesh.KindOf(err) == mesh.NotFound { // other errors may be of a grant that may write all the same
			return err
		}
	}
	db, err := c.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return err
	}
	return inFolder(parent, func(dir string) error {
		return e.fetchBackup(ctx, db, dir, func(b *backup.File, path string) error {
			v, err := viewBackup(ctx, b)
			if err != nil {
				return err
			}
			v.To = to
			if script {
				comment := fmt.Sprintf("Database %s of dialect %s, as it was at %s", v.Name, v.Dialect, v.Time)
				if to == "-" {
					return b.Script(ctx, e.stdout, comment)
				}
				sql := filepath.Join(dir, "sql")
				if err := intoFile(sql, func(w io.Writer) error { return b.Script(ctx, w, comment) }); err != nil {
					return err
				}
				path = sql
			}
			if err := keepFile(ctx, c, path, to); err != nil {
				return err
			}
			return e.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "backed up %s as it was at %s to %s: %s\n", v.Name, v.Time, to, count(v.Rows, "row"))
				if !script {
					fmt.Fprintf(w, "look at it with: stratos db verify %s\n", to)
				}
			})
		})
	})
}

// keepFile puts a file where it belongs: under another name in the same file system, into a device, or into an object.
func keepFile(ctx context.Context, c *client.Client, path, to string) error {
	if !mesh.IsPath(to) {
		file, err := atomicfile.Resolve(to)
		if err == nil {
			err = file.Take(path)
		}
		return writing(to, err)
	}
	p, err := objectPath(to)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return mesh.Errorf(mesh.Internal, "the backup that was written: %w", err)
	}
	defer f.Close() // it was only read
	_, err = c.Put(ctx, p, f, client.PutOptions{})
	return err
}

func newDatabaseVerifyCommand(e *env) *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "verify FILE|stratos://BUCKET/KEY",
		Short: "Verify a backup, and show what it holds",
		Long: `Verifies that 2f+1 members of a cell have signed the backup's certificate, and computes whether the database is what they have signed.
With --online the network's log is asked, too, whether the account's database of that name is this one, and its cell has these members;
without, a file that somebody has made with members of his own shows only by other names.`,
		Example: "  stratos db verify shop.stdk\n  stratos db verify stratos://backups/shop/2026-02-01 --online",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show := func(c *client.Client) error {
				return e.openBackup(cmd.Context(), c, args[0], func(f *backup.File) error {
					v, err := viewBackup(cmd.Context(), f)
					if err != nil {
						return err
					}
					if online {
						if err := checkOnline(cmd.Context(), c, f); err != nil {
							return err
						}
						v.Online = true
					}
					return e.print(v, func(w io.Writer) {
						v.write(w)
						if online {
							fmt.Fprintln(w, "\nIt is whole, and its members are those of the network's log.")
						} else {
							fmt.Fprintln(w, "\nIt is whole, and what the members named in it have signed; whether they are the cell's, --online tells.")
						}
					})
				})
			}
			if !online && !mesh.IsPath(args[0]) {
				return show(nil)
			}
			return e.withClient(cmd.Context(), show)
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "ask the network's log, too")
	return cmd
}

// openBackup verifies a backup in a file or an object, and calls f with it.
func (e *env) openBackup(ctx context.Context, c *client.Client, from string, f func(*backup.File) error) error {
	var in io.ReadCloser
	var size uint64
	parent := ""
	if mesh.IsPath(from) {
		p, err := objectPath(from)
		if err != nil {
			return err
		}
		o, err := c.Stat(ctx, p)
		if err != nil {
			return err
		}
		if in, err = c.Open(ctx, o, 0, o.Size); err != nil {
			return err
		}
		size = o.Size
	} else {
		file, err := os.Open(from)
		if err != nil {
			return mesh.Errorf(mesh.NotFound, "the backup: %w", err)
		}
		in = file
		if s, err := file.Stat(); err == nil && s.IsDir() {
			return errors.Join(mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is a folder", from), "name the file of a backup in it"), file.Close())
		}
		if s, err := file.Stat(); err == nil && s.Mode().IsRegular() {
			size, parent = uint64(s.Size()), filepath.Dir(from)
		}
	}
	defer in.Close() // it is only read
	return inFolder(parent, func(dir string) (err error) {
		p := newTransferProgress(e, []transferFile{{size: int64(size)}})
		b, err := backup.Open(ctx, dir, io.TeeReader(in, counting(p.add)))
		if p.close(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		return f(b)
	})
}

// checkOnline looks whether the network's log says the same of the database and its cell as a backup's head.
func checkOnline(ctx context.Context, c *client.Client, f *backup.File) error {
	d, err := c.Database(ctx, f.Head.Name)
	if err != nil {
		return err
	}
	if !bytes.Equal(d.ID[:], f.Head.Database) || !bytes.Equal(d.Owner[:], f.Head.Owner) || d.Dialect != f.Head.Dialect {
		return mesh.Errorf(mesh.Denied, "the account's database %s is another than that of the backup", d.Name)
	}
	db, err := c.OpenDatabase(ctx, d.Name, database.Options{})
	if err != nil {
		return err
	}
	cell, keys := db.Cell(), map[mesh.PublicKey]bool{}
	for _, m := range cell.Members {
		keys[m.Key] = true
	}
	same := bytes.Equal(cell.ID[:], f.Head.Cell) && cell.Version == f.Head.Version && len(keys) == len(f.Members())
	for _, k := range f.Members() {
		same = same && keys[k]
	}
	if !same {
		return mesh.WithHint(mesh.Errorf(mesh.Denied, "the members that signed the backup are not those that the cell of database %s has now", d.Name), "a cell's members change with its version; ask the authorities of that time")
	}
	return nil
}
