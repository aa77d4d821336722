package postgres

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// A Context is where a cast may stand, in PostgreSQL's letters.
type Context byte

const (
	Implicit   Context = 'i' // anywhere
	Assignment Context = 'a' // when a value is stored, and explicitly
	Explicit   Context = 'e' // only where it is written
)

// A Cast takes values of one type to another, as pg_cast says.
type Cast struct {
	From, To OID
	Context  Context
}

const (
	implicitCasts = `int8:float4,float8,numeric,oid,regclass,regtype,regnamespace,regconfig int2:int4,int8,float4,float8,numeric,oid,regclass,regtype,regnamespace,regconfig
		int4:int8,float4,float8,numeric,oid,regclass,regtype,regnamespace,regconfig float4:float8
		numeric:float4,float8 text:bpchar,varchar,name,regclass bpchar:text,varchar,name varchar:text,bpchar,name,regclass name:text date:timestamp,timestamptz
		time:interval,timetz timestamp:timestamptz regclass:oid regtype:oid regnamespace:oid regconfig:oid oid:regclass,regtype,regnamespace,regconfig`
	assignmentCasts = `int8:int2,int4 int4:int2 float4:int2,int4,int8,numeric float8:int2,int4,int8,float4,numeric numeric:int2,int4,int8
		bool:text,bpchar,varchar name:bpchar,varchar timestamp:date,time timestamptz:date,time,timestamp interval:time timetz:time
		oid:int4,int8 regclass:int4,int8 regtype:int4,int8 regnamespace:int4,int8 regconfig:int4,int8 json:jsonb jsonb:json`
	explicitCasts = `int4:bool bool:int4 jsonb:bool,numeric,int2,int4,int8,float4,float8`
)

// Casts are those of pg_cast between the types here. Beyond them, text types become any other explicitly, and any other
// becomes text by assignment, through Input and Output.
func Casts() []Cast {
	var all []Cast
	for _, group := range []struct {
		list    string
		context Context
	}{{implicitCasts, Implicit}, {assignmentCasts, Assignment}, {explicitCasts, Explicit}} {
		for _, entry := range strings.Fields(group.list) {
			from, tos, _ := strings.Cut(entry, ":")
			for _, to := range strings.Split(tos, ",") {
				all = append(all, Cast{named(from), named(to), group.context})
			}
		}
	}
	return all
}

func isText(oid OID) bool {
	return oid == Text || oid == Varchar || oid == Bpchar || oid == Name || oid == Unknown
}

// Convert casts a cell. An explicit cast to varchar(n) or char(n) cuts, another refuses what is too long. Whether the cast may
// stand where it does is for the compiler to know.
func Convert(c *Call, from, to OID, typmod int32, explicit bool, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	src, dst := types[from], types[to]
	if src == nil || dst == nil {
		return nil, sqlstate.New(sqlstate.CannotCoerce, "cannot cast type %d to %d", from, to)
	}
	switch {
	case isText(to) && !(isText(from) && from != Unknown):
		s, err := Output(c, from, v)
		if from == Bool {
			s = strconv.FormatBool(v.(int64) != 0)
		}
		if err != nil || to == Text || to == Unknown {
			return s, err
		}
		if to == Name {
			return cutName(s), nil
		}
		return textOrError(fitText(s, to, typmod, explicit))
	case isText(to):
		s := v.(string)
		if from == Bpchar && to != Bpchar {
			s = strings.TrimRight(s, " ")
		}
		if to == Name {
			return cutName(s), nil
		}
		if to == Text {
			return s, nil
		}
		return textOrError(fitText(s, to, typmod, explicit))
	case isText(from):
		return Input(c, to, typmod, v.(string)) // by char(n)'s output, blanks and all
	case src.Elem != 0 && dst.Elem != 0:
		if src.Elem == dst.Elem && typmod < 0 {
			return v, nil
		}
		a := arrayOf(src.Elem, v)
		for i, item := range a.items {
			var err error
			if a.items[i], err = Convert(c, src.Elem, dst.Elem, typmod, explicit, item); err != nil {
				return nil, err
			}
		}
		out := a.cell(dst.Elem)
		return out, sized(len(out.(string)))
	}
	r, err := convert(c, from, to, v)
	if err != nil || r == nil {
		return nil, err
	}
	return fit(to, typmod, r)
}

// fit applies a typmod to a cell of the type.
func fit(oid OID, typmod int32, v any) (any, error) {
	if typmod < 0 {
		return v, nil
	}
	switch oid {
	case Numeric:
		return numericCell(num(v).Fit(typmod))
	case Time:
		return datetime.FitTime(v.(int64), typmod), nil
	case TimeTZ:
		clock, west := timeTZ(v)
		return timeTZCell(datetime.FitTime(clock, typmod), west), nil
	case Timestamp, TimestampTZ:
		return datetime.FitTimestamp(v.(int64), typmod), nil
	case Interval:
		return interval(v).Fit(typmod).String(), nil
	}
	return v, nil
}

