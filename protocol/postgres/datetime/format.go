package datetime

import "strconv"

func appendYear(b []byte, year int) []byte {
	if year <= 0 {
		year = -(year - 1)
	}
	for n := 1000; n > 1 && year < n; n /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(year), 10)
}

func appendDate(b []byte, t *tm) []byte {
	b = append(appendYear(b, t.year), '-')
	b = append(appendTwo(b, uint64(t.mon)), '-')
	return appendTwo(b, uint64(t.mday))
}

func appendClock(b []byte, t *tm) []byte {
	b = append(appendTwo(b, uint64(t.hour)), ':')
	b = append(appendTwo(b, uint64(t.min)), ':')
	return appendSeconds(b, t.sec, t.usec)
}

func appendZone(b []byte, west int) []byte {
	n := west
	if west <= 0 {
		b, n = append(b, '+'), -west
	} else {
		b = append(b, '-')
	}
	b = appendTwo(b, uint64(n/3600))
	if n%3600 != 0 {
		b = append(b, ':')
		b = appendTwo(b, uint64(n/60%60))
		if n%60 != 0 {
			b = append(b, ':')
			b = appendTwo(b, uint64(n%60))
		}
	}
	return b
}

func infinityText(negative bool) string {
	if negative {
		return "-infinity"
	}
	return "infinity"
}

// FormatDate writes a date as PostgreSQL does.
func FormatDate(d int64) string {
	if !FiniteDate(d) {
		return infinityText(d < 0)
	}
	var t tm
	t.year, t.mon, t.mday = fromJulian(int(d) + epochJulian)
	b := appendDate(make([]byte, 0, 16), &t)
	if t.year <= 0 {
		b = append(b, " BC"...)
	}
	return string(b)
}

// FormatTime writes a time of day, FormatTimeTZ one with its distance from UTC.
func FormatTime(clock int64) string {
	var t tm
	t.setClock(clock)
	return string(appendClock(make([]byte, 0, 16), &t))
}

func FormatTimeTZ(clock int64, west int) string {
	var t tm
	t.setClock(clock)
	return string(appendZone(appendClock(make([]byte, 0, 24), &t), west))
}

// FormatTimestamp writes a timestamp.
func FormatTimestamp(t int64) string { return formatTimestamp(t, nil, ' ') }

// FormatTimestampTZ writes a timestamp in a zone.
func FormatTimestampTZ(t int64, zone *Zone) string {
	if zone == nil {
		zone = UTC
	}
	return formatTimestamp(t, zone, ' ')
}

// ISO is a timestamp, or one with time zone, as JSON has it: with a T.
func ISO(t int64, zone *Zone) string {
	s := []byte(formatTimestamp(t, zone, 'T'))
	return string(s)
}

func formatTimestamp(ts int64, zone *Zone, between byte) string {
	if !Finite(ts) {
		return infinityText(ts < 0)
	}
	t, err := toTm(ts, zone)
	if err != nil {
		return "" // not a timestamp that this package made
	}
	b := appendDate(make([]byte, 0, 32), &t)
	b = appendClock(append(b, between), &t)
	if zone != nil {
		b = appendJSONZone(b, t.zone, between == 'T')
	}
	if t.year <= 0 {
		b = append(b, " BC"...)
	}
	return string(b)
}

// appendJSONZone is appendZone, with minutes always where XSD wants them.
func appendJSONZone(b []byte, west int, minutes bool) []byte {
	b = appendZone(b, west)
	if minutes && west%3600 == 0 {
		b = append(b, ":00"...)
	}
	return b
}
