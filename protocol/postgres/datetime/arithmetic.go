package datetime

import (
	"math"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// WestOf tells how many seconds the session's zone is behind UTC today, at a time of its own.
func (e Env) WestOf(clock int64) int {
	t, _ := toTm(e.Now, e.zone())
	t.setClock(clock)
	return e.zone().westOfLocal(&t)
}

// DateToTimestamp returns midnight of a date.
func DateToTimestamp(d int64) (int64, error) {
	switch {
	case d == DateInfinity:
		return TimestampInfinity, nil
	case d == DateNegativeInfinity:
		return TimestampNegativeInfinity, nil
	case d >= endTimestamp/Day:
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range for timestamp")
	}
	return d * Day, nil
}

// ToDate returns the date of a timestamp, in a zone unless that is nil.
func ToDate(t int64, zone *Zone) (int64, error) {
	switch t {
	case TimestampInfinity:
		return DateInfinity, nil
	case TimestampNegativeInfinity:
		return DateNegativeInfinity, nil
	}
	x, err := toTm(t, zone)
	return int64(toJulian(x.year, x.mon, x.mday) - epochJulian), err
}

// ToTime returns the time of day of a timestamp, which is finite.
func ToTime(t int64, zone *Zone) (int64, error) {
	x, err := toTm(t, zone)
	return int64(x.hour)*Hour + int64(x.min)*Minute + int64(x.sec)*Second + int64(x.usec), err
}

// ToLocal takes a timestamp with time zone to the time that clocks of a zone show, FromLocal back.
func ToLocal(t int64, zone *Zone) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	r := t - int64(zone.west(t))*Second
	if !ValidTimestamp(r) {
		return 0, errTimestamp
	}
	return r, nil
}

func FromLocal(t int64, zone *Zone) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	x, err := toTm(t, nil)
	if err != nil {
		return 0, err
	}
	r := t + int64(zone.westOfLocal(&x))*Second
	if !ValidTimestamp(r) {
		return 0, errTimestamp
	}
	return r, nil
}

// AtZone is the operator AT TIME ZONE of a timestamp with time zone, FromZone of one without.
func AtZone(t int64, name string) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	z, err := zoneByName(name)
	if err != nil {
		return 0, err
	}
	return ToLocal(t, z)
}

func FromZone(t int64, name string) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	z, err := zoneByName(name)
	if err != nil {
		return 0, err
	}
	return FromLocal(t, z)
}

// AddDays returns a date so many days later.
func AddDays(d, days int64) (int64, error) {
	if !FiniteDate(d) {
		return d, nil
	}
	if r := d + days; ValidDate(r) {
		return r, nil
	}
	return 0, errDate
}

// SubDates returns the days between two dates.
func SubDates(a, b int64) (int64, error) {
	if !FiniteDate(a) || !FiniteDate(b) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "cannot subtract infinite dates")
	}
	return a - b, nil
}

// SubTimestamps returns the days and microseconds between two timestamps.
func SubTimestamps(a, b int64) (Interval, error) {
	if !Finite(a) || !Finite(b) {
		return Interval{}, sqlstate.New(sqlstate.DateTimeOverflow, "cannot subtract infinite timestamps")
	}
	return Interval{Micros: a - b}.JustifyHours()
}

// Add returns a timestamp an interval later: first months, then days, then time, the first two by the calendar of a zone
// unless that is nil.
func Add(t int64, v Interval, zone *Zone) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	back := func(x *tm) error {
		var west *int
		if zone != nil {
			x.zone = zone.westOfLocal(x)
			west = &x.zone
		}
		r, ok := fromTm(x, west)
		if !ok {
			return errTimestamp
		}
		t = r
		return nil
	}
	if v.Months != 0 {
		x, err := toTm(t, zone)
		if err != nil {
			return 0, err
		}
		m, ok := add32s(int32(x.mon), v.Months)
		if !ok {
			return 0, errTimestamp
		}
		x.mon = int(m)
		if x.mon > 12 {
			x.year += (x.mon - 1) / 12
			x.mon = (x.mon-1)%12 + 1
		} else if x.mon < 1 {
			x.year += x.mon/12 - 1
			x.mon = x.mon%12 + 12
		}
		x.mday = min(x.mday, daysIn(x.year, x.mon))
		if err := back(&x); err != nil {
			return 0, err
		}
	}
	if v.Days != 0 {
		x, err := toTm(t, zone)
		if err != nil {
			return 0, err
		}
		j, ok := add32s(int32(toJulian(x.year, x.mon, x.mday)), v.Days)
		if !ok || j < 0 {
			return 0, errTimestamp
		}
		x.year, x.mon, x.mday = fromJulian(int(j))
		if err := back(&x); err != nil {
			return 0, err
		}
	}
	r, ok := add64(t, v.Micros)
	if !ok || !ValidTimestamp(r) {
		return 0, errTimestamp
	}
	return r, nil
}

