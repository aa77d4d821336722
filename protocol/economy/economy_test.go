package economy

import (
	"math/big"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratosmesh/stratos/mesh"
)

func big10(s string) *big.Int { v, _ := new(big.Int).SetString(s, 10); return v }

func stos(n int64) *big.Int { return mesh.Stos(n).Big() }

const oz = mesh.Noz(mesh.NozPerOz)

// top is the rule as a person would apply it: sort, then take until 80 % are reached.
func top(volumes []mesh.Noz) (settled []mesh.Noz) {
	sort.Slice(volumes, func(i, j int) bool { return volumes[i] > volumes[j] })
	var total, sum mesh.Noz
	for _, v := range volumes {
		total += v
	}
	for _, v := range volumes {
		if TopReached(sum, total) {
			break
		}
		sum += v
		settled = append(settled, v)
	}
	return settled
}

// The network's published vector.
func TestVector(t *testing.T) {
	settled := top([]mesh.Noz{20 * oz, 300 * oz, 500 * oz, 80 * oz, 200 * oz})
	if len(settled) != 3 || settled[0]+settled[1]+settled[2] != 1000*oz {
		t.Fatalf("settled %v, want 500, 300 and 200 oz", settled)
	}
	r := big10("101010101010101010101")
	s := SplitReward(r)
	if s.Tax.Cmp(new(big.Int).Quo(r, big.NewInt(100))) != 0 {
		t.Errorf("tax %s", s.Tax)
	}
	if rest := new(big.Int).Sub(r, s.Tax); rest.Cmp(stos(100)) != 0 {
		t.Errorf("after tax %s, want 100 STOS", rest)
	}
	for i, want := range []int64{30, 18, 12} {
		if got := Share(s.Nodes, settled[i], 1000*oz); got.Cmp(stos(want)) != 0 {
			t.Errorf("node %d earns %s, want %d STOS", i, got, want)
		}
	}
}

// Deposits of 1 STOS each start at 1 TB a STOS.
func TestFirstPrice(t *testing.T) {
	p, issued := NewPool().Deposit(stos(1))
	if issued.Cmp(big.NewInt(1e12)) != 0 {
		t.Fatalf("1 STOS issues %s noz, want 10^12", issued)
	}
	if wei, noz := p.Price(); new(big.Int).Quo(wei, noz).Int64() != DepositWeiPerNoz {
		t.Errorf("price %s/%s", wei, noz)
	}
	if wei := p.Worth(big.NewInt(3)); wei.Int64() != 3*DepositWeiPerNoz || NewPool().Worth(big.NewInt(3)).Sign() != 0 {
		t.Errorf("3 noz are worth %s wei", wei)
	}
	if wei := (Pool{big.NewInt(5), big.NewInt(2), big.NewInt(3)}).Worth(big.NewInt(2)); wei.Int64() != 5 { // 14/3, rounded up
		t.Errorf("2 of 3 noz for 7 wei are worth %s", wei)
	}
	if _, _, err := NewPool().Prepay(stos(1)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("an empty pool sold ozone: %v", err)
	}
}

func pools() *rapid.Generator[Pool] {
	return rapid.Custom(func(t *rapid.T) Pool {
		p, _ := NewPool().Deposit(amount(t, "deposits", DepositWeiPerNoz))
		for i := rapid.IntRange(0, 3).Draw(t, "prepays"); i > 0; i-- {
			if next, _, err := p.Prepay(amount(t, "prepay", 1)); err == nil {
				p = next
			}
		}
		return p
	})
}

func amount(t *rapid.T, label string, least uint64) *big.Int {
	v := new(big.Int).SetUint64(rapid.Uint64Min(least).Draw(t, label))
	return v.Lsh(v, rapid.UintRange(0, 30).Draw(t, label+" scale"))
}

// Cost is the smallest amount that buys enough: one wei less does not.
func TestCostIsSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pools().Draw(t, "pool")
		noz := new(big.Int).Add(new(big.Int).Mod(amount(t, "noz", 0), p.Remaining), big.NewInt(1))
		wei, ok := p.Cost(noz)
		if !ok {
			if noz.Cmp(p.Remaining) < 0 {
				t.Fatalf("%s of %s noz have no cost", noz, p.Remaining)
			}
			return
		}
		if p.Bought(wei).Cmp(noz) < 0 {
			t.Fatalf("%s wei buy %s noz, want %s", wei, p.Bought(wei), noz)
		}
		if less := new(big.Int).Sub(wei, big.NewInt(1)); p.Bought(less).Cmp(noz) >= 0 {
			t.Fatalf("%s wei would do too", less)
		}
	})
}

