package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

func newDatabaseExportCommand(e *env) *cobra.Command {
	var query, format, output, level string
	cmd := &cobra.Command{
		Use:   "export NAME [TABLE]",
		Short: "Write the rows of a table, or of a query, as CSV, JSON or text",
		Long: `Writes rows to standard output, or to a file that is there when it is whole. CSV is as PostgreSQL writes it, so that "stratos db
import" reads the same rows; json is an array of objects, jsonl an object a line, text what PostgreSQL's COPY writes: fields parted by tabs, a row a line.

A table may have any number of rows: it is read in parts, all of the same state of the database, so that one that is written to all
the time is for "stratos db backup". A query only reads, and its result has at most 100,000 rows.`,
		Example: `  stratos db export shop items > items.csv
  stratos db export shop --query 'SELECT name, sum(price) FROM items GROUP BY name' --format jsonl -o sums.jsonl`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := database.ParseLevel(level)
			if err != nil {
				return &usageError{err}
			}
			switch {
			case (len(args) == 2) == (query != ""):
				return &usageError{mesh.Errorf(mesh.Invalid, "either a table or --query says what to write")}
			}
			if format == "" {
				format = "csv"
				if ext := strings.TrimPrefix(filepath.Ext(output), "."); ext == "json" || ext == "jsonl" {
					format = ext
				}
			}
			if !slices.Contains(rowFormats, format) {
				return &usageError{mesh.Errorf(mesh.Invalid, "--format is %q, want %s", format, strings.Join(rowFormats, ", "))}
			}
			parent, err := workFolder(output)
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				var n int
				read := func(w io.Writer) (err error) {
					defer func() { e.sayEvidence(cmd.Context(), db, 0) }()
					p := newTransferProgress(e, []transferFile{{}})
					defer p.close()
					x := &exporter{w: bufio.NewWriter(io.MultiWriter(w, counting(p.add))), format: format, postgres: db.Dialect() == wiredatabase.Postgres}
					if query != "" {
						_, err = exportQuery(cmd.Context(), db, l, query, x)
					} else {
						_, err = exportTable(cmd.Context(), db, l, args[1], x)
					}
					n = x.rows
					if err == nil {
						err = x.end()
					}
					return err
				}
				err = inFolder(parent, func(dir string) error {
					path := filepath.Join(dir, "rows")
					err := intoFile(path, read)
					for tries := 1; errors.Is(err, errMoved); tries++ {
						if tries == exportTries {
							return mesh.WithHint(fmt.Errorf("table %s was begun %d times: %w", args[1], tries, err), "take the database as it is at one moment: stratos db backup %s FILE", args[0])
						}
						e.say("the database was written to; beginning again")
						err = intoFile(path, read)
					}
					if err != nil {
						return err
					}
					if output == "" || output == "-" {
						return copyFile(e.stdout, path)
					}
					return keepFile(cmd.Context(), c, path, output)
				})
				if err != nil || output == "" || output == "-" {
					return err
				}
				return e.print(map[string]any{"file": output, "rows": n}, func(w io.Writer) { fmt.Fprintf(w, "exported %s to %s\n", count(n, "row"), output) })
			})
		},
	}
	cmd.Flags().StringVar(&query, "query", "", "SQL that gives the rows, instead of a table")
	cmd.Flags().StringVar(&format, "format", "", "csv, json, jsonl or text; default: by the file's name, else csv")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; default standard output")
	cmd.Flags().StringVar(&level, "level", "default", "how many replicas must agree: fast, default or ordered")
	return cmd
}

// rowFormats are those that an exporter writes.
var rowFormats = []string{"csv", "json", "jsonl", "text"}

// exportQuery writes what one statement gives that only reads, and tells at which height of the database.
func exportQuery(ctx context.Context, db *database.DB, l database.Level, query string, x *exporter) (int64, error) {
	all := database.Split(db.Dialect(), query)
	if len(all) != 1 {
		return 0, mesh.Errorf(mesh.Invalid, "the query has %d statements, want one", len(all))
	}
	l, err := lately(ctx, db, l)
	if err != nil {
		return 0, err
	}
	o, err := db.Query(ctx, l, database.SQL(all[0]))
	var failed *database.Error
	switch {
	case errors.As(err, &failed) && failed.Code == wiredatabase.CodeReadOnly:
		return 0, mesh.WithHint(fmt.Errorf("a query only reads, and nothing was done: %w", err), "what writes is for: stratos db sql")
	case errors.As(err, &failed) && failed.Code == sqlstate.LimitExceeded:
		return 0, mesh.WithHint(err, "narrow the query, or take the whole table: stratos db export %s TABLE", db.Name())
	case err != nil:
		return 0, err
	case len(o.Results[0].Columns) == 0:
		return 0, mesh.Errorf(mesh.Invalid, "the query gives no rows")
	}
	return o.Height, x.add(o.Results[0])
}

