package datetime

import (
	"math"
	"strconv"
	"strings"
)

// An Interval is months, days and microseconds, which stay apart: a month has no fixed length, nor has a day.
type Interval struct {
	Months, Days int32
	Micros       int64
}

// Ranges of interval types, as bits of a typmod's upper half: INTERVAL YEAR TO MONTH and the like.
const (
	RangeYear     = 1 << fYear
	RangeMonth    = 1 << fMonth
	RangeDay      = 1 << fDay
	RangeHour     = 1 << fHour
	RangeMinute   = 1 << fMinute
	RangeSecond   = 1 << fSecond
	FullRange     = 0x7fff
	fullPrecision = 0xffff
)

// intervalParts is an interval while it is read.
type intervalParts struct {
	year, mon, mday int64 // each within 32 bits
	usec            int64
}

func mulAdd(a, b int64, sum *int64) bool {
	if a == 0 || b == 0 {
		return true
	}
	p := a * b
	if p/b != a || a == math.MinInt64 && b == -1 {
		return false
	}
	s := *sum + p
	if (s > *sum) != (p > 0) {
		return false
	}
	*sum = s
	return true
}

func is32(n int64) bool { return n == int64(int32(n)) }

func add32(n int64, scale int64, sum *int64) bool {
	if !is32(n) || !is32(n*scale) || !is32(*sum+n*scale) {
		return false
	}
	*sum += n * scale
	return true
}

func (v *intervalParts) micros(n int64, frac float64, scale int64) bool {
	return mulAdd(n, scale, &v.usec) && v.fracMicros(frac, scale)
}

func (v *intervalParts) fracMicros(frac float64, scale int64) bool {
	if frac == 0 {
		return true
	}
	f := float64(frac * float64(scale))
	n := int64(f)
	if f -= float64(n); f > 0.5 {
		n++
	} else if f < -0.5 {
		n--
	}
	return mulAdd(n, 1, &v.usec)
}

func (v *intervalParts) fracDays(frac float64, scale int64) bool {
	if frac == 0 {
		return true
	}
	f := float64(frac * float64(scale))
	n := int64(f)
	return add32(n, 1, &v.mday) && v.fracMicros(f-float64(n), Day)
}

func (v *intervalParts) fracYears(frac float64, scale int64) bool {
	return add32(int64(math.RoundToEven(float64(float64(frac*float64(scale))*12))), 1, &v.mon)
}

func (v *intervalParts) clock(s string, minuteToSecond bool) problem {
	c, p := decodeClock(s, minuteToSecond)
	if p != okay {
		return p
	}
	v.usec = int64(c.usec)
	if !mulAdd(c.hour, Hour, &v.usec) || !mulAdd(int64(c.min), Minute, &v.usec) || !mulAdd(int64(c.sec), Second, &v.usec) {
		return fieldOverflow
	}
	return okay
}

func (v *intervalParts) unit(unit int, n int64, frac float64) (uint32, problem) {
	ok, mask := false, uint32(0)
	switch unit {
	case uMicrosecond:
		ok, mask = v.micros(n, frac, 1), 1<<fMicrosecond
	case uMillisecond:
		ok, mask = v.micros(n, frac, 1000), 1<<fMillisecond
	case uSecond:
		ok, mask = v.micros(n, frac, Second), 1<<fSecond
		if frac != 0 {
			mask = secondsMask
		}
	case uMinute:
		ok, mask = v.micros(n, frac, Minute), 1<<fMinute
	case uHour:
		ok, mask = v.micros(n, frac, Hour), 1<<fHour
	case uDay:
		ok, mask = add32(n, 1, &v.mday) && v.fracMicros(frac, Day), 1<<fDay
	case uWeek:
		ok, mask = add32(n, 7, &v.mday) && v.fracDays(frac, 7), 1<<fWeek
	case uMonth:
		ok, mask = add32(n, 1, &v.mon) && v.fracDays(frac, 30), 1<<fMonth
	case uYear:
		ok, mask = add32(n, 1, &v.year) && v.fracYears(frac, 1), 1<<fYear
	case uDecade:
		ok, mask = add32(n, 10, &v.year) && v.fracYears(frac, 10), 1<<fDecade
	case uCentury:
		ok, mask = add32(n, 100, &v.year) && v.fracYears(frac, 100), 1<<fCentury
	case uMillennium:
		ok, mask = add32(n, 1000, &v.year) && v.fracYears(frac, 1000), 1<<fMillennium
	default:
		return 0, badFormat
	}
	if !ok {
		return 0, fieldOverflow
	}
	return mask, okay
}

