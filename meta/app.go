package meta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// app is the CometBFT application around a state.Machine.
type app struct {
	abci.BaseApplication
	domain sign.Domain
	log    *slog.Logger

	// consensus calls these in order, one at a time
	machine *state.Machine
	pending *state.Outcome
	hashes  [][32]byte

	results *consensus.Results[*wirepb.TxResult]

	mu      sync.Mutex
	reader  *sharedReader
	applied chan struct{} // closed at each commit, then replaced
}

type sharedReader struct {
	reader *state.Reader
	users  int
	stale  bool
}

func newApp(d sign.Domain, m *state.Machine, log *slog.Logger) *app {
	return &app{domain: d, log: log, machine: m, reader: &sharedReader{reader: m.Reader()}, applied: make(chan struct{}),
		results: consensus.NewResults(func(r *wirepb.TxResult) bool { return r.Kind == 0 })}
}

// read calls f with a reader of the newest committed state.
func (a *app) read(f func(*state.Reader) error) error {
	a.mu.Lock()
	s := a.reader
	s.users++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		s.users--
		done := s.stale && s.users == 0
		a.mu.Unlock()
		if done {
			a.closeReader(s)
		}
	}()
	r := s.reader.Fork()
	if err := f(r); err != nil {
		return err
	}
	return r.Fault()
}

func (a *app) closeReader(s *sharedReader) {
	if err := s.reader.Close(); err != nil {
		a.log.Error("a snapshot of the state did not close", "err", err)
	}
}

// height returns the newest committed height and a channel that is closed when there is a newer one.
func (a *app) height() (int64, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reader.reader.Tip().Height, a.applied
}

// waitHeight blocks until height h is committed here.
func (a *app) waitHeight(ctx context.Context, h int64) error {
	for {
		now, next := a.height()
		if now >= h {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return mesh.Errorf(mesh.Unavailable, "this authority is at height %d, not yet at %d", now, h)
		}
	}
}

// Info tells CometBFT where the state stands, so that it replays what is missing.
func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	t := a.machine.Tip()
	r := &abci.ResponseInfo{Data: "stratos-meta", AppVersion: 1, LastBlockHeight: t.Height}
	if t.Height > 0 {
		r.LastBlockAppHash = t.Checkpoint
	}
	return r, nil
}

// InitChain checks that the group's genesis is the one that the state was founded with.
func (a *app) InitChain(_ context.Context, r *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	var f founding
	if err := json.Unmarshal(r.AppStateBytes, &f); err != nil {
		return nil, fmt.Errorf("the group's genesis: %w", err)
	}
	if f.Network != a.domain.Network {
		return nil, fmt.Errorf("the group's genesis is of network %s, this authority of %s", f.Network, a.domain.Network)
	}
	return &abci.ResponseInitChain{AppHash: a.machine.Tip().Checkpoint}, nil
}

// CheckTx keeps out of the mempool what would be refused anyway. It decides nothing that the log relies on.
func (a *app) CheckTx(_ context.Context, r *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	err := a.precheck(r.Tx)
	if err == nil {
		return &abci.ResponseCheckTx{GasWanted: 1}, nil
	}
	return &abci.ResponseCheckTx{Code: uint32(mesh.KindOf(err)) + 1, Log: err.Error(), Info: mesh.HintOf(err)}, nil
}

func (a *app) precheck(raw []byte) error {
	_, body, by, err := state.ParseTx(a.domain, raw)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	return a.read(func(r *state.Reader) error {
		switch m := body.(type) {
		case *wirepb.Session:
			rights, err := grant.Verify(a.domain, m.Chain)
			if err != nil {
				return err
			}
			return rights.Alive(now)
		case *wirepb.Lease, *wirepb.LeaseClose, *wirepb.Bucket, *wirepb.Entry, *wirepb.Page, *wirepb.Deletion, *wirepb.Revocation:
			// The block's time may lie behind this clock by an idle group's pause, so only what is known is asked.
			_, err := r.Session(by, max(r.Tip().TimeMs, now-state.ReplayWindowMs))
			return err
		}
		return nil
	})
}

// FinalizeBlock applies a decided block.
func (a *app) FinalizeBlock(_ context.Context, r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	o, err := a.machine.Apply(state.Block{Height: r.Height, TimeMs: r.Time.UnixMilli(), Hash: r.Hash, Txs: r.Txs})
	if err != nil {
		return nil, err
	}
	a.pending, a.hashes = o, a.hashes[:0]
	resp := &abci.ResponseFinalizeBlock{AppHash: o.AppHash}
	for i, t := range r.Txs {
		a.hashes = append(a.hashes, sha256.Sum256(t))
		// Code and data are in the results' hash, on which all authorities must agree. Texts are not: builds may word them
		// differently.
		res := o.Results[i]
		resp.TxResults = append(resp.TxResults, &abci.ExecTxResult{Code: res.Kind, Data: res.Effects, Log: res.Text, Info: res.Hint})
	}
	if o.Authorities != nil {
		resp.ValidatorUpdates = a.validatorUpdates(o)
	}
	return resp, nil
}

// validatorUpdates gives every present authority equal power and takes it from those who left.
func (a *app) validatorUpdates(o *state.Outcome) (updates []abci.ValidatorUpdate) {
	power := map[mesh.PublicKey]int64{}
	for _, k := range o.Former {
		power[k] = 0
	}
	for _, m := range o.Authorities {
		power[mesh.PublicKey(m.ConsensusKey)] = votingPower
	}
	for _, k := range slices.SortedFunc(maps.Keys(power), func(a, b mesh.PublicKey) int { return bytes.Compare(a[:], b[:]) }) {
		updates = append(updates, abci.Ed25519ValidatorUpdate(k[:], power[k]))
	}
	return updates
}

// Commit makes the applied block the state, and wakes who waited for it.
func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	o := a.pending
	if err := a.machine.Commit(o); err != nil {
		return nil, err
	}
	height := a.machine.Tip().Height
	fresh := &sharedReader{reader: a.machine.Reader()}
	a.mu.Lock()
	old := a.reader
	a.reader, old.stale = fresh, true
	idle := old.users == 0
	close(a.applied)
	a.applied = make(chan struct{})
	a.mu.Unlock()
	a.results.Tell(height, a.hashes, o.Results)
	if idle {
		a.closeReader(old)
	}
	return &abci.ResponseCommit{}, nil
}

// close gives the last snapshot back; consensus has stopped.
func (a *app) close() { a.closeReader(a.reader) }
