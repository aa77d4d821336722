// Package chain speaks to the value layer as wallets do, over Ethereum JSON-RPC: it reads balances, calls contracts,
// and sends transactions and waits for them.
//
// It keeps no keys and no state. It does not follow blocks or prove anything; what an answer claims is the node's word.
// Commands, the SDK and tests call it.
package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	ethabi "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// receiptInterval is how often a transaction that is not in a block yet is asked for.
const receiptInterval = 100 * time.Millisecond

// A Client speaks to one node. It is safe for concurrent use, but who sends from one account from several places at
// once must order the nonces himself.
type Client struct {
	eth     *ethclient.Client
	url     string
	chainID *big.Int
}

// Dial connects to the node at url, which must belong to the chain with this EVM chain id.
func Dial(ctx context.Context, url string, evmChainID uint64) (*Client, error) {
	eth, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "value layer at %s: %w", url, err)
	}
	c := &Client{eth: eth, url: url}
	if c.chainID, err = eth.ChainID(ctx); err != nil {
		eth.Close()
		return nil, c.explain("ask for the chain id", err)
	}
	if !c.chainID.IsUint64() || c.chainID.Uint64() != evmChainID {
		eth.Close()
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the node at %s belongs to EVM chain %s, want %d", url, c.chainID, evmChainID),
			"another network uses this port: stratos doctor")
	}
	return c, nil
}

// Close ends the connections.
func (c *Client) Close() { c.eth.Close() }

// Balance returns what an account holds in the newest block.
func (c *Client) Balance(ctx context.Context, a mesh.Account) (mesh.Wei, error) {
	v, err := c.eth.BalanceAt(ctx, common.Address(a), nil)
	return mesh.NewWei(v), c.explain("read balance", err)
}

// Nonce returns the nonce of an account's next transaction.
func (c *Client) Nonce(ctx context.Context, a mesh.Account) (uint64, error) {
	n, err := c.eth.PendingNonceAt(ctx, common.Address(a))
	return n, c.explain("read nonce", err)
}

// Height returns the height of the newest block.
func (c *Client) Height(ctx context.Context) (mesh.Height, error) {
	n, err := c.eth.BlockNumber(ctx)
	return mesh.Height(n), c.explain("read height", err)
}

// Fees are what a unit of gas costs, as EIP-1559 has it.
type Fees struct {
	Tip mesh.Wei // to the proposer
	Cap mesh.Wei // at most, base fee and tip together; twice today's base fee, so that it holds for some blocks
}

// Fees suggests fees for a transaction that is sent now.
func (c *Client) Fees(ctx context.Context) (Fees, error) {
	tip, err := patient(ctx, func() (*big.Int, error) { return c.eth.SuggestGasTipCap(ctx) })
	if err != nil {
		return Fees{}, c.explain("read fees", err)
	}
	head, err := patient(ctx, func() (*types.Header, error) { return c.eth.HeaderByNumber(ctx, nil) })
	if err != nil {
		return Fees{}, c.explain("read fees", err)
	}
	limit := new(big.Int).Set(tip)
	if head.BaseFee != nil {
		limit.Add(limit, new(big.Int).Lsh(head.BaseFee, 1))
	}
	return Fees{Tip: mesh.NewWei(tip), Cap: mesh.NewWei(limit)}, nil
}

// A Call is what a transaction does.
type Call struct {
	To    mesh.Account
	Value mesh.Wei
	Data  []byte
}

// A Receipt is what became of a transaction.
type Receipt struct {
	Hash    common.Hash
	Block   mesh.Height
	GasUsed uint64
	Fee     mesh.Wei
	Logs    []*types.Log
}

// Send signs a call with k, sends it and waits until it is in a block. It fails with Exhausted when the account cannot
// pay, with Invalid when the chain refuses the call or the call reverts, and with Unavailable when the node cannot be
// reached or ctx ends first; after the latter the transaction may still be carried out.
func (c *Client) Send(ctx context.Context, k wallet.Key, call Call) (*Receipt, error) {
	hash, err := c.Submit(ctx, k, call)
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx, hash)
}

// Submit is Send without the waiting.
func (c *Client) Submit(ctx context.Context, k wallet.Key, call Call) (common.Hash, error) {
	from := k.Account()
	balance, err := c.Balance(ctx, from)
	if err != nil {
		return common.Hash{}, err
	}
	if balance.Cmp(call.Value) < 0 {
		return common.Hash{}, tooPoor(from, balance, call.Value)
	}
	fees, err := c.Fees(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	to := common.Address(call.To)
	gas, err := c.eth.EstimateGas(ctx, ethereum.CallMsg{From: common.Address(from), To: &to, Value: call.Value.Big(), Data: call.Data})
	if err != nil {
		return common.Hash{}, c.explain("send", err)
	}
	if len(call.Data) > 0 {
		gas += gas / 4 // what a contract does may cost more one block later
	}
	cost := new(big.Int).Mul(fees.Cap.Big(), new(big.Int).SetUint64(gas))
	if need := mesh.NewWei(cost.Add(cost, call.Value.Big())); balance.Cmp(need) < 0 {
		return common.Hash{}, tooPoor(from, balance, need)
	}
	nonce, err := c.Nonce(ctx, from)
	if err != nil {
		return common.Hash{}, err
	}
	tx, err := k.SignTx(types.NewTx(&types.DynamicFeeTx{
		ChainID: c.chainID, Nonce: nonce, GasTipCap: fees.Tip.Big(), GasFeeCap: fees.Cap.Big(), Gas: gas,
		To: &to, Value: call.Value.Big(), Data: call.Data,
	}), c.chainID)
	if err != nil {
		return common.Hash{}, err
	}
	return tx.Hash(), c.explain("send", c.eth.SendTransaction(ctx, tx))
}

func tooPoor(a mesh.Account, has, needs mesh.Wei) error {
	return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "account %s holds %s and needs %s, fees included", a, has, needs),
		"send less, or fund the account first")
}

