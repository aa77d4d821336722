package postgres

import (
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// jsonbOf reads a cell that was made here.
func jsonbOf(v any) jsonb.Value {
	j, err := jsonb.Parse(v.(string))
	if err != nil {
		panic(err)
	}
	return j
}

func jsonbCell(v jsonb.Value, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v.String(), nil
}

// path reads text[] as a path, whole is whether no element is NULL.
func path(v any) (p []string, whole bool) {
	for _, e := range arrayOf(Text, v).items {
		if e == nil {
			return nil, false
		}
		p = append(p, e.(string))
	}
	return p, true
}

// find makes the operators that take a part out, of json and jsonb alike.
func find(text bool, binary bool, part func(v jsonb.Value, key any) (jsonb.Value, bool)) do {
	return func(_ *Call, a []any) (any, error) {
		if binary {
			j := jsonbOf(a[0])
			if _, byNumber := a[1].(int64); byNumber && j.Scalar() {
				j = jsonb.Value{Kind: jsonb.Array, Items: []jsonb.Value{j}} // as which PostgreSQL stores it
			}
			v, ok := part(j, a[1])
			if !ok {
				return nil, nil
			}
			if text {
				s, ok := v.AsText()
				if !ok {
					return nil, nil
				}
				return s, nil
			}
			return v.String(), nil
		}
		j, err := jsonb.ParseJSON(a[0].(string))
		if err != nil {
			return nil, err
		}
		v, ok := part(j, a[1])
		switch {
		case !ok || text && v.Kind == jsonb.Null:
			return nil, nil
		case text && v.Kind == jsonb.String:
			return textOrError(v.Unquote())
		}
		return v.Raw, nil
	}
}

func byKey(v jsonb.Value, key any) (jsonb.Value, bool)   { return v.Field(key.(string)) }
func byIndex(v jsonb.Value, key any) (jsonb.Value, bool) { return v.Index(key.(int64)) }
func byPath(v jsonb.Value, key any) (jsonb.Value, bool) {
	p, ok := path(key)
	if !ok {
		return v, false
	}
	return v.Path(p)
}

func contains(c *Call, a []any) (any, error) {
	x, y := a[0].(string), a[1].(string)
	if err := c.work(uint64(len(x)) * uint64(len(y)) / 16); err != nil { // each item of one with each of the other
		return nil, err
	}
	return jsonb.Contains(jsonbOf(x), jsonbOf(y)), nil
}

func jsonOperators() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	for _, t := range []string{"json", "jsonb"} {
		binary := t == "jsonb"
		add("->("+t+", text) "+t, find(false, binary, byKey))
		add("->>("+t+", text) text", find(true, binary, byKey))
		add("->("+t+", int4) "+t, find(false, binary, byIndex))
		add("->>("+t+", int4) text", find(true, binary, byIndex))
		add("#>("+t+", text[]) "+t, find(false, binary, byPath))
		add("#>>("+t+", text[]) text", find(true, binary, byPath))
	}
	add("@>(jsonb, jsonb) bool", contains)
	add("<@(jsonb, jsonb) bool", func(c *Call, a []any) (any, error) { return contains(c, []any{a[1], a[0]}) })
	add("?(jsonb, text) bool", func(_ *Call, a []any) (any, error) { return jsonbOf(a[0]).Exists(a[1].(string)), nil })
	many := func(every bool) do {
		return func(c *Call, a []any) (any, error) {
			keys := arrayOf(Text, a[1]).items
			if err := c.work(uint64(len(keys)) * uint64(len(a[0].(string)))); err != nil {
				return nil, err
			}
			v := jsonbOf(a[0])
			for _, k := range keys {
				if k != nil && v.Exists(k.(string)) != every {
					return !every, nil
				}
			}
			return every, nil
		}
	}
	add("?|(jsonb, text[]) bool", many(false))
	add("?&(jsonb, text[]) bool", many(true))
	add("||(jsonb, jsonb) jsonb", func(_ *Call, a []any) (any, error) { return jsonb.Concat(jsonbOf(a[0]), jsonbOf(a[1])).String(), nil })
	add("-(jsonb, text) jsonb", func(_ *Call, a []any) (any, error) {
		return jsonbCell(jsonbOf(a[0]).Delete(map[string]bool{a[1].(string): true}))
	})
	add("-(jsonb, text[]) jsonb", func(_ *Call, a []any) (any, error) {
		list := arrayOf(Text, a[1])
		if len(list.lengths) > 1 {
			return nil, sqlstate.New(sqlstate.ArraySubscript, "wrong number of array subscripts")
		}
		keys := map[string]bool{}
		for _, k := range list.items {
			if k != nil {
				keys[k.(string)] = true
			}
		}
		return jsonbCell(jsonbOf(a[0]).Delete(keys))
	})
	add("-(jsonb, int4) jsonb", func(_ *Call, a []any) (any, error) { return jsonbCell(jsonbOf(a[0]).DeleteIndex(a[1].(int64))) })
	add("#-(jsonb, text[]) jsonb", change(func([]any) (jsonb.Value, jsonb.Change) { return jsonb.Value{}, jsonb.Remove }))
	return all
}

