// Package logfile keeps a process's output in a file of bounded size and reads such files back: the last lines, or
// what is appended from now on.
//
// It does not format, filter or time-stamp; the process that speaks does. A supervisor writes, a command line reads.
package logfile

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Options bound a log. The zero value means the defaults.
type Options struct {
	MaxBytes int64 // of one file before it is rotated; default 8 MiB
	Keep     int   // older files kept, NAME.1 the newest of them; default 2
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 8 << 20
	}
	if o.Keep <= 0 {
		o.Keep = 2
	}
	return o
}

// A Writer appends to a log file. It is safe for concurrent use.
type Writer struct {
	path string
	opts Options

	mu      sync.Mutex
	f       *os.File
	size    int64
	midLine bool // the last byte written was not a newline
}

// Open opens the log at path for appending, creating it if needed.
func Open(path string, opts Options) (*Writer, error) {
	w := &Writer{path: path, opts: opts.withDefaults()}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	w.f, w.size = f, info.Size()
	return nil
}

// Write appends p. Files are rotated between lines, unless a line alone has the size of a file.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return 0, os.ErrClosed
	}
	full := w.size > 0 && w.size+int64(len(p)) > w.opts.MaxBytes
	if full && (!w.midLine || w.size > 2*w.opts.MaxBytes) {
		if err := w.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := w.f.Write(p)
	w.size += int64(n)
	if n > 0 {
		w.midLine = p[n-1] != '\n'
	}
	return n, err
}

func (w *Writer) rotate() error {
	if err := w.f.Close(); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	w.f = nil
	for i := w.opts.Keep; i > 0; i-- {
		from := w.path
		if i > 1 {
			from = older(w.path, i-1)
		}
		if err := os.Rename(from, older(w.path, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return errors.Join(fmt.Errorf("rotate log: %w", err), w.open())
		}
	}
	return w.open()
}

func older(path string, i int) string { return fmt.Sprintf("%s.%d", path, i) }

// Close closes the file. It may be called more than once.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}
