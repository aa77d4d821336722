package postgres

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/softmath"
)

var (
	errDivision  = sqlstate.New(sqlstate.DivisionByZero, "division by zero")
	errOverflow  = sqlstate.New(sqlstate.OutOfRange, "value out of range: overflow")
	errUnderflow = sqlstate.New(sqlstate.OutOfRange, "value out of range: underflow")
	errInput     = sqlstate.New(sqlstate.OutOfRange, "input is out of range")
)

// limits of whole numbers, by type.
var intLimits = map[OID]struct {
	min, max int64
	name     string
}{
	Int2: {math.MinInt16, math.MaxInt16, "smallint"},
	Int4: {math.MinInt32, math.MaxInt32, "integer"},
	Int8: {math.MinInt64, math.MaxInt64, "bigint"},
}

// fitInt refuses what a type of whole numbers cannot hold.
func fitInt(n int64, ok bool, oid OID) (any, error) {
	l := intLimits[oid]
	if !ok || n < l.min || n > l.max {
		return nil, sqlstate.Range(l.name)
	}
	return n, nil
}

func addInt(a, b int64) (int64, bool) {
	s := a + b
	return s, (a < 0) != (b < 0) || (s < 0) == (a < 0)
}

func subInt(a, b int64) (int64, bool) {
	d := a - b
	return d, (a < 0) == (b < 0) || (d < 0) == (a < 0)
}

