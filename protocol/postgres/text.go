package postgres

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

func textOperators() []Routine {
	not := func(f do) do {
		return func(c *Call, a []any) (any, error) {
			v, err := f(c, a)
			if err != nil {
				return nil, err
			}
			return v == false, nil
		}
	}
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	add("||(text, text) text", func(_ *Call, a []any) (any, error) {
		x, y := a[0].(string), a[1].(string)
		return x + y, sized(len(x) + len(y))
	})
	add("||(bytea, bytea) bytea", func(_ *Call, a []any) (any, error) {
		x, y := a[0].([]byte), a[1].([]byte)
		return append(append([]byte{}, x...), y...), sized(len(x) + len(y))
	})
	add("^@(text, text) bool", func(_ *Call, a []any) (any, error) { return strings.HasPrefix(a[0].(string), a[1].(string)), nil })
	for _, t := range []string{"text", "bpchar", "name"} {
		add("~~("+t+", text) bool", likeText(false))
		add("!~~("+t+", text) bool", not(likeText(false)))
		add("~~*("+t+", text) bool", likeText(true))
		add("!~~*("+t+", text) bool", not(likeText(true)))
	}
	add("~~(bytea, bytea) bool", likeBytes)
	add("!~~(bytea, bytea) bool", not(likeBytes))
	return all
}

// upper and lower know ASCII, as in the locale C.
func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
	}
	return string(b)
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

func alnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func initcap(s string) string {
	b := []byte(lower(s))
	inside := false
	for i, c := range b {
		if !inside && c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
		inside = alnum(c)
	}
	return string(b)
}

// skip returns where the n-th character of s begins, or its end.
func skip(s string, n int64) int {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return i
}

func runes(s string) int64 { return int64(utf8.RuneCountInString(s)) }

// window is the part of 1-based positions [start, start+length) that exists, as offsets; no length is all that follows.
func window(start int64, length *int64, size int64) (from, to int64, err error) {
	end := int64(math.MaxInt64)
	if length != nil {
		if *length < 0 {
			return 0, 0, sqlstate.New(sqlstate.Substring, "negative substring length not allowed")
		}
		end = start + *length
	}
	from, to = max(start, 1)-1, min(end-1, size)
	if to <= from {
		return 0, 0, nil
	}
	return from, to, nil
}

func substring(_ *Call, a []any) (any, error) {
	s := a[0].(string)
	var length *int64
	if len(a) == 3 {
		n := a[2].(int64)
		length = &n
	}
	from, to, err := window(a[1].(int64), length, int64(len(s)))
	if err != nil {
		return nil, err
	}
	i := skip(s, from)
	return s[i : i+skip(s[i:], to-from)], nil
}

func substringBytes(_ *Call, a []any) (any, error) {
	b := a[0].([]byte)
	var length *int64
	if len(a) == 3 {
		n := a[2].(int64)
		length = &n
	}
	from, to, err := window(a[1].(int64), length, int64(len(b)))
	if err != nil || from >= to {
		return []byte{}, err
	}
	return b[from:to], nil
}

// Index of a text in another takes at most the product of both lengths, over what a machine compares at once.
func (c *Call) search(hay, needle int) error { return c.work(uint64(hay) * uint64(needle/64+1) / 4) }

func position(c *Call, a []any) (any, error) {
	s, sub := a[0].(string), a[1].(string)
	if err := c.search(len(s), len(sub)); err != nil {
		return nil, err
	}
	i := strings.Index(s, sub)
	if i < 0 {
		return int64(0), nil
	}
	return runes(s[:i]) + 1, nil
}

func trimmer(left, right bool) do {
	return func(c *Call, a []any) (any, error) {
		s, set := a[0].(string), " "
		if len(a) > 1 {
			set = a[1].(string)
		}
		if err := c.work(uint64(len(s)) * uint64(len(set))); err != nil {
			return nil, err
		}
		in := func(r rune) bool { return strings.ContainsRune(set, r) }
		if left {
			s = strings.TrimLeftFunc(s, in)
		}
		if right {
			s = strings.TrimRightFunc(s, in)
		}
		return s, nil
	}
}

