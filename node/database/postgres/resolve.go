package postgres

import (
	"slices"
	"strings"
	"sync"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// What a name means for types: PostgreSQL's rules of chapter 10, over the tables of protocol/postgres.

// A candidate is a function, an operator or an aggregate.
type candidate struct {
	name     string
	args     []oid
	variadic bool
	result   oid
	routine  *postgres.Routine
	agg      *postgres.Aggregate
	special  string // what the compiler makes itself
	volatile bool
	stable   bool
}

// name of the function in SQLite: its signature, the same for ever.
func (c *candidate) sqlite() string {
	return signature(c.name, c.args)
}

func signature(name string, args []oid) string {
	var b strings.Builder
	b.WriteByte('"')
	b.WriteString(strings.ReplaceAll(name, `"`, `""`))
	b.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			b.WriteByte(',')
		}
		t, _ := postgres.TypeOf(a)
		b.WriteString(t.Internal)
	}
	b.WriteString(`)"`)
	return b.String()
}

func (c *candidate) polymorphic() bool {
	return slices.ContainsFunc(c.args, isPoly) || isPoly(c.result)
}

// anyNonArray is what text || value declares.
const anyNonArray oid = 2776

func isPoly(t oid) bool {
	switch t {
	case postgres.AnyType, postgres.AnyElement, postgres.AnyArray, postgres.AnyCompatible, postgres.AnyCompatibleArray:
		return true
	}
	return false
}

var comparable = []oid{postgres.Bool, postgres.Bytea, postgres.Name, postgres.Int2, postgres.Int4, postgres.Int8, postgres.Text, postgres.OIDType, postgres.Float4, postgres.Float8,
	postgres.Bpchar, postgres.Date, postgres.Time, postgres.TimeTZ, postgres.Timestamp, postgres.TimestampTZ, postgres.Interval, postgres.Numeric, postgres.UUID, postgres.JSONB, postgres.TSVector, postgres.TSQuery}

var crossComparable = [][]oid{{postgres.Int2, postgres.Int4, postgres.Int8}, {postgres.Float4, postgres.Float8}, {postgres.Date, postgres.Timestamp, postgres.TimestampTZ}, {postgres.Name, postgres.Text}}

