package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// What is imported with one program: all of it or nothing.
const (
	batchRows  = 2000
	batchBytes = 256 << 10
)

// An importing is what the command was told.
type importing struct {
	table, file, format, delimiter, null string
	columns                              []string
	noHeader, create                     bool
	skip                                 int
}

func newDatabaseImportCommand(e *env) *cobra.Command {
	var o importing
	cmd := &cobra.Command{
		Use:   "import NAME TABLE [FILE]",
		Short: "Put the rows of a CSV or JSON file into a table",
		Long: `Reads rows of a file, or of standard input, and inserts them, some thousand at a time, each such batch whole or not at all.

CSV is as PostgreSQL writes it: the first line names the columns; a field that is empty and not in quotes is NULL. JSON is an array of
objects, or objects one after the other; their keys are columns, and what is an object or array itself goes into a column of type json.

What was imported before an error stays; --skip goes on behind it.`,
		Example: `  stratos db import shop items items.csv --create
  stratos db import shop orders orders.json
  zcat log.csv.gz | stratos db import shop log --no-header --columns at,what`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.table = args[1]
			in := e.stdin
			var size int64
			if len(args) == 3 {
				o.file = args[2]
				f, err := os.Open(o.file)
				if err != nil {
					return mesh.Errorf(mesh.NotFound, "the file to import: %w", err)
				}
				defer f.Close()
				if s, err := f.Stat(); err == nil {
					size = s.Size()
				}
				in = f
			}
			p := newTransferProgress(e, []transferFile{{size: size}})
			defer p.close()
			rows, err := o.open(io.TeeReader(in, counting(p.add)))
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				n, err := o.run(cmd.Context(), db, rows)
				p.close()
				if err != nil && n > 0 {
					e.interrupted = o.rest(n)
					return mesh.WithHint(fmt.Errorf("behind row %d: %w", o.skip+n, err), "%s", e.interrupted)
				}
				if err != nil {
					return err
				}
				return e.print(map[string]any{"table": o.table, "rows": n}, func(w io.Writer) { fmt.Fprintf(w, "imported %s into %s\n", count(uint64(n), "row"), o.table) })
			})
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "", "csv or json; default: by the file's name, else csv")
	cmd.Flags().StringSliceVar(&o.columns, "columns", nil, "of the table that the fields go into, in order; default: the first line's, or the first object's")
	cmd.Flags().BoolVar(&o.noHeader, "no-header", false, "the first line of the CSV is a row already")
	cmd.Flags().StringVar(&o.delimiter, "delimiter", "", `between fields of CSV, one character; \t is a tab. Default a comma, in a file .tsv a tab`)
	cmd.Flags().StringVar(&o.null, "null", "", "what stands for NULL in CSV, without quotes")
	cmd.Flags().BoolVar(&o.create, "create", false, "make the table, with types that fit the first 1,000 rows")
	cmd.Flags().IntVar(&o.skip, "skip", 0, "rows that were imported before")
	return cmd
}

// counting is told of all that is written to it.
type counting func(n int)

func (c counting) Write(b []byte) (int, error) { c(len(b)); return len(b), nil }

// rest says how to go on behind n rows.
func (o *importing) rest(n int) string {
	return fmt.Sprintf("the rows up to %[1]d are imported; mend what is wrong behind them, and go on with --skip %[1]d", o.skip+n)
}

func (o *importing) open(in io.Reader) (rowReader, error) {
	format := o.format
	if format == "" {
		switch strings.ToLower(filepath.Ext(o.file)) {
		case ".json", ".jsonl", ".ndjson":
			format = "json"
		default:
			format = "csv"
		}
	}
	delimiter := o.delimiter
	switch {
	case delimiter == `\t` || delimiter == "" && strings.EqualFold(filepath.Ext(o.file), ".tsv"):
		delimiter = "\t"
	case delimiter == "":
		delimiter = ","
	}
	switch {
	case o.skip < 0:
		return nil, mesh.Errorf(mesh.Invalid, "--skip is %d, below zero", o.skip)
	case len(delimiter) != 1 || strings.ContainsAny(delimiter, "\"\r\n"):
		return nil, mesh.Errorf(mesh.Invalid, "--delimiter is %q, want one character of ASCII", o.delimiter)
	case format == "json":
		return newJSONReader(bufio.NewReader(in), o.columns)
	case format != "csv":
		return nil, mesh.Errorf(mesh.Invalid, "--format is %q, want csv or json", format)
	case o.noHeader && o.columns == nil:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "nothing says which columns the fields are"), "name them with --columns")
	}
	return newCSVReader(bufio.NewReaderSize(in, 64<<10), delimiter[0], o.null, o.columns, !o.noHeader)
}

