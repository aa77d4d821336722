package softmath

import "math"

// A dd is the sum of two doubles, hi being the double nearest to it.
type dd struct{ hi, lo float64 }

var one = dd{1, 0}

// sum returns a + b, exactly.
func sum(a, b float64) dd {
	s := a + b
	t := s - a
	return dd{s, (a - (s - t)) + (b - t)}
}

// quickSum is sum for |a| ≥ |b|.
func quickSum(a, b float64) dd {
	s := a + b
	return dd{s, b - (s - a)}
}

// halves returns two doubles of at most 26 bits whose sum is a. a is below 2^996.
func halves(a float64) (hi, lo float64) {
	t := float64(a * (1<<27 + 1))
	hi = t - (t - a)
	return hi, a - hi
}

// prod returns a times b, exactly unless it comes near the smallest doubles.
func prod(a, b float64) dd {
	p := float64(a * b)
	ah, al := halves(a)
	bh, bl := halves(b)
	return dd{p, ((float64(ah*bh) - p) + float64(ah*bl) + float64(al*bh)) + float64(al*bl)}
}

func (a dd) add(b dd) dd {
	s, t := sum(a.hi, b.hi), sum(a.lo, b.lo)
	s = quickSum(s.hi, s.lo+t.hi)
	return quickSum(s.hi, s.lo+t.lo)
}

func (a dd) mul(b dd) dd {
	p := prod(a.hi, b.hi)
	return quickSum(p.hi, p.lo+(float64(a.hi*b.lo)+float64(a.lo*b.hi)))
}

func (a dd) mulFloat(b float64) dd {
	p := prod(a.hi, b)
	return quickSum(p.hi, p.lo+float64(a.lo*b))
}

func (a dd) div(b dd) dd {
	q := a.hi / b.hi
	r := a.sub(b.mulFloat(q))
	q2 := r.hi / b.hi
	r = r.sub(b.mulFloat(q2))
	q3 := r.hi / b.hi
	s := quickSum(q, q2)
	return s.add(dd{q3, 0})
}

func (a dd) neg() dd        { return dd{-a.hi, -a.lo} }
func (a dd) sub(b dd) dd    { return a.add(b.neg()) }
func (a dd) times2() dd     { return dd{a.hi + a.hi, a.lo + a.lo} }
func (a dd) half() dd       { return dd{float64(a.hi * 0.5), float64(a.lo * 0.5)} }
func (a dd) ldexp(e int) dd { return dd{math.Ldexp(a.hi, e), math.Ldexp(a.lo, e)} }

func (a dd) sqrt() dd {
	if a.hi == 0 {
		return a
	}
	r := math.Sqrt(a.hi)
	d := a.sub(prod(r, r))
	return quickSum(r, d.hi/(r+r))
}

// scale returns a times 2^m, rounded once; a is above 0 and of the order of 1.
func (a dd) scale(m int) float64 {
	_, e := math.Frexp(a.hi)
	if e+m >= -1021 {
		return math.Ldexp(a.hi, m)
	} else if e+m < -1080 {
		return math.Copysign(0, a.hi)
	}
	// Adding a number whose last bit stands for 2^-1074 of the result drops what lies below, rounding.
	big := math.Ldexp(0x1p52, -1074-m)
	s := sum(big, a.hi)
	return math.Ldexp(s.hi+(s.lo+a.lo)-big, m)
}

// expm1 returns e^x - 1 for |x| ≤ 0.35, as exactly near 0 as elsewhere.
func expm1(x dd) dd {
	const doublings = 6
	r := x.ldexp(-doublings)
	s := inverseFactorial[14]
	for n := 13; n >= 1; n-- {
		s = s.mul(r).add(inverseFactorial[n])
	}
	s = s.mul(r)
	for range doublings {
		s = s.times2().add(s.mul(s))
	}
	return s
}

// exp returns m and s, where e^x is s times 2^m.
func exp(x dd) (int, dd) {
	k := math.RoundToEven(float64(x.hi * 0x1.71547652b82fep+0))
	return int(k), one.add(expm1(x.sub(ln2.mulFloat(k))))
}

// atanh returns the inverse hyperbolic tangent of s, |s| ≤ 0.172.
func atanh(s dd) dd {
	z := s.mul(s)
	p := inverseOdd[len(inverseOdd)-1]
	for n := len(inverseOdd) - 2; n >= 1; n-- {
		p = p.mul(z).add(inverseOdd[n])
	}
	return s.add(s.mul(z).mul(p))
}

// log returns the natural logarithm of x, which is above 0.
func log(x dd) dd {
	f, e := math.Frexp(x.hi)
	if f < math.Sqrt2/2 {
		e--
	}
	m := dd{math.Ldexp(x.hi, -e), math.Ldexp(x.lo, -e)}
	l := atanh(m.add(dd{-1, 0}).div(m.add(one))).times2()
	if e == 0 {
		return l
	}
	return ln2.mulFloat(float64(e)).add(l)
}

// log1p returns the natural logarithm of 1 + u, u ≥ 0.
func log1p(u dd) dd {
	if u.hi < 0.41 {
		return atanh(u.div(u.add(dd{2, 0}))).times2()
	}
	return log(one.add(u))
}

// sincos returns sine and cosine of x.
func sincos(x float64) (sin, cos dd) {
	r, q := remainder(x)
	sin, cos = sincosNear(r)
	switch q {
	case 1:
		return cos, sin.neg()
	case 2:
		return sin.neg(), cos.neg()
	case 3:
		return cos.neg(), sin
	}
	return sin, cos
}

// sincosNear is sincos for |r| up to about π/4.
func sincosNear(r dd) (sin, cos dd) {
	z := r.mul(r).neg()
	s, c := inverseFactorial[29], inverseFactorial[28]
	for n := 27; n >= 3; n -= 2 {
		s = s.mul(z).add(inverseFactorial[n])
		c = c.mul(z).add(inverseFactorial[n-1])
	}
	return r.add(r.mul(z).mul(s)), one.add(z.mul(c))
}

// atan returns the angle whose tangent is x.
func atan(x dd) dd {
	if x.hi < 0 {
		return atan(x.neg()).neg()
	} else if x.hi > 1 {
		return halfPi.sub(atan(one.div(x)))
	}
	// One step from an approximation a: atan x = a + atan((x - tan a) / (1 + x tan a)).
	a := roughAtan(x.hi)
	s, c := sincosNear(dd{a, 0})
	t := s.div(c)
	d := x.sub(t).div(one.add(x.mul(t)))
	d = d.sub(d.mul(d).mul(d).mul(inverseOdd[1])) // the next term is below 2^-110
	return dd{a, 0}.add(d)
}

// roughAtan returns the angle whose tangent is x, in [0, 1], to some 27 bits: Newton's method from a parabola.
func roughAtan(x float64) float64 {
	a := float64(x * (1.06 - float64(0.275*x)))
	for range 3 {
		// sin and cos to a dozen digits
		z := float64(a * a)
		s, c := 0.0, 0.0
		for n := 15; n >= 1; n -= 2 {
			s = inverseFactorial[n].hi - float64(z*s)
			c = inverseFactorial[n-1].hi - float64(z*c)
		}
		s = float64(s * a)
		a -= float64((s - float64(x*c)) / (c + float64(x*s)))
	}
	return a
}
