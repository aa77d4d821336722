package wasi

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
)

// chunkBytes is in what pieces the files of /tmp are held: as much as a page, so that a small file takes one.
const chunkBytes = 4096

type chunk [chunkBytes]byte

// A node is a file or a directory.
type node struct {
	parent              *node // of a directory; the root's is itself
	ino                 uint64
	depth               int
	dir, writable       bool // writable is /tmp and all below
	linked              bool // it has a name; one without lives until its last descriptor is closed
	open                int  // descriptors
	atime, mtime, ctime uint64

	children map[string]*node // of a directory
	sorted   []string         // their names, or nil since they changed; never changed in place, for descriptors share it

	asks   bool // it is AskPath
	size   int64
	source io.ReaderAt // of a read-only file
	chunks []*chunk    // of one in /tmp, nil where nothing was written
}

// A tree is the task's files: those of its Config, and /tmp.
type tree struct {
	root, tmp   *node
	inodes      uint64 // given so far
	bytesLeft   int64  // of /tmp
	entries     int    // in /tmp
	entriesMost int
	free        []*chunk // to be used again, so that a task makes no more of them than it may hold
}

// plant makes the tree of a Config.
func (t *Task) plant(c Config) error {
	tooMany := mesh.Errorf(mesh.Exhausted, "%d files, and directories to hold them; a task may have %d of both", len(c.Files), MaxFiles)
	if len(c.Files) > MaxFiles {
		return tooMany
	}
	t.bytesLeft, t.entriesMost = c.TmpBytes, c.TmpEntries
	t.root = t.make(nil, true)
	t.root.parent, t.root.linked = t.root, true
	paths := make([]string, 0, len(c.Files))
	for p := range c.Files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		names := strings.Split(p, "/")
		if len(p) > MaxPath || len(names) > MaxNesting {
			return mesh.Errorf(mesh.Exhausted, "the path of a file has %d bytes and %d names; at most %d and %d are given", len(p), len(names), MaxPath, MaxNesting)
		}
		at := t.root
		for i, name := range names {
			last := i == len(names)-1
			switch n := at.children[name]; {
			case name == "" || name == "." || name == ".." || len(name) > MaxName || strings.IndexByte(name, 0) >= 0:
				return mesh.Errorf(mesh.Invalid, "path %q: %q is no name; names are parted by one slash and have 1 to %d bytes", p, name, MaxName)
			case i == 0 && name == "tmp":
				return mesh.Errorf(mesh.Invalid, "path %q: /tmp belongs to the task and is empty at first", p)
			case i == 0 && name == "dev" && c.Ask != nil:
				return mesh.Errorf(mesh.Invalid, "path %q: /dev belongs to whoever the task works for", p)
			case n == nil && t.inodes > MaxFiles: // one of them is /
				return tooMany
			case n == nil:
				at = t.add(at, name, !last)
			case last || !n.dir:
				return mesh.Errorf(mesh.Invalid, "path %q: one file's path is another's directory", p)
			default:
				at = n
			}
		}
		f := c.Files[p]
		if f.Size < 0 || f.Content == nil {
			return mesh.Errorf(mesh.Invalid, "file %q has no content", p)
		}
		at.size, at.source = f.Size, f.Content
	}
	if c.Ask != nil {
		t.add(t.add(t.root, "dev", true), "stratos", false).asks = true
	}
	t.tmp = t.add(t.root, "tmp", true)
	t.tmp.writable = true
	return nil
}

// make makes a node that has no name yet.
func (t *Task) make(parent *node, dir bool) *node {
	t.inodes++
	now := uint64(t.now())
	n := &node{parent: parent, ino: t.inodes, dir: dir, atime: now, mtime: now, ctime: now}
	if dir {
		n.children = map[string]*node{}
	}
	if parent != nil {
		n.depth, n.writable = parent.depth+1, parent.writable
	}
	return n
}

// add makes a node in a directory.
func (t *Task) add(parent *node, name string, dir bool) *node {
	n := t.make(parent, dir)
	t.link(parent, name, n)
	return n
}

func (t *Task) link(parent *node, name string, n *node) {
	n.parent, n.linked = parent, true
	parent.children[name], parent.sorted = n, nil
	if parent.writable {
		parent.mtime = uint64(t.now())
		parent.ctime = parent.mtime
	}
}

func (t *Task) unlink(parent *node, name string) {
	parent.children[name].linked = false
	delete(parent.children, name)
	parent.sorted, parent.mtime = nil, uint64(t.now())
	parent.ctime = parent.mtime
}

// A place is where a path leads: to a node, or to where one may be made.
type place struct {
	dir   *node
	name  []byte // in dir; nil if the path ends in . or .., so that it is of a directory that has its name elsewhere
	node  *node  // nil if there is none
	slash bool   // the path ends in a slash, so only a directory will do
}

