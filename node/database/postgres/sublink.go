package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// inherited are the columns of outer levels that a query uses.
func inherited(uses []use, s *scope) (out []use) {
	for _, u := range uses {
		for level := s; level != nil; level = level.outer {
			if u.level == level {
				out = append(out, u)
				break
			}
		}
	}
	return out
}

// subLink compiles a subquery in an expression.
func (c *compiler) subLink(l *pg.SubLink, s *scope) (*expr, error) {
	if c.keeps {
		return nil, c.fail(l.Location, "0A000", "cannot use subquery in this expression")
	}
	q, err := c.query(l.Subselect.GetSelectStmt(), s)
	if err != nil {
		return nil, err
	}
	out := func(typ oid, sql string, of ...*expr) *expr {
		e := c.combine(l.Location, typ, sql, of...)
		e.uses = withUses(e.uses, inherited(q.uses, s))
		e.sub = true
		e.volatile = e.volatile || q.volatile
		e.stable = true
		return e
	}
	switch l.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		if err := c.settleUnknown(q); err != nil {
			return nil, err
		}
		return out(postgres.Bool, "EXISTS ("+q.render()+")"), nil
	case pg.SubLinkType_EXPR_SUBLINK, pg.SubLinkType_ARRAY_SUBLINK:
		if len(q.columns) != 1 {
			return nil, c.fail(l.Location, "42601", "subquery must return only one column")
		}
		if err := c.settleUnknown(q); err != nil {
			return nil, err
		}
		typ, mod := q.columns[0].e.typ, q.columns[0].e.mod
		if l.SubLinkType == pg.SubLinkType_ARRAY_SUBLINK {
			array := postgres.ArrayOf(typ)
			if array == 0 {
				return nil, c.refuse(l.Location, "an array of %s", typeName(typ))
			}
			sql := "(SELECT coalesce(" + signature("array_agg", []oid{postgres.AnyElement}) + "(" + quoteText(typesText(array, []oid{typ})) + ",q." + outputName(0) + "),'{}') FROM (" + q.render() + ") AS q)"
			return out(array, sql), nil
		}
		sql := "(" + q.render() + ")"
		if !q.one {
			sql = `(SELECT "single"(q.` + outputName(0) + ") FROM (" + q.render() + ") AS q)"
		}
		e := out(typ, sql)
		e.mod = mod
		return e, nil
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK:
		name := "="
		if len(l.OperName) > 0 {
			name = operatorName(l.OperName)
		}
		word := " IN ("
		switch {
		case l.SubLinkType == pg.SubLinkType_ANY_SUBLINK && name == "=":
		case l.SubLinkType == pg.SubLinkType_ALL_SUBLINK && name == "<>":
			word = " NOT IN ("
		default:
			return nil, c.refuse(l.Location, "operator %s with ANY or ALL of a subquery", name)
		}
		x, err := c.expr(l.Testexpr, s)
		if err != nil {
			return nil, err
		}
		list := []*expr{x}
		if x.row != nil {
			list = x.row
		}
		if len(list) < len(q.columns) {
			return nil, c.fail(l.Location, "42601", "subquery has too many columns")
		}
		if len(list) > len(q.columns) {
			return nil, c.fail(l.Location, "42601", "subquery has too few columns")
		}
		var texts []string
		var of []*expr
		for i, x := range list {
			y := q.columns[i].e
			if y.typ == postgres.Unknown {
				if err := c.coerceColumn(q, i, postgres.Text, -1); err != nil {
					return nil, err
				}
				y = q.columns[i].e
			}
			k, left := chooseOperator(name, []oid{x.typ, y.typ})
			if k == nil {
				return nil, c.noOperator(l.Location, name, []oid{x.typ, y.typ}, left)
			}
			probe := *y
			probe.con, probe.val = false, nil
			xc, yc, err := c.sides(l.Location, k, x, &probe)
			if err != nil {
				return nil, err
			}
			if yc.typ != y.typ {
				if err := c.coerceColumn(q, i, yc.typ, -1); err != nil {
					return nil, err
				}
			}
			of = append(of, xc)
			texts = append(texts, xc.collated())
		}
		left := texts[0]
		if len(texts) > 1 {
			left = "(" + strings.Join(texts, ",") + ")"
		}
		return out(postgres.Bool, "("+left+word+q.render()+"))", of...), nil
	}
	return nil, c.refuse(l.Location, "this subquery")
}

