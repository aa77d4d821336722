// Package datetime is PostgreSQL's dates, times and intervals: the texts that it reads and writes (DateStyle ISO, MDY;
// IntervalStyle postgres), its calendar, its time zones, and its arithmetic. It follows PostgreSQL 15 rule by rule, because
// programs depend on what '2020-1-32', '24:00:00' or '1 mon -1 day' mean.
//
// Dates are days and timestamps microseconds since 2000-01-01, times microseconds since midnight. Nothing here asks the
// machine for its clock or its time zones: an Env says what time it is, and the zones are the release of the IANA database
// that lies beside this file (zoneinfo.zip, of Go 1.26, in the public domain).
package datetime

import (
	"math"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Units, in microseconds.
const (
	Second = 1000000
	Minute = 60 * Second
	Hour   = 60 * Minute
	Day    = 24 * Hour
)

const (
	secondsPerDay = 86400
	epochJulian   = 2451545 // 2000-01-01
	unixJulian    = 2440588
	// UnixEpoch is 1970-01-01 as a timestamp.
	UnixEpoch = (unixJulian - epochJulian) * int64(Day)

	minTimestamp = -211813488000000000 // 4714-11-24 BC
	endTimestamp = 9223371331200000000 // 294277-01-01
	maxDate      = 2145031948          // 5874897-12-31
	minDate      = -epochJulian
)

// The infinities, as PostgreSQL stores them.
const (
	DateInfinity              = int64(math.MaxInt32)
	DateNegativeInfinity      = int64(math.MinInt32)
	TimestampInfinity         = int64(math.MaxInt64)
	TimestampNegativeInfinity = int64(math.MinInt64)
)

// Finite tells whether a timestamp is one, FiniteDate a date.
func Finite(t int64) bool     { return t != TimestampInfinity && t != TimestampNegativeInfinity }
func FiniteDate(d int64) bool { return d != DateInfinity && d != DateNegativeInfinity }

// ValidTimestamp and ValidDate tell what PostgreSQL's calendar holds.
func ValidTimestamp(t int64) bool { return t >= minTimestamp && t < endTimestamp }
func ValidDate(d int64) bool      { return d >= minDate && d <= maxDate }

var (
	errTimestamp = sqlstate.New(sqlstate.DateTimeOverflow, "timestamp out of range")
	errDate      = sqlstate.New(sqlstate.DateTimeOverflow, "date out of range")
	errInterval  = sqlstate.New(sqlstate.DateTimeOverflow, "interval out of range")
)

// An Env is what time it is, in microseconds since 2000-01-01 UTC, and in which zone people write times.
type Env struct {
	Now  int64
	Zone *Zone // nil is UTC
}

// tm is a broken-down time, as in C but with the whole year and months from 1.
type tm struct {
	year, mon, mday, hour, min, sec int
	usec                            int
	yday                            int
	zone                            int // seconds west of UTC
}

func isLeap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysIn(year, mon int) int {
	switch mon {
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// toJulian and fromJulian count days as astronomers do.
func toJulian(y, m, d int) int {
	if m > 2 {
		m++
		y += 4800
	} else {
		m += 13
		y += 4799
	}
	c := y / 100
	j := y*365 - 32167
	j += y/4 - c + c/4
	return j + 7834*m/256 + d
}

func fromJulian(jd int) (year, month, day int) {
	j := uint32(int32(jd))
	j += 32044
	quad := j / 146097
	extra := (j-quad*146097)*4 + 3
	j += 60 + quad*3 + extra/146097
	quad = j / 1461
	j -= quad * 1461
	y := j * 4 / 1461
	if y != 0 {
		j = (j+305)%365 + 123
	} else {
		j = (j+306)%366 + 123
	}
	y += quad * 4
	quad = j * 2141 / 65536
	return int(int32(y)) - 4800, int((quad+10)%12) + 1, int(j - 7834*quad/256)
}

// validJulian tells whether a day can be counted so at all.
func validJulian(y, m int) bool {
	return (y > -4713 || y == -4713 && m >= 11) && (y < 5874898 || y == 5874898 && m < 6)
}

func weekday(julian int) int { return ((julian+1)%7 + 7) % 7 }

// fromTm returns a timestamp, in UTC when local is false.
func fromTm(t *tm, west *int) (int64, bool) {
	if !validJulian(t.year, t.mon) {
		return 0, false
	}
	date := int64(toJulian(t.year, t.mon, t.mday) - epochJulian)
	clock := int64(t.hour)*Hour + int64(t.min)*Minute + int64(t.sec)*Second + int64(t.usec)
	r := date*Day + clock
	if (r-clock)/Day != date || r < 0 && date > 0 || r > 0 && date < -1 {
		return 0, false
	}
	if west != nil {
		r += int64(*west) * Second
	}
	return r, ValidTimestamp(r)
}

func floorDiv(a, b int64) (q, r int64) {
	q, r = a/b, a%b
	if r < 0 {
		q, r = q-1, r+b
	}
	return q, r
}

// toTm breaks a timestamp down, into the time of a zone unless that is nil.
func toTm(t int64, zone *Zone) (tm, error) {
	var x tm
	if zone != nil {
		x.zone = zone.west(t)
		t -= int64(x.zone) * Second
	}
	date, clock := floorDiv(t, Day)
	date += epochJulian
	if date < 0 || date > math.MaxInt32 {
		return x, errTimestamp
	}
	x.year, x.mon, x.mday = fromJulian(int(date))
	x.setClock(clock)
	return x, nil
}

func (x *tm) setClock(clock int64) {
	x.hour, clock = int(clock/Hour), clock%Hour
	x.min, clock = int(clock/Minute), clock%Minute
	x.sec, x.usec = int(clock/Second), int(clock%Second)
}

func isoWeek1(year int) int {
	d4 := toJulian(year, 1, 4)
	return d4 - weekday(d4-1)
}

// isoWeek returns year and week by ISO 8601.
func isoWeek(year, mon, mday int) (isoYear, week int) {
	d := toJulian(year, mon, mday)
	start := isoWeek1(year)
	if d < start {
		year--
		start = isoWeek1(year)
	}
	week = (d-start)/7 + 1
	if week >= 52 {
		if next := isoWeek1(year + 1); d >= next {
			year++
			week = (d-next)/7 + 1
		}
	}
	return year, week
}

// roundTo rounds microseconds to so many digits of seconds.
func roundTo(t int64, precision int32) int64 {
	if precision < 0 || precision >= 6 {
		return t
	}
	scale := int64(1)
	for range 6 - precision {
		scale *= 10
	}
	if t >= 0 {
		return (t + scale/2) / scale * scale
	}
	return -((-t + scale/2) / scale * scale)
}

// FitTimestamp rounds to a column's precision, -1 for none.
func FitTimestamp(t int64, precision int32) int64 {
	if !Finite(t) {
		return t
	}
	return roundTo(t, precision)
}

// FitTime is FitTimestamp of a time of day.
func FitTime(t int64, precision int32) int64 { return roundTo(t, precision) }
