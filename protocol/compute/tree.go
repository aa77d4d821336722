package compute

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/bao"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

// What agents and tasks store for tasks (scripts, rows of a query, what maps give) is a content and the tree by which any range of it is checked:
//
//	content | its BLAKE3 tree in groups of 16 KiB, the "outboard" of protocol/transfer: length of the content, u64 LE, and parents in pre-order
//
// A task names such an object by the BLAKE3 of the content: its text is the same whoever has stored it, and whoever reads it believes nobody.

// TreedBytes is how long a content of so many bytes is with its tree.
func TreedBytes(size uint64) uint64 { return size + transfer.OutboardBytes(size) }

// WithTree reads a content from its beginning, and gives it with its tree, and its BLAKE3. What it holds in memory is the tree, 1/256 of the content.
func WithTree(content io.ReadSeeker, size uint64) (io.Reader, Digest, error) {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, Digest{}, mesh.Errorf(mesh.Internal, "reading what is to be stored: %w", err)
	}
	t := make(tree, transfer.OutboardBytes(size))
	root, err := bao.Encode(t, content, int64(size), transfer.BaoGroup, true)
	if err != nil {
		return nil, Digest{}, mesh.Errorf(mesh.Internal, "reading what is to be stored: %w", err)
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, Digest{}, mesh.Errorf(mesh.Internal, "reading what is to be stored: %w", err)
	}
	return io.MultiReader(io.LimitReader(content, int64(size)), bytes.NewReader(t)), root, nil
}

// A tree is where bao.Encode writes one.
type tree []byte

func (t tree) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(t)) || len(b) > len(t)-int(at) {
		return 0, errors.New("a tree is longer than its content makes it")
	}
	return copy(t[at:], b), nil
}

// Treed is the content of size bytes that an object with a tree should hold, by its BLAKE3. What is read of it is that content, or the error is Corrupt.
func Treed(object Source, root Digest, size uint64) (Source, error) {
	if size > 1<<62 || object.Size() != TreedBytes(size) {
		return nil, mesh.Errorf(mesh.Corrupt, "an object of %d bytes is no content of %d bytes with its tree", object.Size(), size)
	}
	if size == 0 && root != blake3.Sum256(nil) {
		return nil, errTree
	}
	return &treed{object: object, root: root, size: size}, nil
}

var errTree = mesh.Errorf(mesh.Corrupt, "what is stored is not the content that it is named for")

type treed struct {
	object Source
	root   Digest
	size   uint64

	mu   sync.Mutex
	tree []byte // once it was read; who opens a range checks what he uses of it
}

func (t *treed) Size() uint64 { return t.size }

// outboard reads the tree, once.
func (t *treed) outboard() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tree != nil {
		return t.tree, nil
	}
	r, err := t.object.Open(t.size, transfer.OutboardBytes(t.size))
	if err != nil {
		return nil, err
	}
	b := make([]byte, transfer.OutboardBytes(t.size))
	_, err = io.ReadFull(r, b)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	t.tree = b
	return b, nil
}

func (t *treed) Open(offset, length uint64) (io.ReadCloser, error) {
	if offset > t.size || length > t.size-offset {
		return nil, mesh.Errorf(mesh.Invalid, "%d bytes from %d on of a content of %d", length, offset, t.size)
	}
	if length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	tree, err := t.outboard()
	if err != nil {
		return nil, err
	}
	hashes, ok := transfer.GroupHashes(tree, mesh.SliceID(t.root), offset, length)
	if !ok {
		return nil, errTree
	}
	from, to := transfer.Groups(t.size, offset, length)
	r, err := t.object.Open(from, to-from)
	if err != nil {
		return nil, err
	}
	return &checked{open: r, size: t.size, at: from, hashes: hashes, skip: offset - from, left: length}, nil
}

// checked reads a range by groups, each checked before any of it is given. It holds one group, and 32 bytes for each that is to come: a reduce has one of
// these for each map.
type checked struct {
	open     io.ReadCloser
	size     uint64 // of the content
	at       uint64 // where the next group begins
	hashes   [][32]byte
	skip     uint64 // bytes of the next group that were not asked for
	left     uint64 // bytes that are to be given
	buf, got []byte // got is of buf
	err      error
}

func (c *checked) Read(b []byte) (int, error) {
	if len(c.got) == 0 && c.err == nil {
		c.err = c.fill()
	}
	n := copy(b, c.got)
	c.got = c.got[n:]
	if n > 0 {
		return n, nil
	}
	return 0, c.err
}

// fill reads a group and checks it. io.EOF: all was given.
func (c *checked) fill() error {
	if c.left == 0 {
		return io.EOF
	}
	_, end := transfer.Groups(c.size, c.at, 1)
	if c.buf == nil {
		c.buf = make([]byte, end-c.at)
	}
	group := c.buf[:end-c.at]
	if _, err := io.ReadFull(c.open, group); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = mesh.Errorf(mesh.Corrupt, "an object is shorter than it says")
		}
		return err
	}
	if !transfer.GroupIs(group, c.at, c.size, c.hashes[0]) {
		return errTree
	}
	c.at, c.hashes = end, c.hashes[1:]
	c.got, c.skip = group[c.skip:], 0
	c.got = c.got[:min(uint64(len(c.got)), c.left)]
	c.left -= uint64(len(c.got))
	return nil
}

func (c *checked) Close() error { return c.open.Close() }
