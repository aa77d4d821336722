package transfer_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/zeebo/blake3"
	"lukechampine.com/blake3/bao"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

// The tree, the proofs and what they verify are those of the library that defines the format.
func TestProofsAreBao(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := rand.NewChaCha8([32]byte{9})
	for _, n := range []int{1, 1023, 1024, 1025, 16<<10 - 1, 16 << 10, 16<<10 + 1, 48 << 10, 1 << 20, 1<<20 + 5, 3<<20 + 77} {
		data := make([]byte, n)
		random.Read(data)
		outboard, id := transfer.Outboard(data)
		want, root := bao.EncodeBuf(data, transfer.BaoGroup, true)
		if id != root || id != blake3.Sum256(data) || id != transfer.SliceIDOf(data) || !bytes.Equal(outboard, want) {
			t.Fatalf("the tree of %d bytes differs", n)
		}
		for i := range 30 {
			offset := uint64(r.IntN(n))
			length := 1 + r.Uint64N(uint64(n)-offset)
			if i == 0 {
				offset, length = 0, uint64(n)
			}
			from, to := transfer.Groups(uint64(n), offset, length)
			proof, ok := transfer.AppendProof(nil, outboard, data[from:to], id, offset, length)
			if !ok {
				t.Fatalf("%d at %d of %d: no proof", length, offset, n)
			}
			var expected bytes.Buffer
			if err := bao.ExtractSlice(&expected, bytes.NewReader(data[from:to]), bytes.NewReader(outboard), transfer.BaoGroup, offset, length); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(proof, expected.Bytes()) {
				t.Fatalf("%d at %d of %d: the proof differs", length, offset, n)
			}
			got := make([]byte, length)
			if !verify(got, proof, id, offset) || !bytes.Equal(got, data[offset:offset+length]) {
				t.Fatalf("%d at %d of %d: the proof does not verify", length, offset, n)
			}
			if verify(got, append(proof, 0), id, offset) || verify(got, proof[:len(proof)-1], id, offset) {
				t.Fatalf("%d at %d of %d: a byte more or less verifies", length, offset, n)
			}
			at := 8 + r.IntN(len(proof)-8)
			proof[at] ^= 1
			if verify(got, proof, id, offset) {
				t.Fatalf("%d at %d of %d: a flipped bit at %d verifies", length, offset, n, at)
			}
			flipped := bytes.Clone(data[from:to])
			flipped[r.IntN(len(flipped))] ^= 4
			if _, ok := transfer.AppendProof(nil, outboard, flipped, id, offset, length); ok {
				t.Fatalf("%d at %d of %d: damaged bytes are proven", length, offset, n)
			}
			hashes, ok := transfer.GroupHashes(outboard, id, offset, length)
			if !ok {
				t.Fatalf("%d at %d of %d: no hashes of groups", length, offset, n)
			}
			for begin := from; begin < to; {
				_, end := transfer.Groups(uint64(n), begin, 1)
				if len(hashes) == 0 || !transfer.GroupIs(data[begin:end], begin, uint64(n), hashes[0]) || transfer.GroupIs(data[begin:end-1], begin, uint64(n), hashes[0]) {
					t.Fatalf("%d at %d of %d: the group at %d", length, offset, n, begin)
				}
				if g := flipped[begin-from : end-from]; transfer.GroupIs(g, begin, uint64(n), hashes[0]) != bytes.Equal(g, data[begin:end]) {
					t.Fatalf("%d at %d of %d: a damaged group at %d", length, offset, n, begin)
				}
				begin, hashes = end, hashes[1:]
			}
			if len(hashes) > 0 {
				t.Fatalf("%d at %d of %d: %d hashes too many", length, offset, n, len(hashes))
			}
			if len(outboard) > 8 {
				bad := bytes.Clone(outboard)
				bad[8+r.IntN(64)] ^= 1 // of the root
				if _, ok := transfer.GroupHashes(bad, id, offset, length); ok {
					t.Fatalf("%d at %d of %d: hashes of a damaged tree", length, offset, n)
				}
			}
		}
	}
}

// verify reads a proof as it comes from a connection: in parts.
func verify(dst, proof []byte, id mesh.SliceID, offset uint64) bool {
	err := transfer.ReadProof(iotest.HalfReader(bytes.NewReader(proof)), dst, id, offset)
	return err == nil
}

func TestReadProofTellsWhoseFaultItIs(t *testing.T) {
	data := make([]byte, 100<<10)
	outboard, id := transfer.Outboard(data)
	proof, _ := transfer.AppendProof(nil, outboard, data, id, 0, uint64(len(data)))
	dst := make([]byte, len(data))
	for n := range 9 {
		cut := proof[:n*len(proof)/9]
		if err := transfer.ReadProof(bytes.NewReader(cut), dst, id, 0); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("a proof of %d of %d bytes: %v", len(cut), len(proof), err)
		}
		broken := io.MultiReader(bytes.NewReader(cut), iotest.ErrReader(io.ErrUnexpectedEOF))
		if err := transfer.ReadProof(broken, dst, id, 0); err != io.ErrUnexpectedEOF {
			t.Errorf("a connection that broke after %d bytes: %v", len(cut), err)
		}
	}
}

func FuzzReadProof(f *testing.F) {
	data := make([]byte, 40<<10)
	outboard, id := transfer.Outboard(data)
	proof, _ := transfer.AppendProof(nil, outboard, data[:32<<10], id, 5, 20<<10)
	f.Add(proof, uint64(5), uint32(20<<10))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, uint64(1)<<63, uint32(1))
	f.Add(bytes.Repeat([]byte{0xff}, 80), ^uint64(0), uint32(1))
	f.Fuzz(func(t *testing.T, proof []byte, offset uint64, n uint32) {
		dst := make([]byte, n%mesh.StepBytes)
		if verify(dst, proof, id, offset) && !bytes.Equal(dst, data[offset:offset+uint64(len(dst))]) {
			t.Error("other bytes verify")
		}
	})
}

func BenchmarkReadProof(b *testing.B) {
	data := make([]byte, 4<<20)
	outboard, id := transfer.Outboard(data)
	from, to := transfer.Groups(uint64(len(data)), 1<<20, 1<<20)
	proof, _ := transfer.AppendProof(nil, outboard, data[from:to], id, 1<<20, 1<<20)
	dst := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := transfer.ReadProof(bytes.NewReader(proof), dst, id, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
