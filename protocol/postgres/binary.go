package postgres

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/postgres/textsearch"
)

// The binary formats are those of PostgreSQL's send and receive functions, in network byte order.

var errBinary = sqlstate.New(sqlstate.BadBinary, "incorrect binary data format")

// Signs of a numeric.
const (
	signNegative = 0x4000
	signNaN      = 0xc000
	signPlusInf  = 0xd000
	signMinusInf = 0xf000
)

// Encode is the binary format of a cell that is not nil.
func Encode(oid OID, v any) ([]byte, error) {
	t, ok := types[oid]
	if !ok {
		return nil, sqlstate.New(sqlstate.UndefinedObject, "type with OID %d does not exist", oid)
	}
	if t.Elem != 0 {
		return encodeArray(t.Elem, arrayOf(t.Elem, v))
	}
	be := binary.BigEndian
	switch oid {
	case Bool:
		return []byte{byte(v.(int64))}, nil
	case Int2:
		return be.AppendUint16(nil, uint16(v.(int64))), nil
	case Int4, Date, OIDType, Regproc, Regclass, Regtype, Regnamespace, Regconfig:
		return be.AppendUint32(nil, uint32(v.(int64))), nil
	case Int8, Time, Timestamp, TimestampTZ:
		return be.AppendUint64(nil, uint64(v.(int64))), nil
	case Float4:
		return be.AppendUint32(nil, math.Float32bits(float32(float(v)))), nil
	case Float8:
		f := float(v)
		if f != f {
			return be.AppendUint64(nil, 0x7ff8<<48), nil
		}
		return be.AppendUint64(nil, math.Float64bits(f)), nil
	case Bytea, UUID:
		return append([]byte{}, v.([]byte)...), nil
	case TimeTZ:
		clock, west := timeTZ(v)
		return be.AppendUint32(be.AppendUint64(nil, uint64(clock)), uint32(int32(west))), nil
	case Interval:
		i := interval(v)
		b := be.AppendUint64(nil, uint64(i.Micros))
		return be.AppendUint32(be.AppendUint32(b, uint32(i.Days)), uint32(i.Months)), nil
	case Numeric:
		return encodeNumeric(num(v)), nil
	case JSONB:
		return append([]byte{1}, v.(string)...), nil
	case Char:
		return []byte{charByte(v)}, nil
	case TSVector:
		return vector(v).Binary(), nil
	case TSQuery:
		return query(v).Binary(), nil
	}
	return []byte(v.(string)), nil
}

func encodeNumeric(n numeric.Number) []byte {
	be := binary.BigEndian
	special := func(sign, scale uint16) []byte {
		return be.AppendUint16(be.AppendUint16([]byte{0, 0, 0, 0}, sign), scale)
	}
	const infinityScale = 0x20 // what PostgreSQL's infinities happen to carry there
	switch {
	case n.IsNaN():
		return special(signNaN, 0)
	case n.IsInf() && n.Sign() > 0:
		return special(signPlusInf, infinityScale)
	case n.IsInf():
		return special(signMinusInf, infinityScale)
	}
	// Digits to base 10,000: the fraction is filled up to a multiple of four decimal digits.
	scale := n.Scale()
	c := new(big.Int).Abs(n.Coef())
	fraction := (scale + 3) / 4
	c.Mul(c, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(fraction*4-scale)), nil))
	text := c.String()
	if c.Sign() == 0 {
		text = ""
	}
	for len(text)%4 != 0 {
		text = "0" + text
	}
	weight := len(text)/4 - fraction - 1
	var digits []uint16
	for i := 0; i < len(text); i += 4 {
		d := uint16(0)
		for _, ch := range []byte(text[i : i+4]) {
			d = d*10 + uint16(ch-'0')
		}
		digits = append(digits, d)
	}
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) == 0 {
		weight = 0
	}
	sign := uint16(0)
	if n.Sign() < 0 {
		sign = signNegative
	}
	b := be.AppendUint16(nil, uint16(len(digits)))
	b = be.AppendUint16(b, uint16(int16(weight)))
	b = be.AppendUint16(b, sign)
	b = be.AppendUint16(b, uint16(scale))
	for _, d := range digits {
		b = be.AppendUint16(b, d)
	}
	return b
}

