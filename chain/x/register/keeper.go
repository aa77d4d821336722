// Package register is the module that knows who takes part: resource nodes and authorities, their keys, addresses and
// deposits. Deposits lie on the module's account, and module sds counts them.
//
// A deposit stays locked for a time after the registration and then takes an unbonding time to come back. Both are
// counted in epochs. Authorities are voted in and out by the present ones.
package register

import (
	"bytes"
	"context"
	"errors"
	"math/big"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ModuleName names the module, its store and its account.
const ModuleName = "register"

// Bank is what the module needs of the bank.
type Bank interface {
	SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, to string, amount sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, from string, to sdk.AccAddress, amount sdk.Coins) error
	GetBalance(ctx context.Context, a sdk.AccAddress, denom string) sdk.Coin
}

// Pool counts deposits, and knows what ozone is worth.
type Pool interface {
	Deposited(ctx context.Context, wei *big.Int) error
	Withdrawn(ctx context.Context, wei *big.Int) error
	Pool(ctx context.Context) (pool economy.Pool, issued *big.Int, err error)
}

// Treasury takes what liars forfeit.
type Treasury interface {
	// Forfeit takes an operator's rewards that have not matured, which it returns, and wei from an account.
	Forfeit(ctx context.Context, operator mesh.Account, from sdk.AccAddress, wei *big.Int) (rewards *big.Int, err error)
}

// Outbox is where facts for the meta layer go.
type Outbox interface {
	Append(ctx context.Context, r *wirepb.OutboxRecord) error
}

// A Keeper holds the module's state.
type Keeper struct {
	bank      Bank
	pool      Pool
	treasury  Treasury
	outbox    Outbox
	denom     string
	account   sdk.AccAddress // the module's own
	governor  string         // governance's account
	params    collections.Item[registerpb.Params]
	network   collections.Item[[]byte]
	nodes     collections.Map[[]byte, registerpb.Node]
	authority collections.Map[[]byte, registerpb.Authority]
	// keys says who uses an ed25519 key, so that no key has two owners.
	keys collections.Map[[]byte, []byte]
	// payouts are due deposits: epoch, then member. A node and an authority of one operator have two entries.
	payouts collections.KeySet[collections.Triple[uint64, uint64, []byte]]
}

// Kinds of member in the queue of payouts.
const (
	memberNode uint64 = iota
	memberAuthority
)

// NewKeeper uses the store named ModuleName; account is the module's own, governor governance's.
func NewKeeper(cdc codec.BinaryCodec, s store.KVStoreService, bank Bank, pool Pool, outbox Outbox, account, governor sdk.AccAddress,
	denom string) (*Keeper, error) {
	b := collections.NewSchemaBuilder(s)
	k := &Keeper{
		bank: bank, pool: pool, outbox: outbox, denom: denom, account: account, governor: governor.String(),
		params:    collections.NewItem(b, collections.NewPrefix(0), "params", codec.CollValue[registerpb.Params](cdc)),
		network:   collections.NewItem(b, collections.NewPrefix(1), "network", collections.BytesValue),
		nodes:     collections.NewMap(b, collections.NewPrefix(2), "nodes", collections.BytesKey, codec.CollValue[registerpb.Node](cdc)),
		authority: collections.NewMap(b, collections.NewPrefix(3), "authorities", collections.BytesKey, codec.CollValue[registerpb.Authority](cdc)),
		keys:      collections.NewMap(b, collections.NewPrefix(4), "keys", collections.BytesKey, collections.BytesValue),
		payouts: collections.NewKeySet(b, collections.NewPrefix(5), "payouts",
			collections.TripleKeyCodec(collections.Uint64Key, collections.Uint64Key, collections.BytesKey)),
	}
	_, err := b.Build()
	return k, err
}

// ForfeitTo says who takes what liars forfeit: a module that itself needs this one. It is called once, before the first block.
func (k *Keeper) ForfeitTo(t Treasury) { k.treasury = t }

// SetNetwork writes down which network this is, before the genesis of any module.
func (k *Keeper) SetNetwork(ctx context.Context, id mesh.NetworkID) error {
	return k.network.Set(ctx, id[:])
}

// Network is the network that every signature here must name.
func (k *Keeper) Network(ctx context.Context) (mesh.NetworkID, error) {
	b, err := k.network.Get(ctx)
	if err != nil {
		return mesh.NetworkID{}, err
	}
	return mesh.FromBytes[mesh.NetworkID](b)
}

// Params of the registry.
func (k *Keeper) Params(ctx context.Context) (registerpb.Params, error) { return k.params.Get(ctx) }

// SetParams replaces the parameters. The length of an epoch is fixed with the genesis: epochs would be renumbered.
func (k *Keeper) SetParams(ctx context.Context, p registerpb.Params) error {
	old, err := k.params.Get(ctx)
	if err != nil {
		return err
	}
	if p.EpochBlocks != old.EpochBlocks {
		return mesh.Errorf(mesh.Invalid, "epoch_blocks is fixed, it is %d", old.EpochBlocks)
	}
	if err := CheckParams(p); err != nil {
		return err
	}
	return k.params.Set(ctx, p)
}

