package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/mesh"
)

// A textReader reads rows as PostgreSQL's COPY writes text: fields parted by tabs, \N is NULL, and a tab, a newline and a backslash in a field stand
// behind a backslash, as \t, \n and \\. So each row is a line.
type textReader struct {
	in    *bufio.Reader
	head  []string
	long  []byte
	lines int
}

func newTextReader(in *bufio.Reader, columns []string) *textReader {
	return &textReader{in: in, head: columns}
}

func (r *textReader) columns() []string { return r.head }
func (r *textReader) line() int         { return r.lines }

func (r *textReader) next() (all []*string, err error) {
	r.long = r.long[:0]
	r.lines++
	for {
		part, err := r.in.ReadSlice('\n')
		r.long = append(r.long, part...)
		switch {
		case len(r.long) > maxRecord:
			return nil, mesh.Errorf(mesh.Invalid, "a row of more than %d bytes", maxRecord)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(r.long) == 0:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, mesh.Errorf(mesh.Invalid, "reading the file: %w", err)
		}
		break
	}
	line := bytes.TrimSuffix(r.long, []byte{'\n'})
	if !utf8.Valid(line) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "text that is not UTF-8"), "convert it, for example with iconv -f LATIN1 -t UTF-8")
	}
	for _, field := range strings.Split(string(line), "\t") {
		if field == `\N` {
			all = append(all, nil)
			continue
		}
		if field, err = unescaped(field); err != nil {
			return nil, err
		}
		all = append(all, &field)
	}
	if len(all) != len(r.head) {
		return nil, mesh.Errorf(mesh.Invalid, "%d fields, and there are %d columns: %s", len(all), len(r.head), strings.Join(r.head, ", "))
	}
	return all, nil
}

// textEscapes are what COPY's text format has behind a backslash.
var textEscapes = map[byte]byte{'\\': '\\', 't': '\t', 'n': '\n', 'r': '\r', 'b': '\b', 'f': '\f', 'v': '\v'}

func unescaped(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s) || textEscapes[s[i]] == 0 {
				return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "a field with a backslash that escapes nothing: %.60q", s), `in this format a backslash is written as \\`)
			}
			c = textEscapes[s[i]]
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
