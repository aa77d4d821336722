// Package postgres is what PostgreSQL 15 means by its values: types and their texts, operators, functions, casts and
// aggregates, with its results, its rounding and its errors. Replicas of a database compute with it when they compile
// Postgres' SQL for SQLite, and gateways read and write values on the wire with it. It knows no SQL: which function a
// statement means is for the compiler to find in the tables here. See DESIGN.md.
//
// A value of any type is a cell: nil, int64, float64, string or []byte, chosen so that SQLite compares, sorts and groups it as
// PostgreSQL would, by a collation where that is named. Functions take cells of the types that they declare, and no others; a
// cell that no function here made is a programmer's mistake, and panics.
//
// Everything is deterministic on every machine, and depends on nothing but its arguments and the Call.
//
// The package is larger than others because its tables are one list that is searched by name and types; what has a meaning of its
// own lies in the packages below it.
package postgres

import (
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// Error is an SQLSTATE with PostgreSQL's text.
type Error = sqlstate.Error

// An OID names a type, by PostgreSQL's number.
type OID uint32

// The types.
const (
	Bool         OID = 16
	Bytea        OID = 17
	Char         OID = 18 // "char", of one byte
	Name         OID = 19
	Int8         OID = 20
	Int2         OID = 21
	Int2Vector   OID = 22
	Int4         OID = 23
	Regproc      OID = 24
	Text         OID = 25
	OIDType      OID = 26
	JSON         OID = 114
	Float4       OID = 700
	Float8       OID = 701
	Unknown      OID = 705
	Bpchar       OID = 1042
	Varchar      OID = 1043
	Date         OID = 1082
	Time         OID = 1083
	Timestamp    OID = 1114
	TimestampTZ  OID = 1184
	Interval     OID = 1186
	TimeTZ       OID = 1266
	Numeric      OID = 1700
	Regclass     OID = 2205
	Regtype      OID = 2206
	Record       OID = 2249
	AnyType      OID = 2276 // "any"
	AnyArray     OID = 2277
	Void         OID = 2278
	AnyElement   OID = 2283
	UUID         OID = 2950
	TSVector     OID = 3614
	TSQuery      OID = 3615
	Regconfig    OID = 3734
	JSONB        OID = 3802
	Regnamespace OID = 4089

	AnyCompatible      OID = 5077
	AnyCompatibleArray OID = 5078
)

// ArrayOf returns the type of arrays of elements of a type, 0 if there is none.
func ArrayOf(elem OID) OID {
	if t, ok := types[elem]; ok {
		return t.Array
	}
	return 0
}

// Storage is the kind of cell that a type's values have.
type Storage string

// SQLite's kinds. A column is declared without affinity (ANY in a STRICT table), so that what is put in comes out.
const (
	Integer Storage = "INTEGER"
	Real    Storage = "REAL" // NaN is the text NaN, which SQLite orders after all numbers, as PostgreSQL does
	Texts   Storage = "TEXT"
	Blob    Storage = "BLOB"
)

// A Type is one of PostgreSQL's types.
type Type struct {
	OID       OID
	Name      string // as format_type tells it
	Internal  string // as pg_type has it
	Array     OID    // the type of its arrays, or 0
	Elem      OID    // of an array, its elements
	Length    int16  // pg_type.typlen: bytes, -1 for any number of them
	Category  byte   // pg_type.typcategory
	Preferred bool   // whether it is preferred in its category
	Storage   Storage
	Collation string // SQLite's, when bytes do not order it; empty is BINARY
}

// Names of the collations that Collations has; RTRIM is SQLite's own.
const (
	collNumeric  = "pg_numeric"
	collInterval = "pg_interval"
	collJSONB    = "pg_jsonb"
	collRTrim    = "RTRIM"
	collTSVector = "pg_tsvector"
	collTSQuery  = "pg_tsquery"
)

var scalars = []Type{
	{Bool, "boolean", "bool", 1000, 0, 1, 'B', true, Integer, ""},
	{Bytea, "bytea", "bytea", 1001, 0, -1, 'U', false, Blob, ""},
	{Char, "\"char\"", "char", 1002, 0, 1, 'Z', false, Texts, ""},
	{Name, "name", "name", 1003, 0, 64, 'S', false, Texts, ""},
	{Int8, "bigint", "int8", 1016, 0, 8, 'N', false, Integer, ""},
	{Int2, "smallint", "int2", 1005, 0, 2, 'N', false, Integer, ""},
	{Int2Vector, "int2vector", "int2vector", 1006, Int2, -1, 'A', false, Texts, "pg_array_int2"}, // an array whose items have numbers from 0, and another text
	{Int4, "integer", "int4", 1007, 0, 4, 'N', false, Integer, ""},
	{Regproc, "regproc", "regproc", 1008, 0, 4, 'N', false, Integer, ""},
	{Text, "text", "text", 1009, 0, -1, 'S', true, Texts, ""},
	{OIDType, "oid", "oid", 1028, 0, 4, 'N', true, Integer, ""},
	{JSON, "json", "json", 199, 0, -1, 'U', false, Texts, ""},
	{Float4, "real", "float4", 1021, 0, 4, 'N', false, Real, ""},
	{Float8, "double precision", "float8", 1022, 0, 8, 'N', true, Real, ""},
	{Unknown, "unknown", "unknown", 0, 0, -2, 'X', false, Texts, ""},
	{Bpchar, "character", "bpchar", 1014, 0, -1, 'S', false, Texts, collRTrim},
	{Varchar, "character varying", "varchar", 1015, 0, -1, 'S', false, Texts, ""},
	{Date, "date", "date", 1182, 0, 4, 'D', false, Integer, ""},
	{Time, "time without time zone", "time", 1183, 0, 8, 'D', false, Integer, ""},
	{Timestamp, "timestamp without time zone", "timestamp", 1115, 0, 8, 'D', false, Integer, ""},
	{TimestampTZ, "timestamp with time zone", "timestamptz", 1185, 0, 8, 'D', true, Integer, ""},
	{Interval, "interval", "interval", 1187, 0, 16, 'T', true, Texts, collInterval},
	{TimeTZ, "time with time zone", "timetz", 1270, 0, 12, 'D', false, Blob, ""},
	{Numeric, "numeric", "numeric", 1231, 0, -1, 'N', false, Texts, collNumeric},
	{Regclass, "regclass", "regclass", 2210, 0, 4, 'N', false, Integer, ""},
	{Regtype, "regtype", "regtype", 2211, 0, 4, 'N', false, Integer, ""},
	{Record, "record", "record", 2287, 0, -1, 'P', false, Texts, ""},
	{AnyType, "\"any\"", "any", 0, 0, 4, 'P', false, Texts, ""},
	{AnyArray, "anyarray", "anyarray", 0, 0, -1, 'P', false, Texts, ""},
	{Void, "void", "void", 0, 0, 4, 'P', false, Texts, ""},
	{AnyElement, "anyelement", "anyelement", 0, 0, 4, 'P', false, Texts, ""},
	{UUID, "uuid", "uuid", 2951, 0, 16, 'U', false, Blob, ""},
	{TSVector, "tsvector", "tsvector", 3643, 0, -1, 'U', false, Texts, collTSVector},
	{TSQuery, "tsquery", "tsquery", 3645, 0, -1, 'U', false, Texts, collTSQuery},
	{Regconfig, "regconfig", "regconfig", 3735, 0, 4, 'N', false, Integer, ""},
	{JSONB, "jsonb", "jsonb", 3807, 0, -1, 'U', false, Texts, collJSONB},
	{Regnamespace, "regnamespace", "regnamespace", 4090, 0, 4, 'N', false, Integer, ""},
	{AnyCompatible, "anycompatible", "anycompatible", 0, 0, 4, 'P', false, Texts, ""},
	{AnyCompatibleArray, "anycompatiblearray", "anycompatiblearray", 0, 0, -1, 'P', false, Texts, ""},
}

// types are all types by number; it is only read.
var types = func() map[OID]*Type {
	m := map[OID]*Type{}
	for i := range scalars {
		t := &scalars[i]
		m[t.OID] = t
		if t.Array != 0 {
			m[t.Array] = &Type{OID: t.Array, Name: t.Name + "[]", Internal: "_" + t.Internal, Elem: t.OID, Length: -1, Category: 'A', Storage: Texts, Collation: "pg_array_" + t.Internal}
		}
	}
	return m
}()

// aliases are names that PostgreSQL's grammar knows besides those of pg_type.
var aliases = map[string]OID{
	"boolean": Bool, "smallint": Int2, "integer": Int4, "int": Int4, "bigint": Int8, "real": Float4, "double precision": Float8, "float": Float8,
	"\"char\"": Char, "decimal": Numeric, "dec": Numeric, "character varying": Varchar, "character": Bpchar, "char": Bpchar, "time without time zone": Time,
	"time with time zone": TimeTZ, "timestamp without time zone": Timestamp, "timestamp with time zone": TimestampTZ,
}

var byName = func() map[string]OID {
	m := map[string]OID{}
	for oid, t := range types {
		m[t.Internal] = oid
	}
	for name, oid := range aliases {
		m[name] = oid
	}
	return m
}()

// TypeOf returns the type of a number.
func TypeOf(oid OID) (Type, bool) {
	t, ok := types[oid]
	if !ok {
		return Type{}, false
	}
	return *t, true
}

// TypeNamed finds a type by any of its names, in lower case, with [] behind it for arrays.
func TypeNamed(name string) (Type, bool) {
	if elem, ok := strings.CutSuffix(name, "[]"); ok {
		t, ok := TypeNamed(strings.TrimRight(elem, "[] "))
		if !ok {
			return t, false
		}
		return TypeOf(t.Array)
	}
	oid, ok := byName[name]
	if !ok {
		return Type{}, false
	}
	return TypeOf(oid)
}

// Typmod makes the number that stands for what is written in parentheses after a type's name; -1 when nothing is.
func Typmod(oid OID, mods []int32) (int32, error) {
	if len(mods) == 0 {
		return -1, nil
	}
	bad := sqlstate.New(sqlstate.BadParameter, "invalid type modifier")
	switch oid {
	case Varchar, Bpchar:
		name := map[OID]string{Varchar: "varchar", Bpchar: "char"}[oid]
		switch {
		case len(mods) != 1:
			return 0, bad
		case mods[0] < 1:
			return 0, sqlstate.New(sqlstate.BadParameter, "length for type %s must be at least 1", name)
		case mods[0] > 10485760:
			return 0, sqlstate.New(sqlstate.BadParameter, "length for type %s cannot exceed %d", name, 10485760)
		}
		return mods[0] + 4, nil
	case Numeric:
		scale := int32(0)
		if len(mods) > 2 {
			return 0, sqlstate.New(sqlstate.BadParameter, "invalid NUMERIC type modifier")
		} else if len(mods) == 2 {
			scale = mods[1]
		}
		return numeric.Typmod(int(mods[0]), int(scale))
	case Time, TimeTZ, Timestamp, TimestampTZ:
		if len(mods) != 1 {
			return 0, bad
		}
		if mods[0] < 0 {
			return 0, sqlstate.New(sqlstate.BadParameter, "%s precision must not be negative", formatPrecision(oid, mods[0]))
		}
		return min(mods[0], 6), nil // with a warning, in PostgreSQL
	}
	return 0, sqlstate.New(sqlstate.SyntaxError, "type modifier is not allowed for type \"%s\"", types[oid].Internal)
}

func formatPrecision(oid OID, p int32) string {
	name, zone, _ := strings.Cut(types[oid].Name, " with")
	s := strings.ToUpper(name) + "(" + strconv.Itoa(int(p)) + ")"
	if strings.HasPrefix(zone, " ") {
		s += " WITH TIME ZONE"
	}
	return s
}

// FormatType is a type's name with its typmod, as format_type gives it.
func FormatType(oid OID, typmod int32) string {
	t, ok := types[oid]
	if !ok {
		return "???"
	}
	if t.Elem != 0 {
		return FormatType(t.Elem, typmod) + "[]"
	}
	if typmod < 0 {
		if oid == Bpchar && typmod == -2 {
			return "bpchar"
		}
		return t.Name
	}
	switch oid {
	case Varchar, Bpchar:
		return t.Name + "(" + strconv.Itoa(int(typmod-4)) + ")"
	case Numeric:
		p, s := numeric.PrecisionScale(typmod)
		return t.Name + "(" + strconv.Itoa(p) + "," + strconv.Itoa(s) + ")"
	case Time, TimeTZ, Timestamp, TimestampTZ:
		name, rest, _ := strings.Cut(t.Name, " ")
		return name + "(" + strconv.Itoa(int(typmod)) + ") " + rest
	}
	return t.Name
}
