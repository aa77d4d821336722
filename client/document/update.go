package document

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// An Update says how documents change. Change is an object of operators, each of which is an object of fields:
//
//	$set, $unset      give a field a value, and the objects on its way; remove it
//	$setOnInsert      $set, of a document that is made
//	$inc, $mul        add a number, multiply by one; a field that is not there is 0
//	$min, $max        $set where the value is less, or greater, or there is none
//	$push, $addToSet  append a value to a list, if it is not there already; a field that is not there is an empty list
//	$pull             remove a value from a list, each time it is there
//	$rename           give a field another name
//
// They happen in this order, and within one in the order of its fields. An object without operators takes the document's place.
type Update struct {
	Filter json.RawMessage
	Change json.RawMessage
	Many   bool // all that match; else the one of them whose id is least
	Upsert bool // make a document if none matches: of what the filter says that fields are, and the change
}

// Updated is what an update did.
type Updated struct {
	Matched  uint64 `json:"matched"`
	Inserted string `json:"inserted,omitempty"` // the id of the document that was made
}

// operators in the order in which they happen.
var operators = []string{"$set", "$setOnInsert", "$inc", "$mul", "$min", "$max", "$push", "$addToSet", "$pull", "$rename", "$unset"}

// A change is one field's.
type change struct {
	op    string
	field string
	path  []string
	value json.RawMessage
}

// changes reads what shall change; replace is the document that takes its place instead.
func changes(raw json.RawMessage) (all []change, replace json.RawMessage, err error) {
	ops, fields, err := keys(raw, "the change")
	if err != nil {
		return nil, nil, err
	}
	operates := func(s string) bool { return strings.HasPrefix(s, "$") }
	if !slices.ContainsFunc(ops, operates) {
		return nil, raw, nil
	}
	for i, op := range ops {
		if !slices.Contains(operators, op) {
			return nil, nil, mesh.Errorf(mesh.Invalid, "the change has %.40q: want %s, or no operator at all", op, strings.Join(operators, ", "))
		}
		names, values, err := keys(fields[i], op)
		if err != nil {
			return nil, nil, err
		}
		for j, name := range names {
			p, err := path(name)
			if err != nil {
				return nil, nil, err
			}
			if p[0] == idField {
				return nil, nil, mesh.Errorf(mesh.Invalid, "%s of a document never changes", idField)
			}
			all = append(all, change{op, name, p, values[j]})
		}
	}
	if len(all) > maxTerms {
		return nil, nil, mesh.Errorf(mesh.Exhausted, "%d changes, at most %d", len(all), maxTerms)
	}
	slices.SortStableFunc(all, func(x, y change) int { return slices.Index(operators, x.op) - slices.Index(operators, y.op) })
	return all, nil, nil
}

// chain makes an expression of changes of a document that another expression is. Each change is a subquery of the next, so that the
// whole is as long as they are together.
func (b *builder) chain(doc string, all []change, insert bool) (string, error) {
	if len(all) == 0 {
		return doc, nil
	}
	from := doc
	for _, c := range all {
		if c.op == "$setOnInsert" && !insert {
			continue
		}
		steps, err := b.change(c)
		if err != nil {
			return "", err
		}
		for _, s := range steps {
			from = "(SELECT " + s + " FROM (SELECT " + from + ") AS x(d))"
		}
	}
	return from, nil
}

