// Package jsonb is PostgreSQL's types json and jsonb: the texts that they accept, jsonb's canonical text and order, and the
// operators that look into values and change them. It follows PostgreSQL 15. Errors in a text say that it is none, not where.
//
// A Value is immutable; functions that change one return another.
package jsonb

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// maxDepth bounds nesting. PostgreSQL stops where its stack ends.
const maxDepth = 1000

// A Kind is what a value is; the order is that of jsonb.
type Kind uint8

const (
	Null Kind = iota
	String
	Number
	Bool
	Array
	Object
)

// A Value is one JSON value.
type Value struct {
	Kind    Kind
	True    bool
	Text    string // of a String
	Number  numeric.Number
	Items   []Value
	Members []Member // of an Object: in jsonb sorted by key, each once
	Raw     string   // as it was written, of type json
}

// A Member is a key of an object, and its value.
type Member struct {
	Key   string
	Value Value
}

type parser struct {
	s     string
	pos   int
	jsonb bool // else json: keys as they come, texts and numbers only looked at
}

var errSyntax = sqlstate.New(sqlstate.BadText, "invalid input syntax for type json")

// Parse reads jsonb.
func Parse(s string) (Value, error) {
	p := parser{s: s, jsonb: true}
	return p.all()
}

// ParseJSON reads json, keeping what was written.
func ParseJSON(s string) (Value, error) {
	p := parser{s: s}
	return p.all()
}

// Valid tells whether s is of type json.
func Valid(s string) error {
	_, err := ParseJSON(s)
	return err
}

func (p *parser) all() (Value, error) {
	v, err := p.value(0)
	if err == nil {
		p.space()
		if p.pos < len(p.s) {
			err = errSyntax
		}
	}
	return v, err
}

func (p *parser) space() {
	for p.pos < len(p.s) && strings.IndexByte(" \t\n\r", p.s[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) next() byte {
	p.space()
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

func (p *parser) value(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, sqlstate.New("54001", "stack depth limit exceeded")
	}
	c := p.next()
	start := p.pos
	var v Value
	var err error
	switch {
	case c == '{':
		v, err = p.object(depth)
	case c == '[':
		v, err = p.array(depth)
	case c == '"':
		v.Kind = String
		v.Text, err = p.str(p.jsonb)
	case c == '-' || c >= '0' && c <= '9':
		v.Kind = Number
		v.Number, err = p.number()
	default:
		for _, w := range []string{"null", "true", "false"} {
			if strings.HasPrefix(p.s[p.pos:], w) {
				p.pos += len(w)
				if p.pos < len(p.s) && wordByte(p.s[p.pos]) {
					return v, errSyntax
				}
				if w != "null" {
					v.Kind, v.True = Bool, w == "true"
				}
				v.Raw = w
				return v, nil
			}
		}
		return v, errSyntax
	}
	if !p.jsonb {
		v.Raw = p.s[start:p.pos]
	}
	return v, err
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func (p *parser) array(depth int) (Value, error) {
	v := Value{Kind: Array}
	p.pos++
	if p.next() == ']' {
		p.pos++
		return v, nil
	}
	for {
		e, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Items = append(v.Items, e)
		switch p.next() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return v, nil
		default:
			return v, errSyntax
		}
	}
}

func (p *parser) object(depth int) (Value, error) {
	v := Value{Kind: Object}
	p.pos++
	if p.next() == '}' {
		p.pos++
		return v, nil
	}
	for {
		if p.next() != '"' {
			return v, errSyntax
		}
		key, err := p.str(true)
		if err != nil {
			return v, err
		}
		if p.next() != ':' {
			return v, errSyntax
		}
		p.pos++
		e, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Members = append(v.Members, Member{key, e})
		switch p.next() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			if p.jsonb {
				v.Members = canonical(v.Members)
			}
			return v, nil
		default:
			return v, errSyntax
		}
	}
}

func compareKeys(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// canonical sorts members by length of key, then by key; of equal keys the last stays.
func canonical(m []Member) []Member {
	sort.SliceStable(m, func(i, j int) bool { return compareKeys(m[i].Key, m[j].Key) < 0 })
	out := m[:0]
	for i := range m {
		if i+1 < len(m) && m[i].Key == m[i+1].Key {
			continue
		}
		out = append(out, m[i])
	}
	return out
}

// NewObject makes an object of members in any order; it takes the slice.
func NewObject(m []Member) Value { return Value{Kind: Object, Members: canonical(m)} }

func (p *parser) number() (numeric.Number, error) {
	start := p.pos
	digits := func() bool {
		from := p.pos
		for p.pos < len(p.s) && p.s[p.pos] >= '0' && p.s[p.pos] <= '9' {
			p.pos++
		}
		return p.pos > from
	}
	at := func(set string) bool { return p.pos < len(p.s) && strings.IndexByte(set, p.s[p.pos]) >= 0 }
	if at("-") {
		p.pos++
	}
	if at("0") {
		p.pos++
	} else if !digits() {
		return numeric.Number{}, errSyntax
	}
	if at(".") {
		p.pos++
		if !digits() {
			return numeric.Number{}, errSyntax
		}
	}
	if at("eE") {
		p.pos++
		if at("+-") {
			p.pos++
		}
		if !digits() {
			return numeric.Number{}, errSyntax
		}
	}
	if p.pos < len(p.s) && wordByte(p.s[p.pos]) {
		return numeric.Number{}, errSyntax
	}
	if !p.jsonb {
		return numeric.Number{}, nil
	}
	return numeric.Parse(p.s[start:p.pos])
}

func (p *parser) hex4() (rune, bool) {
	if p.pos+4 > len(p.s) {
		return 0, false
	}
	n := rune(0)
	for i := range 4 {
		c := p.s[p.pos+i]
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	p.pos += 4
	return n, true
}

// str reads a string. What escapes stand for matters only when it is taken out.
func (p *parser) str(decode bool) (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.s) && p.s[p.pos] != '"' && p.s[p.pos] != '\\' && p.s[p.pos] >= 32 {
		p.pos++
	}
	if p.pos < len(p.s) && p.s[p.pos] == '"' {
		p.pos++
		return p.s[start : p.pos-1], nil
	}
	b := []byte(p.s[start:p.pos])
	high := rune(0)
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		p.pos++
		if high != 0 && (c != '\\' || p.pos < len(p.s) && p.s[p.pos] != 'u') {
			return "", errSyntax // half a character
		}
		switch {
		case c == '"':
			return string(b), nil
		case c < 32:
			return "", errSyntax
		case c != '\\':
			b = append(b, c)
			continue
		case p.pos >= len(p.s):
			return "", errSyntax
		}
		c = p.s[p.pos]
		p.pos++
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		r, ok := rune(0), c == 'u'
		if ok {
			r, ok = p.hex4()
		}
		if !ok {
			return "", errSyntax
		}
		if !decode {
			continue
		}
		switch {
		case r >= 0xd800 && r <= 0xdbff:
			if high != 0 {
				return "", errSyntax
			}
			high = r
			continue
		case r >= 0xdc00 && r <= 0xdfff:
			if high == 0 {
				return "", errSyntax
			}
			r = 0x10000 + (high&0x3ff)<<10 + r&0x3ff
			high = 0
		case high != 0:
			return "", errSyntax
		case r == 0:
			return "", sqlstate.New(sqlstate.Untranslatable, "unsupported Unicode escape sequence")
		}
		b = utf8.AppendRune(b, r)
	}
	return "", errSyntax
}

// Unquote takes out what a string of type json stands for.
func (v Value) Unquote() (string, error) {
	p := parser{s: v.Raw}
	return p.str(true)
}

// AppendQuoted writes a string as JSON.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < 32 {
				b = append(b, `\u00`...)
				b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}

