package audit

import (
	"context"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/economy"
	"github.com/stratosmesh/stratos/protocol/report"
)

// A ledger is a value layer and a meta layer of plain maps, on which the tests settle by hand.
type ledger struct {
	reports     map[mesh.Epoch]*client.Report
	lines       map[mesh.Epoch]*Line
	rewards     map[mesh.Epoch]map[mesh.Account]*big.Int
	operators   map[mesh.NodeID]mesh.Account
	authorities [][20]byte
}

func (l *ledger) Report(_ context.Context, e mesh.Epoch) (*client.Report, error) {
	if r := l.reports[e]; r != nil {
		return r, nil
	}
	return nil, mesh.Errorf(mesh.NotFound, "none")
}

func (l *ledger) Query(_ context.Context, _ abi.Contract, method string, args ...any) ([]any, error) {
	switch method {
	case "params":
		return []any{uint64(2), uint64(100)}, nil
	case "report":
		r := l.reports[mesh.Epoch(args[0].(uint64))]
		if r == nil {
			return []any{[]byte(nil), uint8(0), uint8(0), uint32(0), uint32(0), uint32(0)}, nil
		}
		return []any{r.Header.Encode(), uint8(final), uint8(0), uint32(0), uint32(1), uint32(len(l.authorities))}, nil
	case "ledger":
		n := l.lines[mesh.Epoch(args[0].(uint64))]
		return []any{uint64(n.Taken), uint64(n.CarriedIn), uint64(n.Settled), uint64(n.Returned), uint64(n.CarriedOut), uint64(n.Clipped),
			n.Reward, n.Tax, n.Nodes, n.Authorities, n.Chain, n.Remainder, n.Pool.Deposits, n.Pool.Prepaid, n.Pool.Remaining, uint32(3)}, nil
	case "node":
		if to, ok := l.operators[args[0].([20]byte)]; ok {
			return []any{common.Address(to)}, nil
		}
		return nil, mesh.Errorf(mesh.Invalid, "no such node")
	case "authorities":
		return []any{l.authorities}, nil
	case "authority":
		return []any{common.Address(args[0].([20]byte))}, nil
	case "rewardOf":
		wei := l.rewards[mesh.Epoch(args[1].(uint64))][mesh.Account(args[0].(common.Address))]
		if wei == nil {
			wei = new(big.Int)
		}
		return []any{wei}, nil
	}
	panic(method)
}

func oz(n int64) mesh.Noz { return mesh.Noz(n) * mesh.NozPerOz }

// settled is the network of the published vector: nodes of 500, 300, 200, 80 and 20 oz in epoch 3, of which the first three
// settle, and in epoch 5 the fourth delivers 40 more and settles with what it carried.
func settled() *ledger {
	l := &ledger{reports: map[mesh.Epoch]*client.Report{}, lines: map[mesh.Epoch]*Line{}, rewards: map[mesh.Epoch]map[mesh.Account]*big.Int{},
		operators: map[mesh.NodeID]mesh.Account{}, authorities: [][20]byte{{0xa1}, {0xa2}, {0xa3}}}
	for i := range byte(5) {
		l.operators[mesh.NodeID{i + 1}] = mesh.Account{0xb0 + i}
	}
	l.epoch(3, 0, map[byte]int64{1: 500, 2: 300, 3: 200, 4: 80, 5: 20}, []byte{1, 2, 3}, 1000, 100)
	l.epoch(5, 100, map[byte]int64{4: 40}, []byte{4}, 120, 20)
	return l
}

// epoch settles by hand: carriedIn, settles and carriedOut are in oz.
func (l *ledger) epoch(e mesh.Epoch, carriedIn int64, delivered map[byte]int64, settles []byte, settled, carriedOut int64) {
	const fees = 7000
	account := mesh.Account{0xc1}
	ledger := &report.Ledger{FromEpoch: e, Epoch: e, Fees: map[mesh.Account]mesh.Noz{account: fees}}
	total := int64(0)
	for n, v := range delivered {
		ledger.Charges[report.Storage] = append(ledger.Charges[report.Storage], report.Charge{Account: account, Node: mesh.NodeID{n}, Noz: oz(v)})
		total += v
	}
	built, err := report.Build(ledger)
	if err != nil {
		panic(err)
	}
	rep := &client.Report{Header: built.Header}
	for t, pages := range built.Pages {
		for i, env := range pages {
			p, err := report.OpenPage(rep.Header, report.Table(t), uint32(i), env)
			if err != nil {
				panic(err)
			}
			rep.Pages[t] = append(rep.Pages[t], p)
		}
	}
	l.reports[e] = rep
	pool := economy.Pool{Deposits: mesh.Stos(9000).Big(), Prepaid: mesh.Stos(1000).Big(), Remaining: new(big.Int).SetUint64(uint64(oz(98_000)))}
	n := &Line{Taken: oz(total) + fees, CarriedIn: oz(carriedIn), Settled: oz(settled), Returned: fees, CarriedOut: oz(carriedOut), Pool: pool}
	n.Reward = pool.Reward(new(big.Int).SetUint64(uint64(n.Settled)))
	split := economy.SplitReward(n.Reward)
	n.Tax, n.Chain, n.Remainder = split.Tax, split.Chain, new(big.Int).Sub(n.Reward, split.Tax)
	n.Remainder.Sub(n.Remainder, split.Chain)
	l.rewards[e] = map[mesh.Account]*big.Int{}
	n.Nodes = new(big.Int)
	for _, id := range settles {
		noz := oz(delivered[id])
		if e == 5 {
			noz = oz(120)
		}
		wei := economy.Share(split.Nodes, noz, n.Settled)
		l.rewards[e][l.operators[mesh.NodeID{id}]] = wei
		n.Nodes.Add(n.Nodes, wei)
	}
	each := new(big.Int).Quo(split.Authorities, big.NewInt(3))
	for _, a := range l.authorities {
		l.rewards[e][mesh.Account(a)] = each
	}
	n.Authorities = new(big.Int).Mul(each, big.NewInt(3))
	n.Remainder.Sub(n.Remainder, n.Nodes)
	n.Remainder.Sub(n.Remainder, n.Authorities)
	l.lines[e] = n
}

