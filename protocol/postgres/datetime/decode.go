package datetime

import (
	"math"
	"strconv"
	"strings"
)

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

func (d *decoder) clock() int64 {
	return int64(d.tm.hour)*Hour + int64(d.tm.min)*Minute + int64(d.tm.sec)*Second + int64(d.tm.usec)
}
