// Package softmath is the functions of float64 that SQL has, with the same result, to the bit, on every machine.
//
// Package math will not do: its results depend on the architecture, where some functions are assembly, and compilers fuse a
// product and a sum into one instruction where there is one. Here each product is converted explicitly, which forbids that
// (the language's specification, "Floating-point operators"), and a test looks for fused instructions in what the compiler
// makes for arm64. Of package math only what IEEE 754 defines to the bit is used: square root and rounding to whole numbers.
//
// Functions are computed as a sum of two doubles, about 100 bits, and rounded once: the result is the double nearest to the
// true value but in about one of 2^40 cases. So they also agree with any C library as far as that is right. The results
// for given arguments never change; databases that many machines keep in step depend on it.
//
// Special cases are those of C99. Errors of range are the caller's to find: results are then 0, ±Inf or NaN.
package softmath

import (
	"math"
	"math/big"
	"math/bits"
)

// Pi is the double nearest to π.
const Pi = 0x1.921fb54442d18p+1

// Sqrt returns the square root, which the hardware rounds correctly everywhere.
func Sqrt(x float64) float64 { return math.Sqrt(x) }

// Exp returns e to the power x.
func Exp(x float64) float64 {
	switch {
	case x != x || x > math.MaxFloat64:
		return x
	case x > 709.79:
		return math.Inf(1)
	case x < -745.14:
		return 0
	}
	m, s := exp(dd{x, 0})
	return s.scale(m)
}

// Log returns the natural logarithm of x.
func Log(x float64) float64 {
	if v, special := logSpecial(x); special {
		return v
	}
	return log(dd{x, 0}).hi
}

// Log10 returns the logarithm of x to base 10, exactly where that is a whole number.
func Log10(x float64) float64 {
	if v, special := logSpecial(x); special {
		return v
	}
	return log(dd{x, 0}).mul(invLn10).hi
}

func logSpecial(x float64) (float64, bool) {
	switch {
	case x != x || x > math.MaxFloat64:
		return x, true
	case x == 0:
		return math.Inf(-1), true
	case x < 0:
		return math.NaN(), true
	}
	return 0, false
}

// Pow returns x to the power y.
func Pow(x, y float64) float64 {
	whole := math.Trunc(y) == y
	odd := whole && math.Abs(y) < 1<<53 && int64(y)&1 != 0
	switch {
	case y == 0 || x == 1:
		return 1
	case x != x || y != y:
		return math.NaN()
	case math.IsInf(y, 0):
		switch a := math.Abs(x); {
		case a == 1:
			return 1
		case (a > 1) == (y > 0):
			return math.Inf(1)
		}
		return 0
	case x == 0 || math.IsInf(x, 0):
		r := 0.0
		if (x == 0) == (y < 0) {
			r = math.Inf(1)
		}
		if odd && math.Signbit(x) {
			return -r
		}
		return r
	case x < 0 && !whole:
		return math.NaN()
	}
	sign := 1.0
	if x < 0 {
		x = -x
		if odd {
			sign = -1
		}
	}
	if y == 1 || x == 1 {
		return float64(sign * x)
	}
	// A whole power of a short number can lie exactly between two doubles, which no approximation decides.
	if whole && y >= 2 && y <= 64 {
		frac, e := math.Frexp(x)
		m := uint64(float64(frac * (1 << 53)))
		e -= 53
		z := bits.TrailingZeros64(m)
		m, e = m>>z, e+z
		if bits.Len64(m)*int(y) <= 64 {
			p := uint64(1)
			for range int(y) {
				p *= m
			}
			if e *= int(y); e > -1000 && e < 960 {
				return float64(sign * math.Ldexp(float64(p), e))
			}
		}
	}
	l := log(dd{x, 0})
	if t := float64(l.hi * y); t > 709.79 {
		return float64(sign * math.Inf(1))
	} else if t < -745.14 {
		return float64(sign * 0)
	}
	m, s := exp(l.mulFloat(y))
	return float64(sign * s.scale(m))
}

// Cbrt returns the cube root of x.
func Cbrt(x float64) float64 {
	if x == 0 || x-x != 0 {
		return x
	}
	frac, e := math.Frexp(math.Abs(x))
	for e%3 != 0 {
		frac, e = float64(frac*0.5), e+1
	}
	// frac is in [1/8, 1): three steps of Newton's from a line, and one more in double.
	r := 0.45 + float64(0.55*frac)
	for range 5 {
		r -= (float64(float64(r*r)*r) - frac) / float64(3*float64(r*r))
	}
	c := prod(r, r).mulFloat(r)
	d := sum(frac, -c.hi)
	d.lo -= c.lo
	v := math.Ldexp(quickSum(r, (d.hi+d.lo)/float64(3*float64(r*r))).hi, e/3)
	return math.Copysign(v, x)
}

