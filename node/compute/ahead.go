package compute

import (
	"io"
	"sync"

	"github.com/stratosmesh/stratos/protocol/compute"
)

// aheadBytes are read at once of a file of a task: opening an object takes longer than reading that.
const aheadBytes = 1 << 20

// ahead reads a source in blocks, of which it keeps the last one: tasks read files in small pieces, mostly one behind the other.
type ahead struct {
	source compute.Source

	mu    sync.Mutex
	at    uint64 // where block begins
	block []byte
}

func (a *ahead) ReadAt(b []byte, at int64) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n < len(b) {
		from := uint64(at) + uint64(n)
		if from >= a.source.Size() {
			return n, io.EOF
		}
		if from < a.at || from-a.at >= uint64(len(a.block)) {
			start := from / aheadBytes * aheadBytes
			block := make([]byte, min(aheadBytes, a.source.Size()-start))
			if _, err := (compute.ReaderAt{Source: a.source}).ReadAt(block, int64(start)); err != nil {
				return n, err
			}
			a.at, a.block = start, block
		}
		n += copy(b[n:], a.block[from-a.at:])
	}
	return n, nil
}
