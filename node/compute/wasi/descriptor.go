package wasi

// rootFD is the descriptor of /, which is open from the start.
const rootFD = 3

// A stream is what a descriptor is that is none of a file.
type stream uint8

const (
	streamNone stream = iota
	streamIn
	streamOut
	streamLog
	streamAsk
)

// A descriptor is an open file, directory or stream; the zero value is closed.
type descriptor struct {
	stream      stream
	node        *node
	read, write bool
	flags       uint16 // as fd_fdstat_set_flags takes them
	at          int64  // where the next read or write begins
	talk        *talk  // of streamAsk
	list        []string
}

// What fd_fdstat_get tells; only reading and writing are ever refused for lack of a right.
const (
	flagAppend = 1 << 0
	flagsAll   = 1<<5 - 1 // append, dsync, nonblock, rsync, sync: all but the first are without effect

	rightRead    = 1 << 1
	rightWrite   = 1 << 6
	rightReaddir = 1 << 14

	rightsStream = 1<<3 | 1<<21 | 1<<27                         // set flags, stat, poll
	rightsFile   = rightsStream | 1 | 1<<2 | 1<<4 | 1<<5 | 1<<7 // and datasync, seek, sync, tell, advise
	rightsWrite  = rightWrite | 1<<8 | 1<<22 | 1<<23            // and allocate, set size, set times
	rightsDir    = rightsStream | 1 | 1<<4 | 0xfff<<9 | 0xf<<23 // and datasync, sync, readdir, set times, all of paths
)

// File types of preview 1.
const (
	typeStream = 0 // unknown, as of a pipe: a character device would be a terminal to C
	typeDir    = 3
	typeFile   = 4
)

func typeOf(n *node) byte {
	switch {
	case n == nil:
		return typeStream
	case n.dir:
		return typeDir
	}
	return typeFile
}

// lookup finds an open descriptor.
func (t *Task) lookup(fd uint64) (*descriptor, Errno) {
	if i := uint32(fd); i < MaxOpen {
		if d := &t.descriptors[i]; d.stream != streamNone || d.node != nil {
			return d, Success
		}
	}
	return nil, BadF
}

// file finds a descriptor of a file, which has places.
func (t *Task) file(fd uint64) (*descriptor, Errno) {
	d, e := t.lookup(fd)
	switch {
	case e != Success:
		return nil, e
	case d.node == nil:
		return nil, SPipe
	case d.node.dir:
		return nil, IsDir
	}
	return d, Success
}

// dir finds the directory where a path begins.
func (t *Task) dir(fd uint64) (*node, Errno) {
	d, e := t.lookup(fd)
	switch {
	case e != Success:
		return nil, e
	case d.node == nil || !d.node.dir:
		return nil, NotDir
	}
	return d.node, Success
}

// close frees a descriptor, and what only it held.
func (t *Task) close(d *descriptor) {
	if n := d.node; n != nil {
		n.open--
		t.release(n)
	}
	*d = descriptor{}
}

func fdClose(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	if uint32(a[0]) == rootFD {
		return NotSup
	}
	t.close(d)
	return Success
}

func fdRenumber(t *Task, a []uint64) Errno {
	from, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	to, e := t.lookup(a[1])
	switch {
	case e != Success:
		return e
	case uint32(a[0]) == rootFD || uint32(a[1]) == rootFD:
		return NotSup
	case from == to:
		return Success
	}
	t.close(to)
	*to, *from = *from, descriptor{}
	return Success
}

func fdSync(t *Task, a []uint64) Errno {
	_, e := t.lookup(a[0])
	return e
}

func fdAdvise(t *Task, a []uint64) Errno {
	switch _, e := t.file(a[0]); {
	case e != Success:
		return e
	case uint32(a[3]) > 5 || int64(a[1]) < 0 || int64(a[2]) < 0:
		return Inval
	}
	return Success
}

func fdAllocate(t *Task, a []uint64) Errno {
	d, e := t.file(a[0])
	switch at, n := int64(a[1]), int64(a[2]); {
	case e != Success:
		return e
	case !d.write:
		return BadF
	case at < 0 || n <= 0:
		return Inval
	case at > MaxTmpBytes || n > MaxTmpBytes:
		return FBig
	case at+n > d.node.size:
		e = t.resize(d.node, at+n)
	}
	return e
}

