package postgres

import (
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// A catalogFunction is one of PostgreSQL's that asks the catalog. A NULL in gives a NULL out.
type catalogFunction struct {
	candidate
	do func(s *session, a []any) (any, error)
}

func ask(name, args, result string, do func(s *session, a []any) (any, error)) catalogFunction {
	f := catalogFunction{candidate: candidate{name: name, special: "catalog", stable: true}, do: do}
	for _, n := range append(strings.Fields(args), result) {
		t, ok := postgres.TypeNamed(n)
		if !ok {
			panic("no type " + n)
		}
		f.args = append(f.args, t.OID)
	}
	n := len(f.args) - 1
	f.args, f.result = f.args[:n], f.args[n]
	return f
}

func asked(o any) uint32 { return uint32(o.(int64)) }

// pretty tells whether the argument that asks for fewer parentheses is there and true.
func pretty(a []any) bool { return len(a) > 1 && a[len(a)-1] == int64(1) }

func nothing(*session, []any) (any, error) { return nil, nil }

func always(*session, []any) (any, error) { return boolean(true), nil }

// What a relation's constraints, indexes, views and defaults are as SQL is text that was kept; see definition.go.
var catalogFunctions = []catalogFunction{
	ask("pg_get_userbyid", "oid", "name", func(s *session, a []any) (any, error) { return s.cat.head.roleName(a[0].(int64)), nil }),
	ask("pg_get_expr", "text oid", "text", func(_ *session, a []any) (any, error) { return a[0], nil }),
	ask("pg_get_expr", "text oid bool", "text", func(_ *session, a []any) (any, error) { return unwrapped(a[0].(string), a[2] == int64(1)), nil }),
	ask("pg_get_constraintdef", "oid", "text", constraintDefinition),
	ask("pg_get_constraintdef", "oid bool", "text", constraintDefinition),
	ask("pg_get_indexdef", "oid", "text", indexDefinition),
	ask("pg_get_indexdef", "oid int4 bool", "text", indexDefinition),
	ask("pg_get_viewdef", "oid", "text", viewDefinition),
	ask("pg_get_viewdef", "oid bool", "text", viewDefinition),
	ask("pg_get_viewdef", "oid int4", "text", viewDefinition),
	ask("pg_get_triggerdef", "oid", "text", nothing), // there are none of these
	ask("pg_get_triggerdef", "oid bool", "text", nothing),
	ask("pg_get_statisticsobjdef_columns", "oid", "text", nothing),
	ask("pg_get_function_result", "oid", "text", nothing),
	ask("pg_get_function_arguments", "oid", "text", nothing),
	ask("pg_get_function_identity_arguments", "oid", "text", nothing),
	ask("pg_get_partkeydef", "oid", "text", nothing),
	ask("pg_function_is_visible", "oid", "bool", nothing),
	ask("pg_type_is_visible", "oid", "bool", func(_ *session, a []any) (any, error) {
		if typeOf(oid(a[0].(int64))).OID == 0 {
			return nil, nil
		}
		return boolean(true), nil
	}),
	ask("pg_relation_is_publishable", "regclass", "bool", func(s *session, a []any) (any, error) {
		r := s.relation(asked(a[0]))
		if r == nil {
			return nil, nil
		}
		return boolean(r.Kind == "r"), nil
	}),
	ask("pg_get_serial_sequence", "text text", "text", serialSequence),
	ask("pg_encoding_to_char", "int4", "name", func(_ *session, a []any) (any, error) {
		if a[0] == int64(utf8Encoding) {
			return "UTF8", nil
		}
		return nil, refuse("the name of encoding %d", a[0])
	}),
	ask("current_schemas", "bool", "_name", func(_ *session, a []any) (any, error) {
		if a[0] == int64(1) {
			return "{" + catalogSchema + "," + publicSchema + "}", nil
		}
		return "{" + publicSchema + "}", nil
	}),
	ask("to_regclass", "text", "regclass", func(s *session, a []any) (any, error) {
		if _, err := strconv.ParseUint(a[0].(string), 10, 32); err == nil {
			return nil, refuse("to_regclass of a number")
		}
		v, err := s.input(&postgres.Call{}, postgres.Regclass, a[0].(string))
		if err != nil && toError(err).Code == "42P01" {
			return nil, nil
		}
		return v, err
	}),
	ask("obj_description", "oid name", "text", func(s *session, a []any) (any, error) {
		class, ok := systemRelations[a[1].(string)]
		if !ok {
			return nil, nil
		}
		for _, d := range s.cat.descriptions() {
			if d.object == asked(a[0]) && d.class == class && d.column == 0 {
				return d.text, nil
			}
		}
		return nil, nil
	}),
	ask("shobj_description", "oid name", "text", nothing),
}

// utf8Encoding is PostgreSQL's number of it.
const utf8Encoding = 6

// systemRelations are the OIDs by which other relations refer to those of the system.
var systemRelations = map[string]int64{"pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_class": 1259, "pg_authid": 1260, "pg_database": 1262, "pg_am": 2601, "pg_attrdef": 2604,
	"pg_constraint": 2606, "pg_depend": 2608, "pg_description": 2609, "pg_index": 2610, "pg_namespace": 2615, "pg_trigger": 2620, "pg_publication": 6104, "pg_publication_rel": 6106}

// Roles that are always there: one that owns all, and one that PostgreSQL makes the owner of public.
const (
	ownerName       = "postgres"
	databaseOwner   = int64(6171)
	databaseOwnerAs = "pg_database_owner"
)

func roleName(o int64) string {
	switch o {
	case typeOwner:
		return ownerName
	case databaseOwner:
		return databaseOwnerAs
	}
	return "unknown (OID=" + strconv.FormatInt(o, 10) + ")"
}

// namespaceOID finds a schema by name.
func (c *catalog) namespaceOID(name string) (int64, bool) {
	switch name {
	case catalogSchema:
		return catalogOID, true
	case informationSchema:
		return informationOID, true
	}
	n := c.namespace(name)
	return int64(n), n != 0
}

// regText is the text of a regclass, regtype or regnamespace.
func (s *session) regText(t oid, v any) any {
	if v == nil {
		return nil
	}
	n := v.(int64)
	switch {
	case n == 0:
		return "-"
	case t == postgres.Regclass:
		if r := s.relation(uint32(n)); r != nil {
			return shownName(r)
		}
		for name, o := range systemRelations { // each has an OID of its own
			if o == n {
				return name
			}
		}
	case t == postgres.Regnamespace && s.cat != nil:
		switch n {
		case catalogOID:
			return catalogSchema
		case informationOID:
			return informationSchema
		}
		for _, x := range s.cat.head.Schemas {
			if int64(x.OID) == n {
				return quoteIdent(x.Name)
			}
		}
	case t == postgres.Regtype:
		if typeOf(oid(n)).OID != 0 {
			return typeName(oid(n))
		}
	}
	return strconv.FormatInt(n, 10)
}

// shownName is a relation's name with its schema unless that is in the path.
func shownName(r *relation) string {
	if r.Schema == publicSchema {
		return quoteIdent(r.Name)
	}
	return quoteIdent(r.Schema) + "." + quoteIdent(r.Name)
}

func serialSequence(s *session, a []any) (any, error) {
	parts, err := splitIdentifier(a[0].(string))
	if err != nil {
		return nil, err
	}
	r, err := s.relationNamed(parts)
	if err != nil {
		return nil, err
	}
	col := r.columnNamed(a[1].(string))
	if col == nil {
		return nil, fail("42703", "column \"%s\" of relation \"%s\" does not exist", a[1], r.Name)
	}
	q := s.relation(s.cat.ownedSequence(r, col))
	if q == nil {
		return nil, nil
	}
	return quoteIdent(q.Schema) + "." + quoteIdent(q.Name), nil
}

// ownedSequence is the sequence that belongs to a column, 0 if there is none.
func (c *catalog) ownedSequence(r *relation, col *column) uint32 {
	for _, q := range c.all() {
		if q.Sequence != nil && q.Sequence.OwnerTable == r.OID && q.Sequence.OwnerColumn == col.Number {
			return q.OID
		}
	}
	return 0
}

// A description is a row of pg_description.
type description struct {
	object uint32
	class  int64
	column int
	text   string
}

// descriptions are all comments.
func (c *catalog) descriptions() (list []description) {
	add := func(object uint32, class string, column int, text string) {
		if text != "" {
			list = append(list, description{object, systemRelations[class], column, text})
		}
	}
	for _, n := range c.head.Schemas {
		add(n.OID, "pg_namespace", 0, n.Comment)
	}
	for _, p := range c.head.Publications {
		add(p.OID, "pg_publication", 0, p.Comment)
	}
	for _, r := range c.all() {
		add(r.OID, "pg_class", 0, r.Comment)
		for _, col := range r.live() {
			add(r.OID, "pg_class", col.Number, col.Comment)
		}
		for _, k := range r.Constraints {
			add(k.OID, "pg_constraint", 0, k.Comment)
		}
	}
	return list
}
