package database

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// fromCell makes of a cell of protocol/postgres what callers get.
func fromCell(oid postgres.OID, v any) (any, error) {
	switch oid {
	case postgres.Bool:
		if n, ok := v.(int64); ok {
			return n != 0, nil
		}
		return v, nil
	case postgres.Int2, postgres.Int4, postgres.Int8, postgres.OIDType, postgres.Bytea, postgres.Text, postgres.Varchar:
		return v, nil
	case postgres.Float4, postgres.Float8:
		if f, ok := v.(float64); ok {
			return f, nil
		}
	}
	if v == nil {
		return nil, nil
	}
	s, err := text(oid, v)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// text is a cell as PostgreSQL writes it. A replica may have sent what is none.
func text(oid postgres.OID, v any) (s string, err error) {
	defer func() {
		if recover() != nil {
			err = mesh.Errorf(mesh.Corrupt, "a replica sent a value that is none of type %s", postgres.FormatType(oid, -1))
		}
	}()
	return postgres.Output(&postgres.Call{}, oid, v)
}

// prepare makes statements of what callers give. Where they are PostgreSQL's and have parameters, a replica says of which types these
// are: it holds the statement against them when it runs.
func (d *DB) prepare(ctx context.Context, all []Statement) ([]*wirepb.Statement, error) {
	if d.opts.Dialect != wiredatabase.Postgres {
		return encode(all)
	}
	if len(all) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "there is no statement to run")
	}
	var out []*wirepb.Statement
	known := map[string][]uint32{} // of texts that came before: a program often has one text many times
	for i, s := range all {
		w := &wirepb.Statement{Sql: s.SQL}
		out = append(out, w)
		if len(s.Parameters) == 0 {
			continue
		}
		if w.ParameterTypes = known[s.SQL]; w.ParameterTypes == nil {
			types, err := d.types(ctx, out)
			if err != nil {
				return nil, err
			}
			w.ParameterTypes, known[s.SQL] = types, types
		}
		if err := bind(w, s.Parameters); err != nil {
			if failed := (*Error)(nil); errors.As(err, &failed) {
				failed.Statement = i
			}
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	return out, nil
}

// types asks of which types the parameters of the last statement are.
func (d *DB) types(ctx context.Context, all []*wirepb.Statement) ([]uint32, error) {
	r := Request{Statements: all, Describe: true}
	if len(all) > 1 { // it may be about what those before it make
		r.View, r.Tentative = NewView(), true
	}
	return d.described(ctx, r)
}

// described asks of which types the parameters of a request's last statement are.
func (d *DB) described(ctx context.Context, r Request) ([]uint32, error) {
	o, _, err := d.Ask(ctx, Fast, r)
	if err != nil {
		return nil, err
	}
	if o.Code != "" {
		return nil, errorOf(o, r.Statements)
	}
	if len(o.Results) == 0 {
		return nil, mesh.Errorf(mesh.Corrupt, "a replica described nothing")
	}
	return o.Results[len(o.Results)-1].ParameterTypes, nil
}

// bind gives a statement parameters of the types that it has.
func bind(w *wirepb.Statement, parameters []any) error {
	if len(w.ParameterTypes) != len(parameters) {
		return mesh.Errorf(mesh.Invalid, "it has %d parameters, and was given %d", len(w.ParameterTypes), len(parameters))
	}
	for j, p := range parameters {
		v, err := toCell(postgres.OID(w.ParameterTypes[j]), p)
		var state *sqlstate.Error
		if errors.As(err, &state) { // as a server says it of a text that is no value of the type
			return &Error{Code: state.Code, Text: fmt.Sprintf("parameter %d: %s", j+1, state.Text), Hint: state.Hint, SQL: w.Sql}
		}
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "parameter %d: %w", j+1, err)
		}
		e, err := encodeValue(v)
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "parameter %d: %w", j+1, err)
		}
		w.Parameters = append(w.Parameters, e)
	}
	return nil
}

// toCell makes a cell of what a caller gives for a parameter of a type.
func toCell(oid postgres.OID, v any) (any, error) {
	s := ""
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		s = strconv.FormatBool(v)
	case int64:
		s = strconv.FormatInt(v, 10)
	case float64:
		s = strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		s = v
	case []byte:
		if oid == postgres.Bytea {
			return v, nil
		}
		return nil, mesh.Errorf(mesh.Invalid, "bytes are none of type %s", postgres.FormatType(oid, -1))
	default:
		return nil, mesh.Errorf(mesh.Invalid, "a %s is no value: nil, bool, int64, float64, string or []byte", fmt.Sprintf("%T", v))
	}
	return postgres.Input(&postgres.Call{}, oid, -1, s)
}