func decodeNumeric(b []byte) (numeric.Number, error) {
	be := binary.BigEndian
	if len(b) < 8 || len(b)%2 != 0 {
		return numeric.Number{}, errBinary
	}
	count, weight, sign, scale := int(be.Uint16(b)), int(int16(be.Uint16(b[2:]))), be.Uint16(b[4:]), int(be.Uint16(b[6:]))
	if len(b) != 8+2*count {
		return numeric.Number{}, errBinary
	}
	switch sign {
	case signNaN:
		return numeric.NaN, nil
	case signPlusInf:
		return numeric.Infinity, nil
	case signMinusInf:
		return numeric.NegativeInfinity, nil
	case 0, signNegative:
	default:
		return numeric.Number{}, sqlstate.New(sqlstate.BadBinary, "invalid sign in external \"numeric\" value")
	}
	if scale > numeric.MaxScale {
		return numeric.Number{}, sqlstate.New(sqlstate.BadBinary, "invalid scale in external \"numeric\" value")
	}
	text := make([]byte, 0, 4*count)
	for i := range count {
		d := be.Uint16(b[8+2*i:])
		if d > 9999 {
			return numeric.Number{}, sqlstate.New(sqlstate.BadBinary, "invalid digit in external \"numeric\" value")
		}
		text = append(text, byte('0'+d/1000), byte('0'+d/100%10), byte('0'+d/10%10), byte('0'+d%10))
	}
	// What the scale does not show is cut off, as PostgreSQL does.
	whole := (weight + 1) * 4
	want := whole + scale // decimal digits that count, from the first
	switch {
	case want <= 0:
		text = []byte("0")
	case want <= len(text):
		text = text[:want]
	case count == 0:
		text = []byte("0")
	default:
		if want > numeric.MaxWhole+numeric.MaxScale+8 {
			return numeric.Number{}, sqlstate.New(sqlstate.OutOfRange, "value overflows numeric format")
		}
		for len(text) < want {
			text = append(text, '0')
		}
	}
	c, ok := new(big.Int).SetString(string(text), 10)
	if !ok {
		return numeric.Number{}, errBinary
	}
	if sign == signNegative {
		c.Neg(c)
	}
	return numeric.FromBig(c, scale), nil
}

func encodeArray(elem OID, a array) ([]byte, error) {
	be := binary.BigEndian
	nulls := uint32(0)
	for _, v := range a.items {
		if v == nil {
			nulls = 1
		}
	}
	b := be.AppendUint32(nil, uint32(len(a.lengths)))
	b = be.AppendUint32(b, nulls)
	b = be.AppendUint32(b, uint32(elem))
	for i, n := range a.lengths {
		b = be.AppendUint32(be.AppendUint32(b, uint32(n)), uint32(int32(a.lower[i])))
	}
	for _, v := range a.items {
		if v == nil {
			b = be.AppendUint32(b, math.MaxUint32)
			continue
		}
		e, err := Encode(elem, v)
		if err != nil {
			return nil, err
		}
		b = append(be.AppendUint32(b, uint32(len(e))), e...)
	}
	return b, sized(len(b))
}

