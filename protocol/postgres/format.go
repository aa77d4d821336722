package postgres

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// argument is the text of an argument of type "any"; c.Types tells its type.
func (c *Call) argument(i int, v any) (string, error) {
	t := Text
	if i < len(c.Types) {
		t = c.Types[i]
	}
	return Output(c, t, v)
}

func concat(separator bool) do {
	return func(c *Call, a []any) (any, error) {
		first, sep := 0, ""
		if separator {
			if a[0] == nil {
				return nil, nil
			}
			first, sep = 1, a[0].(string)
		}
		var b strings.Builder
		wrote := false
		for i := first; i < len(a); i++ {
			if a[i] == nil {
				continue
			}
			s, err := c.argument(i, a[i])
			if err != nil {
				return nil, err
			}
			if wrote {
				b.WriteString(sep)
			}
			wrote = true
			b.WriteString(s)
			if err := sized(b.Len()); err != nil {
				return nil, err
			}
		}
		return b.String(), nil
	}
}

// QuoteIdent writes a name as SQL: in quotes where PostgreSQL would read it as another name, or as a word of its own.
func QuoteIdent(s string) string {
	safe := s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z')
	for i := 0; i < len(s) && safe; i++ {
		c := s[i]
		safe = c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if safe && !reserved[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// quoteLiteral writes a text as SQL.
func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + q
	}
	return q
}

// format is the function of that name.
func format(c *Call, a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	s := a[0].(string)
	var b strings.Builder
	next := 1
	ends := sqlstate.New(sqlstate.BadParameter, "unterminated format() type specifier")
	few := sqlstate.New(sqlstate.BadParameter, "too few arguments for format()")
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i >= len(s) {
			return nil, ends
		}
		if s[i] == '%' {
			b.WriteByte('%')
			continue
		}
		arg, width, minus := -1, int64(0), false
		digits := func() (int64, bool, error) {
			from := i
			for i < len(s) && s[i] >= '0' && s[i] <= '9' {
				i++
			}
			if from == i {
				return 0, false, nil
			}
			n, err := strconv.ParseInt(s[from:i], 10, 32)
			if err != nil {
				return 0, true, sqlstate.New(sqlstate.OutOfRange, "number is out of range")
			}
			if i >= len(s) {
				return 0, true, ends
			}
			return n, true, nil
		}
		n, ok, err := digits()
		if err != nil {
			return nil, err
		}
		if ok && s[i] == '$' {
			if n == 0 {
				return nil, sqlstate.New(sqlstate.BadParameter, "format specifies argument 0, but arguments are numbered from 1")
			}
			arg, ok = int(n), false
			if i++; i >= len(s) {
				return nil, ends
			}
		}
		if ok {
			width = n
		} else {
			for s[i] == '-' {
				minus = true
				if i++; i >= len(s) {
					return nil, ends
				}
			}
			if s[i] == '*' {
				if i++; i >= len(s) {
					return nil, ends
				}
				n, ok, err := digits()
				if err != nil {
					return nil, err
				}
				from := next
				if ok {
					if s[i] != '$' {
						return nil, sqlstate.New(sqlstate.BadParameter, "width argument position must be ended by \"$\"")
					}
					if n == 0 {
						return nil, sqlstate.New(sqlstate.BadParameter, "format specifies argument 0, but arguments are numbered from 1")
					}
					from = int(n)
					if i++; i >= len(s) {
						return nil, ends
					}
				}
				if from >= len(a) {
					return nil, few
				}
				next = from + 1
				if a[from] != nil {
					t, err := c.argument(from, a[from])
					if err != nil {
						return nil, err
					}
					w, err := parseInt(t, "integer", 32)
					if err != nil {
						return nil, err
					}
					width = w.(int64)
				}
				if width < 0 {
					minus, width = true, -width
				}
			} else if n, ok, err := digits(); err != nil {
				return nil, err
			} else if ok {
				width = n
			}
		}
		kind := s[i]
		if kind != 's' && kind != 'I' && kind != 'L' {
			_, size := utf8.DecodeRuneInString(s[i:])
			e := sqlstate.New(sqlstate.BadParameter, "unrecognized format() type specifier \"%s\"", s[i:i+size])
			e.Hint = "For a single \"%\" use \"%%\"."
			return nil, e
		}
		if arg < 0 {
			arg = next
		}
		next = arg + 1
		if arg >= len(a) {
			return nil, few
		}
		var out string
		if v := a[arg]; v == nil {
			switch kind {
			case 'I':
				return nil, sqlstate.New(sqlstate.NullNotAllowed, "null values cannot be formatted as an SQL identifier")
			case 'L':
				out = "NULL"
			}
		} else {
			if out, err = c.argument(arg, v); err != nil {
				return nil, err
			}
			switch kind {
			case 'I':
				out = QuoteIdent(out)
			case 'L':
				out = quoteLiteral(out)
			}
		}
		if width > math.MaxInt32 {
			return nil, sqlstate.New(sqlstate.OutOfRange, "number is out of range")
		}
		fill := width - runes(out)
		if err := sized(b.Len() + len(out) + int(max(fill, 0))); err != nil {
			return nil, err
		}
		if fill > 0 && !minus {
			b.WriteString(strings.Repeat(" ", int(fill)))
		}
		b.WriteString(out)
		if fill > 0 && minus {
			b.WriteString(strings.Repeat(" ", int(fill)))
		}
	}
	return b.String(), nil
}

