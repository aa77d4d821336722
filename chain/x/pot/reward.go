package pot

import (
	"context"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
)

// Bounds of what one call reads of a wallet.
const (
	withdrawalsPerCall = 500
	maturingPerQuery   = 10_000
)

func (k *Keeper) wallet(ctx context.Context, account mesh.Account) (potpb.Wallet, error) {
	w, err := k.wallets.Get(ctx, account[:])
	if errors.Is(err, collections.ErrNotFound) {
		return potpb.Wallet{Account: account[:], Earned: math.ZeroInt(), Withdrawn: math.ZeroInt()}, nil
	}
	return w, err
}

// earn credits a wallet with a reward of the open report's epoch. It matures from the epoch of the settlement on, so
// that a late report is open to question as long as one in time.
func (k *Keeper) earn(ctx context.Context, w *potpb.Work, account mesh.Account, amount *big.Int) error {
	if amount.Sign() == 0 {
		return nil
	}
	p, err := k.params.Get(ctx)
	if err != nil {
		return err
	}
	now, err := k.Registry.Epoch(ctx)
	if err != nil {
		return err
	}
	key := collections.Join(account[:], w.Epoch)
	r, err := k.rewards.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		r = potpb.Reward{Account: account[:], Epoch: w.Epoch, Amount: math.ZeroInt(), Forfeited: math.ZeroInt()}
	} else if err != nil {
		return err
	}
	r.Amount = r.Amount.Add(math.NewIntFromBigInt(amount))
	r.Matures = uint64(now) + p.MaturityEpochs
	wallet, err := k.wallet(ctx, account)
	if err != nil {
		return err
	}
	wallet.Earned = wallet.Earned.Add(math.NewIntFromBigInt(amount))
	return errors.Join(k.rewards.Set(ctx, key, r), k.wallets.Set(ctx, account[:], wallet))
}

// Withdraw pays an account's matured rewards to an account of its choice, at most 500 epochs in one call.
func (k *Keeper) Withdraw(ctx context.Context, account, to mesh.Account) (*big.Int, error) {
	if precompile.Is(common.Address(to)) || k.Bank.BlockedAddr(to[:]) {
		return nil, mesh.Errorf(mesh.Invalid, "%s belongs to the chain itself and takes no coins", to)
	}
	now, err := k.Registry.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	wallet, err := k.wallet(ctx, account)
	if err != nil {
		return nil, err
	}
	sum, n := math.ZeroInt(), 0
	err = k.rewards.Walk(ctx, unpaid(account, wallet), func(_ collections.Pair[[]byte, uint64], r potpb.Reward) (bool, error) {
		if r.Matures > uint64(now) || n == withdrawalsPerCall {
			return true, nil
		}
		if left := r.Amount.Sub(r.Forfeited); left.IsPositive() { // so that no call ends among what is forfeit
			sum, n = sum.Add(left), n+1
		}
		wallet.NextEpoch = r.Epoch + 1
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if sum.IsZero() {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "%s has no matured rewards", account), "rewards mature some epochs after they are earned")
	}
	wallet.Withdrawn = wallet.Withdrawn.Add(sum)
	if err := k.wallets.Set(ctx, account[:], wallet); err != nil {
		return nil, err
	}
	return sum.BigInt(), k.Bank.SendCoinsFromModuleToAccount(ctx, ModuleName, to[:], k.coins(sum.BigInt()))
}

// Forfeit takes an account's rewards that have not matured, and coins that it loses with them from where they lie, for the community pool.
// It returns the rewards.
func (k *Keeper) Forfeit(ctx context.Context, account mesh.Account, from sdk.AccAddress, wei *big.Int) (*big.Int, error) {
	now, err := k.Registry.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	wallet, err := k.wallet(ctx, account)
	if err != nil {
		return nil, err
	}
	lost := math.ZeroInt()
	var taken []potpb.Reward
	if err := k.rewards.Walk(ctx, unpaid(account, wallet), func(_ collections.Pair[[]byte, uint64], r potpb.Reward) (bool, error) {
		if left := r.Amount.Sub(r.Forfeited); r.Matures > uint64(now) && left.IsPositive() {
			lost, r.Forfeited = lost.Add(left), r.Amount
			taken = append(taken, r)
		}
		return len(taken) == maturingPerQuery, nil
	}); err != nil {
		return nil, err
	}
	for _, r := range taken {
		if err := k.rewards.Set(ctx, collections.Join(account[:], r.Epoch), r); err != nil {
			return nil, err
		}
	}
	if lost.IsPositive() {
		wallet.Earned = wallet.Earned.Sub(lost)
		if err := k.wallets.Set(ctx, account[:], wallet); err != nil {
			return nil, err
		}
	}
	if wei.Sign() > 0 {
		if err := k.Community.FundCommunityPool(ctx, k.coins(wei), from); err != nil {
			return nil, err
		}
	}
	return lost.BigInt(), k.fundCommunity(ctx, lost.BigInt())
}

// unpaid ranges over an account's rewards that it has not withdrawn, by epoch.
func unpaid(account mesh.Account, w potpb.Wallet) collections.Ranger[collections.Pair[[]byte, uint64]] {
	return collections.NewPrefixedPairRange[[]byte, uint64](account[:]).StartInclusive(w.NextEpoch)
}

// Rewards of an account over all, without what was forfeit: earned = maturing + withdrawable + withdrawn.
type Rewards struct{ Earned, Maturing, Withdrawable, Withdrawn *big.Int }

// Rewards sums what an account earned. Beyond 10,000 unwithdrawn epochs the rest counts as maturing.
func (k *Keeper) Rewards(ctx context.Context, account mesh.Account) (*Rewards, error) {
	now, err := k.Registry.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	w, err := k.wallet(ctx, account)
	if err != nil {
		return nil, err
	}
	matured, n := math.ZeroInt(), 0
	err = k.rewards.Walk(ctx, unpaid(account, w), func(_ collections.Pair[[]byte, uint64], r potpb.Reward) (bool, error) {
		if r.Matures > uint64(now) || n == maturingPerQuery {
			return true, nil
		}
		matured, n = matured.Add(r.Amount.Sub(r.Forfeited)), n+1
		return false, nil
	})
	return &Rewards{w.Earned.BigInt(), w.Earned.Sub(w.Withdrawn).Sub(matured).BigInt(), matured.BigInt(), w.Withdrawn.BigInt()}, err
}

// RewardOf is what an account earned in an epoch, also where that was forfeit since.
func (k *Keeper) RewardOf(ctx context.Context, account mesh.Account, epoch mesh.Epoch) (*big.Int, error) {
	r, err := k.rewards.Get(ctx, collections.Join(account[:], uint64(epoch)))
	if errors.Is(err, collections.ErrNotFound) {
		return new(big.Int), nil
	}
	if err != nil {
		return nil, err
	}
	return r.Amount.BigInt(), nil
}
