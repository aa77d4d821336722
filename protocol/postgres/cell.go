package postgres

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/postgres/textsearch"
)

func boolCell(b bool) any {
	if b {
		return int64(1)
	}
	return int64(0)
}

func num(v any) numeric.Number {
	n, err := numeric.Parse(v.(string))
	if err != nil {
		panic(err)
	}
	return n
}

func interval(v any) datetime.Interval {
	i, err := datetime.ParseInterval(v.(string), -1)
	if err != nil {
		panic(err)
	}
	return i
}

// timeTZ cells are 12 bytes that order as PostgreSQL does: by the time in UTC, then by the zone.
func timeTZCell(clock int64, west int) any {
	b := binary.BigEndian.AppendUint64(nil, uint64(clock+int64(west)*datetime.Second)^1<<63)
	return binary.BigEndian.AppendUint32(b, uint32(int32(west))^1<<31)
}

func timeTZ(v any) (clock int64, west int) {
	b := v.([]byte)
	west = int(int32(binary.BigEndian.Uint32(b[8:]) ^ 1<<31))
	return int64(binary.BigEndian.Uint64(b)^1<<63) - int64(west)*datetime.Second, west
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// checkText refuses what no text of PostgreSQL's holds.
func checkText(s string) error {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return sqlstate.New(sqlstate.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	if !utf8.ValidString(s) {
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				return sqlstate.New(sqlstate.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%02x", s[i])
			}
			i += n
		}
	}
	return nil
}

func parseInt(s, typ string, bits int) (any, error) {
	t := trimSpace(s)
	n, err := strconv.ParseInt(t, 10, bits)
	if err == nil && !strings.Contains(t, "_") {
		return n, nil
	}
	if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
		return nil, sqlstate.New(sqlstate.OutOfRange, "value \"%s\" is out of range for type %s", s, typ)
	}
	return nil, sqlstate.BadInput(typ, s)
}

func parseBool(s string) (any, error) {
	t := strings.ToLower(trimSpace(s))
	if t != "" {
		switch {
		case strings.HasPrefix("true", t), strings.HasPrefix("yes", t), t == "on", t == "1":
			return int64(1), nil
		case strings.HasPrefix("false", t), strings.HasPrefix("no", t), t == "off", t == "of", t == "0":
			return int64(0), nil
		}
	}
	return nil, sqlstate.BadInput("boolean", s)
}

func parseBytea(s string) (any, error) {
	if h, ok := strings.CutPrefix(s, `\x`); ok {
		out := make([]byte, 0, len(h)/2)
		for i := 0; i < len(h); i++ {
			if c := h[i]; c == ' ' || c == '\n' || c == '\t' || c == '\r' {
				continue
			}
			hi, ok := hexDigit(h[i])
			if !ok {
				return nil, badHex(h[i:])
			}
			if i++; i >= len(h) {
				return nil, sqlstate.New(sqlstate.BadParameter, "invalid hexadecimal data: odd number of digits")
			}
			lo, ok := hexDigit(h[i])
			if !ok {
				return nil, badHex(h[i:])
			}
			out = append(out, hi<<4|lo)
		}
		return out, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		octal := func(n int) bool { return s[i+n] >= '0' && s[i+n] <= '7' }
		switch {
		case s[i] != '\\':
			out = append(out, s[i])
			i++
		case i+3 < len(s) && s[i+1] <= '3' && octal(1) && octal(2) && octal(3):
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 4
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i += 2
		default:
			return nil, sqlstate.New(sqlstate.BadText, "invalid input syntax for type %s", "bytea")
		}
	}
	return out, nil
}