// fieldOf is one column of a subquery that gives one row.
func (c *compiler) fieldOf(l *pg.SubLink, column, columns int, s *scope) (*expr, error) {
	q, err := c.query(l.Subselect.GetSelectStmt(), s)
	if err != nil {
		return nil, err
	}
	if len(q.columns) != columns {
		return nil, c.fail(l.Location, "42601", "number of columns does not match number of values")
	}
	if err := c.settleUnknown(q); err != nil {
		return nil, err
	}
	if q.volatile {
		return nil, c.refuse(l.Location, "setting several columns by what is not the same each time")
	}
	o := q.columns[column-1].e
	e := c.combine(l.Location, o.typ, `(SELECT "single"(q.`+outputName(column-1)+") FROM ("+q.render()+") AS q)")
	e.mod, e.sub, e.stable = o.mod, true, true
	e.uses = inherited(q.uses, s)
	return e, nil
}

// A source is rows of a function.
type source struct {
	sql     string
	list    string // what json_each reads
	alias   string
	first   *source // of two that run together
	second  *source
	lateral bool
	columns []*field
}

var rowFunctions = map[string]bool{"generate_series": true, "unnest": true, "jsonb_array_elements": true, "jsonb_array_elements_text": true, "json_array_elements": true,
	"json_array_elements_text": true, "jsonb_each": true, "jsonb_each_text": true, "jsonb_object_keys": true, "regexp_split_to_table": true, "string_to_table": true,
	"generate_subscripts": true, "json_each": true, "json_each_text": true, "json_object_keys": true,
	"pg_partition_ancestors": true}

// beside makes one of two: they run together, and the shorter gives NULLs when it has ended.
func beside(a, b *source) *source {
	return &source{first: a, second: b, lateral: a.lateral || b.lateral, sql: `json_each("padded"(` + a.list + "," + b.list + ")) AS " + a.alias + ` JOIN json_each("padded"(` + b.list + "," + a.list + ")) AS " + b.alias + " ON " + b.alias + ".key=" + a.alias + ".key"}
}

// itemSQL makes a cell again of what json_each gives.
func itemSQL(t oid, sql string) string {
	switch typeOf(t).Storage {
	case postgres.Real:
		return "(CASE WHEN " + sql + "='NaN' THEN 'NaN' ELSE \"float\"(" + sql + ") END)"
	case postgres.Blob:
		return "unhex(" + sql + ")"
	}
	return sql
}

