package postgres

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// maxText bounds what a statement becomes: BETWEEN and the like say an operand twice.
const maxText = 2 << 20

// expr compiles an expression in a scope.
func (c *compiler) expr(n *pg.Node, s *scope) (*expr, error) {
	e, err := c.node(n, s)
	if err != nil {
		return nil, err
	}
	if len(e.sql) > maxText {
		return nil, fail("54001", "statement too complex: it is too large when it is compiled")
	}
	if s != nil && s.grouped && !s.inAgg && e.row == nil {
		s.matchKey(e)
	}
	return e, nil
}

func (c *compiler) exprs(list []*pg.Node, s *scope) (out []*expr, err error) {
	for _, n := range list {
		e, err := c.expr(n, s)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (c *compiler) node(n *pg.Node, s *scope) (*expr, error) {
	switch x := n.GetNode().(type) {
	case *pg.Node_AConst:
		return c.literal(x.AConst)
	case *pg.Node_ParamRef:
		return c.parameter(x.ParamRef)
	case *pg.Node_ColumnRef:
		return c.columnRef(x.ColumnRef, s)
	case *pg.Node_TypeCast:
		return c.typeCast(x.TypeCast, s)
	case *pg.Node_AExpr:
		return c.operation(x.AExpr, s)
	case *pg.Node_BoolExpr:
		return c.logic(x.BoolExpr, s)
	case *pg.Node_NullTest:
		return c.nullTest(x.NullTest, s)
	case *pg.Node_BooleanTest:
		return c.booleanTest(x.BooleanTest, s)
	case *pg.Node_CaseExpr:
		return c.caseExpr(x.CaseExpr, s)
	case *pg.Node_CoalesceExpr:
		return c.coalesce(x.CoalesceExpr, s)
	case *pg.Node_MinMaxExpr:
		return c.greatest(x.MinMaxExpr, s)
	case *pg.Node_FuncCall:
		return c.call(x.FuncCall, s)
	case *pg.Node_SubLink:
		return c.subLink(x.SubLink, s)
	case *pg.Node_AArrayExpr:
		return c.array(x.AArrayExpr, s, 0)
	case *pg.Node_AIndirection:
		return c.indirection(x.AIndirection, s)
	case *pg.Node_SqlvalueFunction:
		return c.valueFunction(x.SqlvalueFunction)
	case *pg.Node_RowExpr:
		list, err := c.exprs(x.RowExpr.Args, s)
		if err != nil {
			return nil, err
		}
		e := c.combine(x.RowExpr.Location, postgres.Record, "", list...)
		e.row = list
		return e, nil
	case *pg.Node_CollateClause:
		e, err := c.expr(x.CollateClause.Arg, s)
		if err != nil {
			return nil, err
		}
		name := names(x.CollateClause.Collname)
		if k := name[len(name)-1]; k != "C" && k != "POSIX" && k != "default" {
			return nil, c.refuse(x.CollateClause.Location, "collation \"%s\"", k)
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if !isString(e.typ) {
			return nil, c.fail(x.CollateClause.Location, "42804", "collations are not supported by type %s", typeName(e.typ))
		}
		return e, nil
	case *pg.Node_SetToDefault:
		return nil, c.fail(x.SetToDefault.Location, "42601", "DEFAULT is not allowed in this context")
	case *pg.Node_List:
		return nil, c.refuse(-1, "a list here")
	case *pg.Node_GroupingFunc:
		return nil, c.refuse(x.GroupingFunc.Location, "GROUPING")
	case nil:
		return nil, c.refuse(-1, "an empty expression")
	}
	return nil, c.refuse(-1, "%s", kindOf(n))
}

// kindOf names what a node of the tree is.
// kindOf names what a node is, as the parser does: CREATE FUNCTION, or table like clause.
func kindOf(n *pg.Node) string {
	m := n.ProtoReflect()
	f := m.WhichOneof(m.Descriptor().Oneofs().ByName("node"))
	if f == nil {
		return "nothing"
	}
	name, statement := strings.CutSuffix(string(f.Message().Name()), "Stmt")
	if name = words(name); statement {
		return strings.ToUpper(strings.Replace(name, "trig", "trigger", 1))
	}
	return name
}

// words divides a name that is written inCamelCase.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(b.String(), "_ ", " ")
}

func (c *compiler) literal(a *pg.A_Const) (*expr, error) {
	if a.Isnull {
		return c.null(a.Location), nil
	}
	switch v := a.Val.(type) {
	case *pg.A_Const_Ival:
		if err := c.plainNumber(a.Location); err != nil {
			return nil, err
		}
		return c.constant(a.Location, postgres.Int4, -1, int64(v.Ival.GetIval())), nil
	case *pg.A_Const_Fval:
		if err := c.plainNumber(a.Location); err != nil {
			return nil, err
		}
		if n, err := strconv.ParseInt(v.Fval.Fval, 10, 64); err == nil {
			return c.constant(a.Location, postgres.Int8, -1, n), nil
		}
		cell, err := postgres.Input(nil, postgres.Numeric, -1, v.Fval.Fval)
		if err != nil {
			return nil, err
		}
		return c.constant(a.Location, postgres.Numeric, -1, cell), nil
	case *pg.A_Const_Boolval:
		return c.constant(a.Location, postgres.Bool, -1, boolean(v.Boolval.GetBoolval())), nil
	case *pg.A_Const_Sval:
		return c.constant(a.Location, postgres.Unknown, -1, v.Sval.GetSval()), nil
	}
	return nil, c.refuse(a.Location, "a bit string")
}

// plainNumber refuses what PostgreSQL reads since 16.
func (c *compiler) plainNumber(at int32) error {
	if at < 0 || int(at) >= len(c.sql) {
		return nil
	}
	s := c.sql[at:]
	n := 0
	for n < len(s) && (letter(s[n]) || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n > 0 && s[0] >= '0' && s[0] <= '9' && strings.ContainsAny(s[:n], "xXoObB_") {
		return c.fail(at, "42601", "trailing junk after numeric literal at or near \"%s\"", s[:n])
	}
	return nil
}

func (c *compiler) parameter(p *pg.ParamRef) (*expr, error) {
	n := int(p.Number)
	if c.stored || c.keeps {
		return nil, c.fail(p.Location, "42P02", "there is no parameter $%d", n)
	}
	if n < 1 || n > 32766 {
		return nil, c.fail(p.Location, "42P02", "there is no parameter $%d", n)
	}
	for len(c.params) < n {
		c.params, c.fixed = append(c.params, 0), append(c.fixed, false)
	}
	place, ok := c.places[n]
	if !ok {
		c.args = append(c.args, paramOf(n))
		place = len(c.args)
		c.places[n] = place
	}
	e := &expr{c: c, at: p.Location, sql: "?" + strconv.Itoa(place), mod: -1, typ: c.params[n-1]}
	if e.typ == 0 {
		e.typ, e.param = postgres.Unknown, n
	}
	return e, nil
}

func (c *compiler) typeCast(t *pg.TypeCast, s *scope) (*expr, error) {
	to, mod, err := c.typeName(t.TypeName)
	if err != nil {
		return nil, err
	}
	if a, ok := t.Arg.GetNode().(*pg.Node_AArrayExpr); ok && typeOf(to).Elem != 0 {
		e, err := c.array(a.AArrayExpr, s, typeOf(to).Elem)
		if err != nil {
			return nil, err
		}
		return c.coerce(e, to, mod, postgres.Explicit)
	}
	e, err := c.expr(t.Arg, s)
	if err != nil {
		return nil, err
	}
	at := e.at
	if e, err = c.coerce(e, to, mod, postgres.Explicit); err != nil {
		return nil, err
	}
	out := *e
	out.at, out.table, out.number = at, 0, 0
	return &out, nil
}

func (c *compiler) logic(b *pg.BoolExpr, s *scope) (*expr, error) {
	var list []*expr
	word := map[pg.BoolExprType]string{pg.BoolExprType_AND_EXPR: "AND", pg.BoolExprType_OR_EXPR: "OR", pg.BoolExprType_NOT_EXPR: "NOT"}[b.Boolop]
	for _, a := range b.Args {
		e, err := c.expr(a, s)
		if err == nil {
			e, err = c.toBool(e, word)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if word == "NOT" {
		return c.not(b.Location, list[0]), nil
	}
	return c.joined(b.Location, word, list), nil
}

func (c *compiler) not(at int32, e *expr) *expr {
	if e.con {
		if e.val == nil {
			return e
		}
		return c.constant(at, postgres.Bool, -1, 1-e.val.(int64)).without(e)
	}
	return c.combine(at, postgres.Bool, "(NOT "+e.sql+")", e)
}

// joined is AND or OR of conditions; constants decide as they do when PostgreSQL plans.
func (c *compiler) joined(at int32, word string, list []*expr) *expr {
	decides := boolean(word == "OR")
	var kept []*expr
	var texts []string
	for i, e := range list {
		if e.con && e.val != nil {
			if e.val == decides {
				return c.constant(at, postgres.Bool, -1, decides).after(list[:i]...).without(list...)
			}
			continue
		}
		kept = append(kept, e)
		texts = append(texts, e.sql)
	}
	switch len(kept) {
	case 0:
		return c.constant(at, postgres.Bool, -1, boolean(word == "AND")).without(list...)
	case 1:
		return kept[0].without(list...)
	}
	return c.combine(at, postgres.Bool, "("+balanced(texts, " "+word+" ")+")", kept...).without(list...)
}

// balanced joins texts so that SQLite's tree of them is not deep.
func balanced(list []string, by string) string {
	if len(list) <= 8 {
		return strings.Join(list, by)
	}
	m := len(list) / 2
	return "(" + balanced(list[:m], by) + ")" + by + "(" + balanced(list[m:], by) + ")"
}

func (c *compiler) nullTest(t *pg.NullTest, s *scope) (*expr, error) {
	e, err := c.expr(t.Arg, s)
	if err != nil {
		return nil, err
	}
	if e.row != nil || e.typ == postgres.Record {
		return nil, c.refuse(t.Location, "IS NULL of a row")
	}
	not := t.Nulltesttype == pg.NullTestType_IS_NOT_NULL
	if e.con {
		return c.constant(t.Location, postgres.Bool, -1, boolean((e.val == nil) != not)).without(e), nil
	}
	word := " IS NULL)"
	if not {
		word = " IS NOT NULL)"
	}
	return c.combine(t.Location, postgres.Bool, "("+e.sql+word, e), nil
}

func (c *compiler) booleanTest(t *pg.BooleanTest, s *scope) (*expr, error) {
	e, err := c.expr(t.Arg, s)
	if err != nil {
		return nil, err
	}
	word := map[pg.BoolTestType]string{pg.BoolTestType_IS_TRUE: "IS 1", pg.BoolTestType_IS_NOT_TRUE: "IS NOT 1", pg.BoolTestType_IS_FALSE: "IS 0", pg.BoolTestType_IS_NOT_FALSE: "IS NOT 0",
		pg.BoolTestType_IS_UNKNOWN: "IS NULL", pg.BoolTestType_IS_NOT_UNKNOWN: "IS NOT NULL"}[t.Booltesttype]
	name := map[pg.BoolTestType]string{pg.BoolTestType_IS_TRUE: "IS TRUE", pg.BoolTestType_IS_NOT_TRUE: "IS NOT TRUE", pg.BoolTestType_IS_FALSE: "IS FALSE",
		pg.BoolTestType_IS_NOT_FALSE: "IS NOT FALSE", pg.BoolTestType_IS_UNKNOWN: "IS UNKNOWN", pg.BoolTestType_IS_NOT_UNKNOWN: "IS NOT UNKNOWN"}[t.Booltesttype]
	if e, err = c.toBool(e, name); err != nil {
		return nil, err
	}
	if e.con {
		var is bool
		switch t.Booltesttype {
		case pg.BoolTestType_IS_TRUE, pg.BoolTestType_IS_NOT_TRUE:
			is = e.val == boolean(true)
		case pg.BoolTestType_IS_FALSE, pg.BoolTestType_IS_NOT_FALSE:
			is = e.val == boolean(false)
		default:
			is = e.val == nil
		}
		not := t.Booltesttype == pg.BoolTestType_IS_NOT_TRUE || t.Booltesttype == pg.BoolTestType_IS_NOT_FALSE || t.Booltesttype == pg.BoolTestType_IS_NOT_UNKNOWN
		return c.constant(t.Location, postgres.Bool, -1, boolean(is != not)).without(e), nil
	}
	return c.combine(t.Location, postgres.Bool, "("+e.sql+" "+word+")", e), nil
}

func (c *compiler) caseExpr(k *pg.CaseExpr, s *scope) (*expr, error) {
	var arg *expr
	var err error
	if k.Arg != nil {
		if arg, err = c.expr(k.Arg, s); err != nil {
			return nil, err
		}
		if arg, err = c.resolveUnknown(arg); err != nil {
			return nil, err
		}
		if arg.volatile || arg.sub && len(k.Args) > 1 {
			return nil, c.refuse(k.Location, "CASE of a value that is not the same each time")
		}
	}
	var conditions, results []*expr
	for _, w := range k.Args {
		w := w.GetCaseWhen()
		e, err := c.expr(w.Expr, s)
		if err != nil {
			return nil, err
		}
		if arg != nil {
			e, err = c.binary(w.Location, "=", arg, e)
		} else {
			e, err = c.toBool(e, "CASE/WHEN")
		}
		if err != nil {
			return nil, err
		}
		r, err := c.expr(w.Result, s)
		if err != nil {
			return nil, err
		}
		conditions, results = append(conditions, e), append(results, r)
	}
	other := c.null(-1)
	if k.Defresult != nil {
		if other, err = c.expr(k.Defresult, s); err != nil {
			return nil, err
		}
	}
	// PostgreSQL looks at ELSE first.
	typ, err := commonType("CASE", append([]*expr{other}, results...))
	if err != nil {
		return nil, err
	}
	all := append(append([]*expr{}, results...), other)
	mod := all[0].mod
	for i, r := range all {
		if all[i], err = c.coerce(r, typ, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		if all[i].mod != mod && !(all[i].con && all[i].val == nil) {
			mod = -1
		}
	}
	var b strings.Builder
	var used []*expr
	end := all[len(all)-1]
	for i, w := range conditions {
		if w.con {
			if w.val != boolean(true) {
				continue
			}
			end = all[i]
			break
		}
		if b.Len() == 0 {
			b.WriteString("CASE")
		}
		b.WriteString(" WHEN " + w.sql + " THEN " + all[i].sql)
		used = append(used, w, all[i])
	}
	if b.Len() == 0 {
		out := *end
		out.table, out.number, out.at = 0, 0, k.Location
		return out.without(append(slices.Clone(conditions), all...)...), nil
	}
	e := c.combine(k.Location, typ, "("+b.String()+" ELSE "+end.sql+" END)", append(used, end)...)
	e.mod = mod
	return e.without(append(slices.Clone(conditions), all...)...), nil
}

func (c *compiler) coalesce(k *pg.CoalesceExpr, s *scope) (*expr, error) {
	list, err := c.exprs(k.Args, s)
	if err != nil {
		return nil, err
	}
	typ, err := commonType("COALESCE", list)
	if err != nil {
		return nil, err
	}
	var texts []string
	var kept []*expr
	for i, e := range list {
		if list[i], err = c.coerce(e, typ, -1, postgres.Implicit); err != nil {
			return nil, err
		}
	}
	for _, e := range list {
		if e.con && e.val == nil {
			continue
		}
		kept, texts = append(kept, e), append(texts, e.sql)
		if e.con {
			break
		}
	}
	switch len(kept) {
	case 0:
		return c.constant(k.Location, typ, -1, nil).without(list...), nil
	case 1:
		out := *kept[0]
		out.table, out.number, out.at = 0, 0, k.Location
		return out.without(list...), nil
	}
	e := c.combine(k.Location, typ, "coalesce("+strings.Join(texts, ",")+")", kept...)
	e.mod = commonMod(kept)
	return e.without(list...), nil
}

func commonMod(list []*expr) int32 {
	for _, e := range list {
		if e.mod != list[0].mod {
			return -1
		}
	}
	return list[0].mod
}

func (c *compiler) greatest(k *pg.MinMaxExpr, s *scope) (*expr, error) {
	list, err := c.exprs(k.Args, s)
	if err != nil {
		return nil, err
	}
	what, sign := "GREATEST", "1"
	if k.Op == pg.MinMaxOp_IS_LEAST {
		what, sign = "LEAST", "(-1)"
	}
	typ, err := commonType(what, list)
	if err != nil {
		return nil, err
	}
	texts := []string{strconv.Itoa(int(typ)), sign}
	for i, e := range list {
		if list[i], err = c.coerce(e, typ, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		texts = append(texts, list[i].sql)
	}
	if !ordered(typ) {
		return nil, c.fail(k.Location, "42883", "could not identify a comparison function for type %s", typeName(typ))
	}
	if len(texts) > 60 {
		return nil, c.refuse(k.Location, "%s of more than 58 values", what)
	}
	e := c.combine(k.Location, typ, `"greatest"(`+strings.Join(texts, ",")+")", list...)
	e.mod = commonMod(list)
	return e, nil
}

// ordered tells whether values of a type have an order.
func ordered(t oid) bool {
	if e := typeOf(t).Elem; e != 0 {
		return ordered(e)
	}
	return t != postgres.JSON && t != postgres.Record && t != postgres.Void && t != postgres.Regproc
}

func (c *compiler) valueFunction(f *pg.SQLValueFunction) (*expr, error) {
	to := oid(0)
	mod := int32(-1)
	switch f.Op {
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		to = postgres.Date
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		return nil, c.refuse(f.Location, "CURRENT_TIME")
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		to, mod = postgres.TimestampTZ, f.Typmod
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIME, pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		to, mod = postgres.Time, f.Typmod
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		to, mod = postgres.Timestamp, f.Typmod
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return c.constant(f.Location, postgres.Name, -1, publicSchema), nil
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg.SQLValueFunctionOp_SVFOP_USER, pg.SQLValueFunctionOp_SVFOP_SESSION_USER:
		e := c.combine(f.Location, postgres.Name, `"user"()`)
		e.stable = true
		return e, nil
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return c.callNamed(f.Location, "current_database", nil)
	default:
		return nil, c.refuse(f.Location, "such a function")
	}
	e := c.combine(f.Location, postgres.TimestampTZ, `"now"()`)
	e.stable = true
	if to == postgres.TimestampTZ && mod < 0 {
		return e, nil
	}
	return c.coerce(e, to, mod, postgres.Explicit)
}
