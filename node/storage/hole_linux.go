package storage

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// punchHole gives the blocks of a range back to the file system. The record's header stays, so that a scan steps over it.
// On a file system that cannot, the room is lost until the log is rewritten.
func punchHole(f vfs.File, offset, length uint64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return nil
	}
	err := unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(offset), int64(length))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}
