package register

import (
	"context"
	"net"
	"strconv"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/registration"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const allKinds = 7 // compute 1, database 2, storage 4

// A NodeApplication is what an operator says about a new node.
type NodeApplication struct {
	Operator        mesh.Account
	NodeKey, TLSKey mesh.PublicKey
	Kinds, Tier     uint32
	Address, Domain string
	Deposit         math.Int
	Proof           mesh.Signature // of the claim, by NodeKey
}

// RegisterNode adds a node. The deposit comes from payer, which is the operator or a contract that holds its value.
func (k *Keeper) RegisterNode(ctx context.Context, payer sdk.AccAddress, a NodeApplication) (mesh.NodeID, error) {
	id := mesh.NodeIDOf(a.NodeKey)
	p, err := k.params.Get(ctx)
	if err != nil {
		return id, err
	}
	if a.Kinds == 0 || a.Kinds > allKinds {
		return id, mesh.Errorf(mesh.Invalid, "kinds is %d, want a sum of compute 1, database 2 and storage 4", a.Kinds)
	}
	if a.Tier < 1 || int(a.Tier) > len(p.TierDeposits) {
		return id, mesh.Errorf(mesh.Invalid, "tier is %d, want 1 to %d", a.Tier, len(p.TierDeposits))
	}
	if least := p.TierDeposits[a.Tier-1]; a.Deposit.IsNil() || a.Deposit.LT(least) {
		return id, mesh.Errorf(mesh.Invalid, "tier %d needs a deposit of %s", a.Tier, mesh.NewWei(least.BigInt()))
	}
	if err := checkPlace(a.Address, a.Domain); err != nil {
		return id, err
	}
	network, err := k.Network(ctx)
	if err != nil {
		return id, err
	}
	if err := registration.NodeClaim(a.Operator, a.NodeKey, a.TLSKey).Verify(network, a.NodeKey, a.Proof); err != nil {
		return id, err
	}
	if has, err := k.nodes.Has(ctx, id[:]); err != nil || has {
		return id, first(err, mesh.Errorf(mesh.Conflict, "node %s is registered already", id))
	}
	if err := k.claimKeys(ctx, id[:], a.NodeKey, a.TLSKey); err != nil {
		return id, err
	}
	if err := k.takeDeposit(ctx, payer, a.Deposit); err != nil {
		return id, err
	}
	now, err := k.Epoch(ctx)
	if err != nil {
		return id, err
	}
	return id, k.setNode(ctx, registerpb.Node{
		Id: id[:], Operator: a.Operator[:], NodeKey: a.NodeKey[:], TlsKey: a.TLSKey[:], Kinds: a.Kinds, Tier: a.Tier,
		Address: a.Address, Domain: a.Domain, Status: registerpb.NodeActive, Deposit: a.Deposit, RegisteredEpoch: uint64(now),
	})
}

// A NodeChange is what an operator changes of a node; what is empty stays.
type NodeChange struct {
	Address, Domain string
	NodeKey, TLSKey mesh.PublicKey // both or none
	Proof           mesh.Signature // by the new NodeKey
}

// UpdateNode changes a node. Its id stays when its keys change.
func (k *Keeper) UpdateNode(ctx context.Context, caller mesh.Account, id mesh.NodeID, c NodeChange) error {
	n, err := k.Node(ctx, id)
	if err != nil {
		return err
	}
	if err := isOperator(caller, n.Operator); err != nil {
		return err
	}
	if c.Address != "" {
		n.Address = c.Address
	}
	if c.Domain != "" {
		n.Domain = c.Domain
	}
	if err := checkPlace(n.Address, n.Domain); err != nil {
		return err
	}
	if c.NodeKey != (mesh.PublicKey{}) || c.TLSKey != (mesh.PublicKey{}) {
		network, err := k.Network(ctx)
		if err != nil {
			return err
		}
		if err := registration.NodeClaim(caller, c.NodeKey, c.TLSKey).Verify(network, c.NodeKey, c.Proof); err != nil {
			return err
		}
		if err := k.releaseKeys(ctx, n.NodeKey, n.TlsKey); err != nil {
			return err
		}
		if err := k.claimKeys(ctx, id[:], c.NodeKey, c.TLSKey); err != nil {
			return err
		}
		n.NodeKey, n.TlsKey = c.NodeKey[:], c.TLSKey[:]
	}
	return k.setNode(ctx, n)
}

// DeactivateNode takes a node out of service and queues its deposit for payout.
func (k *Keeper) DeactivateNode(ctx context.Context, caller mesh.Account, id mesh.NodeID) (payout mesh.Epoch, err error) {
	n, err := k.Node(ctx, id)
	if err != nil {
		return 0, err
	}
	if err := isOperator(caller, n.Operator); err != nil {
		return 0, err
	}
	if n.Status == registerpb.NodeSuspended {
		return 0, mesh.WithHint(mesh.Errorf(mesh.Denied, "node %s is suspended: it was convicted of a lie, and its deposit is held", id), "governance may pardon it")
	}
	if n.Status != registerpb.NodeActive {
		return 0, mesh.Errorf(mesh.Conflict, "node %s is being paid out already, in epoch %d", id, n.PayoutEpoch)
	}
	if n.PayoutEpoch, err = k.payoutEpoch(ctx, n.RegisteredEpoch); err != nil {
		return 0, err
	}
	n.Status = registerpb.NodeUnbonding
	if err := k.payouts.Set(ctx, collections.Join3(n.PayoutEpoch, memberNode, n.Id)); err != nil {
		return 0, err
	}
	return mesh.Epoch(n.PayoutEpoch), k.setNode(ctx, n)
}

func (k *Keeper) payNode(ctx context.Context, id []byte) error {
	n, err := k.nodes.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := k.returnDeposit(ctx, n.Operator, n.Deposit); err != nil {
		return err
	}
	if err := k.releaseKeys(ctx, n.NodeKey, n.TlsKey); err != nil {
		return err
	}
	if err := k.nodes.Remove(ctx, id); err != nil {
		return err
	}
	n.Deposit = math.ZeroInt()
	return k.emitNode(ctx, n, wirepb.NodeStatus_NODE_STATUS_REMOVED)
}

func (k *Keeper) setNode(ctx context.Context, n registerpb.Node) error {
	if err := k.nodes.Set(ctx, n.Id, n); err != nil {
		return err
	}
	return k.emitNode(ctx, n, statuses[n.Status])
}

// statuses are what the meta layer is told of a node's.
var statuses = map[registerpb.NodeStatus]wirepb.NodeStatus{
	registerpb.NodeActive:    wirepb.NodeStatus_NODE_STATUS_ACTIVE,
	registerpb.NodeUnbonding: wirepb.NodeStatus_NODE_STATUS_UNBONDING,
	registerpb.NodeSuspended: wirepb.NodeStatus_NODE_STATUS_SUSPENDED,
}

func (k *Keeper) emitNode(ctx context.Context, n registerpb.Node, status wirepb.NodeStatus) error {
	return k.outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_Node{Node: &wirepb.NodeRecord{
		Id: n.Id, Operator: n.Operator, NodeKey: n.NodeKey, TlsKey: n.TlsKey, Kinds: n.Kinds, Tier: n.Tier,
		Address: n.Address, Domain: n.Domain, Status: status, DepositWei: n.Deposit.String(), Pardons: n.Pardons,
	}}})
}

// checkPlace examines where a member says that it is.
func checkPlace(address, domain string) error {
	if err := checkAddress(address); err != nil {
		return err
	}
	if len(domain) > outbox.MaxDomain {
		return mesh.Errorf(mesh.Invalid, "the domain label has %d bytes, at most %d", len(domain), outbox.MaxDomain)
	}
	for i := range len(domain) {
		if domain[i] < 0x21 || domain[i] > 0x7e {
			return mesh.Errorf(mesh.Invalid, "the domain label %q holds more than visible ASCII", domain)
		}
	}
	return nil
}

func checkAddress(address string) error {
	if len(address) > outbox.MaxAddress {
		return mesh.Errorf(mesh.Invalid, "the address has %d bytes, at most %d", len(address), outbox.MaxAddress)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return mesh.Errorf(mesh.Invalid, "%q is not an address; it looks like host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return mesh.Errorf(mesh.Invalid, "%q is not an address: port %q is no number from 1 to 65535", address, port)
	}
	return nil
}

// first returns the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
