package chain_test

import (
	"context"
	"errors"
	"math/big"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	stabi "github.com/stratosmesh/stratos/protocol/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chainID = 20481

// A ledger is a small chain with the Ethereum interface: one block a transaction, a base fee of 10 wei, 21000 gas.
// The precompile of package abi reverts with "no" or, with lateRevert, only when it is carried out.
type ledger struct {
	mu         sync.Mutex
	balances   map[common.Address]*big.Int
	nonces     map[common.Address]uint64
	txs        map[common.Hash]*types.Transaction
	receipts   map[common.Hash]*types.Receipt
	height     int64
	hold       bool // makes no blocks
	lateRevert bool
	behind     int // questions about blocks and receipts that are answered with errors first
	calls      int
}

type revert struct{ why string }

func (e revert) Error() string  { return "execution reverted" }
func (e revert) ErrorCode() int { return 3 }
func (e revert) ErrorData() any {
	s, _ := abi.NewType("string", "", nil)
	b, _ := abi.Arguments{{Type: s}}.Pack(e.why)
	return hexutil.Encode(append(crypto.Keccak256([]byte("Error(string)"))[:4], b...))
}

type callArgs struct {
	To *common.Address `json:"to"`
}

func (l *ledger) locked() func() { l.mu.Lock(); l.calls++; return l.mu.Unlock }

func (l *ledger) ChainId() *hexutil.Big {
	defer l.locked()()
	return (*hexutil.Big)(big.NewInt(chainID))
}
func (l *ledger) BlockNumber() hexutil.Uint64 {
	defer l.locked()()
	return hexutil.Uint64(l.height)
}
func (l *ledger) MaxPriorityFeePerGas() *hexutil.Big { return (*hexutil.Big)(big.NewInt(1)) }
func (l *ledger) GetBalance(a common.Address, _ string) *hexutil.Big {
	defer l.locked()()
	return (*hexutil.Big)(l.balance(a))
}
func (l *ledger) GetTransactionCount(a common.Address, _ string) hexutil.Uint64 {
	defer l.locked()()
	return hexutil.Uint64(l.nonces[a])
}
func (l *ledger) GetBlockByNumber(string, bool) (*types.Header, error) {
	defer l.locked()()
	return &types.Header{Number: big.NewInt(l.height), BaseFee: big.NewInt(10), Difficulty: new(big.Int)}, l.indexing()
}

func (l *ledger) indexing() error {
	if l.behind == 0 {
		return nil
	}
	l.behind--
	return errors.New("tx not found")
}

func (l *ledger) EstimateGas(args callArgs, _ *string) (hexutil.Uint64, error) {
	defer l.locked()()
	if *args.To == stabi.Send().Address && !l.lateRevert {
		return 0, revert{"no"}
	}
	return 21000, nil
}
func (l *ledger) Call(args callArgs, _ string) (hexutil.Bytes, error) {
	if *args.To == stabi.Send().Address {
		return nil, revert{"late no"}
	}
	return nil, errors.New("nothing there")
}
func (l *ledger) GetTransactionByHash(h common.Hash) *types.Transaction {
	defer l.locked()()
	return l.txs[h]
}
func (l *ledger) GetTransactionReceipt(h common.Hash) (*types.Receipt, error) {
	defer l.locked()()
	return l.receipts[h], l.indexing()
}

func (l *ledger) SendRawTransaction(raw hexutil.Bytes) (common.Hash, error) {
	defer l.locked()()
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return common.Hash{}, err
	}
	from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(chainID)), tx)
	if err != nil {
		return common.Hash{}, err
	}
	if tx.Nonce() != l.nonces[from] {
		return common.Hash{}, errors.New("nonce too low")
	}
	if l.hold {
		return tx.Hash(), nil
	}
	l.height++
	l.nonces[from]++
	fee := big.NewInt(21000 * 11)
	r := &types.Receipt{Type: 2, Status: 1, TxHash: tx.Hash(), BlockNumber: big.NewInt(l.height), GasUsed: 21000,
		EffectiveGasPrice: big.NewInt(11), Logs: []*types.Log{}}
	if l.lateRevert {
		r.Status = 0
	} else {
		l.balances[*tx.To()] = new(big.Int).Add(l.balance(*tx.To()), tx.Value())
		fee.Add(fee, tx.Value())
	}
	l.balances[from] = new(big.Int).Sub(l.balance(from), fee)
	l.txs[tx.Hash()], l.receipts[tx.Hash()] = tx, r
	return tx.Hash(), nil
}

func (l *ledger) balance(a common.Address) *big.Int {
	if b := l.balances[a]; b != nil {
		return b
	}
	return new(big.Int)
}

func serve(t *testing.T, l *ledger) string {
	t.Helper()
	s := rpc.NewServer()
	if err := s.RegisterName("eth", l); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.Close(); s.Stop() })
	return srv.URL
}

