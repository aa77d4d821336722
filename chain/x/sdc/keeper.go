// Package sdc is the module that holds orders: tasks that accounts and contracts want run, and pay for when more than two thirds of the
// authorities say that the meta layer's log has verified a result. DESIGN.md has the whole.
//
// It runs nothing. Module register says who the authorities are.
package sdc

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
)

// ModuleName names the module, its store and its account, where prices and bonds lie.
const ModuleName = "sdc"

const (
	// maxBlocks is for how many blocks an order can stand.
	maxBlocks = 1_000_000
	// claimBlocks is for how many blocks a claim is nobody else's. With blocks of 5 s that is less than the hour for which the log knows a job
	// that has ended, so that a claim is one job.
	claimBlocks = 600
	// maxOpen bounds a page of open orders.
	maxOpen = 100
	// gasPerSignature is what checking one ed25519 signature costs, as much as the SDK charges for a signer's own.
	gasPerSignature = 3000
)

// Bank is what the module needs of the bank.
type Bank interface {
	SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, to string, amount sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, from string, to sdk.AccAddress, amount sdk.Coins) error
	GetBalance(ctx context.Context, a sdk.AccAddress, denom string) sdk.Coin
}

// Registry says who signs.
type Registry interface {
	Present(ctx context.Context) ([]registerpb.Authority, error)
	Network(ctx context.Context) (mesh.NetworkID, error)
}

// A Keeper holds the module's state.
type Keeper struct {
	bank     Bank
	registry Registry
	account  sdk.AccAddress // the module's own
	denom    string

	last   collections.Item[uint64] // number
	orders collections.Map[uint64, sdcpb.Order]
	open   collections.KeySet[uint64] // open and claimed ones
}

// NewKeeper uses the store named ModuleName; account is the module's own.
func NewKeeper(cdc codec.BinaryCodec, s store.KVStoreService, bank Bank, registry Registry, account sdk.AccAddress, denom string) (*Keeper, error) {
	b := collections.NewSchemaBuilder(s)
	k := &Keeper{bank: bank, registry: registry, account: account, denom: denom,
		last:   collections.NewItem(b, collections.NewPrefix(0), "last", collections.Uint64Value),
		orders: collections.NewMap(b, collections.NewPrefix(1), "orders", collections.Uint64Key, codec.CollValue[sdcpb.Order](cdc)),
		open:   collections.NewKeySet(b, collections.NewPrefix(2), "open", collections.Uint64Key),
	}
	_, err := b.Build()
	return k, err
}

func (k *Keeper) coins(amount math.Int) sdk.Coins { return sdk.NewCoins(sdk.NewCoin(k.denom, amount)) }

// pay gives what lies here to an account.
func (k *Keeper) pay(ctx context.Context, to []byte, amount math.Int) error {
	return k.bank.SendCoinsFromModuleToAccount(ctx, ModuleName, to, k.coins(amount))
}

// Order puts an order up. The price comes from payer, which is the owner or a contract that holds its value.
func (k *Keeper) Order(ctx context.Context, payer sdk.AccAddress, owner mesh.Account, text []byte, level uint32, blocks uint64, price math.Int) (uint64, error) {
	t, err := compute.DecodeOrder(text)
	switch {
	case err != nil:
		return 0, err
	case level != compute.Pair && level != compute.Quorum:
		return 0, mesh.Errorf(mesh.Invalid, "an order of level %d, want pair (%d) or quorum (%d): at others its taker could accept what he likes", level, compute.Pair, compute.Quorum)
	case blocks < 1 || blocks > maxBlocks:
		return 0, mesh.Errorf(mesh.Invalid, "an order for %d blocks, want 1 to %d", blocks, maxBlocks)
	case price.IsNil() || !price.IsPositive():
		return 0, mesh.Errorf(mesh.Invalid, "an order that pays nothing")
	}
	last, err := k.last.Get(ctx)
	if err != nil && !errors.Is(err, collections.ErrNotFound) {
		return 0, err
	}
	if err := k.bank.SendCoinsFromAccountToModule(ctx, payer, ModuleName, k.coins(price)); err != nil {
		return 0, err
	}
	task := compute.TaskDigest(t)
	o := sdcpb.Order{Number: last + 1, Owner: owner[:], Task: task[:], Level: level, Price: price, Until: height(ctx) + int64(blocks), Status: sdcpb.OrderOpen, Text: text}
	return o.Number, errors.Join(k.last.Set(ctx, o.Number), k.open.Set(ctx, o.Number), k.orders.Set(ctx, o.Number, o))
}

func height(ctx context.Context) int64 { return sdk.UnwrapSDKContext(ctx).BlockHeight() }

// Get returns an order; NotFound where there is none.
func (k *Keeper) Get(ctx context.Context, number uint64) (sdcpb.Order, error) {
	o, err := k.orders.Get(ctx, number)
	if errors.Is(err, collections.ErrNotFound) {
		return o, mesh.Errorf(mesh.NotFound, "there is no order %d", number)
	}
	return o, err
}

// Open returns the numbers of orders that are open or claimed, from one on.
func (k *Keeper) Open(ctx context.Context, after uint64, limit uint32) (all []uint64, err error) {
	if limit < 1 || limit > maxOpen {
		return nil, mesh.Errorf(mesh.Invalid, "a page of %d orders, want 1 to %d", limit, maxOpen)
	}
	err = k.open.Walk(ctx, new(collections.Range[uint64]).StartExclusive(after), func(n uint64) (bool, error) {
		all = append(all, n)
		return len(all) == int(limit), nil
	})
	return all, err
}

