package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// Whatever little memory there is, what is written comes back, whole and in ranges, to those who have little as well and to
// those who have enough.
func TestLittleMemory(t *testing.T) {
	r := random(t)
	plenty := shared.client(t, "alice", 0, client.Options{})
	bucket(t, plenty, "memory")
	if err := plenty.MakeBucket(t.Context(), "memory-public", true); err != nil {
		t.Fatal(err)
	}
	for _, budget := range []int{0, 3 << 20, 48 << 20} {
		m := client.NewMemory(budget)
		c := shared.client(t, "alice", 1, client.Options{Memory: m})
		for _, in := range []string{"memory", "memory-public"} {
			for _, n := range []int{mesh.FrameBytes + 1, 300_000, 1<<20 + 1, 3<<20 + 17, mesh.SegmentBytes + 5} {
				b, p := content(r, n), mesh.Path{Bucket: in, Key: fmt.Sprintf("%d/%d", budget, n)}
				put(t, c, p, b)
				wantBytes(t, plenty, p, b)
				wantBytes(t, c, p, b)
				for range 4 {
					off := r.IntN(n)
					ln := 1 + r.IntN(n-off)
					got, err := get(t.Context(), c, p, uint64(off), uint64(ln))
					if err != nil || !bytes.Equal(got, b[off:off+ln]) {
						t.Fatalf("%d bytes at %d of %d with %d bytes of memory: %d bytes, %v", ln, off, n, budget, len(got), err)
					}
				}
				wantFree(t, m)
			}
		}
		multipart(t, r, c, mesh.Path{Bucket: "memory", Key: fmt.Sprintf("%d/parts", budget)})
		wantFree(t, m)
	}
}

func wantFree(t *testing.T, m *client.Memory) {
	t.Helper()
	if n := m.Held(); n != 0 {
		t.Fatalf("%d bytes of memory were not given back", n)
	}
}

// multipart writes an object in two parts and reads it back.
func multipart(t *testing.T, r *rand.Rand, c *client.Client, p mesh.Path) {
	t.Helper()
	up, err := c.BeginMultipart(t.Context(), p, client.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := content(r, 7<<20)
	var parts []client.Part
	for i, part := range [][]byte{b[:5<<20], b[5<<20:]} {
		made, err := c.PutPart(t.Context(), up, i+1, bytes.NewReader(part), client.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, *made)
	}
	if _, err := c.CompleteMultipart(t.Context(), up, parts, client.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, c, p, b)
}

// Memory comes back from whatever ends early: readers that are closed, contexts that end and sources that fail in the middle,
// objects that nobody may read any more. Several at once, large and small.
func TestMemoryComesBack(t *testing.T) {
	r := random(t)
	m := client.NewMemory(20 << 20)
	c := shared.client(t, "alice", 2, client.Options{Memory: m})
	bucket(t, c, "memory-back")
	big := mesh.Path{Bucket: "memory-back", Key: "big"}
	b := content(r, 20<<20)
	put(t, c, big, b)
	o, err := c.Stat(t.Context(), big)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke")
	var wg sync.WaitGroup
	for i := range 24 {
		cut, size, key := r.IntN(len(b)), []int{50_000, 900_000, 6 << 20}[i/4%3], mesh.Path{Bucket: "memory-back", Key: fmt.Sprint("small/", i)}
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			switch i % 4 {
			case 0: // closed in the middle
				reader, err := c.Open(ctx, o, 0, o.Size)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.CopyN(io.Discard, reader, int64(cut)); err != nil {
					t.Error(err)
				}
				reader.Close()
			case 1: // cancelled in the middle
				reader, err := c.Open(ctx, o, 0, o.Size)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.CopyN(io.Discard, reader, int64(cut)); err != nil {
					t.Error(err)
				}
				cancel()
				_, _ = io.Copy(io.Discard, reader)
				reader.Close()
			case 2: // the source fails
				_, err := c.Put(ctx, key, io.MultiReader(bytes.NewReader(b[:size]), iotest.ErrReader(broken)), client.PutOptions{})
				if !errors.Is(err, broken) {
					t.Errorf("a Put whose source broke: %v", err)
				}
			case 3: // cancelled when the source has ended, before it is written
				source := io.MultiReader(bytes.NewReader(b[:size]), ending(cancel))
				if _, err := c.Put(ctx, key, source, client.PutOptions{}); err == nil {
					t.Error("a Put that was cancelled ended well")
				}
			}
		})
	}
	wg.Wait()
	wantFree(t, m)
	// What lies on a node that does not answer is rebuilt, in memory that counts and comes back.
	up := shared.down(t, "node-1", "node-6")
	wantBytes(t, c, big, b)
	up()
	wantFree(t, m)
	wantBytes(t, c, big, b)
	wantFree(t, m)
}

// ending is an empty reader that does something when it is reached.
type ending func()

func (f ending) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
