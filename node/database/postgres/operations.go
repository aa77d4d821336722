package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
)

func paramOf(n int) any { return engine.Parameter(n - 1) }

func operatorName(list []*pg.Node) string {
	n := names(list)
	if s := n[len(n)-1]; s != "!=" {
		return s
	}
	return "<>"
}

func (c *compiler) operation(a *pg.A_Expr, s *scope) (*expr, error) {
	name := operatorName(a.Name)
	switch a.Kind {
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		r, err := c.expr(a.Rexpr, s)
		if err != nil {
			return nil, err
		}
		if a.Lexpr == nil {
			return c.unary(a.Location, name, r)
		}
		l, err := c.expr(a.Lexpr, s)
		if err != nil {
			return nil, err
		}
		return c.binary(a.Location, name, l, r)
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		l, r, err := c.two(a, s)
		if err != nil {
			return nil, err
		}
		if l.row != nil || r.row != nil {
			return nil, c.refuse(a.Location, "IS DISTINCT FROM of rows")
		}
		return c.compare(a.Location, map[bool]string{true: "IS NOT", false: "IS"}[a.Kind == pg.A_Expr_Kind_AEXPR_DISTINCT], l, r)
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		l, r, err := c.two(a, s)
		if err != nil {
			return nil, err
		}
		eq, err := c.binary(a.Location, "=", l, r)
		if err != nil {
			return nil, err
		}
		if k, _ := chooseOperator("=", []oid{l.typ, r.typ}); k != nil && !k.polymorphic() {
			l, err = c.coerce(l, k.args[0], -1, postgres.Implicit) // as the operator takes it
		} else {
			l, err = c.resolveUnknown(l)
		}
		if err != nil {
			return nil, err
		}
		if l.volatile {
			return nil, c.refuse(a.Location, "NULLIF of a value that is not the same each time")
		}
		e := c.combine(a.Location, l.typ, "(CASE WHEN "+eq.sql+" THEN NULL ELSE "+l.sql+" END)", l, eq)
		if eq.con {
			if eq.val == boolean(true) {
				return c.constant(a.Location, l.typ, -1, nil), nil
			}
			out := *l
			out.table, out.number = 0, 0
			e = &out
		}
		e.mod = l.mod
		return e, nil
	case pg.A_Expr_Kind_AEXPR_IN:
		return c.in(a, s, name)
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return c.between(a, s)
	case pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL:
		return c.anyOf(a, s, name)
	}
	return nil, c.refuse(a.Location, "this operator")
}

func (c *compiler) two(a *pg.A_Expr, s *scope) (l, r *expr, err error) {
	if l, err = c.expr(a.Lexpr, s); err == nil {
		r, err = c.expr(a.Rexpr, s)
	}
	return l, r, err
}

func (c *compiler) between(a *pg.A_Expr, s *scope) (*expr, error) {
	list, err := c.exprs(append([]*pg.Node{a.Lexpr}, a.Rexpr.GetList().GetItems()...), s)
	if err != nil {
		return nil, err
	}
	if list[0].volatile {
		return nil, c.refuse(a.Location, "BETWEEN of a value that is not the same each time")
	}
	part := func(op1 string, x *expr, op2 string, y *expr, word string) (*expr, error) {
		l, err := c.binary(a.Location, op1, list[0], x)
		if err != nil {
			return nil, err
		}
		r, err := c.binary(a.Location, op2, list[0], y)
		if err != nil {
			return nil, err
		}
		return c.joined(a.Location, word, []*expr{l, r}), nil
	}
	x, y := list[1], list[2]
	switch a.Kind {
	case pg.A_Expr_Kind_AEXPR_BETWEEN:
		return part(">=", x, "<=", y, "AND")
	case pg.A_Expr_Kind_AEXPR_NOT_BETWEEN:
		return part("<", x, ">", y, "OR")
	}
	not := a.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
	op1, op2, inner, outer := ">=", "<=", "AND", "OR"
	if not {
		op1, op2, inner, outer = "<", ">", "OR", "AND"
	}
	p, err := part(op1, x, op2, y, inner)
	if err != nil {
		return nil, err
	}
	q, err := part(op1, y, op2, x, inner)
	if err != nil {
		return nil, err
	}
	return c.joined(a.Location, outer, []*expr{p, q}), nil
}

