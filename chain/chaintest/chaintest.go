// Package chaintest runs the real application in memory, block by block, for the tests of package chain and below.
// There is no CometBFT: a test says what stands in each block and reads the committed state.
package chaintest

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	ethtypes "github.com/ethereum/go-ethereum/core/types"
	corevm "github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/viper"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/baseapp"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	srvflags "github.com/cosmos/evm/server/flags"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/chain/genesis"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

// Main configures the process and runs the tests; every test package calls it from TestMain.
func Main(m *testing.M) {
	app.Configure()
	// With the EVM's default chain id and without its extra opcodes, several applications can follow one another in
	// a process.
	evmtypes.DefaultCosmosEVMActivators = map[int]func(*corevm.JumpTable){}
	os.Exit(m.Run())
}

// Gas that an Ethereum transaction of a test may use.
const txGas = 50_000_000

// A Chain is an application and where it stands.
type Chain struct {
	*app.App
	T       testing.TB
	Spec    *devspec.Spec
	Genesis []byte // genesis.json
	Network mesh.NetworkID
	Height  int64

	time       time.Time
	proposer   []byte // the only validator
	power      int64
	lastCommit abci.CommitInfo
	blocks     [][][]byte // the transactions of every block
}

// A Wallet is an account whose key the test holds.
type Wallet struct {
	Key     *ecdsa.PrivateKey
	Address common.Address
}

// NewWallet derives a wallet from a name.
func NewWallet(name string) Wallet {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("wallet of " + name)))
	if err != nil {
		panic(err)
	}
	return Wallet{key, crypto.PubkeyToAddress(key.PublicKey)}
}

// Account is the wallet's account.
func (w Wallet) Account() mesh.Account { return mesh.Account(w.Address) }

// SDK is the wallet's account as the SDK's modules name it.
func (w Wallet) SDK() sdk.AccAddress { return w.Address.Bytes() }

// Rich is the balance of every wallet named in New.
var Rich = mesh.Stos(1_000_000)

