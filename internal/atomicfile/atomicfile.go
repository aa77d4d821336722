// Package atomicfile writes files so that after a crash a reader finds the old content or the new, whole, and so
// that what was written is on the disk when the call returns.
//
// Write and Create are for small files of a program's own: configuration, keys and records of state. Output is for what a person has
// a program write, of any size, to a path that need be no regular file.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write replaces the file at path, or the one to which a link there leads, with data, creating it if needed. It fails where something is
// that is no regular file.
func Write(path string, data []byte, perm os.FileMode) error {
	t, err := Resolve(path)
	if err == nil && t.Streams() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return write(t.path, data, perm, os.Rename)
}

// Create writes data to a new file; when path is taken it changes nothing and the error is os.ErrExist.
func Create(path string, data []byte, perm os.FileMode) error {
	return write(path, data, perm, os.Link)
}

func write(path string, data []byte, perm os.FileMode, publish func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // after a rename there is nothing left to remove
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err == nil {
		err = publish(f.Name(), path)
	}
	if err == nil {
		err = SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
