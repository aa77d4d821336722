package wasi

// Flags of path_open.
const (
	openCreate = 1 << iota
	openDirectory
	openExclusive
	openTruncate
)

// at is what the functions of paths begin with: the directory of a descriptor, and a path from there.
func (t *Task) at(fd, path, n uint64) (place, Errno) {
	p, e := t.path(path, n)
	if e != Success {
		return place{}, e
	}
	d, e := t.dir(fd)
	if e != Success {
		return place{}, e
	}
	return t.walk(d, p)
}

// nodeAt is at, where there must be something.
func (t *Task) nodeAt(fd, path, n uint64) (*node, Errno) {
	p, e := t.at(fd, path, n)
	if e == Success && p.node == nil {
		e = NoEnt
	}
	return p.node, e
}

func pathOpen(t *Task, a []uint64) Errno {
	out, ok := t.bytes(a[8], 4)
	if !ok {
		return Fault
	}
	p, e := t.at(a[0], a[2], a[3])
	if e != Success {
		return e
	}
	flags, rights, how := uint32(a[4]), a[5], uint32(a[7])
	if flags > 15 || how&^flagsAll != 0 || flags&openDirectory != 0 && flags&(openCreate|openExclusive|openTruncate) != 0 {
		return Inval
	}
	d := descriptor{read: rights&(rightRead|rightReaddir) != 0, write: rights&rightWrite != 0, flags: uint16(how)}
	if !d.read && !d.write { // asked for neither: what else it asks for tells
		d.write = flags&(openCreate|openTruncate) != 0 || how&flagAppend != 0
		d.read = true
	}
	made := p.node == nil
	switch n := p.node; {
	case made && flags&openCreate == 0:
		return NoEnt
	case made:
		if e := t.mayAdd(p, false); e != Success {
			return e
		}
	case flags&openCreate != 0 && flags&openExclusive != 0:
		return Exist
	case n.dir:
		if flags&openDirectory == 0 && (d.write || flags&(openCreate|openTruncate) != 0) {
			return IsDir
		}
		d.read, d.write = false, false
	case flags&openDirectory != 0 || p.slash:
		return NotDir
	case n.asks:
		d.stream, d.talk = streamAsk, new(talk)
	case (d.write || flags&openTruncate != 0) && !n.writable:
		return RoFS
	}
	fd := 0
	for ; fd < MaxOpen; fd++ {
		if _, e := t.lookup(uint64(fd)); e != Success {
			break
		}
	}
	if fd == MaxOpen {
		return MFile
	}
	t.charge(PriceEntry, 1)
	if made {
		t.entries++
		p.node = t.add(p.dir, string(p.name), false)
	} else if flags&openTruncate != 0 && d.talk == nil {
		t.shrink(p.node, 0)
		t.touch(p.node)
	}
	if d.talk == nil {
		d.node = p.node
		d.node.open++
	}
	t.descriptors[fd] = d
	le.PutUint32(out, uint32(fd))
	return Success
}

func pathCreateDirectory(t *Task, a []uint64) Errno {
	p, e := t.at(a[0], a[1], a[2])
	switch {
	case e != Success:
		return e
	case p.node != nil:
		return Exist
	}
	if e := t.mayAdd(p, true); e != Success {
		return e
	}
	t.charge(PriceEntry, 1)
	t.entries++
	t.add(p.dir, string(p.name), true)
	return Success
}

func pathFilestatGet(t *Task, a []uint64) Errno {
	n, e := t.nodeAt(a[0], a[2], a[3])
	if e != Success {
		return e
	}
	return t.putStat(n, a[4])
}

func pathFilestatSetTimes(t *Task, a []uint64) Errno {
	n, e := t.nodeAt(a[0], a[2], a[3])
	if e != Success {
		return e
	}
	return t.setTimes(n, a[4], a[5], uint32(a[6]))
}

func pathRemoveDirectory(t *Task, a []uint64) Errno {
	p, e := t.at(a[0], a[1], a[2])
	switch {
	case e != Success:
		return e
	case p.node != nil && !p.node.dir:
		return NotDir
	}
	if e := t.mayRemove(p); e != Success {
		return e
	}
	if len(p.node.children) > 0 {
		return NotEmpty
	}
	t.charge(PriceEntry, 1)
	t.remove(p)
	return Success
}

func pathUnlinkFile(t *Task, a []uint64) Errno {
	p, e := t.at(a[0], a[1], a[2])
	switch {
	case e != Success:
		return e
	case p.node != nil && p.node.dir:
		return IsDir
	}
	if e := t.mayRemove(p); e != Success {
		return e
	}
	t.charge(PriceEntry, 1)
	t.remove(p)
	return Success
}

func pathRename(t *Task, a []uint64) Errno {
	from, e := t.at(a[0], a[1], a[2])
	if e != Success {
		return e
	}
	to, e := t.at(a[3], a[4], a[5])
	if e != Success {
		return e
	}
	t.charge(PriceEntry, 1)
	return t.rename(from, to)
}

// pathReadlink: there are no links, so whatever is there is none.
func pathReadlink(t *Task, a []uint64) Errno {
	if _, e := t.nodeAt(a[0], a[1], a[2]); e != Success {
		return e
	}
	return Inval
}

// pathLink and pathSymlink: every file has one name, so that a path leads to what it says.
func pathLink(t *Task, a []uint64) Errno {
	if _, e := t.nodeAt(a[0], a[2], a[3]); e != Success {
		return e
	}
	if _, e := t.at(a[4], a[5], a[6]); e != Success {
		return e
	}
	return NotSup
}

func pathSymlink(t *Task, a []uint64) Errno {
	if _, e := t.path(a[0], a[1]); e != Success {
		return e
	}
	if _, e := t.at(a[2], a[3], a[4]); e != Success {
		return e
	}
	return NotSup
}