// change makes expressions of d, one after the other.
func (b *builder) change(c change) ([]string, error) {
	at := array(c.path)
	old := "d #> " + at
	wants := func(what string) error {
		return mesh.Errorf(mesh.Invalid, "%s of %.60q wants %s, and %.60s is none", c.op, c.field, what, c.value)
	}
	set := func(value string) []string {
		var steps []string
		for n := 1; n < len(c.path); n++ { // jsonb_set makes no objects on its way
			p := array(c.path[:n])
			steps = append(steps, "CASE WHEN d #> "+p+" IS NULL THEN jsonb_set(d, "+p+", '{}') ELSE d END")
		}
		return append(steps, "jsonb_set(d, "+at+", "+value+")")
	}
	// A field that is none of what the operator wants fails where it becomes a number, with these words. They are no constant, which would
	// fail in any case.
	notA := func(what string) string {
		return "(jsonb_typeof(" + old + ") || ' at " + strings.ReplaceAll(c.field, "'", "''") + " is no " + what + "')"
	}
	number := "(CASE WHEN " + old + " IS NULL THEN '0' WHEN jsonb_typeof(" + old + ") = 'number' THEN d #>> " + at + " ELSE " + notA("number") + " END)::numeric"
	list := "(CASE WHEN " + old + " IS NULL THEN '[]'::jsonb WHEN jsonb_typeof(" + old + ") = 'array' THEN " + old + " ELSE " + notA("list") + "::numeric::text::jsonb END)"
	switch c.op {
	case "$set", "$setOnInsert":
		return set(b.json(c.value)), nil
	case "$unset":
		return []string{"d #- " + at}, nil
	case "$inc", "$mul":
		if typeOf(c.value) != "number" {
			return nil, wants("a number")
		}
		sign := map[string]string{"$inc": "+", "$mul": "*"}[c.op]
		return set("to_jsonb(" + number + " " + sign + " " + b.parameter(string(c.value), "numeric") + ")"), nil
	case "$min", "$max":
		sign := map[string]string{"$min": "<", "$max": ">"}[c.op]
		v := b.json(c.value)
		return set("CASE WHEN " + old + " IS NULL OR " + v + " " + sign + " " + old + " THEN " + v + " ELSE " + old + " END"), nil
	case "$push":
		return set(list + " || jsonb_build_array(" + b.json(c.value) + ")"), nil
	case "$addToSet":
		v := b.json(c.value)
		return set("CASE WHEN EXISTS (SELECT 1 FROM jsonb_array_elements(" + list + ") AS e(v) WHERE e.v = " + v + ") THEN " + list + " ELSE " + list + " || jsonb_build_array(" + v + ") END"), nil
	case "$pull":
		return []string{"CASE WHEN " + old + " IS NULL THEN d ELSE jsonb_set(d, " + at + ", coalesce((SELECT jsonb_agg(e.v) FROM jsonb_array_elements(" + list + ") AS e(v) WHERE e.v <> " + b.json(c.value) + "), '[]')) END"}, nil
	}
	to := ""
	if err := json.Unmarshal(c.value, &to); err != nil || to == "" {
		return nil, wants("the new name of the field")
	}
	p, err := path(to)
	if err != nil {
		return nil, err
	}
	if p[0] == idField {
		return nil, mesh.Errorf(mesh.Invalid, "%s of a document never changes", idField)
	}
	if len(p) > 1 {
		return nil, mesh.Errorf(mesh.Invalid, "$rename of %.60q is to a field of the first level", c.field)
	}
	return []string{"CASE WHEN " + old + " IS NULL THEN d ELSE jsonb_set(d #- " + at + ", " + array(p) + ", " + old + ") END"}, nil
}

// Update changes documents. It happens as a whole: of two updates at once, one is after the other.
func (c *Collection) Update(ctx context.Context, u Update) (Updated, error) {
	all, replace, err := changes(u.Change)
	if err != nil {
		return Updated{}, err
	}
	if replace != nil && u.Many {
		return Updated{}, mesh.Errorf(mesh.Invalid, "a document takes the place of one, not of many")
	}
	update, err := c.update(u, all, replace)
	if err != nil {
		return Updated{}, err
	}
	var insert database.Statement
	id := ""
	if u.Upsert {
		if insert, id, err = c.inserted(u, all, replace); err != nil {
			return Updated{}, err
		}
	}
	o, err := c.run(ctx, u.Upsert, update)
	switch {
	case missing(err):
		return Updated{}, nil
	case err != nil:
		return Updated{}, err
	case !u.Upsert || o.Results[0].Changed > 0:
		return Updated{Matched: o.Results[0].Changed}, nil
	}
	for range upsertTries {
		n, err := c.upsert(ctx, update, insert)
		var failed *database.Error
		switch {
		case errors.As(err, &failed) && failed.Code == "40001": // somebody has made or changed one meanwhile
			continue
		case err != nil:
			return Updated{}, err
		case n > 0:
			return Updated{Matched: n}, nil
		}
		return Updated{Inserted: id}, nil
	}
	return Updated{}, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "others change the same documents all the time"), "try again")
}

// upsertTries is how often an upsert begins anew because somebody was faster.
const upsertTries = 20

// upsert updates, or inserts when nothing was there to update, in one transaction.
func (c *Collection) upsert(ctx context.Context, update, insert database.Statement) (matched uint64, err error) {
	tx := c.db.Begin()
	r, err := tx.Exec(ctx, database.Default, update)
	if err != nil {
		return 0, err
	}
	if r.Changed == 0 {
		if _, err := tx.Exec(ctx, database.Default, insert); err != nil {
			return 0, err
		}
	}
	return r.Changed, tx.Commit(ctx)
}

