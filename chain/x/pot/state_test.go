package pot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/report"
)

// The same blocks lead to the same state: no clock, randomness or order of a map has a say.
func TestDeterminism(t *testing.T) {
	n := newNetwork(t, 3, 5, nil)
	n.buy(payer, 5000*oz)
	var l report.Ledger
	l.Charges[report.Storage] = charges(500*oz, 300*oz, 200*oz, 80*oz, 20*oz)
	l.Charges[report.Database] = charges(1*oz, 2*oz, 3*oz, 4*oz, 5*oz)
	l.Fees = map[mesh.Account]mesh.Noz{payer.Account(): 11}
	n.settle(l)
	for range 3 {
		again := n.Replay()
		if want, got := n.LastCommitID().Hash, again.LastCommitID().Hash; !bytes.Equal(want, got) {
			t.Fatalf("height %d: state %x, then %x", n.Height, want, got)
		}
	}
}

// A network that starts from the export of another, in the middle of a report, goes on where that was; only
// signatures of the old network are worth nothing there.
func TestExportImport(t *testing.T) {
	n := newNetwork(t, 2, 3, nil)
	n.buy(payer, 5000*oz)
	n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(100*oz, 5*oz)}})
	for n.epoch() <= 1 {
		n.Skip(1)
	}
	second := n.build(report.Ledger{FromEpoch: 1, Epoch: 1, Charges: [report.Kinds][]report.Charge{charges(50*oz, 60*oz, 70*oz)}})
	if err := n.submit(second.Bytes, n.sign(second, 2)); err != nil {
		t.Fatal(err)
	}
	if err := n.page(1, 0, 0, second.Pages[0][0]); err != nil {
		t.Fatal(err)
	}
	again := &network{n.Restart(), 2}
	again.CheckInvariants()
	// The first block of the new network pays out what the fee collector held; nothing else may differ.
	old, err := n.Export([]string{"register", "sds", "pot"})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := again.Export([]string{"register", "sds", "pot"})
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]json.RawMessage
	if err := json.Unmarshal(old.AppState, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(imported.AppState, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("exported\n%s\nimported\n%s", old.AppState, imported.AppState)
	}
	if again.Network == n.Network {
		t.Error("the new network has the old one's id")
	}
	if err := again.page(1, 1, 0, second.Pages[1][0]); err != nil {
		t.Fatal(err)
	}
	again.Skip(1)
	line, err := again.PotKeeper.Ledger(again.Ctx(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if line.Taken != uint64(180*oz) || line.CarriedIn != uint64(5*oz) {
		t.Errorf("ledger %+v", line)
	}
	again.CheckInvariants()
	for again.epoch() <= 2 {
		again.Skip(1)
	}
	third := again.build(report.Ledger{FromEpoch: 2, Epoch: 2})
	if err := again.submit(third.Bytes, n.sign(third, 2)); err == nil || !strings.Contains(err.Error(), "in this network") {
		t.Errorf("a signature of the old network: %v", err)
	}
	if err := again.submit(third.Bytes, again.sign(third, 2)); err != nil {
		t.Error(err)
	}
}

// A settlement that cannot go on neither stops the chain nor leaves half a step; when it can, it does.
func TestBrokenSettlement(t *testing.T) {
	n := newNetwork(t, 1, 1, nil)
	n.buy(payer, 100*oz)
	for n.epoch() == 0 {
		n.Skip(1)
	}
	r := n.build(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(10 * oz)}})
	if err := n.submit(r.Bytes, n.sign(r, 1)); err != nil {
		t.Fatal(err)
	}
	if err := n.page(0, 0, 0, r.Pages[0][0]); err != nil {
		t.Fatal(err)
	}
	// Somebody emptied the account that rewards are paid from.
	var stolen *big.Int
	n.Write(func(ctx chaintest.Context) error {
		stolen = n.pool().Prepaid
		return n.moveModuleCoins(ctx, "sds", "register", stolen)
	})
	if err := n.page(0, 1, 0, r.Pages[1][0]); err != nil {
		t.Fatal(err)
	}
	n.Skip(3)
	if _, err := n.PotKeeper.Ledger(n.Ctx(), 0); mesh.KindOf(err) != mesh.NotFound {
		t.Fatalf("it settled: %v", err)
	}
	n.Write(func(ctx chaintest.Context) error { return n.moveModuleCoins(ctx, "register", "sds", stolen) })
	n.Skip(1)
	if _, err := n.PotKeeper.Ledger(n.Ctx(), 0); err != nil {
		t.Error(err)
	}
	n.CheckInvariants()
}

