package wasi

func fdRead(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	return t.readv(d, a[1], a[2], a[3], &d.at)
}

func fdPread(t *Task, a []uint64) Errno {
	d, e := t.file(a[0])
	at := int64(a[3])
	switch {
	case e != Success:
		return e
	case at < 0:
		return Inval
	}
	return t.readv(d, a[1], a[2], a[4], &at)
}

// readv reads into the guest's buffers, at a place if it is of a file. It fills them all, or reads to the end.
func (t *Task) readv(d *descriptor, vectors, count, result uint64, at *int64) Errno {
	out, ok := t.bytes(result, 4)
	switch {
	case !ok:
		return Fault
	case d.node != nil && d.node.dir:
		return IsDir
	case !d.read:
		return BadF
	}
	list, total, e := t.vectors(vectors, count)
	if e != Success {
		return e
	}
	switch {
	case d.node != nil:
		total = min(total, uint64(max(d.node.size-*at, 0)))
	case d.talk != nil:
		total = min(total, uint64(len(d.talk.answer)))
	}
	t.charge(PriceByte, total)
	done := 0
	for _, b := range list {
		if d.node == nil {
			n := 0
			if d.talk != nil {
				n = d.talk.read(b)
			} else {
				n = t.fill(b)
			}
			done += n
			if n < len(b) {
				break
			}
			continue
		}
		b = b[:min(uint64(len(b)), total)]
		t.read(d.node, b, *at)
		done, total, *at = done+len(b), total-uint64(len(b)), *at+int64(len(b))
		if total == 0 {
			break
		}
	}
	le.PutUint32(out, uint32(done))
	return Success
}

func fdWrite(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	if e != Success {
		return e
	}
	if d.node != nil && d.flags&flagAppend != 0 {
		d.at = d.node.size
	}
	return t.writev(d, a[1], a[2], a[3], &d.at)
}

func fdPwrite(t *Task, a []uint64) Errno {
	d, e := t.file(a[0])
	at := int64(a[3])
	switch {
	case e != Success:
		return e
	case at < 0:
		return Inval
	}
	return t.writev(d, a[1], a[2], a[4], &at)
}

// writev writes the guest's buffers, all or nothing.
func (t *Task) writev(d *descriptor, vectors, count, result uint64, at *int64) Errno {
	out, ok := t.bytes(result, 4)
	switch {
	case !ok:
		return Fault
	case d.node != nil && d.node.dir:
		return IsDir
	case !d.write:
		return BadF
	}
	list, total, e := t.vectors(vectors, count)
	if e != Success {
		return e
	}
	t.charge(PriceByte, total)
	switch d.stream {
	case streamOut:
		t.print(list, total)
	case streamLog:
		t.note(list)
	case streamAsk:
		if e := t.say(d.talk, list, total); e != Success {
			return e
		}
	default:
		if total == 0 {
			break
		}
		if *at > MaxTmpBytes { // so that the sum does not wrap
			return FBig
		}
		if end := *at + int64(total); end > d.node.size {
			if e := t.resize(d.node, end); e != Success {
				return e
			}
		}
		for _, b := range list {
			t.write(d.node, b, *at)
			*at += int64(len(b))
		}
		t.touch(d.node)
	}
	le.PutUint32(out, uint32(total))
	return Success
}

// fdReaddir lists a directory: ".", "..", and the names sorted by their bytes. A cookie is the number of entries before; 0
// begins anew. Names that came since the beginning are not listed, names that went are left out, so that a program that
// removes what it reads misses nothing.
func fdReaddir(t *Task, a []uint64) Errno {
	d, e := t.lookup(a[0])
	switch {
	case e != Success:
		return e
	case d.node == nil || !d.node.dir:
		return NotDir
	}
	out, ok := t.bytes(a[4], 4)
	if !ok {
		return Fault
	}
	room, ok := t.bytes(a[1], a[2])
	if !ok {
		return Fault
	}
	cookie, used := a[3], 0
	if cookie == 0 || d.list == nil {
		d.list = t.names(d.node)
	}
	for ; cookie < uint64(len(d.list))+2 && used < len(room); cookie++ {
		t.charge(PriceListed, 1)
		name, n := "", d.node
		switch cookie {
		case 0:
			name = "."
		case 1:
			name, n = "..", d.node.parent
		default:
			name = d.list[cookie-2]
			if n = d.node.children[name]; n == nil {
				continue
			}
		}
		var head [24]byte
		le.PutUint64(head[0:], cookie+1)
		le.PutUint64(head[8:], n.ino)
		le.PutUint32(head[16:], uint32(len(name)))
		head[20] = typeOf(n)
		t.charge(PriceByte, uint64(len(head)+len(name)))
		used += copy(room[used:], head[:])
		used += copy(room[used:], name)
	}
	le.PutUint32(out, uint32(used)) // the whole room: more is to come
	return Success
}
