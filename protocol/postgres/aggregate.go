package postgres

import (
	"fmt"
	"math"
	"sync"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A State takes in the rows of a group, in their order, and gives one value.
type State interface {
	Step(c *Call, args []any) error
	Final(c *Call) (any, error)
}

// An Aggregate is one aggregate function of PostgreSQL's, for arguments of certain types.
type Aggregate struct {
	Name   string
	Args   []OID
	Result OID
	New    func() State
}

// Aggregates are all that there are. The slice is not to be changed.
var Aggregates = sync.OnceValue(aggregates)

// fold is a state of one value that is nil at first; rows with NULL do not count.
type fold struct {
	value any
	step  func(c *Call, value any, args []any) (any, error)
	final func(value any) (any, error)
	nulls bool
}

func (f *fold) Step(c *Call, args []any) error {
	if args[0] == nil && !f.nulls {
		return nil
	}
	v, err := f.step(c, f.value, args)
	if err == nil {
		f.value = v
	}
	return err
}

func (f *fold) Final(*Call) (any, error) {
	if f.final == nil || f.value == nil {
		return f.value, nil
	}
	return f.final(f.value)
}

// moments are count, sum and sum of squares of exact numbers.
type moments struct {
	count        int64
	sum, squares numeric.Number
}

func exact(v any) numeric.Number {
	if n, ok := v.(int64); ok {
		return numeric.FromInt(n)
	}
	return num(v)
}

type numericState struct {
	m      moments
	square bool
	final  func(m moments) (any, error)
}

func (s *numericState) Step(c *Call, args []any) error {
	if args[0] == nil {
		return nil
	}
	if s, ok := args[0].(string); ok && len(s) > longNumber {
		if err := c.work(conversion(s)); err != nil {
			return err
		}
	}
	x := exact(args[0])
	if s.m.count == 0 {
		s.m.sum, s.m.squares = numeric.FromInt(0), numeric.FromInt(0)
	}
	s.m.count++
	var err error
	if s.m.sum, err = s.m.sum.Add(x); err != nil || !s.square {
		return err
	}
	if err := c.numericWork(1, x.Digits(), x.Digits()); err != nil {
		return err
	}
	q, err := x.Mul(x)
	if err != nil {
		return err
	}
	s.m.squares, err = s.m.squares.Add(q)
	return err
}

func (s *numericState) Final(*Call) (any, error) {
	if s.m.count == 0 {
		return nil, nil
	}
	return s.final(s.m)
}

// floatState keeps count, sum and sum of squared distances from the mean, by the method of Youngs and Cramer.
type floatState struct {
	n, sum, squares float64
	final           func(n, sum, squares float64) any
}

func (s *floatState) Step(_ *Call, args []any) error {
	if args[0] == nil {
		return nil
	}
	x, before := float(args[0]), s.n
	oldSum := s.sum
	s.n++
	s.sum += x
	if before == 0 {
		if x != x || math.IsInf(x, 0) {
			s.squares = math.NaN()
		}
		return nil
	}
	d := float64(x*s.n) - s.sum
	s.squares += float64(d*d) / float64(s.n*before)
	if math.IsInf(s.sum, 0) || math.IsInf(s.squares, 0) {
		if !inf(oldSum, x) {
			return errOverflow
		}
		s.squares = math.NaN()
	}
	return nil
}

func (s *floatState) Final(*Call) (any, error) { return s.final(s.n, s.sum, s.squares), nil }

// builder collects texts.
type builder struct {
	b    []byte
	some bool
	blob bool
}

func (s *builder) Step(_ *Call, args []any) error {
	if args[0] == nil {
		return nil
	}
	if s.some && args[1] != nil {
		s.b = append(s.b, bytesOf(args[1])...)
	}
	s.b, s.some = append(s.b, bytesOf(args[0])...), true
	return sized(len(s.b))
}

func bytesOf(v any) []byte {
	if b, ok := v.([]byte); ok {
		return b
	}
	return []byte(v.(string))
}

func (s *builder) Final(*Call) (any, error) {
	switch {
	case !s.some:
		return nil, nil
	case s.blob:
		return s.b, nil
	}
	return string(s.b), nil
}

// items collects cells.
type items struct {
	list  []any
	size  int
	final func(c *Call, list []any) (any, error)
	width int // arguments of a row
}

func (s *items) Step(_ *Call, args []any) error {
	for _, a := range args[:s.width] {
		switch a := a.(type) {
		case string:
			s.size += len(a)
		case []byte:
			s.size += len(a)
		}
		s.size += 8
		s.list = append(s.list, a)
	}
	return sized(s.size)
}

func (s *items) Final(c *Call) (any, error) {
	if len(s.list) == 0 {
		return nil, nil
	}
	return s.final(c, s.list)
}

func aggregates() []Aggregate {
	var all []Aggregate
	add := func(signature string, f func() State) {
		r := def(signature, nil)
		all = append(all, Aggregate{r.Name, r.Args, r.Result, f})
	}
	folding := func(signature string, step func(c *Call, v any, args []any) (any, error)) {
		add(signature, func() State { return &fold{step: step} })
	}
	folding1 := func(signature string, step func(x, y any) (any, error)) {
		folding(signature, func(_ *Call, v any, args []any) (any, error) {
			if v == nil {
				return args[0], nil
			}
			return step(v, args[0])
		})
	}
	add("count(any) int8", func() State {
		return &fold{value: int64(0), step: func(_ *Call, v any, _ []any) (any, error) { return v.(int64) + 1, nil }}
	})
	for _, t := range []string{"int2", "int4"} {
		folding1("sum("+t+") int8", func(x, y any) (any, error) {
			n, ok := addInt(x.(int64), y.(int64))
			return fitInt(n, ok, Int8)
		})
	}
	sum := func(m moments) (any, error) { return m.sum.String(), nil }
	average := func(m moments) (any, error) { return numericCell(numeric.Average(m.sum, m.count)) }
	for _, t := range []string{"int8", "numeric"} {
		add("sum("+t+") numeric", func() State { return &numericState{final: sum} })
	}
	for _, t := range []string{"float4", "float8"} {
		folding1(fmt.Sprintf("sum(%s) %s", t, t), func(x, y any) (any, error) { return floatOperation('+', float(x), float(y), t == "float4") })
		add("avg("+t+") float8", func() State {
			return &floatState{final: func(n, sum, _ float64) any {
				if n == 0 {
					return nil
				}
				return floatCell(sum / n)
			}}
		})
	}
	for _, spread := range []struct {
		name         string
		sample, root bool
	}{{"variance", true, false}, {"var_samp", true, false}, {"var_pop", false, false}, {"stddev", true, true}, {"stddev_samp", true, true}, {"stddev_pop", false, true}} {
		for _, t := range []string{"int2", "int4", "int8", "numeric"} {
			add(spread.name+"("+t+") numeric", func() State {
				return &numericState{square: true, final: func(m moments) (any, error) {
					if spread.sample && m.count < 2 {
						return nil, nil
					}
					return numericCell(numeric.Variance(m.count, m.sum, m.squares, spread.sample, spread.root))
				}}
			})
		}
		for _, t := range []string{"float4", "float8"} {
			add(spread.name+"("+t+") float8", func() State {
				return &floatState{final: func(n, _, squares float64) any {
					if spread.sample {
						n--
					}
					if n < 1 {
						return nil
					}
					if squares /= n; spread.root {
						squares = math.Sqrt(squares)
					}
					return floatCell(squares)
				}}
			})
		}
	}
	for _, t := range []string{"int2", "int4", "int8", "numeric"} {
		add("avg("+t+") numeric", func() State { return &numericState{final: average} })
	}
	folding1("sum(interval) interval", func(x, y any) (any, error) { return intervalCell(interval(x).Add(interval(y))) })
	add("avg(interval) interval", func() State { return &intervalState{} })

	for _, t := range []OID{Int2, Int4, Int8, OIDType, Float4, Float8, Numeric, Text, Bpchar, Date, Time, TimeTZ, Timestamp, TimestampTZ, Interval} {
		n := types[t].Internal
		// Of equal values that show differently the last is taken, but of char(n) the first.
		tie := t != Bpchar
		folding1(fmt.Sprintf("min(%s) %s", n, n), func(x, y any) (any, error) {
			if c := Compare(t, y, x); c < 0 || c == 0 && tie {
				return y, nil
			}
			return x, nil
		})
		folding1(fmt.Sprintf("max(%s) %s", n, n), func(x, y any) (any, error) {
			if c := Compare(t, y, x); c > 0 || c == 0 && tie {
				return y, nil
			}
			return x, nil
		})
	}
	folding1("bool_and(bool) bool", func(x, y any) (any, error) { return x.(int64) & y.(int64), nil })
	folding1("every(bool) bool", func(x, y any) (any, error) { return x.(int64) & y.(int64), nil })
	folding1("bool_or(bool) bool", func(x, y any) (any, error) { return x.(int64) | y.(int64), nil })
	for _, t := range []string{"int2", "int4", "int8"} {
		folding1(fmt.Sprintf("bit_and(%s) %s", t, t), func(x, y any) (any, error) { return x.(int64) & y.(int64), nil })
		folding1(fmt.Sprintf("bit_or(%s) %s", t, t), func(x, y any) (any, error) { return x.(int64) | y.(int64), nil })
		folding1(fmt.Sprintf("bit_xor(%s) %s", t, t), func(x, y any) (any, error) { return x.(int64) ^ y.(int64), nil })
	}
	add("string_agg(text, text) text", func() State { return &builder{} })
	add("string_agg(bytea, bytea) bytea", func() State { return &builder{blob: true} })
	add("array_agg(anyelement) anyarray", func() State {
		return &items{width: 1, final: func(c *Call, list []any) (any, error) {
			if types[c.typeOf(0)].Elem != 0 {
				return nil, sqlstate.New(sqlstate.Unsupported, "array_agg of arrays is not supported")
			}
			return MakeArray(c.typeOf(0), list)
		}}
	})
	add("jsonb_agg(anyelement) jsonb", func() State {
		return &items{width: 1, final: func(c *Call, list []any) (any, error) {
			out := jsonb.Value{Kind: jsonb.Array}
			for _, v := range list {
				e, err := ToJSON(c, c.typeOf(0), v)
				if err != nil {
					return nil, err
				}
				out.Items = append(out.Items, e)
			}
			s := out.String()
			return s, sized(len(s))
		}}
	})
	add("jsonb_object_agg(any, any) jsonb", func() State {
		return &items{width: 2, final: func(c *Call, list []any) (any, error) {
			pairs := *c
			pairs.Types = nil
			for i := range list {
				pairs.Types = append(pairs.Types, c.typeOf(i%2))
				if i%2 == 0 && list[i] == nil {
					return nil, sqlstate.New(sqlstate.BadParameter, "field name must not be null")
				}
			}
			return buildObject(&pairs, list)
		}}
	})
	return all
}

type intervalState struct {
	count int64
	sum   datetime.Interval
}

func (s *intervalState) Step(_ *Call, args []any) (err error) {
	if args[0] == nil {
		return nil
	}
	s.count++
	s.sum, err = s.sum.Add(interval(args[0]))
	return err
}

func (s *intervalState) Final(*Call) (any, error) {
	if s.count == 0 {
		return nil, nil
	}
	return intervalCell(s.sum.Div(float64(s.count)))
}
