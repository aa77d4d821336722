package pot

import (
	"github.com/ethereum/go-ethereum/common"

	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// NewPrecompile returns the contract with which Ethereum transactions hand in reports, withdraw and read.
func NewPrecompile(k *Keeper, bank cmn.BankKeeper) *precompile.Precompile {
	return precompile.New(abi.Pot(), bank, map[string]precompile.Method{
		"submitReport": func(c precompile.Call) ([]any, error) {
			var ids [][]byte
			for _, id := range c.Args[1].([][20]byte) {
				ids = append(ids, id[:])
			}
			signed, err := report.Pair(ids, c.Args[2].([][]byte))
			if err != nil {
				return nil, err
			}
			return nil, k.SubmitReport(c.Ctx, c.Args[0].([]byte), signed)
		},
		"submitPage": func(c precompile.Call) ([]any, error) {
			return nil, k.SubmitPage(c.Ctx, mesh.Epoch(c.Args[0].(uint64)), report.Table(c.Args[1].(uint8)), c.Args[2].(uint32), c.Args[3].([]byte))
		},
		"withdraw": func(c precompile.Call) ([]any, error) {
			amount, err := k.Withdraw(c.Ctx, mesh.Account(c.Caller), mesh.Account(c.Args[0].(common.Address)))
			return []any{amount}, err
		},
		"epoch": func(c precompile.Call) ([]any, error) {
			now, next, err := k.Epoch(c.Ctx)
			return []any{uint64(now), uint64(next)}, err
		},
		"report": func(c precompile.Call) ([]any, error) {
			r, err := k.Report(c.Ctx, mesh.Epoch(c.Args[0].(uint64)))
			if mesh.KindOf(err) == mesh.NotFound {
				err = nil // status 0 says so: a contract can branch on it, not on a revert
			}
			return []any{r.Header, uint8(r.Status), uint8(r.NextTable), r.NextPage, r.Signed, r.Authorities}, err
		},
		"ledger": func(c precompile.Call) ([]any, error) {
			l, err := k.Ledger(c.Ctx, mesh.Epoch(c.Args[0].(uint64)))
			if err != nil {
				return nil, err
			}
			return []any{l.Taken, l.CarriedIn, l.Settled, l.Returned, l.CarriedOut, l.Clipped, l.Reward.BigInt(), l.Tax.BigInt(),
				l.Nodes.BigInt(), l.Authorities.BigInt(), l.Chain.BigInt(), l.Remainder.BigInt(),
				l.PoolDeposits.BigInt(), l.PoolPrepaid.BigInt(), l.PoolRemaining.BigInt(), l.Sharers}, nil
		},
		"params": func(c precompile.Call) ([]any, error) {
			p, err := k.params.Get(c.Ctx)
			return []any{p.MaturityEpochs, p.MaxCarryEpochs}, err
		},
		"databasePrices": func(c precompile.Call) ([]any, error) {
			p, err := k.params.Get(c.Ctx)
			d := p.DatabasePrices
			return []any{d.Gas, d.Row, d.ByteIn, d.ByteOut, d.ByteHour}, err
		},
		"computePrices": func(c precompile.Call) ([]any, error) {
			p, err := k.params.Get(c.Ctx)
			return []any{p.ComputePrices.Fuel, p.ComputePrices.OutputByte}, err
		},
		"rewards": func(c precompile.Call) ([]any, error) {
			r, err := k.Rewards(c.Ctx, mesh.Account(c.Args[0].(common.Address)))
			if err != nil {
				return nil, err
			}
			return []any{r.Earned, r.Maturing, r.Withdrawable, r.Withdrawn}, nil
		},
		"rewardOf": func(c precompile.Call) ([]any, error) {
			amount, err := k.RewardOf(c.Ctx, mesh.Account(c.Args[0].(common.Address)), mesh.Epoch(c.Args[1].(uint64)))
			return []any{amount}, err
		},
	})
}
