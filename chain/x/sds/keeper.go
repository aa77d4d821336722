// Package sds is the module that sells ozone: the constant-product pool and every account's ozone.
//
// An account's ozone is two sums that only grow, credited and debited; the balance is their difference. Ozone leaves a
// balance only by a settled report. The module's account holds exactly the prepaid wei. Package protocol/economy is
// the arithmetic; module register changes deposits, module pot debits and settles.
package sds

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/x/sds/sdspb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ModuleName names the module, its store and its account.
const ModuleName = "sds"

// Bank is what the module needs of the bank.
type Bank interface {
	SendCoinsFromAccountToModule(ctx context.Context, from sdk.AccAddress, to string, amount sdk.Coins) error
	SendCoinsFromModuleToModule(ctx context.Context, from, to string, amount sdk.Coins) error
	GetBalance(ctx context.Context, a sdk.AccAddress, denom string) sdk.Coin
}

// Outbox is where facts for the meta layer go.
type Outbox interface {
	Append(ctx context.Context, r *wirepb.OutboxRecord) error
}

// A Keeper holds the module's state.
type Keeper struct {
	bank    Bank
	outbox  Outbox
	denom   string
	account sdk.AccAddress
	pool    collections.Item[sdspb.Pool]
	ozone   collections.Map[[]byte, sdspb.Ozone]
}

// NewKeeper uses the store named ModuleName; account is the module's own.
func NewKeeper(cdc codec.BinaryCodec, s store.KVStoreService, bank Bank, outbox Outbox, account sdk.AccAddress, denom string) (*Keeper, error) {
	b := collections.NewSchemaBuilder(s)
	k := &Keeper{
		bank: bank, outbox: outbox, denom: denom, account: account,
		pool:  collections.NewItem(b, collections.NewPrefix(0), "pool", codec.CollValue[sdspb.Pool](cdc)),
		ozone: collections.NewMap(b, collections.NewPrefix(1), "ozone", collections.BytesKey, codec.CollValue[sdspb.Ozone](cdc)),
	}
	_, err := b.Build()
	return k, err
}

func emptyPool() sdspb.Pool {
	return sdspb.Pool{Deposits: math.ZeroInt(), Prepaid: math.ZeroInt(), Remaining: math.ZeroInt(), Issued: math.ZeroInt()}
}

// Pool returns the curve's state, and all ozone that deposits issued.
func (k *Keeper) Pool(ctx context.Context) (pool economy.Pool, issued *big.Int, err error) {
	p, err := k.pool.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		p, err = emptyPool(), nil
	}
	return economy.Pool{Deposits: p.Deposits.BigInt(), Prepaid: p.Prepaid.BigInt(), Remaining: p.Remaining.BigInt()}, p.Issued.BigInt(), err
}

func (k *Keeper) setPool(ctx context.Context, p economy.Pool, issued *big.Int) error {
	return k.pool.Set(ctx, sdspb.Pool{
		Deposits:  math.NewIntFromBigInt(p.Deposits),
		Prepaid:   math.NewIntFromBigInt(p.Prepaid),
		Remaining: math.NewIntFromBigInt(p.Remaining),
		Issued:    math.NewIntFromBigInt(issued),
	})
}

// Deposited counts a deposit in and issues its ozone. The coins are the caller's to hold.
func (k *Keeper) Deposited(ctx context.Context, wei *big.Int) error {
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return err
	}
	next, more := p.Deposit(wei)
	return k.setPool(ctx, next, issued.Add(issued, more))
}

// Withdrawn counts a deposit out.
func (k *Keeper) Withdrawn(ctx context.Context, wei *big.Int) error {
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return err
	}
	next, removed, err := p.Withdraw(wei)
	if err != nil {
		return err
	}
	return k.setPool(ctx, next, issued.Sub(issued, removed))
}

// Prepay buys ozone for beneficiary with payer's coins.
func (k *Keeper) Prepay(ctx context.Context, payer sdk.AccAddress, beneficiary mesh.Account, wei *big.Int) (mesh.Noz, error) {
	if beneficiary == (mesh.Account{}) {
		return 0, mesh.Errorf(mesh.Invalid, "nobody could use ozone of account 0")
	}
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return 0, err
	}
	next, noz, err := p.Prepay(wei)
	if err != nil {
		return 0, err
	}
	if noz.Cmp(new(big.Int).SetUint64(uint64(mesh.MaxNoz))) > 0 {
		return 0, mesh.Errorf(mesh.Invalid, "%s noz are more than an account can hold", noz)
	}
	coins := sdk.NewCoins(sdk.NewCoin(k.denom, math.NewIntFromBigInt(wei)))
	if err := k.bank.SendCoinsFromAccountToModule(ctx, payer, ModuleName, coins); err != nil {
		return 0, err
	}
	if err := k.setPool(ctx, next, issued); err != nil {
		return 0, err
	}
	bought := mesh.Noz(noz.Uint64())
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(sdk.NewEvent("prepay",
		sdk.NewAttribute("payer", payer.String()), sdk.NewAttribute("beneficiary", beneficiary.String()),
		sdk.NewAttribute("wei", wei.String()), sdk.NewAttribute("noz", noz.String())))
	return bought, k.credit(ctx, beneficiary, bought)
}

