package pot_test

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/chain/x/pot/potpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/report"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestMain(m *testing.M) { chaintest.Main(m) }

const oz = mesh.Noz(mesh.NozPerOz)

var (
	payer  = chaintest.NewWallet("payer")
	poster = chaintest.NewWallet("poster")
)

// A network is a chain with authorities and nodes.
type network struct {
	*chaintest.Chain
	authorities int
}

func newNetwork(t *testing.T, authorities, nodes int, edit func(*devspec.Spec)) *network {
	t.Helper()
	c := chaintest.New(t, func(s *devspec.Spec) {
		chaintest.WithMembers(s, authorities, nodes)
		if edit != nil {
			edit(s)
		}
	}, "payer", "poster")
	return &network{c, authorities}
}

func (n *network) pool() economy.Pool {
	n.T.Helper()
	p, _, err := n.SDSKeeper.Pool(n.Ctx())
	if err != nil {
		n.T.Fatal(err)
	}
	return p
}

func (n *network) balance(w chaintest.Wallet) mesh.Noz {
	n.T.Helper()
	noz, err := n.SDSKeeper.Balance(n.Ctx(), w.Account())
	if err != nil {
		n.T.Fatal(err)
	}
	return noz
}

func (n *network) prepay(from chaintest.Wallet, wei *big.Int) {
	n.T.Helper()
	data, err := abi.SDS().Pack("prepay", from.Address)
	if err != nil {
		n.T.Fatal(err)
	}
	if _, err := n.Send(from, abi.SDS().Address, wei, data); err != nil {
		n.T.Fatal(err)
	}
}

// buy prepays what buys exactly noz, or a little more.
func (n *network) buy(from chaintest.Wallet, noz mesh.Noz) {
	n.T.Helper()
	wei, ok := n.pool().Cost(new(big.Int).SetUint64(uint64(noz)))
	if !ok {
		n.T.Fatalf("%d noz are not for sale", noz)
	}
	n.prepay(from, wei)
}

func (n *network) epoch() mesh.Epoch {
	n.T.Helper()
	e, _, err := n.PotKeeper.Epoch(n.Ctx())
	if err != nil {
		n.T.Fatal(err)
	}
	return e
}

// next is the first epoch of the next report.
func (n *network) next() mesh.Epoch {
	n.T.Helper()
	_, next, err := n.PotKeeper.Epoch(n.Ctx())
	if err != nil {
		n.T.Fatal(err)
	}
	return next
}

// charges makes payer owe the i-th node the i-th volume.
func charges(volumes ...mesh.Noz) (out []report.Charge) {
	for i, v := range volumes {
		out = append(out, report.Charge{Account: payer.Account(), Node: chaintest.NodeID(i), Noz: v})
	}
	return out
}

func (n *network) build(l report.Ledger) *report.Report {
	n.T.Helper()
	r, err := report.Build(&l)
	if err != nil {
		n.T.Fatal(err)
	}
	return r
}

// sign lets the first so many authorities sign.
func (n *network) sign(r *report.Report, signers int) (signed []report.Signed) {
	for i := range signers {
		key := chaintest.Key(chaintest.AuthorityName(i) + "/report")
		signed = append(signed, report.Signed{Authority: chaintest.AuthorityID(i), Signature: report.Sign(n.Network, key, r.Bytes)})
	}
	return signed
}

func (n *network) submit(header []byte, signed []report.Signed) error {
	n.T.Helper()
	ids, sigs := [][20]byte{}, [][]byte{}
	for _, s := range signed {
		ids, sigs = append(ids, s.Authority), append(sigs, bytes.Clone(s.Signature[:]))
	}
	data, err := abi.Pot().Pack("submitReport", header, ids, sigs)
	if err != nil {
		n.T.Fatal(err)
	}
	_, err = n.Send(poster, abi.Pot().Address, nil, data)
	return err
}

