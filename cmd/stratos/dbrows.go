package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/mesh"
)

// maxRecord bounds a row of a file, in bytes: it must fit a program.
const maxRecord = 768 << 10

// A rowReader reads rows of a file one after the other; nil is NULL. The end is io.EOF.
type rowReader interface {
	// columns are those that every row has, in their order.
	columns() []string
	next() ([]*string, error)
	// line is the one of the file, from 1, in which the row begins that next read last, or which it could not read.
	line() int
}

// A csvReader reads comma-separated values as PostgreSQL does: a field that is empty and not in quotes is NULL.
type csvReader struct {
	in        *bufio.Reader
	delimiter byte
	null      string
	head      []string
	record    []byte
	began     int // line of the record
	lines     int // that were read
}

func newCSVReader(in *bufio.Reader, delimiter byte, null string, columns []string, header bool) (*csvReader, error) {
	r := &csvReader{in: in, delimiter: delimiter, null: null, head: columns}
	if b, err := in.Peek(3); err == nil && string(b) == "\xef\xbb\xbf" { // a mark that the text is UTF-8
		in.Discard(3)
	}
	if !header {
		return r, nil
	}
	fields, err := r.fields()
	if errors.Is(err, io.EOF) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the file is empty, and should begin with the names of its columns"), "name them with --columns")
	}
	if err != nil {
		return nil, err
	}
	if columns == nil {
		for _, f := range fields {
			if f == nil {
				return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the first line, which names the columns, has one without a name"), "name all with --columns")
			}
			r.head = append(r.head, *f)
		}
	}
	return r, nil
}

func (r *csvReader) columns() []string { return r.head }
func (r *csvReader) line() int         { return r.began }

func (r *csvReader) next() ([]*string, error) {
	fields, err := r.fields()
	if err == nil && len(fields) != len(r.head) {
		return nil, mesh.Errorf(mesh.Invalid, "%d fields, and there are %d columns: %s", len(fields), len(r.head), strings.Join(r.head, ", "))
	}
	return fields, err
}

// fields reads a record, which goes over several lines where a quote is open.
func (r *csvReader) fields() (all []*string, err error) {
	r.record, r.began = r.record[:0], r.lines+1
	for open := false; ; {
		part, err := r.in.ReadSlice('\n')
		r.lines += bytes.Count(part, []byte{'\n'})
		r.record = append(r.record, part...)
		open = open != (bytes.Count(part, []byte{'"'})%2 == 1)
		switch {
		case len(r.record) > maxRecord:
			return nil, mesh.Errorf(mesh.Invalid, "a row of more than %d bytes; is a quote left open?", maxRecord)
		case errors.Is(err, bufio.ErrBufferFull), err == nil && open:
			continue
		case errors.Is(err, io.EOF) && len(r.record) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF) && open:
			return nil, mesh.Errorf(mesh.Invalid, "a quote is left open")
		case err != nil && !errors.Is(err, io.EOF):
			return nil, mesh.Errorf(mesh.Invalid, "reading the file: %w", err)
		}
		break
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(r.record, []byte{'\n'}), []byte{'\r'})
	if !utf8.Valid(line) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "text that is not UTF-8"), "convert it, for example with iconv -f LATIN1 -t UTF-8")
	}
	var field []byte
	quoted, inside := false, false
	end := func() {
		if s := string(field); quoted || s != r.null {
			all = append(all, &s)
		} else {
			all = append(all, nil)
		}
		field, quoted = field[:0], false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"' && inside && i+1 < len(line) && line[i+1] == '"':
			i++
			field = append(field, '"')
		case c == '"':
			inside, quoted = !inside, true
		case c == r.delimiter && !inside:
			end()
		default:
			field = append(field, c)
		}
	}
	end()
	return all, nil
}

// A jsonReader reads objects, one after the other or in one array. Its columns are those of the first; what later ones lack is NULL.
type jsonReader struct {
	in    *json.Decoder
	lines newlines
	array bool
	ended bool
	head  []string
	first []*string // is still to be handed out
	began int       // line of the object
}

// newlines tells at which line what lies at an offset of what was read through it.
type newlines struct {
	in   io.Reader
	read int64
	at   []int64 // offsets of newlines that were not passed yet
	line int
}