// Sin returns the sine of x.
func Sin(x float64) float64 {
	if x-x != 0 {
		return math.NaN()
	} else if math.Abs(x) < 0x1p-40 {
		return x
	}
	s, _ := sincos(x)
	return s.hi
}

// Cos returns the cosine of x.
func Cos(x float64) float64 {
	if x-x != 0 {
		return math.NaN()
	}
	_, c := sincos(x)
	return c.hi
}

// Tan returns the tangent of x.
func Tan(x float64) float64 {
	if x-x != 0 {
		return math.NaN()
	} else if math.Abs(x) < 0x1p-40 {
		return x
	}
	s, c := sincos(x)
	return s.div(c).hi
}

// Asin returns the angle, in [-π/2, π/2], whose sine is x.
func Asin(x float64) float64 {
	switch a := math.Abs(x); {
	case !(a <= 1):
		return math.NaN()
	case a == 1:
		return math.Copysign(halfPi.hi, x)
	case a < 0x1p-40:
		return x
	}
	return atan(dd{x, 0}.div(cosine(x))).hi
}

// Acos returns the angle, in [0, π], whose cosine is x.
func Acos(x float64) float64 {
	switch {
	case !(x >= -1 && x <= 1):
		return math.NaN()
	case x == 0:
		return halfPi.hi
	case x == 1:
		return 0
	case x == -1:
		return pi.hi
	case math.Abs(x) < 0x1p-40:
		return halfPi.sub(dd{x, 0}).hi
	}
	a := atan(cosine(x).div(dd{x, 0}))
	if x < 0 {
		a = pi.add(a)
	}
	return a.hi
}

// cosine returns the square root of 1 - x².
func cosine(x float64) dd { return sum(1, -x).mul(sum(1, x)).sqrt() }

// Atan returns the angle, in [-π/2, π/2], whose tangent is x.
func Atan(x float64) float64 {
	switch {
	case x == 0 || x != x:
		return x
	case math.IsInf(x, 0):
		return math.Copysign(halfPi.hi, x)
	case math.Abs(x) < 0x1p-40:
		return x
	case math.Abs(x) > 0x1p100:
		return math.Copysign(halfPi.hi, x)
	}
	return atan(dd{x, 0}).hi
}

// Atan2 returns the angle, in [-π, π], of the point (x, y).
func Atan2(y, x float64) float64 {
	switch {
	case x != x || y != y:
		return math.NaN()
	case y == 0:
		if math.Signbit(x) {
			return math.Copysign(pi.hi, y)
		}
		return y
	case x == 0:
		return math.Copysign(halfPi.hi, y)
	case math.IsInf(x, 1):
		if math.IsInf(y, 0) {
			return math.Copysign(float64(pi.hi*0.25), y)
		}
		return math.Copysign(0, y)
	case math.IsInf(x, -1):
		if math.IsInf(y, 0) {
			return math.Copysign(0x1.2d97c7f3321d2p+1, y)
		}
		return math.Copysign(pi.hi, y)
	case math.IsInf(y, 0):
		return math.Copysign(halfPi.hi, y)
	}
	fy, ey := math.Frexp(math.Abs(y))
	fx, ex := math.Frexp(math.Abs(x))
	var a dd
	switch d := ey - ex; {
	case d > 120:
		a = halfPi
	case d < -120:
		if x > 0 {
			return math.Copysign(dd{fy, 0}.div(dd{fx, 0}).scale(d), y)
		}
		return math.Copysign(pi.hi, y)
	default:
		a = atan(dd{math.Ldexp(fy, d), 0}.div(dd{fx, 0}))
	}
	if x < 0 {
		a = pi.add(dd{-a.hi, -a.lo})
	}
	return math.Copysign(a.hi, y)
}

