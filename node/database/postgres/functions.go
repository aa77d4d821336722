package postgres

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// Functions of SQLite's that statements are made of. A routine has its signature as name, so that +(int4,int4) is a function of
// two arguments; one that is declared for any type is told the types by a text before its arguments. Names and what they give
// stay for ever: an index may hold them.

func collations() (all []engine.Collation) {
	for _, c := range postgres.Collations() {
		all = append(all, engine.Collation{Name: c.Name, Compare: c.Compare})
	}
	return all
}

func unquoted(name string) string { return strings.ReplaceAll(strings.Trim(name, `"`), `""`, `"`) }

func (s *session) functions() (all []engine.Function) {
	scalar := func(name string, args int, f func(c *engine.Call, a []any) (any, error)) {
		all = append(all, engine.Function{Name: name, Arguments: args, Scalar: f})
	}
	for _, list := range [][]postgres.Routine{postgres.Operators(), postgres.Functions()} {
		for i := range list {
			r := &list[i]
			c := &candidate{name: r.Name, args: r.Args, result: r.Result}
			name := unquoted(c.sqlite())
			switch {
			case c.polymorphic():
				scalar(name, -1, func(c *engine.Call, a []any) (any, error) {
					call := s.call(c)
					call.Result, call.Types = signatureTypes(a[0].(string))
					return r.Call(call, a[1:])
				})
			case r.Variadic:
				scalar(name, -1, func(c *engine.Call, a []any) (any, error) { return r.Call(s.call(c), a) })
			default:
				scalar(name, len(r.Args), func(c *engine.Call, a []any) (any, error) { return r.Call(s.call(c), a) })
			}
		}
	}
	for _, a := range postgres.Aggregates() {
		c := &candidate{name: a.Name, args: a.Args, result: a.Result}
		n := len(a.Args)
		if c.polymorphic() {
			n++
		}
		for _, sliding := range []bool{false, true} {
			name := unquoted(c.sqlite())
			if sliding {
				name += " sliding"
			}
			all = append(all, engine.Function{Name: name, Arguments: n, Window: true, Aggregate: func() engine.Aggregate {
				return &group{s: s, make: a.New, state: a.New(), told: n > len(a.Args), sliding: sliding}
			}})
		}
		all = append(all, engine.Function{Name: unquoted(c.sqlite()) + " distinct", Arguments: n + 1, Aggregate: func() engine.Aggregate {
			return &distinct{group: group{s: s, make: a.New, state: a.New(), told: n > len(a.Args)}}
		}})
	}
	all = append(all, engine.Function{Name: "single", Arguments: 1, Aggregate: func() engine.Aggregate { return &single{} }})
	s.own(scalar)
	for _, f := range []struct {
		name string
		args int
		do   func(c *engine.Call, a []any) (any, error)
	}{
		{"random()", 0, func(c *engine.Call, _ []any) (any, error) {
			var b [8]byte
			c.Random(b[:])
			return float64(binary.LittleEndian.Uint64(b[:])>>12) / (1 << 52), nil
		}},
		{"gen_random_uuid()", 0, func(c *engine.Call, _ []any) (any, error) {
			b := make([]byte, 16)
			c.Random(b)
			b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
			return b, nil
		}},
		{"nextval", 1, func(_ *engine.Call, a []any) (any, error) { return s.nextval(a[0], "Uw") }},
		{"identity", 1, func(_ *engine.Call, a []any) (any, error) { return s.nextval(a[0], "") }},
		{"currval", 1, func(_ *engine.Call, a []any) (any, error) { return s.currval(a[0]) }},
		{"lastval", 0, func(*engine.Call, []any) (any, error) { return s.lastval() }},
		{"setval", 3, func(_ *engine.Call, a []any) (any, error) { return s.setval(a[0], a[1], a[2]) }},
		{"withcheck", 3, func(_ *engine.Call, a []any) (any, error) { return s.withCheck(a) }},
		{"pg_notify", 2, func(_ *engine.Call, a []any) (any, error) { return s.notify(a[0], a[1]) }},
		{"position", 1, nextPosition},
		// quiet(1) begins to empty tables whose rows are not told one by one, quiet(0) ends it; quiet() asks
		{recordedQuiet, -1, func(_ *engine.Call, a []any) (any, error) {
			if len(a) > 0 {
				s.quiet = a[0] == int64(1)
			}
			return boolean(s.quiet), nil
		}},
		{"row", -1, s.row},
		{"once", -1, func(_ *engine.Call, a []any) (any, error) { return s.seen(a) }},
	} {
		all = append(all, engine.Function{Name: f.name, Arguments: f.args, Scalar: f.do, Volatile: true})
	}
	return all
}

