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