func (k *Keeper) credit(ctx context.Context, account mesh.Account, noz mesh.Noz) error {
	o, err := k.Ozone(ctx, account)
	if err != nil {
		return err
	}
	if uint64(noz) > uint64(mesh.MaxNoz)-o.CreditedNoz {
		return mesh.Errorf(mesh.Exhausted, "%s would be credited more ozone over its life than an account can count", account)
	}
	o.CreditedNoz += uint64(noz)
	if err := k.ozone.Set(ctx, account[:], o); err != nil {
		return err
	}
	return k.emitCredited(ctx, o)
}

func (k *Keeper) emitCredited(ctx context.Context, o sdspb.Ozone) error {
	return k.outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_OzoneCredited{
		OzoneCredited: &wirepb.OzoneCredited{Account: o.Account, CreditedNoz: o.CreditedNoz}}})
}

func (k *Keeper) emitDebited(ctx context.Context, o sdspb.Ozone, epoch mesh.Epoch) error {
	return k.outbox.Append(ctx, &wirepb.OutboxRecord{Fact: &wirepb.OutboxRecord_DebitSettled{
		DebitSettled: &wirepb.DebitSettled{Account: o.Account, DebitedNoz: o.DebitedNoz, Epoch: uint64(epoch)}}})
}

// Ozone returns an account's sums; they are 0 for one that never had any.
func (k *Keeper) Ozone(ctx context.Context, account mesh.Account) (sdspb.Ozone, error) {
	o, err := k.ozone.Get(ctx, account[:])
	if errors.Is(err, collections.ErrNotFound) {
		return sdspb.Ozone{Account: account[:]}, nil
	}
	return o, err
}

// Balance is the ozone that an account can still be debited.
func (k *Keeper) Balance(ctx context.Context, account mesh.Account) (mesh.Noz, error) {
	o, err := k.Ozone(ctx, account)
	return mesh.Noz(o.CreditedNoz - o.DebitedNoz), err
}

// Debit takes ozone from a balance in the name of an epoch's report. The ozone is then out of every balance and not
// yet back in the pool, until Settle or Return. More than the balance is an error of kind Exhausted.
func (k *Keeper) Debit(ctx context.Context, account mesh.Account, noz mesh.Noz, epoch mesh.Epoch) error {
	o, err := k.Ozone(ctx, account)
	if err != nil {
		return err
	}
	if uint64(noz) > o.CreditedNoz-o.DebitedNoz {
		return mesh.Errorf(mesh.Exhausted, "%s has less than %d noz", account, noz)
	}
	o.DebitedNoz += uint64(noz)
	if err := k.ozone.Set(ctx, account[:], o); err != nil {
		return err
	}
	return k.emitDebited(ctx, o, epoch)
}

// Settle gives debited ozone back to the pool and moves the reward for it to a module's account.
func (k *Keeper) Settle(ctx context.Context, noz mesh.Noz, to string) (reward *big.Int, err error) {
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return nil, err
	}
	next, reward := p.Settle(new(big.Int).SetUint64(uint64(noz)))
	if err := k.setPool(ctx, next, issued); err != nil {
		return nil, err
	}
	if reward.Sign() == 0 {
		return reward, nil
	}
	return reward, k.bank.SendCoinsFromModuleToModule(ctx, ModuleName, to, sdk.NewCoins(sdk.NewCoin(k.denom, math.NewIntFromBigInt(reward))))
}

// Return gives debited ozone back to the pool without a reward.
func (k *Keeper) Return(ctx context.Context, noz mesh.Noz) error {
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return err
	}
	return k.setPool(ctx, p.Return(new(big.Int).SetUint64(uint64(noz))), issued)
}

// CheckInvariants tells what does not add up, given what register holds as deposits and pot as ozone between debit
// and settlement.
func (k *Keeper) CheckInvariants(ctx context.Context, deposits *big.Int, unsettled *big.Int) error {
	p, issued, err := k.Pool(ctx)
	if err != nil {
		return err
	}
	if p.Deposits.Cmp(deposits) != 0 {
		return fmt.Errorf("sds: the pool counts %s wei of deposits, register holds %s", p.Deposits, deposits)
	}
	if held := k.bank.GetBalance(ctx, k.account, k.denom).Amount.BigInt(); held.Cmp(p.Prepaid) != 0 {
		return fmt.Errorf("sds: the pool counts %s prepaid wei, its account holds %s", p.Prepaid, held)
	}
	sum := new(big.Int).Add(p.Remaining, unsettled)
	err = k.ozone.Walk(ctx, nil, func(key []byte, o sdspb.Ozone) (bool, error) {
		if o.DebitedNoz > o.CreditedNoz || o.CreditedNoz > uint64(mesh.MaxNoz) {
			return true, fmt.Errorf("sds: account %x was credited %d noz and debited %d", key, o.CreditedNoz, o.DebitedNoz)
		}
		sum.Add(sum, new(big.Int).SetUint64(o.CreditedNoz-o.DebitedNoz))
		return false, nil
	})
	if err != nil {
		return err
	}
	if sum.Cmp(issued) != 0 {
		return fmt.Errorf("sds: %s noz are in the pool, on balances and unsettled, %s were issued", sum, issued)
	}
	return nil
}
