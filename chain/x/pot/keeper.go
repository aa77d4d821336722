// Package pot is the module of the proof of traffic: it takes the authorities' report of each epoch page by page,
// debits who was served, settles the largest volumes, and pays nodes, authorities, validators and delegators.
//
// One report is open at a time. Its pages come in transactions; when all are in, EndBlock settles it, a bounded amount
// of work in each block. DESIGN.md of package chain states the rules; protocol/report the format; protocol/economy the
// arithmetic.
package pot

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

	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ModuleName names the module, its store and its account.
const ModuleName = "pot"

// Bank is what the module needs of the bank.
type Bank interface {
	SendCoinsFromModuleToModule(ctx context.Context, from, to string, amount sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, from string, to sdk.AccAddress, amount sdk.Coins) error
	GetBalance(ctx context.Context, a sdk.AccAddress, denom string) sdk.Coin
	BlockedAddr(a sdk.AccAddress) bool
}

// CommunityPool takes taxes and remainders.
type CommunityPool interface {
	FundCommunityPool(ctx context.Context, amount sdk.Coins, from sdk.AccAddress) error
}

// Registry knows who may sign, who earns, and what epoch it is.
type Registry interface {
	Network(ctx context.Context) (mesh.NetworkID, error)
	Epoch(ctx context.Context) (mesh.Epoch, error)
	Params(ctx context.Context) (registerpb.Params, error)
	Present(ctx context.Context) ([]registerpb.Authority, error)
	NodeOperator(ctx context.Context, id mesh.NodeID) (operator mesh.Account, ok bool, err error)
}

// Ozone is where balances are debited and traffic is paid.
type Ozone interface {
	Pool(ctx context.Context) (pool economy.Pool, issued *big.Int, err error)
	Balance(ctx context.Context, account mesh.Account) (mesh.Noz, error)
	Debit(ctx context.Context, account mesh.Account, noz mesh.Noz, epoch mesh.Epoch) error
	Settle(ctx context.Context, noz mesh.Noz, to string) (reward *big.Int, err error)
	Return(ctx context.Context, noz mesh.Noz) error
}

// Outbox is where facts for the meta layer go.
type Outbox interface {
	Append(ctx context.Context, r *wirepb.OutboxRecord) error
}

// Wiring is what a keeper works with.
type Wiring struct {
	Bank         Bank
	Community    CommunityPool
	Registry     Registry
	Ozone        Ozone
	Outbox       Outbox
	Account      sdk.AccAddress // the module's own
	Governor     sdk.AccAddress // governance's
	FeeCollector string         // module whose account distribution shares out by stake
	Denom        string
}

// nodeKey is a node's id as a key.
type nodeKey = []byte

// A Keeper holds the module's state.
type Keeper struct {
	Wiring
	params  collections.Item[potpb.Params]
	next    collections.Item[uint64] // from_epoch of the next header
	reports collections.Map[uint64, potpb.Report]
	ledger  collections.Map[uint64, potpb.LedgerLine]
	work    collections.Item[potpb.Work] // absent: no report is open
	// slots are the volume tables of the open report, by kind and position.
	slots collections.Map[collections.Pair[uint64, uint64], potpb.ShareSlot]
	// fresh are volumes that the open report's debits paid, carries what waits from earlier reports.
	fresh   collections.Map[nodeKey, uint64]
	carries collections.Map[nodeKey, potpb.Carry]
	carried collections.Item[uint64] // sum of carries
	// byVolume orders carries by falling noz, then node; bySince by age.
	byVolume collections.KeySet[collections.Pair[uint64, nodeKey]]
	bySince  collections.KeySet[collections.Pair[uint64, nodeKey]]
	settling collections.Map[nodeKey, uint64]
	wallets  collections.Map[[]byte, potpb.Wallet]
	rewards  collections.Map[collections.Pair[[]byte, uint64], potpb.Reward]
}

// NewKeeper uses the store named ModuleName.
func NewKeeper(cdc codec.BinaryCodec, s store.KVStoreService, w Wiring) (*Keeper, error) {
	b := collections.NewSchemaBuilder(s)
	byNode := collections.PairKeyCodec(collections.Uint64Key, collections.BytesKey)
	k := &Keeper{
		Wiring:   w,
		params:   collections.NewItem(b, collections.NewPrefix(0), "params", codec.CollValue[potpb.Params](cdc)),
		next:     collections.NewItem(b, collections.NewPrefix(1), "next", collections.Uint64Value),
		reports:  collections.NewMap(b, collections.NewPrefix(2), "reports", collections.Uint64Key, codec.CollValue[potpb.Report](cdc)),
		ledger:   collections.NewMap(b, collections.NewPrefix(3), "ledger", collections.Uint64Key, codec.CollValue[potpb.LedgerLine](cdc)),
		work:     collections.NewItem(b, collections.NewPrefix(4), "work", codec.CollValue[potpb.Work](cdc)),
		slots:    collections.NewMap(b, collections.NewPrefix(5), "slots", collections.PairKeyCodec(collections.Uint64Key, collections.Uint64Key), codec.CollValue[potpb.ShareSlot](cdc)),
		fresh:    collections.NewMap(b, collections.NewPrefix(6), "fresh", collections.BytesKey, collections.Uint64Value),
		carries:  collections.NewMap(b, collections.NewPrefix(7), "carries", collections.BytesKey, codec.CollValue[potpb.Carry](cdc)),
		carried:  collections.NewItem(b, collections.NewPrefix(8), "carried", collections.Uint64Value),
		byVolume: collections.NewKeySet(b, collections.NewPrefix(9), "by_volume", byNode),
		bySince:  collections.NewKeySet(b, collections.NewPrefix(10), "by_since", byNode),
		settling: collections.NewMap(b, collections.NewPrefix(11), "settling", collections.BytesKey, collections.Uint64Value),
		wallets:  collections.NewMap(b, collections.NewPrefix(12), "wallets", collections.BytesKey, codec.CollValue[potpb.Wallet](cdc)),
		rewards:  collections.NewMap(b, collections.NewPrefix(13), "rewards", collections.PairKeyCodec(collections.BytesKey, collections.Uint64Key), codec.CollValue[potpb.Reward](cdc)),
	}
	_, err := b.Build()
	return k, err
}

