package register

import (
	"context"
	"fmt"
	"math/big"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
)

// Defaults with epochs of 10 minutes.
const (
	defaultEpochBlocks     = 1200
	defaultLockEpochs      = 180 * 144
	defaultUnbondingEpochs = 14 * 144
)

// payoutsPerBlock bounds the work of a block; what is left waits for the next.
const payoutsPerBlock = 50

// DefaultGenesis has parameters and no members.
func DefaultGenesis() *registerpb.GenesisState {
	tier := func(stos int64) math.Int { return math.NewIntFromBigInt(mesh.Stos(stos).Big()) }
	return &registerpb.GenesisState{Params: registerpb.Params{
		EpochBlocks:       defaultEpochBlocks,
		DepositLockEpochs: defaultLockEpochs,
		UnbondingEpochs:   defaultUnbondingEpochs,
		TierDeposits:      []math.Int{tier(800), tier(1600), tier(3200)},
		AuthorityDeposit:  tier(1000),
	}}
}

// CheckParams tells what in parameters cannot be.
func CheckParams(p registerpb.Params) error {
	if p.EpochBlocks == 0 || p.EpochBlocks > 1<<32 || p.DepositLockEpochs > 1<<32 || p.UnbondingEpochs > 1<<32 {
		return mesh.Errorf(mesh.Invalid, "register: a duration is 0 or above 2^32")
	}
	if len(p.TierDeposits) == 0 || len(p.TierDeposits) > 16 {
		return mesh.Errorf(mesh.Invalid, "register: %d tiers, want 1 to 16", len(p.TierDeposits))
	}
	for _, d := range append([]math.Int{p.AuthorityDeposit}, p.TierDeposits...) {
		if d.IsNil() || !d.IsPositive() {
			return mesh.Errorf(mesh.Invalid, "register: a least deposit is not positive")
		}
	}
	return nil
}

// ValidateGenesis tells what in a genesis cannot be. Deposits below a tier's least are accepted: a genesis decides.
func ValidateGenesis(g *registerpb.GenesisState) error {
	if err := CheckParams(g.Params); err != nil {
		return err
	}
	if len(g.Authorities) > maxMembers {
		return mesh.Errorf(mesh.Invalid, "register: %d authorities, at most %d", len(g.Authorities), maxMembers)
	}
	for _, n := range g.Nodes {
		if len(n.Id) != 20 || len(n.Operator) != 20 || len(n.NodeKey) != 32 || len(n.TlsKey) != 32 || n.Deposit.IsNil() || n.Deposit.IsNegative() ||
			n.Kinds == 0 || n.Kinds > allKinds || statuses[n.Status] == 0 {
			return mesh.Errorf(mesh.Invalid, "register: node %x is malformed", n.Id)
		}
		if err := checkPlace(n.Address, n.Domain); err != nil {
			return err
		}
	}
	for _, a := range g.Authorities {
		if len(a.Id) != 20 || len(a.Operator) != 20 || len(a.ReportKey) != 32 || len(a.ConsensusKey) != 32 || len(a.TlsKey) != 32 ||
			a.Deposit.IsNil() || a.Deposit.IsNegative() || a.Status < registerpb.AuthorityCandidate || a.Status > registerpb.AuthorityUnbonding {
			return mesh.Errorf(mesh.Invalid, "register: authority %x is malformed", a.Id)
		}
		if err := checkAddress(a.Address); err != nil {
			return err
		}
	}
	return nil
}

