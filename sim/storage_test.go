package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

func bucket(t *testing.T, c *client.Client, name string) {
	t.Helper()
	if err := c.MakeBucket(t.Context(), name, false); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, c *client.Client, p mesh.Path, b []byte) *client.Object {
	t.Helper()
	o, err := c.Put(t.Context(), p, bytes.NewReader(b), client.PutOptions{})
	if err != nil {
		t.Fatalf("writing %s: %v", p, err)
	}
	return o
}

func get(ctx context.Context, c *client.Client, p mesh.Path, offset, length uint64) ([]byte, error) {
	r, _, err := c.Get(ctx, p, offset, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantBytes(t *testing.T, c *client.Client, p mesh.Path, want []byte) {
	t.Helper()
	got, err := get(t.Context(), c, p, 0, uint64(len(want))+1)
	if err != nil {
		t.Fatalf("reading %s: %v", p, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s came back with %d bytes, not the %d that went in", p, len(got), len(want))
	}
}

// Sizes around every limit, whole and in ranges.
func TestSizes(t *testing.T) {
	r := random(t)
	c := shared.client(t, "alice", 0, client.Options{})
	bucket(t, c, "sizes")
	const seg, frame = mesh.SegmentBytes, mesh.FrameBytes
	for _, n := range []int{0, 1, mesh.InlineMax, mesh.InlineMax + 1, frame, frame + 1, 4*frame - 1, 4 * frame, 4*frame + 1, 300_000, seg - 1, seg, seg + 1, 2*seg + 12345} {
		b := content(r, n)
		p := mesh.Path{Bucket: "sizes", Key: fmt.Sprintf("n/%d", n)}
		put(t, c, p, b)
		wantBytes(t, c, p, b)
		for range 5 {
			if n == 0 {
				break
			}
			off := r.IntN(n)
			ln := 1 + r.IntN(min(n-off, 200_000))
			got, err := get(t.Context(), c, p, uint64(off), uint64(ln))
			if err != nil || !bytes.Equal(got, b[off:off+ln]) {
				t.Fatalf("%d bytes at %d of %d: %d bytes, %v", ln, off, n, len(got), err)
			}
		}
		if _, err := get(t.Context(), c, p, uint64(n)+1, 1); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("a range past %d bytes: %v", n, err)
		}
	}
	var names []string
	if err := c.List(t.Context(), mesh.Path{Bucket: "sizes", Key: ""}, "/", func(l client.Listed) error {
		names = append(names, l.Key)
		return nil
	}); err != nil || len(names) != 1 || names[0] != "n/" {
		t.Errorf("the folders of the bucket are %q, %v", names, err)
	}
}

// With any 2 of 8 nodes held down, what was acknowledged before reads and new objects are written; when the nodes are back,
// what was written meanwhile becomes whole.
func TestNodesDown(t *testing.T) {
	r := random(t)
	c, exact := shared.client(t, "alice", 1, client.Options{}), shared.client(t, "alice", 1, client.Options{Exact: true})
	bucket(t, c, "nodes-down")
	size := 5 << 20
	old := content(r, size)
	before := mesh.Path{Bucket: "nodes-down", Key: "before"}
	put(t, c, before, old)
	var pairs [][2]int
	for a := range 8 {
		for b := range a {
			pairs = append(pairs, [2]int{a, b})
		}
	}
	r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if !long() {
		pairs = pairs[:3]
	}
	for _, pair := range pairs {
		t.Run(fmt.Sprint(pair), func(t *testing.T) {
			up := shared.down(t, fmt.Sprintf("node-%d", pair[0]), fmt.Sprintf("node-%d", pair[1]))
			wantBytes(t, c, before, old)
			wantBytes(t, exact, before, old)
			during := mesh.Path{Bucket: "nodes-down", Key: fmt.Sprintf("during %v", pair)}
			b := content(r, size)
			o := put(t, c, during, b)
			wantBytes(t, c, during, b)
			pl, err := c.Placement(t.Context(), o)
			if err != nil || missing(pl) != 2*pl.Segments {
				t.Fatalf("%d pieces missing of %d segments, %v", missing(pl), pl.Segments, err)
			}
			up()
			until(t, "repair", func() (bool, error) {
				o, err := c.Stat(t.Context(), during)
				if err != nil {
					return false, err
				}
				pl, err := c.Placement(t.Context(), o)
				return err == nil && missing(pl) == 0, err
			})
			wantBytes(t, c, during, b)
		})
	}
}

func missing(pl *client.Placement) (n int) {
	for _, p := range pl.Pieces {
		if !p.Stored {
			n++
		}
	}
	return n
}

// The authority that granted the lease is killed: reads and writes go on; started again, it catches up.
func TestAuthorityDown(t *testing.T) {
	r := random(t)
	for at := range 4 {
		c := shared.client(t, "alice", at, client.Options{})
		name := fmt.Sprintf("authority-down-%d", at)
		bucket(t, c, name)
		b := content(r, 1<<20)
		put(t, c, mesh.Path{Bucket: name, Key: "before"}, b) // the lease is with the first authority
		up := shared.down(t, fmt.Sprintf("authority-%d", at))
		wantBytes(t, c, mesh.Path{Bucket: name, Key: "before"}, b)
		put(t, c, mesh.Path{Bucket: name, Key: "during"}, b)
		wantBytes(t, c, mesh.Path{Bucket: name, Key: "during"}, b)
		up() // returns when it is ready: it has caught up
		fresh := shared.client(t, "alice", at, client.Options{})
		wantBytes(t, fresh, mesh.Path{Bucket: name, Key: "during"}, b)
	}
}

// A write acknowledged through one authority is read at once through another, also when the first dies in that moment.
func TestReadYourWritesElsewhere(t *testing.T) {
	r := random(t)
	writer, reader := shared.client(t, "alice", 0, client.Options{}), shared.client(t, "alice", 2, client.Options{})
	bucket(t, writer, "elsewhere")
	for i := range 20 {
		p := mesh.Path{Bucket: "elsewhere", Key: fmt.Sprint(i % 3)}
		b := content(r, 100)
		put(t, writer, p, b)
		wantBytes(t, reader, p, b)
	}
	b := content(r, 100)
	p := mesh.Path{Bucket: "elsewhere", Key: "dying"}
	put(t, writer, p, b)
	up := shared.down(t, "authority-0")
	wantBytes(t, reader, p, b)
	up()
}

// Many small objects from many goroutines, then gone again.
func TestManySmall(t *testing.T) {
	c := shared.client(t, "alice", 3, client.Options{})
	bucket(t, c, "small")
	n := 300
	if long() {
		n = 5000
	}
	var wg sync.WaitGroup
	errs := make([]error, n)
	slots := make(chan struct{}, 16)
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			p := mesh.Path{Bucket: "small", Key: fmt.Sprintf("tree/%03d/%d", i%50, i)}
			b := bytes.Repeat([]byte{byte(i)}, i*7%9000)
			if _, err := c.Put(t.Context(), p, bytes.NewReader(b), client.PutOptions{}); err != nil {
				errs[i] = err
				return
			}
			got, err := get(t.Context(), c, p, 0, 1<<20)
			if err == nil && !bytes.Equal(got, b) {
				err = fmt.Errorf("%s came back different", p)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var keys []string
	if err := c.List(t.Context(), mesh.Path{Bucket: "small"}, "", func(l client.Listed) error { keys = append(keys, l.Key); return nil }); err != nil || len(keys) != n {
		t.Fatalf("%d of %d objects listed, %v", len(keys), n, err)
	}
}

// The validator is killed while objects are written: nothing of the meta and the resource layer minds.
func TestValidatorDown(t *testing.T) {
	r := random(t)
	c := shared.client(t, "alice", 0, client.Options{})
	bucket(t, c, "validator-down")
	value := shared.chain(t)
	_, _, store := shared.home(t)
	alice, err := store.Resolve("alice")
	if err != nil {
		t.Fatal(err)
	}
	before, err := value.Balance(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	up := shared.down(t, "validator-0")
	b := content(r, 1<<20)
	put(t, c, mesh.Path{Bucket: "validator-down", Key: "x"}, b)
	up()
	wantBytes(t, c, mesh.Path{Bucket: "validator-down", Key: "x"}, b)
	until(t, "the validator", func() (bool, error) {
		after, err := shared.chain(t).Balance(t.Context(), alice)
		return err == nil && after.Cmp(before) == 0, err
	})
}
