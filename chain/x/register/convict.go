package register

import (
	"context"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/registration"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// gasPerSignature is what checking one ed25519 signature costs, as much as the SDK charges for a signer's own.
const gasPerSignature = 3000

// ConvictNode suspends a node of which more than two thirds of the present authorities say that it lied. Its deposit stays, also when it
// was on its way back, until governance pardons the node. Who was pardoned is not convicted of what was before.
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
	return k.setNode(ctx, n)
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
