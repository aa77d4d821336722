package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

// storm returns how long the storm lasts: STRATOS_BUDGET, else three minutes in the long tests, else three kills.
func storm(t *testing.T) (budget time.Duration, kills int) {
	t.Helper()
	switch s := os.Getenv("STRATOS_BUDGET"); {
	case s != "":
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d, 1 << 30
	case long():
		return 3 * time.Minute, 1 << 30
	}
	return time.Minute, 3
}

// victims draws what dies together: two nodes, an authority, or the validator.
func victims(r *rand.Rand) []string {
	switch r.IntN(5) {
	case 0:
		return []string{"validator-0"}
	case 1, 2:
		return []string{fmt.Sprintf("authority-%d", r.IntN(4))}
	}
	a, b := r.IntN(8), r.IntN(7)
	if b >= a {
		b++
	}
	return []string{fmt.Sprintf("node-%d", a), fmt.Sprintf("node-%d", b)}
}

// While processes die at random, writes and reads go on, and at the end everything that was acknowledged is there.
func TestStorm(t *testing.T) {
	r := random(t)
	budget, kills := storm(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	bucket(t, shared.client(t, "alice", 0, client.Options{}), "storm")
	type written struct {
		path mesh.Path
		seed uint64
		size int
	}
	bytesOf := func(w written) []byte { return content(rand.New(rand.NewPCG(w.seed, 0)), w.size) }
	var mu sync.Mutex
	var all []written
	reads := 0
	var wg sync.WaitGroup
	for i := range 3 {
		c, own := shared.client(t, "alice", i, client.Options{}), rand.New(rand.NewPCG(r.Uint64(), 1))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w := written{mesh.Path{Bucket: "storm", Key: fmt.Sprintf("%d/%d", i, n)}, own.Uint64(), 1 << own.IntN(23)}
				if _, err := c.Put(ctx, w.path, bytes.NewReader(bytesOf(w)), client.PutOptions{}); err != nil {
					if ctx.Err() == nil {
						t.Errorf("a write of %d bytes while processes die: %v", w.size, err)
					}
					return
				}
				mu.Lock()
				all = append(all, w)
				back := all[own.IntN(len(all))]
				mu.Unlock()
				got, err := get(ctx, c, back.path, 0, uint64(back.size))
				if ctx.Err() != nil {
					return
				}
				if err != nil || !bytes.Equal(got, bytesOf(back)) {
					t.Errorf("reading %s of %d bytes while processes die: %d bytes, %v", back.path, back.size, len(got), err)
					return
				}
				mu.Lock()
				reads++
				mu.Unlock()
			}
		})
	}
	done := 0
	for end := time.Now().Add(budget); done < kills && time.Now().Before(end) && !t.Failed(); done++ {
		names := victims(r)
		up := shared.down(t, names...)
		pause(ctx, time.Duration(r.IntN(3000))*time.Millisecond)
		up()
		pause(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
	}
	cancel()
	wg.Wait()
	t.Logf("%d kills, %d objects written, %d read back meanwhile", done, len(all), reads)
	if len(all) == 0 {
		t.Fatal("nothing was written")
	}
	c := shared.client(t, "alice", 0, client.Options{})
	for _, w := range all {
		wantBytes(t, c, w.path, bytesOf(w))
	}
	until(t, "whole segments again", func() (bool, error) {
		g, err := c.Group(t.Context())
		return err == nil && g.Reduced == 0, err
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
