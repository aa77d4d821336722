package compute_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// An object is bytes as a source.
type object []byte

func (o object) Size() uint64 { return uint64(len(o)) }
func (o object) Open(offset, length uint64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o[offset : offset+length])), nil
}

func readRange(s compute.Source, offset, length uint64) ([]byte, error) {
	r, err := s.Open(offset, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// Any range of a content with its tree is that range, or, when anything was changed, Corrupt.
func TestTree(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{0, 1, 16383, 16384, 16385, 100_000, 1<<20 + 77} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(rng.Uint32())
		}
		r, root, err := compute.WithTree(bytes.NewReader(content), uint64(size))
		if err != nil || root != blake3.Sum256(content) {
			t.Fatalf("%d bytes: root %x, %v", size, root, err)
		}
		stored, err := io.ReadAll(r)
		if err != nil || uint64(len(stored)) != compute.TreedBytes(uint64(size)) || !bytes.Equal(stored[:size], content) {
			t.Fatalf("%d bytes are %d with their tree, %v", size, len(stored), err)
		}
		s, err := compute.Treed(object(stored), root, uint64(size))
		if err != nil || s.Size() != uint64(size) {
			t.Fatal(err)
		}
		for range 50 {
			from := rng.IntN(size + 1)
			to := from + rng.IntN(size-from+1)
			if got, err := readRange(s, uint64(from), uint64(to-from)); err != nil || !bytes.Equal(got, content[from:to]) {
				t.Fatalf("%d to %d of %d bytes: %d bytes, %v", from, to, size, len(got), err)
			}
			if size == 0 {
				continue
			}
			bad := bytes.Clone(stored)
			at := rng.IntN(len(bad))
			bad[at] ^= 1 << rng.IntN(8)
			b, err := compute.Treed(object(bad), root, uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readRange(b, uint64(from), uint64(to-from)) // what it gives before an error is right, too
			if !bytes.HasPrefix(content[from:to], got) {
				t.Fatalf("byte %d was changed; %d to %d of %d bytes give others", at, from, to, size)
			}
			if touched := at >= from && at < to; err == nil && (touched || !bytes.Equal(got, content[from:to])) || err != nil && mesh.KindOf(err) != mesh.Corrupt {
				t.Fatalf("byte %d was changed; %d to %d of %d bytes: %v", at, from, to, size, err)
			}
		}
		if _, err := compute.Treed(object(stored[:len(stored)-1]), root, uint64(size)); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("%d bytes, one too few: %v", size, err)
		}
		if _, err := s.Open(uint64(size), 1); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("behind the end: %v", err)
		}
	}
	if _, err := compute.Treed(object(make([]byte, 8)), compute.Digest{1}, 0); mesh.KindOf(err) != mesh.Corrupt {
		t.Errorf("nothing under another name: %v", err)
	}
}
