package postgres

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// maxLine bounds a row of what is copied, in bytes.
const maxLine = 8 << 20

// A copyReader reads rows of what a client sends, in pieces of any size.
type copyReader struct {
	layout  *layout
	columns []*wirepb.Column
	table   string
	call    *postgres.Call
	add     func([]*wirepb.Value) *sqlError

	buf    []byte
	line   int
	header bool // is still to come
	ended  bool // by the mark of the end; what follows is passed over
	looked int  // bytes of buf in which no line ends, for CSV with
	inside bool // a quote open at looked
}

func newCopyReader(l *layout, columns []*wirepb.Column, table string, c *postgres.Call, add func([]*wirepb.Value) *sqlError) *copyReader {
	return &copyReader{layout: l, columns: columns, table: table, call: c, add: add, header: l.header || l.format == "binary"}
}

func (r *copyReader) bad(format string, args ...any) *sqlError {
	return newError("22P04", format, args...)
}

func (r *copyReader) write(b []byte) *sqlError {
	if r.ended {
		return nil
	}
	r.buf = append(r.buf, b...)
	if refused := r.drain(false); refused != nil {
		return refused
	}
	if len(r.buf) > maxLine {
		return newError(sqlstate.LimitExceeded, "a row of more than %d bytes in COPY", maxLine)
	}
	return nil
}

// close reads what is left.
func (r *copyReader) close() *sqlError {
	if r.ended {
		return nil
	}
	if refused := r.drain(true); refused != nil || r.ended {
		return refused
	}
	if r.layout.format == "binary" && (r.header || len(r.buf) > 0) {
		return r.bad("unexpected EOF in COPY data")
	}
	return nil
}

func (r *copyReader) drain(last bool) *sqlError {
	if r.layout.format == "binary" {
		return r.binary()
	}
	rest := r.buf
	for !r.ended {
		n, skip := r.lineEnd(rest)
		if n < 0 {
			if !last || len(rest) == 0 {
				break
			}
			if r.inside {
				return r.bad("unterminated CSV quoted field")
			}
			n, skip = len(rest), 0
		}
		line := rest[:n]
		rest = rest[n+skip:]
		r.looked, r.inside = 0, false
		r.line++
		if refused := r.row(line); refused != nil {
			refused.detail = "COPY " + r.table + ", line " + strconv.Itoa(r.line)
			return refused
		}
	}
	r.buf = append(r.buf[:0], rest...)
	return nil
}

// lineEnd finds where the first line ends, and how long its end is; -1: not yet.
func (r *copyReader) lineEnd(b []byte) (n, skip int) {
	if r.layout.format != "csv" {
		for from := r.looked; ; {
			i := bytes.IndexByte(b[from:], '\n')
			if i < 0 {
				r.looked = len(b)
				return -1, 0
			}
			i += from
			slashes := 0
			for slashes < i && b[i-1-slashes] == '\\' {
				slashes++
			}
			if slashes%2 == 1 { // the newline itself is meant
				from = i + 1
				continue
			}
			if i > 0 && b[i-1] == '\r' {
				return i - 1, 2
			}
			return i, 1
		}
	}
	l := r.layout
	for i := r.looked; i < len(b); i++ {
		switch c := b[i]; {
		case r.inside && c == l.escape && l.escape != l.quote:
			i++ // with what follows
			if i >= len(b) {
				r.looked = i - 1
				return -1, 0
			}
		case c == l.quote:
			r.inside = !r.inside // twice in a row changes nothing
		case c == '\n' && !r.inside:
			if i > 0 && b[i-1] == '\r' {
				return i - 1, 2
			}
			return i, 1
		}
		r.looked = i + 1
	}
	return -1, 0
}

