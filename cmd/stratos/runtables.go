package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// tableScheme begins the names of what a database holds: db://DATABASE/TABLE, or db://DATABASE?query=SQL.
const tableScheme = "db://"

func isTable(s string) bool { return strings.HasPrefix(s, tableScheme) }

// A tableName is a table, or what a query gives.
type tableName struct{ database, table, query string }

func parseTable(s string) (t tableName, err error) {
	rest, ok := strings.CutPrefix(s, tableScheme)
	at := strings.IndexAny(rest, "/?")
	if ok && at > 0 {
		t.database = rest[:at]
		if rest[at] == '/' {
			t.table = rest[at+1:]
		} else {
			t.query, ok = strings.CutPrefix(rest[at:], "?query=")
			t.query = strings.TrimSpace(t.query)
		}
	}
	if !ok || t.table == "" && t.query == "" {
		return t, &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q names no table", s), "write db://DATABASE/TABLE, or 'db://DATABASE?query=SELECT ...'")}
	}
	return t, nil
}

// formatOf is how the rows of a table are written to a file for tasks, by its name.
func formatOf(name string) string {
	switch ext := strings.TrimPrefix(filepath.Ext(name), "."); ext {
	case "csv", "json", "jsonl":
		return ext
	}
	return "text"
}

// checkTables refuses flags about tables that say nothing sensible, before anything is read.
func (c *jobCommand) checkTables(inputs []string) error {
	names := slices.Clone(inputs)
	for _, f := range c.files {
		_, path, err := c.fileFlag(f)
		if err != nil {
			return err
		}
		names = append(names, path)
	}
	for _, n := range names {
		if isTable(n) {
			if _, err := parseTable(n); err != nil {
				return err
			}
		}
	}
	if c.rows != "text" && c.rows != "jsonl" {
		return &usageError{mesh.Errorf(mesh.Invalid, "--rows is %q, want text or jsonl, in which a row is a line", c.rows)}
	}
	return c.into.check()
}

// usesTables tells whether the job has to do with databases.
func (c *jobCommand) usesTables(inputs []string) bool {
	return c.into.table != "" || slices.ContainsFunc(inputs, isTable) || slices.ContainsFunc(c.files, func(f string) bool {
		_, path, _ := strings.Cut(f, "=")
		return isTable(path)
	})
}

// A tableRead is what a job read of a database.
type tableRead struct {
	Source string `json:"source"`
	Rows   int    `json:"rows"`
	Height int64  `json:"height"` // of the database
}

// jobTables reads what a job wants of databases.
type jobTables struct {
	env    *env
	client *client.Client
	folder string // of files that vanish with the job
	format string // of inputs
	reads  []tableRead
}

// file writes the rows of a table, or of a query, to a file.
func (t *jobTables) file(ctx context.Context, source, format string) (string, error) {
	name, err := parseTable(source)
	if err != nil {
		return "", err
	}
	db, err := t.client.OpenDatabase(ctx, name.database, database.Options{})
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	defer t.env.sayEvidence(ctx, db, 0)
	if name.table != "" {
		if _, err := shapeOf(ctx, db, name.table); err != nil {
			return "", err
		}
	}
	path := filepath.Join(t.folder, fmt.Sprintf("rows-%03d", len(t.reads)))
	read := tableRead{Source: source}
	for tries := 1; ; tries++ {
		err := intoFile(path, func(w io.Writer) (err error) {
			x := &exporter{w: bufio.NewWriter(w), format: format, postgres: db.Dialect() == wiredatabase.Postgres}
			if name.query != "" {
				read.Height, err = exportQuery(ctx, db, database.Default, name.query, x)
			} else {
				read.Height, err = exportTable(ctx, db, database.Default, name.table, x)
			}
			if read.Rows = x.rows; err == nil {
				err = x.end()
			}
			return err
		})
		switch {
		case err == nil:
			t.reads = append(t.reads, read)
			return path, nil
		case !errors.Is(err, errMoved):
			return "", fmt.Errorf("%s: %w", source, err)
		case tries == exportTries:
			return "", mesh.WithHint(fmt.Errorf("%s was begun %d times: %w", source, tries, err), "read it when nobody writes, or as a query, which has at most 100,000 rows")
		}
		t.env.say("database %s was written to; beginning again", name.database)
	}
}

