// Package chainproof verifies facts of the value layer without running it: a light block by CometBFT's light-client
// rules from one that is trusted, and records of the outbox by ics23 proofs against the light block's AppHash.
//
// It fetches nothing and keeps no state, so that a state machine can call it: the time is handed in. The state of
// height H is proven under the header of height H+1, which carries its AppHash.
package chainproof

import (
	"bytes"
	"time"

	"github.com/cometbft/cometbft/light"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	ics23 "github.com/cosmos/ics23/go"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of what is examined.
const (
	MaxLightBlock = 256 << 10 // bytes
	MaxValidators = 300       // of a block; the chain has at most 100
	maxProof      = 32 << 10  // bytes of one of the two proofs
)

// A Policy says what is believed of a light block.
type Policy struct {
	ChainID     string
	TrustPeriod time.Duration // shorter than the chain's unbonding time of 21 days
	MaxDrift    time.Duration // by which a header may be ahead of the given time
}

// DefaultPolicy trusts for two thirds of the unbonding time.
func DefaultPolicy(chainID string) Policy {
	return Policy{ChainID: chainID, TrustPeriod: 14 * 24 * time.Hour, MaxDrift: 10 * time.Second}
}

// EncodeLightBlock writes a light block in CometBFT's protobuf.
func EncodeLightBlock(b *types.LightBlock) ([]byte, error) {
	p, err := b.ToProto()
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "light block: %w", err)
	}
	return p.Marshal()
}

// DecodeLightBlock reads a light block of the chain and checks that header, commit and validators fit together. It
// does not check the signatures: Verify does.
func (p Policy) DecodeLightBlock(b []byte) (*types.LightBlock, error) {
	if len(b) > MaxLightBlock {
		return nil, mesh.Errorf(mesh.Invalid, "the light block has %d bytes, at most %d", len(b), MaxLightBlock)
	}
	var m cmtproto.LightBlock
	if err := m.Unmarshal(b); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "light block: %w", err)
	}
	if n := len(m.GetValidatorSet().GetValidators()); n > MaxValidators || len(m.GetSignedHeader().GetCommit().GetSignatures()) > MaxValidators {
		return nil, mesh.Errorf(mesh.Invalid, "the light block has %d validators, at most %d", n, MaxValidators)
	}
	block, err := types.LightBlockFromProto(&m)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "light block: %w", err)
	}
	return block, p.check(block)
}

func (p Policy) check(b *types.LightBlock) error {
	if b == nil || b.SignedHeader == nil || b.ValidatorSet == nil {
		return mesh.Errorf(mesh.Invalid, "the light block is not complete")
	}
	if err := b.ValidateBasic(p.ChainID); err != nil {
		return mesh.Errorf(mesh.Invalid, "light block: %w", err)
	}
	return nil
}

// Verify tells whether next follows from trusted: signed by more than two thirds of its own validators and, when it
// is not the very next height, by at least a third of the trusted ones, within the trust period before now.
func (p Policy) Verify(trusted, next *types.LightBlock, now time.Time) error {
	for _, b := range []*types.LightBlock{trusted, next} {
		if err := p.check(b); err != nil {
			return err
		}
	}
	var err error
	switch {
	case next.Height <= trusted.Height:
		return mesh.Errorf(mesh.Conflict, "height %d is not above the trusted height %d", next.Height, trusted.Height)
	case next.Height == trusted.Height+1:
		err = light.VerifyAdjacent(trusted.SignedHeader, next.SignedHeader, next.ValidatorSet, p.TrustPeriod, now, p.MaxDrift)
	default:
		err = light.VerifyNonAdjacent(trusted.SignedHeader, trusted.ValidatorSet, next.SignedHeader, next.ValidatorSet,
			p.TrustPeriod, now, p.MaxDrift, light.DefaultTrustLevel)
	}
	if err != nil {
		return mesh.Errorf(mesh.Denied, "height %d does not follow from height %d: %w", next.Height, trusted.Height, err)
	}
	return nil
}

// An Answer is what the ABCI query /store/outbox/key with prove said about one key.
type Answer struct {
	Height int64 // of the state; the header that proves it is one higher
	Value  []byte
	Proof  *cmtcrypto.ProofOps
}

// Head returns the number of records that the outbox held at the answer's height.
func Head(block *types.LightBlock, a Answer) (count uint64, err error) {
	if err := member(block, outbox.HeadKey(), a); err != nil {
		return 0, err
	}
	return outbox.DecodeHead(a.Value)
}

// Record returns the outbox's record of a sequence number.
func Record(block *types.LightBlock, s outbox.Sequence, a Answer) (*wirepb.OutboxRecord, error) {
	if err := member(block, outbox.RecordKey(s), a); err != nil {
		return nil, err
	}
	return outbox.Decode(a.Value)
}

// member checks that the outbox's store held the value under key at the height below block's, which must have been
// verified. CometBFT answers with two proofs: the key in the store's tree, and that tree's root among all stores.
func member(block *types.LightBlock, key []byte, a Answer) error {
	if a.Height < 1 || block.Height != a.Height+1 {
		return mesh.Errorf(mesh.Invalid, "state of height %d is proven by header %d, not by header %d", a.Height, a.Height+1, block.Height)
	}
	if len(a.Value) == 0 || len(a.Value) > outbox.MaxRecord {
		return mesh.Errorf(mesh.Invalid, "a value of %d bytes, want 1 to %d", len(a.Value), outbox.MaxRecord)
	}
	if a.Proof == nil || len(a.Proof.Ops) != 2 {
		return mesh.Errorf(mesh.Invalid, "the answer does not hold the two proofs of a store query")
	}
	store, err := existence(a.Proof.Ops[0], "ics23:iavl", key)
	if err != nil {
		return err
	}
	root, err := store.Calculate()
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "proof of the key: %w", err)
	}
	stores, err := existence(a.Proof.Ops[1], "ics23:simple", []byte(outbox.StoreKey))
	if err != nil {
		return err
	}
	if !ics23.VerifyMembership(ics23.IavlSpec, root, store, key, a.Value) {
		return mesh.Errorf(mesh.Corrupt, "the value is not what the store's tree holds under key %x", key)
	}
	if !ics23.VerifyMembership(ics23.TendermintSpec, block.AppHash.Bytes(), stores, []byte(outbox.StoreKey), root) {
		return mesh.Errorf(mesh.Corrupt, "the store's tree is not under the AppHash of header %d", block.Height)
	}
	return nil
}

// existence reads a plain proof of existence: no batch, nothing compressed.
func existence(op cmtcrypto.ProofOp, kind string, key []byte) (*ics23.CommitmentProof, error) {
	if op.Type != kind || !bytes.Equal(op.Key, key) {
		return nil, mesh.Errorf(mesh.Invalid, "a proof of type %q for key %x, want %q for %x", op.Type, op.Key, kind, key)
	}
	if len(op.Data) > maxProof {
		return nil, mesh.Errorf(mesh.Invalid, "a proof of %d bytes, at most %d", len(op.Data), maxProof)
	}
	p := new(ics23.CommitmentProof)
	if err := p.Unmarshal(op.Data); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "proof: %w", err)
	}
	if p.GetExist() == nil {
		return nil, mesh.Errorf(mesh.Invalid, "the proof is not one of existence")
	}
	return p, nil
}
