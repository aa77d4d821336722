package consensus_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/mesh"
)

// pool takes transactions as a mempool does; it has no others of its methods.
type pool struct {
	mempool.Mempool
	code uint32

	mu    sync.Mutex
	taken map[string]int
}

func (p *pool) CheckTx(tx types.Tx, done func(*abci.ResponseCheckTx), _ mempool.TxInfo) error {
	p.mu.Lock()
	p.taken[string(tx)]++
	again := p.taken[string(tx)] > 1
	p.mu.Unlock()
	if again {
		return mempool.ErrTxInCache
	}
	done(&abci.ResponseCheckTx{Code: p.code, Log: "no", Info: "why"})
	return nil
}

func tell(r *consensus.Results[string], height int64, value string, txs ...string) {
	var hashes [][32]byte
	var values []string
	for _, t := range txs {
		hashes, values = append(hashes, sha256.Sum256([]byte(t))), append(values, value)
	}
	r.Tell(height, hashes, values)
}

func TestSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := consensus.NewResults(func(s string) bool { return s == "good" })
		p := &pool{taken: map[string]int{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		submit := func(tx string) string {
			h, v, err := r.Submit(ctx, p, []byte(tx))
			if err != nil {
				return mesh.KindOf(err).String()
			}
			return fmt.Sprint(h, " ", v)
		}
		answers := make(chan string, 2)
		for range 2 { // the second finds it in the mempool
			go func() { answers <- submit("a") }()
		}
		synctest.Wait()
		tell(r, 7, "bad", "b", "a")
		for range 2 {
			if got := <-answers; got != "7 bad" {
				t.Errorf("a: %s", got)
			}
		}
		go func() { answers <- submit("a") }() // a refusal does not stand
		synctest.Wait()
		tell(r, 8, "good", "a")
		if got := <-answers; got != "8 good" {
			t.Errorf("a: %s", got)
		}
		tell(r, 9, "bad", "a") // what comes again after it was applied
		if got := submit("a"); got != "8 good" {
			t.Errorf("a: %s", got)
		}
		if got := submit("late"); got != mesh.Unavailable.String() || ctx.Err() == nil {
			t.Errorf("late: %s, before its time: %v", got, ctx.Err() == nil)
		}
		p.code = uint32(mesh.Denied) + 1
		_, _, err := r.Submit(t.Context(), p, []byte("refused"))
		if mesh.KindOf(err) != mesh.Denied || mesh.HintOf(err) != "why" {
			t.Errorf("refused: %v", err)
		}
	})
}

// Only so many results are kept.
func TestResultsAreForgotten(t *testing.T) {
	r := consensus.NewResults(func(string) bool { return true })
	for i := range 20_000 {
		tell(r, int64(i), "x", fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &pool{taken: map[string]int{}}
	if _, _, err := r.Submit(ctx, p, []byte("19999")); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Submit(ctx, p, []byte("1")); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("a result of long ago: %v", err)
	}
}

// A damaged key is an error, not the end of the process.
func TestKey(t *testing.T) {
	c := consensus.Config(t.TempDir())
	for _, d := range []string{config.DefaultConfigDir, config.DefaultDataDir} {
		if err := os.Mkdir(filepath.Join(c.RootDir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a, err := consensus.Key(c)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := consensus.Key(c); err != nil || !a.Key.PrivKey.Equals(b.Key.PrivKey) {
		t.Errorf("the second time: %v", err)
	}
	for _, path := range []string{c.PrivValidatorKeyFile(), c.PrivValidatorStateFile()} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := consensus.Key(c); mesh.KindOf(err) != mesh.Corrupt {
			t.Errorf("half of %s: %v", filepath.Base(path), err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
