package s3

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/versity/versitygw/s3err"
)

// errRequestTimeout is S3's answer to a body that came too slowly.
var errRequestTimeout = s3err.APIError{Code: "RequestTimeout", HTTPStatusCode: 400,
	Description: "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."}

// A body is the innermost reader of an uploaded object. fasthttp ends a body with io.EOF when the connection ends too
// soon, and versitygw believes signed chunks of which the last was never closed; a body does not.
type body struct {
	r      io.Reader
	left   int     // of Content-Length; no more than 0 when there is none
	frames *frames // nil: not in signed chunks
	err    error   // sticky
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.left -= n
	if b.frames != nil && !b.frames.follow(p[:n]) {
		b.err = s3err.GetAPIError(s3err.ErrIncompleteBody)
		if b.frames.bare {
			b.err = s3err.GetAPIError(s3err.ErrMalformedTrailer)
		}
		return 0, b.err
	}
	var timeout net.Error
	switch {
	case err == nil:
		return n, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		b.err = errRequestTimeout
	case err != io.EOF || b.left > 0 || b.frames != nil && !b.frames.complete():
		b.err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	default:
		b.err = io.EOF
		if n > 0 {
			return n, nil // by itself next time: versitygw's readers lose an end that comes with data
		}
	}
	return 0, b.err
}

// frames follows the framing of signed chunks:
//
//	size in hex ";chunk-signature=" 64 hex CR LF data CR LF ... "0;chunk-signature=" 64 hex CR LF [trailer lines] CR LF
//
// It reads no more into it than whether it is complete, but that strictly: any line that versitygw might understand
// otherwise would let a last chunk through whose signature nobody checks.
type frames struct {
	trailer bool // lines follow the last chunk
	state   frameState
	line    []byte // of a header or trailer, so far
	size    int64  // of data, left
	lines   int    // of the trailer
	bare    bool   // the last chunk has no trailer, and should
}

type frameState uint8

const (
	inLine    frameState = iota // a chunk's header
	inData                      // its data
	afterData                   // CR LF after it
	inTrailer                   // lines after the last header
	ended                       // nothing may follow
)

const (
	maxSizeDigits  = 16
	maxTrailerLine = 256
)

var (
	chunkSignature   = []byte(";chunk-signature=")
	trailerSignature = []byte("x-amz-trailer-signature:")
)

func (f *frames) complete() bool { return f.state == ended }

// follow takes the next bytes and tells whether the framing holds so far.
func (f *frames) follow(p []byte) bool {
	for len(p) > 0 {
		if f.state == inData {
			n := min(int64(len(p)), f.size)
			p, f.size = p[n:], f.size-n
			if f.size == 0 {
				f.state = afterData
			}
			continue
		}
		if f.state == ended || len(f.line) == maxTrailerLine {
			return false
		}
		f.line = append(f.line, p[0])
		p = p[1:]
		if f.line[len(f.line)-1] != '\n' {
			continue
		}
		line, ok := bytes.CutSuffix(f.line, []byte("\r\n"))
		f.line = f.line[:0]
		if !ok || !f.take(line) {
			return false
		}
	}
	return true
}

func (f *frames) take(line []byte) bool {
	switch f.state {
	case afterData:
		f.state = inLine
		return len(line) == 0
	case inLine:
		digits, signature, ok := bytes.Cut(line, chunkSignature)
		if !ok || len(digits) == 0 || len(digits) > maxSizeDigits || len(signature) != 64 || !isHex(digits) || !isHex(signature) {
			return false
		}
		for _, d := range digits {
			f.size = f.size<<4 | hexValue(d)
		}
		if f.size == 0 {
			f.state = inTrailer
			return true
		}
		f.state = inData
		return f.size > 0
	default: // inTrailer: one checksum, its signature, an empty line
		last := len(line) == 0
		if last && (!f.trailer || f.lines == 2) {
			f.state = ended
			return true
		}
		f.bare = last && f.lines == 0
		f.lines++
		return f.trailer && !last && f.lines <= 2 && (f.lines == 2) == bytes.HasPrefix(line, trailerSignature)
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func hexValue(c byte) int64 {
	if c <= '9' {
		return int64(c - '0')
	}
	return int64(c|0x20-'a') + 10
}
