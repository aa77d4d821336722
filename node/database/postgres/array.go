package postgres

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// array is ARRAY[...]; elem is what a cast says of it, or 0.
func (c *compiler) array(a *pg.A_ArrayExpr, s *scope, elem oid) (*expr, error) {
	var list []*expr
	for _, n := range a.Elements {
		if _, nested := n.GetNode().(*pg.Node_AArrayExpr); nested {
			return nil, c.refuse(a.Location, "an array of arrays that is no literal")
		}
		e, err := c.expr(n, s)
		if err != nil {
			return nil, err
		}
		if e.typ != postgres.Unknown && typeOf(e.typ).Elem != 0 {
			return nil, c.refuse(a.Location, "an array of arrays that is no literal")
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		if elem == 0 {
			e := c.fail(a.Location, "42P18", "cannot determine type of empty array")
			e.Hint = "Explicitly cast to the desired type, for example ARRAY[]::integer[]."
			return nil, e
		}
		return c.constant(a.Location, postgres.ArrayOf(elem), -1, "{}"), nil
	}
	context := postgres.Explicit
	if elem == 0 {
		var err error
		if elem, err = commonType("ARRAY", list); err != nil {
			return nil, err
		}
		context = postgres.Implicit
	}
	typ := postgres.ArrayOf(elem)
	if typ == 0 {
		return nil, c.refuse(a.Location, "an array of %s", typeName(elem))
	}
	texts := []string{strconv.Itoa(int(elem))}
	var values []any
	for i, e := range list {
		e, err := c.coerce(e, elem, -1, context)
		if err != nil {
			return nil, err
		}
		list[i] = e
		texts = append(texts, e.sql)
		values = append(values, e.val)
	}
	if constants(list) {
		v, err := postgres.MakeArray(elem, values)
		if err != nil {
			return nil, toError(err)
		}
		return c.constant(a.Location, typ, -1, v), nil
	}
	if len(texts) > 60 {
		return nil, c.refuse(a.Location, "ARRAY of more than 59 values that are no constants")
	}
	return c.combine(a.Location, typ, `"array"(`+strings.Join(texts, ",")+")", list...), nil
}

func (c *compiler) indirection(a *pg.A_Indirection, s *scope) (*expr, error) {
	e, err := c.expr(a.Arg, s)
	if err != nil {
		return nil, err
	}
	if typeOf(e.typ).Elem == 0 {
		if e.typ == postgres.JSONB {
			return nil, c.refuse(e.at, "a subscript of jsonb")
		}
		if a.Indirection[0].GetAIndices() != nil && e.typ != postgres.Unknown && e.row == nil {
			return nil, c.fail(e.at, "42804", "cannot subscript type %s because it does not support subscripting", typeName(e.typ))
		}
		return nil, c.refuse(e.at, "a field or subscript of this")
	}
	texts := []string{strconv.Itoa(int(e.typ)), e.sql}
	of := []*expr{e}
	for _, n := range a.Indirection {
		i := n.GetAIndices()
		if i == nil || i.IsSlice {
			return nil, c.refuse(e.at, "a slice of an array")
		}
		x, err := c.expr(i.Uidx, s)
		if err != nil {
			return nil, err
		}
		if x, err = c.coerce(x, postgres.Int4, -1, postgres.Assignment); err != nil {
			return nil, err
		}
		of, texts = append(of, x), append(texts, x.sql)
	}
	return c.combine(e.at, typeOf(e.typ).Elem, `"subscript"(`+strings.Join(texts, ",")+")", of...), nil
}
