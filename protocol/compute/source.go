package compute

import (
	"errors"
	"io"
)

// A ReaderAt reads a source, which it opens each time: a task reads in large pieces.
type ReaderAt struct{ Source }

// ReadAt reads len(b) bytes, or less at the end, with io.EOF.
func (r ReaderAt) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || uint64(at) > r.Size() {
		return 0, io.EOF
	}
	n := min(uint64(len(b)), r.Size()-uint64(at))
	f, err := r.Open(uint64(at), n)
	if err != nil {
		return 0, err
	}
	got, err := io.ReadFull(f, b[:n])
	if err = errors.Join(err, f.Close()); err == nil && got < len(b) {
		err = io.EOF
	}
	return got, err
}