func (n *network) page(epoch mesh.Epoch, table report.Table, index uint32, page []byte) error {
	n.T.Helper()
	data, err := abi.Pot().Pack("submitPage", uint64(epoch), uint8(table), index, page)
	if err != nil {
		n.T.Fatal(err)
	}
	_, err = n.Send(poster, abi.Pot().Address, nil, data)
	return err
}

// settle waits until the epoch is over, hands the whole report in and waits until it is final.
func (n *network) settle(l report.Ledger) potpb.LedgerLine {
	n.T.Helper()
	for n.epoch() <= l.Epoch {
		n.Skip(1)
	}
	r := n.build(l)
	if err := n.submit(r.Bytes, n.sign(r, n.authorities)); err != nil {
		n.T.Fatal(err)
	}
	for t, pages := range r.Pages {
		for i, p := range pages {
			if err := n.page(l.Epoch, report.Table(t), uint32(i), p); err != nil {
				n.T.Fatal(err)
			}
			n.CheckInvariants()
		}
	}
	n.Skip(1)
	line, err := n.PotKeeper.Ledger(n.Ctx(), l.Epoch)
	if err != nil {
		n.T.Fatal(err)
	}
	n.CheckInvariants()
	return line
}

func stos(v int64) *big.Int { return mesh.Stos(v).Big() }

func (n *network) earned(name string) *big.Int {
	n.T.Helper()
	r, err := n.PotKeeper.Rewards(n.Ctx(), chaintest.NewWallet(name).Account())
	if err != nil {
		n.T.Fatal(err)
	}
	return r.Earned
}

func (n *network) communityPool() *big.Int {
	n.T.Helper()
	p, err := n.DistrKeeper.FeePool.Get(n.Ctx())
	if err != nil {
		n.T.Fatal(err)
	}
	return p.CommunityPool.AmountOf("wei").TruncateInt().BigInt()
}

// payFor finds two prepayments after which so much traffic pays exactly the reward. One alone need not lead there: a
// whole noz more or less in the pool moves the reward by more than a wei.
func payFor(t *testing.T, p economy.Pool, traffic, reward *big.Int) [2]*big.Int {
	t.Helper()
	for i := range int64(70) {
		first := new(big.Int).Add(stos(997*(i+1)), big.NewInt(1))
		begun, _, err := p.Prepay(first)
		if err != nil {
			t.Fatal(err)
		}
		low, high := big.NewInt(1e9), stos(500_000)
		for new(big.Int).Sub(high, low).Cmp(big.NewInt(1)) > 0 {
			mid := new(big.Int).Add(low, high)
			mid.Rsh(mid, 1)
			next, _, err := begun.Prepay(mid)
			if err != nil {
				t.Fatal(err)
			}
			switch c := next.Reward(traffic).Cmp(reward); {
			case c == 0:
				return [2]*big.Int{first, mid}
			case c < 0:
				low = mid
			default:
				high = mid
			}
		}
	}
	t.Fatalf("no prepayments lead to a reward of %s", reward)
	return [2]*big.Int{}
}

