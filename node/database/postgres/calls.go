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
			return c.constant(at, postgres.Text, -1, "PostgreSQL 15 (Stratos)"), nil
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
	case "obj_description":
		if !args[1].con || args[1].val != "pg_class" {
			return nil, c.refuse(at, "obj_description of another catalog")
		}
		sql = `"description"(` + texts[0] + ",0)"
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

// A window is what OVER says.
type window struct {
	sql     string
	of      []*expr
	sliding bool // its frame loses rows
	orders  int
	def     *pg.WindowDef
}

// Bits of a frame, as PostgreSQL has them.
const (
	frameNonDefault         = 0x1
	frameRange              = 0x2
	frameRows               = 0x4
	frameGroups             = 0x8
	frameBetween            = 0x10
	frameStartUnbounded     = 0x20
	frameEndUnboundedBefore = 0x40
	frameStartUnboundedAft  = 0x80
	frameEndUnbounded       = 0x100
	frameStartCurrent       = 0x200
	frameEndCurrent         = 0x400
	frameStartBefore        = 0x800
	frameEndBefore          = 0x1000
	frameStartAfter         = 0x2000
	frameEndAfter           = 0x4000
	frameExcludeCurrent     = 0x8000
	frameExcludeGroup       = 0x10000
	frameExcludeTies        = 0x20000
)

func (c *compiler) namedWindows(s *pg.SelectStmt, sc *scope) error {
	sc.windows = map[string]*window{}
	for _, n := range s.WindowClause {
		d := n.GetWindowDef()
		if sc.windows[d.Name] != nil {
			return c.fail(d.Location, "42P20", "window \"%s\" is already defined", d.Name)
		}
		sc.windows[d.Name] = &window{def: d}
	}
	return nil
}

