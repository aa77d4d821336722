package postgres

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Formats of values.
const (
	textFormat   = 0
	binaryFormat = 1
)

func secretOf(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// call is what values are read and written with: the session's zone.
func (x *session) call() *postgres.Call {
	z, err := datetime.LoadZone(x.settings.get("timezone"))
	if err != nil { // it was checked when it was set
		z = nil
	}
	return &postgres.Call{Env: datetime.Env{Zone: z}}
}

// describeRows tells a result's columns. formats are those that were asked for: none, one for all, or one for each.
func describeRows(columns []*wirepb.Column, formats []int16) *pgproto3.RowDescription {
	d := new(pgproto3.RowDescription)
	for i, c := range columns {
		size := int16(-1)
		if t, ok := postgres.TypeOf(postgres.OID(c.TypeOid)); ok {
			size = t.Length
		}
		d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte(c.Name), TableOID: c.Table, TableAttributeNumber: uint16(c.Attribute),
			DataTypeOID: c.TypeOid, DataTypeSize: size, TypeModifier: c.Typmod, Format: formatOf(formats, i)})
	}
	return d
}

func formatOf(formats []int16, i int) int16 {
	switch {
	case len(formats) == 1:
		return formats[0]
	case i < len(formats):
		return formats[i]
	}
	return textFormat
}

// cell is a value as protocol/postgres has it.
func cell(v *wirepb.Value) any {
	switch v := v.GetValue().(type) {
	case *wirepb.Value_Integer:
		return v.Integer
	case *wirepb.Value_Real:
		return v.Real
	case *wirepb.Value_Text:
		return v.Text
	case *wirepb.Value_Blob:
		if v.Blob == nil {
			return []byte{}
		}
		return v.Blob
	}
	return nil
}

// value is a cell as it crosses.
func value(c any) *wirepb.Value {
	switch c := c.(type) {
	case int64:
		return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: c}}
	case float64:
		return &wirepb.Value{Value: &wirepb.Value_Real{Real: c}}
	case string:
		return &wirepb.Value{Value: &wirepb.Value_Text{Text: c}}
	case []byte:
		return &wirepb.Value{Value: &wirepb.Value_Blob{Blob: c}}
	}
	return &wirepb.Value{Value: &wirepb.Value_Null{Null: true}}
}

// encode writes a value as a client reads it; nil is NULL.
func encode(c *postgres.Call, oid uint32, format int16, v *wirepb.Value) ([]byte, *sqlError) {
	a := cell(v)
	if a == nil {
		return nil, nil
	}
	var b []byte
	var err error
	if format == binaryFormat {
		b, err = postgres.Encode(postgres.OID(oid), a)
	} else {
		var s string
		s, err = postgres.Output(c, postgres.OID(oid), a)
		b = []byte(s)
	}
	if err != nil {
		return nil, errorOf(err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// row writes a row of a result.
func row(c *postgres.Call, columns []*wirepb.Column, formats []int16, r *wirepb.Row) (*pgproto3.DataRow, *sqlError) {
	if len(r.Values) != len(columns) {
		return nil, newError("XX000", "a replica gave a row of %d values for %d columns", len(r.Values), len(columns))
	}
	d := &pgproto3.DataRow{Values: make([][]byte, len(columns))}
	for i, v := range r.Values {
		b, refused := encode(c, columns[i].TypeOid, formatOf(formats, i), v)
		if refused != nil {
			return nil, refused
		}
		d.Values[i] = b
	}
	return d, nil
}

// rows sends rows from the first on, as many as most, all of them when that is 0.
func (x *session) rows(r *wirepb.Result, formats []int16, from, most int) (sent int, refused *sqlError) {
	c := x.call()
	for _, one := range r.Rows[from:] {
		if most > 0 && sent == most {
			break
		}
		d, refused := row(c, r.Columns, formats, one)
		if refused != nil {
			return sent, refused
		}
		x.be.Send(d)
		if sent++; sent%256 == 0 {
			x.flush()
		}
	}
	return sent, nil
}

// all answers a statement of a text: columns, rows, and its tag.
func (x *session) all(r *wirepb.Result) *sqlError {
	if len(r.Columns) > 0 || len(r.Rows) > 0 {
		x.be.Send(describeRows(r.Columns, nil))
		if _, refused := x.rows(r, nil, 0, 0); refused != nil {
			return refused
		}
	}
	x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(r.Tag)})
	return nil
}
