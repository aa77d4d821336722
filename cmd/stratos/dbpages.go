package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

const (
	// pageRows are asked for at once. A result has at most 100,000.
	pageRows = 25_000
	// exportTries is how often a table is begun again that was written to meanwhile.
	exportTries = 4
)

// A pager reads a table in parts, each a question of its own, at one height of the database.
type pager struct {
	table  string   // as SQL has it
	key    []string // columns that identify a row, as SQL has them and in the order of an index; none: rows are counted
	hidden bool     // the key is not among the table's columns, and comes first
	rows   int      // of a part
	mark   string   // before the number of a parameter

	ask func(ctx context.Context, s database.Statement) (*database.Outcome, error)
}

// errMoved is of a database that was written to between two parts.
var errMoved = mesh.Errorf(mesh.Conflict, "the database was written to while it was read")

// exportTable writes a table's rows, and tells at which height of the database. With errMoved what it wrote is not of one moment, and it may be tried
// again.
func exportTable(ctx context.Context, db *database.DB, l database.Level, name string, x *exporter) (int64, error) {
	l, err := lately(ctx, db, l)
	if err != nil {
		return 0, err
	}
	ask := func(ctx context.Context, s database.Statement) (*database.Outcome, error) { return db.Query(ctx, l, s) }
	p, height, err := newPager(ctx, db.Dialect(), name, ask)
	if err != nil {
		return 0, err
	}
	return height, p.read(ctx, height, x.add)
}

// newPager learns what identifies a table's rows, and of which height that is.
func newPager(ctx context.Context, dialect, name string, ask func(context.Context, database.Statement) (*database.Outcome, error)) (*pager, int64, error) {
	p := &pager{table: relation(name), rows: pageRows, mark: "$", ask: ask}
	s := database.SQL(`SELECT a.attname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid
		WHERE a.attnum = ANY(c.conkey) AND c.contype = 'p' AND c.conrelid = ` + literal(p.table) + `::pg_catalog.regclass ORDER BY array_position(c.conkey, a.attnum)`)
	if dialect == wiredatabase.SQLite {
		p.mark = "?"
		s = database.SQL("SELECT t.name, t.pk, s.type FROM sqlite_schema s, pragma_table_info(s.name) t WHERE s.name = ?1 COLLATE NOCASE ORDER BY t.pk", name)
	}
	o, err := ask(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	rows := o.Results[0].Rows
	if dialect != wiredatabase.SQLite {
		for _, row := range rows {
			column, _ := row[0].(string)
			p.key = append(p.key, identifier(column))
		}
		return p, o.Height, nil
	}
	columns, isTable := map[string]bool{}, false
	for _, row := range rows {
		column, _ := row[0].(string)
		columns[strings.ToLower(column)], isTable = true, row[2] == "table"
		if row[1] != int64(0) {
			p.key = append(p.key, identifier(column))
		}
	}
	if at := slices.IndexFunc(rowIDs, func(id string) bool { return !columns[id] }); isTable && at >= 0 {
		var failed *database.Error
		if _, err := ask(ctx, database.SQL("SELECT "+rowIDs[at]+" FROM "+p.table+" LIMIT 0")); err == nil {
			p.key, p.hidden = []string{rowIDs[at]}, true
		} else if !errors.As(err, &failed) { // else it is one WITHOUT ROWID
			return nil, 0, err
		}
	}
	return p, o.Height, nil
}

// rowIDs is what SQLite calls the id of a row, where no column has that name.
var rowIDs = []string{"rowid", "_rowid_", "oid"}

// read calls add with one part after the other; there is at least one.
func (p *pager) read(ctx context.Context, height int64, add func(database.Result) error) error {
	var last []any // the key of the newest row
	for seen := 0; ; {
		o, err := p.ask(ctx, p.part(last, seen))
		var failed *database.Error
		if errors.As(err, &failed) && (failed.Code == sqlstate.LimitExceeded || failed.Code == wiredatabase.CodeNoGas) && p.rows > 1 {
			p.rows /= 2 // its rows are large
			continue
		}
		if err != nil {
			return err
		}
		if o.Height != height {
			return errMoved
		}
		r := o.Results[0]
		n := len(r.Rows)
		if n > 0 && p.key != nil {
			if last, err = p.keyOf(r, r.Rows[n-1]); err != nil {
				return err
			}
		}
		if p.hidden {
			r.Columns = r.Columns[1:]
			for i := range r.Rows {
				r.Rows[i] = r.Rows[i][1:]
			}
		}
		if err := add(r); err != nil || n < p.rows {
			return err
		}
		seen += n
	}
}

// part is the statement that gives the rows behind a key, or, without one, behind so many.
func (p *pager) part(last []any, seen int) database.Statement {
	sql := "SELECT "
	if p.hidden {
		sql += p.key[0] + ", "
	}
	sql += "* FROM " + p.table
	if len(last) > 0 {
		sql += " WHERE " + p.behind(p.key, 1)
	}
	if p.key != nil {
		sql += " ORDER BY " + strings.Join(p.key, ", ")
	}
	sql += fmt.Sprintf(" LIMIT %d", p.rows)
	if p.key == nil && seen > 0 {
		sql += fmt.Sprintf(" OFFSET %d", seen) // at one height all rows come in one order
	}
	return database.SQL(sql, last...)
}

// behind compares a key with parameters so that an index is used: a row of columns is greater, in a form of which the first can be
// looked up.
func (p *pager) behind(key []string, parameter int) string {
	if len(key) == 1 {
		return fmt.Sprintf("%s > %s%d", key[0], p.mark, parameter)
	}
	return fmt.Sprintf("%[1]s >= %[2]s%[3]d AND (%[1]s > %[2]s%[3]d OR %[4]s)", key[0], p.mark, parameter, p.behind(key[1:], parameter+1))
}

// keyOf is a row's key as parameters.
func (p *pager) keyOf(r database.Result, row []any) (key []any, err error) {
	if p.hidden {
		return row[:1], nil
	}
	for _, k := range p.key {
		at := slices.IndexFunc(r.Columns, func(c database.Column) bool { return identifier(c.Name) == k })
		if at < 0 || at >= len(row) {
			return nil, mesh.Errorf(mesh.Corrupt, "the table's rows lack column %s of its key", k)
		}
		v := row[at]
		if f, ok := v.(float64); ok && math.IsNaN(f) {
			v = "NaN" // which no parameter can be but as a text
		}
		key = append(key, v)
	}
	return key, nil
}