// toInt takes a number that is no integer to a type of integers.
func toInt(f float64, oid OID) (any, error) {
	l := intLimits[oid]
	r := math.RoundToEven(f)
	if !(r >= float64(l.min) && r < -float64(l.min)) {
		return nil, sqlstate.Range(l.name)
	}
	return int64(r), nil
}

func numericToInt(n numeric.Number, oid OID) (any, error) {
	l := intLimits[oid]
	if !n.Finite() {
		what := "infinity"
		if n.IsNaN() {
			what = "NaN"
		}
		return nil, sqlstate.New(sqlstate.Unsupported, "cannot convert %s to %s", what, l.name)
	}
	i, ok := n.Int64()
	return fitInt(i, ok, oid)
}

func convert(c *Call, from, to OID, v any) (any, error) {
	switch {
	case from == to:
		return v, nil
	case from == JSONB && to != JSON:
		return fromJSONB(c, to, v.(string))
	case to == Numeric:
		switch from {
		case Int2, Int4, Int8:
			return strconv.FormatInt(v.(int64), 10), nil
		case Float4:
			return numeric.FromFloat(float(v), 6).String(), nil
		case Float8:
			return numeric.FromFloat(float(v), 15).String(), nil
		}
	case from == Numeric:
		switch to {
		case Int2, Int4, Int8:
			return numericToInt(num(v), to)
		case Float4, Float8:
			return Input(c, to, -1, v.(string))
		}
	case from == Float4 || from == Float8:
		switch to {
		case Int2, Int4, Int8:
			return toInt(float(v), to)
		case Float8:
			return v, nil
		case Float4:
			f := float(v)
			r := float64(float32(f))
			return finiteResult(r, math.IsInf(f, 0), f == 0)
		}
	case from == Int2 || from == Int4 || from == Int8:
		n := v.(int64)
		switch to {
		case Int2, Int4, Int8:
			return fitInt(n, true, to)
		case Float4:
			return float64(float32(n)), nil
		case Float8:
			return float64(n), nil
		case Bool:
			return boolCell(n != 0), nil
		case OIDType, Regclass, Regtype, Regnamespace, Regconfig:
			if from == Int8 && (n < 0 || n > math.MaxUint32) {
				return nil, sqlstate.New(sqlstate.OutOfRange, "OID out of range")
			}
			return int64(uint32(n)), nil
		}
	case from == OIDType || from == Regclass || from == Regtype || from == Regnamespace || from == Regconfig:
		switch to {
		case Int4:
			return int64(int32(uint32(v.(int64)))), nil
		case Int8, OIDType, Regclass, Regtype, Regnamespace, Regconfig:
			return v, nil
		}
	case from == Bool && to == Int4:
		return v, nil
	case from == Date:
		t, err := datetime.DateToTimestamp(v.(int64))
		if err != nil {
			return nil, err
		}
		switch to {
		case Timestamp:
			return t, nil
		case TimestampTZ:
			if !datetime.Finite(t) {
				return t, nil
			}
			return intOrError(datetime.FromLocal(t, c.zone()))
		}
	case from == Timestamp || from == TimestampTZ:
		t := v.(int64)
		var zone *datetime.Zone
		if from == TimestampTZ {
			zone = c.zone()
		}
		switch to {
		case Date:
			return intOrError(datetime.ToDate(t, zone))
		case Time:
			if !datetime.Finite(t) {
				return nil, nil
			}
			return intOrError(datetime.ToTime(t, zone))
		case TimestampTZ:
			return intOrError(datetime.FromLocal(t, c.zone()))
		case Timestamp:
			return intOrError(datetime.ToLocal(t, zone))
		}
	case from == Time && to == Interval:
		return datetime.Interval{Micros: v.(int64)}.String(), nil
	case from == Interval && to == Time:
		return datetime.IntervalToTime(interval(v)), nil
	case from == TimeTZ && to == Time:
		clock, _ := timeTZ(v)
		return clock, nil
	case from == JSON && to == JSONB:
		return Input(c, JSONB, -1, v.(string))
	case from == JSONB && to == JSON:
		return v, nil
	case from == Time && to == TimeTZ:
		return timeTZCell(v.(int64), c.Env.WestOf(v.(int64))), nil
	}
	return nil, sqlstate.New(sqlstate.CannotCoerce, "cannot cast type %s to %s", FormatType(from, -1), FormatType(to, -1))
}

func fromJSONB(c *Call, to OID, s string) (any, error) {
	j, err := jsonb.Parse(s)
	if err != nil {
		return nil, err
	}
	kind := map[jsonb.Kind]string{jsonb.Null: "null", jsonb.String: "string", jsonb.Number: "numeric", jsonb.Bool: "boolean", jsonb.Array: "array", jsonb.Object: "object"}[j.Kind]
	switch {
	case to == Bool && j.Kind == jsonb.Bool:
		return boolCell(j.True), nil
	case to != Bool && j.Kind == jsonb.Number:
		return convert(c, Numeric, to, j.Number.String())
	}
	return nil, sqlstate.New(sqlstate.BadParameter, "cannot cast jsonb %s to type %s", kind, FormatType(to, -1))
}
