package dump

import (
	"context"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
)

// A Source is a table as it lies in SQLite's file.
type Source struct {
	Table   Table
	From    string   // SQLite's name of it
	Order   string   // by what its rows are in order
	Cells   []string // SQLite's names of the columns
	NotNull []bool
	Key     []int                              // columns that name a row; nil: nothing does
	Value   func(i int, v any) (any, error)    // what a cell is to a Sink; nil: itself
	Literal func(i int, v any) (string, error) // how SQL writes what Value gave
	Late    []Late
}

// A Late is a reference to rows that may come later. They are set when all are there.
type Late struct {
	Columns []int
	// Parents, if any, are the cells of this same table that are referenced: then only those are late whose parent is behind them, by Position,
	// SQLite's row id.
	Parents  []string
	Position string
}

// Soft tells whether rows can be without values in these columns for a while.
func (s *Source) Soft(columns []int) bool {
	return s.Key != nil && !slices.ContainsFunc(columns, func(c int) bool { return c < 0 || s.NotNull[c] || slices.Contains(s.Key, c) })
}

// condition is true of rows, as r, of which the reference is late.
func (s *Source) condition(l Late) string {
	var parts, same []string
	for i, c := range l.Columns {
		parts = append(parts, "r."+s.Cells[c]+" IS NOT NULL")
		if l.Parents != nil {
			same = append(same, "p."+l.Parents[i]+" = r."+s.Cells[c])
		}
	}
	if l.Parents != nil && l.Position != "" {
		parts = append(parts, "NOT EXISTS(SELECT 1 FROM "+s.From+" AS p WHERE "+strings.Join(same, " AND ")+" AND p."+l.Position+" <= r."+l.Position+")")
	}
	return "(" + strings.Join(parts, " AND ") + ")"
}

func (s *Source) value(i int, v any) (any, error) {
	if v == nil || s.Value == nil {
		return v, nil
	}
	return s.Value(i, v)
}

func (s *Source) sql(tail string, more ...string) string {
	var cells []string
	for _, c := range s.Cells {
		cells = append(cells, "r."+c)
	}
	return "SELECT " + strings.Join(append(cells, more...), ", ") + " FROM " + s.From + " AS r NOT INDEXED" + tail + s.Order
}

// Rows gives a sink the rows; in form Load with NULL where a reference is late.
func (s *Source) Rows(ctx context.Context, from *engine.Snapshot, f Form, to Sink) error {
	var late []Late
	var conditions []string
	if f == Load {
		late = s.Late
		for _, l := range late {
			conditions = append(conditions, s.condition(l))
		}
	}
	return from.Read(ctx, s.sql("", conditions...), func(row []any) (err error) {
		flags := row[len(s.Cells):]
		row = row[:len(s.Cells)]
		for i, v := range row {
			if row[i], err = s.value(i, v); err != nil {
				return err
			}
		}
		for i, l := range late {
			if flags[i] != int64(1) {
				continue
			}
			if !s.Soft(l.Columns) {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a row of table %s references one that comes later, in column %s, and cannot say so afterwards: the column is NOT NULL, or the table has no primary key",
					s.Table.Name, s.Table.Columns[l.Columns[0]]), "write the backup as SQL, order the rows there, and run it")
			}
			for _, c := range l.Columns {
				row[c] = nil
			}
		}
		return to.Row(ctx, &s.Table, row)
	})
}

// Later gives a sink what Rows left out of references.
func (s *Source) Later(ctx context.Context, from *engine.Snapshot, to Sink) error {
	for _, l := range s.Late {
		err := from.Read(ctx, s.sql(" WHERE "+s.condition(l)), func(row []any) error {
			write := func(i int) (string, error) {
				v, err := s.value(i, row[i])
				if err != nil {
					return "", err
				}
				t, err := s.Literal(i, v)
				return s.Table.Columns[i] + " = " + t, err
			}
			var set, where []string
			for _, c := range l.Columns {
				t, err := write(c)
				if err != nil {
					return err
				}
				set = append(set, t)
			}
			for _, c := range s.Key {
				t, err := write(c)
				if err != nil {
					return err
				}
				where = append(where, t)
			}
			return to.Statement(ctx, "UPDATE "+s.Table.Name+" SET "+strings.Join(set, ", ")+" WHERE "+strings.Join(where, " AND "))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
