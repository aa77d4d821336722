package numeric

import (
	"math"
	"math/big"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/softmath"
)

// Functions beyond arithmetic are computed as whole numbers of 2^-p, with at least 40 bits more than the result shows, and
// rounded once. Their work is that of a few hundred products of numbers with the digits of the result.

const log10e = 0.434294481903252

// sqrt rounds the root to a scale.
func (x Number) sqrt(scale int) Number {
	n := x.truncated(2*scale + 2)
	n = new(big.Int).Sqrt(n)
	return atScale(Number{coef: n, scale: scale + 1}.rescaled(scale), scale)
}

// Sqrt returns the square root.
func (x Number) Sqrt() (Number, error) {
	if x.Sign() < 0 {
		return Number{}, sqlstate.New(sqlstate.Power, "cannot take square root of a negative number")
	}
	if x.kind != finite {
		return x, nil
	}
	w, _ := x.weight()
	scale := min(max(minSignificant-((w+1)*4/2-1), x.scale, 0), maxDisplayScale)
	return x.sqrt(scale), nil
}

// bitsFor is how many bits so many decimal digits need.
func bitsFor(digits int) uint { return uint(max(digits, 0)*3322/1000 + 1) }

// fixed returns x times 2^p, rounded down.
func (x Number) fixed(p uint) *big.Int {
	n := new(big.Int).Lsh(x.coef, p)
	return n.Quo(n, pow10(x.scale))
}

// unfixed returns n / 2^p at a scale.
func unfixed(n *big.Int, p uint, scale int) Number {
	if scale < 0 {
		return atScale(quoRound(n, new(big.Int).Mul(new(big.Int).Lsh(bigOne, p), pow10(-scale))), scale)
	}
	return Number{coef: quoRound(new(big.Int).Mul(n, pow10(scale)), new(big.Int).Lsh(bigOne, p)), scale: scale}
}

// atanhInverse returns atanh(1/k) times 2^p.
func atanhInverse(k int64, p uint) *big.Int {
	sum := new(big.Int)
	t := new(big.Int).Quo(new(big.Int).Lsh(bigOne, p), big.NewInt(k))
	kk := big.NewInt(k * k)
	for n := int64(1); t.Sign() != 0; n += 2 {
		sum.Add(sum, new(big.Int).Quo(t, big.NewInt(n)))
		t.Quo(t, kk)
	}
	return sum
}

// ln2 returns the logarithm of 2 times 2^p.
func ln2(p uint) *big.Int {
	q := p + 32
	s := new(big.Int).Mul(big.NewInt(18), atanhInverse(26, q))
	s.Sub(s, new(big.Int).Lsh(atanhInverse(4801, q), 1))
	s.Add(s, new(big.Int).Lsh(atanhInverse(8749, q), 3))
	return s.Rsh(s, 32)
}

// lnFixed returns the logarithm of x, above 0, times 2^p; it is off by less than 2^20 or so.
func lnFixed(x Number, p uint) *big.Int {
	// x is m times 2^e with m in [0.7, 1.5).
	e := x.coef.BitLen() - pow10(x.scale).BitLen()
	n, d := new(big.Int).Set(x.coef), pow10(x.scale)
	if e > 0 {
		d = new(big.Int).Lsh(d, uint(e))
	} else {
		n.Lsh(n, uint(-e))
	}
	if new(big.Int).Mul(n, big.NewInt(10)).Cmp(new(big.Int).Mul(d, big.NewInt(14))) > 0 {
		d = new(big.Int).Lsh(d, 1)
		e++
	}
	// Roots bring m closer to 1, so that the series is shorter.
	roots := uint(math.Sqrt(float64(p)) / 4)
	q := p + 2*roots + 64
	m := new(big.Int).Lsh(n, q)
	m.Quo(m, d)
	for range roots {
		m.Sqrt(m.Lsh(m, q))
	}
	unit := new(big.Int).Lsh(bigOne, q)
	s := new(big.Int).Sub(m, unit)
	s.Quo(s.Lsh(s, q), m.Add(m, unit))
	z := new(big.Int).Mul(s, s)
	z.Rsh(z, q)
	sum := new(big.Int)
	for k := int64(1); s.Sign() != 0 && s.BitLen() > 1; k += 2 {
		sum.Add(sum, new(big.Int).Quo(s, big.NewInt(k)))
		s.Mul(s, z)
		s.Quo(s, unit)
	}
	sum.Lsh(sum, 1+roots)
	sum.Quo(sum, new(big.Int).Lsh(bigOne, q-p))
	return sum.Add(sum, new(big.Int).Quo(new(big.Int).Mul(ln2(p+32), big.NewInt(int64(e))), new(big.Int).Lsh(bigOne, 32)))
}

