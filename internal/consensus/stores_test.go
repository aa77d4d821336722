package consensus_test

import (
	"sync"
	"testing"

	"github.com/cometbft/cometbft/config"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/mesh"
)

// A store that is closed under its readers has nothing, and takes nothing; what was written is there when it is opened again.
func TestStores(t *testing.T) {
	c := consensus.Config(t.TempDir())
	s := new(consensus.Stores)
	db, err := s.Open(&config.DBContext{ID: "x", Config: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SetSync([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	if err := b.Set([]byte("l"), []byte("w")); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteSync(); err != nil {
		t.Fatal(err)
	}
	late := db.NewBatch()
	if err := late.Set([]byte("m"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 500 {
				v, err := db.Get([]byte("k"))
				if err != nil || v != nil && string(v) != "v" {
					t.Errorf("got %q, %v", v, err)
				}
				it, err := db.Iterator(nil, nil)
				if err != nil {
					t.Errorf("an iterator: %v", err)
					return
				}
				it.Close()
			}
		})
	}
	if err := db.Close(); err != nil { // which is not for who uses it
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
	if has, err := db.Has([]byte("k")); has || err != nil {
		t.Errorf("a closed store has %v, %v", has, err)
	}
	if err := db.Set([]byte("k"), []byte("w")); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a closed store takes: %v", err)
	}
	if err := late.Write(); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a closed store takes a batch: %v", err)
	}
	again := new(consensus.Stores)
	if db, err = again.Open(&config.DBContext{ID: "x", Config: c}); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"k": "v", "l": "w", "m": ""} {
		if v, err := db.Get([]byte(k)); err != nil || string(v) != want {
			t.Errorf("%s: %q, %v, want %q", k, v, err, want)
		}
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
