package datetime

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// What PostgreSQL calls the kinds of fields of a text.
const (
	tokNumber = iota
	tokString
	tokDate
	tokTime
	tokZone
	tokSpecial
)

// What a word means; the values are bits of a mask.
const (
	fReserved = iota
	fMonth
	fYear
	fDay
	fJulian
	fZone
	fSummerZone
	fDynamicZone
	fIgnore
	fAMPM
	fHour
	fMinute
	fSecond
	fMillisecond
	fMicrosecond
	fYearDay
	fWeekDay
	fUnit
	fEra
	fAgo
	_
	_
	_
	fISOTime
	fWeek
	fDecade
	fCentury
	fMillennium
	fZoneModifier
	fUnknown = 31
)

const (
	dateMask    = 1<<fYear | 1<<fMonth | 1<<fDay
	secondsMask = 1<<fSecond | 1<<fMillisecond | 1<<fMicrosecond
	timeMask    = 1<<fHour | 1<<fMinute | secondsMask
)

// Units and reserved words.
const (
	uNone = iota
	uEarly
	uLate
	uEpoch
	uNow
	uYesterday
	uToday
	uTomorrow
	uZulu
	uTime
	uSecond
	uMinute
	uHour
	uDay
	uWeek
	uMonth
	uQuarter
	uYear
	uDecade
	uCentury
	uMillennium
	uMillisecond
	uMicrosecond
	uJulian
	uWeekDay
	uYearDay
	uZone
	uZoneHour
	uZoneMinute
	uISOYear
	uISOWeekDay
)

const (
	am = iota
	pm
	hour24
)

// tokenLength is how many characters of a word count.
const tokenLength = 10

type word struct{ kind, value int }

var dateWords = map[string]word{
	"-infinity": {fReserved, uEarly}, "infinity": {fReserved, uLate}, "epoch": {fReserved, uEpoch}, "now": {fReserved, uNow},
	"today": {fReserved, uToday}, "tomorrow": {fReserved, uTomorrow}, "yesterday": {fReserved, uYesterday}, "allballs": {fReserved, uZulu},
	"ad": {fEra, 0}, "bc": {fEra, 1}, "am": {fAMPM, am}, "pm": {fAMPM, pm}, "at": {fIgnore, 0}, "on": {fIgnore, 0},
	"jan": {fMonth, 1}, "january": {fMonth, 1}, "feb": {fMonth, 2}, "february": {fMonth, 2}, "mar": {fMonth, 3}, "march": {fMonth, 3},
	"apr": {fMonth, 4}, "april": {fMonth, 4}, "may": {fMonth, 5}, "jun": {fMonth, 6}, "june": {fMonth, 6}, "jul": {fMonth, 7}, "july": {fMonth, 7},
	"aug": {fMonth, 8}, "august": {fMonth, 8}, "sep": {fMonth, 9}, "sept": {fMonth, 9}, "september": {fMonth, 9}, "oct": {fMonth, 10},
	"october": {fMonth, 10}, "nov": {fMonth, 11}, "november": {fMonth, 11}, "dec": {fMonth, 12}, "december": {fMonth, 12},
	"sun": {fWeekDay, 0}, "sunday": {fWeekDay, 0}, "mon": {fWeekDay, 1}, "monday": {fWeekDay, 1}, "tue": {fWeekDay, 2}, "tues": {fWeekDay, 2},
	"tuesday": {fWeekDay, 2}, "wed": {fWeekDay, 3}, "weds": {fWeekDay, 3}, "wednesday": {fWeekDay, 3}, "thu": {fWeekDay, 4}, "thur": {fWeekDay, 4},
	"thurs": {fWeekDay, 4}, "thursday": {fWeekDay, 4}, "fri": {fWeekDay, 5}, "friday": {fWeekDay, 5}, "sat": {fWeekDay, 6}, "saturday": {fWeekDay, 6},
	"d": {fUnit, uDay}, "dow": {fUnit, uWeekDay}, "doy": {fUnit, uYearDay}, "h": {fUnit, uHour}, "isodow": {fUnit, uISOWeekDay},
	"isoyear": {fUnit, uISOYear}, "j": {fUnit, uJulian}, "jd": {fUnit, uJulian}, "julian": {fUnit, uJulian}, "m": {fUnit, uMonth},
	"mm": {fUnit, uMinute}, "s": {fUnit, uSecond}, "y": {fUnit, uYear}, "t": {fISOTime, uTime}, "dst": {fZoneModifier, 3600},
}

