package engine

import (
	"context"
	"encoding/binary"
	"hash"
	"strings"

	"lukechampine.com/blake3"
)

// Content is the digest of what the database holds at the snapshot's height: the schema in the order in which it was
// made, the rows of all tables in the order of their row ids or primary keys, and which programs are on record. It does
// not depend on where things lie in the file.
//
// It is BLAKE3 over "stratos database content/1", a zero, and for each table its name and the number of its columns, then
// its rows, then the number of rows as a u64. Names and values are a byte of type (1 integer, 2 real, 3 text, 4 blob, 5
// null) and 8 bytes, or a length as a u32 and the bytes; little-endian, as SQLite hands them over.
func (s *Snapshot) Content(ctx context.Context) (sum [32]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return sum, err
	}
	stop := watch(ctx, s.conn)
	defer stop()
	return content(ctx, s.conn)
}

func content(ctx context.Context, c *conn) (sum [32]byte, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil { // which SQLite calls an interrupt, wherever it stood
			err = ctx.Err()
		}
	}()
	all, err := userTables(c)
	if err != nil {
		return sum, err
	}
	all = append(all, listing{"record", "SELECT height, idx, id, digest, of_height, of_idx, outcome IS NULL FROM main._stratos_outcome ORDER BY height, idx"},
		listing{"blocks", "SELECT height, time_ms, digest FROM main._stratos_block ORDER BY height"})
	return hashTables(ctx, c, all)
}

// A listing is SQL that gives the rows of a table in order.
type listing struct{ name, sql string }

func userTables(c *conn) ([]listing, error) {
	c.schema = nil
	sch, err := c.readSchema()
	if err != nil {
		return nil, err
	}
	// Not the engine's own, which are as the format has them.
	all := []listing{{"sqlite_schema", `SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE tbl_name NOT GLOB '_stratos_*' ORDER BY rowid`}}
	for _, o := range sch.objects {
		if o.kind != "table" || strings.HasPrefix(lowerASCII(o.name), "_stratos_") {
			continue
		}
		st, rc := c.compile("SELECT * FROM main."+quoteName(o.name), 0)
		if rc != rcOK {
			return nil, fileError("reading table "+o.name, rc, c.message())
		}
		id := rowID(st.columnNames())
		st.finalize()
		from := " FROM main." + quoteName(o.name) + " NOT INDEXED"
		sql := "SELECT *" + from // by the primary key, as it lies
		if st, rc := c.compile("SELECT "+id+from, 0); id != "" && rc == rcOK {
			st.finalize()
			sql = "SELECT " + id + ", *" + from + " ORDER BY " + id
		}
		all = append(all, listing{o.name, sql})
	}
	return all, nil
}

func hashTables(ctx context.Context, c *conn, all []listing) (sum [32]byte, err error) {
	h := blake3.New(32, nil)
	h.Write([]byte("stratos database content/1\x00"))
	for _, t := range all {
		if err := c.hashRows(ctx, h, t.name, t.sql); err != nil {
			return sum, err
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

func (c *conn) hashRows(ctx context.Context, h hash.Hash, name, sql string) error {
	st, rc := c.compile(sql, 0)
	if rc != rcOK {
		return fileError("reading table "+name, rc, c.message())
	}
	columns := len(st.columnNames())
	st.finalize()
	h.Write(appendAny(appendAny(nil, name), int64(columns)))
	total := uint64(0)
	_, err := c.each(sql, func(rows []byte, count uint64) error {
		h.Write(rows)
		total += count
		return ctx.Err()
	})
	h.Write(binary.LittleEndian.AppendUint64(nil, total))
	return err
}

// Check looks through the whole file for damage: pages, indexes against their tables, constraints. Corrupt: there is some.
func (s *Snapshot) Check(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	stop := watch(ctx, s.conn)
	defer stop()
	return integrity(ctx, s.conn)
}

func integrity(ctx context.Context, c *conn) error {
	rows, err := c.unshielded("PRAGMA integrity_check(1)")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0][0] != "ok" {
		what := "no answer"
		if len(rows) > 0 {
			what, _ = rows[0][0].(string)
		}
		return corrupt("the file is damaged: " + what)
	}
	return nil
}
