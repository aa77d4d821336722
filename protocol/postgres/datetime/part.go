package datetime

import (
	"math"
	"math/big"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
)

// A Part is a field of a date or time, as extract gives it (a numeric) and as date_part does (a double). Null says that
// there is none, as of infinity's day.
type Part struct {
	Numeric numeric.Number
	Float   float64
	Null    bool
}

func wholePart(n int64) (Part, error) {
	return Part{Numeric: numeric.FromInt(n), Float: float64(n)}, nil
}

func micros(n int64, scale int, f float64) (Part, error) {
	return Part{Numeric: numeric.FromBig(big.NewInt(n), scale), Float: f}, nil
}

// clockPart is what all types with a time of day share; sec and usec may be negative.
func clockPart(unit int, hour int64, min, sec, usec int) (Part, bool) {
	var p Part
	switch unit {
	case uMicrosecond:
		p, _ = wholePart(int64(sec)*Second + int64(usec))
	case uMillisecond:
		p, _ = micros(int64(sec)*Second+int64(usec), 3, float64(float64(sec)*1000)+float64(usec)/1000)
	case uSecond:
		p, _ = micros(int64(sec)*Second+int64(usec), 6, float64(sec)+float64(usec)/Second)
	case uMinute:
		p, _ = wholePart(int64(min))
	case uHour:
		p, _ = wholePart(hour)
	default:
		return p, false
	}
	return p, true
}

// calendarPart is what all types with a date share.
func calendarPart(unit, year, mon, mday int, zoned bool) (Part, bool) {
	n := 0
	era := func(size int) int {
		if year > 0 {
			return (year + size - 1) / size
		}
		return -((size - 1 - (year - 1)) / size)
	}
	switch unit {
	case uDay:
		n = mday
	case uMonth:
		n = mon
	case uQuarter:
		n = (mon-1)/3 + 1
	case uWeek:
		_, n = isoWeek(year, mon, mday)
	case uYear:
		if n = year; year <= 0 {
			n--
		}
	case uDecade:
		if year > 0 || year == 0 && !zoned {
			n = year / 10
		} else {
			n = -((8 - (year - 1)) / 10)
		}
	case uCentury:
		n = era(100)
	case uMillennium:
		n = era(1000)
	case uISOYear:
		if n, _ = isoWeek(year, mon, mday); n <= 0 {
			n--
		}
	case uWeekDay, uISOWeekDay:
		if n = weekday(toJulian(year, mon, mday)); n == 0 && unit == uISOWeekDay {
			n = 7
		}
	case uYearDay:
		n = toJulian(year, mon, mday) - toJulian(year, 1, 1) + 1
	default:
		return Part{}, false
	}
	p, _ := wholePart(int64(n))
	return p, true
}

// infinitePart is a field of infinity.
func infinitePart(w word, l, typ string, negative, date bool) (Part, error) {
	if w.kind != fUnit && w.kind != fReserved {
		return Part{}, notRecognized(l, typ)
	}
	switch w.value {
	case uMicrosecond, uMillisecond, uSecond, uMinute, uHour, uZone, uZoneMinute, uZoneHour:
		if !date {
			return Part{Null: true}, nil
		}
	case uDay, uMonth, uQuarter, uWeek, uWeekDay, uISOWeekDay, uYearDay:
		return Part{Null: true}, nil
	case uYear, uDecade, uCentury, uMillennium, uJulian, uISOYear, uEpoch:
		if negative {
			return Part{Numeric: numeric.NegativeInfinity, Float: math.Inf(-1)}, nil
		}
		return Part{Numeric: numeric.Infinity, Float: math.Inf(1)}, nil
	}
	return Part{}, notSupported(l, typ)
}

