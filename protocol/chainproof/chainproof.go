// Package chainproof lets a program without the Cosmos SDK believe what the value layer's outbox says: headers are
// verified by CometBFT's light client from a trusted one on, records and head by ics23 against the AppHash of the next
// header. Nothing can be forged this way; what is withheld shows as a gap below the proven head.
//
// It is pure and fetches nothing: package meta does, and hands in the time of its own block as now.
package chainproof

import (
	"time"

	cmtmath "github.com/cometbft/cometbft/libs/math"
	"github.com/cometbft/cometbft/light"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	ics23 "github.com/cosmos/ics23/go"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits and terms.
const (
	MaxLightBlock = 1 << 20             // bytes
	MaxProof      = 64 << 10            // bytes of the proof of one key
	MaxFacts      = 64                  // records in one message
	maxAnchor     = 2 << 20             // bytes
	TrustPeriod   = 14 * 24 * time.Hour // below the unbonding time of 21 days
	clockDrift    = 10 * time.Second
)

// trustLevel is the share of the trusted validators that must have signed a header that skips heights.
var trustLevel = cmtmath.Fraction{Numerator: 1, Denominator: 3}

// Found returns the anchor of a chain of which only the genesis is known: its validators are trusted until the first
// header.
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

// anchor is what is trusted: a chain's header and the validators of its height, or only the genesis validators.
type anchor struct {
	chainID    string
	genesis    time.Time
	header     *types.SignedHeader // nil at first
	validators *types.ValidatorSet
}

func decodeAnchor(b []byte) (a anchor, err error) {
	m := new(wirepb.TrustAnchor)
	if err := wire.Decode(b, maxAnchor, m); err != nil {
		return a, err
	}
	a.chainID, a.genesis = m.ChainId, time.UnixMilli(m.GenesisMs)
	if len(m.LightBlock) > 0 {
		lb, err := decodeLightBlock(m.LightBlock)
		if err != nil {
			return a, err
		}
		a.header, a.validators = lb.SignedHeader, lb.ValidatorSet
		return a, nil
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

// Height of an anchor: of the newest header that was verified, 0 when there is none.
func Height(anchor []byte) (mesh.Height, error) {
	a, err := decodeAnchor(anchor)
	if err != nil || a.header == nil {
		return 0, err
	}
	return mesh.Height(a.header.Height), nil
}

// EncodeLightBlock writes a header with its validators, as Facts carry it.
func EncodeLightBlock(b *types.LightBlock) ([]byte, error) {
	p, err := b.ToProto()
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a light block: %w", err)
	}
	out, err := p.Marshal()
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a light block: %w", err)
	}
	return out, nil
}

func decodeLightBlock(b []byte) (*types.LightBlock, error) {
	if len(b) > MaxLightBlock {
		return nil, mesh.Errorf(mesh.Invalid, "a light block of %d bytes, at most %d", len(b), MaxLightBlock)
	}
	p := new(cmtproto.LightBlock)
	if err := p.Unmarshal(b); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a light block: %w", err)
	}
	lb, err := types.LightBlockFromProto(p)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "a light block: %w", err)
	}
	if lb.SignedHeader == nil || lb.ValidatorSet == nil {
		return nil, mesh.Errorf(mesh.Invalid, "a light block lacks its header or validators")
	}
	return lb, nil
}

// Proven is what Verify found true.
type Proven struct {
	Anchor  []byte      // to trust from now on
	Height  mesh.Height // of the state that was proven: one below the header
	Records [][]byte    // in order, from the sequence that was asked for on
	Head    uint64      // how many records there are at that height
}

