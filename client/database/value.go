package database

import (
	"math"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Statement is one statement of SQL and its parameters by position: nil, int64, float64 (no NaN), string or []byte. In a database of
// dialect postgres also bool, and a string may be what PostgreSQL reads as a value of the parameter's type.
type Statement struct {
	SQL        string
	Parameters []any
}

// SQL makes a statement.
func SQL(text string, parameters ...any) Statement { return Statement{text, parameters} }

// A Column describes a column of a result.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // as declared, of a column of a table; else empty. Of dialect postgres always
}

// A Result is what one statement gave. Values are nil, int64, float64, string or []byte; of dialect postgres also bool, and values of
// types that are none of these are texts as PostgreSQL writes them, in UTC.
type Result struct {
	Columns   []Column
	Rows      [][]any
	Changed   uint64 // rows that it inserted, updated or deleted itself
	LastRowID int64  // of the row that it inserted last; 0: none
	Tag       string // of dialect postgres: INSERT 0 3
}

// Usage is what a program or a question took.
type Usage struct {
	Gas      uint64 `json:"gas"`
	Rows     uint64 `json:"rows"` // inserted, updated, deleted and returned
	BytesIn  uint64 `json:"bytes_in"`
	BytesOut uint64 `json:"bytes_out"`
}

func usageOf(u *wirepb.Usage) Usage {
	return Usage{u.GetGas(), u.GetRows(), u.GetBytesIn(), u.GetBytesOut()}
}

// An Outcome is what statements gave.
type Outcome struct {
	Results []Result
	Usage   Usage
	Height  int64 // of the log: of the block that ran the program, or of the newest one that touched what was asked
}

func encode(all []Statement) ([]*wirepb.Statement, error) {
	if len(all) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "there is no statement to run")
	}
	var out []*wirepb.Statement
	for i, s := range all {
		w := &wirepb.Statement{Sql: s.SQL}
		for j, p := range s.Parameters {
			v, err := encodeValue(p)
			if err != nil {
				return nil, mesh.Errorf(mesh.KindOf(err), "parameter %d of statement %d: %w", j+1, i+1, err)
			}
			w.Parameters = append(w.Parameters, v)
		}
		out = append(out, w)
	}
	return out, nil
}

func encodeValue(v any) (*wirepb.Value, error) {
	switch v := v.(type) {
	case nil:
		return &wirepb.Value{Value: &wirepb.Value_Null{Null: true}}, nil
	case int64:
		return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: v}}, nil
	case float64:
		if math.IsNaN(v) {
			return nil, mesh.Errorf(mesh.Invalid, "NaN is no value; write nil")
		}
		return &wirepb.Value{Value: &wirepb.Value_Real{Real: v}}, nil
	case string:
		return &wirepb.Value{Value: &wirepb.Value_Text{Text: v}}, nil
	case []byte:
		return &wirepb.Value{Value: &wirepb.Value_Blob{Blob: v}}, nil
	}
	return nil, mesh.Errorf(mesh.Invalid, "a %T is no value: nil, int64, float64, string or []byte", v)
}

func decodeValue(v *wirepb.Value) any {
	switch v := v.GetValue().(type) {
	case *wirepb.Value_Integer:
		return v.Integer
	case *wirepb.Value_Real:
		return v.Real
	case *wirepb.Value_Text:
		return v.Text
	case *wirepb.Value_Blob:
		return append([]byte{}, v.Blob...) // never nil, which is null
	}
	return nil
}

func errorOf(o *wirepb.Outcome, all []*wirepb.Statement) *Error {
	e := &Error{Code: o.Code, Text: o.Text, Hint: o.Hint, Statement: int(o.Failed)}
	if e.Statement < len(all) {
		e.SQL = all[e.Statement].Sql
	}
	return e
}

// outcomeOf is an outcome as callers get it, or the *Error that it says.
func outcomeOf(o *wirepb.Outcome, all []*wirepb.Statement, height int64) (*Outcome, error) {
	if o.Code != "" {
		return nil, errorOf(o, all)
	}
	out := &Outcome{Usage: usageOf(o.Usage), Height: height}
	for _, r := range o.Results {
		res := Result{Changed: r.Changed, LastRowID: r.LastRowId, Tag: r.Tag}
		for _, c := range r.Columns {
			res.Columns = append(res.Columns, Column{c.Name, c.Type})
		}
		for _, w := range r.Rows {
			row := make([]any, len(w.Values))
			for i, v := range w.Values {
				row[i] = decodeValue(v)
				if i < len(r.Columns) && r.Columns[i].TypeOid != 0 {
					var err error
					if row[i], err = fromCell(postgres.OID(r.Columns[i].TypeOid), row[i]); err != nil {
						return nil, err
					}
				}
			}
			res.Rows = append(res.Rows, row)
		}
		out.Results = append(out.Results, res)
	}
	return out, nil
}
