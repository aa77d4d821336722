package jsonb

import (
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Scalar tells that a value is neither list nor object.
func (v Value) Scalar() bool { return v.Kind < Array }

// Field returns the value of a key of an object.
func (v Value) Field(key string) (Value, bool) {
	if v.Kind != Object {
		return Value{}, false
	}
	// In json the last of equal keys counts; in jsonb there is but one, found by halving.
	if len(v.Members) > 8 && v.Raw == "" {
		i := sort.Search(len(v.Members), func(i int) bool { return compareKeys(v.Members[i].Key, key) >= 0 })
		if i < len(v.Members) && v.Members[i].Key == key {
			return v.Members[i].Value, true
		}
		return Value{}, false
	}
	for i := len(v.Members) - 1; i >= 0; i-- {
		if v.Members[i].Key == key {
			return v.Members[i].Value, true
		}
	}
	return Value{}, false
}

// Index returns the n-th item of a list, from its end when n is below 0.
func (v Value) Index(n int64) (Value, bool) {
	if v.Kind != Array {
		return Value{}, false
	}
	if n < 0 {
		n += int64(len(v.Items))
	}
	if n < 0 || n >= int64(len(v.Items)) {
		return Value{}, false
	}
	return v.Items[n], true
}

// index reads a path's element as the number of an item, as C's strtol does.
func index(s string) (int64, bool) {
	t := strings.TrimLeft(s, " \t\n\v\f\r")
	n, err := strconv.ParseInt(t, 10, 32)
	return n, err == nil
}

// Path follows a path.
func (v Value) Path(path []string) (Value, bool) {
	ok := true
	for _, p := range path {
		switch v.Kind {
		case Object:
			v, ok = v.Field(p)
		case Array:
			var n int64
			if n, ok = index(p); ok {
				v, ok = v.Index(n)
			}
		default:
			ok = false
		}
		if !ok {
			return Value{}, false
		}
	}
	return v, true
}

// AsText is what ->> gives: the text itself of a string, nothing of null.
func (v Value) AsText() (string, bool) {
	switch v.Kind {
	case Null:
		return "", false
	case String:
		return v.Text, true
	}
	return v.String(), true
}

// equal tells whether two scalars are the same.
func equal(a, b Value) bool { return a.Kind == b.Kind && compare(a, b) == 0 }

// Contains is the operator @>.
func Contains(v, w Value) bool {
	if (v.Kind == Object) != (w.Kind == Object) {
		return false
	}
	if v.Kind == Object {
		return contains(v, w)
	}
	if v.Scalar() {
		return w.Scalar() && equal(v, w)
	}
	if w.Scalar() {
		w = Value{Kind: Array, Items: []Value{w}}
	}
	return contains(v, w)
}

// contains is for two objects or two lists.
func contains(v, w Value) bool {
	if v.Kind != w.Kind {
		return false
	}
	if v.Kind == Object {
		if len(v.Members) < len(w.Members) {
			return false
		}
		for _, m := range w.Members {
			x, ok := v.Field(m.Key)
			if !ok || x.Kind != m.Value.Kind {
				return false
			}
			if x.Scalar() {
				if !equal(x, m.Value) {
					return false
				}
			} else if !contains(x, m.Value) {
				return false
			}
		}
		return true
	}
	for _, e := range w.Items {
		found := false
		for i := 0; i < len(v.Items) && !found; i++ {
			if x := v.Items[i]; e.Scalar() {
				found = equal(x, e)
			} else {
				found = !x.Scalar() && contains(x, e)
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// Exists is the operator ?: a key of an object, or a text in a list.
func (v Value) Exists(key string) bool {
	switch v.Kind {
	case Object:
		_, ok := v.Field(key)
		return ok
	case Array:
		for _, e := range v.Items {
			if e.Kind == String && e.Text == key {
				return true
			}
		}
	case String:
		return v.Text == key
	}
	return false
}

func (v Value) list() []Value {
	if v.Kind == Array {
		return v.Items
	}
	return []Value{v}
}

// Concat is the operator ||.
func Concat(v, w Value) Value {
	if v.Kind == Object && w.Kind == Object {
		return NewObject(append(append([]Member{}, v.Members...), w.Members...))
	}
	return Value{Kind: Array, Items: append(append([]Value{}, v.list()...), w.list()...)}
}

func refuse(format string, args ...any) error {
	return sqlstate.New(sqlstate.BadParameter, format, args...)
}

// Delete takes keys from an object, or texts from a list.
func (v Value) Delete(keys map[string]bool) (Value, error) {
	if v.Scalar() {
		return v, refuse("cannot delete from scalar")
	}
	out := Value{Kind: v.Kind}
	for _, e := range v.Items {
		if e.Kind != String || !keys[e.Text] {
			out.Items = append(out.Items, e)
		}
	}
	for _, m := range v.Members {
		if !keys[m.Key] {
			out.Members = append(out.Members, m)
		}
	}
	return out, nil
}

// DeleteIndex takes an item from a list.
func (v Value) DeleteIndex(n int64) (Value, error) {
	switch {
	case v.Scalar():
		return v, refuse("cannot delete from scalar")
	case v.Kind == Object:
		return v, refuse("cannot delete from object using integer index")
	}
	if n < 0 {
		n += int64(len(v.Items))
	}
	if n < 0 || n >= int64(len(v.Items)) {
		return v, nil
	}
	return Value{Kind: Array, Items: append(append([]Value{}, v.Items[:n]...), v.Items[n+1:]...)}, nil
}

// What is done at the end of a path.
type Change int

const (
	Remove Change = iota
	Replace
	Create       // or replace
	InsertBefore // in a list; a new key in an object
	InsertAfter
)

// Set changes what lies at the end of a path; nil in it is SQL's NULL.
func (v Value) Set(path []any, with Value, change Change) (Value, error) {
	if v.Scalar() {
		if change == Remove {
			return v, refuse("cannot delete path in scalar")
		}
		return v, refuse("cannot set path in scalar")
	}
	if len(v.Items)+len(v.Members) == 0 && change <= Replace || len(path) == 0 {
		return v, nil
	}
	return v.set(path, 0, with, change)
}

func (v Value) set(path []any, level int, with Value, change Change) (Value, error) {
	if path[level] == nil {
		return v, sqlstate.New(sqlstate.NullNotAllowed, "path element at position %d is null", level+1)
	}
	key := path[level].(string)
	last := level == len(path)-1
	var err error
	switch v.Kind {
	case Object:
		out := Value{Kind: Object, Members: append([]Member{}, v.Members...)}
		for i, m := range out.Members {
			if m.Key != key {
				continue
			}
			switch {
			case !last:
				out.Members[i].Value, err = m.Value.set(path, level+1, with, change)
			case change == InsertBefore || change == InsertAfter:
				e := sqlstate.New(sqlstate.BadParameter, "cannot replace existing key")
				e.Hint = "Try using the function jsonb_set to replace key value."
				return v, e
			case change == Remove:
				out.Members = append(out.Members[:i], out.Members[i+1:]...)
			default:
				out.Members[i].Value = with
			}
			return out, err
		}
		if last && change >= Create {
			return NewObject(append(out.Members, Member{key, with})), nil
		}
		return v, nil
	case Array:
		n, ok := index(key)
		if !ok {
			return v, sqlstate.New(sqlstate.BadText, "path element at position %d is not an integer: \"%s\"", level+1, key)
		}
		size := int64(len(v.Items))
		if n < 0 {
			if -n > size {
				n = math.MinInt32
			} else {
				n += size
			}
		}
		n = min(n, size)
		items := append([]Value{}, v.Items...)
		switch {
		case n >= 0 && n < size && !last:
			items[n], err = items[n].set(path, level+1, with, change)
		case n >= 0 && n < size:
			switch change {
			case Remove:
				items = append(items[:n], items[n+1:]...)
			case Replace, Create:
				items[n] = with
			default:
				if change == InsertAfter {
					n++
				}
				items = append(items[:n], append([]Value{with}, items[n:]...)...)
			}
		case last && change >= Create && (n < 0 || size == 0):
			items = append([]Value{with}, items...)
		case last && change >= Create:
			items = append(items, with)
		}
		return Value{Kind: Array, Items: items}, err
	}
	return v, nil
}

// StripNulls leaves out the members of objects that are null.
func (v Value) StripNulls() Value {
	out := v
	out.Items, out.Members = nil, nil
	for _, e := range v.Items {
		out.Items = append(out.Items, e.StripNulls())
	}
	for _, m := range v.Members {
		if m.Value.Kind != Null {
			out.Members = append(out.Members, Member{m.Key, m.Value.StripNulls()})
		}
	}
	return out
}

// TypeName is what jsonb_typeof says.
func (v Value) TypeName() string {
	return [...]string{"null", "string", "number", "boolean", "array", "object"}[v.Kind]
}
