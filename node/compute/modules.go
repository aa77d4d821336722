package compute

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A ModuleID is the SHA-256 of a WebAssembly binary.
type ModuleID [sha256.Size]byte

func (id ModuleID) String() string { return hex.EncodeToString(id[:]) }

// modules is a folder of WebAssembly binaries under their names, with what workers have compiled beside them. Nothing there is the only
// copy of anything: what is missing is fetched and compiled again.
type modules struct {
	dir  string
	most int64 // bytes of either kind, beyond which the oldest go
}

func (m modules) path(id ModuleID) string {
	return filepath.Join(m.dir, "binaries", id.String()+".wasm")
}
func (m modules) compiled() string { return filepath.Join(m.dir, "compiled") }

// cache is where workers keep what they compile of a program's module.
func (m modules) cache(p Program) string {
	return filepath.Join(m.compiled(), fmt.Sprintf("%s-%d", p.Module, p.Pages))
}

// open makes the folders, and removes what was being written when the node ended.
func (m modules) open() error {
	for _, d := range []string{filepath.Dir(m.path(ModuleID{})), m.compiled()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("the folder of modules: %w", err)
		}
	}
	half, err := filepath.Glob(filepath.Join(m.dir, "binaries", "*.tmp"))
	if err != nil {
		return err
	}
	for _, f := range half {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("the folder of modules: %w", err)
		}
	}
	return nil
}

// use tells whether a module is there, and that it is wanted. Workers check its hash when they load it.
func (m modules) use(id ModuleID) bool {
	now := time.Now()
	return os.Chtimes(m.path(id), now, now) == nil
}

// put keeps a module, and fails as Corrupt when it is not what its name says.
func (m modules) put(id ModuleID, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Join(m.dir, "binaries"), "*.tmp")
	if err != nil {
		return fmt.Errorf("keeping a module: %w", err)
	}
	defer os.Remove(f.Name()) // when it has its name, this finds nothing
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, fuel.MaxModule+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keeping a module: %w", err)
	}
	if n > fuel.MaxModule {
		return mesh.Errorf(mesh.Exhausted, "a module of more than %d bytes", fuel.MaxModule)
	}
	if ModuleID(h.Sum(nil)) != id {
		return mesh.Errorf(mesh.Corrupt, "the module is not %s", id)
	}
	if err := os.Rename(f.Name(), m.path(id)); err != nil { // not synced: a worker notices what a power cut leaves
		return fmt.Errorf("keeping a module: %w", err)
	}
	return errors.Join(prune(filepath.Dir(m.path(id)), m.most), prune(m.compiled(), m.most))
}

// forget removes a module that is not what its name says.
func (m modules) forget(id ModuleID) error { return os.Remove(m.path(id)) }

// prune removes the files that were made or used longest ago until a folder holds no more than most bytes. One that vanishes meanwhile is
// none of them.
func prune(dir string, most int64) error {
	type file struct {
		path string
		size int64
		used time.Time
	}
	var all []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".tmp") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		most -= info.Size()
		all = append(all, file{path, info.Size(), info.ModTime()})
		return nil
	})
	slices.SortFunc(all, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.path, b.path)) })
	for _, f := range all {
		if most >= 0 {
			break
		}
		most += f.size
		err = errors.Join(err, os.Remove(f.path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