// AddToTime turns the clock by an interval's time, SubFromTime back. Like PostgreSQL they do not look for overflow.
func AddToTime(clock int64, v Interval) int64 {
	_, r := floorDiv(clock+v.Micros, Day)
	return r
}

func SubFromTime(clock int64, v Interval) int64 {
	_, r := floorDiv(clock-v.Micros, Day)
	return r
}

// IntervalToTime returns an interval's time of day.
func IntervalToTime(v Interval) int64 {
	_, r := floorDiv(v.Micros, Day)
	return r
}

// Age returns the years, months, days and time between two timestamps, in a zone unless that is nil.
func Age(a, b int64, zone *Zone) (Interval, error) {
	x, err := toTm(a, zone)
	if err != nil {
		return Interval{}, err
	}
	y, err := toTm(b, zone)
	if err != nil {
		return Interval{}, err
	}
	d := tm{year: x.year - y.year, mon: x.mon - y.mon, mday: x.mday - y.mday, hour: x.hour - y.hour, min: x.min - y.min, sec: x.sec - y.sec, usec: x.usec - y.usec}
	negate := func() {
		d = tm{year: -d.year, mon: -d.mon, mday: -d.mday, hour: -d.hour, min: -d.min, sec: -d.sec, usec: -d.usec}
	}
	if a < b {
		negate()
	}
	carry := func(from, to *int, unit int) {
		for *from < 0 {
			*from += unit
			*to--
		}
	}
	carry(&d.usec, &d.sec, Second)
	carry(&d.sec, &d.min, 60)
	carry(&d.min, &d.hour, 60)
	carry(&d.hour, &d.mday, 24)
	month := daysIn(y.year, y.mon)
	if a < b {
		month = daysIn(x.year, x.mon)
	}
	carry(&d.mday, &d.mon, month)
	carry(&d.mon, &d.year, 12)
	if a < b {
		negate()
	}
	m := int64(d.year)*12 + int64(d.mon)
	if !is32(m) {
		return Interval{}, errInterval
	}
	return Interval{int32(m), int32(d.mday), int64(d.hour)*Hour + int64(d.min)*Minute + int64(d.sec)*Second + int64(d.usec)}, nil
}

func notSupported(unit, typ string) error {
	return sqlstate.New(sqlstate.Unsupported, "unit \"%s\" not supported for type %s", unit, typ)
}

func notRecognized(unit, typ string) error {
	return sqlstate.New(sqlstate.BadParameter, "unit \"%s\" not recognized for type %s", unit, typ)
}

// unitOf reads the name of a unit; words are those of intervals, then of dates.
func unitOf(name string, dates bool) (string, word) {
	l := cut(lower(name), 63)
	w := lookUp(unitWords, l)
	if w.kind == fUnknown && dates {
		w = lookUp(dateWords, l)
	}
	return l, w
}

const (
	typeTimestamp   = "timestamp without time zone"
	typeTimestampTZ = "timestamp with time zone"
)

