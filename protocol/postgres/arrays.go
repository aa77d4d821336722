package postgres

import (
	"math"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// elem is the type of the items of the array that an argument is.
func (c *Call) elem(i int) OID {
	if i < len(c.Types) {
		if t, ok := types[c.Types[i]]; ok && t.Elem != 0 {
			return t.Elem
		}
	}
	return Text
}

func appendItemTo(c *Call, list any, elem OID, item any, front bool) (any, error) {
	a := array{}
	if list != nil {
		a = arrayOf(elem, list)
	}
	switch {
	case len(a.lengths) > 1:
		return nil, sqlstate.New("22000", "argument must be empty or one-dimensional array")
	case len(a.lengths) == 0:
		a.lengths, a.lower = []int{0}, []int{1}
	case front && a.lower[0] == math.MinInt32, !front && a.lower[0]+a.lengths[0]-1 >= math.MaxInt32-1:
		return nil, sqlstate.Range("integer")
	}
	if front {
		a.items = append([]any{item}, a.items...) // the bound stays where it was, as that of the first item
	} else {
		a.items = append(a.items, item)
	}
	a.lengths[0]++
	return a.cell(elem), nil
}

func arrayCat(elem OID, x, y any) (any, error) {
	switch {
	case x == nil && y == nil:
		return nil, nil
	case x == nil:
		return y, nil
	case y == nil:
		return x, nil
	}
	a, b := arrayOf(elem, x), arrayOf(elem, y)
	if len(a.lengths) == 0 {
		return y, nil
	} else if len(b.lengths) == 0 {
		return x, nil
	}
	bad := sqlstate.New(sqlstate.ArraySubscript, "cannot concatenate incompatible arrays")
	same := func(p, q []int) bool {
		for i := range p {
			if p[i] != q[i] {
				return false
			}
		}
		return true
	}
	out := array{items: append(append([]any{}, a.items...), b.items...)}
	switch len(a.lengths) - len(b.lengths) {
	case 0:
		if !same(a.lengths[1:], b.lengths[1:]) || !same(a.lower[1:], b.lower[1:]) {
			return nil, bad
		}
		out.lengths, out.lower = append([]int{}, a.lengths...), a.lower
		out.lengths[0] += b.lengths[0]
	case 1:
		if !same(b.lengths, a.lengths[1:]) || !same(b.lower, a.lower[1:]) {
			return nil, bad
		}
		out.lengths, out.lower = append([]int{}, a.lengths...), a.lower
		out.lengths[0]++
	case -1:
		if !same(a.lengths, b.lengths[1:]) || !same(a.lower, b.lower[1:]) {
			return nil, bad
		}
		out.lengths, out.lower = append([]int{}, b.lengths...), append([]int{}, b.lower...)
		out.lengths[0]++
	default:
		return nil, bad
	}
	return out.cell(elem), nil
}

// containsAll tells whether each item of b is in a; NULL is in nothing.
func containsAll(elem OID, a, b array) bool {
	for _, y := range b.items {
		if y == nil || !has(elem, a, y) {
			return false
		}
	}
	return true
}

func has(elem OID, a array, y any) bool {
	for _, x := range a.items {
		if x != nil && Compare(elem, x, y) == 0 {
			return true
		}
	}
	return false
}

func arrayOperators() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	add("lax ||(anycompatiblearray, anycompatiblearray) anycompatiblearray", func(c *Call, a []any) (any, error) { return arrayCat(c.elem(0), a[0], a[1]) })
	add("lax ||(anycompatiblearray, anycompatible) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return appendItemTo(c, a[0], c.elem(0), a[1], false)
	})
	add("lax ||(anycompatible, anycompatiblearray) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return appendItemTo(c, a[1], c.elem(1), a[0], true)
	})
	sets := func(f func(elem OID, x, y array) bool) do {
		return func(c *Call, a []any) (any, error) {
			x, y := arrayOf(c.elem(0), a[0]), arrayOf(c.elem(0), a[1])
			if err := c.work(uint64(len(x.items)) * uint64(len(y.items)) * 8); err != nil {
				return nil, err
			}
			return f(c.elem(0), x, y), nil
		}
	}
	add("@>(anyarray, anyarray) bool", sets(containsAll))
	add("<@(anyarray, anyarray) bool", sets(func(e OID, x, y array) bool { return containsAll(e, y, x) }))
	add("&&(anyarray, anyarray) bool", sets(func(e OID, x, y array) bool {
		for _, v := range y.items {
			if v != nil && has(e, x, v) {
				return true
			}
		}
		return false
	}))
	return all
}

func arrayFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	dimension := func(f func(a array, d int) int64) do {
		return func(c *Call, a []any) (any, error) {
			list, d := arrayOf(c.elem(0), a[0]), a[1].(int64)
			if d < 1 || d > int64(len(list.lengths)) {
				return nil, nil
			}
			return f(list, int(d-1)), nil
		}
	}
	add("array_length(anyarray, int4) int4", dimension(func(a array, d int) int64 { return int64(a.lengths[d]) }))
	add("array_lower(anyarray, int4) int4", dimension(func(a array, d int) int64 { return int64(a.lower[d]) }))
	add("array_upper(anyarray, int4) int4", dimension(func(a array, d int) int64 { return int64(a.lower[d] + a.lengths[d] - 1) }))
	add("array_ndims(anyarray) int4", func(c *Call, a []any) (any, error) {
		if n := len(arrayOf(c.elem(0), a[0]).lengths); n > 0 {
			return int64(n), nil
		}
		return nil, nil
	})
	add("cardinality(anyarray) int4", func(c *Call, a []any) (any, error) { return int64(len(arrayOf(c.elem(0), a[0]).items)), nil })
	add("lax array_append(anycompatiblearray, anycompatible) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return appendItemTo(c, a[0], c.elem(0), a[1], false)
	})
	add("lax array_prepend(anycompatible, anycompatiblearray) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return appendItemTo(c, a[1], c.elem(1), a[0], true)
	})
	add("lax array_cat(anycompatiblearray, anycompatiblearray) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return arrayCat(c.elem(0), a[0], a[1])
	})
	equal := func(elem OID, x, y any) bool {
		if x == nil || y == nil {
			return x == nil && y == nil
		}
		return Compare(elem, x, y) == 0
	}
	position := func(c *Call, a []any) (any, error) {
		if a[0] == nil {
			return nil, nil
		}
		list := arrayOf(c.elem(0), a[0])
		if len(list.lengths) > 1 {
			return nil, sqlstate.New(sqlstate.Unsupported, "searching for elements in multidimensional arrays is not supported")
		}
		if len(list.items) == 0 || a[1] == nil && !slices.Contains(list.items, nil) {
			return nil, nil
		}
		from := int64(math.MinInt64)
		if len(a) > 2 {
			if a[2] == nil {
				return nil, sqlstate.New(sqlstate.NullNotAllowed, "initial position must not be null")
			}
			from = a[2].(int64)
		}
		for i, x := range list.items {
			if at := int64(list.lower[0] + i); at >= from && equal(c.elem(0), x, a[1]) {
				return at, nil
			}
		}
		return nil, nil
	}
	add("lax array_position(anycompatiblearray, anycompatible) int4", position)
	add("lax array_position(anycompatiblearray, anycompatible, int4) int4", position)
	add("lax array_positions(anycompatiblearray, anycompatible) int4[]", func(c *Call, a []any) (any, error) {
		if a[0] == nil {
			return nil, nil
		}
		list := arrayOf(c.elem(0), a[0])
		if len(list.lengths) > 1 {
			return nil, sqlstate.New(sqlstate.Unsupported, "searching for elements in multidimensional arrays is not supported")
		}
		out := array{lower: []int{1}}
		for i, x := range list.items {
			if equal(c.elem(0), x, a[1]) {
				out.items = append(out.items, int64(list.lower[0]+i))
			}
		}
		out.lengths = []int{len(out.items)}
		return out.cell(Int4), nil
	})
	exchange := func(c *Call, a []any, remove bool) (any, error) {
		if a[0] == nil {
			return nil, nil
		}
		list := arrayOf(c.elem(0), a[0])
		if remove && len(list.lengths) > 1 {
			return nil, sqlstate.New(sqlstate.Unsupported, "removing elements from multidimensional arrays is not supported")
		}
		out := array{lengths: list.lengths, lower: list.lower}
		for _, x := range list.items {
			if !equal(c.elem(0), x, a[1]) {
				out.items = append(out.items, x)
			} else if !remove {
				out.items = append(out.items, a[2])
			}
		}
		if remove && len(out.items) < len(list.items) {
			out.lengths = []int{len(out.items)}
		}
		return out.cell(c.elem(0)), nil
	}
	add("lax array_remove(anycompatiblearray, anycompatible) anycompatiblearray", func(c *Call, a []any) (any, error) { return exchange(c, a, true) })
	add("lax array_replace(anycompatiblearray, anycompatible, anycompatible) anycompatiblearray", func(c *Call, a []any) (any, error) {
		return exchange(c, a, false)
	})
	add("trim_array(anyarray, int4) anyarray", func(c *Call, a []any) (any, error) {
		list, n := arrayOf(c.elem(0), a[0]), a[1].(int64)
		size := int64(0)
		if len(list.lengths) > 0 {
			size = int64(list.lengths[0])
		}
		if n < 0 || n > size {
			return nil, sqlstate.New(sqlstate.ArraySubscript, "number of elements to trim must be between 0 and %d", size)
		}
		if size == 0 {
			return a[0], nil
		}
		row := len(list.items) / list.lengths[0]
		list.items = list.items[:len(list.items)-int(n)*row]
		list.lengths[0] -= int(n)
		for i := range list.lower {
			list.lower[i] = 1
		}
		return list.cell(c.elem(0)), nil
	})
	join := func(c *Call, a []any) (any, error) {
		if a[0] == nil || a[1] == nil {
			return nil, nil
		}
		var null any
		if len(a) > 2 {
			null = a[2]
		}
		var b strings.Builder
		first := true
		for _, v := range arrayOf(c.elem(0), a[0]).items {
			s := ""
			if v == nil {
				if null == nil {
					continue
				}
				s = null.(string)
			} else {
				var err error
				if s, err = Output(c, c.elem(0), v); err != nil {
					return nil, err
				}
			}
			if !first {
				b.WriteString(a[1].(string))
			}
			first = false
			b.WriteString(s)
			if err := sized(b.Len()); err != nil {
				return nil, err
			}
		}
		return b.String(), nil
	}
	add("array_to_string(anyarray, text) text", join)
	add("lax array_to_string(anyarray, text, text) text", join)
	split := func(c *Call, a []any) (any, error) {
		if a[0] == nil {
			return nil, nil
		}
		s := a[0].(string)
		var parts []string
		switch {
		case s == "":
		case a[1] == nil:
			for _, r := range s {
				parts = append(parts, string(r))
			}
		case a[1].(string) == "":
			parts = []string{s}
		default:
			if err := c.search(len(s), len(a[1].(string))); err != nil {
				return nil, err
			}
			parts = strings.Split(s, a[1].(string))
		}
		out := array{lower: []int{1}, lengths: []int{len(parts)}}
		for _, p := range parts {
			if len(a) > 2 && a[2] != nil && p == a[2].(string) {
				out.items = append(out.items, nil)
			} else {
				out.items = append(out.items, p)
			}
		}
		return out.cell(Text), nil
	}
	add("lax string_to_array(text, text) text[]", split)
	add("lax string_to_array(text, text, text) text[]", split)
	return all
}