func trimBytes(left, right bool) do {
	return func(c *Call, a []any) (any, error) {
		b, set := a[0].([]byte), string(a[1].([]byte))
		if err := c.work(uint64(len(b)) * uint64(len(set))); err != nil {
			return nil, err
		}
		for left && len(b) > 0 && strings.IndexByte(set, b[0]) >= 0 {
			b = b[1:]
		}
		for right && len(b) > 0 && strings.IndexByte(set, b[len(b)-1]) >= 0 {
			b = b[:len(b)-1]
		}
		return b, nil
	}
}

func pad(left bool) do {
	return func(_ *Call, a []any) (any, error) {
		s, n, fill := a[0].(string), max(a[1].(int64), 0), " "
		if len(a) > 2 {
			fill = a[2].(string)
		}
		missing := n - runes(s)
		if missing <= 0 || fill == "" {
			return s[:skip(s, n)], nil
		}
		if missing > MaxSize {
			return nil, sqlstate.New(sqlstate.LimitExceeded, "requested length too large")
		}
		count := runes(fill)
		if err := sized(len(s) + len(fill)*int(missing/count+1)); err != nil {
			return nil, err
		}
		p := strings.Repeat(fill, int(missing/count)) + fill[:skip(fill, missing%count)]
		if left {
			return p + s, nil
		}
		return s + p, nil
	}
}

func side(left bool) do {
	return func(_ *Call, a []any) (any, error) {
		s, n := a[0].(string), a[1].(int64)
		size := runes(s)
		if n == math.MinInt32 && !left {
			return s, nil // which PostgreSQL cannot negate
		}
		if n < 0 {
			n = max(size+n, 0)
		}
		if left {
			return s[:skip(s, n)], nil
		}
		return s[skip(s, size-n):], nil
	}
}

func repeat(_ *Call, a []any) (any, error) {
	s, n := a[0].(string), max(a[1].(int64), 0)
	if n > 0 && int64(len(s)) > MaxSize/n {
		return nil, sqlstate.New(sqlstate.LimitExceeded, "requested length too large")
	}
	return strings.Repeat(s, int(n)), nil
}

func replace(c *Call, a []any) (any, error) {
	s, from, to := a[0].(string), a[1].(string), a[2].(string)
	if s == "" || from == "" {
		return s, nil
	}
	if err := c.search(len(s), len(from)); err != nil {
		return nil, err
	}
	if n := strings.Count(s, from); len(s)+n*(len(to)-len(from)) > MaxSize {
		return nil, tooLarge
	}
	return strings.ReplaceAll(s, from, to), nil
}

func translate(c *Call, a []any) (any, error) {
	s, from, to := a[0].(string), []rune(a[1].(string)), []rune(a[2].(string))
	if err := c.work(uint64(len(s) + len(from))); err != nil {
		return nil, err
	}
	m := map[rune]rune{}
	for i, r := range from {
		if _, ok := m[r]; ok {
			continue
		}
		m[r] = -1
		if i < len(to) {
			m[r] = to[i]
		}
	}
	return strings.Map(func(r rune) rune {
		if t, ok := m[r]; ok {
			return t
		}
		return r
	}, s), nil
}

func splitPart(c *Call, a []any) (any, error) {
	s, sep, n := a[0].(string), a[1].(string), a[2].(int64)
	if n == 0 {
		return nil, sqlstate.New(sqlstate.BadParameter, "field position must not be zero")
	}
	if err := c.search(2*len(s), len(sep)); err != nil {
		return nil, err
	}
	if s == "" {
		return "", nil
	}
	count := int64(1)
	if sep != "" {
		count += int64(strings.Count(s, sep))
	}
	if n < 0 {
		n += count + 1
	}
	if n < 1 || n > count {
		return "", nil
	}
	for ; n > 1; n-- {
		_, s, _ = strings.Cut(s, sep)
	}
	if sep != "" {
		s, _, _ = strings.Cut(s, sep)
	}
	return s, nil
}

func overlay(c *Call, a []any) (any, error) {
	s, by, start := a[0].(string), a[1].(string), a[2].(int64)
	length := runes(by)
	if len(a) > 3 {
		length = a[3].(int64)
	}
	if start <= 0 {
		return nil, sqlstate.New(sqlstate.Substring, "negative substring length not allowed")
	}
	end := start + length
	if end != int64(int32(end)) {
		return nil, sqlstate.Range("integer")
	}
	tail, _ := substring(c, []any{s, end})
	out := s[:skip(s, start-1)] + by + tail.(string)
	return out, sized(len(out))
}

