// Package numeric is PostgreSQL's type numeric: decimal numbers of any size that remember how many digits to show after the
// point, NaN, and two infinities. Results have the digits that PostgreSQL 15 gives them, by its rules for the scale of each
// result; they are computed in whole numbers of package math/big, and are the same on every machine.
//
// A Number is immutable. What can take more than one pass over its digits says so: the caller knows Digits of the
// arguments beforehand and charges Work of them.
package numeric

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Limits of PostgreSQL's format, and of its choice of scales.
const (
	MaxWhole = 131072 // digits before the point
	MaxScale = 16383  // digits after it

	minSignificant  = 16
	maxDisplayScale = 1000
	maxResultScale  = 2000
	maxPrecision    = 1000
)

const (
	finite = iota
	minusInfinity
	plusInfinity
	nan
)

// A Number is coef / 10^scale, or something that is no number.
type Number struct {
	kind  uint8
	coef  *big.Int
	scale int
}

// The values that are no numbers.
var (
	NaN              = Number{kind: nan, coef: new(big.Int)}
	Infinity         = Number{kind: plusInfinity, coef: new(big.Int)}
	NegativeInfinity = Number{kind: minusInfinity, coef: new(big.Int)}
)

var (
	ten        = big.NewInt(10)
	bigOne     = big.NewInt(1)
	smallPower = powers(64)
)

func powers(n int) []*big.Int {
	p := []*big.Int{big.NewInt(1)}
	for range n {
		p = append(p, new(big.Int).Mul(p[len(p)-1], ten))
	}
	return p
}

// pow10 returns 10^n, not to be changed.
func pow10(n int) *big.Int {
	if n < len(smallPower) {
		return smallPower[n]
	}
	return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil)
}

// FromInt returns n, with no digits after the point.
func FromInt(n int64) Number { return Number{coef: big.NewInt(n)} }

// FromBig returns n / 10^scale; n is not changed afterwards.
func FromBig(n *big.Int, scale int) Number { return Number{coef: n, scale: scale} }

var overflow = sqlstate.New(sqlstate.OutOfRange, "value overflows numeric format")