// own are functions that no routine is.
func (s *session) own(scalar func(name string, args int, f func(c *engine.Call, a []any) (any, error))) {
	scalar("float", 1, func(_ *engine.Call, a []any) (any, error) { return strconv.ParseFloat(a[0].(string), 64) })
	scalar("now", 0, func(*engine.Call, []any) (any, error) { return s.env.Now, nil })
	scalar("user", 0, func(*engine.Call, []any) (any, error) { return s.userName(), nil })
	scalar("database", 0, func(*engine.Call, []any) (any, error) { return s.database, nil })
	// setting(name, missing ok)
	scalar("setting", 2, func(_ *engine.Call, a []any) (any, error) {
		if a[0] == nil || a[1] == nil {
			return nil, nil
		}
		return s.setting(a[0].(string), a[1].(int64) != 0)
	})
	// cast(from, to, typmod, explicit, value)
	scalar("cast", 5, func(c *engine.Call, a []any) (any, error) {
		return postgres.Convert(s.call(c), oid(a[0].(int64)), oid(a[1].(int64)), int32(a[2].(int64)), a[3].(int64) != 0, a[4])
	})
	// greatest(type, sign, value...)
	scalar("greatest", -1, func(_ *engine.Call, a []any) (any, error) {
		t, sign := oid(a[0].(int64)), int(a[1].(int64))
		var best any
		for _, v := range a[2:] {
			if v != nil && (best == nil || postgres.Compare(t, v, best)*sign > 0) {
				best = v
			}
		}
		return best, nil
	})
	// any(operator, all, type, value, array)
	scalar("any", 5, func(_ *engine.Call, a []any) (any, error) {
		return anyHolds(a[0].(string), a[1].(int64) != 0, oid(a[2].(int64)), a[3], a[4]), nil
	})
	// array(element type, item...)
	scalar("array", -1, func(_ *engine.Call, a []any) (any, error) {
		if len(a) == 1 {
			return "{}", nil
		}
		return postgres.MakeArray(oid(a[0].(int64)), slices.Clone(a[1:]))
	})
	// subscript(array type, array, index...)
	scalar("subscript", -1, func(_ *engine.Call, a []any) (any, error) {
		var at []int64
		for _, v := range a[1:] {
			if v == nil {
				return nil, nil
			}
		}
		for _, v := range a[2:] {
			at = append(at, v.(int64))
		}
		return postgres.Subscript(oid(a[0].(int64)), a[1].(string), at...), nil
	})
	scalar("limit", 1, func(_ *engine.Call, a []any) (any, error) {
		if a[0] == nil {
			return int64(-1), nil
		}
		if a[0].(int64) < 0 {
			return nil, fail("2201W", "LIMIT must not be negative")
		}
		return a[0], nil
	})
	scalar("offset", 1, func(_ *engine.Call, a []any) (any, error) {
		if a[0] == nil {
			return int64(0), nil
		}
		if a[0].(int64) < 0 {
			return nil, fail("2201X", "OFFSET must not be negative")
		}
		return a[0], nil
	})
	scalar("json", 2, func(_ *engine.Call, a []any) (any, error) { return rowsOf(oid(a[0].(int64)), a[1]) })
	scalar("words", 1, func(c *engine.Call, a []any) (any, error) { return wordsOf(s.call(c), a[0]) })
	scalar("terms", 1, func(c *engine.Call, a []any) (any, error) { return termsOf(s.call(c), a[0]) })
	scalar("boundless", 1, func(c *engine.Call, a []any) (any, error) { return boundless(s.call(c), a[0]) })
	scalar("lexemes", 1, func(c *engine.Call, a []any) (any, error) { return lexemesOf(s.call(c), a[0]) })
	// padded(list, other) is as long as the longer of both
	scalar("padded", 2, func(_ *engine.Call, a []any) (any, error) { return padded(a[0].(string), a[1].(string)) })
	scalar("subscripts", 3, func(_ *engine.Call, a []any) (any, error) { return subscriptsOf(oid(a[0].(int64)), a[1], a[2]) })
	scalar("count_series", 3, func(_ *engine.Call, a []any) (any, error) { return countSeries(a[0], a[1], a[2]) })
	scalar("series", 4, func(c *engine.Call, a []any) (any, error) { return s.series(c, a) })
	scalar("pairs", 2, func(_ *engine.Call, a []any) (any, error) { return pairsOf(a[0].(int64) != 0, a[1]) })
	scalar("elements", 2, func(_ *engine.Call, a []any) (any, error) { return elementsOf(a[0].(int64) != 0, a[1]) })
	scalar("format_type", 2, func(_ *engine.Call, a []any) (any, error) { return formatType(a) })
	scalar("description", 2, func(_ *engine.Call, a []any) (any, error) { return s.description(a) })
	scalar("pg_table_is_visible", 1, func(_ *engine.Call, a []any) (any, error) { return s.visible(a) })
	// reg(type, value) is the text of a regclass and the like, named(type, text) its value
	scalar("reg", 2, func(_ *engine.Call, a []any) (any, error) { return s.regText(oid(a[0].(int64)), a[1]), nil })
	scalar("named", 2, func(c *engine.Call, a []any) (any, error) {
		if a[1] == nil {
			return nil, nil
		}
		return s.input(s.call(c), oid(a[0].(int64)), a[1].(string))
	})
	for i := range catalogFunctions {
		f := &catalogFunctions[i]
		scalar(unquoted(f.sqlite()), len(f.args), func(c *engine.Call, a []any) (any, error) {
			if s.cat == nil || slices.Contains(a, nil) {
				return nil, nil
			}
			if !c.Charge(uint64(len(s.cat.byOID))) { // what it may look through
				return nil, fail("53400", "the gas limit is reached")
			}
			v, err := f.do(s, a)
			if text, ok := v.(string); ok && !c.Charge(uint64(len(text))) {
				return nil, fail("53400", "the gas limit is reached")
			}
			return v, err
		})
	}
	// violated(table, constraint), contains(table, column): rows that are there do not keep what is added
	scalar("violated", 2, func(_ *engine.Call, a []any) (any, error) {
		e := fail("23514", "check constraint \"%s\" of relation \"%s\" is violated by some row", a[1], a[0])
		e.Table, e.Constraint = a[0].(string), a[1].(string)
		return nil, e
	})
	scalar("contains", 2, func(_ *engine.Call, a []any) (any, error) {
		e := fail("23502", "column \"%s\" of relation \"%s\" contains null values", a[1], a[0])
		e.Table, e.Column = a[0].(string), a[1].(string)
		return nil, e
	})
	// null(oid, column): a NULL where none may be; violated(oid, constraint): a CHECK
	scalar("null", 2, func(_ *engine.Call, a []any) (any, error) {
		return nil, s.nullError(uint32(a[0].(int64)), int(a[1].(int64)))
	})
	scalar("check", 2, func(_ *engine.Call, a []any) (any, error) {
		return nil, s.checkError(uint32(a[0].(int64)), uint32(a[1].(int64)))
	})
}