func TestEqual(t *testing.T) {
	for e, want := range map[mesh.Epoch]Finding{3: {Reports: 1, Wallets: 6}, 5: {Reports: 2, Wallets: 4}} {
		l := settled()
		f, err := Epoch(t.Context(), l, l, e)
		if err != nil {
			t.Fatal(err)
		}
		if f.Reports != want.Reports || f.Wallets != want.Wallets || len(f.Differences)+len(f.Unchecked) != 0 {
			t.Errorf("epoch %d: %+v", e, *f)
		}
	}
	l := settled()
	if _, err := Epoch(t.Context(), l, l, 4); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("an epoch without a report: %v", err)
	}
}

// Whatever the value layer got wrong shows, and is named.
func TestDiffers(t *testing.T) {
	more := func(v **big.Int) { *v = new(big.Int).Add(*v, big.NewInt(1)) }
	for _, c := range []struct {
		name string
		do   func(l *ledger, n *Line)
		want string
	}{
		{"taken", func(_ *ledger, n *Line) { n.Taken++ }, "taken"},
		{"carried in", func(_ *ledger, n *Line) { n.CarriedIn++ }, "carried in"},
		{"carried out", func(_ *ledger, n *Line) { n.CarriedOut, n.Settled = n.CarriedOut+1, n.Settled-1 }, "carried out"},
		{"returned", func(_ *ledger, n *Line) { n.Returned++ }, "ledger line does not hold"},
		{"reward", func(_ *ledger, n *Line) { more(&n.Reward) }, "reward"},
		{"pool", func(_ *ledger, n *Line) { n.Pool.Remaining = new(big.Int).Quo(n.Pool.Remaining, big.NewInt(2)) }, "reward"},
		{"tax", func(_ *ledger, n *Line) { more(&n.Tax) }, "tax"},
		{"nodes", func(_ *ledger, n *Line) { more(&n.Nodes) }, "part of the nodes"},
		{"authorities", func(_ *ledger, n *Line) { more(&n.Authorities) }, "part of the authorities"},
		{"chain", func(_ *ledger, n *Line) { more(&n.Chain) }, "part of the chain"},
		{"remainder", func(_ *ledger, n *Line) { more(&n.Remainder) }, "sum of the parts"},
		{"wallet", func(l *ledger, _ *Line) { l.rewards[5][mesh.Account{0xb3}].SetInt64(5) }, "reward of st1"},
		{"wallet of an authority", func(l *ledger, _ *Line) { l.rewards[5][mesh.Account{0xa2}] = new(big.Int) }, "reward of st1"},
		{"report", func(l *ledger, _ *Line) { l.reports[5].Header.MetaHeight++; l.reports[5].Pages[1] = nil }, "taken"},
	} {
		l := settled()
		c.do(l, l.lines[5])
		f, err := Epoch(t.Context(), l, l, 5)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(f.Differences, "\n"), c.want) {
			t.Errorf("%s: %q", c.name, f.Differences)
		}
	}
}

// What cannot be known is said, and is no difference.
func TestUnchecked(t *testing.T) {
	for name, do := range map[string]func(*ledger){
		"clipped before":      func(l *ledger) { l.lines[3].Clipped = 5 },
		"a node is gone":      func(l *ledger) { delete(l.operators, mesh.NodeID{4}) },
		"authorities changed": func(l *ledger) { l.authorities = append(l.authorities, [20]byte{9}) },
	} {
		l := settled()
		do(l)
		f, err := Epoch(t.Context(), l, l, 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Unchecked) != 1 || len(f.Differences) != 0 {
			t.Errorf("%s: %+v", name, *f)
		}
	}
}