func (c *compiler) noOperator(at int32, name string, types []oid, left int) error {
	sign := ""
	if len(types) == 2 {
		sign = typeName(types[0]) + " " + name + " " + typeName(types[1])
	} else {
		sign = name + " " + typeName(types[0])
	}
	if knownOperator(name) && slices.Contains(types, postgres.Unknown) {
		return c.refuse(at, "operator %s", sign)
	}
	if left > 1 {
		e := c.fail(at, "42725", "operator is not unique: %s", sign)
		e.Hint = "Could not choose a best candidate operator. You might need to add explicit type casts."
		return e
	}
	e := c.fail(at, "42883", "operator does not exist: %s", sign)
	e.Hint = "No operator matches the given name and argument types. You might need to add explicit type casts."
	return e
}

func (c *compiler) unary(at int32, name string, r *expr) (*expr, error) {
	if r.row != nil {
		return nil, c.refuse(at, "an operator on a row")
	}
	// -9223372036854775808 is a number; PostgreSQL knows it by its sign.
	k, left := chooseOperator(name, []oid{r.typ})
	if k == nil {
		return nil, c.noOperator(at, name, []oid{r.typ}, left)
	}
	return c.routine(at, k, []*expr{r})
}

// binary compiles l name r.
func (c *compiler) binary(at int32, name string, l, r *expr) (*expr, error) {
	if l.row != nil || r.row != nil {
		return c.rows(at, name, l, r)
	}
	if l.typ == postgres.Record || r.typ == postgres.Record {
		return nil, c.refuse(at, "an operator on a row")
	}
	k, left := chooseOperator(name, []oid{l.typ, r.typ})
	if k == nil {
		return nil, c.noOperator(at, name, []oid{l.typ, r.typ}, left)
	}
	if k.special == "compare" {
		return c.compareAs(at, name, k, l, r)
	}
	return c.routine(at, k, []*expr{l, r})
}

// compare is for IS [NOT] DISTINCT FROM: op is SQLite's, which finds the operator = first.
func (c *compiler) compare(at int32, op string, l, r *expr) (*expr, error) {
	k, left := chooseOperator("=", []oid{l.typ, r.typ})
	if k == nil {
		return nil, c.noOperator(at, "=", []oid{l.typ, r.typ}, left)
	}
	return c.compareAs(at, op, k, l, r)
}

// sides coerces both sides of a comparison to types whose cells compare.
func (c *compiler) sides(at int32, k *candidate, l, r *expr) (*expr, *expr, error) {
	lt, rt := k.args[0], k.args[1]
	if k.polymorphic() {
		args, _, ok := polymorphic(k, k.args, []oid{l.typ, r.typ})
		if !ok {
			return nil, nil, c.noOperator(at, k.name, []oid{l.typ, r.typ}, 0)
		}
		lt, rt = args[0], args[1]
	}
	l, err := c.coerce(l, lt, -1, postgres.Implicit)
	if err != nil {
		return nil, nil, err
	}
	if r, err = c.coerce(r, rt, -1, postgres.Implicit); err != nil {
		return nil, nil, err
	}
	if !ordered(lt) {
		return nil, nil, c.fail(at, "42883", "could not identify an equality operator for type %s", typeName(lt))
	}
	if lt != rt && !sameCells(lt, rt) && !sameCells(rt, lt) {
		to := postgres.Timestamp
		if lt == postgres.TimestampTZ || rt == postgres.TimestampTZ {
			to = postgres.TimestampTZ
		}
		if l, err = c.coerce(l, to, -1, postgres.Implicit); err != nil {
			return nil, nil, err
		}
		if r, err = c.coerce(r, to, -1, postgres.Implicit); err != nil {
			return nil, nil, err
		}
	}
	return l, r, nil
}