// Trunc is date_trunc, in a zone unless that is nil.
func Trunc(unit string, t int64, zone *Zone) (int64, error) {
	typ := typeTimestamp
	if zone != nil {
		typ = typeTimestampTZ
	}
	if !Finite(t) {
		return t, nil
	}
	l, w := unitOf(unit, false)
	if w.kind != fUnit {
		return 0, notRecognized(l, typ)
	}
	x, err := toTm(t, zone)
	if err != nil {
		return 0, err
	}
	redo := true
	switch w.value {
	case uWeek:
		y, week := isoWeek(x.year, x.mon, x.mday)
		x.year, x.mon, x.mday = fromJulian(isoWeek1(y) + (week-1)*7)
		x.setClock(0)
	case uMillennium, uCentury, uDecade, uYear, uQuarter, uMonth, uDay, uHour, uMinute, uSecond:
		switch w.value {
		case uMillennium:
			x.year = truncYear(x.year, 1000)
		case uCentury:
			x.year = truncYear(x.year, 100)
		case uDecade:
			if x.year > 0 {
				x.year = x.year / 10 * 10
			} else {
				x.year = -((8 - (x.year - 1)) / 10) * 10
			}
		}
		switch w.value {
		case uSecond:
			redo = false
			x.usec = 0
		case uMinute:
			redo = false
			x.sec, x.usec = 0, 0
		case uHour:
			redo = false
			x.min, x.sec, x.usec = 0, 0, 0
		default:
			x.setClock(0)
			switch w.value {
			case uDay:
			case uMonth:
				x.mday = 1
			case uQuarter:
				x.mday, x.mon = 1, 3*((x.mon-1)/3)+1
			default:
				x.mday, x.mon = 1, 1
			}
		}
	case uMillisecond:
		redo = false
		x.usec = x.usec / 1000 * 1000
	case uMicrosecond:
		redo = false
	default:
		return 0, notSupported(l, typ)
	}
	var west *int
	if zone != nil {
		west = &x.zone
		if redo {
			x.zone = zone.westOfLocal(&x)
		}
	}
	r, ok := fromTm(&x, west)
	if !ok {
		return 0, errTimestamp
	}
	return r, nil
}

func truncYear(y, n int) int {
	if y > 0 {
		return (y+n-1)/n*n - n + 1
	}
	return -((n-1-(y-1))/n)*n + 1
}

// TruncAt is date_trunc with the name of a zone.
func TruncAt(unit string, t int64, zone string) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	z, err := zoneByName(zone)
	if err != nil {
		return 0, err
	}
	return Trunc(unit, t, z)
}

// TruncInterval is date_trunc of an interval.
func TruncInterval(unit string, v Interval) (Interval, error) {
	l, w := unitOf(unit, false)
	if w.kind != fUnit {
		return v, notRecognized(l, "interval")
	}
	years, months := v.Months/12, v.Months%12
	switch w.value {
	case uMillennium:
		return Interval{Months: years / 1000 * 1000 * 12}, nil
	case uCentury:
		return Interval{Months: years / 100 * 100 * 12}, nil
	case uDecade:
		return Interval{Months: years / 10 * 10 * 12}, nil
	case uYear:
		return Interval{Months: years * 12}, nil
	case uQuarter:
		return Interval{Months: years*12 + months/3*3}, nil
	case uMonth:
		return Interval{Months: v.Months}, nil
	case uDay:
		v.Micros = 0
	case uHour:
		v.Micros = v.Micros / Hour * Hour
	case uMinute:
		v.Micros = v.Micros / Minute * Minute
	case uSecond:
		v.Micros = v.Micros / Second * Second
	case uMillisecond:
		v.Micros = v.Micros / 1000 * 1000
	case uMicrosecond:
	default:
		e := notSupported(l, "interval").(*sqlstate.Error)
		if w.value == uWeek {
			e.Detail = "Months usually have fractional weeks."
		}
		return v, e
	}
	return v, nil
}

// Bin is date_bin: the start of the stride from the origin in which t lies.
func Bin(stride Interval, t, origin int64) (int64, error) {
	if !Finite(t) {
		return t, nil
	}
	if !Finite(origin) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "origin out of range")
	}
	if stride.Months != 0 {
		return 0, sqlstate.New(sqlstate.Unsupported, "timestamps cannot be binned into intervals containing months or years")
	}
	length := int64(0)
	if !mulAdd(int64(stride.Days), Day, &length) || !mulAdd(stride.Micros, 1, &length) {
		return 0, errInterval
	}
	if length <= 0 {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "stride must be greater than zero")
	}
	diff := t - origin
	if (t < 0) != (origin < 0) && (diff < 0) != (t < 0) {
		return 0, errInterval
	}
	mod := diff % length
	r := origin + diff - mod
	if mod < 0 {
		if r -= length; !ValidTimestamp(r) || r > t {
			return 0, errTimestamp
		}
	}
	return r, nil
}

