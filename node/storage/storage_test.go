package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/zeebo/blake3"
	"go.uber.org/goleak"
	"lukechampine.com/blake3/bao"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/storage"
	"github.com/stratosmesh/stratos/protocol/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func slice(r *rand.Rand, n int) (mesh.SliceID, []byte) {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return blake3.Sum256(b), b
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func open(t *testing.T, o storage.Options) *storage.Store {
	t.Helper()
	s, err := storage.Open("/slices", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *storage.Store, id mesh.SliceID, b []byte) {
	t.Helper()
	if err := s.Put(t.Context(), id, b); err != nil {
		t.Fatal(err)
	}
}

// holds checks a slice byte by byte, in ranges, as a client does.
func holds(s *storage.Store, id mesh.SliceID, want []byte) error {
	if n, err := s.Len(id); err != nil || n != uint64(len(want)) {
		return fmt.Errorf("Len = %d, %w", n, err)
	}
	for at := 0; at < len(want); at += mesh.StepBytes {
		n := min(mesh.StepBytes, len(want)-at)
		var out bytes.Buffer
		if err := s.Range(&out, id, uint64(at), uint64(n)); err != nil {
			return err
		}
		got, ok := bao.VerifySlice(out.Bytes(), transfer.BaoGroup, uint64(at), uint64(n), id)
		if !ok || !bytes.Equal(got, want[at:at+n]) {
			return fmt.Errorf("range at %d does not verify", at)
		}
	}
	return nil
}

func TestRanges(t *testing.T) {
	r := seeded(t)
	s := open(t, storage.Options{FS: vfs.NewMem(), LogBytes: 3 << 20})
	for _, n := range []int{1, 1000, 16 << 10, 16<<10 + 1, 1 << 20, 1<<20 + 7, 4 << 20} {
		id, b := slice(r, n)
		put(t, s, id, b)
		if err := holds(s, id, b); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		for range 20 {
			off := r.IntN(n)
			ln := 1 + r.IntN(min(n-off, mesh.StepBytes))
			var out bytes.Buffer
			if err := s.Range(&out, id, uint64(off), uint64(ln)); err != nil {
				t.Fatal(err)
			}
			got, ok := bao.VerifySlice(out.Bytes(), transfer.BaoGroup, uint64(off), uint64(ln), id)
			if !ok || !bytes.Equal(got, b[off:off+ln]) {
				t.Fatalf("%d bytes at %d of %d do not verify", ln, off, n)
			}
		}
		for _, bad := range [][2]uint64{{0, 0}, {uint64(n), 1}, {0, uint64(n) + 1}, {1 << 63, 1 << 63}, {0, mesh.StepBytes + 1}} {
			if err := s.Range(new(bytes.Buffer), id, bad[0], bad[1]); mesh.KindOf(err) != mesh.Invalid {
				t.Errorf("range %v of %d bytes: %v", bad, n, err)
			}
		}
	}
}

func TestPutRefuses(t *testing.T) {
	r := seeded(t)
	s := open(t, storage.Options{FS: vfs.NewMem(), Capacity: 100_000})
	id, b := slice(r, 50_000)
	other, _ := slice(r, 10)
	for _, c := range []struct {
		name string
		id   mesh.SliceID
		data []byte
		want mesh.Kind
	}{
		{"empty", id, nil, mesh.Invalid},
		{"too large", id, make([]byte, mesh.MaxSlice+1), mesh.Invalid},
		{"wrong name", other, b, mesh.Corrupt},
	} {
		if err := s.Put(t.Context(), c.id, c.data); mesh.KindOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	put(t, s, id, b)
	put(t, s, id, b) // again is free
	if st := s.Stats(); st.Slices != 1 {
		t.Fatalf("%d slices after one was put twice", st.Slices)
	}
	big, data := slice(r, 60_000)
	if err := s.Put(t.Context(), big, data); mesh.KindOf(err) != mesh.Exhausted {
		t.Fatalf("over the capacity: %v", err)
	}
	if _, err := s.Len(big); mesh.KindOf(err) != mesh.NotFound {
		t.Fatalf("a refused slice is there: %v", err)
	}
	if err := holds(s, id, b); err != nil {
		t.Fatal(err)
	}
}

// TestPowerLoss cuts the power at random moments: what was acknowledged is there, whatever of the rest the disk kept.
func TestPowerLoss(t *testing.T) {
	r := seeded(t)
	fs := vfs.NewCrashableMem()
	acked := map[mesh.SliceID][]byte{}
	for round := range 8 {
		s, err := storage.Open("/slices", storage.Options{FS: fs, LogBytes: 300_000})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for id, b := range acked {
			if err := holds(s, id, b); err != nil {
				t.Fatalf("round %d: an acknowledged slice: %v", round, err)
			}
		}
		target := len(acked) + 5 + r.IntN(20)
		var mu sync.Mutex
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			seed := r.Uint64()
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for {
					select {
					case <-stop:
						return
					default:
					}
					id, b := slice(r, 1+r.IntN(40_000))
					if s.Put(context.Background(), id, b) == nil {
						mu.Lock()
						acked[id] = b
						mu.Unlock()
					}
				}
			})
		}
		var crashed *vfs.MemFS
		var sure map[mesh.SliceID][]byte
		for crashed == nil {
			mu.Lock()
			if len(acked) >= target {
				sure = make(map[mesh.SliceID][]byte, len(acked))
				for id, b := range acked {
					sure[id] = b
				}
				crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			}
			mu.Unlock()
		}
		close(stop)
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fs, acked = crashed, sure
	}
}

