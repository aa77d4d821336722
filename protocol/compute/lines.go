package compute

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"

	"github.com/stratosmesh/stratos/mesh"
)

// MaxRecord is the longest record, in bytes with its end. It bounds what is read behind a chunk.
const MaxRecord = 1 << 20

// A Source is an object, or whatever else can be read from any place.
type Source interface {
	Size() uint64
	// Open reads length bytes from offset on, which are there.
	Open(offset, length uint64) (io.ReadCloser, error)
}

// Lines reads the records of a range of s: the lines that begin in [from, to), each with a newline at its end, also the last of the source.
// So the ranges of a source give together each of its lines once, in whatever places it was cut. A longer line than MaxRecord is Invalid.
func Lines(s Source, from, to uint64) io.ReadCloser {
	return &lines{source: s, from: from, to: min(to, s.Size())}
}

type lines struct {
	source   Source
	from, to uint64 // to is where the part that is open ends
	open     io.ReadCloser
	buf      *bufio.Reader
	line     int  // bytes since the last newline that was given
	started  bool // the first record's beginning is found
	tail     bool // what is open lies behind the range, and holds the end of its last record
	err      error
}

// Read gives whole records only by chance; it never gives a byte behind the last one's end.
func (l *lines) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for l.err == nil {
		n, err := l.read(b)
		l.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, l.err
}

func (l *lines) read(b []byte) (int, error) {
	if !l.started {
		if l.from >= l.to {
			return 0, io.EOF
		}
		if err := l.start(); err != nil {
			return 0, err
		}
	}
	n, err := l.buf.Read(b)
	if l.tail {
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
			return i + 1, cmp.Or(l.count(b[:i+1]), io.EOF)
		}
	}
	if err := l.count(b[:n]); err != nil {
		return 0, err
	}
	if err != io.EOF {
		return n, err
	}
	if l.line == 0 { // the record is whole
		return n, io.EOF
	}
	if l.to == l.source.Size() {
		if n == len(b) {
			return n, nil // the newline comes next
		}
		b[n], l.line = '\n', 0
		return n + 1, io.EOF
	}
	l.tail = true
	return n, l.next(l.to, min(l.source.Size()-l.to, tailBytes))
}

// tailBytes is how much is asked for at once behind a range: most records end there.
const tailBytes = 64 << 10

// start opens the range and skips to its first record.
func (l *lines) start() error {
	l.started = true
	if l.from == 0 {
		return l.next(0, l.to)
	}
	if err := l.next(l.from-1, l.to-l.from+1); err != nil { // a newline right before the range makes its first byte a beginning
		return err
	}
	for {
		_, err := l.buf.ReadSlice('\n')
		if err == nil || err == io.EOF { // to the end: no record begins here
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// next opens another part.
func (l *lines) next(offset, length uint64) error {
	if err := l.Close(); err != nil {
		return err
	}
	r, err := l.source.Open(offset, length)
	if err != nil {
		return err
	}
	l.open, l.to = r, offset+length
	if l.buf == nil {
		l.buf = bufio.NewReaderSize(r, 64<<10)
	}
	l.buf.Reset(r)
	return nil
}

// count keeps how long the present record is, and refuses one that is too long.
func (l *lines) count(b []byte) error {
	for {
		i := bytes.IndexByte(b, '\n')
		if l.line+len(b) > MaxRecord && (i < 0 || l.line+i >= MaxRecord) {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a line of the input is longer than %d bytes", MaxRecord), "If the input has no lines, let each object be one record: --whole")
		}
		if i < 0 {
			l.line += len(b)
			return nil
		}
		l.line, b = 0, b[i+1:]
	}
}

// Close ends reading. It may be called more than once.
func (l *lines) Close() error {
	if l.open == nil {
		return nil
	}
	r := l.open
	l.open = nil
	return r.Close()
}