// change makes the functions that alter what lies at the end of a path.
func change(how func(a []any) (jsonb.Value, jsonb.Change)) do {
	return func(_ *Call, a []any) (any, error) {
		p := arrayOf(Text, a[1])
		if len(p.lengths) > 1 {
			return nil, sqlstate.New(sqlstate.ArraySubscript, "wrong number of array subscripts")
		}
		with, what := how(a)
		return jsonbCell(jsonbOf(a[0]).Set(p.items, with, what))
	}
}

// ToJSON is the JSON of a value of any type. Numbers become numbers, times texts with a T, and what has no JSON its text.
func ToJSON(c *Call, oid OID, v any) (jsonb.Value, error) {
	if v == nil {
		return jsonb.Value{}, nil
	}
	t, ok := types[oid]
	if !ok {
		return jsonb.Value{}, sqlstate.New(sqlstate.BadParameter, "could not determine input data type")
	}
	if t.Elem != 0 {
		a := arrayOf(t.Elem, v)
		items := a.items
		return a.nest(0, func() (jsonb.Value, error) {
			e := items[0]
			items = items[1:]
			return ToJSON(c, t.Elem, e)
		})
	}
	text := func(s string) (jsonb.Value, error) { return jsonb.Value{Kind: jsonb.String, Text: s}, nil }
	zone := c.zone()
	switch oid {
	case Bool:
		return jsonb.Value{Kind: jsonb.Bool, True: v.(int64) != 0}, nil
	case JSON, JSONB:
		return jsonb.Parse(v.(string))
	case Int2, Int4, Int8, Float4, Float8, Numeric:
		s, err := Output(c, oid, v)
		if err != nil {
			return jsonb.Value{}, err
		}
		if strings.ContainsAny(s, "NI") {
			return text(s)
		}
		return jsonb.Parse(s)
	case Timestamp:
		return text(datetime.ISO(v.(int64), nil))
	case TimestampTZ:
		return text(datetime.ISO(v.(int64), zone))
	}
	s, err := Output(c, oid, v)
	if err != nil {
		return jsonb.Value{}, err
	}
	return text(s)
}

// nest makes lists in lists of an array.
func (a array) nest(depth int, item func() (jsonb.Value, error)) (jsonb.Value, error) {
	out := jsonb.Value{Kind: jsonb.Array}
	if len(a.items) == 0 {
		return out, nil
	}
	for range a.lengths[depth] {
		next := item
		if depth+1 < len(a.lengths) {
			next = func() (jsonb.Value, error) { return a.nest(depth+1, item) }
		}
		e, err := next()
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, e)
	}
	return out, nil
}

func (c *Call) typeOf(i int) OID {
	if i < len(c.Types) {
		return c.Types[i]
	}
	return Text
}

func buildArray(c *Call, a []any) (any, error) {
	out := jsonb.Value{Kind: jsonb.Array}
	for i, v := range a {
		e, err := ToJSON(c, c.typeOf(i), v)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, e)
	}
	return out.String(), nil
}

