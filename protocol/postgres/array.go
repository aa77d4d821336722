package postgres

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// maxDimensions is PostgreSQL's.
const maxDimensions = 6

// An array is its cells, row by row. A cell of an array type is the text that PostgreSQL would show in time zone UTC.
type array struct {
	lengths []int // of each dimension; none when it is empty
	lower   []int
	items   []any
}

func badArray(s string) error {
	return sqlstate.New(sqlstate.BadText, "malformed array literal: \"%s\"", s)
}

// parseArray reads PostgreSQL's text of an array into its cell.
func parseArray(c *Call, t *Type, typmod int32, s string) (any, error) {
	a, err := readArray(s, func(e string) (any, error) { return Input(c, t.Elem, typmod, e) })
	if err != nil {
		return nil, err
	}
	out := a.cell(t.Elem)
	return out, sized(len(out.(string)))
}

// readArray takes a text apart; each item that is not NULL goes through read.
func readArray(s string, read func(string) (any, error)) (array, error) {
	var a array
	rest := trimSpace(s)
	explicit := false
	for strings.HasPrefix(rest, "[") {
		if len(a.lengths) >= maxDimensions {
			return a, sqlstate.New(sqlstate.LimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(a.lengths)+1, maxDimensions)
		}
		l, h := int64(1), int64(0)
		var ok bool
		if h, rest, ok = bound(rest[1:]); !ok {
			return a, badArray(s)
		}
		if strings.HasPrefix(rest, ":") {
			l = h
			if h, rest, ok = bound(rest[1:]); !ok {
				return a, badArray(s)
			}
		}
		if !strings.HasPrefix(rest, "]") {
			return a, badArray(s)
		}
		if h < l {
			return a, sqlstate.New(sqlstate.ArraySubscript, "upper bound cannot be less than lower bound")
		}
		if h-l >= MaxSize || h >= math.MaxInt32 {
			return a, sqlstate.New(sqlstate.LimitExceeded, "array size exceeds the maximum allowed (%d)", 134217727)
		}
		a.lower, a.lengths = append(a.lower, int(l)), append(a.lengths, int(h-l)+1)
		rest = trimSpace(rest[1:])
		explicit = true
	}
	if explicit {
		if !strings.HasPrefix(rest, "=") {
			return a, badArray(s)
		}
		rest = trimSpace(rest[1:])
	}
	if !strings.HasPrefix(rest, "{") {
		return a, badArray(s)
	}
	p := arrayParser{s: rest, whole: s}
	if err := p.list(0); err != nil {
		return a, err
	}
	if trimSpace(p.s[p.pos:]) != "" {
		return a, badArray(s)
	}
	if explicit {
		if len(p.lengths) != len(a.lengths) {
			return a, badArray(s)
		}
		for i, n := range p.lengths {
			if n != a.lengths[i] {
				return a, badArray(s)
			}
		}
	} else {
		if len(p.items) == 0 {
			return array{}, nil
		}
		a.lengths = p.lengths
		for range a.lengths {
			a.lower = append(a.lower, 1)
		}
	}
	// Only when the whole is an array do the items matter.
	a.items = p.items
	for i, item := range a.items {
		if item != nil {
			var err error
			if a.items[i], err = read(item.(string)); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// bound reads a bound of a dimension as C's atoi does.
func bound(s string) (int64, string, bool) {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '-' || s[n] == '+') {
		n++
	}
	if n == 0 || n > 12 {
		return 0, s, false
	}
	end := 1
	for end < n && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	v, _ := strconv.ParseInt(s[:end], 10, 64)
	return v, s[n:], v == int64(int32(v))
}

type arrayParser struct {
	s, whole string
	pos      int
	lengths  []int
	deepest  int   // how many dimensions there are, once an item was seen
	items    []any // texts and nil
}

func (p *arrayParser) space() {
	for p.pos < len(p.s) && isSpace(p.s[p.pos]) {
		p.pos++
	}
}

// list reads { ... } at a depth.
func (p *arrayParser) list(depth int) error {
	bad := badArray(p.whole)
	if depth >= maxDimensions {
		return sqlstate.New(sqlstate.LimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", depth+1, maxDimensions)
	}
	p.pos++
	n := 0
	for p.space(); p.pos < len(p.s) && p.s[p.pos] == '}' && n == 0; {
		p.pos++
		if depth > 0 || p.deepest > 0 {
			return bad // an empty list is only the empty array
		}
		return nil
	}
	for {
		p.space()
		if p.pos >= len(p.s) {
			return bad
		}
		if p.s[p.pos] == '{' {
			if p.deepest > 0 && depth+1 >= p.deepest {
				return bad
			}
			if err := p.list(depth + 1); err != nil {
				return err
			}
		} else {
			if p.deepest == 0 {
				p.deepest = depth + 1
				p.lengths = make([]int, p.deepest)
				for i := range p.lengths {
					p.lengths[i] = -1
				}
			} else if depth+1 != p.deepest {
				return bad
			}
			if err := p.item(); err != nil {
				return err
			}
		}
		n++
		p.space()
		if p.pos >= len(p.s) {
			return bad
		}
		switch p.s[p.pos] {
		case ',':
			p.pos++
		case '}':
			p.pos++
			if p.deepest == 0 {
				return nil // all that is inside was empty
			}
			if p.lengths[depth] >= 0 && p.lengths[depth] != n {
				return bad
			}
			p.lengths[depth] = n
			return nil
		default:
			return bad
		}
	}
}

func (p *arrayParser) item() error {
	bad := badArray(p.whole)
	var b []byte
	quoted, escaped, done := false, false, false
	keep := 0 // blanks at the end of what is not quoted do not count
	for !done {
		if p.pos >= len(p.s) {
			return bad
		}
		c := p.s[p.pos]
		switch {
		case c == '"':
			if quoted || len(b) > 0 {
				return bad
			}
			quoted = true
			for p.pos++; ; p.pos++ {
				if p.pos >= len(p.s) {
					return bad
				}
				if c = p.s[p.pos]; c == '"' {
					break
				} else if c == '\\' {
					if p.pos++; p.pos >= len(p.s) {
						return bad
					}
					c = p.s[p.pos]
				}
				b = append(b, c)
			}
			p.pos++
			keep = len(b)
		case c == ',' || c == '}':
			done = true
		case c == '{':
			return bad
		case quoted:
			if !isSpace(c) {
				return bad
			}
			p.pos++
		case c == '\\':
			if p.pos+1 >= len(p.s) {
				return bad
			}
			b = append(b, p.s[p.pos+1])
			p.pos += 2
			keep, escaped = len(b), true
		default:
			b = append(b, c)
			if p.pos++; !isSpace(c) {
				keep = len(b)
			}
		}
	}
	text := string(b[:keep])
	if !quoted && text == "" {
		return bad
	}
	if !quoted && !escaped && strings.EqualFold(text, "null") {
		p.items = append(p.items, nil)
		return nil
	}
	p.items = append(p.items, text)
	return nil
}

// items of a cell, whose text was made here.
func arrayOf(elem OID, cell any) array {
	a, err := readArray(cell.(string), func(s string) (any, error) {
		if elem == TSQuery { // whose cell is not the text that is shown
			return s, nil
		}
		return Input(&Call{}, elem, -1, s)
	})
	if err != nil {
		panic(err)
	}
	return a
}

func (a array) cell(elem OID) any {
	s, _ := a.format(func(v any) (string, error) {
		if elem == TSQuery {
			return v.(string), nil
		}
		return Output(&Call{}, elem, v)
	})
	return s
}

func (a array) format(text func(any) (string, error)) (string, error) {
	if len(a.items) == 0 {
		return "{}", nil
	}
	var b []byte
	if !allOnes(a.lower) {
		for i, n := range a.lengths {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(a.lower[i]), 10)
			b = append(b, ':')
			b = strconv.AppendInt(b, int64(a.lower[i]+n-1), 10)
			b = append(b, ']')
		}
		b = append(b, '=')
	}
	items := a.items
	var write func(depth int) error
	write = func(depth int) error {
		b = append(b, '{')
		for i := range a.lengths[depth] {
			if i > 0 {
				b = append(b, ',')
			}
			if depth+1 < len(a.lengths) {
				if err := write(depth + 1); err != nil {
					return err
				}
				continue
			}
			v := items[0]
			items = items[1:]
			if v == nil {
				b = append(b, "NULL"...)
				continue
			}
			s, err := text(v)
			if err != nil {
				return err
			}
			b = appendItem(b, s)
		}
		b = append(b, '}')
		return nil
	}
	err := write(0)
	return string(b), err
}

func allOnes(n []int) bool {
	for _, v := range n {
		if v != 1 {
			return false
		}
	}
	return true
}

func appendItem(b []byte, s string) []byte {
	quote := s == "" || strings.EqualFold(s, "null")
	for i := 0; i < len(s) && !quote; i++ {
		c := s[i]
		quote = c == '"' || c == '\\' || c == '{' || c == '}' || c == ',' || isSpace(c)
	}
	if !quote {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// formatArray is a cell's text for a session, whose time zone may not be UTC.
func formatArray(c *Call, t *Type, cell string) (string, error) {
	if t.Elem != TimestampTZ && t.Elem != TSQuery {
		return cell, nil
	}
	return arrayOf(t.Elem, cell).format(func(v any) (string, error) { return Output(c, t.Elem, v) })
}

// compareArrays orders arrays as PostgreSQL does: item by item, NULL last, then by number of items and shape.
func compareArrays(elem OID, x, y string) int {
	if x == y {
		return 0
	}
	a, b := arrayOf(elem, x), arrayOf(elem, y)
	for i := 0; i < len(a.items) && i < len(b.items); i++ {
		v, w := a.items[i], b.items[i]
		switch {
		case v == nil && w == nil:
			continue
		case v == nil:
			return 1
		case w == nil:
			return -1
		}
		if c := Compare(elem, v, w); c != 0 {
			return c
		}
	}
	if n := len(a.items) - len(b.items); n != 0 {
		return n
	}
	if n := len(a.lengths) - len(b.lengths); n != 0 {
		return n
	}
	for i := range a.lengths {
		if n := a.lengths[i] - b.lengths[i]; n != 0 {
			return n
		}
	}
	for i := range a.lower {
		if n := a.lower[i] - b.lower[i]; n != 0 {
			return n
		}
	}
	return 0
}

// parseVector reads an int2vector: numbers between blanks.
func parseVector(c *Call, s string) (any, error) {
	a := array{lower: []int{0}}
	for _, f := range strings.Fields(s) {
		n, err := Input(c, Int2, -1, f)
		if err != nil {
			return nil, err
		}
		a.items = append(a.items, n)
	}
	a.lengths = []int{len(a.items)}
	return a.cell(Int2), nil
}

func formatVector(cell string) string {
	var list []string
	for _, n := range arrayOf(Int2, cell).items {
		list = append(list, strconv.FormatInt(n.(int64), 10))
	}
	return strings.Join(list, " ")
}