// Verify checks facts against an anchor. Next is the sequence of the first record that the caller lacks; the records
// must begin there and have no gap. Errors are Invalid (malformed) or Denied (not so on the chain).
func Verify(trusted []byte, f *wirepb.Facts, next uint64, now time.Time) (*Proven, error) {
	a, err := decodeAnchor(trusted)
	if err != nil {
		return nil, err
	}
	lb, err := decodeLightBlock(f.LightBlock)
	if err != nil {
		return nil, err
	}
	if err := a.verify(lb, now); err != nil {
		return nil, err
	}
	p := &Proven{Height: mesh.Height(lb.Height - 1)}
	root := lb.AppHash.Bytes()
	if err := member(root, outbox.HeadKey(), f.Head, f.HeadProof); err != nil {
		return nil, mesh.Errorf(mesh.KindOf(err), "the outbox's head: %w", err)
	}
	if p.Head, err = outbox.DecodeHead(f.Head); err != nil {
		return nil, err
	}
	if len(f.Facts) > MaxFacts {
		return nil, mesh.Errorf(mesh.Invalid, "%d facts at once, at most %d", len(f.Facts), MaxFacts)
	}
	for i, r := range f.Facts {
		if want := next + uint64(i); r.Sequence != want {
			return nil, mesh.Errorf(mesh.Conflict, "fact %d is shown where %d is next", r.Sequence, want)
		}
		if err := member(root, outbox.RecordKey(outbox.Sequence(r.Sequence)), r.Record, r.Proof); err != nil {
			return nil, mesh.Errorf(mesh.KindOf(err), "fact %d: %w", r.Sequence, err)
		}
		p.Records = append(p.Records, r.Record)
	}
	p.Anchor = wire.Encode(&wirepb.TrustAnchor{ChainId: a.chainID, GenesisMs: a.genesis.UnixMilli(), LightBlock: f.LightBlock})
	return p, nil
}

// verify checks that lb follows from what is trusted.
func (a anchor) verify(lb *types.LightBlock, now time.Time) error {
	if err := lb.ValidateBasic(a.chainID); err != nil {
		return mesh.Errorf(mesh.Denied, "a header of the value layer: %w", err)
	}
	if lb.Time.After(now.Add(clockDrift)) {
		return mesh.Errorf(mesh.Denied, "a header of the value layer is dated %s, %s ahead", lb.Time, lb.Time.Sub(now))
	}
	var err error
	switch {
	case a.header == nil:
		if now.Sub(a.genesis) > TrustPeriod {
			return mesh.Errorf(mesh.Denied, "the genesis is older than the trust period of %s; found the group from a recent header", TrustPeriod)
		}
		if err = a.validators.VerifyCommitLightTrusting(a.chainID, lb.Commit, trustLevel); err == nil {
			err = lb.ValidatorSet.VerifyCommitLight(a.chainID, lb.Commit.BlockID, lb.Height, lb.Commit)
		}
	case lb.Height == a.header.Height:
		if string(lb.Hash()) != string(a.header.Hash()) {
			return mesh.Errorf(mesh.Denied, "two headers of height %d", lb.Height)
		}
		return nil // verified before
	case lb.Height < a.header.Height:
		return mesh.Errorf(mesh.Conflict, "a header of height %d, %d is trusted already", lb.Height, a.header.Height)
	default:
		err = light.Verify(a.header, a.validators, lb.SignedHeader, lb.ValidatorSet, TrustPeriod, now, clockDrift, trustLevel)
	}
	if err != nil {
		return mesh.Errorf(mesh.Denied, "a header of the value layer does not verify: %w", err)
	}
	return nil
}

// member checks that the outbox held value under key in the state that root, a header's AppHash, stands for. The proof
// is what an ABCI query answers: one operator from key to the store's root, one from there to the AppHash.
func member(root, key, value, proof []byte) error {
	if len(proof) > MaxProof || len(value) > outbox.MaxRecord {
		return mesh.Errorf(mesh.Invalid, "a proof of %d bytes over %d", len(proof), len(value))
	}
	ops := new(cmtcrypto.ProofOps)
	if err := ops.Unmarshal(proof); err != nil {
		return mesh.Errorf(mesh.Invalid, "a proof: %w", err)
	}
	if len(ops.Ops) != 2 || string(ops.Ops[0].Key) != string(key) || string(ops.Ops[1].Key) != outbox.StoreKey {
		return mesh.Errorf(mesh.Invalid, "a proof that is not of this key in the outbox")
	}
	var inStore, inApp ics23.CommitmentProof
	if err := inStore.Unmarshal(ops.Ops[0].Data); err != nil {
		return mesh.Errorf(mesh.Invalid, "a proof: %w", err)
	}
	if err := inApp.Unmarshal(ops.Ops[1].Data); err != nil {
		return mesh.Errorf(mesh.Invalid, "a proof: %w", err)
	}
	store, err := inStore.Calculate()
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "a proof: %w", err)
	}
	if !ics23.VerifyMembership(ics23.IavlSpec, store, &inStore, key, value) ||
		!ics23.VerifyMembership(ics23.TendermintSpec, root, &inApp, []byte(outbox.StoreKey), store) {
		return mesh.Errorf(mesh.Denied, "the chain's state does not hold this")
	}
	return nil
}