// buildText is json_build_object: members in their order, as they were written.
func buildText(c *Call, a []any) (any, error) {
	if len(a)%2 != 0 {
		e := sqlstate.New(sqlstate.BadParameter, "argument list must have even number of elements")
		e.Hint = "The arguments of json_build_object() must consist of alternating keys and values."
		return nil, e
	}
	b := []byte{'{'}
	for i, v := range a {
		switch {
		case i%2 == 1:
			b = append(b, " : "...)
		case v == nil:
			e := sqlstate.New(sqlstate.BadParameter, "argument %d cannot be null", i+1)
			e.Hint = "Object keys should be text."
			return nil, e
		case i > 0:
			b = append(b, ", "...)
		}
		t := types[c.typeOf(i)]
		text, kind := "null", jsonb.Null
		if v != nil {
			if t.Elem != 0 {
				return nil, sqlstate.New(sqlstate.Unsupported, "json_build_object of arrays is not supported")
			}
			x, err := ToJSON(c, t.OID, v)
			if err != nil {
				return nil, err
			}
			text, kind = x.String(), x.Kind
			switch {
			case t.OID == JSON:
				text = v.(string)
			case kind == jsonb.Number && t.OID != JSONB:
				if text, err = Output(c, t.OID, v); err != nil {
					return nil, err
				}
			}
			if i%2 == 0 {
				if t.OID == JSON || t.OID == JSONB {
					return nil, sqlstate.New(sqlstate.BadParameter, "key value must be scalar, not array, composite, or json")
				}
				if kind != jsonb.String {
					text = "\"" + text + "\""
				}
			}
		}
		b = append(b, text...)
	}
	return string(append(b, '}')), nil
}

func buildObject(c *Call, a []any) (any, error) {
	if len(a)%2 != 0 {
		e := sqlstate.New(sqlstate.BadParameter, "argument list must have even number of elements")
		e.Hint = "The arguments of jsonb_build_object() must consist of alternating keys and values."
		return nil, e
	}
	var members []jsonb.Member
	for i := 0; i < len(a); i += 2 {
		if a[i] == nil {
			return nil, sqlstate.New(sqlstate.BadParameter, "argument %d: key must not be null", i+1)
		}
		t := types[c.typeOf(i)]
		if t.Elem != 0 || t.OID == JSON || t.OID == JSONB {
			return nil, sqlstate.New(sqlstate.BadParameter, "key value must be scalar, not array, composite, or json")
		}
		k, err := ToJSON(c, t.OID, a[i])
		if err != nil {
			return nil, err
		}
		key := k.Text
		switch k.Kind {
		case jsonb.Bool:
			key = k.String()
		case jsonb.Number:
			if key, err = Output(c, t.OID, a[i]); err != nil {
				return nil, err
			}
		}
		v, err := ToJSON(c, c.typeOf(i+1), a[i+1])
		if err != nil {
			return nil, err
		}
		members = append(members, jsonb.Member{Key: key, Value: v})
	}
	return jsonb.NewObject(members).String(), nil
}

