package postgres

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// The text that stands for a NaN of a float, as no REAL of SQLite can.
const nanCell = "NaN"

func float(v any) float64 {
	if s, ok := v.(string); ok && s == nanCell {
		return math.NaN()
	}
	return v.(float64)
}

func floatCell(f float64) any {
	if f != f {
		return nanCell
	}
	return f
}

func parseFloat(s, typ string, bits int) (float64, error) {
	t := trimSpace(s)
	u := t
	neg := false
	if u != "" && (u[0] == '-' || u[0] == '+') {
		neg, u = u[0] == '-', u[1:]
	}
	switch l := strings.ToLower(u); {
	case l == "nan":
		return math.NaN(), nil
	case l == "inf" || l == "infinity":
		if neg {
			return math.Inf(-1), nil
		}
		return math.Inf(1), nil
	case strings.HasPrefix(l, "0x") && !strings.Contains(l, "p"):
		t += "p0"
	case u == "" || u[0] != '.' && (u[0] < '0' || u[0] > '9'):
		return 0, sqlstate.BadInput(typ, s)
	}
	f, err := strconv.ParseFloat(t, bits)
	if strings.Contains(t, "_") {
		err = &strconv.NumError{Err: strconv.ErrSyntax}
	}
	if err != nil && err.(*strconv.NumError).Err == strconv.ErrSyntax {
		// PostgreSQL looks at the number before it looks at what follows.
		n := len(mantissaPart(t))
		if g, err := strconv.ParseFloat(t[:n], bits); math.IsInf(g, 0) || err == nil && g == 0 && strings.ContainsAny(mantissa(t[:n]), "123456789") {
			if bits == 64 {
				t = t[:n]
			}
			return 0, sqlstate.New(sqlstate.OutOfRange, "\"%s\" is out of range for type %s", t, typ)
		}
	}
	if err != nil {
		if err.(*strconv.NumError).Err == strconv.ErrRange {
			return 0, sqlstate.New(sqlstate.OutOfRange, "\"%s\" is out of range for type %s", t, typ)
		}
		return 0, sqlstate.BadInput(typ, s)
	}
	if f == 0 && strings.ContainsAny(mantissa(t), "123456789abcdefABCDEF") {
		return 0, sqlstate.New(sqlstate.OutOfRange, "\"%s\" is out of range for type %s", t, typ)
	}
	return f, nil
}

// mantissaPart is the longest start of s that is a decimal number.
func mantissaPart(s string) string {
	digits := func(i int) int {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	if i = digits(i); i < len(s) && s[i] == '.' {
		i = digits(i + 1)
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if k := digits(j); k > j {
			i = k
		}
	}
	return s[:i]
}

func mantissa(s string) string {
	s = strings.TrimLeft(strings.ToLower(s), "+-")
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		m, _, _ := strings.Cut(hex, "p")
		return m
	}
	m, _, _ := strings.Cut(s, "e")
	return m
}

func formatFloat(f float64, bits int) string {
	switch {
	case f != f:
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	s := strconv.FormatFloat(f, 'e', -1, bits)
	m, exp, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exp)
	precision := -1
	// Half way to a neighbour, which rounding to even brings back to f: PostgreSQL shows as many digits more as it takes.
	for between(f, s, e, bits) {
		precision = max(precision+1, len(strings.TrimLeft(m, "-"))-1, 1)
		s = strconv.FormatFloat(f, 'e', precision, bits)
	}
	limit := 15
	if bits == 32 {
		limit = 6
	}
	if e < -4 || e >= limit {
		return s
	}
	if precision >= 0 {
		precision = max(precision-e, 0)
	}
	return strconv.FormatFloat(f, 'f', precision, bits)
}

// between tells whether the shortest decimal s of f, with exponent e, lies exactly between f and a double (or float4) next to it.
func between(f float64, s string, e, bits int) bool {
	if e < 5 || e > 42 {
		return false // such a decimal would have more digits than the shortest ever has
	}
	d, err := numeric.Parse(s)
	if err != nil {
		return false
	}
	if x, ok := d.Int64(); ok && d.Whole() && float64(x) == f && x == int64(f) {
		return false
	}
	exact := numeric.FromBig(wholeOf(f*4), 0) // e ≥ 5: four times a double or float4 between is whole
	two, _ := d.Mul(numeric.FromInt(4))
	diff, _ := two.Sub(exact)
	next := math.Nextafter(f, math.Inf(1))
	if bits == 32 {
		next = float64(math.Nextafter32(float32(f), float32(math.Inf(1))))
	}
	if diff.Sign() < 0 {
		next = math.Nextafter(f, math.Inf(-1))
		if bits == 32 {
			next = float64(math.Nextafter32(float32(f), float32(math.Inf(-1))))
		}
	}
	if math.IsInf(next, 0) { // f is the largest there is: it has no neighbour to be half way to
		return false
	}
	twice, _ := diff.Mul(numeric.FromInt(2))
	gap, _ := numeric.FromBig(wholeOf(next*4), 0).Sub(exact)
	return twice.Compare(gap) == 0 && gap.Sign() != 0
}

func wholeOf(f float64) *big.Int {
	n, _ := big.NewFloat(f).Int(nil)
	return n
}
