package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/internal/atomicfile"
)

// An identity names a process beyond the reuse of its id.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot
	Boot  string `json:"boot"`  // id of that boot
}

// A record lists the running children on disk, so that the next supervisor finds what this one may leave behind.
type record struct {
	path string

	mu       sync.Mutex
	children map[string]identity
}

func (r *record) add(name string, pid int, log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, err := identify(pid)
	if err != nil {
		return // it has ended already
	}
	r.children[name] = id
	b, err := json.MarshalIndent(r.children, "", "  ")
	if err == nil {
		err = atomicfile.Write(r.path, append(b, '\n'), 0o600)
	}
	if err != nil {
		log.Error("record of processes not written", "err", err)
	}
}

func (r *record) remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the record of processes: %w", err)
	}
	return nil
}

// Sweep kills what the record at path says was left running, waits until it is gone and removes the record. A process
// that only has the id of a recorded one is left alone.
func Sweep(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the record of processes: %w", err)
	}
	var children map[string]identity
	if err := json.Unmarshal(b, &children); err != nil {
		return fmt.Errorf("read the record of processes %s: %w", path, err)
	}
	for name, id := range children {
		if !id.alive() {
			continue
		}
		_ = syscall.Kill(-id.PID, syscall.SIGKILL)
		if err := awaitEnd(id, 10*time.Second); err != nil {
			return fmt.Errorf("%s, left by an earlier run: %w", name, err)
		}
	}
	return os.Remove(path)
}

func awaitEnd(id identity, limit time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for id.alive() {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("process %d does not end", id.PID)
		}
	}
	return nil
}

// alive tells whether the process still runs; one that has ended and only waits to be reaped does not.
func (id identity) alive() bool {
	now, err := identify(id.PID)
	return err == nil && now == id
}

func identify(pid int) (identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return identity{}, err
	}
	// pid (name) state ppid ...: the name may hold anything, so count from its closing bracket. The start time is
	// field 22, the state field 3.
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return identity{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" || fields[0] == "X" {
		// The first thread has ended; the process has when no other thread is left, which may still hold its ports.
		if tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task"); err != nil || len(tasks) <= 1 {
			return identity{}, fmt.Errorf("process %d has ended", pid)
		}
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return identity{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// waitExit blocks until the child has ended, without reaping it.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
