package postgres

import (
	"strings"
	"sync"

	"github.com/stratosmesh/stratos/protocol/postgres/numeric"
)

// A Routine is one function or operator of PostgreSQL's, for arguments of certain types.
type Routine struct {
	Name     string // an operator's is its sign; one with one argument stands before it
	Args     []OID
	Variadic bool // the last argument may come any number of times
	Result   OID
	Lax      bool // it is called with NULLs; else NULL in gives NULL out
	Do       func(c *Call, a []any) (any, error)
}

// Call runs a routine. Its arguments are cells of its types, or nil.
func (r *Routine) Call(c *Call, args []any) (any, error) {
	if !r.Lax {
		for _, a := range args {
			if a == nil {
				return nil, nil
			}
		}
	}
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) > longNumber && i < len(r.Args) && (r.Args[i] == Numeric || r.Args[i] == JSONB) {
			if err := c.work(conversion(s)); err != nil {
				return nil, err
			}
		}
	}
	v, err := r.Do(c, args)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case string:
		err = sized(len(v))
	case []byte:
		err = sized(len(v))
	case float64:
		if v != v {
			return nanCell, nil
		}
	case bool:
		return boolCell(v), nil
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// longNumber is from how many digits on it costs more than a pass to make a number of its text.
const longNumber = 1000

// conversion is the work of making numbers of the long rows of digits in a text, and texts again.
func conversion(s string) uint64 {
	work, run := uint64(0), 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			run++
			continue
		}
		if run > longNumber {
			work += numeric.Work(run, run) / 2
		}
		run = 0
	}
	return work
}

type do = func(c *Call, a []any) (any, error)

// def makes a routine of its signature: name(type, ...) type. The word lax before it makes it so, three dots before the last
// type make that variadic.
func def(signature string, f do) Routine {
	var r Routine
	signature, r.Lax = strings.CutPrefix(signature, "lax ")
	open := strings.LastIndexByte(signature, '(')
	r.Name = signature[:open]
	args, result, _ := strings.Cut(signature[open+1:], ") ")
	for _, a := range strings.Split(args, ", ") {
		if a == "" {
			continue
		}
		a, r.Variadic = strings.CutPrefix(a, "...")
		r.Args = append(r.Args, named(a))
	}
	r.Result = named(result)
	r.Do = f
	return r
}

func named(name string) OID {
	t, ok := TypeNamed(name)
	if !ok {
		panic("no type " + name)
	}
	return t.OID
}

// Operators and Functions are all that there are, in no order that matters. The slices are not to be changed.
var Operators = sync.OnceValue(func() []Routine {
	return join(arithmeticOperators(), textOperators(), regexOperators(), timeOperators(), jsonOperators(), arrayOperators(), searchOperators())
})

var Functions = sync.OnceValue(func() []Routine {
	return join(arithmeticFunctions(), textFunctions(), patternFunctions(), regexFunctions(), timeFunctions(), jsonFunctions(), arrayFunctions(), searchFunctions())
})

func join(lists ...[]Routine) []Routine {
	var all []Routine
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