// Epochs tells how long epochs are.
func (k *Keeper) Epochs(ctx context.Context) (economy.Epochs, error) {
	p, err := k.params.Get(ctx)
	return economy.Epochs{Blocks: p.EpochBlocks}, err
}

// Epoch is the epoch of the block that is being made.
func (k *Keeper) Epoch(ctx context.Context) (mesh.Epoch, error) {
	e, err := k.Epochs(ctx)
	if err != nil {
		return 0, err
	}
	return e.Of(mesh.Height(sdk.UnwrapSDKContext(ctx).BlockHeight())), nil
}

// Node returns a registered node; the error is of kind NotFound when there is none.
func (k *Keeper) Node(ctx context.Context, id mesh.NodeID) (registerpb.Node, error) {
	n, err := k.nodes.Get(ctx, id[:])
	if errors.Is(err, collections.ErrNotFound) {
		return n, mesh.Errorf(mesh.NotFound, "node %s is not registered", id)
	}
	return n, err
}

// NodeOperator returns who earns what a node delivers; ok is false when the node is not registered.
func (k *Keeper) NodeOperator(ctx context.Context, id mesh.NodeID) (operator mesh.Account, ok bool, err error) {
	n, err := k.nodes.Get(ctx, id[:])
	if errors.Is(err, collections.ErrNotFound) {
		return operator, false, nil
	}
	if err != nil {
		return operator, false, err
	}
	operator, err = mesh.FromBytes[mesh.Account](n.Operator)
	return operator, true, err
}

// Authority returns a candidate, present or leaving authority; the error is of kind NotFound when there is none.
func (k *Keeper) Authority(ctx context.Context, id mesh.AuthorityID) (registerpb.Authority, error) {
	a, err := k.authority.Get(ctx, id[:])
	if errors.Is(err, collections.ErrNotFound) {
		return a, mesh.Errorf(mesh.NotFound, "authority %s is not registered", id)
	}
	return a, err
}

// Present returns the authorities that are voted in, by rising id.
func (k *Keeper) Present(ctx context.Context) ([]registerpb.Authority, error) {
	return k.authoritiesIn(ctx, registerpb.AuthorityPresent)
}

// Candidates returns the authorities that are voted on, by rising id.
func (k *Keeper) Candidates(ctx context.Context) ([]registerpb.Authority, error) {
	return k.authoritiesIn(ctx, registerpb.AuthorityCandidate)
}

func (k *Keeper) authoritiesIn(ctx context.Context, status registerpb.AuthorityStatus) (all []registerpb.Authority, err error) {
	err = k.authority.Walk(ctx, nil, func(_ []byte, a registerpb.Authority) (bool, error) {
		if a.Status == status {
			all = append(all, a)
		}
		return false, nil
	})
	return all, err
}

// pay moves a deposit between its owner and the module, and lets the pool count it.
func (k *Keeper) takeDeposit(ctx context.Context, payer sdk.AccAddress, deposit math.Int) error {
	if err := k.bank.SendCoinsFromAccountToModule(ctx, payer, ModuleName, sdk.NewCoins(sdk.NewCoin(k.denom, deposit))); err != nil {
		return err
	}
	return k.pool.Deposited(ctx, deposit.BigInt())
}

func (k *Keeper) returnDeposit(ctx context.Context, operator []byte, deposit math.Int) error {
	if deposit.IsZero() {
		return nil
	}
	if err := k.bank.SendCoinsFromModuleToAccount(ctx, ModuleName, operator, sdk.NewCoins(sdk.NewCoin(k.denom, deposit))); err != nil {
		return err
	}
	return k.pool.Withdrawn(ctx, deposit.BigInt())
}

// claimKeys makes keys the owner's. A key that is in use is refused with kind Conflict.
func (k *Keeper) claimKeys(ctx context.Context, owner []byte, keys ...mesh.PublicKey) error {
	for i, key := range keys {
		if key == (mesh.PublicKey{}) {
			return mesh.Errorf(mesh.Invalid, "a key is missing")
		}
		used, err := k.keys.Has(ctx, key[:])
		if err != nil {
			return err
		}
		if used {
			return mesh.WithHint(mesh.Errorf(mesh.Conflict, "key %s is registered already", key), "each role and each member needs a key of its own")
		}
		for _, other := range keys[:i] {
			if other == key {
				return mesh.Errorf(mesh.Conflict, "key %s is named twice", key)
			}
		}
		if err := k.keys.Set(ctx, key[:], owner); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) releaseKeys(ctx context.Context, keys ...[]byte) error {
	for _, key := range keys {
		if err := k.keys.Remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// payoutEpoch is when the deposit of a member that leaves now is paid: after the lock and the unbonding time.
func (k *Keeper) payoutEpoch(ctx context.Context, registered uint64) (uint64, error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return 0, err
	}
	now, err := k.Epoch(ctx)
	if err != nil {
		return 0, err
	}
	return max(uint64(now), registered+p.DepositLockEpochs) + p.UnbondingEpochs, nil
}

// isOperator refuses whoever is not the operator of what is to be changed.
func isOperator(caller mesh.Account, operator []byte) error {
	if !bytes.Equal(caller[:], operator) {
		return mesh.Errorf(mesh.Denied, "%s is not its operator", caller)
	}
	return nil
}
