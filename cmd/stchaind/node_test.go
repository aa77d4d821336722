package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	rpcclient "github.com/cometbft/cometbft/rpc/client"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	"github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/accounts/abi/bind"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/chainproof"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/outbox"
)

// asCommand makes the test binary be the command itself, so that tests start real processes without another link.
const asCommand = "STCHAIND_TEST_AS_COMMAND"

var captureTo = flag.String("capture-proofs", "", "write what TestProofs saw into this file, as test data of package chainproof")

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// A validator is a child process.
type validator struct {
	t      *testing.T
	spec   devspec.Validator
	cmd    *exec.Cmd
	log    *os.File
	client *rpchttp.HTTP
}

// initNetwork writes the homes of a network of validators and returns them, not yet started.
func initNetwork(t *testing.T, validators int) (*devspec.Result, []*validator) {
	t.Helper()
	dir := t.TempDir()
	spec := devspec.Spec{ChainID: "stratos-test-1", EVMChainID: 20481, EpochBlocks: 10, MaturityEpochs: 2, BlockInterval: 200}
	chaintest.WithMembers(&spec, 3, 3)
	ports := freePorts(t, 6*validators)
	for i := range validators {
		p := ports[6*i:]
		name := fmt.Sprintf("validator-%d", i)
		spec.Validators = append(spec.Validators, devspec.Validator{Name: name, Home: filepath.Join(dir, name),
			Operator: chaintest.NewWallet(name).Account(), Stake: mesh.Stos(1000),
			Ports: devspec.Ports{P2P: p[0], RPC: p[1], Eth: p[2], EthWS: p[3], REST: p[4], GRPC: p[5]}})
	}
	spec.Accounts = []devspec.Account{{Name: "alice", Address: chaintest.NewWallet("alice").Account(), Balance: mesh.Stos(100), Ozone: 1000}}
	doc, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("devnet-init", "--spec", "-")
	cmd.Stdin = bytes.NewReader(doc)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	result := new(devspec.Result)
	if err := json.Unmarshal(out, result); err != nil {
		t.Fatal(err)
	}
	var list []*validator
	for _, v := range spec.Validators {
		client, err := rpchttp.New(fmt.Sprintf("http://127.0.0.1:%d", v.Ports.RPC), "/websocket")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &validator{t: t, spec: v, client: client})
	}
	return result, list
}

func freePorts(t *testing.T, n int) (ports []uint16) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, uint16(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

func (v *validator) start() {
	v.t.Helper()
	var err error
	if v.log, err = os.OpenFile(v.spec.Home+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		v.t.Fatal(err)
	}
	v.cmd = command("start", "--home", v.spec.Home)
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	started := v.cmd
	v.t.Cleanup(func() {
		_ = started.Process.Kill()
		_ = started.Wait()
		v.log.Close()
	})
}

// stop ends the process by a signal and returns how it ended.
func (v *validator) stop(s syscall.Signal) error {
	v.t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		v.t.Fatal(err)
	}
	return v.cmd.Wait()
}

