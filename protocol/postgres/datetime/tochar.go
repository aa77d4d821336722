package datetime

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// patterns are what to_char replaces; of those that fit the first counts. All but the names of months and days are also known in
// lower case.
var patterns = strings.Fields(`A.D. A.M. AD AM B.C. BC CC DAY DDD DD DY Day Dy D FF1 FF2 FF3 FF4 FF5 FF6 FX HH24 HH12 HH IDDD ID IW IYYY IYY IY I J MI MM
	MONTH MON MS Month Mon OF P.M. PM Q RM SSSSS SSSS SS TZH TZM TZ US WW W Y,YYY YYYY YYY YY Y`)

var (
	monthNames = strings.Fields("January February March April May June July August September October November December")
	dayNames   = strings.Fields("Sunday Monday Tuesday Wednesday Thursday Friday Saturday")
	roman      = strings.Fields("XII XI X IX VIII VII VI V IV III II I")
)

// shown is what to_char shows of a time or an interval.
type shown struct {
	tm
	hour     int64 // of an interval, beyond a day
	wday     int
	interval bool
	zoned    bool
	abbrev   string
}

// ToChar is to_char of a timestamp, in a zone unless that is nil. ok is false when there is nothing to show.
func ToChar(t int64, zone *Zone, format string) (s string, ok bool, err error) {
	if format == "" || !Finite(t) {
		return "", false, nil
	}
	x, err := toTm(t, zone)
	if err != nil {
		return "", false, err
	}
	v := shown{tm: x, hour: int64(x.hour), zoned: zone != nil}
	j := toJulian(x.year, x.mon, x.mday)
	v.wday, v.yday = weekday(j), j-toJulian(x.year, 1, 1)+1
	if zone != nil {
		v.abbrev = zone.Name
		if zone.loc != nil {
			v.abbrev, _ = unix(t).In(zone.loc).Zone()
		}
	}
	s, err = v.format(format)
	return s, true, err
}

// IntervalToChar is to_char of an interval.
func IntervalToChar(i Interval, format string) (s string, ok bool, err error) {
	if format == "" {
		return "", false, nil
	}
	v := shown{interval: true, hour: i.Micros / Hour}
	v.year, v.mon, v.mday = int(i.Months/12), int(i.Months%12), int(i.Days)
	v.min, v.sec, v.usec = int(i.Micros/Minute%60), int(i.Micros/Second%60), int(i.Micros%Second)
	v.yday = int(int32((v.year*12+v.mon)*30 + v.mday)) // PostgreSQL counts so, and so far
	s, err = v.format(format)
	return s, true, err
}