// New starts a chain of one validator on which the named wallets are rich. edit, if not nil, changes the network's
// description first.
func New(t testing.TB, edit func(*devspec.Spec), wallets ...string) *Chain {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	spec := &devspec.Spec{
		ChainID:        "stratos-test-1",
		EVMChainID:     evmtypes.DefaultEVMChainID,
		GenesisTime:    &now,
		EpochBlocks:    4,
		MaturityEpochs: 2,
		BlockInterval:  500,
		Validators: []devspec.Validator{{
			Name:     "validator-0",
			Home:     filepath.Join(t.TempDir(), "validator-0"),
			Operator: NewWallet("validator-0").Account(),
			Stake:    mesh.Stos(1000),
			Ports:    devspec.Ports{P2P: 1, RPC: 2, Eth: 3, EthWS: 4, REST: 5, GRPC: 6},
		}},
	}
	for _, name := range wallets {
		spec.Accounts = append(spec.Accounts, devspec.Account{Name: name, Address: NewWallet(name).Account(), Balance: Rich})
	}
	if edit != nil {
		edit(spec)
	}
	result, err := genesis.Write(spec)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(spec.Validators[0].Home, "config", "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := FromGenesis(t, doc)
	c.Spec = spec
	if c.Network != result.NetworkID {
		t.Fatalf("the chain believes to be network %s, devnet-init said %s", c.Network, result.NetworkID)
	}
	return c
}

// FromGenesis starts a chain from the bytes of a genesis.json.
func FromGenesis(t testing.TB, doc []byte) *Chain {
	t.Helper()
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "config", "genesis.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := genutiltypes.AppGenesisFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cometDoc, err := g.ToGenesisDoc()
	if err != nil {
		t.Fatal(err)
	}
	opts := viper.New()
	opts.Set("home", home)
	opts.Set(srvflags.EVMChainID, uint64(evmtypes.DefaultEVMChainID))
	c := &Chain{T: t, Genesis: doc, Network: app.NetworkOf(doc), Height: cometDoc.InitialHeight - 1, time: cometDoc.GenesisTime}
	c.App = app.New(log.NewNopLogger(), dbm.NewMemDB(), c.Network, opts, baseapp.SetChainID(cometDoc.ChainID),
		baseapp.SetMempool(mempool.NoOpMempool{}))
	t.Cleanup(func() { _ = c.Close() })
	params := cometDoc.ConsensusParams.ToProto()
	res, err := c.InitChain(&abci.RequestInitChain{
		Time:            cometDoc.GenesisTime,
		ChainId:         cometDoc.ChainID,
		ConsensusParams: &params,
		AppStateBytes:   cometDoc.AppState,
		InitialHeight:   cometDoc.InitialHeight,
		Validators:      cmttypes.TM2PB.ValidatorUpdates(cmttypes.NewValidatorSet(validators(cometDoc))),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.proposer, c.power = ed25519Address(res.Validators[0].PubKey.GetEd25519()), res.Validators[0].Power
	c.Block()
	return c
}

// Block commits a block of these transactions and returns what became of it.
func (c *Chain) Block(txs ...[]byte) *abci.ResponseFinalizeBlock {
	c.T.Helper()
	c.blocks = append(c.blocks, txs)
	c.Height++
	c.time = c.time.Add(500 * time.Millisecond)
	res, err := c.FinalizeBlock(&abci.RequestFinalizeBlock{
		Height: c.Height, Time: c.time, Txs: txs, ProposerAddress: c.proposer,
		DecidedLastCommit: c.lastCommit,
	})
	if err != nil {
		c.T.Fatalf("block %d: %v", c.Height, err)
	}
	if _, err := c.Commit(); err != nil {
		c.T.Fatalf("commit %d: %v", c.Height, err)
	}
	c.lastCommit = abci.CommitInfo{Votes: []abci.VoteInfo{{
		Validator: abci.Validator{Address: c.proposer, Power: c.power}, BlockIdFlag: cmtproto.BlockIDFlagCommit,
	}}}
	return res
}

// Skip commits n empty blocks.
func (c *Chain) Skip(n int) {
	c.T.Helper()
	for range n {
		c.Block()
	}
}

// Ctx reads the committed state. What is written through it is lost.
func (c *Chain) Ctx() sdk.Context {
	ctx, _ := c.NewUncachedContext(false, cmtHeader(c.Spec, c.Height, c.time, c.proposer)).CacheContext()
	return ctx
}

// Tx signs an Ethereum transaction of a wallet with its next nonce.
func (c *Chain) Tx(from Wallet, to *common.Address, value *big.Int, data []byte) []byte {
	return c.TxAt(from, c.Nonce(from), to, value, data)
}

// Nonce is the number of the wallet's next transaction.
func (c *Chain) Nonce(w Wallet) uint64 { return c.EVMKeeper.GetNonce(c.Ctx(), w.Address) }

// TxAt is Tx with a chosen nonce.
func (c *Chain) TxAt(from Wallet, nonce uint64, to *common.Address, value *big.Int, data []byte) []byte {
	c.T.Helper()
	if value == nil {
		value = new(big.Int)
	}
	signer := ethtypes.LatestSignerForChainID(new(big.Int).SetUint64(evmtypes.DefaultEVMChainID))
	price := big.NewInt(2 * app.MinGasPrice)
	tx, err := ethtypes.SignNewTx(from.Key, signer, &ethtypes.DynamicFeeTx{
		ChainID: signer.ChainID(), Nonce: nonce, GasTipCap: big.NewInt(1), GasFeeCap: price, Gas: txGas, To: to, Value: value, Data: data,
	})
	if err != nil {
		c.T.Fatal(err)
	}
	var msg evmtypes.MsgEthereumTx
	if err := msg.FromSignedEthereumTx(tx, signer); err != nil {
		c.T.Fatal(err)
	}
	built, err := msg.BuildTx(c.Encoding().TxConfig.NewTxBuilder(), app.Denom)
	if err != nil {
		c.T.Fatal(err)
	}
	b, err := c.Encoding().TxConfig.TxEncoder()(built)
	if err != nil {
		c.T.Fatal(err)
	}
	return b
}

// Send commits a block of one Ethereum transaction. The error is the transaction's.
func (c *Chain) Send(from Wallet, to common.Address, value *big.Int, data []byte) (*evmtypes.MsgEthereumTxResponse, error) {
	c.T.Helper()
	return c.Result(c.Block(c.Tx(from, &to, value, data)).TxResults[0])
}

// Result decodes what an Ethereum transaction returned; a reverted one is an error with its reason.
func (c *Chain) Result(r *abci.ExecTxResult) (*evmtypes.MsgEthereumTxResponse, error) {
	if r.Code != 0 {
		return nil, fmt.Errorf("refused: %s", r.Log)
	}
	res, err := evmtypes.DecodeTxResponse(r.Data)
	if err != nil {
		return nil, err
	}
	if res.Failed() {
		return res, fmt.Errorf("%s: %s", res.VmError, revertReason(res.Ret))
	}
	return res, nil
}

// Query calls a view over the committed state, as eth_call does.
func (c *Chain) Query(from, to common.Address, data []byte) ([]byte, error) {
	args, err := json.Marshal(evmtypes.TransactionArgs{From: &from, To: &to, Input: (*hexutil.Bytes)(&data)})
	if err != nil {
		return nil, err
	}
	res, err := c.EVMKeeper.EthCall(c.Ctx(), &evmtypes.EthCallRequest{Args: args, GasCap: txGas})
	if err != nil {
		return nil, err
	}
	if res.Failed() {
		return nil, fmt.Errorf("%s: %s", res.VmError, revertReason(res.Ret))
	}
	return res.Ret, nil
}

// Balance is what the bank says an account holds, in wei. It fails the test when the EVM says otherwise.
func (c *Chain) Balance(a []byte) *big.Int {
	c.T.Helper()
	ctx := c.Ctx()
	bank := c.BankKeeper.GetBalance(ctx, a, app.Denom).Amount.BigInt()
	if evm := c.EVMKeeper.GetBalance(ctx, common.BytesToAddress(a)).ToBig(); evm.Cmp(bank) != 0 {
		c.T.Fatalf("account %x: the bank says %s, the EVM %s", a, bank, evm)
	}
	return bank
}

// CheckSupply fails the test when the balances do not sum to the supply, or the supply is not want.
func (c *Chain) CheckSupply(want *big.Int) {
	c.T.Helper()
	ctx := c.Ctx()
	sum := new(big.Int)
	c.BankKeeper.IterateAllBalances(ctx, func(_ sdk.AccAddress, coin sdk.Coin) bool {
		sum.Add(sum, coin.Amount.BigInt())
		return false
	})
	supply := c.BankKeeper.GetSupply(ctx, app.Denom).Amount.BigInt()
	if sum.Cmp(supply) != 0 || supply.Cmp(want) != 0 {
		c.T.Fatalf("balances sum to %s, the supply is %s, want %s", sum, supply, want)
	}
}

// Supply is the whole supply in wei.
func (c *Chain) Supply() *big.Int {
	return c.BankKeeper.GetSupply(context.Context(c.Ctx()), app.Denom).Amount.BigInt()
}

// CheckInvariants fails the test when coins or ozone do not add up over all modules.
func (c *Chain) CheckInvariants() {
	c.T.Helper()
	if err := c.App.CheckInvariants(c.Ctx()); err != nil {
		c.T.Fatal(err)
	}
}

// A Context is what keepers work in.
type Context = sdk.Context

// Write changes the state outside of any transaction, with the next block: for what no transaction of a test could.
func (c *Chain) Write(change func(Context) error) {
	c.T.Helper()
	if err := change(c.NewUncachedContext(false, cmtHeader(c.Spec, c.Height, c.time, c.proposer))); err != nil {
		c.T.Fatal(err)
	}
	c.Block()
}

// Replay runs the same blocks in a fresh application. Its state is c's unless something that is not in the blocks has
// a say in it.
func (c *Chain) Replay() *Chain {
	c.T.Helper()
	again := FromGenesis(c.T, c.Genesis)
	again.Spec = c.Spec
	for _, txs := range c.blocks[len(again.blocks):] {
		again.Block(txs...)
	}
	return again
}

// Restart exports the state, starts a new network from it and returns that.
func (c *Chain) Restart() *Chain {
	c.T.Helper()
	exported, err := c.Export(nil)
	if err != nil {
		c.T.Fatal(err)
	}
	params := cmttypes.ConsensusParamsFromProto(exported.ConsensusParams)
	doc, err := json.Marshal(&genutiltypes.AppGenesis{AppName: app.Name, ChainID: c.Spec.ChainID, GenesisTime: c.time,
		InitialHeight: exported.Height, AppState: exported.AppState,
		Consensus: &genutiltypes.ConsensusGenesis{Validators: exported.Validators, Params: &params}})
	if err != nil {
		c.T.Fatal(err)
	}
	again := FromGenesis(c.T, doc)
	again.Spec = c.Spec
	return again
}