// String is jsonb's canonical text.
func (v Value) String() string { return string(v.append(nil, -1)) }

// Pretty is the text of jsonb_pretty.
func (v Value) Pretty() string { return string(v.append(nil, 0)) }

func indent(b []byte, level int) []byte {
	b = append(b, '\n')
	for range level {
		b = append(b, "    "...)
	}
	return b
}

func (v Value) append(b []byte, level int) []byte {
	inner := level
	if level >= 0 {
		inner++
	}
	list := func(open, shut byte, n int, each func(i int)) {
		b = append(b, open)
		for i := range n {
			if i > 0 {
				b = append(b, ',')
				if level < 0 {
					b = append(b, ' ')
				}
			}
			if level >= 0 {
				b = indent(b, inner)
			}
			each(i)
		}
		if level >= 0 {
			b = indent(b, level)
		}
		b = append(b, shut)
	}
	switch v.Kind {
	case String:
		return AppendQuoted(b, v.Text)
	case Number:
		return append(b, v.Number.String()...)
	case Bool:
		return strconv.AppendBool(b, v.True)
	case Array:
		list('[', ']', len(v.Items), func(i int) { b = v.Items[i].append(b, inner) })
		return b
	case Object:
		list('{', '}', len(v.Members), func(i int) {
			b = AppendQuoted(b, v.Members[i].Key)
			b = append(b, ": "...)
			b = v.Members[i].Value.append(b, inner)
		})
		return b
	}
	return append(b, "null"...)
}

// CompareText is Compare of two canonical texts.
func CompareText(a, b string) int {
	if a == b {
		return 0
	}
	x, errA := Parse(a)
	y, errB := Parse(b)
	if errA != nil || errB != nil {
		return strings.Compare(a, b)
	}
	return Compare(x, y)
}

// Compare orders values as jsonb does. At the top a scalar counts as a list of one, before a list like it.
func Compare(a, b Value) int {
	as, bs := a.Kind < Array, b.Kind < Array
	if as != bs {
		n, other, sign := 0, b, 1
		if bs {
			other, sign = a, -1
		}
		if other.Kind == Object {
			return -sign
		}
		if n = 1 - len(other.Items); n == 0 {
			n = -1
		}
		return n * sign
	}
	return compare(a, b)
}

func compare(a, b Value) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	switch a.Kind {
	case String:
		return strings.Compare(a.Text, b.Text)
	case Number:
		return a.Number.Compare(b.Number)
	case Bool:
		if a.True == b.True {
			return 0
		} else if a.True {
			return 1
		}
		return -1
	case Array:
		if n := len(a.Items) - len(b.Items); n != 0 {
			return n
		}
		return slices.CompareFunc(a.Items, b.Items, compare)
	case Object:
		if n := len(a.Members) - len(b.Members); n != 0 {
			return n
		}
		return slices.CompareFunc(a.Members, b.Members, func(x, y Member) int {
			if c := strings.Compare(x.Key, y.Key); c != 0 {
				return c
			}
			return compare(x.Value, y.Value)
		})
	}
	return 0
}