// walk follows a path from a directory. A path that begins with a slash is refused, as WASI wants; .. of the root is the root.
func (t *Task) walk(dir *node, path []byte) (place, Errno) {
	switch {
	case len(path) == 0 || !dir.linked:
		return place{}, NoEnt
	case path[0] == '/':
		return place{}, Perm
	case bytes.IndexByte(path, 0) >= 0:
		return place{}, Inval
	}
	p := place{dir: dir, node: dir}
	for len(path) > 0 {
		name, rest, slash := bytes.Cut(path, []byte("/"))
		rest = bytes.TrimLeft(rest, "/")
		path = rest
		switch {
		case p.node == nil:
			return place{}, NoEnt
		case !p.node.dir:
			return place{}, NotDir
		case len(name) > MaxName:
			return place{}, NameTooLong
		}
		at := p.node
		switch string(name) {
		case ".":
			p = place{dir: at, node: at}
		case "..":
			p = place{dir: at, node: at.parent}
		default:
			p = place{dir: at, name: name, node: at.children[string(name)]}
		}
		p.slash = slash
	}
	if p.node != nil && !p.node.dir && p.slash {
		return place{}, NotDir
	}
	return p, Success
}

// found is walk to a node that exists.
func (t *Task) found(dir *node, path []byte) (*node, Errno) {
	p, e := t.walk(dir, path)
	if e == Success && p.node == nil {
		e = NoEnt
	}
	return p.node, e
}

// mayAdd says whether a node may be made at a place where there is none.
func (t *Task) mayAdd(p place, dir bool) Errno {
	switch {
	case !p.dir.writable:
		return RoFS
	case p.slash && !dir:
		return NoEnt
	case dir && p.dir.depth >= MaxNesting:
		return NameTooLong
	case t.entries >= t.entriesMost:
		return NoSpc
	}
	return Success
}

// mayRemove says whether the name of a place may be taken away.
func (t *Task) mayRemove(p place) Errno {
	switch {
	case p.node == nil:
		return NoEnt
	case p.node == t.root || p.node == t.tmp:
		return Busy
	case p.name == nil:
		return Inval // . or ..
	case !p.dir.writable:
		return RoFS
	}
	return Success
}

// remove takes away a name in /tmp.
func (t *Task) remove(p place) {
	t.unlink(p.dir, string(p.name))
	t.entries--
	t.release(p.node)
}

// release frees what a file holds that has no name and no descriptor any more.
func (t *Task) release(n *node) {
	if !n.linked && n.open == 0 && n.writable && !n.dir {
		t.shrink(n, 0)
	}
}

// rename moves from one place to another; what was there is gone.
func (t *Task) rename(from, to place) Errno {
	if e := t.mayRemove(from); e != Success {
		return e
	}
	n, old := from.node, to.node
	switch {
	case old == n:
		return Success
	case old != nil:
		if e := t.mayRemove(to); e != Success {
			return e
		}
		switch {
		case old.dir && !n.dir:
			return IsDir
		case !old.dir && n.dir:
			return NotDir
		case len(old.children) > 0:
			return NotEmpty
		}
	case !to.dir.writable:
		return RoFS
	case to.slash && !n.dir:
		return NotDir
	}
	if n.dir {
		for d := to.dir; d != t.root; d = d.parent {
			if d == n {
				return Inval
			}
		}
		t.charge(PriceMoved, uint64(t.entries))
		if to.dir.depth+height(n) > MaxNesting {
			return NameTooLong
		}
	}
	name := string(to.name)
	if old != nil {
		t.remove(to)
	}
	t.unlink(from.dir, string(from.name))
	t.link(to.dir, name, n)
	n.ctime = uint64(t.now())
	sink(n, to.dir.depth+1)
	return Success
}

// height is how many levels a directory has, with itself; 0 for a file. The order of the map is of no consequence.
func height(n *node) int {
	h := 0
	if n.dir {
		for _, c := range n.children {
			h = max(h, height(c))
		}
		h++
	}
	return h
}

// sink gives a moved node and all below it their depth.
func sink(n *node, depth int) {
	n.depth = depth
	for _, c := range n.children {
		sink(c, depth+1)
	}
}

// names are the names in a directory, sorted by their bytes.
func (t *Task) names(n *node) []string {
	if n.sorted == nil {
		t.charge(PriceSorted, uint64(len(n.children)))
		n.sorted = make([]string, 0, len(n.children))
		for name := range n.children {
			n.sorted = append(n.sorted, name)
		}
		slices.Sort(n.sorted)
	}
	return n.sorted
}