// InitGenesis fills the state and tells the meta layer about every member. The deposits are on the module's account
// already, and the pool has counted them.
func (k *Keeper) InitGenesis(ctx context.Context, g *registerpb.GenesisState) error {
	if err := k.params.Set(ctx, g.Params); err != nil {
		return err
	}
	for _, n := range g.Nodes {
		if err := k.claimKeys(ctx, n.Id, mesh.PublicKey(n.NodeKey), mesh.PublicKey(n.TlsKey)); err != nil {
			return fmt.Errorf("node %x: %w", n.Id, err)
		}
		if n.Status == registerpb.NodeUnbonding {
			if err := k.payouts.Set(ctx, collections.Join3(n.PayoutEpoch, memberNode, n.Id)); err != nil {
				return err
			}
		}
		if err := k.setNode(ctx, n); err != nil {
			return err
		}
	}
	present := 0
	for _, a := range g.Authorities {
		if err := k.claimKeys(ctx, a.Id, mesh.PublicKey(a.ReportKey), mesh.PublicKey(a.ConsensusKey), mesh.PublicKey(a.TlsKey)); err != nil {
			return fmt.Errorf("authority %x: %w", a.Id, err)
		}
		switch a.Status {
		case registerpb.AuthorityPresent:
			present++
		case registerpb.AuthorityUnbonding:
			if err := k.payouts.Set(ctx, collections.Join3(a.PayoutEpoch, memberAuthority, a.Id)); err != nil {
				return err
			}
		}
		if err := k.authority.Set(ctx, a.Id, a); err != nil {
			return err
		}
	}
	if present > outbox.MaxAuthorities {
		return mesh.Errorf(mesh.Invalid, "register: %d present authorities, at most %d", present, outbox.MaxAuthorities)
	}
	return k.emitAuthorities(ctx)
}

// ExportGenesis writes the state down.
func (k *Keeper) ExportGenesis(ctx context.Context) (*registerpb.GenesisState, error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return nil, err
	}
	g := &registerpb.GenesisState{Params: p}
	if err := k.nodes.Walk(ctx, nil, func(_ []byte, n registerpb.Node) (bool, error) {
		g.Nodes = append(g.Nodes, n)
		return false, nil
	}); err != nil {
		return nil, err
	}
	return g, k.authority.Walk(ctx, nil, func(_ []byte, a registerpb.Authority) (bool, error) {
		g.Authorities = append(g.Authorities, a)
		return false, nil
	})
}

// EndBlock pays out deposits that are due, a bounded number of them. A payout that fails leaves nothing behind and is
// tried again in the next epoch: a block is never refused for it.
func (k *Keeper) EndBlock(ctx context.Context) error {
	now, err := k.Epoch(ctx)
	if err != nil {
		return err
	}
	due, err := k.due(ctx, uint64(now))
	if err != nil {
		return err
	}
	sdkCtx := sdk.UnwrapSDKContext(ctx)
	for _, p := range due {
		if err := k.payouts.Remove(ctx, p); err != nil {
			return err
		}
		cached, write := sdkCtx.CacheContext()
		pay := k.payNode
		if p.K2() == memberAuthority {
			pay = k.payAuthority
		}
		if err := pay(cached, p.K3()); err != nil {
			sdkCtx.Logger().Error("a deposit could not be paid out; it will be tried again", "member", fmt.Sprintf("%x", p.K3()), "error", err)
			if err := k.payouts.Set(ctx, collections.Join3(uint64(now)+1, p.K2(), p.K3())); err != nil {
				return err
			}
			continue
		}
		write()
	}
	return nil
}

func (k *Keeper) due(ctx context.Context, now uint64) (due []collections.Triple[uint64, uint64, []byte], err error) {
	err = k.payouts.Walk(ctx, nil, func(p collections.Triple[uint64, uint64, []byte]) (bool, error) {
		if p.K1() > now || len(due) == payoutsPerBlock {
			return true, nil
		}
		due = append(due, p)
		return false, nil
	})
	return due, err
}

// Deposits sums what members deposited; the module's account holds exactly that.
func (k *Keeper) Deposits(ctx context.Context) (*big.Int, error) {
	g, err := k.ExportGenesis(ctx)
	if err != nil {
		return nil, err
	}
	sum := new(big.Int)
	for _, n := range g.Nodes {
		sum.Add(sum, n.Deposit.BigInt())
	}
	for _, a := range g.Authorities {
		sum.Add(sum, a.Deposit.BigInt())
	}
	return sum, nil
}

// CheckInvariants tells what does not add up.
func (k *Keeper) CheckInvariants(ctx context.Context) error {
	sum, err := k.Deposits(ctx)
	if err != nil {
		return err
	}
	if held := k.bank.GetBalance(ctx, k.account, k.denom).Amount.BigInt(); held.Cmp(sum) != 0 {
		return fmt.Errorf("register: members deposited %s wei, the module holds %s", sum, held)
	}
	return nil
}