// Claim gives an order to a taker for a time. His bond, as much as the price, comes from payer.
func (k *Keeper) Claim(ctx context.Context, payer sdk.AccAddress, taker mesh.Account, number uint64, bond math.Int) error {
	o, err := k.Get(ctx, number)
	switch {
	case err != nil:
		return err
	case o.Status != sdcpb.OrderOpen || height(ctx) > o.Until:
		return mesh.Errorf(mesh.Conflict, "order %d is not open", number)
	case !bond.Equal(o.Price):
		return mesh.Errorf(mesh.Invalid, "a bond of %s wei for order %d, want its price, %s", bond, number, o.Price)
	}
	if err := k.bank.SendCoinsFromAccountToModule(ctx, payer, ModuleName, k.coins(bond)); err != nil {
		return err
	}
	o.Status, o.Taker, o.ClaimUntil = sdcpb.OrderClaimed, taker[:], height(ctx)+claimBlocks
	o.Claims++
	return k.orders.Set(ctx, number, o)
}

// Answer takes the result of an order, as enough of the present authorities say that the log has verified it in its taker's job, and pays
// him. Who posts it does not matter.
func (k *Keeper) Answer(ctx context.Context, number uint64, attestation []byte, signed []report.Signed) error {
	a, err := compute.DecodeAttestation(attestation)
	if err != nil {
		return err
	}
	o, err := k.Get(ctx, number)
	if err != nil {
		return err
	}
	if o.Status != sdcpb.OrderClaimed {
		return mesh.Errorf(mesh.Conflict, "order %d is not claimed", number)
	}
	if err := compute.CheckAnswer(a, number, o.Claims, mesh.Account(o.Taker), compute.Digest(o.Task), o.Level); err != nil {
		return err
	}
	present, err := k.registry.Present(ctx)
	if err != nil {
		return err
	}
	network, err := k.registry.Network(ctx)
	if err != nil {
		return err
	}
	keys := make(map[mesh.AuthorityID]mesh.PublicKey, len(present))
	for _, a := range present {
		keys[mesh.AuthorityID(a.Id)] = mesh.PublicKey(a.ReportKey)
	}
	sdk.UnwrapSDKContext(ctx).GasMeter().ConsumeGas(gasPerSignature*uint64(min(len(signed), report.MaxAuthorities)), "signatures of an attestation")
	if err := report.VerifySigned(network, sign.Attestation, keys, attestation, signed); err != nil {
		return err
	}
	if err := k.pay(ctx, o.Taker, o.Price.MulRaw(2)); err != nil { // with his bond
		return err
	}
	r := a.Result
	o.End, o.Code, o.Fuel, o.OutputBytes, o.Output = r.End, r.Code, r.Fuel, r.OutputBytes, r.Output
	return k.end(ctx, o, sdcpb.OrderAnswered)
}

// end ends an order.
func (k *Keeper) end(ctx context.Context, o sdcpb.Order, status sdcpb.OrderStatus) error {
	o.Status, o.Text, o.ClaimUntil = status, nil, 0
	return errors.Join(k.open.Remove(ctx, o.Number), k.orders.Set(ctx, o.Number, o))
}

// Close ends a claim that has had its time, whose bond goes to who ordered, and an order that has had its own, whose price does.
func (k *Keeper) Close(ctx context.Context, number uint64) error {
	o, err := k.Get(ctx, number)
	if err != nil {
		return err
	}
	now := height(ctx)
	ended := o.Status == sdcpb.OrderClaimed && now > o.ClaimUntil
	over := now > o.Until && (ended || o.Status == sdcpb.OrderOpen)
	if ended {
		if err := k.pay(ctx, o.Owner, o.Price); err != nil {
			return err
		}
		o.Status, o.Taker, o.ClaimUntil = sdcpb.OrderOpen, nil, 0
	}
	switch {
	case over:
		if err := k.pay(ctx, o.Owner, o.Price); err != nil {
			return err
		}
		return k.end(ctx, o, sdcpb.OrderReturned)
	case ended:
		return k.orders.Set(ctx, number, o)
	}
	return mesh.Errorf(mesh.Conflict, "order %d has ended, or has time until block %d", number, max(o.Until, o.ClaimUntil))
}

// CheckInvariants tells whether the module holds what it owes.
func (k *Keeper) CheckInvariants(ctx context.Context) error {
	owed, count := math.ZeroInt(), 0
	if err := k.orders.Walk(ctx, nil, func(n uint64, o sdcpb.Order) (bool, error) {
		switch o.Status {
		case sdcpb.OrderOpen:
			owed = owed.Add(o.Price)
		case sdcpb.OrderClaimed:
			owed = owed.Add(o.Price.MulRaw(2))
		default:
			return false, nil
		}
		count++
		has, err := k.open.Has(ctx, n)
		if err == nil && !has {
			err = fmt.Errorf("sdc: order %d is not among the open ones", n)
		}
		return false, err
	}); err != nil {
		return err
	}
	listed := 0
	if err := k.open.Walk(ctx, nil, func(uint64) (bool, error) { listed++; return false, nil }); err != nil {
		return err
	}
	if held := k.bank.GetBalance(ctx, k.account, k.denom).Amount; !held.Equal(owed) || listed != count {
		return fmt.Errorf("sdc: %s wei are owed for %d orders, the module holds %s and lists %d", owed, count, held, listed)
	}
	return nil
}