// lately makes questions see all that was acknowledged to anybody before, if the level is Ordered, and returns one for questions: what
// takes its turn on the log could write.
func lately(ctx context.Context, db *database.DB, l database.Level) (database.Level, error) {
	if l != database.Ordered {
		return l, nil
	}
	_, err := db.Query(ctx, database.Ordered, database.SQL("SELECT 1"))
	return database.Default, err
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return mesh.Errorf(mesh.Internal, "what was written: %w", err)
	}
	defer f.Close() // it was only read
	_, err = io.Copy(w, f)
	return err
}

// intoFile writes what a person wants to have at a path: a file that is there only when it is whole, or a device.
func intoFile(path string, write func(io.Writer) error) error {
	return writing(path, atomicfile.Output(path, 0o666, write))
}

// writing makes of what a system says of a path what a person is told; other errors it leaves as they are.
func writing(path string, err error) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "there is no room for %s: %w", path, err), "make room, or write elsewhere")
	case errors.As(err, &file), errors.As(err, &link):
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "writing %s: %w", path, err), "name a file in a folder that is there and may be written to")
	}
	return err
}

// An exporter writes rows that come in one result or in several, with the same columns.
type exporter struct {
	w        *bufio.Writer
	format   string // one of rowFormats
	postgres bool

	columns []database.Column
	begun   bool
	rows    int
}

func (x *exporter) add(r database.Result) error {
	if !x.begun {
		x.begun, x.columns = true, r.Columns
		switch x.format {
		case "csv":
			for i, c := range x.columns {
				x.field(i, c.Name, true)
			}
			x.w.WriteByte('\n')
		case "json":
			x.w.WriteString("[\n")
		}
	}
	if !slices.Equal(x.columns, r.Columns) {
		return mesh.Errorf(mesh.Corrupt, "the columns of two parts of a table differ")
	}
	for _, row := range r.Rows {
		if x.format == "text" {
			for i, v := range row {
				x.textField(i, v)
			}
			x.w.WriteByte('\n')
		} else if x.format == "csv" {
			for i, v := range row {
				x.field(i, cellText(v), v != nil)
			}
			x.w.WriteByte('\n')
		} else {
			if x.rows > 0 {
				x.w.WriteString(map[string]string{"json": ",\n", "jsonl": "\n"}[x.format])
			}
			if err := x.object(row); err != nil {
				return err
			}
		}
		x.rows++
	}
	return nil
}

func (x *exporter) end() error {
	switch {
	case x.format == "json":
		x.w.WriteString("\n]\n")
	case x.format == "jsonl" && x.rows > 0:
		x.w.WriteByte('\n')
	}
	return x.w.Flush()
}

func (x *exporter) field(i int, s string, text bool) {
	if i > 0 {
		x.w.WriteByte(',')
	}
	if text && (s == "" || s == `\.` || strings.ContainsAny(s, ",\"\r\n")) {
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	x.w.WriteString(s)
}

// textField writes a value as PostgreSQL's COPY does.
func (x *exporter) textField(i int, v any) {
	if i > 0 {
		x.w.WriteByte('\t')
	}
	if v == nil {
		x.w.WriteString(`\N`)
		return
	}
	x.w.WriteString(copyEscapes.Replace(cellText(v)))
}

// object writes a row with its columns in order.
func (x *exporter) object(row []any) error {
	w := x.w
	for i, v := range row {
		w.WriteByte("{,"[min(i, 1)])
		name, err := json.Marshal(x.columns[i].Name)
		if err != nil {
			return mesh.Errorf(mesh.Internal, "the name of a column: %w", err)
		}
		w.Write(name)
		w.WriteByte(':')
		b, err := json.Marshal(x.jsonValue(i, v))
		if err != nil {
			return mesh.Errorf(mesh.Internal, "a value as JSON: %w", err)
		}
		w.Write(b)
	}
	w.WriteByte('}')
	return nil
}

// jsonValue is a value as JSON has it: numbers and JSON are themselves, what JSON has no word for is the text that SQL writes.
func (x *exporter) jsonValue(column int, v any) any {
	switch v := v.(type) {
	case string:
		if t := x.columns[column].Type; x.postgres && (t == "json" || t == "jsonb" || t == "numeric" || strings.HasPrefix(t, "numeric(")) && json.Valid([]byte(v)) {
			return json.RawMessage(v)
		}
		return v
	case []byte:
		return cellText(v)
	case float64:
		if b, err := json.Marshal(v); err == nil {
			return json.RawMessage(b)
		}
		return realText(v)
	}
	return v
}
