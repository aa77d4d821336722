package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// walk calls f with each message of a tree, until it returns false.
func walk(m protoreflect.Message, f func(v any) bool) bool {
	if !f(m.Interface()) {
		return false
	}
	on := true
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Message() == nil {
			return true
		}
		if d.IsList() {
			for i := range v.List().Len() {
				on = on && walk(v.List().Get(i).Message(), f)
			}
			return on
		}
		on = walk(v.Message(), f)
		return on
	})
	return on
}

func (c *compiler) noFunction(at int32, name string, given []oid, left int) error {
	var list []string
	for _, t := range given {
		list = append(list, typeName(t))
	}
	sign := name + "(" + strings.Join(list, ", ") + ")"
	if unsupported().functions[name] && (len(given) == 0 || slices.Contains(given, postgres.Unknown)) {
		return c.refuse(at, "function %s", sign)
	}
	if left > 1 {
		e := c.fail(at, "42725", "function %s is not unique", sign)
		e.Hint = "Could not choose a best candidate function. You might need to add explicit type casts."
		return e
	}
	e := c.fail(at, "42883", "function %s does not exist", sign)
	e.Hint = "No function matches the given name and argument types. You might need to add explicit type casts."
	return e
}

var windowFunctions = map[string]oid{"row_number": postgres.Int8, "rank": postgres.Int8, "dense_rank": postgres.Int8, "percent_rank": postgres.Float8, "cume_dist": postgres.Float8,
	"ntile": postgres.Int4, "lag": 0, "lead": 0, "first_value": 0, "last_value": 0, "nth_value": 0}

// call compiles a function call.
func (c *compiler) call(f *pg.FuncCall, s *scope) (*expr, error) {
	parts := names(f.Funcname)
	name := parts[len(parts)-1]
	if len(parts) > 1 && (len(parts) > 2 || parts[0] != catalogSchema) {
		return nil, c.fail(f.Location, "42883", "function %s() does not exist", strings.Join(parts, "."))
	}
	if f.FuncVariadic {
		return nil, c.refuse(f.Location, "VARIADIC")
	}
	if f.AggWithinGroup {
		return nil, c.refuse(f.Location, "WITHIN GROUP")
	}
	for _, a := range f.Args {
		if a.GetNamedArgExpr() != nil {
			return nil, c.refuse(f.Location, "an argument by name")
		}
	}
	if _, ok := windowFunctions[name]; ok {
		return c.windowFunction(name, f, s)
	}
	if rowFunctions[name] {
		return c.rowsCall(name, f, s)
	}
	aggregate := slices.ContainsFunc(functions()[name], func(k *candidate) bool { return k.agg != nil })
	if aggregate {
		return c.aggregate(name, f, s)
	}
	if f.AggStar || f.AggDistinct || len(f.AggOrder) > 0 || f.AggFilter != nil || f.Over != nil {
		if unsupported().functions[name] {
			return nil, c.refuse(f.Location, "function %s", name)
		}
		if !here(functions()[name]) {
			return nil, c.noFunction(f.Location, name, nil, 0)
		}
		return nil, c.fail(f.Location, "42809", "%s is not an aggregate function", name)
	}
	args, err := c.exprs(f.Args, s)
	if err != nil {
		return nil, err
	}
	return c.callNamed(f.Location, name, args)
}

func (c *compiler) callNamed(at int32, name string, args []*expr) (*expr, error) {
	given := make([]oid, len(args))
	for i, a := range args {
		if a.row != nil {
			return nil, c.refuse(at, "a row as an argument")
		}
		given[i] = a.typ
	}
	switch name {
	case "pg_typeof":
		if len(args) == 1 {
			return c.constant(at, postgres.Regtype, -1, int64(args[0].typ)), nil
		}
	case "version":
		if len(args) == 0 {
			return c.constant(at, postgres.Text, -1, "PostgreSQL 15.0 (Stratos)"), nil
		}
	case "current_schema":
		if len(args) == 0 {
			return c.constant(at, postgres.Name, -1, publicSchema), nil
		}
	case "jsonb_insert", "jsonb_set":
		if len(args) == 3 {
			args = append(args, c.constant(at, postgres.Bool, -1, boolean(name == "jsonb_set")))
			given = append(given, postgres.Bool)
		}
	case "make_interval":
		for len(args) < 7 {
			zero := c.constant(at, postgres.Int4, -1, int64(0))
			if len(args) == 6 {
				zero = c.constant(at, postgres.Float8, -1, 0.0)
			}
			args, given = append(args, zero), append(given, zero.typ)
		}
	}
	k, left := choose(functions()[name], given)
	if k == nil {
		if t, ok := postgres.TypeNamed(name); ok && len(args) == 1 && t.Category != 'P' && left == 0 && t.OID != postgres.Unknown && name != "char" && (args[0].con && args[0].typ == postgres.Unknown || canCast(args[0].typ, t.OID, postgres.Explicit)) {
			return c.coerce(args[0], t.OID, -1, postgres.Explicit)
		}
		return nil, c.noFunction(at, name, given, left)
	}
	return c.routine(at, k, args)
}