func (c *compiler) compareAs(at int32, op string, k *candidate, l, r *expr) (*expr, error) {
	l, r, err := c.sides(at, k, l, r)
	if err != nil {
		return nil, err
	}
	if l.con && r.con {
		switch {
		case op == "IS" || op == "IS NOT":
			same := l.val == nil && r.val == nil || l.val != nil && r.val != nil && postgres.Compare(l.typ, l.val, r.val) == 0
			return c.constant(at, postgres.Bool, -1, boolean(same == (op == "IS"))).without(l, r), nil
		case l.val == nil || r.val == nil:
			return c.constant(at, postgres.Bool, -1, nil).after(l, r), nil
		}
		return c.constant(at, postgres.Bool, -1, boolean(holds(op, postgres.Compare(l.typ, l.val, r.val)))).without(l, r), nil
	}
	if (l.con && l.val == nil || r.con && r.val == nil) && op[0] != 'I' && !l.volatile && !r.volatile {
		return c.constant(at, postgres.Bool, -1, nil).after(l, r), nil
	}
	return c.combine(at, postgres.Bool, "("+l.collated()+" "+op+" "+r.sql+")", l, r), nil
}

// rows compares rows, item by item.
func (c *compiler) rows(at int32, name string, l, r *expr) (*expr, error) {
	if l.row == nil || r.row == nil {
		return nil, c.refuse(at, "comparing a row with something else")
	}
	if len(l.row) != len(r.row) {
		return nil, c.fail(at, "42601", "unequal number of entries in row expressions")
	}
	if len(l.row) == 0 {
		return nil, c.fail(at, "0A000", "cannot compare rows of zero length")
	}
	if !isComparison(name) {
		return nil, c.refuse(at, "operator %s on rows", name)
	}
	if name == "=" || name == "<>" {
		var list []*expr
		for i := range l.row {
			e, err := c.binary(at, name, l.row[i], r.row[i])
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return c.joined(at, map[string]string{"=": "AND", "<>": "OR"}[name], list), nil
	}
	// The first pair that is not equal decides, and a NULL before it leaves it open. Not by SQLite's comparison of rows: by an index
	// it finds others.
	strict := name[:1]
	var out *expr
	for i := len(l.row) - 1; i >= 0; i-- {
		x, y := l.row[i], r.row[i]
		if x.row != nil || y.row != nil {
			return nil, c.refuse(at, "rows within rows")
		}
		if x.volatile || y.volatile {
			return nil, c.refuse(at, "comparing rows of what is not the same each time")
		}
		if out == nil {
			e, err := c.binary(at, name, x, y)
			if err != nil {
				return nil, err
			}
			out = e
			continue
		}
		differ, err := c.binary(at, "<>", x, y)
		if err != nil {
			return nil, err
		}
		before, err := c.binary(at, strict, x, y)
		if err != nil {
			return nil, err
		}
		equal, err := c.binary(at, "=", x, y)
		if err != nil {
			return nil, err
		}
		out = c.combine(at, postgres.Bool, "(CASE WHEN "+differ.sql+" THEN "+before.sql+" WHEN "+equal.sql+" THEN "+out.sql+" END)", differ, before, equal, out)
	}
	return out, nil
}

// routine calls what was chosen.
func (c *compiler) routine(at int32, k *candidate, args []*expr) (*expr, error) {
	if k.special == isUnsupported {
		return nil, c.refuse(at, "%s", strings.Trim(k.sqlite(), `"`))
	}
	if k.special == "concat" {
		return c.concat(at, args)
	}
	declared := k.declaredFor(len(args))
	result := k.result
	given := make([]oid, len(args))
	for i, a := range args {
		if a.row != nil || a.typ == postgres.Record {
			return nil, c.refuse(at, "a row as an argument")
		}
		given[i] = a.typ
	}
	prefix := ""
	poly := k.polymorphic()
	if poly {
		var ok bool
		if declared, result, ok = polymorphic(k, declared, given); !ok {
			return nil, c.noFunction(at, k.name, given, 0)
		}
		prefix = quoteText(typesText(result, declared))
	}
	texts := make([]string, 0, len(args)+1)
	if prefix != "" {
		texts = append(texts, prefix)
	}
	list := make([]*expr, len(args))
	values := make([]any, len(args))
	for i, a := range args {
		e, err := c.coerce(a, declared[i], -1, postgres.Implicit)
		if err != nil {
			return nil, err
		}
		list[i], values[i] = e, e.val
		texts = append(texts, e.sql)
	}
	if len(texts) > 60 {
		return nil, c.refuse(at, "a function of more than 59 arguments")
	}
	if k.special != "" {
		return c.special(at, k, list)
	}
	r := k.routine
	if constants(list) && !k.stable {
		call := &postgres.Call{Env: c.s.env, Charge: c.budget()}
		if poly {
			call.Result, call.Types = result, declared
		}
		v, err := r.Call(call, values)
		if err == nil {
			if b, ok := v.(bool); ok {
				v = boolean(b)
			}
			return c.constant(at, result, -1, v).without(list...), nil
		}
		if !postgres.Exhausted(err) { // else it is computed when it runs, for gas
			list[0] = list[0].failing(err)
		}
	}
	if !r.Lax { // a NULL in gives a NULL out
		for _, e := range list {
			if e.con && e.val == nil {
				return c.constant(at, result, -1, nil).after(list...), nil
			}
		}
	}
	if k.name == "||" && declared[0] == postgres.Text && declared[1] == postgres.Text {
		return c.combine(at, result, "("+list[0].sql+" || "+list[1].sql+")", list...), nil
	}
	e := c.combine(at, result, k.sqlite()+"("+strings.Join(texts, ",")+")", list...)
	e.stable = e.stable || k.stable
	return e, nil
}

// concat is || of a text and a value of another type.
func (c *compiler) concat(at int32, args []*expr) (*expr, error) {
	for i, a := range args {
		if a.row != nil {
			return nil, c.refuse(at, "a row as an argument")
		}
		e, err := c.coerce(a, postgres.Text, -1, postgres.Explicit)
		if err != nil {
			return nil, err
		}
		args[i] = e
	}
	if constants(args) && args[0].val != nil && args[1].val != nil {
		return c.constant(at, postgres.Text, -1, args[0].val.(string)+args[1].val.(string)), nil
	}
	return c.combine(at, postgres.Text, "("+args[0].sql+" || "+args[1].sql+")", args...), nil
}

// maxFolding is what constants may cost when they are computed while compiling.
const maxFolding = 200_000

// budget charges what is computed while compiling.
func (c *compiler) budget() func(uint64) bool {
	return func(gas uint64) bool {
		if gas > maxFolding-c.folded {
			return false
		}
		c.folded += gas
		return true
	}
}

func typesText(result oid, types []oid) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(result)))
	b.WriteByte(';')
	for i, t := range types {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(t)))
	}
	return b.String()
}

