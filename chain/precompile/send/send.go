// Package send is the precompiled contract that moves STOS to one account or to many. It keeps no state of its own.
package send

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// MaxRecipients bounds one multiSend.
const MaxRecipients = 256

// Bank is what the contract needs of the bank module.
type Bank interface {
	cmn.BankKeeper
	IsSendEnabledCoins(ctx context.Context, coins ...sdk.Coin) error
}

type contract struct {
	bank  Bank
	denom string
}

// New returns the contract; coins of denom are what it moves.
func New(bank Bank, denom string) *precompile.Precompile {
	c := contract{bank, denom}
	return precompile.New(abi.Send(), bank, map[string]precompile.Method{"send": c.send, "multiSend": c.multiSend})
}

func (c contract) send(call precompile.Call) ([]any, error) {
	return nil, c.pay(call, call.Args[0].(common.Address), call.Args[1].(*big.Int))
}

func (c contract) multiSend(call precompile.Call) ([]any, error) {
	to, amounts := call.Args[0].([]common.Address), call.Args[1].([]*big.Int)
	if len(to) != len(amounts) {
		return nil, fmt.Errorf("%d recipients but %d amounts", len(to), len(amounts))
	}
	if len(to) == 0 || len(to) > MaxRecipients {
		return nil, fmt.Errorf("%d recipients, want 1 to %d", len(to), MaxRecipients)
	}
	for i := range to {
		if err := c.pay(call, to[i], amounts[i]); err != nil {
			return nil, fmt.Errorf("recipient %d: %w", i, err)
		}
	}
	return nil, nil
}

func (c contract) pay(call precompile.Call, to common.Address, amount *big.Int) error {
	if precompile.Is(to) || c.bank.BlockedAddr(to.Bytes()) {
		return sdkerrors.ErrUnauthorized.Wrapf("%s belongs to the chain itself and takes no coins", to)
	}
	coins := sdk.NewCoins(sdk.NewCoin(c.denom, math.NewIntFromBigInt(amount)))
	if coins.Empty() {
		return sdkerrors.ErrInvalidCoins.Wrap("the amount is 0")
	}
	if err := c.bank.IsSendEnabledCoins(call.Ctx, coins...); err != nil {
		return err
	}
	return c.bank.SendCoins(call.Ctx, call.Caller, to.Bytes(), coins)
}
