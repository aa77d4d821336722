package document

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
)

// A builder makes SQL with parameters.
type builder struct {
	parameters []any
	terms      int
}

func (b *builder) parameter(v any, typ string) string {
	b.parameters = append(b.parameters, v)
	return "$" + strconv.Itoa(len(b.parameters)) + "::" + typ
}

func (b *builder) text(s string) string            { return b.parameter(s, "text") }
func (b *builder) json(raw json.RawMessage) string { return b.parameter(string(raw), "jsonb") }

// path reads the path of a field: keys divided by points. A key that is a number is a place where there is an array. Before a point that
// is part of a key, and before a backslash, stands a backslash.
func path(s string) (keys []string, err error) {
	var key strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			key.WriteByte(s[i])
		case c == '.':
			keys = append(keys, key.String())
			key.Reset()
		default:
			key.WriteByte(c)
		}
	}
	keys = append(keys, key.String())
	if len(keys) > maxNested || slices.Contains(keys, "") || strings.ContainsRune(s, 0) {
		return nil, mesh.Errorf(mesh.Invalid, "%.80q is no path of a field: 1 to %d keys divided by points", s, maxNested)
	}
	return keys, nil
}

// array is a path as PostgreSQL writes it, as a literal: only so do indexes match.
func array(keys []string) string {
	quoted := make([]string, len(keys))
	for i, k := range keys {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(k) + `"`
	}
	return "'" + strings.ReplaceAll("{"+strings.Join(quoted, ",")+"}", "'", "''") + "'"
}

// field is the value of a field, NULL where there is none.
func field(p string) (string, error) {
	keys, err := path(p)
	if err != nil {
		return "", err
	}
	return "(doc #> " + array(keys) + ")", nil
}

// filter makes a condition of a filter. It is an object:
//
//	{"field": value}               the field has this value; null: or there is none
//	{"field": {"$gt": value, ...}} all of $eq, $ne, $gt, $gte, $lt, $lte (of values of one type), $in, $nin, $exists, $type, $contains,
//	                               $size, $like, $text, $not
//	{"$and": [...], "$or": [...], "$nor": [...]}
func (b *builder) filter(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "true", nil
	}
	return b.object(raw, 0)
}

func (b *builder) object(raw json.RawMessage, depth int) (string, error) {
	names, values, err := keys(raw, "the filter")
	if err != nil {
		return "", err
	}
	if depth > maxNested {
		return "", mesh.Errorf(mesh.Exhausted, "a filter more than %d deep", maxNested)
	}
	var all []string
	for i, name := range names {
		term := ""
		switch {
		case name == "$and" || name == "$or" || name == "$nor":
			term, err = b.list(name, values[i], depth)
		case strings.HasPrefix(name, "$"):
			err = mesh.Errorf(mesh.Invalid, "the filter has %.40q, which is not known: $and, $or, $nor, or a field", name)
		case name == idField:
			term, err = b.id(values[i], depth)
		default:
			var f string
			if f, err = field(name); err == nil {
				term, err = b.field(f, name, values[i], depth)
			}
		}
		if err != nil {
			return "", err
		}
		all = append(all, term)
	}
	if len(all) == 0 {
		return "true", nil
	}
	return "(" + strings.Join(all, " AND ") + ")", nil
}

func (b *builder) list(name string, raw json.RawMessage, depth int) (string, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		return "", mesh.Errorf(mesh.Invalid, "%s wants a list of filters, and %.60s is none", name, raw)
	}
	var terms []string
	for _, f := range all {
		t, err := b.object(f, depth+1)
		if err != nil {
			return "", err
		}
		terms = append(terms, t)
	}
	switch name {
	case "$and":
		return "(" + strings.Join(terms, " AND ") + ")", nil
	case "$or":
		return "(" + strings.Join(terms, " OR ") + ")", nil
	}
	return "NOT coalesce(" + strings.Join(terms, " OR ") + ", false)", nil
}

// id is a condition of the document's id, by its own column where that is its value.
func (b *builder) id(raw json.RawMessage, depth int) (string, error) {
	id := ""
	if json.Unmarshal(raw, &id) == nil && raw[0] == '"' {
		return idField + " = " + b.text(id), b.term()
	}
	f, err := field(idField)
	if err != nil {
		return "", err
	}
	return b.field(f, idField, raw, depth)
}

func (b *builder) term() error {
	if b.terms++; b.terms > maxTerms {
		return mesh.Errorf(mesh.Exhausted, "more than %d conditions or changes", maxTerms)
	}
	return nil
}

