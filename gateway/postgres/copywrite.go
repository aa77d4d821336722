package postgres

import (
	"encoding/binary"
	"strings"

	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A copyWriter writes rows.
type copyWriter struct {
	layout  *layout
	columns []*wirepb.Column
	call    *postgres.Call
}

func (w *copyWriter) begin() []byte {
	switch {
	case w.layout.format == "binary":
		return append([]byte(binarySignature), make([]byte, 8)...)
	case w.layout.header:
		var b []byte
		for i, c := range w.columns {
			b = w.field(b, i, []byte(c.Name), false)
		}
		return append(b, '\n')
	}
	return nil
}

const binarySignature = "PGCOPY\n\xff\r\n\x00"

func (w *copyWriter) row(b []byte, r *wirepb.Row) ([]byte, *sqlError) {
	binaryRow := w.layout.format == "binary"
	if binaryRow {
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Values)))
	}
	for i, v := range r.Values {
		if i >= len(w.columns) {
			return nil, newError("XX000", "a replica gave a row of %d values for %d columns", len(r.Values), len(w.columns))
		}
		format := int16(textFormat)
		if binaryRow {
			format = binaryFormat
		}
		data, refused := encode(w.call, w.columns[i].TypeOid, format, v)
		switch {
		case refused != nil:
			return nil, refused
		case binaryRow && data == nil:
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
		case binaryRow:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
		default:
			b = w.field(b, i, data, w.layout.forceAll || w.layout.forceQuote[w.columns[i].Name])
		}
	}
	if binaryRow {
		return b, nil
	}
	return append(b, '\n'), nil
}

// field appends a value as text; nil is NULL.
func (w *copyWriter) field(b []byte, i int, data []byte, force bool) []byte {
	l := w.layout
	if i > 0 {
		b = append(b, l.delimiter)
	}
	if data == nil {
		return append(b, l.null...)
	}
	if l.format == "csv" {
		s := string(data)
		if !force && s != l.null && !strings.ContainsAny(s, "\r\n"+string(l.delimiter)+string(l.quote)) && !(len(w.columns) == 1 && s == `\.`) {
			return append(b, data...)
		}
		b = append(b, l.quote)
		for _, c := range data {
			if c == l.quote || c == l.escape {
				b = append(b, l.escape)
			}
			b = append(b, c)
		}
		return append(b, l.quote)
	}
	for _, c := range data {
		if plain := strings.IndexByte("\b\f\n\r\t\v\\", c); plain >= 0 {
			b = append(b, '\\', `bfnrtv\`[plain])
			continue
		}
		if c == l.delimiter {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return b
}