// A node that is gone when its volume settles gets nothing; its ozone returns to the pool without a reward.
func TestNodeGone(t *testing.T) {
	n := newNetwork(t, 1, 2, func(s *devspec.Spec) { s.Nodes[1].Operator = payer.Account() })
	n.buy(payer, 1000*oz)
	p, err := n.RegisterKeeper.Params(n.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	p.DepositLockEpochs, p.UnbondingEpochs = 0, 1
	n.Write(func(ctx chaintest.Context) error { return n.RegisterKeeper.SetParams(ctx, p) })
	data, err := abi.Register().Pack("deactivateNode", [20]byte(chaintest.NodeID(1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(payer, abi.Register().Address, nil, data); err != nil {
		t.Fatal(err)
	}
	n.Skip(12)
	line := n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(100*oz, 300*oz)}})
	if line.Settled != uint64(100*oz) || line.Returned != uint64(300*oz) || line.CarriedOut != 0 {
		t.Errorf("ledger %+v", line)
	}
}

// Governance ends a report whose pages never come. What its pages took settles.
func TestAbandon(t *testing.T) {
	n := newNetwork(t, 1, 1, nil)
	n.buy(payer, 100*oz)
	for n.epoch() == 0 {
		n.Skip(1)
	}
	var l report.Ledger
	l.Charges[report.Storage], l.Charges[report.Compute] = charges(10*oz), charges(20*oz)
	r := n.build(l)
	if err := n.submit(r.Bytes, n.sign(r, 1)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := n.page(0, report.Table(i), 0, r.Pages[i][0]); err != nil {
			t.Fatal(err)
		}
	}
	n.Write(func(ctx chaintest.Context) error { return n.PotKeeper.Abandon(ctx, 0) })
	n.Skip(1)
	record, err := n.PotKeeper.Report(n.Ctx(), 0)
	if err != nil {
		t.Fatal(err)
	}
	line, err := n.PotKeeper.Ledger(n.Ctx(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if record.Status != potpb.ReportAbandoned || line.Settled != uint64(10*oz) {
		t.Errorf("%s, %+v", record.Status, line)
	}
	n.CheckInvariants()
}

// The largest page that the format allows fits a transaction, and blocks settle it bit by bit.
func TestLargestPage(t *testing.T) {
	const nodes = 1500
	accounts := make([]mesh.Account, report.MaxLeaves)
	n := newNetwork(t, 1, nodes, func(s *devspec.Spec) {
		for i := range accounts {
			w := chaintest.NewWallet(fmt.Sprintf("customer-%d", i))
			accounts[i] = w.Account()
			s.Accounts = append(s.Accounts, devspec.Account{Name: w.Address.Hex(), Address: w.Account(), Ozone: 1 << 40})
		}
	})
	for n.epoch() == 0 {
		n.Skip(1)
	}
	var l report.Ledger
	for i := range report.MaxShares {
		l.Charges[report.Storage] = append(l.Charges[report.Storage],
			report.Charge{Account: accounts[i%len(accounts)], Node: chaintest.NodeID(i * 7 % nodes), Noz: mesh.Noz(1<<30 + i)})
	}
	r := n.build(l)
	if len(r.Pages[1]) != 1 {
		t.Fatalf("%d debit pages", len(r.Pages[1]))
	}
	if err := n.submit(r.Bytes, n.sign(r, 1)); err != nil {
		t.Fatal(err)
	}
	for table := range 2 {
		for i, p := range r.Pages[table] {
			data, err := abi.Pot().Pack("submitPage", uint64(0), uint8(table), uint32(i), p)
			if err != nil {
				t.Fatal(err)
			}
			res, err := n.Send(poster, abi.Pot().Address, nil, data)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("table %d: a page of %d bytes took %d gas", table, len(p), res.GasUsed)
		}
	}
	for blocks := 1; ; blocks++ {
		n.CheckInvariants()
		if line, err := n.PotKeeper.Ledger(n.Ctx(), 0); err == nil {
			if blocks == 1 || line.CarriedOut == 0 || line.Settled == 0 {
				t.Errorf("after %d blocks: %+v", blocks, line)
			}
			return
		}
		if blocks > 20 {
			t.Fatal("it does not settle")
		}
		n.Skip(1)
	}
}
