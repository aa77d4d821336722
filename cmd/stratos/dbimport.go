package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
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
	noHeader, create, upsert             bool
	skip                                 int
}

func newDatabaseImportCommand(e *env) *cobra.Command {
	var o importing
	cmd := &cobra.Command{
		Use:   "import NAME TABLE [FILE]",
		Short: "Put the rows of a CSV, JSON or text file into a table",
		Long: `Reads rows of a file, or of standard input, and inserts them, some thousand at a time, each such batch whole or not at all.

CSV is as PostgreSQL writes it: the first line names the columns; a field that is empty and not in quotes is NULL. JSON is an array of
objects, or objects one after the other; their keys are columns, and what is an object or array itself goes into a column of type json.
Text is what PostgreSQL's COPY writes: a line a row, fields parted by tabs, \N for NULL, a backslash before what would be one of these. --columns
names its columns.

With --upsert a row takes the place of the one that has its primary key, so that the same file can be imported again.

What was imported before an error stays; --skip goes on behind it. Ctrl-C waits for the rows that were sent, and tells how to go on. With
--create the table comes with the first rows: when these are refused there is none.`,
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
			rows, err := o.open(&breakable{ctx: cmd.Context(), in: io.TeeReader(in, counting(p.add))})
			if err != nil {
				return cmp.Or(cmd.Context().Err(), err)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				n, err := o.run(cmd.Context(), e, db, rows)
				if p.close(); err != nil {
					e.interrupted = o.rest(n, "")
					return o.told(cmd.Context(), err, n)
				}
				return e.print(map[string]any{"table": o.table, "rows": n}, func(w io.Writer) { fmt.Fprintf(w, "imported %s into %s\n", count(uint64(n), "row"), o.table) })
			})
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "", "csv, json or text; default: by the file's name, else csv")
	cmd.Flags().StringSliceVar(&o.columns, "columns", nil, "of the table that the fields go into, in order; default: the first line's, or the first object's")
	cmd.Flags().BoolVar(&o.noHeader, "no-header", false, "the first line of the CSV is a row already")
	cmd.Flags().StringVar(&o.delimiter, "delimiter", "", `between fields of CSV, one character; \t is a tab. Default a comma, in a file .tsv a tab`)
	cmd.Flags().StringVar(&o.null, "null", "", "what stands for NULL in CSV, without quotes")
	cmd.Flags().BoolVar(&o.create, "create", false, "make the table, with types that fit the first 1,000 rows")
	cmd.Flags().BoolVar(&o.upsert, "upsert", false, "replace rows that have the same primary key")
	cmd.Flags().IntVar(&o.skip, "skip", 0, "rows that were imported before")
	return cmd
}

// counting is told of all that is written to it.
type counting func(n int)

func (c counting) Write(b []byte) (int, error) { c(len(b)); return len(b), nil }

// A breakable reader gives up at its context's end, which a read of a terminal or a pipe does not.
type breakable struct {
	ctx context.Context
	in  io.Reader
}

func (b *breakable) Read(p []byte) (int, error) {
	type part struct {
		n   int
		err error
	}
	own, got := make([]byte, len(p)), make(chan part, 1)
	go func() { // cannot be broken off; after an interrupt the program ends
		n, err := b.in.Read(own)
		got <- part{n, err}
	}()
	select {
	case r := <-got:
		return copy(p, own[:r.n]), r.err
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

// rest says how to go on behind n rows, and what is to be done before.
func (o *importing) rest(n int, mend string) string {
	if n == 0 {
		if o.create {
			return "no row was imported, and the table was not made; " + mend + "give the same command again"
		}
		return "no row was imported; " + mend + "give the same command again"
	}
	without := ""
	if o.create {
		without = ", without --create"
	}
	return fmt.Sprintf("the rows up to %[1]d are imported; %[2]sgo on with --skip %[1]d%[3]s", o.skip+n, mend, without)
}

// A batchError is why the rows of a batch did not come in, or nobody knows whether they did.
type batchError struct {
	first, last         int // rows of the file, from 1
	firstLine, lastLine int
	row                 int // that is wrong; 0: it is not known which
	rowLine             int
	err                 error
}

func (b *batchError) Unwrap() error { return b.err }

func (b *batchError) Error() string {
	if b.row > 0 {
		return fmt.Sprintf("row %d, line %d: %v", b.row, b.rowLine, b.err)
	}
	return fmt.Sprintf("among the rows %d to %d, lines %d to %d: %v", b.first, b.last, b.firstLine, b.lastLine, b.err)
}

// told is an error as a person is told it, behind n rows that came in.
func (o *importing) told(ctx context.Context, err error, n int) error {
	var b *batchError
	switch sent := errors.As(err, &b); {
	case !sent && ctx.Err() != nil:
		return ctx.Err() // the command says how to go on
	case sent && unknown(b.err):
		without := ""
		if o.create {
			without = ", without --create"
		}
		return mesh.WithHint(fmt.Errorf("whether the rows %d to %d came in is not known: %w", b.first, b.last, b.err),
			"look in two minutes whether row %[1]d, in line %[2]d, is in the table: if it is, go on with --skip %[3]d%[4]s, else %[5]s", b.first, b.firstLine, b.last, without, o.rest(n, ""))
	}
	if n == 0 {
		return mesh.WithHint(err, "%s", o.rest(n, "mend what is wrong, and "))
	}
	return mesh.WithHint(err, "%s", o.rest(n, "mend what is wrong behind them, and "))
}

// unknown tells whether an error leaves open whether a program was applied.
func unknown(err error) bool {
	var e *database.Error
	return database.Unknown(err) || errors.As(err, &e) && e.Code == codeUnknown
}

// codeUnknown is transaction_resolution_unknown, as which PostgreSQL's protocol tells it.
const codeUnknown = "08007"

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
	case o.upsert && o.create:
		return nil, &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "--upsert wants a table with a primary key, and --create makes one without"), "make the table first: stratos db sql")}
	case format == "text" && o.columns == nil:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "nothing says which columns the fields are"), "name them with --columns")
	case format == "text":
		return newTextReader(bufio.NewReaderSize(in, 64<<10), o.columns), nil
	case format == "json":
		return newJSONReader(bufio.NewReader(in), o.columns)
	case format != "csv":
		return nil, &usageError{mesh.Errorf(mesh.Invalid, "--format is %q, want csv, json or text", format)}
	case o.noHeader && o.columns == nil:
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "nothing says which columns the fields are"), "name them with --columns")
	}
	return newCSVReader(bufio.NewReaderSize(in, 64<<10), delimiter[0], o.null, o.columns, !o.noHeader)
}