// The published vector from end to end: five nodes with 500, 300, 200, 80 and 20 oz, a reward of
// 101010101010101010101 wei.
func TestVector(t *testing.T) {
	n := newNetwork(t, 4, 5, nil)
	supply := n.Supply()
	reward, _ := new(big.Int).SetString("101010101010101010101", 10)
	for _, wei := range payFor(t, n.pool(), new(big.Int).SetUint64(uint64(1000*oz)), reward) {
		n.prepay(payer, wei)
	}
	before, community := n.balance(payer), n.communityPool()

	var l report.Ledger
	l.Charges[report.Storage] = charges(500*oz, 300*oz, 200*oz, 80*oz, 20*oz)
	line := n.settle(l)

	if got := before - n.balance(payer); got != 1100*oz {
		t.Errorf("the payer was debited %d noz, want 1100 oz", got)
	}
	if line.Taken != uint64(1100*oz) || line.Settled != uint64(1000*oz) || line.CarriedOut != uint64(100*oz) || line.CarriedIn != 0 || line.Returned != 0 {
		t.Errorf("ledger %+v", line)
	}
	if line.Reward.BigInt().Cmp(reward) != 0 {
		t.Errorf("reward %s", line.Reward)
	}
	for i, want := range []int64{30, 18, 12, 0, 0} {
		if got := n.earned(chaintest.NodeName(i)); got.Cmp(stos(want)) != 0 {
			t.Errorf("node %d earned %s, want %d STOS", i, got, want)
		}
	}
	for i := range 4 {
		if got := n.earned(chaintest.AuthorityName(i)); got.Cmp(stos(5)) != 0 {
			t.Errorf("authority %d earned %s, want 5 STOS", i, got)
		}
	}
	if line.Chain.BigInt().Cmp(stos(20)) != 0 {
		t.Errorf("validators and delegators got %s, want 20 STOS", line.Chain)
	}
	if got := new(big.Int).Sub(n.communityPool(), community); got.Cmp(new(big.Int).Quo(reward, big.NewInt(100))) != 0 {
		t.Errorf("the community pool got %s, want the tax", got)
	}
	n.CheckSupply(supply)
}

// Rewards mature, are paid once, to any wallet, and the chain's part reaches the validator.
func TestWithdraw(t *testing.T) {
	n := newNetwork(t, 1, 1, nil)
	n.buy(payer, 2000*oz)
	n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(1000 * oz)}})
	settled := n.epoch()
	operator := chaintest.NewWallet(chaintest.NodeName(0))
	if _, err := n.Send(payer, operator.Address, stos(1), nil); err != nil {
		t.Fatal(err)
	}
	other := common.HexToAddress("0xbeef")
	withdraw, err := abi.Pot().Pack("withdraw", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(operator, abi.Pot().Address, nil, withdraw); err == nil || !strings.Contains(err.Error(), "no matured rewards") {
		t.Fatalf("withdrew in epoch %d: %v", n.epoch(), err)
	}
	for n.epoch() < settled+2 {
		n.Skip(1)
	}
	earned := n.earned(chaintest.NodeName(0))
	if _, err := n.Send(operator, abi.Pot().Address, nil, withdraw); err != nil {
		t.Fatal(err)
	}
	if got := n.Balance(other[:]); got.Cmp(earned) != 0 || got.Sign() == 0 {
		t.Errorf("withdrew %s of %s", got, earned)
	}
	if _, err := n.Send(operator, abi.Pot().Address, nil, withdraw); err == nil {
		t.Error("withdrew twice")
	}
	module, err := abi.Pot().Pack("withdraw", common.BytesToAddress(authtypes.NewModuleAddress(distrtypes.ModuleName)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(operator, abi.Pot().Address, nil, module); err == nil || !strings.Contains(err.Error(), "takes no coins") {
		t.Errorf("withdrew to a module: %v", err)
	}
	n.CheckInvariants()
}

// Who owes more than it has pays what it has: fees give way first, then every node alike. Its page is not refused.
func TestOverdrawn(t *testing.T) {
	n := newNetwork(t, 1, 2, func(s *devspec.Spec) {
		s.Accounts[0].Ozone = 30 // noz, of payer
	})
	poor := n.balance(payer)
	if poor != 30 {
		t.Fatalf("genesis credited %d noz, want 30", poor)
	}
	line := n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(80, 20)}, Fees: map[mesh.Account]mesh.Noz{payer.Account(): 5}})
	// 30 of 100: 24 and 6. Node 0 alone is 80 %.
	if line.Taken != 30 || line.Clipped != 75 || line.Settled != 24 || line.CarriedOut != 6 || line.Returned != 0 {
		t.Errorf("ledger %+v", line)
	}
	if got := n.balance(payer); got != 0 {
		t.Errorf("%d noz left", got)
	}
}

