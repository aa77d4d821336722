package postgres_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	pgoracle "github.com/stratosmesh/stratos/internal/oracle"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
)

var (
	oracleSeed  = flag.Uint64("oracle.seed", 0, "seed of the expressions; 0 takes one from the clock")
	oracleCases = flag.Int("oracle.cases", 60, "expressions of each function")
	oracleOnly  = flag.String("oracle.only", "", "try only routines and types whose names match this regular expression")
)

// oracle is a PostgreSQL 15 of its own: locale C, UTC, reachable by a socket only.
type oracle struct {
	conn    *pgconn.PgConn
	rand    *rand.Rand
	call    *postgres.Call
	kept    int // of the group at hand
	refused int
	recent  bool // only years of which all releases of the zones know the same
}

func startOracle(t *testing.T) *oracle {
	t.Helper()
	conn := pgoracle.Start(t)
	seed := *oracleSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1000000
	}
	t.Logf("seed %d: go test -run %s -oracle.seed=%d", seed, t.Name(), seed)
	o := &oracle{conn: conn, rand: rand.New(rand.NewPCG(seed, 1)), call: &postgres.Call{Env: datetime.Env{}}}
	o.exec(t, `create function try(q text) returns text language plpgsql as $$
		declare r text; begin execute q into r; return coalesce('=' || r, 'NULL'); exception when others then return '!' || sqlstate || ' ' || sqlerrm; end $$`)
	// The clock of functions that look at it stands at the oracle's day.
	now := o.ask(t, []string{"extract(epoch from current_date)::int8"})[0]
	seconds, err := strconv.ParseInt(strings.TrimPrefix(now, "="), 10, 64)
	if err != nil {
		t.Fatal(now, err)
	}
	o.call.Env.Now = seconds*datetime.Second + datetime.UnixEpoch
	return o
}