// An intoTable is where results are loaded, as the flags say it.
type intoTable struct {
	table, format string
	columns       []string
}

func (t intoTable) check() error {
	switch {
	case t.table == "" && (t.columns != nil || t.format != "text"):
		return &usageError{mesh.Errorf(mesh.Invalid, "--into-columns and --into-format are for --into")}
	case t.table == "":
		return nil
	case t.format != "text" && t.format != "csv":
		return &usageError{mesh.Errorf(mesh.Invalid, "--into-format is %q, want text or csv", t.format)}
	}
	name, err := parseTable(t.table)
	if err == nil && name.query != "" {
		err = &usageError{mesh.Errorf(mesh.Invalid, "--into is a query; name a table: db://DATABASE/TABLE")}
	}
	return err
}

// A tableLoad loads results into a table.
type tableLoad struct {
	intoTable
	name tableName
	db   *database.DB
	rows int
}

// open looks, before a job costs anything, whether its results can be loaded; nil: they are not to be.
func (t *jobTables) open(ctx context.Context, into intoTable) (*tableLoad, error) {
	if into.table == "" {
		return nil, nil
	}
	name, err := parseTable(into.table)
	if err != nil {
		return nil, err
	}
	l := &tableLoad{intoTable: into, name: name}
	if l.db, err = t.client.OpenDatabase(ctx, name.database, database.Options{}); err != nil {
		return nil, fmt.Errorf("--into %s: %w", into.table, err)
	}
	shape, err := shapeOf(ctx, l.db, name.table)
	if err != nil {
		return nil, err
	}
	columns := l.columns
	if columns == nil {
		columns = shape.columns
	}
	if l.format == "text" {
		l.columns = columns
	}
	return l, shape.upsertable(name.table, columns)
}

// result loads one of the results.
func (l *tableLoad) result(ctx context.Context, e *env, number int, r io.Reader) error {
	o := &importing{table: l.name.table, format: l.format, columns: l.columns, upsert: true}
	in := bufio.NewReader(r)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) { // it has no line of names either
		return nil
	}
	rows, err := o.open(&breakable{ctx: ctx, in: in})
	if err == nil {
		var n int
		n, err = o.run(ctx, e, l.db, rows)
		l.rows += n
	}
	if err != nil {
		columns := ""
		if l.columns != nil {
			columns = " --columns " + strings.Join(l.columns, ",")
		}
		return mesh.WithHint(fmt.Errorf("loading result %d into %s: %w", number, l.table, err),
			"the results are written, and what was loaded before stays; when what is wrong is mended, load them again: stratos db import %s %s FILE --upsert --format %s%s", l.name.database, l.name.table, l.format, columns)
	}
	return nil
}

// tablesView is what commands say of tables.
type tablesView struct {
	Tables []tableRead `json:"tables,omitempty"`      // that were read
	Into   string      `json:"into,omitempty"`        // where the results were loaded
	Loaded int         `json:"loaded_rows,omitempty"` // how many rows
}

func (t *jobTables) view(l *tableLoad) tablesView {
	v := tablesView{Tables: t.reads}
	if l != nil {
		v.Into, v.Loaded = l.table, l.rows
	}
	return v
}

func (t *jobTables) tell(w io.Writer, l *tableLoad) {
	for _, r := range t.reads {
		fmt.Fprintf(w, "tables  %s of %s at height %d\n", count(r.Rows, "row"), visible(r.Source), r.Height)
	}
	if l != nil {
		fmt.Fprintf(w, "loaded  %s into %s\n", count(l.rows, "row"), visible(l.table))
	}
}