func mulInt(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	// The product of signed numbers from that of unsigned ones.
	h := int64(hi)
	if a < 0 {
		h -= b
	}
	if b < 0 {
		h -= a
	}
	return int64(lo), h == int64(lo)>>63
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

func gcd(a, b int64) (uint64, bool) {
	x, y := uint64(abs(a)), uint64(abs(b))
	for y != 0 {
		x, y = y, x%y
	}
	return x, x <= math.MaxInt64
}

// finiteResult reports overflow and underflow of a float's result, as PostgreSQL does for operators.
func finiteResult(r float64, infIn, zeroIn bool) (any, error) {
	switch {
	case math.IsInf(r, 0) && !infIn:
		return nil, errOverflow
	case r == 0 && !zeroIn:
		return nil, errUnderflow
	}
	return floatCell(r), nil
}

func inf(a, b float64) bool { return math.IsInf(a, 0) || math.IsInf(b, 0) }

// floatOperation computes in double, or rounds to float4 after each step.
func floatOperation(op byte, a, b float64, single bool) (any, error) {
	var r float64
	switch op {
	case '+':
		r = a + b
	case '-':
		r = a - b
	case '*':
		r = float64(a * b)
	case '/':
		if b == 0 && a == a {
			return nil, errDivision
		}
		r = a / b
	}
	if single {
		r = float64(float32(r)) // two roundings of one operation on float4 are one
	}
	if op == '+' || op == '-' {
		return finiteResult(r, inf(a, b), true)
	}
	if op == '/' {
		return finiteResult(r, math.IsInf(a, 0), a == 0 || math.IsInf(b, 0))
	}
	return finiteResult(r, inf(a, b), a == 0 || b == 0)
}

// numericWork pays for an operation whose cost grows with the product of its arguments' digits.
func (c *Call) numericWork(times uint64, digits ...int) error {
	return c.work(times * numeric.Work(digits...))
}

func numericCell(n numeric.Number, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return n.String(), nil
}

func arithmeticOperators() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	ints := []struct {
		name string
		oid  OID
	}{{"int2", Int2}, {"int4", Int4}, {"int8", Int8}}
	for i, l := range ints {
		for j, r := range ints {
			res := ints[max(i, j)]
			sig := func(op string) string { return fmt.Sprintf("%s(%s, %s) %s", op, l.name, r.name, res.name) }
			add(sig("+"), func(_ *Call, a []any) (any, error) {
				n, ok := addInt(a[0].(int64), a[1].(int64))
				return fitInt(n, ok, res.oid)
			})
			add(sig("-"), func(_ *Call, a []any) (any, error) {
				n, ok := subInt(a[0].(int64), a[1].(int64))
				return fitInt(n, ok, res.oid)
			})
			add(sig("*"), func(_ *Call, a []any) (any, error) {
				n, ok := mulInt(a[0].(int64), a[1].(int64))
				return fitInt(n, ok, res.oid)
			})
			add(sig("/"), func(_ *Call, a []any) (any, error) {
				x, y := a[0].(int64), a[1].(int64)
				if y == 0 {
					return nil, errDivision
				}
				if y == -1 {
					n, ok := subInt(0, x)
					return fitInt(n, ok, res.oid)
				}
				return x / y, nil
			})
			if l != r {
				continue
			}
			add(sig("%"), func(_ *Call, a []any) (any, error) {
				x, y := a[0].(int64), a[1].(int64)
				if y == 0 {
					return nil, errDivision
				}
				if y == -1 {
					return int64(0), nil
				}
				return x % y, nil
			})
			bit := func(op string, f func(x, y int64) int64) {
				add(sig(op), func(_ *Call, a []any) (any, error) { return f(a[0].(int64), a[1].(int64)), nil })
			}
			bit("&", func(x, y int64) int64 { return x & y })
			bit("|", func(x, y int64) int64 { return x | y })
			bit("#", func(x, y int64) int64 { return x ^ y })
			add(fmt.Sprintf("~(%s) %s", l.name, l.name), func(_ *Call, a []any) (any, error) { return ^a[0].(int64), nil })
			size := uint(16 << i)
			mask := size - 1
			if size == 16 {
				mask = 31 // PostgreSQL shifts as the machine does, in 32 bits
			}
			shrink := func(n int64) int64 { return n << (64 - size) >> (64 - size) }
			add(fmt.Sprintf("<<(%s, int4) %s", l.name, l.name), func(_ *Call, a []any) (any, error) {
				return shrink(a[0].(int64) << (uint(a[1].(int64)) & mask)), nil
			})
			add(fmt.Sprintf(">>(%s, int4) %s", l.name, l.name), func(_ *Call, a []any) (any, error) {
				return shrink(a[0].(int64) >> (uint(a[1].(int64)) & mask)), nil
			})
			add(fmt.Sprintf("-(%s) %s", l.name, l.name), func(_ *Call, a []any) (any, error) {
				n, ok := subInt(0, a[0].(int64))
				return fitInt(n, ok, l.oid)
			})
			add(fmt.Sprintf("+(%s) %s", l.name, l.name), same)
			add(fmt.Sprintf("@(%s) %s", l.name, l.name), absInt(l.oid))
		}
	}
	for _, l := range []string{"float4", "float8"} {
		for _, r := range []string{"float4", "float8"} {
			res := max(l, r)
			for _, op := range []byte("+-*/") {
				add(fmt.Sprintf("%c(%s, %s) %s", op, l, r, res), func(_ *Call, a []any) (any, error) {
					return floatOperation(op, float(a[0]), float(a[1]), res == "float4")
				})
			}
			if l == r {
				add(fmt.Sprintf("-(%s) %s", l, l), func(_ *Call, a []any) (any, error) { return floatCell(-float(a[0])), nil })
				add(fmt.Sprintf("+(%s) %s", l, l), same)
				add(fmt.Sprintf("@(%s) %s", l, l), func(_ *Call, a []any) (any, error) { return floatCell(math.Abs(float(a[0]))), nil })
			}
		}
	}
	add("^(float8, float8) float8", power)
	add("|/(float8) float8", squareRoot)
	add("||/(float8) float8", func(_ *Call, a []any) (any, error) { return floatCell(softmath.Cbrt(float(a[0]))), nil })

	binary := func(op string, cost uint64, f func(x, y numeric.Number) (numeric.Number, error)) {
		add(op+"(numeric, numeric) numeric", numericBinary(cost, f))
	}
	binary("+", 0, numeric.Number.Add)
	binary("-", 0, numeric.Number.Sub)
	binary("*", 1, numeric.Number.Mul)
	binary("/", 2, numeric.Number.Div)
	binary("%", 2, numeric.Number.Mod)
	add("^(numeric, numeric) numeric", numericPower)
	add("-(numeric) numeric", func(_ *Call, a []any) (any, error) { return num(a[0]).Neg().String(), nil })
	add("+(numeric) numeric", same)
	add("@(numeric) numeric", func(_ *Call, a []any) (any, error) { return num(a[0]).Abs().String(), nil })
	return all
}