var unitWords = map[string]word{
	"@": {fIgnore, 0}, "ago": {fAgo, 0}, "c": {fUnit, uCentury}, "cent": {fUnit, uCentury}, "centuries": {fUnit, uCentury}, "century": {fUnit, uCentury},
	"d": {fUnit, uDay}, "day": {fUnit, uDay}, "days": {fUnit, uDay}, "dec": {fUnit, uDecade}, "decade": {fUnit, uDecade}, "decades": {fUnit, uDecade},
	"decs": {fUnit, uDecade}, "h": {fUnit, uHour}, "hour": {fUnit, uHour}, "hours": {fUnit, uHour}, "hr": {fUnit, uHour}, "hrs": {fUnit, uHour},
	"m": {fUnit, uMinute}, "microsecon": {fUnit, uMicrosecond}, "mil": {fUnit, uMillennium}, "millennia": {fUnit, uMillennium},
	"millennium": {fUnit, uMillennium}, "millisecon": {fUnit, uMillisecond}, "mils": {fUnit, uMillennium}, "min": {fUnit, uMinute},
	"mins": {fUnit, uMinute}, "minute": {fUnit, uMinute}, "minutes": {fUnit, uMinute}, "mon": {fUnit, uMonth}, "mons": {fUnit, uMonth},
	"month": {fUnit, uMonth}, "months": {fUnit, uMonth}, "ms": {fUnit, uMillisecond}, "msec": {fUnit, uMillisecond}, "mseconds": {fUnit, uMillisecond},
	"msecs": {fUnit, uMillisecond}, "qtr": {fUnit, uQuarter}, "quarter": {fUnit, uQuarter}, "s": {fUnit, uSecond}, "sec": {fUnit, uSecond},
	"second": {fUnit, uSecond}, "seconds": {fUnit, uSecond}, "secs": {fUnit, uSecond}, "timezone": {fUnit, uZone}, "timezone_h": {fUnit, uZoneHour},
	"timezone_m": {fUnit, uZoneMinute}, "us": {fUnit, uMicrosecond}, "usec": {fUnit, uMicrosecond}, "useconds": {fUnit, uMicrosecond},
	"usecs": {fUnit, uMicrosecond}, "w": {fUnit, uWeek}, "week": {fUnit, uWeek}, "weeks": {fUnit, uWeek}, "y": {fUnit, uYear}, "year": {fUnit, uYear},
	"years": {fUnit, uYear}, "yr": {fUnit, uYear}, "yrs": {fUnit, uYear},
}

func lookUp(m map[string]word, s string) word {
	if w, ok := m[cut(s, tokenLength)]; ok {
		return w
	}
	return word{fUnknown, 0}
}

// What can be wrong with a text.
type problem int

const (
	okay problem = iota
	badFormat
	fieldOverflow
	monthDayOverflow
	intervalOverflow
	zoneOverflow
)

func (p problem) error(s, typ string) error {
	switch p {
	case fieldOverflow:
		return sqlstate.New(sqlstate.DateTimeOverflow, "date/time field value out of range: \"%s\"", s)
	case monthDayOverflow:
		e := sqlstate.New(sqlstate.DateTimeOverflow, "date/time field value out of range: \"%s\"", s)
		e.Hint = "Perhaps you need a different \"datestyle\" setting."
		return e
	case intervalOverflow:
		return sqlstate.New(sqlstate.IntervalOverflow, "interval field value out of range: \"%s\"", s)
	case zoneOverflow:
		return sqlstate.New(sqlstate.ZoneDisplacement, "time zone displacement out of range: \"%s\"", s)
	}
	return sqlstate.New(sqlstate.BadDateTime, "invalid input syntax for type %s: \"%s\"", typ, s)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isPunct(c byte) bool { return c > ' ' && c < 127 && !isDigit(c) && !isAlpha(c) }

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

// strtol reads a whole number as C does; what does not fit is cut to the nearest, and reported.
func strtol(s string) (n int64, rest string, overflow bool) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	start := i
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	first := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == first {
		return 0, s, false
	}
	n, err := strconv.ParseInt(s[start:i], 10, 64)
	return n, s[i:], err != nil
}

// strtoint is strtol for 32 bits.
func strtoint(s string) (int, string, bool) {
	n, rest, over := strtol(s)
	return int(int32(n)), rest, over || n != int64(int32(n))
}

func atoi(s string) int {
	n, _, _ := strtoint(s)
	return n
}

