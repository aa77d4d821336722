package sdc_test

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"cosmossdk.io/math"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/sdc"
	"github.com/stratosmesh/stratos/chain/x/sdc/sdcpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

var (
	owner  = chaintest.NewWallet("owner")
	taker  = chaintest.NewWallet("taker")
	poster = chaintest.NewWallet("poster")
	price  = mesh.Stos(3).Big()
)

const claimBlocks = 600

type chain struct{ *chaintest.Chain }

func newChain(t *testing.T) chain {
	wallets := []string{"owner", "taker", "poster"}
	for i := range 4 {
		wallets = append(wallets, chaintest.AuthorityName(i))
	}
	return chain{chaintest.New(t, func(s *devspec.Spec) { chaintest.WithMembers(s, 4, 1) }, wallets...)}
}

// call sends a transaction to the contract of orders. It wants an error with this text, or none when it is empty.
func (c chain) call(from chaintest.Wallet, value *big.Int, want, method string, args ...any) {
	c.T.Helper()
	data, err := abi.SDC().Pack(method, args...)
	if err != nil {
		c.T.Fatal(err)
	}
	_, err = c.Send(from, abi.SDC().Address, value, data)
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		c.T.Errorf("%s: %v, want %q", method, err, want)
	}
	c.CheckInvariants()
}

func (c chain) view(method string, args ...any) []any {
	c.T.Helper()
	data, err := abi.SDC().Pack(method, args...)
	if err != nil {
		c.T.Fatal(err)
	}
	b, err := c.Query(poster.Address, abi.SDC().Address, data)
	if err != nil {
		c.T.Fatal(err)
	}
	out, err := abi.SDC().Unpack(method, b)
	if err != nil {
		c.T.Fatal(err)
	}
	return out
}

// answer posts an attestation that so many authorities have signed.
func (c chain) answer(want string, number uint64, a *wirepb.Attestation, network mesh.NetworkID, p sign.Purpose, authorities ...int) {
	c.T.Helper()
	body := wire.Encode(a)
	var ids [][20]byte
	var sigs [][]byte
	for _, i := range authorities {
		s := sign.Domain{Network: network}.Sign(chaintest.Key(chaintest.AuthorityName(i)+"/report"), p, body)
		ids, sigs = append(ids, chaintest.AuthorityID(i)), append(sigs, s[:])
	}
	c.call(poster, nil, want, "answer", number, body, ids, sigs)
}

func (c chain) height() uint64 { return uint64(c.Ctx().BlockHeight()) }

func taskText(arg string) *wirepb.TaskText {
	t := &wirepb.TaskText{Rules: make([]byte, 32), Stage: &wirepb.Stage{Module: make([]byte, 32), Pages: 16, Fuel: 1000, OutputBytes: 100, Args: []string{arg}}}
	compute.SetSeed(t)
	return t
}

