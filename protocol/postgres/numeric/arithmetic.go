package numeric

import (
	"math/big"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Add returns x + y.
func (x Number) Add(y Number) (Number, error) {
	if x.kind != finite || y.kind != finite {
		switch {
		case x.kind == nan || y.kind == nan || x.IsInf() && y.IsInf() && x.kind != y.kind:
			return NaN, nil
		case x.kind != finite:
			return x, nil
		}
		return y, nil
	}
	s := max(x.scale, y.scale)
	return Number{coef: new(big.Int).Add(x.rescaled(s), y.rescaled(s)), scale: s}.checked()
}

// Sub returns x - y.
func (x Number) Sub(y Number) (Number, error) { return x.Add(y.Neg()) }

// Mul returns x times y.
func (x Number) Mul(y Number) (Number, error) {
	if x.kind != finite || y.kind != finite {
		if x.kind == nan || y.kind == nan {
			return NaN, nil
		}
		return infinite(x.Sign() * y.Sign()), nil
	}
	return x.times(y, min(x.scale+y.scale, MaxScale)).checked()
}

// infinite returns the infinity of a sign; NaN for 0.
func infinite(sign int) Number {
	switch {
	case sign > 0:
		return Infinity
	case sign < 0:
		return NegativeInfinity
	}
	return NaN
}

// times returns the product, rounded to a scale.
func (x Number) times(y Number, scale int) Number {
	p := Number{coef: new(big.Int).Mul(x.coef, y.coef), scale: x.scale + y.scale}
	return atScale(p.rescaled(scale), scale)
}

// over returns the quotient at a scale; y is not 0.
func (x Number) over(y Number, scale int, round bool) Number {
	n, d := x.coef, y.coef
	if e := scale + y.scale - x.scale; e >= 0 {
		n = new(big.Int).Mul(n, pow10(e))
	} else {
		d = new(big.Int).Mul(d, pow10(-e))
	}
	if round {
		return Number{coef: quoRound(n, d), scale: scale}
	}
	return Number{coef: new(big.Int).Quo(n, d), scale: scale}
}

// divScale is the scale of a quotient: at least 16 significant digits, and no less than either argument shows.
func divScale(x, y Number) int {
	w1, d1 := x.weight()
	w2, d2 := y.weight()
	q := w1 - w2
	if d1 <= d2 {
		q--
	}
	return min(max(minSignificant-4*q, x.scale, y.scale), maxDisplayScale)
}

var divisionByZero = sqlstate.New(sqlstate.DivisionByZero, "division by zero")

// special handles quotients of what is no number, and by zero; the int says whether it did.
func special(x, y Number, finiteByInfinite Number) (Number, error, bool) {
	switch {
	case x.kind == nan || y.kind == nan:
		return NaN, nil, true
	case x.IsInf() && y.IsInf():
		return NaN, nil, true
	case y.kind == finite && y.coef.Sign() == 0:
		return Number{}, divisionByZero, true
	case x.IsInf():
		return infinite(x.Sign() * y.Sign()), nil, true
	case y.IsInf():
		return finiteByInfinite, nil, true
	}
	return Number{}, nil, false
}

// Div returns x / y.
func (x Number) Div(y Number) (Number, error) {
	if v, err, done := special(x, y, FromInt(0)); done {
		return v, err
	}
	return x.over(y, divScale(x, y), true).checked()
}

// DivTrunc returns the whole part of x / y.
func (x Number) DivTrunc(y Number) (Number, error) {
	if v, err, done := special(x, y, FromInt(0)); done {
		return v, err
	}
	return x.over(y, 0, false).checked()
}

// Mod returns x - y * trunc(x / y).
func (x Number) Mod(y Number) (Number, error) {
	if x.IsInf() && y.kind == finite && y.coef.Sign() != 0 {
		return NaN, nil
	}
	if v, err, done := special(x, y, x); done {
		return v, err
	}
	s := max(x.scale, y.scale)
	return Number{coef: new(big.Int).Rem(x.rescaled(s), y.rescaled(s)), scale: s}, nil
}

// GCD returns the greatest number that divides both, LCM the least that both divide.
func (x Number) GCD(y Number) (Number, error) {
	if x.kind != finite || y.kind != finite {
		return NaN, nil
	}
	s := max(x.scale, y.scale)
	a, b := new(big.Int).Abs(x.rescaled(s)), new(big.Int).Abs(y.rescaled(s))
	return Number{coef: new(big.Int).GCD(nil, nil, a, b), scale: s}, nil
}

func (x Number) LCM(y Number) (Number, error) {
	if x.kind != finite || y.kind != finite {
		return NaN, nil
	}
	s := max(x.scale, y.scale)
	if x.Sign() == 0 || y.Sign() == 0 {
		return Number{coef: new(big.Int), scale: s}, nil
	}
	a, b := new(big.Int).Abs(x.rescaled(s)), new(big.Int).Abs(y.rescaled(s))
	l := new(big.Int).Quo(a, new(big.Int).GCD(nil, nil, a, b))
	return Number{coef: l.Mul(l, b), scale: s}.checked()
}

// Factorial returns n!, for n up to what the format holds (32177).
func Factorial(n int64) (Number, error) {
	if n < 0 {
		return Number{}, sqlstate.New(sqlstate.OutOfRange, "factorial of a negative number is undefined")
	}
	if n > 32177 {
		return Number{}, overflow
	}
	return Number{coef: new(big.Int).MulRange(1, max(n, 1))}.checked()
}

// Average returns sum / n, Variance and Deviation what PostgreSQL makes of a count, a sum and a sum of squares.
func Average(sum Number, n int64) (Number, error) { return sum.Div(FromInt(n)) }

// Variance divides by n - 1 for a sample, else by n; root asks for the standard deviation.
func Variance(n int64, sum, squares Number, sample, root bool) (Number, error) {
	if sum.kind != finite || squares.kind != finite {
		return NaN, nil
	}
	count := FromInt(n)
	scale := sum.scale * 2
	a, b := count.times(squares, scale), sum.times(sum, scale)
	num := Number{coef: new(big.Int).Sub(a.coef, b.coef), scale: scale}
	if num.Sign() <= 0 {
		return FromInt(0), nil
	}
	den := count.times(count, 0)
	if sample {
		den = count.times(FromInt(n-1), 0)
	}
	scale = divScale(num, den)
	v := num.over(den, scale, true)
	if root {
		v = v.sqrt(scale)
	}
	return v.checked()
}
