package send_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/precompile/send"
	"github.com/stratosmesh/stratos/protocol/abi"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

var (
	alice = chaintest.NewWallet("alice")
	bob   = chaintest.NewWallet("bob")
)

func pack(t *testing.T, method string, args ...any) []byte {
	t.Helper()
	b, err := abi.Send().Pack(method, args...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A plain transfer of Ethereum's, a send and a multiSend move exactly what they say; only fees go elsewhere.
func TestTransfers(t *testing.T) {
	c := chaintest.New(t, nil, "alice")
	supply := c.Supply()
	if _, err := c.Send(alice, bob.Address, big.NewInt(1000), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(alice, abi.Send().Address, nil, pack(t, "send", bob.Address, big.NewInt(20))); err != nil {
		t.Fatal(err)
	}
	carol := common.HexToAddress("0xca01")
	if _, err := c.Send(alice, abi.Send().Address, nil, pack(t, "multiSend", []common.Address{bob.Address, carol, bob.Address},
		[]*big.Int{big.NewInt(1), big.NewInt(7), big.NewInt(3)})); err != nil {
		t.Fatal(err)
	}
	if got := c.Balance(bob.SDK()); got.Int64() != 1024 {
		t.Errorf("bob has %s wei, want 1024", got)
	}
	if got := c.Balance(carol[:]); got.Int64() != 7 {
		t.Errorf("carol has %s wei, want 7", got)
	}
	c.Balance(alice.SDK())
	c.Skip(1)
	c.CheckSupply(supply)
}

func TestRefusals(t *testing.T) {
	c := chaintest.New(t, nil, "alice")
	many := make([]common.Address, send.MaxRecipients+1)
	ones := make([]*big.Int, len(many))
	for i := range many {
		many[i], ones[i] = bob.Address, big.NewInt(1)
	}
	for name, tc := range map[string]struct {
		value *big.Int
		data  []byte
		want  string
	}{
		"module account":      {nil, pack(t, "send", common.BytesToAddress(authtypes.NewModuleAddress(govtypes.ModuleName)), big.NewInt(1)), "takes no coins"},
		"precompile":          {nil, pack(t, "send", abi.Send().Address, big.NewInt(1)), "takes no coins"},
		"nothing":             {nil, pack(t, "send", bob.Address, new(big.Int)), "the amount is 0"},
		"more than there is":  {nil, pack(t, "send", bob.Address, new(big.Int).Lsh(big.NewInt(1), 255)), "insufficient"},
		"value":               {big.NewInt(5), pack(t, "send", bob.Address, big.NewInt(1)), "takes no value"},
		"too many":            {nil, pack(t, "multiSend", many, ones), "want 1 to 256"},
		"unequal":             {nil, pack(t, "multiSend", many[:2], ones[:1]), "2 recipients but 1 amounts"},
		"half of it":          {nil, pack(t, "multiSend", many[:2], []*big.Int{big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 255)}), "recipient 1"},
		"no method":           {nil, []byte{1, 2, 3, 4}, "no method"},
		"truncated arguments": {nil, pack(t, "send", bob.Address, big.NewInt(1))[:40], "arguments"},
	} {
		_, err := c.Send(alice, abi.Send().Address, tc.value, tc.data)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if got := c.Balance(bob.SDK()); got.Sign() != 0 {
		t.Errorf("bob has %s wei from refused calls", got)
	}
	c.Balance(alice.SDK())
	c.Balance(abi.Send().Address.Bytes())
}

// A contract spends what is its own, never what its caller has; what it reverts after the call is undone in the bank
// too; and nobody writes through a borrowed name.
func TestContracts(t *testing.T) {
	c := chaintest.New(t, nil, "alice")
	supply := c.Supply()
	deploy := func(code []byte, endowment int64) common.Address {
		t.Helper()
		at := crypto.CreateAddress(alice.Address, c.Nonce(alice))
		if _, err := c.Result(c.Block(c.Tx(alice, nil, nil, code)).TxResults[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(alice, abi.Send().Address, nil, pack(t, "send", at, big.NewInt(endowment))); err != nil {
			t.Fatal(err)
		}
		return at
	}
	target := abi.Send().Address
	forward := deploy(chaintest.Forwarder(target, chaintest.Call, false), 10)
	if _, err := c.Send(alice, forward, nil, pack(t, "send", bob.Address, big.NewInt(4))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(alice, forward, nil, pack(t, "send", bob.Address, big.NewInt(7))); err == nil {
		t.Error("a contract with 6 wei sent 7")
	}
	if f, b := c.Balance(forward[:]), c.Balance(bob.SDK()); f.Int64() != 6 || b.Int64() != 4 {
		t.Errorf("contract %s, bob %s; want 6 and 4", f, b)
	}

	undo := deploy(chaintest.Forwarder(target, chaintest.Call, true), 10)
	if _, err := c.Send(alice, undo, nil, pack(t, "send", bob.Address, big.NewInt(4))); err == nil {
		t.Error("a reverting contract succeeded")
	}
	if u, b := c.Balance(undo[:]), c.Balance(bob.SDK()); u.Int64() != 10 || b.Int64() != 4 {
		t.Errorf("after a revert: contract %s, bob %s; want 10 and 4", u, b)
	}

	for _, op := range []chaintest.Op{chaintest.DelegateCall, chaintest.CallCode, chaintest.StaticCall} {
		at := deploy(chaintest.Forwarder(target, op, false), 10)
		_, err := c.Send(alice, at, nil, pack(t, "send", bob.Address, big.NewInt(4)))
		if err == nil || !strings.Contains(err.Error(), "plain call") {
			t.Errorf("op %x: %v", byte(op), err)
		}
	}

	// The same transaction gives a contract coins, which only the EVM knows of yet, and makes it send some of them on
	// and some back.
	keeper := deploy(chaintest.Keeper(target), 1)
	before := c.Balance(bob.SDK())
	if _, err := c.Send(alice, keeper, big.NewInt(8), pack(t, "multiSend", []common.Address{bob.Address, alice.Address}, []*big.Int{big.NewInt(6), big.NewInt(2)})); err != nil {
		t.Fatal(err)
	}
	if k, b := c.Balance(keeper[:]), new(big.Int).Sub(c.Balance(bob.SDK()), before); k.Int64() != 1 || b.Int64() != 6 {
		t.Errorf("contract %s, bob %s more; want 1 and 6", k, b)
	}
	c.Balance(alice.SDK())

	twice := deploy(chaintest.Twice(target), 10)
	if _, err := c.Send(alice, twice, nil, pack(t, "send", bob.Address, big.NewInt(6))); err != nil {
		t.Fatal(err)
	}
	if w, b := c.Balance(twice[:]), c.Balance(bob.SDK()); w.Int64() != 4 || b.Int64() != 16 {
		t.Errorf("two sends of 6 out of 10: contract %s, bob %s; want 4 and 16", w, b)
	}
	c.Skip(1)
	c.CheckSupply(supply)
}