func isComparison(op string) bool {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// routines that PostgreSQL calls stable: what they give depends on the session's zone or the transaction's time.
func isStable(r *postgres.Routine) bool {
	has := func(t oid) bool { return r.Result == t || slices.Contains(r.Args, t) }
	switch r.Name {
	case "concat", "concat_ws", "format", "to_jsonb", "jsonb_build_array", "jsonb_build_object", "json_build_object", "array_to_string", "quote_literal", "to_char":
		return true
	case "to_tsvector", "to_tsquery", "plainto_tsquery", "phraseto_tsquery", "websearch_to_tsquery", "ts_headline": // by the configuration that is the default
		return r.Args[0] != postgres.Regconfig
	case "get_current_ts_config":
		return true
	case "@@":
		return r.Args[0] == postgres.Text
	case "timezone", "isfinite", "date_bin", "to_timestamp":
		return false
	case "-":
		return has(postgres.TimestampTZ) && has(postgres.Interval) && len(r.Args) == 2 && r.Args[1] == postgres.Interval
	case "age":
		return len(r.Args) == 1
	}
	return has(postgres.TimestampTZ)
}

type table map[string][]*candidate

var operators = sync.OnceValue(func() table {
	m := table{}
	for i := range postgres.Operators() {
		r := &postgres.Operators()[i]
		m[r.Name] = append(m[r.Name], &candidate{name: r.Name, args: r.Args, variadic: r.Variadic, result: r.Result, routine: r, stable: isStable(r)})
	}
	for _, op := range []string{"=", "<>", "<", "<=", ">", ">="} {
		add := func(l, r oid) {
			m[op] = append(m[op], &candidate{name: op, args: []oid{l, r}, result: postgres.Bool, special: "compare"})
		}
		for _, t := range comparable {
			add(t, t)
		}
		for _, group := range crossComparable {
			for _, l := range group {
				for _, r := range group {
					if l != r {
						add(l, r)
					}
				}
			}
		}
		add(postgres.AnyArray, postgres.AnyArray)
	}
	for _, args := range [][]oid{{postgres.Text, anyNonArray}, {anyNonArray, postgres.Text}} {
		m["||"] = append(m["||"], &candidate{name: "||", args: args, result: postgres.Text, special: "concat", stable: true})
	}
	for _, k := range unsupported().operatorEntries {
		m[k.name] = append(m[k.name], k)
	}
	return m
})

var functions = sync.OnceValue(func() table {
	m := table{}
	for i := range postgres.Functions() {
		r := &postgres.Functions()[i]
		m[r.Name] = append(m[r.Name], &candidate{name: r.Name, args: r.Args, variadic: r.Variadic, result: r.Result, routine: r, stable: isStable(r)})
	}
	for _, a := range postgres.Aggregates() {
		m[a.Name] = append(m[a.Name], &candidate{name: a.Name, args: a.Args, result: a.Result, agg: &a})
	}
	for _, f := range []struct {
		name     string
		args     []oid
		result   oid
		volatile bool
	}{
		{"now", nil, postgres.TimestampTZ, false}, {"transaction_timestamp", nil, postgres.TimestampTZ, false}, {"statement_timestamp", nil, postgres.TimestampTZ, false},
		{"clock_timestamp", nil, postgres.TimestampTZ, true},
		{"random", nil, postgres.Float8, true}, {"gen_random_uuid", nil, postgres.UUID, true},
		{"nextval", []oid{postgres.Regclass}, postgres.Int8, true}, {"currval", []oid{postgres.Regclass}, postgres.Int8, true}, {"lastval", nil, postgres.Int8, true},
		{"setval", []oid{postgres.Regclass, postgres.Int8}, postgres.Int8, true}, {"setval", []oid{postgres.Regclass, postgres.Int8, postgres.Bool}, postgres.Int8, true},
		{"count", nil, postgres.Int8, false}, {"pg_notify", []oid{postgres.Text, postgres.Text}, postgres.Void, true},
		{"current_database", nil, postgres.Name, false},
		{"current_setting", []oid{postgres.Text}, postgres.Text, false}, {"current_setting", []oid{postgres.Text, postgres.Bool}, postgres.Text, false},
		{"format_type", []oid{postgres.OIDType, postgres.Int4}, postgres.Text, false}, {"pg_table_is_visible", []oid{postgres.OIDType}, postgres.Bool, false},
		{"col_description", []oid{postgres.OIDType, postgres.Int4}, postgres.Text, false},
	} {
		c := &candidate{name: f.name, args: f.args, result: f.result, special: f.name, volatile: f.volatile, stable: true}
		if f.name == "count" {
			c.agg = &postgres.Aggregate{Name: "count", Result: postgres.Int8}
		}
		m[f.name] = append(m[f.name], c)
	}
	for i := range catalogFunctions {
		f := &catalogFunctions[i]
		m[f.name] = append(m[f.name], &f.candidate)
	}
	for _, k := range unsupported().functionEntries {
		m[k.name] = append(m[k.name], k)
	}
	return m
})

var castContexts = sync.OnceValue(func() map[[2]oid]postgres.Context {
	m := map[[2]oid]postgres.Context{}
	for _, c := range postgres.Casts() {
		m[[2]oid{c.From, c.To}] = c.Context
	}
	return m
})

func typeOf(t oid) postgres.Type {
	x, _ := postgres.TypeOf(t)
	return x
}

func typeName(t oid) string { return postgres.FormatType(t, -1) }

func category(t oid) byte {
	if t == anyNonArray {
		return 'P'
	}
	return typeOf(t).Category
}

func preferred(t oid) bool { return typeOf(t).Preferred }

// canCast tells whether a value of a type becomes one of another in a context.
func canCast(from, to oid, context postgres.Context) bool {
	if from == to || from == postgres.Unknown {
		return true
	}
	if k, ok := castContexts()[[2]oid{from, to}]; ok && (k == postgres.Implicit || k == context || context == postgres.Explicit) {
		return true
	}
	f, t := typeOf(from), typeOf(to)
	if f.Elem != 0 && t.Elem != 0 && to != postgres.Int2Vector {
		return canCast(f.Elem, t.Elem, context)
	}
	// By input and output: any other to text by assignment, text to any other explicitly.
	if isString(to) && context != postgres.Implicit && to != postgres.Name && from != postgres.Record {
		return true
	}
	return isString(from) && context == postgres.Explicit && to != postgres.Record
}

func isString(t oid) bool {
	return t == postgres.Text || t == postgres.Varchar || t == postgres.Bpchar || t == postgres.Name
}

// accepts tells whether an argument of a type may be given implicitly where another is declared.
func accepts(declared, given oid) bool {
	switch declared {
	case postgres.AnyType, postgres.AnyElement, postgres.AnyCompatible:
		return true
	case anyNonArray:
		return given != postgres.Record && typeOf(given).Elem == 0
	case postgres.AnyArray, postgres.AnyCompatibleArray:
		return given == postgres.Unknown || typeOf(given).Elem != 0
	}
	return canCast(given, declared, postgres.Implicit)
}

// declaredFor returns the types of a candidate's arguments for so many, nil if they do not fit.
func (c *candidate) declaredFor(n int) []oid {
	if !c.variadic {
		if len(c.args) != n {
			return nil
		}
		return c.args
	}
	if n < len(c.args) {
		return nil
	}
	d := slices.Clone(c.args)
	for len(d) < n {
		d = append(d, c.args[len(c.args)-1])
	}
	return d
}

// consistent tells whether a candidate's any-types can stand for what is given where they are declared.
func consistent(c *candidate, declared, given []oid) bool {
	known := false
	for i, d := range declared {
		known = known || isPoly(d) && d != postgres.AnyType && given[i] != postgres.Unknown
	}
	if !known {
		return true
	}
	_, _, ok := polymorphic(c, declared, given)
	return ok
}

// choose is PostgreSQL's func_select_candidate. It returns nil and how many were left when that is not one.
func choose(all []*candidate, given []oid) (best *candidate, left int) {
	type option struct {
		c *candidate
		d []oid
	}
	var list []option
	for _, c := range all {
		d := c.declaredFor(len(given))
		if d == nil && len(given) > 0 || len(given) == 0 && len(c.args) > 0 {
			continue
		}
		exact, fits := true, true
		for i, g := range given {
			fits = fits && accepts(d[i], g)
			exact = exact && d[i] == g
		}
		if exact && !c.variadic {
			return c, 1
		}
		if fits && consistent(c, d, given) {
			list = append(list, option{c, d})
		}
	}
	// What is given as it is declared beats what is declared for any number of arguments.
	keep := func(score func(d []oid) int) {
		most, kept := -1, list[:0:0]
		for _, o := range list {
			n := score(o.d)
			if n > most {
				most, kept = n, kept[:0:0]
			}
			if n == most {
				kept = append(kept, o)
			}
		}
		list = kept
	}
	if len(list) <= 1 {
		if len(list) == 1 {
			return list[0].c, 1
		}
		return nil, 0
	}
	keep(func(d []oid) (n int) {
		for i, g := range given {
			if g != postgres.Unknown && d[i] == g {
				n++
			}
		}
		return n
	})
	if len(list) > 1 {
		keep(func(d []oid) (n int) {
			for i, g := range given {
				if g != postgres.Unknown && (d[i] == g || category(d[i]) == category(g) && preferred(d[i])) {
					n++
				}
			}
			return n
		})
	}
	if len(list) == 1 {
		return list[0].c, 1
	}
	unknown := 0
	for _, g := range given {
		if g == postgres.Unknown {
			unknown++
		}
	}
	if unknown == 0 {
		return nil, len(list)
	}
	resolved := true
	wants, prefers := make([]byte, len(given)), make([]bool, len(given))
	for i, g := range given {
		if g != postgres.Unknown {
			continue
		}
		have, conflict := false, false
		for _, o := range list {
			k := category(o.d[i])
			switch {
			case !have:
				wants[i], prefers[i], have = k, preferred(o.d[i]), true
			case k == wants[i]:
				prefers[i] = prefers[i] || preferred(o.d[i])
			case k == 'S':
				wants[i], prefers[i] = 'S', preferred(o.d[i]) // a text is always what was written
			default:
				conflict = true
			}
		}
		if conflict && wants[i] != 'S' {
			resolved = false
		}
	}
	if resolved {
		kept := list[:0:0]
		for _, o := range list {
			ok := true
			for i, g := range given {
				if g == postgres.Unknown && (category(o.d[i]) != wants[i] || prefers[i] && !preferred(o.d[i])) {
					ok = false
				}
			}
			if ok {
				kept = append(kept, o)
			}
		}
		if len(kept) > 0 {
			list = kept
		}
		if len(list) == 1 {
			return list[0].c, 1
		}
	}
	// If all that are known are of one type, the others are supposed to be too.
	var one oid
	for _, g := range given {
		if g == postgres.Unknown {
			continue
		}
		if one != 0 && one != g {
			return nil, len(list)
		}
		one = g
	}
	if one == 0 {
		return nil, len(list)
	}
	found := 0
	for _, o := range list {
		ok := true
		for i := range given {
			ok = ok && accepts(o.d[i], one)
		}
		if ok {
			best = o.c
			found++
		}
	}
	if found == 1 {
		return best, 1
	}
	return nil, len(list)
}

// chooseOperator is for two arguments, or one.
func chooseOperator(name string, given []oid) (*candidate, int) {
	all := operators()[name]
	if len(given) == 2 {
		// An unknown argument is first supposed to be of the other's type.
		l, r := given[0], given[1]
		if l == postgres.Unknown && r != postgres.Unknown {
			l = r
		} else if r == postgres.Unknown && l != postgres.Unknown {
			r = l
		}
		for _, c := range all {
			if len(c.args) == 2 && c.args[0] == l && c.args[1] == r {
				return c, 1
			}
		}
	}
	return choose(all, given)
}

// commonType is select_common_type: of CASE, UNION, VALUES and the like. The expressions' types are not all unknown, or text is.
func commonType(what string, list []*expr) (oid, error) {
	var t oid
	var first *expr
	same := true
	for _, e := range list {
		if e.typ != list[0].typ {
			same = false
		}
	}
	if same && list[0].typ != postgres.Unknown {
		return list[0].typ, nil
	}
	for _, e := range list {
		switch {
		case e.typ == postgres.Unknown:
		case t == 0:
			t, first = e.typ, e
		case e.typ == t:
		case category(e.typ) != category(t):
			return 0, e.fail("42804", "%s types %s and %s cannot be matched", what, typeName(first.typ), typeName(e.typ))
		case !preferred(t) && canCast(t, e.typ, postgres.Implicit) && !canCast(e.typ, t, postgres.Implicit):
			t, first = e.typ, e
		}
	}
	if t == 0 {
		return postgres.Text, nil
	}
	return t, nil
}

// polymorphic finds what a candidate's any-types stand for. It returns the types of the arguments and of the result.
func polymorphic(c *candidate, declared, given []oid) (args []oid, result oid, ok bool) {
	var elem, compat oid
	var compatible []*expr
	args = slices.Clone(declared)
	for i, d := range declared {
		g := given[i]
		switch d {
		case postgres.AnyElement:
			if g != postgres.Unknown {
				if elem != 0 && elem != g {
					return nil, 0, false
				}
				elem = g
			}
		case postgres.AnyArray:
			if g != postgres.Unknown {
				e := typeOf(g).Elem
				if elem != 0 && elem != e {
					return nil, 0, false
				}
				elem = e
			}
		case postgres.AnyCompatible:
			compatible = append(compatible, &expr{typ: g})
		case postgres.AnyCompatibleArray:
			if g != postgres.Unknown {
				compatible = append(compatible, &expr{typ: typeOf(g).Elem})
			}
		}
	}
	if len(compatible) > 0 {
		var err error
		if compat, err = commonType("", compatible); err != nil {
			return nil, 0, false
		}
	}
	of := func(d oid) oid {
		switch d {
		case postgres.AnyElement:
			return elem
		case postgres.AnyArray:
			return postgres.ArrayOf(elem)
		case postgres.AnyCompatible:
			return compat
		case postgres.AnyCompatibleArray:
			return postgres.ArrayOf(compat)
		}
		return d
	}
	for i, d := range declared {
		if d == postgres.AnyType {
			if args[i] = given[i]; given[i] == postgres.Unknown {
				args[i] = postgres.Text
			}
			continue
		}
		if args[i] = of(d); args[i] == 0 {
			return nil, 0, false
		}
		if !accepts(args[i], given[i]) {
			return nil, 0, false
		}
	}
	if result = of(c.result); result == 0 {
		return nil, 0, false
	}
	return args, result, true
}