// in is x [NOT] IN (list).
func (c *compiler) in(a *pg.A_Expr, s *scope, name string) (*expr, error) {
	l, err := c.expr(a.Lexpr, s)
	if err != nil {
		return nil, err
	}
	list, err := c.exprs(a.Rexpr.GetList().GetItems(), s)
	if err != nil {
		return nil, err
	}
	word := "OR"
	if name == "<>" {
		word = "AND"
	}
	var plain, others []*expr
	if l.row == nil {
		for _, e := range list {
			own := false
			for _, u := range e.uses {
				own = own || u.level == s
			}
			if own || e.row != nil {
				others = append(others, e)
			} else {
				plain = append(plain, e)
			}
		}
	} else {
		others = list
	}
	var parts []*expr
	if len(plain) > 1 {
		e, err := c.inList(a.Location, name, l, plain)
		if err != nil {
			return nil, err
		}
		if e == nil {
			others = list
		} else {
			parts = append(parts, e)
		}
	} else {
		others = list
	}
	if len(others) > 1 && l.volatile {
		return nil, c.refuse(a.Location, "IN of a value that is not the same each time")
	}
	for _, r := range others {
		e, err := c.binary(a.Location, name, l, r)
		if err != nil {
			return nil, err
		}
		parts = append(parts, e)
	}
	return c.joined(a.Location, word, parts), nil
}

