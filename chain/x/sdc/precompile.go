package sdc

import (
	"github.com/ethereum/go-ethereum/common"

	"cosmossdk.io/math"
	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// NewPrecompile returns the contract with which Ethereum transactions and contracts order tasks, and takers answer. Who calls it orders, or
// takes; the value of a call is the price, or the bond.
func NewPrecompile(k *Keeper, bank cmn.BankKeeper) *precompile.Precompile {
	return precompile.New(abi.SDC(), bank, map[string]precompile.Method{
		"order": func(c precompile.Call) ([]any, error) {
			n, err := k.Order(c.Ctx, abi.SDC().Address.Bytes(), mesh.Account(c.Caller), c.Args[0].([]byte), c.Args[1].(uint32), c.Args[2].(uint64), math.NewIntFromBigInt(c.Value))
			return []any{n}, err
		},
		"claim": func(c precompile.Call) ([]any, error) {
			return nil, k.Claim(c.Ctx, abi.SDC().Address.Bytes(), mesh.Account(c.Caller), c.Args[0].(uint64), math.NewIntFromBigInt(c.Value))
		},
		"answer": func(c precompile.Call) ([]any, error) {
			ids := c.Args[2].([][20]byte)
			signers := make([][]byte, len(ids))
			for i := range ids {
				signers[i] = ids[i][:]
			}
			signed, err := report.Pair(signers, c.Args[3].([][]byte))
			if err != nil {
				return nil, err
			}
			return nil, k.Answer(c.Ctx, c.Args[0].(uint64), c.Args[1].([]byte), signed)
		},
		"close": func(c precompile.Call) ([]any, error) { return nil, k.Close(c.Ctx, c.Args[0].(uint64)) },
		"orderOf": func(c precompile.Call) ([]any, error) {
			o, err := k.Get(c.Ctx, c.Args[0].(uint64))
			if err != nil {
				return nil, err
			}
			return []any{common.BytesToAddress(o.Owner), [32]byte(o.Task), o.Level, o.Price.BigInt(), uint64(o.Until), uint8(o.Status), common.BytesToAddress(o.Taker), o.Claims, uint64(o.ClaimUntil)}, nil
		},
		"resultOf": func(c precompile.Call) ([]any, error) {
			o, err := k.Get(c.Ctx, c.Args[0].(uint64))
			var output [32]byte
			copy(output[:], o.Output)
			return []any{uint8(o.Status), o.End, o.Code, o.Fuel, o.OutputBytes, output}, err
		},
		"textOf": func(c precompile.Call) ([]any, error) {
			o, err := k.Get(c.Ctx, c.Args[0].(uint64))
			return []any{o.Text}, err
		},
		"openOrders": func(c precompile.Call) ([]any, error) {
			all, err := k.Open(c.Ctx, c.Args[0].(uint64), c.Args[1].(uint32))
			return []any{all}, err
		},
	})
}
