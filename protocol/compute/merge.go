package compute

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"io"

	"github.com/stratosmesh/stratos/mesh"
)

const (
	mergeBuffers = 64 << 20 // what the runs of a merge hold together, besides lines that are longer
	maxBuffer    = 64 << 10 // of one run
	minBuffer    = 512
)

// Merge reads the lines of sorted runs by key; of equal keys those of an earlier run come first. A run that is not sorted, or ends within a line,
// is Corrupt.
func Merge(runs []io.Reader) io.Reader {
	m := &merge{runs: make([]run, len(runs))}
	buffer := max(minBuffer, min(maxBuffer, mergeBuffers/max(1, len(runs))))
	for i, r := range runs {
		m.runs[i] = run{number: i, reader: &lineReader{r: bufio.NewReaderSize(r, buffer)}}
	}
	return m
}

type merge struct {
	runs    []run
	heap    runHeap
	started bool
	left    []byte // of the first line
	err     error
}

// A run of a merge, and its first line.
type run struct {
	number    int
	reader    *lineReader
	line, key []byte
}

// Read gives lines, or what of one finds room.
func (m *merge) Read(b []byte) (n int, err error) {
	for n < len(b) && m.err == nil {
		if len(m.left) == 0 {
			if m.err = m.next(); m.err != nil {
				break
			}
		}
		c := copy(b[n:], m.left)
		m.left = m.left[c:]
		n += c
	}
	if n > 0 {
		return n, nil
	}
	return 0, m.err
}

// next makes the next line the first.
func (m *merge) next() error {
	if !m.started {
		m.started = true
		for i := range m.runs {
			switch err := m.runs[i].advance(); {
			case err == nil:
				m.heap = append(m.heap, &m.runs[i])
			case err != io.EOF:
				return err
			}
		}
		heap.Init(&m.heap)
	} else {
		switch err := m.heap[0].advance(); {
		case err == nil:
			heap.Fix(&m.heap, 0)
		case err == io.EOF:
			heap.Pop(&m.heap)
		default:
			return err
		}
	}
	if len(m.heap) == 0 {
		return io.EOF
	}
	m.left = m.heap[0].line
	return nil
}

// advance goes to the run's next line.
func (r *run) advance() error {
	before := append([]byte(nil), r.key...)
	line, err := r.reader.next()
	if err != nil {
		return err
	}
	key := keyOf(line)
	if r.line != nil && bytes.Compare(key, before) < 0 {
		return mesh.Errorf(mesh.Corrupt, "the output of map %d is not sorted", r.number)
	}
	r.line, r.key = line, key
	return nil
}

type runHeap []*run

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(h[i].key, h[j].key), cmp.Compare(h[i].number, h[j].number)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// A lineReader reads lines of at most MaxRecord bytes. A line is valid until the next.
type lineReader struct {
	r    *bufio.Reader
	long []byte
}

// next gives a line with its newline. io.EOF: there are no more.
func (l *lineReader) next() ([]byte, error) {
	part, err := l.r.ReadSlice('\n')
	if err == nil {
		return part, nil
	}
	l.long = l.long[:0]
	for errors.Is(err, bufio.ErrBufferFull) && len(l.long) <= MaxRecord {
		l.long = append(l.long, part...)
		part, err = l.r.ReadSlice('\n')
	}
	l.long = append(l.long, part...)
	switch {
	case len(l.long) > MaxRecord:
		return nil, mesh.Errorf(mesh.Corrupt, "a line of more than %d bytes", MaxRecord)
	case err == io.EOF && len(l.long) > 0:
		return nil, mesh.Errorf(mesh.Corrupt, "a line ends without a newline")
	}
	return l.long, err
}
