package postgres

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
)

// Functions that give rows are SQLite's json_each over a list that is made at once, so that what they give is bounded as any
// value is; but a series of integers whose ends are known is counted, see numbers. Cells that are not integers or NULL cross as
// texts; item makes them again.

type list struct {
	b strings.Builder
	n int
}

func (l *list) next() {
	if l.n++; l.n == 1 {
		l.b.WriteByte('[')
	} else {
		l.b.WriteByte(',')
	}
}

// addList adds a list as one item.
func (l *list) addList(item *list) error {
	l.next()
	l.b.WriteString(item.text())
	return l.bounded()
}

func (l *list) bounded() error {
	if l.b.Len() > postgres.MaxSize-16 {
		return fail("54000", "a function gives rows of more than %d bytes", postgres.MaxSize)
	}
	return nil
}

func (l *list) add(v any) error {
	l.next()
	switch v := v.(type) {
	case nil:
		l.b.WriteString("null")
	case int64:
		l.b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		quoteJSON(&l.b, strconv.FormatFloat(v, 'g', -1, 64))
	case []byte:
		quoteJSON(&l.b, string(hexOf(v)))
	case string:
		quoteJSON(&l.b, v)
	}
	return l.bounded()
}

func (l *list) text() string {
	if l.n == 0 {
		return "[]"
	}
	return l.b.String() + "]"
}

func hexOf(b []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

func quoteJSON(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c == 0x7f:
			b.WriteString(`\u00`)
			b.Write(hexOf([]byte{c}))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// rowsOf are the items of an array.
func rowsOf(array oid, v any) (any, error) {
	var l list
	if v == nil {
		return "[]", nil
	}
	for _, item := range postgres.Items(array, v.(string)) {
		if err := l.add(item); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}

// countSeries is how many numbers generate_series(from, to, step) gives.
func countSeries(from, to, step any) (any, error) {
	if from == nil || to == nil || step == nil {
		return int64(0), nil
	}
	a, b, s := from.(int64), to.(int64), step.(int64)
	// Differences of two numbers of 64 bits have room in 64 without a sign.
	way, stride := uint64(b)-uint64(a), uint64(s)
	switch {
	case s == 0:
		return nil, fail("22023", "step size cannot equal zero")
	case s > 0 && a > b, s < 0 && a < b:
		return int64(0), nil
	case s < 0:
		way, stride = -way, -stride
	}
	return int64(min(way/stride, math.MaxInt64-1)) + 1, nil
}

// series is generate_series(type, from, to, step).
func (s *session) series(c *engine.Call, a []any) (any, error) {
	if a[1] == nil || a[2] == nil || a[3] == nil {
		return "[]", nil
	}
	call := s.call(c)
	t := oid(a[0].(int64))
	var stepType oid
	switch t {
	case postgres.Timestamp, postgres.TimestampTZ:
		stepType = postgres.Interval
	default:
		stepType = t
	}
	zero := "0"
	var origin any = int64(0)
	switch stepType {
	case postgres.Interval:
		z, err := datetime.ParseInterval("0", -1)
		if err != nil {
			return nil, err
		}
		origin = z.String()
	case postgres.Numeric:
		origin = zero
		for _, v := range a[1:] {
			if w := v.(string); w == "NaN" || strings.HasSuffix(w, "Infinity") {
				return nil, refuse("generate_series with %s", w)
			}
		}
	}
	sign := postgres.Compare(stepType, a[3], origin)
	if sign == 0 {
		return nil, fail("22023", "step size cannot equal zero")
	}
	var plus *postgres.Routine
	for i := range postgres.Operators() {
		r := &postgres.Operators()[i]
		if r.Name == "+" && len(r.Args) == 2 && r.Args[0] == t && r.Args[1] == stepType {
			plus = r
		}
	}
	if plus == nil {
		return nil, refuse("generate_series of %s", typeName(t))
	}
	var l list
	for v := a[1]; postgres.Compare(t, v, a[2])*sign <= 0; {
		if err := l.add(v); err != nil {
			return nil, err
		}
		if !c.Charge(4) {
			return nil, fail("53400", "the gas limit is reached")
		}
		next, err := plus.Call(call, []any{v, a[3]})
		if err != nil {
			if t == postgres.Int4 || t == postgres.Int8 {
				break // past the last number there is
			}
			return nil, err
		}
		v = next
	}
	return l.text(), nil
}

// elementsOf are the rows of jsonb_array_elements, or of its _text.
func elementsOf(text bool, v any) (any, error) {
	if v == nil {
		return "[]", nil
	}
	items, err := postgres.Elements(v.(string))
	if err != nil {
		return nil, err
	}
	var l list
	for _, item := range items {
		if err := l.add(asText(text, item)); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}

// asText is a jsonb's text as ->> gives it.
func asText(text bool, v any) any {
	if !text || v == nil {
		return v
	}
	s := v.(string)
	if s == "null" {
		return nil
	}
	if strings.HasPrefix(s, `"`) {
		for i := range postgres.Operators() {
			r := &postgres.Operators()[i]
			if r.Name == "#>>" && r.Args[0] == postgres.JSONB {
				if out, err := r.Call(&postgres.Call{}, []any{s, "{}"}); err == nil {
					return out
				}
			}
		}
	}
	return s
}

// pairsOf are the rows of jsonb_each: key and value as a list of two.
func pairsOf(text bool, v any) (any, error) {
	if v == nil {
		return "[]", nil
	}
	keys, values, err := postgres.Pairs(v.(string))
	if err != nil {
		return nil, err
	}
	var l list
	for i, k := range keys {
		var pair list
		if err := pair.add(k); err != nil {
			return nil, err
		}
		if err := pair.add(asText(text, values[i])); err != nil {
			return nil, err
		}
		if err := l.addList(&pair); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}

// padded are the items of a list, and as many NULLs as another has more.
func padded(text, other string) (any, error) {
	var items, others []json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(text), &items), json.Unmarshal([]byte(other), &others)); err != nil {
		return nil, err
	}
	if len(items) >= len(others) {
		return text, nil
	}
	for len(items) < len(others) {
		items = append(items, json.RawMessage("null"))
	}
	out, err := json.Marshal(items)
	if err == nil && len(out) > postgres.MaxSize-16 {
		err = fail("54000", "a function gives rows of more than %d bytes", postgres.MaxSize)
	}
	return string(out), err
}

// subscriptsOf are the numbers of the items of an array's dimension.
func subscriptsOf(array oid, v, dimension any) (any, error) {
	var l list
	if v == nil || dimension == nil {
		return "[]", nil
	}
	low, high, ok := postgres.Bounds(array, v.(string), dimension.(int64))
	for n := low; ok && n <= high; n++ {
		if err := l.add(n); err != nil {
			return nil, err
		}
	}
	return l.text(), nil
}