// field is the condition of one field: a value, or an object of operators.
func (b *builder) field(f, name string, raw json.RawMessage, depth int) (string, error) {
	if err := b.term(); err != nil {
		return "", err
	}
	if raw[0] == '{' {
		ops, values, err := keys(raw, "the filter of "+name)
		if err != nil {
			return "", err
		}
		if len(ops) > 0 && strings.HasPrefix(ops[0], "$") {
			if depth > maxNested {
				return "", mesh.Errorf(mesh.Exhausted, "a filter more than %d deep", maxNested)
			}
			var all []string
			for i, op := range ops {
				t, err := b.operator(f, name, op, values[i], depth)
				if err != nil {
					return "", err
				}
				all = append(all, t)
			}
			return "(" + strings.Join(all, " AND ") + ")", nil
		}
	}
	return b.equal(f, raw), nil
}

// equal holds where a field has a value; null also where there is no field.
func (b *builder) equal(f string, raw json.RawMessage) string {
	if raw[0] == 'n' {
		return "(" + f + " IS NULL OR " + f + " = 'null'::jsonb)"
	}
	return f + " = " + b.json(raw)
}

// typeOf is what jsonb_typeof calls a value.
func typeOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

var comparisons = map[string]string{"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

var typeNames = []string{"object", "array", "string", "number", "boolean", "null"}

func (b *builder) operator(f, name, op string, raw json.RawMessage, depth int) (string, error) {
	if err := b.term(); err != nil {
		return "", err
	}
	wants := func(what string) error {
		return mesh.Errorf(mesh.Invalid, "%s of %.60q wants %s, and %.60s is none", op, name, what, raw)
	}
	switch op {
	case "$eq":
		return b.equal(f, raw), nil
	case "$ne":
		return "NOT coalesce(" + b.equal(f, raw) + ", false)", nil
	case "$gt", "$gte", "$lt", "$lte":
		return "(" + f + " " + comparisons[op] + " " + b.json(raw) + " AND jsonb_typeof(" + f + ") = '" + typeOf(raw) + "')", nil
	case "$in", "$nin":
		var all []json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil || raw[0] != '[' {
			return "", wants("a list of values")
		}
		var terms []string
		for _, v := range all {
			if err := b.term(); err != nil {
				return "", err
			}
			terms = append(terms, b.equal(f, v))
		}
		some := "false"
		if len(terms) > 0 {
			some = strings.Join(terms, " OR ")
		}
		if op == "$in" {
			return "(" + some + ")", nil
		}
		return "NOT coalesce(" + some + ", false)", nil
	case "$exists":
		exists := false
		if err := json.Unmarshal(raw, &exists); err != nil || raw[0] == 'n' {
			return "", wants("true or false")
		}
		if exists {
			return f + " IS NOT NULL", nil
		}
		return f + " IS NULL", nil
	case "$type":
		typ := ""
		if err := json.Unmarshal(raw, &typ); err != nil || !slices.Contains(typeNames, typ) {
			return "", wants("one of " + strings.Join(typeNames, ", "))
		}
		return "jsonb_typeof(" + f + ") = '" + typ + "'", nil
	case "$contains":
		return "(jsonb_typeof(" + f + ") = 'array' AND EXISTS (SELECT 1 FROM jsonb_array_elements(CASE jsonb_typeof(" + f + ") WHEN 'array' THEN " + f + " END) AS e(v) WHERE e.v = " + b.json(raw) + "))", nil
	case "$size":
		n := 0
		if err := json.Unmarshal(raw, &n); err != nil || n < 0 || raw[0] == 'n' {
			return "", wants("a length")
		}
		return fmt.Sprintf("CASE jsonb_typeof(%s) WHEN 'array' THEN jsonb_array_length(%s) = %d ELSE false END", f, f, n), nil
	case "$like":
		pattern := ""
		if err := json.Unmarshal(raw, &pattern); err != nil || raw[0] != '"' {
			return "", wants("a pattern as LIKE has it")
		}
		return "(jsonb_typeof(" + f + ") = 'string' AND (" + f + " #>> '{}') LIKE " + b.text(pattern) + ")", nil
	case "$text":
		vector, query, err := b.search(f, name, raw)
		return vector + " @@ " + query, err
	case "$not":
		if raw[0] != '{' {
			return "", wants("an object of operators")
		}
		t, err := b.field(f, name, raw, depth+1)
		return "NOT coalesce(" + t + ", false)", err
	}
	return "", mesh.Errorf(mesh.Invalid, "%.40q of %.60q is no operator: $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $type, $contains, $size, $like, $text, $not", op, name)
}