// await polls until the validator has reached a height.
func (v *validator) await(height int64) {
	v.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		s, err := v.client.Status(context.Background())
		if err == nil && s.SyncInfo.LatestBlockHeight >= height {
			return
		}
		select {
		case <-deadline:
			b, _ := os.ReadFile(v.spec.Home + ".log")
			v.t.Fatalf("%s did not reach height %d (%v); its log ends:\n%s", v.spec.Name, height, err, b[max(0, len(b)-4000):])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (v *validator) lightBlock(height int64) *types.LightBlock {
	v.t.Helper()
	ctx := context.Background()
	commit, err := v.client.Commit(ctx, &height)
	if err != nil {
		v.t.Fatal(err)
	}
	page, per := 1, 100
	vals, err := v.client.Validators(ctx, &height, &page, &per)
	if err != nil {
		v.t.Fatal(err)
	}
	set, err := types.ValidatorSetFromExistingValidators(vals.Validators)
	if err != nil {
		v.t.Fatal(err)
	}
	return &types.LightBlock{SignedHeader: &commit.SignedHeader, ValidatorSet: set}
}

func (v *validator) query(key []byte, height int64) chainproof.Answer {
	v.t.Helper()
	res, err := v.client.ABCIQueryWithOptions(context.Background(), "/store/"+outbox.StoreKey+"/key", key,
		rpcclient.ABCIQueryOptions{Height: height, Prove: true})
	if err != nil || res.Response.Code != 0 {
		v.t.Fatalf("query: %v %s", err, res.Response.Log)
	}
	return chainproof.Answer{Height: res.Response.Height, Value: res.Response.Value, Proof: res.Response.ProofOps}
}

// A client with nothing but the first light block proves every fact of the genesis to itself.
func TestProofs(t *testing.T) {
	_, vs := initNetwork(t, 1)
	v := vs[0]
	v.start()
	v.await(6)
	policy := chainproof.DefaultPolicy("stratos-test-1")
	trusted, block := v.lightBlock(1), v.lightBlock(5)
	if err := policy.Verify(trusted, block, time.Now()); err != nil {
		t.Fatal(err)
	}
	head := v.query(outbox.HeadKey(), 4)
	n, err := chainproof.Head(block, head)
	if err != nil {
		t.Fatal(err)
	}
	if n != 6 { // ozone of alice, three nodes, the authorities, the parameters
		t.Errorf("the genesis left %d facts, want 6", n)
	}
	for s := range n {
		if _, err := chainproof.Record(block, outbox.Sequence(s), v.query(outbox.RecordKey(outbox.Sequence(s)), 4)); err != nil {
			t.Errorf("record %d: %v", s, err)
		}
	}
	if *captureTo != "" {
		capture(t, *captureTo, v, trusted, block, head, v.query(outbox.RecordKey(0), 4))
	}
	if err := v.stop(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

func capture(t *testing.T, file string, v *validator, trusted, block *types.LightBlock, head, record chainproof.Answer) {
	t.Helper()
	encode := func(b *types.LightBlock) []byte {
		out, err := chainproof.EncodeLightBlock(b)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	answer := func(a chainproof.Answer) map[string]any {
		proof, err := a.Proof.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"height": a.Height, "value": a.Value, "proof": proof}
	}
	out, err := json.MarshalIndent(map[string]any{"chain_id": "stratos-test-1", "now": block.Time.Add(time.Second), "trusted": encode(trusted),
		"adjacent": encode(v.lightBlock(trusted.Height + 1)), "block": encode(block), "head": answer(head), "record": answer(record)}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Four validators; one is killed, the others go on; it comes back, catches up and has the same state; a network of
// which every validator was killed goes on too.
func TestKillAndRestart(t *testing.T) {
	_, vs := initNetwork(t, 4)
	for _, v := range vs {
		v.start()
	}
	for _, v := range vs {
		v.await(4)
	}
	_ = vs[3].stop(syscall.SIGKILL)
	s, err := vs[0].client.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	vs[0].await(s.SyncInfo.LatestBlockHeight + 4)
	vs[3].start()
	vs[3].await(s.SyncInfo.LatestBlockHeight + 6)
	same := s.SyncInfo.LatestBlockHeight + 5
	want := vs[0].lightBlock(same).AppHash
	if got := vs[3].lightBlock(same).AppHash; !bytes.Equal(got, want) {
		t.Errorf("after its restart the validator has state %s, the others %s", got, want)
	}
	for _, v := range vs {
		_ = v.stop(syscall.SIGKILL)
	}
	for _, v := range vs {
		v.start()
	}
	for _, v := range vs {
		v.await(same + 4)
	}
	for _, v := range vs {
		if err := v.stop(syscall.SIGINT); err != nil {
			t.Errorf("%s on SIGINT: %v", v.spec.Name, err)
		}
	}
}

// An Ethereum client sends coins and buys ozone over JSON-RPC and finds the receipts; the command line reads the same
// state.
func TestEthereumClient(t *testing.T) {
	_, vs := initNetwork(t, 1)
	v := vs[0]
	v.start()
	v.await(2)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	eth, err := ethclient.DialContext(ctx, fmt.Sprintf("http://127.0.0.1:%d", v.spec.Ports.Eth))
	if err != nil {
		t.Fatal(err)
	}
	defer eth.Close()
	alice, bob := chaintest.NewWallet("alice"), chaintest.NewWallet("bob")
	prepay, err := abi.SDS().Pack("prepay", bob.Address)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := bind.NewKeyedTransactorWithChainID(alice.Key, big.NewInt(20481))
	if err != nil {
		t.Fatal(err)
	}
	opts.Context = ctx
	for _, tx := range []struct {
		to    common.Address
		value *big.Int
		data  []byte
		gas   uint64 // 0: estimated
	}{{bob.Address, big.NewInt(5), nil, 21_000}, {abi.SDS().Address, mesh.Stos(1).Big(), prepay, 0}} {
		opts.Value, opts.GasLimit = tx.value, tx.gas
		sent, err := bind.NewBoundContract(tx.to, abi.SDS().ABI, eth, eth, eth).RawTransact(opts, tx.data)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := bind.WaitMined(ctx, eth, sent)
		if err != nil || receipt.Status != 1 {
			t.Fatalf("receipt %+v, %v", receipt, err)
		}
	}
	if got, err := eth.BalanceAt(ctx, bob.Address, nil); err != nil || got.Int64() != 5 {
		t.Errorf("bob has %s wei: %v", got, err)
	}
	out, err := command("query", "sds", "ozone", bob.Account().String(), "--home", v.spec.Home,
		"--node", fmt.Sprintf("tcp://127.0.0.1:%d", v.spec.Ports.RPC), "--output", "json").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`"credited_noz":"99`)) {
		t.Errorf("query: %v\n%s", err, out)
	}
}

// The command line signs a Cosmos transaction with an Ethereum key.
func TestCommands(t *testing.T) {
	_, vs := initNetwork(t, 1)
	v := vs[0]
	v.start()
	v.await(2)
	run := func(args ...string) string {
		t.Helper()
		cmd := command(append(args, "--home", v.spec.Home)...)
		cmd.Stdin = bytes.NewReader([]byte("password\npassword\n"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	node := fmt.Sprintf("tcp://127.0.0.1:%d", v.spec.Ports.RPC)
	alice := chaintest.NewWallet("alice")
	run("keys", "unsafe-import-eth-key", "alice", hex.EncodeToString(crypto.FromECDSA(alice.Key)), "--keyring-backend", "test")
	run("tx", "sds", "prepay", ".", "1.5stos", "--from", "alice", "--keyring-backend", "test", "--chain-id", "stratos-test-1",
		"--node", node, "--gas", "500000", "--gas-prices", "2000000000wei", "--yes")
	status, err := v.client.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v.await(status.SyncInfo.LatestBlockHeight + 2)
	if out := run("query", "sds", "ozone", alice.Account().String(), "--node", node); !strings.Contains(out, `credited_noz: "1499`) {
		t.Errorf("after a prepay of 1.5 STOS:\n%s", out)
	}
	if out := run("status", "--node", node); !strings.Contains(out, "stratos-test-1") {
		t.Errorf("status: %s", out)
	}
	if err := v.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out := run("export"); !strings.Contains(out, `"credited_noz":"1499`) {
		t.Error("the export does not hold what was bought")
	}
}