// checked returns x if the format holds it.
func (x Number) checked() (Number, error) {
	if x.kind == finite && (x.scale > MaxScale || x.coef.BitLen() > 3*(MaxWhole+x.scale) && x.exponent() >= MaxWhole) {
		return Number{}, overflow
	}
	return x, nil
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Parse reads a number as PostgreSQL does: blanks around it, an exponent, NaN, Infinity and inf in any case.
func Parse(s string) (Number, error) {
	t := strings.TrimFunc(s, func(r rune) bool { return r < 128 && isSpace(byte(r)) })
	bad := sqlstate.BadInput("numeric", s)
	neg := false
	u := t
	if u != "" && (u[0] == '-' || u[0] == '+') {
		neg, u = u[0] == '-', u[1:]
	}
	switch l := strings.ToLower(u); {
	case l == "nan" && len(u) == len(t):
		return NaN, nil
	case l == "infinity" || l == "inf":
		if neg {
			return NegativeInfinity, nil
		}
		return Infinity, nil
	}
	digits := make([]byte, 0, len(u)+1)
	if neg {
		digits = append(digits, '-')
	}
	start, scale, point, i := len(digits), 0, false, 0
	if u != "" && u[0] == '.' {
		point, i = true, 1
	}
	if i >= len(u) || !isDigit(u[i]) {
		return Number{}, bad
	}
	for ; i < len(u); i++ {
		if isDigit(u[i]) {
			digits = append(digits, u[i])
			if point {
				scale++
			}
		} else if u[i] == '.' && !point {
			point = true
		} else {
			break
		}
	}
	exponent := 0
	if i < len(u) && (u[i] == 'e' || u[i] == 'E') {
		e := strings.TrimLeftFunc(u[i+1:], func(r rune) bool { return r < 128 && isSpace(byte(r)) }) // strtol skips them
		end := 0
		for end < len(e) && (isDigit(e[end]) || end == 0 && (e[0] == '-' || e[0] == '+')) {
			end++
		}
		n, err := strconv.Atoi(e[:end])
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrSyntax {
			return Number{}, bad
		}
		if err != nil || n >= math.MaxInt32/2 || n <= -(math.MaxInt32/2) {
			return Number{}, overflow
		}
		exponent, i = n, len(u)-len(e)+end
	}
	if i != len(u) {
		return Number{}, bad
	}
	if len(digits)-start > MaxWhole+MaxScale+8 {
		// Zeros in front count for nothing.
		d := strings.TrimLeft(string(digits[start:]), "0")
		if len(d) > MaxWhole+MaxScale {
			return Number{}, overflow
		}
		digits = append(digits[:start], '0')
		digits = append(digits, d...)
	}
	coef, ok := parseInt(digits)
	if !ok {
		return Number{}, bad
	}
	x := Number{coef: coef, scale: scale - exponent}
	if x.scale < 0 {
		if x.coef.Sign() != 0 {
			if -x.scale > MaxWhole {
				return Number{}, overflow
			}
			x.coef = new(big.Int).Mul(x.coef, pow10(-x.scale))
		}
		x.scale = 0
	}
	return x.checked()
}

func parseInt(digits []byte) (*big.Int, bool) {
	if len(digits) <= 18 {
		n, err := strconv.ParseInt(string(digits), 10, 64)
		return big.NewInt(n), err == nil
	}
	return new(big.Int).SetString(string(digits), 10)
}

// MustParse is Parse of constants.
func MustParse(s string) Number {
	x, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return x
}

// String is PostgreSQL's own text: never an exponent, as many digits after the point as the scale says.
func (x Number) String() string {
	switch x.kind {
	case nan:
		return "NaN"
	case plusInfinity:
		return "Infinity"
	case minusInfinity:
		return "-Infinity"
	}
	var buf [40]byte
	b := x.coef.Append(buf[:0], 10)
	if x.scale == 0 {
		return string(b)
	}
	neg := b[0] == '-'
	if neg {
		b = b[1:]
	}
	out := make([]byte, 0, max(len(b), x.scale)+3)
	if neg {
		out = append(out, '-')
	}
	if len(b) <= x.scale {
		out = append(out, '0', '.')
		for range x.scale - len(b) {
			out = append(out, '0')
		}
		return string(append(out, b...))
	}
	out = append(out, b[:len(b)-x.scale]...)
	out = append(out, '.')
	return string(append(out, b[len(b)-x.scale:]...))
}

// IsNaN, IsInf and Finite tell what x is.
func (x Number) IsNaN() bool  { return x.kind == nan }
func (x Number) IsInf() bool  { return x.kind == plusInfinity || x.kind == minusInfinity }
func (x Number) Finite() bool { return x.kind == finite }

// Scale is how many digits are shown after the point.
func (x Number) Scale() int { return x.scale }

// Coef returns x times 10^Scale, not to be changed.
func (x Number) Coef() *big.Int { return x.coef }

// Sign is -1, 0 or 1; NaN is above 0.
func (x Number) Sign() int {
	switch x.kind {
	case nan, plusInfinity:
		return 1
	case minusInfinity:
		return -1
	}
	return x.coef.Sign()
}

// Digits is about how many digits x has.
func (x Number) Digits() int { return x.coef.BitLen()*3/10 + 1 }

// digits returns how many decimal digits n has; 0 has none.
func digits(n *big.Int) int {
	l := n.BitLen()
	if l == 0 {
		return 0
	}
	d := int(int64(l-1) * 30103 / 100000) // at most one too few, for all lengths that occur
	if n.CmpAbs(pow10(d)) >= 0 {
		d++
	}
	for n.CmpAbs(pow10(d)) >= 0 {
		d++
	}
	return d
}

// exponent returns e where |x| is d.ddd times 10^e; x is not 0.
func (x Number) exponent() int { return digits(x.coef) - x.scale - 1 }

// weight returns the exponent of the first digit to base 10,000, and that digit; both 0 for 0.
func (x Number) weight() (int, int) {
	if x.coef.Sign() == 0 {
		return 0, 0
	}
	n := digits(x.coef)
	e := n - x.scale - 1
	w := floorDiv(e, 4)
	lead := e - 4*w + 1 // decimal digits in the first one
	d := new(big.Int).Abs(x.coef)
	if n > lead {
		d.Quo(d, pow10(n-lead))
	} else {
		d.Mul(d, pow10(lead-n))
	}
	return w, int(d.Int64())
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Work is about how many simple operations a product or quotient of numbers with so many digits takes.
func Work(digits ...int) uint64 {
	w := uint64(1)
	for _, d := range digits {
		w *= uint64(d/19 + 1)
	}
	return w
}

// quoRound returns a / b rounded to the nearest whole number, halves away from zero.
func quoRound(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	r.Lsh(r, 1)
	if r.CmpAbs(b) >= 0 {
		if a.Sign()*b.Sign() < 0 {
			q.Sub(q, bigOne)
		} else {
			q.Add(q, bigOne)
		}
	}
	return q
}

// rescaled returns the coefficient of x at a scale that may be below 0, rounded.
func (x Number) rescaled(scale int) *big.Int {
	switch {
	case scale == x.scale:
		return x.coef
	case scale > x.scale:
		return new(big.Int).Mul(x.coef, pow10(scale-x.scale))
	case x.scale-scale > digits(x.coef)+1:
		return new(big.Int)
	}
	return quoRound(x.coef, pow10(x.scale-scale))
}

// truncated is rescaled towards zero.
func (x Number) truncated(scale int) *big.Int {
	switch {
	case scale >= x.scale:
		return x.rescaled(scale)
	case x.scale-scale > digits(x.coef):
		return new(big.Int)
	}
	return new(big.Int).Quo(x.coef, pow10(x.scale-scale))
}

// atScale returns coef / 10^scale, shown with no negative number of digits.
func atScale(coef *big.Int, scale int) Number {
	if scale < 0 {
		if coef.Sign() != 0 {
			coef = new(big.Int).Mul(coef, pow10(-scale))
		}
		scale = 0
	}
	return Number{coef: coef, scale: scale}
}

// Round rounds to so many digits after the point (before it, when below 0), halves away from zero.
func (x Number) Round(scale int) (Number, error) {
	if x.kind != finite {
		return x, nil
	}
	scale = min(max(scale, -MaxWhole-1), MaxScale)
	return atScale(x.rescaled(scale), scale).checked()
}

// Trunc is Round towards zero.
func (x Number) Trunc(scale int) (Number, error) {
	if x.kind != finite {
		return x, nil
	}
	scale = min(max(scale, -MaxWhole), MaxScale)
	return atScale(x.truncated(scale), scale).checked()
}

// Floor and Ceil are the whole numbers next to x.
func (x Number) Floor() (Number, error) { return x.toWhole(-1) }
func (x Number) Ceil() (Number, error)  { return x.toWhole(1) }

func (x Number) toWhole(direction int) (Number, error) {
	if x.kind != finite {
		return x, nil
	}
	q := x.truncated(0)
	if x.scale > 0 && x.coef.Sign() == direction && (Number{coef: q}).Compare(x) != 0 {
		q = new(big.Int).Add(q, big.NewInt(int64(direction)))
	}
	return Number{coef: q}.checked()
}

// Typmod describes numeric(p, s): PostgreSQL's encoding of both, -1 when there are none.
func Typmod(precision, scale int) (int32, error) {
	if precision < 1 || precision > maxPrecision {
		return 0, sqlstate.New(sqlstate.BadParameter, "NUMERIC precision %d must be between 1 and %d", precision, maxPrecision)
	}
	if scale < -1000 || scale > 1000 {
		return 0, sqlstate.New(sqlstate.BadParameter, "NUMERIC scale %d must be between %d and %d", scale, -1000, 1000)
	}
	return int32(precision<<16|scale&0x7ff) + 4, nil
}

// PrecisionScale reads a typmod.
func PrecisionScale(typmod int32) (precision, scale int) {
	t := typmod - 4
	return int(t >> 16), int(t&0x7ff^1024) - 1024
}

// Fit rounds x to a column's scale and refuses what has too many digits before the point.
func (x Number) Fit(typmod int32) (Number, error) {
	if typmod < 4 || x.kind == nan {
		return x, nil
	}
	p, s := PrecisionScale(typmod)
	if x.kind != finite {
		e := sqlstate.New(sqlstate.OutOfRange, "numeric field overflow")
		e.Detail = "A field with precision " + strconv.Itoa(p) + ", scale " + strconv.Itoa(s) + " cannot hold an infinite value."
		return x, e
	}
	coef := x.rescaled(s)
	if digits(coef) > p {
		bound := "1"
		if p > s {
			bound = "10^" + strconv.Itoa(p-s)
		} else if p < s {
			bound = "10^" + strconv.Itoa(p-s)
		}
		e := sqlstate.New(sqlstate.OutOfRange, "numeric field overflow")
		e.Detail = "A field with precision " + strconv.Itoa(p) + ", scale " + strconv.Itoa(s) + " must round to an absolute value less than " + bound + "."
		return x, e
	}
	return atScale(coef, s), nil
}

// Neg returns -x, Abs its size.
func (x Number) Neg() Number {
	switch x.kind {
	case nan:
		return x
	case plusInfinity:
		return NegativeInfinity
	case minusInfinity:
		return Infinity
	}
	return Number{coef: new(big.Int).Neg(x.coef), scale: x.scale}
}

func (x Number) Abs() Number {
	if x.Sign() < 0 {
		return x.Neg()
	}
	return x
}

// MinScale is how many digits after the point x needs; TrimScale shows no more.
func (x Number) MinScale() int { return x.TrimScale().scale }

func (x Number) TrimScale() Number {
	if x.kind != finite || x.scale == 0 {
		return x
	}
	if x.coef.Sign() == 0 {
		return FromInt(0)
	}
	s := x.coef.String()
	zeros := min(len(s)-len(strings.TrimRight(s, "0")), x.scale)
	return Number{coef: new(big.Int).Quo(x.coef, pow10(zeros)), scale: x.scale - zeros}
}

// Whole reports whether x has no fraction.
func (x Number) Whole() bool { return x.kind == finite && x.MinScale() == 0 }

// Int64 rounds x to a whole number and reports whether that fits.
func (x Number) Int64() (int64, bool) {
	n := x.rescaled(0)
	return n.Int64(), x.kind == finite && n.IsInt64()
}

// Float returns the nearest double, and whether there is one (overflow and underflow to zero are none).
func (x Number) Float() (float64, bool) {
	switch x.kind {
	case nan:
		return math.NaN(), true
	case plusInfinity:
		return math.Inf(1), true
	case minusInfinity:
		return math.Inf(-1), true
	}
	f, err := strconv.ParseFloat(x.String(), 64)
	return f, err == nil && (f != 0 || x.coef.Sign() == 0)
}

// FromFloat returns the decimal of 15 significant digits that PostgreSQL makes of a double (6 of a float4).
func FromFloat(f float64, significant int) Number {
	switch {
	case f != f:
		return NaN
	case math.IsInf(f, 1):
		return Infinity
	case math.IsInf(f, -1):
		return NegativeInfinity
	}
	s := strconv.FormatFloat(f, 'e', significant-1, 64)
	m, e, _ := strings.Cut(s, "e")
	if strings.Contains(m, ".") {
		m = strings.TrimRight(strings.TrimRight(m, "0"), ".")
	}
	return MustParse(m + "e" + e)
}