func badHex(rest string) error {
	_, n := utf8.DecodeRuneInString(rest)
	return sqlstate.New(sqlstate.BadParameter, "invalid hexadecimal digit: \"%s\"", rest[:n])
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func parseUUID(s string) (any, error) {
	bad := sqlstate.BadInput("uuid", s)
	t := s
	braces := strings.HasPrefix(t, "{")
	if braces {
		t = t[1:]
	}
	out := make([]byte, 0, 16)
	for i := range 16 {
		if len(t) < 2 {
			return nil, bad
		}
		hi, ok1 := hexDigit(t[0])
		lo, ok2 := hexDigit(t[1])
		if !ok1 || !ok2 {
			return nil, bad
		}
		out = append(out, hi<<4|lo)
		if t = t[2:]; i%2 == 1 && i < 15 {
			t = strings.TrimPrefix(t, "-")
		}
	}
	if braces {
		if !strings.HasPrefix(t, "}") {
			return nil, bad
		}
		t = t[1:]
	}
	if t != "" {
		return nil, bad
	}
	return out, nil
}

func formatUUID(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// fitText applies the length of varchar(n) and char(n). An explicit cast cuts, all else only blanks.
func fitText(s string, oid OID, typmod int32, explicit bool) (string, error) {
	if typmod < 4 {
		return s, nil
	}
	n := int(typmod - 4)
	if len(s) <= n && oid == Varchar {
		return s, nil
	}
	length := utf8.RuneCountInString(s)
	if length <= n {
		if oid == Bpchar {
			if err := sized(len(s) + n - length); err != nil {
				return "", err
			}
			s += strings.Repeat(" ", n-length)
		}
		return s, nil
	}
	end := len(s)
	for i, count := 0, 0; i < len(s); count++ {
		if count == n {
			end = i
			break
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	if !explicit && strings.Trim(s[end:], " ") != "" {
		return "", sqlstate.New(sqlstate.TooLong, "value too long for type %s", FormatType(oid, typmod))
	}
	return s[:end], nil
}

// Input makes a cell of a text, as a literal or a parameter in text format has it. typmod is -1 for none.
func Input(c *Call, oid OID, typmod int32, s string) (any, error) {
	t, ok := types[oid]
	if !ok {
		return nil, sqlstate.New(sqlstate.UndefinedObject, "type with OID %d does not exist", oid)
	}
	if err := sized(len(s)); err != nil {
		return nil, err
	}
	if err := checkText(s); err != nil {
		return nil, err
	}
	if oid == Int2Vector {
		return parseVector(c, s)
	}
	if t.Elem != 0 {
		return parseArray(c, t, typmod, s)
	}
	switch oid {
	case Bool:
		return parseBool(s)
	case Int2:
		return parseInt(s, "smallint", 16)
	case Int4:
		return parseInt(s, "integer", 32)
	case Int8:
		return parseInt(s, "bigint", 64)
	case OIDType:
		return parseOID(s)
	case Float4:
		f, err := parseFloat(s, "real", 32)
		return floatCell(f), err
	case Float8:
		f, err := parseFloat(s, "double precision", 64)
		return floatCell(f), err
	case Text, Unknown:
		return s, nil
	case Varchar, Bpchar:
		v, err := fitText(s, oid, typmod, false)
		return v, err
	case Name:
		return cutName(s), nil
	case Bytea:
		return parseBytea(s)
	case UUID:
		return parseUUID(s)
	case Numeric:
		n, err := numeric.Parse(s)
		if err == nil {
			n, err = n.Fit(typmod)
		}
		return n.String(), err
	case Date:
		v, err := datetime.ParseDate(c.Env, s)
		return v, err
	case Time:
		v, err := datetime.ParseTime(c.Env, s)
		return datetime.FitTime(v, typmod), err
	case TimeTZ:
		v, west, err := datetime.ParseTimeTZ(c.Env, s)
		return timeTZCell(datetime.FitTime(v, typmod), west), err
	case Timestamp:
		v, err := datetime.ParseTimestamp(c.Env, s)
		return datetime.FitTimestamp(v, typmod), err
	case TimestampTZ:
		v, err := datetime.ParseTimestampTZ(c.Env, s)
		return datetime.FitTimestamp(v, typmod), err
	case Interval:
		v, err := datetime.ParseInterval(s, typmod)
		return v.String(), err
	case JSON:
		return s, jsonb.Valid(s)
	case JSONB:
		v, err := jsonb.Parse(s)
		if err != nil {
			return nil, err
		}
		out := v.String()
		return out, sized(len(out))
	case TSVector:
		return vectorCell(textsearch.ParseVector(s))
	case TSQuery:
		return queryCell(textsearch.ParseQuery(c.work, s))
	case Regconfig:
		return parseConfig(s)
	case Char:
		return parseChar(s), nil
	case Void:
		return "", nil
	}
	return nil, sqlstate.New(sqlstate.Unsupported, "cannot accept a value of type %s", t.Internal)
}

func parseOID(s string) (any, error) {
	t := trimSpace(s)
	if n, err := strconv.ParseInt(t, 10, 64); err == nil && !strings.Contains(t, "_") {
		if n >= math.MinInt32 && n <= math.MaxUint32 {
			return int64(uint32(n)), nil
		}
		return nil, sqlstate.New(sqlstate.OutOfRange, "value \"%s\" is out of range for type %s", s, "oid")
	} else if err != nil && err.(*strconv.NumError).Err == strconv.ErrRange {
		return nil, sqlstate.New(sqlstate.OutOfRange, "value \"%s\" is out of range for type %s", s, "oid")
	}
	return nil, sqlstate.BadInput("oid", s)
}

// cutName cuts to 63 bytes, at a character's end.
func cutName(s string) string {
	if len(s) < 64 {
		return s
	}
	n := 63
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Output is the text of a cell that is not nil, as PostgreSQL sends it.
func Output(c *Call, oid OID, v any) (string, error) {
	t, ok := types[oid]
	if !ok {
		return "", sqlstate.New(sqlstate.UndefinedObject, "type with OID %d does not exist", oid)
	}
	if oid == Int2Vector {
		return formatVector(v.(string)), nil
	}
	if t.Elem != 0 {
		return formatArray(c, t, v.(string))
	}
	switch oid {
	case Bool:
		if v.(int64) != 0 {
			return "t", nil
		}
		return "f", nil
	case Int2, Int4, Int8, OIDType:
		return strconv.FormatInt(v.(int64), 10), nil
	case Regproc, Regclass, Regnamespace:
		return strconv.FormatInt(v.(int64), 10), nil // names are the catalog's to know
	case Regtype:
		if _, ok := types[OID(v.(int64))]; ok {
			return FormatType(OID(v.(int64)), -1), nil
		}
		return strconv.FormatInt(v.(int64), 10), nil
	case Regconfig:
		return formatConfig(v), nil
	case TSQuery:
		return query(v).String(), nil
	case Float4:
		return formatFloat(float(v), 32), nil
	case Float8:
		return formatFloat(float(v), 64), nil
	case Bytea:
		b := v.([]byte)
		out := make([]byte, 2+hex.EncodedLen(len(b)))
		out[0], out[1] = '\\', 'x'
		hex.Encode(out[2:], b)
		return string(out), nil
	case UUID:
		return formatUUID(v.([]byte)), nil
	case Date:
		return datetime.FormatDate(v.(int64)), nil
	case Time:
		return datetime.FormatTime(v.(int64)), nil
	case TimeTZ:
		return datetime.FormatTimeTZ(timeTZ(v)), nil
	case Timestamp:
		return datetime.FormatTimestamp(v.(int64)), nil
	case TimestampTZ:
		return datetime.FormatTimestampTZ(v.(int64), c.Env.Zone), nil
	}
	return v.(string), nil
}

// Compare orders two cells of a type, neither nil, as SQLite does with the type's collation and PostgreSQL does by itself.
func Compare(oid OID, a, b any) int {
	t := types[oid]
	if t.Elem != 0 {
		return compareArrays(t.Elem, a.(string), b.(string))
	}
	switch oid {
	case Float4, Float8:
		fa, fb := float(a), float(b)
		switch {
		case fa != fa || fb != fb:
			return cmp.Compare(truth(fa != fa), truth(fb != fb))
		case fa < fb:
			return -1
		case fa > fb:
			return 1
		}
		return 0
	case Numeric:
		return numeric.CompareText(a.(string), b.(string))
	case Interval:
		return interval(a).Compare(interval(b))
	case JSONB:
		return jsonb.CompareText(a.(string), b.(string))
	case TSVector:
		if a != b {
			return vector(a).Compare(vector(b))
		}
		return 0
	case TSQuery:
		if a != b {
			return query(a).Compare(query(b))
		}
		return 0
	case Bpchar:
		return strings.Compare(strings.TrimRight(a.(string), " "), strings.TrimRight(b.(string), " "))
	}
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case []byte:
		return strings.Compare(string(a), string(b.([]byte)))
	}
	return strings.Compare(a.(string), b.(string))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A Collation orders texts, for SQLite.
type Collation struct {
	Name    string
	Compare func(a, b string) int
}

// Collations are the collations that types name, but for SQLite's own. A text that is no value of the type comes first.
func Collations() []Collation {
	all := []Collation{
		{collNumeric, numeric.CompareText},
		{collInterval, func(a, b string) int {
			x, errA := datetime.ParseInterval(a, -1)
			y, errB := datetime.ParseInterval(b, -1)
			if errA != nil || errB != nil {
				return strings.Compare(a, b)
			}
			return x.Compare(y)
		}},
		{collJSONB, jsonb.CompareText},
		{collTSVector, func(a, b string) int {
			x, errA := textsearch.ParseVector(a)
			y, errB := textsearch.ParseVector(b)
			if a == b || errA != nil || errB != nil {
				return strings.Compare(a, b)
			}
			return x.Compare(y)
		}},
		{collTSQuery, func(a, b string) int {
			x, errA := textsearch.ReadExact(nil, a)
			y, errB := textsearch.ReadExact(nil, b)
			if a == b || errA != nil || errB != nil {
				return strings.Compare(a, b)
			}
			return x.Compare(y)
		}},
	}
	for _, t := range scalars {
		if t.Array != 0 && t.Category != 'P' {
			all = append(all, Collation{types[t.Array].Collation, func(a, b string) int { return compareArrays(t.OID, a, b) }})
		}
	}
	return all
}