// Fees return to the pool without a reward; a fee that is half there is half taken.
func TestFees(t *testing.T) {
	n := newNetwork(t, 1, 1, func(s *devspec.Spec) { s.Accounts[0].Ozone = 103 })
	remaining := n.pool().Remaining
	line := n.settle(report.Ledger{Charges: [report.Kinds][]report.Charge{charges(100)}, Fees: map[mesh.Account]mesh.Noz{payer.Account(): 5}})
	if line.Taken != 103 || line.Returned != 3 || line.Clipped != 2 || line.Settled != 100 {
		t.Errorf("ledger %+v", line)
	}
	if got := new(big.Int).Sub(n.pool().Remaining, remaining); got.Int64() != 103 {
		t.Errorf("%s noz went back to the pool, want 103", got)
	}
}

// A small node waits until it belongs to the largest 80 %, or until its carry is too old.
func TestCarry(t *testing.T) {
	n := newNetwork(t, 1, 2, nil)
	n.buy(payer, 100_000*oz)
	carried := uint64(0)
	for e := mesh.Epoch(0); e < 4; e++ {
		line := n.settle(report.Ledger{FromEpoch: e, Epoch: e, Charges: [report.Kinds][]report.Charge{charges(100*oz, 5*oz)}})
		if line.CarriedIn != carried || line.CarriedOut != carried+uint64(5*oz) || line.Settled != uint64(100*oz) {
			t.Fatalf("epoch %d: %+v", e, line)
		}
		carried = line.CarriedOut
	}
	if got := n.earned(chaintest.NodeName(1)); got.Sign() != 0 {
		t.Fatalf("the small node earned %s", got)
	}
	// Nothing new: what is carried is now all that stands.
	line := n.settle(report.Ledger{FromEpoch: 4, Epoch: 4})
	if line.Taken != 0 || line.Settled != carried || line.CarriedOut != 0 {
		t.Errorf("ledger %+v", line)
	}
	if got := n.earned(chaintest.NodeName(1)); got.Sign() == 0 {
		t.Error("the small node earned nothing")
	}
	// A carry that no prefix reaches settles when it is 100 epochs old.
	first := n.settle(report.Ledger{FromEpoch: 5, Epoch: 5, Charges: [report.Kinds][]report.Charge{charges(100*oz, 5*oz)}})
	if first.CarriedOut != uint64(5*oz) {
		t.Fatalf("%+v", first)
	}
	n.Skip(4 * 101)
	// What joins it later does not make it younger.
	if line := n.settle(report.Ledger{FromEpoch: 6, Epoch: 104, Charges: [report.Kinds][]report.Charge{charges(100*oz, 1*oz)}}); line.CarriedOut != uint64(6*oz) {
		t.Fatalf("after 99 epochs: %+v", line)
	}
	line = n.settle(report.Ledger{FromEpoch: 105, Epoch: 105, Charges: [report.Kinds][]report.Charge{charges(100 * oz)}})
	if line.CarriedOut != 0 || line.Settled != uint64(106*oz) {
		t.Errorf("after 100 epochs: %+v", line)
	}
}

// Kinds of resource add up per node; equal volumes settle in the order of ids.
func TestKindsAndTies(t *testing.T) {
	n := newNetwork(t, 1, 5, nil)
	n.buy(payer, 100_000*oz)
	var l report.Ledger
	l.Charges[report.Storage] = charges(10*oz, 10*oz, 10*oz, 10*oz, 1*oz)
	l.Charges[report.Compute] = charges(0, 0, 0, 0, 9*oz)
	line := n.settle(l)
	if line.Settled != uint64(40*oz) || line.CarriedOut != uint64(10*oz) {
		t.Fatalf("%+v", line)
	}
	last := 0
	for i := range 5 {
		if bytes.Compare(idOf(i), idOf(last)) > 0 {
			last = i
		}
	}
	for i := range 5 {
		if got := n.earned(chaintest.NodeName(i)).Sign(); (got == 0) != (i == last) {
			t.Errorf("node %d of id %x earned %d; the highest id should wait", i, idOf(i), got)
		}
	}
}

func idOf(i int) []byte { id := chaintest.NodeID(i); return id[:] }

