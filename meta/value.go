package meta

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cometbft/cometbft/light/provider"
	lighthttp "github.com/cometbft/cometbft/light/provider/http"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	"github.com/cometbft/cometbft/types"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/protocol/chainproof"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	watchEvery = 250 * time.Millisecond
	rpcTimeout = 5 * time.Second

	// turnPatience is how long the authority whose turn it is has for bringing a fact before the next one does.
	turnPatience = 2 * time.Second

	// refreshTrust is how many blocks of the value layer may pass before its newest header is brought although nothing
	// else changed, so that what is trusted never grows old.
	refreshTrust = 10_000
)

// valueVerifier is the state machine's view of protocol/chainproof.
type valueVerifier struct{}

func (valueVerifier) Verify(trusted []byte, f *wirepb.Facts, next uint64, nowMs int64) (state.VerifiedFacts, error) {
	p, err := chainproof.VerifyFacts(trusted, f, next, time.UnixMilli(nowMs))
	if err != nil {
		return state.VerifiedFacts{}, err
	}
	return state.VerifiedFacts{Trusted: p.Anchor, Height: int64(p.Height), Hash: p.Hash, TimeMs: p.Time.UnixMilli(), Records: p.Records}, nil
}

// signedHeader encodes the header and commit that prove a height of the log.
func signedHeader(m *types.BlockMeta, c *types.Commit) ([]byte, error) {
	h := types.SignedHeader{Header: &m.Header, Commit: c}
	b, err := h.ToProto().Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding a header: %w", err)
	}
	return b, nil
}

// A valueSource is one value-layer node that facts are fetched from. It is not trusted.
type valueSource struct {
	url    string
	rpc    *rpchttp.HTTP
	blocks provider.Provider
}

func newValueSource(chainID, url string) (*valueSource, error) {
	c, err := rpchttp.NewWithTimeout(url, "/websocket", uint(rpcTimeout.Seconds()))
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the value-layer address %q: %w", url, err)
	}
	return &valueSource{url: url, rpc: c, blocks: lighthttp.NewWithClient(chainID, c)}, nil
}

// watchValueLayer brings what the value layer's outbox says onto the log, and its height where an epoch ends. It asks
// its sources in turn; each answer is verified here before it is submitted, and by every authority again.
func (a *Authority) watchValueLayer(ctx context.Context) error {
	var chainID string
	var trusted []byte
	if err := a.app.read(func(r *state.Reader) (err error) {
		trusted = r.Tip().TrustedBlock
		chainID, err = chainproof.ChainID(trusted)
		return err
	}); err != nil {
		return err
	}
	var sources []*valueSource
	for _, u := range a.config.ValueRPC {
		s, err := newValueSource(chainID, u)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	w := &watcher{authority: a, since: map[uint64]time.Time{}}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if len(sources) == 0 {
			continue
		}
		if err := w.look(ctx, sources[i%len(sources)]); err != nil && ctx.Err() == nil {
			w.complain(sources[i%len(sources)].url, err)
			i++
		} else {
			w.failing = ""
		}
	}
}

// watcher remembers what an authority has seen of the value layer but not yet on its own log.
type watcher struct {
	authority *Authority
	since     map[uint64]time.Time // outbox head -> when it was first seen
	failing   string
}

// complain logs a failure once, not at every look.
func (w *watcher) complain(url string, err error) {
	if text := err.Error(); text != w.failing {
		w.failing = text
		w.authority.log.Warn("the value layer was not read", "from", url, "err", err)
	}
}

