package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

// A tableShape is what a table is made of.
type tableShape struct {
	columns []string
	types   []string // as declared
	key     []string // columns of the primary key, in its order; none: it has no such key
}

// codeNoTable is undefined_table, as PostgreSQL says it of a name that is no relation's.
const codeNoTable = "42P01"

// shapeOf asks a database for a table's shape.
func shapeOf(ctx context.Context, db *database.DB, table string) (*tableShape, error) {
	none := mesh.WithHint(mesh.Errorf(mesh.NotFound, "database %s has no table %s", db.Name(), table), `make it: stratos db sql %s 'CREATE TABLE ...'; stratos db shell %[1]s, and \dt there, show which there are`, db.Name())
	s := new(tableShape)
	if db.Dialect() == wiredatabase.SQLite {
		o, err := db.Query(ctx, database.Default, database.SQL("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid", table))
		if err != nil {
			return nil, err
		}
		keys := map[int64]string{}
		for _, row := range o.Results[0].Rows {
			name, _ := row[0].(string)
			declared, _ := row[1].(string)
			s.columns, s.types = append(s.columns, name), append(s.types, declared)
			if n, _ := row[2].(int64); n > 0 {
				keys[n] = name
			}
		}
		for n := int64(1); n <= int64(len(keys)); n++ {
			s.key = append(s.key, keys[n])
		}
		if len(s.columns) == 0 {
			return nil, none
		}
		return s, nil
	}
	name := literal(relation(table)) + "::pg_catalog.regclass"
	o, err := db.Query(ctx, database.Default,
		database.SQL("SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a WHERE a.attrelid = "+name+" AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"),
		database.SQL(`SELECT a.attname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid
			WHERE a.attnum = ANY(c.conkey) AND c.contype = 'p' AND c.conrelid = `+name+` ORDER BY array_position(c.conkey, a.attnum)`))
	var failed *database.Error
	if errors.As(err, &failed) && failed.Code == codeNoTable {
		return nil, none
	}
	if err != nil {
		return nil, err
	}
	for _, row := range o.Results[0].Rows {
		name, _ := row[0].(string)
		declared, _ := row[1].(string)
		s.columns, s.types = append(s.columns, name), append(s.types, declared)
	}
	for _, row := range o.Results[1].Rows {
		name, _ := row[0].(string)
		s.key = append(s.key, name)
	}
	return s, nil
}

// upsertable refuses columns by which no row of the table can be found again.
func (s *tableShape) upsertable(table string, columns []string) error {
	if len(s.key) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "table %s has no primary key, by which rows replace those that are there", table), "give it one: ALTER TABLE %s ADD PRIMARY KEY (COLUMN), or make it anew with one", relation(table))
	}
	for i, c := range columns {
		if !slices.Contains(s.columns, c) {
			return mesh.Errorf(mesh.Invalid, "table %s has no column %q; it has %s", table, c, strings.Join(s.columns, ", "))
		}
		if slices.Contains(columns[:i], c) {
			return mesh.Errorf(mesh.Invalid, "column %q is named twice", c)
		}
	}
	for _, k := range s.key {
		if !slices.Contains(columns, k) {
			return mesh.Errorf(mesh.Invalid, "the rows lack column %q of the primary key of table %s: they have %s", k, table, strings.Join(columns, ", "))
		}
	}
	return nil
}

// An upsertLoader puts rows into a table, each in the place of the one with its primary key. Doing that again changes nothing.
type upsertLoader struct {
	db      *database.DB
	sql     string
	columns []string
	types   []string // of them, as declared
}

func newUpsertLoader(ctx context.Context, db *database.DB, table string, columns []string) (*upsertLoader, error) {
	shape, err := shapeOf(ctx, db, table)
	if err != nil {
		return nil, err
	}
	if err := shape.upsertable(table, columns); err != nil {
		return nil, err
	}
	l := &upsertLoader{db: db, columns: columns}
	mark := "$"
	if db.Dialect() == wiredatabase.SQLite {
		mark = "?"
	}
	var names, values, keys, sets []string
	for i, c := range columns {
		names, values = append(names, identifier(c)), append(values, mark+strconv.Itoa(i+1))
		l.types = append(l.types, shape.types[slices.Index(shape.columns, c)])
		if !slices.Contains(shape.key, c) {
			sets = append(sets, identifier(c)+" = excluded."+identifier(c))
		}
	}
	for _, k := range shape.key {
		keys = append(keys, identifier(k))
	}
	do := "DO NOTHING"
	if len(sets) > 0 {
		do = "DO UPDATE SET " + strings.Join(sets, ", ")
	}
	l.sql = fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) %s", relation(table), strings.Join(names, ", "), strings.Join(values, ", "), strings.Join(keys, ", "), do)
	return l, nil
}

func (l *upsertLoader) Close() error { return nil }

// load puts in a statement a row: so a later row of a key replaces an earlier one, and an error says which row it is about.
func (l *upsertLoader) load(ctx context.Context, rows [][]*string) error {
	var p database.Program
	for n, row := range rows {
		s := database.SQL(l.sql)
		for i, f := range row {
			v, err := l.value(i, f)
			if err != nil {
				return &rowError{n + 1, err}
			}
			s.Parameters = append(s.Parameters, v)
		}
		p.Statements = append(p.Statements, s)
	}
	_, err := l.db.Exec(ctx, p)
	var failed *database.Error
	if errors.As(err, &failed) && failed.SQL != "" && failed.Statement < len(rows) {
		column := 0
		if n, _ := fmt.Sscanf(failed.Text, "parameter %d:", &column); n == 1 && column > 0 && column <= len(l.columns) {
			err = fmt.Errorf("column %q: %w", l.columns[column-1], err)
		}
		return &rowError{failed.Statement + 1, err}
	}
	return err
}

// value is a field as the table takes it. Dialect postgres reads texts by the column's type; SQLite takes anything, so that is looked at here.
func (l *upsertLoader) value(column int, f *string) (any, error) {
	if f == nil {
		return nil, nil
	}
	if l.db.Dialect() != wiredatabase.SQLite {
		return *f, nil
	}
	switch declared := l.types[column]; sqliteKind(declared) {
	case 'i':
		n, err := strconv.ParseInt(*f, 10, 64)
		if err != nil {
			return nil, mesh.Errorf(mesh.Invalid, "%.60q is no value of column %q, which is %s", *f, l.columns[column], declared)
		}
		return n, nil
	case 'r':
		r, err := strconv.ParseFloat(*f, 64)
		if err != nil || r != r {
			return nil, mesh.Errorf(mesh.Invalid, "%.60q is no value of column %q, which is %s", *f, l.columns[column], declared)
		}
		if n, err := strconv.ParseInt(*f, 10, 64); err == nil {
			return n, nil
		}
		return r, nil
	}
	return *f, nil
}

// sqliteKind is what a column of SQLite is by its declared type: i an integer, r a real, else a text.
func sqliteKind(declared string) byte {
	switch declared = strings.ToUpper(declared); {
	case strings.Contains(declared, "INT"):
		return 'i'
	case strings.Contains(declared, "REAL"), strings.Contains(declared, "FLOA"), strings.Contains(declared, "DOUB"), strings.Contains(declared, "NUM"):
		return 'r'
	}
	return 't'
}
