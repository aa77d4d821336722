package postgres_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

func (o *oracle) pick(s ...string) string { return s[o.rand.IntN(len(s))] }

func (o *oracle) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + o.rand.IntN(10))
	}
	return string(b)
}

// integer favours small numbers and the ends.
func (o *oracle) integer(bits int) string {
	switch o.rand.IntN(4) {
	case 0:
		return strconv.Itoa(o.rand.IntN(20) - 5)
	case 1:
		edge := int64(1)<<(bits-1) - 1
		return o.pick(strconv.FormatInt(edge, 10), strconv.FormatInt(-edge-1, 10), strconv.FormatInt(edge-int64(o.rand.IntN(3)), 10), "0", "-1")
	}
	return strconv.FormatInt(int64(o.rand.Uint64())>>(64-bits+o.rand.IntN(bits)), 10)
}

func (o *oracle) numeric() string {
	s := o.pick("", "", "-")
	switch o.rand.IntN(12) {
	case 0:
		return o.pick("NaN", "Infinity", "-Infinity", "0", "0.00", "1", "-1", "1.0", "0.5", "-0.5", "2", "10", "1e20", "1e-20", "0.9", "1.1", "99999999999999999.9")
	case 1:
		return s + o.digits(1+o.rand.IntN(40)) + "." + o.digits(o.rand.IntN(40))
	case 2:
		return s + "0." + strings.Repeat("0", o.rand.IntN(25)) + o.digits(1+o.rand.IntN(10))
	case 3:
		return s + o.digits(1+o.rand.IntN(6)) + "e" + strconv.Itoa(o.rand.IntN(60)-30)
	case 4:
		return s + o.digits(1+o.rand.IntN(3))
	}
	return s + strconv.Itoa(o.rand.IntN(1000)) + o.pick("", ".", "."+o.digits(1+o.rand.IntN(6)))
}

func (o *oracle) float(bits int) string {
	switch o.rand.IntN(8) {
	case 0:
		return o.pick("NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1", "0.5", "1e308", "1e-308", "4.9e-324", "1e22", "123456789012345", "1e15", "1e-5", "1e5", "1e6", "1234567", "2147483647.5")
	case 1:
		if bits == 32 {
			return strconv.FormatFloat(float64(math.Float32frombits(o.rand.Uint32())), 'g', -1, 32)
		}
		return strconv.FormatFloat(math.Float64frombits(o.rand.Uint64()), 'g', -1, 64)
	case 2:
		return strconv.FormatFloat((o.rand.Float64()-0.5)*2, 'g', -1, 64)
	}
	return strconv.FormatFloat((o.rand.Float64()-0.5)*math.Pow(10, float64(o.rand.IntN(8))), 'g', o.rand.IntN(17)+1, 64)
}

var words = []string{"", "a", "abc", "Hello World", "x y  z", "äöü", "日本語", "%", "_", "a%b", "a_c", "\\", "ab\\", "'", "\"", "foo,bar,baz", "aaa", "abcabc",
	"  pad  ", "tab\there", "line\nbreak", "NULL", "null", "{}", "123", "-1", "0x1F", "😀", "select", "Mixed_Case9", "a b-c d", "~!@#", "e\u0301", "zzz", "ab", "bc"}

func (o *oracle) word() string {
	switch o.rand.IntN(4) {
	case 0:
		var b strings.Builder
		for range o.rand.IntN(12) {
			b.WriteRune([]rune("abcAB %_\\ ,é1")[o.rand.IntN(13)])
		}
		return b.String()
	case 1:
		return o.pick(words...) + o.pick(words...)
	}
	return o.pick(words...)
}

