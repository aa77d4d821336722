package worker

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"

	"github.com/stratosmesh/stratos/mesh"
)

// Frames go both ways over the worker's standard input and output: length of the body, uint32, little endian; kind, one byte; body.
// Both ends are the same program, so there is no version. The worker asks and the node answers, one at a time; only a load and a task
// come from the node unasked, when the worker has nothing to do. Output needs no answer. The node believes the worker nothing: code that
// broke out of the sandbox may write what it likes.
const (
	frameLoad   = 1  // node: JSON of Module
	frameLoaded = 2  // worker: JSON of loaded
	frameTask   = 3  // node: JSON of assignment
	frameRead   = 4  // worker: uint32, how many bytes of the input it wants
	frameFile   = 5  // worker: uint32 number of the file, uint64 offset, uint32 how many bytes
	frameData   = 6  // node: what was wanted of input or file, fewer bytes only at its end
	frameOutput = 7  // worker: bytes of the output
	frameLog    = 8  // worker: bytes of the log
	frameDone   = 9  // worker: JSON of ending
	frameAsk    = 10 // worker: a request of the task
	frameAnswer = 11 // node: the answer
)

// MaxFrame is the longest body.
const MaxFrame = 1 << 20

const frameHead = 5

// A wire reads and writes frames. It is not safe for concurrent use.
type wire struct {
	in  *bufio.Reader
	out io.Writer
	buf []byte // of the frame that was read last
	tmp []byte // of the frame that is written
}

func newWire(in io.Reader, out io.Writer) *wire {
	return &wire{in: bufio.NewReaderSize(in, 64<<10), out: out}
}

// write sends a frame; body is at most MaxFrame.
func (w *wire) write(kind byte, body ...[]byte) error {
	w.tmp = append(w.tmp[:0], 0, 0, 0, 0, kind)
	for _, b := range body {
		w.tmp = append(w.tmp, b...)
	}
	binary.LittleEndian.PutUint32(w.tmp, uint32(len(w.tmp)-frameHead))
	_, err := w.out.Write(w.tmp)
	return err
}

func (w *wire) writeJSON(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > MaxFrame {
		return mesh.Errorf(mesh.Invalid, "a frame of %d bytes is too long, %d are the most", len(b), MaxFrame)
	}
	return w.write(kind, b)
}

// read gives the next frame; its body is valid until the next call. io.EOF: there are no more.
func (w *wire) read() (kind byte, body []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxFrame {
		return 0, nil, mesh.Errorf(mesh.Corrupt, "a frame of %d bytes, %d are the most", n, MaxFrame)
	}
	if cap(w.buf) < int(n) {
		w.buf = make([]byte, n)
	}
	w.buf = w.buf[:n]
	if _, err := io.ReadFull(w.in, w.buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[4], w.buf, nil
}

// expect reads a frame of one kind.
func (w *wire) expect(kind byte) ([]byte, error) {
	got, body, err := w.read()
	if err == nil && got != kind {
		err = mesh.Errorf(mesh.Corrupt, "a frame of kind %d came where %d was awaited", got, kind)
	}
	return body, err
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return mesh.Errorf(mesh.Corrupt, "decoding a frame: %w", err)
	}
	return nil
}