// anyHolds is value op ANY (array), or ALL.
func anyHolds(op string, all bool, t oid, value, array any) any {
	if array == nil {
		return nil
	}
	unknown := false
	for _, item := range postgres.Items(postgres.ArrayOf(t), array.(string)) {
		if item == nil || value == nil {
			unknown = true
			continue
		}
		if holds(op, postgres.Compare(t, value, item)) != all {
			return boolean(!all)
		}
	}
	if unknown {
		return nil
	}
	return boolean(all)
}

func boolean(b bool) any {
	if b {
		return int64(1)
	}
	return int64(0)
}

func holds(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "<>":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

type told struct {
	result oid
	types  []oid
}

// signatureTypes reads "result;type,type".
func signatureTypes(s string) (oid, []oid) {
	var t told
	result, types, _ := strings.Cut(s, ";")
	n, _ := strconv.Atoi(result)
	t.result = oid(n)
	for _, x := range strings.Split(types, ",") {
		n, _ := strconv.Atoi(x)
		t.types = append(t.types, oid(n))
	}
	return t.result, t.types
}

// A group is an aggregate over rows.
type group struct {
	s       *session
	make    func() postgres.State
	state   postgres.State
	told    bool
	sliding bool
	result  oid
	types   []oid
	rows    [][]any // of a window that loses rows
	lost    bool
}

func (g *group) call(c *engine.Call) *postgres.Call {
	call := g.s.call(c)
	call.Result, call.Types = g.result, g.types
	return call
}

func (g *group) Step(c *engine.Call, a []any) error {
	if g.told {
		if g.types == nil {
			g.result, g.types = signatureTypes(a[0].(string))
		}
		a = a[1:]
	}
	if g.sliding {
		g.rows = append(g.rows, a)
		if g.lost {
			return nil
		}
	}
	return g.state.Step(g.call(c), a)
}

func (g *group) Value(c *engine.Call) (any, error) {
	if g.lost {
		if !c.Charge(uint64(len(g.rows))) {
			return nil, nil
		}
		g.state, g.lost = g.make(), false
		for _, row := range g.rows {
			if err := g.state.Step(g.call(c), row); err != nil {
				return nil, err
			}
		}
	}
	v, err := g.state.Final(g.call(c))
	switch b := v.(type) {
	case []byte:
		v = slices.Clone(b)
	case float64:
		if math.IsNaN(b) {
			v = "NaN"
		}
	}
	return v, err
}

func (g *group) Inverse(*engine.Call, []any) error {
	g.rows, g.lost = g.rows[1:], true
	return nil
}

func (g *group) Final(c *engine.Call) (any, error) { return g.Value(c) }

// distinct leaves out a row that equals the one before it. The type of the first argument is told before all others.
type distinct struct {
	group
	some bool
	last []any
}

func (d *distinct) Step(c *engine.Call, a []any) error {
	t, a := oid(a[0].(int64)), a[1:]
	first := 0
	if d.told {
		first = 1
	}
	if d.some {
		x, y := d.last[first], a[first]
		same := x == nil && y == nil || x != nil && y != nil && postgres.Compare(t, x, y) == 0
		for i := first + 1; i < len(a); i++ {
			same = same && equalCells(d.last[i], a[i])
		}
		if same {
			return nil
		}
	}
	d.some, d.last = true, a
	return d.group.Step(c, a)
}

func equalCells(a, b any) bool {
	x, ok := a.([]byte)
	y, also := b.([]byte)
	if ok || also {
		return ok && also && string(x) == string(y)
	}
	return a == b
}

// single is the value of a subquery that may give one row.
type single struct {
	some  bool
	value any
}

func (a *single) Step(_ *engine.Call, args []any) error {
	if a.some {
		return fail("21000", "more than one row returned by a subquery used as an expression")
	}
	a.some, a.value = true, args[0]
	return nil
}

func (a *single) Final(*engine.Call) (any, error) { return a.value, nil }
