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
	if b.frames != nil {
		var ok bool
		if n, ok = b.frames.follow(p[:n]); !ok {
			b.err = s3err.GetAPIError(s3err.ErrIncompleteBody)
			if b.frames.bare {
				b.err = s3err.GetAPIError(s3err.ErrMalformedTrailer)
			}
			return 0, b.err
		}
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
// otherwise would let a last chunk through whose signature nobody checks. minio-go ends the trailer's first line with LF CR LF,
// which S3 takes and versitygw does not: that LF is dropped.
type frames struct {
	trailer bool // lines follow the last chunk
	state   frameState
	line    []byte // of a header or trailer, so far
	size    int64  // of data, left
	lines   int    // of the trailer
	bare    bool   // the last chunk has no trailer, and should
	dropped bool   // LF of minio-go's
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

// follow takes the next bytes, tells whether the framing holds so far, and leaves those that go on in front.
func (f *frames) follow(p []byte) (kept int, ok bool) {
	for i := 0; i < len(p); {
		if f.state == inData { // before anything can be dropped
			n := min(int64(len(p)-i), f.size)
			i, kept, f.size = i+int(n), kept+int(n), f.size-n
			if f.size == 0 {
				f.state = afterData
			}
			continue
		}
		if f.state == ended || len(f.line) == maxTrailerLine {
			return kept, false
		}
		c := p[i]
		i++
		if c == '\n' && f.state == inTrailer && f.lines == 0 && !f.dropped && !bytes.HasSuffix(f.line, []byte("\r")) {
			f.dropped = true
			continue
		}
		f.line = append(f.line, c)
		p[kept] = c
		kept++
		if c != '\n' {
			continue
		}
		line, ok := bytes.CutSuffix(f.line, []byte("\r\n"))
		f.line = f.line[:0]
		if !ok || !f.take(line) {
			return kept, false
		}
	}
	return kept, true
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