// Sinh returns the hyperbolic sine of x.
func Sinh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case x == 0 || x-x != 0:
		return x
	case a < 0x1p-40:
		return x
	case a > 711:
		return math.Copysign(math.Inf(1), x)
	case a < 0.34:
		s := expm1(dd{a, 0})
		return math.Copysign(float64(0.5*s.add(s.div(one.add(s))).hi), x)
	}
	m, s := exp(dd{a, 0})
	if a < 60 {
		i := one.div(s)
		s = s.add(dd{-math.Ldexp(i.hi, -2*m), -math.Ldexp(i.lo, -2*m)})
	}
	return math.Copysign(s.scale(m-1), x)
}

// Cosh returns the hyperbolic cosine of x.
func Cosh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case x != x:
		return x
	case a > 711:
		return math.Inf(1)
	}
	m, s := exp(dd{a, 0})
	if a < 60 {
		i := one.div(s)
		s = s.add(dd{math.Ldexp(i.hi, -2*m), math.Ldexp(i.lo, -2*m)})
	}
	return s.scale(m - 1)
}

// Tanh returns the hyperbolic tangent of x.
func Tanh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case x == 0 || x != x || a < 0x1p-40:
		return x
	case a > 40:
		return math.Copysign(1, x)
	case a < 0.17:
		s := expm1(dd{2 * a, 0})
		return math.Copysign(s.div(s.add(dd{2, 0})).hi, x)
	}
	m, s := exp(dd{2 * a, 0})
	s = dd{math.Ldexp(s.hi, m), math.Ldexp(s.lo, m)}
	return math.Copysign(s.add(dd{-1, 0}).div(s.add(one)).hi, x)
}

// Asinh returns the inverse hyperbolic sine of x.
func Asinh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case x == 0 || x-x != 0 || a < 0x1p-40:
		return x
	case a > 0x1p60:
		return math.Copysign(log(dd{a, 0}).add(ln2).hi, x)
	}
	q := prod(a, a)
	r := q.add(one).sqrt()
	return math.Copysign(log1p(dd{a, 0}.add(q.div(one.add(r)))).hi, x)
}

// Acosh returns the inverse hyperbolic cosine of x.
func Acosh(x float64) float64 {
	switch {
	case !(x >= 1):
		return math.NaN()
	case math.IsInf(x, 1):
		return x
	case x > 0x1p60:
		return log(dd{x, 0}).add(ln2).hi
	}
	d := sum(x, -1)
	return log1p(d.add(d.mul(sum(x, 1)).sqrt())).hi
}

// Atanh returns the inverse hyperbolic tangent of x.
func Atanh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case !(a <= 1):
		return math.NaN()
	case a == 1:
		return math.Copysign(math.Inf(1), x)
	case a < 0x1p-40:
		return x
	}
	return math.Copysign(float64(0.5*log1p(dd{2 * a, 0}.div(sum(1, -a))).hi), x)
}

// remainder returns x less k times π/2, and k modulo 4; the remainder is at most about π/4.
func remainder(x float64) (dd, int) {
	if a := math.Abs(x); a < 0.785 {
		return dd{x, 0}, 0
	} else if a < 1<<20 {
		k := math.RoundToEven(float64(x * 0x1.45f306dc9c883p-1))
		r := dd{x, 0}
		for _, p := range halfPiParts {
			r = r.add(prod(-k, p))
		}
		return r, int(int64(k) & 3)
	}
	frac, e := math.Frexp(x)
	n := big.NewInt(int64(float64(frac * (1 << 53))))
	half, _ := new(big.Int).SetString(halfPiDigits, 16)
	n.Lsh(n, uint(1300+e-53)) // x times 2^1300; the quotient has at most 1024 bits, so 270 digits of the remainder are right
	k, r := new(big.Int).QuoRem(n, half, new(big.Int))
	q := int(new(big.Int).And(k, big.NewInt(3)).Int64()) // of the two's complement
	if r.Sign() < 0 {
		r.Add(r, half)
		q--
	}
	if new(big.Int).Lsh(r, 1).Cmp(half) > 0 {
		r.Sub(r, half)
		q++
	}
	return fromBig(r, -1300), q & 3
}

// fromBig returns n times 2^e.
func fromBig(n *big.Int, e int) dd {
	if over := n.BitLen() - 200; over > 0 {
		n.Rsh(n, uint(over))
		e += over
	}
	hi, _ := new(big.Float).SetInt(n).Float64()
	whole, _ := big.NewFloat(hi).Int(nil)
	lo, _ := new(big.Float).SetInt(whole.Sub(n, whole)).Float64()
	return dd{math.Ldexp(hi, e), math.Ldexp(lo, e)}
}
