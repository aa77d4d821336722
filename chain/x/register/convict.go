package register

import (
	"context"
	"math/big"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/registration"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// gasPerSignature is what checking one ed25519 signature costs, as much as the SDK charges for a signer's own.
const gasPerSignature = 3000

// What a node that gave a false result of a task forfeits of its deposit: so many times what the tasks of the job may have cost, at the price
// of ozone, and no less than a part of the deposit, so that it does not pay to be convicted of a small lie before a large one.
const (
	forfeitTimes    = 20
	leastForfeitOne = 10 // in so many
)

// ConvictNode suspends a node of which more than two thirds of the present authorities say that it lied. Its deposit stays, also when it
// was on its way back, until governance pardons the node. A lie about a task that was to be paid forfeits a part of it, and the operator's
// rewards that have not matured. Who was pardoned is not convicted of what was before.
func (k *Keeper) ConvictNode(ctx context.Context, conviction []byte, signed []report.Signed) error {
	c, err := registration.DecodeConviction(conviction)
	if err != nil {
		return err
	}
	n, err := k.Node(ctx, mesh.NodeID(c.Node))
	if err != nil {
		return err
	}
	if n.Status == registerpb.NodeSuspended || c.Pardons != n.Pardons {
		return mesh.Errorf(mesh.Conflict, "node %s is suspended already, or was pardoned since", mesh.NodeID(c.Node))
	}
	present, err := k.Present(ctx)
	if err != nil {
		return err
	}
	network, err := k.Network(ctx)
	if err != nil {
		return err
	}
	sdk.UnwrapSDKContext(ctx).GasMeter().ConsumeGas(gasPerSignature*uint64(min(len(signed), report.MaxAuthorities)), "signatures of a conviction")
	keys := make(map[mesh.AuthorityID]mesh.PublicKey, len(present))
	for _, a := range present {
		keys[mesh.AuthorityID(a.Id)] = mesh.PublicKey(a.ReportKey)
	}
	if err := report.VerifySigned(network, sign.Conviction, keys, conviction, signed); err != nil {
		return err
	}
	if n.Status == registerpb.NodeUnbonding {
		if err := k.payouts.Remove(ctx, collections.Join3(n.PayoutEpoch, memberNode, n.Id)); err != nil {
			return err
		}
		n.PayoutEpoch = 0
	}
	n.Status, n.Conviction = registerpb.NodeSuspended, c.Evidence
	if c.Value > 0 {
		if err := k.forfeit(ctx, &n, mesh.Noz(c.Value)); err != nil {
			return err
		}
	}
	return k.setNode(ctx, n)
}

// forfeit takes from a node what a lie in a job of this value costs.
func (k *Keeper) forfeit(ctx context.Context, n *registerpb.Node, value mesh.Noz) error {
	p, _, err := k.pool.Pool(ctx)
	if err != nil {
		return err
	}
	operator, err := mesh.FromBytes[mesh.Account](n.Operator)
	if err != nil {
		return err
	}
	lost := forfeited(p, n.Deposit.BigInt(), value)
	rewards, err := k.treasury.Forfeit(ctx, operator, k.account, lost)
	if err != nil {
		return err
	}
	n.Deposit = n.Deposit.Sub(math.NewIntFromBigInt(lost))
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent("forfeit", sdk.NewAttribute("node", mesh.NodeID(n.Id).String()),
		sdk.NewAttribute("operator", operator.String()), sdk.NewAttribute("deposit_wei", lost.String()), sdk.NewAttribute("rewards_wei", rewards.String())))
	if lost.Sign() == 0 {
		return nil
	}
	return k.pool.Withdrawn(ctx, lost)
}

// forfeited is what of a deposit a lie in a job of this value costs, rounded up.
func forfeited(p economy.Pool, deposit *big.Int, value mesh.Noz) *big.Int {
	lost := p.Worth(new(big.Int).Mul(big.NewInt(forfeitTimes), new(big.Int).SetUint64(uint64(value))))
	least := new(big.Int).Add(deposit, big.NewInt(leastForfeitOne-1))
	if least.Quo(least, big.NewInt(leastForfeitOne)); lost.Cmp(least) < 0 {
		lost = least
	}
	if lost.Cmp(deposit) > 0 {
		return deposit
	}
	return lost
}

// PardonNode lets a suspended node serve again, and its operator take the deposit back.
func (k *Keeper) PardonNode(ctx context.Context, id mesh.NodeID) error {
	n, err := k.Node(ctx, id)
	if err != nil {
		return err
	}
	if n.Status != registerpb.NodeSuspended {
		return mesh.Errorf(mesh.Conflict, "node %s is not suspended", id)
	}
	n.Status = registerpb.NodeActive
	n.Pardons++
	return k.setNode(ctx, n)
}