// MakeDate is make_date; years below 0 are BC.
func MakeDate(year, mon, mday int64) (int64, error) {
	x, err := makeDay(year, mon, mday)
	if err != nil {
		return 0, err
	}
	d := int64(toJulian(x.year, x.mon, x.mday) - epochJulian)
	if !validJulian(x.year, x.mon) || !ValidDate(d) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range: %d-%02d-%02d", year, mon, mday)
	}
	return d, nil
}

func makeDay(year, mon, mday int64) (tm, error) {
	d := decoder{mask: dateMask}
	d.tm = tm{year: int(year), mon: int(mon), mday: int(mday)}
	bc := year < 0
	if bc {
		d.tm.year = -d.tm.year
	}
	if d.validate(false, bc) != okay {
		return d.tm, sqlstate.New(sqlstate.DateTimeOverflow, "date field value out of range: %d-%02d-%02d", year, mon, mday)
	}
	return d.tm, nil
}

// MakeTime is make_time.
func MakeTime(hour, min int64, sec float64) (int64, error) {
	u := math.RoundToEven(float64(sec * Second))
	if hour >= 0 && hour <= 24 && min >= 0 && min < 60 && u >= 0 && u <= Minute {
		if t := (hour*60+min)*Minute + int64(u); t <= Day {
			return t, nil
		}
	}
	s := numeric.FromFloat(sec, 6).String()
	if len(s) < 2 {
		s = "0" + s
	}
	return 0, sqlstate.New(sqlstate.DateTimeOverflow, "time field value out of range: %d:%02d:%s", hour, min, s)
}

// MakeTimestamp is make_timestamp, and make_timestamptz in a zone.
func MakeTimestamp(year, mon, mday, hour, min int64, sec float64, zone *Zone) (int64, error) {
	x, err := makeDay(year, mon, mday)
	if err != nil {
		return 0, err
	}
	if !validJulian(x.year, x.mon) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range: %d-%02d-%02d", year, mon, mday)
	}
	clock, err := MakeTime(hour, min, sec)
	if err != nil {
		return 0, err
	}
	x.hour, x.min, x.sec, x.usec = 0, 0, 0, 0
	date := int64(toJulian(x.year, x.mon, x.mday) - epochJulian)
	t := date*Day + clock
	if (t-clock)/Day != date || !ValidTimestamp(t) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "timestamp out of range: %d-%02d-%02d %d:%02d", year, mon, mday, hour, min)
	}
	if zone != nil {
		return FromLocal(t, zone)
	}
	return t, nil
}

// MakeZone reads the zone of make_timestamptz: a name, or a distance as ISO writes it.
func MakeZone(name string) (*Zone, error) {
	if name != "" && (name[0] == '+' || name[0] == '-' || isDigit(name[0])) {
		var d decoder
		switch d.decodeZone(name) { // which wants a sign
		case okay:
			return FixedZone(name, -d.west), nil
		case zoneOverflow:
			return nil, sqlstate.New(sqlstate.BadParameter, "numeric time zone \"%s\" out of range", name)
		}
		e := sqlstate.New(sqlstate.BadParameter, "invalid input syntax for type numeric time zone: \"%s\"", name)
		e.Hint = "Numeric time zones must have \"-\" or \"+\" as first character."
		return nil, e
	}
	return zoneByName(strings.TrimSpace(name))
}

// FromUnix is to_timestamp of seconds since 1970.
func FromUnix(sec float64) (int64, error) {
	switch {
	case sec != sec:
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "timestamp cannot be NaN")
	case math.IsInf(sec, 1):
		return TimestampInfinity, nil
	case math.IsInf(sec, -1):
		return TimestampNegativeInfinity, nil
	}
	out := sqlstate.New(sqlstate.DateTimeOverflow, "timestamp out of range: \"%s\"", numeric.FromFloat(sec, 6))
	if sec < secondsPerDay*-unixJulian || sec >= secondsPerDay*(109203528-unixJulian) {
		return 0, out
	}
	t := int64(math.RoundToEven(float64((sec - (epochJulian-unixJulian)*secondsPerDay) * Second)))
	if !ValidTimestamp(t) {
		return 0, out
	}
	return t, nil
}