func encode(_ *Call, a []any) (any, error) {
	b := a[0].([]byte)
	switch lower(a[1].(string)) {
	case "hex":
		return hex.EncodeToString(b), sized(2 * len(b))
	case "base64":
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		for len(s) > 76 {
			out.WriteString(s[:76])
			out.WriteByte('\n')
			s = s[76:]
		}
		out.WriteString(s)
		return out.String(), nil
	case "escape":
		var out []byte
		for _, c := range b {
			switch {
			case c == 0 || c >= 0x80:
				out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			case c == '\\':
				out = append(out, '\\', '\\')
			default:
				out = append(out, c)
			}
		}
		return string(out), nil
	}
	return nil, sqlstate.New(sqlstate.BadParameter, "unrecognized encoding: \"%s\"", a[1])
}

func decode(_ *Call, a []any) (any, error) {
	s := a[0].(string)
	switch lower(a[1].(string)) {
	case "hex":
		return parseBytea(`\x` + s)
	case "base64":
		return decodeBase64(s)
	case "escape":
		if strings.HasPrefix(s, `\x`) {
			return nil, sqlstate.New(sqlstate.BadText, "invalid input syntax for type %s", "bytea")
		}
		return parseBytea(s)
	}
	return nil, sqlstate.New(sqlstate.BadParameter, "unrecognized encoding: \"%s\"", a[1])
}

func decodeBase64(s string) (any, error) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out []byte
	buf, pos, end := uint32(0), 0, 0
	for i := range len(s) {
		c := s[i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			continue
		}
		b := strings.IndexByte(digits, c)
		if c == '=' {
			if end == 0 {
				if pos == 2 {
					end = 1
				} else if pos == 3 {
					end = 2
				} else {
					return nil, sqlstate.New(sqlstate.BadParameter, "unexpected \"=\" while decoding base64 sequence")
				}
			}
			b = 0
		} else if b < 0 {
			_, n := utf8.DecodeRuneInString(s[i:])
			return nil, sqlstate.New(sqlstate.BadParameter, "invalid symbol \"%s\" found while decoding base64 sequence", s[i:i+n])
		}
		buf = buf<<6 | uint32(b)
		if pos++; pos == 4 {
			out = append(out, byte(buf>>16))
			if end == 0 || end > 1 {
				out = append(out, byte(buf>>8))
			}
			if end == 0 || end > 2 {
				out = append(out, byte(buf))
			}
			buf, pos = 0, 0
		}
	}
	if pos != 0 {
		e := sqlstate.New(sqlstate.BadParameter, "invalid base64 end sequence")
		e.Hint = "Input data is missing padding, is truncated, or is otherwise corrupted."
		return nil, e
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}

// reserved are the words that a name must be quoted for: all keywords that are not of the kind "unreserved".
var reserved = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(reservedWords) {
		m[w] = true
	}
	return m
}()