// inList compares with values of one type; nil: there is none.
func (c *compiler) inList(at int32, name string, l *expr, list []*expr) (*expr, error) {
	typ, err := commonType("", append([]*expr{l}, list...))
	if err != nil || typeOf(typ).Elem != 0 || typ == postgres.Record {
		return nil, nil
	}
	for _, e := range append([]*expr{l}, list...) {
		if !canCast(e.typ, typ, postgres.Implicit) {
			return nil, nil
		}
	}
	k, left := chooseOperator(name, []oid{l.typ, typ})
	if k == nil {
		return nil, c.noOperator(at, name, []oid{l.typ, typ}, left)
	}
	of := []*expr{l}
	var texts []string
	var lc *expr
	con := true
	for _, e := range list {
		if e, err = c.coerce(e, typ, -1, postgres.Implicit); err != nil {
			return nil, err
		}
		x, y, err := c.sides(at, k, l, e)
		if err != nil {
			return nil, err
		}
		lc = x
		con = con && x.con && y.con
		of, texts = append(of, y), append(texts, y.sql)
	}
	if con {
		unknown := lc.val == nil
		for _, y := range of[1:] {
			if y.val == nil {
				unknown = true
			} else if lc.val != nil && postgres.Compare(lc.typ, lc.val, y.val) == 0 {
				return c.constant(at, postgres.Bool, -1, boolean(name == "=")), nil
			}
		}
		if unknown {
			return c.constant(at, postgres.Bool, -1, nil), nil
		}
		return c.constant(at, postgres.Bool, -1, boolean(name != "=")), nil
	}
	of[0] = lc
	word := " IN ("
	if name == "<>" {
		word = " NOT IN ("
	}
	return c.combine(at, postgres.Bool, "("+lc.collated()+word+strings.Join(texts, ",")+"))", of...), nil
}

// anyOf is x op ANY (array) and ALL.
func (c *compiler) anyOf(a *pg.A_Expr, s *scope, name string) (*expr, error) {
	l, r, err := c.two(a, s)
	if err != nil {
		return nil, err
	}
	if l.row != nil || r.row != nil {
		return nil, c.refuse(a.Location, "ANY and ALL of rows")
	}
	if !isComparison(name) {
		return nil, c.refuse(a.Location, "operator %s with ANY or ALL", name)
	}
	elem := typeOf(r.typ).Elem
	if r.typ == postgres.Unknown {
		elem = l.typ
	}
	if elem == 0 {
		return nil, c.fail(a.Location, "42809", "op ANY/ALL (array) requires array on right side")
	}
	if elem == postgres.Unknown {
		elem = postgres.Text
	}
	if typeOf(l.typ).Elem != 0 {
		return nil, c.refuse(a.Location, "ANY and ALL of arrays of arrays")
	}
	k, left := chooseOperator(name, []oid{l.typ, elem})
	if k == nil {
		return nil, c.noOperator(a.Location, name, []oid{l.typ, elem}, left)
	}
	lt, rt := k.args[0], k.args[1]
	if k.polymorphic() || lt != rt && typeOf(lt).Storage != postgres.Integer || category(lt) != category(rt) || category(lt) == 'D' && lt != rt {
		return nil, c.refuse(a.Location, "ANY and ALL between %s and %s", typeName(lt), typeName(rt))
	}
	if l, err = c.coerce(l, lt, -1, postgres.Implicit); err != nil {
		return nil, err
	}
	if r, err = c.coerce(r, postgres.ArrayOf(rt), -1, postgres.Implicit); err != nil {
		return nil, err
	}
	all := a.Kind == pg.A_Expr_Kind_AEXPR_OP_ALL
	if l.con && r.con {
		return c.constant(a.Location, postgres.Bool, -1, anyHolds(name, all, rt, l.val, r.val)).after(l, r), nil
	}
	return c.combine(a.Location, postgres.Bool, `"any"(`+quoteText(name)+","+strconv.FormatInt(boolean(all).(int64), 10)+","+strconv.Itoa(int(rt))+","+l.sql+","+r.sql+")", l, r), nil
}