func (l *newlines) Read(b []byte) (int, error) {
	n, err := l.in.Read(b)
	for i, c := range b[:n] {
		if c == '\n' {
			l.at = append(l.at, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// lineAt passes all before an offset, which does not go back.
func (l *newlines) lineAt(offset int64) int {
	for len(l.at) > 0 && l.at[0] < offset {
		l.at, l.line = l.at[1:], l.line+1
	}
	return l.line
}

func newJSONReader(in *bufio.Reader, columns []string) (*jsonReader, error) {
	r := &jsonReader{head: columns, lines: newlines{in: in, line: 1}}
	for {
		b, err := in.Peek(1)
		if err != nil || !bytes.ContainsAny(b, " \t\r\n") {
			r.array = err == nil && b[0] == '['
			break
		}
		if b[0] == '\n' {
			r.lines.line++
		}
		in.Discard(1)
	}
	r.in = json.NewDecoder(&r.lines)
	r.in.UseNumber()
	if r.array {
		if _, err := r.in.Token(); err != nil {
			return nil, mesh.Errorf(mesh.Invalid, "the JSON: %w", err)
		}
	}
	if columns != nil {
		return r, nil
	}
	names, values, err := r.object()
	if errors.Is(err, io.EOF) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is no object from which to learn the columns"), "name them with --columns")
	}
	r.head, r.first = names, values
	return r, err
}

func (r *jsonReader) columns() []string { return r.head }
func (r *jsonReader) line() int         { return r.began }

func (r *jsonReader) next() ([]*string, error) {
	if first := r.first; first != nil {
		r.first = nil
		return first, nil
	}
	names, values, err := r.object()
	if err != nil {
		return nil, err
	}
	row := make([]*string, len(r.head))
	for i, name := range names {
		at := slices.Index(r.head, name)
		if at < 0 {
			return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "a key %.60q, which is no column of the import: %s", name, strings.Join(r.head, ", ")), "name all columns with --columns")
		}
		row[at] = values[i]
	}
	return row, nil
}

// object reads the next object, its keys in the order in which they stand there.
func (r *jsonReader) object() (names []string, values []*string, err error) {
	if r.ended {
		return nil, nil, io.EOF
	}
	if !r.in.More() {
		r.began = r.lines.lineAt(r.in.InputOffset())
		if r.array {
			if _, err := r.in.Token(); err != nil {
				return nil, nil, mesh.Errorf(mesh.Invalid, "the JSON ends within its array")
			}
			if r.in.More() {
				return nil, nil, mesh.Errorf(mesh.Invalid, "the JSON has something behind its array")
			}
		}
		r.ended = true
		return nil, nil, io.EOF
	}
	from := r.in.InputOffset()
	defer func() {
		if err != nil && !errors.Is(err, io.EOF) {
			r.began = r.lines.lineAt(r.in.InputOffset())
		}
	}()
	bad := func(err error) error { return mesh.Errorf(mesh.Invalid, "the JSON, behind byte %d: %v", from, err) } // its end is not the end of rows
	t, err := r.in.Token()
	if err != nil {
		return nil, nil, bad(err)
	}
	r.began = r.lines.lineAt(r.in.InputOffset())
	if t != json.Delim('{') {
		return nil, nil, mesh.Errorf(mesh.Invalid, "the JSON has %v behind byte %d, where an object should be", t, from)
	}
	for r.in.More() {
		t, err := r.in.Token()
		if err != nil {
			return nil, nil, bad(err)
		}
		name := t.(string)
		var raw json.RawMessage
		if err := r.in.Decode(&raw); err != nil {
			return nil, nil, bad(err)
		}
		if len(raw) > maxRecord {
			return nil, nil, mesh.Errorf(mesh.Invalid, "a value of more than %d bytes", maxRecord)
		}
		if slices.Contains(names, name) {
			return nil, nil, mesh.Errorf(mesh.Invalid, "an object has the key %.60q twice", name)
		}
		var v *string
		switch raw[0] {
		case '"':
			s := ""
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, nil, bad(err)
			}
			v = &s
		case 'n':
		default: // numbers, truth, and what is a value of type json
			s := string(raw)
			v = &s
		}
		names, values = append(names, name), append(values, v)
	}
	if _, err := r.in.Token(); err != nil {
		return nil, nil, bad(err)
	}
	return names, values, nil
}