func same(_ *Call, a []any) (any, error) { return a[0], nil }

func absInt(oid OID) do {
	return func(_ *Call, a []any) (any, error) {
		n := a[0].(int64)
		if n < 0 {
			m, ok := subInt(0, n)
			return fitInt(m, ok, oid)
		}
		return n, nil
	}
}

func numericBinary(cost uint64, f func(x, y numeric.Number) (numeric.Number, error)) do {
	return func(c *Call, a []any) (any, error) {
		x, y := num(a[0]), num(a[1])
		if err := c.numericWork(cost, x.Digits()+y.Scale()+16, y.Digits()+x.Scale()+16); err != nil {
			return nil, err
		}
		return numericCell(f(x, y))
	}
}

// Functions of numerics give up to about this many digits more than their arguments have.
const functionDigits = 120

func numericUnary(f func(x numeric.Number) (numeric.Number, error)) do {
	return func(c *Call, a []any) (any, error) {
		x := num(a[0])
		d := x.Digits() + x.Scale() + functionDigits
		if err := c.numericWork(200, d, d); err != nil {
			return nil, err
		}
		return numericCell(f(x))
	}
}

func numericPower(c *Call, a []any) (any, error) {
	x, y := num(a[0]), num(a[1])
	d := x.Digits() + x.Scale() + y.Digits() + y.Scale() + functionDigits
	// A whole power has so many times the digits before the point, at most what the format holds, and no more behind it.
	if n, ok := y.Int64(); ok && x.Finite() {
		n = min(max(n, -numeric.MaxWhole), numeric.MaxWhole)
		d += min((max(x.Digits()-x.Scale(), 0)+1)*int(max(n, -n)), numeric.MaxWhole*2)
	}
	if err := c.numericWork(100, d, d); err != nil {
		return nil, err
	}
	return numericCell(x.Power(y))
}

func power(_ *Call, a []any) (any, error) {
	x, y := float(a[0]), float(a[1])
	switch {
	case x != x:
		if y == 0 {
			return 1.0, nil
		}
		return nanCell, nil
	case y != y:
		if x == 1 {
			return 1.0, nil
		}
		return nanCell, nil
	case x == 0 && y < 0:
		return nil, sqlstate.New(sqlstate.Power, "zero raised to a negative power is undefined")
	case x < 0 && math.Floor(y) != y:
		return nil, sqlstate.New(sqlstate.Power, "a negative number raised to a non-integer power yields a complex result")
	}
	r := softmath.Pow(x, y)
	if inf(x, y) {
		return floatCell(r), nil
	}
	return finiteResult(r, false, x == 0)
}

func squareRoot(_ *Call, a []any) (any, error) {
	x := float(a[0])
	if x < 0 {
		return nil, sqlstate.New(sqlstate.Power, "cannot take square root of a negative number")
	}
	return floatCell(math.Sqrt(x)), nil
}

func floatLog(f func(float64) float64) do {
	return func(_ *Call, a []any) (any, error) {
		x := float(a[0])
		switch {
		case x == 0:
			return nil, sqlstate.New(sqlstate.Logarithm, "cannot take logarithm of zero")
		case x < 0:
			return nil, sqlstate.New(sqlstate.Logarithm, "cannot take logarithm of a negative number")
		}
		return floatCell(f(x)), nil
	}
}

// degrees of PostgreSQL's are exact at multiples of 30; these functions are not here. See DESIGN.md.
const radiansPerDegree = 0.0174532925199432957692

func arithmeticFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	for _, t := range []struct {
		name string
		oid  OID
	}{{"int2", Int2}, {"int4", Int4}, {"int8", Int8}} {
		add(fmt.Sprintf("abs(%s) %s", t.name, t.name), absInt(t.oid))
		add(fmt.Sprintf("mod(%s, %s) %s", t.name, t.name, t.name), func(_ *Call, a []any) (any, error) {
			x, y := a[0].(int64), a[1].(int64)
			if y == 0 {
				return nil, errDivision
			} else if y == -1 {
				return int64(0), nil
			}
			return x % y, nil
		})
		if t.oid == Int2 {
			continue
		}
		add(fmt.Sprintf("gcd(%s, %s) %s", t.name, t.name, t.name), func(_ *Call, a []any) (any, error) {
			g, ok := gcd(a[0].(int64), a[1].(int64))
			return fitInt(int64(g), ok, t.oid)
		})
		add(fmt.Sprintf("lcm(%s, %s) %s", t.name, t.name, t.name), func(_ *Call, a []any) (any, error) {
			x, y := a[0].(int64), a[1].(int64)
			if x == 0 || y == 0 {
				return int64(0), nil
			}
			g, ok := gcd(x, y)
			if !ok {
				return nil, sqlstate.Range(intLimits[t.oid].name)
			}
			n, ok := mulInt(x/int64(g), y)
			if n == math.MinInt64 {
				ok = false
			}
			return fitInt(abs(n), ok, t.oid)
		})
	}
	f8 := func(name string, f func(float64) float64) {
		add(name+"(float8) float8", func(_ *Call, a []any) (any, error) { return floatCell(f(float(a[0]))), nil })
	}
	f8("abs", math.Abs)
	add("abs(float4) float4", func(_ *Call, a []any) (any, error) { return floatCell(math.Abs(float(a[0]))), nil })
	f8("ceil", math.Ceil)
	f8("ceiling", math.Ceil)
	f8("floor", math.Floor)
	f8("trunc", math.Trunc)
	f8("round", math.RoundToEven)
	f8("cbrt", softmath.Cbrt)
	f8("sign", func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	})
	add("sqrt(float8) float8", squareRoot)
	add("power(float8, float8) float8", power)
	add("pow(float8, float8) float8", power)
	add("exp(float8) float8", func(_ *Call, a []any) (any, error) {
		x := float(a[0])
		return finiteResult(softmath.Exp(x), math.IsInf(x, 0), math.IsInf(x, 0))
	})
	add("ln(float8) float8", floatLog(softmath.Log))
	add("log(float8) float8", floatLog(softmath.Log10))
	add("log10(float8) float8", floatLog(softmath.Log10))
	angle := func(name string, f func(float64) float64, refuse func(float64) bool) {
		add(name+"(float8) float8", func(_ *Call, a []any) (any, error) {
			x := float(a[0])
			if x == x && refuse(x) {
				return nil, errInput
			}
			return floatCell(f(x)), nil
		})
	}
	outside := func(x float64) bool { return x < -1 || x > 1 }
	infinite := func(x float64) bool { return math.IsInf(x, 0) }
	never := func(float64) bool { return false }
	angle("sin", softmath.Sin, infinite)
	angle("cos", softmath.Cos, infinite)
	angle("tan", softmath.Tan, infinite)
	angle("cot", func(x float64) float64 { return 1 / softmath.Tan(x) }, infinite)
	angle("asin", softmath.Asin, outside)
	angle("acos", softmath.Acos, outside)
	angle("atan", softmath.Atan, never)
	angle("sinh", softmath.Sinh, never)
	angle("cosh", softmath.Cosh, never)
	angle("tanh", softmath.Tanh, never)
	angle("asinh", softmath.Asinh, never)
	angle("acosh", softmath.Acosh, func(x float64) bool { return x < 1 })
	angle("atanh", softmath.Atanh, outside)
	add("atan2(float8, float8) float8", func(_ *Call, a []any) (any, error) { return floatCell(softmath.Atan2(float(a[0]), float(a[1]))), nil })
	add("degrees(float8) float8", func(_ *Call, a []any) (any, error) {
		return floatOperation('/', float(a[0]), radiansPerDegree, false)
	})
	add("radians(float8) float8", func(_ *Call, a []any) (any, error) {
		return floatOperation('*', float(a[0]), radiansPerDegree, false)
	})
	add("pi() float8", func(*Call, []any) (any, error) { return softmath.Pi, nil })

	n1 := func(name string, f func(numeric.Number) (numeric.Number, error)) {
		add(name+"(numeric) numeric", func(_ *Call, a []any) (any, error) { return numericCell(f(num(a[0]))) })
	}
	plain := func(f func(numeric.Number) numeric.Number) func(numeric.Number) (numeric.Number, error) {
		return func(x numeric.Number) (numeric.Number, error) { return f(x), nil }
	}
	n1("abs", plain(numeric.Number.Abs))
	n1("ceil", numeric.Number.Ceil)
	n1("ceiling", numeric.Number.Ceil)
	n1("floor", numeric.Number.Floor)
	n1("round", func(x numeric.Number) (numeric.Number, error) { return x.Round(0) })
	n1("trunc", func(x numeric.Number) (numeric.Number, error) { return x.Trunc(0) })
	n1("trim_scale", plain(numeric.Number.TrimScale))
	n1("sign", func(x numeric.Number) (numeric.Number, error) {
		if x.IsNaN() {
			return x, nil
		}
		return numeric.FromInt(int64(x.Sign())), nil
	})
	add("round(numeric, int4) numeric", func(_ *Call, a []any) (any, error) { return numericCell(num(a[0]).Round(int(a[1].(int64)))) })
	add("trunc(numeric, int4) numeric", func(_ *Call, a []any) (any, error) { return numericCell(num(a[0]).Trunc(int(a[1].(int64)))) })
	scale := func(name string, f func(numeric.Number) int) {
		add(name+"(numeric) int4", func(_ *Call, a []any) (any, error) {
			if x := num(a[0]); x.Finite() {
				return int64(f(x)), nil
			}
			return nil, nil
		})
	}
	scale("scale", numeric.Number.Scale)
	scale("min_scale", numeric.Number.MinScale)
	add("mod(numeric, numeric) numeric", numericBinary(2, numeric.Number.Mod))
	add("div(numeric, numeric) numeric", numericBinary(2, numeric.Number.DivTrunc))
	add("gcd(numeric, numeric) numeric", numericBinary(100, numeric.Number.GCD))
	add("lcm(numeric, numeric) numeric", numericBinary(100, numeric.Number.LCM))
	add("sqrt(numeric) numeric", numericUnary(numeric.Number.Sqrt))
	add("exp(numeric) numeric", func(c *Call, a []any) (any, error) {
		x := num(a[0])
		d := x.Digits() + x.Scale() + functionDigits
		if x.Finite() && x.Sign() > 0 {
			n, ok := x.Int64()
			if !ok {
				n = 2 * numeric.MaxWhole
			}
			d += int(min(n, 2*numeric.MaxWhole)) / 2 // before the point; ln 10 is above 2
		}
		if err := c.numericWork(400, d, d); err != nil {
			return nil, err
		}
		return numericCell(x.Exp())
	})
	add("ln(numeric) numeric", numericUnary(numeric.Number.Ln))
	log10 := numericUnary(func(x numeric.Number) (numeric.Number, error) { return numeric.Log(numeric.FromInt(10), x) })
	add("log(numeric) numeric", log10)
	add("log10(numeric) numeric", log10)
	add("log(numeric, numeric) numeric", func(c *Call, a []any) (any, error) {
		x, y := num(a[0]), num(a[1])
		d := x.Digits() + x.Scale() + y.Digits() + y.Scale() + functionDigits
		if err := c.numericWork(400, d, d); err != nil {
			return nil, err
		}
		return numericCell(numeric.Log(x, y))
	})
	add("power(numeric, numeric) numeric", numericPower)
	add("pow(numeric, numeric) numeric", numericPower)
	add("factorial(int8) numeric", func(c *Call, a []any) (any, error) {
		n := a[0].(int64)
		if n > 32177 {
			return nil, sqlstate.New(sqlstate.OutOfRange, "value overflows numeric format")
		}
		if err := c.work(uint64(max(n, 0)) * uint64(max(n, 0))); err != nil {
			return nil, err
		}
		return numericCell(numeric.Factorial(n))
	})
	add("width_bucket(numeric, numeric, numeric, int4) int4", func(c *Call, a []any) (any, error) {
		x, lo, hi := num(a[0]), num(a[1]), num(a[2])
		d := x.Digits() + lo.Digits() + hi.Digits() + x.Scale() + lo.Scale() + hi.Scale()
		if err := c.numericWork(4, d, d); err != nil {
			return nil, err
		}
		return numeric.WidthBucket(x, lo, hi, int32(a[3].(int64)))
	})
	return all
}
