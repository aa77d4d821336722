package datetime

import (
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

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

// ParseTimeTZ reads a time of day and how many seconds west of UTC it is meant.
func ParseTimeTZ(env Env, s string) (int64, int, error) {
	d := decoder{env: env, zoned: true}
	if _, err := d.read(s, "time with time zone", 129, true); err != nil {
		return 0, 0, err
	}
	return d.clock(), d.west, nil
}