// ln returns the logarithm of x, above 0, rounded to a scale.
func (x Number) ln(scale int) Number {
	if x.Compare(FromInt(1)) == 0 {
		return Number{coef: new(big.Int), scale: max(scale, 0)}
	}
	p := bitsFor(scale) + 64
	return unfixed(lnFixed(x, p), p, scale)
}

// lnExponent is PostgreSQL's estimate of the decimal exponent of the logarithm of x.
func (x Number) lnExponent() int {
	if x.Sign() <= 0 {
		return 0
	}
	if x.Compare(FromBig(big.NewInt(9), 1)) >= 0 && x.Compare(FromBig(big.NewInt(11), 1)) <= 0 {
		d, _ := x.Sub(FromInt(1))
		if d.Sign() == 0 {
			return 0
		}
		return d.exponent()
	}
	e := x.exponent()
	w := floorDiv(e, 4)
	lead := e - 4*w + 5 // decimal digits in the first two to base 10,000
	n := digits(x.coef)
	c := new(big.Int).Abs(x.coef)
	if n > lead {
		c.Quo(c, pow10(n-lead))
	} else {
		c.Mul(c, pow10(lead-n))
	}
	f := softmath.Log(float64(c.Int64())) + float64(float64(w*4-4)*2.302585092994046)
	return int(softmath.Log10(math.Abs(f)))
}

func checkLog(x Number) error {
	switch s := x.Sign(); {
	case x.kind == nan || s > 0:
		return nil
	case s < 0:
		return sqlstate.New(sqlstate.Logarithm, "cannot take logarithm of a negative number")
	}
	return sqlstate.New(sqlstate.Logarithm, "cannot take logarithm of zero")
}

// Ln returns the natural logarithm.
func (x Number) Ln() (Number, error) {
	if err := checkLog(x); err != nil {
		return Number{}, err
	}
	if x.kind != finite {
		return x, nil
	}
	return x.ln(min(max(minSignificant-x.lnExponent(), x.scale, 0), maxDisplayScale)).checked()
}

// Log returns the logarithm of x to a base.
func Log(base, x Number) (Number, error) {
	if base.kind == nan || x.kind == nan {
		return NaN, nil
	}
	// Below zero comes first, whichever argument it is.
	if base.Sign() < 0 || x.Sign() < 0 {
		return Number{}, checkLog(FromInt(-1))
	}
	if base.Sign() == 0 || x.Sign() == 0 {
		return Number{}, checkLog(FromInt(0))
	}
	if base.kind != finite || x.kind != finite {
		switch {
		case base.kind != finite && x.kind != finite:
			return NaN, nil
		case base.kind != finite:
			return FromInt(0), nil
		}
		return Infinity, nil
	}
	eb, ex := base.lnExponent(), x.lnExponent()
	scale := min(max(minSignificant-(ex-eb), base.scale, x.scale, 0), maxDisplayScale)
	if base.Compare(FromInt(1)) == 0 {
		return Number{}, divisionByZero
	}
	p := bitsFor(max(scale, 0)) + bitsFor(2*max(-eb, 0)) + bitsFor(max(ex, 0)) + 64
	n, d := lnFixed(x, p), lnFixed(base, p)
	return unfixed(new(big.Int).Quo(n.Lsh(n, p), d), p, scale).checked()
}

// expFixed returns e^(x/2^p) as n and k: n/2^p times 2^k, n/2^p in about [0.7, 1.5].
func expFixed(x *big.Int, p uint) (*big.Int, int) {
	k := int(quoRound(x, ln2(p)).Int64())
	l := ln2(p + 32)
	r := new(big.Int).Lsh(x, 32)
	r.Sub(r, l.Mul(l, big.NewInt(int64(k))))
	doublings := uint(math.Sqrt(float64(p))/3) + 1
	q := p + 32 + 2*doublings
	r.Lsh(r, q-p-32)
	r.Quo(r, new(big.Int).Lsh(bigOne, doublings))
	unit := new(big.Int).Lsh(bigOne, q)
	t, sum := new(big.Int).Set(unit), new(big.Int).Set(unit)
	for n := int64(1); t.Sign() != 0; n++ {
		t.Mul(t, r)
		t.Quo(t, unit)
		t.Quo(t, big.NewInt(n))
		sum.Add(sum, t)
	}
	for range doublings {
		sum.Mul(sum, sum)
		sum.Rsh(sum, q)
	}
	return sum.Rsh(sum, q-p), k
}

