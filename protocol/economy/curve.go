// Package economy is the arithmetic of Stratos: the price of ozone, what traffic earns and how it is shared. It is
// pure integer mathematics on values; amounts are wei and noz, every division names its rounding, and nothing
// overflows.
//
// It moves no coins: the modules of package chain do, and the command line uses it to preview.
package economy

import (
	"math/big"

	"github.com/stratosmesh/stratos/mesh"
)

// DepositWeiPerNoz is r0: a deposit of so many wei brings one noz into being.
const DepositWeiPerNoz = 1_000_000

// A Pool is the state of the curve (Deposits + Prepaid) * Remaining = constant. No field is nil or negative. A Pool is
// a value: methods return the pool that follows and leave their receiver as it is.
type Pool struct {
	Deposits  *big.Int // St, wei: what nodes and authorities deposited
	Prepaid   *big.Int // Pt, wei: what was paid for ozone and not yet paid out as reward
	Remaining *big.Int // Lt, noz: what can still be bought
}

// NewPool is empty: there is nothing to buy before the first deposit.
func NewPool() Pool { return Pool{new(big.Int), new(big.Int), new(big.Int)} }

// stake is St + Pt.
func (p Pool) stake() *big.Int { return new(big.Int).Add(p.Deposits, p.Prepaid) }

// Price of ozone as a fraction: so many wei for so many noz. Both are 0 before the first deposit.
func (p Pool) Price() (wei, noz *big.Int) { return p.stake(), new(big.Int).Set(p.Remaining) }

// Worth is what noz cost at the present price, whatever buying them would do to that, rounded up. It is 0 before the first deposit.
func (p Pool) Worth(noz *big.Int) *big.Int {
	if p.Remaining.Sign() == 0 {
		return new(big.Int)
	}
	return ceilDiv(mul(p.stake(), noz), p.Remaining)
}

// Bought is the ozone for which wei pays, rounded down: Lt * X / (St + Pt + X). It is 0 while nothing is for sale.
func (p Pool) Bought(wei *big.Int) *big.Int {
	if wei.Sign() <= 0 || p.stake().Sign() == 0 {
		return new(big.Int)
	}
	return floorDiv(mul(p.Remaining, wei), new(big.Int).Add(p.stake(), wei))
}

// Prepay buys ozone for wei. It refuses, with kind Invalid, an amount that buys nothing.
func (p Pool) Prepay(wei *big.Int) (next Pool, noz *big.Int, err error) {
	noz = p.Bought(wei)
	if noz.Sign() == 0 {
		return p, nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s wei buy no ozone", wei), "pay more, or wait until nodes have made deposits")
	}
	return Pool{p.Deposits, new(big.Int).Add(p.Prepaid, wei), new(big.Int).Sub(p.Remaining, noz)}, noz, nil
}

// Cost is the smallest amount of wei that buys at least noz; ok is false when no amount does.
func (p Pool) Cost(noz *big.Int) (wei *big.Int, ok bool) {
	if noz.Sign() <= 0 {
		return new(big.Int), noz.Sign() == 0
	}
	if p.stake().Sign() == 0 || noz.Cmp(p.Remaining) >= 0 {
		return nil, false
	}
	// floor(L*X/(S+X)) >= a  <=>  L*X >= a*(S+X)  <=>  X >= a*S/(L-a)
	return ceilDiv(mul(noz, p.stake()), new(big.Int).Sub(p.Remaining, noz)), true
}

// PrepayExactly buys noz and not more: it pays Cost, and what the rounding would have given beyond stays in the pool.
func (p Pool) PrepayExactly(noz *big.Int) (next Pool, wei *big.Int, err error) {
	wei, ok := p.Cost(noz)
	if !ok {
		return p, nil, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "%s noz are not for sale, there are %s", noz, p.Remaining), "larger deposits bring more ozone into being")
	}
	return Pool{p.Deposits, new(big.Int).Add(p.Prepaid, wei), new(big.Int).Sub(p.Remaining, noz)}, wei, nil
}

// Reward is what the settlement of noz pays, rounded down: (St + Pt) * Y / (Lt + Y), and never more than Pt.
func (p Pool) Reward(noz *big.Int) *big.Int {
	if noz.Sign() <= 0 {
		return new(big.Int)
	}
	r := floorDiv(mul(p.stake(), noz), new(big.Int).Add(p.Remaining, noz))
	if r.Cmp(p.Prepaid) > 0 {
		r.Set(p.Prepaid)
	}
	return r
}

// Settle pays for noz of traffic, which can then be bought again.
func (p Pool) Settle(noz *big.Int) (next Pool, reward *big.Int) {
	reward = p.Reward(noz)
	return Pool{p.Deposits, new(big.Int).Sub(p.Prepaid, reward), new(big.Int).Add(p.Remaining, noz)}, reward
}

// Return gives noz back to the pool without a reward.
func (p Pool) Return(noz *big.Int) Pool {
	return Pool{p.Deposits, p.Prepaid, new(big.Int).Add(p.Remaining, noz)}
}

// Deposit adds a deposit and the ozone that it issues, rounded down.
func (p Pool) Deposit(wei *big.Int) (next Pool, issued *big.Int) {
	issued = floorDiv(wei, big.NewInt(DepositWeiPerNoz))
	return Pool{new(big.Int).Add(p.Deposits, wei), p.Prepaid, new(big.Int).Add(p.Remaining, issued)}, issued
}

// Withdraw takes a deposit out, and the ozone that it issued with it as far as that leaves 1 noz: who bought ozone
// must still be able to use it, and the curve has no price at 0.
func (p Pool) Withdraw(wei *big.Int) (next Pool, removed *big.Int, err error) {
	if wei.Cmp(p.Deposits) > 0 {
		return p, nil, mesh.Errorf(mesh.Invalid, "withdraw %s wei of deposits of %s", wei, p.Deposits)
	}
	removed = floorDiv(wei, big.NewInt(DepositWeiPerNoz))
	if most := new(big.Int).Sub(p.Remaining, big.NewInt(1)); removed.Cmp(most) > 0 {
		removed = most
		if removed.Sign() < 0 {
			removed = new(big.Int)
		}
	}
	return Pool{new(big.Int).Sub(p.Deposits, wei), p.Prepaid, new(big.Int).Sub(p.Remaining, removed)}, removed, nil
}

func mul(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }

// floorDiv and ceilDiv divide what is not negative by what is positive.
func floorDiv(a, b *big.Int) *big.Int { return new(big.Int).Quo(a, b) }

func ceilDiv(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}