// defaultUnit is the unit of a number without one.
func defaultUnit(rng int32) int {
	switch {
	case rng == RangeYear:
		return uYear
	case rng == RangeMonth, rng == RangeYear|RangeMonth:
		return uMonth
	case rng == RangeDay:
		return uDay
	case rng == RangeHour, rng == RangeDay|RangeHour:
		return uHour
	case rng == RangeMinute, rng == RangeHour|RangeMinute, rng == RangeDay|RangeHour|RangeMinute:
		return uMinute
	}
	return uSecond
}

func (v *intervalParts) decode(fields []field, rng int32) problem {
	var mask uint32
	unit, ago := uNone, false
	minuteToSecond := rng == RangeMinute|RangeSecond
	for i := len(fields) - 1; i >= 0; i-- {
		f := fields[i]
		now := uint32(0)
		switch f.kind {
		case tokTime:
			if p := v.clock(f.text, minuteToSecond); p != okay {
				return p
			}
			now = timeMask
			unit = uDay
		case tokString, tokSpecial:
			w := lookUp(unitWords, f.text)
			switch w.kind {
			case fIgnore:
				continue
			case fUnit:
				unit = w.value
			case fAgo:
				ago, unit = true, -1 // no number may stand right before it
			default:
				return badFormat
			}
		default:
			if f.kind == tokZone && strings.IndexByte(f.text[1:], ':') >= 0 {
				if v.clock(f.text[1:], minuteToSecond) == okay {
					if f.text[0] == '-' {
						if v.usec == math.MinInt64 {
							return fieldOverflow
						}
						v.usec = -v.usec
					}
					now, unit = timeMask, uDay
					break
				}
			}
			if unit == uNone {
				unit = defaultUnit(rng)
			}
			val, rest, over := strtol(f.text)
			if over {
				return fieldOverflow
			}
			frac := 0.0
			switch {
			case strings.HasPrefix(rest, "-"):
				val2, rest2, over := strtoint(rest[1:])
				if over || val2 < 0 || val2 >= 12 {
					return fieldOverflow
				}
				if rest2 != "" {
					return badFormat
				}
				unit = uMonth
				if f.text[0] == '-' {
					val2 = -val2
				}
				months := int64(0)
				if !mulAdd(val, 12, &months) || !mulAdd(int64(val2), 1, &months) {
					return fieldOverflow
				}
				val = months
			case strings.HasPrefix(rest, "."):
				var ok bool
				if frac, ok = fraction(rest); !ok {
					return badFormat
				}
				if f.text[0] == '-' {
					frac = -frac
				}
			case rest != "":
				return badFormat
			}
			var p problem
			if now, p = v.unit(unit, val, frac); p != okay {
				return p
			}
			if unit == uHour {
				unit = uDay
			}
		}
		if now&mask != 0 {
			return badFormat
		}
		mask |= now
	}
	if mask == 0 {
		return badFormat
	}
	if ago {
		if v.usec == math.MinInt64 || v.mday == math.MinInt32 || v.mon == math.MinInt32 || v.year == math.MinInt32 {
			return fieldOverflow
		}
		v.usec, v.mday, v.mon, v.year = -v.usec, -v.mday, -v.mon, -v.year
	}
	return okay
}