// fraction reads .ddd, all of s.
func fraction(s string) (float64, bool) {
	if len(s) == 1 {
		return 0, true
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) && !(i > 1 && (s[i]|0x20 == 'e' || s[i] == '-' || s[i] == '+')) {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func fractionalMicros(s string) (int, bool) {
	f, ok := fraction(s)
	if r := math.RoundToEven(float64(f * 1000000)); ok && math.Abs(r) < 1<<31 {
		return int(r), true
	}
	return 0, false
}

type field struct {
	kind int
	text string
}

// split takes a text apart; bound is how much of it PostgreSQL has room for.
func split(s string, bound int) ([]field, bool) {
	var fields []field
	used := 0
	for i := 0; i < len(s); {
		if isSpace(s[i]) {
			i++
			continue
		}
		if len(fields) >= 25 {
			return nil, false
		}
		start, kind, text := i, tokNumber, ""
		digits := func() {
			for i < len(s) && isDigit(s[i]) {
				i++
			}
		}
		at := func(set string) bool { return i < len(s) && strings.IndexByte(set, s[i]) >= 0 }
		alnum := func() bool { return i < len(s) && (isDigit(s[i]) || isAlpha(s[i])) }
		switch c := s[i]; {
		case isDigit(c):
			digits()
			if at(":") {
				kind = tokTime
				i++
				for i < len(s) && (isDigit(s[i]) || s[i] == ':' || s[i] == '.') {
					i++
				}
			} else if at("-/.") {
				delim := s[i]
				i++
				if i < len(s) && isDigit(s[i]) {
					kind = tokDate
					if delim == '.' {
						kind = tokNumber
					}
					digits()
					if i < len(s) && s[i] == delim {
						kind = tokDate
						i++
						for i < len(s) && (isDigit(s[i]) || s[i] == delim) {
							i++
						}
					}
				} else {
					kind = tokDate
					for alnum() || i < len(s) && s[i] == delim {
						i++
					}
				}
			}
		case c == '.':
			i++
			digits()
		case isAlpha(c):
			kind = tokString
			for i < len(s) && isAlpha(s[i]) {
				i++
			}
			date := at("-/.")
			if !date && i < len(s) && (s[i] == '+' || isDigit(s[i])) {
				date = lookUp(dateWords, lower(s[start:i])).kind == fUnknown
			}
			if date {
				kind = tokDate
				for first := true; first || at("+-/_.:") || alnum(); first = false {
					i++
				}
			}
		case c == '+' || c == '-':
			i++
			for i < len(s) && isSpace(s[i]) {
				i++
			}
			text = string(c)
			start = i
			if i < len(s) && isDigit(s[i]) {
				kind = tokZone
				for i < len(s) && (isDigit(s[i]) || s[i] == ':' || s[i] == '.' || s[i] == '-') {
					i++
				}
			} else if i < len(s) && isAlpha(s[i]) {
				kind = tokSpecial
				for i < len(s) && isAlpha(s[i]) {
					i++
				}
			} else {
				return nil, false
			}
		case isPunct(c):
			i++
			continue
		default:
			return nil, false
		}
		text += lower(s[start:i])
		if used += len(text) + 1; used > bound {
			return nil, false
		}
		fields = append(fields, field{kind, text})
	}
	return fields, true
}

// A decoder reads the fields of a date or time.
type decoder struct {
	env       Env
	tm        tm
	mask      uint32 // what was read
	now       uint32 // what the field at hand gave
	twoDigits bool
	zoned     bool // whether a zone may be given; west is its result
	west      int
	err       error
}

func (d *decoder) decodeZone(s string) problem {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return badFormat
	}
	hr, rest, over := strtoint(s[1:])
	if over {
		return zoneOverflow
	}
	min, sec := 0, 0
	if strings.HasPrefix(rest, ":") {
		if min, rest, over = strtoint(rest[1:]); over {
			return zoneOverflow
		}
		if strings.HasPrefix(rest, ":") {
			if sec, rest, over = strtoint(rest[1:]); over {
				return zoneOverflow
			}
		}
	} else if rest == "" && len(s) > 3 {
		hr, min = hr/100, hr%100
	}
	if hr < 0 || hr > 15 || min < 0 || min >= 60 || sec < 0 || sec >= 60 {
		return zoneOverflow
	}
	tz := (hr*60+min)*60 + sec
	if s[0] == '-' {
		tz = -tz
	}
	d.west = -tz
	if rest != "" {
		return badFormat
	}
	return okay
}

func (d *decoder) decodeDate(s string, mask uint32) problem {
	d.now = 0
	var parts []string
	for s != "" && len(parts) < 25 {
		for s != "" && !isDigit(s[0]) && !isAlpha(s[0]) {
			s = s[1:]
		}
		if s == "" {
			return badFormat
		}
		n := 0
		if isDigit(s[0]) {
			for n < len(s) && isDigit(s[n]) {
				n++
			}
		} else {
			for n < len(s) && isAlpha(s[n]) {
				n++
			}
		}
		parts = append(parts, s[:n])
		s = s[min(n+1, len(s)):]
	}
	got, textMonth := uint32(0), false
	for i, p := range parts {
		if !isAlpha(p[0]) {
			continue
		}
		w := lookUp(dateWords, p)
		if w.kind == fIgnore {
			continue
		}
		if w.kind != fMonth {
			return badFormat
		}
		d.tm.mon = w.value
		textMonth = true
		if mask&(1<<fMonth) != 0 {
			return badFormat
		}
		mask |= 1 << fMonth
		got |= 1 << fMonth
		parts[i] = ""
	}
	for _, p := range parts {
		if p == "" {
			continue
		}
		if e := d.decodeNumber(p, textMonth, mask); e != okay {
			return e
		}
		if mask&d.now != 0 {
			return badFormat
		}
		mask |= d.now
		got |= d.now
	}
	d.now = got
	if mask&^(1<<fYearDay|1<<fZone) != dateMask {
		return badFormat
	}
	return okay
}

// clock is the hours, minutes, seconds and microseconds of a text.
type clock struct {
	hour           int64
	min, sec, usec int
}

func decodeClock(s string, minuteToSecond bool) (clock, problem) {
	var c clock
	var rest string
	var over, good bool
	if c.hour, rest, over = strtol(s); over {
		return c, fieldOverflow
	}
	if !strings.HasPrefix(rest, ":") {
		return c, badFormat
	}
	if c.min, rest, over = strtoint(rest[1:]); over {
		return c, fieldOverflow
	}
	shift := func() problem {
		if c.hour != int64(int32(c.hour)) {
			return fieldOverflow
		}
		c.hour, c.min, c.sec = 0, int(c.hour), c.min
		return okay
	}
	switch {
	case rest == "":
		if minuteToSecond {
			if p := shift(); p != okay {
				return c, p
			}
		}
	case rest[0] == '.':
		if c.usec, good = fractionalMicros(rest); !good {
			return c, badFormat
		}
		if p := shift(); p != okay {
			return c, p
		}
	case rest[0] == ':':
		if c.sec, rest, over = strtoint(rest[1:]); over {
			return c, fieldOverflow
		}
		if strings.HasPrefix(rest, ".") {
			if c.usec, good = fractionalMicros(rest); !good {
				return c, badFormat
			}
		} else if rest != "" {
			return c, badFormat
		}
	default:
		return c, badFormat
	}
	if c.hour < 0 || c.min < 0 || c.min > 59 || c.sec < 0 || c.sec > 60 || c.usec < 0 || c.usec > Second {
		return c, fieldOverflow
	}
	return c, okay
}

func (d *decoder) decodeTime(s string) problem {
	d.now = timeMask
	c, p := decodeClock(s, false)
	if p != okay {
		return p
	}
	if c.hour > math.MaxInt32 {
		return fieldOverflow
	}
	d.tm.hour, d.tm.min, d.tm.sec, d.tm.usec = int(c.hour), c.min, c.sec, c.usec
	return okay
}

func (d *decoder) decodeNumber(s string, textMonth bool, mask uint32) problem {
	d.now = 0
	val, rest, over := strtoint(s)
	if over {
		return fieldOverflow
	}
	if len(rest) == len(s) {
		return badFormat
	}
	if strings.HasPrefix(rest, ".") {
		if len(s)-len(rest) > 2 {
			return d.decodeNumberField(s, mask|dateMask)
		}
		usec, ok := fractionalMicros(rest)
		if !ok {
			return badFormat
		}
		d.tm.usec = usec
	} else if rest != "" {
		return badFormat
	}
	if len(s) == 3 && mask&dateMask == 1<<fYear && val >= 1 && val <= 366 {
		d.now = 1<<fYearDay | 1<<fMonth | 1<<fDay
		d.tm.yday = val
		return okay
	}
	set := func(f int) {
		d.now = 1 << f
		switch f {
		case fYear:
			d.tm.year = val
			d.twoDigits = len(s) <= 2
		case fMonth:
			d.tm.mon = val
		case fDay:
			d.tm.mday = val
		}
	}
	switch mask & dateMask {
	case 0:
		if len(s) >= 3 {
			set(fYear)
		} else {
			set(fMonth)
		}
	case 1 << fYear:
		set(fMonth)
	case 1 << fMonth:
		if textMonth && len(s) >= 3 {
			set(fYear)
		} else {
			set(fDay)
		}
	case 1<<fYear | 1<<fMonth:
		if textMonth && len(s) >= 3 && d.twoDigits {
			d.now = 1 << fDay
			d.tm.mday, d.tm.year, d.twoDigits = d.tm.year, val, false
		} else {
			set(fDay)
		}
	case 1 << fDay:
		set(fMonth)
	case 1<<fMonth | 1<<fDay:
		set(fYear)
	case dateMask:
		return d.decodeNumberField(s, mask)
	}
	return okay
}

// decodeNumberField reads dates and times written without anything between: 20200131, 235959.5.
func (d *decoder) decodeNumberField(s string, mask uint32) problem {
	if i := strings.IndexByte(s, '.'); i >= 0 {
		d.tm.usec = 0
		if i+1 < len(s) {
			n := i + 1
			for n < len(s) && isDigit(s[n]) {
				n++
			}
			f, err := strconv.ParseFloat(s[i:n], 64)
			if err != nil {
				return badFormat
			}
			d.tm.usec = int(math.RoundToEven(float64(f * 1000000)))
		}
		s = s[:i]
	} else if mask&dateMask != dateMask && len(s) >= 6 {
		n := len(s)
		d.now = dateMask
		d.tm.mday, d.tm.mon, d.tm.year = atoi(s[n-2:]), atoi(s[n-4:n-2]), atoi(s[:n-4])
		if n-4 == 2 {
			d.twoDigits = true
		}
		return okay
	}
	if mask&timeMask != timeMask {
		switch len(s) {
		case 6:
			d.now = timeMask
			d.tm.hour, d.tm.min, d.tm.sec = atoi(s[:2]), atoi(s[2:4]), atoi(s[4:])
			return okay
		case 4:
			d.now = timeMask
			d.tm.hour, d.tm.min, d.tm.sec = atoi(s[:2]), atoi(s[2:]), 0
			return okay
		}
	}
	return badFormat
}

func (d *decoder) validate(julian, bc bool) problem {
	t := &d.tm
	if d.mask&(1<<fYear) != 0 && !julian {
		switch {
		case bc:
			if t.year <= 0 {
				return fieldOverflow
			}
			t.year = -(t.year - 1)
		case d.twoDigits:
			if t.year < 0 {
				return fieldOverflow
			}
			if t.year < 70 {
				t.year += 2000
			} else if t.year < 100 {
				t.year += 1900
			}
		case t.year <= 0:
			return fieldOverflow
		}
	}
	if d.mask&(1<<fYearDay) != 0 {
		t.year, t.mon, t.mday = fromJulian(toJulian(t.year, 1, 1) + t.yday - 1)
	}
	if d.mask&(1<<fMonth) != 0 && (t.mon < 1 || t.mon > 12) {
		return monthDayOverflow
	}
	if d.mask&(1<<fDay) != 0 && (t.mday < 1 || t.mday > 31) {
		return monthDayOverflow
	}
	if d.mask&dateMask == dateMask && t.mday > daysIn(t.year, t.mon) {
		return fieldOverflow
	}
	return okay
}

func clockOverflows(hour, min, sec, usec int) bool {
	return hour < 0 || hour > 24 || min < 0 || min >= 60 || sec < 0 || sec > 60 || usec < 0 || usec > Second ||
		int64(hour)*Hour+int64(min)*Minute+int64(sec)*Second+int64(usec) > Day
}

func (d *decoder) today(offset int) {
	t, _ := toTm(d.env.Now, d.env.zone())
	d.tm.year, d.tm.mon, d.tm.mday = fromJulian(toJulian(t.year, t.mon, t.mday) + offset)
}

func (e Env) zone() *Zone {
	if e.Zone == nil {
		return UTC
	}
	return e.Zone
}

// decode reads fields as a timestamp, or as a time of day. It returns a reserved word instead, or uNone.
func (d *decoder) decode(fields []field, timeOnly bool) (int, problem) {
	var (
		special   = uNone
		pending   = uNone // a unit whose number comes next
		mer       = hour24
		textMonth bool
		julian    bool
		bc        bool
		named     *Zone
		dynamic   string
	)
	n := len(fields)
	for i := range fields {
		f := &fields[i]
		d.now = 0
		var p problem
		switch f.kind {
		case tokDate:
			switch {
			case timeOnly:
				if !d.zoned {
					return 0, badFormat
				}
				if i == 0 && n >= 2 && (fields[n-1].kind == tokDate || fields[1].kind == tokTime) {
					p = d.decodeDate(f.text, d.mask)
				} else if isDigit(f.text[0]) {
					if d.mask&timeMask == timeMask {
						return 0, badFormat
					}
					p = d.joined(f.text, d.mask|dateMask)
				} else {
					named, d.err = LoadZone(f.text)
					d.now = 1 << fZone
				}
			case pending == uJulian:
				if !d.zoned {
					return 0, badFormat
				}
				val, rest, over := strtoint(f.text)
				if over || val < 0 {
					return 0, fieldOverflow
				}
				d.tm.year, d.tm.mon, d.tm.mday = fromJulian(val)
				julian = true
				p = d.decodeZone(rest)
				d.now = dateMask | timeMask | 1<<fZone
				pending = uNone
			case pending != uNone || d.mask&(1<<fMonth|1<<fDay) == 1<<fMonth|1<<fDay:
				if !d.zoned {
					return 0, badFormat
				}
				if isDigit(f.text[0]) || pending != uNone {
					if pending != uNone && pending != uTime {
						return 0, badFormat
					}
					pending = uNone
					if d.mask&timeMask == timeMask {
						return 0, badFormat
					}
					p = d.joined(f.text, d.mask)
				} else {
					named, d.err = LoadZone(f.text)
					d.now = 1 << fZone
				}
			default:
				p = d.decodeDate(f.text, d.mask)
			}
		case tokTime:
			if !timeOnly && pending != uNone {
				if pending != uTime {
					return 0, badFormat
				}
				pending = uNone
			}
			p = d.decodeTime(f.text)
			if p == okay && !timeOnly && clockOverflows(d.tm.hour, d.tm.min, d.tm.sec, d.tm.usec) {
				p = fieldOverflow
			}
		case tokZone:
			if !d.zoned {
				return 0, badFormat
			}
			p = d.decodeZone(f.text)
			d.now = 1 << fZone
		case tokNumber:
			switch point := strings.IndexByte(f.text, '.'); {
			case pending != uNone:
				if timeOnly && !d.zoned && (pending == uJulian || pending == uYear || pending == uMonth || pending == uDay) {
					return 0, badFormat
				}
				p = d.decodeUnit(f.text, pending, &julian)
				pending, special = uNone, uNone
			case timeOnly && point >= 0:
				if i == 0 && n >= 2 && fields[n-1].kind == tokDate {
					p = d.decodeDate(f.text, d.mask)
				} else if point > 2 {
					p = d.decodeNumberField(f.text, d.mask|dateMask)
				} else {
					return 0, badFormat
				}
			case timeOnly:
				if len(f.text) > 4 {
					p = d.decodeNumberField(f.text, d.mask|dateMask)
				} else {
					p = d.decodeNumber(f.text, false, d.mask|dateMask)
				}
			case point >= 0 && d.mask&dateMask == 0:
				p = d.decodeDate(f.text, d.mask)
			case point > 2, len(f.text) >= 6 && (d.mask&dateMask == 0 || d.mask&timeMask == 0):
				p = d.decodeNumberField(f.text, d.mask)
			default:
				p = d.decodeNumber(f.text, textMonth, d.mask)
			}
		case tokString, tokSpecial:
			var w word
			if a, ok := abbreviation(f.text); ok {
				w = word{fZone, a.east}
				if a.summer {
					w.kind = fSummerZone
				} else if a.dynamic {
					w.kind = fDynamicZone
				}
			} else {
				w = lookUp(dateWords, f.text)
			}
			if w.kind == fIgnore {
				continue
			}
			d.now = 1 << w.kind
			switch w.kind {
			case fReserved:
				switch w.value {
				case uNow:
					special = uNone
					d.now = timeMask
					t, _ := toTm(d.env.Now, d.env.zone())
					d.tm.hour, d.tm.min, d.tm.sec, d.tm.usec = t.hour, t.min, t.sec, t.usec
					if !timeOnly {
						d.now |= dateMask | 1<<fZone
						d.tm.year, d.tm.mon, d.tm.mday = t.year, t.mon, t.mday
						d.west = t.zone
					}
				case uZulu:
					special = uNone
					d.now = timeMask | 1<<fZone
					d.tm.hour, d.tm.min, d.tm.sec = 0, 0, 0
					if !timeOnly {
						d.west = 0
					}
				case uYesterday, uToday, uTomorrow:
					if timeOnly {
						return 0, badFormat
					}
					special = uNone
					d.now = dateMask
					d.today(w.value - uToday)
				default:
					if timeOnly {
						return 0, badFormat
					}
					special = w.value
				}
			case fMonth:
				if timeOnly {
					return 0, badFormat
				}
				if d.mask&(1<<fMonth) != 0 && !textMonth && d.mask&(1<<fDay) == 0 && d.tm.mon >= 1 && d.tm.mon <= 31 {
					d.tm.mday = d.tm.mon
					d.now = 1 << fDay
				}
				textMonth = true
				d.tm.mon = w.value
			case fZoneModifier:
				d.now |= 1 << fSummerZone
				if !d.zoned {
					return 0, badFormat
				}
				d.west -= w.value
			case fSummerZone, fZone:
				d.now |= 1 << fZone
				if !d.zoned {
					return 0, badFormat
				}
				d.west = -w.value
				if timeOnly {
					f.kind = tokZone
				}
			case fDynamicZone:
				d.now |= 1 << fZone
				if !d.zoned {
					return 0, badFormat
				}
				dynamic = f.text
			case fAMPM:
				mer = w.value
			case fEra:
				bc = w.value == 1
			case fWeekDay:
				if timeOnly {
					return 0, badFormat
				}
			case fUnit:
				d.now = 0
				pending = w.value
			case fISOTime:
				d.now = 0
				if !timeOnly && d.mask&dateMask != dateMask {
					return 0, badFormat
				}
				if i >= n-1 || fields[i+1].kind != tokNumber && fields[i+1].kind != tokTime && fields[i+1].kind != tokDate {
					return 0, badFormat
				}
				pending = w.value
			case fUnknown:
				z, err := LoadZone(f.text)
				if err != nil {
					return 0, badFormat
				}
				named = z
				d.now = 1 << fZone
			default:
				return 0, badFormat
			}
		}
		if p != okay {
			return 0, p
		}
		if d.err != nil {
			return 0, badFormat
		}
		if d.now&d.mask != 0 {
			return 0, badFormat
		}
		d.mask |= d.now
	}
	if p := d.validate(julian, bc); p != okay {
		return 0, p
	}
	if mer != hour24 && d.tm.hour > 12 {
		return 0, fieldOverflow
	}
	if mer == am && d.tm.hour == 12 {
		d.tm.hour = 0
	} else if mer == pm && d.tm.hour != 12 {
		d.tm.hour += 12
	}
	if timeOnly {
		if clockOverflows(d.tm.hour, d.tm.min, d.tm.sec, d.tm.usec) {
			return 0, fieldOverflow
		}
		if d.mask&timeMask != timeMask {
			return 0, badFormat
		}
	} else {
		if special != uNone {
			return special, okay
		}
		if d.mask&dateMask != dateMask {
			return 0, badFormat
		}
	}
	hasDate := d.mask&dateMask == dateMask
	modified := d.mask&(1<<fZoneModifier) != 0
	if named != nil {
		if modified {
			return 0, badFormat
		}
		if named.loc == nil {
			d.west = named.fixed
		} else if !hasDate {
			return 0, badFormat
		} else if d.zoned {
			d.west = named.westOfLocal(&d.tm)
		}
	}
	if dynamic != "" {
		d.err = sqlstate.New(sqlstate.Unsupported, "the time zone abbreviation \"%s\" is not supported: use the name of its zone", dynamic)
		return 0, badFormat
	}
	if d.zoned && d.mask&(1<<fZone) == 0 {
		if modified {
			return 0, badFormat
		}
		t := d.tm
		if timeOnly {
			if d.mask&dateMask == 0 {
				c, _ := toTm(d.env.Now, d.env.zone())
				t.year, t.mon, t.mday = c.year, c.mon, c.mday
			} else if !hasDate {
				return 0, badFormat
			}
		}
		d.west = d.env.zone().westOfLocal(&t)
	}
	return uNone, okay
}

// joined reads a time without colons that a zone follows: 040506-08.
func (d *decoder) joined(s string, mask uint32) problem {
	i := strings.IndexByte(s, '-')
	if i < 0 {
		return badFormat
	}
	if p := d.decodeZone(s[i:]); p != okay {
		return p
	}
	if p := d.decodeNumberField(s[:i], mask); p != okay {
		return p
	}
	d.now |= 1 << fZone
	return okay
}

// decodeUnit reads the number after a word like J or T.
func (d *decoder) decodeUnit(s string, unit int, julian *bool) problem {
	val, rest, over := strtoint(s)
	if over {
		return fieldOverflow
	}
	if strings.HasPrefix(rest, ".") {
		if unit != uJulian && unit != uTime && unit != uSecond {
			return badFormat
		}
	} else if rest != "" {
		return badFormat
	}
	switch unit {
	case uYear:
		d.tm.year, d.now = val, 1<<fYear
	case uMonth:
		if d.mask&(1<<fMonth) != 0 && d.mask&(1<<fHour) != 0 {
			d.tm.min, d.now = val, 1<<fMinute
		} else {
			d.tm.mon, d.now = val, 1<<fMonth
		}
	case uDay:
		d.tm.mday, d.now = val, 1<<fDay
	case uHour:
		d.tm.hour, d.now = val, 1<<fHour
	case uMinute:
		d.tm.min, d.now = val, 1<<fMinute
	case uSecond:
		d.tm.sec, d.now = val, 1<<fSecond
		if strings.HasPrefix(rest, ".") {
			usec, ok := fractionalMicros(rest)
			if !ok {
				return badFormat
			}
			d.tm.usec, d.now = usec, secondsMask
		}
	case uJulian:
		if val < 0 {
			return fieldOverflow
		}
		d.now = dateMask
		d.tm.year, d.tm.mon, d.tm.mday = fromJulian(val)
		*julian = true
		if strings.HasPrefix(rest, ".") {
			f, ok := fraction(rest)
			if !ok {
				return badFormat
			}
			d.tm.setClock(int64(float64(f * Day)))
			d.now |= timeMask
		}
	case uTime:
		if p := d.decodeNumberField(s, d.mask|dateMask); p != okay {
			return p
		}
		if d.now != timeMask {
			return badFormat
		}
	default:
		return badFormat
	}
	return okay
}

func (d *decoder) read(s, typ string, bound int, timeOnly bool) (int, error) {
	fields, ok := split(s, bound)
	p := badFormat
	special := uNone
	if ok {
		special, p = d.decode(fields, timeOnly)
	}
	if d.err != nil {
		return 0, d.err
	}
	if p != okay {
		return 0, p.error(s, typ)
	}
	return special, nil
}

// ParseDate reads a date.
func ParseDate(env Env, s string) (int64, error) {
	d := decoder{env: env, zoned: true}
	special, err := d.read(s, "date", 129, false)
	if err != nil {
		return 0, err
	}
	switch special {
	case uLate:
		return DateInfinity, nil
	case uEarly:
		return DateNegativeInfinity, nil
	case uEpoch:
		return unixJulian - epochJulian, nil
	}
	if !validJulian(d.tm.year, d.tm.mon) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range: \"%s\"", s)
	}
	date := int64(toJulian(d.tm.year, d.tm.mon, d.tm.mday) - epochJulian)
	if !ValidDate(date) {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range: \"%s\"", s)
	}
	return date, nil
}

