package sim_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	ethabi "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// A wager is a contract in which two bet on what a program says; see testdata/wager.
type wager struct {
	t        *testing.T
	eth      *ethclient.Client
	contract *bind.BoundContract
	address  common.Address
	opts     *bind.TransactOpts
}

// newWager deploys one with a stake, for bob.
func newWager(t *testing.T, zero, other common.Address, stake *big.Int) *wager {
	t.Helper()
	b, err := os.ReadFile("testdata/wager/Wager.json")
	if err != nil {
		t.Fatal(err)
	}
	var artifact struct {
		ABI      ethabi.ABI `json:"abi"`
		Bytecode string     `json:"bytecode"`
		Orders   ethabi.ABI `json:"orders"`
	}
	if err := json.Unmarshal(b, &artifact); err != nil {
		t.Fatal(err)
	}
	for name, m := range abi.SDC().Methods { // what contracts are compiled with is what the chain decodes by
		if got := artifact.Orders.Methods[name]; got.Sig != m.Sig || got.StateMutability != m.StateMutability || !slices.EqualFunc(got.Outputs, m.Outputs, func(a, b ethabi.Argument) bool { return a.Type.String() == b.Type.String() }) {
			t.Errorf("protocol/abi/sdc.sol has %q, sdc.json %q", got.String(), m.String())
		}
	}
	_, p, _ := shared.home(t)
	w := &wager{t: t}
	if w.eth, err = ethclient.DialContext(t.Context(), p.Endpoints.Eth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.eth.Close)
	key, err := crypto.HexToECDSA(strings.TrimPrefix(shared.key(t, "bob").Secret(), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	if w.opts, err = bind.NewKeyedTransactorWithChainID(key, new(big.Int).SetUint64(p.EVMChainID)); err != nil {
		t.Fatal(err)
	}
	w.opts.Context, w.opts.Value = t.Context(), stake
	address, tx, contract, err := bind.DeployContract(w.opts, artifact.ABI, common.FromHex(artifact.Bytecode), w.eth, zero, other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bind.WaitDeployed(t.Context(), w.eth, tx); err != nil {
		t.Fatal(err)
	}
	w.contract, w.address = contract, address
	return w
}

// call sends a transaction to the wager.
func (w *wager) call(value *big.Int, method string, args ...any) error {
	w.t.Helper()
	w.opts.Value = value
	tx, err := w.contract.Transact(w.opts, method, args...)
	if err != nil {
		return err
	}
	r, err := bind.WaitMined(w.t.Context(), w.eth, tx)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Status != 1 {
		return fmt.Errorf("transaction %s failed", tx.Hash())
	}
	return nil
}

func (w *wager) view(method string) any {
	w.t.Helper()
	var out []any
	if err := w.contract.Call(&bind.CallOpts{Context: w.t.Context()}, &out, method); err != nil {
		w.t.Fatal(err)
	}
	return out[0]
}

func (w *wager) balance(a common.Address) *big.Int {
	w.t.Helper()
	b, err := w.eth.BalanceAt(w.t.Context(), a, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// A contract orders a run of a program, somebody takes the order and has it run on nodes, more than two thirds of the authorities say what came of it, he
// is paid, and the contract pays who has bet on that.
func TestContractOrdersTask(t *testing.T) {
	objects.Lock()
	defer objects.Unlock()
	const program = "testdata/wager/prime.wasm"
	mustCLI(t, "mb", "stratos://takers")
	r, stake, price := random(t), mesh.Stos(5).Big(), mesh.Stos(2).Big()
	for _, c := range []struct {
		number, output string
		winner         int
	}{{"1000003", "1000003 is a prime\n", 0}, {"1000001", "", 1}} {
		players := []common.Address{common.BytesToAddress(content(r, 20)), common.BytesToAddress(content(r, 20))}
		w := newWager(t, players[0], players[1], stake)
		text := strings.TrimSpace(mustCLI(t, "order", "create", program, c.number, "--text"))
		if err := w.call(price, "ask", common.FromHex(text), uint64(5000)); err != nil {
			t.Fatal(err)
		}
		if err := w.call(nil, "settle"); err == nil {
			t.Error("the contract has paid before there is an answer")
		}
		number := w.view("number").(uint64)
		take := []string{"order", "take", fmt.Sprint(number), "--output", fmt.Sprintf("stratos://takers/%d", number), "--module"}
		if _, errOut, code := runCLI(t, append(take, jobModules+"words.wasm")...); code != mesh.Invalid.ExitCode() {
			t.Errorf("taken with another module: exit %d, %s", code, errOut)
		}
		if _, errOut, code := runCLI(t, append(take, program, "--budget", "1000000oz")...); code != mesh.Exhausted.ExitCode() {
			t.Errorf("taken without the ozone for it: exit %d, %s", code, errOut)
		}
		type order struct {
			Order uint64
			State string
			Owner string
		}
		var open []order
		if err := json.Unmarshal([]byte(mustCLI(t, "order", "list", "--json")), &open); err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(open, func(o order) bool { return o.Order == number }); i < 0 || open[i].State != "open" || common.HexToAddress(open[i].Owner) != w.address {
			t.Errorf("open are %+v", open)
		}
		taker := common.Address(shared.key(t, "alice").Account())
		before := w.balance(taker)
		t.Log(mustCLI(t, append(take, program)...))
		earned := new(big.Int).Sub(w.balance(taker), before)
		if earned.Sign() <= 0 || earned.Cmp(price) > 0 {
			t.Errorf("the taker has %s wei more, of a price of %s", earned, price)
		}
		if c.output != "" { // what exits with another code than 0 has none
			if got := mustCLI(t, "cp", fmt.Sprintf("stratos://takers/%d/part-00000", number), "-"); got != c.output {
				t.Errorf("the program wrote %q", got)
			}
		}
		if err := w.call(nil, "settle"); err != nil {
			t.Fatal(err)
		}
		sum := blake3.Sum256([]byte(c.output))
		if got := w.view("output").([32]byte); !bytes.Equal(got[:], sum[:]) {
			t.Errorf("the contract has output %x, want %x", got, sum)
		}
		if won, lost := w.balance(players[c.winner]), w.balance(players[1-c.winner]); won.Cmp(stake) != 0 || lost.Sign() != 0 {
			t.Errorf("who has won has %s wei, who has lost %s", won, lost)
		}
		if w.call(nil, "settle") == nil {
			t.Error("the contract has paid twice")
		}
		if shown := mustCLI(t, "order", "show", fmt.Sprint(number)); !strings.Contains(shown, "answered") || !strings.Contains(shown, hex.EncodeToString(sum[:])) {
			t.Errorf("the order is shown as\n%s", shown)
		}
		if _, errOut, code := runCLI(t, append(take, program)...); code != mesh.Conflict.ExitCode() {
			t.Errorf("taken twice: exit %d, %s", code, errOut)
		}
	}
}