// TestFullDisk injects ENOSPC into writes and syncs of the logs: the slice is refused, the others stay, and with room
// again it goes on.
func TestFullDisk(t *testing.T) {
	r := seeded(t)
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWriteAt && strings.HasSuffix(op.Path, ".log") {
			return syscall.ENOSPC
		}
		return nil
	}))
	s := open(t, storage.Options{FS: fs})
	id, b := slice(r, 30_000)
	put(t, s, id, b)
	full.Store(true)
	lost, data := slice(r, 30_000)
	err := s.Put(t.Context(), lost, data)
	full.Store(false)
	if mesh.KindOf(err) != mesh.Exhausted || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Put on a full disk = %v", err)
	}
	if err := holds(s, id, b); err != nil {
		t.Fatal(err)
	}
	put(t, s, lost, data)
	if err := holds(s, lost, data); err != nil {
		t.Fatal(err)
	}
}

// A failed sync leaves nobody knowing what the disk holds: nothing more is acknowledged until a restart reads it.
func TestFailedSync(t *testing.T) {
	r := seeded(t)
	var broken atomic.Bool
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") && !strings.Contains(op.Path, "index") {
			return syscall.EIO
		}
		return nil
	}))
	s := open(t, storage.Options{FS: fs})
	kept, b := slice(r, 1000)
	put(t, s, kept, b)
	broken.Store(true)
	id, data := slice(r, 1000)
	if err := s.Put(t.Context(), id, data); err == nil {
		t.Fatal("acknowledged without a sync")
	}
	broken.Store(false)
	if err := s.Put(t.Context(), id, data); mesh.KindOf(err) != mesh.Unavailable {
		t.Fatalf("after a failed sync: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, storage.Options{FS: fs})
	put(t, s, id, data)
	if err := errors.Join(holds(s, kept, b), holds(s, id, data)); err != nil {
		t.Fatal(err)
	}
}

func TestFlippedByteNeverLeaves(t *testing.T) {
	r := seeded(t)
	fs := vfs.NewMem()
	s := open(t, storage.Options{FS: fs})
	id, b := slice(r, 100_000)
	put(t, s, id, b)
	f, err := fs.OpenReadWrite("/slices/00000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{b[40_000] + 1}, 64+40_000); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Range(&out, id, 32_000, 20_000); mesh.KindOf(err) != mesh.Corrupt || out.Len() != 0 {
		t.Fatalf("a range with a flipped byte = %v after %d bytes", err, out.Len())
	}
	if err := s.Range(&out, id, 60_000, 1000); err != nil {
		t.Fatalf("a range beside the flipped byte: %v", err)
	}
}

func TestTrash(t *testing.T) {
	r := seeded(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := open(t, storage.Options{FS: vfs.NewMem(), Now: func() time.Time { return now }})
	kept, a := slice(r, 5000)
	dropped, b := slice(r, 5000)
	put(t, s, kept, a)
	put(t, s, dropped, b)
	keep := map[mesh.SliceID]bool{kept: true}
	const day = 24 * time.Hour
	for i, want := range []int{0, 0, 1, 0} { // provisional; missing once; missing twice; in the trash
		now = now.Add(day + time.Hour)
		if i == 0 {
			now = now.Add(-2 * time.Hour)
		}
		gone, err := s.Missing(keep, now, day)
		if err != nil || len(gone) != want {
			t.Fatalf("round %d: Missing = %v, %v", i, gone, err)
		}
		if err := s.Trash(gone...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Len(dropped); mesh.KindOf(err) != mesh.NotFound {
		t.Fatalf("a slice in the trash: %v", err)
	}
	put(t, s, dropped, b) // comes back out
	if err := holds(s, dropped, b); err != nil {
		t.Fatal(err)
	}
	if err := s.Trash(dropped); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().UsedBytes
	if n, err := s.Purge(now.Add(time.Hour)); n != 1 || err != nil {
		t.Fatalf("Purge = %d, %v", n, err)
	}
	if st := s.Stats(); st.Slices != 1 || st.UsedBytes >= before {
		t.Fatalf("after Purge: %+v", st)
	}
	if err := holds(s, kept, a); err != nil {
		t.Fatal(err)
	}
}