func (r *copyReader) row(line []byte) *sqlError {
	if string(line) == `\.` {
		r.ended = true
		return nil
	}
	if !utf8.Valid(line) {
		return newError(sqlstate.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
	}
	fields, refused := r.fields(line)
	if refused != nil {
		return refused
	}
	if r.header {
		r.header = false
		if r.layout.match {
			for i, c := range r.columns {
				if i >= len(fields) || fields[i] == nil || *fields[i] != c.Name {
					return r.bad("column name mismatch in header line field %d", i+1)
				}
			}
			if len(fields) != len(r.columns) {
				return r.bad("wrong number of fields in header line: got %d, expected %d", len(fields), len(r.columns))
			}
		}
		return nil
	}
	switch {
	case len(fields) > len(r.columns):
		return r.bad("extra data after last expected column")
	case len(fields) < len(r.columns):
		return r.bad("missing data for column \"%s\"", r.columns[len(fields)].Name)
	}
	values := make([]*wirepb.Value, len(fields))
	for i, f := range fields {
		values[i] = value(nil)
		if f == nil {
			continue
		}
		v, err := postgres.Input(r.call, postgres.OID(r.columns[i].TypeOid), r.columns[i].Typmod, *f)
		if err != nil {
			return errorOf(err)
		}
		values[i] = value(v)
	}
	return r.add(values)
}

// fields divides a line; nil is NULL.
func (r *copyReader) fields(line []byte) (all []*string, refused *sqlError) {
	if r.layout.format == "csv" {
		return r.csv(line)
	}
	if len(line) == 0 && len(r.columns) == 0 {
		return nil, nil
	}
	l := r.layout
	var field []byte
	from := 0
	end := func(to int) {
		if string(line[from:to]) == l.null {
			all = append(all, nil)
		} else {
			s := string(field)
			all = append(all, &s)
		}
		field = field[:0]
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == l.delimiter:
			end(i)
			from = i + 1
		case c == '\\' && i+1 < len(line):
			i++
			var n int
			if c, n = escaped(line[i:]); n > 1 {
				i += n - 1
			}
			field = append(field, c)
		default:
			field = append(field, c)
		}
	}
	end(len(line))
	for _, f := range all {
		if f != nil && !utf8.ValidString(*f) {
			return nil, newError(sqlstate.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
		}
	}
	return all, nil
}

// escaped reads what follows a backslash, and how many bytes that took.
func escaped(b []byte) (byte, int) {
	switch c := b[0]; {
	case c >= '0' && c <= '7':
		v, n := 0, 0
		for n < 3 && n < len(b) && b[n] >= '0' && b[n] <= '7' {
			v, n = v*8+int(b[n]-'0'), n+1
		}
		return byte(v), n
	case c == 'x':
		v, n := 0, 1
		for n < 3 && n < len(b) {
			d, err := strconv.ParseUint(string(b[n]), 16, 8)
			if err != nil {
				break
			}
			v, n = v*16+int(d), n+1
		}
		if n == 1 {
			return 'x', 1
		}
		return byte(v), n
	default:
		if i := bytes.IndexByte([]byte("bfnrtv"), c); i >= 0 {
			return "\b\f\n\r\t\v"[i], 1
		}
		return c, 1
	}
}

func (r *copyReader) csv(line []byte) (all []*string, refused *sqlError) {
	l := r.layout
	var field []byte
	quoted, inside := false, false
	end := func() {
		s := string(field)
		if !quoted && s == l.null {
			all = append(all, nil)
		} else {
			all = append(all, &s)
		}
		field, quoted = field[:0], false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case inside && c == l.escape && i+1 < len(line) && (line[i+1] == l.quote || line[i+1] == l.escape):
			i++
			field = append(field, line[i])
		case c == l.quote:
			inside, quoted = !inside, true
		case c == l.delimiter && !inside:
			end()
		default:
			field = append(field, c)
		}
	}
	if inside {
		return nil, r.bad("unterminated CSV quoted field")
	}
	end()
	return all, nil
}

// binary reads rows in PostgreSQL's binary format.
func (r *copyReader) binary() *sqlError {
	rest := r.buf
	defer func() { r.buf = append(r.buf[:0], rest...) }()
	if r.header {
		const head = len(binarySignature) + 8
		if len(rest) < head {
			return nil
		}
		if string(rest[:len(binarySignature)]) != binarySignature {
			return r.bad("COPY file signature not recognized")
		}
		if flags := binary.BigEndian.Uint32(rest[len(binarySignature):]); flags != 0 {
			return r.bad("unrecognized flags in COPY file header")
		}
		extra := binary.BigEndian.Uint32(rest[len(binarySignature)+4:])
		if extra > 1<<16 {
			return r.bad("invalid COPY file header (wrong length)")
		}
		if len(rest) < head+int(extra) {
			return nil
		}
		rest, r.header = rest[head+int(extra):], false
	}
	for !r.ended {
		b := rest
		if len(b) < 2 {
			return nil
		}
		n := int(int16(binary.BigEndian.Uint16(b)))
		b = b[2:]
		if n == -1 {
			r.ended, rest = true, nil
			return nil
		}
		if n != len(r.columns) {
			return r.bad("row field count is %d, expected %d", n, len(r.columns))
		}
		values := make([]*wirepb.Value, n)
		for i := range values {
			if len(b) < 4 {
				return nil
			}
			size := int(int32(binary.BigEndian.Uint32(b)))
			b = b[4:]
			if size == -1 {
				values[i] = value(nil)
				continue
			}
			if size < 0 || size > maxLine {
				return r.bad("invalid field size")
			}
			if len(b) < size {
				return nil
			}
			v, err := postgres.Decode(r.call, postgres.OID(r.columns[i].TypeOid), r.columns[i].Typmod, b[:size])
			if err != nil {
				return errorOf(err)
			}
			values[i], b = value(v), b[size:]
		}
		if refused := r.add(values); refused != nil {
			return refused
		}
		rest = b
		r.line++
	}
	return nil
}
