package gateway

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/mesh"
)

// An accessLog is the file of a line a request. It can be opened again under its name, so that others may move it away. A line that
// cannot be written is counted, and the first of them told: a full disk stops no gateway and fills no other log.
type accessLog struct {
	path string
	log  *slog.Logger
	lost prometheus.Counter

	mu      sync.Mutex
	f       *os.File
	failing bool // the last line was lost
	torn    bool // the file ends within a line
}

func logPath(home string, c Config) string {
	if filepath.IsAbs(c.AccessLog) {
		return c.AccessLog
	}
	return filepath.Join(home, c.AccessLog)
}

func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the access log cannot be opened: %w", err), "its folder must be there, and the file writable; or choose another with --access-log")
	}
	return f, nil
}

// tryAccessLog tells whether a log can be opened, and makes none.
func tryAccessLog(path string) error {
	_, missing := os.Lstat(path)
	f, err := openLog(path)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return mesh.Errorf(mesh.Invalid, "the access log: %w", err)
	}
	if missing != nil {
		return os.Remove(path)
	}
	return nil
}

func newAccessLog(path string, log *slog.Logger, registry *prometheus.Registry) (*accessLog, error) {
	l := &accessLog{path: path, log: log, lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "stratos_gateway_access_log_lost_lines_total", Help: "Lines that could not be written to the access log."})}
	if err := registry.Register(l.lost); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "the access log: %w", err)
	}
	var err error
	if l.f, err = openLog(path); err != nil {
		return nil, err
	}
	return l, nil
}

// Write adds a line. It never waits for anything but the file, and reports no loss to the request.
func (l *accessLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := line
	if l.torn {
		out = append([]byte{'\n'}, line...)
	}
	n, err := l.f.Write(out)
	if n > 0 {
		l.torn = n < len(out)
	}
	switch {
	case err != nil:
		l.lost.Inc()
		if !l.failing {
			l.log.Warn("the access log cannot be written: lines are lost until it can", "path", l.path, "err", err)
		}
	case l.failing:
		l.log.Info("the access log is written again", "path", l.path)
	}
	l.failing = err != nil
	return len(line), nil
}

// reopen opens the file of the log's name, a new one when it was moved away. If that fails, lines go where they went.
func (l *accessLog) reopen() error {
	f, err := openLog(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.f
	was, errWas := old.Stat()
	is, errIs := f.Stat()
	l.f, l.torn = f, l.torn && errors.Join(errWas, errIs) == nil && os.SameFile(was, is)
	l.mu.Unlock()
	if err := old.Close(); err != nil {
		return mesh.Errorf(mesh.Internal, "closing the access log: %w", err)
	}
	return nil
}

func (l *accessLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
