package logfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxTail bounds what Tail reads from the end of a file.
const maxTail = 4 << 20

// maxLine bounds a line that Follow collects; a longer one is cut in pieces.
const maxLine = 64 << 10

// Tail returns the last n lines of the log at path, the newest last, reaching back into the newest rotated file.
// A log that is not there yet has no lines.
func Tail(path string, n int) ([]string, error) {
	if n <= 0 {
		return nil, nil
	}
	lines, err := tailOf(path, n)
	if err != nil || len(lines) == n {
		return lines, err
	}
	before, err := tailOf(older(path, 1), n-len(lines))
	return append(before, lines...), err
}

func tailOf(path string, n int) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return tail(f, n)
}

// tail returns the last n lines before the position of f, which stays.
func tail(f *os.File, n int) ([]string, error) {
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	start := max(0, size-maxTail)
	b := make([]byte, size-start)
	if _, err := f.ReadAt(b, start); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read log: %w", err)
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	if len(b) == 0 {
		return nil, nil
	}
	var lines []string
	for len(lines) < n && b != nil {
		i := bytes.LastIndexByte(b, '\n')
		lines = append(lines, string(b[i+1:]))
		if i < 0 {
			break
		}
		b = b[:i]
	}
	for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
		lines[i], lines[j] = lines[j], lines[i]
	}
	return lines, nil
}

// Follow calls emit for the last n lines of the log at path and then for each line that is appended, across rotations,
// until ctx is done. It looks once in every interval, so of a log that is rotated twice between two looks the middle
// is lost. A log that is not there yet is waited for.
func Follow(ctx context.Context, path string, n int, interval time.Duration, emit func(line string)) error {
	var r follower
	defer r.close()
	if err := r.open(path, io.SeekEnd); err != nil {
		return err
	}
	if r.f != nil {
		lines, err := tail(r.f, n)
		if err != nil {
			return err
		}
		for _, l := range lines {
			emit(l)
		}
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := r.poll(path, emit); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// A follower holds the open file and the line that is not complete yet.
type follower struct {
	f    *os.File
	r    *bufio.Reader
	line []byte
}

func (r *follower) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

func (r *follower) open(path string, whence int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if _, err := f.Seek(0, whence); err != nil {
		return errors.Join(fmt.Errorf("read log: %w", err), f.Close())
	}
	r.f, r.r = f, bufio.NewReader(f)
	return nil
}

// poll emits what is complete; when the file under the name is another one by now, it goes on with that.
func (r *follower) poll(path string, emit func(string)) error {
	for {
		if r.f == nil {
			if err := r.open(path, io.SeekStart); err != nil || r.f == nil {
				return err
			}
		}
		now, statErr := os.Stat(path)
		if err := r.drain(emit); err != nil {
			return err
		}
		mine, err := r.f.Stat()
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if statErr == nil && os.SameFile(mine, now) {
			return nil
		}
		r.close()
		if statErr != nil {
			return nil // between two names; the next look finds the new file
		}
	}
}

func (r *follower) drain(emit func(string)) error {
	for {
		part, err := r.r.ReadSlice('\n')
		r.line = append(r.line, part...)
		if n := len(r.line); n > 0 && (r.line[n-1] == '\n' || n > maxLine) {
			emit(string(bytes.TrimSuffix(r.line, []byte("\n"))))
			r.line = r.line[:0]
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read log: %w", err)
		}
	}
}
