package datetime

import (
	"math"
	"math/big"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Compare orders intervals by length, months having 30 days and days 24 hours; different intervals can be equal.
func (v Interval) Compare(w Interval) int {
	days := (int64(v.Months)-int64(w.Months))*30 + int64(v.Days) - int64(w.Days)
	// The difference of microseconds is at most 2^64, that of days less than 2^38: only what is close needs care.
	span := new(big.Int).Mul(big.NewInt(days), big.NewInt(Day))
	if v.Micros == w.Micros || days == 0 {
		switch {
		case days != 0:
			return span.Sign()
		case v.Micros < w.Micros:
			return -1
		case v.Micros > w.Micros:
			return 1
		}
		return 0
	}
	span.Add(span, big.NewInt(v.Micros))
	return span.Sub(span, big.NewInt(w.Micros)).Sign()
}

func add32s(a, b int32) (int32, bool) {
	s := int64(a) + int64(b)
	return int32(s), is32(s)
}

func add64(a, b int64) (int64, bool) {
	s := a + b
	return s, (a < 0) != (b < 0) || (s < 0) == (a < 0)
}

// Add returns v + w.
func (v Interval) Add(w Interval) (Interval, error) {
	m, ok1 := add32s(v.Months, w.Months)
	d, ok2 := add32s(v.Days, w.Days)
	u, ok3 := add64(v.Micros, w.Micros)
	if !ok1 || !ok2 || !ok3 {
		return v, errInterval
	}
	return Interval{m, d, u}, nil
}

// Sub returns v - w.
func (v Interval) Sub(w Interval) (Interval, error) {
	m, d := int64(v.Months)-int64(w.Months), int64(v.Days)-int64(w.Days)
	u := v.Micros - w.Micros
	if !is32(m) || !is32(d) || (v.Micros < 0) != (w.Micros < 0) && (u < 0) != (v.Micros < 0) {
		return v, errInterval
	}
	return Interval{int32(m), int32(d), u}, nil
}

// Neg returns -v.
func (v Interval) Neg() (Interval, error) {
	if v.Months == math.MinInt32 || v.Days == math.MinInt32 || v.Micros == math.MinInt64 {
		return v, errInterval
	}
	return Interval{-v.Months, -v.Days, -v.Micros}, nil
}

// Mul returns v times a factor; what is not whole months goes to days, and of days to microseconds.
func (v Interval) Mul(f float64) (Interval, error) {
	return v.scale(func(n float64) float64 { return float64(n * f) })
}

// Div returns v divided by f.
func (v Interval) Div(f float64) (Interval, error) {
	if f == 0 {
		return v, sqlstate.New(sqlstate.DivisionByZero, "division by zero")
	}
	return v.scale(func(n float64) float64 { return n / f })
}

func roundMicro(f float64) float64 { return math.RoundToEven(float64(f*Second)) / Second }

func (v Interval) scale(by func(float64) float64) (Interval, error) {
	m, d := by(float64(v.Months)), by(float64(v.Days))
	if m != m || d != d || !(m >= math.MinInt32 && m < -float64(math.MinInt32)) || !(d >= math.MinInt32 && d < -float64(math.MinInt32)) {
		return v, errInterval
	}
	r := Interval{Months: int32(m), Days: int32(d)}
	days := roundMicro(float64((m - float64(r.Months)) * 30))
	sec := roundMicro(float64((d - float64(r.Days) + days - float64(int32(days))) * secondsPerDay))
	ok := true
	if math.Abs(sec) >= secondsPerDay {
		whole := int32(sec / secondsPerDay)
		if r.Days, ok = add32s(r.Days, whole); !ok {
			return v, errInterval
		}
		sec -= float64(float64(whole) * secondsPerDay)
	}
	if r.Days, ok = add32s(r.Days, int32(days)); !ok {
		return v, errInterval
	}
	u := math.RoundToEven(by(float64(v.Micros)) + float64(sec*Second))
	if u != u || !(u >= math.MinInt64 && u < -float64(math.MinInt64)) {
		return v, errInterval
	}
	r.Micros = int64(u)
	return r, nil
}

// JustifyHours makes days of 24 hours, JustifyDays months of 30 days, Justify both, with one sign.
func (v Interval) JustifyHours() (Interval, error) {
	days := v.Micros / Day
	v.Micros -= days * Day
	d := int64(v.Days) + days
	if !is32(d) {
		return v, errInterval
	}
	v.Days = int32(d)
	return v.sameSignHours(), nil
}

func (v Interval) sameSignHours() Interval {
	if v.Days > 0 && v.Micros < 0 {
		v.Micros += Day
		v.Days--
	} else if v.Days < 0 && v.Micros > 0 {
		v.Micros -= Day
		v.Days++
	}
	return v
}

func (v Interval) JustifyDays() (Interval, error) {
	m, ok := add32s(v.Months, v.Days/30)
	if !ok {
		return v, errInterval
	}
	v.Months, v.Days = m, v.Days%30
	if v.Months > 0 && v.Days < 0 {
		v.Days += 30
		v.Months--
	} else if v.Months < 0 && v.Days > 0 {
		v.Days -= 30
		v.Months++
	}
	return v, nil
}

func (v Interval) Justify() (Interval, error) {
	ok := true
	if v.Days > 0 && v.Micros > 0 || v.Days < 0 && v.Micros < 0 {
		if v.Months, ok = add32s(v.Months, v.Days/30); !ok {
			return v, errInterval
		}
		v.Days %= 30
	}
	v.Days += int32(v.Micros / Day)
	v.Micros %= Day
	if v.Months, ok = add32s(v.Months, v.Days/30); !ok {
		return v, errInterval
	}
	v.Days %= 30
	if v.Months > 0 && (v.Days < 0 || v.Days == 0 && v.Micros < 0) {
		v.Days += 30
		v.Months--
	} else if v.Months < 0 && (v.Days > 0 || v.Days == 0 && v.Micros > 0) {
		v.Days -= 30
		v.Months++
	}
	return v.sameSignHours(), nil
}

// MakeInterval is make_interval; like it, it does not look for overflow of months and days.
func MakeInterval(years, months, weeks, days, hours, mins int32, secs float64) (Interval, error) {
	if math.IsInf(secs, 0) || secs != secs {
		return Interval{}, errInterval
	}
	u := math.RoundToEven(float64(secs * Second))
	if !(u >= math.MinInt64 && u < -float64(math.MinInt64)) {
		return Interval{}, errInterval
	}
	return Interval{years*12 + months, weeks*7 + days, int64(hours)*Hour + int64(mins)*Minute + int64(u)}, nil
}