func (o *oracle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := o.conn.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// ask evaluates expressions: "=" and the text, NULL, or "!" and the SQLSTATE and text of the error.
func (o *oracle) ask(t *testing.T, expressions []string) []string {
	t.Helper()
	var b strings.Builder
	b.WriteByte('{')
	for i, e := range expressions {
		if i > 0 {
			b.WriteByte(',')
		}
		q := "select case when x is null then null else format('%s', x) end from (select " + e + " as x) s"
		b.WriteString(`"` + strings.ReplaceAll(strings.ReplaceAll(q, `\`, `\\`), `"`, `\"`) + `"`)
	}
	b.WriteByte('}')
	r := o.conn.ExecParams(t.Context(), "select try(q) from unnest($1::text[]) with ordinality as u(q, n) order by n", [][]byte{[]byte(b.String())}, nil, nil, nil).Read()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if len(r.Rows) != len(expressions) {
		t.Fatalf("%d answers to %d questions", len(r.Rows), len(expressions))
	}
	out := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = string(row[0])
	}
	return out
}

func answer(s string, null bool, err error) string {
	var e *postgres.Error
	switch {
	case errors.As(err, &e):
		return "!" + e.Code + " " + e.Text
	case err != nil:
		return "!?? " + err.Error()
	case null:
		return "NULL"
	}
	return "=" + s
}

// A trial is an expression and what we make of it.
type trial struct {
	expression, ours string
	ulps             int    // how far floats may be apart
	record           record // what is kept of it in testdata
}

// agree compares answers: values exactly, errors by SQLSTATE.
func agree(x trial, theirs string) bool {
	if x.ours == theirs {
		return true
	}
	if strings.HasPrefix(x.ours, "!") && strings.HasPrefix(theirs, "!") {
		return x.ours[:6] == theirs[:6]
	}
	if x.ulps > 0 && strings.HasPrefix(theirs, "=") {
		a, err1 := strconv.ParseFloat(x.ours[1:], 64)
		b, err2 := strconv.ParseFloat(theirs[1:], 64)
		return err1 == nil && err2 == nil && math.Abs(float64(int64(math.Float64bits(a))-int64(math.Float64bits(b)))) <= float64(x.ulps)
	}
	return false
}

// judge asks the oracle and reports what differs, at most some of a group. It returns how many agree to the letter and how many
// differ in an error's text.
func (o *oracle) judge(t *testing.T, group string, trials []trial) (equal, texts int) {
	t.Helper()
	expressions := make([]string, len(trials))
	for i, x := range trials {
		expressions[i] = x.expression
	}
	bad, refused := 0, 0
	for i, theirs := range o.ask(t, expressions) {
		x := trials[i]
		if strings.HasPrefix(x.ours, "!54000 value too large") || strings.HasPrefix(x.ours, "!0A000") && !strings.HasPrefix(theirs, "!0A000") {
			refused++ // as DESIGN.md says
			continue
		}
		if !agree(x, theirs) {
			if bad++; bad <= 4 {
				t.Errorf("%s: %s\n   ours %q\n theirs %q", group, x.expression, cutLong(x.ours), cutLong(theirs))
			}
			continue
		}
		if x.ours != theirs {
			texts++
			if *oracleVerbose && strings.HasPrefix(theirs, "!") {
				t.Logf("%s: %s\n   ours %q\n theirs %q", group, x.expression, x.ours, theirs)
			}
		} else {
			equal++
			o.keep(t, x.record, theirs)
		}
	}
	o.kept = 0
	o.refused += refused
	if bad > 4 {
		t.Errorf("%s: %d of %d differ", group, bad, len(trials))
	}
	return equal, texts
}

var oracleVerbose = flag.Bool("oracle.texts", false, "show errors whose texts differ")

func cutLong(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

func literal(s string, typ string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		q = "E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	}
	return q + "::" + typ
}

func typeName(t *testing.T, oid postgres.OID) string {
	typ, ok := postgres.TypeOf(oid)
	if !ok {
		t.Fatalf("no type %d", oid)
	}
	if oid == postgres.Bpchar || typ.Elem == postgres.Bpchar {
		return strings.ReplaceAll(typ.Name, "character", "bpchar") // character is character(1)
	}
	return typ.Name
}

// evaluate makes cells of texts, calls a routine, and makes a text of the result.
func evaluate(c *postgres.Call, r *postgres.Routine, types []postgres.OID, texts []string) string {
	cells := make([]any, len(texts))
	for i, s := range texts {
		if s == "\x00" {
			continue
		}
		var err error
		if cells[i], err = postgres.Input(c, types[i], -1, s); err != nil {
			return answer("", false, err)
		}
	}
	call := *c
	call.Types, call.Result = types, r.Result
	v, err := r.Call(&call, cells)
	if err != nil || v == nil {
		return answer("", true, err)
	}
	result := resultType(r, types)
	s, err := postgres.Output(c, result, v)
	return answer(s, false, err)
}

// resultType is what a polymorphic result is for these arguments.
func resultType(r *postgres.Routine, types []postgres.OID) postgres.OID {
	elem := postgres.OID(0)
	for i, a := range r.Args {
		if i >= len(types) {
			break
		}
		switch a {
		case postgres.AnyArray, postgres.AnyCompatibleArray:
			t, _ := postgres.TypeOf(types[i])
			elem = t.Elem
		case postgres.AnyElement, postgres.AnyCompatible:
			elem = types[i]
		}
	}
	switch r.Result {
	case postgres.AnyArray, postgres.AnyCompatibleArray:
		return postgres.ArrayOf(elem)
	case postgres.AnyElement, postgres.AnyCompatible:
		return elem
	}
	return r.Result
}

var anyTypes = []postgres.OID{postgres.Int4, postgres.Text, postgres.Bool, postgres.Numeric, postgres.Date, postgres.Float8, postgres.JSONB, postgres.Timestamp, postgres.ArrayOf(postgres.Text)}
var elementTypes = []postgres.OID{postgres.Int4, postgres.Text, postgres.Numeric, postgres.Date}

// concrete picks types for the arguments of a routine.
func (o *oracle) concrete(r *postgres.Routine) []postgres.OID {
	var types []postgres.OID
	elem := elementTypes[o.rand.IntN(len(elementTypes))]
	for i, a := range r.Args {
		n := 1
		if r.Variadic && i == len(r.Args)-1 {
			n = 1 + o.rand.IntN(3)
		}
		for range n {
			switch a {
			case postgres.AnyType:
				types = append(types, anyTypes[o.rand.IntN(len(anyTypes))])
			case postgres.AnyElement, postgres.AnyCompatible:
				types = append(types, elem)
			case postgres.AnyArray, postgres.AnyCompatibleArray:
				types = append(types, postgres.ArrayOf(elem))
			default:
				types = append(types, a)
			}
		}
	}
	return types
}

func (o *oracle) routines(t *testing.T, all []postgres.Routine, operators bool) {
	equal, texts, total := 0, 0, 0
	for i := range all {
		r := &all[i]
		signature := r.Name
		for _, a := range r.Args {
			signature += " " + typeName(t, a)
		}
		if !wanted(signature) {
			continue
		}
		var trials []trial
		for range *oracleCases {
			types := o.concrete(r)
			args, shown := make([]string, len(types)), make([]string, len(types))
			for j, typ := range types {
				args[j] = o.argument(r, j, typ)
				if args[j] == "\x00" {
					shown[j] = "NULL::" + typeName(t, typ)
				} else {
					shown[j] = literal(args[j], typeName(t, typ))
				}
			}
			var e string
			switch {
			case !operators:
				e = fmt.Sprintf(`pg_catalog.%q(%s)`, r.Name, strings.Join(shown, ", "))
			case len(shown) == 1:
				e = fmt.Sprintf("%s (%s)", r.Name, shown[0])
			default:
				e = fmt.Sprintf("(%s) %s (%s)", shown[0], r.Name, shown[1])
			}
			kind := "function"
			if operators {
				kind = "operator"
			}
			x := trial{e, evaluate(o.call, r, types, args), 0, record{kind, r.Name, r.Args, types, args}}
			if strings.HasPrefix(r.Name, "age") && len(r.Args) == 1 {
				x.record.kind = "" // it depends on the day
			}
			if inexact[r.Name] {
				x.ulps = 3
			}
			trials = append(trials, x)
		}
		e, n := o.judge(t, signature, trials)
		equal, texts, total = equal+e, texts+n, total+len(trials)
	}
	t.Logf("%d routines, %d expressions: %d equal to the letter, %d in value or SQLSTATE only, %d refused", len(all), total, equal, texts, o.refused)
	o.refused = 0
}

// wanted tells whether a routine, or a type, is to be tried.
func wanted(name string) bool { return regexp.MustCompile(*oracleOnly).MatchString(name) }

// inexact are functions where PostgreSQL gives what the C library of its machine does, in the last digit.
var inexact = map[string]bool{"exp": true, "ln": true, "log": true, "log10": true, "power": true, "pow": true, "^": true, "cbrt": true, "||/": true,
	"sin": true, "cos": true, "tan": true, "cot": true, "asin": true, "acos": true, "atan": true, "atan2": true, "sinh": true, "cosh": true,
	"tanh": true, "asinh": true, "acosh": true, "atanh": true}

func TestOracleOperators(t *testing.T) { startOracle(t).routines(t, postgres.Operators(), true) }
func TestOracleFunctions(t *testing.T) { startOracle(t).routines(t, postgres.Functions(), false) }

var inputTypes = []postgres.OID{postgres.Bool, postgres.Int2, postgres.Int4, postgres.Int8, postgres.Float4, postgres.Float8, postgres.Numeric,
	postgres.Text, postgres.Bpchar, postgres.Name, postgres.Bytea, postgres.UUID, postgres.Date, postgres.Time, postgres.TimeTZ, postgres.Timestamp,
	postgres.TimestampTZ, postgres.Interval, postgres.JSON, postgres.JSONB, postgres.OIDType, postgres.TSVector, postgres.TSQuery}

func TestOracleInput(t *testing.T) {
	o := startOracle(t)
	equal, total := 0, 0
	for _, typ := range inputTypes {
		for _, oid := range []postgres.OID{typ, postgres.ArrayOf(typ)} {
			if !wanted(typeName(t, oid)) {
				continue
			}
			var trials []trial
			for range *oracleCases * 10 {
				s := o.text(oid)
				if o.rand.IntN(3) == 0 {
					s = o.damage(s)
				}
				ours := func() string {
					v, err := postgres.Input(o.call, oid, -1, s)
					if err != nil {
						return answer("", false, err)
					}
					out, err := postgres.Output(o.call, oid, v)
					return answer(out, false, err)
				}()
				trials = append(trials, trial{literal(s, typeName(t, oid)), ours, 0, record{kind: "input", types: []postgres.OID{oid}, args: []string{s}}})
			}
			e, _ := o.judge(t, "input of "+typeName(t, oid), trials)
			equal, total = equal+e, total+len(trials)
		}
	}
	t.Logf("%d texts, %d equal to the letter, %d refused", total, equal, o.refused)
}

func TestOracleCompare(t *testing.T) {
	o := startOracle(t)
	for _, typ := range inputTypes {
		if typ == postgres.JSON {
			continue
		}
		for _, oid := range []postgres.OID{typ, postgres.ArrayOf(typ)} {
			if !wanted(typeName(t, oid)) {
				continue
			}
			var trials []trial
			for len(trials) < *oracleCases*5 {
				a, b := o.text(oid), o.text(oid)
				x, err1 := postgres.Input(o.call, oid, -1, a)
				y, err2 := postgres.Input(o.call, oid, -1, b)
				if err1 != nil || err2 != nil {
					continue
				}
				c := postgres.Compare(oid, x, y)
				n := typeName(t, oid)
				if r := postgres.Compare(oid, y, x); (r < 0) != (c > 0) || (r > 0) != (c < 0) {
					t.Errorf("%s: %s and %s are not ordered", n, a, b)
				}
				la, lb := literal(a, n), literal(b, n)
				trials = append(trials, trial{fmt.Sprintf("(case when %s < %s then -1 when %s > %s then 1 else 0 end)", la, lb, la, lb), "=" + strconv.Itoa(sign(c)), 0, record{kind: "order", types: []postgres.OID{oid}, args: []string{a, b}}})
			}
			o.judge(t, "order of "+typeName(t, oid), trials)
		}
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func TestOracleCasts(t *testing.T) {
	o := startOracle(t)
	casts := postgres.Casts()
	for _, c := range []postgres.Cast{{From: postgres.Bool, To: postgres.Varchar}, {From: postgres.Text, To: postgres.Int4}, {From: postgres.Text, To: postgres.Date},
		{From: postgres.ArrayOf(postgres.Int4), To: postgres.ArrayOf(postgres.Text)}, {From: postgres.ArrayOf(postgres.Text), To: postgres.ArrayOf(postgres.Numeric)}} {
		casts = append(casts, c)
	}
	equal, texts, total := 0, 0, 0
	for _, c := range casts {
		if c.To == postgres.Regconfig || c.To == postgres.Regnamespace || c.From == postgres.Regnamespace || c.From == postgres.Regconfig || c.To == postgres.Regclass || c.To == postgres.Regtype || c.From == postgres.Regclass || c.From == postgres.Regtype {
			continue // shown by name
		}
		if !wanted(typeName(t, c.From) + " to " + typeName(t, c.To)) {
			continue
		}
		var trials []trial
		for range *oracleCases {
			s := o.text(c.From)
			mod, name := int32(-1), typeName(t, c.To)
			if c.To == postgres.Bpchar {
				name = "bpchar"
			}
			if o.rand.IntN(3) == 0 {
				switch c.To {
				case postgres.Varchar, postgres.Bpchar:
					n := 1 + o.rand.Int32N(12)
					mod, _ = postgres.Typmod(c.To, []int32{n})
				case postgres.Numeric:
					p := 1 + o.rand.Int32N(20)
					mod, _ = postgres.Typmod(c.To, []int32{p, o.rand.Int32N(p+6) - 3})
				case postgres.Time, postgres.Timestamp, postgres.TimestampTZ:
					mod, _ = postgres.Typmod(c.To, []int32{o.rand.Int32N(7)})
				}
				if mod >= 0 {
					name = postgres.FormatType(c.To, mod)
				}
			}
			ours := func() string {
				v, err := postgres.Input(o.call, c.From, -1, s)
				if err == nil {
					v, err = postgres.Convert(o.call, c.From, c.To, mod, true, v)
				}
				if err != nil || v == nil {
					return answer("", true, err)
				}
				out, err := postgres.Output(o.call, c.To, v)
				return answer(out, false, err)
			}()
			trials = append(trials, trial{"(" + literal(s, typeName(t, c.From)) + ")::" + name, ours, 0, record{"cast", strconv.Itoa(int(mod)), nil, []postgres.OID{c.From, c.To}, []string{s}}})
		}
		e, n := o.judge(t, typeName(t, c.From)+" to "+typeName(t, c.To), trials)
		equal, texts, total = equal+e, texts+n, total+len(trials)
	}
	t.Logf("%d casts, %d expressions: %d equal to the letter, %d by SQLSTATE only", len(casts), total, equal, texts)
}

func TestOracleAggregates(t *testing.T) {
	o := startOracle(t)
	equal, texts, total := 0, 0, 0
	all := postgres.Aggregates()
	for i := range all {
		a := &all[i]
		var trials []trial
		for range *oracleCases / 2 {
			routine := postgres.Routine{Name: a.Name, Args: a.Args, Result: a.Result}
			types := o.concrete(&routine)
			call := *o.call
			call.Types = types
			state := a.New()
			var rows []string
			var failed error
			for n := range 1 + o.rand.IntN(6) {
				row, cells := []string{strconv.Itoa(n)}, []any{}
				for _, typ := range types {
					s := o.text(typ)
					v, err := postgres.Input(o.call, typ, -1, s)
					for err != nil {
						s = o.text(typ)
						v, err = postgres.Input(o.call, typ, -1, s)
					}
					name := typeName(t, typ)
					if o.rand.IntN(6) == 0 {
						row, v = append(row, "NULL::"+name), nil
					} else {
						row = append(row, literal(s, name))
					}
					cells = append(cells, v)
				}
				rows = append(rows, "("+strings.Join(row, ", ")+")")
				if failed == nil {
					failed = state.Step(&call, cells)
				}
			}
			ours := func() string {
				if failed != nil {
					return answer("", false, failed)
				}
				v, err := state.Final(&call)
				if err != nil || v == nil {
					return answer("", true, err)
				}
				routine.Args = append([]postgres.OID{}, a.Args...)
				result := a.Result
				if a.Name == "array_agg" {
					result = postgres.ArrayOf(types[0])
				}
				s, err := postgres.Output(&call, result, v)
				return answer(s, false, err)
			}()
			args := []string{"x", "y"}[:len(types)]
			trials = append(trials, trial{fmt.Sprintf("(select %s(%s order by n) from (values %s) as v(n, %s))", a.Name, strings.Join(args, ", "), strings.Join(rows, ", "), strings.Join(args, ", ")), ours, 0, record{}})
		}
		name := a.Name
		for _, x := range a.Args {
			name += " " + typeName(t, x)
		}
		e, n := o.judge(t, name, trials)
		equal, texts, total = equal+e, texts+n, total+len(trials)
	}
	t.Logf("%d aggregates, %d expressions: %d equal to the letter, %d by SQLSTATE only", len(all), total, equal, texts)
}

// Values go to PostgreSQL and come back in its binary format.
func TestOracleBinary(t *testing.T) {
	o := startOracle(t)
	for _, typ := range inputTypes {
		for _, oid := range []postgres.OID{typ, postgres.ArrayOf(typ)} {
			for range *oracleCases {
				s := o.text(oid)
				v, err := postgres.Input(o.call, oid, -1, s)
				if err != nil {
					continue
				}
				b, err := postgres.Encode(oid, v)
				if err != nil {
					t.Fatal(err)
				}
				want, _ := postgres.Output(o.call, oid, v)
				r := o.conn.ExecParams(t.Context(), "select $1, format('%s', $1)", [][]byte{b}, []uint32{uint32(oid)}, []int16{1}, []int16{1, 0}).Read()
				if r.Err != nil {
					t.Errorf("%s %s: %v", typeName(t, oid), s, r.Err)
					continue
				}
				back, text := r.Rows[0][0], string(r.Rows[0][1])
				w, err := postgres.Decode(o.call, oid, -1, back)
				if err != nil || string(back) != string(b) || text != want || postgres.Compare(oid, v, w) != 0 {
					t.Errorf("%s %q: sent %x, came back %x and %s (%v), want %s", typeName(t, oid), s, b, back, text, err, want)
				}
			}
		}
	}
}

// In a session whose zone is not UTC all that looks at zones is tried again.
func TestOracleZones(t *testing.T) {
	o := startOracle(t)
	for _, name := range []string{"America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"} {
		zone, err := datetime.LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		o.exec(t, "set timezone = '"+name+"'")
		o.call.Env.Zone = zone
		o.recent = true
		concerns := func(r postgres.Routine) bool {
			for _, a := range append([]postgres.OID{r.Result}, r.Args...) {
				if a == postgres.TimestampTZ {
					return !(r.Name == "age" && len(r.Args) == 1)
				}
			}
			return false
		}
		for _, list := range [][]postgres.Routine{postgres.Operators(), postgres.Functions()} {
			var some []postgres.Routine
			for _, r := range list {
				if concerns(r) {
					some = append(some, r)
				}
			}
			o.routines(t, some, &list[0] == &postgres.Operators()[0])
		}
	}
}
