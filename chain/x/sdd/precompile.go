package sdd

import (
	"github.com/ethereum/go-ethereum/common"

	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// NewPrecompile returns the contract with which Ethereum transactions anchor databases and contracts read anchors.
func NewPrecompile(k *Keeper, bank cmn.BankKeeper) *precompile.Precompile {
	return precompile.New(abi.SDD(), bank, map[string]precompile.Method{
		"anchor": func(c precompile.Call) ([]any, error) {
			ids := c.Args[1].([][20]byte)
			signers := make([][]byte, len(ids))
			for i := range ids {
				signers[i] = ids[i][:]
			}
			signed, err := report.Pair(signers, c.Args[2].([][]byte))
			if err != nil {
				return nil, err
			}
			return nil, k.Anchor(c.Ctx, c.Args[0].([]byte), signed)
		},
		"anchorOf": func(c precompile.Call) ([]any, error) {
			kept, a, err := k.Newest(c.Ctx, c.Args[0].([16]byte))
			if err != nil {
				return nil, err
			}
			return []any{common.BytesToAddress(a.Owner), [16]byte(a.Cell), uint64(a.LogHeight), uint64(a.TimeMs), uint64(a.Height), [32]byte(a.Digest), [32]byte(a.Content),
				uint64(kept.Height)}, nil
		},
	})
}