func fixture(t *testing.T) (*ledger, *chain.Client, wallet.Key) {
	t.Helper()
	k, err := wallet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{
		balances: map[common.Address]*big.Int{common.Address(k.Account()): big.NewInt(1_000_000)},
		nonces:   map[common.Address]uint64{}, txs: map[common.Hash]*types.Transaction{}, receipts: map[common.Hash]*types.Receipt{},
	}
	c, err := chain.Dial(t.Context(), serve(t, l), chainID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return l, c, k
}

func wei(n int64) mesh.Wei { return mesh.NewWei(big.NewInt(n)) }

func TestSend(t *testing.T) {
	_, c, k := fixture(t)
	to := mesh.Account{7}
	for i := range 2 {
		r, err := c.Send(t.Context(), k, chain.Call{To: to, Value: wei(100)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Block != mesh.Height(i+1) || r.Fee.Cmp(wei(231_000)) != 0 {
			t.Errorf("receipt %+v", r)
		}
	}
	for a, want := range map[mesh.Account]int64{to: 200, k.Account(): 1_000_000 - 2*231_000 - 200} {
		if got, err := c.Balance(t.Context(), a); err != nil || got.Cmp(wei(want)) != 0 {
			t.Errorf("balance of %s = %s, %v", a, got, err)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		value int64
		to    mesh.Account
		setup func(*ledger)
		want  mesh.Kind
		text  string
	}{
		{"more than is there", 1_000_001, mesh.Account{7}, nil, mesh.Exhausted, ""},
		{"no room for fees", 999_999, mesh.Account{7}, nil, mesh.Exhausted, ""},
		{"revert", 0, mesh.Account(stabi.Send().Address), nil, mesh.Invalid, "send: the value layer refused: no"},
		{"revert in the block", 0, mesh.Account(stabi.Send().Address), func(l *ledger) { l.lateRevert = true }, mesh.Invalid, "late no"},
	} {
		l, client, k := fixture(t)
		if c.setup != nil {
			c.setup(l)
		}
		_, err := client.Send(t.Context(), k, chain.Call{To: c.to, Value: wei(c.value)})
		if err == nil || mesh.KindOf(err) != c.want || c.text != "" && !endsWith(err.Error(), c.text) {
			t.Errorf("%s: %v (%v)", c.name, err, mesh.KindOf(err))
		}
		if c.want == mesh.Exhausted && mesh.HintOf(err) == "" {
			t.Errorf("%s: no hint", c.name)
		}
	}
}

func endsWith(s, end string) bool { return len(s) >= len(end) && s[len(s)-len(end):] == end }

func TestWaitGivesUp(t *testing.T) {
	l, c, k := fixture(t)
	l.hold = true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Send(ctx, k, chain.Call{To: mesh.Account{7}}); mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" {
		t.Fatalf("Send = %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := c.Balance(stopped, mesh.Account{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted Balance = %v", err)
	}
}

// A node that tells of a block before it knows its transactions answers with errors for a moment.
func TestNodeBehindItself(t *testing.T) {
	l, c, k := fixture(t)
	l.behind = 2
	sent, err := c.Submit(t.Context(), k, chain.Call{To: mesh.Account{7}, Value: wei(5)})
	if err != nil || l.behind != 0 {
		t.Fatalf("Submit = %v, %d errors left", err, l.behind)
	}
	l.behind = 2
	if r, err := c.Wait(t.Context(), sent); err != nil || r.Block != 1 || l.behind != 0 {
		t.Fatalf("Wait = %+v, %v, %d errors left", r, err, l.behind)
	}
	l.behind = 1_000_000
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if _, err := c.Fees(ctx); err == nil {
		t.Error("fees of a node that knows none")
	}
}

func TestQueryAndTransact(t *testing.T) {
	l, c, k := fixture(t)
	send := stabi.Send()
	to, amount := common.Address{1}, big.NewInt(1)
	if _, err := c.Query(t.Context(), send, "send", to, amount); mesh.KindOf(err) != mesh.Invalid || !endsWith(err.Error(), "late no") {
		t.Errorf("Query = %v", err)
	}
	before := l.calls
	if _, err := c.Transact(t.Context(), k, send, mesh.Wei{}, "send", to); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too few arguments: %v", err)
	}
	if l.calls != before {
		t.Error("asked the chain about a call that cannot be encoded")
	}
}

func TestDial(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	_, err := chain.Dial(t.Context(), srv.URL, chainID)
	if mesh.KindOf(err) != mesh.Unavailable || mesh.HintOf(err) == "" {
		t.Errorf("no node: %v", err)
	}
	if _, err := chain.Dial(t.Context(), serve(t, &ledger{}), 1); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("other chain: %v", err)
	}
	if _, err := chain.Dial(t.Context(), "nonsense://x", chainID); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("no URL: %v", err)
	}
}