// PartOfTimestamp is a field of a timestamp, in a zone unless that is nil.
func PartOfTimestamp(unit string, t int64, zone *Zone) (Part, error) {
	typ := typeTimestamp
	if zone != nil {
		typ = typeTimestampTZ
	}
	l, w := unitOf(unit, true)
	if !Finite(t) {
		return infinitePart(w, l, typ, t < 0, false)
	}
	switch w.kind {
	case fReserved:
		if w.value != uEpoch {
			return Part{}, notSupported(l, typ)
		}
		d := new(big.Int).Sub(big.NewInt(t), big.NewInt(UnixEpoch))
		if t >= math.MaxInt64+UnixEpoch {
			// Where the difference does not fit in 64 bits PostgreSQL divides, and shows fewer digits.
			q, _ := numeric.FromBig(d, 0).Div(numeric.FromInt(Second))
			q, _ = q.Round(6)
			return Part{Numeric: q, Float: (float64(t) - float64(UnixEpoch)) / Second}, nil
		}
		f, _ := new(big.Float).SetInt(d).Float64()
		return Part{Numeric: numeric.FromBig(d, 6), Float: f / Second}, nil
	case fUnit:
	default:
		return Part{}, notRecognized(l, typ)
	}
	x, err := toTm(t, zone)
	if err != nil {
		return Part{}, err
	}
	if p, ok := clockPart(w.value, int64(x.hour), x.min, x.sec, x.usec); ok {
		return p, nil
	}
	if p, ok := calendarPart(w.value, x.year, x.mon, x.mday, zone != nil); ok {
		return p, nil
	}
	switch {
	case w.value == uJulian:
		j := toJulian(x.year, x.mon, x.mday)
		seconds := int64(x.hour*60+x.min)*60 + int64(x.sec)
		q, _ := numeric.FromInt(seconds*Second + int64(x.usec)).Div(numeric.FromInt(Day))
		s, _ := numeric.FromInt(int64(j)).Add(q)
		return Part{Numeric: s, Float: float64(j) + (float64(seconds)+float64(x.usec)/Second)/secondsPerDay}, nil
	case zone != nil && w.value == uZone:
		return wholePart(int64(-x.zone))
	case zone != nil && w.value == uZoneMinute:
		return wholePart(int64(-x.zone / 60 % 60))
	case zone != nil && w.value == uZoneHour:
		return wholePart(int64(-x.zone / 3600))
	}
	return Part{}, notSupported(l, typ)
}

// PartOfDate is extract from a date.
func PartOfDate(unit string, d int64) (Part, error) {
	l, w := unitOf(unit, true)
	if !FiniteDate(d) && (w.kind == fUnit || w.kind == fReserved) {
		return infinitePart(w, l, "date", d < 0, true)
	}
	switch {
	case w.kind == fReserved && w.value == uEpoch:
		return wholePart((d + epochJulian - unixJulian) * secondsPerDay)
	case w.kind == fUnit && w.value == uJulian:
		return wholePart(d + epochJulian)
	case w.kind == fUnit:
		y, m, md := fromJulian(int(d) + epochJulian)
		if p, ok := calendarPart(w.value, y, m, md, false); ok {
			return p, nil
		}
	case w.kind != fReserved:
		return Part{}, notRecognized(l, "date")
	}
	return Part{}, notSupported(l, "date")
}

// PartOfTime is a field of a time of day.
func PartOfTime(unit string, clock int64) (Part, error) {
	const typ = "time without time zone"
	l, w := unitOf(unit, true)
	switch {
	case w.kind == fReserved && w.value == uEpoch:
		return micros(clock, 6, float64(clock)/Second)
	case w.kind != fUnit:
		return Part{}, notRecognized(l, typ)
	}
	var x tm
	x.setClock(clock)
	if p, ok := clockPart(w.value, int64(x.hour), x.min, x.sec, x.usec); ok {
		return p, nil
	}
	return Part{}, notSupported(l, typ)
}

// PartOfInterval is a field of an interval.
func PartOfInterval(unit string, v Interval) (Part, error) {
	l, w := unitOf(unit, true)
	switch {
	case w.kind == fReserved && w.value == uEpoch:
		secs := (int64(4*365.25)*int64(v.Months/12) + 4*30*int64(v.Months%12) + 4*int64(v.Days)) * (secondsPerDay / 4)
		n := new(big.Int).Mul(big.NewInt(secs), big.NewInt(Second))
		f := float64(v.Micros) / Second
		f += float64((365.25 * secondsPerDay) * float64(v.Months/12))
		f += float64((30 * secondsPerDay) * float64(v.Months%12))
		f += float64(secondsPerDay * float64(v.Days))
		return Part{Numeric: numeric.FromBig(n.Add(n, big.NewInt(v.Micros)), 6), Float: f}, nil
	case w.kind != fUnit:
		return Part{}, notRecognized(l, "interval")
	}
	if p, ok := clockPart(w.value, v.Micros/Hour, int(v.Micros/Minute%60), int(v.Micros/Second%60), int(v.Micros%Second)); ok {
		return p, nil
	}
	years := int64(v.Months / 12)
	switch w.value {
	case uDay:
		return wholePart(int64(v.Days))
	case uMonth:
		return wholePart(int64(v.Months % 12))
	case uQuarter:
		return wholePart(int64(v.Months%12/3) + 1)
	case uYear:
		return wholePart(years)
	case uDecade:
		return wholePart(years / 10)
	case uCentury:
		return wholePart(years / 100)
	case uMillennium:
		return wholePart(years / 1000)
	}
	return Part{}, notSupported(l, "interval")
}