// run imports the rows, and tells how many have come in. When ctx ends it waits for those that were sent.
func (o *importing) run(ctx context.Context, e *env, db *database.DB, rows rowReader) (n int, err error) {
	for range o.skip {
		if _, err := rows.next(); errors.Is(err, io.EOF) {
			return 0, mesh.Errorf(mesh.Invalid, "the file has fewer than %s", count(uint64(o.skip), "row"))
		} else if err != nil {
			return 0, err
		}
	}
	var sample []record
	if o.create {
		if sample, err = o.sample(rows); err != nil {
			return 0, err
		}
	}
	load, err := o.loader(ctx, db, rows.columns(), sample)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, load.Close()) }()
	n, err = o.pass(ctx, e, rows, sample, load)
	return n, err
}

// A record is a row with the line of the file in which it begins.
type record struct {
	fields []*string
	line   int
}

// pass hands rows to a loader, those first that were read already.
func (o *importing) pass(ctx context.Context, e *env, rows rowReader, read []record, load loader) (n int, err error) {
	var batch []record
	bytes, made := 0, !o.create
	flush := func() error {
		if len(batch) == 0 && made {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		quiet := context.AfterFunc(ctx, func() { e.say("waiting for the rows that were sent; Ctrl-C again ends at once") })
		defer quiet()
		fields := make([][]*string, len(batch))
		for i, r := range batch {
			fields[i] = r.fields
		}
		if err := load.load(context.WithoutCancel(ctx), fields); err != nil {
			return o.locate(err, batch, n)
		}
		made = true
		n += len(batch)
		batch, bytes = batch[:0], 0
		return nil
	}
	for {
		var row record
		if len(read) > 0 {
			row, read = read[0], read[1:]
		} else {
			fields, err := rows.next()
			switch {
			case errors.Is(err, io.EOF):
				return n, flush()
			case ctx.Err() != nil:
				return n, ctx.Err()
			case err != nil:
				at := o.skip + n + len(batch) + 1
				if failed := flush(); failed != nil {
					return n, failed
				}
				return n, fmt.Errorf("row %d, line %d: %w", at, rows.line(), err)
			}
			row = record{fields, rows.line()}
		}
		size := 16
		for _, f := range row.fields {
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

// locate says of a batch's error which rows of the file it is about.
func (o *importing) locate(err error, batch []record, n int) error {
	if len(batch) == 0 {
		return err
	}
	b := &batchError{first: o.skip + n + 1, last: o.skip + n + len(batch), firstLine: batch[0].line, lastLine: batch[len(batch)-1].line, err: err}
	var row *rowError
	if errors.As(err, &row) && row.row <= len(batch) {
		b.row, b.rowLine, b.err = o.skip+n+row.row, batch[row.row-1].line, row.err
	}
	return b
}

// A rowError is an error of one of the rows that a loader got, from 1.
type rowError struct {
	row int
	err error
}

func (r *rowError) Error() string { return r.err.Error() }
func (r *rowError) Unwrap() error { return r.err }

// A loader inserts rows, all or none, and makes the table with the first if it is to.
type loader interface {
	load(ctx context.Context, rows [][]*string) error
	Close() error
}

func (o *importing) loader(ctx context.Context, db *database.DB, columns []string, sample []record) (loader, error) {
	if o.upsert {
		return newUpsertLoader(ctx, db, o.table, columns)
	}
	var names, types, defined []string
	for i, c := range columns {
		names = append(names, identifier(c))
		if o.create {
			types = append(types, typeOf(db.Dialect(), sample, i))
			defined = append(defined, identifier(c)+" "+types[i])
		}
	}
	into, create := relation(o.table)+" ("+strings.Join(names, ", ")+")", ""
	if o.create {
		create = "CREATE TABLE " + relation(o.table) + " (" + strings.Join(defined, ", ") + ")"
		if db.Dialect() == wiredatabase.SQLite {
			create += " STRICT" // or a column would take what is not of its type
		}
	}
	if db.Dialect() != wiredatabase.Postgres {
		return newInsertLoader(ctx, db, o.table, into, create, columns, types)
	}
	s, err := openPostgres(ctx, db)
	if err != nil {
		return nil, err
	}
	return &copyLoader{s, create, "COPY " + into + " FROM STDIN"}, nil
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
	create string // the statement that makes the table, until that is done
	sql    string
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
	if l.create == "" {
		return l.copy(ctx, &b)
	}
	err := l.conn.Exec(ctx, "BEGIN; "+l.create).Close()
	if err == nil {
		err = l.copy(ctx, &b)
	}
	if err == nil {
		err = l.conn.Exec(ctx, "COMMIT").Close()
	}
	if err != nil {
		return errors.Join(sqlError(err), sqlError(l.conn.Exec(ctx, "ROLLBACK").Close()))
	}
	l.create = ""
	return nil
}

// copiedLine is where PostgreSQL's protocol says which line of COPY is wrong, which is the row here: a row has no newline in it.
var copiedLine = regexp.MustCompile(`^COPY .*, line ([0-9]+)`)

func (l *copyLoader) copy(ctx context.Context, rows io.Reader) error {
	_, err := l.conn.CopyFrom(ctx, rows, l.sql)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	m := copiedLine.FindStringSubmatch(e.Where)
	if m == nil {
		if m = copiedLine.FindStringSubmatch(e.Detail); m != nil {
			e.Detail = ""
		}
	}
	if m == nil {
		return sqlError(err)
	}
	row, err := strconv.Atoi(m[1])
	if err != nil || row < 1 {
		return sqlError(e)
	}
	return &rowError{row, sqlError(e)}
}

// An insertLoader inserts rows into a table of dialect sqlite, whose columns say what a field is.
type insertLoader struct {
	db      *database.DB
	into    string
	create  string // the statement that makes the table, until that is done
	numbers []byte // of each column: i an integer, r a real, else a text
}

// newInsertLoader returns a loader for a table that is there, or that it makes with columns of these types.
func newInsertLoader(ctx context.Context, db *database.DB, table, into, create string, columns, created []string) (*insertLoader, error) {
	types := map[string]string{}
	for i, t := range created {
		types[columns[i]] = t
	}
	if create == "" {
		o, err := db.Query(ctx, database.Default, database.SQL("SELECT name, type FROM pragma_table_info(?1)", table))
		if err != nil {
			return nil, err
		}
		for _, row := range o.Results[0].Rows {
			name, _ := row[0].(string)
			types[name], _ = row[1].(string)
		}
		if len(types) == 0 {
			return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no table %q", table), "make it, or let --create do so")
		}
	}
	l := &insertLoader{db: db, into: into, create: create}
	for _, c := range columns {
		declared, ok := types[c]
		if !ok {
			return nil, mesh.Errorf(mesh.Invalid, "table %q has no column %q", table, c)
		}
		l.numbers = append(l.numbers, sqliteKind(declared))
	}
	return l, nil
}

func (l *insertLoader) Close() error { return nil }

// maxParameters of a statement.
const maxParameters = 32_000

func (l *insertLoader) load(ctx context.Context, rows [][]*string) error {
	var p database.Program
	if l.create != "" {
		p.Statements = append(p.Statements, database.SQL(l.create))
	}
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
	if _, err := l.db.Exec(ctx, p); err != nil {
		return err
	}
	l.create = ""
	return nil
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

// sample reads the first rows, by which types are chosen.
func (o *importing) sample(rows rowReader) (all []record, err error) {
	for len(all) < sampleRows {
		fields, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("row %d, line %d: %w", o.skip+len(all)+1, rows.line(), err)
		}
		all = append(all, record{fields, rows.line()})
	}
	return all, nil
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

func typeOf(dialect string, sample []record, column int) string {
	for _, t := range columnTypes {
		some, all := false, true
		for _, row := range sample {
			if f := row.fields[column]; f != nil {
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