// window compiles OVER.
func (c *compiler) window(d *pg.WindowDef, s *scope) (*window, error) {
	if d.Name != "" {
		w := s.windows[d.Name]
		if w == nil {
			return nil, c.fail(d.Location, "42704", "window \"%s\" does not exist", d.Name)
		}
		d = w.def
	}
	partition, order := d.PartitionClause, d.OrderClause
	if d.Refname != "" {
		w := s.windows[d.Refname]
		if w == nil {
			return nil, c.fail(d.Location, "42704", "window \"%s\" does not exist", d.Refname)
		}
		base := w.def
		if base.Refname != "" {
			return nil, c.refuse(d.Location, "a window of a window of a window")
		}
		switch {
		case len(partition) > 0:
			return nil, c.fail(d.Location, "42P20", "cannot override PARTITION BY clause of window \"%s\"", d.Refname)
		case len(order) > 0 && len(base.OrderClause) > 0:
			return nil, c.fail(d.Location, "42P20", "cannot override ORDER BY clause of window \"%s\"", d.Refname)
		case base.FrameOptions&frameNonDefault != 0:
			return nil, c.fail(d.Location, "42P20", "cannot copy window \"%s\" because it has a frame clause", d.Refname)
		}
		partition = base.PartitionClause
		if len(order) == 0 {
			order = base.OrderClause
		}
	}
	w := &window{orders: len(order)}
	noWin := s.noWin
	s.noWin = "window definitions"
	defer func() { s.noWin = noWin }()
	var ps, os []string
	for _, n := range partition {
		e, err := c.expr(n, s)
		if err != nil {
			return nil, err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if !ordered(e.typ) || e.row != nil {
			return nil, e.fail("42883", "could not identify an equality operator for type %s", typeName(e.typ))
		}
		w.of = append(w.of, e)
		ps = append(ps, e.collated())
	}
	for _, n := range order {
		b := n.GetSortBy()
		e, err := c.expr(b.Node, s)
		if err != nil {
			return nil, err
		}
		if e, err = c.resolveUnknown(e); err != nil {
			return nil, err
		}
		if e.row != nil {
			return nil, c.refuse(e.at, "ORDER BY a row")
		}
		text, err := c.sortKey(b, e)
		if err != nil {
			return nil, err
		}
		w.of = append(w.of, e)
		os = append(os, text)
	}
	sql := ""
	if len(ps) > 0 {
		sql = "PARTITION BY " + strings.Join(ps, ",")
	}
	if len(os) > 0 {
		sql += " ORDER BY " + strings.Join(os, ",")
	}
	frame, err := c.frame(d, w)
	if err != nil {
		return nil, err
	}
	w.sql = "(" + sql + frame + ")"
	return w, nil
}

func (c *compiler) frame(d *pg.WindowDef, w *window) (string, error) {
	o := d.FrameOptions
	if o&frameNonDefault == 0 {
		return "", nil
	}
	mode := " RANGE"
	switch {
	case o&frameRows != 0:
		mode = " ROWS"
	case o&frameGroups != 0:
		mode = " GROUPS"
		if w.orders == 0 {
			return "", c.fail(d.Location, "42P20", "GROUPS mode requires an ORDER BY clause")
		}
	}
	offset := func(n *pg.Node, word string) (string, error) {
		if mode == " RANGE" {
			return "", c.refuse(d.Location, "RANGE with a distance")
		}
		e, err := c.expr(n, &scope{forbids: "window frames", noWin: "window frames"})
		if err != nil {
			return "", err
		}
		if e, err = c.coerce(e, postgres.Int8, -1, postgres.Implicit); err != nil {
			return "", err
		}
		if !e.con {
			return "", c.refuse(d.Location, "a distance that is no constant")
		}
		if e.val == nil {
			return "", c.fail(d.Location, "22004", "frame %s offset must not be null", word)
		}
		if e.val.(int64) < 0 {
			return "", c.fail(d.Location, "22013", "frame %s offset must not be negative", word)
		}
		return strconv.FormatInt(e.val.(int64), 10), nil
	}
	var start, end string
	var err error
	switch {
	case o&frameStartUnbounded != 0:
		start = "UNBOUNDED PRECEDING"
	case o&frameStartCurrent != 0:
		start = "CURRENT ROW"
	case o&frameStartBefore != 0:
		start, err = offset(d.StartOffset, "starting")
		start += " PRECEDING"
	case o&frameStartAfter != 0:
		start, err = offset(d.StartOffset, "starting")
		start += " FOLLOWING"
	}
	if err != nil {
		return "", err
	}
	w.sliding = o&frameStartUnbounded == 0
	switch {
	case o&frameEndUnbounded != 0:
		end = "UNBOUNDED FOLLOWING"
	case o&frameEndCurrent != 0:
		end = "CURRENT ROW"
	case o&frameEndBefore != 0:
		end, err = offset(d.EndOffset, "ending")
		end += " PRECEDING"
	case o&frameEndAfter != 0:
		end, err = offset(d.EndOffset, "ending")
		end += " FOLLOWING"
	}
	if err != nil {
		return "", err
	}
	sql := mode + " BETWEEN " + start + " AND " + end
	switch {
	case o&frameExcludeCurrent != 0:
		sql += " EXCLUDE CURRENT ROW"
	case o&frameExcludeGroup != 0:
		sql += " EXCLUDE GROUP"
	case o&frameExcludeTies != 0:
		sql += " EXCLUDE TIES"
	}
	return sql, nil
}

func (c *compiler) windowFunction(name string, f *pg.FuncCall, s *scope) (*expr, error) {
	at := f.Location
	switch {
	case f.Over == nil:
		return nil, c.fail(at, "42809", "window function %s requires an OVER clause", name)
	case s == nil || s.noWin != "" || s.forbids != "":
		what := "this clause"
		if s != nil && s.noWin != "" {
			what = s.noWin
		}
		return nil, c.fail(at, "42P20", "window functions are not allowed in %s", what)
	case s.inAgg:
		return nil, c.fail(at, "42803", "aggregate function calls cannot contain window function calls")
	case f.AggFilter != nil:
		return nil, c.fail(at, "0A000", "FILTER is not implemented for non-aggregate window functions")
	case f.AggDistinct:
		return nil, c.fail(at, "0A000", "DISTINCT is not implemented for window functions")
	case len(f.AggOrder) > 0:
		return nil, c.fail(at, "0A000", "aggregate ORDER BY is not implemented for window functions")
	}
	args, err := c.exprs(f.Args, s)
	if err != nil {
		return nil, err
	}
	for _, a := range args {
		if a.windows {
			return nil, c.fail(at, "42P20", "window function calls cannot be nested")
		}
	}
	least, most := 0, 0
	switch name {
	case "ntile", "first_value", "last_value":
		least, most = 1, 1
	case "nth_value":
		least, most = 2, 2
	case "lag", "lead":
		least, most = 1, 3
	}
	given := make([]oid, len(args))
	for i, a := range args {
		given[i] = a.typ
	}
	if len(args) < least || len(args) > most {
		return nil, c.noFunction(at, name, given, 0)
	}
	result := windowFunctions[name]
	if result == 0 {
		if args[0].typ == postgres.Unknown || args[0].row != nil {
			return nil, c.refuse(at, "%s of a value without a type", name)
		}
		result = args[0].typ
	}
	positive := func(i int, code, text string, least int64) error {
		e, err := c.coerce(args[i], postgres.Int4, -1, postgres.Implicit)
		if err != nil {
			return c.noFunction(at, name, given, 0)
		}
		if !e.con || e.val == nil {
			return c.refuse(at, "%s by what is no constant", name)
		}
		if e.val.(int64) < least {
			if code == "" {
				return c.refuse(at, "%s by a negative number", name)
			}
			return fail(code, "%s", text)
		}
		args[i] = e
		return nil
	}
	switch name {
	case "ntile":
		err = positive(0, "22014", "argument of ntile must be greater than zero", 1)
	case "nth_value":
		err = positive(1, "22016", "argument of nth_value must be greater than zero", 1)
	case "lag", "lead":
		if len(args) > 1 {
			err = positive(1, "", "", 0)
		}
		if err == nil && len(args) == 3 {
			typ, e := commonType(name, []*expr{args[0], args[2]})
			if e != nil {
				return nil, c.noFunction(at, name, given, 0)
			}
			result = typ
			if args[0], err = c.coerce(args[0], typ, -1, postgres.Implicit); err == nil {
				args[2], err = c.coerce(args[2], typ, -1, postgres.Implicit)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, a := range args {
		texts = append(texts, a.sql)
	}
	w, err := c.window(f.Over, s)
	if err != nil {
		return nil, err
	}
	e := c.combine(at, result, name+"("+strings.Join(texts, ",")+") OVER "+w.sql, append(args, w.of...)...)
	e.windows = true
	return e, nil
}