// expOf returns e^(x/2^p) rounded to a scale; p has bits enough for the digits before the point too.
func expOf(x *big.Int, p uint, scale int) Number {
	n, k := expFixed(x, p)
	if k >= 0 {
		n.Lsh(n, uint(k))
		return unfixed(n, p, scale)
	}
	return unfixed(n, p+uint(-k), scale)
}

func (x Number) approximate() float64 {
	f, _ := x.Float()
	return f
}

// Exp returns e to the power x.
func (x Number) Exp() (Number, error) {
	switch x.kind {
	case minusInfinity:
		return FromInt(0), nil
	case plusInfinity, nan:
		return x, nil
	}
	val := x.approximate()
	weight := min(max(float64(val*log10e), -maxResultScale), maxResultScale)
	scale := min(max(minSignificant-int(weight), x.scale, 0), maxDisplayScale)
	if math.Abs(val) >= maxResultScale*3 {
		if val > 0 {
			return Number{}, overflow
		}
		return Number{coef: new(big.Int), scale: scale}, nil
	}
	p := bitsFor(scale+max(int(val*log10e), 0)) + 80
	return expOf(x.fixed(p), p, scale).checked()
}

// Power returns x to the power y.
func (x Number) Power(y Number) (Number, error) {
	one := FromInt(1)
	if x.kind == nan {
		if y.kind == finite && y.Sign() == 0 {
			return one, nil
		}
		return NaN, nil
	} else if y.kind == nan {
		if x.kind == finite && x.Compare(one) == 0 {
			return one, nil
		}
		return NaN, nil
	}
	sx, sy := x.Sign(), y.Sign()
	if sx == 0 && sy < 0 {
		return Number{}, sqlstate.New(sqlstate.Power, "zero raised to a negative power is undefined")
	}
	whole := y.kind != finite || y.Whole()
	if sx < 0 && !whole {
		return Number{}, sqlstate.New(sqlstate.Power, "a negative number raised to a non-integer power yields a complex result")
	}
	odd := y.kind == finite && whole && y.truncated(0).Bit(0) == 1
	if x.kind != finite || y.kind != finite {
		switch {
		case x.kind == finite && x.Compare(one) == 0 || sy == 0:
			return one, nil
		case sx == 0:
			return FromInt(0), nil
		case y.kind != finite:
			if x.kind == finite && x.Compare(FromInt(-1)) == 0 {
				return one, nil
			}
			if (x.kind != finite || x.Abs().Compare(one) > 0) == (sy > 0) {
				return Infinity, nil
			}
			return FromInt(0), nil
		case sy < 0:
			return FromInt(0), nil
		case x.kind == minusInfinity && odd:
			return NegativeInfinity, nil
		}
		return Infinity, nil
	}
	if whole {
		if n, ok := y.Int64(); ok && n >= math.MinInt32 && n <= math.MaxInt32 {
			return x.powerInt(int(n), min(max(minSignificant, x.scale), maxDisplayScale))
		}
	}
	if sx == 0 {
		return Number{coef: new(big.Int), scale: minSignificant}, nil
	}
	base := x.Abs()
	e := base.lnExponent()
	low := max(8-e, 0)
	val := base.ln(low).times(y, low).approximate()
	if math.Abs(val) > maxResultScale*3.01 {
		if val > 0 {
			return Number{}, overflow
		}
		return Number{coef: new(big.Int), scale: maxDisplayScale}, nil
	}
	w := int(float64(val * log10e))
	scale := min(max(minSignificant-w, x.scale, y.scale, 0), maxDisplayScale)
	if math.Abs(val) >= maxResultScale*3 {
		if val > 0 {
			return Number{}, overflow
		}
		return Number{coef: new(big.Int), scale: scale}, nil
	}
	p := bitsFor(max(scale+w, scale)) + bitsFor(max(-e, 0)) + bitsFor(max(y.Digits()-y.scale, 0)) + 80
	l := lnFixed(base, p)
	l.Mul(l, y.coef)
	l.Quo(l, pow10(y.scale))
	v := expOf(l, p, scale)
	if sx < 0 && odd {
		v = v.Neg()
	}
	return v.checked()
}

