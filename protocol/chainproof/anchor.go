package chainproof

import (
	"time"

	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/cometbft/cometbft/light"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of facts.
const (
	MaxFacts  = 64 // records in one message
	maxAnchor = 2 * MaxLightBlock
)

// Found returns the anchor of a chain of which only the genesis is known: its validators are trusted until the first
// header, for the trust period from the genesis time on.
func Found(chainID string, genesis time.Time, validators *types.ValidatorSet) ([]byte, error) {
	vals, err := validators.ToProto()
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the genesis validators: %w", err)
	}
	b, err := vals.Marshal()
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the genesis validators: %w", err)
	}
	return wire.Encode(&wirepb.TrustAnchor{ChainId: chainID, GenesisMs: genesis.UnixMilli(), Validators: b}), nil
}

// An anchor is what is trusted: a light block, or before the first one the genesis validators.
type anchor struct {
	policy     Policy
	genesis    time.Time
	validators *types.ValidatorSet // of the genesis; nil when there is a block
	block      *types.LightBlock
}

func decodeAnchor(b []byte) (a anchor, err error) {
	m := new(wirepb.TrustAnchor)
	if err := wire.Decode(b, maxAnchor, m); err != nil {
		return a, err
	}
	a.policy, a.genesis = DefaultPolicy(m.ChainId), time.UnixMilli(m.GenesisMs)
	if len(m.LightBlock) > 0 {
		a.block, err = a.policy.DecodeLightBlock(m.LightBlock)
		return a, err
	}
	vals := new(cmtproto.ValidatorSet)
	if err := vals.Unmarshal(m.Validators); err != nil {
		return a, mesh.Errorf(mesh.Invalid, "the trusted validators: %w", err)
	}
	if a.validators, err = types.ValidatorSetFromProto(vals); err != nil {
		return a, mesh.Errorf(mesh.Invalid, "the trusted validators: %w", err)
	}
	return a, nil
}

// ChainID of an anchor.
func ChainID(anchor []byte) (string, error) {
	a, err := decodeAnchor(anchor)
	return a.policy.ChainID, err
}

// verify checks that a light block follows from what is trusted, or is it.
func (a anchor) verify(b *types.LightBlock, now time.Time) error {
	if a.block != nil {
		if b.Height == a.block.Height && string(b.Hash()) == string(a.block.Hash()) {
			return nil
		}
		return a.policy.Verify(a.block, b, now)
	}
	if now.Sub(a.genesis) > a.policy.TrustPeriod {
		return mesh.Errorf(mesh.Denied, "the genesis is older than the trust period of %s; found the group from a recent header", a.policy.TrustPeriod)
	}
	if b.Time.After(now.Add(a.policy.MaxDrift)) {
		return mesh.Errorf(mesh.Denied, "header %d is dated %s ahead", b.Height, b.Time.Sub(now))
	}
	err := a.validators.VerifyCommitLightTrusting(a.policy.ChainID, b.Commit, light.DefaultTrustLevel)
	if err == nil {
		err = b.ValidatorSet.VerifyCommitLight(a.policy.ChainID, b.Commit.BlockID, b.Height, b.Commit)
	}
	if err != nil {
		return mesh.Errorf(mesh.Denied, "header %d is not signed by the validators of the genesis: %w", b.Height, err)
	}
	return nil
}

// Proven is what VerifyFacts found true.
type Proven struct {
	Anchor  []byte      // to trust from now on
	Height  mesh.Height // of the state that was proven: one below the header
	Records [][]byte    // in order, from the sequence that was asked for on
	Head    uint64      // how many records there are at that height
	Hash    []byte      // of the header
	Time    time.Time   // of the header
}

// VerifyFacts checks facts against an anchor. Next is the sequence of the first record that the caller lacks; the records
// must begin there and have no gap. Errors are Invalid (malformed), Conflict (not next) or Denied and Corrupt (not so on
// the chain).
func VerifyFacts(trusted []byte, f *wirepb.Facts, next uint64, now time.Time) (*Proven, error) {
	a, err := decodeAnchor(trusted)
	if err != nil {
		return nil, err
	}
	b, err := a.policy.DecodeLightBlock(f.LightBlock)
	if err != nil {
		return nil, err
	}
	if err := a.verify(b, now); err != nil {
		return nil, err
	}
	if len(f.Facts) > MaxFacts {
		return nil, mesh.Errorf(mesh.Invalid, "%d facts at once, at most %d", len(f.Facts), MaxFacts)
	}
	p := &Proven{Height: mesh.Height(b.Height - 1), Hash: b.Hash(), Time: b.Time}
	answer, err := answerOf(b, f.Head, f.HeadProof)
	if err != nil {
		return nil, err
	}
	if p.Head, err = Head(b, answer); err != nil {
		return nil, err
	}
	for i, r := range f.Facts {
		if want := next + uint64(i); r.Sequence != want {
			return nil, mesh.Errorf(mesh.Conflict, "fact %d is shown where %d is next", r.Sequence, want)
		}
		if answer, err = answerOf(b, r.Record, r.Proof); err != nil {
			return nil, err
		}
		if _, err := Record(b, outbox.Sequence(r.Sequence), answer); err != nil {
			return nil, err
		}
		p.Records = append(p.Records, r.Record)
	}
	p.Anchor = wire.Encode(&wirepb.TrustAnchor{ChainId: a.policy.ChainID, GenesisMs: a.genesis.UnixMilli(), LightBlock: f.LightBlock})
	return p, nil
}

func answerOf(b *types.LightBlock, value, proof []byte) (Answer, error) {
	if len(proof) > 2*maxProof+1024 {
		return Answer{}, mesh.Errorf(mesh.Invalid, "a proof of %d bytes", len(proof))
	}
	ops := new(cmtcrypto.ProofOps)
	if err := ops.Unmarshal(proof); err != nil {
		return Answer{}, mesh.Errorf(mesh.Invalid, "a proof: %w", err)
	}
	return Answer{Height: b.Height - 1, Value: value, Proof: ops}, nil
}