func (c *Collection) update(u Update, all []change, replace json.RawMessage) (s database.Statement, err error) {
	b := new(builder)
	doc := "jsonb_set(" + b.json(replace) + ", '{" + idField + "}', doc -> '" + idField + "')"
	if replace == nil {
		b.parameters = nil
		if doc, err = b.chain("doc", all, false); err != nil {
			return s, err
		}
	} else if own, err := idOf(replace); err != nil {
		return s, err
	} else if own != "" { // it takes the place of no other
		doc = "CASE WHEN " + idField + " = " + b.text(own) + " THEN " + doc + " END"
	}
	where, err := b.where(c, u.Filter, u.Many)
	return database.SQL("UPDATE "+c.table()+" SET doc = "+doc+" WHERE "+where, b.parameters...), err
}

// inserted makes the document of an upsert.
func (c *Collection) inserted(u Update, all []change, replace json.RawMessage) (s database.Statement, id string, err error) {
	base := map[string]json.RawMessage{}
	if err := equalities(u.Filter, base, 0); err != nil {
		return s, "", err
	}
	from := replace
	if from == nil {
		if from, err = nested(base); err != nil {
			return s, "", err
		}
	}
	given := ""
	if raw, ok := base[idField]; ok {
		if given, err = idOf(json.RawMessage(`{"` + idField + `":` + string(raw) + `}`)); err != nil {
			return s, "", err
		}
	}
	doc, id, err := object(from, given)
	if err != nil {
		return s, "", err
	}
	b := new(builder)
	start := b.json(doc)
	expr, err := b.chain(start, all, true)
	if err != nil {
		return s, "", err
	}
	return database.SQL("INSERT INTO "+c.table()+" ("+idField+", doc) SELECT "+b.text(id)+", "+expr, b.parameters...), id, nil
}

// idOf is a document's own id, if it has one.
func idOf(doc json.RawMessage) (string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(doc, &m); err != nil {
		return "", mesh.Errorf(mesh.Invalid, "%.60s is no JSON object", doc)
	}
	if _, ok := m[idField]; !ok {
		return "", nil
	}
	_, id, err := object(doc, "")
	return id, err
}

// equalities collects what a filter says that fields are.
func equalities(filter json.RawMessage, into map[string]json.RawMessage, depth int) error {
	if len(filter) == 0 {
		return nil
	}
	names, values, err := keys(filter, "the filter")
	if err != nil || depth > maxNested {
		return err // which is refused where it becomes a condition
	}
	for i, name := range names {
		v := values[i]
		switch {
		case name == "$and":
			var all []json.RawMessage
			if err := json.Unmarshal(v, &all); err != nil {
				return mesh.Errorf(mesh.Invalid, "$and wants a list of filters")
			}
			for _, f := range all {
				if err := equalities(f, into, depth+1); err != nil {
					return err
				}
			}
		case strings.HasPrefix(name, "$"):
		case v[0] == '{':
			ops, values, err := keys(v, "the filter of "+name)
			if err != nil {
				return err
			}
			if len(ops) > 0 && strings.HasPrefix(ops[0], "$") {
				if at := slices.Index(ops, "$eq"); at >= 0 {
					into[name] = values[at]
				}
				continue
			}
			into[name] = v
		default:
			into[name] = v
		}
	}
	return nil
}

// nested makes an object of values by their paths.
func nested(fields map[string]json.RawMessage) (json.RawMessage, error) {
	root := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		keys, err := path(name)
		if err != nil {
			return nil, err
		}
		at := root
		for _, k := range keys[:len(keys)-1] {
			next, ok := at[k].(map[string]any)
			if _, taken := at[k]; taken && !ok {
				return nil, mesh.Errorf(mesh.Invalid, "the filter says of %.60q what is no object", k)
			} else if !ok {
				next = map[string]any{}
				at[k] = next
			}
			at = next
		}
		if _, taken := at[keys[len(keys)-1]]; taken {
			return nil, mesh.Errorf(mesh.Invalid, "the filter says of %.60q more than one thing", name)
		}
		at[keys[len(keys)-1]] = fields[name]
	}
	b, err := json.Marshal(root)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "the document of an upsert: %w", err)
	}
	return b, nil
}