// An order is escrowed, claimed with a bond, and paid for when enough authorities say that its task was verified in the job of that claim.
func TestAnswer(t *testing.T) {
	c := newChain(t)
	text := taskText("7")
	body, task := wire.Encode(text), compute.TaskDigest(text)
	reads := proto.CloneOf(text)
	reads.Inputs = []*wirepb.ComputeInput{{Root: make([]byte, 32)}}
	compute.SetSeed(reads)
	const quorum = compute.Quorum
	c.call(owner, nil, "pays nothing", "order", body, uint32(quorum), uint64(1000))
	c.call(owner, price, "want pair", "order", body, uint32(compute.Spot), uint64(1000))
	c.call(owner, price, "want 1 to", "order", body, uint32(quorum), uint64(0))
	c.call(owner, price, "want 1 to", "order", body, uint32(quorum), uint64(1_000_001))
	c.call(owner, price, "reads nothing", "order", wire.Encode(reads), uint32(quorum), uint64(1000))
	c.call(owner, price, "order", "order", append(bytes.Clone(body), 0), uint32(quorum), uint64(1000))
	c.call(owner, price, "", "order", body, uint32(quorum), uint64(1000))
	if o := c.view("orderOf", uint64(1)); o[0] != owner.Address || o[1] != [32]byte(task) || o[2] != uint32(quorum) || o[3].(*big.Int).Cmp(price) != 0 || o[4] != c.height()-1+1000 && o[4] != c.height()+1000 || o[5] != uint8(1) {
		t.Errorf("the order is %v at height %d", o, c.height())
	}
	if got := c.view("textOf", uint64(1))[0].([]byte); !bytes.Equal(got, body) {
		t.Errorf("its text is %x", got)
	}
	if all := c.view("openOrders", uint64(0), uint32(9))[0].([]uint64); len(all) != 1 || all[0] != 1 {
		t.Errorf("open are %v", all)
	}
	job := compute.OrderJob(1, 1, taker.Account())
	by := taker.Account()
	good := &wirepb.Attestation{Account: by[:], Job: job[:], Level: quorum, Dropped: 1,
		Result: &wirepb.TaskResult{Task: task[:], Fuel: 999, OutputBytes: 5, Output: bytes.Repeat([]byte{42}, 32)}}
	c.answer("is not claimed", 1, good, c.Network, sign.Attestation, 0, 1, 2)
	c.call(taker, nil, "want its price", "claim", uint64(1))
	c.call(taker, price, "no order 2", "claim", uint64(2))
	c.call(taker, price, "", "claim", uint64(1))
	c.call(poster, price, "is not open", "claim", uint64(1))
	c.call(poster, nil, "has time until", "close", uint64(1))
	changed := func(f func(*wirepb.Attestation)) *wirepb.Attestation {
		a := proto.CloneOf(good)
		f(a)
		return a
	}
	c.answer("2 of 4", 1, good, c.Network, sign.Attestation, 0, 1)
	c.answer("signed twice", 1, good, c.Network, sign.Attestation, 0, 1, 1)
	c.answer("is not by key", 1, good, c.Network, sign.Anchor, 0, 1, 2)
	c.answer("is not by key", 1, good, mesh.NetworkID{1}, sign.Attestation, 0, 1, 2)
	c.answer("of task", 1, changed(func(a *wirepb.Attestation) { a.Result.Task[0] ^= 1 }), c.Network, sign.Attestation, 0, 1, 2)
	c.answer("is answered by", 1, changed(func(a *wirepb.Attestation) { a.Job[9] ^= 1 }), c.Network, sign.Attestation, 0, 1, 2)
	c.answer("at level 3", 1, changed(func(a *wirepb.Attestation) { a.Level = compute.Pair }), c.Network, sign.Attestation, 0, 1, 2)
	c.answer("named nodes", 1, changed(func(a *wirepb.Attestation) { a.Chosen = true }), c.Network, sign.Attestation, 0, 1, 2)
	c.answer("names an account", 1, changed(func(a *wirepb.Attestation) { a.Result = nil }), c.Network, sign.Attestation, 0, 1, 2)
	if r := c.view("resultOf", uint64(1)); r[0] != uint8(2) || r[5] != [32]byte{} {
		t.Errorf("before the answer: %v", r)
	}
	before := c.Balance(by[:])
	c.answer("", 1, good, c.Network, sign.Attestation, 3, 1, 2)
	if got := new(big.Int).Sub(c.Balance(by[:]), before); got.Cmp(new(big.Int).Mul(price, big.NewInt(2))) != 0 {
		t.Errorf("the taker gets %s wei", got)
	}
	if r := c.view("resultOf", uint64(1)); r[0] != uint8(3) || r[3] != uint64(999) || r[4] != uint64(5) || r[5] != [32]byte(good.Result.Output) {
		t.Errorf("the answer is %v", r)
	}
	if len(c.view("openOrders", uint64(0), uint32(9))[0].([]uint64))+len(c.view("textOf", uint64(1))[0].([]byte)) != 0 {
		t.Error("an answered order is open")
	}
	c.answer("is not claimed", 1, good, c.Network, sign.Attestation, 3, 1, 2)
	c.call(poster, nil, "has ended", "close", uint64(1))
	g, err := c.SDCKeeper.ExportGenesis(c.Ctx())
	if err != nil || g.Last != 1 || len(g.Orders) != 1 || sdc.ValidateGenesis(g) != nil {
		t.Errorf("%+v, %v", g, err)
	}
	c.Restart().CheckInvariants()
}

