package dump

import (
	"bufio"
	"context"
	"encoding/hex"
	"io"
	"math"
	"strconv"
	"strings"
)

// A Script is a Sink that writes a text. Close writes its end.
type Script struct {
	w        *bufio.Writer
	postgres bool
	copying  *Table
}

// NewScript writes to w; postgres says which dialect's, whose rows come as COPY.
func NewScript(w io.Writer, postgres bool) *Script {
	return &Script{w: bufio.NewWriterSize(w, 1<<16), postgres: postgres}
}

// Comment writes a line that means nothing.
func (s *Script) Comment(text string) {
	s.w.WriteString("-- " + strings.NewReplacer("\n", " ", "\r", " ").Replace(text) + "\n") // a bufio.Writer's errors come with the next, and with Flush
}

func (s *Script) endCopy() {
	if s.copying != nil {
		s.w.WriteString("\\.\n\n")
		s.copying = nil
	}
}

// Statement writes a statement.
func (s *Script) Statement(_ context.Context, sql string) error {
	s.endCopy()
	s.w.WriteString(sql)
	_, err := s.w.WriteString(";\n")
	return err
}

// CopyStatement is what rows of PostgreSQL's text format come behind.
func (t *Table) CopyStatement() string {
	return "COPY " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") FROM stdin"
}

// Row writes a row.
func (s *Script) Row(_ context.Context, t *Table, row []any) error {
	if !s.postgres {
		s.w.WriteString("INSERT INTO " + t.Name + "(" + strings.Join(t.Columns, ",") + ") VALUES(")
		for i, v := range row {
			if i > 0 {
				s.w.WriteByte(',')
			}
			s.w.WriteString(SQLiteLiteral(v))
		}
		_, err := s.w.WriteString(");\n")
		return err
	}
	if s.copying != t {
		s.endCopy()
		s.w.WriteString("\n" + t.CopyStatement() + ";\n")
		s.copying = t
	}
	_, err := s.w.Write(AppendCopy(nil, row))
	return err
}

// Close writes what is left.
func (s *Script) Close() error {
	s.endCopy()
	return s.w.Flush()
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\b", `\b`, "\f", `\f`, "\v", `\v`)

// AppendCopy appends a row in PostgreSQL's text format.
func AppendCopy(b []byte, row []any) []byte {
	for i, v := range row {
		if i > 0 {
			b = append(b, '\t')
		}
		if t, ok := v.(string); ok {
			b = append(b, copyEscapes.Replace(t)...)
		} else {
			b = append(b, `\N`...)
		}
	}
	return append(b, '\n')
}

// SQLiteLiteral writes a value as SQLite's SQL.
func SQLiteLiteral(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "9.0e+999"
		case math.IsInf(v, -1):
			return "-9.0e+999"
		}
		t := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(t, ".e") {
			t += ".0"
		}
		return t
	case string:
		if strings.ContainsRune(v, 0) { // which ends a text of SQL
			return "CAST(X'" + hex.EncodeToString([]byte(v)) + "' AS TEXT)"
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		return "X'" + hex.EncodeToString(v) + "'"
	}
	return "NULL"
}