// ParseTimestamp reads a timestamp; a zone in it counts for nothing.
func ParseTimestamp(env Env, s string) (int64, error) {
	return parseTimestamp(env, s, "timestamp", false)
}

// ParseTimestampTZ reads a timestamp with time zone: of the session when none is written.
func ParseTimestampTZ(env Env, s string) (int64, error) {
	return parseTimestamp(env, s, "timestamp with time zone", true)
}

func parseTimestamp(env Env, s, typ string, zoned bool) (int64, error) {
	d := decoder{env: env, zoned: true}
	special, err := d.read(s, typ, 153, false)
	if err != nil {
		return 0, err
	}
	switch special {
	case uLate:
		return TimestampInfinity, nil
	case uEarly:
		return TimestampNegativeInfinity, nil
	case uEpoch:
		return UnixEpoch, nil
	}
	west := &d.west
	if !zoned {
		west = nil
	}
	t, ok := fromTm(&d.tm, west)
	if !ok {
		return 0, sqlstate.New(sqlstate.DateTimeOverflow, "timestamp out of range: \"%s\"", s)
	}
	return t, nil
}

// ParseTime reads a time of day.
func ParseTime(env Env, s string) (int64, error) {
	d := decoder{env: env, zoned: true}
	if _, err := d.read(s, "time", 129, true); err != nil {
		return 0, err
	}
	return d.clock(), nil
}

func (d *decoder) clock() int64 {
	return int64(d.tm.hour)*Hour + int64(d.tm.min)*Minute + int64(d.tm.sec)*Second + int64(d.tm.usec)
}

// ParseTimeTZ reads a time of day and how many seconds west of UTC it is meant.
func ParseTimeTZ(env Env, s string) (int64, int, error) {
	d := decoder{env: env, zoned: true}
	if _, err := d.read(s, "time with time zone", 129, true); err != nil {
		return 0, 0, err
	}
	return d.clock(), d.west, nil
}