// A claim that is not answered costs its bond, and an order that nobody answers gives its price back.
func TestClose(t *testing.T) {
	c := newChain(t)
	text := taskText("8")
	c.call(owner, price, "", "order", wire.Encode(text), uint32(compute.Pair), uint64(claimBlocks+200))
	until := c.view("orderOf", uint64(1))[4].(uint64)
	c.call(poster, nil, "has time until", "close", uint64(1))
	c.call(taker, price, "", "claim", uint64(1))
	g, err := c.SDCKeeper.ExportGenesis(c.Ctx())
	if err != nil || sdc.ValidateGenesis(g) != nil {
		t.Fatalf("%+v, %v", g, err)
	}
	for name, bad := range map[string]func(*sdcpb.Order){
		"has another text": func(o *sdcpb.Order) { o.Text = wire.Encode(taskText("9")) },
		"has no taker":     func(o *sdcpb.Order) { o.Taker = nil },
		"pays nothing":     func(o *sdcpb.Order) { o.Price = math.ZeroInt() },
		"has no number":    func(o *sdcpb.Order) { o.Number = 0 },
	} {
		o := g.Orders[0]
		bad(&o)
		if sdc.ValidateGenesis(&sdcpb.GenesisState{Last: 1, Orders: []sdcpb.Order{o}}) == nil {
			t.Errorf("a genesis whose order %s", name)
		}
	}
	if sdc.ValidateGenesis(&sdcpb.GenesisState{Last: 1, Orders: append(g.Orders, g.Orders...)}) == nil {
		t.Error("a genesis with an order twice")
	}
	c.Skip(claimBlocks)
	before := c.Balance(owner.SDK())
	c.call(poster, nil, "", "close", uint64(1))
	if got := new(big.Int).Sub(c.Balance(owner.SDK()), before); got.Cmp(price) != 0 {
		t.Errorf("who ordered gets a bond of %s wei", got)
	}
	if o := c.view("orderOf", uint64(1)); o[5] != uint8(1) || o[7] != uint64(1) {
		t.Errorf("the order is %v", o)
	}
	c.call(taker, price, "", "claim", uint64(1))
	by, task := taker.Account(), compute.TaskDigest(text)
	first := compute.OrderJob(1, 1, by)
	late := &wirepb.Attestation{Account: by[:], Job: first[:], Level: compute.Pair, Result: &wirepb.TaskResult{Task: task[:], Output: make([]byte, 32)}}
	c.answer("is answered by", 1, late, c.Network, sign.Attestation, 0, 1, 2)
	for c.height() <= until {
		c.Skip(10)
	}
	c.call(poster, nil, "has time until", "close", uint64(1)) // the claim has
	c.Skip(claimBlocks)
	before = c.Balance(owner.SDK())
	c.call(poster, nil, "", "close", uint64(1))
	if got := new(big.Int).Sub(c.Balance(owner.SDK()), before); got.Cmp(new(big.Int).Mul(price, big.NewInt(2))) != 0 {
		t.Errorf("who ordered gets %s wei, want the bond and the price", got)
	}
	if o := c.view("orderOf", uint64(1)); o[5] != uint8(4) {
		t.Errorf("the order is %v", o)
	}
	c.call(taker, price, "is not open", "claim", uint64(1))
	c.call(poster, nil, "has ended", "close", uint64(1))
}
