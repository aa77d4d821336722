// Package dump writes what a database holds as statements and rows, which make another of it: as a text that PostgreSQL's or SQLite's
// tools read, or to be loaded into a database of Stratos. It reads a snapshot of the engine's and knows no network. The command line calls
// it; what PostgreSQL's statements are, node/database/postgres tells it.
//
// There are two forms, of the same statements. The text is as pg_dump and sqlite3's .dump write it: what rows reference is declared behind
// the rows, or not looked at while they come. What is loaded into a cell is declared before, because each of its programs is whole by
// itself, and none may take as much as it takes to look through a large table: so tables come behind those that they reference, and where
// rows reference rows that come later, they say so afterwards.
package dump

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"strings"

	"lukechampine.com/blake3"
)

// A Sink takes a dump, in order.
type Sink interface {
	// Statement takes a statement, without a semicolon.
	Statement(ctx context.Context, sql string) error
	// Row takes a row. All rows of a table come one after the other, with the same t. Values are nil, int64, float64, string and []byte;
	// of dialect postgres nil, or the text that PostgreSQL writes.
	Row(ctx context.Context, t *Table, row []any) error
}

// A Table is where rows go.
type Table struct {
	Name    string   // as SQL writes it
	Columns []string // too
}

// Form is what a dump is for.
type Form int

const (
	Text Form = iota // a script, for other programs
	Load             // programs, for a cell
)

// A Sum tells what there is of something, in whatever order it came: how many, and the sum of their BLAKE3 as numbers.
type Sum struct {
	Count  uint64
	Digest [4]uint64 // little-endian
}

func (s *Sum) add(b []byte) {
	sum := blake3.Sum256(b)
	carry := uint64(0)
	for i := range s.Digest {
		s.Digest[i], carry = bits.Add64(s.Digest[i], binary.LittleEndian.Uint64(sum[8*i:]), carry)
	}
	s.Count++
}

// Sums is a Sink that compares: two databases with the same sums hold the same.
type Sums struct {
	Statements Sum
	Tables     map[string]*Sum // rows by the table's name; those that have any
	Made       int             // tables that statements make, with rows and without
}

// NewSums returns sums of nothing.
func NewSums() *Sums { return &Sums{Tables: map[string]*Sum{}} }

// Statement adds a statement.
func (s *Sums) Statement(_ context.Context, sql string) error {
	s.Statements.add([]byte(sql))
	if strings.HasPrefix(sql, "CREATE TABLE ") { // as dumps and SQLite's schema write it
		s.Made++
	}
	return nil
}

// Row adds a row.
func (s *Sums) Row(_ context.Context, t *Table, row []any) error {
	of := s.Tables[t.Name]
	if of == nil {
		of = new(Sum)
		s.Tables[t.Name] = of
	}
	var b []byte
	for _, v := range row { // a byte for its type, 8 of a number or a length, and bytes
		switch v := v.(type) {
		case nil:
			b = append(b, 0)
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, 1), uint64(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, 2), math.Float64bits(v))
		case string:
			b = append(binary.LittleEndian.AppendUint64(append(b, 3), uint64(len(v))), v...)
		case []byte:
			b = append(binary.LittleEndian.AppendUint64(append(b, 4), uint64(len(v))), v...)
		}
	}
	of.add(b)
	return nil
}

// Rows is how many there are in all.
func (s *Sums) Rows() (n uint64) {
	for _, t := range s.Tables {
		n += t.Count
	}
	return n
}

// Differences names what is not the same: tables, and "" for the statements.
func (s *Sums) Differences(o *Sums) (names []string) {
	if s.Statements != o.Statements {
		names = append(names, "")
	}
	of := func(s *Sums, name string) Sum {
		if t := s.Tables[name]; t != nil {
			return *t
		}
		return Sum{}
	}
	for _, name := range sortedNames(s.Tables, o.Tables) {
		if of(s, name) != of(o, name) {
			names = append(names, name)
		}
	}
	return names
}
