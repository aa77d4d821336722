package engine

import (
	"context"
	"math"
)

// Read runs a query of the caller's own, not of a program's: it is neither metered nor bounded, and SQLite's own. f gets each row, of nil,
// int64, float64, string and []byte; it must not use the snapshot. It is for who dumps a database.
func (s *Snapshot) Read(ctx context.Context, sql string, f func(row []any) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	stop := watch(ctx, s.conn)
	defer stop()
	var columns int
	st, rc := s.conn.compile(sql, 0)
	if rc != rcOK {
		return fileError("reading", rc, s.conn.message())
	}
	columns = len(st.columnNames())
	st.finalize()
	_, err := s.conn.each(sql, func(rows []byte, count uint64) error {
		for range count {
			row := make([]any, columns)
			for i := range row {
				row[i], rows = value(rows)
			}
			if err := f(row); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// value reads one value, which it copies.
func value(b []byte) (any, []byte) {
	tag, n, data, rest := next(b)
	switch tag {
	case tagInteger:
		return int64(n), rest
	case tagReal:
		return math.Float64frombits(n), rest
	case tagText:
		return string(data), rest
	case tagBlob:
		return append([]byte{}, data...), rest
	}
	return nil, rest
}
