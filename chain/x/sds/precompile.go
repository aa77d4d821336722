package sds

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// NewPrecompile returns the contract with which Ethereum transactions buy ozone and read about it.
func NewPrecompile(k *Keeper, bank cmn.BankKeeper) *precompile.Precompile {
	return precompile.New(abi.SDS(), bank, map[string]precompile.Method{
		// The value of the call pays; it lies on the contract's own account when the method runs.
		"prepay": func(c precompile.Call) ([]any, error) {
			noz, err := k.Prepay(c.Ctx, abi.SDS().Address.Bytes(), mesh.Account(c.Args[0].(common.Address)), c.Value)
			return []any{uint64(noz)}, err
		},
		"simulatePrepay": func(c precompile.Call) ([]any, error) {
			p, _, err := k.Pool(c.Ctx)
			if err != nil {
				return nil, err
			}
			return []any{p.Bought(c.Args[0].(*big.Int))}, nil
		},
		"balanceOf": func(c precompile.Call) ([]any, error) {
			noz, err := k.Balance(c.Ctx, mesh.Account(c.Args[0].(common.Address)))
			return []any{uint64(noz)}, err
		},
		"ozoneOf": func(c precompile.Call) ([]any, error) {
			o, err := k.Ozone(c.Ctx, mesh.Account(c.Args[0].(common.Address)))
			return []any{o.CreditedNoz, o.DebitedNoz}, err
		},
		"price": func(c precompile.Call) ([]any, error) {
			p, _, err := k.Pool(c.Ctx)
			if err != nil {
				return nil, err
			}
			wei, noz := p.Price()
			return []any{wei, noz}, nil
		},
		"supply": func(c precompile.Call) ([]any, error) {
			p, issued, err := k.Pool(c.Ctx)
			return []any{p.Deposits, p.Prepaid, p.Remaining, issued}, err
		},
	})
}