func fdFilestatSetSize(t *Task, a []uint64) Errno {
	d, e := t.file(a[0])
	switch {
	case e != Success:
		return e
	case !d.write:
		return BadF
	case int64(a[1]) < 0:
		return Inval
	}
	if e = t.resize(d.node, int64(a[1])); e == Success {
		t.touch(d.node)
	}
	return e
}

func fdFdstatGet(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	b, ok := t.bytes(a[1], 24)
	if !ok {
		return Fault
	}
	var rights, inherited uint64
	switch n := d.node; {
	case n == nil:
		rights = rightsStream
	case n.dir:
		rights, inherited = rightsDir, rightsDir|rightsFile|rightRead|rightsWrite
	default:
		rights = rightsFile
	}
	if d.read {
		rights |= rightRead
	}
	if d.write {
		rights |= rightWrite
		if d.node != nil {
			rights |= rightsWrite
		}
	}
	clear(b)
	b[0] = typeOf(d.node)
	le.PutUint16(b[2:], d.flags)
	le.PutUint64(b[8:], rights)
	le.PutUint64(b[16:], inherited)
	return Success
}

func fdFdstatSetFlags(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	switch {
	case e != Success:
		return e
	case uint32(a[1])&^flagsAll != 0:
		return Inval
	}
	d.flags = uint16(a[1])
	return Success
}

// fdFdstatSetRights: rights went out of WASI; no program that is made today needs them narrowed.
func fdFdstatSetRights(t *Task, a []uint64) Errno {
	if _, e := t.lookup(a[0]); e != Success {
		return e
	}
	return NotSup
}

func fdFilestatGet(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	return t.putStat(d.node, a[1])
}

// putStat writes a filestat; nil is a stream.
func (t *Task) putStat(n *node, at uint64) Errno {
	b, ok := t.bytes(at, 64)
	if !ok {
		return Fault
	}
	clear(b)
	b[16] = typeOf(n)
	le.PutUint64(b[24:], 1) // links
	if n != nil {
		le.PutUint64(b[0:], 1) // the device
		le.PutUint64(b[8:], n.ino)
		le.PutUint64(b[32:], uint64(n.size))
		le.PutUint64(b[40:], n.atime)
		le.PutUint64(b[48:], n.mtime)
		le.PutUint64(b[56:], n.ctime)
	}
	return Success
}

func fdFilestatSetTimes(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	switch {
	case e != Success:
		return e
	case d.node == nil:
		return Inval
	}
	return t.setTimes(d.node, a[1], a[2], uint32(a[3]))
}

// setTimes sets the times that the flags say: 1 and 4 to what is given, 2 and 8 to now, of access and of modification.
func (t *Task) setTimes(n *node, atime, mtime uint64, flags uint32) Errno {
	switch {
	case flags > 15 || flags&3 == 3 || flags&12 == 12:
		return Inval
	case !n.writable:
		return RoFS
	}
	n.ctime = uint64(t.now())
	for i, at := range []*uint64{&n.atime, &n.mtime} {
		switch flags >> (2 * i) & 3 {
		case 1:
			*at = []uint64{atime, mtime}[i]
		case 2:
			*at = n.ctime
		}
	}
	return Success
}

func fdPrestatGet(t *Task, a []uint64) Errno {
	if uint32(a[0]) != rootFD {
		return BadF
	}
	b, ok := t.bytes(a[1], 8)
	if !ok {
		return Fault
	}
	le.PutUint64(b, 1<<32) // a directory, whose name has one byte
	return Success
}

func fdPrestatDirName(t *Task, a []uint64) Errno {
	switch {
	case uint32(a[0]) != rootFD:
		return BadF
	case uint32(a[2]) < 1:
		return NameTooLong
	}
	b, ok := t.bytes(a[1], 1)
	if !ok {
		return Fault
	}
	b[0] = '/'
	return Success
}

func fdSeek(t *Task, a []uint64) Errno {
	d, e := t.file(a[0])
	if e != Success {
		return e
	}
	b, ok := t.bytes(a[3], 8)
	if !ok {
		return Fault
	}
	var from int64
	switch uint32(a[2]) {
	case 0:
	case 1:
		from = d.at
	case 2:
		from = d.node.size
	default:
		return Inval
	}
	to := from + int64(a[1])
	if to < 0 { // by going before the beginning, or by wrapping: both begin at 0 or more
		return Inval
	}
	d.at = to
	le.PutUint64(b, uint64(to))
	return Success
}

func fdTell(t *Task, a []uint64) Errno { return fdSeek(t, []uint64{a[0], 0, 1, a[1]}) }