func (o *oracle) day() string {
	y := 1900 + o.rand.IntN(200)
	switch o.rand.IntN(10) {
	case 0:
		y = 1 + o.rand.IntN(9999)
	case 1:
		y = 10000 + o.rand.IntN(280000)
	}
	m, d := 1+o.rand.IntN(12), 1+o.rand.IntN(28+o.rand.IntN(5))
	if o.recent {
		return fmt.Sprintf("%04d-%02d-%02d", 1975+o.rand.IntN(60), m, d)
	}
	month := o.pick("Jan", "february", "MAR", "Apr", "May", "june", "Jul", "Aug", "Sept", "Oct", "nov", "December")
	switch o.rand.IntN(16) {
	case 0:
		return o.pick("infinity", "-infinity", "epoch", "2000-02-29", "1999-12-31", "0001-01-01", "4713-01-01 BC", "4714-11-24 BC", "294276-12-31", "5874897-12-31", "2021-02-29")
	case 1:
		return fmt.Sprintf("%d/%d/%04d", m, d, y)
	case 2:
		return fmt.Sprintf("%s %d, %d", month, d, y)
	case 3:
		return fmt.Sprintf("%d %s %d", d, month, y)
	case 4:
		return fmt.Sprintf("%04d%02d%02d", y, m, d)
	case 5:
		return fmt.Sprintf("%04d-%02d-%02d BC", 1+o.rand.IntN(4712), m, d)
	case 6:
		return fmt.Sprintf("%04d-%s-%02d", y, month, d)
	case 7:
		return fmt.Sprintf("J%d", o.rand.IntN(5000000))
	case 8:
		return fmt.Sprintf("%04d.%03d", y, 1+o.rand.IntN(366))
	case 9:
		return fmt.Sprintf("%s %02d %s %d", o.pick("Mon", "Tuesday", "sat"), d, month, y)
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
}

func (o *oracle) clock() string {
	h, m, s := o.rand.IntN(24), o.rand.IntN(60), o.rand.IntN(60)
	switch o.rand.IntN(12) {
	case 0:
		return o.pick("00:00:00", "24:00:00", "23:59:59.999999", "23:59:60", "12:00 AM", "12:00 pm", "allballs", "24:00:01", "23:59:59.9999999")
	case 1:
		return fmt.Sprintf("%02d:%02d", h, m)
	case 2:
		return fmt.Sprintf("%d:%02d %s", 1+h%12, m, o.pick("am", "PM"))
	case 3:
		return fmt.Sprintf("%02d%02d%02d", h, m, s)
	case 4:
		return fmt.Sprintf("T%02d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%02d:%02d:%02d%s", h, m, s, o.pick("", "", "."+o.digits(1+o.rand.IntN(8))))
}

func (o *oracle) offset() string {
	return o.pick("", "", "Z", "+02", "-08:00", "+05:30", " UTC", " EST", " America/New_York", " Europe/Berlin", "+0130", "-03:30:15", " PDT", " Asia/Tokyo")
}

func (o *oracle) interval() string {
	var parts []string
	units := []string{"year", "years", "mon", "months", "week", "weeks", "day", "days", "hour", "hours", "min", "minutes", "sec", "seconds", "ms", "us", "decades", "century", "y", "d", "h", "m", "s"}
	switch o.rand.IntN(10) {
	case 0:
		return o.pick("0", "1 day", "-1 day", "1 mon", "30 days", "720:00:00", "1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6S", "PT0.5S", "P0001-02-03T04:05:06", "1-2", "1 2:03:04",
			"-1-2", "@ 1 day ago", "1.5 years", "1.5 months", "0.1 day", "178956970 years", "2147483647 days", "-2147483648 days", "P1.5W", "1 day 25:00:00", "9223372036854775807 us", "2562047788:00:54.775807", "1.23456 seconds", "-00:00:01", "+1 day -2 hours")
	case 1:
		return fmt.Sprintf("%d:%02d:%02d%s", o.rand.IntN(200), o.rand.IntN(60), o.rand.IntN(60), o.pick("", "."+o.digits(6)))
	case 2:
		return fmt.Sprintf("P%dY%dM%dDT%dH%dM%d%sS", o.rand.IntN(9), o.rand.IntN(20), o.rand.IntN(40), o.rand.IntN(30), o.rand.IntN(90), o.rand.IntN(90), o.pick("", ".5", ".25"))
	}
	for range 1 + o.rand.IntN(3) {
		parts = append(parts, o.pick("", "", "-")+strconv.Itoa(o.rand.IntN(100))+o.pick("", "", "", "."+o.digits(1+o.rand.IntN(3)))+" "+o.pick(units...))
	}
	if o.rand.IntN(3) == 0 {
		parts = append(parts, o.pick("", "-")+o.clock())
	}
	return strings.Join(parts, " ") + o.pick("", "", "", " ago")
}

func (o *oracle) json(depth int) string {
	n := o.rand.IntN(9)
	if depth <= 0 {
		n = o.rand.IntN(6)
	}
	switch n {
	case 0:
		return "null"
	case 1:
		return o.pick("true", "false")
	case 2:
		return o.pick("0", "-0", "1", "1.0", "1.50", "-12.25e3", "1e5", "1E-7", "100", o.integer(32))
	case 3, 4, 5:
		return `"` + o.pick("", "a", "b", "abc", "key", "äö", `\"q\"`, `\\`, `\n\t`, `\u00e9`, `\ud83d\ude00`, "1", "true", "x y") + `"`
	case 6:
		var items []string
		for range o.rand.IntN(4) {
			items = append(items, o.json(depth-1))
		}
		return "[" + strings.Join(items, o.pick(",", ", ", " ,")) + "]"
	}
	var items []string
	for range o.rand.IntN(4) {
		items = append(items, `"`+o.pick("a", "b", "c", "aa", "key", "", "é", "1", "0")+`"`+o.pick(":", ": ")+o.json(depth-1))
	}
	return "{" + strings.Join(items, ",") + o.pick("", "", " ") + "}"
}

// text is a text that a type may read.
func (o *oracle) text(oid postgres.OID) string {
	if t, _ := postgres.TypeOf(oid); t.Elem != 0 {
		return o.array(t.Elem)
	}
	switch oid {
	case postgres.Bool:
		return o.pick("t", "f", "true", "FALSE", "yes", "no", "on", "off", "1", "0", "of", " tr ", "o", "2")
	case postgres.Int2:
		return o.integer(16)
	case postgres.Int4, postgres.OIDType:
		return o.integer(32)
	case postgres.Int8:
		return o.integer(64)
	case postgres.Float4:
		return o.float(32)
	case postgres.Float8:
		return o.float(64)
	case postgres.Numeric:
		return o.numeric()
	case postgres.Bytea:
		if o.rand.IntN(4) == 0 {
			return o.pick(`\x`, `\000\001`, `a\\b`, "abc", `\377`, `\x00ff`, `\x DE ad`, `\xabc`, `\8`, `\400`)
		}
		b := make([]byte, o.rand.IntN(9))
		for i := range b {
			b[i] = byte(o.rand.Uint32())
		}
		return fmt.Sprintf(`\x%x`, b)
	case postgres.UUID:
		s := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", o.rand.Uint32(), o.rand.Uint32()>>16, o.rand.Uint32()>>16, o.rand.Uint32()>>16, o.rand.Uint64()>>16)
		return o.pick(s, strings.ToUpper(s), strings.ReplaceAll(s, "-", ""), "{"+s+"}")
	case postgres.Date:
		return o.day()
	case postgres.Time:
		return o.clock()
	case postgres.TimeTZ:
		return o.clock() + o.pick("", "Z", "+02", "-08:00", "+05:30", " UTC", " EST", "+0130")
	case postgres.Timestamp:
		return o.day() + o.pick(" ", "T", " ") + o.clock()
	case postgres.TimestampTZ:
		return o.day() + o.pick(" ", "T", " ") + o.clock() + o.offset()
	case postgres.Interval:
		return o.interval()
	case postgres.JSON, postgres.JSONB:
		return o.json(3)
	case postgres.TSVector:
		return o.vectorText()
	case postgres.TSQuery:
		return o.queryText(3)
	case postgres.Regconfig:
		return o.pick("english", "simple", "english", "simple", "pg_catalog.english", "SIMPLE", `"simple"`, "german", "nonsense", "3748")
	case postgres.Char:
		return o.pick("A", "b", "C", "d", "x", "", "ab", "é", `\101`)
	case postgres.Bpchar:
		return o.word() + o.pick("", "  ", " ")
	}
	return o.word()
}

func (o *oracle) array(elem postgres.OID) string {
	n := o.rand.IntN(4)
	item := func() string {
		if o.rand.IntN(6) == 0 {
			return o.pick("NULL", "null")
		}
		s := o.text(elem)
		return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
	}
	list := func() string {
		var items []string
		for range n {
			items = append(items, item())
		}
		return "{" + strings.Join(items, o.pick(",", ", ", " ,")) + "}"
	}
	switch o.rand.IntN(10) {
	case 0:
		var rows []string
		n = 1 + o.rand.IntN(3)
		for range 1 + o.rand.IntN(3) {
			rows = append(rows, list())
		}
		return "{" + strings.Join(rows, ",") + "}"
	case 1:
		n = 1 + o.rand.IntN(3)
		lo := o.rand.IntN(5) - 2
		return fmt.Sprintf("[%d:%d]=%s", lo, lo+n-1, list())
	}
	return list()
}

// damage changes a text a little.
func (o *oracle) damage(s string) string {
	r := []rune(s)
	i := o.rand.IntN(len(r) + 1)
	with := []rune(o.pick("", " ", "-", "+", ".", ":", "0", "9", "e", "T", ",", "{", "}", "\"", "\\", "[", "]", "x", "  ", "/", "ago", " BC", "1", "_"))
	j := min(i+o.rand.IntN(2), len(r))
	return string(r[:i]) + string(with) + string(r[j:])
}

// argument is a text for an argument of a routine: what a function wants in particular, now and then NULL.
func (o *oracle) argument(r *postgres.Routine, i int, oid postgres.OID) string {
	if o.rand.IntN(40) == 0 {
		return "\x00"
	}
	if s, ok := o.searching(r, i, oid); ok {
		return s
	}
	if oid == postgres.Text {
		switch r.Name {
		case "extract", "date_part", "date_trunc":
			if i == 0 {
				return o.pick("year", "month", "day", "hour", "minute", "second", "milliseconds", "microseconds", "quarter", "week", "decade", "century", "millennium", "epoch",
					"dow", "isodow", "doy", "isoyear", "julian", "timezone", "timezone_hour", "timezone_minute", "YEARS", "nonsense", "bc", "now")
			}
			return o.pick("UTC", "America/New_York", "Europe/Berlin", "asia/tokyo", "EST", "nowhere")
		case "timezone":
			return o.pick("UTC", "America/New_York", "Europe/Berlin", "asia/tokyo", "EST", "PDT", "nowhere", "Australia/Sydney", "Asia/Kolkata")
		case "make_timestamptz":
			return o.pick("UTC", "America/New_York", "+2", "-03:30", "EST", "nowhere", "5")
		case "encode", "decode":
			if i == 1 {
				return o.pick("hex", "base64", "escape", "HEX", "b64")
			}
			if r.Name == "decode" {
				return o.pick("", "00ff", "AQID", "aGVsbG8=", "aGVsbG8", "aGk=", "a=", "==", "abc", `\001a\\`, "zz", " 0 1", "YQ==", "YWI=\nYWJj", `\`)
			}
		case "format":
			if i == 0 {
				return o.pick("%s", "%s-%s", "%I", "%L", "%%", "%2$s", "%-10s|", "%10s|", "%*s|", "%-*s|", "%1$s %1$s", "%", "%x", "%3$s", "a%sb%Lc%I", "%5I", "%0$s", "%*2$s", "%2$s %s")
			}
		case "~", "!~", "~*", "!~*", "regexp_like", "regexp_replace", "regexp_count", "regexp_match", "substring":
			if i == 1 {
				return o.regex(3)
			}
			if i == 2 && r.Name == "regexp_replace" {
				return o.pick("", "X", `<\&>`, `\\`, "ab", `a\`, `\x`)
			}
			if i > 1 {
				return o.pick("", "g", "i", "gi", "c", "z")
			}
		case "similar_to_escape", "like_escape":
			if i == 1 {
				return o.pick("", "!", `\\`, "é", "ab", "%")
			}
			return o.pick("a%b_c", "[^a-c]%", "(a|b)!%", `x\\_y`, "a.b^c$", `!"a!"b!"`, "[[:alpha:]]!", "é%é", "[]a]_", `\\\\`) + o.word()
		case "->", "->>", "?", "-", "jsonb_exists", "jsonb_extract_path", "jsonb_extract_path_text", "json_extract_path", "json_extract_path_text":
			return o.pick("a", "b", "c", "aa", "key", "", "é", "1", "0", "-1", "abc")
		case "to_char":
			if o.rand.IntN(2) == 0 {
				return o.pick("YYYY-MM-DD HH24:MI:SS", "Day, DD Month YYYY", "FMDay, FMDDth FMMonth YYYY", "Mon DD, YYYY HH12:MI AM", `YYYY"T"HH24:MI:SS.US OF`, "IYYY-IW-ID", "DDD J Q CC", "yyyy-mm-dd tz", `"quoted \\" text"`)
			}
			var b strings.Builder
			for range 1 + o.rand.IntN(5) {
				b.WriteString(o.pick("", "", "", "FM", "TM", "fm"))
				b.WriteString(o.pick("YYYY", "YYY", "YY", "Y", "Y,YYY", "IYYY", "IYY", "IY", "I", "MM", "MONTH", "Month", "month", "MON", "Mon", "mon", "RM", "rm", "DDD", "IDDD", "DD", "D", "ID", "DAY", "Day", "day", "DY",
					"Dy", "dy", "W", "WW", "IW", "CC", "J", "Q", "HH", "HH12", "HH24", "MI", "SS", "MS", "US", "FF1", "FF3", "FF6", "SSSS", "SSSSS", "AM", "a.m.", "P.M.", "pm", "BC", "a.d.", "TZ", "tz", "TZH", "TZM", "OF", "FX"))
				b.WriteString(o.pick("", "", "", "TH", "th", "SP"))
				b.WriteString(o.pick(" ", "-", "/", ":", "", `"x"`, "é", `\\"`, "z"))
			}
			return b.String()
		case "split_part":
			if i == 1 {
				return o.pick(",", "a", "", "b", " ", "abc")
			}
		}
	}
	if oid == postgres.ArrayOf(postgres.Text) && len(r.Args) > 0 && (r.Args[0] == postgres.JSON || r.Args[0] == postgres.JSONB) {
		return o.pick("{}", "{a}", "{a,b}", "{0}", "{1,0}", "{-1}", "{a,0}", "{b,a,0}", "{key}", "{NULL}", "{a,NULL}", "{1}", "{\"\"}", "{aa}", "{{a,b}}", "{5}", "{-5}", "{x}", "{a,x}", "{0,a}")
	}
	if oid == postgres.JSONB && i == 1 && o.rand.IntN(2) == 0 {
		return o.json(1)
	}
	switch r.Name {
	case "repeat", "lpad", "rpad", "left", "right", "substr", "substring", "overlay", "split_part", "<<", ">>", "round", "trunc", "get_byte", "set_byte", "get_bit", "chr",
		"->", "->>", "-", "array_position", "array_length", "array_upper", "array_lower", "width_bucket", "array_fill", "trim_array":
		if oid == postgres.Int4 || oid == postgres.Int8 {
			if r.Name == "chr" && o.rand.IntN(2) == 0 {
				return strconv.Itoa(o.rand.IntN(0x120000))
			}
			if r.Name != "repeat" && o.rand.IntN(12) == 0 {
				return o.pick("2147483647", "-2147483648")
			}
			return strconv.Itoa(o.rand.IntN(20) - 5)
		}
	case "make_date", "make_timestamp", "make_timestamptz", "make_time":
		if oid == postgres.Int4 && o.rand.IntN(6) != 0 {
			switch {
			case r.Name == "make_time" || i > 2:
				return strconv.Itoa(o.rand.IntN(61))
			case i == 0:
				return strconv.Itoa(o.rand.IntN(4000) - 500)
			}
			return strconv.Itoa(o.rand.IntN(32))
		}
		if oid == postgres.Float8 && o.rand.IntN(3) != 0 {
			return strconv.FormatFloat(o.rand.Float64()*61, 'f', 7, 64)
		}
	case "make_interval":
		if oid == postgres.Int4 {
			return strconv.Itoa(o.rand.IntN(200) - 100)
		}
		return strconv.FormatFloat((o.rand.Float64()-0.5)*1000, 'f', 7, 64)
	case "factorial":
		return strconv.Itoa(o.rand.IntN(200) - 5)
	case "power", "pow", "^":
		if oid == postgres.Numeric && i == 1 && o.rand.IntN(2) == 0 {
			return strconv.Itoa(o.rand.IntN(60) - 30)
		}
	case "to_timestamp":
		if oid == postgres.Float8 && o.rand.IntN(2) == 0 {
			return strconv.FormatFloat(o.rand.Float64()*2e9, 'f', 7, 64)
		}
	}
	return o.text(oid)
}

func (o *oracle) regex(depth int) string {
	if depth <= 0 {
		return o.pick("a", "b", "c", "A", ".", "[abc]", "[^a]", "[a-c]", `\d`, `\s`, `\w`, `\D`, " ", "x", "é", "[[:alpha:]]", "[[:space:]_]", "[B-D]", `\.`, "lo", "-", "{", "}", `[\d_]`, "[a-]", "[]a]", "%", "")
	}
	switch o.rand.IntN(10) {
	case 0:
		return o.regex(depth-1) + "|" + o.regex(depth-1)
	case 1:
		return "(" + o.regex(depth-1) + ")"
	case 2:
		return o.regex(0) + o.pick("*", "+", "?", "{2}", "{1,2}", "{0,}", "*?", "{3,1}", "{256}", "**")
	case 3:
		return o.pick("^", "") + o.regex(depth-1) + o.pick("$", "")
	case 4:
		return o.regex(depth-1) + o.pick(`\y`, `\A`, `\Z`, "(?:b)", "*", "(", ")", "[", `\`, "a{", "^*", "$+", "()")
	}
	return o.regex(depth-1) + o.regex(depth-1)
}
