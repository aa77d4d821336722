package main

import (
	"context"
	"errors"

	"github.com/cosmos/cosmos-sdk/client"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	"github.com/cosmos/evm/mempool/txpool"
)

// A broadcaster stands where the Ethereum interface wants a pool in the application: it hands what comes in to
// CometBFT's pool, the only one. What it is asked about the content of a pool it answers as an empty one.
type broadcaster struct {
	mempool.NoOpMempool
	node client.Context
	pool *txpool.TxPool
}

func newBroadcaster(node client.Context) *broadcaster {
	return &broadcaster{node: node, pool: &txpool.TxPool{}}
}

// Insert returns when the transaction has been checked; the error is what the check says.
func (b *broadcaster) Insert(_ context.Context, tx sdk.Tx) error {
	bz, err := b.node.TxConfig.TxEncoder()(tx)
	if err != nil {
		return err
	}
	res, err := b.node.BroadcastTxSync(bz)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		return errors.New(res.RawLog)
	}
	return nil
}

// GetTxPool returns an empty pool.
func (b *broadcaster) GetTxPool() *txpool.TxPool { return b.pool }