// powerInt multiplies, keeping as many digits as the result shows and ten more.
func (x Number) powerInt(n, scale int) (Number, error) {
	switch n {
	case 0:
		return Number{coef: pow10(scale), scale: scale}, nil
	case 1:
		return atScale(x.rescaled(scale), scale).checked()
	case -1:
		if x.Sign() == 0 {
			return Number{}, divisionByZero
		}
		return FromInt(1).over(x, scale, true).checked()
	case 2:
		return x.times(x, scale).checked()
	}
	if x.Sign() == 0 {
		if n < 0 {
			return Number{}, divisionByZero
		}
		return Number{coef: new(big.Int), scale: scale}, nil
	}
	// 16 digits of x give the weight of the result.
	c, e := new(big.Int).Abs(x.coef), -x.scale
	if d := digits(c); d > 16 {
		c.Quo(c, pow10(d-16))
		e += d - 16
	}
	f := float64(float64(n) * (softmath.Log10(float64(c.Int64())) + float64(e)))
	if f > 3*32767*4 {
		return Number{}, overflow
	}
	if f+1 < float64(-scale) || f+1 < -maxDisplayScale {
		return Number{coef: new(big.Int), scale: scale}, nil
	}
	m := n
	if m < 0 {
		m = -m
	}
	significant := max(1+scale+int(f), 0) + int(softmath.Log(float64(m))) + 8
	if n < 0 {
		// The quotient at the end needs as many digits of its divisor.
		significant += 8
	}
	prod, result := x, FromInt(1)
	if m&1 != 0 {
		result = x
	}
	for m >>= 1; m > 0; m >>= 1 {
		w, _ := prod.weight()
		prod = prod.times(prod, max(min(significant-2*w*4, 2*prod.scale), 0))
		wp, _ := prod.weight()
		if m&1 != 0 {
			wr, _ := result.weight()
			result = prod.times(result, max(min(significant-(wp+wr)*4, prod.scale+result.scale), 0))
		}
		wr, _ := result.weight()
		if wp > 32767 || wr > 32767 {
			if n > 0 {
				return Number{}, overflow
			}
			return Number{coef: new(big.Int), scale: scale}, nil
		}
	}
	if n < 0 {
		if result.Sign() == 0 {
			return Number{}, divisionByZero
		}
		return FromInt(1).over(result, scale, true).checked()
	}
	return atScale(result.rescaled(scale), scale).checked()
}

// WidthBucket returns in which of count equal parts between two bounds x lies; 0 and count+1 are outside.
func WidthBucket(x, low, high Number, count int32) (int64, error) {
	switch {
	case count <= 0:
		return 0, sqlstate.New(sqlstate.WidthBucket, "count must be greater than zero")
	case x.kind == nan || low.kind == nan || high.kind == nan:
		return 0, sqlstate.New(sqlstate.WidthBucket, "operand, lower bound, and upper bound cannot be NaN")
	case low.IsInf() || high.IsInf():
		return 0, sqlstate.New(sqlstate.WidthBucket, "lower and upper bounds must be finite")
	}
	c := low.Compare(high)
	if c == 0 {
		return 0, sqlstate.New(sqlstate.WidthBucket, "lower bound cannot equal upper bound")
	}
	if c > 0 {
		x, low, high = x.Neg(), low.Neg(), high.Neg()
	}
	switch {
	case x.Compare(low) < 0:
		return 0, nil
	case x.Compare(high) >= 0:
		if count == math.MaxInt32 {
			return 0, sqlstate.Range("integer")
		}
		return int64(count) + 1, nil
	}
	d, _ := x.Sub(low)
	r, _ := high.Sub(low)
	d = d.times(FromInt(int64(count)), d.scale)
	q, _ := d.over(r, divScale(d, r), true).Floor()
	n, _ := q.Int64()
	if n >= math.MaxInt32 {
		return 0, sqlstate.Range("integer")
	}
	return n + 1, nil
}
