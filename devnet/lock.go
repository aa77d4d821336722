package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
)

// errRunning says that another supervisor holds the home.
var errRunning = mesh.WithHint(mesh.Errorf(mesh.Conflict, "a network is running in this home"), "stop it with: stratos down")

// A lock is held by the supervisor of a home for as long as it lives; the system gives it back however it dies. Its
// file tells who holds it and where that one listens.
type lock struct{ f *os.File }

// A holder is what the file of a lock says.
type holder struct {
	PID     int    `json:"pid"`
	Control string `json:"control"` // path of the control socket
}

func lockPath(h home.Home) string { return h.Path("supervisor.lock") }

// An open-file-description lock, unlike flock, can be asked for without taking it.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// takeLock returns errRunning when the lock is held.
func takeLock(h home.Home) (*lock, error) {
	f, err := os.OpenFile(lockPath(h), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "lock the home: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		return &lock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errRunning
	}
	return nil, mesh.Errorf(mesh.Internal, "lock the home: %w", err)
}

func (l *lock) announce(control string) error {
	b, err := json.Marshal(holder{PID: os.Getpid(), Control: control})
	if err == nil {
		_, err = l.f.WriteAt(b, 0)
	}
	if err != nil {
		return mesh.Errorf(mesh.Internal, "lock the home: %w", err)
	}
	return nil
}

func (l *lock) release() error { return l.f.Close() }

// whoHolds tells whether the lock is held and, once that has been announced, by whom.
func whoHolds(h home.Home) (who holder, held bool, err error) {
	f, err := os.OpenFile(lockPath(h), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return holder{}, false, nil
	}
	if err != nil {
		return holder{}, false, mesh.Errorf(mesh.Internal, "look at the lock of the home: %w", err)
	}
	defer f.Close()
	probe := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, probe); err != nil {
		return holder{}, false, mesh.Errorf(mesh.Internal, "look at the lock of the home: %w", err)
	}
	if probe.Type == unix.F_UNLCK {
		return holder{}, false, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return holder{}, false, mesh.Errorf(mesh.Internal, "look at the lock of the home: %w", err)
	}
	_ = json.Unmarshal(b, &who) // empty until it is announced
	return who, true, nil
}

// awaitUnlocked waits until nobody holds the lock; false when that takes longer than limit.
func awaitUnlocked(ctx context.Context, h home.Home, limit time.Duration) (bool, error) {
	return poll(ctx.Done(), 20*time.Millisecond, limit, func() (bool, error) {
		_, held, err := whoHolds(h)
		return !held, err
	})
}

// poll calls done in every interval until it tells true or an error, or the limit is over, which is false.
func poll(stop <-chan struct{}, interval, limit time.Duration, done func() (bool, error)) (bool, error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return false, nil
		case <-stop:
			return false, nil
		}
	}
}
