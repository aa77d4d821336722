package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A pagedTable answers what a pager asks of a table with rows (k, v), of which no more than most are given at once.
type pagedTable struct {
	rows   [][]any
	most   int
	height func(asked int) int64
	asked  int
	sql    []string
}

func (p *pagedTable) ask(_ context.Context, s database.Statement) (*database.Outcome, error) {
	p.asked++
	p.sql = append(p.sql, s.SQL)
	var limit, offset int
	rows := p.rows
	if len(s.Parameters) > 0 {
		after := s.Parameters[0].(int64)
		at, _ := slices.BinarySearchFunc(rows, after+1, func(r []any, k int64) int { return cmp.Compare(r[0].(int64), k) })
		rows = rows[at:]
	}
	for i := range s.SQL {
		if n, _ := fmt.Sscanf(s.SQL[i:], "LIMIT %d OFFSET %d", &limit, &offset); n > 0 {
			break
		}
	}
	rows = rows[min(offset, len(rows)):]
	if rows = rows[:min(limit, len(rows))]; len(rows) > p.most {
		return nil, &database.Error{Code: sqlstate.LimitExceeded}
	}
	return &database.Outcome{Results: []database.Result{{Columns: []database.Column{{Name: "k"}, {Name: "v"}}, Rows: slices.Clone(rows)}}, Height: p.height(p.asked)}, nil
}

func TestPager(t *testing.T) {
	table := func(n, most int) *pagedTable {
		p := &pagedTable{most: most, height: func(int) int64 { return 7 }}
		for i := range n {
			p.rows = append(p.rows, []any{int64(10 * i), int64(i)})
		}
		return p
	}
	for _, c := range []struct{ rows, most, page, asked int }{{0, 10, 10, 1}, {5, 10, 10, 1}, {10, 10, 10, 2}, {95, 10, 10, 10}, {95, 10, 40, 1 + 1 + 10}, {3, 1, 2, 1 + 4}} {
		for _, p := range []*pager{{table: "t", key: []string{`"k"`}, mark: "$"}, {table: "t"}, {table: "t", key: []string{"rowid"}, hidden: true, mark: "?"}} {
			from := table(c.rows, c.most)
			p.rows, p.ask = c.page, from.ask
			var got []int64
			err := p.read(t.Context(), 7, func(r database.Result) error {
				for _, row := range r.Rows {
					got = append(got, row[len(row)-1].(int64))
				}
				return nil
			})
			inOrder := len(got) == c.rows
			for i, v := range got {
				inOrder = inOrder && v == int64(i)
			}
			if err != nil || !inOrder || from.asked != c.asked {
				t.Errorf("%+v with key %v: %d rows %v, asked %d times: %q, %v", c, p.key, len(got), got, from.asked, from.sql, err)
			}
		}
	}
	moving := table(20, 10)
	moving.height = func(asked int) int64 { return 6 + int64(asked) }
	p := &pager{table: "t", rows: 10, ask: moving.ask}
	if err := p.read(t.Context(), 7, func(database.Result) error { return nil }); !errors.Is(err, errMoved) || moving.asked != 2 {
		t.Errorf("of a table that is written to: %v after %d parts", err, moving.asked)
	}
}

func TestPagerKey(t *testing.T) {
	p := &pager{table: "t", key: []string{"a", "b", "c"}, rows: 5, mark: "$"}
	want := "SELECT * FROM t WHERE a >= $1 AND (a > $1 OR b >= $2 AND (b > $2 OR c > $3)) ORDER BY a, b, c LIMIT 5"
	if got := p.part([]any{1, 2, 3}, 9); got.SQL != want || len(got.Parameters) != 3 {
		t.Errorf("%s\nwant %s", got.SQL, want)
	}
}
