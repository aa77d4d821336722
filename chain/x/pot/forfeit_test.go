package pot_test

import (
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/pot"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/outbox"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Who lied about a task loses the rewards that have not matured, and of its deposit 20 times what the job may have cost, at the price of ozone.
func TestForfeit(t *testing.T) {
	n := newNetwork(t, 4, 2, nil)
	liar, other := chaintest.NodeName(0), chaintest.NodeName(1)
	n.buy(payer, 4000*oz)
	n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(1000*oz, 1000*oz)}})
	matured, settled := n.earned(liar), n.epoch()
	for n.epoch() < settled+2 {
		n.Skip(1)
	}
	now := n.epoch()
	n.settle(report.Ledger{FromEpoch: n.next(), Epoch: now, Charges: [report.Kinds][]report.Charge{charges(500*oz, 500*oz)}})
	all, others, pool, community, supply := n.earned(liar), n.earned(other), n.pool(), n.communityPool(), n.Supply()
	lost := new(big.Int).Sub(all, matured)
	if matured.Sign() == 0 || lost.Sign() == 0 {
		t.Fatalf("%s wei have matured, %s not", matured, lost)
	}
	id := chaintest.NodeID(0)
	before, err := n.RegisterKeeper.Node(n.Ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	value := oz / 10
	content := wire.Encode(&wirepb.Conviction{Node: id[:], Cell: make([]byte, 16), Evidence: make([]byte, 32), Value: uint64(value)})
	var ids [][20]byte
	var sigs [][]byte
	for i := range 3 {
		s := sign.Domain{Network: n.Network}.Sign(chaintest.Key(chaintest.AuthorityName(i)+"/report"), sign.Conviction, content)
		ids, sigs = append(ids, chaintest.AuthorityID(i)), append(sigs, s[:])
	}
	data, err := abi.Register().Pack("convictNode", content, ids, sigs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(poster, abi.Register().Address, nil, data); err != nil {
		t.Fatal(err)
	}
	n.CheckInvariants()
	after, err := n.RegisterKeeper.Node(n.Ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	deposit := new(big.Int).Sub(before.Deposit.BigInt(), after.Deposit.BigInt())
	times := pool.Worth(new(big.Int).SetUint64(20 * uint64(value)))
	tenth := new(big.Int).Quo(before.Deposit.BigInt(), big.NewInt(10))
	if want := slices.MaxFunc([]*big.Int{times, tenth}, (*big.Int).Cmp); deposit.Cmp(want) != 0 {
		t.Errorf("of the deposit %s wei are forfeit, want %s", deposit, want)
	}
	if n.earned(liar).Cmp(matured) != 0 || n.earned(other).Cmp(others) != 0 {
		t.Errorf("the liar keeps %s wei of rewards, want %s; another has %s of %s", n.earned(liar), matured, n.earned(other), others)
	}
	if got, err := n.PotKeeper.RewardOf(n.Ctx(), chaintest.NewWallet(liar).Account(), now); err != nil || got.Cmp(lost) != 0 { // what the settlement gave
		t.Errorf("epoch %d gave the liar %s, want %s: %v", now, got, lost, err)
	}
	if got := new(big.Int).Sub(n.communityPool(), community); got.Cmp(new(big.Int).Add(lost, deposit)) < 0 {
		t.Errorf("the community pool has %s wei more, want %s and %s", got, lost, deposit)
	}
	n.CheckSupply(supply)
	operator := chaintest.NewWallet(liar)
	if _, err := n.Send(payer, operator.Address, stos(1), nil); err != nil {
		t.Fatal(err)
	}
	to := common.HexToAddress("0xbeef")
	if data, err = abi.Pot().Pack("withdraw", to); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(operator, abi.Pot().Address, nil, data); err != nil || n.Balance(to[:]).Cmp(matured) != 0 {
		t.Errorf("what had matured: %v, %s wei", err, n.Balance(to[:]))
	}
	for range 4 { // what is forfeit does not mature
		n.settle(report.Ledger{FromEpoch: n.next(), Epoch: n.epoch(), Charges: [report.Kinds][]report.Charge{charges(0, 500*oz)}})
	}
	if _, err := n.Send(operator, abi.Pot().Address, nil, data); err == nil || n.Balance(to[:]).Cmp(matured) != 0 {
		t.Errorf("the liar has %s wei: %v", n.Balance(to[:]), err)
	}
	if g, err := n.PotKeeper.ExportGenesis(n.Ctx()); err != nil || pot.ValidateGenesis(g) != nil {
		t.Error(err)
	}
	n.CheckInvariants()
}

// Governance sets what databases and tasks cost, within bounds, and the meta layer is told.
func TestPrices(t *testing.T) {
	n := newNetwork(t, 4, 4, nil)
	governance := authtypes.NewModuleAddress(govtypes.ModuleName).String()
	tasks := pot.DefaultGenesis().Params.ComputePrices
	set := func(p potpb.DatabasePrices) (err error) {
		n.Write(func(ctx chaintest.Context) error {
			params := pot.DefaultGenesis().Params
			params.DatabasePrices, params.ComputePrices = p, tasks
			m := &potpb.MsgUpdateParams{Authority: governance, Params: params}
			_, err = n.MsgServiceRouter().Handler(m)(sdk.UnwrapSDKContext(ctx), m)
			return nil
		})
		return err
	}
	if err := set(potpb.DatabasePrices{Row: 5}); err == nil {
		t.Error("gas costs nothing")
	}
	if err := set(potpb.DatabasePrices{Gas: 1, Row: 1 << 62}); err == nil {
		t.Error("a price that is out of range")
	}
	good := potpb.DatabasePrices{Gas: 7, Row: 8, ByteIn: 9, ByteOut: 10, ByteHour: 11}
	for _, tasks = range []potpb.ComputePrices{{OutputByte: 1}, {Fuel: 1, OutputByte: 1 << 62}} {
		if err := set(good); err == nil {
			t.Errorf("tasks cost %v", tasks)
		}
	}
	tasks = potpb.ComputePrices{Fuel: 12, OutputByte: 13}
	if err := set(good); err != nil {
		t.Fatal(err)
	}
	count, err := n.OutboxKeeper.Count(n.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	var told *wirepb.Prices
	var toldOfTasks *wirepb.ComputePrices
	for i := range count {
		r, err := n.OutboxKeeper.Record(n.Ctx(), outbox.Sequence(i))
		if err != nil {
			t.Fatal(err)
		}
		if p := r.GetParams(); p != nil {
			told, toldOfTasks = p.DatabasePrices, p.ComputePrices
		}
	}
	if told.GetGas() != 7 || told.GetRow() != 8 || told.GetByteIn() != 9 || told.GetByteOut() != 10 || told.GetByteHour() != 11 || toldOfTasks.GetFuel() != 12 || toldOfTasks.GetOutputByte() != 13 {
		t.Errorf("the meta layer is told %v, %v", told, toldOfTasks)
	}
	for method, want := range map[string][]any{"databasePrices": {uint64(7), uint64(8), uint64(9), uint64(10), uint64(11)}, "computePrices": {uint64(12), uint64(13)}} {
		data, err := abi.Pot().Pack(method)
		if err != nil {
			t.Fatal(err)
		}
		out, err := n.Query(payer.Address, abi.Pot().Address, data)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := abi.Pot().Unpack(method, out); err != nil || !slices.Equal(got, want) {
			t.Errorf("contracts are told %v, %v", got, err)
		}
	}
}