// rowsOfCall compiles a function that gives rows.
func (c *compiler) rowsOfCall(name string, f *pg.FuncCall, s *scope) (*source, error) {
	at := f.Location
	if f.Over != nil || f.AggFilter != nil || f.AggDistinct || len(f.AggOrder) > 0 || f.FuncVariadic {
		return nil, c.refuse(at, "%s so", name)
	}
	args, err := c.exprs(f.Args, s)
	if err != nil {
		return nil, err
	}
	alias := c.alias()
	src := &source{}
	given := make([]oid, len(args))
	for i, a := range args {
		given[i] = a.typ
		src.lateral = src.lateral || len(a.uses) > 0
		if a.srf != nil || a.row != nil || a.aggs || a.windows {
			return nil, c.refuse(at, "such an argument of %s", name)
		}
	}
	field := func(n string, t oid, sql string) {
		src.columns = append(src.columns, &field{name: n, sql: sql, typ: t, mod: -1})
	}
	value := alias + ".value"
	list, numbers := "", ""
	switch name {
	case "generate_series":
		if len(args) != 2 && len(args) != 3 {
			return nil, c.noFunction(at, name, given, 0)
		}
		ok := false
		var types []oid
		for _, t := range []oid{postgres.Int4, postgres.Int8, postgres.Numeric, postgres.Timestamp, postgres.TimestampTZ} {
			types = []oid{t, t, t}
			if t == postgres.Timestamp || t == postgres.TimestampTZ {
				if types[2] = postgres.Interval; len(args) == 2 {
					continue
				}
			}
			fits := true
			for i, g := range given {
				fits = fits && (g == types[i] || g == postgres.Int2 && t == postgres.Int4 || g == postgres.Int4 && t == postgres.Int8 || (g == postgres.Int4 || g == postgres.Int8) && t == postgres.Numeric || g == postgres.Unknown && i == 2 && types[2] == postgres.Interval || g == postgres.Date && t == postgres.TimestampTZ && i < 2)
			}
			if ok = fits; ok {
				break
			}
		}
		if !ok {
			return nil, c.refuse(at, "generate_series of such arguments")
		}
		for i := range args {
			if args[i], err = c.coerce(args[i], types[i], -1, postgres.Implicit); err != nil {
				return nil, err
			}
		}
		step := "1"
		if types[2] == postgres.Numeric {
			step = "'1'"
		}
		if len(args) == 3 {
			step = args[2].sql
		}
		list = `"series"(` + strconv.Itoa(int(types[0])) + "," + args[0].sql + "," + args[1].sql + "," + step + ")"
		if types[2] != postgres.Interval && types[2] != postgres.Numeric && !slices.ContainsFunc(args, func(a *expr) bool { return !a.fixed() }) {
			numbers = c.numbers(args[0].sql, args[1].sql, step)
		}
		field(name, types[0], itemSQL(types[0], value))
	case "unnest":
		if len(args) != 1 {
			return nil, c.refuse(at, "unnest of several arrays")
		}
		if args[0].typ == postgres.TSVector {
			list = `"lexemes"(` + args[0].sql + ")"
			field("lexeme", postgres.Text, "json_extract("+value+",'$[0]')")
			field("positions", postgres.ArrayOf(postgres.Int2), "json_extract("+value+",'$[1]')")
			field("weights", postgres.ArrayOf(postgres.Text), "json_extract("+value+",'$[2]')")
			break
		}
		elem := typeOf(args[0].typ).Elem
		if elem == 0 {
			return nil, c.noFunction(at, name, given, 0)
		}
		list = `"json"(` + strconv.Itoa(int(args[0].typ)) + "," + args[0].sql + ")"
		field(name, elem, itemSQL(elem, value))
	case "generate_subscripts":
		if len(args) != 2 || typeOf(given[0]).Elem == 0 {
			return nil, c.refuse(at, "generate_subscripts of such arguments")
		}
		if args[1], err = c.coerce(args[1], postgres.Int4, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		list = `"subscripts"(` + strconv.Itoa(int(given[0])) + "," + args[0].sql + "," + args[1].sql + ")"
		field(name, postgres.Int4, value)
	case "pg_partition_ancestors": // no table is a partition
		if len(args) != 1 {
			return nil, c.noFunction(at, name, given, 0)
		}
		if args[0], err = c.coerce(args[0], postgres.Regclass, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		list = "'[]'"
		field("relid", postgres.Regclass, value)
	case "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_each", "jsonb_each_text":
		if len(args) != 1 {
			return nil, c.noFunction(at, name, given, 0)
		}
		if given[0] != postgres.JSONB && given[0] != postgres.Unknown {
			return nil, c.noFunction(at, name, given, 0)
		}
		if args[0], err = c.coerce(args[0], postgres.JSONB, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		text := strings.HasSuffix(name, "_text")
		typ, flag := postgres.JSONB, "0"
		if text {
			typ, flag = postgres.Text, "1"
		}
		if strings.HasPrefix(name, "jsonb_each") {
			list = `"pairs"(` + flag + "," + args[0].sql + ")"
			field("key", postgres.Text, "json_extract("+value+",'$[0]')")
			field("value", typ, "json_extract("+value+",'$[1]')")
		} else {
			list = `"elements"(` + flag + "," + args[0].sql + ")"
			field("value", typ, value)
		}
	default:
		return nil, c.refuse(at, "function %s", name)
	}
	src.list, src.alias = list, alias
	src.sql = "json_each(" + list + ") AS " + alias
	if numbers != "" {
		src.sql = numbers + " AS " + alias
	}
	for _, f := range src.columns {
		f.uses = []use{}
	}
	return src, nil
}

// numbers counts from one integer to another, row by row: a list of many would be a large value, which makes each step of the run
// dear. It has the columns of json_each that are used.
func (c *compiler) numbers(from, to, step string) string {
	name := c.alias()
	return "(WITH RECURSIVE " + name + "(key,value,step,more) AS (SELECT 0," + from + "," + step + `,"count_series"(` + from + "," + to + "," + step + ") UNION ALL SELECT key+1,value+step,step,more-1 FROM " +
		name + " WHERE more>1) SELECT key,value FROM " + name + " WHERE more>0)"
}

// rowOfCall compiles a function that gives a value, as the one row that it is in FROM.
func (c *compiler) rowOfCall(name string, f *pg.FuncCall, s *scope) (*source, error) {
	e, err := c.call(f, s)
	if err == nil {
		e, err = c.resolveUnknown(e)
	}
	if err != nil {
		return nil, err
	}
	list := postgres.ArrayOf(e.typ)
	if list == 0 || e.volatile || e.srf != nil || e.row != nil {
		return nil, c.refuse(f.Location, "function %s in FROM", name)
	}
	alias := c.alias()
	src := &source{alias: alias, lateral: len(e.uses) > 0}
	src.list = `"json"(` + strconv.Itoa(int(list)) + `,"array"(` + strconv.Itoa(int(e.typ)) + "," + e.sql + "))"
	src.sql = "json_each(" + src.list + ") AS " + alias
	src.columns = []*field{{name: name, sql: itemSQL(e.typ, alias+".value"), typ: e.typ, mod: e.mod, uses: []use{}}}
	return src, nil
}

// rowsCall is such a function in a select list.
func (c *compiler) rowsCall(name string, f *pg.FuncCall, s *scope) (*expr, error) {
	if s == nil || !s.srf || s.grouped || s.inAgg {
		return nil, c.refuse(f.Location, "a function that gives rows here")
	}
	src, err := c.rowsOfCall(name, f, s)
	if err != nil {
		return nil, err
	}
	if len(src.columns) != 1 {
		return nil, c.refuse(f.Location, "a row as a value")
	}
	e := c.combine(f.Location, src.columns[0].typ, src.columns[0].sql)
	e.srf = src
	return e, nil
}

// rangeFunction is such a function in FROM. It may use columns of what stands before it.
func (c *compiler) rangeFunction(r *pg.RangeFunction, s *scope) (string, []*item, error) {
	if r.IsRowsfrom || len(r.Functions) != 1 || len(r.Coldeflist) > 0 {
		return "", nil, c.refuse(-1, "ROWS FROM and lists of columns")
	}
	n := r.Functions[0].GetList().GetItems()
	f := n[0].GetFuncCall()
	if f == nil {
		return "", nil, c.refuse(-1, "this function in FROM")
	}
	parts := names(f.Funcname)
	name := parts[len(parts)-1]
	inner := &scope{forbids: "functions in FROM", noWin: "functions in FROM"}
	if s != nil {
		inner.outer, inner.items = s.outer, s.items
	}
	give := c.rowsOfCall
	if !rowFunctions[name] {
		give = c.rowOfCall
	}
	src, err := give(name, f, inner)
	if err != nil {
		return "", nil, err
	}
	it := &item{name: name, bare: true, named: true, source: src}
	for _, g := range src.columns {
		g.uses = nil
		it.columns = append(it.columns, g)
	}
	if r.Ordinality {
		alias := src.sql[strings.LastIndexByte(src.sql, ' ')+1:]
		it.columns = append(it.columns, &field{name: "ordinality", sql: "(" + alias + ".key+1)", typ: postgres.Int8, mod: -1})
	}
	if len(src.columns) == 1 && r.Alias != nil {
		// A function with one column has the alias as its name too.
		if name != "jsonb_array_elements" && name != "jsonb_array_elements_text" {
			it.columns[0].name = r.Alias.Aliasname
		}
	}
	return src.sql, []*item{it}, c.aliased(it, r.Alias)
}

// figureName is how PostgreSQL names a column of a result.
func (c *compiler) figureName(n *pg.Node) string {
	if name, _ := figure(n); name != "" {
		return name
	}
	return "?column?"
}

// figure returns a name and how much it is one: 0 not at all, 1 as good as none, 2 for sure.
func figure(n *pg.Node) (string, int) {
	switch x := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		for i := len(x.ColumnRef.Fields) - 1; i >= 0; i-- {
			if s := x.ColumnRef.Fields[i].GetString_(); s != nil {
				return s.Sval, 2
			}
		}
	case *pg.Node_AIndirection:
		for i := len(x.AIndirection.Indirection) - 1; i >= 0; i-- {
			if s := x.AIndirection.Indirection[i].GetString_(); s != nil {
				return s.Sval, 2
			}
		}
		return figure(x.AIndirection.Arg)
	case *pg.Node_FuncCall:
		l := names(x.FuncCall.Funcname)
		return l[len(l)-1], 2
	case *pg.Node_AExpr:
		if x.AExpr.Kind == pg.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pg.Node_TypeCast:
		name, strength := figure(x.TypeCast.Arg)
		if strength <= 1 && x.TypeCast.TypeName != nil {
			l := names(x.TypeCast.TypeName.Names)
			return l[len(l)-1], 1
		}
		return name, strength
	case *pg.Node_CollateClause:
		return figure(x.CollateClause.Arg)
	case *pg.Node_GroupingFunc:
		return "grouping", 2
	case *pg.Node_SubLink:
		switch x.SubLink.SubLinkType {
		case pg.SubLinkType_EXISTS_SUBLINK:
			return "exists", 2
		case pg.SubLinkType_ARRAY_SUBLINK:
			return "array", 2
		case pg.SubLinkType_EXPR_SUBLINK:
			s := x.SubLink.Subselect.GetSelectStmt()
			for s != nil && s.Op != pg.SetOperation_SETOP_NONE {
				s = s.Larg
			}
			if s != nil && len(s.TargetList) > 0 {
				t := s.TargetList[0].GetResTarget()
				if t.Name != "" {
					return t.Name, 2
				}
				return figure(t.Val)
			}
			if s != nil && len(s.ValuesLists) > 0 {
				return "column1", 2
			}
		}
	case *pg.Node_CaseExpr:
		if name, strength := figure(x.CaseExpr.Defresult); strength > 1 {
			return name, strength
		}
		return "case", 1
	case *pg.Node_AArrayExpr:
		return "array", 2
	case *pg.Node_RowExpr:
		return "row", 2
	case *pg.Node_CoalesceExpr:
		return "coalesce", 2
	case *pg.Node_MinMaxExpr:
		if x.MinMaxExpr.Op == pg.MinMaxOp_IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *pg.Node_SqlvalueFunction:
		switch x.SqlvalueFunction.Op {
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
			return "current_date", 2
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
			return "current_timestamp", 2
		case pg.SQLValueFunctionOp_SVFOP_LOCALTIME, pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
			return "localtime", 2
		case pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
			return "localtimestamp", 2
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
			return "current_schema", 2
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
			return "current_role", 2
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_USER:
			return "current_user", 2
		case pg.SQLValueFunctionOp_SVFOP_USER:
			return "user", 2
		case pg.SQLValueFunctionOp_SVFOP_SESSION_USER:
			return "session_user", 2
		case pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
			return "current_catalog", 2
		}
	}
	return "", 0
}