// special are functions that are no routines.
func (c *compiler) special(at int32, k *candidate, args []*expr) (*expr, error) {
	var texts []string
	for _, a := range args {
		texts = append(texts, a.sql)
	}
	sql := ""
	switch k.special {
	case "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp":
		sql = `"now"()`
	case "random", "gen_random_uuid":
		sql = `"` + k.special + `()"()`
	case "nextval", "currval", "lastval", "setval":
		if c.keeps {
			return nil, c.refuse(at, "%s here", k.special)
		}
		c.sequences = true
		if len(texts) == 2 {
			texts = append(texts, "1")
		}
		sql = `"` + k.special + `"(` + strings.Join(texts, ",") + ")"
	case "pg_notify":
		if c.keeps {
			return nil, c.refuse(at, "%s here", k.special)
		}
		c.notifies = true
		sql = `"pg_notify"(` + strings.Join(texts, ",") + ")"
	case "catalog":
		sql = k.sqlite() + "(" + strings.Join(texts, ",") + ")"
	case "current_database":
		sql = `"database"()`
	case "current_setting":
		if len(texts) == 1 {
			texts = append(texts, "0")
		}
		sql = `"setting"(` + strings.Join(texts, ",") + ")"
	case "col_description":
		sql = `"description"(` + strings.Join(texts, ",") + ")"
	case "format_type", "pg_table_is_visible":
		sql = `"` + k.special + `"(` + strings.Join(texts, ",") + ")"
	default:
		return nil, c.refuse(at, "function %s", k.name)
	}
	e := c.combine(at, k.result, sql, args...)
	e.stable, e.volatile = true, e.volatile || k.volatile
	return e, nil
}

// native are aggregates of SQLite's that give the same: of integers, whose cells are native.
func native(name string, arg oid) string {
	integers := typeOf(arg).Storage == postgres.Integer
	switch name {
	case "min", "max":
		if (integers || arg == postgres.Text) && typeOf(arg).Collation == "" {
			return name
		}
	case "sum":
		if arg == postgres.Int2 || arg == postgres.Int4 {
			return name
		}
	case "count":
		return name
	case "bool_and", "every":
		return "min"
	case "bool_or":
		return "max"
	}
	return ""
}

