// Package pebbledb opens Pebble stores the way our daemons want them: small in memory, since the system's cache serves
// most reads, and silent but for what goes wrong.
package pebbledb

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a store.
type Options struct {
	FS       vfs.FS // default: the disk
	Cache    int64  // bytes of blocks
	MemTable uint64 // bytes of a table of newest writes
}

// Open opens the store in dir, or makes it.
func Open(dir string, o Options) (*pebble.DB, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	cache := pebble.NewCache(o.Cache)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{FS: o.FS, Cache: cache, MemTableSize: o.MemTable, Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return db, nil
}

// Damaged tells whether an error of a store says that the bytes on the disk are not those that were written.
func Damaged(err error) bool { return pebble.IsCorruptionError(err) }

// quiet drops Pebble's messages about its own housekeeping; what goes wrong comes back as an error.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf ends the process: the store cannot go on, and a supervisor starts it again.
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
