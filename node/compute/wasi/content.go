package wasi

import (
	"errors"
	"io"
)

// read fills b from a file at a place before its end; b does not reach past it.
func (t *Task) read(n *node, b []byte, at int64) {
	if n.source != nil {
		if got, err := n.source.ReadAt(b, at); got < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the file is shorter than its size
			}
			t.fail(err)
		}
		return
	}
	for len(b) > 0 {
		within := int(at % chunkBytes)
		k := min(len(b), chunkBytes-within)
		if c := n.chunks[at/chunkBytes]; c != nil {
			copy(b, c[within:within+k])
		} else {
			clear(b[:k])
		}
		b, at = b[k:], at+int64(k)
	}
}

// write puts b into a file of /tmp that is long enough.
func (t *Task) write(n *node, b []byte, at int64) {
	for len(b) > 0 {
		c := &n.chunks[at/chunkBytes]
		if *c == nil {
			*c = t.newChunk()
		}
		k := copy((*c)[at%chunkBytes:], b)
		b, at = b[k:], at+int64(k)
	}
}

func (t *Task) newChunk() *chunk {
	if last := len(t.free) - 1; last >= 0 {
		c := t.free[last]
		t.free = t.free[:last]
		*c = chunk{}
		return c
	}
	return new(chunk)
}

func chunksOf(size int64) int64 { return (size + chunkBytes - 1) / chunkBytes }

// resize gives a file of /tmp a size; what it grows by reads as zeros. It charges for growth.
func (t *Task) resize(n *node, size int64) Errno {
	if size > MaxTmpBytes {
		return FBig
	}
	if size < n.size {
		t.shrink(n, size)
		return Success
	}
	more := chunksOf(size) - int64(len(n.chunks))
	if more*chunkBytes > t.bytesLeft {
		return NoSpc
	}
	t.charge(PriceChunk, uint64(more))
	t.bytesLeft -= more * chunkBytes
	n.chunks = append(n.chunks, make([]*chunk, more)...)
	n.size = size
	return Success
}

// shrink cuts a file of /tmp. What lies behind the end in its last chunk is zeroed, for it may grow again.
func (t *Task) shrink(n *node, size int64) {
	keep := chunksOf(size)
	for _, c := range n.chunks[keep:] {
		t.bytesLeft += chunkBytes
		if c != nil {
			t.free = append(t.free, c)
		}
	}
	clear(n.chunks[keep:])
	n.chunks = n.chunks[:keep]
	if within := size % chunkBytes; within > 0 && n.chunks[keep-1] != nil {
		clear(n.chunks[keep-1][within:])
	}
	n.size = size
}

// touch notes that a file was changed.
func (t *Task) touch(n *node) {
	n.mtime = uint64(t.now())
	n.ctime = n.mtime
}

// stdin is the task's input: read once, in order, until its end.
type stdin struct {
	r    io.Reader
	done bool
	room []byte
}

// maxVain is after how many empty reads a reader that neither gives nor ends has failed.
const maxVain = 100

// fill reads into b until it is full or the input ends. A reader may write past what it read, so it gets room of our own.
func (t *Task) fill(b []byte) (n int) {
	if t.in.room == nil {
		t.in.room = make([]byte, 64<<10)
	}
	for vain := 0; n < len(b) && !t.in.done; {
		room := t.in.room[:min(len(b)-n, len(t.in.room))]
		got, err := t.in.r.Read(room)
		if got < 0 || got > len(room) {
			t.fail(errors.New("the reader of the standard input gives more than it was asked for"))
		}
		n += copy(b[n:], room[:got])
		vain++
		if got > 0 {
			vain = 0
		}
		switch {
		case errors.Is(err, io.EOF):
			t.in.done = true
		case err != nil:
			t.fail(err)
		case vain == maxVain:
			t.fail(io.ErrNoProgress)
		}
	}
	return n
}

// An output is a stream that the task writes to, and what it may still take.
type output struct {
	w    io.Writer
	left int64
}

func (t *Task) emit(o *output, b []byte) {
	o.left -= int64(len(b))
	if o.w == nil {
		return
	}
	if n, err := o.w.Write(b); err != nil {
		t.fail(err)
	} else if n != len(b) {
		t.fail(io.ErrShortWrite)
	}
}

// print writes to the standard output: all or, past its bound, nothing and the end.
func (t *Task) print(list [][]byte, total uint64) {
	if total > uint64(t.out.left) {
		t.end(ErrOutput)
	}
	for _, b := range list {
		t.emit(&t.out, b)
	}
}

// note writes to standard error what fits, and once that something did not.
func (t *Task) note(list [][]byte) {
	for _, b := range list {
		if t.log.left < 0 {
			return
		}
		fits := min(int64(len(b)), t.log.left)
		if fits > 0 {
			t.emit(&t.log, b[:fits])
		}
		if fits < int64(len(b)) {
			t.emit(&t.log, []byte(Dropped)) // makes left negative
		}
	}
}