func jsonFunctions() []Routine {
	var all []Routine
	add := func(signature string, f do) { all = append(all, def(signature, f)) }
	parse := map[string]func(string) (jsonb.Value, error){"json": jsonb.ParseJSON, "jsonb": jsonb.Parse}
	for _, t := range []string{"json", "jsonb"} {
		add(t+"_typeof("+t+") text", func(_ *Call, a []any) (any, error) {
			v, err := parse[t](a[0].(string))
			if err != nil {
				return nil, err
			}
			return v.TypeName(), nil
		})
		add(t+"_array_length("+t+") int4", func(_ *Call, a []any) (any, error) {
			v, err := parse[t](a[0].(string))
			switch {
			case err != nil:
				return nil, err
			case v.Kind == jsonb.Object:
				return nil, sqlstate.New(sqlstate.BadParameter, "cannot get array length of a non-array")
			case v.Kind != jsonb.Array:
				return nil, sqlstate.New(sqlstate.BadParameter, "cannot get array length of a scalar")
			}
			return int64(len(v.Items)), nil
		})
		p := def(t+"_extract_path("+t+", ...text) "+t, find(false, t == "jsonb", nil))
		for _, text := range []bool{false, true} {
			q := p
			if text {
				q.Name, q.Result = t+"_extract_path_text", Text
			}
			q.Do = func(c *Call, a []any) (any, error) {
				return find(text, t == "jsonb", func(v jsonb.Value, _ any) (jsonb.Value, bool) {
					keys := make([]string, 0, len(a))
					for _, k := range a[1:] {
						keys = append(keys, k.(string))
					}
					return v.Path(keys)
				})(c, []any{a[0], nil})
			}
			all = append(all, q)
		}
	}
	add("jsonb_pretty(jsonb) text", func(_ *Call, a []any) (any, error) { return jsonbOf(a[0]).Pretty(), nil })
	add("jsonb_strip_nulls(jsonb) jsonb", func(_ *Call, a []any) (any, error) { return jsonbOf(a[0]).StripNulls().String(), nil })
	add("jsonb_set(jsonb, text[], jsonb, bool) jsonb", change(func(a []any) (jsonb.Value, jsonb.Change) {
		if a[3].(int64) != 0 {
			return jsonbOf(a[2]), jsonb.Create
		}
		return jsonbOf(a[2]), jsonb.Replace
	}))
	add("jsonb_insert(jsonb, text[], jsonb, bool) jsonb", change(func(a []any) (jsonb.Value, jsonb.Change) {
		if a[3].(int64) != 0 {
			return jsonbOf(a[2]), jsonb.InsertAfter
		}
		return jsonbOf(a[2]), jsonb.InsertBefore
	}))
	add("jsonb_contains(jsonb, jsonb) bool", contains)
	add("jsonb_exists(jsonb, text) bool", func(_ *Call, a []any) (any, error) { return jsonbOf(a[0]).Exists(a[1].(string)), nil })
	add("to_jsonb(anyelement) jsonb", func(c *Call, a []any) (any, error) { return jsonbCell(ToJSON(c, c.typeOf(0), a[0])) })
	add("lax jsonb_build_array(...any) jsonb", buildArray)
	add("lax jsonb_build_object(...any) jsonb", buildObject)
	add("lax json_build_object(...any) json", buildText)
	add("jsonb_object(text[]) jsonb", func(_ *Call, a []any) (any, error) {
		list := arrayOf(Text, a[0])
		if len(list.lengths) > 2 || len(list.lengths) == 2 && list.lengths[1] != 2 {
			if len(list.lengths) == 2 {
				return nil, sqlstate.New(sqlstate.ArraySubscript, "array must have two columns")
			}
			return nil, sqlstate.New(sqlstate.ArraySubscript, "wrong number of array subscripts")
		}
		if len(list.items)%2 != 0 {
			return nil, sqlstate.New(sqlstate.ArraySubscript, "array must have even number of elements")
		}
		var members []jsonb.Member
		for i := 0; i < len(list.items); i += 2 {
			if list.items[i] == nil {
				return nil, sqlstate.New(sqlstate.NullNotAllowed, "null value not allowed for object key")
			}
			v := jsonb.Value{}
			if s, ok := list.items[i+1].(string); ok {
				v = jsonb.Value{Kind: jsonb.String, Text: s}
			}
			members = append(members, jsonb.Member{Key: list.items[i].(string), Value: v})
		}
		return jsonb.NewObject(members).String(), nil
	})
	return all
}

// Elements are the rows of jsonb_array_elements, as cells of jsonb.
func Elements(cell string) ([]any, error) {
	v := jsonbOf(cell)
	switch {
	case v.Kind == jsonb.Object:
		return nil, sqlstate.New(sqlstate.BadParameter, "cannot extract elements from an object")
	case v.Kind != jsonb.Array:
		return nil, sqlstate.New(sqlstate.BadParameter, "cannot extract elements from a scalar")
	}
	out := make([]any, len(v.Items))
	for i, e := range v.Items {
		out[i] = e.String()
	}
	return out, nil
}

// Pairs are the rows of jsonb_each: keys, and values as cells of jsonb.
func Pairs(cell string) (keys []string, values []any, err error) {
	v := jsonbOf(cell)
	if v.Kind != jsonb.Object {
		return nil, nil, sqlstate.New(sqlstate.BadParameter, "cannot call %s on a non-object", "jsonb_each")
	}
	for _, m := range v.Members {
		keys, values = append(keys, m.Key), append(values, m.Value.String())
	}
	return keys, values, nil
}