// Items are the items of an array's cell, as unnest gives them; subscripts count from Lower.
func Items(oid OID, cell string) []any { return arrayOf(types[oid].Elem, cell).items }

// Bounds are the first and the last number of the items of a dimension, from 1; false when there is none.
func Bounds(oid OID, cell string, dimension int64) (low, high int64, ok bool) {
	a := arrayOf(types[oid].Elem, cell)
	if dimension < 1 || dimension > int64(len(a.lengths)) {
		return 0, 0, false
	}
	d := dimension - 1
	return int64(a.lower[d]), int64(a.lower[d] + a.lengths[d] - 1), true
}

// MakeArray makes the cell of an array of one dimension.
func MakeArray(elem OID, items []any) (any, error) {
	out := array{items: items, lower: []int{1}, lengths: []int{len(items)}}.cell(elem)
	return out, sized(len(out.(string)))
}

// Subscript is array[i, ...] of a cell; nil where there is no such item.
func Subscript(oid OID, cell string, subscripts ...int64) any {
	a := arrayOf(types[oid].Elem, cell)
	if len(a.items) == 0 || len(subscripts) != len(a.lengths) {
		return nil
	}
	at := 0
	for i, s := range subscripts {
		n := s - int64(a.lower[i])
		if n < 0 || n >= int64(a.lengths[i]) {
			return nil
		}
		at = at*a.lengths[i] + int(n)
	}
	return a.items[at]
}