// look compares one source with the log, and submits what the log lacks if it is this authority's turn.
func (w *watcher) look(ctx context.Context, s *valueSource) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	var next, epochBlocks, epoch uint64
	var known int64
	var trusted []byte
	var members []mesh.AuthorityID
	var waits bool // for the next block of the value layer
	if err := w.authority.app.read(func(r *state.Reader) error {
		t := r.Tip()
		waits = r.AwaitsChecks()
		next, epochBlocks, epoch, known, trusted = t.OutboxNext, t.EpochBlocks, t.Epoch, t.ValueHeight, t.TrustedBlock
		for id := range r.Authorities() {
			members = append(members, id)
		}
		return nil
	}); err != nil {
		return err
	}
	st, err := s.rpc.Status(ctx)
	if err != nil {
		return err
	}
	// The state after block h is proven by header h+1.
	proven := st.SyncInfo.LatestBlockHeight - 1
	if proven < 2 || proven <= known { // the state of height 1 cannot be proven
		return nil
	}
	head, headProof, err := s.query(ctx, outbox.HeadKey(), proven)
	if err != nil {
		return err
	}
	count, err := outbox.DecodeHead(head)
	if err != nil {
		return err
	}
	turn := count
	due := count > next
	if epochBlocks > 0 && uint64(proven-1)/epochBlocks > epoch {
		due, turn = true, uint64(proven-1)/epochBlocks
	}
	if !due && waits { // by the height: it is somebody else's turn at the next
		due, turn = true, uint64(proven)
	}
	if !due && proven-known < refreshTrust {
		return nil
	}
	if !w.myTurn(turn, members) {
		return nil
	}
	f := &wirepb.Facts{Head: head, HeadProof: headProof}
	lb, err := s.blocks.LightBlock(ctx, proven+1)
	if err != nil {
		return err
	}
	if f.LightBlock, err = chainproof.EncodeLightBlock(lb); err != nil {
		return err
	}
	for seq := next; seq < count && len(f.Facts) < chainproof.MaxFacts; seq++ {
		record, proof, err := s.query(ctx, outbox.RecordKey(outbox.Sequence(seq)), proven)
		if err != nil {
			return err
		}
		if len(record) == 0 {
			return mesh.Errorf(mesh.Corrupt, "%s proves %d records in the outbox and withholds number %d", s.url, count, seq)
		}
		f.Facts = append(f.Facts, &wirepb.Fact{Sequence: seq, Record: record, Proof: proof})
	}
	if _, err := chainproof.VerifyFacts(trusted, f, next, time.Now()); err != nil {
		return fmt.Errorf("%s: %w", s.url, err)
	}
	_, err = w.authority.Submit(ctx, state.NewTx(wirepb.TxKind_TX_FACTS, signed.Seal(w.authority.domain, w.authority.reportKey, sign.Facts, f)))
	if mesh.KindOf(err) == mesh.Conflict { // another authority was faster
		return nil
	}
	return err
}

// myTurn tells whether this authority should bring what it sees: at once when the number says so, a while later for
// each place behind, so that one does it as a rule and none is needed.
func (w *watcher) myTurn(n uint64, members []mesh.AuthorityID) bool {
	if len(members) == 0 {
		return true
	}
	since, ok := w.since[n]
	if !ok {
		clear(w.since)
		since = time.Now()
		w.since[n] = since
	}
	at := slices.Index(members, w.authority.identity.ID)
	if at < 0 {
		return false
	}
	behind := (uint64(at) + uint64(len(members)) - n%uint64(len(members))) % uint64(len(members))
	return time.Since(since) >= time.Duration(behind)*turnPatience
}

// query reads a key of the outbox with its proof at a height.
func (s *valueSource) query(ctx context.Context, key []byte, height int64) (value, proof []byte, err error) {
	r, err := s.rpc.ABCIQueryWithOptions(ctx, "/store/"+outbox.StoreKey+"/key", key, rpcclient.ABCIQueryOptions{Height: height, Prove: true})
	if err != nil {
		return nil, nil, err
	}
	if r.Response.Code != 0 {
		return nil, nil, mesh.Errorf(mesh.Unavailable, "%s refused a query: %s", s.url, r.Response.Log)
	}
	ops := r.Response.ProofOps
	if ops == nil {
		ops = new(cmtcrypto.ProofOps)
	}
	proof, err = ops.Marshal()
	return r.Response.Value, proof, err
}