// Whatever happens to a pool: the product never falls, nothing goes negative, and ozone is conserved.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pools().Draw(t, "pool")
		product := func(p Pool) *big.Int { return mul(p.stake(), p.Remaining) }
		held := new(big.Int)
		total := new(big.Int).Set(p.Remaining)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			before := product(p)
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				next, noz, err := p.Prepay(amount(t, "wei", 0))
				if err != nil {
					continue
				}
				p = next
				held.Add(held, noz)
				if product(p).Cmp(before) < 0 {
					t.Fatal("a prepay was too cheap")
				}
			case 1:
				y := new(big.Int).Mod(amount(t, "y", 0), new(big.Int).Add(held, big.NewInt(1)))
				next, r := p.Settle(y)
				if want := new(big.Int).Sub(p.Prepaid, next.Prepaid); r.Cmp(want) != 0 {
					t.Fatal("a reward is not what the pool lost")
				}
				p = next
				held.Sub(held, y)
				if product(p).Cmp(before) < 0 {
					t.Fatal("a settlement paid too much")
				}
			case 2:
				next, issued := p.Deposit(amount(t, "deposit", 0))
				p = next
				total.Add(total, issued)
			case 3:
				next, removed, err := p.Withdraw(new(big.Int).Mod(amount(t, "withdraw", 0), new(big.Int).Add(p.Deposits, big.NewInt(1))))
				if err != nil {
					t.Fatal(err)
				}
				if p.Remaining.Sign() > 0 && next.Remaining.Sign() == 0 {
					t.Fatal("a withdrawal took the last noz")
				}
				p = next
				total.Sub(total, removed)
			case 4:
				p = p.Return(held)
				held = new(big.Int)
			}
			if p.Deposits.Sign() < 0 || p.Prepaid.Sign() < 0 || p.Remaining.Sign() < 0 {
				t.Fatalf("negative: %+v", p)
			}
			if new(big.Int).Add(p.Remaining, held).Cmp(total) != 0 {
				t.Fatalf("%s remain and %s are held of %s", p.Remaining, held, total)
			}
		}
	})
}

func TestSplitSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := amount(t, "reward", 0)
		s := SplitReward(r)
		sum := new(big.Int)
		for _, part := range []*big.Int{s.Tax, s.Nodes, s.Authorities, s.Chain, s.Remainder} {
			if part.Sign() < 0 {
				t.Fatalf("negative part: %+v", s)
			}
			sum.Add(sum, part)
		}
		if sum.Cmp(r) != 0 || s.Remainder.Cmp(big.NewInt(3)) >= 0 {
			t.Fatalf("%+v of %s", s, r)
		}
	})
}

// The 80 % rule against one that tries every prefix, and Clip against its promise.
func TestTopAndClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		volumes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mesh.Noz { return mesh.Noz(rapid.Uint64Range(0, 1<<40).Draw(t, "v")) }), 0, 20).Draw(t, "volumes")
		got := top(volumes)
		var total uint64
		for _, v := range volumes {
			total += uint64(v)
		}
		want := 0
		for sum := uint64(0); sum*100 < total*80; want++ {
			sum += uint64(volumes[want])
		}
		if len(got) != want {
			t.Fatalf("%d nodes settle of %v, want %d", len(got), volumes, want)
		}
		available := mesh.Noz(rapid.Uint64Range(0, total+1).Draw(t, "available"))
		var paid mesh.Noz
		for _, v := range volumes {
			c := Clip(v, available, mesh.Noz(total))
			if c > v {
				t.Fatal("a clipped share grew")
			}
			paid += c
		}
		if paid > available {
			t.Fatalf("shares of %d noz paid of %d", paid, available)
		}
		if available < mesh.Noz(total) && available-paid >= mesh.Noz(len(volumes)) {
			t.Fatalf("%d noz lost to rounding over %d shares", available-paid, len(volumes))
		}
	})
}

func TestEpochs(t *testing.T) {
	e := Epochs{10}
	for h, want := range map[mesh.Height]mesh.Epoch{0: 0, 1: 0, 10: 0, 11: 1, 20: 1, 21: 2} {
		if got := e.Of(h); got != want {
			t.Errorf("height %d is in epoch %d, want %d", h, got, want)
		}
		if f := e.First(want); e.Of(f) != want || (f > 1 && e.Of(f-1) == want) {
			t.Errorf("epoch %d begins at %d", want, f)
		}
	}
}

// The edges, where a random test rarely stands.
func TestEdges(t *testing.T) {
	for _, tc := range []struct{ share, available, owed, want mesh.Noz }{
		{5, 10, 10, 5}, {5, 9, 10, 4}, {5, 1, 10, 0}, {5, 0, 10, 0}, {0, 0, 0, 0},
		{mesh.MaxNoz, mesh.MaxNoz - 1, mesh.MaxNoz, mesh.MaxNoz - 1},
	} {
		if got := Clip(tc.share, tc.available, tc.owed); got != tc.want {
			t.Errorf("Clip(%d, %d, %d) = %d, want %d", tc.share, tc.available, tc.owed, got, tc.want)
		}
	}
	for _, tc := range []struct {
		selected, total mesh.Noz
		want            bool
	}{{0, 0, true}, {0, 1, false}, {79, 100, false}, {80, 100, true}, {4, 5, true}, {mesh.MaxNoz, mesh.MaxNoz, true}} {
		if got := TopReached(tc.selected, tc.total); got != tc.want {
			t.Errorf("TopReached(%d, %d) = %v", tc.selected, tc.total, got)
		}
	}
	p, _ := NewPool().Deposit(stos(1))
	if next, removed, err := p.Withdraw(stos(1)); err != nil || next.Remaining.Int64() != 1 || removed.Int64() != 1e12-1 {
		t.Errorf("withdrawing all: %v left, %v removed, %v", next.Remaining, removed, err)
	}
	if _, _, err := p.Withdraw(stos(2)); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("withdrawing more than there is: %v", err)
	}
	if got := Share(stos(1), 1, 0); got.Sign() != 0 {
		t.Errorf("a share of no volume: %s", got)
	}
}
