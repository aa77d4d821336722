package meta

import (
	"context"
	"crypto/ed25519"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	// silence is how long a node may be quiet before this authority counts it as offline; nodes speak every 2 s.
	silence = 7 * time.Second

	// voteEvery is the least time between two votes of this authority about one node.
	voteEvery = 3 * time.Second
)

// presence knows which nodes this authority hears. Heartbeats stay off the log; only a vote for a change goes there.
type presence struct {
	domain sign.Domain
	key    ed25519.PrivateKey
	now    func() time.Time

	mu    sync.Mutex
	heard map[mesh.NodeID]*hearing
}

type hearing struct {
	at, voted        time.Time
	free, used       uint64
	sentAtMs, voteMs int64
}

func newPresence(d sign.Domain, key ed25519.PrivateKey, now func() time.Time) *presence {
	return &presence{domain: d, key: key, now: now, heard: map[mesh.NodeID]*hearing{}}
}

// hear takes a heartbeat.
func (p *presence) hear(r *state.Reader, m *wirepb.Signed) error {
	h := new(wirepb.Heartbeat)
	by, err := signed.Open(p.domain, m, sign.Heartbeat, h)
	if err != nil {
		return err
	}
	id, err := mesh.FromBytes[mesh.NodeID](h.Node)
	if err != nil {
		return err
	}
	known := r.Node(id)
	if known == nil {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "node %s is not registered", id), "register it: stratos node register")
	}
	if mesh.PublicKey(known.NodeKey) != by {
		return mesh.Errorf(mesh.Denied, "the heartbeat of node %s is signed by another key", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.heard[id]
	if e == nil {
		e = new(hearing)
		p.heard[id] = e
	}
	if h.TimeMs <= e.sentAtMs {
		return mesh.Errorf(mesh.Conflict, "an older heartbeat than the last")
	}
	e.at, e.sentAtMs, e.free, e.used = p.now(), h.TimeMs, h.FreeBytes, h.UsedBytes
	return nil
}

// online tells whether this authority hears the node, or, just after its own start, whether the log says so.
func (p *presence) online(id mesh.NodeID, n *statepb.Node) bool {
	heard, _ := p.look(id, n)
	return heard
}

// look is online, and what space is free on the node: by its last word, which the log learns later.
func (p *presence) look(id mesh.NodeID, n *statepb.Node) (heard bool, free uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.heard[id]; e != nil {
		return p.now().Sub(e.at) < silence, e.free
	}
	return n.Status == state.Online, n.FreeBytes
}

// votes returns the transactions by which this authority asks for the changes of status that it sees.
func (p *presence) votes(r *state.Reader, started time.Time) (txs [][]byte) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Nodes(func(id mesh.NodeID, n *statepb.Node) {
		if n.Status == state.Suspended {
			return
		}
		e := p.heard[id]
		if e == nil {
			if now.Sub(started) < silence {
				return
			}
			e = new(hearing)
			p.heard[id] = e
		}
		status := uint32(state.Offline)
		if now.Sub(e.at) < silence {
			status = state.Online
		}
		if n.Status == status && (status == state.Offline || near(n.FreeBytes, e.free)) || now.Sub(e.voted) < voteEvery {
			return
		}
		e.voted, e.voteMs = now, max(e.voteMs+1, now.UnixMilli())
		v := &wirepb.NodeStatusVote{Node: id[:], Status: status, FreeBytes: e.free, UsedBytes: e.used, AtMs: e.voteMs}
		txs = append(txs, state.NewTx(wirepb.TxKind_TX_STATUS, signed.Seal(p.domain, p.key, sign.Status, v)))
	})
	return txs
}

// near tells whether two amounts of free space are within a tenth, or both beyond what placement distinguishes.
func near(a, b uint64) bool {
	lo, hi := min(a, b), max(a, b)
	return hi-lo <= hi/10
}

// run votes until ctx ends.
func (p *presence) run(ctx context.Context, a *app, submit func([]byte) error) error {
	started := p.now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var txs [][]byte
		if err := a.read(func(r *state.Reader) error { txs = p.votes(r, started); return nil }); err != nil {
			return err
		}
		for _, tx := range txs {
			if err := submit(tx); err != nil {
				a.log.Warn("a vote on a node's status was not taken", "err", err)
			}
		}
	}
}