// isoNumber reads a number of an ISO 8601 duration.
func isoNumber(s string) (whole int64, frac float64, rest string, p problem) {
	n := 0
	if n < len(s) && s[n] == '-' {
		n++
	}
	digits := 0
	if strings.HasPrefix(s[n:], "0x") || strings.HasPrefix(s[n:], "0X") { // as does this
		m := n + 2
		for m < len(s) && (isDigit(s[m]) || s[m]|0x20 >= 'a' && s[m]|0x20 <= 'f') {
			m++
		}
		if f, err := strconv.ParseFloat(s[:m]+"p0", 64); err == nil && math.Abs(f) <= 1e15 && m > n+2 {
			return int64(f), 0, s[m:], okay
		}
	}
	for n < len(s) && isDigit(s[n]) {
		n, digits = n+1, digits+1
	}
	if n < len(s) && s[n] == '.' {
		n++
		for n < len(s) && isDigit(s[n]) {
			n, digits = n+1, digits+1
		}
	}
	if digits == 0 {
		return 0, 0, s, badFormat
	}
	if n < len(s) && s[n]|0x20 == 'e' { // strtod knows exponents
		m := n + 1
		if m < len(s) && (s[m] == '-' || s[m] == '+') {
			m++
		}
		if m < len(s) && isDigit(s[m]) {
			for m < len(s) && isDigit(s[m]) {
				m++
			}
			n = m
		}
	}
	f, err := strconv.ParseFloat(s[:n], 64)
	if err != nil {
		return 0, 0, s, badFormat
	}
	if f < -1e15 || f > 1e15 {
		return 0, 0, s, fieldOverflow
	}
	whole = int64(f)
	return whole, f - float64(whole), s[n:], okay
}