// run imports the rows, and tells how many have come in.
func (o *importing) run(ctx context.Context, db *database.DB, rows rowReader) (n int, err error) {
	for range o.skip {
		if _, err := rows.next(); errors.Is(err, io.EOF) {
			return 0, mesh.Errorf(mesh.Invalid, "the file has fewer than %s", count(uint64(o.skip), "row"))
		} else if err != nil {
			return 0, err
		}
	}
	var sample [][]*string
	if o.create {
		if sample, err = o.make(ctx, db, rows); err != nil {
			return 0, err
		}
	}
	load, err := o.loader(ctx, db, rows.columns())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, load.Close()) }()
	var batch [][]*string
	bytes := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := load.load(ctx, batch); err != nil {
			return err
		}
		n += len(batch)
		batch, bytes = batch[:0], 0
		return nil
	}
	for {
		var row []*string
		if len(sample) > 0 {
			row, sample = sample[0], sample[1:]
		} else if row, err = rows.next(); errors.Is(err, io.EOF) {
			return n, flush()
		} else if err != nil {
			return n, errors.Join(fmt.Errorf("row %d: %w", o.skip+n+len(batch)+1, err), flush())
		}
		size := 16
		for _, f := range row {
			if size += 8; f != nil {
				size += len(*f)
			}
		}
		if len(batch) == batchRows || bytes+size > batchBytes {
			if err := flush(); err != nil {
				return n, err
			}
		}
		batch, bytes = append(batch, row), bytes+size
	}
}

// A loader inserts rows, all or none.
type loader interface {
	load(ctx context.Context, rows [][]*string) error
	Close() error
}

func (o *importing) loader(ctx context.Context, db *database.DB, columns []string) (loader, error) {
	var names []string
	for _, c := range columns {
		names = append(names, identifier(c))
	}
	into := relation(o.table) + " (" + strings.Join(names, ", ") + ")"
	if db.Dialect() != wiredatabase.Postgres {
		return newInsertLoader(ctx, db, o.table, into, columns)
	}
	s, err := openPostgres(ctx, db)
	if err != nil {
		return nil, err
	}
	return &copyLoader{s, "COPY " + into + " FROM STDIN"}, nil
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// identifier is a name as SQL writes it.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// relation is a table as a person names it: schema.table, with quotes or without.
func relation(name string) string {
	if strings.Contains(name, `"`) {
		return name
	}
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if !plainName.MatchString(p) {
			parts[i] = identifier(p)
		}
	}
	return strings.Join(parts, ".")
}

// A copyLoader copies rows in PostgreSQL's text format.
type copyLoader struct {
	*postgresSession
	sql string
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

func (l *copyLoader) load(ctx context.Context, rows [][]*string) error {
	var b bytes.Buffer
	for _, row := range rows {
		for i, f := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			if f == nil {
				b.WriteString(`\N`)
			} else {
				b.WriteString(copyEscapes.Replace(*f))
			}
		}
		b.WriteByte('\n')
	}
	_, err := l.conn.CopyFrom(ctx, &b, l.sql)
	return sqlError(err)
}

// An insertLoader inserts rows into a table of dialect sqlite, whose columns say what a field is.
type insertLoader struct {
	db      *database.DB
	into    string
	numbers []byte // of each column: i an integer, r a real, else a text
}

