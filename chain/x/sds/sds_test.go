package sds_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/outbox"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

var (
	alice = chaintest.NewWallet("alice")
	bob   = chaintest.NewWallet("bob")
)

func stos(v int64) *big.Int { return mesh.Stos(v).Big() }

func newChain(t *testing.T, edit func(*devspec.Spec)) *chaintest.Chain {
	t.Helper()
	return chaintest.New(t, func(s *devspec.Spec) {
		chaintest.WithMembers(s, 1, 2)
		if edit != nil {
			edit(s)
		}
	}, "alice")
}

func pack(t *testing.T, method string, args ...any) []byte {
	t.Helper()
	b, err := abi.SDS().Pack(method, args...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func view(t *testing.T, c *chaintest.Chain, method string, args ...any) []any {
	t.Helper()
	ret, err := c.Query(alice.Address, abi.SDS().Address, pack(t, method, args...))
	if err != nil {
		t.Fatal(err)
	}
	out, err := abi.SDS().Unpack(method, ret)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What the simulation says is what a prepay for another account credits, and what the outbox tells.
func TestPrepay(t *testing.T) {
	c := newChain(t, nil)
	supply := c.Supply()
	predicted := view(t, c, "simulatePrepay", stos(10))[0].(*big.Int)
	if _, err := c.Send(alice, abi.SDS().Address, stos(10), pack(t, "prepay", bob.Address)); err != nil {
		t.Fatal(err)
	}
	if got := view(t, c, "balanceOf", bob.Address)[0].(uint64); got != predicted.Uint64() || got == 0 {
		t.Errorf("bob has %d noz, %s were predicted", got, predicted)
	}
	c.CheckInvariants()
	n, err := c.OutboxKeeper.Count(c.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.OutboxKeeper.Record(c.Ctx(), outbox.Sequence(n-1))
	if err != nil {
		t.Fatal(err)
	}
	if f := r.GetOzoneCredited(); f.GetCreditedNoz() != predicted.Uint64() || common.BytesToAddress(f.GetAccount()) != bob.Address || r.Height != uint64(c.Height) {
		t.Errorf("outbox: %v", r)
	}
	if got := c.Balance(abi.SDS().Address.Bytes()); got.Sign() != 0 {
		t.Errorf("%s wei stay on the contract", got)
	}
	if _, err := c.Send(alice, abi.SDS().Address, nil, pack(t, "prepay", bob.Address)); err == nil || !strings.Contains(err.Error(), "buy no ozone") {
		t.Errorf("a prepay of nothing: %v", err)
	}
	if _, err := c.Send(alice, abi.SDS().Address, big.NewInt(7), pack(t, "balanceOf", bob.Address)); err == nil {
		t.Error("a view took value")
	}
	c.Skip(1)
	c.CheckSupply(supply)
}

// A contract that prepays and then reverts leaves neither ozone nor coins behind; one that calls twice prepays twice.
func TestPrepayByContracts(t *testing.T) {
	c := newChain(t, nil)
	supply := c.Supply()
	deploy := func(code []byte) common.Address {
		t.Helper()
		at := crypto.CreateAddress(alice.Address, c.Nonce(alice))
		if _, err := c.Result(c.Block(c.Tx(alice, nil, nil, code)).TxResults[0]); err != nil {
			t.Fatal(err)
		}
		return at
	}
	data := pack(t, "prepay", bob.Address)
	undo := deploy(chaintest.Forwarder(abi.SDS().Address, chaintest.Call, true))
	if _, err := c.Send(alice, undo, stos(10), data); err == nil {
		t.Fatal("a reverting contract succeeded")
	}
	if got := view(t, c, "balanceOf", bob.Address)[0].(uint64); got != 0 {
		t.Errorf("%d noz after a revert", got)
	}
	for _, op := range []chaintest.Op{chaintest.DelegateCall, chaintest.StaticCall, chaintest.CallCode} {
		at := deploy(chaintest.Forwarder(abi.SDS().Address, op, false))
		if _, err := c.Send(alice, at, stos(10), data); err == nil {
			t.Errorf("op %x prepaid", byte(op))
		}
	}
	if got := view(t, c, "balanceOf", bob.Address)[0].(uint64); got != 0 {
		t.Errorf("%d noz from borrowed names", got)
	}
	forward := deploy(chaintest.Forwarder(abi.SDS().Address, chaintest.Call, false))
	if _, err := c.Send(alice, forward, stos(10), data); err != nil {
		t.Fatal(err)
	}
	once := view(t, c, "balanceOf", bob.Address)[0].(uint64)
	twice := deploy(chaintest.Twice(abi.SDS().Address))
	if _, err := c.Send(alice, twice, stos(20), data); err != nil {
		t.Fatal(err)
	}
	if got := view(t, c, "balanceOf", bob.Address)[0].(uint64); got <= 2*once || got >= 3*once {
		t.Errorf("one prepay bought %d noz, three together %d: dearer each time, but bought", once, got)
	}
	for _, a := range []common.Address{undo, forward, twice, abi.SDS().Address} {
		if got := c.Balance(a.Bytes()); got.Sign() != 0 {
			t.Errorf("%s wei stay at %s", got, a)
		}
	}
	c.Balance(alice.SDK())
	c.CheckInvariants()
	c.Skip(1)
	c.CheckSupply(supply)
}

// Genesis ozone is exactly what was asked for, paid on the curve with coins minted for it.
func TestGenesisOzone(t *testing.T) {
	const asked = 123_456_789_012
	c := newChain(t, func(s *devspec.Spec) { s.Accounts[0].Ozone = asked })
	if got := view(t, c, "balanceOf", alice.Address)[0].(uint64); got != asked {
		t.Errorf("alice has %d noz", got)
	}
	if got := c.Balance(alice.SDK()); got.Cmp(chaintest.Rich.Big()) != 0 {
		t.Errorf("alice has %s wei left of %s", got, chaintest.Rich)
	}
	out := view(t, c, "supply")
	if prepaid := out[1].(*big.Int); prepaid.Sign() == 0 {
		t.Error("nothing was paid")
	}
	price := view(t, c, "price")
	if price[0].(*big.Int).Cmp(new(big.Int).Add(out[0].(*big.Int), out[1].(*big.Int))) != 0 || price[1].(*big.Int).Cmp(out[2].(*big.Int)) != 0 {
		t.Errorf("price %v of a supply %v", price, out)
	}
	c.CheckInvariants()
}