func (v *shown) format(f string) (string, error) {
	var b strings.Builder
	for f != "" {
		fill, local := true, false
		if len(f) > 1 {
			switch f[:2] {
			case "FM", "fm":
				fill, f = false, f[2:]
			case "TM", "tm":
				local, f = true, f[2:]
			}
		}
		if f == "" {
			break
		}
		key := ""
		for _, p := range patterns {
			if strings.HasPrefix(f, p) || p == strings.ToUpper(p) && strings.HasPrefix(f, strings.ToLower(p)) {
				key = f[:len(p)]
				break
			}
		}
		if key == "" {
			if f[0] == '"' {
				for f = f[1:]; f != ""; {
					if f[0] == '"' {
						f = f[1:]
						break
					}
					if f[0] == '\\' && len(f) > 1 {
						f = f[1:]
					}
					_, n := utf8.DecodeRuneInString(f)
					b.WriteString(f[:n])
					f = f[n:]
				}
				continue
			}
			if strings.HasPrefix(f, `\"`) {
				f = f[1:]
			}
			_, n := utf8.DecodeRuneInString(f)
			b.WriteString(f[:n])
			f = f[n:]
			continue
		}
		f = f[len(key):]
		ordinal := ""
		if len(f) > 1 {
			switch f[:2] {
			case "TH", "th":
				ordinal, f = f[:2], f[2:]
			case "SP":
				f = f[2:]
			}
		}
		s, number, err := v.item(key, fill, local)
		if err != nil {
			return "", err
		}
		if number && ordinal != "" && s != "" {
			th := nth(s)
			if ordinal == "TH" {
				th = strings.ToUpper(th)
			}
			s += th
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func nth(s string) string {
	last := s[len(s)-1]
	if len(s) > 1 && s[len(s)-2] == '1' {
		last = 0
	}
	switch last {
	case '1':
		return "st"
	case '2':
		return "nd"
	case '3':
		return "rd"
	}
	return "th"
}

// item is what a pattern stands for, and whether that is a number.
func (v *shown) item(key string, fill, local bool) (string, bool, error) {
	upper := strings.ToUpper(key)
	num := func(n int64, width int) (string, bool, error) {
		if !fill {
			width = 0
		}
		return fmt.Sprintf("%0*d", width, n), true, nil
	}
	signed := func(n int64, width int) (string, bool, error) {
		if n < 0 {
			width++
		}
		return num(n, width)
	}
	cased := func(s string) string {
		switch key {
		case upper:
			return strings.ToUpper(s)
		case strings.ToLower(key):
			return strings.ToLower(s)
		}
		return s
	}
	padded := func(s string) (string, bool, error) {
		if fill && !local {
			s = fmt.Sprintf("%-9s", s)
		}
		return cased(s), false, nil
	}
	switch upper {
	case "A.D.", "AD", "B.C.", "BC", "MONTH", "MON", "DAY", "DY", "D", "ID", "TZ", "TZH", "TZM", "OF":
		if v.interval {
			e := sqlstate.New(sqlstate.BadDateTime, "invalid format specification for an interval value")
			e.Hint = "Intervals are not tied to specific calendar dates."
			return "", false, e
		}
	}
	year := func(y int) int64 {
		if !v.interval && y <= 0 {
			y = -(y - 1)
		}
		return int64(y)
	}
	yearWidth := func(n int64, w int) (string, bool, error) {
		if year(v.year) < 0 {
			w++
		}
		return num(n, w)
	}
	east := -v.zone
	zoneSign := "+"
	if east < 0 {
		zoneSign, east = "-", -east
	}
	isoYear, week := 0, 0
	if upper[0] == 'I' && upper != "ID" {
		isoYear, week = isoWeek(v.year, v.mon, v.mday)
	}
	switch upper {
	case "A.M.", "P.M.", "AM", "PM":
		s := "AM"
		if h := v.hour % 24; h >= 12 {
			s = "PM"
		}
		if len(key) == 4 {
			s = s[:1] + "." + s[1:] + "."
		}
		return cased(s), false, nil
	case "A.D.", "AD", "B.C.", "BC":
		s := "AD"
		if v.year <= 0 {
			s = "BC"
		}
		if len(key) == 4 {
			s = s[:1] + "." + s[1:] + "."
		}
		return cased(s), false, nil
	case "HH", "HH12":
		w, n := 2, v.hour%12
		if v.hour < 0 {
			w = 3
		}
		if n == 0 {
			n = 12
		}
		return num(n, w)
	case "HH24":
		return signed(v.hour, 2)
	case "MI":
		return signed(int64(v.min), 2)
	case "SS":
		return signed(int64(v.sec), 2)
	case "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "MS", "US":
		digits := map[string]int{"MS": 3, "US": 6}[upper]
		if digits == 0 {
			digits = int(upper[2] - '0')
		}
		n := v.usec
		for range 6 - digits {
			n /= 10
		}
		return fmt.Sprintf("%0*d", digits, n), true, nil
	case "SSSS", "SSSSS":
		return num(v.hour*3600+int64(v.min)*60+int64(v.sec), 0)
	case "TZ":
		return cased(v.abbrev), false, nil
	case "TZH":
		return fmt.Sprintf("%s%02d", zoneSign, east/3600), false, nil
	case "TZM":
		return fmt.Sprintf("%02d", east%3600/60), false, nil
	case "OF":
		s, _, _ := num(int64(east/3600), 2)
		if east%3600 != 0 {
			s += fmt.Sprintf(":%02d", east%3600/60)
		}
		return zoneSign + s, false, nil
	case "MONTH":
		return padded(monthNames[v.mon-1])
	case "MON":
		return cased(monthNames[v.mon-1][:3]), false, nil
	case "MM":
		return signed(int64(v.mon), 2)
	case "DAY":
		return padded(dayNames[v.wday])
	case "DY":
		return cased(dayNames[v.wday][:3]), false, nil
	case "DDD":
		return num(int64(v.yday), 3)
	case "IDDD":
		return num(int64(toJulian(v.year, v.mon, v.mday)-isoWeek1(isoYear)+1), 3)
	case "DD":
		return num(int64(v.mday), 2)
	case "D":
		return num(int64(v.wday+1), 0)
	case "ID":
		return num(int64((v.wday+6)%7+1), 0)
	case "WW":
		return num(int64((v.yday-1)/7+1), 2)
	case "IW":
		return num(int64(week), 2)
	case "W":
		return num(int64((v.mday-1)/7+1), 0)
	case "Q":
		if v.mon == 0 {
			return "", false, nil
		}
		return num(int64((v.mon-1)/3+1), 0)
	case "CC":
		c := v.year / 100
		if !v.interval {
			if v.year > 0 {
				c = (v.year-1)/100 + 1
			} else {
				c--
			}
		}
		if c > 99 || c < -99 {
			return num(int64(c), 0)
		}
		return signed(int64(c), 2)
	case "Y,YYY":
		y := year(v.year)
		return fmt.Sprintf("%d,%03d", y/1000, y%1000), true, nil
	case "YYYY":
		return yearWidth(year(v.year), 4)
	case "IYYY":
		return yearWidth(year(isoYear), 4)
	case "YYY":
		return yearWidth(year(v.year)%1000, 3)
	case "IYY":
		return yearWidth(year(isoYear)%1000, 3)
	case "YY":
		return yearWidth(year(v.year)%100, 2)
	case "IY":
		return yearWidth(year(isoYear)%100, 2)
	case "Y":
		return num(year(v.year)%10, 1)
	case "I":
		return num(year(isoYear)%10, 1)
	case "RM":
		if v.mon == 0 && v.year == 0 {
			return "", false, nil
		}
		m := 12 - v.mon
		switch {
		case v.mon == 0 && v.year >= 0:
			m = 0
		case v.mon == 0:
			m = 11
		case v.mon < 0:
			m = -1 - v.mon
		}
		s := roman[m]
		if fill {
			s = fmt.Sprintf("%-4s", s)
		}
		return cased(s), false, nil
	case "J":
		return num(int64(int32(toJulian(v.year, v.mon, v.mday))), 0)
	}
	return "", false, nil // FX
}
