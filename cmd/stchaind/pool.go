package main

import (
	"context"
	"fmt"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	"github.com/cosmos/evm/mempool/txpool"
	"github.com/cosmos/evm/rpc/backend"
)

// A cometPool lets JSON-RPC put transactions into CometBFT's own pool, the only one here. JSON-RPC asks for the
// application's pool in Ethereum's form too; that one is empty.
type cometPool struct {
	mempool.NoOpMempool
	ctx client.Context
}

var _ backend.Mempool = cometPool{}

// Insert checks a transaction and offers it to the other validators. A refused one is an error with the reason.
func (p cometPool) Insert(_ context.Context, tx sdk.Tx) error {
	b, err := p.ctx.TxConfig.TxEncoder()(tx)
	if err != nil {
		return fmt.Errorf("encode transaction: %w", err)
	}
	res, err := p.ctx.BroadcastTxSync(b)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		return fmt.Errorf("%s (code %d of %s)", res.RawLog, res.Code, res.Codespace)
	}
	return nil
}

// GetTxPool returns an empty pool.
func (cometPool) GetTxPool() *txpool.TxPool { return new(txpool.TxPool) }
