package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A Target is a path that a person named for a program's output, with its links followed: a regular file, or one that is not there yet,
// which is replaced whole; or something else, such as a device or a FIFO, which is written to and stays.
type Target struct {
	path  string
	mode  os.FileMode // of the regular file that is there
	there bool
	open  bool // and written to
}

// maxLinks is how many links may lead to a target, as in Linux.
const maxLinks = 40

// Resolve follows the links of a path. A link whose target is not there yet leads to where that would be. It fails for a folder, and
// where there can be no file.
func Resolve(path string) (Target, error) {
	t := Target{path: path}
	for range maxLinks {
		info, err := os.Lstat(t.path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && t.path != "" && !os.IsPathSeparator(t.path[len(t.path)-1]):
			dir, err := os.Stat(filepath.Dir(t.path))
			if err == nil && !dir.IsDir() {
				err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
			}
			return t, err
		case err != nil:
			return t, err
		case info.IsDir():
			return t, &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
		case info.Mode()&fs.ModeSymlink == 0:
			t.there, t.mode, t.open = true, info.Mode().Perm(), !info.Mode().IsRegular()
			return t, nil
		}
		to, err := os.Readlink(t.path)
		if err != nil {
			return t, err
		}
		// What the kernel shows of an open file, such as /proc/self/fd/1, leads to no path where it is a pipe.
		if info, err := os.Stat(t.path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
			t.there, t.open = true, true
			return t, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(t.path), to)
		}
		t.path = to
	}
	return t, &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// Path is where the target lies.
func (t Target) Path() string { return t.path }

// Open returns the target to write to, if it is neither a regular file nor one that is to be; else nil.
func (t Target) Open() (io.WriteCloser, error) {
	if !t.open {
		return nil, nil
	}
	return os.OpenFile(t.path, os.O_WRONLY, 0)
}

// Streams tells whether the target is written to as it is.
func (t Target) Streams() bool { return t.open }

// Mode is the permissions of the regular file that is there.
func (t Target) Mode() (perm os.FileMode, there bool) { return t.mode, t.there && !t.open }

// Take makes a finished file, which lies in the same file system, the target, or writes it there. The file that was there lends it its
// permissions.
func (t Target) Take(from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	if to, err := t.Open(); to != nil || err != nil {
		if err != nil {
			return err
		}
		_, err := io.Copy(to, f)
		return errors.Join(err, to.Close())
	}
	if t.there {
		if err := f.Chmod(t.mode); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), os.Rename(from, t.path)); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(t.path))
}

// Output has a person's file written: whole or not at all if it is a regular one, whose permissions it keeps; a new one has perm less
// the umask. Anything else is written through, and keeps what came before an error.
func Output(path string, perm os.FileMode, write func(io.Writer) error) (err error) {
	t, err := Resolve(path)
	if err != nil {
		return err
	}
	if to, err := t.Open(); to != nil || err != nil {
		if err != nil {
			return err
		}
		return errors.Join(write(to), to.Close())
	}
	dir, base := filepath.Split(t.path)
	from := filepath.Join(dir, fmt.Sprintf(".%.100s.%s", base, rand.Text()))
	f, err := os.OpenFile(from, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = t.Take(from)
	}
	if err != nil {
		err = errors.Join(err, removed(from))
	}
	return err
}

func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