func overlayBytes(_ *Call, a []any) (any, error) {
	s, by, start := a[0].([]byte), a[1].([]byte), a[2].(int64)
	length := int64(len(by))
	if len(a) > 3 {
		length = a[3].(int64)
	}
	if start <= 0 {
		return nil, sqlstate.New(sqlstate.Substring, "negative substring length not allowed")
	}
	end := start + length
	if end != int64(int32(end)) {
		return nil, sqlstate.Range("integer")
	}
	out := append([]byte{}, s[:min(start-1, int64(len(s)))]...)
	out = append(out, by...)
	return append(out, s[min(max(end, 1)-1, int64(len(s))):]...), nil
}

func reverse(_ *Call, a []any) (any, error) {
	s := a[0].(string)
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		_, n := utf8.DecodeLastRuneInString(s)
		b = append(b, s[len(s)-n:]...)
		s = s[:len(s)-n]
	}
	return string(b), nil
}

func chr(_ *Call, a []any) (any, error) {
	n := a[0].(int64)
	switch {
	case n < 0:
		return nil, sqlstate.New(sqlstate.BadParameter, "character number must be positive")
	case n == 0:
		return nil, sqlstate.New(sqlstate.LimitExceeded, "null character not permitted")
	case n > 0x10ffff:
		return nil, sqlstate.New(sqlstate.LimitExceeded, "requested character too large for encoding: %d", n)
	case n >= 0xd800 && n <= 0xdfff:
		return nil, sqlstate.New(sqlstate.LimitExceeded, "requested character not valid for encoding: %d", n)
	}
	return string(rune(n)), nil
}

func textFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	count := func(f func(s string) int64) do {
		return func(_ *Call, a []any) (any, error) { return f(a[0].(string)), nil }
	}
	for _, n := range []string{"length", "char_length", "character_length"} {
		add(n+"(text) int4", count(runes))
		add(n+"(bpchar) int4", count(func(s string) int64 { return runes(strings.TrimRight(s, " ")) }))
	}
	add("octet_length(text) int4", count(func(s string) int64 { return int64(len(s)) }))
	add("octet_length(bpchar) int4", count(func(s string) int64 { return int64(len(s)) }))
	add("bit_length(text) int4", count(func(s string) int64 { return 8 * int64(len(s)) }))
	bytesLength := func(_ *Call, a []any) (any, error) { return int64(len(a[0].([]byte))), nil }
	add("length(bytea) int4", bytesLength)
	add("octet_length(bytea) int4", bytesLength)
	add("bit_length(bytea) int4", func(_ *Call, a []any) (any, error) { return 8 * int64(len(a[0].([]byte))), nil })
	plain := func(name string, f func(string) string) {
		add(name+"(text) text", func(_ *Call, a []any) (any, error) { return f(a[0].(string)), nil })
	}
	plain("upper", upper)
	plain("lower", lower)
	plain("initcap", initcap)
	plain("quote_ident", QuoteIdent)
	plain("quote_literal", quoteLiteral)
	add("lax quote_nullable(text) text", func(_ *Call, a []any) (any, error) {
		if a[0] == nil {
			return "NULL", nil
		}
		return quoteLiteral(a[0].(string)), nil
	})
	for _, n := range []string{"substr", "substring"} {
		add(n+"(text, int4) text", substring)
		add(n+"(text, int4, int4) text", substring)
		add(n+"(bytea, int4) bytea", substringBytes)
		add(n+"(bytea, int4, int4) bytea", substringBytes)
	}
	add("position(text, text) int4", position)
	add("strpos(text, text) int4", position)
	add("position(bytea, bytea) int4", func(c *Call, a []any) (any, error) {
		s, sub := string(a[0].([]byte)), string(a[1].([]byte))
		if err := c.search(len(s), len(sub)); err != nil {
			return nil, err
		}
		return int64(strings.Index(s, sub)) + 1, nil
	})
	for _, t := range []struct {
		name        string
		left, right bool
	}{{"btrim", true, true}, {"ltrim", true, false}, {"rtrim", false, true}} {
		add(t.name+"(text) text", trimmer(t.left, t.right))
		add(t.name+"(text, text) text", trimmer(t.left, t.right))
		add(t.name+"(bytea, bytea) bytea", trimBytes(t.left, t.right))
	}
	add("lpad(text, int4) text", pad(true))
	add("lpad(text, int4, text) text", pad(true))
	add("rpad(text, int4) text", pad(false))
	add("rpad(text, int4, text) text", pad(false))
	add("left(text, int4) text", side(true))
	add("right(text, int4) text", side(false))
	add("repeat(text, int4) text", repeat)
	add("replace(text, text, text) text", replace)
	add("translate(text, text, text) text", translate)
	add("split_part(text, text, int4) text", splitPart)
	add("overlay(text, text, int4) text", overlay)
	add("overlay(text, text, int4, int4) text", overlay)
	add("overlay(bytea, bytea, int4) bytea", overlayBytes)
	add("overlay(bytea, bytea, int4, int4) bytea", overlayBytes)
	add("reverse(text) text", reverse)
	add("starts_with(text, text) bool", func(_ *Call, a []any) (any, error) { return strings.HasPrefix(a[0].(string), a[1].(string)), nil })
	add("ascii(text) int4", func(_ *Call, a []any) (any, error) {
		if a[0].(string) == "" {
			return int64(0), nil
		}
		r, _ := utf8.DecodeRuneInString(a[0].(string))
		return int64(r), nil
	})
	add("chr(int4) text", chr)
	add("lax concat(...any) text", concat(false))
	add("lax concat_ws(text, ...any) text", concat(true))
	add("lax format(text, ...any) text", format)
	add("lax format(text) text", format)
	add("md5(text) text", func(_ *Call, a []any) (any, error) {
		h := md5.Sum([]byte(a[0].(string)))
		return hex.EncodeToString(h[:]), nil
	})
	add("md5(bytea) text", func(_ *Call, a []any) (any, error) {
		h := md5.Sum(a[0].([]byte))
		return hex.EncodeToString(h[:]), nil
	})
	digest := func(name string, f func(b []byte) []byte) {
		add(name+"(bytea) bytea", func(c *Call, a []any) (any, error) {
			b := a[0].([]byte)
			return f(b), c.work(uint64(len(b)))
		})
	}
	digest("sha224", func(b []byte) []byte { h := sha256.Sum224(b); return h[:] })
	digest("sha256", func(b []byte) []byte { h := sha256.Sum256(b); return h[:] })
	digest("sha384", func(b []byte) []byte { h := sha512.Sum384(b); return h[:] })
	digest("sha512", func(b []byte) []byte { h := sha512.Sum512(b); return h[:] })
	add("encode(bytea, text) text", encode)
	add("decode(text, text) bytea", decode)
	for _, t := range []string{"int4", "int8"} {
		add("to_hex("+t+") text", func(_ *Call, a []any) (any, error) {
			if t == "int4" {
				return strconv.FormatUint(uint64(uint32(a[0].(int64))), 16), nil
			}
			return strconv.FormatUint(uint64(a[0].(int64)), 16), nil
		})
	}
	get := func(b []byte, n int64, bits int64) (int64, error) {
		if n < 0 || n >= int64(len(b))*bits {
			return 0, sqlstate.New("2202E", "index %d out of valid range, 0..%d", n, int64(len(b))*bits-1)
		}
		return n / bits, nil
	}
	add("get_byte(bytea, int4) int4", func(_ *Call, a []any) (any, error) {
		i, err := get(a[0].([]byte), a[1].(int64), 1)
		if err != nil {
			return nil, err
		}
		return int64(a[0].([]byte)[i]), nil
	})
	add("set_byte(bytea, int4, int4) bytea", func(_ *Call, a []any) (any, error) {
		b := append([]byte{}, a[0].([]byte)...)
		i, err := get(b, a[1].(int64), 1)
		if err != nil {
			return nil, err
		}
		b[i] = byte(a[2].(int64))
		return b, nil
	})
	add("get_bit(bytea, int8) int4", func(_ *Call, a []any) (any, error) {
		i, err := get(a[0].([]byte), a[1].(int64), 8)
		if err != nil {
			return nil, err
		}
		return int64(a[0].([]byte)[i] >> (a[1].(int64) % 8) & 1), nil
	})
	return all
}