func (c *compiler) aggregate(name string, f *pg.FuncCall, s *scope) (*expr, error) {
	at := f.Location
	if s == nil {
		return nil, c.fail(at, "42803", "aggregate functions are not allowed here")
	}
	over := f.Over
	switch {
	case over == nil && s.forbids != "":
		what := "in " + s.forbids
		return nil, c.fail(at, "42803", "aggregate functions are not allowed %s", what)
	case over == nil && s.inAgg:
		return nil, c.fail(at, "42803", "aggregate function calls cannot be nested")
	case over != nil && s.inAgg:
		return nil, c.fail(at, "42803", "aggregate function calls cannot contain window function calls")
	case over != nil && s.noWin != "":
		return nil, c.fail(at, "42P20", "window functions are not allowed in %s", s.noWin)
	case over != nil && f.AggDistinct:
		return nil, c.fail(at, "0A000", "DISTINCT is not implemented for window functions")
	case over != nil && len(f.AggOrder) > 0:
		return nil, c.fail(at, "0A000", "aggregate ORDER BY is not implemented for window functions")
	}
	was := *s
	if over == nil {
		s.inAgg = true
	}
	srf := s.srf
	s.srf = false
	args, err := c.exprs(f.Args, s)
	var filter *expr
	if err == nil && f.AggFilter != nil {
		forbids := s.forbids
		s.forbids = "FILTER"
		if over == nil {
			s.inAgg = true
		}
		if filter, err = c.expr(f.AggFilter, s); err == nil {
			filter, err = c.toBool(filter, "FILTER")
		}
		s.forbids = forbids
	}
	var orders []string
	var orderUses []*expr
	for _, n := range f.AggOrder {
		if err != nil {
			break
		}
		b := n.GetSortBy()
		var e *expr
		if e, err = c.expr(b.Node, s); err == nil {
			if e, err = c.resolveUnknown(e); err == nil {
				var text string
				if text, err = c.sortKey(b, e); err == nil {
					if f.AggDistinct && (len(args) == 0 || !slices.ContainsFunc(args, func(a *expr) bool { return a.sql == e.sql })) {
						err = c.fail(e.at, "42P10", "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
					}
					if !e.con {
						orders = append(orders, text)
					}
					orderUses = append(orderUses, e)
				}
			}
		}
	}
	s.inAgg, s.srf = was.inAgg, srf
	if err != nil {
		return nil, err
	}
	given := make([]oid, len(args))
	for i, a := range args {
		if a.row != nil {
			return nil, c.refuse(at, "an aggregate of rows")
		}
		if a.windows && over == nil {
			return nil, c.fail(at, "42803", "aggregate function calls cannot contain window function calls")
		}
		if a.volatile {
			return nil, c.refuse(at, "an aggregate of what is not the same each time")
		}
		given[i] = a.typ
	}
	k, left := choose(functions()[name], given)
	switch {
	case f.AggStar && name != "count":
		return nil, c.fail(at, "42883", "function %s() does not exist", name)
	case !f.AggStar && len(args) == 0 && name == "count":
		return nil, c.fail(at, "42809", "count(*) must be used to call a parameterless aggregate function")
	case k == nil:
		return nil, c.noFunction(at, name, given, left)
	case k.special == isUnsupported:
		return nil, c.refuse(at, "%s", strings.Trim(k.sqlite(), `"`))
	}
	declared, result := k.args, k.result
	prefix := ""
	if k.polymorphic() && name != "count" {
		var ok bool
		if declared, result, ok = polymorphic(k, declared, given); !ok {
			return nil, c.noFunction(at, name, given, 0)
		}
		prefix = quoteText(typesText(result, declared))
	} else if name == "count" && len(args) == 1 {
		declared = []oid{args[0].typ}
		if given[0] == postgres.Unknown {
			declared = []oid{postgres.Text}
		}
	}
	texts := []string{}
	if prefix != "" {
		texts = append(texts, prefix)
	}
	for i, a := range args {
		if args[i], err = c.coerce(a, declared[i], -1, postgres.Implicit); err != nil {
			return nil, err
		}
		texts = append(texts, args[i].sql)
	}
	function := k.sqlite()
	if len(args) > 0 {
		if n := native(name, declared[0]); n != "" {
			function = n
			if n == "min" || n == "max" {
				texts[0] = args[0].collated()
			}
		}
	} else {
		function, texts = "count", []string{"*"}
	}
	distinct := ""
	if f.AggDistinct {
		if len(args) == 0 {
			return nil, c.fail(at, "42601", "DISTINCT specified without arguments")
		}
		if !ordered(args[0].typ) {
			return nil, c.fail(at, "42883", "could not identify an equality operator for type %s", typeName(args[0].typ))
		}
		if isNative(function) {
			distinct = "DISTINCT "
			texts[0] = args[0].collated()
		} else {
			// PostgreSQL sorts to find what is equal; then it stands side by side.
			if len(orders) == 0 {
				orders = append(orders, args[0].collated()+" ASC NULLS LAST")
			} else if !strings.HasPrefix(orders[0], args[0].collated()+" ") {
				return nil, c.refuse(at, "DISTINCT in an aggregate that is ordered otherwise")
			}
			texts = append([]string{strconv.Itoa(int(args[0].typ))}, texts...)
			function = strings.TrimSuffix(function, `"`) + ` distinct"`
		}
	}
	body := distinct + strings.Join(texts, ",")
	if len(orders) > 0 && !isNative(function) {
		body += " ORDER BY " + strings.Join(orders, ",")
	}
	all := append(append(slices.Clone(args), orderUses...), []*expr{}...)
	sql := "(" + body + ")"
	if filter != nil {
		sql += " FILTER (WHERE " + filter.sql + ")"
		all = append(all, filter)
	}
	e := c.combine(at, result, "", all...)
	e.mod = -1
	if (name == "min" || name == "max") && len(args) == 1 && args[0].mod >= 0 && result == args[0].typ {
		e.mod = -1
	}
	if over != nil {
		w, err := c.window(over, s)
		if err != nil {
			return nil, err
		}
		if w.sliding && !isNative(function) {
			function = strings.TrimSuffix(function, `"`) + ` sliding"`
		}
		e.sql = function + sql + " OVER " + w.sql
		for _, x := range w.of {
			e.inherit(x)
		}
		e.windows = true
		return e, nil
	}
	e.sql = function + sql
	// Columns of this level are under the aggregate now; one of outer levels only belongs to the outer query.
	own, others := 0, []use{}
	for _, u := range e.uses {
		if u.level == s {
			own++
		} else {
			others = append(others, u)
		}
	}
	if own == 0 && len(others) > 0 {
		return nil, c.refuse(at, "an aggregate of an outer query's columns")
	}
	e.uses, e.aggs = others, true
	return e, nil
}

func isNative(function string) bool { return !strings.HasPrefix(function, `"`) }