// get reads an item, or its zero value when it was never written.
func get[T any](ctx context.Context, item collections.Item[T]) (T, error) {
	v, err := item.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		var zero T
		return zero, nil
	}
	return v, err
}

// openWork returns the open report's work; ok is false when none is open.
func (k *Keeper) openWork(ctx context.Context) (w potpb.Work, ok bool, err error) {
	w, err = k.work.Get(ctx)
	if errors.Is(err, collections.ErrNotFound) {
		return w, false, nil
	}
	return w, err == nil, err
}

func (k *Keeper) coins(amount *big.Int) sdk.Coins {
	return sdk.NewCoins(sdk.NewCoin(k.Denom, math.NewIntFromBigInt(amount)))
}

// fundCommunity gives the community pool what belongs to nobody else.
func (k *Keeper) fundCommunity(ctx context.Context, amount *big.Int) error {
	if amount.Sign() == 0 {
		return nil
	}
	return k.Community.FundCommunityPool(ctx, k.coins(amount), k.Account)
}

func newLine(epoch, from mesh.Epoch, carriedIn uint64) potpb.LedgerLine {
	z := math.ZeroInt()
	return potpb.LedgerLine{Epoch: uint64(epoch), FromEpoch: uint64(from), CarriedIn: carriedIn,
		Reward: z, Tax: z, Nodes: z, Authorities: z, Chain: z, Remainder: z, PoolDeposits: z, PoolPrepaid: z, PoolRemaining: z}
}

// Unsettled sums the ozone that was debited and has not gone back to the pool.
func (k *Keeper) Unsettled(ctx context.Context) (*big.Int, error) {
	sum := new(big.Int)
	add := func(v uint64) { sum.Add(sum, new(big.Int).SetUint64(v)) }
	err := k.fresh.Walk(ctx, nil, func(_ nodeKey, v uint64) (bool, error) { add(v); return false, nil })
	if err != nil {
		return nil, err
	}
	if err := k.carries.Walk(ctx, nil, func(_ nodeKey, c potpb.Carry) (bool, error) { add(c.Noz); return false, nil }); err != nil {
		return nil, err
	}
	w, ok, err := k.openWork(ctx)
	if ok && w.Phase < potpb.PhasePay {
		add(w.Line.Settled)
		add(w.Line.Returned)
	}
	return sum, err
}

// CheckInvariants tells what does not add up.
func (k *Keeper) CheckInvariants(ctx context.Context) error {
	owed := new(big.Int)
	if err := k.wallets.Walk(ctx, nil, func(_ []byte, w potpb.Wallet) (bool, error) {
		owed.Add(owed, w.Earned.Sub(w.Withdrawn).BigInt())
		return w.Withdrawn.GT(w.Earned), nil
	}); err != nil {
		return err
	}
	w, ok, err := k.openWork(ctx)
	if err != nil {
		return err
	}
	if ok && w.Phase == potpb.PhasePay {
		owed.Add(owed, w.NodePart.Sub(w.NodePaid).Add(w.Line.Remainder).BigInt())
	}
	if held := k.Bank.GetBalance(ctx, k.Account, k.Denom).Amount.BigInt(); held.Cmp(owed) != 0 {
		return fmt.Errorf("pot: %s wei are owed, the module holds %s", owed, held)
	}
	var sum uint64
	if err := k.carries.Walk(ctx, nil, func(_ nodeKey, c potpb.Carry) (bool, error) { sum += c.Noz; return false, nil }); err != nil {
		return err
	}
	if total, err := get(ctx, k.carried); err != nil || total != sum {
		return errors.Join(err, fmt.Errorf("pot: carries sum to %d noz, %d are counted", sum, total))
	}
	return k.ledger.Walk(ctx, nil, func(e uint64, l potpb.LedgerLine) (bool, error) {
		if l.Taken+l.CarriedIn != l.Settled+l.Returned+l.CarriedOut {
			return true, fmt.Errorf("pot: epoch %d: %d taken and %d carried in are not %d settled, %d returned and %d carried out",
				e, l.Taken, l.CarriedIn, l.Settled, l.Returned, l.CarriedOut)
		}
		parts := l.Tax.Add(l.Nodes).Add(l.Authorities).Add(l.Chain).Add(l.Remainder)
		if !parts.Equal(l.Reward) {
			return true, fmt.Errorf("pot: epoch %d: parts of %s wei of a reward of %s", e, parts, l.Reward)
		}
		return false, nil
	})
}