func isoWidth(s string) int {
	s = strings.TrimPrefix(s, "-")
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// decodeISO reads P1Y2M3DT4H5M6S and its variants.
func (v *intervalParts) decodeISO(s string) problem {
	if len(s) < 2 || s[0] != 'P' {
		return badFormat
	}
	s = s[1:]
	datePart, haveField := true, false
	check := func(ok bool) problem {
		if !ok {
			return fieldOverflow
		}
		return okay
	}
	days := func(n int64, f float64) bool { return add32(n, 1, &v.mday) && v.fracMicros(f, Day) }
	years := func(n int64, f float64) bool { return add32(n, 1, &v.year) && v.fracYears(f, 1) }
	months := func(n int64, f float64) bool { return add32(n, 1, &v.mon) && v.fracDays(f, 30) }
	for s != "" {
		if s[0] == 'T' {
			datePart, haveField = false, false
			s = s[1:]
			continue
		}
		start := s
		n, f, rest, p := isoNumber(s)
		if p != okay {
			return p
		}
		unit := byte(0)
		if s = rest; s != "" {
			unit, s = s[0], s[1:]
		}
		if datePart {
			switch unit {
			case 'Y':
				p = check(years(n, f))
			case 'M':
				p = check(months(n, f))
			case 'W':
				p = check(add32(n, 7, &v.mday) && v.fracDays(f, 7))
			case 'D':
				p = check(days(n, f))
			case 'T', 0, '-':
				if unit != '-' && isoWidth(start) == 8 && !haveField {
					if p = check(add32(n/10000, 1, &v.year) && add32(n/100%100, 1, &v.mon) && days(n%100, f)); p != okay || unit == 0 {
						return p
					}
					datePart = false
					continue
				}
				if haveField {
					return badFormat
				}
				if p = check(years(n, f)); p != okay || unit == 0 {
					return p
				}
				if unit == 'T' {
					datePart = false
					continue
				}
				if n, f, s, p = isoNumber(s); p != okay {
					return p
				}
				if p = check(months(n, f)); p != okay || s == "" {
					return p
				}
				if s[0] == 'T' {
					datePart = false
					continue
				}
				if s[0] != '-' {
					return badFormat
				}
				if n, f, s, p = isoNumber(s[1:]); p != okay {
					return p
				}
				if p = check(days(n, f)); p != okay || s == "" {
					return p
				}
				if s[0] != 'T' {
					return badFormat
				}
				datePart = false
				continue
			default:
				return badFormat
			}
		} else {
			switch unit {
			case 'H':
				p = check(v.micros(n, f, Hour))
			case 'M':
				p = check(v.micros(n, f, Minute))
			case 'S':
				p = check(v.micros(n, f, Second))
			case 0, ':':
				if unit == 0 && isoWidth(start) == 6 && !haveField {
					return check(v.micros(n/10000, 0, Hour) && v.micros(n/100%100, 0, Minute) && v.micros(n%100, 0, Second) && v.fracMicros(f, 1))
				}
				if haveField {
					return badFormat
				}
				if p = check(v.micros(n, f, Hour)); p != okay || unit == 0 {
					return p
				}
				if n, f, s, p = isoNumber(s); p != okay {
					return p
				}
				if p = check(v.micros(n, f, Minute)); p != okay || s == "" {
					return p
				}
				if s[0] != ':' {
					return badFormat
				}
				if n, f, s, p = isoNumber(s[1:]); p != okay {
					return p
				}
				if p = check(v.micros(n, f, Second)); p != okay || s == "" {
					return p
				}
				return badFormat
			default:
				return badFormat
			}
		}
		if p != okay {
			return p
		}
		haveField = true
	}
	return okay
}

// IntervalTypmod makes the typmod of a range and a precision (-1 for none).
func IntervalTypmod(rng, precision int32) int32 {
	if precision < 0 {
		precision = fullPrecision
	}
	return rng<<16 | precision
}

// ParseInterval reads an interval; what it has beyond the type's fields is dropped.
func ParseInterval(s string, typmod int32) (Interval, error) {
	rng := int32(FullRange)
	if typmod >= 0 {
		rng = typmod >> 16 & 0x7fff
	}
	var v intervalParts
	p := badFormat
	if fields, ok := split(s, 256); ok {
		p = v.decode(fields, rng)
	}
	if p == badFormat {
		v = intervalParts{}
		p = v.decodeISO(s)
	}
	if p == fieldOverflow {
		p = intervalOverflow
	}
	if p != okay {
		return Interval{}, p.error(s, "interval")
	}
	m := v.year*12 + v.mon
	if !is32(m) {
		return Interval{}, errInterval
	}
	return Interval{int32(m), int32(v.mday), v.usec}.Fit(typmod), nil
}

// Fit drops the fields that a type does not have, and rounds.
func (v Interval) Fit(typmod int32) Interval {
	if typmod < 0 {
		return v
	}
	cut := func(unit int64) { v.Micros = v.Micros / unit * unit }
	rng, precision := typmod>>16&0x7fff, typmod&0xffff
	switch {
	case rng == FullRange:
	case rng == RangeYear:
		v = Interval{Months: v.Months / 12 * 12}
	case rng == RangeMonth, rng == RangeYear|RangeMonth:
		v = Interval{Months: v.Months}
	case rng == RangeDay:
		v.Micros = 0
	case rng&RangeSecond != 0:
	case rng&RangeMinute != 0:
		cut(Minute)
	case rng&RangeHour != 0:
		cut(Hour)
	}
	if precision != fullPrecision {
		v.Micros = roundTo(v.Micros, precision)
	}
	return v
}

func appendPart(b []byte, n int64, unit string, zero, before *bool) []byte {
	if n == 0 {
		return b
	}
	if !*zero {
		b = append(b, ' ')
	}
	if *before && n > 0 {
		b = append(b, '+')
	}
	b = strconv.AppendInt(b, n, 10)
	b = append(append(b, ' '), unit...)
	if n != 1 {
		b = append(b, 's')
	}
	*before, *zero = n < 0, false
	return b
}

// String is the text of IntervalStyle postgres.
func (v Interval) String() string {
	var buf [64]byte
	b := buf[:0]
	zero, before := true, false
	b = appendPart(b, int64(v.Months/12), "year", &zero, &before)
	b = appendPart(b, int64(v.Months%12), "mon", &zero, &before)
	b = appendPart(b, int64(v.Days), "day", &zero, &before)
	if zero || v.Micros != 0 {
		if !zero {
			b = append(b, ' ')
		}
		u := uint64(v.Micros)
		if v.Micros < 0 {
			b = append(b, '-')
			u = -u
		} else if before {
			b = append(b, '+')
		}
		b = appendTwo(b, u/Hour)
		b = append(b, ':')
		b = appendTwo(b, u/Minute%60)
		b = append(b, ':')
		b = appendSeconds(b, int(u/Second%60), int(u%Second))
	}
	return string(b)
}

func appendTwo(b []byte, n uint64) []byte {
	if n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, n, 10)
}

// appendSeconds writes two digits and as much of the fraction as is not zero.
func appendSeconds(b []byte, sec, usec int) []byte {
	b = appendTwo(b, uint64(sec))
	if usec == 0 {
		return b
	}
	b = append(b, '.')
	for div := 100000; usec > 0; div /= 10 {
		b = append(b, byte('0'+usec/div))
		usec %= div
	}
	return b
}