func newInsertLoader(ctx context.Context, db *database.DB, table, into string, columns []string) (*insertLoader, error) {
	o, err := db.Query(ctx, database.Default, database.SQL("SELECT name, type FROM pragma_table_info(?1)", table))
	if err != nil {
		return nil, err
	}
	types := map[string]string{}
	for _, row := range o.Results[0].Rows {
		name, _ := row[0].(string)
		types[name], _ = row[1].(string)
	}
	if len(types) == 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no table %q", table), "make it, or let --create do so")
	}
	l := &insertLoader{db: db, into: into}
	for _, c := range columns {
		declared, ok := types[c]
		if !ok {
			return nil, mesh.Errorf(mesh.Invalid, "table %q has no column %q", table, c)
		}
		kind := byte('t')
		switch declared = strings.ToUpper(declared); {
		case strings.Contains(declared, "INT"):
			kind = 'i'
		case strings.Contains(declared, "REAL"), strings.Contains(declared, "FLOA"), strings.Contains(declared, "DOUB"), strings.Contains(declared, "NUM"):
			kind = 'r'
		}
		l.numbers = append(l.numbers, kind)
	}
	return l, nil
}

func (l *insertLoader) Close() error { return nil }

// maxParameters of a statement.
const maxParameters = 32_000

func (l *insertLoader) load(ctx context.Context, rows [][]*string) error {
	var p database.Program
	for len(rows) > 0 {
		n := min(len(rows), max(1, maxParameters/len(l.numbers)))
		row := "(?" + strings.Repeat(", ?", len(l.numbers)-1) + ")"
		s := database.SQL("INSERT INTO " + l.into + " VALUES " + row + strings.Repeat(", "+row, n-1))
		for _, row := range rows[:n] {
			for i, f := range row {
				s.Parameters = append(s.Parameters, l.value(i, f))
			}
		}
		p.Statements, rows = append(p.Statements, s), rows[n:]
	}
	_, err := l.db.Exec(ctx, p)
	return err
}

func (l *insertLoader) value(column int, f *string) any {
	if f == nil {
		return nil
	}
	if k := l.numbers[column]; k != 't' {
		if n, err := strconv.ParseInt(*f, 10, 64); err == nil {
			return n
		}
		if r, err := strconv.ParseFloat(*f, 64); err == nil && k == 'r' {
			return r
		}
	}
	return *f
}

// sampleRows are looked at to choose types.
const sampleRows = 1000

// make makes the table, with types that fit the first rows, which it returns.
func (o *importing) make(ctx context.Context, db *database.DB, rows rowReader) (sample [][]*string, err error) {
	for len(sample) < sampleRows {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", o.skip+len(sample)+1, err)
		}
		sample = append(sample, row)
	}
	var columns []string
	for i, name := range rows.columns() {
		columns = append(columns, identifier(name)+" "+typeOf(db.Dialect(), sample, i))
	}
	sql := "CREATE TABLE " + relation(o.table) + " (" + strings.Join(columns, ", ") + ")"
	if db.Dialect() == wiredatabase.SQLite {
		sql += " STRICT" // or a column would take what is not of its type
	}
	_, err = db.Exec(ctx, database.Program{Statements: []database.Statement{database.SQL(sql)}})
	return sample, err
}

// columnTypes are tried in order: the first that all values of a column fit is its type, in either dialect.
var columnTypes = []struct {
	postgres, sqlite string
	fits             func(s string) bool
}{
	{"bigint", "INTEGER", func(s string) bool {
		n, err := strconv.ParseInt(s, 10, 64)
		return err == nil && strconv.FormatInt(n, 10) == s // 007 is no number
	}},
	{"numeric", "REAL", regexp.MustCompile(`^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?$`).MatchString},
	{"boolean", "TEXT", func(s string) bool { return s == "true" || s == "false" }},
	{"date", "TEXT", regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`).MatchString},
	{"timestamptz", "TEXT", regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)$`).MatchString},
	{"uuid", "TEXT", regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString},
}

func typeOf(dialect string, sample [][]*string, column int) string {
	for _, t := range columnTypes {
		some, all := false, true
		for _, row := range sample {
			if f := row[column]; f != nil {
				some, all = true, all && t.fits(*f)
			}
		}
		if some && all {
			if dialect == wiredatabase.Postgres {
				return t.postgres
			}
			return t.sqlite
		}
	}
	return "text"
}