func (n *network) moveModuleCoins(ctx chaintest.Context, from, to string, amount *big.Int) error {
	coins := sdk.NewCoins(sdk.NewCoin("wei", math.NewIntFromBigInt(amount)))
	return n.BankKeeper.SendCoinsFromModuleToModule(ctx, from, to, coins)
}

// A report that enough authorities signed can still contradict itself. Each contradiction is found before it costs
// anybody anything.
func TestContradictions(t *testing.T) {
	leaf := func(i int, noz uint64) *wirepb.VolumeLeaf { return &wirepb.VolumeLeaf{Node: idOf(i), Noz: noz} }
	who := payer.Account()
	debit := func(fees uint64, shares ...uint64) *wirepb.DebitLeaf {
		d := &wirepb.DebitLeaf{Account: who[:], FeesNoz: fees}
		for i, noz := range shares {
			d.Noz += noz
			d.Shares = append(d.Shares, &wirepb.DebitShare{NodeIndex: uint32(i), Noz: noz})
		}
		return d
	}
	first, second := 0, 1
	if bytes.Compare(idOf(first), idOf(second)) > 0 {
		first, second = 1, 0
	}
	for name, tc := range map[string]struct {
		volumes    []*wirepb.VolumeLeaf
		debit      *wirepb.DebitLeaf
		total      mesh.Noz
		fees       mesh.Noz
		volumeFail string
		debitFail  string
	}{
		"a node paid more than its volume": {volumes: []*wirepb.VolumeLeaf{leaf(first, 5), leaf(second, 5)}, debit: debit(0, 7, 3), total: 10, debitFail: "more than its volume"},
		"a node that is not in the table":  {volumes: []*wirepb.VolumeLeaf{leaf(first, 5)}, debit: debit(0, 2, 3), total: 5, debitFail: "has no node 1"},
		"volumes above the header":         {volumes: []*wirepb.VolumeLeaf{leaf(first, 6)}, debit: debit(0, 5), total: 5, volumeFail: "more than the header's 5 noz"},
		"volumes below the header":         {volumes: []*wirepb.VolumeLeaf{leaf(first, 4)}, debit: debit(0, 5), total: 5, volumeFail: "sums to 4 noz"},
		"debits below the header":          {volumes: []*wirepb.VolumeLeaf{leaf(first, 5)}, debit: debit(0, 4), total: 5, debitFail: "sums to 4 noz"},
		"fees above the header":            {volumes: []*wirepb.VolumeLeaf{leaf(first, 5)}, debit: debit(2, 5), total: 5, fees: 1, debitFail: "more than the header's 1 noz"},
		"fees below the header":            {volumes: []*wirepb.VolumeLeaf{leaf(first, 5)}, debit: debit(2, 5), total: 5, fees: 3, debitFail: "hold 2 noz of fees"},
	} {
		n := newNetwork(t, 1, 2, nil)
		n.buy(payer, 1000)
		before := n.balance(payer)
		for n.epoch() == 0 {
			n.Skip(1)
		}
		pages := [][]byte{wire.Encode(&wirepb.VolumePage{Leaves: tc.volumes}), wire.Encode(&wirepb.DebitPage{Leaves: []*wirepb.DebitLeaf{tc.debit}})}
		h := report.Header{Fees: tc.fees}
		for i, p := range pages {
			h.Tables[i] = report.TableRoot{Pages: 1, Root: sha256.Sum256(append([]byte{0}, p...)), Noz: tc.total}
		}
		r := &report.Report{Bytes: h.Encode()}
		if err := n.submit(r.Bytes, n.sign(r, 1)); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{tc.volumeFail, tc.debitFail} {
			err := n.page(0, report.Table(i), 0, wire.Encode(&wirepb.PageEnvelope{Page: pages[i]}))
			if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: page %d: %v, want %q", name, i, err, want)
			}
			if err != nil {
				break
			}
		}
		if n.balance(payer) != before {
			t.Errorf("%s: debited", name)
		}
		n.CheckInvariants()
	}
}
