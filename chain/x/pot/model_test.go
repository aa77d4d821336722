package pot_test

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stratosmesh/stratos/chain/chaintest"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
	"github.com/stratosmesh/stratos/protocol/report"
)

// model is settlement as a person would do it on paper: whole lists, no queues, no indexes.
type model struct {
	balance map[mesh.Account]uint64
	carry   map[mesh.NodeID]uint64
	since   map[mesh.NodeID]uint64
	earned  map[mesh.NodeID]*big.Int
}

type modelLine struct{ taken, settled, returned, carriedOut, clipped uint64 }

// settle applies an epoch's ledger, given the pool's sums before it.
func (m *model) settle(epoch uint64, l report.Ledger, stake, prepaid, remaining *big.Int) (line modelLine) {
	for kind := range report.Kinds {
		owed := map[mesh.Account]map[mesh.NodeID]uint64{}
		for _, c := range l.Charges[kind] {
			if owed[c.Account] == nil {
				owed[c.Account] = map[mesh.NodeID]uint64{}
			}
			owed[c.Account][c.Node] += uint64(c.Noz)
		}
		if kind == report.Storage {
			for a := range l.Fees {
				if owed[a] == nil {
					owed[a] = map[mesh.NodeID]uint64{}
				}
			}
		}
		for a, nodes := range owed {
			var receipts, fees uint64
			for _, noz := range nodes {
				receipts += noz
			}
			if kind == report.Storage {
				fees = uint64(l.Fees[a])
			}
			has := m.balance[a]
			left := has
			for node, noz := range nodes {
				pay := noz
				if has < receipts {
					pay = new(big.Int).Div(new(big.Int).Mul(big.NewInt(int64(noz)), big.NewInt(int64(has))), big.NewInt(int64(receipts))).Uint64()
				}
				if pay > 0 && m.carry[node] == 0 {
					m.since[node] = epoch
				}
				m.carry[node] += pay
				left -= pay
				line.taken += pay
				line.clipped += noz - pay
			}
			fee := fees
			if has < receipts {
				fee = 0
			} else if left < fee {
				fee = left
			}
			m.balance[a] = left - fee
			line.taken += fee
			line.returned += fee
			line.clipped += fees - fee
		}
	}
	var order []mesh.NodeID
	var total uint64
	for n, noz := range m.carry {
		if noz > 0 {
			order = append(order, n)
			total += noz
		}
	}
	sort.Slice(order, func(i, j int) bool {
		if a, b := m.carry[order[i]], m.carry[order[j]]; a != b {
			return a > b
		}
		return bytes.Compare(order[i][:], order[j][:]) < 0
	})
	settles := map[mesh.NodeID]uint64{}
	for _, n := range order {
		if line.settled*10 >= total*8 {
			break
		}
		settles[n] = m.carry[n]
		line.settled += m.carry[n]
	}
	for _, n := range order {
		if _, already := settles[n]; !already && epoch-m.since[n] >= 100 {
			settles[n] = m.carry[n]
			line.settled += m.carry[n]
		}
	}
	y := new(big.Int).SetUint64(line.settled)
	reward := new(big.Int)
	if y.Sign() > 0 {
		reward.Div(new(big.Int).Mul(stake, y), new(big.Int).Add(remaining, y))
	}
	if reward.Cmp(prepaid) > 0 {
		reward.Set(prepaid)
	}
	tax := new(big.Int).Div(reward, big.NewInt(100))
	part := new(big.Int).Sub(reward, tax)
	part.Div(part.Mul(part, big.NewInt(60)), big.NewInt(100))
	for n, noz := range settles {
		share := new(big.Int).Mul(part, new(big.Int).SetUint64(noz))
		m.earned[n].Add(m.earned[n], share.Div(share, y))
		delete(m.carry, n)
	}
	for _, noz := range m.carry {
		line.carriedOut += noz
	}
	return line
}

// Random epochs through the real modules and through the model lead to the same noz and the same wei.
func TestAgainstModel(t *testing.T) {
	const nodes, customers, epochs = 7, 5, 12
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := &model{map[mesh.Account]uint64{}, map[mesh.NodeID]uint64{}, map[mesh.NodeID]uint64{}, map[mesh.NodeID]*big.Int{}}
		var accounts []mesh.Account
		n := newNetwork(t, 3, nodes, func(s *devspec.Spec) {
			for i := range customers {
				a := chaintest.NewWallet(fmt.Sprintf("customer-%d", i)).Account()
				accounts = append(accounts, a)
				m.balance[a] = rng.Uint64N(3_000_000)
				s.Accounts = append(s.Accounts, devspec.Account{Name: a.String(), Address: a, Ozone: mesh.Noz(m.balance[a])})
			}
		})
		for i := range nodes {
			m.earned[chaintest.NodeID(i)] = new(big.Int)
		}
		from := mesh.Epoch(0)
		for range epochs {
			epoch := from
			if rng.IntN(4) == 0 {
				epoch += mesh.Epoch(rng.IntN(60)) // some epochs had nothing to report
			}
			l := report.Ledger{FromEpoch: from, Epoch: epoch, Fees: map[mesh.Account]mesh.Noz{}}
			for kind := range report.Kinds {
				for range rng.IntN(12) {
					l.Charges[kind] = append(l.Charges[kind], report.Charge{Account: accounts[rng.IntN(customers)],
						Node: chaintest.NodeID(rng.IntN(nodes)), Noz: mesh.Noz(1 + rng.Uint64N(1<<rng.IntN(18)))})
				}
			}
			for range rng.IntN(3) {
				l.Fees[accounts[rng.IntN(customers)]] = mesh.Noz(1 + rng.Uint64N(5000))
			}
			p := n.pool()
			want := m.settle(uint64(epoch), l, new(big.Int).Add(p.Deposits, p.Prepaid), p.Prepaid, p.Remaining)
			got := n.settle(l)
			if (modelLine{got.Taken, got.Settled, got.Returned, got.CarriedOut, got.Clipped}) != want {
				t.Fatalf("seed %d, epoch %d: %+v, want %+v", seed, epoch, got, want)
			}
			from = epoch + 1
		}
		for _, a := range accounts {
			if got, err := n.SDSKeeper.Balance(n.Ctx(), a); err != nil || uint64(got) != m.balance[a] {
				t.Errorf("seed %d: %s has %d noz, want %d: %v", seed, a, got, m.balance[a], err)
			}
		}
		for i := range nodes {
			if got, want := n.earned(chaintest.NodeName(i)), m.earned[chaintest.NodeID(i)]; got.Cmp(want) != 0 {
				t.Errorf("seed %d: node %d earned %s wei, want %s", seed, i, got, want)
			}
		}
	}
}