func decodeArray(c *Call, t *Type, typmod int32, b []byte) (any, error) {
	be := binary.BigEndian
	if len(b) < 12 {
		return nil, errBinary
	}
	dims, flags, elem := be.Uint32(b), be.Uint32(b[4:]), be.Uint32(b[8:])
	b = b[12:]
	switch {
	case dims > maxDimensions:
		return nil, sqlstate.New(sqlstate.LimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", dims, maxDimensions)
	case flags > 1:
		return nil, sqlstate.New(sqlstate.BadBinary, "invalid array flags")
	case OID(elem) != t.Elem:
		return nil, sqlstate.New(sqlstate.DatatypeMismatch, "wrong element type")
	case len(b) < int(dims)*8:
		return nil, errBinary
	}
	var a array
	count := uint64(1)
	for range dims {
		n, lower := be.Uint32(b), int32(be.Uint32(b[4:]))
		b = b[8:]
		if count *= uint64(n); count > MaxSize || n > math.MaxInt32 || int64(lower)+int64(n) > math.MaxInt32 {
			return nil, sqlstate.New(sqlstate.LimitExceeded, "array size exceeds the maximum allowed (%d)", 134217727)
		}
		a.lengths, a.lower = append(a.lengths, int(n)), append(a.lower, int(lower))
	}
	if dims == 0 {
		count = 0
	}
	if count*4 > uint64(len(b)) {
		return nil, errBinary
	}
	for range count {
		if len(b) < 4 {
			return nil, errBinary
		}
		n := int32(be.Uint32(b))
		b = b[4:]
		if n == -1 {
			a.items = append(a.items, nil)
			continue
		}
		if n < 0 || int(n) > len(b) {
			return nil, errBinary
		}
		v, err := Decode(c, t.Elem, typmod, b[:n])
		if err != nil {
			return nil, err
		}
		a.items = append(a.items, v)
		b = b[n:]
	}
	if len(b) > 0 {
		return nil, errBinary
	}
	out := a.cell(t.Elem)
	return out, sized(len(out.(string)))
}

// Decode makes a cell of the binary format, as a parameter has it. typmod is -1 for none.
func Decode(c *Call, oid OID, typmod int32, b []byte) (any, error) {
	t, ok := types[oid]
	if !ok {
		return nil, sqlstate.New(sqlstate.UndefinedObject, "type with OID %d does not exist", oid)
	}
	if err := sized(len(b)); err != nil {
		return nil, err
	}
	if t.Elem != 0 {
		return decodeArray(c, t, typmod, b)
	}
	be := binary.BigEndian
	switch oid {
	case Bytea:
		return append([]byte{}, b...), nil
	case Numeric:
		n, err := decodeNumeric(b)
		if err != nil {
			return nil, err
		}
		return numericCell(n.Fit(typmod))
	case TSVector:
		return vectorCell(textsearch.DecodeVector(b))
	case TSQuery:
		return queryCell(textsearch.DecodeQuery(b))
	case Char:
		if len(b) != 1 {
			return nil, errBinary
		}
		return charCell(b[0]), nil
	case JSONB:
		if len(b) == 0 || b[0] != 1 {
			v := -1
			if len(b) > 0 {
				v = int(b[0])
			}
			return nil, sqlstate.New(sqlstate.Internal, "unsupported jsonb version number %d", v)
		}
		return Input(c, oid, typmod, string(b[1:]))
	case Text, Varchar, Bpchar, Name, JSON, Unknown:
		return Input(c, oid, typmod, string(b))
	case Void:
		return "", nil
	}
	if t.Length < 1 || len(b) != int(t.Length) {
		return nil, errBinary
	}
	switch oid {
	case Bool:
		return boolCell(b[0] != 0), nil
	case Int2:
		return int64(int16(be.Uint16(b))), nil
	case Int4:
		return int64(int32(be.Uint32(b))), nil
	case OIDType, Regproc, Regclass, Regtype, Regnamespace, Regconfig:
		return int64(be.Uint32(b)), nil
	case Int8:
		return int64(be.Uint64(b)), nil
	case Float4:
		return floatCell(float64(math.Float32frombits(be.Uint32(b)))), nil
	case Float8:
		return floatCell(math.Float64frombits(be.Uint64(b))), nil
	case UUID:
		return append([]byte{}, b...), nil
	case Date:
		d := int64(int32(be.Uint32(b)))
		if datetime.FiniteDate(d) && !datetime.ValidDate(d) {
			return nil, sqlstate.New(sqlstate.DateTimeOverflow, "date out of range")
		}
		return d, nil
	case Time, TimeTZ:
		clock := int64(be.Uint64(b))
		if clock < 0 || clock > datetime.Day {
			return nil, sqlstate.New(sqlstate.DateTimeOverflow, "time out of range")
		}
		clock = datetime.FitTime(clock, typmod)
		if oid == Time {
			return clock, nil
		}
		west := int32(be.Uint32(b[8:]))
		if west <= -16*3600 || west >= 16*3600 {
			return nil, sqlstate.New(sqlstate.ZoneDisplacement, "time zone displacement out of range")
		}
		return timeTZCell(clock, int(west)), nil
	case Timestamp, TimestampTZ:
		ts := int64(be.Uint64(b))
		if datetime.Finite(ts) && !datetime.ValidTimestamp(ts) {
			return nil, sqlstate.New(sqlstate.DateTimeOverflow, "timestamp out of range")
		}
		return datetime.FitTimestamp(ts, typmod), nil
	case Interval:
		i := datetime.Interval{Micros: int64(be.Uint64(b)), Days: int32(be.Uint32(b[8:])), Months: int32(be.Uint32(b[12:]))}
		return i.Fit(typmod).String(), nil
	}
	return nil, sqlstate.New(sqlstate.Unsupported, "no binary input function available for type %s", t.Name)
}