// Wait returns the receipt of a transaction when it is in a block; if it failed there, the error says why.
func (c *Client) Wait(ctx context.Context, hash common.Hash) (*Receipt, error) {
	tick := time.NewTicker(receiptInterval)
	defer tick.Stop()
	for {
		r, err := patient(ctx, func() (*types.Receipt, error) { return c.eth.TransactionReceipt(ctx, hash) })
		if err == nil {
			if r.Status != types.ReceiptStatusSuccessful {
				return nil, c.whyFailed(ctx, r)
			}
			return receipt(r), nil
		}
		if !errors.Is(err, ethereum.NotFound) {
			return nil, c.explain("wait for transaction "+hash.Hex(), err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, c.explain("wait for transaction "+hash.Hex(), ctx.Err())
		}
	}
}

func receipt(r *types.Receipt) *Receipt {
	fee := new(big.Int)
	if r.EffectiveGasPrice != nil {
		fee.Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed))
	}
	return &Receipt{Hash: r.TxHash, Block: mesh.Height(r.BlockNumber.Int64()), GasUsed: r.GasUsed, Fee: mesh.NewWei(fee), Logs: r.Logs}
}

// whyFailed runs a failed transaction again on the state before it, to learn the reason.
func (c *Client) whyFailed(ctx context.Context, r *types.Receipt) error {
	err := mesh.Errorf(mesh.Invalid, "transaction %s failed in block %s", r.TxHash.Hex(), r.BlockNumber)
	tx, _, txErr := c.eth.TransactionByHash(ctx, r.TxHash)
	if txErr != nil {
		return err
	}
	from, txErr := types.Sender(types.LatestSignerForChainID(c.chainID), tx)
	if txErr != nil {
		return err
	}
	before := new(big.Int).Sub(r.BlockNumber, big.NewInt(1))
	_, callErr := c.eth.CallContract(ctx, ethereum.CallMsg{From: from, To: tx.To(), Gas: tx.Gas(), Value: tx.Value(), Data: tx.Data()}, before)
	if callErr == nil {
		return err
	}
	return mesh.Errorf(mesh.Invalid, "transaction %s failed in block %s: %w", r.TxHash.Hex(), r.BlockNumber, reason(callErr))
}

// behindTime is how long a node may be behind itself: it tells of a block before it has indexed the transactions in it, and
// answers questions about them with errors until then.
const behindTime = 10 * time.Second

// patient asks again while the node answers with an error. It is for questions that nothing can be wrong with.
func patient[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	tick := time.NewTicker(receiptInterval)
	defer tick.Stop()
	for began := time.Now(); ; {
		v, err := ask()
		var answered rpc.Error
		if err == nil || !errors.As(err, &answered) || time.Since(began) > behindTime {
			return v, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v, err
		}
	}
}

// Query calls a method of a contract that changes nothing and returns its results.
func (c *Client) Query(ctx context.Context, contract abi.Contract, method string, args ...any) ([]any, error) {
	data, err := contract.Pack(method, args...)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "%s.%s: %w", contract.Name, method, err)
	}
	to := contract.Address
	out, err := c.eth.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
	if err != nil {
		return nil, c.explain(contract.Name+"."+method, err)
	}
	values, err := contract.Unpack(method, out)
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "%s.%s: the answer of %s: %w", contract.Name, method, c.url, err)
	}
	return values, nil
}

// Transact calls a method of a contract in a transaction, sending value along, and waits as Send does.
func (c *Client) Transact(ctx context.Context, k wallet.Key, contract abi.Contract, value mesh.Wei, method string, args ...any) (*Receipt, error) {
	data, err := contract.Pack(method, args...)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "%s.%s: %w", contract.Name, method, err)
	}
	return c.Send(ctx, k, Call{To: mesh.Account(contract.Address), Value: value, Data: data})
}

// explain turns an error of the JSON-RPC client into one of ours: what the node answered is Invalid, no answer is
// Unavailable.
func (c *Client) explain(op string, err error) error {
	var answered rpc.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", op, err)
	case errors.As(err, &answered):
		return mesh.Errorf(mesh.Invalid, "%s: the value layer refused: %w", op, reason(err))
	case errors.Is(err, ethereum.NotFound):
		return mesh.Errorf(mesh.NotFound, "%s: %w", op, err)
	case errors.Is(err, context.DeadlineExceeded):
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s: no answer from %s in time", op, c.url), "see how the network is: stratos status")
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s: the value layer does not answer: %w", op, err), "see how the network is: stratos status")
}

// reason decodes what a contract said when it reverted.
func reason(err error) error {
	var data rpc.DataError
	if !errors.As(err, &data) {
		return err
	}
	text, ok := data.ErrorData().(string)
	if !ok {
		return err
	}
	if why, unpackErr := ethabi.UnpackRevert(common.FromHex(text)); unpackErr == nil {
		return errors.New(why)
	}
	return err
}
